// The life of a net: open, look, prepare, save. Running it is in net_run.c.
#include "net.h"

#include "kernels/parallel.h"
#include "memory_budget.h"
#include "proto/model_inline.h"
#include "proto/size.h"
#include "proto/tensor.h"
#include "tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 1024 };

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *lorac_version(void)
{
    return VERSION_TEXT(LORAC_VERSION_MAJOR, LORAC_VERSION_MINOR, LORAC_VERSION_PATCH);
}

// ---- open and look

enum lorac_status lorac_net_open_model(struct lorac_model *model, struct lorac_net **out, struct lorac_error *error)
{
    struct lorac_net *net = calloc(1, sizeof *net);
    if (!net) {
        lorac_model_free(model);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a net");
    }
    net->model = model;
    enum lorac_status status = lorac_model_inline(model, NULL, error);
    if (status == LORAC_OK)
        status = lorac_meta_read(model, &net->meta, error);
    if (status == LORAC_OK)
        status = lorac_input_shape(model, &net->input, error);
    if (status != LORAC_OK) {
        lorac_close(net);
        return status;
    }
    net->recorded_output = net->meta.output;
    *out = net;
    return LORAC_OK;
}

enum lorac_status lorac_open(const char *path, struct lorac_net **net, struct lorac_error *error)
{
    if (!path || !net)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_open: path and net must not be NULL");
    struct lorac_model *model;
    LORAC_TRY(lorac_model_load(path, &model, error));
    return lorac_error_prefix(error, lorac_net_open_model(model, net, error), "'%s': ", path);
}

enum lorac_status lorac_open_memory(const void *bytes, size_t byte_count, struct lorac_net **net,
                                    struct lorac_error *error)
{
    if (!bytes || !net)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_open_memory: bytes and net must not be NULL");
    struct lorac_model *model;
    LORAC_TRY(lorac_model_parse(bytes, byte_count, &model, error));
    return lorac_net_open_model(model, net, error);
}

// Back to a net that is open but not prepared.
static void unprepare(struct lorac_net *net)
{
    lorac_train_state_free(net->train);
    lorac_session_free(net->session);
    lorac_program_free(net->program);
    lorac_choices_free(net->choices);
    net->choices = NULL;
    net->train = NULL;
    net->session = NULL;
    net->program = NULL;
}

void lorac_close(struct lorac_net *net)
{
    if (!net)
        return;
    unprepare(net);
    lorac_model_free(net->model);
    free(net);
}

// Columns of the output, which must be one row of numbers for each image.
static enum lorac_status count_classes(const struct lorac_program *program, size_t *classes, struct lorac_error *error)
{
    const struct lorac_value *logits = &program->values[program->logits], *output = &program->values[program->output];
    if (output->h != 1 || output->w != 1 || output->n != program->batch || logits->h != 1 || logits->w != 1 ||
        logits->n != program->batch || logits->c != output->c)
        return lorac_error_set(
            error, LORAC_ERROR_UNSUPPORTED,
            "output '%s' is [%zu, %zu, %zu, %zu] for a batch of %zu; it must be one row of numbers for "
            "each image, as a classifier's is",
            output->name, output->n, output->c, output->h, output->w, program->batch);
    *classes = output->c;
    return LORAC_OK;
}

// Lowering one image is cheap (no weight is read) and tells the classes. A model that cannot be lowered so is no error
// here: lorac_prepare, which knows the real sizes, says what is wrong.
static enum lorac_status find_classes(struct lorac_net *net, struct lorac_error *error)
{
    if (net->classes > 0 || net->input.height == 0 || net->input.width == 0)
        return LORAC_OK;
    const struct lorac_lower_options options = {.batch = 1};
    struct lorac_program *program = NULL;
    enum lorac_status status = lorac_lower(net->model, &net->meta, &options, &program, error);
    if (status == LORAC_OK)
        status = count_classes(program, &net->classes, NULL);
    lorac_program_free(program);
    return status == LORAC_ERROR_MEMORY ? status : LORAC_OK;
}

static enum lorac_status count_trainable(struct lorac_net *net, size_t *count, struct lorac_error *error)
{
    *count = 0;
    for (size_t i = 0; i < net->meta.trainable_count; i++) {
        const Onnx__TensorProto *tensor = lorac_model_constant(net->model, net->meta.trainable[i]);
        size_t elements = 0;
        if (tensor)
            LORAC_TRY(lorac_tensor_count(tensor, &elements, error));
        if (!tensor || !lorac_size_add(*count, elements, count))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "trainable '%s' is no constant of the model",
                                   net->meta.trainable[i]);
    }
    return LORAC_OK;
}

enum lorac_status lorac_get_info(struct lorac_net *net, struct lorac_info *info, struct lorac_error *error)
{
    if (!net || !info)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_get_info: net and info must not be NULL");
    size_t trainable;
    LORAC_TRY(count_trainable(net, &trainable, error));
    LORAC_TRY(find_classes(net, error));
    *info = (struct lorac_info){
        .channels = net->input.channels,
        .height = net->input.height,
        .width = net->input.width,
        .channels_last = net->input.channels_last,
        .classes = net->classes,
        .injected = net->meta.injected,
        .trainable_parameters = trainable,
        .normalization_given = net->meta.input.given,
    };
    return LORAC_OK;
}

const char *lorac_class_name(const struct lorac_net *net, size_t i)
{
    return net && i < net->meta.class_count ? net->meta.classes[i] : NULL;
}

enum lorac_status lorac_select_output(struct lorac_net *net, const char *name, struct lorac_error *error)
{
    const char *output = NULL;
    if (!net)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_select_output: net must not be NULL");
    if (name)
        LORAC_TRY(lorac_meta_output(net->model, NULL, name, &output, error));
    net->meta.output = name ? output : net->recorded_output;
    if (!net->program)
        net->classes = 0; // those of the other output
    return LORAC_OK;
}

// ---- prepare

struct lorac_prepare_options lorac_prepare_options_default(void)
{
    return (struct lorac_prepare_options){.batch = 32, .optimizer = lorac_optimizer_options_default()};
}

// The mean and the variance that such a BatchNorm uses are of all images that are run at once.
static enum lorac_status check_micro_batch(const struct lorac_net *net, const struct lorac_prepare_options *options,
                                           struct lorac_error *error)
{
    const size_t micro = options->micro_batch, batch = options->batch;
    if (micro == 0 || micro == batch)
        return LORAC_OK;
    if (batch % micro != 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "micro-batch is %zu; it must divide the batch of %zu",
                               micro, batch);
    if (net->meta.bn == LORAC_BN_TRAIN)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "micro-batch is %zu of a batch of %zu, but the model trains BatchNorm with the "
                               "statistics of the whole batch; leave it out, or inject the base model with --bn frozen",
                               micro, batch);
    return LORAC_OK;
}

static enum lorac_status check_options(const struct lorac_net *net, const struct lorac_prepare_options *options,
                                       struct lorac_error *error)
{
    if (options->batch == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "batch is 0; it must be at least 1");
    if (options->threads > MAX_THREADS)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "threads is %zu; it must be at most %d", options->threads,
                               (int)MAX_THREADS);
    if ((int)options->form_policy < LORAC_FORM_POLICY_AUTO || options->form_policy > LORAC_FORM_POLICY_BRANCH)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "form_policy is %d; it must be %d to %d",
                               (int)options->form_policy, (int)LORAC_FORM_POLICY_AUTO, (int)LORAC_FORM_POLICY_BRANCH);
    if (options->choice_count > 0 && !options->choices)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "choices is NULL, and choice_count is %zu",
                               options->choice_count);
    if (!options->training)
        return LORAC_OK;
    if (!net->meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model has no LoRA-C metadata, so nothing in it can be trained; run 'lorac-onnx "
                               "inject' on it first");
    LORAC_TRY(check_micro_batch(net, options, error));
    return lorac_optimizer_options_check(&options->optimizer, error);
}

// Bytes as the command line takes them, rounded up: "123.5 MB".
enum { MEGABYTES_TEXT = 40 };
static const char *megabytes(size_t bytes, char text[MEGABYTES_TEXT])
{
    const size_t tenths = bytes / 100000 + (bytes % 100000 != 0);
    snprintf(text, MEGABYTES_TEXT, "%zu.%zu MB", tenths / 10, tenths % 10);
    return text;
}

static enum lorac_status refuse_budget(const struct lorac_prepare_options *options,
                                       const struct lorac_memory_choice *smallest, struct lorac_error *error)
{
    char budget[MEGABYTES_TEXT], least[MEGABYTES_TEXT];
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "a memory budget of %s is too small: the smallest that would do is %s, with %zu of %zu images "
                           "run at once",
                           megabytes(options->memory_budget, budget), megabytes(smallest->peak_bytes, least),
                           smallest->lower.batch, options->batch);
}

static struct lorac_memory_setting memory_setting(const struct lorac_prepare_options *options, size_t threads)
{
    return (struct lorac_memory_setting){.threads = threads,
                                         .optimizer = options->training ? &options->optimizer : NULL,
                                         .other_bytes = options->memory_other};
}

// Fills in what the budget leaves to be chosen.
static enum lorac_status choose_by_budget(const struct lorac_net *net, const struct lorac_prepare_options *options,
                                          struct lorac_lower_options *lower, struct lorac_error *error)
{
    if (options->memory_budget == 0)
        return LORAC_OK;
    const bool whole = options->training && net->meta.bn == LORAC_BN_TRAIN; // statistics of the batch
    const struct lorac_memory_request request = {
        .budget_bytes = options->memory_budget,
        .batch = options->batch,
        .micro_batch = whole ? options->batch : options->training ? options->micro_batch : 0,
        .lower = *lower,
        .setting = memory_setting(options, LORAC_BUDGET_THREADS),
    };
    struct lorac_memory_choice choice;
    bool found;
    LORAC_TRY(lorac_memory_choose(net->model, &net->meta, &request, &found, &choice, error));
    if (!found)
        return refuse_budget(options, &choice, error);
    *lower = choice.lower;
    return LORAC_OK;
}

// The choice was made for a fixed number of threads.
static enum lorac_status check_budget(const struct lorac_prepare_options *options, struct lorac_program *program,
                                      size_t threads, struct lorac_error *error)
{
    char budget[MEGABYTES_TEXT], needed[MEGABYTES_TEXT];
    if (options->memory_budget == 0 || threads <= LORAC_BUDGET_THREADS)
        return LORAC_OK;
    const struct lorac_memory_setting setting = memory_setting(options, threads);
    struct lorac_memory_prediction memory;
    LORAC_TRY(lorac_memory_predict(program, &setting, &memory, error));
    if (memory.peak_bytes <= options->memory_budget)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "a memory budget of %s is enough for %d threads, but %zu need %s; use fewer threads, or a "
                           "larger budget",
                           megabytes(options->memory_budget, budget), (int)LORAC_BUDGET_THREADS, threads,
                           megabytes(memory.peak_bytes, needed));
}

enum lorac_status lorac_net_predict_memory(struct lorac_net *net, struct lorac_memory_prediction *out,
                                           struct lorac_error *error)
{
    const struct lorac_memory_setting setting = memory_setting(&net->options, net->options.threads);
    return lorac_memory_predict(net->program, &setting, out, error);
}

static size_t resolve_micro_batch(const struct lorac_prepare_options *options)
{
    return options->training && options->micro_batch > 0 ? options->micro_batch : options->batch;
}

size_t lorac_net_threads(size_t threads)
{
    if (threads > 0)
        return threads;
    const size_t processors = lorac_parallel_processors();
    return processors < MAX_THREADS ? processors : MAX_THREADS;
}

static enum lorac_status make_normalize(const struct lorac_net *net, const struct lorac_normalization *given,
                                        size_t channels, struct lorac_normalize *normalize, bool *can_normalize,
                                        struct lorac_error *error)
{
    struct lorac_input_meta input = net->meta.input;
    if (given) {
        input = (struct lorac_input_meta){.given = true, .scale = given->scale, .bgr = given->bgr};
        input.mean_count = given->mean_count;
        input.std_count = given->std_count;
        memcpy(input.mean, given->mean, sizeof input.mean);
        memcpy(input.std, given->std, sizeof input.std);
    }
    *can_normalize = input.given;
    if (!input.given)
        return LORAC_OK;
    LORAC_TRY(lorac_input_meta_check(&input, channels, error));
    return lorac_normalize_init(normalize, &input, channels, error);
}

static enum lorac_status lower(struct lorac_net *net, const struct lorac_prepare_options *options,
                               const struct lorac_choices *choices, struct lorac_program **out,
                               struct lorac_error *error)
{
    struct lorac_lower_options lower = {.batch = resolve_micro_batch(options),
                                        .height = options->height,
                                        .width = options->width,
                                        .training = options->training,
                                        .exact = options->exact,
                                        .form_policy = options->form_policy,
                                        .choices = choices,
                                        .recompute_segments = options->recompute};
    struct lorac_program *program = NULL;
    int64_t begin = lorac_timing_begin(net->timing);
    LORAC_TRY(choose_by_budget(net, options, &lower, error));
    LORAC_TRY(lorac_lower(net->model, &net->meta, &lower, &program, error));
    lorac_timing_end(net->timing, LORAC_SPAN_LOWER, NULL, begin);
    enum lorac_status status = check_budget(options, program, lorac_net_threads(options->threads), error);
    if (status != LORAC_OK) {
        lorac_program_free(program);
        return status;
    }
    program->timing = net->timing;
    *out = program;
    return LORAC_OK;
}

// Measures what the choices lack and lowers the program again by them; on failure the net is open but not prepared.
static enum lorac_status tune(struct lorac_net *net, struct lorac_error *error)
{
    size_t measured = 0;
    int64_t begin = lorac_timing_begin(net->timing);
    enum lorac_status status = lorac_tune(net->program, net->options.threads, net->choices, &measured, error);
    lorac_timing_end(net->timing, LORAC_SPAN_TUNE, NULL, begin);
    if (status == LORAC_OK && measured > 0) {
        lorac_program_free(net->program);
        net->program = NULL;
        status = lower(net, &net->options, net->choices, &net->program, error);
    }
    if (status != LORAC_OK)
        unprepare(net);
    return status;
}

// The memory and the kernels for a program; on failure the net is open but not prepared.
static enum lorac_status start_session(struct lorac_net *net, struct lorac_error *error)
{
    enum lorac_status status = lorac_session_create(net->program, net->options.threads, &net->session, error);
    if (status == LORAC_OK && net->options.training)
        status = lorac_train_state_create(net->session, &net->options.optimizer, &net->train, error);
    // What is trained gets its own memory in the model now, so that a run whose memory ends later can still be saved.
    if (status == LORAC_OK && net->options.training)
        status = lorac_session_own(net->session, error);
    if (status != LORAC_OK)
        unprepare(net);
    return status;
}

// All that can be wrong with the model or the options shows in lowering, while what was prepared before is still whole;
// its memory goes before that of the new session is taken, since a device may not hold both.
enum lorac_status lorac_prepare(struct lorac_net *net, const struct lorac_prepare_options *options,
                                struct lorac_error *error)
{
    if (!net || !options)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_prepare: net and options must not be NULL");
    LORAC_TRY(check_options(net, options, error));
    if (net->session)
        LORAC_TRY(lorac_session_store(net->session, error));
    struct lorac_program *program = NULL;
    struct lorac_choices *choices = NULL;
    size_t classes = 0, threads = lorac_net_threads(options->threads);
    bool can_normalize = false;
    struct lorac_normalize normalize;
    LORAC_TRY(lorac_choices_create(options->choices, options->choice_count, threads, &choices, error));
    enum lorac_status status = lower(net, options, choices, &program, error);
    if (status == LORAC_OK)
        status = count_classes(program, &classes, error);
    if (status == LORAC_OK)
        status = make_normalize(net, options->normalization, program->values[program->input].c, &normalize,
                                &can_normalize, error);
    if (status != LORAC_OK) {
        lorac_program_free(program);
        lorac_choices_free(choices);
        return status;
    }
    unprepare(net);
    net->program = program;
    net->choices = choices;
    net->classes = classes;
    net->can_normalize = can_normalize;
    if (can_normalize)
        net->normalize = normalize;
    net->options = *options;
    net->options.normalization = NULL; // borrowed for the call only, as are the choices
    net->options.choices = NULL;
    net->options.choice_count = 0;
    net->options.threads = threads;
    net->options.micro_batch = program->batch;
    net->options.recompute = program->recompute_segments;
    if (options->tune)
        LORAC_TRY(tune(net, error));
    return start_session(net, error);
}

size_t lorac_memory_bytes(const struct lorac_net *net)
{
    struct lorac_session_memory memory;
    if (!net || !net->session || lorac_program_memory(net->program, &memory, NULL) != LORAC_OK)
        return 0;
    size_t bytes = memory.planned_bytes + memory.workspace_bytes + memory.parameter_bytes + memory.packed_bytes;
    return net->train ? bytes + lorac_train_state_bytes(net->program, &net->options.optimizer) : bytes;
}

// ---- save

enum lorac_status lorac_net_save_as(struct lorac_net *net, const char *path, enum lorac_data_place place,
                                    struct lorac_saved *saved, struct lorac_error *error)
{
    if (net->session)
        LORAC_TRY(lorac_session_store(net->session, error));
    return lorac_model_save_as(net->model, path, place, saved, error);
}

enum lorac_status lorac_save(struct lorac_net *net, const char *path, struct lorac_error *error)
{
    if (!net || !path)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_save: net and path must not be NULL");
    return lorac_net_save_as(net, path, LORAC_DATA_AUTO, NULL, error);
}
