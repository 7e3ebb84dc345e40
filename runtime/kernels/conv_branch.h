// An adapted convolution of one group in the method's second form (docs/format.md, form "branch"), which is the same
// function as its definition:
//
//     h   = concat over a of conv(x[:, c0:c1], D_a)      blocks*R channels; D_a is A seen as [R, c1-c0, kh, kw]
//     y  += s * h @ view(B, [M, blocks*R])'              y holds conv(x, W0), whose weight never changes
//
// so that no dense weight gradient is needed and W0 is packed once. What D_a sees of an image is gathered a few pixels
// at a time, and all products are sums of outer products (simd.h), so that nothing is allocated when A and B change.
#ifndef LORAC_CONV_BRANCH_H
#define LORAC_CONV_BRANCH_H

#include "conv_algorithm.h"

// Known at lowering.
struct lorac_conv_branch {
    struct lorac_conv_shape shape; // one group
    size_t R, blocks, taps;        // blocks = kh, taps = kh*kw
    size_t columns;                // of A: C*kw
    size_t width;                  // channels of the widest block
    double s;
    bool trains_a, trains_b, wants_dx;
    bool merged; // dx comes whole from the convolution's gradient (lorac_conv_merge): here are dA and dB only
    bool gives_dh; // s * dy @ view(B) is for the convolution's gradient, which adds to dx (lorac_conv_beside_back)
    bool beside; // forward runs with the convolution (lorac_conv_beside): here is the way back only
    double down_products; // of forward, for each output of h and channel of a pixel
};

// What one row block of B@A reads and where A lies in it: D_a = [0 .. A .. 0] with [left] columns of zeros before it.
struct lorac_branch_block {
    size_t c0, width, left;
};
struct lorac_branch_block lorac_conv_branch_block(const struct lorac_conv_branch *branch, size_t a);

// False where the convolution has no such form here: more than one group, a stride above 64, or sizes that overflow.
bool lorac_conv_branch_init(struct lorac_conv_branch *branch, const struct lorac_conv_shape *shape,
                            const struct lorac_conv_adapter *adapter);

// Whether dx is added to here.
static inline bool lorac_conv_branch_adds_dx(const struct lorac_conv_branch *branch)
{
    return branch->wants_dx && !branch->merged && !branch->gives_dh;
}

// So few rows of B that vectors of them would be mostly empty: products with B are inner ones.
static inline bool lorac_conv_branch_is_narrow(const struct lorac_conv_branch *branch)
{
    return branch->blocks * branch->R <= 8;
}

size_t lorac_conv_branch_kept_bytes(const struct lorac_conv_branch *branch);      // of h, which backward reads
size_t lorac_conv_branch_workspace_bytes(const struct lorac_conv_branch *branch); // of forward and backward
size_t lorac_conv_branch_packed_bytes(const struct lorac_conv_branch *branch);    // of the state

// The packed A and B. [branch] is kept until free. Errors: MEMORY.
struct lorac_branch_state;
enum lorac_status lorac_conv_branch_create(const struct lorac_conv_branch *branch, struct lorac_branch_state **out,
                                           struct lorac_error *error);
void lorac_conv_branch_free(struct lorac_branch_state *state); // accepts NULL
// a [R, columns] and b [M*blocks, R]; to be called before the first run and whenever they changed.
void lorac_conv_branch_pack_a(struct lorac_branch_state *state, const float *a);
void lorac_conv_branch_pack_b(struct lorac_branch_state *state, const float *b);

// Not where [beside]. h [N, OH, OW, blocks*R] is written, y [N, OH, OW, M] is added to.
void lorac_conv_branch_forward(const struct lorac_branch_state *state, const float *x, float *h, float *y,
                               const struct lorac_kernel_env *env);

struct lorac_branch_backward {
    const float *x; // read where trains_a
    float *h;       // read where trains_b; where gives_dh that is written over it
    const float *dy;
    float *dx;          // added to, where adds_dx
    float *da, *db;     // added to, where trained
    const double *gain; // [M]: db is wanted of a B whose rows m were multiplied by gain[m] before packing; NULL: 1
};
void lorac_conv_branch_backward(const struct lorac_branch_state *state, const struct lorac_branch_backward *call,
                                const struct lorac_kernel_env *env);

// ---- the choice (conv_form.c)

// True where a training step costs less as a branch than by the definition, by a formula of the sizes alone: see there.
// [definition] and [branch_conv]: how long the convolution, its input gradient and, by the definition, the dense gradient
// of the weight take in each form, beside XNNPACK's direct convolution.
bool lorac_conv_branch_is_cheaper(const struct lorac_conv_branch *branch, double definition, double branch_conv);

// ---- shared by conv_branch.c and conv_branch_run.c

// With a stride only some of the taps reach an input place: those of its phase, place % stride. Along one axis.
struct lorac_branch_phase {
    size_t places; // first input place is the phase's number, each next one a stride further
    size_t taps;   // that reach them
    size_t before; // taps of the phases before
    int32_t *from; // [places, taps]: the output that reads the place with the tap, -1: none
};

struct lorac_branch_state {
    const struct lorac_conv_branch *branch;
    float *down;   // [blocks, taps*width, down_row]: D_a with the R outputs adjacent; NULL where [beside]
    float *down_t; // [blocks, taps*R, down_t_row]: with the channels adjacent, taps in the order of the phases; NULL
                   // where dx is not added to
    float *up;     // [blocks*R, M]; NULL where [beside]
    float *up_t;   // [M, up_t_row], where narrow [blocks*R, up_t_row]; NULL where neither dx nor dA is computed
    size_t down_row, down_t_row, up_t_row;
    int32_t *row_of, *column_of; // [OH, kh], [OW, kw]: the place that a tap reads, -1 outside
    // What flows back, where up_t is not NULL: [stride_h], [stride_w], and [taps]: each tap's place in their order.
    struct lorac_branch_phase *row_phases, *column_phases;
    int32_t *tap_place;
    void *block; // all of the above
};

// Taps of the phases before (i, k), when they are gone through row by row.
static inline size_t lorac_branch_taps_before(const struct lorac_branch_state *state, size_t i, size_t k)
{
    return state->row_phases[i].before * state->branch->shape.kw +
           state->row_phases[i].taps * state->column_phases[k].before;
}

#endif
