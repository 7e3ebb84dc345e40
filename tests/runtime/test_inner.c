// Inner products (runtime/kernels/simd.h) of every size around a vector's and a tile's, in each variant that this
// processor runs, against double. What lies behind a row is NaN: nothing may be read there.
#include "check.h"
#include "simd_variants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_K = 40, MOST_P = 9, MOST_Q = 9 };

static void fill(float *rows, size_t count, size_t row, size_t K, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < row; k++)
            rows[i * row + k] = k < K ? (float)((i * 31 + k * 17 + seed * 7) % 23) - 11.0f : NAN;
}

static void check_size(const struct lorac_simd *simd, size_t K, size_t P, size_t Q)
{
    const size_t left_row = K + 3, right_row = K + 1, to_row = Q + 2;
    float left[MOST_P * (MOST_K + 3)], right[MOST_Q * (MOST_K + 1)], to[MOST_P * (MOST_Q + 2)];
    fill(left, P, left_row, K, 1);
    fill(right, Q, right_row, K, 2);
    for (size_t i = 0; i < P * to_row; i++)
        to[i] = 99;
    const struct lorac_inner inner = {.left = left,
                                      .left_row = left_row,
                                      .right = right,
                                      .right_row = right_row,
                                      .K = K,
                                      .p_count = P,
                                      .q_count = Q,
                                      .to = to,
                                      .to_row = to_row,
                                      .scale = 0.5f};
    simd->inner(&inner);
    for (size_t p = 0; p < P; p++)
        for (size_t q = 0; q < to_row; q++) {
            double sum = 0; // small integers: every order of adding is exact
            for (size_t k = 0; q < Q && k < K; k++)
                sum += (double)left[p * left_row + k] * (double)right[q * right_row + k];
            double expected = q < Q ? 0.5 * sum : 99;
            CHECKF((double)to[p * to_row + q] == expected, "%s, K %zu, %zu x %zu: [%zu, %zu] is %g, not %g", simd->name,
                   K, P, Q, p, q, (double)to[p * to_row + q], expected);
        }
}

int main(void)
{
    const struct lorac_simd *variants[MAX_VARIANTS];
    const size_t count = find_variants(variants);
    for (size_t i = 0; i < count; i++)
        for (size_t K = 1; K <= MOST_K; K++)
            for (size_t P = 1; P <= MOST_P; P += 2)
                for (size_t Q = 1; Q <= MOST_Q; Q++)
                    check_size(variants[i], K, P, Q);
    return check_report();
}
