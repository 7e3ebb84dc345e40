#include "ref/graph.h"

#include "proto/rng.h"
#include "ref/ref.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 48, MAX_TENSORS = 64, MAX_ITEMS = 16 };

struct builder {
    const struct graph_spec *spec;
    const char *at; // the text not read yet
    struct lorac_arena *arena;
    size_t node_count, tensor_count, trainable_count, adapter_count;
    Onnx__NodeProto *nodes[MAX_NODES];
    Onnx__TensorProto *tensors[MAX_TENSORS];
    const char *trainable[MAX_TENSORS];
    struct lorac_adapter adapters[MAX_NODES];
};

static void fail(const struct builder *builder, const char *what)
{
    fprintf(stderr, "graph '%s': %s at '%s'\n", builder->spec->text, what, builder->at);
    exit(1);
}

static void *make(struct builder *builder, size_t count, size_t bytes)
{
    void *memory = lorac_arena_alloc_array(builder->arena, count, bytes);
    if (memory == NULL)
        fail(builder, "out of memory");
    return memory;
}

static char *join(struct builder *builder, const char *a, const char *b)
{
    size_t bytes = strlen(a) + strlen(b) + 1;
    char *text = make(builder, 1, bytes);
    snprintf(text, bytes, "%s%s", a, b);
    return text;
}

// ---- reading the text

static bool take(struct builder *builder, char wanted)
{
    while (*builder->at == ' ')
        builder->at++;
    if (*builder->at != wanted)
        return false;
    builder->at++;
    return true;
}

static void expect(struct builder *builder, char wanted)
{
    if (!take(builder, wanted))
        fail(builder, "a character is missing");
}

static char *word(struct builder *builder)
{
    while (*builder->at == ' ')
        builder->at++;
    const char *begin = builder->at;
    while (isalnum((unsigned char)*builder->at) || *builder->at == '_')
        builder->at++;
    size_t length = (size_t)(builder->at - begin);
    if (length == 0)
        fail(builder, "a word is missing");
    char *text = make(builder, length + 1, 1);
    memcpy(text, begin, length);
    return text;
}

// Integers up to [end].
static size_t integers(struct builder *builder, char end, int64_t *out)
{
    size_t count = 0;
    while (!take(builder, end)) {
        char *after;
        if (count == MAX_ITEMS)
            fail(builder, "too many integers");
        if (strncmp(builder->at, "max", 3) == 0 || strncmp(builder->at, "min", 3) == 0) {
            out[count++] = builder->at[1] == 'a' ? INT64_MAX : INT64_MIN;
            builder->at += 3;
        } else {
            out[count++] = strtoll(builder->at, &after, 10);
            if (after == builder->at)
                fail(builder, "an integer is missing");
            builder->at = after;
        }
        take(builder, ',');
    }
    return count;
}

// ---- tensors

static Onnx__TensorProto *add_tensor(struct builder *builder, const char *name, int32_t type, size_t rank,
                                     const int64_t *dims)
{
    Onnx__TensorProto *tensor = make(builder, 1, sizeof *tensor);
    size_t count = 1, each = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 8 : 4;
    onnx__tensor_proto__init(tensor);
    tensor->name = lorac_arena_strdup(builder->arena, name);
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->n_dims = rank;
    tensor->dims = make(builder, rank + 1, sizeof *tensor->dims);
    for (size_t i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
        count *= (size_t)dims[i];
    }
    tensor->has_raw_data = 1;
    tensor->raw_data.len = count * each;
    tensor->raw_data.data = make(builder, count, each);
    if (builder->tensor_count == MAX_TENSORS)
        fail(builder, "too many tensors");
    builder->tensors[builder->tensor_count++] = tensor;
    return tensor;
}

// Tests run where floats are little-endian in memory, as raw_data is.
static void put_float(Onnx__TensorProto *tensor, size_t i, double value)
{
    float narrow = (float)value;
    memcpy(tensor->raw_data.data + i * sizeof narrow, &narrow, sizeof narrow);
}

static void fill_random(struct builder *builder, Onnx__TensorProto *tensor, bool positive, bool diagonal)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, builder->spec->seed, "graph", lorac_rng_hash_name(tensor->name), 0);
    size_t count = tensor->raw_data.len / sizeof(float);
    size_t row = count / (size_t)(tensor->n_dims > 0 ? tensor->dims[0] : 1);
    size_t inner = row / (size_t)(tensor->n_dims > 1 ? tensor->dims[1] : 1);
    for (size_t i = 0; i < count; i++) {
        double value = lorac_rng_uniform(&rng) * 2 - 1;
        if (positive)
            value = value / 2 + 1;
        if (diagonal)
            value = i % row == i / row * inner ? 1 : 0;
        put_float(tensor, i, value);
    }
}

static Onnx__NodeProto *add_node(struct builder *builder, const char *op_type, const char *name, const char *output,
                                 size_t input_count, const char *const *inputs);
static Onnx__AttributeProto *add_attribute(struct builder *builder, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type);

static void as_constant_node(struct builder *builder, Onnx__TensorProto *tensor)
{
    Onnx__NodeProto *node = add_node(builder, "Constant", join(builder, "n_", tensor->name), tensor->name, 0, NULL);
    add_attribute(builder, node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = tensor;
    tensor->name = (char *)protobuf_c_empty_string; // as exporters leave it
    builder->tensor_count--;
}

static void float_input(struct builder *builder, const char *name)
{
    int64_t dims[MAX_ITEMS];
    bool positive = false, diagonal = false, constant = false;
    size_t rank = integers(builder, ']', dims);
    for (;; builder->at++) {
        if (*builder->at == '*')
            builder->trainable[builder->trainable_count++] = name;
        else if (*builder->at == '+')
            positive = true;
        else if (*builder->at == '=')
            diagonal = true;
        else if (*builder->at == '!')
            constant = true;
        else
            break;
    }
    Onnx__TensorProto *tensor = add_tensor(builder, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims);
    fill_random(builder, tensor, positive, diagonal);
    if (constant)
        as_constant_node(builder, tensor);
}

static void integer_tensor(struct builder *builder, const char *name, size_t count, const int64_t *values)
{
    int64_t dims[1] = {(int64_t)count};
    Onnx__TensorProto *tensor = add_tensor(builder, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, dims);
    memcpy(tensor->raw_data.data, values, tensor->raw_data.len);
}

static void scalar_tensor(struct builder *builder, const char *name, double value)
{
    put_float(add_tensor(builder, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 0, NULL), 0, value);
}

static size_t reals(struct builder *builder, double *out)
{
    size_t count = 0;
    while (!take(builder, '>')) {
        char *after;
        if (count == MAX_ITEMS)
            fail(builder, "too many numbers");
        out[count++] = strtod(builder->at, &after);
        if (after == builder->at)
            fail(builder, "a number is missing");
        builder->at = after;
        take(builder, ',');
    }
    return count;
}

// `{...}` or `<...>` with its dims, where one comes next.
static bool literal(struct builder *builder, const char *name)
{
    int64_t values[MAX_ITEMS], dims[MAX_ITEMS];
    double numbers[MAX_ITEMS];
    bool integer = take(builder, '{');
    if (!integer && !take(builder, '<'))
        return false;
    size_t count = integer ? integers(builder, '}', values) : reals(builder, numbers);
    size_t rank = !integer && count == 1 ? 0 : 1;
    dims[0] = (int64_t)count;
    if (*builder->at == '[') {
        builder->at++;
        rank = integers(builder, ']', dims);
    }
    int32_t type = integer ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    Onnx__TensorProto *tensor = add_tensor(builder, name, type, rank, dims);
    if (tensor->raw_data.len != count * (integer ? sizeof(int64_t) : sizeof(float)))
        fail(builder, "dims do not fit the numbers");
    for (size_t i = 0; i < count; i++) {
        if (integer)
            memcpy(tensor->raw_data.data + i * sizeof values[i], &values[i], sizeof values[i]);
        else
            put_float(tensor, i, numbers[i]);
    }
    return true;
}

static const char *read_input(struct builder *builder)
{
    if (take(builder, '-'))
        return "";
    const char *name = word(builder);
    if (take(builder, '['))
        float_input(builder, name);
    else
        literal(builder, name);
    return name;
}

// ---- nodes

static Onnx__NodeProto *add_node(struct builder *builder, const char *op_type, const char *name, const char *output,
                                 size_t input_count, const char *const *inputs)
{
    Onnx__NodeProto *node = make(builder, 1, sizeof *node);
    onnx__node_proto__init(node);
    node->name = lorac_arena_strdup(builder->arena, name);
    node->op_type = lorac_arena_strdup(builder->arena, op_type);
    node->input = make(builder, MAX_ITEMS, sizeof *node->input);
    node->output = make(builder, MAX_ITEMS, sizeof *node->output);
    node->attribute = make(builder, MAX_ITEMS, sizeof *node->attribute);
    for (size_t i = 0; i < input_count; i++)
        node->input[node->n_input++] = lorac_arena_strdup(builder->arena, inputs[i]);
    node->output[node->n_output++] = lorac_arena_strdup(builder->arena, output);
    if (builder->node_count == MAX_NODES)
        fail(builder, "too many nodes");
    builder->nodes[builder->node_count++] = node;
    return node;
}

static Onnx__AttributeProto *add_attribute(struct builder *builder, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = make(builder, 1, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = lorac_arena_strdup(builder->arena, name);
    attribute->has_type = 1;
    attribute->type = type;
    if (node->n_attribute == MAX_ITEMS)
        fail(builder, "too many attributes");
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static void number_attribute(struct builder *builder, Onnx__NodeProto *node, const char *name)
{
    char *end_integer, *end_real;
    long long integer = strtoll(builder->at, &end_integer, 10);
    double real = strtod(builder->at, &end_real);
    if (end_real > end_integer) {
        Onnx__AttributeProto *made = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
        made->has_f = 1;
        made->f = (float)real;
    } else {
        Onnx__AttributeProto *made = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
        made->has_i = 1;
        made->i = integer;
    }
    builder->at = end_real;
}

static void read_attribute(struct builder *builder, Onnx__NodeProto *node, const char *name)
{
    if (literal(builder, name)) {
        Onnx__TensorProto *tensor = builder->tensors[--builder->tensor_count];
        add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = tensor;
    } else if (take(builder, '[')) {
        int64_t values[MAX_ITEMS];
        size_t count = integers(builder, ']', values);
        Onnx__AttributeProto *made = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
        made->n_ints = count;
        made->ints = make(builder, count, sizeof *made->ints);
        memcpy(made->ints, values, count * sizeof *values);
    } else if (isalpha((unsigned char)*builder->at)) {
        char *text = word(builder);
        Onnx__AttributeProto *made = add_attribute(builder, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
        made->has_s = 1;
        made->s.data = (uint8_t *)text;
        made->s.len = strlen(text);
    } else {
        number_attribute(builder, node, name);
    }
}

// ---- adapters: the picture of proto/adapter_meta.h

static Onnx__TensorProto *tensor_named(const struct builder *builder, const char *name)
{
    for (size_t i = 0; i < builder->tensor_count; i++)
        if (strcmp(builder->tensors[i]->name, name) == 0)
            return builder->tensors[i];
    fail(builder, "an adapted weight is not an initialiser");
    return NULL;
}

static const char *add_random(struct builder *builder, const char *name, int64_t rows, int64_t columns)
{
    fill_random(builder,
                add_tensor(builder, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, (const int64_t[]){rows, columns}),
                false, false);
    return name;
}

static const char *add_step(struct builder *builder, const char *op_type, const char *conv, const char *first,
                            const char *second)
{
    char *name = join(builder, join(builder, conv, "/lora_"), op_type);
    char *output = join(builder, name, "_output");
    add_node(builder, op_type, name, output, 2, (const char *const[]){first, second});
    return output;
}

// Reads "kernel:2:4" (or "kernel:2:4:frozen"), adds the subgraph and returns the value that replaces the weight [w0].
static const char *add_adapter(struct builder *builder, const char *conv, const char *w0)
{
    struct lorac_adapter *adapter = &builder->adapters[builder->adapter_count++];
    const Onnx__TensorProto *weight = tensor_named(builder, w0);
    char setting[8];
    long long rank;
    int length = 0;
    *adapter = (struct lorac_adapter){.conv = conv, .weight = w0, .form = LORAC_FORM_WEIGHT};
    if (sscanf(builder->at, "%7[a-z]:%lld:%lf%n", setting, &rank, &adapter->alpha, &length) != 3)
        fail(builder, "setting:rank:alpha is missing");
    builder->at += length;
    static const char FROZEN[] = ":frozen";
    adapter->freeze_a = strncmp(builder->at, FROZEN, sizeof FROZEN - 1) == 0;
    builder->at += adapter->freeze_a ? sizeof FROZEN - 1 : 0;
    adapter->setting = strcmp(setting, "kernel") == 0 ? LORAC_RANK_KERNEL : LORAC_RANK_PLAIN;
    adapter->rank = rank;

    const int64_t *dims = weight->dims;
    int64_t factor = adapter->setting == LORAC_RANK_PLAIN ? 1 : dims[2] > dims[3] ? dims[2] : dims[3];
    char *shape = join(builder, conv, "/lora_shape"), *scale = join(builder, conv, "/lora_scale");
    adapter->a = add_random(builder, join(builder, conv, "/lora_A"), rank * factor, dims[1] * dims[3]);
    adapter->b = add_random(builder, join(builder, conv, "/lora_B"), dims[0] * dims[2], rank * factor);
    if (!adapter->freeze_a)
        builder->trainable[builder->trainable_count++] = adapter->a;
    builder->trainable[builder->trainable_count++] = adapter->b;
    integer_tensor(builder, shape, 4, dims);
    scalar_tensor(builder, scale, adapter->alpha / (double)rank);
    const char *product = add_step(builder, "MatMul", conv, adapter->b, adapter->a);
    const char *view = add_step(builder, "Reshape", conv, product, shape);
    return add_step(builder, "Add", conv, w0, add_step(builder, "Mul", conv, view, scale));
}

static const char *statement(struct builder *builder)
{
    const char *output = word(builder), *inputs[MAX_ITEMS], *more[MAX_ITEMS];
    size_t count = 0, more_count = 0;
    while (take(builder, ',')) {
        if (more_count + 1 == MAX_ITEMS)
            fail(builder, "too many outputs");
        more[more_count++] = take(builder, '-') ? "" : word(builder);
    }
    expect(builder, '=');
    const char *op_type = word(builder);
    expect(builder, '(');
    while (!take(builder, ')')) {
        if (count == MAX_ITEMS)
            fail(builder, "too many inputs");
        inputs[count++] = read_input(builder);
        take(builder, ',');
    }
    Onnx__NodeProto *node = add_node(builder, op_type, join(builder, "n_", output), output, count, inputs);
    for (size_t i = 0; i < more_count; i++)
        node->output[node->n_output++] = lorac_arena_strdup(builder->arena, more[i]);
    while (!take(builder, ';') && *builder->at != '\0') {
        const char *name = word(builder);
        expect(builder, '=');
        if (strcmp(name, "lora") != 0) {
            read_attribute(builder, node, name);
            continue;
        }
        builder->node_count--; // the adapter's nodes come before it
        node->input[1] = lorac_arena_strdup(builder->arena, add_adapter(builder, node->name, node->input[1]));
        builder->nodes[builder->node_count++] = node;
    }
    return output;
}

// ---- the model

static Onnx__ValueInfoProto *value_info(struct builder *builder, const char *name, const int64_t *dims)
{
    Onnx__ValueInfoProto *info = make(builder, 1, sizeof *info);
    Onnx__TypeProto *type = make(builder, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = make(builder, 1, sizeof *tensor);
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    info->name = lorac_arena_strdup(builder->arena, name);
    info->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (dims == NULL)
        return info;
    tensor->shape = make(builder, 1, sizeof *tensor->shape);
    onnx__tensor_shape_proto__init(tensor->shape);
    tensor->shape->n_dim = 4;
    tensor->shape->dim = make(builder, 4, sizeof *tensor->shape->dim);
    for (size_t i = 0; i < 4; i++) {
        Onnx__TensorShapeProto__Dimension *dim = make(builder, 1, sizeof *dim);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dim->dim_value = dims[i];
        tensor->shape->dim[i] = dim;
    }
    return info;
}

static struct lorac_model *pack(struct builder *builder, const char *output)
{
    Onnx__ModelProto proto = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[] = {&opset};
    Onnx__ValueInfoProto *in[] = {value_info(builder, "x", builder->spec->dims)};
    Onnx__ValueInfoProto *out[] = {value_info(builder, output, NULL)};
    proto.has_ir_version = 1;
    proto.ir_version = 8;
    proto.n_opset_import = 1;
    proto.opset_import = opsets;
    opset.has_version = 1;
    opset.version = builder->spec->opset ? builder->spec->opset : 17;
    proto.graph = &graph;
    graph.name = (char *)"g";
    graph.n_node = builder->node_count;
    graph.node = builder->nodes;
    graph.n_initializer = builder->tensor_count;
    graph.initializer = builder->tensors;
    graph.n_input = graph.n_output = 1;
    graph.input = in;
    graph.output = out;

    struct lorac_model *model = NULL;
    struct lorac_error error = {0};
    size_t bytes = onnx__model_proto__get_packed_size(&proto);
    uint8_t *packed = make(builder, bytes, 1);
    onnx__model_proto__pack(&proto, packed);
    if (lorac_model_parse(packed, bytes, &model, &error) != LORAC_OK)
        fail(builder, error.message);
    return model;
}

struct graph graph_build(const struct graph_spec *spec)
{
    struct builder *builder = calloc(1, sizeof *builder);
    ref_require(builder != NULL, "out of memory");
    builder->spec = spec;
    builder->at = spec->text;
    builder->arena = lorac_arena_create();
    ref_require(builder->arena != NULL, "out of memory");
    const char *output = NULL;
    while (*builder->at != '\0')
        output = statement(builder);

    struct graph graph = {.model = pack(builder, output)};
    struct lorac_arena *arena = graph.model->arena;
    graph.meta = (struct lorac_meta){.injected = true, .bn = spec->bn};
    graph.meta.trainable_count = builder->trainable_count;
    graph.meta.trainable = lorac_arena_alloc_array(arena, MAX_TENSORS, sizeof *graph.meta.trainable);
    graph.meta.adapter_count = builder->adapter_count;
    graph.meta.adapters = lorac_arena_alloc_array(arena, MAX_NODES, sizeof *graph.meta.adapters);
    for (size_t i = 0; i < builder->trainable_count; i++)
        graph.meta.trainable[i] = lorac_arena_strdup(arena, builder->trainable[i]);
    for (size_t i = 0; i < builder->adapter_count; i++) {
        struct lorac_adapter *adapter = &graph.meta.adapters[i];
        *adapter = builder->adapters[i];
        adapter->conv = lorac_arena_strdup(arena, adapter->conv);
        adapter->weight = lorac_arena_strdup(arena, adapter->weight);
        adapter->a = lorac_arena_strdup(arena, adapter->a);
        adapter->b = lorac_arena_strdup(arena, adapter->b);
    }
    lorac_arena_free(builder->arena);
    free(builder);
    return graph;
}

void graph_free(struct graph *graph)
{
    lorac_model_free(graph->model);
    graph->model = NULL;
}
