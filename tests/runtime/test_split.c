// Images held out of training: shares of each class, every image once, and the same ones for the same seed.
#include "check.h"

#include "proto/rng.h"
#include "runtime/data/split.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4000, CLASSES = 6 };

static const struct split_case {
    const char *name;
    double share;
    size_t images[CLASSES], held[CLASSES]; // of each class
} rows[] = {
    {"a tenth", 0.1, {100, 200, 50, 10, 0, 1}, {10, 20, 5, 1, 0, 0}},
    {"rounded", 0.1, {14, 15, 24, 25, 26, 5}, {1, 2, 2, 3, 3, 1}},
    {"at least one", 0.001, {2, 3, 1000, 1500, 1, 0}, {1, 1, 1, 2, 0, 0}},
    {"at least one to train on", 0.99, {2, 3, 10, 200, 1, 0}, {1, 2, 9, 198, 0, 0}},
    {"one class", 0.25, {8, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0}},
};

// Labels of [row], mixed.
static size_t make_labels(const struct split_case *row, int32_t *labels)
{
    struct lorac_rng rng;
    size_t count = 0;
    for (int32_t c = 0; c < CLASSES; c++)
        for (size_t i = 0; i < row->images[c]; i++)
            labels[count++] = c;
    lorac_rng_init(&rng, 7, "test", 0, 0);
    for (size_t i = count; i > 1; i--) {
        const size_t other = (size_t)lorac_rng_below(&rng, i);
        const int32_t kept = labels[i - 1];
        labels[i - 1] = labels[other];
        labels[other] = kept;
    }
    REQUIRE(count <= MOST);
    return count;
}

static void test_shares(const struct split_case *row)
{
    struct lorac_error error = {0};
    static int32_t labels[MOST];
    static bool seen[MOST];
    const size_t count = make_labels(row, labels);
    struct lorac_split split = {0};
    size_t held[CLASSES] = {0};
    if (!CHECK_OK(lorac_split_make(labels, count, row->share, 3, &split, &error), error))
        return;
    CHECKF(split.kept_count + split.held_count == count, "%s", row->name);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++) {
        const uint32_t image = split.images[i];
        REQUIRE(image < count);
        CHECKF(!seen[image], "%s: image %u twice", row->name, (unsigned)image);
        seen[image] = true;
        if (i > 0 && i != split.kept_count)
            CHECKF(image > split.images[i - 1], "%s: not ascending at %zu", row->name, i);
        if (i >= split.kept_count)
            held[labels[image]]++;
    }
    for (size_t c = 0; c < CLASSES; c++)
        CHECKF(held[c] == row->held[c], "%s: %zu of class %zu, expected %zu", row->name, held[c], c, row->held[c]);
    lorac_split_clear(&split);
    CHECK(split.images == NULL);
}

static bool same_held(const struct lorac_split *a, const struct lorac_split *b)
{
    return a->held_count == b->held_count && a->kept_count == b->kept_count &&
           memcmp(a->images, b->images, (a->kept_count + a->held_count) * sizeof *a->images) == 0;
}

// The seed decides, for each class alone: other images of other classes change nothing.
static void test_seed(void)
{
    struct lorac_error error = {0};
    static int32_t labels[MOST], more[MOST];
    const size_t count = make_labels(&rows[0], labels);
    struct lorac_split first = {0}, again = {0}, other = {0}, grown = {0};
    memcpy(more, labels, sizeof labels);
    for (size_t i = 0; i < 30; i++)
        more[count + i] = 4;
    CHECK_OK(lorac_split_make(labels, count, 0.1, 3, &first, &error), error);
    CHECK_OK(lorac_split_make(labels, count, 0.1, 3, &again, &error), error);
    CHECK_OK(lorac_split_make(labels, count, 0.1, 4, &other, &error), error);
    CHECK_OK(lorac_split_make(more, count + 30, 0.1, 3, &grown, &error), error);
    CHECK(same_held(&first, &again) && !same_held(&first, &other));
    CHECK(grown.held_count == first.held_count + 3);
    CHECK(memcmp(grown.images + grown.kept_count, first.images + first.kept_count,
                 first.held_count * sizeof *first.images) == 0);
    lorac_split_clear(&first);
    lorac_split_clear(&again);
    lorac_split_clear(&other);
    lorac_split_clear(&grown);
}

// Every image of a class can be held out, about as often as any other.
static void test_fairness(void)
{
    enum { N = 20, TIMES = 2000 };
    struct lorac_error error = {0};
    const int32_t labels[N] = {0};
    size_t counts[N] = {0};
    for (uint64_t seed = 0; seed < TIMES; seed++) {
        struct lorac_split split = {0};
        if (!CHECK_OK(lorac_split_make(labels, N, 0.25, seed, &split, &error), error))
            return;
        for (size_t i = 0; i < split.held_count; i++)
            counts[split.images[split.kept_count + i]]++;
        lorac_split_clear(&split);
    }
    for (size_t i = 0; i < N; i++) // 500 expected, deviation 19
        CHECKF(counts[i] > 400 && counts[i] < 600, "image %zu held out %zu of %d times", i, counts[i], TIMES);
}

static void test_nothing_to_hold_out(void)
{
    struct lorac_error error = {0};
    const int32_t labels[] = {2, 0, 1, INT32_MAX};
    struct lorac_split split = {0};
    CHECK(lorac_split_make(labels, 4, 0.5, 0, &split, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "none of the 4 images") != NULL && split.images == NULL);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        test_shares(&rows[i]);
    test_seed();
    test_fairness();
    test_nothing_to_hold_out();
    return check_report();
}
