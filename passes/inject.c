// inject
//
// before:  W0 ─▶ Conv input 1
// after:   form weight (form branch is in inject_branch.c)
//          Add(W0, Mul(Reshape(MatMul(B, A), shape), scale)) ─▶ Conv input 1
//          for each Conv that inject_plan.c chooses; W0 is a float32 constant [M, C/g, kh, kw]
//
//     A [R, (C/g)*kw]  uniform in (-bound, bound), bound = 1/sqrt((C/g)*kw), from the seed and the Conv's name alone
//     B [M*kh, R]      zeros, so that the outputs stay the same
//     shape            [M, C/g, kh, kw]
//     scale            alpha / rank
#include "inject_parts.h"

#include "proto/model_edit.h"

#include <stdio.h>
#include <string.h>

struct names {
    const char *a, *b, *shape, *scale;
};

static enum lorac_status add_tensors(struct lorac_model *model, const struct lorac_conv_row *row,
                                     const struct lorac_inject_options *options, struct names *names,
                                     struct lorac_error *error)
{
    LORAC_TRY(lorac_inject_name(model, row->name, "lora_A", &names->a, error));
    LORAC_TRY(lorac_inject_add_a(model, row, options->seed, names->a, error));
    LORAC_TRY(lorac_inject_name(model, row->name, "lora_B", &names->b, error));
    LORAC_TRY(lorac_inject_add_b(model, row, names->b, error));
    LORAC_TRY(lorac_inject_name(model, row->name, "lora_shape", &names->shape, error));
    LORAC_TRY(lorac_inject_add_int64(model, names->shape, row->dims, 4, error));
    LORAC_TRY(lorac_inject_name(model, row->name, "lora_scale", &names->scale, error));
    return lorac_inject_add_scale(model, names->scale, options->alpha / (double)options->rank, error);
}

// ---- nodes

// Inserts <conv>/lora_<op_type>(left, right) before the Conv; *out is its output.
static enum lorac_status add_node(struct lorac_model *model, const struct lorac_conv_row *row, const char *op_type,
                                  const char *left, const char *right, const char **out, struct lorac_error *error)
{
    char suffix[32];
    const char *const inputs[] = {left, right};
    Onnx__NodeProto *node;
    snprintf(suffix, sizeof suffix, "lora_%s", op_type);
    LORAC_TRY(lorac_inject_add_node(model, row->name, row->node, op_type, suffix, inputs, 2, &node, error));
    *out = node->output[0];
    return LORAC_OK;
}

static enum lorac_status add_weight_form(struct lorac_model *model, const struct lorac_conv_row *row,
                                         const struct lorac_inject_options *options, struct lorac_adapter *adapter,
                                         struct lorac_error *error)
{
    Onnx__NodeProto *conv = (Onnx__NodeProto *)row->node; // the plan only looks; the model is ours to edit
    const char *weight = conv->input[1], *value;
    struct names names;
    LORAC_TRY(add_tensors(model, row, options, &names, error));
    LORAC_TRY(add_node(model, row, "MatMul", names.b, names.a, &value, error));
    LORAC_TRY(add_node(model, row, "Reshape", value, names.shape, &value, error));
    LORAC_TRY(add_node(model, row, "Mul", value, names.scale, &value, error));
    LORAC_TRY(add_node(model, row, "Add", weight, value, &value, error));
    LORAC_TRY(lorac_model_set_node_input(model, conv, 1, value, error));
    adapter->weight = weight;
    adapter->a = names.a;
    adapter->b = names.b;
    return LORAC_OK;
}

static enum lorac_status add_adapter(struct lorac_model *model, const struct lorac_conv_row *row,
                                     const struct lorac_inject_options *options, struct lorac_adapter *adapter,
                                     struct lorac_error *error)
{
    *adapter = (struct lorac_adapter){.conv = row->name,
                                      .rank = options->rank,
                                      .alpha = options->alpha,
                                      .setting = options->setting,
                                      .form = row->form};
    return row->form == LORAC_FORM_BRANCH ? lorac_inject_add_branch(model, row, options, adapter, error)
                                          : add_weight_form(model, row, options, adapter, error);
}

// ---- may it be done?

static const struct lorac_conv_row *first_row(const struct lorac_inject_plan *plan)
{
    for (size_t i = 0; i < plan->row_count; i++)
        if (plan->rows[i].first)
            return &plan->rows[i];
    return NULL;
}

static bool will_train(const struct lorac_inject_plan *plan, const char *value)
{
    for (size_t i = 0; i < plan->trainable_count; i++)
        if (strcmp(plan->trainable[i], value) == 0)
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

// Training moves the running mean and variance: of this node alone, and in the file.
static enum lorac_status check_statistics(struct lorac_model *model, const Onnx__NodeProto *node,
                                          struct lorac_error *error)
{
    enum { MEAN = 3, VARIANCE = 4 };
    for (size_t i = MEAN; i <= VARIANCE; i++) {
        const struct lorac_use *uses;
        const char *name = lorac_node_input(node, i), *problem = NULL;
        if (!lorac_model_constant(model, name))
            problem = "no initialiser or Constant";
        else if (lorac_model_uses(model, name, &uses) != 1 || lorac_model_is_graph_output(model, name))
            problem = "shared";
        if (problem)
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "node '%s' (BatchNormalization): its statistics '%s' are %s; use --bn frozen",
                                   lorac_node_name(node), name, problem);
    }
    return LORAC_OK;
}

static enum lorac_status check_batch_norms(struct lorac_model *model, const struct lorac_inject_plan *plan,
                                           struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    if (plan->batch_norm_count == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the model has no BatchNormalization to train (the "
                               "exporter folded it into the convolutions); use --bn frozen");
    for (size_t i = 0; i < graph->n_node; i++)
        if (lorac_node_is(graph->node[i], "BatchNormalization"))
            LORAC_TRY(check_statistics(model, graph->node[i], error));
    return LORAC_OK;
}

// What the user asked for must be there: a missing part is never left out in silence.
static enum lorac_status check_plan(struct lorac_model *model, const struct lorac_inject_options *options,
                                    const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    const struct lorac_conv_row *first = first_row(plan);
    if (options->bn == LORAC_BN_TRAIN)
        LORAC_TRY(check_batch_norms(model, plan, error));
    if (options->train_first && !options->train_all && (!first || !will_train(plan, lorac_node_input(first->node, 1))))
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--train-first: %s",
                               first ? "the first convolution's weight is no float32 constant of rank 4"
                                     : "the model has no convolution that depends on its input");
    if (options->train_last && !options->train_all && !plan->last_layer)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the last layer cannot be trained: %s; use --no-train-last",
                               plan->last_reason);
    if (options->layers && !options->train_all && count_adapted(plan) == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--layers '%s' leaves no convolution to adapt; see inspect "
                               "for the names and reasons",
                               options->layers);
    if (count_adapted(plan) == 0 && plan->trainable_count == 0)
        return lorac_error_set(
            error, LORAC_ERROR_ARGUMENT,
            "nothing would be trainable: no convolution gets an "
            "adapter and neither the first nor the last layer is trained; see inspect for the reasons");
    return LORAC_OK;
}

// ---- the pass

static enum lorac_status add_adapters(struct lorac_model *model, const struct lorac_inject_options *options,
                                      const struct lorac_inject_plan *plan, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    struct lorac_arena *arena = model->arena;
    size_t count = count_adapted(plan);
    meta->adapters = lorac_arena_alloc_array(arena, count, sizeof *meta->adapters);
    meta->trainable = lorac_arena_alloc_array(arena, 2 * count + plan->trainable_count, sizeof *meta->trainable);
    if (!meta->adapters || !meta->trainable)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
    for (size_t i = 0; i < plan->row_count; i++) {
        if (!plan->rows[i].adapted)
            continue;
        struct lorac_adapter *adapter = &meta->adapters[meta->adapter_count++];
        LORAC_TRY(add_adapter(model, &plan->rows[i], options, adapter, error));
        meta->trainable[meta->trainable_count++] = adapter->a;
        meta->trainable[meta->trainable_count++] = adapter->b;
    }
    for (size_t i = 0; i < plan->trainable_count; i++)
        meta->trainable[meta->trainable_count++] = plan->trainable[i];
    return LORAC_OK;
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    struct lorac_inject_options defaults = lorac_inject_options_default();
    const struct lorac_inject_options *options = options_ ? options_ : &defaults;
    struct lorac_meta meta;
    struct lorac_inject_plan plan;
    char hash[33];
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model is injected already (by %s); merge it first",
                               meta.tool);
    LORAC_TRY(lorac_inject_plan(model, options, &plan, error));
    LORAC_TRY(check_plan(model, options, &plan, error));
    LORAC_TRY(lorac_base_hash(model, NULL, hash, error));

    meta.injected = true;
    meta.base_hash = hash;
    meta.bn = options->bn;
    meta.seed = options->seed;
    meta.tool = options->tool ? options->tool : "lorac-onnx";
    if (options->input.given)
        meta.input = options->input;
    if (options->output)
        LORAC_TRY(lorac_meta_output(model, &meta, options->output, &meta.output, error));
    LORAC_TRY(add_adapters(model, options, &plan, &meta, error));
    LORAC_TRY(lorac_meta_write(model, &meta, error));
    report->changed = options->train_all ? meta.trainable_count : meta.adapter_count;
    report->skipped = plan.row_count - meta.adapter_count;
    return LORAC_OK;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    struct lorac_inject_options defaults = lorac_inject_options_default();
    const struct lorac_inject_options *options = options_ ? options_ : &defaults;
    struct lorac_meta meta;
    struct lorac_inject_plan plan;
    return lorac_meta_read(model, &meta, NULL) == LORAC_OK && !meta.injected &&
           lorac_inject_plan(model, options, &plan, NULL) == LORAC_OK &&
           check_plan(model, options, &plan, NULL) == LORAC_OK;
}

const struct lorac_pass lorac_pass_inject = {
    .name = "inject",
    .summary = "give each convolution but the first a LoRA-C adapter",
    .keeps_outputs = true,
    .applies = applies,
    .run = run,
};
