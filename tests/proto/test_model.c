#include "build_model.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

// ---- what is read comes back

// A field that the schema does not know must come back, and where it stood.
static void test_unknown_fields(void)
{
    struct lorac_error error = {0};
    struct build build;
    struct lorac_model *model = NULL;
    ProtobufCMessageUnknownField field = {1000, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 6, NULL};
    uint8_t tail[] = {0xc2, 0x3e, 3, 'a', 'b', 'c'}; // field 1000, "abc"
    size_t byte_count;
    field.data = (uint8_t[]){5, 'n', 'e', 'w', 'e', 'r'}; // protobuf-c keeps the length with it
    build_init(&build);
    build.graph.base.unknown_fields = &field;
    build.graph.base.n_unknown_fields = 1;
    uint8_t *bytes = build_pack(&build, &byte_count);
    uint8_t *longer = malloc(byte_count + sizeof tail);
    REQUIRE(longer);
    memcpy(longer, bytes, byte_count);
    memcpy(longer + byte_count, tail, sizeof tail);
    if (CHECK_OK(lorac_model_parse(longer, byte_count + sizeof tail, &model, &error), error))
        CHECK(model->rewrites_unchanged && model->proto->graph->base.n_unknown_fields == 1);
    lorac_model_free(model);
    // A known field after the unknown one is written in the order of the schema: said, not hidden.
    memcpy(longer, tail, sizeof tail);
    memcpy(longer + sizeof tail, bytes, byte_count);
    model = NULL;
    if (CHECK_OK(lorac_model_parse(longer, byte_count + sizeof tail, &model, &error), error))
        CHECK(!model->rewrites_unchanged);
    lorac_model_free(model);
    free(longer);
    free(bytes);
}

// ---- hostile bytes

// Parses; a refusal must say why in one line, an accepted model must be usable.
static bool check_parse(const uint8_t *bytes, size_t byte_count, const char *what, size_t at)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    // A block of its own, so that the sanitizer sees a read past the end.
    uint8_t *exact = malloc(byte_count ? byte_count : 1);
    REQUIRE(exact);
    memcpy(exact, bytes, byte_count);
    enum lorac_status status = lorac_model_parse(exact, byte_count, &model, &error);
    free(exact);
    if (status != LORAC_OK) {
        CHECKF(!model && error.status == status && error.message[0] && !strchr(error.message, '\n'),
               "%s %zu: status %d, message '%s'", what, at, status, error.message);
        return false;
    }
    uint8_t *packed = NULL;
    size_t packed_count;
    const struct lorac_use *uses;
    CHECK_OK(lorac_model_pack(model, &packed, &packed_count, &error), error);
    lorac_model_uses(model, "y", &uses);
    lorac_model_input(model, 0);
    free(packed);
    lorac_model_free(model);
    return true;
}

static void test_truncation(void)
{
    size_t byte_count, accepted = 0;
    uint8_t *bytes = build_small(&byte_count);
    for (size_t i = 0; i < byte_count; i++)
        accepted += check_parse(bytes, i, "cut at", i);
    CHECKF(accepted == 0, "%zu cut models were accepted", accepted);
    CHECK(check_parse(bytes, byte_count, "whole", byte_count));
    free(bytes);
}

static void test_flips(void)
{
    size_t byte_count, accepted = 0;
    uint8_t *bytes = build_small(&byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        for (int value = 0; value < 256; value++) {
            uint8_t old = bytes[i];
            bytes[i] = (uint8_t)value;
            accepted += check_parse(bytes, byte_count, "byte", i);
            bytes[i] = old;
        }
    }
    // Weights and names may be anything; if all were accepted, nothing would have been checked.
    CHECKF(accepted > byte_count && accepted < 200 * byte_count, "%zu of %zu accepted", accepted, 256 * byte_count);
    free(bytes);
}

// Puts tag and length before the [*used] bytes that end at [end].
static void wrap(const uint8_t *end, size_t *used, uint8_t tag)
{
    uint8_t head[8];
    size_t length = *used, count = 0;
    head[count++] = tag;
    for (; length >= 0x80; length >>= 7)
        head[count++] = (uint8_t)(length | 0x80);
    head[count++] = (uint8_t)length;
    memcpy((uint8_t *)(uintptr_t)end - *used - count, head, count);
    *used += count;
}

// Subgraphs in subgraphs: 20 are read, 40 and a hundred thousand are refused, none overflows the stack.
static void test_nesting(void)
{
    static const struct {
        size_t levels;
        bool too_deep;
    } rows[] = {{20, false}, {40, true}, {100000, true}};
    enum {
        GRAPH_IN_MODEL = 7 << 3 | 2,
        NODE_IN_GRAPH = 1 << 3 | 2,
        ATTRIBUTE_IN_NODE = 5 << 3 | 2,
        GRAPH_IN_ATTRIBUTE = 6 << 3 | 2,
        CAPACITY = 4 << 20
    };
    uint8_t *block = malloc(CAPACITY);
    REQUIRE(block);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lorac_error error = {0};
        struct lorac_model *model = NULL;
        const uint8_t *end = block + CAPACITY;
        size_t used = 0;
        for (size_t level = 0; level < rows[i].levels; level++) {
            wrap(end, &used, GRAPH_IN_ATTRIBUTE);
            wrap(end, &used, ATTRIBUTE_IN_NODE);
            wrap(end, &used, NODE_IN_GRAPH);
        }
        wrap(end, &used, GRAPH_IN_MODEL);
        enum lorac_status status = lorac_model_parse(end - used, used, &model, &error);
        CHECK(status == LORAC_ERROR_FORMAT && !model);
        CHECKF((strstr(error.message, "nest deeper") != NULL) == rows[i].too_deep, "%zu levels: %s", rows[i].levels,
               error.message);
    }
    free(block);
}

// ---- the invariants

struct check_case {
    const char *what;
    const char *words; // in the message; NULL: accepted
    void (*change)(struct build *build);
};

static void base_case(struct build *build)
{
    build_init(build);
    build_input(build, (char *)"x");
    build_output(build, (char *)"z");
    build_tensor(build, (char *)"w", 4);
    build_node(build, (char *)"Conv", (char *)"conv", "x w", "y");
    build_node(build, (char *)"Relu", (char *)"relu", "y", "z");
}

// clang-format off: one change a line
static void no_change(struct build *b)
{
    (void)b;
}
static void no_graph(struct build *b)
{
    b->model.graph = NULL;
}
static void no_ir(struct build *b)
{
    b->model.has_ir_version = 0;
}
static void no_opset(struct build *b)
{
    b->model.n_opset_import = 0;
}
static void old_opset(struct build *b)
{
    b->opset.version = 6;
}
static void zero_opset(struct build *b)
{
    b->opset.version = 0;
}
static void newest_opset(struct build *b)
{
    b->opset.version = 28;
}
static void new_opset(struct build *b)
{
    b->opset.version = 999;
}
static void old_ir(struct build *b)
{
    b->model.ir_version = 2;
}
static void negative_ir(struct build *b)
{
    b->model.ir_version = -1;
}
static void new_ir(struct build *b)
{
    b->model.ir_version = 15;
}
static void add_two_attributes(struct build *b, char *first, char *second)
{
    static Onnx__AttributeProto attributes[2], *list[] = {&attributes[0], &attributes[1]};
    for (size_t i = 0; i < 2; i++) {
        onnx__attribute_proto__init(&attributes[i]);
        attributes[i].has_type = 1;
        attributes[i].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    }
    attributes[0].name = first;
    attributes[1].name = second;
    b->nodes[0].attribute = list;
    b->nodes[0].n_attribute = 2;
}
static void two_attributes(struct build *b)
{
    add_two_attributes(b, (char *)"group", (char *)"own");
}
static void twin_attributes(struct build *b)
{
    add_two_attributes(b, (char *)"group", (char *)"group");
}
static void nameless_attribute(struct build *b)
{
    add_two_attributes(b, (char *)"group", NULL);
}
static void wrong_attribute_type(struct build *b)
{
    add_two_attributes(b, (char *)"group", (char *)"strides");
}
static void vendor_attribute_type(struct build *b)
{
    wrong_attribute_type(b);
    b->nodes[0].domain = (char *)"com.vendor";
}
static void other_opset(struct build *b)
{
    b->opset.domain = (char *)"com.vendor";
}
static void named_opset(struct build *b)
{
    b->opset.domain = (char *)"ai.onnx";
}
static void unknown_op(struct build *b)
{
    b->nodes[1].op_type = (char *)"Vendor9";
}
static void no_op(struct build *b)
{
    b->nodes[1].op_type = NULL;
}
static void undefined_use(struct build *b)
{
    b->node_inputs[1][0] = (char *)"nowhere";
}
static void optional_input(struct build *b)
{
    b->node_inputs[0][0] = (char *)"";
}
static void own_output(struct build *b)
{
    b->node_inputs[1][0] = (char *)"z";
}
static void twice_produced(struct build *b)
{
    b->node_outputs[1][0] = (char *)"y";
}
static void input_produced(struct build *b)
{
    b->node_outputs[0][0] = (char *)"x";
}
static void weight_produced(struct build *b)
{
    b->node_outputs[0][0] = (char *)"w";
}
static void missing_output(struct build *b)
{
    b->outputs[0].name = (char *)"lost";
}
static void nameless_output(struct build *b)
{
    b->outputs[0].name = NULL;
}
static void two_weights(struct build *b)
{
    build_tensor(b, (char *)"w", 1);
}
static void nameless_weight(struct build *b)
{
    b->tensors[0].name = NULL;
}
static void two_inputs(struct build *b)
{
    build_input(b, (char *)"x");
}
static void nameless_input(struct build *b)
{
    b->inputs[0].name = (char *)"";
}
static void declared_weight(struct build *b)
{
    build_input(b, (char *)"w");
}
static void short_weight(struct build *b)
{
    b->tensors[0].raw_data.len--;
}
static void negative_dim(struct build *b)
{
    b->dims[0] = -4;
}
// clang-format on

static void swapped_nodes(struct build *b)
{
    Onnx__NodeProto *first = b->node_list[0];
    b->node_list[0] = b->node_list[1];
    b->node_list[1] = first;
}

static void external_weight(struct build *b)
{
    static Onnx__StringStringEntryProto location, *entries[] = {&location};
    b->tensors[0].has_raw_data = 0;
    b->tensors[0].has_data_location = 1;
    onnx__string_string_entry_proto__init(&location);
    location.key = (char *)"location";
    location.value = (char *)"w.bin";
    b->tensors[0].external_data = entries;
    b->tensors[0].n_external_data = 1;
    b->tensors[0].data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static void sparse_weight(struct build *b)
{
    static Onnx__SparseTensorProto sparse, *list[] = {&sparse};
    onnx__sparse_tensor_proto__init(&sparse);
    sparse.values = b->tensor_list[0];
    b->graph.sparse_initializer = list;
    b->graph.n_sparse_initializer = 1;
    b->graph.n_initializer = 0;
}

// An If whose branch uses [name] and hands out its own value.
static void add_branch(struct build *b, char *name)
{
    static Onnx__AttributeProto attribute, *attributes[] = {&attribute};
    static Onnx__GraphProto inner;
    static Onnx__NodeProto node, *nodes[] = {&node};
    static Onnx__ValueInfoProto output, *outputs[] = {&output};
    static char *names[] = {NULL}, *made[] = {(char *)"made"};
    onnx__attribute_proto__init(&attribute);
    onnx__graph_proto__init(&inner);
    onnx__node_proto__init(&node);
    onnx__value_info_proto__init(&output);
    names[0] = name;
    node.op_type = (char *)"Neg";
    node.name = (char *)"inside";
    node.input = names;
    node.n_input = 1;
    node.output = made;
    node.n_output = 1;
    output.name = made[0];
    inner.node = nodes;
    inner.n_node = 1;
    inner.output = outputs;
    inner.n_output = 1;
    attribute.name = (char *)"then_branch";
    attribute.g = &inner;
    b->nodes[1].attribute = attributes;
    b->nodes[1].n_attribute = 1;
}

// clang-format off
static void branch_uses_outer(struct build *b) { add_branch(b, (char *)"y"); }
static void branch_uses_later(struct build *b) { add_branch(b, (char *)"z"); }
static void branch_uses_nothing(struct build *b) { add_branch(b, (char *)"nowhere"); }
// clang-format on

static const struct check_case CHECK_CASES[] = {
    {"as it is", NULL, no_change},
    {"no graph", "no graph", no_graph},
    {"no ir_version", "no ir_version", no_ir},
    {"no opset", "which opset", no_opset},
    {"opset 6", "opset 6, older than 7", old_opset},
    {"opset 0", "which opset", zero_opset},
    {"opset 28", NULL, newest_opset},
    {"opset 999", "opset 999, newer than 28", new_opset},
    {"IR version 2", "IR version 2; 3 to 14", old_ir},
    {"IR version -1", "IR version -1; 3 to 14", negative_ir},
    {"IR version 15", "IR version 15, newer than 14", new_ir},
    {"two attributes", NULL, two_attributes},
    {"two attributes of one name", "node 'conv' (Conv): two attributes are named 'group'", twin_attributes},
    {"an attribute without name", "node 'conv' (Conv): an attribute has no name", nameless_attribute},
    {"strides as INT", "node 'conv' (Conv): attribute 'strides' is of type INT; it must be INTS", wrong_attribute_type},
    {"strides as INT of another domain's operator", NULL, vendor_attribute_type},
    {"only another domain's opset", "which opset", other_opset},
    {"ai.onnx by name", NULL, named_opset},
    {"an unknown op", NULL, unknown_op},
    {"no op_type", "'relu') has no op_type", no_op},
    {"an undefined use", "node 'relu' (Relu) uses 'nowhere'", undefined_use},
    {"an absent optional input", NULL, optional_input},
    {"its own output", "node 'relu' (Relu) uses 'z'", own_output},
    {"nodes in the wrong order", "node 'relu' (Relu) uses 'y'", swapped_nodes},
    {"a value produced twice", "node 'relu' (Relu) outputs 'y'", twice_produced},
    {"a graph input produced", "node 'conv' (Conv) outputs 'x'", input_produced},
    {"an initializer produced", "node 'conv' (Conv) outputs 'w'", weight_produced},
    {"an output that nobody makes", "graph output 'lost'", missing_output},
    {"an output without name", "graph output has no name", nameless_output},
    {"two initializers of one name", "two initializers are named 'w'", two_weights},
    {"an initializer without name", "initializer has no name", nameless_weight},
    {"two inputs of one name", "two graph inputs are named 'x'", two_inputs},
    {"an input without name", "graph input has no name", nameless_input},
    {"an initializer that is declared as input", NULL, declared_weight},
    {"a weight of 15 bytes", "'w' of type FLOAT and dims [4] has 15 bytes", short_weight},
    {"a negative dim", "'w' has impossible dims [-4]", negative_dim},
    {"external data", "tensor 'w' in the file 'w.bin': a model read from memory has no folder", external_weight},
    {"a sparse initializer", NULL, sparse_weight},
    {"a branch that uses an outer value", NULL, branch_uses_outer},
    {"a branch that uses a later value", "node 'inside' (Neg) uses 'z'", branch_uses_later},
    {"a branch that uses nothing known", "node 'relu' (Relu): node 'inside' (Neg) uses 'nowhere'", branch_uses_nothing},
};

static void test_checks(void)
{
    for (size_t i = 0; i < COUNT_OF(CHECK_CASES); i++) {
        const struct check_case *row = &CHECK_CASES[i];
        struct lorac_error error = {0};
        struct build build;
        base_case(&build);
        row->change(&build);
        struct lorac_model *model = build_parse(&build, &error);
        CHECKF((model != NULL) == !row->words, "%s: %s (%s)", row->what, model ? "accepted" : "refused", error.message);
        CHECKF(!row->words || strstr(error.message, row->words), "%s: %s", row->what, error.message);
        lorac_model_free(model);
    }
}

int main(void)
{
    test_checks();
    test_unknown_fields();
    test_truncation();
    test_flips();
    test_nesting();
    return check_report();
}
