// Convolution and its input gradient on XNNPACK's direct operators.
#include "conv_algorithm.h"

#include "parallel.h"
#include "xnn.h"

#include <assert.h>

static bool always(const struct lorac_conv_shape *shape)
{
    (void)shape;
    return true;
}

struct packing {
    const struct lorac_conv_shape *shape;
    const float *weight; // [M, C/G, kh, kw]
    float *packed;
};

// XNNPACK takes [M, kh, kw, C/G]: one output.
static void pack_output(void *context, size_t m)
{
    const struct packing *p = context;
    size_t Cg = p->shape->C / p->shape->G, taps = p->shape->kh * p->shape->kw;
    const float *from = p->weight + m * Cg * taps;
    float *to = p->packed + m * Cg * taps;
    for (size_t t = 0; t < taps; t++)
        for (size_t c = 0; c < Cg; c++)
            to[t * Cg + c] = from[c * taps + t];
}

// The deconvolution's outputs are the convolution's inputs, [G, C/G, kh, kw, M/G]: one input channel.
static void pack_input(void *context, size_t channel)
{
    const struct packing *p = context;
    size_t Cg = p->shape->C / p->shape->G, Mg = p->shape->M / p->shape->G, taps = p->shape->kh * p->shape->kw;
    size_t g = channel / Cg, c = channel % Cg;
    const float *from = p->weight + (g * Mg * Cg + c) * taps;
    float *to = p->packed + channel * taps * Mg;
    for (size_t m = 0; m < Mg; m++)
        for (size_t t = 0; t < taps; t++)
            to[t * Mg + m] = from[m * Cg * taps + t];
}

static enum lorac_status create_forward(const struct lorac_conv_shape *shape, const float *weight,
                                        const struct lorac_conv_finish *finish, float *packing, const float *in,
                                        float *out, const struct lorac_kernel_env *env, void **state,
                                        struct lorac_error *error)
{
    assert(!finish->accumulate);
    struct packing p = {shape, weight, packing};
    lorac_parallel_for(env->pool, pack_output, &p, shape->M);
    struct lorac_xnn *op;
    LORAC_TRY(lorac_xnn_conv(shape, packing, finish, in, out, env->pool, &op, error));
    *state = op;
    return LORAC_OK;
}

static enum lorac_status create_gradient(const struct lorac_conv_shape *shape, const float *weight,
                                         const struct lorac_conv_finish *finish, float *packing, const float *in,
                                         float *out, const struct lorac_kernel_env *env, void **state,
                                         struct lorac_error *error)
{
    assert(!finish->bias && !finish->accumulate);
    (void)finish;
    struct packing p = {shape, weight, packing};
    lorac_parallel_for(env->pool, pack_input, &p, shape->C);
    struct lorac_xnn *op;
    LORAC_TRY(lorac_xnn_conv_input_gradient(shape, packing, in, out, env->pool, &op, error));
    *state = op;
    return LORAC_OK;
}

static void run(void *state, const struct lorac_kernel_env *env)
{
    lorac_xnn_run(state, env->pool);
}

static void destroy(void *state)
{
    lorac_xnn_destroy(state);
}

static size_t packed_forward(const struct lorac_conv_shape *s)
{
    size_t taps = s->kh * s->kw; // XNNPACK runs a 1x1 convolution as a plain product, without pointers
    return lorac_xnn_packed_bytes(s->G, s->M / s->G, s->C / s->G * taps) +
           (taps > 1 ? lorac_xnn_indirection_bytes(s->OH * s->OW, taps) : 0);
}

static size_t packed_gradient(const struct lorac_conv_shape *s)
{
    // With a stride, each of the stride_h * stride_w phases of the output has its share of the taps.
    size_t taps = s->kh * s->kw, phases = s->stride_h * s->stride_w;
    return lorac_xnn_packed_bytes(s->G, s->C / s->G, s->M / s->G * taps) +
           lorac_xnn_indirection_bytes(s->H * s->W, taps / phases + (taps % phases != 0));
}

const struct lorac_conv_algorithm lorac_conv_direct = {
    .name = "direct",
    .reorders = true,
    .supports = always,
    .create = create_forward,
    .run = run,
    .destroy = destroy,
    .packed_bytes = packed_forward,
};

const struct lorac_conv_algorithm lorac_conv_gradient_deconv = {
    .name = "deconvolution",
    .reorders = true,
    .supports = always,
    .create = create_gradient,
    .run = run,
    .destroy = destroy,
    .packed_bytes = packed_gradient,
};
