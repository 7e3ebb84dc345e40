#include "tune_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char FORMAT[] = "lorac-onnx tune cache";
enum { VERSION = 1 };

// ---- the path

static char *join(const char *folder, const char *rest)
{
    size_t bytes = strlen(folder) + strlen(rest) + 1;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s%s", folder, rest);
    return path;
}

// A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification).
enum lorac_status lorac_tune_cache_init(struct lorac_tune_cache *cache, const char *path, struct lorac_error *error)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *cache = (struct lorac_tune_cache){.is_own = !path};
    if (path)
        cache->path = join(path, "");
    else if (xdg && xdg[0] == '/')
        cache->path = join(xdg, "/lorac-onnx/tune.json");
    else if (home && home[0])
        cache->path = join(home, "/.cache/lorac-onnx/tune.json");
    else
        return LORAC_OK;
    return cache->path ? LORAC_OK : lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a path");
}

void lorac_tune_cache_clear(struct lorac_tune_cache *cache)
{
    json_decref(cache->root);
    free(cache->choices);
    free(cache->path);
    *cache = (struct lorac_tune_cache){0};
}

// Makes the folders on the way to the file. What fails shows when the file is written.
static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

// ---- reading

static bool is_ours(const json_t *root)
{
    const json_t *format = json_object_get(root, "format"), *version = json_object_get(root, "version");
    return format && json_is_string(format) && strcmp(json_string_value(format), FORMAT) == 0 &&
           json_is_integer(version) && json_integer_value(version) == VERSION &&
           json_is_object(json_object_get(root, "choices"));
}

// *root is NULL where there is no file.
static enum lorac_status load(const char *path, json_t **root, struct lorac_error *error)
{
    json_error_t why;
    *root = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return errno == ENOENT || errno == ENOTDIR
                   ? LORAC_OK
                   : lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    json_t *read = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    fclose(file);
    if (!read)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' line %d: %s", path, why.line, why.text);
    if (!is_ours(read)) {
        json_decref(read);
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' is no tune cache of version %d", path, (int)VERSION);
    }
    *root = read;
    return LORAC_OK;
}

enum lorac_status lorac_tune_cache_read(struct lorac_tune_cache *cache, struct lorac_error *error)
{
    const char *key;
    json_t *value;
    if (!cache->path)
        return LORAC_OK;
    LORAC_TRY(load(cache->path, &cache->root, error));
    json_t *choices = json_object_get(cache->root, "choices");
    cache->choices = calloc(json_object_size(choices) + 1, sizeof *cache->choices);
    if (!cache->choices)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for '%s'", cache->path);
    json_object_foreach(choices, key, value)
        cache->choices[cache->count++] =
            (struct lorac_choice){.key = key,
                                  .forward = json_string_value(json_object_get(value, "forward")),
                                  .gradient = json_string_value(json_object_get(value, "gradient")),
                                  .form = json_string_value(json_object_get(value, "form"))};
    return LORAC_OK;
}

// ---- writing

static bool set_text(json_t *object, const char *member, const char *text)
{
    return !text || json_object_set_new(object, member, json_string(text)) == 0;
}

static bool add_measured(json_t *choices, const struct lorac_net *net)
{
    struct lorac_convolution c;
    for (size_t i = 0; lorac_get_convolution(net, i, &c, NULL) == LORAC_OK; i++) {
        if (c.chosen != LORAC_CHOSEN_MEASURED)
            continue;
        json_t *row = json_object();
        if (json_object_set_new(choices, c.key, row) != 0 || !set_text(row, "forward", c.forward) ||
            !set_text(row, "gradient", c.gradient) || !set_text(row, "form", c.form))
            return false;
    }
    return true;
}

// What cannot be read is replaced: the reader said so.
static char *merged_text(const struct lorac_tune_cache *cache, const struct lorac_net *net)
{
    json_t *root = NULL;
    char *text = NULL;
    load(cache->path, &root, NULL);
    if (!root)
        root = json_pack("{s:s, s:i, s:{}}", "format", FORMAT, "version", (int)VERSION, "choices");
    if (root && add_measured(json_object_get(root, "choices"), net))
        text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(root);
    return text;
}

enum lorac_status lorac_tune_cache_write(const struct lorac_tune_cache *cache, const struct lorac_net *net,
                                         struct lorac_error *error)
{
    if (!cache->path)
        return lorac_error_set(error, LORAC_ERROR_IO,
                               "neither XDG_CACHE_HOME nor HOME names a folder; give --tune-cache FILE");
    if (cache->is_own)
        make_folders(cache->path);
    char *text = merged_text(cache, net);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for '%s'", cache->path);
    enum lorac_status status = lorac_file_write(cache->path, text, strlen(text), error);
    free(text);
    return status;
}
