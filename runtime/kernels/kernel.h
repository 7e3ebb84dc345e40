// What a kernel is: everything the runtime knows about one ONNX operator, in one file, forward and backward side by
// side. kernel_list.h has a line for each.
//
// Life cycle: lower (reads the node, checks *everything*, infers the output) → absorb (may take the next step over) →
// memory (says what backward keeps and how much workspace it needs) → create (packs weights, makes operators; may
// allocate) → refresh (after parameters changed; the one place that may allocate again: an operator whose weights
// changed is made anew) → forward, backward (may not allocate, cannot fail on shapes) → destroy (accepts a half-made
// state).
#ifndef LORAC_KERNEL_H
#define LORAC_KERNEL_H

#include "runtime/lower.h"
#include "runtime/program.h"

// Of how kernels are run: raised whenever one of several ways to run a step becomes faster or slower, comes or goes, so
// that what was measured before is measured again (choice.h).
enum { LORAC_KERNELS_VERSION = 4 };

struct pthreadpool; // the struct behind pthreadpool_t
struct lorac_simd;

struct lorac_kernel_env {
    struct lorac_program *program;
    struct pthreadpool *pool;      // NULL: one thread
    const struct lorac_simd *simd; // never NULL
    void *workspace;               // the largest scratch_bytes of all steps, 64-byte aligned
    bool training;                 // this run is a training step (BatchNorm uses batch statistics then)
};

struct lorac_kernel {
    const char *op_type; // ONNX

    enum lorac_status (*lower)(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                               struct lorac_error *error);
    // Takes over what [next] does, a lowered step that alone reads this step's output, so that [next] is left out: this
    // step gives its output from then on. Parameters that it needs are copied to its own, behind them. False, and
    // nothing changed: it cannot. NULL: never.
    bool (*absorb)(struct lorac_program *program, struct lorac_step *step, const struct lorac_step *next);
    // After differentiation is known (step->needs_backward, has_trainable, inputs' needs_gradient): sets keeps_*,
    // scratch_bytes and the params' `kept`. NULL: nothing to say beyond lower.
    enum lorac_status (*memory)(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error);
    enum lorac_status (*create)(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error);
    // Called for steps with a trainable parameter.
    enum lorac_status (*refresh)(struct lorac_step *step, const struct lorac_kernel_env *env,
                                 struct lorac_error *error);
    void (*forward)(struct lorac_step *step, const struct lorac_kernel_env *env);
    // Reads step->dy (and what was kept), writes step->dx[i] where not NULL, adds into the gradients of trainable
    // params. NULL: the op has no gradient; lowering refuses it on a path that needs one.
    void (*backward)(struct lorac_step *step, const struct lorac_kernel_env *env);
    // After a training step whose loss and gradients were finite: BatchNorm moves its running statistics here, so that
    // a bad step leaves no trace. NULL: nothing to do.
    void (*commit)(struct lorac_step *step, const struct lorac_kernel_env *env);
    // Whether commit would write finite numbers only; asked before anything of the step is kept. There where commit is.
    bool (*can_commit)(const struct lorac_step *step, const struct lorac_kernel_env *env);
    void (*destroy)(struct lorac_step *step);
    // True where dx[i] would be dy itself (Add): differentiate then shares the buffer and calls no backward for it.
    bool passes_gradient;
    // How many of the first inputs, of the output's size, forward may write y over: each element of y is written after
    // those of the same place in them were read for the last time. 0: none.
    size_t in_place_inputs;
    // True where backward may write dx[0] over dy in the same way.
    bool gradient_in_place;
    // True where backward reads no more of y than one bit for each element, and forward keeps these in [kept] where
    // step->keeps_mask asks for it (mask.h).
    bool can_mask;
    // Whether the step is y = min(max(x, low), high), and no more; sets *low and *high then. NULL: never.
    bool (*is_clamp)(const struct lorac_step *step, float *low, float *high);
    // Whether forward can also clamp y so, which it will do from then on; asked once at most, after `memory` and before
    // `create`. NULL: never.
    bool (*take_clamp)(struct lorac_step *step, float low, float high);
    // At the end of a model: true where the loss is computed on what goes into the step, not on its output (Softmax
    // over the classes). NULL: never.
    bool (*is_left_out)(const struct lorac_step *step);
    // Bytes that create makes beside the plan (packed weights), for predictions; NULL: none.
    size_t (*packed_bytes)(const struct lorac_program *program, const struct lorac_step *step);
    // How the step is run, where there are several ways: "direct" (the name of an algorithm); backward: how the
    // gradient of its input is, NULL where none is needed. Known once `memory` was called. NULL: there is one way.
    const char *(*algorithm)(const struct lorac_step *step, bool backward);
    // How the gradient of its weight is computed; NULL where none is. Known then too; there where `describe` is.
    const char *(*weight_algorithm)(const struct lorac_step *step);
    // What that takes beside a plain algorithm, measured; known once `memory` was called. NULL: 1.
    double (*relative_time)(const struct lorac_step *step, bool backward);
    // "definition" or "branch": how an adapter in the step is run (lorac_form_policy), known once `memory` was called;
    // NULL where it has none, or no step of this kernel ever has.
    const char *(*form)(const struct lorac_step *step);
    // What decides how fast each way is, in [text] of LORAC_CHOICE_STEP bytes: the step's name in program->choices,
    // which `memory` consults. False where it does not fit. NULL: there is one way.
    bool (*describe)(const struct lorac_program *program, const struct lorac_step *step, char *text);
    // The i-th algorithm for the step, or for the gradient of its input, that may be used in the form "branch" or
    // another one; NULL past the last, and where the form is not possible or no gradient is needed. There where
    // `describe` is.
    const char *(*candidate)(const struct lorac_program *program, const struct lorac_step *step, bool branch,
                             bool backward, size_t i);
    // Multiply-adds of forward for the whole batch, as the operator is defined, whatever the algorithm does; NULL: not
    // counted.
    size_t (*multiply_adds)(const struct lorac_program *program, const struct lorac_step *step);
};

// The kernel for a node of the default domain, or NULL.
const struct lorac_kernel *lorac_kernel_find(const char *op_type);
// All of them, for tests and inspect.
const struct lorac_kernel *const *lorac_kernel_all(size_t *count);

// Multiply-adds of the step's forward, 0 where not counted, and of its backward: as many for the gradient of its input,
// where one is needed, and as many for the dense gradient of its weight, where it is trained, or an adapter in it that
// is run by the definition. What an adapter needs as a branch is not counted.
size_t lorac_step_multiply_adds(const struct lorac_program *program, const struct lorac_step *step);
size_t lorac_step_backward_multiply_adds(const struct lorac_program *program, const struct lorac_step *step);

bool lorac_step_is_branch(const struct lorac_step *step); // it has an adapter, which is run as a branch
// The program's adapters that are run by the definition, and as branches.
void lorac_program_count_forms(const struct lorac_program *program, size_t *definitions, size_t *branches);

// The numbers of a parameter that was loaded once: those in memory or, where it was let go since, read again from the
// model's tensor into [to], [count] floats. Cannot fail, and allocates nothing, where lorac_param_is_rereadable.
const float *lorac_param_floats(const struct lorac_program *program, const struct lorac_param *param, float *to);
bool lorac_param_is_rereadable(const struct lorac_param *param);

// Shorthands for kernels.
static inline const struct lorac_value *lorac_step_input(const struct lorac_program *program,
                                                         const struct lorac_step *step, size_t i)
{
    return &program->values[step->inputs[i]];
}
static inline const struct lorac_value *lorac_step_output(const struct lorac_program *program,
                                                          const struct lorac_step *step)
{
    return &program->values[step->output];
}
static inline struct lorac_param *lorac_step_param(const struct lorac_program *program, const struct lorac_step *step,
                                                   size_t i)
{
    return step->params[i] == LORAC_NO_ID ? NULL : &program->params[step->params[i]];
}

#endif
