// The training loop: epochs over a dataset, with schedule, shuffling, augmentation, and a callback after each step. It
// knows nothing of terminals or files.
#ifndef LORAC_LOOP_H
#define LORAC_LOOP_H

#include "runtime/net.h"

// Where a run stands between two steps. With the numbers of a snapshot (snapshot.h) it is all that a run goes on from:
// the order of the images, their augmentation and the learning rate follow from the step.
struct lorac_loop_position {
    uint64_t step;        // steps done
    double loss_sum;      // over the steps of the present epoch
    uint64_t correct_sum; // images, the same
};

struct lorac_loop_progress {
    uint64_t step, total_steps;              // steps done (1 after the first), steps in all
    uint64_t epoch, total_epochs;            // epoch of this step, 0 for the first
    uint64_t step_in_epoch, steps_per_epoch; // 1 after the first
    double lr;
    struct lorac_step_result result;
    double epoch_loss;        // mean over the epoch so far
    double epoch_accuracy;    // over the epoch so far, of the training batches, 0 .. 1
    double images_per_second; // over the epoch so far, of this call
    struct lorac_loop_position position; // to go on from
};
// Returning true ends the loop after this step (status ABORTED).
typedef bool (*lorac_loop_callback)(void *context, const struct lorac_loop_progress *progress);

struct lorac_loop_options {
    struct lorac_batch_source source;  // dataset with labels, normalisation, augmentation, seed
    uint64_t epochs;                   // 8; used where steps == 0
    uint64_t steps;                    // 0; else the number of steps in all
    bool shuffle;                      // true
    enum lorac_schedule_kind schedule; // cosine
    uint64_t warmup_steps;             // 0
    struct lorac_loop_position start;  // 0: the beginning; else the net has the values of then
    lorac_loop_callback callback;      // NULL: none
    void *context;
};
struct lorac_loop_options lorac_loop_options_default(void);

// Trains the prepared [net] (training == true). The last partial batch of each epoch is dropped; a set smaller than one
// batch is refused (ARGUMENT, says which --batch fits). Where the start is the end there is nothing to do. Errors: NOT_FINITE (names the layer; the net keeps the last
// good values), ABORTED.
enum lorac_status lorac_loop_run(struct lorac_net *net, const struct lorac_loop_options *options,
                                 struct lorac_error *error);

// Evaluates a dataset: for each batch fills the input, runs forward. outputs [count, classes] or NULL; per-class counts
// [classes] or NULL. Labels NULL in the dataset: result.correct and loss stay 0.
struct lorac_evaluate_request {
    const struct lorac_batch_source *source; // augment none
    float *outputs;                          // NULL: not wanted
    float *logits;                           // NULL: not wanted
    size_t *class_images, *class_correct;
    lorac_abort_callback callback;
    void *context;
};
enum lorac_status lorac_net_evaluate(struct lorac_net *net, const struct lorac_evaluate_request *request,
                                     struct lorac_evaluation *result, struct lorac_error *error);

#endif
