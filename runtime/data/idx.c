// IDX, the format of MNIST: two zero bytes, a type, the rank, one big-endian 32-bit size per dimension, the data in
// big-endian order, last dimension fastest.
#include "array.h"

#include <stdio.h>

static const struct {
    uint8_t code;
    char dtype;
    uint8_t item_bytes;
} idx_types[] = {
    {0x08, 'u', 1}, {0x09, 'i', 1}, {0x0B, 'i', 2}, {0x0C, 'i', 4}, {0x0D, 'f', 4}, {0x0E, 'f', 8},
};

static enum lorac_status read_type(uint8_t code, struct lorac_array *array, struct lorac_error *error)
{
    for (size_t i = 0; i < sizeof idx_types / sizeof idx_types[0]; i++)
        if (idx_types[i].code == code) {
            array->dtype = idx_types[i].dtype;
            array->item_bytes = idx_types[i].item_bytes;
            return LORAC_OK;
        }
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "is not IDX: its type byte is 0x%02x, which must be one of 08 09 0b 0c 0d 0e "
                           "(and it is not .npy)",
                           code);
}

enum lorac_status lorac_idx_read(struct lorac_stream *stream, const uint8_t magic[LORAC_MAGIC_BYTES],
                                 const struct lorac_rows *rows, struct lorac_array *out, struct lorac_error *error)
{
    LORAC_TRY(read_type(magic[2], out, error));
    out->rank = magic[3];
    if (out->rank == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is IDX of rank 0, which has no data");
    if (out->rank > LORAC_ARRAY_MAX_RANK)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "is IDX of rank %zu; at most %d is supported", out->rank,
                               LORAC_ARRAY_MAX_RANK);
    uint8_t sizes[4 * LORAC_ARRAY_MAX_RANK];
    LORAC_TRY(lorac_stream_read(stream, sizes, 4 * out->rank, "the IDX sizes", error));
    for (size_t i = 0; i < out->rank; i++) {
        const uint8_t *b = sizes + 4 * i;
        out->dims[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
    }
    return lorac_array_read_data(stream, true, rows, out, error);
}
