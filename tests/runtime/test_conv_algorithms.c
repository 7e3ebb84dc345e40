// Every algorithm of a convolution and of its input gradient, on every shape that it supports, against plain loops in
// double: with bias, limits and accumulating, for all instruction sets, with 1, 2 and 3 threads (the same bits), with
// nothing written outside of the output and the workspace; gradients that borrow the convolution's weights;
// adapters that run beside the convolution or in its gradient; weights that are packed anew; NaN and infinity.
#include "conv_shapes.h"
#include "count_allocations.h"
#include "runtime/kernels/conv_branch.h"
#include "runtime/kernels/parallel.h"
#include "runtime/kernels/xnn.h"
#include "simd_variants.h"

// F(2x2): transforms only add, and sums have up to 512 products. Measured to 9e-7.
static const double TOLERANCE_WINOGRAD2 = 3e-6;

// ---- the oracle

struct problem {
    struct lorac_conv_shape shape;
    bool gradient;
    size_t in_count, out_count, out_channels;
    float *weight, *bias, *in, *before; // before: what is in the output already
    double *sum;                        // conv or gradient
};

static void add_products(const struct problem *p, size_t n, size_t oh, size_t ow, size_t kh, size_t kw)
{
    const struct lorac_conv_shape *s = &p->shape;
    size_t h = oh * s->stride_h + kh * s->dilation_h - s->pad_top;
    size_t w = ow * s->stride_w + kw * s->dilation_w - s->pad_left;
    if (h >= s->H || w >= s->W)
        return;
    size_t x = ((n * s->H + h) * s->W + w) * s->C, y = ((n * s->OH + oh) * s->OW + ow) * s->M;
    size_t Cg = s->C / s->G, Mg = s->M / s->G, taps = s->kh * s->kw;
    for (size_t m = 0; m < s->M; m++)
        for (size_t c = 0; c < Cg; c++) {
            double weight = (double)p->weight[(m * Cg + c) * taps + kh * s->kw + kw];
            size_t channel = x + m / Mg * Cg + c;
            if (p->gradient)
                p->sum[channel] += weight * (double)p->in[y + m];
            else
                p->sum[y + m] += weight * (double)p->in[channel];
        }
}

static void compute(struct problem *p)
{
    const struct lorac_conv_shape *s = &p->shape;
    memset(p->sum, 0, p->out_count * sizeof(double));
    for (size_t i = 0; i < s->N * s->OH * s->OW * s->kh * s->kw; i++) {
        size_t tap = i % (s->kh * s->kw), pixel = i / (s->kh * s->kw);
        add_products(p, pixel / (s->OH * s->OW), pixel / s->OW % s->OH, pixel % s->OW, tap / s->kw, tap % s->kw);
    }
}

static struct problem make_problem(const struct lorac_conv_shape *shape, bool gradient)
{
    struct problem p = {.shape = *shape, .gradient = gradient};
    const struct lorac_conv_shape *s = &p.shape;
    size_t x = s->N * s->H * s->W * s->C, y = s->N * s->OH * s->OW * s->M;
    p.in_count = gradient ? y : x;
    p.out_count = gradient ? x : y;
    p.out_channels = gradient ? s->C : s->M;
    p.weight = random_floats(lorac_conv_weight_count(s), "weight");
    p.bias = random_floats(p.out_channels, "bias");
    p.in = random_floats(p.in_count, "in");
    p.before = random_floats(p.out_count, "before");
    p.sum = need(p.out_count * sizeof(double));
    compute(&p);
    return p;
}

static void free_problem(struct problem *p)
{
    free(p->weight);
    free(p->bias);
    free(p->in);
    free(p->before);
    free(p->sum);
}

static double expected(const struct problem *p, const struct lorac_conv_finish *finish, size_t i)
{
    double y = p->sum[i] + (finish->bias ? (double)finish->bias[i % p->out_channels] : 0);
    y += finish->accumulate ? (double)p->before[i] : 0;
    return fmin(fmax(y, (double)finish->low), (double)finish->high);
}

// ---- running

struct states {
    void *state, *lender; // lender: NULL where nothing is borrowed or merged
};

struct adapter {
    struct lorac_conv_branch branch;
    float *a, *b, *h; // h between guards
    size_t h_count;
};

// How an algorithm is run, beside its own way.
struct way {
    bool borrowing;
    const struct adapter *adapter; // beside the convolution, or in the gradient's weights; NULL: none
};
static const struct way alone = {false, NULL}, borrowing = {true, NULL};

// The lender's state, for p's gradient.
static void *create_lender(const struct problem *p, const struct lorac_conv_algorithm *algorithm, float *packing,
                           const struct lorac_kernel_env *env)
{
    const struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL);
    struct lorac_error error = {0};
    void *lender = NULL;
    CHECK_OK(algorithm->lender->create(&p->shape, p->weight, &plain, packing, NULL, NULL, env, &lender, &error), error);
    return lender;
}

static void merge(const struct adapter *adapter, const struct lorac_conv_algorithm *algorithm,
                  const struct states *states, const struct lorac_kernel_env *env)
{
    size_t floats = algorithm->merge->scratch_bytes(&adapter->branch) / sizeof(float);
    float *scratch = guarded(floats);
    algorithm->merge->pack(states->state, states->lender, &adapter->branch, adapter->b, adapter->a, scratch, env);
    algorithm->merge->pack(states->state, states->lender, &adapter->branch, adapter->a, adapter->b, scratch, env);
    CHECK(guards_stand(scratch, floats));
    free_guarded(scratch);
}

static void attach(const struct adapter *adapter, const struct lorac_conv_algorithm *algorithm, void *state,
                   const struct lorac_kernel_env *env)
{
    struct lorac_error error = {0};
    float *scratch = need(algorithm->beside->scratch_bytes(&adapter->branch));
    CHECK_OK(algorithm->beside->attach(state, &adapter->branch, adapter->h, &error), error);
    memset(adapter->h, 0xFF, adapter->h_count * sizeof(float));
    algorithm->beside->pack_a(state, adapter->b, scratch, env); // other numbers: nothing of them may be left
    algorithm->beside->pack_b(state, adapter->a);
    algorithm->beside->pack_a(state, adapter->a, scratch, env);
    algorithm->beside->pack_b(state, adapter->b);
    free(scratch);
}

// With s * dy @ view(B) in place of h.
static void attach_back(const struct problem *p, const struct adapter *adapter,
                        const struct lorac_conv_algorithm *algorithm, void *state)
{
    struct lorac_error error = {0};
    const size_t kR = adapter->branch.blocks * adapter->branch.R, M = p->shape.M;
    for (size_t pixel = 0; pixel < adapter->h_count / kR; pixel++)
        for (size_t q = 0; q < kR; q++) {
            double sum = 0;
            for (size_t m = 0; m < M; m++)
                sum += (double)p->in[pixel * M + m] * (double)adapter->b[m * kR + q];
            adapter->h[pixel * kR + q] = (float)(adapter->branch.s * sum);
        }
    CHECK_OK(algorithm->beside_back->attach(state, &adapter->branch, adapter->h, &error), error);
    algorithm->beside_back->pack_a(state, adapter->b); // other numbers: nothing of them may be left
    algorithm->beside_back->pack_a(state, adapter->a);
}

static struct states create(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                            const struct way *way, const struct lorac_conv_finish *finish, float *out,
                            const struct lorac_kernel_env *env)
{
    float *packing = need(lorac_conv_weight_count(&p->shape) * sizeof(float));
    struct states states = {NULL, NULL};
    struct lorac_error error = {0};
    if (way->borrowing) {
        states.lender = create_lender(p, algorithm, packing, env);
        CHECK_OK(algorithm->create_borrowing(&p->shape, states.lender, finish, p->in, out, env, &states.state, &error),
                 error);
    } else {
        CHECK_OK(algorithm->create(&p->shape, p->weight, finish, packing, p->in, out, env, &states.state, &error),
                 error);
    }
    REQUIRE(states.state != NULL);
    if (way->adapter && algorithm->beside_back)
        attach_back(p, way->adapter, algorithm, states.state);
    else if (way->adapter && p->gradient) {
        states.lender = create_lender(p, algorithm, packing, env);
        merge(way->adapter, algorithm, &states, env);
    } else if (way->adapter)
        attach(way->adapter, algorithm, states.state, env);
    free(packing);
    return states;
}

static void run_once(const struct problem *p, const struct lorac_conv_algorithm *algorithm, void *state,
                     const struct lorac_kernel_env *env)
{
    if (algorithm->pack)
        algorithm->pack(state, p->weight, env);
    algorithm->run(state, env);
}

// The result is the caller's, between guards; "" or what went wrong in *wrong.
static float *run(const struct problem *p, const struct lorac_conv_algorithm *algorithm, const struct way *way,
                  const struct lorac_conv_finish *finish, const struct lorac_simd *simd, size_t threads,
                  const char **wrong)
{
    const struct lorac_conv_shape *s = &p->shape;
    int failed;
    struct lorac_kernel_env env = {.simd = simd, .pool = lorac_parallel_create(threads, &failed)};
    REQUIRE(!failed);
    size_t bytes = (algorithm->workspace_bytes ? algorithm->workspace_bytes(s) : 0) +
                   (algorithm->thread_workspace_bytes ? threads * algorithm->thread_workspace_bytes(s) : 0);
    float *workspace = guarded(bytes / sizeof(float)), *out = guarded(p->out_count);
    env.workspace = workspace;
    const struct states states = create(p, algorithm, way, finish, out, &env);
    memcpy(out, p->before, p->out_count * sizeof(float));
    run_once(p, algorithm, states.state, &env); // a first one leaves the workspace dirty
    memcpy(out, p->before, p->out_count * sizeof(float));
    size_t allocated = allocation_count;
    run_once(p, algorithm, states.state, &env);
    *wrong = allocation_count != allocated                                           ? "it allocated"
             : !guards_stand(out, p->out_count)                                      ? "it wrote outside of the output"
             : way->adapter && !guards_stand(way->adapter->h, way->adapter->h_count) ? "it wrote outside of h"
             : !guards_stand(workspace, bytes / sizeof(float)) ? "it wrote outside of the workspace"
                                                               : "";
    algorithm->destroy(states.state);
    if (states.lender)
        algorithm->lender->destroy(states.lender);
    lorac_parallel_free(env.pool);
    free(workspace - GUARD_FLOATS);
    return out;
}

static const char *text_of(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                           const struct lorac_simd *simd)
{
    static char text[256];
    const struct lorac_conv_shape *s = &p->shape;
    snprintf(text, sizeof text, "%s %s (%s) [%zu,%zu,%zu,%zu] -> %zu, kernel %zux%zu, stride %zu,%zu, dilation %zu,%zu",
             p->gradient ? "gradient" : "forward", algorithm->name, simd->name, s->N, s->H, s->W, s->C, s->M, s->kh,
             s->kw, s->stride_h, s->stride_w, s->dilation_h, s->dilation_w);
    return text;
}

static double tolerance(const struct lorac_conv_algorithm *algorithm)
{
    if (strcmp(algorithm->name, "winograd4") == 0)
        return TOLERANCE_WINOGRAD4;
    return strcmp(algorithm->name, "winograd2") == 0 ? TOLERANCE_WINOGRAD2 : TOLERANCE_EXACT;
}

static double worst[3]; // exact, winograd2, winograd4: printed at the end

static void compare(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                    const struct lorac_conv_finish *finish, const struct lorac_simd *simd, const float *got)
{
    double largest = 0, error = 0;
    for (size_t i = 0; i < p->out_count; i++) {
        double distance = fabs((double)got[i] - expected(p, finish, i));
        largest = fmax(largest, fabs(p->sum[i]));
        if (!(distance <= error))
            error = distance;
    }
    CHECKF(error <= tolerance(algorithm) * largest, "%s: off by %.3g of %.3g", text_of(p, algorithm, simd), error,
           largest);
    double *slot = &worst[!algorithm->approximate ? 0 : algorithm->name[8] == '2' ? 1 : 2];
    *slot = fmax(*slot, error / largest);
}

static void check_finish(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                         const struct lorac_conv_finish *finish, const struct lorac_simd *simd, size_t most_threads)
{
    float *first = NULL;
    for (size_t threads = 1; threads <= most_threads; threads++) {
        const char *wrong;
        float *out = run(p, algorithm, &alone, finish, simd, threads, &wrong);
        CHECKF(!*wrong, "%s: %s", text_of(p, algorithm, simd), wrong);
        if (!first) {
            compare(p, algorithm, finish, simd, out);
            first = out;
            continue;
        }
        CHECKF(memcmp(first, out, p->out_count * sizeof(float)) == 0, "%s: other bits with %zu threads",
               text_of(p, algorithm, simd), threads);
        free_guarded(out);
    }
    free_guarded(first);
}

// The bits of weights of its own.
static void check_borrowing(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                            const struct lorac_simd *simd, size_t most_threads)
{
    const struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL);
    const char *wrong;
    float *own = run(p, algorithm, &alone, &plain, simd, 1, &wrong);
    for (size_t threads = 1; threads <= most_threads; threads++) {
        float *out = run(p, algorithm, &borrowing, &plain, simd, threads, &wrong);
        CHECKF(!*wrong, "%s, borrowing: %s", text_of(p, algorithm, simd), wrong);
        CHECKF(memcmp(own, out, p->out_count * sizeof(float)) == 0, "%s: other bits with borrowed weights, %zu threads",
               text_of(p, algorithm, simd), threads);
        free_guarded(out);
    }
    free_guarded(own);
}

static struct adapter make_adapter(const struct lorac_conv_shape *s, size_t R)
{
    const struct lorac_conv_adapter sizes = {.rows = s->M * s->kh, .columns = s->C * s->kw, .R = R, .s = 0.75};
    struct adapter adapter = {.h_count = s->N * s->OH * s->OW * s->kh * R};
    REQUIRE(lorac_conv_branch_init(&adapter.branch, s, &sizes));
    size_t a = R * sizes.columns, b = R * sizes.rows;
    adapter.branch.beside = true;
    adapter.a = random_floats(a > b ? a : b, "A"); // each may stand for the other
    adapter.b = random_floats(a > b ? a : b, "B");
    adapter.h = guarded(adapter.h_count);
    return adapter;
}

// The convolution by W + s * view(B @ A).
static struct problem adapted_problem(const struct problem *p, const struct adapter *adapter)
{
    const struct lorac_conv_branch *branch = &adapter->branch;
    const struct lorac_conv_adapter sizes = {
        .rows = p->shape.M * p->shape.kh, .columns = branch->columns, .R = branch->R, .s = branch->s};
    const struct lorac_kernel_env env = {.simd = lorac_simd_select()};
    struct problem adapted = *p;
    adapted.weight = need(lorac_conv_weight_count(&p->shape) * sizeof(float));
    adapted.sum = need(p->out_count * sizeof(double));
    lorac_conv_adapter_weight(&sizes, p->weight, adapter->a, adapter->b, adapted.weight, &env);
    compute(&adapted);
    return adapted;
}

// Bounds as for the convolution: the adapter's sums are short, and so are those that add it. Measured to no more
// either.
static void check_adapter(const struct problem *p, const struct lorac_conv_algorithm *algorithm, size_t R,
                          const struct lorac_conv_finish *finish, const struct lorac_simd *simd, size_t most_threads)
{
    struct adapter adapter = make_adapter(&p->shape, R);
    struct problem adapted = adapted_problem(p, &adapter);
    const struct way way = {false, &adapter};
    float *first = NULL, *h = need(adapter.h_count * sizeof(float));
    for (size_t threads = 1; threads <= most_threads; threads++) {
        const char *wrong;
        float *out = run(p, algorithm, &way, finish, simd, threads, &wrong);
        CHECKF(!*wrong, "%s, R %zu: %s", text_of(p, algorithm, simd), R, wrong);
        if (!first) {
            compare(&adapted, algorithm, finish, simd, out);
            memcpy(h, adapter.h, adapter.h_count * sizeof(float));
            first = out;
            continue;
        }
        CHECKF(memcmp(first, out, p->out_count * sizeof(float)) == 0 &&
                   memcmp(h, adapter.h, adapter.h_count * sizeof(float)) == 0,
               "%s, R %zu: other bits with %zu threads", text_of(p, algorithm, simd), R, threads);
        free_guarded(out);
    }
    free_guarded(first);
    free_guarded(adapter.h);
    free(h);
    free(adapter.a);
    free(adapter.b);
    free(adapted.weight);
    free(adapted.sum);
}

// Another weight first, then packed anew in its place: nothing of the first is left.
static void check_repacking(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                            const struct lorac_simd *simd)
{
    const struct lorac_conv_shape *s = &p->shape;
    const struct lorac_kernel_env env = {.simd = simd};
    const char *wrong;
    struct lorac_conv_finish finish = lorac_conv_finish_bias(p->bias);
    float *expected_out = run(p, algorithm, &alone, &finish, simd, 1, &wrong);
    float *out = need(p->out_count * sizeof(float));
    float *other = random_floats(lorac_conv_weight_count(s), "other"), *bias = random_floats(p->out_channels, "other");
    struct lorac_kernel_env with = env;
    with.workspace = need(algorithm->workspace_bytes(s) + algorithm->thread_workspace_bytes(s));
    void *state = NULL;
    struct lorac_error error = {0};
    finish.bias = bias;
    CHECK_OK(algorithm->create(s, other, &finish, NULL, p->in, out, &with, &state, &error), error);
    algorithm->run(state, &with);
    finish.bias = p->bias;
    size_t allocated = allocation_count;
    algorithm->repack(state, p->weight, &finish, &with);
    CHECKF(allocation_count == allocated, "%s: packing anew allocated", text_of(p, algorithm, simd));
    algorithm->run(state, &with);
    CHECKF(memcmp(expected_out, out, p->out_count * sizeof(float)) == 0, "%s: other bits once packed anew",
           text_of(p, algorithm, simd));
    algorithm->destroy(state);
    free_guarded(expected_out);
    free(out);
    free(other);
    free(bias);
    free(with.workspace);
}

static bool takes_adapter(const struct lorac_conv_algorithm *algorithm, const struct lorac_conv_shape *shape)
{
    const struct lorac_conv_branch branch = {.shape = *shape};
    return algorithm->beside || algorithm->merge ||
           (algorithm->beside_back && algorithm->beside_back->supports(&branch));
}

// Its loops are ours, compiled for several instruction sets.
static bool is_ours(const struct lorac_conv_algorithm *algorithm)
{
    return algorithm != &lorac_conv_direct && algorithm != &lorac_conv_gradient_deconv &&
           algorithm != &lorac_conv_gradient_pointwise;
}

// What is packed before each run is packed as what is kept, and leaves nothing behind.
static void check_at_run(const struct problem *p, const struct lorac_conv_algorithm *algorithm,
                         const struct lorac_simd *simd)
{
    const struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL);
    const char *wrong;
    const struct lorac_conv_algorithm *keeping = p->gradient ? &lorac_conv_gradient_gemm : &lorac_conv_gemm;
    float *kept = run(p, keeping, &alone, &plain, simd, 1, &wrong);
    float *at_run = run(p, algorithm, &alone, &plain, simd, 1, &wrong);
    CHECK(algorithm->packed_bytes(&p->shape) == 0);
    CHECKF(memcmp(kept, at_run, p->out_count * sizeof(float)) == 0, "%s: other bits than with kept weights",
           text_of(p, algorithm, simd));
    free_guarded(kept);
    free_guarded(at_run);
}

static void check_algorithm(const struct problem *p, const struct lorac_conv_algorithm *algorithm)
{
    const struct lorac_simd *variants[MAX_VARIANTS];
    size_t count = is_ours(algorithm) ? find_variants(variants) : (find_variants(variants), 1);
    struct lorac_conv_finish plain = lorac_conv_finish_bias(NULL), full = lorac_conv_finish_bias(p->bias);
    full.low = 0;
    full.high = 6;
    full.accumulate = algorithm->accumulates;
    for (size_t i = 0; i < count; i++) {
        check_finish(p, algorithm, &plain, variants[i], i == 0 ? THREADS : 1); // the cut is the same for all
        if (!p->gradient || algorithm->accumulates)
            check_finish(p, algorithm, &full, variants[i], 1);
        if (takes_adapter(algorithm, &p->shape)) // R within a vector, and more than a chunk of outputs
            check_adapter(p, algorithm, i == 0 && p->shape.H % 2 == 0 ? 34 : 5, i == 0 ? &plain : &full, variants[i],
                          i == 0 ? THREADS : 1);
        if (algorithm->pack)
            check_at_run(p, algorithm, variants[i]);
        if (algorithm->repack)
            check_repacking(p, algorithm, variants[i]);
        if (algorithm->lender)
            check_borrowing(p, algorithm, variants[i], i == 0 ? THREADS : 1);
    }
}

static void check_shape(const struct lorac_conv_shape *shape)
{
    for (int gradient = 0; gradient <= 1; gradient++) {
        size_t count;
        const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(gradient, &count);
        struct problem p = make_problem(shape, gradient);
        for (size_t i = 0; i < count; i++)
            if (list[i]->supports(&p.shape))
                check_algorithm(&p, list[i]);
        free_problem(&p);
    }
}

// ---- numbers that are not finite

// No output may be finite that is NaN or infinite by the plain sum and its limits.
static void check_not_hidden(const struct lorac_conv_shape *shape, float bad, bool gradient)
{
    struct problem p = make_problem(shape, gradient);
    p.in[p.in_count / 2] = bad;
    compute(&p);
    size_t count;
    const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(gradient, &count);
    const struct lorac_simd *variants[MAX_VARIANTS];
    size_t variant_count = find_variants(variants);
    for (size_t i = 0; i < count; i++)
        for (size_t v = 0; is_ours(list[i]) && v < variant_count; v++)
            for (int limits = 0; limits <= 1; limits++) {
                struct lorac_conv_finish finish = lorac_conv_finish_bias(NULL);
                finish.low = limits ? 0 : -INFINITY;
                const char *wrong;
                float *out = run(&p, list[i], &alone, &finish, variants[v], 1, &wrong);
                size_t hidden = 0, bad_count = 0;
                for (size_t k = 0; k < p.out_count; k++) {
                    bool bad_sum = isnan(p.sum[k]) || !isfinite(expected(&p, &finish, k)); // fmax(NAN, 0) is 0
                    bad_count += bad_sum;
                    hidden += bad_sum && isfinite(out[k]);
                }
                CHECK(bad_count > 0 || (limits && bad < 0));
                CHECKF(hidden == 0, "%s: %zu of %zu hidden", text_of(&p, list[i], variants[v]), hidden, bad_count);
                free_guarded(out);
            }
    free_problem(&p);
}

static void check_bad_numbers(void)
{
    static const struct conv_row row = {2, 7, 9, 19, 21, {1, 1, 1, 1}, 3, 1, 1};
    const struct lorac_conv_shape shape = shape_of(&row);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int gradient = 0; gradient <= 1; gradient++)
            check_not_hidden(&shape, bad[i], gradient);
}

int main(void)
{
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_xnn_initialize(&error), error));
    for_each_shape(check_shape);
    check_bad_numbers();
    printf("largest error of the largest output: plain %.2g, F(2x2) %.2g, F(4x4) %.2g\n", worst[0], worst[1],
           worst[2]);
    return check_report();
}
