// The three small products of an adapter by the method's definition, all as sums of outer products.
#include "conv_algorithm.h"

#include "parallel.h"
#include "simd.h"

#include <string.h>

enum { ROWS_AT_ONCE = 48, COLUMNS_AT_ONCE = 64 };

struct job {
    const struct lorac_conv_adapter *adapter;
    const float *w0, *a, *b, *dw, *a_transposed;
    float *w, *da, *db;
    const struct lorac_simd *simd;
};

static void weight_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    size_t R = job->adapter->R, columns = job->adapter->columns;
    if (job->w != job->w0)
        memcpy(job->w + begin * columns, job->w0 + begin * columns, (end - begin) * columns * sizeof(float));
    struct lorac_outer outer = {.left = job->b + begin * R,
                                .right = job->a,
                                .images = 1,
                                .rows = 1,
                                .columns = R,
                                .left_pixel = 1,
                                .left_channel = R,
                                .right_pixel = columns,
                                .m_count = end - begin,
                                .c_count = columns,
                                .out = job->w + begin * columns,
                                .out_row = columns,
                                .scale = (float)job->adapter->s};
    job->simd->outer(&outer);
}

void lorac_conv_adapter_weight(const struct lorac_conv_adapter *adapter, const float *w0, const float *a,
                               const float *b, float *w, const struct lorac_kernel_env *env)
{
    struct job job = {.adapter = adapter, .w0 = w0, .a = a, .b = b, .w = w, .simd = env->simd};
    lorac_parallel_ranges(env->pool, weight_rows, &job, adapter->rows, ROWS_AT_ONCE);
}

static void gradient_of_a(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    size_t R = job->adapter->R, columns = job->adapter->columns;
    struct lorac_outer outer = {.left = job->b,
                                .right = job->dw + begin,
                                .images = 1,
                                .rows = 1,
                                .columns = job->adapter->rows,
                                .left_pixel = R,
                                .left_channel = 1,
                                .right_pixel = columns,
                                .m_count = R,
                                .c_count = end - begin,
                                .out = job->da + begin,
                                .out_row = columns,
                                .scale = (float)job->adapter->s};
    job->simd->outer(&outer);
}

static void gradient_of_b(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    size_t R = job->adapter->R, columns = job->adapter->columns;
    struct lorac_outer outer = {.left = job->dw + begin * columns,
                                .right = job->a_transposed,
                                .images = 1,
                                .rows = 1,
                                .columns = columns,
                                .left_pixel = 1,
                                .left_channel = columns,
                                .right_pixel = R,
                                .m_count = end - begin,
                                .c_count = R,
                                .out = job->db + begin * R,
                                .out_row = R,
                                .scale = (float)job->adapter->s};
    job->simd->outer(&outer);
}

void lorac_conv_adapter_gradient(const struct lorac_conv_adapter *adapter, const float *dw, const float *a,
                                 const float *b, float *da, float *db, float *workspace,
                                 const struct lorac_kernel_env *env)
{
    struct job job = {
        .adapter = adapter, .a = a, .b = b, .dw = dw, .a_transposed = workspace, .da = da, .db = db, .simd = env->simd};
    if (da)
        lorac_parallel_ranges(env->pool, gradient_of_a, &job, adapter->columns, COLUMNS_AT_ONCE);
    if (!db)
        return;
    for (size_t r = 0; r < adapter->R; r++)
        for (size_t c = 0; c < adapter->columns; c++)
            workspace[c * adapter->R + r] = a[r * adapter->columns + c];
    lorac_parallel_ranges(env->pool, gradient_of_b, &job, adapter->rows, ROWS_AT_ONCE);
}
