#include "ref/ref.h"

#include <math.h>

struct ref_tensor ref_relu(const struct ref_tensor *x)
{
    return ref_clip(x, 0, INFINITY);
}

struct ref_tensor ref_clip(const struct ref_tensor *x, double low, double high)
{
    struct ref_tensor y = ref_copy(x);
    for (size_t i = 0; i < ref_count(x); i++)
        y.data[i] = fmin(fmax(y.data[i], low), high);
    return y;
}

// The element of [x] that is broadcast to flat position [flat] of a tensor of [rank], [dims].
static double broadcast_at(const struct ref_tensor *x, size_t flat, size_t rank, const int64_t *dims)
{
    size_t offset = 0, stride = 1;
    for (size_t i = 0; i < x->rank; i++) {
        size_t axis = rank - 1 - i, own = x->rank - 1 - i;
        size_t index = flat % (size_t)dims[axis];
        flat /= (size_t)dims[axis];
        offset += x->dims[own] == 1 ? 0 : index * stride;
        stride *= (size_t)x->dims[own];
    }
    return x->data[offset];
}

static double apply(enum ref_binary_kind kind, double a, double b)
{
    switch (kind) {
    case REF_ADD:
        return a + b;
    case REF_SUBTRACT:
        return a - b;
    case REF_MULTIPLY:
        return a * b;
    case REF_DIVIDE:
        break;
    }
    return a / b;
}

struct ref_tensor ref_binary(const struct ref_tensor *a, const struct ref_tensor *b, enum ref_binary_kind kind)
{
    size_t rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[REF_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        int64_t from_a = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int64_t from_b = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        ref_require(from_a == from_b || from_a == 1 || from_b == 1, "shapes do not broadcast");
        dims[i] = from_a == 1 ? from_b : from_a;
    }
    struct ref_tensor y = ref_make(rank, dims);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] = apply(kind, broadcast_at(a, i, rank, dims), broadcast_at(b, i, rank, dims));
    return y;
}
