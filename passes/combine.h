// combine: gives a plain model the adapters of several trained ones at once, each with a weight:
//
//     W = W0 + sum over i of w_i * (W_i - W0)          for every tensor that training changed
//
// The trained models are of the same base, W0 and all (apply makes them from files). For an adapted convolution,
// W_i - W0 = s_i * view(B_i @ A_i), so that the sum is again one adapter, of the ranks' sum:
//
//     A = [A_1; A_2; ...]    B = [w_1*s_1*B_1, w_2*s_2*B_2, ...]    setting plain, alpha = rank, so that s = 1
//
// The result is an injected model like any other: it can be run, trained, and merged. Each w_i*s_i*B_i is rounded once
// to float32.
#ifndef LORAC_COMBINE_H
#define LORAC_COMBINE_H

#include "pass.h"

struct lorac_combine_part {
    struct lorac_model *model; // injected, of the same base; only looked at
    const char *name;          // for messages
    double weight;             // finite
};

struct lorac_combine_options {
    size_t count; // 0 (the default): nothing to do
    const struct lorac_combine_part *parts;
};

// Errors of run beside MEMORY: MISMATCH (BatchNormalization statistics in more than one part; a convolution that one
// part adapts and another trains whole), NOT_FINITE (a number that the type cannot hold, or a variance below 0),
// ARGUMENT (the ranks' sum is above LORAC_MAX_RANK).
extern const struct lorac_pass lorac_pass_combine;

#endif
