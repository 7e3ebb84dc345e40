// JPEG and PNG files of every kind become the right pixels; damaged and hostile ones are refused by name.
#include "image_fixture.h"

#include "proto/rng.h"
#include "runtime/data/decode.h"
#include "runtime/data/resample.h"

#include <sys/resource.h>
#include <sys/stat.h>

static const char path[] = "test_image_file.bin";
static struct bytes bytes, whole;
static uint8_t pixels[1 << 18];

static enum lorac_status read_as(size_t channels, size_t height, size_t width, struct lorac_stored_image *image,
                                 struct lorac_error *error)
{
    const struct lorac_image_target target = {channels, height, width, 0};
    *image = (struct lorac_stored_image){0};
    return lorac_image_file_read(path, &target, image, error);
}

static void check_refused(const char *what, enum lorac_status status, const char *fragment)
{
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    enum lorac_status got = read_as(3, 4, 4, &image, &error);
    CHECKF(got == status && !image.pixels, "%s: status %d, %s", what, got, error.message);
    CHECKF(strstr(error.message, fragment) && strstr(error.message, path) == error.message + 1, "%s: %s", what,
           error.message);
}

// ---- PNG

// The sample of channel c at (y, x), of [depth] bits.
static unsigned sample_at(size_t y, size_t x, size_t c, int depth)
{
    return (unsigned)((y * 40503u + x * 9973u + c * 24571u + 1u) * 2654435761u >> 7) & ((1u << depth) - 1u);
}

static void put_sample(uint8_t *row, size_t at, int depth, unsigned sample)
{
    if (depth == 16) {
        row[2 * at] = (uint8_t)(sample >> 8);
        row[2 * at + 1] = (uint8_t)sample;
    } else if (depth == 8) {
        row[at] = (uint8_t)sample;
    } else {
        row[at * (size_t)depth / 8] |= (uint8_t)(sample << (8 - (size_t)depth - at * (size_t)depth % 8));
    }
}

static void expect_rgb(const struct png_kind *kind, size_t y, size_t x, unsigned rgb[3])
{
    const bool colour = kind->colour_type & PNG_COLOR_MASK_COLOR, palette = kind->colour_type & PNG_COLOR_MASK_PALETTE;
    for (size_t c = 0; c < 3; c++) {
        unsigned sample = sample_at(y, x, colour && !palette ? c : 0, kind->depth);
        if (palette) // as in write_png
            rgb[c] = (c == 0 ? sample * 7 : c == 1 ? 255 - sample : sample ^ 0x5a) & 255;
        else
            rgb[c] = kind->depth == 16 ? sample >> 8 : sample * 255 / ((1u << kind->depth) - 1);
    }
}

static void check_png(const struct png_kind *kind, size_t channels)
{
    enum { H = 11, W = 13 };
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    if (!CHECK_OK(read_as(channels, H, W, &image, &error), error))
        return;
    CHECK(image.height == H && image.width == W);
    size_t wrong = 0;
    for (size_t i = 0; i < H * W; i++) {
        unsigned rgb[3];
        expect_rgb(kind, i / W, i % W, rgb);
        const double grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        if (channels == 1)
            wrong += fabs(image.pixels[i] - grey) > 0.51;
        for (size_t c = 0; channels == 3 && c < 3; c++)
            wrong += image.pixels[3 * i + c] != rgb[c];
    }
    CHECKF(wrong == 0, "PNG of type %d, depth %d, interlaced %d, tRNS %d as %zu channels: %zu values are wrong",
           kind->colour_type, kind->depth, kind->interlaced, kind->transparent, channels, wrong);
    free(image.pixels);
}

static void make_png(const struct png_kind *kind, size_t height, size_t width)
{
    const size_t channels = kind->colour_type == PNG_COLOR_TYPE_GRAY_ALPHA  ? 2
                            : kind->colour_type == PNG_COLOR_TYPE_RGB       ? 3
                            : kind->colour_type == PNG_COLOR_TYPE_RGB_ALPHA ? 4
                                                                            : 1;
    const size_t row_bytes = (width * channels * (size_t)kind->depth + 7) / 8;
    REQUIRE(row_bytes * height <= sizeof pixels);
    memset(pixels, 0, row_bytes * height);
    for (size_t y = 0; y < height; y++)
        for (size_t i = 0; i < width * channels; i++)
            put_sample(pixels + y * row_bytes, i, kind->depth, sample_at(y, i / channels, i % channels, kind->depth));
    write_png(path, kind, height, width, pixels, row_bytes);
}

static void test_png_kinds(void)
{
    static const struct {
        int type, depths;  // one bit for each depth
        bool transparency; // is there a tRNS?
    } kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1 | 2 | 4 | 8 | 16, true}, {PNG_COLOR_TYPE_GRAY_ALPHA, 8 | 16, false},
        {PNG_COLOR_TYPE_PALETTE, 1 | 2 | 4 | 8, true},   {PNG_COLOR_TYPE_RGB, 8 | 16, true},
        {PNG_COLOR_TYPE_RGB_ALPHA, 8 | 16, false},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int depth = 1; depth <= 16; depth *= 2)
            for (int variant = 0; (kinds[k].depths & depth) && variant < (kinds[k].transparency ? 4 : 2); variant++) {
                const struct png_kind kind = {kinds[k].type, depth, variant & 1, variant >> 1, 0};
                make_png(&kind, 11, 13);
                check_png(&kind, 3);
                check_png(&kind, 1);
            }
}

// ---- JPEG

// Smooth, so that compression changes little.
static void fill_smooth(size_t height, size_t width, size_t channels)
{
    REQUIRE(height * width * channels <= sizeof pixels);
    for (size_t i = 0; i < height * width * channels; i++) {
        const double y = (double)(i / channels / width) / (double)height,
                     x = (double)(i / channels % width) / (double)width;
        const double c = (double)(i % channels);
        pixels[i] = (uint8_t)(128.0 + 70.0 * sin(2.0 * y + c) + 50.0 * cos(3.0 * x - c));
    }
}

static const struct jpeg_row {
    const char *name;
    size_t components;
    struct jpeg_kind kind;
} jpeg_rows[] = {
    {"grey", 1, {JCS_GRAYSCALE, JCS_GRAYSCALE, 98, false, false, 0}},
    {"YCbCr", 3, {JCS_RGB, JCS_YCbCr, 98, false, false, 0}},
    {"RGB", 3, {JCS_RGB, JCS_RGB, 98, false, false, 0}},
    {"progressive", 3, {JCS_RGB, JCS_YCbCr, 98, true, false, 0}},
    {"progressive grey", 1, {JCS_GRAYSCALE, JCS_GRAYSCALE, 98, true, false, 0}},
};

static void test_jpeg_kinds(void)
{
    enum { H = 37, W = 50 };
    for (size_t r = 0; r < sizeof jpeg_rows / sizeof jpeg_rows[0]; r++)
        for (size_t channels = 1; channels <= 3; channels += 2) {
            const size_t components = jpeg_rows[r].components;
            fill_smooth(H, W, components);
            write_jpeg(path, &jpeg_rows[r].kind, H, W, components, pixels);
            struct lorac_stored_image image;
            struct lorac_error error = {0};
            if (!CHECK_OK(read_as(channels, H, W, &image, &error), error))
                continue;
            double largest = 0.0;
            for (size_t i = 0; i < H * W * channels; i++) {
                const uint8_t *from = pixels + i / channels * components;
                double expected = components == 1 ? from[0] : from[i % channels];
                if (channels == 1 && components == 3)
                    expected = 0.299 * from[0] + 0.587 * from[1] + 0.114 * from[2];
                largest = fmax(largest, fabs(image.pixels[i] - expected));
            }
            // what compression at this quality leaves of smooth pictures
            CHECKF(largest <= 7.0, "%s as %zu channels: differs by %g", jpeg_rows[r].name, channels, largest);
            free(image.pixels);
        }
}

static void test_cmyk(void)
{
    fill_smooth(16, 16, 4);
    write_jpeg(path, &(struct jpeg_kind){JCS_CMYK, JCS_CMYK, 90, false, false, 0}, 16, 16, 4, pixels);
    check_refused("CMYK", LORAC_ERROR_UNSUPPORTED, "is a CMYK JPEG, for printing");
    write_jpeg(path, &(struct jpeg_kind){JCS_CMYK, JCS_YCCK, 90, false, false, 0}, 16, 16, 4, pixels);
    check_refused("YCCK", LORAC_ERROR_UNSUPPORTED, "convert it to RGB");
}

// ---- EXIF

// How "abcdef", of 2 rows and 3 columns, is to be seen.
static const char *const turned[9] = {NULL,     "abcdef", "cbafed", "fedcba", "defabc",
                                      "adbecf", "daebfc", "fcebda", "cfbead"};

static void test_orientations(void)
{
    for (unsigned orientation = 1; orientation <= 8; orientation++) {
        char got[7] = {0};
        lorac_exif_turn(orientation, (const uint8_t *)"abcdef", 2, 3, 1, (uint8_t *)got);
        CHECK_STRING(got, turned[orientation]);
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            bytes.count = 0;
            put_exif(&bytes, big_endian, orientation);
            CHECK(lorac_exif_orientation(bytes.at, bytes.count) == orientation);
            // Cut anywhere, in a block of its own so that reading behind it is seen.
            for (size_t count = 0; count < bytes.count; count++) {
                uint8_t *cut = malloc(count > 0 ? count : 1);
                REQUIRE(cut != NULL);
                memcpy(cut, bytes.at, count);
                unsigned found = lorac_exif_orientation(cut, count);
                CHECKF(found == (count >= 34 ? orientation : 1), "cut to %zu: %u", count, found);
                free(cut);
            }
        }
    }
}

static void test_damaged_exif(void)
{
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = {
        {0, 'X'}, {2, 43}, {4, 0xff}, {7, 0xff}, {8, 1}, {24, 4}, {26, 2}, {30, 0}, {30, 9}, {31, 1},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put_exif(&bytes, false, 6);
        bytes.at[rows[r].at] = rows[r].value;
        CHECKF(lorac_exif_orientation(bytes.at, bytes.count) == 1, "row %zu", r);
    }
}

// The whole way: a file that says how it is to be turned gives the pixels of one that does not, turned.
static void check_turned(const char *what, unsigned orientation, const struct lorac_stored_image *plain)
{
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    const bool swap = orientation >= 5;
    if (!CHECK_OK(read_as(3, swap ? plain->width : plain->height, swap ? plain->height : plain->width, &image, &error),
                  error))
        return;
    const size_t H = plain->height, W = plain->width, byte_count = H * W * 3;
    uint8_t *expected = malloc(byte_count);
    REQUIRE(expected != NULL);
    lorac_exif_turn(orientation, plain->pixels, H, W, 3, expected);
    CHECKF(image.height == (swap ? W : H) && image.width == (swap ? H : W), "%s %u: size", what, orientation);
    CHECKF(memcmp(image.pixels, expected, byte_count) == 0, "%s %u: other pixels", what, orientation);
    free(expected);
    free(image.pixels);
}

static void test_turned_files(void)
{
    enum { H = 24, W = 40 };
    struct lorac_stored_image plain;
    struct lorac_error error = {0};
    for (unsigned orientation = 0; orientation <= 8; orientation++) {
        fill_smooth(H, W, 3);
        write_jpeg(path, &(struct jpeg_kind){JCS_RGB, JCS_YCbCr, 90, false, orientation & 1, orientation}, H, W, 3,
                   pixels);
        if (orientation == 0)
            REQUIRE(CHECK_OK(read_as(3, H, W, &plain, &error), error));
        else
            check_turned("JPEG", orientation, &plain);
    }
    free(plain.pixels);
    for (unsigned orientation = 0; orientation <= 8; orientation++) {
        make_png(&(struct png_kind){PNG_COLOR_TYPE_RGB, 8, 0, 0, orientation}, H, W);
        if (orientation == 0)
            REQUIRE(CHECK_OK(read_as(3, H, W, &plain, &error), error));
        else
            check_turned("PNG", orientation, &plain);
    }
    free(plain.pixels);
}

// ---- sizes

static void test_sizes(void)
{
    static const struct {
        struct lorac_image_target target;
        size_t height, width, stored_height, stored_width;
    } rows[] = {
        {{3, 224, 224, 0}, 224, 224, 224, 224},   {{3, 224, 224, 0}, 375, 500, 224, 298},
        {{3, 224, 224, 0}, 500, 375, 298, 224},   {{3, 224, 224, 256}, 375, 500, 256, 341},
        {{3, 224, 224, 256}, 500, 333, 384, 256}, {{3, 224, 224, 256}, 224, 224, 256, 256},
        {{3, 32, 64, 0}, 64, 64, 64, 64},         {{3, 32, 64, 0}, 100, 400, 32, 128},
        {{3, 32, 64, 0}, 10, 10, 64, 64},         {{3, 224, 224, 0}, 1, 1, 224, 224},
        {{3, 224, 224, 0}, 225, 224, 225, 224},   {{1, 7, 5, 0}, 33, 3, 55, 5},
        {{1, 7, 5, 0}, 1000, 3, 56, 5},           {{3, 224, 224, 0}, 10, 79, 224, 1769},
        {{3, 224, 224, 0}, 10, 80, 224, 1792},    {{3, 224, 224, 0}, 10, 990, 224, 1792},
        {{3, 224, 224, 256}, 9, 300, 256, 2048},  {{3, 32, 64, 0}, 300, 4, 256, 64},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        size_t height, width;
        lorac_image_stored_size(&rows[r].target, rows[r].height, rows[r].width, &height, &width);
        CHECKF(height == rows[r].stored_height && width == rows[r].stored_width, "row %zu: %zu x %zu", r, height,
               width);
    }
    static const struct {
        struct lorac_image_target target;
        const char *fragment;
    } wrong[] = {
        {{2, 8, 8, 0}, "has 2 channels"},
        {{3, 0, 8, 0}, "nothing to fill"},
        {{3, 8, 16, 15}, "give 16 or more"},
        {{3, 8, 16, 5774}, "images of 5774 x 5774 pixels and 3 channels are too large: one may take 100 MB"},
        {{1, 8, 16, 65536}, "images of 65536 x 65536 pixels and 1 channels are too large"},
    };
    for (size_t r = 0; r < sizeof wrong / sizeof wrong[0]; r++) {
        struct lorac_error error = {0};
        CHECK(lorac_image_target_check(&wrong[r].target, &error) == LORAC_ERROR_ARGUMENT);
        CHECKF(strstr(error.message, wrong[r].fragment), "%s", error.message);
    }
}

// The pixels of columns [first, first + width) of a picture that make_png made, [height] high.
static void check_columns(const struct lorac_stored_image *image, size_t first, size_t height, size_t width)
{
    CHECKF(image->height == height && image->width == width, "%zu x %zu", image->height, image->width);
    size_t wrong = 0;
    for (size_t i = 0; i < image->height * image->width * 3; i++)
        wrong += image->pixels[i] != sample_at(i / 3 / image->width, first + i / 3 % image->width, i % 3, 8);
    CHECKF(wrong == 0, "%zu values are wrong", wrong);
}

// Of a long picture the middle is kept, copied where nothing is resized, whichever way it is turned.
static void test_long_pictures(void)
{
    enum { H = 6, LEAST = 6, KEPT = LEAST * LORAC_IMAGE_MAX_STRETCH };
    struct lorac_stored_image image, turned_image;
    struct lorac_error error = {0};
    for (size_t W = KEPT; W <= KEPT + 151; W += 151) {
        make_png(&(struct png_kind){PNG_COLOR_TYPE_RGB, 8, 0, 0, 0}, H, W);
        REQUIRE(CHECK_OK(read_as(3, LEAST, LEAST, &image, &error), error));
        check_columns(&image, (W - KEPT) / 2, H, KEPT);
        make_png(&(struct png_kind){PNG_COLOR_TYPE_RGB, 8, 0, 0, 6}, H, W);
        REQUIRE(CHECK_OK(read_as(3, LEAST, LEAST, &turned_image, &error), error));
        CHECK(turned_image.height == KEPT && turned_image.width == H);
        uint8_t *expected = malloc((size_t)3 * H * KEPT);
        REQUIRE(expected != NULL);
        lorac_exif_turn(6, image.pixels, H, KEPT, 3, expected);
        CHECK(memcmp(expected, turned_image.pixels, (size_t)3 * H * KEPT) == 0);
        free(expected);
        free(image.pixels);
        free(turned_image.pixels);
    }
    make_png(&(struct png_kind){PNG_COLOR_TYPE_GRAY, 8, 0, 0, 0}, 10, 990);
    const struct lorac_image_target target = {3, 224, 224, 500};
    REQUIRE(CHECK_OK(lorac_image_file_read(path, &target, &image, &error), error));
    CHECK(image.height == 500 && image.width == 4000); // and not 49500
    free(image.pixels);
}

// What is stored of a long picture that is resized is the middle of what would be stored of all.
static void test_middle_of_all(void)
{
    enum { H = 10, W = 990, LEAST = 20, ALL = W * LEAST / H, KEPT = LEAST * LORAC_IMAGE_MAX_STRETCH };
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    uint8_t *source = malloc((size_t)H * W), *all = malloc((size_t)LEAST * ALL);
    REQUIRE(source != NULL && all != NULL);
    make_png(&(struct png_kind){PNG_COLOR_TYPE_GRAY, 8, 0, 0, 0}, H, W);
    for (size_t i = 0; i < H * W; i++)
        source[i] = (uint8_t)sample_at(i / W, i % W, 0, 8);
    REQUIRE(CHECK_OK(lorac_resample(source, H, W, 1, NULL, all, LEAST, ALL, &error), error));
    REQUIRE(CHECK_OK(read_as(1, LEAST, LEAST, &image, &error), error));
    CHECK(image.height == LEAST && image.width == KEPT);
    size_t wrong = 0;
    for (size_t i = 0; i < LEAST * KEPT; i++)
        wrong += abs(image.pixels[i] - all[i / KEPT * ALL + (ALL - KEPT) / 2 + i % KEPT]) > 1;
    CHECKF(wrong == 0, "%zu values are wrong", wrong);
    free(image.pixels);
    free(source);
    free(all);
}

// ---- what is refused

static void test_other_files(void)
{
    static const struct {
        const char *content;
        size_t count;
        enum lorac_status status;
        const char *fragment;
    } rows[] = {
        {"", 0, LORAC_ERROR_FORMAT, "is empty"},
        {"\xff", 1, LORAC_ERROR_FORMAT, "neither JPEG nor PNG: it starts with the bytes ff 00"},
        {"hello world", 11, LORAC_ERROR_FORMAT, "68 65 6c 6c"},
        {"GIF89a......", 12, LORAC_ERROR_UNSUPPORTED, "is GIF by its first bytes"},
        {"RIFF\1\2\3\4WEBPVP8 ", 16, LORAC_ERROR_UNSUPPORTED, "is WebP"},
        {"\0\0\0\x18"
         "ftypheic",
         12, LORAC_ERROR_UNSUPPORTED, "is HEIF"},
        {"BM......", 8, LORAC_ERROR_UNSUPPORTED, "is BMP"},
        {"\xff\xd8\xff", 3, LORAC_ERROR_FORMAT, "damaged JPEG"},
        {"\x89PNG\r\n\x1a\n", 8, LORAC_ERROR_FORMAT, "damaged PNG: the file ends too early"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put(&bytes, rows[r].content, rows[r].count);
        write_plain(path, &bytes);
        check_refused(rows[r].fragment, rows[r].status, rows[r].fragment);
    }
    unlink(path);
    check_refused("missing", LORAC_ERROR_IO, "cannot open: No such file");
    REQUIRE(mkfifo(path, 0600) == 0);
    check_refused("pipe", LORAC_ERROR_IO, "is not a regular file");
    unlink(path);
    REQUIRE(mkdir(path, 0700) == 0);
    check_refused("folder", LORAC_ERROR_IO, "is not a regular file");
    REQUIRE(rmdir(path) == 0);
    // Thin as a line: it would have to grow to 4 x 40000.
    make_png(&(struct png_kind){PNG_COLOR_TYPE_GRAY, 8, 0, 0, 0}, 1, 10000);
    check_refused("line", LORAC_ERROR_UNSUPPORTED, "one side is 100 times the other");
}

static long peak_kilobytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// A PNG that says it has other sides.
static void claim_png(const uint32_t sides[2])
{
    make_png(&(struct png_kind){PNG_COLOR_TYPE_RGB, 8, 0, 0, 0}, 4, 4);
    read_plain(path, &bytes);
    for (int i = 0; i < 8; i++) // IHDR: width, height, ..., checksum
        bytes.at[16 + i] = (uint8_t)(sides[i / 4] >> (24 - 8 * (i % 4)));
    const uint32_t checksum = (uint32_t)crc32(0, bytes.at + 12, 17);
    for (int i = 0; i < 4; i++)
        bytes.at[29 + i] = (uint8_t)(checksum >> (24 - 8 * i));
    write_plain(path, &bytes);
}

// The file is as good as before: it must not count as broken.
static void test_no_descriptors(void)
{
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    struct rlimit before, none;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const enum lorac_status status = read_as(3, 4, 4, &image, &error);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECKF(status == LORAC_ERROR_MEMORY && strstr(error.message, "cannot open: "), "status %d, %s", status, error.message);
}

// Headers that lie: refused with the numbers, and without the memory.
static void test_large_claims(void)
{
    enum { TOO_LARGE, TOO_SHORT, LARGE, SIZES };
    const long before = peak_kilobytes();
    claim_png((uint32_t[]){60000, 60000});
    check_refused("large PNG", LORAC_ERROR_UNSUPPORTED, "has 60000 x 60000 pixels; at most 134217728 are read");
    claim_png((uint32_t[]){6000, 5556});
    check_refused("large PNG", LORAC_ERROR_UNSUPPORTED,
                  "has 6000 x 5556 pixels, which take 101 MB; at most 100 MB are taken");
    claim_png((uint32_t[]){5000000, 2});
    check_refused("wide PNG", LORAC_ERROR_UNSUPPORTED, "has 5000000 x 2 pixels, which take 121 MB");

    for (int progressive = 0; progressive < 2; progressive++)
        for (int size = 0; size < SIZES; size++) {
            fill_smooth(16, 16, 3);
            write_jpeg(path, &(struct jpeg_kind){JCS_RGB, JCS_YCbCr, 90, progressive, false, 0}, 16, 16, 3, pixels);
            read_plain(path, &bytes);
            size_t at = 2;
            while (bytes.at[at + 1] != (progressive ? 0xc2 : 0xc0))
                at += 2u + (size_t)(bytes.at[at + 2] << 8 | bytes.at[at + 3]);
            const unsigned side = size == TOO_LARGE ? 60000 : 11000;
            for (size_t i = 0; i < 2; i++) { // SOF: length, precision, height, width
                bytes.at[at + 5 + 2 * i] = (uint8_t)(side >> 8);
                bytes.at[at + 6 + 2 * i] = (uint8_t)side;
            }
            write_plain(path, &bytes);
            if (size == LARGE) // zeros behind it: long enough for the pixels
                REQUIRE(truncate(path, 1 << 18) == 0);
            if (size == TOO_LARGE)
                check_refused("large JPEG", LORAC_ERROR_UNSUPPORTED, "has 60000 x 60000 pixels");
            else if (size == LARGE && progressive)
                check_refused("large JPEG", LORAC_ERROR_UNSUPPORTED,
                              "progressive, and its 11000 x 11000 pixels take more than 100 MB");
            else if (size == LARGE) // its decoder makes it smaller
                check_refused("large JPEG", LORAC_ERROR_FORMAT, "is a damaged JPEG");
            else
                check_refused("lying JPEG", LORAC_ERROR_FORMAT, "bytes cannot hold a JPEG of 11000 x 11000");
        }
    const long taken = peak_kilobytes() - before;
    CHECKF(taken < 32 * 1024, "%ld kB were taken", taken);
}

// A new file each time: writing over one makes some file systems wait for the disk.
static void write_new(void)
{
    unlink(path);
    write_plain(path, &bytes);
}

// Cut anywhere it is refused, but for a file whose last bytes say no more than that it ends.
static void check_cuts(const char *what, size_t channels, size_t height, size_t width)
{
    read_plain(path, &whole);
    struct lorac_stored_image full, image;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(read_as(channels, height, width, &full, &error), error));
    size_t accepted = 0;
    for (size_t count = 0; count < whole.count; count++) {
        bytes.count = 0;
        put(&bytes, whole.at, count);
        write_new();
        enum lorac_status status = read_as(channels, height, width, &image, &error);
        if (status == LORAC_OK) {
            accepted++;
            CHECKF(memcmp(image.pixels, full.pixels, height * width * channels) == 0 && count + 2 >= whole.count,
                   "%s cut to %zu of %zu was accepted", what, count, whole.count);
            free(image.pixels);
        } else {
            CHECKF(status == LORAC_ERROR_FORMAT, "%s cut to %zu: %s", what, count, error.message);
        }
    }
    CHECKF(accepted <= 2, "%s: %zu cuts were accepted", what, accepted);
    free(full.pixels);
}

// Whatever changes, it ends, with pixels or a message.
static void check_flips(const char *what, size_t channels, size_t height, size_t width, unsigned count)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, 11, "flips", whole.count, channels);
    unsigned refused = 0;
    for (unsigned trial = 0; trial < count; trial++) {
        bytes.count = 0;
        put(&bytes, whole.at, whole.count);
        for (uint64_t flips = 1 + lorac_rng_below(&rng, 4); flips > 0; flips--)
            bytes.at[lorac_rng_below(&rng, whole.count)] ^= (uint8_t)(1u << lorac_rng_below(&rng, 8));
        write_new();
        struct lorac_stored_image image;
        struct lorac_error error = {0};
        enum lorac_status status = read_as(channels, height, width, &image, &error);
        CHECKF(status == LORAC_OK || strchr(error.message, ':'), "%s, flip %u: %s", what, trial, error.message);
        CHECKF(status == LORAC_OK || status == LORAC_ERROR_FORMAT || status == LORAC_ERROR_UNSUPPORTED,
               "%s, flip %u: %s", what, trial, error.message);
        CHECK(status != LORAC_OK || (image.height >= height && image.width >= width));
        refused += status != LORAC_OK;
        free(image.pixels);
    }
    CHECKF(refused > count / 10, "%s: only %u of %u were refused", what, refused, count);
}

static void test_hostile(void)
{
    enum { H = 20, W = 28, FLIPS = 800 };
    for (size_t r = 0; r < sizeof jpeg_rows / sizeof jpeg_rows[0]; r++) {
        struct jpeg_kind kind = jpeg_rows[r].kind;
        kind.orientation = 6;
        fill_smooth(H, W, jpeg_rows[r].components);
        write_jpeg(path, &kind, H, W, jpeg_rows[r].components, pixels);
        check_cuts(jpeg_rows[r].name, 3, W, H);
        check_flips(jpeg_rows[r].name, 3, W, H, FLIPS);
    }
    static const struct png_kind kinds[] = {
        {PNG_COLOR_TYPE_RGB, 8, 0, 0, 6}, {PNG_COLOR_TYPE_GRAY, 16, 1, 0, 0}, {PNG_COLOR_TYPE_PALETTE, 4, 1, 1, 0}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        make_png(&kinds[k], H, W);
        const bool swap = kinds[k].orientation >= 5;
        check_cuts("PNG", 3, swap ? W : H, swap ? H : W);
        check_flips("PNG", 3, swap ? W : H, swap ? H : W, FLIPS);
    }
}

int main(void)
{
    test_large_claims(); // first: it looks at the peak of memory
    test_png_kinds();
    test_jpeg_kinds();
    test_cmyk();
    test_orientations();
    test_damaged_exif();
    test_turned_files();
    test_sizes();
    test_long_pictures();
    test_middle_of_all();
    test_other_files();
    test_no_descriptors();
    test_hostile();
    unlink(path);
    return check_report();
}
