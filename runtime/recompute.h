// Recomputation: less is kept from forward to backward, and is computed a second time on the way back.
//
// The forward steps are cut into segments, each where one value alone carries the network's state across (a residual
// block's output). Before the backward steps of a segment, those of its forward steps run again
// (LORAC_BACKWARD_FORWARD) whose results these need, from the value at its entrance, which stays alive until then; what
// crosses its end is not computed again. The last segment's backward comes right after its forward: it keeps all.
//
//     forward     | segment 0 | segment 1 | segment 2 |
//     kept       x            a           b   all of it
//     backward                                        | 2 | forward of 1 from a | 1 | forward of 0 from x | 0 |
//
// Steps are bound to their memory for a session's life, so a buffer that is written again lies where it lay, and lives
// twice. The results are the same bits: the same steps run on the same numbers.
#ifndef LORAC_RECOMPUTE_H
#define LORAC_RECOMPUTE_H

#include "program.h"

// After lorac_differentiate, while each value has a buffer of its own: changes the backward ops and the lifetimes to
// those of [segments] segments (fewer where the network cannot be cut so often), with cuts that make the plan small.
// Leaves all as it is for fewer than 2, without training, and where nothing would be gained. Errors: MEMORY.
enum lorac_status lorac_recompute(struct lorac_program *program, size_t segments, struct lorac_error *error);

// Forward steps that run again in each training step.
size_t lorac_recompute_step_count(const struct lorac_program *program);

#endif
