// Activation functions and other functions of one element. Each is a value and a slope (UNARY) and a line of ENTRIES.
//
// Slopes where a function has none, as PyTorch 2 has them: LeakyRelu and ThresholdedRelu at the kink have the slope of
// the left side, Elu at 0 has alpha, Selu at 0 alpha * gamma, Celu at 0 has 1, Abs at 0 has 0, HardSigmoid and
// HardSwish at the borders of their middle part have the slope of the outside. Sqrt at 0 has an infinite one, as
// PyTorch again.
//
// XNNPACK has some of these. It is not used here: its sigmoid gives the value alone, and the slopes need one as well.
#include "kernel_list.h"

#include "parallel.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { TILE = 4 * 1024 }; // elements a task: they cost more than a sum's

static const float INVERSE_ROOT_2 = 0.707106781f, INVERSE_ROOT_2PI = 0.398942280f, TWO_OVER_ROOT_PI = 1.128379167f;

// exp(x) for x in -87 .. 0, to 1e-7 of it, without branches or calls, so that loops over it become vectors:
// 2^n * exp(r) with |r| <= ln(2)/2, exp(r) by its series (the first term left out is 5e-9 at most).
static inline float exp_negative(float x)
{
    const float shift = 12582912.0f; // 1.5 * 2^23: adding it rounds to a whole number
    float n = (x * 1.442695041f + shift) - shift;
    float r = (x - n * 0.693145752f) - n * 1.428606820e-6f; // ln(2) in two parts, the first short enough to be exact
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float sigmoid_of(float x)
{
    float a = fabsf(x), e = exp_negative(a < 87.0f ? -a : -87.0f), s = 1.0f / (1.0f + e);
    s = x < 0.0f ? e * s : s;
    return x != x ? x : s;
}

// [x] between bounds; a NaN stays one.
static inline float at_most(float x, float bound)
{
    return x > bound ? bound : x;
}

static inline float at_least(float x, float bound)
{
    return x < bound ? bound : x;
}

static inline float softplus_of(float x)
{
    return at_least(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

// ---- values and slopes of x, with attributes p and q; a slope may be made from the value y instead

typedef void value_loop(float *y, const float *x, float p, float q, size_t count);
typedef void slope_loop(float *dx, const float *dy, const float *x, const float *y, float p, float q, size_t count);

#define UNARY(name, value, slope)                                                                                      \
    static void name##_values(float *restrict to, const float *restrict from, float p, float q, size_t count)          \
    {                                                                                                                  \
        (void)p, (void)q;                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const float x = from[i];                                                                                   \
            to[i] = value;                                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_slopes(float *restrict dx, const float *restrict dy, const float *restrict xs,                  \
                              const float *restrict ys, float p, float q, size_t count)                                \
    {                                                                                                                  \
        (void)p, (void)q;                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                                           \
            const float x = xs[i], y = ys[i];                                                                          \
            (void)x, (void)y;                                                                                          \
            dx[i] = dy[i] * (slope);                                                                                   \
        }                                                                                                              \
    }

static inline float hard_swish_slope(float x)
{
    return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : x * (1.0f / 3.0f) + 0.5f;
}

static inline float swish_slope(float x, float alpha)
{
    float s = sigmoid_of(alpha * x);
    return s + alpha * x * s * (1.0f - s);
}

// Phi(x), the normal distribution, and Phi + x * Phi'
static inline float normal(float x)
{
    return 0.5f * erfcf(-INVERSE_ROOT_2 * x);
}

static inline float gelu_slope(float x)
{
    return normal(x) + x * INVERSE_ROOT_2PI * expf(-0.5f * x * x);
}

// What the approximation of Gelu takes the tanh of: sqrt(2/pi) * (x + 0.044715 x^3)
static inline float gelu_inner(float x)
{
    return 0.797884561f * x * (1.0f + 0.044715f * x * x);
}

static inline float gelu_tanh_slope(float x)
{
    float t = tanhf(gelu_inner(x)), inner_slope = 0.797884561f * (1.0f + 0.134145f * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner_slope;
}

static inline float mish_slope(float x)
{
    float t = tanhf(softplus_of(x));
    return t + x * (1.0f - t * t) * sigmoid_of(x);
}

static inline float sign_of(float x)
{
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
}

// clang-format off
UNARY(sigmoid, sigmoid_of(x), (1.0f - y) * y)
UNARY(hard_sigmoid, at_least(at_most(p * x + q, 1.0f), 0.0f), y > 0.0f && y < 1.0f ? p : 0.0f)
UNARY(hard_swish, x * at_least(at_most(x * (1.0f / 6.0f) + 0.5f, 1.0f), 0.0f), hard_swish_slope(x))
UNARY(swish, x * sigmoid_of(p * x), swish_slope(x, p))
UNARY(leaky_relu, x < 0.0f ? p * x : x, x > 0.0f ? 1.0f : p)
UNARY(thresholded_relu, x <= p ? 0.0f : x, x > p ? 1.0f : 0.0f)
UNARY(elu, x > 0.0f ? x : p * expm1f(x), x > 0.0f ? 1.0f : p * expf(x))
UNARY(selu, q * (x > 0.0f ? x : p * expm1f(x)), q * (x > 0.0f ? 1.0f : p * expf(x)))
UNARY(celu, x > 0.0f ? x : p * expm1f(x / p), x > 0.0f ? 1.0f : expf(x / p))
UNARY(gelu, x * normal(x), gelu_slope(x))
UNARY(gelu_tanh, 0.5f * x * (1.0f + tanhf(gelu_inner(x))), gelu_tanh_slope(x))
UNARY(mish, x * tanhf(softplus_of(x)), mish_slope(x))
UNARY(softplus, softplus_of(x), sigmoid_of(x))
UNARY(erf, erff(x), TWO_OVER_ROOT_PI * expf(-x * x))
UNARY(tanh, tanhf(x), 1.0f - y * y)
UNARY(exp, expf(x), y)
UNARY(log, logf(x), 1.0f / x)
UNARY(sqrt, sqrtf(x), 0.5f / y)
UNARY(reciprocal, 1.0f / x, -y * y)
UNARY(neg, -x, -1.0f)
UNARY(abs, fabsf(x), sign_of(x))
// clang-format on

// ---- the table

enum reads { READS_NOTHING, READS_X, READS_Y };

struct attribute {
    const char *name; // NULL: there is none
    float fallback;
};

struct entry {
    const char *op_type;
    int64_t since;    // operator set
    enum reads reads; // what the slope is made from
    struct attribute p, q;
    value_loop *values;
    slope_loop *slopes;
};

#define LOOPS(name) name##_values, name##_slopes
static const struct entry ENTRIES[] = {
    {"Sigmoid", 6, READS_Y, {0}, {0}, LOOPS(sigmoid)},
    {"HardSigmoid", 6, READS_Y, {"alpha", 0.2f}, {"beta", 0.5f}, LOOPS(hard_sigmoid)},
    {"HardSwish", 14, READS_X, {0}, {0}, LOOPS(hard_swish)},
    {"Swish", 24, READS_X, {"alpha", 1.0f}, {0}, LOOPS(swish)},
    {"LeakyRelu", 6, READS_X, {"alpha", 0.01f}, {0}, LOOPS(leaky_relu)},
    {"ThresholdedRelu", 10, READS_X, {"alpha", 1.0f}, {0}, LOOPS(thresholded_relu)},
    {"Elu", 6, READS_X, {"alpha", 1.0f}, {0}, LOOPS(elu)},
    {"Selu", 6, READS_X, {"alpha", 1.673263192f}, {"gamma", 1.050701022f}, LOOPS(selu)},
    {"Celu", 12, READS_X, {"alpha", 1.0f}, {0}, LOOPS(celu)},
    {"Gelu", 20, READS_X, {0}, {0}, LOOPS(gelu)},
    {"Mish", 18, READS_X, {0}, {0}, LOOPS(mish)},
    {"Softplus", 1, READS_X, {0}, {0}, LOOPS(softplus)},
    {"Erf", 9, READS_X, {0}, {0}, LOOPS(erf)},
    {"Tanh", 6, READS_Y, {0}, {0}, LOOPS(tanh)},
    {"Exp", 6, READS_Y, {0}, {0}, LOOPS(exp)},
    {"Log", 6, READS_X, {0}, {0}, LOOPS(log)},
    {"Sqrt", 6, READS_Y, {0}, {0}, LOOPS(sqrt)},
    {"Reciprocal", 6, READS_Y, {0}, {0}, LOOPS(reciprocal)},
    {"Neg", 6, READS_NOTHING, {0}, {0}, LOOPS(neg)},
    {"Abs", 6, READS_X, {0}, {0}, LOOPS(abs)},
};
static const struct entry GELU_TANH = {"Gelu", 20, READS_X, {0}, {0}, LOOPS(gelu_tanh)};

// ---- the kernel

struct config {
    const struct entry *entry;
    float p, q;
    size_t count;
};

static enum lorac_status read_attribute(const Onnx__NodeProto *node, const struct attribute *attribute, float *out,
                                        struct lorac_error *error)
{
    *out = attribute->name ? lorac_node_float(node, attribute->name, attribute->fallback) : 0.0f;
    if (!isfinite(*out))
        return lorac_refuse(node, error, "attribute '%s' is %g; it must be a finite number", attribute->name,
                            (double)*out);
    return LORAC_OK;
}

// Gelu's `approximate`, and Celu's alpha, which is divided by.
static enum lorac_status read_special(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct config *config, struct lorac_error *error)
{
    if (lorac_node_is(node, "Celu") && config->p == 0.0f)
        return lorac_refuse(node, error, "attribute 'alpha' is 0; any other number is supported");
    if (!lorac_node_is(node, "Gelu"))
        return LORAC_OK;
    const char *form = lorac_node_string(lorac_lowering_program(lowering)->model, node, "approximate", "none");
    if (strcmp(form, "tanh") == 0)
        config->entry = &GELU_TANH;
    else if (strcmp(form, "none") != 0)
        return lorac_refuse(node, error, "approximate is '%s'; 'none' and 'tanh' are supported", form);
    return LORAC_OK;
}

static enum lorac_status lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                               struct lorac_error *error)
{
    const struct entry *entry = ENTRIES;
    uint32_t x;
    while (!lorac_node_is(node, entry->op_type)) // lowering gives this function these only
        entry++;
    int64_t opset = lorac_model_opset(lorac_lowering_program(lowering)->model);
    if (opset < entry->since)
        return lorac_refuse(node, error, "the operator is there since operator set %lld; the model declares %lld",
                            (long long)entry->since, (long long)opset);
    struct config *config = lorac_lowering_config(lowering, step, sizeof(*config));
    if (!config)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    config->entry = entry;
    LORAC_TRY(read_attribute(node, &entry->p, &config->p, error));
    LORAC_TRY(read_attribute(node, &entry->q, &config->q, error));
    LORAC_TRY(read_special(lowering, node, config, error));
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    config->count = lorac_value_count(&lorac_lowering_program(lowering)->values[x]);
    step->keeps_inputs = entry->reads == READS_X;
    step->keeps_output = entry->reads == READS_Y;
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_like(lowering, node, step, 0, x, error);
}

static void forward_range(void *context, size_t begin, size_t end)
{
    const struct lorac_step *step = context;
    const struct config *config = step->config;
    config->entry->values(step->y + begin, step->x[0] + begin, config->p, config->q, end - begin);
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_parallel_ranges(env->pool, forward_range, step, ((const struct config *)step->config)->count, TILE);
}

// What the slope is not made from may lie in memory that others use by now: the loop does not look at it.
static void backward_range(void *context, size_t begin, size_t end)
{
    const struct lorac_step *step = context;
    const struct config *config = step->config;
    const float *kept = (config->entry->reads == READS_Y ? step->y : step->x[0]) + begin;
    config->entry->slopes(step->dx[0] + begin, step->dy + begin, kept, kept, config->p, config->q, end - begin);
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    if (step->dx[0])
        lorac_parallel_ranges(env->pool, backward_range, step, ((const struct config *)step->config)->count, TILE);
}

#define KERNEL(name, op)                                                                                               \
    const struct lorac_kernel lorac_kernel_##name = {                                                                  \
        .op_type = op, .lower = lower, .forward = forward, .backward = backward};

KERNEL(sigmoid, "Sigmoid")
KERNEL(hard_sigmoid, "HardSigmoid")
KERNEL(hard_swish, "HardSwish")
KERNEL(swish, "Swish")
KERNEL(leaky_relu, "LeakyRelu")
KERNEL(thresholded_relu, "ThresholdedRelu")
KERNEL(elu, "Elu")
KERNEL(selu, "Selu")
KERNEL(celu, "Celu")
KERNEL(gelu, "Gelu")
KERNEL(mish, "Mish")
KERNEL(softplus, "Softplus")
KERNEL(erf, "Erf")
KERNEL(tanh, "Tanh")
KERNEL(exp, "Exp")
KERNEL(log, "Log")
KERNEL(sqrt, "Sqrt")
KERNEL(reciprocal, "Reciprocal")
KERNEL(neg, "Neg")
KERNEL(abs, "Abs")
