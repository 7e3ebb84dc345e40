// Forward and backward of the branch form: gather, multiply, add; a few pixels at a time, so that what is gathered
// stays in the cache.
//
// The work is cut by rules that look at sizes alone. Forward and the gradient of x are sums of their own for each
// pixel. The gradients of A and B are sums over pixels: the images are split into chunks, each with sums of its own,
// which are added in the order of the chunks at the end.
#include "conv_branch.h"

#include "parallel.h"
#include "simd.h"

#include <string.h>

enum {
    ALIGNED_FLOATS = LORAC_BUFFER_ALIGNMENT / sizeof(float),
    FORWARD_PARTS = 16,     // parts of the pixels, each with its own place to gather in
    TILE_FLOATS = 8 * 1024, // that are gathered at once: half of a core's first cache
    TILE_LEAST = 12,        // pixels: the rows of the widest tile of `outer`
    TILE_MOST = 192,
    MAX_CHUNKS = 8,           // of images
    SUM_FLOATS = 1024 * 1024, // of all chunks' sums together, where that leaves more than one chunk
    DY_FLOATS = 64 * 1024,    // of dy that are gone through at once
    FETCHED_FLOATS = 64 * 1024, // at once, at most: a part of a core's second cache
    GROUP_PIXELS = 64,        // of the output, that are taken at once at least
    RANGE_FLOATS = 16 * 1024,
};

static size_t aligned(size_t floats)
{
    return (floats + LORAC_SIMD_MARGIN + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

// Rows of our own are whole vectors: what is written past their end is never read.
static size_t padded(size_t floats)
{
    return (floats + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

static size_t da_row(const struct lorac_conv_branch *branch) // of A's sums, [blocks, taps*R, row]
{
    return padded(branch->width);
}

static size_t dh_row(const struct lorac_conv_branch *branch) // of dh, [pixels, row]
{
    const size_t kR = branch->blocks * branch->R;
    return lorac_conv_branch_is_narrow(branch) ? kR : padded(kR);
}

static size_t db_row(const struct lorac_conv_branch *branch) // of B's sums, [blocks*R, row]
{
    return padded(branch->shape.M);
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
    size_t dh_floats, gather_floats, sum_floats; // of each chunk
    size_t da_floats;                            // of sum_floats, A's
};

// Pixels of x that are taken at once on the way back, all of one phase: whole images, or whole rows of one image.
struct back_tile {
    size_t images, rows;
};

static struct back_tile back_tile(size_t images, size_t rows, size_t columns, size_t floats_per_pixel)
{
    size_t pixels = tile_pixels(floats_per_pixel);
    if (rows * columns <= pixels)
        return (struct back_tile){smaller(images, pixels / (rows * columns)), rows};
    return (struct back_tile){1, pixels / columns + (pixels < columns)};
}

// What is gathered for dx; else what is read again for each tap.
static size_t back_floats_per_pixel(const struct lorac_conv_branch *branch, size_t taps)
{
    return lorac_conv_branch_adds_dx(branch) ? taps * branch->R : branch->width + branch->R;
}

// An upper bound of what is gathered for one: what was aimed at, or so many pixels or a row with all taps.
static size_t back_floats(const struct lorac_conv_branch *branch)
{
    size_t row = (branch->shape.W + branch->shape.stride_w - 1) / branch->shape.stride_w;
    size_t least = (row > TILE_LEAST ? row : TILE_LEAST) * branch->taps * branch->R;
    return least > TILE_FLOATS ? least : TILE_FLOATS;
}

static struct cut make_cut(const struct lorac_conv_branch *branch)
{
    const struct lorac_conv_shape *s = &branch->shape;
    size_t per_window = branch->taps * branch->width, per_back = branch->taps * branch->R;
    size_t pixels = s->N * s->OH * s->OW;
    struct cut cut = {.forward_tile = tile_pixels(per_window)};
    size_t tiles = (pixels + cut.forward_tile - 1) / cut.forward_tile;
    cut.forward_part = (tiles + FORWARD_PARTS - 1) / FORWARD_PARTS * cut.forward_tile;
    cut.forward_floats = lorac_conv_is_direct(s) ? 0 : aligned(cut.forward_tile * per_window);
    cut.da_floats = branch->trains_a ? aligned(branch->blocks * per_back * da_row(branch)) : 0;
    cut.sum_floats = cut.da_floats + (branch->trains_b ? branch->blocks * branch->R * db_row(branch) : 0);
    cut.chunks = smaller(s->N, MAX_CHUNKS);
    if (cut.sum_floats > 0 && cut.chunks > SUM_FLOATS / cut.sum_floats)
        cut.chunks = cut.sum_floats < SUM_FLOATS ? SUM_FLOATS / cut.sum_floats : 1;
    cut.images_per_chunk = (s->N + cut.chunks - 1) / cut.chunks;
    cut.images_at_once = smaller((GROUP_PIXELS + s->OH * s->OW - 1) / (s->OH * s->OW), cut.images_per_chunk);
    cut.dh_floats = aligned(cut.images_at_once * s->OH * s->OW * dh_row(branch));
    const bool gathers = lorac_conv_branch_adds_dx(branch) && !lorac_conv_is_direct(s);
    cut.gather_floats = gathers ? aligned(back_floats(branch)) : 0;
    return cut;
}

size_t lorac_conv_branch_workspace_bytes(const struct lorac_conv_branch *branch)
{
    const struct cut cut = make_cut(branch);
    size_t forward = branch->beside ? 0 : FORWARD_PARTS * cut.forward_floats;
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
        if (!lorac_conv_is_direct(s)) {
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

// dh = s * dy @ view(B) of [pixels] pixels of the output from [first] on.
static void make_dh(const struct job *job, size_t first, size_t pixels, float *dh)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    size_t row = dh_row(job->branch);
    if (lorac_conv_branch_is_narrow(job->branch)) {
        const struct lorac_inner inner = {.left = job->call->dy + first * s->M,
                                          .left_row = s->M,
                                          .right = job->state->up_t,
                                          .right_row = job->state->up_t_row,
                                          .K = s->M,
                                          .p_count = pixels,
                                          .q_count = row,
                                          .to = dh,
                                          .to_row = row,
                                          .scale = (float)job->branch->s};
        job->simd->inner(&inner);
        return;
    }
    memset(dh, 0, pixels * row * sizeof(float));
    const struct lorac_outer outer = {.left = job->call->dy + first * s->M,
                                      .left_channel = s->M,
                                      .left_pixel = 1,
                                      .right = job->state->up_t,
                                      .right_pixel = job->state->up_t_row,
                                      .images = 1,
                                      .rows = 1,
                                      .columns = s->M,
                                      .m_count = pixels,
                                      .c_count = row,
                                      .out = dh,
                                      .out_row = row,
                                      .scale = (float)job->branch->s};
    job->simd->outer(&outer);
}

// db' += s * h' @ dy of the same pixels: vectors of dy's channels, of which there are more than of h's.
static void add_db(const struct job *job, size_t first, size_t pixels, float *db)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    size_t kR = job->branch->blocks * job->branch->R;
    const struct lorac_outer outer = {.left = job->call->h + first * kR,
                                      .left_channel = 1,
                                      .left_pixel = kR,
                                      .right = job->call->dy + first * s->M,
                                      .right_pixel = s->M,
                                      .images = 1,
                                      .rows = 1,
                                      .columns = pixels,
                                      .m_count = kR,
                                      .c_count = s->M,
                                      .out = db,
                                      .out_row = db_row(job->branch),
                                      .scale = (float)job->branch->s};
    job->simd->outer(&outer);
}

// In place of h, which has been used.
static void give_dh(const struct job *job, size_t first, size_t pixels, const float *dh)
{
    const size_t row = dh_row(job->branch), kR = job->branch->blocks * job->branch->R;
    for (size_t p = 0; p < pixels; p++)
        memcpy(job->call->h + (first + p) * kR, dh + p * row, kR * sizeof(float));
}

// Many lines at once: each one alone would be waited for.
static void fetch(const float *from, size_t floats)
{
    for (size_t i = 0; i < smaller(floats, FETCHED_FLOATS); i += ALIGNED_FLOATS)
        __builtin_prefetch(from + i);
}

// Both of the above, a few pixels at a time: dy comes from memory once, row by row for dh. (For dB it is read in strips
// of two vectors, which no processor foresees.)
static void read_dy(const struct job *job, size_t first, size_t pixels, const struct chunk *chunk)
{
    size_t row = dh_row(job->branch), tile = DY_FLOATS / job->branch->shape.M;
    tile = tile < TILE_LEAST ? TILE_LEAST : tile / TILE_LEAST * TILE_LEAST;
    for (size_t p = 0; p < pixels; p += tile) {
        size_t count = smaller(tile, pixels - p);
        fetch(job->call->dy + (first + p) * job->branch->shape.M, count * job->branch->shape.M);
        if (job->state->up_t)
            make_dh(job, first + p, count, chunk->dh + p * row);
        if (job->branch->trains_b)
            add_db(job, first + p, count, chunk->db);
        if (job->branch->gives_dh)
            give_dh(job, first + p, count, chunk->dh + p * row);
    }
}

// Some pixels of x that the same taps reach: those of row phase i and column phase k, whole images or rows of one.
struct region {
    size_t i, k;
    size_t first, images; // first: counted from the chunk's group on, as in dh
    size_t row, rows;
    const struct lorac_branch_phase *row_phase, *column_phase;
};

// left[pixel of the region, tap, R] is what the outputs that read a pixel say to it.
static void add_dx(const struct job *job, const struct region *region, const struct lorac_branch_block *block,
                   const struct lorac_outer *back, size_t place)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    struct lorac_outer outer = *back;
    size_t columns = region->column_phase->places, left_row = back->left_channel;
    outer.c_count = block->width;
    outer.out_row = s->stride_w * s->C;
    outer.out = job->call->dx + place;
    if (s->stride_h * s->stride_w == 1) { // the region is one piece of memory
        outer.m_count = region->images * region->rows * columns;
        job->simd->outer(&outer);
        return;
    }
    outer.m_count = columns;
    for (size_t i = 0; i < region->images * region->rows; i++) {
        size_t image = i / region->rows, row = i % region->rows;
        outer.left = back->left + i * columns * left_row;
        outer.out = job->call->dx + place + (image * s->H + row * s->stride_h) * s->W * s->C;
        job->simd->outer(&outer);
    }
}

// Of the places [begin, begin + count) of a phase those that one of its taps reaches: they are neighbours, and so are
// the outputs that read them.
struct reached {
    size_t begin, count, from;
};

static struct reached reached(const struct lorac_branch_phase *phase, size_t tap, size_t begin, size_t count)
{
    const int32_t *from = phase->from + tap;
    size_t end = begin + count;
    while (begin < end && from[begin * phase->taps] < 0)
        begin++;
    while (begin < end && from[(end - 1) * phase->taps] < 0)
        end--;
    return (struct reached){begin, end - begin, begin < end ? (size_t)from[begin * phase->taps] : 0};
}

// What one tap adds to the gradient of D_a, from the pixels of a region and the outputs that read them with it: both
// lie where they are, nothing is gathered.
static void add_da_tap(const struct job *job, const struct region *region, const float *dh, size_t first, size_t c0,
                       size_t row_tap, size_t column_tap, float *da)
{
    const struct lorac_conv_shape *s = &job->branch->shape;
    const struct reached rows = reached(region->row_phase, row_tap, region->row, region->rows);
    const struct reached columns = reached(region->column_phase, column_tap, 0, region->column_phase->places);
    const size_t pixel = dh_row(job->branch);
    const size_t row = region->i + rows.begin * s->stride_h, column = region->k + columns.begin * s->stride_w;
    struct lorac_outer outer = {
        .left = dh + ((region->first * s->OH + rows.from) * s->OW + columns.from) * pixel,
        .left_channel = 1,
        .left_pixel = pixel,
        .left_row = s->OW * pixel,
        .left_image = s->OH * s->OW * pixel,
        .right = job->call->x + (((first + region->first) * s->H + row) * s->W + column) * s->C + c0,
        .right_pixel = s->stride_w * s->C,
        .right_row = s->stride_h * s->W * s->C,
        .right_image = s->H * s->W * s->C,
        .images = region->images,
        .rows = rows.count,
        .columns = columns.count,
        .m_count = job->branch->R,
        .c_count = da_row(job->branch),
        .out = da,
        .out_row = da_row(job->branch),
        .scale = 1.0f};
    if (rows.count == 0 || columns.count == 0)
        return;
    if (lorac_conv_is_direct(s)) { // one piece of memory, gone through in one loop
        outer.columns *= outer.images * outer.rows;
        outer.images = outer.rows = 1;
    }
    job->simd->outer(&outer);
}

// What the outputs that read the region's pixels say to each of them, gathered; adds what that gives to dx.
static void add_dx_of_block(const struct job *job, size_t a, const struct lorac_branch_block *block,
                            const struct region *region, size_t tap, size_t place, const struct chunk *chunk)
{
    const struct lorac_conv_branch *branch = job->branch;
    const struct lorac_branch_state *state = job->state;
    const struct lorac_conv_shape *s = &branch->shape;
    const struct lorac_branch_phase *row_phase = region->row_phase, *column_phase = region->column_phase;
    size_t taps = row_phase->taps * column_phase->taps;
    size_t begin = (region->first * row_phase->places + region->row) * column_phase->places;
    struct lorac_outer back = {.left = chunk->dh + begin * dh_row(branch),
                               .left_channel = dh_row(branch),
                               .left_pixel = 1,
                               .right = state->down_t + tap * branch->R * state->down_t_row,
                               .right_pixel = state->down_t_row,
                               .images = 1,
                               .rows = 1,
                               .columns = taps * branch->R,
                               .scale = 1.0f};
    if (!lorac_conv_is_direct(s)) {
        const struct lorac_gather readers = {.rows = row_phase->places,
                                             .columns = column_phase->places,
                                             .kh = row_phase->taps,
                                             .kw = column_phase->taps,
                                             .channels = branch->R,
                                             .row_of = row_phase->from,
                                             .column_of = column_phase->from,
                                             .from = chunk->dh + a * branch->R,
                                             .from_rows = s->OH,
                                             .from_columns = s->OW,
                                             .from_pixel = dh_row(branch)};
        job->simd->gather(&readers, begin, begin + region->images * region->rows * column_phase->places,
                          chunk->gathered);
        back.left = chunk->gathered;
        back.left_channel = back.columns;
    }
    add_dx(job, region, block, &back, place);
}

// What block a's dh says to the pixels of a region of x. [first]: the image that dh begins with.
static void back_block(const struct job *job, size_t a, size_t first, const struct region *region,
                       const struct chunk *chunk)
{
    const struct lorac_conv_branch *branch = job->branch;
    const struct lorac_conv_shape *s = &branch->shape;
    const struct lorac_branch_block block = lorac_conv_branch_block(branch, a);
    const size_t row_taps = region->row_phase->taps, column_taps = region->column_phase->taps;
    size_t tap = a * branch->taps + lorac_branch_taps_before(job->state, region->i, region->k);
    if (lorac_conv_branch_adds_dx(branch)) {
        size_t row = region->i + region->row * s->stride_h;
        size_t place = (((first + region->first) * s->H + row) * s->W + region->k) * s->C + block.c0;
        add_dx_of_block(job, a, &block, region, tap, place, chunk);
    }
    for (size_t t = 0; branch->trains_a && t < row_taps * column_taps; t++)
        add_da_tap(job, region, chunk->dh + a * branch->R, first, block.c0, t / column_taps, t % column_taps,
                   chunk->da + (tap + t) * branch->R * da_row(branch));
}

static void back_phase(const struct job *job, size_t first, size_t images, size_t i, size_t k,
                       const struct chunk *chunk)
{
    struct region region = {
        .i = i, .k = k, .row_phase = &job->state->row_phases[i], .column_phase = &job->state->column_phases[k]};
    size_t rows = region.row_phase->places, columns = region.column_phase->places;
    size_t taps = region.row_phase->taps * region.column_phase->taps;
    if (taps == 0 || rows * columns == 0)
        return;
    const struct back_tile tile = back_tile(images, rows, columns, back_floats_per_pixel(job->branch, taps));
    for (region.first = 0; region.first < images; region.first += tile.images)
        for (region.row = 0; region.row < rows; region.row += tile.rows) {
            region.images = smaller(tile.images, images - region.first);
            region.rows = smaller(tile.rows, rows - region.row);
            for (size_t a = 0; a < job->branch->blocks; a++)
                back_block(job, a, first, &region, chunk);
        }
}

static void backward_chunk(void *context, size_t number)
{
    const struct job *job = context;
    const struct lorac_conv_shape *s = &job->branch->shape;
    const struct chunk chunk = chunk_at(job, number);
    bool goes_back = job->branch->trains_a || lorac_conv_branch_adds_dx(job->branch);
    memset(chunk.da, 0, job->cut.sum_floats * sizeof(float));
    size_t end = smaller((number + 1) * job->cut.images_per_chunk, s->N);
    for (size_t first = number * job->cut.images_per_chunk; first < end; first += job->cut.images_at_once) {
        size_t images = smaller(job->cut.images_at_once, end - first);
        if (job->branch->trains_a)
            fetch(job->call->x + first * s->H * s->W * s->C, images * s->H * s->W * s->C);
        read_dy(job, first * s->OH * s->OW, images * s->OH * s->OW, &chunk);
        for (size_t i = 0; goes_back && i < s->stride_h; i++)
            for (size_t k = 0; k < s->stride_w; k++)
                back_phase(job, first, images, i, k, &chunk);
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
            size_t place = block.left + column, c = place / branch->taps;
            size_t tap = (size_t)job->state->tap_place[place % branch->taps];
            to[column] += from[(tap * branch->R + r) * row + c];
        }
    }
}

static void finish_b(const struct job *job)
{
    const size_t kR = job->branch->blocks * job->branch->R, row = db_row(job->branch);
    const float *sum = chunk_at(job, 0).db;
    for (size_t m = 0; m < job->branch->shape.M; m++) {
        const double gain = job->call->gain ? job->call->gain[m] : 1;
        for (size_t q = 0; q < kR; q++)
            job->call->db[m * kR + q] += (float)((double)sum[q * row + m] * gain);
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
        finish_b(&job);
}
