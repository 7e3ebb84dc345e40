// The window of Conv, MaxPool and AveragePool: kernel, strides, dilations, pads, auto_pad, read from a node and
// checked.
#ifndef LORAC_WINDOW_H
#define LORAC_WINDOW_H

#include "conv_shape.h"
#include "kernel.h"

// Fills everything of [shape] but M and G from the node's attributes and the input's size. kh, kw: the kernel's size
// where the caller knows it from the weight (0: kernel_shape is required). [ceil_mode]: as the node says (pools).
// Refuses what does not fit, by node name.
enum lorac_status lorac_window_read(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    const struct lorac_value *input, size_t kh, size_t kw, bool ceil_mode,
                                    struct lorac_conv_shape *shape, struct lorac_error *error);

#endif
