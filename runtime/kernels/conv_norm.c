#include "conv_norm.h"

#include "parallel.h"

#include <stdlib.h>

enum { FLOATS_AT_ONCE = 16 * 1024 };

size_t lorac_conv_norm_bytes(size_t M)
{
    return sizeof(struct lorac_conv_norm) + M * (2 * sizeof(double) + sizeof(float));
}

enum lorac_status lorac_conv_norm_create(const struct lorac_param *const params[LORAC_BATCH_NORM_PARAMS],
                                         double epsilon, size_t M, struct lorac_conv_norm **out,
                                         struct lorac_error *error)
{
    struct lorac_conv_norm *norm = calloc(1, lorac_conv_norm_bytes(M));
    if (!norm)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a BatchNormalization of %zu channels", M);
    norm->M = M;
    norm->gain = norm->memory;
    norm->shift = norm->gain + M;
    norm->bias = (float *)(norm->shift + M);
    for (size_t m = 0; m < M; m++) {
        const struct lorac_channel_map map = lorac_batch_norm_map(params, epsilon, m);
        norm->gain[m] = map.gain;
        norm->shift[m] = map.shift;
    }
    *out = norm;
    return LORAC_OK;
}

void lorac_conv_norm_free(struct lorac_conv_norm *norm)
{
    free(norm);
}

const float *lorac_conv_norm_bias(struct lorac_conv_norm *norm, const float *bias)
{
    for (size_t m = 0; m < norm->M; m++)
        norm->bias[m] = (float)((bias ? (double)bias[m] * norm->gain[m] : 0) + norm->shift[m]);
    return norm->bias;
}

struct job {
    const double *gain;
    const float *from;
    float *to;
    size_t columns;
};

static void scale_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t m = begin; m < end; m++) {
        const float *from = job->from + m * job->columns;
        float *to = job->to + m * job->columns;
        for (size_t i = 0; i < job->columns; i++)
            to[i] = (float)((double)from[i] * job->gain[m]);
    }
}

void lorac_conv_norm_rows(const struct lorac_conv_norm *norm, const float *from, float *to, size_t columns,
                          const struct lorac_kernel_env *env)
{
    struct job job = {norm->gain, from, to, columns};
    lorac_parallel_ranges(env->pool, scale_rows, &job, norm->M, FLOATS_AT_ONCE / columns + 1);
}
