#include "kernel.h"

#include "kernel_list.h"

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

void lorac_program_count_forms(const struct lorac_program *program, size_t *definitions, size_t *branches)
{
    *definitions = *branches = 0;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const char *form = step->kernel->form ? step->kernel->form(step) : NULL;
        if (form)
            ++*(strcmp(form, "branch") == 0 ? branches : definitions);
    }
}
