// A TensorProto read and written as numbers. The only place that knows in which of the schema's fields the
// bytes of a tensor are (raw_data, float_data, int32_data, int64_data, double_data) and how a type is stored;
// nobody else may touch those fields: they can be views of a mapped file, of the model's or of another one
// (external.h), at any alignment. What is in a file cannot be written: the tensor gets memory of its own first.
//
// Types read as numbers: FLOAT, DOUBLE, FLOAT16, BFLOAT16, INT2/4/8/16/32/64, UINT2/4/8/16/32/64, BOOL. Others are
// UNSUPPORTED. Layout is row-major as in ONNX; a convolution's weight is [M, C/g, kh, kw].
#ifndef LORAC_TENSOR_H
#define LORAC_TENSOR_H

#include "model.h"

// Element types that the distribution's schema has no name for. Two or four elements are in one byte, the first in its
// lowest bits; in int32_data each item is such a byte.
enum { LORAC_TYPE_UINT4 = 21, LORAC_TYPE_INT4 = 22, LORAC_TYPE_UINT2 = 25, LORAC_TYPE_INT2 = 26 };

// Number of elements; FORMAT where a dim is negative or the product overflows.
enum lorac_status lorac_tensor_count(const Onnx__TensorProto *tensor, size_t *count, struct lorac_error *error);

// Bytes that [count] elements of [data_type] take in raw form; false where they overflow, and for a type that has none
// (strings, unknown).
bool lorac_tensor_raw_bytes(int32_t data_type, size_t count, size_t *bytes);

// Whether that form is known: false for strings and for types that are not known here.
bool lorac_tensor_type_has_raw(int32_t data_type);

// The floating types that are worked with, trained and adapted: FLOAT, DOUBLE, FLOAT16 and BFLOAT16.
bool lorac_tensor_type_is_floating(int32_t data_type);

// "FLOAT", "INT64", ...; "type 99" is not built: unknown types give "unknown".
const char *lorac_tensor_type_name(int32_t data_type);

// Checks dims, type and that the stored field holds exactly the elements. FORMAT / UNSUPPORTED (segments; external data
// that were not loaded).
enum lorac_status lorac_tensor_check(const Onnx__TensorProto *tensor, struct lorac_error *error);

// Copies all elements out, converted: to float (one rounding for DOUBLE and 64-bit integers) or to int64
// (floating types must hold whole numbers). [count] must be the tensor's count (ARGUMENT else).
enum lorac_status lorac_tensor_to_float(const Onnx__TensorProto *tensor, float *out, size_t count,
                                        struct lorac_error *error);
enum lorac_status lorac_tensor_to_double(const Onnx__TensorProto *tensor, double *out, size_t count,
                                         struct lorac_error *error);
enum lorac_status lorac_tensor_to_int64(const Onnx__TensorProto *tensor, int64_t *out, size_t count,
                                        struct lorac_error *error);

// Gives a tensor whose elements are in a file memory of its own, so that writing to it later needs none. MEMORY.
enum lorac_status lorac_tensor_own(struct lorac_model *model, Onnx__TensorProto *tensor, struct lorac_error *error);
// Overwrites all elements in the field and type where they were: floating types only (FLOAT as they come,
// DOUBLE widened, FLOAT16 and BFLOAT16 rounded to nearest even). UNSUPPORTED for others. An element whose new
// value equals the stored one (converted) keeps its bits. The checksum of external data that change is taken out.
// MEMORY where the elements are in a file and there is none to copy them to. [model] may be NULL where they are not.
enum lorac_status lorac_tensor_set_float(struct lorac_model *model, Onnx__TensorProto *tensor, const float *values,
                                         size_t count, struct lorac_error *error);
// From double, rounded once to the stored type.
enum lorac_status lorac_tensor_set_double(struct lorac_model *model, Onnx__TensorProto *tensor, const double *values,
                                          size_t count, struct lorac_error *error);

// The elements in canonical raw little-endian form, whatever field they are stored in: what the base hash reads.
// malloc'ed, the caller frees. Strings are UNSUPPORTED.
enum lorac_status lorac_tensor_canonical_bytes(const Onnx__TensorProto *tensor, uint8_t **bytes, size_t *byte_count,
                                               struct lorac_error *error);

// The same bytes without a copy, where they are stored that way: NULL where they are not. Valid until the tensor is
// written or the model freed. The tensor must have passed lorac_tensor_check.
const uint8_t *lorac_tensor_canonical_view(const Onnx__TensorProto *tensor, size_t *byte_count);

// The elements where they lie, to be read only, of a FLOAT tensor of [count] elements: NULL where they must be copied
// to be read as floats, because they are stored in another way, not aligned, or not followed by [margin] readable
// bytes of the file. Valid until the tensor is written or the model freed.
const float *lorac_tensor_float_view(const struct lorac_model *model, const Onnx__TensorProto *tensor, size_t count,
                                     size_t margin);

// Says that the elements will not be read for some time: where they are in a file, their pages go.
void lorac_tensor_release(const struct lorac_model *model, const Onnx__TensorProto *tensor);

// How many bytes the canonical form has; 0 where there is none.
size_t lorac_tensor_canonical_size(const Onnx__TensorProto *tensor);

// A deep copy in the model's arena under a new name (the initialiser list is not touched).
enum lorac_status lorac_tensor_copy(struct lorac_model *model, const Onnx__TensorProto *tensor, const char *name,
                                    Onnx__TensorProto **out, struct lorac_error *error);

#endif
