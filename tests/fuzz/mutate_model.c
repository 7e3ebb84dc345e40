// What a graph means: operators, attributes, tensors and edges, changed so that the file often stays readable.
#include "mutate.h"
#include "words.h"

#include "proto/model_internal.h"
#include "proto/tensor.h"

#include <stdio.h>
#include <string.h>

struct change {
    struct lorac_rng *rng;
    struct lorac_arena *arena;
    Onnx__GraphProto *graph; // has at least one node
};

#define WORD(text) text,
static const char *const OPERATORS[] = {FUZZ_OPERATORS(WORD)};
static const char *const STRINGS[] = {FUZZ_STRINGS(WORD)};
#define ATTRIBUTE(name, type) {name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type},
static const struct {
    const char *name;
    Onnx__AttributeProto__AttributeType type;
} ATTRIBUTES[] = {FUZZ_ATTRIBUTES(ATTRIBUTE)};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static size_t below(struct change *change, size_t n)
{
    return n == 0 ? 0 : (size_t)lorac_rng_below(change->rng, n);
}

static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

static Onnx__NodeProto *any_node(struct change *change)
{
    return change->graph->node[below(change, change->graph->n_node)];
}

// A value that exists before node [limit]: an initialiser, an input, or what an earlier node makes.
static char *any_value(struct change *change, size_t limit)
{
    const Onnx__GraphProto *graph = change->graph;
    size_t count = limit + graph->n_initializer + graph->n_input, at = below(change, count);
    char *name = NULL;
    if (count == 0)
        return word("");
    if (at < limit)
        name = graph->node[at]->n_output ? graph->node[at]->output[0] : NULL;
    else if (at - limit < graph->n_initializer)
        name = graph->initializer[at - limit]->name;
    else
        name = graph->input[at - limit - graph->n_initializer]->name;
    return name ? name : word("");
}

// ---- tensors

// Dims that stay small, with a data field that fits them.
static void fill_tensor(struct change *change, Onnx__TensorProto *tensor)
{
    static const int32_t TYPES[] = {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,   ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                    ONNX__TENSOR_PROTO__DATA_TYPE__INT64,   ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
                                    ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16,
                                    ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,  ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
                                    ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,   ONNX__TENSOR_PROTO__DATA_TYPE__BOOL};
    if (below(change, 2) || !tensor->has_data_type)
        tensor->data_type = TYPES[below(change, COUNT_OF(TYPES))];
    tensor->has_data_type = 1;
    size_t rank = below(change, 3) ? tensor->n_dims : below(change, 6), count = 1;
    int64_t *dims = lorac_arena_alloc_array(change->arena, rank + 1, sizeof *dims);
    if (!dims)
        return;
    for (size_t i = 0; i < rank; i++) {
        bool keep = i < tensor->n_dims && tensor->dims[i] >= 0 && tensor->dims[i] < 64 && below(change, 3);
        dims[i] = keep ? tensor->dims[i] : (int64_t)below(change, 7);
        count = count * (size_t)dims[i] % 65536;
    }
    size_t bytes = 0, each = 0;
    lorac_tensor_raw_bytes(tensor->data_type, count, &bytes);
    lorac_tensor_raw_bytes(tensor->data_type, 1, &each);
    uint8_t *data = lorac_arena_alloc(change->arena, bytes + 1);
    if (!data)
        return;
    // Small numbers of each type: bytes that were there, or one small integer in each place.
    const ProtobufCBinaryData *old = &tensor->raw_data;
    for (size_t i = 0; i < bytes; i++)
        data[i] = tensor->has_raw_data && old->len > 0 ? old->data[i % old->len]
                  : each && i % each == 0              ? (uint8_t)below(change, 4)
                                                       : 0;
    tensor->dims = dims;
    tensor->n_dims = rank;
    tensor->has_raw_data = 1;
    tensor->raw_data = (ProtobufCBinaryData){bytes, data};
    tensor->n_float_data = tensor->n_int32_data = tensor->n_int64_data = 0;
    tensor->n_double_data = tensor->n_uint64_data = tensor->n_string_data = 0;
}

static Onnx__TensorProto *new_tensor(struct change *change)
{
    Onnx__TensorProto *tensor = lorac_arena_alloc(change->arena, sizeof *tensor);
    if (!tensor)
        return NULL;
    onnx__tensor_proto__init(tensor);
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    fill_tensor(change, tensor);
    return tensor;
}

static void change_tensor(struct change *change)
{
    const Onnx__GraphProto *graph = change->graph;
    const Onnx__NodeProto *node = any_node(change);
    if (below(change, 4) == 0 && node->n_attribute > 0 && node->attribute[0]->t)
        fill_tensor(change, node->attribute[0]->t);
    else if (graph->n_initializer > 0)
        fill_tensor(change, graph->initializer[below(change, graph->n_initializer)]);
}

// ---- attributes

static void fill_attribute(struct change *change, Onnx__AttributeProto *attribute)
{
    size_t count = attribute->n_ints && below(change, 3) ? attribute->n_ints : below(change, 5);
    attribute->has_i = attribute->has_f = attribute->has_s = 0;
    attribute->n_ints = attribute->n_floats = 0;
    attribute->t = NULL;
    switch (attribute->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        attribute->has_i = 1;
        attribute->i = fuzz_integer(change->rng);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        attribute->has_f = 1;
        attribute->f = (float)lorac_rng_normal(change->rng);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        attribute->has_s = 1;
        attribute->s.data = (uint8_t *)word(STRINGS[below(change, COUNT_OF(STRINGS))]);
        attribute->s.len = strlen((const char *)attribute->s.data);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        attribute->t = new_tensor(change);
        break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        attribute->ints = lorac_arena_alloc_array(change->arena, count + 1, sizeof *attribute->ints);
        attribute->n_ints = attribute->ints ? count : 0;
        for (size_t i = 0; i < attribute->n_ints; i++)
            attribute->ints[i] = fuzz_integer(change->rng);
        break;
    default:
        attribute->floats = lorac_arena_alloc_array(change->arena, count + 1, sizeof *attribute->floats);
        attribute->n_floats = attribute->floats ? count : 0;
        for (size_t i = 0; i < attribute->n_floats; i++)
            attribute->floats[i] = (float)lorac_rng_normal(change->rng);
    }
}

static void add_attribute(struct change *change, Onnx__NodeProto *node)
{
    Onnx__AttributeProto **list = lorac_arena_alloc_array(change->arena, node->n_attribute + 1, sizeof *list);
    Onnx__AttributeProto *fresh = lorac_arena_alloc(change->arena, sizeof *fresh);
    if (!list || !fresh)
        return;
    size_t which = below(change, COUNT_OF(ATTRIBUTES));
    onnx__attribute_proto__init(fresh);
    fresh->name = word(ATTRIBUTES[which].name);
    fresh->has_type = 1;
    fresh->type = ATTRIBUTES[which].type;
    fill_attribute(change, fresh);
    for (size_t i = 0; i < node->n_attribute; i++) {
        list[i] = node->attribute[i];
        if (list[i]->name && strcmp(list[i]->name, fresh->name) == 0)
            return;
    }
    list[node->n_attribute] = fresh;
    node->attribute = list;
    node->n_attribute++;
}

static void change_attribute(struct change *change)
{
    Onnx__NodeProto *node = any_node(change);
    if (node->n_attribute == 0 || below(change, 3) == 0) {
        add_attribute(change, node);
        return;
    }
    Onnx__AttributeProto *attribute = node->attribute[below(change, node->n_attribute)];
    if (attribute->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS && attribute->n_ints > 0 && below(change, 3))
        attribute->ints[below(change, attribute->n_ints)] = fuzz_integer(change->rng);
    else
        fill_attribute(change, attribute);
}

// ---- nodes and edges

static void change_operator(struct change *change)
{
    any_node(change)->op_type = word(OPERATORS[below(change, COUNT_OF(OPERATORS))]);
}

static void change_input(struct change *change)
{
    size_t at = below(change, change->graph->n_node);
    Onnx__NodeProto *node = change->graph->node[at];
    char **list = lorac_arena_alloc_array(change->arena, node->n_input + 1, sizeof *list);
    if (!list)
        return;
    if (node->n_input > 0)
        memcpy(list, node->input, node->n_input * sizeof *list);
    size_t which = below(change, node->n_input + 1);
    list[which] = below(change, 8) ? any_value(change, at) : word("");
    node->n_input += which == node->n_input;
    node->input = list;
}

// A tensor of its own for a new node.
static char *add_initializer(struct change *change)
{
    Onnx__GraphProto *graph = change->graph;
    Onnx__TensorProto **list = lorac_arena_alloc_array(change->arena, graph->n_initializer + 1, sizeof *list);
    Onnx__TensorProto *tensor = new_tensor(change);
    char *name = lorac_arena_alloc(change->arena, 32);
    if (!list || !tensor || !name)
        return word("");
    snprintf(name, 32, "t%08x", (unsigned)lorac_rng_next(change->rng));
    if (graph->n_initializer > 0)
        memcpy(list, graph->initializer, graph->n_initializer * sizeof *list);
    tensor->name = name;
    list[graph->n_initializer++] = tensor;
    graph->initializer = list;
    return name;
}

// A node on the way to an input of another one: operator(what was there, ...).
static void insert_node(struct change *change)
{
    enum { MOST_INPUTS = 4 };
    Onnx__GraphProto *graph = change->graph;
    size_t at = below(change, graph->n_node);
    Onnx__NodeProto *after = graph->node[at];
    Onnx__NodeProto **list = lorac_arena_alloc_array(change->arena, graph->n_node + 1, sizeof *list);
    Onnx__NodeProto *fresh = lorac_arena_alloc(change->arena, sizeof *fresh);
    char **values = lorac_arena_alloc_array(change->arena, MOST_INPUTS + 1, sizeof *values);
    char *output = lorac_arena_alloc(change->arena, 32);
    if (after->n_input == 0 || !list || !fresh || !values || !output)
        return;
    size_t which = below(change, after->n_input);
    onnx__node_proto__init(fresh);
    snprintf(output, 32, "v%08x", (unsigned)lorac_rng_next(change->rng));
    fresh->op_type = word(OPERATORS[below(change, COUNT_OF(OPERATORS))]);
    fresh->input = values;
    fresh->output = values + MOST_INPUTS;
    fresh->output[0] = output;
    fresh->n_output = 1;
    fresh->n_input = 1 + below(change, MOST_INPUTS);
    for (size_t i = 0; i < fresh->n_input; i++)
        values[i] = i == 0 ? after->input[which] : below(change, 2) ? add_initializer(change) : any_value(change, at);
    after->input[which] = output;
    memcpy(list, graph->node, at * sizeof *list);
    list[at] = fresh;
    memcpy(list + at + 1, graph->node + at, (graph->n_node - at) * sizeof *list);
    graph->node = list;
    graph->n_node++;
    for (size_t i = below(change, 3); i > 0; i--)
        add_attribute(change, fresh);
}

static void change_input_size(struct change *change)
{
    const Onnx__GraphProto *graph = change->graph;
    if (graph->n_input == 0)
        return;
    const Onnx__TypeProto *type = graph->input[below(change, graph->n_input)]->type;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type->shape ||
        type->tensor_type->shape->n_dim == 0)
        return;
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    Onnx__TensorShapeProto__Dimension *dim = shape->dim[below(change, shape->n_dim)];
    dim->value_case = below(change, 4) ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                                       : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    dim->dim_value = fuzz_integer(change->rng);
}

static void change_opset(struct change *change, Onnx__ModelProto *model)
{
    if (model->n_opset_import > 0)
        model->opset_import[0]->version = (int64_t)(7 + below(change, 22));
}

// ---- the whole

static void change_once(struct change *change, Onnx__ModelProto *model)
{
    switch (model->graph && model->graph->n_node > 0 ? below(change, 13) : 12) {
    case 0:
    case 1:
        change_operator(change);
        break;
    case 2:
    case 3:
        change_input(change);
        break;
    case 4:
    case 5:
        change_attribute(change);
        break;
    case 6:
    case 7:
        change_tensor(change);
        break;
    case 8:
    case 9:
        insert_node(change);
        break;
    case 10:
        change_input_size(change);
        break;
    case 11:
        change_opset(change, model);
        break;
    default:
        fuzz_mutate_message(change->rng, change->arena, &model->base);
    }
}

size_t fuzz_mutate_model(struct lorac_rng *rng, uint8_t *bytes, size_t count, size_t capacity)
{
    struct change change = {.rng = rng, .arena = lorac_arena_create()};
    const ProtobufCMessageDescriptor *type = &onnx__model_proto__descriptor;
    size_t result = 0;
    bool out_of_memory;
    Onnx__ModelProto *model = NULL;
    if (change.arena)
        model = (Onnx__ModelProto *)lorac_arena_unpack(change.arena, type, bytes, count, &out_of_memory);
    if (model) {
        for (size_t changes = 1 + below(&change, 2); changes > 0; changes--) {
            change.graph = model->graph;
            change_once(&change, model);
        }
        size_t packed = onnx__model_proto__get_packed_size(model);
        result = packed <= capacity ? onnx__model_proto__pack(model, bytes) : 0;
    }
    lorac_arena_free(change.arena);
    return result;
}
