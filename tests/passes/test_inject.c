// inject: what the graph and the metadata hold afterwards, and what is refused.
#include "inject_options.h"
#include "many_convs.h"

#include "proto/model_edit.h"
#include "proto/rng.h"
#include "proto/tensor.h"

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
    struct lorac_inject_options nothing = with(NULL, "."), override = rank0;
    const struct lorac_inject_override large = {.layers = "conv", .rank = 65537};
    override.overrides = &large;
    override.override_count = 1;
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
        {with_gemm, &override, "--override 'conv': rank is 65537"},
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
        CHECKF(lorac_pass_inject.run(model, table[i].options, &report, NULL) == LORAC_ERROR_ARGUMENT, "row %zu alone", i);
        CHECK_OK(lorac_model_pack(model, &after, &after_count, &error), error);
        CHECKF(before_count == after_count && memcmp(before, after, after_count) == 0, "row %zu changed the model", i);
        free(before);
        free(after);
        lorac_model_free(model);
    }
}

int main(void)
{
    test_graph();
    test_a_values();
    test_fresh_names();
    test_ir3();
    test_meta();
    test_statistics();
    test_refusals();
    return check_report();
}
