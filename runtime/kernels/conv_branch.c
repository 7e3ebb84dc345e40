#include "conv_branch.h"

#include "conv_taps.h"
#include "proto/size.h"
#include "simd.h"

#include <stdlib.h>
#include <string.h>

enum {
    ALIGNED_FLOATS = LORAC_BUFFER_ALIGNMENT / sizeof(float),
    MAX_STRIDE = 64, // each phase of a stride has an entry in a table
};

struct lorac_branch_block lorac_conv_branch_block(const struct lorac_conv_branch *branch, size_t a)
{
    size_t C = branch->shape.C, kw = branch->shape.kw, blocks = branch->blocks;
    size_t c0 = a * C / blocks, c1 = ((a + 1) * C + blocks - 1) / blocks;
    return (struct lorac_branch_block){.c0 = c0, .width = c1 - c0, .left = (a * C - c0 * blocks) * kw};
}

// Everything that is made has at most so many floats as one of these products; each is 1/64 of what can be addressed at
// most, so that sums of them and of their bytes fit.
static bool sizes_fit(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    const int64_t products[][5] = {
        {(int64_t)s->N, (int64_t)s->OH, (int64_t)s->OW, (int64_t)branch->blocks, (int64_t)branch->R},
        {(int64_t)branch->blocks, (int64_t)branch->taps, (int64_t)branch->R, (int64_t)branch->width + ALIGNED_FLOATS,
         8},
        {(int64_t)branch->blocks, (int64_t)branch->taps, (int64_t)branch->R + ALIGNED_FLOATS, (int64_t)branch->width,
         8},
        {(int64_t)s->M, (int64_t)branch->blocks, (int64_t)branch->R, 8, 1},
        {(int64_t)s->H + (int64_t)s->OH, (int64_t)s->kh, 1, 1, 1},
        {(int64_t)s->W + (int64_t)s->OW, (int64_t)s->kw, 1, 1, 1}};
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        size_t count;
        if (!lorac_size_of_dims(products[i], 5, &count) || count > SIZE_MAX / (64 * sizeof(float)))
            return false;
    }
    return s->H <= INT32_MAX && s->W <= INT32_MAX && s->OH <= INT32_MAX && s->OW <= INT32_MAX;
}

bool lorac_conv_branch_init(struct lorac_conv_branch *branch, const struct lorac_conv_shape *shape,
                            const struct lorac_conv_adapter *adapter)
{
    *branch = (struct lorac_conv_branch){.shape = *shape,
                                         .R = adapter->R,
                                         .blocks = shape->kh,
                                         .taps = shape->kh * shape->kw,
                                         .columns = adapter->columns,
                                         .s = adapter->s};
    branch->down_products = (double)branch->taps;
    for (size_t a = 0; a < branch->blocks; a++) {
        size_t width = lorac_conv_branch_block(branch, a).width;
        branch->width = width > branch->width ? width : branch->width;
    }
    return shape->G == 1 && shape->stride_h <= MAX_STRIDE && shape->stride_w <= MAX_STRIDE && sizes_fit(branch);
}

size_t lorac_conv_branch_kept_bytes(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    return s->N * s->OH * s->OW * branch->blocks * branch->R * sizeof(float);
}

// ---- the state

static size_t aligned(size_t floats)
{
    return (floats + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

// A row of at least half a line begins a line of the cache: a vector then never lies across two.
static size_t row_floats(size_t count)
{
    return count > ALIGNED_FLOATS / 2 ? aligned(count) : count;
}

static bool goes_back(const struct lorac_conv_branch *branch)
{
    return lorac_conv_branch_adds_dx(branch) || branch->gives_dh || branch->trains_a;
}

// Where each part of the block lies, in floats; *total is the block's size.
struct layout {
    size_t down, down_t, up, up_t, row_of, column_of, row_phases, column_phases, row_from, column_from, tap_place,
        total;
};

static size_t take(size_t *next, size_t floats)
{
    size_t at = *next;
    *next += aligned(floats + LORAC_SIMD_MARGIN);
    return at;
}

static struct layout make_layout(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    size_t rows = branch->blocks * branch->taps, kR = branch->blocks * branch->R, next = 0;
    bool back = goes_back(branch);
    struct layout layout;
    layout.down = take(&next, branch->beside ? 0 : rows * branch->width * row_floats(branch->R));
    layout.down_t = take(&next, lorac_conv_branch_adds_dx(branch) ? rows * branch->R * row_floats(branch->width) : 0);
    layout.up = take(&next, branch->beside ? 0 : kR * s->M);
    layout.up_t = take(&next, !back                                 ? 0
                              : lorac_conv_branch_is_narrow(branch) ? kR * row_floats(s->M)
                                                                    : s->M * row_floats(kR));
    layout.row_of = take(&next, s->OH * s->kh);
    layout.column_of = take(&next, s->OW * s->kw);
    const size_t phase_floats = sizeof(struct lorac_branch_phase) / sizeof(float);
    layout.row_phases = take(&next, back ? s->stride_h * phase_floats : 0);
    layout.column_phases = take(&next, back ? s->stride_w * phase_floats : 0);
    layout.row_from = take(&next, back ? s->H * s->kh : 0);
    layout.column_from = take(&next, back ? s->W * s->kw : 0);
    layout.tap_place = take(&next, back ? branch->taps : 0);
    layout.total = next;
    return layout;
}

size_t lorac_conv_branch_packed_bytes(const struct lorac_conv_branch *branch)
{
    return make_layout(branch).total * sizeof(float);
}

// [from]: room for in * taps.
static void fill_phases(const struct lorac_conv_axis *axis, struct lorac_branch_phase *phases, int32_t *from)
{
    size_t before = 0;
    for (size_t p = 0; p < axis->stride; p++) {
        struct lorac_branch_phase *phase = &phases[p];
        *phase = (struct lorac_branch_phase){.before = before, .from = from};
        phase->places = lorac_conv_phase_places(axis, p);
        phase->taps = lorac_conv_phase_taps(axis, p);
        lorac_conv_fill_phase(axis, p, from);
        before += phase->taps;
        from += phase->places * phase->taps;
    }
}

// The number of the tap among those of its phase.
static size_t index_in_phase(const struct lorac_conv_axis *axis, size_t k)
{
    size_t index = 0;
    for (size_t i = 0; i < k; i++)
        index += lorac_conv_tap_phase(axis, i) == lorac_conv_tap_phase(axis, k);
    return index;
}

static void fill_tables(struct lorac_branch_state *state, int32_t *row_from, int32_t *column_from)
{
    const struct lorac_conv_shape *s = &state->branch->shape;
    const struct lorac_conv_axis rows = lorac_conv_rows(s), columns = lorac_conv_columns(s);
    lorac_conv_fill_places(&rows, state->row_of);
    lorac_conv_fill_places(&columns, state->column_of);
    if (!goes_back(state->branch))
        return;
    fill_phases(&rows, state->row_phases, row_from);
    fill_phases(&columns, state->column_phases, column_from);
    for (size_t tap = 0; tap < state->branch->taps; tap++) {
        size_t i = tap / s->kw, k = tap % s->kw;
        size_t row_phase = lorac_conv_tap_phase(&rows, i), column_phase = lorac_conv_tap_phase(&columns, k);
        state->tap_place[tap] =
            (int32_t)(lorac_branch_taps_before(state, row_phase, column_phase) +
                      index_in_phase(&rows, i) * state->column_phases[column_phase].taps + index_in_phase(&columns, k));
    }
}

enum lorac_status lorac_conv_branch_create(const struct lorac_conv_branch *branch, struct lorac_branch_state **out,
                                           struct lorac_error *error)
{
    const struct layout layout = make_layout(branch);
    struct lorac_branch_state *state = calloc(1, sizeof *state);
    if (!state || posix_memalign(&state->block, LORAC_BUFFER_ALIGNMENT, layout.total * sizeof(float)) != 0) {
        free(state);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for an adapter (%zu bytes)",
                               layout.total * sizeof(float));
    }
    memset(state->block, 0, layout.total * sizeof(float));
    float *block = state->block;
    int32_t *tables = state->block; // of the same size as floats
    state->branch = branch;
    state->down = branch->beside ? NULL : block + layout.down;
    state->up = branch->beside ? NULL : block + layout.up;
    state->down_row = row_floats(branch->R);
    state->down_t_row = row_floats(branch->width);
    state->up_t_row = row_floats(lorac_conv_branch_is_narrow(branch) ? branch->shape.M : branch->blocks * branch->R);
    state->row_of = tables + layout.row_of;
    state->column_of = tables + layout.column_of;
    state->down_t = lorac_conv_branch_adds_dx(branch) ? block + layout.down_t : NULL;
    if (goes_back(branch)) {
        state->up_t = block + layout.up_t;
        state->row_phases = (void *)(block + layout.row_phases);
        state->column_phases = (void *)(block + layout.column_phases);
        state->tap_place = tables + layout.tap_place;
    }
    fill_tables(state, tables + layout.row_from, tables + layout.column_from);
    *out = state;
    return LORAC_OK;
}

void lorac_conv_branch_free(struct lorac_branch_state *state)
{
    if (!state)
        return;
    free(state->block);
    free(state);
}

// ---- packing

void lorac_conv_branch_pack_a(struct lorac_branch_state *state, const float *a)
{
    const struct lorac_conv_branch *branch = state->branch;
    size_t R = branch->R, taps = branch->taps;
    for (size_t b = 0; b < branch->blocks; b++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, b);
        float *down = state->down ? state->down + b * taps * branch->width * state->down_row : NULL;
        float *down_t = state->down_t ? state->down_t + b * taps * R * state->down_t_row : NULL;
        for (size_t r = 0; r < R; r++)
            for (size_t column = 0; column < branch->columns; column++) {
                size_t place = block.left + column, c = place / taps, tap = place % taps;
                float value = a[r * branch->columns + column];
                if (down)
                    down[(tap * block.width + c) * state->down_row + r] = value;
                if (down_t)
                    down_t[((size_t)state->tap_place[tap] * R + r) * state->down_t_row + c] = value;
            }
    }
}

// to [kR, to_row] = b [M, kR] turned around
static void turn(const float *b, size_t M, size_t kR, float *to, size_t to_row)
{
    for (size_t q = 0; q < kR; q++)
        for (size_t m = 0; m < M; m++)
            to[q * to_row + m] = b[m * kR + q];
}

void lorac_conv_branch_pack_b(struct lorac_branch_state *state, const float *b)
{
    size_t M = state->branch->shape.M, kR = state->branch->blocks * state->branch->R;
    if (state->up)
        turn(b, M, kR, state->up, M);
    if (state->up_t && lorac_conv_branch_is_narrow(state->branch))
        turn(b, M, kR, state->up_t, state->up_t_row);
    else if (state->up_t)
        for (size_t m = 0; m < M; m++)
            memcpy(state->up_t + m * state->up_t_row, b + m * kR, kR * sizeof(float));
}
