// Any message, changed through its descriptor: what the schema allows, whatever it means.
#include "mutate.h"
#include "words.h"

#include "proto/model_internal.h"

#include <math.h>
#include <string.h>

enum { MAX_MESSAGES = 4096, MAX_LIST = 4096 };

struct walk {
    struct lorac_rng *rng;
    struct lorac_arena *arena;
    size_t count;
    ProtobufCMessage *messages[MAX_MESSAGES];
};

#define WORD(text) text,
#define ATTRIBUTE_NAME(name, type) name,
static const char *const WORDS[] = {FUZZ_OPERATORS(WORD) FUZZ_ATTRIBUTES(ATTRIBUTE_NAME) FUZZ_STRINGS(WORD)};

static size_t below(struct walk *walk, size_t n)
{
    return n == 0 ? 0 : (size_t)lorac_rng_below(walk->rng, n);
}

static void *member(const ProtobufCMessage *message, size_t offset)
{
    return (char *)(uintptr_t)message + offset;
}

static size_t *list_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return member(message, field->quantifier_offset);
}

// Is the field (not a list) there? Messages, strings and bytes of a oneof share their memory with its others.
static bool is_there(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(uint32_t *)member(message, field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING)
        return *(void **)member(message, field->offset) != NULL;
    return field->label == PROTOBUF_C_LABEL_REQUIRED ||
           *(protobuf_c_boolean *)member(message, field->quantifier_offset);
}

static void set_there(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, bool there)
{
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)member(message, field->quantifier_offset) = there ? field->id : 0;
    else if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
        *(protobuf_c_boolean *)member(message, field->quantifier_offset) = there;
    else if (!there)
        *(void **)member(message, field->offset) = NULL;
}

// ---- all messages of the model

static void collect(struct walk *walk, ProtobufCMessage *message)
{
    if (walk->count == MAX_MESSAGES)
        return;
    walk->messages[walk->count++] = message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage **list = *(ProtobufCMessage ***)member(message, field->offset);
            for (size_t k = 0; k < *list_count(message, field); k++)
                collect(walk, list[k]); // as deep as the reader allows
        } else if (is_there(message, field)) {
            collect(walk, *(ProtobufCMessage **)member(message, field->offset));
        }
    }
}

// A copy, so that no message is ever inside itself. NULL where memory ran out.
static ProtobufCMessage *copy_message(struct walk *walk, const ProtobufCMessage *message)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = lorac_arena_alloc(walk->arena, bytes + 1);
    bool out_of_memory;
    if (!packed || bytes > 1 << 16)
        return NULL;
    protobuf_c_message_pack(message, packed);
    return lorac_arena_unpack(walk->arena, message->descriptor, packed, bytes, &out_of_memory);
}

// A message of [type]: a copy of one of the model's, or an empty one.
static ProtobufCMessage *other_message(struct walk *walk, const ProtobufCMessageDescriptor *type)
{
    size_t start = below(walk, walk->count);
    for (size_t i = 0; i < walk->count && below(walk, 8); i++) {
        const ProtobufCMessage *found = walk->messages[(start + i) % walk->count];
        if (found->descriptor == type)
            return copy_message(walk, found);
    }
    ProtobufCMessage *fresh = lorac_arena_alloc(walk->arena, type->sizeof_message);
    if (fresh)
        protobuf_c_message_init(type, fresh);
    return fresh;
}

// ---- one value

static char *other_text(struct walk *walk)
{
    if (below(walk, 2) == 0)
        return (char *)(uintptr_t)WORDS[below(walk, sizeof WORDS / sizeof *WORDS)];
    // A name that the model has.
    for (size_t tries = 0; tries < 16; tries++) {
        const ProtobufCMessage *message = walk->messages[below(walk, walk->count)];
        const ProtobufCFieldDescriptor *field =
            &message->descriptor->fields[below(walk, message->descriptor->n_fields)];
        if (field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED && is_there(message, field))
            return *(char **)member(message, field->offset);
        if (field->label == PROTOBUF_C_LABEL_REPEATED && *list_count(message, field) > 0)
            return (*(char ***)member(message, field->offset))[below(walk, *list_count(message, field))];
    }
    return (char *)(uintptr_t) "odd\x01name";
}

static void change_bytes(struct walk *walk, ProtobufCBinaryData *data)
{
    size_t count = below(walk, 3) ? data->len : below(walk, 64);
    uint8_t *copy = lorac_arena_alloc(walk->arena, count + 1);
    if (!copy)
        return;
    if (data->len > 0)
        memcpy(copy, data->data, count < data->len ? count : data->len);
    for (size_t changes = below(walk, 5); count > 0 && changes > 0; changes--)
        copy[below(walk, count)] = (uint8_t)lorac_rng_next(walk->rng);
    *data = (ProtobufCBinaryData){count, copy};
}

static double change_real(struct walk *walk, double old)
{
    static const double VALUES[] = {0, -0.0, 1, -1, 0.5, 1e-40, 1e38, -1e38, 1e-7, 255, INFINITY, -INFINITY, NAN};
    return below(walk, 4) ? VALUES[below(walk, sizeof VALUES / sizeof *VALUES)] : old * 2;
}

static int64_t change_integer(struct walk *walk, int64_t old)
{
    switch (below(walk, 4)) {
    case 0:
        return (int64_t)((uint64_t)old + 1);
    case 1:
        return (int64_t)((uint64_t)old - 1);
    default:
        return fuzz_integer(walk->rng);
    }
}

static void change_value(struct walk *walk, const ProtobufCFieldDescriptor *field, void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)value = other_message(walk, field->descriptor);
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)value = other_text(walk);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        change_bytes(walk, value);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)value = (float)change_real(walk, (double)*(float *)value);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)value = change_real(walk, *(double *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(int64_t *)value = change_integer(walk, *(int64_t *)value);
        break;
    default: // 32 bits: integers and enumerations
        *(int32_t *)value = (int32_t)change_integer(walk, *(int32_t *)value);
    }
}

static size_t value_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return 8;
    default:
        return 4;
    }
}

// ---- a field

static void change_list(struct walk *walk, ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t *count = list_count(message, field), each = value_bytes(field);
    char **list = member(message, field->offset);
    if (*count > MAX_LIST)
        return;
    char *copy = lorac_arena_alloc(walk->arena, (*count + 1) * each);
    if (!copy)
        return;
    if (*count > 0)
        memcpy(copy, *list, *count * each);
    size_t at = below(walk, *count);
    switch (*count > 0 ? below(walk, 5) : 0) {
    case 0: // one more at the end
        if (field->type == PROTOBUF_C_TYPE_BYTES)
            return;
        change_value(walk, field, copy + *count * each);
        if (value_bytes(field) == sizeof(void *) && field->type == PROTOBUF_C_TYPE_MESSAGE &&
            !*(void **)(copy + *count * each))
            return;
        ++*count;
        break;
    case 1: // one less
        memmove(copy + at * each, copy + (at + 1) * each, (*count - at - 1) * each);
        --*count;
        break;
    case 2: // an element takes another one's place
        memcpy(copy + at * each, *list + below(walk, *count) * each, each);
        break;
    default:
        change_value(walk, field, copy + at * each);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*(void **)(copy + at * each))
            return;
    }
    *list = copy;
}

static void change_field(struct walk *walk, ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        change_list(walk, message, field);
    } else if (is_there(message, field) && below(walk, 6) == 0) {
        set_there(message, field, false);
    } else {
        void *value = member(message, field->offset);
        if (!is_there(message, field) && field->type == PROTOBUF_C_TYPE_BYTES)
            *(ProtobufCBinaryData *)value = (ProtobufCBinaryData){0, (uint8_t *)(uintptr_t) ""};
        else if (!is_there(message, field))
            memset(value, 0, value_bytes(field));
        change_value(walk, field, value);
        bool missing = field->type == PROTOBUF_C_TYPE_MESSAGE && !*(void **)value;
        set_there(message, field, !missing);
    }
}

void fuzz_mutate_message(struct lorac_rng *rng, struct lorac_arena *arena, ProtobufCMessage *root)
{
    struct walk *walk = lorac_arena_alloc(arena, sizeof *walk);
    if (!walk)
        return;
    walk->rng = rng;
    walk->arena = arena;
    collect(walk, root);
    ProtobufCMessage *message = walk->messages[below(walk, walk->count)];
    if (message->descriptor->n_fields > 0)
        change_field(walk, message, &message->descriptor->fields[below(walk, message->descriptor->n_fields)]);
}
