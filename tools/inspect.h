// What inspect finds out about a model; inspect_count.c finds it, inspect_print.c prints it.
#ifndef LORAC_INSPECT_H
#define LORAC_INSPECT_H

#include "adapters.h"
#include "groups.h"
#include "verdict.h"

struct lorac_inspect_settings {
    struct lorac_adapter_settings adapters;
    struct lorac_general_settings general;
    struct lorac_size size;
    const char *output_name;
    int64_t batch, threads;
    int form_policy;
    bool json;
};

// What one convolution costs; unknown where the model cannot be lowered.
struct lorac_conv_cost {
    bool known;
    size_t channels, height, width; // of the output
    size_t multiply_adds;           // one image, forward
};

struct lorac_inspection {
    const char *path;
    size_t file_bytes;
    struct lorac_model *model; // as read; owned
    struct lorac_meta meta;
    struct lorac_input_shape input;
    size_t classes; // 0: unknown
    struct lorac_inject_plan plan;
    struct lorac_trainable_split split;
    struct lorac_conv_cost *costs; // [plan.row_count], malloc'ed

    bool forward_known;
    size_t multiply_adds;                           // one image, forward
    char forward_reason[LORAC_ERROR_MESSAGE_BYTES]; // why they are not known

    // The model as it would be trained: itself where injected, else a copy injected in memory. Owned.
    struct lorac_model *trained;
    struct lorac_meta trained_meta;
    bool training_known;
    size_t batch, step_multiply_adds;
    size_t form_count[2]; // adapters that are trained by the definition, and as branches
    size_t memory_bytes;    // predicted peak of training, all of the process but the images
    size_t smallest_budget; // the smallest memory budget that would do, beside the images
    char training_reason[LORAC_ERROR_MESSAGE_BYTES];

    struct lorac_trial trial; // the size of the images that all this is found out with
    struct lorac_verdict verdict;
    bool can_train_bn; // a plain model: --bn train is possible

    size_t refusal_count;
    struct lorac_refusal *refusals; // in the arena of [trained] or of [model]
};

enum lorac_status lorac_inspection_make(struct lorac_inspection *inspection, const char *path,
                                        const struct lorac_inspect_settings *settings, struct lorac_error *error);
void lorac_inspection_clear(struct lorac_inspection *inspection);

enum lorac_status lorac_inspection_print(const struct lorac_inspection *inspection, struct lorac_error *error);
enum lorac_status lorac_inspection_print_json(const struct lorac_inspection *inspection, struct lorac_error *error);

// The strides of a convolution: [2], 1 where absent.
void lorac_conv_strides(const Onnx__NodeProto *node, int64_t strides[2]);

#endif
