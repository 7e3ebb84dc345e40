// One table for an image says, for each element of the output in memory, which element of the input it is. The way back
// reads the same table the other way: every element is moved, none twice.
#include "reorder.h"

#include "parallel.h"
#include "proto/size.h"

#include <stdlib.h>

struct config {
    struct lorac_reorder_walk from, to;
    size_t N, count; // elements of one image
};

struct state {
    size_t count;
    uint32_t source[]; // by position in the output's memory
};

// The sizes in memory of a value of these dims under [view].
static struct lorac_value value_of(const struct lorac_view *view, const int64_t *dims)
{
    struct lorac_value value = {.n = 1, .h = 1, .w = 1, .c = 1};
    for (size_t i = 0; i < view->rank; i++)
        switch (view->axes[i]) {
        case LORAC_AXIS_N:
            value.n = (size_t)dims[i];
            break;
        case LORAC_AXIS_H:
            value.h = (size_t)dims[i];
            break;
        case LORAC_AXIS_W:
            value.w = (size_t)dims[i];
            break;
        case LORAC_AXIS_C:
            value.c = (size_t)dims[i];
            break;
        default:
            break;
        }
    return value;
}

// The dimensions of a view behind the batch.
static struct lorac_reorder_walk walk_of(const struct lorac_view *view, const struct lorac_value *value)
{
    struct lorac_reorder_walk walk = {0};
    for (size_t i = 0; i < view->rank; i++) {
        enum lorac_axis axis = view->axes[i];
        if (axis == LORAC_AXIS_N)
            continue;
        walk.dims[walk.rank] = (int64_t)lorac_view_size(value, axis);
        walk.strides[walk.rank++] = axis == LORAC_AXIS_H   ? value->w * value->c
                                    : axis == LORAC_AXIS_W ? value->c
                                    : axis == LORAC_AXIS_C ? 1
                                                           : 0;
    }
    return walk;
}

enum lorac_status lorac_reorder_lower_walks(struct lorac_lowering *lowering, struct lorac_step *step, uint32_t x,
                                            const struct lorac_reorder_walk *from, const struct lorac_reorder_walk *to,
                                            struct lorac_error *error)
{
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct config *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = (struct config){.from = *from, .to = *to, .N = value.n, .count = value.h * value.w * value.c};
    if (config->count > UINT32_MAX)
        return lorac_refuse(step->node, error, "an image of %zu elements is too large to be moved", config->count);
    return lorac_lowering_set_inputs(lowering, step, &x, 1, error);
}

enum lorac_status lorac_reorder_lower(struct lorac_lowering *lowering, struct lorac_step *step,
                                      struct lorac_reorder *reorder, const int64_t *dims, struct lorac_error *error)
{
    reorder->sizes = value_of(&reorder->to, dims);
    struct lorac_reorder_walk from = walk_of(&reorder->from, &lorac_lowering_program(lowering)->values[reorder->x]);
    struct lorac_reorder_walk to = walk_of(&reorder->to, &reorder->sizes);
    return lorac_reorder_lower_walks(lowering, step, reorder->x, &from, &to, error);
}

struct place {
    const struct lorac_reorder_walk *walk;
    size_t at;
    int64_t index[LORAC_VIEW_MAX_RANK];
};

static void advance(struct place *place)
{
    const struct lorac_reorder_walk *walk = place->walk;
    for (size_t i = walk->rank; i-- > 0;) {
        place->at += walk->strides[i];
        if (++place->index[i] < walk->dims[i])
            return;
        place->at -= walk->strides[i] * (size_t)walk->dims[i];
        place->index[i] = 0;
    }
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct config *config = step->config;
    struct state *state;
    size_t bytes;
    (void)env;
    if (!lorac_size_multiply(config->count, sizeof(*state->source), &bytes) ||
        !lorac_size_add(bytes, sizeof(*state), &bytes) || !(state = malloc(bytes)))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    state->count = config->count;
    struct place from = {.walk = &config->from}, to = {.walk = &config->to};
    for (size_t i = 0; i < config->count; i++) {
        state->source[to.at] = (uint32_t)from.at;
        advance(&from);
        advance(&to);
    }
    step->state = state;
    return LORAC_OK;
}

static void destroy(struct lorac_step *step)
{
    free(step->state);
    step->state = NULL;
}

static void forward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct state *state = step->state;
    const float *x = step->x[0] + n * state->count;
    float *y = step->y + n * state->count;
    for (size_t i = 0; i < state->count; i++)
        y[i] = x[state->source[i]];
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_parallel_for(env->pool, forward_image, step, ((const struct config *)step->config)->N);
}

static void backward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct state *state = step->state;
    const float *dy = step->dy + n * state->count;
    float *dx = step->dx[0] + n * state->count;
    for (size_t i = 0; i < state->count; i++)
        dx[state->source[i]] = dy[i];
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, step, ((const struct config *)step->config)->N);
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    return ((const struct config *)step->config)->count * sizeof(uint32_t);
}

const struct lorac_kernel lorac_kernel_reorder = {
    .op_type = "Transpose", // also Reshape, Flatten, DepthToSpace, and before nodes that read an image otherwise
    .create = create,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
};
