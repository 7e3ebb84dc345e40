#include "job_steps.h"

#include "recipe_value.h"
#include "proto/model.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

static bool says(const struct lorac_recipe *recipe, const char *path, const char *text)
{
    const char *used = lorac_recipe_get_used(recipe, path);
    return used && strcmp(used, text) == 0;
}

// ONNX Runtime's file gives values to inputs of the graph, which only inject can declare: extract would find none,
// after all of the training.
enum lorac_status lorac_job_steps_check(const struct lorac_recipe *recipe, struct lorac_error *error)
{
    static const char path[] = "output.adapter_format";
    if (!lorac_recipe_get(recipe, "output.adapter") || !says(recipe, path, "onnx_adapter") ||
        says(recipe, "adapter.as_inputs", "true"))
        return LORAC_OK;
    const struct lorac_recipe_value *value =
        lorac_recipe_value_of(recipe, lorac_recipe_key_of_path(path), SIZE_MAX);
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "%s is onnx_adapter, which needs what is trained as inputs of the graph: set "
                           "adapter.as_inputs to true, or the format to safetensors",
                           value->origin);
}

// ---- rehearsals

// Is one of the call's inputs neither a file nor a folder?
static bool reads_once(const struct lorac_call *call)
{
    const struct lorac_option_set *set = &call->options;
    struct stat info;
    for (struct lorac_option_row row = {0}; lorac_options_next(set->groups, &row);)
        if (row.option->type == LORAC_OPTION_PATH && !row.option->writes && set->text[row.index] &&
            stat(set->text[row.index], &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
            return true;
    return false;
}

static enum lorac_status rehearse(const struct lorac_call *call, struct lorac_model **model,
                                  const struct lorac_call **failed, struct lorac_error *error)
{
    struct lorac_call quiet = *call;
    quiet.quiet = quiet.rehearsal = true;
    *failed = call;
    return call->command->rehearse(&quiet, model, error);
}

enum lorac_status lorac_job_step_rehearse(const struct lorac_call *inject, const struct lorac_call *step,
                                          const struct lorac_call **failed, struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    *failed = step;
    if (reads_once(step))
        return LORAC_OK;
    enum lorac_status status = lorac_model_load(inject->operands[0], &model, error);
    if (status == LORAC_OK)
        status = rehearse(inject, &model, failed, error);
    if (status == LORAC_OK && step != inject)
        status = rehearse(step, &model, failed, error);
    lorac_model_free(model);
    return status;
}
