// Checkpoints of train, going on from one, and ending after some minutes (docs/checkpoints.md).
//
// In the order of a run: check, open (before the images are read), prepare (in place of lorac_tune_prepare), start, then
// step after each step, close.
#ifndef LORAC_TRAIN_CHECKPOINT_H
#define LORAC_TRAIN_CHECKPOINT_H

#include "progress.h"
#include "train_facts.h"
#include "tune.h"
#include "runtime/train/checkpoint_folder.h"

// ---- options: --checkpoint --checkpoint-steps --checkpoint-minutes --checkpoint-keep --resume --max-minutes

struct lorac_checkpoint_settings {
    const char *folder; // NULL: none
    uint64_t steps;     // 0: by the minutes
    double minutes;     // 0: by the steps, or the default
    int64_t keep;
    bool resume;
    double max_minutes; // 0: no end
};
extern const struct lorac_option lorac_checkpoint_options[];

// ---- a run's

struct lorac_train_checkpoint { // zero-initialise it
    const struct lorac_call *call;
    const struct lorac_checkpoint_settings *settings;
    double started;                         // seconds, of the program
    struct lorac_checkpoint_folder *folder; // NULL: no checkpoints
    struct lorac_checkpoint_file *file;     // what the run goes on from; NULL: it begins. Until start
    struct lorac_snapshot snapshot;
    struct lorac_facts facts;
    struct lorac_checkpoint record; // of the last step
    struct lorac_progress *progress;
    uint64_t written; // steps of the last checkpoint that was written
    double written_at; // seconds
    uint64_t tried;     // steps of the last one that was to be written
    uint64_t validated; // the epoch that was validated before the last step
    bool stepped;       // this call has done a step
    bool time_is_up;   // --max-minutes
};

// Refuses options that need --checkpoint where there is none. Errors: ARGUMENT.
enum lorac_status lorac_train_checkpoint_check(const struct lorac_checkpoint_settings *settings,
                                               struct lorac_error *error);

// Without --resume a folder that holds a run is refused. [option] and [path] name it, [advice] says how to go on or not
// to. Errors: ARGUMENT, IO, MEMORY.
enum lorac_status lorac_train_checkpoint_refuse_run(struct lorac_checkpoint_folder *folder, const char *option,
                                                    const char *path, const char *advice, struct lorac_error *error);

// Opens the folder and takes its lock; with --resume reads the newest checkpoint, and says where there is none. Without,
// a folder that holds checkpoints is refused. A rehearsal leaves the folder alone. Errors: ARGUMENT, IO, FORMAT, UNSUPPORTED, MEMORY.
enum lorac_status lorac_train_checkpoint_open(struct lorac_train_checkpoint *checkpoint, const struct lorac_call *call,
                                              const struct lorac_checkpoint_settings *settings,
                                              struct lorac_error *error);
void lorac_train_checkpoint_close(struct lorac_train_checkpoint *checkpoint);

// lorac_tune_prepare; a run that goes on is prepared with the algorithms of then, and nothing is measured.
enum lorac_status lorac_train_checkpoint_prepare(struct lorac_train_checkpoint *checkpoint,
                                                 const struct lorac_tune_settings *tune, struct lorac_net *net,
                                                 const char *name, const struct lorac_prepare_options *options,
                                                 struct lorac_error *error);

// Everything that the run depends on must be known now. Sets the start of [loop] and the numbers of [net] where the run
// goes on. Errors: MISMATCH (of another run: names what differs), FORMAT, IO, MEMORY.
enum lorac_status lorac_train_checkpoint_start(struct lorac_train_checkpoint *checkpoint, struct lorac_net *net,
                                               const char *name, struct lorac_loop_options *loop,
                                               struct lorac_error *error);

// Before the first step: a first checkpoint, so that a folder that does not take one is found now, and not after hours.
// Errors: IO, MEMORY.
enum lorac_status lorac_train_checkpoint_begin(struct lorac_train_checkpoint *checkpoint,
                                               struct lorac_progress *progress, struct lorac_error *error);

// A progress' keep: writes a checkpoint where one is due, or where this is the last step. One that cannot be written is
// a warning. Returns whether training is to stop: interrupted, or the time is up.
bool lorac_train_checkpoint_step(void *context, const struct lorac_loop_progress *step);

// A validation's callback, between its batches: whether training is to stop, as after the last step; the run that goes on
// validates first. Where this call has done nothing else the time does not stop it, so that windows shorter than a
// validation bring the run forward too.
bool lorac_train_checkpoint_validating(void *context, size_t done, size_t total);

// After the loop: writes the checkpoint of a run that ended between two steps: stopped in a validation, or by --patience.
void lorac_train_checkpoint_end(struct lorac_train_checkpoint *checkpoint, enum lorac_status ended);

// What to say where training stopped before its end: ", 'lorac-onnx train ... --resume' goes on"; in [text].
enum { LORAC_RESUME_TEXT = 512 };
const char *lorac_train_checkpoint_text(const struct lorac_train_checkpoint *checkpoint, char text[LORAC_RESUME_TEXT]);

// What to say where the output of training that ended after [step] could not be written: what is lost, and what to do; in
// [text].
const char *lorac_train_checkpoint_after_loss(const struct lorac_train_checkpoint *checkpoint, uint64_t step,
                                              char text[LORAC_RESUME_TEXT]);

#endif
