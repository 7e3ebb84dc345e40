#include "constant.h"

#include "constant_internal.h"
#include "size.h"
#include "tensor.h"

#include <string.h>

// ---- making constants

enum lorac_status lorac_constant_init(struct lorac_constant *out, int32_t data_type, const int64_t *dims, size_t rank,
                                      struct lorac_arena *arena, struct lorac_error *error)
{
    memset(out, 0, sizeof(*out));
    if (rank > LORAC_CONSTANT_MAX_RANK)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "a constant of rank %zu (at most %d are supported)",
                               rank, LORAC_CONSTANT_MAX_RANK);
    if (!lorac_size_of_dims(dims, rank, &out->count))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "a constant whose dimensions are negative or overflow");
    out->data_type = data_type;
    out->floating = lorac_constant_type_is_floating(data_type);
    out->rank = rank;
    for (size_t i = 0; i < rank; i++)
        out->dims[i] = dims[i];
    void *data = lorac_arena_alloc_array(arena, out->count, sizeof(int64_t));
    if (!data)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a constant of %zu elements", out->count);
    if (out->floating)
        out->floats = data;
    else
        out->ints = data;
    return LORAC_OK;
}

bool lorac_constant_type_is_floating(int32_t data_type)
{
    return data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
           data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 || data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

enum lorac_status lorac_constant_from_tensor(const Onnx__TensorProto *tensor, struct lorac_arena *arena,
                                             struct lorac_constant *out, struct lorac_error *error)
{
    struct lorac_constant constant;
    LORAC_TRY(lorac_constant_init(&constant, tensor->data_type, tensor->dims, tensor->n_dims, arena, error));
    if (constant.floating)
        LORAC_TRY(lorac_tensor_to_double(tensor, constant.floats, constant.count, error));
    else
        LORAC_TRY(lorac_tensor_to_int64(tensor, constant.ints, constant.count, error));
    *out = constant;
    return LORAC_OK;
}

int64_t lorac_constant_int(const struct lorac_constant *constant, size_t i)
{
    if (!constant->floating)
        return constant->ints[i];
    // A float stands where an integer belongs only in broken files; whoever reads it checks its range.
    double value = constant->floats[i];
    if (!(value > -9.2e18))
        return INT64_MIN; // also NaN
    return value < 9.2e18 ? (int64_t)value : INT64_MAX;
}

void lorac_constant_copy_element(struct lorac_constant *to, size_t to_index, const struct lorac_constant *from,
                                 size_t from_index)
{
    if (to->floating)
        to->floats[to_index] = from->floating ? from->floats[from_index] : (double)from->ints[from_index];
    else
        to->ints[to_index] = lorac_constant_int(from, from_index);
}

// The same elements under other dims (same count).
static struct lorac_constant with_dims(const struct lorac_constant *from, const int64_t *dims, size_t rank)
{
    struct lorac_constant out = *from;
    out.rank = rank;
    for (size_t i = 0; i < rank; i++)
        out.dims[i] = dims[i];
    return out;
}

// ---- arguments of a node

struct evaluation {
    struct lorac_model *model;
    const Onnx__NodeProto *node;
    const struct lorac_constant *const *inputs;
    size_t input_count;
    struct lorac_arena *arena;
    struct lorac_error *error;
};

static enum lorac_status refuse(const struct evaluation *e, const char *what)
{
    return lorac_error_set(e->error, LORAC_ERROR_UNSUPPORTED, "node '%s' (%s): %s", lorac_node_name(e->node),
                           e->node->op_type, what);
}

static const struct lorac_constant *input(const struct evaluation *e, size_t i)
{
    return i < e->input_count ? e->inputs[i] : NULL;
}

bool lorac_int_list_read(const Onnx__NodeProto *node, const char *attribute, const struct lorac_constant *constant,
                         struct lorac_int_list *out)
{
    memset(out, 0, sizeof(*out));
    const int64_t *values = NULL;
    out->count = constant ? constant->count : lorac_node_ints(node, attribute, &values);
    out->given = constant || lorac_node_attribute(node, attribute);
    for (size_t k = 0; k < out->count && k < LORAC_CONSTANT_MAX_RANK; k++)
        out->values[k] = constant ? lorac_constant_int(constant, k) : values[k];
    return out->count <= LORAC_CONSTANT_MAX_RANK;
}

static enum lorac_status int_list(const struct evaluation *e, const char *attribute, size_t i,
                                  struct lorac_int_list *out)
{
    return lorac_int_list_read(e->node, attribute, input(e, i), out) ? LORAC_OK
                                                                     : refuse(e, "a list of more than 8 axes");
}

static bool normalize_axis(int64_t *axis, size_t rank)
{
    if (*axis < 0)
        *axis += (int64_t)rank;
    return *axis >= 0 && *axis < (int64_t)rank;
}

static size_t product(const int64_t *dims, size_t begin, size_t end)
{
    size_t count = 1;
    for (size_t i = begin; i < end; i++)
        count *= (size_t)dims[i];
    return count;
}

// ---- the operators

static enum lorac_status eval_identity(const struct evaluation *e, struct lorac_constant *out)
{
    *out = *input(e, 0);
    return LORAC_OK;
}

static enum lorac_status eval_shape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0);
    int64_t begin = lorac_node_int(e->node, "start", 0), end = lorac_node_int(e->node, "end", INT64_MAX);
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

static enum lorac_status eval_cast(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0);
    int32_t to = (int32_t)lorac_node_int(e->node, "to", 0);
    bool known = to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || to == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
                 to == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 || to == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
                 to == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    if (!known)
        return refuse(e, "casting a constant to this type is not supported");
    LORAC_TRY(lorac_constant_init(out, to, x->dims, x->rank, e->arena, e->error));
    for (size_t i = 0; i < x->count; i++) {
        if (!out->floating && x->floating && !(x->floats[i] > -9.2e18 && x->floats[i] < 9.2e18))
            return refuse(e, "a value does not fit an integer");
        lorac_constant_copy_element(out, i, x, i);
        if (to == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL)
            out->ints[i] = x->floating ? x->floats[i] != 0.0 : x->ints[i] != 0;
        if (to == ONNX__TENSOR_PROTO__DATA_TYPE__INT32)
            out->ints[i] = (int32_t)out->ints[i];
        if (to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
            out->floats[i] = (float)out->floats[i];
    }
    return LORAC_OK;
}

static enum lorac_status eval_gather(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0), *indices = input(e, 1);
    int64_t axis = lorac_node_int(e->node, "axis", 0);
    if (!normalize_axis(&axis, x->rank) || x->rank - 1 + indices->rank > LORAC_CONSTANT_MAX_RANK)
        return refuse(e, "axis outside the rank");
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t rank = 0;
    for (size_t i = 0; i < (size_t)axis; i++)
        dims[rank++] = x->dims[i];
    for (size_t i = 0; i < indices->rank; i++)
        dims[rank++] = indices->dims[i];
    for (size_t i = (size_t)axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    LORAC_TRY(lorac_constant_init(out, x->data_type, dims, rank, e->arena, e->error));
    size_t outer = product(x->dims, 0, (size_t)axis), inner = product(x->dims, (size_t)axis + 1, x->rank);
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < indices->count; k++) {
            int64_t index = lorac_constant_int(indices, k);
            if (index < 0)
                index += x->dims[axis];
            if (index < 0 || index >= x->dims[axis])
                return refuse(e, "an index is outside the axis");
            for (size_t i = 0; i < inner; i++)
                lorac_constant_copy_element(out, (o * indices->count + k) * inner + i, x,
                                            (o * (size_t)x->dims[axis] + (size_t)index) * inner + i);
        }
    return LORAC_OK;
}

static enum lorac_status eval_unsqueeze(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0);
    struct lorac_int_list axes;
    LORAC_TRY(int_list(e, "axes", 1, &axes));
    size_t rank = x->rank + axes.count;
    bool fresh[LORAC_CONSTANT_MAX_RANK] = {false};
    if (rank > LORAC_CONSTANT_MAX_RANK)
        return refuse(e, "the result would have more than 8 dimensions");
    for (size_t i = 0; i < axes.count; i++) {
        if (!normalize_axis(&axes.values[i], rank) || fresh[axes.values[i]])
            return refuse(e, "an axis is outside the rank, or twice there");
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
    const struct lorac_constant *x = input(e, 0);
    struct lorac_int_list axes;
    LORAC_TRY(int_list(e, "axes", 1, &axes));
    bool gone[LORAC_CONSTANT_MAX_RANK] = {false};
    for (size_t i = 0; i < axes.count; i++) {
        if (!normalize_axis(&axes.values[i], x->rank) || x->dims[axes.values[i]] != 1)
            return refuse(e, "an axis is outside the rank, or its size is not 1");
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

static enum lorac_status eval_concat(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *first = input(e, 0);
    int64_t axis = lorac_node_int(e->node, "axis", 0), total = 0;
    if (!normalize_axis(&axis, first->rank))
        return refuse(e, "axis outside the rank");
    for (size_t k = 0; k < e->input_count; k++) {
        const struct lorac_constant *x = input(e, k);
        if (!x || x->rank != first->rank || x->floating != first->floating)
            return refuse(e, "inputs of different rank or type");
        for (size_t i = 0; i < x->rank; i++)
            if (i != (size_t)axis && x->dims[i] != first->dims[i])
                return refuse(e, "inputs of different size");
        if (x->dims[axis] > INT64_MAX - total)
            return refuse(e, "the result is too large");
        total += x->dims[axis];
    }
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = total;
    LORAC_TRY(lorac_constant_init(out, first->data_type, dims, first->rank, e->arena, e->error));
    size_t outer = product(dims, 0, (size_t)axis), at = 0;
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < e->input_count; k++) {
            const struct lorac_constant *x = input(e, k);
            size_t run = product(x->dims, (size_t)axis, x->rank);
            for (size_t i = 0; i < run; i++)
                lorac_constant_copy_element(out, at++, x, o * run + i);
        }
    return LORAC_OK;
}

static enum lorac_status eval_constant_of_shape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *shape = input(e, 0);
    const Onnx__AttributeProto *attribute = lorac_node_attribute(e->node, "value");
    struct lorac_constant value;
    int64_t one = 1, dims[LORAC_CONSTANT_MAX_RANK];
    if (attribute && attribute->t)
        LORAC_TRY(lorac_constant_from_tensor(attribute->t, e->arena, &value, e->error));
    else
        LORAC_TRY(lorac_constant_init(&value, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, &one, 1, e->arena, e->error));
    if (value.count != 1 || shape->count > LORAC_CONSTANT_MAX_RANK)
        return refuse(e, "its value is not one element, or the shape has more than 8 dimensions");
    for (size_t i = 0; i < shape->count; i++)
        dims[i] = lorac_constant_int(shape, i);
    LORAC_TRY(lorac_constant_init(out, value.data_type, dims, shape->count, e->arena, e->error));
    for (size_t i = 0; i < out->count; i++)
        lorac_constant_copy_element(out, i, &value, 0);
    return LORAC_OK;
}

static enum lorac_status eval_reshape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0), *shape = input(e, 1);
    if (!shape || shape->count > LORAC_CONSTANT_MAX_RANK)
        return refuse(e, "no shape, or one of more than 8 dimensions");
    int64_t target[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0; i < shape->count; i++)
        target[i] = lorac_constant_int(shape, i);
    if (!lorac_reshape_dims(x->dims, x->rank, target, shape->count, lorac_node_int(e->node, "allowzero", 0) != 0, dims))
        return refuse(e, "the target shape does not fit the elements");
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

static enum lorac_status eval_transpose(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = input(e, 0);
    const int64_t *perm;
    size_t given = lorac_node_ints(e->node, "perm", &perm);
    size_t stride[LORAC_CONSTANT_MAX_RANK];
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    bool used[LORAC_CONSTANT_MAX_RANK] = {false};
    if (given && given != x->rank)
        return refuse(e, "perm does not have one entry per dimension");
    for (size_t i = 0; i < x->rank; i++) {
        int64_t axis = given ? perm[i] : (int64_t)(x->rank - 1 - i);
        if (axis < 0 || axis >= (int64_t)x->rank || used[axis])
            return refuse(e, "perm is not a permutation");
        used[axis] = true;
        dims[i] = x->dims[axis];
        stride[i] = product(x->dims, (size_t)axis + 1, x->rank);
    }
    LORAC_TRY(lorac_constant_init(out, x->data_type, dims, x->rank, e->arena, e->error));
    for (size_t at = 0; at < out->count; at++) {
        size_t rest = at, source = 0;
        for (size_t i = x->rank; i-- > 0;) {
            source += rest % (size_t)dims[i] * stride[i];
            rest /= (size_t)dims[i];
        }
        lorac_constant_copy_element(out, at, x, source);
    }
    return LORAC_OK;
}

// ---- slice, shared with the Slice kernel

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
    const struct lorac_constant *x = input(e, 0);
    struct lorac_int_list starts, ends, axes, steps;
    LORAC_TRY(int_list(e, "starts", 1, &starts));
    LORAC_TRY(int_list(e, "ends", 2, &ends));
    LORAC_TRY(int_list(e, "axes", 3, &axes));
    LORAC_TRY(int_list(e, "steps", 4, &steps));
    if (starts.count != ends.count || (axes.given && axes.count != starts.count) ||
        (steps.given && steps.count != starts.count) || starts.count > x->rank)
        return refuse(e, "starts, ends, axes and steps are not equally long");
    int64_t first[LORAC_CONSTANT_MAX_RANK] = {0}, step[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0; i < x->rank; i++) {
        dims[i] = x->dims[i];
        step[i] = 1;
    }
    for (size_t k = 0; k < starts.count; k++) {
        int64_t axis = axes.given ? axes.values[k] : (int64_t)k;
        if (!normalize_axis(&axis, x->rank))
            return refuse(e, "an axis is outside the rank");
        step[axis] = steps.given ? steps.values[k] : 1;
        if (!lorac_slice_axis(x->dims[axis], starts.values[k], ends.values[k], step[axis], &first[axis], &dims[axis]))
            return refuse(e, "a step of zero");
    }
    LORAC_TRY(lorac_constant_init(out, x->data_type, dims, x->rank, e->arena, e->error));
    for (size_t at = 0; at < out->count; at++) {
        size_t rest = at, source = 0, stride = 1;
        for (size_t i = x->rank; i-- > 0;) {
            int64_t index = first[i] + (int64_t)(rest % (size_t)dims[i]) * step[i];
            source += (size_t)index * stride;
            stride *= (size_t)x->dims[i];
            rest /= (size_t)dims[i];
        }
        lorac_constant_copy_element(out, at, x, source);
    }
    return LORAC_OK;
}

// ---- the table

static enum lorac_status eval_arithmetic(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *a = input(e, 0), *b = input(e, 1);
    if (!b)
        return refuse(e, "the second input is missing");
    enum lorac_status status = lorac_constant_arithmetic(e->node->op_type, a, b, e->arena, out, e->error);
    if (status != LORAC_OK)
        lorac_error_prefix(e->error, "node '%s' (%s): ", lorac_node_name(e->node), e->node->op_type);
    return status;
}

struct entry {
    const char *op_type;
    size_t required; // inputs that must be there
    enum lorac_status (*evaluate)(const struct evaluation *e, struct lorac_constant *out);
};

static const struct entry ENTRIES[] = {
    {"Identity", 1, eval_identity},   {"Shape", 1, eval_shape},
    {"Cast", 1, eval_cast},           {"Gather", 2, eval_gather},
    {"Unsqueeze", 1, eval_unsqueeze}, {"Squeeze", 1, eval_squeeze},
    {"Concat", 1, eval_concat},       {"ConstantOfShape", 1, eval_constant_of_shape},
    {"Reshape", 2, eval_reshape},     {"Transpose", 1, eval_transpose},
    {"Slice", 1, eval_slice},         {"Add", 2, eval_arithmetic},
    {"Sub", 2, eval_arithmetic},      {"Mul", 2, eval_arithmetic},
    {"Div", 2, eval_arithmetic},      {"MatMul", 2, eval_arithmetic},
};

static const struct entry *find_entry(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < sizeof ENTRIES / sizeof *ENTRIES; i++)
        if (lorac_node_is(node, ENTRIES[i].op_type))
            return &ENTRIES[i];
    return NULL;
}

bool lorac_constant_knows(const Onnx__NodeProto *node)
{
    return find_entry(node) != NULL;
}

enum lorac_status lorac_constant_evaluate(struct lorac_model *model, const Onnx__NodeProto *node,
                                          const struct lorac_constant *const *inputs, size_t input_count,
                                          struct lorac_arena *arena, struct lorac_constant *out,
                                          struct lorac_error *error)
{
    struct evaluation e = {model, node, inputs, input_count, arena, error};
    const struct entry *entry = find_entry(node);
    if (!entry)
        return refuse(&e, "constant arithmetic with this operator is not supported");
    for (size_t i = 0; i < entry->required; i++)
        if (!input(&e, i))
            return refuse(&e, "an input is missing");
    struct lorac_constant result;
    LORAC_TRY(entry->evaluate(&e, &result));
    *out = result;
    return LORAC_OK;
}
