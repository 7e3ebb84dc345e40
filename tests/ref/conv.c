#include "ref/ref.h"

static void resolve_one(struct ref_window *window, int axis, int64_t size, int64_t *out)
{
    int64_t stride = window->stride[axis];
    int64_t effective = (window->kernel[axis] - 1) * window->dilation[axis] + 1;
    int64_t *begin = &window->pads[axis], *end = &window->pads[axis + 2];
    if (window->auto_pad == REF_SAME_UPPER || window->auto_pad == REF_SAME_LOWER) {
        *out = (size + stride - 1) / stride;
        int64_t total = (*out - 1) * stride + effective - size;
        if (total < 0)
            total = 0;
        *begin = window->auto_pad == REF_SAME_UPPER ? total / 2 : total - total / 2;
        *end = total - *begin;
        return;
    }
    if (window->auto_pad == REF_VALID)
        *begin = *end = 0;
    int64_t room = size + *begin + *end - effective;
    ref_require(room >= 0, "the window is larger than the padded image");
    *out = room / stride + 1;
    // With ceil_mode one more window, unless it would begin behind the image (in the padding at its end).
    if (window->ceil_mode && room % stride != 0 && *out * stride < size + *begin)
        *out += 1;
}

void ref_window_resolve(struct ref_window *window, int64_t h, int64_t w, int64_t out[2])
{
    resolve_one(window, 0, h, &out[0]);
    resolve_one(window, 1, w, &out[1]);
    window->auto_pad = REF_NOTSET;
}

struct position {
    int64_t n, m, y, x; // image, output channel, row and column of the result
};

static double conv_at(const struct ref_tensor *x, const struct ref_tensor *w, const struct ref_window *window,
                      struct position at, int64_t first_channel)
{
    int64_t height = x->dims[2], width = x->dims[3];
    double sum = 0;
    for (int64_t c = 0; c < w->dims[1]; c++)
        for (int64_t i = 0; i < w->dims[2]; i++)
            for (int64_t j = 0; j < w->dims[3]; j++) {
                int64_t row = at.y * window->stride[0] - window->pads[0] + i * window->dilation[0];
                int64_t column = at.x * window->stride[1] - window->pads[1] + j * window->dilation[1];
                if (row < 0 || row >= height || column < 0 || column >= width)
                    continue;
                sum += w->data[((at.m * w->dims[1] + c) * w->dims[2] + i) * w->dims[3] + j] *
                       x->data[((at.n * x->dims[1] + first_channel + c) * height + row) * width + column];
            }
    return sum;
}

struct ref_tensor ref_conv(const struct ref_tensor *x, const struct ref_tensor *w, const struct ref_tensor *b,
                           const struct ref_window *given, int64_t group)
{
    struct ref_window window = *given;
    int64_t out[2], M = w->dims[0];
    window.kernel[0] = w->dims[2];
    window.kernel[1] = w->dims[3];
    ref_window_resolve(&window, x->dims[2], x->dims[3], out);
    ref_require(w->dims[1] * group == x->dims[1] && M % group == 0, "channels and group do not fit");

    struct ref_tensor y = ref_image(x->dims[0], M, out[0], out[1]);
    double *next = y.data;
    struct position at;
    for (at.n = 0; at.n < x->dims[0]; at.n++)
        for (at.m = 0; at.m < M; at.m++)
            for (at.y = 0; at.y < out[0]; at.y++)
                for (at.x = 0; at.x < out[1]; at.x++)
                    *next++ = (b != NULL ? b->data[at.m] : 0) +
                              conv_at(x, w, &window, at, at.m / (M / group) * w->dims[1]);
    return y;
}
