// The best values of a run so far: a copy of all that training changes in the model, taken when a validation was better
// than all before it.
#ifndef LORAC_BEST_H
#define LORAC_BEST_H

#include "snapshot.h"

// When it was, and how good. Numbers of eight bytes alone, so that a checkpoint can hold it as it is.
struct lorac_best_mark {
    uint64_t epoch, step;     // epochs begun and steps done by then, 1 after the first; 0: there is none yet
    uint64_t images, correct; // of the validation
    double loss;
};

// Is [a] better than [b]? The higher accuracy, then the lower loss; the same twice is not better, so that the earlier
// stays. Anything is better than none.
bool lorac_best_is_better(const struct lorac_best_mark *a, const struct lorac_best_mark *b);

// 0 .. 1; 0 where there are no images.
double lorac_best_accuracy(const struct lorac_best_mark *mark);

struct lorac_best { // zero-initialise it
    struct lorac_best_mark mark;
    struct lorac_snapshot snapshot; // of the model
    float *values;                  // owned, [snapshot.value_count]: those of the mark. NULL: the mark alone is kept
};

// Makes room for the values of the prepared, training [net] (borrowed). Errors: MEMORY.
enum lorac_status lorac_best_create(struct lorac_best *best, struct lorac_net *net, struct lorac_error *error);
void lorac_best_clear(struct lorac_best *best);

// What lorac_best_create will take, known from the model alone, before lorac_prepare: struct lorac_prepare_options'
// memory_other.
size_t lorac_best_bytes(const struct lorac_net *net);

// Takes [mark], and the net's values where there is room for them, if it is better; returns whether it is.
bool lorac_best_offer(struct lorac_best *best, const struct lorac_best_mark *mark);

// The net gets the values back (the optimiser's state stays as it is). There must be a mark and its values.
void lorac_best_restore(const struct lorac_best *best);

#endif
