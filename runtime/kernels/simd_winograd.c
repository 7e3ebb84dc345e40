// Winograd's loops (winograd.h), compiled once for each instruction set as simd_loops.c is.
#include "simd_winograd.h"

#include <math.h>

typedef int vector_mask __attribute__((vector_size(LANES * sizeof(int)), aligned(sizeof(int)), may_alias));

enum { CHUNK = LORAC_WINOGRAD_CHUNK };
_Static_assert((int)CHUNK % (2 * LANES) == 0, "a chunk is made of pairs of vectors");

// Floats from what is read of a pixel to what is fetched: no processor foresees the strides of a tile's pixels.
enum { AHEAD = 64 };

// ---- weights: G g G', in double

static const double FACTOR_4[4] = {1, 0.5, 0.5, 1};

INLINE void weight_4(const wide *g, size_t step, wide *to, size_t to_step)
{
    wide even = g[0] + g[2 * step], odd = g[step];
    to[0] = g[0];
    to[to_step] = even + odd;
    to[2 * to_step] = even - odd;
    to[3 * to_step] = g[2 * step];
}

INLINE void weight_6(const wide *g, size_t step, wide *to, size_t to_step)
{
    wide even_a = g[0] + 0.5 * g[2 * step], even_b = g[0] + 2.0 * g[2 * step], odd = g[step];
    to[0] = g[0];
    to[to_step] = even_a + POINT_A * odd;
    to[2 * to_step] = even_a - POINT_A * odd;
    to[3 * to_step] = even_b + POINT_B * odd;
    to[4 * to_step] = even_b - POINT_B * odd;
    to[5 * to_step] = g[2 * step];
}

// [WIDE] outputs: g[tap], to[point][CHUNK].
INLINE void transform_weight(const size_t E, const double *factor, const wide *g, float *to)
{
    wide half[6 * 3], row[6];
    for (size_t j = 0; j < 3; j++)
        if (E == 6)
            weight_6(g + j, 3, half + j, 3);
        else
            weight_4(g + j, 3, half + j, 3);
    for (size_t i = 0; i < E; i++) {
        if (E == 6)
            weight_6(half + i * 3, 1, row, 1);
        else
            weight_4(half + i * 3, 1, row, 1);
        for (size_t j = 0; j < E; j++) {
            wide scaled = row[j] * (factor[i] * factor[j]);
            for (size_t lane = 0; lane < WIDE; lane++)
                to[(i * E + j) * CHUNK + lane] = (float)scaled[lane];
        }
    }
}

static void weight(size_t m, const float *from, size_t output_stride, bool flip, size_t count, size_t inputs, size_t k,
                   float *packed)
{
    float transformed[LORAC_WINOGRAD_MAX_POINTS * CHUNK];
    size_t points = (m + 2) * (m + 2), width = padded(count);
    for (size_t i = 0; i < width; i += WIDE) {
        wide g[9] = {{0}};
        for (size_t lane = 0; lane < WIDE && i + lane < count; lane++)
            for (size_t tap = 0; tap < 9; tap++)
                g[tap][lane] = (double)from[(i + lane) * output_stride + (flip ? 8 - tap : tap)];
        if (m == 4)
            transform_weight(6, FACTOR_6, g, transformed + i);
        else
            transform_weight(4, FACTOR_4, g, transformed + i);
    }
    for (size_t p = 0; p < points; p++)
        for (size_t i = 0; i < width; i += 2 * LANES) { // a panel of two vectors, or of one at the end
            size_t panel = width - i < 2 * LANES ? LANES : 2 * LANES;
            float *to = packed + p * inputs * width + inputs * i + k * panel;
            for (size_t lane = 0; lane < panel; lane += LANES)
                store(to + lane, load(transformed + p * CHUNK + i + lane, 0), 0);
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

// [ahead]: what is fetched meanwhile, the same pixels or the next tile's.
INLINE void input_vector(const size_t E, const float *const *pixel, size_t c, size_t part, const float *const *ahead,
                         size_t ahead_c, float *to, size_t stride)
{
    vector d[LORAC_WINOGRAD_MAX_POINTS];
    for (size_t j = 0; j < E; j++) {
        for (size_t i = 0; i < E; i++) {
            d[i * E + j] = load(pixel[i * E + j] + c, part);
            __builtin_prefetch(ahead[i * E + j] + ahead_c);
        }
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

INLINE void input_tile(const size_t E, const float *const *pixel, const float *const *next, size_t C, float *to,
                       size_t stride)
{
    const size_t whole = C - C % LANES, distance = C < AHEAD ? C : AHEAD;
    for (size_t c = 0; c < whole; c += LANES) {
        const bool here = c + distance < C;
        input_vector(E, pixel, c, 0, here ? pixel : next, here ? c + distance : c + distance - C, to, stride);
    }
    if (whole < C)
        input_vector(E, pixel, whole, C - whole, next, 0, to, stride);
}

static void input(size_t m, const float *const *pixel, const float *const *next, size_t C, float *to, size_t stride)
{
    if (m == 4)
        input_tile(6, pixel, next, C, to, stride);
    else
        input_tile(4, pixel, next, C, to, stride);
}

// ---- products

enum { WIDEST = LANES >= 16 ? 12 : 6 }; // tiles that registers hold at most

// Weights come from far away (those of a deep layer are larger than any cache), but each panel is used for several
// passes over tiles: meanwhile the next one is fetched, a part at each pass.
struct ahead {
    const float *next;
    size_t step, jump; // floats to fetch for each channel; from one piece of CHUNK channels to the next
};

// Registers hold [TB] tiles by [CB] vectors of outputs, while the channels stream by. Each sum is one chain over c in
// its order, so that its bits do not depend on which block or tile it fell into.
INLINE void product_tile(const float *tiles, size_t row_stride, const float *packed, size_t C, float *to,
                         size_t to_stride, const struct ahead *ahead, const size_t TB, const size_t CB)
{
    const float *next = ahead->next;
    size_t jump = ahead->jump - (CHUNK - 1) * ahead->step;
    vector sum[12][2];
    for (size_t t = 0; t < TB; t++)
        for (size_t v = 0; v < CB; v++)
            sum[t][v] = (vector){0};
    for (size_t c = 0; c < C; c++) {
        vector w[2];
        for (size_t v = 0; v < CB; v++)
            w[v] = *(const vector *)(packed + (c * CB + v) * LANES);
        __builtin_prefetch(next, 0, 2);
        next += (c + 1) % CHUNK == 0 ? jump : ahead->step;
        for (size_t t = 0; t < TB; t++)
            for (size_t v = 0; v < CB; v++)
                sum[t][v] += tiles[t * row_stride + c] * w[v];
    }
    for (size_t t = 0; t < TB; t++)
        for (size_t v = 0; v < CB; v++)
            *(vector *)(to + t * to_stride + v * LANES) = sum[t][v];
}

// [next]: the panel to fetch meanwhile, in pieces of CHUNK channels that are [jump] floats apart.
INLINE void product_tiles(const float *tiles, size_t count, size_t row_stride, const float *packed, size_t C, float *to,
                          size_t to_stride, const float *next, size_t jump, const size_t CB)
{
    size_t passes = (count + WIDEST - 1) / WIDEST, step = (CB * LANES + passes - 1) / passes;
    struct ahead ahead = {next, step, jump};
    size_t t = 0;
#define PRODUCT_TILES(TB)                                                                                              \
    for (; t + (TB) <= count; t += (TB), ahead.next += CHUNK * step)                                                   \
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

// The loops for all sizes of tiles are there once for each width, for all that multiply: neither inlined nor copied.
#ifdef __clang__
#define ONCE static __attribute__((noinline))
#else
#define ONCE static __attribute__((noinline, noclone))
#endif
#define PRODUCT_TILES_OF(name, CB)                                                                                     \
    ONCE void name(const float *tiles, size_t count, size_t row_stride, const float *packed, size_t C, float *to,      \
                   size_t to_stride, const float *next, size_t jump)                                                   \
    {                                                                                                                  \
        product_tiles(tiles, count, row_stride, packed, C, to, to_stride, next, jump, CB);                             \
    }
PRODUCT_TILES_OF(product_tiles_1, 1)
PRODUCT_TILES_OF(product_tiles_2, 2)
#undef PRODUCT_TILES_OF

// The products of one point with a chunk's panels. [next], [apart], [jump]: what to fetch meanwhile for the first of
// them, how far it is from there for the second.
INLINE void product_point(const float *tiles, size_t tile_count, size_t row_stride, const float *packed, size_t C,
                          size_t width, float *products, size_t to_stride, const float *next, size_t apart, size_t jump)
{
    size_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES, next += apart)
        product_tiles_2(tiles, tile_count, row_stride, packed + i * C, C, products + i, to_stride, next, jump);
    if (i < width)
        product_tiles_1(tiles, tile_count, row_stride, packed + i * C, C, products + i, to_stride, next, jump);
}

static void product(size_t points, const float *tiles, size_t tile_count, size_t row_stride, size_t point_stride,
                    const float *packed, size_t C, size_t count, float *products)
{
    size_t width = padded(count), to_stride = points * CHUNK;
    for (size_t p = 0; p < points; p++) {
        // The panel that follows in memory is the next one, here or in the next call.
        const float *panels = packed + p * C * width, *next = panels + C * (width < 2 * LANES ? width : 2 * LANES);
        product_point(tiles + p * point_stride, tile_count, row_stride, panels, C, width, products + p * CHUNK,
                      to_stride, next, 2 * LANES * C, CHUNK * 2 * LANES);
    }
}

// ---- weights of the input gradient, from those of the convolution

// Row r and row r + D of every pair exchange their elements at a distance of D: all distances together transpose.
#define AT_LOW(D, j) ((j) & (D) ? LANES + (j) - (D) : (j))
#define AT_HIGH(D, j) ((j) & (D) ? LANES + (j) : (j) + (D))
#define FOUR(OF, D, j) OF(D, j), OF(D, j + 1), OF(D, j + 2), OF(D, j + 3)
#if LANES == 16
#define EACH(OF, D) FOUR(OF, D, 0), FOUR(OF, D, 4), FOUR(OF, D, 8), FOUR(OF, D, 12)
#elif LANES == 8
#define EACH(OF, D) FOUR(OF, D, 0), FOUR(OF, D, 4)
#else
#define EACH(OF, D) FOUR(OF, D, 0)
#endif
#define EXCHANGE(D)                                                                                                    \
    for (size_t r = 0; r < LANES; r++)                                                                                 \
        if (!(r & (D))) {                                                                                              \
            vector low = v[r], high = v[r + (D)];                                                                      \
            v[r] = __builtin_shufflevector(low, high, EACH(AT_LOW, D));                                                \
            v[r + (D)] = __builtin_shufflevector(low, high, EACH(AT_HIGH, D));                                         \
        }

// [rows] x [columns] of at most LANES each, a row of [from] becomes a column of [to]; the columns are filled with
// zeros.
INLINE void turn_tile(const float *from, size_t from_row, size_t rows, float scale, float *to, size_t to_row,
                      size_t columns)
{
    vector v[LANES] = {{0}};
    for (size_t r = 0; r < rows; r++)
        v[r] = scale * load(from + r * from_row, 0);
#if LANES >= 16
    EXCHANGE(8)
#endif
#if LANES >= 8
    EXCHANGE(4)
#endif
    EXCHANGE(2)
    EXCHANGE(1)
    for (size_t r = 0; r < columns; r++)
        store(to + r * to_row, v[r], 0);
}

// Which row of the convolution's is row i of its gradient's, and by what factor.
struct turned {
    size_t row;
    float factor;
};
static const struct turned TURNED_4[4] = {{3, 1}, {1, 1}, {2, 1}, {0, 1}};
static const struct turned TURNED_6[6] = {{5, 1}, {3, -2}, {4, -2}, {1, -0.5f}, {2, -0.5f}, {0, 1}};

// The convolution's weights, and the inputs whose gradient is computed.
struct lent {
    const float *packed;
    size_t inputs, outputs; // channels
    size_t first, count;
};

// Weights of the convolution for LANES outputs from [output] on at one point: input i, of the gradient's, at
// from[i*row].
struct lent_rows {
    const float *from;
    size_t row;
};

INLINE struct lent_rows lent_rows(const struct lent *lent, size_t E, size_t point, size_t output)
{
    size_t chunk = output / CHUNK * CHUNK, panel = output % CHUNK / (2 * LANES) * (2 * LANES);
    size_t width = padded(lent->outputs - chunk < CHUNK ? lent->outputs - chunk : CHUNK);
    size_t row = width - panel < 2 * LANES ? LANES : 2 * LANES;
    const float *from = lent->packed + chunk * E * E * lent->inputs + (point * width + panel) * lent->inputs;
    return (struct lent_rows){from + lent->first * row + (output - chunk - panel), row};
}

static void turn(const struct lent *lent, size_t E, size_t point, float factor, float *to)
{
    size_t width = padded(lent->count);
    for (size_t output = 0; output < lent->outputs; output += LANES) {
        const struct lent_rows rows = lent_rows(lent, E, point, output);
        for (size_t input = 0; input < width; input += LANES) {
            size_t panel = input / (2 * LANES) * (2 * LANES), to_row = width - panel < 2 * LANES ? LANES : 2 * LANES;
            const float *from = rows.from + input * rows.row;
            float *tile = to + panel * lent->outputs + output * to_row + (input - panel);
            size_t inputs = lent->count - input, outputs = lent->outputs - output;
            if (inputs >= LANES && outputs >= LANES)
                turn_tile(from, rows.row, LANES, factor, tile, to_row, LANES);
            else
                turn_tile(from, rows.row, inputs < LANES ? inputs : LANES, factor, tile, to_row,
                          outputs < LANES ? outputs : LANES);
        }
    }
}

INLINE void lent_products(const struct lent *lent, const size_t E, const float *tiles, size_t tile_count,
                          size_t row_stride, size_t point_stride, float *turned, float *products)
{
    const struct turned *rows = E == 6 ? TURNED_6 : TURNED_4;
    for (size_t p = 0; p < E * E; p++) {
        const struct turned *i = rows + p / E, *j = rows + p % E;
        turn(lent, E, i->row * E + j->row, i->factor * j->factor, turned);
        // Fetched meanwhile: the next point, or the first one of the next chunk, which follows in each panel.
        size_t q = (p + 1) % (E * E), ahead = p + 1 < E * E ? 0 : CHUNK * 2 * LANES;
        const float *next = lent_rows(lent, E, rows[q / E].row * E + rows[q % E].row, 0).from + ahead;
        product_point(tiles + p * point_stride, tile_count, row_stride, turned, lent->outputs, padded(lent->count),
                      products + p * CHUNK, E * E * CHUNK, next, 2 * LANES * lent->inputs,
                      CHUNK * E * E * lent->inputs);
    }
}

static void borrowed_product(size_t m, const float *tiles, size_t tile_count, size_t row_stride, size_t point_stride,
                             const float *packed, size_t inputs, size_t outputs, size_t first, size_t count,
                             float *turned, float *products)
{
    const struct lent lent = {packed, inputs, outputs, first, count};
    if (m == 4)
        lent_products(&lent, 6, tiles, tile_count, row_stride, point_stride, turned, products);
    else
        lent_products(&lent, 4, tiles, tile_count, row_stride, point_stride, turned, products);
}

INLINE void turn_points(const struct lent *lent, const size_t E, float *to)
{
    const struct turned *rows = E == 6 ? TURNED_6 : TURNED_4;
    for (size_t p = 0; p < E * E; p++) {
        const struct turned *i = rows + p / E, *j = rows + p % E;
        turn(lent, E, i->row * E + j->row, i->factor * j->factor, to + p * lent->outputs * padded(lent->count));
    }
}

static void turned_weights(size_t m, const float *packed, size_t inputs, size_t outputs, size_t first, size_t count,
                           float *to)
{
    const struct lent lent = {packed, inputs, outputs, first, count};
    if (m == 4)
        turn_points(&lent, 6, to);
    else
        turn_points(&lent, 4, to);
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

// Two rows of the tile at a time: so many sums keep the multipliers busy.
INLINE void add_up(const struct lorac_winograd_up *up, const size_t m, size_t i, size_t rows, size_t columns, vector *y)
{
    for (size_t row = 0; row < m; row += 2) {
        const float *pixel[8];
        vector sum[8];
        for (size_t k = 0; k < 2 * m; k++) { // outside of the image: any one inside, the sum is not used
            size_t h = row + k / m < rows ? row + k / m : rows - 1, w = k % m < columns ? k % m : columns - 1;
            pixel[k] = up->h + h * up->h_row + w * up->h_column;
            sum[k] = (vector){0};
        }
        for (size_t q = 0; q < up->channels; q++) {
            vector w = load(up->up + q * up->up_row + i, 0);
            for (size_t k = 0; k < 2 * m; k++)
                sum[k] += pixel[k][q] * w;
        }
        for (size_t k = 0; k < 2 * m; k++)
            y[row * m + k] += up->scale * sum[k];
    }
}

// The tile, transformed back, of the outputs from i on.
INLINE void output_vector(const size_t E, const float *products, vector bias, const struct lorac_winograd_up *up,
                          size_t i, size_t rows, size_t columns, vector *y)
{
    const size_t m = E - 2;
    vector x[6], half[4 * 6];
    for (size_t j = 0; j < E; j++) {
        for (size_t k = 0; k < E; k++)
            x[k] = *(const vector *)(products + (k * E + j) * CHUNK + i);
        if (E == 6)
            output_6(x, 1, half + j, 6);
        else
            output_4(x, 1, half + j, 4);
    }
    for (size_t k = 0; k < m; k++) {
        if (E == 6)
            output_6(half + k * 6, 1, y + k * m, 1);
        else
            output_4(half + k * 4, 1, y + k * m, 1);
        for (size_t j = 0; j < m; j++)
            y[k * m + j] += bias;
    }
    if (up)
        add_up(up, m, i, rows, columns, y);
}

static void output(size_t m, const float *products, const float *bias, const struct lorac_winograd_up *up, size_t count,
                   float *y, size_t row_stride, size_t column_stride, size_t rows, size_t columns, bool accumulate,
                   float low, float high)
{
    struct finish finish = {.accumulate = accumulate, .clamp = low > -INFINITY || high < INFINITY};
    finish.low = (vector){0} + low;
    finish.high = (vector){0} + high;
    for (size_t i = 0; i < count; i += LANES) {
        size_t part = count - i < LANES ? count - i : 0;
        vector b = load(bias + i, part), tile[16];
        if (m == 4)
            output_vector(6, products, b, up, i, rows, columns, tile);
        else
            output_vector(4, products, b, up, i, rows, columns, tile);
        for (size_t row = 0; row < rows; row++)
            for (size_t column = 0; column < columns; column++)
                put(y + row * row_stride + column * column_stride + i, tile[row * m + column], part, &finish);
    }
}

extern const struct lorac_winograd_loops JOIN(lorac_winograd_, LORAC_SIMD_VARIANT);
const struct lorac_winograd_loops JOIN(lorac_winograd_, LORAC_SIMD_VARIANT) = {
    .lanes = LANES,
    .weight = weight,
    .input = input,
    .product = product,
    .borrowed_product = borrowed_product,
    .turned_weights = turned_weights,
    .output = output,
};
