// An adapter that Winograd's convolution runs beside its own (lorac_conv_beside): the products of row block a are a
// convolution from the same transformed tiles, a chunk for each LORAC_WINOGRAD_CHUNK of its R outputs; they go to h,
// and from there into all outputs. Here is what is packed; conv_winograd.c runs it.
#ifndef LORAC_CONV_WINOGRAD_ADAPTER_H
#define LORAC_CONV_WINOGRAD_ADAPTER_H

#include "conv_branch.h"
#include "winograd.h"

struct lorac_winograd_adapter {
    const struct lorac_conv_branch *branch; // NULL: there is none
    const struct lorac_winograd_loops *loops;
    size_t m;            // of F(m x m, 3x3)
    float *h;            // [N, OH, OW, blocks*R]
    size_t chunks;       // of a row block
    size_t block_floats; // of a row block's packed weights
    float *down;         // those of all row blocks
    float *up;           // [blocks*R, up_row]: view(B)', whole chunks of outputs
    size_t up_row;
    const float *zeros; // a chunk of them: h has no bias
    void *memory;       // down, up and zeros
};

size_t lorac_winograd_adapter_bytes(const struct lorac_conv_branch *branch, size_t m);
// [branch] and [h] are kept until clear. Errors: MEMORY, and [adapter] is as it was.
enum lorac_status lorac_winograd_adapter_init(struct lorac_winograd_adapter *adapter,
                                              const struct lorac_conv_branch *branch, size_t m,
                                              const struct lorac_winograd_loops *loops, float *h,
                                              struct lorac_error *error);
void lorac_winograd_adapter_clear(struct lorac_winograd_adapter *adapter); // accepts one that is all zero

// a [R, columns], b [M*blocks, R], as lorac_conv_branch_pack_a has them; scratch of scratch_bytes.
size_t lorac_winograd_adapter_scratch_bytes(const struct lorac_conv_branch *branch);
void lorac_winograd_adapter_pack_a(const struct lorac_winograd_adapter *adapter, const float *a, float *scratch,
                                   const struct lorac_kernel_env *env);
void lorac_winograd_adapter_pack_b(const struct lorac_winograd_adapter *adapter, const float *b);

// The packed weights of row block a's outputs from [first] on, [width] its channels.
const float *lorac_winograd_adapter_down(const struct lorac_winograd_adapter *adapter, size_t a, size_t first,
                                         size_t width);
// What is added to outputs from [first] on of the image that begins with h; up NULL where there is no adapter.
struct lorac_winograd_up lorac_winograd_adapter_up(const struct lorac_winograd_adapter *adapter, size_t first);

// ---- an adapter in the weights of the input gradient (lorac_conv_merge; conv_winograd_merge.c)

struct lorac_winograd_merge {
    const struct lorac_conv_branch *branch;
    const struct lorac_winograd_loops *loops;
    size_t m;
    const float *from; // the convolution's packed weights, of W0
    float *to;         // the gradient's, of W0 + s * view(B @ A)
};

size_t lorac_winograd_merge_bytes(const struct lorac_conv_branch *branch, size_t m); // of scratch
void lorac_winograd_merge(const struct lorac_winograd_merge *merge, const float *a, const float *b, float *scratch,
                          const struct lorac_kernel_env *env);

#endif
