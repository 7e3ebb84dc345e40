// set_input_size
//
// before:  input [N, C, H, W]  (or [N, H, W, C])
// after:   the same with the new height and width; shapes declared for the values in between go
#include "edit.h"
#include "new_job.h"

#include <inttypes.h>

// Height is dimension *first of the input's shape, width the next.
static enum lorac_status find_shape(struct lorac_model *model, const struct lorac_set_input_size_options *options,
                                    Onnx__TensorShapeProto **shape, size_t *first, struct lorac_error *error)
{
    const Onnx__ValueInfoProto *input = lorac_model_input(model, 0);
    struct lorac_meta meta;
    if (options->height < 1 || options->width < 1 || options->height > INT32_MAX || options->width > INT32_MAX)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "set_input_size: %" PRId64 "x%" PRId64 "; each must be 1 to %d", options->height,
                               options->width, INT32_MAX);
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "set_input_size: the model is injected (by %s); merge it first", meta.tool);
    if (!input)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "set_input_size: the model has no input");
    *shape = lorac_edit_shape(input);
    if (!*shape || (*shape)->n_dim != 4)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "set_input_size: input '%s' is not declared with four dimensions", input->name);
    *first = options->channels_last ? 1 : 2;
    return LORAC_OK;
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    const struct lorac_set_input_size_options none = {0}, *options = options_ ? options_ : &none;
    Onnx__TensorShapeProto *shape = NULL;
    size_t first = 0;
    LORAC_TRY(find_shape(model, options, &shape, &first, error));
    report->changed = report->skipped = 0;
    if (lorac_edit_dim(shape->dim[first]) == options->height && lorac_edit_dim(shape->dim[first + 1]) == options->width)
        return LORAC_OK;
    lorac_edit_set_dim(shape->dim[first], options->height);
    lorac_edit_set_dim(shape->dim[first + 1], options->width);
    lorac_edit_forget_sizes(model);
    report->changed = 1;
    return LORAC_OK;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    const struct lorac_set_input_size_options none = {0}, *options = options_ ? options_ : &none;
    Onnx__TensorShapeProto *shape = NULL;
    size_t first = 0;
    return find_shape(model, options, &shape, &first, NULL) == LORAC_OK;
}

const struct lorac_pass lorac_pass_set_input_size = {
    .name = "set_input_size",
    .summary = "declare another height and width of the input",
    .keeps_outputs = false,
    .applies = applies,
    .run = run,
};
