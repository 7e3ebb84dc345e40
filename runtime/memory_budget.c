#include "memory_budget.h"

#include "kernels/kernel.h"

// Largest first. Between two neighbours lies a factor of 2; the packed weights of one stage of a ResNet are 4 times those
// of the stage before. The last leaves each layer what packs least.
static const size_t packed_limits[] = {0,       1 << 25, 1 << 24, 1 << 23, 1 << 22, 1 << 21,
                                       1 << 20, 1 << 19, 1 << 18, 1 << 17, 1};
enum { LIMIT_COUNT = sizeof packed_limits / sizeof *packed_limits };

// Reading a byte from memory takes a core as long as so many multiply-adds: 10 GB/s beside 25 to 60 thousand million.
static const double work_per_byte = 4;

static double relative_time(const struct lorac_step *step, bool backward)
{
    return step->kernel->relative_time ? step->kernel->relative_time(step, backward) : 1;
}

static double work_of(const struct lorac_program *program, const struct lorac_memory_prediction *memory, size_t batch)
{
    double work = work_per_byte * (double)memory->session.packed_bytes;
    const size_t count = program->training ? program->forward_step_count_to_logits : program->step_count;
    for (size_t i = 0; i < count; i++) {
        const struct lorac_step *step = &program->steps[i];
        work += relative_time(step, false) * (double)lorac_step_multiply_adds(program, step);
        if (program->training)
            work += relative_time(step, true) * (double)lorac_step_backward_multiply_adds(program, step);
    }
    return work * (double)batch / (double)program->batch;
}

struct search {
    struct lorac_model *model;
    const struct lorac_meta *meta;
    const struct lorac_memory_request *request;
    struct lorac_memory_choice best, smallest;
    bool found, any;
};

// *fits: within the budget.
static enum lorac_status try(struct search *search, const struct lorac_lower_options *lower, bool *fits,
                             struct lorac_error *error)
{
    const struct lorac_memory_request *request = search->request;
    struct lorac_memory_setting setting = request->setting;
    struct lorac_memory_prediction memory;
    struct lorac_program *program = NULL;
    setting.threads = LORAC_BUDGET_THREADS;
    LORAC_TRY(lorac_lower(search->model, search->meta, lower, &program, error));
    enum lorac_status status = lorac_memory_predict(program, &setting, &memory, error);
    if (status == LORAC_OK) {
        const struct lorac_memory_choice choice = {*lower, memory.peak_bytes,
                                                   work_of(program, &memory, request->batch)};
        *fits = memory.peak_bytes <= request->budget_bytes;
        if (*fits && (!search->found || choice.work < search->best.work))
            search->best = choice;
        search->found |= *fits;
        if (!search->any || choice.peak_bytes < search->smallest.peak_bytes)
            search->smallest = choice;
        search->any = true;
    }
    lorac_program_free(program);
    return status;
}

// Limits from the fastest on, to the first that fits.
static enum lorac_status try_limits(struct search *search, struct lorac_lower_options lower, bool *fits,
                                    struct lorac_error *error)
{
    *fits = false;
    for (size_t i = 0; i < LIMIT_COUNT && !*fits; i++) {
        lower.packed_limit = packed_limits[i];
        LORAC_TRY(try(search, &lower, fits, error));
    }
    return LORAC_OK;
}

// What was measured is the fastest, not the smallest: where it does not fit, the rule may.
static enum lorac_status try_micro_batch(struct search *search, size_t micro_batch, struct lorac_error *error)
{
    struct lorac_lower_options lower = search->request->lower;
    bool fits;
    lower.batch = micro_batch;
    LORAC_TRY(try_limits(search, lower, &fits, error));
    if (fits || !lower.choices)
        return LORAC_OK;
    lower.choices = NULL;
    return try_limits(search, lower, &fits, error);
}

enum lorac_status lorac_memory_choose(struct lorac_model *model, const struct lorac_meta *meta,
                                      const struct lorac_memory_request *request, bool *found,
                                      struct lorac_memory_choice *best, struct lorac_memory_choice *smallest,
                                      struct lorac_error *error)
{
    struct search search = {.model = model, .meta = meta, .request = request};
    for (size_t micro = request->batch; micro > 0; micro--)
        if (request->batch % micro == 0 && (request->micro_batch == 0 || request->micro_batch == micro))
            LORAC_TRY(try_micro_batch(&search, micro, error));
    *found = search.found;
    *best = search.best;
    *smallest = search.smallest;
    return LORAC_OK;
}
