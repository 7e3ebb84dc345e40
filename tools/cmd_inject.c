// inject: gives a model its adapters.
#include "adapters.h"
#include "groups.h"
#include "new_job.h"
#include "proto/model_inline.h"
#include "report.h"
#include "runtime/lower.h"
#include "signals.h"
#include "verdict.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

struct inject_settings {
    const char *output;
    uint64_t seed;
    struct lorac_adapter_settings adapters;
    struct lorac_new_job_settings new_job;
    struct lorac_pixel_settings pixels;
    struct lorac_write_settings write;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct inject_settings, member)
// clang-format off
static const struct lorac_option inject_options[] = {
    {.name = "output", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "OUT.onnx", .required = true,
     .writes = true, .offset = FIELD(output), .help = "Where the injected model goes; not the input."},
    {.name = "seed", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(seed), .fallback = "0",
     .help = "Seed of all that starts at random."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Files", inject_options, 0},
    {"Large models", lorac_write_options, FIELD(write)},
    {"What is trained", lorac_adapter_options, FIELD(adapters)},
    {"A new job (changes the model before it is injected; merge keeps it)", lorac_new_job_options, FIELD(new_job)},
    {"Pixels (recorded in the model where any is given)", lorac_pixel_options, FIELD(pixels)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

static enum lorac_status check_settings(const struct lorac_call *call, struct lorac_error *error)
{
    struct inject_settings *settings = call->options.settings;
    LORAC_TRY(lorac_adapters_check(call, &settings->adapters, error));
    LORAC_TRY(lorac_new_job_check(call, &settings->new_job, error));
    return lorac_pixels_check(call, error);
}

// What the names of files tell.
static enum lorac_status check_names(const struct lorac_call *call, struct lorac_error *error)
{
    const struct inject_settings *settings = call->options.settings;
    const char *names = settings->new_job.class_names, *labels = settings->new_job.label_names;
    const char *inputs[] = {call->operands[0], names ? names : "", labels ? labels : "", NULL};
    return lorac_output_check("-o", settings->output, inputs, error);
}

static enum lorac_status print_skipped(const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    static const char *const headers[] = {"  not adapted", "reason"};
    struct lorac_table table;
    lorac_table_init(&table, 2, "ll", headers);
    for (size_t i = 0; i < plan->row_count; i++)
        if (!plan->rows[i].adapted) {
            lorac_table_cell(&table, "  %s", plan->rows[i].name);
            lorac_table_cell(&table, "%s", plan->rows[i].reason);
        }
    return lorac_table_finish(&table, stdout, error);
}

static enum lorac_status print_report(const struct lorac_pass_report *report, const struct lorac_inject_plan *plan,
                                      const struct lorac_trainable_split *split, const struct inject_settings *settings,
                                      struct lorac_error *error)
{
    char text[LORAC_SPLIT_TEXT];
    size_t adapted = 0, branches = 0;
    for (size_t i = 0; i < plan->row_count; i++) {
        adapted += plan->rows[i].adapted;
        branches += plan->rows[i].adapted && plan->rows[i].form == LORAC_FORM_BRANCH;
    }
    if (branches > 0)
        printf("%zu of %zu adapters are branches\n", branches, adapted);
    if (adapted < plan->row_count && !settings->adapters.train_all)
        LORAC_TRY(print_skipped(plan, error));
    if (!plan->last_layer)
        printf("no last layer: %s\n", plan->last_reason ? plan->last_reason : "not found");
    for (size_t i = 0; i < report->note_count; i++)
        printf("%s\n", report->notes[i]);
    printf("trainable %" PRId64 " of %" PRId64 " parameters (%.2f %%): %s\n", split->total,
           plan->parameters + split->copies, lorac_split_percent(split, plan), lorac_split_text(split, text));
    if (split->copies > 0)
        printf("%" PRId64 " of them are copies of tensors that other nodes use too\n", split->copies);
    printf("wrote %s\n", settings->output);
    return LORAC_OK;
}

// ---- notes: what was asked for is done, but may not be what was meant

static void note_rank(const struct lorac_call *call, const struct lorac_inject_plan *plan)
{
    const struct lorac_conv_row *example = NULL;
    int64_t example_rank = 0;
    size_t count = 0;
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct lorac_conv_row *row = &plan->rows[i];
        if (!row->adapted)
            continue;
        int64_t rows = row->dims[0] * row->dims[2], columns = row->dims[1] * row->dims[3];
        int64_t full = rows < columns ? rows : columns;
        if (row->R <= full)
            continue;
        count++;
        if (!example) {
            example = row;
            example_rank = full;
        }
    }
    if (example)
        lorac_report_note(call,
                          "note: rank %" PRId64 " is above the full rank of %zu convolution%s (e.g. '%s': inner "
                          "dimension %" PRId64 " of %" PRId64 "): a smaller --rank loses nothing",
                          example->rank, count, count == 1 ? "" : "s", example->name, example->R,
                          example_rank);
}

static void note_unmatched(const struct lorac_call *call, const struct lorac_inject_plan *plan, const char *option,
                           const char *pattern)
{
    regex_t regex;
    bool found = false;
    if (!pattern || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return;
    for (size_t i = 0; i < plan->row_count && !found; i++)
        found = regexec(&regex, plan->rows[i].name, 0, NULL, 0) == 0;
    regfree(&regex);
    if (!found)
        lorac_report_note(call, "note: %s '%s' matches no convolution; see inspect for the names", option, pattern);
}

// Why the injected model cannot be trained here, in *reason; an empty message where it can. (Any ONNX model can be
// injected.)
static void try_training(struct lorac_model *model, struct lorac_trial *trial, struct lorac_error *reason)
{
    const struct lorac_size none = {0};
    struct lorac_meta meta;
    if (lorac_meta_read(model, &meta, reason) == LORAC_OK)
        lorac_trial_size(model, &meta, &none, true, trial, reason);
}

// The verdict comes before anything is written.
static void print_verdict(const struct lorac_call *call, const struct lorac_model *model,
                          const struct lorac_inject_plan *plan, const struct lorac_trial *trial,
                          const struct lorac_error *reason)
{
    bool fails = reason->status != LORAC_OK && reason->status != LORAC_ERROR_MEMORY;
    struct lorac_verdict verdict = lorac_verdict_of(model, plan, trial, fails ? reason->message : NULL);
    printf("%s\n", verdict.text);
    if (fails)
        printf("adapters on %zu of %zu convolutions all the same\n", verdict.adapted, plan->row_count);
    if (fails)
        lorac_report_note(call, "note: this model cannot be trained yet: %s; lorac-onnx inspect lists all",
                          reason->message);
}

static void note_loss(const struct lorac_call *call, struct lorac_model *model, const struct lorac_inject_plan *plan)
{
    char text[LORAC_ERROR_MESSAGE_BYTES];
    if (lorac_loss_note(model, plan->output, text, sizeof text))
        lorac_report_note(call, "note: %s", text);
}

// A refusal because of the last layer, which another output may have.
static enum lorac_status refused(const struct lorac_model *model, const struct lorac_inject_plan *plan,
                                 enum lorac_status status, struct lorac_error *error)
{
    char outputs[LORAC_OUTPUTS_TEXT];
    if (!plan->last_layer)
        lorac_report_append(error, lorac_outputs_text(model, outputs));
    return status;
}

// What inject did to a model in memory.
struct injection {
    struct lorac_inject_options options;
    struct lorac_inject_plan plan;
    struct lorac_pass_report report;
    struct lorac_trainable_split split;
};

static enum lorac_status inject_model(const struct lorac_call *call, struct lorac_model *model,
                                      struct lorac_new_job *job, struct injection *out, struct lorac_error *error)
{
    const struct inject_settings *settings = call->options.settings;
    struct lorac_meta meta;
    char tool[64];
    snprintf(tool, sizeof tool, "lorac-onnx %s", lorac_version());
    out->options = lorac_inject_options_default();
    lorac_adapters_fill(&settings->adapters, &out->options);
    out->options.seed = settings->seed;
    out->options.tool = tool;
    LORAC_TRY(lorac_output_check_model("-o", settings->output, model, error));
    LORAC_TRY(lorac_model_save_check(model, settings->output, lorac_write_place(&settings->write), error));
    LORAC_TRY(lorac_model_inline(model, &job->call_count, error));
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has adapters already: merge it first, or inject the base model",
                               call->operands[0]);
    lorac_pixels_resolve(call, &settings->pixels, &meta.input, &out->options.input);
    LORAC_TRY(lorac_new_job_apply(&settings->new_job, model, &out->options, job, error));
    // Planned before the pass runs: afterwards the rows would say what is there and not what was skipped and why.
    LORAC_TRY(lorac_inject_plan(model, &out->options, &out->plan, error));
    if (!model->rewrites_unchanged)
        lorac_report_note(call,
                          "note: '%s' is stored in another way than this program writes; merging will give a model "
                          "that says the same, but not the same bytes",
                          call->operands[0]);
    lorac_adapters_split(model, &meta, &out->plan, &out->split);
    enum lorac_status injected = lorac_pass_inject.run(model, &out->options, &out->report, error);
    out->options.tool = NULL; // the text ends here
    if (injected != LORAC_OK)
        return refused(model, &out->plan, injected, error);
    return lorac_new_job_verify(job, model, error);
}

static enum lorac_status inject(const struct lorac_call *call, struct lorac_model *model, struct lorac_new_job *job,
                                struct lorac_error *error)
{
    const struct inject_settings *settings = call->options.settings;
    struct injection injection;
    struct lorac_trial trial = {0};
    struct lorac_saved saved;
    struct lorac_error reason = {0};
    LORAC_TRY(inject_model(call, model, job, &injection, error));
    const struct lorac_inject_plan *plan = &injection.plan;
    note_rank(call, plan);
    note_unmatched(call, plan, "--exclude", settings->adapters.exclude);
    note_unmatched(call, plan, "--branch-layers", settings->adapters.branch_layers);
    for (size_t i = 0; i < injection.options.override_count; i++)
        note_unmatched(call, plan, "--override", injection.options.overrides[i].layers);
    note_loss(call, model, plan);
    try_training(model, &trial, &reason);
    print_verdict(call, model, plan, &trial, &reason);
    lorac_signals_hold();
    enum lorac_status written =
        lorac_model_save_as(model, settings->output, lorac_write_place(&settings->write), &saved, error);
    lorac_signals_release();
    LORAC_TRY(written);
    lorac_write_note_unused(call, settings->output, &saved);
    lorac_new_job_print(job, &settings->new_job);
    LORAC_TRY(print_report(&injection.report, plan, &injection.split, settings, error));
    return LORAC_OK;
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error)
{
    struct lorac_new_job job = {0};
    struct injection injection;
    const enum lorac_status status = inject_model(call, *model, &job, &injection, error);
    lorac_new_job_clear(&job);
    return status;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    struct lorac_new_job job = {0};
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (check_settings(call, &error) != LORAC_OK || check_names(call, &error) != LORAC_OK ||
        lorac_model_load(call->operands[0], &model, &error) != LORAC_OK || inject(call, model, &job, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_new_job_clear(&job);
    lorac_model_free(model);
    return code;
}

extern const struct lorac_command lorac_command_inject;
const struct lorac_command lorac_command_inject = {
    .name = "inject",
    .summary = "give a model its adapters, and record how it is trained",
    .synopsis = "MODEL.onnx -o OUT.onnx [options]",
    .description =
        "Adds a LoRA-C adapter to each convolution but the first. The outputs stay the same, and the output is\n"
        "a valid ONNX model. Nothing of the original changes: merging it at once gives the file back.\n",
    .examples = "  lorac-onnx inject resnet20.onnx -o injected.onnx --rank 4 --alpha 8 \\\n"
                "      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n"
                "  lorac-onnx inject resnet50.onnx -o injected.onnx --rank-setting plain --exclude 'layer1'\n",
    .operand_count = 1,
    .operand_help = "give the model: lorac-onnx inject MODEL.onnx -o OUT.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct inject_settings),
    .check = check_settings,
    .rehearse = rehearse,
    .run = run,
};
