// A Conv step as lowering makes it (conv_lower.c) and conv.c runs it.
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
    bool is_branch;                                        // the form
    struct lorac_conv_branch branch;                       // where it is
    bool normed;                                           // a BatchNormalization is folded in
    double norm_epsilon;                                   // its own
};

// The kernel's `lower` and `absorb` (kernel.h).
enum lorac_status lorac_conv_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error);
bool lorac_conv_absorb(struct lorac_program *program, struct lorac_step *step, const struct lorac_step *next);

#endif
