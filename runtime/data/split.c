#include "split.h"

#include "proto/rng.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// An image under its label, as one number that sorts by class, then by image.
static uint64_t key_of(int32_t label, size_t image)
{
    return (uint64_t)((int64_t)label - INT32_MIN) << 32 | (uint64_t)image;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t held_of(size_t n, double share)
{
    if (n < 2)
        return 0;
    const double rounded = floor(share * (double)n + 0.5);
    return rounded < 1 ? 1 : rounded > (double)(n - 1) ? n - 1 : (size_t)rounded;
}

// Brings the images that are held out to the front of keys[n], all of one class: the first draws of a shuffle.
static size_t hold_out(uint64_t *keys, size_t n, double share, uint64_t seed)
{
    struct lorac_rng rng;
    const int64_t label = (int64_t)(keys[0] >> 32) + INT32_MIN;
    const size_t held = held_of(n, share);
    lorac_rng_init(&rng, seed, "val", (uint64_t)label, 0);
    for (size_t i = 0; i < held; i++) {
        const size_t other = i + (size_t)lorac_rng_below(&rng, n - i);
        const uint64_t kept = keys[i];
        keys[i] = keys[other];
        keys[other] = kept;
    }
    return held;
}

// Marks in held[count] what is held out, and counts it.
static size_t mark(uint64_t *keys, size_t count, double share, uint64_t seed, uint8_t *held)
{
    size_t total = 0;
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && keys[end] >> 32 == keys[begin] >> 32;)
            end++;
        const size_t n = hold_out(keys + begin, end - begin, share, seed);
        for (size_t i = 0; i < n; i++)
            held[(uint32_t)keys[begin + i]] = 1;
        total += n;
    }
    return total;
}

enum lorac_status lorac_split_make(const int32_t *labels, size_t count, double share, uint64_t seed,
                                   struct lorac_split *out, struct lorac_error *error)
{
    assert(count > 0 && count <= UINT32_MAX && share > 0 && share < 1);
    struct lorac_split split = {0};
    uint64_t *keys = malloc(count * sizeof *keys);
    uint8_t *held = calloc(count, sizeof *held);
    split.images = malloc(count * sizeof *split.images);
    enum lorac_status status = LORAC_OK;
    if (!keys || !held || !split.images) {
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for splitting %zu images", count);
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = key_of(labels[i], i);
    qsort(keys, count, sizeof *keys, compare_keys);
    split.held_count = mark(keys, count, share, seed, held);
    split.kept_count = count - split.held_count;
    if (split.held_count == 0) {
        status = lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                 "none of the %zu images can be held out: no class has two of them", count);
        goto done;
    }
    size_t next[2] = {0, split.kept_count};
    for (size_t i = 0; i < count; i++)
        split.images[next[held[i]]++] = (uint32_t)i;
    *out = split;
    split.images = NULL;
done:
    free(keys);
    free(held);
    free(split.images);
    return status;
}

void lorac_split_clear(struct lorac_split *split)
{
    free(split->images);
    *split = (struct lorac_split){0};
}
