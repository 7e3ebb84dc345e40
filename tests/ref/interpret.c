#include "interpret.h"

#include "proto/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct named {
    const char *name;
    struct ref_tensor value;
};

struct ref_run {
    struct lorac_model *model;
    bool bn_train;
    size_t count, capacity;
    struct named *values;
};

struct ref_tensor *ref_run_value(struct ref_run *run, const char *name)
{
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->values[i].name, name) == 0)
            return &run->values[i].value;
    return NULL;
}

void ref_run_set(struct ref_run *run, const char *name, struct ref_tensor value)
{
    struct ref_tensor *old = ref_run_value(run, name);
    if (old != NULL) {
        ref_free(old);
        *old = value;
        return;
    }
    if (run->count == run->capacity) {
        run->capacity = run->capacity * 2 + 16;
        run->values = realloc(run->values, run->capacity * sizeof *run->values);
        ref_require(run->values != NULL, "out of memory");
    }
    run->values[run->count++] = (struct named){name, value};
}

static struct ref_tensor from_model(const Onnx__TensorProto *tensor)
{
    struct ref_tensor x = ref_make(tensor->n_dims, tensor->dims);
    ref_require(lorac_tensor_to_double(tensor, x.data, ref_count(&x), NULL) == LORAC_OK, "a tensor cannot be read");
    return x;
}

struct ref_run *ref_run_create(struct lorac_model *model, bool bn_train)
{
    struct ref_run *run = calloc(1, sizeof *run);
    ref_require(run != NULL, "out of memory");
    run->model = model;
    run->bn_train = bn_train;
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        ref_run_set(run, graph->initializer[i]->name, from_model(graph->initializer[i]));
    for (size_t i = 0; i < graph->n_node; i++) {
        const char *name = graph->node[i]->output[0];
        if (lorac_node_is(graph->node[i], "Constant"))
            ref_run_set(run, name, from_model(lorac_model_constant(model, name)));
    }
    return run;
}

void ref_run_free(struct ref_run *run)
{
    if (run == NULL)
        return;
    for (size_t i = 0; i < run->count; i++)
        ref_free(&run->values[i].value);
    free(run->values);
    free(run);
}

// ---- one function for each group of operators: from a node's inputs and attributes to the plain loops

static void read_ints(const struct call *call, const char *name, int64_t *out, size_t count)
{
    const int64_t *values;
    if (lorac_node_ints(call->node, name, &values) == count)
        memcpy(out, values, count * sizeof *out);
}

static struct ref_window window_of(const struct call *call)
{
    struct ref_window window = {.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    read_ints(call, "kernel_shape", window.kernel, 2);
    read_ints(call, "strides", window.stride, 2);
    read_ints(call, "dilations", window.dilation, 2);
    read_ints(call, "pads", window.pads, 4);
    window.ceil_mode = lorac_node_int(call->node, "ceil_mode", 0) != 0;
    const char *pad = lorac_node_string(call->run->model, call->node, "auto_pad", "NOTSET");
    window.auto_pad = strcmp(pad, "SAME_UPPER") == 0   ? REF_SAME_UPPER
                      : strcmp(pad, "SAME_LOWER") == 0 ? REF_SAME_LOWER
                      : strcmp(pad, "VALID") == 0      ? REF_VALID
                                                       : REF_NOTSET;
    return window;
}

static void insert_height(struct ref_tensor *row)
{
    row->dims[3] = row->dims[2];
    row->dims[2] = 1;
    row->rank = 4;
}

static struct ref_tensor run_conv(const struct call *call)
{
    struct ref_window window = window_of(call);
    struct ref_tensor x = *call->x, w = *input(call, 1);
    if (x.rank == 3) { // an image of height 1
        insert_height(&x);
        insert_height(&w);
        read_ints(call, "strides", &window.stride[1], 1);
        read_ints(call, "dilations", &window.dilation[1], 1);
        int64_t pads[2] = {0};
        read_ints(call, "pads", pads, 2);
        window.pads[1] = pads[0];
        window.pads[3] = pads[1];
    }
    struct ref_tensor y = ref_conv(&x, &w, input(call, 2), &window, lorac_node_int(call->node, "group", 1));
    if (call->x->rank == 3) {
        y.dims[2] = y.dims[3];
        y.rank = 3;
    }
    return y;
}

static struct ref_tensor run_pool(const struct call *call)
{
    struct ref_window window = window_of(call);
    if (lorac_node_is(call->node, "MaxPool"))
        return ref_max_pool(call->x, &window);
    return ref_average_pool(call->x, &window, lorac_node_int(call->node, "count_include_pad", 0) != 0);
}

static struct ref_tensor run_batch_norm(const struct call *call)
{
    struct ref_batch_norm parameters = {input(call, 1), input(call, 2), input(call, 3), input(call, 4),
                                        (double)lorac_node_float(call->node, "epsilon", 1e-5F)};
    if (!call->run->bn_train)
        return ref_batch_norm(call->x, &parameters);
    struct ref_tensor mean, variance;
    ref_batch_statistics(call->x, &mean, &variance);
    parameters.mean = &mean;
    parameters.variance = &variance;
    struct ref_tensor y = ref_batch_norm(call->x, &parameters);
    ref_free(&mean);
    ref_free(&variance);
    return y;
}

static struct ref_tensor run_softmax(const struct call *call)
{
    bool together = call->opset < 13;
    return ref_softmax(call->x, lorac_node_int(call->node, "axis", together ? 1 : -1), together,
                       lorac_node_is(call->node, "LogSoftmax"));
}

static struct ref_tensor run_relu(const struct call *call)
{
    return ref_relu(call->x);
}

static struct ref_tensor run_clip(const struct call *call)
{
    const struct ref_tensor *low = input(call, 1), *high = input(call, 2);
    return ref_clip(call->x, low ? low->data[0] : (double)lorac_node_float(call->node, "min", -INFINITY),
                    high ? high->data[0] : (double)lorac_node_float(call->node, "max", INFINITY));
}

static enum ref_binary_kind kind_of(const struct call *call)
{
    static const struct {
        const char *op_type;
        enum ref_binary_kind kind;
    } kinds[] = {{"Add", REF_ADD},   {"Sub", REF_SUBTRACT}, {"Mul", REF_MULTIPLY}, {"Div", REF_DIVIDE},
                 {"Pow", REF_POWER}, {"PRelu", REF_PRELU},  {"Min", REF_SMALLER},  {"Max", REF_LARGER}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (lorac_node_is(call->node, kinds[i].op_type))
            return kinds[i].kind;
    return REF_ADD; // Sum
}

// Of two inputs or, for Sum, Min and Max, of any number.
static struct ref_tensor run_binary(const struct call *call)
{
    struct ref_tensor y = ref_copy(call->x);
    for (size_t i = 1; i < call->node->n_input; i++) {
        struct ref_tensor next = ref_binary(&y, input(call, i), kind_of(call));
        ref_free(&y);
        y = next;
    }
    return y;
}

static struct ref_tensor run_unary(const struct call *call)
{
    static const struct {
        const char *op_type, *p, *q;
        double p_default, q_default;
    } attributes[] = {
        {"HardSigmoid", "alpha", "beta", 0.2, 0.5},
        {"Swish", "alpha", "", 1, 0},
        {"LeakyRelu", "alpha", "", 0.01, 0},
        {"ThresholdedRelu", "alpha", "", 1, 0},
        {"Elu", "alpha", "", 1, 0},
        {"Celu", "alpha", "", 1, 0},
        {"Selu", "alpha", "gamma", 1.67326319217681884765625, 1.05070102214813232421875},
    };
    if (strcmp(lorac_node_string(call->run->model, call->node, "approximate", "none"), "tanh") == 0)
        return ref_unary(call->x, "Gelu tanh", 0, 0);
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (lorac_node_is(call->node, attributes[i].op_type))
            return ref_unary(call->x, call->node->op_type,
                             (double)lorac_node_float(call->node, attributes[i].p, (float)attributes[i].p_default),
                             (double)lorac_node_float(call->node, attributes[i].q, (float)attributes[i].q_default));
    return ref_unary(call->x, call->node->op_type, 0, 0);
}

static struct ref_tensor run_copy(const struct call *call)
{
    return ref_copy(call->x);
}

static struct ref_tensor run_gemm(const struct call *call)
{
    struct ref_gemm options = {lorac_node_int(call->node, "transA", 0) != 0,
                               lorac_node_int(call->node, "transB", 0) != 0,
                               (double)lorac_node_float(call->node, "alpha", 1),
                               (double)lorac_node_float(call->node, "beta", 1)};
    return ref_gemm(call->x, input(call, 1), input(call, 2), &options);
}

static struct ref_tensor run_matmul(const struct call *call)
{
    return ref_matmul(call->x, input(call, 1));
}

static const struct ref_operator operators[] = {
    {"Conv", run_conv},
    {"BatchNormalization", run_batch_norm},
    {"Relu", run_relu},
    {"Clip", run_clip},
    {"Add", run_binary},
    {"Sub", run_binary},
    {"Mul", run_binary},
    {"Div", run_binary},
    {"Sum", run_binary},
    {"MaxPool", run_pool},
    {"AveragePool", run_pool},
    {"Gemm", run_gemm},
    {"MatMul", run_matmul},
    {"Identity", run_copy},
    {"Dropout", run_copy},
    {"Softmax", run_softmax},
    {"LogSoftmax", run_softmax},
    {"Cast", run_copy},
    {"Pow", run_binary},
    {"PRelu", run_binary},
    {"Min", run_binary},
    {"Max", run_binary},
    {"Sigmoid", run_unary},
    {"HardSigmoid", run_unary},
    {"HardSwish", run_unary},
    {"Swish", run_unary},
    {"LeakyRelu", run_unary},
    {"ThresholdedRelu", run_unary},
    {"Elu", run_unary},
    {"Selu", run_unary},
    {"Celu", run_unary},
    {"Gelu", run_unary},
    {"Mish", run_unary},
    {"Softplus", run_unary},
    {"Erf", run_unary},
    {"Tanh", run_unary},
    {"Exp", run_unary},
    {"Log", run_unary},
    {"Sqrt", run_unary},
    {"Reciprocal", run_unary},
    {"Neg", run_unary},
    {"Abs", run_unary},
};

static const struct ref_operator *find_operator(const Onnx__NodeProto *node)
{
    const struct {
        const struct ref_operator *operators;
        size_t count;
    } groups[] = {{operators, sizeof operators / sizeof operators[0]},
                  {ref_shape_operators, ref_shape_operator_count},
                  {ref_reduce_operators, ref_reduce_operator_count}};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (size_t k = 0; k < groups[i].count; k++)
            if (lorac_node_is(node, groups[i].operators[k].op_type))
                return &groups[i].operators[k];
    return NULL;
}

const struct ref_tensor *ref_run_forward(struct ref_run *run)
{
    const Onnx__GraphProto *graph = run->model->proto->graph;
    struct call call = {.run = run, .model = run->model, .opset = lorac_model_opset(run->model)};
    for (size_t i = 0; i < graph->n_node; i++) {
        call.node = graph->node[i];
        if (lorac_node_is(call.node, "Constant"))
            continue;
        call.x = input(&call, 0);
        const struct ref_operator *found = find_operator(call.node);
        ref_require(found != NULL && call.x != NULL, "an operator that the oracle does not know");
        for (call.output = 0; call.output < call.node->n_output; call.output++)
            if (call.node->output[call.output][0] != '\0')
                ref_run_set(run, call.node->output[call.output], found->run(&call));
    }
    return ref_run_value(run, graph->output[0]->name);
}
