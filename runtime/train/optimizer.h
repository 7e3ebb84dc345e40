// Optimisers, clipping, schedules: PyTorch's rules. One file per optimiser in optim/, one line each in
// optim/optimizer_list.h.
#ifndef LORAC_OPTIMIZER_H
#define LORAC_OPTIMIZER_H

#include "runtime/lorac.h"
#include "runtime/session.h"

enum { LORAC_OPTIMIZER_MAX_STATE = 2 };

// One tensor of an update. All arrays [count].
struct lorac_update {
    float *value;
    const float *gradient;
    float *state[LORAC_OPTIMIZER_MAX_STATE]; // zero before the first step
    size_t count;
    float gradient_factor; // clipping: the gradient is multiplied by it
    bool decay;            // weight decay applies to this tensor
    uint64_t step;         // 1 for the first
    double lr;
};

struct lorac_optimizer {
    const char *name; // as on the command line: "sgd", "adamw"
    enum lorac_optimizer_kind kind;
    size_t state_count; // arrays of state that it needs
    // Updates elements [begin, end): called for fixed ranges, from several threads at once.
    void (*update)(const struct lorac_optimizer_options *options, const struct lorac_update *update, size_t begin,
                   size_t end);
};
const struct lorac_optimizer *lorac_optimizer_find(enum lorac_optimizer_kind kind);
const struct lorac_optimizer *lorac_optimizer_find_name(const char *name); // NULL: unknown
const struct lorac_optimizer *const *lorac_optimizer_all(size_t *count);

// Defaults of lorac-onnx train: SGD, lr 0.005, momentum 0.9, weight decay 5e-4, clip 5.
struct lorac_optimizer_options lorac_optimizer_options_default(void);
// Finite, positive where they must be, betas in [0,1), nesterov with momentum; ARGUMENT names the field and the rule.
// Fields of the other optimiser are not looked at, except that nesterov is refused without SGD.
enum lorac_status lorac_optimizer_options_check(const struct lorac_optimizer_options *options,
                                                struct lorac_error *error);

// Everything a training run holds beside the session: optimiser state and the last good values of all trainable
// parameters.
struct lorac_train_state;
enum lorac_status lorac_train_state_create(struct lorac_session *session, const struct lorac_optimizer_options *options,
                                           struct lorac_train_state **out, struct lorac_error *error);
void lorac_train_state_free(struct lorac_train_state *state);
// Bytes it holds (optimiser state, last good values).
size_t lorac_train_state_bytes(const struct lorac_program *program, const struct lorac_optimizer_options *options);

// The optimiser's own state (snapshot.h): array [k], below the count, of the [tensor]-th trainable parameter, [count of
// that parameter]; and the updates that were done, 0 before the first.
size_t lorac_train_state_array_count(const struct lorac_train_state *state);
float *lorac_train_state_array(struct lorac_train_state *state, size_t tensor, size_t k);
uint64_t lorac_train_state_step(const struct lorac_train_state *state);
void lorac_train_state_set_step(struct lorac_train_state *state, uint64_t step);

// Norm of all gradients together, in double, with a fixed partition: the same bits for any number of threads.
// *bad is the name of the first tensor whose gradient is not finite, NULL where all are.
double lorac_gradient_norm(struct lorac_session *session, const char **bad);

// Applies one update with [lr] to every trainable parameter, clipped by options.clip_norm with factor
// min(1, c/(norm + 1e-6)), and checks the new values: where one is NaN or infinite all go back to the last good values,
// the optimiser starts anew (its own state has seen the bad step), and NOT_FINITE names the tensor. Tells the session
// that its parameters changed.
enum lorac_status lorac_train_state_update(struct lorac_train_state *state, struct lorac_session *session, double lr,
                                           double norm, struct lorac_error *error);

// ---- loss (train/loss.c)

// What the loss is taken of: rows of a batch, all of them or a part.
struct lorac_loss_rows {
    const float *logits;   // [rows, classes]
    const int32_t *labels; // [rows]
    size_t rows, classes;
    size_t batch; // images that the mean is over, at least rows: the parts of a batch add up to its loss
    double label_smoothing;
};
// The rows' part of the batch's cross-entropy with label smoothing, in double: PyTorch's definition, the sum over the
// rows divided by the batch. gradient [rows, classes] (NULL: not wanted) gets d loss / d logits. *correct (NULL: not
// wanted) counts rows whose first largest logit is the label's. per_row [rows] (NULL: not wanted) gets each row's loss.
double lorac_cross_entropy(const struct lorac_loss_rows *part, float *gradient, size_t *correct, double *per_row);

// ---- schedule (train/schedule.c)

enum lorac_schedule_kind { LORAC_SCHEDULE_CONSTANT, LORAC_SCHEDULE_COSINE, LORAC_SCHEDULE_STEP };
struct lorac_schedule {
    enum lorac_schedule_kind kind; // cosine
    double lr;                     // the base learning rate
    uint64_t total_steps;
    uint64_t warmup_steps; // 0; the first warmup_steps steps rise linearly from lr/warmup to lr
};
// The learning rate of [step] (0 for the first, below total_steps). cosine: lr * (1 + cos(pi * t)) / 2 reaching zero at
// the last step's end as torch.optim.lr_scheduler.CosineAnnealingLR with T_max = total - warmup does; step: times 0.1
// at 1/2 and at 3/4 of the steps.
double lorac_schedule_lr(const struct lorac_schedule *schedule, uint64_t step);

#endif
