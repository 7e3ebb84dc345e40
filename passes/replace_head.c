// replace_head
//
// before:  y = Gemm(x, W [N, K], b [N])           (or MatMul(x, W [K, N]) + b, or Conv(x, W [N, K, 1, 1], b))
// after:   the same node with W [classes, K] and b [classes], uniform in (-1/sqrt(K), 1/sqrt(K))
//
// Element (class n, feature k) of the weight is number n*K + k of the stream (seed, "head_weight", node name), however
// the layer stores it: the same head for the same network, whatever its exporter.
#include "edit.h"
#include "match.h"
#include "new_job.h"

#include "proto/constant.h"
#include "proto/name_table.h"
#include "proto/rng.h"
#include "proto/size.h"
#include "proto/weight.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct head {
    Onnx__NodeProto *node;      // Gemm, MatMul or Conv
    Onnx__NodeProto *bias_node; // whose input [bias_input] is the bias: the same node, or the Add; NULL: no bias
    size_t bias_input;
    const char *weight;
    int32_t weight_type;
    struct lorac_weight bias; // where there is one
    bool features_first;      // the weight is [K, N]
    int64_t classes, features;
    int64_t new_classes;
};

static const char *name_of(const struct head *head)
{
    return lorac_node_name(head->node);
}

// ---- looking

static enum lorac_status describe(struct lorac_model *model, const struct lorac_last_layer *layer, struct head *head,
                                  struct lorac_error *error)
{
    const Onnx__NodeProto *node = layer->node;
    struct lorac_weight weight;
    // The match only looks; the model is ours to edit.
    *head = (struct head){.node = (Onnx__NodeProto *)node,
                          .weight = layer->weight,
                          .bias_node = (Onnx__NodeProto *)layer->bias_node,
                          .bias_input = layer->bias_input};
    LORAC_TRY(lorac_weight_find(model, head->weight, &weight, error));
    bool conv = lorac_node_is(node, "Conv");
    if (weight.rank != (conv ? 4u : 2u))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "replace_head: the weight '%s' of '%s' has rank %zu",
                               head->weight, lorac_node_name(node), weight.rank);
    if (conv && lorac_node_int(node, "group", 1) != 1)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "replace_head: the last layer '%s' (Conv) has groups; one is supported",
                               lorac_node_name(node));
    head->features_first =
        lorac_node_is(node, "MatMul") || (lorac_node_is(node, "Gemm") && lorac_node_int(node, "transB", 0) == 0);
    head->weight_type = weight.data_type;
    head->classes = weight.dims[head->features_first ? 1 : 0];
    head->features = weight.dims[head->features_first ? 0 : 1];
    if (head->classes < 1 || head->features < 1)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "replace_head: the weight '%s' of '%s' is empty",
                               head->weight, lorac_node_name(node));
    if (head->bias_node)
        return lorac_weight_find(model, layer->bias, &head->bias, error);
    // One that the match does not take for the layer's, but that the layer reads.
    const char *other = lorac_node_is(node, "MatMul") ? "" : lorac_node_input(node, 2);
    struct lorac_weight bias;
    if (*other && (lorac_weight_find(model, other, &bias, NULL) != LORAC_OK || bias.count != 1))
        return lorac_error_set(
            error, LORAC_ERROR_UNSUPPORTED,
            "replace_head: the bias '%s' of the last layer '%s' is neither a constant with one value "
            "for each class nor one number",
            other, lorac_node_name(node));
    return LORAC_OK;
}

// ---- what stands behind the layer

static enum lorac_status refuse_behind(const struct head *head, const Onnx__NodeProto *node, const char *why,
                                       struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "replace_head: node '%s' (%s) behind the last layer '%s' %s (it has %" PRId64
                           "); take it out of the model first",
                           lorac_node_name(node), node->op_type, name_of(head), why, head->classes);
}

// True where [value] is a list of integers, one of which is the number of classes.
static enum lorac_status names_classes(struct lorac_model *model, const struct head *head, const char *value,
                                       bool *found, struct lorac_error *error)
{
    struct lorac_arena *arena = lorac_arena_create();
    struct lorac_constant list;
    if (!arena)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "replace_head: out of memory");
    if (lorac_constant_resolve(model, value, arena, &list, NULL) == LORAC_OK && !list.floating)
        for (size_t i = 0; i < list.count; i++)
            *found |= list.ints[i] == head->classes && head->classes > 1;
    lorac_arena_free(arena);
    return LORAC_OK;
}

// A Reshape to a shape that names the number of classes, also as a constant part of one that is computed: MXNet's
// exporter joins it to the rest of the value's own shape.
static enum lorac_status check_reshape(struct lorac_model *model, const struct head *head, const Onnx__NodeProto *node,
                                       const struct lorac_name_table *behind, struct lorac_error *error)
{
    enum { MOST = 64 };
    const char *stack[MOST];
    size_t depth = 0;
    bool found = false;
    stack[depth++] = lorac_node_input(node, 1);
    for (size_t looked = 0; depth > 0 && looked < MOST && !found; looked++) {
        const char *value = stack[--depth];
        LORAC_TRY(names_classes(model, head, value, &found, error));
        const Onnx__NodeProto *producer = lorac_model_producer(model, value);
        for (size_t i = 0; producer && !lorac_node_is(producer, "Shape") && i < producer->n_input && depth < MOST; i++)
            if (lorac_name_table_find(behind, producer->input[i]) == LORAC_NO_NAME)
                stack[depth++] = producer->input[i];
    }
    return found ? refuse_behind(head, node, "has the number of the old classes built in", error) : LORAC_OK;
}

// Arithmetic: with one number, or with what comes from the layer too.
static enum lorac_status check_arithmetic(struct lorac_model *model, const struct head *head,
                                          const Onnx__NodeProto *node, const struct lorac_name_table *behind,
                                          struct lorac_error *error)
{
    for (size_t i = 0; i < node->n_input; i++) {
        struct lorac_weight constant;
        if (lorac_name_table_find(behind, node->input[i]) != LORAC_NO_NAME ||
            (node == head->bias_node && i == head->bias_input))
            continue;
        if (lorac_weight_find(model, node->input[i], &constant, NULL) != LORAC_OK || constant.count != 1)
            return refuse_behind(head, node, "has a value for each of the old classes built in", error);
    }
    return LORAC_OK;
}

// The best k of the classes, of which there must be as many.
static enum lorac_status check_top(struct lorac_model *model, const struct head *head, const Onnx__NodeProto *node,
                                   struct lorac_error *error)
{
    int64_t k = lorac_node_int(node, "k", 0);
    if (node->n_input > 1) {
        struct lorac_arena *arena = lorac_arena_create();
        struct lorac_constant constant;
        if (!arena)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "replace_head: out of memory");
        bool known = lorac_constant_resolve(model, node->input[1], arena, &constant, NULL) == LORAC_OK &&
                     !constant.floating && constant.count == 1;
        k = known ? constant.ints[0] : INT64_MAX;
        lorac_arena_free(arena);
    }
    return k <= head->new_classes ? LORAC_OK
                                  : refuse_behind(head, node, "picks more than the new number of the classes", error);
}

// *ends is true where the number of classes is in no shape behind the node.
static enum lorac_status check_node(struct lorac_model *model, const struct head *head, const Onnx__NodeProto *node,
                                    const struct lorac_name_table *behind, bool *ends, struct lorac_error *error)
{
    static const char *const takes_any[] = {
        "Softmax",       "LogSoftmax",  "Sigmoid", "Relu",       "Clip",      "Identity",
        "Dropout",       "Cast",        "Flatten", "Squeeze",    "Unsqueeze", "GlobalAveragePool",
        "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", "Transpose", "CastLike",
        "LeakyRelu",     "HardSigmoid", NULL};
    static const char *const arithmetic[] = {"Add", "Sub", "Mul", "Div", NULL};
    *ends = lorac_node_is(node, "Shape") || lorac_node_is(node, "ArgMax");
    if (*ends || lorac_node_is_one_of(node, takes_any))
        return LORAC_OK;
    if (lorac_node_is(node, "TopK")) {
        *ends = true;
        return check_top(model, head, node, error);
    }
    if (lorac_node_is(node, "Reshape"))
        return check_reshape(model, head, node, behind, error);
    if (lorac_node_is_one_of(node, arithmetic))
        return check_arithmetic(model, head, node, behind, error);
    return refuse_behind(head, node, "may need the old number of classes", error);
}

// Adds a value whose shape has the number of classes in it. What subgraphs do with it is not followed.
static enum lorac_status add_behind(struct lorac_model *model, const struct head *head, const char *value,
                                    struct lorac_name_table *behind, struct lorac_error *error)
{
    const struct lorac_use *uses;
    if (!*value)
        return LORAC_OK;
    if (!lorac_name_table_add(behind, value, NULL, NULL))
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "replace_head: out of memory");
    size_t count = lorac_model_uses(model, value, &uses);
    for (size_t i = 0; i < count; i++)
        if (uses[i].input == SIZE_MAX)
            return refuse_behind(head, uses[i].node, "has a subgraph that may need the old number of classes", error);
    return LORAC_OK;
}

// Fills [behind] with the values whose shape has the number of classes in it.
static enum lorac_status check_behind(struct lorac_model *model, const struct head *head,
                                      struct lorac_name_table *behind, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    LORAC_TRY(add_behind(model, head, head->node->output[0], behind, error));
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        bool reads = false, ends = false;
        for (size_t k = 0; k < node->n_input; k++)
            reads |= lorac_name_table_find(behind, node->input[k]) != LORAC_NO_NAME;
        if (!reads || node == head->node)
            continue;
        LORAC_TRY(check_node(model, head, node, behind, &ends, error));
        for (size_t k = 0; k < node->n_output && !ends; k++)
            LORAC_TRY(add_behind(model, head, node->output[k], behind, error));
    }
    return LORAC_OK;
}

// ---- declared shapes

// The one dimension that holds the old number gets the new one; where more than one may be meant, none says anything.
static void declare(const Onnx__ValueInfoProto *output, int64_t old, int64_t classes)
{
    Onnx__TensorShapeProto *shape = lorac_edit_shape(output);
    size_t count = 0, first = shape && shape->n_dim > 1 ? 1 : 0; // dimension 0 is the batch
    for (size_t i = first; shape && i < shape->n_dim; i++)
        count += lorac_edit_dim(shape->dim[i]) == old;
    for (size_t i = first; shape && i < shape->n_dim; i++)
        if (lorac_edit_dim(shape->dim[i]) == old)
            lorac_edit_set_dim(shape->dim[i], count == 1 ? classes : -1);
}

static void declare_all(struct lorac_model *model, const struct lorac_name_table *behind, int64_t old, int64_t classes)
{
    Onnx__GraphProto *graph = model->proto->graph;
    size_t kept = 0;
    for (size_t i = 0; i < graph->n_output; i++)
        if (lorac_name_table_find(behind, graph->output[i]->name) != LORAC_NO_NAME)
            declare(graph->output[i], old, classes);
    for (size_t i = 0; i < graph->n_value_info; i++)
        if (!graph->value_info[i]->name || lorac_name_table_find(behind, graph->value_info[i]->name) == LORAC_NO_NAME)
            graph->value_info[kept++] = graph->value_info[i];
    graph->n_value_info = kept;
}

// ---- the new tensors

static enum lorac_status draw(const struct head *head, const char *purpose, uint64_t seed, size_t rows, size_t columns,
                              bool transposed, double **out, struct lorac_error *error)
{
    size_t count, bytes;
    const double bound = 1 / sqrt((double)head->features);
    double *values = lorac_size_multiply(rows, columns, &count) && lorac_size_multiply(count, sizeof *values, &bytes)
                         ? malloc(bytes)
                         : NULL;
    if (!values)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "replace_head: out of memory for %zu classes", rows);
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, purpose, lorac_rng_hash_name(name_of(head)), 0);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < columns; k++)
            values[transposed ? k * rows + i : i * columns + k] = (2 * lorac_rng_uniform(&rng) - 1) * bound;
    *out = values;
    return LORAC_OK;
}

static enum lorac_status replace_weight(struct lorac_model *model, const struct head *head,
                                        const struct lorac_replace_head_options *options, struct lorac_error *error)
{
    const int64_t forward[] = {options->classes, head->features, 1, 1}, turned[] = {head->features, options->classes};
    struct lorac_fresh_tensor tensor = {.data_type = head->weight_type,
                                        .dims = head->features_first ? turned : forward,
                                        .dim_count = lorac_node_is(head->node, "Conv") ? 4 : 2};
    double *values = NULL;
    LORAC_TRY(draw(head, "head_weight", options->seed, (size_t)options->classes, (size_t)head->features,
                   head->features_first, &values, error));
    tensor.values = values;
    enum lorac_status status = lorac_edit_replace_input(model, head->node, 1, &tensor, NULL, error);
    free(values);
    return status;
}

static enum lorac_status replace_bias(struct lorac_model *model, const struct head *head,
                                      const struct lorac_replace_head_options *options, struct lorac_error *error)
{
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
    struct lorac_fresh_tensor tensor = {.data_type = head->bias.data_type, .dims = dims, .dim_count = head->bias.rank};
    double *values = NULL;
    if (!head->bias_node)
        return LORAC_OK;
    // One dimension is the classes, the others are 1; of ones alone (an old layer for one class) that of the channels.
    size_t place = head->bias.rank == 4 ? 1 : head->bias.rank - 1;
    memcpy(dims, head->bias.dims, sizeof dims);
    for (size_t i = 0; i < head->bias.rank; i++)
        if (dims[i] > 1)
            place = i;
    if (head->bias.rank == 0) {
        tensor.dim_count = 1;
        place = 0;
    }
    dims[place] = options->classes;
    LORAC_TRY(draw(head, "head_bias", options->seed, (size_t)options->classes, 1, false, &values, error));
    tensor.values = values;
    enum lorac_status status = lorac_edit_replace_input(model, head->bias_node, head->bias_input, &tensor, NULL, error);
    free(values);
    return status;
}

// ---- the pass

static enum lorac_status find_head(struct lorac_model *model, const struct lorac_replace_head_options *options,
                                   struct head *head, struct lorac_error *error)
{
    struct lorac_last_layer layer;
    struct lorac_meta meta;
    const char *output;
    if (options->classes < 1 || options->classes > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%" PRId64 " classes; there must be 1 to %d",
                               options->classes, INT32_MAX);
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "replace_head: the model is injected (by %s); merge it first", meta.tool);
    LORAC_TRY(lorac_meta_output(model, &meta, options->output, &output, error));
    LORAC_TRY(lorac_match_last_layer(model, output, &layer, error));
    if (!layer.node)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "the last layer cannot be replaced: %s", layer.reason);
    LORAC_TRY(describe(model, &layer, head, error));
    head->new_classes = options->classes;
    return LORAC_OK;
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    const struct lorac_replace_head_options none = {0}, *options = options_ ? options_ : &none;
    struct lorac_name_table behind;
    struct head head;
    lorac_constant_begin(model);
    LORAC_TRY(find_head(model, options, &head, error));
    lorac_name_table_init(&behind);
    enum lorac_status status = check_behind(model, &head, &behind, error);
    if (status == LORAC_OK)
        status = replace_weight(model, &head, options, error);
    if (status == LORAC_OK)
        status = replace_bias(model, &head, options, error);
    if (status == LORAC_OK)
        status = lorac_meta_set_classes(model, options->class_names ? (size_t)options->classes : 0,
                                        options->class_names, error);
    if (status == LORAC_OK) {
        if (lorac_node_is(head.node, "Gemm")) {
            lorac_edit_erase_attribute(head.node, "alpha");
            lorac_edit_erase_attribute(head.node, "beta");
        }
        declare_all(model, &behind, head.classes, options->classes);
        report->changed = 1;
        report->skipped = 0;
    }
    lorac_name_table_free(&behind);
    return status;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    const struct lorac_replace_head_options none = {0}, *options = options_ ? options_ : &none;
    struct lorac_name_table behind;
    struct head head;
    if (find_head(model, options, &head, NULL) != LORAC_OK)
        return false;
    lorac_name_table_init(&behind);
    bool ok = check_behind(model, &head, &behind, NULL) == LORAC_OK;
    lorac_name_table_free(&behind);
    return ok;
}

const struct lorac_pass lorac_pass_replace_head = {
    .name = "replace_head",
    .summary = "give the model a fresh last layer for other classes",
    .keeps_outputs = false,
    .applies = applies,
    .run = run,
};
