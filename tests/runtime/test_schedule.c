// Learning rates step by step, against the closed formulas of PyTorch's schedulers.
#include "check.h"

#include "runtime/train/optimizer.h"

// Doubles, computed in another order than in the library.
static const double TOLERANCE = 1e-12;

static const struct {
    const char *name;
    struct lorac_schedule schedule;
    uint64_t step;
    double expected;
} cases[] = {
    // Numbers from torch.optim.lr_scheduler: CosineAnnealingLR(T_max), LinearLR for the warm-up, MultiStepLR.
    {"constant, first", {LORAC_SCHEDULE_CONSTANT, 0.3, 10, 0}, 0, 0.3},
    {"constant, last", {LORAC_SCHEDULE_CONSTANT, 0.3, 10, 0}, 9, 0.3},
    {"cosine, first", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 0, 0.1},
    {"cosine, 1 of 10", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 1, 0.09755282581475769},
    {"cosine, 3 of 10", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 3, 0.07938926261462366},
    {"cosine, middle", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 5, 0.05},
    {"cosine, last", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 9, 0.0024471741852423235},
    {"cosine, after the end", {LORAC_SCHEDULE_COSINE, 0.1, 10, 0}, 10, 0},
    {"cosine, one step", {LORAC_SCHEDULE_COSINE, 0.1, 1, 0}, 0, 0.1},
    {"warm-up, first", {LORAC_SCHEDULE_COSINE, 0.2, 14, 4}, 0, 0.05},
    {"warm-up, second", {LORAC_SCHEDULE_COSINE, 0.2, 14, 4}, 1, 0.1},
    {"warm-up, last", {LORAC_SCHEDULE_COSINE, 0.2, 14, 4}, 3, 0.2},
    {"after warm-up, cosine starts", {LORAC_SCHEDULE_COSINE, 0.2, 14, 4}, 4, 0.2},
    {"after warm-up, cosine of the rest", {LORAC_SCHEDULE_COSINE, 0.2, 14, 4}, 7, 0.1587785252292473},
    {"warm-up all through", {LORAC_SCHEDULE_COSINE, 0.2, 4, 4}, 3, 0.2},
    {"warm-up, constant", {LORAC_SCHEDULE_CONSTANT, 0.2, 10, 5}, 2, 0.12},
    {"step, before half", {LORAC_SCHEDULE_STEP, 1, 8, 0}, 3, 1},
    {"step, half", {LORAC_SCHEDULE_STEP, 1, 8, 0}, 4, 0.1},
    {"step, before three quarters", {LORAC_SCHEDULE_STEP, 1, 8, 0}, 5, 0.1},
    {"step, three quarters", {LORAC_SCHEDULE_STEP, 1, 8, 0}, 6, 0.01},
    {"step, odd: below half", {LORAC_SCHEDULE_STEP, 1, 7, 0}, 3, 1},
    {"step, odd: above half", {LORAC_SCHEDULE_STEP, 1, 7, 0}, 4, 0.1},
    {"step, odd: below three quarters", {LORAC_SCHEDULE_STEP, 1, 7, 0}, 5, 0.1},
    {"step, odd: above three quarters", {LORAC_SCHEDULE_STEP, 1, 7, 0}, 6, 0.01},
    {"step, very long", {LORAC_SCHEDULE_STEP, 1, UINT64_MAX, 0}, UINT64_MAX / 4 * 3 - 1, 0.1},
};

// Whatever the schedule, rates are finite, never negative, never above the base.
static void test_bounds(void)
{
    for (int kind = LORAC_SCHEDULE_CONSTANT; kind <= LORAC_SCHEDULE_STEP; kind++)
        for (uint64_t total = 1; total < 30; total++)
            for (uint64_t warmup = 0; warmup <= total; warmup += 3)
                for (uint64_t step = 0; step < total; step++) {
                    struct lorac_schedule schedule = {(enum lorac_schedule_kind)kind, 0.7, total, warmup};
                    double lr = lorac_schedule_lr(&schedule, step);
                    CHECKF(lr > 0 && lr <= 0.7, "kind %d, total %u, warm-up %u, step %u: %g", kind, (unsigned)total,
                           (unsigned)warmup, (unsigned)step, lr);
                }
}

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double got = lorac_schedule_lr(&cases[i].schedule, cases[i].step);
        CHECKF(fabs(got - cases[i].expected) <= TOLERANCE, "%s: got %.17g, expected %.17g", cases[i].name, got,
               cases[i].expected);
    }
    test_bounds();
    return check_report();
}
