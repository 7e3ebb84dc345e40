#include "constant.h"

#include "constant_internal.h"
#include "size.h"
#include "tensor.h"
#include "tensor_store.h"

#include <string.h>

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

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
    if (out->count > LORAC_CONSTANT_MAX_COUNT)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "a computed constant of %zu elements (at most %zu are supported)", out->count,
                               LORAC_CONSTANT_MAX_COUNT);
    out->data_type = data_type;
    out->floating = lorac_tensor_type_is_floating(data_type);
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

enum lorac_status lorac_constant_from_tensor(struct lorac_model *model, const Onnx__TensorProto *tensor,
                                             struct lorac_arena *arena, struct lorac_constant *out,
                                             struct lorac_error *error)
{
    struct lorac_constant constant;
    size_t count;
    enum lorac_status status = lorac_size_of_dims(tensor->dims, tensor->n_dims, &count)
                                   ? lorac_constant_charge(model, count, error)
                                   : LORAC_OK; // which init refuses
    if (status == LORAC_OK)
        status = lorac_constant_init(&constant, tensor->data_type, tensor->dims, tensor->n_dims, arena, error);
    LORAC_TRY(lorac_error_prefix(error, status, "tensor '%s': ", tensor->name ? tensor->name : ""));
    if (constant.floating)
        LORAC_TRY(lorac_tensor_to_double(tensor, constant.floats, constant.count, error));
    else
        LORAC_TRY(lorac_tensor_to_int64(tensor, constant.ints, constant.count, error));
    *out = constant;
    return LORAC_OK;
}

double lorac_constant_round(int32_t data_type, double value)
{
    if (data_type == TYPE(DOUBLE))
        return value;
    if (data_type == TYPE(FLOAT))
        return (double)(float)value;
    return lorac_tensor_decode(data_type, lorac_tensor_encode(data_type, value)).real;
}

// The low [bits] of a number, with its sign where it has one.
static int64_t low_bits(int64_t value, unsigned bits, bool is_signed)
{
    uint64_t kept = (uint64_t)value & ((UINT64_C(1) << bits) - 1);
    if (is_signed && kept >> (bits - 1))
        return (int64_t)kept - (INT64_C(1) << bits);
    return (int64_t)kept;
}

int64_t lorac_constant_wrap(int32_t data_type, int64_t value)
{
    switch (data_type) {
    case TYPE(BOOL):
        return value != 0;
    case LORAC_TYPE_INT2:
        return low_bits(value, 2, true);
    case LORAC_TYPE_UINT2:
        return low_bits(value, 2, false);
    case LORAC_TYPE_INT4:
        return low_bits(value, 4, true);
    case LORAC_TYPE_UINT4:
        return low_bits(value, 4, false);
    case TYPE(INT8):
        return low_bits(value, 8, true);
    case TYPE(UINT8):
        return low_bits(value, 8, false);
    case TYPE(INT16):
        return low_bits(value, 16, true);
    case TYPE(UINT16):
        return low_bits(value, 16, false);
    case TYPE(INT32):
        return low_bits(value, 32, true);
    case TYPE(UINT32):
        return low_bits(value, 32, false);
    default:
        return value;
    }
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

// ---- what evaluators ask

enum lorac_status lorac_constant_refuse(const struct evaluation *e, const char *what)
{
    return lorac_error_set(e->error, LORAC_ERROR_UNSUPPORTED, "node '%s' (%s): %s", lorac_node_name(e->what.node),
                           e->what.node->op_type, what);
}

const struct lorac_constant *lorac_constant_input(const struct evaluation *e, size_t i)
{
    return i < e->what.input_count ? e->what.inputs[i] : NULL;
}

enum lorac_status lorac_constant_result(const struct evaluation *e, int32_t data_type, const int64_t *dims, size_t rank,
                                        struct lorac_constant *out)
{
    size_t count, largest = 0;
    for (size_t i = 0; i < e->what.input_count; i++)
        if (e->what.inputs[i] && e->what.inputs[i]->count > largest)
            largest = e->what.inputs[i]->count;
    if (!lorac_size_of_dims(dims, rank, &count))
        count = 0; // which lorac_constant_init refuses
    if (count > largest && count > LORAC_CONSTANT_MAX_MADE)
        return lorac_error_set(e->error, LORAC_ERROR_UNSUPPORTED,
                               "node '%s' (%s): it makes %zu elements of %zu; at most %zu are supported",
                               lorac_node_name(e->what.node), e->what.node->op_type, count, largest,
                               LORAC_CONSTANT_MAX_MADE);
    bool is_half = data_type == TYPE(FLOAT16) || data_type == TYPE(BFLOAT16); // whose rounding takes longest
    if (!lorac_size_multiply(count, is_half ? 4 : 1, &count))
        count = SIZE_MAX;
    LORAC_TRY(lorac_constant_work(e, count));
    enum lorac_status status = lorac_constant_init(out, data_type, dims, rank, e->arena, e->error);
    return lorac_error_prefix(e->error, status, "node '%s' (%s): ", lorac_node_name(e->what.node),
                              e->what.node->op_type);
}

enum lorac_status lorac_constant_work(const struct evaluation *e, size_t elements)
{
    enum lorac_status status = lorac_constant_charge(e->what.model, elements, e->error);
    return lorac_error_prefix(e->error, status, "node '%s' (%s): ", lorac_node_name(e->what.node),
                              e->what.node->op_type);
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

enum lorac_status lorac_constant_int_list(const struct evaluation *e, const char *attribute, size_t i,
                                          struct lorac_int_list *out)
{
    return lorac_int_list_read(e->what.node, attribute, lorac_constant_input(e, i), out)
               ? LORAC_OK
               : lorac_constant_refuse(e, "a list of more than 8 axes");
}

bool lorac_constant_axis(int64_t *axis, size_t rank)
{
    if (*axis < -(int64_t)rank || *axis >= (int64_t)rank)
        return false;
    if (*axis < 0)
        *axis += (int64_t)rank;
    return true;
}

size_t lorac_constant_product(const int64_t *dims, size_t begin, size_t end)
{
    size_t count = 1;
    for (size_t i = begin; i < end; i++)
        count *= (size_t)dims[i];
    return count;
}

// ---- walking

void lorac_constant_strides(const int64_t *dims, size_t rank, int64_t *strides)
{
    // Where one dimension is 0 the others may be anything: nothing is walked then, and unsigned products may wrap.
    uint64_t stride = 1;
    for (size_t i = rank; i-- > 0;) {
        strides[i] = (int64_t)(stride & INT64_MAX);
        stride *= (uint64_t)dims[i];
    }
}

void lorac_walk_next(struct lorac_walk *walk)
{
    for (size_t i = walk->rank; i-- > 0;) {
        bool wraps = ++walk->index[i] == walk->dims[i];
        for (size_t p = 0; p < walk->position_count; p++)
            walk->position[p] += walk->strides[p][i] * (wraps ? 1 - walk->dims[i] : 1);
        if (!wraps)
            return;
        walk->index[i] = 0;
    }
}

void lorac_constant_fill(struct lorac_constant *out, const struct lorac_constant *x, struct lorac_walk *walk)
{
    walk->position_count = 1;
    for (size_t at = 0; at < out->count; at++) {
        if (out->floating)
            out->floats[at] = x->floats[walk->position[0]];
        else
            out->ints[at] = x->ints[walk->position[0]];
        lorac_walk_next(walk);
    }
}

// ---- one node

static const struct lorac_constant_op *find_op(const Onnx__NodeProto *node)
{
    const struct lorac_constant_op *const tables[] = {lorac_constant_layout_ops, lorac_constant_make_ops,
                                                      lorac_constant_arithmetic_ops, lorac_constant_activation_ops,
                                                      lorac_constant_reduce_ops, lorac_constant_normalize_ops};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct lorac_constant_op *op = tables[t]; op->op_type; op++)
            if (lorac_node_is(node, op->op_type))
                return op;
    return NULL;
}

size_t lorac_constant_output(const Onnx__NodeProto *node, const char *value)
{
    size_t i = 0;
    while (i < node->n_output && strcmp(node->output[i], value) != 0)
        i++;
    return i;
}

bool lorac_constant_knows(const Onnx__NodeProto *node)
{
    return find_op(node) != NULL;
}

enum lorac_status lorac_constant_evaluate(const struct lorac_constant_node *what, struct lorac_arena *arena,
                                          struct lorac_constant *out, struct lorac_error *error)
{
    struct evaluation e = {*what, arena, error};
    const struct lorac_constant_op *op = find_op(what->node);
    if (!op)
        return lorac_constant_refuse(&e, "constant arithmetic with this operator is not supported");
    if (what->output > 0 && strcmp(op->op_type, "Split") != 0)
        return lorac_constant_refuse(&e, "only its first output is supported where it is constant");
    for (size_t i = 0; i < op->required; i++)
        if (!lorac_constant_input(&e, i))
            return lorac_constant_refuse(&e, "an input is missing");
    struct lorac_constant result;
    LORAC_TRY(op->evaluate(&e, &result));
    *out = result;
    return LORAC_OK;
}
