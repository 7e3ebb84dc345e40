// BatchNormalization and InstanceNormalization of constants: how exporters standardise a convolution's weight in the
// graph. y = (x - mean) / sqrt(variance + epsilon) * scale + shift, x [N, C, ...], scale and shift [C].
#include "constant_internal.h"

#include <math.h>

struct normalization {
    const struct lorac_constant *x, *scale, *shift;
    size_t images, channels, pixels;
    double epsilon;
};

static enum lorac_status open_normalization(const struct evaluation *e, struct normalization *out)
{
    const struct lorac_constant *x = lorac_constant_input(e, 0);
    *out = (struct normalization){.x = x,
                                  .scale = lorac_constant_input(e, 1),
                                  .shift = lorac_constant_input(e, 2),
                                  .epsilon = (double)lorac_node_float(e->what.node, "epsilon", 1e-5f)};
    for (size_t i = 0; i < e->what.input_count; i++)
        if (!lorac_constant_input(e, i) || !lorac_constant_input(e, i)->floating)
            return lorac_constant_refuse(e, "inputs of this type are not supported");
    if (x->rank < 2 || x->count == 0)
        return lorac_constant_refuse(e, "normalising a constant without channels or elements");
    out->images = (size_t)x->dims[0];
    out->channels = (size_t)x->dims[1];
    out->pixels = lorac_constant_product(x->dims, 2, x->rank);
    for (size_t i = 1; i < e->what.input_count; i++)
        if (lorac_constant_input(e, i)->count != out->channels)
            return lorac_constant_refuse(e, "scale, shift or statistics do not have one element per channel");
    return LORAC_OK;
}

// Of channel [c] of [count] images from number [n] on; the variance is the population's.
static void take_statistics(const struct normalization *norm, size_t n, size_t count, size_t c, double *mean,
                            double *variance)
{
    const double each = (double)(count * norm->pixels);
    double sum = 0, squares = 0;
    for (size_t i = n; i < n + count; i++)
        for (size_t p = 0; p < norm->pixels; p++)
            sum += norm->x->floats[(i * norm->channels + c) * norm->pixels + p];
    *mean = sum / each;
    for (size_t i = n; i < n + count; i++)
        for (size_t p = 0; p < norm->pixels; p++) {
            double distance = norm->x->floats[(i * norm->channels + c) * norm->pixels + p] - *mean;
            squares += distance * distance;
        }
    *variance = squares / each;
}

static void apply(const struct normalization *norm, size_t n, size_t count, size_t c, double mean, double variance,
                  struct lorac_constant *out)
{
    const double slope = norm->scale->floats[c] / sqrt(variance + norm->epsilon);
    for (size_t i = n; i < n + count; i++)
        for (size_t p = 0; p < norm->pixels; p++) {
            size_t at = (i * norm->channels + c) * norm->pixels + p;
            double value = (norm->x->floats[at] - mean) * slope + norm->shift->floats[c];
            out->floats[at] = lorac_constant_round(out->data_type, value);
        }
}

// Training mode: the statistics are those of x itself. Before operator set 14 more than one output says so.
static bool is_training(const Onnx__NodeProto *node)
{
    bool training = lorac_node_int(node, "training_mode", 0) != 0;
    for (size_t i = 1; i < node->n_output; i++)
        training |= node->output[i][0] != '\0';
    return training;
}

static enum lorac_status eval_batch_norm(const struct evaluation *e, struct lorac_constant *out)
{
    struct normalization norm;
    const bool training = is_training(e->what.node);
    LORAC_TRY(open_normalization(e, &norm));
    if (lorac_node_int(e->what.node, "spatial", 1) == 0 && norm.pixels > 1)
        return lorac_constant_refuse(e, "spatial = 0 is not supported");
    LORAC_TRY(lorac_constant_result(e, norm.x->data_type, norm.x->dims, norm.x->rank, out));
    for (size_t c = 0; c < norm.channels; c++) {
        double mean = lorac_constant_input(e, 3)->floats[c], variance = lorac_constant_input(e, 4)->floats[c];
        if (training)
            take_statistics(&norm, 0, norm.images, c, &mean, &variance);
        apply(&norm, 0, norm.images, c, mean, variance, out);
    }
    return LORAC_OK;
}

static enum lorac_status eval_instance_norm(const struct evaluation *e, struct lorac_constant *out)
{
    struct normalization norm;
    LORAC_TRY(open_normalization(e, &norm));
    LORAC_TRY(lorac_constant_result(e, norm.x->data_type, norm.x->dims, norm.x->rank, out));
    for (size_t n = 0; n < norm.images; n++)
        for (size_t c = 0; c < norm.channels; c++) {
            double mean, variance;
            take_statistics(&norm, n, 1, c, &mean, &variance);
            apply(&norm, n, 1, c, mean, variance, out);
        }
    return LORAC_OK;
}

const struct lorac_constant_op lorac_constant_normalize_ops[] = {
    {"BatchNormalization", 5, eval_batch_norm},
    {"InstanceNormalization", 3, eval_instance_norm},
    {NULL, 0, NULL},
};
