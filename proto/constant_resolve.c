// Values that follow from constants of the model alone: the walk from a value back to the tensors.
#include "constant.h"

#include "name_table.h"
#include "size.h"

#include <stdlib.h>
#include <string.h>

// What one question has met so far: each value is looked at, and evaluated, once.
struct resolver {
    struct lorac_model *model;
    struct lorac_arena *arena; // NULL: only look
    struct lorac_name_table names;
    struct lorac_constant *known; // by number of the name; [capacity]
    size_t capacity;
    size_t elements; // of all that was evaluated
    struct lorac_error *error;
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "constants: out of memory");
}

static enum lorac_status refuse(const struct resolver *r, const char *value, const char *why)
{
    return lorac_error_set(r->error, LORAC_ERROR_UNSUPPORTED, "value '%s' %s", value, why);
}

static enum lorac_status remember(struct resolver *r, const char *name, const struct lorac_constant *constant)
{
    size_t number;
    if (!lorac_name_table_add(&r->names, name, &number, NULL))
        return out_of_memory(r->error);
    if (number >= r->capacity) {
        size_t larger = r->capacity ? 2 * r->capacity : 16, bytes;
        struct lorac_constant *grown =
            lorac_size_multiply(larger, sizeof *grown, &bytes) ? realloc(r->known, bytes) : NULL;
        if (!grown)
            return out_of_memory(r->error);
        r->known = grown;
        r->capacity = larger;
    }
    r->known[number] = *constant;
    return LORAC_OK;
}

static size_t stored_elements(const Onnx__TensorProto *tensor)
{
    size_t count;
    return tensor && lorac_size_of_dims(tensor->dims, tensor->n_dims, &count) ? count : 0;
}

// Each tensor's elements are in the file, so that their sum is bounded by its size.
static size_t elements_of_model(const struct lorac_model *model)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    size_t total = 0;
    for (size_t i = 0; i < graph->n_initializer; i++)
        total += stored_elements(graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            total += stored_elements(graph->node[i]->attribute[k]->t);
    return total;
}

void lorac_constant_begin(struct lorac_model *model)
{
    model->work = (struct lorac_constant_work){.begun = true, .stored = elements_of_model(model)};
}

static const struct lorac_constant_work *work_of(struct lorac_model *model)
{
    if (!model->work.begun)
        lorac_constant_begin(model);
    return &model->work;
}

bool lorac_constant_total_fits(struct lorac_model *model, size_t count)
{
    return count <= (size_t)1 << 24 || count / 4 <= work_of(model)->stored;
}

enum lorac_status lorac_constant_charge(struct lorac_model *model, size_t elements, struct lorac_error *error)
{
    const struct lorac_constant_work *work = work_of(model);
    size_t done;
    if (lorac_size_add(work->done, elements, &done) && (done <= (size_t)1 << 26 || done / 256 <= work->stored)) {
        model->work.done = done;
        return LORAC_OK;
    }
    model->work.spent = true;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "the constants that have to be computed have too many elements: %zu after %zu of this model",
                           elements, work->done);
}

bool lorac_constant_is_spent(const struct lorac_model *model)
{
    return model->work.spent;
}

static enum lorac_status count_elements(struct resolver *r, const char *name, size_t count)
{
    if (!lorac_size_add(r->elements, count, &count) || !lorac_constant_total_fits(r->model, count))
        return refuse(r, name, "is computed from too many elements");
    r->elements = count;
    return LORAC_OK;
}

static enum lorac_status resolve(struct resolver *r, const char *name, int depth, struct lorac_constant *out);

static enum lorac_status resolve_node(struct resolver *r, const Onnx__NodeProto *node, size_t output, int depth,
                                      struct lorac_constant *out)
{
    if (!lorac_constant_knows(node))
        return lorac_error_set(r->error, LORAC_ERROR_UNSUPPORTED, "it is computed by '%s' (%s), not from constants",
                               lorac_node_name(node), node->op_type);
    size_t bytes;
    if (!lorac_size_multiply(node->n_input + 1, sizeof(struct lorac_constant) + sizeof(struct lorac_constant *),
                             &bytes))
        return out_of_memory(r->error);
    struct lorac_constant *values = calloc(1, bytes);
    if (!values)
        return out_of_memory(r->error);
    const struct lorac_constant **inputs = (const struct lorac_constant **)(void *)(values + node->n_input + 1);
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < node->n_input && status == LORAC_OK; i++)
        if (node->input[i][0]) {
            status = resolve(r, node->input[i], depth + 1, &values[i]);
            inputs[i] = &values[i];
        }
    const struct lorac_constant_node what = {r->model, node, inputs, node->n_input, output};
    if (status == LORAC_OK && r->arena)
        status = lorac_constant_evaluate(&what, r->arena, out, r->error);
    free(values);
    return status;
}

static enum lorac_status resolve(struct resolver *r, const char *name, int depth, struct lorac_constant *out)
{
    size_t number = lorac_name_table_find(&r->names, name);
    if (number != LORAC_NO_NAME) {
        *out = r->known[number];
        return LORAC_OK;
    }
    if (depth > LORAC_CONSTANT_MAX_DEPTH)
        return refuse(r, name, "is computed through more than 200 constant nodes");
    struct lorac_constant made = {0};
    const Onnx__TensorProto *tensor = lorac_model_constant(r->model, name);
    const Onnx__NodeProto *node = lorac_model_producer(r->model, name);
    if (tensor && r->arena)
        LORAC_TRY(lorac_constant_from_tensor(r->model, tensor, r->arena, &made, r->error));
    else if (!tensor && node)
        LORAC_TRY(resolve_node(r, node, lorac_constant_output(node, name), depth, &made));
    else if (!tensor)
        return refuse(r, name, "is an input of the graph, not a constant");
    LORAC_TRY(count_elements(r, name, made.count));
    LORAC_TRY(remember(r, name, &made));
    *out = made;
    return LORAC_OK;
}

static enum lorac_status ask(struct lorac_model *model, const char *value, struct lorac_arena *arena,
                             struct lorac_constant *out, struct lorac_error *error)
{
    struct resolver r = {.model = model, .arena = arena, .error = error};
    lorac_name_table_init(&r.names);
    enum lorac_status status = resolve(&r, value, 0, out);
    lorac_name_table_free(&r.names);
    free(r.known);
    return status;
}

enum lorac_status lorac_constant_resolve(struct lorac_model *model, const char *value, struct lorac_arena *arena,
                                         struct lorac_constant *out, struct lorac_error *error)
{
    struct lorac_constant made;
    LORAC_TRY(lorac_constant_follows(model, value, error)); // first, so that nothing is computed in vain
    LORAC_TRY(ask(model, value, arena, &made, error));
    *out = made;
    return LORAC_OK;
}

enum lorac_status lorac_constant_follows(struct lorac_model *model, const char *value, struct lorac_error *error)
{
    struct lorac_constant nothing;
    return ask(model, value, NULL, &nothing, error);
}

bool lorac_constant_spares_batch_norm(struct lorac_model *model, const Onnx__NodeProto *node)
{
    struct lorac_error ignored = {0};
    return lorac_node_is(node, "BatchNormalization") &&
           lorac_constant_follows(model, lorac_node_input(node, 0), &ignored) != LORAC_OK;
}
