// What a benchmark of one model found, and how it is shown. bench_measure.c collects it, bench_print.c, bench_json.c
// and bench_trace.c write it.
#ifndef LORAC_TOOLS_BENCH_H
#define LORAC_TOOLS_BENCH_H

#include "groups.h"
#include "tune.h"
#include "runtime/net.h"

#include <jansson.h>

// Seconds of one layer.
struct lorac_bench_layer {
    double refresh, forward, recompute, backward;
};

// One span as it was, for --trace.
struct lorac_bench_event {
    enum lorac_span_kind kind;
    const struct lorac_step *step;
    int64_t begin_ns, end_ns;
};

// One whole step, or the opening of the model.
struct lorac_bench_mark {
    char name[24]; // "warm-up 1", "step 1"
    int64_t begin_ns, end_ns;
};

struct lorac_bench_memory {
    struct lorac_session_memory session;
    size_t optimizer_bytes; // its state, and the last good values
    size_t model_bytes;     // the model's files, mapped
    size_t predicted_bytes; // peak resident, with the images
    size_t image_bytes;     // the random images
    size_t ready_bytes;     // peak resident of the process before the first step; 0: not known here
    size_t peak_bytes;      // the same at the end
};

// Zero-initialise it.
struct lorac_bench {
    const char *path; // borrowed
    struct lorac_net *net;
    bool training;
    size_t batch, warm_up; // batch: images of a step

    // The model's random images and their labels, owned.
    struct lorac_dataset dataset;
    float *pixels;
    int32_t *labels;

    // Filled while it runs.
    struct lorac_timing timing; // its context is this struct
    bool measuring;             // the step that runs counts
    size_t step_count;
    double *step_seconds;             // [step_count], in the order of the steps
    double seconds[LORAC_SPAN_KINDS]; // those of the start once, the others summed over the measured steps
    size_t layer_count;
    struct lorac_bench_layer *layers; // summed over the measured steps; [layer_count], the program's steps that are run
    double open_seconds, prepare_seconds, first_step_seconds;
    double peak_flops; // what the processor can do at most
    struct lorac_bench_memory memory;

    // For --trace; out of memory is remembered and told at the end.
    bool tracing, trace_failed;
    size_t event_count, event_capacity;
    struct lorac_bench_event *events;
    size_t mark_count, mark_capacity;
    struct lorac_bench_mark *marks;
};

// How many steps: at most [steps], ended early once [seconds] have passed (0: never); at least one.
struct lorac_bench_limits {
    size_t warm_up, steps;
    double seconds;
};

// What is run, all borrowed for the call.
struct lorac_bench_setup {
    const char *path;
    const char *output_name; // NULL: the model's own
    const struct lorac_call *call; // for notes
    const struct lorac_run_settings *run;
    const struct lorac_tune_settings *tune;
    struct lorac_prepare_options prepare; // training is set here
    bool inference;                       // else a model that has something to train is trained
};

// Opens the model and makes it ready. Errors: as lorac_open and lorac_prepare, ARGUMENT (the input's size).
enum lorac_status lorac_bench_open(struct lorac_bench *bench, const struct lorac_bench_setup *setup,
                                   struct lorac_error *error);
// Makes the images, runs all steps and looks at the memory.
enum lorac_status lorac_bench_run(struct lorac_bench *bench, const struct lorac_bench_limits *limits, uint64_t seed,
                                  struct lorac_error *error);
void lorac_bench_clear(struct lorac_bench *bench);

// ---- what follows from it

struct lorac_bench_summary {
    double median, mean, low, high; // of the steps' seconds
    double spread;                  // (third quartile - first quartile) / median
    double images_per_second;       // of the median step
    double multiply_adds;           // counted of a step, see kernel.h
    double flops;                   // two for each, a second, of the median step
};
// Errors: MEMORY.
enum lorac_status lorac_bench_summarize(const struct lorac_bench *bench, struct lorac_bench_summary *out,
                                        struct lorac_error *error);

// All layers of one operator together; seconds are the mean of the measured steps.
struct lorac_bench_kind {
    const char *op_type;
    size_t layers;
    struct lorac_bench_layer seconds;
    double forward_multiply_adds, backward_multiply_adds; // of each layer once, also where forward runs twice
};
// [*count] kinds in the order of the program, malloc'ed. Errors: MEMORY.
enum lorac_status lorac_bench_kinds(const struct lorac_bench *bench, struct lorac_bench_kind **kinds, size_t *count,
                                    struct lorac_error *error);

// How a layer is computed, and the gradient of its input; NULL where there is one way, or no gradient.
void lorac_bench_algorithms(const struct lorac_step *step, const char **forward, const char **backward);

// How often a step runs the program: once for each micro-batch.
double lorac_bench_runs(const struct lorac_bench *bench);

// The mean of a step's seconds that lie in no span: what the command itself and the library between spans take.
double lorac_bench_rest(const struct lorac_bench *bench);

enum lorac_status lorac_bench_print(const struct lorac_bench *bench, struct lorac_error *error);
enum lorac_status lorac_bench_print_json(const struct lorac_bench *bench, struct lorac_error *error);
// Chrome's trace format: times in microseconds since the program was opened, one lane.
enum lorac_status lorac_bench_write_trace(const struct lorac_bench *bench, const char *path, struct lorac_error *error);

#endif
