// Every operator that the runtime runs: a line declares and registers.
#ifndef LORAC_KERNEL_LIST_H
#define LORAC_KERNEL_LIST_H

#include "kernel.h"

#define LORAC_KERNEL_LIST(X)                                                                                           \
    X(lorac_kernel_conv)                                                                                               \
    X(lorac_kernel_batch_norm)                                                                                         \
    X(lorac_kernel_instance_normalization)                                                                             \
    X(lorac_kernel_group_normalization)                                                                                \
    X(lorac_kernel_layer_normalization)                                                                                \
    X(lorac_kernel_relu)                                                                                               \
    X(lorac_kernel_clip)                                                                                               \
    X(lorac_kernel_add)                                                                                                \
    X(lorac_kernel_sum)                                                                                                \
    X(lorac_kernel_sub)                                                                                                \
    X(lorac_kernel_mul)                                                                                                \
    X(lorac_kernel_div)                                                                                                \
    X(lorac_kernel_pow)                                                                                                \
    X(lorac_kernel_prelu)                                                                                              \
    X(lorac_kernel_min)                                                                                                \
    X(lorac_kernel_max)                                                                                                \
    X(lorac_kernel_sigmoid)                                                                                            \
    X(lorac_kernel_hard_sigmoid)                                                                                       \
    X(lorac_kernel_hard_swish)                                                                                         \
    X(lorac_kernel_swish)                                                                                              \
    X(lorac_kernel_leaky_relu)                                                                                         \
    X(lorac_kernel_thresholded_relu)                                                                                   \
    X(lorac_kernel_elu)                                                                                                \
    X(lorac_kernel_selu)                                                                                               \
    X(lorac_kernel_celu)                                                                                               \
    X(lorac_kernel_gelu)                                                                                               \
    X(lorac_kernel_mish)                                                                                               \
    X(lorac_kernel_softplus)                                                                                           \
    X(lorac_kernel_erf)                                                                                                \
    X(lorac_kernel_tanh)                                                                                               \
    X(lorac_kernel_exp)                                                                                                \
    X(lorac_kernel_log)                                                                                                \
    X(lorac_kernel_sqrt)                                                                                               \
    X(lorac_kernel_reciprocal)                                                                                         \
    X(lorac_kernel_neg)                                                                                                \
    X(lorac_kernel_abs)                                                                                                \
    X(lorac_kernel_max_pool)                                                                                           \
    X(lorac_kernel_average_pool)                                                                                       \
    X(lorac_kernel_global_average_pool)                                                                                \
    X(lorac_kernel_global_max_pool)                                                                                    \
    X(lorac_kernel_reduce_mean)                                                                                        \
    X(lorac_kernel_reduce_sum)                                                                                         \
    X(lorac_kernel_reduce_max)                                                                                         \
    X(lorac_kernel_reduce_min)                                                                                         \
    X(lorac_kernel_reduce_l2)                                                                                          \
    X(lorac_kernel_reduce_sum_square)                                                                                  \
    X(lorac_kernel_flatten)                                                                                            \
    X(lorac_kernel_reshape)                                                                                            \
    X(lorac_kernel_transpose)                                                                                          \
    X(lorac_kernel_squeeze)                                                                                            \
    X(lorac_kernel_unsqueeze)                                                                                          \
    X(lorac_kernel_cast)                                                                                               \
    X(lorac_kernel_cast_like)                                                                                          \
    X(lorac_kernel_identity)                                                                                           \
    X(lorac_kernel_dropout)                                                                                            \
    X(lorac_kernel_gemm)                                                                                               \
    X(lorac_kernel_mat_mul)                                                                                            \
    X(lorac_kernel_pad)                                                                                                \
    X(lorac_kernel_slice)                                                                                              \
    X(lorac_kernel_split)                                                                                              \
    X(lorac_kernel_gather)                                                                                             \
    X(lorac_kernel_concat)                                                                                             \
    X(lorac_kernel_expand)                                                                                             \
    X(lorac_kernel_tile)                                                                                               \
    X(lorac_kernel_depth_to_space)                                                                                     \
    X(lorac_kernel_space_to_depth)                                                                                     \
    X(lorac_kernel_resize)                                                                                             \
    X(lorac_kernel_upsample)                                                                                           \
    X(lorac_kernel_softmax)                                                                                            \
    X(lorac_kernel_log_softmax)

#define LORAC_KERNEL_DECLARE(kernel) extern const struct lorac_kernel kernel;
LORAC_KERNEL_LIST(LORAC_KERNEL_DECLARE)
#undef LORAC_KERNEL_DECLARE

#endif
