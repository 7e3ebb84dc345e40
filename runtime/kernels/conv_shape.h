// The sizes of one convolution, known completely at lowering.
#ifndef LORAC_CONV_SHAPE_H
#define LORAC_CONV_SHAPE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

struct lorac_conv_shape {
    size_t N, H, W, C; // input [N, H, W, C]
    size_t OH, OW, M;  // output [N, OH, OW, M]
    size_t G;          // groups; C % G == 0, M % G == 0
    size_t kh, kw, stride_h, stride_w, dilation_h, dilation_w;
    size_t pad_top, pad_left, pad_bottom, pad_right;
};

static inline size_t lorac_conv_weight_count(const struct lorac_conv_shape *s)
{
    return s->M * (s->C / s->G) * s->kh * s->kw;
}

// True where a pixel's window is the pixel itself, so that nothing has to be gathered.
static inline bool lorac_conv_is_direct(const struct lorac_conv_shape *s)
{
    return s->kh * s->kw * s->stride_h * s->stride_w == 1 &&
           s->pad_top + s->pad_left + s->pad_bottom + s->pad_right == 0;
}

// What is done to a convolution's outputs on their way to memory: min(max(conv + bias + (accumulate: what is there),
// low), high). A NaN stays one.
struct lorac_conv_finish {
    const float *bias; // a number for each output channel; NULL: 0
    float low, high;   // -INFINITY, INFINITY: no limits
    bool accumulate;
};

static inline struct lorac_conv_finish lorac_conv_finish_bias(const float *bias)
{
    return (struct lorac_conv_finish){.bias = bias, .low = -INFINITY, .high = INFINITY};
}

// The range of output positions [*begin, *end) along one axis for which tap [k] reads inside the input, and the input
// position of the first of them.
static inline void lorac_conv_tap_range(size_t k, size_t in, size_t out, size_t stride, size_t dilation, size_t pad,
                                        size_t *begin, size_t *end, size_t *first_in)
{
    size_t offset = k * dilation; // input position = o * stride + offset - pad
    *begin = offset >= pad ? 0 : (pad - offset + stride - 1) / stride;
    *end = in + pad <= offset ? 0 : (in + pad - offset - 1) / stride + 1;
    if (*end > out)
        *end = out;
    if (*begin > *end)
        *begin = *end;
    *first_in = *begin * stride + offset - pad;
}

#endif
