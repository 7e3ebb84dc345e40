// The files of a recipe's whole job, looked at before its first step. Each step knows its own files alone; here no step
// may write over what another one reads or writes, and what the first one to need it would miss is missed at once.
#ifndef LORAC_JOB_FILES_H
#define LORAC_JOB_FILES_H

#include "recipe.h"

// Are the images of the key ("eval.images") labelled, by [labels] ("eval.labels") or by themselves, as folders of
// classes, tables and the files of CIFAR are? False where the recipe has no such images.
bool lorac_job_is_labelled(const struct lorac_recipe *recipe, const char *images, const char *labels);

// [path]: the recipe's own file. Reads the header of the model, and how many images there are. Errors: ARGUMENT (an
// output is an input or another output, lies in the folder of checkpoints, or is a name of another's data file; a run
// in that folder that is not to go on; that folder among images; images without labels; fewer images than a batch), IO
// (an input that cannot be read, an output that cannot be written), FORMAT, MEMORY. Messages name the keys.
enum lorac_status lorac_job_files_check(const struct lorac_recipe *recipe, const char *path, struct lorac_error *error);

#endif
