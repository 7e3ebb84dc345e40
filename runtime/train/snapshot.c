#include "snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Parts of the model, then those of the optimiser: [parts] NULL counts alone.
static size_t list_parts(const struct lorac_net *net, enum lorac_snapshot_scope scope,
                         struct lorac_snapshot_part *parts)
{
    const struct lorac_program *program = net->program;
    const size_t arrays = scope == LORAC_SNAPSHOT_RUN ? lorac_train_state_array_count(net->train) : 0;
    size_t count = 0;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->trainable && !param->updated)
            continue;
        if (parts)
            parts[count] = (struct lorac_snapshot_part){
                .kind = param->trainable ? LORAC_PART_TRAINED : LORAC_PART_STATISTIC,
                .name = param->name,
                .rank = param->rank,
                .dims = param->dims,
                .values = param->own,
                .count = param->count};
        count++;
    }
    size_t tensor = 0; // among the trainable
    for (size_t i = 0; arrays > 0 && i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->trainable)
            continue;
        for (size_t k = 0; k < arrays; k++, count++)
            if (parts)
                parts[count] = (struct lorac_snapshot_part){.kind = LORAC_PART_OPTIMIZER,
                                                            .array = k,
                                                            .name = param->name,
                                                            .rank = param->rank,
                                                            .dims = param->dims,
                                                            .values = lorac_train_state_array(net->train, tensor, k),
                                                            .count = param->count};
        tensor++;
    }
    return count;
}

enum lorac_status lorac_snapshot_init(struct lorac_snapshot *snapshot, struct lorac_net *net,
                                      enum lorac_snapshot_scope scope, struct lorac_error *error)
{
    assert(net->session && net->train);
    struct lorac_snapshot made = {.net = net, .part_count = list_parts(net, scope, NULL)};
    made.parts = calloc(made.part_count > 0 ? made.part_count : 1, sizeof *made.parts);
    if (!made.parts)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the list of %zu trained tensors",
                               made.part_count);
    list_parts(net, scope, made.parts);
    for (size_t i = 0; i < made.part_count; i++)
        made.value_count += made.parts[i].count; // they are in memory: no overflow
    *snapshot = made;
    return LORAC_OK;
}

void lorac_snapshot_clear(struct lorac_snapshot *snapshot)
{
    free(snapshot->parts);
    *snapshot = (struct lorac_snapshot){0};
}

void lorac_snapshot_copy_out(const struct lorac_snapshot *snapshot, float *values)
{
    for (size_t i = 0; i < snapshot->part_count; i++) {
        const struct lorac_snapshot_part *part = &snapshot->parts[i];
        memcpy(values, part->values, part->count * sizeof *values);
        values += part->count;
    }
}

void lorac_snapshot_copy_in(const struct lorac_snapshot *snapshot, const float *values)
{
    for (size_t i = 0; i < snapshot->part_count; i++) {
        const struct lorac_snapshot_part *part = &snapshot->parts[i];
        memcpy(part->values, values, part->count * sizeof *values);
        values += part->count;
    }
    lorac_session_params_changed(snapshot->net->session);
}
