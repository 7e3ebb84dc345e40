// The safetensors format: named tensors and a few texts in one file.
//
//     uint64   N, the bytes of the header, little endian
//     N bytes  JSON: {"__metadata__":{"key":"text",...}, "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...}
//     rest     the tensors' elements, row-major, little endian, one tensor behind the other
//
// Read strictly, since anybody may have written the file: the header must be JSON with no key twice, and the tensors
// must fill the rest of the file without a gap or an overlap. Written with the header padded by spaces, so that the
// elements begin at a multiple of 8 bytes, and larger types first, so that each tensor lies at a multiple of its own.
#ifndef LORAC_SAFETENSORS_H
#define LORAC_SAFETENSORS_H

#include "arena.h"
#include "lorac_status.h"

#include <stddef.h>
#include <stdint.h>

struct lorac_safetensor {
    const char *name;  // not empty
    int32_t data_type; // the number of TensorProto.DataType: FLOAT, DOUBLE, FLOAT16, BFLOAT16, BOOL, whole numbers
    size_t rank;
    const int64_t *dims;  // [rank]
    const uint8_t *bytes; // [byte_count], at any alignment
    size_t byte_count;
};

struct lorac_safetensors_text {
    const char *key, *value;
};

struct lorac_safetensors {
    size_t tensor_count, text_count;
    struct lorac_safetensor *tensors;     // read: in the order of their bytes
    struct lorac_safetensors_text *texts; // in the order of the header
};

// The longest header that is read (16 MiB) and the highest rank.
enum { LORAC_SAFETENSORS_MAX_HEADER = 16 << 20, LORAC_SAFETENSORS_MAX_RANK = 8 };

// Reads a whole file in memory. Names, dims and texts are copied into [arena]; tensors are views of [bytes], which must
// stay as long. Errors: FORMAT (naming the tensor and the values), UNSUPPORTED (a dtype that is not known), MEMORY.
enum lorac_status lorac_safetensors_read(struct lorac_arena *arena, const uint8_t *bytes, size_t byte_count,
                                         struct lorac_safetensors *out, struct lorac_error *error);

// The file that holds [content], malloc'ed. Tensors are ordered by the size of their type, then as they come. Errors:
// FORMAT (a name or text that is not UTF-8), UNSUPPORTED (a type without a dtype), MEMORY.
enum lorac_status lorac_safetensors_pack(const struct lorac_safetensors *content, uint8_t **bytes, size_t *byte_count,
                                         struct lorac_error *error);

// The text of [key], or NULL.
const char *lorac_safetensors_text(const struct lorac_safetensors *content, const char *key);

#endif
