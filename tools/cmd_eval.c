// eval: accuracy, loss and speed of any model that the runtime can run, and its raw outputs.
#include "data_group.h"
#include "eval_details.h"
#include "report.h"
#include "signals.h"
#include "tune.h"
#include "runtime/train/fill.h"
#include "runtime/train/loop.h"

#include "proto/size.h"

#include <math.h>
#include <stdlib.h>

struct eval_settings {
    struct lorac_data_settings data;
    struct lorac_pixel_settings pixels;
    struct lorac_run_settings run;
    struct lorac_tune_settings tune;
    struct lorac_general_settings general;
    int64_t batch;
    bool per_class, confusion, json;
    int64_t wrong; // 0: none
    const char *outputs, *output_name;
};

#define FIELD(member) offsetof(struct eval_settings, member)
// clang-format off
static const struct lorac_option eval_options[] = {
    {.name = "per-class", .type = LORAC_OPTION_FLAG, .offset = FIELD(per_class),
     .help = "Accuracy of each class as well."},
    {.name = "confusion", .type = LORAC_OPTION_FLAG, .offset = FIELD(confusion),
     .help = "Which classes are taken for which: a table, of more than 20 classes the most frequent pairs."},
    {.name = "wrong", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(wrong), .fallback = "0",
     .help = "The N wrong images with the largest loss.", .limit = LORAC_FROM_TO(0, UINT32_MAX)},
    {.name = "json", .type = LORAC_OPTION_FLAG, .offset = FIELD(json),
     .help = "Print JSON: images, accuracy (0 to 1), loss, images_per_second; of image files also skipped."},
    {.name = "outputs", .type = LORAC_OPTION_PATH, .value = "FILE.npy", .writes = true, .offset = FIELD(outputs),
     .help = "Write the raw outputs, float32 [N, classes]; NaN where an image cannot be read."},
    {.name = "output-name", .type = LORAC_OPTION_STRING, .value = "NAME", .offset = FIELD(output_name),
     .fallback_text = "the model's record, else its first", .help = "Which of several outputs is evaluated."},
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Images that are run at once.", .limit = LORAC_FROM_TO(1, 65536)},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Results", eval_options, 0},
    {"Data", lorac_labelled_data_options, FIELD(data)},
    {"Pixels (over what the model records)", lorac_pixel_options, FIELD(pixels)},
    {"Running", lorac_run_options, FIELD(run)},
    {"Tuning", lorac_tune_options, FIELD(tune)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

// What one evaluation works with; all owned here.
struct evaluation {
    struct lorac_net *net;
    bool open; // the dataset is
    struct lorac_dataset dataset;
    struct lorac_normalize normalize;
    size_t classes;
    float *outputs;                       // [images, classes], where wanted
    size_t *class_images, *class_correct; // [classes], where wanted
    struct lorac_prediction *predictions; // [images], where wanted
    struct lorac_evaluation result;
    double seconds;
};

// Of the options that need labels, the one that was given; NULL: none.
static const char *labels_needed_by(const struct eval_settings *settings)
{
    return settings->per_class ? "per-class" : settings->confusion ? "confusion" : settings->wrong ? "wrong" : NULL;
}

static enum lorac_status check_settings(const struct lorac_call *call, struct lorac_error *error)
{
    const struct eval_settings *settings = call->options.settings;
    LORAC_TRY(lorac_pixels_check(call, error));
    LORAC_TRY(lorac_data_check(call, &settings->data, error));
    return lorac_tune_check_flags(&settings->tune, error);
}

// What the names of files tell.
static enum lorac_status check_names(const struct lorac_call *call, const struct eval_settings *settings,
                                     struct lorac_error *error)
{
    const char *inputs[] = {call->operands[0], settings->data.data, settings->data.labels ? settings->data.labels : "",
                            NULL};
    const char *others[] = {inputs[0], inputs[1], inputs[2], settings->outputs ? settings->outputs : "", NULL};
    LORAC_TRY(lorac_tune_check(&settings->tune, others, error));
    return settings->outputs ? lorac_output_check("--outputs", settings->outputs, inputs, error) : LORAC_OK;
}

static enum lorac_status allocate(struct evaluation *evaluation, const struct eval_settings *settings,
                                  struct lorac_error *error)
{
    size_t count;
    if (settings->outputs) {
        if (!lorac_size_multiply(evaluation->dataset.count, evaluation->classes, &count) ||
            !(evaluation->outputs = calloc(count, sizeof *evaluation->outputs)))
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the outputs of %zu images",
                                   evaluation->dataset.count);
    }
    if ((settings->confusion || settings->wrong) &&
        !(evaluation->predictions = calloc(evaluation->dataset.count, sizeof *evaluation->predictions)))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the predictions of %zu images",
                               evaluation->dataset.count);
    if (settings->per_class) {
        evaluation->class_images = calloc(evaluation->classes, sizeof *evaluation->class_images);
        evaluation->class_correct = calloc(evaluation->classes, sizeof *evaluation->class_correct);
        if (!evaluation->class_images || !evaluation->class_correct)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu classes", evaluation->classes);
    }
    return LORAC_OK;
}

static enum lorac_status open_data(const struct lorac_call *call, struct evaluation *evaluation,
                                   const struct lorac_input_shape *shape, struct lorac_error *error)
{
    const struct eval_settings *settings = call->options.settings;
    const struct lorac_net *net = evaluation->net;
    const struct lorac_data_request request = {.call = call,
                                               .data = &settings->data,
                                               .shape = shape,
                                               .labelled = true,
                                               .classes = net->classes,
                                               .class_count = net->meta.class_count,
                                               .class_names = net->meta.classes,
                                               .batch = (size_t)settings->batch};
    LORAC_TRY(lorac_data_open(&request, &evaluation->dataset, error));
    evaluation->open = true;
    if (labels_needed_by(settings) && !evaluation->dataset.labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s needs --labels FILE", labels_needed_by(settings));
    return lorac_pixels_prepare(call, &settings->pixels, &net->meta.input, &evaluation->dataset, &evaluation->normalize,
                                error);
}

// Opens the data and makes them and the model ready.
static enum lorac_status prepare(const struct lorac_call *call, struct evaluation *evaluation,
                                 struct lorac_error *error)
{
    const struct eval_settings *settings = call->options.settings;
    struct lorac_input_shape shape;
    struct lorac_info info;
    struct lorac_net *net = evaluation->net;
    if (settings->outputs)
        LORAC_TRY(lorac_output_check_model("--outputs", settings->outputs, net->model, error));
    LORAC_TRY(lorac_select_output(net, settings->output_name, error));
    LORAC_TRY(lorac_run_input_shape(&settings->run, &net->input, &shape, error));
    LORAC_TRY(lorac_error_prefix(error, lorac_get_info(net, &info, error), "'%s': ", call->operands[0]));
    if (net->classes > 0) // known before all the memory is taken, so that bad data is found sooner
        LORAC_TRY(open_data(call, evaluation, &shape, error));
    struct lorac_prepare_options options = lorac_prepare_options_default();
    lorac_run_apply(&settings->run, settings->batch, &options);
    LORAC_TRY(lorac_tune_prepare(call, &settings->tune, net, call->operands[0], &options, error));
    if (!evaluation->open)
        LORAC_TRY(open_data(call, evaluation, &shape, error));
    evaluation->classes = net->classes;
    LORAC_TRY(lorac_error_prefix(error, lorac_fill_check(net, &evaluation->dataset, error), "'%s': ",
                                 settings->data.data)); // to name the file
    lorac_run_note_threads(call, &settings->run);
    lorac_pixels_note_unused(call, &evaluation->dataset);
    return LORAC_OK;
}

static enum lorac_status evaluate(const struct lorac_call *call, struct evaluation *evaluation,
                                  struct lorac_error *error)
{
    const struct eval_settings *settings = call->options.settings;
    LORAC_TRY(lorac_open(call->operands[0], &evaluation->net, error));
    LORAC_TRY(prepare(call, evaluation, error));
    LORAC_TRY(allocate(evaluation, settings, error));
    const struct lorac_batch_source source = {.dataset = &evaluation->dataset,
                                              .normalize = evaluation->normalize,
                                              .seed = settings->data.seed};
    const struct lorac_evaluate_request request = {.source = &source,
                                                   .outputs = evaluation->outputs,
                                                   .predictions = evaluation->predictions,
                                                   .class_images = evaluation->class_images,
                                                   .class_correct = evaluation->class_correct};
    double start = lorac_seconds();
    LORAC_TRY(lorac_net_evaluate(evaluation->net, &request, &evaluation->result, error));
    evaluation->seconds = lorac_seconds() - start;
    return LORAC_OK;
}

// ---- results

static double images_per_second(const struct evaluation *evaluation)
{
    return (double)evaluation->result.images / (evaluation->seconds > 0 ? evaluation->seconds : 1e-9);
}

static double accuracy(size_t correct, size_t images)
{
    return images ? (double)correct / (double)images : NAN;
}

static enum lorac_status print_classes(const struct evaluation *evaluation, struct lorac_error *error)
{
    static const char *const headers[] = {"class", "name", "images", "correct", "accuracy"};
    const struct lorac_eval_details details = {evaluation->net, &evaluation->dataset, NULL};
    struct lorac_table table;
    lorac_table_init(&table, 5, "rlrrr", headers);
    for (size_t i = 0; i < evaluation->classes; i++) {
        const char *name = lorac_eval_class_name(&details, i);
        lorac_table_cell(&table, "%zu", i);
        lorac_table_cell(&table, "%s", name ? name : "-");
        lorac_table_cell(&table, "%zu", evaluation->class_images[i]);
        lorac_table_cell(&table, "%zu", evaluation->class_correct[i]);
        if (evaluation->class_images[i])
            lorac_table_cell(&table, "%.2f %%",
                             100 * accuracy(evaluation->class_correct[i], evaluation->class_images[i]));
        else
            lorac_table_cell(&table, "-");
    }
    putchar('\n');
    return lorac_table_finish(&table, stdout, error);
}

static json_t *classes_json(const struct evaluation *evaluation)
{
    const struct lorac_eval_details details = {evaluation->net, &evaluation->dataset, NULL};
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < evaluation->classes; i++) {
        size_t images = evaluation->class_images[i], correct = evaluation->class_correct[i];
        json_t *row =
            json_pack("{s:I, s:o, s:I, s:I, s:o}", "class", (json_int_t)i, "name",
                      lorac_json_text(lorac_eval_class_name(&details, i)), "images", (json_int_t)images, "correct",
                      (json_int_t)correct, "accuracy", lorac_json_number(accuracy(correct, images)));
        rows = lorac_json_with_item(rows, row);
    }
    return rows;
}

static enum lorac_status print_json(const struct evaluation *evaluation, const struct eval_settings *settings,
                                    bool labelled, struct lorac_error *error)
{
    const struct lorac_eval_details details = {evaluation->net, &evaluation->dataset, evaluation->predictions};
    const struct lorac_evaluation *result = &evaluation->result;
    json_t *root = json_pack("{s:I, s:o, s:o, s:o}", "images", (json_int_t)result->images, "accuracy",
                             lorac_json_number(labelled ? accuracy(result->correct, result->images) : NAN), "loss",
                             lorac_json_number(labelled ? result->loss : NAN), "images_per_second",
                             lorac_json_number(images_per_second(evaluation)));
    if (root && evaluation->dataset.loader)
        root = lorac_json_with_member(root, "skipped",
                                      json_integer((json_int_t)(evaluation->dataset.count - result->images)));
    if (root && evaluation->class_images)
        root = lorac_json_with_member(root, "per_class", classes_json(evaluation));
    if (root && settings->confusion)
        root = lorac_json_with_member(root, "confusion", lorac_confusion_json(&details));
    if (root && settings->wrong)
        root = lorac_json_with_member(root, "wrong", lorac_wrong_json(&details, (size_t)settings->wrong));
    return lorac_json_write(root, error);
}

static enum lorac_status print_text(const struct evaluation *evaluation, const struct eval_settings *settings,
                                    bool labelled, struct lorac_error *error)
{
    const struct lorac_eval_details details = {evaluation->net, &evaluation->dataset, evaluation->predictions};
    const struct lorac_evaluation *result = &evaluation->result;
    printf("images      %zu\n", result->images);
    if (result->images < evaluation->dataset.count)
        printf("skipped     %zu (cannot be read)\n", evaluation->dataset.count - result->images);
    if (labelled) {
        printf("accuracy    %.2f %% (%zu)\n", 100 * accuracy(result->correct, result->images), result->correct);
        printf("mean loss   %.4f\n", result->loss);
    }
    printf("images/s    %.0f\n", images_per_second(evaluation));
    if (settings->per_class)
        LORAC_TRY(print_classes(evaluation, error));
    if (settings->confusion)
        LORAC_TRY(lorac_confusion_print(&details, error));
    return settings->wrong ? lorac_wrong_print(&details, (size_t)settings->wrong, error) : LORAC_OK;
}

static enum lorac_status report(const struct lorac_call *call, const struct evaluation *evaluation,
                                struct lorac_error *error)
{
    const struct eval_settings *settings = call->options.settings;
    bool labelled = evaluation->dataset.labels != NULL;
    if (settings->outputs) {
        lorac_signals_hold();
        enum lorac_status written = lorac_npy_write_f32(settings->outputs, evaluation->outputs,
                                                        evaluation->dataset.count, evaluation->classes, error);
        lorac_signals_release();
        LORAC_TRY(written);
    }
    LORAC_TRY(settings->json ? print_json(evaluation, settings, labelled, error)
                             : print_text(evaluation, settings, labelled, error));
    if (labelled && !isfinite(evaluation->result.loss))
        return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                               "the mean loss is not finite: the model gives NaN or "
                               "infinite outputs for some of these images");
    return LORAC_OK;
}

static void clear(struct evaluation *evaluation)
{
    free(evaluation->outputs);
    free(evaluation->class_images);
    free(evaluation->class_correct);
    free(evaluation->predictions);
    lorac_dataset_clear(&evaluation->dataset);
    lorac_close(evaluation->net);
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error)
{
    struct evaluation evaluation = {0};
    enum lorac_status status = lorac_rehearse_open(model, &evaluation.net, error);
    if (status == LORAC_OK)
        status = prepare(call, &evaluation, error);
    clear(&evaluation);
    return status;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    struct lorac_error error = {0};
    struct evaluation evaluation = {0};
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (check_settings(call, &error) != LORAC_OK || check_names(call, call->options.settings, &error) != LORAC_OK ||
        evaluate(call, &evaluation, &error) != LORAC_OK || report(call, &evaluation, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    clear(&evaluation);
    return code;
}

extern const struct lorac_command lorac_command_eval;
const struct lorac_command lorac_command_eval = {
    .name = "eval",
    .summary = "accuracy, loss and speed of a model on images",
    .synopsis = "MODEL.onnx --data FILE [--labels FILE] [options]",
    .description = "Runs a plain, injected, trained or merged model on images. Without --labels only the speed is\n"
                   "measured, and --outputs can be written.\n",
    .examples = "  lorac-onnx eval trained.onnx --data test_x.npy --labels test_y.npy --per-class\n"
                "  lorac-onnx eval trained.onnx --data test_x.npy --labels test_y.npy --confusion --wrong 20\n"
                "  lorac-onnx eval plain.onnx --data test_x.npy --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\\n"
                "      --outputs logits.npy --json\n",
    .operand_count = 1,
    .operand_help = "give the model: lorac-onnx eval MODEL.onnx --data FILE",
    .groups = groups,
    .settings_bytes = sizeof(struct eval_settings),
    .check = check_settings,
    .rehearse = rehearse,
    .run = run,
};
