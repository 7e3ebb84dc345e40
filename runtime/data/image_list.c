#include "image_list_build.h"

#include "proto/size.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum {
    FIRST_CAPACITY = 256,
    NAMES_TEXT_BYTES = 400, // of the known classes, in a message
    LONGEST_COMPARED = 64,  // bytes of a name that is compared for the nearest
};

// ---- names

static bool ends_with(const char *name, const char *ending)
{
    const size_t length = strlen(name), ending_length = strlen(ending);
    return length > ending_length && strcasecmp(name + length - ending_length, ending) == 0;
}

bool lorac_image_list_is_picture(const char *name)
{
    return ends_with(name, ".jpg") || ends_with(name, ".jpeg") || ends_with(name, ".png");
}

static bool is_csv(const char *path)
{
    return ends_with(path, ".csv") || ends_with(path, ".tsv") || ends_with(path, ".csv.gz") ||
           ends_with(path, ".tsv.gz");
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

bool lorac_image_list_is(const char *path)
{
    return is_folder(path) || is_csv(path);
}

int lorac_image_list_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Letters to change, insert or leave out to make one name the other (Levenshtein), in any case of letters.
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST_COMPARED + 1];
    const size_t a_length = least(strlen(a), LONGEST_COMPARED), b_length = least(strlen(b), LONGEST_COMPARED);
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            const size_t changed = diagonal + (strncasecmp(a + i - 1, b + j - 1, 1) != 0);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

// NULL: where more than half of the letters differ, it is no misspelling.
static const char *nearest(const struct lorac_class_names *known, const char *name)
{
    size_t best = (strlen(name) + 1) / 2 + 1;
    const char *found = NULL;
    for (size_t i = 0; i < known->count; i++) {
        const size_t d = distance(name, known->names[i]);
        if (d < best) {
            best = d;
            found = known->names[i];
        }
    }
    return found;
}

static void list_names(const struct lorac_class_names *known, char text[NAMES_TEXT_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < known->count; i++) {
        const size_t wanted = strlen(known->names[i]) + 2;
        if (used + wanted + 5 >= NAMES_TEXT_BYTES) {
            snprintf(text + used, NAMES_TEXT_BYTES - used, ", ...");
            return;
        }
        used += (size_t)snprintf(text + used, NAMES_TEXT_BYTES - used, "%s%s", i > 0 ? ", " : "", known->names[i]);
    }
}

enum lorac_status lorac_image_list_find_known(const struct lorac_class_names *known, const char *name, int32_t *label,
                                              struct lorac_error *error)
{
    size_t found = 0;
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->names[i], name) == 0) {
            *label = (int32_t)i;
            found++;
        }
    if (found == 1)
        return LORAC_OK;
    if (found > 1)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "%zu classes of the model are called '%s': give numbers, in a .csv of path,label", found,
                               name);
    char names[NAMES_TEXT_BYTES];
    list_names(known, names);
    const char *near = nearest(known, name);
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "no class of the model is called '%s'%s%s%s. The model's %zu classes: %s", name,
                           near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "", known->count, names);
}

// ---- building

enum lorac_status lorac_image_list_no_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory listing pictures");
}

static bool grow(void **block, size_t count, size_t bytes_each)
{
    size_t bytes;
    void *larger = lorac_size_multiply(count, bytes_each, &bytes) ? realloc(*block, bytes) : NULL;
    if (larger)
        *block = larger;
    return larger != NULL;
}

enum lorac_status lorac_image_list_add(struct lorac_image_list_build *build, char *path, int32_t label,
                                       struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    if (list->count == build->capacity) {
        const size_t capacity = build->capacity > 0 ? build->capacity * 2 : FIRST_CAPACITY;
        void *paths = list->paths, *labels = list->labels;
        const bool grown = grow(&paths, capacity, sizeof *list->paths) && grow(&labels, capacity, sizeof *list->labels);
        list->paths = paths;
        list->labels = labels;
        if (!grown)
            return lorac_image_list_no_memory(error);
        build->capacity = capacity;
    }
    list->paths[list->count] = path;
    list->labels[list->count++] = label;
    return LORAC_OK;
}

char *lorac_image_list_join(struct lorac_image_list_build *build, const char *folder, size_t folder_bytes,
                            const char *name)
{
    const size_t name_bytes = strlen(name) + 1;
    const bool slash = folder_bytes > 0 && folder[folder_bytes - 1] != '/';
    char *joined = lorac_arena_alloc(build->list.arena, folder_bytes + slash + name_bytes);
    if (!joined)
        return NULL;
    memcpy(joined, folder, folder_bytes);
    if (slash)
        joined[folder_bytes] = '/';
    memcpy(joined + folder_bytes + slash, name, name_bytes);
    return joined;
}

enum lorac_status lorac_image_list_set_classes(struct lorac_image_list_build *build, const char *const *names,
                                               size_t count, struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    list->class_names = lorac_arena_alloc_array(list->arena, count, sizeof *list->class_names);
    for (size_t i = 0; list->class_names && i < count; i++) {
        list->class_names[i] = lorac_arena_strdup(list->arena, names[i]);
        if (!list->class_names[i])
            return lorac_image_list_no_memory(error);
    }
    if (!list->class_names)
        return lorac_image_list_no_memory(error);
    list->class_count = count;
    return LORAC_OK;
}

// ---- life cycle

// What was asked for in advance and not needed goes back.
static void trim(struct lorac_image_list *list)
{
    void *paths = list->paths, *labels = list->labels;
    (void)grow(&paths, list->count, sizeof *list->paths);
    if (labels)
        (void)grow(&labels, list->count, sizeof *list->labels);
    list->paths = paths;
    list->labels = labels;
}

enum lorac_status lorac_image_list_open(const char *path, const struct lorac_class_names *known,
                                        struct lorac_image_list *out, struct lorac_error *error)
{
    struct lorac_image_list_build build = {.list.arena = lorac_arena_create(),
                                           .known = known && known->count > 0 ? known : NULL};
    assert(!known || known->count <= INT32_MAX);
    enum lorac_status status = build.list.arena ? LORAC_OK : lorac_image_list_no_memory(error);
    if (status == LORAC_OK)
        status = is_folder(path) ? lorac_class_folders_read(&build, path, error) : lorac_csv_read(&build, path, error);
    if (status != LORAC_OK) {
        lorac_image_list_clear(&build.list);
        return status;
    }
    trim(&build.list);
    *out = build.list;
    return LORAC_OK;
}

void lorac_image_list_clear(struct lorac_image_list *list)
{
    free(list->paths);
    free(list->labels);
    lorac_arena_free(list->arena);
    *list = (struct lorac_image_list){0};
}
