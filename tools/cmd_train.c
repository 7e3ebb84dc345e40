// train: fine-tunes an injected model's adapters on labelled images.
#include "outputs.h"
#include "paths.h"
#include "progress.h"
#include "report.h"
#include "signals.h"
#include "train_checkpoint.h"
#include "train_log.h"
#include "train_validation.h"
#include "proto/external.h"
#include "runtime/memory_budget.h"
#include "runtime/kernels/kernel.h"
#include "runtime/data/loader.h"
#include "runtime/train/loop.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct train_settings {
    const char *output;
    struct lorac_data_settings data;
    struct lorac_pixel_settings pixels;
    struct lorac_validation_settings validation;
    struct lorac_augment_settings augment;
    struct lorac_run_settings run;
    struct lorac_memory_settings memory;
    struct lorac_tune_settings tune;
    struct lorac_checkpoint_settings checkpoint;
    struct lorac_write_settings write;
    struct lorac_general_settings general;
    uint64_t epochs, steps, warmup_steps;
    int64_t batch;
    int optimizer, schedule, form_policy;
    double lr, momentum, weight_decay, beta1, beta2, eps, clip_norm, label_smoothing;
    bool nesterov, decay_all, shuffle;
    const char *log, *output_name;
};

// ---- options

// In the order of enum lorac_schedule_kind.
static const char *const schedules[] = {"constant", "cosine", "step", NULL};

#define FIELD(member) offsetof(struct train_settings, member)
// clang-format off
static const struct lorac_option output_options[] = {
    {.name = "output", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "OUT.onnx", .required = true,
     .writes = true, .offset = FIELD(output), .help = "Where the trained model goes; not the input."},
    {.name = "output-name", .type = LORAC_OPTION_STRING, .value = "NAME", .offset = FIELD(output_name),
     .fallback_text = "the model's record, else its first", .help = "Which of several outputs is trained."},
    {.name = "log", .type = LORAC_OPTION_PATH, .value = "FILE", .writes = true, .offset = FIELD(log),
     .help = "What happens, as lines of JSON: how it starts, each step, each epoch, how it ends (help log)."},
    {0},
};
static const struct lorac_option loop_options[] = {
    {.name = "epochs", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(epochs), .fallback = "8",
     .help = "Times through the images; an incomplete last batch is left out.", .limit = LORAC_FROM_TO(1, 1000000)},
    {.name = "steps", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(steps), .fallback_text = "by --epochs",
     .help = "Steps in all, instead of --epochs.", .limit = LORAC_FROM_TO(1, 1e12)},
    {.name = "batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(batch), .fallback = "32",
     .help = "Images per step.", .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "no-shuffle", .type = LORAC_OPTION_NO_FLAG, .offset = FIELD(shuffle),
     .help = "Take the images in the order of the file."},
    {.name = "form-policy", .type = LORAC_OPTION_ENUM, .choices = lorac_form_policy_names, .offset = FIELD(form_policy),
     .fallback = "auto", .help = "How adapters are run, whatever form the file has: in the weights, or as branches "
                                 "beside them; auto: each layer as costs less."},
    {0},
};
static const struct lorac_option optimizer_options[] = {
    {.name = "optimizer", .type = LORAC_OPTION_ENUM, .choice_at = lorac_optimizer_name_at, .offset = FIELD(optimizer),
     .fallback = "sgd", .help = "The update rule, as PyTorch's."},
    {.name = "lr", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(lr), .fallback = "0.005",
     .fallback_text = "0.005; 0.001 for adamw", .help = "Learning rate.", .limit = LORAC_ABOVE(0)},
    {.name = "momentum", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(momentum), .fallback = "0.9",
     .help = "sgd: momentum.", .limit = LORAC_FROM_BELOW(0, 1)},
    {.name = "nesterov", .type = LORAC_OPTION_FLAG, .offset = FIELD(nesterov), .help = "sgd: Nesterov's momentum."},
    {.name = "weight-decay", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(weight_decay),
     .fallback = "0.0005", .help = "Weight decay; decoupled in adamw.", .limit = LORAC_AT_LEAST(0)},
    {.name = "decay-all", .type = LORAC_OPTION_FLAG, .offset = FIELD(decay_all),
     .help = "Decay tensors of one dimension (biases) too."},
    {.name = "beta1", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(beta1), .fallback = "0.9",
     .help = "adamw: decay of the mean.", .limit = LORAC_FROM_BELOW(0, 1)},
    {.name = "beta2", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(beta2), .fallback = "0.999",
     .help = "adamw: decay of the squares.", .limit = LORAC_FROM_BELOW(0, 1)},
    {.name = "eps", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(eps), .fallback = "1e-8",
     .help = "adamw: added to the divisor.", .limit = LORAC_ABOVE(0)},
    {.name = "schedule", .type = LORAC_OPTION_ENUM, .choices = schedules, .offset = FIELD(schedule),
     .fallback = "cosine",
     .help = "How the learning rate falls: not, to zero along a cosine, or to a tenth at 1/2 and again at 3/4."},
    {.name = "warmup-steps", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(warmup_steps), .fallback = "0",
     .help = "Steps in which the learning rate first rises.", .limit = LORAC_FROM_TO(0, 1e12)},
    {.name = "clip-norm", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(clip_norm), .fallback = "5",
     .help = "Largest norm of all gradients together; 0: any.", .limit = LORAC_AT_LEAST(0)},
    {.name = "label-smoothing", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(label_smoothing),
     .fallback = "0", .help = "Label smoothing of the cross-entropy.", .limit = LORAC_FROM_BELOW(0, 1)},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Files", output_options, 0},
    {"Large models", lorac_write_options, FIELD(write)},
    {"Data", lorac_training_data_options, FIELD(data)},
    {"Pixels (over what the model records)", lorac_pixel_options, FIELD(pixels)},
    {"Validation", lorac_train_validation_options, FIELD(validation)},
    {"Augmentation", lorac_augment_options, FIELD(augment)},
    {"Steps", loop_options, 0},
    {"Going on after an interruption", lorac_checkpoint_options, FIELD(checkpoint)},
    {"Memory", lorac_memory_options, FIELD(memory)},
    {"Optimiser", optimizer_options, 0},
    {"Running", lorac_run_options, FIELD(run)},
    {"Tuning", lorac_tune_options, FIELD(tune)},
    {"General", lorac_general_options, FIELD(general)},
    {0},
};
#undef FIELD

// ---- checks

// Options that the chosen optimiser does not read are refused: they would be silently without effect.
static enum lorac_status check_optimizer_flags(const struct lorac_call *call, enum lorac_optimizer_kind kind,
                                               struct lorac_error *error)
{
    static const struct {
        const char *name, *optimizer;
        enum lorac_optimizer_kind kind;
    } rows[] = {{"momentum", "sgd", LORAC_SGD},
                {"nesterov", "sgd", LORAC_SGD},
                {"beta1", "adamw", LORAC_ADAMW},
                {"beta2", "adamw", LORAC_ADAMW},
                {"eps", "adamw", LORAC_ADAMW}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind != kind && lorac_options_given(&call->options, rows[i].name))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s is only for --optimizer %s", rows[i].name,
                                   rows[i].optimizer);
    return LORAC_OK;
}

// Adam's steps have the size of the learning rate whatever the gradients are, so that SGD's default would be too large.
static const double adamw_lr = 0.001;

static void fill_optimizer(const struct lorac_call *call, struct lorac_optimizer_options *options)
{
    const struct train_settings *settings = call->options.settings;
    size_t count;
    enum lorac_optimizer_kind kind = lorac_optimizer_all(&count)[settings->optimizer]->kind;
    *options = (struct lorac_optimizer_options){
        .kind = kind,
        .lr = kind == LORAC_ADAMW && !lorac_options_given(&call->options, "lr") ? adamw_lr : settings->lr,
        .momentum = settings->momentum,
        .nesterov = settings->nesterov,
        .weight_decay = settings->weight_decay,
        .decay_all = settings->decay_all,
        .beta1 = settings->beta1,
        .beta2 = settings->beta2,
        .eps = settings->eps,
        .clip_norm = settings->clip_norm,
        .label_smoothing = settings->label_smoothing,
    };
}

static enum lorac_status check_settings(const struct lorac_call *call, struct lorac_error *error)
{
    const struct train_settings *settings = call->options.settings;
    struct lorac_optimizer_options optimizer;
    struct lorac_augment augment;
    fill_optimizer(call, &optimizer);
    if (lorac_options_given(&call->options, "epochs") && lorac_options_given(&call->options, "steps"))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--epochs and --steps: give one of them");
    LORAC_TRY(lorac_memory_check(&settings->memory, settings->batch, error));
    if (settings->nesterov && settings->momentum == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--nesterov needs --momentum above 0");
    LORAC_TRY(check_optimizer_flags(call, optimizer.kind, error));
    LORAC_TRY(lorac_optimizer_options_check(&optimizer, error));
    LORAC_TRY(lorac_pixels_check(call, error));
    LORAC_TRY(lorac_data_check(call, &settings->data, error));
    LORAC_TRY(lorac_augment_resolve(call, &settings->augment, &augment, error));
    LORAC_TRY(lorac_train_validation_check(call, &settings->validation, error));
    LORAC_TRY(lorac_train_checkpoint_check(&settings->checkpoint, error));
    return lorac_tune_check_flags(&settings->tune, error);
}

// What the names of files tell.
static enum lorac_status check_names(const struct lorac_call *call, const struct train_settings *settings,
                                     struct lorac_error *error)
{
    const char *inputs[] = {call->operands[0],
                            settings->data.data,
                            settings->data.labels ? settings->data.labels : "",
                            lorac_validation_path(&settings->validation),
                            lorac_validation_labels(&settings->validation),
                            NULL};
    const char *folder = settings->checkpoint.folder;
    LORAC_TRY(lorac_output_check("-o", settings->output, inputs, error));
    if (folder) {
        LORAC_TRY(lorac_outputs_check_checkpoint(call, folder, error));
        LORAC_TRY(lorac_outputs_check_images("--checkpoint", folder, "--data", settings->data.data, error));
        LORAC_TRY(lorac_outputs_check_images("--checkpoint", folder, "--val", inputs[3], error));
    }
    const char *others[] = {inputs[0], inputs[1],        inputs[2],
                            inputs[3], inputs[4],        settings->output,
                            settings->log ? settings->log : "", NULL};
    LORAC_TRY(lorac_tune_check(&settings->tune, others, error));
    if (!settings->log)
        return LORAC_OK;
    if (lorac_path_same(settings->log, settings->output))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--log '%s' is the output (-o): give another name",
                               settings->log);
    size_t length = strlen(settings->output);
    if (strncmp(settings->log, settings->output, length) == 0 && strncmp(settings->log + length, ".data", 5) == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--log '%s' is a name of the output's own data file: give another name", settings->log);
    return lorac_output_check("--log", settings->log, inputs, error);
}

static enum lorac_status check_model(const struct lorac_net *net, const char *path, struct lorac_error *error)
{
    if (!net->meta.injected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has no adapters to train: run 'lorac-onnx inject' on it first", path);
    if (net->meta.trainable_count == 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has nothing to train (lorac.trainable is empty): inject it with other options",
                               path);
    return LORAC_OK;
}

// ---- the run

static void print_start(const struct lorac_call *call, struct lorac_net *net, const struct lorac_info *info,
                        const struct lorac_dataset *dataset)
{
    char memory[LORAC_BYTES_TEXT], data[LORAC_DATA_TEXT], batch[LORAC_BATCH_TEXT], budget[LORAC_BUDGET_TEXT];
    char choices[LORAC_CHOICES_TEXT];
    size_t definitions, branches;
    lorac_program_count_forms(net->program, &definitions, &branches);
    lorac_report_note(call,
                      "%zu trainable parameters, %zu images (%s), batch %s, %zu thread%s, BatchNorm %s, "
                      "%zu adapters by the definition, %zu as branches, memory for training %s",
                      info->trainable_parameters, dataset->count,
                      lorac_data_text(dataset, data), lorac_batch_text(net, batch),
                      net->options.threads,
                      net->options.threads == 1 ? "" : "s", net->meta.bn == LORAC_BN_TRAIN ? "train" : "frozen",
                      definitions, branches, lorac_bytes_text(lorac_memory_bytes(net), memory));
    lorac_report_note(call, "%s", lorac_choices_text(net, choices));
    if (net->options.memory_budget > 0)
        lorac_report_note(call, "memory budget: %s", lorac_budget_text(net, budget));
}

// What there is while train runs.
struct run {
    const struct lorac_call *call;
    const struct train_settings *settings;
    struct lorac_net *net;
    struct lorac_train_data data;
    struct lorac_train_validation validation;
    struct lorac_train_checkpoint checkpoint;
    struct lorac_progress progress;
    struct lorac_loop_options loop;
    struct lorac_train_log_end end;
};

// The message of a run that was stopped.
static enum lorac_exit report_stop(const struct run *run, bool best)
{
    char values[LORAC_VALUES_TEXT], resume[LORAC_RESUME_TEXT];
    const struct lorac_loop_progress *last = &run->progress.last;
    const bool time_is_up = run->checkpoint.time_is_up;
    lorac_report_error(run->call, "%s after step %" PRIu64 " of %" PRIu64 "; %s are in '%s'%s",
                       time_is_up ? "the time is up" : "interrupted", last->step, last->total_steps,
                       best ? lorac_train_validation_values(&run->validation, values) : "the values so far",
                       run->settings->output, lorac_train_checkpoint_text(&run->checkpoint, resume));
    return time_is_up ? LORAC_EXIT_TIME_IS_UP : LORAC_EXIT_INTERRUPTED;
}

// Writes the model and says how the run ended. [ended] is the loop's status, [reason] its message, or afterwards that of
// a failure to write.
static enum lorac_exit save_and_report(struct run *run, enum lorac_status ended, struct lorac_error *reason)
{
    const struct lorac_call *call = run->call;
    const struct train_settings *settings = run->settings;
    const struct lorac_loop_progress *last = &run->progress.last;
    struct lorac_error error = {0};
    struct lorac_saved saved;
    char time[LORAC_DURATION_TEXT], values[LORAC_VALUES_TEXT], resume[LORAC_RESUME_TEXT];
    lorac_duration_text(lorac_seconds() - run->progress.started, time);
    bool failed = ended != LORAC_OK && ended != LORAC_ERROR_ABORTED;
    if (failed && last->step == 0) // nothing was learnt: the input holds the same values
        return lorac_report_failure(call, reason);
    const bool best = lorac_train_validation_restore(&run->validation);
    lorac_signals_hold();
    enum lorac_status written =
        lorac_net_save_as(run->net, settings->output, lorac_write_place(&settings->write), &saved, &error);
    lorac_signals_release();
    if (written != LORAC_OK) {
        if (failed)
            lorac_report_error(call, "%s", reason->message);
        *reason = error;
        lorac_report_append(reason, lorac_train_checkpoint_after_loss(&run->checkpoint, last->step, resume));
        return lorac_report_failure(call, reason);
    }
    run->end.written = settings->output;
    run->end.kept_best = best;
    lorac_write_note_unused(call, settings->output, &saved);
    if (failed) { // in whatever way: a step that fails leaves the values of the one before
        snprintf(values, sizeof values, "the last good values (after step %" PRIu64 ")", last->step);
        lorac_report_error(call, "%s; %s are in '%s'", reason->message,
                           best ? lorac_train_validation_values(&run->validation, values) : values, settings->output);
        return LORAC_EXIT_FAILED;
    }
    if (ended == LORAC_ERROR_ABORTED)
        return report_stop(run, best);
    printf("trained %" PRIu64 " steps in %s: loss %.4f, accuracy %.2f %% on the last epoch's batches\n",
           last->step, time, last->epoch_loss, 100 * last->epoch_accuracy);
    lorac_train_validation_print(&run->validation, stdout);
    printf("wrote %s\n", settings->output);
    return LORAC_EXIT_DONE;
}

// The log's last line. [error] is what ended the run, or kept it from being written.
static void log_end(struct run *run, enum lorac_status ended, const struct lorac_error *error)
{
    struct lorac_train_log_end *end = &run->end;
    const struct lorac_validation *validation = &run->validation.validation;
    const struct lorac_loop_progress *last = &run->progress.last;
    const bool done = ended == LORAC_OK && end->written;
    if (done)
        end->reason = validation->stops && last->step < last->total_steps ? "patience" : "done";
    else if (ended == LORAC_ERROR_ABORTED && end->written)
        end->reason = run->checkpoint.time_is_up ? "time" : "interrupted";
    else
        end->reason = "failed";
    end->message = done ? NULL : error->message;
    end->step = last->step;
    end->seconds = lorac_seconds() - run->progress.started;
    end->best = validation->best.mark;
    lorac_train_log_end(&run->progress.log, end);
}

static void fill_loop(struct run *run)
{
    const struct train_settings *settings = run->settings;
    struct lorac_loop_options *loop = &run->loop;
    *loop = lorac_loop_options_default();
    loop->source.dataset = &run->data.dataset;
    loop->source.normalize = run->data.normalize;
    loop->source.augment = run->data.augment;
    loop->source.seed = settings->data.seed;
    loop->epochs = settings->epochs;
    loop->steps = settings->steps;
    loop->shuffle = settings->shuffle;
    loop->schedule = (enum lorac_schedule_kind)settings->schedule;
    loop->warmup_steps = settings->warmup_steps;
    loop->callback = lorac_progress_step;
    loop->epoch_callback = lorac_progress_epoch;
    loop->context = &run->progress;
    lorac_train_validation_apply(&run->validation, loop);
}

// Everything before the first step.
static enum lorac_status start(struct run *run, struct lorac_error *error)
{
    const struct lorac_call *call = run->call;
    fill_loop(run);
    LORAC_TRY(lorac_train_checkpoint_start(&run->checkpoint, run->net, call->operands[0], &run->loop, error));
    LORAC_TRY(lorac_progress_init(&run->progress, call, run->net, run->settings->log, &run->loop, error));
    struct lorac_loader *const loaders[] = {run->data.dataset.loader, run->validation.dataset.loader};
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
        if (loaders[i])
            lorac_loader_set_broken(loaders[i], lorac_progress_broken, &run->progress);
    run->progress.keep = lorac_train_checkpoint_step;
    run->progress.keep_context = &run->checkpoint;
    lorac_interrupt_catch();
    enum lorac_status status = lorac_train_checkpoint_begin(&run->checkpoint, &run->progress, error);
    if (status != LORAC_OK)
        lorac_progress_finish(&run->progress, NULL);
    return status;
}

static enum lorac_exit train_prepared(struct run *run)
{
    struct lorac_error error = {0}, log_error = {0};
    if (start(run, &error) != LORAC_OK)
        return lorac_report_failure(run->call, &error);
    enum lorac_status ended = lorac_loop_run(run->net, &run->loop, &error);
    lorac_train_checkpoint_end(&run->checkpoint, ended);
    lorac_progress_break(&run->progress);
    lorac_data_note_skipped(run->call, &run->data.dataset, "images");
    lorac_data_note_skipped(run->call, &run->validation.dataset, "validation images");
    enum lorac_exit code = save_and_report(run, ended, &error);
    log_end(run, ended, &error);
    if (lorac_progress_finish(&run->progress, &log_error) != LORAC_OK) {
        enum lorac_exit log_code = lorac_report_failure(run->call, &log_error);
        code = code == LORAC_EXIT_DONE ? log_code : code;
    }
    return code;
}

static enum lorac_status open_images(struct run *run, const struct lorac_train_data_request *request,
                                     const struct lorac_input_shape *shape, struct lorac_error *error)
{
    LORAC_TRY(lorac_train_data_open(request, run->net, shape, &run->data, error));
    return lorac_train_validation_open(&run->validation, request, run->net, shape, &run->data, error);
}

// A disk that is full is to be found now, and not when the values are there. The output has the input's tensors; its record
// may grow by the names of classes.
static enum lorac_status check_room(const struct run *run, struct lorac_error *error)
{
    enum { MARGIN_BYTES = 65536 };
    const struct lorac_model *model = run->net->model;
    if (!model->storage)
        return LORAC_OK;
    return lorac_output_check_room("-o", run->settings->output, lorac_storage_bytes(model->storage) + MARGIN_BYTES, error);
}

// What can be told from the model alone.
static enum lorac_status check_files(const struct run *run, struct lorac_input_shape *shape, struct lorac_error *error)
{
    const struct train_settings *settings = run->settings;
    struct lorac_net *net = run->net;
    LORAC_TRY(check_model(net, run->call->operands[0], error));
    LORAC_TRY(lorac_output_check_model("-o", settings->output, net->model, error));
    if (settings->log)
        LORAC_TRY(lorac_output_check_model("--log", settings->log, net->model, error));
    LORAC_TRY(lorac_select_output(net, settings->output_name, error));
    LORAC_TRY(lorac_model_save_check(net->model, settings->output, lorac_write_place(&settings->write), error));
    LORAC_TRY(check_room(run, error));
    return lorac_run_input_shape(&settings->run, &net->input, shape, error);
}

// What is held beside the prepared net.
static size_t other_bytes(const struct run *run, size_t threads, size_t loader_threads)
{
    return lorac_train_data_bytes(&run->data, threads, loader_threads) +
           lorac_train_validation_bytes(&run->validation, run->net, loader_threads);
}

// From now on what is held beside the net, [planned] so far, is that of the threads that there are: more than a budget
// was divided for may be too much.
static enum lorac_status count_threads(struct run *run, size_t planned, struct lorac_error *error)
{
    struct lorac_net *net = run->net;
    struct lorac_memory_prediction memory;
    char budget[LORAC_BYTES_TEXT], needed[LORAC_BYTES_TEXT];
    net->options.memory_other += other_bytes(run, net->options.threads, 0) - planned;
    if (net->options.memory_budget == 0)
        return LORAC_OK;
    LORAC_TRY(lorac_net_predict_memory(net, &memory, error));
    if (memory.peak_bytes <= net->options.memory_budget)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "--memory-budget: %s is too small for the images with so many threads, which need %s: use fewer "
                           "--threads or --loader-threads, or a larger budget",
                           lorac_bytes_text(net->options.memory_budget, budget),
                           lorac_bytes_text(memory.peak_bytes, needed));
}

static enum lorac_status prepare(struct run *run, struct lorac_error *error)
{
    const struct lorac_call *call = run->call;
    const struct train_settings *settings = run->settings;
    struct lorac_net *net = run->net;
    const struct lorac_train_data_request request = {.call = call,
                                                     .data = &settings->data,
                                                     .pixels = &settings->pixels,
                                                     .augment = &settings->augment,
                                                     .batch = (size_t)settings->batch,
                                                     .has_budget = settings->memory.budget != NULL,
                                                     .epochs = settings->epochs,
                                                     .steps = settings->steps,
                                                     .warmup_steps = settings->warmup_steps};
    struct lorac_info info;
    struct lorac_input_shape shape;
    LORAC_TRY(check_files(run, &shape, error));
    LORAC_TRY(lorac_train_checkpoint_open(&run->checkpoint, call, &settings->checkpoint, error));
    struct lorac_prepare_options options = lorac_prepare_options_default();
    options.training = true;
    options.form_policy = (enum lorac_form_policy)settings->form_policy;
    fill_optimizer(call, &options.optimizer);
    lorac_memory_apply(&settings->memory, &options);
    lorac_run_apply(&settings->run, settings->batch, &options);
    LORAC_TRY(lorac_error_prefix(error, lorac_get_info(net, &info, error), "'%s': ", call->operands[0]));
    if (net->classes > 0) // known before all the memory is taken, so that bad data is found sooner
        LORAC_TRY(open_images(run, &request, &shape, error));
    // As the choice by a budget is: for fixed numbers of threads, on which the bits must not depend.
    options.memory_other = other_bytes(run, LORAC_BUDGET_THREADS, LORAC_BUDGET_THREADS);
    LORAC_TRY(lorac_train_checkpoint_prepare(&run->checkpoint, &settings->tune, net, call->operands[0], &options, error));
    LORAC_TRY(open_images(run, &request, &shape, error));
    LORAC_TRY(count_threads(run, options.memory_other, error));
    LORAC_TRY(lorac_train_data_check(&request, net, &run->data, error));
    lorac_run_note_threads(call, &settings->run);
    print_start(call, net, &info, &run->data.dataset);
    return lorac_train_validation_prepare(&run->validation, call, net, &run->checkpoint, error);
}

static void clear(struct run *run)
{
    lorac_train_checkpoint_close(&run->checkpoint);
    lorac_train_validation_clear(&run->validation);
    lorac_train_data_clear(&run->data);
    lorac_close(run->net);
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model, struct lorac_error *error)
{
    const struct train_settings *settings = call->options.settings;
    struct run run = {.call = call, .settings = settings, .validation = {.settings = &settings->validation}};
    enum lorac_status status = lorac_rehearse_open(model, &run.net, error);
    if (status == LORAC_OK)
        status = prepare(&run, error);
    clear(&run);
    return status;
}

static enum lorac_exit run_command(const struct lorac_call *call)
{
    const struct train_settings *settings = call->options.settings;
    struct lorac_error error = {0};
    struct run run = {.call = call, .settings = settings, .validation = {.settings = &settings->validation}};
    enum lorac_exit code;
    if (check_settings(call, &error) != LORAC_OK || check_names(call, settings, &error) != LORAC_OK ||
        lorac_open(call->operands[0], &run.net, &error) != LORAC_OK || prepare(&run, &error) != LORAC_OK)
        code = lorac_report_failure(call, &error);
    else
        code = train_prepared(&run);
    clear(&run);
    return code;
}

extern const struct lorac_command lorac_command_train;
const struct lorac_command lorac_command_train = {
    .name = "train",
    .summary = "fine-tune an injected model on labelled images",
    .synopsis = "MODEL.onnx -o OUT.onnx --data FILE --labels FILE [options]",
    .description = "Trains the adapters of an injected model (and what else inject made trainable). The output is the\n"
                   "same graph: only trained tensors differ, BatchNorm statistics where the model was injected with\n"
                   "--bn train, and, where the model has none, the names of the classes (lorac.classes) that the\n"
                   "images have. Ctrl-C ends the current step and writes what there is (exit code 130).\n",
    .examples = "  lorac-onnx train injected.onnx -o trained.onnx --data train_x.npy --labels train_y.npy\n"
                "  lorac-onnx train injected.onnx -o trained.onnx --data t10k-images-idx3-ubyte.gz \\\n"
                "      --labels t10k-labels-idx1-ubyte.gz --range 0:5000 --corrupt fog:3 --augment crop-flip\n",
    .operand_count = 1,
    .operand_help = "give the injected model: lorac-onnx train MODEL.onnx -o OUT.onnx --data FILE --labels FILE",
    .groups = groups,
    .settings_bytes = sizeof(struct train_settings),
    .check = check_settings,
    .rehearse = rehearse,
    .run = run_command,
};
