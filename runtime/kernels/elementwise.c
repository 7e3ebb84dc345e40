#include "elementwise.h"

#include "parallel.h"
#include "simd.h"

#include <stdatomic.h>

// TILE: elements a task, enough to pay for handing it out, few enough to spread a small layer; whole bytes of a mask.
// BLOCK: what is clipped is still in the first cache when it is looked at for the mask.
enum { TILE = 16 * 1024, BLOCK = 2 * 1024 };

struct job {
    const struct lorac_simd *simd;
    float *out;
    const float *a, *b, *scale, *shift;
    uint8_t *mask;
    const uint8_t *bits;
    float low, high;
    size_t C;
    atomic_bool bad;
};

static void add_into_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->add_into(job->out + begin, job->a + begin, end - begin);
}

void lorac_add_into(float *target, const float *source, size_t count, const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = target, .a = source};
    lorac_parallel_ranges(env->pool, add_into_range, &job, count, TILE);
}

static void add_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->add(job->out + begin, job->a + begin, job->b + begin, end - begin);
}

void lorac_add(float *target, const float *a, const float *b, size_t count, const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = target, .a = a, .b = b};
    lorac_parallel_ranges(env->pool, add_range, &job, count, TILE);
}

static void clip_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    for (size_t i = begin; i < end; i += BLOCK) {
        const size_t count = end - i < BLOCK ? end - i : BLOCK;
        job->simd->clip(job->out + i, job->a + i, job->low, job->high, count);
        if (job->mask)
            job->simd->clip_mask(job->mask + i / 8, job->out + i, job->low, job->high, count);
    }
}

void lorac_clip(float *y, const float *x, uint8_t *mask, float low, float high, size_t count,
                const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = y, .a = x, .mask = mask, .low = low, .high = high};
    lorac_parallel_ranges(env->pool, clip_range, &job, count, TILE);
}

static void clip_mask_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->clip_mask(job->mask + begin / 8, job->a + begin, job->low, job->high, end - begin);
}

void lorac_clip_mask(uint8_t *mask, const float *y, float low, float high, size_t count,
                     const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .a = y, .mask = mask, .low = low, .high = high};
    lorac_parallel_ranges(env->pool, clip_mask_range, &job, count, TILE);
}

static void mask_backward_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->mask_backward(job->out + begin, job->a + begin, job->bits + begin / 8, end - begin);
}

void lorac_mask_backward(float *dx, const float *dy, const uint8_t *mask, size_t count,
                         const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = dx, .a = dy, .bits = mask};
    lorac_parallel_ranges(env->pool, mask_backward_range, &job, count, TILE);
}

static void clip_backward_range(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->clip_backward(job->out + begin, job->a + begin, job->b + begin, job->low, job->high, end - begin);
}

void lorac_clip_backward(float *dx, const float *dy, const float *y, float low, float high, size_t count,
                         const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = dx, .a = dy, .b = y, .low = low, .high = high};
    lorac_parallel_ranges(env->pool, clip_backward_range, &job, count, TILE);
}

static void scale_shift_rows(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    job->simd->scale_shift(job->out + begin * job->C, job->a + begin * job->C, job->scale, job->shift, end - begin,
                           job->C);
}

void lorac_scale_shift(float *y, const float *x, const float *scale, const float *shift, size_t rows, size_t C,
                       const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .out = y, .a = x, .scale = scale, .shift = shift, .C = C};
    lorac_parallel_ranges(env->pool, scale_shift_rows, &job, rows, TILE / C + 1);
}

static void finite_range(void *context, size_t begin, size_t end)
{
    struct job *job = context;
    if (!job->simd->all_finite(job->a + begin, end - begin))
        atomic_store(&job->bad, true);
}

bool lorac_all_finite(const float *x, size_t count, const struct lorac_kernel_env *env)
{
    struct job job = {.simd = env->simd, .a = x};
    lorac_parallel_ranges(env->pool, finite_range, &job, count, TILE);
    return !atomic_load(&job.bad);
}
