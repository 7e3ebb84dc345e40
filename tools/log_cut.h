// Cutting a log of JSON lines back, so that a run that goes on has each step in it once.
#ifndef LORAC_LOG_CUT_H
#define LORAC_LOG_CUT_H

#include "proto/lorac_status.h"

#include <stdbool.h>
#include <stdint.h>

// Cuts the file off behind the line of [step], or where a line is of a later step, is no JSON or is not whole. A file
// that is not there stays so. *has_lines: something is left. Errors: IO, MEMORY.
enum lorac_status lorac_log_cut(const char *path, uint64_t step, bool *has_lines, struct lorac_error *error);

#endif
