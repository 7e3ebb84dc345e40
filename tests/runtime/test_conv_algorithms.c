// Every algorithm of a convolution and of its input gradient, on every shape that it supports, against plain loops in
// double: with bias, limits and accumulating, for all instruction sets, with 1, 2 and 3 threads (the same bits), with
// nothing written outside of the output and the workspace; gradients that borrow the convolution's weights;
// adapters that run beside the convolution or in its gradient; weights that are packed anew; the gradients of the
// weight in the same ways; NaN and infinity; and which one is chosen.
#include "check.h"
#include "count_allocations.h"
#include "proto/rng.h"
#include "runtime/kernels/conv_branch.h"
#include "runtime/kernels/parallel.h"
#include "runtime/kernels/xnn.h"
#include "simd_variants.h"

// Of the largest output, random normal inputs. Sums of up to 4608 products, measured to 2.3e-6.
static const double TOLERANCE_EXACT = 4e-6;
// F(2x2): transforms only add, and sums have up to 512 products. Measured to 9e-7.
static const double TOLERANCE_WINOGRAD2 = 3e-6;
// F(4x4): products of larger numbers than the outputs are, which cancel. Measured to 5.1e-6 with 512 channels.
static const double TOLERANCE_WINOGRAD4 = 1.5e-5;

enum { GUARD_FLOATS = 64, THREADS = 3 };

struct conv_row {
    size_t N, H, W, C, M, pads[4], kernel, stride, G; // pads: top, left, bottom, right
};

static const struct conv_row rows[] = {
    // images smaller than a tile, of one pixel, without padding
    {1, 1, 1, 1, 1, {1, 1, 1, 1}, 3, 1, 1},
    {2, 1, 1, 17, 5, {1, 1, 1, 1}, 3, 1, 1},
    {3, 2, 1, 4, 33, {1, 1, 1, 1}, 3, 1, 1},
    {1, 1, 9, 16, 16, {1, 1, 1, 1}, 3, 1, 1},
    {1, 9, 2, 16, 16, {1, 1, 1, 1}, 3, 1, 1},
    {1, 3, 3, 8, 8, {0, 0, 0, 0}, 3, 1, 1},
    {5, 3, 4, 3, 7, {0, 0, 0, 0}, 3, 1, 1},
    // pads of all sorts
    {2, 5, 6, 9, 20, {0, 1, 2, 1}, 3, 1, 1},
    {2, 6, 5, 20, 9, {2, 2, 2, 2}, 3, 1, 1},
    {1, 1, 1, 6, 6, {2, 2, 2, 2}, 3, 1, 1},
    {1, 7, 7, 6, 6, {2, 0, 0, 2}, 3, 1, 1},
    {1, 8, 8, 6, 6, {0, 2, 1, 0}, 3, 1, 1},
    // channels around vectors and chunks
    {1, 4, 4, 15, 31, {1, 1, 1, 1}, 3, 1, 1},
    {1, 4, 4, 16, 32, {1, 1, 1, 1}, 3, 1, 1},
    {1, 4, 4, 17, 33, {1, 1, 1, 1}, 3, 1, 1},
    {1, 5, 5, 33, 48, {1, 1, 1, 1}, 3, 1, 1},
    {1, 5, 5, 47, 49, {1, 1, 1, 1}, 3, 1, 1},
    {2, 8, 8, 40, 72, {1, 1, 1, 1}, 3, 1, 1},
    // tiles around groups and blocks: one block, some (shared), many (each thread its own)
    {11, 4, 4, 24, 24, {1, 1, 1, 1}, 3, 1, 1},
    {13, 4, 4, 24, 24, {1, 1, 1, 1}, 3, 1, 1},
    {2, 13, 11, 64, 40, {1, 1, 1, 1}, 3, 1, 1},
    {3, 29, 30, 18, 20, {1, 1, 1, 1}, 3, 1, 1},
    {9, 32, 33, 16, 18, {1, 1, 1, 1}, 3, 1, 1},
    {8, 33, 31, 20, 16, {1, 0, 1, 2}, 3, 1, 1},
    // long sums
    {2, 7, 7, 128, 64, {1, 1, 1, 1}, 3, 1, 1},
    {2, 7, 7, 256, 32, {1, 1, 1, 1}, 3, 1, 1},
    {8, 4, 4, 512, 32, {1, 1, 1, 1}, 3, 1, 1},
    {1, 7, 7, 32, 512, {1, 1, 1, 1}, 3, 1, 1},
    // what Winograd does not do
    {2, 7, 6, 5, 9, {1, 1, 1, 1}, 3, 2, 1},
    {2, 7, 6, 6, 9, {1, 1, 1, 1}, 3, 1, 3},
    {2, 7, 6, 6, 9, {0, 0, 0, 0}, 1, 2, 1},
    {1, 9, 8, 6, 9, {2, 2, 2, 2}, 5, 1, 1},
    // strides: phases without a tap, of different sizes, several blocks, long sums, a stride beyond the kernel
    {3, 9, 12, 20, 40, {1, 1, 1, 1}, 3, 2, 1},
    {2, 33, 31, 32, 70, {1, 0, 0, 1}, 3, 2, 1},
    {8, 16, 16, 64, 128, {1, 1, 1, 1}, 3, 2, 1},
    {4, 8, 8, 256, 64, {1, 1, 1, 1}, 3, 2, 1},
    {2, 16, 16, 48, 33, {0, 0, 0, 0}, 1, 2, 1},
    {2, 20, 21, 5, 17, {3, 3, 3, 3}, 7, 2, 1},
    {1, 14, 17, 7, 6, {2, 1, 0, 2}, 5, 3, 1},
    {1, 11, 11, 4, 4, {0, 0, 0, 0}, 2, 4, 1},
    // pixels that are multiplied where they lie, and with pads that reach a 1x1 kernel
    {5, 14, 14, 96, 40, {0, 0, 0, 0}, 1, 1, 1},
    {1, 7, 7, 65, 257, {0, 0, 0, 0}, 1, 1, 1},
    {2, 5, 4, 16, 16, {1, 0, 2, 1}, 1, 1, 1},
    // a stride, and pads at the end that keep the size: the pixels are not where they are without a stride
    {1, 2, 2, 64, 16, {0, 0, 1, 1}, 1, 2, 1},
    {2, 3, 3, 64, 32, {0, 0, 2, 2}, 1, 2, 1},
    // chunks that end within a vector
    {1, 5, 5, 33, 4, {0, 0, 0, 0}, 3, 2, 1},
    {1, 5, 5, 5, 41, {0, 0, 0, 0}, 3, 2, 1},
    {1, 5, 5, 7, 45, {0, 0, 0, 0}, 1, 1, 1},
    {1, 5, 5, 7, 61, {1, 1, 1, 1}, 3, 2, 1},
};

// What a row does not say: kernels, strides and dilations that differ by axis.
static const struct lorac_conv_shape uneven[] = {
    {.N = 2,
     .H = 9,
     .W = 12,
     .C = 20,
     .M = 40,
     .kh = 3,
     .kw = 3,
     .stride_h = 2,
     .stride_w = 2,
     .dilation_h = 1,
     .dilation_w = 3,
     .pad_top = 1,
     .pad_left = 3,
     .pad_bottom = 2,
     .G = 1},
    {.N = 2,
     .H = 9,
     .W = 9,
     .C = 17,
     .M = 33,
     .kh = 2,
     .kw = 3,
     .stride_h = 1,
     .stride_w = 2,
     .dilation_h = 4,
     .dilation_w = 1,
     .G = 1},
    {.N = 2,
     .H = 13,
     .W = 12,
     .C = 20,
     .M = 24,
     .kh = 4,
     .kw = 3,
     .stride_h = 3,
     .stride_w = 2,
     .dilation_h = 2,
     .dilation_w = 3,
     .pad_left = 2,
     .pad_bottom = 1,
     .pad_right = 2,
     .G = 1},
    {.N = 1,
     .H = 12,
     .W = 14,
     .C = 16,
     .M = 40,
     .kh = 3,
     .kw = 3,
     .stride_h = 8,
     .stride_w = 7,
     .dilation_h = 1,
     .dilation_w = 1,
     .G = 1},
    {.N = 1,
     .H = 3,
     .W = 30,
     .C = 18,
     .M = 35,
     .kh = 1,
     .kw = 7,
     .stride_h = 1,
     .stride_w = 2,
     .dilation_h = 1,
     .dilation_w = 1,
     .G = 1},
    {.N = 2,
     .H = 3,
     .W = 5,
     .C = 64,
     .M = 32,
     .kh = 1,
     .kw = 1,
     .stride_h = 2,
     .stride_w = 1,
     .dilation_h = 1,
     .dilation_w = 1,
     .pad_bottom = 2,
     .G = 1},
};

static void set_output_size(struct lorac_conv_shape *s)
{
    s->OH = (s->H + s->pad_top + s->pad_bottom - (s->kh - 1) * s->dilation_h - 1) / s->stride_h + 1;
    s->OW = (s->W + s->pad_left + s->pad_right - (s->kw - 1) * s->dilation_w - 1) / s->stride_w + 1;
}

static struct lorac_conv_shape shape_of(const struct conv_row *r)
{
    struct lorac_conv_shape s = {.N = r->N, .H = r->H, .W = r->W, .C = r->C, .M = r->M, .G = r->G};
    s.kh = s.kw = r->kernel;
    s.stride_h = s.stride_w = r->stride;
    s.dilation_h = s.dilation_w = 1;
    s.pad_top = r->pads[0];
    s.pad_left = r->pads[1];
    s.pad_bottom = r->pads[2];
    s.pad_right = r->pads[3];
    set_output_size(&s);
    return s;
}

// ---- memory

static void *need(size_t bytes)
{
    void *memory = NULL;
    REQUIRE(posix_memalign(&memory, LORAC_BUFFER_ALIGNMENT, bytes + 2 * LORAC_BUFFER_ALIGNMENT) == 0);
    memset(memory, 0, bytes + 2 * LORAC_BUFFER_ALIGNMENT);
    return memory;
}

static float *random_floats(size_t count, const char *purpose)
{
    struct lorac_rng rng;
    float *x = need(count * sizeof(float));
    lorac_rng_init(&rng, 1, purpose, count, 0);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)lorac_rng_normal(&rng);
    return x;
}

// [count] floats between guards; all of it NaN.
static float *guarded(size_t count)
{
    float *memory = need((count + 2 * GUARD_FLOATS) * sizeof(float));
    memset(memory, 0xFF, (count + 2 * GUARD_FLOATS) * sizeof(float));
    return memory + GUARD_FLOATS;
}

static int guards_stand(const float *memory, size_t count)
{
    size_t damaged = 0;
    for (size_t i = 0; i < GUARD_FLOATS * sizeof(float); i++)
        damaged += ((const unsigned char *)(memory - GUARD_FLOATS))[i] != 0xFF ||
                   ((const unsigned char *)(memory + count))[i] != 0xFF;
    return damaged == 0;
}

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

static void free_result(float *out)
{
    free(out - GUARD_FLOATS);
}

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
    free_result(scratch);
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

static double worst[4]; // exact, winograd2, winograd4, its gradient of the weight: printed at the end

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
        free_result(out);
    }
    free_result(first);
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
        free_result(out);
    }
    free_result(own);
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
        free_result(out);
    }
    free_result(first);
    free_result(adapter.h);
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
    free_result(expected_out);
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
    free_result(kept);
    free_result(at_run);
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

// ---- the gradient of the weight

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
    free_result(workspace);
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
    double *slot = &worst[by_winograd ? 3 : 0];
    *slot = fmax(*slot, error / largest);
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
                free_result(out);
            }
            free_result(first);
        }
    free(x);
    free(dy);
    free(expected_sum);
}

static void check_weight_choice(void)
{
    static const struct {
        struct conv_row row;
        struct lorac_conv_demand demand;
        const char *name;
    } choices[] = {
        {{64, 32, 32, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.exact = true}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 1 << 20}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 1 << 23}, "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 2, 1}, {0}, "plain"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {0}, "plain"},
        {{32, 32, 32, 64, 64, {0, 0, 0, 0}, 1, 1, 1}, {0}, "plain"},
        {{64, 32, 32, 3, 16, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"},
        {{32, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"}, // few pixels
        {{32, 8, 8, 256, 256, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"}, // few parts
        {{15, 8, 8, 32, 32, {1, 1, 1, 1}, 3, 1, 1}, {0}, "plain"},
        {{16, 8, 8, 32, 32, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4"},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct lorac_conv_shape shape = shape_of(&choices[i].row);
        CHECK_STRING(lorac_conv_weight_gradient(&shape, &choices[i].demand)->name, choices[i].name);
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
                free_result(out);
            }
    free_problem(&p);
}

// The same for the gradient of the weight, with the number in x or in dy.
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
        free_result(out);
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
        for (int gradient = 0; gradient <= 1; gradient++) {
            check_not_hidden(&shape, bad[i], gradient);
            check_not_hidden_from_weight(&shape, bad[i], gradient);
        }
}

// ---- which one is chosen

static void check_choice(void)
{
    static const struct {
        struct conv_row row;
        struct lorac_conv_demand demand;
        const char *forward, *gradient;
    } choices[] = {
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4", "winograd4"},
        {{32, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd4", "winograd4"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.exact = true}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.changing = true}, "winograd4", "winograd4"},
        {{15, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {.changing = true}, "gemm", "gemm"},
        {{15, 4, 4, 512, 512, {1, 1, 1, 1}, 3, 1, 1}, {0}, "winograd2", "winograd2"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 20 * 4096}, "winograd2", "winograd2"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 9 * 4096}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1}, {.packed_limit = 4 * 4096}, "gemm-at-run", "gemm-at-run"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 1},
         {.packed_limit = 4 * 4096, .changing = true, .exact = true},
         "gemm-at-run",
         "gemm-at-run"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {.packed_limit = 1}, "direct", "deconvolution"},
        {{32, 28, 28, 16, 32, {1, 1, 1, 1}, 3, 2, 1}, {.packed_limit = 1 << 20}, "direct", "deconvolution"},
        {{32, 32, 32, 3, 64, {1, 1, 1, 1}, 3, 1, 1}, {0}, "direct", "deconvolution"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 32, 32, 64, 64, {1, 1, 1, 1}, 3, 1, 2}, {0}, "direct", "deconvolution"},
        {{32, 32, 32, 64, 64, {0, 0, 0, 0}, 1, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 8, 8, 256, 512, {0, 0, 0, 0}, 1, 2, 1}, {0}, "gemm", "gemm"},
        {{32, 16, 16, 32, 64, {0, 0, 0, 0}, 1, 2, 1}, {0}, "direct", "pointwise"},
        {{8, 28, 28, 512, 128, {0, 0, 0, 0}, 1, 1, 1}, {0}, "gemm", "gemm"},
        {{32, 28, 28, 16, 32, {1, 1, 1, 1}, 3, 2, 1}, {0}, "direct", "deconvolution"},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct lorac_conv_shape shape = shape_of(&choices[i].row);
        CHECK_STRING(lorac_conv_forward_algorithm(&shape, &choices[i].demand)->name, choices[i].forward);
        CHECK_STRING(lorac_conv_gradient_algorithm(&shape, &choices[i].demand)->name, choices[i].gradient);
    }
}

// Where the gradient's weights have the adapter: never where they are borrowed, not of few pixels, and only beside the
// algorithm that they come from.
static void check_merges(void)
{
    static const struct {
        struct conv_row row;
        const struct lorac_conv_algorithm *forward, *gradient;
        bool merges;
    } merges[] = {
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd4, true},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd2, &lorac_conv_gradient_winograd2, true},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd2, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_direct, &lorac_conv_gradient_winograd4, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_deconv, false},
        {{3, 16, 8, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, NULL, false},
        {{1, 16, 23, 16, 16, {1, 1, 1, 1}, 3, 1, 1}, &lorac_conv_winograd4, &lorac_conv_gradient_winograd4, false},
        {{32, 32, 32, 256, 256, {1, 1, 1, 1}, 3, 1, 1},
         &lorac_conv_winograd4,
         &lorac_conv_gradient_winograd4,
         false},
    };
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        const struct lorac_conv_shape shape = shape_of(&merges[i].row);
        const struct lorac_conv_adapter sizes = {
            .rows = shape.M * shape.kh, .columns = shape.C * shape.kw, .R = 4, .s = 1};
        struct lorac_conv_branch branch;
        REQUIRE(lorac_conv_branch_init(&branch, &shape, &sizes));
        CHECKF(lorac_conv_merges(&branch, merges[i].forward, merges[i].gradient) == merges[i].merges, "row %zu", i);
    }
}

int main(void)
{
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_xnn_initialize(&error), error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct lorac_conv_shape shape = shape_of(&rows[i]);
        check_shape(&shape);
        check_weight_gradient(&shape);
    }
    for (size_t i = 0; i < sizeof uneven / sizeof *uneven; i++) {
        struct lorac_conv_shape shape = uneven[i];
        set_output_size(&shape);
        check_shape(&shape);
        check_weight_gradient(&shape);
    }
    check_bad_numbers();
    check_choice();
    check_merges();
    check_weight_choice();
    printf("largest error of the largest output: plain %.2g, F(2x2) %.2g, F(4x4) %.2g, its gradient of the weight "
           "%.2g\n",
           worst[0], worst[1], worst[2], worst[3]);
    return check_report();
}
