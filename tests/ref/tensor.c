#include "ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ref_require(bool ok, const char *text)
{
    if (ok)
        return;
    fprintf(stderr, "ref: %s\n", text);
    exit(1);
}

size_t ref_count(const struct ref_tensor *x)
{
    size_t count = 1;
    for (size_t i = 0; i < x->rank; i++)
        count *= (size_t)x->dims[i];
    return count;
}

struct ref_tensor ref_make(size_t rank, const int64_t *dims)
{
    struct ref_tensor x = {.rank = rank};
    ref_require(rank <= REF_MAX_RANK, "rank too large");
    for (size_t i = 0; i < rank; i++) {
        ref_require(dims[i] > 0, "a dimension below 1");
        x.dims[i] = dims[i];
    }
    x.data = calloc(ref_count(&x), sizeof(double));
    ref_require(x.data != NULL, "out of memory");
    return x;
}

struct ref_tensor ref_image(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return ref_make(4, (const int64_t[]){n, c, h, w});
}

struct ref_tensor ref_copy(const struct ref_tensor *x)
{
    struct ref_tensor y = ref_make(x->rank, x->dims);
    memcpy(y.data, x->data, ref_count(x) * sizeof(double));
    return y;
}

void ref_free(struct ref_tensor *x)
{
    free(x->data);
    x->data = NULL;
}
