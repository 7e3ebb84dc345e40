// A table for each axis that is not taken as it is. The way back adds each gradient to the element that was taken, in
// the order of memory, since an element may be taken more than once.
#include "pick.h"

#include "parallel.h"
#include "proto/size.h"

#include <stdlib.h>
#include <string.h>

static const enum lorac_axis AXES[] = {LORAC_AXIS_H, LORAC_AXIS_W, LORAC_AXIS_C};
enum { AXIS_COUNT = sizeof AXES / sizeof *AXES, OUTSIDE = -1 };

// ---- lowering

struct lorac_pick lorac_pick_all(const struct lorac_value *value)
{
    struct lorac_pick pick = {.N = value->n};
    for (size_t i = 0; i < AXIS_COUNT; i++) {
        int64_t size = (int64_t)lorac_view_size(value, AXES[i]);
        pick.axes[AXES[i]] = (struct lorac_pick_axis){.in = size, .out = size, .step = 1};
    }
    return pick;
}

// The input position of output position [i], or OUTSIDE.
static int64_t source(const struct lorac_pick_axis *axis, int64_t i)
{
    int64_t at = axis->first + i, last = axis->in - 1, period;
    switch (axis->kind) {
    case LORAC_PICK_EDGE:
        return at < 0 ? 0 : at > last ? last : at;
    case LORAC_PICK_REFLECT:
        period = last > 0 ? 2 * last : 1;
        at = (at % period + period) % period;
        return at > last ? period - at : at;
    case LORAC_PICK_WRAP:
        return (at % axis->in + axis->in) % axis->in;
    case LORAC_PICK_LIST:
        return axis->list[i];
    case LORAC_PICK_NEAREST:
        return lorac_resize_nearest(&axis->resize, i);
    default:
        at = axis->first + i * axis->step;
        return at < 0 || at > last ? OUTSIDE : at;
    }
}

static bool is_identity(const struct lorac_pick_axis *axis)
{
    if (axis->in != axis->out)
        return false;
    switch (axis->kind) {
    case LORAC_PICK_LIST:
        for (int64_t i = 0; i < axis->out; i++)
            if (axis->list[i] != i)
                return false;
        return true;
    case LORAC_PICK_NEAREST:
        return false; // not worth asking
    case LORAC_PICK_LINE:
        return axis->first == 0 && (axis->step == 1 || axis->out == 1);
    default:
        return axis->first == 0;
    }
}

enum lorac_status lorac_pick_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                   struct lorac_step *step, uint32_t x, const struct lorac_pick *pick,
                                   const struct lorac_view *view, struct lorac_error *error)
{
    bool identity = true;
    for (size_t i = 0; i < AXIS_COUNT; i++) {
        const struct lorac_pick_axis *axis = &pick->axes[AXES[i]];
        identity = identity && is_identity(axis);
        if (axis->out < 1)
            return lorac_refuse(node, error, "its output would be empty");
        if (axis->out > LORAC_PICK_MAX_SIZE && !is_identity(axis))
            return lorac_refuse(node, error, "it makes an axis of %lld elements; at most %d are supported",
                                (long long)axis->out, LORAC_PICK_MAX_SIZE);
    }
    if (identity) {
        step->kernel = NULL;
        return lorac_lowering_alias_at(lowering, node, k, x, view, error);
    }
    struct lorac_pick *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = *pick;
    step->kernel = &lorac_kernel_pick;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_at(lowering, node, k, step, pick->N, (size_t)pick->axes[LORAC_AXIS_H].out,
                                    (size_t)pick->axes[LORAC_AXIS_W].out, (size_t)pick->axes[LORAC_AXIS_C].out, view,
                                    error);
}

// ---- tables

struct state {
    int32_t *tables[LORAC_AXIS_COUNT]; // by output position; NULL: as it is
};

static size_t table_count(const struct lorac_pick_axis *axis)
{
    return is_identity(axis) ? 0 : (size_t)axis->out;
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct lorac_pick *pick = step->config;
    size_t bytes = 0;
    for (size_t i = 0; i < AXIS_COUNT; i++)
        bytes += table_count(&pick->axes[AXES[i]]) * sizeof(int32_t);
    return bytes;
}

static void destroy(struct lorac_step *step)
{
    struct state *state = step->state;
    for (size_t i = 0; state && i < AXIS_COUNT; i++)
        free(state->tables[AXES[i]]);
    free(state);
    step->state = NULL;
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    (void)env;
    const struct lorac_pick *pick = step->config;
    struct state *state = step->state = calloc(1, sizeof(*state));
    for (size_t i = 0; state && i < AXIS_COUNT; i++) {
        const struct lorac_pick_axis *axis = &pick->axes[AXES[i]];
        size_t count = table_count(axis); // at most LORAC_PICK_MAX_SIZE
        int32_t *table = count ? malloc(count * sizeof(*table)) : NULL;
        if (count && !table)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
        for (size_t at = 0; at < count; at++)
            table[at] = (int32_t)source(axis, (int64_t)at);
        state->tables[AXES[i]] = table;
    }
    return state ? LORAC_OK : lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
}

// ---- running

struct job {
    const struct lorac_step *step;
    const struct lorac_pick *pick;
    const struct state *state;
    size_t H, W, C, OH, OW, OC;
};

static struct job job_of(const struct lorac_step *step)
{
    const struct lorac_pick *pick = step->config;
    const struct lorac_pick_axis *axes = pick->axes;
    return (struct job){step,
                        pick,
                        step->state,
                        (size_t)axes[LORAC_AXIS_H].in,
                        (size_t)axes[LORAC_AXIS_W].in,
                        (size_t)axes[LORAC_AXIS_C].in,
                        (size_t)axes[LORAC_AXIS_H].out,
                        (size_t)axes[LORAC_AXIS_W].out,
                        (size_t)axes[LORAC_AXIS_C].out};
}

static int64_t look_up(const struct job *job, enum lorac_axis axis, size_t i)
{
    const int32_t *table = job->state->tables[axis];
    return table ? table[i] : (int64_t)i;
}

// Where in the input's image the pixel (h, w) of the output begins, or OUTSIDE.
static int64_t pixel_of(const struct job *job, size_t h, size_t w)
{
    int64_t from_h = look_up(job, LORAC_AXIS_H, h), from_w = look_up(job, LORAC_AXIS_W, w);
    if (from_h < 0 || from_w < 0)
        return OUTSIDE;
    return (from_h * (int64_t)job->W + from_w) * (int64_t)job->C;
}

static void fill(float *y, float value, size_t count)
{
    for (size_t c = 0; c < count; c++)
        y[c] = value;
}

static void forward_row(void *context, size_t row)
{
    const struct job *job = context;
    const int32_t *channels = job->state->tables[LORAC_AXIS_C];
    const float *x = job->step->x[0] + row / job->OH * job->H * job->W * job->C;
    float *y = job->step->y + row * job->OW * job->OC;
    for (size_t w = 0; w < job->OW; w++, y += job->OC) {
        int64_t pixel = pixel_of(job, row % job->OH, w);
        if (pixel < 0)
            fill(y, job->pick->fill, job->OC);
        else if (!channels)
            memcpy(y, x + pixel, job->C * sizeof(float));
        else
            for (size_t c = 0; c < job->OC; c++)
                y[c] = channels[c] < 0 ? job->pick->fill : x[pixel + channels[c]];
    }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step);
    lorac_parallel_for(env->pool, forward_row, &job, job.pick->N * job.OH);
}

static void backward_image(void *context, size_t n)
{
    const struct job *job = context;
    const int32_t *channels = job->state->tables[LORAC_AXIS_C];
    size_t size = job->H * job->W * job->C;
    float *dx = job->step->dx[0] + n * size;
    const float *dy = job->step->dy + n * job->OH * job->OW * job->OC;
    memset(dx, 0, size * sizeof(float));
    for (size_t h = 0; h < job->OH; h++)
        for (size_t w = 0; w < job->OW; w++, dy += job->OC) {
            int64_t pixel = pixel_of(job, h, w);
            for (size_t c = 0; pixel >= 0 && c < job->OC; c++) {
                int64_t to = channels ? channels[c] : (int64_t)c;
                if (to >= 0)
                    dx[pixel + to] += dy[c];
            }
        }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step);
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, &job, job.pick->N);
}

const struct lorac_kernel lorac_kernel_pick = {
    .op_type = "Slice", // also Split, Pad, Gather, Expand, Tile, Resize
    .create = create,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
};
