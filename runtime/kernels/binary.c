// Two operands, element by element. The gradient of an operand that was broadcast is the sum over all elements of the
// output that it stood for: in double, each sum by one thread and in the order of memory, so that any number of threads
// gives the same bits.
//
// Gradients where a function has none, as PyTorch has them: Min and Max of equal elements give half to each; a base of
// 0 with an exponent of 0 gives 0; PRelu at 0 gives the slope.
#include "binary.h"

#include "parallel.h"

#include <math.h>
#include <string.h>

// BLOCK: elements whose gradient is held on the stack. TILE: elements a task.
enum { BLOCK = 128, TILE = 16 * 1024 };

// ---- inner loops: [count] neighbours in the output, strides of the operands in floats

typedef void value_loop(float *y, const float *a, size_t a_stride, const float *b, size_t b_stride, size_t count);
typedef void gradient_loop(float *g, const float *dy, const float *a, size_t a_stride, const float *b, size_t b_stride,
                           size_t count);

// The usual strides get loops of their own, which the compiler makes vectors of. A loop that does not read an operand
// costs nothing for it.
#define LOOP_BODY(expression, target)                                                                                  \
    if (a_stride == 1 && b_stride == 1)                                                                                \
        for (size_t i = 0; i < count; i++) {                                                                           \
            float u = a[i], v = b[i];                                                                                  \
            (void)u, (void)v;                                                                                          \
            target[i] = expression;                                                                                    \
        }                                                                                                              \
    else if (a_stride == 1 && b_stride == 0) {                                                                         \
        const float v = *b;                                                                                            \
        for (size_t i = 0; i < count; i++) {                                                                           \
            float u = a[i];                                                                                            \
            (void)u, (void)v;                                                                                          \
            target[i] = expression;                                                                                    \
        }                                                                                                              \
    } else if (a_stride == 0 && b_stride == 1) {                                                                       \
        const float u = *a;                                                                                            \
        for (size_t i = 0; i < count; i++) {                                                                           \
            float v = b[i];                                                                                            \
            (void)u, (void)v;                                                                                          \
            target[i] = expression;                                                                                    \
        }                                                                                                              \
    } else                                                                                                             \
        for (size_t i = 0; i < count; i++) {                                                                           \
            float u = a[i * a_stride], v = b[i * b_stride];                                                            \
            (void)u, (void)v;                                                                                          \
            target[i] = expression;                                                                                    \
        }

#define VALUE(name, expression)                                                                                        \
    static void name(float *restrict y, const float *restrict a, size_t a_stride, const float *restrict b,             \
                     size_t b_stride, size_t count)                                                                    \
    {                                                                                                                  \
        LOOP_BODY(expression, y)                                                                                       \
    }
#define GRADIENT(name, expression)                                                                                     \
    static void name(float *restrict g, const float *restrict dy, const float *restrict a, size_t a_stride,            \
                     const float *restrict b, size_t b_stride, size_t count)                                           \
    {                                                                                                                  \
        LOOP_BODY(expression, g)                                                                                       \
    }

// Squares and roots, the usual exponents, do not need the logarithm.
static float power(float base, float exponent)
{
    return exponent == 2.0f   ? base * base
           : exponent == 1.0f ? base
           : exponent == 0.5f ? sqrtf(base)
                              : powf(base, exponent);
}

// The comparisons of Min and Max let a NaN through from both sides, as ONNX and PyTorch do.
// clang-format off
VALUE(add, u + v)
VALUE(subtract, u - v)
VALUE(multiply, u * v)
VALUE(divide, u / v)
VALUE(raise_to, power(u, v))
VALUE(prelu, u < 0.0f ? u * v : u)
VALUE(minimum, u < v || u != u ? u : v)
VALUE(maximum, u > v || u != u ? u : v)

GRADIENT(same, dy[i])
GRADIENT(negative, -dy[i])
GRADIENT(times_a, dy[i] * u)
GRADIENT(times_b, dy[i] * v)
GRADIENT(over_b, dy[i] / v)
GRADIENT(divide_b, -dy[i] * (u / v) / v)
GRADIENT(raise_to_a, v == 0.0f ? 0.0f : dy[i] * v * power(u, v - 1.0f))
GRADIENT(prelu_a, u > 0.0f ? dy[i] : dy[i] * v)
GRADIENT(minimum_a, u < v ? dy[i] : u > v ? 0.0f : 0.5f * dy[i])
GRADIENT(minimum_b, v < u ? dy[i] : v > u ? 0.0f : 0.5f * dy[i])
GRADIENT(maximum_a, u > v ? dy[i] : u < v ? 0.0f : 0.5f * dy[i])
GRADIENT(maximum_b, v > u ? dy[i] : v < u ? 0.0f : 0.5f * dy[i])
// clang-format on

enum { READS_A = 1, READS_B = 2 };

static const struct kind {
    value_loop *value;
    gradient_loop *gradients[2]; // to each operand
    unsigned reads[2];           // what these read
} KINDS[LORAC_BINARY_KIND_COUNT] = {
    [LORAC_BINARY_ADD] = {add, {same, same}, {0, 0}},
    [LORAC_BINARY_SUB] = {subtract, {same, negative}, {0, 0}},
    [LORAC_BINARY_MUL] = {multiply, {times_b, times_a}, {READS_B, READS_A}},
    [LORAC_BINARY_DIV] = {divide, {over_b, divide_b}, {READS_B, READS_A | READS_B}},
    [LORAC_BINARY_POW] = {raise_to, {raise_to_a, NULL}, {READS_A | READS_B, 0}},
    [LORAC_BINARY_PRELU] = {prelu, {prelu_a, NULL}, {READS_A | READS_B, 0}},
    [LORAC_BINARY_MIN] = {minimum, {minimum_a, minimum_b}, {READS_A | READS_B, READS_A | READS_B}},
    [LORAC_BINARY_MAX] = {maximum, {maximum_a, maximum_b}, {READS_A | READS_B, READS_A | READS_B}},
};

// ---- walking

struct job {
    const struct lorac_binary *binary;
    const struct lorac_step *step;
    const float *data[2]; // of the operands
    size_t operand;       // the one whose gradient is computed
};

static struct job make_job(const struct lorac_step *step, size_t operand)
{
    const struct lorac_binary *binary = step->config;
    struct job job = {.binary = binary, .step = step, .operand = operand};
    for (size_t i = 0; i < 2; i++)
        job.data[i] = binary->operands[i].constant ? binary->operands[i].constant : step->x[binary->operands[i].input];
    return job;
}

static size_t offset_of(const struct lorac_binary_operand *operand, const size_t index[4])
{
    size_t offset = 0;
    for (size_t k = 0; k < 4; k++)
        offset += index[k] * operand->strides[k];
    return offset;
}

static void start_at(const struct lorac_binary *binary, size_t at, size_t index[4])
{
    for (size_t k = 4; k-- > 0; at /= binary->dims[k])
        index[k] = at % binary->dims[k];
}

// Elements from [index] on that lie in one row of the last dimension, [left] at most.
static size_t run_length(const struct lorac_binary *binary, const size_t index[4], size_t left)
{
    size_t row = binary->dims[3] - index[3];
    return row < left ? row : left;
}

static void advance(const struct lorac_binary *binary, size_t index[4], size_t by)
{
    index[3] += by;
    for (size_t k = 3; k > 0 && index[k] == binary->dims[k]; k--) {
        index[k] = 0;
        index[k - 1]++;
    }
}

static void forward_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct lorac_binary *binary = job->binary;
    const struct lorac_binary_operand *a = &binary->operands[0], *b = &binary->operands[1];
    value_loop *value = KINDS[binary->kind].value;
    size_t index[4], count;
    start_at(binary, begin, index);
    for (size_t at = begin; at < end; at += count) {
        count = run_length(binary, index, end - at);
        value(job->step->y + at, job->data[0] + offset_of(a, index), a->strides[3], job->data[1] + offset_of(b, index),
              b->strides[3], count);
        advance(binary, index, count);
    }
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    struct job job = make_job(step, 0);
    lorac_parallel_ranges(env->pool, forward_range, &job, job.binary->count, TILE);
}

// ---- gradients

// The gradient that each of [count] elements of the output from [index] on contributes to the job's operand.
static void contributions(const struct job *job, const size_t index[4], size_t at, size_t count, float *g)
{
    const struct lorac_binary *binary = job->binary;
    const struct lorac_binary_operand *a = &binary->operands[0], *b = &binary->operands[1];
    KINDS[binary->kind].gradients[job->operand](g, job->step->dy + at, job->data[0] + offset_of(a, index),
                                                a->strides[3], job->data[1] + offset_of(b, index), b->strides[3],
                                                count);
}

// An operand of the output's size, in the same order of memory or another.
static void direct_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct lorac_binary *binary = job->binary;
    const struct lorac_binary_operand *operand = &binary->operands[job->operand];
    float *dx = job->step->dx[operand->input], g[BLOCK];
    size_t index[4], count;
    start_at(binary, begin, index);
    for (size_t at = begin; at < end; at += count) {
        float *to = dx + offset_of(operand, index);
        count = run_length(binary, index, end - at);
        if (operand->strides[3] == 1) {
            contributions(job, index, at, count, to);
        } else {
            count = count < BLOCK ? count : BLOCK;
            contributions(job, index, at, count, g);
            for (size_t i = 0; i < count; i++)
                to[i * operand->strides[3]] = g[i];
        }
        advance(binary, index, count);
    }
}

// A broadcast operand. An item is a run of up to BLOCK of its elements that are neighbours in the last dimension, or
// one element where it is broadcast along that.
struct items {
    size_t counts[4]; // along each dimension; 1 where it is summed over
    size_t count;
};

static struct items items_of(const struct lorac_binary *binary, const struct lorac_binary_operand *operand)
{
    struct items items = {.count = 1};
    for (size_t k = 0; k < 4; k++) {
        size_t dim = k == 3 ? (binary->dims[k] + BLOCK - 1) / BLOCK : binary->dims[k];
        items.counts[k] = operand->strides[k] ? dim : 1;
        items.count *= items.counts[k];
    }
    return items;
}

// The sums over the part from [low] to [high] of the output, along the last dimension kept or not.
static void sum_part(const struct job *job, const size_t low[4], const size_t high[4], bool kept, double sums[BLOCK])
{
    const size_t *dims = job->binary->dims;
    float g[BLOCK];
    for (size_t i0 = low[0]; i0 < high[0]; i0++)
        for (size_t i1 = low[1]; i1 < high[1]; i1++)
            for (size_t i2 = low[2]; i2 < high[2]; i2++)
                for (size_t i3 = low[3]; i3 < high[3]; i3 += BLOCK) {
                    size_t index[4] = {i0, i1, i2, i3}, count = high[3] - i3 < BLOCK ? high[3] - i3 : BLOCK;
                    contributions(job, index, ((i0 * dims[1] + i1) * dims[2] + i2) * dims[3] + i3, count, g);
                    for (size_t i = 0; i < count; i++)
                        sums[kept ? i : 0] += (double)g[i];
                }
}

static void summed_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    const struct lorac_binary *binary = job->binary;
    const struct lorac_binary_operand *operand = &binary->operands[job->operand];
    const struct items items = items_of(binary, operand);
    for (size_t item = begin; item < end; item++) {
        size_t low[4], high[4], rest = item;
        bool kept = operand->strides[3] != 0;
        for (size_t k = 4; k-- > 0; rest /= items.counts[k]) {
            size_t each = k == 3 ? BLOCK : 1;
            low[k] = operand->strides[k] ? rest % items.counts[k] * each : 0;
            high[k] = operand->strides[k] && low[k] + each < binary->dims[k] ? low[k] + each : binary->dims[k];
        }
        double sums[BLOCK] = {0};
        sum_part(job, low, high, kept, sums);
        float *to = job->step->dx[operand->input] + offset_of(operand, low);
        for (size_t i = 0; i < (kept ? high[3] - low[3] : 1); i++)
            to[i * operand->strides[3]] = (float)sums[i];
    }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct lorac_binary *binary = step->config;
    for (size_t i = 0; i < 2; i++) {
        const struct lorac_binary_operand *operand = &binary->operands[i];
        struct job job = make_job(step, i);
        if (operand->constant || !step->dx[operand->input])
            continue;
        if (!operand->broadcast) {
            lorac_parallel_ranges(env->pool, direct_range, &job, binary->count, TILE);
            continue;
        }
        size_t items = items_of(binary, operand).count;
        lorac_parallel_ranges(env->pool, summed_range, &job, items, TILE / (binary->count / items + 1) + 1);
    }
}

// ---- the kernel

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    const struct lorac_binary *binary = step->config;
    (void)error;
    for (size_t i = 0; i < 2; i++) {
        const struct lorac_binary_operand *operand = &binary->operands[i];
        if (operand->constant || !lorac_step_input(program, step, operand->input)->needs_gradient)
            continue;
        for (size_t k = 0; k < 2; k++)
            if (KINDS[binary->kind].reads[i] & (k == 0 ? READS_A : READS_B) && !binary->operands[k].constant)
                step->keeps_inputs = true;
    }
    return LORAC_OK;
}

// [op_type] of a step's kernel is for messages; the node has its own.
static const struct lorac_kernel general = {
    .op_type = "element-wise", .memory = memory, .forward = forward, .backward = backward};
static const struct lorac_kernel passing = {.op_type = "element-wise", .forward = forward, .passes_gradient = true};

static bool lies_as_output(const struct lorac_binary *binary, const struct lorac_binary_operand *operand)
{
    size_t stride = 1;
    for (size_t k = 4; k-- > 0; stride *= binary->dims[k])
        if (binary->dims[k] > 1 && operand->strides[k] != stride)
            return false;
    return true;
}

const struct lorac_kernel *lorac_binary_kernel(const struct lorac_binary *binary)
{
    for (size_t i = 0; i < 2; i++) {
        const struct lorac_binary_operand *operand = &binary->operands[i];
        if (!operand->constant && (KINDS[binary->kind].gradients[i] != same || !lies_as_output(binary, operand)))
            return &general;
    }
    return &passing;
}
