// Pictures for the tests of runtime/data, written with the libraries' own writers.
#ifndef LORAC_TEST_IMAGE_FIXTURE_H
#define LORAC_TEST_IMAGE_FIXTURE_H

#include "data_files.h"

#include <jpeglib.h>
#include <png.h>

struct png_kind {
    int colour_type, depth;
    int interlaced, transparent; // transparent: a tRNS chunk
    unsigned orientation;        // 0: no eXIf
};

// A TIFF block with an orientation among other entries.
__attribute__((unused)) static void put_exif(struct bytes *to, bool big_endian, unsigned orientation)
{
    put(to, big_endian ? "MM" : "II", 2);
    put_number(to, 42, 2, big_endian);
    put_number(to, 8, 4, big_endian);
    put_number(to, 2, 2, big_endian);
    put_number(to, 0x0110, 2, big_endian); // another entry before it
    put_number(to, 2, 2, big_endian);
    put_number(to, 4, 4, big_endian);
    put(to, "cam", 4);
    put_number(to, 0x0112, 2, big_endian);
    put_number(to, 3, 2, big_endian);
    put_number(to, 1, 4, big_endian);
    put_number(to, orientation, 2, big_endian);
    put_number(to, 0, 2, big_endian);
    put_number(to, 0, 4, big_endian);
}

// Packed rows as PNG has them (16 bits big-endian), [row_bytes] each.
__attribute__((unused)) static void write_png(const char *path, const struct png_kind *kind, size_t height,
                                              size_t width, const uint8_t *rows, size_t row_bytes)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    REQUIRE(file != NULL && info != NULL);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, kind->depth, kind->colour_type,
                 kind->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_color palette[256];
    png_byte alpha[4] = {0, 100, 255, 3};
    const png_color_16 key = {0, 1, 1, 1, 1};
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)(i * 7), (png_byte)(255 - i), (png_byte)(i ^ 0x5a)};
    if (kind->colour_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << kind->depth);
    if (kind->transparent)
        png_set_tRNS(png, info, alpha, kind->colour_type == PNG_COLOR_TYPE_PALETTE ? 2 : 0, &key);
    static struct bytes exif;
    exif.count = 0;
    if (kind->orientation) {
        put_exif(&exif, true, kind->orientation);
        png_set_eXIf_1(png, info, (png_uint_32)exif.count, exif.at);
    }
    png_write_info(png, info);
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++)
            png_write_row(png, rows + y * row_bytes);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    REQUIRE(fclose(file) == 0);
}

struct jpeg_kind {
    J_COLOR_SPACE in, stored; // what [pixels] are, and what the file has
    int quality;
    bool progressive;
    bool exif_big_endian;
    unsigned orientation; // 0: no EXIF
};

__attribute__((unused)) static void write_jpeg(const char *path, const struct jpeg_kind *kind, size_t height,
                                               size_t width, size_t components, const uint8_t *pixels)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, file);
    info.image_height = (JDIMENSION)height;
    info.image_width = (JDIMENSION)width;
    info.input_components = (int)components;
    info.in_color_space = kind->in;
    jpeg_set_defaults(&info);
    jpeg_set_colorspace(&info, kind->stored);
    jpeg_set_quality(&info, kind->quality, TRUE);
    if (kind->progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    static struct bytes exif;
    exif.count = 0;
    if (kind->orientation) {
        put(&exif, "Exif\0", 6);
        put_exif(&exif, kind->exif_big_endian, kind->orientation);
        jpeg_write_marker(&info, JPEG_APP0 + 1, exif.at, (unsigned)exif.count);
    }
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + info.next_scanline * width * components);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    REQUIRE(fclose(file) == 0);
}

#endif
