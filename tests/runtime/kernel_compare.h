// Comparing what a program gave with the oracle. Included by one file of a program.
#ifndef LORAC_TEST_KERNEL_COMPARE_H
#define LORAC_TEST_KERNEL_COMPARE_H

#include "check.h"
#include "kernel_trial.h"
#include "runtime/program.h"

// Of the largest output: sums of up to some hundred float products with errors of 6e-8 each that partly cancel. All
// rows were within 1e-6 on a processor with AVX-512; the rest is room for others.
static const double TOLERANCE_FORWARD = 4e-6;
// Of the largest output of a row with ROW_WINOGRAD: transforms add an error of their own to that of the sums. All rows
// were within 3e-6; what it is for up to 512 channels is in test_conv_algorithms.c.
static const double TOLERANCE_WINOGRAD = 1.5e-5;
// Of the largest gradient of the tensor: sums over all pixels of a batch in float. All rows were within 1e-5; the
// differences themselves are right to about 1e-9 (step 1e-5 in double).
static const double TOLERANCE_BACKWARD = 3e-5;
static const double DIFFERENCE_STEP = 1e-5;
// A gradient smaller than this is compared as if it were so large: what is left of sums that cancel (BatchNorm with
// batch statistics, Clip where all is outside).
static const double SMALLEST_GRADIENT = 1e-2;

enum { MAX_SAMPLES = 32, DIRECTIONS = 3 };

// ---- what a run gives

// What one run of the program gave, in ONNX order.
struct result {
    size_t logits_count;
    float *logits;
    size_t gradient_count; // of all trainable parameters, one after the other, then of the leading convolution's output
    float *gradients;
    float *input_gradient; // inside of gradients; NULL where there is none
};

static void free_result(struct result *result)
{
    free(result->logits);
    free(result->gradients);
}

static void *need(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);
    REQUIRE(memory != NULL);
    return memory;
}

// ---- comparing

static double largest_of(const double *values, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(values[i]));
    return largest;
}

static void compare_forward(const struct trial *trial, const char *what, const float *got, size_t count,
                            const struct ref_tensor *expected)
{
    if (!CHECKF(count == ref_count(expected), "%s: %s has %zu elements, the oracle's %zu", trial->text, what, count,
                ref_count(expected)))
        return;
    double worst = 0, largest = largest_of(expected->data, count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)got[i] - expected->data[i]);
        if (!(difference <= worst)) { // also for a NaN
            worst = difference;
            at = i;
        }
    }
    double tolerance = trial->row->flags & ROW_WINOGRAD ? TOLERANCE_WINOGRAD : TOLERANCE_FORWARD;
    CHECKF(worst <= tolerance * largest, "%s: %s[%zu] is %.9g, the oracle says %.9g (largest %.3g)", trial->text, what,
           at, (double)got[at], expected->data[at], largest);
}

static double loss(const struct trial *trial)
{
    ref_run_forward(trial->run);
    const struct ref_tensor *logits = ref_run_value(trial->run, trial->logits);
    double sum = 0;
    for (size_t i = 0; i < ref_count(logits); i++)
        sum += logits->data[i] * trial->weights.data[i];
    return sum;
}

// The loss with the tensor [name] moved by [by] times [direction] (NULL: only element [at]).
static double moved_loss(const struct trial *trial, const char *name, double by, const double *direction, size_t at)
{
    struct ref_tensor *tensor = ref_run_value(trial->run, name);
    struct ref_tensor kept = ref_copy(tensor);
    for (size_t i = 0; i < ref_count(tensor); i++)
        tensor->data[i] += by * (direction != NULL ? direction[i] : i == at);
    double moved = loss(trial);
    ref_run_set(trial->run, name, kept);
    return moved;
}

static double difference(const struct trial *trial, const char *name, const double *direction, size_t at)
{
    double h = DIFFERENCE_STEP;
    return (moved_loss(trial, name, h, direction, at) - moved_loss(trial, name, -h, direction, at)) / (2 * h);
}

static double largest_gradient(const float *got, size_t count)
{
    double largest = SMALLEST_GRADIENT;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)got[i]));
    return largest;
}

// Random directions, which see all elements at once.
static void compare_directions(const struct trial *trial, const char *name, const float *got, size_t count,
                               int directions, struct lorac_rng *rng)
{
    const double largest = largest_gradient(got, count);
    double *direction = need(count, sizeof(double));
    for (int k = 0; k < directions; k++) {
        double along = 0, norm = sqrt((double)count);
        for (size_t i = 0; i < count; i++) {
            direction[i] = (lorac_rng_next(rng) & 1 ? 1 : -1) / norm;
            along += direction[i] * (double)got[i];
        }
        double expected = difference(trial, name, direction, 0);
        CHECKF(fabs(along - expected) <= TOLERANCE_BACKWARD * fmax(largest, fabs(expected)),
               "%s: gradient of %s along direction %d is %.9g, differences say %.9g (largest %.3g)", trial->text, name,
               k, along, expected, largest);
    }
    free(direction);
}

// Single elements (all of a small tensor), then directions.
static void compare_gradient(const struct trial *trial, const char *name, const float *got, size_t count)
{
    struct lorac_rng rng;
    double largest = largest_gradient(got, count);
    lorac_rng_init(&rng, 11, "samples", count, 0);
    for (size_t k = 0; k < (count < MAX_SAMPLES ? count : MAX_SAMPLES); k++) {
        size_t at = count <= MAX_SAMPLES ? k : lorac_rng_below(&rng, count);
        double expected = difference(trial, name, NULL, at);
        if (!CHECKF(fabs((double)got[at] - expected) <= TOLERANCE_BACKWARD * fmax(largest, fabs(expected)),
                    "%s: gradient of %s[%zu] is %.9g, differences say %.9g (largest %.3g)", trial->text, name, at,
                    (double)got[at], expected, largest))
            break; // one message a tensor is enough
    }
    compare_directions(trial, name, got, count, DIRECTIONS, &rng);
}

// The oracle gets an input that falls a little from each element to the next, so that the first of equal ones is the
// largest there.
static void compare_ties(const struct trial *trial, const struct result *result)
{
    struct ref_tensor *x = ref_run_value(trial->run, "x");
    size_t count = ref_count(x);
    for (size_t i = 0; i < count; i++)
        x->data[i] -= 0.5 * (double)i / (double)count;
    compare_gradient(trial, "x", result->input_gradient, count);
}

static void compare_gradients(const struct trial *trial, const struct lorac_program *program,
                              const struct result *result)
{
    const float *next = result->gradients;
    size_t found = 0;
    if (trial->row->flags & ROW_TIES) {
        compare_ties(trial, result);
        return;
    }
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->trainable) {
            CHECKF(param->gradient == NULL, "%s: frozen %s has a gradient", trial->text, param->name);
            continue;
        }
        compare_gradient(trial, param->name, next, param->count);
        next += param->count;
        found++;
    }
    CHECKF(found == trial->graph.meta.trainable_count, "%s: %zu of %zu trainable tensors", trial->text, found,
           trial->graph.meta.trainable_count);
    if (result->input_gradient != NULL && !(trial->row->flags & ROW_USES_X))
        compare_gradient(trial, "x", result->input_gradient, ref_count(&trial->x));
}

#endif
