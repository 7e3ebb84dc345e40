// The loops of Winograd's gradient of the weight (winograd.h), compiled once for each instruction set as simd_loops.c
// is.
#include "simd_winograd.h"

enum { EDGE = 6, POINTS = EDGE * EDGE, TILE = 4, TAPS = 9 };

// ---- tiles of dy: A dY A'

INLINE void spread_6(const vector *y, size_t step, vector *to, size_t to_step)
{
    const float a = (float)POINT_A, b = (float)POINT_B;
    vector even_a = y[0] + 0.5f * y[2 * step], odd_a = y[step] + 0.5f * y[3 * step];
    vector even_b = y[0] + 2.0f * y[2 * step], odd_b = y[step] + 2.0f * y[3 * step];
    to[0] = y[0];
    to[to_step] = even_a + a * odd_a;
    to[2 * to_step] = even_a - a * odd_a;
    to[3 * to_step] = even_b + b * odd_b;
    to[4 * to_step] = even_b - b * odd_b;
    to[5 * to_step] = y[3 * step];
}

INLINE void spread_vector(const float *const *pixel, const float *const *next, size_t c, size_t part, float *to,
                          size_t stride)
{
    vector y[TILE], half[EDGE * TILE], row[EDGE];
    for (size_t j = 0; j < TILE; j++) {
        for (size_t i = 0; i < TILE; i++) {
            y[i] = load(pixel[i * TILE + j] + c, part);
            __builtin_prefetch(next[i * TILE + j] + c);
        }
        spread_6(y, 1, half + j, TILE);
    }
    for (size_t i = 0; i < EDGE; i++) {
        spread_6(half + i * TILE, 1, row, 1);
        for (size_t j = 0; j < EDGE; j++)
            store(to + (i * EDGE + j) * stride + c, row[j], 0);
    }
}

static void spread(const float *const *pixel, const float *const *next, size_t C, float *to, size_t stride)
{
    size_t whole = C - C % LANES;
    for (size_t c = 0; c < whole; c += LANES)
        spread_vector(pixel, next, c, 0, to, stride);
    if (whole < C)
        spread_vector(pixel, next, whole, C - whole, to, stride);
}

// ---- sums over tiles

// Registers hold [CB] channels by [VB] vectors of outputs, while the tiles stream by.
INLINE void add_tile(const struct lorac_winograd_sum *s, const float *x, const float *y, float *to, const size_t CB,
                     const size_t VB)
{
    vector sum[16][2];
    for (size_t c = 0; c < CB; c++)
        for (size_t v = 0; v < VB; v++)
            sum[c][v] = load(to + c * s->sum_row + v * LANES, 0);
    for (size_t t = 0; t < s->tiles; t++, x += s->x_row, y += s->y_row) {
        vector w[2];
        for (size_t v = 0; v < VB; v++)
            w[v] = load(y + v * LANES, 0);
        for (size_t c = 0; c < CB; c++)
            for (size_t v = 0; v < VB; v++)
                sum[c][v] += x[c] * w[v];
    }
    for (size_t c = 0; c < CB; c++)
        for (size_t v = 0; v < VB; v++)
            store(to + c * s->sum_row + v * LANES, sum[c][v], 0);
}

// All channels of [VB] vectors of outputs.
INLINE void add_panel(const struct lorac_winograd_sum *s, const float *x, const float *y, float *to, const size_t VB)
{
    size_t c = 0;
#define ADD_TILES(CB)                                                                                                  \
    for (; c + (CB) <= s->C; c += (CB))                                                                                \
    add_tile(s, x + c, y, to + c * s->sum_row, CB, VB)
#if LANES >= 16
    if (VB == 1)
        ADD_TILES(16);
    ADD_TILES(8);
#else
    ADD_TILES(6);
#endif
    ADD_TILES(4);
    ADD_TILES(2);
    ADD_TILES(1);
#undef ADD_TILES
}

static void add(const struct lorac_winograd_sum *s)
{
    size_t width = padded(s->M);
    for (size_t p = 0; p < POINTS; p++) {
        const float *x = s->x + p * s->x_point, *y = s->y + p * s->y_point;
        float *to = s->sum + p * s->C * s->sum_row;
        size_t m = 0;
        for (; m + 2 * LANES <= width; m += 2 * LANES)
            add_panel(s, x, y + m, to + m, 2);
        if (m < width)
            add_panel(s, x, y + m, to + m, 1);
    }
}

// ---- back to taps: G' sum G

INLINE void taps_6(const wide *u, size_t step, wide *to, size_t to_step)
{
    wide sum_a = u[step] + u[2 * step], difference_a = u[step] - u[2 * step];
    wide sum_b = u[3 * step] + u[4 * step], difference_b = u[3 * step] - u[4 * step];
    to[0] = u[0] + sum_a + sum_b;
    to[to_step] = POINT_A * difference_a + POINT_B * difference_b;
    to[2 * to_step] = 0.5 * sum_a + 2.0 * sum_b + u[5 * step];
}

static void taps(const float *sum, size_t sum_point, size_t M, float *out, size_t out_row)
{
    for (size_t m = 0; m < M; m += WIDE) {
        wide u[EDGE], half[3 * EDGE], g[TAPS];
        for (size_t j = 0; j < EDGE; j++) {
            for (size_t i = 0; i < EDGE; i++)
                for (size_t lane = 0; lane < WIDE; lane++)
                    u[i][lane] = (double)sum[(i * EDGE + j) * sum_point + m + lane] * (FACTOR_6[i] * FACTOR_6[j]);
            taps_6(u, 1, half + j, EDGE);
        }
        for (size_t i = 0; i < 3; i++)
            taps_6(half + i * EDGE, 1, g + i * 3, 1);
        for (size_t lane = 0; lane < WIDE && m + lane < M; lane++)
            for (size_t tap = 0; tap < TAPS; tap++)
                out[(m + lane) * out_row + tap] = (float)g[tap][lane];
    }
}

extern const struct lorac_winograd_weight_loops JOIN(lorac_winograd_weight_, LORAC_SIMD_VARIANT);
const struct lorac_winograd_weight_loops JOIN(lorac_winograd_weight_, LORAC_SIMD_VARIANT) = {
    .spread = spread,
    .add = add,
    .taps = taps,
};
