// The oracle: ONNX operators as plain loops in double, forward only, in ONNX's own layouts (an image is [N, C, H, W]).
// Nothing here is shared with the runtime, and nothing is fast: what the kernels are compared with must be readable.
// Gradients are taken from it by finite differences.
//
// Tensors are owned by whoever got them; running out of memory or breaking a rule ends the test program.
#ifndef LORAC_TEST_REF_H
#define LORAC_TEST_REF_H

#include "proto/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REF_MAX_RANK = 6 };

struct ref_tensor {
    double *data; // row-major; integers are held as doubles (exact up to 2^53)
    size_t rank;
    int64_t dims[REF_MAX_RANK];
};

// Zeroed. A dim of 0 or less is a broken promise.
struct ref_tensor ref_make(size_t rank, const int64_t *dims);
struct ref_tensor ref_image(int64_t n, int64_t c, int64_t h, int64_t w);
struct ref_tensor ref_copy(const struct ref_tensor *x);
void ref_free(struct ref_tensor *x); // data NULL afterwards; accepts an empty one
size_t ref_count(const struct ref_tensor *x);

// Ends the program with "ref: text" where [ok] is false.
void ref_require(bool ok, const char *text);

// ---- windows (conv.c): what Conv and the pools have in common. Pairs are (rows, columns).

enum ref_auto_pad { REF_NOTSET, REF_SAME_UPPER, REF_SAME_LOWER, REF_VALID };
struct ref_window {
    int64_t kernel[2], stride[2], dilation[2];
    int64_t pads[4]; // top, left, bottom, right
    enum ref_auto_pad auto_pad;
    bool ceil_mode;
};
// Turns auto_pad into pads for an image of h x w; out[2] are the rows and columns of the result.
void ref_window_resolve(struct ref_window *window, int64_t h, int64_t w, int64_t out[2]);

// w [M, C/group, kh, kw], b [M] or NULL.
struct ref_tensor ref_conv(const struct ref_tensor *x, const struct ref_tensor *w, const struct ref_tensor *b,
                           const struct ref_window *window, int64_t group);

// ---- pool.c
struct ref_tensor ref_max_pool(const struct ref_tensor *x, const struct ref_window *window);
struct ref_tensor ref_average_pool(const struct ref_tensor *x, const struct ref_window *window,
                                   bool count_include_pad);

// ---- reduce.c
enum ref_reduce_kind { REF_MEAN, REF_TOTAL, REF_MAXIMUM, REF_MINIMUM, REF_NORM, REF_SQUARES };
// Over the [axes] (negative ones count from the end), kept as 1 or dropped.
struct ref_tensor ref_reduce(const struct ref_tensor *x, enum ref_reduce_kind kind, const int64_t *axes,
                             size_t axis_count, bool keep);

// ---- norm.c
struct ref_batch_norm {
    const struct ref_tensor *scale, *shift, *mean, *variance; // [C] each
    double epsilon;
};
struct ref_tensor ref_batch_norm(const struct ref_tensor *x, const struct ref_batch_norm *parameters);
// Mean and population variance of each channel over N, H and W, [C] each.
void ref_batch_statistics(const struct ref_tensor *x, struct ref_tensor *mean, struct ref_tensor *variance);
// Each row of [length] elements: (x - mean) / sqrt(population variance + epsilon), in place.
void ref_standardize(double *rows, size_t count, size_t length, double epsilon);
// Opset 13 and later: over one axis. Before: over all axes from [axis] on together.
struct ref_tensor ref_softmax(const struct ref_tensor *x, int64_t axis, bool together, bool logarithm);

// ---- elementwise.c
struct ref_tensor ref_relu(const struct ref_tensor *x);
struct ref_tensor ref_clip(const struct ref_tensor *x, double low, double high);
enum ref_binary_kind {
    REF_ADD,
    REF_SUBTRACT,
    REF_MULTIPLY,
    REF_DIVIDE,
    REF_POWER,
    REF_SMALLER,
    REF_LARGER,
    REF_PRELU
};
struct ref_tensor ref_binary(const struct ref_tensor *a, const struct ref_tensor *b, enum ref_binary_kind kind);
// The function of one element that ONNX calls [op_type] ("Gelu tanh": the approximation), with its attributes in the
// order of the operator's page.
struct ref_tensor ref_unary(const struct ref_tensor *x, const char *op_type, double p, double q);

// ---- shape.c
struct ref_tensor ref_flatten(const struct ref_tensor *x, int64_t axis);
struct ref_tensor ref_reshape(const struct ref_tensor *x, const int64_t *shape, size_t rank, bool allow_zero);
// pads: rank begins, then rank ends; negative ones crop.
struct ref_tensor ref_pad(const struct ref_tensor *x, const int64_t *pads, double value);
struct ref_slice {
    size_t count;
    const int64_t *starts, *ends;
    const int64_t *axes;  // NULL: 0 .. count-1
    const int64_t *steps; // NULL: all 1
};
struct ref_tensor ref_slice(const struct ref_tensor *x, const struct ref_slice *slice);
// x[..., indices[k], ...] on one axis; negative indices count from the end.
struct ref_tensor ref_take(const struct ref_tensor *x, size_t axis, const int64_t *indices, size_t count);
// Pads by what is there: mode 'e'dge, 'r'eflect or 'w'rap.
struct ref_tensor ref_pad_by(const struct ref_tensor *x, const int64_t *pads, char mode);
struct ref_tensor ref_concat(const struct ref_tensor *a, const struct ref_tensor *b, size_t axis);
struct ref_tensor ref_transpose(const struct ref_tensor *x, const int64_t *permutation); // NULL: reversed

// ---- resize.c: one axis to [out] elements; the words are those of the operator's attributes ("outward": before 11)
struct ref_resize {
    bool linear;
    const char *transform, *nearest;
};
struct ref_tensor ref_resize(const struct ref_tensor *x, size_t axis, int64_t out, double scale,
                             const struct ref_resize *rule);

// ---- matmul.c
struct ref_gemm {
    bool trans_a, trans_b;
    double alpha, beta;
};
struct ref_tensor ref_gemm(const struct ref_tensor *a, const struct ref_tensor *b, const struct ref_tensor *c,
                           const struct ref_gemm *options); // c may be NULL
// a [..., K] times b [K, N].
struct ref_tensor ref_matmul(const struct ref_tensor *a, const struct ref_tensor *b);

// ---- interpret.c: a whole model of these operators

struct ref_run; // the model's constants in double, and the values of the last run

// [model] is borrowed. bn_train: BatchNormalization uses the batch's statistics.
struct ref_run *ref_run_create(struct lorac_model *model, bool bn_train);
void ref_run_free(struct ref_run *run);
// The value [name] for reading or changing in place: an input that was set, a constant, or a result of the last run
// (pointer valid until the next run). NULL where there is none.
struct ref_tensor *ref_run_value(struct ref_run *run, const char *name);
// Takes over [value].
void ref_run_set(struct ref_run *run, const char *name, struct ref_tensor value);
// Evaluates all nodes; returns the model's first output, owned by [run] until the next run.
const struct ref_tensor *ref_run_forward(struct ref_run *run);

#endif
