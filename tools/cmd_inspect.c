// inspect: what is in a model, what inject would add, what training would cost, and what cannot be run.
#include "inspect.h"
#include "report.h"

#define FIELD(member) offsetof(struct lorac_inspect_settings, member)
// clang-format off
static const struct lorac_option inspect_options[] = {
    {.name = "json", .type = LORAC_OPTION_FLAG, .offset = FIELD(json), .help = "Print the same as JSON."},
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Batch for which the cost and the memory of training are given.", .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "threads", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(threads), .fallback = "0",
     .fallback_text = "0: all processors", .help = "Threads for which the memory of training is given.",
     .limit = LORAC_FROM_TO(0, 1024)},
    {.name = "form-policy", .type = LORAC_OPTION_ENUM, .choices = lorac_form_policy_names, .offset = FIELD(form_policy),
     .fallback = "auto", .help = "How adapters would be run, as in train."},
    {.name = "input-size", .type = LORAC_OPTION_SIZE, .value = "HxW", .offset = FIELD(size),
     .help = "Height and width of the images, for a model that leaves them free; without it 224x224 or 32x32 is tried."},
    {.name = "output-name", .type = LORAC_OPTION_STRING, .value = "NAME", .offset = FIELD(output_name),
     .fallback_text = "the model's record, else its first", .help = "Which of several outputs would be trained."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Results", inspect_options, 0},
#ifndef LORAC_DEVICE_ONLY
    {"What would be trained (of a plain model)", lorac_adapter_options, FIELD(adapters)},
#endif
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

static enum lorac_status inspect(const struct lorac_call *call, struct lorac_inspection *inspection,
                                 struct lorac_error *error)
{
    struct lorac_inspect_settings *settings = call->options.settings;
    LORAC_TRY(lorac_adapters_check(call, &settings->adapters, error));
    LORAC_TRY(lorac_inspection_make(inspection, call->operands[0], settings, error));
    if (inspection->meta.injected && lorac_adapters_given(call))
        lorac_report_note(call,
                          "note: '%s' has adapters already and is shown as it is: the options for what would be "
                          "trained are not used",
                          call->operands[0]);
    return settings->json ? lorac_inspection_print_json(inspection, error) : lorac_inspection_print(inspection, error);
}

static enum lorac_exit run(const struct lorac_call *call)
{
    struct lorac_error error = {0};
    struct lorac_inspection inspection = {0};
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (inspect(call, &inspection, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_inspection_clear(&inspection);
    return code;
}

extern const struct lorac_command lorac_command_inspect;
const struct lorac_command lorac_command_inspect = {
    .name = "inspect",
    .summary = "what is in a model, and what training it would cost",
    .synopsis = "MODEL.onnx [options]",
    .description =
        "Prints a verdict (trainable, partly, not), then the convolutions with their adapters (of a plain model:\n"
        "those that inject would add with the same options), who exported it, parameters, multiply-adds, the\n"
        "memory of training, and what cannot be run and why.\n",
    .examples = "  lorac-onnx inspect resnet20.onnx\n"
                "  lorac-onnx inspect resnet20.onnx --batch 64 --json\n",
    .operand_count = 1,
    .operand_help = "give the model: lorac-onnx inspect MODEL.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct lorac_inspect_settings),
    .run = run,
};
