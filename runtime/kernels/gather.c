// Gather with constant indices, Expand and Tile: rules for pick.h.
#include "kernel_list.h"

#include "axes.h"
#include "pick.h"
#include "proto/constant.h"

#include <string.h>

// ---- Gather

// The indices as 0 .. size-1.
static enum lorac_status read_indices(struct lorac_lowering *lowering, const Onnx__NodeProto *node, int64_t size,
                                      const struct lorac_constant *indices, const int64_t **out,
                                      struct lorac_error *error)
{
    struct lorac_arena *arena = lorac_lowering_program(lowering)->arena;
    int64_t *list = lorac_arena_alloc_array(arena, indices->count + 1, sizeof(*list));
    if (!list)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", lorac_node_name(node));
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = lorac_constant_int(indices, i);
        if (index < -size || index >= size)
            return lorac_refuse(node, error, "index %lld is outside a dimension of %lld", (long long)index,
                                (long long)size);
        list[i] = index < 0 ? index + size : index;
    }
    *out = list;
    return LORAC_OK;
}

static enum lorac_status lower_gather(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    size_t place = 0;
    enum lorac_axis axis = LORAC_AXIS_ONE;
    const struct lorac_constant *indices;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &indices, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {0};
    LORAC_TRY(lorac_axes_place(node, lorac_node_int(node, "axis", 0), view.rank, &place, error));
    LORAC_TRY(lorac_axes_memory(node, &view, place, "gathers from", &axis, error));
    if (indices->rank > 1 || indices->floating)
        return lorac_refuse(node, error, "its indices have rank %zu; one index or a list of integers is supported",
                            indices->rank);
    struct lorac_pick pick = lorac_pick_all(&lorac_lowering_program(lowering)->values[x]);
    struct lorac_pick_axis *to = &pick.axes[axis];
    to->kind = LORAC_PICK_LIST;
    to->out = (int64_t)indices->count;
    LORAC_TRY(read_indices(lowering, node, to->in, indices, &to->list, error));
    for (size_t i = 0; i < view.rank; i++)
        if (i != place || indices->rank == 1)
            seen.axes[seen.rank++] = view.axes[i];
    return lorac_pick_lower(lowering, node, 0, step, x, &pick, &seen, error);
}

// ---- Expand and Tile

// Dimension [place] becomes [out], by taking its elements over and over.
static enum lorac_status repeat(const Onnx__NodeProto *node, const struct lorac_view *view, size_t place, int64_t out,
                                struct lorac_pick *pick, struct lorac_error *error)
{
    enum lorac_axis axis = LORAC_AXIS_ONE;
    LORAC_TRY(lorac_axes_memory(node, view, place, "repeats", &axis, error));
    pick->axes[axis].kind = LORAC_PICK_WRAP;
    pick->axes[axis].out = out;
    return LORAC_OK;
}

// Both shapes are aligned at their ends, and dimensions of 1 follow the other's.
static enum lorac_status lower_expand(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    const struct lorac_constant *shape;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &shape, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {0};
    struct lorac_view_text text = lorac_view_format(&view, &value);
    if (shape->rank != 1 || shape->floating || shape->count > LORAC_VIEW_MAX_RANK)
        return lorac_refuse(node, error, "its shape is not a list of at most %d integers", LORAC_VIEW_MAX_RANK);
    while (seen.rank + view.rank < shape->count)
        seen.axes[seen.rank++] = LORAC_AXIS_ONE;
    for (size_t i = 0; i < view.rank; i++)
        seen.axes[seen.rank++] = view.axes[i];
    seen = lorac_view_named(&seen, &value);
    struct lorac_pick pick = lorac_pick_all(&value);
    for (size_t i = 0; i < shape->count; i++) {
        size_t place = seen.rank - shape->count + i, size = lorac_view_size(&value, seen.axes[place]);
        int64_t wanted = lorac_constant_int(shape, i);
        if (seen.axes[place] == LORAC_AXIS_N)
            wanted = lorac_lowering_batch_now(lowering, node, 1, wanted);
        if (wanted == 1 || wanted == (int64_t)size)
            continue;
        if (size != 1 || wanted < 1)
            return lorac_refuse(node, error, "its shape has %lld where the input, %s, has %zu", (long long)wanted,
                                text.text, size);
        LORAC_TRY(repeat(node, &seen, place, wanted, &pick, error));
    }
    return lorac_pick_lower(lowering, node, 0, step, x, &pick, &seen, error);
}

static enum lorac_status lower_tile(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_int_list repeats;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "repeats", &repeats, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    struct lorac_pick pick = lorac_pick_all(&value);
    if (repeats.count != view.rank)
        return lorac_refuse(node, error, "it has %zu repeats for rank %zu", repeats.count, view.rank);
    for (size_t i = 0; i < view.rank; i++) {
        int64_t times = repeats.values[i], size = (int64_t)lorac_view_size(&value, view.axes[i]);
        if (times < 1 || times > LORAC_PICK_MAX_SIZE || size > LORAC_PICK_MAX_SIZE)
            return lorac_refuse(node, error,
                                "it repeats dimension %zu of %lld elements %lld times; 1 to %d is "
                                "supported",
                                i, (long long)size, (long long)times, LORAC_PICK_MAX_SIZE);
        if (times > 1)
            LORAC_TRY(repeat(node, &view, i, size * times, &pick, error));
    }
    return lorac_pick_lower(lowering, node, 0, step, x, &pick, &view, error);
}

const struct lorac_kernel lorac_kernel_gather = {.op_type = "Gather", .lower = lower_gather};
const struct lorac_kernel lorac_kernel_expand = {.op_type = "Expand", .lower = lower_expand};
const struct lorac_kernel lorac_kernel_tile = {.op_type = "Tile", .lower = lower_tile};
