#include "model.h"

#include "external.h"
#include "model_internal.h"
#include "wire.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- messages in the arena

ProtobufCMessage *lorac_arena_unpack(struct lorac_arena *arena, const ProtobufCMessageDescriptor *type,
                                     const uint8_t *bytes, size_t byte_count, bool *out_of_memory)
{
    ProtobufCMessage *message = NULL;
    struct lorac_error error = {0};
    uint8_t *copy = lorac_arena_alloc(arena, byte_count);
    *out_of_memory = true;
    if (!copy)
        return NULL;
    if (byte_count > 0)
        memcpy(copy, bytes, byte_count);
    *out_of_memory = lorac_wire_read(arena, type, copy, byte_count, &message, &error) == LORAC_ERROR_MEMORY;
    return message;
}

// ---- reading

// A ProtobufCBuffer that compares what it is given with what it should be, so that no second copy of the model is
// needed to tell whether it would be written as it was read.
struct compare_buffer {
    ProtobufCBuffer base;
    const uint8_t *expected;
    size_t left;
    bool same;
};

static void compare_append(ProtobufCBuffer *base, size_t count, const uint8_t *bytes)
{
    struct compare_buffer *buffer = (struct compare_buffer *)base;
    if (!buffer->same || count == 0)
        return;
    // raw_data is the very bytes of the file: its pages are not even read.
    buffer->same = count <= buffer->left && (bytes == buffer->expected || memcmp(buffer->expected, bytes, count) == 0);
    if (buffer->same) {
        buffer->expected += count;
        buffer->left -= count;
    }
}

static bool packs_to(const Onnx__ModelProto *proto, const uint8_t *bytes, size_t byte_count)
{
    if (onnx__model_proto__get_packed_size(proto) != byte_count)
        return false;
    struct compare_buffer buffer = {{compare_append}, bytes, byte_count, true};
    protobuf_c_message_pack_to_buffer(&proto->base, &buffer.base);
    return buffer.same && buffer.left == 0;
}

// [path]: the model's file, NULL where it has none. [bytes] stay where they are while the model lives.
static enum lorac_status unpack_model(struct lorac_model *model, uint8_t *bytes, size_t byte_count, const char *path,
                                      struct lorac_error *error)
{
    ProtobufCMessage *message = NULL;
    if (byte_count > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "%zu bytes: an ONNX model is smaller than 2 GiB", byte_count);
    LORAC_TRY(lorac_wire_read(model->arena, &onnx__model_proto__descriptor, bytes, byte_count, &message, error));
    model->proto = (Onnx__ModelProto *)message;
    if (!model->proto->graph)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "not an ONNX model, or cut short: it has no graph");
    if (!model->proto->has_ir_version)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "not an ONNX model: it has no ir_version");
    model->rewrites_unchanged = packs_to(model->proto, bytes, byte_count);
    LORAC_TRY(lorac_external_load(model, path, error));
    LORAC_TRY(lorac_model_check(model, error));
    return lorac_index_create(model, error);
}

static enum lorac_status create_model(struct lorac_model **out, struct lorac_error *error)
{
    struct lorac_model *model = calloc(1, sizeof *model);
    if (!model || !(model->arena = lorac_arena_create()) || !(model->storage = lorac_storage_create())) {
        lorac_model_free(model);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a model");
    }
    *out = model;
    return LORAC_OK;
}

enum lorac_status lorac_model_parse(const void *bytes, size_t byte_count, struct lorac_model **out,
                                    struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    if (byte_count == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "empty: not an ONNX model");
    LORAC_TRY(create_model(&model, error));
    uint8_t *copy = lorac_arena_alloc(model->arena, byte_count);
    enum lorac_status status = LORAC_ERROR_MEMORY;
    if (copy)
        status = unpack_model(model, memcpy(copy, bytes, byte_count), byte_count, NULL, error);
    else
        lorac_error_set(error, status, "out of memory for a model of %zu bytes", byte_count);
    if (status == LORAC_OK)
        *out = model;
    else
        lorac_model_free(model);
    return status;
}

static enum lorac_status load_model(struct lorac_model *model, const char *path, struct lorac_error *error)
{
    struct lorac_mapping *file = &model->storage->model_file;
    LORAC_TRY(lorac_mapping_open(AT_FDCWD, path, false, file, error));
    if (file->byte_count == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the file is empty");
    LORAC_TRY(unpack_model(model, file->bytes, file->byte_count, path, error));
    lorac_model_release(model); // reading what lies between the weights has brought some of theirs
    return LORAC_OK;
}

enum lorac_status lorac_model_load(const char *path, struct lorac_model **out, struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    LORAC_TRY(create_model(&model, error));
    enum lorac_status status = load_model(model, path, error);
    if (status == LORAC_OK) {
        *out = model;
        return LORAC_OK;
    }
    lorac_model_free(model);
    return lorac_error_prefix(error, status, "'%s': ", path);
}

void lorac_model_free(struct lorac_model *model)
{
    if (!model)
        return;
    lorac_index_free(model->index);
    lorac_arena_free(model->arena);
    lorac_storage_free(model->storage);
    free(model);
}

void lorac_model_release(const struct lorac_model *model)
{
    const struct lorac_storage *storage = model->storage;
    lorac_storage_release(storage, storage->model_file.bytes, storage->model_file.byte_count);
    for (size_t i = 0; i < storage->locations.count && i < storage->capacity; i++)
        lorac_storage_release(storage, storage->files[i].bytes, storage->files[i].byte_count);
}

// ---- texts

struct lorac_dims_text lorac_dims_format(const int64_t *dims, size_t count)
{
    struct lorac_dims_text out = {"["};
    size_t used = 1;
    for (size_t i = 0; i < count; i++) {
        if (used > sizeof out.text - 32) {
            used += (size_t)snprintf(out.text + used, sizeof out.text - used, ", ...");
            break;
        }
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%" PRId64, i ? ", " : "", dims[i]);
    }
    snprintf(out.text + used, sizeof out.text - used, "]");
    return out;
}
