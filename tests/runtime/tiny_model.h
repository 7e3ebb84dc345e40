// Small classifiers with adapters, for tests of training: images 3x8x8, 5 classes.
#ifndef LORAC_TEST_TINY_MODEL_H
#define LORAC_TEST_TINY_MODEL_H

#include "check.h"
#include "proto/rng.h"
#include "ref/graph.h"

#include "proto/adapter_meta.h"
#include "runtime/lower.h"
#include "runtime/session.h"

enum { TINY_CHANNELS = 3, TINY_SIDE = 8, TINY_PIXELS = TINY_CHANNELS * TINY_SIDE * TINY_SIDE, TINY_CLASSES = 5 };

// The first convolution and the last layer are trained, the second convolution has an adapter, the third is frozen.
#define TINY_HEAD "a=Conv(x, w[6,3,3,3]*, wb[6]) pads=[1,1,1,1]; b=Relu(a); "
#define TINY_BODY                                                                                                      \
    "c=Conv(b, v[6,6,3,3], vb[6]) pads=[1,1,1,1] strides=[2,2] lora=kernel:2:4; d=Relu(c); h=Conv(d, u[6,6,1,1]); "    \
    "i=Add(h, d); e=GlobalAveragePool(i); f=Flatten(e); "
#define TINY_TAIL "y=Gemm(f, g[6,5]*, gb[5]*)"
#define TINY_PLAIN_TEXT TINY_HEAD TINY_BODY TINY_TAIL
// With BatchNormalization after the first convolution, and with a Softmax at the end.
#define TINY_BN_TEXT                                                                                                   \
    "a=Conv(x, w[6,3,3,3]*) pads=[1,1,1,1]; n=BatchNormalization(a, s[6]+, t[6], m[6], q[6]+); b=Relu(n); " TINY_BODY  \
        TINY_TAIL
#define TINY_SOFTMAX_TEXT TINY_PLAIN_TEXT "; z=Softmax(y) axis=1"

// The adapter's A is frozen, and most layers are wider than a vector.
#define TINY_FROZEN_TEXT                                                                                               \
    "a=Conv(x, w[20,3,3,3], wb[20]) pads=[1,1,1,1]; b=Relu(a); c=Conv(b, v[18,20,3,3], vb[18]) pads=[1,1,1,1] "        \
    "strides=[2,2] lora=kernel:2:4:frozen; d=Relu(c); h=Conv(d, u[18,18,3,3]) pads=[1,1,1,1] "                         \
    "lora=plain:2:4:frozen; i=Add(h, d); e=GlobalAveragePool(i); f=Flatten(e); y=Gemm(f, g[18,5]*, gb[5]*)"

struct tiny_options {
    const char *text; // NULL: TINY_PLAIN_TEXT
    bool plain;       // no metadata
    bool pixels;      // the record says how uint8 pixels become numbers
    bool free_size;   // height and width are left free
    enum lorac_bn_mode bn;
};

__attribute__((unused)) static struct graph tiny_graph(const struct tiny_options *options)
{
    const int64_t side = options->free_size ? 0 : TINY_SIDE;
    const struct graph_spec spec = {.text = options->text ? options->text : TINY_PLAIN_TEXT,
                                    .dims = {1, TINY_CHANNELS, side, side},
                                    .seed = 11,
                                    .bn = options->bn};
    return graph_build(&spec);
}

// The model as a file's bytes, malloc'ed.
__attribute__((unused)) static uint8_t *tiny_bytes(const struct tiny_options *options, size_t *byte_count)
{
    struct lorac_error error = {0};
    struct graph graph = tiny_graph(options);
    char hash[33];
    if (!options->plain) {
        CHECK_OK(lorac_base_hash(graph.model, &graph.meta, hash, &error), error);
        graph.meta.base_hash = hash;
        graph.meta.tool = "test";
        if (options->pixels)
            graph.meta.input = (struct lorac_input_meta){
                .given = true, .scale = 1.0 / 255, .mean_count = 1, .mean = {0.5}, .std_count = 1, .std = {0.25}};
        CHECK_OK(lorac_meta_write(graph.model, &graph.meta, &error), error);
    }
    uint8_t *bytes = NULL;
    CHECK_OK(lorac_model_pack(graph.model, &bytes, byte_count, &error), error);
    REQUIRE(bytes != NULL);
    graph_free(&graph);
    return bytes;
}

// A session that trains the model on batches of two.
struct tiny_session {
    struct graph graph;
    struct lorac_program *program;
    struct lorac_session *session;
};

__attribute__((unused)) static void tiny_session_open(struct tiny_session *tiny, const struct tiny_options *options)
{
    struct lorac_error error = {0};
    memset(tiny, 0, sizeof *tiny);
    tiny->graph = tiny_graph(options);
    const struct lorac_lower_options lower = {.batch = 2, .training = true};
    if (!CHECK_OK(lorac_lower(tiny->graph.model, &tiny->graph.meta, &lower, &tiny->program, &error), error) ||
        !CHECK_OK(lorac_session_create(tiny->program, 2, &tiny->session, &error), error))
        exit(1);
}

__attribute__((unused)) static void tiny_session_close(struct tiny_session *tiny)
{
    lorac_session_free(tiny->session);
    lorac_program_free(tiny->program);
    graph_free(&tiny->graph);
}

// Random images: class k has a bright square at its own place, so that there is something to learn.
__attribute__((unused)) static void tiny_images(uint8_t *pixels, int32_t *labels, size_t count, uint64_t seed)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "tiny", 0, 0);
    for (size_t i = 0; i < count; i++, pixels += TINY_PIXELS) {
        labels[i] = (int32_t)lorac_rng_below(&rng, TINY_CLASSES);
        for (size_t k = 0; k < TINY_PIXELS; k++) {
            size_t row = k / (TINY_SIDE * TINY_CHANNELS), channel = k % TINY_CHANNELS;
            bool bright = row / 2 == (size_t)labels[i] % 4 && (labels[i] < 4 || channel == 0);
            pixels[k] = (uint8_t)(lorac_rng_below(&rng, 100) + (bright ? 150 : 0));
        }
    }
}

#endif
