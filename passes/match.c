#include "match.h"

#include "proto/tensor.h"
#include "proto/weight.h"

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

// ---- what depends on what

static int compare_addresses(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (const Onnx__NodeProto *const *)a;
    uintptr_t right = (uintptr_t) * (const Onnx__NodeProto *const *)b;
    return (left > right) - (left < right);
}

static bool *reached_flag(const struct lorac_reach *reach, const Onnx__NodeProto *node)
{
    const Onnx__NodeProto **found =
        bsearch(&node, reach->sorted, reach->count, sizeof *reach->sorted, compare_addresses);
    return &reach->reached[found - reach->sorted];
}

bool lorac_reach_has(const struct lorac_reach *reach, const Onnx__NodeProto *node)
{
    return *reached_flag(reach, node);
}

// Nothing is reached yet.
static enum lorac_status start_reach(struct lorac_model *model, struct lorac_reach *out, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    *out = (struct lorac_reach){.count = graph->n_node};
    out->sorted = lorac_arena_alloc_array(model->arena, out->count, sizeof *out->sorted);
    out->reached = lorac_arena_alloc_array(model->arena, out->count, sizeof *out->reached);
    if (!out->sorted || !out->reached)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "what the output depends on: out of memory");
    for (size_t i = 0; i < out->count; i++)
        out->sorted[i] = graph->node[i];
    if (out->count > 0)
        qsort(out->sorted, out->count, sizeof *out->sorted, compare_addresses);
    return LORAC_OK;
}

static bool reaches(struct lorac_model *model, const struct lorac_reach *reach, const Onnx__NodeProto *node,
                    const char *output)
{
    for (size_t i = 0; i < node->n_output; i++) {
        const struct lorac_use *uses;
        size_t count = lorac_model_uses(model, node->output[i], &uses);
        if (strcmp(node->output[i], output) == 0)
            return true;
        for (size_t u = 0; u < count; u++)
            if (*reached_flag(reach, uses[u].node))
                return true;
    }
    return false;
}

enum lorac_status lorac_match_reach(struct lorac_model *model, const char *output, struct lorac_reach *out,
                                    struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (!output && graph->n_output > 0)
        output = graph->output[0]->name;
    LORAC_TRY(start_reach(model, out, error));
    for (size_t i = graph->n_node; i-- > 0;) // values are used after they are produced
        *reached_flag(out, graph->node[i]) = !output || reaches(model, out, graph->node[i], output);
    return LORAC_OK;
}

// ---- the first convolution

static void follow_value(struct lorac_model *model, const struct lorac_reach *reach, const char *value)
{
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(model, value, &uses);
    for (size_t i = 0; i < count; i++)
        *reached_flag(reach, uses[i].node) = true;
}

enum lorac_status lorac_match_first_conv(struct lorac_model *model, const struct lorac_reach *reach,
                                         const Onnx__NodeProto **out, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const Onnx__ValueInfoProto *input = lorac_model_input(model, 0);
    struct lorac_reach fed;
    *out = NULL;
    if (!input)
        return LORAC_OK;
    LORAC_TRY(start_reach(model, &fed, error));
    follow_value(model, &fed, input->name);
    for (size_t i = 0; i < graph->n_node && !*out; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (!*reached_flag(&fed, node))
            continue;
        if (lorac_node_is(node, "Conv") && lorac_reach_has(reach, node))
            *out = node;
        for (size_t k = 0; k < node->n_output; k++)
            follow_value(model, &fed, node->output[k]);
    }
    return LORAC_OK;
}

// ---- the last layer

static bool is_constant(struct lorac_model *model, const char *value)
{
    return lorac_constant_follows(model, value, NULL) == LORAC_OK;
}

// The input of [node] that carries the data, where the node may stand between the last layer and the output; else
// NULL.
static const char *data_input(struct lorac_model *model, const Onnx__NodeProto *node)
{
    static const char *const through_first[] = {"Softmax",
                                                "LogSoftmax",
                                                "Sigmoid",
                                                "HardSigmoid",
                                                "HardSwish",
                                                "Relu",
                                                "LeakyRelu",
                                                "PRelu",
                                                "Elu",
                                                "Gelu",
                                                "Tanh",
                                                "Clip",
                                                "Identity",
                                                "Dropout",
                                                "Cast",
                                                "CastLike",
                                                "Flatten",
                                                "Reshape",
                                                "Squeeze",
                                                "Unsqueeze",
                                                "Transpose",
                                                "Slice",
                                                "Pad",
                                                "Expand",
                                                "GlobalAveragePool",
                                                "GlobalMaxPool",
                                                "AveragePool",
                                                "MaxPool",
                                                "ReduceMean",
                                                "ReduceSum",
                                                "ReduceMax",
                                                "BatchNormalization",
                                                NULL};
    static const char *const with_constant[] = {"Add", "Sub", "Mul", "Div", "Sum", NULL};
    if (lorac_node_is_one_of(node, through_first))
        return lorac_node_input(node, 0);
    if (!lorac_node_is_one_of(node, with_constant) || node->n_input != 2)
        return NULL;
    if (is_constant(model, node->input[1]))
        return node->input[0];
    return is_constant(model, node->input[0]) ? node->input[1] : NULL;
}

// Finds the weight of the candidate [node]. *reason is NULL where it can be trained, or where memory ran out.
static bool find_weight(struct lorac_model *model, const Onnx__NodeProto *node, struct lorac_weight *weight,
                        const char **reason)
{
    const char *name = lorac_node_name(node), *value = lorac_node_input(node, 1);
    struct lorac_error why = {0};
    *reason = NULL;
    if (lorac_weight_find(model, value, weight, &why) != LORAC_OK) {
        bool left = lorac_node_is(node, "MatMul") && is_constant(model, lorac_node_input(node, 0));
        *reason = left ? lorac_match_text(model,
                                          "'%s' (MatMul) has its constant on the left: only data times a weight "
                                          "can be trained",
                                          name)
                       : lorac_match_text(model, "the weight '%s' of '%s' (%s) is not constant: %s", value, name,
                                          node->op_type, why.message);
        return false;
    }
    if (!lorac_weight_is_floating(weight))
        *reason = lorac_match_text(model, "the weight '%s' of '%s' (%s) has type %s, which is not floating", value,
                                   name, node->op_type, lorac_tensor_type_name(weight->data_type));
    else if (lorac_node_is(node, "Conv") && (weight->rank != 4 || weight->dims[2] != 1 || weight->dims[3] != 1))
        *reason = lorac_match_text(model, "'%s' (Conv) has no 1x1 kernel", name);
    else if (!lorac_node_is(node, "Conv") && weight->rank != 2)
        *reason = lorac_match_text(model, "the weight '%s' of '%s' (%s) has rank %zu, not 2", value, name,
                                   node->op_type, weight->rank);
    else
        return true;
    return false;
}

// The dimension of the weight that counts the outputs.
static int64_t output_count(const Onnx__NodeProto *node, const struct lorac_weight *weight)
{
    bool rows = lorac_node_is(node, "Conv") || (lorac_node_is(node, "Gemm") && lorac_node_int(node, "transB", 0) != 0);
    return weight->dims[rows ? 0 : 1];
}

// [add] is the Add of a constant behind the layer with nothing but reshaping in between, or NULL.
static void find_bias(struct lorac_model *model, const struct lorac_weight *weight, const Onnx__NodeProto *add,
                      struct lorac_last_layer *layer)
{
    const Onnx__NodeProto *reader = layer->node;
    size_t input = 2;
    struct lorac_weight bias;
    if (lorac_node_is(layer->node, "MatMul")) {
        reader = add;
        input = add && is_constant(model, lorac_node_input(add, 0)) ? 0 : 1;
    }
    if (!reader || !*lorac_node_input(reader, input) ||
        lorac_weight_find(model, lorac_node_input(reader, input), &bias, NULL) != LORAC_OK)
        return;
    if (!lorac_weight_is_floating(&bias) || bias.count != (size_t)output_count(layer->node, weight))
        return;
    layer->bias = bias.value;
    layer->bias_node = reader;
    layer->bias_input = input;
}

static const char *refuse_way(struct lorac_model *model, const Onnx__NodeProto *node)
{
    static const char *const choices[] = {"ArgMax", "ArgMin", "TopK", NULL};
    const char *name = lorac_node_name(node);
    if (lorac_node_is_one_of(node, choices))
        return lorac_match_text(model,
                                "the output is a choice among the scores ('%s', %s), which has no gradient; name "
                                "an output of scores with --output-name",
                                name, node->op_type);
    return lorac_match_text(model,
                            "no Gemm, MatMul or 1x1 Conv is found before the output, since '%s' (%s) is in the "
                            "way",
                            name, node->op_type);
}

// One step back from [value]: the layer or the reason in *layer, or *next, the value to go on from.
static void step_back(struct lorac_model *model, const char *value, const Onnx__NodeProto **add,
                      struct lorac_last_layer *layer, const char **next)
{
    static const char *const candidates[] = {"Gemm", "MatMul", "Conv", NULL};
    static const char *const reshaping[] = {"Identity", "Dropout",   "Cast",    "CastLike", "Reshape",
                                            "Squeeze",  "Unsqueeze", "Flatten", NULL};
    const Onnx__NodeProto *node = lorac_model_producer(model, value);
    struct lorac_weight weight;
    *next = NULL;
    if (!node) {
        layer->reason = lorac_match_text(model, "no Gemm, MatMul or 1x1 Conv is before the output");
    } else if (lorac_node_is_one_of(node, candidates)) {
        if (!find_weight(model, node, &weight, &layer->reason))
            return;
        layer->node = node;
        layer->weight = node->input[1];
        find_bias(model, &weight, *add, layer);
    } else {
        *next = strcmp(node->output[0], value) == 0 ? data_input(model, node) : NULL;
        if (!*next)
            layer->reason = refuse_way(model, node);
        if (lorac_node_is(node, "Add"))
            *add = node;
        else if (!lorac_node_is_one_of(node, reshaping))
            *add = NULL;
    }
}

enum lorac_status lorac_match_last_layer(struct lorac_model *model, const char *output, struct lorac_last_layer *out,
                                         struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    const char *value = output ? output : graph->n_output > 0 ? graph->output[0]->name : NULL;
    const Onnx__NodeProto *add = NULL;
    struct lorac_last_layer layer = {0};
    // Each step goes to an earlier node, so that their number bounds the walk.
    for (size_t steps = 0; steps <= graph->n_node; steps++) {
        const char *next;
        step_back(model, value, &add, &layer, &next);
        if (!next)
            break;
        value = next;
    }
    if (!layer.node && !layer.reason)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "last layer: out of memory");
    *out = layer;
    return LORAC_OK;
}
