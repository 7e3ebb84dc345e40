// Conv, with or without a LoRA-C adapter, which is run in one of two forms. By the method's definition
// W = W0 + s * view(B @ A) is built whenever A or B changed, and the gradients of A and B come from the dense gradient
// of W. As a branch (conv_branch.h) W0 is packed once and the adapter runs beside it.
//
// A BatchNormalization behind it that never changes is folded into whatever is packed (conv_norm.h).
//
// A 1-D convolution, of a row [N, C, W] with a weight [M, C/g, kw], is one of an image of height 1.
#include "conv_branch.h"
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

static enum lorac_status pack_forward(struct lorac_step *step, const float *weight, float *packing,
                                      const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    struct conv_state *state = step->state;
    const struct lorac_param *param = lorac_step_param(env->program, step, 1);
    const float *bias = param ? param->data : NULL;
    if (state->norm)
        bias = lorac_conv_norm_bias(state->norm, bias);
    const struct lorac_conv_finish finish = {.bias = bias, .low = conv->low, .high = conv->high};
    if (state->forward && conv->forward->repack) {
        conv->forward->repack(state->forward, weight, &finish, env);
        return LORAC_OK;
    }
    conv->forward->destroy(state->forward);
    state->forward = NULL;
    return conv->forward->create(&conv->shape, weight, &finish, packing, step->x[0], step->y, env, &state->forward,
                                 error);
}

// After pack_forward: what lends weights is packed in place, and so are those that were borrowed.
static enum lorac_status pack_gradient(struct lorac_step *step, const float *weight, float *packing,
                                       const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    struct conv_state *state = step->state;
    const struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL);
    const bool borrows = lorac_conv_borrows(&conv->shape, conv->forward, conv->gradient);
    if (state->gradient && conv->gradient->repack) {
        if (!borrows)
            conv->gradient->repack(state->gradient, weight, &plain, env);
        return LORAC_OK;
    }
    conv->gradient->destroy(state->gradient);
    state->gradient = NULL;
    if (borrows)
        return conv->gradient->create_borrowing(&conv->shape, state->forward, &plain, step->dy, step->dx[0], env,
                                                &state->gradient, error);
    return conv->gradient->create(&conv->shape, weight, &plain, packing, step->dy, step->dx[0], env, &state->gradient,
                                  error);
}

// Packs [weight] for the convolution and its input gradient, one after the other and each without its old one: both at
// once would double the memory of packed weights for a moment. [packing]: scratch for as many floats, where one
// reorders.
static enum lorac_status pack_weight(struct lorac_step *step, const float *weight, float *packing,
                                     const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    LORAC_TRY(pack_forward(step, weight, packing, env, error));
    return conv->gradient ? pack_gradient(step, weight, packing, env, error) : LORAC_OK;
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
        lorac_conv_norm_rows(state->norm, weight, built, lorac_conv_row_floats(conv), env);
        weight = built;
    }
    return weight;
}

static enum lorac_status rebuild(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    float *built = env->workspace;
    float *packing = built + (lorac_conv_builds(conv) ? lorac_conv_weight_count(&conv->shape) : 0);
    return pack_weight(step, lorac_conv_packs_ahead(conv) ? build_weight(step, built, env) : NULL, packing, env, error);
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
    if (conv->branch.gives_dh)
        conv->gradient->beside_back->pack_a(state->gradient, a);
}

// Into the gradient's weights, where they have both.
static void merge_branch(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    if (!conv->branch.merged)
        return;
    float *scratch = (float *)env->workspace + lorac_conv_normed_b_floats(conv);
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
    if (conv->branch.gives_dh)
        LORAC_TRY(conv->gradient->beside_back->attach(state->gradient, &conv->branch, step->kept, error));
    pack_branch_a(step, env);
    pack_branch_b(step, env);
    merge_branch(step, env);
    return LORAC_OK;
}

static enum lorac_status refresh(struct lorac_step *step, const struct lorac_kernel_env *env, struct lorac_error *error)
{
    const struct conv *conv = step->config;
    const bool packs = lorac_conv_packs_ahead(conv) || lorac_conv_trains(env->program, step, 1);
    if (!conv->is_branch)
        return packs ? rebuild(step, env, error) : LORAC_OK;
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
    float *dw = env->workspace, *workspace = dw + lorac_conv_dense_floats(conv);
    conv->dense->run(&conv->shape, step->x[0], step->dy, dw, workspace, env);
    if (state->norm)
        lorac_conv_norm_rows(state->norm, dw, dw, lorac_conv_row_floats(conv), env);
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

static void backward_of_branch(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv_state *state = step->state;
    const struct lorac_branch_backward call = {.x = step->x[0],
                                               .h = step->kept,
                                               .dy = step->dy,
                                               .dx = step->dx[0],
                                               .da = gradient_of(lorac_step_param(env->program, step, 2)),
                                               .db = gradient_of(lorac_step_param(env->program, step, 3)),
                                               .gain = state->norm ? state->norm->gain : NULL};
    lorac_conv_branch_backward(state->branch, &call, env);
}

static void backward(struct lorac_step *step, const struct lorac_kernel_env *env)
{
    const struct conv *conv = step->config;
    const struct conv_state *state = step->state;
    const bool is_first = !conv->is_branch || conv->branch.gives_dh; // else it adds to dx
    if (!conv->is_branch)
        backward_of_definition(step, env);
    else if (is_first)
        backward_of_branch(step, env);
    if (step->dx[0])
        run_algorithm(step, conv->gradient, state->gradient, env);
    if (!is_first)
        backward_of_branch(step, env);
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

static const char *weight_algorithm(const struct lorac_step *step)
{
    const struct conv *conv = step->config;
    return conv->dense ? conv->dense->name : NULL;
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
    .memory = lorac_conv_memory,
    .create = create,
    .refresh = refresh,
    .forward = forward,
    .backward = backward,
    .destroy = destroy,
    .packed_bytes = lorac_conv_packed_bytes,
    .algorithm = algorithm,
    .weight_algorithm = weight_algorithm,
    .relative_time = lorac_conv_relative_time,
    .form = form,
    .describe = lorac_conv_describe,
    .candidate = lorac_conv_candidate,
    .multiply_adds = multiply_adds,
    .take_clamp = take_clamp,
};
