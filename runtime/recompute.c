#include "recompute.h"

#include "alias.h"
#include "differentiate.h"
#include "kernels/kernel.h"
#include "plan.h"

#include <string.h>

struct search {
    struct lorac_program *program;
    size_t step_count;                   // of the steps that training runs
    const struct lorac_backward_op *ops; // the way back without recomputation
    size_t op_count;
    uint32_t *last_read; // by value: the last forward step that reads it, or the loss
    uint32_t *places;    // steps before which a cut may be, ascending
    size_t place_count;
    size_t *bytes; // by buffer: its own, before any are joined

    // For one trial.
    bool *needed;    // by value: the backward ops of the segment, or steps that run again, read it
    bool *runs;      // by step: it runs again
    uint32_t *names; // by buffer: what it goes on as (alias.h)
    size_t *change;  // by time: by how much the sum of live bytes changes there (modulo its type where it falls)
};

// What a choice of cuts costs: memory first, then work.
struct cost {
    size_t bytes;
    double multiply_adds;
};

static bool cheaper(struct cost a, struct cost b)
{
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.multiply_adds < b.multiply_adds;
}

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the choice of what is recomputed");
}

// ---- where a cut may be

// Before a step where a single value crosses: made before and read there or later.
static enum lorac_status find_places(struct search *search, struct lorac_error *error)
{
    const struct lorac_program *program = search->program;
    int32_t *change = lorac_arena_alloc_array(program->arena, search->step_count + 2, sizeof(*change));
    if (!change)
        return out_of_memory(error);
    for (uint32_t i = 0; i < search->step_count; i++)
        for (size_t k = 0; k < program->steps[i].input_count; k++)
            search->last_read[program->steps[i].inputs[k]] = i;
    search->last_read[program->logits] = (uint32_t)search->step_count;
    change[search->last_read[program->input] + 1]--;
    for (uint32_t i = 0; i < search->step_count; i++) {
        uint32_t last = search->last_read[program->steps[i].output];
        if (last > i) {
            change[i + 1]++;
            change[last + 1]--;
        }
    }
    int32_t crossing = 1; // the input
    for (uint32_t i = 1; i < search->step_count; i++) {
        crossing += change[i];
        if (crossing == 1)
            search->places[search->place_count++] = i;
    }
    return LORAC_OK;
}

// ---- the way back for a choice of cuts

static void push(struct search *search, const struct lorac_backward_op *op)
{
    search->program->backward[search->program->backward_count++] = *op;
}

// What a step keeps beside its output, and is a smaller part of it (Relu's mask), is kept: no step runs again for that.
enum { SMALL_PART = 8 };

static void mark_read(struct search *search, const struct lorac_backward_op *op)
{
    const struct lorac_program *program = search->program;
    const struct lorac_step *step = &program->steps[op->step];
    for (size_t k = 0; step->keeps_inputs && k < step->input_count; k++)
        search->needed[step->inputs[k]] = true;
    if (step->keeps_output)
        search->needed[step->output] = true;
    search->runs[op->step] = step->kept_bytes > search->bytes[program->values[step->output].buffer] / SMALL_PART;
}

// Pushes the steps of [begin, end) that run again; op [j] is the first that goes back in it. What crosses the end is
// still there: the segment behind began with it.
static double push_segment(struct search *search, uint32_t begin, uint32_t end, size_t j)
{
    const struct lorac_program *program = search->program;
    double multiply_adds = 0;
    memset(search->needed, 0, program->value_count * sizeof(*search->needed));
    memset(search->runs, 0, search->step_count * sizeof(*search->runs));
    for (; j < search->op_count && (search->ops[j].kind != LORAC_BACKWARD_STEP || search->ops[j].step >= begin); j++)
        if (search->ops[j].kind == LORAC_BACKWARD_STEP)
            mark_read(search, &search->ops[j]);
    for (uint32_t i = end; i-- > begin;) {
        const struct lorac_step *step = &program->steps[i];
        search->runs[i] |= search->needed[step->output] && search->last_read[step->output] < end;
        for (size_t k = 0; search->runs[i] && k < step->input_count; k++)
            search->needed[step->inputs[k]] = true;
    }
    for (uint32_t i = begin; i < end; i++) {
        if (!search->runs[i])
            continue;
        push(search, &(struct lorac_backward_op){.kind = LORAC_BACKWARD_FORWARD, .step = i});
        multiply_adds += (double)lorac_step_multiply_adds(program, &program->steps[i]);
    }
    return multiply_adds;
}

// Makes program->backward for cuts at places[picks[0 .. count-1]], ascending. Returns the work that it adds.
static double make_backward(struct search *search, const size_t *picks, size_t count)
{
    double multiply_adds = 0;
    size_t segment = count; // of the op at hand
    search->program->backward_count = 0;
    for (size_t j = 0; j < search->op_count; j++) {
        const struct lorac_backward_op *op = &search->ops[j];
        size_t before = segment;
        while (op->kind == LORAC_BACKWARD_STEP && segment > 0 && op->step < search->places[picks[segment - 1]])
            segment--;
        if (segment < before)
            multiply_adds += push_segment(search, segment ? search->places[picks[segment - 1]] : 0,
                                          search->places[picks[segment]], j);
        push(search, op);
    }
    return multiply_adds;
}

// The largest sum of live bytes, with lifetimes set.
static size_t live_bytes(struct search *search)
{
    const struct lorac_program *program = search->program;
    memset(search->change, 0, (program->time_end + 1) * sizeof(*search->change));
    for (size_t i = 0; i < program->buffer_count; i++) {
        const struct lorac_buffer *buffer = &program->buffers[i];
        if (buffer->last == LORAC_NO_ID)
            continue;
        search->change[buffer->first] += buffer->bytes;
        search->change[buffer->last + 1] -= buffer->bytes;
        if (buffer->again_last > 0) {
            search->change[buffer->again_first] += buffer->bytes;
            search->change[buffer->again_last + 1] -= buffer->bytes;
        }
    }
    size_t live = 0, peak = 0;
    for (uint32_t time = 0; time < program->time_end; time++) {
        live += search->change[time];
        peak = live > peak ? live : peak;
    }
    return peak;
}

// Beyond so many buffers, whose plan takes more than some milliseconds, the sum of live bytes stands for the plan.
enum { PLANNED_BUFFERS = 2000 };

enum measure { MEASURE_LIVE, MEASURE_PLAN };

static enum lorac_status try_cuts(struct search *search, const size_t *picks, size_t count, enum measure measure,
                                  struct cost *out, struct lorac_error *error)
{
    struct lorac_program *program = search->program;
    struct cost cost = {.multiply_adds = make_backward(search, picks, count)};
    lorac_differentiate_lifetimes(program);
    lorac_alias_find(program, search->names);
    if (measure == MEASURE_PLAN && program->buffer_count <= PLANNED_BUFFERS)
        LORAC_TRY(lorac_plan(program->buffers, program->buffer_count, &cost.bytes, error));
    else
        cost.bytes = live_bytes(search);
    for (size_t i = 0; i < program->buffer_count; i++)
        program->buffers[i].bytes = search->bytes[i]; // not joined after all
    *out = cost;
    return LORAC_OK;
}

// ---- the choice

// Cuts that leave about as many kept bytes in each segment; with the lifetimes of no recomputation.
static void pick_equal(const struct search *search, size_t *picks, size_t count)
{
    const struct lorac_program *program = search->program;
    size_t *kept_before = search->change; // by step: bytes written before it that the way back reads
    memset(kept_before, 0, (search->step_count + 1) * sizeof(*kept_before));
    for (size_t i = 0; i < program->buffer_count; i++) {
        const struct lorac_buffer *buffer = &program->buffers[i];
        if (buffer->last != LORAC_NO_ID && buffer->first < search->step_count && buffer->last > program->step_count)
            kept_before[buffer->first + 1] += buffer->bytes;
    }
    for (size_t i = 0; i < search->step_count; i++)
        kept_before[i + 1] += kept_before[i];
    size_t place = 0;
    for (size_t i = 0; i < count; i++, place++) {
        size_t latest = search->place_count - (count - i); // leaves one for each of those to come
        double wanted = (double)kept_before[search->step_count] * (double)(i + 1) / (double)(count + 1);
        while (place < latest && (double)kept_before[search->places[place]] < wanted)
            place++;
        picks[i] = place;
    }
}

// Moves cut [i] by 1, 2, 4, ... places to either side, to the best of these.
static enum lorac_status improve_cut(struct search *search, size_t *picks, size_t count, size_t i, enum measure measure,
                                     struct cost *best, struct lorac_error *error)
{
    size_t low = i > 0 ? picks[i - 1] + 1 : 0, high = i + 1 < count ? picks[i + 1] : search->place_count;
    size_t start = picks[i], chosen = start;
    for (size_t distance = 1; distance < search->place_count; distance *= 2)
        for (int side = 0; side < 2; side++) {
            struct cost cost;
            if (side == 0 ? distance > start - low : distance >= high - start)
                continue;
            picks[i] = side == 0 ? start - distance : start + distance;
            LORAC_TRY(try_cuts(search, picks, count, measure, &cost, error));
            if (cheaper(cost, *best)) {
                *best = cost;
                chosen = picks[i];
            }
        }
    picks[i] = chosen;
    return LORAC_OK;
}

// Each round moves every cut; a bound on rounds, so that lowering takes no longer for a network of thousands of steps.
enum { MAX_ROUNDS = 16 };

static enum lorac_status improve(struct search *search, size_t *picks, size_t count, enum measure measure,
                                 struct cost *best, struct lorac_error *error)
{
    struct cost before;
    LORAC_TRY(try_cuts(search, picks, count, measure, best, error));
    int round = 0;
    do {
        before = *best;
        for (size_t i = 0; i < count; i++)
            LORAC_TRY(improve_cut(search, picks, count, i, measure, best, error));
    } while (cheaper(*best, before) && ++round < MAX_ROUNDS);
    return LORAC_OK;
}

static enum lorac_status begin(struct search *search, struct lorac_program *program, struct lorac_error *error)
{
    struct lorac_arena *arena = program->arena;
    size_t values = program->value_count, steps = program->forward_step_count_to_logits;
    *search = (struct search){
        .program = program, .step_count = steps, .ops = program->backward, .op_count = program->backward_count};
    search->last_read = lorac_arena_alloc_array(arena, values, sizeof(*search->last_read));
    search->places = lorac_arena_alloc_array(arena, steps + 1, sizeof(*search->places));
    search->needed = lorac_arena_alloc_array(arena, values, sizeof(*search->needed));
    search->runs = lorac_arena_alloc_array(arena, steps + 1, sizeof(*search->runs));
    search->change = lorac_arena_alloc_array(arena, program->time_end + steps + 1, sizeof(*search->change));
    search->bytes = lorac_arena_alloc_array(arena, program->buffer_count, sizeof(*search->bytes));
    search->names = lorac_arena_alloc_array(arena, program->buffer_count, sizeof(*search->names));
    struct lorac_backward_op *ops = lorac_arena_alloc_array(arena, search->op_count + steps, sizeof(*ops));
    if (!search->last_read || !search->places || !search->needed || !search->runs || !search->change ||
        !search->bytes || !search->names || !ops)
        return out_of_memory(error);
    for (size_t i = 0; i < program->buffer_count; i++)
        search->bytes[i] = program->buffers[i].bytes;
    program->backward = ops;
    program->backward_capacity = search->op_count + steps;
    return find_places(search, error);
}

// The sum of live bytes changes with each move, the plan's size by leaps: the first leads to where the second is tried.
enum lorac_status lorac_recompute(struct lorac_program *program, size_t segments, struct lorac_error *error)
{
    struct search search;
    struct cost whole, best;
    if (segments < 2 || !program->training)
        return LORAC_OK;
    LORAC_TRY(begin(&search, program, error));
    size_t count = segments - 1 < search.place_count ? segments - 1 : search.place_count;
    size_t *picks = lorac_arena_alloc_array(program->arena, count + 1, sizeof(*picks));
    if (!picks)
        return out_of_memory(error);
    pick_equal(&search, picks, count);
    LORAC_TRY(try_cuts(&search, picks, 0, MEASURE_PLAN, &whole, error));
    LORAC_TRY(improve(&search, picks, count, MEASURE_LIVE, &best, error));
    LORAC_TRY(improve(&search, picks, count, MEASURE_PLAN, &best, error));
    make_backward(&search, picks, best.bytes < whole.bytes ? count : 0);
    lorac_differentiate_lifetimes(program);
    return LORAC_OK;
}

size_t lorac_recompute_step_count(const struct lorac_program *program)
{
    size_t count = 0;
    for (size_t j = 0; j < program->backward_count; j++)
        count += program->backward[j].kind == LORAC_BACKWARD_FORWARD;
    return count;
}
