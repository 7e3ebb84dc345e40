// What changes of an adapted convolution's weight from step to step is of low rank, and so it is once it is
// transformed: at each point the packed weights of the input gradient are those of W0 and a product over kR,
//
//     packed[M, C] = turned around from the convolution's, which keeps W0 + view(B)[M, kR] @ (s * D transformed)[kR, C]
//
// so that merging needs no other copy of W0 and is a small part of packing anew. A chunk of C meets the rows of A's
// blocks that reach it and no others.
#include "conv_winograd_adapter.h"

#include "parallel.h"
#include "simd.h"

enum {
    CHUNK = LORAC_WINOGRAD_CHUNK,
    TAPS = 9,
    ROWS = 2 * LORAC_WINOGRAD_GROUP, // of M whose products are computed before they are added
};

static size_t points_of(size_t m)
{
    return (m + 2) * (m + 2);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t down_floats(const struct lorac_conv_branch *branch, size_t m)
{
    return points_of(m) * branch->blocks * branch->R * CHUNK;
}

static size_t scratch_floats(const struct lorac_conv_branch *branch, size_t m)
{
    return down_floats(branch, m) + ROWS * points_of(m) * CHUNK;
}

static size_t chunks_of(const struct lorac_conv_branch *branch)
{
    return (branch->shape.C + CHUNK - 1) / CHUNK;
}

size_t lorac_winograd_merge_bytes(const struct lorac_conv_branch *branch, size_t m)
{
    return chunks_of(branch) * scratch_floats(branch, m) * sizeof(float);
}

struct job {
    const struct lorac_winograd_merge *merge;
    const float *a, *b;
    float *scratch;
    const struct lorac_simd *simd;
};

// A chunk of the gradient's outputs, which are the convolution's inputs, and the row blocks that reach it.
struct part {
    size_t first, count, width; // width: count in whole vectors
    size_t block, blocks;
    float *down, *products, *to;
};

static struct part part_of(const struct job *job, size_t chunk)
{
    const struct lorac_winograd_merge *merge = job->merge;
    const struct lorac_conv_branch *branch = merge->branch;
    size_t lanes = merge->loops->lanes;
    struct part part = {.first = chunk * CHUNK};
    part.count = smaller(branch->shape.C - part.first, CHUNK);
    part.width = (part.count + lanes - 1) / lanes * lanes;
    for (size_t a = 0; a < branch->blocks; a++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
        if (block.c0 >= part.first + part.count || block.c0 + block.width <= part.first)
            continue;
        if (part.blocks++ == 0)
            part.block = a;
    }
    part.down = job->scratch + chunk * scratch_floats(branch, merge->m);
    part.products = part.down + down_floats(branch, merge->m);
    part.to = merge->to + part.first * points_of(merge->m) * branch->shape.M;
    return part;
}

// s times what row [a] of A, of block [block], says to the part's channels: kernels [count, TAPS].
static void cut_kernels(const struct lorac_conv_branch *branch, size_t block, const float *a, const struct part *part,
                        float *kernels)
{
    size_t from = block * branch->columns, to = from + branch->columns; // of [C, TAPS]
    size_t begin = part->first * TAPS, end = begin + part->count * TAPS;
    for (size_t i = begin; i < end; i++)
        kernels[i - begin] = i >= from && i < to ? (float)(branch->s * (double)a[i - from]) : 0;
}

static void transform_down(const struct job *job, const struct part *part)
{
    const struct lorac_winograd_merge *merge = job->merge;
    const struct lorac_conv_branch *branch = merge->branch;
    float kernels[CHUNK * TAPS];
    size_t rows = part->blocks * branch->R;
    for (size_t q = 0; q < rows; q++) {
        size_t block = part->block + q / branch->R, r = q % branch->R;
        cut_kernels(branch, block, job->a + r * branch->columns, part, kernels);
        merge->loops->weight(merge->m, kernels, TAPS, true, part->count, rows, q, part->down);
    }
}

// The products of rows first .. first+count-1 of M to where their weights are.
static void add_products(const struct job *job, const struct part *part, size_t first, size_t count)
{
    size_t M = job->merge->branch->shape.M, points = points_of(job->merge->m);
    size_t pair = 2 * job->merge->loops->lanes; // of a panel, as they are packed
    for (size_t p = 0; p < points; p++)
        for (size_t i = 0; i < part->width; i += pair) {
            size_t panel = smaller(part->width - i, pair);
            float *to = part->to + (p * part->width + i) * M + first * panel;
            for (size_t t = 0; t < count; t++)
                job->simd->add_into(to + t * panel, part->products + (t * points + p) * CHUNK + i, panel);
        }
}

static void merge_chunk(void *context, size_t chunk)
{
    const struct job *job = context;
    const struct lorac_winograd_merge *merge = job->merge;
    const struct lorac_conv_branch *branch = merge->branch;
    const struct part part = part_of(job, chunk);
    size_t M = branch->shape.M, kR = branch->blocks * branch->R, rows = part.blocks * branch->R;
    merge->loops->turned_weights(merge->m, merge->from, branch->shape.C, M, part.first, part.count, part.to);
    transform_down(job, &part);
    for (size_t first = 0; first < M; first += ROWS) { // view(B)'s rows are the same at every point
        size_t count = smaller(M - first, ROWS);
        merge->loops->product(points_of(merge->m), job->b + first * kR + part.block * branch->R, count, kR, 0,
                              part.down, rows, part.count, part.products);
        add_products(job, &part, first, count);
    }
}

void lorac_winograd_merge(const struct lorac_winograd_merge *merge, const float *a, const float *b, float *scratch,
                          const struct lorac_kernel_env *env)
{
    struct job job = {merge, a, b, scratch, env->simd};
    lorac_parallel_for(env->pool, merge_chunk, &job, chunks_of(merge->branch));
}
