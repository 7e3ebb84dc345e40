// conv_time [REPETITIONS [TEXT]]: each algorithm of a frozen convolution and of its input gradient, on layers of
// ResNet-18 and ResNet-20 in the form for 32x32 images and of ResNet-18 and ResNet-50 for 224x224, with 1 and 2
// threads.
//
// The algorithms take turns, so that a slow moment of the machine hits all of them. Prints nanoseconds for a
// multiply-add of the direct form (so that fewer products show as a smaller number), median and minimum, and the ratio
// of the direct form's time to it (medians / minima). TEXT: only layers whose name ("3x3/2 forward 1") contains it. A
// benchmark, not a test: nothing is asserted.
#include "runtime/kernels/conv_algorithm.h"
#include "runtime/kernels/parallel.h"
#include "runtime/kernels/simd.h"
#include "runtime/kernels/xnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_REPETITIONS = 1000, MAX_ALGORITHMS = 6, WARM_UP = 2 };

static const struct {
    size_t N, size, C, M, kernel, stride;
} layers[] = {
    {32, 32, 64, 64, 3, 1},   {32, 16, 128, 128, 3, 1}, {32, 8, 256, 256, 3, 1}, {32, 4, 512, 512, 3, 1},
    {8, 56, 64, 64, 3, 1},    {8, 28, 128, 128, 3, 1},  {8, 14, 256, 256, 3, 1}, {8, 7, 512, 512, 3, 1},
    {32, 28, 16, 16, 3, 1},   {32, 14, 32, 32, 3, 1},   {64, 32, 16, 16, 3, 1},  {64, 16, 32, 32, 3, 1},
    {32, 28, 16, 32, 3, 2},   {32, 14, 32, 64, 3, 2},   {32, 32, 64, 128, 3, 2}, {32, 16, 128, 256, 3, 2},
    {32, 8, 256, 512, 3, 2},  {32, 32, 64, 128, 1, 2},  {32, 8, 256, 512, 1, 2}, {8, 56, 64, 64, 1, 1},
    {8, 56, 64, 256, 1, 1},   {8, 56, 256, 64, 1, 1},   {8, 28, 128, 512, 1, 1}, {8, 28, 512, 128, 1, 1},
    {8, 14, 256, 1024, 1, 1}, {8, 14, 1024, 256, 1, 1}, {8, 7, 512, 2048, 1, 1}, {8, 7, 2048, 512, 1, 1},
    {8, 56, 256, 512, 1, 2},  {8, 28, 512, 1024, 1, 2}, {8, 56, 128, 128, 3, 2}, {8, 28, 256, 256, 3, 2},
    {8, 14, 512, 512, 3, 2},  {32, 14, 16, 32, 1, 2},   {32, 16, 32, 64, 1, 2},
};
enum { LAYERS = sizeof layers / sizeof *layers };

struct runner {
    const struct lorac_conv_algorithm *algorithm;
    void *state;
    double times[MAX_REPETITIONS];
};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void *need(size_t floats)
{
    void *memory = NULL;
    if (posix_memalign(&memory, LORAC_BUFFER_ALIGNMENT, floats * sizeof(float) + LORAC_EXTRA_BYTES) != 0) {
        fprintf(stderr, "conv_time: out of memory\n");
        exit(1);
    }
    memset(memory, 0, floats * sizeof(float) + LORAC_EXTRA_BYTES);
    return memory;
}

static float *random_floats(size_t count)
{
    float *x = need(count);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)rand() / (float)RAND_MAX * 2.0f - 1.0f;
    return x;
}

static size_t workspace(const struct lorac_conv_algorithm *a, const struct lorac_conv_shape *s, size_t threads)
{
    return (a->workspace_bytes ? a->workspace_bytes(s) : 0) +
           (a->thread_workspace_bytes ? threads * a->thread_workspace_bytes(s) : 0);
}

// The algorithms that support the shape, ready to run; all of them write to [out].
static size_t start(const struct lorac_conv_shape *s, bool gradient, const float *weight, const float *in, float *out,
                    struct lorac_kernel_env *env, struct runner *runners)
{
    size_t all, count = 0, bytes = 0, threads = lorac_parallel_threads(env->pool);
    const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(gradient, &all);
    for (size_t i = 0; i < all && count < MAX_ALGORITHMS; i++)
        if (list[i]->supports(s)) {
            runners[count++].algorithm = list[i];
            size_t wanted = workspace(list[i], s, threads);
            bytes = wanted > bytes ? wanted : bytes;
        }
    env->workspace = need(bytes / sizeof(float));
    float *packing = need(lorac_conv_weight_count(s));
    const struct lorac_conv_finish finish = lorac_conv_finish_bias(NULL);
    for (size_t i = 0; i < count; i++) {
        struct lorac_error error = {0};
        if (runners[i].algorithm->create(s, weight, &finish, packing, in, out, env, &runners[i].state, &error) !=
            LORAC_OK) {
            fprintf(stderr, "conv_time: %s\n", error.message);
            exit(1);
        }
    }
    free(packing);
    return count;
}

static void print(const struct lorac_conv_shape *s, bool gradient, size_t threads, struct runner *runners, size_t count,
                  size_t repetitions)
{
    double products = (double)(s->N * s->OH * s->OW) * (double)lorac_conv_weight_count(s);
    for (size_t i = 0; i < count; i++)
        qsort(runners[i].times, repetitions, sizeof(double), compare);
    const double *direct = runners[count - 1].times;
    for (size_t i = 0; i < count; i++) {
        const double *times = runners[i].times;
        printf("%4zu -> %4zu  %zux%zu/%zu  %2zux%-2zu (%2zu) %-8s %zu thread%s  %-13s %7.3f ms  %.4f ns (min %.4f)  "
               "%.2f (%.2f)\n",
               s->C, s->M, s->kh, s->kw, s->stride_h, s->H, s->W, s->N, gradient ? "gradient" : "forward", threads,
               threads == 1 ? " " : "s", runners[i].algorithm->name, 1e-6 * times[repetitions / 2],
               times[repetitions / 2] / products, times[0] / products, direct[repetitions / 2] / times[repetitions / 2],
               direct[0] / times[0]);
    }
}

static void measure(const struct lorac_conv_shape *s, bool gradient, size_t threads, size_t repetitions)
{
    static struct runner runners[MAX_ALGORITHMS];
    int failed;
    struct lorac_kernel_env env = {.simd = lorac_simd_select(), .pool = lorac_parallel_create(threads, &failed)};
    float *weight = random_floats(lorac_conv_weight_count(s));
    size_t x = s->N * s->H * s->W * s->C, y = s->N * s->OH * s->OW * s->M;
    float *in = random_floats(gradient ? y : x), *out = need(gradient ? x : y);
    size_t count = start(s, gradient, weight, in, out, &env, runners);
    for (size_t r = 0; r < WARM_UP + repetitions; r++)
        for (size_t i = 0; i < count; i++) {
            double begin = now_ns();
            if (runners[i].algorithm->pack)
                runners[i].algorithm->pack(runners[i].state, weight, &env);
            runners[i].algorithm->run(runners[i].state, &env);
            if (r >= WARM_UP)
                runners[i].times[r - WARM_UP] = now_ns() - begin;
        }
    print(s, gradient, threads, runners, count, repetitions);
    for (size_t i = 0; i < count; i++)
        runners[i].algorithm->destroy(runners[i].state);
    lorac_parallel_free(env.pool);
    free(env.workspace);
    free(weight);
    free(in);
    free(out);
}

// Pads as PyTorch's ResNets have them.
static struct lorac_conv_shape shape_of(size_t i)
{
    size_t kernel = layers[i].kernel, stride = layers[i].stride, pad = kernel / 2, size = layers[i].size;
    struct lorac_conv_shape s = {.N = layers[i].N, .H = size, .W = size, .C = layers[i].C, .M = layers[i].M, .G = 1};
    s.kh = s.kw = kernel;
    s.stride_h = s.stride_w = stride;
    s.dilation_h = s.dilation_w = 1;
    s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = pad;
    s.OH = s.OW = (size + 2 * pad - kernel) / stride + 1;
    return s;
}

int main(int argc, char **argv)
{
    size_t repetitions = argc > 1 ? strtoul(argv[1], NULL, 10) : 20;
    struct lorac_error error = {0};
    if (repetitions < 1 || repetitions > MAX_REPETITIONS || lorac_xnn_initialize(&error) != LORAC_OK) {
        fprintf(stderr, "conv_time: %s\n", error.message[0] ? error.message : "repetitions must be 1 to 1000");
        return 1;
    }
    for (size_t threads = 1; threads <= 2; threads++)
        for (size_t i = 0; i < LAYERS; i++)
            for (int gradient = 0; gradient <= 1; gradient++) {
                const struct lorac_conv_shape shape = shape_of(i);
                char name[96];
                snprintf(name, sizeof name, "%zux%zu %zu->%zu %zux%zu/%zu %s %zu", shape.H, shape.W, shape.C, shape.M,
                         shape.kh, shape.kw, shape.stride_h, gradient ? "gradient" : "forward", threads);
                if (argc > 2 && !strstr(name, argv[2]))
                    continue;
                measure(&shape, gradient, threads, repetitions);
            }
    return 0;
}
