// The one field of EXIF that changes what is seen.
#include "decode.h"

#include <string.h>

enum {
    TIFF_HEADER_BYTES = 8,
    ENTRY_BYTES = 12,
    TAG_ORIENTATION = 0x0112,
    TYPE_SHORT = 3,
};

struct tiff {
    const uint8_t *bytes;
    size_t byte_count;
    bool big_endian;
};

static uint32_t number_at(const struct tiff *tiff, size_t offset, size_t width)
{
    uint32_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | tiff->bytes[offset + (tiff->big_endian ? i : width - 1 - i)];
    return value;
}

// Entries of the first directory: tag, type, count, value (in its first bytes where it is short).
static unsigned find_orientation(const struct tiff *tiff)
{
    const size_t directory = number_at(tiff, 4, 4);
    if (directory > tiff->byte_count || tiff->byte_count - directory < 2)
        return 1;
    size_t left = number_at(tiff, directory, 2);
    for (size_t at = directory + 2; left > 0 && tiff->byte_count - at >= ENTRY_BYTES; left--, at += ENTRY_BYTES) {
        if (number_at(tiff, at, 2) != TAG_ORIENTATION)
            continue;
        unsigned value = (unsigned)number_at(tiff, at + 8, 2);
        bool sound = number_at(tiff, at + 2, 2) == TYPE_SHORT && number_at(tiff, at + 4, 4) == 1;
        return sound && value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

unsigned lorac_exif_orientation(const uint8_t *bytes, size_t byte_count)
{
    if (byte_count < TIFF_HEADER_BYTES)
        return 1;
    const bool little = memcmp(bytes, "II*\0", 4) == 0, big = memcmp(bytes, "MM\0*", 4) == 0;
    return little || big ? find_orientation(&(struct tiff){bytes, byte_count, big}) : 1;
}

// Where the picture's first row and first column are to be seen, as EXIF says it:
//   1 top left    2 top right    3 bottom right   4 bottom left
//   5 left top    6 right top    7 right bottom   8 left bottom
void lorac_exif_turn(unsigned orientation, const uint8_t *src, size_t height, size_t width, size_t channels,
                     uint8_t *dst)
{
    static const struct {
        bool up, left; // rows (columns) of the upright picture are read from the other end
    } read[9] = {{0}, {0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 0}, {1, 0}, {1, 1}, {0, 1}};
    const bool swap = lorac_exif_swaps(orientation);
    const bool up = read[orientation].up, left = read[orientation].left;
    const size_t H = swap ? width : height, W = swap ? height : width;
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++, dst += channels) {
            size_t row = swap ? x : y, column = swap ? y : x;
            row = up ? height - 1 - row : row;
            column = left ? width - 1 - column : column;
            memcpy(dst, src + (row * width + column) * channels, channels);
        }
}
