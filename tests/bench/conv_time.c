// conv_time [REPETITIONS [TEXT]]: each algorithm of a frozen 3x3 convolution and of its input gradient, on layers of
// ResNet-18 in the form for 32x32 images and in the form for 224x224, with 1 and 2 threads.
//
// The algorithms take turns, so that a slow moment of the machine hits all of them. Prints nanoseconds for a
// multiply-add of the direct form (so that fewer products show as a smaller number), median and minimum, and the ratio
// of the direct form's time to it (medians / minima). TEXT: only layers whose name contains it. A benchmark, not a
// test: nothing is asserted.
#include "runtime/kernels/conv_algorithm.h"
#include "runtime/kernels/parallel.h"
#include "runtime/kernels/simd.h"
#include "runtime/kernels/xnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_REPETITIONS = 1000, MAX_ALGORITHMS = 5, LAYERS = 8, WARM_UP = 2 };

static const struct {
    size_t N, size, channels;
} layers[LAYERS] = {{32, 32, 64}, {32, 16, 128}, {32, 8, 256}, {32, 4, 512},
                    {8, 56, 64},  {8, 28, 128},  {8, 14, 256}, {8, 7, 512}};

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
        printf("%3zu -> %3zu  %2zux%-2zu (%2zu) %-8s %zu thread%s  %-13s %7.3f ms  %.4f ns (min %.4f)  %.2f (%.2f)\n",
               s->C, s->M, s->H, s->W, s->N, gradient ? "gradient" : "forward", threads, threads == 1 ? " " : "s",
               runners[i].algorithm->name, 1e-6 * times[repetitions / 2], times[repetitions / 2] / products,
               times[0] / products, direct[repetitions / 2] / times[repetitions / 2], direct[0] / times[0]);
    }
}

static void measure(const struct lorac_conv_shape *s, bool gradient, size_t threads, size_t repetitions)
{
    static struct runner runners[MAX_ALGORITHMS];
    int failed;
    struct lorac_kernel_env env = {.simd = lorac_simd_select(), .pool = lorac_parallel_create(threads, &failed)};
    float *weight = random_floats(lorac_conv_weight_count(s));
    float *in = random_floats(s->N * s->H * s->W * s->C), *out = need(s->N * s->OH * s->OW * s->M);
    size_t count = start(s, gradient, weight, in, out, &env, runners);
    for (size_t r = 0; r < WARM_UP + repetitions; r++)
        for (size_t i = 0; i < count; i++) {
            double begin = now_ns();
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
                size_t size = layers[i].size, channels = layers[i].channels;
                char name[64];
                snprintf(name, sizeof name, "%zux%zu %s %zu", size, size, gradient ? "gradient" : "forward", threads);
                if (argc > 2 && !strstr(name, argv[2]))
                    continue;
                const struct lorac_conv_shape shape = {layers[i].N, size, size, channels, size, size, channels, 1, 3,
                                                       3,           1,    1,    1,        1,    1,    1,        1, 1};
                measure(&shape, gradient, threads, repetitions);
            }
    return 0;
}
