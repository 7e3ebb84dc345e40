// Validation of train: its options, the images it is done on, and what is said of it.
#ifndef LORAC_TRAIN_VALIDATION_H
#define LORAC_TRAIN_VALIDATION_H

#include "runtime/data/split.h"
#include "runtime/train/loop.h"
#include "train_checkpoint.h"
#include "train_data.h"

enum lorac_keep { LORAC_KEEP_LAST, LORAC_KEEP_BEST };

struct lorac_validation_settings {
    const char *val;    // a share or a path; NULL: no validation
    const char *labels; // of a path
    struct lorac_range range;
    uint64_t every, patience;
    int keep; // enum lorac_keep; -1 not given
};
extern const struct lorac_option lorac_train_validation_options[];

// Is the value of --val a share: a number as a whole, or one through another as 1/5? A file of such a name is ./1/5.
bool lorac_validation_is_share(const char *text);

// Where [settings] name files, for the checks of outputs; "" where they do not.
const char *lorac_validation_path(const struct lorac_validation_settings *settings);
const char *lorac_validation_labels(const struct lorac_validation_settings *settings);

// Refuses a share out of range, and options that say nothing without --val. Errors: ARGUMENT.
enum lorac_status lorac_train_validation_check(const struct lorac_call *call,
                                               const struct lorac_validation_settings *settings,
                                               struct lorac_error *error);

struct lorac_train_validation {
    const struct lorac_validation_settings *settings; // borrowed; the rest is zero-initialised
    bool open;
    struct lorac_split split;     // of the training images, where --val is a share
    struct lorac_dataset dataset; // where it is a path
    struct lorac_batch_source source;
    struct lorac_validation validation;
};

// Splits the training images, which are open, or opens the set of --val, as lorac_data_open the one of --data; nothing
// where it is done, or without --val. Errors: as those and lorac_picture_check; ARGUMENT (too few images are left for a
// batch, no labels).
enum lorac_status lorac_train_validation_open(struct lorac_train_validation *validation,
                                              const struct lorac_train_data_request *request,
                                              const struct lorac_net *net, const struct lorac_input_shape *shape,
                                              const struct lorac_train_data *data, struct lorac_error *error);

// What it holds and will hold: struct lorac_prepare_options' memory_other.
size_t lorac_train_validation_bytes(const struct lorac_train_validation *validation, const struct lorac_net *net,
                                    size_t loader_threads);

// With the prepared net: checks that it takes the images, makes room for the best values, and says on stderr what is
// validated. The open [checkpoint] is borrowed: it stops validations. Errors: as lorac_validation_create; the message
// names the file.
enum lorac_status lorac_train_validation_prepare(struct lorac_train_validation *validation,
                                                 const struct lorac_call *call, struct lorac_net *net,
                                                 struct lorac_train_checkpoint *checkpoint, struct lorac_error *error);

// The loop trains on what is not held out, and validates.
void lorac_train_validation_apply(struct lorac_train_validation *validation, struct lorac_loop_options *loop);

// The net gets the best values, where they are kept and there are any; returns whether it did.
bool lorac_train_validation_restore(struct lorac_train_validation *validation);

// "the best values so far (after epoch 5)" in [text]; returns text.
enum { LORAC_VALUES_TEXT = 96 };
const char *lorac_train_validation_values(const struct lorac_train_validation *validation,
                                          char text[LORAC_VALUES_TEXT]);

// The line of the result on stdout; nothing where nothing was validated.
void lorac_train_validation_print(const struct lorac_train_validation *validation, FILE *file);

void lorac_train_validation_clear(struct lorac_train_validation *validation);

#endif
