// The variants of the hot loops that this processor runs, the best one first.
#ifndef LORAC_TEST_SIMD_VARIANTS_H
#define LORAC_TEST_SIMD_VARIANTS_H

#include "runtime/kernels/simd.h"

enum { MAX_VARIANTS = 3 };

extern const struct lorac_simd lorac_simd_baseline;

static size_t find_variants(const struct lorac_simd *out[MAX_VARIANTS])
{
    size_t count = 0;
#if defined(__x86_64__)
    extern const struct lorac_simd lorac_simd_v3, lorac_simd_v4;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
        out[count++] = &lorac_simd_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        out[count++] = &lorac_simd_v3;
#endif
    out[count++] = &lorac_simd_baseline;
    return count;
}

#endif
