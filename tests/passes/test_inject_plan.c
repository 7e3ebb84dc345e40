// inject's plan: what each convolution gets and why, what becomes trainable; before it is done, and read back afterwards.
#include "inject_options.h"
#include "many_convs.h"

#include "proto/model_edit.h"

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

int main(void)
{
    test_rows();
    test_rows_of_odd_models();
    test_reach();
    test_rows_of_injected();
    test_totals();
    return check_report();
}
