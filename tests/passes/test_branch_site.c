// The branch form in the graph: lorac_adapter_locate finds what inject made, and refuses it with anything changed,
// whichever node, input, attribute, tensor or use it is.
#include "many_convs.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "proto/model_edit.h"
#include "proto/model_internal.h"

// The convolutions of many_convs.h that have a branch here.
static const struct {
    const char *conv;
    int64_t opset;
    size_t nodes, tensors; // by docs/format.md, counted by hand
} cases[] = {
    // c1 [4,4,3,3]: rows of channels 0-2, 1-3 and 2-4 that start 0, 3 and 6 columns in. 3 Slices, Pads, Reshapes, Convs,
    // Concat, Reshape, Conv, Mul, Add; A, B, scale, 3 pads, shapes, starts, ends, the axes, a shape.
    {"c1", 13, 17, 17},
    {"c1", 10, 17, 14}, // Pad by attributes
    {"c1", 7, 17, 7},   // Slice too
    {"pw", 13, 6, 5},   // 1x1: Reshape, Conv, Reshape, Conv, Mul, Add
    {"row.y", 13, 6, 5},
    // s1: two groups [6,3,3,3]. 3 Pads, Concat, Reshape, Tile, Conv, Reshape, Conv, Mul, Add.
    {"s1", 13, 11, 9},
    {"s1", 7, 11, 6},
};

struct fixture {
    struct lorac_model *model;
    struct lorac_adapter adapter;
    struct lorac_adapter_site site;
};

static void setup(struct fixture *f, size_t index)
{
    static const int64_t pads[] = {1, 1, 1, 1};
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_meta meta;
    struct small_model small;
    char layers[32];
    build_many_convs(&small, 8, "Gemm");
    small.opset.version = cases[index].opset;
    f->model = small_load(&small);
    Onnx__NodeProto *c1 = lorac_model_producer(f->model, "c1.y");
    REQUIRE(CHECK_OK(lorac_model_set_node_ints(f->model, c1, "pads", pads, 4, &error), error));
    struct lorac_inject_options options = lorac_inject_options_default();
    snprintf(layers, sizeof layers, "^%s$", cases[index].conv);
    options.form = LORAC_FORM_BRANCH;
    options.layers = layers;
    REQUIRE(CHECK_OK(lorac_pass_inject.run(f->model, &options, &report, &error), error));
    REQUIRE(CHECK_OK(lorac_meta_read(f->model, &meta, &error), error));
    REQUIRE(CHECK(meta.adapter_count == 1));
    f->adapter = meta.adapters[0];
    REQUIRE(CHECK_OK(lorac_adapter_locate(f->model, &f->adapter, f->model->arena, &f->site, &error), error));
}

static void check_refused(struct fixture *f, const char *what, const char *name, size_t detail)
{
    struct lorac_error error = {0};
    struct lorac_adapter_site site;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "adapter of '%s': ", f->adapter.conv);
    enum lorac_status status = lorac_adapter_locate(f->model, &f->adapter, f->model->arena, &site, &error);
    CHECKF(status == LORAC_ERROR_MISMATCH && strncmp(error.message, prefix, strlen(prefix)) == 0,
           "%s of '%s' (%zu): %d %s", what, name, detail, (int)status, error.message);
    lorac_model_free(f->model);
}

static void test_found(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct lorac_branch_nodes own;
        struct lorac_error error = {0};
        struct lorac_meta meta;
        setup(&f, i);
        CHECK(f.site.form == LORAC_FORM_BRANCH && f.site.a && f.site.b && f.site.weight.tensor && f.site.s == 2);
        CHECKF(f.site.node_count == cases[i].nodes && f.site.tensor_count == cases[i].tensors,
               "case %zu: %zu nodes, %zu tensors", i, f.site.node_count, f.site.tensor_count);
        CHECK_STRING(lorac_node_name(f.site.conv), cases[i].conv);
        CHECK_STRING(f.site.output, f.site.nodes[f.site.node_count - 1]->output[0]);
        CHECK_OK(lorac_model_check(f.model, &error), error);
        REQUIRE(CHECK_OK(lorac_meta_read(f.model, &meta, &error), error));
        if (CHECK_OK(lorac_branch_nodes_list(f.model, &meta, f.model->arena, &own, &error), error)) {
            CHECK(own.count == f.site.node_count && !lorac_branch_nodes_has(&own, f.site.conv));
            for (size_t k = 0; k < f.site.node_count; k++)
                CHECK(lorac_branch_nodes_has(&own, f.site.nodes[k]));
        }
        lorac_model_free(f.model);
    }
}

// Each input of each node reads something else.
static void spoil_inputs(size_t index)
{
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, index);
    size_t count = f.site.node_count;
    lorac_model_free(f.model);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0;; k++) {
            setup(&f, index);
            if (k == f.site.nodes[i]->n_input)
                break;
            CHECK_OK(lorac_model_set_node_input(f.model, f.site.nodes[i], k, "x", &error), error);
            check_refused(&f, "input", cases[index].conv, i * 10 + k);
        }
        lorac_model_free(f.model);
    }
}

// Each attribute of each node has another value; each node has one more; each node is another operator.
static void spoil_nodes(size_t index)
{
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, index);
    size_t count = f.site.node_count;
    lorac_model_free(f.model);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0;; k++) {
            setup(&f, index);
            if (k == f.site.nodes[i]->n_attribute)
                break;
            Onnx__AttributeProto *attribute = f.site.nodes[i]->attribute[k];
            if (attribute->n_ints > 0)
                attribute->ints[0]++;
            else
                attribute->i++;
            check_refused(&f, "attribute", cases[index].conv, i * 10 + k);
        }
        CHECK_OK(lorac_model_set_node_int(f.model, f.site.nodes[i], "another", 1, &error), error);
        check_refused(&f, "one attribute more", cases[index].conv, i);
        setup(&f, index);
        f.site.nodes[i]->op_type = (char *)"Identity";
        check_refused(&f, "operator", cases[index].conv, i);
    }
}

// Each tensor has other numbers, another type, another user, or is not there.
static void spoil_tensors(size_t index)
{
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, index);
    size_t count = f.site.tensor_count;
    lorac_model_free(f.model);
    for (size_t i = 0; i < count; i++) {
        setup(&f, index);
        if (f.site.tensors[i] != f.site.a && f.site.tensors[i] != f.site.b) {
            f.site.tensors[i]->raw_data.data[3] ^= 0x10;
            check_refused(&f, "numbers", cases[index].conv, i);
            setup(&f, index);
        }
        f.site.tensors[i]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__UINT64;
        check_refused(&f, "type", cases[index].conv, i);
        setup(&f, index);
        const struct lorac_node_spec spec = {"Identity", NULL, 1, {f.site.tensors[i]->name}, "more"};
        CHECK_OK(lorac_model_insert_node(f.model, NULL, &spec, NULL, &error), error);
        check_refused(&f, "one use more", cases[index].conv, i);
        setup(&f, index);
        lorac_model_erase_initializer(f.model, f.site.tensors[i]->name);
        check_refused(&f, "absence", cases[index].conv, i);
    }
}

// Each value but the sum has another user, or is an output of the model.
static void spoil_uses(size_t index)
{
    struct fixture f;
    struct lorac_error error = {0};
    setup(&f, index);
    size_t count = f.site.node_count; // the Conv in the place of the Add
    lorac_model_free(f.model);
    for (size_t i = 0; i < count; i++) {
        for (int as_output = 0; as_output < 2; as_output++) {
            setup(&f, index);
            char *value = i + 1 == count ? f.site.conv->output[0] : f.site.nodes[i]->output[0];
            const struct lorac_node_spec spec = {"Identity", NULL, 1, {value}, "more"};
            if (as_output) {
                f.model->proto->graph->output[0]->name = value;
                lorac_index_mark_stale(f.model);
            } else
                CHECK_OK(lorac_model_insert_node(f.model, NULL, &spec, NULL, &error), error);
            check_refused(&f, "one use more", cases[index].conv, i);
        }
    }
}

// The record and the graph disagree.
static void test_record(void)
{
    struct fixture f;
    for (size_t i = 0; i < 6; i++) {
        setup(&f, 0);
        struct lorac_adapter *adapter = &f.adapter;
        switch (i) {
        case 0:
            adapter->rank = 2;
            adapter->alpha = 4;
            break;
        case 1:
            adapter->alpha = 9;
            break;
        case 2:
            adapter->setting = LORAC_RANK_PLAIN;
            break;
        case 3:
            adapter->weight = "pw.w";
            break;
        case 4:
            adapter->a = "c1.b";
            break;
        default:
            adapter->form = LORAC_FORM_WEIGHT;
        }
        check_refused(&f, "record", "c1", i);
    }
}

// Fresh adapters go without a trace, whatever forms the model holds.
static void test_merge_gives_the_bytes_back(void)
{
    static const char *const branch_layers[] = {"", "c1|s1", "pw", "^$"};
    for (int64_t ir = 3; ir <= 8; ir += 5) {
        for (size_t i = 0; i < sizeof branch_layers / sizeof *branch_layers; i++) {
            struct lorac_error error = {0};
            struct lorac_pass_report report = {0};
            struct lorac_model *model = many_convs(ir, "Conv");
            uint8_t *before = NULL, *after = NULL;
            size_t before_count = 0, after_count = 0;
            char hash[33], injected_hash[33];
            struct lorac_meta meta;
            struct lorac_inject_options options = lorac_inject_options_default();
            options.branch_layers = branch_layers[i];
            CHECK_OK(lorac_model_pack(model, &before, &before_count, &error), error);
            CHECK_OK(lorac_base_hash(model, NULL, hash, &error), error);
            CHECK_OK(lorac_pass_inject.run(model, &options, &report, &error), error);
            CHECK_OK(lorac_model_check(model, &error), error);
            REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
            CHECK_OK(lorac_base_hash(model, &meta, injected_hash, &error), error);
            CHECK_STRING(injected_hash, hash);
            CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error);
            CHECK_OK(lorac_model_pack(model, &after, &after_count, &error), error);
            CHECKF(after_count == before_count && memcmp(before, after, after_count) == 0, "ir %d, --branch-layers '%s'",
                   (int)ir, branch_layers[i]);
            free(before);
            free(after);
            lorac_model_free(model);
        }
    }
}

static void test_refused_rows(void)
{
    struct lorac_error error = {0};
    struct small_model small;
    struct lorac_inject_plan plan;
    build_many_convs(&small, 8, "Gemm");
    small_tensor(&small, "tall.w", DIMS(2, 6, 256, 1));
    small_node(&small, "Conv", "tall", "s2.y tall.w", "tall.y");
    small_output(&small, "pw.y");
    small.outputs[0]->name = small_text(&small, "end");
    small_node(&small, "Concat", "join", "y tall.y", "end");
    struct lorac_model *model = small_load(&small);
    struct lorac_inject_options options = lorac_inject_options_default();
    options.form = LORAC_FORM_BRANCH;
    if (CHECK_OK(lorac_inject_plan(model, &options, &plan, &error), error)) {
        for (size_t i = 0; i < plan.row_count; i++) {
            const struct lorac_conv_row *row = &plan.rows[i];
            const char *reason = strcmp(row->name, "pw") == 0     ? "its output is an output of the model"
                                 : strcmp(row->name, "tall") == 0 ? "a kernel of 256 rows is too high"
                                                                  : NULL;
            if (reason)
                CHECKF(!row->adapted && row->R == 0 && row->reason && strncmp(row->reason, reason, strlen(reason)) == 0,
                       "'%s': %s", row->name, row->reason ? row->reason : "adapted");
        }
    }
    lorac_model_free(model);
}

int main(void)
{
    test_found();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spoil_inputs(i);
        spoil_nodes(i);
        spoil_tensors(i);
        spoil_uses(i);
    }
    test_record();
    test_merge_gives_the_bytes_back();
    test_refused_rows();
    return check_report();
}
