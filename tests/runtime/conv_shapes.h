// What the tests of convolutions share: shapes, and memory between guards.
#ifndef LORAC_TEST_CONV_SHAPES_H
#define LORAC_TEST_CONV_SHAPES_H

#include "check.h"
#include "proto/rng.h"
#include "runtime/kernels/conv_algorithm.h"

// Of the largest output, random normal inputs. Sums of up to 4608 products, measured to 2.3e-6.
static const double TOLERANCE_EXACT = 4e-6;
// F(4x4): products of larger numbers than the outputs are, which cancel. Measured to 5.1e-6 with 512 channels.
static const double TOLERANCE_WINOGRAD4 = 1.5e-5;

enum { GUARD_FLOATS = 64, THREADS = 3 };

struct conv_row {
    size_t N, H, W, C, M, pads[4], kernel, stride, G; // pads: top, left, bottom, right
};

static const struct conv_row rows[] = {
    // images smaller than a tile, of one pixel, without padding
    {1, 1, 1, 1, 1, {1, 1, 1, 1}, 3, 1, 1},
    {2, 1, 1, 17, 5, {1, 1, 1, 1}, 3, 1, 1},
    {3, 2, 1, 4, 33, {1, 1, 1, 1}, 3, 1, 1},
    {1, 1, 9, 16, 16, {1, 1, 1, 1}, 3, 1, 1},
    {1, 9, 2, 16, 16, {1, 1, 1, 1}, 3, 1, 1},
    {1, 3, 3, 8, 8, {0, 0, 0, 0}, 3, 1, 1},
    {5, 3, 4, 3, 7, {0, 0, 0, 0}, 3, 1, 1},
    // pads of all sorts
    {2, 5, 6, 9, 20, {0, 1, 2, 1}, 3, 1, 1},
    {2, 6, 5, 20, 9, {2, 2, 2, 2}, 3, 1, 1},
    {1, 1, 1, 6, 6, {2, 2, 2, 2}, 3, 1, 1},
    {1, 7, 7, 6, 6, {2, 0, 0, 2}, 3, 1, 1},
    {1, 8, 8, 6, 6, {0, 2, 1, 0}, 3, 1, 1},
    // channels around vectors and chunks
    {1, 4, 4, 15, 31, {1, 1, 1, 1}, 3, 1, 1},
    {1, 4, 4, 16, 32, {1, 1, 1, 1}, 3, 1, 1},
    {1, 4, 4, 17, 33, {1, 1, 1, 1}, 3, 1, 1},
    {1, 5, 5, 33, 48, {1, 1, 1, 1}, 3, 1, 1},
    {1, 5, 5, 47, 49, {1, 1, 1, 1}, 3, 1, 1},
    {2, 8, 8, 40, 72, {1, 1, 1, 1}, 3, 1, 1},
    // tiles around groups and blocks: one block, some (shared), many (each thread its own)
    {11, 4, 4, 24, 24, {1, 1, 1, 1}, 3, 1, 1},
    {13, 4, 4, 24, 24, {1, 1, 1, 1}, 3, 1, 1},
    {2, 13, 11, 64, 40, {1, 1, 1, 1}, 3, 1, 1},
    {3, 29, 30, 18, 20, {1, 1, 1, 1}, 3, 1, 1},
    {9, 32, 33, 16, 18, {1, 1, 1, 1}, 3, 1, 1},
    {8, 33, 31, 20, 16, {1, 0, 1, 2}, 3, 1, 1},
    // long sums
    {2, 7, 7, 128, 64, {1, 1, 1, 1}, 3, 1, 1},
    {2, 7, 7, 256, 32, {1, 1, 1, 1}, 3, 1, 1},
    {8, 4, 4, 512, 32, {1, 1, 1, 1}, 3, 1, 1},
    {1, 7, 7, 32, 512, {1, 1, 1, 1}, 3, 1, 1},
    // what Winograd does not do
    {2, 7, 6, 5, 9, {1, 1, 1, 1}, 3, 2, 1},
    {2, 7, 6, 6, 9, {1, 1, 1, 1}, 3, 1, 3},
    {2, 7, 6, 6, 9, {0, 0, 0, 0}, 1, 2, 1},
    {1, 9, 8, 6, 9, {2, 2, 2, 2}, 5, 1, 1},
    // strides: phases without a tap, of different sizes, several blocks, long sums, a stride beyond the kernel
    {3, 9, 12, 20, 40, {1, 1, 1, 1}, 3, 2, 1},
    {2, 33, 31, 32, 70, {1, 0, 0, 1}, 3, 2, 1},
    {8, 16, 16, 64, 128, {1, 1, 1, 1}, 3, 2, 1},
    {4, 8, 8, 256, 64, {1, 1, 1, 1}, 3, 2, 1},
    {2, 16, 16, 48, 33, {0, 0, 0, 0}, 1, 2, 1},
    {2, 20, 21, 5, 17, {3, 3, 3, 3}, 7, 2, 1},
    {1, 14, 17, 7, 6, {2, 1, 0, 2}, 5, 3, 1},
    {1, 11, 11, 4, 4, {0, 0, 0, 0}, 2, 4, 1},
    // pixels that are multiplied where they lie, and with pads that reach a 1x1 kernel
    {5, 14, 14, 96, 40, {0, 0, 0, 0}, 1, 1, 1},
    {1, 7, 7, 65, 257, {0, 0, 0, 0}, 1, 1, 1},
    {2, 5, 4, 16, 16, {1, 0, 2, 1}, 1, 1, 1},
    // a stride, and pads at the end that keep the size: the pixels are not where they are without a stride
    {1, 2, 2, 64, 16, {0, 0, 1, 1}, 1, 2, 1},
    {2, 3, 3, 64, 32, {0, 0, 2, 2}, 1, 2, 1},
    // chunks that end within a vector
    {1, 5, 5, 33, 4, {0, 0, 0, 0}, 3, 2, 1},
    {1, 5, 5, 5, 41, {0, 0, 0, 0}, 3, 2, 1},
    {1, 5, 5, 7, 45, {0, 0, 0, 0}, 1, 1, 1},
    {1, 5, 5, 7, 61, {1, 1, 1, 1}, 3, 2, 1},
};

// What a row does not say: kernels, strides and dilations that differ by axis.
static const struct lorac_conv_shape uneven[] = {
    {.N = 2,
     .H = 9,
     .W = 12,
     .C = 20,
     .M = 40,
     .kh = 3,
     .kw = 3,
     .stride_h = 2,
     .stride_w = 2,
     .dilation_h = 1,
     .dilation_w = 3,
     .pad_top = 1,
     .pad_left = 3,
     .pad_bottom = 2,
     .G = 1},
    {.N = 2,
     .H = 9,
     .W = 9,
     .C = 17,
     .M = 33,
     .kh = 2,
     .kw = 3,
     .stride_h = 1,
     .stride_w = 2,
     .dilation_h = 4,
     .dilation_w = 1,
     .G = 1},
    {.N = 2,
     .H = 13,
     .W = 12,
     .C = 20,
     .M = 24,
     .kh = 4,
     .kw = 3,
     .stride_h = 3,
     .stride_w = 2,
     .dilation_h = 2,
     .dilation_w = 3,
     .pad_left = 2,
     .pad_bottom = 1,
     .pad_right = 2,
     .G = 1},
    {.N = 1,
     .H = 12,
     .W = 14,
     .C = 16,
     .M = 40,
     .kh = 3,
     .kw = 3,
     .stride_h = 8,
     .stride_w = 7,
     .dilation_h = 1,
     .dilation_w = 1,
     .G = 1},
    {.N = 1,
     .H = 3,
     .W = 30,
     .C = 18,
     .M = 35,
     .kh = 1,
     .kw = 7,
     .stride_h = 1,
     .stride_w = 2,
     .dilation_h = 1,
     .dilation_w = 1,
     .G = 1},
    {.N = 2,
     .H = 3,
     .W = 5,
     .C = 64,
     .M = 32,
     .kh = 1,
     .kw = 1,
     .stride_h = 2,
     .stride_w = 1,
     .dilation_h = 1,
     .dilation_w = 1,
     .pad_bottom = 2,
     .G = 1},
};

__attribute__((unused)) static void set_output_size(struct lorac_conv_shape *s)
{
    s->OH = (s->H + s->pad_top + s->pad_bottom - (s->kh - 1) * s->dilation_h - 1) / s->stride_h + 1;
    s->OW = (s->W + s->pad_left + s->pad_right - (s->kw - 1) * s->dilation_w - 1) / s->stride_w + 1;
}

__attribute__((unused)) static struct lorac_conv_shape shape_of(const struct conv_row *r)
{
    struct lorac_conv_shape s = {.N = r->N, .H = r->H, .W = r->W, .C = r->C, .M = r->M, .G = r->G};
    s.kh = s.kw = r->kernel;
    s.stride_h = s.stride_w = r->stride;
    s.dilation_h = s.dilation_w = 1;
    s.pad_top = r->pads[0];
    s.pad_left = r->pads[1];
    s.pad_bottom = r->pads[2];
    s.pad_right = r->pads[3];
    set_output_size(&s);
    return s;
}

__attribute__((unused)) static void for_each_shape(void (*check)(const struct lorac_conv_shape *shape))
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct lorac_conv_shape shape = shape_of(&rows[i]);
        check(&shape);
    }
    for (size_t i = 0; i < sizeof uneven / sizeof *uneven; i++) {
        struct lorac_conv_shape shape = uneven[i];
        set_output_size(&shape);
        check(&shape);
    }
}

// ---- memory

__attribute__((unused)) static void *need(size_t bytes)
{
    void *memory = NULL;
    REQUIRE(posix_memalign(&memory, LORAC_BUFFER_ALIGNMENT, bytes + 2 * LORAC_BUFFER_ALIGNMENT) == 0);
    memset(memory, 0, bytes + 2 * LORAC_BUFFER_ALIGNMENT);
    return memory;
}

__attribute__((unused)) static float *random_floats(size_t count, const char *purpose)
{
    struct lorac_rng rng;
    float *x = need(count * sizeof(float));
    lorac_rng_init(&rng, 1, purpose, count, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)lorac_rng_normal(&rng);
    return x;
}

// [count] floats between guards; all of it NaN.
__attribute__((unused)) static float *guarded(size_t count)
{
    float *memory = need((count + 2 * GUARD_FLOATS) * sizeof(float));
    memset(memory, 0xFF, (count + 2 * GUARD_FLOATS) * sizeof(float));
    return memory + GUARD_FLOATS;
}

__attribute__((unused)) static int guards_stand(const float *memory, size_t count)
{
    size_t damaged = 0;
    for (size_t i = 0; i < GUARD_FLOATS * sizeof(float); i++)
        damaged += ((const unsigned char *)(memory - GUARD_FLOATS))[i] != 0xFF ||
                   ((const unsigned char *)(memory + count))[i] != 0xFF;
    return damaged == 0;
}

__attribute__((unused)) static void free_guarded(float *out)
{
    free(out - GUARD_FLOATS);
}

#endif
