// Laid out forwards, so that every offset points forwards, as the format wants it:
//
//     root offset, "TORT"
//     Adapter's vtable and table
//     the vector of offsets to the parameters
//     Parameter's vtable, one for all
//     for each parameter: its table, name, dims, raw_data
//
// A vtable says where in its table each field is; a table begins with the distance back to its vtable. Strings and
// vectors begin with their length. Numbers are little endian and at multiples of their size; an offset counts from where
// it stands.
#include "onnx_adapter.h"

#include <stdlib.h>
#include <string.h>

// Both tables have four fields of 4 bytes behind the distance.
enum { FIELDS = 4, FIELD_BYTES = 4, TABLE_BYTES = FIELD_BYTES * (1 + FIELDS), VTABLE_BYTES = 2 * (2 + FIELDS) };
enum { FORMAT_VERSION = 1 };

// With bytes NULL nothing is written: the first of two walks finds the size.
struct writer {
    uint8_t *bytes;
    size_t at;
};

static void put(struct writer *writer, uint64_t value, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++, writer->at++)
        if (writer->bytes)
            writer->bytes[writer->at] = (uint8_t)(value >> (8 * i));
}

static void put_bytes(struct writer *writer, const void *bytes, size_t byte_count)
{
    if (writer->bytes && byte_count > 0)
        memcpy(writer->bytes + writer->at, bytes, byte_count);
    writer->at += byte_count;
}

// Zeros until what follows [ahead] more bytes is at a multiple of [alignment].
static void align(struct writer *writer, size_t ahead, size_t alignment)
{
    while ((writer->at + ahead) % alignment != 0)
        put(writer, 0, 1);
}

// The offset at [field] points here.
static void point_here(struct writer *writer, size_t field)
{
    struct writer there = {writer->bytes, field};
    put(&there, writer->at - field, 4);
}

static size_t put_vtable(struct writer *writer)
{
    size_t begin = writer->at;
    put(writer, VTABLE_BYTES, 2);
    put(writer, TABLE_BYTES, 2);
    for (size_t i = 0; i < FIELDS; i++)
        put(writer, FIELD_BYTES * (1 + i), 2);
    return begin;
}

// The table's first field follows.
static void begin_table(struct writer *writer, size_t vtable)
{
    align(writer, 0, 4);
    put(writer, writer->at - vtable, 4);
}

static void put_parameter(struct writer *writer, size_t vtable, const struct lorac_safetensor *tensor)
{
    begin_table(writer, vtable);
    size_t name = writer->at, dims = name + FIELD_BYTES, raw_data = name + 3 * FIELD_BYTES;
    put(writer, 0, 2 * FIELD_BYTES); // name and dims
    put(writer, (uint32_t)tensor->data_type, 4);
    put(writer, 0, FIELD_BYTES);

    size_t length = strlen(tensor->name);
    point_here(writer, name);
    put(writer, length, 4);
    put_bytes(writer, tensor->name, length + 1); // a zero ends it, too

    align(writer, 4, 8);
    point_here(writer, dims);
    put(writer, tensor->rank, 4);
    for (size_t i = 0; i < tensor->rank; i++)
        put(writer, (uint64_t)tensor->dims[i], 8);

    align(writer, 4, 8);
    point_here(writer, raw_data);
    put(writer, tensor->byte_count, 4);
    put_bytes(writer, tensor->bytes, tensor->byte_count);
}

static void put_file(struct writer *writer, const struct lorac_safetensor *tensors, size_t count)
{
    put(writer, 0, 4);
    put_bytes(writer, "TORT", 4);
    size_t vtable = put_vtable(writer);
    align(writer, 0, 4);
    point_here(writer, 0);
    begin_table(writer, vtable);
    put(writer, FORMAT_VERSION, 4);
    put(writer, 0, 2 * FIELD_BYTES); // adapter_version and model_version
    size_t parameters = writer->at;
    put(writer, 0, FIELD_BYTES);

    point_here(writer, parameters);
    put(writer, count, 4);
    size_t offsets = writer->at;
    for (size_t i = 0; i < count; i++)
        put(writer, 0, 4);
    vtable = put_vtable(writer);
    for (size_t i = 0; i < count; i++) {
        align(writer, 0, 4);
        point_here(writer, offsets + 4 * i);
        put_parameter(writer, vtable, &tensors[i]);
    }
    align(writer, 0, 8);
}

enum lorac_status lorac_onnx_adapter_pack(const struct lorac_safetensor *tensors, size_t count, uint8_t **bytes,
                                          size_t *byte_count, struct lorac_error *error)
{
    struct writer writer = {0};
    put_file(&writer, tensors, count);
    size_t total = writer.at;
    if (total > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "onnx_adapter: %zu bytes: FlatBuffers are smaller than 2 GiB", total);
    writer = (struct writer){malloc(total), 0};
    if (!writer.bytes)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "onnx_adapter: out of memory for %zu bytes", total);
    put_file(&writer, tensors, count);
    *bytes = writer.bytes;
    *byte_count = total;
    return LORAC_OK;
}
