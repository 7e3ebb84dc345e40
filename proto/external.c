#include "external.h"

#include "file_writer.h"
#include "model_internal.h"
#include "size.h"
#include "tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A tensor in another file: bytes [offset .. offset + length) of storage->files[file].
struct part {
    Onnx__TensorProto *tensor;
    size_t file;
    size_t offset, length;
};

struct loading {
    struct lorac_model *model;
    int folder;
    struct part *parts;
    size_t count, capacity;
};

// ---- the files

struct lorac_storage *lorac_storage_create(void)
{
    struct lorac_storage *storage = calloc(1, sizeof *storage);
    if (storage)
        lorac_name_table_init(&storage->locations);
    return storage;
}

void lorac_storage_free(struct lorac_storage *storage)
{
    if (!storage)
        return;
    lorac_mapping_close(&storage->model_file);
    for (size_t i = 0; i < storage->locations.count && i < storage->capacity; i++)
        lorac_mapping_close(&storage->files[i]);
    free(storage->files);
    lorac_name_table_free(&storage->locations);
    free(storage);
}

bool lorac_storage_has(const struct lorac_storage *storage, const struct stat *info)
{
    for (size_t i = 0; i < storage->locations.count && i < storage->capacity; i++)
        if (lorac_mapping_is(&storage->files[i], info))
            return true;
    return false;
}

// Which file the bytes are in; NULL: none.
static const struct lorac_mapping *file_of(const struct lorac_storage *storage, const void *bytes, size_t count)
{
    const uintptr_t at = (uintptr_t)bytes;
    for (size_t i = 0; i <= storage->locations.count && i <= storage->capacity; i++) {
        const struct lorac_mapping *file = i == 0 ? &storage->model_file : &storage->files[i - 1];
        const uintptr_t begin = (uintptr_t)file->bytes;
        if (file->bytes && at >= begin && at - begin <= file->byte_count && count <= file->byte_count - (at - begin))
            return file;
    }
    return NULL;
}

bool lorac_storage_holds(const struct lorac_storage *storage, const void *bytes, size_t count)
{
    return file_of(storage, bytes, count) != NULL;
}

void lorac_storage_release(const struct lorac_storage *storage, const void *bytes, size_t count)
{
    const struct lorac_mapping *file = file_of(storage, bytes, count);
    if (file)
        lorac_mapping_release(file, (size_t)((uintptr_t)bytes - (uintptr_t)file->bytes), count);
}

uint64_t lorac_storage_bytes(const struct lorac_storage *storage)
{
    uint64_t bytes = storage->model_file.byte_count;
    for (size_t i = 0; i < storage->locations.count && i < storage->capacity; i++)
        bytes += storage->files[i].byte_count;
    return bytes;
}

// ---- looking

bool lorac_tensor_is_external(const Onnx__TensorProto *tensor)
{
    return tensor->has_data_location && tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

const char *lorac_external_entry(const Onnx__TensorProto *tensor, const char *key)
{
    for (size_t i = 0; i < tensor->n_external_data; i++)
        if (tensor->external_data[i]->key && strcmp(tensor->external_data[i]->key, key) == 0)
            return tensor->external_data[i]->value ? tensor->external_data[i]->value : "";
    return NULL;
}

static const char *name_of(const Onnx__TensorProto *tensor)
{
    return tensor->name && *tensor->name ? tensor->name : "(unnamed)";
}

static enum lorac_status walk_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                                    lorac_tensor_visit *visit, void *context, struct lorac_error *error)
{
    const unsigned char *base = (const unsigned char *)message;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count;
        ProtobufCMessage **list;
        memcpy(&count, base + field->quantifier_offset, sizeof count);
        memcpy(&list, base + field->offset, sizeof list);
        for (size_t i = 0; i < count; i++)
            LORAC_TRY(lorac_tensor_walk(list[i], visit, context, error));
        return LORAC_OK;
    }
    uint32_t chosen = field->id;
    ProtobufCMessage *nested;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        memcpy(&chosen, base + field->quantifier_offset, sizeof chosen);
    if (chosen != field->id)
        return LORAC_OK;
    memcpy(&nested, base + field->offset, sizeof nested);
    return nested ? lorac_tensor_walk(nested, visit, context, error) : LORAC_OK;
}

// The depth of nesting was bounded by lorac_wire_read.
enum lorac_status lorac_tensor_walk(ProtobufCMessage *message, lorac_tensor_visit *visit, void *context,
                                    struct lorac_error *error)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (type == &onnx__tensor_proto__descriptor)
        return visit(context, (Onnx__TensorProto *)message, error);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            LORAC_TRY(walk_field(message, &type->fields[i], visit, context, error));
    return LORAC_OK;
}

// ---- opening data files

// Opens the folder [name] (until the first slash) of [folder].
static int open_component(int folder, const char *name, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    int fd = openat(folder, copy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int failure = errno;
    free(copy);
    errno = failure;
    return fd;
}

static enum lorac_status check_location(const char *location, struct lorac_error *error)
{
    if (*location == '/')
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "an absolute path is not allowed");
    for (const char *part = location; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0)
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "'..' is not allowed: data must be below the model's "
                                   "folder");
        part += length;
    }
    return LORAC_OK;
}

// Walks down one component at a time, so that no link on the way is followed, also not one made meanwhile.
static enum lorac_status open_data(int folder, const char *location, struct lorac_mapping *out,
                                   struct lorac_error *error)
{
    LORAC_TRY(check_location(location, error));
    int here = folder;
    const char *name = location;
    for (const char *slash; (slash = strchr(name, '/')); name = slash + 1) {
        if (slash == name)
            continue;
        int next = open_component(here, name, (size_t)(slash - name));
        int failure = errno;
        if (here != folder)
            close(here);
        if (next < 0)
            return lorac_error_set(error, failure == ENOMEM ? LORAC_ERROR_MEMORY : LORAC_ERROR_IO,
                                   "cannot open the folder '%.*s': %s%s", (int)(slash - location), location,
                                   strerror(failure),
                                   failure == ENOTDIR || failure == ELOOP ? " (symbolic links are not followed)" : "");
        here = next;
    }
    enum lorac_status status = lorac_mapping_open(here, name, true, out, error);
    if (here != folder)
        close(here);
    return status;
}

// *file = the number of the data file of [location], which is mapped where it is new.
static enum lorac_status find_file(struct loading *loading, const char *location, size_t *file,
                                   struct lorac_error *error)
{
    struct lorac_storage *storage = loading->model->storage;
    size_t number = lorac_name_table_find(&storage->locations, location), bytes;
    struct lorac_mapping mapping;
    if (number != LORAC_NO_NAME) {
        *file = number;
        return LORAC_OK;
    }
    LORAC_TRY(open_data(loading->folder, location, &mapping, error));
    if (storage->locations.count == storage->capacity) {
        size_t capacity = 2 * storage->capacity + 4;
        void *larger = lorac_size_multiply(capacity, sizeof mapping, &bytes) ? realloc(storage->files, bytes) : NULL;
        if (larger) {
            storage->files = larger;
            storage->capacity = capacity;
        }
    }
    if (storage->locations.count == storage->capacity ||
        !lorac_name_table_add(&storage->locations, location, file, NULL)) {
        lorac_mapping_close(&mapping);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    }
    storage->files[*file] = mapping;
    return LORAC_OK;
}

// ---- what a tensor says

// A whole number in decimal, as the schema says. *out is untouched where the entry is not there.
static enum lorac_status read_number(const Onnx__TensorProto *tensor, const char *key, size_t *out, bool *given,
                                     struct lorac_error *error)
{
    const char *text = lorac_external_entry(tensor, key);
    *given = text != NULL;
    if (!text)
        return LORAC_OK;
    size_t value = 0;
    for (const char *digit = text; *digit; digit++)
        if (*digit < '0' || *digit > '9' || !lorac_size_multiply(value, 10, &value) ||
            !lorac_size_add(value, (size_t)(*digit - '0'), &value))
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "%s '%s' is not a number of bytes", key, text);
    if (!*text)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "%s is empty", key);
    *out = value;
    return LORAC_OK;
}

static enum lorac_status check_entries(const Onnx__TensorProto *tensor, struct lorac_error *error)
{
    static const char *const keys[] = {"location", "offset", "length"};
    if (tensor->has_raw_data || tensor->n_float_data || tensor->n_int32_data || tensor->n_string_data ||
        tensor->n_int64_data || tensor->n_double_data || tensor->n_uint64_data)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "has elements in the model as well");
    if (tensor->segment)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "is stored in segments: not supported");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        size_t count = 0;
        for (size_t i = 0; i < tensor->n_external_data; i++)
            count += tensor->external_data[i]->key && strcmp(tensor->external_data[i]->key, keys[k]) == 0;
        if (count > 1)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "has %zu entries '%s'", count, keys[k]);
    }
    const char *location = lorac_external_entry(tensor, "location");
    if (!location || !*location)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "has no location");
    return LORAC_OK;
}

// The bytes that dims and type need; SIZE_MAX for a type of unknown size.
static enum lorac_status needed_bytes(const Onnx__TensorProto *tensor, size_t *out, struct lorac_error *error)
{
    size_t count;
    LORAC_TRY(lorac_tensor_count(tensor, &count, error));
    if (tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "holds strings, which cannot be in another file");
    *out = SIZE_MAX;
    if (lorac_tensor_type_has_raw(tensor->data_type) && !lorac_tensor_raw_bytes(tensor->data_type, count, out))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "is too large: dims %s",
                               lorac_dims_format(tensor->dims, tensor->n_dims).text);
    return LORAC_OK;
}

static enum lorac_status find_part(struct loading *loading, struct part *part, struct lorac_error *error)
{
    const Onnx__TensorProto *tensor = part->tensor;
    bool has_offset, has_length;
    size_t needed = SIZE_MAX, length = 0, offset = 0;
    LORAC_TRY(read_number(tensor, "offset", &offset, &has_offset, error));
    LORAC_TRY(read_number(tensor, "length", &length, &has_length, error));
    LORAC_TRY(needed_bytes(tensor, &needed, error));
    if (has_length && needed != SIZE_MAX && length != needed)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "its length is %zu bytes, but type %s and dims %s take %zu",
                               length, lorac_tensor_type_name(tensor->data_type),
                               lorac_dims_format(tensor->dims, tensor->n_dims).text, needed);
    LORAC_TRY(find_file(loading, lorac_external_entry(tensor, "location"), &part->file, error));
    size_t size = loading->model->storage->files[part->file].byte_count;
    if (!has_length)
        length = needed != SIZE_MAX ? needed : offset < size ? size - offset : 0;
    if (offset > size || length > size - offset)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "needs %zu bytes from byte %zu on, but the file has %zu: it is cut short, or belongs "
                               "to another model",
                               length, offset, size);
    part->offset = offset;
    part->length = length;
    return LORAC_OK;
}

static enum lorac_status count_tensor(void *context, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    (void)error;
    ((struct loading *)context)->capacity += lorac_tensor_is_external(tensor);
    return LORAC_OK;
}

static enum lorac_status add_tensor(void *context, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    struct loading *loading = context;
    if (!lorac_tensor_is_external(tensor))
        return LORAC_OK;
    struct part *part = &loading->parts[loading->count];
    const char *location = lorac_external_entry(tensor, "location");
    part->tensor = tensor;
    enum lorac_status status = check_entries(tensor, error);
    if (status == LORAC_OK && loading->folder < 0)
        status = lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                 "a model read from memory has no folder: load it from its file");
    if (status == LORAC_OK)
        status = find_part(loading, part, error);
    LORAC_TRY(lorac_error_prefix(error, status, "tensor '%s' in the file '%s': ", name_of(tensor),
                                 location ? location : ""));
    loading->count++;
    return LORAC_OK;
}

// ---- attaching

// Small data files may not stand for endless tensors: those would take time, if not memory.
static enum lorac_status check_total(const struct loading *loading, struct lorac_error *error)
{
    enum { TIMES = 4 };
    const struct lorac_storage *storage = loading->model->storage;
    size_t files = 0, limit = SIZE_MAX, tensors = 0;
    bool fits = true;
    for (size_t i = 0; i < storage->locations.count; i++)
        fits = fits && lorac_size_add(files, storage->files[i].byte_count, &files);
    if (!fits || !lorac_size_multiply(files, TIMES, &limit))
        limit = SIZE_MAX;
    for (size_t i = 0; i < loading->count; i++)
        if (!lorac_size_add(tensors, loading->parts[i].length, &tensors) || tensors > limit)
            return lorac_error_set(
                error, LORAC_ERROR_FORMAT,
                "the tensors take more than %d times the %zu bytes of their data files: they overlap", TIMES, files);
    return LORAC_OK;
}

// Points the tensors at their bytes. Those of two may overlap: whoever writes into one gives it bytes of its own.
static enum lorac_status attach(struct loading *loading, struct lorac_error *error)
{
    LORAC_TRY(check_total(loading, error));
    for (size_t i = 0; i < loading->count; i++) {
        const struct part *part = &loading->parts[i];
        uint8_t *bytes = loading->model->storage->files[part->file].bytes;
        part->tensor->has_raw_data = true;
        part->tensor->raw_data = (ProtobufCBinaryData){part->length, part->length > 0 ? bytes + part->offset : bytes};
    }
    return LORAC_OK;
}

static enum lorac_status load_parts(struct loading *loading, const char *path, struct lorac_error *error)
{
    ProtobufCMessage *message = &loading->model->proto->base;
    loading->parts = calloc(loading->capacity, sizeof *loading->parts);
    if (!loading->parts)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu tensors in other files",
                               loading->capacity);
    if (path) {
        char *folder = lorac_folder_of(path, 1);
        if (folder)
            loading->folder = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int failure = folder ? errno : ENOMEM;
        free(folder);
        if (loading->folder < 0)
            return lorac_error_set(error, failure == ENOMEM ? LORAC_ERROR_MEMORY : LORAC_ERROR_IO,
                                   "cannot open the model's folder: %s", strerror(failure));
    }
    LORAC_TRY(lorac_tensor_walk(message, add_tensor, loading, error));
    return attach(loading, error);
}

enum lorac_status lorac_external_load(struct lorac_model *model, const char *path, struct lorac_error *error)
{
    struct loading loading = {.model = model, .folder = -1};
    LORAC_TRY(lorac_tensor_walk(&model->proto->base, count_tensor, &loading, error));
    if (loading.capacity == 0)
        return LORAC_OK;
    enum lorac_status status = load_parts(&loading, path, error);
    if (loading.folder >= 0)
        close(loading.folder);
    free(loading.parts);
    return status;
}
