// What the model's input is: its sizes, and whether it declares its channels first or last.
#include "input_shape.h"

#include "weight.h"

#include "tensor.h"

#include <string.h>

static int64_t declared_dim(const Onnx__TensorShapeProto *shape, size_t i)
{
    const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
    return dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? dim->dim_value : 0;
}

// ---- channels first or last

enum layout { LAYOUT_UNKNOWN, LAYOUT_CHANNELS_FIRST, LAYOUT_CHANNELS_LAST };

// What a node that reads the image says: Conv and its like have the channels at dimension 1; exporters of frameworks
// that have them last put a Transpose before those.
static enum layout told_by(const Onnx__NodeProto *node)
{
    static const char *const channels_first[] = {
        "Conv", "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "InstanceNormalization", NULL};
    static const int64_t to_first[4] = {0, 3, 1, 2};
    const int64_t *perm;
    if (lorac_node_is_one_of(node, channels_first))
        return LAYOUT_CHANNELS_FIRST;
    if (lorac_node_is(node, "Transpose") && lorac_node_ints(node, "perm", &perm) == 4 &&
        memcmp(perm, to_first, sizeof to_first) == 0)
        return LAYOUT_CHANNELS_LAST;
    return LAYOUT_UNKNOWN;
}

static bool is_transpose(const Onnx__NodeProto *node)
{
    return told_by(node) == LAYOUT_CHANNELS_LAST;
}

// The node behind [value] through which the image goes on with all its channels, or NULL.
static const Onnx__NodeProto *next_node(struct lorac_model *model, const char *value)
{
    static const char *const pass[] = {
        "Add",     "Sub",    "Mul",         "Div",      "Cast",    "Identity",
        "Pad",     "Clip",   "Reciprocal",  "CastLike", "Relu",    "BatchNormalization",
        "MaxPool", "Resize", "AveragePool", "Upsample", "Dropout", "InstanceNormalization",
        NULL};
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(model, value, &uses);
    for (size_t i = 0; i < count; i++)
        if ((lorac_node_is_one_of(uses[i].node, pass) || is_transpose(uses[i].node)) && uses[i].node->n_output > 0)
            return uses[i].node;
    return NULL;
}

// Follows the image until a node tells.
static enum layout told_by_graph(struct lorac_model *model, const char *value)
{
    for (size_t steps = 0; steps < model->proto->graph->n_node; steps++) {
        const struct lorac_use *uses;
        size_t count = lorac_model_uses(model, value, &uses);
        for (size_t i = 0; i < count; i++) {
            enum layout layout = told_by(uses[i].node);
            if (layout != LAYOUT_UNKNOWN)
                return layout;
        }
        const Onnx__NodeProto *through = next_node(model, value);
        if (!through)
            return LAYOUT_UNKNOWN;
        value = through->output[0];
    }
    return LAYOUT_UNKNOWN;
}

// The channels that the first convolution reads by its weight, C/g * group; 0 where none of two dimensions is reached
// through nodes that keep the channels.
static int64_t channels_of_graph(struct lorac_model *model, const char *value)
{
    for (size_t steps = 0; steps < model->proto->graph->n_node; steps++) {
        const struct lorac_use *uses;
        size_t count = lorac_model_uses(model, value, &uses);
        for (size_t i = 0; i < count; i++) {
            const Onnx__NodeProto *node = uses[i].node;
            struct lorac_weight weight;
            if (!lorac_node_is(node, "Conv") || uses[i].input != 0 ||
                lorac_weight_find(model, lorac_node_input(node, 1), &weight, NULL) != LORAC_OK || weight.rank != 4)
                continue;
            int64_t group = lorac_node_int(node, "group", 1);
            bool fits = group >= 1 && weight.dims[1] >= 1 && weight.dims[1] <= INT32_MAX / group;
            return fits ? weight.dims[1] * group : 0;
        }
        const Onnx__NodeProto *through = next_node(model, value);
        if (!through)
            return 0;
        value = through->output[0];
    }
    return 0;
}

static bool is_channel_count(int64_t size)
{
    return size >= 1 && size <= 4;
}

static bool has_channels_last(struct lorac_model *model, const char *input, const int64_t dims[4])
{
    enum layout layout = told_by_graph(model, input);
    if (layout == LAYOUT_UNKNOWN) // the graph says nothing: images have few channels and many pixels
        return is_channel_count(dims[3]) && !is_channel_count(dims[1]);
    return layout == LAYOUT_CHANNELS_LAST;
}

// ---- the shape

static enum lorac_status read_dims(const char *input, const Onnx__TensorShapeProto *shape, int64_t dims[4],
                                   struct lorac_error *error)
{
    if (!shape || shape->n_dim != 4)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "input '%s' has rank %zu; an image of rank 4 is supported", input,
                               shape ? shape->n_dim : 0);
    for (size_t i = 0; i < 4; i++) {
        dims[i] = declared_dim(shape, i);
        // Some exporters write a free batch as -1 or 0.
        if (i == 0 && dims[i] < 0)
            dims[i] = 0;
        if (dims[i] < 0 || dims[i] > INT32_MAX)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "input '%s' declares dimension %zu as %lld", input, i,
                                   (long long)dims[i]);
    }
    return LORAC_OK;
}

enum lorac_status lorac_input_shape(struct lorac_model *model, struct lorac_input_shape *out, struct lorac_error *error)
{
    const Onnx__ValueInfoProto *input = lorac_model_input(model, 0);
    if (!input)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "the model has no input");
    if (lorac_model_input(model, 1))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model has more than one input ('%s', '%s'); one image input is supported",
                               input->name, lorac_model_input(model, 1)->name);
    const Onnx__TypeProto__Tensor *type =
        input->type && input->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? input->type->tensor_type : NULL;
    if (!type || !lorac_tensor_type_is_floating(type->elem_type))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "input '%s' is not a tensor of a floating type (FLOAT, FLOAT16, BFLOAT16, DOUBLE)",
                               input->name);
    int64_t dims[4] = {0};
    // Without a declared shape the first convolution says that it is an image.
    if (type->shape || channels_of_graph(model, input->name) == 0)
        LORAC_TRY(read_dims(input->name, type->shape, dims, error));
    bool last = has_channels_last(model, input->name, dims);
    if (dims[last ? 3 : 1] == 0)
        dims[last ? 3 : 1] = channels_of_graph(model, input->name);
    *out = (struct lorac_input_shape){.name = input->name,
                                      .batch = (size_t)dims[0],
                                      .channels = (size_t)dims[last ? 3 : 1],
                                      .height = (size_t)dims[last ? 1 : 2],
                                      .width = (size_t)dims[last ? 2 : 3],
                                      .channels_last = last};
    return LORAC_OK;
}
