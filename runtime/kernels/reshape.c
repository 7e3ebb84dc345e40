// Operators that change how a value is seen: Identity, Dropout (off), Flatten, Reshape.
//
// One pixel per image, or a matrix: the same memory under another rank, no step. Several pixels flattened: ONNX counts
// [C, H, W], we hold [H, W, C], so the elements have to move.
#include "kernel_list.h"

#include "proto/constant_internal.h"
#include "parallel.h"

struct flatten {
    size_t N, pixels, C;
};

// ---- Identity and Dropout

static enum lorac_status lower_identity(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    return lorac_lowering_alias(lowering, node, step, x, lorac_lowering_input_is_matrix(lowering, node, 0), error);
}

static enum lorac_status lower_dropout(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    if (node->n_output > 1 && node->output[1][0])
        return lorac_refuse(node, error, "its mask output is not supported");
    if (!lorac_lowering_absent(node, 2)) {
        const struct lorac_constant *mode;
        LORAC_TRY(lorac_lowering_constant(lowering, node, 2, &mode, error));
        if (mode->count != 1 || lorac_constant_int(mode, 0) != 0)
            return lorac_refuse(node, error, "it was exported in training mode; export the model in evaluation mode");
    }
    return lower_identity(lowering, node, step, error);
}

// ---- Flatten and Reshape

static enum lorac_status to_rows(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                 uint32_t x, struct lorac_error *error)
{
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    size_t pixels = value.h * value.w;
    if (pixels == 1)
        return lorac_lowering_alias(lowering, node, step, x, true, error);
    struct flatten *flatten = lorac_lowering_config(lowering, step, sizeof(*flatten));
    if (!flatten)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *flatten = (struct flatten){value.n, pixels, value.c};
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, 1, 1, value.c * pixels, true, error);
}

static enum lorac_status lower_flatten(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    int64_t rank = lorac_lowering_input_is_matrix(lowering, node, 0) ? 2 : 4, axis = lorac_node_int(node, "axis", 1);
    axis += axis < 0 ? rank : 0;
    if (axis != 1)
        return lorac_refuse(node, error, "axis %lld is not supported; axis 1, a row per image, is",
                            (long long)lorac_node_int(node, "axis", 1));
    return to_rows(lowering, node, step, x, error);
}

// A shape that is a literal in the file and starts with a number is right for that one batch size only; so is a
// computed one that starts with another number than this batch.
static bool bakes_the_batch_in(struct lorac_lowering *lowering, const Onnx__NodeProto *node, int64_t first, int64_t N)
{
    bool literal = lorac_model_constant(lorac_lowering_program(lowering)->model, lorac_node_input(node, 1));
    return first > 0 && (literal || first != N);
}

static enum lorac_status lower_reshape(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    const struct lorac_constant *shape;
    int64_t target[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &shape, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    int64_t N = (int64_t)value.n, C = (int64_t)value.c, H = (int64_t)value.h, W = (int64_t)value.w;
    const int64_t from[4] = {N, C, H, W};
    size_t rank = lorac_lowering_input_is_matrix(lowering, node, 0) ? 2 : 4;
    if (shape->count == 0 || shape->count > LORAC_CONSTANT_MAX_RANK || shape->floating)
        return lorac_refuse(node, error, "its shape is not a list of 1 to %d integers", LORAC_CONSTANT_MAX_RANK);
    for (size_t i = 0; i < shape->count; i++)
        target[i] = lorac_constant_int(shape, i);
    if (bakes_the_batch_in(lowering, node, target[0], N))
        return lorac_refuse(node, error,
                            "its shape starts with the constant %lld, which bakes one batch size in; export "
                            "the model with a free batch, or put 0 or -1 there",
                            (long long)target[0]);
    if (!lorac_reshape_dims(from, rank, target, shape->count, lorac_node_int(node, "allowzero", 0) != 0, dims))
        return lorac_refuse(node, error, "its shape does not fit %lld x %lld x %lld x %lld (N, C, H, W)", (long long)N,
                            (long long)C, (long long)H, (long long)W);
    if (dims[0] == N && shape->count == 2)
        return to_rows(lowering, node, step, x, error);
    if (dims[0] == N && shape->count == 4 && dims[1] == C && dims[2] == H && dims[3] == W)
        return lorac_lowering_alias(lowering, node, step, x, false, error);
    return lorac_refuse(node, error, "it does more than make a row of each image, or leave it as it is");
}

static void forward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct flatten *f = step->config;
    const float *x = step->x[0] + n * f->pixels * f->C;
    float *y = step->y + n * f->pixels * f->C;
    for (size_t c = 0; c < f->C; c++)
        for (size_t p = 0; p < f->pixels; p++)
            y[c * f->pixels + p] = x[p * f->C + c];
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_parallel_for(env->pool, forward_image, step, ((const struct flatten *)step->config)->N);
}

static void backward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct flatten *f = step->config;
    const float *dy = step->dy + n * f->pixels * f->C;
    float *dx = step->dx[0] + n * f->pixels * f->C;
    for (size_t c = 0; c < f->C; c++)
        for (size_t p = 0; p < f->pixels; p++)
            dx[p * f->C + c] = dy[c * f->pixels + p];
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, step, ((const struct flatten *)step->config)->N);
}

const struct lorac_kernel lorac_kernel_identity = {.op_type = "Identity", .lower = lower_identity};
const struct lorac_kernel lorac_kernel_dropout = {.op_type = "Dropout", .lower = lower_dropout};
const struct lorac_kernel lorac_kernel_flatten = {
    .op_type = "Flatten", .lower = lower_flatten, .forward = forward, .backward = backward};
const struct lorac_kernel lorac_kernel_reshape = {
    .op_type = "Reshape", .lower = lower_reshape, .forward = forward, .backward = backward};
