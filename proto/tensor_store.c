#include "tensor_store.h"

#include "size.h"
#include "tensor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

// In the order of ONNX's numbers, which start at 1; from 17 on the distribution's schema has no names for them.
static const struct lorac_tensor_type TYPES[] = {
    {TYPE(FLOAT), "FLOAT", 4, 1, 1, true, LORAC_FIELD_FLOAT},
    {TYPE(UINT8), "UINT8", 1, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(INT8), "INT8", 1, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(UINT16), "UINT16", 2, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(INT16), "INT16", 2, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(INT32), "INT32", 4, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(INT64), "INT64", 8, 1, 1, true, LORAC_FIELD_INT64},
    {TYPE(STRING), "STRING", 0, 1, 1, false, LORAC_FIELD_STRING},
    {TYPE(BOOL), "BOOL", 1, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(FLOAT16), "FLOAT16", 2, 1, 1, true, LORAC_FIELD_INT32},
    {TYPE(DOUBLE), "DOUBLE", 8, 1, 1, true, LORAC_FIELD_DOUBLE},
    {TYPE(UINT32), "UINT32", 4, 1, 1, true, LORAC_FIELD_UINT64},
    {TYPE(UINT64), "UINT64", 8, 1, 1, true, LORAC_FIELD_UINT64},
    {TYPE(COMPLEX64), "COMPLEX64", 4, 2, 1, false, LORAC_FIELD_FLOAT},
    {TYPE(COMPLEX128), "COMPLEX128", 8, 2, 1, false, LORAC_FIELD_DOUBLE},
    {TYPE(BFLOAT16), "BFLOAT16", 2, 1, 1, true, LORAC_FIELD_INT32},
    {17, "FLOAT8E4M3FN", 1, 1, 1, false, LORAC_FIELD_INT32},
    {18, "FLOAT8E4M3FNUZ", 1, 1, 1, false, LORAC_FIELD_INT32},
    {19, "FLOAT8E5M2", 1, 1, 1, false, LORAC_FIELD_INT32},
    {20, "FLOAT8E5M2FNUZ", 1, 1, 1, false, LORAC_FIELD_INT32},
    {LORAC_TYPE_UINT4, "UINT4", 1, 1, 2, true, LORAC_FIELD_INT32},
    {LORAC_TYPE_INT4, "INT4", 1, 1, 2, true, LORAC_FIELD_INT32},
    {23, "FLOAT4E2M1", 1, 1, 2, false, LORAC_FIELD_INT32},
    {24, "FLOAT8E8M0", 1, 1, 1, false, LORAC_FIELD_INT32},
    {LORAC_TYPE_UINT2, "UINT2", 1, 1, 4, true, LORAC_FIELD_INT32},
    {LORAC_TYPE_INT2, "INT2", 1, 1, 4, true, LORAC_FIELD_INT32},
};

const struct lorac_tensor_type *lorac_tensor_type_find(int32_t data_type)
{
    size_t count = sizeof TYPES / sizeof TYPES[0];
    if (data_type < 1 || (size_t)data_type > count)
        return NULL;
    assert(TYPES[data_type - 1].data_type == data_type);
    return &TYPES[data_type - 1];
}

bool lorac_tensor_cells(const struct lorac_tensor_type *type, size_t count, size_t *cells)
{
    return lorac_size_multiply(count / type->packed + (count % type->packed != 0), type->cells, cells);
}

// ---- fields

enum lorac_tensor_field lorac_tensor_field_of(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type)
{
    return tensor->has_raw_data ? LORAC_FIELD_RAW : type->field;
}

size_t lorac_tensor_field_items(const Onnx__TensorProto *tensor, enum lorac_tensor_field field)
{
    switch (field) {
    case LORAC_FIELD_RAW:
        return tensor->has_raw_data ? tensor->raw_data.len : 0;
    case LORAC_FIELD_FLOAT:
        return tensor->n_float_data;
    case LORAC_FIELD_INT32:
        return tensor->n_int32_data;
    case LORAC_FIELD_STRING:
        return tensor->n_string_data;
    case LORAC_FIELD_INT64:
        return tensor->n_int64_data;
    case LORAC_FIELD_DOUBLE:
        return tensor->n_double_data;
    case LORAC_FIELD_UINT64:
        return tensor->n_uint64_data;
    case LORAC_FIELD_COUNT:
        break;
    }
    return 0;
}

uint64_t lorac_bits_load(const uint8_t *bytes, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits |= (uint64_t)bytes[i] << (8 * i);
    return bits;
}

void lorac_bits_store(uint8_t *bytes, size_t count, uint64_t bits)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
}

static uint64_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return value;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double bits_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t lorac_tensor_get_cell(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                               enum lorac_tensor_field field, size_t i)
{
    switch (field) {
    case LORAC_FIELD_RAW:
        return lorac_bits_load(tensor->raw_data.data + i * type->cell_bytes, type->cell_bytes);
    case LORAC_FIELD_FLOAT:
        return float_bits(tensor->float_data[i]);
    case LORAC_FIELD_INT32:
        // Small types are widened to 32 bits there: the low bytes are the element.
        return (uint32_t)tensor->int32_data[i] & (UINT64_MAX >> (64 - 8 * type->cell_bytes));
    case LORAC_FIELD_INT64:
        return (uint64_t)tensor->int64_data[i];
    case LORAC_FIELD_DOUBLE:
        return double_bits(tensor->double_data[i]);
    case LORAC_FIELD_UINT64:
        return tensor->uint64_data[i];
    case LORAC_FIELD_STRING:
    case LORAC_FIELD_COUNT:
        break;
    }
    assert(!"a string has no bits");
    return 0;
}

uint64_t lorac_tensor_get_bits(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                               enum lorac_tensor_field field, size_t i)
{
    if (type->packed == 1)
        return lorac_tensor_get_cell(tensor, type, field, i);
    const size_t bits = 8 * type->cell_bytes / type->packed;
    uint64_t cell = lorac_tensor_get_cell(tensor, type, field, i / type->packed);
    return cell >> (bits * (i % type->packed)) & ((UINT64_C(1) << bits) - 1);
}

void lorac_tensor_put_bits(Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                           enum lorac_tensor_field field, size_t i, uint64_t bits)
{
    if (field == LORAC_FIELD_RAW)
        lorac_bits_store(tensor->raw_data.data + i * type->cell_bytes, type->cell_bytes, bits);
    else if (field == LORAC_FIELD_FLOAT)
        tensor->float_data[i] = bits_float(bits);
    else if (field == LORAC_FIELD_DOUBLE)
        tensor->double_data[i] = bits_double(bits);
    else if (field == LORAC_FIELD_INT32)
        tensor->int32_data[i] = (int32_t)bits; // FLOAT16, BFLOAT16: 0 .. 65535
    else
        assert(!"only floating types are written");
}

// ---- small floating types: sign, [exponent_bits], [mantissa_bits], as in IEEE 754

struct small_float {
    int exponent_bits;
    int mantissa_bits;
};

static const struct small_float HALF = {5, 10}, BRAIN = {8, 7};

static double small_decode(struct small_float format, uint64_t bits)
{
    const int bias = (1 << (format.exponent_bits - 1)) - 1;
    const int exponent_ones = (1 << format.exponent_bits) - 1;
    const int exponent = (int)(bits >> format.mantissa_bits) & exponent_ones;
    const uint64_t mantissa = bits & ((UINT64_C(1) << format.mantissa_bits) - 1);
    double value;
    if (exponent == exponent_ones)
        value = mantissa ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp((double)mantissa, 1 - bias - format.mantissa_bits);
    else
        value = ldexp((double)(mantissa | UINT64_C(1) << format.mantissa_bits), exponent - bias - format.mantissa_bits);
    return bits >> (format.exponent_bits + format.mantissa_bits) & 1 ? -value : value;
}

// The significand with its leading 1 is shifted down so that its last bit is the last one that the format can hold at
// that exponent, rounding to nearest even. Added to the exponent field, a carry out of the rounding moves into the
// exponent by itself, from subnormal to normal and from the largest number to infinity too.
static uint64_t small_encode(struct small_float format, double value)
{
    const uint64_t wide = double_bits(value);
    const uint64_t sign = wide >> 63 << (format.exponent_bits + format.mantissa_bits);
    const uint64_t infinity = ((UINT64_C(1) << format.exponent_bits) - 1) << format.mantissa_bits;
    const int bias = (1 << (format.exponent_bits - 1)) - 1;
    if (isnan(value))
        return sign | infinity | UINT64_C(1) << (format.mantissa_bits - 1);
    const int exponent = (int)(wide >> 52 & 0x7ff) - 1023;
    if (isinf(value) || exponent > bias)
        return sign | infinity;
    const int smallest = 1 - bias; // exponent of the smallest normal number
    const int shift = 52 - format.mantissa_bits + (exponent < smallest ? smallest - exponent : 0);
    if (shift > 53) // under half of the smallest subnormal; double's own subnormals too
        return sign;
    const uint64_t significand = (wide & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    const uint64_t rest = significand & ((UINT64_C(1) << shift) - 1), half = UINT64_C(1) << (shift - 1);
    uint64_t rounded = significand >> shift;
    if (rest > half || (rest == half && rounded & 1))
        rounded++;
    const int field = exponent < smallest ? 0 : exponent - smallest;
    return sign | (((uint64_t)field << format.mantissa_bits) + rounded);
}

// ---- numbers

static struct lorac_number real(double value)
{
    return (struct lorac_number){LORAC_NUMBER_REAL, {.real = value}};
}

static struct lorac_number natural(uint64_t value)
{
    return (struct lorac_number){LORAC_NUMBER_UNSIGNED, {.natural = value}};
}

// [bits] as a two's complement integer of [width] bits.
static struct lorac_number integer(uint64_t bits, size_t width)
{
    uint64_t sign = UINT64_C(1) << (width - 1);
    int64_t value;
    bits = (bits ^ sign) - sign; // carries the sign up
    memcpy(&value, &bits, sizeof value);
    return (struct lorac_number){LORAC_NUMBER_SIGNED, {.integer = value}};
}

struct lorac_number lorac_tensor_decode(int32_t data_type, uint64_t bits)
{
    switch (data_type) {
    case TYPE(FLOAT):
        return real(bits_float(bits));
    case TYPE(DOUBLE):
        return real(bits_double(bits));
    case TYPE(FLOAT16):
        return real(small_decode(HALF, bits));
    case TYPE(BFLOAT16):
        return real(small_decode(BRAIN, bits));
    case LORAC_TYPE_INT2:
        return integer(bits, 2);
    case LORAC_TYPE_INT4:
        return integer(bits, 4);
    case TYPE(INT8):
        return integer(bits, 8);
    case TYPE(INT16):
        return integer(bits, 16);
    case TYPE(INT32):
        return integer(bits, 32);
    case TYPE(INT64):
        return integer(bits, 64);
    case TYPE(BOOL):
        return natural(bits != 0);
    default:
        return natural(bits);
    }
}

uint64_t lorac_tensor_encode(int32_t data_type, double value)
{
    switch (data_type) {
    case TYPE(FLOAT):
        return float_bits((float)value);
    case TYPE(DOUBLE):
        return double_bits(value);
    case TYPE(FLOAT16):
        return small_encode(HALF, value);
    case TYPE(BFLOAT16):
        return small_encode(BRAIN, value);
    default:
        assert(!"only floating types are written");
        return 0;
    }
}
