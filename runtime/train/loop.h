// The training loop: epochs over a dataset, with schedule, shuffling, augmentation, and a callback after each step. It
// knows nothing of terminals or files.
#ifndef LORAC_LOOP_H
#define LORAC_LOOP_H

#include "validate.h"

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

// An epoch that has ended, or what there is of it after the last step.
struct lorac_loop_epoch {
    uint64_t epoch, total_epochs, step; // 1 for the first; steps done by its end
    uint64_t steps;                     // of this epoch
    double loss, accuracy;              // means over it, of the training batches
    double seconds;                     // of training; of this call
    bool validated;                     // the rest is only set where it was
    struct lorac_evaluation validation;
    double validation_seconds;
    bool better; // the best so far
    bool stops;  // training ends with it: patience has run out
};
typedef void (*lorac_loop_epoch_callback)(void *context, const struct lorac_loop_epoch *epoch);

struct lorac_loop_options {
    struct lorac_batch_source source;  // dataset with labels, normalisation, augmentation, seed
    const uint32_t *images;            // [image_count] of the dataset's: what is trained on; NULL: all of them
    size_t image_count;
    uint64_t epochs;                   // 8; used where steps == 0
    uint64_t steps;                    // 0; else the number of steps in all
    bool shuffle;                      // true
    enum lorac_schedule_kind schedule; // cosine
    uint64_t warmup_steps;             // 0
    struct lorac_loop_position start;  // 0: the beginning; else the net has the values of then
    struct lorac_validation *validation; // NULL: none; at the end of epochs. With start: in its state of then
    lorac_loop_callback callback;        // NULL: none
    lorac_loop_epoch_callback epoch_callback; // NULL: none; after the last step's callback and the validation
    void *context;                            // of both
};
struct lorac_loop_options lorac_loop_options_default(void);

// The steps in all, in batches of [batch]; 0 where there is less than one batch, or more than can be counted.
uint64_t lorac_loop_steps(const struct lorac_loop_options *options, size_t batch);

// Trains the prepared [net] (training == true). The last partial batch of each epoch is dropped; a set smaller than one
// batch is refused (ARGUMENT, says which --batch fits). Where the start is the end of an epoch, what follows an epoch's
// last step comes first: its validation where it is still due, and the callback. Where validation->stops it ends early,
// and well. At the end the net has its last values; the best are in validation->best. Errors: NOT_FINITE (names the
// layer; the net keeps the last good values), ABORTED (also by the validation's callback), and as lorac_validation_run.
enum lorac_status lorac_loop_run(struct lorac_net *net, const struct lorac_loop_options *options,
                                 struct lorac_error *error);

// What the model says about one image.
struct lorac_prediction {
    int32_t predicted; // the class of the first largest logit; -1: the image could not be read
    float confidence;  // its share in the softmax of the logits
    double loss;       // cross-entropy; 0 where the dataset has no labels, or the image could not be read
};

// Evaluates a dataset: for each batch fills the input, runs forward. outputs [count, classes] or NULL; per-class counts
// [classes] or NULL. Labels NULL in the dataset: result.correct and loss stay 0. Images of a set of files that cannot be
// read are left out of all counts, result.images too; their outputs are NaN. FORMAT where none can be read.
struct lorac_evaluate_request {
    const struct lorac_batch_source *source; // augment none
    const uint32_t *images;                  // [count] of the dataset's: only these, in this order; NULL: all of them
    size_t count;
    float *outputs;                          // NULL: not wanted
    float *logits;                           // NULL: not wanted
    struct lorac_prediction *predictions;    // of each image; NULL: not wanted
    size_t *class_images, *class_correct;
    lorac_abort_callback callback;
    void *context;
};
enum lorac_status lorac_net_evaluate(struct lorac_net *net, const struct lorac_evaluate_request *request,
                                     struct lorac_evaluation *result, struct lorac_error *error);

#endif
