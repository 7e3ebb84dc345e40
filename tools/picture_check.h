// Whether the pictures of a set can be read, before they are needed, without decoding them all.
#ifndef LORAC_PICTURE_CHECK_H
#define LORAC_PICTURE_CHECK_H

#include "runtime/data/dataset.h"

struct lorac_picture_check {
    const struct lorac_dataset *dataset; // of files; another is left alone
    const uint32_t *images;              // [count] of the dataset's; NULL: all of them
    size_t count;
    size_t resize; // as in struct lorac_dataset_options
    double broken_share;
};

// Looks at the first and the last bytes of each file, and decodes those that look wrong there and the first that can be
// read: whatever is counted as broken is so. What is damaged in the middle is not found. Nothing is said of broken
// pictures that may be: they are named when they are used. Errors: FORMAT (more than the share is broken, with the names
// of the first; none can be read), MEMORY.
enum lorac_status lorac_picture_check(const struct lorac_picture_check *check, struct lorac_error *error);

#endif
