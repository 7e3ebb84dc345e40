#include "ref/ref.h"

#include <math.h>

// Where element [flat] of x goes in a tensor of [dims], where some dimensions have become 1.
static size_t target_of(const struct ref_tensor *x, const int64_t *dims, size_t flat)
{
    size_t target = 0, stride = 1;
    for (size_t i = x->rank; i-- > 0;) {
        size_t index = flat % (size_t)x->dims[i];
        flat /= (size_t)x->dims[i];
        target += dims[i] == 1 ? 0 : index * stride;
        stride *= (size_t)dims[i];
    }
    return target;
}

static double join(enum ref_reduce_kind kind, double so_far, double x)
{
    switch (kind) {
    case REF_MAXIMUM:
        return fmax(so_far, x);
    case REF_MINIMUM:
        return fmin(so_far, x);
    case REF_NORM:
    case REF_SQUARES:
        return so_far + x * x;
    default:
        return so_far + x;
    }
}

struct ref_tensor ref_reduce(const struct ref_tensor *x, enum ref_reduce_kind kind, const int64_t *axes,
                             size_t axis_count, bool keep)
{
    int64_t dims[REF_MAX_RANK], kept[REF_MAX_RANK];
    bool reduced[REF_MAX_RANK] = {false};
    size_t kept_rank = 0;
    for (size_t i = 0; i < axis_count; i++)
        reduced[axes[i] < 0 ? axes[i] + (int64_t)x->rank : axes[i]] = true;
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = reduced[i] ? 1 : x->dims[i];
        if (keep || !reduced[i])
            kept[kept_rank++] = dims[i];
    }

    struct ref_tensor y = ref_make(x->rank, dims);
    size_t each = ref_count(x) / ref_count(&y);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] = kind == REF_MAXIMUM ? -INFINITY : kind == REF_MINIMUM ? INFINITY : 0;
    for (size_t flat = 0; flat < ref_count(x); flat++) {
        double *target = &y.data[target_of(x, dims, flat)];
        *target = join(kind, *target, x->data[flat]);
    }
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] = kind == REF_MEAN ? y.data[i] / (double)each : kind == REF_NORM ? sqrt(y.data[i]) : y.data[i];
    y.rank = kept_rank;
    for (size_t i = 0; i < kept_rank; i++)
        y.dims[i] = kept[i];
    return y;
}
