// XNNPACK behind our own names, so that another version of its interface changes one file (xnn.c).
//
// An operator is made with its weights packed, bound once to its memory, and then run. All activations are channels
// last, float32; inputs must be followed by LORAC_EXTRA_BYTES readable bytes. Pointers given to bind are kept until
// destroy.
#ifndef LORAC_XNN_H
#define LORAC_XNN_H

#include "conv_shape.h"
#include "proto/lorac_status.h"

#include <stdbool.h>

struct pthreadpool;
struct lorac_xnn; // one operator

// XNNPACK's own process-wide initialisation: once, safe to repeat. UNSUPPORTED where the processor is too old for it.
enum lorac_status lorac_xnn_initialize(struct lorac_error *error);

void lorac_xnn_destroy(struct lorac_xnn *op); // accepts NULL

// y = conv(x), finished (not accumulated). weight [M, kh, kw, C/G] and bias [M] are copied.
enum lorac_status lorac_xnn_conv(const struct lorac_conv_shape *shape, const float *weight,
                                 const struct lorac_conv_finish *after, const float *x, float *y,
                                 struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error);

// dx = the gradient of the same convolution's input. weight [G, C/G, kh, kw, M/G], copied.
enum lorac_status lorac_xnn_conv_input_gradient(const struct lorac_conv_shape *shape, const float *weight,
                                                const float *dy, float *dx, struct pthreadpool *pool,
                                                struct lorac_xnn **out, struct lorac_error *error);

// y [rows, outputs] = x [rows, inputs] @ weight' + bias. weight [outputs, inputs], or [inputs, outputs] where
// [transposed]; bias [outputs] or NULL.
enum lorac_status lorac_xnn_fully_connected(size_t rows, size_t inputs, size_t outputs, const float *weight,
                                            bool transposed, const float *bias, const float *x, float *y,
                                            struct pthreadpool *pool, struct lorac_xnn **out,
                                            struct lorac_error *error);

// y = min(max(a + b, low), high), [count] elements; y may be a or b.
enum lorac_status lorac_xnn_add(size_t count, float low, float high, const float *a, const float *b, float *y,
                                struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error);

// Pooling. Only where lorac_xnn_can_pool says so.
bool lorac_xnn_can_max_pool(const struct lorac_conv_shape *shape);
enum lorac_status lorac_xnn_max_pool(const struct lorac_conv_shape *shape, const float *x, float *y,
                                     struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error);
// The mean over the elements inside the image (padding not counted).
bool lorac_xnn_can_average_pool(const struct lorac_conv_shape *shape);
enum lorac_status lorac_xnn_average_pool(const struct lorac_conv_shape *shape, const float *x, float *y,
                                         struct pthreadpool *pool, struct lorac_xnn **out, struct lorac_error *error);
// y [N, C] = mean over pixels of x [N, pixels, C].
enum lorac_status lorac_xnn_global_average_pool(size_t N, size_t pixels, size_t C, const float *x, float *y,
                                                struct pthreadpool *pool, struct lorac_xnn **out,
                                                struct lorac_error *error);
// y [rows, C] = softmax of each row.
enum lorac_status lorac_xnn_softmax(size_t rows, size_t C, const float *x, float *y, struct pthreadpool *pool,
                                    struct lorac_xnn **out, struct lorac_error *error);

// Runs the operator on the memory it was bound to. Cannot fail once bound.
void lorac_xnn_run(struct lorac_xnn *op, struct pthreadpool *pool);

// Bytes of the pointers that XNNPACK keeps for a window of [taps] over [outputs] pixels of one image.
size_t lorac_xnn_indirection_bytes(size_t outputs, size_t taps);

// Bytes of XNNPACK's packed weights for a product with [outputs] rows of [inputs] (kernel taps included): an estimate
// from its rule of padding outputs to a multiple of its tile.
size_t lorac_xnn_packed_bytes(size_t groups, size_t outputs, size_t inputs);

#endif
