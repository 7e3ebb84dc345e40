// BatchNormalization with its scale and shift frozen. With frozen statistics too, a convolution before it takes it over
// where it can (conv_norm.h); what is here runs the others.
//
// Frozen statistics: y = x*g + b with g = scale / sqrt(var + epsilon), b = shift - mean*g, made once in double.
// Training: the batch's own mean and population variance; the running ones move in commit, as PyTorch moves them
// (running = running*momentum + batch*(1 - momentum), with the unbiased variance). Gradient to x, with
// d = x - mean and sums over all N*H*W positions of a channel:
//     dx = g * (dy - mean(dy) - d * mean(dy*d) / (var + epsilon))
//
// Parameters: 0 scale, 1 shift, 2 running mean, 3 running variance.
#include "kernel_list.h"

#include "batch_norm.h"
#include "columns.h"
#include "conv_algorithm.h"
#include "elementwise.h"
#include "parallel.h"
#include "simd.h"

#include <math.h>
#include <stdlib.h>

struct batch_norm {
    double epsilon, momentum;
    size_t rows, C;
    bool train;
};

// All arrays [C].
struct state {
    float *gain, *shift;              // y = x*gain + shift
    float *mean;                      // of the batch
    double *sum, *variance, *inverse; // of the batch; inverse = 1 / sqrt(variance + epsilon)
    float *dy_mean, *slope;           // for the way back
    double memory[];                  // where they all are
};

static enum lorac_status check_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    const struct lorac_step *step, size_t pixels, size_t C, struct lorac_error *error)
{
    for (size_t i = 1; i < node->n_output; i++)
        if (node->output[i][0])
            return lorac_refuse(node, error,
                                "it was exported in training mode (it gives '%s'); export the model in evaluation "
                                "mode",
                                node->output[i]);
    if (lorac_node_int(node, "training_mode", 0) != 0)
        return lorac_refuse(node, error,
                            "it was exported in training mode (training_mode = 1); export the model in "
                            "evaluation mode");
    if (lorac_node_int(node, "spatial", 1) == 0 && pixels > 1)
        return lorac_refuse(node, error,
                            "spatial = 0 (own statistics for each of %zu pixels) is not supported; spatial = 1 is",
                            pixels);
    static const char *const NAMES[] = {"scale", "shift", "mean", "variance"};
    for (size_t i = 0; i < 4; i++) {
        const struct lorac_param *param = lorac_step_param(lorac_lowering_program(lowering), step, i);
        if (param->count != C)
            return lorac_refuse(node, error, "its %s has %zu elements for %zu channels", NAMES[i], param->count, C);
        if (param->trainable)
            return lorac_refuse(node, error, "'%s' is listed in lorac.trainable; BatchNorm parameters are not trained",
                                param->name);
    }
    return LORAC_OK;
}

static enum lorac_status lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                               struct lorac_error *error)
{
    uint32_t x;
    struct lorac_view view;
    LORAC_TRY(lorac_lowering_channel_input(lowering, node, 0, &x, &view, error));
    step->param_count = 4;
    for (size_t i = 0; i < 4; i++)
        LORAC_TRY(lorac_lowering_param(lowering, node, i + 1, &step->params[i], error));
    struct lorac_program *program = lorac_lowering_program(lowering);
    const struct lorac_value value = program->values[x];
    LORAC_TRY(check_node(lowering, node, step, value.h * value.w, value.c, error));
    struct batch_norm *norm = lorac_lowering_config(lowering, step, sizeof(*norm));
    if (!norm)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *norm = (struct batch_norm){.epsilon = (double)lorac_node_float(node, "epsilon", 1e-5f),
                                .momentum = (double)lorac_node_float(node, "momentum", 0.9f),
                                .rows = value.n * value.h * value.w,
                                .C = value.c,
                                .train = program->bn_train};
    if (norm->train && norm->rows < 2)
        return lorac_refuse(node, error,
                            "a channel has a single value in a batch of %zu; BatchNorm in mode train needs "
                            "two or more",
                            value.n);
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, value.h, value.w, value.c, &view, error);
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    const struct batch_norm *norm = step->config;
    if (!norm->train)
        return LORAC_OK;
    for (size_t i = 0; i < 4; i++) {
        struct lorac_param *param = lorac_step_param(program, step, i);
        param->kept = true;
        if (i < 2)
            continue;
        // The statistics move, so each must be one tensor of the file that belongs to this node alone.
        if (!param->tensor)
            return lorac_refuse(step->node, error,
                                "its statistics '%s' are computed by other nodes and cannot be moved; "
                                "use BatchNorm frozen",
                                param->name);
        const struct lorac_use *uses;
        if (lorac_model_uses(program->model, param->name, &uses) > 1 ||
            lorac_model_is_graph_output(program->model, param->name))
            return lorac_refuse(step->node, error,
                                "its statistics '%s' are read by another node too and cannot be moved; use BatchNorm "
                                "frozen",
                                param->name);
        param->updated = true;
    }
    step->keeps_inputs = step->needs_backward;
    step->scratch_bytes = lorac_column_workspace(norm->rows, norm->C) + 2 * norm->C * sizeof(double);
    return LORAC_OK;
}

bool lorac_batch_norm_is_fixed(const struct lorac_step *step, double *epsilon)
{
    const struct batch_norm *norm = step->config;
    if (step->kernel != &lorac_kernel_batch_norm || norm->train)
        return false;
    *epsilon = norm->epsilon;
    return true;
}

struct lorac_channel_map lorac_batch_norm_map(const struct lorac_param *const params[LORAC_BATCH_NORM_PARAMS],
                                              double epsilon, size_t c)
{
    double scale = (double)params[0]->data[c], shift = (double)params[1]->data[c];
    double mean = (double)params[2]->data[c], variance = (double)params[3]->data[c];
    double gain = scale / sqrt(variance + epsilon);
    return (struct lorac_channel_map){gain, shift - mean * gain};
}

static void use_running_statistics(const struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    struct state *state = step->state;
    const struct lorac_param *params[LORAC_BATCH_NORM_PARAMS];
    for (size_t i = 0; i < LORAC_BATCH_NORM_PARAMS; i++)
        params[i] = lorac_step_param(env->program, step, i);
    for (size_t c = 0; c < norm->C; c++) {
        const struct lorac_channel_map map = lorac_batch_norm_map(params, norm->epsilon, c);
        state->gain[c] = (float)map.gain;
        state->shift[c] = (float)map.shift;
    }
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct batch_norm *norm = step->config;
    size_t C = norm->C;
    struct state *state = calloc(1, sizeof(*state) + C * (3 * sizeof(double) + 5 * sizeof(float)));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    step->state = state;
    state->sum = state->memory;
    state->variance = state->sum + C;
    state->inverse = state->variance + C;
    state->gain = (float *)(state->inverse + C);
    state->shift = state->gain + C;
    state->mean = state->shift + C;
    state->dy_mean = state->mean + C;
    state->slope = state->dy_mean + C;
    use_running_statistics(step, env);
    return LORAC_OK;
}

static void use_batch_statistics(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    struct state *state = step->state;
    const float *scale = lorac_step_param(env->program, step, 0)->data;
    const float *shift = lorac_step_param(env->program, step, 1)->data;
    size_t C = norm->C;
    double rows = (double)norm->rows;
    lorac_column_sums(LORAC_COLUMN_SUM, step->x[0], NULL, NULL, norm->rows, C, state->sum, env->workspace, env);
    for (size_t c = 0; c < C; c++)
        state->mean[c] = (float)(state->sum[c] / rows);
    lorac_column_sums(LORAC_COLUMN_SQUARES, step->x[0], NULL, state->mean, norm->rows, C, state->variance,
                      env->workspace, env);
    for (size_t c = 0; c < C; c++) {
        // The squares were taken around the mean rounded to float: what that moved is taken away again.
        double mean = state->sum[c] / rows, offset = mean - (double)state->mean[c];
        state->variance[c] = state->variance[c] / rows - offset * offset;
        state->inverse[c] = 1.0 / sqrt(state->variance[c] + norm->epsilon);
        double gain = (double)scale[c] * state->inverse[c];
        state->gain[c] = (float)gain;
        state->shift[c] = (float)((double)shift[c] - mean * gain);
    }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    const struct state *state = step->state;
    if (norm->train && env->training)
        use_batch_statistics(step, env);
    else if (norm->train)
        use_running_statistics(step, env);
    lorac_scale_shift(step->y, step->x[0], state->gain, state->shift, norm->rows, norm->C, env);
}

struct backward_job {
    const struct lorac_step *step;
    const struct batch_norm *norm;
    const struct lorac_simd *simd;
};

static void backward_rows(void *context, size_t begin, size_t end)
{
    const struct backward_job *job = context;
    const struct state *state = job->step->state;
    size_t C = job->norm->C, first = begin * C;
    job->simd->batch_norm_backward(job->step->dx[0] + first, job->step->dy + first, job->step->x[0] + first,
                                   state->mean, state->gain, state->dy_mean, state->slope, end - begin, C);
}

static void backward_train(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    struct state *state = step->state;
    size_t C = norm->C;
    double rows = (double)norm->rows, *dy_sum = env->workspace, *product = dy_sum + C;
    void *workspace = product + C;
    lorac_column_sums(LORAC_COLUMN_SUM, step->dy, NULL, NULL, norm->rows, C, dy_sum, workspace, env);
    lorac_column_sums(LORAC_COLUMN_PRODUCT, step->x[0], step->dy, state->mean, norm->rows, C, product, workspace, env);
    for (size_t c = 0; c < C; c++) {
        state->dy_mean[c] = (float)(dy_sum[c] / rows);
        state->slope[c] = (float)(product[c] / rows * state->inverse[c] * state->inverse[c]);
    }
    struct backward_job job = {step, norm, env->simd};
    lorac_parallel_ranges(env->pool, backward_rows, &job, norm->rows, 16 * 1024 / C + 1);
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    const struct state *state = step->state;
    if (!step->dx[0])
        return;
    if (norm->train)
        backward_train(step, env);
    else
        lorac_scale_shift(step->dx[0], step->dy, state->gain, NULL, norm->rows, norm->C, env);
}

// Channel c's running mean and variance after this step.
static float moved_mean(const struct batch_norm *norm, const struct state *state, const float *mean, size_t c)
{
    double keep = norm->momentum;
    return (float)((double)mean[c] * keep + state->sum[c] / (double)norm->rows * (1.0 - keep));
}

static float moved_variance(const struct batch_norm *norm, const struct state *state, const float *variance, size_t c)
{
    double rows = (double)norm->rows, unbiased = rows / (rows - 1.0), keep = norm->momentum;
    return (float)((double)variance[c] * keep + state->variance[c] * unbiased * (1.0 - keep));
}

// Activations may be finite, and the loss as well since this node divides by their spread, where the variance is too
// large for a float.
static bool can_commit(const struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    const struct state *state = step->state;
    const float *mean = lorac_step_param(env->program, step, 2)->data;
    const float *variance = lorac_step_param(env->program, step, 3)->data;
    bool finite = true;
    for (size_t c = 0; norm->train && c < norm->C; c++)
        finite =
            finite && isfinite(moved_mean(norm, state, mean, c)) && isfinite(moved_variance(norm, state, variance, c));
    return finite;
}

static void commit(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct batch_norm *norm = step->config;
    const struct state *state = step->state;
    if (!norm->train)
        return;
    float *mean = lorac_step_param(env->program, step, 2)->own;
    float *variance = lorac_step_param(env->program, step, 3)->own;
    for (size_t c = 0; c < norm->C; c++) {
        mean[c] = moved_mean(norm, state, mean, c);
        variance[c] = moved_variance(norm, state, variance, c);
    }
}

static void destroy(struct lorac_step *step)
{
    free(step->state);
    step->state = NULL;
}

const struct lorac_kernel lorac_kernel_batch_norm = {
    .op_type = "BatchNormalization",
    .lower = lower,
    .memory = memory,
    .create = create,
    .forward = forward,
    .backward = backward,
    .commit = commit,
    .can_commit = can_commit,
    .destroy = destroy,
    .in_place_inputs = 1,
    .gradient_in_place = true,
};
