// What one step of a recipe's job needs of an earlier one, asked before the first.
#ifndef LORAC_JOB_STEPS_H
#define LORAC_JOB_STEPS_H

#include "recipe.h"

// Errors: ARGUMENT (the format of the adapters is one that the injected model does not allow). Messages name the keys
// and where they stand.
enum lorac_status lorac_job_steps_check(const struct lorac_recipe *recipe, struct lorac_error *error);

// What [step], which has a rehearse function, would refuse of the model that inject writes: it is injected in memory
// once more. [failed] is the call whose error it is. A step that reads what can be read only once, a pipe, is left alone.
// Errors: those of both commands.
enum lorac_status lorac_job_step_rehearse(const struct lorac_call *inject, const struct lorac_call *step,
                                          const struct lorac_call **failed, struct lorac_error *error);

#endif
