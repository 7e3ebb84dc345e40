// The mean over all pixels: GlobalAveragePool, and ReduceMean over H and W.
#include "kernel_list.h"

#include "parallel.h"
#include "proto/constant.h"
#include "xnn_step.h"

struct global_pool {
    size_t N, pixels, C;
};

static enum lorac_status lower_to(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                  bool keep, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_image_input(lowering, node, 0, &x, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct global_pool *pool = lorac_lowering_config(lowering, step, sizeof(*pool));
    if (!pool)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *pool = (struct global_pool){value.n, value.h * value.w, value.c};
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, 1, 1, value.c, keep ? &lorac_view_image : &lorac_view_matrix, error);
}

static enum lorac_status lower_global(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, struct lorac_error *error)
{
    return lower_to(lowering, node, step, true, error);
}

// Axes are an attribute before operator set 18, an input since.
static enum lorac_status lower_mean(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    struct lorac_int_list axes;
    const struct lorac_constant *constant = NULL;
    if (!lorac_lowering_absent(node, 1))
        LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &constant, error));
    if (!lorac_int_list_read(node, "axes", constant, &axes) || axes.count != 2)
        return lorac_refuse(node, error, "it reduces %zu axes; the two axes H and W are supported", axes.count);
    bool seen[4] = {false};
    for (size_t i = 0; i < 2; i++) {
        int64_t axis = axes.values[i] + (axes.values[i] < 0 ? 4 : 0);
        if (axis < 0 || axis > 3)
            return lorac_refuse(node, error, "axis %lld is outside rank 4", (long long)axis);
        seen[axis] = true;
    }
    if (!seen[2] || !seen[3])
        return lorac_refuse(node, error, "it reduces other axes than H and W");
    return lower_to(lowering, node, step, lorac_node_int(node, "keepdims", 1) != 0, error);
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct global_pool *pool = step->config;
    struct lorac_xnn *op;
    LORAC_TRY(
        lorac_xnn_global_average_pool(pool->N, pool->pixels, pool->C, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

static void backward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct global_pool *pool = step->config;
    const float *dy = step->dy + n * pool->C;
    float *dx = step->dx[0] + n * pool->pixels * pool->C, factor = 1.0f / (float)pool->pixels;
    for (size_t p = 0; p < pool->pixels; p++)
        for (size_t c = 0; c < pool->C; c++)
            dx[p * pool->C + c] = dy[c] * factor;
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct global_pool *pool = step->config;
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, step, pool->N);
}

const struct lorac_kernel lorac_kernel_global_average_pool = {
    .op_type = "GlobalAveragePool",
    .lower = lower_global,
    .create = create,
    .forward = lorac_xnn_step_forward,
    .backward = backward,
    .destroy = lorac_xnn_step_destroy,
};

const struct lorac_kernel lorac_kernel_reduce_mean = {
    .op_type = "ReduceMean",
    .lower = lower_mean,
    .create = create,
    .forward = lorac_xnn_step_forward,
    .backward = backward,
    .destroy = lorac_xnn_step_destroy,
};
