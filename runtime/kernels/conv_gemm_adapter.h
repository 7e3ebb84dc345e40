// An adapter that gathered products run beside their own (lorac_conv_beside): h is a product of the windows that are in
// the cache anyway, and s * h @ view(B)' is kR more terms of each output's sum, in registers. Here is what is packed,
// and h; conv_gemm.c runs it.
#ifndef LORAC_CONV_GEMM_ADAPTER_H
#define LORAC_CONV_GEMM_ADAPTER_H

#include "conv_branch.h"
#include "product.h"
#include "simd.h"

struct lorac_gemm_adapter {
    const struct lorac_conv_branch *branch; // NULL: there is none
    const struct lorac_simd *simd;
    float *h;            // [N, OH, OW, blocks*R]; of a gradient s * dy @ view(B)
    float *down;         // of each row block: where narrow [R, taps*width], else as product.h has weights; NULL: none
    size_t block_floats; // of a row block's
    float *up;           // s * view(B)', of a gradient A, as product.h has weights, [blocks*R] terms
    void *memory;        // of both
};

size_t lorac_gemm_adapter_bytes(const struct lorac_conv_branch *branch);
// [branch] and [h] are kept until clear. Errors: MEMORY, and [adapter] is as it was.
enum lorac_status lorac_gemm_adapter_init(struct lorac_gemm_adapter *adapter, const struct lorac_conv_branch *branch,
                                          const struct lorac_simd *simd, float *h, struct lorac_error *error);
void lorac_gemm_adapter_clear(struct lorac_gemm_adapter *adapter); // accepts one that is all zero

// a [R, columns], b [M*blocks, R], as lorac_conv_branch_pack_a has them.
void lorac_gemm_adapter_pack_a(const struct lorac_gemm_adapter *adapter, const float *a);
void lorac_gemm_adapter_pack_b(const struct lorac_gemm_adapter *adapter, const float *b);

// h of [count] pixels from [first] on, whose windows [taps, C] are [row] floats apart. [to]: room for as many
// addresses.
void lorac_gemm_adapter_down(const struct lorac_gemm_adapter *adapter, const float *windows, size_t row, size_t first,
                             size_t count, float **to);
// The same for the gradient of a convolution whose windows are its pixels, to which h is given. Of the functions above
// and below it takes clear and up.
size_t lorac_gemm_adapter_back_bytes(const struct lorac_conv_branch *branch);
enum lorac_status lorac_gemm_adapter_init_back(struct lorac_gemm_adapter *adapter,
                                               const struct lorac_conv_branch *branch, const struct lorac_simd *simd,
                                               const float *dh, struct lorac_error *error);
void lorac_gemm_adapter_pack_back(const struct lorac_gemm_adapter *adapter, const float *a);

// What h of the pixels from [first] on adds to the outputs from [output] on, a multiple of LORAC_PRODUCT_CHUNK.
struct lorac_terms lorac_gemm_adapter_up(const struct lorac_gemm_adapter *adapter, size_t first, size_t output);

#endif
