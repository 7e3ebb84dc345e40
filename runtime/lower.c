#include "lower_internal.h"

#include "absorb.h"
#include "alias.h"
#include "differentiate.h"
#include "fuse.h"
#include "kernels/kernel.h"
#include "proto/size.h"
#include "recompute.h"

#include <stdlib.h>
#include <string.h>

// ---- the input

static enum lorac_status define_input(struct lorac_lowering *lowering, struct lorac_error *error)
{
    struct lorac_input_shape shape = {0};
    const struct lorac_lower_options *options = lowering->options;
    LORAC_TRY(lorac_input_shape(lowering->model, &shape, error));
    size_t height = shape.height ? shape.height : options->height;
    size_t width = shape.width ? shape.width : options->width;
    if (!shape.channels || !height || !width)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "input '%s' leaves its %s free; a size must be chosen for it", shape.name,
                               !shape.channels ? "channels"
                               : !height       ? "height"
                                               : "width");
    if ((options->height && options->height != height) || (options->width && options->width != width))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "input '%s' is %zu x %zu in the model; images of %zu x %zu do not fit", shape.name,
                               height, width, options->height, options->width);
    struct lorac_value value = {.name = shape.name, .n = options->batch, .h = height, .w = width, .c = shape.channels};
    LORAC_TRY(lorac_program_add_value(lowering->program, &value, &lowering->program->input, error));
    static const struct lorac_view channels_last = {4, {LORAC_AXIS_N, LORAC_AXIS_H, LORAC_AXIS_W, LORAC_AXIS_C}};
    struct lorac_entry entry = {.kind = LORAC_ENTRY_ACTIVATION, .value = lowering->program->input};
    entry.view = lorac_view_named(shape.channels_last ? &channels_last : &lorac_view_image, &value);
    lowering->declared_batch = (int64_t)shape.batch;
    return lorac_lowering_define(lowering, shape.name, &entry, error);
}

// ---- the walk

// Marks the nodes that the trained output needs: what only feeds other outputs is left alone.
static enum lorac_status mark_needed(struct lorac_lowering *lowering, bool **out, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = lowering->model->proto->graph;
    struct lorac_name_table wanted;
    lorac_name_table_init(&wanted);
    enum lorac_status status = LORAC_OK;
    bool *needed = lorac_arena_alloc_array(lowering->scratch, graph->n_node + 1, sizeof(*needed));
    size_t number;
    if (!needed || !lorac_name_table_add(&wanted, lowering->output, &number, NULL))
        goto no_memory;
    for (size_t i = graph->n_node; i-- > 0;) {
        const Onnx__NodeProto *node = graph->node[i];
        for (size_t k = 0; k < node->n_output; k++)
            needed[i] |= node->output[k][0] && lorac_name_table_find(&wanted, node->output[k]) != LORAC_NO_NAME;
        for (size_t k = 0; needed[i] && k < node->n_input; k++)
            if (!lorac_name_table_add(&wanted, node->input[k], &number, NULL))
                goto no_memory;
    }
    *out = needed;
    goto done;
no_memory:
    status = lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
done:
    lorac_name_table_free(&wanted);
    return status;
}

static enum lorac_status define_initializers(struct lorac_lowering *lowering, struct lorac_error *error)
{
    const Onnx__GraphProto *graph = lowering->model->proto->graph;
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const char *name = graph->initializer[i]->name;
        struct lorac_entry entry = {.kind = LORAC_ENTRY_CONSTANT,
                                    .tensor = graph->initializer[i],
                                    .trained = lorac_name_table_find(&lowering->trainables, name) != LORAC_NO_NAME};
        LORAC_TRY(lorac_lowering_define(lowering, name, &entry, error));
    }
    return LORAC_OK;
}

enum input_state { INPUTS_CONSTANT, INPUTS_MIXED, INPUTS_UNKNOWN };

static enum input_state look_at_inputs(struct lorac_lowering *lowering, const Onnx__NodeProto *node)
{
    bool all_constant = true;
    for (size_t i = 0; i < node->n_input; i++) {
        if (lorac_lowering_absent(node, i))
            continue;
        const struct lorac_entry *entry = lorac_lowering_entry(lowering, node->input[i]);
        if (!entry || entry->kind == LORAC_ENTRY_UNKNOWN)
            return INPUTS_UNKNOWN;
        all_constant &= entry->kind == LORAC_ENTRY_CONSTANT;
    }
    return all_constant && node->n_input > 0 ? INPUTS_CONSTANT : INPUTS_MIXED;
}

// What to do about operators that real exports have and that are not run.
static const struct remedy {
    const char *op_type; // the beginning of it
    const char *text;
} remedies[] = {
    {"If", "control flow is not supported; export with fixed shapes, or simplify the model, so that it goes away"},
    {"Loop", "control flow is not supported; export with fixed shapes, or simplify the model, so that it goes away"},
    {"Scan", "control flow is not supported; export with fixed shapes, or simplify the model, so that it goes away"},
    {"QLinear", "it works on quantised activations, which cannot be trained; take the float model"},
    {"QuantizeLinear", "it quantises activations, which cannot be trained; take the float model, or one with "
                       "quantised weights only"},
    {"DynamicQuantizeLinear", "it quantises activations, which cannot be trained; take the float model"},
    {"ConvInteger", "it works on quantised activations, which cannot be trained; take the float model"},
    {"MatMulInteger", "it works on quantised activations, which cannot be trained; take the float model"},
};

static enum lorac_status refuse_operator(const Onnx__NodeProto *node, struct lorac_error *error)
{
    if (node->domain && strcmp(node->domain, "com.microsoft") == 0)
        return lorac_refuse(node, error,
                            "operators of domain 'com.microsoft' are not supported; take the model as it was exported, "
                            "or have onnxruntime optimise it at the basic level only");
    if (node->domain && node->domain[0] && strcmp(node->domain, "ai.onnx") != 0)
        return lorac_refuse(node, error,
                            "operators of domain '%s' are not supported; export with standard operators only",
                            node->domain);
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (strncmp(node->op_type, remedies[i].op_type, strlen(remedies[i].op_type)) == 0)
            return lorac_refuse(node, error, "%s", remedies[i].text);
    return lorac_refuse(node, error,
                        "this operator is not supported; docs/operators.md lists those that are, and inject and merge "
                        "work all the same");
}

// Whether training changes the numbers that the node makes. (It changes no dims.)
static bool follows_trained(struct lorac_lowering *lowering, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_input; i++) {
        const struct lorac_entry *entry = lorac_lowering_entry(lowering, node->input[i]);
        if (entry && entry->trained)
            return !lorac_node_is(node, "Shape") && !lorac_node_is(node, "Size");
    }
    return false;
}

// What the node gives is evaluated when somebody asks.
static enum lorac_status define_constants(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                          struct lorac_error *error)
{
    if (!lorac_constant_knows(node) && lorac_kernel_find(node->op_type))
        return lorac_refuse(node, error,
                            "its inputs are constants, over which this operator is not evaluated; simplify the model "
                            "(onnxslim, onnxsim), which folds them");
    if (!lorac_constant_knows(node))
        return refuse_operator(node, error);
    for (size_t i = 0; i < node->n_output; i++) {
        struct lorac_entry entry = {.kind = LORAC_ENTRY_CONSTANT,
                                    .tensor = lorac_model_constant(lowering->model, node->output[i]),
                                    .node = node};
        entry.trained = follows_trained(lowering, node) ||
                        lorac_name_table_find(&lowering->trainables, node->output[i]) != LORAC_NO_NAME;
        if (node->output[i][0])
            LORAC_TRY(lorac_lowering_define(lowering, node->output[i], &entry, error));
    }
    return LORAC_OK;
}

static enum lorac_status mark_unknown(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                      struct lorac_error *error)
{
    struct lorac_entry unknown = {.kind = LORAC_ENTRY_UNKNOWN};
    for (size_t i = 0; i < node->n_output; i++)
        if (node->output[i][0])
            LORAC_TRY(lorac_lowering_define(lowering, node->output[i], &unknown, error));
    return LORAC_OK;
}

// The Conv runs with its adapter by the definition, so that the two forms give the same bits: nothing is left for the
// nodes of a branch to do, and the sum that its users read is the Conv's own output.
static enum lorac_status lower_branch_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                           struct lorac_error *error)
{
    const struct lorac_entry *conv = lorac_lowering_entry(lowering, node->input[0]);
    if (!lorac_node_is(node, "Add"))
        return LORAC_OK;
    if (!conv || conv->kind != LORAC_ENTRY_ACTIVATION)
        return mark_unknown(lowering, node, error);
    const struct lorac_entry sum = *conv;
    return lorac_lowering_define(lowering, node->output[0], &sum, error);
}

// Over constants alone, or over what is known of an activation before the first image: its shape, its type.
static bool is_constant_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node)
{
    if (lorac_node_is(node, "Constant") || lorac_node_is(node, "Shape") ||
        look_at_inputs(lowering, node) == INPUTS_CONSTANT)
        return true;
    return lorac_node_is(node, "CastLike") && lorac_lowering_is_constant(lowering, lorac_node_input(node, 0));
}

static enum lorac_status lower_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                    struct lorac_error *error)
{
    if (lorac_branch_nodes_has(&lowering->branch_nodes, node))
        return lower_branch_node(lowering, node, error);
    if (is_constant_node(lowering, node))
        return define_constants(lowering, node, error);
    bool default_domain = !node->domain || !node->domain[0] || strcmp(node->domain, "ai.onnx") == 0;
    const struct lorac_kernel *kernel = default_domain ? lorac_kernel_find(node->op_type) : NULL;
    if (!kernel)
        return refuse_operator(node, error);
    struct lorac_step step = lorac_lowering_step(kernel, node);
    LORAC_TRY(kernel->lower(lowering, node, &step, error));
    return step.kernel ? lorac_program_add_step(lowering->program, &step, error) : LORAC_OK;
}

// ---- the end of the graph

static bool ends_in_softmax(const struct lorac_program *program, uint32_t value)
{
    if (program->step_count == 0)
        return false;
    const struct lorac_step *last = &program->steps[program->step_count - 1];
    return last->output == value && last->kernel->is_left_out && last->kernel->is_left_out(last);
}

// One dimension larger than 1 is a row of memory, whatever axis the graph made of it: class scores.
static bool make_row(struct lorac_value *value)
{
    size_t count = value->h * value->w * value->c;
    if (count != value->h && count != value->w && count != value->c)
        return false;
    value->h = value->w = 1;
    value->c = count;
    return true;
}

static enum lorac_status define_output(struct lorac_lowering *lowering, struct lorac_error *error)
{
    struct lorac_program *program = lowering->program;
    const char *name = lowering->output;
    const struct lorac_entry *entry = lorac_lowering_entry(lowering, name);
    if (!entry || entry->kind != LORAC_ENTRY_ACTIVATION || entry->value == program->input)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "output '%s' does not depend on the images", name);
    program->output = program->logits = entry->value;
    program->forward_step_count_to_logits = program->step_count;
    if (ends_in_softmax(program, entry->value)) {
        program->forward_step_count_to_logits--;
        program->logits = program->steps[program->step_count - 1].inputs[0];
    }
    struct lorac_value *output = &program->values[program->output];
    if (output->n != program->batch || !make_row(output) || !make_row(&program->values[program->logits]))
        return lorac_error_set(
            error, LORAC_ERROR_UNSUPPORTED,
            "output '%s' is %zu x %zu x %zu x %zu (N, C, H, W); one row of class scores per image is "
            "supported",
            name, output->n, output->c, output->h, output->w);
    return LORAC_OK;
}

static enum lorac_status check_trainables_found(const struct lorac_lowering *lowering, struct lorac_error *error)
{
    const struct lorac_meta *meta = lowering->meta;
    for (size_t i = 0; lowering->options->training && i < meta->trainable_count; i++) {
        size_t number = lorac_name_table_find(&lowering->names, meta->trainable[i]);
        if (number == LORAC_NO_NAME || lowering->entries[number].param == LORAC_NO_ID)
            return lorac_error_set(
                error, LORAC_ERROR_MISMATCH,
                "tensor '%s' is listed in lorac.trainable, but no node that can be trained reads it; "
                "inject the base model again",
                meta->trainable[i]);
    }
    return LORAC_OK;
}

static enum lorac_status ask_memory(struct lorac_program *program, struct lorac_error *error)
{
    for (size_t i = 0; i < program->step_count; i++) {
        struct lorac_step *step = &program->steps[i];
        if (step->kernel->memory)
            LORAC_TRY(step->kernel->memory(program, step, error));
    }
    return LORAC_OK;
}

// ---- entry points

static enum lorac_status begin(struct lorac_lowering *lowering, struct lorac_model *model,
                               const struct lorac_meta *meta, const struct lorac_lower_options *options,
                               struct lorac_error *error)
{
    memset(lowering, 0, sizeof(*lowering));
    lorac_name_table_init(&lowering->names);
    lorac_name_table_init(&lowering->trainables);
    lorac_constant_begin(model);
    if (options->batch == 0 || options->batch > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "a batch of %zu images; it must be 1 to 2147483647",
                               options->batch);
    LORAC_TRY(lorac_meta_output(model, meta, NULL, &lowering->output, error));
    struct lorac_arena *arena = lorac_arena_create();
    struct lorac_program *program = arena ? lorac_arena_alloc(arena, sizeof(*program)) : NULL;
    lowering->scratch = lorac_arena_create();
    if (!program || !lowering->scratch) {
        lorac_arena_free(arena);
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory while lowering the model");
    }
    program->arena = arena;
    program->model = model;
    program->meta = meta;
    program->batch = options->batch;
    program->training = options->training;
    program->exact = options->exact;
    program->form_policy = options->form_policy;
    program->choices = options->choices;
    program->packed_limit = options->packed_limit;
    program->recompute_segments = options->recompute_segments;
    program->bn_train = options->training && meta->injected && meta->bn == LORAC_BN_TRAIN;
    lowering->model = model;
    lowering->meta = meta;
    lowering->options = options;
    lowering->program = program;
    LORAC_TRY(lorac_lowering_read_meta(lowering, error));
    return lorac_branch_nodes_list(model, meta, lowering->scratch, &lowering->branch_nodes, error);
}

static void free_tables(struct lorac_lowering *lowering)
{
    lorac_arena_free(lowering->scratch);
    lorac_name_table_free(&lowering->names);
    lorac_name_table_free(&lowering->trainables);
}

static enum lorac_status lower_all(struct lorac_lowering *lowering, struct lorac_error *error)
{
    bool *needed;
    LORAC_TRY(define_initializers(lowering, error));
    LORAC_TRY(define_input(lowering, error));
    LORAC_TRY(mark_needed(lowering, &needed, error));
    const Onnx__GraphProto *graph = lowering->model->proto->graph;
    for (size_t i = 0; i < graph->n_node; i++)
        if (needed[i])
            LORAC_TRY(lower_node(lowering, graph->node[i], error));
    LORAC_TRY(define_output(lowering, error));
    LORAC_TRY(check_trainables_found(lowering, error));
    LORAC_TRY(lorac_absorb_steps(lowering->program, error));
    LORAC_TRY(lorac_differentiate_mark(lowering->program, error));
    LORAC_TRY(ask_memory(lowering->program, error));
    LORAC_TRY(lorac_differentiate(lowering->program, error));
    LORAC_TRY(lorac_recompute(lowering->program, lowering->options->recompute_segments, error));
    LORAC_TRY(lorac_alias_in_place(lowering->program, error));
    return lorac_fuse_clamps(lowering->program, error);
}

enum lorac_status lorac_lower(struct lorac_model *model, const struct lorac_meta *meta,
                              const struct lorac_lower_options *options, struct lorac_program **out,
                              struct lorac_error *error)
{
    struct lorac_lowering lowering;
    enum lorac_status status = begin(&lowering, model, meta, options, error);
    if (status == LORAC_OK)
        status = lower_all(&lowering, error);
    free_tables(&lowering);
    if (status != LORAC_OK) {
        lorac_program_free(lowering.program);
        return status;
    }
    *out = lowering.program;
    return LORAC_OK;
}

// ---- refusals, for inspect

// After a refused node nothing is known of what follows; an operator that is not there at all can still be told.
static enum lorac_status try_node(struct lorac_lowering *lowering, const Onnx__NodeProto *node,
                                  struct lorac_error *refusal)
{
    if (lorac_branch_nodes_has(&lowering->branch_nodes, node) || look_at_inputs(lowering, node) != INPUTS_UNKNOWN)
        return lower_node(lowering, node, refusal);
    if (!lorac_constant_knows(node) && !lorac_kernel_find(node->op_type))
        return refuse_operator(node, refusal);
    return mark_unknown(lowering, node, refusal);
}

static enum lorac_status collect(struct lorac_lowering *lowering, size_t *count, struct lorac_refusal **rows,
                                 struct lorac_error *error)
{
    const Onnx__GraphProto *graph = lowering->model->proto->graph;
    struct lorac_arena *arena = lowering->model->arena;
    bool *needed;
    LORAC_TRY(define_initializers(lowering, error));
    LORAC_TRY(define_input(lowering, error));
    LORAC_TRY(mark_needed(lowering, &needed, error));
    *rows = lorac_arena_alloc_array(arena, graph->n_node + 1, sizeof(**rows));
    *count = 0;
    if (!*rows)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the list of nodes");
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        struct lorac_error refusal = {0};
        if (!needed[i] || try_node(lowering, node, &refusal) == LORAC_OK)
            continue;
        char *reason = lorac_arena_strdup(arena, refusal.message);
        if (!reason)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the list of nodes");
        (*rows)[(*count)++] = (struct lorac_refusal){lorac_node_name(node), node->op_type, reason};
        LORAC_TRY(mark_unknown(lowering, node, error));
    }
    return LORAC_OK;
}

enum lorac_status lorac_lower_refusals(struct lorac_model *model, const struct lorac_meta *meta,
                                       const struct lorac_lower_options *options, size_t *count,
                                       struct lorac_refusal **rows, struct lorac_error *error)
{
    struct lorac_lowering lowering;
    enum lorac_status status = begin(&lowering, model, meta, options, error);
    if (status == LORAC_OK)
        status = collect(&lowering, count, rows, error);
    free_tables(&lowering);
    lorac_program_free(lowering.program);
    return status;
}
