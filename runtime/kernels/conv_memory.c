// What a Conv step is run by, the memory that it needs for that, and what else is told of it before it runs.
#include "conv_branch.h"
#include "conv_choice.h"
#include "conv_norm.h"
#include "conv_step.h"

#include <string.h>

static bool needs_weight_gradient(const struct lorac_program *program, const struct lorac_step *step)
{
    return lorac_conv_trains(program, step, 0) || lorac_conv_trains(program, step, 2) ||
           lorac_conv_trains(program, step, 3);
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void add_workspace(struct lorac_step *step, const struct lorac_conv_algorithm *algorithm,
                          const struct lorac_conv_shape *shape, size_t *bytes)
{
    const size_t weight = algorithm && algorithm->pack ? lorac_conv_weight_count(shape) * sizeof(float) : 0;
    if (algorithm && algorithm->workspace_bytes)
        *bytes = largest(*bytes, algorithm->workspace_bytes(shape) + weight);
    if (algorithm && algorithm->thread_workspace_bytes)
        step->thread_scratch_bytes = largest(step->thread_scratch_bytes, algorithm->thread_workspace_bytes(shape));
}

// The algorithms of the convolution and of its input gradient, where one is needed.
struct choice {
    const struct lorac_conv_algorithm *forward, *gradient;
};

static struct lorac_conv_demand demand_of(const struct lorac_program *program, bool changing)
{
    return (struct lorac_conv_demand){
        .exact = program->exact, .changing = changing, .packed_limit = program->packed_limit};
}

bool lorac_conv_describe(const struct lorac_program *program, const struct lorac_step *step, char *text)
{
    const struct conv *conv = step->config;
    struct lorac_conv_case described = {.shape = &conv->shape,
                                        .gradient = program->values[step->inputs[0]].needs_gradient,
                                        .R = conv->adapted ? conv->adapter.R : 0,
                                        .exact = program->exact,
                                        .form_policy = program->form_policy,
                                        .packed_limit = program->packed_limit};
    for (size_t i = 0; i < 4; i++)
        described.trains[i] = lorac_conv_trains(program, step, i);
    return lorac_conv_case_text(&described, text);
}

// What was measured; NULL: nothing.
static const struct lorac_choice_row *measured(const struct lorac_program *program, const struct lorac_step *step)
{
    char text[LORAC_CHOICE_STEP];
    const bool described = program->choices && lorac_conv_describe(program, step, text);
    return described ? lorac_choices_find(program->choices, text) : NULL;
}

static struct choice choose(const struct lorac_program *program, const struct lorac_step *step,
                            const struct lorac_choice_row *row, bool changing)
{
    const struct lorac_conv_shape *shape = &((const struct conv *)step->config)->shape;
    const struct lorac_conv_demand demand = demand_of(program, changing);
    struct choice choice = {0};
    if (row)
        choice.forward = lorac_conv_algorithm_named(false, row->forward, shape, &demand);
    if (!choice.forward)
        choice.forward = lorac_conv_forward_algorithm(shape, &demand);
    if (!program->values[step->inputs[0]].needs_gradient)
        return choice;
    if (row)
        choice.gradient = lorac_conv_algorithm_named(true, row->gradient, shape, &demand);
    if (!choice.gradient)
        choice.gradient = lorac_conv_gradient_algorithm(shape, &demand);
    return choice;
}

static double time_of(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape)
{
    if (!algorithm)
        return 0;
    if (algorithm->relative_time_of)
        return algorithm->relative_time_of(shape);
    return algorithm->relative_time > 0 ? algorithm->relative_time : 1;
}

static double time_of_both(const struct choice *choice, const struct lorac_conv_shape *shape)
{
    return time_of(choice->forward, shape) + time_of(choice->gradient, shape);
}

// Only where the adapter is all that is trained here; in use the adapter costs nothing once it is in the weight.
static bool can_be_branch(const struct lorac_program *program, const struct lorac_step *step, const struct conv *conv,
                          struct lorac_conv_branch *branch)
{
    return conv->adapted && step->has_trainable && program->form_policy != LORAC_FORM_POLICY_DEFINITION &&
           !lorac_conv_trains(program, step, 0) && !lorac_conv_trains(program, step, 1) &&
           lorac_conv_branch_init(branch, &conv->shape, &conv->adapter);
}

static bool choose_branch(const struct lorac_program *program, const struct lorac_step *step, struct conv *conv,
                          const struct lorac_choice_row *row, struct choice definition, struct choice frozen)
{
    if (!can_be_branch(program, step, conv, &conv->branch))
        return false;
    conv->branch.trains_a = lorac_conv_trains(program, step, 2);
    conv->branch.trains_b = lorac_conv_trains(program, step, 3);
    conv->branch.wants_dx = frozen.gradient != NULL;
    conv->branch.beside = frozen.forward->beside != NULL;
    if (conv->branch.beside && frozen.forward->beside->products > 0)
        conv->branch.down_products = frozen.forward->beside->products;
    conv->branch.merged = lorac_conv_merges(&conv->branch, frozen.forward, frozen.gradient);
    const struct lorac_conv_demand demand = demand_of(program, true);
    const struct lorac_conv_weight_gradient *dense = lorac_conv_weight_gradient(&conv->shape, &demand);
    conv->branch.gives_dh = frozen.gradient && frozen.gradient->beside_back &&
                            frozen.gradient->beside_back->supports(&conv->branch);
    if (program->form_policy == LORAC_FORM_POLICY_AUTO && row && row->form[0])
        return strcmp(row->form, "branch") == 0;
    return program->form_policy == LORAC_FORM_POLICY_BRANCH ||
           lorac_conv_branch_is_cheaper(&conv->branch,
                                        time_of_both(&definition, &conv->shape) + dense->relative_time(&conv->shape),
                                        time_of_both(&frozen, &conv->shape));
}

static void keep_param(struct lorac_program *program, const struct lorac_step *step, size_t i)
{
    if (step->params[i] != LORAC_NO_ID)
        program->params[step->params[i]].kept = true;
}

// What packs before each run builds its weight again each time: W0 comes from the model where that can be done.
static void keep_weight_to_pack(struct lorac_program *program, const struct lorac_step *step, const struct conv *conv)
{
    if (!lorac_conv_packs_at_run(conv))
        return;
    if (!lorac_param_is_rereadable(lorac_step_param(program, step, 0)))
        keep_param(program, step, 0);
    for (size_t i = 2; !conv->is_branch && i < LORAC_CONV_PARAMS; i++)
        keep_param(program, step, i);
}

// Workspace of packing: the weight that is built, then the same in another order.
static size_t packing_floats(const struct conv *conv)
{
    const bool reorders = conv->forward->reorders || (conv->gradient && conv->gradient->reorders);
    return lorac_conv_weight_count(&conv->shape) * ((size_t)lorac_conv_builds(conv) + (size_t)reorders);
}

// Workspace beside the algorithms' and packing's, and what is kept.
static size_t memory_of_branch(struct lorac_program *program, struct lorac_step *step, const struct conv *conv)
{
    step->keeps_inputs = conv->branch.trains_a;
    step->kept_bytes = lorac_conv_branch_kept_bytes(&conv->branch);
    keep_param(program, step, 2);
    keep_param(program, step, 3);
    size_t bytes = lorac_conv_branch_workspace_bytes(&conv->branch);
    size_t packing = lorac_conv_normed_b_floats(conv) * sizeof(float);
    if (conv->branch.merged)
        packing += conv->gradient->merge->scratch_bytes(&conv->branch);
    bytes = largest(bytes, packing);
    return conv->branch.beside ? largest(bytes, conv->forward->beside->scratch_bytes(&conv->branch)) : bytes;
}

static size_t memory_of_definition(struct lorac_program *program, struct lorac_step *step, struct conv *conv)
{
    const struct lorac_conv_shape *shape = &conv->shape;
    size_t rows = shape->N * shape->OH * shape->OW;
    step->keeps_inputs = needs_weight_gradient(program, step);
    for (size_t i = lorac_conv_packs_at_run(conv) ? 1 : 0; step->has_trainable && i < LORAC_CONV_PARAMS; i++)
        keep_param(program, step, i);
    size_t bytes = 0;
    if (step->keeps_inputs) {
        const struct lorac_conv_demand demand = demand_of(program, true);
        conv->dense = lorac_conv_weight_gradient(shape, &demand);
        size_t behind = largest(conv->dense->workspace_bytes(shape),
                                conv->adapted ? conv->adapter.R * conv->adapter.columns * sizeof(float) : 0);
        bytes = largest(bytes, lorac_conv_dense_floats(conv) * sizeof(float) + behind);
        if (conv->dense->thread_workspace_bytes)
            step->thread_scratch_bytes =
                largest(step->thread_scratch_bytes, conv->dense->thread_workspace_bytes(shape));
    }
    return lorac_conv_trains(program, step, 1) ? largest(bytes, lorac_column_workspace(rows, shape->M)) : bytes;
}

enum lorac_status lorac_conv_memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
{
    (void)error;
    struct conv *conv = step->config;
    const struct lorac_choice_row *row = measured(program, step);
    const struct choice frozen = choose(program, step, row, false);
    const struct choice definition = choose(program, step, row, needs_weight_gradient(program, step));
    conv->is_branch = choose_branch(program, step, conv, row, definition, frozen);
    const struct choice choice = conv->is_branch ? frozen : definition;
    conv->forward = choice.forward;
    conv->gradient = choice.gradient;
    size_t bytes = conv->is_branch ? memory_of_branch(program, step, conv) : memory_of_definition(program, step, conv);
    keep_weight_to_pack(program, step, conv);
    const struct lorac_param *weight = lorac_step_param(program, step, 0);
    step->reread_bytes = lorac_conv_packs_at_run(conv) && !weight->kept ? weight->count * sizeof(float) : 0;
    step->create_scratch_bytes = lorac_conv_packs_ahead(conv) ? packing_floats(conv) * sizeof(float) : 0;
    bytes = largest(bytes, packing_floats(conv) * sizeof(float));
    add_workspace(step, conv->forward, &conv->shape, &bytes);
    add_workspace(step, conv->gradient, &conv->shape, &bytes);
    step->scratch_bytes = bytes;
    return LORAC_OK;
}

size_t lorac_conv_packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct conv *conv = step->config;
    bool packs_twice = conv->gradient && !lorac_conv_borrows(&conv->shape, conv->forward, conv->gradient);
    return conv->forward->packed_bytes(&conv->shape) + (packs_twice ? conv->gradient->packed_bytes(&conv->shape) : 0) +
           (conv->is_branch ? lorac_conv_branch_packed_bytes(&conv->branch) : 0) +
           (conv->is_branch && conv->branch.gives_dh ? conv->gradient->beside_back->packed_bytes(&conv->branch) : 0) +
           (conv->is_branch && conv->branch.beside ? conv->forward->beside->packed_bytes(&conv->branch) : 0) +
           (conv->normed ? lorac_conv_norm_bytes(conv->shape.M) : 0);
}

const char *lorac_conv_candidate(const struct lorac_program *program, const struct lorac_step *step, bool branch,
                             bool backward, size_t i)
{
    const struct conv *conv = step->config;
    struct lorac_conv_branch unused;
    bool possible = can_be_branch(program, step, conv, &unused);
    if (branch ? !possible : possible && program->form_policy == LORAC_FORM_POLICY_BRANCH)
        return NULL;
    if (backward && !program->values[step->inputs[0]].needs_gradient)
        return NULL;
    const struct lorac_conv_demand demand = demand_of(program, !branch && needs_weight_gradient(program, step));
    size_t count;
    const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(backward, &count);
    for (size_t k = 0; k < count; k++)
        if (lorac_conv_algorithm_fits(list[k], &conv->shape, &demand) && i-- == 0)
            return list[k]->name;
    return NULL;
}

double lorac_conv_relative_time(const struct lorac_step *step, bool backward)
{
    const struct conv *conv = step->config;
    return time_of(backward ? conv->gradient : conv->forward, &conv->shape);
}
