// What a training run holds beside the session, and one update of all trainable tensors.
//
// Work is cut into ranges of RANGE elements of one tensor; which range a thread gets makes no difference to any value.
#include "optimizer.h"

#include "proto/size.h"
#include "proto/finite.h"
#include "runtime/kernels/parallel.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANGE = 8192 };

struct range {
    size_t tensor; // index into tensors
    size_t begin, end;
};

struct lorac_train_state {
    struct lorac_optimizer_options options;
    const struct lorac_optimizer *optimizer;
    uint64_t step; // updates done
    size_t tensor_count;
    struct lorac_update *tensors; // of the trainable parameters, in the program's order
    const char **names;           // borrowed from the program
    float **last_good;            // into numbers
    size_t range_count;
    struct range *ranges;
    unsigned char *bad; // [range_count]: the new values are not all finite
    size_t number_count;
    float *numbers; // one block: optimiser state and last good values of all tensors
};

static size_t range_count_of(size_t elements)
{
    return elements / RANGE + (elements % RANGE != 0);
}

// Counts trainable tensors, their elements and ranges. Elements fit memory, since the tensors are in it.
static void count_trainable(const struct lorac_program *program, size_t *tensors, size_t *elements, size_t *ranges)
{
    *tensors = *elements = *ranges = 0;
    for (size_t i = 0; i < program->param_count; i++) {
        if (!program->params[i].trainable)
            continue;
        *tensors += 1;
        *elements += program->params[i].count;
        *ranges += range_count_of(program->params[i].count);
    }
}

size_t lorac_train_state_bytes(const struct lorac_program *program, const struct lorac_optimizer_options *options)
{
    const struct lorac_optimizer *optimizer = lorac_optimizer_find(options->kind);
    size_t tensors, elements, ranges;
    count_trainable(program, &tensors, &elements, &ranges);
    size_t bytes;
    if (!optimizer || !lorac_size_multiply(elements, (optimizer->state_count + 1) * sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

// Places the tensors in state->numbers and lists their ranges.
static void set_tensors(struct lorac_train_state *state, const struct lorac_program *program)
{
    float *free_numbers = state->numbers;
    size_t tensor = 0, range = 0;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->trainable)
            continue;
        struct lorac_update *update = &state->tensors[tensor];
        update->value = param->own;
        update->gradient = param->gradient;
        update->count = param->count;
        update->decay = state->options.decay_all || param->rank > 1;
        for (size_t k = 0; k < state->optimizer->state_count; k++, free_numbers += param->count)
            update->state[k] = free_numbers;
        state->last_good[tensor] = free_numbers;
        free_numbers += param->count;
        state->names[tensor] = param->name;
        for (size_t begin = 0; begin < param->count; begin += RANGE)
            state->ranges[range++] =
                (struct range){tensor, begin, param->count - begin < RANGE ? param->count : begin + RANGE};
        tensor++;
    }
}

static void *allocate(size_t count, size_t bytes_each)
{
    return calloc(count > 0 ? count : 1, bytes_each);
}

enum lorac_status lorac_train_state_create(struct lorac_session *session, const struct lorac_optimizer_options *options,
                                           struct lorac_train_state **out, struct lorac_error *error)
{
    LORAC_TRY(lorac_optimizer_options_check(options, error));
    const struct lorac_program *program = lorac_session_program(session);
    struct lorac_train_state *state = calloc(1, sizeof *state);
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the training state");
    state->options = *options;
    state->optimizer = lorac_optimizer_find(options->kind);
    size_t elements;
    count_trainable(program, &state->tensor_count, &elements, &state->range_count);
    size_t bytes = lorac_train_state_bytes(program, options);
    state->number_count = bytes / sizeof(float);
    state->tensors = allocate(state->tensor_count, sizeof *state->tensors);
    state->names = allocate(state->tensor_count, sizeof *state->names);
    state->last_good = allocate(state->tensor_count, sizeof *state->last_good);
    state->ranges = allocate(state->range_count, sizeof *state->ranges);
    state->bad = allocate(state->range_count, sizeof *state->bad);
    state->numbers = allocate(state->number_count, sizeof *state->numbers);
    if (!state->tensors || !state->names || !state->last_good || !state->ranges || !state->bad || !state->numbers) {
        lorac_train_state_free(state);
        return lorac_error_set(error, LORAC_ERROR_MEMORY,
                               "out of memory for the training state: %zu bytes for optimizer '%s'", bytes,
                               lorac_optimizer_find(options->kind)->name);
    }
    set_tensors(state, program);
    *out = state;
    return LORAC_OK;
}

void lorac_train_state_free(struct lorac_train_state *state)
{
    if (!state)
        return;
    free(state->tensors);
    free(state->names);
    free(state->last_good);
    free(state->ranges);
    free(state->bad);
    free(state->numbers);
    free(state);
}

size_t lorac_train_state_array_count(const struct lorac_train_state *state)
{
    return state->optimizer->state_count;
}

float *lorac_train_state_array(struct lorac_train_state *state, size_t tensor, size_t k)
{
    assert(tensor < state->tensor_count && k < state->optimizer->state_count);
    return state->tensors[tensor].state[k];
}

uint64_t lorac_train_state_step(const struct lorac_train_state *state)
{
    return state->step;
}

void lorac_train_state_set_step(struct lorac_train_state *state, uint64_t step)
{
    state->step = step;
}

// ---- norm

enum { SUMS = 64, LANES = 8 };

struct norm_work {
    const float *gradient;
    size_t count;
    double sums[SUMS]; // of ranges [first, first + SUMS)
};

static double square_sum(const float *values, size_t count)
{
    // Lanes of fixed meaning: compilers may vectorise them, and the order stays the same on every machine.
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] += (double)values[i + k] * (double)values[i + k];
    double sum = 0;
    for (; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lanes[k];
    return sum;
}

static void sum_range(void *context, size_t i)
{
    struct norm_work *work = context;
    size_t begin = i * RANGE;
    work->sums[i] = square_sum(work->gradient + begin, work->count - begin < RANGE ? work->count - begin : RANGE);
}

static double tensor_square_sum(struct pthreadpool *pool, const float *gradient, size_t count)
{
    double sum = 0;
    const size_t group = (size_t)SUMS * RANGE;
    for (size_t begin = 0; begin < count; begin += group) {
        struct norm_work work = {.gradient = gradient + begin};
        work.count = count - begin < group ? count - begin : group;
        size_t ranges = range_count_of(work.count);
        lorac_parallel_for(ranges > 1 ? pool : NULL, sum_range, &work, ranges);
        for (size_t i = 0; i < ranges; i++)
            sum += work.sums[i];
    }
    return sum;
}

double lorac_gradient_norm(struct lorac_session *session, const char **bad)
{
    const struct lorac_program *program = lorac_session_program(session);
    struct pthreadpool *pool = lorac_session_pool(session);
    double total = 0;
    *bad = NULL;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->trainable)
            continue;
        // Squares of finite floats cannot overflow a double: the sum is finite exactly where all elements are.
        double sum = tensor_square_sum(pool, param->gradient, param->count);
        if (!isfinite(sum) && !*bad)
            *bad = param->name;
        total += sum;
    }
    return sqrt(total);
}

// ---- update

static void update_range(void *context, size_t i)
{
    struct lorac_train_state *state = context;
    const struct range *range = &state->ranges[i];
    const struct lorac_update *update = &state->tensors[range->tensor];
    const size_t count = range->end - range->begin;
    memcpy(state->last_good[range->tensor] + range->begin, update->value + range->begin, count * sizeof(float));
    state->optimizer->update(&state->options, update, range->begin, range->end);
    state->bad[i] = !lorac_values_finite(update->value + range->begin, count);
}

// The optimiser's own state has seen the bad step too, so it starts anew.
static void go_back(struct lorac_train_state *state)
{
    for (size_t t = 0; t < state->tensor_count; t++) {
        struct lorac_update *update = &state->tensors[t];
        memcpy(update->value, state->last_good[t], update->count * sizeof(float));
        for (size_t k = 0; k < state->optimizer->state_count; k++)
            memset(update->state[k], 0, update->count * sizeof(float));
    }
    state->step = 0;
}

enum lorac_status lorac_train_state_update(struct lorac_train_state *state, struct lorac_session *session, double lr,
                                           double norm, struct lorac_error *error)
{
    double factor = 1;
    if (state->options.clip_norm > 0 && state->options.clip_norm / (norm + 1e-6) < 1)
        factor = state->options.clip_norm / (norm + 1e-6);
    state->step++;
    for (size_t t = 0; t < state->tensor_count; t++) {
        state->tensors[t].gradient_factor = (float)factor;
        state->tensors[t].step = state->step;
        state->tensors[t].lr = lr;
    }
    lorac_parallel_for(state->range_count > 1 ? lorac_session_pool(session) : NULL, update_range, state,
                       state->range_count);
    for (size_t i = 0; i < state->range_count; i++) {
        if (!state->bad[i])
            continue;
        // The kernels have not seen the bad values, and what they hold is what comes back: nothing to tell them.
        go_back(state);
        return lorac_error_set(error, LORAC_ERROR_NOT_FINITE,
                               "parameter '%s' is NaN or infinite after an update with learning rate %g and gradient "
                               "norm %g; the values before it are kept; try a smaller learning rate",
                               state->names[state->ranges[i].tensor], lr, norm);
    }
    lorac_session_params_changed(session);
    return LORAC_OK;
}
