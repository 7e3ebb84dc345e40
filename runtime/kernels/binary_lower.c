#include "binary.h"

#include "kernel_list.h"
#include "proto/size.h"

#include <stdio.h>
#include <string.h>

// One operand as the graph sees it.
struct operand {
    const struct lorac_constant *constant; // NULL: an activation
    uint32_t value;                        // of an activation
    struct lorac_view view;                // of an activation
    size_t rank;
    int64_t dims[LORAC_CONSTANT_MAX_RANK];
};

// What comes out.
struct shape {
    size_t rank;
    int64_t dims[LORAC_VIEW_MAX_RANK];
    struct lorac_view view;
    size_t sizes[LORAC_AXIS_COUNT]; // by axis
};

static enum lorac_status out_of_memory(const struct lorac_step *step, struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
}

struct dims_text {
    char text[160];
};

static struct dims_text format_dims(const struct operand *operand)
{
    struct dims_text text = {"["};
    size_t at = 1;
    for (size_t i = 0; i < operand->rank && at < sizeof text.text - 24; i++)
        at +=
            (size_t)snprintf(text.text + at, sizeof text.text - at, i ? ", %lld" : "%lld", (long long)operand->dims[i]);
    snprintf(text.text + at, sizeof text.text - at, "]");
    return text;
}

// ---- operands

static void set_activation(struct operand *operand, const struct lorac_program *program, uint32_t value,
                           const struct lorac_view *view)
{
    *operand = (struct operand){.value = value, .view = *view};
    operand->rank = lorac_view_dims(view, &program->values[value], operand->dims);
}

static enum lorac_status read_operand(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                      struct operand *operand, struct lorac_error *error)
{
    if (!lorac_lowering_is_constant(lowering, lorac_node_input(node, i))) {
        uint32_t value;
        LORAC_TRY(lorac_lowering_input(lowering, node, i, &value, error));
        struct lorac_view view = lorac_lowering_view(lowering, node, i);
        set_activation(operand, lorac_lowering_program(lowering), value, &view);
        return LORAC_OK;
    }
    *operand = (struct operand){0};
    LORAC_TRY(lorac_lowering_constant(lowering, node, i, &operand->constant, error));
    const struct lorac_constant *constant = operand->constant;
    if (constant->rank > LORAC_VIEW_MAX_RANK)
        return lorac_refuse(node, error, "constant '%s' has rank %zu; rank %d at most is supported",
                            lorac_node_input(node, i), constant->rank, LORAC_VIEW_MAX_RANK);
    if (!constant->floating && !lorac_node_is(node, "Pow"))
        return lorac_refuse(node, error, "constant '%s' is not of a float type", lorac_node_input(node, i));
    if (constant->count == 0)
        return lorac_refuse(node, error, "constant '%s' is empty", lorac_node_input(node, i));
    operand->rank = constant->rank;
    memcpy(operand->dims, constant->dims, sizeof operand->dims);
    return LORAC_OK;
}

// Dimension [p] of [rank], where shorter ones are aligned at the end.
static int64_t dim_at(const struct operand *operand, size_t rank, size_t p)
{
    return p + operand->rank < rank ? 1 : operand->dims[p + operand->rank - rank];
}

static enum lorac_axis axis_at(const struct operand *operand, size_t rank, size_t p)
{
    return operand->constant || p + operand->rank < rank ? LORAC_AXIS_ONE
                                                         : operand->view.axes[p + operand->rank - rank];
}

// ---- what comes out

static enum lorac_status broadcast_dims(const Onnx__NodeProto *node, const struct operand operands[2],
                                        struct shape *out, struct lorac_error *error)
{
    const struct operand *a = &operands[0], *b = &operands[1];
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (size_t p = 0; p < out->rank; p++) {
        int64_t from_a = dim_at(a, out->rank, p), from_b = dim_at(b, out->rank, p);
        bool batch_a = axis_at(a, out->rank, p) == LORAC_AXIS_N, batch_b = axis_at(b, out->rank, p) == LORAC_AXIS_N;
        if (batch_a != batch_b && !a->constant && !b->constant)
            return lorac_refuse(node, error, "inputs %s and %s have the batch at different dimensions from the end",
                                format_dims(a).text, format_dims(b).text);
        if ((batch_a && b->constant && from_b != 1) || (batch_b && a->constant && from_a != 1))
            return lorac_refuse(node, error,
                                "a constant %s meets activations %s: where these have the batch, it must have 1 or no "
                                "dimension",
                                format_dims(a->constant ? a : b).text, format_dims(a->constant ? b : a).text);
        if (from_a != from_b && from_a != 1 && from_b != 1)
            return lorac_refuse(node, error, "inputs %s and %s cannot be broadcast to one shape", format_dims(a).text,
                                format_dims(b).text);
        out->dims[p] = from_a == 1 ? from_b : from_a;
    }
    return LORAC_OK;
}

static enum lorac_axis free_axis(const struct lorac_view *view)
{
    static const enum lorac_axis order[] = {LORAC_AXIS_C, LORAC_AXIS_H, LORAC_AXIS_W};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (lorac_view_find(view, order[i]) < 0)
            return order[i];
    return LORAC_AXIS_ONE;
}

// Gives the dimensions their places in memory: first as [leader] has them, then as [other] has, where that is free.
static enum lorac_status name_axes(const Onnx__NodeProto *node, const struct operand *leader,
                                   const struct operand *other, struct shape *out, struct lorac_error *error)
{
    struct lorac_view *view = &out->view;
    view->rank = out->rank;
    for (size_t p = 0; p < out->rank; p++) {
        enum lorac_axis axis = axis_at(leader, out->rank, p);
        view->axes[p] = axis == LORAC_AXIS_N || dim_at(leader, out->rank, p) > 1 ? axis : LORAC_AXIS_ONE;
    }
    for (size_t p = 0; p < out->rank; p++) {
        if (view->axes[p] != LORAC_AXIS_ONE || out->dims[p] == 1)
            continue;
        enum lorac_axis wanted = axis_at(other, out->rank, p);
        if (wanted == LORAC_AXIS_ONE || lorac_view_find(view, wanted) >= 0)
            wanted = axis_at(leader, out->rank, p); // its name for a 1
        if (wanted == LORAC_AXIS_ONE || lorac_view_find(view, wanted) >= 0)
            wanted = free_axis(view);
        if (wanted == LORAC_AXIS_ONE)
            return lorac_refuse(node, error,
                                "inputs %s and %s give more than 3 dimensions larger than 1 beside the batch",
                                format_dims(leader).text, format_dims(other).text);
        view->axes[p] = wanted;
    }
    for (size_t axis = 0; axis < LORAC_AXIS_COUNT; axis++)
        out->sizes[axis] = 1;
    for (size_t p = 0; p < out->rank; p++)
        out->sizes[view->axes[p]] = (size_t)out->dims[p];
    return LORAC_OK;
}

static size_t operand_count(const struct operand *operand)
{
    size_t count = 1;
    for (size_t i = 0; i < operand->rank; i++)
        count *= (size_t)operand->dims[i]; // an activation's or a constant's, checked when that was made
    return count;
}

static enum lorac_status find_shape(const Onnx__NodeProto *node, const struct operand operands[2], struct shape *out,
                                    struct lorac_error *error)
{
    LORAC_TRY(broadcast_dims(node, operands, out, error));
    bool second =
        operands[0].constant || (!operands[1].constant && operand_count(&operands[1]) > operand_count(&operands[0]));
    return name_axes(node, &operands[second], &operands[!second], out, error);
}

// ---- strides

static size_t size_of(const struct shape *shape, size_t k)
{
    static const enum lorac_axis order[4] = {LORAC_AXIS_N, LORAC_AXIS_H, LORAC_AXIS_W, LORAC_AXIS_C};
    return shape->sizes[order[k]];
}

static size_t place_of(enum lorac_axis axis)
{
    return axis == LORAC_AXIS_N ? 0 : axis == LORAC_AXIS_H ? 1 : axis == LORAC_AXIS_W ? 2 : 3;
}

static size_t memory_stride(const struct lorac_value *value, enum lorac_axis axis)
{
    switch (axis) {
    case LORAC_AXIS_N:
        return value->h * value->w * value->c;
    case LORAC_AXIS_H:
        return value->w * value->c;
    case LORAC_AXIS_W:
        return value->c;
    default:
        return 1;
    }
}

// Copies a constant to the output's order in memory; broadcast dimensions stay out.
static enum lorac_status pack_constant(struct lorac_program *program, const struct lorac_step *step,
                                       const struct operand *operand, const struct shape *shape,
                                       struct lorac_binary_operand *out, struct lorac_error *error)
{
    size_t from[4] = {0}, dims[4] = {1, 1, 1, 1}, stride = 1, at = 0;
    for (size_t i = operand->rank; i-- > 0; stride *= (size_t)operand->dims[i]) {
        if (operand->dims[i] == 1)
            continue;
        size_t k = place_of(shape->view.axes[i + shape->rank - operand->rank]);
        from[k] = stride;
        dims[k] = (size_t)operand->dims[i];
    }
    float *packed = lorac_arena_alloc_array(program->arena, operand->constant->count, sizeof(*packed));
    if (!packed)
        return out_of_memory(step, error);
    for (size_t h = 0; h < dims[1]; h++) // dims[0], the batch, is 1
        for (size_t w = 0; w < dims[2]; w++)
            for (size_t c = 0; c < dims[3]; c++) {
                size_t i = h * from[1] + w * from[2] + c * from[3];
                packed[at++] = operand->constant->floating ? (float)operand->constant->floats[i]
                                                           : (float)operand->constant->ints[i];
            }
    stride = 1;
    for (size_t k = 4; k-- > 0; stride *= dims[k])
        out->strides[k] = dims[k] > 1 ? stride : 0;
    out->constant = packed;
    return LORAC_OK;
}

static enum lorac_status bind_operand(struct lorac_program *program, const struct lorac_step *step,
                                      const struct operand *operand, const struct shape *shape,
                                      struct lorac_binary_operand *out, struct lorac_error *error)
{
    if (operand->constant)
        return pack_constant(program, step, operand, shape, out, error);
    for (size_t i = 0; i < operand->rank; i++)
        if (operand->dims[i] > 1)
            out->strides[place_of(shape->view.axes[i + shape->rank - operand->rank])] =
                memory_stride(&program->values[operand->value], operand->view.axes[i]);
    return LORAC_OK;
}

// Drops dimensions of 1 and makes one of two neighbours where both operands step through them as through one.
static void collapse(struct lorac_binary *binary)
{
    size_t kept = 4, all[4];
    memcpy(all, binary->dims, sizeof all);
    for (size_t i = 4; i-- > 0;) {
        struct lorac_binary_operand *a = &binary->operands[0], *b = &binary->operands[1];
        if (all[i] == 1)
            continue;
        if (kept < 4 && a->strides[i] == a->strides[kept] * binary->dims[kept] &&
            b->strides[i] == b->strides[kept] * binary->dims[kept]) {
            binary->dims[kept] *= all[i];
            continue;
        }
        kept--;
        binary->dims[kept] = all[i];
        a->strides[kept] = a->strides[i];
        b->strides[kept] = b->strides[i];
    }
    while (kept-- > 0) {
        binary->dims[kept] = 1;
        binary->operands[0].strides[kept] = binary->operands[1].strides[kept] = 0;
    }
}

// ---- one step

static enum lorac_status check_kind(const Onnx__NodeProto *node, enum lorac_binary_kind kind,
                                    const struct operand operands[2], const struct shape *shape,
                                    struct lorac_error *error)
{
    if (kind != LORAC_BINARY_POW && kind != LORAC_BINARY_PRELU)
        return LORAC_OK;
    const char *what = kind == LORAC_BINARY_POW ? "exponent" : "slope";
    if (!operands[1].constant)
        return lorac_refuse(node, error, "the %s depends on the images; it must be a constant", what);
    bool larger = shape->rank != operands[0].rank;
    for (size_t p = 0; !larger && p < shape->rank; p++)
        larger = shape->dims[p] != operands[0].dims[p];
    if (kind == LORAC_BINARY_PRELU && larger)
        return lorac_refuse(node, error, "a slope %s does not broadcast to %s", format_dims(&operands[1]).text,
                            format_dims(&operands[0]).text);
    return LORAC_OK;
}

// Fills a step, but for its output.
static enum lorac_status make_step(struct lorac_lowering *lowering, struct lorac_step *step,
                                   enum lorac_binary_kind kind, const struct operand operands[2],
                                   const struct shape *shape, struct lorac_error *error)
{
    struct lorac_binary *binary = lorac_lowering_config(lowering, step, sizeof(*binary));
    uint32_t inputs[2];
    size_t count = 0;
    if (!binary)
        return out_of_memory(step, error);
    binary->kind = kind;
    binary->count = 1;
    for (size_t k = 0; k < 4; k++) {
        binary->dims[k] = size_of(shape, k);
        if (!lorac_size_multiply(binary->count, binary->dims[k], &binary->count))
            return lorac_refuse(step->node, error, "its output is too large");
    }
    for (size_t i = 0; i < 2; i++) {
        struct lorac_binary_operand *operand = &binary->operands[i];
        LORAC_TRY(bind_operand(lorac_lowering_program(lowering), step, &operands[i], shape, operand, error));
        operand->broadcast = operand_count(&operands[i]) != binary->count;
        operand->input = count;
        if (!operands[i].constant)
            inputs[count++] = operands[i].value;
    }
    collapse(binary);
    step->kernel = lorac_binary_kernel(binary);
    return lorac_lowering_set_inputs(lowering, step, inputs, count, error);
}

// ---- a node

// The places of the node's inputs: where the order makes no difference, activations first, so that no two constants
// meet.
static void order_inputs(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t *order)
{
    size_t count = 0;
    for (int constants = 0; constants < 2; constants++)
        for (size_t i = 0; i < node->n_input; i++)
            if (lorac_lowering_is_constant(lowering, lorac_node_input(node, i)) == (constants == 1))
                order[count++] = i;
}

static enum lorac_status lower_chain(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, enum lorac_binary_kind kind, const size_t *order,
                                     struct lorac_error *error)
{
    struct operand operands[2];
    LORAC_TRY(read_operand(lowering, node, order[0], &operands[0], error));
    for (size_t i = 1; i < node->n_input; i++) {
        struct shape shape = {0};
        LORAC_TRY(read_operand(lowering, node, order[i], &operands[1], error));
        LORAC_TRY(find_shape(node, operands, &shape, error));
        LORAC_TRY(check_kind(node, kind, operands, &shape, error));
        bool last = i + 1 == node->n_input;
        struct lorac_step between = lorac_lowering_step(NULL, node), *made = last ? step : &between;
        LORAC_TRY(make_step(lowering, made, kind, operands, &shape, error));
        if (last)
            return lorac_lowering_output(lowering, node, step, size_of(&shape, 0), size_of(&shape, 1),
                                         size_of(&shape, 2), size_of(&shape, 3), &shape.view, error);
        LORAC_TRY(lorac_lowering_hidden(lowering, node, made, size_of(&shape, 0), size_of(&shape, 1),
                                        size_of(&shape, 2), size_of(&shape, 3), error));
        LORAC_TRY(lorac_lowering_emit(lowering, made, error));
        set_activation(&operands[0], lorac_lowering_program(lowering), made->output, &shape.view);
    }
    return LORAC_OK;
}

enum lorac_status lorac_binary_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                     struct lorac_step *step, enum lorac_binary_kind kind, struct lorac_error *error)
{
    if (node->n_input == 0)
        return lorac_refuse(node, error, "it has no inputs; 1 or more are needed");
    if (node->n_input == 1) {
        uint32_t x;
        LORAC_TRY(lorac_lowering_input(lowering, node, 0, &x, error));
        struct lorac_view view = lorac_lowering_view(lowering, node, 0);
        return lorac_lowering_alias(lowering, node, step, x, &view, error);
    }
    size_t *order = lorac_arena_alloc_array(lorac_lowering_program(lowering)->arena, node->n_input, sizeof(*order));
    if (!order)
        return out_of_memory(step, error);
    for (size_t i = 0; i < node->n_input; i++)
        order[i] = i;
    if (kind == LORAC_BINARY_ADD || kind == LORAC_BINARY_MIN || kind == LORAC_BINARY_MAX)
        order_inputs(lowering, node, order);
    return lower_chain(lowering, node, step, kind, order, error);
}

// ---- the operators that have no file of their own (Add and Sum: add.c)

static enum lorac_status lower_two(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, struct lorac_error *error)
{
    static const struct {
        const char *op_type;
        enum lorac_binary_kind kind;
    } kinds[] = {
        {"Sub", LORAC_BINARY_SUB}, {"Mul", LORAC_BINARY_MUL},     {"Div", LORAC_BINARY_DIV},
        {"Pow", LORAC_BINARY_POW}, {"PRelu", LORAC_BINARY_PRELU},
    };
    size_t i = 0;
    while (!lorac_node_is(node, kinds[i].op_type)) // lowering gives this function these only
        i++;
    if (node->n_input != 2)
        return lorac_refuse(node, error, "it has %zu inputs; %s has 2", node->n_input, node->op_type);
    return lorac_binary_lower(lowering, node, step, kinds[i].kind, error);
}

static enum lorac_status lower_min_max(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, struct lorac_error *error)
{
    return lorac_binary_lower(lowering, node, step, lorac_node_is(node, "Min") ? LORAC_BINARY_MIN : LORAC_BINARY_MAX,
                              error);
}

const struct lorac_kernel lorac_kernel_sub = {.op_type = "Sub", .lower = lower_two};
const struct lorac_kernel lorac_kernel_mul = {.op_type = "Mul", .lower = lower_two};
const struct lorac_kernel lorac_kernel_div = {.op_type = "Div", .lower = lower_two};
const struct lorac_kernel lorac_kernel_pow = {.op_type = "Pow", .lower = lower_two};
const struct lorac_kernel lorac_kernel_prelu = {.op_type = "PRelu", .lower = lower_two};
const struct lorac_kernel lorac_kernel_min = {.op_type = "Min", .lower = lower_min_max};
const struct lorac_kernel lorac_kernel_max = {.op_type = "Max", .lower = lower_min_max};
