#include "build_model.h"
#include "proto/model_edit.h"
#include "proto/model_internal.h"
#include "proto/rng.h"
#include "proto/tensor.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

// x -> Conv(x, w) -> y -> If (uses y and w inside) -> z
struct fixture {
    struct build build;
    Onnx__AttributeProto attribute, *attributes[1];
    Onnx__GraphProto inner;
    Onnx__NodeProto inner_node, *inner_nodes[1];
    char *inner_inputs[2], *inner_outputs[1];
    Onnx__ValueInfoProto inner_output, *inner_output_list[1];
    struct lorac_model *model;
};

static void setup(struct fixture *f, int64_t ir_version)
{
    struct lorac_error error = {0};
    build_init(&f->build);
    f->build.model.ir_version = ir_version;
    build_input(&f->build, (char *)"x");
    if (ir_version <= 3)
        build_input(&f->build, (char *)"w");
    build_output(&f->build, (char *)"z");
    build_tensor(&f->build, (char *)"w", 3);
    build_node(&f->build, (char *)"Conv", (char *)"conv", "x w", "y");
    Onnx__NodeProto *node = build_node(&f->build, (char *)"If", NULL, "x", "z");
    onnx__node_proto__init(&f->inner_node);
    f->inner_inputs[0] = (char *)"y";
    f->inner_inputs[1] = (char *)"w";
    f->inner_outputs[0] = (char *)"inner_value";
    f->inner_node.op_type = (char *)"Add";
    f->inner_node.name = (char *)"inner_node";
    f->inner_node.input = f->inner_inputs;
    f->inner_node.n_input = 2;
    f->inner_node.output = f->inner_outputs;
    f->inner_node.n_output = 1;
    onnx__value_info_proto__init(&f->inner_output);
    f->inner_output.name = (char *)"inner_value";
    onnx__graph_proto__init(&f->inner);
    f->inner_nodes[0] = &f->inner_node;
    f->inner.node = f->inner_nodes;
    f->inner.n_node = 1;
    f->inner_output_list[0] = &f->inner_output;
    f->inner.output = f->inner_output_list;
    f->inner.n_output = 1;
    onnx__attribute_proto__init(&f->attribute);
    f->attribute.name = (char *)"then_branch";
    f->attribute.has_type = 1;
    f->attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    f->attribute.g = &f->inner;
    f->attributes[0] = &f->attribute;
    node->attribute = f->attributes;
    node->n_attribute = 1;
    f->model = build_parse(&f->build, &error);
    CHECKF(f->model != NULL, "%s", error.message);
    REQUIRE(f->model);
}

static void test_looking(void)
{
    struct fixture f;
    const struct lorac_use *uses;
    setup(&f, 8);
    const Onnx__GraphProto *graph = f.model->proto->graph;
    CHECK(lorac_model_producer(f.model, "y") == graph->node[0]);
    CHECK(lorac_model_producer(f.model, "z") == graph->node[1]);
    CHECK(!lorac_model_producer(f.model, "x") && !lorac_model_producer(f.model, "inner_value"));
    CHECK(!lorac_model_producer(f.model, "") && !lorac_model_producer(f.model, NULL));
    CHECK(lorac_model_initializer(f.model, "w") == graph->initializer[0]);
    CHECK(lorac_model_constant(f.model, "w") == graph->initializer[0] && !lorac_model_constant(f.model, "y"));
    CHECK(lorac_model_uses(f.model, "w", &uses) == 2 && uses[0].node == graph->node[0] && uses[0].input == 1 &&
          uses[1].node == graph->node[1] && uses[1].input == SIZE_MAX);
    CHECK(lorac_model_uses(f.model, "x", &uses) == 2 && uses[1].node == graph->node[1] && uses[1].input == 0);
    CHECK(lorac_model_uses(f.model, "z", &uses) == 0 && lorac_model_uses(f.model, "nothing", &uses) == 0);
    CHECK(lorac_model_is_graph_output(f.model, "z") && !lorac_model_is_graph_output(f.model, "y"));
    CHECK(!lorac_model_is_graph_output(f.model, "inner_value") && !lorac_model_is_graph_output(f.model, "nothing"));
    CHECK(!lorac_model_is_graph_output(f.model, "") && !lorac_model_is_graph_output(f.model, NULL));
    CHECK(lorac_model_input(f.model, 0) == graph->input[0] && !lorac_model_input(f.model, 1));
    CHECK_STRING(lorac_node_name(graph->node[0]), "conv");
    CHECK_STRING(lorac_node_name(graph->node[1]), "z");
    CHECK_STRING(lorac_node_input(graph->node[0], 1), "w");
    CHECK_STRING(lorac_node_input(graph->node[0], 2), "");
    CHECK(lorac_node_is(graph->node[0], "Conv") && !lorac_node_is(graph->node[0], "Gemm"));
    static const char *const matrices[] = {"Gemm", "MatMul", NULL};
    static const char *const convolutions[] = {"ConvTranspose", "Conv", NULL};
    CHECK(lorac_node_is_one_of(graph->node[0], convolutions) && !lorac_node_is_one_of(graph->node[0], matrices));
    CHECK(lorac_model_opset(f.model) == 17);
    lorac_model_free(f.model);
}

static void test_fresh_names(void)
{
    static const char *const rows[][2] = {
        {"new", "new"},
        {"x", "x_1"},
        {"w", "w_1"},
        {"conv", "conv_1"},
        {"inner_value", "inner_value_1"},
        {"inner_node", "inner_node_1"},
        {"z", "z_1"},
    };
    struct fixture f;
    struct lorac_error error = {0};
    const char *name;
    setup(&f, 8);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (CHECK_OK(lorac_model_fresh_name(f.model, rows[i][0], &name, &error), error))
            CHECK_STRING(name, rows[i][1]);
    }
    const struct lorac_node_spec spec = {"Relu", "x_1", 1, {"x"}, "x_2"};
    CHECK_OK(lorac_model_insert_node(f.model, NULL, &spec, NULL, &error), error);
    if (CHECK_OK(lorac_model_fresh_name(f.model, "x", &name, &error), error))
        CHECK_STRING(name, "x_3");
    // Asked for again after names came and went: always the first that is free.
    for (int i = 3; i < 6; i++) {
        REQUIRE(CHECK_OK(lorac_model_fresh_name(f.model, "x", &name, &error), error));
        const struct lorac_node_spec more = {"Relu", NULL, 1, {"x"}, name};
        CHECKF(name[2] == '0' + i && !name[3], "%s", name);
        CHECK_OK(lorac_model_insert_node(f.model, NULL, &more, NULL, &error), error);
    }
    lorac_model_erase_node(f.model, lorac_model_producer(f.model, "x_4"));
    if (CHECK_OK(lorac_model_fresh_name(f.model, "x", &name, &error), error))
        CHECK_STRING(name, "x_4");
    CHECK(lorac_model_fresh_name(f.model, "", &name, &error) == LORAC_ERROR_ARGUMENT);
    lorac_model_free(f.model);
}

static void check_bytes(const struct lorac_model *model, const uint8_t *expected, size_t expected_count)
{
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    if (CHECK_OK(lorac_model_pack(model, &bytes, &byte_count, &error), error))
        CHECKF(byte_count == expected_count && memcmp(bytes, expected, byte_count) == 0,
               "%zu bytes, not the %zu of before", byte_count, expected_count);
    free(bytes);
}

// Uses move, also those in subgraphs, and what hides the name there moves with them; moved back, all is as before.
static void edit_much(struct lorac_model *model, int count)
{
    static const float values[] = {1, 2, 3, 4};
    static const int64_t dims[] = {2, 2};
    struct lorac_error error = {0};
    const struct lorac_use *uses;
    Onnx__NodeProto *node = NULL;
    Onnx__NodeProto *conv = lorac_model_producer(model, "y");
    char name[32], output[32];
    REQUIRE(conv);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "t%d", i);
        snprintf(output, sizeof output, "r%d", i);
        const struct lorac_node_spec spec = {"Add", NULL, 2, {name, "x"}, output};
        CHECK_OK(lorac_model_add_initializer(model, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims, 2, values,
                                             sizeof values, &error),
                 error);
        CHECK_OK(lorac_model_insert_node(model, conv, &spec, &node, &error), error);
        CHECK(lorac_model_producer(model, output) == node && lorac_model_producer(model, "y") == conv);
        CHECK(lorac_model_uses(model, name, &uses) == 1 && uses[0].node == node && uses[0].input == 0);
        CHECK_OK(lorac_model_set_metadata(model, name, "value", &error), error);
    }
    CHECK(lorac_model_uses(model, "x", &uses) == (size_t)count + 2 && uses[count].node == conv);
    CHECK_OK(lorac_model_set_node_input(model, conv, 1, "r0", &error), error);
    CHECK(lorac_model_uses(model, "w", &uses) == 1 && uses[0].input == SIZE_MAX);
    CHECK(lorac_model_uses(model, "r0", &uses) == 1 && uses[0].node == conv && uses[0].input == 1);
    CHECK_OK(lorac_model_check(model, &error), error);
}

static void test_move_uses(void)
{
    struct fixture f;
    struct lorac_error error = {0};
    const struct lorac_use *uses;
    uint8_t *before = NULL;
    size_t byte_count = 0;
    setup(&f, 8);
    CHECK_OK(lorac_model_pack(f.model, &before, &byte_count, &error), error);
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"y", "moved"}, 1, &error), error);
    const Onnx__GraphProto *graph = f.model->proto->graph;
    CHECK_STRING(graph->node[1]->attribute[0]->g->node[0]->input[0], "moved");
    CHECK_STRING(graph->node[0]->output[0], "y");
    CHECK(lorac_model_uses(f.model, "y", &uses) == 0 && lorac_model_uses(f.model, "moved", &uses) == 1);
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"inner_value", "hidden"}, 1, &error), error);
    CHECK_STRING(graph->node[1]->attribute[0]->g->node[0]->output[0], "hidden");
    CHECK_STRING(graph->node[1]->attribute[0]->g->output[0]->name, "hidden");
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"x", "input"}, 1, &error), error);
    CHECK_STRING(graph->node[0]->input[0], "input");
    CHECK_STRING(graph->node[1]->input[0], "input");
    CHECK_STRING(graph->input[0]->name, "x");
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"input", "x"}, 1, &error), error);
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"hidden", "inner_value"}, 1, &error), error);
    CHECK_OK(lorac_model_move_uses(f.model, &(struct lorac_move){"moved", "y"}, 1, &error), error);
    check_bytes(f.model, before, byte_count);
    // At once: what was moved is not moved again.
    const struct lorac_move chain[] = {{"x", "y"}, {"y", "x"}};
    CHECK_OK(lorac_model_move_uses(f.model, chain, COUNT_OF(chain), &error), error);
    CHECK_STRING(graph->node[0]->input[0], "y");
    CHECK_STRING(graph->node[1]->attribute[0]->g->node[0]->input[0], "x");
    CHECK_OK(lorac_model_move_uses(f.model, chain, COUNT_OF(chain), &error), error);
    CHECK_OK(lorac_model_move_uses(f.model, NULL, 0, &error), error);
    check_bytes(f.model, before, byte_count);
    free(before);
    lorac_model_free(f.model);
}

static void test_erase_all(int64_t ir_version)
{
    enum { EDITS = 6 };
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, ir_version);
    edit_much(f.model, EDITS);
    CHECK_OK(lorac_model_set_node_input(f.model, lorac_model_producer(f.model, "y"), 1, "w", &error), error);
    const Onnx__GraphProto *graph = f.model->proto->graph;
    const Onnx__NodeProto *nodes[] = {lorac_model_producer(f.model, "r4"), NULL, lorac_model_producer(f.model, "r1")};
    const Onnx__TensorProto *tensors[] = {lorac_model_initializer(f.model, "t4"),
                                          lorac_model_initializer(f.model, "t1")};
    CHECK(lorac_model_node_after(f.model, nodes[0]) == lorac_model_producer(f.model, "r5"));
    CHECK(!lorac_model_node_after(f.model, graph->node[graph->n_node - 1]) && !lorac_model_node_after(f.model, NULL));
    lorac_model_erase_all(f.model, nodes, COUNT_OF(nodes), tensors, COUNT_OF(tensors));
    lorac_model_erase_all(f.model, NULL, 0, NULL, 0);
    static const char *const left[] = {"0", "2", "3", "5"};
    REQUIRE(graph->n_node == 2 + COUNT_OF(left) && graph->n_initializer == 1 + COUNT_OF(left));
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        CHECK_STRING(graph->node[i]->output[0] + 1, left[i]);
        CHECK_STRING(graph->initializer[1 + i]->name + 1, left[i]);
        if (ir_version <= 3)
            CHECK_STRING(graph->input[2 + i]->name + 1, left[i]);
    }
    CHECK(graph->n_input == (ir_version <= 3 ? 2 + COUNT_OF(left) : 1));
    CHECK(!lorac_model_producer(f.model, "r4") && !lorac_model_initializer(f.model, "t1"));
    CHECK_OK(lorac_model_check(f.model, &error), error);
    lorac_model_free(f.model);
}

static void test_inputs_and_attributes(void)
{
    static const int64_t pads[] = {1, 2, 3, 4};
    static const char *const inputs[] = {"x", "w", "x", "w", "x"};
    struct fixture f;
    struct lorac_error error = {0};
    const struct lorac_use *uses;
    const int64_t *values;
    setup(&f, 8);
    Onnx__NodeProto *conv = f.model->proto->graph->node[0], *other = f.model->proto->graph->node[1];
    CHECK_OK(lorac_model_set_node_inputs(f.model, conv, inputs, COUNT_OF(inputs), &error), error);
    CHECK(conv->n_input == 5 && lorac_model_uses(f.model, "x", &uses) == 4 && uses[2].input == 4);
    CHECK_OK(lorac_model_set_node_int(f.model, conv, "group", 3, &error), error);
    CHECK_OK(lorac_model_set_node_ints(f.model, conv, "pads", pads, 4, &error), error);
    CHECK_OK(lorac_model_set_node_int(f.model, conv, "group", 2, &error), error);
    CHECK(conv->n_attribute == 2 && lorac_node_int(conv, "group", 0) == 2);
    CHECK(lorac_node_ints(conv, "pads", &values) == 4 && memcmp(values, pads, sizeof pads) == 0);
    CHECK(lorac_model_copy_attributes(f.model, other, conv, &error) == LORAC_ERROR_UNSUPPORTED &&
          strstr(error.message, "'then_branch' holds a subgraph") && conv->n_attribute == 2);
    CHECK_OK(lorac_model_copy_attributes(f.model, conv, other, &error), error);
    CHECK(other->n_attribute == 2 && other->attribute[1] != conv->attribute[1]);
    CHECK(lorac_node_ints(other, "pads", &values) == 4 && memcmp(values, pads, sizeof pads) == 0);
    lorac_model_free(f.model);
}

static void undo(struct lorac_model *model, int count)
{
    struct lorac_error error = {0};
    Onnx__NodeProto *conv = lorac_model_producer(model, "y");
    char name[32];
    CHECK_OK(lorac_model_set_node_input(model, conv, 1, "w", &error), error);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "r%d", i);
        lorac_model_erase_node(model, lorac_model_producer(model, name));
        CHECK(!lorac_model_producer(model, name));
        snprintf(name, sizeof name, "t%d", i);
        lorac_model_erase_initializer(model, name);
        CHECK(!lorac_model_initializer(model, name));
        lorac_model_erase_metadata(model, name);
        CHECK(!lorac_model_metadata(model, name));
    }
    lorac_model_erase_node(model, NULL);
    lorac_model_erase_initializer(model, "not there");
    lorac_model_erase_metadata(model, "not there");
}

static void test_edit_and_undo(int64_t ir_version)
{
    struct fixture f;
    size_t byte_count;
    enum { EDITS = 200 };
    setup(&f, ir_version);
    uint8_t *before = build_pack(&f.build, &byte_count);
    CHECK(f.model->rewrites_unchanged);
    for (int round = 0; round < 2; round++) {
        edit_much(f.model, EDITS);
        const Onnx__GraphProto *graph = f.model->proto->graph;
        size_t declared = ir_version <= 3 ? EDITS : 0;
        CHECKF(graph->n_input == declared + (ir_version <= 3 ? 2 : 1), "%zu inputs", graph->n_input);
        if (declared) {
            const Onnx__TypeProto *type = graph->input[graph->n_input - 1]->type;
            CHECK_STRING(graph->input[graph->n_input - 1]->name, "t199");
            CHECK(type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && type->tensor_type->elem_type == 1 &&
                  type->tensor_type->shape->n_dim == 2 && type->tensor_type->shape->dim[1]->dim_value == 2);
        }
        // What was edited is read back the same.
        struct lorac_error error = {0};
        struct lorac_model *again = NULL;
        uint8_t *bytes = NULL;
        size_t edited_count;
        CHECK_OK(lorac_model_pack(f.model, &bytes, &edited_count, &error), error);
        if (CHECK_OK(lorac_model_parse(bytes, edited_count, &again, &error), error))
            CHECK(again->rewrites_unchanged && again->proto->graph->n_node == 2 + EDITS);
        lorac_model_free(again);
        free(bytes);
        undo(f.model, EDITS);
        check_bytes(f.model, before, byte_count);
    }
    free(before);
    lorac_model_free(f.model);
}

static void test_order(void)
{
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, 8);
    Onnx__GraphProto *graph = f.model->proto->graph;
    const struct lorac_node_spec first = {"A", "a", 1, {"x"}, "a_out"}, last = {"B", "b", 0, {NULL}, "b_out"};
    CHECK_OK(lorac_model_insert_node(f.model, graph->node[1], &first, NULL, &error), error);
    CHECK_OK(lorac_model_insert_node(f.model, NULL, &last, NULL, &error), error);
    static const char *const expected[] = {"Conv", "A", "If", "B"};
    REQUIRE(graph->n_node == 4);
    for (size_t i = 0; i < 4; i++)
        CHECK_STRING(graph->node[i]->op_type, expected[i]);
    lorac_model_erase_node(f.model, graph->node[1]);
    CHECK_STRING(graph->node[1]->op_type, "If");
    lorac_model_free(f.model);
}

static void test_refused_edits(void)
{
    struct fixture f;
    struct lorac_error error = {0};
    const float values[2] = {0};
    const int64_t two[] = {2}, negative[] = {-2};
    static const struct {
        const char *name;
        int32_t type;
        int negative;
        size_t bytes;
        const char *words;
    } rows[] = {
        {"w", 1, 0, 8, "taken"},  {"y", 1, 0, 8, "taken"},   {"", 1, 0, 8, "empty"},       {"new", 1, 0, 7, "7 bytes"},
        {"new", 1, 1, 8, "[-2]"}, {"new", 7, 0, 8, "INT64"}, {"new", 99, 0, 8, "unknown"},
    };
    size_t byte_count;
    setup(&f, 8);
    uint8_t *before = build_pack(&f.build, &byte_count);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum lorac_status status = lorac_model_add_initializer(
            f.model, rows[i].name, rows[i].type, rows[i].negative ? negative : two, 1, values, rows[i].bytes, &error);
        CHECKF(status == LORAC_ERROR_ARGUMENT && strstr(error.message, rows[i].words), "row %zu: %d %s", i, status,
               error.message);
    }
    check_bytes(f.model, before, byte_count);
    free(before);
    lorac_model_free(f.model);
}

static void test_metadata(void)
{
    struct fixture f;
    struct lorac_error error = {0};
    const struct lorac_use *uses, *same;
    setup(&f, 8);
    CHECK(lorac_model_uses(f.model, "w", &uses) == 2);
    CHECK(!lorac_model_metadata(f.model, "a"));
    CHECK_OK(lorac_model_set_metadata(f.model, "a", "1", &error), error);
    CHECK_OK(lorac_model_set_metadata(f.model, "b", "2", &error), error);
    CHECK_OK(lorac_model_set_metadata(f.model, "a", "3", &error), error);
    CHECK(f.model->proto->n_metadata_props == 2);
    CHECK_STRING(lorac_model_metadata(f.model, "a"), "3");
    CHECK_STRING(lorac_model_metadata(f.model, "b"), "2");
    lorac_model_erase_metadata(f.model, "a");
    CHECK(!lorac_model_metadata(f.model, "a") && f.model->proto->n_metadata_props == 1);
    lorac_model_erase_metadata(f.model, "b");
    CHECK(f.model->proto->n_metadata_props == 0);
    CHECK(lorac_model_uses(f.model, "w", &same) == 2 && same == uses);
    lorac_model_free(f.model);
}

static void test_attributes(void)
{
    struct build build;
    struct lorac_error error = {0};
    Onnx__AttributeProto attributes[5], *list[5];
    int64_t ints[] = {3, 4};
    build_init(&build);
    build_input(&build, (char *)"x");
    build_output(&build, (char *)"y");
    Onnx__NodeProto *node = build_node(&build, (char *)"Conv", (char *)"c", "x", "y");
    static const char *const names[] = {"i", "f", "s", "ints", "untyped"};
    for (size_t i = 0; i < 5; i++) {
        onnx__attribute_proto__init(list[i] = &attributes[i]);
        attributes[i].name = (char *)names[i];
        attributes[i].has_type = i < 4;
    }
    attributes[0].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    attributes[0].has_i = 1;
    attributes[0].i = -5;
    attributes[1].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    attributes[1].has_f = 1;
    attributes[1].f = 0.5f;
    attributes[2].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    attributes[2].has_s = 1;
    attributes[2].s.data = (uint8_t *)"SAME_UPPER_16BYT"; // fills its arena piece: the end must still be there
    attributes[2].s.len = 16;
    attributes[3].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    attributes[3].ints = ints;
    attributes[3].n_ints = 2;
    attributes[4].has_i = 1;
    attributes[4].i = 9;
    node->attribute = list;
    node->n_attribute = 5;
    struct lorac_model *model = build_parse(&build, &error);
    REQUIRE(model);
    node = model->proto->graph->node[0];
    const int64_t *values;
    CHECK(lorac_node_int(node, "i", 1) == -5 && lorac_node_int(node, "f", 1) == 1 &&
          lorac_node_int(node, "no", 2) == 2);
    CHECK(lorac_node_int(node, "untyped", 1) == 9 && lorac_node_float(node, "untyped", 2) == 2);
    CHECK(lorac_node_float(node, "f", 1) == 0.5f && lorac_node_float(node, "i", 1) == 1);
    CHECK_STRING(lorac_node_string(model, node, "s", "none"), "SAME_UPPER_16BYT");
    CHECK_STRING(lorac_node_string(model, node, "ints", "none"), "none");
    CHECK(!lorac_node_string(model, node, "no", NULL));
    CHECK(lorac_node_ints(node, "ints", &values) == 2 && values[1] == 4);
    CHECK(lorac_node_ints(node, "i", &values) == 0 && lorac_node_ints(node, "no", &values) == 0);
    lorac_model_free(model);
}

static void test_constant_node(void)
{
    struct build build;
    struct lorac_error error = {0};
    Onnx__AttributeProto attribute, *list[] = {&attribute};
    int64_t value = 7, back;
    Onnx__TensorProto tensor;
    build_init(&build);
    build_output(&build, (char *)"c");
    onnx__tensor_proto__init(&tensor);
    tensor.has_data_type = 1;
    tensor.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    tensor.int64_data = &value;
    tensor.n_int64_data = 1;
    onnx__attribute_proto__init(&attribute);
    attribute.name = (char *)"value";
    attribute.t = &tensor;
    Onnx__NodeProto *node = build_node(&build, (char *)"Constant", NULL, "", "c");
    node->attribute = list;
    node->n_attribute = 1;
    struct lorac_model *model = build_parse(&build, &error);
    REQUIRE(model);
    const Onnx__TensorProto *constant = lorac_model_constant(model, "c");
    REQUIRE(constant);
    CHECK(!lorac_model_initializer(model, "c"));
    CHECK_OK(lorac_tensor_to_int64(constant, &back, 1, &error), error);
    CHECK(back == 7);
    lorac_model_free(model);
}

// ---- the index after edits, against one made afresh

enum { INDEX_NAMES = 24 };

static void name_of(char *text, size_t bytes, size_t i)
{
    snprintf(text, bytes, "%s%zu", i % 2 ? "n" : "t", i);
}

static void check_index(struct lorac_model *model, size_t edit)
{
    struct looked {
        const Onnx__NodeProto *producer;
        const Onnx__TensorProto *initializer;
        size_t uses;
        bool known;
    } before[INDEX_NAMES];
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < INDEX_NAMES; i++) {
            const struct lorac_use *uses;
            char name[16];
            name_of(name, sizeof name, i);
            bool known = lorac_index_knows(model, name);
            struct looked looked = {lorac_model_producer(model, name), lorac_model_initializer(model, name),
                                    lorac_model_uses(model, name, &uses), known};
            if (pass == 0)
                before[i] = looked;
            else
                CHECKF(looked.producer == before[i].producer && looked.initializer == before[i].initializer &&
                           looked.uses == before[i].uses && looked.known == before[i].known,
                       "after edit %zu the index says another thing of '%s'", edit, name);
        }
        lorac_index_mark_stale(model);
    }
}

// Edits at random, some of which are refused, with and without look-ups between them.
static void test_index_after_edits(void)
{
    static const float value[] = {1};
    struct lorac_error error = {0};
    struct lorac_rng rng;
    struct fixture f;
    setup(&f, 8);
    lorac_rng_init(&rng, 1, "index", 0, 0);
    for (size_t edit = 0; edit < 2000; edit++) {
        Onnx__GraphProto *graph = f.model->proto->graph;
        char name[16], other[16];
        const char *const inputs[] = {name, other};
        name_of(name, sizeof name, lorac_rng_below(&rng, INDEX_NAMES));
        name_of(other, sizeof other, lorac_rng_below(&rng, INDEX_NAMES));
        Onnx__NodeProto *node = graph->node[lorac_rng_below(&rng, (uint32_t)graph->n_node)];
        const struct lorac_node_spec spec = {"Add", other, 2, {"x", other}, name};
        switch (lorac_rng_below(&rng, 6)) {
        case 0:
            lorac_model_add_initializer(f.model, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NULL, 0, value,
                                        sizeof value, &error);
            break;
        case 1:
            if (!lorac_model_producer(f.model, name) && !lorac_model_initializer(f.model, name))
                CHECK_OK(lorac_model_insert_node(f.model, node, &spec, NULL, &error), error);
            break;
        case 2:
            if (node->n_input > 0)
                CHECK_OK(lorac_model_set_node_input(f.model, node, 0, name, &error), error);
            break;
        case 3:
            CHECK_OK(lorac_model_set_node_inputs(f.model, node, inputs, lorac_rng_below(&rng, 3), &error), error);
            break;
        case 4:
            lorac_model_erase_initializer(f.model, name);
            break;
        default:
            if (graph->n_node > 4)
                lorac_model_erase_node(f.model, node);
        }
        if (edit % 3 == 0)
            check_index(f.model, edit);
    }
    lorac_model_free(f.model);
}

int main(void)
{
    test_index_after_edits();
    test_looking();
    test_fresh_names();
    test_edit_and_undo(3);
    test_edit_and_undo(8);
    test_order();
    test_refused_edits();
    test_metadata();
    test_attributes();
    test_constant_node();
    test_move_uses();
    test_erase_all(3);
    test_erase_all(8);
    test_inputs_and_attributes();
    return check_report();
}
