// inject's options for a new job: other classes, small images, another input size, another output; what they do, and
// whether the model still runs afterwards.
#ifndef LORAC_TOOLS_NEW_JOB_H
#define LORAC_TOOLS_NEW_JOB_H

#include "command.h"
#include "passes/inject.h"
#include "passes/new_job.h"

struct lorac_new_job_settings {
    int64_t classes; // 0: not given
    const char *class_names;
    const char *label_names; // of the classes that there are
    bool small_image_stem;
    struct lorac_size size;
    const char *output_name;
};
extern const struct lorac_option lorac_new_job_options[];

// What was done, for the report.
struct lorac_new_job {
    bool runs;         // something is asked for, and the model can be run as it was
    size_t call_count; // local functions that were written out
    int64_t classes;   // of the fresh last layer; 0: the old one
    char **class_names; // [name_count]
    int64_t name_count;
    bool stem, pool_removed;
    bool size;
};

// Refuses options that say otherwise (--no-train-last). Errors: ARGUMENT.
enum lorac_status lorac_new_job_check(const struct lorac_call *call, const struct lorac_new_job_settings *settings,
                                      struct lorac_error *error);

// Changes the plain [model] or its record, and sets in [options] what must be trained. *job must be zeroed and
// is to be cleared, also after a failure. Errors: IO and FORMAT (files of names), MISMATCH (not a name for each class), those of the passes.
enum lorac_status lorac_new_job_apply(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                      struct lorac_inject_options *options, struct lorac_new_job *job,
                                      struct lorac_error *error);

// Whether the changed and injected model runs, where the old one did. OK where nothing was changed. The message says what to do.
enum lorac_status lorac_new_job_verify(const struct lorac_new_job *job, struct lorac_model *model,
                                       struct lorac_error *error);

// A line for each thing that was done.
void lorac_new_job_print(const struct lorac_new_job *job, const struct lorac_new_job_settings *settings);

void lorac_new_job_clear(struct lorac_new_job *job);

#endif
