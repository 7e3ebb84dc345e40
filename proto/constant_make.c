// Operators that make elements or change their type: Constant, ConstantOfShape, Range, Cast, quantisation.
#include "constant_internal.h"
#include "tensor.h"

#include <math.h>
#include <string.h>

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

// ---- Constant

static enum lorac_status constant_of_floats(const struct evaluation *e, const float *values, const int64_t *count,
                                            struct lorac_constant *out)
{
    LORAC_TRY(lorac_constant_result(e, TYPE(FLOAT), count, count ? 1 : 0, out));
    for (size_t i = 0; i < out->count; i++)
        out->floats[i] = (double)values[i];
    return LORAC_OK;
}

static enum lorac_status constant_of_ints(const struct evaluation *e, const int64_t *values, const int64_t *count,
                                          struct lorac_constant *out)
{
    LORAC_TRY(lorac_constant_result(e, TYPE(INT64), count, count ? 1 : 0, out));
    for (size_t i = 0; i < out->count; i++)
        out->ints[i] = values[i];
    return LORAC_OK;
}

static enum lorac_status eval_constant(const struct evaluation *e, struct lorac_constant *out)
{
    const Onnx__NodeProto *node = e->what.node;
    const Onnx__AttributeProto *a;
    int64_t count;
    if ((a = lorac_node_attribute(node, "value")) && a->t)
        return lorac_constant_from_tensor(e->what.model, a->t, e->arena, out, e->error);
    if ((a = lorac_node_attribute(node, "value_float")))
        return constant_of_floats(e, &a->f, NULL, out);
    if ((a = lorac_node_attribute(node, "value_floats"))) {
        count = (int64_t)a->n_floats;
        return constant_of_floats(e, a->floats, &count, out);
    }
    if ((a = lorac_node_attribute(node, "value_int")))
        return constant_of_ints(e, &a->i, NULL, out);
    if ((a = lorac_node_attribute(node, "value_ints"))) {
        count = (int64_t)a->n_ints;
        return constant_of_ints(e, a->ints, &count, out);
    }
    if (lorac_node_attribute(node, "sparse_value"))
        return lorac_constant_refuse(e, "a sparse constant is not supported");
    if (lorac_node_attribute(node, "value_string") || lorac_node_attribute(node, "value_strings"))
        return lorac_constant_refuse(e, "a constant of strings is not supported");
    return lorac_constant_refuse(e, "it has no value");
}

static enum lorac_status eval_constant_of_shape(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *shape = lorac_constant_input(e, 0);
    const Onnx__AttributeProto *attribute = lorac_node_attribute(e->what.node, "value");
    struct lorac_constant value;
    int64_t one = 1, dims[LORAC_CONSTANT_MAX_RANK];
    if (attribute && attribute->t)
        LORAC_TRY(lorac_constant_from_tensor(e->what.model, attribute->t, e->arena, &value, e->error));
    else
        LORAC_TRY(lorac_constant_result(e, TYPE(FLOAT), &one, 1, &value));
    if (value.count != 1 || shape->count > LORAC_CONSTANT_MAX_RANK)
        return lorac_constant_refuse(e, "its value is not one element, or the shape has more than 8 dimensions");
    for (size_t i = 0; i < shape->count; i++)
        dims[i] = lorac_constant_int(shape, i);
    LORAC_TRY(lorac_constant_result(e, value.data_type, dims, shape->count, out));
    for (size_t i = 0; i < out->count; i++)
        lorac_constant_copy_element(out, i, &value, 0);
    return LORAC_OK;
}

// ---- Range

static bool range_of_ints(int64_t start, int64_t limit, int64_t delta, int64_t *count)
{
    *count = 0;
    if (delta == 0)
        return false;
    if (delta > 0 ? start >= limit : start <= limit)
        return true;
    // The distance of two int64 fits uint64; so does the step's size, that of INT64_MIN included.
    uint64_t distance = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t step = delta > 0 ? (uint64_t)delta : -(uint64_t)delta;
    uint64_t steps = (distance - 1) / step + 1;
    *count = (int64_t)(steps & INT64_MAX);
    return steps <= INT64_MAX;
}

static enum lorac_status eval_range(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *start = lorac_constant_input(e, 0), *limit = lorac_constant_input(e, 1);
    const struct lorac_constant *delta = lorac_constant_input(e, 2);
    int64_t count = 0;
    if (start->count != 1 || limit->count != 1 || delta->count != 1 || start->data_type != limit->data_type ||
        start->data_type != delta->data_type)
        return lorac_constant_refuse(e, "start, limit and delta are not three scalars of one type");
    if (!start->floating && !range_of_ints(start->ints[0], limit->ints[0], delta->ints[0], &count))
        return lorac_constant_refuse(e, "a step of zero, or too many numbers");
    if (start->floating) {
        double steps = ceil((limit->floats[0] - start->floats[0]) / delta->floats[0]);
        if (!(steps < 9e18))
            return lorac_constant_refuse(e, "a step of zero, or too many numbers");
        count = steps > 0 ? (int64_t)steps : 0;
    }
    LORAC_TRY(lorac_constant_result(e, start->data_type, &count, 1, out));
    for (size_t i = 0; i < out->count; i++)
        if (out->floating)
            out->floats[i] = lorac_constant_round(out->data_type, start->floats[0] + (double)i * delta->floats[0]);
        else
            out->ints[i] = (int64_t)((uint64_t)start->ints[0] + (uint64_t)i * (uint64_t)delta->ints[0]);
    return LORAC_OK;
}

// ---- Cast

static bool is_integer_type(int32_t type)
{
    switch (type) {
    case TYPE(BOOL):
    case LORAC_TYPE_INT2:
    case LORAC_TYPE_UINT2:
    case LORAC_TYPE_INT4:
    case LORAC_TYPE_UINT4:
    case TYPE(INT8):
    case TYPE(UINT8):
    case TYPE(INT16):
    case TYPE(UINT16):
    case TYPE(INT32):
    case TYPE(UINT32):
    case TYPE(INT64):
    case TYPE(UINT64):
        return true;
    default:
        return false;
    }
}

// Floats are cut towards zero and must fit; integers wrap, as in every engine.
static bool cast_element(struct lorac_constant *out, const struct lorac_constant *x, size_t i)
{
    if (out->floating) {
        double value = x->floating ? x->floats[i] : (double)x->ints[i];
        // An integer of 64 bits must not pass through double on its way to float.
        if (!x->floating && out->data_type == TYPE(FLOAT))
            value = (double)(float)x->ints[i];
        out->floats[i] = lorac_constant_round(out->data_type, value);
        return true;
    }
    if (out->data_type == TYPE(BOOL)) {
        out->ints[i] = x->floating ? x->floats[i] != 0.0 : x->ints[i] != 0;
        return true;
    }
    if (x->floating && !(x->floats[i] > -9.2e18 && x->floats[i] < 9.2e18))
        return false;
    int64_t whole = x->floating ? (int64_t)x->floats[i] : x->ints[i];
    out->ints[i] = lorac_constant_wrap(out->data_type, whole);
    return !x->floating || (out->ints[i] == whole && (out->data_type != TYPE(UINT64) || whole >= 0));
}

static enum lorac_status cast_to(const struct evaluation *e, int32_t type, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    if (!lorac_tensor_type_is_floating(type) && !is_integer_type(type))
        return lorac_constant_refuse(e, "casting a constant to this type is not supported");
    LORAC_TRY(lorac_constant_result(e, type, x->dims, x->rank, out));
    for (size_t i = 0; i < x->count; i++)
        if (!cast_element(out, x, i))
            return lorac_constant_refuse(e, "a value does not fit the integer type");
    return LORAC_OK;
}

static enum lorac_status eval_cast(const struct evaluation *e, struct lorac_constant *out)
{
    int64_t to = lorac_node_int(e->what.node, "to", 0);
    return cast_to(e, to > 0 && to < INT32_MAX ? (int32_t)to : 0, out);
}

static enum lorac_status eval_cast_like(const struct evaluation *e, struct lorac_constant *out)
{
    return cast_to(e, lorac_constant_input(e, 1)->data_type, out);
}

// ---- quantisation: y = (x - zero_point) * scale, and back

// Which element of the scale (and the zero point) belongs to an element of x: always the first, the one of its index
// on [axis], or, with block_size, the one of its block along [axis].
struct scale_walk {
    struct lorac_walk walk; // over x; position 0 is the scale's, but for the axis where that is blocked
    size_t axis;
    int64_t block, stride; // of a blocked axis
};

static enum lorac_status blocked_scale(const struct evaluation *e, const struct lorac_constant *x,
                                       const struct lorac_constant *scale, int64_t axis, struct scale_walk *out)
{
    int64_t strides[LORAC_CONSTANT_MAX_RANK], block = lorac_node_int(e->what.node, "block_size", 0);
    bool fits = block > 0 && scale->rank == x->rank;
    for (size_t i = 0; fits && i < x->rank; i++)
        fits = scale->dims[i] == (i == (size_t)axis ? x->dims[i] / block + (x->dims[i] % block != 0) : x->dims[i]);
    if (!fits)
        return lorac_constant_refuse(e, "the scale does not have one element per block");
    lorac_constant_strides(scale->dims, scale->rank, strides);
    for (size_t i = 0; i < x->rank; i++)
        out->walk.strides[0][i] = i == (size_t)axis ? 0 : strides[i];
    out->axis = (size_t)axis;
    out->block = block;
    out->stride = strides[axis];
    return LORAC_OK;
}

static enum lorac_status follow_scale(const struct evaluation *e, struct scale_walk *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *scale = lorac_constant_input(e, 1);
    const struct lorac_constant *zero = lorac_constant_input(e, 2);
    int64_t axis = lorac_node_int(e->what.node, "axis", 1);
    bool blocked = lorac_node_int(e->what.node, "block_size", 0) != 0;
    *out = (struct scale_walk){.walk = {.rank = x->rank, .dims = x->dims, .position_count = 1}, .block = 1};
    if (!scale->floating || (zero && zero->count != scale->count))
        return lorac_constant_refuse(e, "the scale is no floating type, or not of the zero point's size");
    if (scale->count == 1 && !blocked)
        return LORAC_OK;
    if (!lorac_constant_axis(&axis, x->rank))
        return lorac_constant_refuse(e, "axis outside the rank");
    if (blocked)
        return blocked_scale(e, x, scale, axis, out);
    if (scale->rank != 1 || scale->dims[0] != x->dims[axis])
        return lorac_constant_refuse(e, "the scale does not have one element per index of the axis");
    out->walk.strides[0][axis] = 1;
    return LORAC_OK;
}

static size_t scale_index(const struct scale_walk *scale)
{
    int64_t block = scale->stride ? scale->walk.index[scale->axis] / scale->block * scale->stride : 0;
    return (size_t)(scale->walk.position[0] + block);
}

static bool is_quantised_type(const struct lorac_constant *x)
{
    bool wide = x->data_type == TYPE(INT64) || x->data_type == TYPE(UINT64) || x->data_type == TYPE(UINT32);
    return !x->floating && !wide && x->data_type != TYPE(BOOL);
}

static enum lorac_status eval_dequantize(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *scale = lorac_constant_input(e, 1);
    const struct lorac_constant *zero = lorac_constant_input(e, 2);
    struct scale_walk walk;
    int64_t type = lorac_node_int(e->what.node, "output_dtype", scale->data_type);
    if (!is_quantised_type(x) || (zero && zero->data_type != x->data_type))
        return lorac_constant_refuse(e, "the quantised values and the zero point are not of one integer type");
    LORAC_TRY(follow_scale(e, &walk));
    if (type != scale->data_type)
        return lorac_constant_refuse(e, "output_dtype is not the scale's type");
    LORAC_TRY(lorac_constant_result(e, scale->data_type, x->dims, x->rank, out));
    for (size_t i = 0; i < x->count; i++, lorac_walk_next(&walk.walk)) {
        size_t at = scale_index(&walk);
        // Integers of 32 bits are rounded to float before the product, as engines do.
        float difference = (float)(x->ints[i] - (zero ? zero->ints[at] : 0));
        out->floats[i] = lorac_constant_round(out->data_type, (double)difference * scale->floats[at]);
    }
    return LORAC_OK;
}

static bool integer_limits(int32_t type, double *low, double *high)
{
    switch (type) {
    case LORAC_TYPE_INT4:
    case LORAC_TYPE_UINT4:
        *low = type == LORAC_TYPE_INT4 ? -8 : 0;
        *high = *low + 15;
        return true;
    case TYPE(INT8):
    case TYPE(INT16):
        *high = type == TYPE(INT8) ? 127 : 32767;
        *low = -*high - 1;
        return true;
    case TYPE(UINT8):
    case TYPE(UINT16):
        *high = type == TYPE(UINT8) ? 255 : 65535;
        *low = 0;
        return true;
    default:
        return false;
    }
}

static double half_to_even(double value)
{
    double down = floor(value), rest = value - down;
    if (rest > 0.5 || (rest == 0.5 && fmod(down, 2) != 0))
        return down + 1;
    return down;
}

static enum lorac_status eval_quantize(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0), *scale = lorac_constant_input(e, 1);
    const struct lorac_constant *zero = lorac_constant_input(e, 2);
    struct scale_walk walk;
    double low = 0, high = 0;
    int64_t type = lorac_node_int(e->what.node, "output_dtype", 0);
    if (type == 0)
        type = zero ? zero->data_type : TYPE(UINT8);
    if (!x->floating || (zero && zero->data_type != type) || !integer_limits((int32_t)type, &low, &high))
        return lorac_constant_refuse(e, "quantising to this type is not supported");
    LORAC_TRY(follow_scale(e, &walk));
    LORAC_TRY(lorac_constant_result(e, (int32_t)type, x->dims, x->rank, out));
    for (size_t i = 0; i < x->count; i++, lorac_walk_next(&walk.walk)) {
        size_t at = scale_index(&walk);
        double value = half_to_even(lorac_constant_round(x->data_type, x->floats[i] / scale->floats[at]));
        value += zero ? (double)zero->ints[at] : 0;
        if (!(value >= low)) // also NaN
            value = low;
        out->ints[i] = (int64_t)(value > high ? high : value);
    }
    return LORAC_OK;
}

const struct lorac_constant_op lorac_constant_make_ops[] = {
    {"Constant", 0, eval_constant},
    {"ConstantOfShape", 1, eval_constant_of_shape},
    {"Range", 3, eval_range},
    {"Cast", 1, eval_cast},
    {"CastLike", 2, eval_cast_like},
    {"DequantizeLinear", 2, eval_dequantize},
    {"QuantizeLinear", 2, eval_quantize},
    {NULL, 0, NULL},
};
