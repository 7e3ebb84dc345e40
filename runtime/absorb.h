// Steps that need no run of their own: where a kernel can do what the next step does while it runs (lorac_kernel
// absorb), the next step goes, with the value between the two.
#ifndef LORAC_ABSORB_H
#define LORAC_ABSORB_H

#include "program.h"

// To be called once, when all nodes are lowered and the output is known, before differentiation. Errors: MEMORY.
enum lorac_status lorac_absorb_steps(struct lorac_program *program, struct lorac_error *error);

#endif
