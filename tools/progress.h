// Progress of a training run: a line that rewrites itself on a terminal, a plain line per epoch elsewhere, and the log
// file of JSON lines.
#ifndef LORAC_PROGRESS_H
#define LORAC_PROGRESS_H

#include "command.h"
#include "log.h"
#include "runtime/train/loop.h"

struct lorac_progress {
    const struct lorac_call *call;
    struct lorac_log log;
    bool terminal;                   // stderr is one
    bool line_open;                  // the cursor stands behind a progress line
    double started, drawn;           // seconds
    struct lorac_loop_progress last; // of the last step; step 0 before the first
    uint64_t first_step;             // steps that were done before this program began
    // After each step, NULL: nobody. Returns whether training is to stop, in place of lorac_interrupted().
    bool (*keep)(void *context, const struct lorac_loop_progress *step);
    void *keep_context;
};

// Opens the log ([log_path] NULL: none), emptied, and writes its first line; where the run goes on after [loop->start],
// cut back to that step. [net] is prepared, [loop] about to run. Errors: IO, MEMORY.
enum lorac_status lorac_progress_init(struct lorac_progress *progress, const struct lorac_call *call,
                                      struct lorac_net *net, const char *log_path,
                                      const struct lorac_loop_options *loop, struct lorac_error *error);

// The loop's callback; [context] is a struct lorac_progress. True once lorac_interrupted() is.
bool lorac_progress_step(void *context, const struct lorac_loop_progress *step);

// The same at the end of an epoch: says how a validation was.
void lorac_progress_epoch(void *context, const struct lorac_loop_epoch *epoch);

// Ends the progress line, so that something else can be said.
void lorac_progress_break(struct lorac_progress *progress);

// What the log has so far is on the disk.
void lorac_progress_sync(struct lorac_progress *progress);

// A loader's callback: names an image that cannot be read, on stderr and in the log. [context] is a struct lorac_progress.
void lorac_progress_broken(void *context, size_t index, const char *message);

// Ends the progress line and closes the log. Errors: IO (the log could not be written whole).
enum lorac_status lorac_progress_finish(struct lorac_progress *progress, struct lorac_error *error);

// "1:02:03" or "4:05" in [text]; returns text.
enum { LORAC_DURATION_TEXT = 32 };
const char *lorac_duration_text(double seconds, char text[LORAC_DURATION_TEXT]);

#endif
