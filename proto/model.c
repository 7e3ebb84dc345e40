#include "model.h"

#include "model_internal.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- protobuf-c on the arena

struct unpack_memory {
    struct lorac_arena *arena;
    bool ran_out;
};

// One byte more than asked for: arena memory is zero, so that every bytes field can be read as a string
// (lorac_node_string relies on it).
static void *unpack_alloc(void *data, size_t bytes)
{
    struct unpack_memory *memory = data;
    void *piece = lorac_arena_alloc(memory->arena, bytes + 1);
    if (!piece)
        memory->ran_out = true;
    return piece;
}

// The arena frees everything at once.
static void unpack_free(void *data, void *piece)
{
    (void)data;
    (void)piece;
}

ProtobufCMessage *lorac_arena_unpack(struct lorac_arena *arena, const ProtobufCMessageDescriptor *type,
                                     const uint8_t *bytes, size_t byte_count, bool *out_of_memory)
{
    struct unpack_memory memory = {arena, false};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &memory};
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, byte_count, bytes);
    *out_of_memory = memory.ran_out;
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
    buffer->same = count <= buffer->left && memcmp(buffer->expected, bytes, count) == 0;
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

static enum lorac_status unpack_model(struct lorac_model *model, const uint8_t *bytes, size_t byte_count,
                                      struct lorac_error *error)
{
    const ProtobufCMessageDescriptor *type = &onnx__model_proto__descriptor;
    bool out_of_memory;
    LORAC_TRY(lorac_wire_check(bytes, byte_count, type, error));
    model->proto = (Onnx__ModelProto *)lorac_arena_unpack(model->arena, type, bytes, byte_count, &out_of_memory);
    if (!model->proto && out_of_memory)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a model of %zu bytes", byte_count);
    if (!model->proto)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "not an ONNX model (protobuf cannot read it)");
    if (!model->proto->graph)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "not an ONNX model, or cut short: it has no graph");
    if (!model->proto->has_ir_version)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "not an ONNX model: it has no ir_version");
    LORAC_TRY(lorac_model_check(model, error));
    model->rewrites_unchanged = packs_to(model->proto, bytes, byte_count);
    return lorac_index_create(model, error);
}

enum lorac_status lorac_model_parse(const void *bytes, size_t byte_count, struct lorac_model **out,
                                    struct lorac_error *error)
{
    if (byte_count == 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "empty: not an ONNX model");
    if (byte_count > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "%zu bytes: an ONNX model is smaller than 2 GiB", byte_count);
    struct lorac_model *model = calloc(1, sizeof *model);
    if (!model || !(model->arena = lorac_arena_create())) {
        free(model);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a model");
    }
    enum lorac_status status = unpack_model(model, bytes, byte_count, error);
    if (status == LORAC_OK)
        *out = model;
    else
        lorac_model_free(model);
    return status;
}

enum lorac_status lorac_model_load(const char *path, struct lorac_model **out, struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    enum lorac_status status = lorac_file_read(path, &bytes, &byte_count, error);
    if (status == LORAC_OK)
        status = lorac_model_parse(bytes, byte_count, out, error);
    if (status != LORAC_OK)
        lorac_error_prefix(error, "'%s': ", path);
    free(bytes);
    return status;
}

void lorac_model_free(struct lorac_model *model)
{
    if (!model)
        return;
    lorac_index_free(model->index);
    lorac_arena_free(model->arena);
    free(model);
}

// ---- writing

enum lorac_status lorac_model_packed_size(const struct lorac_model *model, size_t *byte_count,
                                          struct lorac_error *error)
{
    size_t size = onnx__model_proto__get_packed_size(model->proto);
    if (size > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the model takes %zu bytes: an ONNX file must be smaller than 2 GiB", size);
    *byte_count = size;
    return LORAC_OK;
}

enum lorac_status lorac_model_pack(const struct lorac_model *model, uint8_t **bytes, size_t *byte_count,
                                   struct lorac_error *error)
{
    size_t size = 0;
    LORAC_TRY(lorac_model_packed_size(model, &size, error));
    uint8_t *block = malloc(size ? size : 1);
    if (!block)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a serialised model of %zu bytes", size);
    *byte_count = onnx__model_proto__pack(model->proto, block);
    *bytes = block;
    return LORAC_OK;
}

// ---- messages

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
