#include "data_group.h"

#include "outputs.h"
#include "proto/size.h"
#include "report.h"
#include "runtime/data/cifar_binary.h"
#include "runtime/data/image_list.h"
#include "runtime/data/loader.h"
#include "runtime/kernels/parallel.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FIELD(member) offsetof(struct lorac_data_settings, member)
// clang-format off
#define DATA_OPTION(is_required) \
    {.name = "data", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(data), .required = is_required, \
     .help = "Images: a folder with a folder of JPEG and PNG files for each class; a .csv or .tsv of path and label; or " \
             ".npy or IDX, gzipped or not: uint8 [N,H,W,C] or [N,H,W], or float32 in the model's own layout, [N,C,H,W] " \
             "or [N,H,W,C]."}
#define LABELS_OPTION \
    {.name = "labels", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(labels), \
     .help = "Labels, .npy or IDX, gzipped or not: one whole number per image, in the order of --data; not for images " \
             "that have theirs."}
#define CACHE_OPTION(fallback) \
    {.name = "cache-memory", .type = LORAC_OPTION_STRING, .value = "SIZE", .offset = FIELD(cache), \
     .fallback_text = fallback, \
     .help = "Image files that fit into so much memory stay decoded after their first use; 0: none do."}
#define OTHER_DATA_OPTIONS \
    {.name = "range", .type = LORAC_OPTION_RANGE, .value = "A:B", .offset = FIELD(range), .fallback_text = "all", \
     .help = "Only the images A to B-1, counted from 0."}, \
    {.name = "corrupt", .type = LORAC_OPTION_STRING, .value = "NAME:SEVERITY", .offset = FIELD(corrupt), \
     .help = "Corrupts uint8 images first: fog or gaussian_noise, severity 1 to 5."}, \
    {.name = "resize", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(resize), \
     .fallback_text = "just covering the model's input", .limit = LORAC_FROM_TO(1, 65536), \
     .help = "Short side of image files after scaling; the middle is used."}, \
    {.name = "broken-share", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(broken_share), \
     .fallback = "0.01", .limit = LORAC_FROM_TO(0, 1), \
     .help = "Share of the image files that may be unreadable: they are named and skipped; where there are more the " \
             "run stops."}, \
    {.name = "loader-threads", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(loader_threads), \
     .fallback_text = "half the processors, 1 to 4", .limit = LORAC_FROM_TO(1, 256), \
     .help = "Threads that decode image files ahead of use; any number gives the same results to the bit."}, \
    {.name = "seed", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(seed), .fallback = "0", \
     .help = "Seed of all random numbers."}, \
    {0}
// clang-format on
const struct lorac_option lorac_data_options[] = {DATA_OPTION(false), CACHE_OPTION("0"), OTHER_DATA_OPTIONS};
const struct lorac_option lorac_labelled_data_options[] = {DATA_OPTION(true), LABELS_OPTION, OTHER_DATA_OPTIONS};
const struct lorac_option lorac_training_data_options[] = {
    DATA_OPTION(true), LABELS_OPTION, CACHE_OPTION("256M, or what --memory-budget leaves"), OTHER_DATA_OPTIONS};
#undef FIELD

enum lorac_status lorac_data_check(const struct lorac_call *call, const struct lorac_data_settings *data,
                                   struct lorac_error *error)
{
    static const char *const need_data[] = {"range",        "corrupt",        "resize",
                                            "broken-share", "loader-threads", "cache-memory"};
    struct lorac_corrupt corrupt;
    if (data->corrupt)
        LORAC_TRY(lorac_error_prefix(error, lorac_corrupt_parse(data->corrupt, &corrupt, error), "--corrupt %s: ",
                                     data->corrupt));
    size_t bytes;
    if (data->cache && strcmp(data->cache, "0") != 0 && !lorac_size_parse(data->cache, &bytes))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--cache-memory %s: must be a size: 150M, 1.5G, 140MiB, a number of bytes, or 0",
                               data->cache);
    if (data->data)
        return LORAC_OK;
    for (size_t i = 0; i < sizeof need_data / sizeof *need_data; i++)
        if (lorac_options_find(call->options.groups, need_data[i], NULL) && // not each command has each
            lorac_options_given(&call->options, need_data[i]))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s needs --data FILE", need_data[i]);
    if (lorac_pixels_given(call))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the flags for pixels need --data FILE");
    return LORAC_OK;
}

// ---- what is no set of images

static bool ends_in(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

// As .npy, IDX or gzip do: what is wrong with it lies further on, or in another file. True too of what cannot be read
// again.
static bool begins_as_array(const char *path)
{
    unsigned char magic[3] = {0};
    struct stat about;
    FILE *file = stat(path, &about) == 0 && S_ISREG(about.st_mode) ? fopen(path, "rb") : NULL;
    if (!file)
        return true;
    const bool whole = fread(magic, 1, sizeof magic, file) == sizeof magic;
    fclose(file);
    return whole && (memcmp(magic, "\x93NU", 3) == 0 || memcmp(magic, "\x1f\x8b", 2) == 0 ||
                     memcmp(magic, "\0\0", 2) == 0);
}

void lorac_data_explain(const char *path, struct lorac_error *error)
{
    const struct lorac_rows none = {0, 0};
    struct lorac_cifar cifar = {0};
    if (!error || error->status != LORAC_ERROR_FORMAT || lorac_image_list_is(path) || lorac_cifar_is(path) ||
        begins_as_array(path))
        return;
    if (!ends_in(path, ".bin"))
        lorac_report_append(error, "; images are a folder of folders of pictures, a .csv or .tsv of path and label, "
                                   "CIFAR's .bin files, .npy or IDX");
    else if (lorac_cifar_read(path, &none, &cifar, error) == LORAC_OK) // else it says what is wrong with the records
        lorac_cifar_clear(&cifar);
}

// ---- opening

// Of a set that is gone through again and again, where nothing else is said.
static const size_t default_cache_bytes = 256000000;
// Decoded ahead: two batches, but not more than this.
static const size_t most_queue_bytes = 64000000;

// What --cache-memory says.
static size_t cache_bytes(const struct lorac_data_settings *data, size_t fallback)
{
    size_t bytes = 0; // of "0"
    if (!data->cache)
        return fallback;
    lorac_size_parse(data->cache, &bytes);
    return bytes;
}

static size_t loader_threads(const struct lorac_data_settings *data)
{
    const size_t half = lorac_parallel_processors() / 2;
    if (data->loader_threads > 0)
        return (size_t)data->loader_threads;
    return half < 1 ? 1 : half > 4 ? 4 : half;
}

static size_t queue_bytes(const struct lorac_data_request *request)
{
    const struct lorac_input_shape *shape = request->shape;
    size_t bytes;
    if (!lorac_size_multiply(shape->channels, shape->height, &bytes) ||
        !lorac_size_multiply(bytes, shape->width, &bytes) || !lorac_size_multiply(bytes, 2 * request->batch, &bytes) ||
        bytes > most_queue_bytes)
        return most_queue_bytes;
    return bytes;
}

static void name_broken(void *context, size_t index, const char *message)
{
    (void)index;
    lorac_report_note(context, "skipped: %s", message);
}

// What may stay decoded from the start.
static size_t first_cache_bytes(const struct lorac_data_request *request)
{
    if (request->has_budget)
        return 0;
    const size_t bytes = cache_bytes(request->data, request->repeated ? default_cache_bytes : 0);
    return bytes > request->cache_taken ? bytes - request->cache_taken : 0;
}

static enum lorac_status open_set(const struct lorac_data_request *request, struct lorac_dataset *out,
                                  struct lorac_error *error)
{
    const struct lorac_data_settings *data = request->data;
    const struct lorac_input_shape *shape = request->shape;
    const struct lorac_loader_options loading = {
        .threads = loader_threads(data),
        .batch = request->batch,
        .queue_bytes = queue_bytes(request),
        .cache_bytes = first_cache_bytes(request),
        .broken_share = data->broken_share,
    };
    const struct lorac_dataset_options options = {.images_path = data->data,
                                                  .labels_path = data->labels,
                                                  .has_range = data->range.given,
                                                  .range_begin = data->range.begin,
                                                  .range_end = data->range.end,
                                                  .channels = shape->channels,
                                                  .height = shape->height,
                                                  .width = shape->width,
                                                  .channels_last = shape->channels_last,
                                                  .classes = request->classes,
                                                  .class_count = request->class_count,
                                                  .class_names = request->class_names,
                                                  .resize = (size_t)data->resize,
                                                  .loading = &loading};
    const enum lorac_status status = lorac_dataset_open(&options, out, error);
    if (status != LORAC_OK)
        lorac_data_explain(data->data, error);
    return status;
}

// A rehearsal finds out only whether they can be corrupted.
static enum lorac_status corrupt_set(const struct lorac_data_request *request, struct lorac_dataset *dataset,
                                     struct lorac_error *error)
{
    const struct lorac_data_settings *data = request->data;
    struct lorac_dataset none = *dataset;
    none.count = 0;
    struct lorac_corrupt corrupt;
    if (!data->corrupt)
        return LORAC_OK;
    LORAC_TRY(lorac_corrupt_parse(data->corrupt, &corrupt, error));
    struct lorac_dataset *corrupted = request->call->rehearsal ? &none : dataset;
    return lorac_error_prefix(error, lorac_dataset_corrupt(corrupted, &corrupt, data->seed, error), "'%s': ",
                              data->data);
}

// "0 airplane, 1 automobile, 2 bird, ... 9 truck"
static void note_classes(const struct lorac_call *call, const struct lorac_dataset *dataset)
{
    enum { FIRST = 3 };
    char text[512] = "";
    size_t length = 0;
    for (size_t i = 0; i < dataset->class_count && length < sizeof text; i++) {
        if (i >= FIRST && i + 1 < dataset->class_count && dataset->class_count > FIRST + 2)
            continue;
        const bool gap = dataset->class_count > FIRST + 2 && i + 1 == dataset->class_count;
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s%zu %s", i > 0 ? ", " : "",
                                   gap ? "... " : "", i, dataset->class_names[i]);
    }
    lorac_report_note(call,
                      "note: the model has no names for its classes, so that they are taken in the order of the names "
                      "here: %s",
                      text);
}

static void note_left_out(const struct lorac_call *call, const struct lorac_dataset *dataset)
{
    if (dataset->missing_file)
        lorac_report_note(call, "note: the folder holds a part of CIFAR: there is no '%s'", dataset->missing_file);
    if (dataset->other_count > 0)
        lorac_report_note(call, "note: %zu other file%s not taken: '%s'%s", dataset->other_count,
                          dataset->other_count == 1 ? " is" : "s are", dataset->first_other,
                          dataset->other_count == 1 ? "" : ", ...");
    if (dataset->empty_count > 0)
        lorac_report_note(call, "note: %zu class%s no pictures: '%s'%s", dataset->empty_count,
                          dataset->empty_count == 1 ? " has" : "es have", dataset->first_empty,
                          dataset->empty_count == 1 ? "" : ", ...");
}

enum lorac_status lorac_data_open(const struct lorac_data_request *request, struct lorac_dataset *out,
                                  struct lorac_error *error)
{
    struct lorac_dataset dataset;
    LORAC_TRY(open_set(request, &dataset, error));
    enum lorac_status status = lorac_outputs_check_set(request->call, request->data->data, &dataset, error);
    if (status == LORAC_OK)
        status = corrupt_set(request, &dataset, error);
    if (status != LORAC_OK) {
        lorac_dataset_clear(&dataset);
        return status;
    }
    if (!request->labelled) {
        dataset.labels = NULL;
        dataset.class_count = 0;
    }
    if (dataset.loader)
        lorac_loader_set_broken(dataset.loader, name_broken, (void *)request->call);
    note_left_out(request->call, &dataset);
    if (dataset.loader && dataset.class_count > 0)
        note_classes(request->call, &dataset);
    if (!dataset.loader && request->data->resize > 0)
        lorac_report_note(request->call, "note: --resize is for image files: the images of '%s' are taken as they are",
                          request->data->data);
    *out = dataset;
    return LORAC_OK;
}

void lorac_data_keep(const struct lorac_data_settings *data, struct lorac_net *net, struct lorac_dataset *dataset)
{
    struct lorac_memory_prediction memory = {0};
    if (!dataset->loader || net->options.memory_budget == 0)
        return;
    lorac_net_predict_memory(net, &memory, NULL); // the plan is there: it cannot fail
    const size_t budget = net->options.memory_budget, left = budget > memory.peak_bytes ? budget - memory.peak_bytes : 0;
    const size_t wanted = cache_bytes(data, left);
    lorac_loader_set_cache(dataset->loader, wanted < left ? wanted : left);
    net->options.memory_other += lorac_loader_cache_bytes(dataset->loader);
}

const char *lorac_data_text(const struct lorac_dataset *dataset, char text[LORAC_DATA_TEXT])
{
    char bytes[LORAC_BYTES_TEXT];
    if (!dataset->loader) {
        lorac_bytes_text(dataset->image_array.byte_count, text);
        return text;
    }
    const size_t threads = lorac_loader_thread_count(dataset->loader), cache = lorac_loader_cache_bytes(dataset->loader);
    const int length = snprintf(text, LORAC_DATA_TEXT, "JPEG and PNG files, decoded by %zu thread%s ahead of use", threads,
                                threads == 1 ? "" : "s");
    if (cache > 0)
        snprintf(text + length, LORAC_DATA_TEXT - (size_t)length, " and kept, in at most %s",
                 lorac_bytes_text(cache, bytes));
    return text;
}

size_t lorac_data_skipped(const struct lorac_dataset *dataset)
{
    return dataset->loader ? lorac_loader_broken_count(dataset->loader) : 0;
}

void lorac_data_note_skipped(const struct lorac_call *call, const struct lorac_dataset *dataset, const char *what)
{
    const size_t skipped = lorac_data_skipped(dataset);
    if (skipped > 0)
        lorac_report_note(call, "%zu of the %zu %s cannot be read and %s skipped", skipped, dataset->count, what,
                          skipped == 1 ? "was" : "were");
}
