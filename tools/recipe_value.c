#include "recipe_value.h"

#include "train_validation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lorac_recipe_type_text(const struct lorac_option *option, char text[LORAC_RECIPE_TYPE_TEXT])
{
    static const char *const types[] = {[LORAC_OPTION_FLAG] = "true or false",
                                        [LORAC_OPTION_NO_FLAG] = "true or false",
                                        [LORAC_OPTION_INT64] = "a whole number",
                                        [LORAC_OPTION_UINT64] = "a whole number",
                                        [LORAC_OPTION_DOUBLE] = "a number",
                                        [LORAC_OPTION_STRING] = "a text",
                                        [LORAC_OPTION_PATH] = "the name of a file",
                                        [LORAC_OPTION_DOUBLES] = "a number or a list of numbers",
                                        [LORAC_OPTION_RANGE] = "A:B or [A, B]",
                                        [LORAC_OPTION_SIZE] = "HEIGHTxWIDTH or [HEIGHT, WIDTH]",
                                        [LORAC_OPTION_TEXTS] = "a list"};
    char choices[LORAC_RECIPE_TYPE_TEXT - 16];
    if (option->type != LORAC_OPTION_ENUM) {
        snprintf(text, LORAC_RECIPE_TYPE_TEXT, "%s", types[option->type]);
        return text;
    }
    lorac_option_join_choices(option, ", ", choices, sizeof choices);
    snprintf(text, LORAC_RECIPE_TYPE_TEXT, "%s%s", lorac_option_choice(option, 1) ? "one of " : "", choices);
    return text;
}

// One value being read.
struct reader {
    struct lorac_arena *arena;
    const struct lorac_recipe_place *place;
    const struct lorac_option *option;
    const char *key, *section;
    char separator;
    bool share_too;
};

// "'lr' in 'train' takes a number, not a list"
static enum lorac_status refuse_type(const struct reader *reader, struct lorac_yaml_mark mark, const char *what,
                                     struct lorac_error *error)
{
    char type[LORAC_RECIPE_TYPE_TEXT];
    return lorac_yaml_refuse(reader->place->name, mark, error, "'%s' in '%s' takes %s%s%s%s", reader->key,
                             reader->section, reader->share_too ? "a share, or " : "",
                             lorac_recipe_type_text(reader->option, type), what ? ", not " : "", what ? what : "");
}

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a recipe");
}

// ---- checks

// Room for a value of any type.
union scratch {
    bool flag;
    int64_t whole;
    uint64_t count;
    double real;
    const char *text;
    int choice;
    struct lorac_doubles doubles;
    struct lorac_range range;
    struct lorac_size size;
    struct lorac_texts texts;
};

// That the option takes [text], as the parser of the command line says.
static enum lorac_status check(const struct reader *reader, struct lorac_yaml_mark mark, const char *text,
                               struct lorac_error *error)
{
    union scratch scratch;
    struct lorac_option option = *reader->option;
    struct lorac_error rule = {0};
    const char *names[64], *nearest = NULL;
    memset(&scratch, 0, sizeof scratch);
    option.offset = 0;
    if (lorac_option_take(&option, &scratch, text, &rule) == LORAC_OK)
        return LORAC_OK;
    if (option.type == LORAC_OPTION_ENUM) {
        size_t count = 0;
        for (; count + 1 < sizeof names / sizeof *names && lorac_option_choice(&option, count); count++)
            names[count] = lorac_option_choice(&option, count);
        names[count] = NULL;
        nearest = lorac_nearest_name(text, names);
    }
    return lorac_yaml_refuse(reader->place->name, mark, error, "'%s' in '%s': %s %s%s%s%s", reader->key,
                             reader->section, *text ? text : "''", rule.message, nearest ? ": did you mean '" : "",
                             nearest ? nearest : "", nearest ? "'?" : "");
}

static bool is_number(const struct lorac_option *option)
{
    return option->type == LORAC_OPTION_INT64 || option->type == LORAC_OPTION_UINT64 ||
           option->type == LORAC_OPTION_DOUBLE || option->type == LORAC_OPTION_DOUBLES;
}

// What YAML 1.1 and other tongues take for a truth value.
static const char *truth_of(const char *text)
{
    static const char *const yes[] = {"yes", "Yes", "YES", "on", "On", "ON", "True", "TRUE", "y", "1", NULL};
    static const char *const no[] = {"no", "No", "NO", "off", "Off", "OFF", "False", "FALSE", "n", "0", NULL};
    for (size_t i = 0; yes[i]; i++)
        if (strcmp(text, yes[i]) == 0)
            return "true";
    for (size_t i = 0; no[i]; i++)
        if (strcmp(text, no[i]) == 0)
            return "false";
    return NULL;
}

static enum lorac_status check_flag(const struct reader *reader, const struct lorac_yaml_text *text,
                                    struct lorac_error *error)
{
    bool is = strcmp(text->text, "true") == 0 || strcmp(text->text, "false") == 0;
    if (is && !text->quoted)
        return LORAC_OK;
    const char *meant = is ? text->text : truth_of(text->text);
    char what[128];
    snprintf(what, sizeof what, "%s%.60s%s%s%s", text->quoted ? "\"" : "", text->text, text->quoted ? "\"" : "",
             meant ? ": write " : "", meant ? meant : "");
    return refuse_type(reader, text->mark, what, error);
}

// A text as YAML has it: of the right kind. What it says is for check.
static enum lorac_status check_kind(const struct reader *reader, const struct lorac_yaml_text *text,
                                    struct lorac_error *error)
{
    enum lorac_option_type type = reader->option->type;
    if (type == LORAC_OPTION_FLAG)
        return check_flag(reader, text, error);
    if (is_number(reader->option) && text->quoted)
        return refuse_type(reader, text->mark, "a text: write it without quotes", error);
    if (type == LORAC_OPTION_PATH && !text->quoted &&
        (strcmp(text->text, "true") == 0 || strcmp(text->text, "false") == 0))
        return refuse_type(reader, text->mark, text->text, error);
    if (reader->share_too && !text->quoted && strcmp(text->text, "none") == 0)
        return refuse_type(reader, text->mark, "none: leave the key out", error);
    return LORAC_OK;
}

// ---- texts

// Names of files are relative to the recipe.
static const char *place_path(const struct reader *reader, const char *text)
{
    bool share = reader->share_too && lorac_validation_is_share(text);
    bool relative = *text && *text != '/' && *reader->place->folder && !share;
    size_t bytes = strlen(reader->place->folder) + strlen(text) + 1;
    char *path = relative ? lorac_arena_alloc(reader->arena, bytes) : lorac_arena_strdup(reader->arena, text);
    if (path && relative)
        snprintf(path, bytes, "%s%s", reader->place->folder, text);
    return path;
}

static enum lorac_status read_text(const struct reader *reader, const struct lorac_yaml_text *text, const char **out,
                                   struct lorac_error *error)
{
    LORAC_TRY(check_kind(reader, text, error));
    if (reader->option->type != LORAC_OPTION_FLAG)
        LORAC_TRY(check(reader, text->mark, text->text, error));
    *out = reader->option->type == LORAC_OPTION_PATH ? place_path(reader, text->text)
                                                     : lorac_arena_strdup(reader->arena, text->text);
    return *out ? LORAC_OK : out_of_memory(error);
}

// [0.5, 0.25] as "0.5,0.25".
static enum lorac_status join(const struct reader *reader, const struct lorac_yaml_entry *entry, char separator,
                              const char **out, struct lorac_error *error)
{
    size_t bytes = 1;
    for (size_t i = 0; i < entry->count; i++) {
        LORAC_TRY(check_kind(reader, &entry->texts[i], error));
        bytes += strlen(entry->texts[i].text) + 1;
    }
    char *text = lorac_arena_alloc(reader->arena, bytes), *at = text;
    if (!text)
        return out_of_memory(error);
    for (size_t i = 0; i < entry->count; i++) {
        size_t length = strlen(entry->texts[i].text);
        if (i > 0)
            *at++ = separator;
        memcpy(at, entry->texts[i].text, length);
        at += length;
    }
    *out = text;
    return check(reader, entry->value_mark, text, error);
}

static enum lorac_status read_texts(const struct reader *reader, const struct lorac_yaml_entry *entry,
                                    struct lorac_recipe_value *out, struct lorac_error *error)
{
    out->texts = lorac_arena_alloc_array(reader->arena, entry->count, sizeof *out->texts);
    if (!out->texts)
        return out_of_memory(error);
    if (entry->count > LORAC_TEXTS_MAX)
        return lorac_yaml_refuse(reader->place->name, entry->texts[LORAC_TEXTS_MAX].mark, error,
                                 "'%s' in '%s' has more than %d items", reader->key, reader->section, LORAC_TEXTS_MAX);
    for (size_t i = 0; i < entry->count; i++)
        LORAC_TRY(read_text(reader, &entry->texts[i], &out->texts[i], error));
    out->count = entry->count;
    return LORAC_OK;
}

static enum lorac_status read_list(const struct reader *reader, const struct lorac_yaml_entry *entry,
                                   struct lorac_recipe_value *out, struct lorac_error *error)
{
    enum lorac_option_type type = reader->option->type;
    if (entry->count == 0)
        return refuse_type(reader, entry->value_mark, "an empty list", error);
    switch (type) {
    case LORAC_OPTION_DOUBLES:
        return join(reader, entry, ',', &out->texts[0], error);
    case LORAC_OPTION_RANGE:
    case LORAC_OPTION_SIZE:
        if (entry->count != 2)
            return refuse_type(reader, entry->value_mark, NULL, error);
        return join(reader, entry, type == LORAC_OPTION_RANGE ? ':' : 'x', &out->texts[0], error);
    case LORAC_OPTION_TEXTS:
        return read_texts(reader, entry, out, error);
    default:
        if (reader->separator)
            return join(reader, entry, reader->separator, &out->texts[0], error);
        return refuse_type(reader, entry->value_mark, "a list", error);
    }
}

// ---- lists of mappings

static const struct lorac_recipe_key *find_member(const struct lorac_recipe_key *members, const char *name)
{
    for (; members->key; members++)
        if (strcmp(members->key, name) == 0)
            return members;
    return NULL;
}

static enum lorac_status refuse_member(const struct reader *reader, const struct lorac_yaml_entry *entry,
                                       const struct lorac_recipe_key *members, struct lorac_error *error)
{
    const char *names[16];
    size_t count = 0;
    for (; members[count].key; count++)
        names[count] = members[count].key;
    names[count] = NULL;
    const char *nearest = lorac_nearest_name(entry->key, names);
    return lorac_yaml_refuse(reader->place->name, entry->mark, error, "unknown key '%s' in '%s'%s%s%s", entry->key,
                             reader->key, nearest ? ", did you mean '" : ": it has layers, rank and alpha",
                             nearest ? nearest : "", nearest ? "'?" : "");
}

// One mapping {layers: P, rank: R, alpha: X} as "P:rank=R,alpha=X". [*index] is at its first member, and moves behind
// its last one.
static enum lorac_status read_override(const struct reader *reader, const struct lorac_yaml *yaml, const char *prefix,
                                       struct lorac_yaml_mark mark, const struct lorac_recipe_key *members,
                                       size_t *index, const char **out, struct lorac_error *error)
{
    const char *values[8] = {NULL};
    size_t length = strlen(prefix), bytes = 32;
    for (; *index < yaml->count && strncmp(yaml->entries[*index].path, prefix, length) == 0; ++*index) {
        const struct lorac_yaml_entry *entry = &yaml->entries[*index];
        const struct lorac_recipe_key *member = find_member(members, entry->key);
        if (!member)
            return refuse_member(reader, entry, members, error);
        struct reader inner = {reader->arena, reader->place, member->own, entry->key, reader->key, 0, false};
        if (entry->kind != LORAC_YAML_TEXT)
            return refuse_type(&inner, entry->value_mark, NULL, error);
        LORAC_TRY(read_text(&inner, &entry->texts[0], &values[member - members], error));
        bytes += strlen(values[member - members]);
        mark = entry->mark;
    }
    if (!values[0] || (!values[1] && !values[2]))
        return lorac_yaml_refuse(reader->place->name, mark, error,
                                 "an item of '%s' needs 'layers', and 'rank', 'alpha' or both", reader->key);
    char *text = lorac_arena_alloc(reader->arena, bytes);
    if (!text)
        return out_of_memory(error);
    snprintf(text, bytes, "%s:%s%s%s%s%s", values[0], values[1] ? "rank=" : "", values[1] ? values[1] : "",
             values[1] && values[2] ? "," : "", values[2] ? "alpha=" : "", values[2] ? values[2] : "");
    *out = text;
    return LORAC_OK;
}

static enum lorac_status read_overrides(const struct reader *reader, const struct lorac_yaml *yaml, size_t index,
                                        const struct lorac_recipe_key *members, struct lorac_recipe_value *out,
                                        struct lorac_error *error)
{
    const struct lorac_yaml_entry *entry = &yaml->entries[index];
    if (entry->kind != LORAC_YAML_MAPS)
        return lorac_yaml_refuse(reader->place->name, entry->value_mark, error, "'%s' in '%s' takes a list of %s",
                                 reader->key, reader->section, "{layers: REGEX, rank: R, alpha: X}");
    if (entry->count > LORAC_TEXTS_MAX)
        return lorac_yaml_refuse(reader->place->name, entry->value_mark, error, "'%s' in '%s' has more than %d items",
                                 reader->key, reader->section, LORAC_TEXTS_MAX);
    out->texts = lorac_arena_alloc_array(reader->arena, entry->count, sizeof *out->texts);
    if (!out->texts)
        return out_of_memory(error);
    size_t at = index + 1;
    for (size_t i = 0; i < entry->count; i++) {
        char prefix[300];
        snprintf(prefix, sizeof prefix, "%s[%zu].", entry->path, i);
        LORAC_TRY(read_override(reader, yaml, prefix, entry->value_mark, members, &at, &out->texts[i], error));
    }
    out->count = entry->count;
    return LORAC_OK;
}

// ---- the value

enum lorac_status lorac_recipe_value_read(struct lorac_arena *arena, const struct lorac_recipe_place *place,
                                          const struct lorac_yaml *yaml, size_t index,
                                          const struct lorac_recipe_key *key, struct lorac_recipe_value *out,
                                          struct lorac_error *error)
{
    const struct lorac_yaml_entry *entry = &yaml->entries[index];
    const struct reader reader = {arena, place, lorac_recipe_key_option(key), key->key, key->section,
                                  key->separator, key->share_too};
    *out = (struct lorac_recipe_value){.key = key};
    if (!reader.option)
        return LORAC_OK;
    if (entry->kind == LORAC_YAML_NOTHING) {
        char type[LORAC_RECIPE_TYPE_TEXT];
        return lorac_yaml_refuse(place->name, entry->mark, error, "'%s' in '%s' has no value: it takes %s", key->key,
                                 key->section, lorac_recipe_type_text(reader.option, type));
    }
    if (key->members)
        return read_overrides(&reader, yaml, index, key->members, out, error);
    if (entry->kind == LORAC_YAML_MAP || entry->kind == LORAC_YAML_MAPS)
        return refuse_type(&reader, entry->value_mark, "keys with values", error);
    out->count = 1;
    out->texts = lorac_arena_alloc_array(arena, 1, sizeof *out->texts);
    if (!out->texts)
        return out_of_memory(error);
    if (entry->kind == LORAC_YAML_LIST)
        return read_list(&reader, entry, out, error);
    return read_text(&reader, &entry->texts[0], &out->texts[0], error);
}
