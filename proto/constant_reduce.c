// Sums, products, means, maxima over axes.
#include "constant_internal.h"

#include <math.h>
#include <string.h>

enum reduction { REDUCE_SUM, REDUCE_MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_SUM_SQUARE, REDUCE_L2 };

// Which dimensions go: all where no axes are given, none with noop_with_empty_axes.
static enum lorac_status reduced_axes(const struct evaluation *e, const struct lorac_constant *x, bool *gone)
{
    struct lorac_int_list axes;
    LORAC_TRY(lorac_constant_int_list(e, "axes", 1, &axes));
    bool all = axes.count == 0 && lorac_node_int(e->what.node, "noop_with_empty_axes", 0) == 0;
    for (size_t i = 0; i < x->rank; i++)
        gone[i] = all;
    for (size_t k = 0; k < axes.count; k++) {
        if (!lorac_constant_axis(&axes.values[k], x->rank))
            return lorac_constant_refuse(e, "an axis is outside the rank");
        gone[axes.values[k]] = true;
    }
    return LORAC_OK;
}

static double start_of(enum reduction kind)
{
    switch (kind) {
    case REDUCE_PROD:
        return 1;
    case REDUCE_MAX:
        return -INFINITY;
    case REDUCE_MIN:
        return INFINITY;
    default:
        return 0;
    }
}

static double step_of_floats(enum reduction kind, double sum, double x)
{
    switch (kind) {
    case REDUCE_PROD:
        return sum * x;
    case REDUCE_MAX:
        return sum > x || isnan(sum) ? sum : x;
    case REDUCE_MIN:
        return sum < x || isnan(sum) ? sum : x;
    case REDUCE_SUM_SQUARE:
    case REDUCE_L2:
        return sum + x * x;
    default:
        return sum + x;
    }
}

static int64_t step_of_ints(enum reduction kind, int64_t sum, int64_t x)
{
    uint64_t left = (uint64_t)sum, right = (uint64_t)x; // which wrap
    switch (kind) {
    case REDUCE_PROD:
        return (int64_t)(left * right);
    case REDUCE_MAX:
        return sum > x ? sum : x;
    case REDUCE_MIN:
        return sum < x ? sum : x;
    case REDUCE_SUM_SQUARE:
        return (int64_t)(left + right * right);
    default:
        return (int64_t)(left + right);
    }
}

static void accumulate(enum reduction kind, const struct lorac_constant *x, struct lorac_walk *walk,
                       struct lorac_constant *out)
{
    for (size_t i = 0; i < out->count; i++)
        if (out->floating)
            out->floats[i] = start_of(kind);
        else
            out->ints[i] = kind == REDUCE_PROD  ? 1
                           : kind == REDUCE_MAX ? INT64_MIN
                           : kind == REDUCE_MIN ? INT64_MAX
                                                : 0;
    for (size_t i = 0; i < x->count; i++, lorac_walk_next(walk)) {
        int64_t at = walk->position[0];
        if (out->floating)
            out->floats[at] = step_of_floats(kind, out->floats[at], x->floats[i]);
        else
            out->ints[at] = step_of_ints(kind, out->ints[at], x->ints[i]);
    }
}

static void finish(enum reduction kind, size_t each, struct lorac_constant *out)
{
    for (size_t i = 0; i < out->count; i++) {
        if (!out->floating) {
            out->ints[i] = kind == REDUCE_MEAN ? out->ints[i] / (int64_t)each : out->ints[i];
            out->ints[i] = lorac_constant_wrap(out->data_type, out->ints[i]);
            continue;
        }
        double value = out->floats[i];
        value = kind == REDUCE_MEAN ? value / (double)each : kind == REDUCE_L2 ? sqrt(value) : value;
        out->floats[i] = lorac_constant_round(out->data_type, value);
    }
}

static enum lorac_status reduce(const struct evaluation *e, enum reduction kind, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    bool gone[LORAC_CONSTANT_MAX_RANK] = {false}, keep = lorac_node_int(e->what.node, "keepdims", 1) != 0;
    int64_t kept[LORAC_CONSTANT_MAX_RANK], strides[LORAC_CONSTANT_MAX_RANK], dims[LORAC_CONSTANT_MAX_RANK];
    struct lorac_walk walk = {.rank = x->rank, .dims = x->dims, .position_count = 1};
    size_t rank = 0;
    if (!x->floating && kind == REDUCE_L2)
        return lorac_constant_refuse(e, "inputs of this type are not supported");
    if (x->count == 0)
        return lorac_constant_refuse(e, "it reduces no elements");
    LORAC_TRY(reduced_axes(e, x, gone));
    for (size_t i = 0; i < x->rank; i++)
        kept[i] = gone[i] ? 1 : x->dims[i];
    lorac_constant_strides(kept, x->rank, strides);
    for (size_t i = 0; i < x->rank; i++) {
        walk.strides[0][i] = gone[i] ? 0 : strides[i];
        if (!gone[i] || keep)
            dims[rank++] = kept[i];
    }
    LORAC_TRY(lorac_constant_work(e, x->count));
    LORAC_TRY(lorac_constant_result(e, x->data_type, dims, rank, out));
    accumulate(kind, x, &walk, out);
    finish(kind, x->count / out->count, out);
    return LORAC_OK;
}

#define REDUCTION(name, kind)                                                                                          \
    static enum lorac_status name(const struct evaluation *e, struct lorac_constant *out)                              \
    {                                                                                                                  \
        return reduce(e, kind, out);                                                                                   \
    }
REDUCTION(eval_sum, REDUCE_SUM)
REDUCTION(eval_mean, REDUCE_MEAN)
REDUCTION(eval_prod, REDUCE_PROD)
REDUCTION(eval_max, REDUCE_MAX)
REDUCTION(eval_min, REDUCE_MIN)
REDUCTION(eval_sum_square, REDUCE_SUM_SQUARE)
REDUCTION(eval_l2, REDUCE_L2)

const struct lorac_constant_op lorac_constant_reduce_ops[] = {
    {"ReduceSum", 1, eval_sum},   {"ReduceMean", 1, eval_mean},
    {"ReduceProd", 1, eval_prod}, {"ReduceMax", 1, eval_max},
    {"ReduceMin", 1, eval_min},   {"ReduceSumSquare", 1, eval_sum_square},
    {"ReduceL2", 1, eval_l2},     {NULL, 0, NULL},
};
