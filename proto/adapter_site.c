// Finds an adapter in the graph by following the uses of A: each step must be the only one, so that merging can take
// the whole chain out without touching anything else.
#include "adapter_internal.h"
#include "tensor.h"

#include <inttypes.h>
#include <string.h>

// The weight form's own parts.
struct chain {
    Onnx__NodeProto *matmul, *reshape, *mul, *cast, *add; // cast: NULL where the weight is float32
    Onnx__TensorProto *shape, *scale;
};

enum { FLOAT32 = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, INT64 = ONNX__TENSOR_PROTO__DATA_TYPE__INT64 };

// The only use of [value] in the whole model is as input [input] of an [op_type] node with [input_count] inputs and
// one output: that node. NULL else.
static Onnx__NodeProto *only_user(struct lorac_model *model, const char *value, const char *op_type, size_t input,
                                  size_t input_count)
{
    const struct lorac_use *uses;
    if (lorac_model_is_graph_output(model, value) || lorac_model_uses(model, value, &uses) != 1)
        return NULL;
    Onnx__NodeProto *node = uses[0].node;
    bool fits = uses[0].input == input && lorac_node_is(node, op_type) && node->n_output == 1 &&
                (node->n_input == input_count || input_count == 0);
    return fits ? node : NULL;
}

static enum lorac_status follow_chain(struct lorac_model *model, const struct lorac_adapter *adapter,
                                      struct lorac_adapter_site *site, struct chain *chain, struct lorac_error *error)
{
    const struct {
        const char *op_type;
        size_t input, input_count; // 0: any
        Onnx__NodeProto **node;
    } steps[] = {{"MatMul", 1, 2, &chain->matmul}, {"Reshape", 0, 2, &chain->reshape}, {"Mul", 0, 2, &chain->mul},
                 {"Cast", 0, 1, &chain->cast},     {"Add", 1, 2, &chain->add},         {"Conv", 1, 0, &site->conv}};
    const char *value = adapter->a;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        Onnx__NodeProto *node = only_user(model, value, steps[i].op_type, steps[i].input, steps[i].input_count);
        if (!node && steps[i].node == &chain->cast)
            continue; // check_cast says whether it must be there
        if (!node)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' must be used once, as input %zu of a %s", value,
                                   steps[i].input, steps[i].op_type);
        *steps[i].node = node;
        value = node->output[0];
    }
    if (strcmp(lorac_node_name(site->conv), adapter->conv) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "its nodes end at '%s'", lorac_node_name(site->conv));
    return LORAC_OK;
}

// The initialiser at input [input] of [node], which is also its only user.
static enum lorac_status find_initializer(struct lorac_model *model, Onnx__NodeProto *node, size_t input,
                                          Onnx__TensorProto **out, struct lorac_error *error)
{
    const char *name = lorac_node_input(node, input);
    *out = lorac_model_initializer(model, name);
    if (!*out)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "input %zu of '%s', '%s', is no initialiser", input,
                               lorac_node_name(node), name);
    if (only_user(model, name, node->op_type, input, 2) != node)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' is used elsewhere too", name);
    return LORAC_OK;
}

static enum lorac_status find_tensors(struct lorac_model *model, const struct lorac_adapter *adapter,
                                      struct lorac_adapter_site *site, struct chain *chain, struct lorac_error *error)
{
    LORAC_TRY(find_initializer(model, chain->matmul, 0, &site->b, error));
    LORAC_TRY(find_initializer(model, chain->matmul, 1, &site->a, error));
    LORAC_TRY(find_initializer(model, chain->reshape, 1, &chain->shape, error));
    LORAC_TRY(find_initializer(model, chain->mul, 1, &chain->scale, error));
    const char *b = lorac_node_input(chain->matmul, 0);
    if (strcmp(b, adapter->b) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "B is '%s' in the graph and '%s' in the metadata", b,
                               adapter->b);
    return LORAC_OK;
}

// The sum has the weight's type.
static enum lorac_status check_cast(const struct lorac_adapter_site *site, const struct chain *chain,
                                    struct lorac_error *error)
{
    int32_t type = site->weight.data_type;
    if (type == FLOAT32 ? !chain->cast : chain->cast && lorac_node_int(chain->cast, "to", 0) == type)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "the weight is %s: between its Mul and its Add there must be %s%s",
                           lorac_tensor_type_name(type), type == FLOAT32 ? "nothing" : "a Cast to ",
                           type == FLOAT32 ? "" : lorac_tensor_type_name(type));
}

// The shape [M, Cg, kh, kw] in the graph.
static enum lorac_status check_shape(const struct lorac_adapter *adapter, const struct lorac_adapter_site *site,
                                     const Onnx__TensorProto *shape, struct lorac_error *error)
{
    const int64_t expected[4] = {site->M, site->Cg, site->kh, site->kw};
    int64_t dims[4] = {0};
    if (shape->data_type != INT64 || shape->n_dims != 1 || shape->dims[0] != 4)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' must be INT64 [4]", shape->name);
    LORAC_TRY(lorac_tensor_to_int64(shape, dims, 4, error));
    if (memcmp(dims, expected, sizeof dims) != 0)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' holds [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                               "], not the dimensions of '%s'",
                               shape->name, dims[0], dims[1], dims[2], dims[3], adapter->weight);
    return LORAC_OK;
}

// Lists what inject added.
static enum lorac_status list_parts(struct lorac_arena *arena, const struct chain *chain,
                                    struct lorac_adapter_site *site, struct lorac_error *error)
{
    Onnx__NodeProto *const nodes[] = {chain->matmul, chain->reshape, chain->mul, chain->cast, chain->add};
    Onnx__TensorProto *const tensors[] = {site->a, site->b, chain->shape, chain->scale};
    site->nodes = lorac_arena_alloc(arena, sizeof nodes);
    site->tensors = lorac_arena_alloc(arena, sizeof tensors);
    if (!site->nodes || !site->tensors)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (nodes[i])
            site->nodes[site->node_count++] = nodes[i];
    memcpy(site->tensors, tensors, sizeof tensors);
    site->tensor_count = sizeof tensors / sizeof *tensors;
    return LORAC_OK;
}

static enum lorac_status locate_weight_form(struct lorac_model *model, const struct lorac_adapter *adapter,
                                            struct lorac_arena *arena, struct lorac_adapter_site *site,
                                            struct lorac_error *error)
{
    struct chain chain = {0};
    LORAC_TRY(follow_chain(model, adapter, site, &chain, error));
    LORAC_TRY(find_tensors(model, adapter, site, &chain, error));
    LORAC_TRY(lorac_adapter_find_weight(model, adapter, lorac_node_input(chain.add, 0), site, error));
    LORAC_TRY(check_cast(site, &chain, error));
    LORAC_TRY(lorac_adapter_check_matrices(site, error));
    LORAC_TRY(check_shape(adapter, site, chain.shape, error));
    LORAC_TRY(lorac_adapter_check_scale(adapter, chain.scale, site, error));
    return list_parts(arena, &chain, site, error);
}

enum lorac_status lorac_adapter_locate(struct lorac_model *model, const struct lorac_adapter *adapter,
                                       struct lorac_arena *arena, struct lorac_adapter_site *out,
                                       struct lorac_error *error)
{
    struct lorac_adapter_site site = {.form = adapter->form};
    enum lorac_status status = adapter->form == LORAC_FORM_BRANCH
                                   ? lorac_branch_locate(model, adapter, arena, &site, error)
                                   : locate_weight_form(model, adapter, arena, &site, error);
    LORAC_TRY(lorac_error_prefix(error, status, "adapter of '%s': ", adapter->conv));
    *out = site;
    return LORAC_OK;
}
