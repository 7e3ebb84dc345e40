// What is wrong with a convolution whatever its input is: no engine can run it, so nothing is built on it.
#ifndef LORAC_CONV_CHECK_H
#define LORAC_CONV_CHECK_H

#include "proto/model.h"

// Checks that the Conv does not contradict itself: its inputs and output, group, kernel_shape, strides, dilations, pads,
// auto_pad and the bias, where the weight has dims [M, C/g, kh, kw]. Errors: FORMAT, what contradicts what (without the
// node's name).
enum lorac_status lorac_conv_check(struct lorac_model *model, const Onnx__NodeProto *node, const int64_t dims[4],
                                   struct lorac_error *error);

#endif
