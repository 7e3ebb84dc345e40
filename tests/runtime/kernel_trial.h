// A row of kernel_rows.h made ready: its model, its input, and the oracle for both.
#ifndef LORAC_TEST_KERNEL_TRIAL_H
#define LORAC_TEST_KERNEL_TRIAL_H

#include "kernel_rows.h"
#include "proto/rng.h"
#include "ref/graph.h"
#include "ref/ref.h"
#include "runtime/lorac.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct trial {
    const struct kernel_row *row;
    char text[1024];
    struct graph graph;
    struct ref_tensor x;       // the input, exactly float32
    struct ref_tensor weights; // of the loss: sum(weights * logits)
    const char *logits;        // the value that the loss is computed on
    struct ref_run *run;       // as in training
    enum lorac_form_policy policy;
    size_t packed_limit;
    size_t most_threads; // training runs with 1 to so many
};

static void compose(struct trial *trial, const char *text, const int64_t *dims, const char *tail)
{
    int64_t channels = dims[1];
    if (text[0] == '!')
        snprintf(trial->text, sizeof trial->text, "%s%s", text + 1, tail);
    else
        snprintf(trial->text, sizeof trial->text, "a=Conv(x, lead[%" PRId64 ",%" PRId64 ",1,1]*=); %s%s%s", channels,
                 channels, text[0] >= 'A' && text[0] <= 'Z' ? "y=" : "", text, tail);
}

static struct graph build(const struct trial *trial, const int64_t *dims, int64_t opset, unsigned flags)
{
    struct graph_spec spec = {.text = trial->text, .opset = opset, .seed = 7};
    memcpy(spec.dims, dims, sizeof spec.dims);
    spec.bn = flags & ROW_BN_TRAIN ? LORAC_BN_TRAIN : LORAC_BN_FROZEN;
    return graph_build(&spec);
}

// A shuffled grid in -2 .. 2 that leaves out 0 by part of a step: no ties for MaxPool and no kinks for Relu within the
// reach of the differences.
static struct ref_tensor grid_image(const int64_t *dims, bool ties)
{
    struct ref_tensor x = ref_make(4, dims);
    size_t count = ref_count(&x);
    struct lorac_rng rng;
    lorac_rng_init(&rng, 3, "grid", count, 0);
    for (size_t i = 0; i < count; i++)
        x.data[i] = (double)(float)(((double)i + (count % 2 ? 0.25 : 0.5)) / (double)count * 4 - 2);
    for (size_t i = 0; ties && i < count; i++)
        x.data[i] = floor(x.data[i]);
    for (size_t i = count; i-- > 1;) {
        size_t k = lorac_rng_below(&rng, i + 1);
        double swapped = x.data[i];
        x.data[i] = x.data[k];
        x.data[k] = swapped;
    }
    return x;
}

static struct ref_run *start_run(const struct trial *trial, bool bn_train)
{
    struct ref_run *run = ref_run_create(trial->graph.model, bn_train);
    ref_run_set(run, "x", ref_copy(&trial->x));
    return run;
}

static void begin(struct trial *trial, const struct kernel_row *row)
{
    trial->row = row;
    trial->x = grid_image(row->dims, row->flags & ROW_TIES);
    compose(trial, row->text, row->dims, "");
    for (int flattened = 0;; flattened = 1) { // the runtime gives one row per image: flatten what is an image still
        trial->graph = build(trial, row->dims, row->opset, row->flags);
        trial->run = start_run(trial, row->flags & ROW_BN_TRAIN);
        const struct ref_tensor *y = ref_run_forward(trial->run);
        if (flattened || y->rank == 2 || y->dims[2] * y->dims[3] == 1)
            break;
        ref_run_free(trial->run);
        graph_free(&trial->graph);
        compose(trial, row->text, row->dims, "; flat=Flatten(y)");
    }
    const Onnx__GraphProto *graph = trial->graph.model->proto->graph;
    const Onnx__NodeProto *last = graph->node[graph->n_node - 1];
    for (size_t i = graph->n_node; row->flags & ROW_LEFT_OUT && !strstr(last->op_type, "Softmax");)
        last = graph->node[--i];
    trial->logits = strstr(last->op_type, "Softmax") ? last->input[0] : last->output[0];
    const struct ref_tensor *logits = ref_run_value(trial->run, trial->logits);
    trial->weights = ref_make(logits->rank, logits->dims);
    struct lorac_rng rng;
    lorac_rng_init(&rng, 5, "loss", 0, 0);
    for (size_t i = 0; i < ref_count(&trial->weights); i++)
        trial->weights.data[i] = (double)(float)(lorac_rng_uniform(&rng) * 2 - 1);
}

static void end(struct trial *trial)
{
    ref_run_free(trial->run);
    ref_free(&trial->x);
    ref_free(&trial->weights);
    graph_free(&trial->graph);
}

#endif
