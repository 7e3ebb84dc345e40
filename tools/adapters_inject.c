#include "adapters.h"

// The full build: what inject does comes from passes/. (adapters_device.c is the other build's.)

// In the order of enum lorac_rank_setting, lorac_adapter_form and lorac_bn_mode.
static const char *const rank_settings[] = {"kernel", "plain", NULL};
static const char *const forms[] = {"weight", "branch", NULL};
static const char *const bn_modes[] = {"frozen", "train", NULL};

#define FIELD(member) offsetof(struct lorac_adapter_settings, member)
// clang-format off
const struct lorac_option lorac_adapter_options[] = {
    {.name = "rank", .type = LORAC_OPTION_INT64, .value = "R", .offset = FIELD(rank), .fallback = "4",
     .help = "Rank of the adapters.", .limit = LORAC_FROM_TO(1, LORAC_MAX_RANK)},
    {.name = "alpha", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(alpha), .fallback = "8",
     .help = "The adapters' product counts alpha/rank times; twice the rank is usually best.",
     .limit = LORAC_ABOVE(0)},
    {.name = "override", .type = LORAC_OPTION_TEXTS, .value = "REGEX:rank=R,alpha=X", .offset = FIELD(override_texts),
     .fallback_text = "none",
     .help = "Another rank or alpha, or both, for adapters whose node name matches; may be given up to 16 times, the "
             "first that matches counts. What it does not name is as for all."},
    {.name = "rank-setting", .type = LORAC_OPTION_ENUM, .choices = rank_settings, .offset = FIELD(setting),
     .fallback = "kernel", .help = "Inner dimension: rank times the kernel's size, or the rank itself (for ResNet-50 "
                                   "and larger)."},
    {.name = "form", .type = LORAC_OPTION_ENUM, .choices = forms, .offset = FIELD(form), .fallback = "weight",
     .help = "Adapters added to the weights, or as branches beside the convolutions, whose weights stay constant."},
    {.name = "branch-layers", .type = LORAC_OPTION_STRING, .value = "REGEX", .offset = FIELD(branch_layers),
     .fallback_text = "none", .help = "Form branch for the adapters whose node name matches, weight for the others."},
    {.name = "layers", .type = LORAC_OPTION_STRING, .value = "REGEX", .offset = FIELD(layers),
     .fallback_text = "all", .help = "Only convolutions whose node name matches (POSIX extended)."},
    {.name = "exclude", .type = LORAC_OPTION_STRING, .value = "REGEX", .offset = FIELD(exclude),
     .fallback_text = "none", .help = "No convolution whose node name matches."},
    {.name = "freeze-a", .type = LORAC_OPTION_FLAG, .offset = FIELD(freeze_a),
     .help = "Leave A at its random start and train B alone: less memory and time, for at most a point of accuracy."},
    {.name = "train-first", .type = LORAC_OPTION_FLAG, .offset = FIELD(train_first),
     .help = "Train the first convolution's weight as well."},
    {.name = "train-last", .type = LORAC_OPTION_FLAG, .offset = FIELD(train_last),
     .help = "Train the last layer's weight and bias as well: the default."},
    {.name = "no-train-last", .type = LORAC_OPTION_NO_FLAG, .offset = FIELD(train_last),
     .help = "Leave the last layer as it is."},
    {.name = "train-all", .type = LORAC_OPTION_FLAG, .offset = FIELD(train_all),
     .help = "No adapters: train all weights and biases of the convolutions and of the last layer."},
    {.name = "adapters-as-inputs", .type = LORAC_OPTION_FLAG, .offset = FIELD(as_inputs),
     .help = "Declare what is trained as optional inputs of the graph too, for ONNX Runtime's adapter files."},
    {.name = "bn", .type = LORAC_OPTION_ENUM, .choices = bn_modes, .offset = FIELD(bn), .fallback = "frozen",
     .help = "BatchNorm: keep its statistics, or use each batch's and move the running ones."},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_status lorac_adapters_check(const struct lorac_call *call, struct lorac_adapter_settings *settings,
                                       struct lorac_error *error)
{
    static const char *const without_adapters[] = {"rank",          "alpha",      "rank-setting", "form",
                                                   "branch-layers", "layers",     "exclude",      "freeze-a",
                                                   "train-first",   "train-last", "no-train-last", "override"};
    const struct lorac_option_set *options = &call->options;
    if (lorac_options_given(options, "train-last") && lorac_options_given(options, "no-train-last"))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--train-last contradicts --no-train-last: give one of them");
    if (lorac_options_given(options, "form") && lorac_options_given(options, "branch-layers"))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--form is for all adapters and --branch-layers chooses some: give one of them");
    for (size_t i = 0; i < sizeof without_adapters / sizeof *without_adapters; i++)
        if (lorac_options_given(options, "train-all") && lorac_options_given(options, without_adapters[i]))
            return lorac_error_set(
                error, LORAC_ERROR_ARGUMENT,
                "--train-all makes no adapters and trains every layer: --%s has no effect, leave one "
                "of them out",
                without_adapters[i]);
    LORAC_TRY(lorac_overrides_parse(&settings->override_texts, &settings->overrides, error));
    struct lorac_inject_options patterns = lorac_inject_options_default();
    lorac_adapters_fill(settings, &patterns);
    return lorac_inject_check_patterns(&patterns, error);
}

bool lorac_adapters_given(const struct lorac_call *call)
{
    for (const struct lorac_option *option = lorac_adapter_options; option->name; option++)
        if (lorac_options_given(&call->options, option->name))
            return true;
    return false;
}

void lorac_adapters_fill(const struct lorac_adapter_settings *settings, struct lorac_inject_options *options)
{
    options->rank = settings->rank;
    options->alpha = settings->alpha;
    options->overrides = settings->overrides.items;
    options->override_count = settings->overrides.count;
    options->setting = (enum lorac_rank_setting)settings->setting;
    options->form = (enum lorac_adapter_form)settings->form;
    options->branch_layers = settings->branch_layers;
    options->bn = (enum lorac_bn_mode)settings->bn;
    options->layers = settings->layers;
    options->exclude = settings->exclude;
    options->freeze_a = settings->freeze_a;
    options->train_first = settings->train_first;
    options->train_last = settings->train_last;
    options->train_all = settings->train_all;
    options->as_inputs = settings->as_inputs;
    options->output = settings->output;
}

enum lorac_status lorac_adapters_plan(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                      struct lorac_inject_plan *out, struct lorac_error *error)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    lorac_adapters_fill(settings, &options);
    return lorac_inject_plan(model, &options, out, error);
}

enum lorac_status lorac_adapters_apply(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                       struct lorac_error *error)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_pass_report report;
    lorac_adapters_fill(settings, &options);
    return lorac_pass_inject.run(model, &options, &report, error);
}

bool lorac_adapters_can_train_bn(struct lorac_model *model, const struct lorac_adapter_settings *settings)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_inject_plan plan;
    lorac_adapters_fill(settings, &options);
    options.bn = LORAC_BN_TRAIN;
    options.train_last = false; // what else is asked for does not matter here
    options.train_first = false;
    return lorac_inject_plan(model, &options, &plan, NULL) == LORAC_OK &&
           lorac_inject_check(model, &options, &plan, NULL) == LORAC_OK;
}
