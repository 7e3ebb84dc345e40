// lorac.input: {"scale":0.00392156862745098,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],"channel_order":"rgb"}
#include "adapter_json.h"
#include "adapter_meta.h"

#include <math.h>
#include <string.h>

static const char KEY[] = "lorac.input";

static enum lorac_status check_values(const char *name, const double *values, size_t count, size_t channels,
                                      bool above_zero, struct lorac_error *error)
{
    if (count > LORAC_MAX_CHANNELS)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "input %s has %zu values; at most %d are possible", name,
                               count, (int)LORAC_MAX_CHANNELS);
    if (channels > 0 && count > 1 && count != channels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "input %s has %zu values, but the model's input has %zu channels; give 1 or %zu", name,
                               count, channels, channels);
    for (size_t c = 0; c < count; c++)
        if (!isfinite(values[c]) || (above_zero && values[c] <= 0))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "input %s value %zu is %g; it must be finite%s", name,
                                   c, values[c], above_zero ? " and above 0" : "");
    return LORAC_OK;
}

enum lorac_status lorac_input_meta_check(const struct lorac_input_meta *input, size_t channels,
                                         struct lorac_error *error)
{
    if (!isfinite(input->scale) || input->scale == 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "input scale is %g; it must be finite and not 0",
                               input->scale);
    LORAC_TRY(check_values("mean", input->mean, input->mean_count, channels, false, error));
    return check_values("std", input->std, input->std_count, channels, true, error);
}

static enum lorac_status read_values(const char *name, const json_t *value, double *values, size_t *count,
                                     struct lorac_error *error)
{
    if (json_is_number(value)) {
        values[0] = json_number_value(value);
        *count = 1;
        return LORAC_OK;
    }
    size_t size = json_array_size(value);
    if (!json_is_array(value) || size > LORAC_MAX_CHANNELS)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s': '%s' must be a number or an array of at most %d numbers", KEY, name,
                               (int)LORAC_MAX_CHANNELS);
    for (size_t c = 0; c < size; c++) {
        const json_t *element = json_array_get(value, c);
        if (!json_is_number(element))
            return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s': '%s' entry %zu must be a number", KEY,
                                   name, c);
        values[c] = json_number_value(element);
    }
    *count = size;
    return LORAC_OK;
}

static enum lorac_status read_order(const json_t *value, bool *bgr, struct lorac_error *error)
{
    const char *order = json_string_value(value);
    if (!order || (strcmp(order, "rgb") != 0 && strcmp(order, "bgr") != 0))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s': 'channel_order' must be \"rgb\" or \"bgr\"",
                               KEY);
    *bgr = strcmp(order, "bgr") == 0;
    return LORAC_OK;
}

static enum lorac_status read_member(const char *name, const json_t *value, struct lorac_input_meta *input,
                                     struct lorac_error *error)
{
    if (strcmp(name, "mean") == 0)
        return read_values(name, value, input->mean, &input->mean_count, error);
    if (strcmp(name, "std") == 0)
        return read_values(name, value, input->std, &input->std_count, error);
    if (strcmp(name, "channel_order") == 0)
        return read_order(value, &input->bgr, error);
    if (strcmp(name, "scale") != 0)
        return lorac_error_set(error, LORAC_ERROR_FORMAT,
                               "metadata '%s': unknown member '%s'; known are scale, mean, std and channel_order", KEY,
                               name);
    if (!json_is_number(value))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s': 'scale' must be a number", KEY);
    input->scale = json_number_value(value);
    return LORAC_OK;
}

static enum lorac_status read_members(json_t *object, struct lorac_input_meta *input, struct lorac_error *error)
{
    if (!json_is_object(object))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "metadata '%s' must be a JSON object", KEY);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) LORAC_TRY(read_member(name, value, input, error));
    if (lorac_input_meta_check(input, 0, error) != LORAC_OK) {
        // What is a wrong argument from a caller is a malformed file here.
        lorac_error_prefix(error, LORAC_ERROR_FORMAT, "metadata '%s': ", KEY);
        if (error)
            error->status = LORAC_ERROR_FORMAT;
        return LORAC_ERROR_FORMAT;
    }
    return LORAC_OK;
}

enum lorac_status lorac_input_meta_parse(const char *json, struct lorac_input_meta *out, struct lorac_error *error)
{
    json_t *object;
    LORAC_TRY(lorac_json_parse(KEY, json, &object, error));
    struct lorac_input_meta input = {.given = true, .scale = 1.0 / 255};
    enum lorac_status status = read_members(object, &input, error);
    json_decref(object);
    if (status == LORAC_OK)
        *out = input;
    return status;
}

static enum lorac_status set_values(json_t *object, const char *name, const double *values, size_t count,
                                    struct lorac_error *error)
{
    if (count == 0)
        return LORAC_OK;
    json_t *array = json_array();
    for (size_t c = 0; c < count; c++) {
        enum lorac_status status = lorac_json_append(KEY, array, json_real(values[c]), error);
        if (status != LORAC_OK) {
            json_decref(array);
            return status;
        }
    }
    return lorac_json_set(KEY, object, name, array, error);
}

static enum lorac_status set_members(json_t *object, const struct lorac_input_meta *input, struct lorac_error *error)
{
    LORAC_TRY(lorac_json_set(KEY, object, "scale", json_real(input->scale), error));
    LORAC_TRY(set_values(object, "mean", input->mean, input->mean_count, error));
    LORAC_TRY(set_values(object, "std", input->std, input->std_count, error));
    return lorac_json_set_string(KEY, object, "channel_order", input->bgr ? "bgr" : "rgb", error);
}

enum lorac_status lorac_input_meta_format(const struct lorac_input_meta *input, char **json, struct lorac_error *error)
{
    LORAC_TRY(lorac_input_meta_check(input, 0, error));
    json_t *object = json_object();
    enum lorac_status status = set_members(object, input, error);
    if (status == LORAC_OK)
        status = lorac_json_print(KEY, object, json, error);
    json_decref(object);
    return status;
}
