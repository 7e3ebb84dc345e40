#include "peak.h"

#include "parallel.h"
#include "runtime/timing.h"
#include "simd.h"

// A run takes some milliseconds: long beside the start of the threads, short beside other programs' turns.
enum { RUNS = 12, ROUNDS = 1 << 21, MAX_PIECES = 64 };

struct peak {
    const struct lorac_simd *simd;
    double counts[MAX_PIECES];
    float sums[MAX_PIECES];
};

static void run_piece(void *context, size_t i)
{
    struct peak *peak = context;
    peak->counts[i] = peak->simd->multiply_adds(ROUNDS, &peak->sums[i]);
}

double lorac_peak_flops(struct pthreadpool *pool, size_t threads)
{
    struct peak peak = {.simd = lorac_simd_select()};
    size_t pieces = threads < MAX_PIECES ? threads : MAX_PIECES;
    if (!pool || pieces < 1)
        pieces = 1;
    double best = 0;
    for (size_t i = 0; i < RUNS; i++) {
        int64_t begin = lorac_timing_now();
        lorac_parallel_for(pool, run_piece, &peak, pieces);
        double seconds = 1e-9 * (double)(lorac_timing_now() - begin), count = 0;
        for (size_t k = 0; k < pieces; k++)
            count += peak.counts[k];
        if (seconds > 0 && 2 * count / seconds > best)
            best = 2 * count / seconds;
    }
    return best;
}

const char *lorac_peak_instruction_set(void)
{
    return lorac_simd_select()->name;
}
