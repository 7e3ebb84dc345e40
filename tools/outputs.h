// What a command writes, by its tables of options (rows with .writes), against what else is there: beside
// lorac_output_check (groups.h), which knows the files that options name.
#ifndef LORAC_OUTPUTS_H
#define LORAC_OUTPUTS_H

#include "command.h"
#include "runtime/data/dataset.h"

// That no output is one of the files of the set [data] that was opened, or a picture that would be one from then on: a
// new .jpg or .png in its folder. Files are looked at only where an output exists. Errors: ARGUMENT, MEMORY.
enum lorac_status lorac_outputs_check_set(const struct lorac_call *call, const char *data,
                                          const struct lorac_dataset *dataset, struct lorac_error *error);

// That no output lies in the folder of the run's checkpoints, which are removed and replaced there. Errors: ARGUMENT,
// MEMORY.
enum lorac_status lorac_outputs_check_checkpoint(const struct lorac_call *call, const char *folder,
                                                 struct lorac_error *error);

// That the folder of the run's checkpoints is not the folder of images [set], nor lies in it, where it would be a class of
// them from then on. [folder] and [set] are named as [folder_name] ("--checkpoint") and [set_name] ("--data"). OK where
// the set is no folder. Errors: ARGUMENT, MEMORY.
enum lorac_status lorac_outputs_check_images(const char *folder_name, const char *folder, const char *set_name,
                                             const char *set, struct lorac_error *error);

// That no output is the recipe [path] that the command takes its values from. Errors: ARGUMENT.
enum lorac_status lorac_outputs_check_recipe(const struct lorac_call *call, const char *path, struct lorac_error *error);

// That the folder of [path] has room for [bytes]; [option] names it ("-o"). OK where the file system does not say. Errors:
// IO.
enum lorac_status lorac_output_check_room(const char *option, const char *path, uint64_t bytes,
                                          struct lorac_error *error);

#endif
