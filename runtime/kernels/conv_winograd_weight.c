// The gradient of the weight of a 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3) turned around (winograd.h): a
// quarter of the products of the plain one.
//
//     x  ──input───▶ tiles of a block [36][tiles][C] ┐
//                                                    ├─add──▶ sums of a part [36][C][M] ──▶ of all parts ──taps──▶ dW
//     dy ──spread──▶ tiles of a block [36][tiles][M] ┘
//
// The blocks are cut into *parts* with sums of their own, which are added in their order at the end. Blocks and parts
// are cut by the shape alone, and a part is one thread's: the same bits for any number of threads.
//
// Largest error, of the largest number, beside the plain one; random x and dy: 0.9e-6 to 3.3e-6 with 16 to 256 channels
// (tests/runtime/test_conv_weight.c holds its rows to a named bound against double). NaN and infinity in x or dy
// are hidden by none: each sum has all tiles.
#include "conv_algorithm.h"
#include "conv_winograd_plan.h"

#include "parallel.h"
#include "simd.h"
#include "winograd.h"
#include "winograd_tile.h"

#include <string.h>

enum {
    M_TILE = 4,
    EDGE = M_TILE + 2,
    POINTS = EDGE * EDGE,
    LINE = 16,                 // floats of a cache line
    BLOCK_FLOATS = 80 * 1024,  // of a block's tiles, to stay in a core's second-level cache beside a part's sums
    MIN_BLOCK = 16,            // tiles: each sum is read and written once for so many
    MIN_PARTS = 4,             // where there are as many blocks: less leave threads idle
    MAX_PARTS = 8,
    PART_BLOCKS = 8,           // at least, else less parts: their sums are cleared and added once
    SUM_FLOATS = 2400 * 1024,  // of all parts' sums, unless one alone has more
};

struct plan {
    size_t tiles_h, tiles_w, tiles;
    size_t block, blocks, parts;
    size_t x_row, x_point, y_row, y_point; // strides of transformed tiles, in floats
    size_t sum_row, sum_floats;            // of a part
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

// Ends on an odd number of lines, for the cache's sets.
static size_t row_floats(size_t channels)
{
    return (divide_up(channels, LINE) | 1) * LINE;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t clamp(size_t n, size_t low, size_t high)
{
    return n < low ? low : smaller(n, high);
}

static struct plan make_plan(const struct lorac_conv_shape *s)
{
    struct plan p = {.tiles_h = divide_up(s->OH, M_TILE), .tiles_w = divide_up(s->OW, M_TILE)};
    p.tiles = s->N * p.tiles_h * p.tiles_w;
    p.x_row = row_floats(s->C);
    p.y_row = row_floats(s->M);
    size_t fits = BLOCK_FLOATS / (POINTS * (p.x_row + p.y_row));
    size_t share = divide_up(p.tiles, MIN_PARTS); // at least a block for each part
    p.block = fits < share ? fits : share;
    p.block = p.block > MIN_BLOCK ? p.block : MIN_BLOCK;
    p.blocks = divide_up(p.tiles, p.block);
    p.x_point = p.block * p.x_row + LINE;
    p.y_point = p.block * p.y_row + LINE;
    p.sum_row = divide_up(s->M, LINE) * LINE;
    p.sum_floats = POINTS * s->C * p.sum_row;
    p.parts = clamp(p.blocks / PART_BLOCKS, MIN_PARTS, MAX_PARTS);
    p.parts = smaller(p.parts, clamp(SUM_FLOATS / p.sum_floats, 1, MAX_PARTS));
    p.parts = smaller(p.parts, p.blocks);
    return p;
}

static size_t zeros_floats(const struct lorac_conv_shape *s)
{
    return divide_up(s->C > s->M ? s->C : s->M, LINE) * LINE;
}

static size_t workspace_bytes(const struct lorac_conv_shape *s)
{
    const struct plan p = make_plan(s);
    return (p.parts * p.sum_floats + zeros_floats(s)) * sizeof(float);
}

static size_t thread_floats(const struct plan *p)
{
    return POINTS * (p->x_point + p->y_point);
}

static size_t thread_workspace_bytes(const struct lorac_conv_shape *s)
{
    const struct plan p = make_plan(s);
    return thread_floats(&p) * sizeof(float);
}

struct job {
    const struct lorac_conv_shape *s;
    struct plan plan;
    const float *x, *dy;
    float *sums, *zeros, *slices, *out;
    const struct lorac_simd *simd;
};

// The pixels of a tile of x and of dy.
struct tile {
    const float *x[POINTS], *dy[M_TILE * M_TILE];
};

static void find_pixels(const struct job *job, size_t tile, struct tile *to)
{
    const struct lorac_conv_shape *s = job->s;
    const struct plan *p = &job->plan;
    size_t column = tile % p->tiles_w * M_TILE, row = tile / p->tiles_w % p->tiles_h * M_TILE;
    size_t n = tile / p->tiles_w / p->tiles_h;
    const struct lorac_winograd_image in = {job->x + n * s->H * s->W * s->C, s->H, s->W, s->C, job->zeros};
    const struct lorac_winograd_image out = {job->dy + n * s->OH * s->OW * s->M, s->OH, s->OW, s->M, job->zeros};
    lorac_winograd_pixels(&in, EDGE, row - s->pad_top, column - s->pad_left, to->x);
    lorac_winograd_pixels(&out, M_TILE, row, column, to->dy);
}

// Of a block: B' d B and A dY A'.
static void transform_tiles(const struct job *job, size_t first, size_t count, float *x, float *y)
{
    const struct lorac_conv_shape *s = job->s;
    const struct plan *p = &job->plan;
    struct tile tiles[2];
    find_pixels(job, first, &tiles[0]);
    for (size_t t = 0; t < count; t++) {
        const struct tile *tile = &tiles[t % 2], *next = &tiles[(t + 1) % 2];
        find_pixels(job, first + (t + 1 < count ? t + 1 : t), &tiles[(t + 1) % 2]);
        job->simd->winograd->input(M_TILE, tile->x, next->x, s->C, x + t * p->x_row, p->x_point);
        job->simd->winograd_weight->spread(tile->dy, next->dy, s->M, y + t * p->y_row, p->y_point);
    }
}

static void run_part(void *context, size_t thread, size_t part)
{
    const struct job *job = context;
    const struct plan *p = &job->plan;
    float *x = job->slices + thread * thread_floats(p), *y = x + POINTS * p->x_point;
    struct lorac_winograd_sum sum = {.x = x,
                                     .y = y,
                                     .x_row = p->x_row,
                                     .x_point = p->x_point,
                                     .y_row = p->y_row,
                                     .y_point = p->y_point,
                                     .C = job->s->C,
                                     .M = job->s->M,
                                     .sum = job->sums + part * p->sum_floats,
                                     .sum_row = p->sum_row};
    memset(sum.sum, 0, p->sum_floats * sizeof(float));
    for (size_t block = part * p->blocks / p->parts; block < (part + 1) * p->blocks / p->parts; block++) {
        size_t first = block * p->block;
        sum.tiles = p->tiles - first < p->block ? p->tiles - first : p->block;
        transform_tiles(job, first, sum.tiles, x, y);
        job->simd->winograd_weight->add(&sum);
    }
}

// One input channel: the parts in their order, then the taps.
static void finish_channel(void *context, size_t c)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = job->s;
    const struct plan *p = &job->plan;
    float *sum = job->sums + c * p->sum_row;
    size_t point = s->C * p->sum_row;
    for (size_t part = 1; part < p->parts; part++)
        for (size_t i = 0; i < POINTS; i++)
            job->simd->add_into(sum + i * point, sum + part * p->sum_floats + i * point, p->sum_row);
    job->simd->winograd_weight->taps(sum, point, s->M, job->out + c * 9, s->C * 9);
}

static void run(const struct lorac_conv_shape *s, const float *x, const float *dy, float *out, float *workspace,
                const struct lorac_kernel_env *env)
{
    struct job job = {.s = s, .plan = make_plan(s), .x = x, .dy = dy, .out = out, .simd = env->simd};
    job.sums = workspace;
    job.zeros = job.sums + job.plan.parts * job.plan.sum_floats;
    job.slices = job.zeros + zeros_floats(s);
    memset(job.zeros, 0, zeros_floats(s) * sizeof(float));
    lorac_parallel_items(env->pool, run_part, &job, job.plan.parts);
    lorac_parallel_for(env->pool, finish_channel, &job, s->C);
}

// Measured, plain and by Winograd, one thread with AVX-512, milliseconds:
//     16 -> 16, 32 x 32 (64 images)      1.48   0.73
//     32 -> 32, 16 x 16 (64)             1.17   0.54
//     64 -> 64, 8 x 8 (64)               1.03   0.59
//     64 -> 64, 32 x 32 (32)            10.4    4.6
//     128 -> 128, 16 x 16 (32)          10.4    4.1
//     512 -> 512, 4 x 4 (32)             8.8   11.4     32 tiles
// With less than MIN_PARTS threads would stand idle: there the plain one stays, which splits large weights by outputs.
static bool pays(const struct lorac_conv_shape *s)
{
    const struct plan p = make_plan(s);
    return s->C >= 16 && s->M >= 16 && p.tiles >= 64 && p.parts >= MIN_PARTS;
}

// The products, the transforms, and what each weight's sums cost once for all pixels.
static double relative_time(const struct lorac_conv_shape *s)
{
    return 0.3 + 1.6 / (double)s->C + 1.6 / (double)s->M + 600 / ((double)s->N * (double)s->OH * (double)s->OW);
}

const struct lorac_conv_weight_gradient lorac_conv_weight_winograd = {
    .name = "winograd4",
    .workspace_bytes = workspace_bytes,
    .thread_workspace_bytes = thread_workspace_bytes,
    .run = run,
    .supports = lorac_winograd_supports,
    .pays = pays,
    .relative_time = relative_time,
};
