// Which adapters get another rank or alpha than the others. Private to inject.
#ifndef LORAC_INJECT_OVERRIDE_H
#define LORAC_INJECT_OVERRIDE_H

#include "inject.h"

#include <regex.h>

// The options' overrides with their patterns compiled.
struct lorac_override_set {
    const struct lorac_inject_options *options;
    regex_t *regexes; // in the model's arena
    size_t count;     // compiled ones
};

// Compiles [pattern] (NULL: nothing is done) and sets *compiled. [flag] names it in the message. Errors: ARGUMENT.
enum lorac_status lorac_inject_compile(const char *flag, const char *pattern, regex_t *regex, bool *compiled,
                                       struct lorac_error *error);

// Errors: ARGUMENT (a pattern that is none), MEMORY. To be cleared also after a failure.
enum lorac_status lorac_override_compile(const struct lorac_inject_options *options, struct lorac_arena *arena,
                                         struct lorac_override_set *out, struct lorac_error *error);
void lorac_override_clear(struct lorac_override_set *set);

// The override of the convolution [name], or NULL.
const struct lorac_inject_override *lorac_override_find(const struct lorac_override_set *set, const char *name);

// Rank and alpha under [override], which may be NULL.
void lorac_override_scale(const struct lorac_inject_options *options, const struct lorac_inject_override *override,
                          int64_t *rank, double *alpha);

#endif
