#include "hostile_change.h"

#include "ref/graph.h"

#define PLAIN "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1])" HEAD

enum { STRINGS = ONNX__TENSOR_PROTO__DATA_TYPE__STRING };

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

// ---- the table

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
