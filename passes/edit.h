// Editing helpers that several passes share.
#ifndef LORAC_PASSES_EDIT_H
#define LORAC_PASSES_EDIT_H

#include "proto/model.h"

// Puts a fresh initialiser of [data_type] (floating) with [values], [dims] long, in place of input [index] of [node].
// Where nothing else uses the old value, it goes, with the constant nodes that made it alone, and its name is taken
// over; else the new one gets a name of its own. *name (may be NULL) is the new name. Errors: MEMORY, ARGUMENT.
struct lorac_fresh_tensor {
    int32_t data_type;
    const int64_t *dims;
    size_t dim_count;
    const double *values; // row-major; rounded once to the type
};
enum lorac_status lorac_edit_replace_input(struct lorac_model *model, Onnx__NodeProto *node, size_t index,
                                           const struct lorac_fresh_tensor *tensor, const char **name,
                                           struct lorac_error *error);

// Takes out a node with one stream of data: who used its first output uses its first input instead. Errors: UNSUPPORTED
// (another output of it is used, or a subgraph or the model itself gives its output out), MEMORY.
enum lorac_status lorac_edit_bypass(struct lorac_model *model, Onnx__NodeProto *node, struct lorac_error *error);

// Removes each of the [count] values that nobody reads any more: the initialiser, or the node that makes it, and then
// what only that node read, and so on. Errors: MEMORY (nothing is removed then).
enum lorac_status lorac_edit_prune(struct lorac_model *model, const char *const *values, size_t count,
                                   struct lorac_error *error);

void lorac_edit_erase_attribute(Onnx__NodeProto *node, const char *name);

// ---- declared shapes

// The dims of a value's declaration; NULL where it declares none. Values are those of lorac_edit_dim.
Onnx__TensorShapeProto *lorac_edit_shape(const Onnx__ValueInfoProto *value);

// The number that a dimension declares; -1 where it is free.
int64_t lorac_edit_dim(const Onnx__TensorShapeProto__Dimension *dim);

// Declares a number; a negative one leaves the dimension free.
void lorac_edit_set_dim(Onnx__TensorShapeProto__Dimension *dim, int64_t size);

// After a change of the image size inside: the shapes declared for values in between go, and what outputs of rank 3 and
// more declare beyond the batch becomes free.
void lorac_edit_forget_sizes(struct lorac_model *model);

#endif
