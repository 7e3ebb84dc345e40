// How a convolution with a known weight is computed: a linear map with packed weights behind one interface. Two lists
// use it, one for the convolution itself and one for the gradient of its input; each takes the first algorithm whose
// conditions hold. Another algorithm is a new file and a line in a list.
#ifndef LORAC_CONV_ALGORITHM_H
#define LORAC_CONV_ALGORITHM_H

#include "conv_shape.h"
#include "kernel.h"

struct lorac_conv_algorithm {
    const char *name;
    bool (*supports)(const struct lorac_conv_shape *shape);
    size_t (*workspace_bytes)(const struct lorac_conv_shape *shape); // of run; NULL: none
    // Packs [weight], [M, C/G, kh, kw] as ONNX has it, using [packing] (lorac_conv_weight_count floats) as scratch, and
    // binds [in] and [out]. bias [M] or NULL. *state is the algorithm's own.
    enum lorac_status (*create)(const struct lorac_conv_shape *shape, const float *weight, const float *bias,
                                float *packing, const float *in, float *out, const struct lorac_kernel_env *env,
                                void **state, struct lorac_error *error);
    void (*run)(void *state, const struct lorac_kernel_env *env);
    void (*destroy)(void *state); // accepts NULL
    size_t (*packed_bytes)(const struct lorac_conv_shape *shape);
    double relative_time; // measured, beside XNNPACK's direct convolution, where it is chosen; 0: the same
};

// y = conv(x): in is x [N, H, W, C], out is y [N, OH, OW, M].
const struct lorac_conv_algorithm *lorac_conv_forward_algorithm(const struct lorac_conv_shape *shape);
// dx from dy: in is dy, out is dx.
const struct lorac_conv_algorithm *lorac_conv_gradient_algorithm(const struct lorac_conv_shape *shape);

extern const struct lorac_conv_algorithm lorac_conv_direct;             // conv_direct.c: XNNPACK's convolution
extern const struct lorac_conv_algorithm lorac_conv_gradient_deconv;    // conv_direct.c: XNNPACK's deconvolution
extern const struct lorac_conv_algorithm lorac_conv_gradient_pointwise; // conv_pointwise.c: 1x1 with a stride

// ---- the gradient of the weight (conv_weight_gradient.c)

// Floats of workspace.
size_t lorac_conv_weight_gradient_workspace(const struct lorac_conv_shape *shape);
// out [M, C/G, kh, kw] (ONNX order) = sum over images and pixels of dy times x. The partition depends on the shape
// alone: the same bits for any number of threads.
void lorac_conv_weight_gradient(const struct lorac_conv_shape *shape, const float *x, const float *dy, float *out,
                                float *workspace, const struct lorac_kernel_env *env);
// out[c] += column sums of dy [rows, C], accumulated in double; workspace of lorac_column_workspace(rows, C) bytes.
void lorac_bias_gradient(const float *dy, size_t rows, size_t C, float *out, void *workspace,
                         const struct lorac_kernel_env *env);
size_t lorac_column_workspace(size_t rows, size_t C);

// ---- the adapter (conv_adapter.c); letters as in adapter_meta.h: A [R, columns], B [rows, R], rows = M*kh,
// columns = (C/G)*kw, W and W0 [rows, columns] viewed

struct lorac_conv_adapter {
    size_t rows, columns, R;
    double s;
};
// w = w0 + s * B @ A
void lorac_conv_adapter_weight(const struct lorac_conv_adapter *adapter, const float *w0, const float *a,
                               const float *b, float *w, const struct lorac_kernel_env *env);
// da += s * B' @ dw (NULL: not wanted), db += s * dw @ A' (NULL: not wanted). workspace: R*columns floats.
void lorac_conv_adapter_gradient(const struct lorac_conv_adapter *adapter, const float *dw, const float *a,
                                 const float *b, float *da, float *db, float *workspace,
                                 const struct lorac_kernel_env *env);

#endif
