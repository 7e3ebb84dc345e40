// Activation functions over constants: of weights that are normalised or gated in the graph.
#include "constant_internal.h"

#include <math.h>

struct activation {
    const char *op_type;
    double (*of)(double x, double alpha, double beta);
    float alpha, beta; // defaults of the attributes
};

static double relu(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return x < 0 ? 0 : x; // NaN stays
}

static double leaky_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * x : x;
}

static double elu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * expm1(x) : x;
}

static double sigmoid(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return 1 / (1 + exp(-x));
}

static double hard_sigmoid(double x, double alpha, double beta)
{
    double y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

static double hyperbolic_tangent(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return tanh(x);
}

static double error_function(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return erf(x);
}

static double softplus(double x, double alpha, double beta)
{
    (void)alpha;
    (void)beta;
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static const struct activation ACTIVATIONS[] = {
    {"Relu", relu, 0, 0},
    {"LeakyRelu", leaky_relu, 0.01f, 0},
    {"Elu", elu, 1, 0},
    {"Sigmoid", sigmoid, 0, 0},
    {"HardSigmoid", hard_sigmoid, 0.2f, 0.5f},
    {"Tanh", hyperbolic_tangent, 0, 0},
    {"Erf", error_function, 0, 0},
    {"Softplus", softplus, 0, 0},
};

static enum lorac_status eval_activation(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    const struct activation *activation = ACTIVATIONS;
    while (!lorac_node_is(e->what.node, activation->op_type))
        activation++;
    if (!x->floating)
        return lorac_constant_refuse(e, "inputs of this type are not supported");
    double alpha = (double)lorac_node_float(e->what.node, "alpha", activation->alpha);
    double beta = (double)lorac_node_float(e->what.node, "beta", activation->beta);
    LORAC_TRY(lorac_constant_result(e, x->data_type, x->dims, x->rank, out));
    LORAC_TRY(lorac_constant_work(e, 3 * x->count)); // the slowest take as long as four other elements
    for (size_t i = 0; i < x->count; i++)
        out->floats[i] = lorac_constant_round(x->data_type, activation->of(x->floats[i], alpha, beta));
    return LORAC_OK;
}

// A bound of Clip: input [i], or the attribute of old operator sets.
static enum lorac_status read_bound(const struct evaluation *e, size_t i, const char *attribute, float fallback,
                                    double *out)
{
    const struct lorac_constant *bound = lorac_constant_input(e, i);
    *out = (double)lorac_node_float(e->what.node, attribute, fallback);
    if (!bound)
        return LORAC_OK;
    if (bound->count != 1)
        return lorac_constant_refuse(e, "a bound is not one number");
    *out = bound->floating ? bound->floats[0] : (double)bound->ints[0];
    return LORAC_OK;
}

static enum lorac_status eval_clip(const struct evaluation *e, struct lorac_constant *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    double low, high;
    if (!x->floating)
        return lorac_constant_refuse(e, "inputs of this type are not supported");
    LORAC_TRY(read_bound(e, 1, "min", -INFINITY, &low));
    LORAC_TRY(read_bound(e, 2, "max", INFINITY, &high));
    LORAC_TRY(lorac_constant_result(e, x->data_type, x->dims, x->rank, out));
    for (size_t i = 0; i < x->count; i++) {
        double value = x->floats[i] < low ? low : x->floats[i];
        out->floats[i] = value > high ? high : value; // where they cross, the upper one wins
    }
    return LORAC_OK;
}

const struct lorac_constant_op lorac_constant_activation_ops[] = {
    {"Relu", 1, eval_activation},    {"LeakyRelu", 1, eval_activation},   {"Elu", 1, eval_activation},
    {"Sigmoid", 1, eval_activation}, {"HardSigmoid", 1, eval_activation}, {"Tanh", 1, eval_activation},
    {"Erf", 1, eval_activation},     {"Softplus", 1, eval_activation},    {"Clip", 1, eval_clip},
    {0},
};
