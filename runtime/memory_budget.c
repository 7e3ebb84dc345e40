#include "memory_budget.h"

#include "kernels/kernel.h"

#include <string.h>

// Largest first. Between two neighbours lies a factor of 2; the packed weights of one stage of a ResNet are 4 times those
// of the stage before. The last leaves each layer what packs least.
static const size_t packed_limits[] = {0,       1 << 25, 1 << 24, 1 << 23, 1 << 22, 1 << 21,
                                       1 << 20, 1 << 19, 1 << 18, 1 << 17, 1};
enum { LIMIT_COUNT = sizeof packed_limits / sizeof *packed_limits };

// Fewest first: each costs more time than the one before. Most of what there is to gain is gained by a few.
static const size_t segment_counts[] = {2, 3, 4, 8};
enum { SEGMENT_COUNT = sizeof segment_counts / sizeof *segment_counts };

// Reading a byte from memory takes a core as long as so many multiply-adds: 10 GB/s beside 25 to 60 thousand million.
// One of a weight that is packed at each run comes from the file's pages and goes through two copies.
static const double work_per_byte = 4, work_per_reread_byte = 20;

static double relative_time(const struct lorac_step *step, bool backward)
{
    return step->kernel->relative_time ? step->kernel->relative_time(step, backward) : 1;
}

static double forward_work(const struct lorac_program *program, const struct lorac_step *step)
{
    return relative_time(step, false) * (double)lorac_step_multiply_adds(program, step) +
           work_per_reread_byte * (double)step->reread_bytes;
}

static double backward_work(const struct lorac_program *program, const struct lorac_step *step)
{
    const double reread = step->needs_backward ? (double)step->reread_bytes : 0;
    return relative_time(step, true) * (double)lorac_step_backward_multiply_adds(program, step) +
           work_per_reread_byte * reread;
}

static double work_of(const struct lorac_program *program, const struct lorac_memory_prediction *memory, size_t batch)
{
    double work = work_per_byte * (double)memory->session.packed_bytes;
    const size_t count = program->training ? program->forward_step_count_to_logits : program->step_count;
    for (size_t i = 0; i < count; i++) {
        work += forward_work(program, &program->steps[i]);
        if (program->training)
            work += backward_work(program, &program->steps[i]);
    }
    for (size_t j = 0; j < program->backward_count; j++)
        if (program->backward[j].kind == LORAC_BACKWARD_FORWARD)
            work += forward_work(program, &program->steps[program->backward[j].step]);
    return work * (double)batch / (double)program->batch;
}

// No recomputation plans less: a step that cannot write in place has the gradients of its output and inputs at once.
static size_t least_planned(const struct lorac_program *program)
{
    size_t least = 0;
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        if (op->kind != LORAC_BACKWARD_STEP || program->steps[op->step].kernel->in_place_inputs > 0)
            continue;
        const uint32_t dx = program->steps[op->step].input_count > 0 ? op->dx[0] : LORAC_NO_ID;
        const size_t bytes = program->buffers[op->dy].bytes +
                             (dx != LORAC_NO_ID && dx != op->dy ? program->buffers[dx].bytes : 0);
        least = bytes > least ? bytes : least;
    }
    return least;
}

// Lowering a hundred thousand nodes takes a good part of a second: of a graph that large not all candidates are tried.
// Nodes and initialisers of all lowerings together: all candidates of a ResNet-50 with adapters, at a batch of 32.
enum { MOST_NODES = 1 << 19 };

struct search {
    struct lorac_model *model;
    const struct lorac_meta *meta;
    const struct lorac_memory_request *request;
    size_t target;                    // bytes that a candidate may take
    bool for_least;                   // memory, whatever the work; else for the least work
    bool found;                       // any within the target
    struct lorac_memory_choice best;  // of those
    size_t nodes;                     // that were lowered so far, and initialisers
    size_t planned[SEGMENT_COUNT];    // of the micro-batch at hand, with so many segments; 0: not tried yet
};

struct candidate {
    struct lorac_memory_choice choice;
    size_t planned_bytes, least_planned;
};

static enum lorac_status measure(struct search *search, const struct lorac_lower_options *lower,
                                 struct candidate *out, struct lorac_error *error)
{
    struct lorac_memory_setting setting = search->request->setting;
    struct lorac_memory_prediction memory;
    struct lorac_program *program = NULL;
    setting.threads = LORAC_BUDGET_THREADS;
    LORAC_TRY(lorac_lower(search->model, search->meta, lower, &program, error));
    search->nodes += search->model->proto->graph->n_node + search->model->proto->graph->n_initializer;
    enum lorac_status status = lorac_memory_predict(program, &setting, &memory, error);
    if (status == LORAC_OK)
        *out = (struct candidate){
            .choice = {*lower, memory.peak_bytes, work_of(program, &memory, search->request->batch)},
            .planned_bytes = memory.session.planned_bytes,
            .least_planned = least_planned(program)};
    lorac_program_free(program);
    return status;
}

static bool is_wanted(const struct search *search, size_t peak_bytes, double work)
{
    return peak_bytes <= search->target && (search->for_least || !search->found || work < search->best.work);
}

static void take(struct search *search, const struct lorac_memory_choice *choice)
{
    if (!is_wanted(search, choice->peak_bytes, choice->work))
        return;
    search->found = true;
    search->best = *choice;
    if (search->for_least)
        search->target = choice->peak_bytes - 1;
}

// Recomputation for the candidate [whole], which has none and does not fit: where that can be enough. What is planned
// hardly depends on how convolutions pack, so that most are known not to fit from another limit.
static enum lorac_status try_segments(struct search *search, const struct candidate *whole, struct lorac_error *error)
{
    const size_t rest = whole->choice.peak_bytes - whole->planned_bytes;
    struct lorac_lower_options lower = whole->choice.lower;
    for (size_t i = 0; i < SEGMENT_COUNT; i++) {
        struct candidate candidate;
        const size_t planned = search->planned[i] ? search->planned[i] : whole->least_planned;
        if (planned >= whole->planned_bytes || !is_wanted(search, rest + planned, whole->choice.work))
            continue;
        lower.recompute_segments = segment_counts[i];
        LORAC_TRY(measure(search, &lower, &candidate, error));
        search->planned[i] = candidate.planned_bytes;
        const bool fits = candidate.choice.peak_bytes <= search->target;
        take(search, &candidate.choice);
        if (fits && !search->for_least)
            break;
    }
    return LORAC_OK;
}

static enum lorac_status try_limit(struct search *search, const struct lorac_lower_options *lower, bool *fits,
                                   struct lorac_error *error)
{
    struct candidate whole;
    LORAC_TRY(measure(search, lower, &whole, error));
    *fits = whole.choice.peak_bytes <= search->target;
    take(search, &whole.choice);
    if ((*fits && !search->for_least) || !lower->training || lower->recompute_segments > 0)
        return LORAC_OK;
    return try_segments(search, &whole, error);
}

// For one micro-batch: limits from the fastest on, to the first that fits without recomputation; or, for the least
// memory, all from the smallest on. What was measured is the fastest, not the smallest: where it does not fit, the rule
// may.
static enum lorac_status try_micro_batch(struct search *search, size_t micro_batch, struct lorac_error *error)
{
    const struct lorac_choices *choices = search->request->lower.choices;
    const bool has_rows = choices && choices->count > 0;
    struct lorac_lower_options lower = search->request->lower;
    bool fits = false;
    lower.batch = micro_batch;
    memset(search->planned, 0, sizeof search->planned);
    for (size_t i = 0; i < LIMIT_COUNT && (!fits || search->for_least) && search->nodes <= MOST_NODES; i++) {
        lower.packed_limit = packed_limits[search->for_least ? LIMIT_COUNT - 1 - i : i];
        lower.choices = choices;
        LORAC_TRY(try_limit(search, &lower, &fits, error));
        if (!has_rows || (fits && !search->for_least))
            continue;
        lower.choices = NULL;
        LORAC_TRY(try_limit(search, &lower, &fits, error));
    }
    return LORAC_OK;
}

// The larger micro-batches are the faster ones, and the smaller take less.
static enum lorac_status try_all(struct search *search, struct lorac_error *error)
{
    const size_t batch = search->request->batch, given = search->request->micro_batch;
    for (size_t i = 1; i <= batch && search->nodes <= MOST_NODES; i++) {
        const size_t micro = search->for_least ? i : batch + 1 - i;
        if (batch % micro == 0 && (given == 0 || given == micro))
            LORAC_TRY(try_micro_batch(search, micro, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_memory_choose(struct lorac_model *model, const struct lorac_meta *meta,
                                      const struct lorac_memory_request *request, bool *found,
                                      struct lorac_memory_choice *choice, struct lorac_error *error)
{
    struct search search = {.model = model, .meta = meta, .request = request, .target = request->budget_bytes};
    if (request->budget_bytes > 0)
        LORAC_TRY(try_all(&search, error));
    if (!search.found) {
        search.target = SIZE_MAX;
        search.for_least = true;
        search.nodes = 0;
        LORAC_TRY(try_all(&search, error));
    }
    *choice = search.best;
    *found = search.best.peak_bytes <= request->budget_bytes;
    return LORAC_OK;
}
