#include "simd.h"

extern const struct lorac_simd lorac_simd_baseline;

#ifdef LORAC_SIMD_X86
extern const struct lorac_simd lorac_simd_v3; // AVX2 and FMA
extern const struct lorac_simd lorac_simd_v4; // AVX-512 F, BW, CD, DQ, VL

const struct lorac_simd *lorac_simd_select(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &lorac_simd_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return &lorac_simd_v3;
    return &lorac_simd_baseline;
}
#else
const struct lorac_simd *lorac_simd_select(void)
{
    return &lorac_simd_baseline;
}
#endif
