#include "fuse.h"

#include "kernels/kernel.h"

// By value: the step that makes it, LORAC_NO_ID for the input, and how many inputs of steps it is.
struct ends {
    uint32_t producer;
    size_t reads;
};

static void find_ends(const struct lorac_program *program, struct ends *ends)
{
    for (size_t i = 0; i < program->value_count; i++)
        ends[i].producer = LORAC_NO_ID;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        ends[step->output].producer = i;
        for (size_t k = 0; k < step->input_count; k++)
            ends[step->inputs[k]].reads++;
    }
}

// Being in the place of what it reads, the step is known to be the last that does, on the way back as well.
static bool can_be_fused(const struct lorac_program *program, const struct lorac_step *step, const struct ends *ends)
{
    return step->kernel->is_clamp && ends[step->inputs[0]].producer != LORAC_NO_ID &&
           ends[step->inputs[0]].reads == 1 &&
           program->values[step->inputs[0]].buffer == program->values[step->output].buffer;
}

enum lorac_status lorac_fuse_clamps(struct lorac_program *program, struct lorac_error *error)
{
    struct ends *ends = lorac_arena_alloc_array(program->arena, program->value_count, sizeof(*ends));
    if (!ends)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
    find_ends(program, ends);
    for (size_t i = 0; i < program->step_count; i++) {
        struct lorac_step *step = &program->steps[i];
        float low, high;
        if (!can_be_fused(program, step, ends) || !step->kernel->is_clamp(step, &low, &high))
            continue;
        struct lorac_step *producer = &program->steps[ends[step->inputs[0]].producer];
        step->is_fused = producer->kernel->take_clamp && producer->kernel->take_clamp(producer, low, high);
    }
    return LORAC_OK;
}
