// A look at a serialised message before protobuf-c unpacks it: protobuf-c follows nested messages by recursion
// without a limit, so that a small hostile file would overflow the stack.
#ifndef LORAC_WIRE_H
#define LORAC_WIRE_H

#include "lorac_status.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

// How deep messages may nest: what the official protobuf library accepts by default. (A subgraph inside a node is
// three levels: graph, node, attribute.)
enum { LORAC_WIRE_MAX_DEPTH = 100 };

// Checks that [bytes] is a well-formed message of [type], as far as the wire format goes, and that no message in it
// is deeper than the limit. Needs a fixed amount of memory, whatever the bytes say. Errors: FORMAT.
enum lorac_status lorac_wire_check(const uint8_t *bytes, size_t byte_count, const ProtobufCMessageDescriptor *type,
                                   struct lorac_error *error);

#endif
