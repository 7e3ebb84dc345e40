// The choice between several ways to run a step, by measuring them (choice.h keeps what came out).
#ifndef LORAC_TUNE_H
#define LORAC_TUNE_H

#include "program.h"

// Adds to [choices] a row for each step of the lowered [program] that could be run in several ways and has none there;
// steps that are described by the same text are measured once. [*count]: how many were measured. Nothing of the program
// changes: to follow the choices it is lowered again. Takes memory for the largest step, and gives it back.
// Errors: MEMORY, UNSUPPORTED (XNNPACK).
enum lorac_status lorac_tune(const struct lorac_program *program, size_t threads, struct lorac_choices *choices,
                             size_t *count, struct lorac_error *error);

#endif
