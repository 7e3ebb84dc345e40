// Operators that take many elements to one, and the normalisations.
#include "interpret.h"

#include <string.h>

static struct ref_tensor run_global(const struct call *call)
{
    static const int64_t pixels[] = {2, 3, 4, 5};
    return ref_reduce(call->x, lorac_node_is(call->node, "GlobalMaxPool") ? REF_MAXIMUM : REF_MEAN, pixels,
                      call->x->rank - 2, true);
}

static struct ref_tensor run_reduce(const struct call *call)
{
    static const struct {
        const char *op_type;
        enum ref_reduce_kind kind;
    } kinds[] = {{"ReduceMean", REF_MEAN},   {"ReduceSum", REF_TOTAL}, {"ReduceMax", REF_MAXIMUM},
                 {"ReduceMin", REF_MINIMUM}, {"ReduceL2", REF_NORM},   {"ReduceSumSquare", REF_SQUARES}};
    int64_t buffer[16];
    const int64_t *axes;
    size_t count = integers(call, 1, "axes", buffer, &axes), i = 0;
    if (count == 0 && lorac_node_int(call->node, "noop_with_empty_axes", 0) != 0)
        return ref_copy(call->x);
    while (!lorac_node_is(call->node, kinds[i].op_type))
        i++;
    return ref_reduce(call->x, kinds[i].kind, axes, count, lorac_node_int(call->node, "keepdims", 1) != 0);
}

// Rows of [length] elements in memory get mean 0 and variance 1.
static struct ref_tensor standardize(const struct call *call, size_t length)
{
    struct ref_tensor y = ref_copy(call->x);
    ref_standardize(y.data, ref_count(&y) / length, length, (double)lorac_node_float(call->node, "epsilon", 1e-5F));
    return y;
}

static struct ref_tensor move(struct ref_tensor x, const struct ref_tensor *by, enum ref_binary_kind kind)
{
    if (by == NULL)
        return x;
    struct ref_tensor y = ref_binary(&x, by, kind);
    ref_free(&x);
    return y;
}

// A parameter of each channel, or of each group of them, as it broadcasts to an image.
static struct ref_tensor by_channel(const struct call *call, size_t i)
{
    const struct ref_tensor *parameter = input(call, i);
    int64_t dims[REF_MAX_RANK] = {1, 1, 1, 1, 1, 1}, channels = call->x->dims[1];
    dims[1] = channels;
    struct ref_tensor out = ref_make(call->x->rank, dims);
    int64_t each = channels / (int64_t)ref_count(parameter);
    for (int64_t c = 0; c < channels; c++)
        out.data[c] = parameter->data[c / each];
    return out;
}

// Instance and group: in ONNX's order a channel's or a group's elements are a row.
static struct ref_tensor run_group_normalization(const struct call *call)
{
    int64_t groups = lorac_node_int(call->node, "num_groups", call->x->dims[1]);
    struct ref_tensor y = standardize(call, ref_count(call->x) / (size_t)(call->x->dims[0] * groups));
    struct ref_tensor scale = by_channel(call, 1), shift = by_channel(call, 2);
    y = move(move(y, &scale, REF_MULTIPLY), &shift, REF_ADD);
    ref_free(&scale);
    ref_free(&shift);
    return y;
}

static struct ref_tensor run_layer_normalization(const struct call *call)
{
    int64_t axis = lorac_node_int(call->node, "axis", -1);
    size_t length = 1;
    for (size_t i = (size_t)(axis < 0 ? axis + (int64_t)call->x->rank : axis); i < call->x->rank; i++)
        length *= (size_t)call->x->dims[i];
    return move(move(standardize(call, length), input(call, 1), REF_MULTIPLY), input(call, 2), REF_ADD);
}

const struct ref_operator ref_reduce_operators[] = {
    {"GlobalAveragePool", run_global},
    {"GlobalMaxPool", run_global},
    {"ReduceMean", run_reduce},
    {"ReduceSum", run_reduce},
    {"ReduceMax", run_reduce},
    {"ReduceMin", run_reduce},
    {"ReduceL2", run_reduce},
    {"ReduceSumSquare", run_reduce},
    {"InstanceNormalization", run_group_normalization},
    {"GroupNormalization", run_group_normalization},
    {"LayerNormalization", run_layer_normalization},
};
const size_t ref_reduce_operator_count = sizeof ref_reduce_operators / sizeof ref_reduce_operators[0];
