// What both forms of adapter are made of: names and initialisers. Private to inject*.c.
#ifndef LORAC_INJECT_PARTS_H
#define LORAC_INJECT_PARTS_H

#include "inject.h"

// A name "<conv>/<suffix>" that the whole model does not have yet. Lives in the model's arena.
enum lorac_status lorac_inject_name(struct lorac_model *model, const char *conv, const char *suffix, const char **out,
                                    struct lorac_error *error);

// Initialisers under a fresh [name]: A [R, (C/g)*kw] at its start values, B [M*kh, R] of zeros, the scale [], and up to
// LORAC_INJECT_MAX_INTS int64 numbers [count]. The plan has checked the sizes of A and B.
enum { LORAC_INJECT_MAX_INTS = 4 };
enum lorac_status lorac_inject_add_a(struct lorac_model *model, const struct lorac_conv_row *row, uint64_t seed,
                                     const char *name, struct lorac_error *error);
enum lorac_status lorac_inject_add_b(struct lorac_model *model, const struct lorac_conv_row *row, const char *name,
                                     struct lorac_error *error);
enum lorac_status lorac_inject_add_scale(struct lorac_model *model, const char *name, double scale,
                                         struct lorac_error *error);
enum lorac_status lorac_inject_add_int64(struct lorac_model *model, const char *name, const int64_t *values,
                                         size_t count, struct lorac_error *error);

// Says which base tensors training changes, and which of them need a copy (inject_base.c). *plan has its rows, output and
// last layer. Errors: MEMORY.
struct lorac_last_layer;
enum lorac_status lorac_inject_plan_base(struct lorac_model *model, const struct lorac_inject_options *options,
                                         const struct lorac_last_layer *last, struct lorac_inject_plan *plan,
                                         struct lorac_error *error);

// Makes the copies of the plan, records them in *meta and notes them; the names that are trained, copies in place of
// what they are copied from, are appended to meta->trainable, which has room for them. With [as_inputs] all that
// training changes, adapters too, is declared as an input of the graph.
enum lorac_status lorac_inject_take_base(struct lorac_model *model, const struct lorac_inject_plan *plan,
                                         bool as_inputs, struct lorac_meta *meta, struct lorac_pass_report *report,
                                         struct lorac_error *error);

// Inserts the node <conv>/<suffix> before [before] (NULL: at the end); its output is the node's name with "_output"
// appended, both made fresh. [inputs]: [count] value names. *out lives in the model.
enum lorac_status lorac_inject_add_node(struct lorac_model *model, const char *conv, const Onnx__NodeProto *before,
                                        const char *op_type, const char *suffix, const char *const *inputs,
                                        size_t count, Onnx__NodeProto **out, struct lorac_error *error);

// ---- the branch form (inject_branch.c)

// Why the convolution cannot have a branch; NULL where it can. In the model's arena. Errors: MEMORY.
enum lorac_status lorac_inject_refuse_branch(struct lorac_model *model, const struct lorac_conv_row *row,
                                             const char **reason, struct lorac_error *error);

// Adds it, and names the weight, A and B in *adapter. *sum is its Add, which nobody reads yet.
enum lorac_status lorac_inject_add_branch(struct lorac_model *model, const struct lorac_conv_row *row,
                                          const struct lorac_inject_options *options, struct lorac_adapter *adapter,
                                          Onnx__NodeProto **sum, struct lorac_error *error);

// Once all are there: what read a convolution's output reads the sum. (All at once, since each time is a walk over the
// model.)
enum lorac_status lorac_inject_join_branches(struct lorac_model *model, Onnx__NodeProto *const *sums, size_t count,
                                             struct lorac_error *error);

#endif
