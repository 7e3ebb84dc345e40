// Optimisers against hand-written double steps, for every flag; then what stands around them in a training run: norm,
// clipping, decay of tensors of one dimension, and the way back from a bad step.
#include "check.h"
#include "tiny_model.h"

#include "proto/rng.h"
#include "runtime/session.h"
#include "runtime/train/optimizer.h"

#include <float.h>

enum { COUNT = 23, STEPS = 7 };

// float32 against double over STEPS updates of numbers near 1: a few roundings of 6e-8 each step.
static const double STEP_TOLERANCE = 5e-6;

static const struct rule_case {
    const char *name;
    struct lorac_optimizer_options options;
    double factor; // of clipping
    bool decay;
} rule_cases[] = {
    {"sgd plain", {.kind = LORAC_SGD, .lr = 0.1}, 1, true},
    {"sgd momentum", {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9}, 1, true},
    {"sgd decay", {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.05}, 1, true},
    {"sgd decay, not here", {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.05}, 1, false},
    {"sgd nesterov", {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.05}, 1, true},
    {"sgd clipped", {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.5, .weight_decay = 0.05}, 0.25, true},
    {"adamw", {.kind = LORAC_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0}, 1, true},
    {"adamw decay",
     {.kind = LORAC_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.5},
     1,
     true},
    {"adamw decay, not here",
     {.kind = LORAC_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.5},
     1,
     false},
    {"adamw betas",
     {.kind = LORAC_ADAMW, .lr = 0.02, .beta1 = 0.3, .beta2 = 0.7, .eps = 1e-2, .weight_decay = 0.1},
     1,
     true},
    {"adamw no betas",
     {.kind = LORAC_ADAMW, .lr = 0.02, .beta1 = 0, .beta2 = 0, .eps = 1e-3, .weight_decay = 0.1},
     1,
     true},
    {"adamw clipped",
     {.kind = LORAC_ADAMW, .lr = 0.02, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1},
     0.125,
     true},
};

static float gradient_of(uint64_t step, size_t i)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, 3, "gradient", step, i);
    return (float)lorac_rng_normal(&rng);
}

// The learning rate changes from step to step, as under a schedule.
static double lr_of(const struct lorac_optimizer_options *options, uint64_t step)
{
    return options->lr / (double)step;
}

// torch.optim.SGD and AdamW as their documentation writes them, one number, in double. state[2] starts as zeros.
static double hand_step(const struct rule_case *rule, double p, double g, double *state, uint64_t step)
{
    const struct lorac_optimizer_options *o = &rule->options;
    const double lr = lr_of(o, step), decay = rule->decay ? o->weight_decay : 0;
    g *= rule->factor;
    if (o->kind == LORAC_SGD) {
        g = g + decay * p;
        if (o->momentum != 0) {
            state[0] = step == 1 ? g : o->momentum * state[0] + g;
            g = o->nesterov ? g + o->momentum * state[0] : state[0];
        }
        return p - lr * g;
    }
    p = p - lr * decay * p;
    state[0] = o->beta1 * state[0] + (1 - o->beta1) * g;
    state[1] = o->beta2 * state[1] + (1 - o->beta2) * g * g;
    double m = state[0] / (1 - pow(o->beta1, (double)step)), v = state[1] / (1 - pow(o->beta2, (double)step));
    return p - lr * m / (sqrt(v) + o->eps);
}

struct numbers {
    float value[COUNT], gradient[COUNT], state[LORAC_OPTIMIZER_MAX_STATE][COUNT];
};

static void start(struct numbers *numbers)
{
    memset(numbers, 0, sizeof *numbers);
    for (size_t i = 0; i < COUNT; i++)
        numbers->value[i] = gradient_of(0, i);
}

// One update in the ranges [0, cut) and [cut, COUNT), the later one first.
static void take_step(const struct rule_case *rule, struct numbers *numbers, uint64_t step, size_t cut)
{
    for (size_t i = 0; i < COUNT; i++)
        numbers->gradient[i] = gradient_of(step, i);
    const struct lorac_update update = {
        .value = numbers->value,
        .gradient = numbers->gradient,
        .state = {numbers->state[0], numbers->state[1]},
        .count = COUNT,
        .gradient_factor = (float)rule->factor,
        .decay = rule->decay,
        .step = step,
        .lr = lr_of(&rule->options, step),
    };
    const struct lorac_optimizer *optimizer = lorac_optimizer_find(rule->options.kind);
    optimizer->update(&rule->options, &update, cut, COUNT);
    optimizer->update(&rule->options, &update, 0, cut);
}

static void test_rule(const struct rule_case *rule)
{
    struct numbers numbers, resumed, other_cut;
    double value[COUNT], state[COUNT][2] = {{0}};
    start(&numbers);
    start(&other_cut);
    for (size_t i = 0; i < COUNT; i++)
        value[i] = (double)numbers.value[i];
    for (uint64_t step = 1; step <= STEPS; step++) {
        if (step == STEPS / 2)
            resumed = numbers; // state saved here and restored below gives the same next steps
        take_step(rule, &numbers, step, 7);
        take_step(rule, &other_cut, step, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            value[i] = hand_step(rule, value[i], (double)gradient_of(step, i), state[i], step);
            CHECKF(fabs((double)numbers.value[i] - value[i]) <= STEP_TOLERANCE,
                   "%s, step %u, element %zu: %.9g, by hand "
                   "%.9g",
                   rule->name, (unsigned)step, i, (double)numbers.value[i], value[i]);
        }
    }
    CHECKF(memcmp(numbers.value, other_cut.value, sizeof numbers.value) == 0, "%s: ranges change the bits", rule->name);
    for (uint64_t step = STEPS / 2; step <= STEPS; step++)
        take_step(rule, &resumed, step, 7);
    CHECKF(memcmp(&numbers, &resumed, sizeof numbers) == 0, "%s: a restored state goes another way", rule->name);
}

// ---- registry and options

static void test_registry(void)
{
    size_t count;
    const struct lorac_optimizer *const *all = lorac_optimizer_all(&count);
    CHECK(count == 2);
    for (size_t i = 0; i < count; i++) {
        CHECK(lorac_optimizer_find(all[i]->kind) == all[i]);
        CHECK(lorac_optimizer_find_name(all[i]->name) == all[i]);
        CHECK(all[i]->state_count <= LORAC_OPTIMIZER_MAX_STATE);
    }
    CHECK(lorac_optimizer_find_name("adam") == NULL);
    CHECK(lorac_optimizer_find((enum lorac_optimizer_kind)7) == NULL);
}

static struct lorac_optimizer_options with(size_t offset, double value, enum lorac_optimizer_kind kind)
{
    struct lorac_optimizer_options options = lorac_optimizer_options_default();
    options.kind = kind;
    memcpy((char *)&options + offset, &value, sizeof value);
    return options;
}

static const struct option_case {
    const char *field;
    size_t offset;
    double value;
    bool sgd, adamw; // taken
} option_cases[] = {
#define OPTION(field) #field, offsetof(struct lorac_optimizer_options, field)
    {OPTION(lr), 0, true, true},
    {OPTION(lr), -1e-9, false, false},
    {OPTION(lr), 1e39, false, false},
    {OPTION(lr), (double)NAN, false, false},
    {OPTION(momentum), 0, true, true},
    {OPTION(momentum), 1, false, true},
    {OPTION(momentum), -0.1, false, true},
    {OPTION(weight_decay), 0, true, true},
    {OPTION(weight_decay), -1, false, false},
    {OPTION(weight_decay), (double)INFINITY, false, false},
    {OPTION(beta1), 0, true, true},
    {OPTION(beta1), 1, true, false},
    {OPTION(beta2), -0.5, true, false},
    {OPTION(beta2), (double)NAN, true, false},
    {OPTION(eps), 0, true, false},
    {OPTION(eps), 1e-60, true, false}, // a float zero
    {OPTION(clip_norm), 0, true, true},
    {OPTION(clip_norm), -1, false, false},
    {OPTION(label_smoothing), 1, true, true},
    {OPTION(label_smoothing), 1.001, false, false},
    {OPTION(label_smoothing), -0.001, false, false},
#undef OPTION
};

static void test_options(void)
{
    struct lorac_error error = {0};
    struct lorac_optimizer_options defaults = lorac_optimizer_options_default();
    CHECK_OK(lorac_optimizer_options_check(&defaults, &error), error);
    for (size_t i = 0; i < sizeof option_cases / sizeof option_cases[0]; i++)
        for (int kind = LORAC_SGD; kind <= LORAC_ADAMW; kind++) {
            const struct option_case *row = &option_cases[i];
            struct lorac_optimizer_options options = with(row->offset, row->value, (enum lorac_optimizer_kind)kind);
            enum lorac_status status = lorac_optimizer_options_check(&options, &error);
            bool taken = kind == LORAC_SGD ? row->sgd : row->adamw;
            CHECKF(status == (taken ? LORAC_OK : LORAC_ERROR_ARGUMENT), "%s = %g, kind %d: status %d", row->field,
                   row->value, kind, (int)status);
            CHECKF(taken || strstr(error.message, row->field), "%s: message is \"%s\"", row->field, error.message);
        }
    struct lorac_optimizer_options options = defaults;
    options.nesterov = true;
    CHECK(lorac_optimizer_options_check(&options, &error) == LORAC_OK);
    options.momentum = 0;
    CHECK(lorac_optimizer_options_check(&options, &error) == LORAC_ERROR_ARGUMENT);
    options = defaults;
    options.kind = LORAC_ADAMW;
    options.nesterov = true;
    CHECK(lorac_optimizer_options_check(&options, &error) == LORAC_ERROR_ARGUMENT);
    options.kind = (enum lorac_optimizer_kind)9;
    CHECK(lorac_optimizer_options_check(&options, &error) == LORAC_ERROR_ARGUMENT);
}

// ---- a run on a real session, with gradients set by hand

static void set_gradients(struct lorac_program *program, uint64_t step)
{
    for (size_t p = 0; p < program->param_count; p++)
        if (program->params[p].trainable)
            for (size_t i = 0; i < program->params[p].count; i++)
                program->params[p].gradient[i] = gradient_of(step * 100 + p, i);
}

static double hand_norm(const struct lorac_program *program)
{
    double sum = 0;
    for (size_t p = 0; p < program->param_count; p++)
        if (program->params[p].trainable)
            for (size_t i = 0; i < program->params[p].count; i++)
                sum += (double)program->params[p].gradient[i] * (double)program->params[p].gradient[i];
    return sqrt(sum);
}

// Every trainable number in the program's order, malloc'ed.
static float *copy_values(const struct lorac_program *program, size_t *count)
{
    *count = 0;
    for (size_t p = 0; p < program->param_count; p++)
        *count += program->params[p].trainable ? program->params[p].count : 0;
    float *values = malloc(*count * sizeof *values), *next = values;
    REQUIRE(values != NULL && *count > 0);
    for (size_t p = 0; p < program->param_count; p++)
        if (program->params[p].trainable) {
            memcpy(next, program->params[p].data, program->params[p].count * sizeof *next);
            next += program->params[p].count;
        }
    return values;
}

static const struct run_case {
    const char *name;
    double clip_norm;
    bool decay_all;
} run_cases[] = {
    {"no clipping", 0, false},
    {"clipping far above", 1e6, false},
    {"clipping", 0.5, false},
    {"decay of all", 0.5, true},
};

static void test_update(const struct run_case *row)
{
    struct lorac_error error = {0};
    struct tiny_session tiny;
    tiny_session_open(&tiny, &(struct tiny_options){0});
    struct lorac_program *program = lorac_session_program(tiny.session);
    struct rule_case rule = {.options = {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9, .weight_decay = 0.2}};
    rule.options.clip_norm = row->clip_norm;
    rule.options.decay_all = row->decay_all;
    struct lorac_train_state *train = NULL;
    REQUIRE(lorac_train_state_create(tiny.session, &rule.options, &train, &error) == LORAC_OK);
    size_t count;
    float *values = copy_values(program, &count);
    CHECK(lorac_train_state_bytes(program, &rule.options) == 2 * count * sizeof(float));
    double *expected = malloc(count * sizeof *expected), (*state)[2] = calloc(count, sizeof *state);
    REQUIRE(expected != NULL && state != NULL);
    for (size_t i = 0; i < count; i++)
        expected[i] = (double)values[i];
    size_t flat = 0;
    for (uint64_t step = 1; step <= 3; step++) {
        set_gradients(program, step);
        const char *bad = "";
        double norm = lorac_gradient_norm(tiny.session, &bad);
        CHECK(bad == NULL);
        CHECK(fabs(norm - hand_norm(program)) <= 1e-12 * norm);
        rule.factor = row->clip_norm > 0 ? fmin(1, row->clip_norm / (norm + 1e-6)) : 1;
        flat = 0;
        CHECK_OK(lorac_train_state_update(train, tiny.session, lr_of(&rule.options, step), norm, &error), error);
        for (size_t p = 0; p < program->param_count; p++)
            for (size_t i = 0; program->params[p].trainable && i < program->params[p].count; i++, flat++) {
                const struct lorac_param *param = &program->params[p];
                rule.decay = row->decay_all || param->rank > 1;
                expected[flat] = hand_step(&rule, expected[flat], (double)param->gradient[i], state[flat], step);
                CHECKF(fabs((double)param->data[i] - expected[flat]) <= STEP_TOLERANCE,
                       "%s, step %u, '%s'[%zu]: %.9g, by hand %.9g", row->name, (unsigned)step, param->name, i,
                       (double)param->data[i], expected[flat]);
            }
    }
    CHECK(flat == count);
    free(values);
    free(expected);
    free(state);
    lorac_train_state_free(train);
    tiny_session_close(&tiny);
}

static struct lorac_param *last_trainable(struct lorac_program *program)
{
    for (size_t p = program->param_count; p > 0; p--)
        if (program->params[p - 1].trainable)
            return &program->params[p - 1];
    return NULL;
}

// A gradient that is not finite is named; an update that makes a parameter infinite takes all of them back, and the
// next step is a first step.
static void test_bad_step(void)
{
    struct lorac_error error = {0};
    struct tiny_session tiny;
    tiny_session_open(&tiny, &(struct tiny_options){0});
    struct lorac_program *program = lorac_session_program(tiny.session);
    struct lorac_param *last = last_trainable(program);
    struct rule_case rule = {.options = {.kind = LORAC_SGD, .lr = 0.1, .momentum = 0.9}, .factor = 1};
    struct lorac_train_state *train = NULL;
    REQUIRE(lorac_train_state_create(tiny.session, &rule.options, &train, &error) == LORAC_OK);
    const char *bad = NULL;
    set_gradients(program, 1);
    last->gradient[last->count - 1] = NAN;
    CHECK(isnan(lorac_gradient_norm(tiny.session, &bad)) && bad && strcmp(bad, last->name) == 0);
    last->gradient[last->count - 1] = -INFINITY;
    CHECK(!isfinite(lorac_gradient_norm(tiny.session, &bad)) && bad && strcmp(bad, last->name) == 0);

    set_gradients(program, 1);
    CHECK_OK(lorac_train_state_update(train, tiny.session, 0.1, 1, &error), error);
    size_t count;
    float *before = copy_values(program, &count);
    last->gradient[0] = FLT_MAX; // finite, but not so times 10
    CHECK(isfinite(lorac_gradient_norm(tiny.session, &bad)) && bad == NULL);
    CHECK(lorac_train_state_update(train, tiny.session, 10, 1, &error) == LORAC_ERROR_NOT_FINITE);
    CHECKF(strstr(error.message, last->name) != NULL, "message is \"%s\"", error.message);
    float *after = copy_values(program, &count);
    CHECK(memcmp(before, after, count * sizeof *after) == 0);

    set_gradients(program, 2);
    const double start_value = (double)last->data[0], slope = (double)last->gradient[0];
    CHECK_OK(lorac_train_state_update(train, tiny.session, 0.1, 1, &error), error);
    CHECK(fabs((double)last->data[0] - (start_value - 0.1 * slope)) <= STEP_TOLERANCE);
    free(before);
    free(after);
    lorac_train_state_free(train);
    tiny_session_close(&tiny);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rule_cases / sizeof rule_cases[0]; i++)
        test_rule(&rule_cases[i]);
    test_registry();
    test_options();
    for (size_t i = 0; i < sizeof run_cases / sizeof run_cases[0]; i++)
        test_update(&run_cases[i]);
    test_bad_step();
    return check_report();
}
