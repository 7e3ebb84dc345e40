// One table for an image says, for each element of the output in memory, which element of the input it is. The way back
// reads the same table the other way: every element is moved, none twice.
#include "reorder.h"

#include "parallel.h"
#include "proto/size.h"

#include <stdlib.h>

struct config {
    struct lorac_view from, to;
    struct lorac_value x, y;
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

enum lorac_status lorac_reorder_lower(struct lorac_lowering *lowering, struct lorac_step *step,
                                      struct lorac_reorder *reorder, const int64_t *dims, struct lorac_error *error)
{
    reorder->sizes = value_of(&reorder->to, dims);
    const struct lorac_value x = lorac_lowering_program(lowering)->values[reorder->x];
    struct config *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = (struct config){
        .from = reorder->from, .to = reorder->to, .x = x, .y = reorder->sizes, .N = x.n, .count = x.h * x.w * x.c};
    if (config->count > UINT32_MAX)
        return lorac_refuse(step->node, error, "an image of %zu elements is too large to be moved", config->count);
    return lorac_lowering_set_inputs(lowering, step, &reorder->x, 1, error);
}

// The stride in the memory of one image [H, W, C] of each dimension of the view.
static void strides_of(const struct lorac_view *view, const struct lorac_value *value, size_t *strides)
{
    for (size_t i = 0; i < view->rank; i++)
        strides[i] = view->axes[i] == LORAC_AXIS_H   ? value->w * value->c
                     : view->axes[i] == LORAC_AXIS_W ? value->c
                     : view->axes[i] == LORAC_AXIS_C ? 1
                                                     : 0;
}

// A counter over the dims of a view behind the batch, in the graph's order, which knows its place in memory.
struct walker {
    size_t rank, at;
    const enum lorac_axis *axes;
    int64_t dims[LORAC_VIEW_MAX_RANK], index[LORAC_VIEW_MAX_RANK];
    size_t strides[LORAC_VIEW_MAX_RANK];
};

static struct walker start(const struct lorac_view *view, const struct lorac_value *value)
{
    struct walker walker = {.rank = view->rank, .axes = view->axes};
    lorac_view_dims(view, value, walker.dims);
    strides_of(view, value, walker.strides);
    return walker;
}

static void advance(struct walker *walker)
{
    for (size_t i = walker->rank; i-- > 0;) {
        if (walker->axes[i] == LORAC_AXIS_N)
            continue;
        walker->at += walker->strides[i];
        if (++walker->index[i] < walker->dims[i])
            return;
        walker->at -= walker->strides[i] * (size_t)walker->dims[i];
        walker->index[i] = 0;
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
    struct walker from = start(&config->from, &config->x), to = start(&config->to, &config->y);
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
    .op_type = "Transpose", // also Reshape, Flatten, and before nodes that read an image laid out otherwise
    .create = create,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
};
