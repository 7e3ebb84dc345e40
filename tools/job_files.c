#include "job_files.h"

#include "data_group.h"
#include "groups.h"
#include "outputs.h"
#include "paths.h"
#include "recipe_value.h"
#include "runtime/data/cifar_binary.h"
#include "runtime/data/image_list.h"
#include "train_checkpoint.h"
#include "train_validation.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 32, LABEL_TEXT = 320 };

struct file {
    const char *path;
    char label[LABEL_TEXT]; // "output.trained in job.yaml:7:3"
    bool model;             // a model that is written: it may have a data file
    bool folder;
};
struct files {
    struct file inputs[FILES_MAX], outputs[FILES_MAX];
    size_t input_count, output_count;
};

// ---- names

// Is [path] a name that the data file of the model [output] may get: OUT.onnx.data, OUT.onnx.data.2?
static bool is_data_name(const char *path, const char *output)
{
    static const char suffix[] = ".data";
    const char *name = lorac_path_name(path), *model = lorac_path_name(output);
    const size_t length = strlen(model);
    if (strncmp(name, model, length) != 0 || strncmp(name + length, suffix, sizeof suffix - 1) != 0)
        return false;
    const char end = name[length + sizeof suffix - 1];
    return (end == '\0' || end == '.') && lorac_path_same_folder(path, output);
}

// ---- what a recipe names

static void set_label(const struct lorac_recipe_value *value, char label[LABEL_TEXT])
{
    char name[LORAC_RECIPE_PATH_TEXT];
    snprintf(name, sizeof name, "%s.%s", value->key->section, value->key->key);
    if (strncmp(value->origin, name, strlen(name)) == 0)
        snprintf(label, LABEL_TEXT, "%s", value->origin);
    else
        snprintf(label, LABEL_TEXT, "%s (%s)", name, value->origin);
}

static void add_file(struct files *files, const struct lorac_recipe_value *value)
{
    const struct lorac_recipe_key *key = value->key;
    const bool cache = key->option && strcmp(key->option, "tune-cache") == 0;
    const bool output = cache || strcmp(key->section, "output") == 0;
    struct file *file = output ? &files->outputs[files->output_count++] : &files->inputs[files->input_count++];
    file->path = value->texts[0];
    file->model = output && key->option && strcmp(key->option, "output") == 0 && strcmp(key->key, "adapter") != 0;
    file->folder = strcmp(key->key, "checkpoint") == 0;
    set_label(value, file->label);
}

// Not where another value leaves it out, nor is a share of the images a file.
static bool is_used(const struct lorac_recipe *recipe, const struct lorac_recipe_value *value)
{
    char name[LORAC_RECIPE_PATH_TEXT];
    const struct lorac_validation_settings settings = {.val = value->texts[0]};
    snprintf(name, sizeof name, "%s.%s", value->key->section, value->key->key);
    return lorac_recipe_get_used(recipe, name) && !(value->key->share_too && *lorac_validation_path(&settings) == '\0');
}

static void collect(const struct lorac_recipe *recipe, const char *path, struct files *files)
{
    struct file *own = &files->inputs[files->input_count++];
    own->path = path;
    snprintf(own->label, LABEL_TEXT, "the recipe");
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++) {
        const struct lorac_option *option = lorac_recipe_key_option(key);
        const struct lorac_recipe_value *value = lorac_recipe_value_of(recipe, key, SIZE_MAX);
        if (option && option->type == LORAC_OPTION_PATH && value && value->count > 0 && is_used(recipe, value) &&
            files->input_count < FILES_MAX && files->output_count < FILES_MAX)
            add_file(files, value);
    }
}

// ---- one against the other

static enum lorac_status refuse_both(const struct file *output, const struct file *other, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s' is %s and also %s: give another name", output->path,
                           output->label, other->label);
}

static enum lorac_status check_data_name(const struct file *model, const struct file *other, struct lorac_error *error)
{
    if (!model->model || !is_data_name(other->path, model->path))
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "'%s' is %s and also a name of the data file of %s: give another name", other->path,
                           other->label, model->label);
}

static enum lorac_status check_pair(const struct file *output, const struct file *other, struct lorac_error *error)
{
    if (lorac_path_same_name(output->path, other->path))
        return refuse_both(output, other, error);
    LORAC_TRY(check_data_name(output, other, error));
    return check_data_name(other, output, error);
}

// Old checkpoints are removed there.
static enum lorac_status check_folders(const struct files *files, const struct file *output, struct lorac_error *error)
{
    for (size_t i = 0; i < files->output_count; i++) {
        const struct file *other = &files->outputs[i];
        if (other->folder && other != output && lorac_path_is_in(output->path, other->path))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s', %s, lies in the folder of %s: give another name",
                                   output->path, output->label, other->label);
    }
    return LORAC_OK;
}

// They would be a class of the images there.
static enum lorac_status check_image_folders(const struct files *files, const struct file *output,
                                             struct lorac_error *error)
{
    for (size_t i = 0; output->folder && i < files->input_count; i++) {
        const struct file *input = &files->inputs[i];
        LORAC_TRY(lorac_outputs_check_images(output->label, output->path, input->label, input->path, error));
    }
    return LORAC_OK;
}

// The files of a set that is named by its folder or by a table.
static enum lorac_status check_images(const struct files *files, const struct file *output, struct lorac_error *error)
{
    if (lorac_image_list_is_picture(output->path))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s', %s, has the name of a picture: give another name",
                               output->path, output->label);
    for (size_t i = 0; i < files->input_count; i++) {
        const struct file *input = &files->inputs[i];
        if (lorac_path_is_in(output->path, input->path) && lorac_cifar_is(input->path))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "'%s', %s, lies among the images of %s: give another name",
                                   output->path, output->label, input->label);
    }
    return LORAC_OK;
}

static enum lorac_status check_names(const struct files *files, struct lorac_error *error)
{
    for (size_t i = 0; i < files->output_count; i++) {
        const struct file *output = &files->outputs[i];
        for (size_t k = 0; k < files->input_count; k++)
            LORAC_TRY(check_pair(output, &files->inputs[k], error));
        for (size_t k = 0; k < i; k++)
            LORAC_TRY(check_pair(output, &files->outputs[k], error));
        LORAC_TRY(check_folders(files, output, error));
        LORAC_TRY(check_image_folders(files, output, error));
        LORAC_TRY(check_images(files, output, error));
    }
    return LORAC_OK;
}

// ---- each of them

static enum lorac_status check_access(const struct files *files, struct lorac_error *error)
{
    static const char *const no_inputs[] = {NULL};
    struct stat info;
    for (size_t i = 0; i < files->input_count; i++)
        if (access(files->inputs[i].path, R_OK) != 0)
            return lorac_error_set(error, LORAC_ERROR_IO, "cannot open '%s', %s: %s", files->inputs[i].path,
                                   files->inputs[i].label, strerror(errno));
    for (size_t i = 0; i < files->output_count; i++) {
        const struct file *output = &files->outputs[i];
        if (!output->folder)
            LORAC_TRY(lorac_output_check(output->label, output->path, no_inputs, error));
        else if (stat(output->path, &info) == 0 && !S_ISDIR(info.st_mode))
            return lorac_error_set(error, LORAC_ERROR_IO, "'%s', %s, is no folder", output->path, output->label);
    }
    return LORAC_OK;
}

// Without 'resume' train refuses a folder that holds a run; the steps before it need not be done for that.
static enum lorac_status check_checkpoints(const struct lorac_recipe *recipe, struct lorac_error *error)
{
    const char *path = lorac_recipe_get(recipe, "output.checkpoint"), *resume = lorac_recipe_get(recipe, "train.resume");
    struct lorac_checkpoint_folder *folder = NULL;
    if (!path || access(path, F_OK) != 0 || (resume && strcmp(resume, "true") == 0))
        return LORAC_OK;
    LORAC_TRY(lorac_checkpoint_folder_open(path, 1, &folder, error));
    const enum lorac_status status =
        lorac_train_checkpoint_refuse_run(folder, "output.checkpoint", path,
                                          "set train.resume to true to go on, or name another folder", error);
    lorac_checkpoint_folder_close(folder);
    return status;
}

// The files of weights beside the model, which only the model itself names.
static enum lorac_status check_model(const struct lorac_recipe *recipe, const struct files *files,
                                     struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    LORAC_TRY(lorac_model_load(lorac_recipe_get(recipe, "model.file"), &model, error));
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < files->output_count && status == LORAC_OK; i++)
        status = lorac_output_check_model(files->outputs[i].label, files->outputs[i].path, model, error);
    lorac_model_free(model);
    return status;
}

// ---- images

// How many there are, and whether they are labelled themselves.
struct images {
    size_t count; // 0: not known
    bool labelled;
};

static enum lorac_status look_at_list(const char *path, struct images *out, struct lorac_error *error)
{
    struct lorac_image_list list = {0};
    *out = (struct images){.labelled = true};
    const enum lorac_status status = lorac_image_list_open(path, NULL, &list, error);
    if (status == LORAC_ERROR_ARGUMENT) // the names of the model's classes may say what is meant
        return LORAC_OK;
    LORAC_TRY(status);
    *out = (struct images){list.count, list.labels != NULL};
    lorac_image_list_clear(&list);
    return LORAC_OK;
}

static bool label_themselves(const char *path)
{
    struct images images;
    if (lorac_cifar_is(path))
        return true;
    return lorac_image_list_is(path) && (look_at_list(path, &images, NULL) != LORAC_OK || images.labelled);
}

bool lorac_job_is_labelled(const struct lorac_recipe *recipe, const char *images, const char *labels)
{
    const char *path = lorac_recipe_get_used(recipe, images);
    return path && (lorac_recipe_get_used(recipe, labels) || label_themselves(path));
}

static enum lorac_status check_labels(const struct lorac_recipe *recipe, const char *images, const char *labels,
                                      struct lorac_error *error)
{
    const char *path = lorac_recipe_get_used(recipe, images);
    const struct lorac_validation_settings settings = {.val = path};
    if (!path || *lorac_validation_path(&settings) == '\0' || lorac_job_is_labelled(recipe, images, labels))
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "%s '%s' does not say of which class its images are, as folders of classes and tables do: "
                           "give %s",
                           images, path, labels);
}

// Of 'eval': labels are needed only where they are asked for.
static enum lorac_status check_scores(const struct lorac_recipe *recipe, struct lorac_error *error)
{
    static const char *const needing[] = {"eval.per_class", "eval.confusion", "eval.wrong"};
    for (size_t i = 0; i < sizeof needing / sizeof *needing; i++) {
        const char *text = lorac_recipe_get_used(recipe, needing[i]);
        if (!text || strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
            continue;
        if (!lorac_recipe_get_used(recipe, "eval.images"))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s needs eval.images", needing[i]);
        LORAC_TRY(lorac_error_prefix(error, check_labels(recipe, "eval.images", "eval.labels", error),
                                     "%s needs labels: ", needing[i]));
    }
    return LORAC_OK;
}

static enum lorac_status count_images(const char *path, struct images *out, struct lorac_error *error)
{
    struct lorac_array array;
    struct stat info;
    *out = (struct images){0};
    if (lorac_cifar_is(path))
        return LORAC_OK;
    if (lorac_image_list_is(path))
        return look_at_list(path, out, error);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) // /dev/stdin can be read only once
        return LORAC_OK;
    const struct lorac_rows none = {0, 0}; // the header says how many there are
    if (lorac_array_read_rows(path, &none, &array, error) != LORAC_OK) {
        lorac_data_explain(path, error);
        return error ? error->status : LORAC_ERROR_FORMAT;
    }
    out->count = array.rank > 0 && array.dims[0] > 0 ? (size_t)array.dims[0] : 0;
    lorac_array_clear(&array);
    return LORAC_OK;
}

static enum lorac_status check_batch(const struct lorac_recipe *recipe, struct lorac_error *error)
{
    static const struct lorac_option range_option = {.name = "range", .type = LORAC_OPTION_RANGE};
    const char *range_text = lorac_recipe_get_used(recipe, "data.range"), *batch_text = lorac_recipe_get_used(recipe, "train.batch");
    struct lorac_range range = {0};
    struct images images;
    LORAC_TRY(count_images(lorac_recipe_get_used(recipe, "data.images"), &images, error));
    if (range_text)
        LORAC_TRY(lorac_option_set_value(&range_option, &range, range_text, error));
    if (!batch_text)
        batch_text = lorac_recipe_key_default(lorac_recipe_key_find("train", "batch"));
    if (images.count > 0 && range.given && range.end > images.count)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "data.range %s: there are only %zu images", range_text,
                               images.count);
    const size_t count = range.given ? range.end - range.begin : images.count;
    const unsigned long long batch = strtoull(batch_text, NULL, 10);
    if (count > 0 && batch > count)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "train.batch %llu: there are only %zu images: give at most %zu", batch, count, count);
    return LORAC_OK;
}

enum lorac_status lorac_job_files_check(const struct lorac_recipe *recipe, const char *path, struct lorac_error *error)
{
    struct files files = {0};
    collect(recipe, path, &files);
    LORAC_TRY(check_names(&files, error));
    LORAC_TRY(check_access(&files, error));
    LORAC_TRY(check_checkpoints(recipe, error));
    LORAC_TRY(check_model(recipe, &files, error));
    LORAC_TRY(check_labels(recipe, "data.images", "data.labels", error));
    LORAC_TRY(check_labels(recipe, "data.val", "data.val_labels", error));
    LORAC_TRY(check_scores(recipe, error));
    return check_batch(recipe, error);
}
