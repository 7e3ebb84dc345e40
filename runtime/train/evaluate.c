#include "fill.h"
#include "proto/finite.h"
#include "loop.h"

#include <math.h>

// The present batch and the sums so far.
struct evaluation {
    struct lorac_net *net;
    const struct lorac_evaluate_request *request;
    struct lorac_fill_batch fill;
    double loss_sum;
    size_t correct, broken;
};

static void score(struct evaluation *evaluation, const float *logits)
{
    const struct lorac_evaluate_request *request = evaluation->request;
    const size_t classes = evaluation->net->classes;
    for (size_t i = 0; i < evaluation->fill.count; i++) {
        if (lorac_fill_is_broken(&evaluation->fill, i))
            continue;
        const int32_t *label = evaluation->fill.source->dataset->labels + lorac_fill_index(&evaluation->fill, i);
        const struct lorac_loss_rows row = {
            .logits = logits + i * classes, .labels = label, .rows = 1, .classes = classes, .batch = 1};
        size_t correct;
        evaluation->loss_sum += lorac_cross_entropy(&row, NULL, &correct, NULL);
        evaluation->correct += correct;
        if (request->class_images)
            request->class_images[*label]++;
        if (request->class_correct)
            request->class_correct[*label] += correct;
    }
}

// Results of the batch, [count, classes], to their place in those of all; what there is no image for is NaN.
static void store(struct evaluation *evaluation, const float *batch, float *all)
{
    const struct lorac_fill_batch *fill = &evaluation->fill;
    const size_t classes = evaluation->net->classes;
    if (!all)
        return;
    float *rows = all + fill->first * classes;
    memcpy(rows, batch, fill->count * classes * sizeof *rows);
    for (size_t i = 0; i < fill->count; i++)
        for (size_t c = 0; c < classes && lorac_fill_is_broken(fill, i); c++)
            rows[i * classes + c] = NAN;
}

static void predict(const struct evaluation *evaluation, const float *logits, struct lorac_prediction *out)
{
    const struct lorac_fill_batch *fill = &evaluation->fill;
    const size_t classes = evaluation->net->classes;
    const int32_t *labels = fill->source->dataset->labels;
    for (size_t i = 0; i < fill->count; i++, logits += classes) {
        out[i] = (struct lorac_prediction){.predicted = -1};
        if (lorac_fill_is_broken(fill, i))
            continue;
        int32_t largest = 0;
        for (size_t c = 1; c < classes; c++)
            largest = logits[c] > logits[largest] ? (int32_t)c : largest;
        struct lorac_loss_rows row = {.logits = logits, .labels = &largest, .rows = 1, .classes = classes, .batch = 1};
        out[i].predicted = largest;
        out[i].confidence = (float)exp(-lorac_cross_entropy(&row, NULL, NULL, NULL));
        if (!labels)
            continue;
        row.labels = labels + lorac_fill_index(fill, i);
        out[i].loss = lorac_cross_entropy(&row, NULL, NULL, NULL);
    }
}

static enum lorac_status run_batch(struct evaluation *evaluation, struct lorac_error *error)
{
    const struct lorac_evaluate_request *request = evaluation->request;
    const struct lorac_fill_batch *fill = &evaluation->fill;
    const size_t classes = evaluation->net->classes;
    const struct lorac_net_fill net_fill = {lorac_fill_run, &evaluation->fill};
    const float *logits, *outputs;
    LORAC_TRY(lorac_fill_take(fill, error));
    LORAC_TRY(lorac_net_forward(evaluation->net, &net_fill, &logits, &outputs, error));
    if (!lorac_values_finite(logits, fill->count * classes))
        return lorac_net_bad_forward(evaluation->net, &net_fill,
                                     fill->source->dataset->first_index + lorac_fill_index(fill, 0), error);
    store(evaluation, logits, request->logits);
    store(evaluation, outputs, request->outputs);
    if (request->predictions)
        predict(evaluation, logits, request->predictions + fill->first);
    for (size_t i = 0; i < fill->count; i++)
        evaluation->broken += lorac_fill_is_broken(fill, i);
    if (fill->source->dataset->labels)
        score(evaluation, logits);
    return LORAC_OK;
}

static enum lorac_status run_all(struct evaluation *evaluation, struct lorac_error *error)
{
    const struct lorac_evaluate_request *request = evaluation->request;
    struct lorac_fill_batch *fill = &evaluation->fill;
    const size_t total = request->images ? request->count : fill->source->dataset->count;
    const struct lorac_loader_pass pass = {.order = request->images, .count = total, .end = total};
    LORAC_TRY(lorac_fill_start(fill->source->dataset, &pass, error));
    for (size_t done = 0; done < total;) {
        fill->first = done;
        fill->count = total - done < fill->rows ? total - done : fill->rows;
        LORAC_TRY(run_batch(evaluation, error));
        done += fill->count;
        if (request->callback && request->callback(request->context, done, total) && done < total)
            return lorac_error_set(error, LORAC_ERROR_ABORTED, "stopped after %zu of %zu images", done, total);
    }
    return LORAC_OK;
}

enum lorac_status lorac_net_evaluate(struct lorac_net *net, const struct lorac_evaluate_request *request,
                                     struct lorac_evaluation *result, struct lorac_error *error)
{
    if (!net->session)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model is not prepared; call lorac_prepare first");
    const struct lorac_dataset *dataset = request->source->dataset;
    LORAC_TRY(lorac_fill_check(net, dataset, error));
    for (size_t c = 0; c < net->classes; c++) {
        if (request->class_images)
            request->class_images[c] = 0;
        if (request->class_correct)
            request->class_correct[c] = 0;
    }
    struct evaluation evaluation = {.net = net, .request = request};
    evaluation.fill.source = request->source;
    evaluation.fill.order = request->images;
    evaluation.fill.rows = net->program->batch;
    evaluation.fill.pool = lorac_session_pool(net->session);
    LORAC_TRY(run_all(&evaluation, error));
    const size_t count = request->images ? request->count : dataset->count, images = count - evaluation.broken;
    if (images == 0 && count > 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "none of the %zu images can be read", count);
    if (result)
        *result = (struct lorac_evaluation){
            .images = images, .correct = evaluation.correct, .loss = evaluation.loss_sum / (double)(images > 0 ? images : 1)};
    return LORAC_OK;
}
