#include "tune_cache.h"

#include "proto/file_writer.h"
#include "proto/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT "lorac-onnx tune cache"
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

// How the writer begins, so that a file whose rest is damaged is known. [file] is at its beginning, and left there.
static bool begins_as_ours(FILE *file)
{
    static const char *const tokens[] = {"{", "\"format\"", ":", "\"" FORMAT "\""};
    char text[256];
    const char *at = text;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    rewind(file);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        at += strspn(at, " \t\r\n");
        if (strncmp(at, tokens[i], strlen(tokens[i])) != 0)
            return false;
        at += strlen(tokens[i]);
    }
    return true;
}

static bool has_our_format(const json_t *root)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    return format && strcmp(format, FORMAT) == 0;
}

static bool has_our_version(const json_t *root)
{
    const json_t *version = json_object_get(root, "version");
    return json_is_integer(version) && json_integer_value(version) == VERSION &&
           json_is_object(json_object_get(root, "choices"));
}

// *root is NULL on failure. Errors: as lorac_tune_cache_read.
static enum lorac_status parse(const char *path, FILE *file, json_t **root, struct lorac_error *error)
{
    json_error_t why;
    const bool begins = begins_as_ours(file);
    json_t *read = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    enum lorac_status status = LORAC_OK;
    if (!begins && !has_our_format(read))
        status = lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                 "'%s' is another kind of file, no tune cache: it is left as it is", path);
    else if (!read)
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' line %d: %s", path, why.line, why.text);
    else if (!has_our_format(read) || !has_our_version(read))
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' is no tune cache of version %d", path, (int)VERSION);
    if (status != LORAC_OK)
        json_decref(read);
    *root = status == LORAC_OK ? read : NULL;
    return status;
}

// *root is NULL where there is no file, or an empty one.
static enum lorac_status load(const char *path, json_t **root, struct lorac_error *error)
{
    struct stat info;
    *root = NULL;
    if (stat(path, &info) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? LORAC_OK
                   : lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) // opening a FIFO would wait
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s' is not an ordinary file", path);
    if (info.st_size == 0)
        return LORAC_OK;
    FILE *file = fopen(path, "rb");
    if (!file)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    enum lorac_status status = parse(path, file, root, error);
    fclose(file);
    return status;
}

enum lorac_status lorac_tune_cache_check(const char *path, struct lorac_error *error)
{
    struct lorac_replacement replacement;
    json_t *root;
    enum lorac_status status = load(path, &root, error);
    json_decref(root);
    if (status != LORAC_OK && status != LORAC_ERROR_FORMAT)
        return status;
    LORAC_TRY(lorac_replacement_open(path, &replacement, error));
    lorac_replacement_close(&replacement);
    return LORAC_OK;
}

// "" where the member is not there; NULL where it is no text.
static const char *text_of(const json_t *row, const char *member)
{
    const json_t *value = json_object_get(row, member);
    return value ? json_string_value(value) : "";
}

// False for what can be no row of ours.
static bool read_row(const char *key, const json_t *row, struct lorac_choice *out)
{
    *out = (struct lorac_choice){.key = key,
                                 .forward = json_string_value(json_object_get(row, "forward")),
                                 .gradient = text_of(row, "gradient"),
                                 .form = text_of(row, "form")};
    return out->forward && out->gradient && out->form;
}

enum lorac_status lorac_tune_cache_read(struct lorac_tune_cache *cache, struct lorac_error *error)
{
    const char *key;
    json_t *value;
    if (!cache->path)
        return lorac_error_set(error, LORAC_ERROR_IO,
                               "neither XDG_CACHE_HOME nor HOME names a folder; give --tune-cache FILE");
    LORAC_TRY(load(cache->path, &cache->root, error));
    json_t *choices = json_object_get(cache->root, "choices");
    cache->choices = calloc(json_object_size(choices) + 1, sizeof *cache->choices);
    if (!cache->choices)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for '%s'", cache->path);
    json_object_foreach(choices, key, value)
        cache->count += read_row(key, value, &cache->choices[cache->count]);
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

// The text of the file, malloc'ed: [old] (NULL: nothing) and what was measured. The format comes first, which
// begins_as_ours looks for. NULL where memory ran out.
static char *merged_text(json_t *old, const struct lorac_net *net)
{
    char *text = NULL;
    json_t *root = json_pack("{s:s, s:i}", "format", FORMAT, "version", (int)VERSION);
    if (root && (!old || json_object_update_missing(root, old) == 0) &&
        (old || json_object_set_new(root, "choices", json_object()) == 0) &&
        add_measured(json_object_get(root, "choices"), net))
        text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

enum lorac_status lorac_tune_cache_write(const struct lorac_tune_cache *cache, const struct lorac_net *net,
                                         struct lorac_error *error)
{
    json_t *old;
    if (cache->is_own)
        make_folders(cache->path);
    enum lorac_status status = load(cache->path, &old, error); // as it is now
    if (status != LORAC_OK && status != LORAC_ERROR_FORMAT)
        return status;
    char *text = merged_text(old, net);
    json_decref(old);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for '%s'", cache->path);
    status = lorac_file_write(cache->path, text, strlen(text), error);
    free(text);
    return status;
}
