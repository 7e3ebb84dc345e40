// bench: how long a step takes and where, how much memory, and how far that is from the processor's limit.
#include "bench.h"
#include "report.h"

struct bench_settings {
    struct lorac_run_settings run;
    struct lorac_memory_settings memory;
    struct lorac_tune_settings tune;
    struct lorac_general_settings general;
    int64_t batch, steps, warm_up;
    double seconds;
    uint64_t seed;
    int optimizer, form_policy;
    bool inference, json;
    const char *trace, *output_name;
};

#define FIELD(member) offsetof(struct bench_settings, member)
// clang-format off
static const struct lorac_option bench_options[] = {
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Images per step.", .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "steps", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(steps), .fallback = "20",
     .help = "Steps that are measured.", .limit = LORAC_FROM_TO(1, 1000000)},
    {.name = "warm-up", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(warm_up), .fallback = "2",
     .help = "Steps before them, which are not counted.", .limit = LORAC_FROM_TO(0, 1000000)},
    {.name = "seconds", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(seconds),
     .fallback_text = "no limit",
     .help = "End after this time, warm-up included, though steps are left (half of it for the warm-up).",
     .limit = LORAC_ABOVE(0)},
    {.name = "inference", .type = LORAC_OPTION_FLAG, .offset = FIELD(inference),
     .help = "Of an injected model, too, the forward pass alone."},
    {.name = "optimizer", .type = LORAC_OPTION_ENUM, .choice_at = lorac_optimizer_name_at, .offset = FIELD(optimizer),
     .fallback = "sgd", .help = "The update rule; its numbers are those of train, the learning rate is 0.0001."},
    {.name = "form-policy", .type = LORAC_OPTION_ENUM, .choices = lorac_form_policy_names,
     .offset = FIELD(form_policy), .fallback = "auto", .help = "How adapters are run, as in train."},
    {.name = "output-name", .type = LORAC_OPTION_STRING, .value = "NAME", .offset = FIELD(output_name),
     .fallback_text = "the model's record, else its first", .help = "Which of several outputs is trained or computed."},
    {.name = "seed", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(seed), .fallback = "0",
     .help = "Seed of the random images and labels."},
    {0},
};
static const struct lorac_option result_options[] = {
    {.name = "json", .type = LORAC_OPTION_FLAG, .offset = FIELD(json), .help = "Print the same as JSON."},
    {.name = "trace", .type = LORAC_OPTION_PATH, .value = "FILE", .writes = true, .offset = FIELD(trace),
     .help = "Write each piece of work, from opening the model on, in Chrome's trace format."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Steps", bench_options, 0},
    {"Memory", lorac_memory_options, FIELD(memory)},
    {"Results", result_options, 0},
    {"Running", lorac_run_options, FIELD(run)},
    {"Tuning", lorac_tune_options, FIELD(tune)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

// Small, so that training on random labels stays far from overflow for any number of steps.
static const double bench_lr = 1e-4;

static struct lorac_bench_setup setup_of(const struct lorac_call *call)
{
    const struct bench_settings *settings = call->options.settings;
    struct lorac_bench_setup setup = {.path = call->operands[0],
                                      .output_name = settings->output_name,
                                      .call = call,
                                      .run = &settings->run,
                                      .tune = &settings->tune,
                                      .prepare = lorac_prepare_options_default(),
                                      .inference = settings->inference};
    size_t count;
    setup.prepare.optimizer.kind = lorac_optimizer_all(&count)[settings->optimizer]->kind;
    setup.prepare.optimizer.lr = bench_lr;
    setup.prepare.form_policy = (enum lorac_form_policy)settings->form_policy;
    lorac_memory_apply(&settings->memory, &setup.prepare);
    lorac_run_apply(&settings->run, settings->batch, &setup.prepare);
    return setup;
}

// An option that was given and is of no use without training; NULL: none.
static const char *training_option(const struct lorac_call *call)
{
    static const char *const names[] = {"optimizer", "micro-batch", "memory-budget", "recompute"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lorac_options_given(&call->options, names[i]))
            return names[i];
    return NULL;
}

static enum lorac_status check_settings(const struct lorac_call *call, const struct bench_settings *settings,
                                        struct lorac_error *error)
{
    const char *inputs[] = {call->operands[0], NULL}, *training = training_option(call);
    if (settings->inference && training)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s is for training: leave --inference out", training);
    LORAC_TRY(lorac_memory_check(&settings->memory, settings->batch, error));
    const char *others[] = {inputs[0], settings->trace ? settings->trace : "", NULL};
    LORAC_TRY(lorac_tune_check(&settings->tune, others, error));
    return settings->trace ? lorac_output_check("--trace", settings->trace, inputs, error) : LORAC_OK;
}

static enum lorac_status bench(const struct lorac_call *call, struct lorac_bench *bench, struct lorac_error *error)
{
    const struct bench_settings *settings = call->options.settings;
    const struct lorac_bench_limits limits = {
        .warm_up = (size_t)settings->warm_up, .steps = (size_t)settings->steps, .seconds = settings->seconds};
    const struct lorac_bench_setup setup = setup_of(call);
    LORAC_TRY(check_settings(call, settings, error));
    lorac_run_note_threads(call, &settings->run);
    bench->tracing = settings->trace != NULL;
    LORAC_TRY(lorac_bench_open(bench, &setup, error));
    if (!bench->training && training_option(call))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--%s is for training, and '%s' has nothing to train: inject it first",
                               training_option(call), call->operands[0]);
    LORAC_TRY(lorac_bench_run(bench, &limits, settings->seed, error));
    if (settings->trace)
        LORAC_TRY(lorac_bench_write_trace(bench, settings->trace, error));
    return settings->json ? lorac_bench_print_json(bench, error) : lorac_bench_print(bench, error);
}

static enum lorac_exit run(const struct lorac_call *call)
{
    struct lorac_error error = {0};
    struct lorac_bench measured = {0};
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (bench(call, &measured, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    lorac_bench_clear(&measured);
    return code;
}

extern const struct lorac_command lorac_command_bench;
const struct lorac_command lorac_command_bench = {
    .name = "bench",
    .summary = "time, speed and memory of a step, by layer",
    .synopsis = "MODEL.onnx [options]",
    .description = "Measures training steps of an injected model, or the forward pass of any other, on random images:\n"
                   "time, images per second, memory by kind, the start, and each layer's time. The speed counts the\n"
                   "multiply-adds of direct convolutions, beside what the processor can do at most, which is measured\n"
                   "too; an algorithm that needs fewer can be above it.\n",
    .examples = "  lorac-onnx bench injected.onnx --batch 32 --threads 1\n"
                "  lorac-onnx bench plain.onnx --batch 1 --steps 200 --json\n"
                "  lorac-onnx bench injected.onnx --steps 3 --trace trace.json\n",
    .operand_count = 1,
    .operand_help = "give the model: lorac-onnx bench MODEL.onnx",
    .groups = groups,
    .settings_bytes = sizeof(struct bench_settings),
    .run = run,
};
