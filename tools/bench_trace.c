// A benchmark in Chrome's trace format (chrome://tracing, Perfetto): complete events with ts and dur in microseconds.
// All of the session's spans are of the main thread, one lane; what the pool's threads do lies inside of them.
#include "bench.h"
#include "report.h"
#include "runtime/kernels/kernel.h"
#include "signals.h"

#include "proto/model.h"

#include <stdlib.h>
#include <string.h>

static json_t *name_event(const char *what, const char *name)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", what, "ph", "M", "pid", 1, "tid", 1, "args", "name",
                     name);
}

static json_t *complete_event(const char *name, const char *category, int64_t begin_ns, int64_t end_ns, int64_t zero_ns,
                              json_t *args)
{
    return json_pack("{s:o, s:s, s:s, s:f, s:f, s:i, s:i, s:o}", "name", lorac_json_text(name), "cat", category, "ph",
                     "X", "ts", 1e-3 * (double)(begin_ns - zero_ns), "dur", 1e-3 * (double)(end_ns - begin_ns), "pid",
                     1, "tid", 1, "args", args);
}

static json_t *span_args(const struct lorac_step *step)
{
    const char *forward, *backward;
    if (!step)
        return json_object();
    lorac_bench_algorithms(step, &forward, &backward);
    return json_pack("{s:s, s:o, s:o}", "operator", step->kernel->op_type, "algorithm", lorac_json_text(forward),
                     "gradient_algorithm", lorac_json_text(backward));
}

static json_t *events_json(const struct lorac_bench *bench)
{
    int64_t zero = bench->mark_count > 0 ? bench->marks[0].begin_ns : 0;
    json_t *events = json_array();
    events = lorac_json_with_item(events, name_event("process_name", "lorac-onnx bench"));
    events = lorac_json_with_item(events, name_event("thread_name", "main"));
    for (size_t i = 0; i < bench->mark_count; i++) {
        const struct lorac_bench_mark *mark = &bench->marks[i];
        events = lorac_json_with_item(
            events, complete_event(mark->name, "run", mark->begin_ns, mark->end_ns, zero, json_object()));
    }
    for (size_t i = 0; i < bench->event_count; i++) {
        const struct lorac_bench_event *event = &bench->events[i];
        const char *kind = lorac_span_name(event->kind);
        events = lorac_json_with_item(events, complete_event(event->step ? event->step->name : kind, kind,
                                                             event->begin_ns, event->end_ns, zero,
                                                             span_args(event->step)));
    }
    return events;
}

enum lorac_status lorac_bench_write_trace(const struct lorac_bench *bench, const char *path, struct lorac_error *error)
{
    json_t *events = bench->trace_failed ? NULL : events_json(bench);
    json_t *root = events ? json_pack("{s:s, s:o}", "displayTimeUnit", "ms", "traceEvents", events) : NULL;
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(root);
    if (!text)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "'%s': out of memory for the trace of %zu steps", path,
                               bench->step_count);
    lorac_signals_hold();
    enum lorac_status status = lorac_file_write(path, text, strlen(text), error);
    lorac_signals_release();
    free(text);
    return status;
}
