// What the files of Winograd's loops share: vectors of the instruction set, the interpolation points.
#ifndef LORAC_SIMD_WINOGRAD_H
#define LORAC_SIMD_WINOGRAD_H

#include "winograd.h"

#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LANES LORAC_SIMD_LANES
#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

// The interpolation points of m = 4: a = 1/sqrt(2) and b = sqrt(2), with a^2 = 1/2, b^2 = 2, a*b = 1.
#define POINT_A 0.70710678118654752440
#define POINT_B 1.41421356237309504880

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

typedef double wide __attribute__((vector_size(LANES / 2 * sizeof(double))));
enum { WIDE = LANES / 2 };

// A row of G is a row here by a factor that is kept for the end. Points a and b = 1/a then swap places by a power of
// two where the kernel is turned around, and so does infinity with 0: exact to the bit, which `turn` relies on.
static const double FACTOR_6[6] = {1, -2 / 3.0, -2 / 3.0, 1 / 6.0, 1 / 6.0, 1};

// Outputs, rounded up to vectors.
INLINE size_t padded(size_t count)
{
    return (count + LANES - 1) / LANES * LANES;
}

#endif
