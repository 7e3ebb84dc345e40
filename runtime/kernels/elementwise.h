// Element-wise work on plain memory, spread over the pool.
#ifndef LORAC_ELEMENTWISE_H
#define LORAC_ELEMENTWISE_H

#include "kernel.h"

// target[i] += source[i]
void lorac_add_into(float *target, const float *source, size_t count, const struct lorac_kernel_env *env);
// target[i] = a[i] + b[i]; target may be a
void lorac_add(float *target, const float *a, const float *b, size_t count, const struct lorac_kernel_env *env);
// y[i] = min(max(x[i], low), high); y may be x. [mask]: (count + 7) / 8 bytes, which get a bit for each element, set
// where it lies between the bounds; NULL: not wanted.
void lorac_clip(float *y, const float *x, uint8_t *mask, float low, float high, size_t count,
                const struct lorac_kernel_env *env);
// The mask alone, of what is clipped already.
void lorac_clip_mask(uint8_t *mask, const float *y, float low, float high, size_t count,
                     const struct lorac_kernel_env *env);
// dx[i] = the element's bit ? dy[i] : 0; dx may be dy
void lorac_mask_backward(float *dx, const float *dy, const uint8_t *mask, size_t count,
                         const struct lorac_kernel_env *env);
// The same from y: dx[i] = low < y[i] && y[i] < high ? dy[i] : 0; dx may be dy
void lorac_clip_backward(float *dx, const float *dy, const float *y, float low, float high, size_t count,
                         const struct lorac_kernel_env *env);
// y[r, c] = x[r, c] * scale[c] + shift[c]; shift NULL: 0; y may be x
void lorac_scale_shift(float *y, const float *x, const float *scale, const float *shift, size_t rows, size_t C,
                       const struct lorac_kernel_env *env);
bool lorac_all_finite(const float *x, size_t count, const struct lorac_kernel_env *env);

#endif
