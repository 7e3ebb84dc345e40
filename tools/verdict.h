// One line about a model before anything else: can it be trained here, wholly, in part or not at all.
#ifndef LORAC_TOOLS_VERDICT_H
#define LORAC_TOOLS_VERDICT_H

#include "passes/inject.h"

enum lorac_verdict_kind {
    LORAC_VERDICT_TRAINABLE,
    LORAC_VERDICT_PARTLY, // it trains, but convolutions or the last layer that could be wanted cannot take part
    LORAC_VERDICT_NOT,
};

struct lorac_verdict {
    enum lorac_verdict_kind kind;
    size_t adapted; // convolutions with an adapter
    char text[LORAC_ERROR_MESSAGE_BYTES + 64]; // one line, with the kind: "partly trainable: ..."
};

// [reason] says why a training step cannot be run; NULL where it can.
struct lorac_verdict lorac_verdict_of(const struct lorac_inject_plan *plan, const char *reason);

// "trainable", "partly", "not"
const char *lorac_verdict_word(enum lorac_verdict_kind kind);

#endif
