// What inject would do: looks at every Conv and says what it gets, or why nothing. Edits nothing.
#include "conv_check.h"
#include "inject_override.h"
#include "inject_parts.h"
#include "match.h"

#include "proto/input_shape.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct lorac_inject_options lorac_inject_options_default(void)
{
    return (struct lorac_inject_options){
        .rank = 4, .alpha = 8, .setting = LORAC_RANK_KERNEL, .train_last = true, .bn = LORAC_BN_FROZEN};
}

// One Conv's adapter in an injected model.
struct site_of {
    const Onnx__NodeProto *conv;
    struct lorac_adapter_site site;
};

struct planner {
    struct lorac_model *model;
    const struct lorac_inject_options *options;
    struct lorac_meta meta;
    struct site_of *sites; // by the address of the Conv; meta.adapter_count of them
    struct lorac_last_layer last;
    struct lorac_reach reach; // of the trained output
    const char *unreached;    // why what it lacks gets nothing
    const Onnx__NodeProto *first;
    const char **names; // of the plan.row_count convolutions, sorted
    const char **trainable; // of meta, sorted
    const struct lorac_adapter *recorded; // of options->record, by the convolution's name; [recorded_count]
    size_t recorded_count;
    struct lorac_override_set overrides;
    regex_t layers, exclude, branch_layers;
    bool has_layers, has_exclude, has_branch_layers;
    struct lorac_branch_nodes own; // of the adapters that are there
    struct lorac_inject_plan plan;
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// ---- options

// The channels that the model's input declares, 0 where it does not say.
static size_t input_channels(struct lorac_model *model)
{
    struct lorac_input_shape shape;
    return lorac_input_shape(model, &shape, NULL) == LORAC_OK ? shape.channels : 0;
}

static enum lorac_status check_scale(int64_t rank, double alpha, struct lorac_error *error)
{
    if (rank < 1 || rank > LORAC_MAX_RANK)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "rank is %" PRId64 "; it must be 1 to %d", rank,
                               (int)LORAC_MAX_RANK);
    if (!isfinite(alpha) || alpha == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "alpha is %g; it must be finite and not 0", alpha);
    float scale = (float)(alpha / (double)rank);
    if (!isfinite(scale) || scale == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "alpha/rank is %g, which is no float32; choose another alpha", alpha / (double)rank);
    return LORAC_OK;
}

static enum lorac_status check_options(struct lorac_model *model, const struct lorac_inject_options *options,
                                       struct lorac_error *error)
{
    LORAC_TRY(check_scale(options->rank, options->alpha, error));
    for (size_t i = 0; options->record && i < options->record->adapter_count; i++)
        LORAC_TRY(check_scale(options->record->adapters[i].rank, options->record->adapters[i].alpha, error));
    for (size_t i = 0; i < options->override_count; i++) {
        int64_t rank;
        double alpha;
        lorac_override_scale(options, &options->overrides[i], &rank, &alpha);
        LORAC_TRY(lorac_error_prefix(error, check_scale(rank, alpha, error), "--override '%s': ",
                                     options->overrides[i].layers));
    }
    return options->input.given ? lorac_input_meta_check(&options->input, input_channels(model), error) : LORAC_OK;
}

// ---- adapters that are there already

static int compare_sites(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const struct site_of *)a)->conv;
    uintptr_t right = (uintptr_t)((const struct site_of *)b)->conv;
    return (left > right) - (left < right);
}

static enum lorac_status locate_sites(struct planner *planner, struct lorac_error *error)
{
    size_t count = planner->meta.adapter_count;
    planner->sites = lorac_arena_alloc_array(planner->model->arena, count, sizeof *planner->sites);
    if (!planner->sites)
        return out_of_memory(error);
    size_t trainable = planner->meta.trainable_count;
    planner->trainable = lorac_arena_alloc_array(planner->model->arena, trainable, sizeof *planner->trainable);
    if (!planner->trainable)
        return out_of_memory(error);
    if (trainable > 0) {
        memcpy(planner->trainable, planner->meta.trainable, trainable * sizeof *planner->trainable);
        qsort(planner->trainable, trainable, sizeof *planner->trainable, compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        struct site_of *entry = &planner->sites[i];
        LORAC_TRY(lorac_adapter_locate(planner->model, &planner->meta.adapters[i], planner->model->arena, &entry->site, error));
        entry->conv = entry->site.conv;
    }
    if (count > 0)
        qsort(planner->sites, count, sizeof *planner->sites, compare_sites);
    return LORAC_OK;
}

static const struct lorac_adapter_site *find_site(const struct planner *planner, const Onnx__NodeProto *conv)
{
    struct site_of key = {.conv = conv};
    if (planner->meta.adapter_count == 0)
        return NULL;
    const struct site_of *found = bsearch(&key, planner->sites, planner->meta.adapter_count, sizeof key, compare_sites);
    return found ? &found->site : NULL;
}

// ---- one row

static enum lorac_status give_reason(const char *text, const char **reason, struct lorac_error *error)
{
    *reason = text;
    return text ? LORAC_OK : out_of_memory(error);
}

// Fills the weight's dimensions. *reason says why the weight can neither be adapted nor trained, NULL where it can.
static enum lorac_status describe_weight(struct planner *planner, struct lorac_conv_row *row,
                                         const struct lorac_adapter_site *site, const char **reason,
                                         struct lorac_error *error)
{
    struct lorac_model *model = planner->model;
    struct lorac_weight weight = {0};
    struct lorac_error why = {0};
    *reason = NULL;
    if (site)
        weight = site->weight;
    else if (lorac_weight_find(model, lorac_node_input(row->node, 1), &weight, &why) == LORAC_ERROR_MEMORY)
        return out_of_memory(error);
    else if (why.status != LORAC_OK && lorac_constant_is_spent(model))
        return lorac_error_set(error, why.status, "weight of '%s': %s", row->name, why.message);
    else if (why.status != LORAC_OK)
        return give_reason(lorac_match_text(model, "weight is not constant: %s", why.message), reason, error);
    if (weight.rank != 4)
        return give_reason(lorac_match_text(model, "weight has rank %zu", weight.rank), reason, error);
    row->has_weight = true;
    row->weight = weight;
    memcpy(row->dims, weight.dims, sizeof row->dims);
    if (!lorac_weight_is_floating(&weight))
        return give_reason(lorac_match_text(model, "weight has type %s, which is not floating",
                                            lorac_tensor_type_name(weight.data_type)),
                           reason, error);
    if (weight.count == 0)
        *reason = "weight is empty";
    return LORAC_OK;
}

// The metadata tells convolutions by their names alone.
static bool shares_name(const struct planner *planner, const char *name)
{
    const char **end = planner->names + planner->plan.row_count;
    const char **found = bsearch(&name, planner->names, planner->plan.row_count, sizeof *planner->names, compare_names);
    return found && ((found > planner->names && strcmp(found[-1], name) == 0) ||
                     (found + 1 < end && strcmp(found[1], name) == 0));
}

// A convolution that no engine could run: said in its row, so that inspect can show it, and refused by inject.
static enum lorac_status look_for_fault(struct planner *planner, struct lorac_conv_row *row, struct lorac_error *error)
{
    struct lorac_error fault = {0};
    if (!row->has_weight || lorac_conv_check(planner->model, row->node, row->dims, &fault) == LORAC_OK)
        return LORAC_OK;
    return give_reason(lorac_match_text(planner->model, "contradicts itself: %s", fault.message), &row->fault, error);
}

static int compare_conv_names(const void *a, const void *b)
{
    return strcmp(((const struct lorac_adapter *)a)->conv, ((const struct lorac_adapter *)b)->conv);
}

// What the record to be done again says of the convolution; NULL where it has no adapter there.
static const struct lorac_adapter *recorded_adapter(const struct planner *planner, const struct lorac_conv_row *row)
{
    const struct lorac_adapter key = {.conv = row->name};
    if (planner->recorded_count == 0)
        return NULL;
    return bsearch(&key, planner->recorded, planner->recorded_count, sizeof key, compare_conv_names);
}

static enum lorac_status sort_record(struct planner *planner, struct lorac_error *error)
{
    const struct lorac_meta *record = planner->options->record;
    if (!record || record->adapter_count == 0)
        return LORAC_OK;
    struct lorac_adapter *sorted =
        lorac_arena_alloc_array(planner->model->arena, record->adapter_count, sizeof *sorted);
    if (!sorted)
        return out_of_memory(error);
    memcpy(sorted, record->adapters, record->adapter_count * sizeof *sorted);
    qsort(sorted, record->adapter_count, sizeof *sorted, compare_conv_names);
    planner->recorded = sorted;
    planner->recorded_count = record->adapter_count;
    return LORAC_OK;
}

// Why a convolution whose weight could be adapted gets no adapter by the method's rule or by the options; NULL where
// nothing says so.
static const char *leave_out(const struct planner *planner, const struct lorac_conv_row *row, bool trained)
{
    if (planner->options->record && !planner->meta.injected)
        return recorded_adapter(planner, row) ? NULL : "not in the record";
    if (row->last)
        return trained ? "last layer, trained whole" : "last layer";
    if (row->first)
        return trained ? "first convolution, trained whole" : "first convolution";
    if (trained)
        return "trained whole";
    if (planner->meta.injected)
        return "no adapter was injected";
    if (planner->has_layers && regexec(&planner->layers, row->name, 0, NULL, 0) != 0)
        return "not in --layers";
    if (planner->has_exclude && regexec(&planner->exclude, row->name, 0, NULL, 0) == 0)
        return "excluded by --exclude";
    return NULL;
}

// Why it cannot have one; NULL where it can.
static const char *refuse_adapter(const struct planner *planner, const struct lorac_conv_row *row)
{
    if (row->group > 1 && row->dims[1] == 1)
        return "depthwise: the adapter would be larger than the layer";
    if (shares_name(planner, row->name))
        return "another node has the same name";
    return NULL;
}

static bool is_trainable(const struct planner *planner, const char *value)
{
    size_t count = planner->meta.trainable_count;
    return count > 0 && bsearch(&value, planner->trainable, count, sizeof *planner->trainable, compare_names);
}

// Whether the weight itself is trained. (One that shares it is not: the trained layer gets a copy.)
static bool is_trained_whole(const struct planner *planner, const struct lorac_conv_row *row)
{
    const struct lorac_inject_options *options = planner->options;
    if (planner->meta.injected)
        return is_trainable(planner, lorac_node_input(row->node, 1));
    return options->train_all || (row->last && options->train_last) || (row->first && options->train_first);
}

static enum lorac_status size_adapter(struct lorac_conv_row *row, struct lorac_error *error)
{
    size_t a_row, b_rows, both, parameters;
    bool fits = row->R > 0 && lorac_size_multiply((size_t)row->dims[1], (size_t)row->dims[3], &a_row) &&
                lorac_size_multiply((size_t)row->dims[0], (size_t)row->dims[2], &b_rows) &&
                lorac_size_add(a_row, b_rows, &both) && lorac_size_multiply(both, (size_t)row->R, &parameters) &&
                parameters <= INT32_MAX / sizeof(float); // one protobuf message holds at most 2 GiB
    if (!fits)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "the adapter of '%s' would be too large for an ONNX file; choose a smaller rank",
                               row->name);
    row->adapter_parameters = (int64_t)parameters;
    row->trained_parameters = row->adapter_parameters - (row->freeze_a ? row->R * (int64_t)a_row : 0);
    return LORAC_OK;
}

// The adapter of a row that can have one in the weight form.
static enum lorac_status choose_adapter(struct planner *planner, struct lorac_conv_row *row, struct lorac_error *error)
{
    const struct lorac_inject_options *options = planner->options;
    const struct lorac_adapter *recorded = recorded_adapter(planner, row);
    bool named = planner->has_branch_layers && regexec(&planner->branch_layers, row->name, 0, NULL, 0) == 0;
    lorac_override_scale(options, lorac_override_find(&planner->overrides, row->name), &row->rank, &row->alpha);
    if (recorded) {
        row->rank = recorded->rank;
        row->alpha = recorded->alpha;
    }
    row->setting = recorded ? recorded->setting : options->setting;
    row->form = recorded ? recorded->form : named ? LORAC_FORM_BRANCH : options->form;
    row->freeze_a = recorded ? recorded->freeze_a : options->freeze_a;
    row->R = lorac_adapter_inner(row->rank, row->setting, row->dims[2], row->dims[3]);
    LORAC_TRY(size_adapter(row, error));
    if (row->form == LORAC_FORM_BRANCH)
        LORAC_TRY(lorac_inject_refuse_branch(planner->model, row, &row->reason, error));
    row->adapted = !row->reason;
    if (!row->adapted)
        row->R = row->adapter_parameters = row->trained_parameters = 0;
    return LORAC_OK;
}

static enum lorac_status plan_row(struct planner *planner, const Onnx__NodeProto *node, struct lorac_conv_row *row,
                                  struct lorac_error *error)
{
    const struct lorac_adapter_site *site = find_site(planner, node);
    const char *weight_reason;
    row->node = node;
    row->name = lorac_node_name(node);
    row->group = lorac_node_int(node, "group", 1);
    row->first = node == planner->first;
    row->last = node == planner->last.node;
    row->reaches = lorac_reach_has(&planner->reach, node);
    LORAC_TRY(describe_weight(planner, row, site, &weight_reason, error));
    if (site) {
        row->adapted = true;
        row->form = site->form;
        row->R = site->R;
        row->freeze_a = !is_trainable(planner, site->a->name);
        return size_adapter(row, error);
    }
    LORAC_TRY(look_for_fault(planner, row, error));
    const char *left_out = !row->reaches               ? planner->unreached
                           : row->first && weight_reason ? "first convolution"
                           : weight_reason             ? NULL
                                                       : leave_out(planner, row, is_trained_whole(planner, row));
    row->left_out = !row->fault && left_out;
    row->reason = row->fault ? row->fault : left_out ? left_out : weight_reason;
    if (!row->reason)
        row->reason = refuse_adapter(planner, row);
    if (row->reason)
        return LORAC_OK;
    return choose_adapter(planner, row, error);
}

static bool is_row(const struct planner *planner, const Onnx__NodeProto *node)
{
    return lorac_node_is(node, "Conv") && !lorac_branch_nodes_has(&planner->own, node);
}

static enum lorac_status plan_rows(struct planner *planner, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = planner->model->proto->graph;
    struct lorac_inject_plan *plan = &planner->plan;
    LORAC_TRY(lorac_branch_nodes_list(planner->model, &planner->meta, planner->model->arena, &planner->own, error));
    for (size_t i = 0; i < graph->n_node; i++) {
        plan->row_count += is_row(planner, graph->node[i]);
        plan->batch_norm_count += lorac_constant_spares_batch_norm(planner->model, graph->node[i]);
    }
    plan->rows = lorac_arena_alloc_array(planner->model->arena, plan->row_count, sizeof *plan->rows);
    planner->names = lorac_arena_alloc_array(planner->model->arena, plan->row_count, sizeof *planner->names);
    if (!plan->rows || !planner->names)
        return out_of_memory(error);
    size_t row = 0, name = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        if (is_row(planner, graph->node[i]))
            planner->names[name++] = lorac_node_name(graph->node[i]);
    if (name > 0)
        qsort(planner->names, name, sizeof *planner->names, compare_names);
    for (size_t i = 0; i < graph->n_node; i++)
        if (is_row(planner, graph->node[i]))
            LORAC_TRY(plan_row(planner, graph->node[i], &plan->rows[row++], error));
    return LORAC_OK;
}

// ---- what is trained beside the adapters

static bool same_value(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static enum lorac_base_role role_of(const struct planner *planner, const char *value)
{
    if (same_value(value, planner->last.weight))
        return LORAC_BASE_LAST_WEIGHT;
    if (same_value(value, planner->last.bias))
        return LORAC_BASE_LAST_BIAS;
    bool first = planner->first && same_value(value, lorac_node_input(planner->first, 1));
    return first ? LORAC_BASE_FIRST_WEIGHT : LORAC_BASE_OTHER;
}

// In an injected model: what the record names beside the adapters' A and B.
static enum lorac_status read_trained(struct planner *planner, struct lorac_error *error)
{
    struct lorac_inject_plan *plan = &planner->plan;
    const struct lorac_meta *meta = &planner->meta;
    struct lorac_arena *arena = planner->model->arena;
    const char **own = lorac_arena_alloc_array(arena, meta->adapter_count, 2 * sizeof *own);
    plan->trained = lorac_arena_alloc_array(arena, meta->trainable_count, sizeof *plan->trained);
    if (!own || !plan->trained)
        return out_of_memory(error);
    for (size_t i = 0; i < meta->adapter_count; i++) {
        own[2 * i] = meta->adapters[i].a;
        own[2 * i + 1] = meta->adapters[i].b;
    }
    size_t own_count = 2 * meta->adapter_count;
    if (own_count > 0)
        qsort(own, own_count, sizeof *own, compare_names);
    for (size_t i = 0; i < meta->trainable_count; i++) {
        if (own_count > 0 && bsearch(&meta->trainable[i], own, own_count, sizeof *own, compare_names))
            continue;
        struct lorac_base_tensor *tensor = &plan->trained[plan->trained_count++];
        LORAC_TRY(lorac_weight_find(planner->model, meta->trainable[i], &tensor->weight, error));
        tensor->count = (int64_t)tensor->weight.count;
        tensor->role = role_of(planner, meta->trainable[i]);
    }
    return LORAC_OK;
}

// ---- totals

static int64_t float_elements(const Onnx__TensorProto *tensor)
{
    size_t count;
    bool counts =
        lorac_tensor_type_is_floating(tensor->data_type) && lorac_tensor_count(tensor, &count, NULL) == LORAC_OK;
    return counts ? (int64_t)count : 0;
}

static int64_t count_parameters(const struct planner *planner)
{
    const Onnx__GraphProto *graph = planner->model->proto->graph;
    int64_t total = 0;
    for (size_t i = 0; i < graph->n_initializer; i++)
        total += float_elements(graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        const Onnx__TensorProto *tensor = NULL;
        if (lorac_node_is(node, "Constant") && node->n_output > 0)
            tensor = lorac_model_constant(planner->model, node->output[0]);
        if (tensor)
            total += float_elements(tensor);
    }
    for (size_t i = 0; i < planner->meta.adapter_count; i++) {
        const struct lorac_adapter_site *site = &planner->sites[i].site;
        for (size_t t = 0; t < site->tensor_count; t++)
            total -= float_elements(site->tensors[t]);
    }
    for (size_t i = 0; i < planner->meta.copy_count; i++)
        total -= float_elements(lorac_model_initializer(planner->model, planner->meta.copies[i].copy));
    for (size_t i = 0; i < planner->plan.row_count; i++) // stored as integers
        if (planner->plan.rows[i].weight.quantised)
            total += (int64_t)planner->plan.rows[i].weight.count;
    return total;
}

static int64_t count_trainable(const struct planner *planner)
{
    const struct lorac_inject_plan *plan = &planner->plan;
    struct lorac_model *model = planner->model;
    int64_t total = 0;
    if (planner->meta.injected) {
        for (size_t i = 0; i < planner->meta.trainable_count; i++)
            total += float_elements(lorac_model_constant(model, planner->meta.trainable[i]));
        return total;
    }
    for (size_t i = 0; i < plan->row_count; i++)
        total += plan->rows[i].trained_parameters;
    for (size_t i = 0; i < plan->trained_count; i++)
        total += plan->trained[i].count;
    return total;
}

// A few bytes can stand for a large weight (ConstantOfShape), and one weight for a thousand convolutions.
static enum lorac_status check_growth(const struct lorac_inject_plan *plan, struct lorac_error *error)
{
    size_t total = 0;
    bool fits = true;
    for (size_t i = 0; i < plan->row_count; i++)
        fits = fits && lorac_size_add(total, (size_t)plan->rows[i].adapter_parameters, &total);
    for (size_t i = 0; i < plan->trained_count; i++)
        if (plan->trained[i].copy_reason)
            fits = fits && lorac_size_add(total, (size_t)plan->trained[i].count, &total);
    if (fits && total <= LORAC_INJECT_MAX_ELEMENTS)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "inject would add %zu numbers to the model; at most %zu are supported: choose a smaller "
                           "rank, or fewer layers",
                           total, LORAC_INJECT_MAX_ELEMENTS);
}

// ---- the whole

static enum lorac_status plan_all(struct planner *planner, struct lorac_error *error)
{
    struct lorac_model *model = planner->model;
    const struct lorac_inject_options *options = planner->options;
    struct lorac_inject_plan *plan = &planner->plan;
    LORAC_TRY(check_options(model, options, error));
    LORAC_TRY(lorac_inject_compile("--layers", options->layers, &planner->layers, &planner->has_layers, error));
    LORAC_TRY(lorac_inject_compile("--exclude", options->exclude, &planner->exclude, &planner->has_exclude, error));
    LORAC_TRY(lorac_inject_compile("--branch-layers", options->branch_layers, &planner->branch_layers, &planner->has_branch_layers,
                      error));
    LORAC_TRY(lorac_override_compile(options, model->arena, &planner->overrides, error));
    LORAC_TRY(lorac_meta_read(model, &planner->meta, error));
    LORAC_TRY(sort_record(planner, error));
    LORAC_TRY(locate_sites(planner, error));
    if (model->proto->graph->n_output > 0)
        LORAC_TRY(lorac_meta_output(model, &planner->meta, options->output, &plan->output, error));
    LORAC_TRY(lorac_match_reach(model, plan->output, &planner->reach, error));
    planner->unreached = lorac_match_text(model, "does not reach the output '%s'", plan->output ? plan->output : "");
    if (!planner->unreached)
        return out_of_memory(error);
    LORAC_TRY(lorac_match_first_conv(model, &planner->reach, &planner->first, error));
    LORAC_TRY(lorac_match_last_layer(model, plan->output, &planner->last, error));
    plan->last_layer = planner->last.node;
    plan->last_weight = planner->last.weight;
    plan->last_bias = planner->last.bias;
    plan->last_reason = planner->last.reason;
    LORAC_TRY(plan_rows(planner, error));
    if (planner->meta.injected)
        LORAC_TRY(read_trained(planner, error));
    else
        LORAC_TRY(lorac_inject_plan_base(model, options, &planner->last, plan, error));
    plan->parameters = count_parameters(planner);
    plan->trainable_parameters = count_trainable(planner);
    return planner->meta.injected ? LORAC_OK : check_growth(plan, error);
}

enum lorac_status lorac_inject_plan(struct lorac_model *model, const struct lorac_inject_options *options,
                                    struct lorac_inject_plan *out, struct lorac_error *error)
{
    struct lorac_inject_options defaults = lorac_inject_options_default();
    struct planner planner = {.model = model, .options = options ? options : &defaults};
    lorac_constant_begin(model);
    enum lorac_status status = plan_all(&planner, error);
    lorac_override_clear(&planner.overrides);
    if (planner.has_layers)
        regfree(&planner.layers);
    if (planner.has_exclude)
        regfree(&planner.exclude);
    if (planner.has_branch_layers)
        regfree(&planner.branch_layers);
    if (status == LORAC_OK)
        *out = planner.plan;
    return status;
}
