// The first and the last line of train's log.
#ifndef LORAC_TRAIN_LOG_H
#define LORAC_TRAIN_LOG_H

#include "command.h"
#include "log.h"
#include "runtime/train/loop.h"

// The call, the prepared net and the loop that is about to run.
void lorac_train_log_start(struct lorac_log *log, const struct lorac_call *call, struct lorac_net *net,
                           const struct lorac_loop_options *loop);

// It goes on after [step] steps.
void lorac_train_log_resume(struct lorac_log *log, uint64_t step);

// A checkpoint of that step was written, which took so long.
void lorac_train_log_checkpoint(struct lorac_log *log, uint64_t step, double seconds);

struct lorac_train_log_end { // zero-initialise it
    const char *reason;  // "done", "patience", "interrupted", "time", "failed"
    const char *message; // NULL: none
    uint64_t step;
    double seconds;
    const char *written; // NULL: nothing
    bool kept_best;
    struct lorac_best_mark best; // epoch 0: none
};
void lorac_train_log_end(struct lorac_log *log, const struct lorac_train_log_end *end);

#endif
