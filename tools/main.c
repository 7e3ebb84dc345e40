// lorac-onnx: finds the command, parses its options, runs it.
#include "command.h"
#include "groups.h"
#include "outputs.h"
#include "recipe.h"
#include "report.h"
#include "topics.h"
#include "runtime/lorac.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void print_usage(FILE *file)
{
    fputs("Usage: lorac-onnx COMMAND [options]\n\n"
          "Fine-tunes ONNX ResNets on the device with LoRA-C adapters.\n\nCommands:\n",
          file);
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        fprintf(file, "  %-12s%s\n", (*command)->name, (*command)->summary);
    fputs("\nTopics:\n", file);
    for (const struct lorac_topic *topic = lorac_topics; topic->name; topic++)
        fprintf(file, "  %-12s%s\n", topic->name, topic->summary);
    fputs("\n  lorac-onnx COMMAND -h    the options of a command (also: lorac-onnx help COMMAND)\n"
          "  lorac-onnx help TOPIC    what is no command's own\n"
          "  lorac-onnx --version     the version\n\n"
          "Exit codes: 0 done, 1 failed, 2 usage, 3 above tolerance, 4 the time is up and 130 interrupted, both with the\n"
          "output written.\n",
          file);
}

static void print_command_help(const struct lorac_command *command)
{
    printf("Usage: lorac-onnx %s %s\n\n%s", command->name, command->synopsis, command->description);
    lorac_options_print_help(command->groups, stdout);
    printf("\nExamples:\n%s", command->examples);
}

// The commands that the device build leaves out; none in the full build.
static bool is_left_out(const char *name)
{
#ifdef LORAC_DEVICE_ONLY
    return strcmp(name, "inject") == 0 || strcmp(name, "merge") == 0 || strcmp(name, "apply") == 0 ||
           strcmp(name, "run") == 0;
#else
    (void)name;
    return false;
#endif
}

// [what] is unknown: with the nearest command, or topic where these count too.
static enum lorac_exit refuse_name(const char *what, const char *name, bool topics)
{
    enum { TOPICS_MAX = 32 };
    const char *names[LORAC_COMMANDS_MAX + TOPICS_MAX + 1] = {NULL};
    size_t count = 0;
    for (; lorac_commands()[count]; count++)
        names[count] = lorac_commands()[count]->name;
    for (size_t i = 0; topics && i < TOPICS_MAX && lorac_topics[i].name; i++)
        names[count++] = lorac_topics[i].name;
    const char *nearest = lorac_nearest_name(name, names);
    if (nearest)
        fprintf(stderr, "lorac-onnx: unknown %s '%s': did you mean '%s'?\n", what, name, nearest);
    else
        fprintf(stderr, "lorac-onnx: unknown %s '%s': see lorac-onnx -h\n", what, name);
    return LORAC_EXIT_USAGE;
}

static enum lorac_exit refuse_command(const char *name)
{
    if (is_left_out(name)) {
        fprintf(stderr, "lorac-onnx: this build for devices has no '%s'\n", name);
        return LORAC_EXIT_USAGE;
    }
    return refuse_name("command", name, false);
}

static enum lorac_exit refuse_help(const char *name)
{
    return is_left_out(name) ? refuse_command(name) : refuse_name("command or topic", name, true);
}

static enum lorac_exit run_help(int argc, char **argv)
{
    if (argc < 3) {
        print_usage(stdout);
        return LORAC_EXIT_DONE;
    }
    const struct lorac_command *command = lorac_command_find(argv[2]);
    const struct lorac_topic *topic = lorac_topic_find(argv[2]);
    if (command)
        print_command_help(command);
    else if (topic)
        lorac_topic_print(topic, stdout);
    else
        return refuse_help(argv[2]);
    return LORAC_EXIT_DONE;
}

// The settings of --recipe and --preset; NULL for a command without them.
static const struct lorac_general_settings *general_of(const struct lorac_call *call)
{
    for (const struct lorac_option_group *group = call->options.groups; group->options; group++)
        if (group->options == lorac_general_options)
            return (const void *)((const char *)call->options.settings + group->offset);
    return NULL;
}

// What the command line does not say comes from a recipe, where there is one, which must outlive the call.
static enum lorac_status complete(struct lorac_call *call, struct lorac_recipe **recipe, struct lorac_error *error)
{
    const struct lorac_general_settings *general = general_of(call);
    if (general && (general->recipe || general->presets.count > 0)) {
        const struct lorac_recipe_request request = {.path = general->recipe, .presets = general->presets};
        LORAC_TRY(lorac_recipe_open(&request, recipe, error));
        LORAC_TRY(lorac_recipe_apply(*recipe, false, call, error));
        if (general->recipe)
            LORAC_TRY(lorac_outputs_check_recipe(call, general->recipe, error));
    }
    return lorac_recipe_check_required(call, *recipe, error);
}

static enum lorac_exit take_operands(struct lorac_call *call, int count, char **words)
{
    const struct lorac_command *command = call->command;
    if ((size_t)count > command->operand_count)
        return lorac_report_usage(call, "unexpected argument '%s': options begin with --, see -h",
                                  words[command->operand_count]);
    for (int i = 0; i < count; i++) {
        call->operands[i] = words[i];
        if (!*words[i])
            return lorac_report_usage(call, "an empty file name: %s", command->operand_help);
    }
    return LORAC_EXIT_DONE;
}

// Parses into [call] and runs. argv[0] is the command's name.
static enum lorac_exit run_parsed(struct lorac_call *call, struct lorac_recipe **recipe, int argc, char **argv)
{
    const struct lorac_command *command = call->command;
    struct lorac_error error = {0};
    int first = 0;
    if (lorac_options_read(&call->options, argc, argv, &first, &error) != LORAC_OK)
        return lorac_report_failure(call, &error);
    if (lorac_options_given(&call->options, "help")) {
        print_command_help(command);
        return LORAC_EXIT_DONE;
    }
    call->quiet = lorac_options_given(&call->options, "quiet");
    enum lorac_exit code = take_operands(call, argc - first, argv + first);
    if (code != LORAC_EXIT_DONE)
        return code;
    if (complete(call, recipe, &error) != LORAC_OK)
        return lorac_report_failure(call, &error);
    if (command->operand_count > 0 && !call->operands[command->operand_count - 1] && !command->operands_optional)
        return lorac_report_usage(call, "%s", command->operand_help);
    return command->run(call);
}

static enum lorac_exit run_command(const struct lorac_command *command, int argc, char **argv)
{
    struct lorac_call call = {.command = command, .options = {.groups = command->groups}};
    call.options.settings = calloc(1, command->settings_bytes);
    if (!call.options.settings) {
        lorac_report_error(&call, "out of memory");
        return LORAC_EXIT_FAILED;
    }
    struct lorac_recipe *recipe = NULL;
    enum lorac_exit code = run_parsed(&call, &recipe, argc, argv);
    lorac_recipe_close(recipe);
    free(call.options.settings);
    return code;
}

static enum lorac_exit dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return LORAC_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        print_usage(stdout);
        return LORAC_EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        printf("lorac-onnx %s\n", lorac_version());
        return LORAC_EXIT_DONE;
    }
    if (strcmp(word, "help") == 0)
        return run_help(argc, argv);
    if (word[0] == '-') {
        fprintf(stderr, "lorac-onnx: unknown option '%s': the command comes first, see lorac-onnx -h\n", word);
        return LORAC_EXIT_USAGE;
    }
    const struct lorac_command *command = lorac_command_find(word);
    return command ? run_command(command, argc - 1, argv + 1) : refuse_command(word);
}

int main(int argc, char **argv)
{
    // A reader that went away must not end a training run in the middle: writes fail instead, which is seen below.
    signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); // the same for a file that grows over the limit
#endif
    enum lorac_exit code = dispatch(argc, argv);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == LORAC_EXIT_DONE) {
        fprintf(stderr, "lorac-onnx: cannot write to standard output%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
        return LORAC_EXIT_FAILED;
    }
    return code;
}
