// Options and their values as JSON.
#ifndef LORAC_OPTION_JSON_H
#define LORAC_OPTION_JSON_H

#include "options.h"

#include <jansson.h>

// {name: value} of every option in the order of the tables: flags as true and false (a no-... flag is true where it was
// given), numbers, texts and choices; "A:B" and "HxW" for ranges and sizes; lists; null where there is no value.
// NULL where memory runs out.
json_t *lorac_options_json(const struct lorac_option_set *set);

// [name] of those that the user gave; NULL where memory runs out.
json_t *lorac_options_given_json(const struct lorac_option_set *set);

#endif
