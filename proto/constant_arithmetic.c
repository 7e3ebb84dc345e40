#include "constant_internal.h"

#include <string.h>

static double round_to_type(int32_t data_type, double value)
{
    return data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? (double)(float)value : value;
}

static double apply_float(char op, double a, double b)
{
    switch (op) {
    case 'A':
        return a + b;
    case 'S':
        return a - b;
    case 'M':
        return a * b;
    default:
        return a / b;
    }
}

// Unsigned arithmetic wraps instead of being undefined; only a hostile file gets there.
static bool apply_int(char op, int64_t a, int64_t b, int64_t *out)
{
    uint64_t left = (uint64_t)a, right = (uint64_t)b;
    switch (op) {
    case 'A':
        *out = (int64_t)(left + right);
        return true;
    case 'S':
        *out = (int64_t)(left - right);
        return true;
    case 'M':
        *out = (int64_t)(left * right);
        return true;
    default:
        if (b == 0 || (a == INT64_MIN && b == -1))
            return false;
        *out = a / b;
        return true;
    }
}

// NumPy's broadcasting: dims are aligned at the end, 1 stretches. Strides of stretched dims are 0.
static bool broadcast(const struct lorac_constant *x, const int64_t *dims, size_t rank, size_t *strides)
{
    size_t stride = 1;
    for (size_t i = 0; i < rank; i++)
        strides[i] = 0;
    for (size_t i = x->rank; i-- > 0;) {
        size_t at = i + rank - x->rank;
        if (x->dims[i] != 1 && x->dims[i] != dims[at])
            return false;
        strides[at] = x->dims[i] == 1 ? 0 : stride;
        stride *= (size_t)x->dims[i];
    }
    return true;
}

static enum lorac_status element_wise(char op, const struct lorac_constant *a, const struct lorac_constant *b,
                                      struct lorac_arena *arena, struct lorac_constant *out, struct lorac_error *error)
{
    size_t rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        int64_t left = i + a->rank >= rank ? a->dims[i + a->rank - rank] : 1;
        int64_t right = i + b->rank >= rank ? b->dims[i + b->rank - rank] : 1;
        dims[i] = left == 1 ? right : left;
    }
    size_t a_strides[LORAC_CONSTANT_MAX_RANK], b_strides[LORAC_CONSTANT_MAX_RANK];
    if (!broadcast(a, dims, rank, a_strides) || !broadcast(b, dims, rank, b_strides))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "inputs that do not broadcast");
    LORAC_TRY(lorac_constant_init(out, a->data_type, dims, rank, arena, error));
    for (size_t at = 0; at < out->count; at++) {
        size_t rest = at, i_a = 0, i_b = 0;
        for (size_t i = rank; i-- > 0;) {
            size_t index = rest % (size_t)dims[i];
            rest /= (size_t)dims[i];
            i_a += index * a_strides[i];
            i_b += index * b_strides[i];
        }
        if (out->floating)
            out->floats[at] = round_to_type(out->data_type, apply_float(op, a->floats[i_a], b->floats[i_b]));
        else if (!apply_int(op, a->ints[i_a], b->ints[i_b], &out->ints[at]))
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "a division by zero");
    }
    return LORAC_OK;
}

static enum lorac_status multiply_matrices(const struct lorac_constant *a, const struct lorac_constant *b,
                                           struct lorac_arena *arena, struct lorac_constant *out,
                                           struct lorac_error *error)
{
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[0] || !a->floating)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "a constant product of anything but two matrices");
    int64_t dims[2] = {a->dims[0], b->dims[1]};
    LORAC_TRY(lorac_constant_init(out, a->data_type, dims, 2, arena, error));
    size_t rows = (size_t)dims[0], columns = (size_t)dims[1], inner = (size_t)a->dims[1];
    for (size_t i = 0; i < rows; i++) {
        double *row = out->floats + i * columns;
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < columns; j++)
                row[j] += a->floats[i * inner + k] * b->floats[k * columns + j];
        for (size_t j = 0; j < columns; j++)
            row[j] = round_to_type(out->data_type, row[j]);
    }
    return LORAC_OK;
}

enum lorac_status lorac_constant_arithmetic(const char *op_type, const struct lorac_constant *a,
                                            const struct lorac_constant *b, struct lorac_arena *arena,
                                            struct lorac_constant *out, struct lorac_error *error)
{
    if (a->floating != b->floating)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "inputs of different types");
    if (strcmp(op_type, "MatMul") == 0)
        return multiply_matrices(a, b, arena, out, error);
    return element_wise(op_type[0], a, b, arena, out, error);
}
