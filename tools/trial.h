// A model that leaves the size of its images free can only be looked at with one: 224x224, or 32x32 where that cannot
// be run.
#ifndef LORAC_TOOLS_TRIAL_H
#define LORAC_TOOLS_TRIAL_H

#include "options.h"
#include "runtime/lower.h"

// Zero-initialised: nothing was chosen.
struct lorac_trial {
    struct lorac_size size; // to lower with: what was given or chosen; 0 where the model declares it
    bool chosen;            // not given, and free in the model
    size_t height, width;   // where chosen: of the images, with what the model declares
    size_t classes;         // columns of the output; 0 where it cannot be run
};

// Lowers the model with [given] (0, 0: none), or with the sizes above where the model and [given] leave one free; *out
// is the first that can be run, else the first. Errors: those of lorac_lower with that size, and of lorac_input_shape.
enum lorac_status lorac_trial_size(struct lorac_model *model, const struct lorac_meta *meta,
                                   const struct lorac_size *given, bool training, struct lorac_trial *out,
                                   struct lorac_error *error);

#endif
