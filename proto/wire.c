#include "wire.h"

#include <stdbool.h>

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5, VARINT_MAX_BYTES = 10 };

struct cursor {
    const uint8_t *bytes;
    size_t at;
};

// One open message: what it is, and where it ends.
struct frame {
    const ProtobufCMessageDescriptor *type;
    size_t end;
};

static bool read_varint(struct cursor *cursor, size_t end, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES && cursor->at < end; i++) {
        uint8_t byte = cursor->bytes[cursor->at++];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

// Steps over the field whose tag is next. Where it is a message that the schema knows, stops at its first byte and
// gives it in *nested.
static bool read_field(struct cursor *cursor, const struct frame *frame, struct frame *nested)
{
    uint64_t tag, value;
    nested->type = NULL;
    // A tag has 32 bits, and field 0 does not exist: both are signs of a file that is something else.
    if (!read_varint(cursor, frame->end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    size_t left = frame->end - cursor->at;
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(cursor, frame->end, &value);
    case WIRE_64BIT:
    case WIRE_32BIT:
        value = (tag & 7) == WIRE_64BIT ? 8 : 4;
        break;
    case WIRE_LENGTH:
        if (!read_varint(cursor, frame->end, &value))
            return false;
        left = frame->end - cursor->at;
        break;
    default: // groups: the schema has none
        return false;
    }
    if (value > left)
        return false;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(frame->type, (unsigned)(tag >> 3));
    if ((tag & 7) == WIRE_LENGTH && field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        nested->type = field->descriptor;
        nested->end = cursor->at + (size_t)value;
    } else {
        cursor->at += (size_t)value;
    }
    return true;
}

enum lorac_status lorac_wire_check(const uint8_t *bytes, size_t byte_count, const ProtobufCMessageDescriptor *type,
                                   struct lorac_error *error)
{
    struct frame open[LORAC_WIRE_MAX_DEPTH];
    struct cursor cursor = {bytes, 0};
    size_t depth = 0;
    open[0] = (struct frame){type, byte_count};
    for (;;) {
        while (cursor.at == open[depth].end) {
            if (depth == 0)
                return LORAC_OK;
            depth--;
        }
        struct frame nested;
        if (!read_field(&cursor, &open[depth], &nested))
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "not an ONNX model, or cut short (protobuf cannot read it near byte %zu of %zu)",
                                   cursor.at, byte_count);
        if (!nested.type)
            continue;
        if (depth + 1 == LORAC_WIRE_MAX_DEPTH)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "messages nest deeper than %d levels at byte %zu",
                                   LORAC_WIRE_MAX_DEPTH, cursor.at);
        open[++depth] = nested;
    }
}
