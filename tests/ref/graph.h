// Small ONNX models from one line of text, for tests of the runtime: one row of a table is one graph.
//
//     "a=Conv(x, lead[3,3,1,1]*=); y=MaxPool(a) kernel_shape=[3,3] strides=[2,2] ceil_mode=1"
//
// A statement is `value=Op(inputs) attributes`, statements are separated by `;`. The graph's input is the float image
// x, its output the last statement's (first) value; a node is named n_ and its value. `p,-,q=Split(a)` has three
// outputs, the second without a name. An input is
//     name          a value (or a constant declared before)
//     -             absent
//     name[2,3]     a float initialiser with random values in -1 .. 1, of these dims; followed by any of
//         *  trainable     +  positive (0.5 .. 1.5)     =  one on the diagonal [m, m, 0...], zero elsewhere
//         !  the output of a Constant node in place of an initialiser
//     name{1,-2}    an int64 initialiser of one dimension (min and max are the type's ends)
//     name<0.5>     a float scalar; name<0.5,2.> a float initialiser of one dimension
//                   (dims may follow both: name{1,2}[2,1], name{5}[] is a scalar)
// An attribute is name=3 (integer), name=0.5 (a float has a point), name=[1,1] (integers), name=WORD (string) or
// name={7} or name=<0.5> (tensor).
// On a Conv, lora=kernel:2:4 (setting, rank, alpha) puts the adapter of proto/adapter_meta.h before its weight, with
// trainable A and B of random values; with lora=kernel:2:4:frozen A is not trained.
//
// A mistake in the text ends the test program.
#ifndef LORAC_TEST_GRAPH_H
#define LORAC_TEST_GRAPH_H

#include "proto/adapter_meta.h"

struct graph_spec {
    const char *text;
    int64_t dims[4]; // x: N, C, H, W
    int64_t opset;   // 0: 17
    uint64_t seed;
    enum lorac_bn_mode bn;
};

struct graph {
    struct lorac_model *model;
    struct lorac_meta meta; // its strings are the model's
};

struct graph graph_build(const struct graph_spec *spec);
void graph_free(struct graph *graph);

#endif
