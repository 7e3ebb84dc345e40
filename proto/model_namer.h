// Fresh names in great number for what is about to be put into a model: as lorac_model_fresh_name, but names that were
// given and are not in the model yet count as taken, and a name that is asked for again and again costs no search.
#ifndef LORAC_MODEL_NAMER_H
#define LORAC_MODEL_NAMER_H

#include "model.h"
#include "name_table.h"

// Zero-initialise all but [model], which must not be edited between the calls.
struct lorac_namer {
    struct lorac_model *model;
    struct lorac_name_table made;   // names given
    struct lorac_name_table wanted; // names asked for
    size_t *next_suffix;            // by number in [wanted]
    size_t next_capacity;
};

void lorac_namer_free(struct lorac_namer *namer);

// *out = "<prefix>/<name>", with _1, _2, ... behind it where that is taken; lives in the model's arena. False where
// memory ran out.
bool lorac_namer_make(struct lorac_namer *namer, const char *prefix, const char *name, const char **out);

// What one name takes in the arena.
size_t lorac_namer_bytes(const char *prefix, const char *name);

#endif
