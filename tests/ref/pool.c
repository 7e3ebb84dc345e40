#include "ref/ref.h"

#include <math.h>

struct pooled {
    double maximum, sum;
    int64_t inside; // taps that lie in the image
    int64_t padded; // taps that lie in the image or its padding (not in what ceil_mode adds behind them)
};

static struct pooled pool_at(const double *plane, int64_t height, int64_t width, const struct ref_window *window,
                             int64_t y, int64_t x)
{
    struct pooled got = {.maximum = -INFINITY};
    for (int64_t i = 0; i < window->kernel[0]; i++)
        for (int64_t j = 0; j < window->kernel[1]; j++) {
            int64_t row = y * window->stride[0] - window->pads[0] + i * window->dilation[0];
            int64_t column = x * window->stride[1] - window->pads[1] + j * window->dilation[1];
            if (row < height + window->pads[2] && column < width + window->pads[3])
                got.padded++;
            if (row < 0 || row >= height || column < 0 || column >= width)
                continue;
            double value = plane[row * width + column];
            got.inside++;
            got.sum += value;
            if (value > got.maximum)
                got.maximum = value;
        }
    return got;
}

enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_AVERAGE_WITH_PAD };

static struct ref_tensor pool(const struct ref_tensor *x, const struct ref_window *given, enum pool_kind kind)
{
    struct ref_window window = *given;
    int64_t out[2], height = x->dims[2], width = x->dims[3];
    ref_window_resolve(&window, height, width, out);
    struct ref_tensor y = ref_image(x->dims[0], x->dims[1], out[0], out[1]);
    double *next = y.data;
    for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++)
        for (int64_t row = 0; row < out[0]; row++)
            for (int64_t column = 0; column < out[1]; column++) {
                struct pooled got =
                    pool_at(x->data + plane * height * width, height, width, &window, row, column);
                ref_require(got.inside > 0, "a window without a pixel");
                int64_t divisor = kind == POOL_AVERAGE ? got.inside : got.padded;
                *next++ = kind == POOL_MAX ? got.maximum : got.sum / (double)divisor;
            }
    return y;
}

struct ref_tensor ref_max_pool(const struct ref_tensor *x, const struct ref_window *window)
{
    return pool(x, window, POOL_MAX);
}

struct ref_tensor ref_average_pool(const struct ref_tensor *x, const struct ref_window *window,
                                   bool count_include_pad)
{
    return pool(x, window, count_include_pad ? POOL_AVERAGE_WITH_PAD : POOL_AVERAGE);
}

struct ref_tensor ref_global_average_pool(const struct ref_tensor *x)
{
    return ref_reduce_mean(x, (const int64_t[]){2, 3}, 2, true);
}

struct ref_tensor ref_reduce_mean(const struct ref_tensor *x, const int64_t *axes, size_t axis_count, bool keep)
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
    size_t count = ref_count(x);
    for (size_t flat = 0; flat < count; flat++) {
        size_t rest = flat, target = 0, stride = 1;
        for (size_t i = x->rank; i-- > 0;) {
            size_t index = rest % (size_t)x->dims[i];
            rest /= (size_t)x->dims[i];
            target += reduced[i] ? 0 : index * stride;
            stride *= (size_t)dims[i];
        }
        y.data[target] += x->data[flat];
    }
    size_t each = count / ref_count(&y);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] /= (double)each;
    y.rank = kept_rank;
    for (size_t i = 0; i < kept_rank; i++)
        y.dims[i] = kept[i];
    return y;
}
