#include "ref/ref.h"

#include <math.h>

// Elements of one channel of one image.
static size_t plane_count(const struct ref_tensor *x)
{
    size_t count = 1;
    for (size_t i = 2; i < x->rank; i++)
        count *= (size_t)x->dims[i];
    return count;
}

struct ref_tensor ref_batch_norm(const struct ref_tensor *x, const struct ref_batch_norm *parameters)
{
    struct ref_tensor y = ref_make(x->rank, x->dims);
    size_t plane = plane_count(x), channels = (size_t)x->dims[1];
    for (size_t i = 0; i < ref_count(x); i++) {
        size_t c = i / plane % channels;
        y.data[i] = (x->data[i] - parameters->mean->data[c]) /
                        sqrt(parameters->variance->data[c] + parameters->epsilon) * parameters->scale->data[c] +
                    parameters->shift->data[c];
    }
    return y;
}

void ref_batch_statistics(const struct ref_tensor *x, struct ref_tensor *mean, struct ref_tensor *variance)
{
    size_t plane = plane_count(x), channels = (size_t)x->dims[1], count = ref_count(x);
    double each = (double)(count / channels);
    *mean = ref_make(1, &x->dims[1]);
    *variance = ref_make(1, &x->dims[1]);
    for (size_t i = 0; i < count; i++)
        mean->data[i / plane % channels] += x->data[i] / each;
    for (size_t i = 0; i < count; i++) {
        double d = x->data[i] - mean->data[i / plane % channels];
        variance->data[i / plane % channels] += d * d / each;
    }
}

static void softmax_row(double *row, size_t count, size_t stride, bool logarithm)
{
    double largest = row[0], sum = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, row[i * stride]);
    for (size_t i = 0; i < count; i++)
        sum += exp(row[i * stride] - largest);
    for (size_t i = 0; i < count; i++) {
        double z = row[i * stride] - largest;
        row[i * stride] = logarithm ? z - log(sum) : exp(z) / sum;
    }
}

struct ref_tensor ref_softmax(const struct ref_tensor *x, int64_t axis, bool together, bool logarithm)
{
    struct ref_tensor y = ref_copy(x);
    size_t count = 1, stride = 1, first = (size_t)(axis < 0 ? axis + (int64_t)x->rank : axis);
    for (size_t i = first; i < x->rank; i++) {
        if (together || i == first)
            count *= (size_t)x->dims[i];
        else
            stride *= (size_t)x->dims[i];
    }
    for (size_t i = 0; i < ref_count(x) / count; i++)
        softmax_row(y.data + i / stride * stride * count + i % stride, count, stride, logarithm);
    return y;
}

void ref_standardize(double *rows, size_t count, size_t length, double epsilon)
{
    for (size_t r = 0; r < count; r++) {
        double *row = rows + r * length, mean = 0, variance = 0;
        for (size_t i = 0; i < length; i++)
            mean += row[i] / (double)length;
        for (size_t i = 0; i < length; i++)
            variance += (row[i] - mean) * (row[i] - mean) / (double)length;
        for (size_t i = 0; i < length; i++)
            row[i] = (row[i] - mean) / sqrt(variance + epsilon);
    }
}
