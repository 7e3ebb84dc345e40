#include "train_validation.h"

#include "picture_check.h"
#include "report.h"
#include "runtime/train/fill.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ---- options

// In the order of enum lorac_keep.
static const char *const keeps[] = {"last", "best", NULL};

#define FIELD(member) offsetof(struct lorac_validation_settings, member)
// clang-format off
const struct lorac_option lorac_train_validation_options[] = {
    {.name = "val", .type = LORAC_OPTION_PATH, .value = "SHARE|FILE", .offset = FIELD(val),
     .help = "Images to score the model on while it is trained: a share of --data above 0 and below 1, of each class, "
             "which is not trained on; or a set of its own, opened as --data and corrupted alike."},
    {.name = "val-labels", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(labels),
     .help = "Labels of the set of --val."},
    {.name = "val-range", .type = LORAC_OPTION_RANGE, .value = "A:B", .offset = FIELD(range), .fallback_text = "all",
     .help = "Only the images A to B-1 of the set of --val."},
    {.name = "val-every", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(every), .fallback = "1",
     .help = "Epochs from one validation to the next; the end of training is always validated.",
     .limit = LORAC_FROM_TO(1, 1000000)},
    {.name = "patience", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(patience),
     .fallback_text = "never", .help = "Epochs without a better validation after which training ends.",
     .limit = LORAC_FROM_TO(1, 1000000)},
    {.name = "keep", .type = LORAC_OPTION_ENUM, .choices = keeps, .offset = FIELD(keep),
     .fallback_text = "best with --val, else last",
     .help = "Which values are written: of the last step, or of the best validation: the highest accuracy, then the "
             "lowest loss, then the earliest."},
    {0},
};
// clang-format on
#undef FIELD

static bool read_share(const char *text, double *share)
{
    char *end;
    *share = strtod(text, &end);
    if (end == text)
        return false;
    if (*end == '/') {
        const char *below = end + 1;
        *share /= strtod(below, &end);
        if (end == below)
            return false;
    }
    return *end == '\0';
}

bool lorac_validation_is_share(const char *text)
{
    double share;
    return read_share(text, &share);
}

static bool is_path(const struct lorac_validation_settings *settings)
{
    return settings->val && !lorac_validation_is_share(settings->val);
}

const char *lorac_validation_path(const struct lorac_validation_settings *settings)
{
    return is_path(settings) ? settings->val : "";
}

const char *lorac_validation_labels(const struct lorac_validation_settings *settings)
{
    return settings->labels ? settings->labels : "";
}

static bool keeps_best(const struct lorac_validation_settings *settings)
{
    return settings->val && settings->keep != LORAC_KEEP_LAST;
}

enum lorac_status lorac_train_validation_check(const struct lorac_call *call,
                                               const struct lorac_validation_settings *settings,
                                               struct lorac_error *error)
{
    static const char *const need_val[] = {"val-labels", "val-range", "val-every", "patience"};
    static const char *const need_path[] = {"val-labels", "val-range"};
    double share;
    for (size_t i = 0; !settings->val && i < sizeof need_val / sizeof *need_val; i++)
        if (lorac_options_given(&call->options, need_val[i]))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--%s needs --val", need_val[i]);
    if (!settings->val)
        return settings->keep != LORAC_KEEP_BEST
                   ? LORAC_OK
                   : lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--keep best needs --val");
    if (!read_share(settings->val, &share))
        return LORAC_OK;
    if (!(share > 0 && share < 1))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--val %s: a share must be above 0 and below 1 (a file of that name is ./%s)",
                               settings->val, settings->val);
    for (size_t i = 0; i < sizeof need_path / sizeof *need_path; i++)
        if (lorac_options_given(&call->options, need_path[i]))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "--%s is for a set of its own, but --val %s is a share of --data", need_path[i],
                                   settings->val);
    return LORAC_OK;
}

// ---- images

static enum lorac_status open_share(struct lorac_train_validation *validation,
                                    const struct lorac_train_data_request *request, double share,
                                    const struct lorac_train_data *data, struct lorac_error *error)
{
    const struct lorac_dataset *dataset = &data->dataset;
    LORAC_TRY(lorac_error_prefix(
        error, lorac_split_make(dataset->labels, dataset->count, share, request->data->seed, &validation->split, error),
        "--val %s: ", validation->settings->val));
    const size_t kept = validation->split.kept_count;
    if (kept < request->batch)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--batch %zu: --val %s leaves only %zu images to train on: give at most %zu",
                               request->batch, validation->settings->val, kept, kept);
    validation->source = (struct lorac_batch_source){.dataset = dataset, .normalize = data->normalize};
    return LORAC_OK;
}

static enum lorac_status open_path(struct lorac_train_validation *validation,
                                   const struct lorac_train_data_request *request, const struct lorac_net *net,
                                   const struct lorac_input_shape *shape, const struct lorac_train_data *trained,
                                   struct lorac_error *error)
{
    const struct lorac_validation_settings *settings = validation->settings;
    struct lorac_data_settings data = *request->data; // the corruption and its seed are those of --data
    data.data = settings->val;
    data.labels = settings->labels;
    data.range = settings->range;
    const struct lorac_data_request opened = lorac_train_data_request(request, &data, net, shape, trained);
    const enum lorac_status status = lorac_data_open(&opened, &validation->dataset, error);
    if (status == LORAC_ERROR_IO)
        return lorac_error_prefix(error, status, "--val: ");
    LORAC_TRY(status);
    if (!validation->dataset.labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--val '%s' has no labels: give --val-labels FILE",
                               settings->val);
    validation->source = (struct lorac_batch_source){.dataset = &validation->dataset};
    return lorac_pixels_prepare(request->call, request->pixels, &net->meta.input, &validation->dataset,
                                &validation->source.normalize, error);
}

// Training goes through an epoch before the first validation: what can be told of the pictures is told now.
static enum lorac_status check_pictures(const struct lorac_train_validation *validation,
                                        const struct lorac_data_settings *data, struct lorac_error *error)
{
    const struct lorac_split *split = &validation->split;
    const struct lorac_picture_check check = {.dataset = validation->source.dataset,
                                              .images = split->images ? split->images + split->kept_count : NULL,
                                              .count = split->held_count,
                                              .resize = (size_t)data->resize,
                                              .broken_share = data->broken_share};
    return lorac_error_prefix(error, lorac_picture_check(&check, error), "--val %s: ", validation->settings->val);
}

enum lorac_status lorac_train_validation_open(struct lorac_train_validation *validation,
                                              const struct lorac_train_data_request *request,
                                              const struct lorac_net *net, const struct lorac_input_shape *shape,
                                              const struct lorac_train_data *data, struct lorac_error *error)
{
    const struct lorac_validation_settings *settings = validation->settings;
    double share;
    if (!settings->val || validation->open)
        return LORAC_OK;
    LORAC_TRY(read_share(settings->val, &share) ? open_share(validation, request, share, data, error)
                                                : open_path(validation, request, net, shape, data, error));
    LORAC_TRY(check_pictures(validation, request->data, error));
    validation->open = true;
    return LORAC_OK;
}

size_t lorac_train_validation_bytes(const struct lorac_train_validation *validation, const struct lorac_net *net,
                                    size_t loader_threads)
{
    const struct lorac_dataset *dataset = &validation->dataset;
    size_t bytes = dataset->count > 0 ? lorac_dataset_bytes(dataset, loader_threads) : 0;
    bytes += (validation->split.kept_count + validation->split.held_count) * sizeof *validation->split.images;
    return keeps_best(validation->settings) ? bytes + lorac_best_bytes(net) : bytes;
}

static void note_start(const struct lorac_train_validation *validation, const struct lorac_call *call)
{
    char text[LORAC_DATA_TEXT];
    const struct lorac_split *split = &validation->split;
    const struct lorac_dataset *dataset = &validation->dataset;
    if (split->images)
        lorac_report_note(call, "validation: on %zu of the images, which leaves %zu to train on", split->held_count,
                          split->kept_count);
    else
        lorac_report_note(call, "validation: on %zu images (%s) of '%s'", dataset->count,
                          lorac_data_text(dataset, text), validation->settings->val);
}

enum lorac_status lorac_train_validation_prepare(struct lorac_train_validation *validation,
                                                 const struct lorac_call *call, struct lorac_net *net,
                                                 struct lorac_train_checkpoint *checkpoint, struct lorac_error *error)
{
    const struct lorac_validation_settings *settings = validation->settings;
    const struct lorac_split *split = &validation->split;
    if (!settings->val)
        return LORAC_OK;
    const struct lorac_validation_options options = {.source = &validation->source,
                                                     .images = split->images ? split->images + split->kept_count : NULL,
                                                     .count = split->held_count,
                                                     .every = settings->every,
                                                     .patience = settings->patience,
                                                     .keep_values = keeps_best(settings),
                                                     .callback = lorac_train_checkpoint_validating,
                                                     .context = checkpoint};
    LORAC_TRY(lorac_error_prefix(error, lorac_validation_create(&validation->validation, net, &options, error),
                                 "'%s': ", split->images ? "--data" : settings->val));
    note_start(validation, call);
    return LORAC_OK;
}

void lorac_train_validation_clear(struct lorac_train_validation *validation)
{
    lorac_validation_clear(&validation->validation);
    lorac_split_clear(&validation->split);
    lorac_dataset_clear(&validation->dataset);
    *validation = (struct lorac_train_validation){.settings = validation->settings};
}

// ---- the run

void lorac_train_validation_apply(struct lorac_train_validation *validation, struct lorac_loop_options *loop)
{
    if (!validation->open)
        return;
    loop->images = validation->split.images;
    loop->image_count = validation->split.kept_count;
    loop->validation = &validation->validation;
}

bool lorac_train_validation_restore(struct lorac_train_validation *validation)
{
    const struct lorac_best *best = &validation->validation.best;
    if (!best->values || best->mark.epoch == 0)
        return false;
    lorac_best_restore(best);
    return true;
}

const char *lorac_train_validation_values(const struct lorac_train_validation *validation,
                                          char text[LORAC_VALUES_TEXT])
{
    snprintf(text, LORAC_VALUES_TEXT, "the best values so far (after epoch %" PRIu64 ")",
             validation->validation.best.mark.epoch);
    return text;
}

void lorac_train_validation_print(const struct lorac_train_validation *validation, FILE *file)
{
    const struct lorac_best_mark *mark = &validation->validation.best.mark;
    if (mark->epoch == 0)
        return;
    fprintf(file, "best after epoch %" PRIu64 ": accuracy %.2f %% on %" PRIu64 " validation images%s\n", mark->epoch,
            100 * lorac_best_accuracy(mark), mark->images,
            keeps_best(validation->settings) ? "" : "; the last values are kept");
}
