// What other kernels may know of BatchNormalization. With its running statistics kept it is y = x*gain + shift.
#ifndef LORAC_BATCH_NORM_H
#define LORAC_BATCH_NORM_H

#include "kernel.h"

enum { LORAC_BATCH_NORM_PARAMS = 4 }; // scale, shift, mean, variance

// True where the step is a BatchNormalization whose statistics never move in this program; *epsilon is its.
bool lorac_batch_norm_is_fixed(const struct lorac_step *step, double *epsilon);

// What it does to channel [c], by its loaded parameters.
struct lorac_channel_map {
    double gain, shift;
};
struct lorac_channel_map lorac_batch_norm_map(const struct lorac_param *const params[LORAC_BATCH_NORM_PARAMS],
                                              double epsilon, size_t c);

#endif
