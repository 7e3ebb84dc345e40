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

extern const struct lorac_pass lorac_pass_apply;

// Makes the graph of the file's record in a base model, plain or injected, and leaves its numbers: what apply does
// first. Errors: MISMATCH (another base: names both hashes; another record), and those of inject.
enum lorac_status lorac_apply_graph(struct lorac_model *model, const struct lorac_apply_options *options,
                                    struct lorac_meta *meta, struct lorac_error *error);

#endif
