// completion: the shell's completion of command lines, made from the tables of options.
#include "groups.h"
#include "recipe_preset.h"
#include "recipe_table.h"
#include "report.h"
#include "topics.h"

#include <string.h>

struct completion_settings {
    struct lorac_general_settings general;
};
static const struct lorac_option_group groups[] = {
    {"General", lorac_plain_options, offsetof(struct completion_settings, general)},
    {0},
};

// Everything printed into the script is a name from our own tables: letters, digits, hyphens, underscores and dots.

static void put_commands(void)
{
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        printf("%s ", (*command)->name);
}

static void put_choices(const struct lorac_option *option)
{
    for (size_t i = 0; lorac_option_choice(option, i); i++)
        printf("%s%s", i ? " " : "", lorac_option_choice(option, i));
}

static void put_presets(void)
{
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++)
        printf("%s%s", preset == lorac_recipe_presets ? "" : " ", preset->name);
}

// What `recipe --explain` explains: sections, presets, and keys with their sections.
static void put_entries(void)
{
    put_presets();
    printf(" preset");
    for (const struct lorac_recipe_section *section = lorac_recipe_sections; section->name; section++)
        printf(" %s", section->name);
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        printf(" %s.%s", key->section, key->key);
}

// What may follow an option of [command]: the choices, files (nothing is said: the shell's own), or nothing known.
static void put_values(const struct lorac_command *command)
{
    for (struct lorac_option_row row = {0}; lorac_options_next(command->groups, &row);) {
        const struct lorac_option *option = row.option;
        if (option->type == LORAC_OPTION_ENUM) {
            printf("            %s:--%s) words=\"", command->name, option->name);
            put_choices(option);
            printf("\" ;;\n");
        } else if (strcmp(option->name, "preset") == 0) {
            printf("            %s:--preset) words=\"", command->name);
            put_presets();
            printf("\" ;;\n");
        } else if (option->type == LORAC_OPTION_PATH) {
            printf("            %s:--%s) return ;;\n", command->name, option->name);
            if (option->letter)
                printf("            %s:-%c) return ;;\n", command->name, option->letter);
        } else if (lorac_option_takes_value(option)) {
            printf("            %s:--%s) compopt +o default; return ;;\n", command->name, option->name);
        }
    }
}

static void put_options(const struct lorac_command *command)
{
    printf("            %s) words=\"", command->name);
    for (struct lorac_option_row row = {0}; lorac_options_next(command->groups, &row);)
        printf("%s--%s", row.index ? " " : "", row.option->name);
    printf("\" ;;\n");
}

static void put_bash(void)
{
    printf("# bash completion of lorac-onnx, made by `lorac-onnx completion bash`\n"
           "_lorac_onnx()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        words=\"");
    put_commands();
    printf("help -h --help --version\"\n"
           "    elif [ \"${word#-}\" = \"$word\" ] && { [ \"$command\" = help ] || [ \"$command\" = man ]; }; then\n"
           "        words=\"");
    put_commands();
    printf("\"\n"
           "        if [ \"$command\" = help ]; then words=\"$words");
    for (const struct lorac_topic *topic = lorac_topics; topic->name; topic++)
        printf(" %s", topic->name);
    printf("\"; else words=\"$words lorac-onnx\"; fi\n"
           "    elif [ \"$command\" = completion ] && [ \"${word#-}\" = \"$word\" ]; then\n"
           "        words=bash\n"
           "    else\n"
           "        case $command:$before in\n");
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        put_values(*command);
    printf("            recipe:--explain) words=\"");
    put_entries();
    printf("\" ;;\n        esac\n"
           "        if [ -z \"$words\" ] && [ \"${word#-}\" != \"$word\" ]; then\n"
           "            case $command in\n");
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        put_options(*command);
    printf("            esac\n"
           "        fi\n"
           "    fi\n"
           "    [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "}\n"
           "complete -o default -F _lorac_onnx lorac-onnx\n");
}

static enum lorac_exit run(const struct lorac_call *call)
{
    if (strcmp(call->operands[0], "bash") != 0)
        return lorac_report_usage(call, "no completion for '%s': the shell must be bash", call->operands[0]);
    put_bash();
    return LORAC_EXIT_DONE;
}

extern const struct lorac_command lorac_command_completion;
const struct lorac_command lorac_command_completion = {
    .name = "completion",
    .summary = "print the completion script of a shell",
    .synopsis = "SHELL [options]",
    .description = "SHELL is bash. The script completes commands, options, their choices and topics of help; `cmake\n"
                   "--install` puts it where bash-completion looks.\n",
    .examples = "  source <(lorac-onnx completion bash)\n"
                "  lorac-onnx completion bash > ~/.local/share/bash-completion/completions/lorac-onnx\n",
    .operand_count = 1,
    .operand_help = "give the shell: lorac-onnx completion bash",
    .groups = groups,
    .settings_bytes = sizeof(struct completion_settings),
    .run = run,
};
