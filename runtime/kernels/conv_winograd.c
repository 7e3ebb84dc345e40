// Winograd's F(2x2, 3x3) and F(4x4, 3x3) for convolutions of stride 1 and for their input gradients, which are the same
// convolution with the kernel turned around and transposed.
//
// What is in memory, and how it flows:
//
//     x ──input──▶ tiles of a block ──product (a chunk of 32 outputs at all points)──▶ products ──output──▶ y
//                  [points][tiles][C]    packed weights [chunk][points][panels][C]     [tiles][points][32]
//
// A *block* is so many tiles that their transformed inputs stay in a core's second-level cache beside the products of
// one chunk, which never reach memory. Where there are blocks enough, each thread takes whole blocks and works alone.
// Where there are few (deep layers: few pixels, large weights), all threads transform all tiles first and then take
// pairs of a chunk and a block, so that each packed weight is read by one thread, once for each block.
//
// Blocks and chunks are cut by the shape alone, and each sum runs over the channels in their order: the same bits for
// any number of threads.
//
// Largest error, of the largest output, against double; normal random inputs, or the same with the negative ones 0 as
// behind a Relu; 64 / 128 / 256 / 512 channels (tests/runtime/test_conv_algorithms.c holds its rows to named bounds):
//     XNNPACK's direct form     1.1e-6 / 1.6e-6 / 1.7e-6 / 2.7e-6
//     F(2x2, 3x3)               3.7e-7 / 4.7e-7 / 8.4e-7 / 9.4e-7
//     F(4x4, 3x3)               1.6e-6 / 1.6e-6 / 2.4e-6 / 5.1e-6
// F(2x2) is the most exact of the three: its sums have a ninth of the terms.
// NaN and infinity in an input make all outputs of the tiles that contain it NaN; none is hidden. So do inputs beyond
// about 1e37, whose transform overflows where the direct form might not.
#include "conv_winograd_adapter.h"
#include "conv_winograd_plan.h"
#include "pages.h"
#include "parallel.h"
#include "simd.h"
#include "winograd.h"
#include "winograd_tile.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = LORAC_WINOGRAD_CHUNK,
    GROUP = LORAC_WINOGRAD_GROUP,
    MERGE_PIXELS = 24, // for each output: below it adding to dx costs less than packing at each step
    LINE = 16,         // floats of a cache line
    SHARED_WEIGHT_FLOATS = 256 * 1024, // packed, that each thread may read whole: they stay in its second cache
};

struct state {
    struct lorac_winograd_plan plan;
    const struct lorac_winograd_loops *loops;
    const float *in;
    float *out;
    bool accumulate;
    float low, high;
    const struct state *lender; // of the convolution, whose weights the gradient turns around; NULL: it has its own
    float *packed, *bias, *zeros;
    void *memory; // all three
    struct lorac_winograd_adapter adapter;
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

// ---- running

struct job {
    const struct state *state;
    float *shared, *slices; // in the workspace
};

// Tiles of a block: the last one may have fewer.
static size_t tiles_of(const struct lorac_winograd_plan *p, size_t block)
{
    size_t first = block * p->block;
    return p->tiles - first < p->block ? p->tiles - first : p->block;
}

static void find_pixels(const struct state *state, size_t tile, const float **pixel)
{
    const struct lorac_winograd_plan *p = &state->plan;
    size_t across = tile % p->tiles_w, down = tile / p->tiles_w % p->tiles_h, n = tile / p->tiles_w / p->tiles_h;
    const struct lorac_winograd_image image = {state->in + n * p->H * p->W * p->C, p->H, p->W, p->C, state->zeros};
    lorac_winograd_pixels(&image, p->m + 2, down * p->m - p->pad_top, across * p->m - p->pad_left, pixel);
}

// Tiles begin .. end-1 of a block to its memory.
static void transform_tiles(const struct state *state, size_t block, size_t begin, size_t end, float *to)
{
    const struct lorac_winograd_plan *p = &state->plan;
    const float *pixel[2][LORAC_WINOGRAD_MAX_POINTS];
    size_t first = block * p->block, count = tiles_of(p, block);
    if (count > end)
        count = end;
    find_pixels(state, first + begin, pixel[begin % 2]);
    for (size_t t = begin; t < count; t++) {
        find_pixels(state, first + (t + 1 < count ? t + 1 : t), pixel[(t + 1) % 2]);
        state->loops->input(p->m, pixel[t % 2], pixel[(t + 1) % 2], p->C, to + t * p->row_stride, p->point_stride);
    }
}

// What becomes of a chunk's products.
struct target {
    float *out; // [N, OH, OW, channels]
    size_t channels, first, count;
    const float *bias;
    struct lorac_winograd_up up; // up NULL: nothing is added
    bool accumulate;
    float low, high;
};

// Where a tile of outputs begins, and how much of it the image has.
struct place {
    size_t pixel, rows, columns;
};

static struct place place_of(const struct lorac_winograd_plan *p, size_t tile)
{
    size_t across = tile % p->tiles_w, down = tile / p->tiles_w % p->tiles_h, n = tile / p->tiles_w / p->tiles_h;
    size_t row = down * p->m, column = across * p->m;
    return (struct place){(n * p->OH + row) * p->OW + column, p->OH - row < p->m ? p->OH - row : p->m,
                          p->OW - column < p->m ? p->OW - column : p->m};
}

// What the next tile is written to comes from memory, or has to be known to be ours.
static void fetch_outputs(const struct lorac_winograd_plan *p, const struct place *place, const struct target *to)
{
    for (size_t i = 0; i < place->rows; i++)
        for (size_t j = 0; j < place->columns; j++)
            for (size_t c = 0; c < to->count; c += LINE)
                __builtin_prefetch(to->out + (place->pixel + i * p->OW + j) * to->channels + to->first + c, 1);
}

static void finish_tile(const struct state *state, const struct place *place, const float *products,
                        const struct target *to)
{
    const struct lorac_winograd_plan *p = &state->plan;
    struct lorac_winograd_up up = to->up;
    if (up.up)
        up.h += place->pixel * up.h_column;
    state->loops->output(p->m, products, to->bias, up.up ? &up : NULL, to->count,
                         to->out + place->pixel * to->channels + to->first, p->OW * to->channels, to->channels,
                         place->rows, place->columns, to->accumulate, to->low, to->high);
}

static void finish_tiles(const struct state *state, size_t block, const float *products, const struct target *to)
{
    const struct lorac_winograd_plan *p = &state->plan;
    const size_t first = block * p->block, count = tiles_of(p, block);
    struct place place = place_of(p, first);
    for (size_t t = 0; t < count; t++) {
        const struct place next = t + 1 < count ? place_of(p, first + t + 1) : place;
        fetch_outputs(p, &next, to);
        finish_tile(state, &place, products + t * p->points * CHUNK, to);
        place = next;
    }
}

// Chunk [number] of those of all row blocks of the adapter: h.
static void run_down(const struct state *state, size_t block, size_t number, const float *tiles, float *products)
{
    const struct lorac_winograd_plan *p = &state->plan;
    const struct lorac_winograd_adapter *adapter = &state->adapter;
    const struct lorac_conv_branch *branch = adapter->branch;
    size_t a = number / adapter->chunks, first = number % adapter->chunks * CHUNK;
    const struct lorac_branch_block rows = lorac_conv_branch_block(branch, a);
    struct target to = {.out = adapter->h,
                        .channels = branch->blocks * branch->R,
                        .first = a * branch->R + first,
                        .count = branch->R - first < CHUNK ? branch->R - first : CHUNK,
                        .bias = adapter->zeros,
                        .low = -INFINITY,
                        .high = INFINITY};
    state->loops->product(p->points, tiles + rows.c0, tiles_of(p, block), p->row_stride, p->point_stride,
                          lorac_winograd_adapter_down(adapter, a, first, rows.width), rows.width, to.count, products);
    finish_tiles(state, block, products, &to);
}

static size_t down_count(const struct state *state)
{
    return state->adapter.branch ? state->adapter.branch->blocks * state->adapter.chunks : 0;
}

// [slice]: the thread's, products and a point's weights.
static void run_chunk(const struct state *state, size_t block, size_t chunk, const float *tiles, float *slice)
{
    const struct lorac_winograd_plan *p = &state->plan;
    size_t first = chunk * CHUNK, count = tiles_of(p, block);
    struct target to = {.out = state->out,
                        .channels = p->M,
                        .first = first,
                        .count = p->M - first < CHUNK ? p->M - first : CHUNK,
                        .bias = state->bias + first,
                        .up = lorac_winograd_adapter_up(&state->adapter, first),
                        .accumulate = state->accumulate,
                        .low = state->low,
                        .high = state->high};
    float *products = slice, *turned = slice + p->product_floats;
    if (state->lender)
        state->loops->borrowed_product(p->m, tiles, count, p->row_stride, p->point_stride, state->lender->packed, p->M,
                                       p->C, first, to.count, turned, products);
    else
        state->loops->product(p->points, tiles, count, p->row_stride, p->point_stride,
                              state->packed + first * p->points * p->C, p->C, to.count, products);
    finish_tiles(state, block, products, &to);
}

static float *slice_of(const struct job *job, size_t thread)
{
    return job->slices + thread * lorac_winograd_thread_floats(&job->state->plan);
}

// A block's place in what all threads share.
static float *tiles_at(const struct job *job, size_t block)
{
    return job->shared + block * job->state->plan.block_floats;
}

static void run_block(void *context, size_t thread, size_t block)
{
    const struct job *job = context;
    const struct lorac_winograd_plan *p = &job->state->plan;
    float *slice = slice_of(job, thread);
    float *tiles = p->shared ? tiles_at(job, block) : slice + p->product_floats + p->turned_floats;
    transform_tiles(job->state, block, 0, p->block, tiles);
    for (size_t number = 0; number < down_count(job->state); number++)
        run_down(job->state, block, number, tiles, slice);
    for (size_t chunk = 0; chunk < p->chunks; chunk++)
        run_chunk(job->state, block, chunk, tiles, slice);
}

static void transform_group(void *context, size_t group)
{
    const struct job *job = context;
    const struct lorac_winograd_plan *p = &job->state->plan;
    size_t block = group * GROUP / p->block, begin = group * GROUP % p->block;
    transform_tiles(job->state, block, begin, begin + GROUP, tiles_at(job, block));
}

// A chunk and a block.
static void run_pair(void *context, size_t thread, size_t pair)
{
    const struct job *job = context;
    const struct lorac_winograd_plan *p = &job->state->plan;
    size_t block = pair % p->blocks;
    run_chunk(job->state, block, pair / p->blocks, tiles_at(job, block), slice_of(job, thread));
}

// The same with a chunk of the adapter's: all of h is there before the first output.
static void run_down_pair(void *context, size_t thread, size_t pair)
{
    const struct job *job = context;
    const struct lorac_winograd_plan *p = &job->state->plan;
    size_t block = pair % p->blocks;
    run_down(job->state, block, pair / p->blocks, tiles_at(job, block), slice_of(job, thread));
}

// Whether few blocks are as well shared out whole: as many for each thread, and weights that all can have in their cache.
static bool divides(const struct lorac_winograd_plan *p, size_t threads)
{
    return p->blocks % threads == 0 && lorac_winograd_packed_floats(p) <= SHARED_WEIGHT_FLOATS;
}

static void run_pairs(struct job *job, struct pthreadpool *pool)
{
    const struct lorac_winograd_plan *p = &job->state->plan;
    lorac_parallel_for(pool, transform_group, job, divide_up(p->tiles, GROUP));
    lorac_parallel_items(pool, run_down_pair, job, down_count(job->state) * p->blocks);
    lorac_parallel_items(pool, run_pair, job, p->chunks * p->blocks);
}

static void run(void *opaque, const struct lorac_kernel_env *env)
{
    const struct state *state = opaque;
    const struct lorac_winograd_plan *p = &state->plan;
    struct job job = {.state = state, .shared = env->workspace};
    job.slices = job.shared + lorac_winograd_shared_bytes(p) / sizeof(float);
    if (p->shared && !divides(p, lorac_parallel_threads(env->pool)))
        run_pairs(&job, env->pool);
    else
        lorac_parallel_items(env->pool, run_block, &job, p->blocks);
}

// ---- life

static void destroy(void *opaque)
{
    struct state *state = opaque;
    if (!state)
        return;
    lorac_winograd_adapter_clear(&state->adapter);
    free(state->memory);
    free(state);
}

struct packing {
    const struct state *state;
    const float *weight;
    size_t input_stride, output_stride; // floats
    bool flip;
};

static void pack_chunk(void *context, size_t chunk)
{
    const struct packing *packing = context;
    const struct lorac_winograd_plan *p = &packing->state->plan;
    size_t first = chunk * CHUNK, count = p->M - first < CHUNK ? p->M - first : CHUNK;
    for (size_t c = 0; c < p->C; c++)
        packing->state->loops->weight(
            p->m, packing->weight + first * packing->output_stride + c * packing->input_stride, packing->output_stride,
            packing->flip, count, p->C, c, packing->state->packed + first * p->points * p->C);
}

static enum lorac_status allocate(struct state *state, struct lorac_error *error)
{
    const struct lorac_winograd_plan *p = &state->plan;
    size_t weights = state->lender ? 0 : lorac_winograd_packed_floats(p), bias = p->chunks * CHUNK,
           zeros = divide_up(p->C, LINE) * LINE;
    size_t bytes = (weights + bias + zeros) * sizeof(float);
    if (posix_memalign(&state->memory, LINE * sizeof(float), bytes) != 0) {
        state->memory = NULL;
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution's weights (%zu bytes)",
                               bytes);
    }
    lorac_pages_advise_huge(state->memory, bytes);
    state->packed = state->memory;
    state->bias = state->packed + weights;
    state->zeros = state->bias + bias;
    memset(state->bias, 0, (bias + zeros) * sizeof(float));
    return LORAC_OK;
}

// With [packing], or, where that is NULL, the weights of [lender].
static enum lorac_status create(const struct lorac_winograd_plan *plan, struct packing *packing,
                                const struct state *lender, const struct lorac_conv_finish *finish, const float *in,
                                float *out, const struct lorac_kernel_env *env, void **opaque,
                                struct lorac_error *error)
{
    struct state *state = calloc(1, sizeof(*state));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution");
    *state = (struct state){.plan = *plan, .loops = env->simd->winograd, .in = in, .out = out, .lender = lender};
    state->accumulate = finish->accumulate;
    state->low = finish->low;
    state->high = finish->high;
    enum lorac_status status = allocate(state, error);
    if (status != LORAC_OK) {
        destroy(state);
        return status;
    }
    if (finish->bias)
        memcpy(state->bias, finish->bias, plan->M * sizeof(float));
    if (packing) {
        packing->state = state;
        lorac_parallel_for(env->pool, pack_chunk, packing, plan->chunks);
    }
    *opaque = state;
    return LORAC_OK;
}

// ---- an adapter beside the convolution

static size_t adapter_bytes_2(const struct lorac_conv_branch *branch)
{
    return lorac_winograd_adapter_bytes(branch, 2);
}

static size_t adapter_bytes_4(const struct lorac_conv_branch *branch)
{
    return lorac_winograd_adapter_bytes(branch, 4);
}

static enum lorac_status attach(void *opaque, const struct lorac_conv_branch *branch, float *h,
                                struct lorac_error *error)
{
    struct state *state = opaque;
    return lorac_winograd_adapter_init(&state->adapter, branch, state->plan.m, state->loops, h, error);
}

static void pack_a(void *opaque, const float *a, float *scratch, const struct lorac_kernel_env *env)
{
    const struct state *state = opaque;
    lorac_winograd_adapter_pack_a(&state->adapter, a, scratch, env);
}

static void pack_b(void *opaque, const float *b)
{
    const struct state *state = opaque;
    lorac_winograd_adapter_pack_b(&state->adapter, b);
}

static const struct lorac_conv_beside beside_2 = {adapter_bytes_2, attach, lorac_winograd_adapter_scratch_bytes, pack_a,
                                                  pack_b, 36 / 16.0};
static const struct lorac_conv_beside beside_4 = {adapter_bytes_4, attach, lorac_winograd_adapter_scratch_bytes, pack_a,
                                                  pack_b, 36 / 16.0};

// ---- an adapter in the gradient's weights

static size_t merge_bytes_2(const struct lorac_conv_branch *branch)
{
    return lorac_winograd_merge_bytes(branch, 2);
}

static size_t merge_bytes_4(const struct lorac_conv_branch *branch)
{
    return lorac_winograd_merge_bytes(branch, 4);
}

static void pack_merged(void *opaque, const void *lender, const struct lorac_conv_branch *branch, const float *a,
                        const float *b, float *scratch, const struct lorac_kernel_env *env)
{
    const struct state *state = opaque, *from = lender;
    const struct lorac_winograd_merge merge = {branch, state->loops, state->plan.m, from->packed, state->packed};
    lorac_winograd_merge(&merge, a, b, scratch, env);
}

// The adapter's rows are added to all packed weights once a step, to dx at every pixel: with few pixels for each output
// the first costs more. 128 -> 128, 16 x 16, R = 12: as much with 12 images, 24 pixels for each output.
static bool merge_pays(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    return s->N * s->OH * s->OW >= MERGE_PIXELS * s->M;
}

static const struct lorac_conv_merge merge_2 = {merge_pays, merge_bytes_2, pack_merged};
static const struct lorac_conv_merge merge_4 = {merge_pays, merge_bytes_4, pack_merged};

// ---- the four algorithms

// weight is [M, C, 3, 3]: forward [output][input], for the gradient [input][output] and turned around.
// [C]: the convolution's input channels.
static struct packing pack_forward(size_t C, const float *weight)
{
    return (struct packing){.weight = weight, .input_stride = 9, .output_stride = 9 * C};
}

static struct packing pack_gradient(size_t C, const float *weight)
{
    return (struct packing){.weight = weight, .input_stride = 9 * C, .output_stride = 9, .flip = true};
}

static void repack(struct state *state, struct packing *packing, const struct lorac_conv_finish *finish,
                   const struct lorac_kernel_env *env)
{
    if (finish->bias)
        memcpy(state->bias, finish->bias, state->plan.M * sizeof(float));
    packing->state = state;
    lorac_parallel_for(env->pool, pack_chunk, packing, state->plan.chunks);
}

static void repack_forward(void *opaque, const float *weight, const struct lorac_conv_finish *finish,
                           const struct lorac_kernel_env *env)
{
    struct state *state = opaque;
    struct packing packing = pack_forward(state->plan.C, weight);
    repack(state, &packing, finish, env);
}

static void repack_gradient(void *opaque, const float *weight, const struct lorac_conv_finish *finish,
                            const struct lorac_kernel_env *env)
{
    struct state *state = opaque;
    struct packing packing = pack_gradient(state->plan.M, weight);
    repack(state, &packing, finish, env);
}

#define ALGORITHM(variable, text, direction, m, ...)                                                                   \
    static size_t workspace_##variable(const struct lorac_conv_shape *s)                                               \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_##direction##_plan(s, m);                                  \
        return lorac_winograd_shared_bytes(&p);                                                                        \
    }                                                                                                                  \
    static size_t thread_workspace_##variable(const struct lorac_conv_shape *s)                                        \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_##direction##_plan(s, m);                                  \
        return lorac_winograd_thread_floats(&p) * sizeof(float);                                                       \
    }                                                                                                                  \
    static size_t packed_##variable(const struct lorac_conv_shape *s)                                                  \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_##direction##_plan(s, m);                                  \
        return lorac_winograd_packed_floats(&p) * sizeof(float);                                                       \
    }                                                                                                                  \
    static bool pays_##variable(const struct lorac_conv_shape *s)                                                      \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_##direction##_plan(s, m);                                  \
        return lorac_winograd_pays(&p);                                                                                \
    }                                                                                                                  \
    static enum lorac_status create_##variable(                                                                        \
        const struct lorac_conv_shape *s, const float *weight, const struct lorac_conv_finish *finish, float *scratch, \
        const float *in, float *out, const struct lorac_kernel_env *env, void **state, struct lorac_error *error)      \
    {                                                                                                                  \
        (void)scratch;                                                                                                 \
        const struct lorac_winograd_plan p = lorac_winograd_##direction##_plan(s, m);                                  \
        struct packing packing = pack_##direction(s->C, weight);                                                       \
        return create(&p, &packing, NULL, finish, in, out, env, state, error);                                         \
    }                                                                                                                  \
    const struct lorac_conv_algorithm lorac_conv_##variable = {.name = text,                                           \
                                                               .approximate = true,                                    \
                                                               .accumulates = true,                                    \
                                                               .relative_time_of = lorac_winograd_relative_time_##m,   \
                                                               .supports = lorac_winograd_supports,                    \
                                                               .pays = pays_##variable,                                \
                                                               .pays_changing = lorac_winograd_pays_changing,          \
                                                               .workspace_bytes = workspace_##variable,                \
                                                               .thread_workspace_bytes = thread_workspace_##variable,  \
                                                               .create = create_##variable,                            \
                                                               .repack = repack_##direction,                           \
                                                               .run = run,                                             \
                                                               .destroy = destroy,                                     \
                                                               .packed_bytes = packed_##variable,                      \
                                                               __VA_ARGS__}

#define GRADIENT(variable, text, of, m)                                                                                \
    static bool borrows_##variable(const struct lorac_conv_shape *s)                                                   \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_gradient_plan(s, m);                                       \
        return lorac_winograd_borrows(&p);                                                                             \
    }                                                                                                                  \
    static enum lorac_status create_borrowing_##variable(                                                              \
        const struct lorac_conv_shape *s, const void *lender, const struct lorac_conv_finish *finish, const float *in, \
        float *out, const struct lorac_kernel_env *env, void **state, struct lorac_error *error)                       \
    {                                                                                                                  \
        const struct lorac_winograd_plan p = lorac_winograd_gradient_plan(s, m);                                       \
        return create(&p, NULL, lender, finish, in, out, env, state, error);                                           \
    }                                                                                                                  \
    ALGORITHM(variable, text, gradient, m, .lender = &lorac_conv_##of, .borrows = borrows_##variable,                  \
              .create_borrowing = create_borrowing_##variable, .merge = &merge_##m)

ALGORITHM(winograd4, "winograd4", forward, 4, .beside = &beside_4);
ALGORITHM(winograd2, "winograd2", forward, 2, .beside = &beside_2);
GRADIENT(gradient_winograd4, "winograd4", winograd4, 4);
GRADIENT(gradient_winograd2, "winograd2", winograd2, 2);
