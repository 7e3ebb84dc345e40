#include "adapters.h"

#include "proto/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t count_copies(struct lorac_model *model, const struct lorac_meta *meta,
                            const struct lorac_inject_plan *plan)
{
    int64_t total = 0;
    for (size_t i = 0; !meta->injected && i < plan->trained_count; i++)
        total += plan->trained[i].copy_reason ? plan->trained[i].count : 0;
    for (size_t i = 0; meta->injected && i < meta->copy_count; i++) {
        size_t count = 0;
        const Onnx__TensorProto *tensor = lorac_model_initializer(model, meta->copies[i].copy);
        for (size_t k = 0; tensor && k < meta->trainable_count; k++) // those of moved statistics are not trained
            if (strcmp(meta->trainable[k], meta->copies[i].copy) == 0 &&
                lorac_tensor_count(tensor, &count, NULL) == LORAC_OK)
                total += (int64_t)count;
    }
    return total;
}

double lorac_split_percent(const struct lorac_trainable_split *split, const struct lorac_inject_plan *plan)
{
    int64_t all = plan->parameters + split->copies;
    return all > 0 ? 100 * (double)split->total / (double)all : 0;
}

void lorac_adapters_split(struct lorac_model *model, const struct lorac_meta *meta,
                          const struct lorac_inject_plan *plan, struct lorac_trainable_split *out)
{
    struct lorac_trainable_split split = {.total = plan->trainable_parameters,
                                          .copies = count_copies(model, meta, plan)};
    int64_t *const places[] = {[LORAC_BASE_OTHER] = &split.others,
                               [LORAC_BASE_FIRST_WEIGHT] = &split.first_weight,
                               [LORAC_BASE_LAST_WEIGHT] = &split.last_weight,
                               [LORAC_BASE_LAST_BIAS] = &split.last_bias};
    for (size_t i = 0; i < plan->row_count; i++)
        split.adapters += plan->rows[i].trained_parameters;
    for (size_t i = 0; i < plan->trained_count; i++) {
        *places[plan->trained[i].role] += plan->trained[i].count;
        split.has_first |= plan->trained[i].role == LORAC_BASE_FIRST_WEIGHT;
        split.has_last |= plan->trained[i].role == LORAC_BASE_LAST_WEIGHT;
    }
    *out = split;
}

const char *lorac_split_text(const struct lorac_trainable_split *split, char text[LORAC_SPLIT_TEXT])
{
    const struct {
        const char *name;
        int64_t count;
    } parts[] = {{"adapters", split->adapters},
                 {"first weight", split->first_weight},
                 {"last weight", split->last_weight},
                 {"last bias", split->last_bias},
                 {"others", split->others}};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].count == 0)
            continue;
        int written = snprintf(text + used, LORAC_SPLIT_TEXT - used, "%s%s %" PRId64, used ? ", " : "", parts[i].name,
                               parts[i].count);
        if (written < 0 || (size_t)written >= LORAC_SPLIT_TEXT - used)
            break;
        used += (size_t)written;
    }
    return used ? text : strcpy(text, "none");
}
