#include "decode.h"
#include "resample.h"

#include "proto/size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- sizes

enum lorac_status lorac_image_target_check(const struct lorac_image_target *target, struct lorac_error *error)
{
    if (target->channels != 1 && target->channels != 3)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model's input has %zu channels; JPEG and PNG files serve models of 1 (grey) or 3 "
                               "(RGB): give .npy for others",
                               target->channels);
    const size_t least = target->height > target->width ? target->height : target->width;
    if (target->height == 0 || target->width == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model's input is %zu x %zu pixels: nothing to fill",
                               target->height, target->width);
    if (target->resize != 0 && target->resize < least)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "resize %zu does not cover the model's input of %zu x %zu pixels; give %zu or more",
                               target->resize, target->height, target->width, least);
    const size_t side = target->resize > least ? target->resize : least;
    if (side > LORAC_IMAGE_MAX_BYTES || (uint64_t)side * side * target->channels > LORAC_IMAGE_MAX_BYTES)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "images of %zu x %zu pixels and %zu channels are too large: one may take %" PRIu64 " MB",
                               side, side, target->channels, LORAC_IMAGE_MAX_BYTES / 1000000);
    return LORAC_OK;
}

// a * b / c, rounded down, for sizes of pictures.
static size_t scale(size_t a, size_t b, size_t c)
{
    return (size_t)((uint64_t)a * b / c);
}

// The smallest sides of a stored image.
static size_t least_height(const struct lorac_image_target *target)
{
    return target->resize ? target->resize : target->height;
}

static size_t least_width(const struct lorac_image_target *target)
{
    return target->resize ? target->resize : target->width;
}

void lorac_image_covering_size(const struct lorac_image_target *target, size_t height, size_t width,
                               size_t *covering_height, size_t *covering_width)
{
    const size_t H = least_height(target), W = least_width(target);
    // The side that needs the larger factor gets exactly its size.
    const bool by_height = (uint64_t)H * width >= (uint64_t)W * height;
    const size_t other = by_height ? scale(width, H, height) : scale(height, W, width);
    *covering_height = by_height ? H : other > H ? other : H;
    *covering_width = by_height ? (other > W ? other : W) : W;
}

static size_t cut(size_t side, size_t least)
{
    return side / LORAC_IMAGE_MAX_STRETCH < least ? side : LORAC_IMAGE_MAX_STRETCH * least;
}

void lorac_image_stored_size(const struct lorac_image_target *target, size_t height, size_t width,
                             size_t *stored_height, size_t *stored_width)
{
    lorac_image_covering_size(target, height, width, stored_height, stored_width);
    *stored_height = cut(*stored_height, least_height(target));
    *stored_width = cut(*stored_width, least_width(target));
}

enum lorac_status lorac_decode_check_size(uint64_t height, uint64_t width, struct lorac_error *error)
{
    if (height * width <= LORAC_IMAGE_MAX_PIXELS) // neither has more than 32 bits
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "has %" PRIu64 " x %" PRIu64 " pixels; at most %" PRIu64 " are read: make it smaller", width,
                           height, LORAC_IMAGE_MAX_PIXELS);
}

enum lorac_status lorac_decode_check_bytes(uint64_t height, uint64_t width, uint64_t byte_count,
                                           struct lorac_error *error)
{
    if (byte_count <= LORAC_IMAGE_MAX_BYTES)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "has %" PRIu64 " x %" PRIu64 " pixels, which take %" PRIu64 " MB; at most %" PRIu64
                           " MB are taken: make it smaller",
                           width, height, byte_count / 1000000 + 1, LORAC_IMAGE_MAX_BYTES / 1000000);
}

// ---- the file

// What the process lacks at the moment says nothing about the file: were it IO, which pictures a run leaves out would
// depend on how many threads read at once.
static enum lorac_status cannot_open(int code, struct lorac_error *error)
{
    const bool lacking = code == EMFILE || code == ENFILE || code == ENOMEM;
    return lorac_error_set(error, lacking ? LORAC_ERROR_MEMORY : LORAC_ERROR_IO, "cannot open: %s", strerror(code));
}

// Not blocking: opening a pipe would wait for a writer.
static enum lorac_status open_file(const char *path, int *descriptor, size_t *byte_count, struct lorac_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return cannot_open(errno, error);
    struct stat about;
    enum lorac_status status = LORAC_OK;
    if (fstat(file, &about) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot look at it: %s", strerror(errno));
    else if (!S_ISREG(about.st_mode))
        status = lorac_error_set(error, LORAC_ERROR_IO, "is not a regular file");
    else if (about.st_size == 0)
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "is empty; copy it again");
    else if ((uint64_t)about.st_size > LORAC_IMAGE_MAX_BYTES)
        status = lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "has %" PRIu64 " bytes; at most %" PRIu64 " are read",
                                 (uint64_t)about.st_size, LORAC_IMAGE_MAX_BYTES);
    if (status != LORAC_OK) {
        close(file);
        return status;
    }
    *descriptor = file;
    *byte_count = (size_t)about.st_size;
    return LORAC_OK;
}

// Read, not mapped: a bad sector is an error here, and would be a signal there.
static enum lorac_status read_file(const char *path, uint8_t **bytes, size_t *byte_count, struct lorac_error *error)
{
    int file = -1;
    size_t size = 0, done = 0;
    LORAC_TRY(open_file(path, &file, &size, error));
    uint8_t *block = malloc(size);
    enum lorac_status status = LORAC_OK;
    if (!block)
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for its %zu bytes", size);
    while (status == LORAC_OK && done < size) {
        ssize_t got = read(file, block + done, size - done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            break; // cut short meanwhile: the decoders see it
        else if (errno != EINTR)
            status = lorac_error_set(error, LORAC_ERROR_IO, "cannot read: %s", strerror(errno));
    }
    close(file);
    if (status != LORAC_OK) {
        free(block);
        return status;
    }
    *bytes = block;
    *byte_count = done;
    return LORAC_OK;
}

static bool has_bytes(const struct lorac_coded_image *coded, size_t offset, const char *bytes, size_t count)
{
    return coded->count >= offset + count && memcmp(coded->bytes + offset, bytes, count) == 0;
}

static enum lorac_status refuse(const struct lorac_coded_image *coded, struct lorac_error *error)
{
    static const struct {
        size_t offset;
        const char *bytes;
        size_t count;
        const char *name;
    } known[] = {
        {0, "GIF8", 4, "GIF"},         {8, "WEBP", 4, "WebP"},      {0, "BM", 2, "BMP"},
        {0, "II*\0", 4, "TIFF"},       {0, "MM\0*", 4, "TIFF"},     {4, "ftyp", 4, "HEIF or AVIF (or a video)"},
        {0, "\xff\x0a", 2, "JPEG XL"}, {4, "jP  ", 4, "JPEG 2000"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (has_bytes(coded, known[i].offset, known[i].bytes, known[i].count))
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "is %s by its first bytes; JPEG and PNG are read: convert it", known[i].name);
    uint8_t first[4] = {0};
    memcpy(first, coded->bytes, coded->count < sizeof first ? coded->count : sizeof first);
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "is neither JPEG nor PNG: it starts with the bytes %02x %02x %02x %02x", first[0], first[1],
                           first[2], first[3]);
}

// ---- from the file's pixels to those that are stored

static enum lorac_status check_ratio(const struct lorac_decoded_image *image, struct lorac_error *error)
{
    const size_t most = image->height > image->width ? image->height : image->width;
    const size_t least = image->height > image->width ? image->width : image->height;
    if (most / least < LORAC_IMAGE_MAX_RATIO)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "has %zu x %zu pixels: one side is %d times the other or more; cut it", image->width,
                           image->height, LORAC_IMAGE_MAX_RATIO);
}

// The middle of a side of the decoded picture, [size] long, of which [kept] pixels of [all] are stored: the pixels that
// they would be if all were. What keeps its size is copied.
static void find_middle(double size, size_t all, size_t kept, double *begin, double *length)
{
    *length = kept == all ? size : size * (double)kept / (double)all;
    *begin = fmin(size * (double)((all - kept) / 2) / (double)all, size - *length);
}

static enum lorac_status resample(struct lorac_decoded_image *image, size_t channels, const struct lorac_box *box,
                                  size_t height, size_t width, struct lorac_error *error)
{
    uint8_t *pixels = NULL;
    size_t byte_count;
    if (lorac_size_multiply(height, width, &byte_count) && lorac_size_multiply(byte_count, channels, &byte_count)) {
        LORAC_TRY(lorac_decode_check_bytes(height, width, byte_count, error));
        pixels = malloc(byte_count);
    }
    if (!pixels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu x %zu pixels", width, height);
    enum lorac_status status =
        lorac_resample(image->pixels, image->height, image->width, channels, box, pixels, height, width, error);
    free(status == LORAC_OK ? image->pixels : pixels);
    if (status != LORAC_OK)
        return status;
    image->pixels = pixels;
    image->height = height;
    image->width = width;
    return LORAC_OK;
}

// Before turning: fewer pixels to turn, and the rule is the same along both axes.
static enum lorac_status resize(struct lorac_decoded_image *image, const struct lorac_image_target *target,
                                struct lorac_error *error)
{
    const bool swap = lorac_exif_swaps(image->orientation);
    const size_t height = swap ? image->full_width : image->full_height;
    const size_t width = swap ? image->full_height : image->full_width;
    size_t all_height, all_width, kept_height, kept_width; // upright
    lorac_image_covering_size(target, height, width, &all_height, &all_width);
    lorac_image_stored_size(target, height, width, &kept_height, &kept_width);
    const size_t all_H = swap ? all_width : all_height, all_W = swap ? all_height : all_width;
    const size_t H = swap ? kept_width : kept_height, W = swap ? kept_height : kept_width;
    if (H == image->height && W == image->width)
        return LORAC_OK;
    if (all_H != image->height || all_W != image->width)
        LORAC_TRY(check_ratio(image, error));
    struct lorac_box box;
    // A shrunk picture's last row and column may stand for less than the others.
    find_middle((double)image->full_height / image->shrink, all_H, H, &box.top, &box.height);
    find_middle((double)image->full_width / image->shrink, all_W, W, &box.left, &box.width);
    return resample(image, target->channels, &box, H, W, error);
}

static enum lorac_status turn(struct lorac_decoded_image *image, size_t channels, struct lorac_error *error)
{
    if (image->orientation == 1)
        return LORAC_OK;
    uint8_t *pixels = malloc(image->height * image->width * channels); // as many as there are already
    if (!pixels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory turning %zu x %zu pixels", image->width,
                               image->height);
    lorac_exif_turn(image->orientation, image->pixels, image->height, image->width, channels, pixels);
    free(image->pixels);
    image->pixels = pixels;
    if (lorac_exif_swaps(image->orientation)) {
        const size_t kept = image->height;
        image->height = image->width;
        image->width = kept;
    }
    return LORAC_OK;
}

static enum lorac_status make_stored(const struct lorac_coded_image *coded, const struct lorac_image_target *target,
                                     struct lorac_decoded_image *image, struct lorac_error *error)
{
    if (has_bytes(coded, 0, "\xff\xd8\xff", 3))
        LORAC_TRY(lorac_jpeg_decode(coded, target, image, error));
    else if (has_bytes(coded, 0, "\x89PNG\r\n\x1a\n", 8))
        LORAC_TRY(lorac_png_decode(coded, target, image, error));
    else
        return refuse(coded, error);
    LORAC_TRY(resize(image, target, error));
    return turn(image, target->channels, error);
}

enum lorac_status lorac_image_file_read(const char *path, const struct lorac_image_target *target,
                                        struct lorac_stored_image *out, struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    struct lorac_decoded_image image = {0};
    enum lorac_status status = lorac_image_target_check(target, error);
    if (status == LORAC_OK)
        status = read_file(path, &bytes, &byte_count, error);
    if (status == LORAC_OK)
        status = make_stored(&(struct lorac_coded_image){bytes, byte_count}, target, &image, error);
    free(bytes);
    if (status != LORAC_OK) {
        free(image.pixels);
        return lorac_error_prefix(error, status, "'%s': ", path);
    }
    *out = (struct lorac_stored_image){image.pixels, image.height, image.width};
    return LORAC_OK;
}
