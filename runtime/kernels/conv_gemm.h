// What conv_gemm.c makes and conv_gemm_run.c runs: a convolution, or its input gradient, cut into blocks of pixels.
#ifndef LORAC_CONV_GEMM_H
#define LORAC_CONV_GEMM_H

#include "conv_gemm_adapter.h"

#include <stdint.h>

// One axis of the map from [in] to [out] places: which of the taps reach the out places first, first + step, ... and
// from where.
struct lorac_gemm_axis {
    size_t first, step, places, taps;
    int32_t *tap;  // [taps]: the kernel's own numbers
    int32_t *from; // [places, taps]: the place that is read, -1: none
};

// A part of the map whose pixels all have the same taps.
struct lorac_gemm_phase {
    const struct lorac_gemm_axis *rows, *columns;
    size_t K, pixels, block, blocks, first_block; // K: taps * channels in; block: pixels
    size_t packed;                                // where its weights begin, in floats
};

struct lorac_gemm {
    size_t N, H, W, C, OH, OW, M; // in [N, H, W, C], out [N, OH, OW, M]
    size_t chunks, blocks, parts; // of all phases; parts: how many a block is shared out to
    size_t slice_floats;          // of a thread's workspace
    size_t packed_floats;         // the weights' size
    size_t in_stride, out_stride; // of the weight that is packed, in floats
    size_t kernel_columns;
    size_t phase_count;
    struct lorac_gemm_phase *phases;
    struct lorac_gemm_axis *rows, *columns; // [row_phases], [column_phases]
    const struct lorac_simd *simd;
    const float *in;
    float *out;
    bool direct; // a pixel's window is the pixel: nothing to gather
    bool accumulate, plain; // plain: nothing is done to the products
    float low, high;
    float *packed; // NULL: at the beginning of the workspace
    float *bias;
    struct lorac_gemm_adapter adapter;
    void *memory; // of packed and bias
    int32_t *tables;
};

// Floats of a thread's workspace for the addresses of a block's outputs; what is gathered follows.
size_t lorac_gemm_pointer_floats(size_t block);
// [workspace]: the packed weights, where none are kept, then a slice for each thread.
void lorac_gemm_run(const struct lorac_gemm *gemm, float *workspace, struct pthreadpool *pool);

#endif
