// Running a prepared net: one step, one forward, and what lorac.h makes of them.
#include "net.h"

#include "train/fill.h"
#include "train/loop.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// ---- one batch

struct loss_context {
    const int32_t *labels;
    size_t rows, classes;
    double smoothing;
};

static void loss_gradient(void *context, const float *logits, float *gradient)
{
    const struct loss_context *loss = context;
    lorac_cross_entropy(logits, loss->labels, loss->rows, loss->classes, loss->smoothing, gradient, NULL, NULL);
}

// The name of what was not finite first when the batch is run again, forward alone where [loss] is NULL. A text that
// fits a sentence in any case: the memory for the replay may be missing.
static const char *find_bad(struct lorac_net *net, const struct lorac_net_fill *fill, struct loss_context *loss)
{
    const struct lorac_value *input = &net->program->values[net->program->input];
    float *copy = malloc(lorac_value_count(input) * sizeof *copy);
    if (!copy)
        return "(no memory to find which layer)";
    fill->run(fill->context, copy);
    const char *name = NULL;
    enum lorac_status status =
        lorac_session_find_bad(net->session, copy, loss ? loss_gradient : NULL, loss, &name, NULL);
    free(copy);
    return status == LORAC_OK && name ? name : "(running it again found no layer)";
}

static enum lorac_status bad_step(struct lorac_net *net, const struct lorac_net_fill *fill, struct loss_context *loss,
                                  const char *what, double lr, struct lorac_error *error)
{
    return lorac_error_set(
        error, LORAC_ERROR_NOT_FINITE,
        "%s is NaN or infinite; the first value that is: %s; the parameters from before this step are "
        "kept; try a smaller learning rate (it is %g) or look at the images",
        what, find_bad(net, fill, loss), lr);
}

static void fill_input(const struct lorac_net *net, const struct lorac_net_fill *fill)
{
    int64_t begin = lorac_timing_begin(net->timing);
    fill->run(fill->context, lorac_session_input(net->session));
    lorac_timing_end(net->timing, LORAC_SPAN_INPUT, NULL, begin);
}

enum lorac_status lorac_net_train_step(struct lorac_net *net, const struct lorac_net_fill *fill, const int32_t *labels,
                                       double lr, struct lorac_step_result *result, struct lorac_error *error)
{
    assert(net->train);
    struct lorac_session *session = net->session;
    struct loss_context loss = {labels, net->options.batch, net->classes, net->options.optimizer.label_smoothing};
    fill_input(net, fill);
    LORAC_TRY(lorac_session_forward(session, true, error));
    struct lorac_step_result step;
    int64_t begin = lorac_timing_begin(net->timing);
    step.loss = lorac_cross_entropy(lorac_session_logits(session), labels, loss.rows, loss.classes, loss.smoothing,
                                    lorac_session_logits_gradient(session), &step.correct, NULL);
    lorac_timing_end(net->timing, LORAC_SPAN_LOSS, NULL, begin);
    if (!isfinite(step.loss))
        return bad_step(net, fill, &loss, "the loss", lr, error);
    lorac_session_backward(session);
    const char *bad;
    begin = lorac_timing_begin(net->timing);
    step.gradient_norm = lorac_gradient_norm(session, &bad);
    lorac_timing_end(net->timing, LORAC_SPAN_NORM, NULL, begin);
    if (bad) {
        char what[256];
        snprintf(what, sizeof what, "the gradient of '%.200s'", bad);
        return bad_step(net, fill, &loss, what, lr, error);
    }
    bad = lorac_session_bad_commit(session);
    if (bad)
        return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                               "the running statistics of node '%s' would become NaN or infinite; the parameters "
                               "from before this step are kept; try a smaller learning rate (it is %g) or look at the "
                               "images",
                               bad, lr);
    begin = lorac_timing_begin(net->timing);
    LORAC_TRY(lorac_train_state_update(net->train, session, lr, step.gradient_norm, error));
    lorac_timing_end(net->timing, LORAC_SPAN_UPDATE, NULL, begin);
    begin = lorac_timing_begin(net->timing);
    lorac_session_commit(session);
    lorac_timing_end(net->timing, LORAC_SPAN_COMMIT, NULL, begin);
    *result = step;
    return LORAC_OK;
}

enum lorac_status lorac_net_forward(struct lorac_net *net, const struct lorac_net_fill *fill, const float **logits,
                                    const float **outputs, struct lorac_error *error)
{
    fill_input(net, fill);
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
        first_image, find_bad(net, fill, NULL));
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
        (struct lorac_batch_source){.dataset = dataset, .normalize = net->normalize, .augment = LORAC_AUGMENT_NONE};
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
                                    .batch = net->options.batch,
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
