// CIFAR's binary files, as one file and as the folder that holds them.
#include "data_files.h"

#include "runtime/data/cifar_binary.h"

#include <sys/stat.h>

enum { IMAGE = 3072 };
static const char root[] = "test_cifar_binary.dir";
static const struct lorac_rows all = {0, SIZE_MAX};

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void start(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    REQUIRE(system(command) == 0 && mkdir(root, 0700) == 0);
}

static uint8_t byte_at(size_t image, size_t plane, size_t place)
{
    return (uint8_t)((image * 7919 + plane * 104729 + place * 31 + (place >> 5)) >> 1);
}

static int label_of(size_t image, int classes)
{
    return (int)(image * 37 + 3) % classes;
}

// Images first .. first + count - 1 of a set, which differ all; [extra] bytes of zeros behind them.
static void write_batch(const char *name, size_t first, size_t count, int classes, size_t extra)
{
    FILE *file = fopen(path_of(name), "wb");
    REQUIRE(file != NULL);
    for (size_t i = first; i < first + count; i++) {
        if (classes == 100)
            fputc(99 - label_of(i, classes), file); // the coarse label, not looked at
        fputc(label_of(i, classes), file);
        for (size_t at = 0; at < IMAGE; at++)
            fputc(byte_at(i, at / 1024, at % 1024), file);
    }
    for (; extra > 0; extra--)
        fputc(0, file);
    REQUIRE(fclose(file) == 0);
}

static void write_names(const char *name, int count, const char *end)
{
    FILE *file = fopen(path_of(name), "wb");
    REQUIRE(file != NULL);
    for (int i = 0; i < count; i++)
        fprintf(file, "name %d%s", i, end);
    fputs(end, file);
    REQUIRE(fclose(file) == 0);
}

// Rows [begin, end) of [total] images in the order of write_batch.
static void check_read(const char *path, const struct lorac_rows *rows, size_t total, int classes, bool named)
{
    struct lorac_cifar cifar;
    struct lorac_error error = {0};
    CHECKF(lorac_cifar_is(path), "%s is not recognised", path);
    if (!CHECK_OK(lorac_cifar_read(path, rows, &cifar, &error), error))
        return;
    const size_t begin = rows->begin < total ? rows->begin : total, end = rows->end < total ? rows->end : total;
    CHECK(cifar.images.rank == 4 && cifar.images.dims[1] == 32 && cifar.images.dims[2] == 32 &&
          cifar.images.dims[3] == 3);
    CHECK(cifar.images.dtype == 'u' && cifar.images.item_bytes == 1);
    CHECK((size_t)cifar.images.dims[0] == total && cifar.images.byte_count == (end - begin) * IMAGE);
    CHECK(cifar.class_count == (size_t)classes);
    size_t wrong = 0;
    const uint8_t *pixels = cifar.images.data;
    for (size_t i = begin; i < end; i++) {
        wrong += cifar.labels[i - begin] != label_of(i, classes);
        for (size_t at = 0; at < IMAGE; at++)
            wrong += *pixels++ != byte_at(i, at % 3, at / 3);
    }
    CHECKF(wrong == 0, "%s: %zu values are wrong", path, wrong);
    CHECK((cifar.class_names != NULL) == named);
    if (cifar.class_names) {
        char last[16];
        snprintf(last, sizeof last, "name %d", classes - 1);
        CHECK_STRING(cifar.class_names[0], "name 0");
        CHECK_STRING(cifar.class_names[classes - 1], last);
    }
    lorac_cifar_clear(&cifar);
}

static void check_refused(const char *path, enum lorac_status status, const char *fragment)
{
    struct lorac_cifar cifar = {0};
    struct lorac_error error = {0};
    CHECKF(lorac_cifar_read(path, &all, &cifar, &error) == status, "%s: %s", fragment, error.message);
    CHECKF(strstr(error.message, fragment) && strstr(error.message, path), "'%s' lacks '%s'", error.message, fragment);
    CHECK(!cifar.images.data);
}

static void check_missing(const char *path, const char *name)
{
    struct lorac_cifar cifar;
    struct lorac_error error = {0};
    if (!CHECK_OK(lorac_cifar_read(path, &all, &cifar, &error), error))
        return;
    CHECKF(name ? cifar.missing && strcmp(cifar.missing, name) == 0 : !cifar.missing, "%s misses %s", path,
           cifar.missing ? cifar.missing : "nothing");
    lorac_cifar_clear(&cifar);
}

static void test_cifar10(void)
{
    start();
    write_batch("data_batch_1.bin", 0, 4, 10, 0);
    write_batch("data_batch_2.bin", 4, 3, 10, 0);
    write_batch("data_batch_3.bin", 7, 2, 10, 0);
    write_batch("test_batch.bin", 0, 5, 10, 0);
    check_read(path_of("test_batch.bin"), &all, 5, 10, false);
    write_names("batches.meta.txt", 10, "\n");
    check_read(path_of("data_batch_1.bin"), &all, 4, 10, true);
    check_read(root, &all, 9, 10, true);
    check_read("test_cifar_binary.dir/", &all, 9, 10, true);
    for (size_t begin = 0; begin < 9; begin++)
        check_read(root, &(struct lorac_rows){begin, begin + 3}, 9, 10, true);
    check_read(root, &(struct lorac_rows){20, 30}, 9, 10, true);
    check_missing(root, "data_batch_4.bin");
    check_missing(path_of("data_batch_1.bin"), NULL);
    write_batch("data_batch_5.bin", 9, 2, 10, 0);
    check_refused(root, LORAC_ERROR_FORMAT, "lacks data_batch_4.bin");
    write_batch("data_batch_4.bin", 9, 2, 10, 0);
    check_missing(root, NULL);
    unlink(path_of("data_batch_1.bin"));
    CHECK(lorac_cifar_is(root));
    check_refused(root, LORAC_ERROR_FORMAT, "lacks data_batch_1.bin");
}

static void test_cifar100(void)
{
    start();
    write_batch("train.bin", 0, 6, 100, 0);
    write_batch("test.bin", 0, 3, 100, 0);
    write_names("fine_label_names.txt", 100, "\r\n");
    check_read(path_of("test.bin"), &all, 3, 100, true);
    check_read(root, &all, 6, 100, true);
    check_missing(root, NULL);
}

static void test_refused(void)
{
    start();
    CHECK(!lorac_cifar_is(root) && !lorac_cifar_is("missing.bin"));
    check_refused(root, LORAC_ERROR_FORMAT, "holds neither data_batch_1.bin nor train.bin");
    check_refused("missing.bin", LORAC_ERROR_IO, "cannot open");
    write_batch("data_batch_1.bin", 0, 2, 10, 1);
    CHECK(!lorac_cifar_is(path_of("data_batch_1.bin")));
    check_refused(path_of("data_batch_1.bin"), LORAC_ERROR_FORMAT, "has 6147 bytes, no whole number of records");
    check_refused(root, LORAC_ERROR_FORMAT, "has 6147 bytes");
    write_batch("data_batch_1.bin", 0, 2, 10, 0);
    write_batch("data_batch_2.bin", 0, 2, 100, 0);
    check_refused(root, LORAC_ERROR_FORMAT, "data_batch_2.bin' has 6148 bytes");
    write_batch("data_batch_2.bin", 0, 2, 10, 0);
    FILE *file = fopen(path_of("data_batch_2.bin"), "r+b");
    REQUIRE(file != NULL && fseek(file, 3073, SEEK_SET) == 0 && fputc(17, file) == 17 && fclose(file) == 0);
    check_refused(root, LORAC_ERROR_FORMAT, "label 17 of image 3 is outside 0 .. 9: this is not CIFAR-10");
    write_batch("data_batch_2.bin", 0, 2, 10, 0);
    write_names("batches.meta.txt", 9, "\n");
    check_refused(root, LORAC_ERROR_FORMAT, "names 9 classes, and CIFAR-10 has 10");
    write_names("batches.meta.txt", 11, "\n");
    check_refused(root, LORAC_ERROR_FORMAT, "names 11 classes");
    file = fopen(path_of("empty.bin"), "wb");
    REQUIRE(file != NULL && fclose(file) == 0);
    check_refused(path_of("empty.bin"), LORAC_ERROR_FORMAT, "has 0 bytes");
    write_batch("other.dat", 0, 2, 10, 0);
    CHECK(!lorac_cifar_is(path_of("other.dat")));
}

int main(void)
{
    test_cifar10();
    test_cifar100();
    test_refused();
    start();
    rmdir(root);
    return check_report();
}
