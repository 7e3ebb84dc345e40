// Conv, with or without a LoRA-C adapter, which is run in one of two forms. By the method's definition
// W = W0 + s * view(B @ A) is built whenever A or B changed, and the gradients of A and B come from the dense gradient
// of W. As a branch (conv_branch.h) W0 is packed once and the adapter runs beside it.
//
// A BatchNormalization behind it that never changes is folded into whatever is packed (conv_norm.h).
//
// A 1-D convolution, of a row [N, C, W] with a weight [M, C/g, kw], is one of an image of height 1.
#include "conv_branch.h"
#include "conv_choice.h"
#include "conv_step.h"

#include "conv_norm.h"
#include "elementwise.h"
#include "kernel_list.h"

#include <stdlib.h>
#include <string.h>

struct conv_state {
    void *forward, *gradient; // the algorithms' own
    struct lorac_branch_state *branch;
    struct lorac_conv_norm *norm; // NULL: none
};

// ---- memory

static bool param_trainable(const struct lorac_program *program, const struct lorac_step *step, size_t i)
{
    const struct lorac_param *param = lorac_step_param(program, step, i);
    return param && param->trainable;
}

static bool needs_weight_gradient(const struct lorac_program *program, const struct lorac_step *step)
{
    return param_trainable(program, step, 0) || param_trainable(program, step, 2) || param_trainable(program, step, 3);
}

// Of the weight, for one output.
static size_t row_floats(const struct conv *conv)
{
    return lorac_conv_weight_count(&conv->shape) / conv->shape.M;
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

static bool describe(const struct lorac_program *program, const struct lorac_step *step, char *text)
{
    const struct conv *conv = step->config;
    struct lorac_conv_case described = {.shape = &conv->shape,
                                        .gradient = program->values[step->inputs[0]].needs_gradient,
                                        .R = conv->adapted ? conv->adapter.R : 0,
                                        .exact = program->exact,
                                        .form_policy = program->form_policy,
                                        .packed_limit = program->packed_limit};
    for (size_t i = 0; i < 4; i++)
        described.trains[i] = param_trainable(program, step, i);
    return lorac_conv_case_text(&described, text);
}

// What was measured; NULL: nothing.
static const struct lorac_choice_row *measured(const struct lorac_program *program, const struct lorac_step *step)
{
    char text[LORAC_CHOICE_STEP];
    return program->choices && describe(program, step, text) ? lorac_choices_find(program->choices, text) : NULL;
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

static double time_of(const struct lorac_conv_algorithm *algorithm)
{
    return !algorithm ? 0 : algorithm->relative_time > 0 ? algorithm->relative_time : 1;
}

// Only where the adapter is all that is trained here; in use the adapter costs nothing once it is in the weight.
static bool can_be_branch(const struct lorac_program *program, const struct lorac_step *step, const struct conv *conv,
                          struct lorac_conv_branch *branch)
{
    return conv->adapted && step->has_trainable && program->form_policy != LORAC_FORM_POLICY_DEFINITION &&
           !param_trainable(program, step, 0) && !param_trainable(program, step, 1) &&
           lorac_conv_branch_init(branch, &conv->shape, &conv->adapter);
}

static bool choose_branch(const struct lorac_program *program, const struct lorac_step *step, struct conv *conv,
                          const struct lorac_choice_row *row, struct choice definition, struct choice frozen)
{
    if (!can_be_branch(program, step, conv, &conv->branch))
        return false;
    conv->branch.trains_a = param_trainable(program, step, 2);
    conv->branch.trains_b = param_trainable(program, step, 3);
    conv->branch.wants_dx = frozen.gradient != NULL;
    conv->branch.beside = frozen.forward->beside != NULL;
    if (conv->branch.beside && frozen.forward->beside->products > 0)
        conv->branch.down_products = frozen.forward->beside->products;
    conv->branch.merged = lorac_conv_merges(&conv->branch, frozen.forward, frozen.gradient);
    if (program->form_policy == LORAC_FORM_POLICY_AUTO && row && row->form[0])
        return strcmp(row->form, "branch") == 0;
    return program->form_policy == LORAC_FORM_POLICY_BRANCH ||
           lorac_conv_branch_is_cheaper(&conv->branch,
                                        time_of(definition.forward) + time_of(definition.gradient),
                                        time_of(frozen.forward) + time_of(frozen.gradient));
}

static void keep_param(struct lorac_program *program, const struct lorac_step *step, size_t i)
{
    if (step->params[i] != LORAC_NO_ID)
        program->params[step->params[i]].kept = true;
}

static bool packs_at_run(const struct conv *conv)
{
    return conv->forward->pack || (conv->gradient && conv->gradient->pack);
}

static bool packs_ahead(const struct conv *conv)
{
    return !conv->forward->pack || (conv->gradient && !conv->gradient->pack);
}

// What packs before each run builds its weight again each time: W0 comes from the model where that can be done.
static void keep_weight_to_pack(struct lorac_program *program, const struct lorac_step *step, const struct conv *conv)
{
    if (!packs_at_run(conv))
        return;
    if (!lorac_param_is_rereadable(lorac_step_param(program, step, 0)))
        keep_param(program, step, 0);
    for (size_t i = 2; !conv->is_branch && i < LORAC_CONV_PARAMS; i++)
        keep_param(program, step, i);
}

// Whether the weight that is packed is not the model's own, or is read again.
static bool builds(const struct conv *conv)
{
    return conv->normed || (conv->adapted && !conv->is_branch) || packs_at_run(conv);
}

// Workspace of packing: the weight that is built, then the same in another order.
static size_t packing_floats(const struct conv *conv)
{
    const bool reorders = conv->forward->reorders || (conv->gradient && conv->gradient->reorders);
    return lorac_conv_weight_count(&conv->shape) * ((size_t)builds(conv) + (size_t)reorders);
}

// Of gain * B, where there is a gain.
static size_t normed_b_floats(const struct conv *conv)
{
    return conv->normed ? conv->adapter.rows * conv->adapter.R : 0;
}

// Workspace beside the algorithms' and packing's, and what is kept.
static size_t memory_of_branch(struct lorac_program *program, struct lorac_step *step, const struct conv *conv)
{
    step->keeps_inputs = conv->branch.trains_a;
    step->kept_bytes = lorac_conv_branch_kept_bytes(&conv->branch);
    keep_param(program, step, 2);
    keep_param(program, step, 3);
    size_t bytes = lorac_conv_branch_workspace_bytes(&conv->branch);
    size_t packing = normed_b_floats(conv) * sizeof(float);
    if (conv->branch.merged)
        packing += conv->gradient->merge->scratch_bytes(&conv->branch);
    bytes = largest(bytes, packing);
    return conv->branch.beside ? largest(bytes, conv->forward->beside->scratch_bytes(&conv->branch)) : bytes;
}

static size_t memory_of_definition(struct lorac_program *program, struct lorac_step *step, const struct conv *conv)
{
    const struct lorac_conv_shape *shape = &conv->shape;
    size_t count = lorac_conv_weight_count(shape), rows = shape->N * shape->OH * shape->OW;
    step->keeps_inputs = needs_weight_gradient(program, step);
    for (size_t i = packs_at_run(conv) ? 1 : 0; step->has_trainable && i < LORAC_CONV_PARAMS; i++)
        keep_param(program, step, i);
    size_t bytes = 0;
    if (step->keeps_inputs) {
        size_t floats = count + lorac_conv_weight_gradient_workspace(shape);
        floats += conv->adapted ? conv->adapter.R * conv->adapter.columns : 0;
        bytes = largest(bytes, floats * sizeof(float));
    }
    return param_trainable(program, step, 1) ? largest(bytes, lorac_column_workspace(rows, shape->M)) : bytes;
}

static enum lorac_status memory(struct lorac_program *program, struct lorac_step *step, struct lorac_error *error)
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
    step->reread_bytes = packs_at_run(conv) && !weight->kept ? weight->count * sizeof(float) : 0;
    step->create_scratch_bytes = packs_ahead(conv) ? packing_floats(conv) * sizeof(float) : 0;
    bytes = largest(bytes, packing_floats(conv) * sizeof(float));
    add_workspace(step, conv->forward, &conv->shape, &bytes);
    add_workspace(step, conv->gradient, &conv->shape, &bytes);
    step->scratch_bytes = bytes;
    return LORAC_OK;
}

static size_t packed_bytes(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct conv *conv = step->config;
    bool packs_twice = conv->gradient && !lorac_conv_borrows(&conv->shape, conv->forward, conv->gradient);
    return conv->forward->packed_bytes(&conv->shape) + (packs_twice ? conv->gradient->packed_bytes(&conv->shape) : 0) +
           (conv->is_branch ? lorac_conv_branch_packed_bytes(&conv->branch) : 0) +
           (conv->is_branch && conv->branch.beside ? conv->forward->beside->packed_bytes(&conv->branch) : 0) +
           (conv->normed ? lorac_conv_norm_bytes(conv->shape.M) : 0);
}

static size_t multiply_adds(const struct lorac_program *program, const struct lorac_step *step)
{
    (void)program;
    const struct lorac_conv_shape *s = &((const struct conv *)step->config)->shape;
    return s->N * s->OH * s->OW * lorac_conv_weight_count(s);
}

static const char *algorithm(const struct lorac_step *step, bool backward)
{
    const struct conv *conv = step->config;
    const struct lorac_conv_algorithm *used = backward ? conv->gradient : conv->forward;
    return used ? used->name : NULL;
}

static const char *candidate(const struct lorac_program *program, const struct lorac_step *step, bool branch,
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

static double relative_time(const struct lorac_step *step, bool backward)
{
    const struct conv *conv = step->config;
    return time_of(backward ? conv->gradient : conv->forward);
}

// ---- life

static void destroy(struct lorac_step *step)
{
    const struct conv *conv = step->config;
    struct conv_state *state = step->state;
    if (!state)
        return;
    if (conv->gradient) // first: it may borrow from the other
        conv->gradient->destroy(state->gradient);
    if (conv->forward)
        conv->forward->destroy(state->forward);
    lorac_conv_branch_free(state->branch);
    lorac_conv_norm_free(state->norm);
    free(state);
    step->state = NULL;
}

// Packs [weight] for the convolution and its input gradient. [packing]: scratch for as many floats, where one reorders.
static enum lorac_status pack_weight(struct lorac_step *step, const float *weight, float *packing,
                                     const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    struct conv_state *state = step->state;
    const struct lorac_param *param = lorac_step_param(env->program, step, 1);
    const float *bias = param ? param->data : NULL;
    if (state->norm)
        bias = lorac_conv_norm_bias(state->norm, bias);
    const struct lorac_conv_finish finish = {.bias = bias, .low = conv->low, .high = conv->high};
    const struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL);
    // The old ones go first: both at once would double the memory of packed weights for a moment.
    if (conv->gradient)
        conv->gradient->destroy(state->gradient);
    state->gradient = NULL;
    conv->forward->destroy(state->forward);
    state->forward = NULL;
    LORAC_TRY(conv->forward->create(&conv->shape, weight, &finish, packing, step->x[0], step->y, env, &state->forward,
                                    error));
    if (!conv->gradient)
        return LORAC_OK;
    if (lorac_conv_borrows(&conv->shape, conv->forward, conv->gradient))
        return conv->gradient->create_borrowing(&conv->shape, state->forward, &plain, step->dy, step->dx[0], env,
                                                &state->gradient, error);
    return conv->gradient->create(&conv->shape, weight, &plain, packing, step->dy, step->dx[0], env, &state->gradient,
                                  error);
}

// What the convolution computes with: by the definition the adapter is in it, and so is what is folded in. In [built],
// where it is not the parameter itself.
static const float *build_weight(const struct lorac_step *step, float *built, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    const float *weight = lorac_param_floats(env->program, lorac_step_param(env->program, step, 0), built);
    if (conv->adapted && !conv->is_branch) {
        lorac_conv_adapter_weight(&conv->adapter, weight, lorac_step_param(env->program, step, 2)->data,
                                  lorac_step_param(env->program, step, 3)->data, built, env);
        weight = built;
    }
    if (state->norm) {
        lorac_conv_norm_rows(state->norm, weight, built, row_floats(conv), env);
        weight = built;
    }
    return weight;
}

static enum lorac_status rebuild(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    float *built = env->workspace, *packing = built + (builds(conv) ? lorac_conv_weight_count(&conv->shape) : 0);
    return pack_weight(step, packs_ahead(conv) ? build_weight(step, built, env) : NULL, packing, env, error);
}

// [algorithm]: one of the two, with its own state.
static void run_algorithm(const struct lorac_step *step, const struct lorac_conv_algorithm *algorithm, void *state,
                          const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    if (algorithm->pack) {
        float *behind = (float *)env->workspace + algorithm->workspace_bytes(&conv->shape) / sizeof(float);
        algorithm->pack(state, build_weight(step, behind, env), env);
    }
    algorithm->run(state, env);
}

// What the branch adds by: B, or gain * B, at the beginning of the workspace.
static const float *branch_b(const struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    const float *b = lorac_step_param(env->program, step, 3)->data;
    if (!state->norm)
        return b;
    lorac_conv_norm_rows(state->norm, b, env->workspace, conv->branch.blocks * conv->branch.R, env);
    return env->workspace;
}

static void pack_branch_b(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    const float *b = branch_b(step, env);
    lorac_conv_branch_pack_b(state->branch, b);
    if (conv->branch.beside)
        conv->forward->beside->pack_b(state->forward, b);
}

static void pack_branch_a(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    const float *a = lorac_step_param(env->program, step, 2)->data;
    lorac_conv_branch_pack_a(state->branch, a);
    if (conv->branch.beside)
        conv->forward->beside->pack_a(state->forward, a, env->workspace, env);
}

// Into the gradient's weights, where they have both.
static void merge_branch(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    if (!conv->branch.merged)
        return;
    float *scratch = (float *)env->workspace + normed_b_floats(conv);
    conv->gradient->merge->pack(state->gradient, state->forward, &conv->branch,
                                lorac_step_param(env->program, step, 2)->data, branch_b(step, env), scratch, env);
}

static enum lorac_status create_norm(const struct lorac_step *step, const struct lorac_kernel_env *env,
                                     struct lorac_error *error)
{
    const struct conv *conv = step->config;
    struct conv_state *state = step->state;
    const struct lorac_param *params[LORAC_BATCH_NORM_PARAMS];
    for (size_t i = 0; i < LORAC_BATCH_NORM_PARAMS; i++)
        params[i] = lorac_step_param(env->program, step, LORAC_CONV_PARAMS + i);
    return lorac_conv_norm_create(params, conv->norm_epsilon, conv->shape.M, &state->norm, error);
}

static enum lorac_status create(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    struct conv_state *state = calloc(1, sizeof(*state));
    if (!state)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for node '%s'", step->name);
    step->state = state;
    if (conv->normed)
        LORAC_TRY(create_norm(step, env, error));
    LORAC_TRY(rebuild(step, env, error));
    if (!conv->is_branch)
        return LORAC_OK;
    LORAC_TRY(lorac_conv_branch_create(&conv->branch, &state->branch, error));
    if (conv->branch.beside)
        LORAC_TRY(conv->forward->beside->attach(state->forward, &conv->branch, step->kept, error));
    pack_branch_a(step, env);
    pack_branch_b(step, env);
    merge_branch(step, env);
    return LORAC_OK;
}

static enum lorac_status refresh(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    if (!conv->is_branch)
        return packs_ahead(conv) || param_trainable(env->program, step, 1) ? rebuild(step, env, error) : LORAC_OK;
    if (conv->branch.trains_a)
        pack_branch_a(step, env);
    if (conv->branch.trains_b)
        pack_branch_b(step, env);
    if (conv->branch.trains_a || conv->branch.trains_b)
        merge_branch(step, env);
    return LORAC_OK;
}

static void forward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    run_algorithm(step, conv->forward, state->forward, env);
    if (conv->is_branch && !conv->branch.beside)
        lorac_conv_branch_forward(state->branch, step->x[0], step->kept, step->y, env);
}

static float *gradient_of(struct lorac_param *param)
{
    return param && param->trainable ? param->gradient : NULL;
}

static void weight_backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    size_t count = lorac_conv_weight_count(&conv->shape);
    float *dw = env->workspace, *workspace = dw + count;
    lorac_conv_weight_gradient(&conv->shape, step->x[0], step->dy, dw, workspace, env);
    if (state->norm)
        lorac_conv_norm_rows(state->norm, dw, dw, row_floats(conv), env);
    struct lorac_param *weight = lorac_step_param(env->program, step, 0);
    if (weight->trainable)
        lorac_add_into(weight->gradient, dw, count, env);
    struct lorac_param *a = lorac_step_param(env->program, step, 2), *b = lorac_step_param(env->program, step, 3);
    if (conv->adapted)
        lorac_conv_adapter_gradient(&conv->adapter, dw, a->data, b->data, gradient_of(a), gradient_of(b), workspace,
                                    env);
}

static void backward_of_definition(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct lorac_conv_shape *s = &((const struct conv *)step->config)->shape;
    const struct conv_state *state = step->state;
    if (step->keeps_inputs)
        weight_backward(step, env);
    float *bias_gradient = gradient_of(lorac_step_param(env->program, step, 1));
    if (bias_gradient)
        lorac_bias_gradient(step->dy, s->N * s->OH * s->OW, s->M, state->norm ? state->norm->gain : NULL, bias_gradient,
                            env->workspace, env);
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    if (!conv->is_branch)
        backward_of_definition(step, env);
    if (step->dx[0])
        run_algorithm(step, conv->gradient, state->gradient, env);
    if (!conv->is_branch)
        return;
    const struct lorac_branch_backward call = {.x = step->x[0],
                                               .h = step->kept,
                                               .dy = step->dy,
                                               .dx = step->dx[0],
                                               .da = gradient_of(lorac_step_param(env->program, step, 2)),
                                               .db = gradient_of(lorac_step_param(env->program, step, 3)),
                                               .gain = state->norm ? state->norm->gain : NULL};
    lorac_conv_branch_backward(state->branch, &call, env);
}

static const char *form(const struct lorac_step *step)
{
    const struct conv *conv = step->config;
    return !conv->adapted ? NULL : conv->is_branch ? "branch" : "definition";
}

// A branch that runs after the convolution adds to what that made of W0: its sum can be clamped only behind it.
static bool take_clamp(struct lorac_step *step, float low, float high)
{
    struct conv *conv = step->config;
    if (conv->is_branch && !conv->branch.beside)
        return false;
    conv->low = low;
    conv->high = high;
    return true;
}

const struct lorac_kernel lorac_kernel_conv = {
    .op_type = "Conv",
    .lower = lorac_conv_lower,
    .absorb = lorac_conv_absorb,
    .memory = memory,
    .create = create,
    .refresh = refresh,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = packed_bytes,
    .algorithm = algorithm,
    .relative_time = relative_time,
    .form = form,
    .describe = describe,
    .candidate = candidate,
    .multiply_adds = multiply_adds,
    .take_clamp = take_clamp,
};
