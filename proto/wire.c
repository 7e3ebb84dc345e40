#include "wire.h"

#include "size.h"

#include "onnx.pb-c.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5, VARINT_MAX_BYTES = 10 };
enum { ARENA_ROUNDING = 16 }; // what the arena makes of a single byte

// One open message: what it is, where it goes, and where its bytes end.
struct frame {
    const ProtobufCMessageDescriptor *type;
    ProtobufCMessage *message;
    size_t end;
};

enum failure { NO_FAILURE, MALFORMED, TOO_DEEP, OVER_BUDGET, OUT_OF_MEMORY };

struct reader {
    struct lorac_arena *arena;
    uint8_t *bytes;
    size_t at;
    size_t view_bytes; // of those before [at], raw_data
    size_t allocated;
    enum failure failure;
    size_t depth; // open[depth] is being read
    struct frame open[LORAC_WIRE_MAX_DEPTH];
};

// What follows a tag.
struct payload {
    unsigned wire;
    uint64_t number; // VARINT, 64BIT, 32BIT
    size_t start;    // LENGTH: bytes[start .. start + count)
    size_t count;
};

static bool fail(struct reader *reader, enum failure failure)
{
    reader->failure = failure;
    return false;
}

// ---- memory

// NULL where the budget or the memory ran out, with reader->failure set.
static void *take(struct reader *reader, size_t bytes)
{
    size_t allowed = LORAC_WIRE_FREE_BYTES, earned;
    if (!lorac_size_add(bytes, ARENA_ROUNDING - 1, &bytes)) {
        fail(reader, OUT_OF_MEMORY);
        return NULL;
    }
    bytes -= bytes % ARENA_ROUNDING;
    if (!lorac_size_multiply(reader->at - reader->view_bytes, LORAC_WIRE_BYTES_PER_BYTE, &earned) ||
        !lorac_size_add(allowed, earned, &allowed))
        allowed = SIZE_MAX;
    if (bytes > allowed || reader->allocated > allowed - bytes) {
        fail(reader, OVER_BUDGET);
        return NULL;
    }
    reader->allocated += bytes;
    void *piece = lorac_arena_alloc(reader->arena, bytes);
    if (!piece)
        fail(reader, OUT_OF_MEMORY);
    return piece;
}

// The size of the block that holds [bytes] bytes of a list: a function of that number alone, so that lists need not
// remember their capacity. 0 where it does not fit.
static size_t list_block(size_t bytes)
{
    size_t block = ARENA_ROUNDING;
    if (bytes == 0)
        return 0;
    while (block < bytes)
        if (!lorac_size_multiply(block, 2, &block))
            return 0;
    return block;
}

// Makes room for [more] items behind the [count] of [item_bytes] in the list whose pointer is at [list]; *items is then
// the first of them. Used by everything that repeats. (Pointers of all types are there: hence memcpy.)
static bool grow(struct reader *reader, void *list, size_t count, size_t more, size_t item_bytes, unsigned char **items)
{
    unsigned char *old;
    memcpy(&old, list, sizeof old);
    size_t needed;
    if (!lorac_size_add(count, more, &needed) || !lorac_size_multiply(needed, item_bytes, &needed))
        return fail(reader, OUT_OF_MEMORY);
    size_t block = list_block(needed);
    if (needed > 0 && block == 0)
        return fail(reader, OUT_OF_MEMORY);
    if (block != list_block(count * item_bytes)) {
        unsigned char *larger = take(reader, block);
        if (!larger)
            return false;
        if (count > 0)
            memcpy(larger, old, count * item_bytes);
        memcpy(list, &larger, sizeof larger);
        old = larger;
    }
    *items = count > 0 ? old + count * item_bytes : old;
    return true;
}

// A copy with a zero byte behind it. The bytes have been stepped over: they have earned their memory.
static uint8_t *copy_bytes(struct reader *reader, const struct payload *payload)
{
    uint8_t *copy = take(reader, payload->count + 1); // no overflow: a file's part
    if (copy && payload->count > 0)
        memcpy(copy, reader->bytes + payload->start, payload->count);
    return copy;
}

// ---- the wire

static bool read_varint(struct reader *reader, size_t end, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES && reader->at < end; i++) {
        uint8_t byte = reader->bytes[reader->at++];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return fail(reader, MALFORMED);
}

static bool read_fixed(struct reader *reader, size_t end, size_t count, uint64_t *out)
{
    uint64_t value = 0;
    if (end - reader->at < count)
        return fail(reader, MALFORMED);
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t)reader->bytes[reader->at++] << (8 * i);
    *out = value;
    return true;
}

// Reads numbers whole; of what has a length, only the length.
static bool read_payload(struct reader *reader, size_t end, struct payload *payload)
{
    uint64_t length;
    switch (payload->wire) {
    case WIRE_VARINT:
        return read_varint(reader, end, &payload->number);
    case WIRE_64BIT:
        return read_fixed(reader, end, 8, &payload->number);
    case WIRE_32BIT:
        return read_fixed(reader, end, 4, &payload->number);
    case WIRE_LENGTH:
        if (!read_varint(reader, end, &length) || length > end - reader->at)
            return fail(reader, MALFORMED);
        payload->start = reader->at;
        payload->count = (size_t)length;
        return true;
    default: // groups: the schema has none
        return fail(reader, MALFORMED);
    }
}

// ---- fields

static unsigned wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32BIT;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LENGTH;
    default:
        return WIRE_VARINT;
    }
}

static size_t item_bytes_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    default: // ENUM and BOOL too are kept as int
        return sizeof(uint32_t);
    }
}

static uint64_t undo_zigzag(uint64_t number)
{
    return number >> 1 ^ (0 - (number & 1));
}

// Writes a number as the struct keeps it.
static void store_number(ProtobufCType type, uint64_t number, void *member)
{
    if (type == PROTOBUF_C_TYPE_SINT32 || type == PROTOBUF_C_TYPE_SINT64)
        number = undo_zigzag(number);
    if (type == PROTOBUF_C_TYPE_BOOL)
        number = number != 0;
    uint32_t narrow = (uint32_t)number; // the low bytes: a negative int32 comes sign-extended
    if (item_bytes_of(type) == sizeof number)
        memcpy(member, &number, sizeof number);
    else
        memcpy(member, &narrow, sizeof narrow);
}

// Only this one: other `bytes` fields are read as strings too.
static bool is_view(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
    enum { RAW_DATA = 9 };
    return type == &onnx__tensor_proto__descriptor && field->id == RAW_DATA;
}

// Opens the message whose first byte is next; *member is its struct where it is there already.
static bool open_message(struct reader *reader, const ProtobufCFieldDescriptor *field, size_t end, void *member)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    ProtobufCMessage *message;
    memcpy(&message, member, sizeof message);
    if (reader->depth + 1 == LORAC_WIRE_MAX_DEPTH)
        return fail(reader, TOO_DEEP);
    if (!message) {
        message = take(reader, type->sizeof_message);
        if (!message)
            return false;
        type->message_init(message);
        memcpy(member, &message, sizeof message);
    }
    reader->open[++reader->depth] = (struct frame){type, message, end};
    return true;
}

// Stores one value of the field in [member], and steps over its bytes (into them, where it is a message).
static bool store(struct reader *reader, const ProtobufCFieldDescriptor *field, const struct payload *payload,
                  void *member)
{
    const ProtobufCMessageDescriptor *parent = reader->open[reader->depth].type;
    size_t end = payload->start + payload->count;
    if (payload->wire != wire_of(field->type))
        return fail(reader, MALFORMED);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return open_message(reader, field, end, member);
    if (payload->wire != WIRE_LENGTH) {
        store_number(field->type, payload->number, member);
        return true;
    }
    bool view = is_view(parent, field);
    reader->at = end;
    reader->view_bytes += view ? payload->count : 0;
    uint8_t *data = view ? reader->bytes + payload->start : copy_bytes(reader, payload);
    if (!data)
        return false;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        memcpy(member, &data, sizeof data);
    } else {
        ProtobufCBinaryData binary = {payload->count, data};
        memcpy(member, &binary, sizeof binary);
    }
    return true;
}

static void *at_offset(const struct frame *frame, unsigned offset)
{
    return (unsigned char *)frame->message + offset;
}

static bool append(struct reader *reader, const struct frame *frame, const ProtobufCFieldDescriptor *field,
                   const struct payload *payload)
{
    size_t *count = at_offset(frame, field->quantifier_offset), item_bytes = item_bytes_of(field->type);
    unsigned char *item;
    if (!grow(reader, at_offset(frame, field->offset), *count, 1, item_bytes, &item))
        return false;
    memset(item, 0, item_bytes);
    if (!store(reader, field, payload, item))
        return false;
    ++*count;
    return true;
}

// How many numbers a packed field has; false where its last one is cut.
static bool count_packed(const struct reader *reader, const struct payload *payload, unsigned wire, size_t *out)
{
    const uint8_t *bytes = reader->bytes + payload->start;
    size_t count = 0;
    if (wire != WIRE_VARINT) {
        size_t each = wire == WIRE_64BIT ? 8 : 4;
        *out = payload->count / each;
        return payload->count % each == 0;
    }
    for (size_t i = 0; i < payload->count; i++)
        count += !(bytes[i] & 0x80);
    *out = count;
    return payload->count == 0 || !(bytes[payload->count - 1] & 0x80);
}

static bool append_packed(struct reader *reader, const struct frame *frame, const ProtobufCFieldDescriptor *field,
                          const struct payload *payload)
{
    size_t *count = at_offset(frame, field->quantifier_offset), item_bytes = item_bytes_of(field->type), more;
    size_t end = payload->start + payload->count;
    unsigned char *next;
    struct payload item = {.wire = wire_of(field->type)};
    if (!count_packed(reader, payload, item.wire, &more))
        return fail(reader, MALFORMED);
    reader->at = end; // for the budget, as in copy_bytes
    if (!grow(reader, at_offset(frame, field->offset), *count, more, item_bytes, &next))
        return false;
    reader->at = payload->start;
    for (size_t i = 0; i < more; i++, next += item_bytes) {
        if (!read_payload(reader, end, &item))
            return false;
        store_number(field->type, item.number, next);
    }
    *count += more;
    return true;
}

// Of the members of a oneof the last one counts: another one that was there is forgotten.
static void enter_oneof(const struct frame *frame, const ProtobufCFieldDescriptor *field)
{
    uint32_t *chosen = at_offset(frame, field->quantifier_offset);
    if (*chosen == field->id)
        return;
    memset(at_offset(frame, field->offset), 0, item_bytes_of(field->type));
    *chosen = field->id;
}

static bool store_singular(struct reader *reader, const struct frame *frame, const ProtobufCFieldDescriptor *field,
                           const struct payload *payload)
{
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        enter_oneof(frame, field);
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE) {
        protobuf_c_boolean *has = at_offset(frame, field->quantifier_offset);
        *has = true;
    }
    return store(reader, field, payload, at_offset(frame, field->offset));
}

// Keeps a field that the schema does not know as the bytes it came in ([start]: behind its tag).
static bool keep_unknown(struct reader *reader, const struct frame *frame, uint32_t number, size_t start,
                         const struct payload *payload)
{
    ProtobufCMessage *message = frame->message;
    size_t end = payload->wire == WIRE_LENGTH ? payload->start + payload->count : reader->at;
    unsigned char *item;
    if (message->n_unknown_fields == UINT_MAX)
        return fail(reader, OVER_BUDGET);
    if (!grow(reader, &message->unknown_fields, message->n_unknown_fields, 1, sizeof *message->unknown_fields, &item))
        return false;
    message->unknown_fields[message->n_unknown_fields++] =
        (ProtobufCMessageUnknownField){number, (ProtobufCWireType)payload->wire, end - start, reader->bytes + start};
    reader->at = end;
    return true;
}

static bool read_field(struct reader *reader)
{
    const struct frame frame = reader->open[reader->depth];
    struct payload payload = {0};
    uint64_t tag;
    // A tag has 32 bits, and field 0 does not exist: both are signs of a file that is something else.
    if (!read_varint(reader, frame.end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return fail(reader, MALFORMED);
    size_t start = reader->at;
    payload.wire = tag & 7;
    if (!read_payload(reader, frame.end, &payload))
        return false;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(frame.type, (unsigned)(tag >> 3));
    if (!field)
        return keep_unknown(reader, &frame, (uint32_t)(tag >> 3), start, &payload);
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return store_singular(reader, &frame, field, &payload);
    // Numbers may come packed or one by one, whatever the schema says.
    if (payload.wire == WIRE_LENGTH && wire_of(field->type) != WIRE_LENGTH)
        return append_packed(reader, &frame, field, &payload);
    return append(reader, &frame, field, &payload);
}

static bool read_all(struct reader *reader)
{
    for (;;) {
        while (reader->at == reader->open[reader->depth].end) {
            if (reader->depth == 0)
                return true;
            reader->depth--;
        }
        if (!read_field(reader))
            return false;
    }
}

static enum lorac_status explain(const struct reader *reader, size_t byte_count, struct lorac_error *error)
{
    switch (reader->failure) {
    case TOO_DEEP:
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "messages nest deeper than %d levels at byte %zu",
                               LORAC_WIRE_MAX_DEPTH, reader->at);
    case OVER_BUDGET:
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "up to byte %zu of %zu the graph takes %zu bytes of memory, and what comes next exceeds "
                               "the limit of %zu MiB and %d times the bytes that are not raw_data (%zu): a file made "
                               "to exhaust memory",
                               reader->at, byte_count, reader->allocated, LORAC_WIRE_FREE_BYTES >> 20,
                               LORAC_WIRE_BYTES_PER_BYTE, reader->at - reader->view_bytes);
    case OUT_OF_MEMORY:
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a model of %zu bytes", byte_count);
    case MALFORMED:
    case NO_FAILURE:
        break;
    }
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "not an ONNX model, or cut short (protobuf cannot read it near byte %zu of %zu)", reader->at,
                           byte_count);
}

enum lorac_status lorac_wire_read(struct lorac_arena *arena, const ProtobufCMessageDescriptor *type, uint8_t *bytes,
                                  size_t byte_count, ProtobufCMessage **out, struct lorac_error *error)
{
    struct reader reader = {.arena = arena, .bytes = bytes};
    ProtobufCMessage *message = take(&reader, type->sizeof_message);
    if (!message)
        return explain(&reader, byte_count, error);
    type->message_init(message);
    reader.open[0] = (struct frame){type, message, byte_count};
    if (!read_all(&reader))
        return explain(&reader, byte_count, error);
    *out = message;
    return LORAC_OK;
}
