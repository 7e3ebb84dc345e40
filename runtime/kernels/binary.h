// Operators of two operands with NumPy's broadcasting, shared by Add, Sub, Mul, Div, Pow, PRelu, Min, Max and Sum:
// binary_lower.c aligns the operands and makes the steps, binary.c runs them.
//
// An operand is an activation or a constant; one of the two at least is an activation. They are aligned at their last
// dimensions as the graph sees them. Activations have the batch at the same place, counted from the end; a constant has
// 1 or no dimension there. What comes out lies in memory as the larger activation does.
#ifndef LORAC_BINARY_H
#define LORAC_BINARY_H

#include "kernel.h"

enum lorac_binary_kind {
    LORAC_BINARY_ADD,
    LORAC_BINARY_SUB,
    LORAC_BINARY_MUL,
    LORAC_BINARY_DIV,
    LORAC_BINARY_POW,   // the second operand, the exponent, is a constant
    LORAC_BINARY_PRELU, // the second operand, the slope, is a constant that does not make the first larger
    LORAC_BINARY_MIN,
    LORAC_BINARY_MAX,
    LORAC_BINARY_KIND_COUNT
};

// Element-wise work over [N, H, W, C] of the output, with adjacent dimensions made one where all three tensors allow it
// (sizes of 1 are in front then). In memory the output is contiguous.
struct lorac_binary {
    enum lorac_binary_kind kind;
    size_t dims[4], count;
    struct lorac_binary_operand {
        const float *constant; // NULL for an activation
        size_t input;          // of the step, for an activation
        size_t strides[4];     // in floats; 0 where it is broadcast
        bool broadcast;        // an element stands for several of the output
    } operands[2];
};

// The kernel of a step whose config is a struct lorac_binary. Where the gradient of each activation is dy itself, it
// passes the gradient.
const struct lorac_kernel *lorac_binary_kernel(const struct lorac_binary *binary);

// Lowers a node of 1 or more inputs: the first two are combined, what comes out is combined with the third, and so on.
// Activations are taken before constants. A node of one input is an alias. UNSUPPORTED where they do not fit.
enum lorac_status lorac_binary_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, enum lorac_binary_kind kind, struct lorac_error *error);

#endif
