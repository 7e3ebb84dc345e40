#include "session.h"

#include "kernels/elementwise.h"
#include "kernels/kernel.h"
#include "kernels/pages.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "kernels/xnn.h"
#include "plan.h"
#include "proto/size.h"
#include "proto/tensor.h"
#include "proto/weight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    void *allocated;
    unsigned char *bytes; // aligned
};

struct lorac_session {
    struct lorac_program *program;
    struct lorac_kernel_env env;
    struct block planned, workspace;
    bool stale;           // parameters changed since the kernels last saw them
};

// ---- what it takes

static enum lorac_status make_plan(struct lorac_program *program, struct lorac_error *error)
{
    if (program->planned)
        return LORAC_OK;
    int64_t begin = lorac_timing_begin(program->timing);
    LORAC_TRY(lorac_plan(program->buffers, program->buffer_count, &program->planned_bytes, error));
    lorac_timing_end(program->timing, LORAC_SPAN_PLAN, NULL, begin);
    program->planned = true;
    return LORAC_OK;
}

static size_t workspace_bytes(const struct lorac_program *program)
{
    size_t bytes = 0, threads = program->threads ? program->threads : 1;
    for (size_t i = 0; i < program->step_count; i++) {
        size_t wanted = program->steps[i].scratch_bytes + threads * program->steps[i].thread_scratch_bytes;
        bytes = wanted > bytes ? wanted : bytes;
    }
    return bytes;
}

enum lorac_status lorac_program_memory(struct lorac_program *program, struct lorac_session_memory *out,
                                       struct lorac_error *error)
{
    LORAC_TRY(make_plan(program, error));
    struct lorac_session_memory memory = {.planned_bytes = program->planned_bytes,
                                          .workspace_bytes = workspace_bytes(program)};
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        size_t copies = (size_t)param->kept + (size_t)param->trainable;
        memory.parameter_bytes += copies * param->count * sizeof(float);
    }
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kernel->packed_bytes)
            memory.packed_bytes += program->steps[i].kernel->packed_bytes(program, &program->steps[i]);
    *out = memory;
    return LORAC_OK;
}

// ---- parameters

static enum lorac_status out_of_memory(const char *what, size_t bytes, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %s (%zu bytes)", what, bytes);
}

// A weight whose bytes can be read where they lie, and that nobody writes.
static const float *view_of(const struct lorac_program *program, const struct lorac_param *param)
{
    if (param->trainable || param->updated || param->computed || !param->tensor)
        return NULL;
    return lorac_tensor_float_view(program->model, param->tensor, param->count, LORAC_EXTRA_BYTES);
}

// The margin: XNNPACK may read past the end of what it packs.
static enum lorac_status padded_bytes(const struct lorac_param *param, size_t *bytes, struct lorac_error *error)
{
    if (!lorac_size_multiply(param->count, sizeof(float), bytes) ||
        !lorac_size_add(*bytes, LORAC_EXTRA_BYTES + LORAC_BUFFER_ALIGNMENT - 1, bytes))
        return out_of_memory("a weight", param->count * sizeof(float), error);
    *bytes -= *bytes % LORAC_BUFFER_ALIGNMENT;
    return LORAC_OK;
}

static enum lorac_status read_param(const struct lorac_session *session, const struct lorac_param *param, float *to,
                                    struct lorac_error *error)
{
    const struct lorac_weight weight = {.value = param->name, .tensor = param->tensor};
    if (!param->computed)
        return lorac_weight_to_float(session->program->model, &weight, to, param->count, error);
    for (size_t i = 0; i < param->count; i++)
        to[i] = (float)param->computed[i];
    return LORAC_OK;
}

// [staging] is where the next weight goes that is let go after its step was made.
static enum lorac_status load_param(struct lorac_session *session, struct lorac_param *param, unsigned char **staging,
                                    struct lorac_error *error)
{
    size_t bytes = 0;
    if (param->data)
        return LORAC_OK;
    LORAC_TRY(padded_bytes(param, &bytes, error));
    param->data = view_of(session->program, param);
    if (!param->data) {
        float *to = (float *)(void *)*staging;
        if (!param->kept)
            *staging += bytes;
        else if (!(to = param->own = calloc(1, bytes)))
            return out_of_memory("a weight", bytes, error);
        LORAC_TRY(read_param(session, param, to, error));
        memset(to + param->count, 0, bytes - param->count * sizeof(float));
        param->data = to;
    }
    if (!lorac_all_finite(param->data, param->count, &session->env))
        return lorac_error_set(error, LORAC_ERROR_NOT_FINITE, "tensor '%s' has a value that is NaN or infinite",
                               param->name);
    if (param->trainable && !param->gradient && !(param->gradient = calloc(1, bytes)))
        return out_of_memory("a gradient", bytes, error);
    return LORAC_OK;
}

static void drop_param(struct lorac_param *param)
{
    free(param->own);
    param->own = NULL;
    param->data = NULL;
}

// What the weights of one step take in the staging block.
static enum lorac_status staged_bytes(const struct lorac_program *program, const struct lorac_step *step, size_t *total,
                                      struct lorac_error *error)
{
    size_t sum = 0, bytes = 0;
    for (size_t i = 0; i < step->param_count; i++) {
        const struct lorac_param *param = lorac_step_param(program, step, i);
        if (!param || param->kept || view_of(program, param))
            continue;
        LORAC_TRY(padded_bytes(param, &bytes, error));
        if (!lorac_size_add(sum, bytes, &sum))
            return out_of_memory("the weights of a layer", SIZE_MAX, error);
    }
    *total = sum;
    return LORAC_OK;
}

// ---- life

static float *buffer_at(const struct lorac_session *session, uint32_t id)
{
    return (float *)(void *)(session->planned.bytes + session->program->buffers[id].offset);
}

static float *value_at(const struct lorac_session *session, uint32_t id)
{
    return buffer_at(session, session->program->values[id].buffer);
}

static enum lorac_status bind_forward(struct lorac_session *session, struct lorac_step *step, struct lorac_error *error)
{
    struct lorac_arena *arena = session->program->arena;
    if (!step->x) {
        step->x = lorac_arena_alloc_array(arena, step->input_count, sizeof(*step->x));
        step->dx = lorac_arena_alloc_array(arena, step->input_count, sizeof(*step->dx));
    }
    if (!step->x || !step->dx)
        return out_of_memory("the program", step->input_count * sizeof(*step->x), error);
    for (size_t k = 0; k < step->input_count; k++) {
        step->x[k] = value_at(session, step->inputs[k]);
        step->dx[k] = NULL;
    }
    step->y = value_at(session, step->output);
    step->dy = NULL;
    step->kept = step->kept_bytes > 0 ? buffer_at(session, step->kept_buffer) : NULL;
    return LORAC_OK;
}

static enum lorac_status bind(struct lorac_session *session, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->step_count; i++)
        LORAC_TRY(bind_forward(session, &program->steps[i], error));
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        if (op->kind != LORAC_BACKWARD_STEP)
            continue;
        struct lorac_step *step = &program->steps[op->step];
        step->dy = buffer_at(session, op->dy);
        for (size_t k = 0; k < step->input_count; k++)
            if (op->dx[k] != LORAC_NO_ID)
                step->dx[k] = buffer_at(session, op->dx[k]);
    }
    return LORAC_OK;
}

// A weight is in memory only while its kernel packs it, unless somebody reads it later: most lie in the file at places
// that are no multiple of four bytes (three of four in a file written by protobuf), and are copied to one block, where
// the next ones follow.
static enum lorac_status create_step(struct lorac_session *session, struct lorac_step *step, unsigned char *staging,
                                     struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    int64_t begin = lorac_timing_begin(program->timing);
    for (size_t i = 0; i < step->param_count; i++)
        if (step->params[i] != LORAC_NO_ID)
            LORAC_TRY(load_param(session, &program->params[step->params[i]], &staging, error));
    if (step->kernel->create)
        LORAC_TRY(step->kernel->create(step, &session->env, error));
    for (size_t i = 0; i < step->param_count; i++) {
        struct lorac_param *param = lorac_step_param(program, step, i);
        if (!param)
            continue;
        if (!param->kept)
            drop_param(param);
        if (param->tensor)
            lorac_tensor_release(program->model, param->tensor);
    }
    lorac_timing_end(program->timing, LORAC_SPAN_PACK, step, begin);
    return LORAC_OK;
}

static enum lorac_status create_steps(struct lorac_session *session, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    void *staging = NULL;
    size_t most = 0, bytes = 0;
    for (size_t i = 0; i < program->step_count; i++) {
        LORAC_TRY(staged_bytes(program, &program->steps[i], &bytes, error));
        most = bytes > most ? bytes : most;
    }
    enum lorac_status status = LORAC_OK;
    if (most > 0 && posix_memalign(&staging, LORAC_BUFFER_ALIGNMENT, most) != 0)
        return out_of_memory("the weights of a layer", most, error);
    for (size_t i = 0; i < program->step_count && status == LORAC_OK; i++)
        status = create_step(session, &program->steps[i], staging, error);
    free(staging);
    lorac_model_release(program->model); // what came beside the weights
    return status;
}

// Zeros that take no memory before they are used; the margins are read by XNNPACK's last vector.
static enum lorac_status allocate(struct block *block, size_t bytes, const char *what, struct lorac_error *error)
{
    size_t padded;
    if (!lorac_size_add(bytes, 3 * LORAC_BUFFER_ALIGNMENT, &padded) || !(block->allocated = calloc(1, padded)))
        return out_of_memory(what, bytes, error);
    lorac_pages_advise_huge(block->allocated, padded);
    const size_t past = (uintptr_t)block->allocated % LORAC_BUFFER_ALIGNMENT;
    block->bytes = (unsigned char *)block->allocated + (LORAC_BUFFER_ALIGNMENT - past) % LORAC_BUFFER_ALIGNMENT;
    return LORAC_OK;
}

static enum lorac_status build(struct lorac_session *session, size_t threads, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    int failed;
    LORAC_TRY(lorac_xnn_initialize(error));
    LORAC_TRY(make_plan(program, error));
    lorac_constant_begin(program->model);
    program->threads = threads;
    session->env.program = program;
    session->env.simd = lorac_simd_select();
    int64_t begin = lorac_timing_begin(program->timing);
    session->env.pool = lorac_parallel_create(threads, &failed);
    if (failed)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "cannot start %zu threads", threads);
    LORAC_TRY(allocate(&session->planned, program->planned_bytes, "activations and gradients", error));
    LORAC_TRY(allocate(&session->workspace, workspace_bytes(program), "the workspace", error));
    session->env.workspace = session->workspace.bytes;
    LORAC_TRY(bind(session, error));
    lorac_timing_end(program->timing, LORAC_SPAN_ALLOCATE, NULL, begin);
    return create_steps(session, error);
}

enum lorac_status lorac_session_create(struct lorac_program *program, size_t threads, struct lorac_session **out,
                                       struct lorac_error *error)
{
    struct lorac_session *session = calloc(1, sizeof(*session));
    if (!session)
        return out_of_memory("the session", sizeof(*session), error);
    session->program = program;
    enum lorac_status status = build(session, threads, error);
    if (status != LORAC_OK) {
        lorac_session_free(session);
        return status;
    }
    *out = session;
    return LORAC_OK;
}

void lorac_session_free(struct lorac_session *session)
{
    if (!session)
        return;
    struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kernel->destroy)
            program->steps[i].kernel->destroy(&program->steps[i]);
    for (size_t i = 0; i < program->param_count; i++) {
        drop_param(&program->params[i]);
        free(program->params[i].gradient);
        program->params[i].gradient = NULL;
    }
    lorac_parallel_free(session->env.pool);
    free(session->workspace.allocated);
    free(session->planned.allocated);
    free(session);
}

// ---- running

float *lorac_session_input(struct lorac_session *session)
{
    return value_at(session, session->program->input);
}

const float *lorac_session_logits(const struct lorac_session *session)
{
    return value_at(session, session->program->logits);
}

const float *lorac_session_output(const struct lorac_session *session)
{
    return value_at(session, session->program->output);
}

float *lorac_session_logits_gradient(struct lorac_session *session)
{
    return buffer_at(session, session->program->logits_gradient);
}

static enum lorac_status refresh(struct lorac_session *session, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    for (size_t i = 0; session->stale && i < program->step_count; i++) {
        struct lorac_step *step = &program->steps[i];
        if (!step->has_trainable || !step->kernel->refresh)
            continue;
        int64_t begin = lorac_timing_begin(program->timing);
        LORAC_TRY(step->kernel->refresh(step, &session->env, error));
        lorac_timing_end(program->timing, LORAC_SPAN_REFRESH, step, begin);
    }
    session->stale = false;
    return LORAC_OK;
}

static size_t forward_steps(const struct lorac_program *program, bool training)
{
    return training ? program->forward_step_count_to_logits : program->step_count;
}

enum lorac_status lorac_session_forward(struct lorac_session *session, bool training, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    LORAC_TRY(refresh(session, error));
    session->env.training = training;
    for (size_t i = 0; i < forward_steps(program, training); i++) {
        struct lorac_step *step = &program->steps[i];
        int64_t begin = lorac_timing_begin(program->timing);
        step->kernel->forward(step, &session->env);
        lorac_timing_end(program->timing, LORAC_SPAN_FORWARD, step, begin);
    }
    return LORAC_OK;
}

void lorac_session_zero_gradients(struct lorac_session *session)
{
    const struct lorac_program *program = session->program;
    int64_t begin = lorac_timing_begin(program->timing);
    for (size_t i = 0; i < program->param_count; i++) {
        struct lorac_param *param = &program->params[i];
        if (param->gradient)
            memset(param->gradient, 0, param->count * sizeof(float));
    }
    lorac_timing_end(program->timing, LORAC_SPAN_ZERO, NULL, begin);
}

static void run_backward_op(struct lorac_session *session, const struct lorac_backward_op *op)
{
    struct lorac_step *step = &session->program->steps[op->step];
    switch (op->kind) {
    case LORAC_BACKWARD_STEP:
        step->kernel->backward(step, &session->env);
        break;
    case LORAC_BACKWARD_FORWARD:
        step->kernel->forward(step, &session->env);
        break;
    case LORAC_BACKWARD_ADD:
        lorac_add_into(buffer_at(session, op->target), buffer_at(session, op->source), op->count, &session->env);
        break;
    case LORAC_BACKWARD_SUM:
        lorac_add(buffer_at(session, op->target), buffer_at(session, op->source), buffer_at(session, op->source2),
                  op->count, &session->env);
        break;
    }
}

void lorac_session_backward(struct lorac_session *session)
{
    static const enum lorac_span_kind kinds[] = {[LORAC_BACKWARD_STEP] = LORAC_SPAN_BACKWARD,
                                                 [LORAC_BACKWARD_ADD] = LORAC_SPAN_SUM,
                                                 [LORAC_BACKWARD_SUM] = LORAC_SPAN_SUM,
                                                 [LORAC_BACKWARD_FORWARD] = LORAC_SPAN_RECOMPUTE};
    const struct lorac_program *program = session->program;
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        const enum lorac_span_kind kind = kinds[op->kind];
        int64_t begin = lorac_timing_begin(program->timing);
        run_backward_op(session, op);
        lorac_timing_end(program->timing, kind, kind == LORAC_SPAN_SUM ? NULL : &program->steps[op->step], begin);
    }
}

void lorac_session_commit(struct lorac_session *session)
{
    struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kernel->commit)
            program->steps[i].kernel->commit(&program->steps[i], &session->env);
}

const char *lorac_session_bad_commit(const struct lorac_session *session)
{
    const struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        if (step->kernel->can_commit && !step->kernel->can_commit(step, &session->env))
            return step->name;
    }
    return NULL;
}

void lorac_session_params_changed(struct lorac_session *session)
{
    session->stale = true;
}

// ---- the search for the first bad number

struct search {
    struct lorac_session *session;
    const char *found;
};

static bool finite(const struct search *search, const float *data, size_t count)
{
    return lorac_all_finite(data, count, &search->session->env);
}

static void report(struct search *search, const char *format, const char *name)
{
    char text[512];
    snprintf(text, sizeof text, format, name);
    const char *copy = lorac_arena_strdup(search->session->program->arena, text);
    search->found = copy ? copy : "a layer (out of memory for its name)";
}

static void search_output(struct search *search, const struct lorac_step *step)
{
    if (!finite(search, step->y, lorac_value_count(&search->session->program->values[step->output])))
        report(search, "output of node '%s'", step->name);
}

static void search_forward(struct search *search)
{
    struct lorac_program *program = search->session->program;
    for (size_t i = 0; !search->found && i < program->forward_step_count_to_logits; i++) {
        struct lorac_step *step = &program->steps[i];
        step->kernel->forward(step, &search->session->env);
        search_output(search, step);
    }
}

static void search_params(struct search *search, const struct lorac_step *step)
{
    const struct lorac_program *program = search->session->program;
    for (size_t i = 0; !search->found && i < step->param_count; i++) {
        const struct lorac_param *param = lorac_step_param(program, step, i);
        if (param && param->trainable && !finite(search, param->gradient, param->count))
            report(search, "gradient of tensor '%s'", param->name);
    }
}

static void search_backward(struct search *search)
{
    struct lorac_program *program = search->session->program;
    for (size_t j = 0; !search->found && j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        run_backward_op(search->session, op);
        if (op->kind == LORAC_BACKWARD_FORWARD)
            search_output(search, &program->steps[op->step]);
        if (op->kind != LORAC_BACKWARD_STEP)
            continue;
        const struct lorac_step *step = &program->steps[op->step];
        search_params(search, step);
        for (size_t k = 0; !search->found && k < step->input_count; k++)
            if (step->dx[k] && !finite(search, step->dx[k], lorac_value_count(&program->values[step->inputs[k]])))
                report(search, "gradient of the input of node '%s'", step->name);
    }
}

enum lorac_status lorac_session_find_bad(struct lorac_session *session, const float *input,
                                         void (*loss_gradient)(void *context, const float *logits, float *gradient),
                                         void *context, const char **name, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    struct search search = {session, NULL};
    size_t count = lorac_value_count(&program->values[program->input]);
    LORAC_TRY(refresh(session, error));
    memcpy(lorac_session_input(session), input, count * sizeof(float));
    session->env.training = loss_gradient != NULL;
    if (!finite(&search, input, count))
        report(&search, "input '%s'", program->values[program->input].name);
    search_forward(&search);
    if (!search.found && loss_gradient) {
        loss_gradient(context, lorac_session_logits(session), lorac_session_logits_gradient(session));
        if (!finite(&search, lorac_session_logits_gradient(session),
                    lorac_value_count(&program->values[program->logits])))
            report(&search, "gradient of the loss at '%s'", program->values[program->logits].name);
        search_backward(&search);
    }
    *name = search.found;
    return LORAC_OK;
}

// ---- back into the model

enum lorac_status lorac_session_own(struct lorac_session *session, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if ((param->trainable || param->updated) && param->tensor)
            LORAC_TRY(lorac_tensor_own(program->model, param->tensor, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_session_store(struct lorac_session *session, struct lorac_error *error)
{
    struct lorac_program *program = session->program;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if ((param->trainable || param->updated) && param->tensor)
            LORAC_TRY(lorac_tensor_set_float(program->model, param->tensor, param->data, param->count, error));
    }
    return LORAC_OK;
}

struct pthreadpool *lorac_session_pool(struct lorac_session *session)
{
    return session->env.pool;
}

struct lorac_program *lorac_session_program(struct lorac_session *session)
{
    return session->program;
}
