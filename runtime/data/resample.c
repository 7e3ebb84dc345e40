#include "resample.h"

#include "proto/size.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Weights have 14 bits behind the point, so that a product of 16-bit numbers is all that is needed; rows between the
// two passes have 6 bits more than a pixel, so that only the end rounds visibly.
enum {
    WEIGHT_BITS = 14,
    WEIGHT_ONE = 1 << WEIGHT_BITS,
    ROW_BITS = 6,
    BLOCK = 64, // columns summed at a time, in registers
};

// One axis: output place i is the sum of taps[i].count source pixels from taps[i].first on.
struct tap {
    size_t first, count, weight; // weights[weight ..]
};

struct axis {
    struct tap *taps;
    int16_t *weights;
    size_t first, end; // source pixels that are looked at
};

struct span {
    double begin, size;     // of the box
    size_t source, outputs; // pixels
};

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

// Rounded running sums, not rounded weights: they add up to one exactly, and what one weight lacks its neighbour has.
static size_t write_weights(double centre, double stretch, struct tap *tap, int16_t *weights)
{
    double sum = 0.0, running = 0.0;
    for (int pass = 0; pass < 2; pass++) {
        int before = 0;
        for (size_t k = 0; k < tap->count; k++) {
            double distance = ((double)(tap->first + k) + 0.5 - centre) / stretch;
            double weight = clamp(1.0 - (distance < 0.0 ? -distance : distance), 0.0, 1.0);
            if (pass == 0) {
                sum += weight;
                continue;
            }
            running += weight;
            int now = (int)(running / sum * WEIGHT_ONE + 0.5);
            weights[k] = (int16_t)(now - before);
            before = now;
        }
    }
    return tap->count;
}

// Zero weights at the ends would only cost time.
static void trim(struct tap *tap, const int16_t *weights)
{
    while (tap->count > 1 && weights[tap->weight] == 0) {
        tap->first++;
        tap->weight++;
        tap->count--;
    }
    while (tap->count > 1 && weights[tap->weight + tap->count - 1] == 0)
        tap->count--;
}

static struct tap place_tap(const struct span *span, double centre, double stretch)
{
    const double last = (double)span->source;
    size_t first = (size_t)clamp(centre - stretch + 0.5, 0.0, last - 1.0);
    size_t end = (size_t)clamp(centre + stretch + 0.5, 0.0, last);
    return (struct tap){.first = first, .count = end > first ? end - first : 1};
}

static void axis_clear(struct axis *axis)
{
    free(axis->taps);
    free(axis->weights);
}

static enum lorac_status axis_init(struct axis *axis, const struct span *span, struct lorac_error *error)
{
    const double scale = span->size / (double)span->outputs, stretch = scale > 1.0 ? scale : 1.0;
    const size_t most = 2 * (size_t)stretch + 3; // taps of a place
    size_t bytes, tap_bytes;
    if (lorac_size_multiply(span->outputs, sizeof *axis->taps, &tap_bytes) &&
        lorac_size_multiply(span->outputs, most * sizeof *axis->weights, &bytes)) {
        axis->taps = malloc(tap_bytes);
        axis->weights = malloc(bytes);
    }
    if (!axis->taps || !axis->weights)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory resizing %zu pixels to %zu", span->source,
                               span->outputs);
    size_t used = 0;
    axis->first = span->source;
    axis->end = 0;
    for (size_t i = 0; i < span->outputs; i++) {
        const double centre = span->begin + ((double)i + 0.5) * scale;
        struct tap tap = place_tap(span, centre, stretch);
        tap.weight = used;
        assert(tap.count <= most);
        used += write_weights(centre, stretch, &tap, axis->weights + used);
        trim(&tap, axis->weights);
        axis->taps[i] = tap;
        axis->first = tap.first < axis->first ? tap.first : axis->first;
        axis->end = tap.first + tap.count > axis->end ? tap.first + tap.count : axis->end;
    }
    return LORAC_OK;
}

static uint16_t round_row(int32_t sum)
{
    enum { SHIFT = WEIGHT_BITS - ROW_BITS };
    return (uint16_t)((sum + (1 << (SHIFT - 1))) >> SHIFT);
}

// [BLOCK] columns of the rows of one tap, [stride] bytes from row to row.
static void sum_block(const uint8_t *src, size_t stride, const int16_t *weights, size_t count, uint16_t *out)
{
    int32_t sums[BLOCK] = {0};
    for (size_t k = 0; k < count; k++, src += stride)
        for (size_t x = 0; x < BLOCK; x++)
            sums[x] += weights[k] * (int16_t)src[x];
    for (size_t x = 0; x < BLOCK; x++)
        out[x] = round_row(sums[x]);
}

static void sum_rows(const uint8_t *src, size_t stride, const int16_t *weights, size_t count, size_t columns,
                     uint16_t *out)
{
    size_t x = 0;
    for (; x + BLOCK <= columns; x += BLOCK)
        sum_block(src + x, stride, weights, count, out + x);
    for (; x < columns; x++) {
        int32_t sum = 0;
        for (size_t k = 0; k < count; k++)
            sum += weights[k] * src[k * stride + x];
        out[x] = round_row(sum);
    }
}

static inline uint8_t round_pixel(int32_t sum)
{
    enum { SHIFT = WEIGHT_BITS + ROW_BITS };
    return (uint8_t)((sum + (1 << (SHIFT - 1))) >> SHIFT);
}

// Inlined with a constant C, so that the sums stay in registers.
static inline void sum_columns(const uint16_t *row, const struct axis *axis, size_t outputs, const size_t C,
                               size_t step, uint8_t *dst)
{
    for (size_t i = 0; i < outputs; i++, dst += step) {
        const struct tap *tap = &axis->taps[i];
        const int16_t *weights = axis->weights + tap->weight;
        const uint16_t *from = row + (tap->first - axis->first) * step;
        int32_t sums[4] = {0};
        for (size_t k = 0; k < tap->count; k++, from += step)
            for (size_t c = 0; c < C; c++)
                sums[c] += weights[k] * (int16_t)from[c];
        for (size_t c = 0; c < C; c++)
            dst[c] = round_pixel(sums[c]);
    }
}

static void write_row(const uint16_t *row, const struct axis *axis, size_t outputs, size_t channels, uint8_t *dst)
{
    if (channels == 3) {
        sum_columns(row, axis, outputs, 3, 3, dst);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        sum_columns(row + c, axis, outputs, 1, channels, dst + c);
}

// True where both axes copy.
static bool is_copy(const struct axis *axis, size_t outputs)
{
    for (size_t i = 0; i < outputs; i++)
        if (axis->taps[i].count != 1)
            return false;
    return axis->end - axis->first == outputs;
}

enum lorac_status lorac_resample(const uint8_t *src, size_t src_height, size_t src_width, size_t channels,
                                 const struct lorac_box *box, uint8_t *dst, size_t dst_height, size_t dst_width,
                                 struct lorac_error *error)
{
    const struct lorac_box all = {0.0, 0.0, (double)src_height, (double)src_width};
    if (!box)
        box = &all;
    assert(channels > 0 && dst_height > 0 && dst_width > 0);
    assert(box->top >= 0.0 && box->height > 0.0 && box->top + box->height <= (double)src_height + 1e-6);
    assert(box->left >= 0.0 && box->width > 0.0 && box->left + box->width <= (double)src_width + 1e-6);
    struct axis down = {0}, across = {0};
    uint16_t *row = NULL;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, axis_init(&down, &(struct span){box->top, box->height, src_height, dst_height}, error),
                   done);
    LORAC_TRY_GOTO(status, axis_init(&across, &(struct span){box->left, box->width, src_width, dst_width}, error),
                   done);
    const size_t columns = (across.end - across.first) * channels, stride = src_width * channels;
    const bool copy = is_copy(&across, dst_width) && is_copy(&down, dst_height);
    row = malloc(columns * sizeof *row);
    if (!row) {
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory resizing rows of %zu pixels", src_width);
        goto done;
    }
    for (size_t i = 0; i < dst_height; i++, dst += dst_width * channels) {
        const struct tap *tap = &down.taps[i];
        const uint8_t *from = src + tap->first * stride + across.first * channels;
        if (copy) {
            memcpy(dst, from, dst_width * channels);
            continue;
        }
        sum_rows(from, stride, down.weights + tap->weight, tap->count, columns, row);
        write_row(row, &across, dst_width, channels, dst);
    }

done:
    axis_clear(&down);
    axis_clear(&across);
    free(row);
    return status;
}
