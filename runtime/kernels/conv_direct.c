// Convolution and its input gradient on XNNPACK's direct operators.
#include "conv_algorithm.h"

#include "xnn.h"

static bool always(const struct lorac_conv_shape *shape)
{
    (void)shape;
    return true;
}

// XNNPACK takes [M, kh, kw, C/G].
static void pack_forward(const struct lorac_conv_shape *s, const float *weight, float *packed)
{
    size_t Cg = s->C / s->G, taps = s->kh * s->kw;
    for (size_t m = 0; m < s->M; m++)
        for (size_t c = 0; c < Cg; c++)
            for (size_t t = 0; t < taps; t++)
                packed[(m * taps + t) * Cg + c] = weight[(m * Cg + c) * taps + t];
}

// The deconvolution's outputs are the convolution's inputs: [G, C/G, kh, kw, M/G].
static void pack_gradient(const struct lorac_conv_shape *s, const float *weight, float *packed)
{
    size_t Cg = s->C / s->G, Mg = s->M / s->G, taps = s->kh * s->kw;
    for (size_t g = 0; g < s->G; g++)
        for (size_t m = 0; m < Mg; m++)
            for (size_t c = 0; c < Cg; c++)
                for (size_t t = 0; t < taps; t++)
                    packed[((g * Cg + c) * taps + t) * Mg + m] = weight[((g * Mg + m) * Cg + c) * taps + t];
}

static enum lorac_status create_forward(const struct lorac_conv_shape *shape, const float *weight, const float *bias,
                                        float *packing, const float *in, float *out,
                                        const struct lorac_kernel_env *env, void **state, struct lorac_error *error)
{
    pack_forward(shape, weight, packing);
    struct lorac_xnn *op;
    LORAC_TRY(lorac_xnn_conv(shape, packing, bias, in, out, env->pool, &op, error));
    *state = op;
    return LORAC_OK;
}

static enum lorac_status create_gradient(const struct lorac_conv_shape *shape, const float *weight, const float *bias,
                                         float *packing, const float *in, float *out,
                                         const struct lorac_kernel_env *env, void **state, struct lorac_error *error)
{
    (void)bias;
    pack_gradient(shape, weight, packing);
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
    return lorac_xnn_packed_bytes(s->G, s->M / s->G, s->C / s->G * s->kh * s->kw);
}

static size_t packed_gradient(const struct lorac_conv_shape *s)
{
    return lorac_xnn_packed_bytes(s->G, s->C / s->G, s->M / s->G * s->kh * s->kw);
}

const struct lorac_conv_algorithm lorac_conv_direct = {
    .name = "direct",
    .supports = always,
    .create = create_forward,
    .run = run,
    .destroy = destroy,
    .packed_bytes = packed_forward,
};

const struct lorac_conv_algorithm lorac_conv_gradient_deconv = {
    .name = "deconvolution",
    .supports = always,
    .create = create_gradient,
    .run = run,
    .destroy = destroy,
    .packed_bytes = packed_gradient,
};
