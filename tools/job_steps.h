// What one step of a recipe's job needs of an earlier one, asked before the first.
#ifndef LORAC_JOB_STEPS_H
#define LORAC_JOB_STEPS_H

#include "recipe.h"

// Errors: ARGUMENT (the format of the adapters is one that the injected model does not allow). Messages name the keys
// and where they stand.
enum lorac_status lorac_job_steps_check(const struct lorac_recipe *recipe, struct lorac_error *error);

#endif
