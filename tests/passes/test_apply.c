// apply and combine on convolutions of every kind: the same bytes from the plain base and from the injected one, and
// adapter files with every byte changed.
#include "many_convs.h"

#include "passes/apply.h"
#include "passes/combine.h"
#include "passes/inject.h"
#include "passes/merge.h"
#include "proto/tensor.h"

#include <unistd.h>

static char path[] = "/tmp/lorac-apply-XXXXXX";

// ---- rows

static const struct row {
    int64_t ir;
    const char *head;
    struct lorac_inject_options options;
} rows[] = {
    {8, "Gemm", {.rank = 4, .alpha = 8, .train_last = true}},
    {3, "Gemm", {.rank = 4, .alpha = 8, .train_last = true}},
    {8, "MatMul", {.rank = 1, .alpha = -0.3, .form = LORAC_FORM_BRANCH, .train_last = true, .train_first = true}},
    {8, "Conv", {.rank = 3, .alpha = 5, .setting = LORAC_RANK_PLAIN, .freeze_a = true, .seed = 77, .train_last = true}},
    {8, "Conv", {.rank = 4, .alpha = 8, .branch_layers = "s1|half", .layers = "s|half|inside"}},
    {8, "Gemm", {.rank = 4, .alpha = 8, .train_all = true}},
    {8, "MatMul", {.rank = 4, .alpha = 8, .train_all = true, .as_inputs = true}},
    {8, "Conv", {.rank = 2, .alpha = 8, .train_last = true, .train_first = true, .as_inputs = true}},
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct lorac_model *plain_model(const struct row *row)
{
    return many_convs(row->ir, row->head);
}

static struct lorac_model *injected_model(const struct row *row)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    struct lorac_model *model = plain_model(row);
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, &row->options, &report, &error), error));
    return model;
}

// Numbers that every floating type holds.
static struct lorac_model *trained_model(const struct row *row)
{
    struct lorac_error error = {0};
    struct lorac_meta meta;
    struct lorac_model *model = injected_model(row);
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &error), error));
    for (size_t i = 0; i < meta.trainable_count; i++) {
        Onnx__TensorProto *tensor = lorac_model_constant(model, meta.trainable[i]);
        size_t count;
        REQUIRE(CHECK_OK(lorac_tensor_count(tensor, &count, &error), error));
        float *values = malloc((count + 1) * sizeof *values);
        REQUIRE(values);
        for (size_t k = 0; k < count; k++)
            values[k] = (float)((int)((k * 7 + i) % 17) - 8) / 16;
        CHECK_OK(lorac_tensor_set_float(model, tensor, values, count, &error), error);
        free(values);
    }
    return model;
}

static void write_adapter(const struct row *row, size_t *byte_count, uint8_t **bytes)
{
    struct lorac_error error = {0};
    size_t tensor_count;
    struct lorac_model *model = trained_model(row);
    REQUIRE(CHECK_OK(
        lorac_adapter_file_pack(model, LORAC_ADAPTER_SAFETENSORS, bytes, byte_count, &tensor_count, &error), error));
    REQUIRE(CHECK_OK(lorac_file_write(path, *bytes, *byte_count, &error), error));
    lorac_model_free(model);
}

static void check_same(const struct lorac_model *model, const struct lorac_model *expected, size_t row)
{
    struct lorac_error error = {0};
    uint8_t *bytes[2] = {0};
    size_t count[2];
    REQUIRE(CHECK_OK(lorac_model_pack(model, &bytes[0], &count[0], &error), error));
    REQUIRE(CHECK_OK(lorac_model_pack(expected, &bytes[1], &count[1], &error), error));
    CHECKF(count[0] == count[1] && memcmp(bytes[0], bytes[1], count[0]) == 0, "row %zu: other bytes", row);
    free(bytes[0]);
    free(bytes[1]);
}

static void test_round_trips(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct lorac_error error = {0};
        struct lorac_pass_report report;
        struct lorac_adapter_file *file = NULL;
        size_t byte_count;
        uint8_t *bytes = NULL;
        write_adapter(&rows[i], &byte_count, &bytes);
        free(bytes);
        REQUIRE(CHECK_OK(lorac_adapter_file_open(path, &file, &error), error));
        const struct lorac_apply_options options = {file, path};
        struct lorac_model *trained = trained_model(&rows[i]);
        struct lorac_model *bases[] = {plain_model(&rows[i]), injected_model(&rows[i])};
        for (size_t k = 0; k < 2; k++) {
            CHECK(lorac_pass_apply.applies(bases[k], &options) && !lorac_pass_apply.applies(bases[k], NULL));
            if (CHECK_OK(lorac_pass_apply.run(bases[k], &options, &report, &error), error))
                check_same(bases[k], trained, i);
            CHECK_OK(lorac_model_check(bases[k], &error), error);
            lorac_model_free(bases[k]);
        }
        lorac_model_free(trained);
        lorac_adapter_file_close(file);
    }
}

static void test_nothing_to_do(void)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    struct lorac_model *model = plain_model(&rows[0]), *same = plain_model(&rows[0]);
    CHECK_OK(lorac_pass_apply.run(model, NULL, &report, &error), error);
    CHECK_OK(lorac_pass_combine.run(model, NULL, &report, &error), error);
    CHECK(report.changed == 0 && !lorac_pass_combine.applies(model, NULL));
    check_same(model, same, 0);
    lorac_model_free(model);
    lorac_model_free(same);
}

// ---- hostile files

// Every byte of the header changed, and some of the rest: refused in one sentence, or applied to a model that is whole.
static void test_every_byte(void)
{
    static const uint8_t changes[] = {0x01, 0x10, '"' ^ ','};
    size_t byte_count, applied = 0, refused = 0;
    uint8_t *bytes = NULL;
    write_adapter(&rows[4], &byte_count, &bytes);
    for (size_t i = 0; i < byte_count; i += i < 8 + 0x2000 ? 1 : 61)
        for (size_t k = 0; k < sizeof changes; k++) {
            struct lorac_error error = {0};
            struct lorac_pass_report report;
            struct lorac_adapter_file *file = NULL;
            bytes[i] ^= changes[k];
            FILE *out = fopen(path, "wb");
            REQUIRE(out && fwrite(bytes, 1, byte_count, out) == byte_count && fclose(out) == 0);
            bytes[i] ^= changes[k];
            if (lorac_adapter_file_open(path, &file, &error) != LORAC_OK) {
                CHECK(!file && error.message[0]);
                CHECK(lorac_adapter_file_open(path, &file, NULL) == error.status && !file);
                refused++;
                continue;
            }
            const struct lorac_apply_options options = {file, path};
            struct lorac_model *model = plain_model(&rows[4]);
            enum lorac_status status = lorac_pass_apply.run(model, &options, &report, &error);
            CHECKF(status == LORAC_OK || error.message[0], "byte %zu: status %d without a word", i, (int)status);
            if (status == LORAC_OK) {
                CHECK_OK(lorac_model_check(model, &error), error);
                applied++;
            } else {
                refused++;
            }
            lorac_model_free(model);
            lorac_adapter_file_close(file);
        }
    CHECKF(applied > 100 && refused > 1000, "%zu were applied, %zu refused", applied, refused);
    free(bytes);
}

// ---- combine

static double *merged_numbers(struct lorac_model *model, const char *conv, int32_t *type, size_t *count)
{
    struct lorac_error error = {0};
    struct lorac_weight weight;
    const Onnx__GraphProto *graph = model->proto->graph;
    const Onnx__NodeProto *node = NULL;
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(lorac_node_name(graph->node[i]), conv) == 0)
            node = graph->node[i];
    REQUIRE(node && CHECK_OK(lorac_weight_find(model, node->input[1], &weight, &error), error));
    double *values = malloc((weight.count + 1) * sizeof *values);
    REQUIRE(values && CHECK_OK(lorac_weight_to_double(model, &weight, values, weight.count, &error), error));
    *type = weight.data_type;
    *count = weight.count;
    return values;
}

static struct lorac_model *merged(struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
    CHECK_OK(lorac_model_check(model, &error), error);
    return model;
}

// 3/4 of one model and 1/2 of another: W0 + 3/4*(W1 - W0) + 1/2*(W2 - W0), where W1 and W2 are what merging gives.
static void test_combine(void)
{
    const struct row one = {8, "Gemm", {.rank = 4, .alpha = 8, .train_last = true}};
    const struct row two = {8, "Gemm",
                            {.rank = 1, .alpha = 3, .setting = LORAC_RANK_PLAIN, .form = LORAC_FORM_BRANCH,
                             .layers = "s1|half|inside", .train_first = true, .freeze_a = true, .seed = 3}};
    static const char *const convs[] = {"stem", "c1", "pw", "row.y", "half", "computed", "inside", "s1", "s2", "head"};
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    struct lorac_model *sum = plain_model(&one), *trained[] = {trained_model(&one), trained_model(&two)};
    const struct lorac_combine_part parts[] = {{trained[0], "one", 0.75}, {trained[1], "two", 0.5}};
    const struct lorac_combine_options options = {2, parts};
    REQUIRE(lorac_pass_combine.applies(sum, &options));
    REQUIRE(CHECK_OK(lorac_pass_combine.run(sum, &options, &report, &error), error));
    CHECKF(report.changed == 8, "%zu adapters", report.changed);
    CHECK_OK(lorac_model_check(sum, &error), error);
    struct lorac_model *models[] = {plain_model(&one), merged(trained[0]), merged(trained[1]), merged(sum)};
    for (size_t c = 0; c < sizeof convs / sizeof *convs; c++) {
        double *numbers[4];
        size_t count = 0;
        int32_t type = 0;
        for (size_t m = 0; m < 4; m++)
            numbers[m] = merged_numbers(models[m], convs[c], &type, &count);
        // W1, W2 and the sum are each rounded once to the type; a factor of B once more to float32.
        double epsilon = type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ? 0x1p-10 : 0x1p-21;
        for (size_t i = 0; i < count; i++) {
            double w0 = numbers[0][i], w1 = numbers[1][i], w2 = numbers[2][i];
            double expected = w0 + 0.75 * (w1 - w0) + 0.5 * (w2 - w0);
            double size = fabs(w0) + fabs(w1) + fabs(w2) + 1; // B @ A has terms of up to 1
            CHECKF(fabs(numbers[3][i] - expected) <= epsilon * size, "'%s' element %zu: %.9g, expected %.9g", convs[c],
                   i, numbers[3][i], expected);
        }
        for (size_t m = 0; m < 4; m++)
            free(numbers[m]);
    }
    for (size_t m = 0; m < 4; m++)
        lorac_model_free(models[m]);
}

int main(void)
{
    int fd = mkstemp(path);
    REQUIRE(fd >= 0 && close(fd) == 0);
    test_round_trips();
    test_nothing_to_do();
    test_every_byte();
    test_combine();
    unlink(path);
    return check_report();
}
