// --override: another rank or alpha for some of the adapters.
#include "adapters.h"

#include <string.h>

// The limits of --rank and --alpha: values are read by the same code as theirs.
static const struct lorac_option members[] = {
    {.name = "rank", .type = LORAC_OPTION_INT64, .limit = LORAC_FROM_TO(1, LORAC_MAX_RANK),
     .offset = offsetof(struct lorac_inject_override, rank)},
    {.name = "alpha", .type = LORAC_OPTION_DOUBLE, .limit = LORAC_ABOVE(0),
     .offset = offsetof(struct lorac_inject_override, alpha)},
};
static const char *const member_names[] = {"rank=", "alpha="};

static enum lorac_status refuse(const char *text, const char *rule, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--override '%s': %s", text, rule);
}

// One "rank=8" that ends at a comma or the end; *at moves behind it.
static enum lorac_status read_member(const char *text, const char **at, struct lorac_inject_override *out,
                                     bool given[2], struct lorac_error *error)
{
    char value[64];
    size_t length = strcspn(*at, ",");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        size_t name = strlen(member_names[i]);
        if (strncmp(*at, member_names[i], name) != 0)
            continue;
        if (length - name >= sizeof value)
            return refuse(text, "the value is too long", error);
        if (given[i])
            return refuse(text, "names a value twice", error);
        memcpy(value, *at + name, length - name);
        value[length - name] = '\0';
        given[i] = true;
        *at += length;
        if (**at == ',' && *++*at == '\0')
            return refuse(text, "ends with a comma", error);
        return lorac_error_prefix(error, lorac_option_set_value(&members[i], out, value, error), "--override '%s': ",
                                  text);
    }
    return refuse(text, "after the last colon must stand rank=R, alpha=X, or both with a comma between", error);
}

// Does "layer3:rank=2", what stands before the last colon, end as what stands behind it should? It would be a pattern
// that matches nothing.
static bool ends_with_member(const char *pattern)
{
    const char *colon = strrchr(pattern, ':');
    for (size_t i = 0; colon && i < sizeof members / sizeof *members; i++)
        if (strncmp(colon + 1, member_names[i], strlen(member_names[i])) == 0)
            return true;
    return false;
}

static enum lorac_status parse_one(const char *text, struct lorac_inject_override *out, char *pattern,
                                   struct lorac_error *error)
{
    const char *colon = strrchr(text, ':');
    bool given[2] = {false, false};
    if (!colon || colon == text)
        return refuse(text, "must be REGEX:rank=R, REGEX:alpha=X or REGEX:rank=R,alpha=X", error);
    if ((size_t)(colon - text) >= LORAC_PATTERN_BYTES)
        return refuse(text, "the pattern is longer than 255 bytes", error);
    memcpy(pattern, text, (size_t)(colon - text));
    pattern[colon - text] = '\0';
    if (ends_with_member(pattern))
        return refuse(text, "rank and alpha must have a comma between them: REGEX:rank=R,alpha=X", error);
    *out = (struct lorac_inject_override){.layers = pattern};
    const char *at = colon + 1;
    do
        LORAC_TRY(read_member(text, &at, out, given, error));
    while (*at);
    return LORAC_OK;
}

enum lorac_status lorac_overrides_parse(const struct lorac_texts *texts, struct lorac_override_list *out,
                                        struct lorac_error *error)
{
    out->count = 0;
    for (size_t i = 0; i < texts->count; i++)
        LORAC_TRY(parse_one(texts->values[i], &out->items[i], out->patterns[i], error));
    out->count = texts->count;
    return LORAC_OK;
}
