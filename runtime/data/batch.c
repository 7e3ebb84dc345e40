#include "dataset.h"

#include "proto/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static enum lorac_status check_count(const char *what, size_t count, size_t channels, struct lorac_error *error)
{
    if (count == 0 || count == 1 || count == channels)
        return LORAC_OK;
    return lorac_error_set(
        error, LORAC_ERROR_ARGUMENT,
        "%s has %zu values, but the model's input has %zu channels; give one value, or one per channel", what, count,
        channels);
}

static enum lorac_status check_input(const struct lorac_input_meta *input, size_t channels, struct lorac_error *error)
{
    if (channels < 1 || channels > LORAC_MAX_CHANNELS)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "uint8 images of %zu channels cannot be normalised, only of 1 to %d; give float32",
                               channels, LORAC_MAX_CHANNELS);
    LORAC_TRY(check_count("mean", input->mean_count, channels, error));
    LORAC_TRY(check_count("std", input->std_count, channels, error));
    if (!isfinite(input->scale) || input->scale == 0.0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "scale %g must be a finite number other than 0",
                               input->scale);
    for (size_t c = 0; c < input->std_count; c++)
        if (!isfinite(input->std[c]) || input->std[c] <= 0.0)
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "std %g (value %zu) must be finite and above 0",
                                   input->std[c], c);
    if (input->bgr && channels != 3)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "channel order bgr needs 3 channels; the model's input has %zu", channels);
    return LORAC_OK;
}

static double per_channel(const double *values, size_t count, size_t c, double none)
{
    return count == 0 ? none : values[count == 1 ? 0 : c];
}

enum lorac_status lorac_normalize_init(struct lorac_normalize *normalize, const struct lorac_input_meta *input,
                                       size_t channels, struct lorac_error *error)
{
    LORAC_TRY(check_input(input, channels, error));
    memset(normalize, 0, sizeof *normalize);
    normalize->reverse_channels = input->bgr;
    for (size_t c = 0; c < channels; c++) {
        double mean = per_channel(input->mean, input->mean_count, c, 0.0);
        double std = per_channel(input->std, input->std_count, c, 1.0);
        for (int value = 0; value < 256; value++) {
            normalize->table[c][value] = (float)((value * input->scale - mean) / std);
            if (!isfinite(normalize->table[c][value]))
                return lorac_error_set(
                    error, LORAC_ERROR_ARGUMENT,
                    "scale %g, mean %g, std %g of channel %zu make pixel %d a number that float cannot "
                    "hold",
                    input->scale, mean, std, c, value);
        }
    }
    return LORAC_OK;
}

void lorac_batch_order(uint64_t seed, uint64_t epoch, bool shuffle, size_t count, uint32_t *order)
{
    assert(count <= UINT32_MAX);
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    if (!shuffle)
        return;
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "shuffle", epoch, 0);
    for (size_t left = count; left > 1; left--) {
        size_t other = (size_t)lorac_rng_below(&rng, left);
        uint32_t kept = order[left - 1];
        order[left - 1] = order[other];
        order[other] = kept;
    }
}

// Where the pixel of an output place comes from: a place outside the image is padding.
struct placement {
    size_t down, right; // added to the output's row and column, modulo 2^n: "up by 3" is -3
    bool flip;
};

static struct placement draw_placement(const struct lorac_batch_source *source, size_t index, uint64_t epoch)
{
    const struct lorac_augment *augment = &source->augment;
    struct placement placement = {0};
    if (augment->crop_pad == 0 && !augment->flip)
        return placement;
    struct lorac_rng rng;
    lorac_rng_init(&rng, source->seed, "augment", epoch, index);
    const uint64_t places = 2 * (uint64_t)augment->crop_pad + 1;
    placement.down = (size_t)lorac_rng_below(&rng, places) - augment->crop_pad;
    placement.right = (size_t)lorac_rng_below(&rng, places) - augment->crop_pad;
    placement.flip = lorac_rng_below(&rng, 2) == 1 && augment->flip;
    return placement;
}

struct lorac_image lorac_dataset_image(const struct lorac_dataset *dataset, size_t index)
{
    const size_t size = dataset->channels * dataset->height * dataset->width;
    const size_t item = dataset->element == LORAC_ELEMENT_U8 ? sizeof(uint8_t) : sizeof(float);
    assert(index < dataset->count);
    return (struct lorac_image){(const char *)dataset->pixels + index * size * item, dataset->height, dataset->width};
}

// One pixel [C] at (row, column).
static void write_pixel(const struct lorac_batch_source *source, const struct lorac_image *image, size_t row,
                        size_t column, float *out)
{
    const struct lorac_dataset *set = source->dataset;
    const size_t C = set->channels, plane = image->height * image->width, place = row * image->width + column;
    if (set->element == LORAC_ELEMENT_U8) {
        const uint8_t *pixel = (const uint8_t *)image->pixels + place * C;
        for (size_t c = 0; c < C; c++)
            out[c] = source->normalize.table[c][pixel[source->normalize.reverse_channels ? C - 1 - c : c]];
    } else {
        const float *values = image->pixels;
        for (size_t c = 0; c < C; c++)
            out[c] = set->channels_last ? values[place * C + c] : values[c * plane + place];
    }
}

// The middle [H, W] of [image], placed.
static void write_image(const struct lorac_batch_source *source, const struct lorac_image *image,
                        const struct placement *placement, float *out)
{
    const struct lorac_dataset *set = source->dataset;
    const size_t C = set->channels, H = set->height, W = set->width;
    const size_t top = (image->height - H) / 2, left = (image->width - W) / 2;
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++, out += C) {
            size_t row = y + placement->down;
            size_t column = (placement->flip ? W - 1 - x : x) + placement->right;
            if (row < H && column < W) // padding above or to the left is a very large number
                write_pixel(source, image, top + row, left + column, out);
            else
                memset(out, 0, C * sizeof *out);
        }
}

static void cut_out(const struct lorac_batch_source *source, size_t index, uint64_t epoch, float *out)
{
    const struct lorac_dataset *set = source->dataset;
    const size_t C = set->channels, H = set->height, W = set->width, side = source->augment.cutout;
    struct lorac_rng rng;
    lorac_rng_init(&rng, source->seed, "cutout", epoch, index);
    const size_t row = (size_t)lorac_rng_below(&rng, H), column = (size_t)lorac_rng_below(&rng, W);
    const size_t before = side / 2, after = side - before;
    const size_t top = row > before ? row - before : 0, bottom = row + after < H ? row + after : H;
    const size_t left = column > before ? column - before : 0, right = column + after < W ? column + after : W;
    for (size_t y = top; y < bottom; y++)
        memset(out + (y * W + left) * C, 0, (right - left) * C * sizeof *out);
}

void lorac_batch_image(const struct lorac_batch_source *source, const struct lorac_image *image, size_t index,
                       uint64_t epoch, float *out)
{
    const struct lorac_dataset *set = source->dataset;
    assert(set->element != LORAC_ELEMENT_U8 || set->channels <= LORAC_MAX_CHANNELS);
    assert(image->height >= set->height && image->width >= set->width);
    const struct placement placement = draw_placement(source, index, epoch);
    if (lorac_augment_scratch_bytes(&source->augment, set) > 0) {
        const struct lorac_augment_slot slot = lorac_augment_scratch_take(source->scratch);
        const struct lorac_image changed = source->scratch->change(source, image, index, epoch, &slot, out);
        write_image(source, &changed, &placement, out);
        lorac_augment_scratch_give(source->scratch, &slot);
    } else {
        write_image(source, image, &placement, out);
    }
    if (source->augment.cutout > 0)
        cut_out(source, index, epoch, out);
}
