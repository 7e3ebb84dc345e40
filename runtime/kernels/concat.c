// Concat of activations, and of constants that are the same for every image (zeros put beside the channels) or have a
// row for each. In memory each place before the axis [outer] holds the parts one after the other.
#include "kernel_list.h"

#include "axes.h"
#include "parallel.h"
#include "proto/constant.h"

#include <string.h>

struct part {
    size_t run;            // floats at each place
    size_t input;          // of the step, where it is an activation
    const float *constant; // [places of an image or of the batch, run]; NULL: an activation
    size_t places;         // of the constant
};

struct concat {
    size_t places; // of the whole batch before the axis
    size_t run;    // floats at each
    size_t count;
    struct part *parts;
};

// ---- lowering

struct plan {
    struct lorac_view view;
    struct lorac_value like; // the first activation
    size_t place;            // of the axis in the view
    enum lorac_axis axis;
    size_t before, behind; // places of one image before the axis, floats of one element of it
};

static enum lorac_status make_plan(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct plan *plan,
                                   struct lorac_error *error)
{
    size_t first = 0;
    uint32_t x;
    while (first < node->n_input && !lorac_lowering_is_activation(lowering, node->input[first]))
        first++;
    LORAC_TRY(lorac_lowering_input(lowering, node, first, &x, error));
    plan->like = lorac_lowering_program(lowering)->values[x];
    plan->view = lorac_lowering_view(lowering, node, first);
    LORAC_TRY(lorac_axes_place(node, lorac_node_int(node, "axis", 1), plan->view.rank, &plan->place, error));
    LORAC_TRY(lorac_axes_memory(node, &plan->view, plan->place, "joins along", &plan->axis, error));
    const struct lorac_value *v = &plan->like;
    plan->before = plan->axis == LORAC_AXIS_H ? 1 : plan->axis == LORAC_AXIS_W ? v->h : v->h * v->w;
    plan->behind = plan->axis == LORAC_AXIS_H ? v->w * v->c : plan->axis == LORAC_AXIS_W ? v->c : 1;
    return LORAC_OK;
}

static enum lorac_status check_dims(const Onnx__NodeProto *node, size_t i, const struct plan *plan, const int64_t *dims,
                                    size_t rank, struct lorac_error *error)
{
    bool fits = rank == plan->view.rank;
    for (size_t k = 0; fits && k < rank; k++) {
        enum lorac_axis axis = plan->view.axes[k];
        fits = k == plan->place || dims[k] == (int64_t)lorac_view_size(&plan->like, axis) ||
               (axis == LORAC_AXIS_N && dims[k] == 1);
    }
    if (!fits)
        return lorac_refuse(node, error, "input %zu ('%s') does not fit %s along axis %zu", i,
                            lorac_node_input(node, i), lorac_view_format(&plan->view, &plan->like).text, plan->place);
    return LORAC_OK;
}

// The constant in the order of memory: [places, run].
static enum lorac_status order_constant(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        const struct plan *plan, const struct lorac_constant *constant,
                                        struct part *part, struct lorac_error *error)
{
    float *out = lorac_arena_alloc_array(lorac_lowering_program(lowering)->arena, constant->count + 1, sizeof(*out));
    if (!out)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", lorac_node_name(node));
    size_t sizes[LORAC_AXIS_COUNT] = {1, 1, 1, 1, 1}, strides[LORAC_AXIS_COUNT] = {0}, stride = 1;
    for (size_t k = constant->rank; k-- > 0;) {
        sizes[plan->view.axes[k]] = (size_t)constant->dims[k];
        strides[plan->view.axes[k]] = stride;
        stride *= (size_t)constant->dims[k];
    }
    float *to = out;
    for (size_t n = 0; n < sizes[LORAC_AXIS_N]; n++)
        for (size_t h = 0; h < sizes[LORAC_AXIS_H]; h++)
            for (size_t w = 0; w < sizes[LORAC_AXIS_W]; w++)
                for (size_t c = 0; c < sizes[LORAC_AXIS_C]; c++)
                    *to++ = (float)constant->floats[n * strides[LORAC_AXIS_N] + h * strides[LORAC_AXIS_H] +
                                                    w * strides[LORAC_AXIS_W] + c * strides[LORAC_AXIS_C]];
    part->constant = out;
    part->places = sizes[LORAC_AXIS_N] * plan->before;
    return LORAC_OK;
}

static enum lorac_status read_constant(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       const struct plan *plan, struct part *part, size_t *length,
                                       struct lorac_error *error)
{
    const struct lorac_constant *constant;
    LORAC_TRY(lorac_lowering_constant(lowering, node, i, &constant, error));
    LORAC_TRY(check_dims(node, i, plan, constant->dims, constant->rank, error));
    if (!constant->floating)
        return lorac_refuse(node, error, "input %zu ('%s') is not of a floating type", i, lorac_node_input(node, i));
    *length = (size_t)constant->dims[plan->place];
    return order_constant(lowering, node, plan, constant, part, error);
}

static enum lorac_status read_activation(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                         const struct plan *plan, uint32_t *x, size_t *length,
                                         struct lorac_error *error)
{
    int64_t dims[LORAC_VIEW_MAX_RANK];
    LORAC_TRY(lorac_lowering_input_as(lowering, node, i, &plan->view, x, error));
    const struct lorac_value value = lorac_lowering_program(lowering)->values[*x];
    size_t rank = lorac_view_dims(&plan->view, &value, dims);
    *length = (size_t)dims[plan->place];
    return check_dims(node, i, plan, dims, rank, error);
}

static enum lorac_status lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, struct lorac_step *step,
                               struct lorac_error *error)
{
    struct plan plan = {0};
    LORAC_TRY(make_plan(lowering, node, &plan, error));
    struct lorac_arena *arena = lorac_lowering_program(lowering)->arena;
    struct concat *concat = lorac_lowering_config(lowering, step, sizeof(*concat));
    uint32_t *inputs = lorac_arena_alloc_array(arena, node->n_input, sizeof(*inputs));
    struct part *parts = lorac_arena_alloc_array(arena, node->n_input, sizeof(*parts));
    if (!concat || !inputs || !parts)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering '%s'", step->name);
    size_t total = 0, activations = 0;
    for (size_t i = 0; i < node->n_input; i++) {
        size_t length = 0;
        if (lorac_lowering_is_constant(lowering, node->input[i])) {
            LORAC_TRY(read_constant(lowering, node, i, &plan, &parts[i], &length, error));
        } else {
            LORAC_TRY(read_activation(lowering, node, i, &plan, &inputs[activations], &length, error));
            parts[i].input = activations++;
        }
        parts[i].run = length * plan.behind;
        total += length;
    }
    if (node->n_input == 1)
        return lorac_lowering_alias(lowering, node, step, inputs[0], &plan.view, error);
    *concat = (struct concat){plan.like.n * plan.before, total * plan.behind, node->n_input, parts};
    LORAC_TRY(lorac_lowering_set_inputs(lowering, step, inputs, activations, error));
    return lorac_lowering_output(lowering, node, step, plan.like.n, plan.axis == LORAC_AXIS_H ? total : plan.like.h,
                                 plan.axis == LORAC_AXIS_W ? total : plan.like.w,
                                 plan.axis == LORAC_AXIS_C ? total : plan.like.c, &plan.view, error);
}

// ---- running

static void forward_places(void *context, size_t begin, size_t end)
{
    const struct lorac_step *step = context;
    const struct concat *concat = step->config;
    for (size_t place = begin; place < end; place++) {
        float *y = step->y + place * concat->run;
        for (size_t i = 0; i < concat->count; i++) {
            const struct part *part = &concat->parts[i];
            const float *from = part->constant ? part->constant + place % part->places * part->run
                                               : step->x[part->input] + place * part->run;
            memcpy(y, from, part->run * sizeof(float));
            y += part->run;
        }
    }
}

static size_t tile_of(const struct concat *concat)
{
    return 16 * 1024 / concat->run + 1;
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct concat *concat = step->config;
    lorac_parallel_ranges(env->pool, forward_places, step, concat->places, tile_of(concat));
}

static void backward_places(void *context, size_t begin, size_t end)
{
    const struct lorac_step *step = context;
    const struct concat *concat = step->config;
    for (size_t place = begin; place < end; place++) {
        const float *dy = step->dy + place * concat->run;
        for (size_t i = 0; i < concat->count; i++) {
            const struct part *part = &concat->parts[i];
            if (!part->constant && step->dx[part->input])
                memcpy(step->dx[part->input] + place * part->run, dy, part->run * sizeof(float));
            dy += part->run;
        }
    }
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct concat *concat = step->config;
    lorac_parallel_ranges(env->pool, backward_places, step, concat->places, tile_of(concat));
}

const struct lorac_kernel lorac_kernel_concat = {
    .op_type = "Concat", .lower = lower, .forward = forward, .backward = backward};
