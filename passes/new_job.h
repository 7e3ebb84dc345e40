// A new job for an old model: a last layer for other classes, a stem for small images, another input size. Passes over
// a plain model, before inject; they change what the model computes, and whoever runs them trains it afterwards.
#ifndef LORAC_NEW_JOB_H
#define LORAC_NEW_JOB_H

#include "pass.h"

// ---- replace_head: a fresh last layer

// The layer (the Gemm, MatMul with or without Add, or 1x1 Conv that inject takes for the last one) keeps its node, its
// place and, where nothing else uses them, the names and the type of its tensors. Its weight and, where it has one, its
// bias are uniform in (-bound, bound), bound = 1/sqrt(features): the defaults of PyTorch's nn.Linear. A Gemm's alpha
// and beta become 1. The outputs behind the layer are declared with the new number. Refused by name: what stands behind
// the layer and has the old number of classes built in.
struct lorac_replace_head_options {
    int64_t classes;                // at least 1; 0 (the default): nothing to do
    const char *const *class_names; // [classes], recorded as lorac.classes; NULL: none. Those of the old classes go
    uint64_t seed;                  // 0; the numbers follow from it and the node's name alone
    const char *output;             // as in struct lorac_inject_options
};
extern const struct lorac_pass lorac_pass_replace_head;

// ---- small_image_stem: for images of about 32x32

// The first convolution gets a fresh 3x3 weight, stride 1, padding 1, as the paper's networks have it: uniform in
// (-bound, bound), bound = 1/sqrt(channels*9), the default of PyTorch's Conv2d; a bias becomes zero (it held what a
// folded BatchNorm took off the old weight's outputs). The max-pooling that follows goes, and so do the Pad nodes
// before the convolution and before the max-pooling. Behind a first convolution of 3x3 with stride 2 the other
// convolutions of a deep stem keep their weights, and the max-pooling behind them goes. skipped is 1 where no
// max-pooling follows the stem.
struct lorac_small_image_stem_options {
    bool replace;       // false (the default): nothing to do
    uint64_t seed;      // as above
    const char *output; // as above: the first convolution is one that this output depends on
};
extern const struct lorac_pass lorac_pass_small_image_stem;

// ---- set_input_size: declares another height and width

// Changes declarations alone: whether the graph allows the size is for the runtime to say.
struct lorac_set_input_size_options {
    int64_t height, width; // at least 1; 0 (the default): nothing to do
    bool channels_last;    // false: the input is declared [N, C, H, W]; true: [N, H, W, C]
};
extern const struct lorac_pass lorac_pass_set_input_size;

#endif
