// MaxPool and AveragePool: XNNPACK where its conditions hold (see xnn.h), plain loops for the rest (1x1 windows,
// windows that hang over the end, dilation, padding counted in the average), and the way back.
//
// MaxPool's gradient goes to the first largest element of each window, in row-major order, as PyTorch sends it.
#include "kernel_list.h"

#include "parallel.h"
#include "window.h"
#include "xnn_step.h"

#include <string.h>

struct pool {
    struct lorac_conv_shape shape;
    bool count_pads;
    bool on_xnn;
};

// ---- windows

// The taps of one output position along one axis that lie inside the input: [first, end) in units of taps.
struct taps {
    size_t first, end;
};

static struct taps taps_inside(size_t out, size_t kernel, size_t stride, size_t dilation, size_t pad, size_t in)
{
    size_t start = out * stride; // of the window, in padded coordinates
    struct taps taps = {0, 0};
    if (start < pad)
        taps.first = (pad - start + dilation - 1) / dilation;
    if (start < in + pad)
        taps.end = (in + pad - start - 1) / dilation + 1;
    if (taps.end > kernel)
        taps.end = kernel;
    if (taps.first > taps.end)
        taps.first = taps.end;
    return taps;
}

static struct taps row_taps(const struct lorac_conv_shape *s, size_t oh)
{
    return taps_inside(oh, s->kh, s->stride_h, s->dilation_h, s->pad_top, s->H);
}

static struct taps column_taps(const struct lorac_conv_shape *s, size_t ow)
{
    return taps_inside(ow, s->kw, s->stride_w, s->dilation_w, s->pad_left, s->W);
}

// The input pixel under a tap that lies inside.
static size_t pixel_at(const struct lorac_conv_shape *s, size_t n, size_t oh, size_t ow, size_t i, size_t j)
{
    size_t h = oh * s->stride_h + i * s->dilation_h - s->pad_top;
    size_t w = ow * s->stride_w + j * s->dilation_w - s->pad_left;
    return ((n * s->H + h) * s->W + w) * s->C;
}

// What an average divides by: taps inside the image, or inside the image with its pads.
static size_t divisor(const struct pool *pool, size_t oh, size_t ow)
{
    const struct lorac_conv_shape *s = &pool->shape;
    struct taps rows = row_taps(s, oh), columns = column_taps(s, ow);
    if (pool->count_pads) {
        rows = taps_inside(oh, s->kh, s->stride_h, s->dilation_h, 0, s->pad_top + s->H + s->pad_bottom);
        columns = taps_inside(ow, s->kw, s->stride_w, s->dilation_w, 0, s->pad_left + s->W + s->pad_right);
    }
    return (rows.end - rows.first) * (columns.end - columns.first);
}

// ---- lowering

// A window that starts inside the image holds its first tap at least, so only those at the edges can be empty: the ones
// that start in the padding before the image, and the last.
static bool axis_has_empty_window(size_t out, size_t kernel, size_t stride, size_t dilation, size_t pad, size_t in)
{
    for (size_t o = 0; o < out && o * stride < pad; o++) {
        struct taps taps = taps_inside(o, kernel, stride, dilation, pad, in);
        if (taps.first == taps.end)
            return true;
    }
    return (out - 1) * stride >= in + pad;
}

static enum lorac_status refuse_empty_windows(const Onnx__NodeProto *node, const struct lorac_conv_shape *s,
                                              struct lorac_error *error)
{
    if (axis_has_empty_window(s->OH, s->kh, s->stride_h, s->dilation_h, s->pad_top, s->H) ||
        axis_has_empty_window(s->OW, s->kw, s->stride_w, s->dilation_w, s->pad_left, s->W))
        return lorac_refuse(node, error, "one of its windows lies in the padding altogether");
    return LORAC_OK;
}

static enum lorac_status lower_pool(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct pool **out, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_image_input(lowering, node, 0, &x, error));
    struct pool *pool = lorac_lowering_config(lowering, step, sizeof(*pool));
    if (!pool)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    const struct lorac_window window = {.rank = 2, .ceil_mode = lorac_node_int(node, "ceil_mode", 0) != 0};
    LORAC_TRY(lorac_window_read(lowering, node, &value, &window, &pool->shape, error));
    pool->shape.M = pool->shape.C;
    pool->shape.G = pool->shape.C;
    LORAC_TRY(refuse_empty_windows(node, &pool->shape, error));
    *out = pool;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, value.n, pool->shape.OH, pool->shape.OW, value.c,
                                 &lorac_view_image, error);
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct pool *pool = step->config;
    const struct lorac_conv_shape *s = &pool->shape;
    return pool->on_xnn ? lorac_xnn_indirection_bytes(s->OH * s->OW, s->kh * s->kw) : 0;
}

// Runs [body] for each image.
struct job {
    const struct lorac_step *step;
    const struct pool *pool;
};

static void for_images(struct lorac_step *step, const struct lorac_kernel_env *env,
                       void (*body)(void *context, size_t n))
{
    const struct pool *pool = step->config;
    struct job job = {step, pool};
    lorac_parallel_for(env->pool, body, &job, pool->shape.N);
}

static void zero_input_gradient(const struct job *job, size_t n)
{
    const struct lorac_conv_shape *s = &job->pool->shape;
    memset(job->step->dx[0] + n * s->H * s->W * s->C, 0, s->H * s->W * s->C * sizeof(float));
}

// ---- MaxPool

static enum lorac_status lower_max(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    if (lorac_lowering_is_read(lowering, node, 1))
        return lorac_refuse(node, error, "something reads its second output (indices), which is not supported");
    struct pool *pool;
    LORAC_TRY(lower_pool(lowering, node, step, &pool, error));
    pool->on_xnn = lorac_xnn_can_max_pool(&pool->shape);
    step->keeps_inputs = step->keeps_output = true;
    return LORAC_OK;
}

static enum lorac_status create_max(struct lorac_step *step, const struct lorac_kernel_env *env,
                                    struct lorac_error *error)
{
    const struct pool *pool = step->config;
    struct lorac_xnn *op = NULL;
    if (pool->on_xnn)
        LORAC_TRY(lorac_xnn_max_pool(&pool->shape, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

static void max_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = &job->pool->shape;
    const float *x = job->step->x[0];
    for (size_t oh = 0; oh < s->OH; oh++)
        for (size_t ow = 0; ow < s->OW; ow++) {
            float *y = job->step->y + ((n * s->OH + oh) * s->OW + ow) * s->C;
            struct taps rows = row_taps(s, oh), columns = column_taps(s, ow);
            memcpy(y, x + pixel_at(s, n, oh, ow, rows.first, columns.first), s->C * sizeof(float));
            for (size_t i = rows.first; i < rows.end; i++)
                for (size_t j = columns.first; j < columns.end; j++) {
                    const float *from = x + pixel_at(s, n, oh, ow, i, j);
                    for (size_t c = 0; c < s->C; c++)
                        y[c] = from[c] > y[c] ? from[c] : y[c];
                }
        }
}

static void forward_max(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->state)
        lorac_xnn_run(step->state, env->pool);
    else
        for_images(step, env, max_image);
}

// One output pixel: each channel looks for the first tap that holds the maximum.
static void send_to_first_largest(const struct job *job, size_t n, size_t oh, size_t ow)
{
    const struct lorac_conv_shape *s = &job->pool->shape;
    const struct lorac_step *step = job->step;
    size_t out = ((n * s->OH + oh) * s->OW + ow) * s->C;
    struct taps rows = row_taps(s, oh), columns = column_taps(s, ow);
    size_t width = columns.end - columns.first, count = (rows.end - rows.first) * width;
    for (size_t c = 0; c < s->C; c++)
        for (size_t t = 0; t < count; t++) {
            size_t at = pixel_at(s, n, oh, ow, rows.first + t / width, columns.first + t % width) + c;
            if (step->x[0][at] == step->y[out + c]) {
                step->dx[0][at] += step->dy[out + c];
                break;
            }
        }
}

static void max_image_backward(void *context, size_t n)
{
    const struct job *job = context;
    zero_input_gradient(job, n);
    for (size_t oh = 0; oh < job->pool->shape.OH; oh++)
        for (size_t ow = 0; ow < job->pool->shape.OW; ow++)
            send_to_first_largest(job, n, oh, ow);
}

static void backward_max(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        for_images(step, env, max_image_backward);
}

const struct lorac_kernel lorac_kernel_max_pool = {
    .op_type = "MaxPool",
    .lower = lower_max,
    .create = create_max,
    .forward = forward_max,
    .backward = backward_max,
    .packed_bytes = packed_bytes,
    .destroy = lorac_xnn_step_destroy,
};

// ---- AveragePool

static enum lorac_status lower_average(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    struct pool *pool;
    LORAC_TRY(lower_pool(lowering, node, step, &pool, error));
    const struct lorac_conv_shape *s = &pool->shape;
    bool padded = s->pad_top + s->pad_bottom + s->pad_left + s->pad_right > 0;
    pool->count_pads = lorac_node_int(node, "count_include_pad", 0) != 0;
    pool->on_xnn = lorac_xnn_can_average_pool(s) && !(pool->count_pads && padded);
    return LORAC_OK;
}

static enum lorac_status create_average(struct lorac_step *step, const struct lorac_kernel_env *env,
                                        struct lorac_error *error)
{
    const struct pool *pool = step->config;
    struct lorac_xnn *op = NULL;
    if (pool->on_xnn)
        LORAC_TRY(lorac_xnn_average_pool(&pool->shape, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

static void average_image(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = &job->pool->shape;
    for (size_t oh = 0; oh < s->OH; oh++)
        for (size_t ow = 0; ow < s->OW; ow++) {
            float *y = job->step->y + ((n * s->OH + oh) * s->OW + ow) * s->C;
            struct taps rows = row_taps(s, oh), columns = column_taps(s, ow);
            float factor = 1.0f / (float)divisor(job->pool, oh, ow);
            memset(y, 0, s->C * sizeof(float));
            for (size_t i = rows.first; i < rows.end; i++)
                for (size_t j = columns.first; j < columns.end; j++) {
                    const float *from = job->step->x[0] + pixel_at(s, n, oh, ow, i, j);
                    for (size_t c = 0; c < s->C; c++)
                        y[c] += from[c];
                }
            for (size_t c = 0; c < s->C; c++)
                y[c] *= factor;
        }
}

static void forward_average(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->state)
        lorac_xnn_run(step->state, env->pool);
    else
        for_images(step, env, average_image);
}

static void average_image_backward(void *context, size_t n)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = &job->pool->shape;
    zero_input_gradient(job, n);
    for (size_t oh = 0; oh < s->OH; oh++)
        for (size_t ow = 0; ow < s->OW; ow++) {
            const float *dy = job->step->dy + ((n * s->OH + oh) * s->OW + ow) * s->C;
            struct taps rows = row_taps(s, oh), columns = column_taps(s, ow);
            float factor = 1.0f / (float)divisor(job->pool, oh, ow);
            for (size_t i = rows.first; i < rows.end; i++)
                for (size_t j = columns.first; j < columns.end; j++) {
                    float *to = job->step->dx[0] + pixel_at(s, n, oh, ow, i, j);
                    for (size_t c = 0; c < s->C; c++)
                        to[c] += dy[c] * factor;
                }
        }
}

static void backward_average(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        for_images(step, env, average_image_backward);
}

const struct lorac_kernel lorac_kernel_average_pool = {
    .op_type = "AveragePool",
    .lower = lower_average,
    .create = create_average,
    .forward = forward_average,
    .backward = backward_average,
    .packed_bytes = packed_bytes,
    .destroy = lorac_xnn_step_destroy,
};
