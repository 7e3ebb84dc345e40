// inject: gives each chosen convolution a LoRA-C adapter subgraph (see proto/adapter_meta.h for the picture of the
// weight form, proto/adapter_branch.h for the branch form) and records it in the metadata. Adds adapters and metadata
// and nothing else; the outputs stay the same, because B starts at zero. A base tensor that is trained, or whose
// statistics move, and that another node reads too or other nodes compute, is copied first: only its own node reads the
// copy.
#ifndef LORAC_INJECT_H
#define LORAC_INJECT_H

#include "pass.h"

// Another rank or alpha for some of the adapters.
struct lorac_inject_override {
    const char *layers; // POSIX extended regex of node names
    int64_t rank;       // 0: as for all
    double alpha;       // 0: as for all, also where the rank is another
};

struct lorac_inject_options {
    int64_t rank;                    // 4; at least 1
    double alpha;                    // 8; finite, not 0
    const struct lorac_inject_override *overrides; // [override_count]; the first that matches a name counts. NULL
    size_t override_count;
    enum lorac_rank_setting setting; // kernel
    enum lorac_adapter_form form;    // weight
    uint64_t seed;                   // 0; A depends on it and the convolution's name alone
    const char *layers;            // POSIX extended regex that an adapted convolution's node name must match; NULL: all
    const char *exclude;           // ... must not match; NULL: none
    const char *branch_layers;     // regex; adapters of matching names have the branch form, whatever [form] says; NULL
    bool freeze_a;                   // false: A stays at its random start, B alone is trained
    bool train_first;              // false: the first convolution's weight becomes trainable
    bool train_last;               // true: the last layer's weight and bias become trainable
    bool train_all;                // false; true: no adapters, weights and biases of every Conv and of the last layer
    bool as_inputs;                // false; true: what training changes becomes optional inputs of the graph
    enum lorac_bn_mode bn;         // frozen; train is refused where the model has no BatchNormalization,
                                   // or one whose statistics are no constants
    struct lorac_input_meta input; // recorded where given
    const char *output;            // the graph output that is trained, recorded as lorac.output; NULL: what the model's
                                   // lorac.output says, else the first
    const struct lorac_meta *record; // NULL; else what it names is adapted and trained as it says, whatever the members
                                     // from rank to as_inputs say but seed
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
    struct lorac_weight weight; // where has_weight
    int64_t dims[4]; // M, C/g, kh, kw
    int64_t group;
    bool first;                 // the first convolution
    bool reaches;               // the trained output depends on it; else it has no gradient, and cannot be trained
    bool last;                  // this convolution is the last layer
    bool adapted;               // gets (or, in an injected model, has) an adapter
    enum lorac_adapter_form form; // of its adapter
    int64_t rank;                 // of an adapter that inject would add; with alpha and setting
    double alpha;
    enum lorac_rank_setting setting;
    const char *reason;         // why it gets none; NULL where adapted
    bool left_out;              // it gets none by the method's rule or by an option, and could have one
    const char *fault;          // what in the node contradicts what: inject refuses the model; NULL: nothing
    int64_t R;                  // inner dimension, where adapted
    int64_t adapter_parameters; // R*(C/g)*kw + M*kh*R, where adapted
    bool freeze_a;              // where adapted: A is not trained
    int64_t trained_parameters; // of the adapter: without A's where that is frozen
};

// A tensor of the base model that training changes.
enum lorac_base_role { LORAC_BASE_OTHER, LORAC_BASE_FIRST_WEIGHT, LORAC_BASE_LAST_WEIGHT, LORAC_BASE_LAST_BIAS };
struct lorac_base_tensor {
    enum lorac_base_role role;
    int64_t count;              // elements
    struct lorac_weight weight; // what it is before inject
    const Onnx__NodeProto *node; // who reads it, as input [input]; NULL in an injected model
    size_t input;
    const char *copy_name;   // "weight", "bias", ...: of a copy's name
    const char *copy_reason; // why the node gets a copy of its own: "'x' reads it too"; NULL where it gets none
};

// Adapters and copies of trained tensors may have so many elements in all (1 GiB).
#define LORAC_INJECT_MAX_ELEMENTS ((size_t)1 << 28)

struct lorac_inject_plan {
    size_t row_count;
    struct lorac_conv_row *rows;         // in the model's arena
    const Onnx__NodeProto *last_layer;   // Gemm, MatMul or Conv; NULL where there is none (see [last_reason])
    const char *last_weight, *last_bias; // value names; last_bias NULL where none
    const char *last_reason;
    const char *output; // the trained graph output
    size_t trained_count;
    struct lorac_base_tensor *trained; // base tensors that become trainable (adapters not included)
    size_t moved_count;
    struct lorac_base_tensor *moved; // running statistics that training moves: with bn train, on plain models
    int64_t parameters;           // elements of all float initialisers and Constant tensors of the base model,
                                  // biases and BatchNorm included (running statistics too), and of quantised weights
    int64_t trainable_parameters; // adapters and base tensors
    size_t batch_norm_count;
};

// Errors: ARGUMENT (adapters too large, bad options, bad regex, an output that is not there), MEMORY. Works on plain models; on injected ones rows say what is there.
enum lorac_status lorac_inject_plan(struct lorac_model *model, const struct lorac_inject_options *options,
                                    struct lorac_inject_plan *out, struct lorac_error *error);

// That the options' patterns are regular expressions, which needs no model. Errors: ARGUMENT.
enum lorac_status lorac_inject_check_patterns(const struct lorac_inject_options *options, struct lorac_error *error);

// Whether inject may go on with this plan of a plain model: what it says before any work. Errors: ARGUMENT (an option
// asks for what the model does not have), UNSUPPORTED (activations are quantised), NOT_FINITE (a weight), MEMORY.
enum lorac_status lorac_inject_check(struct lorac_model *model, const struct lorac_inject_options *options,
                                     const struct lorac_inject_plan *plan, struct lorac_error *error);

#endif
