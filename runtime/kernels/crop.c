// Pad, Slice and Split: rules for pick.h, axis by axis.
#include "kernel_list.h"

#include "axes.h"
#include "pick.h"
#include "proto/constant.h"

#include <string.h>

// ---- Pad

static enum lorac_status read_mode(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   enum lorac_pick_kind *kind, struct lorac_error *error)
{
    static const char *const NAMES[] = {"constant", "edge", "reflect", "wrap"};
    static const enum lorac_pick_kind KINDS[] = {LORAC_PICK_LINE, LORAC_PICK_EDGE, LORAC_PICK_REFLECT, LORAC_PICK_WRAP};
    const char *mode = lorac_node_string(lorac_lowering_program(lowering)->model, node, "mode", "constant");
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(mode, NAMES[i]) == 0) {
            *kind = KINDS[i];
            return LORAC_OK;
        }
    return lorac_refuse(node, error, "mode '%s' is not supported; constant, edge, reflect and wrap are", mode);
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

static enum lorac_status apply_pad(const Onnx__NodeProto *node, const struct lorac_view *view, size_t place,
                                   int64_t begin, int64_t end, enum lorac_pick_kind kind, struct lorac_pick *pick,
                                   struct lorac_error *error)
{
    enum lorac_axis axis = LORAC_AXIS_ONE;
    if (begin == 0 && end == 0)
        return LORAC_OK;
    LORAC_TRY(lorac_axes_memory(node, view, place, "pads", &axis, error));
    if (begin < -INT32_MAX || begin > INT32_MAX || end < -INT32_MAX || end > INT32_MAX)
        return lorac_refuse(node, error, "a pad of %lld or %lld is too large", (long long)begin, (long long)end);
    struct lorac_pick_axis *to = &pick->axes[axis];
    to->kind = kind;
    to->first = -begin;
    to->out += begin + end;
    return LORAC_OK;
}

static enum lorac_status lower_pad(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_int_list pads, axes;
    enum lorac_pick_kind kind = LORAC_PICK_LINE;
    bool marked[LORAC_VIEW_MAX_RANK] = {false};
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct lorac_pick pick = lorac_pick_all(&lorac_lowering_program(lowering)->values[x]);
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(read_mode(lowering, node, &kind, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "pads", &pads, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 3, "axes", &axes, error));
    LORAC_TRY(read_fill(lowering, node, &pick.fill, error));
    LORAC_TRY(lorac_axes_mark(node, &axes, view.rank, marked, error));
    size_t count = axes.given ? axes.count : view.rank;
    if (pads.count != 2 * count)
        return lorac_refuse(node, error, "it has %zu pads for %zu axes", pads.count, count);
    for (size_t i = 0; i < count; i++) {
        size_t place = 0;
        LORAC_TRY(lorac_axes_place(node, axes.given ? axes.values[i] : (int64_t)i, view.rank, &place, error));
        LORAC_TRY(apply_pad(node, &view, place, pads.values[i], pads.values[count + i], kind, &pick, error));
    }
    return lorac_pick_lower(lowering, node, 0, step, x, &pick, &view, error);
}

// ---- Slice

struct slice {
    struct lorac_int_list starts, ends, axes, steps;
};

static enum lorac_status read_slice(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct slice *slice,
                                    struct lorac_error *error)
{
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "starts", &slice->starts, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 2, "ends", &slice->ends, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 3, "axes", &slice->axes, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 4, "steps", &slice->steps, error));
    size_t count = slice->starts.count;
    if (slice->ends.count != count || (slice->axes.given && slice->axes.count != count) ||
        (slice->steps.given && slice->steps.count != count))
        return lorac_refuse(node, error, "starts, ends, axes and steps are not equally long");
    return LORAC_OK;
}

// Entry [i] of the slice on the dimension [place].
static enum lorac_status apply_slice(const Onnx__NodeProto *node, const struct slice *slice, size_t i,
                                     const struct lorac_view *view, size_t place, int64_t size, struct lorac_pick *pick,
                                     struct lorac_error *error)
{
    int64_t first, count, stride = slice->steps.given ? slice->steps.values[i] : 1;
    enum lorac_axis axis = LORAC_AXIS_ONE;
    if (!lorac_slice_axis(size, slice->starts.values[i], slice->ends.values[i], stride, &first, &count))
        return lorac_refuse(node, error, "a step of zero");
    if (first == 0 && count == size && (stride == 1 || size == 1))
        return LORAC_OK;
    LORAC_TRY(lorac_axes_memory(node, view, place, "slices", &axis, error));
    pick->axes[axis].first = first;
    pick->axes[axis].step = stride;
    pick->axes[axis].out = count;
    return LORAC_OK;
}

static enum lorac_status lower_slice(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct slice slice;
    bool marked[LORAC_VIEW_MAX_RANK] = {false};
    int64_t dims[LORAC_VIEW_MAX_RANK];
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(read_slice(lowering, node, &slice, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    struct lorac_pick pick = lorac_pick_all(&value);
    lorac_view_dims(&view, &value, dims);
    LORAC_TRY(lorac_axes_mark(node, &slice.axes, view.rank, marked, error));
    for (size_t i = 0; i < slice.starts.count; i++) {
        size_t place = 0;
        LORAC_TRY(
            lorac_axes_place(node, slice.axes.given ? slice.axes.values[i] : (int64_t)i, view.rank, &place, error));
        LORAC_TRY(apply_slice(node, &slice, i, &view, place, dims[place], &pick, error));
    }
    return lorac_pick_lower(lowering, node, 0, step, x, &pick, &view, error);
}

// ---- Split

struct parts {
    size_t count;
    int64_t size, each;                // of the dimension; of a part where they are equal
    const struct lorac_constant *list; // NULL: equal parts, a smaller last one
    const int64_t *attribute;          // the same from an old file
};

static int64_t part_size(const struct parts *parts, size_t k)
{
    if (parts->list)
        return lorac_constant_int(parts->list, k);
    if (parts->attribute)
        return parts->attribute[k];
    int64_t left = parts->size - (int64_t)k * parts->each;
    return left < parts->each ? left : parts->each;
}

static enum lorac_status read_parts(struct lorac_lowering *lowering, const Onnx__NodeProto *node, int64_t size,
                                    struct parts *parts, struct lorac_error *error)
{
    *parts = (struct parts){.count = node->n_output, .size = size};
    size_t given = lorac_node_ints(node, "split", &parts->attribute), wanted = node->n_output;
    if (given == 0)
        parts->attribute = NULL;
    if (!lorac_lowering_absent(node, 1)) {
        LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &parts->list, error));
        given = parts->list->count;
        if (parts->list->floating)
            return lorac_refuse(node, error, "its sizes are not integers");
    }
    bool equal = !parts->list && !parts->attribute;
    int64_t asked = lorac_node_int(node, "num_outputs", (int64_t)wanted);
    if (wanted == 0 || (equal ? asked != (int64_t)wanted : given != wanted))
        return lorac_refuse(node, error, "it has %zu outputs for %lld parts", wanted,
                            equal ? (long long)asked : (long long)given);
    parts->each = (size + (int64_t)wanted - 1) / (int64_t)wanted;
    // Before operator set 18 equal parts are equal.
    if (equal && size % (int64_t)wanted != 0 && lorac_model_opset(lorac_lowering_program(lowering)->model) < 18)
        return lorac_refuse(node, error, "%lld elements do not split into %zu equal parts", (long long)size, wanted);
    return LORAC_OK;
}

static enum lorac_status lower_part(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k, uint32_t x,
                                    const struct lorac_pick *pick, const struct lorac_view *view,
                                    struct lorac_error *error)
{
    struct lorac_step step = lorac_lowering_step(&lorac_kernel_pick, node);
    LORAC_TRY(lorac_pick_lower(lowering, node, k, &step, x, pick, view, error));
    return step.kernel ? lorac_lowering_emit(lowering, &step, error) : LORAC_OK;
}

static enum lorac_status lower_split(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    size_t place = 0;
    enum lorac_axis axis = LORAC_AXIS_ONE;
    struct parts parts;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(lorac_axes_place(node, lorac_node_int(node, "axis", 0), view.rank, &place, error));
    LORAC_TRY(lorac_axes_memory(node, &view, place, "splits", &axis, error));
    struct lorac_pick pick = lorac_pick_all(&lorac_lowering_program(lowering)->values[x]);
    int64_t size = pick.axes[axis].in, begin = 0;
    LORAC_TRY(read_parts(lowering, node, size, &parts, error));
    for (size_t k = 0; k < parts.count; k++) {
        int64_t each = part_size(&parts, k);
        if (each < 0 || each > size - begin || (k + 1 == parts.count && begin + each != size))
            return lorac_refuse(node, error, "its parts do not add up to %lld elements", (long long)size);
        pick.axes[axis].first = begin;
        pick.axes[axis].out = each;
        if (lorac_lowering_is_read(lowering, node, k))
            LORAC_TRY(lower_part(lowering, node, k, x, &pick, &view, error));
        begin += each;
    }
    step->kernel = NULL; // each part has its own
    return LORAC_OK;
}

const struct lorac_kernel lorac_kernel_pad = {.op_type = "Pad", .lower = lower_pad};
const struct lorac_kernel lorac_kernel_slice = {.op_type = "Slice", .lower = lower_slice};
const struct lorac_kernel lorac_kernel_split = {.op_type = "Split", .lower = lower_split};
