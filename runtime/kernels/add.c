// Add and Sum. Activations of one size are added by XNNPACK, a constant row that is trained (a MatMul's bias) here, and
// all that is broadcast by binary.c.
//
// The gradient of each summand is the gradient of the sum: differentiation shares the buffer, so that no code runs here
// on the way back, but for the constant row's own gradient.
#include "kernel_list.h"

#include "binary.h"
#include "conv_algorithm.h"
#include "elementwise.h"
#include "simd.h"
#include "xnn.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- activations

struct sum {
    float low, high; // what the whole sum is clamped to, as in conv.c
};

struct sum_state {
    size_t count;
    struct lorac_xnn *ops[]; // first x0 + x1 -> y, then y + x2 -> y, ...
};

// True where all inputs are activations of one size as the graph sees them.
static bool same_size(struct lorac_lowering *lowering, const Onnx__NodeProto *node)
{
    const struct lorac_value *values = lorac_lowering_program(lowering)->values;
    int64_t first[LORAC_VIEW_MAX_RANK] = {0}, dims[LORAC_VIEW_MAX_RANK] = {0};
    size_t rank = 0;
    for (size_t i = 0; i < node->n_input; i++) {
        uint32_t x;
        if (lorac_lowering_input(lowering, node, i, &x, NULL) != LORAC_OK)
            return false;
        struct lorac_view view = lorac_lowering_view(lowering, node, i);
        size_t own = lorac_view_dims(&view, &values[x], i ? dims : first);
        if (i == 0)
            rank = own;
        else if (own != rank || memcmp(first, dims, rank * sizeof(*dims)) != 0)
            return false;
    }
    return true;
}

static enum lorac_status lower_sum(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    if (node->n_input < 2 || !same_size(lowering, node))
        return lorac_binary_lower(lowering, node, step, LORAC_BINARY_ADD, error);
    uint32_t *inputs = lorac_arena_alloc_array(lorac_lowering_program(lowering)->arena, node->n_input, sizeof(*inputs));
    if (!inputs)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    struct sum *sum = lorac_lowering_config(lowering, step, sizeof(*sum));
    if (!sum)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *sum = (struct sum){-INFINITY, INFINITY};
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    for (size_t i = 0; i < node->n_input; i++) // one that is a Transpose of the first is brought to its order
        LORAC_TRY(lorac_lowering_input_as(lowering, node, i, &view, &inputs[i], error));
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, inputs, node->n_input, error));
    return lorac_lowering_output_like(lowering, node, step, 0, inputs[0], error);
}

static void destroy_sum(struct lorac_step *step)
{
    struct sum_state *state = step->state;
    for (size_t i = 0; state && i < state->count; i++)
        lorac_xnn_destroy(state->ops[i]);
    free(state);
    step->state = NULL;
}

static enum lorac_status create_sum(struct lorac_step *step, const struct lorac_kernel_env *env,
                                    struct lorac_error *error)
{
    assert(step->input_count > 1); // one is an alias
    size_t ops = step->input_count - 1;
    struct sum_state *state = calloc(1, sizeof(*state) + ops * sizeof(*state->ops));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    step->state = state;
    state->count = ops;
    size_t count = lorac_value_count(lorac_step_output(env->program, step));
    const struct sum *sum = step->config;
    for (size_t i = 0; i < ops; i++) {
        const bool is_last = i + 1 == ops;
        LORAC_TRY(lorac_xnn_add(count, is_last ? sum->low : -INFINITY, is_last ? sum->high : INFINITY,
                                i == 0 ? step->x[0] : step->y, step->x[i + 1], step->y, env->pool, &state->ops[i],
                                error));
    }
    return LORAC_OK;
}

static void forward_sum(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct sum_state *state = step->state;
    for (size_t i = 0; i < state->count; i++)
        lorac_xnn_run(state->ops[i], env->pool);
}

static bool take_clamp(struct lorac_step *step, float low, float high)
{
    *(struct sum *)step->config = (struct sum){low, high};
    return true;
}

// ---- a constant row that is trained

struct row {
    size_t rows, C;
};

static enum lorac_status lower_row(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, size_t activation, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, activation, &x, error));
    LORAC_TRY(lorac_lowering_param(lowering, node, 1 - activation, &step->params[0], error));
    step->param_count = 1;
    struct lorac_view view = lorac_lowering_view(lowering, node, activation);
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    const struct lorac_param *row = lorac_step_param(lorac_lowering_program(lowering), step, 0);
    // ONNX aligns dimensions at the end: a row of C for [N, C], C x 1 x 1 for [N, C, H, W].
    int channel = lorac_view_find(&view, LORAC_AXIS_C);
    size_t behind = view.rank - 1 - (size_t)channel;
    bool fits = channel >= 0 && row->rank > behind && row->rank <= view.rank && row->count == value.c &&
                row->dims[row->rank - 1 - behind] == (int64_t)value.c;
    if (!fits)
        return lorac_refuse(node, error,
                            "a trained constant of %zu elements does not fit %zu channels; one value per channel is "
                            "supported",
                            row->count, value.c);
    struct row *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = (struct row){value.n * value.h * value.w, value.c};
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_like(lowering, node, step, activation, x, error);
}

static enum lorac_status memory_row(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)error;
    const struct row *row = step->config;
    program->params[step->params[0]].kept = true;
    if (step->has_trainable)
        step->scratch_bytes = lorac_column_workspace(row->rows, row->C);
    return LORAC_OK;
}

static void forward_row(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct row *row = step->config;
    const float *constant = lorac_step_param(env->program, step, 0)->data;
    for (size_t r = 0; r < row->rows; r++)
        env->simd->add(step->y + r * row->C, step->x[0] + r * row->C, constant, row->C);
}

static void backward_row(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct row *row = step->config;
    struct lorac_param *param = lorac_step_param(env->program, step, 0);
    if (param->trainable)
        lorac_bias_gradient(step->dy, row->rows, row->C, NULL, param->gradient, env->workspace, env);
    if (step->dx[0])
        memcpy(step->dx[0], step->dy, row->rows * row->C * sizeof(float));
}

static const struct lorac_kernel lorac_kernel_add_row = {
    .op_type = "Add",
    .lower = NULL, // chosen by lower_add
    .memory = memory_row,
    .forward = forward_row,
    .backward = backward_row,
};

// Also of a program that does not train: what was trained is loaded into the parameter there.
static bool listed_as_trainable(struct lorac_lowering *lowering, const char *name)
{
    const struct lorac_meta *meta = lorac_lowering_program(lowering)->meta;
    for (size_t i = 0; meta->injected && i < meta->trainable_count; i++)
        if (strcmp(meta->trainable[i], name) == 0)
            return true;
    return false;
}

static enum lorac_status lower_add(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    if (node->n_input != 2)
        return lorac_refuse(node, error, "it has %zu inputs; Add has 2", node->n_input);
    for (size_t i = 0; i < 2; i++)
        if (listed_as_trainable(lowering, lorac_node_input(node, 1 - i))) {
            step->kernel = &lorac_kernel_add_row;
            return lower_row(lowering, node, step, i, error);
        }
    return lower_sum(lowering, node, step, error);
}

const struct lorac_kernel lorac_kernel_add = {
    .op_type = "Add",
    .lower = lower_add,
    .create = create_sum,
    .forward = forward_sum,
    .destroy = destroy_sum,
    .passes_gradient = true,
    .in_place_inputs = 2,
    .take_clamp = take_clamp,
};

const struct lorac_kernel lorac_kernel_sum = {
    .op_type = "Sum",
    .lower = lower_sum,
    .create = create_sum,
    .forward = forward_sum,
    .destroy = destroy_sum,
    .passes_gradient = true,
    .take_clamp = take_clamp,
    .in_place_inputs = 2, // the others of a Sum are read after y was written
};
