// More rows as in kernel_rows.h: frozen convolutions, so that Winograd may run them; images of odd sizes, pads, channels
// that fill no vector.
#ifndef LORAC_TEST_KERNEL_ROWS_WINOGRAD_H
#define LORAC_TEST_KERNEL_ROWS_WINOGRAD_H

#include "kernel_rows.h"

static const struct kernel_row winograd_rows[] = {
    {{2, 17, 9, 11}, "Conv(a, w[19,17,3,3], b[19]) pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{3, 24, 8, 5}, "Conv(a, w[16,24,3,3], b[16]*) pads=[0,1,2,1]", 0, ROW_WINOGRAD},
    {{1, 16, 13, 14}, "Conv(a, w[33,16,3,3]) pads=[2,2,2,2]", 0, ROW_WINOGRAD},
    {{2, 33, 5, 4}, "Conv(a, w[32,33,3,3], b[32]) pads=[1,1,1,1]", 0, ROW_WINOGRAD}, // F(2x2)
    {{8, 160, 2, 5}, "Conv(a, w[192,160,3,3]) pads=[1,1,1,1]", 0, ROW_WINOGRAD}, // the gradient borrows the weights
    {{1, 40, 3, 1}, "Conv(a, w[40,40,3,3]) pads=[1,1,1,1]", 0, 0}, // too few tiles
    {{2, 16, 9, 9}, "c=Conv(a, v[16,16,3,3], b[16]) pads=[1,1,1,1]; r=Relu(c); y=Conv(r, w[18,16,3,3]) pads=[1,1,1,1]",
     0, ROW_WINOGRAD},
    // with so many tiles that the gradient of a weight that is trained, or has an adapter, is Winograd's, too
    {{4, 17, 16, 15}, "Conv(a, w[18,17,3,3]*, b[18]*) pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{5, 33, 13, 14}, "Conv(a, w[16,33,3,3], b[16]) lora=kernel:2:4 pads=[1,0,2,1]", 0, ROW_WINOGRAD},
};

#endif
