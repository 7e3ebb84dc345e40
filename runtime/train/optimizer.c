// The optimisers there are, and what their options may be. The state of a run is in train_state.c.
#include "optimizer.h"

#include "optim/optimizer_list.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define OPTIMIZER_ADDRESS(name) &name,
static const struct lorac_optimizer *const optimizers[] = {LORAC_OPTIMIZER_LIST(OPTIMIZER_ADDRESS)};
#undef OPTIMIZER_ADDRESS

enum { OPTIMIZER_COUNT = sizeof optimizers / sizeof optimizers[0] };

const struct lorac_optimizer *const *lorac_optimizer_all(size_t *count)
{
    *count = OPTIMIZER_COUNT;
    return optimizers;
}

const struct lorac_optimizer *lorac_optimizer_find(enum lorac_optimizer_kind kind)
{
    for (size_t i = 0; i < OPTIMIZER_COUNT; i++)
        if (optimizers[i]->kind == kind)
            return optimizers[i];
    return NULL;
}

const struct lorac_optimizer *lorac_optimizer_find_name(const char *name)
{
    for (size_t i = 0; i < OPTIMIZER_COUNT; i++)
        if (strcmp(optimizers[i]->name, name) == 0)
            return optimizers[i];
    return NULL;
}

struct lorac_optimizer_options lorac_optimizer_options_default(void)
{
    return (struct lorac_optimizer_options){
        .kind = LORAC_SGD,
        .lr = 0.005,
        .momentum = 0.9,
        .weight_decay = 5e-4,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .clip_norm = 5,
    };
}

// What a number may be: least <= value <= most, or value < most where [below]. Values are used as float, so float's
// range is the limit where nothing else is. (A learning rate of 0 is of use: BatchNorm's statistics alone then move.)
static const struct rule {
    const char *name;
    size_t offset;
    int kind; // the optimiser it is for; -1: all
    double least, most;
    bool below;
    const char *text;
} rules[] = {
#define FIELD(field) #field, offsetof(struct lorac_optimizer_options, field)
    {FIELD(lr), -1, 0, FLT_MAX, false, "at least 0 and finite"},
    {FIELD(momentum), LORAC_SGD, 0, 1, true, "at least 0 and below 1"},
    {FIELD(weight_decay), -1, 0, FLT_MAX, false, "at least 0 and finite"},
    {FIELD(beta1), LORAC_ADAMW, 0, 1, true, "at least 0 and below 1"},
    {FIELD(beta2), LORAC_ADAMW, 0, 1, true, "at least 0 and below 1"},
    {FIELD(eps), LORAC_ADAMW, FLT_MIN, FLT_MAX, false, "above 0 (at least 1.2e-38) and finite"},
    {FIELD(clip_norm), -1, 0, DBL_MAX, false, "at least 0 and finite; 0 turns clipping off"},
    {FIELD(label_smoothing), -1, 0, 1, false, "from 0 to 1"},
#undef FIELD
};

enum lorac_status lorac_optimizer_options_check(const struct lorac_optimizer_options *options,
                                                struct lorac_error *error)
{
    const struct lorac_optimizer *optimizer = lorac_optimizer_find(options->kind);
    if (!optimizer)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "optimizer kind is %d; it must be LORAC_SGD or LORAC_ADAMW",
                               (int)options->kind);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        double value;
        memcpy(&value, (const char *)options + rule->offset, sizeof value);
        if (rule->kind != -1 && rule->kind != (int)options->kind)
            continue;
        // Written so that NaN fails.
        if (!(value >= rule->least && (rule->below ? value < rule->most : value <= rule->most)))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "optimizer option '%s' is %g; it must be %s",
                                   rule->name, value, rule->text);
    }
    if (options->nesterov && options->kind != LORAC_SGD)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "optimizer option 'nesterov' is set, but %s has none; it "
                               "belongs to sgd",
                               optimizer->name);
    if (options->nesterov && options->momentum == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "optimizer option 'nesterov' is set, but 'momentum' is 0; it must be above 0");
    return LORAC_OK;
}
