// The memory plan against brute force: what lives at the same time never overlaps, and the block is not larger than it
// has to be.
#include "check.h"
#include "proto/rng.h"
#include "runtime/plan.h"

enum { MAX_BUFFERS = 400 };

// Placing by size is not optimal, but on the pattern of a ResNet's training step it is within a few percent; 1.3 leaves
// room for small networks, where one odd buffer weighs more.
static const double RESNET_OVER_LIVE = 1.3;

static size_t padded(size_t bytes)
{
    size_t with_margin = bytes + LORAC_EXTRA_BYTES + LORAC_BUFFER_ALIGNMENT - 1;
    return bytes ? with_margin - with_margin % LORAC_BUFFER_ALIGNMENT : 0;
}

static bool lives_at(const struct lorac_buffer *buffer, uint32_t time)
{
    return (buffer->first <= time && time <= buffer->last) ||
           (buffer->again_last > 0 && buffer->again_first <= time && time <= buffer->again_last);
}

static size_t live_sum(const struct lorac_buffer *buffers, size_t count, uint32_t time)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += lives_at(&buffers[i], time) ? padded(buffers[i].bytes) : 0;
    return sum;
}

static size_t largest_live_sum(const struct lorac_buffer *buffers, size_t count)
{
    size_t largest = 0;
    for (size_t k = 0; k < count; k++) { // the sum only grows where a life begins
        size_t sum = live_sum(buffers, count, buffers[k].first);
        size_t again = buffers[k].again_last > 0 ? live_sum(buffers, count, buffers[k].again_first) : 0;
        sum = again > sum ? again : sum;
        largest = sum > largest ? sum : largest;
    }
    return largest;
}

// They live together at some moment, which is one where a life of either begins.
static bool live_together(const struct lorac_buffer *a, const struct lorac_buffer *b)
{
    return lives_at(a, b->first) || lives_at(b, a->first) || (a->again_last > 0 && lives_at(b, a->again_first)) ||
           (b->again_last > 0 && lives_at(a, b->again_first));
}

static size_t sum_of_all(const struct lorac_buffer *buffers, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += padded(buffers[i].bytes);
    return sum;
}

static void check_plan(const char *what, const struct lorac_buffer *buffers, size_t count, size_t total)
{
    for (size_t i = 0; i < count; i++) {
        const struct lorac_buffer *a = &buffers[i];
        CHECKF(a->offset % LORAC_BUFFER_ALIGNMENT == 0, "%s: buffer %zu at offset %zu", what, i, a->offset);
        CHECKF(a->bytes == 0 || a->offset + a->bytes + LORAC_EXTRA_BYTES <= total, "%s: buffer %zu ends at %zu of %zu",
               what, i, a->offset + a->bytes, total);
        for (size_t k = 0; k < i; k++) {
            const struct lorac_buffer *b = &buffers[k];
            bool together = live_together(a, b) && a->bytes > 0 && b->bytes > 0;
            bool share = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            CHECKF(!(together && share), "%s: buffers %zu and %zu live together and share bytes", what, k, i);
        }
    }
    size_t live = largest_live_sum(buffers, count);
    CHECKF(total >= live, "%s: %zu bytes for %zu live ones", what, total, live);
    CHECKF(total <= sum_of_all(buffers, count), "%s: %zu bytes are more than all buffers together", what, total);
}

static size_t plan(const char *what, struct lorac_buffer *buffers, size_t count)
{
    struct lorac_error error = {0};
    size_t total = SIZE_MAX;
    CHECK_OK(lorac_plan(buffers, count, &total, &error), error);
    check_plan(what, buffers, count, total);
    return total;
}

// ---- by hand: bytes, first and last use, and the block that must come out

struct row {
    const char *name;
    size_t count;
    struct lorac_buffer buffers[6];
    size_t total;
};

#define UNIT 64 // one alignment step; each buffer takes another one for its margin

static const struct row rows[] = {
    {"nothing", 0, {{0}}, 0},
    {"one", 1, {{.bytes = UNIT}}, 2 * UNIT},
    {"one of no bytes", 1, {{.bytes = 0}}, 0},
    {"one byte", 1, {{.bytes = 1}}, 2 * UNIT},
    {"one after the other", 2, {{.bytes = UNIT, .last = 1}, {.bytes = UNIT, .first = 2, .last = 3}}, 2 * UNIT},
    {"both at one moment", 2, {{.bytes = UNIT, .last = 1}, {.bytes = UNIT, .first = 1, .last = 2}}, 4 * UNIT},
    {"a chain takes two places", 4,
     {{.bytes = UNIT, .last = 1},
      {.bytes = UNIT, .first = 1, .last = 2},
      {.bytes = UNIT, .first = 2, .last = 3},
      {.bytes = UNIT, .first = 3, .last = 4}},
     4 * UNIT},
    {"two small ones in place of a large one", 3,
     {{.bytes = 3 * UNIT, .last = 1},
      {.bytes = UNIT, .first = 2, .last = 3},
      {.bytes = UNIT, .first = 2, .last = 3}},
     4 * UNIT},
    {"one that lives through everything", 4,
     {{.bytes = UNIT, .last = 9},
      {.bytes = 2 * UNIT, .first = 1, .last = 2},
      {.bytes = 2 * UNIT, .first = 3, .last = 4},
      {.bytes = 2 * UNIT, .first = 5, .last = 6}},
     5 * UNIT},
    {"one between the lives of another", 2,
     {{.bytes = UNIT, .last = 1, .again_first = 4, .again_last = 5}, {.bytes = UNIT, .first = 2, .last = 3}},
     2 * UNIT},
    {"one that begins with the second life", 2,
     {{.bytes = UNIT, .last = 1, .again_first = 4, .again_last = 5}, {.bytes = UNIT, .first = 2, .last = 4}},
     4 * UNIT},
    {"two whose lives alternate", 2,
     {{.bytes = UNIT, .last = 1, .again_first = 4, .again_last = 5},
      {.bytes = UNIT, .first = 2, .last = 3, .again_first = 6, .again_last = 7}},
     2 * UNIT},
    {"two whose second lives meet", 2,
     {{.bytes = UNIT, .last = 1, .again_first = 4, .again_last = 6},
      {.bytes = UNIT, .first = 2, .last = 3, .again_first = 6, .again_last = 7}},
     4 * UNIT},
};

static void test_by_hand(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lorac_buffer buffers[6];
        memcpy(buffers, rows[i].buffers, sizeof buffers);
        size_t total = plan(rows[i].name, buffers, rows[i].count);
        CHECKF(total == rows[i].total, "%s: %zu bytes, expected %zu", rows[i].name, total, rows[i].total);
    }
}

// In the second half of the seeds, some buffers live twice.
static void test_random(void)
{
    static struct lorac_buffer buffers[MAX_BUFFERS], again[MAX_BUFFERS];
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct lorac_rng rng;
        char what[32];
        lorac_rng_init(&rng, seed, "plan", 0, 0);
        size_t count = 1 + lorac_rng_below(&rng, seed % 300 < 290 ? 40 : MAX_BUFFERS);
        uint64_t largest = 1 + lorac_rng_below(&rng, seed % 2 ? 200 : 1000000);
        snprintf(what, sizeof what, "random %d", (int)seed);
        for (size_t i = 0; i < count; i++) {
            uint32_t first = (uint32_t)lorac_rng_below(&rng, 50);
            buffers[i] = (struct lorac_buffer){.bytes = lorac_rng_below(&rng, largest), .first = first};
            buffers[i].last = first + (uint32_t)lorac_rng_below(&rng, seed % 3 ? 50 : 4);
            if (seed >= 300 && lorac_rng_below(&rng, 2) == 0) {
                buffers[i].again_first = buffers[i].last + 1 + (uint32_t)lorac_rng_below(&rng, 20);
                buffers[i].again_last = buffers[i].again_first + (uint32_t)lorac_rng_below(&rng, 20);
            }
        }
        memcpy(again, buffers, sizeof buffers);
        size_t total = plan(what, buffers, count), total_again = SIZE_MAX;
        CHECK(lorac_plan(again, count, &total_again, NULL) == LORAC_OK && total_again == total);
        for (size_t i = 0; i < count; i++)
            CHECKF(again[i].offset == buffers[i].offset, "%s: the plan is not repeatable", what);
    }
}

// A training step of a ResNet of [blocks] blocks per stage: activations kept until their backward step comes, gradients
// that live for a moment, the shortcut's for a block; sizes halve (twice the channels, a quarter of the pixels).
static size_t resnet(struct lorac_buffer *buffers, size_t blocks, size_t image_bytes)
{
    size_t count = 0;
    uint32_t steps = (uint32_t)(4 * blocks * 5), end = 2 * steps, time = 0;
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t block = 0; block < blocks; block++) {
            uint32_t begin = time;
            for (size_t op = 0; op < 5; op++, time++) { // conv, bn+relu, conv, bn, add+relu
                size_t bytes = image_bytes >> stage;
                bool kept = op != 1 && op != 3;
                uint32_t back = end - time;
                buffers[count++] = (struct lorac_buffer){.bytes = bytes, .first = time, .last = kept ? back : time + 1};
                buffers[count++] = (struct lorac_buffer){.bytes = bytes, .first = back - 1, .last = back};
            }
            buffers[count++] =
                (struct lorac_buffer){.bytes = image_bytes >> stage, .first = end - time, .last = end - begin};
        }
    return count;
}

static void test_resnet(void)
{
    static struct lorac_buffer buffers[MAX_BUFFERS];
    static const size_t image_bytes[] = {4096, 65536, 1000012, 64 * 32 * 32 * 4 * 32};
    for (size_t blocks = 1; blocks <= 8; blocks++)
        for (size_t i = 0; i < sizeof image_bytes / sizeof image_bytes[0]; i++) {
            char what[64];
            snprintf(what, sizeof what, "resnet of %zu blocks, %zu bytes", blocks, image_bytes[i]);
            size_t count = resnet(buffers, blocks, image_bytes[i]);
            REQUIRE(count <= MAX_BUFFERS);
            size_t total = plan(what, buffers, count), live = largest_live_sum(buffers, count);
            CHECKF((double)total <= RESNET_OVER_LIVE * (double)live, "%s: %zu bytes for %zu live ones", what, total,
                   live);
        }
}

static void test_overflow(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 127, SIZE_MAX - 191, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct lorac_buffer buffers[2] = {{.bytes = sizes[i]}, {.bytes = sizes[i]}};
        struct lorac_error error = {0};
        size_t total = 7;
        CHECKF(lorac_plan(buffers, 2, &total, &error) == LORAC_ERROR_MEMORY, "two buffers of %zu bytes", sizes[i]);
        CHECK(total == 7 && error.message[0] != '\0');
    }
}

int main(void)
{
    test_by_hand();
    test_random();
    test_resnet();
    test_overflow();
    return check_report();
}
