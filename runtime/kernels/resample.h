// Linear interpolation along one axis: each element of the output is a weighted mean of two of the input.
#ifndef LORAC_RESAMPLE_H
#define LORAC_RESAMPLE_H

#include "kernel.h"
#include "resize.h"

extern const struct lorac_kernel lorac_kernel_resample;

// Sets the step's inputs and config for [axis] of the value [x], and the sizes of its output, which is the caller's to
// make.
enum lorac_status lorac_resample_lower(struct lorac_lowering *lowering, struct lorac_step *step, uint32_t x,
                                       enum lorac_axis axis, const struct lorac_resize_axis *resize,
                                       struct lorac_value *sizes, struct lorac_error *error);

#endif
