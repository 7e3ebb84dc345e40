// Options of a set of images, --data --labels --range --corrupt --seed, and opening it.
#ifndef LORAC_DATA_GROUP_H
#define LORAC_DATA_GROUP_H

#include "groups.h"

struct lorac_data_settings {
    const char *data, *labels; // labels stay NULL in commands without the option
    struct lorac_range range;
    const char *corrupt;
    uint64_t seed; // of the corruption, and of whatever else the command draws
};
extern const struct lorac_option lorac_data_options[];          // --data, --range, --corrupt, --seed
extern const struct lorac_option lorac_labelled_data_options[]; // with --labels; --data is required
extern const struct lorac_option lorac_training_data_options[]; // both are required

// Refuses options that need --data where there is none, and a bad --corrupt. Errors: ARGUMENT.
enum lorac_status lorac_data_check(const struct lorac_call *call, const struct lorac_data_settings *data,
                                   struct lorac_error *error);

// Opens the set for a model that takes [shape] and gives [classes], and corrupts it where asked.
enum lorac_status lorac_data_open(const struct lorac_data_settings *data, const struct lorac_input_shape *shape,
                                  size_t classes, struct lorac_dataset *out, struct lorac_error *error);

#endif
