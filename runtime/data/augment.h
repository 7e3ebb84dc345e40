// Augmentations: an image of the training set, changed at random in ways that keep its label.
//
// Every random number is a function of (seed, purpose, epoch, index of the image): neither the order of the images, the
// threads, nor which other augmentations are on changes what one of them draws. The order of work:
//   1. random resized crop of the stored image (else its centre, H x W)         uint8, purpose "resized-crop"
//   2. colour jitter                                                            uint8, purpose "color-jitter"
//   3. normalisation; crop after padding with zeros, mirroring                  purpose "augment"
//   4. cutout                                                                   purpose "cutout"
#ifndef LORAC_AUGMENT_H
#define LORAC_AUGMENT_H

#include "proto/lorac_status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lorac_batch_source;
struct lorac_dataset;
struct lorac_image;

// How far colours may change: the factors of the first three are drawn from max(0, 1-x) .. 1+x, the hue is turned by
// -hue .. hue of a full turn. 0: not at all.
struct lorac_color_jitter {
    double brightness, contrast, saturation;
    double hue; // at most 0.5
};

// What is done; all zero: nothing.
struct lorac_augment {
    size_t crop_pad; // padded by so many zeros on each side, then cropped to the old size at a random place
    bool flip;       // mirrored left-right with probability 1/2
    // Random resized crop: a box of a share of the area from [low] to [high] (0 < low <= high <= 1), resampled to the
    // model's size; high 0: none.
    struct {
        double low, high;
    } area;
    struct lorac_color_jitter jitter;
    size_t cutout; // side of the square that is set to 0, with its centre anywhere in the image; 0: none
};

// That it can be done to images like [dataset]'s. Errors: ARGUMENT (numbers outside their limits; padding or a square
// as large as the image; area together with crop_pad; area or jitter of float32 images; jitter of images with other
// than 1 or 3 channels; saturation or hue of grey ones, where they would do nothing).
enum lorac_status lorac_augment_check(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                      struct lorac_error *error);

// ---- memory to work in: slots, one for each thread that makes images at the same time

struct lorac_augment_slot {
    size_t number;
    uint8_t *pixels; // [H, W, C] of the dataset
    void *crop;      // lorac_crop_scratch_bytes
};

struct lorac_augment_scratch {
    // What augmentations make of the pixels of [image], in the slot; [work] is [H, W, C] to work in. Images are made
    // through this pointer, so that a program that makes no scratch, as an application with images of its own, is
    // linked without the augmentations.
    struct lorac_image (*change)(const struct lorac_batch_source *source, const struct lorac_image *image, size_t index,
                                 uint64_t epoch, const struct lorac_augment_slot *slot, float *work);
    size_t slot_bytes, pixel_bytes, count;
    unsigned char *slots; // [count, slot_bytes]: the pixels in pixel_bytes, and what cropping needs
    atomic_flag taken[];  // [count]
};

// Bytes of a slot; 0 where [augment] needs none (neither area nor jitter).
size_t lorac_augment_scratch_bytes(const struct lorac_augment *augment, const struct lorac_dataset *dataset);

// NULL in *out where none is needed. Errors: MEMORY.
enum lorac_status lorac_augment_scratch_create(const struct lorac_augment *augment, const struct lorac_dataset *dataset,
                                               size_t threads, struct lorac_augment_scratch **out,
                                               struct lorac_error *error);
void lorac_augment_scratch_free(struct lorac_augment_scratch *scratch); // accepts NULL

// A slot that nobody else has, to be given back; where all are taken it waits.
struct lorac_augment_slot lorac_augment_scratch_take(struct lorac_augment_scratch *scratch);
void lorac_augment_scratch_give(struct lorac_augment_scratch *scratch, const struct lorac_augment_slot *slot);

// ---- random resized crop (augment_crop.c)

struct lorac_crop_box {
    size_t top, left, height, width;
};

// A box in an image of [height, width], as torchvision's RandomResizedCrop draws it: ten tries of a share of the area,
// uniform, and of an aspect from 3/4 to 4/3 times that of the result [H, W], uniform in its logarithm; a try that does
// not fit in the image is thrown away. Without one that fits: the largest box in the middle with the nearest aspect.
struct lorac_crop_box lorac_crop_draw(const struct lorac_augment *augment, uint64_t seed, uint64_t epoch, uint64_t index,
                                      size_t height, size_t width, size_t H, size_t W);

// What resampling needs beside its result.
size_t lorac_crop_scratch_bytes(size_t channels, size_t H, size_t W);

struct lorac_crop_request {
    const uint8_t *pixels; // [height, width, channels]
    size_t height, width, channels;
    struct lorac_crop_box box;
    size_t H, W;
};

// The box as dst u8 [H, W, channels]: antialiased bilinear, as Pillow's resize(BILINEAR, box=...) up to rounding.
// [sums] is [H, W, channels] to work in, [scratch] lorac_crop_scratch_bytes, aligned to 8.
void lorac_crop_resample(const struct lorac_crop_request *request, float *sums, void *scratch, uint8_t *dst);

// ---- colour jitter (augment_jitter.c)

enum lorac_color_step { LORAC_BRIGHTNESS, LORAC_CONTRAST, LORAC_SATURATION, LORAC_HUE, LORAC_COLOR_STEPS };

// What was drawn for one image.
struct lorac_color_change {
    double amount[LORAC_COLOR_STEPS]; // factors, 1 keeps the image; of the hue turns, 0 keeps it
    enum lorac_color_step order[LORAC_COLOR_STEPS];
};

// The four amounts and a random order, as torchvision's ColorJitter.
struct lorac_color_change lorac_color_draw(const struct lorac_color_jitter *jitter, uint64_t seed, uint64_t epoch,
                                           uint64_t index);

// Changes pixels u8 [count, channels], channels 1 or 3 (RGB). Brightness, contrast and saturation are Pillow's
// ImageEnhance.Brightness, Contrast and Color to the bit: the image and another one (black; the mean grey; each pixel's
// own grey) mixed by the factor, cut off after each step. The hue is turned in HSV, with value and saturation kept.
// Grey images have no saturation and hue: those steps are left out.
void lorac_color_apply(const struct lorac_color_change *change, uint8_t *pixels, size_t count, size_t channels);

#endif
