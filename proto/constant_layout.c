// Operators that only move elements, or look at dimensions.
#include "constant_internal.h"

#include "size.h"

#include <string.h>

// The same elements under other dims (same count).
static struct lorac_constant with_dims(const struct lorac_constant *from, const int64_t *dims, size_t rank)
{
    struct lorac_constant out = *from;
    out.rank = rank;
    for (size_t i = 0; i < rank; i++)
        out.dims[i] = dims[i];
    return out;
}

static void copy_run(struct lorac_constant *to, size_t to_index, const struct lorac_constant *from, size_t from_index,
                     size_t count)
{
    if (count == 0)
        return;
    if (to->floating)
        memcpy(to->floats + to_index, from->floats + from_index, count * sizeof *to->floats);
    else
        memcpy(to->ints + to_index, from->ints + from_index, count * sizeof *to->ints);
}

// ---- dimensions

static enum lorac_status eval_identity(const struct evaluation *e, struct lorac_constant *out)
{
    *out = *lorac_constant_input(e, 0);
    return LORAC_OK;
}

static enum lorac_status eval_dropout(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *training = lorac_constant_input(e, 2);
    if (training && (training->count != 1 || lorac_constant_int(training, 0) != 0))
        return lorac_constant_refuse(e, "dropout in training mode");
    return eval_identity(e, out);
}

static enum lorac_status eval_shape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    int64_t begin = lorac_node_int(e->what.node, "start", 0), end = lorac_node_int(e->what.node, "end", INT64_MAX);
    return lorac_constant_shape(x->dims, x->rank, begin, end, e->arena, out, e->error);
}

enum lorac_status lorac_constant_shape(const int64_t *dims, size_t rank, int64_t begin, int64_t end,
                                       struct lorac_arena *arena, struct lorac_constant *out, struct lorac_error *error)
{
    int64_t limit = (int64_t)rank;
    begin = begin < 0 ? begin + limit : begin;
    end = end < 0 ? end + limit : end;
    begin = begin < 0 ? 0 : begin > limit ? limit : begin;
    end = end > limit ? limit : end;
    int64_t count = end > begin ? end - begin : 0;
    LORAC_TRY(lorac_constant_init(out, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &count, 1, arena, error));
    for (int64_t i = 0; i < count; i++)
        out->ints[i] = dims[begin + i];
    return LORAC_OK;
}

static enum lorac_status eval_size(const struct evaluation *e, struct lorac_constant *out)
{
    LORAC_TRY(lorac_constant_result(e, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, NULL, 0, out));
    out->ints[0] = (int64_t)lorac_constant_input(e, 0)->count;
    return LORAC_OK;
}

static enum lorac_status eval_unsqueeze(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    struct lorac_int_list axes;
    LORAC_TRY(lorac_constant_int_list(e, "axes", 1, &axes));
    size_t rank = x->rank + axes.count;
    bool fresh[LORAC_CONSTANT_MAX_RANK] = {false};
    if (rank > LORAC_CONSTANT_MAX_RANK)
        return lorac_constant_refuse(e, "the result would have more than 8 dimensions");
    for (size_t i = 0; i < axes.count; i++) {
        if (!lorac_constant_axis(&axes.values[i], rank) || fresh[axes.values[i]])
            return lorac_constant_refuse(e, "an axis is outside the rank, or twice there");
        fresh[axes.values[i]] = true;
    }
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0, from = 0; i < rank; i++)
        dims[i] = fresh[i] ? 1 : x->dims[from++];
    *out = with_dims(x, dims, rank);
    return LORAC_OK;
}

static enum lorac_status eval_squeeze(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    struct lorac_int_list axes;
    LORAC_TRY(lorac_constant_int_list(e, "axes", 1, &axes));
    bool gone[LORAC_CONSTANT_MAX_RANK] = {false};
    for (size_t i = 0; i < axes.count; i++) {
        if (!lorac_constant_axis(&axes.values[i], x->rank) || x->dims[axes.values[i]] != 1)
            return lorac_constant_refuse(e, "an axis is outside the rank, or its size is not 1");
        gone[axes.values[i]] = true;
    }
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t rank = 0;
    for (size_t i = 0; i < x->rank; i++)
        if (!(axes.given ? gone[i] : x->dims[i] == 1))
            dims[rank++] = x->dims[i];
    *out = with_dims(x, dims, rank);
    return LORAC_OK;
}

static enum lorac_status eval_reshape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *shape = lorac_constant_input(e, 1);
    if (shape->count > LORAC_CONSTANT_MAX_RANK)
        return lorac_constant_refuse(e, "a shape of more than 8 dimensions");
    int64_t target[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0; i < shape->count; i++)
        target[i] = lorac_constant_int(shape, i);
    if (!lorac_reshape_dims(x->dims, x->rank, target, shape->count, lorac_node_int(e->what.node, "allowzero", 0) != 0,
                            dims))
        return lorac_constant_refuse(e, "the target shape does not fit the elements");
    *out = with_dims(x, dims, shape->count);
    return LORAC_OK;
}

bool lorac_reshape_dims(const int64_t *dims, size_t rank, const int64_t *target, size_t target_rank, bool allow_zero,
                        int64_t *out)
{
    size_t total, known = 1;
    int64_t infer = -1;
    if (!lorac_size_of_dims(dims, rank, &total))
        return false;
    for (size_t i = 0; i < target_rank; i++) {
        out[i] = target[i];
        if (target[i] == 0 && !allow_zero) {
            if (i >= rank)
                return false;
            out[i] = dims[i];
        }
        if (out[i] == -1) {
            if (infer >= 0)
                return false;
            infer = (int64_t)i;
        } else if (out[i] < 0 || !lorac_size_multiply(known, (size_t)out[i], &known)) {
            return false;
        }
    }
    if (infer >= 0) {
        if (known == 0 || total % known != 0)
            return false;
        out[infer] = (int64_t)(total / known);
        return true;
    }
    return known == total;
}

static enum lorac_status eval_flatten(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    int64_t axis = lorac_node_int(e->what.node, "axis", 1);
    if (axis != (int64_t)x->rank && !lorac_constant_axis(&axis, x->rank))
        return lorac_constant_refuse(e, "axis outside the rank");
    size_t outer = 1, inner = 1;
    if (!lorac_size_of_dims(x->dims, (size_t)axis, &outer) ||
        !lorac_size_of_dims(x->dims + axis, x->rank - (size_t)axis, &inner) || outer > INT64_MAX || inner > INT64_MAX)
        return lorac_constant_refuse(e, "its dimensions overflow");
    const int64_t dims[] = {(int64_t)outer, (int64_t)inner};
    *out = with_dims(x, dims, 2);
    return LORAC_OK;
}

// ---- elements in another order

static enum lorac_status eval_transpose(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    const int64_t *perm;
    size_t given = lorac_node_ints(e->what.node, "perm", &perm);
    int64_t strides[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    struct lorac_walk walk = {.rank = x->rank, .dims = dims};
    bool used[LORAC_CONSTANT_MAX_RANK] = {false};
    if (given && given != x->rank)
        return lorac_constant_refuse(e, "perm does not have one entry per dimension");
    lorac_constant_strides(x->dims, x->rank, strides);
    for (size_t i = 0; i < x->rank; i++) {
        int64_t axis = given ? perm[i] : (int64_t)(x->rank - 1 - i);
        if (axis < 0 || axis >= (int64_t)x->rank || used[axis])
            return lorac_constant_refuse(e, "perm is not a permutation");
        used[axis] = true;
        dims[i] = x->dims[axis];
        walk.strides[0][i] = strides[axis];
    }
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, x->rank, out));
    lorac_constant_fill(out, x, &walk);
    return LORAC_OK;
}

// The box of [x] that begins at [first] and goes by [step] in each dimension.
static enum lorac_status take_box(const struct evaluation *e, const struct lorac_constant *x, const int64_t *first,
                                  const int64_t *step, const int64_t *dims, struct lorac_constant *out)
{
    int64_t strides[LORAC_CONSTANT_MAX_RANK];
    struct lorac_walk walk = {.rank = x->rank, .dims = dims};
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, x->rank, out));
    if (out->count == 0)
        return LORAC_OK;
    lorac_constant_strides(x->dims, x->rank, strides);
    for (size_t i = 0; i < x->rank; i++) {
        // A dimension of one index is never stepped along, however far the step would go.
        walk.strides[0][i] = dims[i] > 1 ? strides[i] * step[i] : 0;
        walk.position[0] += strides[i] * first[i];
    }
    lorac_constant_fill(out, x, &walk);
    return LORAC_OK;
}

bool lorac_slice_axis(int64_t size, int64_t start, int64_t end, int64_t step, int64_t *first, int64_t *count)
{
    if (step == 0 || step == INT64_MIN || size < 0)
        return false;
    if (start < 0)
        start = start < -size ? 0 : start + size;
    if (end < 0)
        end = end < -size ? -1 : end + size;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start = start < 0 ? 0 : start;
    start = start > high ? high : start;
    end = end < low ? low : end > size ? size : end;
    int64_t distance = step > 0 ? end - start : start - end;
    int64_t stride = step > 0 ? step : -step;
    *first = start;
    *count = distance <= 0 || start < 0 ? 0 : (distance - 1) / stride + 1;
    return true;
}

static enum lorac_status eval_slice(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    struct lorac_int_list starts, ends, axes, steps;
    LORAC_TRY(lorac_constant_int_list(e, "starts", 1, &starts));
    LORAC_TRY(lorac_constant_int_list(e, "ends", 2, &ends));
    LORAC_TRY(lorac_constant_int_list(e, "axes", 3, &axes));
    LORAC_TRY(lorac_constant_int_list(e, "steps", 4, &steps));
    if (starts.count != ends.count || (axes.given && axes.count != starts.count) ||
        (steps.given && steps.count != starts.count) || starts.count > x->rank)
        return lorac_constant_refuse(e, "starts, ends, axes and steps are not equally long");
    int64_t first[LORAC_CONSTANT_MAX_RANK] = {0}, step[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = x->dims[i];
        step[i] = 1;
    }
    for (size_t k = 0; k < starts.count; k++) {
        int64_t axis = axes.given ? axes.values[k] : (int64_t)k;
        if (!lorac_constant_axis(&axis, x->rank))
            return lorac_constant_refuse(e, "an axis is outside the rank");
        step[axis] = steps.given ? steps.values[k] : 1;
        if (!lorac_slice_axis(x->dims[axis], starts.values[k], ends.values[k], step[axis], &first[axis], &dims[axis]))
            return lorac_constant_refuse(e, "a step of zero");
    }
    return take_box(e, x, first, step, dims, out);
}

// Where part [e->what.output] of a Split begins and how long it is: sizes given as attribute (before opset 13) or
// input, or a number of parts, of which the last may be shorter.
static bool split_part(const struct evaluation *e, int64_t size, int64_t *begin, int64_t *count)
{
    const struct lorac_constant *input = lorac_constant_input(e, 1);
    const int64_t *sizes = NULL;
    size_t output = e->what.output, parts = e->what.node->n_output;
    size_t given = input ? input->count : lorac_node_ints(e->what.node, "split", &sizes);
    *begin = 0;
    if (given > 0 && given != parts)
        return false;
    if (given > 0) {
        int64_t total = 0;
        for (size_t i = 0; i < given; i++) {
            int64_t part = input ? lorac_constant_int(input, i) : sizes[i];
            if (part < 0 || part > size - total)
                return false;
            *begin = i == output ? total : *begin;
            *count = i == output ? part : *count;
            total += part;
        }
        return total == size;
    }
    int64_t wanted = lorac_node_int(e->what.node, "num_outputs", (int64_t)parts);
    if (wanted != (int64_t)parts || parts == 0)
        return false;
    int64_t each = size / wanted + (size % wanted != 0);
    *begin = each * (int64_t)output < size ? each * (int64_t)output : size;
    *count = size - *begin < each ? size - *begin : each;
    return true;
}

static enum lorac_status eval_split(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    int64_t axis = lorac_node_int(e->what.node, "axis", 0), begin = 0, count = 0;
    if (!lorac_constant_axis(&axis, x->rank))
        return lorac_constant_refuse(e, "axis outside the rank");
    if (!split_part(e, x->dims[axis], &begin, &count))
        return lorac_constant_refuse(e, "its parts do not add up to the dimension, or are not as many as its outputs");
    int64_t first[LORAC_CONSTANT_MAX_RANK] = {0}, dims[LORAC_CONSTANT_MAX_RANK];
    static const int64_t ones[LORAC_CONSTANT_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    memcpy(dims, x->dims, sizeof dims);
    first[axis] = begin;
    dims[axis] = count;
    return take_box(e, x, first, ones, dims, out);
}

static enum lorac_status eval_expand(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *shape = lorac_constant_input(e, 1);
    size_t rank = shape->count > x->rank ? shape->count : x->rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK], strides[LORAC_CONSTANT_MAX_RANK];
    struct lorac_walk walk = {.rank = rank, .dims = dims};
    if (rank > LORAC_CONSTANT_MAX_RANK)
        return lorac_constant_refuse(e, "a shape of more than 8 dimensions");
    lorac_constant_strides(x->dims, x->rank, strides);
    for (size_t i = 0; i < rank; i++) {
        int64_t have = i + x->rank >= rank ? x->dims[i + x->rank - rank] : 1;
        int64_t want = i + shape->count >= rank ? lorac_constant_int(shape, i + shape->count - rank) : 1;
        if (want != have && want != 1 && have != 1)
            return lorac_constant_refuse(e, "the shape does not fit the elements");
        dims[i] = have == 1 ? want : have;
        walk.strides[0][i] = have == 1 ? 0 : strides[i + x->rank - rank];
    }
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, rank, out));
    lorac_constant_fill(out, x, &walk);
    return LORAC_OK;
}

// As a walk over [repeat, dim] for each dimension, where going along `repeat` moves nothing.
static enum lorac_status eval_tile(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *repeats = lorac_constant_input(e, 1);
    int64_t dims[LORAC_CONSTANT_MAX_RANK], strides[LORAC_CONSTANT_MAX_RANK], pairs[LORAC_WALK_MAX_RANK];
    struct lorac_walk walk = {.rank = 2 * x->rank, .dims = pairs};
    if (repeats->count != x->rank)
        return lorac_constant_refuse(e, "repeats does not have one entry per dimension");
    lorac_constant_strides(x->dims, x->rank, strides);
    for (size_t i = 0; i < x->rank; i++) {
        int64_t times = lorac_constant_int(repeats, i);
        if (times < 0 || (x->dims[i] > 0 && times > INT64_MAX / x->dims[i]))
            return lorac_constant_refuse(e, "a repeat is negative or too large");
        pairs[2 * i] = times;
        pairs[2 * i + 1] = x->dims[i];
        walk.strides[0][2 * i + 1] = strides[i];
        dims[i] = times * x->dims[i];
    }
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, x->rank, out));
    lorac_constant_fill(out, x, &walk);
    return LORAC_OK;
}

// ---- elements put together

static enum lorac_status eval_gather(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *indices = lorac_constant_input(e, 1);
    int64_t axis = lorac_node_int(e->what.node, "axis", 0);
    if (!lorac_constant_axis(&axis, x->rank) || x->rank - 1 + indices->rank > LORAC_CONSTANT_MAX_RANK)
        return lorac_constant_refuse(e, "axis outside the rank");
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t rank = 0;
    for (size_t i = 0; i < (size_t)axis; i++)
        dims[rank++] = x->dims[i];
    for (size_t i = 0; i < indices->rank; i++)
        dims[rank++] = indices->dims[i];
    for (size_t i = (size_t)axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, rank, out));
    if (out->count == 0)
        return LORAC_OK;
    size_t outer = lorac_constant_product(x->dims, 0, (size_t)axis);
    size_t inner = lorac_constant_product(x->dims, (size_t)axis + 1, x->rank);
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < indices->count; k++) {
            int64_t index = lorac_constant_int(indices, k);
            if (!lorac_constant_axis(&index, (size_t)x->dims[axis]))
                return lorac_constant_refuse(e, "an index is outside the axis");
            copy_run(out, (o * indices->count + k) * inner, x, (o * (size_t)x->dims[axis] + (size_t)index) * inner,
                     inner);
        }
    return LORAC_OK;
}

static enum lorac_status eval_concat(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *first = lorac_constant_input(e, 0);
    int64_t axis = lorac_node_int(e->what.node, "axis", 0), total = 0;
    if (!lorac_constant_axis(&axis, first->rank))
        return lorac_constant_refuse(e, "axis outside the rank");
    for (size_t k = 0; k < e->what.input_count; k++) {
        const struct lorac_constant *x = lorac_constant_input(e, k);
        if (!x || x->rank != first->rank || x->data_type != first->data_type)
            return lorac_constant_refuse(e, "inputs of different rank or type");
        for (size_t i = 0; i < x->rank; i++)
            if (i != (size_t)axis && x->dims[i] != first->dims[i])
                return lorac_constant_refuse(e, "inputs of different size");
        if (x->dims[axis] > INT64_MAX - total)
            return lorac_constant_refuse(e, "the result is too large");
        total += x->dims[axis];
    }
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = total;
    LORAC_TRY(lorac_constant_result(e, first->data_type, dims, first->rank, out));
    if (out->count == 0)
        return LORAC_OK;
    size_t outer = lorac_constant_product(dims, 0, (size_t)axis), at = 0;
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < e->what.input_count; k++) {
            const struct lorac_constant *x = lorac_constant_input(e, k);
            size_t run = lorac_constant_product(x->dims, (size_t)axis, x->rank);
            copy_run(out, at, x, o * run, run);
            at += run;
        }
    return LORAC_OK;
}

// How much each side of each dimension grows (shrinks, where negative), from the attribute (opset 10 and before) or
// the inputs pads and axes.
static enum lorac_status read_pads(const struct evaluation *e, size_t rank, int64_t *before, int64_t *after)
{
    const struct lorac_constant *pads = lorac_constant_input(e, 1), *axes = lorac_constant_input(e, 3);
    const int64_t *attribute = NULL;
    size_t count = pads ? pads->count : lorac_node_ints(e->what.node, "pads", &attribute);
    size_t axis_count = axes ? axes->count : rank;
    if (axis_count > LORAC_CONSTANT_MAX_RANK || count != 2 * axis_count)
        return lorac_constant_refuse(e, "pads does not have two entries per axis");
    for (size_t k = 0; k < axis_count; k++) {
        int64_t axis = axes ? lorac_constant_int(axes, k) : (int64_t)k;
        if (!lorac_constant_axis(&axis, rank))
            return lorac_constant_refuse(e, "an axis is outside the rank");
        before[axis] = pads ? lorac_constant_int(pads, k) : attribute[k];
        after[axis] = pads ? lorac_constant_int(pads, axis_count + k) : attribute[axis_count + k];
    }
    return LORAC_OK;
}

static enum lorac_status set_all(struct lorac_constant *out, const struct evaluation *e)
{
    const struct lorac_constant *given = lorac_constant_input(e, 2);
    double attribute = (double)lorac_node_float(e->what.node, "value", 0);
    struct lorac_constant value = {.floating = true, .floats = &attribute, .count = 1};
    if (given && given->count != 1)
        return lorac_constant_refuse(e, "constant_value is not one element");
    for (size_t i = 0; i < out->count; i++)
        lorac_constant_copy_element(out, i, given ? given : &value, 0);
    return LORAC_OK;
}

static enum lorac_status eval_pad(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    int64_t before[LORAC_CONSTANT_MAX_RANK] = {0}, after[LORAC_CONSTANT_MAX_RANK] = {0};
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    if (strcmp(lorac_node_string(e->what.model, e->what.node, "mode", "constant"), "constant") != 0)
        return lorac_constant_refuse(e, "only mode 'constant' is supported where it is constant");
    LORAC_TRY(read_pads(e, x->rank, before, after));
    for (size_t i = 0; i < x->rank; i++) {
        const int64_t limit = INT64_C(1) << 40; // of each term, so that the sum fits
        if (x->dims[i] > limit || before[i] > limit || before[i] < -limit || after[i] > limit || after[i] < -limit)
            return lorac_constant_refuse(e, "a pad is too large");
        dims[i] = x->dims[i] + before[i] + after[i];
    }
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, x->rank, out));
    LORAC_TRY(set_all(out, e));
    struct lorac_walk walk = {.rank = x->rank, .dims = dims, .position_count = 1};
    for (size_t at = 0; at < out->count; at++, lorac_walk_next(&walk)) {
        size_t from = 0;
        bool inside = true;
        for (size_t i = 0; i < x->rank && inside; i++) {
            int64_t index = walk.index[i] - before[i];
            inside = index >= 0 && index < x->dims[i];
            from = from * (size_t)x->dims[i] + (size_t)index;
        }
        if (inside)
            copy_run(out, at, x, from, 1);
    }
    return LORAC_OK;
}

const struct lorac_constant_op lorac_constant_layout_ops[] = {
    {"Identity", 1, eval_identity},
    {"Dropout", 1, eval_dropout},
    {"Shape", 1, eval_shape},
    {"Size", 1, eval_size},
    {"Unsqueeze", 1, eval_unsqueeze},
    {"Squeeze", 1, eval_squeeze},
    {"Reshape", 2, eval_reshape},
    {"Flatten", 1, eval_flatten},
    {"Transpose", 1, eval_transpose},
    {"Slice", 1, eval_slice},
    {"Split", 1, eval_split},
    {"Expand", 2, eval_expand},
    {"Tile", 2, eval_tile},
    {"Gather", 2, eval_gather},
    {"Concat", 1, eval_concat},
    {"Pad", 1, eval_pad},
    {NULL, 0, NULL},
};
