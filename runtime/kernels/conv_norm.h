// A BatchNormalization with kept statistics behind a convolution, folded into it:
//
//     conv(x, W)*gain + bias*gain + shift = conv(x, gain*W) + (gain*bias + shift)      gain, shift for each output
//
// so that it reads and writes no activation of its own. The model keeps W and bias; their gradients are those of the
// scaled ones times gain. One set of numbers for each output channel, made once: the normalisation is never trained.
#ifndef LORAC_CONV_NORM_H
#define LORAC_CONV_NORM_H

#include "batch_norm.h"

struct lorac_conv_norm {
    size_t M;
    double *gain, *shift; // [M]
    float *bias;          // [M], from lorac_conv_norm_bias
    double memory[];      // where they all are
};

// [params]: as of lorac_batch_norm_map, read, not kept. Errors: MEMORY.
enum lorac_status lorac_conv_norm_create(const struct lorac_param *const params[LORAC_BATCH_NORM_PARAMS],
                                         double epsilon, size_t M, struct lorac_conv_norm **out,
                                         struct lorac_error *error);
void lorac_conv_norm_free(struct lorac_conv_norm *norm); // accepts NULL
size_t lorac_conv_norm_bytes(size_t M);

// gain*bias + shift; bias [M], NULL: 0. The result is the norm's, until the next call.
const float *lorac_conv_norm_bias(struct lorac_conv_norm *norm, const float *bias);
// to [M, columns] = from [M, columns] with row m times gain[m]; to may be from.
void lorac_conv_norm_rows(const struct lorac_conv_norm *norm, const float *from, float *to, size_t columns,
                          const struct lorac_kernel_env *env);

#endif
