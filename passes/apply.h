// apply: gives a base model the adapters of a file (proto/adapter_file.h). The base is the injected model, whose record
// must be that of the file, or the plain one, which is injected again as the record says. Either must be the base that
// the file's hash names. Afterwards the model has the file's trained tensors, statistics and lorac.* entries: of the
// injected model byte for byte the one that was extracted.
#ifndef LORAC_APPLY_H
#define LORAC_APPLY_H

#include "pass.h"

#include "proto/adapter_file.h"

struct lorac_apply_options {
    const struct lorac_adapter_file *file; // NULL (the default): nothing to do
    const char *name;                      // of the file, for messages
};

// Errors of run: MISMATCH (another base: names both hashes; another record; tensors that are not those of the record),
// MEMORY, and those of inject.
extern const struct lorac_pass lorac_pass_apply;

#endif
