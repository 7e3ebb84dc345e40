// Pad with a constant and Slice: both say, for each position of the output, which position of the input it is, axis by
// axis: first + i*step. Outside the input stands the pad value. The way back is the same map read the other way.
#include "kernel_list.h"

#include "parallel.h"
#include "proto/constant.h"

#include <string.h>

enum { AXIS_C, AXIS_H, AXIS_W, AXES, AXIS_BATCH = AXES };

struct crop {
    size_t N;
    int64_t in[AXES], out[AXES]; // C, H, W
    int64_t first[AXES], step[AXES];
    float fill;
};

// ---- lowering

static struct crop identity_of(const struct lorac_value *value)
{
    struct crop crop = {
        .N = value->n, .in = {(int64_t)value->c, (int64_t)value->h, (int64_t)value->w}, .step = {1, 1, 1}};
    memcpy(crop.out, crop.in, sizeof crop.out);
    return crop;
}

static enum lorac_status finish(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                uint32_t x, const struct crop *crop, struct lorac_error *error)
{
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    struct crop *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *config = *crop;
    for (size_t i = 0; i < AXES; i++)
        if (crop->out[i] < 1)
            return lorac_refuse(node, error, "its output would be empty");
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output(lowering, node, step, crop->N, (size_t)crop->out[AXIS_H], (size_t)crop->out[AXIS_W],
                                 (size_t)crop->out[AXIS_C], &view, error);
}

// The list at input [i] or, where that is absent, in the attribute.
static enum lorac_status read_ints(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                   const char *attribute, struct lorac_int_list *out, struct lorac_error *error)
{
    const struct lorac_constant *constant = NULL;
    if (!lorac_lowering_absent(node, i))
        LORAC_TRY(lorac_lowering_constant(lowering, node, i, &constant, error));
    if (!lorac_int_list_read(node, attribute, constant, out))
        return lorac_refuse(node, error, "%s has %zu values; at most %d are supported", attribute, out->count,
                            LORAC_CONSTANT_MAX_RANK);
    return LORAC_OK;
}

// The axis that entry [k] speaks of, AXIS_BATCH for the batch. ONNX forbids naming one twice.
static enum lorac_status axis_of(const Onnx__NodeProto *node, const struct lorac_int_list *axes, size_t k,
                                 const struct lorac_view *view, size_t *axis, struct lorac_error *error)
{
    int64_t rank = (int64_t)view->rank, at = axes->given ? axes->values[k] : (int64_t)k;
    at += at < 0 ? rank : 0;
    if (at < 0 || at >= rank)
        return lorac_refuse(node, error, "entry %zu names an axis outside of rank %lld", k, (long long)rank);
    for (size_t i = 0; axes->given && i < k; i++)
        if (axes->values[i] == at || axes->values[i] == at - rank)
            return lorac_refuse(node, error, "axis %lld is named twice", (long long)at);
    switch (view->axes[at]) {
    case LORAC_AXIS_N:
        *axis = AXIS_BATCH;
        return LORAC_OK;
    case LORAC_AXIS_H:
        *axis = AXIS_H;
        return LORAC_OK;
    case LORAC_AXIS_W:
        *axis = AXIS_W;
        return LORAC_OK;
    case LORAC_AXIS_C:
        *axis = AXIS_C;
        return LORAC_OK;
    default:
        return lorac_refuse(node, error, "its input has rank %zu; up to 4 are supported", view->rank);
    }
}

static enum lorac_status read_fill(struct lorac_lowering *lowering, const Onnx__NodeProto *node, float *fill,
                                   struct lorac_error *error)
{
    *fill = lorac_node_float(node, "value", 0.0f);
    if (lorac_lowering_absent(node, 2))
        return LORAC_OK;
    const struct lorac_constant *constant;
    LORAC_TRY(lorac_lowering_constant(lowering, node, 2, &constant, error));
    if (constant->count != 1 || !constant->floating)
        return lorac_refuse(node, error, "its constant_value is not one float");
    *fill = (float)constant->floats[0];
    return LORAC_OK;
}

static enum lorac_status apply_pads(const Onnx__NodeProto *node, const struct lorac_int_list *pads,
                                    const struct lorac_int_list *axes, const struct lorac_view *view,
                                    struct crop *crop, struct lorac_error *error)
{
    size_t count = axes->given ? axes->count : view->rank;
    if (pads->count != 2 * count)
        return lorac_refuse(node, error, "it has %zu pads for %zu axes", pads->count, count);
    for (size_t k = 0; k < count; k++) {
        int64_t begin = pads->values[k], end = pads->values[count + k];
        size_t axis;
        LORAC_TRY(axis_of(node, axes, k, view, &axis, error));
        if (begin < -INT32_MAX || begin > INT32_MAX || end < -INT32_MAX || end > INT32_MAX)
            return lorac_refuse(node, error, "a pad of %lld or %lld is too large", (long long)begin, (long long)end);
        if (axis == AXIS_BATCH && (begin || end))
            return lorac_refuse(node, error, "it pads the batch");
        if (axis == AXIS_BATCH)
            continue;
        crop->first[axis] = -begin;
        crop->out[axis] += begin + end;
    }
    return LORAC_OK;
}

static enum lorac_status lower_pad(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct lorac_program *program = lorac_lowering_program(lowering);
    const char *mode = lorac_node_string(program->model, node, "mode", "constant");
    if (strcmp(mode, "constant") != 0)
        return lorac_refuse(node, error, "mode '%s' is not supported; 'constant' is", mode);
    struct crop crop = identity_of(&program->values[x]);
    struct lorac_int_list pads, axes;
    LORAC_TRY(read_ints(lowering, node, 1, "pads", &pads, error));
    LORAC_TRY(read_ints(lowering, node, 3, "axes", &axes, error));
    LORAC_TRY(read_fill(lowering, node, &crop.fill, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(apply_pads(node, &pads, &axes, &view, &crop, error));
    return finish(lowering, node, step, x, &crop, error);
}

static enum lorac_status lower_slice(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_int_list starts, ends, axes, steps;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(read_ints(lowering, node, 1, "starts", &starts, error));
    LORAC_TRY(read_ints(lowering, node, 2, "ends", &ends, error));
    LORAC_TRY(read_ints(lowering, node, 3, "axes", &axes, error));
    LORAC_TRY(read_ints(lowering, node, 4, "steps", &steps, error));
    if (starts.count != ends.count || (axes.given && axes.count != starts.count) ||
        (steps.given && steps.count != starts.count))
        return lorac_refuse(node, error, "starts, ends, axes and steps are not equally long");
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    struct crop crop = identity_of(&lorac_lowering_program(lowering)->values[x]);
    for (size_t k = 0; k < starts.count; k++) {
        int64_t first, count, stride = steps.given ? steps.values[k] : 1;
        size_t axis;
        LORAC_TRY(axis_of(node, &axes, k, &view, &axis, error));
        int64_t size = axis == AXIS_BATCH ? (int64_t)crop.N : crop.in[axis];
        if (!lorac_slice_axis(size, starts.values[k], ends.values[k], stride, &first, &count))
            return lorac_refuse(node, error, "a step of zero");
        if (axis == AXIS_BATCH && (first != 0 || stride != 1 || count != size))
            return lorac_refuse(node, error, "it slices the batch");
        if (axis == AXIS_BATCH)
            continue;
        crop.first[axis] = first;
        crop.step[axis] = stride;
        crop.out[axis] = count;
    }
    return finish(lowering, node, step, x, &crop, error);
}

// ---- running

// The input position of output position [i] on an axis, or -1 outside.
static int64_t source(const struct crop *crop, size_t axis, int64_t i)
{
    int64_t at = crop->first[axis] + i * crop->step[axis];
    return at < 0 || at >= crop->in[axis] ? -1 : at;
}

static void forward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct crop *crop = step->config;
    size_t in_c = (size_t)crop->in[AXIS_C], out_c = (size_t)crop->out[AXIS_C];
    const float *x = step->x[0] + n * (size_t)(crop->in[AXIS_H] * crop->in[AXIS_W]) * in_c;
    float *y = step->y + n * (size_t)(crop->out[AXIS_H] * crop->out[AXIS_W]) * out_c;
    for (int64_t h = 0; h < crop->out[AXIS_H]; h++)
        for (int64_t w = 0; w < crop->out[AXIS_W]; w++, y += out_c) {
            int64_t from_h = source(crop, AXIS_H, h), from_w = source(crop, AXIS_W, w);
            bool inside = from_h >= 0 && from_w >= 0;
            const float *pixel = inside ? x + (size_t)(from_h * crop->in[AXIS_W] + from_w) * in_c : NULL;
            for (size_t c = 0; c < out_c; c++) {
                int64_t from_c = source(crop, AXIS_C, (int64_t)c);
                y[c] = inside && from_c >= 0 ? pixel[from_c] : crop->fill;
            }
        }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_parallel_for(env->pool, forward_image, step, ((const struct crop *)step->config)->N);
}

static void backward_image(void *context, size_t n)
{
    const struct lorac_step *step = context;
    const struct crop *crop = step->config;
    size_t in_c = (size_t)crop->in[AXIS_C], out_c = (size_t)crop->out[AXIS_C];
    size_t in_count = (size_t)(crop->in[AXIS_H] * crop->in[AXIS_W]) * in_c;
    float *dx = step->dx[0] + n * in_count;
    const float *dy = step->dy + n * (size_t)(crop->out[AXIS_H] * crop->out[AXIS_W]) * out_c;
    memset(dx, 0, in_count * sizeof(float));
    for (int64_t h = 0; h < crop->out[AXIS_H]; h++)
        for (int64_t w = 0; w < crop->out[AXIS_W]; w++, dy += out_c) {
            int64_t to_h = source(crop, AXIS_H, h), to_w = source(crop, AXIS_W, w);
            if (to_h < 0 || to_w < 0)
                continue;
            float *pixel = dx + (size_t)(to_h * crop->in[AXIS_W] + to_w) * in_c;
            for (size_t c = 0; c < out_c; c++) {
                int64_t to_c = source(crop, AXIS_C, (int64_t)c);
                if (to_c >= 0)
                    pixel[to_c] = dy[c];
            }
        }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        lorac_parallel_for(env->pool, backward_image, step, ((const struct crop *)step->config)->N);
}

const struct lorac_kernel lorac_kernel_pad = {
    .op_type = "Pad", .lower = lower_pad, .forward = forward, .backward = backward};
const struct lorac_kernel lorac_kernel_slice = {
    .op_type = "Slice", .lower = lower_slice, .forward = forward, .backward = backward};
