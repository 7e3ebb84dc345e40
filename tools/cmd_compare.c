// compare: how far the outputs of two models are apart.
#include "compare.h"
#include "report.h"

struct compare_settings {
    struct lorac_compare_settings compare;
    struct lorac_data_settings data;
    struct lorac_pixel_settings pixels;
    struct lorac_run_settings run;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct compare_settings, member)
static const struct lorac_option_group groups[] = {
    {"Comparison", lorac_compare_options, FIELD(compare)},
    {"Data", lorac_data_options, FIELD(data)},
    {"Pixels (over what the models record)", lorac_pixel_options, FIELD(pixels)},
    {"Running", lorac_run_options, FIELD(run)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

static enum lorac_status check_settings(const struct lorac_call *call, struct lorac_error *error)
{
    const struct compare_settings *settings = call->options.settings;
    LORAC_TRY(lorac_pixels_check(call, error));
    return lorac_data_check(call, &settings->data, error);
}

static enum lorac_status compare(const struct lorac_call *call, struct lorac_comparison *comparison,
                                 struct lorac_error *error)
{
    for (int i = 0; i < 2; i++) {
        struct lorac_net *net = NULL;
        enum lorac_status status = lorac_open(call->operands[i], &net, error);
        if (status == LORAC_OK)
            status = i == 0 ? lorac_comparison_first(comparison, net, call->operands[i], error)
                            : lorac_comparison_second(comparison, net, call->operands[i], error);
        lorac_close(net);
        LORAC_TRY(status);
    }
    return LORAC_OK;
}

static struct lorac_comparison comparison_of(const struct lorac_call *call)
{
    const struct compare_settings *settings = call->options.settings;
    return (struct lorac_comparison){.call = call,
                                     .settings = &settings->compare,
                                     .data = &settings->data,
                                     .pixels = &settings->pixels,
                                     .run = &settings->run,
                                     .use_random = settings->data.data == NULL};
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error)
{
    struct lorac_comparison comparison = comparison_of(call);
    struct lorac_net *net = NULL;
    enum lorac_status status = lorac_rehearse_open(model, &net, error);
    if (status == LORAC_OK)
        status = lorac_comparison_open(&comparison, net, call->operands[0], error);
    lorac_close(net);
    lorac_comparison_clear(&comparison);
    return status;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    struct lorac_error error = {0};
    struct lorac_comparison comparison = comparison_of(call);
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (check_settings(call, &error) != LORAC_OK || compare(call, &comparison, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_comparison_clear(&comparison);
    return code;
}

extern const struct lorac_command lorac_command_compare;
const struct lorac_command lorac_command_compare = {
    .name = "compare",
    .summary = "how far the outputs of two models are apart",
    .synopsis = "FIRST.onnx SECOND.onnx [--data FILE] [options]",
    .description =
        "Runs both models on the same images, one after the other, and prints the largest difference of their\n"
        "outputs and how often the top-1 class agrees. Without --data the images are random numbers.\n",
    .examples = "  lorac-onnx compare trained.onnx plain.onnx --data test_x.npy\n"
                "  lorac-onnx compare a.onnx b.onnx --tolerance 1e-6\n",
    .operand_count = 2,
    .operand_help = "give two models: lorac-onnx compare FIRST.onnx SECOND.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct compare_settings),
    .check = check_settings,
    .rehearse = rehearse,
    .run = run,
};
