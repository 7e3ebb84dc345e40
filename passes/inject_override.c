#include "inject_override.h"

enum lorac_status lorac_inject_compile(const char *flag, const char *pattern, regex_t *regex, bool *compiled,
                                       struct lorac_error *error)
{
    if (!pattern)
        return LORAC_OK;
    int code = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char text[256];
        regerror(code, regex, text, sizeof text);
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s '%s' is not a POSIX extended regular expression: %s",
                               flag, pattern, text);
    }
    *compiled = true;
    return LORAC_OK;
}

enum lorac_status lorac_inject_check_patterns(const struct lorac_inject_options *options, struct lorac_error *error)
{
    const struct {
        const char *flag, *pattern;
    } rows[] = {{"--layers", options->layers},
                {"--exclude", options->exclude},
                {"--branch-layers", options->branch_layers}};
    const size_t row_count = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < row_count + options->override_count; i++) {
        const bool row = i < row_count;
        regex_t regex;
        bool compiled = false;
        LORAC_TRY(lorac_inject_compile(row ? rows[i].flag : "--override",
                                       row ? rows[i].pattern : options->overrides[i - row_count].layers, &regex,
                                       &compiled, error));
        if (compiled)
            regfree(&regex);
    }
    return LORAC_OK;
}

enum lorac_status lorac_override_compile(const struct lorac_inject_options *options, struct lorac_arena *arena,
                                         struct lorac_override_set *out, struct lorac_error *error)
{
    *out = (struct lorac_override_set){.options = options};
    out->regexes = lorac_arena_alloc_array(arena, options->override_count, sizeof *out->regexes);
    if (!out->regexes)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory for %zu overrides",
                               options->override_count);
    for (size_t i = 0; i < options->override_count; i++) {
        bool compiled = false;
        LORAC_TRY(
            lorac_inject_compile("--override", options->overrides[i].layers, &out->regexes[i], &compiled, error));
        out->count += compiled;
    }
    return LORAC_OK;
}

void lorac_override_clear(struct lorac_override_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        regfree(&set->regexes[i]);
    set->count = 0;
}

const struct lorac_inject_override *lorac_override_find(const struct lorac_override_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (regexec(&set->regexes[i], name, 0, NULL, 0) == 0)
            return &set->options->overrides[i];
    return NULL;
}

void lorac_override_scale(const struct lorac_inject_options *options, const struct lorac_inject_override *override,
                          int64_t *rank, double *alpha)
{
    *rank = override && override->rank ? override->rank : options->rank;
    *alpha = override && override->alpha != 0 ? override->alpha : options->alpha;
}
