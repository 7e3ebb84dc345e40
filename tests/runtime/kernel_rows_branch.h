// More rows as in kernel_rows.h: adapters of which B is trained alone, and such as fill a branch's tiles, vectors and
// chunks in part. Every row with an adapter runs by the definition and as a branch.
#ifndef LORAC_TEST_KERNEL_ROWS_BRANCH_H
#define LORAC_TEST_KERNEL_ROWS_BRANCH_H

#include "kernel_rows.h"

static const struct kernel_row branch_rows[] = {
    // A at its start
    {{2, 3, 5, 6}, "Conv(a, w[4,3,3,3], b[4]) lora=kernel:2:4:frozen pads=[1,1,1,1]", 0, 0},
    {{2, 5, 7, 6}, "Conv(a, w[2,5,3,3]) lora=plain:1:2:frozen pads=[1,1,1,1] strides=[2,2]", 0, 0},
    {{1, 4, 5, 5}, "Conv(a, w[6,2,3,3]) lora=kernel:2:4:frozen group=2 pads=[1,1,1,1]", 0, 0},
    {{2, 3, 5, 6}, "Conv(a, w[4,3,1,1]) lora=kernel:2:4:frozen", 0, 0},
    {{2, 3, 5, 5}, "!y=Conv(x, w[4,3,3,3]) lora=kernel:2:4:frozen pads=[1,1,1,1]", 0, 0},
    {{2, 3, 5, 5}, "Conv(a, w[4,3,3,3]*) lora=kernel:1:2:frozen pads=[1,1,1,1]", 0, 0},
    // as a branch: parts of vectors, several tiles, chunks of images, windows far outside
    {{9, 20, 4, 5}, "Conv(a, w[21,20,3,3]) lora=kernel:4:8 pads=[1,1,1,1]", 0, 0},
    {{2, 37, 6, 6}, "Conv(a, w[19,37,3,3], b[19]) lora=plain:4:8 pads=[1,1,1,1] strides=[2,1]", 0, 0},
    {{3, 3, 17, 13}, "Conv(a, w[5,3,3,3]) lora=kernel:1:2 pads=[1,1,1,1]", 0, 0},
    {{10, 18, 2, 1}, "Conv(a, w[33,18,1,1]) lora=kernel:5:8", 0, 0},
    {{1, 2, 3, 3}, "Conv(a, w[3,2,3,2]) lora=kernel:2:4 pads=[4,3,4,3] dilations=[3,2] strides=[2,1]", 0, 0},
    {{1, 3, 9, 8}, "Conv(a, w[2,3,4,3]) lora=plain:2:4 strides=[3,2] dilations=[2,3] pads=[0,2,1,2]", 0, 0},
    {{2, 3, 4, 5}, "Conv(a, w[4,3,1,1]) lora=plain:1:2 pads=[1,0,0,2]", 0, 0},
    // beside gathered products: few rows of B, and more than vectors are worth; A frozen; windows; and both ways, where
    // the windows are the pixels
    {{2, 64, 3, 5}, "Conv(a, w[65,64,1,1], b[65]) lora=kernel:4:8", 0, 0},
    {{3, 70, 2, 3}, "Conv(a, w[64,70,1,1]) lora=kernel:9:8", 0, 0},
    {{2, 64, 3, 2}, "Conv(a, w[64,64,1,1]) lora=kernel:3:8:frozen", 0, 0},
    {{1, 65, 3, 5}, "Conv(a, w[64,65,3,3], b[64]) lora=kernel:2:8 pads=[1,1,1,1] strides=[2,2]", 0, 0},
    // beside Winograd: outputs and R that fill no vector, more than a chunk of either, A frozen, F(2x2)
    {{2, 17, 9, 11}, "Conv(a, w[33,17,3,3], b[33]) lora=plain:5:8 pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{1, 18, 12, 9}, "Conv(a, w[20,18,3,3]) lora=kernel:4:8 pads=[0,1,2,1]", 0, ROW_WINOGRAD},
    {{1, 16, 9, 12}, "Conv(a, w[18,16,3,3]) lora=plain:34:8 pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{3, 24, 8, 5}, "Conv(a, w[16,24,3,3], b[16]) lora=kernel:2:4:frozen pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{2, 33, 5, 4}, "Conv(a, w[32,33,3,3]) lora=kernel:2:4 pads=[2,2,2,2]", 0, ROW_WINOGRAD},
    // so many pixels that the gradient has the adapter in its weights; the last two without dA
    {{2, 33, 13, 15}, "Conv(a, w[16,33,3,3], b[16]) lora=kernel:5:8 pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{3, 17, 17, 16}, "Conv(a, w[33,17,3,3]) lora=plain:34:8:frozen pads=[1,1,1,1]", 0, ROW_WINOGRAD},
    {{2, 40, 13, 15}, "Conv(a, w[16,40,3,3]) lora=kernel:3:8:frozen pads=[1,1,1,1]", 0, ROW_WINOGRAD},
};

#endif
