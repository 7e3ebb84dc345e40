// The table parser: values, limits, defaults, and what it says of bad command lines. The program's files are no
// library, so the parser is compiled in.
#include "check.h"

#include "proto/lorac_status.h"
#include "tools/options.c"
#include "tools/options_help.c"

struct settings {
    bool flag, on;
    int64_t count;
    uint64_t seed, steps;
    double rate;
    const char *text, *path;
    int choice, listed;
    struct lorac_doubles list;
    struct lorac_range range;
    struct lorac_size size;
    struct lorac_texts words;
};

static const char *const choices[] = {"rgb", "bgr", NULL};

static const char *listed_choice(size_t i)
{
    return i < 2 ? choices[i] : NULL;
}

#define FIELD(member) offsetof(struct settings, member)
static const struct lorac_option first_options[] = {
    {.name = "flag", .letter = 'f', .type = LORAC_OPTION_FLAG, .help = "A flag.", .offset = FIELD(flag)},
    {.name = "on", .type = LORAC_OPTION_FLAG, .help = "The default.", .offset = FIELD(on)},
    {.name = "no-on", .type = LORAC_OPTION_NO_FLAG, .help = "Not.", .offset = FIELD(on)},
    {.name = "count", .letter = 'n', .type = LORAC_OPTION_INT64, .value = "N", .help = "A count.", .fallback = "4",
     .limit = LORAC_FROM_TO(1, 100), .offset = FIELD(count)},
    {.name = "seed", .type = LORAC_OPTION_UINT64, .value = "N", .help = "A seed.", .fallback = "0",
     .offset = FIELD(seed)},
    {.name = "steps", .type = LORAC_OPTION_UINT64, .value = "N", .help = "JSON steps.",
     .limit = LORAC_FROM_TO(1, 1e12), .offset = FIELD(steps)},
    {.name = "rate", .type = LORAC_OPTION_DOUBLE, .value = "X", .help = "A rate.", .fallback = "1/4",
     .limit = LORAC_FROM_BELOW(0, 1), .offset = FIELD(rate)},
    {0},
};
static const struct lorac_option second_options[] = {
    {.name = "text", .type = LORAC_OPTION_STRING, .value = "T", .help = "A text.", .offset = FIELD(text)},
    {.name = "path", .letter = 'o', .type = LORAC_OPTION_PATH, .value = "FILE", .help = "A file.", .required = true,
     .offset = FIELD(path)},
    {.name = "choice", .type = LORAC_OPTION_ENUM, .choices = choices, .help = "A choice.", .fallback = "rgb",
     .offset = FIELD(choice)},
    {.name = "listed", .type = LORAC_OPTION_ENUM, .choice_at = listed_choice, .help = "Another.",
     .offset = FIELD(listed)},
    {.name = "list", .type = LORAC_OPTION_DOUBLES, .value = "X,..", .help = "Numbers.", .limit = LORAC_ABOVE(0),
     .offset = FIELD(list)},
    {.name = "range", .type = LORAC_OPTION_RANGE, .value = "A:B", .help = "A range.", .offset = FIELD(range)},
    {.name = "size", .type = LORAC_OPTION_SIZE, .value = "HxW", .help = "A size.", .offset = FIELD(size)},
    {.name = "word", .letter = 'w', .type = LORAC_OPTION_TEXTS, .value = "W", .help = "A word.",
     .offset = FIELD(words)},
    {.name = "help", .letter = 'h', .type = LORAC_OPTION_FLAG, .help = "Help.", .offset = FIELD(flag)},
    {0},
};
static const struct lorac_option_group groups[] = {{"First", first_options, 0}, {"Second", second_options, 0}, {0}};

// Splits [line] at spaces (in place) and parses it; "''" stands for an empty word.
static enum lorac_status parse(char *line, struct settings *settings, struct lorac_option_set *set, int *operand_count,
                               struct lorac_error *error)
{
    static char command[] = "command";
    char *argv[32] = {command};
    int argc = 1, operands = 0;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    memset(settings, 0, sizeof *settings);
    *set = (struct lorac_option_set){.groups = groups, .settings = settings};
    enum lorac_status status = lorac_options_parse(set, argc, argv, "help", &operands, error);
    *operand_count = argc - operands;
    return status;
}

// ---- what is refused, and in which words

static const struct {
    const char *line, *message;
} refusals[] = {
    {"", "--path FILE is missing (a file)"},
    {"-o x --count 0", "--count 0: must be at least 1"},
    {"-o x --count 101", "--count 101: must be at most 100"},
    {"-o x -n five", "--count five: must be a whole number"},
    {"-o x --count 5.0", "--count 5.0: must be a whole number from 1 to 100"},
    {"-o x --count=''", "--count ''"},
    {"-o x --count 99999999999999999999", "--count 99999999999999999999: is too large a number"},
    {"-o x --count", "--count needs a value (a count)"},
    {"-o x --steps", "--steps needs a value (JSON steps)"},
    {"-o x -n", "--count needs a value (a count)"},
    {"-o x --seed -1", "--seed -1: must be a whole number, 0 or more"},
    {"-o x --seed 18446744073709551616", "--seed 18446744073709551616: is too large a number"},
    {"-o x --steps 1/2", "--steps 1/2: must be a whole number from 1 to 1000000000000"},
    {"-o x --steps -1", "--steps -1: must be a whole number from 1 to 1000000000000"},
    {"-o x -o y", "--path is given twice"},
    {"-o x --path=x", "--path is given twice"},
    {"-o x --cou 3 -n 3", "--count is given twice"},
    {"-o x --word", "--word needs a value (a word)"},
    {"-o x -w1 -w2 -w3 -w4 -w5 -w6 -w7 -w8 -w9 -w10 -w11 -w12 -w13 -w14 -w15 -w16 -w17",
     "--word 17: is one too many: at most 16 can be given"},
    {"-o x --rate 1", "--rate 1: must be below 1"},
    {"-o x --rate -0.1", "--rate -0.1: must be at least 0"},
    {"-o x --rate nan", "--rate nan: must be a finite number"},
    {"-o x --rate inf", "--rate inf: must be a finite number"},
    {"-o x --rate 1/0", "--rate 1/0: must be a number"},
    {"-o x --rate 1/", "--rate 1/: must be a number"},
    {"-o x --rate 0.1x", "--rate 0.1x: must be a number"},
    {"-o x --rate 1e999", "--rate 1e999: must be a finite number"},
    {"-o x --choice grb", "--choice grb: must be one of rgb, bgr"},
    {"-o x --listed RGB", "--listed RGB: must be one of rgb, bgr"},
    {"-o x --list 1,,2", "--list 1,,2: must be numbers separated by commas"},
    {"-o x --list 1,2,", "--list 1,2,: must be numbers separated by commas"},
    {"-o x --list 1;2", "--list 1;2: must be numbers separated by commas"},
    {"-o x --list 1,-0.0", "--list 1,-0.0: must be above 0"},
    {"-o x --list 1,0", "--list 1,0: must be above 0"},
    {"-o x --list 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "has more than 16 numbers"},
    {"-o x --range 5", "--range 5: must be A:B"},
    {"-o x --range 5:5", "--range 5:5: must be A:B"},
    {"-o x --range 5:3", "--range 5:3: must be A:B"},
    {"-o x --range -1:3", "--range -1:3: must be A:B"},
    {"-o x --range 1:99999999999999999999", "must be A:B"},
    {"-o x --size 32", "--size 32: must be HEIGHTxWIDTH"},
    {"-o x --size 0x32", "--size 0x32: must be HEIGHTxWIDTH"},
    {"-o x --size 32x99999", "--size 32x99999: must be HEIGHTxWIDTH"},
    {"-o ''", "--path '': must be the name of a file"},
    {"-o x --flag=1", "--flag takes no value"},
    {"-o x --cuont 3", "unknown option --cuont: did you mean --count?"},
    {"-o x --ragne=1:2", "unknown option --ragne: did you mean --range?"},
    {"-o x --zzzzzzzz", "unknown option --zzzzzzzz: see -h"},
    {"-o x -z", "unknown option -z: see -h"},
    {"-o x --li 1", "option --li can mean --listed or --list"},
};

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct settings settings;
        struct lorac_option_set set;
        struct lorac_error error = {0};
        int operands;
        char line[256];
        snprintf(line, sizeof line, "%s", refusals[i].line);
        enum lorac_status status = parse(line, &settings, &set, &operands, &error);
        CHECKF(status == LORAC_ERROR_ARGUMENT, "'%s': status %d", refusals[i].line, status);
        CHECKF(strstr(error.message, refusals[i].message) != NULL, "'%s': got \"%s\", expected \"%s\"",
               refusals[i].line, error.message, refusals[i].message);
    }
}

// ---- what is taken

static void test_defaults(void)
{
    struct settings s;
    struct lorac_option_set set;
    struct lorac_error error = {0};
    int operands;
    char line[] = "-o x";
    REQUIRE(parse(line, &s, &set, &operands, &error) == LORAC_OK);
    CHECK(!s.flag && s.on && s.count == 4 && s.seed == 0 && s.rate == 0.25);
    CHECK(s.text == NULL && s.choice == 0 && s.listed == -1 && s.list.count == 0);
    CHECK(!s.range.given && s.size.height == 0 && operands == 0);
    CHECK(lorac_options_given(&set, "path") && !lorac_options_given(&set, "count"));
}

static void test_values(void)
{
    struct settings s;
    struct lorac_option_set set;
    struct lorac_error error = {0};
    int operands;
    char good[] = "a -f --no-on -n7 --seed 18446744073709551615 b --rate=.5 --text '' --path p --choice bgr "
                  "--listed bgr --list 1/4,2 --range 3:9 --size 24x32 --word=x -w '' -- --c";
    REQUIRE(CHECK_OK(parse(good, &s, &set, &operands, &error), error));
    CHECK(s.flag && !s.on && s.count == 7 && s.seed == UINT64_MAX && s.rate == 0.5);
    CHECK_STRING(s.text, "");
    CHECK_STRING(s.path, "p");
    CHECK(s.choice == 1 && s.listed == 1 && s.list.count == 2 && s.list.values[0] == 0.25 && s.list.values[1] == 2);
    CHECK(s.range.given && s.range.begin == 3 && s.range.end == 9 && s.size.height == 24 && s.size.width == 32);
    REQUIRE(s.words.count == 2);
    CHECK_STRING(s.words.values[0], "x");
    CHECK_STRING(s.words.values[1], "");
    CHECKF(operands == 3, "operands: %d", operands);
    CHECK(lorac_options_given(&set, "count") && lorac_options_given(&set, "no-on") && !lorac_options_given(&set, "on"));
}

static void test_repeated_and_short_names(void)
{
    struct settings s;
    struct lorac_option_set set;
    struct lorac_error error = {0};
    int operands;
    char last_wins[] = "-f -o x --no-on --on -f"; // of flags; options with a value are refused, see above
    REQUIRE(CHECK_OK(parse(last_wins, &s, &set, &operands, &error), error));
    CHECK(s.flag && s.on);
    char prefix[] = "-o x --cou 6"; // getopt_long takes what begins only one name
    REQUIRE(CHECK_OK(parse(prefix, &s, &set, &operands, &error), error));
    CHECK(s.count == 6);
    char exact[] = "-o x --list 3"; // and an exact name before a longer one
    REQUIRE(CHECK_OK(parse(exact, &s, &set, &operands, &error), error));
    CHECK(s.list.count == 1);
    char help[] = "-h"; // asks for help and nothing else
    CHECK_OK(parse(help, &s, &set, &operands, &error), error);
}

// ---- help

static void test_help(void)
{
    char text[8192] = "";
    FILE *file = tmpfile();
    REQUIRE(file != NULL);
    lorac_options_print_help(groups, file);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    for (const struct lorac_option_group *group = groups; group->options; group++) {
        CHECKF(strstr(text, group->title) != NULL, "help lacks the group %s", group->title);
        for (const struct lorac_option *option = group->options; option->name; option++) {
            char name[64];
            snprintf(name, sizeof name, "--%s", option->name);
            CHECKF(strstr(text, name) != NULL, "help lacks %s", name);
        }
    }
    CHECK(strstr(text, "-n, --count N") != NULL);
    CHECK(strstr(text, "A count. (default 4)") != NULL);
    CHECK(strstr(text, "--choice rgb|bgr") != NULL);
    CHECK(strstr(text, "A file. (required)") != NULL);
}

static void test_nearest_name(void)
{
    static const char *const names[] = {"inspect", "inject", "train", "eval", NULL};
    static const struct {
        const char *text, *nearest;
    } rows[] = {{"trian", "train"}, {"injct", "inject"}, {"evla", "eval"}, {"inspec", "inspect"},
                {"x", NULL},        {"zzzzzzz", NULL},  {"", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = lorac_nearest_name(rows[i].text, names);
        CHECKF(got == rows[i].nearest || (got && rows[i].nearest && strcmp(got, rows[i].nearest) == 0),
               "'%s': got %s, expected %s", rows[i].text, got ? got : "none",
               rows[i].nearest ? rows[i].nearest : "none");
    }
}

// Every row once and in order, with its group, and past groups that are empty.
static void test_walk(void)
{
    static const struct lorac_option none[] = {{0}};
    static const struct lorac_option_group gaps[] = {
        {"None", none, 0}, {"Second", second_options, 8}, {"Nor here", none, 0}, {"First", first_options, 16}, {0}};
    static const struct lorac_option_group only_none[] = {{"None", none, 0}, {0}};
    struct settings settings;
    const struct lorac_option_set set = {.groups = groups, .settings = &settings};
    size_t count = 0;
    for (struct lorac_option_row row = {0}; lorac_options_next(gaps, &row); count++) {
        const bool second = count < 9;
        CHECKF(row.index == count && row.group == &gaps[second ? 1 : 3], "row %zu", count);
        CHECKF(row.option == (second ? &second_options[count] : &first_options[count - 9]), "row %zu", count);
    }
    CHECKF(count == 16, "%zu rows", count);
    struct lorac_option_row row = {0};
    CHECK(!lorac_options_next(only_none, &row));
    CHECK(lorac_options_find(groups, "size", &row) == row.option && row.index == 13 && row.group == &groups[1]);
    CHECK(lorac_options_field(&set, &row) == &settings.size);
    CHECK(!lorac_options_find(groups, "siz", &row));
}

int main(void)
{
    test_walk();
    test_refusals();
    test_defaults();
    test_values();
    test_repeated_and_short_names();
    test_help();
    test_nearest_name();
    return check_report();
}
