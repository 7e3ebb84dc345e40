// Compiled once for each instruction set: LORAC_SIMD_VARIANT names the set, LORAC_SIMD_LANES is its floats a register.
#include "simd.h"

#include "proto/finite.h"

#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LANES LORAC_SIMD_LANES

typedef float vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

// ---- sums of outer products

// Registers hold a tile of the result, [MB] rows by [CB] vectors, while all pixels stream by.

// The first [count] lanes: what follows them in memory belongs to others.
#if LANES == 16 && defined(__AVX512F__)
static inline vector load_part(const float *from, size_t count)
{
    return (vector)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
}

static inline void store_part(float *to, vector v, size_t count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
}
#elif LANES == 8 && defined(__AVX2__)
static inline __m256i first_lanes(size_t count)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);
}

static inline vector load_part(const float *from, size_t count)
{
    return (vector)_mm256_maskload_ps(from, first_lanes(count));
}

static inline void store_part(float *to, vector v, size_t count)
{
    _mm256_maskstore_ps(to, first_lanes(count), (__m256)v);
}
#else
static inline vector load_part(const float *from, size_t count)
{
    vector v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = from[i];
    return v;
}

static inline void store_part(float *to, vector v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = v[i];
}
#endif

// [part]: how many lanes of the last vector count; 0: all. The others are computed too, from whatever is read there.
static inline __attribute__((always_inline)) void outer_tile(const struct lorac_outer *o, const float *left,
                                                             const float *right, float *out, const size_t MB,
                                                             const size_t CB, const size_t part)
{
    vector sum[12][2];
    for (size_t m = 0; m < MB; m++)
        for (size_t c = 0; c < CB; c++)
            sum[m][c] = (vector){0};
    for (size_t image = 0; image < o->images; image++)
        for (size_t row = 0; row < o->rows; row++) {
            const float *l[4]; // of each third row: addresses of the others are offsets that the processor adds
            for (size_t m = 0; m < MB; m += 3)
                l[m / 3] = left + image * o->left_image + row * o->left_row + m * o->left_channel;
            const float *r = right + image * o->right_image + row * o->right_row;
            for (size_t column = 0; column < o->columns; column++) {
                vector x[2];
                for (size_t c = 0; c < CB; c++)
                    x[c] = *(const vector *)(r + c * LANES);
                for (size_t m = 0; m < MB; m++)
                    for (size_t c = 0; c < CB; c++)
                        sum[m][c] += l[m / 3][m % 3 * o->left_channel] * x[c];
                for (size_t m = 0; m < MB; m += 3)
                    l[m / 3] += o->left_pixel;
                r += o->right_pixel;
            }
        }
    for (size_t m = 0; m < MB; m++)
        for (size_t c = 0; c < CB; c++) {
            float *to = out + m * o->out_row + c * LANES;
            if (part && c + 1 == CB)
                store_part(to, load_part(to, part) + o->scale * sum[m][c], part);
            else
                *(vector *)to += o->scale * sum[m][c];
        }
}

// All columns of [MB] rows of the result.
static inline __attribute__((always_inline)) void outer_rows(const struct lorac_outer *o, size_t m, const size_t MB)
{
    const float *left = o->left + m * o->left_channel;
    float *out = o->out + m * o->out_row;
    for (size_t c = 0; c < o->c_count; c += 2 * LANES) {
        const size_t rest = o->c_count - c;
        if (rest > LANES)
            outer_tile(o, left, o->right + c, out + c, MB, 2, rest < 2 * LANES ? rest - LANES : 0);
        else
            outer_tile(o, left, o->right + c, out + c, MB, 1, rest < LANES ? rest : 0);
    }
}

static void outer(const struct lorac_outer *o)
{
    size_t m = 0;
#if LANES >= 16
    for (; m + 12 <= o->m_count; m += 12)
        outer_rows(o, m, 12);
#endif
#if LANES >= 8
    for (; m + 6 <= o->m_count; m += 6)
        outer_rows(o, m, 6);
#endif
    for (; m + 4 <= o->m_count; m += 4)
        outer_rows(o, m, 4);
    for (; m + 2 <= o->m_count; m += 2)
        outer_rows(o, m, 2);
    for (; m < o->m_count; m++)
        outer_rows(o, m, 1);
}

// ---- inner products

// The sums of the lanes of LANES vectors, in LANES steps of one vector: from pairs of vectors, the lower halves of all
// their parts of 2*H lanes, and the upper halves, are added, until each part has one lane.
#define FOLD_LOW(H, j) (j) / (LANES / 2) * LANES + (j) % (LANES / 2) / (H) * 2 * (H) + (j) % (H)
#define FOLD_HIGH(H, j) FOLD_LOW(H, j) + (H)
#define FOUR(OF, H, j) OF(H, j), OF(H, j + 1), OF(H, j + 2), OF(H, j + 3)
#if LANES == 16
#define EACH(OF, H) FOUR(OF, H, 0), FOUR(OF, H, 4), FOUR(OF, H, 8), FOUR(OF, H, 12)
#elif LANES == 8
#define EACH(OF, H) FOUR(OF, H, 0), FOUR(OF, H, 4)
#else
#define EACH(OF, H) FOUR(OF, H, 0)
#endif
#define FOLD(H)                                                                                                        \
    for (size_t i = 0; i < (H); i++)                                                                                   \
    v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], EACH(FOLD_LOW, H)) +                                        \
           __builtin_shufflevector(v[2 * i], v[2 * i + 1], EACH(FOLD_HIGH, H))

static inline __attribute__((always_inline)) vector lane_sums(vector *v)
{
#if LANES >= 16
    FOLD(8);
#endif
#if LANES >= 8
    FOLD(4);
#endif
    FOLD(2);
    FOLD(1);
    return v[0];
}

enum { INNER = 4 }; // so many of both at once

static inline __attribute__((always_inline)) void inner_step(vector *sum, const struct lorac_inner *g,
                                                             const float *left, const float *right, size_t k,
                                                             size_t part, const size_t P, const size_t Q)
{
    vector x[INNER], w[INNER];
    for (size_t p = 0; p < P; p++)
        x[p] = part ? load_part(left + p * g->left_row + k, part) : *(const vector *)(left + p * g->left_row + k);
    for (size_t q = 0; q < Q; q++)
        w[q] = part ? load_part(right + q * g->right_row + k, part) : *(const vector *)(right + q * g->right_row + k);
    for (size_t p = 0; p < P; p++)
        for (size_t q = 0; q < Q; q++)
            sum[p * INNER + q] += x[p] * w[q];
}

static inline __attribute__((always_inline)) void inner_tile(const struct lorac_inner *g, size_t p, size_t q,
                                                             const size_t P, const size_t Q)
{
    const float *left = g->left + p * g->left_row, *right = g->right + q * g->right_row;
    vector sum[INNER * INNER];
    float folded[INNER * INNER];
    size_t k = 0;
    for (size_t i = 0; i < INNER * INNER; i++)
        sum[i] = (vector){0};
    for (; k + LANES <= g->K; k += LANES)
        inner_step(sum, g, left, right, k, 0, P, Q);
    if (k < g->K)
        inner_step(sum, g, left, right, k, g->K - k, P, Q);
    for (size_t i = 0; i < INNER * INNER; i += LANES)
        *(vector *)(folded + i) = g->scale * lane_sums(sum + i);
    for (size_t i = 0; i < P; i++)
        memcpy(g->to + (p + i) * g->to_row + q, folded + i * INNER, Q * sizeof(float));
}

static void inner(const struct lorac_inner *g)
{
    size_t p = 0;
    for (; p + INNER <= g->p_count; p += INNER) {
        size_t q = 0;
        for (; q + INNER <= g->q_count; q += INNER)
            inner_tile(g, p, q, INNER, INNER);
        for (; q < g->q_count; q++)
            inner_tile(g, p, q, INNER, 1);
    }
    for (; p < g->p_count; p++)
        for (size_t q = 0; q < g->q_count; q++)
            inner_tile(g, p, q, 1, 1);
}

// ---- windows

static inline __attribute__((always_inline)) void copy_channels(float *to, const float *from, size_t vectors)
{
    for (size_t i = 0; i < vectors; i++)
        *(vector *)(to + i * LANES) = *(const vector *)(from + i * LANES);
}

// Whole vectors are copied; what is too much at the end of a tap, or of a row of taps, is overwritten by the next one.
static inline __attribute__((always_inline)) float *gather_row(const struct lorac_gather *g, const float *line,
                                                               const int32_t *columns, bool dense, float *to)
{
    const size_t all = g->kw * g->channels;
    if (!line) {
        for (size_t i = 0; i < all; i += LANES)
            *(vector *)(to + i) = (vector){0};
        return to + all;
    }
    // Neighbours one after another are one piece of memory. (The first and the last tell it: there is one distance
    // between taps.)
    if (dense && columns[0] >= 0 && columns[g->kw - 1] - columns[0] == (int32_t)g->kw - 1) {
        copy_channels(to, line + (size_t)columns[0] * g->from_pixel, (all + LANES - 1) / LANES);
        return to + all;
    }
    const size_t vectors = (g->channels + LANES - 1) / LANES;
    for (size_t k = 0; k < g->kw; k++, to += g->channels) {
        if (columns[k] < 0)
            for (size_t v = 0; v < vectors; v++)
                *(vector *)(to + v * LANES) = (vector){0};
        else
            copy_channels(to, line + (size_t)columns[k] * g->from_pixel, vectors);
    }
    return to;
}

static void gather(const struct lorac_gather *g, size_t begin, size_t end, float *to)
{
    const bool dense = g->channels == g->from_pixel;
    const size_t line = g->from_columns * g->from_pixel;
    size_t image = begin / (g->rows * g->columns), row = begin / g->columns % g->rows, column = begin % g->columns;
    for (size_t pixel = begin; pixel < end; pixel++) {
        const float *plane = g->from + image * g->from_rows * line;
        for (size_t i = 0; i < g->kh; i++) {
            int32_t from = g->row_of[row * g->kh + i];
            to = gather_row(g, from < 0 ? NULL : plane + (size_t)from * line, g->column_of + column * g->kw, dense, to);
        }
        if (++column == g->columns) {
            column = 0;
            if (++row == g->rows) {
                row = 0;
                image++;
            }
        }
    }
}

// ---- element-wise

static void add_into(float *target, const float *source, size_t count)
{
    for (size_t i = 0; i < count; i++)
        target[i] += source[i];
}

static void add(float *target, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        target[i] = a[i] + b[i];
}

static void clip(float *y, const float *x, float low, float high, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float v = x[i] > low ? x[i] : low; // a NaN is not above
        y[i] = v < high ? v : high;
    }
}

static void clip_backward(float *dx, const float *dy, const float *y, float low, float high, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = ((low < y[i]) & (y[i] < high)) ? dy[i] : 0.0f;
}

// Eight elements at [y] as bits, and eight of [dy] where the bits are set.
#if defined(__AVX2__)
static inline uint8_t inside_bits(const float *y, float low, float high)
{
    const __m256 v = _mm256_loadu_ps(y);
    return (uint8_t)_mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(_mm256_set1_ps(low), v, _CMP_LT_OQ),
                                                     _mm256_cmp_ps(v, _mm256_set1_ps(high), _CMP_LT_OQ)));
}

static inline void select_bits(float *dx, const float *dy, uint8_t bits)
{
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits), each), each);
    _mm256_storeu_ps(dx, _mm256_and_ps(_mm256_loadu_ps(dy), _mm256_castsi256_ps(set)));
}
#else
typedef float four __attribute__((vector_size(16), aligned(sizeof(float)), may_alias));
typedef int32_t four_bits __attribute__((vector_size(16), aligned(sizeof(float)), may_alias));

static inline four_bits inside(const float *y, float low, float high)
{
    const four v = *(const four *)y;
    return ((four){0} + low < v) & (v < (four){0} + high);
}

static inline uint8_t inside_bits(const float *y, float low, float high)
{
    const four_bits bits = (inside(y, low, high) & (four_bits){1, 2, 4, 8}) |
                           (inside(y + 4, low, high) & (four_bits){16, 32, 64, 128});
    return (uint8_t)(bits[0] | bits[1] | bits[2] | bits[3]);
}

static inline void select_bits(float *dx, const float *dy, uint8_t bits)
{
    const four_bits all = (four_bits){0} + bits;
    *(four_bits *)dx = *(const four_bits *)dy & ((all & (four_bits){1, 2, 4, 8}) != 0);
    *(four_bits *)(dx + 4) = *(const four_bits *)(dy + 4) & ((all & (four_bits){16, 32, 64, 128}) != 0);
}
#endif

static void clip_mask(uint8_t *mask, const float *y, float low, float high, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        mask[i / 8] = inside_bits(y + i, low, high);
    if (i == count)
        return;
    float rest[8] = {low, low, low, low, low, low, low, low}; // not inside
    memcpy(rest, y + i, (count - i) * sizeof(float));
    mask[i / 8] = inside_bits(rest, low, high);
}

static void mask_backward(float *dx, const float *dy, const uint8_t *mask, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        select_bits(dx + i, dy + i, mask[i / 8]);
    if (i == count)
        return;
    float rest[8] = {0};
    memcpy(rest, dy + i, (count - i) * sizeof(float));
    select_bits(rest, rest, mask[i / 8]);
    memcpy(dx + i, rest, (count - i) * sizeof(float));
}

static void scale_shift(float *y, const float *x, const float *scale, const float *shift, size_t rows, size_t C)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < C; c++)
            y[r * C + c] = x[r * C + c] * scale[c] + (shift ? shift[c] : 0.0f);
}

// ---- sums over rows, in double: a batch of 32 images of 32 x 32 pixels is 32768 terms

static void column_sum(double *restrict sum, const float *restrict x, size_t rows, size_t C)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < C; c++)
            sum[c] += (double)x[r * C + c];
}

static void column_square_sum(double *restrict sum, const float *restrict x, const float *restrict mean, size_t rows,
                              size_t C)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < C; c++) {
            double distance = (double)x[r * C + c] - (double)mean[c];
            sum[c] += distance * distance;
        }
}

static void column_product_sum(double *restrict sum, const float *restrict a, const float *restrict x,
                               const float *restrict mean, size_t rows, size_t C)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < C; c++)
            sum[c] += (double)a[r * C + c] * ((double)x[r * C + c] - (double)mean[c]);
}

static void batch_norm_backward(float *dx, const float *dy, const float *restrict x,
                                const float *restrict mean, const float *restrict gain, const float *restrict dy_mean,
                                const float *restrict slope, size_t rows, size_t C)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < C; c++) {
            size_t i = r * C + c;
            dx[i] = gain[c] * (dy[i] - dy_mean[c] - (x[i] - mean[c]) * slope[c]);
        }
}

// ---- the processor's limit

// Chains of multiply-adds that do not wait for one another: two units with a latency of four or five need eight to ten,
// and there are at least sixteen registers. Each chain tends to 1 (a = a/2 + 1/2): no overflow, nothing denormal.
enum { CHAINS = 12 };

static double multiply_adds(size_t rounds, float *in_out)
{
    vector chain[CHAINS], half, sum = {0};
    for (size_t l = 0; l < LANES; l++)
        half[l] = 0.5f;
    for (size_t i = 0; i < CHAINS; i++)
        chain[i] = half * (float)i + *in_out;
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * half + half;
    for (size_t i = 0; i < CHAINS; i++)
        sum += chain[i];
    *in_out = 0;
    for (size_t l = 0; l < LANES; l++)
        *in_out += sum[l];
    return (double)rounds * CHAINS * LANES;
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

extern const struct lorac_winograd_loops JOIN(lorac_winograd_, LORAC_SIMD_VARIANT); // simd_winograd.c
extern void JOIN(lorac_product_, LORAC_SIMD_VARIANT)(const struct lorac_product *product);       // simd_product.c
extern const struct lorac_winograd_weight_loops JOIN(lorac_winograd_weight_, LORAC_SIMD_VARIANT);
extern const struct lorac_simd JOIN(lorac_simd_, LORAC_SIMD_VARIANT);
const struct lorac_simd JOIN(lorac_simd_, LORAC_SIMD_VARIANT) = {
    .name = TEXT(LORAC_SIMD_VARIANT),
    .lanes = LANES,
    .outer = outer,
    .inner = inner,
    .gather = gather,
    .add_into = add_into,
    .add = add,
    .clip = clip,
    .clip_backward = clip_backward,
    .clip_mask = clip_mask,
    .mask_backward = mask_backward,
    .scale_shift = scale_shift,
    .column_sum = column_sum,
    .column_square_sum = column_square_sum,
    .column_product_sum = column_product_sum,
    .batch_norm_backward = batch_norm_backward,
    .all_finite = lorac_values_finite,
    .multiply_adds = multiply_adds,
    .winograd = &JOIN(lorac_winograd_, LORAC_SIMD_VARIANT),
    .product = JOIN(lorac_product_, LORAC_SIMD_VARIANT),
    .winograd_weight = &JOIN(lorac_winograd_weight_, LORAC_SIMD_VARIANT),
};
