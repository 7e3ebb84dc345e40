// Running a prepared net: one step, in micro-batches or whole, one forward, and what lorac.h makes of them.
#include "net.h"

#include "train/fill.h"
#include "train/loop.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// ---- one batch

static void loss_gradient(void *context, const float *logits, float *gradient)
{
    struct lorac_loss_rows *part = context;
    part->logits = logits;
    lorac_cross_entropy(part, gradient, NULL, NULL);
}

// The rows of the batch that are run at once, from number [begin] on; their logits come when they have been run.
static struct lorac_loss_rows rows_from(const struct lorac_net *net, const int32_t *labels, size_t begin)
{
    return (struct lorac_loss_rows){.labels = labels + begin,
                                    .rows = net->program->batch,
                                    .classes = net->classes,
                                    .batch = net->options.batch,
                                    .label_smoothing = net->options.optimizer.label_smoothing};
}

// The name of what was not finite first when the images from number [begin] on are run again: the one part of the
// batch, forward alone, where [labels] is NULL; else from there to the end of the batch, as training does. A text that
// fits a sentence in any case: the memory for the replay may be missing.
static const char *find_bad(struct lorac_net *net, const struct lorac_net_fill *fill, const int32_t *labels,
                            size_t begin)
{
    const struct lorac_value *input = &net->program->values[net->program->input];
    const size_t end = labels ? net->options.batch : begin + 1;
    float *copy = malloc(lorac_value_count(input) * sizeof *copy);
    if (!copy)
        return "(no memory to find which layer)";
    const char *name = NULL;
    enum lorac_status status = LORAC_OK;
    lorac_session_zero_gradients(net->session);
    for (size_t i = begin; status == LORAC_OK && !name && i < end; i += net->program->batch) {
        struct lorac_loss_rows part = {0};
        if (labels)
            part = rows_from(net, labels, i);
        fill->run(fill->context, i, copy);
        status = lorac_session_find_bad(net->session, copy, labels ? loss_gradient : NULL, &part, &name, NULL);
    }
    free(copy);
    return status == LORAC_OK && name ? name : "(running it again found no layer)";
}

static void fill_input(const struct lorac_net *net, const struct lorac_net_fill *fill, size_t begin)
{
    int64_t started = lorac_timing_begin(net->timing);
    fill->run(fill->context, begin, lorac_session_input(net->session));
    lorac_timing_end(net->timing, LORAC_SPAN_INPUT, NULL, started);
}

// ---- one training step

struct train_step {
    struct lorac_net *net;
    const struct lorac_net_fill *fill;
    const int32_t *labels;
    double lr;
};

// [begin]: where the replay starts, in images.
static enum lorac_status bad_step(const struct train_step *step, const char *what, size_t begin,
                                  struct lorac_error *error)
{
    return lorac_error_set(
        error, LORAC_ERROR_NOT_FINITE,
        "%s is NaN or infinite; the first value that is: %s; the parameters from before this step are "
        "kept; try a smaller learning rate (it is %g) or look at the images",
        what, find_bad(step->net, step->fill, step->labels, begin), step->lr);
}

// Forward, loss and backward of the images from number [begin] on that are run at once; adds to the gradients and to
// the result.
static enum lorac_status run_part(const struct train_step *step, size_t begin, struct lorac_step_result *result,
                                  struct lorac_error *error)
{
    struct lorac_net *net = step->net;
    struct lorac_session *session = net->session;
    struct lorac_loss_rows part = rows_from(net, step->labels, begin);
    size_t correct;
    fill_input(net, step->fill, begin);
    LORAC_TRY(lorac_session_forward(session, true, error));
    part.logits = lorac_session_logits(session);
    int64_t started = lorac_timing_begin(net->timing);
    result->loss += lorac_cross_entropy(&part, lorac_session_logits_gradient(session), &correct, NULL);
    result->correct += correct;
    lorac_timing_end(net->timing, LORAC_SPAN_LOSS, NULL, started);
    if (!isfinite(result->loss))
        return bad_step(step, "the loss", begin, error);
    lorac_session_backward(session);
    return LORAC_OK;
}

static enum lorac_status take_norm(const struct train_step *step, struct lorac_step_result *result,
                                   struct lorac_error *error)
{
    const char *bad;
    int64_t begin = lorac_timing_begin(step->net->timing);
    result->gradient_norm = lorac_gradient_norm(step->net->session, &bad);
    lorac_timing_end(step->net->timing, LORAC_SPAN_NORM, NULL, begin);
    if (!bad)
        return LORAC_OK;
    char what[256];
    snprintf(what, sizeof what, "the gradient of '%.200s'", bad);
    return bad_step(step, what, 0, error);
}

static enum lorac_status update(const struct train_step *step, double gradient_norm, struct lorac_error *error)
{
    struct lorac_net *net = step->net;
    const char *bad = lorac_session_bad_commit(net->session);
    if (bad)
        return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                               "the running statistics of node '%s' would become NaN or infinite; the parameters "
                               "from before this step are kept; try a smaller learning rate (it is %g) or look at the "
                               "images",
                               bad, step->lr);
    int64_t begin = lorac_timing_begin(net->timing);
    LORAC_TRY(lorac_train_state_update(net->train, net->session, step->lr, gradient_norm, error));
    lorac_timing_end(net->timing, LORAC_SPAN_UPDATE, NULL, begin);
    begin = lorac_timing_begin(net->timing);
    lorac_session_commit(net->session);
    lorac_timing_end(net->timing, LORAC_SPAN_COMMIT, NULL, begin);
    return LORAC_OK;
}

enum lorac_status lorac_net_train_step(struct lorac_net *net, const struct lorac_net_fill *fill, const int32_t *labels,
                                       double lr, struct lorac_step_result *result, struct lorac_error *error)
{
    assert(net->train);
    const struct train_step step = {net, fill, labels, lr};
    struct lorac_step_result sums = {0};
    lorac_session_zero_gradients(net->session);
    for (size_t begin = 0; begin < net->options.batch; begin += net->program->batch)
        LORAC_TRY(run_part(&step, begin, &sums, error));
    LORAC_TRY(take_norm(&step, &sums, error));
    LORAC_TRY(update(&step, sums.gradient_norm, error));
    *result = sums;
    return LORAC_OK;
}

// ---- one forward

enum lorac_status lorac_net_forward(struct lorac_net *net, const struct lorac_net_fill *fill, const float **logits,
                                    const float **outputs, struct lorac_error *error)
{
    fill_input(net, fill, 0);
    LORAC_TRY(lorac_session_forward(net->session, false, error));
    *logits = lorac_session_logits(net->session);
    *outputs = lorac_session_output(net->session);
    return LORAC_OK;
}

enum lorac_status lorac_net_bad_forward(struct lorac_net *net, const struct lorac_net_fill *fill, size_t first_image,
                                        struct lorac_error *error)
{
    return lorac_error_set(
        error, LORAC_ERROR_NOT_FINITE,
        "the model's output for the batch that starts at image %zu is NaN or infinite; the first value "
        "that is: %s",
        first_image, find_bad(net, fill, NULL, 0));
}

// ---- lorac.h

// The caller's images as a dataset that owns nothing.
static enum lorac_status borrow_images(const struct lorac_net *net, const struct lorac_images *images,
                                       const int32_t *labels, struct lorac_dataset *dataset,
                                       struct lorac_batch_source *source, struct lorac_error *error)
{
    if (!net->session)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model is not prepared; call lorac_prepare first");
    if (images->type != LORAC_PIXELS_U8 && images->type != LORAC_PIXELS_F32)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "images have pixel type %d; it must be LORAC_PIXELS_U8 or LORAC_PIXELS_F32",
                               (int)images->type);
    if (!images->data && images->count > 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the data of %zu images is NULL", images->count);
    if (images->type == LORAC_PIXELS_U8 && !net->can_normalize)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model does not say how uint8 pixels become its numbers; set normalization in the "
                               "options of lorac_prepare, or give float images");
    const struct lorac_value *input = &net->program->values[net->program->input];
    *dataset = (struct lorac_dataset){
        .element = images->type == LORAC_PIXELS_U8 ? LORAC_ELEMENT_U8 : LORAC_ELEMENT_F32,
        .count = images->count,
        .channels = input->c,
        .height = input->h,
        .width = input->w,
        .channels_last = net->input.channels_last,
        .pixels = images->data,
        .labels = labels,
    };
    *source =
        (struct lorac_batch_source){.dataset = dataset, .normalize = net->normalize};
    return LORAC_OK;
}

static enum lorac_status check_train_arguments(const struct lorac_net *net, const struct lorac_images *images,
                                               const double *lr, struct lorac_error *error)
{
    if (!net->train)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model is not prepared for training; call lorac_prepare with training set");
    if (images->count != net->options.batch)
        return lorac_error_set(
            error, LORAC_ERROR_ARGUMENT,
            "%zu images were given for a training step; it takes exactly the %zu of the prepared batch", images->count,
            net->options.batch);
    if (lr && !(*lr >= 0 && *lr <= FLT_MAX)) // so that NaN fails
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lr is %g; it must be at least 0 and finite", *lr);
    return LORAC_OK;
}

enum lorac_status lorac_train_batch(struct lorac_net *net, const struct lorac_images *images, const int32_t *labels,
                                    const double *lr, struct lorac_step_result *result, struct lorac_error *error)
{
    if (!net || !images || !labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "lorac_train_batch: net, images and labels must not be NULL");
    struct lorac_dataset dataset;
    struct lorac_batch_source source;
    LORAC_TRY(borrow_images(net, images, labels, &dataset, &source, error));
    LORAC_TRY(check_train_arguments(net, images, lr, error));
    LORAC_TRY(lorac_fill_check(net, &dataset, error));
    struct lorac_fill_batch fill = {.source = &source,
                                    .count = images->count,
                                    .rows = net->program->batch,
                                    .pool = lorac_session_pool(net->session)};
    const struct lorac_net_fill net_fill = {lorac_fill_run, &fill};
    struct lorac_step_result step;
    LORAC_TRY(lorac_net_train_step(net, &net_fill, labels, lr ? *lr : net->options.optimizer.lr, &step, error));
    if (result)
        *result = step;
    return LORAC_OK;
}

enum lorac_status lorac_predict(struct lorac_net *net, const struct lorac_images *images, float *outputs,
                                struct lorac_error *error)
{
    if (!net || !images || !outputs)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_predict: net, images and outputs must not be NULL");
    struct lorac_dataset dataset;
    struct lorac_batch_source source;
    LORAC_TRY(borrow_images(net, images, NULL, &dataset, &source, error));
    const struct lorac_evaluate_request request = {.source = &source, .outputs = outputs};
    return lorac_net_evaluate(net, &request, NULL, error);
}

enum lorac_status lorac_evaluate(struct lorac_net *net, const struct lorac_images *images, const int32_t *labels,
                                 lorac_abort_callback callback, void *context, struct lorac_evaluation *result,
                                 struct lorac_error *error)
{
    if (!net || !images || !labels || !result)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "lorac_evaluate: net, images, labels and result must not be NULL");
    if (images->count == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "there are no images to evaluate");
    struct lorac_dataset dataset;
    struct lorac_batch_source source;
    LORAC_TRY(borrow_images(net, images, labels, &dataset, &source, error));
    const struct lorac_evaluate_request request = {.source = &source, .callback = callback, .context = context};
    return lorac_net_evaluate(net, &request, result, error);
}
