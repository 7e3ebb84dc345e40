// One arena owns a structure made of many small pieces, so that it is freed in one call.
#ifndef LORAC_ARENA_H
#define LORAC_ARENA_H

#include <stddef.h>

struct lorac_arena; // opaque

// NULL where memory ran out.
struct lorac_arena *lorac_arena_create(void);

// Undoes create and every allocation made from it; accepts NULL.
void lorac_arena_free(struct lorac_arena *arena);

// [bytes] zeroed bytes, aligned for any type, living as long as the arena; NULL where memory ran out.
// Zero bytes give a pointer that must not be read.
void *lorac_arena_alloc(struct lorac_arena *arena, size_t bytes);

// The same for an array; NULL also where count * bytes_each overflows.
void *lorac_arena_alloc_array(struct lorac_arena *arena, size_t count, size_t bytes_each);

// A copy of a string; NULL where memory ran out.
char *lorac_arena_strdup(struct lorac_arena *arena, const char *text);

// Of all pieces handed out, with what aligns them: what stays until the arena is freed.
size_t lorac_arena_bytes(const struct lorac_arena *arena);

#endif
