// Differentiation: which steps need a gradient, the list of things to do on the way back, and the lifetime of every
// buffer.
//
// Nothing before the first trainable parameter gets a gradient. The gradient of a value that several steps read is the
// sum of their contributions; an Add passes its own gradient on without a copy.
#ifndef LORAC_DIFFERENTIATE_H
#define LORAC_DIFFERENTIATE_H

#include "program.h"

// Marks values and steps (needs_gradient, has_trainable, needs_backward). With program->training only.
// UNSUPPORTED where a step on the way has no gradient (names the node); ARGUMENT where nothing is trainable.
enum lorac_status lorac_differentiate_mark(struct lorac_program *program, struct lorac_error *error);

// Makes program->backward, after every step's `memory` has spoken, and sets first and last of all buffers (training or
// not).
enum lorac_status lorac_differentiate(struct lorac_program *program, struct lorac_error *error);

// Sets first and last of all buffers, and their second lives, once more: after the backward ops changed.
void lorac_differentiate_lifetimes(struct lorac_program *program);

#endif
