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

enum lorac_status lorac_array_read_data(struct lorac_stream *stream, bool big_endian, struct lorac_array *array,
                                        struct lorac_error *error)
{
    char shape[LORAC_SHAPE_TEXT_BYTES];
    size_t byte_count;
    if (!lorac_size_of_dims(array->dims, array->rank, &byte_count) ||
        !lorac_size_multiply(byte_count, array->item_bytes, &byte_count))
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "declares the shape %s of %zu-byte items, more than memory can address",
                               lorac_shape_text(array->dims, array->rank, shape, sizeof shape), array->item_bytes);
    LORAC_TRY(lorac_stream_read_rest(stream, byte_count, &array->data, error));
    array->byte_count = byte_count;
    if (array->item_bytes > 1 && big_endian != lorac_host_is_big_endian())
        swap_bytes(array->data, byte_count, array->item_bytes);
    return LORAC_OK;
}

static enum lorac_status unknown_format(const uint8_t *magic, struct lorac_error *error)
{
    static const struct {
        const char *bytes, *hint;
    } known[] = {
        {"PK\3\4", " (a zip or .npz archive: save the one array with numpy.save)"},
        {"\x89PNG", " (a PNG picture: put the pictures into one array with numpy.save)"},
        {"\xff\xd8\xff", " (a JPEG picture: put the pictures into one array with numpy.save)"},
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

static enum lorac_status read_by_magic(struct lorac_stream *stream, struct lorac_array *array,
                                       struct lorac_error *error)
{
    uint8_t magic[LORAC_MAGIC_BYTES];
    size_t got;
    LORAC_TRY(lorac_stream_read_some(stream, magic, sizeof magic, &got, error));
    if (got == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is empty; give a .npy or IDX file");
    if (got < sizeof magic)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is truncated: %zu bytes are too few for .npy or IDX", got);
    if (memcmp(magic, "\x93NUM", sizeof magic) == 0)
        return lorac_npy_read(stream, array, error);
    if (magic[0] == 0 && magic[1] == 0)
        return lorac_idx_read(stream, magic, array, error);
    return unknown_format(magic, error);
}

enum lorac_status lorac_array_read(const char *path, struct lorac_array *out, struct lorac_error *error)
{
    struct lorac_stream stream = {0};
    struct lorac_array array = {0};
    enum lorac_status status = lorac_stream_open(path, &stream, error);
    if (status == LORAC_OK)
        status = read_by_magic(&stream, &array, error);
    lorac_stream_close(&stream);
    if (status == LORAC_OK) {
        *out = array;
    } else {
        lorac_array_clear(&array);
        lorac_error_prefix(error, "'%s': ", path);
    }
    return status;
}

void lorac_array_clear(struct lorac_array *array)
{
    free(array->data);
    *array = (struct lorac_array){0};
}
