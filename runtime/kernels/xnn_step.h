// For kernels whose state is one XNNPACK operator: running and destroying it.
#ifndef LORAC_XNN_STEP_H
#define LORAC_XNN_STEP_H

#include "kernel.h"
#include "xnn.h"

static inline void lorac_xnn_step_forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    lorac_xnn_run(step->state, env->pool);
}

static inline void lorac_xnn_step_destroy(struct lorac_step *step)
{
    lorac_xnn_destroy(step->state);
    step->state = NULL;
}

#endif
