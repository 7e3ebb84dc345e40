// Training through the C API: what it learns, what moves and what stays, what is saved, and what happens to a bad step.
#include "check.h"
#include "net_fixture.h"

#include "proto/tensor.h"

#include <unistd.h>

// ---- train, save, prepare again

static void test_train(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    const struct lorac_images images = u8(0, BATCH), all = u8(0, IMAGES);
    struct lorac_evaluation before, after;
    struct lorac_step_result step;
    CHECK_OK(lorac_evaluate(net, &images, labels, NULL, NULL, &before, &error), error);
    const double still = 0;
    CHECK_OK(lorac_train_batch(net, &images, labels, &still, &step, &error), error);
    CHECKF(fabs(step.loss - before.loss) <= 1e-6, "loss of a step %.9g, of evaluation %.9g", step.loss, before.loss);
    CHECK(step.correct == before.correct && step.gradient_norm > 0);
    CHECK_OK(lorac_evaluate(net, &images, labels, NULL, NULL, &after, &error), error);
    CHECK(after.loss == before.loss); // a learning rate of 0 moves nothing

    CHECK_OK(lorac_evaluate(net, &all, labels, NULL, NULL, &before, &error), error);
    train_steps(net, 200);
    CHECK_OK(lorac_evaluate(net, &all, labels, NULL, NULL, &after, &error), error);
    CHECKF(after.loss < before.loss / 2 && after.correct > IMAGES / 2, "loss %g to %g, %zu correct", before.loss,
           after.loss, after.correct);
    lorac_close(net);
}

static void test_save_and_prepare(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    const struct lorac_images all = u8(0, IMAGES);
    float trained[IMAGES * TINY_CLASSES], again[IMAGES * TINY_CLASSES];
    train_steps(net, 20);
    // A second preparation keeps the values, though nobody saved them, and starts the optimiser anew: as after saving
    // and opening.
    struct lorac_prepare_options options = training(1);
    CHECK_OK(lorac_predict(net, &all, trained, &error), error);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK_OK(lorac_predict(net, &all, again, &error), error);
    CHECK(memcmp(trained, again, sizeof again) == 0);

    CHECK_OK(lorac_save(net, "test_net_saved.onnx", &error), error);
    struct lorac_net *reopened = NULL;
    CHECK_OK(lorac_open("test_net_saved.onnx", &reopened, &error), error);
    REQUIRE(reopened != NULL);
    unlink("test_net_saved.onnx");
    CHECK_OK(lorac_prepare(reopened, &options, &error), error);
    CHECK_OK(lorac_predict(reopened, &all, again, &error), error);
    CHECK(memcmp(trained, again, sizeof again) == 0);
    train_steps(net, 3);
    train_steps(reopened, 3);
    CHECK(same_bytes(net, reopened));

    CHECK_OK(lorac_predict(net, &all, trained, &error), error);
    const size_t training_bytes = lorac_memory_bytes(net);
    options.training = false;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK(lorac_memory_bytes(net) > 0 && lorac_memory_bytes(net) < training_bytes);
    options.batch = IMAGES;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK_OK(lorac_predict(net, &all, again, &error), error);
    for (size_t i = 0; i < IMAGES * TINY_CLASSES; i++)
        CHECK(fabs((double)trained[i] - (double)again[i]) <= SUM_TOLERANCE);
    CHECK(lorac_train_batch(net, &all, labels, NULL, NULL, &error) == LORAC_ERROR_ARGUMENT);
    lorac_close(net);
    lorac_close(reopened);
}

// A model whose weights are the bytes of files, which are let go between one use and the next, trains as one in memory,
// and its files stay as they are.
static void test_mapped(enum lorac_data_place place, bool bn_train)
{
    struct tiny_options tiny = {.pixels = true};
    if (bn_train) {
        tiny.text = TINY_BN_TEXT;
        tiny.bn = LORAC_BN_TRAIN;
    }
    const char *const path = "test_training_mapped.onnx", *const again_path = "test_training_again.onnx";
    struct lorac_error error = {0};
    struct lorac_prepare_options options = training(1);
    struct lorac_net *net = open_prepared(&tiny, true), *mapped = NULL, *untouched = NULL, *again = NULL;
    CHECK_OK(lorac_net_save_as(net, path, place, NULL, &error), error);
    CHECK_OK(lorac_open(path, &mapped, &error), error);
    REQUIRE(mapped != NULL);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK_OK(lorac_prepare(mapped, &options, &error), error);
    CHECK(same_bytes(net, mapped));
    for (size_t round = 0; round < 3; round++) {
        train_steps(net, 3);
        train_steps(mapped, 3);
        CHECK_OK(lorac_prepare(net, &options, &error), error);
        CHECK_OK(lorac_prepare(mapped, &options, &error), error);
        CHECKF(same_bytes(net, mapped), "place %d, round %zu", (int)place, round);
    }
    CHECK_OK(lorac_net_save_as(mapped, again_path, place, NULL, &error), error);
    CHECK_OK(lorac_open(again_path, &again, &error), error);
    CHECK_OK(lorac_open(path, &untouched, &error), error);
    REQUIRE(again != NULL && untouched != NULL);
    CHECK_OK(lorac_prepare(again, &options, &error), error);
    CHECK_OK(lorac_prepare(untouched, &options, &error), error);
    CHECK(same_bytes(net, again) && !same_bytes(net, untouched));
    lorac_close(net);
    lorac_close(mapped);
    lorac_close(untouched);
    lorac_close(again);
    CHECK(unlink(path) == 0 && unlink(again_path) == 0);
    if (place == LORAC_DATA_EXTERNAL)
        CHECK(unlink("test_training_mapped.onnx.data") == 0 && unlink("test_training_again.onnx.data") == 0);
}

static bool in_list(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

// Only what is trained differs after training, and all of it does; with BatchNorm in mode train its statistics move
// too.
static void test_what_moves(const struct tiny_options *tiny, const char *const *moving, size_t moving_count)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(tiny, true), *fresh = open_tiny(tiny);
    train_steps(net, 3);
    CHECK_OK(lorac_session_store(net->session, &error), error);
    const Onnx__GraphProto *a = fresh->model->proto->graph, *b = net->model->proto->graph;
    REQUIRE(a->n_initializer == b->n_initializer);
    for (size_t i = 0; i < a->n_initializer; i++) {
        const char *name = a->initializer[i]->name;
        size_t a_count, b_count;
        uint8_t *a_bytes = NULL, *b_bytes = NULL;
        CHECK_OK(lorac_tensor_canonical_bytes(a->initializer[i], &a_bytes, &a_count, &error), error);
        CHECK_OK(lorac_tensor_canonical_bytes(b->initializer[i], &b_bytes, &b_count, &error), error);
        bool same = a_count == b_count && memcmp(a_bytes, b_bytes, a_count) == 0;
        bool trained = in_list(name, net->meta.trainable, net->meta.trainable_count);
        CHECKF(same != (trained || in_list(name, moving, moving_count)), "'%s' %s", name, same ? "stayed" : "moved");
        free(a_bytes);
        free(b_bytes);
    }
    lorac_close(net);
    lorac_close(fresh);
}

static void test_threads(const struct tiny_options *tiny)
{
    struct lorac_net *nets[3];
    for (size_t threads = 1; threads <= 3; threads++) {
        struct lorac_error error = {0};
        nets[threads - 1] = open_tiny(tiny);
        struct lorac_prepare_options options = training(threads);
        options.optimizer.kind = LORAC_ADAMW;
        options.optimizer.lr = 0.01;
        CHECK_OK(lorac_prepare(nets[threads - 1], &options, &error), error);
        train_steps(nets[threads - 1], 12);
    }
    CHECK(same_bytes(nets[0], nets[1]));
    CHECK(same_bytes(nets[0], nets[2]));
    for (size_t i = 0; i < 3; i++)
        lorac_close(nets[i]);
}

// ---- forms of adapters

enum { FORM_STEPS = 20 };
// Of the largest loss so far: 20 steps of float32 sums in two orders. A loss is what is left of logits, whose rounding
// stays when it falls. 2e-8 in the first step, then up to 1.3e-6 was measured (with different instruction sets).
static const double FORM_TOLERANCE = 5e-6;

static void losses_with(const struct tiny_options *tiny, const struct lorac_prepare_options *options,
                        double losses[FORM_STEPS], struct lorac_net **out)
{
    struct lorac_error error = {0};
    *out = open_tiny(tiny);
    CHECK_OK(lorac_prepare(*out, options, &error), error);
    for (size_t step = 0; step < FORM_STEPS; step++) {
        const size_t first = step * BATCH % (IMAGES / BATCH * BATCH);
        const struct lorac_images images = u8(first, BATCH);
        struct lorac_step_result result;
        REQUIRE(CHECK_OK(lorac_train_batch(*out, &images, labels + first, NULL, &result, &error), error));
        losses[step] = result.loss;
    }
}

static void losses_of(const struct tiny_options *tiny, enum lorac_form_policy policy, size_t threads,
                      double losses[FORM_STEPS], struct lorac_net **out)
{
    struct lorac_prepare_options options = training(threads);
    options.form_policy = policy;
    losses_with(tiny, &options, losses, out);
}

// Both forms are the same function; each gives its own bits, whatever the threads.
static void test_forms(const struct tiny_options *tiny)
{
    struct lorac_net *definition, *branch, *threaded;
    double expected[FORM_STEPS], got[FORM_STEPS];
    losses_of(tiny, LORAC_FORM_POLICY_DEFINITION, 1, expected, &definition);
    losses_of(tiny, LORAC_FORM_POLICY_BRANCH, 1, got, &branch);
    double largest = 0;
    for (size_t i = 0; i < FORM_STEPS; i++) {
        largest = fmax(largest, expected[i]);
        CHECKF(fabs(got[i] - expected[i]) <= FORM_TOLERANCE * largest, "step %zu: loss %.9g, by the definition %.9g", i,
               got[i], expected[i]);
    }
    CHECK(expected[FORM_STEPS - 1] < expected[0]);
    losses_of(tiny, LORAC_FORM_POLICY_BRANCH, 2, got, &threaded);
    CHECK(same_bytes(branch, threaded));
    lorac_close(definition);
    lorac_close(branch);
    lorac_close(threaded);
}

// ---- micro-batches

// As FORM_TOLERANCE: the same sums in another order.
static const double MICRO_TOLERANCE = 5e-6;

static void test_micro_batches(const struct tiny_options *tiny, enum lorac_form_policy policy)
{
    struct lorac_prepare_options options = training(1);
    options.form_policy = policy;
    struct lorac_net *whole, *parts[2];
    double expected[FORM_STEPS], got[FORM_STEPS];
    losses_with(tiny, &options, expected, &whole);
    for (size_t micro = 1; micro < BATCH; micro *= 2) {
        options.micro_batch = micro;
        for (size_t i = 0; i < 2; i++) {
            options.threads = i + 1;
            losses_with(tiny, &options, got, &parts[i]);
        }
        double largest = 0;
        for (size_t i = 0; i < FORM_STEPS; i++) {
            largest = fmax(largest, expected[i]);
            CHECKF(fabs(got[i] - expected[i]) <= MICRO_TOLERANCE * largest,
                   "micro-batches of %zu, step %zu: loss %.9g, of the whole batch %.9g", micro, i, got[i], expected[i]);
        }
        CHECK(same_bytes(parts[0], parts[1]));
        CHECK(parts[0]->program->planned_bytes < whole->program->planned_bytes);
        lorac_close(parts[0]);
        lorac_close(parts[1]);
    }
    lorac_close(whole);
}

// A batch evaluated, and its step, give the same loss and the same number of right answers, also in parts.
static void test_micro_evaluate(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    struct lorac_prepare_options options = training(1);
    options.micro_batch = 2;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    const struct lorac_images images = u8(0, BATCH);
    struct lorac_evaluation evaluation;
    struct lorac_step_result step;
    CHECK_OK(lorac_evaluate(net, &images, labels, NULL, NULL, &evaluation, &error), error);
    CHECK_OK(lorac_train_batch(net, &images, labels, NULL, &step, &error), error);
    CHECKF(fabs(step.loss - evaluation.loss) <= 1e-6, "loss of a step %.9g, of evaluation %.9g", step.loss,
           evaluation.loss);
    CHECK(step.correct == evaluation.correct);
    lorac_close(net);
}

static void test_bad_micro_batches(void)
{
    static const struct {
        size_t micro_batch;
        enum lorac_bn_mode bn;
        const char *message;
    } rows[] = {{3, LORAC_BN_FROZEN, "micro-batch is 3; it must divide the batch of 4"},
                {8, LORAC_BN_FROZEN, "micro-batch is 8; it must divide the batch of 4"},
                {2, LORAC_BN_TRAIN, "inject the base model with --bn frozen"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_error error = {0};
        struct lorac_net *net =
            open_tiny(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = rows[i].bn});
        struct lorac_prepare_options options = training(1);
        options.micro_batch = rows[i].micro_batch;
        CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
        CHECKF(strstr(error.message, rows[i].message) != NULL, "message is \"%s\"", error.message);
        options.micro_batch = BATCH; // the whole batch, said in another way
        CHECK_OK(lorac_prepare(net, &options, &error), error);
        options.micro_batch = rows[i].micro_batch;
        options.training = false; // then it says nothing
        CHECK_OK(lorac_prepare(net, &options, &error), error);
        lorac_close(net);
    }
}

// A layer whose output overflows for an image of the second micro-batch: the step is run again, and the layer named.
static void test_bad_micro_layer(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    struct lorac_prepare_options options = training(2);
    options.micro_batch = 2;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    size_t before_count = 0, after_count = 0;
    uint8_t *before = saved_bytes(net, &before_count);
    static float huge[BATCH * TINY_PIXELS];
    memcpy(huge, floats, sizeof huge);
    for (size_t i = 0; i < TINY_PIXELS; i++)
        huge[3 * TINY_PIXELS + i] = i % 2 ? 3e38f : -3e38f;
    const struct lorac_images images = {LORAC_PIXELS_F32, huge, BATCH};
    CHECK(lorac_train_batch(net, &images, labels, NULL, NULL, &error) == LORAC_ERROR_NOT_FINITE);
    CHECKF(strstr(error.message, "the first value that is: output of node '") != NULL, "message is \"%s\"", error.message);
    uint8_t *after = saved_bytes(net, &after_count);
    CHECK(before_count == after_count && memcmp(before, after, before_count) == 0);
    free(before);
    free(after);
    lorac_close(net);
}

// A stays and B moves; as a branch, no x is kept.
static void test_frozen_a(void)
{
    const struct tiny_options frozen = {.text = TINY_FROZEN_TEXT, .pixels = true};
    struct lorac_error error = {0};
    double losses[FORM_STEPS];
    for (int policy = LORAC_FORM_POLICY_AUTO; policy <= LORAC_FORM_POLICY_BRANCH; policy++) {
        struct lorac_net *net, *fresh = open_tiny(&frozen);
        losses_of(&frozen, (enum lorac_form_policy)policy, 2, losses, &net);
        CHECK_OK(lorac_session_store(net->session, &error), error);
        for (size_t i = 0; i < net->meta.adapter_count; i++) {
            const struct lorac_adapter *adapter = &net->meta.adapters[i];
            const char *const names[] = {adapter->a, adapter->b};
            CHECK(adapter->freeze_a);
            for (size_t k = 0; k < 2; k++) {
                uint8_t *before = NULL, *after = NULL;
                size_t before_count = 0, after_count = 0;
                CHECK_OK(lorac_tensor_canonical_bytes(lorac_model_initializer(fresh->model, names[k]), &before,
                                                      &before_count, &error),
                         error);
                CHECK_OK(lorac_tensor_canonical_bytes(lorac_model_initializer(net->model, names[k]), &after,
                                                      &after_count, &error),
                         error);
                bool same = before_count == after_count && memcmp(before, after, after_count) == 0;
                CHECKF(same == (k == 0), "policy %d: '%s' %s", policy, names[k], same ? "stayed" : "moved");
                free(before);
                free(after);
            }
        }
        for (size_t i = 0; policy == LORAC_FORM_POLICY_BRANCH && i < net->program->step_count; i++) {
            const struct lorac_step *step = &net->program->steps[i];
            if (strcmp(step->node->op_type, "Conv") == 0)
                CHECKF(!step->keeps_inputs, "'%s' keeps its input", step->name);
        }
        lorac_close(net);
        lorac_close(fresh);
    }
}

static void test_bad_policy(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    struct lorac_prepare_options options = training(1);
    options.form_policy = (enum lorac_form_policy)3;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "form_policy is 3") != NULL, "message is \"%s\"", error.message);
    lorac_close(net);
}

// ---- NaN and infinity

static void test_bad_weights(void)
{
    static const char *const names[] = {"w", "vb", "u", "g", "n_c/lora_A"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int train = 0; train < 2; train++) {
            struct lorac_error error = {0};
            struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
            set_weights(net, names[i], i % 2 == 0 ? NAN : INFINITY);
            struct lorac_prepare_options options = training(1);
            options.training = train;
            CHECKF(lorac_prepare(net, &options, &error) == LORAC_ERROR_NOT_FINITE &&
                       strstr(error.message, names[i]) != NULL,
                   "'%s', training %d: \"%s\"", names[i], train, error.message);
            // Not prepared, but whole: good weights can be put in and prepared.
            set_weights(net, names[i], 0.1f);
            CHECK_OK(lorac_prepare(net, &options, &error), error);
            lorac_close(net);
        }
}

static void test_bad_images(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    float outputs[IMAGES * TINY_CLASSES];
    struct lorac_evaluation evaluation;
    struct lorac_images images = f32(0, IMAGES);
    const size_t place = 17 * TINY_PIXELS + 31;
    const float kept = floats[place];
    for (int i = 0; i < 2; i++) {
        floats[place] = i == 0 ? NAN : -INFINITY;
        CHECK(lorac_predict(net, &images, outputs, &error) == LORAC_ERROR_NOT_FINITE);
        CHECKF(strstr(error.message, "image 17 ") != NULL, "message is \"%s\"", error.message);
        CHECK(lorac_evaluate(net, &images, labels, NULL, NULL, &evaluation, &error) == LORAC_ERROR_NOT_FINITE);
        struct lorac_images batch = f32(16, BATCH);
        CHECK(lorac_train_batch(net, &batch, labels, NULL, NULL, &error) == LORAC_ERROR_NOT_FINITE);
        CHECKF(strstr(error.message, "image 1 ") != NULL, "message is \"%s\"", error.message);
    }
    floats[place] = kept;
    CHECK_OK(lorac_predict(net, &images, outputs, &error), error);
    lorac_close(net);
}

// A layer whose weights are finite, but whose output overflows: it is named, and nothing in the net has moved.
static void test_bad_layer(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net =
        open_tiny(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    set_weights(net, "u", 3e38f);
    struct lorac_prepare_options options = training(2);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    size_t before_count = 0, after_count = 0;
    uint8_t *before = saved_bytes(net, &before_count);
    const struct lorac_images images = u8(0, BATCH);
    float outputs[BATCH * TINY_CLASSES];
    CHECK(lorac_train_batch(net, &images, labels, NULL, NULL, &error) == LORAC_ERROR_NOT_FINITE);
    CHECKF(strstr(error.message, "n_h") != NULL, "message is \"%s\"", error.message);
    CHECK(lorac_predict(net, &images, outputs, &error) == LORAC_ERROR_NOT_FINITE);
    CHECKF(strstr(error.message, "n_h") != NULL, "message is \"%s\"", error.message);
    uint8_t *after = saved_bytes(net, &after_count);
    CHECK(before_count == after_count && memcmp(before, after, before_count) == 0);
    free(before);
    free(after);
    lorac_close(net);
}

// An update that overflows is taken back, and training goes on.
static void test_bad_update(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net =
        open_tiny(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    struct lorac_prepare_options options = training(2);
    options.optimizer.weight_decay = 1e10;
    options.optimizer.clip_norm = 0;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    size_t before_count = 0, after_count = 0;
    uint8_t *before = saved_bytes(net, &before_count);
    const struct lorac_images images = u8(0, BATCH);
    const double huge = 1e38, small = 1e-13;
    CHECK(lorac_train_batch(net, &images, labels, &huge, NULL, &error) == LORAC_ERROR_NOT_FINITE);
    CHECKF(strstr(error.message, "parameter '") != NULL, "message is \"%s\"", error.message);
    uint8_t *after = saved_bytes(net, &after_count);
    CHECK(before_count == after_count && memcmp(before, after, before_count) == 0);
    CHECK_OK(lorac_train_batch(net, &images, labels, &small, NULL, &error), error);
    free(before);
    free(after);
    lorac_close(net);
}

int main(void)
{
    make_images();
    test_train();
    test_save_and_prepare();
    for (int bn_train = 0; bn_train < 2; bn_train++) {
        test_mapped(LORAC_DATA_INLINE, bn_train);
        test_mapped(LORAC_DATA_EXTERNAL, bn_train);
    }
    test_what_moves(&(struct tiny_options){.pixels = true}, NULL, 0);
    test_what_moves(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true}, NULL, 0);
    test_what_moves(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN},
                    (const char *const[]){"m", "q"}, 2);
    test_threads(&(struct tiny_options){.pixels = true});
    test_threads(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true});
    test_threads(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    test_forms(&(struct tiny_options){.pixels = true});
    test_forms(&(struct tiny_options){.text = TINY_FROZEN_TEXT, .pixels = true});
    test_forms(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true});
    test_forms(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    test_micro_batches(&(struct tiny_options){.pixels = true}, LORAC_FORM_POLICY_DEFINITION);
    test_micro_batches(&(struct tiny_options){.pixels = true}, LORAC_FORM_POLICY_BRANCH);
    test_micro_batches(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true}, LORAC_FORM_POLICY_AUTO);
    test_micro_evaluate();
    test_bad_micro_batches();
    test_bad_micro_layer();
    test_frozen_a();
    test_bad_policy();
    test_bad_weights();
    test_bad_images();
    test_bad_layer();
    test_bad_update();
    return check_report();
}
