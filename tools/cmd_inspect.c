// inspect: what is in a model, what inject would add, what training would cost, and what cannot be run.
#include "inspect.h"
#include "report.h"

#include <stdio.h>
#include <unistd.h>

#define FIELD(member) offsetof(struct lorac_inspect_settings, member)
// clang-format off
static const struct lorac_option inspect_options[] = {
    {.name = "json", .type = LORAC_OPTION_FLAG, .offset = FIELD(json), .help = "Print the same as JSON."},
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Batch for which the cost and the memory of training are given.", .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "input-size", .type = LORAC_OPTION_SIZE, .value = "HxW", .offset = FIELD(size),
     .help = "Height and width of the images, for a model that leaves them free."},
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

// What the process takes before it reads a model, so that a prediction is of the whole process. 0 where the system has
// no /proc. (getrusage would not do: its peak counts the parent's memory from before exec.)
static size_t base_bytes(void)
{
    unsigned long total = 0, resident = 0;
    long page = sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2 || page < 0)
        resident = 0;
    fclose(file);
    return (size_t)resident * (size_t)page;
}

static enum lorac_status inspect(const struct lorac_call *call, struct lorac_inspection *inspection,
                                 struct lorac_error *error)
{
    const struct lorac_inspect_settings *settings = call->options.settings;
    LORAC_TRY(lorac_adapters_check(call, error));
    LORAC_TRY(lorac_inspection_make(inspection, call->operands[0], settings, base_bytes(), error));
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
        "Prints the convolutions with their adapters (of a plain model: those that inject would add with the\n"
        "same options), parameters, multiply-adds, the memory of training, and what cannot be run and why.\n",
    .examples = "  lorac-onnx inspect resnet20.onnx\n"
                "  lorac-onnx inspect resnet20.onnx --rank 16 --alpha 32 --batch 64 --json\n",
    .operand_count = 1,
    .operand_help = "give the model: lorac-onnx inspect MODEL.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct lorac_inspect_settings),
    .run = run,
};
