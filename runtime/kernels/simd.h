// The hot loops that XNNPACK has no operator for, compiled for several instruction sets and chosen when a session is
// made.
//
// All of them are single-threaded; callers split the work by fixed rules. Results of one variant are the same bits on
// every run; another variant (another processor) may round differently, because it fuses multiply and add or not.
#ifndef LORAC_SIMD_H
#define LORAC_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A sum of outer products over a grid of pixels, the shape of every product that training needs beside convolutions:
//     out[m*out_row + c] += scale * sum over pixels p of left[p, m] * right[p, c]
// left[p, m] is at left + image*left_image + row*left_row + column*left_pixel + m*left_channel (strides in floats),
// right the same with channels adjacent; whole vectors of it are read, LORAC_SIMD_MARGIN floats past c_count at most.
enum { LORAC_SIMD_MARGIN = 15 };
struct lorac_outer {
    const float *left, *right;
    size_t images, rows, columns;
    size_t left_image, left_row, left_pixel, left_channel;
    size_t right_image, right_row, right_pixel;
    size_t m_count, c_count;
    float *out;
    size_t out_row;
    float scale;
};

// Inner products, for few outputs:
//     to[p*to_row + q] = scale * sum over k of left[p*left_row + k] * right[q*right_row + k]
// Nothing is read past either row. The bits of an output do not depend on which others are computed with it.
struct lorac_inner {
    const float *left, *right;
    size_t left_row, right_row, K;
    size_t p_count, q_count;
    float *to;
    size_t to_row;
    float scale;
};

struct lorac_winograd_loops;
struct lorac_product;
struct lorac_winograd_weight_loops;

// What lies under a window of kh x kw taps at each of [rows] x [columns] places of each image:
//     to[pixel - begin, tap, c] = from[image, row_of[row, tap row], column_of[column, tap column], c]
// or 0 where either index is negative. LORAC_SIMD_MARGIN floats past each pixel of [from] are read, and as many past
// the end of [to] written.
struct lorac_gather {
    size_t rows, columns, kh, kw, channels;
    const int32_t *row_of, *column_of; // [rows, kh], [columns, kw]
    const float *from;
    size_t from_rows, from_columns, from_pixel; // from_pixel: floats from one pixel to the next
};

struct lorac_simd {
    const char *name;
    size_t lanes; // floats of a vector
    void (*outer)(const struct lorac_outer *outer);
    void (*inner)(const struct lorac_inner *inner);
    // Pixels [begin, end), counted over images, rows and columns.
    void (*gather)(const struct lorac_gather *gather, size_t begin, size_t end, float *to);
    // target[i] += source[i]; target[i] = a[i] + b[i]
    void (*add_into)(float *target, const float *source, size_t count);
    void (*add)(float *target, const float *a, const float *b, size_t count);
    // y[i] = min(max(x[i], low), high), low for a NaN as XNNPACK's clamp has it; y may be x
    void (*clip)(float *y, const float *x, float low, float high, size_t count);
    // dx[i] = low < y[i] && y[i] < high ? dy[i] : 0; dx may be dy
    void (*clip_backward)(float *dx, const float *dy, const float *y, float low, float high, size_t count);
    // The same in two halves, with one bit for each element between them: bit i%8 of mask[i/8] is low < y[i] && y[i] <
    // high, and 0 behind the last element.
    void (*clip_mask)(uint8_t *mask, const float *y, float low, float high, size_t count);
    void (*mask_backward)(float *dx, const float *dy, const uint8_t *mask, size_t count);
    // y[r, c] = x[r, c] * scale[c] + shift[c]; shift NULL: 0; y may be x
    void (*scale_shift)(float *y, const float *x, const float *scale, const float *shift, size_t rows, size_t C);
    // sum[c] += over rows of x[r, c], in double
    void (*column_sum)(double *sum, const float *x, size_t rows, size_t C);
    // sum[c] += (x[r, c] - mean[c])^2, in double
    void (*column_square_sum)(double *sum, const float *x, const float *mean, size_t rows, size_t C);
    // sum[c] += a[r, c] * (x[r, c] - mean[c]), in double
    void (*column_product_sum)(double *sum, const float *a, const float *x, const float *mean, size_t rows, size_t C);
    // BatchNorm in training, to its input: dx = gain[c] * (dy - dy_mean[c] - (x - mean[c]) * slope[c]); dx may be dy
    void (*batch_norm_backward)(float *dx, const float *dy, const float *x, const float *mean, const float *gain,
                                const float *dy_mean, const float *slope, size_t rows, size_t C);
    bool (*all_finite)(const float *x, size_t count);
    // Nothing but multiply-adds in registers, as fast as the processor can; returns how many they were. *in_out is the
    // start and gets the sum, so that the compiler can leave nothing out.
    double (*multiply_adds)(size_t rounds, float *in_out);
    const struct lorac_winograd_loops *winograd; // winograd.h
    void (*product)(const struct lorac_product *product); // product.h
    const struct lorac_winograd_weight_loops *winograd_weight;
};

// The best variant for this processor.
const struct lorac_simd *lorac_simd_select(void);

#endif
