// Images decoded ahead of use: what is taken depends on the order alone, never on threads, queue, cache or time.
#include "check.h"

#include "proto/rng.h"
#include "runtime/data/loader.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { COUNT = 40, BATCH = 5, CHANNELS = 3 };

// ---- a set of images that are made, not read

// Image [i] has height 2 + i % 3, width 3 and the value i + 1 everywhere.
struct set {
    bool broken[COUNT];
    size_t fatal_at;                // SIZE_MAX: none
    bool slow;                      // each image takes another time
    atomic_int decoded; // images
    atomic_int per_image[COUNT];
};

static size_t height_of(size_t index)
{
    return 2 + index % 3;
}

static void wait_a_little(size_t index)
{
    const struct timespec time = {.tv_nsec = (long)(index * 7919 % 11) * 100000};
    nanosleep(&time, NULL);
}

static enum lorac_status decode(void *context, size_t index, struct lorac_stored_image *out, struct lorac_error *error)
{
    struct set *set = context;
    atomic_fetch_add(&set->decoded, 1);
    atomic_fetch_add(&set->per_image[index], 1);
    if (set->slow)
        wait_a_little(index);
    if (index == set->fatal_at)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for 'image%zu'", index);
    if (set->broken[index])
        return lorac_error_set(error, index % 2 ? LORAC_ERROR_IO : LORAC_ERROR_FORMAT, "'image%zu': is broken", index);
    const size_t bytes = height_of(index) * 3 * CHANNELS;
    *out = (struct lorac_stored_image){malloc(bytes), height_of(index), 3};
    if (!out->pixels)
        abort(); // the harness counts for one thread
    memset(out->pixels, (int)index + 1, bytes);
    return LORAC_OK;
}

static void set_init(struct set *set, bool slow)
{
    memset(set, 0, sizeof *set);
    set->slow = slow;
    set->fatal_at = SIZE_MAX;
}

static struct lorac_loader *make_loader(struct set *set, const struct lorac_loader_options *options)
{
    const struct lorac_loader_source source = {decode, set, COUNT, CHANNELS, 2 * 3 * CHANNELS, 0};
    struct lorac_loader *loader = NULL;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_loader_create(&source, options, &loader, &error), error));
    return loader;
}

static void make_order(uint32_t *order, uint64_t epoch)
{
    lorac_batch_order(1, epoch, true, COUNT, order);
}

static bool image_is(const struct lorac_loaded *loaded, size_t index)
{
    const uint8_t *pixels = loaded->image.pixels;
    bool same = !loaded->broken && pixels && loaded->index == index && loaded->image.height == height_of(index) &&
                loaded->image.width == 3;
    for (size_t i = 0; same && i < height_of(index) * 3 * CHANNELS; i++)
        same = pixels[i] == index + 1;
    return same;
}

// ---- orders, threads, queues, caches

static const struct way {
    const char *name;
    size_t threads, queue_bytes, cache_bytes;
    bool slow;
} ways[] = {
    {"one thread", 1, 1000, 0, false},
    {"one thread, slow", 1, 1000, 0, true},
    {"four threads", 4, 1000, 0, false},
    {"four threads, slow", 4, 1000, 0, true},
    {"nothing ahead", 3, 0, 0, true},
    {"one image ahead", 3, 1, 0, true},
    {"everything ahead", 2, 1 << 20, 0, false},
    {"all cached", 1, 1000, 1 << 20, false},
    {"all cached, slow", 4, 1000, 1 << 20, true},
    {"some cached", 4, 1000, 800, true},
    {"too small a cache", 2, 1000, COUNT * 2 * 3 * CHANNELS - 1, false},
};
enum { WAY_COUNT = sizeof ways / sizeof ways[0] };

static struct lorac_loader_options options_of(const struct way *way)
{
    return (struct lorac_loader_options){.threads = way->threads,
                                         .batch = BATCH,
                                         .queue_bytes = way->queue_bytes,
                                         .cache_bytes = way->cache_bytes,
                                         .broken_share = 0.25};
}

// Positions [first, end) of three epochs, in batches whose last one may be smaller; with [told] each says which is next.
static void test_order(const struct way *way, size_t first, size_t end, bool told)
{
    struct set set;
    struct lorac_error error = {0};
    uint32_t order[COUNT], next_order[COUNT];
    set_init(&set, way->slow);
    const struct lorac_loader_options options = options_of(way);
    struct lorac_loader *loader = make_loader(&set, &options);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        make_order(order, epoch);
        make_order(next_order, epoch + 1);
        const struct lorac_loader_pass pass = {
            .order = epoch == 2 ? NULL : order, .count = COUNT, .first = first, .end = end, .replace = epoch == 0};
        const struct lorac_loader_pass next = {
            .order = epoch == 1 ? NULL : next_order, .count = COUNT, .first = first, .end = end};
        CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
        if (told && epoch < 2)
            CHECK_OK(lorac_loader_follow(loader, &next, &error), error);
        for (size_t p = first; p < end; p += BATCH) {
            const size_t count = end - p < BATCH ? end - p : BATCH;
            CHECK_OK(lorac_loader_take(loader, count, &error), error);
            for (size_t i = 0; i < count; i++) {
                const struct lorac_loaded loaded = lorac_loader_image(loader, i);
                CHECKF(image_is(&loaded, epoch == 2 ? p + i : order[p + i]), "%s: epoch %d, position %zu: image %zu",
                       way->name, (int)epoch, p + i, loaded.index);
            }
        }
    }
    CHECK(lorac_loader_broken_count(loader) == 0);
    const int decoded = atomic_load(&set.decoded), images = (int)(end - first);
    // Of the next pass an image may be begun that another thread is still decoding for this one.
    const bool twice = told && way->threads > 1;
    if (way->cache_bytes > 10000 && end - first == COUNT && !twice)
        CHECKF(decoded == images, "%s: %d images decoded", way->name, decoded);
    else if (way->cache_bytes < COUNT * 2 * 3 * CHANNELS)
        CHECKF(decoded == 3 * images, "%s: %d images decoded", way->name, decoded);
    else
        CHECKF(decoded < 3 * images || images == 1, "%s: %d images decoded", way->name, decoded);
    lorac_loader_free(loader);
}

// ---- broken images

struct named {
    size_t count, indices[COUNT];
};

static void note(void *context, size_t index, const char *message)
{
    struct named *named = context;
    char expected[64];
    snprintf(expected, sizeof expected, "'image%zu': is broken", index);
    CHECK_STRING(message, expected);
    REQUIRE(named->count < COUNT);
    named->indices[named->count++] = index;
}

// In training the next of the order that can be read is taken; after the last comes the first.
static void test_replaced(const struct way *way, bool told)
{
    static const size_t broken_positions[] = {0, 7, 8, 9, 20, COUNT - 1};
    enum { BROKEN = sizeof broken_positions / sizeof broken_positions[0] };
    struct set set;
    struct lorac_error error = {0};
    uint32_t order[COUNT];
    struct named named = {0};
    set_init(&set, way->slow);
    make_order(order, 0);
    for (size_t i = 0; i < BROKEN; i++)
        set.broken[order[broken_positions[i]]] = true;
    const struct lorac_loader_options options = options_of(way);
    struct lorac_loader *loader = make_loader(&set, &options);
    lorac_loader_set_broken(loader, note, &named);
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        const struct lorac_loader_pass pass = {.order = order, .count = COUNT, .end = COUNT, .replace = true};
        CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
        if (told)
            CHECK_OK(lorac_loader_follow(loader, &pass, &error), error);
        for (size_t p = 0; p < COUNT; p += BATCH) {
            CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
            for (size_t i = 0; i < BATCH; i++) {
                size_t at = p + i;
                while (set.broken[order[at]])
                    at = (at + 1) % COUNT;
                const struct lorac_loaded loaded = lorac_loader_image(loader, i);
                CHECKF(image_is(&loaded, order[at]), "%s: position %zu: image %zu", way->name, p + i, loaded.index);
            }
            // What is named depends on what was taken, not on what was decoded.
            size_t met = 0;
            while (epoch == 0 && met < BROKEN && broken_positions[met] < p + BATCH)
                met++;
            CHECKF(named.count == (epoch == 0 ? met : BROKEN), "%s: %zu named after %zu", way->name, named.count, p);
        }
    }
    for (size_t i = 0; i < BROKEN; i++) {
        CHECK(named.indices[i] == order[broken_positions[i]]);
        // Several threads may try the same one before it is known.
        CHECK((size_t)atomic_load(&set.per_image[named.indices[i]]) <= way->threads);
    }
    CHECK(lorac_loader_broken_count(loader) == BROKEN);
    lorac_loader_free(loader);
}

// What a loader came across, counted in another: the images of both are the same from then on, and so is the limit.
static void test_counted_before(void)
{
    static const uint32_t broken[] = {2, 11, 12};
    struct set set;
    struct lorac_error error = {0};
    struct named named = {0};
    uint32_t listed[3] = {0};
    set_init(&set, false);
    for (size_t i = 0; i < 3; i++)
        set.broken[broken[i]] = true;
    struct lorac_loader_options options = options_of(&ways[0]);
    options.broken_share = 3.0 / COUNT;
    struct lorac_loader *loader = make_loader(&set, &options);
    lorac_loader_set_broken(loader, note, &named);
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(lorac_loader_count_broken(loader, broken[2 - i], "'it': was broken", &error), error);
    CHECK_OK(lorac_loader_count_broken(loader, broken[0], "'it': was broken", &error), error); // once
    CHECK(lorac_loader_broken_count(loader) == 3 && lorac_loader_is_broken(loader, 11) && !lorac_loader_is_broken(loader, 10));
    lorac_loader_list_broken(loader, listed);
    CHECK(memcmp(listed, broken, sizeof broken) == 0);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT, .replace = true};
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
    const struct lorac_loaded third = lorac_loader_image(loader, 2);
    CHECK(image_is(&third, 3) && named.count == 0 && atomic_load(&set.per_image[2]) == 0);
    lorac_loader_free(loader);

    set.broken[BATCH] = true; // one too many
    loader = make_loader(&set, &options);
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(lorac_loader_count_broken(loader, broken[i], "'it': was broken", &error), error);
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    enum lorac_status status = lorac_loader_take(loader, BATCH, &error);
    if (status == LORAC_OK)
        status = lorac_loader_take(loader, BATCH, &error);
    CHECK(status == LORAC_ERROR_FORMAT && strstr(error.message, "4 of the ") && strstr(error.message, "'it': was broken"));
    lorac_loader_free(loader);
}

// In evaluation its place stays empty.
static void test_empty(const struct way *way)
{
    struct set set;
    struct lorac_error error = {0};
    struct named named = {0};
    set_init(&set, way->slow);
    set.broken[3] = set.broken[4] = set.broken[COUNT - 1] = true;
    const struct lorac_loader_options options = options_of(way);
    struct lorac_loader *loader = make_loader(&set, &options);
    lorac_loader_set_broken(loader, note, &named);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT};
    for (int time = 0; time < 2; time++) {
        CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
        for (size_t p = 0; p < COUNT; p += BATCH) {
            CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
            for (size_t i = 0; i < BATCH; i++) {
                const struct lorac_loaded loaded = lorac_loader_image(loader, i);
                if (set.broken[p + i])
                    CHECK(loaded.broken && loaded.index == p + i && loaded.image.pixels == NULL);
                else
                    CHECK(image_is(&loaded, p + i));
            }
        }
    }
    CHECK(named.count == 3 && named.indices[0] == 3 && named.indices[1] == 4 && named.indices[2] == COUNT - 1);
    lorac_loader_free(loader);
}

static const struct share_row {
    const char *name;
    double share;
    size_t broken;   // the first so many images are
    bool replace;
    size_t taken;    // batches, before the pass ends
    const char *message; // NULL: it does not
} share_rows[] = {
    {"none allowed, none there", 0, 0, true, COUNT / BATCH, NULL},
    {"none allowed", 0, 1, true, 0,
     "1 of the 40 images cannot be read, more than a share of 0, which may be: 'image0': is broken"},
    {"exactly the share", 0.075, 3, true, COUNT / BATCH, NULL},
    {"exactly the share, evaluation", 0.075, 3, false, COUNT / BATCH, NULL},
    {"one above", 0.05, 3, true, 0,
     "3 of the 40 images cannot be read, more than a share of 0.05, which may be: 'image0': is broken; 'image1': is "
     "broken; 'image2': is broken"},
    {"in the second batch", 0.125, 7, false, 1,
     "6 of the 40 images cannot be read, more than a share of 0.125, which may be: 'image0': is broken; 'image1': is "
     "broken; 'image2': is broken; ..."},
    {"all but one", 1, COUNT - 1, true, COUNT / BATCH, NULL},
    {"all, evaluation", 1, COUNT, false, COUNT / BATCH, NULL},
    {"all", 1, COUNT, true, 0,
     "none of the 40 images can be read: 'image0': is broken; 'image1': is broken; 'image2': is broken"},
};

static void test_share(const struct share_row *row, const struct way *way)
{
    struct set set;
    struct lorac_error error = {0};
    set_init(&set, way->slow);
    for (size_t i = 0; i < row->broken; i++)
        set.broken[i] = true;
    struct lorac_loader_options options = options_of(way);
    options.broken_share = row->share;
    struct lorac_loader *loader = make_loader(&set, &options);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT, .replace = row->replace};
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    size_t taken = 0;
    while (taken < COUNT / BATCH && lorac_loader_take(loader, BATCH, &error) == LORAC_OK)
        taken++;
    CHECKF(taken == row->taken, "%s, %s: %zu batches", row->name, way->name, taken);
    if (row->message)
        CHECK_STRING(error.message, row->message);
    else
        CHECKF(error.status == LORAC_OK, "%s: %s", row->name, error.message);
    lorac_loader_free(loader);
}

// ---- failures and ends

// What ends the pass is said when its position is taken, and a new pass may begin.
static void test_fatal(const struct way *way)
{
    struct set set;
    struct lorac_error error = {0};
    set_init(&set, way->slow);
    set.fatal_at = 2 * BATCH + 1;
    const struct lorac_loader_options options = options_of(way);
    struct lorac_loader *loader = make_loader(&set, &options);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT, .replace = true};
    for (int time = 0; time < 2; time++) {
        CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
        CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
        CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
        CHECK(lorac_loader_take(loader, BATCH, &error) == LORAC_ERROR_MEMORY);
        CHECK_STRING(error.message, "out of memory for 'image11'");
        CHECK(lorac_loader_take(loader, BATCH, NULL) == LORAC_ERROR_MEMORY);
    }
    set.fatal_at = SIZE_MAX;
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    for (size_t p = 0; p < COUNT; p += BATCH)
        CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
    lorac_loader_free(loader);
}

// A pass may end at any time: by another, or with the loader; before anything was taken too.
static void test_ended(const struct way *way)
{
    struct set set;
    struct lorac_error error = {0};
    uint32_t order[COUNT];
    set_init(&set, way->slow);
    const struct lorac_loader_options options = options_of(way);
    struct lorac_loader *loader = make_loader(&set, &options);
    for (size_t batches = 0; batches < 12; batches++) {
        make_order(order, batches);
        const size_t first = batches % 7;
        const struct lorac_loader_pass pass = {.order = order, .count = COUNT, .first = first, .end = COUNT};
        CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
        if (batches % 2 == 0) { // another one comes
            const struct lorac_loader_pass other = {.count = COUNT, .first = 1, .end = COUNT};
            CHECK_OK(lorac_loader_follow(loader, &other, &error), error);
        }
        memset(order, 0, sizeof order); // it was copied
        make_order(order, batches);
        for (size_t b = 0; b < batches % 6; b++) {
            CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
            const struct lorac_loaded loaded = lorac_loader_image(loader, BATCH - 1);
            CHECK(image_is(&loaded, order[first + b * BATCH + BATCH - 1]));
        }
    }
    lorac_loader_free(loader);
    loader = make_loader(&set, &options);
    lorac_loader_free(loader); // never started
    lorac_loader_free(NULL);
}

static size_t ahead_of(const struct set *set, size_t taken)
{
    return (size_t)atomic_load(&set->decoded) - taken;
}

// No more is decoded ahead than was asked for. (A busy machine may let the threads wait.)
static void test_bounded(void)
{
    enum { QUEUE_IMAGES = 6 };
    struct set set;
    struct lorac_error error = {0};
    set_init(&set, false);
    const struct lorac_loader_options options = {
        .threads = 2, .batch = BATCH, .queue_bytes = QUEUE_IMAGES * 2 * 3 * CHANNELS};
    struct lorac_loader *loader = make_loader(&set, &options);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT};
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    for (size_t p = 0; p < COUNT; p += BATCH) {
        CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
        const struct timespec time = {.tv_nsec = 5000000};
        for (int wait = 0; wait < 2000 && (wait == 0 || (ahead_of(&set, p + BATCH) == 0 && p + BATCH < COUNT)); wait++)
            nanosleep(&time, NULL);
        const size_t ahead = ahead_of(&set, p + BATCH);
        CHECKF(ahead <= QUEUE_IMAGES, "%zu images ahead", ahead);
        CHECKF(ahead > 0 || p + BATCH == COUNT, "none ahead");
    }
    lorac_loader_free(loader);
}

static bool take_all(struct lorac_loader *loader, size_t first)
{
    struct lorac_error error = {0};
    bool right = true;
    for (size_t p = 0; p < COUNT; p += BATCH) {
        CHECK_OK(lorac_loader_take(loader, BATCH, &error), error);
        for (size_t i = 0; i < BATCH; i++) {
            const struct lorac_loaded loaded = lorac_loader_image(loader, i);
            right = image_is(&loaded, (first + p + i) % COUNT) && right;
        }
    }
    return right;
}

// Threads go on with the pass that follows, as far as the queue goes; another pass in its place is not mixed with it.
static void test_follows(bool comes)
{
    enum { QUEUE_IMAGES = 4 };
    struct set set;
    struct lorac_error error = {0};
    uint32_t turned[COUNT];
    set_init(&set, false);
    for (size_t i = 0; i < COUNT; i++)
        turned[i] = (uint32_t)((i + 10) % COUNT);
    const struct lorac_loader_options options = {
        .threads = 2, .batch = BATCH, .queue_bytes = QUEUE_IMAGES * 2 * 3 * CHANNELS};
    struct lorac_loader *loader = make_loader(&set, &options);
    const struct lorac_loader_pass pass = {.count = COUNT, .end = COUNT};
    const struct lorac_loader_pass next = {.order = turned, .count = COUNT, .end = COUNT};
    CHECK_OK(lorac_loader_start(loader, &pass, &error), error);
    CHECK_OK(lorac_loader_follow(loader, &next, &error), error);
    CHECK(take_all(loader, 0));
    const struct timespec time = {.tv_nsec = 1000000};
    for (int i = 0; i < 5000 && atomic_load(&set.decoded) == COUNT; i++)
        nanosleep(&time, NULL);
    for (int i = 0; i < 10; i++)
        nanosleep(&time, NULL);
    const size_t ahead = (size_t)atomic_load(&set.decoded) - COUNT;
    CHECKF(ahead > 0 && ahead <= QUEUE_IMAGES, "%zu images of the next pass", ahead);
    turned[COUNT - 1] = comes ? turned[COUNT - 1] : turned[COUNT - 2];
    CHECK_OK(lorac_loader_start(loader, &next, &error), error);
    CHECK(take_all(loader, 10) == comes);
    CHECK((size_t)atomic_load(&set.decoded) == 2 * COUNT + (comes ? 0 : ahead));
    lorac_loader_free(loader);
}

int main(void)
{
    for (size_t i = 0; i < WAY_COUNT; i++) {
        for (int told = 0; told < 2; told++) {
            test_order(&ways[i], 0, COUNT, told);
            test_order(&ways[i], 3, COUNT - 1, told);
            test_order(&ways[i], COUNT - 2, COUNT - 1, told);
            test_replaced(&ways[i], told);
        }
        test_empty(&ways[i]);
        for (size_t row = 0; row < sizeof share_rows / sizeof share_rows[0]; row++)
            test_share(&share_rows[row], &ways[i]);
        test_fatal(&ways[i]);
        test_ended(&ways[i]);
    }
    test_counted_before();
    test_bounded();
    test_follows(true);
    test_follows(false);
    return check_report();
}
