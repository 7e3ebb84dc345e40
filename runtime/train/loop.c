#include "loop.h"

#include "fill.h"
#include "runtime/data/loader.h"
#include "runtime/kernels/parallel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

struct lorac_loop_options lorac_loop_options_default(void)
{
    return (struct lorac_loop_options){
        .epochs = 8,
        .shuffle = true,
        .schedule = LORAC_SCHEDULE_COSINE,
    };
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// A run: what is fixed, and the sums of the present epoch.
struct run {
    struct lorac_net *net;
    const struct lorac_loop_options *options;
    struct lorac_batch_source source; // of the options, with memory to augment in
    struct lorac_schedule schedule;
    uint64_t steps_per_epoch;
    size_t batch, image_count;
    uint32_t *order; // [image_count], of the present epoch; of a loader's, which has its own: of any
    int32_t *labels; // [batch]
    double loss_sum;
    uint64_t correct_sum;
    double timed_from; // seconds, of the first step of the epoch that this call did
    uint64_t timed_steps;
};

static size_t count_images(const struct lorac_loop_options *options)
{
    return options->images ? options->image_count : options->source.dataset->count;
}

static enum lorac_status check_options(const struct lorac_net *net, const struct lorac_loop_options *options,
                                       struct lorac_error *error)
{
    const struct lorac_dataset *dataset = options->source.dataset;
    const size_t count = count_images(options);
    if (!net->session || !net->train)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model is not prepared for training; call lorac_prepare "
                               "with training set");
    if (!dataset->labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "training images have no labels; give them");
    if (count < net->options.batch)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "%zu images are fewer than one batch of %zu; use --batch %zu or less", count,
                               net->options.batch, count);
    if (dataset->count > UINT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "%zu images are more than the %" PRIu32 " that can be shuffled; use --range",
                               dataset->count, UINT32_MAX);
    LORAC_TRY(lorac_augment_check(&options->source.augment, dataset, error));
    return lorac_fill_check(net, dataset, error);
}

uint64_t lorac_loop_steps(const struct lorac_loop_options *options, size_t batch)
{
    const uint64_t per_epoch = count_images(options) / batch;
    if (options->steps > 0 || per_epoch == 0)
        return per_epoch > 0 ? options->steps : 0;
    return options->epochs <= UINT64_MAX / per_epoch ? options->epochs * per_epoch : 0;
}

static enum lorac_status plan_steps(struct run *run, struct lorac_error *error)
{
    const struct lorac_loop_options *options = run->options;
    run->steps_per_epoch = run->image_count / run->batch;
    const uint64_t total = lorac_loop_steps(options, run->batch);
    if (total == 0 && options->epochs > 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%" PRIu64 " epochs are more than can be counted",
                               options->epochs);
    if (total == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "epochs and steps are both 0: nothing to train");
    if (options->warmup_steps > total)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "warm-up of %" PRIu64 " steps is longer than the %" PRIu64 " steps of training",
                               options->warmup_steps, total);
    if (options->start.step > total)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the run to go on with is at step %" PRIu64 ", but there are only %" PRIu64 " steps",
                               options->start.step, total);
    run->schedule =
        (struct lorac_schedule){options->schedule, run->net->options.optimizer.lr, total, options->warmup_steps};
    return LORAC_OK;
}

static void make_order(struct run *run, uint64_t epoch)
{
    const struct lorac_batch_source *source = &run->source;
    lorac_batch_order(source->seed, epoch, run->options->shuffle, run->image_count, run->order);
    for (size_t i = 0; run->options->images && i < run->image_count; i++)
        run->order[i] = run->options->images[run->order[i]];
}

static void begin_epoch(struct run *run, uint64_t epoch)
{
    make_order(run, epoch);
    run->loss_sum = 0;
    run->correct_sum = 0;
    run->timed_from = seconds_now();
    run->timed_steps = 0;
}

// From [step] on, to the end of its epoch, whose order there is.
static struct lorac_loader_pass describe_pass(const struct run *run, uint64_t step)
{
    const uint64_t in_epoch = step % run->steps_per_epoch, left = run->schedule.total_steps - (step - in_epoch);
    return (struct lorac_loader_pass){
        .order = run->order,
        .count = run->image_count,
        .first = (size_t)in_epoch * run->batch,
        .end = (size_t)(left < run->steps_per_epoch ? left : run->steps_per_epoch) * run->batch,
        .replace = true,
    };
}

// Images of the next epoch are decoded while this one ends; not where the same loader has to validate before it.
static enum lorac_status read_ahead(struct run *run, uint64_t epoch, struct lorac_error *error)
{
    const struct lorac_dataset *dataset = run->source.dataset;
    const struct lorac_validation *validation = run->options->validation;
    if (!dataset->loader || run->schedule.total_steps - epoch * run->steps_per_epoch <= run->steps_per_epoch ||
        (validation && validation->options.source->dataset == dataset &&
         lorac_validation_is_due(validation, epoch + 1, false)))
        return LORAC_OK;
    make_order(run, epoch + 1);
    const struct lorac_loader_pass next = describe_pass(run, (epoch + 1) * run->steps_per_epoch);
    return lorac_loader_follow(dataset->loader, &next, error);
}

static enum lorac_status start_pass(struct run *run, uint64_t step, struct lorac_error *error)
{
    const struct lorac_loader_pass pass = describe_pass(run, step);
    LORAC_TRY(lorac_fill_start(run->source.dataset, &pass, error));
    return read_ahead(run, step / run->steps_per_epoch, error);
}

// The images of a step, and their labels.
static enum lorac_status take_batch(struct run *run, uint64_t step, const struct lorac_fill_batch *fill,
                                    struct lorac_error *error)
{
    if (step % run->steps_per_epoch == 0) {
        begin_epoch(run, fill->epoch);
        LORAC_TRY(start_pass(run, step, error));
    }
    LORAC_TRY(lorac_fill_take(fill, error));
    for (size_t i = 0; i < run->batch; i++)
        run->labels[i] = fill->source->dataset->labels[lorac_fill_index(fill, i)];
    return LORAC_OK;
}

// Where the run stands after [steps] steps, the last of which gave [result].
static struct lorac_loop_progress describe(const struct run *run, uint64_t steps, const struct lorac_step_result *result)
{
    const uint64_t per_epoch = run->steps_per_epoch, total = run->schedule.total_steps, step = steps - 1;
    const double in_epoch = (double)(step % per_epoch + 1), seconds = seconds_now() - run->timed_from;
    return (struct lorac_loop_progress){
        .step = steps,
        .total_steps = total,
        .epoch = step / per_epoch,
        .total_epochs = total / per_epoch + (total % per_epoch != 0),
        .step_in_epoch = step % per_epoch + 1,
        .steps_per_epoch = per_epoch,
        .lr = lorac_schedule_lr(&run->schedule, step),
        .result = *result,
        .epoch_loss = run->loss_sum / in_epoch,
        .epoch_accuracy = (double)run->correct_sum / (in_epoch * (double)run->batch),
        .images_per_second = seconds > 0 ? (double)run->timed_steps * (double)run->batch / seconds : 0,
        .position = {steps, run->loss_sum, run->correct_sum},
    };
}

static bool is_due(const struct run *run, const struct lorac_loop_progress *done)
{
    const struct lorac_validation *validation = run->options->validation;
    return validation && lorac_validation_is_due(validation, done->epoch + 1, done->step == done->total_steps);
}

// What follows the last step of an epoch, or of the run: [done] says which it was.
static enum lorac_status end_epoch(struct run *run, const struct lorac_loop_progress *done, struct lorac_error *error)
{
    const struct lorac_loop_options *options = run->options;
    const double now = seconds_now();
    struct lorac_loop_epoch epoch = {.epoch = done->epoch + 1,
                                     .total_epochs = done->total_epochs,
                                     .step = done->step,
                                     .steps = done->step_in_epoch,
                                     .loss = done->epoch_loss,
                                     .accuracy = done->epoch_accuracy,
                                     .seconds = now - run->timed_from};
    if (is_due(run, done)) {
        LORAC_TRY(lorac_validation_run(options->validation, run->net, epoch.epoch, epoch.step, &epoch.validation,
                                       &epoch.better, error));
        epoch.validated = true;
        epoch.validation_seconds = seconds_now() - now;
        epoch.stops = options->validation->stops && done->step < done->total_steps;
    }
    if (options->epoch_callback)
        options->epoch_callback(options->context, &epoch);
    return LORAC_OK;
}

static bool ends_epoch(const struct lorac_loop_progress *done)
{
    return done->step_in_epoch == done->steps_per_epoch || done->step == done->total_steps;
}

// With the sums of then.
static enum lorac_status begin_at(struct run *run, const struct lorac_loop_position *start, struct lorac_error *error)
{
    if (start->step == 0)
        return LORAC_OK;
    begin_epoch(run, (start->step - 1) / run->steps_per_epoch);
    run->loss_sum = start->loss_sum;
    run->correct_sum = start->correct_sum;
    const struct lorac_loop_progress done = describe(run, start->step, &(struct lorac_step_result){0});
    if (!ends_epoch(&done))
        return start_pass(run, start->step, error);
    return end_epoch(run, &done, error);
}

static enum lorac_status run_step(struct run *run, uint64_t step, struct lorac_error *error)
{
    struct lorac_fill_batch fill = {
        .source = &run->source,
        .order = run->order,
        .first = (size_t)(step % run->steps_per_epoch) * run->batch,
        .count = run->batch,
        .epoch = step / run->steps_per_epoch,
        .rows = run->net->program->batch,
        .pool = lorac_session_pool(run->net->session),
    };
    LORAC_TRY(lorac_error_prefix(error, take_batch(run, step, &fill, error), "step %" PRIu64 ": ", step + 1));
    const double lr = lorac_schedule_lr(&run->schedule, step);
    const struct lorac_net_fill net_fill = {lorac_fill_run, &fill};
    struct lorac_step_result result;
    LORAC_TRY(lorac_error_prefix(error, lorac_net_train_step(run->net, &net_fill, run->labels, lr, &result, error),
                                 "step %" PRIu64 ": ", step + 1));
    run->loss_sum += result.loss;
    run->correct_sum += result.correct;
    run->timed_steps++;
    const struct lorac_loop_progress progress = describe(run, step + 1, &result);
    if (run->options->callback && run->options->callback(run->options->context, &progress))
        return lorac_error_set(error, LORAC_ERROR_ABORTED, "stopped after step %" PRIu64 " of %" PRIu64, step + 1,
                               run->schedule.total_steps);
    return ends_epoch(&progress) ? end_epoch(run, &progress, error) : LORAC_OK;
}

static bool has_stopped(const struct run *run)
{
    return run->options->validation && run->options->validation->stops;
}

enum lorac_status lorac_loop_run(struct lorac_net *net, const struct lorac_loop_options *options,
                                 struct lorac_error *error)
{
    LORAC_TRY(check_options(net, options, error));
    struct run run = {.net = net,
                      .options = options,
                      .source = options->source,
                      .batch = net->options.batch,
                      .image_count = count_images(options)};
    LORAC_TRY(plan_steps(&run, error));
    const size_t threads = lorac_parallel_threads(lorac_session_pool(net->session));
    enum lorac_status status = lorac_augment_scratch_create(&run.source.augment, run.source.dataset, threads,
                                                            &run.source.scratch, error);
    run.order = calloc(run.image_count, sizeof *run.order);
    run.labels = calloc(run.batch, sizeof *run.labels);
    if (status == LORAC_OK && (!run.order || !run.labels))
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the order of %zu images",
                                 run.image_count);
    else if (status == LORAC_OK)
        status = begin_at(&run, &options->start, error);
    for (uint64_t step = options->start.step; status == LORAC_OK && !has_stopped(&run) && step < run.schedule.total_steps;
         step++)
        status = run_step(&run, step, error);
    free(run.order);
    free(run.labels);
    lorac_augment_scratch_free(run.source.scratch);
    return status;
}
