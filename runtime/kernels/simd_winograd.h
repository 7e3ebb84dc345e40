// What the files of Winograd's loops share: vectors of the instruction set, the interpolation points.
#ifndef LORAC_SIMD_WINOGRAD_H
#define LORAC_SIMD_WINOGRAD_H

#include "simd_vector.h"
#include "winograd.h"

#include <string.h>

// The interpolation points of m = 4: a = 1/sqrt(2) and b = sqrt(2), with a^2 = 1/2, b^2 = 2, a*b = 1.
#define POINT_A 0.70710678118654752440
#define POINT_B 1.41421356237309504880

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
