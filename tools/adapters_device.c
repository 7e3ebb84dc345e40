// The device build has no passes: inspect shows what is in the model, and nothing can be injected.
#include "adapters.h"

#include "proto/size.h"
#include "proto/tensor.h"

#include <string.h>

enum lorac_status lorac_adapters_check(const struct lorac_call *call, struct lorac_adapter_settings *settings,
                                       struct lorac_error *error)
{
    (void)call;
    (void)settings;
    (void)error;
    return LORAC_OK;
}

bool lorac_adapters_given(const struct lorac_call *call)
{
    (void)call;
    return false;
}

static const struct lorac_adapter *find_adapter(const struct lorac_meta *meta, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < meta->adapter_count; i++)
        if (strcmp(meta->adapters[i].conv, lorac_node_name(node)) == 0)
            return &meta->adapters[i];
    return NULL;
}

static enum lorac_status fill_row(struct lorac_model *model, const struct lorac_meta *meta, const Onnx__NodeProto *node,
                                  struct lorac_conv_row *row, struct lorac_error *error)
{
    const struct lorac_adapter *adapter = find_adapter(meta, node);
    struct lorac_weight weight = {0};
    if (!adapter && lorac_weight_find(model, lorac_node_input(node, 1), &weight, NULL) != LORAC_OK)
        weight.rank = 0;
    *row =
        (struct lorac_conv_row){.node = node, .name = lorac_node_name(node), .group = lorac_node_int(node, "group", 1)};
    if (adapter) {
        struct lorac_adapter_site site;
        LORAC_TRY(lorac_adapter_locate(model, adapter, model->arena, &site, error));
        weight = site.weight;
        row->adapted = true;
        row->form = site.form;
        row->R = site.R;
        row->adapter_parameters = site.R * (site.Cg * site.kw + site.M * site.kh); // located: both tensors are there
        row->freeze_a = adapter->freeze_a;
        row->trained_parameters = row->adapter_parameters - (row->freeze_a ? site.R * site.Cg * site.kw : 0);
    } else {
        row->reason = meta->injected ? "no adapter was injected" : "the model is not injected";
        row->left_out = true;
    }
    row->has_weight = weight.rank == 4;
    row->weight = weight;
    if (row->has_weight)
        memcpy(row->dims, weight.dims, sizeof row->dims);
    return LORAC_OK;
}

static int64_t count_of(const Onnx__TensorProto *tensor)
{
    size_t count = 0;
    return tensor && lorac_tensor_count(tensor, &count, NULL) == LORAC_OK ? (int64_t)count : 0;
}

// The base model's float tensors: all but the adapters' own, A, B and scale.
static int64_t count_parameters(struct lorac_model *model, int64_t in_adapters)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    int64_t total = -in_adapters;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (lorac_tensor_type_is_floating(graph->initializer[i]->data_type))
            total += count_of(graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__TensorProto *tensor = NULL;
        if (lorac_node_is(graph->node[i], "Constant") && graph->node[i]->n_output > 0)
            tensor = lorac_model_constant(model, graph->node[i]->output[0]);
        if (tensor && lorac_tensor_type_is_floating(tensor->data_type))
            total += count_of(tensor);
    }
    return total;
}

static bool is_of_adapter(const struct lorac_meta *meta, const char *value)
{
    for (size_t i = 0; i < meta->adapter_count; i++)
        if (strcmp(value, meta->adapters[i].a) == 0 || strcmp(value, meta->adapters[i].b) == 0)
            return true;
    return false;
}

enum lorac_status lorac_adapters_plan(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                      struct lorac_inject_plan *out, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    struct lorac_inject_plan plan = {.last_reason = "not looked for (this build has no inject)"};
    struct lorac_meta meta;
    struct lorac_branch_nodes branches;
    int64_t in_adapters = 0;
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    LORAC_TRY(lorac_meta_output(model, &meta, settings->output, &plan.output, error));
    LORAC_TRY(lorac_branch_nodes_list(model, &meta, model->arena, &branches, error));
    plan.rows = lorac_arena_alloc_array(model->arena, graph->n_node + 1, sizeof *plan.rows);
    plan.trained = lorac_arena_alloc_array(model->arena, meta.trainable_count + 1, sizeof *plan.trained);
    if (!plan.rows || !plan.trained)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the list of convolutions");
    for (size_t i = 0; i < graph->n_node; i++) {
        plan.batch_norm_count += lorac_constant_spares_batch_norm(model, graph->node[i]);
        if (!lorac_node_is(graph->node[i], "Conv") || lorac_branch_nodes_has(&branches, graph->node[i]))
            continue;
        struct lorac_conv_row *row = &plan.rows[plan.row_count++];
        LORAC_TRY(fill_row(model, &meta, graph->node[i], row, error));
        in_adapters += row->adapted ? row->adapter_parameters + 1 : 0;
    }
    for (size_t i = 0; i < meta.trainable_count; i++) {
        int64_t count = count_of(lorac_model_constant(model, meta.trainable[i]));
        if (!is_of_adapter(&meta, meta.trainable[i]))
            plan.trained[plan.trained_count++] = (struct lorac_base_tensor){.count = count};
        plan.trainable_parameters += count;
    }
    plan.parameters = count_parameters(model, in_adapters);
    *out = plan;
    return LORAC_OK;
}

enum lorac_status lorac_adapters_apply(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                       struct lorac_error *error)
{
    (void)model;
    (void)settings;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "the model is not injected, and this build has no inject");
}

bool lorac_adapters_can_train_bn(struct lorac_model *model, const struct lorac_adapter_settings *settings)
{
    (void)model;
    (void)settings;
    return false;
}
