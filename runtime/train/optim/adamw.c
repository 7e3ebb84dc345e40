// torch.optim.AdamW (Loshchilov & Hutter 2019, decoupled weight decay), amsgrad off; t is 1 at the first step:
//
//     p = p*(1 - lr*weight_decay)
//     m = m + (1 - beta1)*(g - m)
//     v = beta2*v + (1 - beta2)*g*g
//     p = p - lr/(1 - beta1^t) * m / (sqrt(v)/sqrt(1 - beta2^t) + eps)
//
// In float, as PyTorch computes it for float32 parameters; what does not depend on the element is computed in double
// and rounded once.
#include "optimizer_list.h"

#include <math.h>

static void update_range(const struct lorac_optimizer_options *options, const struct lorac_update *update, size_t begin,
                         size_t end)
{
    const double t = (double)update->step;
    const double correction1 = 1 - pow(options->beta1, t);
    const double correction2 = 1 - pow(options->beta2, t);
    const float factor = update->gradient_factor;
    const float shrink = update->decay ? (float)(1 - update->lr * options->weight_decay) : 1.0f;
    const float weight1 = (float)(1 - options->beta1);
    const float beta2 = (float)options->beta2;
    const float weight2 = (float)(1 - options->beta2);
    const float root2 = (float)sqrt(correction2);
    const float eps = (float)options->eps;
    const float size = (float)(update->lr / correction1);
    float *restrict value = update->value;
    const float *restrict gradient = update->gradient;
    float *restrict first = update->state[0];
    float *restrict second = update->state[1];

    for (size_t i = begin; i < end; i++) {
        float g = gradient[i] * factor;
        first[i] += weight1 * (g - first[i]);
        second[i] = beta2 * second[i] + weight2 * g * g;
        value[i] = value[i] * shrink - size * first[i] / (sqrtf(second[i]) / root2 + eps);
    }
}

const struct lorac_optimizer lorac_optimizer_adamw = {
    .name = "adamw", .kind = LORAC_ADAMW, .state_count = 2, .update = update_range};
