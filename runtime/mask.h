// What is kept for the way back as one bit for each element. Relu's and Clip's gradient asks of an output only whether
// it lies between the bounds; where no other step reads that output on the way back (a trained layer behind it, a
// MaxPool), a mask of 1/32 of the memory is kept, and the output goes with its last reader on the way forward.
#ifndef LORAC_MASK_H
#define LORAC_MASK_H

#include "program.h"

// Decides it for all steps of a program that trains: sets keeps_mask and kept_bytes in place of keeps_output. To be
// called when every step's `memory` was, since what others keep is known then. Errors: MEMORY.
enum lorac_status lorac_mask_outputs(struct lorac_program *program, struct lorac_error *error);

#endif
