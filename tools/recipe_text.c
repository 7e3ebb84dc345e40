#include "recipe_text.h"

#include "recipe_preset.h"
#include "recipe_value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// ---- the parts of a key

// What an option's help calls "--epochs" is 'epochs' here, or 'train.epochs' from another section.
static const struct lorac_recipe_key *key_for(const struct lorac_recipe_key *from, const char *option, size_t length)
{
    const struct lorac_recipe_key *best = NULL;
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++) {
        if (!key->option || strlen(key->option) != length || strncmp(key->option, option, length) != 0 ||
            !(key->commands & from->commands))
            continue;
        if (!best || (strcmp(key->section, from->section) == 0 && strcmp(best->section, from->section) != 0))
            best = key;
    }
    return best;
}

static void translate(const struct lorac_recipe_key *from, const char *help, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    while (*help && used + 1 < text_bytes) {
        size_t length = strncmp(help, "--", 2) == 0 ? 2 : 0;
        while (length > 0 && (islower((unsigned char)help[length]) || isdigit((unsigned char)help[length]) ||
                              help[length] == '-'))
            length++;
        const struct lorac_recipe_key *key = length > 2 ? key_for(from, help + 2, length - 2) : NULL;
        bool near = key && strcmp(key->section, from->section) == 0;
        int written = key ? snprintf(text + used, text_bytes - used, "'%s%s%s'", near ? "" : key->section,
                                     near ? "" : ".", key->key)
                          : snprintf(text + used, text_bytes - used, "%c", *help);
        used += written > 0 ? (size_t)written : 0;
        help += key ? length : 1;
    }
}

static const char *value_text(const struct lorac_option *option, char text[LORAC_OPTION_VALUE_TEXT])
{
    if (option->type == LORAC_OPTION_FLAG)
        snprintf(text, LORAC_OPTION_VALUE_TEXT, "true|false");
    else if (option->type == LORAC_OPTION_DOUBLES)
        snprintf(text, LORAC_OPTION_VALUE_TEXT, "[%s]", option->value);
    else
        lorac_option_value_text(option, text);
    return text;
}

static const char *default_text(const struct lorac_recipe_key *key, const struct lorac_option *option)
{
    return option->fallback_text ? option->fallback_text : lorac_recipe_key_default(key);
}

// "train, bench" in [text].
static void join_commands(const struct lorac_recipe_key *key, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        if ((key->commands & lorac_recipe_command_bit((*command)->name)) && used < text_bytes) {
            int written = snprintf(text + used, text_bytes - used, "%s%s", used ? ", " : "", (*command)->name);
            used += written > 0 ? (size_t)written : 0;
        }
}

enum { KEY_TEXT = 2048 };

static void help_of(const struct lorac_recipe_key *key, const struct lorac_option *option, bool with_commands,
                    char text[KEY_TEXT])
{
    char help[1024], value[256] = "", commands[256];
    const char *fallback = default_text(key, option);
    translate(key, option->help, help, sizeof help);
    if (fallback)
        translate(key, fallback, value, sizeof value);
    join_commands(key, commands, sizeof commands);
    snprintf(text, KEY_TEXT, "%s%s%s%s%s%s%s", help, fallback ? " (default " : "", value, fallback ? ")" : "",
             with_commands ? " [" : "", with_commands ? commands : "", with_commands ? "]" : "");
}

static void print_key(const struct lorac_recipe_key *key, FILE *file)
{
    const struct lorac_option *option = lorac_recipe_key_option(key);
    char value[LORAC_OPTION_VALUE_TEXT], left[LORAC_OPTION_VALUE_TEXT + 64], text[KEY_TEXT];
    if (!option) // of commands that this build lacks
        return;
    snprintf(left, sizeof left, "  %s: %s", key->key, value_text(option, value));
    help_of(key, option, true, text);
    lorac_help_print_row(left, text, file);
}

static void print_section(const struct lorac_recipe_section *section, FILE *file)
{
    fprintf(file, "%s: %s\n", section->name, section->help);
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        if (strcmp(key->section, section->name) == 0)
            print_key(key, file);
}

static void print_presets(FILE *file)
{
    fputs("preset: settings that are built in, a name or a list of names; of several the last counts\n", file);
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++) {
        char left[64];
        snprintf(left, sizeof left, "  %s", preset->name);
        lorac_help_print_row(left, preset->summary, file);
    }
}

void lorac_recipe_print_reference(FILE *file)
{
    print_presets(file);
    for (const struct lorac_recipe_section *section = lorac_recipe_sections; section->name; section++) {
        fputc('\n', file);
        print_section(section, file);
    }
    fputs("\nFiles are relative to the recipe's folder. The commands that take a key stand in brackets.\n", file);
}

// ---- one entry

// "train.lr", or "lr" of whatever section has it.
static bool is_named(const struct lorac_recipe_key *key, const char *name)
{
    size_t length = strlen(key->section);
    return strcmp(name, key->key) == 0 ||
           (strncmp(name, key->section, length) == 0 && name[length] == '.' && strcmp(name + length + 1, key->key) == 0);
}

static void print_rule(const struct lorac_option *option, const char *also, FILE *file)
{
    char type[LORAC_RECIPE_TYPE_TEXT];
    const struct lorac_limit *limit = &option->limit;
    fprintf(file, "  takes    %s%s", also, lorac_recipe_type_text(option, type));
    if (limit->has_low)
        fprintf(file, ", %s %.15g", limit->low_open ? "above" : "at least", limit->low);
    if (limit->has_high)
        fprintf(file, ", %s %.15g", limit->high_open ? "below" : "at most", limit->high);
    fputc('\n', file);
}

static void print_one(const struct lorac_recipe_key *key, FILE *file)
{
    const struct lorac_option *option = lorac_recipe_key_option(key);
    char help[1024], commands[256];
    fprintf(file, "%s.%s\n", key->section, key->key);
    if (!option) {
        fputs("  is of commands that this build for devices has not\n", file);
        return;
    }
    translate(key, option->help, help, sizeof help);
    join_commands(key, commands, sizeof commands);
    fprintf(file, "  %s\n", help);
    print_rule(option, key->share_too ? "a share, or " : "", file);
    if (default_text(key, option))
        fprintf(file, "  default  %s\n", default_text(key, option));
    fprintf(file, "  for      %s", commands);
    if (key->option)
        fprintf(file, ", as --%s", key->option);
    if (key->negative)
        fprintf(file, "%s --%s", key->option ? " and" : ", as", key->negative);
    fputc('\n', file);
}

bool lorac_recipe_print_entry(const char *name, FILE *file)
{
    const struct lorac_recipe_preset *preset = lorac_recipe_preset_find(name);
    bool found = false;
    if (strcmp(name, "preset") == 0) {
        print_presets(file);
        return true;
    }
    if (preset) {
        fprintf(file, "# %s: %s\n%s", preset->name, preset->summary, preset->yaml);
        return true;
    }
    for (const struct lorac_recipe_section *section = lorac_recipe_sections; section->name; section++)
        if (strcmp(section->name, name) == 0) {
            print_section(section, file);
            return true;
        }
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        if (is_named(key, name)) {
            print_one(key, file);
            found = true;
        }
    return found;
}

const char *lorac_recipe_nearest_entry(const char *name)
{
    enum { MOST = 160 };
    static char paths[MOST][64]; // made of the tables, the same every time
    const char *names[3 * MOST];
    size_t count = 0, path_count = 0;
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++)
        names[count++] = preset->name;
    for (const struct lorac_recipe_section *section = lorac_recipe_sections; section->name; section++)
        names[count++] = section->name;
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key && path_count < MOST; key++) {
        snprintf(paths[path_count], sizeof paths[path_count], "%s.%s", key->section, key->key);
        names[count++] = strchr(name, '.') ? paths[path_count] : key->key;
        path_count++;
    }
    names[count] = NULL;
    return lorac_nearest_name(name, names);
}

// ---- the template

enum { TEMPLATE_WIDTH = 100 };

static void print_comment(const char *text, FILE *file)
{
    size_t column = 0;
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column == 0 || column + 1 + length > TEMPLATE_WIDTH)
            column = (size_t)fprintf(file, "%s  #", column ? "\n" : "") - (column ? 1 : 0);
        fprintf(file, " %.*s", (int)length, text);
        column += 1 + length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

static void print_template_key(const struct lorac_recipe_key *key, FILE *file)
{
    const struct lorac_option *option = lorac_recipe_key_option(key);
    char text[KEY_TEXT], value[LORAC_OPTION_VALUE_TEXT];
    if (!option)
        return;
    help_of(key, option, false, text);
    print_comment(text, file);
    const char *fallback = lorac_recipe_key_default(key);
    if (fallback)
        fprintf(file, "  #%s: %s%s%s\n", key->key, fallback, option->type == LORAC_OPTION_ENUM ? "  # " : "",
                option->type == LORAC_OPTION_ENUM ? value_text(option, value) : "");
    else
        fprintf(file, "  #%s:  # %s\n", key->key, value_text(option, value));
}

void lorac_recipe_print_template(FILE *file)
{
    fputs("# A recipe for lorac-onnx: take the '#' away before what you set. Every key shows its default.\n"
          "# Files are relative to the folder of this file. lorac-onnx run does the whole job; other commands take\n"
          "# what concerns them with --recipe.\n\n"
          "# Settings that are built in, below everything else here:",
          file);
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++)
        fprintf(file, "%s %s", preset == lorac_recipe_presets ? "" : ",", preset->name);
    fputs("\n#preset:  # NAME or [NAME, NAME]\n", file);
    for (const struct lorac_recipe_section *section = lorac_recipe_sections; section->name; section++) {
        fprintf(file, "\n# %c%s\n%s:\n", toupper((unsigned char)*section->help), section->help + 1, section->name);
        for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
            if (strcmp(key->section, section->name) == 0)
                print_template_key(key, file);
    }
}
