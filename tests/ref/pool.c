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
