// The program that a model is lowered to: steps over channels-last activations, and the parameters they read.
//
// Letters, used everywhere in runtime/: N images, H W rows and columns, C input channels, M output channels,
// K kernel size, R inner dimension of an adapter, G groups.
//
// An activation is a *value*: float32 [N, H, W, C], N the batch; a matrix [N, C] is the same with H = W = 1, and how
// the graph sees it is a view (view.h). A *buffer* is memory that the plan places: each value has one, and so has each
// contribution to a gradient. Ids are indices into the program's arrays. The program and all it points to live in its
// arena.
#ifndef LORAC_PROGRAM_H
#define LORAC_PROGRAM_H

#include "proto/adapter_meta.h"
#include "proto/arena.h"
#include "proto/model.h"
#include "runtime/lorac.h"
#include "choice.h"
#include "timing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lorac_kernel;
#define LORAC_NO_ID UINT32_MAX

// XNNPACK may read this many bytes past an input; every buffer is followed by so many readable bytes.
enum { LORAC_EXTRA_BYTES = 64, LORAC_BUFFER_ALIGNMENT = 64 };

struct lorac_value {
    const char *name; // ONNX value name
    size_t n, h, w, c;
    bool needs_gradient; // a trainable parameter lies before it
    uint32_t buffer;
};

static inline size_t lorac_value_count(const struct lorac_value *value)
{
    return value->n * value->h * value->w * value->c; // checked not to overflow when the value was made
}

// A constant float tensor of the model. Row-major in ONNX order.
struct lorac_param {
    const char *name;          // initialiser's name, or the Constant node's output
    Onnx__TensorProto *tensor; // its place in the model, of any floating type; NULL where nodes compute it
    const double *computed;    // [count], in the program's arena, where it follows from the Shape of an activation;
                               // NULL: from the model alone, by proto/weight.h
    size_t rank;
    int64_t dims[4];
    size_t count;
    bool trainable;  // in lorac.trainable, and this program trains
    bool updated;    // BatchNorm statistics in mode train: written by forward, saved, but no gradient
    bool kept;       // a kernel needs [data] after create; else it is let go then
    // [count], loaded when the session is made: the model's own bytes, or [own], which what changes always has.
    const float *data;
    float *own;
    float *gradient; // [count], where trainable; kernels add into it
};

// Real networks have some hundreds. The memory plan looks at pairs of values.
enum { LORAC_MAX_STEPS = 1 << 14 };

enum { LORAC_STEP_MAX_PARAMS = 8 };

struct lorac_step {
    const struct lorac_kernel *kernel;
    const Onnx__NodeProto *node;
    const char *name; // lorac_node_name, for messages
    size_t input_count;
    uint32_t *inputs; // value ids
    uint32_t output;  // value id
    size_t param_count;
    uint32_t params[LORAC_STEP_MAX_PARAMS]; // param ids; LORAC_NO_ID where an optional one is absent
    void *config;                           // the kernel's own struct, in the program's arena, filled by its `lower`
    size_t config_bytes;                    // of it

    // What the kernel declares in `lower` (after which needs_* are known) or in `memory`:
    bool keeps_inputs;           // backward reads x
    bool keeps_output;           // backward reads y
    size_t scratch_bytes;        // workspace of forward, backward and refresh, shared by all steps
    size_t thread_scratch_bytes; // the same for each thread, behind scratch_bytes
    size_t kept_bytes;           // what forward makes for backward beside y; 0: nothing
    size_t create_scratch_bytes; // of scratch_bytes, what create writes to
    size_t reread_bytes;         // of a weight in the model's file that each run reads again, and lets go

    // Set by differentiate: any of the parameters is trainable / backward has to run.
    bool has_trainable;
    bool needs_backward;
    bool keeps_mask;      // in place of keeps_output: one bit for each element of y, in [kept]
    bool is_fused;        // y was made by the step before, in x's place: nothing is left to compute of it (fuse.h)
    uint32_t kept_buffer; // buffer id, where kept_bytes > 0

    // Bound by the session, fixed for its life. dx[i] is NULL where that input needs no gradient.
    const float **x;
    float *y;
    const float *dy;
    float **dx;
    float *kept; // [kept_bytes], NULL where 0
    void *state; // the kernel's, made by create, ended by destroy
};

// One thing to do on the way back. Buffers are ids of the plan.
enum lorac_backward_kind {
    LORAC_BACKWARD_STEP,    // step's backward: reads dy, writes (not adds) dx of each input that needs it
    LORAC_BACKWARD_ADD,     // target += source
    LORAC_BACKWARD_SUM,     // target = source + source2
    LORAC_BACKWARD_FORWARD, // step's forward once more: what it writes was not kept
};
struct lorac_backward_op {
    enum lorac_backward_kind kind;
    uint32_t step;
    uint32_t dy;  // buffer id
    uint32_t *dx; // buffer id per input, LORAC_NO_ID where not needed
    uint32_t target, source, source2;
    size_t count; // elements of an ADD or SUM
};

// One that recomputation (recompute.h) writes again on the way back has two lives, at the same place.
struct lorac_buffer {
    size_t bytes;
    uint32_t first, last;             // times of first write and last read
    uint32_t again_first, again_last; // the same of the second life; again_last is 0 where there is none
    size_t offset;                    // from the plan
};

struct lorac_program {
    struct lorac_arena *arena;
    struct lorac_model *model;     // borrowed, must outlive the program
    const struct lorac_meta *meta; // borrowed
    size_t batch;
    size_t threads; // that the session will have; for the size of the workspace alone. 0: as 1

    size_t value_count, value_capacity;
    struct lorac_value *values;
    size_t param_count, param_capacity;
    struct lorac_param *params;
    size_t step_count, step_capacity;
    struct lorac_step *steps;
    size_t buffer_count, buffer_capacity;
    struct lorac_buffer *buffers;

    uint32_t input;                      // value fed: [N, H, W, C]
    uint32_t logits;                     // what the loss is computed on: before a final Softmax or LogSoftmax
    uint32_t output;                     // the model's first output
    size_t forward_step_count_to_logits; // steps from here on (a final Softmax) are left out of training

    bool exact; // no algorithm whose error is not that of a plain sum (Winograd)
    bool training;
    enum lorac_form_policy form_policy;
    size_t packed_limit; // bytes of a convolution's packed weights in one direction; 0: any
    size_t recompute_segments; // that were asked for (recompute.h); 0 and 1: none
    bool bn_train; // BatchNorm mode of this program, with training
    size_t backward_count, backward_capacity;
    struct lorac_backward_op *backward;
    uint32_t logits_gradient; // buffer id, written by the loss
    uint32_t time_end;        // one past the last time
    bool planned;             // buffers have offsets
    size_t planned_bytes;     // of the one block that holds them all

    const struct lorac_choices *choices; // borrowed; what was measured, NULL: nothing
    const struct lorac_timing *timing; // borrowed; who is told where a session's time goes, NULL: nobody
};

// Frees the program; accepts NULL. The memory that a session bound to it is the session's.
void lorac_program_free(struct lorac_program *program);

// Grow the arrays by one; MEMORY, UNSUPPORTED (LORAC_MAX_STEPS). A new value gets a buffer of its own.
enum lorac_status lorac_program_add_value(struct lorac_program *program, const struct lorac_value *value, uint32_t *id,
                                          struct lorac_error *error);
enum lorac_status lorac_program_add_buffer(struct lorac_program *program, size_t bytes, uint32_t *id,
                                           struct lorac_error *error);
enum lorac_status lorac_program_add_param(struct lorac_program *program, const struct lorac_param *param, uint32_t *id,
                                          struct lorac_error *error);
enum lorac_status lorac_program_add_step(struct lorac_program *program, const struct lorac_step *step,
                                         struct lorac_error *error);

#endif
