#include "tensor.h"

#include "external.h"
#include "model_internal.h"
#include "size.h"
#include "tensor_store.h"
#include "wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

static const char *tensor_name(const Onnx__TensorProto *tensor)
{
    return tensor->name && *tensor->name ? tensor->name : "(unnamed)";
}

static const char *const FIELD_NAMES[LORAC_FIELD_COUNT] = {"raw_data",   "float_data",  "int32_data", "string_data",
                                                           "int64_data", "double_data", "uint64_data"};

// ---- looking

bool lorac_tensor_type_has_raw(int32_t data_type)
{
    const struct lorac_tensor_type *type = lorac_tensor_type_find(data_type);
    return type && type->cell_bytes > 0;
}

bool lorac_tensor_raw_bytes(int32_t data_type, size_t count, size_t *bytes)
{
    const struct lorac_tensor_type *type = lorac_tensor_type_find(data_type);
    size_t cells;
    return lorac_tensor_type_has_raw(data_type) && lorac_tensor_cells(type, count, &cells) &&
           lorac_size_multiply(cells, type->cell_bytes, bytes);
}

const char *lorac_tensor_type_name(int32_t data_type)
{
    const struct lorac_tensor_type *type = lorac_tensor_type_find(data_type);
    return type ? type->name : "unknown";
}

bool lorac_tensor_type_is_floating(int32_t data_type)
{
    return data_type == TYPE(FLOAT) || data_type == TYPE(DOUBLE) || data_type == TYPE(FLOAT16) ||
           data_type == TYPE(BFLOAT16);
}

enum lorac_status lorac_tensor_count(const Onnx__TensorProto *tensor, size_t *count, struct lorac_error *error)
{
    if (!lorac_size_of_dims(tensor->dims, tensor->n_dims, count))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' has impossible dims %s", tensor_name(tensor),
                               lorac_dims_format(tensor->dims, tensor->n_dims).text);
    return LORAC_OK;
}

// ---- checking

// That every item of a field wider than the type is one of the type's values.
static enum lorac_status check_narrow_items(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                                            struct lorac_error *error)
{
    const unsigned bits = 8 * (unsigned)type->cell_bytes;
    const bool is_signed = type->data_type == TYPE(INT8) || type->data_type == TYPE(INT16);
    const int64_t low = is_signed ? -(INT64_C(1) << (bits - 1)) : 0;
    int64_t high = (INT64_C(1) << (is_signed ? bits - 1 : bits)) - 1;
    if (type->data_type == TYPE(BOOL))
        high = 1;
    size_t count = lorac_tensor_field_items(tensor, type->field);
    for (size_t i = 0; i < count; i++) {
        bool is_wide = type->field == LORAC_FIELD_UINT64;
        if (is_wide ? tensor->uint64_data[i] <= (uint64_t)high
                    : tensor->int32_data[i] >= low && tensor->int32_data[i] <= high)
            continue;
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "element %zu of tensor '%s' in %s is outside %s (%" PRId64 " .. %" PRId64 ")", i,
                               tensor_name(tensor), FIELD_NAMES[type->field], type->name, low, high);
    }
    return LORAC_OK;
}

static enum lorac_status check_field(const Onnx__TensorProto *tensor, const struct lorac_tensor_type *type,
                                     size_t count, struct lorac_error *error)
{
    enum lorac_tensor_field field = lorac_tensor_field_of(tensor, type);
    for (int other = 0; other < LORAC_FIELD_COUNT; other++)
        if (other != (int)field && lorac_tensor_field_items(tensor, (enum lorac_tensor_field)other) > 0)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' of type %s has data in %s, not only in %s",
                                   tensor_name(tensor), type->name, FIELD_NAMES[other], FIELD_NAMES[field]);
    if (field == LORAC_FIELD_RAW && type->cell_bytes == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' of type %s has raw_data: not allowed",
                               tensor_name(tensor), type->name);
    size_t wanted = SIZE_MAX, got = lorac_tensor_field_items(tensor, field);
    bool fits = lorac_tensor_cells(type, count, &wanted) &&
                lorac_size_multiply(wanted, field == LORAC_FIELD_RAW ? type->cell_bytes : 1, &wanted);
    if (!fits || wanted != got)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "tensor '%s' of type %s and dims %s has %zu %s in %s, not %zu", tensor_name(tensor),
                               type->name, lorac_dims_format(tensor->dims, tensor->n_dims).text, got,
                               field == LORAC_FIELD_RAW ? "bytes"
                               : type->packed > 1       ? "items"
                                                        : "elements",
                               FIELD_NAMES[field], wanted);
    bool widened =
        (field == LORAC_FIELD_INT32 && type->cell_bytes < 4) || (field == LORAC_FIELD_UINT64 && type->cell_bytes < 8);
    return widened ? check_narrow_items(tensor, type, error) : LORAC_OK;
}

enum lorac_status lorac_tensor_check(const Onnx__TensorProto *tensor, struct lorac_error *error)
{
    size_t count = 0;
    if (lorac_tensor_is_external(tensor) && !tensor->has_raw_data)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "tensor '%s' is in another file, which was not read: load the model from its file",
                               tensor_name(tensor));
    if (tensor->segment)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "tensor '%s' is stored in segments: not supported",
                               tensor_name(tensor));
    LORAC_TRY(lorac_tensor_count(tensor, &count, error));
    if (tensor->data_type <= 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' has no data type", tensor_name(tensor));
    // A type newer than the schema: nothing is known about its size. Whoever wants its numbers will refuse it.
    const struct lorac_tensor_type *type = lorac_tensor_type_find(tensor->data_type);
    return type ? check_field(tensor, type, count, error) : LORAC_OK;
}

// ---- reading

// What every reader and writer needs to know, checked.
struct view {
    const struct lorac_tensor_type *type;
    enum lorac_tensor_field field;
    size_t count;
};

static enum lorac_status open_view(const Onnx__TensorProto *tensor, struct view *out, struct lorac_error *error)
{
    struct view view = {NULL, LORAC_FIELD_RAW, 0};
    LORAC_TRY(lorac_tensor_check(tensor, error));
    LORAC_TRY(lorac_tensor_count(tensor, &view.count, error));
    view.type = lorac_tensor_type_find(tensor->data_type);
    if (!view.type)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "tensor '%s' has data type %d: not supported",
                               tensor_name(tensor), (int)tensor->data_type);
    view.field = lorac_tensor_field_of(tensor, view.type);
    *out = view;
    return LORAC_OK;
}

static enum lorac_status open_numbers(const Onnx__TensorProto *tensor, size_t count, struct view *view,
                                      struct lorac_error *error)
{
    LORAC_TRY(open_view(tensor, view, error));
    if (!view->type->has_numbers)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "tensor '%s' has data type %s: not supported as numbers",
                               tensor_name(tensor), view->type->name);
    if (view->count != count)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "tensor '%s' %s has %zu elements, not %zu",
                               tensor_name(tensor), lorac_dims_format(tensor->dims, tensor->n_dims).text, view->count,
                               count);
    return LORAC_OK;
}

static struct lorac_number number_at(const Onnx__TensorProto *tensor, const struct view *view, size_t i)
{
    return lorac_tensor_decode(view->type->data_type, lorac_tensor_get_bits(tensor, view->type, view->field, i));
}

// One rounding: a 64-bit integer must not pass through double on its way to float.
static float number_to_float(struct lorac_number number)
{
    switch (number.kind) {
    case LORAC_NUMBER_SIGNED:
        return (float)number.integer;
    case LORAC_NUMBER_UNSIGNED:
        return (float)number.natural;
    case LORAC_NUMBER_REAL:
        break;
    }
    return (float)number.real;
}

static double number_to_double(struct lorac_number number)
{
    switch (number.kind) {
    case LORAC_NUMBER_SIGNED:
        return (double)number.integer;
    case LORAC_NUMBER_UNSIGNED:
        return (double)number.natural;
    case LORAC_NUMBER_REAL:
        break;
    }
    return number.real;
}

// False where the number is not one that int64 has.
static bool number_to_int64(struct lorac_number number, int64_t *out)
{
    switch (number.kind) {
    case LORAC_NUMBER_SIGNED:
        *out = number.integer;
        return true;
    case LORAC_NUMBER_UNSIGNED:
        *out = (int64_t)(number.natural & INT64_MAX);
        return number.natural <= INT64_MAX;
    case LORAC_NUMBER_REAL:
        break;
    }
    if (!(number.real >= -0x1p63 && number.real < 0x1p63) || floor(number.real) != number.real)
        return false;
    *out = (int64_t)number.real;
    return true;
}

// Weights are nearly always this: loops of their own, which compilers turn into copies.
static bool is_raw_float(const struct view *view)
{
    return view->type->data_type == TYPE(FLOAT) && view->field == LORAC_FIELD_RAW;
}

static bool is_little_endian(void)
{
    const uint32_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static float raw_float(const uint8_t *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_raw_float(uint8_t *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    lorac_bits_store(bytes, 4, bits);
}

enum lorac_status lorac_tensor_to_float(const Onnx__TensorProto *tensor, float *out, size_t count,
                                        struct lorac_error *error)
{
    struct view view;
    LORAC_TRY(open_numbers(tensor, count, &view, error));
    if (is_raw_float(&view) && is_little_endian() && count > 0)
        memcpy(out, tensor->raw_data.data, 4 * count);
    else if (is_raw_float(&view))
        for (size_t i = 0; i < count; i++)
            out[i] = raw_float(tensor->raw_data.data + 4 * i);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = number_to_float(number_at(tensor, &view, i));
    return LORAC_OK;
}

enum lorac_status lorac_tensor_to_double(const Onnx__TensorProto *tensor, double *out, size_t count,
                                         struct lorac_error *error)
{
    struct view view;
    LORAC_TRY(open_numbers(tensor, count, &view, error));
    if (is_raw_float(&view))
        for (size_t i = 0; i < count; i++)
            out[i] = (double)raw_float(tensor->raw_data.data + 4 * i);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = number_to_double(number_at(tensor, &view, i));
    return LORAC_OK;
}

enum lorac_status lorac_tensor_to_int64(const Onnx__TensorProto *tensor, int64_t *out, size_t count,
                                        struct lorac_error *error)
{
    struct view view;
    int64_t whole;
    LORAC_TRY(open_numbers(tensor, count, &view, error));
    // Looks first, so that [out] is written only on success.
    for (size_t i = 0; i < count; i++) {
        struct lorac_number number = number_at(tensor, &view, i);
        if (!number_to_int64(number, &whole))
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "element %zu of tensor '%s' is %.17g: not a whole number that 64 bits hold", i,
                                   tensor_name(tensor), number_to_double(number));
    }
    for (size_t i = 0; i < count; i++)
        if (number_to_int64(number_at(tensor, &view, i), &whole))
            out[i] = whole;
    return LORAC_OK;
}

// ---- writing

static enum lorac_status open_floats(const Onnx__TensorProto *tensor, size_t count, struct view *view,
                                     struct lorac_error *error)
{
    LORAC_TRY(open_numbers(tensor, count, view, error));
    if (!lorac_tensor_type_is_floating(view->type->data_type))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "cannot write numbers into tensor '%s' of type %s",
                               tensor_name(tensor), view->type->name);
    return LORAC_OK;
}

// True where the stored element is as good as the rounded new one. An equal number keeps its bits: -0 where 0 is
// written, the payload of a NaN.
static bool is_kept(double stored, double rounded)
{
    return rounded == stored || (isnan(rounded) && isnan(stored));
}

// The pages of a file are only read: what is to be written moves into the arena, a piece at a time.
enum lorac_status lorac_tensor_own(struct lorac_model *model, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    ProtobufCBinaryData *raw = &tensor->raw_data;
    if (!model || !tensor->has_raw_data || !lorac_storage_holds(model->storage, raw->data, raw->len))
        return LORAC_OK;
    uint8_t *own = lorac_arena_alloc(model->arena, raw->len);
    if (!own)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the %zu bytes of tensor '%s'", raw->len,
                               tensor_name(tensor));
    enum { PIECE_BYTES = 1 << 20 };
    for (size_t done = 0; done < raw->len; done += PIECE_BYTES) {
        const size_t piece = raw->len - done < PIECE_BYTES ? raw->len - done : PIECE_BYTES;
        memcpy(own + done, raw->data + done, piece);
        lorac_storage_release(model->storage, raw->data + done, piece);
    }
    raw->data = own;
    return LORAC_OK;
}

// The bits to be stored for [value] in element [i]; false where the stored ones are as good.
static bool changes(const Onnx__TensorProto *tensor, const struct view *view, size_t i, double value, uint64_t *bits)
{
    *bits = lorac_tensor_encode(view->type->data_type, value);
    return !is_kept(number_at(tensor, view, i).real, lorac_tensor_decode(view->type->data_type, *bits).real);
}

static bool changes_raw_float(const uint8_t *bytes, float value)
{
    float stored = raw_float(bytes);
    return value != stored && !(isnan(value) && isnan(stored));
}

// New elements, of one of two types.
struct elements {
    const float *floats; // NULL: the doubles
    const double *doubles;
};

static double element(const struct elements *elements, size_t i)
{
    return elements->floats ? (double)elements->floats[i] : elements->doubles[i];
}

static float float_element(const struct elements *elements, size_t i)
{
    return elements->floats ? elements->floats[i] : (float)elements->doubles[i];
}

// The first element from [i] on that changes; [count]: none.
static size_t first_change(const Onnx__TensorProto *tensor, const struct view *view, const struct elements *elements)
{
    uint64_t bits;
    size_t i = 0;
    if (is_raw_float(view))
        while (i < view->count && !changes_raw_float(tensor->raw_data.data + 4 * i, float_element(elements, i)))
            i++;
    else
        while (i < view->count && !changes(tensor, view, i, element(elements, i), &bits))
            i++;
    return i;
}

static void store(Onnx__TensorProto *tensor, const struct view *view, const struct elements *elements, size_t first)
{
    uint64_t bits;
    uint8_t *raw = tensor->raw_data.data;
    if (is_raw_float(view)) {
        for (size_t i = first; i < view->count; i++)
            if (changes_raw_float(raw + 4 * i, float_element(elements, i)))
                put_raw_float(raw + 4 * i, float_element(elements, i));
        return;
    }
    for (size_t i = first; i < view->count; i++)
        if (changes(tensor, view, i, element(elements, i), &bits))
            lorac_tensor_put_bits(tensor, view->type, view->field, i, bits);
}

// The checksum of external data is not ours to compute, and an old one would be wrong.
static void drop_checksum(Onnx__TensorProto *tensor)
{
    size_t kept = 0;
    for (size_t i = 0; i < tensor->n_external_data; i++)
        if (!tensor->external_data[i]->key || strcmp(tensor->external_data[i]->key, "checksum") != 0)
            tensor->external_data[kept++] = tensor->external_data[i];
    tensor->n_external_data = kept;
}

// A tensor in which nothing changes stays in its file.
static enum lorac_status set(struct lorac_model *model, Onnx__TensorProto *tensor, const struct elements *elements,
                             size_t count, struct lorac_error *error)
{
    struct view view;
    LORAC_TRY(open_floats(tensor, count, &view, error));
    const size_t first = first_change(tensor, &view, elements);
    if (first == count)
        return LORAC_OK;
    LORAC_TRY(lorac_tensor_own(model, tensor, error));
    store(tensor, &view, elements, first);
    drop_checksum(tensor);
    return LORAC_OK;
}

enum lorac_status lorac_tensor_set_float(struct lorac_model *model, Onnx__TensorProto *tensor, const float *values,
                                         size_t count, struct lorac_error *error)
{
    return set(model, tensor, &(struct elements){.floats = values}, count, error);
}

enum lorac_status lorac_tensor_set_double(struct lorac_model *model, Onnx__TensorProto *tensor, const double *values,
                                          size_t count, struct lorac_error *error)
{
    return set(model, tensor, &(struct elements){.doubles = values}, count, error);
}

// ---- whole

size_t lorac_tensor_canonical_size(const Onnx__TensorProto *tensor)
{
    const struct lorac_tensor_type *type = lorac_tensor_type_find(tensor->data_type);
    size_t size = 0;
    if (tensor->has_raw_data)
        return tensor->raw_data.len;
    if (type)
        lorac_size_multiply(lorac_tensor_field_items(tensor, type->field), type->cell_bytes, &size);
    return size;
}

const uint8_t *lorac_tensor_canonical_view(const Onnx__TensorProto *tensor, size_t *byte_count)
{
    if (!tensor->has_raw_data || (tensor->raw_data.len > 0 && !tensor->raw_data.data))
        return NULL;
    *byte_count = tensor->raw_data.len;
    return tensor->raw_data.len > 0 ? tensor->raw_data.data : (const uint8_t *)"";
}

const float *lorac_tensor_float_view(const struct lorac_model *model, const Onnx__TensorProto *tensor, size_t count,
                                     size_t margin)
{
    struct view view;
    size_t bytes;
    if (open_numbers(tensor, count, &view, NULL) != LORAC_OK || !is_raw_float(&view) || !is_little_endian() ||
        (uintptr_t)tensor->raw_data.data % alignof(float) != 0 ||
        !lorac_size_add(tensor->raw_data.len, margin, &bytes) ||
        !lorac_storage_holds(model->storage, tensor->raw_data.data, bytes))
        return NULL;
    return (const float *)(const void *)tensor->raw_data.data;
}

void lorac_tensor_release(const struct lorac_model *model, const Onnx__TensorProto *tensor)
{
    if (tensor->has_raw_data)
        lorac_storage_release(model->storage, tensor->raw_data.data, tensor->raw_data.len);
}

enum lorac_status lorac_tensor_canonical_bytes(const Onnx__TensorProto *tensor, uint8_t **bytes, size_t *byte_count,
                                               struct lorac_error *error)
{
    LORAC_TRY(lorac_tensor_check(tensor, error));
    const struct lorac_tensor_type *type = lorac_tensor_type_find(tensor->data_type);
    if (!tensor->has_raw_data && (!type || type->cell_bytes == 0))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "tensor '%s' of type %d (%s) has no raw form",
                               tensor_name(tensor), (int)tensor->data_type, lorac_tensor_type_name(tensor->data_type));
    size_t size = lorac_tensor_canonical_size(tensor), view_size;
    const uint8_t *view = lorac_tensor_canonical_view(tensor, &view_size);
    uint8_t *block = malloc(size ? size : 1);
    if (!block)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the %zu bytes of tensor '%s'", size,
                               tensor_name(tensor));
    if (view)
        memcpy(block, view, size);
    else
        for (size_t i = 0; i < size / type->cell_bytes; i++)
            lorac_bits_store(block + i * type->cell_bytes, type->cell_bytes,
                             lorac_tensor_get_cell(tensor, type, type->field, i));
    *bytes = block;
    *byte_count = size;
    return LORAC_OK;
}

enum lorac_status lorac_tensor_copy(struct lorac_model *model, const Onnx__TensorProto *tensor, const char *name,
                                    Onnx__TensorProto **out, struct lorac_error *error)
{
    // Through the serialised form: every field comes along, unknown ones too.
    size_t size = onnx__tensor_proto__get_packed_size(tensor);
    ProtobufCMessage *copy = NULL;
    uint8_t *bytes = lorac_arena_alloc(model->arena, size);
    char *own_name = lorac_arena_strdup(model->arena, name);
    if (!bytes || !own_name)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a copy of tensor '%s'",
                               tensor_name(tensor));
    onnx__tensor_proto__pack(tensor, bytes);
    LORAC_TRY(lorac_wire_read(model->arena, &onnx__tensor_proto__descriptor, bytes, size, &copy, error));
    *out = (Onnx__TensorProto *)copy;
    (*out)->name = own_name;
    return LORAC_OK;
}
