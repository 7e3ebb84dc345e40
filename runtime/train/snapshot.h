// The numbers that a training run changes, listed: what has to be kept so that it can go on from there, or go back.
//
// A snapshot's parts lie in the session's own memory, one behind the other they are one block of floats:
//
//     trained tensors, BatchNorm's running statistics (--bn train)     the model
//     the optimiser's arrays of each trained tensor                    what comes beside it in LORAC_SNAPSHOT_RUN
//
// To these belongs one number, how many updates the optimiser has done. Gradients and the last good values are not
// among them: each step makes them anew.
#ifndef LORAC_SNAPSHOT_H
#define LORAC_SNAPSHOT_H

#include "runtime/net.h"

enum lorac_snapshot_scope {
    LORAC_SNAPSHOT_MODEL, // what lorac_save writes
    LORAC_SNAPSHOT_RUN,   // with the optimiser's state
};

enum lorac_snapshot_kind { LORAC_PART_TRAINED, LORAC_PART_STATISTIC, LORAC_PART_OPTIMIZER };
struct lorac_snapshot_part {
    enum lorac_snapshot_kind kind;
    size_t array;     // OPTIMIZER: which of the optimiser's, from 0
    const char *name; // of the tensor; borrowed from the program
    size_t rank;
    const int64_t *dims; // [rank]; borrowed from the program
    float *values;       // [count], row-major in ONNX order: the session's
    size_t count;
};

struct lorac_snapshot {
    struct lorac_net *net; // borrowed
    size_t part_count;
    struct lorac_snapshot_part *parts;
    size_t value_count; // of all parts
};

// Lists the parts of [net], which is prepared for training; good until the next lorac_prepare. Errors: MEMORY.
enum lorac_status lorac_snapshot_init(struct lorac_snapshot *snapshot, struct lorac_net *net,
                                      enum lorac_snapshot_scope scope, struct lorac_error *error);
void lorac_snapshot_clear(struct lorac_snapshot *snapshot);

// The present values into [values], [value_count].
void lorac_snapshot_copy_out(const struct lorac_snapshot *snapshot, float *values);

// [values] become the present ones; the kernels see them at the next forward. Whoever sets a run's values sets its
// updates too: lorac_train_state_set_step.
void lorac_snapshot_copy_in(const struct lorac_snapshot *snapshot, const float *values);

#endif
