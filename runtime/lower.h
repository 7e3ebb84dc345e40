// Lowering: ONNX nodes to a program. Every dimension is known here (the batch is chosen), so the integer arithmetic
// that exporters leave in the graph is evaluated, Identity and inference-time Dropout vanish, and a node that the
// runtime cannot run is refused by name with the reason.
#ifndef LORAC_LOWER_H
#define LORAC_LOWER_H

#include "proto/constant.h"
#include "program.h"

struct lorac_lower_options {
    size_t batch;         // N; dimension 0 of the input, whatever the model declares
    size_t height, width; // used where the model leaves them free; 0: the declared ones
    bool training;        // mark trainables, differentiate, plan the backward pass
};

// Makes the program: lowered, and with options.training differentiated; buffers have lifetimes, not yet offsets.
// [model] and [meta] are borrowed for the program's life. Errors: UNSUPPORTED (names the node), FORMAT, MISMATCH,
// MEMORY.
enum lorac_status lorac_lower(struct lorac_model *model, const struct lorac_meta *meta,
                              const struct lorac_lower_options *options, struct lorac_program **out,
                              struct lorac_error *error);

// What the model's input is: dims as declared, 0 for a free one. UNSUPPORTED where it is not one float tensor of
// rank 4.
struct lorac_input_shape {
    const char *name;
    size_t channels, height, width;
};
enum lorac_status lorac_input_shape(struct lorac_model *model, struct lorac_input_shape *out,
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

// The activation [name] (input [i] of [node]); UNSUPPORTED where it is a constant.
enum lorac_status lorac_lowering_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       uint32_t *value, struct lorac_error *error);
// The same with a check of rank 4.
enum lorac_status lorac_lowering_image_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                             uint32_t *value, struct lorac_error *error);
// True where the graph sees input [i] as rank 2 [N, C].
bool lorac_lowering_input_is_matrix(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i);
// True where input [i] is absent or "".
bool lorac_lowering_absent(const Onnx__NodeProto *node, size_t i);
bool lorac_lowering_is_constant(struct lorac_lowering *lowering, const char *name);
// The constant at input [i], evaluated; UNSUPPORTED ("must be a constant") where it is not one.
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

// Sets step->inputs to [count] values.
enum lorac_status lorac_lowering_set_inputs(struct lorac_lowering *lowering, struct lorac_step *step,
                                            const uint32_t *values, size_t count, struct lorac_error *error);
// A new value for the node's first output; its sizes are checked. Sets step->output.
enum lorac_status lorac_lowering_output(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, size_t n, size_t h, size_t w, size_t c, bool matrix,
                                        struct lorac_error *error);
// Says that the node's first output is the same memory as [value], possibly as a matrix: no step is made (set
// step->kernel = NULL).
enum lorac_status lorac_lowering_alias(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, uint32_t value, bool matrix, struct lorac_error *error);
void *lorac_lowering_config(struct lorac_lowering *lowering, struct lorac_step *step,
                            size_t bytes); // zeroed; NULL: memory

// "node 'X' (Conv): <text>", status UNSUPPORTED: the one form of refusal.
enum lorac_status lorac_refuse(const Onnx__NodeProto *node, struct lorac_error *error, const char *format, ...)
    LORAC_PRINTF(3, 4);

#endif
