#include "timing.h"

#include <time.h>

int64_t lorac_timing_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const char *lorac_span_name(enum lorac_span_kind kind)
{
    static const char *const names[LORAC_SPAN_KINDS] = {
        [LORAC_SPAN_LOWER] = "lower",       [LORAC_SPAN_TUNE] = "tune",           [LORAC_SPAN_PLAN] = "plan",
        [LORAC_SPAN_ALLOCATE] = "allocate", [LORAC_SPAN_PACK] = "pack",           [LORAC_SPAN_INPUT] = "input",
        [LORAC_SPAN_REFRESH] = "refresh",   [LORAC_SPAN_FORWARD] = "forward",     [LORAC_SPAN_LOSS] = "loss",
        [LORAC_SPAN_ZERO] = "zero",         [LORAC_SPAN_RECOMPUTE] = "recompute", [LORAC_SPAN_BACKWARD] = "backward",
        [LORAC_SPAN_SUM] = "sum",           [LORAC_SPAN_NORM] = "norm",           [LORAC_SPAN_UPDATE] = "update",
        [LORAC_SPAN_COMMIT] = "commit",
    };
    return names[kind];
}
