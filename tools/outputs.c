#include "outputs.h"

#include "paths.h"
#include "report.h"
#include "runtime/data/image_list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MOST_OUTPUTS = 8 };

struct output {
    const struct lorac_option *option;
    const char *path;
};

struct outputs {
    size_t count;
    struct output rows[MOST_OUTPUTS];
};

// Those that have a value.
static void list_outputs(const struct lorac_call *call, struct outputs *outputs)
{
    outputs->count = 0;
    for (struct lorac_option_row row = {0}; lorac_options_next(call->options.groups, &row);) {
        if (!row.option->writes)
            continue;
        const char *const *path = lorac_options_field(&call->options, &row);
        if (*path && outputs->count < MOST_OUTPUTS)
            outputs->rows[outputs->count++] = (struct output){row.option, *path};
    }
}

// "-o" or "--log".
enum { OPTION_TEXT = 64 };
static const char *option_text(const struct lorac_option *option, char text[OPTION_TEXT])
{
    if (option->letter)
        snprintf(text, OPTION_TEXT, "-%c", option->letter);
    else
        snprintf(text, OPTION_TEXT, "--%s", option->name);
    return text;
}

// ---- a set of images

// Those that exist, to know them by.
struct existing {
    const struct output *output;
    dev_t device;
    ino_t inode;
};

static enum lorac_status check_file(const struct existing *existing, size_t count, const char *data, const char *file,
                                    struct lorac_error *error)
{
    struct stat about;
    char option[OPTION_TEXT];
    if (stat(file, &about) != 0)
        return LORAC_OK; // whoever reads it says so
    for (size_t i = 0; i < count; i++)
        if (existing[i].device == about.st_dev && existing[i].inode == about.st_ino)
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s '%s' is '%s', one of the files of '%s': give another name",
                                   option_text(existing[i].output->option, option), existing[i].output->path, file, data);
    return LORAC_OK;
}

enum lorac_status lorac_outputs_check_set(const struct lorac_call *call, const char *data,
                                          const struct lorac_dataset *dataset, struct lorac_error *error)
{
    struct outputs outputs;
    struct existing existing[MOST_OUTPUTS];
    size_t count = 0;
    struct stat about;
    char option[OPTION_TEXT];
    const char *file;
    list_outputs(call, &outputs);
    for (size_t i = 0; i < outputs.count; i++) {
        const struct output *output = &outputs.rows[i];
        if (stat(output->path, &about) == 0)
            existing[count++] = (struct existing){output, about.st_dev, about.st_ino};
        else if (dataset->files && lorac_image_list_is_picture(output->path) && lorac_path_is_below(output->path, data))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "%s '%s' would be a picture of the set '%s' from now on: give another name",
                                   option_text(output->option, option), output->path, data);
    }
    for (size_t i = 0; count > 0 && (file = lorac_dataset_file(dataset, i)) != NULL; i++)
        LORAC_TRY(check_file(existing, count, data, file, error));
    return LORAC_OK;
}

// ---- checkpoints

enum lorac_status lorac_outputs_check_checkpoint(const struct lorac_call *call, const char *folder,
                                                 struct lorac_error *error)
{
    struct outputs outputs;
    char option[OPTION_TEXT];
    list_outputs(call, &outputs);
    for (size_t i = 0; i < outputs.count; i++)
        if (lorac_path_is_below(outputs.rows[i].path, folder))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "%s '%s' is in the folder of the checkpoints, '%s', which is for them alone: give "
                                   "another name",
                                   option_text(outputs.rows[i].option, option), outputs.rows[i].path, folder);
    return LORAC_OK;
}

enum lorac_status lorac_outputs_check_images(const char *folder_name, const char *folder, const char *set_name,
                                             const char *set, struct lorac_error *error)
{
    struct stat about;
    if (stat(set, &about) != 0 || !S_ISDIR(about.st_mode))
        return LORAC_OK;
    char *plain = strdup(folder); // without the slashes at its end
    if (!plain)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    for (size_t length = strlen(plain); length > 1 && plain[length - 1] == '/'; length--)
        plain[length - 1] = '\0';
    const bool is = lorac_path_same(plain, set) || lorac_path_is_below(plain, set);
    free(plain);
    return is ? lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                "%s '%s' would put checkpoints among the images of '%s' (%s): give another folder",
                                folder_name, folder, set, set_name)
              : LORAC_OK;
}

// ---- the recipe

enum lorac_status lorac_outputs_check_recipe(const struct lorac_call *call, const char *path, struct lorac_error *error)
{
    struct outputs outputs;
    char option[OPTION_TEXT];
    list_outputs(call, &outputs);
    for (size_t i = 0; i < outputs.count; i++)
        if (lorac_path_same(outputs.rows[i].path, path))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s '%s' is also an input, the recipe: give another name",
                                   option_text(outputs.rows[i].option, option), outputs.rows[i].path);
    return LORAC_OK;
}

// ---- room

enum lorac_status lorac_output_check_room(const char *option, const char *path, uint64_t bytes,
                                          struct lorac_error *error)
{
    struct statvfs about;
    char there[LORAC_BYTES_TEXT], needed[LORAC_BYTES_TEXT];
    char *folder = lorac_path_true_folder(path);
    const bool known = folder && statvfs(folder, &about) == 0 && about.f_blocks > 0;
    free(folder);
    if (!known)
        return LORAC_OK;
    // What is kept for root is there for root.
    const uint64_t blocks = geteuid() == 0 ? about.f_bfree : about.f_bavail;
    const uint64_t unit = about.f_frsize ? about.f_frsize : about.f_bsize;
    if (blocks > UINT64_MAX / unit || blocks * unit >= bytes)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_IO,
                           "%s '%s': %s are left there, and the output takes about %s (an old file is replaced only when "
                           "the new one is whole): make room, or give another place",
                           option, path, lorac_bytes_text((size_t)(blocks * unit), there),
                           lorac_bytes_text((size_t)bytes, needed));
}
