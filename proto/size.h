// Checked arithmetic for sizes. Every product of dimensions that decides about memory goes through here:
// an overflow found later is a security fix.
#ifndef LORAC_SIZE_H
#define LORAC_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// *out = a * b; false (and *out untouched) where it does not fit.
static inline bool lorac_size_multiply(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

// *out = a + b; false (and *out untouched) where it does not fit.
static inline bool lorac_size_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

// *out = product of [count] dimensions (1 for none); false for a negative one or an overflow.
static inline bool lorac_size_of_dims(const int64_t *dims, size_t count, size_t *out)
{
    size_t product = 1;
    for (size_t i = 0; i < count; i++)
        if (dims[i] < 0 || (uint64_t)dims[i] > SIZE_MAX || !lorac_size_multiply(product, (size_t)dims[i], &product))
            return false;
    *out = product;
    return true;
}

#endif
