// inject
//
// before:  W0 ─▶ Conv input 1
// after:   form weight (form branch is in inject_branch.c)
//          Add(W0, Mul(Reshape(MatMul(B, A), shape), scale)) ─▶ Conv input 1
//          for each Conv that inject_plan.c chooses; W0 is a constant [M, C/g, kh, kw] of a floating type; where that
//          is not float32, a Cast to it lies between Mul and Add
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
    return lorac_inject_add_scale(model, names->scale, row->alpha / (double)row->rank, error);
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

// Inserts <conv>/lora_Cast to the weight's type.
static enum lorac_status add_cast(struct lorac_model *model, const struct lorac_conv_row *row, const char *from,
                                  const char **out, struct lorac_error *error)
{
    Onnx__NodeProto *node;
    LORAC_TRY(lorac_inject_add_node(model, row->name, row->node, "Cast", "lora_Cast", &from, 1, &node, error));
    *out = node->output[0];
    return lorac_model_set_node_int(model, node, "to", row->weight.data_type, error);
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
    if (row->weight.data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        LORAC_TRY(add_cast(model, row, value, &value, error));
    LORAC_TRY(add_node(model, row, "Add", weight, value, &value, error));
    LORAC_TRY(lorac_model_set_node_input(model, conv, 1, value, error));
    adapter->weight = weight;
    adapter->a = names.a;
    adapter->b = names.b;
    return LORAC_OK;
}

static enum lorac_status add_adapter(struct lorac_model *model, const struct lorac_conv_row *row,
                                     const struct lorac_inject_options *options, struct lorac_adapter *adapter,
                                     Onnx__NodeProto **sum, struct lorac_error *error)
{
    *sum = NULL;
    *adapter = (struct lorac_adapter){.conv = row->name,
                                      .rank = row->rank,
                                      .alpha = row->alpha,
                                      .setting = row->setting,
                                      .form = row->form,
                                      .freeze_a = row->freeze_a};
    return row->form == LORAC_FORM_BRANCH ? lorac_inject_add_branch(model, row, options, adapter, sum, error)
                                          : add_weight_form(model, row, options, adapter, error);
}

// ---- the pass

static enum lorac_status add_adapters(struct lorac_model *model, const struct lorac_inject_options *options,
                                      const struct lorac_inject_plan *plan, struct lorac_meta *meta,
                                      struct lorac_error *error)
{
    struct lorac_arena *arena = model->arena;
    size_t count = plan->row_count, sum_count = 0; // at most
    Onnx__NodeProto **sums = lorac_arena_alloc_array(arena, count, sizeof(*sums));
    meta->adapters = lorac_arena_alloc_array(arena, count, sizeof *meta->adapters);
    meta->trainable = lorac_arena_alloc_array(arena, 2 * count + plan->trained_count, sizeof *meta->trainable);
    if (!sums || !meta->adapters || !meta->trainable)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
    for (size_t i = 0; i < plan->row_count; i++) {
        if (!plan->rows[i].adapted)
            continue;
        struct lorac_adapter *adapter = &meta->adapters[meta->adapter_count++];
        LORAC_TRY(add_adapter(model, &plan->rows[i], options, adapter, &sums[sum_count], error));
        sum_count += sums[sum_count] != NULL;
        if (!adapter->freeze_a)
            meta->trainable[meta->trainable_count++] = adapter->a;
        meta->trainable[meta->trainable_count++] = adapter->b;
    }
    return lorac_inject_join_branches(model, sums, sum_count, error);
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    struct lorac_inject_options defaults = lorac_inject_options_default();
    const struct lorac_inject_options *options = options_ ? options_ : &defaults;
    struct lorac_meta meta;
    struct lorac_inject_plan plan;
    struct lorac_pass_report done = {0};
    char hash[33];
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "the model is injected already (by %s); merge it first",
                               meta.tool);
    LORAC_TRY(lorac_inject_plan(model, options, &plan, error));
    LORAC_TRY(lorac_inject_check(model, options, &plan, error));
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
    LORAC_TRY(lorac_inject_take_base(model, &plan, options->as_inputs, &meta, &done, error));
    LORAC_TRY(lorac_meta_write(model, &meta, error));
    done.changed = options->train_all ? meta.trainable_count : meta.adapter_count;
    done.skipped = plan.row_count - meta.adapter_count;
    *report = done;
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
           lorac_inject_check(model, options, &plan, NULL) == LORAC_OK;
}

const struct lorac_pass lorac_pass_inject = {
    .name = "inject",
    .summary = "give each convolution but the first a LoRA-C adapter",
    .keeps_outputs = true,
    .applies = applies,
    .run = run,
};
