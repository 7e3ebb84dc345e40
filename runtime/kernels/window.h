// The window of Conv, MaxPool and AveragePool: kernel, strides, dilations, pads, auto_pad, read from a node and
// checked.
#ifndef LORAC_WINDOW_H
#define LORAC_WINDOW_H

#include "conv_shape.h"
#include "kernel.h"

// What the caller knows of a window.
struct lorac_window {
    size_t rank;    // 2, or 1: the node's attributes have one axis, which is W; H is then 1
    size_t kh, kw;  // from the weight; 0: kernel_shape is required
    bool ceil_mode; // as the node says (pools)
};

// Fills everything of [shape] but M and G from the node's attributes and the input's size. Refuses what does not fit,
// by node name.
enum lorac_status lorac_window_read(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    const struct lorac_value *input, const struct lorac_window *window,
                                    struct lorac_conv_shape *shape, struct lorac_error *error);

#endif
