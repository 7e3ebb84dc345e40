#include "train_checkpoint.h"

#include "groups.h"
#include "report.h"
#include "signals.h"
#include "train_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const double default_minutes = 10;

#define FIELD(member) offsetof(struct lorac_checkpoint_settings, member)
// clang-format off
const struct lorac_option lorac_checkpoint_options[] = {
    {.name = "checkpoint", .type = LORAC_OPTION_PATH, .value = "FOLDER", .offset = FIELD(folder),
     .help = "Keep what is needed to go on in this folder, which is made where it is not there."},
    {.name = "checkpoint-steps", .type = LORAC_OPTION_UINT64, .value = "N", .offset = FIELD(steps),
     .fallback_text = "by minutes", .help = "A checkpoint after so many steps.", .limit = LORAC_FROM_TO(1, 1e12)},
    {.name = "checkpoint-minutes", .type = LORAC_OPTION_DOUBLE, .value = "M", .offset = FIELD(minutes),
     .fallback_text = "10, or by steps", .help = "A checkpoint after so many minutes; with --checkpoint-steps: whichever "
                                                "comes first.", .limit = LORAC_ABOVE(0)},
    {.name = "checkpoint-keep", .type = LORAC_OPTION_INT64, .value = "K", .offset = FIELD(keep), .fallback = "2",
     .help = "How many stay: older ones are removed.", .limit = LORAC_FROM_TO(1, 1000)},
    {.name = "resume", .type = LORAC_OPTION_FLAG, .offset = FIELD(resume),
     .help = "Go on from the newest checkpoint, bit for bit as without the interruption; begin where there is none."},
    {.name = "max-minutes", .type = LORAC_OPTION_DOUBLE, .value = "M", .offset = FIELD(max_minutes),
     .fallback_text = "no end", .help = "Stop after the step, or in the validation, in which the program has run so long: "
                                        "with a checkpoint, the values so far in -o, and exit code 4.", .limit = LORAC_ABOVE(0)},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_status lorac_train_checkpoint_check(const struct lorac_checkpoint_settings *settings,
                                               struct lorac_error *error)
{
    const char *option = settings->resume        ? "--resume"
                         : settings->steps > 0   ? "--checkpoint-steps"
                         : settings->minutes > 0 ? "--checkpoint-minutes"
                                                 : NULL;
    if (option && !settings->folder)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s needs the folder: give --checkpoint FOLDER", option);
    return LORAC_OK;
}

// ---- open

static enum lorac_status read_newest(struct lorac_train_checkpoint *checkpoint, struct lorac_error *error)
{
    struct lorac_error damaged;
    LORAC_TRY(lorac_checkpoint_folder_read(checkpoint->folder, &checkpoint->file, &damaged, error));
    if (damaged.status != LORAC_OK)
        lorac_report_note(checkpoint->call, "warning: %s; the one before it is taken", damaged.message);
    if (!checkpoint->file)
        lorac_report_note(checkpoint->call, "no checkpoint in '%s' yet: training begins", checkpoint->settings->folder);
    return LORAC_OK;
}

enum lorac_status lorac_train_checkpoint_refuse_run(struct lorac_checkpoint_folder *folder, const char *option,
                                                    const char *path, const char *advice, struct lorac_error *error)
{
    bool found;
    uint64_t step = 0;
    LORAC_TRY(lorac_checkpoint_folder_look(folder, &found, &step, error));
    return found ? lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "%s '%s' holds a run, after step %" PRIu64 ": %s, or remove its files", option, path,
                                   step, advice)
                 : LORAC_OK;
}

enum lorac_status lorac_train_checkpoint_open(struct lorac_train_checkpoint *checkpoint, const struct lorac_call *call,
                                              const struct lorac_checkpoint_settings *settings,
                                              struct lorac_error *error)
{
    *checkpoint = (struct lorac_train_checkpoint){.call = call, .settings = settings, .started = lorac_seconds()};
    if (!settings->folder || call->rehearsal)
        return LORAC_OK;
    LORAC_TRY(lorac_checkpoint_folder_open(settings->folder, (size_t)settings->keep, &checkpoint->folder, error));
    if (settings->resume)
        return read_newest(checkpoint, error);
    return lorac_train_checkpoint_refuse_run(checkpoint->folder, "--checkpoint", settings->folder,
                                             "give --resume to go on, or another folder", error);
}

void lorac_train_checkpoint_close(struct lorac_train_checkpoint *checkpoint)
{
    lorac_snapshot_clear(&checkpoint->snapshot);
    lorac_facts_clear(&checkpoint->facts);
    lorac_checkpoint_file_free(checkpoint->file);
    lorac_checkpoint_folder_close(checkpoint->folder);
    *checkpoint = (struct lorac_train_checkpoint){0};
}

// ---- prepare

// What putting a checkpoint together takes.
static size_t packing_bytes(const struct lorac_net *net, const struct lorac_prepare_options *options)
{
    const struct lorac_optimizer *optimizer = lorac_optimizer_find(options->optimizer.kind);
    return lorac_best_bytes(net) * (2 + optimizer->state_count); // the values, the best ones, the optimiser's
}

enum lorac_status lorac_train_checkpoint_prepare(struct lorac_train_checkpoint *checkpoint,
                                                 const struct lorac_tune_settings *tune, struct lorac_net *net,
                                                 const char *name, const struct lorac_prepare_options *options,
                                                 struct lorac_error *error)
{
    struct lorac_prepare_options resumed = *options;
    if (checkpoint->folder)
        resumed.memory_other += packing_bytes(net, options);
    if (!checkpoint->file)
        return lorac_tune_prepare(checkpoint->call, tune, net, name, &resumed, error);
    LORAC_TRY(lorac_checkpoint_file_choices(checkpoint->file, options->threads, &resumed.choices,
                                            &resumed.choice_count, error));
    return lorac_run_prepare(net, name, &resumed, error);
}

// ---- start

static enum lorac_status list_facts(struct lorac_train_checkpoint *checkpoint, const char *name,
                                    const struct lorac_loop_options *loop, struct lorac_error *error)
{
    struct lorac_facts *facts = &checkpoint->facts;
    const struct lorac_net *net = checkpoint->snapshot.net;
    char text[64];
    LORAC_TRY(lorac_facts_add_model(facts, name, &checkpoint->snapshot, error));
    LORAC_TRY(lorac_facts_add_images(facts, "images", &loop->source, error));
    LORAC_TRY(lorac_facts_add_validation(facts, loop, error));
    LORAC_TRY(lorac_facts_add_options(facts, checkpoint->call, error));
    LORAC_TRY(lorac_facts_add_resolved(facts, net, loop, error));
    snprintf(text, sizeof text, "%.9g", net->options.optimizer.lr);
    LORAC_TRY(lorac_facts_add(facts, "--lr", text, error));
    snprintf(text, sizeof text, "%" PRIu64, checkpoint->record.total_steps);
    return lorac_facts_add(facts, "the number of steps in all", text, error);
}

static void note_start(const struct lorac_train_checkpoint *checkpoint, const struct lorac_net *net)
{
    const struct lorac_checkpoint *record = lorac_checkpoint_file_record(checkpoint->file);
    const char *then = lorac_checkpoint_file_machine(checkpoint->file);
    char here[LORAC_KEY_BYTES];
    lorac_checkpoint_machine(net, here);
    if (strcmp(then, here) != 0)
        lorac_report_note(checkpoint->call,
                          "note: the run comes from another machine or version (%s; this is %s): it goes on, but may round "
                          "otherwise",
                          then, here);
    const struct lorac_validation *validation = checkpoint->record.validation;
    const bool stops = validation && validation->stops;
    if (stops || record->position.step == record->total_steps)
        lorac_report_note(checkpoint->call,
                          "the run is at its end already, after %" PRIu64 " steps%s: nothing is left to train",
                          record->position.step, stops ? " (--patience)" : "");
    else
        lorac_report_note(checkpoint->call, "going on after step %" PRIu64 " of %" PRIu64 ", from '%s'",
                          record->position.step, record->total_steps, lorac_checkpoint_file_path(checkpoint->file));
}

// The set of a validation that has its own; else NULL.
static const struct lorac_dataset *validation_set(const struct lorac_loop_options *loop)
{
    const struct lorac_dataset *dataset = loop->validation ? loop->validation->options.source->dataset : NULL;
    return dataset != loop->source.dataset ? dataset : NULL;
}

static enum lorac_status restore_broken(const struct lorac_checkpoint_file *file, const struct lorac_loop_options *loop,
                                        struct lorac_error *error)
{
    const struct lorac_dataset *validation = validation_set(loop);
    LORAC_TRY(lorac_checkpoint_file_restore_broken(file, LORAC_CHECKPOINT_TRAINING, loop->source.dataset, error));
    return validation ? lorac_checkpoint_file_restore_broken(file, LORAC_CHECKPOINT_VALIDATION, validation, error)
                      : LORAC_OK;
}

static enum lorac_status go_on(struct lorac_train_checkpoint *checkpoint, struct lorac_loop_options *loop,
                               struct lorac_error *error)
{
    const struct lorac_facts *facts = &checkpoint->facts;
    LORAC_TRY(lorac_checkpoint_file_check(checkpoint->file, facts->rows, facts->count, error));
    LORAC_TRY(lorac_checkpoint_file_restore(checkpoint->file, &checkpoint->snapshot, loop->validation, error));
    LORAC_TRY(restore_broken(checkpoint->file, loop, error));
    note_start(checkpoint, checkpoint->snapshot.net);
    checkpoint->record.position = lorac_checkpoint_file_record(checkpoint->file)->position;
    checkpoint->written = checkpoint->tried = checkpoint->record.position.step;
    checkpoint->validated = loop->validation ? loop->validation->epoch : 0;
    loop->start = checkpoint->record.position;
    lorac_checkpoint_folder_tidy(checkpoint->folder, checkpoint->written); // a kill may have come before that
    lorac_checkpoint_file_free(checkpoint->file);
    checkpoint->file = NULL;
    return LORAC_OK;
}

enum lorac_status lorac_train_checkpoint_start(struct lorac_train_checkpoint *checkpoint, struct lorac_net *net,
                                               const char *name, struct lorac_loop_options *loop,
                                               struct lorac_error *error)
{
    if (!checkpoint->folder)
        return LORAC_OK;
    checkpoint->record.total_steps = lorac_loop_steps(loop, net->options.batch);
    checkpoint->record.validation = loop->validation;
    checkpoint->record.loaders[LORAC_CHECKPOINT_TRAINING] = loop->source.dataset->loader;
    if (validation_set(loop))
        checkpoint->record.loaders[LORAC_CHECKPOINT_VALIDATION] = validation_set(loop)->loader;
    LORAC_TRY(lorac_snapshot_init(&checkpoint->snapshot, net, LORAC_SNAPSHOT_RUN, error));
    LORAC_TRY(list_facts(checkpoint, name, loop, error));
    checkpoint->record.facts = checkpoint->facts.rows;
    checkpoint->record.fact_count = checkpoint->facts.count;
    return checkpoint->file ? go_on(checkpoint, loop, error) : LORAC_OK;
}

// ---- writing

static enum lorac_status write_one(struct lorac_train_checkpoint *checkpoint, struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    size_t byte_count;
    const struct lorac_checkpoint *record = &checkpoint->record;
    const double started = lorac_seconds();
    checkpoint->tried = record->position.step;
    lorac_progress_sync(checkpoint->progress); // the log must not be behind
    LORAC_TRY(lorac_checkpoint_pack(&checkpoint->snapshot, record, &bytes, &byte_count, error));
    enum lorac_status status =
        lorac_checkpoint_folder_write(checkpoint->folder, record->position.step, bytes, byte_count, error);
    free(bytes);
    if (status == LORAC_OK)
        checkpoint->written = record->position.step;
    if (status == LORAC_OK)
        lorac_train_log_checkpoint(&checkpoint->progress->log, record->position.step, lorac_seconds() - started);
    return status;
}

enum lorac_status lorac_train_checkpoint_begin(struct lorac_train_checkpoint *checkpoint,
                                               struct lorac_progress *progress, struct lorac_error *error)
{
    checkpoint->progress = progress;
    checkpoint->written_at = lorac_seconds();
    if (!checkpoint->folder || checkpoint->record.position.step > 0)
        return LORAC_OK;
    return write_one(checkpoint, error);
}

static bool is_due(const struct lorac_train_checkpoint *checkpoint, uint64_t step, double now)
{
    const struct lorac_checkpoint_settings *settings = checkpoint->settings;
    const double minutes = settings->minutes > 0 ? settings->minutes : settings->steps > 0 ? 0 : default_minutes;
    return (settings->steps > 0 && step % settings->steps == 0) ||
           (minutes > 0 && now - checkpoint->written_at >= 60 * minutes);
}

// What there was before stays, and training goes on.
static void try_to_write(struct lorac_train_checkpoint *checkpoint, double now)
{
    struct lorac_error error = {0};
    checkpoint->written_at = now; // where it fails too: the next try comes when the next is due
    if (write_one(checkpoint, &error) == LORAC_OK)
        return;
    lorac_progress_break(checkpoint->progress);
    lorac_report_error(checkpoint->call,
                       "warning: no checkpoint after step %" PRIu64 ": %s; the last good one is of step %" PRIu64,
                       checkpoint->record.position.step, error.message, checkpoint->written);
}

static bool is_over(const struct lorac_train_checkpoint *checkpoint, double now)
{
    const double end = checkpoint->settings->max_minutes;
    return end > 0 && now - checkpoint->started >= 60 * end;
}

bool lorac_train_checkpoint_step(void *context, const struct lorac_loop_progress *step)
{
    struct lorac_train_checkpoint *checkpoint = context;
    const double now = lorac_seconds();
    const bool last = step->step == step->total_steps;
    checkpoint->stepped = true;
    checkpoint->time_is_up = !last && is_over(checkpoint, now);
    const bool stops = lorac_interrupted() || checkpoint->time_is_up;
    checkpoint->record.position = step->position;
    if (checkpoint->record.validation)
        checkpoint->validated = checkpoint->record.validation->epoch;
    if (checkpoint->folder && (stops || last || is_due(checkpoint, step->step, now)))
        try_to_write(checkpoint, now);
    return stops;
}

bool lorac_train_checkpoint_validating(void *context, size_t done, size_t total)
{
    struct lorac_train_checkpoint *checkpoint = context;
    checkpoint->time_is_up = done < total && checkpoint->stepped && is_over(checkpoint, lorac_seconds());
    return lorac_interrupted() || checkpoint->time_is_up;
}

// As before the last validation, which comes again where the run goes on, as behind any last step: the log gets its line.
// It was not the best one. That it ended the training is known all the same.
static void write_before_validation(struct lorac_train_checkpoint *checkpoint)
{
    struct lorac_checkpoint *record = &checkpoint->record;
    const struct lorac_validation *validation = record->validation;
    struct lorac_validation before = {0};
    if (validation) {
        before = *validation;
        before.epoch = checkpoint->validated;
        record->validation = &before;
    }
    try_to_write(checkpoint, lorac_seconds());
    record->validation = validation;
}

void lorac_train_checkpoint_end(struct lorac_train_checkpoint *checkpoint, enum lorac_status ended)
{
    if (checkpoint->folder && (ended == LORAC_OK || ended == LORAC_ERROR_ABORTED) &&
        checkpoint->tried != checkpoint->record.position.step)
        write_before_validation(checkpoint);
}

const char *lorac_train_checkpoint_text(const struct lorac_train_checkpoint *checkpoint, char text[LORAC_RESUME_TEXT])
{
    text[0] = '\0';
    if (checkpoint->folder)
        snprintf(text, LORAC_RESUME_TEXT, "; --resume goes on after step %" PRIu64, checkpoint->written);
    return text;
}

const char *lorac_train_checkpoint_after_loss(const struct lorac_train_checkpoint *checkpoint, uint64_t step,
                                              char text[LORAC_RESUME_TEXT])
{
    if (!checkpoint->folder)
        snprintf(text, LORAC_RESUME_TEXT,
                 "; the values after step %" PRIu64 " are lost: mend that and train again, with --checkpoint FOLDER on a "
                 "disk that has room", step);
    else if (checkpoint->written == step)
        snprintf(text, LORAC_RESUME_TEXT,
                 "; nothing of the training is lost: mend that, or give another -o, and run the command again with "
                 "--resume");
    else
        snprintf(text, LORAC_RESUME_TEXT,
                 "; the last checkpoint is of step %" PRIu64 " of %" PRIu64 ": mend that, or give another -o, and run the "
                 "command again with --resume: it goes on from there", checkpoint->written, step);
    return text;
}
