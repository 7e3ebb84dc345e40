// Finds the branch form of an adapter: the graph is compared with the list of adapter_branch.h, from the last node
// back. Every value of the branch must have the uses that the list gives it and no other, so that merging can take the
// whole of it out without touching anything else.
#include "adapter_branch.h"
#include "adapter_internal.h"
#include "tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct match {
    struct lorac_model *model;
    struct lorac_arena *arena; // of all that is made here
    const struct lorac_adapter *adapter;
    const struct lorac_branch *branch;
    struct lorac_adapter_site *site; // nodes and tensors are filled while matching; NULL: not met yet
    size_t *node_uses, *tensor_uses; // by the list
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
}

// ---- the way from B to the Add and the Conv

// The only use of [value]: a node of the main graph with one output. NULL else.
static Onnx__NodeProto *only_user(struct lorac_model *model, const char *value)
{
    const struct lorac_use *uses;
    if (lorac_model_uses(model, value, &uses) != 1 || uses[0].input == SIZE_MAX || uses[0].node->n_output != 1)
        return NULL;
    return uses[0].node;
}

static enum lorac_status find_conv(struct lorac_model *model, const struct lorac_adapter *adapter,
                                   struct lorac_adapter_site *site, Onnx__NodeProto **add, struct lorac_error *error)
{
    enum { LONGEST_WAY = 5 }; // Cast, Reshape, Conv, Mul, Add
    const char *value = adapter->b;
    Onnx__NodeProto *node = NULL;
    for (int i = 0; i < LONGEST_WAY && !(node && lorac_node_is(node, "Add")); i++) {
        node = only_user(model, value);
        if (!node)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' must be used once, on the way from B to an Add",
                                   value);
        value = node->output[0];
    }
    if (!lorac_node_is(node, "Add"))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "B '%s' leads to no Add", adapter->b);
    Onnx__NodeProto *conv = lorac_model_producer(model, lorac_node_input(node, 0));
    if (!conv || !lorac_node_is(conv, "Conv") || conv->n_output != 1)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "input 0 of '%s', '%s', is no Conv's output",
                               lorac_node_name(node), lorac_node_input(node, 0));
    if (strcmp(lorac_node_name(conv), adapter->conv) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "its nodes end at '%s'", lorac_node_name(conv));
    site->conv = conv;
    site->output = node->output[0];
    *add = node;
    return LORAC_OK;
}

// ---- nodes

static enum lorac_status check_operand(struct match *match, const Onnx__NodeProto *node, size_t input,
                                       const struct lorac_branch_operand *operand, struct lorac_error *error)
{
    struct lorac_adapter_site *site = match->site;
    const char *name = lorac_node_input(node, input);
    const char *expected = "";
    Onnx__NodeProto *producer;
    Onnx__TensorProto *tensor;
    switch (operand->source) {
    case LORAC_BRANCH_X:
        expected = lorac_node_input(site->conv, 0);
        break;
    case LORAC_BRANCH_Y:
        expected = site->conv->output[0];
        break;
    case LORAC_BRANCH_TENSOR:
        tensor = lorac_model_initializer(match->model, name);
        if (!tensor)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "input %zu of '%s', '%s', is no initialiser", input,
                                   lorac_node_name(node), name);
        if (!site->tensors[operand->index])
            site->tensors[operand->index] = tensor;
        expected = site->tensors[operand->index]->name;
        break;
    case LORAC_BRANCH_NODE:
        producer = lorac_model_producer(match->model, name);
        if (!producer || producer->n_output != 1)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "input %zu of '%s', '%s', must come from a %s", input,
                                   lorac_node_name(node), name, match->branch->nodes[operand->index].op_type);
        if (!site->nodes[operand->index])
            site->nodes[operand->index] = producer;
        expected = site->nodes[operand->index]->output[0];
        break;
    }
    if (strcmp(name, expected) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "input %zu of '%s' is '%s'; it must be '%s'", input,
                               lorac_node_name(node), name, expected);
    return LORAC_OK;
}

static bool has_attribute(const Onnx__NodeProto *node, const struct lorac_branch_attribute *attribute)
{
    const int64_t *values;
    if (attribute->count == 0) {
        int64_t expected = attribute->values[0];
        return lorac_node_attribute(node, attribute->name) &&
               lorac_node_int(node, attribute->name, expected - 1) == expected;
    }
    return lorac_node_ints(node, attribute->name, &values) == attribute->count &&
           memcmp(values, attribute->values, attribute->count * sizeof *values) == 0;
}

// The attribute's serialised bytes in a malloc'ed block. NULL where memory ran out.
static uint8_t *pack_attribute(const Onnx__AttributeProto *attribute, size_t *byte_count)
{
    *byte_count = onnx__attribute_proto__get_packed_size(attribute);
    uint8_t *bytes = malloc(*byte_count + 1);
    if (bytes)
        onnx__attribute_proto__pack(attribute, bytes);
    return bytes;
}

// In any order. (False also where memory ran out.)
static bool same_attributes(const Onnx__NodeProto *a, const Onnx__NodeProto *b)
{
    if (a->n_attribute != b->n_attribute)
        return false;
    bool same = true;
    for (size_t i = 0; i < a->n_attribute && same; i++) {
        const Onnx__AttributeProto *other = lorac_node_attribute(b, a->attribute[i]->name);
        size_t a_count, b_count;
        uint8_t *a_bytes = pack_attribute(a->attribute[i], &a_count);
        uint8_t *b_bytes = other ? pack_attribute(other, &b_count) : NULL;
        same = a_bytes && b_bytes && a_count == b_count && memcmp(a_bytes, b_bytes, a_count) == 0;
        free(a_bytes);
        free(b_bytes);
    }
    return same;
}

static enum lorac_status check_attributes(const struct match *match, const Onnx__NodeProto *node,
                                          const struct lorac_branch_node *expected, struct lorac_error *error)
{
    if (expected->like_conv && !same_attributes(node, match->site->conv))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the attributes of '%s' are not those of the Conv",
                               lorac_node_name(node));
    for (size_t i = 0; i < expected->attribute_count; i++)
        if (!has_attribute(node, &expected->attributes[i]))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "attribute '%s' of '%s' (%s) is not as injected",
                                   expected->attributes[i].name, lorac_node_name(node), expected->op_type);
    if (!expected->like_conv && node->n_attribute != expected->attribute_count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' (%s) has %zu attributes; %zu were injected",
                               lorac_node_name(node), expected->op_type, node->n_attribute, expected->attribute_count);
    return LORAC_OK;
}

static enum lorac_status check_uses(struct match *match, const char *value, size_t expected, struct lorac_error *error)
{
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(match->model, value, &uses);
    if (lorac_model_is_graph_output(match->model, value))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' is an output of the model", value);
    if (count != expected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' has %zu uses; %zu were injected", value, count,
                               expected);
    return LORAC_OK;
}

static enum lorac_status check_node(struct match *match, size_t index, struct lorac_error *error)
{
    const struct lorac_branch_node *expected = &match->branch->nodes[index];
    const Onnx__NodeProto *node = match->site->nodes[index]; // a later node's input, or the Add
    if (!lorac_node_is(node, expected->op_type) || node->n_input != expected->input_count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' is a %s of %zu inputs; it must be a %s of %zu",
                               lorac_node_name(node), node->op_type, node->n_input, expected->op_type,
                               expected->input_count);
    for (size_t i = 0; i < expected->input_count; i++)
        LORAC_TRY(check_operand(match, node, i, &expected->inputs[i], error));
    LORAC_TRY(check_attributes(match, node, expected, error));
    bool is_last = index + 1 == match->branch->node_count;
    return is_last ? LORAC_OK : check_uses(match, node->output[0], match->node_uses[index], error);
}

// ---- tensors

static enum lorac_status check_ints(const Onnx__TensorProto *tensor, const struct lorac_branch_tensor *expected,
                                    struct lorac_error *error)
{
    int64_t values[4];
    if (tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT64 || tensor->n_dims != 1 ||
        tensor->dims[0] != (int64_t)expected->count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' must be INT64 [%zu]", tensor->name, expected->count);
    LORAC_TRY(lorac_tensor_to_int64(tensor, values, expected->count, error));
    for (size_t i = 0; i < expected->count; i++)
        if (values[i] != expected->values[i])
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "element %zu of '%s' is %" PRId64 "; the weight's sizes give %" PRId64, i,
                                   tensor->name, values[i], expected->values[i]);
    return LORAC_OK;
}

static enum lorac_status check_name(const char *what, const Onnx__TensorProto *tensor, const char *expected,
                                    struct lorac_error *error)
{
    if (strcmp(tensor->name, expected) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "%s is '%s' in the graph and '%s' in the metadata", what,
                               tensor->name, expected);
    return LORAC_OK;
}

static enum lorac_status check_tensor(struct match *match, size_t index, struct lorac_error *error)
{
    const struct lorac_branch_tensor *expected = &match->branch->tensors[index];
    struct lorac_adapter_site *site = match->site;
    Onnx__TensorProto *tensor = site->tensors[index]; // each is read by a node that was met
    switch (expected->role) {
    case LORAC_BRANCH_A:
        site->a = tensor;
        LORAC_TRY(check_name("A", tensor, match->adapter->a, error));
        break;
    case LORAC_BRANCH_B:
        site->b = tensor;
        LORAC_TRY(check_name("B", tensor, match->adapter->b, error));
        break;
    case LORAC_BRANCH_SCALE:
        LORAC_TRY(lorac_adapter_check_scale(match->adapter, tensor, site, error));
        break;
    case LORAC_BRANCH_INTS:
        LORAC_TRY(check_ints(tensor, expected, error));
        break;
    }
    return check_uses(match, tensor->name, match->tensor_uses[index], error);
}

// ---- the whole

static enum lorac_status prepare(struct match *match, struct lorac_error *error)
{
    const struct lorac_branch *branch = match->branch;
    struct lorac_adapter_site *site = match->site;
    struct lorac_arena *arena = match->arena;
    site->node_count = branch->node_count;
    site->tensor_count = branch->tensor_count;
    site->nodes = lorac_arena_alloc_array(arena, branch->node_count, sizeof(*site->nodes));
    site->tensors = lorac_arena_alloc_array(arena, branch->tensor_count, sizeof(*site->tensors));
    match->node_uses = lorac_arena_alloc_array(arena, branch->node_count, sizeof *match->node_uses);
    match->tensor_uses = lorac_arena_alloc_array(arena, branch->tensor_count, sizeof *match->tensor_uses);
    if (!site->nodes || !site->tensors || !match->node_uses || !match->tensor_uses)
        return out_of_memory(error);
    for (size_t i = 0; i < branch->node_count; i++) {
        const struct lorac_branch_node *node = &branch->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            if (node->inputs[k].source == LORAC_BRANCH_NODE)
                match->node_uses[node->inputs[k].index]++;
            else if (node->inputs[k].source == LORAC_BRANCH_TENSOR)
                match->tensor_uses[node->inputs[k].index]++;
        }
    }
    return LORAC_OK;
}

static enum lorac_status describe(const struct match *match, struct lorac_branch *branch, struct lorac_error *error)
{
    const struct lorac_adapter_site *site = match->site;
    const struct lorac_branch_shape shape = {.M = site->M,
                                             .Cg = site->Cg,
                                             .kh = site->kh,
                                             .kw = site->kw,
                                             .R = site->R,
                                             .group = site->group,
                                             .type = site->weight.data_type,
                                             .opset = lorac_model_opset(match->model)};
    if (shape.group < 1)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "group is %" PRId64, shape.group);
    return lorac_branch_describe(match->arena, &shape, branch, error);
}

enum lorac_status lorac_branch_locate(struct lorac_model *model, const struct lorac_adapter *adapter,
                                      struct lorac_arena *arena, struct lorac_adapter_site *site,
                                      struct lorac_error *error)
{
    struct lorac_branch branch;
    struct match match = {.model = model, .arena = arena, .adapter = adapter, .branch = &branch, .site = site};
    Onnx__NodeProto *add = NULL;
    LORAC_TRY(find_conv(model, adapter, site, &add, error));
    LORAC_TRY(lorac_adapter_find_weight(model, adapter, lorac_node_input(site->conv, 1), site, error));
    LORAC_TRY(describe(&match, &branch, error));
    LORAC_TRY(prepare(&match, error));
    site->nodes[branch.node_count - 1] = add;
    for (size_t i = branch.node_count; i-- > 0;)
        LORAC_TRY(check_node(&match, i, error));
    for (size_t i = 0; i < branch.tensor_count; i++)
        LORAC_TRY(check_tensor(&match, i, error));
    LORAC_TRY(lorac_adapter_check_matrices(site, error));
    return check_uses(&match, site->conv->output[0], 1, error);
}
