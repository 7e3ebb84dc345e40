#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct lorac_log_key keys[] = {
#define LORAC_LOG_KEY(event, key, type, presence, meaning)                                                             \
    {event, key, LORAC_LOG_##type, LORAC_LOG_##presence, meaning},
#include "log_key_list.h"
#undef LORAC_LOG_KEY
};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

// ---- the promise

static bool has_type(const json_t *value, enum lorac_log_type type)
{
    switch (type) {
    case LORAC_LOG_TEXT:
        return json_is_string(value) || json_is_null(value);
    case LORAC_LOG_INTEGER:
        return json_is_integer(value);
    case LORAC_LOG_NUMBER: // null where it is not finite
        return json_is_number(value) || json_is_null(value);
    case LORAC_LOG_LIST:
        return json_is_array(value);
    case LORAC_LOG_OBJECT:
        return json_is_object(value);
    }
    return false;
}

// The keys of [object], which is [prefix] of the event's line ("", "validation.", "convolutions[]."), are those of the
// list, and those that must be there are.
static bool is_listed(const char *event, const char *prefix, json_t *object)
{
    const size_t length = strlen(prefix);
    size_t found = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *key = keys[i].key + length;
        if (strcmp(keys[i].event, event) != 0 || strncmp(keys[i].key, prefix, length) != 0 || strpbrk(key, ".["))
            continue;
        const json_t *value = json_object_get(object, key);
        if (value ? !has_type(value, keys[i].type) : keys[i].presence == LORAC_LOG_ALWAYS)
            return false;
        found += value != NULL;
    }
    return found == json_object_size(object);
}

static bool is_line(const char *event, json_t *members)
{
    json_t *row;
    size_t i;
    if (!is_listed(event, "", members))
        return false;
    if (json_object_get(members, "memory_budget") &&
        !is_listed(event, "memory_budget.", json_object_get(members, "memory_budget")))
        return false;
    if (json_object_get(members, "validation") && !is_listed(event, "validation.", json_object_get(members, "validation")))
        return false;
    json_array_foreach(json_object_get(members, "convolutions"), i, row) if (!is_listed(event, "convolutions[].", row))
        return false;
    return true;
}

// ---- the file

enum lorac_status lorac_log_open(struct lorac_log *log, const char *path, bool append, struct lorac_error *error)
{
    *log = (struct lorac_log){.path = path};
    if (path && !(log->file = fopen(path, append ? "a" : "w")))
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': cannot write it: %s", path, strerror(errno));
    return LORAC_OK;
}

enum lorac_status lorac_log_close(struct lorac_log *log, struct lorac_error *error)
{
    if (!log->file)
        return LORAC_OK;
    const bool failed = fclose(log->file) != 0 || log->failed;
    log->file = NULL;
    if (failed)
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': could not be written whole", log->path);
    return LORAC_OK;
}

void lorac_log_write(struct lorac_log *log, const char *event, json_t *members)
{
    if (!log->file || log->failed) {
        json_decref(members);
        return;
    }
    assert(!members || is_line(event, members));
    json_t *line = json_pack("{s:s}", "event", event);
    const bool made = line && members && json_object_update(line, members) == 0;
    char *text = made ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    json_decref(members);
    bool ok = text && fputs(text, log->file) >= 0 && fputc('\n', log->file) != EOF;
    ok = fflush(log->file) == 0 && ok;
    free(text);
    log->failed = !ok;
}

// ---- the list

void lorac_log_print_keys(FILE *file)
{
    static const char *const types[] = {"text", "integer", "number", "list", "object"};
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s.%s", keys[i].event, keys[i].key);
        fprintf(file, "  %-41s%-8s%s%s\n", name, types[keys[i].type], keys[i].presence == LORAC_LOG_ALWAYS ? "" : "? ",
                keys[i].meaning);
    }
}
