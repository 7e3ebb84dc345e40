// Which way to run a model fits into a budget of memory and takes the least time.
//
// Candidates are all combinations of
//
//     micro-batch    images that are run at once: the divisors of the batch
//     packed limit   bytes of packed weights of a convolution in one direction: large layers lose the algorithms that
//                    pack most first, which on ResNets is where a byte saves the least time
//     choices        what was measured (choice.h); the rule instead under a limit where they do not fit
//     segments       of recomputation (recompute.h): none, or a few numbers of them; the plan does not fall steadily
//                    with their number
//
// Each is lowered and planned, which reads no weight, and its peak predicted (memory_prediction.h) for a fixed number of
// threads, so that the choice, and with it the bits of the results, depends on model, options and budget alone. Of
// those that fit, the one with the least work is taken: multiply-adds, those that are computed a second time too,
// weighted by what its algorithms take beside a plain one, and the packed weights, which every micro-batch reads again.
// Of very large graphs only the first candidates are tried.
// Most combinations with segments are known not to fit, or not to win, from those without, and are not lowered.
#ifndef LORAC_MEMORY_BUDGET_H
#define LORAC_MEMORY_BUDGET_H

#include "lower.h"
#include "memory_prediction.h"

// The threads that a choice is made for. More are possible where they fit too.
enum { LORAC_BUDGET_THREADS = 4 };

struct lorac_memory_request {
    size_t budget_bytes;              // 0: only the smallest is looked for
    size_t batch;                     // of a step
    size_t micro_batch;               // 0: any divisor of the batch
    struct lorac_lower_options lower; // what is not chosen; its batch is not read; recompute_segments 0: any
    struct lorac_memory_setting setting;
};

struct lorac_memory_choice {
    struct lorac_lower_options lower; // as it was chosen; batch is the micro-batch
    size_t peak_bytes;                // predicted, with LORAC_BUDGET_THREADS
    double work;                      // of a step, in multiply-adds of a plain convolution
};

// *found says whether a candidate fits: then *choice is the fastest of these, else the one with the smallest peak.
// Errors: those of lowering.
enum lorac_status lorac_memory_choose(struct lorac_model *model, const struct lorac_meta *meta,
                                      const struct lorac_memory_request *request, bool *found,
                                      struct lorac_memory_choice *choice, struct lorac_error *error);

#endif
