// merge: the arithmetic, shared weights, what stays and what goes, and merge(inject(x)) == x to the byte.
#include "many_convs.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

#include <unistd.h>

static void inject(struct lorac_model *model, const struct lorac_inject_options *options)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, options, &report, &error), error));
}

static struct lorac_pass_report merge(struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    CHECK(lorac_pass_merge.applies(model, NULL));
    REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
    CHECK(!lorac_pass_merge.applies(model, NULL));
    CHECK_OK(lorac_model_check(model, &error), error);
    return report;
}

static float *read_floats(struct lorac_model *model, const char *name, size_t *count)
{
    struct lorac_error error = {0};
    struct lorac_weight weight;
    REQUIRE(CHECK_OK(lorac_weight_find(model, name, &weight, &error), error));
    *count = weight.count;
    float *values = malloc((*count + 1) * sizeof *values);
    REQUIRE(values);
    REQUIRE(CHECK_OK(lorac_weight_to_float(model, &weight, values, *count, &error), error));
    return values;
}

// Fills the initialiser with numbers of both signs that float32 does not round away.
static void fill(struct lorac_model *model, const char *name)
{
    struct lorac_error error = {0};
    size_t count;
    float *values = read_floats(model, name, &count);
    for (size_t i = 0; i < count; i++)
        values[i] = sinf(0.7f * (float)i + (float)strlen(name)) * 0.3f;
    CHECK_OK(lorac_tensor_set_float(model, lorac_model_initializer(model, name), values, count, &error), error);
    free(values);
}

static const Onnx__NodeProto *node_named(const struct lorac_model *model, const char *name)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strcmp(lorac_node_name(model->proto->graph->node[i]), name) == 0)
            return model->proto->graph->node[i];
    REQUIRE(!"the node is there");
    return NULL;
}

// ---- the arithmetic

// One merged weight against the method's definition, element by element: W[o, c, a, b] is flat element
// ((o*Cg + c)*kh + a)*kw + b of view(B@A), which is B@A's row flat / (Cg*kw) and column flat % (Cg*kw).
static void check_weight(const struct lorac_adapter_site *site, double s, const float *w0, const float *a,
                         const float *b, const float *merged, const char *conv)
{
    size_t columns = (size_t)(site->Cg * site->kw), R = (size_t)site->R;
    size_t count = (size_t)(site->M * site->kh) * columns;
    for (size_t i = 0; i < count; i++) {
        double product = 0;
        for (size_t r = 0; r < R; r++)
            product += (double)b[i / columns * R + r] * (double)a[r * columns + i % columns];
        float expected = (float)lorac_constant_round(site->weight.data_type, (double)w0[i] + s * product);
        // Both sum in double; only the order may differ.
        CHECKF(fabsf(merged[i] - expected) <= 1e-7f * fabsf(expected), "'%s' element %zu: %.9g, expected %.9g", conv, i,
               (double)merged[i], (double)expected);
    }
}

static void test_values(enum lorac_rank_setting setting, double alpha)
{
    struct lorac_error error = {0};
    struct lorac_model *model = many_convs(8, "Gemm");
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_meta meta;
    enum { MOST = 10 };
    struct lorac_adapter_site sites[MOST];
    float *w0[MOST], *a[MOST], *b[MOST];
    options.rank = 3;
    options.alpha = alpha;
    options.setting = setting;
    inject(model, &options);
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
    REQUIRE(meta.adapter_count <= MOST);
    for (size_t i = 0; i < meta.adapter_count; i++) {
        size_t count;
        fill(model, meta.adapters[i].a);
        fill(model, meta.adapters[i].b);
        REQUIRE(CHECK_OK(lorac_adapter_locate(model, &meta.adapters[i], model->arena, &sites[i], &error), error));
        w0[i] = read_floats(model, meta.adapters[i].weight, &count);
        a[i] = read_floats(model, meta.adapters[i].a, &count);
        b[i] = read_floats(model, meta.adapters[i].b, &count);
    }
    struct lorac_pass_report report = merge(model);
    CHECK(report.changed == meta.adapter_count && report.skipped == 0);
    for (size_t i = 0; i < meta.adapter_count; i++) {
        size_t count;
        const Onnx__NodeProto *conv = node_named(model, meta.adapters[i].conv);
        float *merged = read_floats(model, lorac_node_input(conv, 1), &count);
        check_weight(&sites[i], alpha / 3, w0[i], a[i], b[i], merged, meta.adapters[i].conv);
        free(merged);
        free(w0[i]);
        free(a[i]);
        free(b[i]);
    }
    // The weight inside a Constant node stays there.
    CHECK_STRING(lorac_node_input(node_named(model, "inside"), 1), "inside.w");
    CHECK(lorac_model_initializer(model, "inside.w") == NULL);
    CHECK(lorac_model_metadata(model, "lorac.format") == NULL && model->proto->n_metadata_props == 0);
    lorac_model_free(model);
}

// ---- a weight with two users

static void test_shared(void)
{
    const struct {
        const char *layers;    // which of s1 and s2 get an adapter
        const char *filled[2]; // whose product is not zero
        const char *s1, *s2;   // the weights afterwards
        bool original_kept;    // shared.w is as it was
    } table[] = {
        {"s[12]", {"s1", "s2"}, "shared.w_1", "shared.w", false}, // the last one has it to itself
        {"s[12]", {"s1", NULL}, "shared.w_1", "shared.w", true},
        {"s[12]", {"s2", NULL}, "shared.w", "shared.w_1", true},
        {"s[12]", {NULL, NULL}, "shared.w", "shared.w", true},
        {"s1", {"s1", NULL}, "shared.w_1", "shared.w", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_model *model = many_convs(i % 2 ? 3 : 8, "Gemm");
        struct lorac_inject_options options = lorac_inject_options_default();
        size_t count, tensors = model->proto->graph->n_initializer;
        options.layers = table[i].layers;
        float *before = read_floats(model, "shared.w", &count);
        inject(model, &options);
        for (size_t f = 0; f < 2 && table[i].filled[f]; f++) {
            char name[32];
            snprintf(name, sizeof name, "%s/lora_B", table[i].filled[f]);
            fill(model, name);
        }
        merge(model);
        CHECK_STRING(lorac_node_input(node_named(model, "s1"), 1), table[i].s1);
        CHECK_STRING(lorac_node_input(node_named(model, "s2"), 1), table[i].s2);
        float *after = read_floats(model, "shared.w", &count);
        CHECKF((memcmp(before, after, count * sizeof *before) == 0) == table[i].original_kept, "row %zu", i);
        size_t copies = strcmp(table[i].s1, table[i].s2) != 0;
        CHECK(model->proto->graph->n_initializer == tensors + copies);
        free(before);
        free(after);
        lorac_model_free(model);
    }
}

// ---- the original, byte for byte

static void check_round_trip(struct lorac_model *model, const struct lorac_inject_options *options, const char *what)
{
    struct lorac_error error = {0};
    uint8_t *before, *injected, *after;
    size_t before_count, injected_count, after_count;
    struct lorac_model *again;
    REQUIRE(CHECK_OK(lorac_model_pack(model, &before, &before_count, &error), error));
    inject(model, options);
    REQUIRE(CHECK_OK(lorac_model_pack(model, &injected, &injected_count, &error), error));
    CHECKF(injected_count > before_count, "%s", what);
    REQUIRE(CHECK_OK(lorac_model_parse(injected, injected_count, &again, &error), error));
    merge(again);
    REQUIRE(CHECK_OK(lorac_model_pack(again, &after, &after_count, &error), error));
    CHECKF(before_count == after_count && memcmp(before, after, after_count) == 0,
           "%s: merge(inject(x)) is not x: %zu and %zu bytes", what, before_count, after_count);
    free(before);
    free(injected);
    free(after);
    lorac_model_free(again);
    lorac_model_free(model);
}

static void test_round_trips(void)
{
    static const char *const heads[] = {"Gemm", "MatMul", "Conv"};
    struct lorac_inject_options options = lorac_inject_options_default(), all = options;
    all.train_all = true;
    for (int64_t ir = 3; ir <= 8; ir++)
        for (size_t h = 0; h < 3; h++) {
            check_round_trip(many_convs(ir, heads[h]), &options, heads[h]);
            check_round_trip(many_convs(ir, heads[h]), &all, "train_all");
        }
}

// Metadata of other hands stays, in its place and to the letter; so does lorac.input of an earlier round.
static void test_metadata_stays(void)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    struct small_model small;
    build_many_convs(&small, 8, "Gemm");
    small_metadata(&small, "author", "someone");
    small_metadata(&small, "lorac.input", "{ \"scale\": 1.0e0,\n \"channel_order\": \"bgr\" }");
    small_metadata(&small, "lorac.classes", "[ \"a\", \"b\", \"c\", \"d\", \"e\" ]");
    small_metadata(&small, "licence", "");
    check_round_trip(small_load(&small), &options, "metadata");

    build_many_convs(&small, 8, "Gemm");
    small_metadata(&small, "author", "someone");
    struct lorac_model *model = small_load(&small);
    options.input = (struct lorac_input_meta){.given = true, .scale = 1, .bgr = true};
    inject(model, &options);
    merge(model);
    CHECK(model->proto->n_metadata_props == 2);
    CHECK_STRING(lorac_model_metadata(model, "lorac.input"), "{\"scale\":1.0,\"channel_order\":\"bgr\"}");
    lorac_model_free(model);
}

static void test_real_models(void)
{
    static const char *const names[] = {"resnet20-cifar10", "resnet20-cifar10-bn", "resnet56-cifar10",
                                        "resnet56-cifar10-bn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024];
        struct lorac_error error = {0};
        struct lorac_model *model;
        snprintf(path, sizeof path, "%s/models/%s.onnx", LORAC_SHARED_DIR, names[i]);
        if (access(path, R_OK) != 0) {
            printf("%s is not there: left out\n", path);
            continue;
        }
        REQUIRE(CHECK_OK(lorac_model_load(path, &model, &error), error));
        CHECK(model->rewrites_unchanged);
        check_round_trip(model, NULL, names[i]);
    }
}

// ---- refusals

static void break_nothing_injected(struct lorac_model *model)
{
    lorac_meta_erase(model);
}

static void break_b_infinite(struct lorac_model *model)
{
    struct lorac_error error = {0};
    size_t count;
    float *b = read_floats(model, "c1/lora_B", &count);
    b[5] = INFINITY;
    CHECK_OK(lorac_tensor_set_float(model, lorac_model_initializer(model, "c1/lora_B"), b, count, &error), error);
    free(b);
}

static void break_overflow(struct lorac_model *model)
{
    struct lorac_error error = {0};
    const char *const names[] = {"c1/lora_A", "c1/lora_B"};
    for (size_t n = 0; n < 2; n++) {
        size_t count;
        float *values = read_floats(model, names[n], &count);
        for (size_t i = 0; i < count; i++)
            values[i] = 1e30f;
        CHECK_OK(lorac_tensor_set_float(model, lorac_model_initializer(model, names[n]), values, count, &error), error);
        free(values);
    }
}

static void break_last_adapter(struct lorac_model *model)
{
    lorac_model_erase_initializer(model, "s2/lora_shape");
}

static void test_refusals(void)
{
    const struct {
        void (*spoil)(struct lorac_model *);
        enum lorac_status status;
        const char *message;
        bool before_edits; // the model is untouched
    } table[] = {
        {break_nothing_injected, LORAC_ERROR_ARGUMENT, "nothing to merge", true},
        {break_b_infinite, LORAC_ERROR_NOT_FINITE, "merge 'c1': element", false},
        {break_overflow, LORAC_ERROR_NOT_FINITE, "merge 'c1': element 0", false},
        {break_last_adapter, LORAC_ERROR_MISMATCH, "adapter of 's2'", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        struct lorac_model *model = many_convs(8, "Gemm");
        inject(model, NULL);
        table[i].spoil(model);
        size_t nodes = model->proto->graph->n_node;
        enum lorac_status status = lorac_pass_merge.run(model, NULL, &report, &error);
        CHECKF(status == table[i].status && strstr(error.message, table[i].message), "row %zu: %d %s", i, (int)status,
               error.message);
        CHECK(!table[i].before_edits || model->proto->graph->n_node == nodes);
        lorac_model_free(model);
    }
}

int main(void)
{
    test_values(LORAC_RANK_KERNEL, 8);
    test_values(LORAC_RANK_PLAIN, -0.7);
    test_shared();
    test_round_trips();
    test_metadata_stays();
    test_real_models();
    test_refusals();
    return check_report();
}
