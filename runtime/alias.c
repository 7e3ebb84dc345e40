#include "alias.h"

#include "kernels/kernel.h"

// The second lives as well: what runs again does so in the same places.
static bool meet_again(const struct lorac_buffer *kept, const struct lorac_buffer *given_up)
{
    return kept->again_last == 0 ? given_up->again_last == 0
                                 : given_up->again_last > 0 && kept->again_last == given_up->again_first;
}

// [taken] goes on as [buffer], which nothing reads after [time], where the other begins.
static bool join(struct lorac_program *program, uint32_t buffer, uint32_t taken, uint32_t time)
{
    struct lorac_buffer *kept = &program->buffers[buffer], *given_up = &program->buffers[taken];
    if (buffer == taken || kept->last != time || given_up->first != time || kept->bytes != given_up->bytes ||
        !meet_again(kept, given_up))
        return false;
    kept->last = given_up->last;
    kept->again_last = given_up->again_last;
    given_up->bytes = 0; // the plan gives it no place
    return true;
}

// True where an input that the step still reads after it began to write lies in [buffer].
static bool is_read_later(const struct lorac_program *program, const struct lorac_step *step, uint32_t buffer,
                          const uint32_t *names)
{
    for (size_t k = step->kernel->in_place_inputs; k < step->input_count; k++)
        if (names[program->values[step->inputs[k]].buffer] == buffer)
            return true;
    return false;
}

static void join_output(struct lorac_program *program, uint32_t time, uint32_t *names)
{
    const struct lorac_step *step = &program->steps[time];
    const uint32_t output = program->values[step->output].buffer, input = program->values[program->input].buffer;
    for (size_t k = 0; k < step->kernel->in_place_inputs && k < step->input_count; k++) {
        const uint32_t buffer = names[program->values[step->inputs[k]].buffer];
        if (buffer != input && !is_read_later(program, step, buffer, names) && join(program, buffer, output, time)) {
            names[output] = buffer;
            return;
        }
    }
}

// What the op makes anew, LORAC_NO_ID where that is nothing, and what it could be written over.
struct place {
    uint32_t made, read;
};

static struct place written_place(const struct lorac_backward_op *op, const struct lorac_step *step)
{
    if (op->kind == LORAC_BACKWARD_SUM)
        return (struct place){op->target, op->source};
    if (op->kind == LORAC_BACKWARD_STEP && step->kernel->gradient_in_place)
        return (struct place){op->dx[0], op->dy};
    return (struct place){LORAC_NO_ID, LORAC_NO_ID};
}

void lorac_alias_find(struct lorac_program *program, uint32_t *names)
{
    for (uint32_t i = 0; i < program->buffer_count; i++)
        names[i] = i;
    for (uint32_t i = 0; i < program->step_count; i++)
        join_output(program, i, names);
    for (uint32_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        const struct place place = written_place(op, &program->steps[op->step]);
        if (place.made != LORAC_NO_ID &&
            join(program, names[place.read], place.made, (uint32_t)program->step_count + 1 + j))
            names[place.made] = names[place.read]; // before anything reads it
    }
}

static void rename_buffers(struct lorac_backward_op *op, size_t input_count, const uint32_t *names)
{
    switch (op->kind) {
    case LORAC_BACKWARD_STEP:
        op->dy = names[op->dy];
        for (size_t k = 0; k < input_count; k++)
            if (op->dx[k] != LORAC_NO_ID)
                op->dx[k] = names[op->dx[k]];
        break;
    case LORAC_BACKWARD_SUM:
        op->source2 = names[op->source2];
        // fall through
    case LORAC_BACKWARD_ADD:
        op->target = names[op->target];
        op->source = names[op->source];
        break;
    case LORAC_BACKWARD_FORWARD: // its buffers are the values'
        break;
    }
}

enum lorac_status lorac_alias_in_place(struct lorac_program *program, struct lorac_error *error)
{
    uint32_t *names = lorac_arena_alloc_array(program->arena, program->buffer_count, sizeof(*names));
    if (!names)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the memory plan");
    lorac_alias_find(program, names);
    for (size_t i = 0; i < program->value_count; i++)
        program->values[i].buffer = names[program->values[i].buffer];
    for (size_t j = 0; j < program->backward_count; j++)
        rename_buffers(&program->backward[j], program->steps[program->backward[j].step].input_count, names);
    return LORAC_OK;
}
