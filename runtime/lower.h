// Lowering: ONNX nodes to a program. Every dimension is known here (the batch is chosen), so the integer arithmetic
// that exporters leave in the graph is evaluated, Identity and inference-time Dropout vanish, and a node that the
// runtime cannot run is refused by name with the reason.
#ifndef LORAC_LOWER_H
#define LORAC_LOWER_H

#include "program.h"
#include "proto/constant.h"
#include "proto/input_shape.h"
#include "view.h"

struct lorac_lower_options {
    size_t batch;         // N; dimension 0 of the input, whatever the model declares
    size_t height, width; // used where the model leaves them free; 0: the declared ones
    bool training;        // mark trainables, differentiate, plan the backward pass
    bool exact;           // no algorithm whose error is not that of a plain sum (Winograd)
    enum lorac_form_policy form_policy;  // how adapted convolutions are trained
    const struct lorac_choices *choices; // borrowed for the program's life; what was measured, NULL: nothing
    size_t recompute_segments;           // recompute.h; 0 and 1: all is kept for the way back
    size_t packed_limit;                 // bytes of a convolution's packed weights in one direction; 0: any
};

// Makes the program: lowered, and with options.training differentiated; buffers have lifetimes, not yet offsets.
// [model] and [meta] are borrowed for the program's life. Errors: UNSUPPORTED (names the node), FORMAT, MISMATCH,
// MEMORY.
enum lorac_status lorac_lower(struct lorac_model *model, const struct lorac_meta *meta,
                              const struct lorac_lower_options *options, struct lorac_program **out,
                              struct lorac_error *error);

// Every node that cannot be run, with the reason: for inspect. Lowers as far as it can; rows are in the model's arena.
struct lorac_refusal {
    const char *node, *op_type, *reason;
};
enum lorac_status lorac_lower_refusals(struct lorac_model *model, const struct lorac_meta *meta,
                                       const struct lorac_lower_options *options, size_t *count,
                                       struct lorac_refusal **rows, struct lorac_error *error);

// ---- for kernels, inside their `lower`

struct lorac_lowering; // opaque

struct lorac_program *lorac_lowering_program(struct lorac_lowering *lowering);

// The activation that is input [i], as it lies in memory; UNSUPPORTED where it is a constant.
enum lorac_status lorac_lowering_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       uint32_t *value, struct lorac_error *error);
// How the graph sees it, named (lorac_view_named). Rank 0 where it is no activation.
struct lorac_view lorac_lowering_view(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i);
// The activation that is input [i], so that [wanted] is its named view: a step that moves the elements is put before
// this node where they lie otherwise. UNSUPPORTED where the rank differs or the batch is not where [wanted] has it.
enum lorac_status lorac_lowering_input_as(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                          const struct lorac_view *wanted, uint32_t *value, struct lorac_error *error);
// The same as [N, C, H, W] / as a row for each image, [N, C] with H = W = 1.
enum lorac_status lorac_lowering_image_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                             uint32_t *value, struct lorac_error *error);
enum lorac_status lorac_lowering_matrix_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                              uint32_t *value, struct lorac_error *error);
// The same with the channels at dimension 1, rank 2 to 4: [N, C, ...]; *view says how it is seen.
enum lorac_status lorac_lowering_channel_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                               uint32_t *value, struct lorac_view *view, struct lorac_error *error);
// True where input [i] is an activation (false: a constant, or unknown).
bool lorac_lowering_is_activation(struct lorac_lowering *lowering, const char *name);
// True where something reads the node's output [k]: another node, or the graph's caller.
bool lorac_lowering_is_read(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k);
// True where input [i] is absent or "".
bool lorac_lowering_absent(const Onnx__NodeProto *node, size_t i);
bool lorac_lowering_is_constant(struct lorac_lowering *lowering, const char *name);
// The constant at input [i], evaluated; UNSUPPORTED ("must be a constant") where it is not one, or where training
// changes its numbers: these are read once.
enum lorac_status lorac_lowering_constant(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                          const struct lorac_constant **out, struct lorac_error *error);
// The float parameter at input [i]: a model tensor, or a constant that had to be computed (then not trainable).
enum lorac_status lorac_lowering_param(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       uint32_t *param, struct lorac_error *error);
// The parameter that is the model's tensor [name].
enum lorac_status lorac_lowering_param_named(struct lorac_lowering *lowering, const char *name, uint32_t *param,
                                             struct lorac_error *error);
// The adapter that the metadata gives to this convolution, or NULL.
const struct lorac_adapter *lorac_lowering_adapter(struct lorac_lowering *lowering, const Onnx__NodeProto *node);
// Where it is in the graph; its arrays last as long as the lowering. Errors: as lorac_adapter_locate.
enum lorac_status lorac_lowering_locate(struct lorac_lowering *lowering, const struct lorac_adapter *adapter,
                                        struct lorac_adapter_site *site, struct lorac_error *error);

// Sets step->inputs to [count] values.
enum lorac_status lorac_lowering_set_inputs(struct lorac_lowering *lowering, struct lorac_step *step,
                                            const uint32_t *values, size_t count, struct lorac_error *error);
// A new value for the node's first output, seen by the graph as [view]; its sizes are checked. Sets step->output.
enum lorac_status lorac_lowering_output(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                        const struct lorac_view *view, struct lorac_error *error);
// The same for the node's output [k], for a node that makes several steps.
enum lorac_status lorac_lowering_output_at(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                           struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                           const struct lorac_view *view, struct lorac_error *error);
// The same with the sizes and the view of input [i], whose value is [like].
enum lorac_status lorac_lowering_output_like(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                             struct lorac_step *step, size_t i, uint32_t like,
                                             struct lorac_error *error);
// A new value that no name of the graph stands for: what one step of a node hands to its next. Sets step->output.
enum lorac_status lorac_lowering_hidden(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                        struct lorac_error *error);
// Adds a step before the one that `lower` was given: for a node that needs several. A step as `lower` gets it, for
// [kernel] and the node.
struct lorac_step lorac_lowering_step(const struct lorac_kernel *kernel, const Onnx__NodeProto *node);
enum lorac_status lorac_lowering_emit(struct lorac_lowering *lowering, const struct lorac_step *step,
                                      struct lorac_error *error);
// Says that the node's first output is the same memory as [value], seen as [view]: no step is made (sets
// step->kernel = NULL).
enum lorac_status lorac_lowering_alias(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, uint32_t value, const struct lorac_view *view,
                                       struct lorac_error *error);
// The same for the node's output [k]; makes no difference to the step.
enum lorac_status lorac_lowering_alias_at(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                          uint32_t value, const struct lorac_view *view, struct lorac_error *error);
// What [wanted], the batch in a shape that is input [i], means: today's batch where it is the number that was traced,
// else itself.
int64_t lorac_lowering_batch_now(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                 int64_t wanted);
void *lorac_lowering_config(struct lorac_lowering *lowering, struct lorac_step *step,
                            size_t bytes); // zeroed; NULL: memory

// "node 'X' (Conv): <text>", status UNSUPPORTED: the one form of refusal.
enum lorac_status lorac_refuse(const Onnx__NodeProto *node, struct lorac_error *error, const char *format, ...)
    LORAC_PRINTF(3, 4);

#endif
