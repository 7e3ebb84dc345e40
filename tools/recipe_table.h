// What a recipe can say: one row for each key, with the option that its value goes to. Type, limits, choices, default
// and help are the option's own row, so that a recipe and a command line cannot differ in what they mean.
#ifndef LORAC_RECIPE_TABLE_H
#define LORAC_RECIPE_TABLE_H

#include "command.h"

// The commands, as bits, in the order in which one that has a key's option is asked for its help.
#define LORAC_RECIPE_COMMAND_LIST(X)                                                                                   \
    X(TRAIN, train) X(INJECT, inject) X(EVAL, eval) X(MERGE, merge) X(EXTRACT, extract) X(COMPARE, compare)            \
    X(APPLY, apply) X(BENCH, bench) X(INSPECT, inspect)

struct lorac_recipe_section {
    const char *name; // NULL ends the table
    const char *help;
};
extern const struct lorac_recipe_section lorac_recipe_sections[];

struct lorac_recipe_key {
    const char *section, *key; // NULL ends the table
    unsigned commands;         // that take it
    const char *option;        // the value goes to; NULL: none
    const char *negative;      // the option that false means ("no-shuffle"); NULL: none
    const struct lorac_option *own; // type and help, where no option says them as a key should; NULL: the option's row
    const struct lorac_recipe_key *members; // a list of mappings with these keys; NULL: a value
    const char *needs; // taken by a command that has that option only where it is given
    char separator;    // of an option of type STRING that a list may give; 0: none
    bool share_too;    // an option of type PATH that takes a number too
    bool recorded;     // inject writes it into the model: the steps of run behind it need not be told
};
extern const struct lorac_recipe_key lorac_recipe_keys[];

// Options that no key gives: [why] is for who reads the table.
struct lorac_recipe_exclusion {
    const char *option; // NULL ends the table
    unsigned commands;
    const char *why;
};
extern const struct lorac_recipe_exclusion lorac_recipe_exclusions[];

// When the value of a later layer leaves out those of earlier ones.
enum lorac_recipe_when {
    LORAC_RECIPE_ALWAYS,
    LORAC_RECIPE_DIFFERS,     // where the earlier layers said another value than the later one
    LORAC_RECIPE_NO_MULTIPLE, // where it is a number, and no multiple of the earlier one
    LORAC_RECIPE_IS,          // where it is [value]
};

// What a value of a later layer (recipe over presets, command line over both) does to values of earlier ones: they are
// left out, as they would contradict it, or were meant for what it replaces.
struct lorac_recipe_rule {
    const char *option;        // NULL ends the table
    const char *const *others; // NULL-ended
    enum lorac_recipe_when when;
    const char *value; // of LORAC_RECIPE_IS
    const char *key;   // "section.key", where the option is of an earlier step than the others; NULL: of the same command
};
extern const struct lorac_recipe_rule lorac_recipe_rules[];

// The bit of a command; 0 for one that takes no recipe.
unsigned lorac_recipe_command_bit(const char *name);
const char *lorac_recipe_command_name(unsigned bit);

const struct lorac_recipe_key *lorac_recipe_key_find(const char *section, const char *key);

// The row that says type, limits and help; NULL where this build has none of the key's commands.
const struct lorac_option *lorac_recipe_key_option(const struct lorac_recipe_key *key);

// The command whose row that is, or the first that takes the key; NULL: none of this build.
const struct lorac_command *lorac_recipe_key_command(const struct lorac_recipe_key *key);

// As a recipe would have it: "true", "[0.5, 0.5]", "0.005"; NULL: none.
const char *lorac_recipe_key_default(const struct lorac_recipe_key *key);

// The keys of recipes that name a command's operands, in their order; NULL-ended, empty where it has none in a recipe.
const char *const *lorac_recipe_operand_keys(const char *command);

#endif
