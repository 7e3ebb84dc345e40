// Forward and backward of the branch form: gather, multiply, add; a few pixels at a time, so that what is gathered stays
// in the cache.
//
// The work is cut by rules that look at sizes alone. Forward and the gradient of x are sums of their own for each pixel.
// The gradients of A and B are sums over pixels: the images are split into chunks, each with sums of its own, which are
// added in the order of the chunks at the end.
#include "conv_branch.h"

#include "parallel.h"
#include "simd.h"

#include <string.h>

enum {
    ALIGNED_FLOATS = LORAC_BUFFER_ALIGNMENT / sizeof(float),
    FORWARD_PARTS = 16,       // parts of the pixels, each with its own place to gather in
    TILE_FLOATS = 8 * 1024,   // that are gathered at once: half of a core's first cache
    TILE_LEAST = 12,          // pixels: the rows of the widest tile of `outer`
    TILE_MOST = 192,
    MAX_CHUNKS = 8,           // of images
    SUM_FLOATS = 1024 * 1024, // of all chunks' sums together, where that leaves more than one chunk
    GROUP_PIXELS = 64,        // of the output, that are taken at once at least
    RANGE_FLOATS = 16 * 1024,
};

static size_t aligned(size_t floats)
{
    return (floats + LORAC_SIMD_MARGIN + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

// Of A's sums in a chunk: [blocks, taps*R, row].
static size_t da_row(const struct lorac_conv_branch *branch)
{
    return (branch->width + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t tile_pixels(size_t floats_per_pixel)
{
    size_t pixels = TILE_FLOATS / floats_per_pixel / TILE_LEAST * TILE_LEAST;
    return pixels < TILE_LEAST ? TILE_LEAST : smaller(pixels, TILE_MOST);
}

// ---- the cut, which forward, backward and the size of the workspace follow from

struct cut {
    size_t forward_tile, forward_part; // pixels of the output: of a tile; of a part (whole tiles)
    size_t forward_floats;             // of a part's place to gather in
    size_t chunks, images_per_chunk, images_at_once;
    size_t back_tile;                            // pixels of x
    size_t dh_floats, gather_floats, sum_floats; // of each chunk
    size_t da_floats;                            // of sum_floats, A's
};

static struct cut make_cut(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    size_t per_window = branch->taps * branch->width, per_back = branch->taps * branch->R;
    size_t pixels = s->N * s->OH * s->OW, kR = branch->blocks * branch->R;
    struct cut cut = {.forward_tile = tile_pixels(per_window), .back_tile = tile_pixels(per_back)};
    size_t tiles = (pixels + cut.forward_tile - 1) / cut.forward_tile;
    cut.forward_part = (tiles + FORWARD_PARTS - 1) / FORWARD_PARTS * cut.forward_tile;
    cut.forward_floats = lorac_conv_branch_is_direct(s) ? 0 : aligned(cut.forward_tile * per_window);
    cut.da_floats = branch->trains_a ? aligned(branch->blocks * per_back * da_row(branch)) : 0;
    cut.sum_floats = cut.da_floats + (branch->trains_b ? aligned(s->M * kR) : 0);
    cut.chunks = smaller(s->N, MAX_CHUNKS);
    if (cut.sum_floats > 0 && cut.chunks > SUM_FLOATS / cut.sum_floats)
        cut.chunks = cut.sum_floats < SUM_FLOATS ? SUM_FLOATS / cut.sum_floats : 1;
    cut.images_per_chunk = (s->N + cut.chunks - 1) / cut.chunks;
    cut.images_at_once = smaller((GROUP_PIXELS + s->OH * s->OW - 1) / (s->OH * s->OW), cut.images_per_chunk);
    cut.dh_floats = aligned(cut.images_at_once * s->OH * s->OW * kR);
    cut.gather_floats = lorac_conv_branch_is_direct(s) ? 0 : aligned(cut.back_tile * per_back);
    return cut;
}

size_t lorac_conv_branch_workspace_bytes(const struct lorac_conv_branch *branch)
{
    const struct cut cut = make_cut(branch);
    size_t forward = FORWARD_PARTS * cut.forward_floats;
    size_t backward = cut.chunks * (cut.dh_floats + cut.gather_floats + cut.sum_floats);
    return (forward > backward ? forward : backward) * sizeof(float);
}

struct job {
    const struct lorac_branch_state *state;
    const struct lorac_conv_branch *branch;
    struct cut cut;
    const struct lorac_simd *simd;
    float *workspace;
    const float *x; // forward
    float *h, *y;
    const struct lorac_branch_backward *call; // backward
};

// ---- forward

static void down_tile(const struct job *job, size_t begin, size_t end, float *gathered)
{
    const struct lorac_conv_branch *branch = job->branch;
    const struct lorac_branch_state *state = job->state;
    const struct lorac_conv_shape *s = &branch->shape;
    size_t kR = branch->blocks * branch->R;
    memset(job->h + begin * kR, 0, (end - begin) * kR * sizeof(float));
    for (size_t a = 0; a < branch->blocks; a++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
        struct lorac_outer outer = {.left = job->x + begin * s->C,
                                    .left_channel = s->C,
                                    .left_pixel = 1,
                                    .right = state->down + a * branch->taps * branch->width * state->down_row,
                                    .right_pixel = state->down_row,
                                    .images = 1,
                                    .rows = 1,
                                    .columns = branch->taps * block.width,
                                    .m_count = end - begin,
                                    .c_count = branch->R,
                                    .out = job->h + begin * kR + a * branch->R,
                                    .out_row = kR,
                                    .scale = 1.0f};
        if (!lorac_conv_branch_is_direct(s)) {
            const struct lorac_gather windows = {.rows = s->OH,
                                                 .columns = s->OW,
                                                 .kh = s->kh,
                                                 .kw = s->kw,
                                                 .channels = block.width,
                                                 .row_of = state->row_of,
                                                 .column_of = state->column_of,
                                                 .from = job->x + block.c0,
                                                 .from_rows = s->H,
                                                 .from_columns = s->W,
                                                 .from_pixel = s->C};
            job->simd->gather(&windows, begin, end, gathered);
            outer.left = gathered;
            outer.left_channel = outer.columns;
        }
        job->simd->outer(&outer);
    }
}

static void up_tile(const struct job *job, size_t begin, size_t end)
{
    size_t kR = job->branch->blocks * job->branch->R, M = job->branch->shape.M;
    const struct lorac_outer outer = {.left = job->h + begin * kR,
                                      .left_channel = kR,
                                      .left_pixel = 1,
                                      .right = job->state->up,
                                      .right_pixel = M,
                                      .images = 1,
                                      .rows = 1,
                                      .columns = kR,
                                      .m_count = end - begin,
                                      .c_count = M,
                                      .out = job->y + begin * M,
                                      .out_row = M,
                                      .scale = (float)job->branch->s};
    job->simd->outer(&outer);
}

static void forward_part(void *context, size_t part)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = &job->branch->shape;
    size_t pixels = s->N * s->OH * s->OW, end = smaller((part + 1) * job->cut.forward_part, pixels);
    for (size_t p = part * job->cut.forward_part; p < end; p += job->cut.forward_tile) {
        size_t tile_end = smaller(p + job->cut.forward_tile, end);
        down_tile(job, p, tile_end, job->workspace + part * job->cut.forward_floats);
        up_tile(job, p, tile_end);
    }
}

void lorac_conv_branch_forward(const struct lorac_branch_state *state, const float *x, float *h, float *y,
                               const struct lorac_kernel_env *env)
{
    struct job job = {.state = state, .branch = state->branch, .cut = make_cut(state->branch), .simd = env->simd};
    job.workspace = env->workspace;
    job.x = x;
    job.h = h;
    job.y = y;
    lorac_parallel_for(env->pool, forward_part, &job, FORWARD_PARTS);
}

// ---- backward

// A chunk's part of the workspace.
struct chunk {
    float *dh, *gathered, *da, *db;
};

static struct chunk chunk_at(const struct job *job, size_t i)
{
    const struct cut *cut = &job->cut;
    float *base = job->workspace + i * (cut->dh_floats + cut->gather_floats + cut->sum_floats);
    float *sums = base + cut->dh_floats + cut->gather_floats;
    return (struct chunk){base, base + cut->dh_floats, sums, sums + cut->da_floats};
}

// dh = s * dy @ view(B) of images [first, first + images).
static void make_dh(const struct job *job, size_t first, size_t images, float *dh)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    size_t kR = job->branch->blocks * job->branch->R, pixels = images * s->OH * s->OW;
    memset(dh, 0, pixels * kR * sizeof(float));
    const struct lorac_outer outer = {.left = job->call->dy + first * s->OH * s->OW * s->M,
                                      .left_channel = s->M,
                                      .left_pixel = 1,
                                      .right = job->state->up_t,
                                      .right_pixel = job->state->up_t_row,
                                      .images = 1,
                                      .rows = 1,
                                      .columns = s->M,
                                      .m_count = pixels,
                                      .c_count = kR,
                                      .out = dh,
                                      .out_row = kR,
                                      .scale = (float)job->branch->s};
    job->simd->outer(&outer);
}

// db += s * dy' @ h of the images.
static void add_db(const struct job *job, size_t first, size_t images, float *db)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    size_t kR = job->branch->blocks * job->branch->R, pixels = images * s->OH * s->OW;
    const struct lorac_outer outer = {.left = job->call->dy + first * s->OH * s->OW * s->M,
                                      .left_channel = 1,
                                      .left_pixel = s->M,
                                      .right = job->call->h + first * s->OH * s->OW * kR,
                                      .right_pixel = kR,
                                      .images = 1,
                                      .rows = 1,
                                      .columns = pixels,
                                      .m_count = s->M,
                                      .c_count = kR,
                                      .out = db,
                                      .out_row = kR,
                                      .scale = (float)job->branch->s};
    job->simd->outer(&outer);
}

// What block a's dh says to pixels [begin, end) of x, counted from image [first] on: which outputs read each of them,
// and with which tap. Both gradients are products with it.
static void back_block(const struct job *job, size_t a, size_t first, size_t begin, size_t end,
                       const struct chunk *chunk)
{
    const struct lorac_conv_branch *branch = job->branch;
    const struct lorac_branch_state *state = job->state;
    const struct lorac_conv_shape *s = &branch->shape;
    const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
    size_t kR = branch->blocks * branch->R, row = branch->taps * branch->R;
    size_t place = (first * s->H * s->W + begin) * s->C + block.c0;
    const float *left = chunk->dh + begin * kR;
    size_t left_row = kR;
    if (!lorac_conv_branch_is_direct(s)) {
        const struct lorac_gather readers = {.rows = s->H,
                                             .columns = s->W,
                                             .kh = s->kh,
                                             .kw = s->kw,
                                             .channels = branch->R,
                                             .row_of = state->back_row_of,
                                             .column_of = state->back_column_of,
                                             .from = chunk->dh + a * branch->R,
                                             .from_rows = s->OH,
                                             .from_columns = s->OW,
                                             .from_pixel = kR};
        job->simd->gather(&readers, begin, end, chunk->gathered);
        left = chunk->gathered;
        left_row = row;
    }
    struct lorac_outer outer = {.left = left, .images = 1, .rows = 1, .c_count = block.width, .scale = 1.0f};
    if (branch->wants_dx) {
        outer.left_channel = left_row;
        outer.left_pixel = 1;
        outer.right = state->down_t + a * row * state->down_t_row;
        outer.right_pixel = state->down_t_row;
        outer.columns = row;
        outer.m_count = end - begin;
        outer.out = job->call->dx + place;
        outer.out_row = s->C;
        job->simd->outer(&outer);
    }
    if (branch->trains_a) {
        outer.left_channel = 1;
        outer.left_pixel = left_row;
        outer.right = job->call->x + place;
        outer.right_pixel = s->C;
        outer.columns = end - begin;
        outer.m_count = row;
        outer.out = chunk->da + a * row * da_row(branch);
        outer.out_row = da_row(branch);
        job->simd->outer(&outer);
    }
}

static void backward_chunk(void *context, size_t i)
{
    const struct job *job = context;
    const struct lorac_conv_branch *branch = job->branch;
    const struct lorac_conv_shape *s = &branch->shape;
    const struct chunk chunk = chunk_at(job, i);
    memset(chunk.da, 0, job->cut.sum_floats * sizeof(float));
    size_t end = smaller((i + 1) * job->cut.images_per_chunk, s->N);
    for (size_t first = i * job->cut.images_per_chunk; first < end; first += job->cut.images_at_once) {
        size_t images = smaller(job->cut.images_at_once, end - first), pixels = images * s->H * s->W;
        if (branch->trains_b)
            add_db(job, first, images, chunk.db);
        if (!branch->wants_dx && !branch->trains_a)
            continue;
        make_dh(job, first, images, chunk.dh);
        for (size_t p = 0; p < pixels; p += job->cut.back_tile)
            for (size_t a = 0; a < branch->blocks; a++)
                back_block(job, a, first, p, smaller(p + job->cut.back_tile, pixels), &chunk);
    }
}

// Adds the other chunks' sums to the first one's, in their order.
static void add_chunks(void *context, size_t begin, size_t end)
{
    const struct job *job = context;
    float *sum = chunk_at(job, 0).da;
    for (size_t i = 1; i < job->cut.chunks; i++)
        job->simd->add_into(sum + begin, chunk_at(job, i).da + begin, end - begin);
}

// Row r of dA from the gradients of all D_a: see lorac_conv_branch_pack_a.
static void finish_a(void *context, size_t r)
{
    const struct job *job = context;
    const struct lorac_conv_branch *branch = job->branch;
    size_t row = da_row(branch);
    float *to = job->call->da + r * branch->columns;
    for (size_t a = 0; a < branch->blocks; a++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
        const float *from = chunk_at(job, 0).da + a * branch->taps * branch->R * row;
        for (size_t column = 0; column < branch->columns; column++) {
            size_t place = block.left + column, c = place / branch->taps, tap = place % branch->taps;
            to[column] += from[(tap * branch->R + r) * row + c];
        }
    }
}

void lorac_conv_branch_backward(const struct lorac_branch_state *state, const struct lorac_branch_backward *call,
                                const struct lorac_kernel_env *env)
{
    const struct lorac_conv_branch *branch = state->branch;
    struct job job = {.state = state, .branch = branch, .cut = make_cut(branch), .simd = env->simd, .call = call};
    job.workspace = env->workspace;
    lorac_parallel_for(env->pool, backward_chunk, &job, job.cut.chunks);
    lorac_parallel_ranges(env->pool, add_chunks, &job, job.cut.sum_floats, RANGE_FLOATS);
    if (branch->trains_a)
        lorac_parallel_for(env->pool, finish_a, &job, branch->R);
    if (branch->trains_b)
        env->simd->add_into(call->db, chunk_at(&job, 0).db, branch->shape.M * branch->blocks * branch->R);
}
