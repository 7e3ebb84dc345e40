// Images and labels against what the model takes: what is read, and every refusal with its values.
#include "data_files.h"

#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"

#include <fcntl.h>
#include <sys/resource.h>

static const char images_path[] = "test_dataset_images.npy", labels_path[] = "test_dataset_labels.npy";
static struct bytes bytes;
static uint8_t counting[4096]; // 0, 1, 2, ...

static void write_images(const char *descr, const char *shape, size_t byte_count)
{
    bytes.count = 0;
    put_npy(&bytes, descr, shape, counting, byte_count);
    write_plain(images_path, &bytes);
}

static void write_labels(const char *descr, const char *shape, const void *data, size_t byte_count)
{
    bytes.count = 0;
    put_npy(&bytes, descr, shape, data, byte_count);
    write_plain(labels_path, &bytes);
}

// ---- shapes and types of images

static const struct {
    const char *descr, *shape;
    size_t item_bytes, count; // of elements
    size_t C, H, W;           // what the model takes
    const char *fragment;     // NULL: taken
    enum lorac_status status;
} image_rows[] = {
    {"|u1", "(2, 4, 5, 3)", 1, 120, 3, 4, 5, NULL, LORAC_OK},
    {"|u1", "(2, 4, 5, 1)", 1, 40, 1, 4, 5, NULL, LORAC_OK},
    {"|u1", "(2, 4, 5)", 1, 40, 1, 4, 5, NULL, LORAC_OK},
    {"<f4", "(2, 3, 4, 5)", 4, 120, 3, 4, 5, NULL, LORAC_OK},
    {"<f4", "(2, 1, 4, 5)", 4, 40, 1, 4, 5, NULL, LORAC_OK},
    {"<f4", "(2, 4, 5)", 4, 40, 1, 4, 5, NULL, LORAC_OK},
    {"<f4", "(1, 20, 2, 2)", 4, 80, 20, 2, 2, NULL, LORAC_OK}, // more channels than can be normalised
    {"|u1", "(2, 3, 4, 5)", 1, 120, 3, 4, 5,
     "have the shape [2, 3, 4, 5]; this model takes [N, 4, 5, 3], as uint8 images are [N, H, W, C]: use transpose(0, "
     "2, "
     "3, 1)",
     LORAC_ERROR_MISMATCH},
    {"<f4", "(2, 4, 5, 3)", 4, 120, 3, 4, 5,
     "have the shape [2, 4, 5, 3]; this model takes [N, 3, 4, 5], as float32 images are [N, C, H, W]: use transpose(0, "
     "3, "
     "1, 2)",
     LORAC_ERROR_MISMATCH},
    {"|u1", "(2, 4, 5)", 1, 40, 3, 4, 5, "[2, 4, 5]; this model takes [N, 4, 5, 3]", LORAC_ERROR_MISMATCH},
    {"|u1", "(2, 5, 4)", 1, 40, 1, 4, 5, "[2, 5, 4]; this model takes [N, 4, 5, 1] (or [N, H, W])",
     LORAC_ERROR_MISMATCH},
    {"|u1", "(2, 4, 5, 3)", 1, 120, 1, 4, 5, "this model takes [N, 4, 5, 1]", LORAC_ERROR_MISMATCH},
    {"|u1", "(40,)", 1, 40, 1, 4, 5, "shape [40]", LORAC_ERROR_MISMATCH},
    {"|u1", "()", 1, 1, 1, 1, 1, "shape []", LORAC_ERROR_MISMATCH},
    {"|u1", "(1, 2, 4, 5, 3)", 1, 120, 3, 4, 5, "shape [1, 2, 4, 5, 3]", LORAC_ERROR_MISMATCH},
    {"<f8", "(2, 3, 4, 5)", 8, 120, 3, 4, 5, "the images are float64; uint8 pixels, or float32",
     LORAC_ERROR_UNSUPPORTED},
    {"<f8", "(2, 3, 4, 5)", 8, 120, 3, 4, 5, "astype('float32')", LORAC_ERROR_UNSUPPORTED},
    {"<i8", "(2, 4, 5)", 8, 40, 1, 4, 5, "the images are int64", LORAC_ERROR_UNSUPPORTED},
    {"|i1", "(2, 4, 5)", 1, 40, 1, 4, 5, "astype('uint8')", LORAC_ERROR_UNSUPPORTED},
    {"|b1", "(2, 4, 5)", 1, 40, 1, 4, 5, "the images are bool", LORAC_ERROR_UNSUPPORTED},
    {"|u1", "(0, 4, 5, 3)", 1, 0, 3, 4, 5, "holds no images", LORAC_ERROR_ARGUMENT},
    {"<f4", "(0, 3, 4, 5)", 4, 0, 3, 4, 5, "holds no images", LORAC_ERROR_ARGUMENT},
};

static void test_images(void)
{
    for (size_t r = 0; r < sizeof image_rows / sizeof image_rows[0]; r++) {
        write_images(image_rows[r].descr, image_rows[r].shape, image_rows[r].count * image_rows[r].item_bytes);
        struct lorac_dataset_options options = {.images_path = images_path,
                                                .channels = image_rows[r].C,
                                                .height = image_rows[r].H,
                                                .width = image_rows[r].W};
        struct lorac_dataset set = {.count = 77};
        struct lorac_error error = {0};
        enum lorac_status status = lorac_dataset_open(&options, &set, &error);
        CHECKF(status == image_rows[r].status, "%s %s: status %d: %s", image_rows[r].descr, image_rows[r].shape, status,
               error.message);
        if (status != LORAC_OK) {
            CHECKF(image_rows[r].fragment && strstr(error.message, image_rows[r].fragment) != NULL,
                   "%s %s: '%s' is not in: %s", image_rows[r].descr, image_rows[r].shape,
                   image_rows[r].fragment ? image_rows[r].fragment : "success", error.message);
            CHECK(strncmp(error.message, "'test_dataset_images.npy': ", 27) == 0);
            CHECK(set.count == 77); // results are written on success only
            continue;
        }
        size_t image_values = image_rows[r].C * image_rows[r].H * image_rows[r].W;
        CHECK(set.count == image_rows[r].count / image_values && set.first_index == 0 && set.labels == NULL);
        CHECK(set.channels == image_rows[r].C && set.height == image_rows[r].H && set.width == image_rows[r].W);
        CHECK(set.element == (image_rows[r].descr[1] == 'f' ? LORAC_ELEMENT_F32 : LORAC_ELEMENT_U8));
        CHECK(memcmp(set.pixels, counting, image_rows[r].count * image_rows[r].item_bytes) == 0);
        lorac_dataset_clear(&set);
        CHECK(set.pixels == NULL && set.count == 0);
        lorac_dataset_clear(&set); // twice is fine
    }
}

// Floats come in the model's own layout, also where that has the channels last.
static void test_channels_last(void)
{
    float values[2 * 4 * 5 * 3], image[4 * 5 * 3];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)i - 60.5F;
    bytes.count = 0;
    put_npy(&bytes, "<f4", "(2, 4, 5, 3)", values, sizeof values);
    write_plain(images_path, &bytes);
    struct lorac_dataset_options options = {
        .images_path = images_path, .channels = 3, .height = 4, .width = 5, .channels_last = true};
    struct lorac_dataset set = {0};
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_dataset_open(&options, &set, &error), error));
    const struct lorac_batch_source source = {.dataset = &set};
    const struct lorac_image second = lorac_dataset_image(source.dataset, 1);
    lorac_batch_image(&source, &second, 1, 0, image);
    CHECK(memcmp(image, values + 60, sizeof image) == 0);
    lorac_dataset_clear(&set);
    write_images("<f4", "(2, 3, 4, 5)", sizeof values);
    CHECK(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_MISMATCH);
    CHECK(strstr(error.message, "takes [N, 4, 5, 3], as float32 images are [N, H, W, C]: use transpose(0, 2, 3, 1)"));
}

// ---- ranges

enum { PLAIN, GZIPPED, FORTRAN, IDX, HOW_COUNT };

// Ten images of 2 x 2 x 3, counting in row-major order.
static void write_ten(size_t how)
{
    bytes.count = 0;
    if (how == IDX) {
        put_number(&bytes, 0x0804, 4, true);
        for (size_t i = 0; i < 4; i++)
            put_number(&bytes, (const uint64_t[]){10, 2, 2, 3}[i], 4, true);
        put(&bytes, counting, 120);
    } else if (how == FORTRAN) {
        put_npy_header(&bytes, 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (10, 2, 2, 3), }\n");
        for (size_t i = 0; i < 120; i++) // image fastest, then row, column, channel
            put(&bytes, &counting[i % 10 * 12 + i / 10 % 2 * 6 + i / 20 % 2 * 3 + i / 40], 1);
    } else {
        put_npy(&bytes, "|u1", "(10, 2, 2, 3)", counting, 120);
    }
    (how == GZIPPED ? write_gzip : write_plain)(images_path, &bytes);
}

static void test_ranges(void)
{
    static const struct {
        size_t begin, end;
        const char *fragment; // NULL: taken
    } rows[] = {
        {0, 10, NULL},
        {3, 7, NULL},
        {9, 10, NULL},
        {0, 1, NULL},
        {5, 5, "the range 5:5 is empty"},
        {7, 3, "the range 7:3 is empty"},
        {0, 11, "the range 0:11 is outside the 10 images"},
        {10, 12, "the range 10:12 is outside the 10 images"},
        {5, SIZE_MAX, "is outside the 10 images"},
    };
    const uint8_t labels[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (size_t r = 0; r < HOW_COUNT * (sizeof rows / sizeof rows[0]); r++) {
        const size_t begin = rows[r / HOW_COUNT].begin, end = rows[r / HOW_COUNT].end;
        const char *fragment = rows[r / HOW_COUNT].fragment;
        write_ten(r % HOW_COUNT);
        write_labels("|u1", "(10,)", labels, 10);
        struct lorac_dataset_options options = {.images_path = images_path,
                                                .labels_path = labels_path,
                                                .has_range = true,
                                                .range_begin = begin,
                                                .range_end = end,
                                                .channels = 3,
                                                .height = 2,
                                                .width = 2,
                                                .classes = 10};
        struct lorac_dataset set;
        struct lorac_error error = {0};
        enum lorac_status status = lorac_dataset_open(&options, &set, &error);
        if (!CHECKF(status == (fragment ? LORAC_ERROR_ARGUMENT : LORAC_OK), "row %zu: status %d: %s", r, status,
                    error.message))
            continue;
        if (status != LORAC_OK) {
            CHECKF(strstr(error.message, fragment) != NULL, "row %zu: %s", r, error.message);
            continue;
        }
        CHECK(set.count == end - begin && set.first_index == begin);
        CHECKF(memcmp(set.pixels, counting + 12 * begin, 12 * set.count) == 0, "row %zu: other pixels", r);
        CHECK(set.image_array.byte_count == 12 * set.count && set.image_array.dims[0] == (int64_t)set.count);
        for (size_t i = 0; i < set.count; i++)
            CHECK(set.labels[i] == (int32_t)(begin + i));
        lorac_dataset_clear(&set);
    }
}

// Of files too, and where nobody wants the sentence.
static void test_range_of_files(void)
{
    static const char list[] = "test_dataset_list.csv";
    const struct lorac_loader_options loading = {.threads = 1, .batch = 1};
    const struct lorac_dataset_options options = {.images_path = list,
                                                  .has_range = true,
                                                  .range_begin = 1,
                                                  .range_end = 3,
                                                  .channels = 3,
                                                  .height = 2,
                                                  .width = 2,
                                                  .loading = &loading};
    struct lorac_dataset set = {.count = 77};
    struct lorac_error error = {0};
    bytes.count = 0;
    put(&bytes, "a.jpg\nb.jpg\n", 12);
    write_plain(list, &bytes);
    CHECK(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_ARGUMENT && set.count == 77);
    CHECKF(strstr(error.message, "'test_dataset_list.csv': the range 1:3 is outside the 2 images"), "%s", error.message);
    CHECK(lorac_dataset_open(&options, &set, NULL) == LORAC_ERROR_ARGUMENT && set.count == 77);
    unlink(list);
}

// A gzipped set must be whole, also behind the range.
static void test_range_of_damaged(void)
{
    static struct bytes whole;
    struct lorac_dataset_options options = {.images_path = images_path,
                                            .has_range = true,
                                            .range_begin = 2,
                                            .range_end = 4,
                                            .channels = 3,
                                            .height = 2,
                                            .width = 2};
    struct lorac_dataset set;
    struct lorac_error error = {0};
    write_ten(GZIPPED);
    read_plain(images_path, &whole);
    for (size_t cut = 1; cut < 40; cut++) {
        bytes.count = 0;
        put(&bytes, whole.at, whole.count - cut);
        write_plain(images_path, &bytes);
        CHECKF(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_FORMAT, "cut by %zu: %s", cut, error.message);
    }
    bytes.count = 0;
    put_npy(&bytes, "|u1", "(10, 2, 2, 3)", counting, 119);
    write_gzip(images_path, &bytes);
    CHECK(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_FORMAT);
    CHECKF(strstr(error.message, "holds 119 bytes of data after its header, which declares 120"), "%s", error.message);
}

enum { LARGE_SIDE = 128, LARGE_BYTES = LARGE_SIDE * LARGE_SIDE };

static void open_large(size_t begin, size_t end, const uint8_t *image, size_t image_index)
{
    const struct lorac_dataset_options options = {.images_path = images_path,
                                                  .has_range = true,
                                                  .range_begin = begin,
                                                  .range_end = end,
                                                  .channels = 1,
                                                  .height = LARGE_SIDE,
                                                  .width = LARGE_SIDE};
    struct lorac_dataset set;
    struct lorac_error error = {0};
    if (!CHECK_OK(lorac_dataset_open(&options, &set, &error), error))
        return;
    CHECK(set.count == end - begin);
    CHECK(memcmp((const uint8_t *)set.pixels + (image_index - begin) * LARGE_BYTES, image, LARGE_BYTES) == 0);
    lorac_dataset_clear(&set);
}

// A file of 2^40 bytes, nearly all of them a hole, which no memory holds: a range of it is read all the same.
static void test_range_of_huge_file(void)
{
    enum { COUNT = 1 << 26, AT = COUNT - 3 };
    char shape[64];
    snprintf(shape, sizeof shape, "(%d, %d, %d)", COUNT, LARGE_SIDE, LARGE_SIDE);
    write_images("|u1", shape, 0);
    const off_t header = (off_t)bytes.count;
    static uint8_t image[LARGE_BYTES];
    for (size_t i = 0; i < sizeof image; i++)
        image[i] = (uint8_t)(i % 253);
    int file = open(images_path, O_WRONLY);
    REQUIRE(file >= 0);
    if (ftruncate(file, header + (off_t)COUNT * LARGE_BYTES) != 0) {
        printf("no file of 2^40 bytes can be made here: no range of one is read\n");
        close(file);
        return;
    }
    CHECK(pwrite(file, image, sizeof image, header + (off_t)AT * LARGE_BYTES) == (ssize_t)sizeof image);
    close(file);
    open_large(AT - 2, AT + 2, image, AT);
}

static long peak_kilobytes(void)
{
    struct rusage usage;
    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

// What is around the range in a gzipped set of 64 MB is unpacked and not held. A peak never falls: this comes first.
static void test_range_of_gzipped(void)
{
    enum { COUNT = 4096, AT = 2000 };
    static const long MOST_KILOBYTES = 8 * 1024; // a tenth is used; the set is eight times that
    static uint8_t images[2][LARGE_BYTES];       // the first is black
    char shape[64];
    for (size_t i = 0; i < LARGE_BYTES; i++)
        images[1][i] = (uint8_t)(i % 253);
    snprintf(shape, sizeof shape, "(%d, %d, %d)", COUNT, LARGE_SIDE, LARGE_SIDE);
    bytes.count = 0;
    put_npy(&bytes, "|u1", shape, counting, 0);
    gzFile file = gzopen(images_path, "wb1");
    REQUIRE(file != NULL);
    REQUIRE(gzwrite(file, bytes.at, (unsigned)bytes.count) == (int)bytes.count);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(gzwrite(file, images[i == AT], LARGE_BYTES) == LARGE_BYTES);
    REQUIRE(gzclose(file) == Z_OK);
    const long before = peak_kilobytes();
    open_large(AT - 1, AT + 2, images[1], AT);
    CHECKF(peak_kilobytes() - before < MOST_KILOBYTES, "the peak grew by %ld kB", peak_kilobytes() - before);
}

// ---- labels: three images

static const struct {
    const char *descr, *shape;
    const char *data;
    size_t byte_count, classes;
    const char *fragment; // NULL: taken, and the labels are 1, 0, 1
    enum lorac_status status;
} label_rows[] = {
    {"|u1", "(3,)", "\1\0\1", 3, 10, NULL, LORAC_OK},
    {"|u1", "(3,)", "\1\0\1", 3, 2, NULL, LORAC_OK},
    {"|i1", "(3,)", "\1\0\1", 3, 0, NULL, LORAC_OK},
    {"|b1", "(3,)", "\1\0\1", 3, 10, NULL, LORAC_OK},
    {"|u1", "(3, 1)", "\1\0\1", 3, 10, NULL, LORAC_OK},
    {"<u2", "(3,)", "\1\0\0\0\1\0", 6, 10, NULL, LORAC_OK},
    {">i2", "(3,)", "\0\1\0\0\0\1", 6, 10, NULL, LORAC_OK},
    {"<i4", "(3,)", "\1\0\0\0\0\0\0\0\1\0\0\0", 12, 10, NULL, LORAC_OK},
    {">u4", "(3,)", "\0\0\0\1\0\0\0\0\0\0\0\1", 12, 10, NULL, LORAC_OK},
    {"<i8", "(3,)", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24, 10, NULL, LORAC_OK},
    {"<u8", "(3,)", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24, 10, NULL, LORAC_OK},
    {"|u1", "(3,)", "\1\0\1", 3, 1, "label 1 at index 0 is outside 0 .. 0, the classes of the model",
     LORAC_ERROR_MISMATCH},
    {"|u1", "(3,)", "\1\12\13", 3, 10, "label 10 at index 1 is outside 0 .. 9", LORAC_ERROR_MISMATCH},
    {"|i1", "(3,)", "\1\0\377", 3, 10, "label -1 at index 2 is outside 0 .. 9", LORAC_ERROR_MISMATCH},
    {"|u1", "(3,)", "\1\0\377", 3, 10, "label 255 at index 2", LORAC_ERROR_MISMATCH},
    {"<i2", "(3,)", "\1\0\0\200\0\0", 6, 10, "label -32768 at index 1", LORAC_ERROR_MISMATCH},
    {"<i4", "(3,)", "\1\0\0\0\376\377\377\377\0\0\0\0", 12, 0, "label -2 at index 1 is outside 0 .. 2147483647",
     LORAC_ERROR_MISMATCH},
    {"<u4", "(3,)", "\1\0\0\0\0\0\0\200\0\0\0\0", 12, 0, "label 2147483648 at index 1", LORAC_ERROR_MISMATCH},
    {"<u8", "(3,)", "\377\377\377\377\377\377\377\377........--------", 24, 10, "label 18446744073709551615 at index 0",
     LORAC_ERROR_MISMATCH},
    {"<i8", "(3,)", "\377\377\377\377\377\377\377\377........--------", 24, 10, "label -1 at index 0",
     LORAC_ERROR_MISMATCH},
    {"|u1", "(2,)", "\1\0", 2, 10, "there are 2 labels for 3 images", LORAC_ERROR_MISMATCH},
    {"|u1", "(4,)", "\1\0\1\0", 4, 10, "there are 4 labels for 3 images", LORAC_ERROR_MISMATCH},
    {"|u1", "(0,)", "", 0, 10, "there are 0 labels for 3 images", LORAC_ERROR_MISMATCH},
    {"|u1", "(3, 2)", "\1\0\1\0\1\0", 6, 10, "[3, 2]; one integer per image, [N], is taken: of one-hot labels",
     LORAC_ERROR_MISMATCH},
    {"|u1", "(3, 1, 1)", "\1\0\1", 3, 10, "the labels have the shape [3, 1, 1]", LORAC_ERROR_MISMATCH},
    {"|u1", "()", "\1", 1, 10, "the labels have the shape []", LORAC_ERROR_MISMATCH},
    {"<f4", "(3,)", "............", 12, 10, "the labels are float32; one integer per image", LORAC_ERROR_UNSUPPORTED},
    {"|u1", "(5,)", "\1\0\1", 3, 10, "declares 5", LORAC_ERROR_FORMAT},
};

static void test_labels(void)
{
    write_images("|u1", "(3, 2, 2)", 12);
    for (size_t r = 0; r < sizeof label_rows / sizeof label_rows[0]; r++) {
        write_labels(label_rows[r].descr, label_rows[r].shape, label_rows[r].data, label_rows[r].byte_count);
        struct lorac_dataset_options options = {.images_path = images_path,
                                                .labels_path = labels_path,
                                                .channels = 1,
                                                .height = 2,
                                                .width = 2,
                                                .classes = label_rows[r].classes};
        struct lorac_dataset set;
        struct lorac_error error = {0};
        enum lorac_status status = lorac_dataset_open(&options, &set, &error);
        CHECKF(status == label_rows[r].status, "row %zu %s: status %d: %s", r, label_rows[r].descr, status,
               error.message);
        if (status != LORAC_OK) {
            CHECKF(label_rows[r].fragment && strstr(error.message, label_rows[r].fragment) != NULL,
                   "row %zu: '%s' is not in: %s", r, label_rows[r].fragment ? label_rows[r].fragment : "success",
                   error.message);
            CHECK(strncmp(error.message, "'test_dataset_labels.npy': ", 27) == 0);
            continue;
        }
        CHECKF(set.labels[0] == 1 && set.labels[1] == 0 && set.labels[2] == 1, "row %zu: labels %d %d %d", r,
               set.labels[0], set.labels[1], set.labels[2]);
        lorac_dataset_clear(&set);
    }
}

// Labels outside the range are nobody's business; inside it the index counts in the file.
static void test_labels_in_range(void)
{
    write_images("|u1", "(4, 2, 2)", 16);
    write_labels("|u1", "(4,)", "\77\1\2\76", 4);
    struct lorac_dataset_options options = {.images_path = images_path,
                                            .labels_path = labels_path,
                                            .has_range = true,
                                            .range_begin = 1,
                                            .range_end = 3,
                                            .channels = 1,
                                            .height = 2,
                                            .width = 2,
                                            .classes = 10};
    struct lorac_dataset set;
    struct lorac_error error = {0};
    if (CHECK_OK(lorac_dataset_open(&options, &set, &error), error)) {
        CHECK(set.labels[0] == 1 && set.labels[1] == 2);
        lorac_dataset_clear(&set);
    }
    options.range_end = 4;
    CHECK(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_MISMATCH);
    CHECKF(strstr(error.message, "label 62 at index 3") != NULL, "%s", error.message);
    CHECK(lorac_dataset_open(&options, &set, NULL) == LORAC_ERROR_MISMATCH); // without an error record
    options.labels_path = "test_dataset_missing.npy";
    CHECK(lorac_dataset_open(&options, &set, &error) == LORAC_ERROR_IO);
    CHECKF(strstr(error.message, "'test_dataset_missing.npy': cannot open") == error.message, "%s", error.message);
}

// ---- real sets

static void test_fashion_mnist(void)
{
    static const int32_t first[10] = {9, 2, 1, 1, 6, 1, 4, 6, 5, 7};
    struct lorac_dataset_options options = {
        .images_path = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz",
        .labels_path = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz",
        .channels = 1,
        .height = 28,
        .width = 28,
        .classes = 10};
    if (access(options.images_path, R_OK) != 0) {
        printf("fashion-mnist is not installed: it is not opened\n");
        return;
    }
    struct lorac_dataset set;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_dataset_open(&options, &set, &error), error));
    CHECK(set.count == 10000 && memcmp(set.labels, first, sizeof first) == 0);
    int32_t at_5000 = set.labels[5000];
    uint8_t image_5000[784];
    memcpy(image_5000, (const uint8_t *)set.pixels + 784 * 5000, 784);
    lorac_dataset_clear(&set);
    options.has_range = true;
    options.range_begin = 5000;
    options.range_end = 10000;
    REQUIRE(CHECK_OK(lorac_dataset_open(&options, &set, &error), error));
    CHECK(set.count == 5000 && set.labels[0] == at_5000 && memcmp(set.pixels, image_5000, 784) == 0);
    lorac_dataset_clear(&set);
}

static void test_cifar(void)
{
    struct lorac_dataset_options options = {.images_path = LORAC_SHARED_DIR "/data/cifar10/test_x.npy",
                                            .labels_path = LORAC_SHARED_DIR "/data/cifar10/test_y.npy",
                                            .channels = 3,
                                            .height = 32,
                                            .width = 32,
                                            .classes = 10};
    if (access(options.images_path, R_OK) != 0) {
        printf("%s is not there: it is not opened\n", options.images_path);
        return;
    }
    struct lorac_dataset set;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_dataset_open(&options, &set, &error), error));
    size_t per_class[10] = {0};
    for (size_t i = 0; i < set.count; i++)
        per_class[set.labels[i]]++;
    for (size_t c = 0; c < 10; c++)
        CHECKF(per_class[c] == 200, "class %zu: %zu images", c, per_class[c]);
    lorac_dataset_clear(&set);
}

int main(void)
{
    for (size_t i = 0; i < sizeof counting; i++)
        counting[i] = (uint8_t)(i % 251);
    test_range_of_gzipped();
    test_images();
    test_channels_last();
    test_ranges();
    test_range_of_files();
    test_range_of_damaged();
    test_range_of_huge_file();
    test_labels();
    test_labels_in_range();
    test_fashion_mnist();
    test_cifar();
    unlink(images_path);
    unlink(labels_path);
    return check_report();
}
