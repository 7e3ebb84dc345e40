// Softmax and LogSoftmax over any axes but the batch. Over each pixel's channels Softmax is XNNPACK's; the rest is
// added in double, image by image.
//
// With y the output and sums over the elements that are taken together:
//     Softmax     dx = y * (dy - sum(dy * y))
//     LogSoftmax  dx = dy - exp(y) * sum(dy)
// At the end of a model, over the classes, training leaves them out: the loss takes what goes into them.
#include "kernel_list.h"

#include "axes.h"
#include "parallel.h"
#include "reduction.h"
#include "xnn_step.h"

#include <math.h>

struct softmax {
    struct lorac_reduction map;
    bool logarithm, on_xnn;
};

// ---- lowering

// Since operator set 13 over the axis, before over all dimensions from the axis on.
static enum lorac_status read_axes(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   bool together[LORAC_AXIS_COUNT], struct lorac_error *error)
{
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    bool old = lorac_model_opset(lorac_lowering_program(lowering)->model) < 13;
    size_t place = 0;
    LORAC_TRY(lorac_axes_place(node, lorac_node_int(node, "axis", old ? 1 : -1), view.rank, &place, error));
    for (size_t i = place; i < (old ? view.rank : place + 1); i++)
        together[view.axes[i]] = true;
    if (together[LORAC_AXIS_N])
        return lorac_refuse(node, error, "it goes over the batch (axis %lld)",
                            (long long)lorac_node_int(node, "axis", old ? 1 : -1));
    return LORAC_OK;
}

static enum lorac_status lower_kind(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, bool logarithm, struct lorac_error *error)
{
    uint32_t x;
    bool together[LORAC_AXIS_COUNT] = {false};
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(read_axes(lowering, node, together, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct softmax *softmax = lorac_lowering_config(lowering, step, sizeof(*softmax));
    if (!softmax)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *softmax = (struct softmax){.map = lorac_reduction_of(&value, together, 1), .logarithm = logarithm};
    softmax->on_xnn = !logarithm && lorac_reduction_is_rows(&softmax->map);
    step->keeps_output = true;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_like(lowering, node, step, 0, x, error);
}

static enum lorac_status lower_softmax(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    return lower_kind(lowering, node, step, false, error);
}

static enum lorac_status lower_log_softmax(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                           struct lorac_step *step, struct lorac_error *error)
{
    return lower_kind(lowering, node, step, true, error);
}

static bool is_left_out(const struct lorac_step *step)
{
    return ((const struct softmax *)step->config)->map.count == 1; // one distribution per image
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)program;
    (void)error;
    const struct softmax *softmax = step->config;
    step->scratch_bytes = 2 * softmax->map.N * softmax->map.count * sizeof(double);
    return LORAC_OK;
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct softmax *softmax = step->config;
    const struct lorac_reduction *map = &softmax->map;
    struct lorac_xnn *op = NULL;
    if (softmax->on_xnn)
        LORAC_TRY(lorac_xnn_softmax(map->N * map->count, map->each, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

// ---- running

struct job {
    const struct lorac_step *step;
    const struct softmax *softmax;
    double *tops, *sums; // [N, count]
};

static struct job job_of(const struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct softmax *softmax = step->config;
    double *workspace = env->workspace;
    return (struct job){step, softmax, workspace, workspace + softmax->map.N * softmax->map.count};
}

// The largest element and the sum of exp(x - largest) of each result.
static void measure(const struct lorac_reduction *map, const float *x, double *tops, double *sums)
{
    size_t stride = map->strides[LORAC_PART_K];
    for (size_t i = 0; i < map->count; i++) {
        tops[i] = -INFINITY;
        sums[i] = 0.0;
    }
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            double *top = &tops[run.result + k * stride];
            *top = (double)x[run.at + k] > *top ? (double)x[run.at + k] : *top;
        }
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t result = run.result + k * stride;
            sums[result] += exp((double)x[run.at + k] - tops[result]);
        }
}

static void forward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_reduction *map = &job->softmax->map;
    const float *x = job->step->x[0] + n * map->size;
    float *y = job->step->y + n * map->size;
    double *tops = job->tops + n * map->count, *sums = job->sums + n * map->count;
    size_t stride = map->strides[LORAC_PART_K];
    measure(map, x, tops, sums);
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t at = run.at + k, result = run.result + k * stride;
            double z = (double)x[at] - tops[result];
            y[at] = (float)(job->softmax->logarithm ? z - log(sums[result]) : exp(z) / sums[result]);
        }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step, env);
    if (job.softmax->on_xnn)
        lorac_xnn_run(step->state, env->pool);
    else
        lorac_parallel_for(env->pool, forward_image, &job, job.softmax->map.N);
}

static void backward_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_reduction *map = &job->softmax->map;
    bool logarithm = job->softmax->logarithm;
    const float *y = job->step->y + n * map->size, *dy = job->step->dy + n * map->size;
    float *dx = job->step->dx[0] + n * map->size;
    double *sums = job->sums + n * map->count;
    size_t stride = map->strides[LORAC_PART_K];
    for (size_t i = 0; i < map->count; i++)
        sums[i] = 0.0;
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t at = run.at + k;
            sums[run.result + k * stride] += (double)dy[at] * (logarithm ? 1.0 : (double)y[at]);
        }
    for (struct lorac_run run = lorac_run_first(); lorac_run_more(map, &run); lorac_run_next(map, &run))
        for (size_t k = 0; k < map->dims[LORAC_PART_K]; k++) {
            size_t at = run.at + k;
            double sum = sums[run.result + k * stride];
            dx[at] =
                (float)(logarithm ? (double)dy[at] - exp((double)y[at]) * sum : (double)y[at] * ((double)dy[at] - sum));
        }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = job_of(step, env);
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, &job, job.softmax->map.N);
}

const struct lorac_kernel lorac_kernel_softmax = {.op_type = "Softmax",
                                                  .lower = lower_softmax,
                                                  .memory = memory,
                                                  .create = create,
                                                  .forward = forward,
                                                  .backward = backward,
                                                  .is_left_out = is_left_out,
                                                  .destroy = lorac_xnn_step_destroy};
const struct lorac_kernel lorac_kernel_log_softmax = {.op_type = "LogSoftmax",
                                                      .lower = lower_log_softmax,
                                                      .memory = memory,
                                                      .create = create,
                                                      .forward = forward,
                                                      .backward = backward,
                                                      .is_left_out = is_left_out,
                                                      .destroy = lorac_xnn_step_destroy};
