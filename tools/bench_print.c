// A benchmark as text: totals, then operators, then layers.
#include "bench.h"
#include "report.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/peak.h"

#include <stdlib.h>

static void add_row(struct lorac_table *table, const char *name, const char *text)
{
    lorac_table_cell(table, "%s", name);
    lorac_table_cell(table, "%s", text);
}

static void add_bytes(struct lorac_table *table, const char *name, size_t bytes)
{
    char text[LORAC_BYTES_TEXT];
    add_row(table, name, lorac_bytes_text(bytes, text));
}

static void add_milliseconds(struct lorac_table *table, const char *name, double seconds)
{
    char text[64];
    snprintf(text, sizeof text, "%.1f ms", 1e3 * seconds);
    add_row(table, name, text);
}

// ---- totals

static void add_speed(struct lorac_table *table, const struct lorac_bench *bench,
                      const struct lorac_bench_summary *summary)
{
    char text[256];
    snprintf(text, sizeof text, "%.2f ms median, %.2f to %.2f, spread %.1f %% (%zu after %zu not counted)",
             1e3 * summary->median, 1e3 * summary->low, 1e3 * summary->high, 100 * summary->spread, bench->step_count,
             bench->warm_up);
    add_row(table, "step", text);
    snprintf(text, sizeof text, "%.1f", summary->images_per_second);
    add_row(table, "images/s", text);
    snprintf(text, sizeof text, "%.4g GFLOP/s, %.1f %% of the processor's %.4g (%s, measured)", 1e-9 * summary->flops,
             100 * summary->flops / bench->peak_flops, 1e-9 * bench->peak_flops, lorac_peak_instruction_set());
    add_row(table, "speed", text);
}

static void add_memory(struct lorac_table *table, const struct lorac_bench_memory *memory)
{
    add_bytes(table, "memory: activations, gradients", memory->session.planned_bytes);
    add_bytes(table, "memory: workspace", memory->session.workspace_bytes);
    add_bytes(table, "memory: parameters", memory->session.parameter_bytes);
    add_bytes(table, "memory: packed weights", memory->session.packed_bytes);
    add_bytes(table, "memory: optimiser", memory->optimizer_bytes);
    add_bytes(table, "memory: model file, mapped", memory->model_bytes);
    add_bytes(table, "memory: images", memory->image_bytes);
    add_bytes(table, "peak resident when ready", memory->ready_bytes);
    add_bytes(table, "peak resident", memory->peak_bytes);
    add_bytes(table, "peak resident, predicted", memory->predicted_bytes);
}

static void add_start(struct lorac_table *table, const struct lorac_bench *bench)
{
    add_milliseconds(table, "start", bench->open_seconds + bench->prepare_seconds);
    add_milliseconds(table, "start: open", bench->open_seconds);
    add_milliseconds(table, "start: lower", bench->seconds[LORAC_SPAN_LOWER]);
    if (bench->seconds[LORAC_SPAN_TUNE] > 0)
        add_milliseconds(table, "start: tune", bench->seconds[LORAC_SPAN_TUNE]);
    add_milliseconds(table, "start: plan", bench->seconds[LORAC_SPAN_PLAN]);
    add_milliseconds(table, "start: allocate", bench->seconds[LORAC_SPAN_ALLOCATE]);
    add_milliseconds(table, "start: pack", bench->seconds[LORAC_SPAN_PACK]);
    add_milliseconds(table, "first step", bench->first_step_seconds);
}

static enum lorac_status print_totals(const struct lorac_bench *bench, const struct lorac_bench_summary *summary,
                                      struct lorac_error *error)
{
    const struct lorac_net *net = bench->net;
    struct lorac_table table;
    char text[128], batch[LORAC_BATCH_TEXT], budget[LORAC_BUDGET_TEXT];
    lorac_table_init(&table, 2, "ll", NULL);
    snprintf(text, sizeof text, "%s, batch %s, %zu thread%s", bench->training ? "training step" : "inference",
             lorac_batch_text(net, batch), net->options.threads, net->options.threads == 1 ? "" : "s");
    add_row(&table, "what", text);
    if (bench->training)
        add_row(&table, "optimiser", lorac_optimizer_find(net->options.optimizer.kind)->name);
    if (net->options.memory_budget > 0)
        add_row(&table, "memory budget", lorac_budget_text(bench->net, budget));
    add_speed(&table, bench, summary);
    add_start(&table, bench);
    add_memory(&table, &bench->memory);
    return lorac_table_finish(&table, stdout, error);
}

// ---- operators and layers

static void add_time(struct lorac_table *table, double seconds)
{
    if (seconds > 0)
        lorac_table_cell(table, "%.3f", 1e3 * seconds);
    else
        lorac_table_cell(table, "-");
}

static void add_rate(struct lorac_table *table, double multiply_adds, double seconds)
{
    if (multiply_adds > 0 && seconds > 0)
        lorac_table_cell(table, "%.1f", 2e-9 * multiply_adds / seconds);
    else
        lorac_table_cell(table, "-");
}

static double total_of(const struct lorac_bench_layer *layer)
{
    return layer->refresh + layer->forward + layer->recompute + layer->backward;
}

// The work of a step that belongs to no layer.
static void add_other_kinds(struct lorac_table *table, const struct lorac_bench *bench, double step)
{
    static const enum lorac_span_kind kinds[] = {LORAC_SPAN_INPUT, LORAC_SPAN_LOSS,   LORAC_SPAN_ZERO,  LORAC_SPAN_SUM,
                                                 LORAC_SPAN_NORM,  LORAC_SPAN_UPDATE, LORAC_SPAN_COMMIT};
    for (size_t i = 0; i <= sizeof kinds / sizeof *kinds; i++) {
        bool last = i == sizeof kinds / sizeof *kinds;
        double seconds = last ? lorac_bench_rest(bench) : bench->seconds[kinds[i]] / (double)bench->step_count;
        if (!last && bench->seconds[kinds[i]] <= 0)
            continue;
        lorac_table_cell(table, "(%s)", last ? "rest" : lorac_span_name(kinds[i]));
        for (size_t k = 0; k < 5; k++)
            lorac_table_cell(table, "-");
        add_time(table, seconds);
        lorac_table_cell(table, "%.1f %%", 100 * seconds / step);
        for (size_t k = 0; k < 2; k++)
            lorac_table_cell(table, "-");
    }
}

static enum lorac_status print_kinds(const struct lorac_bench *bench, double step, struct lorac_error *error)
{
    static const char *const headers[] = {"operator", "layers", "refresh", "forward",         "recompute",
                                          "backward", "ms",     "share",   "GFLOP/s forward", "GFLOP/s backward"};
    struct lorac_bench_kind *kinds;
    size_t count;
    struct lorac_table table;
    LORAC_TRY(lorac_bench_kinds(bench, &kinds, &count, error));
    lorac_table_init(&table, 10, "lrrrrrrrrr", headers);
    for (size_t i = 0; i < count; i++) {
        const struct lorac_bench_kind *kind = &kinds[i];
        lorac_table_cell(&table, "%s", kind->op_type);
        lorac_table_cell(&table, "%zu", kind->layers);
        add_time(&table, kind->seconds.refresh);
        add_time(&table, kind->seconds.forward);
        add_time(&table, kind->seconds.recompute);
        add_time(&table, kind->seconds.backward);
        add_time(&table, total_of(&kind->seconds));
        lorac_table_cell(&table, "%.1f %%", 100 * total_of(&kind->seconds) / step);
        add_rate(&table, kind->forward_multiply_adds, kind->seconds.forward);
        add_rate(&table, kind->backward_multiply_adds, kind->seconds.backward);
    }
    add_other_kinds(&table, bench, step);
    free(kinds);
    printf("\nmilliseconds of a step, means of %zu\n", bench->step_count);
    return lorac_table_finish(&table, stdout, error);
}

static void add_layer(struct lorac_table *table, const struct lorac_bench *bench, size_t i, double step)
{
    const struct lorac_program *program = bench->net->program;
    const struct lorac_step *run = &program->steps[i];
    const struct lorac_value *output = lorac_step_output(program, run);
    const char *forward, *backward;
    lorac_bench_algorithms(run, &forward, &backward);
    double steps = (double)bench->step_count, runs = lorac_bench_runs(bench);
    struct lorac_bench_layer layer = bench->layers[i];
    layer.refresh /= steps;
    layer.forward /= steps;
    layer.recompute /= steps;
    layer.backward /= steps;
    lorac_table_cell(table, "%s", run->name);
    lorac_table_cell(table, "%s", run->kernel->op_type);
    lorac_table_cell(table, "%zux%zux%zu", output->c, output->h, output->w);
    lorac_table_cell(table, "%s", forward ? forward : "-");
    lorac_table_cell(table, "%s", backward ? backward : "-");
    add_time(table, layer.refresh);
    add_time(table, layer.forward);
    add_time(table, layer.recompute);
    add_time(table, layer.backward);
    lorac_table_cell(table, "%.1f %%", 100 * total_of(&layer) / step);
    add_rate(table, runs * (double)lorac_step_multiply_adds(program, run), layer.forward);
    add_rate(table, runs * (double)lorac_step_backward_multiply_adds(program, run), layer.backward);
}

static enum lorac_status print_layers(const struct lorac_bench *bench, double step, struct lorac_error *error)
{
    static const char *const headers[] = {"layer",           "operator",        "output",          "algorithm",
                                          "of the gradient", "refresh",         "forward",         "recompute",
                                          "backward",        "share",           "GFLOP/s forward", "GFLOP/s backward"};
    struct lorac_table table;
    lorac_table_init(&table, 12, "llrllrrrrrrr", headers);
    for (size_t i = 0; i < bench->layer_count; i++)
        add_layer(&table, bench, i, step);
    putchar('\n');
    return lorac_table_finish(&table, stdout, error);
}

enum lorac_status lorac_bench_print(const struct lorac_bench *bench, struct lorac_error *error)
{
    struct lorac_bench_summary summary;
    LORAC_TRY(lorac_bench_summarize(bench, &summary, error));
    LORAC_TRY(print_totals(bench, &summary, error));
    LORAC_TRY(print_kinds(bench, summary.mean, error));
    return print_layers(bench, summary.mean, error);
}
