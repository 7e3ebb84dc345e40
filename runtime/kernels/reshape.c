// Operators that change how a value is seen: Identity, Cast, CastLike, Dropout (off), Transpose, Squeeze, Unsqueeze,
// Flatten, Reshape. Where the elements stay in the same places of memory, no step is made.
#include "kernel_list.h"

#include "axes.h"
#include "proto/constant.h"
#include "proto/tensor.h"
#include "reorder.h"

#include <string.h>

// The same value, seen as [view].
static enum lorac_status see_as(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                                const struct lorac_view *view, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    return lorac_lowering_alias(lowering, node, step, x, view, error);
}

// ---- Identity, Cast and Dropout

static enum lorac_status lower_identity(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, struct lorac_error *error)
{
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    return see_as(lowering, node, step, &view, error);
}

// We compute in float32 whatever floating type the graph says.
static enum lorac_status lower_cast(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, struct lorac_error *error)
{
    int64_t to = lorac_node_int(node, "to", 0);
    if (to <= 0 || to > INT32_MAX || !lorac_tensor_type_is_floating((int32_t)to))
        return lorac_refuse(node, error, "it makes %s of an activation; floating types are supported",
                            lorac_tensor_type_name(to > 0 && to <= INT32_MAX ? (int32_t)to : 0));
    return lower_identity(lowering, node, step, error);
}

// The type of its second input; of an activation it is floating.
static enum lorac_status lower_cast_like(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                         struct lorac_step *step, struct lorac_error *error)
{
    if (!lorac_lowering_is_activation(lowering, lorac_node_input(node, 1))) {
        const struct lorac_constant *like;
        LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &like, error));
        if (!like->floating)
            return lorac_refuse(node, error, "it makes %s of an activation; floating types are supported",
                                lorac_tensor_type_name(like->data_type));
    }
    return lower_identity(lowering, node, step, error);
}

static enum lorac_status lower_dropout(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    if (lorac_lowering_is_read(lowering, node, 1))
        return lorac_refuse(node, error, "something reads its mask, which is not supported");
    if (!lorac_lowering_absent(node, 2)) {
        const struct lorac_constant *mode;
        LORAC_TRY(lorac_lowering_constant(lowering, node, 2, &mode, error));
        if (mode->count != 1 || lorac_constant_int(mode, 0) != 0)
            return lorac_refuse(node, error, "it was exported in training mode; export the model in evaluation mode");
    }
    return lower_identity(lowering, node, step, error);
}

// ---- Transpose, Squeeze, Unsqueeze

static enum lorac_status lower_transpose(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                         struct lorac_step *step, struct lorac_error *error)
{
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {.rank = view.rank};
    const int64_t *perm;
    size_t given = lorac_node_ints(node, "perm", &perm);
    bool used[LORAC_VIEW_MAX_RANK] = {false};
    if (given && given != view.rank)
        return lorac_refuse(node, error, "perm has %zu entries for rank %zu", given, view.rank);
    for (size_t i = 0; i < view.rank; i++) {
        int64_t from = given ? perm[i] : (int64_t)(view.rank - 1 - i);
        if (from < 0 || from >= (int64_t)view.rank || used[from])
            return lorac_refuse(node, error, "perm is not a permutation of 0 to %zu", view.rank - 1);
        used[from] = true;
        seen.axes[i] = view.axes[from];
    }
    return see_as(lowering, node, step, &seen, error);
}

// The axes of Squeeze and Unsqueeze are an attribute before operator set 13, an input since.

static enum lorac_status lower_squeeze(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    struct lorac_int_list axes;
    bool marked[LORAC_VIEW_MAX_RANK] = {false};
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "axes", &axes, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {0};
    LORAC_TRY(lorac_axes_mark(node, &axes, view.rank, marked, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    for (size_t i = 0; i < view.rank; i++) {
        size_t size = lorac_view_size(&value, view.axes[i]);
        if (marked[i] && (size != 1 || view.axes[i] == LORAC_AXIS_N))
            return lorac_refuse(node, error, "it takes out dimension %zu, which is %s", i,
                                view.axes[i] == LORAC_AXIS_N ? "the batch" : "larger than 1");
        // Without axes every dimension of 1 goes; the batch stays, whatever it is today.
        if (marked[i] || (!axes.given && size == 1 && view.axes[i] != LORAC_AXIS_N))
            continue;
        seen.axes[seen.rank++] = view.axes[i];
    }
    return see_as(lowering, node, step, &seen, error);
}

static enum lorac_status lower_unsqueeze(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                         struct lorac_step *step, struct lorac_error *error)
{
    struct lorac_int_list axes;
    bool marked[LORAC_VIEW_MAX_RANK] = {false};
    LORAC_TRY(lorac_axes_read_list(lowering, node, 1, "axes", &axes, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0), seen = {.rank = view.rank + axes.count};
    if (seen.rank > LORAC_VIEW_MAX_RANK)
        return lorac_refuse(node, error, "its output has rank %zu; at most %d is supported", seen.rank,
                            LORAC_VIEW_MAX_RANK);
    LORAC_TRY(lorac_axes_mark(node, &axes, seen.rank, marked, error));
    for (size_t i = 0, from = 0; i < seen.rank; i++)
        seen.axes[i] = marked[i] ? LORAC_AXIS_ONE : view.axes[from++];
    return see_as(lowering, node, step, &seen, error);
}

// ---- Flatten and Reshape

// The view of [dims], whose order of elements is that of [view], where only dimensions of 1 come and go; false where
// more happens.
static bool keeps_order(const struct lorac_view *view, const struct lorac_value *value, const int64_t *dims,
                        size_t rank, struct lorac_view *seen)
{
    size_t from = 1;
    *seen = (struct lorac_view){.rank = rank, .axes = {LORAC_AXIS_N}};
    for (size_t i = 1; i < rank; i++) {
        if (dims[i] == 1)
            continue;
        while (from < view->rank && lorac_view_size(value, view->axes[from]) == 1)
            from++;
        if (from == view->rank || (int64_t)lorac_view_size(value, view->axes[from]) != dims[i])
            return false;
        seen->axes[i] = view->axes[from++];
    }
    return true;
}

// A view for [dims] alone: as [N, C], [N, C, W] or [N, C, H, W], without counting dimensions of 1 where there are more.
// False where more than four are left.
static bool fresh_view(const int64_t *dims, size_t rank, struct lorac_view *seen)
{
    static const enum lorac_axis names[3][3] = {
        {LORAC_AXIS_C}, {LORAC_AXIS_C, LORAC_AXIS_W}, {LORAC_AXIS_C, LORAC_AXIS_H, LORAC_AXIS_W}};
    size_t large = 0, at = 0;
    for (size_t i = 1; i < rank; i++)
        large += dims[i] != 1;
    if (large > 3)
        return false;
    *seen = (struct lorac_view){.rank = rank, .axes = {LORAC_AXIS_N}};
    for (size_t i = 1; i < rank; i++)
        if (dims[i] != 1)
            seen->axes[i] = names[large - 1][at++];
    return true;
}

// Input 0 as [dims], the batch first.
static enum lorac_status reshape_to(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_step *step, uint32_t x, const int64_t *dims, size_t rank,
                                    struct lorac_error *error)
{
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_reorder reorder = {.x = x, .from = view};
    if (keeps_order(&view, &value, dims, rank, &reorder.to))
        return lorac_lowering_alias(lowering, node, step, x, &reorder.to, error);
    if (!fresh_view(dims, rank, &reorder.to))
        return lorac_refuse(node, error, "its output has more than three dimensions larger than 1 behind the batch (as in channel shuffle or "
                            "split attention), which is not supported; inject and merge work all the same");
    step->kernel = &lorac_kernel_reorder;
    LORAC_TRY(lorac_reorder_lower(lowering, step, &reorder, dims, error));
    const struct lorac_value *sizes = &reorder.sizes;
    return lorac_lowering_output(lowering, node, step, sizes->n, sizes->h, sizes->w, sizes->c, &reorder.to, error);
}

static enum lorac_status check_batch_first(const Onnx__NodeProto *node, const struct lorac_view *view,
                                           struct lorac_error *error)
{
    if (view->rank == 0 || view->axes[0] != LORAC_AXIS_N)
        return lorac_refuse(node, error, "the batch is not the first dimension of its input");
    return LORAC_OK;
}

static enum lorac_status lower_flatten(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(check_batch_first(node, &view, error));
    const struct lorac_value *value = &lorac_lowering_program(lowering)->values[x];
    int64_t given = lorac_node_int(node, "axis", 1), axis = given + (given < 0 ? (int64_t)view.rank : 0);
    bool row = axis >= 1 && axis <= (int64_t)view.rank;
    for (int64_t i = 1; row && i < axis; i++)
        row = lorac_view_size(value, view.axes[i]) == 1;
    if (!row)
        return lorac_refuse(node, error, "axis %lld of %s does not give a row per image; axis 1 does", (long long)given,
                            lorac_view_format(&view, value).text);
    const int64_t dims[2] = {(int64_t)value->n, (int64_t)(value->h * value->w * value->c)};
    return reshape_to(lowering, node, step, x, dims, 2, error);
}

static enum lorac_status lower_reshape(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    uint32_t x;
    const struct lorac_constant *shape;
    int64_t from[LORAC_VIEW_MAX_RANK], target[LORAC_VIEW_MAX_RANK], dims[LORAC_VIEW_MAX_RANK];
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    LORAC_TRY(lorac_lowering_constant(lowering, node, 1, &shape, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    LORAC_TRY(check_batch_first(node, &view, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[x];
    struct lorac_view_text seen = lorac_view_format(&view, &value);
    size_t rank = lorac_view_dims(&view, &value, from);
    if (shape->count == 0 || shape->count > LORAC_VIEW_MAX_RANK || shape->floating)
        return lorac_refuse(node, error, "its shape is not a list of 1 to %d integers", LORAC_VIEW_MAX_RANK);
    for (size_t i = 0; i < shape->count; i++)
        target[i] = lorac_constant_int(shape, i);
    int64_t first = target[0];
    target[0] = lorac_lowering_batch_now(lowering, node, 1, first);
    if (!lorac_reshape_dims(from, rank, target, shape->count, lorac_node_int(node, "allowzero", 0) != 0, dims))
        return lorac_refuse(node, error, "its shape, which begins with %lld, does not fit %s", (long long)first,
                            seen.text);
    if (shape->count == 1 && value.h * value.w * value.c > 1)
        return lorac_refuse(node, error,
                            "it lays the elements of the whole batch in one row, as exports of models in channels-last "
                            "memory do (as_strided); export the model in contiguous memory format");
    if (dims[0] != (int64_t)value.n)
        return lorac_refuse(node, error,
                            "its shape makes %lld rows of a batch of %zu: it mixes images, or has another batch than "
                            "the model's input written into it; export the model with a free batch",
                            (long long)dims[0], value.n);
    return reshape_to(lowering, node, step, x, dims, shape->count, error);
}

const struct lorac_kernel lorac_kernel_identity = {.op_type = "Identity", .lower = lower_identity};
const struct lorac_kernel lorac_kernel_cast = {.op_type = "Cast", .lower = lower_cast};
const struct lorac_kernel lorac_kernel_cast_like = {.op_type = "CastLike", .lower = lower_cast_like};
const struct lorac_kernel lorac_kernel_dropout = {.op_type = "Dropout", .lower = lower_dropout};
const struct lorac_kernel lorac_kernel_transpose = {.op_type = "Transpose", .lower = lower_transpose};
const struct lorac_kernel lorac_kernel_squeeze = {.op_type = "Squeeze", .lower = lower_squeeze};
const struct lorac_kernel lorac_kernel_unsqueeze = {.op_type = "Unsqueeze", .lower = lower_unsqueeze};
const struct lorac_kernel lorac_kernel_flatten = {.op_type = "Flatten", .lower = lower_flatten};
const struct lorac_kernel lorac_kernel_reshape = {.op_type = "Reshape", .lower = lower_reshape};
