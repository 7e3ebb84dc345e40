// What the result of a training run depends on, as names and texts (struct lorac_checkpoint_fact): the model, the images
// and the options. A run that is resumed must have the same.
//
// Every option counts but those that are known to change no bit of the result: a new one counts until somebody says so
// in train_facts.c. Files count by what is in them, not by their names.
#ifndef LORAC_TRAIN_FACTS_H
#define LORAC_TRAIN_FACTS_H

#include "command.h"
#include "runtime/train/checkpoint.h"

struct lorac_facts { // zero-initialise it
    struct lorac_arena *arena;
    size_t count, capacity;
    struct lorac_checkpoint_fact *rows;
};
void lorac_facts_clear(struct lorac_facts *facts);

// Errors: MEMORY.
enum lorac_status lorac_facts_add(struct lorac_facts *facts, const char *name, const char *value,
                                  struct lorac_error *error);

// The options of the command line, but for those of which it counts what they come to. Errors: MEMORY.
enum lorac_status lorac_facts_add_options(struct lorac_facts *facts, const struct lorac_call *call,
                                          struct lorac_error *error);

// What others came to, whether they were given or not: augmentation, which values are kept, the output. Errors: MEMORY.
enum lorac_status lorac_facts_add_resolved(struct lorac_facts *facts, const struct lorac_net *net,
                                           const struct lorac_loop_options *loop, struct lorac_error *error);

// The model, opened from [path], with the values that it begins with: those in [snapshot] now. Errors: MEMORY, IO.
enum lorac_status lorac_facts_add_model(struct lorac_facts *facts, const char *path,
                                        const struct lorac_snapshot *snapshot, struct lorac_error *error);

// A set of images, [what] ("images"), and its labels. Errors: MEMORY.
enum lorac_status lorac_facts_add_images(struct lorac_facts *facts, const char *what,
                                         const struct lorac_batch_source *source, struct lorac_error *error);

// The images of the validation, and which of the others are trained on; nothing where there is none. Errors: MEMORY.
enum lorac_status lorac_facts_add_validation(struct lorac_facts *facts, const struct lorac_loop_options *loop,
                                             struct lorac_error *error);

#endif
