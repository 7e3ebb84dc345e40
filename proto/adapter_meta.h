// How "this is an adapter of that convolution", "this initialiser is trainable" and "pixels are normalised so"
// are stored in a model: in one place. docs/format.md is the contract; this is its only implementation.
//
// LoRA-C (Ding et al. 2024, arXiv 2410.16954): W = W0 + s * view(B @ A, [M, C/g, kh, kw]), s = alpha / rank,
// A [R, (C/g)*kw], B [M*kh, R]; R = rank*max(kh, kw) (setting `kernel`; the paper's kernels are square) or rank
// (`plain`).
//
// The weight form in the graph, with the names that inject gives (each made fresh against the whole model):
//
//     <conv>/lora_B ──┐
//     <conv>/lora_A ──┴ MatMul <conv>/lora_MatMul ─ Reshape <conv>/lora_Reshape ─ Mul <conv>/lora_Mul ─┐
//                                <conv>/lora_shape ─┘         <conv>/lora_scale ─┘                      │
//     W0 ──────────────────────────────────────────────────────────────── Add <conv>/lora_Add ─────────┴─▶ Conv input 1
//
// (each node's output is its name with "_output" appended; Add takes W0 first)
// The branch form is in adapter_branch.h.
#ifndef LORAC_ADAPTER_META_H
#define LORAC_ADAPTER_META_H

#include "model.h"
#include "weight.h"

// The newest version of the format that this code reads. A model is written as the oldest one that says what it holds:
// 1 where all that is adapted or trained is a FLOAT tensor, nothing was copied, and no adapter has the branch form.
#define LORAC_FORMAT_VERSION 2

enum lorac_rank_setting { LORAC_RANK_KERNEL, LORAC_RANK_PLAIN };
enum lorac_adapter_form { LORAC_FORM_WEIGHT, LORAC_FORM_BRANCH };
enum lorac_bn_mode { LORAC_BN_FROZEN, LORAC_BN_TRAIN };

// One entry of lorac.adapters. All strings are value names except [conv], a node's name as lorac_node_name gives it.
struct lorac_adapter {
    const char *conv;
    const char *weight; // W0
    const char *a;
    const char *b;
    int64_t rank; // 1 .. LORAC_MAX_RANK
    double alpha; // finite, not 0
    enum lorac_rank_setting setting;
    enum lorac_adapter_form form;
    bool freeze_a; // A is not trained
};

enum { LORAC_MAX_CHANNELS = 16, LORAC_MAX_RANK = 65536 };

// lorac.input: x = (value*scale - mean[c]) / std[c]; channel order of the *model's* input, pixels are fed RGB.
struct lorac_input_meta {
    bool given;        // false: no lorac.input in the model
    double scale;      // 1/255 unless given
    size_t mean_count; // 0: no mean (0.0) / no std (1.0); 1: the same for all channels; else one per channel
    double mean[LORAC_MAX_CHANNELS];
    size_t std_count;
    double std[LORAC_MAX_CHANNELS];
    bool bgr;
};

// One entry of lorac.copies: an initialiser that inject made, because what a node read and trains is used elsewhere too
// or computed by other nodes.
struct lorac_meta_copy {
    const char *copy; // the initialiser's name
    const char *of;   // the value that the node read before
};

// All that the lorac.* entries of metadata_props say. Strings live in the model's arena.
struct lorac_meta {
    bool injected;         // lorac.format is there
    const char *base_hash; // 32 hex digits
    size_t adapter_count;
    struct lorac_adapter *adapters;
    size_t trainable_count;
    const char **trainable; // initialiser (or Constant output) names, adapters' A and B included
    size_t copy_count;      // 0: no lorac.copies
    struct lorac_meta_copy *copies;
    size_t graph_input_count; // 0: no lorac.graph_inputs
    const char **graph_inputs; // initialisers that inject declared as inputs of the graph, so that a runtime may override
                               // them
    enum lorac_bn_mode bn;
    uint64_t seed; // stored as a decimal string: JSON numbers end at 2^53
    struct lorac_input_meta input;
    size_t class_count; // 0: no lorac.classes
    const char **classes;
    const char *output; // lorac.output: the graph output that is trained and evaluated; NULL: the first
    const char *tool;   // "lorac-onnx 0.1.0"
};

// Reads and checks the entries; a plain model gives injected == false (lorac.input, lorac.classes and lorac.output are
// read all the same). Errors: FORMAT (bad JSON, missing or repeated keys, wrong types, entries that contradict each other),
// UNSUPPORTED (a newer lorac.format, an unknown form), MISMATCH (a trainable name that is no floating constant of the
// model, a copy that is no initialiser, an adapter's convolution or an output that the model does not have), naming the key.
enum lorac_status lorac_meta_read(struct lorac_model *model, struct lorac_meta *out, struct lorac_error *error);

// The same entries from somewhere else than a model: find(holder, key) gives a text that outlives [arena], or NULL.
// What they say of a model (that a name is there) is not looked at. Always injected. Errors: FORMAT, UNSUPPORTED, MEMORY.
struct lorac_meta_source {
    struct lorac_arena *arena;
    const char *(*find)(const void *holder, const char *key);
    const void *holder;
};
enum lorac_status lorac_meta_parse(const struct lorac_meta_source *source, struct lorac_meta *out,
                                   struct lorac_error *error);

// The key of the first entry that says something else in [a] and [b], both injected, of those that make the graph:
// adapters, trained tensors, copies, graph inputs, BatchNormalization, and, where an A is frozen, the seed. NULL where they agree.
const char *lorac_meta_difference(const struct lorac_meta *a, const struct lorac_meta *b);

// Writes every entry of [meta], which must say injected (lorac.input only where given, lorac.classes only where
// class_count > 0, lorac.output only where not NULL; an entry of these that already says the same keeps its text). Errors: FORMAT (a name that is
// not UTF-8 cannot be written as JSON), MEMORY.
enum lorac_status lorac_meta_write(struct lorac_model *model, const struct lorac_meta *meta, struct lorac_error *error);

// Removes the entries that inject made: all of the above but lorac.input, lorac.classes and lorac.output.
void lorac_meta_erase(struct lorac_model *model);

// Sets lorac.classes in any model; count 0 removes it. Errors: FORMAT (a name that is not UTF-8), MEMORY.
enum lorac_status lorac_meta_set_classes(struct lorac_model *model, size_t count, const char *const *names,
                                         struct lorac_error *error);

// The graph output that is trained and evaluated: [wanted] where not NULL, else what the record says, else the model's
// first. [meta] may be NULL: no record. *out lives as long as the model. Errors: ARGUMENT (the model has no output of
// that name; the message lists those it has), FORMAT (it has none at all).
enum lorac_status lorac_meta_output(const struct lorac_model *model, const struct lorac_meta *meta, const char *wanted,
                                    const char **out, struct lorac_error *error);

// R for a kernel of kh x kw: rank*max(kh, kw) (setting `kernel`) or rank (`plain`). 0 where that overflows or an
// argument is below 1.
int64_t lorac_adapter_inner(int64_t rank, enum lorac_rank_setting setting, int64_t kh, int64_t kw);

// Where an adapter is in the graph, checked: every node, tensor and shape is as the format says
// (MISMATCH else, naming the convolution and what is off).
struct lorac_adapter_site {
    enum lorac_adapter_form form;
    Onnx__NodeProto *conv;
    struct lorac_weight weight;      // W0: a constant of a floating type, a tensor or computed
    Onnx__TensorProto *a, *b;        // initialisers
    int64_t M, Cg, kh, kw, R, group; // W0 [M, Cg, kh, kw], A [R, Cg*kw], B [M*kh, R]
    double s; // alpha / rank, computed in double; the scale initialiser holds it rounded to float
    // What inject added: taking all of it out, and giving the users of [output] and the Conv's input 1 what they had,
    // leaves the base model. The arrays are in the arena that was given.
    size_t node_count, tensor_count;
    Onnx__NodeProto **nodes;     // in graph order
    Onnx__TensorProto **tensors; // initialisers: A, B and the small ones (shape, scale)
    const char *output;          // the value that stands for the Conv's output; NULL: the Conv's output itself
};
// [arena] also holds what the search needs: an arena of the caller's own where a model is searched more than once.
enum lorac_status lorac_adapter_locate(struct lorac_model *model, const struct lorac_adapter *adapter,
                                       struct lorac_arena *arena, struct lorac_adapter_site *out,
                                       struct lorac_error *error);

// The nodes that the adapters of branch form added to the graph, which are not the model's own. Adapters that cannot be
// located add none: whoever needs them says why. In [arena], true until the next edit. Errors: MEMORY.
struct lorac_branch_nodes {
    size_t count;
    const Onnx__NodeProto **nodes; // sorted by address
};
enum lorac_status lorac_branch_nodes_list(struct lorac_model *model, const struct lorac_meta *meta,
                                          struct lorac_arena *arena, struct lorac_branch_nodes *out,
                                          struct lorac_error *error);
bool lorac_branch_nodes_has(const struct lorac_branch_nodes *own, const Onnx__NodeProto *node);

// XXH3-128 over the *base* model's initialisers and Constant tensors (adapters' own tensors that [meta] names, with
// their shape and scale, are left out; [meta] NULL or not injected: all): sorted by name, for each: name and its
// terminating 0, int32 type, int64 rank, int64 dims, canonical bytes; little endian. 32 lower-case hex digits.
// A Constant tensor's name is the node's output; string tensors count with their strings and a 0 after each.
enum lorac_status lorac_base_hash(struct lorac_model *model, const struct lorac_meta *meta, char out[33],
                                  struct lorac_error *error);

// What a lorac.input may hold: scale finite and not 0, counts up to LORAC_MAX_CHANNELS, means finite, deviations finite
// and above 0. [channels] > 0: counts must be 0, 1 or [channels]. Errors: ARGUMENT, naming the value.
enum lorac_status lorac_input_meta_check(const struct lorac_input_meta *input, size_t channels,
                                         struct lorac_error *error);

// Reads a lorac.input JSON text (also what --normalize builds) / writes one (malloc'ed). Reading gives the defaults
// for absent members and refuses unknown ones (FORMAT).
enum lorac_status lorac_input_meta_parse(const char *json, struct lorac_input_meta *out, struct lorac_error *error);
enum lorac_status lorac_input_meta_format(const struct lorac_input_meta *input, char **json, struct lorac_error *error);

#endif
