// A Conv step as lowering makes it (conv_lower.c), conv_memory.c chooses how to run it, and conv.c runs it.
//
// Parameters: 0 the weight (W0), 1 the bias, 2 A, 3 B; from 4 on those of the BatchNormalization, where one is folded in.
#ifndef LORAC_CONV_STEP_H
#define LORAC_CONV_STEP_H

#include "conv_branch.h"

enum { LORAC_CONV_PARAMS = 4 };

struct conv {
    struct lorac_conv_shape shape;
    bool adapted;
    struct lorac_conv_adapter adapter;
    float low, high; // what y is clamped to: -INFINITY and INFINITY unless a step behind it left it to us
    const struct lorac_conv_algorithm *forward, *gradient; // gradient: NULL where no input gradient is needed
    const struct lorac_conv_weight_gradient *dense;        // NULL where none is computed
    bool is_branch;                                        // the form
    struct lorac_conv_branch branch;                       // where it is
    bool normed;                                           // a BatchNormalization is folded in
    double norm_epsilon;                                   // its own
};

// The kernel's `lower` and `absorb` (kernel.h).
enum lorac_status lorac_conv_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error);
bool lorac_conv_absorb(struct lorac_program *program, struct lorac_step *step, const struct lorac_step *next);

// ---- conv_memory.c: of the kernel (kernel.h)

enum lorac_status lorac_conv_memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error);
size_t lorac_conv_packed_bytes(const struct lorac_program *program, const struct lorac_step *step);
bool lorac_conv_describe(const struct lorac_program *program, const struct lorac_step *step, char *text);
const char *lorac_conv_candidate(const struct lorac_program *program, const struct lorac_step *step, bool branch,
                                 bool backward, size_t i);
double lorac_conv_relative_time(const struct lorac_step *step, bool backward);

// ---- what memory is asked for, and how it is used

static inline bool lorac_conv_trains(const struct lorac_program *program, const struct lorac_step *step, size_t i)
{
    const struct lorac_param *param = lorac_step_param(program, step, i);
    return param && param->trainable;
}

// Of the weight, for one output.
static inline size_t lorac_conv_row_floats(const struct conv *conv)
{
    return lorac_conv_weight_count(&conv->shape) / conv->shape.M;
}

static inline bool lorac_conv_packs_at_run(const struct conv *conv)
{
    return conv->forward->pack || (conv->gradient && conv->gradient->pack);
}

static inline bool lorac_conv_packs_ahead(const struct conv *conv)
{
    return !conv->forward->pack || (conv->gradient && !conv->gradient->pack);
}

// Whether the weight that is packed is not the model's own, or is read again.
static inline bool lorac_conv_builds(const struct conv *conv)
{
    return conv->normed || (conv->adapted && !conv->is_branch) || lorac_conv_packs_at_run(conv);
}

// Of gain * B, where there is a gain.
static inline size_t lorac_conv_normed_b_floats(const struct conv *conv)
{
    return conv->normed ? conv->adapter.rows * conv->adapter.R : 0;
}

// Of the dense gradient, at the beginning of the workspace; what follows is aligned as the workspace is.
static inline size_t lorac_conv_dense_floats(const struct conv *conv)
{
    enum { LINE = LORAC_BUFFER_ALIGNMENT / sizeof(float) };
    return (lorac_conv_weight_count(&conv->shape) + LINE - 1) / LINE * LINE;
}

#endif
