#include "cifar_binary.h"
#include "image_files.h"

#include "proto/arena.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- images

static const char *type_name(const struct lorac_array *array, char *text, size_t text_bytes)
{
    const char *kind = array->dtype == 'u'   ? "uint"
                       : array->dtype == 'i' ? "int"
                       : array->dtype == 'f' ? "float"
                                             : "bool";
    if (array->dtype == 'b')
        return kind;
    snprintf(text, text_bytes, "%s%zu", kind, 8 * array->item_bytes);
    return text;
}

static enum lorac_status find_element(const struct lorac_array *array, enum lorac_element *element,
                                      struct lorac_error *error)
{
    if (array->dtype == 'u' && array->item_bytes == 1)
        *element = LORAC_ELEMENT_U8;
    else if (array->dtype == 'f' && array->item_bytes == 4)
        *element = LORAC_ELEMENT_F32;
    else {
        char type[16];
        const bool floating = array->dtype == 'f';
        return lorac_error_set(
            error, LORAC_ERROR_UNSUPPORTED,
            "the images are %s; uint8 pixels, or float32 in the model's own input layout, are taken: "
            "convert them with astype('%s')",
            type_name(array, type, sizeof type), floating ? "float32" : "uint8");
    }
    return LORAC_OK;
}

static bool dims_are(const struct lorac_array *array, size_t a, size_t b, size_t c)
{
    return array->rank == 4 && (uint64_t)array->dims[1] == a && (uint64_t)array->dims[2] == b &&
           (uint64_t)array->dims[3] == c;
}

// Both kinds: [N, H, W] is one channel.
static bool dims_are_one_channel(const struct lorac_array *array, size_t height, size_t width)
{
    return array->rank == 3 && (uint64_t)array->dims[1] == height && (uint64_t)array->dims[2] == width;
}

static enum lorac_status check_shape(const struct lorac_dataset_options *want, enum lorac_element element,
                                     const struct lorac_array *array, struct lorac_error *error)
{
    const size_t C = want->channels, H = want->height, W = want->width;
    const bool last = element == LORAC_ELEMENT_U8 || want->channels_last;
    const bool is_nhwc = dims_are(array, H, W, C), is_nchw = dims_are(array, C, H, W);
    if ((last ? is_nhwc : is_nchw) || (C == 1 && dims_are_one_channel(array, H, W)))
        return LORAC_OK;
    char got[LORAC_SHAPE_TEXT_BYTES], expected[LORAC_SHAPE_TEXT_BYTES];
    snprintf(expected, sizeof expected, "[N, %zu, %zu, %zu]%s", last ? H : C, last ? W : H, last ? C : W,
             C == 1 ? " (or [N, H, W])" : "");
    const char *hint = "";
    if (last && is_nchw)
        hint = ": use transpose(0, 2, 3, 1)";
    else if (!last && is_nhwc)
        hint = ": use transpose(0, 3, 1, 2)";
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "the images have the shape %s; this model takes %s, as %s images are %s%s",
                           lorac_shape_text(array->dims, array->rank, got, sizeof got), expected,
                           element == LORAC_ELEMENT_U8 ? "uint8" : "float32", last ? "[N, H, W, C]" : "[N, C, H, W]",
                           hint);
}

static enum lorac_status find_range(const struct lorac_dataset_options *options, size_t count, size_t *begin,
                                    size_t *end, struct lorac_error *error)
{
    if (count == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "holds no images (N is 0)");
    if (count > UINT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "holds %zu images; at most %" PRIu32 " are supported",
                               count, UINT32_MAX);
    *begin = 0;
    *end = count;
    if (!options->has_range)
        return LORAC_OK;
    if (options->range_begin >= options->range_end)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the range %zu:%zu is empty; A:B takes the images A to B-1, so A must be below B",
                               options->range_begin, options->range_end);
    if (options->range_end > count)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the range %zu:%zu is outside the %zu images that there are", options->range_begin,
                               options->range_end, count);
    *begin = options->range_begin;
    *end = options->range_end;
    return LORAC_OK;
}

// A device should not hold images that nobody will look at. Whether the range fits is known with the file's header.
static struct lorac_rows rows_of(const struct lorac_dataset_options *options)
{
    if (options->has_range)
        return (struct lorac_rows){options->range_begin, options->range_end};
    return (struct lorac_rows){0, SIZE_MAX};
}

// Sees to the array that was read: the rows of the range of a file whose dims it has.
static enum lorac_status take_array(const struct lorac_dataset_options *options, struct lorac_dataset *dataset,
                                    size_t *file_count, struct lorac_error *error)
{
    struct lorac_array *array = &dataset->image_array;
    enum lorac_status status;
    size_t begin = 0, end = 0;
    LORAC_TRY_GOTO(status, find_element(array, &dataset->element, error), named);
    LORAC_TRY_GOTO(status, check_shape(options, dataset->element, array, error), named);
    LORAC_TRY_GOTO(status, find_range(options, (size_t)array->dims[0], &begin, &end, error), named);
    *file_count = (size_t)array->dims[0];
    array->dims[0] = (int64_t)(end - begin);
    dataset->first_index = begin;
    dataset->count = end - begin;
    dataset->channels = options->channels;
    dataset->height = options->height;
    dataset->width = options->width;
    dataset->channels_last = options->channels_last;
    dataset->pixels = array->data;
    return LORAC_OK;

named:
    return lorac_error_prefix(error, status, "'%s': ", options->images_path);
}

static enum lorac_status open_images(const struct lorac_dataset_options *options, struct lorac_dataset *dataset,
                                     size_t *file_count, struct lorac_error *error)
{
    const struct lorac_rows rows = rows_of(options);
    LORAC_TRY(lorac_array_read_rows(options->images_path, &rows, &dataset->image_array, error));
    return take_array(options, dataset, file_count, error);
}

// ---- labels

static enum lorac_status check_labels(const struct lorac_array *array, size_t image_count, struct lorac_error *error)
{
    char shape[LORAC_SHAPE_TEXT_BYTES], type[16];
    if (array->dtype == 'f')
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "the labels are %s; one integer per image is taken: convert them with astype('int64')",
                               type_name(array, type, sizeof type));
    if (array->rank != 1 && !(array->rank == 2 && array->dims[1] == 1))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "the labels have the shape %s; one integer per image, [N], is taken%s",
                               lorac_shape_text(array->dims, array->rank, shape, sizeof shape),
                               array->rank == 2 ? ": of one-hot labels use argmax(axis=1)" : "");
    if ((uint64_t)array->dims[0] != image_count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "there are %" PRId64 " labels for %zu images; one label per image of the whole file is "
                               "expected",
                               array->dims[0], image_count);
    return LORAC_OK;
}

// Sign-extended, so that a negative label is a very large number: one comparison checks both ends.
static uint64_t label_at(const struct lorac_array *array, size_t i)
{
    const uint8_t *from = (const uint8_t *)array->data + i * array->item_bytes;
    const bool has_sign = array->dtype == 'i';
    uint8_t v1;
    uint16_t v2;
    uint32_t v4;
    uint64_t v8;
    switch (array->item_bytes) {
    case 1:
        memcpy(&v1, from, sizeof v1);
        return has_sign && v1 > INT8_MAX ? v1 | ~(uint64_t)UINT8_MAX : v1;
    case 2:
        memcpy(&v2, from, sizeof v2);
        return has_sign && v2 > INT16_MAX ? v2 | ~(uint64_t)UINT16_MAX : v2;
    case 4:
        memcpy(&v4, from, sizeof v4);
        return has_sign && v4 > INT32_MAX ? v4 | ~(uint64_t)UINT32_MAX : v4;
    default:
        memcpy(&v8, from, sizeof v8);
        return v8;
    }
}

static enum lorac_status label_outside(const struct lorac_array *array, size_t index, uint64_t limit,
                                       struct lorac_error *error)
{
    char value[24];
    if (array->dtype == 'i')
        snprintf(value, sizeof value, "%" PRId64, (int64_t)label_at(array, index));
    else
        snprintf(value, sizeof value, "%" PRIu64, label_at(array, index));
    return lorac_error_set(error, LORAC_ERROR_MISMATCH, "label %s at index %zu is outside 0 .. %" PRIu64 "%s", value,
                           index, limit - 1, limit <= INT32_MAX ? ", the classes of the model" : "");
}

static enum lorac_status open_labels(const struct lorac_dataset_options *options, size_t image_count,
                                     struct lorac_dataset *dataset, struct lorac_error *error)
{
    struct lorac_array array = {0};
    LORAC_TRY(lorac_array_read(options->labels_path, &array, error));
    const uint64_t limit =
        options->classes > 0 && options->classes <= INT32_MAX ? options->classes : (uint64_t)INT32_MAX + 1;
    int32_t *labels = NULL;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, check_labels(&array, image_count, error), done);
    labels = malloc(dataset->count * sizeof *labels);
    if (!labels)
        status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu labels", dataset->count);
    for (size_t i = 0; status == LORAC_OK && i < dataset->count; i++) {
        uint64_t value = label_at(&array, dataset->first_index + i);
        if (value >= limit)
            status = label_outside(&array, dataset->first_index + i, limit, error);
        else
            labels[i] = (int32_t)value;
    }

done:
    lorac_array_clear(&array);
    if (status != LORAC_OK) {
        free(labels);
        return lorac_error_prefix(error, status, "'%s': ", options->labels_path);
    }
    dataset->labels = dataset->label_storage = labels;
    return LORAC_OK;
}

// ---- sets that have labels and names of their own: CIFAR's files, and lists of image files

// Labels that came with the images.
static enum lorac_status take_labels(const struct lorac_dataset_options *options, struct lorac_dataset *dataset,
                                     const int32_t *labels, struct lorac_error *error)
{
    if (options->labels_path)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "'%s' says itself of which class its images are: leave the labels '%s' out",
                               options->images_path, options->labels_path);
    dataset->labels = labels;
    for (size_t i = 0; options->classes > 0 && i < dataset->count; i++)
        if (labels[i] < 0 || (size_t)labels[i] >= options->classes)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "'%s': label %" PRId32 " of image %zu%s%s is outside 0 .. %zu, the classes of the "
                                   "model",
                                   options->images_path, labels[i], dataset->first_index + i, dataset->files ? ", " : "",
                                   dataset->files ? lorac_dataset_path(dataset, i) : "", options->classes - 1);
    return LORAC_OK;
}

static void take_names(const struct lorac_dataset_options *options, struct lorac_dataset *dataset, size_t count,
                       char **names)
{
    if (options->class_count > 0 || !names)
        return;
    dataset->class_count = count;
    dataset->class_names = names;
}

static enum lorac_status open_cifar(const struct lorac_dataset_options *options, struct lorac_dataset *dataset,
                                    size_t *file_count, struct lorac_error *error)
{
    const struct lorac_rows rows = rows_of(options);
    struct lorac_cifar cifar;
    LORAC_TRY(lorac_cifar_read(options->images_path, &rows, &cifar, error));
    dataset->image_array = cifar.images; // the dataset owns all of it from here on
    dataset->label_storage = cifar.labels;
    dataset->name_storage = cifar.arena;
    dataset->missing_file = cifar.missing;
    dataset->source_count = cifar.file_count;
    dataset->source_files = cifar.files;
    LORAC_TRY(take_array(options, dataset, file_count, error));
    take_names(options, dataset, cifar.class_count, cifar.class_names);
    LORAC_TRY(lorac_dataset_check_classes(dataset, options->classes, error));
    return take_labels(options, dataset, cifar.labels, error);
}

static enum lorac_status open_files(const struct lorac_dataset_options *options, struct lorac_dataset *dataset,
                                    size_t *file_count, struct lorac_error *error)
{
    size_t begin = 0, end = 0;
    LORAC_TRY(lorac_image_files_open(options, &dataset->files, error));
    struct lorac_image_files *files = dataset->files;
    LORAC_TRY(lorac_error_prefix(error, find_range(options, files->list.count, &begin, &end, error), "'%s': ",
                                 options->images_path));
    *file_count = files->list.count;
    files->first = dataset->first_index = begin;
    dataset->element = LORAC_ELEMENT_U8;
    dataset->count = end - begin;
    dataset->channels = options->channels;
    dataset->height = options->height;
    dataset->width = options->width;
    dataset->other_count = files->list.other_count;
    dataset->first_other = files->list.first_other;
    dataset->empty_count = files->list.empty_count;
    dataset->first_empty = files->list.first_empty;
    take_names(options, dataset, files->list.class_count, files->list.class_names);
    LORAC_TRY(lorac_dataset_check_classes(dataset, options->classes, error));
    if (files->list.labels)
        LORAC_TRY(take_labels(options, dataset, files->list.labels + begin, error));
    return lorac_image_files_load(files, dataset->count, options->loading, &dataset->loader, error);
}

// "cat, cow, dog, ..."
static const char *names_text(const struct lorac_dataset *dataset, char *text, size_t text_bytes)
{
    enum { NAMED = 3 };
    size_t length = 0;
    for (size_t i = 0; i < dataset->class_count && i < NAMED && length < text_bytes; i++)
        length += (size_t)snprintf(text + length, text_bytes - length, "%s%s", i > 0 ? ", " : "",
                                   dataset->class_names[i]);
    if (dataset->class_count > NAMED && length < text_bytes)
        snprintf(text + length, text_bytes - length, ", ...");
    return text;
}

enum lorac_status lorac_dataset_check_classes(const struct lorac_dataset *dataset, size_t classes,
                                              struct lorac_error *error)
{
    char names[256] = "";
    if (dataset->class_count == 0 || classes == 0 || dataset->class_count == classes)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "the images are of %zu class%s (%s), but the model gives %zu and has no names for them, so "
                           "that nobody knows which is which: record the names of all %zu with 'lorac-onnx inject "
                           "--label-names FILE', or, to learn these classes alone, start a new last layer with "
                           "--class-names FILE",
                           dataset->class_count, dataset->class_count == 1 ? "" : "es",
                           names_text(dataset, names, sizeof names), classes, classes);
}

// ---- life cycle

enum lorac_status lorac_dataset_open(const struct lorac_dataset_options *options, struct lorac_dataset *out,
                                     struct lorac_error *error)
{
    struct lorac_dataset dataset = {0};
    size_t file_count = 0;
    enum lorac_status status;
    if (lorac_cifar_is(options->images_path))
        status = open_cifar(options, &dataset, &file_count, error);
    else if (options->loading && lorac_image_list_is(options->images_path))
        status = open_files(options, &dataset, &file_count, error);
    else
        status = open_images(options, &dataset, &file_count, error);
    if (status == LORAC_OK && options->labels_path)
        status = open_labels(options, file_count, &dataset, error);
    if (status == LORAC_OK)
        *out = dataset;
    else
        lorac_dataset_clear(&dataset);
    return status;
}

const char *lorac_dataset_path(const struct lorac_dataset *dataset, size_t i)
{
    return dataset->files ? dataset->files->list.paths[dataset->files->first + i] : NULL;
}

const char *lorac_dataset_file(const struct lorac_dataset *dataset, size_t i)
{
    if (dataset->files)
        return i < dataset->files->list.count ? dataset->files->list.paths[i] : NULL;
    return i < dataset->source_count ? dataset->source_files[i] : NULL;
}

size_t lorac_dataset_bytes(const struct lorac_dataset *dataset, size_t loader_threads)
{
    const size_t bytes = dataset->image_array.byte_count + dataset->count * sizeof *dataset->labels;
    if (!dataset->loader)
        return bytes;
    size_t list = 0, loader = lorac_loader_bytes(dataset->loader, loader_threads);
    for (size_t i = 0; i < dataset->files->list.count; i++)
        list += strlen(dataset->files->list.paths[i]) + 1 + sizeof(char *);
    return loader < SIZE_MAX - bytes - list ? bytes + list + loader : SIZE_MAX;
}

void lorac_dataset_clear(struct lorac_dataset *dataset)
{
    lorac_loader_free(dataset->loader);
    lorac_image_files_free(dataset->files);
    lorac_array_clear(&dataset->image_array);
    free(dataset->label_storage);
    lorac_arena_free(dataset->name_storage);
    *dataset = (struct lorac_dataset){0};
}
