// ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceL2, ReduceSumSquare over any axes but the batch, and the two
// global pools. The mean over all pixels is XNNPACK's; the rest is added in double, image by image.
//
// The gradient of a maximum goes to the first largest element in memory, as MaxPool's does.
#include "kernel_list.h"

#include "axes.h"
#include "parallel.h"
#include "reduction.h"
#include "xnn_step.h"

#include <math.h>
#include <string.h>

enum kind { REDUCE_MEAN, REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_L2, REDUCE_SQUARES };

struct reduce {
    enum kind kind;
    struct lorac_reduction map;
    bool on_xnn;
};

// ---- lowering

static enum lorac_status lower_to(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                  enum kind kind, uint32_t x, const bool together[LORAC_AXIS_COUNT],
                                  const struct lorac_view *seen, struct lorac_error *error)
{
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct reduce reduce = {.kind = kind, .map = lorac_reduction_of(&value, together, 1)};
    if (reduce.map.each == 1 && kind != REDUCE_L2 && kind != REDUCE_SQUARES)
        return lorac_lowering_alias(lowering, node, step, x, seen, error);
    reduce.on_xnn = kind == REDUCE_MEAN && lorac_reduction_is_global_pool(&reduce.map);
    struct reduce *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = reduce;
    step->keeps_inputs = kind != REDUCE_MEAN && kind != REDUCE_SUM;
    step->keeps_output = step->keeps_inputs && kind != REDUCE_SQUARES;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, together[LORAC_AXIS_H] ? 1 : value.h,
                                 together[LORAC_AXIS_W] ? 1 : value.w, together[LORAC_AXIS_C] ? 1 : value.c, seen,
                                 error);
}

static enum lorac_status lower_global(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, enum kind kind, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_view view;
    const bool together[LORAC_AXIS_COUNT] = {[LORAC_AXIS_H] = true, [LORAC_AXIS_W] = true};
    LORAC_TRY(lorac_lowering_channel_input(lowering, node, 0, &x, &view, error));
    return lower_to(lowering, node, step, kind, x, together, &view, error);
}

// Axes are an attribute in old operator sets, an input in new ones (18, for ReduceSum 13).
static enum lorac_status lower_axes(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, enum kind kind, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_int_list axes;
    bool marked[LORAC_VIEW_MAX_RANK] = {false}, together[LORAC_AXIS_COUNT] = {false};
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "axes", &axes, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {0};
    bool none = axes.count == 0 && lorac_node_int(node, "noop_with_empty_axes", 0) != 0;
    if (none && (kind == REDUCE_L2 || kind == REDUCE_SQUARES))
        return lorac_refuse(node, error, "it names no axes and has noop_with_empty_axes = 1");
    LORAC_TRY(lorac_axes_mark(node, &axes, view.rank, marked, error));
    for (size_t i = 0; i < view.rank; i++) {
        marked[i] |= axes.count == 0 && !none;
        if (marked[i] && view.axes[i] == LORAC_AXIS_N)
            return lorac_refuse(node, error, "it reduces the batch%s",
                                axes.count ? "" : " (it names no axes, which means all)");
        together[view.axes[i]] |= marked[i];
        if (!marked[i] || lorac_node_int(node, "keepdims", 1) != 0)
            seen.axes[seen.rank++] = view.axes[i];
    }
    return lower_to(lowering, node, step, kind, x, together, &seen, error);
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)program;
    (void)error;
    const struct reduce *reduce = step->config;
    step->scratch_bytes = reduce->on_xnn ? 0 : reduce->map.N * reduce->map.count * sizeof(double);
    return LORAC_OK;
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct reduce *reduce = step->config;
    const struct lorac_reduction *map = &reduce->map;
    struct lorac_xnn *op = NULL;
    if (reduce->on_xnn)
        LORAC_TRY(
            lorac_xnn_global_average_pool(map->N, map->each, map->count, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

// ---- forward

struct job {
    const struct lorac_step *step;
    const struct reduce *reduce;
    double *results; // [N, count]
};

static double joined(enum kind kind, double sum, double x)
{
    switch (kind) {
    case REDUCE_MEAN:
    case REDUCE_SUM:
        return sum + x;
    case REDUCE_MAX:
        return x > sum || isnan(x) ? x : sum;
    case REDUCE_MIN:
        return x < sum || isnan(x) ? x : sum;
    default:
        return sum + x * x;
    }
}

static double finished(const struct reduce *reduce, double sum)
{
    return reduce->kind == REDUCE_MEAN ? sum / (double)reduce->map.each : reduce->kind == REDUCE_L2 ? sqrt(sum) : sum;
}

static void forward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_reduction *map = &job->reduce->map;
    enum kind kind = job->reduce->kind;
    const float *x = job->step->x[0] + n * map->size;
    double *results = job->results + n * map->count, start = kind == REDUCE_MAX   ? -INFINITY
                                                             : kind == REDUCE_MIN ? INFINITY
                                                                                  : 0.0;
    for (size_t i = 0; i < map->count; i++)
        results[i] = start;
    size_t stride = map->strides[LORAC_PART_K];
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            double *result = &results[run.result + k * stride];
            *result = joined(kind, *result, (double)x[run.at + k]);
        }
    for (size_t i = 0; i < map->count; i++)
        job->step->y[n * map->count + i] = (float)finished(job->reduce, results[i]);
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct reduce *reduce = step->config;
    struct job job = {step, reduce, env->workspace};
    if (reduce->on_xnn)
        lorac_xnn_run(step->state, env->pool);
    else
        lorac_parallel_for(env->pool, forward_image, &job, reduce->map.N);
}

// ---- backward

// What one element of the input gets. [taken]: the result's gradient has gone to an earlier element.
static float share(const struct reduce *reduce, float x, float y, float dy, double *taken)
{
    switch (reduce->kind) {
    case REDUCE_MEAN:
        return dy * (1.0f / (float)reduce->map.each);
    case REDUCE_SUM:
        return dy;
    case REDUCE_L2:
        return y > 0.0f ? dy * (x / y) : 0.0f;
    case REDUCE_SQUARES:
        return 2.0f * x * dy;
    default:
        if (x != y || *taken != 0.0)
            return 0.0f;
        *taken = 1.0;
        return dy;
    }
}

static void backward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_step *step = job->step;
    const struct lorac_reduction *map = &job->reduce->map;
    const float *dy = step->dy + n * map->count;
    const float *x = step->keeps_inputs ? step->x[0] + n * map->size : NULL;
    const float *y = step->keeps_output ? step->y + n * map->count : NULL;
    float *dx = step->dx[0] + n * map->size;
    double *taken = job->results + n * map->count;
    bool extreme = job->reduce->kind == REDUCE_MAX || job->reduce->kind == REDUCE_MIN;
    if (extreme)
        memset(taken, 0, map->count * sizeof(*taken));
    size_t stride = map->strides[LORAC_PART_K];
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t result = run.result + k * stride;
            dx[run.at + k] = share(job->reduce, x ? x[run.at + k] : 0.0f, y ? y[result] : 0.0f, dy[result],
                                   extreme ? &taken[result] : NULL);
        }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct reduce *reduce = step->config;
    struct job job = {step, reduce, env->workspace};
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, &job, reduce->map.N);
}

// ---- the operators

#define REDUCE(suffix, type, how, kind)                                                                                \
    static enum lorac_status lower_##suffix(struct lorac_lowering *lowering, const Onnx__NodeProto *node,              \
                                            struct lorac_step *step, struct lorac_error *error)                        \
    {                                                                                                                  \
        return how(lowering, node, step, kind, error);                                                                 \
    }                                                                                                                  \
    const struct lorac_kernel lorac_kernel_##suffix = {.op_type = type,                                                \
                                                       .lower = lower_##suffix,                                        \
                                                       .memory = memory,                                               \
                                                       .create = create,                                               \
                                                       .forward = forward,                                             \
                                                       .backward = backward,                                           \
                                                       .destroy = lorac_xnn_step_destroy};

REDUCE(global_average_pool, "GlobalAveragePool", lower_global, REDUCE_MEAN)
REDUCE(global_max_pool, "GlobalMaxPool", lower_global, REDUCE_MAX)
REDUCE(reduce_mean, "ReduceMean", lower_axes, REDUCE_MEAN)
REDUCE(reduce_sum, "ReduceSum", lower_axes, REDUCE_SUM)
REDUCE(reduce_max, "ReduceMax", lower_axes, REDUCE_MAX)
REDUCE(reduce_min, "ReduceMin", lower_axes, REDUCE_MIN)
REDUCE(reduce_l2, "ReduceL2", lower_axes, REDUCE_L2)
REDUCE(reduce_sum_square, "ReduceSumSquare", lower_axes, REDUCE_SQUARES)
