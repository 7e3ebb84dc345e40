// A product of matrices whose sums stay in registers until they are finished and written: the loop under gathered
// products (conv_gemm.c). Compiled for several instruction sets (simd_product.c), single-threaded.
//
//     to[t][i] = clamp(sum over k of rows[t, k] * packed[k, i] + bias[i] + (accumulate: to[t][i]), low, high)
//
// Weights are packed in panels of two vectors of outputs, or one at the end, each [k, panel] (conv_gemm.c). Each sum is
// one chain over k in its order: its bits do not depend on which block or tile of rows it fell into.
#ifndef LORAC_PRODUCT_H
#define LORAC_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

enum { LORAC_PRODUCT_CHUNK = 32 }; // outputs of a call at most

// Terms of the sum. Row t begins at rows + t*row_stride and is made of [pieces] of [piece] floats each, piece_stride
// apart: what some of the channels of a gathered window are.
struct lorac_terms {
    const float *rows;
    size_t row_stride, pieces, piece, piece_stride;
    const float *packed; // of [terms] never NULL
};

struct lorac_product {
    struct lorac_terms terms; // pieces 0: a sum of nothing
    struct lorac_terms more; // a second part, behind the first one; pieces 0: none
    size_t count, outputs;   // rows; outputs: at most LORAC_PRODUCT_CHUNK
    const float *bias;       // whole vectors; NULL: 0
    float *const *to;        // [count], each to [outputs], [offset] floats further
    size_t offset;
    bool accumulate;
    float low, high; // -INFINITY and INFINITY: no limits; a NaN stays one
};

#endif
