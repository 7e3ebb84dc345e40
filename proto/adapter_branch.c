#include "adapter_branch.h"

#include "tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FLOAT32 = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT };

// From these opsets on the operator takes its numbers as inputs; before, as attributes.
enum { SLICE_BY_INPUTS = 10, PAD_BY_INPUTS = 11 };

typedef struct lorac_branch_operand operand;

struct builder {
    struct lorac_arena *arena;
    const struct lorac_branch_shape *shape;
    struct lorac_branch branch;
    operand axes; // of every Slice; made with the first
    bool has_axes;
    bool failed; // memory ran out; seen at the end, because nothing built before is used
};

static const operand X = {LORAC_BRANCH_X, 0}, Y = {LORAC_BRANCH_Y, 0};

// ---- pieces

// "lora_<op>_<part>", or "lora_<op>" where [part] is "".
static const char *make_suffix(struct builder *builder, const char *op, const char *part)
{
    char text[64];
    snprintf(text, sizeof text, "lora_%s%s%s", op, *part ? "_" : "", part);
    const char *copy = lorac_arena_strdup(builder->arena, text);
    builder->failed |= !copy;
    return copy;
}

static operand add_tensor(struct builder *builder, enum lorac_branch_role role, const char *name, const char *part,
                          size_t count, const int64_t *values)
{
    size_t index = builder->branch.tensor_count++;
    struct lorac_branch_tensor *tensor = &builder->branch.tensors[index];
    tensor->role = role;
    tensor->suffix = make_suffix(builder, name, part);
    tensor->count = count;
    if (count > 0)
        memcpy(tensor->values, values, count * sizeof *values);
    return (operand){LORAC_BRANCH_TENSOR, index};
}

static operand add_ints(struct builder *builder, const char *name, const char *part, size_t count,
                        const int64_t *values)
{
    return add_tensor(builder, LORAC_BRANCH_INTS, name, part, count, values);
}

static operand add_node(struct builder *builder, const char *op_type, const char *part, size_t input_count,
                        const operand *inputs)
{
    size_t index = builder->branch.node_count++;
    struct lorac_branch_node *node = &builder->branch.nodes[index];
    operand *own = lorac_arena_alloc_array(builder->arena, input_count, sizeof *own);
    builder->failed |= !own;
    if (own)
        memcpy(own, inputs, input_count * sizeof *own);
    node->op_type = op_type;
    node->suffix = make_suffix(builder, op_type, part);
    node->input_count = input_count;
    node->inputs = own;
    return (operand){LORAC_BRANCH_NODE, index};
}

// To the node made last.
static void add_attribute(struct builder *builder, const char *name, size_t count, const int64_t *values)
{
    struct lorac_branch_node *node = &builder->branch.nodes[builder->branch.node_count - 1];
    struct lorac_branch_attribute *attribute = &node->attributes[node->attribute_count++];
    attribute->name = name;
    attribute->count = count;
    memcpy(attribute->values, values, (count > 0 ? count : 1) * sizeof *values);
}

static operand add_reshape(struct builder *builder, operand value, const char *part, const int64_t dims[4])
{
    operand shape = add_ints(builder, "shape", part, 4, dims);
    return add_node(builder, "Reshape", part, 2, (const operand[]){value, shape});
}

// [rows, columns] with [left] and [right] columns of zeros beside it.
static operand add_pad(struct builder *builder, operand value, const char *part, int64_t left, int64_t right)
{
    const int64_t pads[] = {0, left, 0, right};
    if (left == 0 && right == 0)
        return value;
    if (builder->shape->opset >= PAD_BY_INPUTS)
        return add_node(builder, "Pad", part, 2, (const operand[]){value, add_ints(builder, "pads", part, 4, pads)});
    operand padded = add_node(builder, "Pad", part, 1, &value);
    add_attribute(builder, "pads", 4, pads);
    return padded;
}

// x[:, first:end]
static operand add_slice(struct builder *builder, const char *part, int64_t first, int64_t end)
{
    const int64_t axis = 1;
    if (first == 0 && end == builder->shape->Cg)
        return X;
    if (builder->shape->opset < SLICE_BY_INPUTS) {
        operand slice = add_node(builder, "Slice", part, 1, &X);
        add_attribute(builder, "axes", 1, &axis);
        add_attribute(builder, "starts", 1, &first);
        add_attribute(builder, "ends", 1, &end);
        return slice;
    }
    operand starts = add_ints(builder, "starts", part, 1, &first);
    operand ends = add_ints(builder, "ends", part, 1, &end);
    if (!builder->has_axes)
        builder->axes = add_ints(builder, "axes", "", 1, &axis);
    builder->has_axes = true;
    return add_node(builder, "Slice", part, 4, (const operand[]){X, starts, ends, builder->axes});
}

static operand add_concat(struct builder *builder, size_t count, const operand *values, int64_t axis)
{
    if (count == 1)
        return values[0];
    operand concat = add_node(builder, "Concat", "", count, values);
    add_attribute(builder, "axis", 0, &axis);
    return concat;
}

// A convolution like the Conv itself.
static operand add_down(struct builder *builder, const char *part, operand x, operand weight)
{
    operand conv = add_node(builder, "Conv", part, 2, (const operand[]){x, weight});
    builder->branch.nodes[conv.index].like_conv = true;
    return conv;
}

// ---- the two ways down to kh*R channels

struct block {
    int64_t left, width; // columns of zeros before A; channels
    operand weight;      // D_a
};

// Blocks of the same place within their channels share their D: all of them where kh divides Cg.
static operand add_block_weight(struct builder *builder, operand a, struct block *blocks, size_t row, const char *part,
                                int64_t right)
{
    const struct lorac_branch_shape *s = builder->shape;
    struct block *block = &blocks[row];
    for (size_t i = 0; i < row; i++)
        if (blocks[i].left == block->left && blocks[i].width == block->width)
            return blocks[i].weight;
    const int64_t dims[] = {s->R, block->width, s->kh, s->kw};
    return add_reshape(builder, add_pad(builder, a, part, block->left, right), part, dims);
}

static operand build_down(struct builder *builder, operand a)
{
    const struct lorac_branch_shape *s = builder->shape;
    struct block blocks[LORAC_BRANCH_MAX_ROWS];
    operand parts[LORAC_BRANCH_MAX_ROWS];
    for (int64_t row = 0; row < s->kh; row++) {
        char part[24];
        int64_t first = row * s->Cg / s->kh, end = ((row + 1) * s->Cg + s->kh - 1) / s->kh;
        struct block *block = &blocks[row];
        snprintf(part, sizeof part, "%" PRId64, row);
        block->left = (row * s->Cg - first * s->kh) * s->kw;
        block->width = end - first;
        block->weight =
            add_block_weight(builder, a, blocks, (size_t)row, part, (end * s->kh - (row + 1) * s->Cg) * s->kw);
        parts[row] = add_down(builder, part, add_slice(builder, part, first, end), block->weight);
    }
    return add_concat(builder, (size_t)s->kh, parts, 1);
}

static operand build_grouped_down(struct builder *builder, operand a)
{
    const struct lorac_branch_shape *s = builder->shape;
    operand parts[LORAC_BRANCH_MAX_ROWS];
    for (int64_t row = 0; row < s->kh; row++) {
        char part[24];
        snprintf(part, sizeof part, "%" PRId64, row);
        parts[row] = add_pad(builder, a, part, row * s->Cg * s->kw, (s->kh - 1 - row) * s->Cg * s->kw);
    }
    const int64_t dims[] = {s->kh * s->R, s->Cg, s->kh, s->kw}, repeats[] = {s->group, 1, 1, 1};
    operand one = add_reshape(builder, add_concat(builder, (size_t)s->kh, parts, 0), "down", dims);
    operand times = add_ints(builder, "repeats", "", 4, repeats);
    operand all = add_node(builder, "Tile", "", 2, (const operand[]){one, times});
    return add_down(builder, "down", X, all);
}

// ---- the whole

// The value in the Conv's own type: A, B and the scale are always FLOAT.
static operand add_cast(struct builder *builder, operand value, const char *part)
{
    const int64_t type = builder->shape->type;
    if (type == FLOAT32)
        return value;
    operand cast = add_node(builder, "Cast", part, 1, &value);
    add_attribute(builder, "to", 0, &type);
    return cast;
}

static void build(struct builder *builder)
{
    const struct lorac_branch_shape *s = builder->shape;
    operand a = add_tensor(builder, LORAC_BRANCH_A, "A", "", 0, NULL);
    operand b = add_tensor(builder, LORAC_BRANCH_B, "B", "", 0, NULL);
    operand scale = add_tensor(builder, LORAC_BRANCH_SCALE, "scale", "", 0, NULL);
    a = add_cast(builder, a, "A");
    b = add_cast(builder, b, "B");
    scale = add_cast(builder, scale, "scale");
    operand down = s->group == 1 ? build_down(builder, a) : build_grouped_down(builder, a);
    const int64_t up_dims[] = {s->M, s->kh * s->R, 1, 1}, one_by_one[] = {1, 1};
    operand up_weight = add_reshape(builder, b, "up", up_dims);
    operand up = add_node(builder, "Conv", "up", 2, (const operand[]){down, up_weight});
    add_attribute(builder, "kernel_shape", 2, one_by_one);
    if (s->group > 1)
        add_attribute(builder, "group", 0, &s->group);
    operand scaled = add_node(builder, "Mul", "", 2, (const operand[]){up, scale});
    add_node(builder, "Add", "", 2, (const operand[]){Y, scaled});
}

enum lorac_status lorac_branch_describe(struct lorac_arena *arena, const struct lorac_branch_shape *shape,
                                        struct lorac_branch *out, struct lorac_error *error)
{
    // For each row Slice, Pad, Reshape, Conv, with shape, pads, starts, ends; three Casts, Concat, Reshape, Tile, Conv
    // (down), Reshape, Conv (up), Mul, Add, with A, B, scale, axes, two shapes, repeats.
    enum { EACH_ROW = 4, ALSO = 11 };
    struct builder builder = {.arena = arena, .shape = shape};
    if (shape->kh > LORAC_BRANCH_MAX_ROWS)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "a kernel of %" PRId64 " rows is too high for the branch form (at most %d)", shape->kh,
                               (int)LORAC_BRANCH_MAX_ROWS);
    if (!lorac_tensor_type_is_floating(shape->type))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "a convolution of type %s has no branch form",
                               lorac_tensor_type_name(shape->type));
    size_t most = EACH_ROW * (size_t)shape->kh + ALSO;
    builder.branch.tensors = lorac_arena_alloc_array(arena, most, sizeof *builder.branch.tensors);
    builder.branch.nodes = lorac_arena_alloc_array(arena, most, sizeof *builder.branch.nodes);
    builder.failed = !builder.branch.tensors || !builder.branch.nodes;
    if (!builder.failed)
        build(&builder);
    if (builder.failed)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for an adapter's nodes");
    *out = builder.branch;
    return LORAC_OK;
}
