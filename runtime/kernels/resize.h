// Where a resized axis takes its elements from: the coordinates of Resize and Upsample.
#ifndef LORAC_RESIZE_H
#define LORAC_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

enum lorac_resize_transform {
    LORAC_RESIZE_ASYMMETRIC,         // i / scale
    LORAC_RESIZE_HALF_PIXEL,         // (i + 0.5) / scale - 0.5
    LORAC_RESIZE_PYTORCH_HALF_PIXEL, // the same; 0 where the output is a single element
    LORAC_RESIZE_HALF_PIXEL_NEAREST, // (i + 0.5) / scale
    LORAC_RESIZE_HALF_PIXEL_SYMMETRIC,
    LORAC_RESIZE_ALIGN_CORNERS, // i * (in - 1) / (out - 1)
};

enum lorac_resize_nearest {
    LORAC_RESIZE_PREFER_FLOOR, // round, halves down
    LORAC_RESIZE_PREFER_CEIL,  // round, halves up
    LORAC_RESIZE_FLOOR,
    LORAC_RESIZE_CEIL,
    LORAC_RESIZE_OUTWARD, // before operator set 11: down where the axis grows, up where it shrinks
};

struct lorac_resize_axis {
    int64_t in, out;
    float scale;
    enum lorac_resize_transform transform;
    enum lorac_resize_nearest nearest;
};

// The coordinate in the input of output position [i], in float as every engine computes it: which element is nearest
// depends on how it is rounded. May lie outside.
float lorac_resize_coordinate(const struct lorac_resize_axis *axis, int64_t i);

// The nearest element, inside the input.
int64_t lorac_resize_nearest(const struct lorac_resize_axis *axis, int64_t i);

#endif
