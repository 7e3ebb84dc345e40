// The tables as help text.
#include "options.h"

#include <string.h>

enum { HELP_INDENT = 30, HELP_WIDTH = 100 };

const char *lorac_option_value_text(const struct lorac_option *option, char text[LORAC_OPTION_VALUE_TEXT])
{
    text[0] = '\0';
    if (option->type == LORAC_OPTION_ENUM)
        lorac_option_join_choices(option, "|", text, LORAC_OPTION_VALUE_TEXT);
    else if (lorac_option_takes_value(option))
        snprintf(text, LORAC_OPTION_VALUE_TEXT, "%s", option->value);
    return text;
}

const char *lorac_option_help_text(const struct lorac_option *option, char text[LORAC_OPTION_HELP_TEXT])
{
    const char *fallback = option->fallback_text ? option->fallback_text : option->fallback;
    snprintf(text, LORAC_OPTION_HELP_TEXT, "%s%s%s%s%s", option->help, fallback ? " (default " : "",
             fallback ? fallback : "", fallback ? ")" : "", option->required ? " (required)" : "");
    return text;
}

// Prints words from column HELP_INDENT on, wrapped. [column] is where the cursor is.
static void print_wrapped(FILE *file, const char *text, size_t column)
{
    if (column + 2 > HELP_INDENT) {
        fputc('\n', file);
        column = 0;
    }
    fprintf(file, "%*s", (int)(HELP_INDENT - column), "");
    column = HELP_INDENT;
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column > HELP_INDENT && column + 1 + length > HELP_WIDTH) {
            fprintf(file, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else if (column > HELP_INDENT) {
            fputc(' ', file);
            column++;
        }
        fwrite(text, 1, length, file);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

void lorac_help_print_row(const char *left, const char *text, FILE *file)
{
    fputs(left, file);
    print_wrapped(file, text, strlen(left));
}

static void print_option(const struct lorac_option *option, FILE *file)
{
    char value[LORAC_OPTION_VALUE_TEXT], left[LORAC_OPTION_VALUE_TEXT + 64], help[LORAC_OPTION_HELP_TEXT];
    char letter[8] = "    ";
    lorac_option_value_text(option, value);
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    int column = snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name, *value ? " " : "", value);
    fputs(left, file);
    print_wrapped(file, lorac_option_help_text(option, help), (size_t)column);
}

void lorac_options_print_help(const struct lorac_option_group *groups, FILE *file)
{
    for (; groups->options; groups++) {
        fprintf(file, "\n%s:\n", groups->title);
        for (const struct lorac_option *option = groups->options; option->name; option++)
            print_option(option, file);
    }
}
