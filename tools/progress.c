#include "progress.h"
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

enum lorac_status lorac_progress_init(struct lorac_progress *progress, const struct lorac_call *call,
                                      struct lorac_net *net, const char *log_path, struct lorac_error *error)
{
    *progress = (struct lorac_progress){
        .call = call, .net = net, .log_path = log_path, .terminal = is_terminal(), .started = lorac_seconds()};
    if (log_path && !(progress->log = fopen(log_path, "w")))
        return lorac_error_set(error, LORAC_ERROR_IO, "--log '%s': cannot write it: %s", log_path, strerror(errno));
    return LORAC_OK;
}

static void end_line(struct lorac_progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

enum lorac_status lorac_progress_finish(struct lorac_progress *progress, struct lorac_error *error)
{
    end_line(progress);
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
    double per_step = (now - progress->started) / (double)step->step;
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
        end_line(progress); // an epoch's last line stays
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
    return lorac_interrupted();
}

void lorac_progress_epoch(void *context, const struct lorac_loop_epoch *epoch)
{
    struct lorac_progress *progress = context;
    if (!epoch->validated)
        return;
    const struct lorac_evaluation *validation = &epoch->validation;
    end_line(progress);
    lorac_report_note(progress->call,
                      "validation after epoch %" PRIu64 "  loss %.4f  accuracy %.2f %% of %zu images%s", epoch->epoch,
                      validation->loss, 100 * (double)validation->correct / (double)validation->images,
                      validation->images, epoch->better ? "  best so far" : "");
    if (epoch->stops)
        lorac_report_note(progress->call, "stops after epoch %" PRIu64 ": it does not get better (--patience)",
                          epoch->epoch);
}
