#include "alias.h"

#include "kernels/kernel.h"

// [taken] goes on as [buffer], which nothing reads after [time], where the other begins.
static bool join(struct lorac_program *program, uint32_t buffer, uint32_t taken, uint32_t time)
{
    struct lorac_buffer *kept = &program->buffers[buffer], *given_up = &program->buffers[taken];
    if (buffer == taken || kept->last != time || given_up->first != time || kept->bytes != given_up->bytes)
        return false;
    kept->last = given_up->last;
    given_up->bytes = 0; // the plan gives it no place
    return true;
}

// True where an input that the step still reads after it began to write lies in [buffer].
static bool is_read_later(const struct lorac_program *program, const struct lorac_step *step, uint32_t buffer)
{
    for (size_t k = step->kernel->in_place_inputs; k < step->input_count; k++)
        if (program->values[step->inputs[k]].buffer == buffer)
            return true;
    return false;
}

static void join_output(struct lorac_program *program, uint32_t time)
{
    const struct lorac_step *step = &program->steps[time];
    struct lorac_value *output = &program->values[step->output];
    const uint32_t input = program->values[program->input].buffer;
    for (size_t k = 0; k < step->kernel->in_place_inputs && k < step->input_count; k++) {
        const uint32_t buffer = program->values[step->inputs[k]].buffer;
        if (buffer != input && !is_read_later(program, step, buffer) && join(program, buffer, output->buffer, time)) {
            output->buffer = buffer;
            return;
        }
    }
}

static void rename_buffers(struct lorac_backward_op *op, size_t input_count, const uint32_t *names)
{
    if (op->kind == LORAC_BACKWARD_STEP) {
        op->dy = names[op->dy];
        for (size_t k = 0; k < input_count; k++)
            if (op->dx[k] != LORAC_NO_ID)
                op->dx[k] = names[op->dx[k]];
        return;
    }
    op->target = names[op->target];
    op->source = names[op->source];
    if (op->kind == LORAC_BACKWARD_SUM)
        op->source2 = names[op->source2];
}

// What the op makes anew, and what it could be written over; made is NULL where nothing can.
struct place {
    uint32_t *made, read;
};

static struct place written_place(struct lorac_backward_op *op, const struct lorac_step *step)
{
    if (op->kind == LORAC_BACKWARD_SUM)
        return (struct place){&op->target, op->source};
    if (op->kind == LORAC_BACKWARD_STEP && step->kernel->gradient_in_place)
        return (struct place){&op->dx[0], op->dy};
    return (struct place){NULL, LORAC_NO_ID};
}

// [names]: what each buffer goes on as; a gradient is named before anything reads it.
static void join_gradients(struct lorac_program *program, uint32_t *names)
{
    for (uint32_t i = 0; i < program->buffer_count; i++)
        names[i] = i;
    for (uint32_t j = 0; j < program->backward_count; j++) {
        struct lorac_backward_op *op = &program->backward[j];
        const struct lorac_step *step = &program->steps[op->step];
        rename_buffers(op, step->input_count, names);
        const struct place place = written_place(op, step);
        if (place.made && *place.made != LORAC_NO_ID &&
            join(program, place.read, *place.made, (uint32_t)program->step_count + 1 + j)) {
            names[*place.made] = place.read;
            *place.made = place.read;
        }
    }
}

enum lorac_status lorac_alias_in_place(struct lorac_program *program, struct lorac_error *error)
{
    for (uint32_t i = 0; i < program->step_count; i++)
        join_output(program, i);
    if (!program->training)
        return LORAC_OK;
    uint32_t *names = lorac_arena_alloc_array(program->arena, program->buffer_count, sizeof(*names));
    if (!names)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the memory plan");
    join_gradients(program, names);
    return LORAC_OK;
}
