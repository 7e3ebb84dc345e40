// Which pixels a tile of Winograd's has (winograd.h).
#ifndef LORAC_WINOGRAD_TILE_H
#define LORAC_WINOGRAD_TILE_H

#include <stddef.h>

// An image of [H, W] pixels of C channels.
struct lorac_winograd_image {
    const float *pixels;
    size_t H, W, C;
    const float *zeros; // C of them, in whole vectors
};

// The [edge] x [edge] pixels from (row, column) on, row by row; zeros outside. Below 0 wraps: not inside either.
static inline void lorac_winograd_pixels(const struct lorac_winograd_image *image, size_t edge, size_t row,
                                         size_t column, const float **pixel)
{
    for (size_t i = 0; i < edge; i++)
        for (size_t j = 0; j < edge; j++) {
            size_t h = row + i, w = column + j;
            pixel[i * edge + j] =
                h < image->H && w < image->W ? image->pixels + (h * image->W + w) * image->C : image->zeros;
        }
}

#endif
