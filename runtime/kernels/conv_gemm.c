// A convolution of one group, of any kernel, stride, pads and dilation, and its input gradient, as products of
// matrices: what the taps of a block of pixels read is gathered into the second-level cache (im2col of a block), and
// multiplied by 32 outputs after another (product.h). Plain sums: nothing
// is approximate.
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

#include "conv_gemm_adapter.h"
#include "conv_taps.h"
#include "pages.h"
#include "parallel.h"
#include "product.h"
#include "simd.h"

#include <stdatomic.h>
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

// One axis of the map from [in] to [out] places: which of the taps reach the out places first, first + step, ... and
// from where.
struct axis {
    size_t first, step, places, taps;
    int32_t *tap;  // [taps]: the kernel's own numbers
    int32_t *from; // [places, taps]: the place that is read, -1: none
};

// A part of the map whose pixels all have the same taps.
struct phase {
    const struct axis *rows, *columns;
    size_t K, pixels, block, blocks, first_block; // K: taps * channels in; block: pixels
    size_t packed;                                // where its weights begin, in floats
};

struct state {
    size_t N, H, W, C, OH, OW, M; // in [N, H, W, C], out [N, OH, OW, M]
    size_t chunks, blocks, parts; // of all phases; parts: how many a block is shared out to
    size_t slice_floats;          // of a thread's workspace
    size_t packed_floats;         // the weights' size
    size_t in_stride, out_stride; // of the weight that is packed, in floats
    size_t kernel_columns;
    size_t phase_count;
    struct phase *phases;
    struct axis *rows, *columns; // [row_phases], [column_phases]
    const struct lorac_simd *simd;
    const float *in;
    float *out;
    bool direct; // a pixel's window is the pixel: nothing to gather
    bool accumulate, plain; // plain: nothing is done to the products
    float low, high;
    float *packed; // NULL: at the beginning of the workspace
    float *bias;
    struct lorac_gemm_adapter adapter; // of the convolution only
    void *memory; // of packed and bias
    int32_t *tables;
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

// Where each pixel's outputs go, in whole lines.
static size_t pointer_floats(size_t block)
{
    return divide_up(block * sizeof(float *), LINE * sizeof(float)) * LINE;
}

// Those, and what is gathered.
static size_t thread_floats(size_t K, size_t block)
{
    return pointer_floats(block) + divide_up(K * block + LORAC_SIMD_MARGIN, LINE) * LINE;
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

// ---- running

struct job {
    const struct state *state;
    const float *packed;
    float *slices;
    atomic_size_t next;
};

// Where the outputs of each pixel begin.
static void point(const struct state *state, const struct phase *phase, size_t first, size_t count, float **to)
{
    const struct axis *rows = phase->rows, *columns = phase->columns;
    const size_t step = columns->step * state->M;
    size_t column = first % columns->places, line = first / columns->places;
    for (size_t i = 0; i < count; line++) {
        size_t n = line / rows->places, row = rows->first + line % rows->places * rows->step;
        float *y = state->out + ((n * state->OH + row) * state->OW + columns->first) * state->M + column * step;
        for (; i < count && column < columns->places; i++, column++, y += step)
            to[i] = y;
        column = 0;
    }
}

static const float *gather(const struct state *state, const struct phase *phase, size_t first, size_t count, float *to)
{
    if (state->direct)
        return state->in + first * state->C;
    const struct lorac_gather call = {.rows = phase->rows->places,
                                      .columns = phase->columns->places,
                                      .kh = phase->rows->taps,
                                      .kw = phase->columns->taps,
                                      .channels = state->C,
                                      .row_of = phase->rows->from,
                                      .column_of = phase->columns->from,
                                      .from = state->in,
                                      .from_rows = state->H,
                                      .from_columns = state->W,
                                      .from_pixel = state->C};
    state->simd->gather(&call, first, first + count, to);
    return to;
}

// A block of pixels: its windows in the cache.
struct block {
    const struct phase *phase;
    size_t first, count;
    float **to; // room for addresses of the pixels' outputs
    const float *windows;
};

static struct block begin_block(const struct state *state, size_t number, float *slice)
{
    const struct phase *phase = state->phases;
    while (number >= phase->first_block + phase->blocks)
        phase++;
    struct block block = {.phase = phase, .to = (float **)(void *)slice, .windows = slice};
    block.first = (number - phase->first_block) * phase->block;
    block.count = smaller(phase->pixels - block.first, phase->block);
    if (phase->K > 0)
        block.windows = gather(state, phase, block.first, block.count, slice + pointer_floats(phase->block));
    return block;
}

static void run_down(const struct state *state, const struct block *block)
{
    lorac_gemm_adapter_down(&state->adapter, block->windows, block->phase->K, block->first, block->count, block->to);
}

// What no tap reaches, of the gradient of a kernel smaller than its stride.
static void write_zeros(const struct state *state, const struct block *block, size_t chunk, size_t last)
{
    const size_t begin = chunk * CHUNK, end = smaller(last * CHUNK, state->M);
    for (size_t i = 0; i < block->count; i++)
        memset(block->to[i] + begin, 0, (end - begin) * sizeof(float));
}

// Chunks of outputs from [chunk] to [last].
static void run_chunks(const struct state *state, const struct block *block, const float *packed, size_t chunk,
                       size_t last)
{
    const struct phase *phase = block->phase;
    point(state, phase, block->first, block->count, block->to);
    if (phase->K == 0 && state->plain) {
        write_zeros(state, block, chunk, last);
        return;
    }
    struct lorac_product product = {.count = block->count,
                                    .to = block->to,
                                    .accumulate = state->accumulate,
                                    .low = state->low,
                                    .high = state->high};
    product.terms = (struct lorac_terms){
        .rows = block->windows, .row_stride = phase->K, .pieces = phase->K > 0, .piece = phase->K};
    for (; chunk < last; chunk++) {
        product.terms.packed = packed + phase->packed + chunk * CHUNK * phase->K;
        product.offset = chunk * CHUNK;
        product.outputs = smaller(state->M - product.offset, CHUNK);
        product.bias = state->bias + product.offset;
        if (state->adapter.branch)
            product.more = lorac_gemm_adapter_up(&state->adapter, block->first, product.offset);
        state->simd->product(&product);
    }
}

static float *slice_of(const struct job *job, size_t thread)
{
    return job->slices + thread * job->state->slice_floats;
}

// h alone, where more than one part of a block needs it.
static void run_downs(void *context, size_t thread)
{
    struct job *job = context;
    size_t number;
    while ((number = atomic_fetch_add(&job->next, 1)) < job->state->blocks) {
        const struct block block = begin_block(job->state, number, slice_of(job, thread));
        run_down(job->state, &block);
    }
}

static void run_items(void *context, size_t thread)
{
    struct job *job = context;
    const struct state *state = job->state;
    const size_t parts = state->parts;
    size_t item;
    while ((item = atomic_fetch_add(&job->next, 1)) < state->blocks * parts) {
        const struct block block = begin_block(state, item / parts, slice_of(job, thread));
        const size_t part = item % parts;
        if (state->adapter.branch && parts == 1)
            run_down(state, &block);
        run_chunks(state, &block, job->packed, part * state->chunks / parts, (part + 1) * state->chunks / parts);
    }
}

static void run(void *opaque, const struct lorac_kernel_env *env)
{
    const struct state *state = opaque;
    float *workspace = env->workspace;
    struct job job = {.state = state, .packed = state->packed, .slices = workspace};
    if (!state->packed) {
        job.packed = workspace;
        job.slices = workspace + state->packed_floats;
    }
    if (state->adapter.branch && state->parts > 1) {
        atomic_init(&job.next, 0);
        lorac_parallel_for(env->pool, run_downs, &job, lorac_parallel_threads(env->pool));
    }
    atomic_init(&job.next, 0);
    lorac_parallel_for(env->pool, run_items, &job, lorac_parallel_threads(env->pool));
}

// ---- life

static void destroy(void *opaque)
{
    struct state *state = opaque;
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
static void fill_axis(struct axis *out, const struct lorac_conv_axis *axis, size_t phase, bool gradient)
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
static int32_t *fill_axes(struct axis *axes, const struct lorac_conv_axis *axis, bool gradient, int32_t *tables)
{
    for (size_t phase = 0; phase < (gradient ? axis->stride : 1); phase++) {
        struct axis *out = &axes[phase];
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
static bool allocate(struct state *state, const struct lorac_conv_axis *rows, const struct lorac_conv_axis *columns,
                     bool gradient, size_t weights)
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

static void cut(struct state *state, size_t row_phases, size_t column_phases)
{
    size_t packed = 0;
    for (size_t i = 0; i < row_phases; i++)
        for (size_t k = 0; k < column_phases; k++) {
            struct phase *phase = &state->phases[i * column_phases + k];
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
    const struct state *state;
    const float *weight;
    float *packed;
};

// In the order that product.h reads: panels of two vectors, or one at the end.
static void pack_phase(const struct packing *packing, const struct phase *phase, size_t chunk)
{
    const struct state *state = packing->state;
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

static void pack_into(const struct state *state, const float *weight, float *packed, const struct lorac_kernel_env *env)
{
    struct packing packing = {state, weight, packed};
    lorac_parallel_for(env->pool, pack_chunk, &packing, state->chunks);
}

static void pack(void *state, const float *weight, const struct lorac_kernel_env *env)
{
    pack_into(state, weight, env->workspace, env);
}

static enum lorac_status fill(struct state *state, const struct lorac_conv_shape *s, bool gradient, bool keeps,
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
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution");
    *state = gradient ? (struct state){.N = s->N, .H = s->OH, .W = s->OW, .C = s->M, .OH = s->H, .OW = s->W, .M = s->C}
                      : (struct state){.N = s->N, .H = s->H, .W = s->W, .C = s->C, .OH = s->OH, .OW = s->OW, .M = s->M};
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
    struct state *state = opaque;
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
    const struct state *state = opaque;
    (void)scratch, (void)env;
    lorac_gemm_adapter_pack_a(&state->adapter, a);
}

static void pack_b(void *opaque, const float *b)
{
    const struct state *state = opaque;
    lorac_gemm_adapter_pack_b(&state->adapter, b);
}

static const struct lorac_conv_beside beside = {.packed_bytes = lorac_gemm_adapter_bytes,
                                                .attach = attach,
                                                .scratch_bytes = no_scratch,
                                                .pack_a = pack_a,
                                                .pack_b = pack_b};

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
