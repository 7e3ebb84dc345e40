// What train trains on: the images and how they become numbers.
#ifndef LORAC_TRAIN_DATA_H
#define LORAC_TRAIN_DATA_H

#include "augment_options.h"
#include "data_group.h"

struct lorac_train_data { // zero-initialise it
    bool open;
    struct lorac_dataset dataset;
    struct lorac_normalize normalize;
    struct lorac_augment augment;
};

// What the command line says about it.
struct lorac_train_data_request {
    const struct lorac_call *call;
    const struct lorac_data_settings *data;
    const struct lorac_pixel_settings *pixels;
    const struct lorac_augment_settings *augment;
    size_t batch;
    bool has_budget; // of memory
    uint64_t epochs, steps, warmup_steps; // as in struct lorac_loop_options
};

// Opens the images for a model that takes [shape]; nothing where they are open. The model's classes may be unknown yet
// (net->classes 0): then lorac_train_data_check sees to the labels.
// Errors: as lorac_dataset_open; ARGUMENT (fewer images than a batch, fewer steps than warm-up, augmentations that do not fit the images).
enum lorac_status lorac_train_data_open(const struct lorac_train_data_request *request, const struct lorac_net *net,
                                        const struct lorac_input_shape *shape, struct lorac_train_data *data,
                                        struct lorac_error *error);

// What it holds, and what augmenting in [threads] threads and decoding in [loader_threads] (0: those that there are) takes:
// struct lorac_prepare_options' memory_other.
size_t lorac_train_data_bytes(const struct lorac_train_data *data, size_t threads, size_t loader_threads);

// That the prepared net takes the images; the message names the file. Keeps image files decoded in what a memory budget
// leaves, and gives the model their names of the classes where it has none.
enum lorac_status lorac_train_data_check(const struct lorac_train_data_request *request, struct lorac_net *net,
                                         struct lorac_train_data *data, struct lorac_error *error);

// How another set is opened for the same training: its classes are called as those of [data], or of the model, and
// --cache-memory has what [data] leaves of it.
struct lorac_data_request lorac_train_data_request(const struct lorac_train_data_request *request,
                                                   const struct lorac_data_settings *settings,
                                                   const struct lorac_net *net, const struct lorac_input_shape *shape,
                                                   const struct lorac_train_data *data);

void lorac_train_data_clear(struct lorac_train_data *data);

#endif
