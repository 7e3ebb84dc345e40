#include "program.h"

#include "proto/size.h"

#include <string.h>

// Arrays grow in the arena by doubling; the outgrown ones stay there until the program goes, which at these sizes (a
// few hundred entries) is cheaper than an owner for each.
static enum lorac_status grow(struct lorac_program *program, void *array_pointer, size_t count, size_t *capacity,
                              size_t bytes_each, struct lorac_error *error)
{
    if (count < *capacity)
        return LORAC_OK;
    size_t larger = *capacity ? *capacity * 2 : 32;
    void *array;
    memcpy(&array, array_pointer, sizeof array);
    void *grown = lorac_arena_alloc_array(program->arena, larger, bytes_each);
    if (!grown)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the program");
    if (count)
        memcpy(grown, array, count * bytes_each);
    memcpy(array_pointer, &grown, sizeof grown);
    *capacity = larger;
    return LORAC_OK;
}

enum lorac_status lorac_program_add_buffer(struct lorac_program *program, size_t bytes, uint32_t *id,
                                           struct lorac_error *error)
{
    LORAC_TRY(grow(program, &program->buffers, program->buffer_count, &program->buffer_capacity,
                   sizeof(*program->buffers), error));
    program->buffers[program->buffer_count] = (struct lorac_buffer){.bytes = bytes};
    *id = (uint32_t)program->buffer_count++;
    return LORAC_OK;
}

enum lorac_status lorac_program_add_value(struct lorac_program *program, const struct lorac_value *value, uint32_t *id,
                                          struct lorac_error *error)
{
    int64_t dims[4] = {(int64_t)value->n, (int64_t)value->h, (int64_t)value->w, (int64_t)value->c};
    size_t count, bytes;
    if (!lorac_size_of_dims(dims, 4, &count) || !lorac_size_multiply(count, sizeof(float), &bytes))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "value '%s' is too large: %zu x %zu x %zu x %zu", value->name,
                               value->n, value->h, value->w, value->c);
    LORAC_TRY(grow(program, &program->values, program->value_count, &program->value_capacity, sizeof(*program->values),
                   error));
    struct lorac_value *slot = &program->values[program->value_count];
    *slot = *value;
    LORAC_TRY(lorac_program_add_buffer(program, bytes, &slot->buffer, error));
    *id = (uint32_t)program->value_count++;
    return LORAC_OK;
}

enum lorac_status lorac_program_add_param(struct lorac_program *program, const struct lorac_param *param, uint32_t *id,
                                          struct lorac_error *error)
{
    LORAC_TRY(grow(program, &program->params, program->param_count, &program->param_capacity, sizeof(*program->params),
                   error));
    program->params[program->param_count] = *param;
    *id = (uint32_t)program->param_count++;
    return LORAC_OK;
}

enum lorac_status lorac_program_add_step(struct lorac_program *program, const struct lorac_step *step,
                                         struct lorac_error *error)
{
    if (program->step_count == LORAC_MAX_STEPS)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "the model has more than %d nodes that have to be run",
                               LORAC_MAX_STEPS);
    LORAC_TRY(
        grow(program, &program->steps, program->step_count, &program->step_capacity, sizeof(*program->steps), error));
    program->steps[program->step_count++] = *step;
    return LORAC_OK;
}

void lorac_program_free(struct lorac_program *program)
{
    if (program)
        lorac_arena_free(program->arena);
}
