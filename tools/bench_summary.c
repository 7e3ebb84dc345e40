// What follows from the times of a benchmark.
#include "bench.h"
#include "runtime/kernels/kernel.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

// The value at [part] (0 to 1) of sorted values, between two of them where it falls there.
static double quantile(const double *sorted, size_t count, double part)
{
    double at = part * (double)(count - 1);
    size_t below = (size_t)at;
    double rest = at - (double)below;
    return below + 1 < count ? sorted[below] * (1 - rest) + sorted[below + 1] * rest : sorted[below];
}

static double count_multiply_adds(const struct lorac_bench *bench)
{
    const struct lorac_program *program = bench->net->program;
    double count = 0;
    for (size_t i = 0; i < bench->layer_count; i++) {
        count += (double)lorac_step_multiply_adds(program, &program->steps[i]);
        if (bench->training)
            count += (double)lorac_step_backward_multiply_adds(program, &program->steps[i]);
    }
    for (size_t j = 0; bench->training && j < program->backward_count; j++)
        if (program->backward[j].kind == LORAC_BACKWARD_FORWARD)
            count += (double)lorac_step_multiply_adds(program, &program->steps[program->backward[j].step]);
    return count * lorac_bench_runs(bench);
}

double lorac_bench_runs(const struct lorac_bench *bench)
{
    return (double)bench->batch / (double)bench->net->program->batch;
}

enum lorac_status lorac_bench_summarize(const struct lorac_bench *bench, struct lorac_bench_summary *out,
                                        struct lorac_error *error)
{
    size_t count = bench->step_count;
    double *sorted = malloc(count * sizeof *sorted), sum = 0;
    if (!sorted)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the times of %zu steps", count);
    memcpy(sorted, bench->step_seconds, count * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sum += sorted[i];
    qsort(sorted, count, sizeof *sorted, compare);
    double median = quantile(sorted, count, 0.5), positive = median > 0 ? median : 1e-9;
    *out = (struct lorac_bench_summary){
        .median = median,
        .mean = sum / (double)count > 0 ? sum / (double)count : 1e-9,
        .low = sorted[0],
        .high = sorted[count - 1],
        .spread = (quantile(sorted, count, 0.75) - quantile(sorted, count, 0.25)) / positive,
        .images_per_second = (double)bench->batch / positive,
        .multiply_adds = count_multiply_adds(bench),
    };
    out->flops = 2 * out->multiply_adds / positive;
    free(sorted);
    return LORAC_OK;
}

enum lorac_status lorac_bench_kinds(const struct lorac_bench *bench, struct lorac_bench_kind **kinds, size_t *count,
                                    struct lorac_error *error)
{
    const struct lorac_program *program = bench->net->program;
    struct lorac_bench_kind *found = calloc(bench->layer_count + 1, sizeof *found);
    double steps = (double)bench->step_count, runs = lorac_bench_runs(bench);
    if (!found)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the kinds of layers");
    *count = 0;
    for (size_t i = 0; i < bench->layer_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const struct lorac_bench_layer *layer = &bench->layers[i];
        size_t k = 0;
        while (k < *count && strcmp(found[k].op_type, step->kernel->op_type) != 0)
            k++;
        *count += k == *count;
        found[k].op_type = step->kernel->op_type;
        found[k].layers++;
        found[k].seconds.refresh += layer->refresh / steps;
        found[k].seconds.forward += layer->forward / steps;
        found[k].seconds.recompute += layer->recompute / steps;
        found[k].seconds.backward += layer->backward / steps;
        found[k].forward_multiply_adds += runs * (double)lorac_step_multiply_adds(program, step);
        found[k].backward_multiply_adds += runs * (double)lorac_step_backward_multiply_adds(program, step);
    }
    *kinds = found;
    return LORAC_OK;
}

void lorac_bench_algorithms(const struct lorac_step *step, const char **forward, const char **backward)
{
    const struct lorac_kernel *kernel = step->kernel;
    *forward = kernel->algorithm ? kernel->algorithm(step, false) : NULL;
    *backward = kernel->algorithm && step->needs_backward ? kernel->algorithm(step, true) : NULL;
}

double lorac_bench_rest(const struct lorac_bench *bench)
{
    double rest = 0;
    for (size_t i = 0; i < bench->step_count; i++)
        rest += bench->step_seconds[i];
    for (int kind = LORAC_SPAN_INPUT; kind < LORAC_SPAN_KINDS; kind++)
        rest -= bench->seconds[kind];
    return rest / (double)bench->step_count;
}
