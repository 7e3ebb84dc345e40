// What is read from a Conv node, its weight and its adapter's record, and checked before anything runs (conv.c).
#include "conv_step.h"

#include "conv_norm.h"
#include "window.h"

#include <math.h>
#include <string.h>

static enum lorac_status lower_adapter(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       const struct lorac_adapter *adapter, struct lorac_step *step, struct conv *conv,
                                       struct lorac_error *error)
{
    struct lorac_adapter_site site;
    LORAC_TRY(lorac_lowering_locate(lowering, adapter, &site, error));
    if (site.conv != node)
        return lorac_refuse(node, error, "its adapter's metadata names another node");
    LORAC_TRY(lorac_lowering_param_named(lowering, adapter->weight, &step->params[0], error));
    LORAC_TRY(lorac_lowering_param_named(lowering, adapter->a, &step->params[2], error));
    LORAC_TRY(lorac_lowering_param_named(lowering, adapter->b, &step->params[3], error));
    conv->adapted = true;
    conv->adapter = (struct lorac_conv_adapter){
        .rows = (size_t)(site.M * site.kh), .columns = (size_t)(site.Cg * site.kw), .R = (size_t)site.R, .s = site.s};
    return LORAC_OK;
}

// The kernel's size, from the weight alone.
static enum lorac_status read_kernel(const Onnx__NodeProto *node, const struct lorac_param *weight,
                                     struct lorac_window *window, struct lorac_error *error)
{
    if (weight->rank != 4 && weight->rank != 3)
        return lorac_refuse(node, error, "its weight has rank %zu; 2-D and 1-D convolutions (rank 4, 3) are supported",
                            weight->rank);
    const int64_t kh = weight->rank == 4 ? weight->dims[2] : 1, kw = weight->dims[weight->rank - 1];
    if (weight->dims[0] < 1 || weight->dims[1] < 1 || kh < 1 || kw < 1)
        return lorac_refuse(node, error, "its weight is empty");
    if (kh > 65535 || kw > 65535)
        return lorac_refuse(node, error, "its kernel is %lld x %lld; at most 65535 is supported", (long long)kh,
                            (long long)kw);
    *window = (struct lorac_window){.rank = weight->rank - 2, .kh = (size_t)kh, .kw = (size_t)kw};
    return LORAC_OK;
}

static enum lorac_status check_channels(const Onnx__NodeProto *node, const struct lorac_param *weight,
                                        const struct lorac_param *bias, const struct lorac_value *input, int64_t group,
                                        struct lorac_error *error)
{
    int64_t M = weight->dims[0], Cg = weight->dims[1];
    if (group < 1 || M % group != 0 || Cg > (int64_t)input->c || Cg * group != (int64_t)input->c)
        return lorac_refuse(node, error, "group %lld does not fit %zu input channels and a weight [%lld, %lld, ...]",
                            (long long)group, input->c, (long long)M, (long long)Cg);
    if (bias && (bias->rank != 1 || bias->dims[0] != M))
        return lorac_refuse(node, error, "its bias has %zu elements; the weight has %lld outputs", bias->count,
                            (long long)M);
    return LORAC_OK;
}

enum lorac_status lorac_conv_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                   struct lorac_error *error)
{
    static const struct lorac_view row = {3, {LORAC_AXIS_N, LORAC_AXIS_C, LORAC_AXIS_W}};
    struct lorac_window window;
    uint32_t x;
    struct conv *conv = lorac_lowering_config(lowering, step, sizeof(*conv));
    if (!conv)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    conv->low = -INFINITY;
    conv->high = INFINITY;
    step->param_count = LORAC_CONV_PARAMS;
    const struct lorac_adapter *adapter = lorac_lowering_adapter(lowering, node);
    if (adapter)
        LORAC_TRY(lower_adapter(lowering, node, adapter, step, conv, error));
    else
        LORAC_TRY(lorac_lowering_param(lowering, node, 1, &step->params[0], error));
    if (!lorac_lowering_absent(node, 2))
        LORAC_TRY(lorac_lowering_param(lowering, node, 2, &step->params[1], error));

    struct lorac_program *program = lorac_lowering_program(lowering);
    const struct lorac_param *weight = lorac_step_param(program, step, 0);
    LORAC_TRY(read_kernel(node, weight, &window, error));
    const struct lorac_view *view = window.rank == 2 ? &lorac_view_image : &row;
    LORAC_TRY(lorac_lowering_input_as(lowering, node, 0, view, &x, error));
    const struct lorac_value input = program->values[x];
    int64_t group = lorac_node_int(node, "group", 1);
    LORAC_TRY(check_channels(node, weight, lorac_step_param(program, step, 1), &input, group, error));
    LORAC_TRY(lorac_window_read(lowering, node, &input, &window, &conv->shape, error));
    conv->shape.M = (size_t)weight->dims[0];
    conv->shape.G = (size_t)group;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, input.n, conv->shape.OH, conv->shape.OW, conv->shape.M, view,
                                 error);
}

bool lorac_conv_absorb(struct lorac_program *program, struct lorac_step *step, const struct lorac_step *next)
{
    (void)program;
    struct conv *conv = step->config;
    if (conv->normed || !lorac_batch_norm_is_fixed(next, &conv->norm_epsilon))
        return false;
    conv->normed = true;
    memcpy(&step->params[LORAC_CONV_PARAMS], next->params, LORAC_BATCH_NORM_PARAMS * sizeof *next->params);
    step->param_count = LORAC_CONV_PARAMS + LORAC_BATCH_NORM_PARAMS;
    return true;
}
