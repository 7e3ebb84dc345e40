// Which algorithm a convolution gets (conv_algorithm.h).
#include "conv_algorithm.h"

#include "conv_branch.h"

#include <string.h>

// Fastest first. The last of each list supports every shape and demand, accumulating excepted.
static const struct lorac_conv_algorithm *const FORWARD[] = {&lorac_conv_winograd4, &lorac_conv_winograd2,
                                                             &lorac_conv_gemm, &lorac_conv_gemm_at_run,
                                                             &lorac_conv_direct};
static const struct lorac_conv_algorithm *const GRADIENT[] = {
    &lorac_conv_gradient_winograd4, &lorac_conv_gradient_winograd2,    &lorac_conv_gradient_gemm,
    &lorac_conv_gradient_pointwise, &lorac_conv_gradient_gemm_at_run, &lorac_conv_gradient_deconv};

enum { FORWARD_COUNT = sizeof FORWARD / sizeof *FORWARD, GRADIENT_COUNT = sizeof GRADIENT / sizeof *GRADIENT };

static bool is_last(const struct lorac_conv_algorithm *algorithm)
{
    return algorithm == FORWARD[FORWARD_COUNT - 1] || algorithm == GRADIENT[GRADIENT_COUNT - 1];
}

// What packs nothing is slower than what packs: it is there for limits that nothing else keeps.
static bool is_needed(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape,
                      size_t packed_limit)
{
    const struct lorac_conv_algorithm *last =
        algorithm == &lorac_conv_gemm_at_run ? FORWARD[FORWARD_COUNT - 1] : GRADIENT[GRADIENT_COUNT - 1];
    return packed_limit > 0 && last->packed_bytes(shape) > packed_limit;
}

bool lorac_conv_algorithm_fits(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape,
                               const struct lorac_conv_demand *demand)
{
    if (is_last(algorithm))
        return true;
    if (!algorithm->supports(shape) || (algorithm->approximate && demand->exact))
        return false;
    if (algorithm->pack)
        return is_needed(algorithm, shape, demand->packed_limit);
    return demand->packed_limit == 0 || algorithm->packed_bytes(shape) <= demand->packed_limit;
}

static bool pays(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape,
                 const struct lorac_conv_demand *demand)
{
    if (demand->changing && algorithm->pays_changing && !algorithm->pays_changing(shape))
        return false;
    return !algorithm->pays || algorithm->pays(shape);
}

static const struct lorac_conv_algorithm *choose(const struct lorac_conv_algorithm *const *list, size_t count,
                                                 const struct lorac_conv_shape *shape,
                                                 const struct lorac_conv_demand *demand)
{
    for (size_t i = 0; i + 1 < count; i++)
        if (lorac_conv_algorithm_fits(list[i], shape, demand) && pays(list[i], shape, demand))
            return list[i];
    return list[count - 1];
}

const struct lorac_conv_algorithm *lorac_conv_forward_algorithm(const struct lorac_conv_shape *shape,
                                                                const struct lorac_conv_demand *demand)
{
    return choose(FORWARD, FORWARD_COUNT, shape, demand);
}

const struct lorac_conv_algorithm *lorac_conv_gradient_algorithm(const struct lorac_conv_shape *shape,
                                                                 const struct lorac_conv_demand *demand)
{
    return choose(GRADIENT, GRADIENT_COUNT, shape, demand);
}

bool lorac_conv_borrows(const struct lorac_conv_shape *shape, const struct lorac_conv_algorithm *forward,
                        const struct lorac_conv_algorithm *gradient)
{
    return gradient && gradient->lender == forward && gradient->borrows(shape);
}

bool lorac_conv_merges(const struct lorac_conv_branch *branch, const struct lorac_conv_algorithm *forward,
                       const struct lorac_conv_algorithm *gradient)
{
    return gradient && gradient->merge && gradient->lender == forward && !gradient->borrows(&branch->shape) &&
           gradient->merge->pays(branch);
}

const struct lorac_conv_algorithm *lorac_conv_algorithm_named(bool gradient, const char *name,
                                                              const struct lorac_conv_shape *shape,
                                                              const struct lorac_conv_demand *demand)
{
    size_t count;
    const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(gradient, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i]->name, name) == 0)
            return lorac_conv_algorithm_fits(list[i], shape, demand) ? list[i] : NULL;
    return NULL;
}

const struct lorac_conv_algorithm *const *lorac_conv_algorithms(bool gradient, size_t *count)
{
    *count = gradient ? GRADIENT_COUNT : FORWARD_COUNT;
    return gradient ? GRADIENT : FORWARD;
}

const struct lorac_conv_weight_gradient *lorac_conv_weight_gradient(const struct lorac_conv_shape *shape,
                                                                    const struct lorac_conv_demand *demand)
{
    const struct lorac_conv_weight_gradient *winograd = &lorac_conv_weight_winograd;
    if (demand->exact || !winograd->supports(shape) || !winograd->pays(shape))
        return &lorac_conv_weight_plain;
    bool fits = demand->packed_limit == 0 || winograd->workspace_bytes(shape) <= demand->packed_limit;
    return fits ? winograd : &lorac_conv_weight_plain;
}
