// recipe: what a recipe can say, a recipe to fill in, and whether one is right.
#include "groups.h"
#include "recipe.h"
#include "recipe_text.h"
#include "recipe_value.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

struct recipe_settings {
    bool explain, template;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct recipe_settings, member)
// clang-format off
static const struct lorac_option recipe_options[] = {
    {.name = "explain", .type = LORAC_OPTION_FLAG, .offset = FIELD(explain),
     .help = "Say what a section, a key or a preset is; without a name, all of them."},
    {.name = "template", .type = LORAC_OPTION_FLAG, .offset = FIELD(template),
     .help = "Print a recipe with all keys, their defaults and what they mean, to fill in."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"What is printed", recipe_options, 0},
    {"General", lorac_plain_options, FIELD(general)},
    {0},
};
#undef FIELD

static enum lorac_exit explain(const struct lorac_call *call, const char *name)
{
    if (!name)
        lorac_recipe_print_reference(stdout);
    else if (!lorac_recipe_print_entry(name, stdout)) {
        const char *nearest = lorac_recipe_nearest_entry(name);
        return lorac_report_usage(call, "recipes have no '%s'%s%s%s", name,
                                  nearest ? ": did you mean '" : ": see lorac-onnx recipe --explain",
                                  nearest ? nearest : "", nearest ? "'?" : "");
    }
    return LORAC_EXIT_DONE;
}

// What the command would refuse before it looks at any file.
static enum lorac_exit check_command(const struct lorac_call *call, const struct lorac_recipe *recipe,
                                     const struct lorac_command *command)
{
    struct lorac_error error = {0};
    struct lorac_call step = {.command = command, .options = {.groups = command->groups}, .quiet = call->quiet};
    step.options.settings = calloc(1, command->settings_bytes);
    if (!step.options.settings) {
        lorac_report_error(call, "out of memory");
        return LORAC_EXIT_FAILED;
    }
    lorac_options_init(&step.options);
    enum lorac_exit code = LORAC_EXIT_DONE;
    if (lorac_recipe_apply(recipe, strcmp(command->name, "inject") != 0, &step, &error) != LORAC_OK ||
        command->check(&step, &error) != LORAC_OK)
        code = lorac_report_failure(&step, &error);
    free(step.options.settings);
    return code;
}

static enum lorac_exit check_commands(const struct lorac_call *call, const struct lorac_recipe *recipe)
{
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++) {
        const enum lorac_exit code = (*command)->check && lorac_recipe_command_bit((*command)->name)
                                         ? check_command(call, recipe, *command)
                                         : LORAC_EXIT_DONE;
        if (code != LORAC_EXIT_DONE)
            return code;
    }
    return LORAC_EXIT_DONE;
}

static void add_value(struct lorac_table *table, const struct lorac_recipe_value *value)
{
    const char *place = strchr(value->origin, ' '); // behind the key, which is in the first column
    for (size_t i = 0; i < value->count; i++) {
        lorac_table_cell(table, "%s.%s", value->key->section, value->key->key);
        lorac_table_cell(table, "%s", value->texts[i]);
        lorac_table_cell(table, "%s", place ? place + 1 : value->origin);
    }
}

// All values that the recipe comes to, presets and derived names included, and where each is from; notes say which are
// left out, and for which.
static enum lorac_exit print_values(const struct lorac_call *call, const struct lorac_recipe *recipe)
{
    struct lorac_error error = {0};
    struct lorac_table table;
    char path[LORAC_RECIPE_PATH_TEXT];
    lorac_table_init(&table, 3, "lll", NULL);
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++) {
        const struct lorac_recipe_value *value = lorac_recipe_value_of(recipe, key, SIZE_MAX);
        if (!value || value->count == 0)
            continue;
        snprintf(path, sizeof path, "%s.%s", key->section, key->key);
        const char *by = lorac_recipe_left_out_by(recipe, path);
        if (by)
            lorac_report_note(call, "note: %s (%s) is left out, because of %s", value->origin, value->texts[0], by);
        else
            add_value(&table, value);
    }
    const enum lorac_status status = lorac_table_finish(&table, stdout, &error);
    return status == LORAC_OK ? LORAC_EXIT_DONE : lorac_report_failure(call, &error);
}

static enum lorac_exit check(const struct lorac_call *call, const char *path)
{
    const struct lorac_recipe_request request = {.path = path};
    struct lorac_recipe *recipe = NULL;
    struct lorac_error error = {0};
    if (lorac_recipe_open(&request, &recipe, &error) != LORAC_OK)
        return lorac_report_failure(call, &error);
    enum lorac_exit code = check_commands(call, recipe);
    if (code == LORAC_EXIT_DONE)
        code = print_values(call, recipe);
    lorac_recipe_close(recipe);
    return code;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const struct recipe_settings *settings = call->options.settings;
    const char *operand = call->operands[0];
    if (settings->explain && settings->template)
        return lorac_report_usage(call, "--explain and --template: give one of them");
    if (settings->explain)
        return explain(call, operand);
    if (settings->template) {
        if (operand)
            return lorac_report_usage(call, "unexpected argument '%s': --template takes none", operand);
        lorac_recipe_print_template(stdout);
        return LORAC_EXIT_DONE;
    }
    return operand ? check(call, operand) : lorac_report_usage(call, "%s", call->command->operand_help);
}

extern const struct lorac_command lorac_command_recipe;
const struct lorac_command lorac_command_recipe = {
    .name = "recipe",
    .summary = "what a recipe can say, and whether one is right",
    .synopsis = "[RECIPE.yaml | --explain [NAME] | --template] [options]",
    .description = "Checks a recipe without running anything, and prints the values that it comes to, each with its\n"
                   "place (notes say which are left out); or explains what recipes can say; or prints one to fill in.\n",
    .examples = "  lorac-onnx recipe job.yaml\n"
                "  lorac-onnx recipe --explain train.lr\n"
                "  lorac-onnx recipe --explain paper\n"
                "  lorac-onnx recipe --template > job.yaml\n",
    .operand_count = 1,
    .operands_optional = true,
    .operand_help = "give a recipe, --explain or --template: lorac-onnx recipe RECIPE.yaml",
    .groups = groups,
    .settings_bytes = sizeof(struct recipe_settings),
    .run = run,
};
