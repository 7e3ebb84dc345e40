// A convolution of one group, of any kernel, stride, pads and dilation, and its input gradient, as products of
// matrices: what the taps of a block of pixels read is gathered into the second-level cache (im2col of a block), and
// multiplied by 32 outputs after another (product.h). Plain sums: nothing is approximate.
//
// With a stride the input gradient falls into phases (conv_taps.h): an input place is reached only by the taps of its
// own place modulo the stride, so that each phase is a product of its own with fewer taps, and no zero is multiplied.
//
// The weights are packed when the algorithm is made, and kept; or, where memory is scarce, before each run into the
// workspace, in the same order and so to the same bits.
//
// Blocks are cut by the shape alone and each sum is one chain over taps and channels: the same bits for any number of
// threads.
#include "conv_algorithm.h"

#include "conv_gemm.h"
#include "conv_taps.h"
#include "pages.h"
#include "parallel.h"
#include "product.h"
#include "simd.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = LORAC_PRODUCT_CHUNK,
    GROUP = 12,                // rows that the widest registers take at once
    LINE = 16,                 // floats of a cache line
    BLOCK_FLOATS = 160 * 1024, // of what a block gathers
    MAX_BLOCK = 20 * GROUP,    // pixels
    MIN_BLOCK = 4 * GROUP,
    ENOUGH_ITEMS = 8, // to keep threads busy: fewer blocks are shared out by chunks as well
    MAX_STRIDE = 8,   // phases are MAX_STRIDE^2 at most
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// ---- how it is cut, from the shape

static size_t block_of(size_t K, size_t pixels)
{
    size_t fits = K > 0 ? BLOCK_FLOATS / K / GROUP * GROUP : MAX_BLOCK;
    size_t most = fits < MIN_BLOCK ? MIN_BLOCK : smaller(fits, MAX_BLOCK);
    return pixels == 0 ? GROUP : divide_up(divide_up(pixels, divide_up(pixels, most)), GROUP) * GROUP;
}

// The addresses of a block's outputs, and what is gathered.
static size_t thread_floats(size_t K, size_t block)
{
    return lorac_gemm_pointer_floats(block) + divide_up(K * block + LORAC_SIMD_MARGIN, LINE) * LINE;
}

static size_t forward_thread_bytes(const struct lorac_conv_shape *s)
{
    size_t K = s->kh * s->kw * s->C;
    return thread_floats(K, block_of(K, s->N * s->OH * s->OW)) * sizeof(float);
}

static size_t gradient_thread_bytes(const struct lorac_conv_shape *s)
{
    const struct lorac_conv_axis rows = lorac_conv_rows(s), columns = lorac_conv_columns(s);
    size_t most = 0;
    for (size_t i = 0; i < s->stride_h; i++)
        for (size_t k = 0; k < s->stride_w; k++) {
            size_t K = lorac_conv_phase_taps(&rows, i) * lorac_conv_phase_taps(&columns, k) * s->M;
            size_t pixels = s->N * lorac_conv_phase_places(&rows, i) * lorac_conv_phase_places(&columns, k);
            size_t floats = thread_floats(K, block_of(K, pixels));
            most = floats > most ? floats : most;
        }
    return most * sizeof(float);
}

static size_t packed_floats(size_t taps, size_t in, size_t out)
{
    return taps * in * divide_up(out, LINE) * LINE;
}

static size_t forward_packed_bytes(const struct lorac_conv_shape *s)
{
    return packed_floats(s->kh * s->kw, s->C, s->M) * sizeof(float);
}

static size_t gradient_packed_bytes(const struct lorac_conv_shape *s)
{
    return packed_floats(s->kh * s->kw, s->M, s->C) * sizeof(float);
}

static void run(void *opaque, const struct lorac_kernel_env *env)
{
    lorac_gemm_run(opaque, env->workspace, env->pool);
}

// ---- life

static void destroy(void *opaque)
{
    struct lorac_gemm *state = opaque;
    if (!state)
        return;
    lorac_gemm_adapter_clear(&state->adapter);
    free(state->memory);
    free(state->tables);
    free(state->phases);
    free(state->rows);
    free(state);
}

// One phase of the gradient along an axis, or, of the forward direction, the only one.
static void fill_axis(struct lorac_gemm_axis *out, const struct lorac_conv_axis *axis, size_t phase, bool gradient)
{
    for (size_t k = 0, i = 0; k < axis->taps; k++)
        if (!gradient || lorac_conv_tap_phase(axis, k) == phase)
            out->tap[i++] = (int32_t)k;
    if (gradient)
        lorac_conv_fill_phase(axis, phase, out->from);
    else
        lorac_conv_fill_places(axis, out->from);
}

// How many entries the tables of one axis have.
static size_t axis_entries(const struct lorac_conv_axis *axis, bool gradient)
{
    return (gradient ? axis->in : axis->out) * axis->taps + axis->taps;
}

// The phases of one axis; returns the rest of the tables.
static int32_t *fill_axes(struct lorac_gemm_axis *axes, const struct lorac_conv_axis *axis, bool gradient,
                          int32_t *tables)
{
    for (size_t phase = 0; phase < (gradient ? axis->stride : 1); phase++) {
        struct lorac_gemm_axis *out = &axes[phase];
        out->first = phase;
        out->step = gradient ? axis->stride : 1;
        out->places = gradient ? lorac_conv_phase_places(axis, phase) : axis->out;
        out->taps = gradient ? lorac_conv_phase_taps(axis, phase) : axis->taps;
        out->tap = tables;
        out->from = out->tap + out->taps;
        tables = out->from + out->places * out->taps;
        fill_axis(out, axis, phase, gradient);
    }
    return tables;
}

// [weights]: floats of packed weights that are kept.
static bool allocate(struct lorac_gemm *state, const struct lorac_conv_axis *rows,
                     const struct lorac_conv_axis *columns, bool gradient, size_t weights)
{
    size_t row_phases = gradient ? rows->stride : 1, column_phases = gradient ? columns->stride : 1;
    size_t entries = axis_entries(rows, gradient) + axis_entries(columns, gradient);
    void *memory = NULL;
    state->phase_count = row_phases * column_phases;
    state->rows = calloc(row_phases + column_phases, sizeof *state->rows);
    state->phases = calloc(state->phase_count, sizeof *state->phases);
    state->tables = calloc(entries, sizeof *state->tables);
    size_t bias = state->chunks * CHUNK;
    if (!state->rows || !state->phases || !state->tables ||
        posix_memalign(&memory, LINE * sizeof(float), (weights + bias) * sizeof(float)) != 0)
        return false;
    lorac_pages_advise_huge(memory, (weights + bias) * sizeof(float));
    state->columns = state->rows + row_phases;
    state->memory = memory;
    state->packed = weights > 0 ? memory : NULL;
    state->bias = (float *)memory + weights;
    memset(state->bias, 0, bias * sizeof(float));
    fill_axes(state->columns, columns, gradient, fill_axes(state->rows, rows, gradient, state->tables));
    return true;
}

static void cut(struct lorac_gemm *state, size_t row_phases, size_t column_phases)
{
    size_t packed = 0;
    for (size_t i = 0; i < row_phases; i++)
        for (size_t k = 0; k < column_phases; k++) {
            struct lorac_gemm_phase *phase = &state->phases[i * column_phases + k];
            phase->rows = &state->rows[i];
            phase->columns = &state->columns[k];
            phase->K = phase->rows->taps * phase->columns->taps * state->C;
            phase->pixels = state->N * phase->rows->places * phase->columns->places;
            phase->block = block_of(phase->K, phase->pixels);
            phase->blocks = divide_up(phase->pixels, phase->block);
            phase->first_block = state->blocks;
            size_t floats = thread_floats(phase->K, phase->block);
            state->slice_floats = floats > state->slice_floats ? floats : state->slice_floats;
            phase->packed = packed;
            packed += phase->K * divide_up(state->M, LINE) * LINE;
            state->blocks += phase->blocks;
        }
    size_t wanted = state->blocks > 0 ? divide_up(ENOUGH_ITEMS, state->blocks) : 1;
    state->parts = smaller(wanted, state->chunks);
}

struct packing {
    const struct lorac_gemm *state;
    const float *weight;
    float *packed;
};

// In the order that product.h reads: panels of two vectors, or one at the end.
static void pack_phase(const struct packing *packing, const struct lorac_gemm_phase *phase, size_t chunk)
{
    const struct lorac_gemm *state = packing->state;
    size_t lanes = state->simd->lanes, count = smaller(state->M - chunk * CHUNK, CHUNK);
    size_t width = divide_up(count, lanes) * lanes, taps_w = phase->columns->taps;
    for (size_t i = 0; i < width; i += 2 * lanes) {
        size_t panel = smaller(width - i, 2 * lanes);
        float *to = packing->packed + phase->packed + (chunk * CHUNK + i) * phase->K;
        for (size_t t = 0; t < phase->rows->taps * taps_w; t++) {
            size_t row = (size_t)phase->rows->tap[t / taps_w], column = (size_t)phase->columns->tap[t % taps_w];
            const float *from = packing->weight + (chunk * CHUNK + i) * state->out_stride +
                                row * state->kernel_columns + column;
            for (size_t c = 0; c < state->C; c++)
                for (size_t lane = 0; lane < panel; lane++)
                    *to++ = i + lane < count ? from[lane * state->out_stride + c * state->in_stride] : 0;
        }
    }
}

static void pack_chunk(void *context, size_t chunk)
{
    const struct packing *packing = context;
    for (size_t i = 0; i < packing->state->phase_count; i++)
        pack_phase(packing, &packing->state->phases[i], chunk);
}

static void pack_into(const struct lorac_gemm *state, const float *weight, float *packed,
                      const struct lorac_kernel_env *env)
{
    struct packing packing = {state, weight, packed};
    lorac_parallel_for(env->pool, pack_chunk, &packing, state->chunks);
}

static void pack(void *state, const float *weight, const struct lorac_kernel_env *env)
{
    pack_into(state, weight, env->workspace, env);
}

static enum lorac_status fill(struct lorac_gemm *state, const struct lorac_conv_shape *s, bool gradient, bool keeps,
                              const struct lorac_conv_finish *finish, const struct lorac_kernel_env *env,
                              struct lorac_error *error)
{
    const struct lorac_conv_axis rows = lorac_conv_rows(s), columns = lorac_conv_columns(s);
    const size_t taps = s->kh * s->kw;
    state->packed_floats = packed_floats(taps, state->C, state->M);
    state->chunks = divide_up(state->M, CHUNK);
    state->simd = env->simd;
    state->direct = lorac_conv_is_direct(s);
    state->accumulate = finish->accumulate;
    state->low = finish->low;
    state->high = finish->high;
    state->plain = !finish->bias && !finish->accumulate && !(finish->low > -INFINITY) && !(finish->high < INFINITY);
    state->in_stride = gradient ? taps * s->C : taps;
    state->out_stride = gradient ? taps : taps * s->C;
    state->kernel_columns = s->kw;
    const size_t kept = keeps ? state->packed_floats : 0;
    if (!allocate(state, &rows, &columns, gradient, kept))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution's weights (%zu bytes)",
                               kept * sizeof(float));
    if (finish->bias)
        memcpy(state->bias, finish->bias, state->M * sizeof(float));
    cut(state, gradient ? s->stride_h : 1, gradient ? s->stride_w : 1);
    return LORAC_OK;
}

// [weight] NULL: it is packed before each run.
static enum lorac_status create(const struct lorac_conv_shape *s, bool gradient, const float *weight,
                                const struct lorac_conv_finish *finish, const float *in, float *out,
                                const struct lorac_kernel_env *env, void **opaque, struct lorac_error *error)
{
    struct lorac_gemm *state = calloc(1, sizeof *state);
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution");
    *state = (struct lorac_gemm){.N = s->N, .H = s->H, .W = s->W, .C = s->C, .OH = s->OH, .OW = s->OW, .M = s->M};
    if (gradient)
        *state = (struct lorac_gemm){.N = s->N, .H = s->OH, .W = s->OW, .C = s->M, .OH = s->H, .OW = s->W, .M = s->C};
    state->in = in;
    state->out = out;
    enum lorac_status status = fill(state, s, gradient, weight != NULL, finish, env, error);
    if (status != LORAC_OK) {
        destroy(state);
        return status;
    }
    if (weight)
        pack_into(state, weight, state->packed, env);
    *opaque = state;
    return LORAC_OK;
}

static enum lorac_status create_forward(const struct lorac_conv_shape *s, const float *weight,
                                        const struct lorac_conv_finish *finish, float *packing, const float *in,
                                        float *out, const struct lorac_kernel_env *env, void **state,
                                        struct lorac_error *error)
{
    (void)packing;
    return create(s, false, weight, finish, in, out, env, state, error);
}

static enum lorac_status create_gradient(const struct lorac_conv_shape *s, const float *weight,
                                         const struct lorac_conv_finish *finish, float *packing, const float *in,
                                         float *out, const struct lorac_kernel_env *env, void **state,
                                         struct lorac_error *error)
{
    (void)packing;
    return create(s, true, weight, finish, in, out, env, state, error);
}

static enum lorac_status create_forward_at_run(const struct lorac_conv_shape *s, const float *weight,
                                               const struct lorac_conv_finish *finish, float *packing, const float *in,
                                               float *out, const struct lorac_kernel_env *env, void **state,
                                               struct lorac_error *error)
{
    (void)packing;
    (void)weight;
    return create(s, false, NULL, finish, in, out, env, state, error);
}

static enum lorac_status create_gradient_at_run(const struct lorac_conv_shape *s, const float *weight,
                                                const struct lorac_conv_finish *finish, float *packing, const float *in,
                                                float *out, const struct lorac_kernel_env *env, void **state,
                                                struct lorac_error *error)
{
    (void)packing;
    (void)weight;
    return create(s, true, NULL, finish, in, out, env, state, error);
}

// ---- an adapter beside the convolution

static enum lorac_status attach(void *opaque, const struct lorac_conv_branch *branch, float *h,
                                struct lorac_error *error)
{
    struct lorac_gemm *state = opaque;
    lorac_gemm_adapter_clear(&state->adapter);
    return lorac_gemm_adapter_init(&state->adapter, branch, state->simd, h, error);
}

static size_t no_scratch(const struct lorac_conv_branch *branch)
{
    (void)branch;
    return 0;
}

static void pack_a(void *opaque, const float *a, float *scratch, const struct lorac_kernel_env *env)
{
    const struct lorac_gemm *state = opaque;
    (void)scratch, (void)env;
    lorac_gemm_adapter_pack_a(&state->adapter, a);
}

static void pack_b(void *opaque, const float *b)
{
    const struct lorac_gemm *state = opaque;
    lorac_gemm_adapter_pack_b(&state->adapter, b);
}

static const struct lorac_conv_beside beside = {.packed_bytes = lorac_gemm_adapter_bytes,
                                                .attach = attach,
                                                .scratch_bytes = no_scratch,
                                                .pack_a = pack_a,
                                                .pack_b = pack_b};

static bool back_supports(const struct lorac_conv_branch *branch)
{
    return lorac_conv_is_direct(&branch->shape);
}

static enum lorac_status attach_back(void *opaque, const struct lorac_conv_branch *branch, const float *dh,
                                     struct lorac_error *error)
{
    struct lorac_gemm *state = opaque;
    lorac_gemm_adapter_clear(&state->adapter);
    return lorac_gemm_adapter_init_back(&state->adapter, branch, state->simd, dh, error);
}

static void pack_a_back(void *opaque, const float *a)
{
    const struct lorac_gemm *state = opaque;
    lorac_gemm_adapter_pack_back(&state->adapter, a);
}

static const struct lorac_conv_beside_back beside_back = {.supports = back_supports,
                                                          .packed_bytes = lorac_gemm_adapter_back_bytes,
                                                          .attach = attach_back,
                                                          .pack_a = pack_a_back};

static size_t nothing_packed(const struct lorac_conv_shape *s)
{
    (void)s;
    return 0;
}

// ---- when

static bool supports(const struct lorac_conv_shape *s)
{
    return s->G == 1 && s->stride_h <= MAX_STRIDE && s->stride_w <= MAX_STRIDE && s->H <= INT32_MAX &&
           s->W <= INT32_MAX && s->OH <= INT32_MAX && s->OW <= INT32_MAX && s->N * s->H * s->W > 0;
}

// Measured against XNNPACK's operators with tests/bench/conv_time, one thread: 1.0 to 2.1 times as fast within these
// limits. Below 64 outputs a chunk and what was gathered for it are not used enough (0.65 to 0.95 at 16, 0.95 to 1.0 at
// 32).
static bool pays(size_t terms, size_t outputs)
{
    return terms >= 64 && outputs >= 64;
}

static bool forward_pays(const struct lorac_conv_shape *s)
{
    return pays(s->C * s->kh * s->kw, s->M);
}

static bool gradient_pays(const struct lorac_conv_shape *s)
{
    return pays(s->M * s->kh * s->kw, s->C);
}

const struct lorac_conv_algorithm lorac_conv_gemm = {
    .name = "gemm",
    .beside = &beside,
    .accumulates = true,
    .relative_time = 0.65,
    .supports = supports,
    .pays = forward_pays,
    .thread_workspace_bytes = forward_thread_bytes,
    .create = create_forward,
    .run = run,
    .destroy = destroy,
    .packed_bytes = forward_packed_bytes,
};

const struct lorac_conv_algorithm lorac_conv_gradient_gemm = {
    .name = "gemm",
    .beside_back = &beside_back,
    .accumulates = true,
    .relative_time = 0.65,
    .supports = supports,
    .pays = gradient_pays,
    .thread_workspace_bytes = gradient_thread_bytes,
    .create = create_gradient,
    .run = run,
    .destroy = destroy,
    .packed_bytes = gradient_packed_bytes,
};

const struct lorac_conv_algorithm lorac_conv_gemm_at_run = {
    .name = "gemm-at-run",
    .accumulates = true,
    .relative_time = 0.75,
    .supports = supports,
    .workspace_bytes = forward_packed_bytes,
    .thread_workspace_bytes = forward_thread_bytes,
    .create = create_forward_at_run,
    .pack = pack,
    .run = run,
    .destroy = destroy,
    .packed_bytes = nothing_packed,
};

const struct lorac_conv_algorithm lorac_conv_gradient_gemm_at_run = {
    .name = "gemm-at-run",
    .accumulates = true,
    .relative_time = 0.75,
    .supports = supports,
    .workspace_bytes = gradient_packed_bytes,
    .thread_workspace_bytes = gradient_thread_bytes,
    .create = create_gradient_at_run,
    .pack = pack,
    .run = run,
    .destroy = destroy,
    .packed_bytes = nothing_packed,
};
