// A folder of class folders, or of pictures.
#define _DEFAULT_SOURCE // d_type
#include "image_list_build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// The folders from the set's down to the one that is read, to see links that lead back.
struct level {
    const struct level *above;
    dev_t device;
    ino_t inode;
};

enum entry_kind { ENTRY_FOLDER, ENTRY_FILE, ENTRY_NONE };

struct names {
    char **at;
    size_t count, capacity;
};

static enum lorac_status add_name(struct names *names, char *name, struct lorac_error *error)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity > 0 ? names->capacity * 2 : 16;
        char **larger = realloc(names->at, capacity * sizeof *larger);
        if (!larger)
            return lorac_image_list_no_memory(error);
        names->at = larger;
        names->capacity = capacity;
    }
    names->at[names->count++] = name;
    return LORAC_OK;
}

// The kind of what a link leads to. A link that leads nowhere is a file: reading it will say so.
static enum entry_kind kind_of(DIR *folder, const struct dirent *entry)
{
#ifdef DT_REG
    if (entry->d_type == DT_REG)
        return ENTRY_FILE;
    if (entry->d_type == DT_DIR)
        return ENTRY_FOLDER;
#endif
    struct stat about;
    if (fstatat(dirfd(folder), entry->d_name, &about, 0) != 0)
        return ENTRY_FILE;
    return S_ISDIR(about.st_mode) ? ENTRY_FOLDER : S_ISREG(about.st_mode) ? ENTRY_FILE : ENTRY_NONE;
}

static enum lorac_status open_folder(const char *path, const struct level *above, DIR **out, struct level *level,
                                     struct lorac_error *error)
{
    DIR *folder = opendir(path);
    struct stat about;
    if (!folder || fstat(dirfd(folder), &about) != 0) {
        const int code = errno;
        if (folder)
            closedir(folder);
        return lorac_error_set(error, LORAC_ERROR_IO, "'%s': cannot read the folder: %s", path, strerror(code));
    }
    *level = (struct level){above, about.st_dev, about.st_ino};
    for (; above; above = above->above)
        if (above->device == level->device && above->inode == level->inode) {
            closedir(folder);
            return lorac_error_set(error, LORAC_ERROR_FORMAT,
                                   "'%s': the link leads back to a folder above it; remove it", path);
        }
    *out = folder;
    return LORAC_OK;
}

static void note_other(struct lorac_image_list *list, char *path)
{
    if (list->other_count++ == 0)
        list->first_other = path;
}

// One entry of the folder [path]: a picture is added with the label, a folder goes to [folders].
static enum lorac_status take_entry(struct lorac_image_list_build *build, const char *path, DIR *folder,
                                    const struct dirent *entry, struct names *folders, struct lorac_error *error)
{
    const enum entry_kind kind = kind_of(folder, entry);
    const bool picture = kind == ENTRY_FILE && lorac_image_list_is_picture(entry->d_name);
    if (!picture && kind != ENTRY_FOLDER && build->list.other_count > 0) {
        build->list.other_count++; // only the first needs a name
        return LORAC_OK;
    }
    char *joined = lorac_image_list_join(build, path, strlen(path), entry->d_name);
    if (!joined)
        return lorac_image_list_no_memory(error);
    if (kind == ENTRY_FOLDER)
        return add_name(folders, joined, error);
    if (picture)
        return lorac_image_list_add(build, joined, 0, error);
    note_other(&build->list, joined);
    return LORAC_OK;
}

// The pictures that lie in a folder itself are added; its folders are given back sorted, to be freed by the caller.
static enum lorac_status read_folder(struct lorac_image_list_build *build, const char *path, const struct level *above,
                                     struct level *level, struct names *folders, struct lorac_error *error)
{
    DIR *folder = NULL;
    LORAC_TRY(open_folder(path, above, &folder, level, error));
    enum lorac_status status = LORAC_OK;
    while (status == LORAC_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry)
            break;
        if (entry->d_name[0] != '.')
            status = take_entry(build, path, folder, entry, folders, error);
    }
    if (status == LORAC_OK && errno != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "'%s': cannot read the folder: %s", path, strerror(errno));
    closedir(folder);
    if (status == LORAC_OK && folders->count > 0)
        qsort(folders->at, folders->count, sizeof *folders->at, lorac_image_list_compare);
    return status;
}

// All pictures below a folder. *direct counts those that lie in it itself.
static enum lorac_status read_below(struct lorac_image_list_build *build, const char *path, const struct level *above,
                                    size_t *direct, struct lorac_error *error)
{
    struct names folders = {0};
    struct level level;
    const size_t before = build->list.count;
    enum lorac_status status = read_folder(build, path, above, &level, &folders, error);
    *direct = build->list.count - before;
    for (size_t i = 0; status == LORAC_OK && i < folders.count; i++) {
        size_t deeper;
        status = read_below(build, folders.at[i], &level, &deeper, error);
    }
    free(folders.at);
    return status;
}

static const char *last_part(const char *path)
{
    return strrchr(path, '/') + 1; // joined with one
}

// *direct grows by the pictures that lie in the class folder itself.
static enum lorac_status read_class(struct lorac_image_list_build *build, const char *path, const struct level *above,
                                    size_t number, size_t *direct, struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    const size_t begin = list->count;
    size_t here;
    LORAC_TRY(read_below(build, path, above, &here, error));
    *direct += here;
    if (list->count == begin) {
        if (list->empty_count++ == 0)
            list->first_empty = path;
        return LORAC_OK; // whatever it is called
    }
    int32_t label = (int32_t)number;
    if (build->known)
        LORAC_TRY(lorac_error_prefix(
            error, lorac_image_list_find_known(build->known, last_part(path), &label, error), "'%s': ", path));
    qsort(list->paths + begin, list->count - begin, sizeof *list->paths, lorac_image_list_compare);
    for (size_t i = begin; i < list->count; i++)
        list->labels[i] = label;
    return LORAC_OK;
}

// By class, then by path: known classes may have other numbers than their folders' order.
static enum lorac_status sort_by_label(struct lorac_image_list_build *build, struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    size_t *starts = calloc(list->class_count + 1, sizeof *starts);
    char **paths = malloc(build->capacity * sizeof *paths);
    int32_t *labels = malloc(build->capacity * sizeof *labels);
    enum lorac_status status = starts && paths && labels ? LORAC_OK : lorac_image_list_no_memory(error);
    if (status == LORAC_OK) {
        for (size_t i = 0; i < list->count; i++)
            starts[list->labels[i] + 1]++;
        for (size_t c = 0; c < list->class_count; c++)
            starts[c + 1] += starts[c];
        for (size_t i = 0; i < list->count; i++) {
            const size_t at = starts[list->labels[i]]++;
            paths[at] = list->paths[i];
            labels[at] = list->labels[i];
        }
        char **old_paths = list->paths;
        int32_t *old_labels = list->labels;
        list->paths = paths;
        list->labels = labels;
        paths = old_paths;
        labels = old_labels;
    }
    free(starts);
    free(paths);
    free(labels);
    return status;
}

static enum lorac_status read_classes(struct lorac_image_list_build *build, const char *path,
                                      const struct names *folders, const struct level *level, struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    // Pictures beside class folders have no class.
    if (list->count > 0 && list->other_count == 0)
        list->first_other = list->paths[0];
    list->other_count += list->count;
    list->count = 0;
    size_t direct = 0;
    if (folders->count > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "'%s' holds %zu class folders", path, folders->count);
    for (size_t i = 0; i < folders->count; i++)
        LORAC_TRY(read_class(build, folders->at[i], level, i, &direct, error));
    if (direct == 0 && list->count > 0 && !build->known)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "'%s' holds folders of folders of pictures, and which of them are the classes is not "
                               "clear: give the folder that holds the class folders ('%s'?)",
                               path, folders->at[0]);
    if (build->known) {
        LORAC_TRY(lorac_image_list_set_classes(build, build->known->names, build->known->count, error));
        return list->count > 0 ? sort_by_label(build, error) : LORAC_OK;
    }
    // The names in place of the paths; the paths are the arena's.
    for (size_t i = 0; i < folders->count; i++)
        folders->at[i] = strrchr(folders->at[i], '/') + 1;
    return lorac_image_list_set_classes(build, (const char *const *)folders->at, folders->count, error);
}

static enum lorac_status no_pictures(const struct lorac_image_list *list, const char *path, size_t folder_count,
                                     struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "'%s' holds no pictures (.jpg, .jpeg or .png): %zu folders, %zu other files%s%s%s", path,
                           folder_count, list->other_count, list->other_count > 0 ? ", the first '" : "",
                           list->other_count > 0 ? list->first_other : "", list->other_count > 0 ? "'" : "");
}

enum lorac_status lorac_class_folders_read(struct lorac_image_list_build *build, const char *path,
                                           struct lorac_error *error)
{
    struct lorac_image_list *list = &build->list;
    struct names folders = {0};
    struct level level;
    enum lorac_status status = read_folder(build, path, NULL, &level, &folders, error);
    if (status == LORAC_OK && list->count > 0)
        qsort(list->paths, list->count, sizeof *list->paths, lorac_image_list_compare);
    const bool classes = folders.count > 0;
    if (status == LORAC_OK && classes)
        status = read_classes(build, path, &folders, &level, error);
    if (status == LORAC_OK && list->count == 0)
        status = no_pictures(list, path, folders.count, error);
    if (status == LORAC_OK && !classes) {
        free(list->labels);
        list->labels = NULL;
    }
    free(folders.at);
    return status;
}
