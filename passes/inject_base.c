// The tensors of the base model that training changes: weights and biases of the first and last layer or of all, and
// BatchNormalization's running statistics.
//
// before:  w ─┬▶ node      or  Identity(w) ─▶ node
//             └▶ another
// after:   <node>/weight ─▶ node: an initialiser with the same numbers, which no other node reads; w as it was
#include "inject_parts.h"
#include "match.h"

#include "proto/model_edit.h"

#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
}

// ---- planning

// Why [node] cannot have the value to itself; NULL where it can.
static enum lorac_status find_copy_reason(struct lorac_model *model, struct lorac_base_tensor *tensor,
                                          struct lorac_error *error)
{
    const char *value = tensor->weight.value;
    const struct lorac_use *uses;
    const Onnx__NodeProto *producer = lorac_model_producer(model, value), *other = NULL;
    size_t count = lorac_model_uses(model, value, &uses);
    for (size_t i = 0; i < count; i++)
        if (uses[i].node != tensor->node || uses[i].input != tensor->input)
            other = uses[i].node;
    if (!tensor->weight.tensor)
        tensor->copy_reason =
            lorac_match_text(model, "'%s' (%s) computes it", lorac_node_name(producer), producer->op_type);
    else if (other)
        tensor->copy_reason = lorac_match_text(model, "'%s' reads it too", lorac_node_name(other));
    else if (lorac_model_is_graph_output(model, value))
        tensor->copy_reason = "it is an output of the model";
    else
        return LORAC_OK;
    return tensor->copy_reason ? LORAC_OK : out_of_memory(error);
}

// Appends input [input] of [node], where it is a constant of a floating type; *added says whether it is.
static enum lorac_status add_tensor(struct lorac_model *model, const Onnx__NodeProto *node, size_t input,
                                    enum lorac_base_role role, struct lorac_base_tensor *list, size_t *count,
                                    struct lorac_error *error)
{
    const char *value = lorac_node_input(node, input);
    struct lorac_base_tensor tensor = {.role = role, .node = node, .input = input};
    bool of_last = role == LORAC_BASE_LAST_WEIGHT || role == LORAC_BASE_LAST_BIAS;
    for (size_t i = 0; of_last && i < *count; i++)
        if (list[i].node == node && list[i].input == input) {
            list[i].role = role; // it is there already where the model is trained whole
            return LORAC_OK;
        }
    if (!*value)
        return LORAC_OK;
    enum lorac_status status = lorac_weight_find(model, value, &tensor.weight, NULL);
    if (status == LORAC_ERROR_MEMORY)
        return out_of_memory(error);
    if (status != LORAC_OK || !lorac_weight_is_floating(&tensor.weight) || tensor.weight.count == 0)
        return LORAC_OK;
    tensor.count = (int64_t)tensor.weight.count;
    tensor.copy_name = role == LORAC_BASE_LAST_BIAS || input == 2 ? "bias" : "weight";
    LORAC_TRY(find_copy_reason(model, &tensor, error));
    list[(*count)++] = tensor;
    return LORAC_OK;
}

// With a record: all that could be trained, of which it says which is.
static enum lorac_status plan_trained(struct lorac_model *model, const struct lorac_inject_options *options,
                                      const struct lorac_last_layer *last, struct lorac_inject_plan *plan,
                                      struct lorac_error *error)
{
    bool all = options->train_all || options->record;
    plan->trained = lorac_arena_alloc_array(model->arena, plan->row_count + 1, 2 * sizeof *plan->trained);
    if (!plan->trained)
        return out_of_memory(error);
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct lorac_conv_row *row = &plan->rows[i];
        enum lorac_base_role role = row->first ? LORAC_BASE_FIRST_WEIGHT : LORAC_BASE_OTHER;
        if (!row->has_weight || !row->reaches || !(all || (row->first && options->train_first)))
            continue;
        LORAC_TRY(add_tensor(model, row->node, 1, role, plan->trained, &plan->trained_count, error));
        if (all)
            LORAC_TRY(add_tensor(model, row->node, 2, LORAC_BASE_OTHER, plan->trained, &plan->trained_count, error));
    }
    if (!last->node || !(all || options->train_last))
        return LORAC_OK;
    LORAC_TRY(add_tensor(model, last->node, 1, LORAC_BASE_LAST_WEIGHT, plan->trained, &plan->trained_count, error));
    if (last->bias)
        LORAC_TRY(add_tensor(model, last->bias_node, last->bias_input, LORAC_BASE_LAST_BIAS, plan->trained,
                             &plan->trained_count, error));
    return LORAC_OK;
}

// Does the record train the tensor: itself, or the copy that it would get?
static enum lorac_status is_recorded(struct lorac_model *model, const struct lorac_meta *record,
                                     const struct lorac_base_tensor *tensor, bool *out, struct lorac_error *error)
{
    const char *wanted = tensor->weight.value;
    *out = false;
    if (tensor->copy_reason)
        LORAC_TRY(lorac_inject_name(model, lorac_node_name(tensor->node), tensor->copy_name, &wanted, error));
    for (size_t i = 0; i < record->trainable_count && !*out; i++)
        *out = strcmp(record->trainable[i], wanted) == 0;
    return LORAC_OK;
}

static enum lorac_status keep_recorded(struct lorac_model *model, const struct lorac_meta *record,
                                       struct lorac_inject_plan *plan, struct lorac_error *error)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->trained_count; i++) {
        bool recorded;
        LORAC_TRY(is_recorded(model, record, &plan->trained[i], &recorded, error));
        if (recorded)
            plan->trained[kept++] = plan->trained[i];
    }
    plan->trained_count = kept;
    return LORAC_OK;
}

static enum lorac_status plan_moved(struct lorac_model *model, struct lorac_inject_plan *plan,
                                    struct lorac_error *error)
{
    static const char *const names[] = {"running_mean", "running_var"};
    const Onnx__GraphProto *graph = model->proto->graph;
    plan->moved = lorac_arena_alloc_array(model->arena, plan->batch_norm_count + 1, 2 * sizeof *plan->moved);
    if (!plan->moved)
        return out_of_memory(error);
    for (size_t i = 0; i < graph->n_node; i++) {
        bool moves = lorac_constant_spares_batch_norm(model, graph->node[i]);
        for (size_t k = 0; k < 2 && moves; k++) {
            size_t before = plan->moved_count;
            LORAC_TRY(
                add_tensor(model, graph->node[i], 3 + k, LORAC_BASE_OTHER, plan->moved, &plan->moved_count, error));
            if (plan->moved_count > before)
                plan->moved[before].copy_name = names[k];
        }
    }
    return LORAC_OK;
}

// Only an initialiser can be an input of the graph.
static void copy_constants(struct lorac_model *model, struct lorac_base_tensor *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!list[i].copy_reason && !lorac_model_initializer(model, list[i].weight.value))
            list[i].copy_reason = "a Constant cannot be an input of the graph";
}

enum lorac_status lorac_inject_plan_base(struct lorac_model *model, const struct lorac_inject_options *options,
                                         const struct lorac_last_layer *last, struct lorac_inject_plan *plan,
                                         struct lorac_error *error)
{
    LORAC_TRY(plan_trained(model, options, last, plan, error));
    if (options->bn == LORAC_BN_TRAIN)
        LORAC_TRY(plan_moved(model, plan, error));
    if (options->as_inputs) {
        copy_constants(model, plan->trained, plan->trained_count);
        copy_constants(model, plan->moved, plan->moved_count);
    }
    return options->record ? keep_recorded(model, options->record, plan, error) : LORAC_OK;
}

// ---- doing

// *name is what the node reads afterwards.
static enum lorac_status take(struct lorac_model *model, const struct lorac_base_tensor *tensor,
                              struct lorac_meta *meta, struct lorac_pass_report *report, const char **name,
                              struct lorac_error *error)
{
    const char *node = lorac_node_name(tensor->node);
    *name = tensor->weight.value;
    if (!tensor->copy_reason)
        return LORAC_OK;
    LORAC_TRY(lorac_inject_name(model, node, tensor->copy_name, name, error));
    LORAC_TRY(lorac_weight_add_copy(model, &tensor->weight, *name, error));
    LORAC_TRY(lorac_model_set_node_input(model, (Onnx__NodeProto *)tensor->node, tensor->input, *name, error));
    meta->copies[meta->copy_count++] = (struct lorac_meta_copy){.copy = *name, .of = tensor->weight.value};
    return lorac_pass_note(model, report, error, "'%s' gets a copy of '%s', since %s", node, tensor->weight.value,
                           tensor->copy_reason);
}

static enum lorac_status declare(struct lorac_model *model, const char *name, struct lorac_meta *meta,
                                 struct lorac_error *error)
{
    bool declared;
    LORAC_TRY(lorac_model_declare_input(model, name, &declared, error));
    if (declared)
        meta->graph_inputs[meta->graph_input_count++] = name;
    return LORAC_OK;
}

enum lorac_status lorac_inject_take_base(struct lorac_model *model, const struct lorac_inject_plan *plan,
                                         bool as_inputs, struct lorac_meta *meta, struct lorac_pass_report *report,
                                         struct lorac_error *error)
{
    const char *name;
    size_t inputs = meta->trainable_count + plan->trained_count + plan->moved_count; // at most
    meta->graph_inputs = lorac_arena_alloc_array(model->arena, inputs, sizeof *meta->graph_inputs);
    if (!meta->graph_inputs)
        return out_of_memory(error);
    for (size_t i = 0; as_inputs && i < meta->trainable_count; i++)
        LORAC_TRY(declare(model, meta->trainable[i], meta, error));
    meta->copies = lorac_arena_alloc_array(model->arena, plan->trained_count + plan->moved_count, sizeof *meta->copies);
    if (!meta->copies)
        return out_of_memory(error);
    for (size_t i = 0; i < plan->trained_count; i++) {
        LORAC_TRY(take(model, &plan->trained[i], meta, report, &name, error));
        meta->trainable[meta->trainable_count++] = name;
        if (as_inputs)
            LORAC_TRY(declare(model, name, meta, error));
    }
    for (size_t i = 0; i < plan->moved_count; i++) {
        LORAC_TRY(take(model, &plan->moved[i], meta, report, &name, error));
        if (as_inputs)
            LORAC_TRY(declare(model, name, meta, error));
    }
    return LORAC_OK;
}
