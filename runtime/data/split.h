// Which images of a labelled set are held out of training: the same share of each class.
#ifndef LORAC_SPLIT_H
#define LORAC_SPLIT_H

#include "proto/lorac_status.h"

#include <stddef.h>
#include <stdint.h>

struct lorac_split { // zero-initialise it
    uint32_t *images; // owned: [kept_count] images to train on, then [held_count] that are held out, each ascending
    size_t kept_count, held_count;
};

// Of each class with [n] images, share*n of them, rounded to the nearest whole number, but at least one and at most n-1;
// a class with one image is trained on. Which ones is a function of (seed, "val", the class) and n alone.
// labels[count]; count is 1 .. UINT32_MAX; 0 < share < 1. Errors: MEMORY, ARGUMENT (nothing is held out: no class has
// two images).
enum lorac_status lorac_split_make(const int32_t *labels, size_t count, double share, uint64_t seed,
                                   struct lorac_split *out, struct lorac_error *error);
void lorac_split_clear(struct lorac_split *split);

#endif
