#include "progress.h"
#include "log_cut.h"
#include "report.h"
#include "signals.h"
#include "train_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- life cycle

// One that understands the few sequences below.
static bool is_terminal(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && kind && *kind && strcmp(kind, "dumb") != 0;
}

// Where a run goes on, what its end is told with: the epoch's sums of then.
static struct lorac_loop_progress progress_at(const struct lorac_net *net, const struct lorac_loop_options *loop)
{
    const struct lorac_loop_position *start = &loop->start;
    const size_t batch = net->options.batch;
    const uint64_t per_epoch = (loop->images ? loop->image_count : loop->source.dataset->count) / batch;
    if (start->step == 0)
        return (struct lorac_loop_progress){0};
    const uint64_t in_epoch = (start->step - 1) % per_epoch + 1;
    return (struct lorac_loop_progress){
        .step = start->step,
        .total_steps = lorac_loop_steps(loop, batch),
        .epoch = (start->step - 1) / per_epoch,
        .step_in_epoch = in_epoch,
        .steps_per_epoch = per_epoch,
        .epoch_loss = start->loss_sum / (double)in_epoch,
        .epoch_accuracy = (double)start->correct_sum / ((double)in_epoch * (double)batch),
        .position = *start,
    };
}

static enum lorac_status open_log(struct lorac_progress *progress, struct lorac_net *net, const char *path,
                                  const struct lorac_loop_options *loop, struct lorac_error *error)
{
    const uint64_t step = loop->start.step;
    bool has_lines = false;
    if (step > 0)
        LORAC_TRY(lorac_log_cut(path, step, &has_lines, error));
    LORAC_TRY(lorac_log_open(&progress->log, path, step > 0, error));
    if (!has_lines)
        lorac_train_log_start(&progress->log, progress->call, net, loop);
    if (step > 0)
        lorac_train_log_resume(&progress->log, step);
    return LORAC_OK;
}

enum lorac_status lorac_progress_init(struct lorac_progress *progress, const struct lorac_call *call,
                                      struct lorac_net *net, const char *log_path,
                                      const struct lorac_loop_options *loop, struct lorac_error *error)
{
    *progress = (struct lorac_progress){.call = call,
                                        .terminal = is_terminal(),
                                        .started = lorac_seconds(),
                                        .first_step = loop->start.step,
                                        .last = progress_at(net, loop)};
    return log_path ? open_log(progress, net, log_path, loop, error) : LORAC_OK;
}

void lorac_progress_break(struct lorac_progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

void lorac_progress_sync(struct lorac_progress *progress)
{
    if (progress->log.file)
        fdatasync(fileno(progress->log.file)); // it was flushed; where it fails, a log that is cut short can be lived with
}

enum lorac_status lorac_progress_finish(struct lorac_progress *progress, struct lorac_error *error)
{
    lorac_progress_break(progress);
    return lorac_log_close(&progress->log, error);
}

void lorac_progress_broken(void *context, size_t index, const char *message)
{
    struct lorac_progress *progress = context;
    (void)index;
    lorac_progress_break(progress);
    lorac_report_note(progress->call, "skipped: %s", message);
    if (progress->log.file)
        lorac_log_write(&progress->log, "broken_image", json_pack("{s:o}", "message", lorac_json_text(message)));
}

// ---- the log

static json_t *step_json(const struct lorac_loop_progress *step)
{
    // json_pack takes the references of the "o" values over, also where it fails.
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "step", (json_int_t)step->step, "epoch",
                     (json_int_t)step->epoch + 1, "loss", lorac_json_number(step->result.loss), "lr",
                     lorac_json_number(step->lr), "gradient_norm", lorac_json_number(step->result.gradient_norm),
                     "images_per_second", lorac_json_number(step->images_per_second));
}

static struct lorac_best_mark mark_of(const struct lorac_loop_epoch *epoch)
{
    return (struct lorac_best_mark){
        epoch->epoch, epoch->step, epoch->validation.images, epoch->validation.correct, epoch->validation.loss};
}

static json_t *epoch_json(const struct lorac_loop_epoch *epoch)
{
    json_t *line = json_pack("{s:I, s:I, s:o, s:o, s:o}", "epoch", (json_int_t)epoch->epoch, "step",
                             (json_int_t)epoch->step, "loss", lorac_json_number(epoch->loss), "accuracy",
                             lorac_json_number(epoch->accuracy), "seconds", lorac_json_number(epoch->seconds));
    if (!line || !epoch->validated)
        return line;
    const struct lorac_best_mark mark = mark_of(epoch);
    json_t *validation =
        json_pack("{s:I, s:I, s:o, s:o, s:o}", "images", (json_int_t)mark.images, "correct", (json_int_t)mark.correct,
                  "accuracy", lorac_json_number(lorac_best_accuracy(&mark)), "loss", lorac_json_number(mark.loss),
                  "seconds", lorac_json_number(epoch->validation_seconds));
    return lorac_json_with_member(line, "validation", validation);
}

static json_t *best_json(const struct lorac_loop_epoch *epoch)
{
    const struct lorac_best_mark mark = mark_of(epoch);
    return json_pack("{s:I, s:I, s:o, s:o}", "epoch", (json_int_t)mark.epoch, "step", (json_int_t)mark.step, "accuracy",
                     lorac_json_number(lorac_best_accuracy(&mark)), "loss", lorac_json_number(mark.loss));
}

// ---- the line

const char *lorac_duration_text(double seconds, char text[LORAC_DURATION_TEXT])
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(text, LORAC_DURATION_TEXT, "?");
        return text;
    }
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, LORAC_DURATION_TEXT, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, LORAC_DURATION_TEXT, "%ld:%02ld", whole / 60, whole % 60);
    return text;
}

static void draw(struct lorac_progress *progress, const struct lorac_loop_progress *step, double now, bool epoch_ends)
{
    char left[LORAC_DURATION_TEXT];
    double per_step = (now - progress->started) / (double)(step->step - progress->first_step);
    lorac_duration_text(per_step * (double)(step->total_steps - step->step), left);
    // \r goes to the start; ESC [ ? 7 l and h: no wrapping, so that a narrow terminal cuts the line instead of filling
    // up with pieces; ESC [ K clears what a longer line left behind.
    fprintf(stderr,
            "%sepoch %" PRIu64 "/%" PRIu64 "  step %" PRIu64 "/%" PRIu64
            "  loss %.4f  accuracy %.2f %%  %.0f images/s  %s left%s",
            progress->terminal ? "\r\x1b[?7l" : "lorac-onnx train: ", step->epoch + 1, step->total_epochs, step->step,
            step->total_steps, step->epoch_loss, 100 * step->epoch_accuracy, step->images_per_second, left,
            progress->terminal ? "\x1b[K\x1b[?7h" : "\n");
    progress->line_open = progress->terminal;
    progress->drawn = now;
    if (progress->terminal && epoch_ends)
        lorac_progress_break(progress); // an epoch's last line stays
    fflush(stderr);
}

bool lorac_progress_step(void *context, const struct lorac_loop_progress *step)
{
    struct lorac_progress *progress = context;
    progress->last = *step;
    if (progress->log.file)
        lorac_log_write(&progress->log, "step", step_json(step));
    double now = lorac_seconds();
    bool epoch_ends = step->step_in_epoch == step->steps_per_epoch || step->step == step->total_steps;
    if (!progress->call->quiet && (epoch_ends || (progress->terminal && now - progress->drawn >= 0.1)))
        draw(progress, step, now, epoch_ends);
    return progress->keep ? progress->keep(progress->keep_context, step) : lorac_interrupted();
}

void lorac_progress_epoch(void *context, const struct lorac_loop_epoch *epoch)
{
    struct lorac_progress *progress = context;
    if (progress->log.file)
        lorac_log_write(&progress->log, "epoch", epoch_json(epoch));
    if (!epoch->validated)
        return;
    if (progress->log.file && epoch->better)
        lorac_log_write(&progress->log, "best", best_json(epoch));
    const struct lorac_best_mark mark = mark_of(epoch);
    lorac_progress_break(progress);
    lorac_report_note(progress->call,
                      "validation after epoch %" PRIu64 "  loss %.4f  accuracy %.2f %% of %" PRIu64 " images%s",
                      epoch->epoch, mark.loss, 100 * lorac_best_accuracy(&mark), mark.images,
                      epoch->better ? "  best so far" : "");
    if (epoch->stops)
        lorac_report_note(progress->call, "stops after epoch %" PRIu64 ": it does not get better (--patience)",
                          epoch->epoch);
}
