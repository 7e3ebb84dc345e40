// One line about a model before anything else: can it be trained here, wholly, in part or not at all.
#ifndef LORAC_TOOLS_VERDICT_H
#define LORAC_TOOLS_VERDICT_H

#include "passes/inject.h"
#include "trial.h"

enum lorac_verdict_kind {
    LORAC_VERDICT_TRAINABLE,
    LORAC_VERDICT_PARTLY, // it trains, but convolutions or the last layer that could be wanted cannot take part
    LORAC_VERDICT_NOT,
};

struct lorac_verdict {
    enum lorac_verdict_kind kind;
    size_t adapted;                           // convolutions with an adapter
    char text[2 * LORAC_ERROR_MESSAGE_BYTES]; // one line, with the kind: "partly trainable: ..."
};

// [reason] says why a training step cannot be run; NULL where it can. [trial] says with which size that was found out.
struct lorac_verdict lorac_verdict_of(const struct lorac_model *model, const struct lorac_inject_plan *plan,
                                      const struct lorac_trial *trial, const char *reason);

// "; choose another output with --output-name NAME: the model has 'a', 'b'" in [text], which is emptied where the model
// has only one. Returns text.
enum { LORAC_OUTPUTS_TEXT = 600 };
const char *lorac_outputs_text(const struct lorac_model *model, char text[LORAC_OUTPUTS_TEXT]);

// What the loss is taken of where [output] comes from a Sigmoid or the like: "the model ends in Sigmoid ('node'): ..."
// in [text]; NULL where it does not.
const char *lorac_loss_note(struct lorac_model *model, const char *output, char *text, size_t text_bytes);

// "trainable", "partly", "not"
const char *lorac_verdict_word(enum lorac_verdict_kind kind);

#endif
