// Small files for the tests of runtime/data, written byte by byte so that they do not share code with the readers.
#ifndef LORAC_TEST_DATA_FILES_H
#define LORAC_TEST_DATA_FILES_H

#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>
#include <zlib.h>

// A byte string that grows; fixed room is plenty for tests.
struct bytes {
    uint8_t at[1 << 16];
    size_t count;
};

__attribute__((unused)) static void put(struct bytes *bytes, const void *from, size_t count)
{
    REQUIRE(bytes->count + count <= sizeof bytes->at);
    memcpy(bytes->at + bytes->count, from, count);
    bytes->count += count;
}

__attribute__((unused)) static void put_number(struct bytes *bytes, uint64_t value, size_t width, bool big_endian)
{
    for (size_t i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * (big_endian ? width - 1 - i : i)));
        put(bytes, &byte, 1);
    }
}

// Magic, version, length and text of a .npy header.
__attribute__((unused)) static void put_npy_header(struct bytes *bytes, int version, const char *text)
{
    put(bytes, "\x93NUMPY", 6);
    put_number(bytes, (uint64_t)version, 1, false);
    put_number(bytes, 0, 1, false);
    put_number(bytes, strlen(text), version == 1 ? 2 : 4, false);
    put(bytes, text, strlen(text));
}

// A whole .npy of version 1, row-major.
__attribute__((unused)) static void put_npy(struct bytes *bytes, const char *descr, const char *shape, const void *data,
                                            size_t byte_count)
{
    char text[256];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape);
    put_npy_header(bytes, 1, text);
    put(bytes, data, byte_count);
}

__attribute__((unused)) static void write_plain(const char *path, const struct bytes *bytes)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    REQUIRE(fwrite(bytes->at, 1, bytes->count, file) == bytes->count);
    REQUIRE(fclose(file) == 0);
}

__attribute__((unused)) static void write_gzip(const char *path, const struct bytes *bytes)
{
    gzFile file = gzopen(path, "wb");
    REQUIRE(file != NULL);
    REQUIRE(gzwrite(file, bytes->at, (unsigned)bytes->count) == (int)bytes->count);
    REQUIRE(gzclose(file) == Z_OK);
}

__attribute__((unused)) static void read_plain(const char *path, struct bytes *bytes)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    bytes->count = fread(bytes->at, 1, sizeof bytes->at, file);
    fclose(file);
}

#endif
