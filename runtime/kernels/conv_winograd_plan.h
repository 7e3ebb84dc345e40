// How a Winograd convolution is cut into blocks, and where it is worth it (conv_winograd.c).
#ifndef LORAC_CONV_WINOGRAD_PLAN_H
#define LORAC_CONV_WINOGRAD_PLAN_H

#include "conv_shape.h"

// The map from [in] to [out], and how it is cut.
struct lorac_winograd_plan {
    size_t m, points; // outputs of a tile along an axis; (m+2)^2
    size_t N, H, W, C, OH, OW, M, pad_top, pad_left;
    size_t tiles_h, tiles_w, tiles;
    size_t block, blocks, chunks;    // tiles of a block
    size_t row_stride, point_stride; // of transformed tiles, in floats
    size_t block_floats, product_floats;
    size_t turned_floats; // of one point's weights, where they are borrowed
    bool shared;          // all threads transform, then all multiply
};

struct lorac_winograd_plan lorac_winograd_forward_plan(const struct lorac_conv_shape *shape, size_t m);
struct lorac_winograd_plan lorac_winograd_gradient_plan(const struct lorac_conv_shape *shape, size_t m);

size_t lorac_winograd_packed_floats(const struct lorac_winograd_plan *plan);
size_t lorac_winograd_shared_bytes(const struct lorac_winograd_plan *plan); // of workspace, for all threads
size_t lorac_winograd_thread_floats(const struct lorac_winograd_plan *plan);

// conv_algorithm.h says what these are; supports is that of the gradient of the weight, too.
bool lorac_winograd_supports(const struct lorac_conv_shape *shape);
bool lorac_winograd_pays(const struct lorac_winograd_plan *plan);
bool lorac_winograd_pays_changing(const struct lorac_conv_shape *shape);
bool lorac_winograd_borrows(const struct lorac_winograd_plan *plan); // of the gradient's
double lorac_winograd_relative_time_2(const struct lorac_conv_shape *shape);
double lorac_winograd_relative_time_4(const struct lorac_conv_shape *shape);

#endif
