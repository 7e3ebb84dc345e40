// Local functions written out: a row is a model as text and the nodes that must come out, or the sentence that must.
//
//     main and bodies:  "op name in in > out out attr=1 attr=@reference ; ..."   "_": an empty name
//     a function:       "name in in > out attr:=5 | body"                        attr:=5 is a default
#include "check.h"
#include "small_model.h"

#include "proto/model_inline.h"

static const char DOMAIN[] = "local";

// ---- from text

static void add_text(struct small_model *small, char ***list, size_t *count, const char *word)
{
    char **larger = small_alloc(small, (*count + 1) * sizeof *larger);
    if (*count > 0)
        memcpy(larger, *list, *count * sizeof *larger);
    larger[(*count)++] = small_text(small, strcmp(word, "_") == 0 ? "" : word);
    *list = larger;
}

static Onnx__AttributeProto *make_attribute(struct small_model *small, const char *name, const char *value)
{
    Onnx__AttributeProto *attribute = small_alloc(small, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = small_text(small, name);
    attribute->has_type = 1;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    if (*value == '@') {
        attribute->ref_attr_name = small_text(small, value + 1);
    } else if (*value == 'f') {
        attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        attribute->has_f = 1;
    } else {
        attribute->has_i = 1;
        attribute->i = atoi(value);
    }
    return attribute;
}

// Operators begin with a capital letter and functions with a small one.
static Onnx__NodeProto *parse_node(struct small_model *small, char *text)
{
    Onnx__NodeProto *node = small_alloc(small, sizeof *node);
    char *rest, *word = strtok_r(text, " ", &rest), *equals;
    onnx__node_proto__init(node);
    node->op_type = small_text(small, word);
    if (*word >= 'a' && *word <= 'z')
        node->domain = small_text(small, DOMAIN);
    word = strtok_r(NULL, " ", &rest);
    node->name = small_text(small, strcmp(word, "_") == 0 ? "" : word);
    bool outputs = false;
    while ((word = strtok_r(NULL, " ", &rest))) {
        if (strcmp(word, ">") == 0) {
            outputs = true;
        } else if ((equals = strchr(word, '='))) {
            *equals = '\0';
            Onnx__AttributeProto **list = small_alloc(small, (node->n_attribute + 1) * sizeof *list);
            if (node->n_attribute > 0)
                memcpy(list, node->attribute, node->n_attribute * sizeof *list);
            list[node->n_attribute++] = make_attribute(small, word, equals + 1);
            node->attribute = list;
        } else if (outputs) {
            add_text(small, &node->output, &node->n_output, word);
        } else {
            add_text(small, &node->input, &node->n_input, word);
        }
    }
    return node;
}

static size_t parse_nodes(struct small_model *small, const char *text, Onnx__NodeProto **nodes)
{
    size_t count = 0;
    char *rest;
    for (char *part = strtok_r(small_text(small, text), ";", &rest); part; part = strtok_r(NULL, ";", &rest))
        if (part[strspn(part, " ")])
            nodes[count++] = parse_node(small, part);
    return count;
}

// Fields that the schema may not know: as protobuf-c keeps them, the length in front.
static void add_unknown(struct small_model *small, ProtobufCMessage *message, unsigned tag, const void *bytes,
                        size_t byte_count)
{
    REQUIRE(byte_count < 128 && !protobuf_c_message_descriptor_get_field(message->descriptor, tag));
    ProtobufCMessageUnknownField *list = small_alloc(small, (message->n_unknown_fields + 1) * sizeof *list);
    if (message->n_unknown_fields > 0)
        memcpy(list, message->unknown_fields, message->n_unknown_fields * sizeof *list);
    uint8_t *data = small_alloc(small, byte_count + 1);
    data[0] = (uint8_t)byte_count;
    memcpy(data + 1, bytes, byte_count);
    list[message->n_unknown_fields++] =
        (ProtobufCMessageUnknownField){tag, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, byte_count + 1, data};
    message->unknown_fields = list;
}

static Onnx__OperatorSetIdProto *make_import(struct small_model *small, const char *domain, int64_t version)
{
    Onnx__OperatorSetIdProto *import = small_alloc(small, sizeof *import);
    onnx__operator_set_id_proto__init(import);
    import->domain = small_text(small, domain);
    import->has_version = 1;
    import->version = version;
    return import;
}

static Onnx__FunctionProto *parse_function(struct small_model *small, const char *text, int64_t opset)
{
    Onnx__FunctionProto *function = small_alloc(small, sizeof *function);
    Onnx__NodeProto *nodes[SMALL_CAPACITY];
    onnx__function_proto__init(function);
    char *head = small_text(small, text), *body = strchr(head, '|'), *rest, *equals;
    *body++ = '\0';
    function->name = small_text(small, strtok_r(head, " ", &rest));
    function->domain = small_text(small, DOMAIN);
    bool outputs = false;
    for (char *word; (word = strtok_r(NULL, " ", &rest));) {
        if (strcmp(word, ">") == 0) {
            outputs = true;
        } else if ((equals = strstr(word, ":="))) {
            uint8_t bytes[100];
            *equals = '\0';
            size_t count = onnx__attribute_proto__pack(make_attribute(small, word, equals + 2), bytes);
            add_unknown(small, &function->base, 11, bytes, count);
        } else if (outputs) {
            add_text(small, &function->output, &function->n_output, word);
        } else {
            add_text(small, &function->input, &function->n_input, word);
        }
    }
    function->n_node = parse_nodes(small, body, nodes);
    function->node = small_alloc(small, (function->n_node + 1) * sizeof(*nodes));
    memcpy(function->node, nodes, function->n_node * sizeof(*nodes));
    function->n_opset_import = 2;
    function->opset_import = small_alloc(small, 2 * sizeof *function->opset_import);
    function->opset_import[0] = make_import(small, "", opset);
    function->opset_import[1] = make_import(small, DOMAIN, 1);
    return function;
}

enum { MOST_FUNCTIONS = 40 };

static struct lorac_model *build(const char *graph, const char *const *functions, int64_t opset)
{
    struct small_model small;
    small_init(&small, 8, 17);
    small_input(&small, "x", (const int64_t[]){1, 2}, 2);
    small_input(&small, "z", (const int64_t[]){1, 2}, 2);
    small_output(&small, "y");
    small.graph.n_node = parse_nodes(&small, graph, small.nodes);
    small.model.functions = small_alloc(&small, MOST_FUNCTIONS * sizeof *small.model.functions);
    for (size_t i = 0; i < MOST_FUNCTIONS && functions[i]; i++)
        small.model.functions[small.model.n_functions++] = parse_function(&small, functions[i], opset);
    small.model.opset_import = small_alloc(&small, 2 * sizeof *small.model.opset_import);
    small.model.opset_import[0] = &small.opset;
    small.model.opset_import[1] = make_import(&small, DOMAIN, 1);
    small.model.n_opset_import = 2;
    return small_load(&small);
}

// ---- to text

static void append(char *text, size_t bytes, const char *word)
{
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", used ? " " : "", *word ? word : "_");
}

static void print_nodes(const struct lorac_model *model, char *text, size_t bytes)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    *text = '\0';
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (i > 0)
            append(text, bytes, ";");
        append(text, bytes, node->op_type);
        append(text, bytes, node->name ? node->name : "");
        for (size_t k = 0; k < node->n_input; k++)
            append(text, bytes, node->input[k]);
        append(text, bytes, ">");
        for (size_t k = 0; k < node->n_output; k++)
            append(text, bytes, node->output[k]);
        for (size_t k = 0; k < node->n_attribute; k++) {
            char value[64];
            snprintf(value, sizeof value, "%s=%d", node->attribute[k]->name, (int)node->attribute[k]->i);
            append(text, bytes, value);
        }
    }
}

// ---- rows

struct row {
    const char *what, *graph;
    const char *functions[4];
    const char *expected; // nodes; or, where it begins with '!', a part of the message
    size_t calls;
    int64_t opset; // of the functions; 0: 17, as the model
};

static const struct row rows[] = {
    {.what = "no functions", .graph = "Relu a x > y", .expected = "Relu a x > y"},
    {.what = "unused function",
     .graph = "Relu a x > y",
     .functions = {"f a > b | Neg n a > b"},
     .expected = "Relu a x > y"},
    {.what = "one call",
     .graph = "Relu r x > t ; f call t > y",
     .functions = {"f a > b | Neg n a > t ; Abs _ t > b"},
     .expected = "Relu r x > t ; Neg call/n t > call/t ; Abs _ call/t > y",
     .calls = 1},
    {.what = "two calls",
     .graph = "f c x > t ; f d t > y",
     .functions = {"f a > b | Neg n a > t ; Abs m t > b"},
     .expected = "Neg c/n x > c/t ; Abs c/m c/t > t ; Neg d/n t > d/t ; Abs d/m d/t > y",
     .calls = 2},
    {.what = "calls without a name",
     .graph = "f _ x > t ; f _ t > y",
     .functions = {"f a > b | Neg n a > u ; Abs m u > b"},
     .expected = "Neg t/n x > t/u ; Abs t/m t/u > t ; Neg y/n t > y/u ; Abs y/m y/u > y",
     .calls = 2},
    {.what = "calls of one name, and a taken name",
     .graph = "Relu c/u x > w ; f c w > t ; f c t > y",
     .functions = {"f a > b | Neg n a > u ; Abs m u > b"},
     .expected = "Relu c/u x > w ; Neg c/n w > c/u_1 ; Abs c/m c/u_1 > t ; Neg c/n_1 t > c/u_2 ; Abs c/m_1 c/u_2 > y",
     .calls = 2},
    {.what = "a call in a call",
     .graph = "g c x > y",
     .functions = {"f a > b | Neg n a > b", "g a > b | f inner a > t ; f again t > b"},
     .expected = "Neg c/inner/n x > c/t ; Neg c/again/n c/t > y",
     .calls = 3},
    {.what = "attributes",
     .graph = "f c x > t k=3 ; f d t > y",
     .functions = {"f a > b k:=5 | Flatten n a > t axis=@k ; Flatten m t > b axis=@none other=1"},
     .expected = "Flatten c/n x > c/t axis=3 ; Flatten c/m c/t > t other=1 ; Flatten d/n t > d/t axis=5 ; "
                 "Flatten d/m d/t > y other=1",
     .calls = 2},
    {.what = "attributes handed on",
     .graph = "g c x > y k=7",
     .functions = {"f a > b | Flatten n a > b axis=@j", "g a > b | f i a > b j=@k"},
     .expected = "Flatten c/i/n x > y axis=7",
     .calls = 2},
    {.what = "inputs and outputs left out",
     .graph = "f c x > _ y",
     .functions = {"f a e > b d | Clip n a e > b ; Neg m b > d"},
     .expected = "Clip c/n x _ > c/b ; Neg c/m c/b > y",
     .calls = 1},
    {.what = "an input handed on",
     .graph = "f c x > y",
     .functions = {"f a > a | Neg n a > t"},
     .expected = "Neg c/n x > c/t ; Identity _ x > y",
     .calls = 1},
    {.what = "one value for two outputs",
     .graph = "f c x > t u ; Add s t u > y",
     .functions = {"f a > b b | Neg n a > b"},
     .expected = "Neg c/n x > t ; Identity _ t > u ; Add s t u > y",
     .calls = 1},

    {.what = "too many inputs",
     .graph = "f c x z > y",
     .functions = {"f a > b | Neg n a > b"},
     .expected = "!node 'c' (f) gives function 'local.f' 2 inputs; it has 1"},
    {.what = "too many outputs",
     .graph = "f c x > y u",
     .functions = {"f a > b | Neg n a > b"},
     .expected = "!gives function 'local.f' 2 outputs; it has 1"},
    {.what = "two functions",
     .graph = "f c x > y",
     .functions = {"f a > b | Neg n a > b", "f a > b | Abs n a > b"},
     .expected = "!two functions 'local.f'"},
    {.what = "a circle",
     .graph = "f c x > y",
     .functions = {"f a > b | g n a > b", "g a > b | f n a > b"},
     .expected = "!in a circle"},
    {.what = "another opset",
     .graph = "f c x > y",
     .functions = {"f a > b | Neg n a > b"},
     .opset = 18,
     .expected = "!function 'local.f' was written for opset 18 of domain '', and the model uses 17"},
    {.what = "a body that uses what it has not",
     .graph = "f c x > y",
     .functions = {"f a > b | Neg n x > b"},
     .expected = "!node 'c/n' (Neg) uses 'c/x'"},
    {.what = "a body without its output",
     .graph = "f c x > t ; Neg n t > y",
     .functions = {"f a > b | Neg n a > t"},
     .expected = "!node 'n' (Neg) uses 't'"},
    {.what = "an attribute of another type",
     .graph = "f c x > y k=f",
     .functions = {"f a > b | Flatten n a > b axis=@k"},
     .expected = "!takes attribute 'k' as another type than node 'c' gives"},
    {.what = "a left out input handed on",
     .graph = "f c x > y",
     .functions = {"f a e > e | Neg n a > t"},
     .expected = "!which node 'c' leaves out"},
};

static void test_row(const struct row *row)
{
    struct lorac_error error = {0};
    char text[1024], before[1024];
    size_t calls = 99;
    struct lorac_model *model = build(row->graph, row->functions, row->opset ? row->opset : 17);
    print_nodes(model, before, sizeof before);
    enum lorac_status status = lorac_model_inline(model, &calls, &error);
    print_nodes(model, text, sizeof text);
    if (*row->expected == '!') {
        CHECKF(status != LORAC_OK && strstr(error.message, row->expected + 1), "%s: status %d, '%s'", row->what,
               (int)status, error.message);
        CHECKF(strcmp(text, before) == 0, "%s: the model changed to '%s'", row->what, text);
    } else {
        CHECKF(status == LORAC_OK, "%s: %s", row->what, error.message);
        CHECKF(strcmp(text, row->expected) == 0, "%s:\n    %s", row->what, text);
        CHECKF(calls == row->calls, "%s: %zu calls", row->what, calls);
        CHECKF(model->proto->n_functions == 0, "%s: functions are left", row->what);
        CHECKF(model->proto->n_opset_import == (row->functions[0] ? 1 : 2), "%s: %zu imports", row->what,
               model->proto->n_opset_import);
        CHECKF(lorac_model_check(model, &error) == LORAC_OK, "%s: %s", row->what, error.message);
        CHECKF(lorac_model_producer(model, "y") != NULL, "%s: the index does not know 'y'", row->what);
    }
    lorac_model_free(model);
}

// Each of thirty functions calls the next twice: a thousand million nodes out of two kilobytes. With an empty last
// body as well as with a node in it.
static void test_growth(const char *last)
{
    enum { COUNT = 30 };
    char text[COUNT][96];
    const char *functions[MOST_FUNCTIONS] = {NULL};
    struct lorac_error error = {0};
    for (int i = 0; i < COUNT - 1; i++) {
        snprintf(text[i], sizeof text[i], "f%d a > b | f%d p a > t ; f%d q t > b", i, i + 1, i + 1);
        functions[i] = text[i];
    }
    snprintf(text[COUNT - 1], sizeof text[COUNT - 1], "f%d a > b | %s", COUNT - 1, last);
    functions[COUNT - 1] = text[COUNT - 1];
    struct lorac_model *model = build("f0 c x > y", functions, 17);
    CHECK(lorac_model_inline(model, NULL, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECKF(strstr(error.message, "written out, take more than 128 MiB"), "%s", error.message);
    CHECK(model->proto->n_functions == COUNT && model->proto->graph->n_node == 1);
    lorac_model_free(model);
}

// The same weight in two calls: the second has a copy of its own.
static void test_tensors(void)
{
    struct small_model small;
    struct lorac_error error = {0};
    small_init(&small, 8, 17);
    small_input(&small, "x", (const int64_t[]){1, 2}, 2);
    small_output(&small, "y");
    small.graph.n_node = parse_nodes(&small, "f c x > t ; f d t > y", small.nodes);
    Onnx__FunctionProto *function = parse_function(&small, "f a > b | Constant k > w ; Mul m a w > b", 17);
    small_attribute(&small, function->node[0], "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t =
        small_make_tensor(&small, NULL, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, (const int64_t[]){1, 2}, 2);
    small.model.functions = &function;
    small.model.n_functions = 1;
    struct lorac_model *model = small_load(&small);
    CHECK_OK(lorac_model_inline(model, NULL, &error), error);
    const Onnx__TensorProto *first = lorac_model_constant(model, "c/w"), *second = lorac_model_constant(model, "d/w");
    REQUIRE(first && second);
    CHECK(first != second && first->raw_data.data != second->raw_data.data && first->raw_data.len == 8 &&
          second->raw_data.len == 8 && memcmp(first->raw_data.data, second->raw_data.data, 8) == 0);
    lorac_model_free(model);
}

// Functions and calls are told apart by their overload too, and a function of the default domain is refused.
static void test_overload_and_domain(void)
{
    struct small_model small;
    struct lorac_error error = {0};
    char text[1024];
    for (int row = 0; row < 2; row++) {
        small_init(&small, 8, 17);
        small_input(&small, "x", (const int64_t[]){1, 2}, 2);
        small_output(&small, "y");
        small.graph.n_node = parse_nodes(&small, "f c x > y", small.nodes);
        Onnx__FunctionProto *functions[] = {parse_function(&small, "f a > b | Neg n a > b", 17),
                                            parse_function(&small, "f a > b | Abs n a > b", 17)};
        add_unknown(&small, &functions[1]->base, 13, "two", 3);
        add_unknown(&small, &small.nodes[0]->base, 8, "two", 3);
        if (row == 1)
            functions[1]->domain = small.nodes[0]->domain = small_text(&small, "");
        small.model.functions = functions;
        small.model.n_functions = 2;
        struct lorac_model *model = small_load(&small);
        enum lorac_status status = lorac_model_inline(model, NULL, &error);
        print_nodes(model, text, sizeof text);
        if (row == 0)
            CHECK_STRING(text, "Abs c/n x > y");
        else
            CHECKF(status == LORAC_ERROR_UNSUPPORTED && strstr(error.message, "default domain"), "%s", error.message);
        lorac_model_free(model);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        test_row(&rows[i]);
    test_growth("Neg n a > b");
    test_growth("");
    test_tensors();
    test_overload_and_domain();
    return check_report();
}
