// What the decoders of pictures share. Private to runtime/data.
#ifndef LORAC_DECODE_H
#define LORAC_DECODE_H

#include "image_file.h"

#include <stdbool.h>

struct lorac_coded_image {
    const uint8_t *bytes; // the whole file
    size_t count;
};

struct lorac_decoded_image {
    uint8_t *pixels;                // [height, width, channels of the target], malloc'ed
    size_t height, width;           // of pixels: full_height / shrink and full_width / shrink, rounded up
    size_t full_height, full_width; // of the picture
    unsigned shrink;                // 1: not at all
    unsigned orientation;           // EXIF's 1 .. 8: how to turn it
};

// The whole picture, in the target's channels, not yet turned. JPEG may give it smaller, though never less than twice
// what the target needs. Errors: FORMAT, UNSUPPORTED, MEMORY; messages do not name the file.
enum lorac_status lorac_jpeg_decode(const struct lorac_coded_image *coded, const struct lorac_image_target *target,
                                    struct lorac_decoded_image *out, struct lorac_error *error);
enum lorac_status lorac_png_decode(const struct lorac_coded_image *coded, const struct lorac_image_target *target,
                                   struct lorac_decoded_image *out, struct lorac_error *error);

// UNSUPPORTED where a header declares more than LORAC_IMAGE_MAX_PIXELS.
enum lorac_status lorac_decode_check_size(uint64_t height, uint64_t width, struct lorac_error *error);
// UNSUPPORTED where such a picture would take more than LORAC_IMAGE_MAX_BYTES.
enum lorac_status lorac_decode_check_bytes(uint64_t height, uint64_t width, uint64_t byte_count,
                                           struct lorac_error *error);

// The size that a whole upright picture is resized to: lorac_image_stored_size before its long side is cut.
void lorac_image_covering_size(const struct lorac_image_target *target, size_t height, size_t width,
                               size_t *covering_height, size_t *covering_width);

// ---- EXIF (runtime/data/exif.c)

// The orientation in a TIFF block as EXIF has it, 1 .. 8; 1 where there is none or the block is damaged.
unsigned lorac_exif_orientation(const uint8_t *tiff, size_t byte_count);

// Orientations 5 .. 8 exchange height and width.
static inline bool lorac_exif_swaps(unsigned orientation)
{
    return orientation >= 5;
}

// Turns src u8 [height, width, channels] upright into dst, whose sides are exchanged for 5 .. 8.
void lorac_exif_turn(unsigned orientation, const uint8_t *src, size_t height, size_t width, size_t channels,
                     uint8_t *dst);

#endif
