// May inject go on? What it refuses, before any work.
#include "inject_parts.h"

#include "proto/tensor.h"

#include <string.h>

static const struct lorac_conv_row *first_row(const struct lorac_inject_plan *plan)
{
    for (size_t i = 0; i < plan->row_count; i++)
        if (plan->rows[i].first)
            return &plan->rows[i];
    return NULL;
}

static bool trains(const struct lorac_inject_plan *plan, const Onnx__NodeProto *node, size_t input)
{
    for (size_t i = 0; i < plan->trained_count; i++)
        if (plan->trained[i].node == node && plan->trained[i].input == input)
            return true;
    return false;
}

static size_t count_adapted(const struct lorac_inject_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->row_count; i++)
        count += plan->rows[i].adapted;
    return count;
}

// ---- numbers

// Training moves the running mean and variance, which must be in the file.
static enum lorac_status check_statistics(struct lorac_model *model, const struct lorac_inject_plan *plan,
                                          struct lorac_error *error)
{
    enum { MEAN = 3, VARIANCE = 4 };
    const Onnx__GraphProto *graph = model->proto->graph;
    if (plan->batch_norm_count == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model has no BatchNormalization to train (the "
                               "exporter folded it into the convolutions); use --bn frozen");
    size_t at = 0; // the plan lists them in graph order
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        bool moves = lorac_constant_spares_batch_norm(model, node);
        for (size_t k = MEAN; k <= VARIANCE && moves; k++) {
            if (at < plan->moved_count && plan->moved[at].node == node && plan->moved[at].input == k)
                at++;
            else
                return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                       "node '%s' (BatchNormalization): its statistics '%s' are no floating constant; "
                                       "use --bn frozen",
                                       lorac_node_name(node), lorac_node_input(node, k));
        }
    }
    return LORAC_OK;
}

// Of the weights that get an adapter, and of all that training changes. The rest is checked when the model is run.
static enum lorac_status check_finite(struct lorac_model *model, const struct lorac_inject_plan *plan,
                                      struct lorac_error *error)
{
    for (size_t i = 0; i < plan->row_count; i++)
        if (plan->rows[i].adapted)
            LORAC_TRY(lorac_weight_check_finite(model, &plan->rows[i].weight, error));
    for (size_t i = 0; i < plan->trained_count; i++)
        LORAC_TRY(lorac_weight_check_finite(model, &plan->trained[i].weight, error));
    for (size_t i = 0; i < plan->moved_count; i++)
        LORAC_TRY(lorac_weight_check_finite(model, &plan->moved[i].weight, error));
    return LORAC_OK;
}

// ---- quantised activations

// Rounding has no gradient. A QuantizeLinear over constants is only a way of storing a weight.
static bool quantises_activations(struct lorac_model *model, const Onnx__NodeProto *node)
{
    static const char *const integer_ops[] = {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm",
                                              "MatMulIntegerToFloat"};
    if (strncmp(node->op_type, "QLinear", 7) == 0) // of any domain
        return true;
    for (size_t i = 0; i < sizeof integer_ops / sizeof *integer_ops; i++)
        if (strcmp(node->op_type, integer_ops[i]) == 0)
            return true;
    return strcmp(node->op_type, "QuantizeLinear") == 0 &&
           lorac_constant_follows(model, lorac_node_input(node, 0), NULL) != LORAC_OK;
}

static enum lorac_status check_quantisation(struct lorac_model *model, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < graph->n_node; i++)
        if (quantises_activations(model, graph->node[i]))
            return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                                   "node '%s' (%s) works on quantised activations, which cannot be trained: adapt the "
                                   "float model, or one with quantised weights only, and quantise what merge writes",
                                   lorac_node_name(graph->node[i]), graph->node[i]->op_type);
    return LORAC_OK;
}

// ---- convolutions that no engine could run

static enum lorac_status check_faults(const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    for (size_t i = 0; i < plan->row_count; i++)
        if (plan->rows[i].fault)
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "convolution '%s' %s", plan->rows[i].name,
                                   plan->rows[i].fault);
    return LORAC_OK;
}

// ---- what was asked for

// It must be there: a missing part is never left out in silence.
static enum lorac_status check_wishes(const struct lorac_inject_options *options, const struct lorac_inject_plan *plan,
                                      struct lorac_error *error)
{
    const struct lorac_conv_row *first = first_row(plan);
    if (options->record) // whoever has it compares it with what was made
        return LORAC_OK;
    if (options->train_first && !options->train_all && (!first || !trains(plan, first->node, 1)))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--train-first: %s",
                               first ? "the first convolution's weight is no floating constant of rank 4"
                                     : "the model has no convolution that depends on its input and reaches the output");
    if (options->train_last && !options->train_all && !plan->last_layer)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the last layer cannot be trained: %s; use --no-train-last",
                               plan->last_reason);
    if (options->layers && !options->train_all && count_adapted(plan) == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--layers '%s' leaves no convolution to adapt; see inspect "
                               "for the names and reasons",
                               options->layers);
    if (count_adapted(plan) == 0 && plan->trained_count == 0)
        return lorac_error_set(
            error, LORAC_ERROR_ARGUMENT,
            "nothing would be trainable: no convolution gets an "
            "adapter and neither the first nor the last layer is trained; see inspect for the reasons");
    return LORAC_OK;
}

enum lorac_status lorac_inject_check(struct lorac_model *model, const struct lorac_inject_options *options,
                                     const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    LORAC_TRY(check_faults(plan, error));
    LORAC_TRY(check_quantisation(model, error));
    if (options->bn == LORAC_BN_TRAIN)
        LORAC_TRY(check_statistics(model, plan, error));
    LORAC_TRY(check_wishes(options, plan, error));
    return check_finite(model, plan, error);
}
