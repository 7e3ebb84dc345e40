#include "optimizer.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

double lorac_schedule_lr(const struct lorac_schedule *schedule, uint64_t step)
{
    const uint64_t total = schedule->total_steps, warmup = schedule->warmup_steps;
    if (step < warmup)
        return schedule->lr * ((double)(step + 1) / (double)warmup);
    switch (schedule->kind) {
    case LORAC_SCHEDULE_CONSTANT:
        break;
    case LORAC_SCHEDULE_COSINE:
        if (step >= total)
            return warmup >= total ? schedule->lr : 0;
        return schedule->lr * (1 + cos(PI * ((double)(step - warmup) / (double)(total - warmup)))) / 2;
    case LORAC_SCHEDULE_STEP:
        // step >= total/2 and step >= 3/4*total, in integers that cannot overflow.
        if (step >= total - total / 4)
            return schedule->lr * 0.1 * 0.1;
        if (step >= total - total / 2)
            return schedule->lr * 0.1;
        break;
    }
    return schedule->lr;
}
