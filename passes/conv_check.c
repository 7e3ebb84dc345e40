#include "conv_check.h"

#include <inttypes.h>
#include <string.h>

static enum lorac_status check_edges(const Onnx__NodeProto *node, struct lorac_error *error)
{
    if (node->n_input < 2 || node->n_input > 3 || !node->input[0][0])
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "it has %zu inputs; an image, a weight and perhaps a bias are possible", node->n_input);
    if (node->n_output != 1 || !node->output[0][0])
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "it has %zu outputs; it must have one, with a name",
                               node->n_output);
    return LORAC_OK;
}

static enum lorac_status check_group(const Onnx__NodeProto *node, int64_t M, struct lorac_error *error)
{
    int64_t group = lorac_node_int(node, "group", 1);
    if (group < 1 || M % group != 0)
        return lorac_error_set(
            error, LORAC_ERROR_FORMAT,
            "group is %" PRId64 "; it must be at least 1 and divide the weight's %" PRId64 " outputs", group, M);
    return LORAC_OK;
}

// An attribute of [wanted] integers from [low] on, where it is given.
static enum lorac_status check_list(const Onnx__NodeProto *node, const char *name, size_t wanted, int64_t low,
                                    struct lorac_error *error)
{
    const int64_t *values;
    size_t count = lorac_node_ints(node, name, &values);
    if (count != 0 && count != wanted)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "%s has %zu values; a weight of rank 4 needs %zu", name,
                               count, wanted);
    for (size_t i = 0; i < count; i++)
        if (values[i] < low || values[i] > INT32_MAX)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "%s has %" PRId64 "; %" PRId64 " to %" PRId32 " is possible", name, values[i], low,
                                   INT32_MAX);
    return LORAC_OK;
}

static enum lorac_status check_kernel(const Onnx__NodeProto *node, const int64_t dims[4], struct lorac_error *error)
{
    const int64_t *kernel;
    LORAC_TRY(check_list(node, "kernel_shape", 2, 1, error));
    if (lorac_node_ints(node, "kernel_shape", &kernel) != 0 && (kernel[0] != dims[2] || kernel[1] != dims[3]))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "kernel_shape is %" PRId64 " x %" PRId64 ", but the weight is %" PRId64 " x %" PRId64,
                               kernel[0], kernel[1], dims[2], dims[3]);
    return LORAC_OK;
}

static enum lorac_status check_auto_pad(struct lorac_model *model, const Onnx__NodeProto *node,
                                        struct lorac_error *error)
{
    static const char *const known[] = {"", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    const char *mode = lorac_node_string(model, node, "auto_pad", "");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(mode, known[i]) == 0)
            return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "auto_pad is '%s', which ONNX does not know", mode);
}

static enum lorac_status check_bias(struct lorac_model *model, const Onnx__NodeProto *node, int64_t M,
                                    struct lorac_error *error)
{
    const Onnx__TensorProto *bias = lorac_model_constant(model, lorac_node_input(node, 2));
    if (bias && bias->n_dims != 1)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the bias has rank %zu; it must have 1", bias->n_dims);
    if (bias && bias->dims[0] != M)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "the bias has %" PRId64 " elements; the weight has %" PRId64 " outputs", bias->dims[0],
                               M);
    return LORAC_OK;
}

enum lorac_status lorac_conv_check(struct lorac_model *model, const Onnx__NodeProto *node, const int64_t dims[4],
                                   struct lorac_error *error)
{
    LORAC_TRY(check_edges(node, error));
    LORAC_TRY(check_group(node, dims[0], error));
    LORAC_TRY(check_kernel(node, dims, error));
    LORAC_TRY(check_list(node, "strides", 2, 1, error));
    LORAC_TRY(check_list(node, "dilations", 2, 1, error));
    LORAC_TRY(check_list(node, "pads", 4, 0, error));
    LORAC_TRY(check_auto_pad(model, node, error));
    return check_bias(model, node, dims[0], error);
}
