#include "inspect.h"
#include "report.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/parallel.h"
#include "runtime/memory_budget.h"
#include "runtime/train/optimizer.h"

#include "proto/external.h"
#include "proto/model_inline.h"
#include "proto/size.h"

#include <stdlib.h>
#include <string.h>

// Totals that overflow are as good as infinite.
static void add(size_t *total, size_t value)
{
    if (!lorac_size_add(*total, value, total))
        *total = SIZE_MAX;
}

void lorac_conv_strides(const Onnx__NodeProto *node, int64_t strides[2])
{
    const int64_t *values;
    size_t count = lorac_node_ints(node, "strides", &values);
    strides[0] = count == 2 ? values[0] : 1;
    strides[1] = count == 2 ? values[1] : 1;
}

// ---- forward, one image

static void cost_of_row(const struct lorac_program *program, const struct lorac_conv_row *row,
                        struct lorac_conv_cost *cost)
{
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        if (step->node != row->node)
            continue;
        const struct lorac_value *output = lorac_step_output(program, step);
        const size_t multiply_adds = lorac_step_multiply_adds(program, step);
        *cost = (struct lorac_conv_cost){true, output->c, output->h, output->w, multiply_adds};
        return;
    }
}

static enum lorac_status count_forward(struct lorac_inspection *inspection, struct lorac_error *error)
{
    const struct lorac_size *size = &inspection->trial.size;
    const struct lorac_lower_options options = {.batch = 1, .height = size->height, .width = size->width};
    struct lorac_program *program = NULL;
    enum lorac_status status = lorac_lower(inspection->model, &inspection->meta, &options, &program, error);
    if (status != LORAC_OK)
        return status;
    const struct lorac_value *input = &program->values[program->input];
    if (!inspection->trial.chosen) { // a size that was only tried is none of the model's
        inspection->input.height = input->h;
        inspection->input.width = input->w;
    }
    inspection->classes = program->values[program->output].c;
    for (size_t i = 0; i < inspection->plan.row_count; i++)
        cost_of_row(program, &inspection->plan.rows[i], &inspection->costs[i]);
    for (size_t i = 0; i < program->step_count; i++)
        add(&inspection->multiply_adds, lorac_step_multiply_adds(program, &program->steps[i]));
    inspection->forward_known = true;
    lorac_program_free(program);
    return LORAC_OK;
}

// ---- one training step

// Forward, the gradient of the input where one is needed, and the dense gradient of the weight where it or an adapter
// in it is trained (the method's definition, whatever form the adapter is run in); then, once per step, the products of each adapter: B*A, and the gradients
// of B and, unless it is frozen, of A.
static enum lorac_status count_step(struct lorac_inspection *inspection, const struct lorac_program *program,
                                    struct lorac_error *error)
{
    size_t *total = &inspection->step_multiply_adds;
    for (size_t i = 0; i < program->forward_step_count_to_logits; i++) {
        const struct lorac_step *step = &program->steps[i];
        add(total, lorac_step_multiply_adds(program, step));
        add(total, lorac_step_backward_multiply_adds(program, step));
        if (lorac_step_is_branch(step))
            add(total, lorac_step_multiply_adds(program, step));
    }
    for (size_t i = 0; i < inspection->trained_meta.adapter_count; i++) {
        struct lorac_adapter_site site;
        LORAC_TRY(lorac_adapter_locate(inspection->trained, &inspection->trained_meta.adapters[i], inspection->trained->arena, &site, error));
        size_t product = SIZE_MAX;
        int64_t products = inspection->trained_meta.adapters[i].freeze_a ? 2 : 3;
        lorac_size_of_dims((const int64_t[]){products, site.M, site.kh, site.R, site.Cg, site.kw}, 6, &product);
        add(total, product);
    }
    return LORAC_OK;
}

// What a process that trains it takes, and the least that it can do with.
static enum lorac_status predict_memory(struct lorac_inspection *inspection, struct lorac_program *program,
                                        const struct lorac_memory_request *request, struct lorac_error *error)
{
    struct lorac_memory_prediction memory;
    struct lorac_memory_choice smallest;
    bool found;
    LORAC_TRY(lorac_memory_predict(program, &request->setting, &memory, error));
    LORAC_TRY(lorac_memory_choose(inspection->trained, &inspection->trained_meta, request, &found, &smallest, error));
    inspection->memory_bytes = memory.peak_bytes;
    inspection->smallest_budget = smallest.peak_bytes;
    return LORAC_OK;
}

static enum lorac_status make_trained(struct lorac_inspection *inspection,
                                      const struct lorac_adapter_settings *settings, struct lorac_error *error)
{
    LORAC_TRY(lorac_model_load(inspection->path, &inspection->trained, error));
    LORAC_TRY(lorac_model_inline(inspection->trained, NULL, error));
    if (!inspection->meta.injected)
        LORAC_TRY(lorac_adapters_apply(inspection->trained, settings, error));
    LORAC_TRY(lorac_meta_read(inspection->trained, &inspection->trained_meta, error));
    if (settings->output)
        inspection->trained_meta.output = settings->output;
    return LORAC_OK;
}

// As train prepares it with the same options.
static struct lorac_memory_request training_request(const struct lorac_inspection *inspection,
                                                    const struct lorac_inspect_settings *settings,
                                                    const struct lorac_optimizer_options *optimizer)
{
    const struct lorac_size *size = &inspection->trial.size;
    struct lorac_memory_request request = {
        .batch = inspection->batch,
        .micro_batch = inspection->trained_meta.bn == LORAC_BN_TRAIN ? inspection->batch : 0,
        .lower = {.batch = inspection->batch,
                  .height = size->height,
                  .width = size->width,
                  .training = true,
                  .form_policy = (enum lorac_form_policy)settings->form_policy},
        .setting = {.threads = settings->threads > 0 ? (size_t)settings->threads : lorac_parallel_processors(),
                    .optimizer = optimizer},
    };
    if (!inspection->meta.injected && inspection->split.adapters > 0) // the file that will be trained is larger
        request.setting.other_bytes = sizeof(float) * (size_t)inspection->split.adapters;
    return request;
}

static enum lorac_status count_training(struct lorac_inspection *inspection,
                                        const struct lorac_inspect_settings *settings, struct lorac_error *error)
{
    const struct lorac_optimizer_options optimizer = lorac_optimizer_options_default();
    const struct lorac_memory_request request = training_request(inspection, settings, &optimizer);
    struct lorac_program *program = NULL;
    LORAC_TRY(lorac_lower(inspection->trained, &inspection->trained_meta, &request.lower, &program, error));
    enum lorac_status status = count_step(inspection, program, error);
    lorac_program_count_forms(program, &inspection->form_count[0], &inspection->form_count[1]);
    if (status == LORAC_OK)
        status = predict_memory(inspection, program, &request, error);
    lorac_program_free(program);
    inspection->training_known = status == LORAC_OK;
    return status;
}

// ---- the whole

static enum lorac_status find_refusals(struct lorac_inspection *inspection, struct lorac_error *error)
{
    const struct lorac_size *size = &inspection->trial.size;
    const struct lorac_lower_options options = {.batch = 1, .height = size->height, .width = size->width};
    return lorac_lower_refusals(inspection->model, &inspection->meta, &options, &inspection->refusal_count,
                                &inspection->refusals, error);
}

// [adapters] gets the output that --output-name names.
static enum lorac_status look(struct lorac_inspection *inspection, const struct lorac_inspect_settings *settings,
                              struct lorac_adapter_settings *adapters, struct lorac_error *error)
{
    LORAC_TRY(lorac_model_load(inspection->path, &inspection->model, error));
    LORAC_TRY(lorac_model_inline(inspection->model, NULL, error));
    inspection->file_bytes = (size_t)lorac_storage_bytes(inspection->model->storage);
    LORAC_TRY(lorac_meta_read(inspection->model, &inspection->meta, error));
    if (settings->output_name) {
        LORAC_TRY(lorac_meta_output(inspection->model, NULL, settings->output_name, &adapters->output, error));
        inspection->meta.output = adapters->output;
    }
    LORAC_TRY(lorac_adapters_plan(inspection->model, adapters, &inspection->plan, error));
    lorac_adapters_split(inspection->model, &inspection->meta, &inspection->plan, &inspection->split);
    inspection->costs = calloc(inspection->plan.row_count + 1, sizeof *inspection->costs);
    if (!inspection->costs)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for %zu convolutions",
                               inspection->plan.row_count);
    return LORAC_OK;
}

// With the size that inject would try: of the model as it would be trained, where it can be made.
static void choose_size(struct lorac_inspection *inspection, const struct lorac_size *given, bool made)
{
    if (made)
        lorac_trial_size(inspection->trained, &inspection->trained_meta, given, true, &inspection->trial, NULL);
    else
        lorac_trial_size(inspection->model, &inspection->meta, given, false, &inspection->trial, NULL);
}

static enum lorac_status find_costs(struct lorac_inspection *inspection, const struct lorac_inspect_settings *settings,
                                    const struct lorac_adapter_settings *adapters, struct lorac_error *error)
{
    struct lorac_error forward = {0}, training = {0};
    enum lorac_status made = make_trained(inspection, adapters, &training);
    if (made == LORAC_ERROR_MEMORY)
        return lorac_error_set(error, made, "%s", training.message);
    choose_size(inspection, &settings->size, made == LORAC_OK);
    if (lorac_input_shape(inspection->model, &inspection->input, &forward) != LORAC_OK ||
        count_forward(inspection, &forward) != LORAC_OK)
        strcpy(inspection->forward_reason, forward.message);
    if (forward.status != LORAC_ERROR_MEMORY && !inspection->forward_known && inspection->input.name)
        find_refusals(inspection, &forward);
    if (forward.status == LORAC_ERROR_MEMORY)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "%s", forward.message);
    if (made == LORAC_OK)
        made = count_training(inspection, settings, &training);
    if (made == LORAC_ERROR_MEMORY)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "%s", training.message);
    if (made != LORAC_OK)
        strcpy(inspection->training_reason, training.message);
    return LORAC_OK;
}

// What the runtime says of the model is a finding and no failure, unless memory ran out.
enum lorac_status lorac_inspection_make(struct lorac_inspection *inspection, const char *path,
                                        const struct lorac_inspect_settings *settings, struct lorac_error *error)
{
    struct lorac_adapter_settings adapters = settings->adapters;
    inspection->path = path;
    inspection->batch = (size_t)settings->batch;
    LORAC_TRY(look(inspection, settings, &adapters, error));
    LORAC_TRY(find_costs(inspection, settings, &adapters, error));
    // What cannot be run at all is told before what cannot be trained.
    const char *reason = !inspection->forward_known    ? inspection->forward_reason
                         : !inspection->training_known ? inspection->training_reason
                                                       : NULL;
    inspection->verdict = lorac_verdict_of(inspection->model, &inspection->plan, &inspection->trial, reason);
    inspection->can_train_bn = !inspection->meta.injected && inspection->plan.batch_norm_count > 0 &&
                               lorac_adapters_can_train_bn(inspection->model, &adapters);
    return LORAC_OK;
}

void lorac_inspection_clear(struct lorac_inspection *inspection)
{
    free(inspection->costs);
    lorac_model_free(inspection->trained);
    lorac_model_free(inspection->model);
    *inspection = (struct lorac_inspection){0};
}
