// How a net's convolutions are run: lorac.h's view of the program's choices.
#include "net.h"

#include "kernels/kernel.h"

#include <stdio.h>

static bool is_convolution(const struct lorac_step *step)
{
    return step->kernel->describe != NULL;
}

size_t lorac_convolution_count(const struct lorac_net *net)
{
    size_t count = 0;
    for (size_t i = 0; net && net->program && i < net->program->step_count; i++)
        count += is_convolution(&net->program->steps[i]);
    return count;
}

static void describe(const struct lorac_net *net, const struct lorac_step *step, struct lorac_convolution *out)
{
    char text[LORAC_CHOICE_STEP];
    const struct lorac_kernel *kernel = step->kernel;
    *out = (struct lorac_convolution){.name = step->name,
                                      .forward = kernel->algorithm(step, false),
                                      .gradient = kernel->algorithm(step, true),
                                      .form = kernel->form(step),
                                      .weight_gradient = kernel->weight_algorithm(step)};
    if (!kernel->describe(net->program, step, text))
        return;
    snprintf(out->key, sizeof out->key, "%s" LORAC_CHOICE_SEPARATOR "%s", net->choices->machine, text);
    const struct lorac_choice_row *row = lorac_choices_find(net->program->choices, text); // none where they do not fit
    if (row)
        out->chosen = row->measured ? LORAC_CHOSEN_MEASURED : LORAC_CHOSEN_GIVEN;
}

enum lorac_status lorac_get_convolution(const struct lorac_net *net, size_t i, struct lorac_convolution *out,
                                        struct lorac_error *error)
{
    if (!net || !out)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "lorac_get_convolution: net and out must not be NULL");
    size_t left = i;
    for (size_t k = 0; net->program && k < net->program->step_count; k++)
        if (is_convolution(&net->program->steps[k]) && left-- == 0) {
            describe(net, &net->program->steps[k], out);
            return LORAC_OK;
        }
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "convolution %zu: the prepared model has %zu", i,
                           lorac_convolution_count(net));
}
