#include "adapter_json.h"

#include <stdlib.h>

static enum lorac_status out_of_memory(const char *key, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "metadata '%s': out of memory", key);
}

enum lorac_status lorac_json_parse(const char *key, const char *text, json_t **out, struct lorac_error *error)
{
    json_error_t where;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!value)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' is not valid JSON: %s (line %d, column %d)",
                               key, where.text, where.line, where.column);
    *out = value;
    return LORAC_OK;
}

// Does [text] give back every number of [value]?
static bool reads_back(const json_t *value, const char *text)
{
    json_t *again = json_loads(text, 0, NULL);
    bool equal = again && json_equal(value, again);
    json_decref(again);
    return equal;
}

enum lorac_status lorac_json_print(const char *key, const json_t *value, char **text, struct lorac_error *error)
{
    enum { FEWEST_DIGITS = 15, ENOUGH_DIGITS = 17 }; // 17 decide a double; 15 keep 0.485 as the user typed it
    for (size_t digits = FEWEST_DIGITS; digits <= ENOUGH_DIGITS; digits++) {
        char *printed = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(digits));
        if (!printed)
            return out_of_memory(key, error);
        if (digits == ENOUGH_DIGITS || reads_back(value, printed)) {
            *text = printed;
            break;
        }
        free(printed);
    }
    return LORAC_OK;
}

enum lorac_status lorac_json_append(const char *key, json_t *array, json_t *value, struct lorac_error *error)
{
    return json_array_append_new(array, value) == 0 ? LORAC_OK : out_of_memory(key, error);
}

enum lorac_status lorac_json_set(const char *key, json_t *object, const char *member, json_t *value,
                                 struct lorac_error *error)
{
    return json_object_set_new(object, member, value) == 0 ? LORAC_OK : out_of_memory(key, error);
}

// jansson gives NULL for both reasons; a second look tells them apart.
static enum lorac_status make_string(const char *key, const char *text, json_t **out, struct lorac_error *error)
{
    *out = json_string(text);
    if (*out)
        return LORAC_OK;
    json_t *unchecked = json_string_nocheck(text);
    if (!unchecked)
        return out_of_memory(key, error);
    json_decref(unchecked);
    return lorac_error_set(error, LORAC_ERROR_FORMAT,
                           "metadata '%s': the name '%s' is not UTF-8 and cannot be written as JSON; rename it", key,
                           text);
}

enum lorac_status lorac_json_check_text(const char *key, const char *text, struct lorac_error *error)
{
    json_t *string;
    LORAC_TRY(make_string(key, text, &string, error));
    json_decref(string);
    return LORAC_OK;
}

enum lorac_status lorac_json_append_string(const char *key, json_t *array, const char *text, struct lorac_error *error)
{
    json_t *string;
    LORAC_TRY(make_string(key, text, &string, error));
    return lorac_json_append(key, array, string, error);
}

enum lorac_status lorac_json_set_string(const char *key, json_t *object, const char *member, const char *text,
                                        struct lorac_error *error)
{
    json_t *string;
    LORAC_TRY(make_string(key, text, &string, error));
    return lorac_json_set(key, object, member, string, error);
}

static enum lorac_status copy_names(struct lorac_arena *arena, const char *key, const json_t *array,
                                    const char ***names, struct lorac_error *error)
{
    if (!json_is_array(array))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' must be a JSON array of strings", key);
    size_t count = json_array_size(array);
    const char **list = lorac_arena_alloc_array(arena, count, sizeof *list);
    if (!list)
        return out_of_memory(key, error);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || !*text)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s': entry %zu must be a string, not empty",
                                   key, i);
        list[i] = lorac_arena_strdup(arena, text);
        if (!list[i])
            return out_of_memory(key, error);
    }
    *names = list;
    return LORAC_OK;
}

enum lorac_status lorac_json_read_names(struct lorac_arena *arena, const char *key, const char *text, size_t *count,
                                        const char ***names, struct lorac_error *error)
{
    json_t *array;
    LORAC_TRY(lorac_json_parse(key, text, &array, error));
    enum lorac_status status = copy_names(arena, key, array, names, error);
    if (status == LORAC_OK)
        *count = json_array_size(array);
    json_decref(array);
    return status;
}

enum lorac_status lorac_json_print_names(const char *key, size_t count, const char *const *names, char **text,
                                         struct lorac_error *error)
{
    json_t *array = json_array();
    if (!array)
        return out_of_memory(key, error);
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < count && status == LORAC_OK; i++)
        status = lorac_json_append_string(key, array, names[i], error);
    if (status == LORAC_OK)
        status = lorac_json_print(key, array, text, error);
    json_decref(array);
    return status;
}
