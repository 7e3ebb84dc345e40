#include "absorb.h"

#include "kernels/kernel.h"

// What is known of each value.
struct use {
    struct lorac_step *producer; // NULL: the input
    size_t readers;              // steps, and whoever asks for the program's output
};

static void count_uses(struct lorac_program *program, struct use *uses)
{
    for (size_t i = 0; i < program->value_count; i++)
        uses[i] = (struct use){NULL, 0};
    for (size_t i = 0; i < program->step_count; i++)
        for (size_t k = 0; k < program->steps[i].input_count; k++)
            uses[program->steps[i].inputs[k]].readers++;
    uses[program->logits].readers++;
    uses[program->output].readers++;
}

static bool absorb(struct lorac_program *program, const struct use *uses, const struct lorac_step *step)
{
    if (step->input_count != 1)
        return false;
    const struct use *use = &uses[step->inputs[0]];
    struct lorac_step *producer = use->producer;
    if (!producer || use->readers != 1 || !producer->kernel->absorb ||
        !producer->kernel->absorb(program, producer, step))
        return false;
    program->buffers[program->values[producer->output].buffer].bytes = 0; // nobody writes it any more
    producer->output = step->output;
    return true;
}

enum lorac_status lorac_absorb_steps(struct lorac_program *program, struct lorac_error *error)
{
    struct use *uses = lorac_arena_alloc_array(program->arena, program->value_count, sizeof *uses);
    if (!uses)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
    count_uses(program, uses);
    size_t kept = 0, to_logits = program->forward_step_count_to_logits;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step step = program->steps[i];
        if (absorb(program, uses, &step)) {
            uses[step.output].producer = uses[step.inputs[0]].producer;
            program->forward_step_count_to_logits -= i < to_logits;
            continue;
        }
        program->steps[kept] = step;
        uses[step.output].producer = &program->steps[kept++];
    }
    program->step_count = kept;
    return LORAC_OK;
}
