// The gradient of a convolution's weight: dW[m, tap, c] = sum over images and pixels of dy[p, m] * x[p + tap, c].
//
// The work is cut twice, by rules that look at the shape alone. Small weights: the images are split into chunks, each
// with a sum of its own, added in the order of the chunks at the end. Large weights: the outputs are split into blocks
// and the images are not, because sums of 9 MB each would cost more than they bring.
#include "conv_algorithm.h"

#include "parallel.h"
#include "simd.h"

#include <string.h>

enum {
    MAX_CHUNKS = 8,
    CHUNK_WEIGHT_LIMIT = 96 * 1024, // floats of a weight up to which images are split
    BLOCK_OUTPUTS = 48,             // outputs a block: a multiple of the widest tile
    CACHE_FLOATS = 96 * 1024,       // x and dy of so many floats are gone through at once, to stay in a core's cache
};

struct job {
    const struct lorac_conv_shape *s;
    const float *x, *dy;
    float *partial; // [chunks, M, kh*kw, C/G]
    float *out;     // [M, C/G, kh*kw]
    size_t count;   // of the weight
    size_t chunks, blocks_per_group, images_per_chunk, images_at_once;
    const struct lorac_simd *simd;
};

static size_t chunk_count(const struct lorac_conv_shape *s)
{
    if (lorac_conv_weight_count(s) > CHUNK_WEIGHT_LIMIT)
        return 1;
    return s->N < MAX_CHUNKS ? s->N : MAX_CHUNKS;
}

static bool always(const struct lorac_conv_shape *shape)
{
    (void)shape;
    return true;
}

static size_t workspace_bytes(const struct lorac_conv_shape *s)
{
    return chunk_count(s) * lorac_conv_weight_count(s) * sizeof(float);
}

static void add_taps(const struct job *job, size_t image, size_t images, size_t group, size_t m, size_t m_count,
                     float *partial)
{
    const struct lorac_conv_shape *s = job->s;
    size_t Cg = s->C / s->G, taps = s->kh * s->kw;
    struct lorac_outer outer = {.images = images,
                                .left_image = s->OH * s->OW * s->M,
                                .left_row = s->OW * s->M,
                                .left_pixel = s->M,
                                .left_channel = 1,
                                .right_image = s->H * s->W * s->C,
                                .right_row = s->stride_h * s->W * s->C,
                                .right_pixel = s->stride_w * s->C,
                                .m_count = m_count,
                                .c_count = Cg,
                                .out_row = taps * Cg,
                                .scale = 1.0f};
    for (size_t tap = 0; tap < taps; tap++) {
        size_t row, row_end, row_in, column, column_end, column_in;
        lorac_conv_tap_range(tap / s->kw, s->H, s->OH, s->stride_h, s->dilation_h, s->pad_top, &row, &row_end, &row_in);
        lorac_conv_tap_range(tap % s->kw, s->W, s->OW, s->stride_w, s->dilation_w, s->pad_left, &column, &column_end,
                             &column_in);
        if (row == row_end || column == column_end)
            continue;
        outer.rows = row_end - row;
        outer.columns = column_end - column;
        outer.left = job->dy + ((image * s->OH + row) * s->OW + column) * s->M + m;
        outer.right = job->x + ((image * s->H + row_in) * s->W + column_in) * s->C + group * Cg;
        outer.out = partial + (m * taps + tap) * Cg;
        job->simd->outer(&outer);
    }
}

// One chunk of images and one block of outputs.
static void run_part(void *context, size_t i)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = job->s;
    size_t chunk = i % job->chunks, rest = i / job->chunks;
    size_t Mg = s->M / s->G, group = rest / job->blocks_per_group, block = rest % job->blocks_per_group;
    size_t first = block * BLOCK_OUTPUTS, m_count = Mg - first < BLOCK_OUTPUTS ? Mg - first : BLOCK_OUTPUTS;
    size_t m = group * Mg + first, row = s->kh * s->kw * (s->C / s->G);
    float *partial = job->partial + chunk * job->count;
    memset(partial + m * row, 0, m_count * row * sizeof(float));
    size_t end = (chunk + 1) * job->images_per_chunk;
    if (end > s->N)
        end = s->N;
    for (size_t image = chunk * job->images_per_chunk; image < end; image += job->images_at_once) {
        size_t images = end - image < job->images_at_once ? end - image : job->images_at_once;
        add_taps(job, image, images, group, m, m_count, partial);
    }
}

// Adds the chunks in their order and turns [taps, C/G] into ONNX's [C/G, taps], for one output.
static void finish_output(void *context, size_t m)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = job->s;
    size_t Cg = s->C / s->G, taps = s->kh * s->kw, row = taps * Cg;
    float *sum = job->partial + m * row;
    for (size_t chunk = 1; chunk < job->chunks; chunk++)
        job->simd->add_into(sum, sum + chunk * job->count, row);
    float *out = job->out + m * row;
    for (size_t c = 0; c < Cg; c++)
        for (size_t t = 0; t < taps; t++)
            out[c * taps + t] = sum[t * Cg + c];
}

static void run(const struct lorac_conv_shape *s, const float *x, const float *dy, float *out, float *workspace,
                const struct lorac_kernel_env *env)
{
    size_t per_image = s->H * s->W * s->C + s->OH * s->OW * s->M;
    struct job job = {.s = s, .x = x, .dy = dy, .partial = workspace, .out = out, .simd = env->simd};
    job.count = lorac_conv_weight_count(s);
    job.chunks = chunk_count(s);
    job.images_per_chunk = (s->N + job.chunks - 1) / job.chunks;
    job.blocks_per_group = (s->M / s->G + BLOCK_OUTPUTS - 1) / BLOCK_OUTPUTS;
    job.images_at_once = per_image < CACHE_FLOATS ? CACHE_FLOATS / per_image : 1;
    if (job.count > CHUNK_WEIGHT_LIMIT) // the result does not stay in the cache anyway: go through it once
        job.images_at_once = s->N;
    lorac_parallel_for(env->pool, run_part, &job, job.chunks * job.blocks_per_group * s->G);
    lorac_parallel_for(env->pool, finish_output, &job, s->M);
}

static double relative_time(const struct lorac_conv_shape *shape)
{
    (void)shape;
    return 1.15;
}

const struct lorac_conv_weight_gradient lorac_conv_weight_plain = {.name = "plain",
                                                                   .workspace_bytes = workspace_bytes,
                                                                   .run = run,
                                                                   .supports = always,
                                                                   .pays = always,
                                                                   .relative_time = relative_time};
