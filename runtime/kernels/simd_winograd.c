// Winograd's loops (winograd.h), compiled once for each instruction set as simd_loops.c is.
#include "winograd.h"

#include <math.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LANES LORAC_SIMD_LANES
#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int vector_mask __attribute__((vector_size(LANES * sizeof(int)), aligned(sizeof(int)), may_alias));

enum { CHUNK = LORAC_WINOGRAD_CHUNK };
_Static_assert((int)CHUNK % (2 * LANES) == 0, "a chunk is made of pairs of vectors");

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

// ---- weights: G g G', in double

// Rows of G; infinity last. The divisors are the products of a point's distances to the others.
static const double G2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double G4[6][3] = {{1, 0, 0},
                                {-1 / 1.5, -POINT_A / 1.5, -0.5 / 1.5},
                                {-1 / 1.5, POINT_A / 1.5, -0.5 / 1.5},
                                {1 / 6.0, POINT_B / 6, 2 / 6.0},
                                {1 / 6.0, -POINT_B / 6, 2 / 6.0},
                                {0, 0, 1}};

INLINE void transform_weight(const size_t E, const double (*G)[3], double (*g)[CHUNK], double (*to)[CHUNK])
{
    double half[6][3][CHUNK];
    for (size_t i = 0; i < E; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t m = 0; m < CHUNK; m++)
                half[i][j][m] = G[i][0] * g[j][m] + G[i][1] * g[3 + j][m] + G[i][2] * g[6 + j][m];
    for (size_t i = 0; i < E; i++)
        for (size_t j = 0; j < E; j++)
            for (size_t m = 0; m < CHUNK; m++)
                to[i * E + j][m] = G[j][0] * half[i][0][m] + G[j][1] * half[i][1][m] + G[j][2] * half[i][2][m];
}

// Outputs of a chunk, rounded up to vectors.
INLINE size_t padded(size_t count)
{
    return (count + LANES - 1) / LANES * LANES;
}

static void weight(size_t m, const float *from, size_t output_stride, bool flip, size_t count, size_t inputs, size_t k,
                   float *packed)
{
    double g[9][CHUNK] = {{0}}, transformed[LORAC_WINOGRAD_MAX_POINTS][CHUNK];
    size_t points = (m + 2) * (m + 2), width = padded(count);
    for (size_t i = 0; i < count; i++)
        for (size_t tap = 0; tap < 9; tap++)
            g[tap][i] = (double)from[i * output_stride + (flip ? 8 - tap : tap)];
    if (m == 4)
        transform_weight(6, G4, g, transformed);
    else
        transform_weight(4, G2, g, transformed);
    for (size_t p = 0; p < points; p++)
        for (size_t i = 0; i < width; i += 2 * LANES) { // a panel of two vectors, or of one at the end
            size_t panel = width - i < 2 * LANES ? LANES : 2 * LANES;
            float *to = packed + p * inputs * width + inputs * i + k * panel;
            for (size_t lane = 0; lane < panel; lane++)
                to[lane] = (float)transformed[p][i + lane];
        }
}

// ---- tiles of inputs: B' d B

INLINE void input_4(vector *d, size_t step)
{
    vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    d[0] = d0 - d2;
    d[step] = d1 + d2;
    d[2 * step] = d2 - d1;
    d[3 * step] = d3 - d1;
}

INLINE void input_6(vector *d, size_t step)
{
    const float a = (float)POINT_A, b = (float)POINT_B;
    vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    vector even_a = d4 - 2.0f * d2, odd_a = d3 - 2.0f * d1, even_b = d4 - 0.5f * d2, odd_b = d3 - 0.5f * d1;
    d[0] = (d0 + d4) - 2.5f * d2;
    d[step] = even_a + a * odd_a;
    d[2 * step] = even_a - a * odd_a;
    d[3 * step] = even_b + b * odd_b;
    d[4 * step] = even_b - b * odd_b;
    d[5 * step] = (d1 + d5) - 2.5f * d3;
}

INLINE void input_vector(const size_t E, const float *const *pixel, size_t c, size_t part, float *to, size_t stride)
{
    vector d[LORAC_WINOGRAD_MAX_POINTS];
    for (size_t j = 0; j < E; j++) {
        for (size_t i = 0; i < E; i++)
            d[i * E + j] = load(pixel[i * E + j] + c, part);
        if (E == 6)
            input_6(d + j, 6);
        else
            input_4(d + j, 4);
    }
    for (size_t i = 0; i < E; i++) {
        if (E == 6)
            input_6(d + i * 6, 1);
        else
            input_4(d + i * 4, 1);
        for (size_t j = 0; j < E; j++)
            *(vector *)(to + (i * E + j) * stride + c) = d[i * E + j];
    }
}

static void input(size_t m, const float *const *pixel, size_t C, float *to, size_t stride)
{
    size_t whole = C - C % LANES;
    if (m == 4) {
        for (size_t c = 0; c < whole; c += LANES)
            input_vector(6, pixel, c, 0, to, stride);
        if (whole < C)
            input_vector(6, pixel, whole, C - whole, to, stride);
    } else {
        for (size_t c = 0; c < whole; c += LANES)
            input_vector(4, pixel, c, 0, to, stride);
        if (whole < C)
            input_vector(4, pixel, whole, C - whole, to, stride);
    }
}

// ---- products

enum { WIDEST = LANES >= 16 ? 12 : 6 }; // tiles that registers hold at most

// Weights come from far away (those of a deep layer are larger than any cache), but each panel is used for several
// passes over tiles: meanwhile the next one is fetched, a part at each pass.
struct ahead {
    const float *next;
    size_t step; // floats to fetch for each channel
};

// Registers hold [TB] tiles by [CB] vectors of outputs, while the channels stream by. Each sum is one chain over c in
// its order, so that its bits do not depend on which block or tile it fell into.
INLINE void product_tile(const float *tiles, size_t row_stride, const float *packed, size_t C, float *to,
                         size_t to_stride, const struct ahead *ahead, const size_t TB, const size_t CB)
{
    const float *next = ahead->next;
    vector sum[12][2];
    for (size_t t = 0; t < TB; t++)
        for (size_t v = 0; v < CB; v++)
            sum[t][v] = (vector){0};
    for (size_t c = 0; c < C; c++) {
        vector w[2];
        for (size_t v = 0; v < CB; v++)
            w[v] = *(const vector *)(packed + (c * CB + v) * LANES);
        __builtin_prefetch(next, 0, 2);
        next += ahead->step;
        for (size_t t = 0; t < TB; t++)
            for (size_t v = 0; v < CB; v++)
                sum[t][v] += tiles[t * row_stride + c] * w[v];
    }
    for (size_t t = 0; t < TB; t++)
        for (size_t v = 0; v < CB; v++)
            *(vector *)(to + t * to_stride + v * LANES) = sum[t][v];
}

INLINE void product_tiles(const float *tiles, size_t count, size_t row_stride, const float *packed, size_t C, float *to,
                          size_t to_stride, const size_t CB)
{
    // The panel that follows in memory is the next one, here or in the next call.
    size_t passes = (count + WIDEST - 1) / WIDEST, step = (CB * LANES + passes - 1) / passes;
    struct ahead ahead = {packed + C * CB * LANES, step};
    size_t t = 0;
#define PRODUCT_TILES(TB)                                                                                              \
    for (; t + (TB) <= count; t += (TB), ahead.next += C * step)                                                       \
    product_tile(tiles + t * row_stride, row_stride, packed, C, to + t * to_stride, to_stride, &ahead, TB, CB)
#if LANES >= 16
    PRODUCT_TILES(12);
    PRODUCT_TILES(8);
#endif
    PRODUCT_TILES(6);
    PRODUCT_TILES(4);
    PRODUCT_TILES(2);
    PRODUCT_TILES(1);
#undef PRODUCT_TILES
}

static void product(size_t points, const float *tiles, size_t tile_count, size_t row_stride, size_t point_stride,
                    const float *packed, size_t C, size_t count, float *products)
{
    size_t width = padded(count), to_stride = points * CHUNK;
    for (size_t p = 0; p < points; p++) {
        const float *from = tiles + p * point_stride, *panel = packed + p * C * width;
        float *to = products + p * CHUNK;
        size_t i = 0;
        for (; i + 2 * LANES <= width; i += 2 * LANES)
            product_tiles(from, tile_count, row_stride, panel + i * C, C, to + i, to_stride, 2);
        if (i < width)
            product_tiles(from, tile_count, row_stride, panel + i * C, C, to + i, to_stride, 1);
    }
}

// ---- tiles of outputs: A' products A

INLINE void output_4(const vector *x, size_t step, vector *y, size_t y_step)
{
    y[0] = x[0] + x[step] + x[2 * step];
    y[y_step] = x[step] - x[2 * step] + x[3 * step];
}

INLINE void output_6(const vector *x, size_t step, vector *y, size_t y_step)
{
    const float a = (float)POINT_A, b = (float)POINT_B;
    vector sum_a = x[step] + x[2 * step], difference_a = x[step] - x[2 * step];
    vector sum_b = x[3 * step] + x[4 * step], difference_b = x[3 * step] - x[4 * step];
    y[0] = x[0] + sum_a + sum_b;
    y[y_step] = a * difference_a + b * difference_b;
    y[2 * y_step] = 0.5f * sum_a + 2.0f * sum_b;
    y[3 * y_step] = 0.5f * a * difference_a + (2.0f * b * difference_b + x[5 * step]);
}

INLINE vector choose(vector_mask mask, vector yes, vector no)
{
    return (vector)((mask & (vector_mask)yes) | (~mask & (vector_mask)no));
}

struct finish {
    bool accumulate, clamp;
    vector low, high;
};

INLINE void put(float *y, vector v, size_t part, const struct finish *finish)
{
    if (finish->accumulate)
        v += load(y, part);
    if (finish->clamp) { // comparisons that a NaN passes through
        v = choose(v < finish->low, finish->low, v);
        v = choose(v > finish->high, finish->high, v);
    }
    store(y, v, part);
}

INLINE void output_vector(const size_t E, const float *products, vector bias, size_t part, float *y, size_t row_stride,
                          size_t column_stride, size_t rows, size_t columns, const struct finish *finish)
{
    const size_t m = E - 2;
    vector x[6], half[4 * 6], row[4];
    for (size_t j = 0; j < E; j++) {
        for (size_t i = 0; i < E; i++)
            x[i] = *(const vector *)(products + (i * E + j) * CHUNK);
        if (E == 6)
            output_6(x, 1, half + j, 6);
        else
            output_4(x, 1, half + j, 4);
    }
    for (size_t i = 0; i < m; i++) {
        if (E == 6)
            output_6(half + i * 6, 1, row, 1);
        else
            output_4(half + i * 4, 1, row, 1);
        for (size_t j = 0; i < rows && j < m; j++)
            if (j < columns)
                put(y + i * row_stride + j * column_stride, row[j] + bias, part, finish);
    }
}

static void output(size_t m, const float *products, const float *bias, size_t count, float *y, size_t row_stride,
                   size_t column_stride, size_t rows, size_t columns, bool accumulate, float low, float high)
{
    struct finish finish = {.accumulate = accumulate, .clamp = low > -INFINITY || high < INFINITY};
    finish.low = (vector){0} + low;
    finish.high = (vector){0} + high;
    for (size_t i = 0; i < count; i += LANES) {
        size_t part = count - i < LANES ? count - i : 0;
        vector b = load(bias + i, part);
        if (m == 4)
            output_vector(6, products + i, b, part, y + i, row_stride, column_stride, rows, columns, &finish);
        else
            output_vector(4, products + i, b, part, y + i, row_stride, column_stride, rows, columns, &finish);
    }
}

extern const struct lorac_winograd_loops JOIN(lorac_winograd_, LORAC_SIMD_VARIANT);
const struct lorac_winograd_loops JOIN(lorac_winograd_, LORAC_SIMD_VARIANT) = {
    .lanes = LANES,
    .weight = weight,
    .input = input,
    .product = product,
    .output = output,
};
