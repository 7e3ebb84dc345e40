// From a dataset to the input of a batch, with all that has to be checked before.
#ifndef LORAC_FILL_H
#define LORAC_FILL_H

#include "runtime/data/loader.h"
#include "runtime/net.h"

// One batch of a dataset: images order[first .. first+count), and zero images after them.
struct lorac_fill_batch {
    const struct lorac_batch_source *source;
    const uint32_t *order; // NULL: 0, 1, 2, ...
    size_t first, count;
    uint64_t epoch;
    size_t rows; // of the input: what is filled at once
    struct pthreadpool *pool; // NULL: one thread
};

// Begins a pass over a set of files (loader.h); nothing for a set in memory. Errors: as lorac_loader_start.
enum lorac_status lorac_fill_start(const struct lorac_dataset *dataset, const struct lorac_loader_pass *pass,
                                   struct lorac_error *error);

// Waits until the images of the batch, which must be the next of the pass, are there: before the functions below.
// Nothing for a set in memory. Errors: as lorac_loader_take.
enum lorac_status lorac_fill_take(const struct lorac_fill_batch *fill, struct lorac_error *error);

// The dataset's index of row [i] of the batch: of the image that is really there.
size_t lorac_fill_index(const struct lorac_fill_batch *fill, size_t i);

// Whether the image of row [i] could not be read: its row is zeros.
bool lorac_fill_is_broken(const struct lorac_fill_batch *fill, size_t i);

// A lorac_net_fill: [context] is a struct lorac_fill_batch, [input] is [rows, H, W, C] and gets the batch's images from
// number [begin] on.
void lorac_fill_run(void *context, size_t begin, float *input);

// Checks that the prepared [net] takes the images: shape (MISMATCH), float images without NaN and infinity (NOT_FINITE,
// names the image), labels where there are any (MISMATCH, names the image and the value).
enum lorac_status lorac_fill_check(const struct lorac_net *net, const struct lorac_dataset *dataset,
                                   struct lorac_error *error);

#endif
