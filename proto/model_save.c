// Writing a model, with its tensors inside or in a data file beside it.
//
// In memory every tensor that is not in a typed field has raw_data. What the file shall say instead (an external tensor
// has no raw_data, but entries) is put into the TensorProtos for as long as the model is packed, and taken out again:
// "dressed" below. Dressing touches the structs only, never the bytes.
//
// The order in which files change, so that the model and the data file that it names belong together at every instant:
// 1. a new data file under a name that is free, written and synced, and its folder;
// 2. the model, renamed over the old one;
// The data file of the old model stays: a copy of that model may use it, and cannot be seen from here.
#include "model.h"

#include "external.h"
#include "file_writer.h"
#include "size.h"
#include "tensor.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- which tensors are written in another way than they are in memory

struct dressed {
    Onnx__TensorProto *tensor;
    Onnx__TensorProto plain; // as it is in memory
    bool external;           // false: inline, though it was external
    size_t offset, byte_count;
};

struct plan {
    const struct lorac_model *model;
    enum lorac_data_place place;
    bool large; // AUTO, where the model would be too large
    struct lorac_arena *arena;
    struct dressed *list;
    size_t count, capacity;
    size_t external_count;
    size_t data_bytes; // of the data file
};

// The file's rule: small tensors close together, large ones on pages of their own.
static bool place_in_file(struct plan *plan, struct dressed *dressed)
{
    enum { SMALL = 64, PAGE = 4096, LARGE = 1 << 20 };
    size_t alignment = dressed->byte_count >= LARGE ? PAGE : SMALL, start;
    if (!lorac_size_add(plan->data_bytes, alignment - 1, &start))
        return false;
    dressed->offset = start - start % alignment;
    plan->external_count++;
    return lorac_size_add(dressed->offset, dressed->byte_count, &plan->data_bytes);
}

static bool goes_external(const struct plan *plan, const Onnx__TensorProto *tensor)
{
    bool was = lorac_tensor_is_external(tensor);
    bool may = tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__STRING && !tensor->segment &&
               lorac_tensor_canonical_size(tensor) >= LORAC_EXTERNAL_BYTES;
    switch (plan->place) {
    case LORAC_DATA_INLINE:
        return false;
    case LORAC_DATA_EXTERNAL:
        return may;
    case LORAC_DATA_AUTO:
        break;
    }
    return was || (plan->large && may);
}

static enum lorac_status plan_tensor(void *context, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    struct plan *plan = context;
    bool external = goes_external(plan, tensor);
    if (!external && !lorac_tensor_is_external(tensor))
        return LORAC_OK;
    if (plan->count == plan->capacity) {
        size_t capacity = 2 * plan->capacity + 16, bytes;
        void *larger = lorac_size_multiply(capacity, sizeof *plan->list, &bytes) ? realloc(plan->list, bytes) : NULL;
        if (!larger)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
        plan->list = larger;
        plan->capacity = capacity;
    }
    struct dressed *dressed = &plan->list[plan->count++];
    *dressed = (struct dressed){tensor, *tensor, external, 0, lorac_tensor_canonical_size(tensor)};
    if (external && !place_in_file(plan, dressed))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "the data file would be too large");
    return LORAC_OK;
}

static enum lorac_status make_plan(struct plan *plan, struct lorac_error *error)
{
    plan->count = plan->external_count = plan->data_bytes = 0;
    return lorac_tensor_walk(&plan->model->proto->base, plan_tensor, plan, error);
}

// ---- dressing

static bool is_rebuilt(const Onnx__StringStringEntryProto *entry)
{
    return entry->key && (strcmp(entry->key, "location") == 0 || strcmp(entry->key, "offset") == 0 ||
                          strcmp(entry->key, "length") == 0);
}

static Onnx__StringStringEntryProto *make_entry(struct lorac_arena *arena, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = lorac_arena_alloc(arena, sizeof *entry);
    if (!entry)
        return NULL;
    onnx__string_string_entry_proto__init(entry);
    entry->key = lorac_arena_strdup(arena, key);
    entry->value = lorac_arena_strdup(arena, value);
    return entry->key && entry->value ? entry : NULL;
}

// location, offset, length, and what else there was.
static bool make_entries(struct lorac_arena *arena, const struct dressed *dressed, const char *location,
                         Onnx__TensorProto *out)
{
    const Onnx__TensorProto *plain = &dressed->plain;
    char offset[24], length[24];
    snprintf(offset, sizeof offset, "%zu", dressed->offset);
    snprintf(length, sizeof length, "%zu", dressed->byte_count);
    Onnx__StringStringEntryProto **list = lorac_arena_alloc_array(arena, plain->n_external_data + 3, sizeof *list);
    if (!list || !(list[0] = make_entry(arena, "location", location)) ||
        !(list[1] = make_entry(arena, "offset", offset)) || !(list[2] = make_entry(arena, "length", length)))
        return false;
    out->external_data = list;
    out->n_external_data = 3;
    for (size_t i = 0; lorac_tensor_is_external(plain) && i < plain->n_external_data; i++)
        if (!is_rebuilt(plain->external_data[i]))
            list[out->n_external_data++] = plain->external_data[i];
    return true;
}

static void undress(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        *plan->list[i].tensor = plan->list[i].plain;
}

// Undo with undress, also after a failure.
static enum lorac_status dress(struct plan *plan, const char *location, struct lorac_error *error)
{
    for (size_t i = 0; i < plan->count; i++) {
        Onnx__TensorProto *tensor = plan->list[i].tensor;
        tensor->has_data_location = plan->list[i].external;
        tensor->data_location = plan->list[i].external ? ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL
                                                       : ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
        tensor->n_external_data = 0;
        if (!plan->list[i].external)
            continue;
        tensor->has_raw_data = false;
        tensor->n_float_data = tensor->n_int32_data = tensor->n_int64_data = 0;
        tensor->n_double_data = tensor->n_uint64_data = 0;
        if (!make_entries(plan->arena, &plan->list[i], location, tensor))
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    }
    return LORAC_OK;
}

static enum lorac_status check_size(const struct lorac_model *model, size_t *size, struct lorac_error *error)
{
    *size = onnx__model_proto__get_packed_size(model->proto);
    if (*size > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model takes %zu bytes: an ONNX file must be smaller than 2 GiB; its tensors can be "
                               "in a data file beside it (external data)",
                               *size);
    return LORAC_OK;
}

// ---- into memory

static enum lorac_status pack_dressed(const struct lorac_model *model, uint8_t **bytes, size_t *byte_count,
                                      struct lorac_error *error)
{
    size_t size = 0;
    LORAC_TRY(check_size(model, &size, error));
    uint8_t *block = malloc(size ? size : 1);
    if (!block)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a serialised model of %zu bytes", size);
    *byte_count = onnx__model_proto__pack(model->proto, block);
    *bytes = block;
    return LORAC_OK;
}

enum lorac_status lorac_model_pack(const struct lorac_model *model, uint8_t **bytes, size_t *byte_count,
                                   struct lorac_error *error)
{
    struct plan plan = {.model = model, .place = LORAC_DATA_INLINE};
    enum lorac_status status = make_plan(&plan, error);
    if (status == LORAC_OK)
        status = dress(&plan, "", error); // nothing is external: no location is needed, and no memory
    if (status == LORAC_OK)
        status = pack_dressed(model, bytes, byte_count, error);
    undress(&plan);
    free(plan.list);
    return status;
}

// ---- the data file

enum { SUFFIX_BYTES = 32, NAME_TRIES = 1000 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// Is [name] one that save would give to the data file of [model_name]?
static bool is_data_name(const char *name, const char *model_name)
{
    static const char suffix[] = ".data";
    size_t length = strlen(model_name);
    if (strncmp(name, model_name, length) != 0 || strncmp(name + length, suffix, sizeof suffix - 1) != 0)
        return false;
    const char *rest = name + length + sizeof suffix - 1;
    return *rest == '\0' || (*rest == '.' && rest[1] && rest[1 + strspn(rest + 1, "0123456789")] == '\0');
}

// Makes the data file for the model [target] under the first name that is free; malloc'ed, NULL with errno set.
static char *create_data_file(const char *target, int *fd)
{
    size_t length = strlen(target);
    char *path = malloc(length + SUFFIX_BYTES);
    if (!path)
        return NULL;
    memcpy(path, target, length);
    for (int i = 0; i < NAME_TRIES; i++) {
        snprintf(path + length, SUFFIX_BYTES, i ? ".data.%d" : ".data", i);
        *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0)
            return path;
        if (errno != EEXIST)
            break;
    }
    int failure = errno;
    free(path);
    errno = failure;
    return NULL;
}

static enum lorac_status write_tensor(struct lorac_file_writer *writer, const Onnx__TensorProto *tensor,
                                      struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    size_t byte_count;
    const uint8_t *view = lorac_tensor_canonical_view(tensor, &byte_count);
    if (!view)
        LORAC_TRY(lorac_tensor_canonical_bytes(tensor, &bytes, &byte_count, error));
    lorac_file_writer_append(writer, view ? view : bytes, byte_count);
    free(bytes);
    return LORAC_OK;
}

static enum lorac_status write_tensors(const struct plan *plan, struct lorac_file_writer *writer,
                                       struct lorac_error *error)
{
    static const uint8_t zeros[256]; // a page of them would be one of the file's
    size_t at = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct dressed *dressed = &plan->list[i];
        if (!dressed->external)
            continue;
        for (size_t gap = dressed->offset - at, part; gap > 0; gap -= part) {
            part = gap < sizeof zeros ? gap : sizeof zeros;
            lorac_file_writer_append(writer, zeros, part);
        }
        LORAC_TRY(write_tensor(writer, &dressed->plain, error));
        at = dressed->offset + dressed->byte_count;
    }
    return LORAC_OK;
}

static enum lorac_status write_data_file(const struct plan *plan, const struct lorac_replacement *replacement, int fd,
                                         const char *path, struct lorac_error *error)
{
    struct lorac_file_writer *writer = lorac_file_writer_create(fd, plan->model->storage);
    if (!writer)
        return lorac_write_failure(path, ENOMEM, error);
    enum lorac_status status = write_tensors(plan, writer, error);
    int failure = lorac_file_writer_finish(writer, plan->data_bytes);
    LORAC_TRY(status);
    if (!failure && replacement->exists && fchmod(fd, replacement->old.st_mode & 0777) != 0)
        failure = errno;
    if (!failure && fsync(fd) != 0)
        failure = errno;
    if (!failure)
        failure = lorac_folder_sync(path);
    return lorac_write_failure(path, failure, error);
}

// ---- the data files of the model that is replaced

struct old_data {
    struct lorac_arena *arena;
    const char *model_name;
    struct lorac_name_table names;
};

static enum lorac_status note_old_data(void *context, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    struct old_data *old = context;
    const char *location = lorac_tensor_is_external(tensor) ? lorac_external_entry(tensor, "location") : NULL;
    (void)error;
    if (location && is_data_name(location, old->model_name))
        lorac_name_table_add(&old->names, location, NULL, NULL); // out of memory: a note less
    return LORAC_OK;
}

// Which data files of ours the old model names. One that cannot be read has none.
static void find_old_data(const struct lorac_replacement *replacement, struct old_data *old)
{
    struct lorac_mapping mapping = {0};
    ProtobufCMessage *message = NULL;
    if (!replacement->exists || !old->arena ||
        lorac_mapping_open(AT_FDCWD, replacement->target, false, &mapping, NULL) != LORAC_OK)
        return;
    old->model_name = base_name(replacement->target);
    if (lorac_wire_read(old->arena, &onnx__model_proto__descriptor, mapping.bytes, mapping.byte_count, &message,
                        NULL) == LORAC_OK)
        lorac_tensor_walk(message, note_old_data, old, NULL);
    lorac_mapping_close(&mapping); // the names are copies
}

// The first of them that is still there and that nobody here uses any more.
static void name_unused(const struct lorac_model *model, const struct lorac_replacement *replacement,
                        const struct old_data *old, const char *data_path, struct lorac_saved *saved)
{
    bool in_place = replacement->exists && lorac_mapping_is(&model->storage->model_file, &replacement->old);
    for (size_t i = 0; i < old->names.count && !saved->unused[0]; i++) {
        struct stat info;
        const char *name = old->names.names[i];
        char *path = lorac_folder_of(replacement->target, strlen(name));
        if (!path)
            return; // a note less
        strcat(path, name);
        bool used = data_path && strcmp(path, data_path) == 0;
        bool there = lstat(path, &info) == 0;
        if (there && !used && (in_place || !lorac_storage_has(model->storage, &info)))
            snprintf(saved->unused, sizeof saved->unused, "%s", name);
        free(path);
    }
}

// ---- save

// A link into another folder: relative to which would the data file be?
static enum lorac_status check_folder(const struct lorac_replacement *replacement, struct lorac_error *error)
{
    struct stat a, b;
    char *given = lorac_folder_of(replacement->path, 1), *real = lorac_folder_of(replacement->target, 1);
    bool known = given && real && stat(*given ? given : ".", &a) == 0 && stat(*real ? real : ".", &b) == 0;
    free(given);
    free(real);
    if (known && (a.st_dev != b.st_dev || a.st_ino != b.st_ino))
        return lorac_error_set(error, LORAC_ERROR_IO,
                               "cannot write '%s': it is a link into another folder, and external data lie beside the "
                               "model; give the file itself: '%s'",
                               replacement->path, replacement->target);
    return LORAC_OK;
}

static enum lorac_status check_target(const struct lorac_model *model, const struct lorac_replacement *replacement,
                                      struct lorac_error *error)
{
    if (replacement->exists && lorac_storage_has(model->storage, &replacement->old))
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot write '%s': the model's own external data are in it",
                               replacement->path);
    return LORAC_OK;
}

enum lorac_status lorac_model_save_check(const struct lorac_model *model, const char *path, enum lorac_data_place place,
                                         struct lorac_error *error)
{
    struct plan plan = {.model = model, .place = place};
    struct lorac_replacement replacement;
    LORAC_TRY(lorac_replacement_open(path, &replacement, error));
    enum lorac_status status = check_target(model, &replacement, error);
    if (status == LORAC_OK)
        status = make_plan(&plan, error);
    if (status == LORAC_OK && plan.external_count > 0)
        status = check_folder(&replacement, error);
    free(plan.list);
    lorac_replacement_close(&replacement);
    return status;
}

// Plans again where the model would be too large. The size of a model hardly depends on the data file's name, which is
// not known yet.
static enum lorac_status plan_place(struct plan *plan, const char *target, struct lorac_error *error)
{
    LORAC_TRY(make_plan(plan, error));
    if (plan->place != LORAC_DATA_AUTO)
        return LORAC_OK;
    enum lorac_status status = dress(plan, base_name(target), error);
    size_t size = status == LORAC_OK ? onnx__model_proto__get_packed_size(plan->model->proto) : 0;
    undress(plan);
    if (status != LORAC_OK || size <= INT32_MAX)
        return status;
    plan->large = true;
    return make_plan(plan, error);
}

static enum lorac_status write_dressed(const struct plan *plan, struct lorac_replacement *replacement,
                                       struct lorac_error *error)
{
    struct lorac_file_content content = {.message = &plan->model->proto->base, .storage = plan->model->storage};
    enum lorac_status status = check_size(plan->model, &content.byte_count, error);
    LORAC_TRY(lorac_error_prefix(error, status, "cannot write '%s': ", replacement->path));
    return lorac_replacement_write(replacement, &content, error);
}

// Writes data file and model; *data_path (malloc'ed) stays NULL where there is no data file.
static enum lorac_status write_both(struct plan *plan, struct lorac_replacement *replacement, char **data_path,
                                    struct lorac_error *error)
{
    int fd = -1;
    if (plan->external_count > 0) {
        LORAC_TRY(check_folder(replacement, error));
        *data_path = create_data_file(replacement->target, &fd);
        if (!*data_path)
            return lorac_write_failure(replacement->path, errno, error);
    }
    enum lorac_status status = dress(plan, *data_path ? base_name(*data_path) : "", error);
    if (status == LORAC_OK && *data_path)
        status = write_data_file(plan, replacement, fd, *data_path, error);
    if (fd >= 0 && close(fd) != 0 && status == LORAC_OK)
        status = lorac_write_failure(*data_path, errno, error);
    if (status == LORAC_OK)
        status = write_dressed(plan, replacement, error);
    undress(plan);
    return status;
}

static enum lorac_status save(struct plan *plan, struct lorac_replacement *replacement, struct lorac_saved *saved,
                              struct lorac_error *error)
{
    struct old_data old = {.arena = plan->arena};
    char *data_path = NULL;
    lorac_name_table_init(&old.names);
    enum lorac_status status = check_target(plan->model, replacement, error);
    if (status == LORAC_OK)
        status = plan_place(plan, replacement->target, error);
    if (status == LORAC_OK) {
        find_old_data(replacement, &old);
        status = write_both(plan, replacement, &data_path, error);
    }
    if (status == LORAC_OK)
        name_unused(plan->model, replacement, &old, data_path, saved);
    else if (data_path && !replacement->done) // else the new model is there, and needs it
        unlink(data_path);
    lorac_name_table_free(&old.names);
    free(data_path);
    return status;
}

enum lorac_status lorac_model_save_as(const struct lorac_model *model, const char *path, enum lorac_data_place place,
                                      struct lorac_saved *saved, struct lorac_error *error)
{
    struct lorac_replacement replacement;
    struct lorac_saved done = {{0}};
    LORAC_TRY(lorac_replacement_open(path, &replacement, error));
    struct plan plan = {.model = model, .place = place, .arena = lorac_arena_create()};
    enum lorac_status status = plan.arena ? save(&plan, &replacement, &done, error)
                                          : lorac_error_set(error, LORAC_ERROR_MEMORY,
                                                            "cannot write '%s': out of "
                                                            "memory",
                                                            path);
    free(plan.list);
    lorac_arena_free(plan.arena);
    lorac_replacement_close(&replacement);
    lorac_model_release(model);
    if (status == LORAC_OK && saved)
        *saved = done;
    return status;
}

enum lorac_status lorac_model_save(const struct lorac_model *model, const char *path, struct lorac_error *error)
{
    return lorac_model_save_as(model, path, LORAC_DATA_AUTO, NULL, error);
}
