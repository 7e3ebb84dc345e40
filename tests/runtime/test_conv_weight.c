// The gradients of a convolution's weight, on every shape that each supports, against plain loops in double: for all
// instruction sets, with 1, 2 and 3 threads (the same bits), with nothing written outside of the output and the
// workspace; and NaN and infinity.
#include "conv_shapes.h"
#include "count_allocations.h"
#include "runtime/kernels/parallel.h"
#include "simd_variants.h"

static double worst[2]; // plain, by Winograd: printed at the end

static double *weight_oracle(const struct lorac_conv_shape *s, const float *x, const float *dy)
{
    double *dw = need(lorac_conv_weight_count(s) * sizeof(double));
    size_t Cg = s->C / s->G, Mg = s->M / s->G, taps = s->kh * s->kw;
    for (size_t i = 0; i < s->N * s->OH * s->OW * taps; i++) {
        size_t tap = i % taps, pixel = i / taps;
        size_t h = pixel / s->OW % s->OH * s->stride_h + tap / s->kw * s->dilation_h - s->pad_top;
        size_t w = pixel % s->OW * s->stride_w + tap % s->kw * s->dilation_w - s->pad_left;
        if (h >= s->H || w >= s->W)
            continue;
        const float *from = x + ((pixel / (s->OH * s->OW) * s->H + h) * s->W + w) * s->C;
        for (size_t m = 0; m < s->M; m++)
            for (size_t c = 0; c < Cg; c++)
                dw[(m * Cg + c) * taps + tap] += (double)dy[pixel * s->M + m] * (double)from[m / Mg * Cg + c];
    }
    return dw;
}

// The result is the caller's, between guards.
static float *run_weight_gradient(const struct lorac_conv_weight_gradient *algorithm, const struct lorac_conv_shape *s,
                                  const float *x, const float *dy, const struct lorac_simd *simd, size_t threads)
{
    int failed;
    struct lorac_kernel_env env = {.simd = simd, .pool = lorac_parallel_create(threads, &failed)};
    REQUIRE(!failed);
    size_t bytes = algorithm->workspace_bytes(s) +
                   (algorithm->thread_workspace_bytes ? threads * algorithm->thread_workspace_bytes(s) : 0);
    size_t count = lorac_conv_weight_count(s), floats = bytes / sizeof(float);
    float *workspace = guarded(floats), *out = guarded(count);
    algorithm->run(s, x, dy, out, workspace, &env);
    size_t allocated = allocation_count;
    algorithm->run(s, x, dy, out, workspace, &env); // on a dirty workspace
    CHECKF(allocation_count == allocated && guards_stand(workspace, floats) && guards_stand(out, count),
           "weight gradient %s (%s): it allocated, or wrote where it must not", algorithm->name, simd->name);
    lorac_parallel_free(env.pool);
    free_guarded(workspace);
    return out;
}

static void compare_weight_gradient(const struct lorac_conv_weight_gradient *algorithm,
                                    const struct lorac_conv_shape *s, const struct lorac_simd *simd, const float *got,
                                    const double *expected_sum)
{
    bool by_winograd = algorithm == &lorac_conv_weight_winograd;
    double largest = 0, error = 0;
    for (size_t i = 0; i < lorac_conv_weight_count(s); i++) {
        double distance = fabs((double)got[i] - expected_sum[i]);
        largest = fmax(largest, fabs(expected_sum[i]));
        if (!(distance <= error))
            error = distance;
    }
    CHECKF(error <= (by_winograd ? TOLERANCE_WINOGRAD4 : TOLERANCE_EXACT) * largest,
           "weight gradient %s (%s) [%zu,%zu,%zu,%zu] -> %zu: off by %.3g of %.3g", algorithm->name, simd->name, s->N,
           s->H, s->W, s->C, s->M, error, largest);
    worst[by_winograd] = fmax(worst[by_winograd], error / largest);
}

static void check_weight_gradient(const struct lorac_conv_shape *s)
{
    static const struct lorac_conv_weight_gradient *const all[] = {&lorac_conv_weight_plain,
                                                                   &lorac_conv_weight_winograd};
    const struct lorac_simd *variants[MAX_VARIANTS];
    size_t variant_count = find_variants(variants), bytes = lorac_conv_weight_count(s) * sizeof(float);
    float *x = random_floats(s->N * s->H * s->W * s->C, "x"), *dy = random_floats(s->N * s->OH * s->OW * s->M, "dy");
    double *expected_sum = weight_oracle(s, x, dy);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t v = 0; all[i]->supports(s) && v < variant_count; v++) {
            float *first = run_weight_gradient(all[i], s, x, dy, variants[v], 1);
            compare_weight_gradient(all[i], s, variants[v], first, expected_sum);
            for (size_t threads = 2; threads <= (v == 0 ? THREADS : 1); threads++) {
                float *out = run_weight_gradient(all[i], s, x, dy, variants[v], threads);
                CHECKF(memcmp(first, out, bytes) == 0, "weight gradient %s: other bits with %zu threads", all[i]->name,
                       threads);
                free_guarded(out);
            }
            free_guarded(first);
        }
    free(x);
    free(dy);
    free(expected_sum);
}

// No value may be finite that is NaN or infinite by the plain sum, with the number in x or in dy.
static void check_not_hidden_from_weight(const struct lorac_conv_shape *s, float bad, bool in_dy)
{
    const struct lorac_simd *variants[MAX_VARIANTS];
    size_t variant_count = find_variants(variants), x_count = s->N * s->H * s->W * s->C;
    size_t y_count = s->N * s->OH * s->OW * s->M, count = lorac_conv_weight_count(s);
    float *x = random_floats(x_count, "x"), *dy = random_floats(y_count, "dy");
    *(in_dy ? &dy[y_count / 2] : &x[x_count / 2]) = bad;
    double *expected_sum = weight_oracle(s, x, dy);
    for (size_t v = 0; v < variant_count; v++) {
        float *out = run_weight_gradient(&lorac_conv_weight_winograd, s, x, dy, variants[v], 1);
        size_t hidden = 0, bad_count = 0;
        for (size_t i = 0; i < count; i++) {
            bad_count += !isfinite(expected_sum[i]);
            hidden += !isfinite(expected_sum[i]) && isfinite(out[i]);
        }
        CHECKF(bad_count > 0 && hidden == 0, "weight gradient (%s): %zu of %zu hidden", variants[v]->name, hidden,
               bad_count);
        free_guarded(out);
    }
    free(x);
    free(dy);
    free(expected_sum);
}

static void check_bad_numbers(void)
{
    static const struct conv_row row = {2, 7, 9, 19, 21, {1, 1, 1, 1}, 3, 1, 1};
    const struct lorac_conv_shape shape = shape_of(&row);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int in_dy = 0; in_dy <= 1; in_dy++)
            check_not_hidden_from_weight(&shape, bad[i], in_dy);
}

int main(void)
{
    for_each_shape(check_weight_gradient);
    check_bad_numbers();
    printf("largest error of the largest value: plain %.2g, by Winograd %.2g\n", worst[0], worst[1]);
    return check_report();
}
