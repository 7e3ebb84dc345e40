// Every allocation fails once: the whole path ends with a status and a sentence, nothing crashes, and (in the build with
// sanitizers) nothing leaks. The program is linked so that the project's own calls of the allocator come here;
// XNNPACK's and the C library's do not.
#include "net_fixture.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "runtime/train/loop.h"

#include <stdatomic.h>
#include <unistd.h>

static atomic_long allocations; // so far
static long fail_at;            // the number of the one that fails; 0: none

static bool fails(void)
{
    return atomic_fetch_add(&allocations, 1) + 1 == fail_at;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    return fails() ? 12 : __real_posix_memalign(out, alignment, bytes);
}

// ---- what is tried; each gives the status of what failed first

struct trial {
    const char *name;
    const struct tiny_options *tiny;
    enum lorac_status (*run)(const uint8_t *bytes, size_t byte_count, struct lorac_error *error);
};

static enum lorac_status train(const uint8_t *bytes, size_t byte_count, size_t recompute, struct lorac_error *error)
{
    struct lorac_net *net = NULL;
    struct lorac_prepare_options options = training(1);
    options.recompute = recompute;
    struct lorac_images batch = u8(0, BATCH), all = f32(0, IMAGES);
    struct lorac_step_result result;
    float outputs[IMAGES * TINY_CLASSES];
    enum lorac_status status;
    LORAC_TRY_GOTO(status, lorac_open_memory(bytes, byte_count, &net, error), done);
    LORAC_TRY_GOTO(status, lorac_prepare(net, &options, error), done);
    LORAC_TRY_GOTO(status, lorac_train_batch(net, &batch, labels, NULL, &result, error), done);
    LORAC_TRY_GOTO(status, lorac_train_batch(net, &batch, labels, NULL, &result, error), done);
    LORAC_TRY_GOTO(status, lorac_predict(net, &all, outputs, error), done);
    LORAC_TRY_GOTO(status, lorac_save(net, "out_of_memory.onnx", error), done);
done:
    lorac_close(net);
    return status;
}

// The loop: what augmenting needs is there before the first step, since filling a batch cannot fail.
static enum lorac_status loop_with_augmentation(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    struct lorac_net *net = NULL;
    const struct lorac_prepare_options options = training(1);
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_loop_options loop = lorac_loop_options_default();
    enum lorac_status status;
    LORAC_TRY_GOTO(status, lorac_open_memory(bytes, byte_count, &net, error), done);
    LORAC_TRY_GOTO(status, lorac_prepare(net, &options, error), done);
    loop.source = (struct lorac_batch_source){
        .dataset = &dataset,
        .normalize = net->normalize,
        .augment = {.flip = true, .area = {0.5, 1}, .jitter = {.brightness = 0.4, .contrast = 0.4}, .cutout = 2}};
    loop.epochs = 1;
    LORAC_TRY_GOTO(status, lorac_loop_run(net, &loop, error), done);
done:
    lorac_close(net);
    return status;
}

static enum lorac_status tune(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    static const struct lorac_choice given[] = {{.key = "kernels of another machine", .forward = "direct"}};
    struct lorac_net *net = NULL;
    struct lorac_prepare_options options = training(1);
    options.choices = given;
    options.choice_count = 1;
    options.tune = true;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, lorac_open_memory(bytes, byte_count, &net, error), done);
    LORAC_TRY_GOTO(status, lorac_prepare(net, &options, error), done);
done:
    lorac_close(net);
    return status;
}

static enum lorac_status keep_and_go_on(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    struct lorac_net *net = NULL;
    const struct lorac_prepare_options options = training(1);
    uint64_t steps;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, lorac_open_memory(bytes, byte_count, &net, error), done);
    LORAC_TRY_GOTO(status, lorac_prepare(net, &options, error), done);
    LORAC_TRY_GOTO(status, lorac_save_state(net, "out_of_memory.state", 3, error), done);
    LORAC_TRY_GOTO(status, lorac_load_state(net, "out_of_memory.state", &steps, error), done);
done:
    lorac_close(net);
    return status;
}

static enum lorac_status train_and_save(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    return train(bytes, byte_count, 0, error);
}

static enum lorac_status recompute_and_save(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    return train(bytes, byte_count, 2, error);
}

static enum lorac_status inject_and_merge(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    struct lorac_model *model = NULL;
    struct lorac_pass_report report;
    enum lorac_status status;
    LORAC_TRY_GOTO(status, lorac_model_parse(bytes, byte_count, &model, error), done);
    LORAC_TRY_GOTO(status, lorac_pass_inject.run(model, NULL, &report, error), done);
    LORAC_TRY_GOTO(status, lorac_pass_merge.run(model, NULL, &report, error), done);
done:
    lorac_model_free(model);
    return status;
}

static void run_trial(const struct trial *trial)
{
    enum { MOST = 100000 };
    struct lorac_error error = {0};
    size_t byte_count = 0;
    fail_at = 0;
    uint8_t *bytes = tiny_bytes(trial->tiny, &byte_count);
    long failures = 0;
    enum lorac_status status = LORAC_ERROR_MEMORY;
    for (long at = 1; status != LORAC_OK && at < MOST; at++) {
        error = (struct lorac_error){0};
        allocations = 0;
        fail_at = at;
        status = trial->run(bytes, byte_count, &error);
        fail_at = 0;
        if (status == LORAC_OK)
            break;
        failures++;
        CHECKF(status == LORAC_ERROR_MEMORY, "%s: allocation %ld failed, status %d: %s", trial->name, at, (int)status,
               error.message);
        CHECKF(error.message[0] != '\0', "%s: allocation %ld failed without a sentence", trial->name, at);
    }
    CHECKF(status == LORAC_OK, "%s: it never succeeded", trial->name);
    CHECKF(failures > 20, "%s: only %ld allocations failed", trial->name, failures);
    printf("%-24s %ld allocations, each failed once\n", trial->name, failures);
    free(bytes);
}

int main(void)
{
    static const struct tiny_options INJECTED = {.pixels = true};
    static const struct tiny_options BN = {.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN};
    static const struct tiny_options FOLDED = {.text = TINY_BN_TEXT, .pixels = true};
    static const struct tiny_options PLAIN = {.plain = true};
    static const struct trial TRIALS[] = {
        {"train and save", &INJECTED, train_and_save},
        {"train with BatchNorm", &BN, train_and_save},
        {"train with it folded", &FOLDED, train_and_save},
        {"loop with augmentation", &INJECTED, loop_with_augmentation},
        {"tune", &INJECTED, tune},
        {"recompute", &BN, recompute_and_save},
        {"keep and go on", &BN, keep_and_go_on},
        {"inject and merge", &PLAIN, inject_and_merge},
    };
    make_images();
    for (size_t i = 0; i < sizeof TRIALS / sizeof *TRIALS; i++)
        run_trial(&TRIALS[i]);
    unlink("out_of_memory.onnx");
    unlink("out_of_memory.state");
    return check_report();
}
