#include "hostile_change.h"

#include "passes/inject.h"

enum { MANY = 100000 };

// ---- a great many

static Onnx__NodeProto **more_nodes(struct lorac_model *model, size_t count, Onnx__NodeProto *fresh)
{
    Onnx__GraphProto *graph = model->proto->graph;
    Onnx__NodeProto **list = take(model, graph->n_node + count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        onnx__node_proto__init(&fresh[i]);
        list[i] = &fresh[i];
    }
    memcpy(list + count, graph->node, graph->n_node * sizeof *list);
    graph->node = list;
    graph->n_node += count;
    return list;
}

static void fill_node(struct lorac_model *model, Onnx__NodeProto *node, const char *op_type, char *input, char *output)
{
    node->op_type = (char *)(uintptr_t)op_type;
    node->input = take(model, 1, sizeof *node->input);
    node->output = take(model, 1, sizeof *node->output);
    node->input[0] = input;
    node->output[0] = output;
    node->n_input = node->n_output = 1;
}

static void empty_nodes(struct lorac_model *model)
{
    more_nodes(model, MANY, take(model, MANY, sizeof(Onnx__NodeProto)));
}

// op(op(op(... x ...))) before the first convolution.
static void long_chain(struct lorac_model *model, const char *op_type, const char *input, const char *user,
                       size_t which)
{
    Onnx__NodeProto *fresh = take(model, MANY, sizeof *fresh);
    char *value = (char *)(uintptr_t)input;
    more_nodes(model, MANY, fresh);
    for (size_t i = 0; i < MANY; i++) {
        char *output = text(model, "chain", i);
        fill_node(model, &fresh[i], op_type, value, output);
        value = output;
    }
    node_named(model, user)->input[which] = value;
}
static void chain_of_relu(struct lorac_model *model)
{
    long_chain(model, "Relu", "x", "a", 0);
}
static void chain_of_identity(struct lorac_model *model)
{
    long_chain(model, "Identity", "x", "a", 0);
}
static void chain_before_weight(struct lorac_model *model)
{
    long_chain(model, "Identity", "w2", "e", 1);
}
static void chain_of_neg(struct lorac_model *model)
{
    long_chain(model, "Neg", "w2", "e", 1);
}
static void chain_of_unknown(struct lorac_model *model)
{
    long_chain(model, "Frobnicate", "x", "a", 0);
}

// Convolutions side by side on one weight, all into one Sum.
static void many_convs(struct lorac_model *model)
{
    enum { CONVS = 4000 };
    Onnx__NodeProto *fresh = take(model, CONVS + 1, sizeof *fresh), *sum = &fresh[CONVS];
    more_nodes(model, CONVS + 1, fresh);
    sum->op_type = (char *)(uintptr_t) "Sum";
    sum->input = take(model, CONVS, sizeof *sum->input);
    sum->output = take(model, 1, sizeof *sum->output);
    sum->output[0] = (char *)(uintptr_t) "total";
    sum->n_output = 1;
    for (size_t i = 0; i < CONVS; i++) {
        char *output = text(model, "conv", i), **inputs = take(model, 2, sizeof *inputs);
        fill_node(model, &fresh[i], "Conv", (char *)(uintptr_t) "x", output);
        inputs[0] = (char *)(uintptr_t) "x";
        inputs[1] = (char *)(uintptr_t) "w3";
        fresh[i].input = inputs;
        fresh[i].n_input = 2;
        sum->input[sum->n_input++] = output;
    }
    node_named(model, "a")->input[0] = sum->output[0];
}

// All of them with a weight that has to be computed first, of a million elements.
static void computed_convs(struct lorac_model *model)
{
    many_convs(model);
    Onnx__NodeProto *fresh = take(model, 1, sizeof *fresh);
    more_nodes(model, 1, fresh);
    fill_node(model, fresh, "ConstantOfShape", (char *)(uintptr_t) "big", (char *)(uintptr_t) "computed");
    Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 1; i < graph->n_node; i++)
        if (graph->node[i]->n_input > 1 && strcmp(graph->node[i]->input[1], "w3") == 0)
            graph->node[i]->input[1] = fresh->output[0];
}

// Convolutions that each read a value of their own: [op_type] of the node's inputs in the graph's k.
static void own_weights(struct lorac_model *model, size_t count, const char *op_type)
{
    Onnx__NodeProto *fresh = take(model, 2 * count, sizeof *fresh);
    const Onnx__NodeProto *like = node_named(model, "k"), *conv = node_named(model, "e");
    Onnx__NodeProto **list = more_nodes(model, 2 * count, fresh);
    for (size_t i = 0; i < count; i++) {
        Onnx__NodeProto *made = &fresh[2 * i], *reader = &fresh[2 * i + 1];
        *made = *like;
        made->op_type = (char *)(uintptr_t)op_type;
        made->name = text(model, "made", i);
        made->output = take(model, 1, sizeof *made->output);
        made->output[0] = text(model, "own", i);
        *reader = *conv;
        reader->name = text(model, "reader", i);
        reader->input = take(model, 2, sizeof *reader->input);
        reader->input[0] = (char *)(uintptr_t) "a";
        reader->input[1] = made->output[0];
        reader->output = take(model, 1, sizeof *reader->output);
        reader->output[0] = text(model, "read", i);
    }
    // What they read comes first.
    Onnx__GraphProto *graph = model->proto->graph;
    size_t own = graph->n_node - 2 * count;
    memmove(list, list + 2 * count, own * sizeof *list);
    for (size_t i = 0; i < 2 * count; i++)
        list[own + i] = &fresh[i];
}
static void many_sums(struct lorac_model *model)
{
    own_weights(model, 20, "ReduceSum");
}
static void many_powers(struct lorac_model *model)
{
    own_weights(model, 20, "Pow");
}
static void few_powers(struct lorac_model *model)
{
    own_weights(model, 6, "Pow");
}

// A node's last input many times more.
static void repeat_input(struct lorac_model *model)
{
    enum { TIMES = 4000 };
    Onnx__NodeProto *node = node_named(model, "k");
    char *last = node->input[node->n_input - 1];
    node->input = take(model, TIMES, sizeof *node->input);
    node->n_input = TIMES;
    for (size_t i = 0; i < TIMES; i++)
        node->input[i] = last;
}

static void many_attributes(struct lorac_model *model)
{
    Onnx__NodeProto *node = node_named(model, "e");
    Onnx__AttributeProto *fresh = take(model, MANY, sizeof *fresh);
    node->attribute = take(model, MANY, sizeof *node->attribute);
    node->n_attribute = MANY;
    for (size_t i = 0; i < MANY; i++) {
        onnx__attribute_proto__init(&fresh[i]);
        fresh[i].name = text(model, "attribute", i);
        node->attribute[i] = &fresh[i];
    }
}

static void many_inputs(struct lorac_model *model)
{
    Onnx__NodeProto *node = node_named(model, "e");
    node->op_type = (char *)(uintptr_t) "Sum";
    node->input = take(model, MANY, sizeof *node->input);
    node->n_input = MANY;
    for (size_t i = 0; i < MANY; i++)
        node->input[i] = (char *)(uintptr_t) "a";
}

static void many_initialisers(struct lorac_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    Onnx__TensorProto **list = take(model, graph->n_initializer + MANY, sizeof *list);
    Onnx__TensorProto *fresh = take(model, MANY, sizeof *fresh);
    memcpy(list, graph->initializer, graph->n_initializer * sizeof *list);
    for (size_t i = 0; i < MANY; i++) {
        onnx__tensor_proto__init(&fresh[i]);
        fresh[i].name = text(model, "lora_A_", i);
        fresh[i].has_data_type = 1;
        fresh[i].data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        fresh[i].n_float_data = 1;
        fresh[i].float_data = take(model, 1, sizeof(float));
        list[graph->n_initializer++] = &fresh[i];
    }
    graph->initializer = list;
}

// Every name that an adapter would like to have is taken, and all with _1, _2, ... behind them.
static void taken_names(struct lorac_model *model)
{
    Onnx__GraphProto *graph = model->proto->graph;
    many_initialisers(model);
    for (size_t i = 0; i < MANY; i++)
        graph->initializer[graph->n_initializer - 1 - i]->name =
            i ? text(model, "n_e/lora_A_", i) : (char *)(uintptr_t) "n_e/lora_A";
}

static void metadata(struct lorac_model *model, size_t count, char *key, char *value)
{
    Onnx__ModelProto *proto = model->proto;
    Onnx__StringStringEntryProto *fresh = take(model, count, sizeof *fresh);
    proto->metadata_props = take(model, count, sizeof *proto->metadata_props);
    proto->n_metadata_props = count;
    for (size_t i = 0; i < count; i++) {
        onnx__string_string_entry_proto__init(&fresh[i]);
        fresh[i].key = count > 1 ? text(model, key, i) : key;
        fresh[i].value = value;
        proto->metadata_props[i] = &fresh[i];
    }
}
// Injected, with a record of copies that no inject makes.
static void inject_with_copies(struct lorac_model *model, const char *copies)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    lorac_meta_erase(model);
    if (lorac_pass_inject.run(model, NULL, &report, &error) != LORAC_OK ||
        lorac_model_set_metadata(model, "lorac.copies", copies, &error) != LORAC_OK) {
        fprintf(stderr, "hostile_models: %s\n", error.message);
        exit(1);
    }
}
static void copy_of_itself(struct lorac_model *model)
{
    inject_with_copies(model, "[{\"copy\":\"w1\",\"of\":\"w1\"}]");
}
static void copies_in_a_ring(struct lorac_model *model)
{
    inject_with_copies(model, "[{\"copy\":\"w1\",\"of\":\"hw\"},{\"copy\":\"hw\",\"of\":\"w1\"}]");
}
static void copy_is_b(struct lorac_model *model)
{
    inject_with_copies(model, "[{\"copy\":\"n_e/lora_B\",\"of\":\"w1\"}]");
}
static void copy_is_scale(struct lorac_model *model)
{
    inject_with_copies(model, "[{\"copy\":\"n_e/lora_scale\",\"of\":\"w1\"}]");
}
static void copy_of_shape(struct lorac_model *model)
{
    inject_with_copies(model, "[{\"copy\":\"w1\",\"of\":\"n_e/lora_shape\"}]");
}
static void many_copies(struct lorac_model *model)
{
    enum { COPIES = 10000, EACH = 64 };
    char *json = take(model, COPIES * EACH + 2, 1), *at = json;
    Onnx__GraphProto *graph = model->proto->graph;
    size_t own = graph->n_initializer;
    many_initialisers(model);
    for (size_t i = 0; i < COPIES; i++)
        at += sprintf(at, "%s{\"copy\":\"%s\",\"of\":\"w1\"}", i ? "," : "[", graph->initializer[own + i]->name);
    strcpy(at, "]");
    inject_with_copies(model, json);
}

static void much_metadata(struct lorac_model *model)
{
    metadata(model, MANY, (char *)(uintptr_t) "key", (char *)(uintptr_t) "value");
}
static void deep_json(struct lorac_model *model)
{
    char *json = take(model, MANY, 1);
    memset(json, '[', MANY);
    metadata(model, 1, (char *)(uintptr_t) "lorac.input", json);
}
static void long_name(struct lorac_model *model)
{
    char *name = take(model, 10 * MANY, 1);
    memset(name, 'n', 10 * MANY);
    node_named(model, "e")->name = name;
    node_named(model, "e")->op_type = name;
}
static void odd_name(struct lorac_model *model)
{
    node_named(model, "e")->name = (char *)(uintptr_t) "\xff\xfe\n\x1b[2J";
}

// f0 is one Neg; f_i calls f_(i-1) twice: 2^40 nodes when written out.
static void laughing_functions(struct lorac_model *model)
{
    enum { FUNCTIONS = 40 };
    Onnx__ModelProto *proto = model->proto;
    Onnx__FunctionProto *fresh = take(model, FUNCTIONS, sizeof *fresh);
    static Onnx__OperatorSetIdProto import, *imports[] = {&import};
    onnx__operator_set_id_proto__init(&import);
    import.has_version = 1;
    import.version = 17;
    proto->functions = take(model, FUNCTIONS, sizeof *proto->functions);
    proto->n_functions = FUNCTIONS;
    for (size_t i = 0; i < FUNCTIONS; i++) {
        Onnx__NodeProto *nodes = take(model, 2, sizeof *nodes);
        onnx__function_proto__init(&fresh[i]);
        proto->functions[i] = &fresh[i];
        fresh[i].name = text(model, "f", i);
        fresh[i].domain = (char *)(uintptr_t) "local";
        fresh[i].opset_import = imports;
        fresh[i].n_opset_import = 1;
        fresh[i].input = take(model, 1, sizeof(char *));
        fresh[i].output = take(model, 1, sizeof(char *));
        fresh[i].input[0] = (char *)(uintptr_t) "in";
        fresh[i].output[0] = (char *)(uintptr_t) "out";
        fresh[i].n_input = fresh[i].n_output = 1;
        fresh[i].node = take(model, 2, sizeof *fresh[i].node);
        fresh[i].n_node = 2;
        for (size_t k = 0; k < 2; k++) {
            onnx__node_proto__init(&nodes[k]);
            fill_node(model, &nodes[k], i ? text(model, "f", i - 1) : "Neg", (char *)(uintptr_t)(k ? "mid" : "in"),
                      (char *)(uintptr_t)(k ? "out" : "mid"));
            nodes[k].domain = (char *)(uintptr_t)(i ? "local" : "");
            fresh[i].node[k] = &nodes[k];
        }
    }
    Onnx__NodeProto *node = take(model, 1, sizeof *node);
    more_nodes(model, 1, node);
    fill_node(model, node, text(model, "f", FUNCTIONS - 1), (char *)(uintptr_t) "x", (char *)(uintptr_t) "laughed");
    node->domain = (char *)(uintptr_t) "local";
    node_named(model, "a")->input[0] = node->output[0];
}

// ---- the table

const struct hostile_model HOSTILE_CROWDS[] = {
    {"empty nodes", NULL, empty_nodes, "has no op_type", REFUSED},
    {"a long chain", NULL, chain_of_relu, NULL, SAID},
    {"a long chain of nothing", NULL, chain_of_identity, NULL, SAID},
    {"a long chain before a weight", NULL, chain_before_weight, NULL, SAID},
    {"a long chain that computes a weight", NULL, chain_of_neg, NULL, SAID},
    {"a long chain of an unknown operator", NULL, chain_of_unknown, "node 'chain0' (Frobnicate)", SAID},
    {"many convolutions", "k=Relu(w3[2,2,1,1]); a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1])" HEAD, many_convs, NULL,
     SAID},
    {"many convolutions with a computed weight",
     "k=Relu(w3[2,2,1,1]); b=Shape(big{500000,2,1,1}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1])" HEAD,
     computed_convs, "inject would add 7998032240 numbers", REFUSED},
    {"many weights that are each a sum of 2^23",
     "b=ConstantOfShape(sh{4,4,1,524288}); k=ReduceSum(b, ax{3}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD,
     many_sums, "have to be computed", REFUSED},
    {"many weights that are each a power of 2^22",
     "b=ConstantOfShape(sh{1048576,4,1,1}) value=<1.5>[1]; k=Pow(b, b); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD,
     many_powers, "have to be computed", REFUSED},
    {"as many powers of 2^20 as may be",
     "k=Pow(u[1024,1,1,1]+, v[1,1024,1,1]); a=Conv(x, w1[1024,2,3,3]); e=Conv(a, k); p=GlobalAveragePool(e); "
     "f=Flatten(p); y=Gemm(f, hw[3,1024]) transB=1",
     few_powers, NULL, SAID},
    {"as many powers of 2^20 in float16 as may be",
     "s=Cast(u[1024,1,1,1]+) to=10; k=Pow(s, v[1,1024,1,1]); a=Conv(x, w1[1024,2,3,3]); e=Conv(a, k); "
     "p=GlobalAveragePool(e); f=Flatten(p); y=Gemm(f, hw[3,1024]) transB=1",
     few_powers, NULL, SAID},
    {"a Sum of 4000 of 2^20",
     "b=ConstantOfShape(sh{262144,4,1,1}); k=Sum(b); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, repeat_input,
     "have to be computed", REFUSED},
    {"a Max of 4000 of 2^20",
     "b=ConstantOfShape(sh{262144,4,1,1}); k=Max(b, b); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, repeat_input,
     "have to be computed", REFUSED},
    {"a Concat of 4000 of 2^20",
     "b=ConstantOfShape(sh{262144,4,1,1}); k=Concat(b) axis=0; a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, repeat_input,
     "at most 8388608", SAID},
    {"many attributes", NULL, many_attributes, NULL, SAID},
    {"many inputs", NULL, many_inputs, NULL, SAID},
    {"many initialisers", NULL, many_initialisers, NULL, SAID},
    {"many taken names", NULL, taken_names, NULL, SAID},
    {"a copy of itself", NULL, copy_of_itself, "'w1' is of 'w1', which is a copy itself", REFUSED},
    {"copies in a ring", NULL, copies_in_a_ring, "'w1' is of 'hw', which is a copy itself", REFUSED},
    {"a copy that is an adapter's B", NULL, copy_is_b, "names 'n_e/lora_B', which belongs to the adapter", REFUSED},
    {"a copy that is an adapter's scale", NULL, copy_is_scale, "names 'n_e/lora_scale', which belongs to", REFUSED},
    {"a copy of an adapter's shape", NULL, copy_of_shape, "names 'n_e/lora_shape', which belongs to", REFUSED},
    {"many copies", NULL, many_copies, "merge it first", REFUSED},
    {"much metadata", NULL, much_metadata, NULL, SAID},
    {"deep JSON", NULL, deep_json, "lorac.input", REFUSED},
    {"a name of a megabyte", NULL, long_name, "nnnn", SAID},
    {"a name that is no text", NULL, odd_name, NULL, SAID},
    {"functions that call one another twice", NULL, laughing_functions, "local", REFUSED},
};
const size_t HOSTILE_CROWD_COUNT = sizeof HOSTILE_CROWDS / sizeof *HOSTILE_CROWDS;
