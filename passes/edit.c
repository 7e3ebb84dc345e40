#include "edit.h"

#include "proto/model_edit.h"
#include "proto/name_table.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <stdlib.h>
#include <string.h>

// ---- constants that nothing uses

// What goes, told before anything is erased: a name's uses are those of the model, less those of the nodes that go.
struct pruning {
    struct lorac_model *model;
    struct lorac_name_table names;
    size_t *lost; // uses, by number of the name; ALL: what defines the name goes too
    size_t capacity;
    const char **stack;                // [room] names to look at
    const Onnx__NodeProto **nodes;     // [room]
    const Onnx__TensorProto **tensors; // [room]
    size_t room, depth, node_count, tensor_count;
};

#define ALL SIZE_MAX

static bool is_used(const struct pruning *pruning, const char *value)
{
    const struct lorac_use *uses;
    size_t number = lorac_name_table_find(&pruning->names, value);
    size_t lost = number == LORAC_NO_NAME ? 0 : pruning->lost[number];
    return lorac_model_is_graph_output(pruning->model, value) ||
           (lost != ALL && lorac_model_uses(pruning->model, value, &uses) > lost);
}

// The place of what [value] has lost. NULL where memory ran out.
static size_t *losses(struct pruning *pruning, const char *value)
{
    size_t number, bytes;
    bool added;
    if (!lorac_name_table_add(&pruning->names, value, &number, &added))
        return NULL;
    if (number >= pruning->capacity) {
        size_t larger = 2 * number + 64;
        size_t *grown = lorac_size_multiply(larger, sizeof *grown, &bytes) ? realloc(pruning->lost, bytes) : NULL;
        if (!grown)
            return NULL;
        pruning->lost = grown;
        pruning->capacity = larger;
    }
    if (added)
        pruning->lost[number] = 0;
    return &pruning->lost[number];
}

static bool is_dead(const struct pruning *pruning, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++)
        if (*node->output[i] && is_used(pruning, node->output[i]))
            return false;
    return true;
}

static bool drop_node(struct pruning *pruning, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++) {
        size_t *lost = *node->output[i] ? losses(pruning, node->output[i]) : NULL;
        if (!lost && *node->output[i])
            return false;
        if (lost)
            *lost = ALL;
    }
    pruning->nodes[pruning->node_count++] = node;
    for (size_t i = 0; i < node->n_input; i++) {
        size_t *lost = *node->input[i] ? losses(pruning, node->input[i]) : NULL;
        if (!lost && *node->input[i])
            return false;
        if (!lost || *lost == ALL)
            continue;
        (*lost)++;
        pruning->stack[pruning->depth++] = node->input[i];
    }
    return true;
}

// False where memory ran out.
static bool find_dead(struct pruning *pruning)
{
    while (pruning->depth > 0) {
        const char *name = pruning->stack[--pruning->depth];
        const Onnx__TensorProto *tensor = lorac_model_initializer(pruning->model, name);
        const Onnx__NodeProto *node = lorac_model_producer(pruning->model, name);
        size_t *lost = losses(pruning, name);
        if (!lost)
            return false;
        if (*lost == ALL || is_used(pruning, name))
            continue;
        if (tensor) {
            *lost = ALL;
            pruning->tensors[pruning->tensor_count++] = tensor;
        } else if (node && is_dead(pruning, node) && !drop_node(pruning, node)) {
            return false;
        }
    }
    return true;
}

enum lorac_status lorac_edit_prune(struct lorac_model *model, const char *const *values, size_t count,
                                   struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    struct pruning pruning = {.model = model, .room = count};
    // A name is looked at for each of the values and for each input of a node that goes; a node goes once.
    for (size_t i = 0; i < graph->n_node; i++)
        pruning.room += graph->node[i]->n_input + 1;
    pruning.stack = malloc((pruning.room + 1) * sizeof *pruning.stack);
    pruning.nodes = malloc((pruning.room + 1) * sizeof(*pruning.nodes));
    pruning.tensors = malloc((pruning.room + 1) * sizeof(*pruning.tensors));
    lorac_name_table_init(&pruning.names);
    bool found = pruning.stack && pruning.nodes && pruning.tensors;
    for (size_t i = 0; i < count && found; i++)
        pruning.stack[pruning.depth++] = values[i];
    found = found && find_dead(&pruning);
    if (found)
        lorac_model_erase_all(model, pruning.nodes, pruning.node_count, pruning.tensors, pruning.tensor_count);
    free(pruning.stack);
    free(pruning.nodes);
    free(pruning.tensors);
    free(pruning.lost);
    lorac_name_table_free(&pruning.names);
    return found ? LORAC_OK
                 : lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for what nobody reads any more");
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
    LORAC_TRY(lorac_edit_prune(model, &old, 1, error));
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
        if (lorac_model_uses(model, node->output[i], &uses) > 0 || lorac_model_is_graph_output(model, node->output[i]))
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
    return node->n_input < 2 ? LORAC_OK
                             : lorac_edit_prune(model, (const char *const *)node->input + 1, node->n_input - 1, error);
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
