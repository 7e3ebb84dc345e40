// inject, form branch
//
// before:  y = Conv(x, W0, bias)                    ─▶ users of y
// after:   y = Conv(x, W0, bias), z = Add(y, Mul(Conv(h, view(B)), scale)) ─▶ the same users, now of z
//          h = kh*R channels, by small convolutions of x with views of A: see proto/adapter_branch.h
//
// A, B and the scale are those of the weight form. The new nodes stand right after the Conv.
#include "inject_parts.h"

#include "proto/adapter_branch.h"
#include "proto/model_edit.h"

static enum lorac_status describe(struct lorac_model *model, const struct lorac_conv_row *row,
                                  struct lorac_branch *branch, struct lorac_error *error)
{
    const struct lorac_branch_shape shape = {.M = row->dims[0],
                                             .Cg = row->dims[1],
                                             .kh = row->dims[2],
                                             .kw = row->dims[3],
                                             .R = row->R,
                                             .group = row->group,
                                             .type = row->weight.data_type, // also that of the Conv's input and output
                                             .opset = lorac_model_opset(model)};
    return lorac_branch_describe(model->arena, &shape, branch, error);
}

enum lorac_status lorac_inject_refuse_branch(struct lorac_model *model, const struct lorac_conv_row *row,
                                             const char **reason, struct lorac_error *error)
{
    const Onnx__NodeProto *conv = row->node;
    struct lorac_branch branch;
    struct lorac_error why = {0};
    *reason = NULL;
    if (conv->n_output != 1 || !*conv->output[0])
        *reason = "it has no output";
    else if (lorac_model_is_graph_output(model, conv->output[0]))
        *reason = "its output is an output of the model, which must keep its name: use form weight";
    else if (row->group < 1)
        *reason = "its group is below 1";
    if (*reason)
        return LORAC_OK;
    if (describe(model, row, &branch, &why) == LORAC_OK)
        return LORAC_OK;
    if (why.status == LORAC_ERROR_MEMORY)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "%s", why.message);
    *reason = lorac_arena_strdup(model->arena, why.message);
    return *reason ? LORAC_OK : lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
}

// ---- making it

struct making {
    struct lorac_model *model;
    const struct lorac_conv_row *row;
    const struct lorac_inject_options *options;
    const Onnx__NodeProto *conv, *before;
    const struct lorac_branch *branch;
    const char **tensors; // names
    Onnx__NodeProto **nodes;
};

static enum lorac_status add_tensor(const struct making *making, size_t index, struct lorac_error *error)
{
    struct lorac_model *model = making->model;
    const struct lorac_branch_tensor *tensor = &making->branch->tensors[index];
    const struct lorac_inject_options *options = making->options;
    const char **name = &making->tensors[index];
    LORAC_TRY(lorac_inject_name(model, making->row->name, tensor->suffix, name, error));
    switch (tensor->role) {
    case LORAC_BRANCH_A:
        return lorac_inject_add_a(model, making->row, options->seed, *name, error);
    case LORAC_BRANCH_B:
        return lorac_inject_add_b(model, making->row, *name, error);
    case LORAC_BRANCH_SCALE:
        return lorac_inject_add_scale(model, *name, making->row->alpha / (double)making->row->rank, error);
    case LORAC_BRANCH_INTS:
        break;
    }
    return lorac_inject_add_int64(model, *name, tensor->values, tensor->count, error);
}

static const char *operand_name(const struct making *making, const struct lorac_branch_operand *operand)
{
    switch (operand->source) {
    case LORAC_BRANCH_X:
        return lorac_node_input(making->conv, 0);
    case LORAC_BRANCH_Y:
        break;
    case LORAC_BRANCH_TENSOR:
        return making->tensors[operand->index];
    case LORAC_BRANCH_NODE:
        return making->nodes[operand->index]->output[0];
    }
    return making->conv->output[0];
}

static enum lorac_status add_attributes(struct lorac_model *model, const struct making *making,
                                        const struct lorac_branch_node *from, Onnx__NodeProto *node,
                                        struct lorac_error *error)
{
    if (from->like_conv)
        return lorac_model_copy_attributes(model, making->conv, node, error);
    for (size_t i = 0; i < from->attribute_count; i++) {
        const struct lorac_branch_attribute *attribute = &from->attributes[i];
        if (attribute->count == 0)
            LORAC_TRY(lorac_model_set_node_int(model, node, attribute->name, attribute->values[0], error));
        else
            LORAC_TRY(
                lorac_model_set_node_ints(model, node, attribute->name, attribute->values, attribute->count, error));
    }
    return LORAC_OK;
}

static enum lorac_status add_node(const struct making *making, size_t index, struct lorac_error *error)
{
    struct lorac_model *model = making->model;
    const struct lorac_branch_node *from = &making->branch->nodes[index];
    const char *inputs[LORAC_BRANCH_MAX_ROWS];
    for (size_t i = 0; i < from->input_count; i++)
        inputs[i] = operand_name(making, &from->inputs[i]);
    LORAC_TRY(lorac_inject_add_node(model, making->row->name, making->before, from->op_type, from->suffix, inputs,
                                    from->input_count, &making->nodes[index], error));
    return add_attributes(model, making, from, making->nodes[index], error);
}

enum lorac_status lorac_inject_add_branch(struct lorac_model *model, const struct lorac_conv_row *row,
                                          const struct lorac_inject_options *options, struct lorac_adapter *adapter,
                                          Onnx__NodeProto **sum, struct lorac_error *error)
{
    struct lorac_branch branch;
    LORAC_TRY(describe(model, row, &branch, error));
    const struct making making = {
        .model = model,
        .row = row,
        .options = options,
        .conv = row->node,
        .before = lorac_model_node_after(model, row->node),
        .branch = &branch,
        .tensors = lorac_arena_alloc_array(model->arena, branch.tensor_count, sizeof *making.tensors),
        .nodes = lorac_arena_alloc_array(model->arena, branch.node_count, sizeof(*making.nodes))};
    if (!making.tensors || !making.nodes)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject into '%s': out of memory", row->name);
    for (size_t i = 0; i < branch.tensor_count; i++)
        LORAC_TRY(add_tensor(&making, i, error));
    for (size_t i = 0; i < branch.node_count; i++)
        LORAC_TRY(add_node(&making, i, error));
    *sum = making.nodes[branch.node_count - 1];
    adapter->weight = lorac_node_input(row->node, 1);
    adapter->a = making.tensors[0]; // the list begins with A and B
    adapter->b = making.tensors[1];
    return LORAC_OK;
}

enum lorac_status lorac_inject_join_branches(struct lorac_model *model, Onnx__NodeProto *const *sums, size_t count,
                                             struct lorac_error *error)
{
    if (count == 0)
        return LORAC_OK;
    struct lorac_move *moves = lorac_arena_alloc_array(model->arena, count, sizeof *moves);
    if (!moves)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "inject: out of memory");
    for (size_t i = 0; i < count; i++)
        moves[i] = (struct lorac_move){sums[i]->input[0], sums[i]->output[0]};
    LORAC_TRY(lorac_model_move_uses(model, moves, count, error));
    for (size_t i = 0; i < count; i++) // whose own inputs were moved with the others
        LORAC_TRY(lorac_model_set_node_input(model, sums[i], 0, moves[i].from, error));
    return LORAC_OK;
}
