// Small models made of the generated structs, for the tests of proto: everything is static or malloc'ed and small.
#ifndef LORAC_TEST_BUILD_MODEL_H
#define LORAC_TEST_BUILD_MODEL_H

#include "check.h"
#include "proto/model.h"

enum { BUILD_MAX = 16 };

// A model being built; build_init makes it valid and empty.
struct build {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset;
    Onnx__OperatorSetIdProto *opsets[1];
    Onnx__NodeProto nodes[BUILD_MAX], *node_list[BUILD_MAX];
    char *node_inputs[BUILD_MAX][BUILD_MAX], *node_outputs[BUILD_MAX][BUILD_MAX];
    Onnx__ValueInfoProto inputs[BUILD_MAX], *input_list[BUILD_MAX];
    Onnx__ValueInfoProto outputs[BUILD_MAX], *output_list[BUILD_MAX];
    Onnx__TensorProto tensors[BUILD_MAX], *tensor_list[BUILD_MAX];
    int64_t dims[BUILD_MAX];
    float floats[BUILD_MAX][BUILD_MAX];
    char text[4096]; // copies of words
    size_t text_used;
};

__attribute__((unused)) static void build_init(struct build *build)
{
    memset(build, 0, sizeof *build);
    onnx__model_proto__init(&build->model);
    onnx__graph_proto__init(&build->graph);
    onnx__operator_set_id_proto__init(&build->opset);
    build->opset.has_version = 1;
    build->opset.version = 17;
    build->opsets[0] = &build->opset;
    build->model.opset_import = build->opsets;
    build->model.n_opset_import = 1;
    build->model.has_ir_version = 1;
    build->model.ir_version = 8;
    build->model.graph = &build->graph;
    build->graph.node = build->node_list;
    build->graph.input = build->input_list;
    build->graph.output = build->output_list;
    build->graph.initializer = build->tensor_list;
}

// Splits [words] at blanks; "-" is the empty name. Returns the count.
__attribute__((unused)) static size_t build_words(struct build *build, const char *words, char **out)
{
    size_t count = 0;
    while (*words) {
        size_t length = strcspn(words, " ");
        char *copy = build->text + build->text_used;
        REQUIRE(build->text_used + length + 1 <= sizeof build->text && count < BUILD_MAX);
        build->text_used += length + 1;
        memcpy(copy, words, length);
        copy[length] = '\0';
        if (strcmp(copy, "-") == 0)
            *copy = '\0';
        out[count++] = copy;
        words += length + (words[length] == ' ');
    }
    return count;
}

__attribute__((unused)) static Onnx__NodeProto *build_node(struct build *build, char *op_type, char *name,
                                                           const char *inputs, const char *outputs)
{
    size_t i = build->graph.n_node++;
    REQUIRE(i < BUILD_MAX);
    Onnx__NodeProto *node = build->node_list[i] = &build->nodes[i];
    onnx__node_proto__init(node);
    node->op_type = op_type;
    node->name = name;
    node->input = build->node_inputs[i];
    node->n_input = build_words(build, inputs, node->input);
    node->output = build->node_outputs[i];
    node->n_output = build_words(build, outputs, node->output);
    return node;
}

__attribute__((unused)) static void build_input(struct build *build, char *name)
{
    size_t i = build->graph.n_input++;
    build->input_list[i] = &build->inputs[i];
    onnx__value_info_proto__init(&build->inputs[i]);
    build->inputs[i].name = name;
}

__attribute__((unused)) static void build_output(struct build *build, char *name)
{
    size_t i = build->graph.n_output++;
    build->output_list[i] = &build->outputs[i];
    onnx__value_info_proto__init(&build->outputs[i]);
    build->outputs[i].name = name;
}

// A FLOAT initialiser [count], raw, 0.5, 1.5, ...
__attribute__((unused)) static Onnx__TensorProto *build_tensor(struct build *build, char *name, size_t count)
{
    size_t i = build->graph.n_initializer++;
    REQUIRE(i < BUILD_MAX && count <= BUILD_MAX);
    Onnx__TensorProto *tensor = build->tensor_list[i] = &build->tensors[i];
    onnx__tensor_proto__init(tensor);
    for (size_t j = 0; j < count; j++)
        build->floats[i][j] = (float)j + 0.5f;
    build->dims[i] = (int64_t)count;
    tensor->name = name;
    tensor->dims = &build->dims[i];
    tensor->n_dims = 1;
    tensor->has_data_type = 1;
    tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->has_raw_data = 1;
    tensor->raw_data.data = (uint8_t *)build->floats[i];
    tensor->raw_data.len = count * sizeof(float);
    return tensor;
}

// Serialises what was built; the caller frees.
__attribute__((unused)) static uint8_t *build_pack(const struct build *build, size_t *byte_count)
{
    uint8_t *bytes = malloc(onnx__model_proto__get_packed_size(&build->model));
    REQUIRE(bytes);
    *byte_count = onnx__model_proto__pack(&build->model, bytes);
    return bytes;
}

// The model that the library reads from it; NULL where it refuses.
__attribute__((unused)) static struct lorac_model *build_parse(const struct build *build, struct lorac_error *error)
{
    size_t byte_count;
    uint8_t *bytes = build_pack(build, &byte_count);
    struct lorac_model *model = NULL;
    enum lorac_status status = lorac_model_parse(bytes, byte_count, &model, error);
    CHECK((status == LORAC_OK) == (model != NULL));
    free(bytes);
    return model;
}

// x -> Conv -> y -> Relu -> z, with a few attributes and an initialiser.
__attribute__((unused)) static uint8_t *build_small(size_t *byte_count)
{
    static struct build build;
    static Onnx__AttributeProto attribute, *attributes[] = {&attribute};
    static int64_t ints[] = {1, 1};
    build_init(&build);
    build_input(&build, (char *)"x");
    build_output(&build, (char *)"z");
    build_tensor(&build, (char *)"w", 4);
    onnx__attribute_proto__init(&attribute);
    attribute.name = (char *)"strides";
    attribute.has_type = 1;
    attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    attribute.ints = ints;
    attribute.n_ints = 2;
    Onnx__NodeProto *node = build_node(&build, (char *)"Conv", (char *)"conv", "x w", "y");
    node->attribute = attributes;
    node->n_attribute = 1;
    build_node(&build, (char *)"Relu", NULL, "y", "z");
    return build_pack(&build, byte_count);
}

#endif
