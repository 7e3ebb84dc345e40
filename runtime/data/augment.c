#include "augment.h"

#include "dataset.h"
#include "proto/size.h"

#include <stdlib.h>
#include <string.h>

// ---- checks

static bool within(double value, double low, double high)
{
    return value >= low && value <= high; // false for NaN
}

static bool jitter_is_on(const struct lorac_color_jitter *jitter)
{
    return jitter->brightness != 0.0 || jitter->contrast != 0.0 || jitter->saturation != 0.0 || jitter->hue != 0.0;
}

static enum lorac_status check_sizes(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                     struct lorac_error *error)
{
    const size_t side = dataset->height < dataset->width ? dataset->height : dataset->width;
    if (augment->crop_pad > 0 && augment->crop_pad >= side)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a crop after padding by %zu can miss the whole image of %zu x %zu: pad by less",
                               augment->crop_pad, dataset->height, dataset->width);
    if (augment->cutout >= side && augment->cutout > 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a cutout of %zu x %zu is not smaller than the image of %zu x %zu: give at most %zu",
                               augment->cutout, augment->cutout, dataset->height, dataset->width, side - 1);
    return LORAC_OK;
}

static enum lorac_status check_area(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                    struct lorac_error *error)
{
    if (augment->area.high == 0.0 && augment->area.low == 0.0)
        return LORAC_OK;
    if (!within(augment->area.low, 0.0, augment->area.high) || augment->area.low == 0.0 ||
        !within(augment->area.high, 0.0, 1.0))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a random resized crop of %g to %g of the area: it must be 0 < LO <= HI <= 1",
                               augment->area.low, augment->area.high);
    if (augment->crop_pad > 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a random resized crop and a crop after padding (crop-flip): take one of them; the "
                               "mirroring alone is --flip");
    if (dataset->element != LORAC_ELEMENT_U8)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a random resized crop takes uint8 images, these are float32: give the uint8 pixels");
    return LORAC_OK;
}

static enum lorac_status check_jitter(const struct lorac_color_jitter *jitter, const struct lorac_dataset *dataset,
                                      struct lorac_error *error)
{
    if (!within(jitter->brightness, 0.0, 1e6) || !within(jitter->contrast, 0.0, 1e6) ||
        !within(jitter->saturation, 0.0, 1e6) || !within(jitter->hue, 0.0, 0.5))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a colour jitter of %g, %g, %g, %g: brightness, contrast and saturation must be at "
                               "least 0, the hue 0 to 0.5",
                               jitter->brightness, jitter->contrast, jitter->saturation, jitter->hue);
    if (!jitter_is_on(jitter))
        return LORAC_OK;
    if (dataset->element != LORAC_ELEMENT_U8)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a colour jitter takes uint8 images, these are float32, in a range that only their "
                               "maker knows: give the uint8 pixels");
    if (dataset->channels != 1 && dataset->channels != 3)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a colour jitter takes images of 1 or 3 channels, these have %zu", dataset->channels);
    if (dataset->channels == 1 && (jitter->saturation != 0.0 || jitter->hue != 0.0))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "a colour jitter of saturation or hue does nothing to images of one channel: give 0 for "
                               "them, as in %g,%g,0",
                               jitter->brightness, jitter->contrast);
    return LORAC_OK;
}

enum lorac_status lorac_augment_check(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                      struct lorac_error *error)
{
    LORAC_TRY(check_sizes(augment, dataset, error));
    LORAC_TRY(check_area(augment, dataset, error));
    return check_jitter(&augment->jitter, dataset, error);
}

// ---- pixels

// Copies the middle [H, W] of [image], u8, to [pixels].
static void copy_middle(const struct lorac_dataset *set, const struct lorac_image *image, uint8_t *pixels)
{
    const size_t row_bytes = set->width * set->channels;
    const size_t top = (image->height - set->height) / 2, left = (image->width - set->width) / 2;
    for (size_t y = 0; y < set->height; y++)
        memcpy(pixels + y * row_bytes,
               (const uint8_t *)image->pixels + ((top + y) * image->width + left) * set->channels, row_bytes);
}

// What augmentations make of the pixels of [image], u8 [H, W, C] in [slot]; [work] is [H, W, C] to work in.
static struct lorac_image change_pixels(const struct lorac_batch_source *source, const struct lorac_image *image,
                                        size_t index, uint64_t epoch, const struct lorac_augment_slot *slot,
                                        float *work)
{
    const struct lorac_dataset *set = source->dataset;
    const struct lorac_augment *augment = &source->augment;
    const size_t C = set->channels, H = set->height, W = set->width;
    if (augment->area.high > 0.0) {
        struct lorac_crop_request crop = {
            .pixels = image->pixels, .height = image->height, .width = image->width, .channels = C, .H = H, .W = W};
        crop.box = lorac_crop_draw(augment, source->seed, epoch, index, image->height, image->width, H, W);
        lorac_crop_resample(&crop, work, slot->crop, slot->pixels);
    } else {
        copy_middle(set, image, slot->pixels);
    }
    const struct lorac_color_change change = lorac_color_draw(&augment->jitter, source->seed, epoch, index);
    lorac_color_apply(&change, slot->pixels, H * W, C);
    return (struct lorac_image){slot->pixels, H, W};
}

// ---- memory

enum { ALIGNMENT = 64 };

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t pixel_bytes(const struct lorac_dataset *dataset)
{
    return round_up(dataset->height * dataset->width * dataset->channels); // bytes of one image: no overflow
}

size_t lorac_augment_scratch_bytes(const struct lorac_augment *augment, const struct lorac_dataset *dataset)
{
    const bool crops = augment->area.high > 0.0;
    if (!crops && !jitter_is_on(&augment->jitter))
        return 0;
    const size_t crop = lorac_crop_scratch_bytes(dataset->channels, dataset->height, dataset->width);
    return pixel_bytes(dataset) + (crops ? round_up(crop) : 0);
}

enum lorac_status lorac_augment_scratch_create(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                               size_t threads, struct lorac_augment_scratch **out,
                                               struct lorac_error *error)
{
    const size_t slot_bytes = lorac_augment_scratch_bytes(augment, dataset);
    struct lorac_augment_scratch *scratch = NULL;
    void *slots = NULL;
    size_t bytes;
    *out = NULL;
    if (slot_bytes == 0)
        return LORAC_OK;
    if (lorac_size_multiply(slot_bytes, threads, &bytes))
        scratch = malloc(sizeof *scratch + threads * sizeof *scratch->taken);
    if (scratch && posix_memalign(&slots, ALIGNMENT, bytes) != 0) {
        free(scratch);
        scratch = NULL;
    }
    if (!scratch)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for augmenting images in %zu threads",
                               threads);
    scratch->change = change_pixels;
    scratch->slots = slots;
    scratch->slot_bytes = slot_bytes;
    scratch->pixel_bytes = pixel_bytes(dataset);
    scratch->count = threads;
    for (size_t i = 0; i < threads; i++)
        atomic_flag_clear(&scratch->taken[i]);
    *out = scratch;
    return LORAC_OK;
}

void lorac_augment_scratch_free(struct lorac_augment_scratch *scratch)
{
    if (scratch)
        free(scratch->slots);
    free(scratch);
}

static bool take(struct lorac_augment_scratch *scratch, size_t *number)
{
    for (size_t i = 0; i < scratch->count; i++)
        if (!atomic_flag_test_and_set_explicit(&scratch->taken[i], memory_order_acquire)) {
            *number = i;
            return true;
        }
    return false;
}

struct lorac_augment_slot lorac_augment_scratch_take(struct lorac_augment_scratch *scratch)
{
    struct lorac_augment_slot slot = {0};
    while (!take(scratch, &slot.number))
        ; // only where there are more threads than slots
    slot.pixels = scratch->slots + slot.number * scratch->slot_bytes;
    slot.crop = slot.pixels + scratch->pixel_bytes;
    return slot;
}

void lorac_augment_scratch_give(struct lorac_augment_scratch *scratch, const struct lorac_augment_slot *slot)
{
    atomic_flag_clear_explicit(&scratch->taken[slot->number], memory_order_release);
}
