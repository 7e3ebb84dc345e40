#include "array.h"

#include "proto/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lorac_host_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

const char *lorac_shape_text(const int64_t *dims, size_t rank, char *text, size_t text_bytes)
{
    size_t used = 0;
    snprintf(text, text_bytes, "[]");
    for (size_t i = 0; i < rank && used < text_bytes; i++)
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%" PRId64 "%s", i == 0 ? "[" : ", ", dims[i],
                                 i + 1 == rank ? "]" : "");
    return text;
}

static void swap_bytes(uint8_t *bytes, size_t byte_count, size_t item_bytes)
{
    for (size_t start = 0; start < byte_count; start += item_bytes)
        for (size_t i = 0; i < item_bytes / 2; i++) {
            uint8_t kept = bytes[start + i];
            bytes[start + i] = bytes[start + item_bytes - 1 - i];
            bytes[start + item_bytes - 1 - i] = kept;
        }
}

// The bytes of the rows, of [total] for all.
static struct lorac_stream_part find_rows(const struct lorac_array *array, const struct lorac_rows *rows, size_t total)
{
    size_t count = array->rank > 0 ? (size_t)array->dims[0] : 1;
    if (total == 0)
        return (struct lorac_stream_part){0};
    size_t row_bytes = total / count;
    size_t begin = rows->begin < count ? rows->begin : count, end = rows->end < count ? rows->end : count;
    return (struct lorac_stream_part){
        .total = total, .begin = begin * row_bytes, .size = (begin < end ? end - begin : 0) * row_bytes};
}

void lorac_array_keep_rows(struct lorac_array *array, const struct lorac_rows *rows)
{
    const struct lorac_stream_part part = find_rows(array, rows, array->byte_count);
    if (part.size == array->byte_count)
        return;
    memmove(array->data, (const uint8_t *)array->data + part.begin, part.size);
    array->byte_count = part.size;
    void *smaller = realloc(array->data, part.size > 0 ? part.size : 1);
    if (smaller)
        array->data = smaller;
}

enum lorac_status lorac_array_read_data(struct lorac_stream *stream, bool big_endian, const struct lorac_rows *rows,
                                        struct lorac_array *array, struct lorac_error *error)
{
    char shape[LORAC_SHAPE_TEXT_BYTES];
    size_t byte_count;
    if (!lorac_size_of_dims(array->dims, array->rank, &byte_count) ||
        !lorac_size_multiply(byte_count, array->item_bytes, &byte_count))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "declares the shape %s of %zu-byte items, more than memory can address",
                               lorac_shape_text(array->dims, array->rank, shape, sizeof shape), array->item_bytes);
    const struct lorac_stream_part part = find_rows(array, rows, byte_count);
    LORAC_TRY(lorac_stream_read_rest(stream, &part, &array->data, error));
    array->byte_count = part.size;
    if (array->item_bytes > 1 && big_endian != lorac_host_is_big_endian())
        swap_bytes(array->data, part.size, array->item_bytes);
    return LORAC_OK;
}

static enum lorac_status unknown_format(const uint8_t *magic, struct lorac_error *error)
{
    static const struct {
        const char *bytes, *hint;
    } known[] = {
        {"PK\3\4", " (a zip or .npz archive: save the one array with numpy.save)"},
        {"\x89PNG", " (a PNG picture)"},
        {"\xff\xd8\xff", " (a JPEG picture)"},
        {"\x89HDF", " (an HDF5 file: save the one array with numpy.save)"},
    };
    const char *hint = "";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (memcmp(magic, known[i].bytes, strlen(known[i].bytes)) == 0)
            hint = known[i].hint;
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "is neither .npy nor IDX, gzipped or not: it starts with the bytes %02x %02x %02x %02x%s",
                           magic[0], magic[1], magic[2], magic[3], hint);
}

static enum lorac_status read_by_magic(struct lorac_stream *stream, const struct lorac_rows *rows,
                                       struct lorac_array *array, struct lorac_error *error)
{
    uint8_t magic[LORAC_MAGIC_BYTES];
    size_t got;
    LORAC_TRY(lorac_stream_read_some(stream, magic, sizeof magic, &got, error));
    if (got == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is empty; give a .npy or IDX file");
    if (got < sizeof magic)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is truncated: %zu bytes are too few for .npy or IDX", got);
    if (memcmp(magic, "\x93NUM", sizeof magic) == 0)
        return lorac_npy_read(stream, rows, array, error);
    if (magic[0] == 0 && magic[1] == 0)
        return lorac_idx_read(stream, magic, rows, array, error);
    return unknown_format(magic, error);
}

enum lorac_status lorac_array_read_rows(const char *path, const struct lorac_rows *rows, struct lorac_array *out,
                                        struct lorac_error *error)
{
    struct lorac_stream stream = {0};
    struct lorac_array array = {0};
    enum lorac_status status = lorac_stream_open(path, &stream, error);
    if (status == LORAC_OK)
        status = read_by_magic(&stream, rows, &array, error);
    lorac_stream_close(&stream);
    if (status == LORAC_OK)
        *out = array;
    else
        lorac_array_clear(&array);
    return lorac_error_prefix(error, status, "'%s': ", path);
}

enum lorac_status lorac_array_read(const char *path, struct lorac_array *out, struct lorac_error *error)
{
    const struct lorac_rows all = {0, SIZE_MAX};
    return lorac_array_read_rows(path, &all, out, error);
}

void lorac_array_clear(struct lorac_array *array)
{
    free(array->data);
    *array = (struct lorac_array){0};
}
