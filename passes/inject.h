// inject: gives each chosen convolution a LoRA-C adapter subgraph (see proto/adapter_meta.h for the picture of the
// weight form, proto/adapter_branch.h for the branch form) and records it in the metadata. Adds adapters and metadata
// and nothing else; the outputs stay the same, because B starts at zero.
#ifndef LORAC_INJECT_H
#define LORAC_INJECT_H

#include "pass.h"

struct lorac_inject_options {
    int64_t rank;                    // 4; at least 1
    double alpha;                    // 8; finite, not 0
    enum lorac_rank_setting setting; // kernel
    enum lorac_adapter_form form;    // weight
    uint64_t seed;                   // 0; A depends on it and the convolution's name alone
    const char *layers;            // POSIX extended regex that an adapted convolution's node name must match; NULL: all
    const char *exclude;           // ... must not match; NULL: none
    const char *branch_layers;     // regex; adapters of matching names have the branch form, whatever [form] says; NULL
    bool train_first;              // false: the first convolution's weight becomes trainable
    bool train_last;               // true: the last layer's weight and bias become trainable
    bool train_all;                // false; true: no adapters, weights and biases of every Conv and of the last layer
    enum lorac_bn_mode bn;         // frozen; train is refused where the model has no BatchNormalization,
                                   // or one whose statistics are shared or no constants
    struct lorac_input_meta input; // recorded where given
    const char *output;            // the graph output that is trained, recorded as lorac.output; NULL: what the model's
                                   // lorac.output says, else the first
    const char *tool;              // recorded as lorac.tool; NULL: "lorac-onnx"
};

// The defaults above.
struct lorac_inject_options lorac_inject_options_default(void);

extern const struct lorac_pass lorac_pass_inject;

// ---- what inject would do, for inspect and for its own report: one row per Conv, in graph order

struct lorac_conv_row {
    const Onnx__NodeProto *node; // the model's own: an adapter's convolutions have no row
    const char *name;
    bool has_weight; // the weight is a constant of rank 4; else dims are 0
    int64_t dims[4]; // M, C/g, kh, kw
    int64_t group;
    bool first;                 // the first convolution
    bool last;                  // this convolution is the last layer
    bool adapted;               // gets (or, in an injected model, has) an adapter
    enum lorac_adapter_form form; // of its adapter
    const char *reason;         // why it gets none; NULL where adapted
    int64_t R;                  // inner dimension, where adapted
    int64_t adapter_parameters; // R*(C/g)*kw + M*kh*R, where adapted
};

struct lorac_inject_plan {
    size_t row_count;
    struct lorac_conv_row *rows;         // in the model's arena
    const Onnx__NodeProto *last_layer;   // Gemm, MatMul or Conv; NULL where there is none (see [last_reason])
    const char *last_weight, *last_bias; // value names; last_bias NULL where none
    const char *last_reason;
    size_t trainable_count;
    const char **trainable;       // names of base tensors that become trainable (adapters not included)
    int64_t parameters;           // elements of all float initialisers and Constant tensors of the base model,
                                  // biases and BatchNorm included (running statistics too)
    int64_t trainable_parameters; // adapters and base tensors
    size_t batch_norm_count;
};

// Errors: ARGUMENT (bad options, bad regex), MEMORY. Works on plain models; on injected ones rows say what is there.
enum lorac_status lorac_inject_plan(struct lorac_model *model, const struct lorac_inject_options *options,
                                    struct lorac_inject_plan *out, struct lorac_error *error);

#endif
