// inject and merge with every kind of weight: each row is one value as the weight of an adapted convolution.
#include "check.h"
#include "ref/graph.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

// x [1,3,6,6] ─ first ─ n_c (the row's weight w) ─ n_y: the last layer, a 1x1 Conv
#define GRAPH(weight) "a=Conv(x, first[4,3,1,1]); " weight "; c=Conv(a, w) pads=[1,1,1,1]; y=Conv(c, last[2,2,1,1])"

static const struct row {
    const char *text;
    int32_t type;       // of the value
    const char *pruned; // a node that goes when the layer is merged; NULL: none
    size_t notes;       // of merge
} rows[] = {
    {GRAPH("w=Identity(o[2,4,3,3])"), 1, "n_w", 0},
    {GRAPH("t=Transpose(o[3,3,4,2]) perm=[3,2,0,1]; w=Identity(t)"), 1, "n_t", 0},
    {GRAPH("w=Expand(v<-0.5>, s{2,4,3,3})"), 1, "n_w", 0},
    {GRAPH("w=ConstantOfShape(s{2,4,3,3}) value=<0.5>[1]"), 1, "n_w", 0},
    {GRAPH("w=Cast(o[2,4,3,3]) to=10"), 10, "n_w", 0},
    {GRAPH("w=Cast(o[2,4,3,3]) to=16"), 16, "n_w", 0},
    {GRAPH("w=Cast(o[2,4,3,3]) to=11"), 11, "n_w", 0},
    {GRAPH("e=Expand(k{-3}, s{2,4,3,3}); q=Cast(e) to=3; w=DequantizeLinear(q, g<0.0625>)"), 1, "n_q", 1},
    {GRAPH("e=Expand(k{-3}, s{2,4,3,3}); q=Cast(e) to=3; w=DequantizeLinear(q, g<0.0625,0.125>) axis=0"), 1, "n_e", 1},
    {GRAPH("w=Mul(o[2,4,3,3], g[2,1,1,1])"), 1, "n_w", 0},
    {GRAPH("r=Reshape(o[2,4,3,3], s{1,2,36}); b=BatchNormalization(r, u[2]+, z[2], z, u) training_mode=1; "
           "w=Reshape(b, t{2,4,3,3})"),
     1, "n_b", 0},
    {GRAPH("w=Identity(o[2,4,3,3]); d=Conv(a, w)"), 1, NULL, 0},
};

enum { MOST = 2 * 4 * 3 * 3 };

static const Onnx__NodeProto *find_node(const struct lorac_model *model, const char *name)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strcmp(lorac_node_name(model->proto->graph->node[i]), name) == 0)
            return model->proto->graph->node[i];
    return NULL;
}

static void read_weight(struct lorac_model *model, double out[MOST])
{
    struct lorac_error error = {0};
    struct lorac_weight weight;
    REQUIRE(CHECK_OK(lorac_weight_find(model, lorac_node_input(find_node(model, "n_c"), 1), &weight, &error), error));
    REQUIRE(weight.count == MOST);
    CHECK_OK(lorac_weight_to_double(model, &weight, out, MOST, &error), error);
}

static void inject(struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_pass_report report = {0};
    options.layers = "^n_c$";
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error));
    CHECK_OK(lorac_model_check(model, &error), error);
}

// Fills B, and gives s * view(B @ A) in double.
static void fill(struct lorac_model *model, double out[MOST])
{
    struct lorac_error error = {0};
    float a[12 * 12], b[6 * 12];
    for (size_t i = 0; i < 6 * 12; i++)
        b[i] = 0.25f * sinf((float)i);
    CHECK_OK(lorac_tensor_set_float(model, lorac_model_initializer(model, "n_c/lora_B"), b, 6 * 12, &error), error);
    CHECK_OK(lorac_tensor_to_float(lorac_model_initializer(model, "n_c/lora_A"), a, 12 * 12, &error), error);
    for (size_t i = 0; i < MOST; i++) {
        out[i] = 0;
        for (size_t r = 0; r < 12; r++)
            out[i] += 2 * (double)b[i / 12 * 12 + r] * (double)a[r * 12 + i % 12];
    }
}

static void check_merged(struct lorac_model *model, const struct row *row, const double before[MOST],
                         const double product[MOST])
{
    double merged[MOST];
    read_weight(model, merged);
    for (size_t i = 0; i < MOST; i++) {
        double expected = lorac_constant_round(row->type, before[i] + product[i]);
        // The sums are taken in another order: the last bit may differ.
        CHECKF(fabs(merged[i] - expected) <= (row->type == 11  ? 1e-14
                                              : row->type == 1 ? 1e-7
                                                               : 0.01) *
                                                 fabs(expected),
               "%s element %zu: %.9g, expected %.9g", row->text, i, merged[i], expected);
    }
}

static void test_row(const struct row *row)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = row->text, .dims = {1, 3, 6, 6}});
    struct lorac_model *model = graph.model;
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_meta meta;
    struct lorac_adapter_site site;
    double before[MOST], with_zero[MOST], product[MOST];
    uint8_t *bytes, *again;
    size_t size, again_size;
    lorac_meta_erase(model);
    REQUIRE(CHECK_OK(lorac_model_pack(model, &bytes, &size, &error), error));
    read_weight(model, before);
    inject(model);
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error) && meta.adapter_count == 1);
    CHECK_STRING(meta.adapters[0].weight, "w");
    if (CHECKF(lorac_adapter_locate(model, &meta.adapters[0], model->arena, &site, &error) == LORAC_OK, "%s: %s", row->text,
               error.message))
        CHECKF(site.weight.data_type == row->type && site.node_count == (row->type == 1 ? 4 : 5), "%s: type %d",
               row->text, (int)site.weight.data_type);
    read_weight(model, with_zero);
    CHECKF(memcmp(before, with_zero, sizeof before) == 0, "%s: B = 0 changes the weight", row->text);
    // Merged at once it is what it was, to the byte.
    REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
    CHECK(report.changed == 1 && report.skipped == 1 && report.note_count == 0);
    REQUIRE(CHECK_OK(lorac_model_pack(model, &again, &again_size, &error), error));
    CHECKF(size == again_size && memcmp(bytes, again, size) == 0, "%s: merge(inject(x)) is not x", row->text);
    free(again);
    free(bytes);
    // Trained and merged.
    inject(model);
    fill(model, product);
    REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
    CHECK_OK(lorac_model_check(model, &error), error);
    CHECKF(report.changed == 1 && report.skipped == 0 && report.note_count == row->notes, "%s: %zu notes", row->text,
           report.note_count);
    check_merged(model, row, before, product);
    CHECKF(!row->pruned || !find_node(model, row->pruned), "%s: '%s' is still there", row->text, row->pruned);
    CHECKF(row->pruned || find_node(model, "n_w"), "%s: 'n_w' is gone", row->text);
    graph_free(&graph);
}

// ---- base tensors that are trained or moved

static const struct copy_row {
    const char *text;
    const char *trained; // the names in lorac.trainable, separated by blanks
    const char *copies;  // copy=of, separated by blanks
    bool first, all, bn;
} copy_rows[] = {
    {"a=Conv(x, w[4,3,1,1]); b=GlobalAveragePool(a); f=Flatten(b); y=Gemm(f, g[4,2], h[2])", "g h", "", false, false,
     false},
    {"a=Conv(x, w[4,3,1,1]); b=GlobalAveragePool(a); f=Flatten(b); i=Identity(h[2]); y=Gemm(f, g[4,2], i)",
     "g n_y/bias", "n_y/bias=i", false, false, false},
    {"a=Conv(x, w[4,3,1,1]); b=GlobalAveragePool(a); f=Flatten(b); t=Transpose(g[2,4]); m=MatMul(f, t); y=Add(m, h[2])",
     "n_m/weight h", "n_m/weight=t", false, false, false},
    {"a=Conv(x, w[4,3,1,1]); c=Conv(a, v[3,4,1,1]); d=Conv(c, w); y=Conv(d, l[2,4,1,1])", "n_a/weight l",
     "n_a/weight=w", true, false, false},
    {"a=Conv(x, w[4,3,1,1], u[4]); y=Conv(a, v[4,4,1,1], u)", "w n_a/bias v n_y/bias", "n_a/bias=u n_y/bias=u", false,
     true, false},
    {"a=Conv(x, w[4,3,1,1]); b=BatchNormalization(a, s[4]+, o[4], o, s); y=Conv(b, v[4,4,1,1])", "v",
     "n_b/running_mean=o n_b/running_var=s", false, false, true},
    {"u=BatchNormalization(w[3,3,1,1], s[3]+, o[3], p[3], q[3]+); a=Conv(x, u); b=BatchNormalization(a, s, o, o, s); "
     "y=Conv(b, v[4,3,1,1])",
     "v", "n_b/running_mean=o n_b/running_var=s", false, false, true},
};

static void print_names(struct lorac_model *model, char *trained, char *copies, size_t bytes)
{
    struct lorac_error error = {0};
    struct lorac_meta meta;
    size_t used = 0;
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
    *trained = *copies = '\0';
    for (size_t i = 0; i < meta.trainable_count; i++)
        if (!strstr(meta.trainable[i], "lora_"))
            used += (size_t)snprintf(trained + used, bytes - used, "%s%s", used ? " " : "", meta.trainable[i]);
    used = 0;
    for (size_t i = 0; i < meta.copy_count; i++)
        used += (size_t)snprintf(copies + used, bytes - used, "%s%s=%s", used ? " " : "", meta.copies[i].copy,
                                 meta.copies[i].of);
}

// Changes every trained or copied tensor, so that nothing is put back.
static void change_all(struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct lorac_meta meta;
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
    for (size_t i = 0; i < meta.copy_count; i++) {
        Onnx__TensorProto *tensor = lorac_model_initializer(model, meta.copies[i].copy);
        double values[64];
        size_t count;
        REQUIRE(CHECK_OK(lorac_tensor_count(tensor, &count, &error), error) && count <= 64);
        CHECK_OK(lorac_tensor_to_double(tensor, values, count, &error), error);
        values[0] += 1;
        CHECK_OK(lorac_tensor_set_double(model, tensor, values, count, &error), error);
    }
}

static void test_copy_row(const struct copy_row *row)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = row->text, .dims = {1, 3, 6, 6}});
    struct lorac_model *model = graph.model;
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_meta meta;
    char trained[256], copies[256], hash[33], injected_hash[33];
    uint8_t *bytes, *again;
    size_t size, again_size, copy_count;
    options.train_first = row->first;
    options.train_all = row->all;
    options.bn = row->bn ? LORAC_BN_TRAIN : LORAC_BN_FROZEN;
    lorac_meta_erase(model);
    REQUIRE(CHECK_OK(lorac_model_pack(model, &bytes, &size, &error), error));
    REQUIRE(CHECK_OK(lorac_base_hash(model, NULL, hash, &error), error));
    for (size_t round = 0; round < 2; round++) {
        REQUIRE(CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error));
        CHECK_OK(lorac_model_check(model, &error), error);
        print_names(model, trained, copies, sizeof trained);
        CHECK_STRING(trained, row->trained);
        CHECK_STRING(copies, row->copies);
        REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
        copy_count = meta.copy_count;
        CHECK(report.note_count == copy_count);
        CHECK_OK(lorac_base_hash(model, &meta, injected_hash, &error), error);
        CHECKF(strcmp(hash, injected_hash) == 0, "%s: the base hash has the copies", row->text);
        if (round == 1)
            change_all(model);
        REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
        CHECK_OK(lorac_model_check(model, &error), error);
        REQUIRE(CHECK_OK(lorac_model_pack(model, &again, &again_size, &error), error));
        if (round == 0)
            CHECKF(size == again_size && memcmp(bytes, again, size) == 0, "%s: merge(inject(x)) is not x", row->text);
        free(again);
    }
    // What is kept is read; what it was copied from is gone where nobody else reads it.
    for (size_t i = 0; i < copy_count; i++) {
        const struct lorac_use *uses;
        CHECKF(lorac_model_uses(model, meta.copies[i].copy, &uses) == 1, "%s", meta.copies[i].copy);
        bool read = lorac_model_uses(model, meta.copies[i].of, &uses) > 0;
        bool there =
            lorac_model_initializer(model, meta.copies[i].of) || lorac_model_producer(model, meta.copies[i].of);
        CHECKF(read == there, "%s: read %d, there %d", meta.copies[i].of, read, there);
    }
    free(bytes);
    graph_free(&graph);
}

// ---- refusals

static void test_refusals(void)
{
    const struct {
        const char *text;
        enum lorac_status status;
        const char *message;
    } table[] = {
        {"q=QuantizeLinear(x, s<0.5>); d=DequantizeLinear(q, s); y=Conv(d, w[2,3,1,1])", LORAC_ERROR_UNSUPPORTED,
         "node 'n_q' (QuantizeLinear) works on quantised activations"},
        {"a=Conv(x, w[2,3,1,1]); y=QLinearConv(a, s<0.5>)", LORAC_ERROR_UNSUPPORTED, "node 'n_y' (QLinearConv)"},
        {"q=QuantizeLinear(o[2,3,1,1], s<0.5>); w=DequantizeLinear(q, s); y=Conv(x, w)", LORAC_OK, ""},
        {"w=Div(o[2,3,1,1], z<0.>); y=Conv(x, w)", LORAC_ERROR_NOT_FINITE, "weight 'w' has a value that is NaN"},
        {"w=Softsign(o[2,3,1,1]); y=Conv(x, w)", LORAC_ERROR_ARGUMENT,
         "not constant: it is computed by 'n_w' (Softsign)"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct graph graph = graph_build(&(struct graph_spec){.text = table[i].text, .dims = {1, 3, 6, 6}});
        struct lorac_error error = {0};
        struct lorac_pass_report report = {0};
        lorac_meta_erase(graph.model);
        size_t nodes = graph.model->proto->graph->n_node, tensors = graph.model->proto->graph->n_initializer;
        enum lorac_status status = lorac_pass_inject.run(graph.model, NULL, &report, &error);
        CHECKF(status == table[i].status && strstr(error.message, table[i].message), "%s: %d %s", table[i].text,
               (int)status, error.message);
        if (status != LORAC_OK)
            CHECK(graph.model->proto->graph->n_node == nodes && graph.model->proto->graph->n_initializer == tensors);
        graph_free(&graph);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        test_row(&rows[i]);
    for (size_t i = 0; i < sizeof copy_rows / sizeof *copy_rows; i++)
        test_copy_row(&copy_rows[i]);
    test_refusals();
    return check_report();
}
