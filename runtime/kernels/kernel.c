#include "kernel.h"

#include "kernel_list.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <assert.h>
#include <string.h>

#define KERNEL_ADDRESS(kernel) &kernel,
static const struct lorac_kernel *const KERNELS[] = {LORAC_KERNEL_LIST(KERNEL_ADDRESS)};

const struct lorac_kernel *const *lorac_kernel_all(size_t *count)
{
    *count = sizeof KERNELS / sizeof *KERNELS;
    return KERNELS;
}

const struct lorac_kernel *lorac_kernel_find(const char *op_type)
{
    for (size_t i = 0; i < sizeof KERNELS / sizeof *KERNELS; i++)
        if (strcmp(KERNELS[i]->op_type, op_type) == 0)
            return KERNELS[i];
    return NULL;
}

bool lorac_step_is_branch(const struct lorac_step *step)
{
    const char *form = step->kernel->form ? step->kernel->form(step) : NULL;
    return form && strcmp(form, "branch") == 0;
}

size_t lorac_step_multiply_adds(const struct lorac_program *program, const struct lorac_step *step)
{
    return step->kernel->multiply_adds ? step->kernel->multiply_adds(program, step) : 0;
}

size_t lorac_step_backward_multiply_adds(const struct lorac_program *program, const struct lorac_step *step)
{
    size_t times = step->has_trainable && !lorac_step_is_branch(step), total;
    for (size_t i = 0; i < step->input_count; i++)
        if (lorac_step_input(program, step, i)->needs_gradient) {
            times++;
            break;
        }
    return lorac_size_multiply(times, lorac_step_multiply_adds(program, step), &total) ? total : SIZE_MAX;
}

void lorac_program_count_forms(const struct lorac_program *program, size_t *definitions, size_t *branches)
{
    *definitions = *branches = 0;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const char *form = step->kernel->form ? step->kernel->form(step) : NULL;
        if (form)
            ++*(lorac_step_is_branch(step) ? branches : definitions);
    }
}

bool lorac_param_is_rereadable(const struct lorac_param *param)
{
    return param->tensor && !param->computed && !param->trainable && !param->updated;
}

const float *lorac_param_floats(const struct lorac_program *program, const struct lorac_param *param, float *to)
{
    if (param->data)
        return param->data;
    enum lorac_status status = lorac_tensor_to_float(param->tensor, to, param->count, NULL);
    assert(status == LORAC_OK); // it was when the session was made
    (void)status;
    lorac_tensor_release(program->model, param->tensor);
    return to;
}
