// make_corpus FOLDER DICTIONARY: writes the seeds of the fuzzer, small models that between them have every operator,
// and the dictionary of its words. Both are committed; run it again where a row is added.
#include "words.h"

#include "passes/inject.h"
#include "ref/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "; p=GlobalAveragePool(e); f=Flatten(p); y=Gemm(f, hw[3,4], hb[3]) transB=1"

struct seed {
    const char *name;
    enum { PLAIN, WEIGHT, BRANCH } injected; // with adapters of which form; BRANCH: and all metadata there is
    int64_t opset;
    int64_t dims[4]; // of the input
    const char *text;
};

// The bodies of the local functions that the seeds call: input x, output the last value.
static const struct {
    const char *name, *text;
    int64_t dims[4]; // of x, for the builder alone
} FUNCTIONS[] = {
    {"Act", "t=Sigmoid(x); l=LeakyRelu(x) alpha=0.25; y=Mul(t, l)", {1, 4, 4, 4}},
    {"Block", "a=Conv(x, w[4,4,1,1]!) kernel_shape=[1,1]; b=Act(a); c=Act(b); y=Add(x, c)", {1, 4, 4, 4}},
};

// clang-format off
static const struct seed SEEDS[] = {
    {"plain", PLAIN, 17, {1, 2, 6, 6},
     "a=Conv(x, w1[4,2,3,3], b1[4]) pads=[1,1,1,1]; r=Relu(a); e=Conv(r, w2[4,4,3,3]) pads=[1,1,1,1]" HEAD},
    {"injected", WEIGHT, 17, {1, 2, 6, 6},
     "a=Conv(x, w1[4,2,3,3]) pads=[1,1,1,1]; r=Relu(a); e=Conv(r, w2[4,4,3,3]) pads=[1,1,1,1]" HEAD},
    {"residual", PLAIN, 17, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,1,1]); b=Conv(a, w2[4,4,3,3]) pads=[1,1,1,1] lora=kernel:1:2; s=Add(a, b); e=Relu(s)" HEAD},
    {"batch_norm", PLAIN, 17, {1, 2, 6, 6},
     "a=Conv(x, w1[4,2,3,3]) auto_pad=SAME_UPPER; n=BatchNormalization(a, g[4], bb[4], m[4], v[4]+) epsilon=0.001; "
     "e=Conv(n, w2[4,4,1,1])" HEAD},
    {"pools", PLAIN, 17, {1, 2, 9, 9},
     "a=Conv(x, w1[4,2,3,3]) strides=[2,2] pads=[0,1,2,1]; b=MaxPool(a) kernel_shape=[3,3] strides=[2,2] "
     "pads=[1,1,1,1] ceil_mode=1; c=Conv(b, w2[4,4,1,1]); e=AveragePool(c) kernel_shape=[2,2] pads=[1,1,1,1] "
     "count_include_pad=1" HEAD},
    {"groups", PLAIN, 17, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,1,1]); b=Conv(a, w2[4,2,3,3]) group=2 dilations=[2,2] pads=[2,2,2,2]; c=Conv(b, w3[4,1,3,3]) "
     "group=4; e=Clip(c, lo<0.0>, hi<6.0>)" HEAD},
    {"reduce_reshape", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,1,1]); p=ReduceMean(b) axes=[2,3] keepdims=0; m=MatMul(p, mw[4,3]); "
     "y=Add(m, mb[3])"},
    {"shape", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,1,1]); p=GlobalAveragePool(b); s=Shape(p); g=Gather(s, i{0}[]) axis=0; "
     "u=Unsqueeze(g, ax{0}); c=Concat(u, mone{-1}) axis=0; f=Reshape(p, c); y=Gemm(f, hw[3,4]) transB=1"},
    {"softmax", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]); d=Dropout(a); b=Conv(d, w2[4,4,3,3]) pads=[1,1,1,1]; e=Identity(b); "
     "p=GlobalAveragePool(e); f=Flatten(p); l=Gemm(f, hw[3,4], hb[3]) transB=1; y=Softmax(l) axis=1"},
    {"log_softmax", PLAIN, 13, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3]) pads=[1,1,1,1]; e=Sum(a, b, b); p=GlobalAveragePool(e); "
     "f=Flatten(p); l=Gemm(f, hw[4,3]) alpha=0.5 beta=2.0; y=LogSoftmax(l)"},
    {"pad_slice", PLAIN, 17, {1, 2, 6, 6},
     "a=Pad(x, pads{0,0,1,1,0,0,2,2}) mode=reflect; b=Conv(a, w1[4,2,3,3]); s=Slice(b, st{0,0}, en{4,4}, ax{2,3}, "
     "sp{2,1}); e=Conv(s, w2[4,4,1,1])" HEAD},
    {"constants", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]!); i=Identity(w2[4,4,1,1]); b=Conv(a, i); k=ConstantOfShape(sh{4,4,1,1}) value=<0.5>; "
     "e=Conv(b, k)" HEAD},
    {"conv_head", PLAIN, 17, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3]) pads=[1,1,1,1]; p=GlobalAveragePool(b); c=Conv(p, w3[3,4,1,1], "
     "b3[3]); y=Flatten(c)"},
    {"channels_last", PLAIN, 17, {1, 6, 6, 2},
     "t=Transpose(x) perm=[0,3,1,2]; a=Conv(t, w1[4,2,3,3]); u=Transpose(a) perm=[0,2,3,1]; v=Transpose(u) "
     "perm=[0,3,1,2]; e=Conv(v, w2[4,4,1,1])" HEAD},
    {"squeeze_excite", PLAIN, 17, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); q=GlobalAveragePool(a); r=Conv(q, w2[2,4,1,1]); s=Relu(r); t=Conv(s, w3[4,2,1,1]); "
     "g=Sigmoid(t); e=Mul(a, g)" HEAD},
    {"activations", PLAIN, 20, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); b=LeakyRelu(a) alpha=0.1; c=PRelu(b, sl[4,1,1]); d=Elu(c); f1=HardSigmoid(d); "
     "f2=HardSwish(f1); f3=Gelu(f2); e=Conv(f3, w2[4,4,1,1])" HEAD},
    {"arithmetic", PLAIN, 17, {1, 2, 5, 5},
     "c1=Sub(x, mean[2,1,1]); c2=Div(c1, std[2,1,1]+); a=Conv(c2, w1[4,2,3,3]); h=Mul(a, half<0.5>); "
     "q=Sqrt(pos[4,1,1]+); s=Mul(h, q); e=Conv(s, w2[4,4,1,1])" HEAD},
    {"resize", PLAIN, 17, {1, 2, 6, 6},
     "a=Conv(x, w1[4,2,3,3]); r=Resize(a, -, sc<1.,1.,2.,2.>) mode=nearest; b=Conv(r, w2[4,4,3,3]); e=Resize(b, -, -, "
     "sz{1,4,3,3}) mode=linear" HEAD},
    {"norms", PLAIN, 21, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); n=InstanceNormalization(a, g1[4], b1[4]); q=GroupNormalization(n, g2[4], b2[4]) "
     "num_groups=2; e=Conv(q, w2[4,4,1,1])" HEAD},
    {"casts", PLAIN, 17, {1, 2, 5, 5},
     "z=CastLike(w2[4,4,1,1], like<1.0>); k=Cast(z) to=1; t=Transpose(k) perm=[1,0,2,3]; a=Conv(x, w1[4,2,3,3]); "
     "b=Conv(a, t); ex=Expand(bias[1,1,1], es{4,1,1}); e=Add(b, ex)" HEAD},
    {"argmax", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,3,3]); e=Conv(a, w2[4,4,1,1]); p=ReduceSum(e, ax{2,3}) keepdims=0; q=Squeeze(e1[1,4,1], qa{0}); "
     "m=Squeeze(q); y=Add(p, m)"},
    {"quantised", PLAIN, 17, {1, 2, 4, 4},
     "q=Cast(wq{1,-2,3,4,-5,6,7,-8,9,1,-2,3,4,5,6,-7}[4,4,1,1]) to=3; d=DequantizeLinear(q, s<0.05>); "
     "a=Conv(x, w1[4,2,3,3]); e=Conv(a, d)" HEAD},
    {"half", PLAIN, 17, {1, 2, 4, 4},
     "h=Cast(w2[4,4,1,1]) to=10; i=Cast(h) to=1; a=Conv(x, w1[4,2,3,3]); b=Conv(a, i); c=Cast(b) to=10; "
     "e=Cast(c) to=1" HEAD},
    {"joins", PLAIN, 18, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); b=Concat(a, a) axis=1; c=Gather(b, i{0,3,5,7}) axis=1; t=Tile(c, r{1,1,2,1}); "
     "d=DepthToSpace(t) blocksize=2; s=SpaceToDepth(d) blocksize=2; e=Conv(s, w2[4,4,1,1])" HEAD},
    {"reductions", PLAIN, 18, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); b=ReduceMax(a, r1{3}) keepdims=1; c=Mul(a, b); d=ReduceMin(c, r2{2,3}); g=Sub(c, d); "
     "h=ReduceL2(g, r3{1}) keepdims=1; l=Softplus(h); m=Div(g, l); n=Max(m, a); o=Min(n, k<2.0>); e=Tanh(o)" HEAD},
    {"layer_norm", PLAIN, 17, {1, 2, 5, 5},
     "a=Conv(x, w1[4,2,3,3]); t=Transpose(a) perm=[0,2,3,1]; n=LayerNormalization(t, g[4], b[4]) axis=-1; "
     "u=Transpose(n) perm=[0,3,1,2]; v=Pow(u, two<2.0>); z=Neg(v); y1=Exp(z); e=Conv(y1, w2[4,4,1,1])" HEAD},
    {"shared", PLAIN, 17, {1, 2, 4, 4},
     "a=Conv(x, w1[4,2,1,1]); b=Conv(a, w2[4,4,1,1], bb[4]); c=Conv(b, w2, bb); s=Mul(c, w2); i=Identity(bb); "
     "e=Conv(c, w2, i)" HEAD},
    {"branch", BRANCH, 17, {1, 2, 6, 6},
     "a=Conv(x, w1[4,2,3,3]) pads=[1,1,1,1]; r=Relu(a); e=Conv(r, w2[4,4,3,3]) pads=[1,1,1,1]" HEAD},
    {"functions", PLAIN, 17, {1, 2, 4, 4}, "a=Conv(x, w1[4,2,1,1]); b=Block(a) alpha=0.5; e=Block(b)" HEAD},
    {"comparisons", PLAIN, 17, {1, 2, 4, 4},
     "g=Greater(w2[4,4,1,1], z<0.0>); l=LessOrEqual(w2, one<1.0>); o=And(g, l); n=Not(o); q=Xor(o, n); u=Or(q, g); "
     "k=Where(u, w2, z); m=Mod(k, z3<0.75>) fmod=1; a=Conv(x, w1[4,2,1,1]); e=Conv(a, m)" HEAD},
    {"normalised_weight", PLAIN, 17, {1, 2, 4, 4},
     "m=ReduceMean(w2[4,4,1,1]) axes=[1,2,3] keepdims=1; d=Sub(w2, m); "
     "v=BatchNormalization(d, g[4], b[4], mm[4], mv[4]+); a=Conv(x, w1[4,2,1,1]); e=Conv(a, v)" HEAD},
};
// clang-format on

static void stop(const char *what, const char *name)
{
    fprintf(stderr, "make_corpus: %s '%s'\n", what, name);
    exit(1);
}

// ---- local functions

static void *take(struct lorac_model *model, size_t count, size_t each)
{
    void *memory = lorac_arena_alloc_array(model->arena, count, each);
    if (!memory)
        stop("out of memory for", "a seed");
    return memory;
}

static void import_domain(struct lorac_model *model, char *domain)
{
    Onnx__ModelProto *proto = model->proto;
    Onnx__OperatorSetIdProto **list = take(model, proto->n_opset_import + 1, sizeof *list);
    Onnx__OperatorSetIdProto *import = take(model, 1, sizeof *import);
    onnx__operator_set_id_proto__init(import);
    import->domain = domain;
    import->has_version = 1;
    import->version = 1;
    memcpy(list, proto->opset_import, proto->n_opset_import * sizeof *list);
    list[proto->n_opset_import++] = import;
    proto->opset_import = list;
}

// Nodes that call a function say so; true where one does.
static bool mark_calls(struct lorac_model *model, Onnx__NodeProto **nodes, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof FUNCTIONS / sizeof *FUNCTIONS; k++)
            if (strcmp(nodes[i]->op_type, FUNCTIONS[k].name) == 0) {
                nodes[i]->domain = lorac_arena_strdup(model->arena, "local");
                any = true;
            }
    return any;
}

static Onnx__FunctionProto *make_function(struct lorac_model *model, const struct graph *body, size_t which)
{
    const Onnx__GraphProto *graph = body->model->proto->graph;
    Onnx__FunctionProto *function = take(model, 1, sizeof *function);
    onnx__function_proto__init(function);
    function->name = (char *)(uintptr_t)FUNCTIONS[which].name;
    function->domain = (char *)(uintptr_t) "local";
    function->opset_import = model->proto->opset_import;
    function->n_opset_import = model->proto->n_opset_import;
    function->input = take(model, 1, sizeof(char *));
    function->output = take(model, 1, sizeof(char *));
    function->input[0] = graph->input[0]->name;
    function->output[0] = graph->output[0]->name;
    function->n_input = function->n_output = 1;
    function->node = graph->node;
    function->n_node = graph->n_node;
    mark_calls(model, function->node, function->n_node);
    // The caller's alpha goes on to where the body has one.
    function->attribute = take(model, 1, sizeof(char *));
    function->attribute[function->n_attribute++] = (char *)(uintptr_t) "alpha";
    for (size_t i = 0; i < function->n_node; i++)
        for (size_t k = 0; k < function->node[i]->n_attribute; k++)
            if (strcmp(function->node[i]->attribute[k]->name, "alpha") == 0) {
                function->node[i]->attribute[k]->ref_attr_name = function->attribute[0];
                function->node[i]->attribute[k]->has_f = 0;
            }
    return function;
}

static void write_with_functions(struct lorac_model *model, const char *path)
{
    enum { COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS };
    struct lorac_error error = {0};
    struct graph bodies[COUNT];
    import_domain(model, (char *)(uintptr_t) "local");
    model->proto->functions = take(model, COUNT, sizeof *model->proto->functions);
    model->proto->n_functions = COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        struct graph_spec spec = {.text = FUNCTIONS[i].text};
        memcpy(spec.dims, FUNCTIONS[i].dims, sizeof spec.dims);
        bodies[i] = graph_build(&spec);
        model->proto->functions[i] = make_function(model, &bodies[i], i);
    }
    if (lorac_model_save(model, path, &error) != LORAC_OK)
        stop(error.message, path);
    for (size_t i = 0; i < COUNT; i++)
        graph_free(&bodies[i]);
}

// ---- one seed

static void inject_seed(struct graph *graph, const struct seed *seed)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_inject_options options = lorac_inject_options_default();
    if (seed->injected == BRANCH) {
        options.form = LORAC_FORM_BRANCH;
        options.input = (struct lorac_input_meta){
            .given = true, .scale = 1, .mean_count = 1, .mean = {0.5}, .std_count = 2, .std = {0.5, 0.25}};
        options.output = "y";
    }
    if (lorac_pass_inject.run(graph->model, &options, &report, &error) != LORAC_OK)
        stop(error.message, seed->name);
}

static void write_seed(const char *folder, const struct seed *seed)
{
    struct lorac_error error = {0};
    struct graph_spec spec = {.text = seed->text, .opset = seed->opset};
    memcpy(spec.dims, seed->dims, sizeof spec.dims);
    struct graph graph = graph_build(&spec);
    const Onnx__GraphProto *proto = graph.model->proto->graph;
    if (graph.meta.adapter_count > 0) {
        graph.meta.base_hash = "0123456789abcdef0123456789abcdef";
        graph.meta.tool = "make_corpus";
        if (lorac_meta_write(graph.model, &graph.meta, &error) != LORAC_OK)
            stop(error.message, seed->name);
    }
    if (seed->injected != PLAIN)
        inject_seed(&graph, seed);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.onnx", folder, seed->name);
    if (mark_calls(graph.model, proto->node, proto->n_node))
        write_with_functions(graph.model, path);
    else if (lorac_model_save(graph.model, path, &error) != LORAC_OK)
        stop(error.message, path);
    graph_free(&graph);
}

static void write_dictionary(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        stop("cannot write", path);
    fputs("# The words of words.h, written by make_corpus.\n", file);
#define WORD(text) text,
#define ATTRIBUTE(name, type) name,
    static const char *const words[] = {FUZZ_OPERATORS(WORD) FUZZ_ATTRIBUTES(ATTRIBUTE) FUZZ_STRINGS(WORD)};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i][0])
            fprintf(file, "\"%s\"\n", words[i]);
    if (fclose(file) != 0)
        stop("cannot write", path);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        stop("usage: make_corpus FOLDER DICTIONARY; not", argc > 0 ? argv[0] : "");
    for (size_t i = 0; i < sizeof SEEDS / sizeof *SEEDS; i++)
        write_seed(argv[1], &SEEDS[i]);
    write_dictionary(argv[2]);
    return 0;
}
