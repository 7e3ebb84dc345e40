// Resize and Upsample to the nearest element (pick.h) or linearly (resample.h), one axis after the other.
//
// Coordinates are computed in float, in the order in which ONNX writes them, so that the nearest element is the one
// that other engines take.
#include "resize.h"

#include "kernel_list.h"

#include "axes.h"
#include "pick.h"
#include "proto/constant.h"
#include "resample.h"

#include <math.h>
#include <string.h>

// ---- coordinates

float lorac_resize_coordinate(const struct lorac_resize_axis *axis, int64_t i)
{
    float at = (float)i, in = (float)axis->in, out = (float)axis->out, scale = axis->scale;
    switch (axis->transform) {
    case LORAC_RESIZE_HALF_PIXEL:
        return (at + 0.5f) / scale - 0.5f;
    case LORAC_RESIZE_PYTORCH_HALF_PIXEL:
        return axis->out > 1 ? (at + 0.5f) / scale - 0.5f : 0.0f;
    case LORAC_RESIZE_HALF_PIXEL_NEAREST:
        return (at + 0.5f) / scale;
    case LORAC_RESIZE_HALF_PIXEL_SYMMETRIC: {
        float adjusted = out / (scale * in);
        return in / 2.0f * (1.0f - adjusted) + (at + 0.5f) / scale - 0.5f;
    }
    case LORAC_RESIZE_ALIGN_CORNERS:
        return axis->out > 1 ? at * (in - 1.0f) / (out - 1.0f) : 0.0f;
    default:
        return at / scale;
    }
}

static float round_to_element(enum lorac_resize_nearest nearest, float at, bool grows)
{
    switch (nearest) {
    case LORAC_RESIZE_PREFER_FLOOR:
        return at == floorf(at) + 0.5f ? floorf(at) : roundf(at);
    case LORAC_RESIZE_PREFER_CEIL:
        return floorf(at + 0.5f);
    case LORAC_RESIZE_CEIL:
        return ceilf(at);
    case LORAC_RESIZE_OUTWARD:
        return grows ? floorf(at) : ceilf(at);
    default:
        return floorf(at);
    }
}

int64_t lorac_resize_nearest(const struct lorac_resize_axis *axis, int64_t i)
{
    float at = round_to_element(axis->nearest, lorac_resize_coordinate(axis, i), axis->scale >= 1.0f);
    return at > 0.0f ? at < (float)axis->in ? (int64_t)at : axis->in - 1 : 0;
}

// ---- reading the node

struct word {
    const char *name;
    int value;
};

static const struct word TRANSFORMS[] = {
    {"half_pixel", LORAC_RESIZE_HALF_PIXEL},
    {"asymmetric", LORAC_RESIZE_ASYMMETRIC},
    {"align_corners", LORAC_RESIZE_ALIGN_CORNERS},
    {"pytorch_half_pixel", LORAC_RESIZE_PYTORCH_HALF_PIXEL},
    {"half_pixel_symmetric", LORAC_RESIZE_HALF_PIXEL_SYMMETRIC},
    {"tf_half_pixel_for_nn", LORAC_RESIZE_HALF_PIXEL_NEAREST},
    {NULL, 0},
};
static const struct word NEAREST[] = {
    {"round_prefer_floor", LORAC_RESIZE_PREFER_FLOOR},
    {"round_prefer_ceil", LORAC_RESIZE_PREFER_CEIL},
    {"floor", LORAC_RESIZE_FLOOR},
    {"ceil", LORAC_RESIZE_CEIL},
    {NULL, 0},
};
// Upsample calls it linear in operator set 9 and bilinear before.
static const struct word MODES[] = {{"nearest", 0}, {"linear", 1}, {"bilinear", 1}, {NULL, 0}};

static enum lorac_status read_word(struct lorac_lowering *lowering, const Onnx__NodeProto *node, const char *attribute,
                                   const struct word *words, int *value, struct lorac_error *error)
{
    const char *given = lorac_node_string(lorac_lowering_program(lowering)->model, node, attribute, words[0].name);
    for (size_t i = 0; words[i].name; i++)
        if (strcmp(given, words[i].name) == 0) {
            *value = words[i].value;
            return LORAC_OK;
        }
    return lorac_refuse(node, error, "%s '%s' is not supported", attribute, given);
}

struct resize {
    uint32_t x;
    struct lorac_view view;
    struct lorac_value value;
    size_t count, places[LORAC_VIEW_MAX_RANK];       // the dimensions that scales or sizes speak of
    struct lorac_resize_axis axes[LORAC_AXIS_COUNT]; // by axis of memory; in = 0: not resized
    int transform, nearest, linear;
};

static enum lorac_status refuse_variants(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                         struct lorac_error *error)
{
    const char *policy =
        lorac_node_string(lorac_lowering_program(lowering)->model, node, "keep_aspect_ratio_policy", "stretch");
    if (lorac_node_int(node, "antialias", 0) != 0)
        return lorac_refuse(node, error, "antialias = 1 is not supported");
    if (strcmp(policy, "stretch") != 0)
        return lorac_refuse(node, error, "keep_aspect_ratio_policy '%s' is not supported; stretch is", policy);
    return LORAC_OK;
}

// Before operator set 11 coordinates are asymmetric.
static enum lorac_status read_modes(struct lorac_lowering *lowering, const Onnx__NodeProto *node, bool old,
                                    struct resize *resize, struct lorac_error *error)
{
    LORAC_TRY(refuse_variants(lowering, node, error));
    LORAC_TRY(read_word(lowering, node, "mode", MODES, &resize->linear, error));
    resize->transform = LORAC_RESIZE_ASYMMETRIC;
    resize->nearest = LORAC_RESIZE_OUTWARD;
    if (old)
        return LORAC_OK;
    LORAC_TRY(read_word(lowering, node, "coordinate_transformation_mode", TRANSFORMS, &resize->transform, error));
    return read_word(lowering, node, "nearest_mode", NEAREST, &resize->nearest, error);
}

static enum lorac_status read_places(const Onnx__NodeProto *node, struct resize *resize, struct lorac_error *error)
{
    struct lorac_int_list axes;
    bool marked[LORAC_VIEW_MAX_RANK] = {false};
    if (!lorac_int_list_read(node, "axes", NULL, &axes))
        return lorac_refuse(node, error, "it names %zu axes", axes.count);
    LORAC_TRY(lorac_axes_mark(node, &axes, resize->view.rank, marked, error));
    resize->count = axes.given ? axes.count : resize->view.rank;
    for (size_t i = 0; i < resize->count; i++)
        LORAC_TRY(lorac_axes_place(node, axes.given ? axes.values[i] : (int64_t)i, resize->view.rank,
                                   &resize->places[i], error));
    return LORAC_OK;
}

// Dimension [place] of [in] elements gets [out], at [scale].
static enum lorac_status add_axis(const Onnx__NodeProto *node, struct resize *resize, size_t place, int64_t out,
                                  double scale, struct lorac_error *error)
{
    enum lorac_axis axis = LORAC_AXIS_ONE;
    int64_t in = (int64_t)lorac_view_size(&resize->value, resize->view.axes[place]);
    if (out == in && scale == 1.0)
        return LORAC_OK;
    LORAC_TRY(lorac_axes_memory(node, &resize->view, place, "resizes", &axis, error));
    if (out < 1 || out > LORAC_PICK_MAX_SIZE || in > LORAC_PICK_MAX_SIZE)
        return lorac_refuse(node, error, "it resizes a dimension of %lld to %lld; 1 to %d is supported", (long long)in,
                            (long long)out, LORAC_PICK_MAX_SIZE);
    // Engines differ in whether these count the elements that are there or those that the scale gives.
    bool counts = resize->transform == LORAC_RESIZE_ALIGN_CORNERS ||
                  (resize->transform == LORAC_RESIZE_PYTORCH_HALF_PIXEL && out == 1);
    if (counts && fabs((double)in * scale - (double)out) > 1e-3)
        return lorac_refuse(node, error,
                            "it scales %lld elements by %g with align_corners or pytorch_half_pixel, which is not a "
                            "whole number of elements",
                            (long long)in, scale);
    resize->axes[axis] =
        (struct lorac_resize_axis){in, out, (float)scale, (enum lorac_resize_transform)resize->transform,
                                   (enum lorac_resize_nearest)resize->nearest};
    return LORAC_OK;
}

static enum lorac_status apply_scales(const Onnx__NodeProto *node, struct resize *resize, const double *scales,
                                      size_t count, struct lorac_error *error)
{
    if (count != resize->count)
        return lorac_refuse(node, error, "it has %zu scales for %zu dimensions", count, resize->count);
    for (size_t i = 0; i < count; i++) {
        double in = (double)lorac_view_size(&resize->value, resize->view.axes[resize->places[i]]);
        if (!(scales[i] > 0.0 && in * scales[i] <= (double)LORAC_PICK_MAX_SIZE))
            return lorac_refuse(node, error, "it scales a dimension of %.0f by %g, to more than %d or to nothing", in,
                                scales[i], LORAC_PICK_MAX_SIZE);
        // In float, as shape inference does it.
        LORAC_TRY(add_axis(node, resize, resize->places[i], (int64_t)((float)in * (float)scales[i]), scales[i], error));
    }
    return LORAC_OK;
}

static enum lorac_status apply_sizes(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct resize *resize, const struct lorac_constant *sizes,
                                     struct lorac_error *error)
{
    if (sizes->floating || sizes->count != resize->count)
        return lorac_refuse(node, error, "it has %zu sizes for %zu dimensions", sizes->count, resize->count);
    for (size_t i = 0; i < resize->count; i++) {
        enum lorac_axis axis = resize->view.axes[resize->places[i]];
        int64_t out = lorac_constant_int(sizes, i), in = (int64_t)lorac_view_size(&resize->value, axis);
        if (axis == LORAC_AXIS_N)
            out = lorac_lowering_batch_now(lowering, node, 3, out);
        LORAC_TRY(add_axis(node, resize, resize->places[i], out, (double)out / (double)in, error));
    }
    return LORAC_OK;
}

static enum lorac_status apply_scales_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                            struct resize *resize, struct lorac_error *error)
{
    const struct lorac_constant *scales;
    LORAC_TRY(lorac_lowering_constant(lowering, node, i, &scales, error));
    if (!scales->floating)
        return lorac_refuse(node, error, "its scales are not floats");
    return apply_scales(node, resize, scales->floats, scales->count, error);
}

// ---- lowering

static enum lorac_status lower_nearest(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, const struct resize *resize, struct lorac_error *error)
{
    struct lorac_pick pick = lorac_pick_all(&resize->value);
    for (size_t axis = 0; axis < LORAC_AXIS_COUNT; axis++)
        if (resize->axes[axis].in) {
            pick.axes[axis].kind = LORAC_PICK_NEAREST;
            pick.axes[axis].out = resize->axes[axis].out;
            pick.axes[axis].resize = resize->axes[axis];
        }
    return lorac_pick_lower(lowering, node, 0, step, resize->x, &pick, &resize->view, error);
}

static enum lorac_status lower_linear(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, const struct resize *resize, struct lorac_error *error)
{
    static const enum lorac_axis ORDER[] = {LORAC_AXIS_H, LORAC_AXIS_W, LORAC_AXIS_C};
    enum lorac_axis wanted[3];
    size_t count = 0;
    uint32_t x = resize->x;
    for (size_t i = 0; i < 3; i++)
        if (resize->axes[ORDER[i]].in)
            wanted[count++] = ORDER[i];
    if (count == 0)
        return lorac_lowering_alias(lowering, node, step, x, &resize->view, error);
    for (size_t i = 0; i + 1 < count; i++) {
        struct lorac_step hidden = lorac_lowering_step(&lorac_kernel_resample, node);
        struct lorac_value sizes;
        LORAC_TRY(lorac_resample_lower(lowering, &hidden, x, wanted[i], &resize->axes[wanted[i]], &sizes, error));
        LORAC_TRY(lorac_lowering_hidden(lowering, node, &hidden, sizes.n, sizes.h, sizes.w, sizes.c, error));
        LORAC_TRY(lorac_lowering_emit(lowering, &hidden, error));
        x = hidden.output;
    }
    struct lorac_value sizes;
    step->kernel = &lorac_kernel_resample;
    LORAC_TRY(
        lorac_resample_lower(lowering, step, x, wanted[count - 1], &resize->axes[wanted[count - 1]], &sizes, error));
    return lorac_lowering_output(lowering, node, step, sizes.n, sizes.h, sizes.w, sizes.c, &resize->view, error);
}

static enum lorac_status begin(struct lorac_lowering *lowering, const Onnx__NodeProto *node, bool old,
                               struct resize *resize, struct lorac_error *error)
{
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &resize->x, error));
    resize->view = lorac_lowering_view(lowering, node, 0);
    resize->value = lorac_lowering_program(lowering)->values[resize->x];
    LORAC_TRY(read_modes(lowering, node, old, resize, error));
    return read_places(node, resize, error);
}

static enum lorac_status finish(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                const struct resize *resize, struct lorac_error *error)
{
    return resize->linear ? lower_linear(lowering, node, step, resize, error)
                          : lower_nearest(lowering, node, step, resize, error);
}

// Since operator set 11 the inputs are x, roi (not used but for cropping), scales, sizes; before x, scales. An empty
// list counts as absent.
static enum lorac_status lower_resize(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, struct lorac_error *error)
{
    struct resize resize = {0};
    bool old = lorac_model_opset(lorac_lowering_program(lowering)->model) < 11;
    const struct lorac_constant *sizes = NULL;
    LORAC_TRY(begin(lowering, node, old, &resize, error));
    if (!old && !lorac_lowering_absent(node, 3))
        LORAC_TRY(lorac_lowering_constant(lowering, node, 3, &sizes, error));
    if (sizes && sizes->count > 0)
        LORAC_TRY(apply_sizes(lowering, node, &resize, sizes, error));
    else
        LORAC_TRY(apply_scales_input(lowering, node, old ? 1 : 2, &resize, error));
    return finish(lowering, node, step, &resize, error);
}

// Scales are an attribute in operator sets 7 and 8, an input in 9.
static enum lorac_status lower_upsample(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    struct resize resize = {0};
    double scales[LORAC_VIEW_MAX_RANK];
    if (lorac_model_opset(lorac_lowering_program(lowering)->model) > 9)
        return lorac_refuse(node, error, "Upsample ended with operator set 9; Resize follows it");
    LORAC_TRY(begin(lowering, node, true, &resize, error));
    if (!lorac_lowering_absent(node, 1)) {
        LORAC_TRY(apply_scales_input(lowering, node, 1, &resize, error));
        return finish(lowering, node, step, &resize, error);
    }
    const Onnx__AttributeProto *given = lorac_node_attribute(node, "scales");
    size_t count = given ? given->n_floats : 0;
    for (size_t i = 0; i < count && i < LORAC_VIEW_MAX_RANK; i++)
        scales[i] = (double)given->floats[i];
    LORAC_TRY(apply_scales(node, &resize, scales, count, error));
    return finish(lowering, node, step, &resize, error);
}

const struct lorac_kernel lorac_kernel_resize = {.op_type = "Resize", .lower = lower_resize};
const struct lorac_kernel lorac_kernel_upsample = {.op_type = "Upsample", .lower = lower_upsample};
