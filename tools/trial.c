#include "trial.h"

static enum lorac_status try_size(struct lorac_model *model, const struct lorac_meta *meta,
                                  const struct lorac_size *size, bool training, size_t *classes,
                                  struct lorac_error *error)
{
    const struct lorac_lower_options options = {
        .batch = 2, .height = size->height, .width = size->width, .training = training};
    struct lorac_program *program = NULL;
    enum lorac_status status = lorac_lower(model, meta, &options, &program, error);
    *classes = status == LORAC_OK ? program->values[program->output].c : 0;
    lorac_program_free(program);
    return status;
}

enum lorac_status lorac_trial_size(struct lorac_model *model, const struct lorac_meta *meta,
                                   const struct lorac_size *given, bool training, struct lorac_trial *out,
                                   struct lorac_error *error)
{
    static const size_t sides[] = {224, 32};
    struct lorac_input_shape input = {0};
    *out = (struct lorac_trial){.size = *given};
    LORAC_TRY(lorac_input_shape(model, &input, error));
    bool free_height = !input.height && !given->height, free_width = !input.width && !given->width;
    if (!free_height && !free_width)
        return try_size(model, meta, given, training, &out->classes, error);
    enum lorac_status first = LORAC_OK;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        const struct lorac_size size = {free_height ? sides[i] : given->height, free_width ? sides[i] : given->width};
        size_t classes;
        enum lorac_status status = try_size(model, meta, &size, training, &classes, i == 0 ? error : NULL);
        first = i == 0 ? status : first;
        if (i == 0 || status == LORAC_OK)
            *out = (struct lorac_trial){.size = size,
                                        .chosen = true,
                                        .classes = classes,
                                        .height = size.height ? size.height : input.height,
                                        .width = size.width ? size.width : input.width};
        if (status == LORAC_OK && error)
            *error = (struct lorac_error){0}; // what the first size could not
        if (status == LORAC_OK || status == LORAC_ERROR_MEMORY)
            return status;
    }
    return first;
}
