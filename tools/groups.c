#include "groups.h"

#include "paths.h"
#include "proto/external.h"
#include "report.h"
#include "runtime/data/image_list.h"
#include "runtime/kernels/parallel.h"
#include "verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- general

#define FIELD(member) offsetof(struct lorac_general_settings, member)
// clang-format off
#define PLAIN_OPTIONS \
    {.name = "quiet", .letter = 'q', .type = LORAC_OPTION_FLAG, .offset = FIELD(quiet), \
     .help = "No notes and no progress on stderr, only errors."}, \
    {.name = "help", .letter = 'h', .type = LORAC_OPTION_FLAG, .offset = FIELD(help), .help = "This text."}, \
    {0}
const struct lorac_option lorac_general_options[] = {
    {.name = "recipe", .type = LORAC_OPTION_PATH, .value = "FILE.yaml", .offset = FIELD(recipe),
     .fallback_text = "none", .help = "Take what is not given here, the model too, from this recipe."},
    {.name = "preset", .type = LORAC_OPTION_TEXTS, .value = "NAME", .offset = FIELD(presets),
     .fallback_text = "the recipe's",
     .help = "Take what neither says from settings that are built in: paper, device, cifar10, imagenet; of several the "
             "last counts."},
    PLAIN_OPTIONS,
};
const struct lorac_option lorac_plain_options[] = {PLAIN_OPTIONS};
// clang-format on
#undef FIELD

// ---- write

// In the order of enum lorac_data_place.
static const char *const data_places[] = {"auto", "inline", "external", NULL};

#define FIELD(member) offsetof(struct lorac_write_settings, member)
// clang-format off
const struct lorac_option lorac_write_options[] = {
    {.name = "external-data", .type = LORAC_OPTION_ENUM, .choices = data_places, .offset = FIELD(external_data),
     .fallback = "auto",
     .help = "Where weights are written: as they were read, all in the model, or all of 1 KiB and more in a file "
             "beside it, OUT.onnx.data."},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_data_place lorac_write_place(const struct lorac_write_settings *write)
{
    return (enum lorac_data_place)write->external_data;
}

void lorac_write_note_unused(const struct lorac_call *call, const char *output, const struct lorac_saved *saved)
{
    if (saved->unused[0])
        lorac_report_note(call,
                          "note: '%s', beside '%s', is no longer used by it; unless a copy of the old model needs it, it "
                          "can be deleted",
                          saved->unused, output);
}

// ---- optimisers

const char *const lorac_form_policy_names[] = {"auto", "definition", "branch", NULL};

const char *lorac_optimizer_name_at(size_t i)
{
    size_t count;
    const struct lorac_optimizer *const *all = lorac_optimizer_all(&count);
    return i < count ? all[i]->name : NULL;
}

// ---- run

#define FIELD(member) offsetof(struct lorac_run_settings, member)
// clang-format off
const struct lorac_option lorac_run_options[] = {
    {.name = "threads", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(threads),
     .help = "Threads to work with; any number gives the same results to the bit.", .fallback = "0",
     .fallback_text = "0: all processors", .limit = LORAC_FROM_TO(0, 1024)},
    {.name = "input-size", .type = LORAC_OPTION_SIZE, .value = "HxW", .offset = FIELD(size),
     .help = "Height and width of the images, for a model that leaves them free."},
    {.name = "exact", .type = LORAC_OPTION_FLAG, .offset = FIELD(exact),
     .help = "Compute convolutions as plain sums only, slower: none of the forms that save products (Winograd) and may "
             "round more."},
    {0},
};
// clang-format on
#undef FIELD

void lorac_run_note_threads(const struct lorac_call *call, const struct lorac_run_settings *run)
{
    size_t processors = lorac_parallel_processors();
    if (run->threads > 0 && (uint64_t)run->threads > processors)
        lorac_report_note(call,
                          "--threads %lld on %zu processor%s: threads wait for one another by spinning, so this is far "
                          "slower than --threads %zu",
                          (long long)run->threads, processors, processors == 1 ? "" : "s", processors);
}

void lorac_run_apply(const struct lorac_run_settings *run, int64_t batch, struct lorac_prepare_options *options)
{
    options->threads = (size_t)run->threads;
    options->batch = (size_t)batch;
    options->height = run->size.height;
    options->width = run->size.width;
    options->exact = run->exact;
}

enum lorac_status lorac_run_prepare(struct lorac_net *net, const char *name,
                                    const struct lorac_prepare_options *options, struct lorac_error *error)
{
    char outputs[LORAC_OUTPUTS_TEXT];
    const enum lorac_status status = lorac_prepare(net, options, error);
    if (status == LORAC_OK)
        return LORAC_OK;
    if (error->status == LORAC_ERROR_MEMORY && options->batch > 1)
        lorac_report_append(error, options->training ? "; use a --micro-batch, or a smaller --batch"
                                                     : "; use a smaller --batch");
    if (error->status == LORAC_ERROR_UNSUPPORTED)
        lorac_report_append(error, lorac_outputs_text(net->model, outputs));
    return lorac_error_prefix(error, status, "'%s': ", name);
}

enum lorac_status lorac_rehearse_open(struct lorac_model **model, struct lorac_net **net, struct lorac_error *error)
{
    struct lorac_model *taken = *model;
    *model = NULL;
    return lorac_net_open_model(taken, net, error);
}

// ---- memory

#define FIELD(member) offsetof(struct lorac_memory_settings, member)
// clang-format off
const struct lorac_option lorac_memory_options[] = {
    {.name = "memory-budget", .type = LORAC_OPTION_STRING, .value = "SIZE", .offset = FIELD(budget),
     .fallback_text = "none",
     .help = "Most resident memory that the process may take, as 150M or 1.5G: the fastest way that fits, as predicted."},
    {.name = "micro-batch", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(micro_batch),
     .fallback_text = "--batch, or by --memory-budget",
     .help = "Images that are run at once, a divisor of --batch: less memory, the same step up to rounding.",
     .limit = LORAC_FROM_TO(1, 65536)},
    {.name = "recompute", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(recompute), .fallback = "0",
     .help = "Keep less for the way back: cut the network into about N segments and compute all but the last a second "
             "time there. At most one more forward pass of time, and the same result to the bit; 0: keep all.",
     .limit = LORAC_FROM_TO(0, 65536)},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_status lorac_memory_check(const struct lorac_memory_settings *memory, int64_t batch,
                                     struct lorac_error *error)
{
    if (memory->micro_batch > 0 && batch % memory->micro_batch != 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--micro-batch %lld does not divide --batch %lld",
                               (long long)memory->micro_batch, (long long)batch);
    size_t bytes = SIZE_MAX;
    if (memory->budget && !lorac_size_parse(memory->budget, &bytes))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--memory-budget %s: must be a size: 150M, 1.5G, 140MiB, or a number of bytes",
                               memory->budget);
    if (bytes < 1000000 && !memory->budget[strspn(memory->budget, "0123456789.")])
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--memory-budget %s is %zu byte%s; did you mean %sM?",
                               memory->budget, bytes, bytes == 1 ? "" : "s", memory->budget);
    return LORAC_OK;
}

bool lorac_size_parse(const char *text, size_t *bytes)
{
    static const char letters[] = "KMG";
    const size_t digits = strspn(text, "0123456789.");
    char *end;
    double value = strtod(text, &end);
    if (digits == 0 || end != text + digits)
        return false;
    const char *letter = *end ? strchr(letters, *end) : NULL;
    if (letter) {
        const bool binary = end[1] == 'i';
        for (const char *unit = letters; unit <= letter; unit++)
            value *= binary ? 1024 : 1000;
        end += binary ? 2 : 1;
    }
    end += *end == 'B';
    if (*end || !(value >= 1 && value < 0x1p62))
        return false;
    *bytes = (size_t)(value + 0.5);
    return true;
}

void lorac_memory_apply(const struct lorac_memory_settings *memory, struct lorac_prepare_options *options)
{
    if (memory->budget)
        lorac_size_parse(memory->budget, &options->memory_budget);
    options->micro_batch = (size_t)memory->micro_batch;
    options->recompute = (size_t)memory->recompute;
}

const char *lorac_budget_text(struct lorac_net *net, char text[LORAC_BUDGET_TEXT])
{
    char limit[LORAC_BYTES_TEXT], peak[LORAC_BYTES_TEXT], budget[LORAC_BYTES_TEXT], packed[64] = "any algorithm";
    char again[64] = "";
    struct lorac_memory_prediction memory = {0};
    lorac_net_predict_memory(net, &memory, NULL); // the plan is there: it cannot fail
    if (net->program->packed_limit > 1)
        snprintf(packed, sizeof packed, "packed weights of at most %s a layer",
                 lorac_bytes_text(net->program->packed_limit, limit));
    else if (net->program->packed_limit == 1)
        snprintf(packed, sizeof packed, "algorithms that pack least");
    if (net->program->recompute_segments > 1)
        snprintf(again, sizeof again, ", recomputation in %zu segments", net->program->recompute_segments);
    snprintf(text, LORAC_BUDGET_TEXT, "micro-batches of %zu, %s%s; %s predicted of %s", net->options.micro_batch, packed,
             again, lorac_bytes_text(memory.peak_bytes, peak), lorac_bytes_text(net->options.memory_budget, budget));
    return text;
}

const char *lorac_batch_text(const struct lorac_net *net, char text[LORAC_BATCH_TEXT])
{
    const struct lorac_prepare_options *options = &net->options;
    if (options->micro_batch == options->batch)
        snprintf(text, LORAC_BATCH_TEXT, "%zu", options->batch);
    else
        snprintf(text, LORAC_BATCH_TEXT, "%zu (in micro-batches of %zu)", options->batch, options->micro_batch);
    return text;
}

enum lorac_status lorac_run_input_shape(const struct lorac_run_settings *run, const struct lorac_input_shape *declared,
                                        struct lorac_input_shape *out, struct lorac_error *error)
{
    struct lorac_input_shape shape = *declared;
    if ((shape.height && run->size.height && shape.height != run->size.height) ||
        (shape.width && run->size.width && shape.width != run->size.width))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--input-size %zux%zu: the model takes %zux%zu",
                               run->size.height, run->size.width, shape.height, shape.width);
    if (!shape.height)
        shape.height = run->size.height;
    if (!shape.width)
        shape.width = run->size.width;
    if (!shape.height || !shape.width)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model leaves the size of its input '%s' free: give --input-size HxW", shape.name);
    *out = shape;
    return LORAC_OK;
}

// ---- pixels

static const char *const channel_orders[] = {"rgb", "bgr", NULL};
static const char *const normalizations[] = {"none", NULL};

#define FIELD(member) offsetof(struct lorac_pixel_settings, member)
// clang-format off
const struct lorac_option lorac_pixel_options[] = {
    {.name = "scale", .type = LORAC_OPTION_DOUBLE, .value = "X", .offset = FIELD(scale), .fallback = "1/255",
     .help = "uint8 pixels become (value*scale - mean)/std."},
    {.name = "mean", .type = LORAC_OPTION_DOUBLES, .value = "M,..", .offset = FIELD(mean), .fallback_text = "0",
     .help = "Mean of each channel of the model's input, or one for all."},
    {.name = "std", .type = LORAC_OPTION_DOUBLES, .value = "S,..", .offset = FIELD(std), .fallback_text = "1",
     .help = "Standard deviation of each channel, or one for all.", .limit = LORAC_ABOVE(0)},
    {.name = "channel-order", .type = LORAC_OPTION_ENUM, .choices = channel_orders, .offset = FIELD(channel_order),
     .fallback = "rgb", .help = "Order of the channels in the model's input; images are always read as RGB."},
    {.name = "normalize", .type = LORAC_OPTION_ENUM, .choices = normalizations, .offset = FIELD(normalize),
     .help = "none: uint8 pixels are taken as the numbers they are."},
    {0},
};
// clang-format on
#undef FIELD

static const char *const arithmetic_flags[] = {"scale", "mean", "std"};

enum lorac_status lorac_pixels_check(const struct lorac_call *call, struct lorac_error *error)
{
    if (!lorac_options_given(&call->options, "normalize"))
        return LORAC_OK;
    for (size_t i = 0; i < sizeof arithmetic_flags / sizeof *arithmetic_flags; i++)
        if (lorac_options_given(&call->options, arithmetic_flags[i]))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--normalize none contradicts --%s: give one of them",
                                   arithmetic_flags[i]);
    return LORAC_OK;
}

bool lorac_pixels_given(const struct lorac_call *call)
{
    for (const struct lorac_option *option = lorac_pixel_options; option->name; option++)
        if (lorac_options_given(&call->options, option->name))
            return true;
    return false;
}

void lorac_pixels_resolve(const struct lorac_call *call, const struct lorac_pixel_settings *pixels,
                          const struct lorac_input_meta *record, struct lorac_input_meta *out)
{
    const struct lorac_option_set *options = &call->options;
    struct lorac_input_meta input = {.scale = pixels->scale}; // the default where it was not given
    if (record && record->given)
        input = *record;
    if (!lorac_pixels_given(call)) {
        *out = input;
        return;
    }
    input.given = true;
    if (pixels->normalize >= 0) { // "none"
        input.scale = 1;
        input.mean_count = input.std_count = 0;
    }
    if (lorac_options_given(options, "scale"))
        input.scale = pixels->scale;
    if (lorac_options_given(options, "mean")) {
        input.mean_count = pixels->mean.count;
        memcpy(input.mean, pixels->mean.values, sizeof pixels->mean.values);
    }
    if (lorac_options_given(options, "std")) {
        input.std_count = pixels->std.count;
        memcpy(input.std, pixels->std.values, sizeof pixels->std.values);
    }
    if (lorac_options_given(options, "channel-order"))
        input.bgr = pixels->channel_order == 1;
    *out = input;
}

_Static_assert((int)LORAC_DOUBLES_MAX == (int)LORAC_MAX_CHANNELS, "the lists are copied whole");

void lorac_pixels_note_unused(const struct lorac_call *call, const struct lorac_dataset *dataset)
{
    if (dataset->element == LORAC_ELEMENT_F32 && lorac_pixels_given(call))
        lorac_report_note(call, "note: the images are float32 and are taken as they are: "
                                "--scale, --mean, --std, --channel-order and --normalize are not used");
}

enum lorac_status lorac_pixels_prepare(const struct lorac_call *call, const struct lorac_pixel_settings *pixels,
                                       const struct lorac_input_meta *record, const struct lorac_dataset *dataset,
                                       struct lorac_normalize *out, struct lorac_error *error)
{
    *out = (struct lorac_normalize){0};
    if (dataset->element == LORAC_ELEMENT_F32)
        return LORAC_OK;
    struct lorac_input_meta input;
    lorac_pixels_resolve(call, pixels, record, &input);
    if (!input.given)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the images are uint8, and neither the model nor the command says how pixels become "
                               "numbers: give --mean and --std (and --scale, --channel-order), or --normalize none");
    LORAC_TRY(lorac_input_meta_check(&input, dataset->channels, error));
    return lorac_normalize_init(out, &input, dataset->channels, error);
}

// ---- files

static enum lorac_status check_folder(const char *option, const char *path, struct lorac_error *error)
{
    struct stat info;
    char *folder = lorac_path_folder(path);
    if (!folder)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    enum lorac_status status = LORAC_OK;
    if (stat(folder, &info) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "%s '%s': cannot use the folder '%s': %s", option, path, folder,
                                 strerror(errno));
    else if (!S_ISDIR(info.st_mode))
        status = lorac_error_set(error, LORAC_ERROR_IO, "%s '%s': '%s' is not a folder", option, path, folder);
    else if (access(folder, W_OK | X_OK) != 0)
        status = lorac_error_set(error, LORAC_ERROR_IO, "%s '%s': the folder '%s' cannot be written: %s", option, path,
                                 folder, strerror(errno));
    free(folder);
    return status;
}

// A picture that is there, by its name or by what is in it, is somebody's, whatever set it belongs to.
static bool is_picture(const char *path)
{
    unsigned char first[4] = {0};
    if (lorac_image_list_is_picture(path))
        return true;
    FILE *file = fopen(path, "rb");
    const size_t count = file ? fread(first, 1, sizeof first, file) : 0;
    if (file)
        fclose(file);
    return count == sizeof first && (memcmp(first, "\xff\xd8\xff", 3) == 0 || memcmp(first, "\x89PNG", 4) == 0);
}

enum lorac_status lorac_output_check(const char *option, const char *path, const char *const *inputs,
                                     struct lorac_error *error)
{
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode))
        return lorac_error_set(error, LORAC_ERROR_IO, "%s '%s' is %s: give the name of a file", option, path,
                               S_ISDIR(info.st_mode) ? "a folder" : "not an ordinary file");
    if (exists && is_picture(path))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s '%s' is a picture that is there already: give another name",
                               option, path);
    for (; *inputs; inputs++)
        if (**inputs && lorac_path_same(*inputs, path))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s '%s' is also an input: give another name", option,
                                   path);
    return check_folder(option, path, error);
}

enum lorac_status lorac_output_check_model(const char *option, const char *path, const struct lorac_model *model,
                                           struct lorac_error *error)
{
    struct stat info;
    if (model->storage && stat(path, &info) == 0 &&
        (lorac_mapping_is(&model->storage->model_file, &info) || lorac_storage_has(model->storage, &info)))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "%s '%s' is also an input, the model's own data: give another name", option, path);
    return LORAC_OK;
}
