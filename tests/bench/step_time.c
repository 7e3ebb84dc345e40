// step_time INJECTED.onnx BATCH THREADS [STEPS [POLICY]]: the time of one training step, and the peak memory of the
// process. POLICY: how adapters are run, a number of enum lorac_form_policy (0).
//
// Random float images, SGD with momentum. Two steps go first uncounted; prints the median and the range of the rest.
// A benchmark, not a test: nothing is asserted.
#include "runtime/lorac.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { WARM_UP = 2, MAX_STEPS = 1000 };

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void must(enum lorac_status status, const struct lorac_error *error)
{
    if (status == LORAC_OK)
        return;
    fprintf(stderr, "step_time: %s\n", error->message);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: step_time INJECTED.onnx BATCH THREADS [STEPS [POLICY]]\n");
        return 2;
    }
    struct lorac_error error = {0};
    struct lorac_net *net;
    struct lorac_info info;
    double start = now_ms();
    must(lorac_open(argv[1], &net, &error), &error);
    struct lorac_prepare_options options = lorac_prepare_options_default();
    options.batch = strtoul(argv[2], NULL, 10);
    options.threads = strtoul(argv[3], NULL, 10);
    options.training = true;
    options.form_policy = argc > 5 ? (enum lorac_form_policy)atoi(argv[5]) : LORAC_FORM_POLICY_AUTO;
    options.optimizer.lr = 1e-4;
    must(lorac_prepare(net, &options, &error), &error);
    must(lorac_get_info(net, &info, &error), &error);
    double ready = now_ms() - start;
    size_t steps = argc > 4 ? strtoul(argv[4], NULL, 10) : 20;
    size_t floats = options.batch * info.channels * info.height * info.width;
    float *x = malloc(floats * sizeof *x);
    int32_t *labels = malloc(options.batch * sizeof *labels);
    static double times[MAX_STEPS];
    if (!x || !labels || steps < 1 || steps > MAX_STEPS) {
        fprintf(stderr, "step_time: out of memory, or steps not 1 to %d\n", MAX_STEPS);
        return 1;
    }
    srand(1);
    for (size_t i = 0; i < floats; i++)
        x[i] = (float)rand() / (float)RAND_MAX * 2.0f - 1.0f;
    for (size_t i = 0; i < options.batch; i++)
        labels[i] = (int32_t)(i % info.classes);
    struct lorac_images images = {LORAC_PIXELS_F32, x, options.batch};
    for (size_t step = 0; step < WARM_UP + steps; step++) {
        double begin = now_ms();
        must(lorac_train_batch(net, &images, labels, NULL, NULL, &error), &error);
        if (step >= WARM_UP)
            times[step - WARM_UP] = now_ms() - begin;
    }
    qsort(times, steps, sizeof *times, compare);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "batch %zu, %zu thread(s): median %.1f ms a step (%.1f to %.1f, %zu steps), ready after %.0f ms, peak %.1f MB, "
        "predicted %.1f MB for the net\n",
        options.batch, options.threads, times[steps / 2], times[0], times[steps - 1], steps, ready,
        (double)usage.ru_maxrss / 1024.0, (double)lorac_memory_bytes(net) / 1048576.0);
    lorac_close(net);
    free(x);
    free(labels);
    return 0;
}
