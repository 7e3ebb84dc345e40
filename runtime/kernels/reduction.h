// Which elements of an image are taken together: what the reductions, Softmax and the normalisations have in common.
//
// An image [H, W, C] is seen as [H, W, G, K] with C = G*K (G = 1 but for groups of channels). Each of the four is kept
// or taken together; the results of one image lie in the order of what is kept, as an activation of these sizes does.
// Images are walked in the order of memory by one thread each, so that any number of threads gives the same bits.
#ifndef LORAC_REDUCTION_H
#define LORAC_REDUCTION_H

#include "kernel.h"

enum { LORAC_PART_H, LORAC_PART_W, LORAC_PART_G, LORAC_PART_K, LORAC_PARTS };

struct lorac_reduction {
    size_t N;
    size_t dims[LORAC_PARTS];
    size_t strides[LORAC_PARTS]; // of the results; 0 where taken together. That of K is 0 or 1
    size_t size;                 // elements of one image
    size_t count;                // results of one image
    size_t each;                 // elements that go to one result
};

// [together]: by enum lorac_axis. [groups] divide C; a group is kept where [together] has C.
struct lorac_reduction lorac_reduction_of(const struct lorac_value *value, const bool together[LORAC_AXIS_COUNT],
                                          size_t groups);

// True where only H and W are taken together and there is more than one pixel: what a global pool does.
bool lorac_reduction_is_global_pool(const struct lorac_reduction *reduction);
// True where each pixel's channels are taken together: rows of memory.
bool lorac_reduction_is_rows(const struct lorac_reduction *reduction);

// A run is the K elements of one place of [H, W, G]: they begin at [at] of the image and go to [result] (all of them,
// or, where K is kept, one each from there on).
//     for (struct lorac_run run = lorac_run_first(); lorac_run_more(r, &run); lorac_run_next(r, &run))
struct lorac_run {
    size_t h, w, g, at, result;
};

static inline struct lorac_run lorac_run_first(void)
{
    return (struct lorac_run){0};
}

static inline bool lorac_run_more(const struct lorac_reduction *r, const struct lorac_run *run)
{
    return run->h < r->dims[LORAC_PART_H];
}

static inline size_t lorac_run_place(const struct lorac_run *run, const size_t strides[LORAC_PARTS])
{
    return run->h * strides[LORAC_PART_H] + run->w * strides[LORAC_PART_W] + run->g * strides[LORAC_PART_G];
}

static inline void lorac_run_next(const struct lorac_reduction *r, struct lorac_run *run)
{
    run->at += r->dims[LORAC_PART_K];
    if (++run->g == r->dims[LORAC_PART_G]) {
        run->g = 0;
        if (++run->w == r->dims[LORAC_PART_W]) {
            run->w = 0;
            run->h++;
        }
    }
    run->result = lorac_run_place(run, r->strides);
}

#endif
