// Gemm of activations [N, K] and MatMul of activations [N, ..., K] with a constant matrix. Every place but the last
// dimension is a row.
//
// y = alpha * x @ W + beta * bias. Parameters: 0 the weight, [outputs, inputs] or (transposed) [inputs, outputs]; 1 the
// bias, of one value for each output or for all. alpha and beta go into the packed weights; they are 1 in nearly every
// model.
#include "kernel_list.h"

#include "conv_algorithm.h"
#include "parallel.h"
#include "simd.h"
#include "xnn.h"

#include <stdlib.h>

struct gemm {
    size_t rows, inputs, outputs;
    bool transposed; // the weight is stored [inputs, outputs]
    float alpha, beta;
};

struct state {
    struct lorac_xnn *forward, *gradient;
};

static enum lorac_status lower_product(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, const struct gemm *wanted, uint32_t x,
                                       const struct lorac_view *view, struct lorac_error *error)
{
    LORAC_TRY(lorac_lowering_param(lowering, node, 1, &step->params[0], error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    const struct lorac_param *weight = lorac_step_param(lorac_lowering_program(lowering), step, 0);
    if (weight->rank != 2 || weight->count == 0)
        return lorac_refuse(node, error, "its weight has rank %zu and %zu elements; a matrix is needed", weight->rank,
                            weight->count);
    struct gemm *gemm = lorac_lowering_config(lowering, step, sizeof(*gemm));
    if (!gemm)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *gemm = *wanted;
    gemm->rows = value.n * value.h * value.w;
    gemm->inputs = (size_t)weight->dims[gemm->transposed ? 0 : 1];
    gemm->outputs = (size_t)weight->dims[gemm->transposed ? 1 : 0];
    if (gemm->inputs != value.c)
        return lorac_refuse(node, error, "its weight takes %zu inputs, the activation has %zu", gemm->inputs, value.c);
    step->param_count = 2;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, value.h, value.w, gemm->outputs, view, error);
}

static enum lorac_status lower_gemm(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    if (lorac_node_int(node, "transA", 0) != 0)
        return lorac_refuse(node, error, "transA = 1 is not supported");
    struct gemm gemm = {.transposed = lorac_node_int(node, "transB", 0) == 0,
                        .alpha = lorac_node_float(node, "alpha", 1.0f),
                        .beta = lorac_node_float(node, "beta", 1.0f)};
    uint32_t x;
    LORAC_TRY(lorac_lowering_matrix_input(lowering, node, 0, &x, error));
    LORAC_TRY(lower_product(lowering, node, step, &gemm, x, &lorac_view_matrix, error));
    if (lorac_lowering_absent(node, 2))
        return LORAC_OK;
    LORAC_TRY(lorac_lowering_param(lowering, node, 2, &step->params[1], error));
    const struct lorac_param *bias = lorac_step_param(lorac_lowering_program(lowering), step, 1);
    size_t outputs = ((const struct gemm *)step->config)->outputs;
    bool row = bias->count == outputs && (bias->rank == 1 || (bias->rank == 2 && bias->dims[0] == 1));
    if (!row && !(bias->count == 1 && bias->rank <= 2))
        return lorac_refuse(node, error,
                            "its bias has rank %zu and %zu elements; one value per output (%zu), or one for all, is "
                            "supported",
                            bias->rank, bias->count, outputs);
    return LORAC_OK;
}

// Input 0 with its last dimension as channels, the others in their order.
static enum lorac_status rows_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, uint32_t *x,
                                    struct lorac_view *view, struct lorac_error *error)
{
    static const enum lorac_axis names[] = {LORAC_AXIS_H, LORAC_AXIS_W};
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, x, error));
    *view = lorac_lowering_view(lowering, node, 0);
    const struct lorac_value value = lorac_lowering_program(lowering)->values[*x];
    size_t last = view->rank - 1, used = 0;
    if (view->rank < 2 || view->axes[last] == LORAC_AXIS_N)
        return lorac_refuse(node, error, "input 0 ('%s') is %s; the batch before the last dimension is supported",
                            lorac_node_input(node, 0), lorac_view_format(view, &value).text);
    if (view->axes[last] == LORAC_AXIS_C)
        return LORAC_OK;
    // Three axes at most are larger than 1, and the last dimension takes one name even where it is 1.
    for (size_t i = 0; i < last; i++)
        if (view->axes[i] != LORAC_AXIS_N) {
            bool large = lorac_view_size(&value, view->axes[i]) != 1;
            if (large && used == 2)
                return lorac_refuse(node, error,
                                    "input 0 ('%s') is %s; two dimensions larger than 1 between the "
                                    "batch and the last are supported",
                                    lorac_node_input(node, 0), lorac_view_format(view, &value).text);
            view->axes[i] = large ? names[used++] : LORAC_AXIS_ONE;
        }
    view->axes[last] = LORAC_AXIS_C;
    return lorac_lowering_input_as(lowering, node, 0, view, x, error);
}

static enum lorac_status lower_mat_mul(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    struct gemm gemm = {.transposed = true, .alpha = 1.0f, .beta = 1.0f};
    uint32_t x;
    struct lorac_view view;
    if (lorac_lowering_is_constant(lowering, lorac_node_input(node, 0)))
        return lorac_refuse(node, error,
                            "it multiplies a constant ('%s') with an activation; activation times constant is "
                            "supported: transpose both operands and the result, or use Gemm with transB = 1",
                            lorac_node_input(node, 0));
    LORAC_TRY(rows_input(lowering, node, &x, &view, error));
    return lower_product(lowering, node, step, &gemm, x, &view, error);
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)error;
    const struct gemm *gemm = step->config;
    struct lorac_param *weight = lorac_step_param(program, step, 0), *bias = lorac_step_param(program, step, 1);
    size_t bytes = (gemm->inputs + 1) * gemm->outputs * sizeof(float); // scaled copies of both
    step->keeps_inputs = weight->trainable;
    weight->kept |= step->has_trainable;
    if (bias) {
        bias->kept |= step->has_trainable;
        size_t columns = lorac_column_workspace(gemm->rows, gemm->outputs) + gemm->outputs * sizeof(float);
        bytes = bytes > columns ? bytes : columns;
    }
    step->scratch_bytes = bytes;
    step->create_scratch_bytes = gemm->alpha == 1.0f ? 0 : weight->count * sizeof(float);
    return LORAC_OK;
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    const struct gemm *gemm = step->config;
    bool gradient = lorac_step_input(program, step, 0)->needs_gradient;
    return lorac_xnn_packed_bytes(1, gemm->outputs, gemm->inputs) +
           (gradient ? lorac_xnn_packed_bytes(1, gemm->inputs, gemm->outputs) : 0);
}

static size_t multiply_adds(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct gemm *gemm = step->config;
    return gemm->rows * gemm->inputs * gemm->outputs;
}

// The bias as a row of [outputs] times beta, at [to] where it has to be made.
static const float *bias_row(const struct gemm *gemm, const struct lorac_param *bias, float *to)
{
    if (!bias || (bias->count == gemm->outputs && gemm->beta == 1.0f))
        return bias ? bias->data : NULL;
    for (size_t i = 0; i < gemm->outputs; i++)
        to[i] = bias->data[bias->count == 1 ? 0 : i] * gemm->beta;
    return to;
}

// [from] times [factor] at [to], or [from] itself where the factor is 1.
static const float *scaled(const float *from, size_t count, float factor, float *to)
{
    if (factor == 1.0f)
        return from;
    for (size_t i = 0; i < count; i++)
        to[i] = from[i] * factor;
    return to;
}

static enum lorac_status rebuild(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct gemm *gemm = step->config;
    struct state *state = step->state;
    size_t count = gemm->inputs * gemm->outputs;
    const struct lorac_param *bias = lorac_step_param(env->program, step, 1);
    float *workspace = env->workspace;
    const float *weight = scaled(lorac_step_param(env->program, step, 0)->data, count, gemm->alpha, workspace);
    const float *row = bias_row(gemm, bias, workspace + count);
    lorac_xnn_destroy(state->forward);
    state->forward = NULL;
    LORAC_TRY(lorac_xnn_fully_connected(gemm->rows, gemm->inputs, gemm->outputs, weight, gemm->transposed, row,
                                        step->x[0], step->y, env->pool, &state->forward, error));
    if (!step->dx || !step->dx[0])
        return LORAC_OK;
    lorac_xnn_destroy(state->gradient);
    state->gradient = NULL;
    return lorac_xnn_fully_connected(gemm->rows, gemm->outputs, gemm->inputs, weight, !gemm->transposed, NULL, step->dy,
                                     step->dx[0], env->pool, &state->gradient, error);
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    step->state = calloc(1, sizeof(struct state));
    if (!step->state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    return rebuild(step, env, error);
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_xnn_run(((struct state *)step->state)->forward, env->pool);
}

// Rows [begin, end) of the weight's gradient, whichever way it is stored.
struct weight_job {
    const struct lorac_simd *simd;
    const struct gemm *gemm;
    const float *left, *right; // [rows, m], [rows, c]
    size_t m, c;
    float *gradient; // [m, c]
};

static void weight_rows(void *context, size_t begin, size_t end)
{
    const struct weight_job *job = context;
    struct lorac_outer outer = {.left = job->left + begin,
                                .right = job->right,
                                .images = 1,
                                .rows = 1,
                                .columns = job->gemm->rows,
                                .left_pixel = job->m,
                                .left_channel = 1,
                                .right_pixel = job->c,
                                .m_count = end - begin,
                                .c_count = job->c,
                                .out = job->gradient + begin * job->c,
                                .out_row = job->c,
                                .scale = job->gemm->alpha};
    job->simd->outer(&outer);
}

static void weight_backward(struct lorac_step *step, const struct lorac_kernel_env *env, float *gradient)
{
    const struct gemm *gemm = step->config;
    struct weight_job job = {env->simd, gemm, step->dy, step->x[0], gemm->outputs, gemm->inputs, gradient};
    if (gemm->transposed) {
        job.left = step->x[0];
        job.right = step->dy;
        job.m = gemm->inputs;
        job.c = gemm->outputs;
    }
    lorac_parallel_ranges(env->pool, weight_rows, &job, job.m, 48);
}

static void bias_backward(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_param *bias)
{
    const struct gemm *gemm = step->config;
    size_t columns = lorac_column_workspace(gemm->rows, gemm->outputs);
    float *sum = (float *)((char *)env->workspace + columns);
    for (size_t i = 0; i < gemm->outputs; i++)
        sum[i] = 0.0f;
    lorac_bias_gradient(step->dy, gemm->rows, gemm->outputs, NULL, sum, env->workspace, env);
    for (size_t i = 0; i < gemm->outputs; i++)
        bias->gradient[bias->count == 1 ? 0 : i] += gemm->beta * sum[i];
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct lorac_param *weight = lorac_step_param(env->program, step, 0),
                       *bias = lorac_step_param(env->program, step, 1);
    if (weight->trainable)
        weight_backward(step, env, weight->gradient);
    if (bias && bias->trainable)
        bias_backward(step, env, bias);
    if (step->dx[0])
        lorac_xnn_run(((struct state *)step->state)->gradient, env->pool);
}

static void destroy(struct lorac_step *step)
{
    struct state *state = step->state;
    if (!state)
        return;
    lorac_xnn_destroy(state->forward);
    lorac_xnn_destroy(state->gradient);
    free(state);
    step->state = NULL;
}

const struct lorac_kernel lorac_kernel_gemm = {
    .op_type = "Gemm",
    .lower = lower_gemm,
    .memory = memory,
    .create = create,
    .refresh = rebuild,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .multiply_adds = multiply_adds,
};

const struct lorac_kernel lorac_kernel_mat_mul = {
    .op_type = "MatMul",
    .lower = lower_mat_mul,
    .memory = memory,
    .create = create,
    .refresh = rebuild,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .multiply_adds = multiply_adds,
};
