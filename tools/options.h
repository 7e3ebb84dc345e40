// Options, declared once: one table per command or shared group of options, from which the parser and the help text
// come. getopt_long (fed from the table) does the splitting of the command line; this file turns texts into values,
// checks limits, and says what is wrong in one line.
//
// A command has a settings struct; each row of a table says at which offset its value goes. Defaults are texts in the
// table, read by the same code as the user's values, so that the help cannot show another default than the one used.
#ifndef LORAC_OPTIONS_H
#define LORAC_OPTIONS_H

#include "proto/lorac_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum lorac_option_type {
    LORAC_OPTION_FLAG,    // bool: false, true when given
    LORAC_OPTION_NO_FLAG, // bool: true, false when given (a later row may share the field of an earlier FLAG)
    LORAC_OPTION_INT64,   // int64_t
    LORAC_OPTION_UINT64,  // uint64_t
    LORAC_OPTION_DOUBLE,  // double; "1/255" is allowed
    LORAC_OPTION_STRING,  // const char *, NULL where neither given nor defaulted; borrowed from argv
    LORAC_OPTION_PATH,    // the same; "" is refused
    LORAC_OPTION_ENUM,    // int: index of the choice, -1 where neither given nor defaulted
    LORAC_OPTION_DOUBLES, // struct lorac_doubles: "0.485,0.456,0.406"
    LORAC_OPTION_RANGE,   // struct lorac_range: "A:B", from A (counted from 0) to before B
    LORAC_OPTION_SIZE,    // struct lorac_size: "HxW"
    LORAC_OPTION_TEXTS,   // struct lorac_texts: one more text each time the option is given; borrowed from argv
};

enum { LORAC_DOUBLES_MAX = 16 };
struct lorac_doubles {
    size_t count;
    double values[LORAC_DOUBLES_MAX];
};
enum { LORAC_TEXTS_MAX = 16 };
struct lorac_texts {
    size_t count;
    const char *values[LORAC_TEXTS_MAX];
};
struct lorac_range {
    bool given;
    size_t begin, end;
};
struct lorac_size {
    size_t height, width; // 0, 0 where not given
};

// What a number must be. Zero-initialised: anything finite.
struct lorac_limit {
    bool has_low, has_high;
    bool low_open, high_open; // the limit itself is not allowed
    double low, high;
    const char *why; // ends the message about a value below [low]; NULL: nothing
};
// clang-format off
#define LORAC_AT_LEAST(x)   {.has_low = true, .low = (x)}
#define LORAC_ABOVE(x)      {.has_low = true, .low_open = true, .low = (x)}
#define LORAC_FROM_TO(a, b) {.has_low = true, .low = (a), .has_high = true, .high = (b)}
#define LORAC_FROM_BELOW(a, b) {.has_low = true, .low = (a), .has_high = true, .high_open = true, .high = (b)}
// clang-format on

struct lorac_option {
    const char *name; // long name without "--"; NULL ends a table
    char letter;      // short name, 0 for none
    enum lorac_option_type type;
    const char *value;          // what the help calls the value ("N"); for ENUM the choices are shown instead
    const char *help;           // one sentence or two, without the default
    const char *fallback;       // the default as the user would type it; NULL: none
    const char *fallback_text;  // how the help words the default where it is not a plain value; NULL: as [fallback]
    struct lorac_limit limit;   // INT64, UINT64, DOUBLE, and each of DOUBLES
    const char *const *choices; // ENUM: NULL-ended; or
    const char *(*choice_at)(size_t i); // ENUM: the i-th choice, NULL past the last
    bool required;
    bool writes;   // PATH: a file that the command writes
    size_t offset; // in the group's struct
};

struct lorac_option_group {
    const char *title; // heading in the help
    const struct lorac_option *options;
    size_t offset; // of the group's struct in the command's settings
};

enum { LORAC_OPTIONS_MAX = 128 };

// A command's options together with what the user gave.
struct lorac_option_set {
    const struct lorac_option_group *groups; // ended by one with options == NULL
    void *settings;                          // the command's struct
    bool given[LORAC_OPTIONS_MAX];           // [i]: the i-th row of all tables together has a value from the user
    const char *text[LORAC_OPTIONS_MAX];     // [i]: it, where given; the last one of TEXTS; no meaning for flags. Borrowed
    const char *origin[LORAC_OPTIONS_MAX];   // [i]: where it is from, for messages; NULL: the command line. Borrowed
};

// A row of all tables together, and where it is. The walk over them, in order:
//     for (struct lorac_option_row row = {0}; lorac_options_next(groups, &row);)
struct lorac_option_row {
    const struct lorac_option *option; // NULL: before the first
    const struct lorac_option_group *group;
    size_t index; // in a set's given, text and origin
};

// On to the next row; false behind the last.
bool lorac_options_next(const struct lorac_option_group *groups, struct lorac_option_row *row);

// The row's value in the settings, of the type that the option's says.
const void *lorac_options_field(const struct lorac_option_set *set, const struct lorac_option_row *row);

// Fills the settings from defaults and from argv[1 .. argc-1]. argv is reordered: *operands is the index of the first
// operand, the rest are operands too. Required options are checked unless the flag [help_name] was given; an option
// with a value, but TEXTS, may be given only once.
// Errors: ARGUMENT, one line that names the option, the value and the rule. Not reentrant (getopt is not).
enum lorac_status lorac_options_parse(struct lorac_option_set *set, int argc, char **argv, const char *help_name,
                                      int *operands, struct lorac_error *error);

// The parts of lorac_options_parse, for values that come from elsewhere between the last two: the defaults; these and
// the command line; that nothing required is missing.
void lorac_options_init(struct lorac_option_set *set);
enum lorac_status lorac_options_read(struct lorac_option_set *set, int argc, char **argv, int *operands,
                                     struct lorac_error *error);
enum lorac_status lorac_options_check_required(const struct lorac_option_set *set, struct lorac_error *error);

// The option of that name and, in [found] (NULL: not wanted), its row; NULL where there is none.
const struct lorac_option *lorac_options_find(const struct lorac_option_group *groups, const char *name,
                                              struct lorac_option_row *found);

// Gives the option [name], which must be in the set, a value as the command line does (flags take any text). Text and
// [origin] (for messages) are borrowed. Errors: as lorac_option_take.
enum lorac_status lorac_options_set(struct lorac_option_set *set, const char *name, const char *text,
                                    const char *origin, struct lorac_error *error);

// Was the option given, on the command line or elsewhere? The name must be in the set.
bool lorac_options_given(const struct lorac_option_set *set, const char *name);

// Sets one option from a text, as the parser does.
enum lorac_status lorac_option_set_value(const struct lorac_option *option, void *group_settings, const char *text,
                                         struct lorac_error *error);

// The same, but the message is the rule alone ("must be above 0"), for a value that has no option before it.
enum lorac_status lorac_option_take(const struct lorac_option *option, void *group_settings, const char *text,
                                    struct lorac_error *error);

// ---- a row's parts, for all that is made from the tables

bool lorac_option_takes_value(const struct lorac_option *option);
// Of an ENUM: the i-th choice, NULL past the last.
const char *lorac_option_choice(const struct lorac_option *option, size_t i);
// Of an ENUM: "sgd|adamw", or "sgd, adamw", in [text], cut to what fits whole.
void lorac_option_join_choices(const struct lorac_option *option, const char *separator, char *text, size_t text_bytes);

// What the help calls the value: "N", "sgd|adamw", "" for flags; in [text], which is returned.
enum { LORAC_OPTION_VALUE_TEXT = 128 };
const char *lorac_option_value_text(const struct lorac_option *option, char text[LORAC_OPTION_VALUE_TEXT]);
// The help with the default and "(required)"; in [text], which is returned.
enum { LORAC_OPTION_HELP_TEXT = 1024 };
const char *lorac_option_help_text(const struct lorac_option *option, char text[LORAC_OPTION_HELP_TEXT]);

// The value that the option has in its group's settings, as the user would type it; "" where it has none, "on" and "off"
// for flags; in [text], which is returned.
enum { LORAC_OPTION_SETTING_TEXT = 512 };
const char *lorac_option_setting_text(const struct lorac_option *option, const void *group_settings,
                                      char text[LORAC_OPTION_SETTING_TEXT]);

// One row of a help text: [left], and [text] in the second column, wrapped.
void lorac_help_print_row(const char *left, const char *text, FILE *file);

// The groups as help text.
void lorac_options_print_help(const struct lorac_option_group *groups, FILE *file);

// The nearest of [names] (NULL-ended) to a misspelt [text], or NULL where none is near.
const char *lorac_nearest_name(const char *text, const char *const *names);

#endif
