// PNG by libpng, checksums compared.
#include "decode.h"

#include "proto/size.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { REASON_BYTES = 160 };

struct reader {
    png_structp png;
    png_infop info;
    const struct lorac_coded_image *coded;
    size_t offset;
    char reason[REASON_BYTES];
    uint8_t *pixels;
    size_t row_bytes, channels; // as libpng gives rows
    png_uint_32 height, width;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    snprintf(reader->reason, sizeof reader->reason, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t byte_count)
{
    struct reader *reader = png_get_io_ptr(png);
    if (byte_count > reader->coded->count - reader->offset)
        png_error(png, "the file ends too early");
    memcpy(out, reader->coded->bytes + reader->offset, byte_count);
    reader->offset += byte_count;
}

// Texts and profiles are never unpacked.
static void ignore_chunks(png_structp png)
{
#ifdef PNG_HANDLE_AS_UNKNOWN_SUPPORTED
    static const png_byte ignored[] = "iCCP\0tEXt\0zTXt\0iTXt\0sPLT\0hIST";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, ignored, sizeof ignored / 5);
#else
    (void)png;
#endif
}

// Everything becomes 8 bits a channel, grey or RGB, without alpha.
static void ask_for_bytes(struct reader *reader, size_t channels)
{
    const int type = png_get_color_type(reader->png, reader->info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(reader->png);
    else if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(reader->png, reader->info) < 8)
        png_set_expand_gray_1_2_4_to_8(reader->png);
    if (png_get_bit_depth(reader->png, reader->info) == 16)
        png_set_strip_16(reader->png);
    png_set_strip_alpha(reader->png);
    if (channels == 3 && !(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(reader->png);
    (void)png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    reader->row_bytes = png_get_rowbytes(reader->png, reader->info);
    reader->channels = png_get_channels(reader->png, reader->info);
}

// ITU-R 601 in 16 bits, as Pillow rounds it. In place.
static void make_grey(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *rgb = pixels + 3 * i;
        pixels[i] = (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
    }
}

static unsigned orientation_of(const struct reader *reader)
{
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 byte_count;
    png_bytep bytes;
    if (png_get_eXIf_1(reader->png, reader->info, &byte_count, &bytes) & PNG_INFO_eXIf)
        return lorac_exif_orientation(bytes, byte_count);
#else
    (void)reader;
#endif
    return 1;
}

static enum lorac_status read_pixels(struct reader *reader, const struct lorac_image_target *target,
                                     struct lorac_error *error)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is a damaged PNG: %s", reader->reason);
    // Our limit speaks, with its numbers, before libpng's own.
    png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    ignore_chunks(reader->png);
    png_set_read_fn(reader->png, reader, on_read);
    png_read_info(reader->png, reader->info);
    reader->height = png_get_image_height(reader->png, reader->info);
    reader->width = png_get_image_width(reader->png, reader->info);
    LORAC_TRY(lorac_decode_check_size(reader->height, reader->width, error));
    // libpng has several rows of its own; it is wide pictures of few rows where they count.
    LORAC_TRY(lorac_decode_check_bytes(reader->height, reader->width,
                                       8 * (uint64_t)png_get_rowbytes(reader->png, reader->info), error));
    ask_for_bytes(reader, target->channels);
    LORAC_TRY(lorac_decode_check_bytes(reader->height, reader->width, (uint64_t)reader->row_bytes * reader->height,
                                       error));
    size_t byte_count;
    if (reader->row_bytes != reader->channels * reader->width ||
        (reader->channels != target->channels && reader->channels != 3))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "is a PNG of colour type %d, which is not known",
                               png_get_color_type(reader->png, reader->info));
    if (lorac_size_multiply(reader->row_bytes, reader->height, &byte_count))
        reader->pixels = malloc(byte_count);
    if (!reader->pixels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for its %" PRIu32 " x %" PRIu32 " pixels",
                               (uint32_t)reader->width, (uint32_t)reader->height);
    const int passes =
        png_get_interlace_type(reader->png, reader->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < reader->height; y++)
            png_read_row(reader->png, reader->pixels + y * reader->row_bytes, NULL);
    png_read_end(reader->png, reader->info); // an orientation may stand behind the pixels
    return LORAC_OK;
}

enum lorac_status lorac_png_decode(const struct lorac_coded_image *coded, const struct lorac_image_target *target,
                                   struct lorac_decoded_image *out, struct lorac_error *error)
{
    struct reader reader = {.coded = coded};
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
    reader.info = reader.png ? png_create_info_struct(reader.png) : NULL;
    enum lorac_status status = LORAC_ERROR_MEMORY;
    if (reader.info)
        status = read_pixels(&reader, target, error);
    else
        (void)lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory decoding it");
    if (status == LORAC_OK) {
        if (reader.channels != target->channels)
            make_grey(reader.pixels, (size_t)reader.height * reader.width);
        *out = (struct lorac_decoded_image){.pixels = reader.pixels,
                                            .height = reader.height,
                                            .width = reader.width,
                                            .full_height = reader.height,
                                            .full_width = reader.width,
                                            .shrink = 1,
                                            .orientation = orientation_of(&reader)};
    } else {
        free(reader.pixels);
    }
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    return status;
}
