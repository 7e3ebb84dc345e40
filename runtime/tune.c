// Each way is run through the kernel's own life (memory, create, refresh, forward, backward) on a copy of the step that
// has memory of the real sizes, so that what is measured is what a training step does.
//
// A layer alone sees a warmer cache than in a step, where many others come between its forward and its backward, and
// that decides between an adapter's forms (conv_form.c). So as much other memory as the program's activations take is
// read before each run, and the input is written anew, as the layer before would have.
//
// Only one way has its packed weights at a time. The ways take turns, so that a slow moment of the machine hits all of
// them, and the smallest time of each counts. One thread is measured by its processor time, which leaves out what other
// programs take meanwhile; several threads wait for one another, so that only the time on the clock tells.
#include "tune.h"

#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "kernels/xnn.h"
#include "proto/size.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_INPUTS = 2,            // of a step that is measured
    MAX_WAYS = 8,              // in a direction
    ROUNDS = 3,                // of turns
    RUNS = 2,                  // in a turn
    MAX_COLD_BYTES = 64 << 20, // beyond the last-level caches in use
    LINE_BYTES = 64,
};
// What is so much slower than the best in the first round is not run again.
static const double HOPELESS = 1.5;
// What the rule chooses is kept unless another way is faster by more than a layer alone can tell of whole steps: with
// 0.97 here, on a busy machine, steps of ResNet-18, 20 and 50 took 0 to 3 % longer than by the rule
// (docs/measurements.md).
static const double WORTH = 0.9;

static const int64_t NEVER = INT64_MAX / 4; // ns

struct direction {
    bool forward, backward;
};

// One way to run the step.
struct way {
    struct lorac_choice_row choice;
    int64_t refresh, forward, backward; // ns
};

// What is read to make the caches forget.
struct cold {
    unsigned char *bytes;
    size_t count;
};

struct trial {
    struct lorac_program program; // the real one with [steps], [params] and [choices] of its own
    struct lorac_choices choices; // one row: the way that is run
    size_t index;                 // of the step
    void *config;
    const void *fresh_config; // as lowering left it
    struct lorac_kernel_env env;
    const float *x[MAX_INPUTS];
    float *dx[MAX_INPUTS];
    float *in[MAX_INPUTS], *out[MAX_INPUTS]; // owned: x, dx
    float *y, *dy, *kept;
    const struct cold *cold;
    size_t kept_bytes, workspace_bytes; // that there are
};

// ---- memory

static enum lorac_status no_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for measuring convolutions");
}

// Filled with [value], so that no run meets numbers that are slow.
static float *floats(size_t count, float value)
{
    size_t bytes;
    void *block = NULL;
    if (!lorac_size_multiply(count, sizeof(float), &bytes) || !lorac_size_add(bytes, LORAC_EXTRA_BYTES, &bytes) ||
        posix_memalign(&block, LORAC_BUFFER_ALIGNMENT, bytes) != 0)
        return NULL;
    float *numbers = block;
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        numbers[i] = value;
    return numbers;
}

static enum lorac_status grow(float **block, size_t *has, size_t bytes, struct lorac_error *error)
{
    if (bytes <= *has && *block)
        return LORAC_OK;
    free(*block);
    *has = 0;
    *block = floats(bytes / sizeof(float) + 2 * LORAC_BUFFER_ALIGNMENT, 0.01f);
    if (!*block)
        return no_memory(error);
    *has = bytes;
    return LORAC_OK;
}

static struct lorac_step *step_of(struct trial *trial)
{
    return &trial->program.steps[trial->index];
}

// The step's values and parameters, of the real sizes.
static enum lorac_status fill(struct trial *trial, struct lorac_error *error)
{
    struct lorac_program *program = &trial->program;
    struct lorac_step *step = step_of(trial);
    const struct lorac_value *output = lorac_step_output(program, step);
    for (size_t i = 0; i < step->input_count; i++) {
        const struct lorac_value *input = lorac_step_input(program, step, i);
        bool wanted = step->needs_backward && input->needs_gradient;
        trial->x[i] = trial->in[i] = floats(lorac_value_count(input), 0.5f);
        trial->dx[i] = trial->out[i] = wanted ? floats(lorac_value_count(input), 0) : NULL;
        if (!trial->in[i] || (wanted && !trial->out[i]))
            return no_memory(error);
    }
    trial->y = floats(lorac_value_count(output), 0);
    trial->dy = step->needs_backward ? floats(lorac_value_count(output), 0.01f) : NULL;
    if (!trial->y || (step->needs_backward && !trial->dy))
        return no_memory(error);
    for (size_t i = 0; i < step->param_count; i++) {
        struct lorac_param *param = lorac_step_param(program, step, i);
        if (!param || param->data)
            continue;
        param->data = param->own = floats(param->count, 0.01f);
        if (!param->data || (param->trainable && !(param->gradient = floats(param->count, 0))))
            return no_memory(error);
    }
    step->x = trial->x;
    step->dx = trial->dx;
    step->y = trial->y;
    step->dy = trial->dy;
    return LORAC_OK;
}

// Copies what a kernel may write to.
static enum lorac_status begin(struct trial *trial, const struct lorac_program *program, size_t index,
                               const struct lorac_kernel_env *env, const struct cold *cold,
                               struct lorac_error *error)
{
    const struct lorac_step *step = &program->steps[index];
    *trial = (struct trial){.program = *program, .index = index, .env = *env, .cold = cold};
    trial->fresh_config = step->config;
    trial->config = malloc(step->config_bytes + 1);
    trial->program.steps = malloc(program->step_count * sizeof *program->steps);
    trial->program.params = calloc(program->param_count + 1, sizeof *program->params);
    trial->choices.rows = calloc(1, sizeof *trial->choices.rows);
    trial->choices.count = 1;
    trial->program.choices = &trial->choices;
    trial->env.program = &trial->program;
    if (!trial->config || !trial->program.steps || !trial->program.params || !trial->choices.rows)
        return no_memory(error);
    memcpy(trial->program.steps, program->steps, program->step_count * sizeof *program->steps);
    memcpy(trial->program.params, program->params, program->param_count * sizeof *program->params);
    for (size_t i = 0; i < program->param_count; i++) {
        struct lorac_param *param = &trial->program.params[i];
        param->data = param->own = param->gradient = NULL;
    }
    step_of(trial)->config = trial->config;
    step_of(trial)->state = NULL;
    return fill(trial, error);
}

static void end(struct trial *trial)
{
    for (size_t i = 0; trial->program.params && i < trial->program.param_count; i++) {
        free(trial->program.params[i].own);
        free(trial->program.params[i].gradient);
    }
    for (size_t i = 0; i < MAX_INPUTS; i++) {
        free(trial->in[i]);
        free(trial->out[i]);
    }
    free(trial->y);
    free(trial->dy);
    free(trial->kept);
    free(trial->env.workspace);
    free(trial->choices.rows);
    free(trial->program.steps);
    free(trial->program.params);
    free(trial->config);
}

// ---- running

static int64_t now(const struct trial *trial)
{
    struct timespec used;
    if (trial->env.pool || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0)
        return lorac_timing_now();
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static void read_lines(void *context, size_t begin_byte, size_t end_byte)
{
    const volatile unsigned char *cold = context;
    for (size_t i = begin_byte; i < end_byte; i += LINE_BYTES)
        (void)cold[i];
}

static void forget(const struct trial *trial)
{
    lorac_parallel_ranges(trial->env.pool, read_lines, trial->cold->bytes, trial->cold->count, 1 << 20);
}

static void write_again(float *numbers, size_t count, float value)
{
    for (size_t i = 0; numbers && i < count; i++)
        numbers[i] = value;
}

static int64_t time_forward(struct trial *trial)
{
    struct lorac_step *step = step_of(trial);
    forget(trial);
    for (size_t i = 0; i < step->input_count; i++)
        write_again(trial->in[i], lorac_value_count(lorac_step_input(&trial->program, step, i)), 0.5f);
    int64_t from = now(trial);
    step->kernel->forward(step, &trial->env);
    return now(trial) - from;
}

static int64_t time_backward(struct trial *trial)
{
    struct lorac_step *step = step_of(trial);
    forget(trial);
    write_again(trial->dy, lorac_value_count(lorac_step_output(&trial->program, step)), 0.01f);
    int64_t from = now(trial);
    step->kernel->backward(step, &trial->env);
    return now(trial) - from;
}

static void keep_least(int64_t *least, int64_t time)
{
    if (time < *least)
        *least = time;
}

// The copy of the step as lowering left it, with the way's choice in its memory.
static enum lorac_status choose(struct trial *trial, const struct way *way, struct lorac_error *error)
{
    struct lorac_step *step = step_of(trial);
    memcpy(trial->config, trial->fresh_config, step->config_bytes);
    step->scratch_bytes = step->thread_scratch_bytes = step->kept_bytes = 0;
    trial->choices.rows[0] = way->choice;
    return step->kernel->memory ? step->kernel->memory(&trial->program, step, error) : LORAC_OK;
}

static enum lorac_status make(struct trial *trial, const struct way *way, struct lorac_error *error)
{
    struct lorac_step *step = step_of(trial);
    LORAC_TRY(choose(trial, way, error));
    size_t threads = lorac_parallel_threads(trial->env.pool);
    float *workspace = trial->env.workspace;
    enum lorac_status status = grow(&workspace, &trial->workspace_bytes,
                                    step->scratch_bytes + threads * step->thread_scratch_bytes, error);
    trial->env.workspace = workspace;
    LORAC_TRY(status);
    LORAC_TRY(grow(&trial->kept, &trial->kept_bytes, step->kept_bytes, error));
    step->kept = step->kept_bytes > 0 ? trial->kept : NULL;
    return step->kernel->create(step, &trial->env, error);
}

// One turn of a way: its times become the least of what they were and what they are now.
static enum lorac_status take_turn(struct trial *trial, struct way *way, struct direction direction,
                                   struct lorac_error *error)
{
    struct lorac_step *step = step_of(trial);
    enum lorac_status status = make(trial, way, error);
    for (int run = 0; status == LORAC_OK && run < RUNS; run++) {
        if (step->has_trainable && step->kernel->refresh) {
            int64_t from = now(trial);
            status = step->kernel->refresh(step, &trial->env, error);
            keep_least(&way->refresh, now(trial) - from);
        } else
            way->refresh = 0;
        if (status == LORAC_OK && direction.forward)
            keep_least(&way->forward, time_forward(trial));
        if (status == LORAC_OK && direction.backward && step->needs_backward)
            keep_least(&way->backward, time_backward(trial));
    }
    step->kernel->destroy(step);
    return status;
}

static int64_t total(const struct way *way, struct direction direction)
{
    return way->refresh + (direction.forward ? way->forward : 0) + (direction.backward ? way->backward : 0);
}

// The fastest of [count] ways; the first is the rule's.
static enum lorac_status compete(struct trial *trial, struct way *ways, size_t count, struct direction direction,
                                 size_t *winner, struct lorac_error *error)
{
    *winner = 0;
    if (!step_of(trial)->needs_backward)
        direction.backward = false;
    for (size_t i = 0; i < count; i++) {
        ways[i].refresh = NEVER;
        ways[i].forward = direction.forward ? NEVER : 0;
        ways[i].backward = direction.backward ? NEVER : 0;
    }
    for (int round = 0; count > 1 && round < ROUNDS; round++) {
        const double limit = HOPELESS * (double)total(&ways[*winner], direction);
        for (size_t i = 0; i < count; i++)
            if (round == 0 || (double)total(&ways[i], direction) <= limit)
                LORAC_TRY(take_turn(trial, &ways[i], direction, error));
        for (size_t i = 0; i < count; i++)
            if (total(&ways[i], direction) < total(&ways[*winner], direction))
                *winner = i;
    }
    if ((double)total(&ways[*winner], direction) > WORTH * (double)total(&ways[0], direction))
        *winner = 0;
    return LORAC_OK;
}

// ---- the ways

static void set_name(char *name, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    memcpy(name, length < LORAC_CHOICE_NAME ? (text ? text : "") : "", length < LORAC_CHOICE_NAME ? length + 1 : 1);
}

// Puts what the step's choice comes to in a form, by the rule where it has no names, into [choice].
static enum lorac_status resolve(struct trial *trial, struct lorac_choice_row *choice, struct lorac_error *error)
{
    const struct lorac_step *step = step_of(trial);
    const struct way way = {.choice = *choice};
    LORAC_TRY(choose(trial, &way, error));
    set_name(choice->forward, step->kernel->algorithm(step, false));
    set_name(choice->gradient, step->kernel->algorithm(step, true));
    set_name(choice->form, step->kernel->form ? step->kernel->form(step) : NULL);
    return LORAC_OK;
}

// Replaces the algorithm in one direction of [choice] by the fastest.
static enum lorac_status choose_algorithm(struct trial *trial, struct lorac_choice_row *choice, bool branch,
                                          bool backward, struct lorac_error *error)
{
    const struct lorac_step *step = step_of(trial);
    struct way ways[MAX_WAYS] = {{.choice = *choice}};
    size_t count = 1, winner;
    const char *rule = backward ? choice->gradient : choice->forward, *name;
    for (size_t i = 0; count < MAX_WAYS && (name = step->kernel->candidate(&trial->program, step, branch, backward, i));
         i++) {
        if (strcmp(name, rule) == 0)
            continue;
        ways[count].choice = *choice;
        set_name(backward ? ways[count].choice.gradient : ways[count].choice.forward, name);
        count++;
    }
    const struct direction direction = {!backward, backward};
    LORAC_TRY(compete(trial, ways, count, direction, &winner, error));
    *choice = ways[winner].choice;
    return LORAC_OK;
}

// The ways of the step: the best algorithms in each form that it may have. The first is the rule's form.
static enum lorac_status choose_way(struct trial *trial, const char *text, struct lorac_choice_row *out,
                                    struct lorac_error *error)
{
    const struct lorac_step *step = step_of(trial);
    struct way ways[2] = {{.refresh = 0}};
    size_t count = 1, winner = 0;
    memcpy(ways[0].choice.step, text, strlen(text) + 1);
    LORAC_TRY(resolve(trial, &ways[0].choice, error));
    const bool is_branch = strcmp(ways[0].choice.form, "branch") == 0;
    if (ways[0].choice.form[0] && step->kernel->candidate(&trial->program, step, !is_branch, false, 0)) {
        memcpy(ways[1].choice.step, text, strlen(text) + 1);
        set_name(ways[1].choice.form, is_branch ? "definition" : "branch");
        LORAC_TRY(resolve(trial, &ways[1].choice, error));
        count = 2;
    }
    for (size_t i = 0; i < count; i++)
        for (int backward = 0; backward < 2; backward++)
            LORAC_TRY(choose_algorithm(trial, &ways[i].choice, (i == 0) == is_branch, backward != 0, error));
    const struct direction both = {true, true};
    LORAC_TRY(compete(trial, ways, count, both, &winner, error));
    *out = ways[winner].choice;
    out->measured = true;
    return LORAC_OK;
}

// ---- the program

static bool has_several_ways(const struct lorac_program *program, const struct lorac_step *step)
{
    const struct lorac_kernel *kernel = step->kernel;
    size_t forms = 0;
    for (int branch = 0; branch < 2; branch++) {
        forms += kernel->candidate(program, step, branch != 0, false, 0) != NULL;
        for (int backward = 0; backward < 2; backward++)
            if (kernel->candidate(program, step, branch != 0, backward != 0, 1))
                return true;
    }
    return forms > 1;
}

static enum lorac_status tune_step(const struct lorac_program *program, size_t index, const char *text,
                                   const struct lorac_kernel_env *env, const struct cold *cold,
                                   struct lorac_choices *choices, struct lorac_error *error)
{
    struct trial trial;
    struct lorac_choice_row row;
    enum lorac_status status = begin(&trial, program, index, env, cold, error);
    if (status == LORAC_OK)
        status = choose_way(&trial, text, &row, error);
    end(&trial);
    return status == LORAC_OK ? lorac_choices_add(choices, &row, error) : status;
}

// [text]: what describes the step, of LORAC_CHOICE_STEP bytes.
static bool is_missing(const struct lorac_program *program, const struct lorac_step *step,
                       const struct lorac_choices *choices, char *text)
{
    return step->kernel->describe && step->input_count <= MAX_INPUTS && has_several_ways(program, step) &&
           step->kernel->describe(program, step, text) && !lorac_choices_find(choices, text);
}

static bool any_missing(const struct lorac_program *program, const struct lorac_choices *choices)
{
    char text[LORAC_CHOICE_STEP];
    for (size_t i = 0; i < program->step_count; i++)
        if (is_missing(program, &program->steps[i], choices, text))
            return true;
    return false;
}

static enum lorac_status tune_steps(const struct lorac_program *program, const struct lorac_kernel_env *env,
                                    const struct cold *cold, struct lorac_choices *choices, size_t *count,
                                    struct lorac_error *error)
{
    char text[LORAC_CHOICE_STEP];
    for (size_t i = 0; i < program->step_count; i++) {
        if (!is_missing(program, &program->steps[i], choices, text))
            continue;
        LORAC_TRY(tune_step(program, i, text, env, cold, choices, error));
        ++*count;
    }
    return LORAC_OK;
}

static enum lorac_status make_cold(const struct lorac_program *program, struct cold *cold, struct lorac_error *error)
{
    *cold = (struct cold){NULL, 0};
    for (size_t i = 0; i < program->value_count && cold->count < MAX_COLD_BYTES; i++)
        cold->count += lorac_value_count(&program->values[i]) * sizeof(float);
    cold->count = cold->count < MAX_COLD_BYTES ? cold->count : MAX_COLD_BYTES;
    cold->bytes = malloc(cold->count + 1);
    if (!cold->bytes)
        return no_memory(error);
    memset(cold->bytes, 1, cold->count); // else the system gives the same empty page many times
    return LORAC_OK;
}

enum lorac_status lorac_tune(const struct lorac_program *program, size_t threads, struct lorac_choices *choices,
                             size_t *count, struct lorac_error *error)
{
    int failed;
    struct cold cold;
    *count = 0;
    if (!any_missing(program, choices))
        return LORAC_OK;
    LORAC_TRY(lorac_xnn_initialize(error));
    struct lorac_kernel_env env = {.simd = lorac_simd_select(), .training = program->training};
    env.pool = lorac_parallel_create(threads, &failed);
    if (failed)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "cannot start %zu threads", threads);
    enum lorac_status status = make_cold(program, &cold, error);
    if (status == LORAC_OK)
        status = tune_steps(program, &env, &cold, choices, count, error);
    free(cold.bytes);
    lorac_parallel_free(env.pool);
    return status;
}
