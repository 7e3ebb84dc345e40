#include "best.h"

#include "proto/tensor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool lorac_best_is_better(const struct lorac_best_mark *a, const struct lorac_best_mark *b)
{
    if (b->epoch == 0)
        return true;
    // Shares as cross products: images that cannot be read may leave the counts different. They are below 2^32.
    const uint64_t x = a->correct * b->images, y = b->correct * a->images;
    return x != y ? x > y : a->loss < b->loss;
}

double lorac_best_accuracy(const struct lorac_best_mark *mark)
{
    return mark->images > 0 ? (double)mark->correct / (double)mark->images : 0;
}

enum lorac_status lorac_best_create(struct lorac_best *best, struct lorac_net *net, struct lorac_error *error)
{
    struct lorac_best made = {0};
    LORAC_TRY(lorac_snapshot_init(&made.snapshot, net, LORAC_SNAPSHOT_MODEL, error));
    const size_t count = made.snapshot.value_count;
    made.values = malloc((count > 0 ? count : 1) * sizeof *made.values);
    if (!made.values) {
        lorac_best_clear(&made);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a copy of the %zu values that are trained",
                               count);
    }
    *best = made;
    return LORAC_OK;
}

void lorac_best_clear(struct lorac_best *best)
{
    lorac_snapshot_clear(&best->snapshot);
    free(best->values);
    *best = (struct lorac_best){0};
}

static size_t constant_bytes(const struct lorac_net *net, const char *name)
{
    const Onnx__TensorProto *tensor = lorac_model_constant(net->model, name);
    size_t count = 0;
    return tensor && lorac_tensor_count(tensor, &count, NULL) == LORAC_OK ? count * sizeof(float) : 0;
}

size_t lorac_best_bytes(const struct lorac_net *net)
{
    const Onnx__GraphProto *graph = net->model->proto->graph;
    size_t bytes = 0;
    for (size_t i = 0; i < net->meta.trainable_count; i++)
        bytes += constant_bytes(net, net->meta.trainable[i]);
    for (size_t i = 0; net->meta.bn == LORAC_BN_TRAIN && i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (strcmp(node->op_type, "BatchNormalization") == 0 && node->n_input == 5)
            bytes += constant_bytes(net, node->input[3]) + constant_bytes(net, node->input[4]);
    }
    return bytes;
}

bool lorac_best_offer(struct lorac_best *best, const struct lorac_best_mark *mark)
{
    if (!lorac_best_is_better(mark, &best->mark))
        return false;
    best->mark = *mark;
    if (best->values)
        lorac_snapshot_copy_out(&best->snapshot, best->values);
    return true;
}

void lorac_best_restore(const struct lorac_best *best)
{
    assert(best->mark.epoch > 0 && best->values);
    lorac_snapshot_copy_in(&best->snapshot, best->values);
}
