// Winograd's convolution F(m x m, 3x3), m = 2 or 4: m x m outputs from a tile of (m+2) x (m+2) inputs with (m+2)^2
// products in place of 9 m^2. The loops, compiled for several instruction sets (simd_winograd.c); what goes through
// which memory is conv_winograd.c's business.
//
//     Y = A' [ sum over c of (G g G') * (B' d B) ] A        g: 3x3 kernel, d: tile of inputs, *: element by element
//
// The [points] = (m+2)^2 positions of a transformed tile are independent of each other, so that the sum over c is, for
// each of them, a product of matrices [tiles, C] x [C, M].
//
// Interpolation points: 0, 1, -1, infinity for m = 2; 0, +-1/sqrt(2), +-sqrt(2), infinity for m = 4. The usual 0, +-1,
// +-2, infinity cost as many operations, but have 5 times the largest error and twice the mean error (128 channels,
// random numbers): their powers reach from 1 to 8, these from 0.35 to 2.8, and with a*b = 1 the middle stays at 1.
#ifndef LORAC_WINOGRAD_H
#define LORAC_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LORAC_WINOGRAD_CHUNK = 32,      // outputs that are computed and transformed back at once: the width of products
    LORAC_WINOGRAD_GROUP = 12,      // tiles that the widest registers take at once
    LORAC_WINOGRAD_MAX_POINTS = 36, // (4+2)^2
};

// s * h @ up, which is added to a tile of outputs: h has [channels] for each pixel, the first one's at h; up [channels,
// up_row] whole vectors of the chunk's outputs.
struct lorac_winograd_up {
    const float *h, *up;
    size_t h_row, h_column, channels, up_row; // strides in floats
    float scale;
};

struct lorac_winograd_loops {
    size_t lanes; // floats of a vector

    // to[(p*width + i] for a chunk of outputs and one input channel k, see conv_winograd.c for the order:
    // weight is [output][tap] with the strides given in floats, [count] outputs of at most a chunk, taps row by row
    // (turned around where [flip]). Computed in double and rounded once. packed is the chunk's, [inputs] its channels.
    void (*weight)(size_t m, const float *weight, size_t output_stride, bool flip, size_t count, size_t inputs,
                   size_t k, float *packed);

    // One tile of inputs: pixel[points] each to C channels. to[p*point_stride + c]. next: the pixels of the tile that
    // will be asked for next, which are fetched meanwhile.
    void (*input)(size_t m, const float *const *pixel, const float *const *next, size_t C, float *to,
                  size_t point_stride);

    // products[(t*points + p)*CHUNK + i] = sum over c of tiles[p*point_stride + t*row_stride + c] * packed weight,
    // [count] outputs of a chunk.
    void (*product)(size_t points, const float *tiles, size_t tile_count, size_t row_stride, size_t point_stride,
                    const float *packed, size_t C, size_t count, float *products);

    // The same products for the input gradient, with weights that were packed for the convolution alone: packed is all
    // of them, [inputs] and [outputs] the convolution's channels; tiles have its outputs, products a chunk of its
    // inputs, [count] from [first] on. The weights of a point are transposed and turned around to [turned], outputs *
    // CHUNK floats, just before they are used. To the bit what `weight` with [flip] would give, barring numbers below
    // 1e-37.
    void (*borrowed_product)(size_t m, const float *tiles, size_t tile_count, size_t row_stride, size_t point_stride,
                             const float *packed, size_t inputs, size_t outputs, size_t first, size_t count,
                             float *turned, float *products);

    // The weights that borrowed_product multiplies by, of all points, as `weight` packs them for the gradient: to is the
    // chunk's, [outputs] its channels.
    void (*turned_weights)(size_t m, const float *packed, size_t inputs, size_t outputs, size_t first, size_t count,
                           float *to);

    // One tile of outputs, [count] of a chunk: pixels [rows, columns] of m x m, y with the strides given.
    //     y = clamp(A' products A + bias + s * h @ up + (accumulate: y), low, high); a NaN stays one
    // up NULL: without it.
    void (*output)(size_t m, const float *products, const float *bias, const struct lorac_winograd_up *up, size_t count,
                   float *y, size_t row_stride, size_t column_stride, size_t rows, size_t columns, bool accumulate,
                   float low, float high);
};

// The loops of the gradient of the weight (conv_winograd_weight.c), m = 4 alone: the same map turned around,
//
//     dg = G' [ sum over tiles of (B' d B) * (A dY A') ] G
//
// where the sum over tiles is, for each of the 36 points, a product of matrices [C, tiles] x [tiles, M].
struct lorac_winograd_sum {
    const float *x, *y; // of a block of tiles: B' d B, channels C, and A dY A', channels M
    size_t x_row, x_point, y_row, y_point; // from one tile to the next, from one point to the next, in floats
    size_t tiles, C, M;
    float *sum; // [36, C, sum_row], sum_row M in whole vectors
    size_t sum_row;
};

struct lorac_winograd_weight_loops {
    // One tile of dy, A dY A': pixel[16] each to C channels, row by row. to[p*point_stride + c], in whole vectors of
    // which what is past C is 0. next: as for `input`.
    void (*spread)(const float *const *pixel, const float *const *next, size_t C, float *to, size_t point_stride);
    // Adds a block of tiles, one after the other, so that each sum is one chain over all blocks.
    void (*add)(const struct lorac_winograd_sum *sum);
    // out[m*out_row + tap] of one input channel: sum has M for each point, [sum_point] apart. In double, rounded once.
    void (*taps)(const float *sum, size_t sum_point, size_t M, float *out, size_t out_row);
};

#endif
