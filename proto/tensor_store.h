// Where the elements of a tensor are and what their bits mean: private to tensor*.c.
//
// Every element is one cell (complex types: two), and a cell is a bit pattern of 1, 2, 4 or 8 bytes in the low end of
// a uint64_t, whichever field it is stored in. Types of less than a byte have several elements in a cell, the first in
// its lowest bits. Reading is get_bits (of a packed type the element's alone), then decode; writing is encode, then
// put_bits.
#ifndef LORAC_TENSOR_STORE_H
#define LORAC_TENSOR_STORE_H

#include "model.h"

enum lorac_tensor_field {
    LORAC_FIELD_RAW,
    LORAC_FIELD_FLOAT,
    LORAC_FIELD_INT32,
    LORAC_FIELD_STRING,
    LORAC_FIELD_INT64,
    LORAC_FIELD_DOUBLE,
    LORAC_FIELD_UINT64,
    LORAC_FIELD_COUNT
};

struct lorac_tensor_type {
    int32_t data_type;
    const char *name;
    size_t cell_bytes;             // 0: has no raw form
    size_t cells;                  // per element
    size_t packed;                 // elements per cell
    bool has_numbers;              // they can be decoded
    enum lorac_tensor_field field; // where the elements are when they are not in raw_data
};

// A decoded element.
struct lorac_number {
    enum { LORAC_NUMBER_REAL, LORAC_NUMBER_SIGNED, LORAC_NUMBER_UNSIGNED } kind;
    union {
        double real;
        int64_t integer;
        uint64_t natural;
    };
};

// NULL for a type that is not known here.
const struct lorac_tensor_type *lorac_tensor_type_find(int32_t data_type);

// How many cells hold [count] elements; false where that overflows.
bool lorac_tensor_cells(const struct lorac_tensor_type *type, size_t count, size_t *cells);

// The field that holds the elements, raw_data where it is there; and how many items (bytes in raw_data) are in a field.
enum lorac_tensor_field lorac_tensor_field_of(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type);
size_t lorac_tensor_field_items(const Onnx__TensorProto *tensor, enum lorac_tensor_field field);

// Cell [i], which must be there (lorac_tensor_check). [field] is what lorac_tensor_field_of says.
uint64_t lorac_tensor_get_cell(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                               enum lorac_tensor_field field, size_t i);

// Element [i] of a type of one cell or less; put_bits not of a packed one.
uint64_t lorac_tensor_get_bits(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                               enum lorac_tensor_field field, size_t i);
void lorac_tensor_put_bits(Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                           enum lorac_tensor_field field, size_t i, uint64_t bits);

// Little-endian bytes, whatever the machine is.
uint64_t lorac_bits_load(const uint8_t *bytes, size_t count);
void lorac_bits_store(uint8_t *bytes, size_t count, uint64_t bits);

// For the types that have numbers.
struct lorac_number lorac_tensor_decode(int32_t data_type, uint64_t bits);

// For FLOAT, DOUBLE, FLOAT16, BFLOAT16: rounds once, to nearest even; too large becomes infinite.
uint64_t lorac_tensor_encode(int32_t data_type, double value);

#endif
