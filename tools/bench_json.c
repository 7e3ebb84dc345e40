// A benchmark as JSON: seconds, bytes and plain counts. json_pack gives NULL where memory ran out, and takes over what
// it is given.
#include "bench.h"
#include "report.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/peak.h"

#include <stdlib.h>

static json_t *steps_json(const struct lorac_bench *bench, const struct lorac_bench_summary *summary)
{
    json_t *all = json_array();
    for (size_t i = 0; i < bench->step_count; i++)
        all = lorac_json_with_item(all, json_real(bench->step_seconds[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "median", lorac_json_number(summary->median), "mean",
                     lorac_json_number(summary->mean), "min", lorac_json_number(summary->low), "max",
                     lorac_json_number(summary->high), "spread", lorac_json_number(summary->spread), "all", all);
}

static json_t *memory_json(const struct lorac_bench_memory *memory)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "planned",
                     (json_int_t)memory->session.planned_bytes, "workspace",
                     (json_int_t)memory->session.workspace_bytes, "parameters",
                     (json_int_t)memory->session.parameter_bytes, "packed", (json_int_t)memory->session.packed_bytes,
                     "optimizer", (json_int_t)memory->optimizer_bytes, "model_file", (json_int_t)memory->model_bytes,
                     "images", (json_int_t)memory->image_bytes, "resident_ready", (json_int_t)memory->ready_bytes,
                     "resident_peak", (json_int_t)memory->peak_bytes, "resident_predicted",
                     (json_int_t)memory->predicted_bytes);
}

static json_t *start_json(const struct lorac_bench *bench)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "open", lorac_json_number(bench->open_seconds), "lower",
                     lorac_json_number(bench->seconds[LORAC_SPAN_LOWER]), "tune",
                     lorac_json_number(bench->seconds[LORAC_SPAN_TUNE]), "plan",
                     lorac_json_number(bench->seconds[LORAC_SPAN_PLAN]), "allocate",
                     lorac_json_number(bench->seconds[LORAC_SPAN_ALLOCATE]), "pack",
                     lorac_json_number(bench->seconds[LORAC_SPAN_PACK]), "ready",
                     lorac_json_number(bench->open_seconds + bench->prepare_seconds), "first_step",
                     lorac_json_number(bench->first_step_seconds));
}

// Every kind of span of a step, layers together, and the rest.
static json_t *parts_json(const struct lorac_bench *bench)
{
    json_t *parts = json_object();
    for (int kind = LORAC_SPAN_INPUT; parts && kind < LORAC_SPAN_KINDS; kind++)
        parts = lorac_json_with_member(parts, lorac_span_name((enum lorac_span_kind)kind),
                                       lorac_json_number(bench->seconds[kind] / (double)bench->step_count));
    return lorac_json_with_member(parts, "rest", lorac_json_number(lorac_bench_rest(bench)));
}

static json_t *times_json(const struct lorac_bench_layer *seconds, double divisor)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "refresh", lorac_json_number(seconds->refresh / divisor), "forward",
                     lorac_json_number(seconds->forward / divisor), "recompute",
                     lorac_json_number(seconds->recompute / divisor), "backward",
                     lorac_json_number(seconds->backward / divisor));
}

static json_t *counts_json(double forward, double backward)
{
    return json_pack("{s:o, s:o}", "forward", lorac_json_number(forward), "backward", lorac_json_number(backward));
}

static enum lorac_status kinds_json(const struct lorac_bench *bench, json_t **out, struct lorac_error *error)
{
    struct lorac_bench_kind *kinds;
    size_t count;
    json_t *rows = json_array();
    enum lorac_status status = lorac_bench_kinds(bench, &kinds, &count, error);
    if (status != LORAC_OK) {
        json_decref(rows);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const struct lorac_bench_kind *kind = &kinds[i];
        json_t *row = json_pack("{s:s, s:I, s:o, s:o}", "operator", kind->op_type, "layers", (json_int_t)kind->layers,
                                "seconds", times_json(&kind->seconds, 1), "multiply_adds",
                                counts_json(kind->forward_multiply_adds, kind->backward_multiply_adds));
        rows = lorac_json_with_item(rows, row);
    }
    free(kinds);
    *out = rows;
    return LORAC_OK;
}

static json_t *layers_json(const struct lorac_bench *bench)
{
    const struct lorac_program *program = bench->net->program;
    const double runs = lorac_bench_runs(bench);
    json_t *rows = json_array();
    for (size_t i = 0; i < bench->layer_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const struct lorac_value *output = lorac_step_output(program, step);
        const char *forward, *backward;
        lorac_bench_algorithms(step, &forward, &backward);
        json_t *row = json_pack("{s:o, s:s, s:[I, I, I], s:o, s:o, s:o, s:o}", "name", lorac_json_text(step->name),
                                "operator", step->kernel->op_type, "output", (json_int_t)output->c,
                                (json_int_t)output->h, (json_int_t)output->w, "algorithm", lorac_json_text(forward),
                                "gradient_algorithm", lorac_json_text(backward), "seconds",
                                times_json(&bench->layers[i], (double)bench->step_count), "multiply_adds",
                                counts_json(runs * (double)lorac_step_multiply_adds(program, step),
                                            runs * (double)lorac_step_backward_multiply_adds(program, step)));
        rows = lorac_json_with_item(rows, row);
    }
    return rows;
}

enum lorac_status lorac_bench_print_json(const struct lorac_bench *bench, struct lorac_error *error)
{
    struct lorac_bench_summary summary;
    json_t *kinds;
    LORAC_TRY(lorac_bench_summarize(bench, &summary, error));
    LORAC_TRY(kinds_json(bench, &kinds, error));
    const struct lorac_prepare_options *options = &bench->net->options;
    json_t *root = json_pack(
        "{s:o, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model",
        lorac_json_text(bench->path), "training", (int)bench->training, "optimizer",
        lorac_json_text(bench->training ? lorac_optimizer_find(options->optimizer.kind)->name : NULL), "batch",
        (json_int_t)bench->batch, "micro_batch", (json_int_t)options->micro_batch, "memory_budget", (json_int_t)options->memory_budget, "packed_limit", (json_int_t)bench->net->program->packed_limit, "recompute", (json_int_t)options->recompute, "threads", (json_int_t)options->threads, "instruction_set",
        lorac_peak_instruction_set(), "warm_up", (json_int_t)bench->warm_up, "step_seconds",
        steps_json(bench, &summary), "images_per_second", lorac_json_number(summary.images_per_second), "multiply_adds",
        lorac_json_number(summary.multiply_adds), "flops", lorac_json_number(summary.flops), "peak_flops",
        lorac_json_number(bench->peak_flops), "memory_bytes", memory_json(&bench->memory), "start_seconds",
        start_json(bench), "part_seconds", parts_json(bench), "operators", kinds, "layers", layers_json(bench));
    return lorac_json_write(root, error);
}
