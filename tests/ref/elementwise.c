#include "ref/ref.h"

#include <math.h>
#include <string.h>

struct ref_tensor ref_relu(const struct ref_tensor *x)
{
    return ref_clip(x, 0, INFINITY);
}

struct ref_tensor ref_clip(const struct ref_tensor *x, double low, double high)
{
    struct ref_tensor y = ref_copy(x);
    for (size_t i = 0; i < ref_count(x); i++)
        y.data[i] = fmin(fmax(y.data[i], low), high);
    return y;
}

// The element of [x] that is broadcast to flat position [flat] of a tensor of [rank], [dims].
static double broadcast_at(const struct ref_tensor *x, size_t flat, size_t rank, const int64_t *dims)
{
    size_t offset = 0, stride = 1;
    for (size_t i = 0; i < x->rank; i++) {
        size_t axis = rank - 1 - i, own = x->rank - 1 - i;
        size_t index = flat % (size_t)dims[axis];
        flat /= (size_t)dims[axis];
        offset += x->dims[own] == 1 ? 0 : index * stride;
        stride *= (size_t)x->dims[own];
    }
    return x->data[offset];
}

static double apply(enum ref_binary_kind kind, double a, double b)
{
    switch (kind) {
    case REF_ADD:
        return a + b;
    case REF_SUBTRACT:
        return a - b;
    case REF_MULTIPLY:
        return a * b;
    case REF_POWER:
        return pow(a, b);
    case REF_SMALLER:
        return fmin(a, b);
    case REF_LARGER:
        return fmax(a, b);
    case REF_PRELU:
        return a < 0 ? a * b : a;
    case REF_DIVIDE:
        break;
    }
    return a / b;
}

struct ref_tensor ref_binary(const struct ref_tensor *a, const struct ref_tensor *b, enum ref_binary_kind kind)
{
    size_t rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[REF_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        int64_t from_a = i + a->rank < rank ? 1 : a->dims[i + a->rank - rank];
        int64_t from_b = i + b->rank < rank ? 1 : b->dims[i + b->rank - rank];
        ref_require(from_a == from_b || from_a == 1 || from_b == 1, "shapes do not broadcast");
        dims[i] = from_a == 1 ? from_b : from_a;
    }
    struct ref_tensor y = ref_make(rank, dims);
    for (size_t i = 0; i < ref_count(&y); i++)
        y.data[i] = apply(kind, broadcast_at(a, i, rank, dims), broadcast_at(b, i, rank, dims));
    return y;
}

// ---- functions of one element, as the operators' pages define them

static double sigmoid(double x, double p, double q)
{
    (void)p, (void)q;
    return 1 / (1 + exp(-x));
}

static double hard_sigmoid(double x, double alpha, double beta)
{
    return fmax(0, fmin(1, alpha * x + beta));
}

static double hard_swish(double x, double p, double q)
{
    (void)p, (void)q;
    return x * fmax(0, fmin(1, x / 6 + 0.5));
}

static double swish(double x, double alpha, double q)
{
    (void)q;
    return x / (1 + exp(-alpha * x));
}

static double leaky_relu(double x, double alpha, double q)
{
    (void)q;
    return x < 0 ? alpha * x : x;
}

static double thresholded_relu(double x, double alpha, double q)
{
    (void)q;
    return x > alpha ? x : 0;
}

static double elu(double x, double alpha, double q)
{
    (void)q;
    return x < 0 ? alpha * (exp(x) - 1) : x;
}

static double selu(double x, double alpha, double gamma)
{
    return x > 0 ? gamma * x : gamma * (alpha * exp(x) - alpha);
}

static double celu(double x, double alpha, double q)
{
    (void)q;
    return fmax(0, x) + fmin(0, alpha * (exp(x / alpha) - 1));
}

static double gelu(double x, double p, double q)
{
    (void)p, (void)q;
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static double gelu_tanh(double x, double p, double q)
{
    (void)p, (void)q;
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double softplus(double x, double p, double q)
{
    (void)p, (void)q;
    return log(1 + exp(x));
}

static double mish(double x, double p, double q)
{
    return x * tanh(softplus(x, p, q));
}

static double reciprocal(double x, double p, double q)
{
    (void)p, (void)q;
    return 1 / x;
}

static double negative(double x, double p, double q)
{
    (void)p, (void)q;
    return -x;
}

static const struct {
    const char *op_type;
    double (*of)(double x);                       // or
    double (*with)(double x, double p, double q); // with two attributes
} functions[] = {
    {"Sigmoid", NULL, sigmoid},
    {"HardSigmoid", NULL, hard_sigmoid},
    {"HardSwish", NULL, hard_swish},
    {"Swish", NULL, swish},
    {"LeakyRelu", NULL, leaky_relu},
    {"ThresholdedRelu", NULL, thresholded_relu},
    {"Elu", NULL, elu},
    {"Selu", NULL, selu},
    {"Celu", NULL, celu},
    {"Gelu", NULL, gelu},
    {"Gelu tanh", NULL, gelu_tanh},
    {"Softplus", NULL, softplus},
    {"Mish", NULL, mish},
    {"Reciprocal", NULL, reciprocal},
    {"Neg", NULL, negative},
    {"Erf", erf, NULL},
    {"Tanh", tanh, NULL},
    {"Exp", exp, NULL},
    {"Log", log, NULL},
    {"Sqrt", sqrt, NULL},
    {"Abs", fabs, NULL},
};

struct ref_tensor ref_unary(const struct ref_tensor *x, const char *op_type, double p, double q)
{
    struct ref_tensor y = ref_copy(x);
    size_t k = 0, count = sizeof functions / sizeof functions[0];
    while (k < count && strcmp(functions[k].op_type, op_type) != 0)
        k++;
    ref_require(k < count, "a function that the oracle does not know");
    for (size_t i = 0; i < ref_count(x); i++)
        y.data[i] = functions[k].of != NULL ? functions[k].of(y.data[i]) : functions[k].with(y.data[i], p, q);
    return y;
}
