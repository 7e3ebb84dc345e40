// A recipe: the values of a job's options, from presets, from a YAML file, and from a few words of the command line, in
// layers of which a later one counts. What is on a command's own line counts more than all of them.
//
// Everything in it is checked when it is opened, also what the command at hand does not take: a file that is accepted
// by one command is accepted by all.
#ifndef LORAC_RECIPE_H
#define LORAC_RECIPE_H

#include "command.h"

struct lorac_recipe; // opaque

struct lorac_recipe_request {
    const char *path;            // NULL: no file
    struct lorac_texts presets;  // instead of the file's own
    struct lorac_texts settings; // "train.lr=0.1": over the file
};

// Errors: IO, ARGUMENT ("job.yaml:7:3: ..."), MEMORY. Nothing of [request] is kept.
enum lorac_status lorac_recipe_open(const struct lorac_recipe_request *request, struct lorac_recipe **out,
                                    struct lorac_error *error);
void lorac_recipe_close(struct lorac_recipe *recipe); // accepts NULL

// Gives the call's options what the recipe says and the command line does not, and its operands where it has none. The
// texts are the recipe's, which must outlive the call. [behind_inject]: the model was injected by the same recipe, so
// that what inject recorded in it is left out. A note says which values of the recipe are left out because the command
// line contradicts them. Errors: MEMORY, ARGUMENT (a value that this command refuses).
enum lorac_status lorac_recipe_apply(const struct lorac_recipe *recipe, bool behind_inject, struct lorac_call *call,
                                     struct lorac_error *error);

// lorac_options_check_required; the message of a call with a recipe (NULL: none) says which key is missing there.
enum lorac_status lorac_recipe_check_required(const struct lorac_call *call, const struct lorac_recipe *recipe,
                                              struct lorac_error *error);

// The value of "section.key", NULL where it has none; of a list the first.
const char *lorac_recipe_get(const struct lorac_recipe *recipe, const char *path);

// The same as the key's first command takes it: NULL too where another value of the recipe leaves it out.
const char *lorac_recipe_get_used(const struct lorac_recipe *recipe, const char *path);

// Where the value stands that leaves out the one of "section.key", as its first command takes it: "train.optimizer in
// job.yaml:3:3"; NULL: none does.
const char *lorac_recipe_left_out_by(const struct lorac_recipe *recipe, const char *path);

// Adds to a message about options those that come from a recipe, and where they stand there.
void lorac_recipe_explain_error(const struct lorac_call *call, struct lorac_error *error);

// Of "section.key".
enum { LORAC_RECIPE_PATH_TEXT = 64 };

#endif
