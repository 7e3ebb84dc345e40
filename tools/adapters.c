#include "adapters.h"

#include "proto/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

void lorac_adapters_split(struct lorac_model *model, const struct lorac_inject_plan *plan,
                          struct lorac_trainable_split *out)
{
    struct lorac_trainable_split split = {.total = plan->trainable_parameters};
    const char *first = NULL;
    for (size_t i = 0; i < plan->row_count; i++) {
        split.adapters += plan->rows[i].adapter_parameters;
        if (plan->rows[i].first)
            first = lorac_node_input(plan->rows[i].node, 1);
    }
    for (size_t i = 0; i < plan->trainable_count; i++) {
        const Onnx__TensorProto *tensor = lorac_model_constant(model, plan->trainable[i]);
        size_t count = 0;
        if (!tensor || lorac_tensor_count(tensor, &count, NULL) != LORAC_OK)
            continue;
        if (same(plan->trainable[i], plan->last_weight)) {
            split.last_weight += (int64_t)count;
            split.has_last = true;
        } else if (same(plan->trainable[i], plan->last_bias)) {
            split.last_bias += (int64_t)count;
        } else if (same(plan->trainable[i], first)) {
            split.first_weight += (int64_t)count;
            split.has_first = true;
        } else {
            split.others += (int64_t)count;
        }
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
