// The options of inject that most of its tests begin with.
#ifndef LORAC_TEST_INJECT_OPTIONS_H
#define LORAC_TEST_INJECT_OPTIONS_H

#include "passes/inject.h"

// The defaults, with these regular expressions; NULL: none.
static inline struct lorac_inject_options with(const char *layers, const char *exclude)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    options.layers = layers;
    options.exclude = exclude;
    return options;
}

#endif
