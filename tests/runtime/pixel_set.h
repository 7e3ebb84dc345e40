// A set of images in memory, and one of them as the model would see it.
#ifndef LORAC_TEST_PIXEL_SET_H
#define LORAC_TEST_PIXEL_SET_H

#include "check.h"
#include "runtime/data/dataset.h"

struct pixel_set {
    size_t count, height, width;
    const uint8_t *pixels; // [count, height, width, channels]
    const float *planes;   // [count, channels, height, width]
};

static struct lorac_dataset dataset_of(const struct pixel_set *set, enum lorac_element element, size_t channels)
{
    return (struct lorac_dataset){.element = element,
                                  .count = set->count,
                                  .channels = channels,
                                  .height = set->height,
                                  .width = set->width,
                                  .pixels = element == LORAC_ELEMENT_U8 ? (const void *)set->pixels
                                                                        : (const void *)set->planes};
}

static void write_image(const struct lorac_batch_source *source, size_t index, uint64_t epoch, float *out)
{
    const struct lorac_image image = lorac_dataset_image(source->dataset, index);
    lorac_batch_image(source, &image, index, epoch, out);
}

#endif
