// The input gradient of a 1x1 convolution with a stride: a fully connected layer on the output's pixels, then each
// result goes to its pixel among zeros. XNNPACK's deconvolution computes all the zeros as well.
#include "conv_algorithm.h"

#include "parallel.h"
#include "xnn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct state {
    struct lorac_conv_shape shape;
    struct lorac_xnn *product; // [N*OH*OW, M] -> [N*OH*OW, C] in the workspace
    float *dx;
    const float *small; // the product's output, in the workspace
};

static bool supports(const struct lorac_conv_shape *s)
{
    return s->kh == 1 && s->kw == 1 && s->G == 1 && s->stride_h * s->stride_w > 1 &&
           s->pad_top + s->pad_left + s->pad_bottom + s->pad_right == 0;
}

static size_t workspace_bytes(const struct lorac_conv_shape *s)
{
    return s->N * s->OH * s->OW * s->C * sizeof(float) + LORAC_EXTRA_BYTES;
}

static void destroy(void *opaque)
{
    struct state *state = opaque;
    if (!state)
        return;
    lorac_xnn_destroy(state->product);
    free(state);
}

static enum lorac_status create(const struct lorac_conv_shape *shape, const float *weight,
                                const struct lorac_conv_finish *finish, float *packing, const float *in, float *out,
                                const struct lorac_kernel_env *env, void **opaque, struct lorac_error *error)
{
    assert(!finish->bias && !finish->accumulate);
    (void)finish, (void)packing;
    struct state *state = calloc(1, sizeof(*state));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a convolution's gradient");
    state->shape = *shape;
    state->dx = out;
    state->small = env->workspace;
    // weight [M, C] is [inputs, outputs] of this product.
    enum lorac_status status =
        lorac_xnn_fully_connected(shape->N * shape->OH * shape->OW, shape->M, shape->C, weight, true, NULL, in,
                                  env->workspace, env->pool, &state->product, error);
    if (status != LORAC_OK) {
        destroy(state);
        return status;
    }
    *opaque = state;
    return LORAC_OK;
}

// One row of the input gradient.
static void scatter_row(void *context, size_t i)
{
    const struct state *state = context;
    const struct lorac_conv_shape *s = &state->shape;
    size_t n = i / s->H, h = i % s->H;
    float *row = state->dx + i * s->W * s->C;
    memset(row, 0, s->W * s->C * sizeof(float));
    if (h % s->stride_h != 0 || h / s->stride_h >= s->OH)
        return;
    const float *from = state->small + (n * s->OH + h / s->stride_h) * s->OW * s->C;
    for (size_t w = 0; w < s->OW; w++)
        memcpy(row + w * s->stride_w * s->C, from + w * s->C, s->C * sizeof(float));
}

static void run(void *opaque, const struct lorac_kernel_env *env)
{
    struct state *state = opaque;
    lorac_xnn_run(state->product, env->pool);
    lorac_parallel_for(env->pool, scatter_row, state, state->shape.N * state->shape.H);
}

static size_t packed_bytes(const struct lorac_conv_shape *s)
{
    return lorac_xnn_packed_bytes(1, s->C, s->M);
}

const struct lorac_conv_algorithm lorac_conv_gradient_pointwise = {
    .name = "pointwise",
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .create = create,
    .run = run,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
};
