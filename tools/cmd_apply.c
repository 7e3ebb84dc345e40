// apply: gives a base model the adapters of a file.
#include "groups.h"
#include "passes/apply.h"
#include "proto/model_inline.h"
#include "report.h"
#include "signals.h"

struct apply_settings {
    const char *output;
    struct lorac_write_settings write;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct apply_settings, member)
// clang-format off
static const struct lorac_option apply_options[] = {
    {.name = "output", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "OUT.onnx", .required = true,
     .writes = true, .offset = FIELD(output), .help = "Where the trained model goes; not an input."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Files", apply_options, 0},
    {"Large models", lorac_write_options, FIELD(write)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

static enum lorac_status apply(const struct lorac_call *call, struct lorac_model *model,
                               const struct lorac_adapter_file *file, struct lorac_error *error)
{
    const struct apply_settings *settings = call->options.settings;
    const struct lorac_apply_options options = {file, call->operands[1]};
    struct lorac_pass_report report;
    struct lorac_saved saved;
    LORAC_TRY(lorac_output_check_model("-o", settings->output, model, error));
    LORAC_TRY(lorac_model_save_check(model, settings->output, lorac_write_place(&settings->write), error));
    LORAC_TRY(lorac_model_inline(model, NULL, error)); // as inject does
    LORAC_TRY(lorac_pass_apply.run(model, &options, &report, error));
    lorac_signals_hold();
    enum lorac_status written =
        lorac_model_save_as(model, settings->output, lorac_write_place(&settings->write), &saved, error);
    lorac_signals_release();
    LORAC_TRY(written);
    lorac_write_note_unused(call, settings->output, &saved);
    printf("set %zu tensors\n", report.changed);
    printf("wrote %s\n", settings->output);
    return LORAC_OK;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const struct apply_settings *settings = call->options.settings;
    const char *inputs[] = {call->operands[0], call->operands[1], NULL};
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    struct lorac_adapter_file *file = NULL;
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (lorac_output_check("-o", settings->output, inputs, &error) != LORAC_OK ||
        lorac_adapter_file_open(call->operands[1], &file, &error) != LORAC_OK ||
        lorac_model_load(call->operands[0], &model, &error) != LORAC_OK ||
        apply(call, model, file, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_model_free(model);
    lorac_adapter_file_close(file);
    return code;
}

extern const struct lorac_command lorac_command_apply;
const struct lorac_command lorac_command_apply = {
    .name = "apply",
    .summary = "give a base model the adapters of a file",
    .synopsis = "BASE.onnx ADAPTER.safetensors -o OUT.onnx [options]",
    .description = "Puts what extract wrote into the model that was injected, plain or injected. Another base is\n"
                   "refused. The result is the trained model again.\n",
    .examples = "  lorac-onnx apply plain.onnx adapter.safetensors -o trained.onnx\n",
    .operand_count = 2,
    .operand_help = "give the base model and the file: lorac-onnx apply BASE.onnx ADAPTER.safetensors -o OUT.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct apply_settings),
    .run = run,
};
