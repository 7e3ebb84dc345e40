#include "columns.h"

#include "conv_algorithm.h"
#include "parallel.h"
#include "simd.h"

#include <string.h>

enum { CHUNK_ELEMENTS = 32 * 1024, MAX_CHUNKS = 64 };

struct job {
    enum lorac_column_kind kind;
    const float *x, *a, *mean;
    size_t rows, C, rows_per_chunk;
    double *sums; // [chunks, C]
    const struct lorac_simd *simd;
};

static size_t rows_per_chunk(size_t rows, size_t C)
{
    size_t wanted = CHUNK_ELEMENTS / C + 1, least = (rows + MAX_CHUNKS - 1) / MAX_CHUNKS;
    return wanted > least ? wanted : least;
}

static size_t chunk_count(size_t rows, size_t C)
{
    size_t each = rows_per_chunk(rows, C);
    return (rows + each - 1) / each;
}

size_t lorac_column_workspace(size_t rows, size_t C)
{
    return (chunk_count(rows, C) + 1) * C * sizeof(double); // one row more for lorac_bias_gradient
}

static void sum_chunk(void *context, size_t chunk)
{
    const struct job *job = context;
    size_t first = chunk * job->rows_per_chunk;
    size_t rows = job->rows - first < job->rows_per_chunk ? job->rows - first : job->rows_per_chunk;
    double *sum = job->sums + chunk * job->C;
    const float *x = job->x + first * job->C;
    memset(sum, 0, job->C * sizeof(*sum));
    if (job->kind == LORAC_COLUMN_SUM)
        job->simd->column_sum(sum, x, rows, job->C);
    else if (job->kind == LORAC_COLUMN_SQUARES)
        job->simd->column_square_sum(sum, x, job->mean, rows, job->C);
    else
        job->simd->column_product_sum(sum, job->a + first * job->C, x, job->mean, rows, job->C);
}

void lorac_column_sums(enum lorac_column_kind kind, const float *x, const float *a, const float *mean, size_t rows,
                       size_t C, double *out, void *workspace, const struct lorac_kernel_env *env)
{
    struct job job = {kind, x, a, mean, rows, C, rows_per_chunk(rows, C), workspace, env->simd};
    size_t chunks = chunk_count(rows, C);
    lorac_parallel_for(env->pool, sum_chunk, &job, chunks);
    memset(out, 0, C * sizeof(*out));
    for (size_t chunk = 0; chunk < chunks; chunk++)
        for (size_t c = 0; c < C; c++)
            out[c] += job.sums[chunk * C + c];
}

void lorac_bias_gradient(const float *dy, size_t rows, size_t C, const double *gain, float *out, void *workspace,
                         const struct lorac_kernel_env *env)
{
    double *sums = (double *)workspace + chunk_count(rows, C) * C;
    lorac_column_sums(LORAC_COLUMN_SUM, dy, NULL, NULL, rows, C, sums, workspace, env);
    for (size_t c = 0; c < C; c++)
        out[c] += (float)(gain ? sums[c] * gain[c] : sums[c]);
}
