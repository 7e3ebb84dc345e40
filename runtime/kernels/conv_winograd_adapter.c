#include "conv_winograd_adapter.h"

#include "parallel.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = LORAC_WINOGRAD_CHUNK, LINE = LORAC_BUFFER_ALIGNMENT / sizeof(float) };

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t points_of(size_t m)
{
    return (m + 2) * (m + 2);
}

static size_t block_floats(const struct lorac_conv_branch *branch, size_t m)
{
    return points_of(m) * branch->width * (divide_up(branch->R, LINE) * LINE);
}

static size_t up_row(const struct lorac_conv_branch *branch)
{
    return divide_up(branch->shape.M, CHUNK) * CHUNK;
}

size_t lorac_winograd_adapter_bytes(const struct lorac_conv_branch *branch, size_t m)
{
    size_t floats = branch->blocks * (block_floats(branch, m) + branch->R * up_row(branch)) + CHUNK;
    return floats * sizeof(float);
}

enum lorac_status lorac_winograd_adapter_init(struct lorac_winograd_adapter *adapter,
                                              const struct lorac_conv_branch *branch, size_t m,
                                              const struct lorac_winograd_loops *loops, float *h,
                                              struct lorac_error *error)
{
    size_t bytes = lorac_winograd_adapter_bytes(branch, m);
    void *memory;
    if (posix_memalign(&memory, LORAC_BUFFER_ALIGNMENT, bytes) != 0)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for an adapter (%zu bytes)", bytes);
    memset(memory, 0, bytes); // up's outputs beyond M are read
    *adapter = (struct lorac_winograd_adapter){.branch = branch, .loops = loops, .m = m, .h = h, .memory = memory};
    adapter->chunks = divide_up(branch->R, CHUNK);
    adapter->block_floats = block_floats(branch, m);
    adapter->up_row = up_row(branch);
    adapter->down = memory;
    adapter->up = adapter->down + branch->blocks * adapter->block_floats;
    adapter->zeros = adapter->up + branch->blocks * branch->R * adapter->up_row;
    return LORAC_OK;
}

void lorac_winograd_adapter_clear(struct lorac_winograd_adapter *adapter)
{
    free(adapter->memory);
    *adapter = (struct lorac_winograd_adapter){0};
}

// ---- packing

struct packing {
    const struct lorac_winograd_adapter *adapter;
    const float *a;
    float *kernels; // [blocks, R, width*9]: D_a, A with the zeros around it
};

size_t lorac_winograd_adapter_scratch_bytes(const struct lorac_conv_branch *branch)
{
    return branch->blocks * branch->R * branch->width * branch->taps * sizeof(float);
}

static float *down_of(const struct lorac_winograd_adapter *adapter, size_t a, size_t first, size_t width)
{
    return adapter->down + a * adapter->block_floats + first * points_of(adapter->m) * width;
}

static void pack_row_block(void *context, size_t a)
{
    const struct packing *packing = context;
    const struct lorac_winograd_adapter *adapter = packing->adapter;
    const struct lorac_conv_branch *branch = adapter->branch;
    const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
    size_t row = block.width * branch->taps, R = branch->R;
    float *kernels = packing->kernels + a * R * branch->width * branch->taps;
    memset(kernels, 0, R * row * sizeof(float));
    for (size_t r = 0; r < R; r++)
        memcpy(kernels + r * row + block.left, packing->a + r * branch->columns, branch->columns * sizeof(float));
    for (size_t first = 0; first < R; first += CHUNK)
        for (size_t c = 0; c < block.width; c++)
            adapter->loops->weight(adapter->m, kernels + first * row + c * branch->taps, row, false,
                                   R - first < CHUNK ? R - first : CHUNK, block.width, c,
                                   down_of(adapter, a, first, block.width));
}

void lorac_winograd_adapter_pack_a(const struct lorac_winograd_adapter *adapter, const float *a, float *scratch,
                                   const struct lorac_kernel_env *env)
{
    struct packing packing = {adapter, a, scratch};
    lorac_parallel_for(env->pool, pack_row_block, &packing, adapter->branch->blocks);
}

void lorac_winograd_adapter_pack_b(const struct lorac_winograd_adapter *adapter, const float *b)
{
    size_t kR = adapter->branch->blocks * adapter->branch->R;
    for (size_t m = 0; m < adapter->branch->shape.M; m++)
        for (size_t q = 0; q < kR; q++)
            adapter->up[q * adapter->up_row + m] = b[m * kR + q];
}

// ---- for a run

const float *lorac_winograd_adapter_down(const struct lorac_winograd_adapter *adapter, size_t a, size_t first,
                                         size_t width)
{
    return down_of(adapter, a, first, width);
}

struct lorac_winograd_up lorac_winograd_adapter_up(const struct lorac_winograd_adapter *adapter, size_t first)
{
    if (!adapter->branch)
        return (struct lorac_winograd_up){.up = NULL};
    size_t kR = adapter->branch->blocks * adapter->branch->R;
    return (struct lorac_winograd_up){.h = adapter->h,
                                      .up = adapter->up + first,
                                      .h_row = adapter->branch->shape.OW * kR,
                                      .h_column = kR,
                                      .channels = kR,
                                      .up_row = adapter->up_row,
                                      .scale = (float)adapter->branch->s};
}
