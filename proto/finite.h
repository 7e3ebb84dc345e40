// One question that is asked of weights, images, logits, gradients and new parameters alike.
#ifndef LORAC_FINITE_H
#define LORAC_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// True where none of values[count] is NaN or infinite. On the bits, so that compilers turn it into vector code: a float
// sum or isfinite() in a loop they may not.
static inline bool lorac_values_finite(const float *values, size_t count)
{
    const uint32_t exponent = 0x7f800000u;
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (uint32_t)((bits & exponent) == exponent);
    }
    return bad == 0;
}

#endif
