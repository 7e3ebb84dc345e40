// The C API on small models: what is opened, refused, predicted and evaluated.
#include "check.h"
#include "net_fixture.h"
#include "passes/inject.h"

#include <unistd.h>

// ---- open and look

static void test_info(void)
{
    static const struct {
        struct tiny_options tiny;
        size_t side, classes, trainable;
    } rows[] = {
        // first convolution 162, adapter A [6, 18] and B [18, 6], last layer 30 + 5
        {{.pixels = true}, TINY_SIDE, TINY_CLASSES, 162 + 6 * 18 + 18 * 6 + 35},
        {{.plain = true}, TINY_SIDE, TINY_CLASSES, 0},
        {{.free_size = true}, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lorac_error error = {0};
        struct lorac_info info;
        struct lorac_net *net = open_tiny(&rows[i].tiny);
        CHECK_OK(lorac_get_info(net, &info, &error), error);
        CHECK(info.channels == TINY_CHANNELS && info.height == rows[i].side && info.width == rows[i].side);
        CHECKF(info.classes == rows[i].classes, "row %zu: %zu classes", i, info.classes);
        CHECK(info.injected == !rows[i].tiny.plain && info.normalization_given == rows[i].tiny.pixels);
        CHECK(lorac_class_name(net, 0) == NULL && lorac_memory_bytes(net) == 0);
        lorac_close(net);
    }
    CHECK_STRING(lorac_version(), "0.1.0");
    lorac_close(NULL);
}

static void test_file_equals_memory(void)
{
    struct lorac_error error = {0};
    size_t byte_count = 0;
    uint8_t *bytes = tiny_bytes(&(struct tiny_options){.pixels = true}, &byte_count);
    CHECK_OK(lorac_file_write("test_net_open.onnx", bytes, byte_count, &error), error);
    struct lorac_net *from_memory = open_prepared(&(struct tiny_options){.pixels = true}, false), *from_file = NULL;
    CHECK_OK(lorac_open("test_net_open.onnx", &from_file, &error), error);
    REQUIRE(from_file != NULL);
    struct lorac_prepare_options options = lorac_prepare_options_default();
    CHECK_OK(lorac_prepare(from_file, &options, &error), error);
    float a[IMAGES * TINY_CLASSES], b[IMAGES * TINY_CLASSES];
    const struct lorac_images images = u8(0, IMAGES);
    CHECK_OK(lorac_predict(from_memory, &images, a, &error), error);
    CHECK_OK(lorac_predict(from_file, &images, b, &error), error);
    for (size_t i = 0; i < IMAGES * TINY_CLASSES; i++)
        CHECK(fabs((double)a[i] - (double)b[i]) <= SUM_TOLERANCE); // batches of 4 and of 32
    CHECK(same_bytes(from_memory, from_file));
    lorac_close(from_memory);
    lorac_close(from_file);
    unlink("test_net_open.onnx");
    free(bytes);
    struct lorac_net *none = NULL;
    CHECK(lorac_open("no such file.onnx", &none, &error) == LORAC_ERROR_IO && none == NULL);
    CHECK(lorac_open_memory("not a model", 11, &none, &error) == LORAC_ERROR_FORMAT && none == NULL);
}

// A net that is prepared again and again keeps nothing of the programs before: what stays with the model is exactly
// what the first one left there.
static void test_prepare_again(enum lorac_adapter_form form)
{
    struct lorac_error error = {0};
    struct graph graph = tiny_graph(&(struct tiny_options){.plain = true, .text = TINY_BN_TEXT});
    struct lorac_inject_options inject = lorac_inject_options_default();
    struct lorac_pass_report report = {0};
    struct lorac_net *net = NULL;
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    inject.form = form;
    REQUIRE(CHECK_OK(lorac_pass_inject.run(graph.model, &inject, &report, &error), error));
    REQUIRE(CHECK_OK(lorac_model_pack(graph.model, &bytes, &byte_count, &error), error));
    REQUIRE(CHECK_OK(lorac_open_memory(bytes, byte_count, &net, &error), error));
    size_t kept = 0;
    for (size_t i = 0; i < 4; i++) {
        struct lorac_prepare_options options = training(1);
        options.training = i % 2 == 0;
        options.batch = BATCH + i;
        CHECK_OK(lorac_prepare(net, &options, &error), error);
        const size_t now = lorac_arena_bytes(net->model->arena);
        CHECKF(i == 0 || now == kept, "form %d, prepared %zu times: %zu bytes with the model, %zu after the first",
               (int)form, i + 1, now, kept);
        kept = i == 0 ? now : kept;
    }
    lorac_close(net);
    free(bytes);
    graph_free(&graph);
}

// ---- what is refused

enum call { PREDICT, EVALUATE, TRAIN };

static const struct refusal {
    const char *name;
    struct tiny_options tiny;
    bool train; // how the net is prepared
    enum call call;
    enum lorac_pixel_type type;
    size_t count;
    int32_t label; // of the second image
    double lr;
    enum lorac_status status;
    const char *text; // in the message
} refusals[] = {
    {"no normalisation", {0}, false, PREDICT, LORAC_PIXELS_U8, 3, 0, 0, LORAC_ERROR_ARGUMENT, "normalization"},
    {"not training", {.pixels = true}, false, TRAIN, LORAC_PIXELS_U8, BATCH, 0, 0, LORAC_ERROR_ARGUMENT, "training"},
    {"short batch", {.pixels = true}, true, TRAIN, LORAC_PIXELS_U8, BATCH - 1, 0, 0, LORAC_ERROR_ARGUMENT, "exactly"},
    {"label above", {.pixels = true}, true, TRAIN, LORAC_PIXELS_U8, BATCH, 5, 0, LORAC_ERROR_MISMATCH, "label 1 is 5"},
    {"label below",
     {.pixels = true},
     true,
     TRAIN,
     LORAC_PIXELS_U8,
     BATCH,
     -1,
     0,
     LORAC_ERROR_MISMATCH,
     "label 1 is -1"},
    {"label, evaluate",
     {.pixels = true},
     false,
     EVALUATE,
     LORAC_PIXELS_U8,
     3,
     9,
     0,
     LORAC_ERROR_MISMATCH,
     "label 1 is 9"},
    {"no images", {.pixels = true}, false, EVALUATE, LORAC_PIXELS_U8, 0, 0, 0, LORAC_ERROR_ARGUMENT, "no images"},
    {"pixel type",
     {.pixels = true},
     false,
     EVALUATE,
     (enum lorac_pixel_type)7,
     3,
     0,
     0,
     LORAC_ERROR_ARGUMENT,
     "type 7"},
    {"lr below", {.pixels = true}, true, TRAIN, LORAC_PIXELS_U8, BATCH, 0, -1, LORAC_ERROR_ARGUMENT, "lr is -1"},
    {"lr NaN", {.pixels = true}, true, TRAIN, LORAC_PIXELS_U8, BATCH, 0, (double)NAN, LORAC_ERROR_ARGUMENT, "lr is"},
};

static void test_refusal(const struct refusal *row)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&row->tiny, row->train);
    struct lorac_images images = row->type == LORAC_PIXELS_U8 ? u8(0, row->count) : f32(0, row->count);
    images.type = row->type;
    const int32_t some[BATCH] = {0, row->label};
    float outputs[BATCH * TINY_CLASSES];
    struct lorac_evaluation evaluation;
    struct lorac_step_result step;
    enum lorac_status status;
    if (row->call == PREDICT)
        status = lorac_predict(net, &images, outputs, &error);
    else if (row->call == EVALUATE)
        status = lorac_evaluate(net, &images, some, NULL, NULL, &evaluation, &error);
    else
        status = lorac_train_batch(net, &images, some, &row->lr, &step, &error);
    CHECKF(status == row->status, "%s: status %d", row->name, (int)status);
    CHECKF(strstr(error.message, row->text) != NULL, "%s: message is \"%s\"", row->name, error.message);
    lorac_close(net);
}

static void test_unprepared(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    struct lorac_images images = u8(0, BATCH);
    float outputs[BATCH * TINY_CLASSES];
    struct lorac_evaluation evaluation;
    CHECK(lorac_predict(net, &images, outputs, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "lorac_prepare") != NULL);
    CHECK(lorac_train_batch(net, &images, labels, NULL, NULL, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_evaluate(net, &images, labels, NULL, NULL, &evaluation, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_predict(NULL, &images, outputs, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_predict(net, NULL, outputs, NULL) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_open(NULL, &net, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_save(net, NULL, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_save(net, "no such folder/model.onnx", &error) == LORAC_ERROR_IO);
    lorac_close(net);
}

static void test_prepare_refusals(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.plain = true});
    struct lorac_prepare_options options = training(1);
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "inject") != NULL);
    lorac_close(net);

    net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    float before[IMAGES * TINY_CLASSES], after[IMAGES * TINY_CLASSES];
    const struct lorac_images images = u8(0, IMAGES);
    CHECK_OK(lorac_predict(net, &images, before, &error), error);
    options.batch = 0;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "batch") != NULL);
    options = training(100000);
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "threads") != NULL);
    options = training(1);
    options.optimizer.momentum = 1;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "momentum") != NULL);
    options = training(1);
    options.height = TINY_SIDE + 1;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_MISMATCH);
    options = training(1);
    struct lorac_normalization two_means = {.scale = 1, .mean_count = 2};
    options.normalization = &two_means;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "mean") != NULL);
    two_means = (struct lorac_normalization){.scale = 1, .std_count = 1};
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "std") != NULL);
    // A refused preparation leaves the net as it was.
    CHECK_OK(lorac_predict(net, &images, after, &error), error);
    CHECK(memcmp(before, after, sizeof before) == 0);
    lorac_close(net);
}

static void test_free_size(void)
{
    struct lorac_error error = {0};
    struct lorac_info info;
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true, .free_size = true});
    struct lorac_prepare_options options = training(1);
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_UNSUPPORTED && strstr(error.message, "height") != NULL);
    options.height = options.width = TINY_SIDE;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK_OK(lorac_get_info(net, &info, &error), error);
    CHECK(info.classes == TINY_CLASSES && info.height == 0);
    struct lorac_net *fixed = open_prepared(&(struct tiny_options){.pixels = true}, true);
    float a[IMAGES * TINY_CLASSES], b[IMAGES * TINY_CLASSES];
    const struct lorac_images images = u8(0, IMAGES);
    CHECK_OK(lorac_predict(net, &images, a, &error), error);
    CHECK_OK(lorac_predict(fixed, &images, b, &error), error);
    CHECK(memcmp(a, b, sizeof a) == 0);
    lorac_close(fixed);
    lorac_close(net);
}

// The tiny model has one output; models with more are in tests/chain/test_new_job.py.
static void test_select_output(void)
{
    struct lorac_error error = {0};
    struct lorac_info info;
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    const char *name = net->model->proto->graph->output[0]->name;
    CHECK(lorac_select_output(net, "nobody", &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, name) != NULL);
    CHECK(lorac_select_output(NULL, NULL, &error) == LORAC_ERROR_ARGUMENT);
    CHECK_OK(lorac_select_output(net, name, &error), error);
    CHECK_OK(lorac_get_info(net, &info, &error), error);
    CHECK(info.classes == TINY_CLASSES && net->meta.output != NULL);
    CHECK_OK(lorac_select_output(net, NULL, &error), error);
    CHECK(net->meta.output == NULL);
    lorac_close(net);
}

// ---- predict and evaluate

static void test_predict(void)
{
    struct lorac_error error = {0};
    float expected[IMAGES * TINY_CLASSES], got[IMAGES * TINY_CLASSES];
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    struct lorac_images images = u8(0, IMAGES);
    CHECK_OK(lorac_predict(net, &images, expected, &error), error);
    // Pixels are normalised as the record says; float images are taken as they are.
    images = f32(0, IMAGES);
    CHECK_OK(lorac_predict(net, &images, got, &error), error);
    CHECK(memcmp(expected, got, sizeof got) == 0);
    // An image's row depends on the image alone: not on its neighbours, nor on how many there are.
    for (size_t i = 0; i < IMAGES; i++) {
        images = u8(i, 1);
        CHECK_OK(lorac_predict(net, &images, got, &error), error);
        CHECKF(memcmp(expected + i * TINY_CLASSES, got, TINY_CLASSES * sizeof *got) == 0, "image %zu alone", i);
    }
    images.count = 0;
    CHECK_OK(lorac_predict(net, &images, got, &error), error);

    struct lorac_prepare_options options = lorac_prepare_options_default();
    struct lorac_normalization bgr = {.scale = 1.0 / 255, .bgr = true};
    options.normalization = &bgr;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    uint8_t swapped[TINY_PIXELS];
    float plain[TINY_PIXELS], other[TINY_CLASSES];
    for (size_t p = 0; p < TINY_SIDE * TINY_SIDE; p++)
        for (size_t c = 0; c < TINY_CHANNELS; c++) {
            swapped[p * 3 + c] = (uint8_t)(p * 3 + c);
            plain[(2 - c) * TINY_SIDE * TINY_SIDE + p] = (float)((double)swapped[p * 3 + c] * (1.0 / 255));
        }
    images = (struct lorac_images){LORAC_PIXELS_U8, swapped, 1};
    CHECK_OK(lorac_predict(net, &images, got, &error), error);
    images = (struct lorac_images){LORAC_PIXELS_F32, plain, 1};
    CHECK_OK(lorac_predict(net, &images, other, &error), error);
    CHECK(memcmp(got, other, sizeof other) == 0);
    lorac_close(net);
}

static void test_evaluate(const char *text, bool train)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    struct lorac_net *other = open_prepared(&(struct tiny_options){.pixels = true, .text = text}, train);
    float logits[IMAGES * TINY_CLASSES], outputs[IMAGES * TINY_CLASSES];
    const struct lorac_images images = u8(0, IMAGES);
    CHECK_OK(lorac_predict(net, &images, logits, &error), error);
    size_t correct;
    const struct lorac_loss_rows rows = {logits, labels, IMAGES, TINY_CLASSES, IMAGES, 0};
    double loss = lorac_cross_entropy(&rows, NULL, &correct, NULL);
    struct lorac_evaluation evaluation = {0};
    CHECK_OK(lorac_evaluate(other, &images, labels, NULL, NULL, &evaluation, &error), error);
    CHECK(evaluation.images == IMAGES && evaluation.correct == correct);
    CHECKF(fabs(evaluation.loss - loss) <= 1e-6, "loss %.9g, expected %.9g", evaluation.loss, loss);
    CHECK_OK(lorac_predict(other, &images, outputs, &error), error);
    for (size_t i = 0; text && i < IMAGES; i++) { // it ends in a Softmax
        double sum = 0, total = 0;
        for (size_t c = 0; c < TINY_CLASSES; c++)
            total += exp((double)logits[i * TINY_CLASSES + c]);
        for (size_t c = 0; c < TINY_CLASSES; c++) {
            double expected = exp((double)logits[i * TINY_CLASSES + c]) / total;
            CHECKF(fabs((double)outputs[i * TINY_CLASSES + c] - expected) <= 1e-6, "image %zu class %zu: %g, not %g", i,
                   c, (double)outputs[i * TINY_CLASSES + c], expected);
            sum += (double)outputs[i * TINY_CLASSES + c];
        }
        CHECK(fabs(sum - 1) <= 1e-6);
    }
    lorac_close(net);
    lorac_close(other);
}

static void test_per_class(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    const struct lorac_dataset dataset = tiny_dataset();
    const struct lorac_batch_source source = {.dataset = &dataset, .normalize = net->normalize};
    size_t images[TINY_CLASSES] = {99}, correct[TINY_CLASSES] = {99}, image_sum = 0, correct_sum = 0;
    float logits[IMAGES * TINY_CLASSES], outputs[IMAGES * TINY_CLASSES];
    const struct lorac_evaluate_request request = {
        .source = &source, .logits = logits, .outputs = outputs, .class_images = images, .class_correct = correct};
    struct lorac_evaluation evaluation;
    CHECK_OK(lorac_net_evaluate(net, &request, &evaluation, &error), error);
    CHECK(memcmp(logits, outputs, sizeof logits) == 0);
    for (size_t c = 0; c < TINY_CLASSES; c++) {
        size_t expected = 0;
        for (size_t i = 0; i < IMAGES; i++)
            expected += (size_t)labels[i] == c;
        CHECK(images[c] == expected && correct[c] <= images[c]);
        image_sum += images[c];
        correct_sum += correct[c];
    }
    CHECK(image_sum == IMAGES && correct_sum == evaluation.correct);
    lorac_close(net);
}

// ---- abort

struct stop {
    size_t calls, at; // stops at this call
    size_t done, total;
};

static bool stop_evaluation(void *context, size_t done, size_t total)
{
    struct stop *stop = context;
    CHECK(done > stop->done && done <= total);
    stop->done = done;
    stop->total = total;
    return ++stop->calls == stop->at;
}

static void test_abort(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    const struct lorac_images images = u8(0, IMAGES);
    struct lorac_evaluation evaluation;
    struct stop stop = {.at = 2};
    CHECK(lorac_evaluate(net, &images, labels, stop_evaluation, &stop, &evaluation, &error) == LORAC_ERROR_ABORTED);
    CHECK(stop.calls == 2 && stop.done == 2 * BATCH && stop.total == IMAGES);
    stop = (struct stop){.at = 0};
    CHECK_OK(lorac_evaluate(net, &images, labels, stop_evaluation, &stop, &evaluation, &error), error);
    CHECK(stop.calls == (IMAGES + BATCH - 1) / BATCH && stop.done == IMAGES);
    lorac_close(net);
}

int main(void)
{
    make_images();
    test_info();
    test_file_equals_memory();
    test_prepare_again(LORAC_FORM_WEIGHT);
    test_prepare_again(LORAC_FORM_BRANCH);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        test_refusal(&refusals[i]);
    test_unprepared();
    test_prepare_refusals();
    test_free_size();
    test_select_output();
    test_predict();
    test_evaluate(NULL, false);
    test_evaluate(NULL, true);
    test_evaluate(TINY_SOFTMAX_TEXT, false);
    test_evaluate(TINY_SOFTMAX_TEXT, true);
    test_per_class();
    test_abort();
    return check_report();
}
