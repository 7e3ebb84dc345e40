// inject: what each convolution gets and why, what becomes trainable, what the graph holds afterwards, what is refused.
#include "many_convs.h"

#include "passes/inject.h"
#include "proto/model_edit.h"
#include "proto/rng.h"
#include "proto/tensor.h"

static struct lorac_inject_options with(const char *layers, const char *exclude)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    options.layers = layers;
    options.exclude = exclude;
    return options;
}

// "stem=first convolution; c1=R12 264; ..." of a plan.
static void print_rows(const struct lorac_inject_plan *plan, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct lorac_conv_row *row = &plan->rows[i];
        if (row->adapted)
            used += (size_t)snprintf(text + used, bytes - used, "%s=R%d %d; ", row->name, (int)row->R,
                                     (int)row->adapter_parameters);
        else
            used += (size_t)snprintf(text + used, bytes - used, "%s=%s; ", row->name, row->reason);
        REQUIRE(used < bytes);
    }
}

static void print_trainable(const struct lorac_inject_plan *plan, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < plan->trained_count; i++) {
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? " " : "", plan->trained[i].weight.value);
        REQUIRE(used < bytes);
    }
}

// ---- the plan

#define DEPTHWISE "dw=depthwise: the adapter would be larger than the layer; "
#define HALF "half=R4 48; "
#define COMPUTED "computed=R4 48; "
#define NOT_LISTED "half=not in --layers; computed=not in --layers; "

static void test_rows(void)
{
    struct lorac_inject_options defaults = with(NULL, NULL), plain = defaults, all = defaults, first = defaults;
    plain.setting = LORAC_RANK_PLAIN;
    all.train_all = true;
    first.train_first = true;
    struct lorac_inject_options none = defaults;
    none.train_last = false;
    struct lorac_inject_options layers = with("^(c1|pw|row)", NULL), exclude = with(NULL, "s[12]|row.y");
    struct lorac_inject_options both = with("s", "2");
    const struct {
        const char *head;
        const struct lorac_inject_options *options;
        const char *rows, *trainable;
    } table[] = {
        // R = rank*max(kh, kw): the row convolution has a 1x3 kernel. A [R, Cg*kw] + B [M*kh, R].
        {"Gemm", &defaults,
         "stem=first convolution; c1=R12 288; " DEPTHWISE "pw=R4 40; row.y=R12 288; " HALF COMPUTED
         "inside=R12 432; s1=R12 324; s2=R12 324; ", "head.w head.b"},
        {"MatMul", &plain,
         "stem=first convolution; c1=R4 96; " DEPTHWISE "pw=R4 40; row.y=R4 96; " HALF COMPUTED
         "inside=R4 144; s1=R4 108; s2=R4 108; ", "head.w head.b"},
        {"Conv", &first,
         "stem=first convolution, trained whole; c1=R12 288; " DEPTHWISE "pw=R4 40; row.y=R12 288; " HALF COMPUTED
         "inside=R12 432; s1=R12 324; s2=R12 324; head=last layer, trained whole; ", "stem.w head.w head.b"},
        {"Conv", &none,
         "stem=first convolution; c1=R12 288; " DEPTHWISE "pw=R4 40; row.y=R12 288; " HALF COMPUTED
         "inside=R12 432; s1=R12 324; s2=R12 324; head=last layer; ", ""},
        {"Gemm", &all,
         "stem=first convolution, trained whole; c1=trained whole; dw=trained whole; pw=trained whole; row.y=trained "
         "whole; half=trained whole; computed=trained whole; inside=trained whole; s1=trained whole; s2=trained whole; ",
         "stem.w stem.b c1.w c1.b dw.w pw.w row.w half.w early.copy inside.w shared.w shared.w head.w head.b"},
        {"Gemm", &layers,
         "stem=first convolution; c1=R12 288; dw=not in --layers; pw=R4 40; row.y=R12 288; " NOT_LISTED
         "inside=not in --layers; s1=not in --layers; s2=not in --layers; ", "head.w head.b"},
        {"Gemm", &exclude,
         "stem=first convolution; c1=R12 288; " DEPTHWISE "pw=R4 40; row.y=excluded by --exclude; " HALF COMPUTED
         "inside=R12 432; s1=excluded by --exclude; s2=excluded by --exclude; ", "head.w head.b"},
        {"Gemm", &both,
         "stem=first convolution; c1=not in --layers; dw=not in --layers; pw=not in --layers; row.y=not in --layers; "
         NOT_LISTED "inside=R12 432; s1=R12 324; s2=excluded by --exclude; ", "head.w head.b"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_inject_plan plan;
        char text[4096];
        struct lorac_model *model = many_convs(8, table[i].head);
        if (CHECK_OK(lorac_inject_plan(model, table[i].options, &plan, &error), error)) {
            print_rows(&plan, text, sizeof text);
            CHECK_STRING(text, table[i].rows);
            print_trainable(&plan, text, sizeof text);
            CHECK_STRING(text, table[i].trainable);
            CHECK_STRING(lorac_node_name(plan.last_layer), "head");
        }
        lorac_model_free(model);
    }
}

// The metadata tells convolutions by their names: two of one name get no adapter, also where an unnamed one's output has
// the other's name; another operator of that name does not matter. A weight that is trained for one convolution is copied,
// so that another that shares it gets an adapter.
static void test_rows_of_odd_models(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct small_model small;
    struct lorac_inject_plan plan;
    struct lorac_inject_options options = with(NULL, NULL);
    char text[4096];
    options.train_first = true;
    options.train_last = false;
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 3, 8, 8));
    small_output(&small, "y");
    small_tensor(&small, "first.w", DIMS(3, 3, 3, 3));
    small_tensor(&small, "w", DIMS(3, 3, 3, 3));
    small_node(&small, "Conv", "first", "x first.w", "a");
    small_node(&small, "Conv", "again", "a first.w", "b");
    small_node(&small, "Conv", "twin", "b w", "c");
    small_node(&small, "Conv", "twin", "c w", "d");
    small_node(&small, "Conv", NULL, "d w", "named");
    small_node(&small, "Conv", "named", "named w", "e");
    small_node(&small, "Conv", "own", "e w", "f");
    small_node(&small, "Relu", "own", "f", "y");
    struct lorac_model *model = small_load(&small);
    if (CHECK_OK(lorac_inject_plan(model, &options, &plan, &error), error)) {
        print_rows(&plan, text, sizeof text);
        CHECK_STRING(text, "first=first convolution, trained whole; again=R12 216; "
                           "twin=another node has the same name; twin=another node has the same name; "
                           "named=another node has the same name; named=another node has the same name; "
                           "own=R12 216; ");
    }
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    struct lorac_meta meta;
    if (CHECK_OK(lorac_meta_read(model, &meta, &error), error))
        CHECK(meta.adapter_count == 2 && meta.trainable_count == 5 && meta.copy_count == 1);
    lorac_model_free(model);
}

// [node] gets a subgraph that reads [value].
static void read_inside(struct small_model *small, Onnx__NodeProto *node, const char *value)
{
    Onnx__AttributeProto *attribute = small_alloc(small, sizeof *attribute);
    Onnx__GraphProto *graph = small_alloc(small, sizeof *graph);
    Onnx__NodeProto *inner = small_alloc(small, sizeof *inner);
    onnx__attribute_proto__init(attribute);
    onnx__graph_proto__init(graph);
    onnx__node_proto__init(inner);
    inner->op_type = small_text(small, "Identity");
    inner->n_input = inner->n_output = 1;
    inner->input = small_alloc(small, sizeof *inner->input);
    inner->output = small_alloc(small, sizeof *inner->output);
    inner->input[0] = small_text(small, value);
    inner->output[0] = small_text(small, "inside");
    graph->name = small_text(small, "branch");
    graph->n_node = graph->n_output = 1;
    graph->node = small_alloc(small, sizeof(*graph->node));
    graph->node[0] = inner;
    graph->output = small_alloc(small, sizeof(*graph->output));
    graph->output[0] = small_value(small, "inside", NULL, 0);
    attribute->name = small_text(small, "then_branch");
    attribute->has_type = 1;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    attribute->g = graph;
    node->n_attribute = 1;
    node->attribute = small_alloc(small, sizeof(*node->attribute));
    node->attribute[0] = attribute;
}

// x ─┬ dead
//    └ stem ─┬ read in a subgraph ─ early ┬ gate ─ trunk ─ y
//            └ aux ─ aux.y                └ early.y
static struct lorac_model *with_exits(void)
{
    struct small_model small;
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 3, 8, 8));
    static const char *const outputs[] = {"y", "aux.y", "early.y"};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        small_output(&small, outputs[i]);
    static const char *const weights[] = {"dead.w", "stem.w", "inner.w", "aux.w", "early.w", "trunk.w"};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        small_tensor(&small, weights[i], DIMS(3, 3, 3, 3));
    small_node(&small, "Conv", "dead", "x dead.w", "nobody");
    small_node(&small, "Conv", "stem", "x stem.w", "stem.y");
    small_node(&small, "Conv", "inner", "stem.y inner.w", "inner.y");
    small_node(&small, "Conv", "aux", "stem.y aux.w", "aux.y");
    small_node(&small, "Conv", "early", "stem.y early.w", "early.y");
    read_inside(&small, small_node(&small, "If", "gate", "early.y", "gate.y"), "inner.y");
    small_node(&small, "Conv", "trunk", "gate.y trunk.w", "y");
    return small_load(&small);
}

// What the trained output does not depend on has no gradient: it gets nothing, and is no first convolution.
static void test_reach(void)
{
#define NOT(name, output) name "=does not reach the output '" output "'; "
    struct lorac_inject_options first = with(NULL, NULL);
    first.train_first = true;
    first.train_last = false;
    struct lorac_inject_options aux = first, early = first, all = first;
    aux.output = "aux.y";
    early.output = "early.y";
    all.train_all = true;
    const struct {
        const struct lorac_inject_options *options;
        const char *rows, *trainable;
    } table[] = {
        {&first,
         NOT("dead", "y") "stem=first convolution, trained whole; inner=R12 216; " NOT("aux", "y")
         "early=R12 216; trunk=R12 216; ", "stem.w"},
        {&aux,
         NOT("dead", "aux.y") "stem=first convolution, trained whole; " NOT("inner", "aux.y") "aux=R12 216; "
         NOT("early", "aux.y") NOT("trunk", "aux.y"), "stem.w"},
        {&early,
         NOT("dead", "early.y") "stem=first convolution, trained whole; " NOT("inner", "early.y") NOT("aux", "early.y")
         "early=R12 216; " NOT("trunk", "early.y"), "stem.w"},
        {&all,
         NOT("dead", "y") "stem=first convolution, trained whole; inner=trained whole; " NOT("aux", "y")
         "early=trained whole; trunk=trained whole; ", "stem.w inner.w early.w trunk.w"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        struct lorac_inject_plan plan;
        char text[4096];
        struct lorac_model *model = with_exits();
        if (CHECK_OK(lorac_inject_plan(model, table[i].options, &plan, &error), error)) {
            print_rows(&plan, text, sizeof text);
            CHECK_STRING(text, table[i].rows);
            for (size_t r = 0; r < plan.row_count; r++)
                CHECK(plan.rows[r].left_out == !plan.rows[r].adapted);
            print_trainable(&plan, text, sizeof text);
            CHECK_STRING(text, table[i].trainable);
        }
        // The injected model's rows say the same.
        CHECK_OK(lorac_pass_inject.run(model, table[i].options, &report, &error), error);
        if (CHECK_OK(lorac_inject_plan(model, NULL, &plan, &error), error)) {
            print_rows(&plan, text, sizeof text);
            CHECK_STRING(text, table[i].rows);
        }
        lorac_model_free(model);
    }
#undef NOT
}

// The plan of the injected model says what is there, whatever the options.
static void test_rows_of_injected(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_inject_plan before, after;
    struct lorac_inject_options options = with(NULL, "^c1$");
    char expected[4096], text[4096];
    struct lorac_model *model = many_convs(8, "Conv");
    options.train_first = true;
    options.rank = 2;
    CHECK_OK(lorac_inject_plan(model, &options, &before, &error), error);
    print_rows(&before, expected, sizeof expected);
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    CHECK(report.changed == 7 && report.skipped == before.row_count - 7);
    if (CHECK_OK(lorac_inject_plan(model, NULL, &after, &error), error)) {
        print_rows(&after, text, sizeof text);
        char *excluded = strstr(expected, "excluded by --exclude");
        REQUIRE(excluded);
        memcpy(excluded, "no adapter was injected", strlen("no adapter was inject"));
        char *same = strstr(text, "no adapter was injected");
        CHECKF(same && same - text == excluded - expected, "%s", text);
        print_trainable(&after, text, sizeof text);
        CHECK_STRING(text, "stem.w head.w head.b");
        CHECK(after.parameters == before.parameters);
        CHECK(after.trainable_parameters == before.trainable_parameters);
    }
    lorac_model_free(model);
}

static void test_totals(void)
{
    struct lorac_error error = {0};
    struct lorac_inject_plan plan;
    struct lorac_inject_options options = with(NULL, NULL);
    struct lorac_model *model = many_convs(8, "Gemm");
    CHECK_OK(lorac_inject_plan(model, &options, &plan, &error), error);
    // stem 108+4, c1 144+4, dw 36, pw 24, row 108, half 36, early 36, inside 324, shared 162, head 30+5
    CHECKF(plan.parameters == 1021, "parameters %d", (int)plan.parameters);
    CHECKF(plan.trainable_parameters == 288 + 40 + 288 + 48 + 48 + 432 + 324 + 324 + 35, "trainable %d",
           (int)plan.trainable_parameters);
    CHECK(plan.batch_norm_count == 0);
    lorac_model_free(model);
}

// ---- the graph afterwards

static void check_initializer(struct lorac_model *model, const char *name, int32_t type, const int64_t *dims,
                              size_t dim_count)
{
    const Onnx__TensorProto *tensor = lorac_model_initializer(model, name);
    if (!CHECKF(tensor != NULL, "no initialiser '%s'", name))
        return;
    CHECKF(tensor->data_type == type && tensor->n_dims == dim_count, "'%s' type or rank", name);
    for (size_t i = 0; i < dim_count && i < tensor->n_dims; i++)
        CHECKF(tensor->dims[i] == dims[i], "'%s' dimension %zu is %d", name, i, (int)tensor->dims[i]);
}

static void check_node(const Onnx__NodeProto *node, const char *op_type, const char *name, const char *left,
                       const char *right)
{
    char output[64];
    snprintf(output, sizeof output, "%s_output", name);
    CHECK(lorac_node_is(node, op_type));
    CHECK_STRING(lorac_node_name(node), name);
    CHECK_STRING(lorac_node_input(node, 0), left);
    CHECK_STRING(lorac_node_input(node, 1), right);
    CHECK_STRING(node->output[0], output);
}

// The names are the contract of docs/format.md.
static void test_graph(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_model *model = many_convs(8, "Gemm");
    size_t nodes = model->proto->graph->n_node, tensors = model->proto->graph->n_initializer;
    struct lorac_inject_options options = with("^c1$", NULL);
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    const Onnx__GraphProto *graph = model->proto->graph;
    CHECK(graph->n_node == nodes + 4 && graph->n_initializer == tensors + 4 && graph->n_input == 1);
    check_initializer(model, "c1/lora_A", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, DIMS(12, 12));
    check_initializer(model, "c1/lora_B", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, DIMS(12, 12));
    check_initializer(model, "c1/lora_shape", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, DIMS(4));
    check_initializer(model, "c1/lora_scale", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NULL, 0);
    check_node(graph->node[1], "MatMul", "c1/lora_MatMul", "c1/lora_B", "c1/lora_A");
    check_node(graph->node[2], "Reshape", "c1/lora_Reshape", "c1/lora_MatMul_output", "c1/lora_shape");
    check_node(graph->node[3], "Mul", "c1/lora_Mul", "c1/lora_Reshape_output", "c1/lora_scale");
    check_node(graph->node[4], "Add", "c1/lora_Add", "c1.w", "c1/lora_Mul_output");
    CHECK_STRING(lorac_node_input(graph->node[5], 1), "c1/lora_Add_output");
    float scale = 0, b[144];
    int64_t shape[4];
    CHECK_OK(lorac_tensor_to_float(lorac_model_initializer(model, "c1/lora_scale"), &scale, 1, &error), error);
    CHECK_OK(lorac_tensor_to_int64(lorac_model_initializer(model, "c1/lora_shape"), shape, 4, &error), error);
    CHECK_OK(lorac_tensor_to_float(lorac_model_initializer(model, "c1/lora_B"), b, 144, &error), error);
    CHECK(scale == 2.0f && shape[0] == 4 && shape[1] == 4 && shape[2] == 3 && shape[3] == 3);
    for (size_t i = 0; i < 144; i++)
        CHECK(b[i] == 0);
    lorac_model_free(model);
}

// A's values: the formula of docs/format.md, the seed and the name decide alone.
static void test_a_values(void)
{
    struct lorac_error error = {0};
    struct lorac_inject_options options = with(NULL, NULL), fewer = with(NULL, "^(c1|pw|s1)$"), other = options;
    other.seed = fewer.seed = options.seed = 7;
    other.seed++;
    const struct lorac_inject_options *const runs[] = {&options, &fewer, &other};
    float a[3][12 * 9];
    for (size_t r = 0; r < 3; r++) {
        struct lorac_pass_report report = {0};
        struct lorac_model *model = many_convs(8, "Gemm");
        CHECK_OK(lorac_pass_inject.run(model, runs[r], &report, &error), error);
        CHECK_OK(lorac_tensor_to_float(lorac_model_initializer(model, "s2/lora_A"), a[r], 12 * 9, &error), error);
        lorac_model_free(model);
    }
    struct lorac_rng rng;
    lorac_rng_init(&rng, 7, "lora_A", lorac_rng_hash_name("s2"), 0);
    for (size_t i = 0; i < 12 * 9; i++) {
        float expected = (float)((2.0 * lorac_rng_uniform(&rng) - 1.0) * (1.0 / sqrt(9.0)));
        CHECKF(a[0][i] == expected, "element %zu is %g, expected %g", i, (double)a[0][i], (double)expected);
    }
    CHECK(memcmp(a[0], a[1], sizeof a[0]) == 0);
    CHECK(memcmp(a[0], a[2], sizeof a[0]) != 0);
}

// Names that are taken, whoever has them, are not taken twice.
static void test_fresh_names(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct small_model small;
    struct lorac_meta meta;
    build_many_convs(&small, 8, "Gemm");
    small_tensor(&small, "c1/lora_A", DIMS(1));
    small_node(&small, "Identity", "c1/lora_B", "x", "c1/lora_Add_output");
    struct lorac_model *model = small_load(&small);
    struct lorac_inject_options options = with("^c1$", NULL);
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    CHECK_OK(lorac_meta_read(model, &meta, &error), error);
    if (CHECK(meta.adapter_count == 1)) {
        CHECK_STRING(meta.adapters[0].a, "c1/lora_A_1");
        CHECK_STRING(meta.adapters[0].b, "c1/lora_B_1");
        struct lorac_adapter_site site;
        if (CHECK_OK(lorac_adapter_locate(model, &meta.adapters[0], model->arena, &site, &error), error))
            CHECK_STRING(site.nodes[site.node_count - 1]->output[0], "c1/lora_Add_output_1");
    }
    lorac_model_free(model);
}

// In IR 3 an initialiser must be a graph input too.
static void test_ir3(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_model *model = many_convs(3, "Gemm");
    size_t inputs = model->proto->graph->n_input;
    struct lorac_inject_options options = with("^c1$", NULL);
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    CHECK(model->proto->graph->n_input == inputs + 4);
    CHECK_STRING(model->proto->graph->input[inputs]->name, "c1/lora_A");
    CHECK_OK(lorac_model_check(model, &error), error);
    lorac_model_free(model);
}

static void test_meta(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_meta meta;
    char plain_hash[33] = "", injected_hash[33] = "";
    struct lorac_model *model = many_convs(8, "Gemm");
    struct lorac_inject_options options = with(NULL, NULL);
    options.seed = UINT64_MAX;
    options.alpha = 0.1;
    options.tool = "a test";
    options.input = (struct lorac_input_meta){
        .given = true, .scale = 1, .mean_count = 3, .mean = {0.485, 0.456, 0.406}};
    CHECK_OK(lorac_base_hash(model, NULL, plain_hash, &error), error);
    CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
    if (CHECK_OK(lorac_meta_read(model, &meta, &error), error)) {
        CHECK(meta.injected && meta.adapter_count == 8 && meta.trainable_count == 18);
        CHECK_STRING(meta.base_hash, plain_hash);
        CHECK_OK(lorac_base_hash(model, &meta, injected_hash, &error), error);
        CHECK_STRING(injected_hash, plain_hash);
        CHECK_STRING(meta.trainable[0], "c1/lora_A");
        CHECK_STRING(meta.trainable[1], "c1/lora_B");
        CHECK_STRING(meta.trainable[16], "head.w");
        CHECK_STRING(meta.adapters[2].conv, "row.y");
        CHECK_STRING(meta.adapters[5].weight, "inside.w");
        CHECK_STRING(meta.tool, "a test");
        CHECK_STRING(lorac_model_metadata(model, "lorac.format"), "2"); // 'half' and 'computed'
        CHECK(meta.seed == UINT64_MAX && meta.adapters[0].alpha == 0.1 && meta.input.mean[0] == 0.485);
    }
    CHECK(!lorac_pass_inject.applies(model, &options));
    lorac_model_free(model);
}

// ---- refusals

static struct lorac_model *no_last_layer(void)
{
    struct small_model small;
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 3, 8, 8));
    small_output(&small, "y");
    small_tensor(&small, "a.w", DIMS(3, 3, 3, 3));
    small_tensor(&small, "b.w", DIMS(3, 3, 3, 3));
    small_node(&small, "Conv", "a", "x a.w", "a.y");
    small_node(&small, "Conv", "b", "a.y b.w", "b.y");
    small_node(&small, "Add", "join", "b.y x", "y");
    return small_load(&small);
}

static struct lorac_model *injected_already(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_model *model = many_convs(8, "Gemm");
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, NULL, &report, &error), error));
    return model;
}

static struct lorac_model *with_gemm(void)
{
    return many_convs(8, "Gemm");
}

// Two convolutions of one name, and nothing else that could be trained.
static struct lorac_model *twins(void)
{
    struct small_model small;
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 3, 8, 8));
    small_output(&small, "y");
    small_tensor(&small, "w", DIMS(3, 3, 3, 3));
    small_node(&small, "Conv", "first", "x w", "a");
    small_node(&small, "Conv", "twin", "a w", "b");
    small_node(&small, "Conv", "twin", "b w", "y");
    return small_load(&small);
}

// Two BatchNormalizations n1 and n2, the second with the statistics given; [use] NULL or a value that a node uses too.
static struct lorac_model *with_statistics(const char *mean_and_variance, const char *use, const char *second_output)
{
    struct small_model small;
    char inputs[64];
    snprintf(inputs, sizeof inputs, "b s s %s", mean_and_variance);
    small_init(&small, 8, 13);
    small_input(&small, "x", DIMS(1, 3, 8, 8));
    small_output(&small, "y");
    if (second_output)
        small_output(&small, second_output);
    static const char *const vectors[] = {"s", "m1", "v1", "m2", "v2", "early"};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        small_tensor(&small, vectors[i], DIMS(3));
    small_tensor(&small, "w", DIMS(3, 3, 3, 3));
    small_constant(&small, "inside", DIMS(3));
    small_node(&small, "Identity", "copy", "early", "computed");
    if (use)
        small_node(&small, "Identity", "user", use, "used");
    small_node(&small, "Conv", "conv", "x w", "a");
    small_node(&small, "BatchNormalization", "n1", "a s s m1 v1", "b");
    small_node(&small, "BatchNormalization", "n2", inputs, "c");
    small_node(&small, "Conv", "conv2", "c w", "y");
    return small_load(&small);
}

static void test_statistics(void)
{
    const struct {
        const char *statistics, *use, *output;
        const char *message; // NULL: trained
        size_t copies;       // of the statistics that others use or compute
    } table[] = {
        {"m2 v2", NULL, NULL, NULL, 0},
        {"inside v2", NULL, NULL, NULL, 0},
        {"m2 v1", NULL, NULL, NULL, 2}, // of both nodes
        {"m2 m2", NULL, NULL, NULL, 2},
        {"s v2", NULL, NULL, NULL, 1},
        {"m2 v2", "v2", NULL, NULL, 1},
        {"inside v2", "inside", NULL, NULL, 1},
        {"m2 v2", NULL, "m2", NULL, 1},
        {"m2 computed", NULL, NULL, NULL, 1},
        {"m2 x", NULL, NULL, "node 'n2' (BatchNormalization): its statistics 'x' are no floating constant", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        struct lorac_inject_options options = with(NULL, NULL);
        struct lorac_model *model = with_statistics(table[i].statistics, table[i].use, table[i].output);
        options.train_last = false;
        CHECKF(lorac_pass_inject.applies(model, &options), "row %zu, frozen", i);
        options.bn = LORAC_BN_TRAIN;
        CHECK(lorac_pass_inject.applies(model, &options) == !table[i].message);
        enum lorac_status status = lorac_pass_inject.run(model, &options, &report, &error);
        CHECKF(status == (table[i].message ? LORAC_ERROR_ARGUMENT : LORAC_OK), "row %zu: %s", i, error.message);
        CHECKF(!table[i].message || strstr(error.message, table[i].message), "row %zu: %s", i, error.message);
        struct lorac_meta meta;
        if (!table[i].message && CHECK_OK(lorac_meta_read(model, &meta, &error), error))
            CHECKF(meta.copy_count == table[i].copies && report.note_count == table[i].copies, "row %zu: %zu copies", i,
                   meta.copy_count);
        lorac_model_free(model);
    }
}

static void test_refusals(void)
{
    struct lorac_inject_options rank0 = with(NULL, NULL), rank_large = rank0, alpha0 = rank0, alpha_nan = rank0,
                                huge = rank0, bn = rank0, mean2 = rank0, std0 = rank0, defaults = rank0,
                                untrained = rank0;
    struct lorac_inject_options layers = with("(", NULL), exclude = with(NULL, "[a"), nowhere = with("nothing", NULL);
    struct lorac_inject_options nothing = with(NULL, ".");
    rank0.rank = 0;
    rank_large.rank = 65537;
    alpha0.alpha = 0;
    alpha_nan.alpha = (double)NAN;
    huge.alpha = 1e300;
    bn.bn = LORAC_BN_TRAIN;
    mean2.input = (struct lorac_input_meta){.given = true, .scale = 1, .mean_count = 2};
    std0.input = (struct lorac_input_meta){.given = true, .scale = 1, .std_count = 1};
    nothing.train_last = untrained.train_last = false;
    const struct {
        struct lorac_model *(*model)(void);
        const struct lorac_inject_options *options;
        const char *message; // a part of it
    } table[] = {
        {with_gemm, &rank0, "rank is 0; it must be 1 to 65536"},
        {with_gemm, &rank_large, "rank is 65537"},
        {with_gemm, &alpha0, "alpha is 0"},
        {with_gemm, &alpha_nan, "alpha is nan"},
        {with_gemm, &huge, "alpha/rank is 2.5e+299"},
        {with_gemm, &bn, "use --bn frozen"},
        {with_gemm, &mean2, "input mean has 2 values, but the model's input has 3 channels"},
        {with_gemm, &std0, "input std value 0 is 0; it must be finite and above 0"},
        {with_gemm, &layers, "--layers '('"},
        {with_gemm, &exclude, "--exclude '[a'"},
        {with_gemm, &nowhere, "--layers 'nothing' leaves no convolution"},
        {with_gemm, &nothing, "nothing would be trainable"},
        {injected_already, &defaults, "merge it first"},
        {twins, &untrained, "nothing would be trainable"},
        {no_last_layer, &defaults, "'join' (Add) is in the way; use --no-train-last"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        struct lorac_model *model = table[i].model();
        uint8_t *before = NULL, *after = NULL;
        size_t before_count = 0, after_count = 1;
        CHECK_OK(lorac_model_pack(model, &before, &before_count, &error), error);
        CHECK(!lorac_pass_inject.applies(model, table[i].options));
        CHECKF(lorac_pass_inject.run(model, table[i].options, &report, &error) == LORAC_ERROR_ARGUMENT, "row %zu: %s",
               i, error.message);
        CHECKF(strstr(error.message, table[i].message) != NULL, "row %zu: %s", i, error.message);
        CHECK_OK(lorac_model_pack(model, &after, &after_count, &error), error);
        CHECKF(before_count == after_count && memcmp(before, after, after_count) == 0, "row %zu changed the model", i);
        free(before);
        free(after);
        lorac_model_free(model);
    }
}

int main(void)
{
    test_rows();
    test_rows_of_odd_models();
    test_reach();
    test_rows_of_injected();
    test_totals();
    test_graph();
    test_a_values();
    test_fresh_names();
    test_ir3();
    test_meta();
    test_statistics();
    test_refusals();
    return check_report();
}
