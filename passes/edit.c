#include "edit.h"

#include "proto/model_edit.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <stdlib.h>
#include <string.h>

// ---- constants that nothing uses

static bool is_unused(struct lorac_model *model, const char *value)
{
    const struct lorac_use *uses;
    return lorac_model_uses(model, value, &uses) == 0 && !lorac_model_is_graph_output(model, value);
}

static bool is_unused_node(struct lorac_model *model, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++)
        if (*node->output[i] && !is_unused(model, node->output[i]))
            return false;
    return true;
}

void lorac_edit_prune(struct lorac_model *model, const char *value)
{
    // Exporters put a few nodes behind a weight; what a longer chain leaves behind does no harm.
    enum { MOST = 64 };
    const char *stack[MOST];
    size_t depth = 0, erased = 0;
    stack[depth++] = value;
    while (depth > 0 && erased < MOST) {
        const char *name = stack[--depth];
        Onnx__NodeProto *node = lorac_model_producer(model, name);
        if (lorac_model_initializer(model, name) && is_unused(model, name)) {
            lorac_model_erase_initializer(model, name);
            erased++;
        } else if (node && is_unused_node(model, node)) {
            lorac_model_erase_node(model, node);
            erased++;
            for (size_t i = 0; i < node->n_input && depth < MOST; i++)
                stack[depth++] = node->input[i];
        }
    }
}

// ---- fresh tensors

static enum lorac_status add_tensor(struct lorac_model *model, const char *name,
                                    const struct lorac_fresh_tensor *tensor, struct lorac_error *error)
{
    size_t count, bytes;
    if (!lorac_size_of_dims(tensor->dims, tensor->dim_count, &count) ||
        !lorac_tensor_raw_bytes(tensor->data_type, count, &bytes) || bytes > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "tensor '%s' would be too large for an ONNX file", name);
    void *zeros = calloc(1, bytes + 1);
    if (!zeros)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "tensor '%s': out of memory", name);
    enum lorac_status status = lorac_model_add_initializer(model, name, tensor->data_type, tensor->dims,
                                                           tensor->dim_count, zeros, bytes, error);
    free(zeros);
    LORAC_TRY(status);
    return lorac_tensor_set_double(model, lorac_model_initializer(model, name), tensor->values, count, error);
}

enum lorac_status lorac_edit_replace_input(struct lorac_model *model, Onnx__NodeProto *node, size_t index,
                                           const struct lorac_fresh_tensor *tensor, const char **name,
                                           struct lorac_error *error)
{
    const char *old = lorac_node_input(node, index), *fresh;
    LORAC_TRY(lorac_model_set_node_input(model, node, index, "", error));
    lorac_edit_prune(model, old);
    LORAC_TRY(lorac_model_fresh_name(model, old, &fresh, error));
    LORAC_TRY(add_tensor(model, fresh, tensor, error));
    LORAC_TRY(lorac_model_set_node_input(model, node, index, fresh, error));
    if (name)
        *name = node->input[index];
    return LORAC_OK;
}

// ---- nodes

enum lorac_status lorac_edit_bypass(struct lorac_model *model, Onnx__NodeProto *node, struct lorac_error *error)
{
    const char *input = lorac_node_input(node, 0), *output = node->output[0];
    const struct lorac_use *uses;
    for (size_t i = 1; i < node->n_output; i++)
        if (*node->output[i] && !is_unused(model, node->output[i]))
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "node '%s' (%s) cannot be taken out: its output '%s' is used", lorac_node_name(node),
                                   node->op_type, node->output[i]);
    if (lorac_model_is_graph_output(model, output))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "node '%s' (%s) cannot be taken out: it gives the model's output '%s'",
                               lorac_node_name(node), node->op_type, output);
    // Each edit makes the list of uses anew, without the one that was changed.
    while (lorac_model_uses(model, output, &uses) > 0) {
        if (uses[0].input == SIZE_MAX)
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "node '%s' (%s) cannot be taken out: a subgraph of '%s' uses its output",
                                   lorac_node_name(node), node->op_type, lorac_node_name(uses[0].node));
        LORAC_TRY(lorac_model_set_node_input(model, uses[0].node, uses[0].input, input, error));
    }
    lorac_model_erase_node(model, node);
    for (size_t i = 1; i < node->n_input; i++)
        lorac_edit_prune(model, node->input[i]);
    return LORAC_OK;
}

void lorac_edit_erase_attribute(Onnx__NodeProto *node, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) != 0)
            node->attribute[kept++] = node->attribute[i];
    node->n_attribute = kept;
}

// ---- declared shapes

Onnx__TensorShapeProto *lorac_edit_shape(const Onnx__ValueInfoProto *value)
{
    const Onnx__TypeProto *type = value->type;
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? type->tensor_type->shape : NULL;
}

int64_t lorac_edit_dim(const Onnx__TensorShapeProto__Dimension *dim)
{
    return dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? dim->dim_value : -1;
}

void lorac_edit_set_dim(Onnx__TensorShapeProto__Dimension *dim, int64_t size)
{
    dim->value_case = size < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET
                               : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dim->dim_value = size < 0 ? 0 : size;
}

void lorac_edit_forget_sizes(struct lorac_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    graph->n_value_info = 0;
    for (size_t i = 0; i < graph->n_output; i++) {
        Onnx__TensorShapeProto *shape = lorac_edit_shape(graph->output[i]);
        for (size_t k = 1; shape && shape->n_dim > 2 && k < shape->n_dim; k++)
            lorac_edit_set_dim(shape->dim[k], -1);
    }
}
