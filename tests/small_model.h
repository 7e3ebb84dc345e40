// Builds small models for the tests of proto/ and passes/: names, tensors and nodes, without meaning to run them.
// Everything hangs from the builder until small_load has made a real model of it.
#ifndef LORAC_TEST_SMALL_MODEL_H
#define LORAC_TEST_SMALL_MODEL_H

#include "check.h"

#include "proto/model.h"

enum { SMALL_CAPACITY = 64 };

struct small_model {
    struct lorac_arena *arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto *nodes[SMALL_CAPACITY];
    Onnx__TensorProto *tensors[SMALL_CAPACITY];
    Onnx__ValueInfoProto *inputs[SMALL_CAPACITY], *outputs[SMALL_CAPACITY];
    Onnx__StringStringEntryProto *metadata[SMALL_CAPACITY];
};

static inline void *small_alloc(struct small_model *small, size_t bytes)
{
    void *piece = lorac_arena_alloc(small->arena, bytes);
    REQUIRE(piece);
    return piece;
}

static inline char *small_text(struct small_model *small, const char *text)
{
    char *copy = lorac_arena_strdup(small->arena, text);
    REQUIRE(copy);
    return copy;
}

static inline void small_init(struct small_model *small, int64_t ir_version, int64_t opset)
{
    memset(small, 0, sizeof *small);
    small->arena = lorac_arena_create();
    REQUIRE(small->arena);
    onnx__model_proto__init(&small->model);
    onnx__graph_proto__init(&small->graph);
    onnx__operator_set_id_proto__init(&small->opset);
    small->model.has_ir_version = 1;
    small->model.ir_version = ir_version;
    small->model.graph = &small->graph;
    small->model.opset_import = small->opsets;
    small->model.n_opset_import = 1;
    small->opsets[0] = &small->opset;
    small->opset.has_version = 1;
    small->opset.version = opset;
    small->graph.name = small_text(small, "small");
    small->graph.node = small->nodes;
    small->graph.initializer = small->tensors;
    small->graph.input = small->inputs;
    small->graph.output = small->outputs;
    small->model.metadata_props = small->metadata;
}

// A value declaration: float, with the dimensions ("dim_count" 0: no shape).
static inline Onnx__ValueInfoProto *small_value(struct small_model *small, const char *name, const int64_t *dims,
                                                size_t dim_count)
{
    Onnx__ValueInfoProto *value = small_alloc(small, sizeof *value);
    onnx__value_info_proto__init(value);
    value->name = small_text(small, name);
    value->type = small_alloc(small, sizeof *value->type);
    onnx__type_proto__init(value->type);
    value->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    Onnx__TypeProto__Tensor *type = value->type->tensor_type = small_alloc(small, sizeof *type);
    onnx__type_proto__tensor__init(type);
    type->has_elem_type = 1;
    type->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (dim_count == 0)
        return value;
    type->shape = small_alloc(small, sizeof *type->shape);
    onnx__tensor_shape_proto__init(type->shape);
    type->shape->n_dim = dim_count;
    type->shape->dim = small_alloc(small, dim_count * sizeof *type->shape->dim);
    for (size_t i = 0; i < dim_count; i++) {
        Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i] = small_alloc(small, sizeof *dim);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = dims[i];
    }
    return value;
}

static inline void small_input(struct small_model *small, const char *name, const int64_t *dims, size_t dim_count)
{
    REQUIRE(small->graph.n_input < SMALL_CAPACITY);
    small->inputs[small->graph.n_input++] = small_value(small, name, dims, dim_count);
}

static inline void small_output(struct small_model *small, const char *name)
{
    REQUIRE(small->graph.n_output < SMALL_CAPACITY);
    small->outputs[small->graph.n_output++] = small_value(small, name, NULL, 0);
}

// A tensor with raw data: float32 values 0.125, 0.25, ... that repeat after 16, or zero bytes for other types.
static inline Onnx__TensorProto *small_make_tensor(struct small_model *small, const char *name, int32_t data_type,
                                                   size_t item_bytes, const int64_t *dims, size_t dim_count)
{
    Onnx__TensorProto *tensor = small_alloc(small, sizeof *tensor);
    onnx__tensor_proto__init(tensor);
    size_t count = 1;
    tensor->dims = small_alloc(small, (dim_count + 1) * sizeof *tensor->dims);
    tensor->n_dims = dim_count;
    for (size_t i = 0; i < dim_count; i++) {
        tensor->dims[i] = dims[i];
        count *= (size_t)dims[i];
    }
    if (name)
        tensor->name = small_text(small, name);
    tensor->has_data_type = 1;
    tensor->data_type = data_type;
    tensor->has_raw_data = 1;
    tensor->raw_data.len = count * item_bytes;
    tensor->raw_data.data = small_alloc(small, tensor->raw_data.len + 1);
    for (size_t i = 0; i < count && data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT; i++) {
        float value = 0.125f * (float)(i % 16 + 1);
        memcpy(tensor->raw_data.data + 4 * i, &value, 4);
    }
    return tensor;
}

// An initialiser; below IR 4 a graph input too.
static inline Onnx__TensorProto *small_tensor(struct small_model *small, const char *name, const int64_t *dims,
                                              size_t dim_count)
{
    REQUIRE(small->graph.n_initializer < SMALL_CAPACITY);
    Onnx__TensorProto *tensor =
        small_make_tensor(small, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, dims, dim_count);
    small->tensors[small->graph.n_initializer++] = tensor;
    if (small->model.ir_version < 4)
        small_input(small, name, dims, dim_count);
    return tensor;
}

// A node; [inputs] are separated by spaces. [name] NULL: unnamed.
static inline Onnx__NodeProto *small_node(struct small_model *small, const char *op_type, const char *name,
                                          const char *inputs, const char *output)
{
    REQUIRE(small->graph.n_node < SMALL_CAPACITY);
    Onnx__NodeProto *node = small_alloc(small, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = small_text(small, op_type);
    if (name)
        node->name = small_text(small, name);
    node->input = small_alloc(small, 8 * sizeof *node->input);
    char *rest = small_text(small, inputs);
    for (char *word = strtok(rest, " "); word; word = strtok(NULL, " "))
        node->input[node->n_input++] = word;
    node->output = small_alloc(small, sizeof *node->output);
    node->output[0] = small_text(small, output);
    node->n_output = 1;
    small->nodes[small->graph.n_node++] = node;
    return node;
}

static inline Onnx__AttributeProto *small_attribute(struct small_model *small, Onnx__NodeProto *node,
                                                    const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = small_alloc(small, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = small_text(small, name);
    attribute->has_type = 1;
    attribute->type = type;
    node->attribute = small_alloc(small, sizeof *node->attribute);
    node->attribute[0] = attribute;
    node->n_attribute = 1;
    return attribute;
}

static inline void small_group(struct small_model *small, Onnx__NodeProto *node, int64_t group)
{
    Onnx__AttributeProto *attribute =
        small_attribute(small, node, "group", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->has_i = 1;
    attribute->i = group;
}

// A Constant node with a float32 tensor.
static inline void small_constant(struct small_model *small, const char *output, const int64_t *dims,
                                  size_t dim_count)
{
    Onnx__NodeProto *node = small_node(small, "Constant", NULL, "", output);
    small_attribute(small, node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t =
        small_make_tensor(small, NULL, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, dims, dim_count);
}

static inline void small_metadata(struct small_model *small, const char *key, const char *value)
{
    REQUIRE(small->model.n_metadata_props < SMALL_CAPACITY);
    Onnx__StringStringEntryProto *entry = small_alloc(small, sizeof *entry);
    onnx__string_string_entry_proto__init(entry);
    entry->key = small_text(small, key);
    entry->value = small_text(small, value);
    small->metadata[small->model.n_metadata_props++] = entry;
}

// Packs the builder, parses the bytes and frees the builder.
static inline struct lorac_model *small_load(struct small_model *small)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    size_t byte_count = onnx__model_proto__get_packed_size(&small->model);
    uint8_t *bytes = malloc(byte_count);
    REQUIRE(bytes);
    onnx__model_proto__pack(&small->model, bytes);
    REQUIRE(CHECK_OK(lorac_model_parse(bytes, byte_count, &model, &error), error));
    free(bytes);
    lorac_arena_free(small->arena);
    small->arena = NULL;
    return model;
}

#endif
