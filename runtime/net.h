// Inside of struct lorac_net, for the program's own training loop and for inspect; applications use lorac.h.
#ifndef LORAC_NET_H
#define LORAC_NET_H

#include "runtime/data/dataset.h"
#include "runtime/lorac.h"
#include "runtime/lower.h"
#include "runtime/session.h"
#include "runtime/train/optimizer.h"

struct lorac_net {
    struct lorac_model *model; // owned
    struct lorac_meta meta;
    struct lorac_input_shape input;
    struct lorac_prepare_options options; // of the last prepare; threads resolved
    struct lorac_normalize normalize;
    bool can_normalize; // normalize is set: uint8 images may be used
    struct lorac_program *program; // NULL before prepare
    struct lorac_session *session;
    struct lorac_train_state *train; // NULL where not training
    size_t classes;
};

// Runs one training step on what lorac_session_input holds already (the loop in train/loop.c fills it from a dataset).
enum lorac_status lorac_net_train_prepared(struct lorac_net *net, const int32_t *labels, double lr,
                                           struct lorac_step_result *result, struct lorac_error *error);

// Runs forward on what lorac_session_input holds; *logits and *outputs [batch, classes], valid until the next run.
enum lorac_status lorac_net_forward_prepared(struct lorac_net *net, const float **logits, const float **outputs,
                                             struct lorac_error *error);

#endif
