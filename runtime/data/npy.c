// NumPy's .npy: "\x93NUMPY", version, length of the header (2 bytes in version 1, 4 in 2 and 3), the header, the data.
// The header is the text of a Python dictionary with exactly the keys descr, fortran_order and shape; version 3 differs
// from 2 only in that it may hold UTF-8, which no type read here needs.
#include "array.h"

#include "proto/model.h" // lorac_file_write
#include "proto/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_HEADER_BYTES = 65535, // what version 1 can say; only structured types need more
    ALIGNMENT = 64,           // the data written start at a multiple of this
};

// ---- header

struct header {
    const char *start, *at, *end;
    bool has_descr, has_order, has_shape;
    bool big_endian, fortran_order;
    struct lorac_array *array; // type and shape go here
};

static enum lorac_status bad_header(const struct header *header, const char *rule, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "bad .npy header at its byte %zu: %s",
                           (size_t)(header->at - header->start), rule);
}

static void skip_space(struct header *header)
{
    while (header->at < header->end && (*header->at == ' ' || *header->at == '\t' || *header->at == '\n'))
        header->at++;
}

// Skips space, then [character] where it is next.
static bool accept(struct header *header, char character)
{
    skip_space(header);
    if (header->at == header->end || *header->at != character)
        return false;
    header->at++;
    return true;
}

static bool accept_word(struct header *header, const char *word)
{
    skip_space(header);
    size_t length = strlen(word);
    if ((size_t)(header->end - header->at) < length || memcmp(header->at, word, length) != 0)
        return false;
    header->at += length;
    return true;
}

static enum lorac_status read_string(struct header *header, char *text, size_t text_bytes, struct lorac_error *error)
{
    char quote = '\'';
    if (!accept(header, quote) && !accept(header, quote = '"'))
        return bad_header(header, "a quoted string is expected", error);
    const char *close = memchr(header->at, quote, (size_t)(header->end - header->at));
    if (!close)
        return bad_header(header, "a string is not closed", error);
    size_t length = (size_t)(close - header->at);
    if (length >= text_bytes || memchr(header->at, '\\', length) || memchr(header->at, '\0', length))
        return bad_header(header, "a string is too long or holds a backslash or a zero byte", error);
    memcpy(text, header->at, length);
    text[length] = '\0';
    header->at = close + 1;
    return LORAC_OK;
}

static const struct {
    const char *descr; // without the byte order
    char dtype;
    uint8_t item_bytes;
} npy_types[] = {
    {"u1", 'u', 1}, {"u2", 'u', 2}, {"u4", 'u', 4}, {"u8", 'u', 8}, {"i1", 'i', 1}, {"i2", 'i', 2},
    {"i4", 'i', 4}, {"i8", 'i', 8}, {"f4", 'f', 4}, {"f8", 'f', 8}, {"b1", 'b', 1}, {"?", 'b', 1},
};

static enum lorac_status read_descr(struct header *header, struct lorac_error *error)
{
    skip_space(header);
    if (header->at < header->end && *header->at == '[')
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "has a structured dtype; save one field alone as an array of numbers");
    char descr[32];
    LORAC_TRY(read_string(header, descr, sizeof descr, error));
    const char *type = descr;
    char order = '=';
    if (*type != '\0' && strchr("<>=|", *type))
        order = *type++;
    for (size_t i = 0; i < sizeof npy_types / sizeof npy_types[0]; i++) {
        if (strcmp(npy_types[i].descr, type) != 0)
            continue;
        if (order == '|' && npy_types[i].item_bytes > 1)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "bad .npy header: dtype '%s' has no byte order", descr);
        header->array->dtype = npy_types[i].dtype;
        header->array->item_bytes = npy_types[i].item_bytes;
        header->big_endian = order == '>' || (order == '=' && lorac_host_is_big_endian());
        return LORAC_OK;
    }
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "has the dtype '%s'%s; integers of 1 to 8 bytes, float32, float64 and bool are supported: "
                           "convert it with astype(...) before numpy.save",
                           descr,
                           strcmp(type, "f2") == 0 ? " (float16)"
                           : *type == 'O'          ? " (Python objects)"
                                                   : "");
}

static enum lorac_status read_order(struct header *header, struct lorac_error *error)
{
    header->fortran_order = accept_word(header, "True");
    if (!header->fortran_order && !accept_word(header, "False"))
        return bad_header(header, "fortran_order must be True or False", error);
    return LORAC_OK;
}

static enum lorac_status read_dim(struct header *header, struct lorac_error *error)
{
    struct lorac_array *array = header->array;
    skip_space(header);
    if (header->at == header->end || *header->at < '0' || *header->at > '9')
        return bad_header(header, "a dimension must be a whole number, not negative", error);
    int64_t dim = 0;
    for (; header->at < header->end && *header->at >= '0' && *header->at <= '9'; header->at++) {
        int digit = *header->at - '0';
        if (dim > (INT64_MAX - digit) / 10)
            return bad_header(header, "a dimension is larger than 9223372036854775807", error);
        dim = dim * 10 + digit;
    }
    if (array->rank == LORAC_ARRAY_MAX_RANK)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "has more than %d dimensions", LORAC_ARRAY_MAX_RANK);
    array->dims[array->rank++] = dim;
    return LORAC_OK;
}

static enum lorac_status read_shape(struct header *header, struct lorac_error *error)
{
    if (!accept(header, '('))
        return bad_header(header, "shape must be a tuple", error);
    while (!accept(header, ')')) {
        LORAC_TRY(read_dim(header, error));
        if (accept(header, ','))
            continue;
        if (header->array->rank == 1 || !accept(header, ')')) // (3) is a number to Python, (3,) a tuple
            return bad_header(header, "a comma is missing in shape", error);
        return LORAC_OK;
    }
    return LORAC_OK;
}

static enum lorac_status read_entry(struct header *header, struct lorac_error *error)
{
    const struct {
        const char *key;
        bool *seen;
        enum lorac_status (*read)(struct header *, struct lorac_error *);
    } entries[] = {
        {"descr", &header->has_descr, read_descr},
        {"fortran_order", &header->has_order, read_order},
        {"shape", &header->has_shape, read_shape},
    };
    char key[32];
    LORAC_TRY(read_string(header, key, sizeof key, error));
    if (!accept(header, ':'))
        return bad_header(header, "a ':' is expected after a key", error);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(entries[i].key, key) != 0)
            continue;
        if (*entries[i].seen)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "bad .npy header: the key '%s' is there twice", key);
        *entries[i].seen = true;
        return entries[i].read(header, error);
    }
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "bad .npy header: unknown key '%s'; descr, fortran_order and shape are expected", key);
}

static enum lorac_status parse_header(struct header *header, struct lorac_error *error)
{
    if (!accept(header, '{'))
        return bad_header(header, "a '{' is expected", error);
    while (!accept(header, '}')) {
        LORAC_TRY(read_entry(header, error));
        if (accept(header, ','))
            continue;
        if (!accept(header, '}'))
            return bad_header(header, "a ',' or '}' is expected after a value", error);
        break;
    }
    skip_space(header);
    if (header->at != header->end)
        return bad_header(header, "there is something after the closing '}'", error);
    const char *missing = !header->has_descr ? "descr" : !header->has_order ? "fortran_order" : "shape";
    if (!header->has_descr || !header->has_order || !header->has_shape)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "bad .npy header: the key '%s' is missing", missing);
    return LORAC_OK;
}

// ---- data

// Fortran order (first index fastest) to row-major.
static enum lorac_status transpose(struct lorac_array *array, struct lorac_error *error)
{
    size_t item = array->item_bytes, index[LORAC_ARRAY_MAX_RANK] = {0}, stride[LORAC_ARRAY_MAX_RANK];
    if (array->rank < 2 || array->byte_count == 0)
        return LORAC_OK;
    uint8_t *to = malloc(array->byte_count);
    if (!to)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu bytes of data", array->byte_count);
    stride[0] = item;
    for (size_t k = 1; k < array->rank; k++)
        stride[k] = stride[k - 1] * (size_t)array->dims[k - 1];
    size_t from = 0;
    for (size_t done = 0; done < array->byte_count; done += item) {
        memcpy(to + done, (const uint8_t *)array->data + from, item);
        for (size_t k = array->rank; k-- > 0;) { // the next index in row-major order, `from` in step with it
            from += stride[k];
            if (++index[k] < (size_t)array->dims[k])
                break;
            from -= index[k] * stride[k];
            index[k] = 0;
        }
    }
    free(array->data);
    array->data = to;
    return LORAC_OK;
}

static enum lorac_status read_header_length(struct lorac_stream *stream, size_t *length, struct lorac_error *error)
{
    uint8_t start[4]; // "PY", major and minor version
    LORAC_TRY(lorac_stream_read(stream, start, sizeof start, "the .npy magic", error));
    if (memcmp(start, "PY", 2) != 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is not .npy: it starts with NUM%c%c instead of NUMPY",
                               start[0], start[1]);
    if (start[2] < 1 || start[2] > 3 || start[3] != 0)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "is .npy version %d.%d; 1.0, 2.0 and 3.0 are supported",
                               start[2], start[3]);
    uint8_t bytes[4] = {0};
    LORAC_TRY(lorac_stream_read(stream, bytes, start[2] == 1 ? 2 : 4, "the .npy header length", error));
    *length = bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (*length > MAX_HEADER_BYTES)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "declares a .npy header of %zu bytes; at most %d are read",
                               *length, MAX_HEADER_BYTES);
    return LORAC_OK;
}

enum lorac_status lorac_npy_read(struct lorac_stream *stream, const struct lorac_rows *rows, struct lorac_array *out,
                                 struct lorac_error *error)
{
    static const struct lorac_rows all = {0, SIZE_MAX};
    size_t length = 0;
    LORAC_TRY(read_header_length(stream, &length, error));
    char *text = malloc(length + 1);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a header of %zu bytes", length);
    struct header header = {.start = text, .at = text, .end = text + length, .array = out};
    enum lorac_status status = lorac_stream_read(stream, text, length, "the .npy header", error);
    if (status == LORAC_OK)
        status = parse_header(&header, error);
    free(text);
    LORAC_TRY(status);
    LORAC_TRY(lorac_array_read_data(stream, header.big_endian, header.fortran_order ? &all : rows, out, error));
    if (header.fortran_order) {
        LORAC_TRY(transpose(out, error));
        lorac_array_keep_rows(out, rows);
    }
    return LORAC_OK;
}

// ---- writing

static void put_f32_little_endian(uint8_t *to, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        for (int b = 0; b < 4; b++)
            to[4 * i + (size_t)b] = (uint8_t)(bits >> (8 * b));
    }
}

enum lorac_status lorac_npy_write_f32(const char *path, const float *values, size_t rows, size_t columns,
                                      struct lorac_error *error)
{
    enum { PREFIX_BYTES = 10, HEAD_BYTES = 2 * ALIGNMENT }; // two 20-digit numbers still fit
    char dictionary[HEAD_BYTES];
    int length = snprintf(dictionary, sizeof dictionary,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    size_t count, byte_count;
    if (length < 0 || length > HEAD_BYTES - PREFIX_BYTES - 1 || !lorac_size_multiply(rows, columns, &count) ||
        !lorac_size_multiply(count, sizeof(float), &byte_count) || !lorac_size_add(byte_count, HEAD_BYTES, &byte_count))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s': %zu rows of %zu values are too many to write", path,
                               rows, columns);
    uint8_t *bytes = malloc(byte_count);
    if (!bytes)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory for %zu bytes", path, byte_count);
    memset(bytes, ' ', HEAD_BYTES);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = HEAD_BYTES - PREFIX_BYTES;
    bytes[9] = 0;
    memcpy(bytes + PREFIX_BYTES, dictionary, (size_t)length);
    bytes[HEAD_BYTES - 1] = '\n';
    put_f32_little_endian(bytes + HEAD_BYTES, values, count);
    enum lorac_status status = lorac_file_write(path, bytes, byte_count, error);
    free(bytes);
    return status;
}
