// The branch form of an adapter: the Conv and its weight stay as they are, and the adapter's own convolutions run
// beside it. Row block a of B@A fills the flat positions [a*Cg*kw, (a+1)*Cg*kw) of each output kernel [Cg, kh, kw],
// that is the channels c0 = floor(a*Cg/kh) to c1 = ceil((a+1)*Cg/kh), the first and the last of them perhaps in part:
//
//     D_a = Reshape(Pad(A, left a*Cg*kw - c0*kh*kw, right c1*kh*kw - (a+1)*Cg*kw), [R, c1-c0, kh, kw])
//     h   = Concat over a of Conv(x[:, c0:c1], D_a)         the Conv's own attributes; kh*R channels
//     out = Add(y, Mul(Conv(h, Reshape(B, [M, kh*R, 1, 1])), scale))
//
// with x the Conv's input, y its output. With more than one group every group has the same A, so D = the padded blocks
// [kh*R, Cg, kh, kw] once for each group, and both convolutions are grouped. docs/format.md has every node.
//
// The list below is the only description of it: inject makes the nodes from it, and locating an adapter compares the
// graph with it, so that the two cannot disagree.
#ifndef LORAC_ADAPTER_BRANCH_H
#define LORAC_ADAPTER_BRANCH_H

#include "adapter_meta.h"

enum { LORAC_BRANCH_MAX_ROWS = 255 }; // kh: the graph has up to 4*kh + 10 nodes

// What a branch depends on.
struct lorac_branch_shape {
    int64_t M, Cg, kh, kw, R, group; // each at least 1; the weight's elements, and A's and B's, have been counted
    int32_t type;                    // of the Conv's values: FLOAT, FLOAT16, BFLOAT16 or DOUBLE
    int64_t opset;                   // of the default domain
};

enum lorac_branch_role { LORAC_BRANCH_A, LORAC_BRANCH_B, LORAC_BRANCH_SCALE, LORAC_BRANCH_INTS };

struct lorac_branch_tensor {
    const char *suffix; // "lora_A": its name is <conv>/<suffix>
    enum lorac_branch_role role;
    size_t count; // INTS: INT64 [count]
    int64_t values[4];
};

enum lorac_branch_source { LORAC_BRANCH_X, LORAC_BRANCH_Y, LORAC_BRANCH_TENSOR, LORAC_BRANCH_NODE };

struct lorac_branch_operand {
    enum lorac_branch_source source;
    size_t index; // TENSOR, NODE: in the lists below; a node reads only earlier ones
};

struct lorac_branch_attribute {
    const char *name;
    size_t count; // 0: an INT, in values[0]; else INTS
    int64_t values[4];
};

struct lorac_branch_node {
    const char *op_type;
    const char *suffix;
    size_t input_count;
    const struct lorac_branch_operand *inputs;
    bool like_conv; // has the attributes of the Conv, and none below
    size_t attribute_count;
    struct lorac_branch_attribute attributes[3];
};

// Nodes in graph order, the last is the Add; tensors in the order in which inject makes them, A and B first.
struct lorac_branch {
    size_t tensor_count, node_count;
    struct lorac_branch_tensor *tensors;
    struct lorac_branch_node *nodes;
};

// The list for [shape], in [arena]. Errors: UNSUPPORTED (kh above LORAC_BRANCH_MAX_ROWS, another type), MEMORY.
enum lorac_status lorac_branch_describe(struct lorac_arena *arena, const struct lorac_branch_shape *shape,
                                        struct lorac_branch *out, struct lorac_error *error);

#endif
