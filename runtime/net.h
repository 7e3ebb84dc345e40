// Inside of struct lorac_net, for the program's own training loop and for inspect; applications use lorac.h.
#ifndef LORAC_NET_H
#define LORAC_NET_H

#include "runtime/data/dataset.h"
#include "runtime/lorac.h"
#include "runtime/lower.h"
#include "runtime/memory_prediction.h"
#include "runtime/session.h"
#include "runtime/train/optimizer.h"

struct lorac_net {
    struct lorac_model *model; // owned
    struct lorac_meta meta;
    const char *recorded_output; // what meta.output was before lorac_select_output; NULL: nothing
    struct lorac_input_shape input;
    struct lorac_prepare_options options; // of the last prepare; threads and micro_batch resolved. The program's
                                          // batch is the micro-batch
    struct lorac_normalize normalize;
    bool can_normalize;            // normalize is set: uint8 images may be used
    struct lorac_choices *choices; // owned; NULL before prepare
    struct lorac_program *program; // NULL before prepare
    struct lorac_session *session;
    struct lorac_train_state *train; // NULL where not training
    size_t classes;
    const struct lorac_timing *timing; // borrowed; NULL: nobody measures. Set before prepare
};

// A net of a model in memory, which it takes over, also on failure. Local functions are written out.
// Errors: as lorac_open_memory.
enum lorac_status lorac_net_open_model(struct lorac_model *model, struct lorac_net **net, struct lorac_error *error);

// What lorac_prepare makes of options.threads.
size_t lorac_net_threads(size_t threads);

// What the process will take at most with the prepared net. Errors: MEMORY.
enum lorac_status lorac_net_predict_memory(struct lorac_net *net, struct lorac_memory_prediction *out,
                                           struct lorac_error *error);

// lorac_save, which is LORAC_DATA_AUTO. [saved] may be NULL, and is lorac_model_save_as's.
enum lorac_status lorac_net_save_as(struct lorac_net *net, const char *path, enum lorac_data_place place,
                                    struct lorac_saved *saved, struct lorac_error *error);

// Fills the program's input, [N, H, W, C] float32, with the batch's images from number [begin] on: all of them, or one
// micro-batch. Called once more where a step has to be replayed to name a bad layer, and must give the same numbers
// then.
struct lorac_net_fill {
    void (*run)(void *context, size_t begin, float *input);
    void *context;
};

// One training step: forward, loss and backward for each micro-batch, then one update. labels[batch] were checked by
// the caller; lr is finite and at least 0. NOT_FINITE names the first bad layer, gradient or parameter; the net keeps the values it had, and
// BatchNorm's statistics do not move.
enum lorac_status lorac_net_train_step(struct lorac_net *net, const struct lorac_net_fill *fill, const int32_t *labels,
                                       double lr, struct lorac_step_result *result, struct lorac_error *error);

// Forward as in use (not training) on a batch. *logits and *outputs [batch, classes] are valid until the next run.
enum lorac_status lorac_net_forward(struct lorac_net *net, const struct lorac_net_fill *fill, const float **logits,
                                    const float **outputs, struct lorac_error *error);

// The sentence for a forward whose logits were not all finite: replays it and names the first bad layer. NOT_FINITE.
enum lorac_status lorac_net_bad_forward(struct lorac_net *net, const struct lorac_net_fill *fill, size_t first_image,
                                        struct lorac_error *error);

#endif
