#include "inspect.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// "node 'X' (Conv): reason" without what stands in the other columns.
static const char *bare_reason(const struct lorac_refusal *refusal)
{
    char prefix[LORAC_ERROR_MESSAGE_BYTES];
    int length = snprintf(prefix, sizeof prefix, "node '%s' (%s): ", refusal->node, refusal->op_type);
    bool fits = length > 0 && (size_t)length < sizeof prefix;
    return fits && strncmp(refusal->reason, prefix, (size_t)length) == 0 ? refusal->reason + length : refusal->reason;
}

static double percent(const struct lorac_inspection *inspection)
{
    return lorac_split_percent(&inspection->split, &inspection->plan);
}

// ---- text

static void add_row(struct lorac_table *table, const struct lorac_conv_row *row, const struct lorac_conv_cost *cost)
{
    int64_t strides[2];
    lorac_conv_strides(row->node, strides);
    lorac_table_cell(table, "%s", row->name);
    if (row->has_weight)
        lorac_table_cell(table, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64, row->dims[0], row->dims[1],
                         row->dims[2], row->dims[3]);
    else
        lorac_table_cell(table, "-");
    lorac_table_cell(table, "%" PRId64 "x%" PRId64, strides[0], strides[1]);
    lorac_table_cell(table, "%" PRId64, row->group);
    if (cost->known) {
        lorac_table_cell(table, "%zux%zux%zu", cost->channels, cost->height, cost->width);
        lorac_table_cell(table, "%zu", cost->multiply_adds);
    } else {
        lorac_table_cell(table, "-");
        lorac_table_cell(table, "-");
    }
    if (row->adapted)
        lorac_table_cell(table, "%" PRId64 "%s%s", row->adapter_parameters,
                         row->form == LORAC_FORM_BRANCH ? " (branch)" : "", row->freeze_a ? " (A frozen)" : "");
    else
        lorac_table_cell(table, "-");
    lorac_table_cell(table, "%s", row->reason ? row->reason : "");
}

static enum lorac_status print_convolutions(const struct lorac_inspection *inspection, struct lorac_error *error)
{
    static const char *const headers[] = {"convolution", "weight",        "stride",  "group",
                                          "output",      "multiply-adds", "adapter", "why none"};
    struct lorac_table table;
    lorac_table_init(&table, 8, "lrrrrrrl", headers);
    for (size_t i = 0; i < inspection->plan.row_count; i++)
        add_row(&table, &inspection->plan.rows[i], &inspection->costs[i]);
    return lorac_table_finish(&table, stdout, error);
}

static enum lorac_status print_refusals(const struct lorac_inspection *inspection, struct lorac_error *error)
{
    static const char *const headers[] = {"cannot be run", "operator", "reason"};
    struct lorac_table table;
    if (inspection->refusal_count == 0)
        return LORAC_OK;
    lorac_table_init(&table, 3, "lll", headers);
    for (size_t i = 0; i < inspection->refusal_count; i++) {
        lorac_table_cell(&table, "%s", inspection->refusals[i].node);
        lorac_table_cell(&table, "%s", inspection->refusals[i].op_type);
        lorac_table_cell(&table, "%s", bare_reason(&inspection->refusals[i]));
    }
    putchar('\n');
    return lorac_table_finish(&table, stdout, error);
}

static void add_total(struct lorac_table *table, const char *what, const char *text)
{
    lorac_table_cell(table, "%s", what);
    lorac_table_cell(table, "%s", text);
}

static const char *batch_norm_state(const struct lorac_inspection *inspection)
{
    if (inspection->meta.injected)
        return inspection->meta.bn == LORAC_BN_TRAIN ? ", trained with batch statistics" : ", statistics frozen";
    return inspection->can_train_bn ? ": --bn frozen or --bn train" : ": --bn frozen only";
}

static const char *given(const char *text)
{
    return text && *text ? text : "unknown";
}

// Who exported it, and which operator sets it uses.
static void add_origin(struct lorac_table *table, const struct lorac_inspection *inspection)
{
    const Onnx__ModelProto *proto = inspection->model->proto;
    char text[256];
    size_t used = 0;
    snprintf(text, sizeof text, "%s %s, IR version %" PRId64, given(proto->producer_name),
             proto->producer_version ? proto->producer_version : "", proto->ir_version);
    add_total(table, "exporter", text);
    for (size_t i = 0; i < proto->n_opset_import && used < sizeof text; i++) {
        const Onnx__OperatorSetIdProto *set = proto->opset_import[i];
        int length = snprintf(text + used, sizeof text - used, "%s%s %" PRId64, i ? ", " : "",
                              set->domain && *set->domain ? set->domain : "ai.onnx", set->version);
        used += length > 0 ? (size_t)length : 0;
    }
    add_total(table, "operator sets", text);
    if (inspection->model->proto->graph->n_output > 1 && inspection->plan.output)
        add_total(table, "output that is trained", inspection->plan.output);
}

static void add_parameters(struct lorac_table *table, const struct lorac_inspection *inspection)
{
    char text[LORAC_ERROR_MESSAGE_BYTES], split[LORAC_SPLIT_TEXT];
    const struct lorac_inject_plan *plan = &inspection->plan;
    snprintf(text, sizeof text, "%" PRId64, plan->parameters);
    add_total(table, "parameters", text);
    snprintf(text, sizeof text, "%" PRId64 " (%.2f %%): %s", plan->trainable_parameters, percent(inspection),
             lorac_split_text(&inspection->split, split));
    add_total(table, inspection->meta.injected ? "trainable" : "trainable if injected", text);
    if (inspection->split.copies > 0) {
        snprintf(text, sizeof text, "%" PRId64 " more, of trained tensors that other nodes use too",
                 inspection->split.copies);
        add_total(table, "copies", text);
    }
    const char *loss = lorac_loss_note(inspection->model, inspection->plan.output, text, sizeof text);
    if (loss)
        add_total(table, "loss", loss);
    if (!plan->last_layer)
        add_total(table, "last layer", plan->last_reason ? plan->last_reason : "none found");
    if (plan->batch_norm_count > 0)
        snprintf(text, sizeof text, "%zu nodes%s", plan->batch_norm_count, batch_norm_state(inspection));
    else
        snprintf(text, sizeof text, "folded (no BatchNormalization nodes): --bn frozen only");
    add_total(table, "BatchNorm", text);
}

static void add_costs(struct lorac_table *table, const struct lorac_inspection *inspection)
{
    char text[LORAC_ERROR_MESSAGE_BYTES + 64], bytes[LORAC_BYTES_TEXT];
    if (inspection->forward_known)
        snprintf(text, sizeof text, "%zu", inspection->multiply_adds);
    else
        snprintf(text, sizeof text, "unknown: %s", inspection->forward_reason);
    add_total(table, "multiply-adds per image", text);
    if (!inspection->training_known) {
        snprintf(text, sizeof text, "unknown: %s", inspection->training_reason);
        add_total(table, "training", text);
        return;
    }
    snprintf(text, sizeof text, "%zu (batch %zu)", inspection->step_multiply_adds, inspection->batch);
    add_total(table, "multiply-adds per training step", text);
    if (inspection->form_count[0] + inspection->form_count[1] > 0) {
        snprintf(text, sizeof text, "%zu by the definition, %zu as branches (batch %zu)", inspection->form_count[0],
                 inspection->form_count[1], inspection->batch);
        add_total(table, "adapters in training", text);
    }
    snprintf(text, sizeof text, "%s (batch %zu), beside the images", lorac_bytes_text(inspection->memory_bytes, bytes),
             inspection->batch);
    add_total(table, "peak memory of training", text);
    snprintf(text, sizeof text, "%s (batch %zu), beside the images",
             lorac_bytes_text(inspection->smallest_budget, bytes), inspection->batch);
    add_total(table, "smallest --memory-budget", text);
}

enum lorac_status lorac_inspection_print(const struct lorac_inspection *inspection, struct lorac_error *error)
{
    struct lorac_table table;
    char text[512];
    printf("%s\n\n", inspection->verdict.text);
    LORAC_TRY(print_convolutions(inspection, error));
    putchar('\n');
    lorac_table_init(&table, 2, "ll", NULL);
    add_origin(&table, inspection);
    if (inspection->input.name) {
        snprintf(text, sizeof text, "%s, %zux%zux%zu (channels, height, width; 0: free)%s, %zu classes",
                 inspection->input.name, inspection->input.channels, inspection->input.height, inspection->input.width,
                 inspection->input.channels_last ? ", declared channels last" : "", inspection->classes);
        add_total(&table, "input", text);
    }
    add_total(&table, "state", inspection->meta.injected ? "injected" : "plain");
    add_parameters(&table, inspection);
    add_costs(&table, inspection);
    LORAC_TRY(lorac_table_finish(&table, stdout, error));
    return print_refusals(inspection, error);
}

// ---- JSON; json_pack gives NULL where memory ran out, and takes over what it is given

static json_t *convolution_json(const struct lorac_conv_row *row, const struct lorac_conv_cost *cost)
{
    int64_t strides[2];
    lorac_conv_strides(row->node, strides);
    json_t *weight = row->has_weight ? json_pack("[I, I, I, I]", (json_int_t)row->dims[0], (json_int_t)row->dims[1],
                                                 (json_int_t)row->dims[2], (json_int_t)row->dims[3])
                                     : json_null();
    json_t *output = cost->known ? json_pack("[I, I, I]", (json_int_t)cost->channels, (json_int_t)cost->height,
                                             (json_int_t)cost->width)
                                 : json_null();
    json_t *form = row->adapted ? json_string(row->form == LORAC_FORM_BRANCH ? "branch" : "weight") : json_null();
    return json_pack("{s:o, s:o, s:[I, I], s:I, s:o, s:o, s:b, s:o, s:I, s:I, s:b, s:o}", "name",
                     lorac_json_text(row->name), "weight", weight, "stride", (json_int_t)strides[0], (json_int_t)strides[1], "group",
                     (json_int_t)row->group, "output", output, "multiply_adds",
                     cost->known ? json_integer((json_int_t)cost->multiply_adds) : json_null(), "adapted",
                     (int)row->adapted, "form", form, "inner", (json_int_t)row->R, "adapter_parameters",
                     (json_int_t)row->adapter_parameters, "freeze_a", (int)row->freeze_a, "reason",
                     lorac_json_text(row->reason));
}

static json_t *refusal_json(const struct lorac_refusal *refusal)
{
    return json_pack("{s:o, s:o, s:o}", "node", lorac_json_text(refusal->node), "op_type",
                     lorac_json_text(refusal->op_type), "reason", lorac_json_text(bare_reason(refusal)));
}

static json_t *trainable_json(const struct lorac_inspection *inspection)
{
    const struct lorac_trainable_split *split = &inspection->split;
    return json_pack("{s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)split->total, "percent",
                     lorac_json_number(percent(inspection)), "adapters", (json_int_t)split->adapters, "first_weight",
                     (json_int_t)split->first_weight, "last_weight", (json_int_t)split->last_weight, "last_bias",
                     (json_int_t)split->last_bias, "others", (json_int_t)split->others, "copies",
                     (json_int_t)split->copies);
}

static json_t *number_or_null(bool known, size_t value)
{
    return known ? json_integer((json_int_t)value) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return lorac_json_text(text && *text ? text : NULL);
}

// Those that inject can choose; of an injected model the one that was chosen.
static json_t *bn_modes_json(const struct lorac_inspection *inspection)
{
    if (inspection->meta.injected)
        return json_pack("[s]", inspection->meta.bn == LORAC_BN_TRAIN ? "train" : "frozen");
    return inspection->can_train_bn ? json_pack("[s, s]", "frozen", "train") : json_pack("[s]", "frozen");
}

// Height and width that were tried because the model leaves them free and nobody gave them.
static json_t *tried_size_json(const struct lorac_trial *trial)
{
    return trial->chosen ? json_pack("[I, I]", (json_int_t)trial->height, (json_int_t)trial->width) : json_null();
}

enum lorac_status lorac_inspection_print_json(const struct lorac_inspection *inspection, struct lorac_error *error)
{
    json_t *rows = json_array(), *refusals = json_array();
    char note[LORAC_ERROR_MESSAGE_BYTES];
    for (size_t i = 0; i < inspection->plan.row_count; i++)
        rows = lorac_json_with_item(rows, convolution_json(&inspection->plan.rows[i], &inspection->costs[i]));
    for (size_t i = 0; i < inspection->refusal_count; i++)
        refusals = lorac_json_with_item(refusals, refusal_json(&inspection->refusals[i]));
    const struct lorac_input_shape *input = &inspection->input;
    const Onnx__ModelProto *proto = inspection->model->proto;
    json_t *root = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:I, s:{s:o, s:I, s:I, s:I, s:b}, s:I, s:b, s:o, s:I, s:o, s:I, s:I, "
        "s:{s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "verdict", lorac_verdict_word(inspection->verdict.kind), "verdict_text",
        lorac_json_text(inspection->verdict.text), "model", lorac_json_text(inspection->path), "producer",
        text_or_null(proto->producer_name), "producer_version", text_or_null(proto->producer_version), "ir_version",
        (json_int_t)proto->ir_version, "output", lorac_json_text(inspection->plan.output), "bn_modes",
        bn_modes_json(inspection), "opset", (json_int_t)lorac_model_opset(inspection->model), "input", "name",
        lorac_json_text(input->name), "channels", (json_int_t)input->channels, "height", (json_int_t)input->height,
        "width", (json_int_t)input->width, "channels_last", (int)input->channels_last, "classes",
        (json_int_t)inspection->classes, "injected", (int)inspection->meta.injected, "convolutions", rows, "parameters",
        (json_int_t)inspection->plan.parameters, "trainable", trainable_json(inspection), "batch_norm_nodes",
        (json_int_t)inspection->plan.batch_norm_count, "batch", (json_int_t)inspection->batch,
        "adapters_in_training", "definition", (json_int_t)inspection->form_count[0], "branch",
        (json_int_t)inspection->form_count[1], "multiply_adds_per_image", number_or_null(inspection->forward_known, inspection->multiply_adds),
        "multiply_adds_per_training_step", number_or_null(inspection->training_known, inspection->step_multiply_adds),
        "training_peak_bytes", number_or_null(inspection->training_known, inspection->memory_bytes),
        "smallest_memory_budget", number_or_null(inspection->training_known, inspection->smallest_budget), "cannot_run",
        text_or_null(inspection->forward_reason), "cannot_train", text_or_null(inspection->training_reason), "refused",
        refusals, "loss_note",
        lorac_json_text(lorac_loss_note(inspection->model, inspection->plan.output, note, sizeof note)), "tried_size",
        tried_size_json(&inspection->trial));
    return lorac_json_write(root, error);
}
