#include "ref/ref.h"

struct ref_tensor ref_flatten(const struct ref_tensor *x, int64_t axis)
{
    int64_t dims[2] = {1, 1};
    if (axis < 0)
        axis += (int64_t)x->rank;
    for (size_t i = 0; i < x->rank; i++)
        dims[(int64_t)i >= axis] *= x->dims[i];
    return ref_reshape(x, dims, 2, false);
}

struct ref_tensor ref_reshape(const struct ref_tensor *x, const int64_t *shape, size_t rank, bool allow_zero)
{
    struct ref_tensor y = ref_copy(x);
    int64_t known = 1;
    size_t open = REF_MAX_RANK;
    ref_require(rank <= REF_MAX_RANK && !allow_zero, "a reshape that the oracle does not know");
    for (size_t i = 0; i < rank; i++) {
        y.dims[i] = shape[i] == 0 ? x->dims[i] : shape[i];
        if (shape[i] == -1)
            open = i;
        else
            known *= y.dims[i];
    }
    if (open < REF_MAX_RANK)
        y.dims[open] = (int64_t)ref_count(x) / known;
    y.rank = rank;
    ref_require(ref_count(&y) == ref_count(x), "reshape changes the number of elements");
    return y;
}

// Copies x[start + step*i] for each index i of y, per axis; positions outside of x leave y as it is.
static void gather(const struct ref_tensor *x, struct ref_tensor *y, const int64_t *start, const int64_t *step)
{
    for (size_t flat = 0; flat < ref_count(y); flat++) {
        int64_t rest = (int64_t)flat, source = 0, stride = 1;
        bool inside = true;
        for (size_t i = x->rank; i-- > 0;) {
            int64_t index = start[i] + step[i] * (rest % y->dims[i]);
            rest /= y->dims[i];
            inside = inside && index >= 0 && index < x->dims[i];
            source += index * stride;
            stride *= x->dims[i];
        }
        if (inside)
            y->data[flat] = x->data[source];
    }
}

struct ref_tensor ref_pad(const struct ref_tensor *x, const int64_t *pads, double value)
{
    int64_t dims[REF_MAX_RANK], start[REF_MAX_RANK], step[REF_MAX_RANK];
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = x->dims[i] + pads[i] + pads[i + x->rank];
        start[i] = -pads[i];
        step[i] = 1;
    }
    struct ref_tensor y = ref_make(x->rank, dims);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] = value;
    gather(x, &y, start, step);
    return y;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

struct ref_tensor ref_slice(const struct ref_tensor *x, const struct ref_slice *slice)
{
    int64_t dims[REF_MAX_RANK], start[REF_MAX_RANK], step[REF_MAX_RANK];
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = x->dims[i];
        start[i] = 0;
        step[i] = 1;
    }
    for (size_t k = 0; k < slice->count; k++) {
        int64_t given = slice->axes != NULL ? slice->axes[k] : (int64_t)k;
        size_t i = (size_t)(given < 0 ? given + (int64_t)x->rank : given);
        int64_t size = x->dims[i], from = slice->starts[k], to = slice->ends[k];
        step[i] = slice->steps != NULL ? slice->steps[k] : 1;
        from = from < 0 ? from + size : from;
        to = to < 0 ? to + size : to;
        if (step[i] > 0) {
            start[i] = clamp(from, 0, size);
            dims[i] = (clamp(to, 0, size) - start[i] + step[i] - 1) / step[i];
        } else {
            start[i] = clamp(from, 0, size - 1);
            dims[i] = (start[i] - clamp(to, -1, size - 1) - step[i] - 1) / -step[i];
        }
    }
    struct ref_tensor y = ref_make(x->rank, dims);
    gather(x, &y, start, step);
    return y;
}

struct ref_tensor ref_transpose(const struct ref_tensor *x, const int64_t *permutation)
{
    int64_t dims[REF_MAX_RANK];
    size_t from[REF_MAX_RANK];
    for (size_t i = 0; i < x->rank; i++) {
        from[i] = permutation != NULL ? (size_t)permutation[i] : x->rank - 1 - i;
        dims[i] = x->dims[from[i]];
    }
    struct ref_tensor y = ref_make(x->rank, dims);
    for (size_t flat = 0; flat < ref_count(&y); flat++) {
        size_t rest = flat, index[REF_MAX_RANK] = {0}, source = 0;
        for (size_t i = x->rank; i-- > 0;) {
            index[from[i]] = rest % (size_t)dims[i];
            rest /= (size_t)dims[i];
        }
        for (size_t i = 0; i < x->rank; i++)
            source = source * (size_t)x->dims[i] + index[i];
        y.data[flat] = x->data[source];
    }
    return y;
}

struct ref_tensor ref_take(const struct ref_tensor *x, size_t axis, const int64_t *indices, size_t count)
{
    int64_t dims[REF_MAX_RANK] = {0}, size = x->dims[axis];
    size_t inner = 1, outer = 1;
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = i == axis ? (int64_t)count : x->dims[i];
        outer *= i < axis ? (size_t)x->dims[i] : 1;
        inner *= i > axis ? (size_t)x->dims[i] : 1;
    }
    struct ref_tensor y = ref_make(x->rank, dims);
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < count; k++) {
            size_t from = (size_t)(indices[k] < 0 ? indices[k] + size : indices[k]);
            for (size_t i = 0; i < inner; i++)
                y.data[(o * count + k) * inner + i] = x->data[(o * (size_t)size + from) * inner + i];
        }
    return y;
}

struct ref_tensor ref_pad_by(const struct ref_tensor *x, const int64_t *pads, char mode)
{
    struct ref_tensor y = ref_copy(x);
    for (size_t axis = 0; axis < x->rank; axis++) {
        int64_t indices[64], size = x->dims[axis], count = 0;
        for (int64_t i = -pads[axis]; i < size + pads[axis + x->rank]; i++) {
            int64_t at = i;
            while (at < 0 || at >= size)
                at = mode == 'e'   ? clamp(at, 0, size - 1)
                     : mode == 'w' ? at + (at < 0 ? size : -size)
                                   : (at < 0 ? -at : 2 * (size - 1) - at);
            ref_require(count < 64, "too long an axis to pad");
            indices[count++] = at;
        }
        struct ref_tensor next = ref_take(&y, axis, indices, (size_t)count);
        ref_free(&y);
        y = next;
    }
    return y;
}

struct ref_tensor ref_concat(const struct ref_tensor *a, const struct ref_tensor *b, size_t axis)
{
    int64_t dims[REF_MAX_RANK] = {0};
    size_t outer = 1;
    for (size_t i = 0; i < a->rank; i++) {
        dims[i] = a->dims[i] + (i == axis ? b->dims[i] : 0);
        ref_require(i == axis || a->dims[i] == b->dims[i], "shapes do not join");
        outer *= i < axis ? (size_t)a->dims[i] : 1;
    }
    struct ref_tensor y = ref_make(a->rank, dims);
    size_t in_a = ref_count(a) / outer, in_b = ref_count(b) / outer;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < in_a + in_b; i++)
            y.data[o * (in_a + in_b) + i] = i < in_a ? a->data[o * in_a + i] : b->data[o * in_b + i - in_a];
    return y;
}
