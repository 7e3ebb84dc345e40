// Which steps write over what they read. A step whose kernel allows it takes the memory of an input that nothing reads
// any more for its output, and on the way back the memory of its output's gradient for that of its input: one buffer
// less, and memory that is still in the cache.
//
//     conv ──a──▶ Add ──b──▶ Relu ──c──▶ conv          a, b and c are one buffer
//     x ─────────▶                                     (x is kept for the way back, or read by others)
//
// Told from the buffers' lifetimes alone, so that a value that is read again in any way, be it by the loss, by a later
// step, or on the way back, is left as it is.
#ifndef LORAC_ALIAS_H
#define LORAC_ALIAS_H

#include "program.h"

// Joins buffers, after their first and last are known: the one that was given up has no bytes and no longer a user.
// The program's input stays in place: what was filled in can be read again. Errors: MEMORY.
enum lorac_status lorac_alias_in_place(struct lorac_program *program, struct lorac_error *error);

// The first half of it, for who only wants to know what a plan would be: names[buffer_count] is what each buffer goes on
// as; buffers are joined, but nothing is told so yet.
void lorac_alias_find(struct lorac_program *program, uint32_t *names);

#endif
