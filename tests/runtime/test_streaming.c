// Training and evaluation of images that are decoded ahead of use: the same bits as from memory, whatever the loader's
// threads and cache are, and what becomes of broken images.
#include "check.h"
#include "net_fixture.h"

#include "runtime/data/loader.h"

#include <stdatomic.h>
#include <time.h>

static bool broken[IMAGES];
static atomic_size_t decoded; // images

static enum lorac_status decode(void *context, size_t index, struct lorac_stored_image *out, struct lorac_error *error)
{
    (void)context;
    atomic_fetch_add(&decoded, 1);
    if (broken[index])
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'image%zu': is broken", index);
    *out = (struct lorac_stored_image){malloc(TINY_PIXELS), TINY_SIDE, TINY_SIDE};
    if (!out->pixels)
        abort();
    memcpy(out->pixels, pixels + index * TINY_PIXELS, TINY_PIXELS);
    return LORAC_OK;
}

static const struct way {
    size_t threads, queue_bytes, cache_bytes;
} ways[] = {{1, 0, 0}, {1, 1000000, 0}, {4, 1000, 0}, {3, 1000000, 1000000}};
enum { WAY_COUNT = sizeof ways / sizeof ways[0] };

// The fixture's images as a set that does not lie in memory.
static struct lorac_dataset streamed_dataset(const struct way *way, double share)
{
    struct lorac_dataset dataset = tiny_dataset();
    struct lorac_error error = {0};
    const struct lorac_loader_source source = {decode, NULL, IMAGES, TINY_CHANNELS, TINY_PIXELS, 0};
    const struct lorac_loader_options options = {.threads = way->threads,
                                                 .batch = BATCH,
                                                 .queue_bytes = way->queue_bytes,
                                                 .cache_bytes = way->cache_bytes,
                                                 .broken_share = share};
    dataset.pixels = NULL;
    REQUIRE(CHECK_OK(lorac_loader_create(&source, &options, &dataset.loader, &error), error));
    return dataset;
}

// Some epochs, from the middle of the first where [start] says so.
static struct lorac_net *train(const struct lorac_dataset *dataset, bool crop_flip, bool shuffle,
                               uint64_t start, enum lorac_status expected, struct lorac_error *error)
{
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    struct lorac_loop_options options = lorac_loop_options_default();
    options.source.dataset = dataset;
    options.source.normalize = net->normalize;
    if (crop_flip)
        options.source.augment = (struct lorac_augment){.crop_pad = 4, .flip = true};
    options.source.seed = 7;
    options.shuffle = shuffle;
    options.steps = 13; // ends within an epoch
    options.start.step = start;
    const enum lorac_status status = lorac_loop_run(net, &options, error);
    CHECKF(status == expected, "status %d: %s", status, error->message);
    return net;
}

static void test_training(const struct way *way, uint64_t start)
{
    struct lorac_error error = {0};
    const struct lorac_dataset in_memory = tiny_dataset();
    struct lorac_dataset streamed = streamed_dataset(way, 0);
    struct lorac_net *expected = train(&in_memory, true, true, start, LORAC_OK, &error);
    struct lorac_net *got = train(&streamed, true, true, start, LORAC_OK, &error);
    CHECK(same_bytes(expected, got));
    lorac_close(expected);
    lorac_close(got);
    lorac_loader_free(streamed.loader);
}

// ---- the next epoch

enum { EPOCH_IMAGES = IMAGES / BATCH * BATCH };

static bool wait_for_more(size_t count)
{
    const struct timespec time = {.tv_nsec = 1000000};
    for (int i = 0; i < 5000 && atomic_load(&decoded) <= count; i++)
        nanosleep(&time, NULL);
    return atomic_load(&decoded) > count;
}

struct look {
    bool ahead;          // wanted
    uint64_t validated;  // epochs
};

// At the end of each epoch but the last.
static bool look_ahead(void *context, const struct lorac_loop_progress *progress)
{
    const struct look *look = context;
    if (progress->step % progress->steps_per_epoch != 0 || progress->step == progress->total_steps)
        return false;
    const size_t so_far = (size_t)(progress->epoch + 1) * EPOCH_IMAGES + (size_t)progress->epoch * look->validated;
    if (look->ahead)
        CHECKF(wait_for_more(so_far), "epoch %d: only %zu images", (int)progress->epoch, atomic_load(&decoded));
    else
        CHECKF(atomic_load(&decoded) == so_far, "epoch %d: %zu images", (int)progress->epoch, atomic_load(&decoded));
    return false;
}

// While the last steps of an epoch run the next one's images are decoded, none of them twice; where the same loader
// validates in between nothing is decoded in vain.
static void test_next_epoch(bool validates, bool same_loader)
{
    struct lorac_error error = {0};
    const struct way way = {1, 1000000, 0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    struct lorac_dataset streamed = streamed_dataset(&way, 0);
    const struct lorac_dataset in_memory = tiny_dataset();
    struct look look = {.ahead = !same_loader, .validated = same_loader ? IMAGES : 0};
    struct lorac_loop_options options = lorac_loop_options_default();
    options.source.dataset = &streamed;
    options.source.normalize = net->normalize;
    options.epochs = 3;
    options.callback = look_ahead;
    options.context = &look;
    const struct lorac_batch_source source = {.dataset = same_loader ? &streamed : &in_memory,
                                              .normalize = net->normalize};
    const struct lorac_validation_options validating = {.source = &source, .every = 1};
    struct lorac_validation validation = {0};
    if (validates)
        CHECK_OK(lorac_validation_create(&validation, net, &validating, &error), error);
    options.validation = validates ? &validation : NULL;
    atomic_store(&decoded, 0);
    CHECK_OK(lorac_loop_run(net, &options, &error), error);
    CHECK(atomic_load(&decoded) == 3 * EPOCH_IMAGES + (same_loader ? 3 * IMAGES : 0));
    lorac_validation_clear(&validation);
    lorac_close(net);
    lorac_loader_free(streamed.loader);
}

// The place of a broken image is taken by the next of the order, with its label; after the last comes the first.
static void test_broken_training(const struct way *way)
{
    static const size_t from[IMAGES] = {0,  1,  2,  5,  5,  5,  6,  7,  8,  9,  10,
                                        11, 12, 13, 14, 15, 16, 17, 18, 19, 0,  0};
    static uint8_t replaced[IMAGES * TINY_PIXELS];
    static int32_t replaced_labels[IMAGES];
    struct lorac_error error = {0};
    for (size_t i = 0; i < IMAGES; i++) {
        broken[i] = from[i] != i;
        memcpy(replaced + i * TINY_PIXELS, pixels + from[i] * TINY_PIXELS, TINY_PIXELS);
        replaced_labels[i] = labels[from[i]];
    }
    struct lorac_dataset in_memory = tiny_dataset(), streamed = streamed_dataset(way, 0.2);
    in_memory.pixels = replaced;
    in_memory.labels = replaced_labels;
    struct lorac_net *expected = train(&in_memory, false, false, 0, LORAC_OK, &error);
    struct lorac_net *got = train(&streamed, false, false, 0, LORAC_OK, &error);
    CHECK(same_bytes(expected, got));
    // Images 20 and 21 would be in the last batch, which is left out: two of four were met.
    CHECK(lorac_loader_broken_count(streamed.loader) == 2);
    lorac_close(expected);
    lorac_close(got);
    lorac_loader_free(streamed.loader);

    streamed = streamed_dataset(way, 0.05);
    got = train(&streamed, false, false, 0, LORAC_ERROR_FORMAT, &error);
    CHECK_STRING(error.message, "step 1: 2 of the 22 images cannot be read, more than a share of 0.05, which may be: "
                                "'image3': is broken; 'image4': is broken");
    lorac_close(got);
    lorac_loader_free(streamed.loader);
    memset(broken, 0, sizeof broken);
}

// Broken images are in no count, and their outputs are no numbers.
static void test_evaluation(const struct way *way, bool with_broken)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    const struct lorac_dataset in_memory = tiny_dataset();
    struct lorac_dataset streamed = streamed_dataset(way, 0.5);
    const size_t classes = net->classes;
    float *expected = calloc(IMAGES * classes, sizeof *expected), *got = calloc(IMAGES * classes, sizeof *got);
    size_t images[16], correct[16], right = 0, in_class[16] = {0};
    double loss = 0;
    REQUIRE(expected && got && classes <= 16);
    if (with_broken)
        broken[0] = broken[9] = broken[IMAGES - 1] = true;
    struct lorac_batch_source source = {.dataset = &in_memory, .normalize = net->normalize};
    struct lorac_evaluate_request request = {.source = &source, .outputs = expected};
    struct lorac_evaluation result;
    CHECK_OK(lorac_net_evaluate(net, &request, NULL, &error), error);
    source.dataset = &streamed;
    request.outputs = got;
    struct lorac_prediction predictions[IMAGES];
    request.predictions = predictions;
    request.class_images = images;
    request.class_correct = correct;
    CHECK_OK(lorac_net_evaluate(net, &request, &result, &error), error);
    for (size_t i = 0; i < IMAGES; i++) {
        const float *row = expected + i * classes;
        size_t top = 0;
        for (size_t c = 1; c < classes; c++)
            top = row[c] > row[top] ? c : top;
        right += !broken[i] && top == (size_t)labels[i];
        CHECKF(predictions[i].predicted == (broken[i] ? -1 : (int32_t)top), "image %zu: %d", i,
               (int)predictions[i].predicted);
        loss += predictions[i].loss / (double)result.images;
        in_class[labels[i]] += !broken[i];
        if (broken[i])
            for (size_t c = 0; c < classes; c++)
                CHECK(isnan(got[i * classes + c]));
        else
            CHECKF(memcmp(row, got + i * classes, classes * sizeof *row) == 0, "image %zu", i);
    }
    CHECK(result.images == IMAGES - (with_broken ? 3U : 0U) && result.correct == right && isfinite(result.loss));
    CHECKF(fabs(loss - result.loss) < 1e-12, "%g, not %g", loss, result.loss);
    CHECK(memcmp(images, in_class, classes * sizeof *images) == 0);
    memset(broken, 0, sizeof broken);
    free(expected);
    free(got);
    lorac_loader_free(streamed.loader);
    lorac_close(net);
}

int main(void)
{
    make_images();
    for (size_t i = 0; i < WAY_COUNT; i++) {
        test_training(&ways[i], 0);
        test_training(&ways[i], 3);
        test_broken_training(&ways[i]);
        test_evaluation(&ways[i], false);
        test_evaluation(&ways[i], true);
    }
    test_next_epoch(false, false);
    test_next_epoch(true, false);
    test_next_epoch(true, true);
    return check_report();
}
