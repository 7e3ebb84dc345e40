// From an entry of a recipe's YAML to the text that its option takes, checked by the option's own row.
#ifndef LORAC_RECIPE_VALUE_H
#define LORAC_RECIPE_VALUE_H

#include "recipe_table.h"
#include "recipe_yaml.h"
#include "proto/arena.h"

// Where a layer of values is from.
struct lorac_recipe_place {
    const char *name;   // begins messages, with line and column; NULL: none of that
    const char *folder; // "job/", before relative names of files; "": the current one
};

struct lorac_recipe_value {
    const struct lorac_recipe_key *key;
    size_t layer;       // a later one counts
    const char *origin; // for messages: "train.lr in job.yaml:7:3"
    size_t count;
    const char **texts; // as on the command line; of flags "true" or "false"
};

// Reads entry [index] of [yaml], which is [key]'s, into out->key, count and texts, all of the arena. The members of a
// list of mappings are the entries that follow. In a build without the option nothing is checked, and count is 0.
// Errors: ARGUMENT, MEMORY.
enum lorac_status lorac_recipe_value_read(struct lorac_arena *arena, const struct lorac_recipe_place *place,
                                          const struct lorac_yaml *yaml, size_t index,
                                          const struct lorac_recipe_key *key, struct lorac_recipe_value *out,
                                          struct lorac_error *error);

// Of a recipe's values for the key, the one of the latest layer up to [most]; NULL: none.
struct lorac_recipe;
const struct lorac_recipe_value *lorac_recipe_value_of(const struct lorac_recipe *recipe,
                                                       const struct lorac_recipe_key *key, size_t most);

// The key of "section.key"; NULL: none.
const struct lorac_recipe_key *lorac_recipe_key_of_path(const char *path);

// "a number", "one of sgd, adamw": what a key takes; in [text], which is returned.
enum { LORAC_RECIPE_TYPE_TEXT = 256 };
const char *lorac_recipe_type_text(const struct lorac_option *option, char text[LORAC_RECIPE_TYPE_TEXT]);

#endif
