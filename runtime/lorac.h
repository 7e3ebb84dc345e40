// lorac: LoRA-C adapter training and inference on the device.
//
// An application opens an ONNX model (plain, injected or trained), asks what it takes, prepares it for a batch size,
// and then trains, predicts or evaluates:
//
//     struct lorac_error error = {0};
//     struct lorac_net *net = NULL;
//     if (lorac_open("injected.onnx", &net, &error) != LORAC_OK) ...
//     struct lorac_prepare_options options = lorac_prepare_options_default();
//     options.training = true;
//     lorac_prepare(net, &options, &error);
//     lorac_train_batch(net, &images, labels, NULL, &result, &error);   // as often as wanted
//     lorac_save(net, "trained.onnx", &error);
//     lorac_close(net);
//
// Threads: a net may be used by one thread at a time; different nets are independent. Inside, work is spread over
// options.threads threads. Nothing prints or exits; every failure is a status and one sentence in [error].
// Determinism: the same file, options and calls on the same machine give the same bits, with any number of threads.
// Other processors or library versions may round differently. options.tune chooses by measured times: see there.
#ifndef LORAC_H
#define LORAC_H

#include "lorac_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LORAC_VERSION_MAJOR 0
#define LORAC_VERSION_MINOR 1
#define LORAC_VERSION_PATCH 0

// "0.1.0" of the library that runs (the macros above are of the header it was compiled with).
LORAC_API const char *lorac_version(void);

// ---- open and look

struct lorac_net; // a model with all that is needed to run it

// Reads a model from a file, or from memory (borrowed for the call). Local functions of the model are written out, which
// lorac_save would show. Errors: IO, FORMAT, UNSUPPORTED, MEMORY.
LORAC_API enum lorac_status lorac_open(const char *path, struct lorac_net **net, struct lorac_error *error);
LORAC_API enum lorac_status lorac_open_memory(const void *bytes, size_t byte_count, struct lorac_net **net,
                                              struct lorac_error *error);
// Frees everything; accepts NULL.
LORAC_API void lorac_close(struct lorac_net *net);

struct lorac_info {
    size_t channels, height, width; // of the input; 0 where the model leaves it free
    bool channels_last;             // the model declares its images [N, H, W, C]; else [N, C, H, W]
    size_t classes; // columns of the output; 0 where only lorac_prepare can tell (the model leaves height or
                    // width free, or cannot be run as it declares itself)
    bool injected;  // has LoRA-C metadata: can be trained
    size_t trainable_parameters;
    bool normalization_given; // the model says how pixels become numbers
};
LORAC_API enum lorac_status lorac_get_info(struct lorac_net *net, struct lorac_info *info, struct lorac_error *error);

// The name of class [i], or NULL where the model has no names. Lives as long as the net.
LORAC_API const char *lorac_class_name(const struct lorac_net *net, size_t i);

// Of a model with several outputs, chooses the one that is trained and evaluated (and whose columns are the classes): by
// its name; NULL: what the model's record (lorac.output) says, else the first, as without this call. Counts from the
// next lorac_prepare on; lorac_save does not record it. Errors: ARGUMENT (lists the outputs that there are).
LORAC_API enum lorac_status lorac_select_output(struct lorac_net *net, const char *name, struct lorac_error *error);

// ---- prepare

enum lorac_optimizer_kind { LORAC_SGD, LORAC_ADAMW };

// Update rules are PyTorch's (torch.optim.SGD, torch.optim.AdamW).
struct lorac_optimizer_options {
    enum lorac_optimizer_kind kind; // SGD
    double lr;                      // 0.005
    double momentum;                // 0.9  (SGD)
    bool nesterov;                  // false (SGD)
    double weight_decay;            // 5e-4; decoupled in AdamW
    bool decay_all;                 // false: tensors of one dimension are not decayed
    double beta1, beta2;            // 0.9, 0.999 (AdamW)
    double eps;                     // 1e-8 (AdamW)
    double clip_norm;               // 5: all gradients together; 0: off
    double label_smoothing;         // 0, as torch.nn.CrossEntropyLoss
};

// How uint8 pixels become the model's numbers: x = (value*scale - mean[c]) / std[c].
struct lorac_normalization {
    double scale;      // 1/255
    size_t mean_count; // 0 (no mean), 1 (for all channels) or the number of channels
    double mean[16];
    size_t std_count;
    double std[16];
    bool bgr; // the model takes blue first; pixels are always given red first
};

// How adapted convolutions are trained: by the definition (the adapter is added to the weight, which is packed anew in
// each step) or as a branch beside the convolution, whose weight is packed once. The same function, other rounding. In
// use, without training, it is always the definition.
enum lorac_form_policy {
    LORAC_FORM_POLICY_AUTO,       // each layer as costs less, by a rule that looks at sizes alone
    LORAC_FORM_POLICY_DEFINITION, // all by the definition
    LORAC_FORM_POLICY_BRANCH,     // all as branches that can be: one group, stride 64 at most, weight and bias
                                  // not trained themselves
};

// How one convolution is run: a row of what lorac_prepare measured, to be kept and handed in again.
struct lorac_choice {
    const char *key;      // of which convolution, and on which machine: lorac_convolution.key
    const char *forward;  // the algorithm; NULL, or one that is not allowed here: by the rule
    const char *gradient; // of the gradient of its input; the same
    const char *form;     // "definition" or "branch"; the same. A row with a name that is not known is passed over
};

struct lorac_prepare_options {
    size_t batch;         // 32; images of a training step, and images that are run at once
    size_t threads;       // 0: all processors that this process may use
    bool training;        // false; true allocates for lorac_train_batch as well
    size_t height, width; // 0: the model's own; needed only where the model leaves them free
    bool exact;           // false; true: convolutions as plain sums only, none of the faster forms that round more
    struct lorac_optimizer_options optimizer;
    const struct lorac_normalization *normalization; // NULL: the model's record; not needed for float images
    enum lorac_form_policy form_policy;              // AUTO
    // 0: the batch. With training, images that are run at once, a divisor of batch: the step's gradients are summed
    // over such micro-batches, so that it takes less memory for activations and gives the same up to rounding. Not for
    // a model whose BatchNorm is trained: its statistics are of the whole batch.
    size_t micro_batch;
    // 0: training keeps all that it needs on the way back. 2 or more: the network is cut into about as many segments, and
    // all but the last are computed a second time on the way back: less memory for activations, at most one more forward
    // pass of time, the same bits. With memory_budget 0 is what the budget chooses, and 1 is none.
    size_t recompute;
    const struct lorac_choice *choices;              // [choice_count], borrowed for the call; rows whose key no
    size_t choice_count;                             // convolution has are passed over; 0: all by the rule
    bool tune; // false; true: what [choices] has no row for is measured now, which takes seconds
    // 0: none. Bytes of peak resident memory of the whole process that must do, as predicted: lorac_prepare looks for the
    // fastest way that fits, running the batch in micro-batches (where micro_batch is 0), large convolutions by
    // algorithms that pack less, and parts of the network a second time (where recompute is 0). The choice does not depend on the number of threads. A program like lorac-onnx itself is
    // counted, about 5 MB, and options.memory_other for what yours holds beside that: images, for example.
    size_t memory_budget;
    size_t memory_other;
};
LORAC_API struct lorac_prepare_options lorac_prepare_options_default(void);

// Allocates everything and packs the weights. May be called again (also after training: the trained values stay; the
// optimiser starts anew). Errors: UNSUPPORTED (names the node), ARGUMENT (an option out of range, training a model that
// is not injected, a memory budget that is too small: names the smallest that would do), MEMORY, NOT_FINITE (names the weight). After MEMORY and NOT_FINITE the net is open but not
// prepared; after the others it is as it was.
LORAC_API enum lorac_status lorac_prepare(struct lorac_net *net, const struct lorac_prepare_options *options,
                                          struct lorac_error *error);

// Bytes that the prepared net holds for activations, gradients, parameters, optimiser and packed weights (predicted for
// the last), beside the model itself. 0 before lorac_prepare.
LORAC_API size_t lorac_memory_bytes(const struct lorac_net *net);

// ---- how convolutions are run
//
// Each convolution and its input gradient can be computed by several algorithms ("winograd4", "gemm", "direct", ...),
// and an adapter in two forms. Without options.choices and options.tune a fixed rule chooses by sizes alone, so that the
// bits of the results depend on nothing else. With tune, each way that is allowed is run on memory of the real sizes and
// the fastest is taken: another machine, another number of threads, or the same machine another day may choose
// otherwise, and round otherwise. The same choices, handed in again, give the same bits.

enum { LORAC_KEY_BYTES = 400 };
enum lorac_chosen {
    LORAC_CHOSEN_BY_RULE,
    LORAC_CHOSEN_GIVEN,    // by options.choices
    LORAC_CHOSEN_MEASURED, // by this lorac_prepare
};
struct lorac_convolution {
    const char *name;                      // of the node
    const char *forward, *gradient, *form; // as in struct lorac_choice; NULL: no gradient, no adapter
    const char *weight_gradient;           // the algorithm of the whole weight's, always by the rule; NULL: none is
                                           // computed
    enum lorac_chosen chosen;
    // The version of the kernels, the processor, its instruction set, threads, and what decides about the
    // convolution's speed; "": too long for one, so that it is chosen by the rule.
    char key[LORAC_KEY_BYTES];
};
// How many the prepared model has; 0 before lorac_prepare.
LORAC_API size_t lorac_convolution_count(const struct lorac_net *net);
// The [i]-th, in the order in which they are run; texts live until the next lorac_prepare. Errors: ARGUMENT.
LORAC_API enum lorac_status lorac_get_convolution(const struct lorac_net *net, size_t i, struct lorac_convolution *out,
                                                  struct lorac_error *error);

// ---- images

enum lorac_pixel_type {
    LORAC_PIXELS_U8,  // [count, H, W, C], RGB; normalised
    LORAC_PIXELS_F32, // the model's own layout, [count, C, H, W] or [count, H, W, C] (lorac_info); taken as it is
};
struct lorac_images {
    enum lorac_pixel_type type;
    const void *data; // borrowed for the call
    size_t count;
};

// ---- train

struct lorac_step_result {
    double loss;          // mean over the batch, before the update
    double gradient_norm; // over all trainable tensors together, before clipping
    size_t correct;       // images whose largest logit was the label's
};

// One training step on exactly options.batch images with labels[count] in 0 .. classes-1. [lr] replaces the learning
// rate of this step (a schedule), at least 0; NULL: optimizer.lr. [result] may be NULL. Errors: ARGUMENT, MISMATCH (a
// label), NOT_FINITE: the message names the bad image, or the first bad layer or tensor, and the net keeps the values
// it had before the step.
LORAC_API enum lorac_status lorac_train_batch(struct lorac_net *net, const struct lorac_images *images,
                                              const int32_t *labels, const double *lr, struct lorac_step_result *result,
                                              struct lorac_error *error);

// ---- use

// outputs[count, classes] = the model's output (logits, or probabilities where the model ends in a Softmax), for any
// count; run in batches. A net prepared for training predicts too. Errors: ARGUMENT, NOT_FINITE (names the bad image,
// or the first bad layer).
LORAC_API enum lorac_status lorac_predict(struct lorac_net *net, const struct lorac_images *images, float *outputs,
                                          struct lorac_error *error);

struct lorac_evaluation {
    size_t images, correct;
    double loss; // mean cross-entropy, of the logits before a final Softmax
};
// Called after each batch with the images done so far; returning true before the last stops (status ABORTED).
typedef bool (*lorac_abort_callback)(void *context, size_t images_done, size_t images_total);

// labels[count] in 0 .. classes-1; callback NULL: none. Errors: as lorac_predict, MISMATCH (a label), ABORTED.
LORAC_API enum lorac_status lorac_evaluate(struct lorac_net *net, const struct lorac_images *images,
                                           const int32_t *labels, lorac_abort_callback callback, void *context,
                                           struct lorac_evaluation *result, struct lorac_error *error);

// Writes the model with its present values: same graph, only trained tensors differ. Atomic: [path] holds either its
// old content or the whole new one.
LORAC_API enum lorac_status lorac_save(struct lorac_net *net, const char *path, struct lorac_error *error);

// ---- going on later
//
// lorac_save keeps what was learnt; a state keeps what learning goes on from as well: the optimiser's memory. A net that
// got it goes on with the same bits, given the same images, learning rates and options.

// Writes the state of a net that is prepared for training, atomically, and [steps], a number of the application's: the
// place in its data, for example. A checkpoint file (docs/checkpoints.md). Errors: ARGUMENT, IO, MEMORY, FORMAT (a name
// in the model is not UTF-8).
LORAC_API enum lorac_status lorac_save_state(struct lorac_net *net, const char *path, uint64_t steps,
                                             struct lorac_error *error);

// Puts it into a net of the same injected model that is prepared with the same options (threads may differ; the choices
// of options.tune handed in again). [steps] may be NULL. Errors: ARGUMENT, IO, MEMORY, FORMAT (damaged, cut short, no such
// file), UNSUPPORTED (of another version), MISMATCH (another model, optimiser, batch or algorithm: names it). The net is
// as it was then.
LORAC_API enum lorac_status lorac_load_state(struct lorac_net *net, const char *path, uint64_t *steps,
                                             struct lorac_error *error);

#ifdef __cplusplus
}
#endif
#endif
