#include "mask.h"

#include "kernels/kernel.h"

// [is_read]: by value, whether a step reads it on the way back for more than a mask.
static void find_readers(const struct lorac_program *program, bool *is_read)
{
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        if (!step->needs_backward)
            continue;
        if (step->keeps_output && !step->kernel->can_mask)
            is_read[step->output] = true;
        for (size_t k = 0; step->keeps_inputs && k < step->input_count; k++)
            is_read[step->inputs[k]] = true;
    }
}

enum lorac_status lorac_mask_outputs(struct lorac_program *program, struct lorac_error *error)
{
    bool *is_read = lorac_arena_alloc_array(program->arena, program->value_count, sizeof(*is_read));
    if (!is_read)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the memory plan");
    find_readers(program, is_read);
    for (size_t i = 0; i < program->step_count; i++) {
        struct lorac_step *step = &program->steps[i];
        if (!step->needs_backward || !step->keeps_output || !step->kernel->can_mask || is_read[step->output])
            continue;
        step->keeps_output = false;
        step->keeps_mask = true;
        step->kept_bytes = (lorac_value_count(&program->values[step->output]) + 7) / 8;
    }
    return LORAC_OK;
}
