#include "recipe_preset.h"

#include "options.h"

#include <string.h>

// The public code of the paper (docs/accuracy.md compares). What it trains at rate 0.1 has BatchNorm in training mode; a
// model whose BatchNorm was folded has none, and inject says so.
static const char paper[] = "adapter:\n"
                            "  rank: 4\n"
                            "  alpha: 8\n"
                            "  setting: kernel    # plain for ResNet-50 and larger\n"
                            "  train_first: true\n"
                            "  train_last: true\n"
                            "  bn: train          # needs BatchNormalization nodes: not for models where they are folded\n"
                            "train:\n"
                            "  batch: 128\n"
                            "  optimizer: sgd\n"
                            "  lr: 0.1\n"
                            "  momentum: 0.9\n"
                            "  weight_decay: 0.0005\n"
                            "  decay_all: false\n"
                            "  schedule: cosine\n"
                            "  warmup_steps: 0\n"
                            "  clip_norm: 5\n"
                            "  label_smoothing: 0\n"
                            "augment:\n"
                            "  kind: crop-flip    # random crop after padding by 4, and random mirroring\n";

// docs/measurements.md: B alone takes an eighth of the time and a sixth of the memory off a step; a micro-batch of a
// quarter keeps a quarter of the activations. A budget for all of the process is the device's own: train.memory_budget.
static const char device[] = "adapter:\n"
                             "  freeze_a: true     # B alone: less memory and time, for at most a point of accuracy\n"
                             "  bn: frozen\n"
                             "train:\n"
                             "  epochs: 2\n"
                             "  batch: 32\n"
                             "  micro_batch: 8     # the same step in a quarter of the memory for activations\n"
                             "  optimizer: sgd\n"
                             "  lr: 0.01\n"
                             "  schedule: cosine\n";

static const char cifar10[] = "model:\n"
                              "  input_size: 32x32\n"
                              "data:\n"
                              "  # Those of the training images; what counts are the model's own, if it has others.\n"
                              "  mean: [0.4914, 0.4822, 0.4465]\n"
                              "  std: [0.2470, 0.2435, 0.2616]\n"
                              "augment:\n"
                              "  kind: crop-flip\n";

static const char imagenet[] = "model:\n"
                               "  input_size: 224x224\n"
                               "data:\n"
                               "  resize: 256        # the short side of image files; the middle 224x224 is used\n"
                               "  mean: [0.485, 0.456, 0.406]\n"
                               "  std: [0.229, 0.224, 0.225]\n";

const struct lorac_recipe_preset lorac_recipe_presets[] = {
    {"paper", "the settings of the LoRA-C paper's code", paper},
    {"device", "short training in little memory", device},
    {"cifar10", "images of 32x32, normalised as CIFAR-10", cifar10},
    {"imagenet", "images of 224x224, normalised as ImageNet", imagenet},
    {0},
};
enum { PRESET_COUNT = sizeof lorac_recipe_presets / sizeof *lorac_recipe_presets };

const struct lorac_recipe_preset *lorac_recipe_preset_find(const char *name)
{
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++)
        if (strcmp(preset->name, name) == 0)
            return preset;
    return NULL;
}

const char *lorac_recipe_preset_nearest(const char *name)
{
    const char *names[PRESET_COUNT];
    for (size_t i = 0; i < PRESET_COUNT; i++)
        names[i] = lorac_recipe_presets[i].name;
    return lorac_nearest_name(name, names);
}
