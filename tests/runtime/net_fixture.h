// What the tests of lorac.h share: images of the tiny models, and nets that are opened and prepared.
#ifndef LORAC_TEST_NET_FIXTURE_H
#define LORAC_TEST_NET_FIXTURE_H

#include "check.h"
#include "tiny_model.h"

#include "proto/tensor.h"
#include "runtime/train/loop.h"

enum { IMAGES = 22, BATCH = 4 };

static uint8_t pixels[IMAGES * TINY_PIXELS];
static float floats[IMAGES * TINY_PIXELS]; // the same images as the model takes them
static int32_t labels[IMAGES];

// Float sums in another order (another batch size may choose another blocking).
__attribute__((unused)) static const double SUM_TOLERANCE = 1e-5;

__attribute__((unused)) static void make_images(void)
{
    tiny_images(pixels, labels, IMAGES, 5);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t p = 0; p < TINY_SIDE * TINY_SIDE; p++)
            for (size_t c = 0; c < TINY_CHANNELS; c++) {
                double value = pixels[i * TINY_PIXELS + p * TINY_CHANNELS + c];
                floats[i * TINY_PIXELS + c * TINY_SIDE * TINY_SIDE + p] = (float)((value * (1.0 / 255) - 0.5) / 0.25);
            }
}

__attribute__((unused)) static struct lorac_images u8(size_t first, size_t count)
{
    return (struct lorac_images){LORAC_PIXELS_U8, pixels + first * TINY_PIXELS, count};
}

__attribute__((unused)) static struct lorac_images f32(size_t first, size_t count)
{
    return (struct lorac_images){LORAC_PIXELS_F32, floats + first * TINY_PIXELS, count};
}

__attribute__((unused)) static struct lorac_net *open_tiny(const struct tiny_options *options)
{
    struct lorac_error error = {0};
    size_t byte_count = 0;
    uint8_t *bytes = tiny_bytes(options, &byte_count);
    struct lorac_net *net = NULL;
    CHECK_OK(lorac_open_memory(bytes, byte_count, &net, &error), error);
    REQUIRE(net != NULL);
    free(bytes);
    return net;
}

__attribute__((unused)) static struct lorac_prepare_options training(size_t threads)
{
    struct lorac_prepare_options options = lorac_prepare_options_default();
    options.batch = BATCH;
    options.training = true;
    options.threads = threads;
    options.optimizer.lr = 0.05;
    return options;
}

__attribute__((unused)) static struct lorac_net *open_prepared(const struct tiny_options *tiny, bool train)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(tiny);
    struct lorac_prepare_options options = training(2);
    options.training = train;
    if (!CHECK_OK(lorac_prepare(net, &options, &error), error))
        exit(1);
    return net;
}

// The model as it would be saved, malloc'ed.
__attribute__((unused)) static uint8_t *saved_bytes(struct lorac_net *net, size_t *byte_count)
{
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    CHECK_OK(lorac_session_store(net->session, &error), error);
    CHECK_OK(lorac_model_pack(net->model, &bytes, byte_count, &error), error);
    REQUIRE(bytes != NULL);
    return bytes;
}

__attribute__((unused)) static bool same_bytes(struct lorac_net *a, struct lorac_net *b)
{
    size_t a_count = 0, b_count = 0;
    uint8_t *a_bytes = saved_bytes(a, &a_count), *b_bytes = saved_bytes(b, &b_count);
    bool same = a_count == b_count && memcmp(a_bytes, b_bytes, a_count) == 0;
    free(a_bytes);
    free(b_bytes);
    return same;
}

__attribute__((unused)) static void train_steps(struct lorac_net *net, size_t steps)
{
    struct lorac_error error = {0};
    for (size_t step = 0; step < steps; step++) {
        const size_t first = step * BATCH % (IMAGES / BATCH * BATCH);
        const struct lorac_images images = u8(first, BATCH);
        if (!CHECK_OK(lorac_train_batch(net, &images, labels + first, NULL, NULL, &error), error))
            exit(1);
    }
}

__attribute__((unused)) static struct lorac_dataset tiny_dataset(void)
{
    return (struct lorac_dataset){.element = LORAC_ELEMENT_U8,
                                  .count = IMAGES,
                                  .channels = TINY_CHANNELS,
                                  .height = TINY_SIDE,
                                  .width = TINY_SIDE,
                                  .pixels = pixels,
                                  .labels = labels};
}

// Every number of initialiser [name].
__attribute__((unused)) static void set_weights(struct lorac_net *net, const char *name, float value)
{
    struct lorac_error error = {0};
    Onnx__TensorProto *tensor = lorac_model_initializer(net->model, name);
    size_t count = 0;
    REQUIRE(tensor != NULL);
    CHECK_OK(lorac_tensor_count(tensor, &count, &error), error);
    float *values = malloc(count * sizeof *values);
    REQUIRE(values != NULL);
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    CHECK_OK(lorac_tensor_set_float(net->model, tensor, values, count, &error), error);
    free(values);
}

#endif
