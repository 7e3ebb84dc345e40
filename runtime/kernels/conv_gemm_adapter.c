#include "conv_gemm_adapter.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = LORAC_PRODUCT_CHUNK, LINE = LORAC_BUFFER_ALIGNMENT / sizeof(float) };

static size_t lines(size_t floats)
{
    return (floats + LINE - 1) / LINE * LINE;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// With one row block the windows are its rows, and few outputs would leave vectors of them mostly empty.
static bool is_inner(const struct lorac_conv_branch *branch)
{
    return branch->blocks == 1 && lorac_conv_branch_is_narrow(branch);
}

static size_t block_floats(const struct lorac_conv_branch *branch)
{
    return lines(branch->taps * branch->width * lines(branch->R));
}

static size_t up_floats(const struct lorac_conv_branch *branch)
{
    return branch->blocks * branch->R * lines(branch->shape.M);
}

size_t lorac_gemm_adapter_bytes(const struct lorac_conv_branch *branch)
{
    return (branch->blocks * block_floats(branch) + up_floats(branch)) * sizeof(float);
}

static enum lorac_status allocate(struct lorac_gemm_adapter *adapter, size_t bytes, struct lorac_error *error)
{
    void *memory;
    if (posix_memalign(&memory, LORAC_BUFFER_ALIGNMENT, bytes) != 0)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for an adapter (%zu bytes)", bytes);
    memset(memory, 0, bytes); // what is around A, and outputs beyond R, M and C
    adapter->memory = memory;
    return LORAC_OK;
}

enum lorac_status lorac_gemm_adapter_init(struct lorac_gemm_adapter *adapter, const struct lorac_conv_branch *branch,
                                          const struct lorac_simd *simd, float *h, struct lorac_error *error)
{
    struct lorac_gemm_adapter made = {.branch = branch, .simd = simd, .h = h};
    LORAC_TRY(allocate(&made, lorac_gemm_adapter_bytes(branch), error));
    *adapter = made;
    adapter->block_floats = block_floats(branch);
    adapter->down = made.memory;
    adapter->up = adapter->down + branch->blocks * adapter->block_floats;
    return LORAC_OK;
}

size_t lorac_gemm_adapter_back_bytes(const struct lorac_conv_branch *branch)
{
    return branch->R * lines(branch->shape.C) * sizeof(float);
}

enum lorac_status lorac_gemm_adapter_init_back(struct lorac_gemm_adapter *adapter,
                                               const struct lorac_conv_branch *branch, const struct lorac_simd *simd,
                                               const float *dh, struct lorac_error *error)
{
    struct lorac_gemm_adapter made = {.branch = branch, .simd = simd, .h = (float *)(uintptr_t)dh}; // only read
    LORAC_TRY(allocate(&made, lorac_gemm_adapter_back_bytes(branch), error));
    *adapter = made;
    adapter->up = made.memory;
    return LORAC_OK;
}

void lorac_gemm_adapter_clear(struct lorac_gemm_adapter *adapter)
{
    free(adapter->memory);
    *adapter = (struct lorac_gemm_adapter){0};
}

// ---- packing

// Where the weight of term k for [output] of [outputs] lies, among K terms.
static size_t packed_place(const struct lorac_simd *simd, size_t K, size_t outputs, size_t k, size_t output)
{
    const size_t pair = 2 * simd->lanes, first = output / pair * pair;
    const size_t panel = outputs - first > simd->lanes ? pair : simd->lanes;
    return first * K + k * panel + (output - first);
}

void lorac_gemm_adapter_pack_a(const struct lorac_gemm_adapter *adapter, const float *a)
{
    const struct lorac_conv_branch *branch = adapter->branch;
    for (size_t b = 0; b < branch->blocks; b++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, b);
        const size_t K = branch->taps * block.width;
        float *down = adapter->down + b * adapter->block_floats;
        for (size_t r = 0; r < branch->R; r++)
            for (size_t column = 0; column < branch->columns; column++) {
                const size_t place = block.left + column, k = place % branch->taps * block.width + place / branch->taps;
                down[is_inner(branch) ? r * K + k : packed_place(adapter->simd, K, branch->R, k, r)] =
                    a[r * branch->columns + column];
            }
    }
}

void lorac_gemm_adapter_pack_b(const struct lorac_gemm_adapter *adapter, const float *b)
{
    const size_t M = adapter->branch->shape.M, kR = adapter->branch->blocks * adapter->branch->R;
    const float s = (float)adapter->branch->s;
    for (size_t m = 0; m < M; m++)
        for (size_t q = 0; q < kR; q++)
            adapter->up[packed_place(adapter->simd, kR, M, q, m)] = s * b[m * kR + q];
}

void lorac_gemm_adapter_pack_back(const struct lorac_gemm_adapter *adapter, const float *a)
{
    const size_t C = adapter->branch->shape.C, R = adapter->branch->R;
    for (size_t r = 0; r < R; r++)
        for (size_t c = 0; c < C; c++)
            adapter->up[packed_place(adapter->simd, R, C, r, c)] = a[r * C + c];
}

// ---- for a run

static void inner(const struct lorac_gemm_adapter *adapter, const float *windows, size_t row, size_t first,
                  size_t count)
{
    const size_t R = adapter->branch->R, K = adapter->branch->taps * adapter->branch->width;
    const struct lorac_inner call = {.left = windows,
                                     .left_row = row,
                                     .right = adapter->down,
                                     .right_row = K,
                                     .K = K,
                                     .p_count = count,
                                     .q_count = R,
                                     .to = adapter->h + first * R,
                                     .to_row = R,
                                     .scale = 1.0f};
    adapter->simd->inner(&call);
}

void lorac_gemm_adapter_down(const struct lorac_gemm_adapter *adapter, const float *windows, size_t row, size_t first,
                             size_t count, float **to)
{
    const struct lorac_conv_branch *branch = adapter->branch;
    const size_t R = branch->R, kR = branch->blocks * R;
    if (is_inner(branch)) {
        inner(adapter, windows, row, first, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        to[i] = adapter->h + (first + i) * kR;
    for (size_t a = 0; a < branch->blocks; a++) {
        const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
        const size_t K = branch->taps * block.width;
        struct lorac_product product = {.count = count, .to = to, .low = -INFINITY, .high = INFINITY};
        product.terms = (struct lorac_terms){.rows = windows + block.c0,
                                             .row_stride = row,
                                             .pieces = branch->taps,
                                             .piece = block.width,
                                             .piece_stride = branch->shape.C};
        for (size_t r = 0; r < R; r += CHUNK) {
            product.terms.packed = adapter->down + a * adapter->block_floats + r * K;
            product.offset = a * R + r;
            product.outputs = smaller(R - r, CHUNK);
            adapter->simd->product(&product);
        }
    }
}

struct lorac_terms lorac_gemm_adapter_up(const struct lorac_gemm_adapter *adapter, size_t first, size_t output)
{
    const size_t kR = adapter->branch->blocks * adapter->branch->R;
    return (struct lorac_terms){.rows = adapter->h + first * kR,
                                .row_stride = kR,
                                .pieces = 1,
                                .piece = kR,
                                .packed = adapter->up + output * kR};
}
