// merge: puts the adapters into the weights and checks, before anything is written, that the plain model computes the
// same. With --adapter the adapters come from files.
#include "adapter_list.h"
#include "compare.h"
#include "passes/merge.h"
#include "proto/model_inline.h"
#include "report.h"
#include "signals.h"

struct merge_settings {
    const char *output;
    struct lorac_texts adapters;
    bool check;
    struct lorac_compare_settings compare;
    struct lorac_data_settings data;
    struct lorac_pixel_settings pixels;
    struct lorac_run_settings run;
    struct lorac_write_settings write;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct merge_settings, member)
// clang-format off
static const struct lorac_option merge_options[] = {
    {.name = "output", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "OUT.onnx", .required = true,
     .writes = true, .offset = FIELD(output), .help = "Where the merged model goes; not the input."},
    {.name = "adapter", .type = LORAC_OPTION_TEXTS, .value = "FILE[=W]", .offset = FIELD(adapters),
     .fallback_text = "those of the model",
     .help = "Adapters that extract wrote, for a base model; several, each with its weight W (1 where it is left out), "
             "add up."},
    {.name = "no-check", .type = LORAC_OPTION_NO_FLAG, .offset = FIELD(check),
     .help = "Write without running both models first."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Files", merge_options, 0},
    {"Large models", lorac_write_options, FIELD(write)},
    {"Check", lorac_compare_options, FIELD(compare)},
    {"Data for the check, beside random images", lorac_data_options, FIELD(data)},
    {"Pixels (over what the model records)", lorac_pixel_options, FIELD(pixels)},
    {"Running", lorac_run_options, FIELD(run)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

// The merged model: alone, or in the net that has run it, which leaves it as it is.
struct merged {
    struct lorac_adapter_list adapters;
    struct lorac_model *model; // owned by the net where there is one
    struct lorac_net *net;
    struct lorac_pass_report report; // its notes are the model's
};

static void clear_merged(struct merged *merged)
{
    lorac_adapter_list_clear(&merged->adapters);
    if (merged->net)
        lorac_close(merged->net);
    else
        lorac_model_free(merged->model);
}

static enum lorac_status check_settings(const struct lorac_call *call, struct lorac_error *error)
{
    const struct merge_settings *settings = call->options.settings;
    static const char *const check_flags[] = {"data", "tolerance", "random", "batch"};
    LORAC_TRY(lorac_pixels_check(call, error));
    LORAC_TRY(lorac_data_check(call, &settings->data, error));
    for (size_t i = 0; !settings->check && i < sizeof check_flags / sizeof *check_flags; i++)
        if (lorac_options_given(&call->options, check_flags[i]))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--no-check contradicts --%s: give one of them",
                                   check_flags[i]);
    return LORAC_OK;
}

// What the names of files tell, and the files of adapters.
static enum lorac_status check_files(const struct lorac_call *call, const struct merge_settings *settings,
                                     struct lorac_adapter_list *adapters, struct lorac_error *error)
{
    LORAC_TRY(lorac_adapter_list_read(&settings->adapters, adapters, error));
    const char *inputs[LORAC_TEXTS_MAX + 3] = {call->operands[0], settings->data.data ? settings->data.data : ""};
    for (size_t i = 0; i < adapters->count; i++)
        inputs[2 + i] = adapters->items[i].path;
    LORAC_TRY(lorac_output_check("-o", settings->output, inputs, error));
    return lorac_adapter_list_open(adapters, error);
}

static enum lorac_status check_injected(const struct lorac_meta *meta, const char *path, struct lorac_error *error)
{
    if (!meta->injected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' has no adapters: there is nothing to merge", path);
    return LORAC_OK;
}

// The model that is merged: as the file has it, or with the adapters of --adapter.
static enum lorac_status load_trained(const struct lorac_call *call, const struct lorac_adapter_list *adapters,
                                      struct lorac_model **out, struct lorac_error *error)
{
    const char *path = call->operands[0];
    return adapters->count > 0 ? lorac_adapter_list_apply(adapters, path, out, error)
                               : lorac_model_load(path, out, error);
}

static enum lorac_status run_trained(const struct lorac_call *call, const struct lorac_adapter_list *adapters,
                                     struct lorac_comparison *comparison, struct lorac_error *error)
{
    const struct merge_settings *settings = call->options.settings;
    struct lorac_model *model = NULL;
    struct lorac_net *net = NULL;
    LORAC_TRY(load_trained(call, adapters, &model, error));
    enum lorac_status status =
        lorac_error_prefix(error, lorac_net_open_model(model, &net, error), "'%s': ", call->operands[0]);
    if (status == LORAC_OK)
        status = lorac_output_check_model("-o", settings->output, net->model, error);
    if (status == LORAC_OK)
        status = check_injected(&net->meta, call->operands[0], error);
    if (status == LORAC_OK)
        status = lorac_comparison_first(comparison, net, call->operands[0], error);
    // Known classes: the model could be made ready, and it is the data that is not supported.
    if (status == LORAC_ERROR_UNSUPPORTED && net && comparison->classes == 0)
        lorac_report_append(error, "; --no-check merges without running it");
    lorac_close(net);
    return status;
}

static enum lorac_status merge(const struct lorac_call *call, struct merged *merged, struct lorac_error *error)
{
    const struct merge_settings *settings = call->options.settings;
    const char *path = call->operands[0];
    struct lorac_meta meta;
    LORAC_TRY(load_trained(call, &merged->adapters, &merged->model, error));
    LORAC_TRY(lorac_output_check_model("-o", settings->output, merged->model, error));
    LORAC_TRY(lorac_model_save_check(merged->model, settings->output, lorac_write_place(&settings->write), error));
    LORAC_TRY(lorac_model_inline(merged->model, NULL, error)); // as running it would
    LORAC_TRY(lorac_meta_read(merged->model, &meta, error));
    LORAC_TRY(check_injected(&meta, path, error));
    return lorac_pass_merge.run(merged->model, NULL, &merged->report, error);
}

static enum lorac_status run_merged(struct merged *merged, struct lorac_comparison *comparison,
                                    struct lorac_error *error)
{
    struct lorac_model *model = merged->model;
    merged->model = NULL; // the net's from here on
    LORAC_TRY(lorac_net_open_model(model, &merged->net, error));
    merged->model = model;
    return lorac_comparison_second(comparison, merged->net, "the merged model", error);
}

static enum lorac_status merge_checked(const struct lorac_call *call, struct lorac_comparison *comparison,
                                       struct merged *merged, struct lorac_error *error)
{
    const struct merge_settings *settings = call->options.settings;
    LORAC_TRY(check_settings(call, error));
    LORAC_TRY(check_files(call, settings, &merged->adapters, error));
    if (settings->check)
        LORAC_TRY(run_trained(call, &merged->adapters, comparison, error));
    LORAC_TRY(merge(call, merged, error));
    if (settings->check)
        LORAC_TRY(run_merged(merged, comparison, error));
    struct lorac_saved saved;
    lorac_signals_hold();
    enum lorac_status written =
        lorac_model_save_as(merged->model, settings->output, lorac_write_place(&settings->write), &saved, error);
    lorac_signals_release();
    LORAC_TRY(written);
    lorac_write_note_unused(call, settings->output, &saved);
    printf("merged %zu adapter%s", merged->report.changed, merged->report.changed == 1 ? "" : "s");
    if (merged->adapters.count > 0)
        printf(" of %zu file%s", merged->adapters.count, merged->adapters.count == 1 ? "" : "s");
    printf("\n");
    for (size_t i = 0; i < merged->report.note_count; i++)
        printf("%s\n", merged->report.notes[i]);
    printf("wrote %s\n", settings->output);
    return LORAC_OK;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const struct merge_settings *settings = call->options.settings;
    struct lorac_error error = {0};
    struct merged merged = {0};
    struct lorac_comparison comparison = {.call = call,
                                          .settings = &settings->compare,
                                          .data = &settings->data,
                                          .pixels = &settings->pixels,
                                          .run = &settings->run,
                                          .use_random = true};
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (merge_checked(call, &comparison, &merged, &error) != LORAC_OK) {
        if (error.status == LORAC_ERROR_TOLERANCE)
            lorac_error_prefix(&error, error.status, "nothing was written: ");
        code = lorac_report_failure(call, &error);
    }
    clear_merged(&merged);
    lorac_comparison_clear(&comparison);
    return code;
}

extern const struct lorac_command lorac_command_merge;
const struct lorac_command lorac_command_merge = {
    .name = "merge",
    .summary = "put trained adapters into the weights: a plain model",
    .synopsis = "MODEL.onnx -o OUT.onnx [--adapter FILE[=W] ...] [--data FILE] [options]",
    .description =
        "Computes W = W0 + (alpha/rank) * view(B*A) for each adapter and removes the adapters. Then runs both\n"
        "models on random images (and on --data) and writes only where their outputs agree. With --adapter the\n"
        "model is a base model, plain or injected, and W = W0 + the sum of w*(W_file - W0).\n",
    .examples = "  lorac-onnx merge trained.onnx -o plain.onnx\n"
                "  lorac-onnx merge trained.onnx -o plain.onnx --data test_x.npy --range 0:500\n"
                "  lorac-onnx merge base.onnx -o both.onnx --adapter fog.safetensors=0.7 --adapter snow.safetensors=0.3\n",
    .operand_count = 1,
    .operand_help = "give the trained model: lorac-onnx merge MODEL.onnx -o OUT.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct merge_settings),
    .check = check_settings,
    .run = run,
};
