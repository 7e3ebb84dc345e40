// Resizing pixels: antialiased bilinear, the rule by which vision models' images are made smaller everywhere.
//
// Output place i of n along an axis looks at the box's point c = begin + (i + 0.5) * size / n. Source pixels x have the
// weights max(0, 1 - |x + 0.5 - c| / s), s = max(1, size / n), divided by their sum: interpolation between two pixels
// where the image grows, a triangle as wide as two output pixels where it shrinks, so that nothing in between is
// missed. That is Pillow's Image.resize(size, BILINEAR, box); results differ from it by 1 at most. A box of the
// output's own size at whole pixels is copied exactly.
//
// All arithmetic is in integers: the same bits on every machine.
#ifndef LORAC_DATA_RESAMPLE_H
#define LORAC_DATA_RESAMPLE_H

#include "proto/lorac_status.h"

#include <stddef.h>
#include <stdint.h>

// A part of an image, in its pixels: [top, top + height) x [left, left + width). Both sizes above 0, inside the image.
struct lorac_box {
    double top, left, height, width;
};

// dst u8[dst_height, dst_width, channels] from the box (NULL: all) of src u8[src_height, src_width, channels]; both
// channels last, without gaps. Sizes are at least 1. Where it shrinks, the triangles of the outermost places reach over
// the box's edge (by less than an output pixel) where there is image, as Pillow's do. Memory: one row. Errors: MEMORY.
enum lorac_status lorac_resample(const uint8_t *src, size_t src_height, size_t src_width, size_t channels,
                                 const struct lorac_box *box, uint8_t *dst, size_t dst_height, size_t dst_width,
                                 struct lorac_error *error);

#endif
