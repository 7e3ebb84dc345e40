#include "hostile_models.h"

#include "passes/inject.h"
#include "proto/model_edit.h"
#include "ref/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "; p=GlobalAveragePool(e); f=Flatten(p); y=Gemm(f, hw[3,4]) transB=1"
#define PLAIN "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1])" HEAD

enum { MANY = 100000, STRINGS = ONNX__TENSOR_PROTO__DATA_TYPE__STRING };

static void *take(struct lorac_model *model, size_t count, size_t each)
{
    void *memory = lorac_arena_alloc_array(model->arena, count + 1, each);
    if (!memory) {
        fputs("hostile_models: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static char *text(struct lorac_model *model, const char *prefix, size_t number)
{
    char *made = take(model, strlen(prefix) + 24, 1);
    sprintf(made, "%s%zu", prefix, number);
    return made;
}

static Onnx__NodeProto *node_named(struct lorac_model *model, const char *output)
{
    return lorac_model_producer(model, output);
}

static Onnx__TensorProto *weight(struct lorac_model *model)
{
    return lorac_model_initializer(model, "w2");
}

// ---- the frame

static void opset_0(struct lorac_model *model)
{
    model->proto->opset_import[0]->version = 0;
}
static void opset_999(struct lorac_model *model)
{
    model->proto->opset_import[0]->version = 999;
}
static void ir_999(struct lorac_model *model)
{
    model->proto->ir_version = 999;
}
static void vendor_conv(struct lorac_model *model)
{
    node_named(model, "e")->domain = (char *)(uintptr_t) "com.vendor";
}

// ---- edges

static void cycle(struct lorac_model *model)
{
    node_named(model, "a")->input[0] = (char *)(uintptr_t) "e";
}
static void itself(struct lorac_model *model)
{
    node_named(model, "e")->input[0] = (char *)(uintptr_t) "e";
}
static void duplicate(struct lorac_model *model)
{
    node_named(model, "e")->output[0] = (char *)(uintptr_t) "a";
}
static void undefined(struct lorac_model *model)
{
    node_named(model, "e")->input[1] = (char *)(uintptr_t) "nowhere\n\x1b[2J";
}
static void no_weight(struct lorac_model *model)
{
    model->proto->graph->n_initializer = 0;
}
static void no_output(struct lorac_model *model)
{
    model->proto->graph->n_output = 0;
}

// ---- tensors

static void no_data(struct lorac_model *model)
{
    weight(model)->dims[0] = (int64_t)1 << 40;
    weight(model)->has_raw_data = 0;
}
static void negative_dims(struct lorac_model *model)
{
    weight(model)->dims[0] = -4;
    weight(model)->dims[1] = -4;
}
static void overflowing_dims(struct lorac_model *model)
{
    for (size_t i = 0; i < 4; i++)
        weight(model)->dims[i] = (int64_t)1 << 62;
}
static void empty_dims(struct lorac_model *model)
{
    weight(model)->dims[0] = 0;
    weight(model)->dims[1] = INT64_MAX;
    weight(model)->raw_data.len = 0;
}
static void short_data(struct lorac_model *model)
{
    weight(model)->raw_data.len -= 1;
}
static void rank_3(struct lorac_model *model)
{
    weight(model)->n_dims = 3;
    weight(model)->dims[2] = 1;
}
static void rank_2000(struct lorac_model *model)
{
    Onnx__TensorProto *tensor = weight(model);
    int64_t *dims = take(model, 2000, sizeof *dims);
    for (size_t i = 0; i < 2000; i++)
        dims[i] = i < 2 ? 4 : 1;
    tensor->dims = dims;
    tensor->n_dims = 2000;
}
static void of_strings(struct lorac_model *model, Onnx__TensorProto *tensor)
{
    size_t count = 1;
    for (size_t i = 0; i < tensor->n_dims; i++)
        count *= (size_t)tensor->dims[i];
    tensor->data_type = STRINGS;
    tensor->has_raw_data = 0;
    tensor->n_string_data = count;
    tensor->string_data = take(model, count, sizeof *tensor->string_data);
    for (size_t i = 0; i < count; i++)
        tensor->string_data[i] = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "7"};
}
static void string_weight(struct lorac_model *model)
{
    of_strings(model, weight(model));
}
static void string_shape(struct lorac_model *model)
{
    of_strings(model, lorac_model_initializer(model, "sh"));
}
static void unknown_type(struct lorac_model *model)
{
    weight(model)->data_type = 4711;
}
static void nan_weight(struct lorac_model *model)
{
    memset(weight(model)->raw_data.data, 0xff, 4);
}
static void nan_head(struct lorac_model *model)
{
    memset(lorac_model_initializer(model, "hw")->raw_data.data, 0xff, 4);
}

static void external(struct lorac_model *model, const char *location, const char *offset, const char *length)
{
    const char *const pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    Onnx__TensorProto *tensor = weight(model);
    tensor->has_raw_data = 0;
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->external_data = take(model, 3, sizeof *tensor->external_data);
    for (size_t i = 0; i < 3; i++) {
        Onnx__StringStringEntryProto *entry = take(model, 1, sizeof *entry);
        onnx__string_string_entry_proto__init(entry);
        entry->key = (char *)(uintptr_t)pairs[i][0];
        entry->value = (char *)(uintptr_t)pairs[i][1];
        if (pairs[i][1])
            tensor->external_data[tensor->n_external_data++] = entry;
    }
}
static void external_absolute(struct lorac_model *model)
{
    external(model, "/etc/passwd", NULL, NULL);
}
static void external_above(struct lorac_model *model)
{
    external(model, "../../../../etc/passwd", "0", "64");
}
static void external_hidden_above(struct lorac_model *model)
{
    external(model, "a/../../b", "0", "64");
}
static void external_missing(struct lorac_model *model)
{
    external(model, "missing.bin", NULL, NULL);
}
static void external_itself(struct lorac_model *model)
{
    external(model, "model.onnx", "9223372036854775807", "64");
}
static void external_negative(struct lorac_model *model)
{
    external(model, "model.onnx", "-1", "64");
}
static void external_folder(struct lorac_model *model)
{
    external(model, ".", NULL, NULL);
}
static void external_nowhere(struct lorac_model *model)
{
    external(model, NULL, NULL, NULL);
}

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

#define REFUSED true
#define SAID false
const struct hostile_model HOSTILE_MODELS[] = {
    {"nothing wrong", NULL, NULL, NULL, SAID},
    {"opset 0", NULL, opset_0, "which opset of ai.onnx", REFUSED},
    {"opset 999", NULL, opset_999, "opset 999, newer than", REFUSED},
    {"IR version 999", NULL, ir_999, "IR version 999, newer than", REFUSED},
    {"a vendor's operator", NULL, vendor_conv, "node 'n_e' (Conv): operators of domain 'com.vendor'", SAID},
    {"a cycle", NULL, cycle, "node 'n_a' (Conv) uses 'e'", REFUSED},
    {"a node that reads itself", NULL, itself, "node 'n_e' (Conv) uses 'e'", REFUSED},
    {"a value made twice", NULL, duplicate, "node 'n_e' (Conv) outputs 'a'", REFUSED},
    {"an undefined value", NULL, undefined, "uses 'nowhere??[2J'", REFUSED},
    {"no initialisers", NULL, no_weight, "uses 'w1'", REFUSED},
    {"no output", NULL, no_output, "no output", SAID},

    {"2^40 elements without data", NULL, no_data, "tensor 'w2'", REFUSED},
    {"negative dims", NULL, negative_dims, "tensor 'w2' has impossible dims", REFUSED},
    {"dims that overflow", NULL, overflowing_dims, "tensor 'w2' has impossible dims", REFUSED},
    {"an empty weight", NULL, empty_dims, "weight is empty", SAID},
    {"a byte too few", NULL, short_data, "tensor 'w2'", REFUSED},
    {"a weight of rank 3", NULL, rank_3, "weight has rank 3", SAID},
    {"a weight of rank 2000", NULL, rank_2000, "w2", SAID},
    {"a weight of strings", NULL, string_weight, "STRING", SAID},
    {"a shape of strings", "a=Conv(x, w1[4,2,3,3]); e=Reshape(a, sh{0,4,4,4})" HEAD, string_shape, "'sh'", SAID},
    {"a tensor of an unknown type", NULL, unknown_type, "has type unknown", SAID},
    {"a NaN weight", NULL, nan_weight, "'w2'", REFUSED},
    {"a NaN in the last layer", NULL, nan_head, "'hw'", REFUSED},

    {"external data at an absolute path", NULL, external_absolute, "/etc/passwd", REFUSED},
    {"external data above the folder", NULL, external_above, "..", REFUSED},
    {"external data above the folder by a detour", NULL, external_hidden_above, "..", REFUSED},
    {"external data in a missing file", NULL, external_missing, "missing.bin", REFUSED},
    {"external data behind the file's end", NULL, external_itself, "w2", REFUSED},
    {"external data before the file's beginning", NULL, external_negative, "w2", REFUSED},
    {"external data in a folder", NULL, external_folder, "w2", REFUSED},
    {"external data nowhere", NULL, external_nowhere, "w2", REFUSED},

    {"ConstantOfShape of 2^40", "k=ConstantOfShape(sh{1048576,1048576,1,1}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD,
     NULL, "1099511627776 elements", SAID},
    {"ConstantOfShape of 2^23", "k=ConstantOfShape(sh{2097152,4,1,1}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, NULL,
     NULL, SAID},
    {"a chain of Adds of 2^23",
     "k=ConstantOfShape(sh{2097152,4,1,1}); l=Add(k, k); m=Add(l, l); n=Add(m, m); a=Conv(x, w1[4,2,3,3]); "
     "e=Conv(a, n)" HEAD,
     NULL, "too many elements", SAID},
    {"Expand to 2^40", "k=Expand(one<1.>, sh{1048576,1048576,1,1}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, NULL,
     "1099511627776 elements", SAID},
    {"Tile to 2^40", "k=Tile(one[1,1,1,1], sh{1048576,1048576,1,1}); a=Conv(x, w1[4,2,3,3]); e=Conv(a, k)" HEAD, NULL,
     "1099511627776 elements", SAID},
    {"Range of 2^62", "k=Range(z{0}[], m{4611686018427387904}[], o{1}[]); a=Conv(x, w1[4,2,3,3]); e=Reshape(a, k)" HEAD,
     NULL, "node 'n_k' (Range)", SAID},
    {"Expand of an image to 2^40", "a=Conv(x, w1[4,2,3,3]); e=Expand(a, sh{1,1,1048576,1048576})" HEAD, NULL,
     "node 'n_e' (Expand)", SAID},
    {"Tile of an image by 2^40", "a=Conv(x, w1[4,2,3,3]); e=Tile(a, sh{1,1,1048576,1048576})" HEAD, NULL, NULL, SAID},
    {"Pad by 2^31", "a=Conv(x, w1[4,2,3,3]); e=Pad(a, pa{0,0,2147483648,0,0,0,0,2147483648})" HEAD, NULL, NULL, SAID},
    {"Pad by 2^62", "a=Conv(x, w1[4,2,3,3]); e=Pad(a, pa{0,0,4611686018427387904,0,0,0,4611686018427387904,0})" HEAD,
     NULL, "node 'n_e' (Pad)", SAID},
    {"Pad by -2^63", "a=Conv(x, w1[4,2,3,3]); e=Pad(a, pa{0,0,min,0,0,0,min,0})" HEAD, NULL, "node 'n_e' (Pad)", SAID},
    {"Resize by 1e9", "a=Conv(x, w1[4,2,3,3]); e=Resize(a, -, sc<1.,1.,1000000000.,1000000000.>) mode=nearest" HEAD,
     NULL, NULL, SAID},
    {"Resize by 1e30", "a=Conv(x, w1[4,2,3,3]); e=Resize(a, -, sc<1.,1.,1e30,1e30>) mode=nearest" HEAD, NULL,
     "node 'n_e' (Resize)", SAID},
    {"Resize by NaN", "a=Conv(x, w1[4,2,3,3]); e=Resize(a, -, sc<1.,1.,nan,1.>) mode=nearest" HEAD, NULL,
     "node 'n_e' (Resize)", SAID},
    {"Resize to 2^62", "a=Conv(x, w1[4,2,3,3]); e=Resize(a, -, -, sz{1,4,4611686018427387904,4}) mode=linear" HEAD,
     NULL, "node 'n_e' (Resize)", SAID},
    {"a dilation of 2^31", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]) dilations=[2147483648,2147483648]" HEAD,
     NULL, "convolution 'n_e' contradicts itself: dilations", REFUSED},
    {"a dilation of 2^31 - 1", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,3,3]) dilations=[2147483647,2147483647]" HEAD,
     NULL, "node 'n_e' (Conv)", SAID},
    {"a stride of 0", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]) strides=[0,1]" HEAD, NULL,
     "convolution 'n_e' contradicts itself: strides", REFUSED},
    {"pads of -1", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]) pads=[0,0,-1,0]" HEAD, NULL,
     "convolution 'n_e' contradicts itself: pads", REFUSED},
    {"a group that does not divide", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]) group=3" HEAD, NULL,
     "convolution 'n_e' contradicts itself: group", REFUSED},
    {"a kernel_shape that contradicts", "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]) kernel_shape=[3,3]" HEAD, NULL,
     "convolution 'n_e' contradicts itself: kernel_shape", REFUSED},
    {"an AveragePool of 2^30",
     "a=Conv(x, w1[4,2,3,3]); e=AveragePool(a) kernel_shape=[1073741824,1073741824] "
     "pads=[1073741823,1073741823,1073741823,1073741823]" HEAD,
     NULL, "node 'n_e' (AveragePool)", SAID},
    {"a MaxPool of 65535",
     "a=Conv(x, w1[4,2,3,3]); e=MaxPool(a) kernel_shape=[65535,65535] "
     "pads=[65534,65534,65534,65534]" HEAD,
     NULL, NULL, SAID},
    {"Split into 2^40", "a=Conv(x, w1[4,2,3,3]); e=Split(a) num_outputs=1099511627776 axis=1" HEAD, NULL,
     "node 'n_e' (Split)", SAID},
    {"Unsqueeze of axis 2^62", "a=Conv(x, w1[4,2,3,3]); e=Unsqueeze(a, ax{4611686018427387904})" HEAD, NULL,
     "node 'n_e' (Unsqueeze)", SAID},
    {"Flatten of axis -2^63", "a=Conv(x, w1[4,2,3,3]); e=Flatten(a) axis=-9223372036854775808" HEAD, NULL,
     "node 'n_e' (Flatten)", SAID},

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
const size_t HOSTILE_MODEL_COUNT = sizeof HOSTILE_MODELS / sizeof *HOSTILE_MODELS;

uint8_t *hostile_bytes(const struct hostile_model *row, size_t *byte_count)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = row->text ? row->text : PLAIN, .dims = {1, 2, 6, 6}});
    if (row->change)
        row->change(graph.model);
    *byte_count = onnx__model_proto__get_packed_size(graph.model->proto);
    uint8_t *bytes = malloc(*byte_count);
    if (!bytes) {
        fputs("hostile_models: out of memory\n", stderr);
        exit(1);
    }
    onnx__model_proto__pack(graph.model->proto, bytes);
    graph_free(&graph);
    return bytes;
}
