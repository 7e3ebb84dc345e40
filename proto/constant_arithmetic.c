// Element by element, with NumPy's broadcasting, and the product of two matrices.
#include "constant_internal.h"

#include <math.h>
#include <string.h>

#define BOOL_TYPE ONNX__TENSOR_PROTO__DATA_TYPE__BOOL

// ---- what happens to the elements v[0], v[1], v[2] of the inputs. The integer forms give false where they refuse.

#define FLOAT_RULE(name, value)                                                                                        \
    static double name(const double *v)                                                                                \
    {                                                                                                                  \
        return value;                                                                                                  \
    }
FLOAT_RULE(float_add, v[0] + v[1])
FLOAT_RULE(float_sub, v[0] - v[1])
FLOAT_RULE(float_mul, v[0] * v[1])
FLOAT_RULE(float_div, v[0] / v[1])
FLOAT_RULE(float_pow, pow(v[0], v[1]))
FLOAT_RULE(float_mod, fmod(v[0], v[1]))
FLOAT_RULE(float_min, v[0] < v[1] || isnan(v[0]) ? v[0] : v[1])
FLOAT_RULE(float_max, v[0] > v[1] || isnan(v[0]) ? v[0] : v[1])
FLOAT_RULE(float_neg, -v[0])
FLOAT_RULE(float_abs, fabs(v[0]))
FLOAT_RULE(float_sqrt, sqrt(v[0]))
FLOAT_RULE(float_exp, exp(v[0]))
FLOAT_RULE(float_log, log(v[0]))
FLOAT_RULE(float_reciprocal, 1 / v[0])
FLOAT_RULE(float_floor, floor(v[0]))
FLOAT_RULE(float_ceil, ceil(v[0]))
FLOAT_RULE(float_equal, v[0] == v[1])
FLOAT_RULE(float_greater, v[0] > v[1])
FLOAT_RULE(float_less, v[0] < v[1])
FLOAT_RULE(float_greater_equal, v[0] >= v[1])
FLOAT_RULE(float_less_equal, v[0] <= v[1])
FLOAT_RULE(float_where, v[0] != 0 ? v[1] : v[2])

// Unsigned arithmetic wraps instead of being undefined; only a hostile file gets there.
#define INT_RULE(name, value)                                                                                          \
    static bool name(const int64_t *v, int64_t *out)                                                                   \
    {                                                                                                                  \
        *out = (int64_t)(value);                                                                                       \
        return true;                                                                                                   \
    }
INT_RULE(int_add, (uint64_t)v[0] + (uint64_t)v[1])
INT_RULE(int_sub, (uint64_t)v[0] - (uint64_t)v[1])
INT_RULE(int_mul, (uint64_t)v[0] * (uint64_t)v[1])
INT_RULE(int_min, v[0] < v[1] ? v[0] : v[1])
INT_RULE(int_max, v[0] > v[1] ? v[0] : v[1])
INT_RULE(int_neg, -(uint64_t)v[0])
INT_RULE(int_abs, v[0] < 0 ? -(uint64_t)v[0] : (uint64_t)v[0])
INT_RULE(int_equal, v[0] == v[1])
INT_RULE(int_greater, v[0] > v[1])
INT_RULE(int_less, v[0] < v[1])
INT_RULE(int_greater_equal, v[0] >= v[1])
INT_RULE(int_less_equal, v[0] <= v[1])
INT_RULE(int_where, v[0] ? v[1] : v[2])
INT_RULE(int_not, !v[0])
INT_RULE(int_and, v[0] && v[1])
INT_RULE(int_or, v[0] || v[1])
INT_RULE(int_xor, !v[0] != !v[1])

static bool int_div(const int64_t *v, int64_t *out)
{
    if (v[1] == 0 || (v[0] == INT64_MIN && v[1] == -1))
        return false;
    *out = v[0] / v[1];
    return true;
}

// The sign is the divisor's (fmod=0).
static bool int_mod(const int64_t *v, int64_t *out)
{
    if (v[1] == 0)
        return false;
    int64_t rest = v[1] == -1 ? 0 : v[0] % v[1];
    *out = rest != 0 && (rest < 0) != (v[1] < 0) ? rest + v[1] : rest;
    return true;
}

// The sign is the dividend's (fmod=1).
static bool int_remainder(const int64_t *v, int64_t *out)
{
    if (v[1] == 0)
        return false;
    *out = v[1] == -1 ? 0 : v[0] % v[1];
    return true;
}

static bool int_pow(const int64_t *v, int64_t *out)
{
    double power = pow((double)v[0], (double)v[1]);
    if (!(fabs(power) <= 0x1p53)) // where double holds every integer
        return false;
    *out = (int64_t)power;
    return true;
}

// ---- the table

enum kind {
    KIND_SAME,    // inputs and result have one type
    KIND_COMPARE, // inputs have one type, the result is bool
    KIND_LOGIC,   // all are bool
    KIND_POWER,   // the result has the first input's type, the second may have another
    KIND_CHOICE,  // the first input is bool, the others and the result have one type
    KIND_FOLD,    // as SAME, any number of inputs one after the other
};

struct rule {
    const char *op_type;
    enum kind kind;
    double (*of_floats)(const double *v);            // NULL: not for floats
    bool (*of_ints)(const int64_t *v, int64_t *out); // NULL: not for integers
};

static const struct rule RULES[] = {
    {"Add", KIND_SAME, float_add, int_add},
    {"Sub", KIND_SAME, float_sub, int_sub},
    {"Mul", KIND_SAME, float_mul, int_mul},
    {"Div", KIND_SAME, float_div, int_div},
    {"Mod", KIND_SAME, float_mod, int_mod},
    {"Pow", KIND_POWER, float_pow, int_pow},
    {"Min", KIND_FOLD, float_min, int_min},
    {"Max", KIND_FOLD, float_max, int_max},
    {"Sum", KIND_FOLD, float_add, NULL},
    {"Neg", KIND_SAME, float_neg, int_neg},
    {"Abs", KIND_SAME, float_abs, int_abs},
    {"Sqrt", KIND_SAME, float_sqrt, NULL},
    {"Exp", KIND_SAME, float_exp, NULL},
    {"Log", KIND_SAME, float_log, NULL},
    {"Reciprocal", KIND_SAME, float_reciprocal, NULL},
    {"Floor", KIND_SAME, float_floor, NULL},
    {"Ceil", KIND_SAME, float_ceil, NULL},
    {"Equal", KIND_COMPARE, float_equal, int_equal},
    {"Greater", KIND_COMPARE, float_greater, int_greater},
    {"Less", KIND_COMPARE, float_less, int_less},
    {"GreaterOrEqual", KIND_COMPARE, float_greater_equal, int_greater_equal},
    {"LessOrEqual", KIND_COMPARE, float_less_equal, int_less_equal},
    {"Not", KIND_LOGIC, NULL, int_not},
    {"And", KIND_LOGIC, NULL, int_and},
    {"Or", KIND_LOGIC, NULL, int_or},
    {"Xor", KIND_LOGIC, NULL, int_xor},
    {"Where", KIND_CHOICE, float_where, int_where},
};

static struct rule find_rule(const Onnx__NodeProto *node)
{
    struct rule rule = RULES[0];
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (lorac_node_is(node, RULES[i].op_type))
            rule = RULES[i];
    if (rule.of_ints == int_mod) {
        bool as_in_c = lorac_node_int(node, "fmod", 0) != 0;
        rule.of_ints = as_in_c ? int_remainder : int_mod;
        rule.of_floats = as_in_c ? float_mod : NULL; // ONNX demands fmod=1 for floats
    }
    return rule;
}

// ---- one application

// The dims that all [count] inputs stretch to. False where they do not fit.
static bool stretch(const struct lorac_constant *const *x, size_t count, int64_t *dims, size_t *rank)
{
    *rank = 0;
    for (size_t k = 0; k < count; k++)
        *rank = x[k]->rank > *rank ? x[k]->rank : *rank;
    for (size_t i = 0; i < *rank; i++) {
        dims[i] = 1;
        for (size_t k = 0; k < count; k++) {
            int64_t size = i + x[k]->rank >= *rank ? x[k]->dims[i + x[k]->rank - *rank] : 1;
            if (size != 1 && dims[i] != 1 && size != dims[i])
                return false;
            dims[i] = size == 1 ? dims[i] : size;
        }
    }
    return true;
}

// The walk over such dims with a position in each of at most LORAC_WALK_MAX_POSITIONS inputs.
static struct lorac_walk walk_over(const struct lorac_constant *const *x, size_t count, const int64_t *dims,
                                   size_t rank)
{
    struct lorac_walk walk = {.rank = rank, .position_count = count, .dims = dims};
    for (size_t k = 0; k < count; k++) {
        int64_t strides[LORAC_CONSTANT_MAX_RANK];
        lorac_constant_strides(x[k]->dims, x[k]->rank, strides);
        for (size_t i = 0; i < x[k]->rank; i++)
            walk.strides[k][i + rank - x[k]->rank] = x[k]->dims[i] == 1 ? 0 : strides[i];
    }
    return walk;
}

static double as_double(const struct lorac_constant *x, int64_t i)
{
    return x->floating ? x->floats[i] : (double)x->ints[i];
}

static bool apply_to_floats(const struct rule *rule, const struct lorac_constant *const *x, size_t count,
                            struct lorac_walk *walk, struct lorac_constant *out)
{
    for (size_t at = 0; at < out->count; at++, lorac_walk_next(walk)) {
        double v[LORAC_WALK_MAX_POSITIONS] = {0};
        for (size_t k = 0; k < count; k++)
            v[k] = as_double(x[k], walk->position[k]);
        double value = rule->of_floats(v);
        if (out->floating)
            out->floats[at] = lorac_constant_round(out->data_type, value);
        else
            out->ints[at] = value != 0; // a comparison
    }
    return true;
}

static bool apply_to_ints(const struct rule *rule, const struct lorac_constant *const *x, size_t count,
                          struct lorac_walk *walk, struct lorac_constant *out)
{
    for (size_t at = 0; at < out->count; at++, lorac_walk_next(walk)) {
        int64_t v[LORAC_WALK_MAX_POSITIONS] = {0};
        for (size_t k = 0; k < count; k++)
            v[k] = lorac_constant_int(x[k], (size_t)walk->position[k]);
        if (!rule->of_ints(v, &out->ints[at]))
            return false;
        out->ints[at] = lorac_constant_wrap(out->data_type, out->ints[at]);
    }
    return true;
}

// The input whose type is the result's, but for comparisons.
static size_t typed_input(enum kind kind)
{
    return kind == KIND_CHOICE ? 1 : 0;
}

static bool types_agree(enum kind kind, const struct lorac_constant *const *x, size_t count)
{
    int32_t type = x[typed_input(kind)]->data_type;
    if ((kind == KIND_CHOICE && x[0]->data_type != BOOL_TYPE) || (kind == KIND_LOGIC && type != BOOL_TYPE))
        return false;
    for (size_t k = typed_input(kind); k < count; k++)
        if (x[k]->data_type != type && kind != KIND_POWER)
            return false;
    return true;
}

// Checks all inputs and makes the result, still zero.
static enum lorac_status begin(const struct evaluation *e, const struct rule *rule, struct lorac_constant *out)
{
    const struct lorac_constant *const *x = e->what.inputs;
    const size_t count = e->what.input_count;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    size_t rank;
    for (size_t k = 0; k < count; k++)
        if (!x[k])
            return lorac_constant_refuse(e, "an input is missing");
    if (!types_agree(rule->kind, x, count))
        return lorac_constant_refuse(e, "inputs of different types");
    const struct lorac_constant *typed = x[typed_input(rule->kind)];
    if (typed->floating ? !rule->of_floats : !rule->of_ints)
        return lorac_constant_refuse(e, "inputs of this type are not supported");
    if (!stretch(x, count, dims, &rank))
        return lorac_constant_refuse(e, "inputs that do not broadcast");
    LORAC_TRY(lorac_constant_result(e, rule->kind == KIND_COMPARE ? BOOL_TYPE : typed->data_type, dims, rank, out));
    // A power takes as long as eight other elements.
    return rule->kind == KIND_POWER ? lorac_constant_work(e, 7 * out->count) : LORAC_OK;
}

static enum lorac_status apply(const struct evaluation *e, const struct rule *rule,
                               const struct lorac_constant *const *x, size_t count, struct lorac_constant *out)
{
    struct lorac_walk walk = walk_over(x, count, out->dims, out->rank);
    bool done = x[typed_input(rule->kind)]->floating ? apply_to_floats(rule, x, count, &walk, out)
                                                     : apply_to_ints(rule, x, count, &walk, out);
    return done ? LORAC_OK : lorac_constant_refuse(e, "a division by zero, or a power that is too large");
}

static enum lorac_status eval_element_wise(const struct evaluation *e, struct lorac_constant *out)
{
    const struct rule rule = find_rule(e->what.node);
    if (e->what.input_count > LORAC_WALK_MAX_POSITIONS)
        return lorac_constant_refuse(e, "too many inputs");
    LORAC_TRY(begin(e, &rule, out));
    return apply(e, &rule, e->what.inputs, e->what.input_count, out);
}

// Each further input is folded into the result where it lies: a position is read before it is written.
static enum lorac_status eval_fold(const struct evaluation *e, struct lorac_constant *out)
{
    const struct rule rule = find_rule(e->what.node);
    LORAC_TRY(begin(e, &rule, out));
    struct lorac_walk walk = walk_over(e->what.inputs, 1, out->dims, out->rank);
    lorac_constant_fill(out, e->what.inputs[0], &walk);
    for (size_t k = 1; k < e->what.input_count; k++) {
        const struct lorac_constant *const x[] = {out, e->what.inputs[k]};
        LORAC_TRY(lorac_constant_work(e, out->count));
        LORAC_TRY(apply(e, &rule, x, 2, out));
    }
    return LORAC_OK;
}

// ---- matrices

static enum lorac_status eval_mat_mul(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *a = lorac_constant_input(e, 0), *b = lorac_constant_input(e, 1);
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[0] || !a->floating || a->data_type != b->data_type)
        return lorac_constant_refuse(e, "a constant product of anything but two matrices of one floating type");
    const int64_t dims[2] = {a->dims[0], b->dims[1]};
    LORAC_TRY(lorac_constant_result(e, a->data_type, dims, 2, out));
    if (out->count == 0)
        return LORAC_OK;
    size_t rows = (size_t)dims[0], columns = (size_t)dims[1], inner = (size_t)a->dims[1];
    // Two vectors of a few bytes each must not ask for hours.
    if (inner > LORAC_CONSTANT_MAX_MADE * 32 / out->count)
        return lorac_constant_refuse(e, "a constant product of too many multiplications");
    LORAC_TRY(lorac_constant_work(e, out->count * inner / 8)); // eight cost what an element does elsewhere
    for (size_t i = 0; i < rows; i++) {
        double *row = out->floats + i * columns;
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < columns; j++)
                row[j] += a->floats[i * inner + k] * b->floats[k * columns + j];
        for (size_t j = 0; j < columns; j++)
            row[j] = lorac_constant_round(out->data_type, row[j]);
    }
    return LORAC_OK;
}

const struct lorac_constant_op lorac_constant_arithmetic_ops[] = {
    {"Add", 2, eval_element_wise},
    {"Sub", 2, eval_element_wise},
    {"Mul", 2, eval_element_wise},
    {"Div", 2, eval_element_wise},
    {"Mod", 2, eval_element_wise},
    {"Pow", 2, eval_element_wise},
    {"Min", 1, eval_fold},
    {"Max", 1, eval_fold},
    {"Sum", 1, eval_fold},
    {"Neg", 1, eval_element_wise},
    {"Abs", 1, eval_element_wise},
    {"Sqrt", 1, eval_element_wise},
    {"Exp", 1, eval_element_wise},
    {"Log", 1, eval_element_wise},
    {"Reciprocal", 1, eval_element_wise},
    {"Floor", 1, eval_element_wise},
    {"Ceil", 1, eval_element_wise},
    {"Equal", 2, eval_element_wise},
    {"Greater", 2, eval_element_wise},
    {"Less", 2, eval_element_wise},
    {"GreaterOrEqual", 2, eval_element_wise},
    {"LessOrEqual", 2, eval_element_wise},
    {"Not", 1, eval_element_wise},
    {"And", 2, eval_element_wise},
    {"Or", 2, eval_element_wise},
    {"Xor", 2, eval_element_wise},
    {"Where", 3, eval_element_wise},
    {"MatMul", 2, eval_mat_mul},
    {NULL, 0, NULL},
};
