// Dimensions that a node names: read, checked, and told as axes of memory.
#ifndef LORAC_AXES_H
#define LORAC_AXES_H

#include "kernel.h"

// The list at input [i] (absent: the attribute [name]). LORAC_CONSTANT_MAX_RANK values at most.
enum lorac_status lorac_axes_read_list(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       const char *name, struct lorac_int_list *out, struct lorac_error *error);

// Dimension [axis] of [rank], negative ones counted from the end; refused outside.
enum lorac_status lorac_axes_place(const Onnx__NodeProto *node, int64_t axis, size_t rank, size_t *place,
                                   struct lorac_error *error);

// Flags the dimensions that [axes] names among [rank]; refuses one that is outside or named twice.
enum lorac_status lorac_axes_mark(const Onnx__NodeProto *node, const struct lorac_int_list *axes, size_t rank,
                                  bool *marked, struct lorac_error *error);

// The axis of memory that [place] of the view is, for a node that changes its size or looks along it. Refuses the batch
// ("it <verb> the batch"), and a dimension of 1 beside three larger ones.
enum lorac_status lorac_axes_memory(const Onnx__NodeProto *node, const struct lorac_view *view, size_t place,
                                    const char *verb, enum lorac_axis *axis, struct lorac_error *error);

#endif
