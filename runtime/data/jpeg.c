// JPEG by libjpeg-turbo: whatever it warns about that shows in the picture is an error here.
#include "decode.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum {
    EXIF_MARKER = JPEG_APP0 + 1,
    EXIF_NAME_BYTES = 6, // "Exif", 0, 0
    MOST_SCANS = 100,    // of a progressive file; usual are ten
    MOST_SHRINK = 8,     // what the decoder can do by itself
    // Each block of 8 x 8 takes a bit at least: a file cannot hold more pixels to a byte. What claims to would have
    // memory taken for its coefficients.
    MOST_PIXELS_PER_BYTE = 512,
};

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    enum lorac_status status; // why it was left
    char reason[JMSG_LENGTH_MAX];
    uint8_t *pixels;
    uint8_t *row;
};

static void leave(j_common_ptr common, enum lorac_status status)
{
    struct reader *reader = common->client_data;
    reader->status = status;
    common->err->format_message(common, reader->reason);
    longjmp(reader->leave, 1);
}

static void leave_for_memory(j_common_ptr common)
{
    struct reader *reader = common->client_data;
    reader->status = LORAC_ERROR_UNSUPPORTED;
    snprintf(reader->reason, sizeof reader->reason,
             "progressive, and its %u x %u pixels take more than %" PRIu64 " MB: make it smaller, or baseline",
             reader->info.image_width, reader->info.image_height, LORAC_IMAGE_MAX_BYTES / 1000000);
    longjmp(reader->leave, 1);
}

static void on_error(j_common_ptr common)
{
    switch (common->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        leave(common, LORAC_ERROR_MEMORY);
        break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        leave(common, LORAC_ERROR_UNSUPPORTED);
        break;
    case JERR_NO_BACKING_STORE: // that is what reaching max_memory_to_use is called
        leave_for_memory(common);
        break;
    default:
        leave(common, LORAC_ERROR_FORMAT);
    }
}

// Level -1 is a warning; those listed leave a hole in the picture.
static void on_message(j_common_ptr common, int level)
{
    if (level >= 0)
        return;
    switch (common->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        leave(common, LORAC_ERROR_FORMAT);
        break;
    default:
        break;
    }
}

static void on_output(j_common_ptr common)
{
    (void)common;
}

// A small file can ask for scan after scan over a large picture.
static void on_progress(j_common_ptr common)
{
    struct reader *reader = common->client_data;
    if (reader->info.input_scan_number <= MOST_SCANS)
        return;
    reader->status = LORAC_ERROR_UNSUPPORTED;
    snprintf(reader->reason, sizeof reader->reason, "more than %d scans", MOST_SCANS);
    longjmp(reader->leave, 1);
}

static unsigned orientation_of(const struct jpeg_decompress_struct *info)
{
    for (const struct jpeg_marker_struct *marker = info->marker_list; marker; marker = marker->next)
        if (marker->marker == EXIF_MARKER && marker->data_length >= EXIF_NAME_BYTES &&
            memcmp(marker->data, "Exif\0", EXIF_NAME_BYTES) == 0)
            return lorac_exif_orientation(marker->data + EXIF_NAME_BYTES, marker->data_length - EXIF_NAME_BYTES);
    return 1;
}

static enum lorac_status check_header(const struct jpeg_decompress_struct *info, size_t byte_count,
                                      struct lorac_error *error)
{
    LORAC_TRY(lorac_decode_check_size(info->image_height, info->image_width, error));
    const uint64_t pixels = (uint64_t)info->image_height * info->image_width;
    if (!info->arith_code && pixels / MOST_PIXELS_PER_BYTE > byte_count)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "is truncated: %zu bytes cannot hold a JPEG of %u x %u; copy it again", byte_count,
                               info->image_width, info->image_height);
    switch (info->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
        return LORAC_OK;
    case JCS_CMYK:
    case JCS_YCCK:
        return lorac_error_set(
            error, LORAC_ERROR_UNSUPPORTED,
            "is a CMYK JPEG, for printing, and its colours depend on the ink: convert it to RGB with "
            "its profile (magick FILE -colorspace sRGB NEW)");
    default:
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "is a JPEG of %d components in an unknown colour space: convert it to RGB",
                               info->num_components);
    }
}

// The decoder shrinks by averaging frequencies, far faster than decoding all and resizing. It goes only so far that
// twice the needed size is left for the antialiased resize, which then decides what the picture looks like.
static unsigned find_shrink(const struct jpeg_decompress_struct *info, const struct lorac_image_target *target,
                            unsigned orientation)
{
    const bool swap = lorac_exif_swaps(orientation);
    const size_t height = swap ? info->image_width : info->image_height;
    const size_t width = swap ? info->image_height : info->image_width;
    size_t wanted_height, wanted_width;
    lorac_image_covering_size(target, height, width, &wanted_height, &wanted_width);
    unsigned shrink = MOST_SHRINK;
    while (shrink > 1 && (height / shrink < 2 * wanted_height || width / shrink < 2 * wanted_width))
        shrink /= 2;
    return shrink;
}

static enum lorac_status read_pixels(struct reader *reader, const struct lorac_coded_image *coded,
                                     const struct lorac_image_target *target, struct lorac_decoded_image *out,
                                     struct lorac_error *error)
{
    struct jpeg_decompress_struct *info = &reader->info;
    if (setjmp(reader->leave)) {
        if (reader->status == LORAC_ERROR_MEMORY)
            return lorac_error_set(error, reader->status, "out of memory decoding it");
        return lorac_error_set(error, reader->status, "is a%s JPEG: %s",
                               reader->status == LORAC_ERROR_FORMAT ? " damaged" : "n unsupported", reader->reason);
    }
    jpeg_create_decompress(info);
    info->mem->max_memory_to_use = (long)LORAC_IMAGE_MAX_BYTES;
    reader->progress.progress_monitor = on_progress;
    info->progress = &reader->progress;
    jpeg_mem_src(info, coded->bytes, coded->count);
    jpeg_save_markers(info, EXIF_MARKER, 0xffff);
    (void)jpeg_read_header(info, TRUE);
    LORAC_TRY(check_header(info, coded->count, error));
    const unsigned orientation = orientation_of(info);
    info->scale_num = 1;
    info->scale_denom = find_shrink(info, target, orientation);
    info->out_color_space = target->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_calc_output_dimensions(info);
    const size_t row_bytes = (size_t)info->output_width * target->channels; // no overflow: the size was checked
    LORAC_TRY(lorac_decode_check_bytes(info->output_height, info->output_width,
                                       (uint64_t)row_bytes * info->output_height, error));
    (void)jpeg_start_decompress(info);
    reader->pixels = malloc(row_bytes * info->output_height);
    if (!reader->pixels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for its %u x %u pixels", info->output_width,
                               info->output_height);
    while (info->output_scanline < info->output_height) {
        reader->row = reader->pixels + info->output_scanline * row_bytes;
        (void)jpeg_read_scanlines(info, &reader->row, 1);
    }
    *out = (struct lorac_decoded_image){.pixels = reader->pixels,
                                        .height = info->output_height,
                                        .width = info->output_width,
                                        .full_height = info->image_height,
                                        .full_width = info->image_width,
                                        .shrink = info->scale_denom,
                                        .orientation = orientation};
    return LORAC_OK;
}

enum lorac_status lorac_jpeg_decode(const struct lorac_coded_image *coded, const struct lorac_image_target *target,
                                    struct lorac_decoded_image *out, struct lorac_error *error)
{
    struct reader reader = {.status = LORAC_OK};
    reader.info.err = jpeg_std_error(&reader.errors);
    reader.info.client_data = &reader; // create leaves both
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.errors.output_message = on_output;
    enum lorac_status status = read_pixels(&reader, coded, target, out, error);
    jpeg_destroy_decompress(&reader.info);
    if (status != LORAC_OK)
        free(reader.pixels);
    return status;
}
