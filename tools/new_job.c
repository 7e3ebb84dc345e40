#include "new_job.h"

#include "proto/model_inline.h"
#include "report.h"
#include "trial.h"
#include "verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 1000000, MOST_NAME_BYTES = 1000 };

#define ONE_CLASS "the loss over one class is always 0, so that nothing would be learnt"

#define FIELD(member) offsetof(struct lorac_new_job_settings, member)
// clang-format off
const struct lorac_option lorac_new_job_options[] = {
    {.name = "classes", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(classes),
     .fallback_text = "the model's", .help = "A fresh last layer for N classes, from the seed; trained. Names of the old "
                                             "classes go.",
     .limit = {.has_low = true, .low = 2, .has_high = true, .high = MOST_CLASSES, .why = ONE_CLASS}},
    {.name = "class-names", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(class_names),
     .fallback_text = "none", .help = "Names of the new classes, one a line, recorded in the model; their number is "
                                      "--classes."},
    {.name = "label-names", .type = LORAC_OPTION_PATH, .value = "FILE", .offset = FIELD(label_names),
     .fallback_text = "the model's record",
     .help = "Names of the classes that the model has, one a line, recorded in the model; the last layer stays."},
    {.name = "small-image-stem", .type = LORAC_OPTION_FLAG, .offset = FIELD(small_image_stem),
     .help = "For images of about 32x32: a fresh first convolution of 3x3 with stride 1, trained, and no max-pooling "
             "behind it."},
    {.name = "input-size", .type = LORAC_OPTION_SIZE, .value = "HxW", .offset = FIELD(size),
     .fallback_text = "the model's", .help = "Images of another size, where the graph allows it."},
    {.name = "output-name", .type = LORAC_OPTION_STRING, .value = "NAME", .offset = FIELD(output_name),
     .fallback_text = "the model's record, else its first",
     .help = "Which of several outputs is trained and evaluated; recorded in the model."},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_status lorac_new_job_check(const struct lorac_call *call, const struct lorac_new_job_settings *settings,
                                      struct lorac_error *error)
{
    bool new_head = settings->classes > 0 || settings->class_names;
    if (new_head && settings->label_names)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--label-names contradicts --%s: it names the classes of the old last layer, and keeps it",
                               settings->classes > 0 ? "classes" : "class-names");
    if (new_head && lorac_options_given(&call->options, "no-train-last"))
        return lorac_error_set(
            error, LORAC_ERROR_ARGUMENT,
            "--no-train-last contradicts --%s: a fresh last layer knows nothing before it is trained",
            settings->classes > 0 ? "classes" : "class-names");
    return LORAC_OK;
}

void lorac_new_job_clear(struct lorac_new_job *job)
{
    for (int64_t i = 0; job->class_names && i < job->name_count; i++)
        free(job->class_names[i]);
    free(job->class_names);
    job->class_names = NULL;
}

// ---- names of classes

static enum lorac_status add_name(struct lorac_new_job *job, const char *path, char *line, struct lorac_error *error)
{
    size_t length = strcspn(line, "\r\n");
    const char *problem = NULL;
    if (length > MOST_NAME_BYTES)
        problem = "too long a name";
    else if (length == 0)
        problem = "no name";
    else if (job->name_count == MOST_CLASSES)
        problem = "too many names";
    if (problem)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' line %" PRId64 ": %s; one class name a line", path,
                               job->name_count + 1, problem);
    char **larger = realloc(job->class_names, ((size_t)job->name_count + 1) * sizeof *larger);
    if (larger)
        job->class_names = larger;
    char *name = larger ? malloc(length + 1) : NULL;
    if (!name)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory", path);
    memcpy(name, line, length);
    name[length] = '\0';
    job->class_names[job->name_count++] = name;
    return LORAC_OK;
}

struct line {
    const char *name;
    int64_t number; // from 0
};

// By name, then by line.
static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

// Nobody could tell two classes of one name apart.
static enum lorac_status check_different(const struct lorac_new_job *job, const char *path, struct lorac_error *error)
{
    struct line *lines = malloc((size_t)job->name_count * sizeof *lines);
    enum lorac_status status = LORAC_OK;
    if (!lines)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory", path);
    for (int64_t i = 0; i < job->name_count; i++)
        lines[i] = (struct line){job->class_names[i], i};
    qsort(lines, (size_t)job->name_count, sizeof *lines, compare_lines);
    for (int64_t i = 1; i < job->name_count && status == LORAC_OK; i++)
        if (strcmp(lines[i - 1].name, lines[i].name) == 0)
            status = lorac_error_set(error, LORAC_ERROR_FORMAT,
                                     "'%s': the lines %" PRId64 " and %" PRId64
                                     " both say '%s'; each class needs a name of its own",
                                     path, lines[i - 1].number + 1, lines[i].number + 1, lines[i].name);
    free(lines);
    return status;
}

static enum lorac_status read_names(struct lorac_new_job *job, const char *path, struct lorac_error *error)
{
    char line[MOST_NAME_BYTES + 3];
    enum lorac_status status = LORAC_OK;
    FILE *file = fopen(path, "r");
    if (!file)
        return lorac_error_set(error, LORAC_ERROR_IO, "cannot open '%s': %s", path, strerror(errno));
    while (status == LORAC_OK && fgets(line, sizeof line, file))
        status = add_name(job, path, line, error);
    if (status == LORAC_OK && ferror(file))
        status = lorac_error_set(error, LORAC_ERROR_IO, "cannot read '%s': %s", path, strerror(errno));
    fclose(file);
    if (status == LORAC_OK && job->name_count == 0)
        status = lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' is empty; one class name a line", path);
    if (status == LORAC_OK && job->name_count == 1)
        status =
            lorac_error_set(error, LORAC_ERROR_FORMAT, "'%s' names one class, and two are the least: " ONE_CLASS, path);
    return status == LORAC_OK ? check_different(job, path, error) : status;
}

// ---- the passes

static enum lorac_status replace_head(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                      struct lorac_inject_options *options, struct lorac_new_job *job,
                                      struct lorac_error *error)
{
    struct lorac_pass_report report;
    char outputs[LORAC_OUTPUTS_TEXT];
    if (settings->class_names) {
        LORAC_TRY(read_names(job, settings->class_names, error));
        if (settings->classes > 0 && settings->classes != job->name_count)
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "'%s' names %" PRId64 " classes, and --classes says %" PRId64
                                   "; leave --classes out",
                                   settings->class_names, job->name_count, settings->classes);
    }
    const struct lorac_replace_head_options head = {.classes = settings->class_names ? job->name_count : settings->classes,
                                                    .class_names = (const char *const *)job->class_names,
                                                    .seed = options->seed,
                                                    .output = options->output};
    if (head.classes == 0)
        return LORAC_OK;
    enum lorac_status status = lorac_pass_replace_head.run(model, &head, &report, error);
    if (status == LORAC_ERROR_UNSUPPORTED)
        lorac_report_append(error, lorac_outputs_text(model, outputs));
    LORAC_TRY(status);
    job->classes = head.classes;
    options->train_last = true;
    return LORAC_OK;
}

// The names of the classes that the old last layer has.
static enum lorac_status record_names(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                      const struct lorac_inject_options *options, struct lorac_new_job *job,
                                      struct lorac_error *error)
{
    struct lorac_meta meta;
    struct lorac_trial trial;
    struct lorac_input_shape input;
    if (!settings->label_names)
        return LORAC_OK;
    LORAC_TRY(read_names(job, settings->label_names, error));
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (options->output)
        meta.output = options->output;
    LORAC_TRY(lorac_input_shape(model, &input, error));
    const struct lorac_size given = {input.height ? 0 : settings->size.height, input.width ? 0 : settings->size.width};
    LORAC_TRY(lorac_error_prefix(error, lorac_trial_size(model, &meta, &given, false, &trial, error),
                                 "--label-names cannot be checked, because the model cannot be run here: "));
    if (trial.classes != (uint64_t)job->name_count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' names %" PRId64 " classes, and the model has %zu: give a name for each, in the order "
                               "of its outputs; for other classes use --class-names, which starts a new last layer",
                               settings->label_names, job->name_count, trial.classes);
    return lorac_meta_set_classes(model, (size_t)job->name_count, (const char *const *)job->class_names, error);
}

static enum lorac_status replace_stem(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                      struct lorac_inject_options *options, struct lorac_new_job *job,
                                      struct lorac_error *error)
{
    const struct lorac_small_image_stem_options stem = {
        .replace = true, .seed = options->seed, .output = options->output};
    struct lorac_pass_report report;
    if (!settings->small_image_stem)
        return LORAC_OK;
    LORAC_TRY(lorac_pass_small_image_stem.run(model, &stem, &report, error));
    job->stem = true;
    job->pool_removed = report.skipped == 0;
    options->train_first = true;
    return LORAC_OK;
}

static enum lorac_status set_size(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                  struct lorac_new_job *job, struct lorac_error *error)
{
    struct lorac_input_shape input;
    struct lorac_pass_report report;
    if (settings->size.height == 0)
        return LORAC_OK;
    LORAC_TRY(lorac_input_shape(model, &input, error));
    const struct lorac_set_input_size_options size = {.height = (int64_t)settings->size.height,
                                                      .width = (int64_t)settings->size.width,
                                                      .channels_last = input.channels_last};
    job->size = true;
    return lorac_pass_set_input_size.run(model, &size, &report, error);
}

// ---- does it run, before and after?

// [size] is used where the model leaves its own free.
static enum lorac_status try_run(struct lorac_model *model, const struct lorac_size *size, struct lorac_error *error)
{
    struct lorac_input_shape input;
    struct lorac_meta meta;
    struct lorac_trial trial;
    LORAC_TRY(lorac_input_shape(model, &input, error));
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    const struct lorac_size given = {input.height ? 0 : size->height, input.width ? 0 : size->width};
    return lorac_trial_size(model, &meta, &given, meta.injected, &trial, error);
}

// Any model can be injected, also one that cannot be run here: but then nobody can say what another size does to it.
static enum lorac_status look_before(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                     struct lorac_new_job *job, struct lorac_error *error)
{
    struct lorac_error reason = {0};
    bool sizes = settings->small_image_stem || settings->size.height > 0;
    if (!sizes && settings->classes == 0 && !settings->class_names)
        return LORAC_OK;
    enum lorac_status status = try_run(model, &settings->size, &reason);
    job->runs = status == LORAC_OK;
    if (job->runs || !sizes)
        return LORAC_OK;
    return lorac_error_set(error, status, "--%s cannot be checked, because the model cannot be run here: %s",
                           settings->small_image_stem ? "small-image-stem" : "input-size", reason.message);
}

enum lorac_status lorac_new_job_verify(const struct lorac_new_job *job, struct lorac_model *model,
                                       struct lorac_error *error)
{
    const struct lorac_size none = {0};
    if (!job->runs)
        return LORAC_OK;
    enum lorac_status status = try_run(model, &none, error);
    if (status == LORAC_OK || status == LORAC_ERROR_MEMORY)
        return status;
    lorac_error_prefix(error, status, "the changed model would not run: ");
    if (job->stem || job->size)
        lorac_report_append(error, "; choose another --input-size, or take a model that pools globally");
    return status;
}

// ---- the whole

enum lorac_status lorac_new_job_apply(const struct lorac_new_job_settings *settings, struct lorac_model *model,
                                      struct lorac_inject_options *options, struct lorac_new_job *job,
                                      struct lorac_error *error)
{
    if (settings->output_name)
        LORAC_TRY(lorac_meta_output(model, NULL, settings->output_name, &options->output, error));
    LORAC_TRY(record_names(settings, model, options, job, error));
    LORAC_TRY(look_before(settings, model, job, error));
    LORAC_TRY(replace_stem(settings, model, options, job, error));
    LORAC_TRY(replace_head(settings, model, options, job, error));
    return set_size(settings, model, job, error);
}

void lorac_new_job_print(const struct lorac_new_job *job, const struct lorac_new_job_settings *settings)
{
    if (job->call_count > 0)
        printf("wrote out %zu call%s of local functions\n", job->call_count, job->call_count == 1 ? "" : "s");
    if (job->stem)
        printf("new first convolution, 3x3 with stride 1; %s\n",
               job->pool_removed ? "took the max-pooling behind it out" : "no max-pooling was behind it");
    if (job->classes > 0)
        printf("new last layer for %" PRId64 " classes\n", job->classes);
    if (settings->label_names)
        printf("recorded the names of %" PRId64 " classes\n", job->name_count);
    if (job->size)
        printf("input size %zux%zu\n", settings->size.height, settings->size.width);
}
