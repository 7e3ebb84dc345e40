// extract: writes what training changed into a file of its own.
#include "groups.h"
#include "proto/adapter_file.h"
#include "report.h"
#include "signals.h"

#include <stdlib.h>

struct extract_settings {
    const char *output;
    int format; // enum lorac_adapter_format
    struct lorac_general_settings general;
};

// In the order of enum lorac_adapter_format.
static const char *const formats[] = {"safetensors", "onnx_adapter", NULL};

#define FIELD(member) offsetof(struct extract_settings, member)
// clang-format off
static const struct lorac_option extract_options[] = {
    {.name = "output", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "FILE", .required = true,
     .writes = true, .offset = FIELD(output), .help = "Where the adapters go; not the input."},
    {.name = "format", .type = LORAC_OPTION_ENUM, .choices = formats, .offset = FIELD(format), .fallback = "safetensors",
     .help = "What apply and merge read, or ONNX Runtime's own adapter file, for models injected with "
             "--adapters-as-inputs."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Files", extract_options, 0},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

// *bytes: what is written; the caller frees it.
static enum lorac_status pack(const struct lorac_call *call, struct lorac_model *model, uint8_t **bytes,
                              size_t *byte_count, size_t *tensor_count, struct lorac_error *error)
{
    const struct extract_settings *settings = call->options.settings;
    const enum lorac_adapter_format format = (enum lorac_adapter_format)settings->format;
    LORAC_TRY(lorac_output_check_model("-o", settings->output, model, error));
    return lorac_error_prefix(error, lorac_adapter_file_pack(model, format, bytes, byte_count, tensor_count, error),
                              "'%s': ", call->operands[0]);
}

static enum lorac_status extract(const struct lorac_call *call, struct lorac_model *model, struct lorac_error *error)
{
    const struct extract_settings *settings = call->options.settings;
    char text[LORAC_BYTES_TEXT];
    uint8_t *bytes = NULL;
    size_t byte_count, tensor_count;
    LORAC_TRY(pack(call, model, &bytes, &byte_count, &tensor_count, error));
    lorac_signals_hold();
    enum lorac_status status = lorac_file_write(settings->output, bytes, byte_count, error);
    lorac_signals_release();
    free(bytes);
    LORAC_TRY(status);
    printf("extracted %zu tensors, %s\n", tensor_count, lorac_bytes_text(byte_count, text));
    printf("wrote %s\n", settings->output);
    return LORAC_OK;
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    size_t byte_count, tensor_count;
    const enum lorac_status status = pack(call, *model, &bytes, &byte_count, &tensor_count, error);
    free(bytes);
    lorac_model_free(*model);
    *model = NULL;
    return status;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const struct extract_settings *settings = call->options.settings;
    const char *inputs[] = {call->operands[0], NULL};
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (lorac_output_check("-o", settings->output, inputs, &error) != LORAC_OK ||
        lorac_model_load(call->operands[0], &model, &error) != LORAC_OK || extract(call, model, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_model_free(model);
    return code;
}

extern const struct lorac_command lorac_command_extract;
const struct lorac_command lorac_command_extract = {
    .name = "extract",
    .summary = "write the trained adapters into a file of their own",
    .synopsis = "MODEL.onnx -o FILE [options]",
    .description =
        "Writes only what training changed, a few hundred kilobytes: the adapters, the layers trained whole and,\n"
        "with --bn train, BatchNorm's statistics. apply and merge take the file back.\n",
    .examples = "  lorac-onnx extract trained.onnx -o adapter.safetensors\n"
                "  lorac-onnx extract trained.onnx -o fog.onnx_adapter --format onnx_adapter\n",
    .operand_count = 1,
    .operand_help = "give the trained model: lorac-onnx extract MODEL.onnx -o FILE",
    .groups = groups,
    .settings_bytes = sizeof(struct extract_settings),
    .rehearse = rehearse,
    .run = run,
};
