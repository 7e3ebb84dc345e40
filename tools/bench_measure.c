// Runs a model on random images and collects the time of each piece.
#include "bench.h"
#include "report.h"
#include "resident.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/peak.h"
#include "runtime/train/fill.h"

#include "proto/external.h"
#include "proto/rng.h"
#include "proto/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double seconds_between(int64_t begin_ns, int64_t end_ns)
{
    return 1e-9 * (double)(end_ns - begin_ns);
}

// ---- spans

// Room for [more] elements of [element_bytes] behind *count; false where memory ran out.
static bool reserve(void **array, size_t *capacity, size_t count, size_t more, size_t element_bytes)
{
    size_t needed, bytes;
    if (!lorac_size_add(count, more, &needed))
        return false;
    if (needed <= *capacity)
        return true;
    if (!lorac_size_add(needed, needed / 2 + 64, &needed) || !lorac_size_multiply(needed, element_bytes, &bytes))
        return false;
    void *larger = realloc(*array, bytes);
    if (!larger)
        return false;
    *array = larger;
    *capacity = needed;
    return true;
}

static bool reserve_events(struct lorac_bench *bench, size_t more)
{
    void *events = bench->events;
    bool ok = reserve(&events, &bench->event_capacity, bench->event_count, more, sizeof *bench->events);
    bench->events = events;
    return ok;
}

static void add_to_layer(struct lorac_bench_layer *layer, enum lorac_span_kind kind, double seconds)
{
    if (kind == LORAC_SPAN_REFRESH)
        layer->refresh += seconds;
    else if (kind == LORAC_SPAN_FORWARD)
        layer->forward += seconds;
    else if (kind == LORAC_SPAN_RECOMPUTE)
        layer->recompute += seconds;
    else if (kind == LORAC_SPAN_BACKWARD)
        layer->backward += seconds;
}

static void take_span(void *context, const struct lorac_span *span)
{
    struct lorac_bench *bench = context;
    double seconds = seconds_between(span->begin_ns, span->end_ns);
    if (bench->tracing && !bench->trace_failed) {
        if (reserve_events(bench, 1))
            bench->events[bench->event_count++] =
                (struct lorac_bench_event){span->kind, span->step, span->begin_ns, span->end_ns};
        else
            bench->trace_failed = true;
    }
    if (span->kind <= LORAC_SPAN_PACK || bench->measuring)
        bench->seconds[span->kind] += seconds;
    if (span->step && bench->measuring)
        add_to_layer(&bench->layers[span->step - bench->net->program->steps], span->kind, seconds);
}

static void mark(struct lorac_bench *bench, const char *word, size_t number, int64_t begin_ns, int64_t end_ns)
{
    void *marks = bench->marks;
    if (!bench->tracing || bench->trace_failed)
        return;
    bench->trace_failed = !reserve(&marks, &bench->mark_capacity, bench->mark_count, 1, sizeof *bench->marks);
    bench->marks = marks;
    if (bench->trace_failed)
        return;
    struct lorac_bench_mark *added = &bench->marks[bench->mark_count++];
    *added = (struct lorac_bench_mark){.begin_ns = begin_ns, .end_ns = end_ns};
    if (number > 0)
        snprintf(added->name, sizeof added->name, "%s %zu", word, number);
    else
        snprintf(added->name, sizeof added->name, "%s", word);
}

// ---- open

enum lorac_status lorac_bench_open(struct lorac_bench *bench, const struct lorac_bench_setup *setup,
                                   struct lorac_error *error)
{
    struct lorac_prepare_options prepare = setup->prepare;
    struct lorac_input_shape shape;
    bench->path = setup->path;
    bench->timing = (struct lorac_timing){take_span, bench};
    int64_t begin = lorac_timing_now();
    LORAC_TRY(lorac_open(setup->path, &bench->net, error));
    struct lorac_net *net = bench->net;
    LORAC_TRY(lorac_select_output(net, setup->output_name, error));
    LORAC_TRY(lorac_run_input_shape(setup->run, &net->input, &shape, error));
    int64_t opened = lorac_timing_now();
    prepare.training = bench->training = net->meta.injected && net->meta.trainable_count > 0 && !setup->inference;
    bench->batch = prepare.batch;
    const size_t image_bytes = shape.channels * shape.height * shape.width * sizeof *bench->pixels;
    prepare.memory_other = bench->batch * (image_bytes + sizeof *bench->labels);
    net->timing = &bench->timing;
    LORAC_TRY(lorac_tune_prepare(setup->call, setup->tune, net, setup->path, &prepare, error));
    int64_t ready = lorac_timing_now();
    bench->open_seconds = seconds_between(begin, opened);
    bench->prepare_seconds = seconds_between(opened, ready);
    mark(bench, "open", 0, begin, opened);
    mark(bench, "prepare", 0, opened, ready);
    bench->memory.ready_bytes = lorac_resident_peak();
    return LORAC_OK;
}

// ---- images

static enum lorac_status make_images(struct lorac_bench *bench, uint64_t seed, struct lorac_error *error)
{
    const struct lorac_net *net = bench->net;
    const struct lorac_value *input = &net->program->values[net->program->input];
    size_t count = lorac_value_count(input) / input->n * bench->batch;
    struct lorac_rng rng;
    bench->pixels = calloc(count, sizeof *bench->pixels);
    bench->labels = calloc(bench->batch, sizeof *bench->labels);
    if (!bench->pixels || !bench->labels)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu random images", bench->batch);
    lorac_rng_init(&rng, seed, "bench", 0, 0);
    for (size_t i = 0; i < count; i++)
        bench->pixels[i] = (float)lorac_rng_normal(&rng);
    for (size_t i = 0; i < bench->batch; i++)
        bench->labels[i] = (int32_t)lorac_rng_below(&rng, net->classes);
    bench->memory.image_bytes = count * sizeof *bench->pixels;
    bench->dataset = (struct lorac_dataset){
        .element = LORAC_ELEMENT_F32,
        .count = bench->batch,
        .channels = input->c,
        .height = input->h,
        .width = input->w,
        .channels_last = net->input.channels_last,
        .pixels = bench->pixels,
        .labels = bench->labels,
    };
    return LORAC_OK;
}

// ---- steps

static enum lorac_status allocate(struct lorac_bench *bench, const struct lorac_bench_limits *limits,
                                  struct lorac_error *error)
{
    const struct lorac_program *program = bench->net->program;
    bench->layer_count = bench->training ? program->forward_step_count_to_logits : program->step_count;
    bench->layers = calloc(program->step_count + 1, sizeof *bench->layers);
    bench->step_seconds = calloc(limits->steps, sizeof *bench->step_seconds);
    if (!bench->layers || !bench->step_seconds)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the times of %zu steps", limits->steps);
    return LORAC_OK;
}

static enum lorac_status run_step(struct lorac_bench *bench, const struct lorac_net_fill *fill,
                                  struct lorac_error *error)
{
    struct lorac_step_result result;
    const float *logits, *outputs;
    if (bench->training)
        return lorac_net_train_step(bench->net, fill, bench->labels, bench->net->options.optimizer.lr, &result, error);
    return lorac_net_forward(bench->net, fill, &logits, &outputs, error);
}

// Step [number] (1 for the first of its kind) with its time.
static enum lorac_status time_step(struct lorac_bench *bench, const struct lorac_net_fill *fill, const char *word,
                                   size_t number, double *seconds, struct lorac_error *error)
{
    const struct lorac_program *program = bench->net->program;
    // So that the trace does not grow in the middle of what is measured.
    if (bench->tracing && !reserve_events(bench, 3 * program->step_count + program->backward_count + 16))
        bench->trace_failed = true;
    int64_t begin = lorac_timing_now();
    LORAC_TRY(run_step(bench, fill, error));
    int64_t end = lorac_timing_now();
    *seconds = seconds_between(begin, end);
    mark(bench, word, number, begin, end);
    return LORAC_OK;
}

static enum lorac_status run_steps(struct lorac_bench *bench, const struct lorac_bench_limits *limits,
                                   struct lorac_error *error)
{
    const struct lorac_batch_source source = {.dataset = &bench->dataset};
    struct lorac_fill_batch batch = {.source = &source,
                                     .count = bench->batch,
                                     .rows = bench->net->program->batch,
                                     .pool = lorac_session_pool(bench->net->session)};
    const struct lorac_net_fill fill = {lorac_fill_run, &batch};
    double seconds = 0, started = lorac_seconds();
    for (size_t i = 0; i < limits->warm_up; i++) {
        LORAC_TRY(time_step(bench, &fill, "warm-up", i + 1, &seconds, error));
        bench->first_step_seconds = i == 0 ? seconds : bench->first_step_seconds;
        bench->warm_up++;
        if (limits->seconds > 0 && lorac_seconds() - started > limits->seconds / 2)
            break;
    }
    bench->measuring = true;
    for (size_t i = 0; i < limits->steps; i++) {
        LORAC_TRY(time_step(bench, &fill, "step", i + 1, &seconds, error));
        bench->step_seconds[bench->step_count++] = seconds;
        if (limits->seconds > 0 && lorac_seconds() - started > limits->seconds)
            break;
    }
    bench->measuring = false;
    if (bench->warm_up == 0)
        bench->first_step_seconds = bench->step_seconds[0];
    return LORAC_OK;
}

static enum lorac_status look_at_memory(struct lorac_bench *bench, struct lorac_error *error)
{
    struct lorac_bench_memory *memory = &bench->memory;
    struct lorac_memory_prediction prediction;
    memory->peak_bytes = lorac_resident_peak();
    LORAC_TRY(lorac_net_predict_memory(bench->net, &prediction, error));
    memory->model_bytes = (size_t)lorac_storage_bytes(bench->net->model->storage);
    memory->optimizer_bytes = prediction.optimizer_bytes;
    memory->session = prediction.session;
    memory->predicted_bytes = prediction.peak_bytes;
    return LORAC_OK;
}

enum lorac_status lorac_bench_run(struct lorac_bench *bench, const struct lorac_bench_limits *limits, uint64_t seed,
                                  struct lorac_error *error)
{
    struct pthreadpool *pool = lorac_session_pool(bench->net->session);
    LORAC_TRY(allocate(bench, limits, error));
    LORAC_TRY(make_images(bench, seed, error));
    double before = lorac_peak_flops(pool, bench->net->options.threads);
    LORAC_TRY(run_steps(bench, limits, error));
    double after = lorac_peak_flops(pool, bench->net->options.threads);
    bench->peak_flops = before > after ? before : after;
    return look_at_memory(bench, error);
}

void lorac_bench_clear(struct lorac_bench *bench)
{
    lorac_close(bench->net);
    free(bench->pixels);
    free(bench->labels);
    free(bench->step_seconds);
    free(bench->layers);
    free(bench->events);
    free(bench->marks);
    *bench = (struct lorac_bench){0};
}
