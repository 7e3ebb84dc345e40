#include "conv_winograd_plan.h"

#include "winograd.h"

enum {
    CHUNK = LORAC_WINOGRAD_CHUNK,
    GROUP = LORAC_WINOGRAD_GROUP,
    BLOCK_FLOATS = 160 * 1024, // of a block's transformed inputs
    MIN_BLOCK = 4 * GROUP,     // tiles: each packed weight serves as many products
    BORROWED_BYTES = 4 << 20,  // of a second copy, which is then not made
    CHANGING_PIXELS = 256,     // of outputs, for which weights that change are packed at each step
    ENOUGH_BLOCKS = 8,         // to give threads whole blocks
    LINE = 16,                 // floats of a cache line; strides end on an odd number of lines, for the cache's sets
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void cut(struct lorac_winograd_plan *p)
{
    p->points = (p->m + 2) * (p->m + 2);
    p->tiles_h = divide_up(p->OH, p->m);
    p->tiles_w = divide_up(p->OW, p->m);
    p->tiles = p->N * p->tiles_h * p->tiles_w;
    p->chunks = divide_up(p->M, CHUNK);
    p->row_stride = (divide_up(p->C, LINE) | 1) * LINE;
    // With few channels the products of a chunk, which share the cache, are as large as the inputs.
    size_t fits = BLOCK_FLOATS / (p->points * (p->row_stride + (p->C <= CHUNK ? CHUNK : 0)));
    size_t most = fits > MIN_BLOCK ? fits / GROUP * GROUP : MIN_BLOCK;
    size_t least_blocks = divide_up(p->tiles, most);
    p->block = divide_up(divide_up(p->tiles, least_blocks), GROUP) * GROUP; // blocks of nearly the same size
    p->blocks = divide_up(p->tiles, p->block);
    p->point_stride = p->block * p->row_stride + LINE;
    p->block_floats = p->points * p->point_stride;
    p->product_floats = p->block * p->points * CHUNK;
    p->shared = p->blocks < ENOUGH_BLOCKS;
}

struct lorac_winograd_plan lorac_winograd_forward_plan(const struct lorac_conv_shape *s, size_t m)
{
    struct lorac_winograd_plan p = {.m = m, .N = s->N, .H = s->H, .W = s->W, .C = s->C};
    p.OH = s->OH;
    p.OW = s->OW;
    p.M = s->M;
    p.pad_top = s->pad_top;
    p.pad_left = s->pad_left;
    cut(&p);
    return p;
}

struct lorac_winograd_plan lorac_winograd_gradient_plan(const struct lorac_conv_shape *s, size_t m)
{
    struct lorac_winograd_plan p = {.m = m, .N = s->N, .H = s->OH, .W = s->OW, .C = s->M};
    p.OH = s->H;
    p.OW = s->W;
    p.M = s->C;
    p.pad_top = s->kh - 1 - s->pad_top;
    p.pad_left = s->kw - 1 - s->pad_left;
    p.turned_floats = p.C * CHUNK;
    cut(&p);
    return p;
}

size_t lorac_winograd_packed_floats(const struct lorac_winograd_plan *p)
{
    return p->points * p->C * (divide_up(p->M, LINE) * LINE);
}

size_t lorac_winograd_shared_bytes(const struct lorac_winograd_plan *p)
{
    return p->shared ? p->blocks * p->block_floats * sizeof(float) : 0;
}

size_t lorac_winograd_thread_floats(const struct lorac_winograd_plan *p)
{
    return p->product_floats + p->turned_floats + (p->shared ? 0 : p->block_floats);
}

// ---- when

bool lorac_winograd_supports(const struct lorac_conv_shape *s)
{
    return s->kh == 3 && s->kw == 3 && s->stride_h == 1 && s->stride_w == 1 && s->dilation_h == 1 &&
           s->dilation_w == 1 && s->G == 1 && s->pad_top <= 2 && s->pad_left <= 2 && s->pad_bottom <= 2 &&
           s->pad_right <= 2;
}

// Measured on 130 shapes of 16 to 512 channels, 2 x 2 to 56 x 56 pixels and 1 to 8 images, one thread with AVX-512.
// With few tiles the weights, 1.8 or 4 times as large as they were, take longer to read than the products to compute:
// F(4x4) then loses to F(2x2), and that, on less than 4 tiles, to the direct form. With few channels the transforms
// cost more than the products: 16 gave 1.0 (many tiles; 1.6 on another processor) to 1.5 by F(4x4) and 0.7 to 1.1 by
// F(2x2), 32 gave 1.4 to 2.9 and 1.2 to 1.9.
bool lorac_winograd_pays(const struct lorac_winograd_plan *p)
{
    size_t channels = p->C < p->M ? p->C : p->M;
    if (p->m == 2)
        return channels >= 32 && p->tiles >= 4;
    if (channels < 16)
        return false;
    return p->tiles >= (p->C * p->M <= 128 * 128 ? 8 : 16);
}

// Beside XNNPACK's direct convolution, one thread with AVX-512, 16 / 32 / 64 / 128 / 256 channels: F(4x4) 0.61 / 0.36 /
// 0.34 / 0.26 / 0.20, F(2x2) 0.98 / 0.54 / 0.52 / 0.41 / 0.35. The transforms are as much for each channel, whatever
// it is multiplied by.
double lorac_winograd_relative_time_4(const struct lorac_conv_shape *s)
{
    return 0.2 + 3.2 / (double)s->C + 3.2 / (double)s->M;
}

double lorac_winograd_relative_time_2(const struct lorac_conv_shape *s)
{
    return 0.35 + 4.5 / (double)s->C + 4.5 / (double)s->M;
}

// Packing took 0.2 ms for 64 -> 64 (both copies), 0.6 for 128, 1.3 for 256 and 5.4 for 512 (one copy): for these sizes
// two to five nanoseconds for each weight more than packing for other algorithms, which each pixel brings in 0.013 of.
bool lorac_winograd_pays_changing(const struct lorac_conv_shape *s)
{
    return s->N * s->OH * s->OW >= CHANGING_PIXELS;
}

// Turning weights around costs a fixed time for each of them and each block of tiles: 4 to 25 % of the gradient's time,
// least where blocks are full and channels few. It is worth that where the second copy is large, which is where few
// pixels make the layer a small part of a step. Own copy and borrowed, milliseconds, one thread with AVX-512:
//     layer, batch 32                own copy   borrowed      MB of the copy
//     64 -> 64, 32 x 32                  5.21       5.45        0.6
//     128 -> 128, 16 x 16                3.83       4.38        2.4
//     256 -> 256, 8 x 8                  3.46       4.89        9.4
//     512 -> 512, 4 x 4                  3.98       4.96       37.7
// ResNet-18 in the form for 32x32 images holds 179 MB of packed weights with this bound and 320 without borrowing; its
// step is 2 % longer, its start 70 ms shorter.
bool lorac_winograd_borrows(const struct lorac_winograd_plan *p)
{
    return lorac_winograd_packed_floats(p) * sizeof(float) >= BORROWED_BYTES;
}
