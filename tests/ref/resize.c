#include "ref/ref.h"

#include <math.h>
#include <string.h>

// The coordinate in the input, as the operator's page writes it.
static double coordinate(const char *transform, double i, double in, double out, double scale)
{
    if (strcmp(transform, "asymmetric") == 0)
        return i / scale;
    if (strcmp(transform, "align_corners") == 0)
        return out == 1 ? 0 : i * (in - 1) / (out - 1);
    if (strcmp(transform, "tf_half_pixel_for_nn") == 0)
        return (i + 0.5) / scale;
    if (strcmp(transform, "pytorch_half_pixel") == 0 && out == 1)
        return 0;
    if (strcmp(transform, "half_pixel_symmetric") == 0)
        return in / 2 * (1 - out / (scale * in)) + (i + 0.5) / scale - 0.5;
    return (i + 0.5) / scale - 0.5;
}

static double nearest(const char *rule, double at, double scale)
{
    if (strcmp(rule, "floor") == 0 || (strcmp(rule, "outward") == 0 && scale >= 1))
        return floor(at);
    if (strcmp(rule, "ceil") == 0 || strcmp(rule, "outward") == 0)
        return ceil(at);
    return strcmp(rule, "round_prefer_ceil") == 0 ? floor(at + 0.5) : ceil(at - 0.5);
}

struct ref_tensor ref_resize(const struct ref_tensor *x, size_t axis, int64_t out, double scale,
                             const struct ref_resize *rule)
{
    int64_t low[64], high[64], size = x->dims[axis];
    double last = (double)size - 1, weights[64];
    ref_require(out <= 64, "too long an axis to resize");
    for (int64_t i = 0; i < out; i++) {
        double at = coordinate(rule->transform, (double)i, (double)size, (double)out, scale);
        if (!rule->linear)
            at = nearest(rule->nearest, at, scale);
        at = fmin(fmax(at, 0), last);
        low[i] = (int64_t)floor(at);
        high[i] = (int64_t)ceil(at);
        weights[i] = at - floor(at);
    }
    struct ref_tensor y = ref_take(x, axis, low, (size_t)out), other = ref_take(x, axis, high, (size_t)out);
    size_t inner = 1;
    for (size_t i = axis + 1; i < x->rank; i++)
        inner *= (size_t)x->dims[i];
    for (size_t i = 0; i < ref_count(&y); i++) {
        double weight = weights[i / inner % (size_t)out];
        y.data[i] = (1 - weight) * y.data[i] + weight * other.data[i];
    }
    ref_free(&other);
    return y;
}
