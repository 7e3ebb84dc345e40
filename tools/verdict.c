#include "verdict.h"

#include <stdio.h>

static const char *const words[] = {"trainable", "partly", "not"};

const char *lorac_verdict_word(enum lorac_verdict_kind kind)
{
    return words[kind];
}

// The first convolution that gets no adapter although nobody left it out, and how many there are.
static const struct lorac_conv_row *first_unfit(const struct lorac_inject_plan *plan, size_t *count)
{
    const struct lorac_conv_row *first = NULL;
    *count = 0;
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct lorac_conv_row *row = &plan->rows[i];
        if (row->adapted || row->left_out)
            continue;
        first = first ? first : row;
        ++*count;
    }
    return first;
}

struct lorac_verdict lorac_verdict_of(const struct lorac_inject_plan *plan, const char *reason)
{
    struct lorac_verdict verdict = {.kind = LORAC_VERDICT_NOT};
    size_t unfit;
    for (size_t i = 0; i < plan->row_count; i++)
        verdict.adapted += plan->rows[i].adapted;
    if (reason) {
        snprintf(verdict.text, sizeof verdict.text, "not trainable: %s", reason);
        return verdict;
    }
    const struct lorac_conv_row *row = first_unfit(plan, &unfit);
    verdict.kind = unfit > 0 || !plan->last_layer ? LORAC_VERDICT_PARTLY : LORAC_VERDICT_TRAINABLE;
    int at = snprintf(verdict.text, sizeof verdict.text, "%s: adapters on %zu of %zu convolutions",
                      verdict.kind == LORAC_VERDICT_PARTLY ? "partly trainable" : "trainable", verdict.adapted,
                      plan->row_count);
    size_t used = at > 0 ? (size_t)at : 0;
    if (row)
        at = snprintf(verdict.text + used, sizeof verdict.text - used, "; %zu cannot have one, e.g. '%s': %s", unfit,
                      row->name, row->reason);
    else
        at = 0;
    used += at > 0 ? (size_t)at : 0;
    if (!plan->last_layer && used < sizeof verdict.text)
        snprintf(verdict.text + used, sizeof verdict.text - used, "; no last layer to train: %s",
                 plan->last_reason ? plan->last_reason : "none was found");
    return verdict;
}
