// What the loops that are compiled once for each instruction set share: its vectors, whole ones and parts.
#ifndef LORAC_SIMD_VECTOR_H
#define LORAC_SIMD_VECTOR_H

#include <stddef.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LANES LORAC_SIMD_LANES
#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

// [part] 0: all of a vector; else so many floats, and zeros.
INLINE vector load(const float *from, size_t part)
{
    if (!part)
        return *(const vector *)from;
    vector v = {0};
    memcpy(&v, from, part * sizeof(float));
    return v;
}

INLINE void store(float *to, vector v, size_t part)
{
    if (!part)
        *(vector *)to = v;
    else
        memcpy(to, &v, part * sizeof(float));
}

#endif
