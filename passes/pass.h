// What a pass is: model to model. A pass only looks through proto/model.h, never computes activations, and either
// does its whole work or fails before the first edit is visible to a file.
#ifndef LORAC_PASS_H
#define LORAC_PASS_H

#include "proto/adapter_meta.h"
#include "proto/model.h"

struct lorac_pass_report {
    size_t changed; // how many places changed
    size_t skipped;
    size_t note_count; // what a user should know of single places, one line each, in the model's arena
    const char **notes;
};

// Adds a note to a report. Errors: MEMORY.
enum lorac_status lorac_pass_note(struct lorac_model *model, struct lorac_pass_report *report,
                                  struct lorac_error *error, const char *format, ...) LORAC_PRINTF(4, 5);

struct lorac_pass {
    const char *name;    // as on the command line
    const char *summary; // one line
    bool keeps_outputs;  // the model computes the same before and after
    // Only looks: would [run] have something to do?
    bool (*applies)(struct lorac_model *model, const void *options);
    // [options] is the pass's own struct, NULL for its defaults.
    enum lorac_status (*run)(struct lorac_model *model, const void *options, struct lorac_pass_report *report,
                             struct lorac_error *error);
};

// Every pass there is (pass_list.h has a line for each). *count is their number.
const struct lorac_pass *const *lorac_pass_all(size_t *count);

// NULL for an unknown name.
const struct lorac_pass *lorac_pass_find(const char *name);

#endif
