// What a recipe says, as options and operands of one command.
#include "recipe.h"

#include "recipe_value.h"
#include "report.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct application {
    const struct lorac_recipe *recipe;
    struct lorac_call *call;
    unsigned command;
    bool behind_inject;
};

// The option that the value becomes: of a flag the one or the other, or none, as false is what a flag is without it.
static const char *option_of(const struct lorac_recipe_value *value)
{
    const struct lorac_recipe_key *key = value->key;
    const struct lorac_option *option = lorac_recipe_key_option(key);
    if (option && option->type == LORAC_OPTION_FLAG && strcmp(value->texts[0], "false") == 0)
        return key->negative;
    return key->option;
}


static bool takes(const struct application *application, const struct lorac_recipe_key *key)
{
    return (key->commands & application->command) && (key->option || key->negative) &&
           !(application->behind_inject && key->recorded);
}

// ---- the command line and later layers

// The text of an option on the command line; NULL where it is not there, or has no such name.
static const char *given_text(const struct application *application, const char *name)
{
    const struct lorac_option_set *set = &application->call->options;
    struct lorac_option_row row;
    if (!name || !lorac_options_find(set->groups, name, &row) || !set->given[row.index] || set->origin[row.index])
        return NULL;
    return set->text[row.index] ? set->text[row.index] : "true";
}

// What the recipe says of an option, in a layer above or up to [layer]; NULL: nothing.
static const struct lorac_recipe_value *recipe_value(const struct application *application, const char *name,
                                                     size_t layer, bool above)
{
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++) {
        if (!takes(application, key))
            continue;
        const struct lorac_recipe_value *value =
            lorac_recipe_value_of(application->recipe, key, above ? SIZE_MAX : layer);
        const char *option = value && (!above || value->layer > layer) ? option_of(value) : NULL;
        if (option && strcmp(option, name) == 0)
            return value;
    }
    return NULL;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

// Who leaves a value out.
struct overruling {
    const char *option; // of the command line; NULL: [origin]
    const char *origin; // of a value of the recipe; NULL: an option
};

// What the recipe says of the rule's option in a layer above [layer]; NULL: nothing.
static const struct lorac_recipe_value *later_value(const struct application *application,
                                                    const struct lorac_recipe_rule *rule, size_t layer)
{
    if (!rule->key)
        return recipe_value(application, rule->option, layer, true);
    const struct lorac_recipe_value *value =
        lorac_recipe_value_of(application->recipe, lorac_recipe_key_of_path(rule->key), SIZE_MAX);
    return value && value->layer > layer ? value : NULL;
}

// Does the rule leave out [value] for the sake of [later]?
static bool rules_out(const struct application *application, const struct lorac_recipe_rule *rule,
                      const struct lorac_recipe_value *value, const char *later)
{
    if (rule->when == LORAC_RECIPE_IS)
        return strcmp(later, rule->value) == 0;
    if (rule->when == LORAC_RECIPE_NO_MULTIPLE) {
        const unsigned long long divisor = strtoull(value->texts[0], NULL, 10);
        return divisor > 0 && strtoull(later, NULL, 10) % divisor != 0;
    }
    if (rule->when == LORAC_RECIPE_ALWAYS)
        return true;
    const struct lorac_recipe_value *earlier = recipe_value(application, rule->option, value->layer, false);
    const struct lorac_option *option = lorac_options_find(application->call->options.groups, rule->option, NULL);
    const char *before = earlier ? earlier->texts[0] : option ? option->fallback : NULL;
    return !before || strcmp(before, later) != 0;
}

// Does a later layer say what this value contradicts, or what it was not meant for?
static bool is_overruled(const struct application *application, const struct lorac_recipe_value *value,
                         const char *option, struct overruling *by)
{
    for (const struct lorac_recipe_rule *rule = lorac_recipe_rules; rule->option; rule++) {
        if (!is_one_of(option, rule->others) ||
            (!rule->key && !lorac_options_find(application->call->options.groups, rule->option, NULL)))
            continue;
        const char *given = given_text(application, rule->option);
        const struct lorac_recipe_value *later = given ? NULL : later_value(application, rule, value->layer);
        if ((!given && !later) || !rules_out(application, rule, value, given ? given : later->texts[0]))
            continue;
        *by = (struct overruling){given ? rule->option : NULL, later ? later->origin : NULL};
        return true;
    }
    return false;
}

// ---- options

static enum lorac_status set_option(struct application *application, const struct lorac_recipe_value *value,
                                    const char *option, struct lorac_error *error)
{
    for (size_t i = 0; i < value->count; i++)
        LORAC_TRY(lorac_error_prefix(
            error, lorac_options_set(&application->call->options, option, value->texts[i], value->origin, error),
            "%s: %s ", value->origin, value->texts[i]));
    return LORAC_OK;
}

static enum lorac_status apply_key(struct application *application, const struct lorac_recipe_key *key,
                                   struct lorac_error *error)
{
    const struct lorac_recipe_value *value = lorac_recipe_value_of(application->recipe, key, SIZE_MAX);
    const char *option = value ? option_of(value) : NULL;
    struct overruling by;
    const struct lorac_option_group *groups = application->call->options.groups;
    if (!option || given_text(application, key->option) || given_text(application, key->negative))
        return LORAC_OK;
    if (key->needs && lorac_options_find(groups, key->needs, NULL) &&
        !lorac_options_given(&application->call->options, key->needs))
        return LORAC_OK;
    if (!is_overruled(application, value, option, &by))
        return set_option(application, value, option, error);
    if (by.option)
        lorac_report_note(application->call, "note: %s is left out: --%s is given", value->origin, by.option);
    return LORAC_OK;
}

static void set_operands(struct application *application)
{
    struct lorac_call *call = application->call;
    const char *const *keys = lorac_recipe_operand_keys(call->command->name);
    const char *texts[LORAC_OPERANDS_MAX] = {NULL};
    for (size_t i = 0; i < call->command->operand_count; i++)
        if (call->operands[i] || !keys[i] || !(texts[i] = lorac_recipe_get(application->recipe, keys[i])))
            return;
    memcpy(call->operands, texts, sizeof texts);
}

enum lorac_status lorac_recipe_apply(const struct lorac_recipe *recipe, bool behind_inject, struct lorac_call *call,
                                     struct lorac_error *error)
{
    struct application application = {recipe, call, lorac_recipe_command_bit(call->command->name), behind_inject};
    for (int needing = 0; needing < 2; needing++) // what is needed comes before what needs it
        for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
            if (takes(&application, key) && (key->needs != NULL) == (needing == 1))
                LORAC_TRY(apply_key(&application, key, error));
    set_operands(&application);
    return LORAC_OK;
}

const char *lorac_recipe_left_out_by(const struct lorac_recipe *recipe, const char *path)
{
    const struct lorac_recipe_key *key = lorac_recipe_key_of_path(path);
    const struct lorac_recipe_value *value = key ? lorac_recipe_value_of(recipe, key, SIZE_MAX) : NULL;
    const struct lorac_command *command = value && value->count > 0 ? lorac_recipe_key_command(key) : NULL;
    const char *option = command ? option_of(value) : NULL;
    if (!option)
        return NULL;
    struct lorac_call call = {.command = command, .options = {.groups = command->groups}}; // nothing is given
    const struct application application = {recipe, &call, lorac_recipe_command_bit(command->name), false};
    struct overruling by;
    return is_overruled(&application, value, option, &by) ? by.origin : NULL;
}

const char *lorac_recipe_get_used(const struct lorac_recipe *recipe, const char *path)
{
    return lorac_recipe_left_out_by(recipe, path) ? NULL : lorac_recipe_get(recipe, path);
}

// ---- messages

static bool names_option(const char *message, const struct lorac_option *option)
{
    char text[64];
    int length = snprintf(text, sizeof text, "--%s", option->name);
    for (const char *at = strstr(message, text); at; at = strstr(at + 1, text)) {
        char next = at[length];
        if (!((next >= 'a' && next <= 'z') || (next >= '0' && next <= '9') || next == '-'))
            return true;
    }
    if (!option->letter)
        return false;
    snprintf(text, sizeof text, "-%c '", option->letter);
    return strncmp(message, text, strlen(text)) == 0;
}

void lorac_recipe_explain_error(const struct lorac_call *call, struct lorac_error *error)
{
    const struct lorac_option_set *set = &call->options;
    size_t row = 0;
    char message[LORAC_ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", error->message);
    for (const struct lorac_option_group *group = set->groups; group->options; group++)
        for (const struct lorac_option *option = group->options; option->name; option++, row++) {
            char text[640];
            if (!set->given[row] || !set->origin[row] || !names_option(message, option))
                continue;
            snprintf(text, sizeof text, "; --%s is %s", option->name, set->origin[row]);
            lorac_report_append(error, text);
        }
}

// The key that gives the command's option; NULL where none does.
static const struct lorac_recipe_key *key_of(const char *command, const char *option)
{
    unsigned bit = lorac_recipe_command_bit(command);
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        if ((key->commands & bit) && key->option && strcmp(key->option, option) == 0)
            return key;
    return NULL;
}

enum lorac_status lorac_recipe_check_required(const struct lorac_call *call, const struct lorac_recipe *recipe,
                                              struct lorac_error *error)
{
    const struct lorac_option_set *set = &call->options;
    size_t row = 0;
    enum lorac_status status = lorac_options_check_required(set, error);
    if (status == LORAC_OK || !recipe)
        return status;
    for (const struct lorac_option_group *group = set->groups; group->options; group++)
        for (const struct lorac_option *option = group->options; option->name; option++, row++)
            if (option->required && !set->given[row]) { // the first one is in the message
                const struct lorac_recipe_key *key = key_of(call->command->name, option->name);
                char text[LORAC_RECIPE_PATH_TEXT + 32];
                snprintf(text, sizeof text, "; in the recipe: %s.%s", key ? key->section : "", key ? key->key : "");
                if (key)
                    lorac_report_append(error, text);
                return status;
            }
    return status;
}
