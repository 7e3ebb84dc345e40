// The loop of product.h, compiled once for each instruction set as simd_loops.c is.
#include "product.h"
#include "simd_vector.h"

#include <math.h>
#include <string.h>

typedef int vector_mask __attribute__((vector_size(LANES * sizeof(int)), aligned(sizeof(int)), may_alias));

enum {
    CHUNK = LORAC_PRODUCT_CHUNK,
    WIDEST = LANES >= 16 ? 12 : 6, // rows that registers hold at most
};
_Static_assert((int)CHUNK % (2 * LANES) == 0, "a chunk is made of pairs of vectors");

INLINE vector choose(vector_mask mask, vector yes, vector no)
{
    return (vector)((mask & (vector_mask)yes) | (~mask & (vector_mask)no));
}

struct sums {
    vector of[WIDEST][2];
};

// Weights come from far away (those of a deep layer are larger than any cache), but each panel is used for several
// passes over rows: [next] is of the following panel, and fetched meanwhile, [step] floats for each term.
INLINE void add_terms(struct sums *sums, const struct lorac_terms *terms, size_t t, const float *packed,
                      const float *next, size_t step, const size_t TB, const size_t CB)
{
    if (terms->pieces == 0)
        return;
    const float *rows = terms->rows + t * terms->row_stride;
    for (size_t piece = 0; piece < terms->pieces; piece++, rows += terms->piece_stride)
        for (size_t k = 0; k < terms->piece; k++, packed += CB * LANES, next += step) {
            vector w[2];
            for (size_t v = 0; v < CB; v++)
                w[v] = *(const vector *)(packed + v * LANES);
            __builtin_prefetch(next, 0, 2);
            for (size_t r = 0; r < TB; r++)
                for (size_t v = 0; v < CB; v++)
                    sums->of[r][v] += rows[r * terms->row_stride + k] * w[v];
        }
}

struct limits {
    bool clamp;
    vector low, high;
};

INLINE vector finished(const struct lorac_product *p, const struct limits *limits, vector sum, vector bias,
                       const float *y, size_t part)
{
    sum += bias;
    if (p->accumulate)
        sum += load(y, part);
    if (limits->clamp) { // comparisons that a NaN passes through
        sum = choose(sum < limits->low, limits->low, sum);
        sum = choose(sum > limits->high, limits->high, sum);
    }
    return sum;
}

INLINE struct limits limits_of(const struct lorac_product *p)
{
    return (struct limits){p->low > -INFINITY || p->high < INFINITY, (vector){0} + p->low, (vector){0} + p->high};
}

INLINE vector bias_of(const struct lorac_product *p, size_t i)
{
    return p->bias ? *(const vector *)(p->bias + i) : (vector){0};
}

// The widest tile, from registers.
INLINE void finish_whole(const struct lorac_product *p, const struct sums *sums, size_t t, size_t i)
{
    const struct limits limits = limits_of(p);
    for (size_t v = 0; v < 2; v++) {
        const vector bias = bias_of(p, i + v * LANES);
        for (size_t r = 0; r < WIDEST; r++) {
            float *y = p->to[t + r] + p->offset + i + v * LANES;
            *(vector *)y = finished(p, &limits, sums->of[r][v], bias, y, 0);
        }
    }
}

// Any other: [rows] by [vectors], of which the last has [part] outputs; 0: all. Few tiles are: one copy of it will do.
static __attribute__((noinline)) void finish_other(const struct lorac_product *p, const struct sums *sums, size_t t,
                                                   size_t i, size_t rows, size_t vectors, size_t part)
{
    const struct limits limits = limits_of(p);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) {
            const size_t lanes = v + 1 < vectors ? 0 : part;
            float *y = p->to[t + r] + p->offset + i + v * LANES;
            store(y, finished(p, &limits, sums->of[r][v], bias_of(p, i + v * LANES), y, lanes), lanes);
        }
}

// A panel: its outputs from i on, the weights of both parts.
struct panel {
    size_t i, part;
    const float *packed, *more;
    size_t K;
};

// What the next rows' sums are written to comes from memory, or has to be known to be ours, while these are computed.
INLINE void fetch_outputs(const struct lorac_product *p, size_t t, size_t i, const size_t TB, const size_t CB)
{
    if (t + TB > p->count)
        return;
    for (size_t r = 0; r < TB; r++)
        for (size_t v = 0; v < CB; v++)
            __builtin_prefetch(p->to[t + r] + p->offset + i + v * LANES, 1, 3);
}

INLINE void tile(const struct lorac_product *p, const struct panel *panel, size_t t, const float *next, size_t step,
                 const size_t TB, const size_t CB)
{
    struct sums sums;
    for (size_t r = 0; r < TB; r++)
        for (size_t v = 0; v < CB; v++)
            sums.of[r][v] = (vector){0};
    fetch_outputs(p, t + TB, panel->i, TB, CB);
    add_terms(&sums, &p->terms, t, panel->packed, next, step, TB, CB);
    add_terms(&sums, &p->more, t, panel->more, panel->more, 0, TB, CB);
    if (TB == WIDEST && CB == 2 && panel->part == 0)
        finish_whole(p, &sums, t, panel->i);
    else
        finish_other(p, &sums, t, panel->i, TB, CB, panel->part);
}

INLINE void panel_rows(const struct lorac_product *p, const struct panel *panel, const size_t CB)
{
    const size_t passes = (p->count + WIDEST - 1) / WIDEST, step = (CB * LANES + passes - 1) / passes;
    const float *next = panel->packed + panel->K * CB * LANES;
    size_t t = 0;
#define ROWS(TB)                                                                                                       \
    for (; t + (TB) <= p->count; t += (TB), next += panel->K * step)                                                   \
    tile(p, panel, t, next, step, TB, CB)
    ROWS(WIDEST);
    ROWS(WIDEST / 3);
    ROWS(1);
#undef ROWS
}

extern void JOIN(lorac_product_, LORAC_SIMD_VARIANT)(const struct lorac_product *p);
void JOIN(lorac_product_, LORAC_SIMD_VARIANT)(const struct lorac_product *p)
{
    const size_t K = p->terms.pieces * p->terms.piece, more = p->more.pieces * p->more.piece;
    struct panel panel = {.packed = p->terms.packed, .more = p->more.packed, .K = K};
    for (; panel.i < p->outputs; panel.i += 2 * LANES) {
        const size_t left = p->outputs - panel.i;
        panel.part = left < 2 * LANES ? left % LANES : 0;
        if (left > LANES)
            panel_rows(p, &panel, 2);
        else
            panel_rows(p, &panel, 1);
        panel.packed += K * 2 * LANES;
        if (more > 0)
            panel.more += more * 2 * LANES;
    }
}
