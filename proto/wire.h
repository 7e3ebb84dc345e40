// A serialised message read into the structs that protobuf-c generated, by their descriptors. In place of protobuf-c's
// own unpacker, because ours may be given hostile bytes:
//
// - it follows nested messages without recursion, and no deeper than a limit;
// - everything it allocates is charged to a budget that grows with the bytes read, so that a small file cannot take
//   much memory (protobuf-c was seen to need 127 times the file for a file of empty nodes);
// - its time is linear in the bytes: a singular message that occurs again is read on into the same struct (which is
//   what merging means in protobuf), lists grow by doubling;
// - the raw_data of tensors and unknown fields are not copied: they are views of the bytes.
#ifndef LORAC_WIRE_H
#define LORAC_WIRE_H

#include "arena.h"
#include "lorac_status.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

// How deep messages may nest: what the official protobuf library accepts by default. (A subgraph inside a node is
// three levels: graph, node, attribute.)
enum { LORAC_WIRE_MAX_DEPTH = 100 };

// At any place in the file, what was allocated so far may take so many bytes, and so many times the bytes before that
// place which are no tensor's raw_data. (Measured on the models of the tests and what the onnx wheel ships: 2 to 12
// times, and few graphs have 1 MiB. Empty nodes take 64 times.)
#define LORAC_WIRE_FREE_BYTES ((size_t)64 << 20)
enum { LORAC_WIRE_BYTES_PER_BYTE = 32 };

// Reads the message of [type] that [bytes] hold into [arena]; *out lives as long as the arena. Strings are terminated,
// and so is every `bytes` field but raw_data: one zero byte follows it.
// [bytes] are kept, and not written: raw_data and unknown fields point into them until the arena is freed. Nothing is assumed of their alignment.
// Errors: FORMAT (cut short, no such message, too deep, over the budget), MEMORY.
enum lorac_status lorac_wire_read(struct lorac_arena *arena, const ProtobufCMessageDescriptor *type, uint8_t *bytes,
                                  size_t byte_count, ProtobufCMessage **out, struct lorac_error *error);

#endif
