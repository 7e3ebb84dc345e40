// Moving the elements of each image: what Transpose, Reshape and Flatten come to where a view is not enough, and
// DepthToSpace and SpaceToDepth.
#ifndef LORAC_REORDER_H
#define LORAC_REORDER_H

#include "kernel.h"

// Element for element in the graph's row-major order, without the batch: the value [x], which the graph sees as [from],
// becomes another one that is seen as [to]. Both have N at the same place.
struct lorac_reorder {
    uint32_t x;
    struct lorac_view from;
    struct lorac_view to;
    struct lorac_value sizes; // of [to] in memory: set by lorac_reorder_lower
};

// A count over the elements of one image, the last dimension fastest, that knows where in memory each of them is.
struct lorac_reorder_walk {
    size_t rank;
    int64_t dims[LORAC_VIEW_MAX_RANK];
    size_t strides[LORAC_VIEW_MAX_RANK];
};

extern const struct lorac_kernel lorac_kernel_reorder;

// Sets the step's inputs and config and reorder->sizes from the [dims] of reorder->to; the output, of these sizes, is
// the caller's to make.
enum lorac_status lorac_reorder_lower(struct lorac_lowering *lowering, struct lorac_step *step,
                                      struct lorac_reorder *reorder, const int64_t *dims, struct lorac_error *error);

// The same for any two walks of equally many elements: element for element, [from] in the memory of [x], [to] in that
// of the output, whose image has as many elements.
enum lorac_status lorac_reorder_lower_walks(struct lorac_lowering *lowering, struct lorac_step *step, uint32_t x,
                                            const struct lorac_reorder_walk *from, const struct lorac_reorder_walk *to,
                                            struct lorac_error *error);

#endif
