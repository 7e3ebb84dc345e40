#include "job_steps.h"

#include "recipe_value.h"

#include <stdint.h>
#include <string.h>

static bool says(const struct lorac_recipe *recipe, const char *path, const char *text)
{
    const char *used = lorac_recipe_get_used(recipe, path);
    return used && strcmp(used, text) == 0;
}

// ONNX Runtime's file gives values to inputs of the graph, which only inject can declare: extract would find none, after
// all of the training.
static enum lorac_status check_adapter_format(const struct lorac_recipe *recipe, struct lorac_error *error)
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

enum lorac_status lorac_job_steps_check(const struct lorac_recipe *recipe, struct lorac_error *error)
{
    return check_adapter_format(recipe, error);
}
