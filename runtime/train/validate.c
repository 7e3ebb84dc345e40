#include "validate.h"

#include "fill.h"
#include "loop.h"

#include <assert.h>
#include <inttypes.h>

enum lorac_status lorac_validation_create(struct lorac_validation *validation, struct lorac_net *net,
                                          const struct lorac_validation_options *options, struct lorac_error *error)
{
    assert(options->every > 0);
    if (!options->source->dataset->labels)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "validation images have no labels; give them");
    LORAC_TRY(lorac_fill_check(net, options->source->dataset, error));
    *validation = (struct lorac_validation){.options = *options};
    return options->keep_values ? lorac_best_create(&validation->best, net, error) : LORAC_OK;
}

void lorac_validation_clear(struct lorac_validation *validation)
{
    lorac_best_clear(&validation->best);
    *validation = (struct lorac_validation){0};
}

bool lorac_validation_is_due(const struct lorac_validation *validation, uint64_t epoch, bool last)
{
    return epoch > validation->epoch && (last || epoch % validation->options.every == 0);
}

enum lorac_status lorac_validation_run(struct lorac_validation *validation, struct lorac_net *net, uint64_t epoch,
                                       uint64_t step, struct lorac_evaluation *result, bool *better,
                                       struct lorac_error *error)
{
    const struct lorac_validation_options *options = &validation->options;
    const struct lorac_evaluate_request request = {.source = options->source,
                                                   .images = options->images,
                                                   .count = options->count,
                                                   .callback = options->callback,
                                                   .context = options->context};
    struct lorac_evaluation evaluation;
    LORAC_TRY(lorac_error_prefix(error, lorac_net_evaluate(net, &request, &evaluation, error),
                                 "validation after epoch %" PRIu64 ": ", epoch));
    const struct lorac_best_mark mark = {
        .epoch = epoch, .step = step, .images = evaluation.images, .correct = evaluation.correct, .loss = evaluation.loss};
    *better = lorac_best_offer(&validation->best, &mark);
    validation->epoch = epoch;
    validation->stops = options->patience > 0 && epoch - validation->best.mark.epoch >= options->patience;
    *result = evaluation;
    return LORAC_OK;
}

struct lorac_validation_state lorac_validation_state(const struct lorac_validation *validation)
{
    return (struct lorac_validation_state){validation->epoch, validation->stops, validation->best.mark};
}

void lorac_validation_set_state(struct lorac_validation *validation, const struct lorac_validation_state *state)
{
    validation->epoch = state->epoch;
    validation->stops = state->stops != 0;
    validation->best.mark = state->best;
}
