// One JPEG or PNG file becomes the pixels that are stored for it: decoded, turned upright, in the model's channels, and
// as small as serves. docs/images.md has the rules for users.
//
//   file -> decode -> turned as EXIF says -> channels -> resized -> u8 [height, width, channels]
//
// Recognised by the first bytes, whatever the name. Channels: grey is repeated for RGB; RGB becomes grey by ITU-R 601
// (0.299 R + 0.587 G + 0.114 B; of a JPEG its own luma); alpha is dropped, without blending; of 16 bits the upper 8
// stay; palettes are looked up. Colour profiles and gamma are not applied, as in Pillow.
//
// Nothing here depends on anything but the file and the target; any number of threads may read at once.
#ifndef LORAC_IMAGE_FILE_H
#define LORAC_IMAGE_FILE_H

#include "proto/lorac_status.h"

#include <stddef.h>
#include <stdint.h>

// Larger pictures are refused by their headers, before any memory is taken: 11585 x 11585. A JPEG of that size can be
// read because its decoder makes it smaller.
#define LORAC_IMAGE_MAX_PIXELS ((uint64_t)1 << 27)
// Larger files are not read; and of one picture neither the pixels that are decoded, nor what libjpeg keeps beside them
// (of progressive files all coefficients), nor what is stored may take more.
#define LORAC_IMAGE_MAX_BYTES ((uint64_t)100000000)
// A picture so much longer than wide is refused where it would be resized: covering the model it would be very large.
enum { LORAC_IMAGE_MAX_RATIO = 100 };
// Of a long picture only the middle is stored, so many times as long as the shortest that serves.
enum { LORAC_IMAGE_MAX_STRETCH = 8 };

// What the model takes.
struct lorac_image_target {
    size_t channels; // 1 or 3
    size_t height, width;
    size_t resize; // the short side of stored images, at least the larger of height and width; 0: just cover both
};

struct lorac_stored_image {
    uint8_t *pixels;      // [height, width, channels of the target], malloc'ed
    size_t height, width; // at least the target's
};

// Errors: ARGUMENT (channels other than 1 and 3, a size of 0, a resize that does not cover the model's input or makes
// images of more than LORAC_IMAGE_MAX_BYTES).
enum lorac_status lorac_image_target_check(const struct lorac_image_target *target, struct lorac_error *error);

// The size of the stored image for an upright picture: its own where that is what the target asks for; else the short
// side becomes resize and the long side resize * long / short, rounded down (torchvision's Resize), and with resize 0
// that same rule makes one side the model's and the other at least as long. Pictures that are smaller grow. No side is
// more than LORAC_IMAGE_MAX_STRETCH times resize, or the model's: what is longer loses both ends.
void lorac_image_stored_size(const struct lorac_image_target *target, size_t height, size_t width,
                             size_t *stored_height, size_t *stored_width);

// Reads one file for a target that was checked. Errors: IO (missing, unreadable, no regular file), FORMAT (damaged or
// truncated, neither JPEG nor PNG), UNSUPPORTED (CMYK, other picture formats, beyond the limits above), MEMORY (or no
// file can be opened any more). The message starts with the path. A JPEG that ends early is refused, not filled with grey.
enum lorac_status lorac_image_file_read(const char *path, const struct lorac_image_target *target,
                                        struct lorac_stored_image *out, struct lorac_error *error);

#endif
