// A session: a program with its memory and its kernels, ready to run. Everything is allocated before the first step.
#ifndef LORAC_SESSION_H
#define LORAC_SESSION_H

#include "program.h"

struct lorac_session;

struct lorac_session_memory {
    size_t planned_bytes; // activations and their gradients, one block
    size_t workspace_bytes;
    size_t parameter_bytes; // kept values and gradients
    size_t packed_bytes;    // XNNPACK's packed weights, predicted
};

// Makes memory and kernels for [program] (borrowed; must outlive the session) on [threads] threads (at least 1).
// Errors: MEMORY, NOT_FINITE (a weight is NaN or infinite: names the tensor), UNSUPPORTED.
enum lorac_status lorac_session_create(struct lorac_program *program, size_t threads, struct lorac_session **out,
                                       struct lorac_error *error);
void lorac_session_free(struct lorac_session *session);

// What it takes, known from the program alone (call after lowering; the plan is made if it was not).
enum lorac_status lorac_program_memory(struct lorac_program *program, struct lorac_session_memory *out,
                                       struct lorac_error *error);

// Where to write the batch: [N, H, W, C] float32. Fill it before each forward (the buffer is reused by the plan).
float *lorac_session_input(struct lorac_session *session);

// Runs forward. training: as a training step (BatchNorm in mode train uses batch statistics). Then the logits and, for
// a session that does not train, the output [N, classes] may be read until the next run.
enum lorac_status lorac_session_forward(struct lorac_session *session, bool training, struct lorac_error *error);
const float *lorac_session_logits(const struct lorac_session *session);
const float *lorac_session_output(const struct lorac_session *session);

// The trainable params' gradients become zero; backward adds into them, so that the parts of a batch can be run one
// after the other.
void lorac_session_zero_gradients(struct lorac_session *session);
// Where the loss writes its gradient, [N, classes], before backward.
float *lorac_session_logits_gradient(struct lorac_session *session);
void lorac_session_backward(struct lorac_session *session);

// BatchNorm's running statistics move (see kernel.h commit).
void lorac_session_commit(struct lorac_session *session);

// The node whose statistics commit would make NaN or infinite; NULL: none. Nothing changes.
const char *lorac_session_bad_commit(const struct lorac_session *session);

// After parameters were changed from outside: kernels see the new values at the next forward.
void lorac_session_params_changed(struct lorac_session *session);

// Replays a training step or a part of it, forward and backward with the gradient of the logits given by
// [loss_gradient], a callback that fills it from the logits (NULL: forward alone, not as training), on the input given
// again, with a check after each step; *name is the first step (or gradient) that is not finite, e.g. "output of
// 'layer1/Conv'", NULL where all are finite. Like backward it adds to the gradients. The text lives in the program's
// arena.
enum lorac_status lorac_session_find_bad(struct lorac_session *session, const float *input,
                                         void (*loss_gradient)(void *context, const float *logits, float *gradient),
                                         void *context, const char **name, struct lorac_error *error);

// Gives the model's tensors that lorac_session_store will write their own memory, so that it needs none. MEMORY.
enum lorac_status lorac_session_own(struct lorac_session *session, struct lorac_error *error);

// Writes trainable and updated parameters back into the model's tensors.
enum lorac_status lorac_session_store(struct lorac_session *session, struct lorac_error *error);

struct pthreadpool *lorac_session_pool(struct lorac_session *session);
struct lorac_program *lorac_session_program(struct lorac_session *session);

#endif
