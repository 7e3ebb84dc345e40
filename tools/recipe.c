#include "recipe.h"

#include "recipe_preset.h"
#include "recipe_value.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lorac_recipe {
    struct lorac_arena *arena;
    struct lorac_recipe_value *values;
    size_t count, capacity;
    size_t layers;
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a recipe");
}

static enum lorac_status add_value(struct lorac_recipe *recipe, const struct lorac_recipe_value *value,
                                   struct lorac_error *error)
{
    if (recipe->count == recipe->capacity) {
        size_t capacity = recipe->capacity ? 2 * recipe->capacity : 32;
        struct lorac_recipe_value *larger = realloc(recipe->values, capacity * sizeof *larger);
        if (!larger)
            return out_of_memory(error);
        recipe->values = larger;
        recipe->capacity = capacity;
    }
    recipe->values[recipe->count++] = *value;
    return LORAC_OK;
}

const struct lorac_recipe_value *lorac_recipe_value_of(const struct lorac_recipe *recipe,
                                                       const struct lorac_recipe_key *key, size_t most)
{
    const struct lorac_recipe_value *best = NULL;
    for (size_t i = 0; i < recipe->count; i++) {
        const struct lorac_recipe_value *value = &recipe->values[i];
        if (value->key == key && value->layer <= most && (!best || value->layer >= best->layer))
            best = value;
    }
    return best;
}

// "train.lr": its two parts; false where it has not two.
static bool split_path(const char *path, char section[LORAC_RECIPE_PATH_TEXT], const char **key)
{
    const char *dot = strchr(path, '.');
    size_t length = dot ? (size_t)(dot - path) : 0;
    if (!dot || length >= LORAC_RECIPE_PATH_TEXT)
        return false;
    memcpy(section, path, length);
    section[length] = '\0';
    *key = dot + 1;
    return true;
}

const struct lorac_recipe_key *lorac_recipe_key_of_path(const char *path)
{
    char section[LORAC_RECIPE_PATH_TEXT];
    const char *key;
    return split_path(path, section, &key) ? lorac_recipe_key_find(section, key) : NULL;
}

const char *lorac_recipe_get(const struct lorac_recipe *recipe, const char *path)
{
    const struct lorac_recipe_key *key = lorac_recipe_key_of_path(path);
    const struct lorac_recipe_value *value = key ? lorac_recipe_value_of(recipe, key, SIZE_MAX) : NULL;
    return value && value->count > 0 ? value->texts[0] : NULL;
}

// ---- a layer: the values of one YAML text

// One layer being read.
struct layer {
    struct lorac_recipe *recipe;
    struct lorac_recipe_place place;
    const char *origin; // what follows "train.lr" in an origin: "of preset 'paper'"; NULL: the place with line and column
    const struct lorac_yaml *yaml;
};

static enum lorac_status refuse_section(const struct layer *layer, const struct lorac_yaml_entry *entry,
                                        struct lorac_error *error)
{
    const char *names[32];
    char all[256] = "";
    size_t count = 0;
    names[count++] = "preset";
    for (size_t i = 0; lorac_recipe_sections[i].name; i++)
        names[count++] = lorac_recipe_sections[i].name;
    names[count] = NULL;
    for (size_t i = 0; i < count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
    const char *nearest = lorac_nearest_name(entry->key, names);
    if (nearest)
        return lorac_yaml_refuse(layer->place.name, entry->mark, error, "unknown section '%s', did you mean '%s'?",
                                 entry->key, nearest);
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        if (strcmp(key->key, entry->key) == 0)
            return lorac_yaml_refuse(layer->place.name, entry->mark, error, "'%s' stands below its section, '%s:'",
                                     entry->key, key->section);
    return lorac_yaml_refuse(layer->place.name, entry->mark, error, "unknown section '%s': there are %s", entry->key,
                             all);
}

static enum lorac_status refuse_key(const struct layer *layer, const char *section,
                                    const struct lorac_yaml_entry *entry, struct lorac_error *error)
{
    const char *names[128], *other = NULL;
    size_t count = 0;
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key && count < 127; key++) {
        if (strcmp(key->section, section) == 0)
            names[count++] = key->key;
        else if (strcmp(key->key, entry->key) == 0)
            other = key->section;
    }
    names[count] = NULL;
    const char *nearest = lorac_nearest_name(entry->key, names);
    if (other)
        return lorac_yaml_refuse(layer->place.name, entry->mark, error, "unknown key '%s' in '%s': it belongs to '%s'",
                                 entry->key, section, other);
    if (nearest)
        return lorac_yaml_refuse(layer->place.name, entry->mark, error, "unknown key '%s' in '%s', did you mean '%s'?",
                                 entry->key, section, nearest);
    char all[600] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
    return lorac_yaml_refuse(layer->place.name, entry->mark, error, "unknown key '%s' in '%s': it has %s", entry->key,
                             section, all);
}

static enum lorac_status make_origin(const struct layer *layer, const struct lorac_yaml_entry *entry, const char **out,
                                     struct lorac_error *error)
{
    char text[512];
    if (layer->origin)
        snprintf(text, sizeof text, "%s %s", entry->path, layer->origin);
    else
        snprintf(text, sizeof text, "%s in %s:%zu:%zu", entry->path, layer->place.name, entry->mark.line,
                 entry->mark.column);
    *out = lorac_arena_strdup(layer->recipe->arena, text);
    return *out ? LORAC_OK : out_of_memory(error);
}

static bool is_section(const char *name)
{
    for (size_t i = 0; lorac_recipe_sections[i].name; i++)
        if (strcmp(lorac_recipe_sections[i].name, name) == 0)
            return true;
    return false;
}

static enum lorac_status add_entry(struct layer *layer, size_t index, struct lorac_error *error)
{
    const struct lorac_yaml_entry *entry = &layer->yaml->entries[index];
    struct lorac_recipe_value value;
    char section[LORAC_RECIPE_PATH_TEXT];
    const char *name;
    if (entry->key == entry->path) { // a section
        if (strcmp(entry->key, "preset") == 0)
            return LORAC_OK; // read before
        if (!is_section(entry->key))
            return refuse_section(layer, entry, error);
        if (entry->kind != LORAC_YAML_MAP && entry->kind != LORAC_YAML_NOTHING)
            return lorac_yaml_refuse(layer->place.name, entry->value_mark, error,
                                     "'%s' is a section: its keys stand below it, each as 'key: value'", entry->key);
        return LORAC_OK;
    }
    if (!split_path(entry->path, section, &name))
        return refuse_section(layer, entry, error);
    const struct lorac_recipe_key *key = lorac_recipe_key_find(section, name);
    if (!key && strchr(name, '[')) // a member of a list, which its key has read
        return LORAC_OK;
    if (!key)
        return refuse_key(layer, section, entry, error);
    LORAC_TRY(lorac_recipe_value_read(layer->recipe->arena, &layer->place, layer->yaml, index, key, &value, error));
    if (value.count == 0)
        return LORAC_OK;
    value.layer = layer->recipe->layers;
    LORAC_TRY(make_origin(layer, entry, &value.origin, error));
    return add_value(layer->recipe, &value, error);
}

static enum lorac_status add_layer(struct layer *layer, struct lorac_error *error)
{
    for (size_t i = 0; i < layer->yaml->count; i++)
        LORAC_TRY(add_entry(layer, i, error));
    layer->recipe->layers++;
    return LORAC_OK;
}

// ---- presets

static enum lorac_status refuse_preset(const char *place, struct lorac_yaml_mark mark, const char *name,
                                       struct lorac_error *error)
{
    char all[256] = "";
    const char *nearest = lorac_recipe_preset_nearest(name);
    for (size_t i = 0; lorac_recipe_presets[i].name; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", lorac_recipe_presets[i].name);
    if (nearest)
        return lorac_yaml_refuse(place, mark, error, "unknown preset '%s', did you mean '%s'?", name, nearest);
    return lorac_yaml_refuse(place, mark, error, "unknown preset '%s': there are %s", name, all);
}

static enum lorac_status add_preset(struct lorac_recipe *recipe, const struct lorac_recipe_preset *preset,
                                    struct lorac_error *error)
{
    struct lorac_yaml yaml;
    char origin[64], name[64];
    snprintf(origin, sizeof origin, "of preset '%s'", preset->name);
    snprintf(name, sizeof name, "preset '%s'", preset->name);
    struct layer layer = {recipe, {name, ""}, origin, &yaml};
    LORAC_TRY(lorac_yaml_parse(name, preset->yaml, strlen(preset->yaml), &yaml, error));
    enum lorac_status status = add_layer(&layer, error);
    lorac_yaml_clear(&yaml);
    return status;
}

static enum lorac_status add_given_presets(struct lorac_recipe *recipe, const struct lorac_texts *presets,
                                           struct lorac_error *error)
{
    const struct lorac_yaml_mark nowhere = {0, 0};
    for (size_t i = 0; i < presets->count; i++) {
        const struct lorac_recipe_preset *preset = lorac_recipe_preset_find(presets->values[i]);
        if (!preset)
            return lorac_error_prefix(error, refuse_preset(NULL, nowhere, presets->values[i], error), "--preset: ");
        LORAC_TRY(add_preset(recipe, preset, error));
    }
    return LORAC_OK;
}

static const struct lorac_yaml_entry *find_entry(const struct lorac_yaml *yaml, const char *path)
{
    for (size_t i = 0; i < yaml->count; i++)
        if (strcmp(yaml->entries[i].path, path) == 0)
            return &yaml->entries[i];
    return NULL;
}

// "preset: paper", or a list of several. Names are checked also where the command line's presets count; then nothing is
// added.
static enum lorac_status add_named_presets(struct lorac_recipe *recipe, const char *place,
                                           const struct lorac_yaml *yaml, bool replaced, struct lorac_error *error)
{
    const struct lorac_yaml_entry *entry = find_entry(yaml, "preset");
    if (!entry)
        return LORAC_OK;
    if ((entry->kind != LORAC_YAML_TEXT && entry->kind != LORAC_YAML_LIST) || entry->count == 0)
        return lorac_yaml_refuse(place, entry->kind == LORAC_YAML_NOTHING ? entry->mark : entry->value_mark, error,
                                 "'preset' takes a name, or a list of names");
    for (size_t i = 0; i < entry->count; i++) {
        const struct lorac_recipe_preset *preset = lorac_recipe_preset_find(entry->texts[i].text);
        if (!preset)
            return refuse_preset(place, entry->texts[i].mark, entry->texts[i].text, error);
        if (!replaced)
            LORAC_TRY(add_preset(recipe, preset, error));
    }
    return LORAC_OK;
}

// ---- the file, and what is set over it

static enum lorac_status add_file(struct lorac_recipe *recipe, const struct lorac_recipe_request *request,
                                  struct lorac_error *error)
{
    char *bytes = NULL, *folder = NULL;
    size_t byte_count;
    struct lorac_yaml yaml = {0};
    enum lorac_status status;
    const char *slash = strrchr(request->path, '/');
    size_t length = slash ? (size_t)(slash - request->path) + 1 : 0;
    folder = lorac_arena_alloc(recipe->arena, length + 1);
    if (!folder)
        return out_of_memory(error);
    memcpy(folder, request->path, length);
    struct layer layer = {recipe, {request->path, folder}, NULL, &yaml};
    LORAC_TRY(lorac_yaml_read_file(request->path, &bytes, &byte_count, error));
    status = lorac_yaml_parse(request->path, bytes, byte_count, &yaml, error);
    if (status == LORAC_OK && yaml.count == 0)
        status = lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                 "'%s' says nothing: lorac-onnx recipe --template shows what a recipe can say",
                                 request->path);
    if (status == LORAC_OK)
        status = add_named_presets(recipe, request->path, &yaml, request->presets.count > 0, error);
    if (status == LORAC_OK)
        status = add_layer(&layer, error);
    lorac_yaml_clear(&yaml);
    free(bytes);
    return status;
}

// "train.lr=0.1", read as the line "lr: 0.1" of the section "train:".
static enum lorac_status add_setting(struct lorac_recipe *recipe, const char *setting, struct lorac_error *error)
{
    char section[LORAC_RECIPE_PATH_TEXT];
    const char *key, *equals = strchr(setting, '=');
    struct lorac_yaml yaml;
    if (!equals || !split_path(setting, section, &key) || key > equals)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "must be SECTION.KEY=VALUE, as train.lr=0.1");
    if (strpbrk(setting, "\r\n"))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "has more than one line");
    size_t bytes = strlen(setting) + 16;
    char *text = lorac_arena_alloc(recipe->arena, bytes);
    if (!text)
        return out_of_memory(error);
    snprintf(text, bytes, "%s:\n  %.*s: %s\n", section, (int)(equals - key), key, equals + 1);
    struct layer layer = {recipe, {NULL, ""}, "of --set", &yaml};
    LORAC_TRY(lorac_yaml_parse(NULL, text, strlen(text), &yaml, error));
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < yaml.count && status == LORAC_OK; i++)
        status = add_entry(&layer, i, error);
    lorac_yaml_clear(&yaml);
    return status;
}

static enum lorac_status add_settings(struct lorac_recipe *recipe, const struct lorac_texts *settings,
                                      struct lorac_error *error)
{
    for (size_t i = 0; i < settings->count; i++)
        LORAC_TRY(lorac_error_prefix(error, add_setting(recipe, settings->values[i], error), "--set %s: ",
                                     settings->values[i]));
    recipe->layers++;
    return LORAC_OK;
}

// The files between the steps have names beside the result's: "plain.onnx" has "plain.injected.onnx".
static enum lorac_status derive_outputs(struct lorac_recipe *recipe, struct lorac_error *error)
{
    static const char *const names[] = {"injected", "trained"};
    const struct lorac_recipe_value *merged =
        lorac_recipe_value_of(recipe, lorac_recipe_key_find("output", "merged"), SIZE_MAX);
    if (!merged)
        return LORAC_OK;
    const char *path = merged->texts[0];
    size_t length = strlen(path), layer = merged->layer;
    if (length > 5 && strcmp(path + length - 5, ".onnx") == 0)
        length -= 5;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct lorac_recipe_key *key = lorac_recipe_key_find("output", names[i]);
        if (lorac_recipe_value_of(recipe, key, SIZE_MAX))
            continue;
        size_t bytes = length + strlen(names[i]) + sizeof "..onnx";
        char *text = lorac_arena_alloc(recipe->arena, bytes);
        const char **texts = lorac_arena_alloc_array(recipe->arena, 1, sizeof *texts);
        if (!text || !texts)
            return out_of_memory(error);
        snprintf(text, bytes, "%.*s.%s.onnx", (int)length, path, names[i]);
        texts[0] = text;
        const struct lorac_recipe_value value = {key, layer, "by output.merged of the recipe", 1, texts};
        LORAC_TRY(add_value(recipe, &value, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_recipe_open(const struct lorac_recipe_request *request, struct lorac_recipe **out,
                                    struct lorac_error *error)
{
    struct lorac_recipe *recipe = calloc(1, sizeof *recipe);
    enum lorac_status status;
    if (recipe)
        recipe->arena = lorac_arena_create();
    if (!recipe || !recipe->arena) {
        lorac_recipe_close(recipe);
        return out_of_memory(error);
    }
    LORAC_TRY_GOTO(status, add_given_presets(recipe, &request->presets, error), failed);
    if (request->path)
        LORAC_TRY_GOTO(status, add_file(recipe, request, error), failed);
    LORAC_TRY_GOTO(status, add_settings(recipe, &request->settings, error), failed);
    LORAC_TRY_GOTO(status, derive_outputs(recipe, error), failed);
    *out = recipe;
    return LORAC_OK;
failed:
    lorac_recipe_close(recipe);
    return status;
}

void lorac_recipe_close(struct lorac_recipe *recipe)
{
    if (!recipe)
        return;
    lorac_arena_free(recipe->arena);
    free(recipe->values);
    free(recipe);
}
