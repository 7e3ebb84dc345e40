#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// getopt_long gives this plus the row's number for a long option, so that it cannot be mistaken for a letter.
enum { LONG_BASE = 256 };

bool lorac_options_next(const struct lorac_option_group *groups, struct lorac_option_row *row)
{
    if (row->option) {
        row->option++;
        row->index++;
    } else {
        row->group = groups;
        row->option = groups->options;
    }
    while (row->group->options && !row->option->name) {
        row->group++;
        row->option = row->group->options;
    }
    return row->group->options != NULL;
}

// The struct of the row's group.
static void *settings_of(const struct lorac_option_set *set, const struct lorac_option_row *row)
{
    return (char *)set->settings + row->group->offset;
}

const void *lorac_options_field(const struct lorac_option_set *set, const struct lorac_option_row *row)
{
    return (const char *)settings_of(set, row) + row->option->offset;
}

bool lorac_option_takes_value(const struct lorac_option *option)
{
    return option->type != LORAC_OPTION_FLAG && option->type != LORAC_OPTION_NO_FLAG;
}

const char *lorac_option_choice(const struct lorac_option *option, size_t i)
{
    return option->choice_at ? option->choice_at(i) : option->choices[i];
}

void lorac_option_join_choices(const struct lorac_option *option, const char *separator, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; lorac_option_choice(option, i); i++) {
        int written =
            snprintf(text + used, text_bytes - used, "%s%s", i ? separator : "", lorac_option_choice(option, i));
        if (written < 0 || (size_t)written >= text_bytes - used)
            return;
        used += (size_t)written;
    }
}

// ---- values

// The message is the rule alone: who calls names the option, or where else the value is from.
static enum lorac_status refuse(const char *rule, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s", rule);
}

static enum lorac_status check_limit(const struct lorac_option *option, double value, struct lorac_error *error)
{
    const struct lorac_limit *limit = &option->limit;
    bool low = !limit->has_low || (limit->low_open ? value > limit->low : value >= limit->low);
    bool high = !limit->has_high || (limit->high_open ? value < limit->high : value <= limit->high);
    if (low && high)
        return LORAC_OK;
    char rule[256];
    if (!low)
        snprintf(rule, sizeof rule, "must be %s %.15g%s%s", limit->low_open ? "above" : "at least", limit->low,
                 limit->why ? ": " : "", limit->why ? limit->why : "");
    else
        snprintf(rule, sizeof rule, "must be %s %.15g", limit->high_open ? "below" : "at most", limit->high);
    return refuse(rule, error);
}

static enum lorac_status refuse_not_whole(const struct lorac_option *option, struct lorac_error *error)
{
    const struct lorac_limit *limit = &option->limit;
    char rule[128];
    if (limit->has_low && limit->has_high)
        snprintf(rule, sizeof rule, "must be a whole number from %.15g to %.15g", limit->low, limit->high);
    else
        snprintf(rule, sizeof rule, "must be a whole number%s",
                 option->type == LORAC_OPTION_UINT64 ? ", 0 or more" : "");
    return refuse(rule, error);
}

// A whole number with an optional sign and nothing else.
static bool looks_whole(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static enum lorac_status set_int64(const struct lorac_option *option, int64_t *out, const char *text,
                                   struct lorac_error *error)
{
    if (!looks_whole(text))
        return refuse_not_whole(option, error);
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return refuse("is too large a number", error);
    LORAC_TRY(check_limit(option, (double)value, error));
    *out = value;
    return LORAC_OK;
}

static enum lorac_status set_uint64(const struct lorac_option *option, uint64_t *out, const char *text,
                                    struct lorac_error *error)
{
    if (!looks_whole(text) || *text == '-')
        return refuse_not_whole(option, error);
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno)
        return refuse("is too large a number", error);
    LORAC_TRY(check_limit(option, (double)value, error));
    *out = value;
    return LORAC_OK;
}

// A number, or a fraction of two; *end is where it stopped.
static bool read_double(const char *text, double *out, char **end)
{
    if (!strchr("+-.0123456789", *text) || *text == '\0')
        return false; // strtod would take spaces, "nan" and "inf"
    double value = strtod(text, end);
    if (*end == text)
        return false;
    if (**end == '/') {
        const char *below = *end + 1;
        if (*below == '\0' || !strchr(".0123456789", *below))
            return false;
        value /= strtod(below, end);
    }
    *out = value;
    return isfinite(value);
}

// "nan", "-inf", "1e400": numbers for strtod.
static bool is_not_finite(const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    return end != text && !*end && !isfinite(value);
}

static enum lorac_status set_double(const struct lorac_option *option, double *out, const char *text,
                                    struct lorac_error *error)
{
    double value;
    char *end;
    if (!read_double(text, &value, &end) || *end)
        return refuse(is_not_finite(text) ? "must be a finite number" : "must be a number", error);
    LORAC_TRY(check_limit(option, value, error));
    *out = value;
    return LORAC_OK;
}

static enum lorac_status set_doubles(const struct lorac_option *option, struct lorac_doubles *out, const char *text,
                                     struct lorac_error *error)
{
    struct lorac_doubles list = {0};
    const char *at = text;
    for (;;) {
        char *end;
        double value;
        if (!read_double(at, &value, &end) || (*end && *end != ','))
            return refuse("must be numbers separated by commas", error);
        LORAC_TRY(check_limit(option, value, error));
        if (list.count == LORAC_DOUBLES_MAX)
            return refuse("has more than 16 numbers", error);
        list.values[list.count++] = value;
        if (!*end)
            break;
        at = end + 1;
    }
    *out = list;
    return LORAC_OK;
}

// Two whole numbers around [separator].
static bool read_pair(const char *text, char separator, size_t *first, size_t *second)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long a = strtoull(text, &end, 10);
    if (errno || *end != separator || end[1] < '0' || end[1] > '9')
        return false;
    unsigned long long b = strtoull(end + 1, &end, 10);
    if (errno || *end || a > SIZE_MAX || b > SIZE_MAX)
        return false;
    *first = (size_t)a;
    *second = (size_t)b;
    return true;
}

static enum lorac_status set_range(struct lorac_range *out, const char *text, struct lorac_error *error)
{
    struct lorac_range range = {.given = true};
    if (!read_pair(text, ':', &range.begin, &range.end) || range.begin >= range.end)
        return refuse("must be A:B, two whole numbers with A below B (images A to B-1, counted from 0)",
                      error);
    *out = range;
    return LORAC_OK;
}

static enum lorac_status set_size(struct lorac_size *out, const char *text, struct lorac_error *error)
{
    struct lorac_size size;
    if (!read_pair(text, 'x', &size.height, &size.width) || size.height == 0 || size.width == 0 ||
        size.height > 65536 || size.width > 65536)
        return refuse("must be HEIGHTxWIDTH, for example 224x224, each from 1 to 65536", error);
    *out = size;
    return LORAC_OK;
}

static enum lorac_status add_text(struct lorac_texts *out, const char *text, struct lorac_error *error)
{
    if (out->count == LORAC_TEXTS_MAX)
        return refuse("is one too many: at most 16 can be given", error);
    out->values[out->count++] = text;
    return LORAC_OK;
}

static enum lorac_status set_choice(const struct lorac_option *option, int *out, const char *text,
                                    struct lorac_error *error)
{
    for (size_t i = 0; lorac_option_choice(option, i); i++)
        if (strcmp(lorac_option_choice(option, i), text) == 0) {
            *out = (int)i;
            return LORAC_OK;
        }
    char choices[256], rule[300];
    lorac_option_join_choices(option, ", ", choices, sizeof choices);
    snprintf(rule, sizeof rule, "must be %s%s", lorac_option_choice(option, 1) ? "one of " : "", choices);
    return refuse(rule, error);
}

enum lorac_status lorac_option_take(const struct lorac_option *option, void *group_settings, const char *text,
                                    struct lorac_error *error)
{
    void *field = (char *)group_settings + option->offset;
    switch (option->type) {
    case LORAC_OPTION_FLAG:
    case LORAC_OPTION_NO_FLAG:
        *(bool *)field = option->type == LORAC_OPTION_FLAG;
        return LORAC_OK;
    case LORAC_OPTION_INT64:
        return set_int64(option, field, text, error);
    case LORAC_OPTION_UINT64:
        return set_uint64(option, field, text, error);
    case LORAC_OPTION_DOUBLE:
        return set_double(option, field, text, error);
    case LORAC_OPTION_PATH:
        if (!*text)
            return refuse("must be the name of a file", error);
        // fall through
    case LORAC_OPTION_STRING:
        *(const char **)field = text;
        return LORAC_OK;
    case LORAC_OPTION_ENUM:
        return set_choice(option, field, text, error);
    case LORAC_OPTION_DOUBLES:
        return set_doubles(option, field, text, error);
    case LORAC_OPTION_RANGE:
        return set_range(field, text, error);
    case LORAC_OPTION_SIZE:
        return set_size(field, text, error);
    case LORAC_OPTION_TEXTS:
        return add_text(field, text, error);
    }
    assert(!"an option type that is not handled");
    return LORAC_OK;
}

enum lorac_status lorac_option_set_value(const struct lorac_option *option, void *group_settings, const char *text,
                                         struct lorac_error *error)
{
    enum lorac_status status = lorac_option_take(option, group_settings, text, error);
    if (status == LORAC_OK) // a flag has no text
        return LORAC_OK;
    return lorac_error_prefix(error, status, "--%s %s: ", option->name, *text ? text : "''");
}

static void set_default(const struct lorac_option *option, void *group_settings)
{
    void *field = (char *)group_settings + option->offset;
    if (option->type == LORAC_OPTION_FLAG || option->type == LORAC_OPTION_NO_FLAG)
        *(bool *)field = option->type == LORAC_OPTION_NO_FLAG;
    else if (option->type == LORAC_OPTION_ENUM)
        *(int *)field = -1;
    if (option->fallback) {
        enum lorac_status status = lorac_option_set_value(option, group_settings, option->fallback, NULL);
        assert(status == LORAC_OK && "a default in the table breaks its own limit");
        (void)status;
    }
}

// ---- names

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Single insertions, deletions, replacements, and swaps of neighbours (optimal string alignment); texts longer than a
// row are far from everything.
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t rows[3][LONGEST + 1], a_length = strlen(a), b_length = strlen(b);
    if (a_length > LONGEST || b_length > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3]; // (i - 2) mod 3
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = smaller(above[j - 1] + (a[i - 1] != b[j - 1]), smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *lorac_nearest_name(const char *text, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 2 + 1; // farther away is no misspelling
    for (; *names; names++) {
        size_t d = distance(text, *names);
        if (d < best_distance) {
            best = *names;
            best_distance = d;
        }
    }
    return best;
}

// ---- parsing

// What getopt_long wants, made from the tables.
struct getopt_tables {
    struct option long_options[LORAC_OPTIONS_MAX + 1];
    char letters[2 * LORAC_OPTIONS_MAX + 2];
    const char *names[LORAC_OPTIONS_MAX + 1];
};

static void make_tables(const struct lorac_option_group *groups, struct getopt_tables *tables)
{
    memset(tables, 0, sizeof *tables);
    size_t used = 0;
    tables->letters[used++] = ':'; // a missing value is told apart from an unknown option
    for (struct lorac_option_row row = {0}; lorac_options_next(groups, &row);) {
        assert(row.index < LORAC_OPTIONS_MAX);
        const struct lorac_option *option = row.option;
        struct option *entry = &tables->long_options[row.index];
        entry->name = option->name;
        entry->has_arg = lorac_option_takes_value(option) ? required_argument : no_argument;
        entry->val = LONG_BASE + (int)row.index;
        tables->names[row.index] = option->name;
        if (option->letter) {
            tables->letters[used++] = option->letter;
            if (lorac_option_takes_value(option))
                tables->letters[used++] = ':';
        }
    }
}

// The row of what getopt_long returned (or left in optopt); false where there is none.
static bool find_code(const struct lorac_option_group *groups, int code, struct lorac_option_row *row)
{
    *row = (struct lorac_option_row){0};
    while (code > 0 && lorac_options_next(groups, row))
        if (row->option->letter == code || LONG_BASE + (int)row->index == code)
            return true;
    return false;
}

static enum lorac_status refuse_unknown(const struct getopt_tables *tables, const struct lorac_option_group *groups,
                                        const char *word, struct lorac_error *error)
{
    struct lorac_option_row row;
    if (find_code(groups, optopt, &row)) // getopt knows the option, but "=value" follows
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s takes no value", row.option->name);
    if (optopt)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "unknown option -%c: see -h", optopt);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *first = NULL;
    for (size_t i = 0; tables->names[i]; i++)
        if (*name && strncmp(tables->names[i], name, strlen(name)) == 0) {
            if (first)
                return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "option --%s can mean --%s or --%s", name, first,
                                       tables->names[i]);
            first = tables->names[i];
        }
    const char *nearest = lorac_nearest_name(name, tables->names);
    if (nearest)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "unknown option --%s: did you mean --%s?", name, nearest);
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "unknown option --%s: see -h", name);
}

// "--output OUT.onnx is missing (where the trained model goes; not the input)": the help as a part of a sentence.
static enum lorac_status refuse_with_help(const struct lorac_option *option, const char *what,
                                          struct lorac_error *error)
{
    const char *help = option->help;
    int length = (int)strlen(help), first = (unsigned char)*help;
    if (length > 0 && help[length - 1] == '.')
        length--;
    if (!isupper((unsigned char)help[first != 0])) // "JSON lines" stays
        first = tolower(first);
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s%s (%c%.*s)", option->name, what, first,
                           length > 0 ? length - 1 : 0, help + (*help != '\0'));
}

enum lorac_status lorac_options_check_required(const struct lorac_option_set *set, struct lorac_error *error)
{
    for (struct lorac_option_row row = {0}; lorac_options_next(set->groups, &row);)
        if (row.option->required && !set->given[row.index]) {
            char what[64];
            snprintf(what, sizeof what, " %s is missing", row.option->value);
            return refuse_with_help(row.option, what, error);
        }
    return LORAC_OK;
}

void lorac_options_init(struct lorac_option_set *set)
{
    memset(set->given, 0, sizeof set->given);
    memset(set->origin, 0, sizeof set->origin);
    memset(set->text, 0, sizeof set->text);
    for (struct lorac_option_row row = {0}; lorac_options_next(set->groups, &row);)
        set_default(row.option, settings_of(set, &row));
}

enum lorac_status lorac_options_read(struct lorac_option_set *set, int argc, char **argv, int *operands,
                                     struct lorac_error *error)
{
    struct getopt_tables tables;
    make_tables(set->groups, &tables);
    lorac_options_init(set);
    opterr = 0;
    optind = 0; // starts getopt anew, also after another command line
    for (;;) {
        optopt = 0;
        int code = getopt_long(argc, argv, tables.letters, tables.long_options, NULL);
        if (code == -1)
            break;
        if (code == '?')
            return refuse_unknown(&tables, set->groups, argv[optind - 1], error);
        struct lorac_option_row row;
        const bool known = find_code(set->groups, code == ':' ? optopt : code, &row);
        assert(known && "getopt has the tables");
        (void)known;
        const struct lorac_option *option = row.option;
        if (code == ':')
            return refuse_with_help(option, " needs a value", error);
        LORAC_TRY(lorac_option_set_value(option, settings_of(set, &row), optarg, error));
        // Which of two values counts would be a guess; a flag says the same twice.
        if (lorac_option_takes_value(option) && option->type != LORAC_OPTION_TEXTS && set->given[row.index])
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s is given twice: give it once", option->name);
        set->given[row.index] = true;
        set->text[row.index] = optarg;
    }
    *operands = optind;
    return LORAC_OK;
}

enum lorac_status lorac_options_parse(struct lorac_option_set *set, int argc, char **argv, const char *help_name,
                                      int *operands, struct lorac_error *error)
{
    LORAC_TRY(lorac_options_read(set, argc, argv, operands, error));
    return help_name && lorac_options_given(set, help_name) ? LORAC_OK : lorac_options_check_required(set, error);
}

const struct lorac_option *lorac_options_find(const struct lorac_option_group *groups, const char *name,
                                              struct lorac_option_row *found)
{
    for (struct lorac_option_row row = {0}; lorac_options_next(groups, &row);)
        if (strcmp(row.option->name, name) == 0) {
            if (found)
                *found = row;
            return row.option;
        }
    return NULL;
}

enum lorac_status lorac_options_set(struct lorac_option_set *set, const char *name, const char *text,
                                    const char *origin, struct lorac_error *error)
{
    struct lorac_option_row row = {0};
    const struct lorac_option *option = lorac_options_find(set->groups, name, &row);
    assert(option && "no such option in this command");
    LORAC_TRY(lorac_option_take(option, settings_of(set, &row), text, error));
    set->given[row.index] = true;
    set->text[row.index] = text;
    set->origin[row.index] = origin;
    return LORAC_OK;
}

bool lorac_options_given(const struct lorac_option_set *set, const char *name)
{
    struct lorac_option_row row = {0};
    bool found = lorac_options_find(set->groups, name, &row) != NULL;
    assert(found && "no such option in this command");
    return found && set->given[row.index];
}
