// Two ways to change a model at random: its bytes, which finds what the reader forgets, and its messages (operators,
// attributes, dimensions, edges), which stay a well-formed file and find what everything behind the reader forgets.
// A function of the generator's state alone.
#ifndef LORAC_TEST_FUZZ_MUTATE_H
#define LORAC_TEST_FUZZ_MUTATE_H

#include "proto/rng.h"

#include <stddef.h>
#include <stdint.h>

// Changes [bytes], which have room for [capacity]; returns the new count.
size_t fuzz_mutate_bytes(struct lorac_rng *rng, uint8_t *bytes, size_t count, size_t capacity);

// The same through the messages; 0 where the bytes are no model, or the changed one does not fit.
size_t fuzz_mutate_model(struct lorac_rng *rng, uint8_t *bytes, size_t count, size_t capacity);

// An integer of the sort that breaks things: small, a power of two, an end of a type.
int64_t fuzz_integer(struct lorac_rng *rng);

// Shared by mutate_message.c (any message, through the schema) and mutate_model.c (what a graph means).
struct lorac_arena;
struct ProtobufCMessage;
void fuzz_mutate_message(struct lorac_rng *rng, struct lorac_arena *arena, struct ProtobufCMessage *root);

#endif
