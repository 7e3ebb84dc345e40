// More rows as in kernel_rows.h: BatchNormalization behind a convolution. Frozen it is folded into it (ROW_FOLDED), but
// not where somebody else reads the convolution's output too.
#ifndef LORAC_TEST_KERNEL_ROWS_NORM_H
#define LORAC_TEST_KERNEL_ROWS_NORM_H

#include "kernel_rows.h"

#define NORM(c, C) "y=BatchNormalization(" #c ", s[" #C "], t[" #C "], m[" #C "], v[" #C "]+)"

static const struct kernel_row norm_rows[] = {
    // weights, biases, strides, groups; what is trained
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]*, b[4]*) pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,1,1]*); " NORM(c, 4) " epsilon=0.1", 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3], b[4]) strides=[2,2]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]) strides=[2,2] pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3], b[4]*) pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]*, b[4]) pads=[1,1,1,1]; " NORM(c, 4), 9, ROW_FOLDED},
    {{2, 6, 5, 5}, "c=Conv(a, w[9,2,3,3]*, b[9]*) group=3; " NORM(c, 9), 0, ROW_FOLDED},
    {{2, 5, 7, 5}, "c=Conv(a, w[5,1,3,3]*, b[5]*) group=5 pads=[1,1,1,1]; " NORM(c, 5), 0, ROW_FOLDED},
    {{2, 17, 9, 11}, "c=Conv(a, w[19,17,3,3], b[19]) pads=[1,1,1,1]; " NORM(c, 19), 0, ROW_WINOGRAD | ROW_FOLDED},
    {{2, 16, 9, 9}, "c=Conv(a, w[64,16,3,3], b[64]) pads=[1,1,1,1] strides=[2,2]; " NORM(c, 64), 0, ROW_FOLDED},
    {{2, 3, 1, 7}, "q=Squeeze(a, i{2}); c=Conv(q, w[4,3,3]*, b[4]*) pads=[1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{3, 5, 1, 1}, "c=Conv(a, w[4,5,1,1]*); f=Flatten(c); " NORM(f, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]*); i=Identity(c); " NORM(i, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 7}, "!c=Conv(x, w[4,3,3,3]*, b[4]*); " NORM(c, 4), 0, ROW_FOLDED},
    // scales that are zero, negative, large
    {{2, 3, 5, 7}, "c=Conv(a, w[3,3,3,3]*, b[3]*); y=BatchNormalization(c, s<0.,-0.5,30.>, t[3], m[3], v[3]+)", 0,
     ROW_FOLDED},
    {{2, 3, 5, 7}, "c=Conv(a, w[3,3,3,3]) lora=kernel:2:4; "
                   "y=BatchNormalization(c, s<0.,-0.5,30.>, t[3], m[3], v<1e-6,0.,2.>) epsilon=1e-3", 0, ROW_FOLDED},
    // adapters
    {{2, 3, 5, 6}, "c=Conv(a, w[4,3,1,1]) lora=kernel:2:4; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 6}, "c=Conv(a, w[4,3,3,3], b[4]) lora=kernel:2:4 pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 3, 5, 6}, "c=Conv(a, w[4,3,3,3]) lora=kernel:2:4:frozen pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{2, 5, 7, 6}, "c=Conv(a, w[2,5,3,3], b[2]*) lora=plain:1:-0.5 strides=[2,2]; " NORM(c, 2), 0, ROW_FOLDED},
    {{2, 3, 5, 5}, "c=Conv(a, w[4,3,3,3]*) lora=kernel:1:2 pads=[1,1,1,1]; " NORM(c, 4), 0, ROW_FOLDED},
    {{1, 4, 5, 5}, "c=Conv(a, w[6,2,3,3]) lora=kernel:2:4 group=2 pads=[1,1,1,1]; " NORM(c, 6), 0, ROW_FOLDED},
    {{2, 2, 3, 3}, "c=Conv(a, w[9,2,1,1]) lora=kernel:6:4; " NORM(c, 9), 0, ROW_FOLDED}, // gain*B larger than W
    {{9, 20, 4, 5}, "c=Conv(a, w[21,20,3,3]) lora=kernel:4:8 pads=[1,1,1,1]; " NORM(c, 21), 0, ROW_FOLDED},
    {{2, 17, 9, 11}, "c=Conv(a, w[19,17,3,3], b[19]) lora=kernel:4:8 pads=[1,1,1,1]; " NORM(c, 19), 0,
     ROW_WINOGRAD | ROW_FOLDED},
    {{2, 33, 13, 15}, "c=Conv(a, w[16,33,3,3]) lora=kernel:4:8 pads=[1,1,1,1]; " NORM(c, 16), 0,
     ROW_WINOGRAD | ROW_FOLDED}, // in the gradient's weights
    // with the activation behind it, which the convolution does too
    {{2, 3, 4, 5}, "c=Conv(a, w[4,3,3,3]*, b[4]*) pads=[1,1,1,1]; n=BatchNormalization(c, s[4], t[4], m[4], v[4]+); "
                   "y=Relu(n)", 0, ROW_FOLDED},
    {{2, 3, 4, 5}, "c=Conv(a, w[4,3,3,3]) lora=kernel:2:4 pads=[1,1,1,1]; "
                   "n=BatchNormalization(c, s[4], t[4], m[4], v[4]+); y=Relu(n)", 0, ROW_FOLDED},
    // several: one behind the other, of one weight, with one set of numbers
    {{2, 3, 4, 5}, "c=Conv(a, w[3,3,3,3]*) pads=[1,1,1,1]; n=BatchNormalization(c, s[3], t[3], m[3], v[3]+); "
                   "d=Conv(n, w) pads=[1,1,1,1]; e=BatchNormalization(d, s, t, m, v); r=Add(e, a); "
                   "f=Conv(r, u[4,3,3,3]*); y=BatchNormalization(f, s2[4], t2[4], m2[4], v2[4]+)", 0, ROW_FOLDED},
    // not folded
    {{2, 3, 5, 7}, "c=Conv(a, w[3,3,3,3]*); n=BatchNormalization(c, s[3], t[3], m[3], v[3]+); y=Add(n, c)", 0, 0},
    {{2, 3, 5, 7}, "c=Conv(a, w[3,3,3,3]*); n=BatchNormalization(c, s[3], t[3], m[3], v[3]+); "
                   "o=BatchNormalization(c, s2[3], t2[3], m2[3], v2[3]+); y=Add(n, o)", 0, 0},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]*, b[4]*); n=Neg(c); " NORM(n, 4), 0, 0},
    {{2, 3, 5, 7}, "c=Conv(a, w[4,3,3,3]) lora=kernel:2:4; " NORM(c, 4), 0, ROW_BN_TRAIN},
};

#undef NORM

#endif
