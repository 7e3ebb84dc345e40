#include "progress.h"
#include "log_cut.h"
#include "report.h"
#include "signals.h"
#include "tune.h"

#include <errno.h>
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

static enum lorac_status open_log(struct lorac_progress *progress, struct lorac_error *error)
{
    const char *path = progress->log_path;
    if (progress->first_step > 0)
        LORAC_TRY(lorac_log_cut(path, progress->first_step, &progress->log_begun, error));
    progress->log = fopen(path, progress->first_step > 0 ? "a" : "w");
    if (!progress->log)
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': cannot write it: %s", path, strerror(errno));
    return LORAC_OK;
}

enum lorac_status lorac_progress_init(struct lorac_progress *progress, const struct lorac_call *call,
                                      struct lorac_net *net, const char *log_path,
                                      const struct lorac_loop_options *loop, struct lorac_error *error)
{
    *progress = (struct lorac_progress){.call = call,
                                        .net = net,
                                        .log_path = log_path,
                                        .terminal = is_terminal(),
                                        .started = lorac_seconds(),
                                        .first_step = loop->start.step,
                                        .last = progress_at(net, loop)};
    return log_path ? open_log(progress, error) : LORAC_OK;
}

void lorac_progress_break(struct lorac_progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

void lorac_progress_sync(struct lorac_progress *progress)
{
    if (progress->log)
        fdatasync(fileno(progress->log)); // it was flushed; where it fails, a log that is cut short can be lived with
}

enum lorac_status lorac_progress_finish(struct lorac_progress *progress, struct lorac_error *error)
{
    lorac_progress_break(progress);
    if (!progress->log)
        return LORAC_OK;
    bool failed = fclose(progress->log) != 0 || progress->log_failed;
    progress->log = NULL;
    if (failed)
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': could not be written whole", progress->log_path);
    return LORAC_OK;
}

// ---- the log

// What a memory budget chose.
static json_t *budget_json(struct lorac_net *net)
{
    struct lorac_memory_prediction memory = {0};
    lorac_net_predict_memory(net, &memory, NULL); // the plan is there: it cannot fail
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)net->options.memory_budget, "predicted_peak_bytes",
                     (json_int_t)memory.peak_bytes, "micro_batch", (json_int_t)net->options.micro_batch, "packed_limit",
                     (json_int_t)net->program->packed_limit, "recompute",
                     (json_int_t)net->program->recompute_segments);
}

static void write_log(struct lorac_progress *progress, const struct lorac_loop_progress *step)
{
    // json_pack takes the references of the "o" values over, also where it fails.
    json_t *line = json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:o}", "step", (json_int_t)step->step, "epoch", (json_int_t)step->epoch + 1, "loss",
        lorac_json_number(step->result.loss), "lr", lorac_json_number(step->lr), "gradient_norm",
        lorac_json_number(step->result.gradient_norm), "images_per_second", lorac_json_number(step->images_per_second));
    if (line && !progress->log_begun &&
        (json_object_set_new(line, "convolutions", lorac_choices_json(progress->net)) != 0 ||
         (progress->net->options.memory_budget > 0 &&
          json_object_set_new(line, "memory_budget", budget_json(progress->net)) != 0))) {
        json_decref(line);
        line = NULL;
    }
    progress->log_begun = true;
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    // Flushed line by line, so that the file can be followed and survives whatever comes.
    bool ok = text && fputs(text, progress->log) >= 0 && fputc('\n', progress->log) != EOF;
    ok = fflush(progress->log) == 0 && ok;
    free(text);
    progress->log_failed = progress->log_failed || !ok;
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
    if (progress->log && !progress->log_failed)
        write_log(progress, step);
    double now = lorac_seconds();
    bool epoch_ends = step->step_in_epoch == step->steps_per_epoch || step->step == step->total_steps;
    if (!progress->call->quiet && (epoch_ends || (progress->terminal && now - progress->drawn >= 0.1)))
        draw(progress, step, now, epoch_ends);
    return progress->keep ? progress->keep(progress->keep_context, step) : lorac_interrupted();
}

void lorac_progress_epoch(void *context, const struct lorac_loop_epoch *epoch)
{
    struct lorac_progress *progress = context;
    if (!epoch->validated)
        return;
    const struct lorac_evaluation *validation = &epoch->validation;
    lorac_progress_break(progress);
    lorac_report_note(progress->call,
                      "validation after epoch %" PRIu64 "  loss %.4f  accuracy %.2f %% of %zu images%s", epoch->epoch,
                      validation->loss, 100 * (double)validation->correct / (double)validation->images,
                      validation->images, epoch->better ? "  best so far" : "");
    if (epoch->stops)
        lorac_report_note(progress->call, "stops after epoch %" PRIu64 ": it does not get better (--patience)",
                          epoch->epoch);
}
