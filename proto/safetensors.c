#include "safetensors.h"

#include "adapter_json.h"
#include "size.h"
#include "tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char METADATA[] = "__metadata__";

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

static const struct dtype {
    const char *name;
    int32_t data_type;
    size_t bytes; // of an element
} dtypes[] = {
    {"F64", ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, 8},  {"F32", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4},
    {"F16", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2}, {"BF16", ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, 2},
    {"I64", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8},   {"I32", ONNX__TENSOR_PROTO__DATA_TYPE__INT32, 4},
    {"I16", ONNX__TENSOR_PROTO__DATA_TYPE__INT16, 2},   {"I8", ONNX__TENSOR_PROTO__DATA_TYPE__INT8, 1},
    {"U64", ONNX__TENSOR_PROTO__DATA_TYPE__UINT64, 8},  {"U32", ONNX__TENSOR_PROTO__DATA_TYPE__UINT32, 4},
    {"U16", ONNX__TENSOR_PROTO__DATA_TYPE__UINT16, 2},  {"U8", ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 1},
    {"BOOL", ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 1},
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "safetensors: out of memory");
}

const char *lorac_safetensors_text(const struct lorac_safetensors *content, const char *key)
{
    for (size_t i = 0; i < content->text_count; i++)
        if (strcmp(content->texts[i].key, key) == 0)
            return content->texts[i].value;
    return NULL;
}

// ---- reading

// A tensor being read, with where its bytes are in the data.
struct entry {
    struct lorac_safetensor tensor;
    uint64_t begin, end;
};

static enum lorac_status bad_tensor(const char *name, const char *rule, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: tensor '%s': %s", name, rule);
}

static enum lorac_status read_dtype(const json_t *object, const char *name, const struct dtype **out,
                                    struct lorac_error *error)
{
    const char *text = json_string_value(json_object_get(object, "dtype"));
    if (!text)
        return bad_tensor(name, "'dtype' must be a string", error);
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *out = &dtypes[i];
            return LORAC_OK;
        }
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "safetensors: tensor '%s' has dtype '%s', which is not known",
                           name, text);
}

static enum lorac_status read_shape(struct lorac_arena *arena, const json_t *object, struct lorac_safetensor *out,
                                    struct lorac_error *error)
{
    const json_t *shape = json_object_get(object, "shape");
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > LORAC_SAFETENSORS_MAX_RANK)
        return bad_tensor(out->name, "'shape' must be an array of at most 8 numbers", error);
    int64_t *dims = lorac_arena_alloc_array(arena, rank, sizeof *dims);
    if (!dims)
        return out_of_memory(error);
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        dims[i] = json_integer_value(dim);
        if (!json_is_integer(dim) || dims[i] < 0)
            return bad_tensor(out->name, "'shape' must hold whole numbers, 0 or more", error);
    }
    out->rank = rank;
    out->dims = dims;
    return LORAC_OK;
}

static enum lorac_status read_offsets(const json_t *object, struct entry *out, struct lorac_error *error)
{
    const json_t *offsets = json_object_get(object, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return bad_tensor(out->tensor.name, "'data_offsets' must be two whole numbers, the second not below the first",
                          error);
    out->begin = (uint64_t)json_integer_value(begin);
    out->end = (uint64_t)json_integer_value(end);
    return LORAC_OK;
}

static enum lorac_status read_tensor(struct lorac_arena *arena, const char *name, const json_t *object,
                                     struct entry *out, struct lorac_error *error)
{
    const struct dtype *dtype = NULL;
    size_t count, bytes;
    struct lorac_safetensor *tensor = &out->tensor;
    if (!*name)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: a tensor has an empty name");
    tensor->name = lorac_arena_strdup(arena, name);
    if (!tensor->name)
        return out_of_memory(error);
    if (!json_is_object(object) || json_object_size(object) != 3)
        return bad_tensor(name, "must be an object of 'dtype', 'shape' and 'data_offsets'", error);
    LORAC_TRY(read_dtype(object, name, &dtype, error));
    LORAC_TRY(read_shape(arena, object, tensor, error));
    LORAC_TRY(read_offsets(object, out, error));
    tensor->data_type = dtype->data_type;
    if (!lorac_size_of_dims(tensor->dims, tensor->rank, &count) || !lorac_size_multiply(count, dtype->bytes, &bytes))
        return bad_tensor(name, "'shape' is too large", error);
    if (out->end - out->begin != bytes)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "safetensors: tensor '%s' has %" PRIu64 " bytes by its 'data_offsets', and %zu by its "
                               "'shape' and 'dtype'",
                               name, out->end - out->begin, bytes);
    tensor->byte_count = bytes;
    return LORAC_OK;
}

static enum lorac_status read_texts(struct lorac_arena *arena, json_t *object, struct lorac_safetensors *out,
                                    struct lorac_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: '%s' must be an object of texts", METADATA);
    out->texts = lorac_arena_alloc_array(arena, json_object_size(object), sizeof *out->texts);
    if (!out->texts)
        return out_of_memory(error);
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: '%s' entry '%s' must be a text", METADATA,
                                   key);
        struct lorac_safetensors_text *text = &out->texts[out->text_count++];
        text->key = lorac_arena_strdup(arena, key);
        text->value = lorac_arena_strdup(arena, json_string_value(value));
        if (!text->key || !text->value)
            return out_of_memory(error);
    }
    return LORAC_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end);
}

// The tensors lie one behind the other, from the first byte of the data to the last.
static enum lorac_status place_tensors(struct entry *entries, size_t count, const uint8_t *data, size_t data_bytes,
                                       struct lorac_error *error)
{
    uint64_t at = 0;
    if (count > 0)
        qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].begin != at)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "safetensors: tensor '%s' begins at byte %" PRIu64 " of the data, where the one "
                                   "before it ends at %" PRIu64 ": there must be no %s",
                                   entries[i].tensor.name, entries[i].begin, at,
                                   entries[i].begin < at ? "overlap" : "gap");
        if (entries[i].end > data_bytes)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "safetensors: tensor '%s' ends at byte %" PRIu64 " of the data, which has %zu: the "
                                   "file is cut short",
                                   entries[i].tensor.name, entries[i].end, data_bytes);
        entries[i].tensor.bytes = data + at;
        at = entries[i].end;
    }
    if (at != data_bytes)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "safetensors: the tensors end at byte %" PRIu64 " of the data, which has %zu", at,
                               data_bytes);
    return LORAC_OK;
}

static enum lorac_status read_header(struct lorac_arena *arena, json_t *header, const uint8_t *data, size_t data_bytes,
                                     struct lorac_safetensors *out, struct lorac_error *error)
{
    const char *name;
    json_t *value;
    size_t room = json_object_size(header), count = 0;
    struct entry *entries = lorac_arena_alloc_array(arena, room, sizeof *entries);
    out->tensors = lorac_arena_alloc_array(arena, room, sizeof *out->tensors);
    if (!entries || !out->tensors)
        return out_of_memory(error);
    json_object_foreach(header, name, value)
    {
        if (strcmp(name, METADATA) == 0)
            LORAC_TRY(read_texts(arena, value, out, error));
        else
            LORAC_TRY(read_tensor(arena, name, value, &entries[count++], error));
    }
    LORAC_TRY(place_tensors(entries, count, data, data_bytes, error));
    for (size_t i = 0; i < count; i++)
        out->tensors[i] = entries[i].tensor;
    out->tensor_count = count;
    return LORAC_OK;
}

enum lorac_status lorac_safetensors_read(struct lorac_arena *arena, const uint8_t *bytes, size_t byte_count,
                                         struct lorac_safetensors *out, struct lorac_error *error)
{
    struct lorac_safetensors content = {0};
    json_error_t where;
    uint64_t length = 0;
    if (byte_count < LENGTH_BYTES)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: %zu bytes: not a safetensors file", byte_count);
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (length > LORAC_SAFETENSORS_MAX_HEADER || length > byte_count - LENGTH_BYTES)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "safetensors: a header of %" PRIu64 " bytes in a file of %zu (at most %d are "
                               "supported): not a safetensors file, or cut short",
                               length, byte_count, (int)LORAC_SAFETENSORS_MAX_HEADER);
    const char *text = (const char *)bytes + LENGTH_BYTES;
    if (length == 0 || *text != '{')
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "safetensors: the header does not begin with '{': not a safetensors file");
    json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    if (!header)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "safetensors: the header is not valid JSON: %s (byte %d)",
                               where.text, where.position);
    size_t data_bytes = byte_count - LENGTH_BYTES - (size_t)length;
    enum lorac_status status = read_header(arena, header, bytes + LENGTH_BYTES + length, data_bytes, &content, error);
    json_decref(header);
    if (status == LORAC_OK)
        *out = content;
    return status;
}

// ---- writing

static enum lorac_status add_text_entries(const struct lorac_safetensors *content, json_t *header,
                                          struct lorac_error *error)
{
    json_t *texts = json_object();
    LORAC_TRY(lorac_json_set(METADATA, header, METADATA, texts, error));
    for (size_t i = 0; i < content->text_count; i++) {
        const struct lorac_safetensors_text *text = &content->texts[i];
        LORAC_TRY(lorac_json_check_text(METADATA, text->key, error));
        LORAC_TRY(lorac_json_set_string(text->key, texts, text->key, text->value, error));
    }
    return LORAC_OK;
}

static enum lorac_status add_numbers(const char *name, json_t *object, const char *member, const int64_t *numbers,
                                     size_t count, struct lorac_error *error)
{
    json_t *array = json_array();
    LORAC_TRY(lorac_json_set(name, object, member, array, error));
    for (size_t i = 0; i < count; i++)
        LORAC_TRY(lorac_json_append(name, array, json_integer(numbers[i]), error));
    return LORAC_OK;
}

// A tensor in its place in the file: all of 8 bytes an element first, then 4, 2, 1.
struct placed {
    const struct lorac_safetensor *tensor;
    const struct dtype *dtype;
};

static enum lorac_status find_dtype(const struct lorac_safetensor *tensor, const struct dtype **out,
                                    struct lorac_error *error)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].data_type == tensor->data_type) {
            *out = &dtypes[i];
            return LORAC_OK;
        }
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "safetensors: tensor '%s' has type %s, which the format does not know", tensor->name,
                           lorac_tensor_type_name(tensor->data_type));
}

static enum lorac_status order_tensors(const struct lorac_safetensors *content, struct placed *out,
                                       struct lorac_error *error)
{
    size_t placed = 0;
    for (size_t bytes = 8; bytes > 0; bytes /= 2)
        for (size_t i = 0; i < content->tensor_count; i++) {
            const struct dtype *dtype = NULL;
            LORAC_TRY(find_dtype(&content->tensors[i], &dtype, error));
            if (dtype->bytes == bytes)
                out[placed++] = (struct placed){&content->tensors[i], dtype};
        }
    return LORAC_OK;
}

static enum lorac_status add_tensor_entry(const struct placed *placed, json_t *header, size_t *at,
                                          struct lorac_error *error)
{
    const struct lorac_safetensor *tensor = placed->tensor;
    const int64_t offsets[] = {(int64_t)*at, (int64_t)(*at + tensor->byte_count)};
    LORAC_TRY(lorac_json_check_text(METADATA, tensor->name, error));
    json_t *object = json_object();
    LORAC_TRY(lorac_json_set(tensor->name, header, tensor->name, object, error));
    LORAC_TRY(lorac_json_set_string(tensor->name, object, "dtype", placed->dtype->name, error));
    LORAC_TRY(add_numbers(tensor->name, object, "shape", tensor->dims, tensor->rank, error));
    LORAC_TRY(add_numbers(tensor->name, object, "data_offsets", offsets, 2, error));
    *at += tensor->byte_count;
    return LORAC_OK;
}

static enum lorac_status make_header(const struct lorac_safetensors *content, const struct placed *order, json_t *header,
                                     size_t *data_bytes, struct lorac_error *error)
{
    *data_bytes = 0;
    LORAC_TRY(add_text_entries(content, header, error));
    for (size_t i = 0; i < content->tensor_count; i++)
        LORAC_TRY(add_tensor_entry(&order[i], header, data_bytes, error));
    return LORAC_OK;
}

static enum lorac_status assemble(const struct placed *order, size_t count, const char *text, size_t data_bytes,
                                  uint8_t **out, size_t *out_count, struct lorac_error *error)
{
    size_t length = strlen(text), padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, total;
    bool fits = lorac_size_add(LENGTH_BYTES + padded, data_bytes, &total);
    uint8_t *bytes = fits ? malloc(total) : NULL;
    if (!bytes)
        return out_of_memory(error);
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    memcpy(bytes + LENGTH_BYTES, text, length);
    memset(bytes + LENGTH_BYTES + length, ' ', padded - length);
    uint8_t *at = bytes + LENGTH_BYTES + padded;
    for (size_t i = 0; i < count; i++) {
        size_t tensor_bytes = order[i].tensor->byte_count;
        if (tensor_bytes > 0)
            memcpy(at, order[i].tensor->bytes, tensor_bytes);
        at += tensor_bytes;
    }
    *out = bytes;
    *out_count = total;
    return LORAC_OK;
}

enum lorac_status lorac_safetensors_pack(const struct lorac_safetensors *content, uint8_t **bytes, size_t *byte_count,
                                         struct lorac_error *error)
{
    size_t data_bytes, count = content->tensor_count;
    char *text = NULL;
    struct placed *order = calloc(count + 1, sizeof *order);
    json_t *header = json_object();
    enum lorac_status status = order && header ? LORAC_OK : out_of_memory(error);
    if (status == LORAC_OK)
        status = order_tensors(content, order, error);
    if (status == LORAC_OK)
        status = make_header(content, order, header, &data_bytes, error);
    if (status == LORAC_OK)
        status = lorac_json_print(METADATA, header, &text, error);
    if (status == LORAC_OK)
        status = assemble(order, count, text, data_bytes, bytes, byte_count, error);
    free(text);
    free(order);
    json_decref(header);
    return status;
}
