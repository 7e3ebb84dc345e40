// In memory the axis stands between [outer] places before it and [inner] floats behind it. The gradient is the
// transposed map: the same table, the other way, added up in the order of the output's positions.
#include "resample.h"

#include "parallel.h"

#include <stdlib.h>
#include <string.h>

struct resample {
    size_t outer, inner;
    struct lorac_resize_axis axis;
};

struct tap {
    int32_t low, high;
    float low_weight, high_weight;
};

struct state {
    size_t in, out;
    struct tap taps[]; // [out]
};

enum lorac_status lorac_resample_lower(struct lorac_lowering *lowering, struct lorac_step *step, uint32_t x,
                                       enum lorac_axis axis, const struct lorac_resize_axis *resize,
                                       struct lorac_value *sizes, struct lorac_error *error)
{
    *sizes = lorac_lowering_program(lowering)->values[x];
    struct resample *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    config->axis = *resize;
    switch (axis) {
    case LORAC_AXIS_H:
        config->outer = sizes->n;
        config->inner = sizes->w * sizes->c;
        sizes->h = (size_t)resize->out;
        break;
    case LORAC_AXIS_W:
        config->outer = sizes->n * sizes->h;
        config->inner = sizes->c;
        sizes->w = (size_t)resize->out;
        break;
    default:
        config->outer = sizes->n * sizes->h * sizes->w;
        config->inner = 1;
        sizes->c = (size_t)resize->out;
        break;
    }
    return lorac_lowering_set_inputs(lowering, step, &x, 1, error);
}

// Outside of the input stands its outermost element.
static struct tap tap_at(const struct lorac_resize_axis *axis, int64_t i)
{
    float at = lorac_resize_coordinate(axis, i), last = (float)(axis->in - 1);
    at = at > 0.0f ? at < last ? at : last : 0.0f;
    int32_t low = (int32_t)at, high = low + 1 < (int32_t)axis->in ? low + 1 : low;
    float weight = at - (float)low;
    return (struct tap){low, high, 1.0f - weight, weight};
}

static size_t state_bytes(const struct resample *resample)
{
    return sizeof(struct state) + (size_t)resample->axis.out * sizeof(struct tap); // out: LORAC_PICK_MAX_SIZE at most
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    return state_bytes(step->config);
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    (void)env;
    const struct resample *resample = step->config;
    struct state *state = malloc(state_bytes(resample));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    state->in = (size_t)resample->axis.in;
    state->out = (size_t)resample->axis.out;
    for (size_t i = 0; i < state->out; i++)
        state->taps[i] = tap_at(&resample->axis, (int64_t)i);
    step->state = state;
    return LORAC_OK;
}

static void destroy(struct lorac_step *step)
{
    free(step->state);
    step->state = NULL;
}

static void forward_place(void *context, size_t place)
{
    const struct lorac_step *step = context;
    const struct state *state = step->state;
    size_t inner = ((const struct resample *)step->config)->inner;
    const float *x = step->x[0] + place * state->in * inner;
    float *y = step->y + place * state->out * inner;
    for (size_t i = 0; i < state->out; i++, y += inner) {
        const struct tap *tap = &state->taps[i];
        const float *low = x + (size_t)tap->low * inner, *high = x + (size_t)tap->high * inner;
        for (size_t k = 0; k < inner; k++)
            y[k] = tap->low_weight * low[k] + tap->high_weight * high[k];
    }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_parallel_for(env->pool, forward_place, step, ((const struct resample *)step->config)->outer);
}

static void backward_place(void *context, size_t place)
{
    const struct lorac_step *step = context;
    const struct state *state = step->state;
    size_t inner = ((const struct resample *)step->config)->inner;
    float *dx = step->dx[0] + place * state->in * inner;
    const float *dy = step->dy + place * state->out * inner;
    memset(dx, 0, state->in * inner * sizeof(float));
    for (size_t i = 0; i < state->out; i++, dy += inner) {
        const struct tap *tap = &state->taps[i];
        float *low = dx + (size_t)tap->low * inner, *high = dx + (size_t)tap->high * inner;
        for (size_t k = 0; k < inner; k++)
            low[k] += tap->low_weight * dy[k];
        for (size_t k = 0; k < inner; k++)
            high[k] += tap->high_weight * dy[k];
    }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_place, step, ((const struct resample *)step->config)->outer);
}

const struct lorac_kernel lorac_kernel_resample = {
    .op_type = "Resize", // linear, along one axis
    .create = create,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
};
