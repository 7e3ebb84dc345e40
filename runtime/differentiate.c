#include "differentiate.h"

#include "kernels/kernel.h"
#include "mask.h"

#include <string.h>

// ---- marking

static bool any_trainable(const struct lorac_program *program, const struct lorac_step *step)
{
    for (size_t i = 0; i < step->param_count; i++)
        if (step->params[i] != LORAC_NO_ID && program->params[step->params[i]].trainable)
            return true;
    return false;
}

enum lorac_status lorac_differentiate_mark(struct lorac_program *program, struct lorac_error *error)
{
    if (!program->training)
        return LORAC_OK;
    for (size_t i = 0; i < program->forward_step_count_to_logits; i++) {
        struct lorac_step *step = &program->steps[i];
        step->has_trainable = any_trainable(program, step);
        step->needs_backward = step->has_trainable;
        for (size_t k = 0; k < step->input_count; k++)
            step->needs_backward |= program->values[step->inputs[k]].needs_gradient;
        program->values[step->output].needs_gradient = step->needs_backward;
        if (step->needs_backward && !step->kernel->backward && !step->kernel->passes_gradient)
            return lorac_error_set(
                error, LORAC_ERROR_UNSUPPORTED,
                "node '%s' (%s): it has no gradient, and lies behind a trained layer; it is supported "
                "only at the end of the model",
                step->name, step->kernel->op_type);
    }
    if (!program->values[program->logits].needs_gradient)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "nothing trainable lies before the output; inject adapters first");
    return LORAC_OK;
}

// ---- the way back

// The gradient of a value as far as it is known.
struct gradient {
    uint32_t buffer; // LORAC_NO_ID: none yet
    bool shared;     // another value's gradient is the same buffer: it may be read, not added into
};

struct walk {
    struct lorac_program *program;
    struct gradient *gradients; // by value
    struct lorac_error *error;
};

static enum lorac_status push(struct walk *walk, const struct lorac_backward_op *op)
{
    struct lorac_program *program = walk->program;
    if (program->backward_count == program->backward_capacity) {
        size_t larger = program->backward_capacity ? 2 * program->backward_capacity : 64;
        struct lorac_backward_op *grown = lorac_arena_alloc_array(program->arena, larger, sizeof(*grown));
        if (!grown)
            return lorac_error_set(walk->error, LORAC_ERROR_MEMORY, "out of memory for the backward steps");
        if (program->backward_count)
            memcpy(grown, program->backward, program->backward_count * sizeof(*grown));
        program->backward = grown;
        program->backward_capacity = larger;
    }
    program->backward[program->backward_count++] = *op;
    return LORAC_OK;
}

static enum lorac_status new_gradient(struct walk *walk, uint32_t value, uint32_t *buffer)
{
    size_t bytes = lorac_value_count(&walk->program->values[value]) * sizeof(float);
    return lorac_program_add_buffer(walk->program, bytes, buffer, walk->error);
}

// One more contribution to the gradient of [value]: [buffer], shared or its own.
static enum lorac_status contribute(struct walk *walk, uint32_t value, struct gradient fresh)
{
    struct gradient *known = &walk->gradients[value];
    struct lorac_backward_op op = {.kind = LORAC_BACKWARD_ADD,
                                   .count = lorac_value_count(&walk->program->values[value])};
    if (known->buffer == LORAC_NO_ID) {
        *known = fresh;
        return LORAC_OK;
    }
    if (!known->shared) {
        op.target = known->buffer;
        op.source = fresh.buffer;
    } else if (!fresh.shared) {
        op.target = fresh.buffer;
        op.source = known->buffer;
        *known = fresh;
    } else {
        op.kind = LORAC_BACKWARD_SUM;
        op.source = known->buffer;
        op.source2 = fresh.buffer;
        LORAC_TRY(new_gradient(walk, value, &op.target));
        *known = (struct gradient){op.target, false};
    }
    return push(walk, &op);
}

// Add: each input's gradient is the output's own. The buffer is shared from now on, also with the output.
static enum lorac_status pass_on(struct walk *walk, const struct lorac_step *step)
{
    struct gradient shared = {walk->gradients[step->output].buffer, true};
    for (size_t i = 0; i < step->input_count; i++)
        if (walk->program->values[step->inputs[i]].needs_gradient)
            LORAC_TRY(contribute(walk, step->inputs[i], shared));
    return LORAC_OK;
}

static enum lorac_status go_back(struct walk *walk, size_t step_index)
{
    struct lorac_program *program = walk->program;
    const struct lorac_step *step = &program->steps[step_index];
    struct lorac_backward_op op = {
        .kind = LORAC_BACKWARD_STEP, .step = (uint32_t)step_index, .dy = walk->gradients[step->output].buffer};
    op.dx = lorac_arena_alloc_array(program->arena, step->input_count, sizeof(*op.dx));
    if (!op.dx)
        return lorac_error_set(walk->error, LORAC_ERROR_MEMORY, "out of memory for the backward steps");
    for (size_t i = 0; i < step->input_count; i++) {
        op.dx[i] = LORAC_NO_ID;
        if (program->values[step->inputs[i]].needs_gradient)
            LORAC_TRY(new_gradient(walk, step->inputs[i], &op.dx[i]));
    }
    LORAC_TRY(push(walk, &op));
    for (size_t i = 0; i < step->input_count; i++)
        if (op.dx[i] != LORAC_NO_ID)
            LORAC_TRY(contribute(walk, step->inputs[i], (struct gradient){op.dx[i], false}));
    return LORAC_OK;
}

static enum lorac_status make_backward(struct lorac_program *program, struct lorac_error *error)
{
    struct walk walk = {program, NULL, error};
    walk.gradients = lorac_arena_alloc_array(program->arena, program->value_count, sizeof(*walk.gradients));
    if (!walk.gradients)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the backward steps");
    for (size_t i = 0; i < program->value_count; i++)
        walk.gradients[i].buffer = LORAC_NO_ID;
    LORAC_TRY(new_gradient(&walk, program->logits, &program->logits_gradient));
    walk.gradients[program->logits].buffer = program->logits_gradient;
    for (size_t i = program->forward_step_count_to_logits; i-- > 0;) {
        const struct lorac_step *step = &program->steps[i];
        if (!step->needs_backward || walk.gradients[step->output].buffer == LORAC_NO_ID)
            continue;
        LORAC_TRY(step->kernel->passes_gradient ? pass_on(&walk, step) : go_back(&walk, i));
    }
    return LORAC_OK;
}

// ---- lifetimes

// Times only grow while the lifetimes are set, so that a use is the last one so far.
static void touch(struct lorac_buffer *buffer, uint32_t time)
{
    if (buffer->last == LORAC_NO_ID) // never used so far
        buffer->first = buffer->last = time;
    else if (buffer->again_last > 0)
        buffer->again_last = time;
    else
        buffer->last = time;
}

static void touch_value(struct lorac_program *program, uint32_t value, uint32_t time)
{
    touch(&program->buffers[program->values[value].buffer], time);
}

// Written anew: whatever was in it is dead since its last use.
static void begin_again(struct lorac_buffer *buffer, uint32_t time)
{
    if (buffer->again_last == 0)
        buffer->again_first = buffer->again_last = time;
    else
        touch(buffer, time);
}

static void touch_forward(struct lorac_program *program, const struct lorac_step *step, uint32_t time)
{
    for (size_t k = 0; k < step->input_count; k++)
        touch_value(program, step->inputs[k], time);
    touch_value(program, step->output, time);
    if (step->kept_bytes > 0)
        touch(&program->buffers[step->kept_buffer], time);
}

static void touch_forward_again(struct lorac_program *program, const struct lorac_step *step, uint32_t time)
{
    for (size_t k = 0; k < step->input_count; k++)
        touch_value(program, step->inputs[k], time);
    begin_again(&program->buffers[program->values[step->output].buffer], time);
    if (step->kept_bytes > 0)
        begin_again(&program->buffers[step->kept_buffer], time);
}

static void touch_backward(struct lorac_program *program, const struct lorac_backward_op *op, uint32_t time)
{
    const struct lorac_step *step = &program->steps[op->step];
    touch(&program->buffers[op->dy], time);
    for (size_t k = 0; k < step->input_count; k++) {
        if (op->dx[k] != LORAC_NO_ID)
            touch(&program->buffers[op->dx[k]], time);
        if (step->keeps_inputs)
            touch_value(program, step->inputs[k], time);
    }
    if (step->keeps_output)
        touch_value(program, step->output, time);
    if (step->kept_bytes > 0)
        touch(&program->buffers[step->kept_buffer], time);
}

static void touch_op(struct lorac_program *program, const struct lorac_backward_op *op, uint32_t time)
{
    switch (op->kind) {
    case LORAC_BACKWARD_STEP:
        touch_backward(program, op, time);
        break;
    case LORAC_BACKWARD_FORWARD:
        touch_forward_again(program, &program->steps[op->step], time);
        break;
    case LORAC_BACKWARD_SUM:
        touch(&program->buffers[op->source2], time);
        // fall through
    case LORAC_BACKWARD_ADD:
        touch(&program->buffers[op->target], time);
        touch(&program->buffers[op->source], time);
        break;
    }
}

// Time: forward step i at i, the loss at step_count, backward op j at step_count + 1 + j.
void lorac_differentiate_lifetimes(struct lorac_program *program)
{
    uint32_t loss = (uint32_t)program->step_count;
    for (size_t i = 0; i < program->buffer_count; i++) {
        program->buffers[i].last = LORAC_NO_ID;
        program->buffers[i].again_first = program->buffers[i].again_last = 0;
    }
    touch_value(program, program->input, 0);
    for (uint32_t i = 0; i < program->step_count; i++)
        touch_forward(program, &program->steps[i], i);
    touch_value(program, program->logits, loss);
    touch_value(program, program->output, loss);
    program->time_end = loss + 1 + (uint32_t)program->backward_count;
    if (!program->training)
        return;
    touch(&program->buffers[program->logits_gradient], loss);
    for (uint32_t j = 0; j < program->backward_count; j++)
        touch_op(program, &program->backward[j], loss + 1 + j);
}

static enum lorac_status add_kept_buffers(struct lorac_program *program, struct lorac_error *error)
{
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kept_bytes > 0)
            LORAC_TRY(lorac_program_add_buffer(program, program->steps[i].kept_bytes, &program->steps[i].kept_buffer,
                                               error));
    return LORAC_OK;
}

enum lorac_status lorac_differentiate(struct lorac_program *program, struct lorac_error *error)
{
    if (program->training)
        LORAC_TRY(lorac_mask_outputs(program, error));
    LORAC_TRY(add_kept_buffers(program, error));
    if (program->training)
        LORAC_TRY(make_backward(program, error));
    lorac_differentiate_lifetimes(program);
    return LORAC_OK;
}
