#include "ref/ref.h"

struct ref_tensor ref_matmul(const struct ref_tensor *a, const struct ref_tensor *b)
{
    ref_require(a->rank >= 2 && b->rank == 2 && a->dims[a->rank - 1] == b->dims[0], "shapes do not multiply");
    int64_t dims[REF_MAX_RANK], inner = b->dims[0], columns = b->dims[1];
    for (size_t i = 0; i < a->rank; i++)
        dims[i] = i + 1 < a->rank ? a->dims[i] : columns;
    struct ref_tensor y = ref_make(a->rank, dims);
    int64_t rows = (int64_t)ref_count(&y) / columns;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            for (int64_t k = 0; k < inner; k++)
                y.data[i * columns + j] += a->data[i * inner + k] * b->data[k * columns + j];
    return y;
}

struct ref_tensor ref_gemm(const struct ref_tensor *a, const struct ref_tensor *b, const struct ref_tensor *c,
                           const struct ref_gemm *options)
{
    struct ref_tensor left = options->trans_a ? ref_transpose(a, NULL) : ref_copy(a);
    struct ref_tensor right = options->trans_b ? ref_transpose(b, NULL) : ref_copy(b);
    struct ref_tensor y = ref_matmul(&left, &right);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] *= options->alpha;
    if (c != NULL) {
        struct ref_tensor scaled = ref_copy(c);
        for (size_t i = 0; i < ref_count(c); i++)
            scaled.data[i] *= options->beta;
        struct ref_tensor sum = ref_binary(&y, &scaled, REF_ADD);
        ref_free(&y);
        ref_free(&scaled);
        y = sum;
    }
    ref_free(&left);
    ref_free(&right);
    return y;
}
