// torch.optim.SGD, dampening 0:
//
//     d   = factor*g + weight_decay*p
//     buf = d at the first step, else momentum*buf + d
//     p   = p - lr*(d + momentum*buf if nesterov, else buf)
//
// In float, as PyTorch computes it for float32 parameters; constants are rounded once. Without momentum buf is d.
#include "optimizer_list.h"

static void update_range(const struct lorac_optimizer_options *options, const struct lorac_update *update, size_t begin,
                         size_t end)
{
    const float factor = update->gradient_factor;
    const float decay = update->decay ? (float)options->weight_decay : 0.0f;
    // The buffer is zero before the first step: 0*buf + d is d.
    const float momentum = (float)options->momentum;
    const bool nesterov = options->nesterov;
    const float lr = (float)update->lr;
    float *restrict value = update->value;
    const float *restrict gradient = update->gradient;
    float *restrict buffer = update->state[0];

    for (size_t i = begin; i < end; i++) {
        float d = gradient[i] * factor + decay * value[i];
        float moved = momentum * buffer[i] + d;
        buffer[i] = moved;
        value[i] -= lr * (nesterov ? d + momentum * moved : moved);
    }
}

const struct lorac_optimizer lorac_optimizer_sgd = {
    .name = "sgd", .kind = LORAC_SGD, .state_count = 1, .update = update_range};
