// Softmax and LogSoftmax at the end of a model. Training leaves them out (the loss takes the logits), so they have no
// gradient.
#include "kernel_list.h"

#include "xnn_step.h"

#include <math.h>

struct softmax {
    size_t rows, C;
};

static enum lorac_status lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                               struct lorac_error *error)
{
    uint32_t x;
    LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
    struct lorac_program *program = lorac_lowering_program(lowering);
    const struct lorac_value value = program->values[x];
    struct lorac_view view = lorac_lowering_view(lowering, node, 0);
    int64_t rank = (int64_t)view.rank, fallback = lorac_model_opset(program->model) < 13 ? 1 : -1;
    int64_t axis = lorac_node_int(node, "axis", fallback);
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank || view.axes[axis] != LORAC_AXIS_C || value.h * value.w != 1)
        return lorac_refuse(node, error,
                            "axis %lld over %zu x %zu pixels is not supported; axis 1 over one row of class "
                            "scores per image is",
                            (long long)lorac_node_int(node, "axis", fallback), value.h, value.w);
    struct softmax *softmax = lorac_lowering_config(lowering, step, sizeof(*softmax));
    if (!softmax)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    *softmax = (struct softmax){value.n, value.c};
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, &x, 1, error));
    return lorac_lowering_output_like(lowering, node, step, 0, x, error);
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct softmax *softmax = step->config;
    struct lorac_xnn *op;
    LORAC_TRY(lorac_xnn_softmax(softmax->rows, softmax->C, step->x[0], step->y, env->pool, &op, error));
    step->state = op;
    return LORAC_OK;
}

// log softmax(x) = x - max - log(sum exp(x - max)), in double: a handful of values per image.
static void forward_log(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    (void)env;
    const struct softmax *softmax = step->config;
    for (size_t r = 0; r < softmax->rows; r++) {
        const float *x = step->x[0] + r * softmax->C;
        double top = x[0], sum = 0.0;
        for (size_t c = 1; c < softmax->C; c++)
            top = x[c] > top ? x[c] : top;
        for (size_t c = 0; c < softmax->C; c++)
            sum += exp((double)x[c] - top);
        for (size_t c = 0; c < softmax->C; c++)
            step->y[r * softmax->C + c] = (float)((double)x[c] - top - log(sum));
    }
}

const struct lorac_kernel lorac_kernel_softmax = {.op_type = "Softmax",
                                                  .lower = lower,
                                                  .create = create,
                                                  .forward = lorac_xnn_step_forward,
                                                  .destroy = lorac_xnn_step_destroy};
const struct lorac_kernel lorac_kernel_log_softmax = {.op_type = "LogSoftmax", .lower = lower, .forward = forward_log};
