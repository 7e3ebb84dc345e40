// Relu and Clip. What backward reads of y, one bit for each element, is kept in place of it where nothing else keeps y.
//
// At the bounds themselves the gradient is zero, as PyTorch's ReLU and ReLU6 have it (torch.clamp passes it there; the
// two differ only where an activation is the bound exactly and was not clipped).
#include "kernel_list.h"

#include "elementwise.h"

#include <math.h>

struct clip {
    float low, high;
};

static enum lorac_status lower_clip_to(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, float low, float high, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct clip *clip = lorac_lowering_config(lowering, step, sizeof(*clip));
    if (!clip)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *clip = (struct clip){low, high};
    step->keeps_output = true;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_like(lowering, node, step, 0, x, error);
}

static enum lorac_status lower_relu(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    return lower_clip_to(lowering, node, step, 0.0f, INFINITY, error);
}

// min and max are attributes before operator set 11, inputs since.
static enum lorac_status read_bound(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                    const char *attribute, float fallback, float *out, struct lorac_error *error)
{
    *out = lorac_node_float(node, attribute, fallback);
    if (lorac_lowering_absent(node, i))
        return LORAC_OK;
    const struct lorac_constant *constant;
    LORAC_TRY(lorac_lowering_constant(lowering, node, i, &constant, error));
    if (constant->count != 1 || !constant->floating)
        return lorac_refuse(node, error, "%s is not one float", attribute);
    *out = (float)constant->floats[0];
    return LORAC_OK;
}

static enum lorac_status lower_clip(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    float low, high;
    LORAC_TRY(read_bound(lowering, node, 1, "min", -INFINITY, &low, error));
    LORAC_TRY(read_bound(lowering, node, 2, "max", INFINITY, &high, error));
    if (!(low < high))
        return lorac_refuse(node, error, "min %g is not below max %g", (double)low, (double)high);
    return lower_clip_to(lowering, node, step, low, high, error);
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct clip *clip = step->config;
    const size_t count = lorac_value_count(lorac_step_output(env->program, step));
    uint8_t *mask = step->keeps_mask ? (uint8_t *)step->kept : NULL;
    if (!step->is_fused)
        lorac_clip(step->y, step->x[0], mask, clip->low, clip->high, count, env);
    else if (mask)
        lorac_clip_mask(mask, step->y, clip->low, clip->high, count, env);
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct clip *clip = step->config;
    const size_t count = lorac_value_count(lorac_step_output(env->program, step));
    if (!step->dx[0])
        return;
    if (step->keeps_mask)
        lorac_mask_backward(step->dx[0], step->dy, (const uint8_t *)step->kept, count, env);
    else
        lorac_clip_backward(step->dx[0], step->dy, step->y, clip->low, clip->high, count, env);
}

static bool is_clamp(const struct lorac_step *step, float *low, float *high)
{
    const struct clip *clip = step->config;
    *low = clip->low;
    *high = clip->high;
    return true;
}

const struct lorac_kernel lorac_kernel_relu = {
    .op_type = "Relu",
    .lower = lower_relu,
    .forward = forward,
    .backward = backward,
    .in_place_inputs = 1,
    .gradient_in_place = true,
    .can_mask = true,
    .is_clamp = is_clamp,
};

const struct lorac_kernel lorac_kernel_clip = {
    .op_type = "Clip",
    .lower = lower_clip,
    .forward = forward,
    .backward = backward,
    .in_place_inputs = 1,
    .gradient_in_place = true,
    .can_mask = true,
    .is_clamp = is_clamp,
};
