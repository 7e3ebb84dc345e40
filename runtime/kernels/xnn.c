// Written for the interface of Debian 12's XNNPACK (2022-02): create packs the weights, setup binds the memory, run
// runs.
#include "xnn.h"

#include <assert.h>
#include <math.h>
#include <xnnpack.h>

// lorac_xnn is XNNPACK's operator itself under our name: nothing has to be kept beside it.
static struct lorac_xnn *wrap(xnn_operator_t op)
{
    return (struct lorac_xnn *)op;
}

static xnn_operator_t unwrap(struct lorac_xnn *op)
{
    return (xnn_operator_t)op;
}

static enum lorac_status translate(enum xnn_status status, const char *what, struct lorac_error *error)
{
    switch (status) {
    case xnn_status_success:
        return LORAC_OK;
    case xnn_status_out_of_memory:
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while making XNNPACK's %s", what);
    case xnn_status_unsupported_hardware:
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "XNNPACK does not run %s on this processor", what);
    default:
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "XNNPACK refused a %s (status %d)", what, (int)status);
    }
}

// Hands out the operator where setup went well, deletes it else.
static enum lorac_status finish(enum xnn_status status, xnn_operator_t op, const char *what, struct lorac_xnn **out,
                                struct lorac_error *error)
{
    if (status != xnn_status_success) {
        if (op)
            xnn_delete_operator(op);
        return translate(status, what, error);
    }
    *out = wrap(op);
    return LORAC_OK;
}

enum lorac_status lorac_xnn_initialize(struct lorac_error *error)
{
    return translate(xnn_initialize(NULL), "operators", error);
}

void lorac_xnn_destroy(struct lorac_xnn *op)
{
    if (op)
        xnn_delete_operator(unwrap(op));
}

void lorac_xnn_run(struct lorac_xnn *op, struct pthreadpool *pool)
{
    enum xnn_status status = xnn_run_operator(unwrap(op), pool);
    assert(status == xnn_status_success);
    (void)status;
}

enum lorac_status lorac_xnn_conv(const struct lorac_conv_shape *s, const float *weight,
                                 const struct lorac_conv_finish *after, const float *x, float *y,
                                 struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_convolution2d_nhwc_f32(
        (uint32_t)s->pad_top, (uint32_t)s->pad_right, (uint32_t)s->pad_bottom, (uint32_t)s->pad_left, (uint32_t)s->kh,
        (uint32_t)s->kw, (uint32_t)s->stride_h, (uint32_t)s->stride_w, (uint32_t)s->dilation_h, (uint32_t)s->dilation_w,
        (uint32_t)s->G, s->C / s->G, s->M / s->G, s->C, s->M, weight, after->bias, after->low, after->high, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_convolution2d_nhwc_f32(op, s->N, s->H, s->W, x, y, pool);
    return finish(status, op, "convolution", out, error);
}

enum lorac_status lorac_xnn_conv_input_gradient(const struct lorac_conv_shape *s, const float *weight, const float *dy,
                                                float *dx, struct pthreadpool *pool, struct lorac_xnn **out,
                                                struct lorac_error *error)
{
    // What the convolution's stride left over at the end of each axis: deconvolution must be told to fill it.
    size_t adjustment_h = (s->H + s->pad_top + s->pad_bottom - ((s->kh - 1) * s->dilation_h + 1)) % s->stride_h;
    size_t adjustment_w = (s->W + s->pad_left + s->pad_right - ((s->kw - 1) * s->dilation_w + 1)) % s->stride_w;
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_deconvolution2d_nhwc_f32(
        (uint32_t)s->pad_top, (uint32_t)s->pad_right, (uint32_t)s->pad_bottom, (uint32_t)s->pad_left, (uint32_t)s->kh,
        (uint32_t)s->kw, (uint32_t)s->stride_h, (uint32_t)s->stride_w, (uint32_t)s->dilation_h, (uint32_t)s->dilation_w,
        (uint32_t)s->G, s->M / s->G, s->C / s->G, s->M, s->C, weight, NULL, -INFINITY, INFINITY, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_deconvolution2d_nhwc_f32(op, s->N, s->OH, s->OW, (uint32_t)adjustment_h,
                                                    (uint32_t)adjustment_w, dy, dx, pool);
    return finish(status, op, "deconvolution", out, error);
}

enum lorac_status lorac_xnn_fully_connected(size_t rows, size_t inputs, size_t outputs, const float *weight,
                                            bool transposed, const float *bias, const float *x, float *y,
                                            struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status =
        xnn_create_fully_connected_nc_f32(inputs, outputs, inputs, outputs, weight, bias, -INFINITY, INFINITY,
                                          transposed ? XNN_FLAG_TRANSPOSE_WEIGHTS : 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_fully_connected_nc_f32(op, rows, x, y, pool);
    return finish(status, op, "fully connected layer", out, error);
}

enum lorac_status lorac_xnn_add(size_t count, float low, float high, const float *a, const float *b, float *y,
                                struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_add_nd_f32(low, high, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_add_nd_f32(op, 1, &count, 1, &count, a, b, y, pool);
    return finish(status, op, "addition", out, error);
}

static bool pads_inside(const struct lorac_conv_shape *s)
{
    return s->pad_top < s->kh && s->pad_bottom < s->kh && s->pad_left < s->kw && s->pad_right < s->kw;
}

bool lorac_xnn_can_max_pool(const struct lorac_conv_shape *s)
{
    size_t reach_h = (s->kh - 1) * s->dilation_h + 1, reach_w = (s->kw - 1) * s->dilation_w + 1;
    // The last window must start inside the image, or XNNPACK would have nothing to take the maximum of; its formula
    // for the output size must be ours (no ceil_mode left-overs).
    // XNNPACK keeps a pointer per output and tap: a window larger than the image would make that larger than the image.
    return s->kh * s->kw > 1 && s->kh <= s->H && s->kw <= s->W && s->stride_h <= s->kh && s->stride_w <= s->kw &&
           pads_inside(s) && (s->H + s->pad_top + s->pad_bottom - reach_h) / s->stride_h + 1 == s->OH &&
           (s->W + s->pad_left + s->pad_right - reach_w) / s->stride_w + 1 == s->OW && s->dilation_h == 1 &&
           s->dilation_w == 1;
}

enum lorac_status lorac_xnn_max_pool(const struct lorac_conv_shape *s, const float *x, float *y,
                                     struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_max_pooling2d_nhwc_f32(
        (uint32_t)s->pad_top, (uint32_t)s->pad_right, (uint32_t)s->pad_bottom, (uint32_t)s->pad_left, (uint32_t)s->kh,
        (uint32_t)s->kw, (uint32_t)s->stride_h, (uint32_t)s->stride_w, 1, 1, s->C, s->C, s->C, -INFINITY, INFINITY, 0,
        &op);
    if (status == xnn_status_success)
        status = xnn_setup_max_pooling2d_nhwc_f32(op, s->N, s->H, s->W, x, y, pool);
    return finish(status, op, "max-pool", out, error);
}

bool lorac_xnn_can_average_pool(const struct lorac_conv_shape *s)
{
    return lorac_xnn_can_max_pool(s);
}

enum lorac_status lorac_xnn_average_pool(const struct lorac_conv_shape *s, const float *x, float *y,
                                         struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_average_pooling2d_nhwc_f32(
        (uint32_t)s->pad_top, (uint32_t)s->pad_right, (uint32_t)s->pad_bottom, (uint32_t)s->pad_left, (uint32_t)s->kh,
        (uint32_t)s->kw, (uint32_t)s->stride_h, (uint32_t)s->stride_w, s->C, s->C, s->C, -INFINITY, INFINITY, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_average_pooling2d_nhwc_f32(op, s->N, s->H, s->W, x, y, pool);
    return finish(status, op, "average-pool", out, error);
}

enum lorac_status lorac_xnn_global_average_pool(size_t N, size_t pixels, size_t C, const float *x, float *y,
                                                struct pthreadpool *pool, struct lorac_xnn **out,
                                                struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_global_average_pooling_nwc_f32(C, C, C, -INFINITY, INFINITY, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_global_average_pooling_nwc_f32(op, N, pixels, x, y, pool);
    return finish(status, op, "global average-pool", out, error);
}

enum lorac_status lorac_xnn_softmax(size_t rows, size_t C, const float *x, float *y, struct pthreadpool *pool,
                                    struct lorac_xnn **out, struct lorac_error *error)
{
    xnn_operator_t op = NULL;
    enum xnn_status status = xnn_create_softmax_nc_f32(C, C, C, 0, &op);
    if (status == xnn_status_success)
        status = xnn_setup_softmax_nc_f32(op, rows, x, y, pool);
    return finish(status, op, "softmax", out, error);
}

size_t lorac_xnn_indirection_bytes(size_t outputs, size_t taps)
{
    return outputs * taps * sizeof(void *);
}

size_t lorac_xnn_packed_bytes(size_t groups, size_t outputs, size_t inputs)
{
    enum { TILE = 16 }; // outputs are packed in tiles of 16 (AVX-512, AVX2) or 8
    size_t padded = (outputs + TILE - 1) / TILE * TILE;
    return groups * padded * (inputs + 1) * sizeof(float);
}
