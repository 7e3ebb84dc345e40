#include "window.h"

#include <string.h>

// One axis of the window.
struct axis {
    size_t in, kernel, stride, dilation, pad_begin, pad_end, out;
};

// [rank] values, for the last axes of [out]; the others keep what they have.
static enum lorac_status read_axes(const Onnx__NodeProto *node, const char *name, size_t rank, size_t out[2],
                                   struct lorac_error *error)
{
    const int64_t *values;
    size_t count = lorac_node_ints(node, name, &values);
    if (count != 0 && count != rank)
        return lorac_refuse(node, error, "%s has %zu values; it needs %zu here", name, count, rank);
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 1 || values[i] > 65535)
            return lorac_refuse(node, error, "%s is %lld; it must be 1 to 65535", name, (long long)values[i]);
        out[2 - rank + i] = (size_t)values[i];
    }
    return LORAC_OK;
}

static enum lorac_status read_pads(const Onnx__NodeProto *node, size_t rank, struct axis axes[2],
                                   struct lorac_error *error)
{
    const int64_t *values;
    size_t count = lorac_node_ints(node, "pads", &values);
    if (count != 0 && count != 2 * rank)
        return lorac_refuse(node, error, "pads has %zu values; it needs %zu here", count, 2 * rank);
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0 || values[i] > 65535)
            return lorac_refuse(node, error, "a pad is %lld; it must be 0 to 65535", (long long)values[i]);
        struct axis *axis = &axes[2 - rank + i % rank];
        *(i < rank ? &axis->pad_begin : &axis->pad_end) = (size_t)values[i];
    }
    return LORAC_OK;
}

static size_t reach(const struct axis *axis)
{
    return (axis->kernel - 1) * axis->dilation + 1;
}

// auto_pad SAME: the output is ceil(in / stride); an odd pad goes to the end (UPPER) or to the beginning (LOWER).
static void pad_same(struct axis *axis, bool upper)
{
    size_t out = (axis->in + axis->stride - 1) / axis->stride;
    size_t needed = (out - 1) * axis->stride + reach(axis);
    size_t total = needed > axis->in ? needed - axis->in : 0;
    axis->pad_begin = upper ? total / 2 : total - total / 2;
    axis->pad_end = total - axis->pad_begin;
}

static enum lorac_status apply_auto_pad(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t rank,
                                        struct axis axes[2], struct lorac_error *error)
{
    struct lorac_model *model = lorac_lowering_program(lowering)->model;
    const char *mode = lorac_node_string(model, node, "auto_pad", "NOTSET");
    if (strcmp(mode, "NOTSET") == 0 || mode[0] == '\0')
        return read_pads(node, rank, axes, error);
    if (strcmp(mode, "VALID") == 0)
        return LORAC_OK;
    if (strcmp(mode, "SAME_UPPER") != 0 && strcmp(mode, "SAME_LOWER") != 0)
        return lorac_refuse(node, error, "auto_pad is '%s'; NOTSET, VALID, SAME_UPPER and SAME_LOWER are known", mode);
    for (size_t i = 0; i < 2; i++)
        pad_same(&axes[i], strcmp(mode, "SAME_UPPER") == 0);
    return LORAC_OK;
}

static enum lorac_status size_output(const Onnx__NodeProto *node, struct axis *axis, bool ceil_mode,
                                     struct lorac_error *error)
{
    size_t padded = axis->in + axis->pad_begin + axis->pad_end;
    if (padded < reach(axis))
        return lorac_refuse(node, error, "a window of %zu does not fit an input of %zu with its pads", reach(axis),
                            padded);
    size_t spare = padded - reach(axis);
    axis->out = spare / axis->stride + 1;
    // ceil_mode adds a window that hangs over the end, unless it would start in the padding behind the image.
    if (ceil_mode && spare % axis->stride != 0 && axis->out * axis->stride < axis->in + axis->pad_begin)
        axis->out++;
    return LORAC_OK;
}

enum lorac_status lorac_window_read(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    const struct lorac_value *input, const struct lorac_window *window,
                                    struct lorac_conv_shape *shape, struct lorac_error *error)
{
    const size_t kh = window->kh, kw = window->kw;
    size_t kernel[2] = {window->rank == 1, 0}, stride[2] = {1, 1}, dilation[2] = {1, 1};
    LORAC_TRY(read_axes(node, "kernel_shape", window->rank, kernel, error));
    LORAC_TRY(read_axes(node, "strides", window->rank, stride, error));
    LORAC_TRY(read_axes(node, "dilations", window->rank, dilation, error));
    if (kw && kernel[1] && (kernel[0] != kh || kernel[1] != kw))
        return lorac_refuse(node, error, "kernel_shape is %zu x %zu, but its weight is %zu x %zu", kernel[0], kernel[1],
                            kh, kw);
    if (!kw && !kernel[1])
        return lorac_refuse(node, error, "kernel_shape is missing");
    struct axis axes[2] = {{.in = input->h, .kernel = kh ? kh : kernel[0]},
                           {.in = input->w, .kernel = kw ? kw : kernel[1]}};
    for (size_t i = 0; i < 2; i++) {
        axes[i].stride = stride[i];
        axes[i].dilation = dilation[i];
    }
    LORAC_TRY(apply_auto_pad(lowering, node, window->rank, axes, error));
    for (size_t i = 0; i < 2; i++)
        LORAC_TRY(size_output(node, &axes[i], window->ceil_mode, error));
    *shape = (struct lorac_conv_shape){.N = input->n,
                                       .H = input->h,
                                       .W = input->w,
                                       .C = input->c,
                                       .OH = axes[0].out,
                                       .OW = axes[1].out,
                                       .kh = axes[0].kernel,
                                       .kw = axes[1].kernel,
                                       .stride_h = stride[0],
                                       .stride_w = stride[1],
                                       .dilation_h = dilation[0],
                                       .dilation_w = dilation[1],
                                       .pad_top = axes[0].pad_begin,
                                       .pad_bottom = axes[0].pad_end,
                                       .pad_left = axes[1].pad_begin,
                                       .pad_right = axes[1].pad_end};
    return LORAC_OK;
}
