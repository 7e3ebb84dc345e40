// Gathered products (conv_gemm.c) as they run: block by block.
#include "conv_gemm.h"

#include "parallel.h"

#include <string.h>

enum { CHUNK = LORAC_PRODUCT_CHUNK, LINE = LORAC_BUFFER_ALIGNMENT / sizeof(float) };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t lorac_gemm_pointer_floats(size_t block)
{
    const size_t line = LINE * sizeof(float);
    return (block * sizeof(float *) + line - 1) / line * LINE;
}

struct job {
    const struct lorac_gemm *state;
    const float *packed;
    float *slices;
};

// Where the outputs of each pixel begin.
static void point(const struct lorac_gemm *state, const struct lorac_gemm_phase *phase, size_t first, size_t count,
                  float **to)
{
    const struct lorac_gemm_axis *rows = phase->rows, *columns = phase->columns;
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

static const float *gather(const struct lorac_gemm *state, const struct lorac_gemm_phase *phase, size_t first,
                           size_t count, float *to)
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
    const struct lorac_gemm_phase *phase;
    size_t first, count;
    float **to; // room for addresses of the pixels' outputs
    const float *windows;
};

static struct block begin_block(const struct lorac_gemm *state, size_t number, float *slice)
{
    const struct lorac_gemm_phase *phase = state->phases;
    while (number >= phase->first_block + phase->blocks)
        phase++;
    struct block block = {.phase = phase, .to = (float **)(void *)slice, .windows = slice};
    block.first = (number - phase->first_block) * phase->block;
    block.count = smaller(phase->pixels - block.first, phase->block);
    if (phase->K > 0)
        block.windows = gather(state, phase, block.first, block.count, slice + lorac_gemm_pointer_floats(phase->block));
    return block;
}

static void run_down(const struct lorac_gemm *state, const struct block *block)
{
    lorac_gemm_adapter_down(&state->adapter, block->windows, block->phase->K, block->first, block->count, block->to);
}

// What no tap reaches, of the gradient of a kernel smaller than its stride.
static void write_zeros(const struct lorac_gemm *state, const struct block *block, size_t chunk, size_t last)
{
    const size_t begin = chunk * CHUNK, end = smaller(last * CHUNK, state->M);
    for (size_t i = 0; i < block->count; i++)
        memset(block->to[i] + begin, 0, (end - begin) * sizeof(float));
}

// Chunks of outputs from [chunk] to [last].
static void run_chunks(const struct lorac_gemm *state, const struct block *block, const float *packed, size_t chunk,
                       size_t last)
{
    const struct lorac_gemm_phase *phase = block->phase;
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
static void run_down_of(void *context, size_t thread, size_t number)
{
    const struct job *job = context;
    const struct block block = begin_block(job->state, number, slice_of(job, thread));
    run_down(job->state, &block);
}

// A part of the outputs of a block.
static void run_part(void *context, size_t thread, size_t item)
{
    const struct job *job = context;
    const struct lorac_gemm *state = job->state;
    const size_t parts = state->parts, part = item % parts;
    const struct block block = begin_block(state, item / parts, slice_of(job, thread));
    if (state->adapter.down && parts == 1)
        run_down(state, &block);
    run_chunks(state, &block, job->packed, part * state->chunks / parts, (part + 1) * state->chunks / parts);
}

void lorac_gemm_run(const struct lorac_gemm *gemm, float *workspace, struct pthreadpool *pool)
{
    struct job job = {.state = gemm, .packed = gemm->packed, .slices = workspace};
    if (!gemm->packed) {
        job.packed = workspace;
        job.slices = workspace + gemm->packed_floats;
    }
    if (gemm->adapter.down && gemm->parts > 1)
        lorac_parallel_items(pool, run_down_of, &job, gemm->blocks);
    lorac_parallel_items(pool, run_part, &job, gemm->blocks * gemm->parts);
}
