// Sums over the rows of a matrix [rows, C], per column, in double: for bias gradients and BatchNorm. The rows are cut
// into a number of chunks that depends on the sizes alone, and the chunks' sums are added in their order.
#ifndef LORAC_COLUMNS_H
#define LORAC_COLUMNS_H

#include "kernel.h"

enum lorac_column_kind {
    LORAC_COLUMN_SUM,     // sum of x
    LORAC_COLUMN_SQUARES, // sum of (x - mean)^2
    LORAC_COLUMN_PRODUCT, // sum of a * (x - mean)
};

// out [C], in double. [mean] and [a] as the kind needs them. workspace: lorac_column_workspace(rows, C) bytes.
void lorac_column_sums(enum lorac_column_kind kind, const float *x, const float *a, const float *mean, size_t rows,
                       size_t C, double *out, void *workspace, const struct lorac_kernel_env *env);

#endif
