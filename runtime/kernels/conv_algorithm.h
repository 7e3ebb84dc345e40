// How a convolution with a known weight is computed: a linear map with packed weights behind one interface. Two lists
// use it, one for the convolution itself and one for the gradient of its input; each takes the first algorithm whose
// conditions hold. Another algorithm is a new file and a line in a list.
#ifndef LORAC_CONV_ALGORITHM_H
#define LORAC_CONV_ALGORITHM_H

#include "conv_shape.h"
#include "kernel.h"

struct lorac_conv_branch;

// An algorithm of the convolution that can run the forward pass of its adapter in the branch form (conv_branch.h) with
// it, from what it has in the cache anyway: run then writes h, too, and adds s * h @ view(B)'.
struct lorac_conv_beside {
    size_t (*packed_bytes)(const struct lorac_conv_branch *branch);
    // [branch] and [h] are kept, to the algorithm's destroy. Errors: MEMORY.
    enum lorac_status (*attach)(void *state, const struct lorac_conv_branch *branch, float *h,
                                struct lorac_error *error);
    // As lorac_conv_branch_pack_a and _b; to be called before the first run. [scratch]: of scratch_bytes.
    size_t (*scratch_bytes)(const struct lorac_conv_branch *branch);
    void (*pack_a)(void *state, const float *a, float *scratch, const struct lorac_kernel_env *env);
    void (*pack_b)(void *state, const float *b);
    double products; // that h takes for each of its outputs and channels of a pixel; 0: as many as there are taps
};

// A gradient that can have the adapter of a branch in the weights that it packed for itself: dx then comes from
// W0 + s * view(B @ A), and nothing is left to add.
struct lorac_conv_merge {
    bool (*pays)(const struct lorac_conv_branch *branch); // measured to be faster than adding to dx afterwards
    size_t (*scratch_bytes)(const struct lorac_conv_branch *branch);
    // To be called before the first run and whenever a or b changed; both as in lorac_conv_branch_pack_a and _b.
    // [lender]: the state of the convolution, which has W0. [scratch]: of scratch_bytes.
    void (*pack)(void *state, const void *lender, const struct lorac_conv_branch *branch, const float *a,
                 const float *b, float *scratch, const struct lorac_kernel_env *env);
};

// A gradient that adds the adapter of a branch to the sums of dx as it makes them, from s * dy @ view(B).
struct lorac_conv_beside_back {
    bool (*supports)(const struct lorac_conv_branch *branch);
    size_t (*packed_bytes)(const struct lorac_conv_branch *branch);
    // [branch] and [dh], [N, OH, OW, blocks*R], which is to be there before each run, are kept to the algorithm's
    // destroy. Errors: MEMORY.
    enum lorac_status (*attach)(void *state, const struct lorac_conv_branch *branch, const float *dh,
                                struct lorac_error *error);
    void (*pack_a)(void *state, const float *a); // as lorac_conv_branch_pack_a; to be called before the first run
};

struct lorac_conv_algorithm {
    const char *name;
    bool approximate; // its error is not that of a plain sum: never where results must be exact
    bool accumulates; // finish.accumulate may be asked for
    bool (*supports)(const struct lorac_conv_shape *shape);
    bool (*pays)(const struct lorac_conv_shape *shape); // measured to be faster than the next in the list; NULL: always
    // The same for a weight that changes at each step, beside `pays`: packing is a part of the step then. NULL: always.
    bool (*pays_changing)(const struct lorac_conv_shape *shape);
    // Of run, at the beginning of the workspace: for all threads together, then for each; NULL: none.
    size_t (*workspace_bytes)(const struct lorac_conv_shape *shape);
    size_t (*thread_workspace_bytes)(const struct lorac_conv_shape *shape);
    bool reorders; // create writes the weight in another order first: it needs [packing]
    // Packs [weight], [M, C/G, kh, kw] as ONNX has it, using [packing] (lorac_conv_weight_count floats) as scratch where
    // the algorithm reorders, and binds [in] and [out]. [finish] is read, not kept; the gradient takes no bias. *state is the algorithm's own.
    enum lorac_status (*create)(const struct lorac_conv_shape *shape, const float *weight,
                                const struct lorac_conv_finish *finish, float *packing, const float *in, float *out,
                                const struct lorac_kernel_env *env, void **state, struct lorac_error *error);
    // Packs another weight, and takes over [finish]'s bias, in place of those of create; allocates nothing. Gradients
    // that borrow see the lender's new weights by themselves. NULL: to be made anew.
    void (*repack)(void *state, const float *weight, const struct lorac_conv_finish *finish,
                   const struct lorac_kernel_env *env);
    // NULL: the weights are packed by create. Else create does not look at [weight] and packs nothing, and each run must
    // follow a call of this, which packs [weight] to the beginning of the workspace (not where [weight] is, which is
    // behind workspace_bytes or elsewhere).
    void (*pack)(void *state, const float *weight, const struct lorac_kernel_env *env);
    void (*run)(void *state, const struct lorac_kernel_env *env);
    void (*destroy)(void *state); // accepts NULL
    // Of a gradient that can run from the weights that the convolution packed for itself by [lender], to the same bits;
    // NULL: it cannot. Where [borrows] says that it costs little, it then packs none: create_borrowing in place of
    // create, with the lender's state, which must be there until destroy.
    const struct lorac_conv_algorithm *lender;
    bool (*borrows)(const struct lorac_conv_shape *shape);
    enum lorac_status (*create_borrowing)(const struct lorac_conv_shape *shape, const void *lender,
                                          const struct lorac_conv_finish *finish, const float *in, float *out,
                                          const struct lorac_kernel_env *env, void **state, struct lorac_error *error);
    size_t (*packed_bytes)(const struct lorac_conv_shape *shape);
    const struct lorac_conv_beside *beside; // NULL: an adapter runs after it
    const struct lorac_conv_merge *merge;   // of a gradient with a lender; NULL: an adapter adds to dx after it
    const struct lorac_conv_beside_back *beside_back; // of a gradient; NULL: as for merge
    // Measured, beside XNNPACK's direct convolution, where it is chosen: relative_time_of or, where that is NULL,
    // relative_time; 0: the same.
    double relative_time;
    double (*relative_time_of)(const struct lorac_conv_shape *shape);
};

// What the choice is made by, beside the shape: never by the number of threads, so that the bits do not depend on it.
struct lorac_conv_demand {
    bool exact;          // no approximate algorithm
    bool changing;       // the weight changes while training
    size_t packed_limit; // bytes that packed weights may take, the last algorithm of the list excepted; 0: any
};

// y = conv(x): in is x [N, H, W, C], out is y [N, OH, OW, M].
const struct lorac_conv_algorithm *lorac_conv_forward_algorithm(const struct lorac_conv_shape *shape,
                                                                const struct lorac_conv_demand *demand);
// dx from dy: in is dy, out is dx.
const struct lorac_conv_algorithm *lorac_conv_gradient_algorithm(const struct lorac_conv_shape *shape,
                                                                 const struct lorac_conv_demand *demand);
// Whether the gradient borrows the weights of this convolution; false where [gradient] is NULL.
bool lorac_conv_borrows(const struct lorac_conv_shape *shape, const struct lorac_conv_algorithm *forward,
                        const struct lorac_conv_algorithm *gradient);
// Whether the gradient has the adapter in its weights: never where it borrows them. False where [gradient] is NULL.
bool lorac_conv_merges(const struct lorac_conv_branch *branch, const struct lorac_conv_algorithm *forward,
                       const struct lorac_conv_algorithm *gradient);
// Whether it may be chosen at all, be it fast or slow.
bool lorac_conv_algorithm_fits(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape,
                               const struct lorac_conv_demand *demand);
// The one called [name]; NULL where there is none, or where it does not fit.
const struct lorac_conv_algorithm *lorac_conv_algorithm_named(bool gradient, const char *name,
                                                              const struct lorac_conv_shape *shape,
                                                              const struct lorac_conv_demand *demand);
// Both lists, for tests and benchmarks.
const struct lorac_conv_algorithm *const *lorac_conv_algorithms(bool gradient, size_t *count);

extern const struct lorac_conv_algorithm lorac_conv_direct;             // conv_direct.c: XNNPACK's convolution
extern const struct lorac_conv_algorithm lorac_conv_gradient_deconv;    // conv_direct.c: XNNPACK's deconvolution
extern const struct lorac_conv_algorithm lorac_conv_gradient_pointwise; // conv_pointwise.c: 1x1 with a stride
extern const struct lorac_conv_algorithm lorac_conv_winograd4;          // conv_winograd.c: F(4x4, 3x3)
extern const struct lorac_conv_algorithm lorac_conv_winograd2;          // conv_winograd.c: F(2x2, 3x3)
extern const struct lorac_conv_algorithm lorac_conv_gemm;               // conv_gemm.c: gathered pixels by our products
extern const struct lorac_conv_algorithm lorac_conv_gradient_gemm;
extern const struct lorac_conv_algorithm lorac_conv_gemm_at_run; // the same without packed weights that are kept
extern const struct lorac_conv_algorithm lorac_conv_gradient_gemm_at_run;
extern const struct lorac_conv_algorithm lorac_conv_gradient_winograd4;
extern const struct lorac_conv_algorithm lorac_conv_gradient_winograd2;

// ---- the gradient of the weight

// out [M, C/G, kh, kw] (ONNX order) = sum over images and pixels of dy times x. The partition depends on the shape
// alone: the same bits for any number of threads.
struct lorac_conv_weight_gradient {
    const char *name;
    // Of run, at the beginning of the workspace: for all threads together, then for each; NULL: none.
    size_t (*workspace_bytes)(const struct lorac_conv_shape *shape);
    size_t (*thread_workspace_bytes)(const struct lorac_conv_shape *shape);
    void (*run)(const struct lorac_conv_shape *shape, const float *x, const float *dy, float *out, float *workspace,
                const struct lorac_kernel_env *env);
    bool (*supports)(const struct lorac_conv_shape *shape);
    bool (*pays)(const struct lorac_conv_shape *shape); // measured to be faster than the plain one
    double (*relative_time)(const struct lorac_conv_shape *shape); // measured, beside XNNPACK's direct convolution
};

extern const struct lorac_conv_weight_gradient lorac_conv_weight_plain;    // conv_weight_gradient.c: any shape
extern const struct lorac_conv_weight_gradient lorac_conv_weight_winograd; // conv_winograd_weight.c: approximate

const struct lorac_conv_weight_gradient *lorac_conv_weight_gradient(const struct lorac_conv_shape *shape,
                                                                    const struct lorac_conv_demand *demand);
// out[c] += column sums of dy [rows, C], accumulated in double, times gain[c] (NULL: 1); workspace of
// lorac_column_workspace(rows, C) bytes.
void lorac_bias_gradient(const float *dy, size_t rows, size_t C, const double *gain, float *out, void *workspace,
                         const struct lorac_kernel_env *env);
size_t lorac_column_workspace(size_t rows, size_t C);

// ---- the adapter (conv_adapter.c); letters as in adapter_meta.h: A [R, columns], B [rows, R], rows = M*kh,
// columns = (C/G)*kw, W and W0 [rows, columns] viewed

struct lorac_conv_adapter {
    size_t rows, columns, R;
    double s;
};
// w = w0 + s * B @ A; w may be w0
void lorac_conv_adapter_weight(const struct lorac_conv_adapter *adapter, const float *w0, const float *a,
                               const float *b, float *w, const struct lorac_kernel_env *env);
// da += s * B' @ dw (NULL: not wanted), db += s * dw @ A' (NULL: not wanted). workspace: R*columns floats.
void lorac_conv_adapter_gradient(const struct lorac_conv_adapter *adapter, const float *dw, const float *a,
                                 const float *b, float *da, float *db, float *workspace,
                                 const struct lorac_kernel_env *env);

#endif
