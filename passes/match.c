#include "match.h"

#include "proto/tensor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lorac_match_text(struct lorac_model *model, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : lorac_arena_alloc(model->arena, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

// ---- the first convolution

// Which nodes depend on the input: walks from each value to the nodes that use it. Nodes are told apart by address,
// sorted, because a node does not know its place in the graph.
struct reach {
    const Onnx__NodeProto **sorted;
    bool *reached;                 // beside [sorted]
    const Onnx__NodeProto **stack; // reached, outputs not yet followed; each node is on it once at most
    size_t count, depth;
};

static int compare_addresses(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (const Onnx__NodeProto *const *)a;
    uintptr_t right = (uintptr_t) * (const Onnx__NodeProto *const *)b;
    return (left > right) - (left < right);
}

static bool *reached_flag(const struct reach *reach, const Onnx__NodeProto *node)
{
    const Onnx__NodeProto **found =
        bsearch(&node, reach->sorted, reach->count, sizeof *reach->sorted, compare_addresses);
    return &reach->reached[found - reach->sorted];
}

static void follow_value(struct lorac_model *model, struct reach *reach, const char *value)
{
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(model, value, &uses);
    for (size_t i = 0; i < count; i++) {
        bool *flag = reached_flag(reach, uses[i].node);
        if (*flag)
            continue;
        *flag = true;
        reach->stack[reach->depth++] = uses[i].node;
    }
}

static void reach_from(struct lorac_model *model, struct reach *reach, const char *input)
{
    qsort(reach->sorted, reach->count, sizeof *reach->sorted, compare_addresses);
    follow_value(model, reach, input);
    while (reach->depth > 0) {
        const Onnx__NodeProto *node = reach->stack[--reach->depth];
        for (size_t i = 0; i < node->n_output; i++)
            follow_value(model, reach, node->output[i]);
    }
}

enum lorac_status lorac_match_first_conv(struct lorac_model *model, const Onnx__NodeProto **out,
                                         struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const Onnx__ValueInfoProto *input = lorac_model_input(model, 0);
    *out = NULL;
    if (!input || graph->n_node == 0)
        return LORAC_OK;
    struct reach reach = {.count = graph->n_node};
    reach.sorted = lorac_arena_alloc_array(model->arena, reach.count, sizeof *reach.sorted);
    reach.reached = lorac_arena_alloc_array(model->arena, reach.count, sizeof *reach.reached);
    reach.stack = lorac_arena_alloc_array(model->arena, reach.count, sizeof *reach.stack);
    if (!reach.sorted || !reach.reached || !reach.stack)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "first convolution: out of memory");
    for (size_t i = 0; i < reach.count; i++)
        reach.sorted[i] = graph->node[i];
    reach_from(model, &reach, input->name);
    for (size_t i = 0; i < graph->n_node && !*out; i++)
        if (lorac_node_is(graph->node[i], "Conv") && *reached_flag(&reach, graph->node[i]))
            *out = graph->node[i];
    return LORAC_OK;
}

// ---- the last layer

static bool is_one_of(const Onnx__NodeProto *node, const char *const *op_types)
{
    for (; *op_types; op_types++)
        if (lorac_node_is(node, *op_types))
            return true;
    return false;
}

// The input of [node] that carries the data, where the node may stand between the last layer and the output; else
// NULL.
static const char *data_input(struct lorac_model *model, const Onnx__NodeProto *node)
{
    static const char *const through_first[] = {
        "Softmax",       "LogSoftmax",  "Sigmoid", "Relu",       "Clip",      "Identity",  "Dropout",
        "Cast",          "Flatten",     "Reshape", "Squeeze",    "Unsqueeze", "Transpose", "GlobalAveragePool",
        "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", NULL};
    static const char *const with_constant[] = {"Add", "Sub", "Mul", "Div", NULL};
    if (is_one_of(node, through_first))
        return lorac_node_input(node, 0);
    if (!is_one_of(node, with_constant) || node->n_input != 2)
        return NULL;
    if (lorac_model_constant(model, node->input[1]))
        return node->input[0];
    return lorac_model_constant(model, node->input[0]) ? node->input[1] : NULL;
}

static bool is_float32_constant(struct lorac_model *model, const char *value)
{
    const Onnx__TensorProto *tensor = lorac_model_constant(model, value);
    return tensor && tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

// NULL where the weight of the candidate [node] can be trained, else the reason.
static const char *refuse_weight(struct lorac_model *model, const Onnx__NodeProto *node)
{
    const char *name = lorac_node_name(node);
    const char *weight = lorac_node_input(node, 1);
    const Onnx__TensorProto *tensor = lorac_model_constant(model, weight);
    if (!tensor)
        return lorac_match_text(model, "the weight '%s' of '%s' (%s) is computed", weight, name, node->op_type);
    if (tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return lorac_match_text(model, "the weight type %s of '%s' (%s) is not supported yet",
                                lorac_tensor_type_name(tensor->data_type), name, node->op_type);
    if (lorac_node_is(node, "Conv") && (tensor->n_dims != 4 || tensor->dims[2] != 1 || tensor->dims[3] != 1))
        return lorac_match_text(model, "'%s' (Conv) has no 1x1 kernel", name);
    if (!lorac_node_is(node, "Conv") && tensor->n_dims != 2)
        return lorac_match_text(model, "the weight '%s' of '%s' (%s) has rank %zu, not 2", weight, name, node->op_type,
                                tensor->n_dims);
    return NULL;
}

// [after] is the node that was passed last on the way back from the output, or NULL.
static const char *find_bias(struct lorac_model *model, const Onnx__NodeProto *node, const Onnx__NodeProto *after)
{
    const char *bias = lorac_node_input(node, 2);
    if (lorac_node_is(node, "MatMul")) {
        if (!after || !lorac_node_is(after, "Add"))
            return NULL;
        bias = after->input[strcmp(after->input[0], node->output[0]) == 0 ? 1 : 0];
    }
    return is_float32_constant(model, bias) ? bias : NULL;
}

// One step back from [value]: the layer or the reason in *layer, or *next, the value to go on from.
static void step_back(struct lorac_model *model, const Onnx__NodeProto *after, const char *value,
                      struct lorac_last_layer *layer, const char **next)
{
    static const char *const candidates[] = {"Gemm", "MatMul", "Conv", NULL};
    const Onnx__NodeProto *node = lorac_model_producer(model, value);
    *next = NULL;
    if (!node) {
        layer->reason = lorac_match_text(model, "no Gemm, MatMul or 1x1 Conv is before the output");
    } else if (is_one_of(node, candidates)) {
        layer->reason = refuse_weight(model, node);
        if (layer->reason || !is_float32_constant(model, lorac_node_input(node, 1)))
            return; // without a reason, memory ran out
        layer->node = node;
        layer->weight = node->input[1];
        layer->bias = find_bias(model, node, after);
    } else {
        *next = strcmp(node->output[0], value) == 0 ? data_input(model, node) : NULL;
        if (!*next)
            layer->reason = lorac_match_text(model,
                                             "no Gemm, MatMul or 1x1 Conv is found before the output, since "
                                             "'%s' (%s) is in the way",
                                             lorac_node_name(node), node->op_type);
    }
}

enum lorac_status lorac_match_last_layer(struct lorac_model *model, struct lorac_last_layer *out,
                                         struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const char *value = graph->n_output > 0 ? graph->output[0]->name : NULL;
    const Onnx__NodeProto *after = NULL;
    struct lorac_last_layer layer = {0};
    // Each step goes to an earlier node, so that their number bounds the walk.
    for (size_t steps = 0; steps <= graph->n_node; steps++) {
        const char *next;
        step_back(model, after, value, &layer, &next);
        if (!next)
            break;
        after = lorac_model_producer(model, value);
        value = next;
    }
    if (!layer.node && !layer.reason)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "last layer: out of memory");
    *out = layer;
    return LORAC_OK;
}
