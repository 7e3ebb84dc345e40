// Validation while training: at the end of epochs the model, as it is in use, is scored on images that are not trained
// on; the best values are kept; and where they stop getting better, training ends. It changes nothing of the training
// itself: each step has the same bits as without it.
#ifndef LORAC_VALIDATE_H
#define LORAC_VALIDATE_H

#include "best.h"

// What is validated, and when.
struct lorac_validation_options {
    const struct lorac_batch_source *source; // its dataset has labels; augment none
    const uint32_t *images;                  // [count] of the dataset's; NULL: all of them
    size_t count;
    uint64_t every;                // epochs from one to the next, at least 1; the last step is always validated
    uint64_t patience;             // epochs without a better one after which training ends; 0: it does not
    bool keep_values;              // the best values, not only when they were
    lorac_abort_callback callback; // as in lorac_evaluate; NULL: none
    void *context;
};

// How far it is. With best.values all that a checkpoint has to hold.
struct lorac_validation_state {
    uint64_t epoch; // the last that was validated, 1 for the first; 0: none yet
    uint64_t stops; // 1: patience has run out
    struct lorac_best_mark best;
};

struct lorac_validation { // zero-initialise it
    struct lorac_validation_options options;
    uint64_t epoch;
    bool stops;
    struct lorac_best best;
};

// For the prepared, training [net]; [options] is copied, what it points to is borrowed. Errors: MEMORY, and what
// lorac_fill_check refuses.
enum lorac_status lorac_validation_create(struct lorac_validation *validation, struct lorac_net *net,
                                          const struct lorac_validation_options *options, struct lorac_error *error);
void lorac_validation_clear(struct lorac_validation *validation);

// Is [epoch] (1 for the first), which has ended, still to be validated? [last]: training ends with it.
bool lorac_validation_is_due(const struct lorac_validation *validation, uint64_t epoch, bool last);

// Validates after [step] steps, at the end of [epoch]. *better: it is the best so far. Afterwards validation->stops says
// whether training should end. Errors: as lorac_net_evaluate; nothing has changed then.
enum lorac_status lorac_validation_run(struct lorac_validation *validation, struct lorac_net *net, uint64_t epoch,
                                       uint64_t step, struct lorac_evaluation *result, bool *better,
                                       struct lorac_error *error);

// The state out, and in again: the values of the best, where there is one, are for the caller to copy, from and to
// validation->best.values.
struct lorac_validation_state lorac_validation_state(const struct lorac_validation *validation);
void lorac_validation_set_state(struct lorac_validation *validation, const struct lorac_validation_state *state);

#endif
