#include "verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"trainable", "partly", "not"};

const char *lorac_verdict_word(enum lorac_verdict_kind kind)
{
    return words[kind];
}

// The first convolution that gets no adapter although nobody left it out, and how many there are.
static const struct lorac_conv_row *first_unfit(const struct lorac_inject_plan *plan, size_t *count)
{
    const struct lorac_conv_row *first = NULL;
    *count = 0;
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct lorac_conv_row *row = &plan->rows[i];
        if (row->adapted || row->left_out)
            continue;
        first = first ? first : row;
        ++*count;
    }
    return first;
}

// Adds to a text in [bytes]; what is too long is cut.
static void LORAC_PRINTF(3, 4) append(char *text, size_t bytes, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, bytes - used, format, arguments);
    va_end(arguments);
}

const char *lorac_outputs_text(const struct lorac_model *model, char text[LORAC_OUTPUTS_TEXT])
{
    const Onnx__GraphProto *graph = model->proto->graph;
    text[0] = '\0';
    for (size_t i = 0; graph->n_output > 1 && i < graph->n_output; i++)
        append(text, LORAC_OUTPUTS_TEXT, "%s'%s'",
               i > 0 ? ", " : "; choose another output with --output-name NAME: the model has ",
               graph->output[i]->name);
    return text;
}

const char *lorac_loss_note(struct lorac_model *model, const char *output, char *text, size_t text_bytes)
{
    static const char *const squash[] = {"Sigmoid", "HardSigmoid", "Tanh", NULL};
    static const char *const pass[] = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", NULL};
    for (size_t steps = 0; output && steps < model->proto->graph->n_node; steps++) {
        const Onnx__NodeProto *node = lorac_model_producer(model, output);
        bool passes = false;
        for (size_t i = 0; node && squash[i]; i++)
            if (lorac_node_is(node, squash[i])) {
                snprintf(text, text_bytes,
                         "the model ends in %s ('%s'): the loss, softmax cross-entropy, is taken of its outputs as "
                         "they are",
                         squash[i], lorac_node_name(node));
                return text;
            }
        for (size_t i = 0; node && pass[i]; i++)
            passes |= lorac_node_is(node, pass[i]);
        output = passes ? lorac_node_input(node, 0) : NULL;
    }
    return NULL;
}

static void append_trial(struct lorac_verdict *verdict, const struct lorac_trial *trial)
{
    if (trial->chosen)
        append(verdict->text, sizeof verdict->text,
               ", with images of %zux%zu (the model leaves the size free; --input-size HxW)", trial->height,
               trial->width);
}

struct lorac_verdict lorac_verdict_of(const struct lorac_model *model, const struct lorac_inject_plan *plan,
                                      const struct lorac_trial *trial, const char *reason)
{
    struct lorac_verdict verdict = {.kind = LORAC_VERDICT_NOT};
    char outputs[LORAC_OUTPUTS_TEXT];
    size_t unfit, bytes = sizeof verdict.text;
    for (size_t i = 0; i < plan->row_count; i++)
        verdict.adapted += plan->rows[i].adapted;
    if (reason) {
        append(verdict.text, bytes, "not trainable: %s", reason);
        append_trial(&verdict, trial);
        append(verdict.text, bytes, "%s", lorac_outputs_text(model, outputs));
        return verdict;
    }
    const struct lorac_conv_row *row = first_unfit(plan, &unfit);
    verdict.kind = unfit > 0 || !plan->last_layer ? LORAC_VERDICT_PARTLY : LORAC_VERDICT_TRAINABLE;
    append(verdict.text, bytes, "%s: adapters on %zu of %zu convolutions",
           verdict.kind == LORAC_VERDICT_PARTLY ? "partly trainable" : "trainable", verdict.adapted, plan->row_count);
    append_trial(&verdict, trial);
    if (row)
        append(verdict.text, bytes, "; %zu cannot have one, e.g. '%s': %s", unfit, row->name, row->reason);
    if (!plan->last_layer)
        append(verdict.text, bytes, "; no last layer to train: %s%s",
               plan->last_reason ? plan->last_reason : "none was found", lorac_outputs_text(model, outputs));
    return verdict;
}
