// Where the time goes, for whoever measures: a callback that is told of each piece of work when it is done. A program
// without one (NULL, the default) costs a branch a piece.
#ifndef LORAC_TIMING_H
#define LORAC_TIMING_H

#include <stddef.h>
#include <stdint.h>

struct lorac_step;

// Spans do not overlap. The first five are of the start, the others of each step.
enum lorac_span_kind {
    LORAC_SPAN_LOWER,     // ONNX nodes to program, with differentiation
    LORAC_SPAN_TUNE,      // ways to run convolutions are measured
    LORAC_SPAN_PLAN,      // offsets of all buffers
    LORAC_SPAN_ALLOCATE,  // threads, the planned block, the workspace
    LORAC_SPAN_PACK,      // of a layer: its weights are read and packed
    LORAC_SPAN_INPUT,     // the batch is written into the model's input
    LORAC_SPAN_REFRESH,   // of a layer: what follows from changed parameters is made again
    LORAC_SPAN_FORWARD,   // of a layer
    LORAC_SPAN_LOSS,      // loss and its gradient
    LORAC_SPAN_ZERO,      // parameters' gradients become zero
    LORAC_SPAN_RECOMPUTE, // of a layer: forward once more, on the way back
    LORAC_SPAN_BACKWARD,  // of a layer
    LORAC_SPAN_SUM,       // gradients that meet at one value are added
    LORAC_SPAN_NORM,      // norm of all gradients, and whether they are finite
    LORAC_SPAN_UPDATE,    // the optimiser, and whether the new values are finite
    LORAC_SPAN_COMMIT,    // BatchNorm's running statistics
    LORAC_SPAN_KINDS,
};

struct lorac_span {
    enum lorac_span_kind kind;
    const struct lorac_step *step; // NULL where the kind is not of a layer
    int64_t begin_ns, end_ns;      // of a clock that only goes forward (CLOCK_MONOTONIC)
};

struct lorac_timing {
    // Called by the thread that runs the session, after each piece; its own time is in no span.
    void (*span)(void *context, const struct lorac_span *span);
    void *context;
};

// Now, on the clock of the spans.
int64_t lorac_timing_now(void);

// The word for a kind: "forward".
const char *lorac_span_name(enum lorac_span_kind kind);

// Around a piece of work: begin = lorac_timing_begin(timing); ...; lorac_timing_end(timing, kind, step, begin).
static inline int64_t lorac_timing_begin(const struct lorac_timing *timing)
{
    return timing ? lorac_timing_now() : 0;
}

static inline void lorac_timing_end(const struct lorac_timing *timing, enum lorac_span_kind kind,
                                    const struct lorac_step *step, int64_t begin_ns)
{
    if (timing)
        timing->span(timing->context, &(const struct lorac_span){kind, step, begin_ns, lorac_timing_now()});
}

#endif
