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
};

#endif
