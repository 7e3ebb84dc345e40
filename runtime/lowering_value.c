// What kernels ask of the lowering about activations: which value an input is, how the graph sees it, and what comes out.
#include "lower_internal.h"

#include "kernels/reorder.h"

#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
}

static const struct lorac_entry *activation(struct lorac_lowering *lowering, const char *name)
{
    const struct lorac_entry *entry = lorac_lowering_entry(lowering, name);
    return entry && entry->kind == LORAC_ENTRY_ACTIVATION ? entry : NULL;
}

// ---- inputs

bool lorac_lowering_is_activation(struct lorac_lowering *lowering, const char *name)
{
    return activation(lowering, name) != NULL;
}

enum lorac_status lorac_lowering_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                       uint32_t *value, struct lorac_error *error)
{
    const char *name = lorac_node_input(node, i);
    const struct lorac_entry *entry = activation(lowering, name);
    if (!entry)
        return lorac_refuse(node, error, "input %zu ('%s') must depend on the images, and does not", i, name);
    *value = entry->value;
    return LORAC_OK;
}

struct lorac_view lorac_lowering_view(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i)
{
    const struct lorac_entry *entry = activation(lowering, lorac_node_input(node, i));
    return entry ? entry->view : (struct lorac_view){0};
}

enum lorac_status lorac_lowering_input_as(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                          const struct lorac_view *wanted, uint32_t *value, struct lorac_error *error)
{
    uint32_t x = LORAC_NO_ID;
    LORAC_TRY(lorac_lowering_input(lowering, node, i, &x, error));
    struct lorac_view view = lorac_lowering_view(lowering, node, i);
    if (view.rank != wanted->rank)
        return lorac_refuse(node, error, "input %zu ('%s') is %s; rank %zu is supported", i, lorac_node_input(node, i),
                            lorac_view_format(&view, &lowering->program->values[x]).text, wanted->rank);
    if (lorac_view_equal(&view, wanted)) {
        *value = x;
        return LORAC_OK;
    }
    if (lorac_view_find(&view, LORAC_AXIS_N) != lorac_view_find(wanted, LORAC_AXIS_N))
        return lorac_refuse(node, error, "input %zu ('%s') has the batch at dimension %d; it is supported at %d", i,
                            lorac_node_input(node, i), lorac_view_find(&view, LORAC_AXIS_N),
                            lorac_view_find(wanted, LORAC_AXIS_N));
    int64_t dims[LORAC_VIEW_MAX_RANK];
    lorac_view_dims(&view, &lowering->program->values[x], dims);
    struct lorac_reorder reorder = {.x = x, .from = view, .to = *wanted};
    struct lorac_step step = lorac_lowering_step(&lorac_kernel_reorder, node);
    LORAC_TRY(lorac_reorder_lower(lowering, &step, &reorder, dims, error));
    LORAC_TRY(lorac_lowering_hidden(lowering, node, &step, reorder.sizes.n, reorder.sizes.h, reorder.sizes.w,
                                    reorder.sizes.c, error));
    *value = step.output;
    return lorac_lowering_emit(lowering, &step, error);
}

enum lorac_status lorac_lowering_image_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                             uint32_t *value, struct lorac_error *error)
{
    return lorac_lowering_input_as(lowering, node, i, &lorac_view_image, value, error);
}

enum lorac_status lorac_lowering_matrix_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                              uint32_t *value, struct lorac_error *error)
{
    return lorac_lowering_input_as(lowering, node, i, &lorac_view_matrix, value, error);
}

enum lorac_status lorac_lowering_channel_input(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i,
                                               uint32_t *value, struct lorac_view *view, struct lorac_error *error)
{
    static const struct lorac_view row = {3, {LORAC_AXIS_N, LORAC_AXIS_C, LORAC_AXIS_W}};
    *view = lorac_lowering_view(lowering, node, i);
    if (view->rank < 2 || view->rank > 4) {
        LORAC_TRY(lorac_lowering_input(lowering, node, i, value, error));
        return lorac_refuse(node, error, "input %zu ('%s') is %s; rank 2 to 4 is supported", i,
                            lorac_node_input(node, i),
                            lorac_view_format(view, &lowering->program->values[*value]).text);
    }
    if (view->axes[0] != LORAC_AXIS_N || view->axes[1] != LORAC_AXIS_C)
        *view = view->rank == 4 ? lorac_view_image : view->rank == 3 ? row : lorac_view_matrix;
    return lorac_lowering_input_as(lowering, node, i, view, value, error);
}

enum lorac_status lorac_lowering_set_inputs(struct lorac_lowering *lowering, struct lorac_step *step,
                                            const uint32_t *values, size_t count, struct lorac_error *error)
{
    step->inputs = lorac_arena_alloc_array(lowering->program->arena, count, sizeof(*step->inputs));
    if (!step->inputs)
        return out_of_memory(error);
    memcpy(step->inputs, values, count * sizeof(*values));
    step->input_count = count;
    return LORAC_OK;
}

// Exporters that trace write the batch down: as a literal, or as constants that only a later step joins. It stands for
// the batch of today where the file says so: the model's input declares it, or leaves its batch free and a single image
// was traced. A shape that comes from the Shape of an activation has the batch of today already.
int64_t lorac_lowering_batch_now(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t i, int64_t wanted)
{
    int64_t traced = lowering->declared_batch > 0 ? lowering->declared_batch : 1;
    bool literal = lorac_constant_follows(lowering->model, lorac_node_input(node, i), NULL) == LORAC_OK;
    return literal && wanted == traced ? (int64_t)lowering->program->batch : wanted;
}

// ---- outputs

static enum lorac_status new_value(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                   struct lorac_step *step, const struct lorac_value *value, struct lorac_error *error)
{
    if (value->n == 0 || value->h == 0 || value->w == 0 || value->c == 0)
        return lorac_refuse(node, error, "its output would be empty: %zu x %zu x %zu x %zu (N, C, H, W)", value->n,
                            value->c, value->h, value->w);
    return lorac_program_add_value(lowering->program, value, &step->output, error);
}

enum lorac_status lorac_lowering_alias_at(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                          uint32_t value, const struct lorac_view *view, struct lorac_error *error)
{
    struct lorac_entry entry = {.kind = LORAC_ENTRY_ACTIVATION,
                                .value = value,
                                .view = lorac_view_named(view, &lowering->program->values[value])};
    if (k >= node->n_output || !node->output[k][0])
        return LORAC_OK; // an output that nobody asked for
    return lorac_lowering_define(lowering, node->output[k], &entry, error);
}

enum lorac_status lorac_lowering_alias(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                       struct lorac_step *step, uint32_t value, const struct lorac_view *view,
                                       struct lorac_error *error)
{
    step->kernel = NULL;
    return lorac_lowering_alias_at(lowering, node, 0, value, view, error);
}

enum lorac_status lorac_lowering_output_at(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                           struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                           const struct lorac_view *view, struct lorac_error *error)
{
    const char *name = k < node->n_output ? node->output[k] : "";
    struct lorac_value value = {.name = name, .n = n, .h = h, .w = w, .c = c};
    LORAC_TRY(new_value(lowering, node, step, &value, error));
    return lorac_lowering_alias_at(lowering, node, k, step->output, view, error);
}

enum lorac_status lorac_lowering_output(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                        const struct lorac_view *view, struct lorac_error *error)
{
    return lorac_lowering_output_at(lowering, node, 0, step, n, h, w, c, view, error);
}

enum lorac_status lorac_lowering_output_like(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                             struct lorac_step *step, size_t i, uint32_t like,
                                             struct lorac_error *error)
{
    const struct lorac_value value = lowering->program->values[like];
    struct lorac_view view = lorac_lowering_view(lowering, node, i);
    return lorac_lowering_output(lowering, node, step, value.n, value.h, value.w, value.c, &view, error);
}

enum lorac_status lorac_lowering_hidden(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                        struct lorac_step *step, size_t n, size_t h, size_t w, size_t c,
                                        struct lorac_error *error)
{
    struct lorac_value value = {.name = lorac_node_name(node), .n = n, .h = h, .w = w, .c = c};
    return new_value(lowering, node, step, &value, error);
}

bool lorac_lowering_is_read(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k)
{
    const struct lorac_use *uses;
    const char *name = k < node->n_output ? node->output[k] : "";
    return name[0] && (lorac_model_uses(lowering->model, name, &uses) > 0 ||
                       lorac_model_is_graph_output(lowering->model, name));
}

// ---- steps

struct lorac_step lorac_lowering_step(const struct lorac_kernel *kernel, const Onnx__NodeProto *node)
{
    struct lorac_step step = {.kernel = kernel, .node = node, .name = lorac_node_name(node)};
    for (size_t i = 0; i < LORAC_STEP_MAX_PARAMS; i++)
        step.params[i] = LORAC_NO_ID;
    return step;
}

enum lorac_status lorac_lowering_emit(struct lorac_lowering *lowering, const struct lorac_step *step,
                                      struct lorac_error *error)
{
    return lorac_program_add_step(lowering->program, step, error);
}
