// The training loop: steps and epochs as its callback sees them, and the same bits whatever runs beside it.
#include "check.h"
#include "net_fixture.h"

#include "runtime/train/snapshot.h"

struct watch {
    uint64_t calls, stop_at, steps_per_epoch, total;
    double loss_sum, last_lr;
};

static bool watch_loop(void *context, const struct lorac_loop_progress *progress)
{
    struct watch *watch = context;
    const uint64_t step = watch->calls++;
    CHECK(progress->step == step + 1 && progress->total_steps == watch->total);
    CHECK(progress->epoch == step / watch->steps_per_epoch);
    CHECK(progress->step_in_epoch == step % watch->steps_per_epoch + 1);
    CHECK(progress->steps_per_epoch == watch->steps_per_epoch && progress->epoch < progress->total_epochs);
    watch->loss_sum = progress->step_in_epoch == 1 ? progress->result.loss : watch->loss_sum + progress->result.loss;
    CHECK(fabs(progress->epoch_loss - watch->loss_sum / (double)progress->step_in_epoch) <= 1e-12);
    CHECK(progress->epoch_accuracy >= 0 && progress->epoch_accuracy <= 1 && progress->images_per_second >= 0);
    watch->last_lr = progress->lr;
    return watch->calls == watch->stop_at;
}

static const struct loop_case {
    const char *name;
    uint64_t epochs, steps, stop_at, expected_steps;
    enum lorac_status status;
} loop_cases[] = {
    {"epochs", 3, 0, 0, 15, LORAC_OK},
    {"less than an epoch", 3, 2, 0, 2, LORAC_OK},
    {"more than an epoch", 1, 12, 0, 12, LORAC_OK},
    {"stopped", 2, 0, 7, 7, LORAC_ERROR_ABORTED},
    {"nothing", 0, 0, 0, 0, LORAC_ERROR_ARGUMENT},
};

// Without shuffling the loop is train_batch over the images in order: the same bits.
static void test_loop(const struct loop_case *row)
{
    struct lorac_error error = {0};
    const struct tiny_options tiny = {.pixels = true};
    struct lorac_net *net = open_prepared(&tiny, true), *by_hand = open_prepared(&tiny, true);
    const struct lorac_dataset dataset = tiny_dataset();
    struct watch watch = {.stop_at = row->stop_at, .steps_per_epoch = IMAGES / BATCH};
    watch.total = row->steps ? row->steps : row->epochs * watch.steps_per_epoch;
    struct lorac_loop_options options = lorac_loop_options_default();
    options.source.dataset = &dataset;
    options.source.normalize = net->normalize;
    options.epochs = row->epochs;
    options.steps = row->steps;
    options.shuffle = false;
    options.schedule = LORAC_SCHEDULE_CONSTANT;
    options.callback = watch_loop;
    options.context = &watch;
    CHECKF(lorac_loop_run(net, &options, &error) == row->status, "%s: %s", row->name, error.message);
    CHECKF(watch.calls == row->expected_steps, "%s: %u steps", row->name, (unsigned)watch.calls);
    train_steps(by_hand, row->expected_steps);
    CHECKF(same_bytes(net, by_hand), "%s: not the same as by hand", row->name);
    lorac_close(net);
    lorac_close(by_hand);
}

// Everything at once (shuffled, cropped, flipped, warm-up, cosine): the seed alone decides, not the threads.
static void test_loop_is_repeatable(void)
{
    static const struct {
        uint64_t seed;
        size_t threads;
        bool same;
    } rows[] = {{1, 1, true}, {1, 2, true}, {1, 3, true}, {2, 1, false}};
    struct lorac_net *first = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lorac_error error = {0};
        struct lorac_net *net =
            open_tiny(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
        const struct lorac_prepare_options prepare = training(rows[i].threads);
        CHECK_OK(lorac_prepare(net, &prepare, &error), error);
        const struct lorac_dataset dataset = tiny_dataset();
        struct lorac_loop_options options = lorac_loop_options_default();
        options.source.dataset = &dataset;
        options.source.normalize = net->normalize;
        options.source.augment = (struct lorac_augment){.crop_pad = 4, .flip = true};
        options.source.seed = rows[i].seed;
        options.epochs = 3;
        options.warmup_steps = 4;
        CHECK_OK(lorac_loop_run(net, &options, &error), error);
        if (first)
            CHECKF(same_bytes(net, first) == rows[i].same, "row %zu", i);
        if (first)
            lorac_close(net);
        else
            first = net;
    }
    lorac_close(first);
}

// ---- going on

struct stop {
    uint64_t at;
    struct lorac_loop_progress last;
};

static bool stop_at(void *context, const struct lorac_loop_progress *progress)
{
    struct stop *stop = context;
    stop->last = *progress;
    return progress->step == stop->at;
}

// Stopped after [at] steps and gone on in another net with the numbers of then: as without.
static void test_loop_goes_on(uint64_t at)
{
    struct lorac_error error = {0};
    const struct tiny_options tiny = {.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN};
    struct lorac_net *whole = open_prepared(&tiny, true), *first = open_prepared(&tiny, true),
                     *second = open_prepared(&tiny, true);
    const struct lorac_dataset dataset = tiny_dataset();
    struct stop stop = {.at = 0};
    struct lorac_loop_options options = lorac_loop_options_default();
    options.source.dataset = &dataset;
    options.source.normalize = whole->normalize;
    options.source.augment = (struct lorac_augment){.crop_pad = 4, .flip = true};
    options.epochs = 3;
    options.callback = stop_at;
    options.context = &stop;
    CHECK_OK(lorac_loop_run(whole, &options, &error), error);
    const struct lorac_loop_progress end = stop.last;
    stop = (struct stop){.at = at};
    if (at > 0)
        CHECK(lorac_loop_run(first, &options, &error) == LORAC_ERROR_ABORTED || at == end.total_steps);
    struct lorac_snapshot from, to;
    CHECK_OK(lorac_snapshot_init(&from, first, LORAC_SNAPSHOT_RUN, &error), error);
    CHECK_OK(lorac_snapshot_init(&to, second, LORAC_SNAPSHOT_RUN, &error), error);
    float *values = calloc(from.value_count, sizeof *values);
    REQUIRE(values != NULL && from.value_count == to.value_count);
    lorac_snapshot_copy_out(&from, values);
    lorac_snapshot_copy_in(&to, values);
    lorac_train_state_set_step(second->train, lorac_train_state_step(first->train));
    CHECK(stop.last.position.step == at);
    options.start = stop.last.position;
    stop = (struct stop){.last = stop.last};
    CHECK_OK(lorac_loop_run(second, &options, &error), error);
    CHECKF(same_bytes(whole, second), "other numbers after step %u", (unsigned)at);
    CHECKF(memcmp(&stop.last.position, &end.position, sizeof end.position) == 0 && stop.last.step == end.step &&
               stop.last.epoch_loss == end.epoch_loss && stop.last.epoch_accuracy == end.epoch_accuracy,
           "another report after step %u", (unsigned)at);
    options.start.step = end.total_steps + 1;
    CHECK(lorac_loop_run(second, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "only 15") != NULL);
    free(values);
    lorac_snapshot_clear(&from);
    lorac_snapshot_clear(&to);
    lorac_close(whole);
    lorac_close(first);
    lorac_close(second);
}

static void test_loop_refusals(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    struct lorac_dataset dataset = tiny_dataset();
    dataset.count = BATCH - 1;
    struct lorac_loop_options options = lorac_loop_options_default();
    options.source.dataset = &dataset;
    options.source.normalize = net->normalize;
    CHECK(lorac_loop_run(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "--batch 3") != NULL);
    dataset.count = IMAGES;
    dataset.labels = NULL;
    CHECK(lorac_loop_run(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "labels") != NULL);
    dataset.labels = labels;
    dataset.height = 4;
    CHECK(lorac_loop_run(net, &options, &error) == LORAC_ERROR_MISMATCH && strstr(error.message, "4 x 8") != NULL);
    dataset.height = TINY_SIDE;
    options.steps = 3;
    options.warmup_steps = 4;
    CHECK(lorac_loop_run(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "warm-up") != NULL);
    lorac_close(net);
    net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    CHECK(lorac_loop_run(net, &options, &error) == LORAC_ERROR_ARGUMENT && strstr(error.message, "training") != NULL);
    lorac_close(net);
}

int main(void)
{
    make_images();
    for (size_t i = 0; i < sizeof loop_cases / sizeof loop_cases[0]; i++)
        test_loop(&loop_cases[i]);
    test_loop_is_repeatable();
    for (uint64_t at = 0; at <= 15; at++)
        test_loop_goes_on(at);
    test_loop_refusals();
    return check_report();
}
