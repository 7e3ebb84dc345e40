// Runs two models, one after the other so that only one is in memory, on the same images, and says how far their
// outputs are apart. Shared by compare and merge.
#ifndef LORAC_COMPARE_H
#define LORAC_COMPARE_H

#include "data_group.h"

// The options of both commands beside data, pixels and run.
struct lorac_compare_settings {
    double tolerance; // of the largest absolute output of the first model
    int64_t batch;
    int64_t random; // images of random numbers
};
extern const struct lorac_option lorac_compare_options[]; // --tolerance --batch --random

// One comparison: what both models are run on, and what the first one gave. Zero-initialise it.
struct lorac_comparison {
    const struct lorac_call *call;
    const struct lorac_compare_settings *settings;
    const struct lorac_data_settings *data; // data->data NULL: no data set
    const struct lorac_pixel_settings *pixels;
    const struct lorac_run_settings *run;
    bool use_random;

    // Filled by the first run:
    struct lorac_input_shape shape;
    size_t classes;
    bool has_half; // one of the models has weights of type FLOAT16 or BFLOAT16
    struct lorac_dataset noise, dataset;
    float *noise_outputs, *data_outputs; // [images, classes]
};

// How far apart two sets of outputs are.
struct lorac_difference {
    size_t images;
    double largest;  // largest absolute output of the first model
    double absolute; // largest absolute difference; infinite where an output is not finite
    double relative; // absolute / largest
    size_t same_top; // images with the same top-1 class
};

// Makes the first model and the images ready. [name] is for messages.
enum lorac_status lorac_comparison_open(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                        struct lorac_error *error);

// The same, and runs it and keeps its outputs.
enum lorac_status lorac_comparison_first(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                         struct lorac_error *error);

// Runs the second model, prints the differences, and gives TOLERANCE where one is above the tolerance.
// Errors: MISMATCH (other input or classes than the first).
enum lorac_status lorac_comparison_second(struct lorac_comparison *comparison, struct lorac_net *net, const char *name,
                                          struct lorac_error *error);

void lorac_comparison_clear(struct lorac_comparison *comparison);

// The arithmetic alone: outputs [images, classes] of both.
void lorac_difference_of(const float *first, const float *second, size_t images, size_t classes,
                         struct lorac_difference *out);

#endif
