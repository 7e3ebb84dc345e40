// man: manual pages in roff, made from the tables of options.
#include "groups.h"
#include "report.h"
#include "topics.h"
#include "runtime/lorac.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct man_settings {
    struct lorac_general_settings general;
};
static const struct lorac_option_group groups[] = {
    {"General", lorac_plain_options, offsetof(struct man_settings, general)},
    {0},
};

static const char main_page[] = "lorac-onnx";

// ---- roff

// [text] as it is, whatever roff would take for its own: backslashes, hyphens, and at the start of a line dots and
// apostrophes.
static void put(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const bool begins = i == 0 || text[i - 1] == '\n';
        if (begins && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", stdout);
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[i]);
    }
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_line(const char *macro, const char *text)
{
    fputs(macro, stdout);
    put_text(text);
    putchar('\n');
}

// Lines as they stand.
static void put_lines(const char *text)
{
    puts(".nf");
    put_text(text);
    puts(".fi");
}

// A page's head: its title in capitals, and the line that `whatis` shows.
static void put_head(const char *name, const char *summary)
{
    fputs(".TH \"", stdout);
    for (const char *c = name; *c; c++) // not through put: a title is compared as it is
        putchar(toupper((unsigned char)*c));
    printf("\" \"1\" \"\" \"lorac\\-onnx %s\" \"User Commands\"\n.SH NAME\n", lorac_version());
    put_text(name);
    fputs(" \\- ", stdout);
    put_line("", summary);
}

// ---- pages

static void put_option(const struct lorac_option *option)
{
    char value[LORAC_OPTION_VALUE_TEXT], help[LORAC_OPTION_HELP_TEXT];
    fputs(".TP\n\\fB", stdout);
    if (option->letter)
        printf("\\-%c\\fR, \\fB", option->letter);
    put_text("--");
    put_text(option->name);
    fputs("\\fR", stdout);
    if (*lorac_option_value_text(option, value)) {
        fputs(" \\fI", stdout);
        put_text(value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_line("", lorac_option_help_text(option, help));
}

static void put_command(const struct lorac_command *command)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%s", main_page, command->name);
    put_head(name, command->summary);
    puts(".SH SYNOPSIS");
    printf(".B lorac\\-onnx %s\n", command->name);
    put_line("", command->synopsis);
    puts(".SH DESCRIPTION");
    put_text(command->description);
    puts(".SH OPTIONS");
    for (const struct lorac_option_group *group = command->groups; group->options; group++) {
        put_line(".SS ", group->title);
        for (const struct lorac_option *option = group->options; option->name; option++)
            put_option(option);
    }
    puts(".SH EXAMPLES");
    put_lines(command->examples);
    puts(".SH SEE ALSO\n.BR lorac\\-onnx (1)");
}

static void put_topic(const struct lorac_topic *topic)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory)
        lorac_topic_print(topic, memory);
    if (memory && fclose(memory) == 0)
        put_lines(text);
    free(text);
}

static void put_main(void)
{
    put_head(main_page, "fine-tunes ONNX ResNets on the device with LoRA-C adapters");
    puts(".SH SYNOPSIS\n.B lorac\\-onnx\n.I COMMAND\n[options]");
    puts(".SH DESCRIPTION");
    put_text("Gives a pretrained ONNX model adapters (inject), trains only these on the device's own images (train), and "
             "puts them back into the weights (merge). The files between the steps are ONNX models.\n");
    puts(".SH COMMANDS");
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++) {
        printf(".TP\n.BR lorac\\-onnx\\-%s (1)\n", (*command)->name);
        put_line("", (*command)->summary);
    }
    for (const struct lorac_topic *topic = lorac_topics; topic->name; topic++) {
        fputs(".SH \"", stdout);
        for (const char *c = topic->name; *c; c++)
            putchar(*c == '-' ? ' ' : toupper((unsigned char)*c));
        puts("\"");
        put_topic(topic);
    }
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const char *page = call->operands[0];
    const struct lorac_command *command = lorac_command_find(page);
    if (strcmp(page, main_page) == 0)
        put_main();
    else if (command)
        put_command(command);
    else
        return lorac_report_usage(call, "no page '%s': give lorac-onnx, or the name of a command", page);
    return LORAC_EXIT_DONE;
}

extern const struct lorac_command lorac_command_man;
const struct lorac_command lorac_command_man = {
    .name = "man",
    .summary = "print a manual page",
    .synopsis = "PAGE [options]",
    .description = "PAGE is lorac-onnx, or the name of a command. Prints the page in roff, for man; `cmake --install`\n"
                   "puts all of them into share/man.\n",
    .examples = "  lorac-onnx man train | man -l -\n"
                "  lorac-onnx man lorac-onnx > lorac-onnx.1\n",
    .operand_count = 1,
    .operand_help = "give the page: lorac-onnx man PAGE, where PAGE is lorac-onnx or a command",
    .groups = groups,
    .settings_bytes = sizeof(struct man_settings),
    .run = run,
};
