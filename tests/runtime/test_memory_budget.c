// Budgets of memory through the C API: what is refused, what is chosen, and that it trains the same.
#include "check.h"
#include "net_fixture.h"

#include "runtime/memory_budget.h"

enum { STEPS = 10 };
// Of the largest loss so far: ten steps of float32 sums in another order and by other algorithms. 1e-6 was measured.
static const double LOSS_TOLERANCE = 1e-5;

static const struct tiny_options TINY = {.text = TINY_FROZEN_TEXT, .pixels = true};

static size_t peak_of(struct lorac_net *net)
{
    struct lorac_error error = {0};
    struct lorac_memory_prediction memory = {0};
    CHECK_OK(lorac_net_predict_memory(net, &memory, &error), error);
    return memory.peak_bytes;
}

// What lorac_prepare looks for, with [budget] bytes.
static bool choose(struct lorac_net *net, size_t budget, struct lorac_memory_choice *choice)
{
    struct lorac_error error = {0};
    const struct lorac_prepare_options options = training(1);
    const struct lorac_memory_request request = {.budget_bytes = budget,
                                                 .batch = BATCH,
                                                 .lower = {.training = true},
                                                 .setting = {.threads = 1, .optimizer = &options.optimizer}};
    bool found = false;
    CHECK_OK(lorac_memory_choose(net->model, &net->meta, &request, &found, choice, &error), error);
    return found;
}

static void test_too_small(void)
{
    struct lorac_error error = {0};
    struct lorac_memory_choice smallest;
    struct lorac_net *net = open_tiny(&TINY);
    struct lorac_prepare_options options = training(1);
    CHECK(!choose(net, 0, &smallest));
    options.memory_budget = smallest.peak_bytes - 1;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(net->session == NULL);
    double said = 0;
    const char *number = strstr(error.message, "the smallest that would do is ");
    CHECKF(number && sscanf(number, "the smallest that would do is %lf MB", &said) == 1, "message is \"%s\"",
           error.message);
    CHECK(said * 1e6 >= (double)smallest.peak_bytes && said * 1e6 < (double)smallest.peak_bytes + 1e5);
    // The least does, to the byte, and what the message says.
    options.memory_budget = smallest.peak_bytes;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK(net->options.micro_batch == smallest.lower.batch && peak_of(net) <= smallest.peak_bytes);
    options.memory_budget = (size_t)(said * 1e6 + 0.5);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    // What the caller holds beside the net counts.
    options.memory_other = 1000000;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(net->session != NULL); // as it was
    options.memory_budget += options.memory_other;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    lorac_close(net);
}

// With more memory never more work; the work of the unlimited choice is the least.
static void test_choices(void)
{
    struct lorac_memory_choice best, smallest, largest;
    struct lorac_net *net = open_tiny(&TINY);
    CHECK(!choose(net, 0, &smallest));
    CHECK(choose(net, SIZE_MAX, &largest));
    CHECK(largest.lower.batch == BATCH && largest.lower.packed_limit == 0 && largest.lower.recompute_segments == 0);
    CHECK(smallest.peak_bytes < largest.peak_bytes && smallest.work >= largest.work);
    double work = smallest.work;
    for (int i = 0; i <= 8; i++) {
        const size_t budget = smallest.peak_bytes + (size_t)i * (largest.peak_bytes - smallest.peak_bytes) / 8;
        REQUIRE(choose(net, budget, &best));
        CHECKF(best.peak_bytes <= budget && best.work <= work, "budget %zu: peak %zu, work %g after %g", budget,
               best.peak_bytes, best.work, work);
        work = best.work;
    }
    CHECK(work == largest.work);
    lorac_close(net);
}

static void train_with(size_t budget, size_t threads, double losses[STEPS], struct lorac_net **out)
{
    struct lorac_error error = {0};
    struct lorac_prepare_options options = training(threads);
    options.memory_budget = budget;
    *out = open_tiny(&TINY);
    REQUIRE(CHECK_OK(lorac_prepare(*out, &options, &error), error));
    for (size_t step = 0; step < STEPS; step++) {
        const size_t first = step * BATCH % (IMAGES / BATCH * BATCH);
        const struct lorac_images images = u8(first, BATCH);
        struct lorac_step_result result;
        REQUIRE(CHECK_OK(lorac_train_batch(*out, &images, labels + first, NULL, &result, &error), error));
        losses[step] = result.loss;
    }
}

// The same choice and the same bits for any number of threads, near to what is learnt without a budget.
static void test_training(void)
{
    struct lorac_memory_choice smallest, best;
    struct lorac_net *net = open_tiny(&TINY), *free_net, *nets[3];
    double expected[STEPS], got[STEPS], largest = 0;
    choose(net, 0, &smallest);
    REQUIRE(choose(net, smallest.peak_bytes, &best));
    train_with(0, 1, expected, &free_net);
    for (size_t threads = 1; threads <= 3; threads++) {
        train_with(smallest.peak_bytes, threads, got, &nets[threads - 1]);
        CHECK(nets[threads - 1]->program->packed_limit == best.lower.packed_limit);
        CHECK(nets[threads - 1]->options.recompute == best.lower.recompute_segments);
        CHECK(same_bytes(nets[0], nets[threads - 1]));
    }
    for (size_t i = 0; i < STEPS; i++) {
        largest = fmax(largest, expected[i]);
        CHECKF(fabs(got[i] - expected[i]) <= LOSS_TOLERANCE * largest, "step %zu: loss %.9g, without a budget %.9g", i,
               got[i], expected[i]);
    }
    for (size_t i = 0; i < 3; i++)
        lorac_close(nets[i]);
    lorac_close(free_net);
    lorac_close(net);
}

// A choice is for a fixed number of threads; more are refused where they do not fit.
static void test_many_threads(void)
{
    struct lorac_error error = {0};
    struct lorac_memory_choice smallest;
    struct lorac_net *net = open_tiny(&TINY);
    struct lorac_prepare_options options = training(LORAC_BUDGET_THREADS + 1);
    choose(net, 0, &smallest);
    options.memory_budget = smallest.peak_bytes;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "is enough for 4 threads, but 5 need ") != NULL, "message is \"%s\"", error.message);
    options.threads = LORAC_BUDGET_THREADS;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    lorac_close(net);
}

// What is given is not chosen: a micro-batch, and the whole batch where its statistics are wanted.
static void test_given(void)
{
    struct lorac_error error = {0};
    struct lorac_memory_choice smallest;
    struct lorac_net *net = open_tiny(&TINY);
    struct lorac_prepare_options options = training(1);
    options.memory_budget = SIZE_MAX;
    options.micro_batch = 2;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK(net->options.micro_batch == 2);
    choose(net, 0, &smallest);
    CHECK(smallest.lower.batch < BATCH);
    options.micro_batch = BATCH; // for which that is not enough
    options.memory_budget = smallest.peak_bytes;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    options.training = false; // less is needed, and fewer images may be run at once
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    lorac_close(net);

    net = open_tiny(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    options = training(1);
    options.memory_budget = 1;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "4 of 4 images") != NULL, "message is \"%s\"", error.message);
    lorac_close(net);
}

// The smallest budget that lorac_prepare names for [options].
static size_t smallest_named(struct lorac_net *net, struct lorac_prepare_options options)
{
    struct lorac_error error = {0};
    double said = 0;
    options.memory_budget = 1;
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    const char *number = strstr(error.message, "would do is ");
    REQUIRE(number && sscanf(number, "would do is %lf MB", &said) == 1);
    return (size_t)(said * 1e6 + 0.5);
}

// Where the statistics are those of the whole batch, recomputation is what there is beside packing; what is given of it
// is not chosen.
static void test_recomputation(void)
{
    struct lorac_error error = {0};
    const struct tiny_options bn = {.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN};
    struct lorac_net *net = open_tiny(&bn), *whole = open_tiny(&bn);
    struct lorac_prepare_options options = training(1);
    options.batch = IMAGES; // else the program's own memory hides that of activations
    options.memory_budget = smallest_named(net, options);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK(net->options.micro_batch == IMAGES && net->options.recompute > 1);
    options.memory_budget = 0;
    CHECK_OK(lorac_prepare(whole, &options, &error), error);
    CHECK(net->program->planned_bytes < whole->program->planned_bytes && whole->options.recompute == 0);
    options.recompute = 1;
    CHECK(smallest_named(net, options) > peak_of(net));
    options.recompute = 2;
    options.memory_budget = SIZE_MAX;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK(net->options.recompute == 2);
    lorac_close(whole);
    lorac_close(net);
}

// What was chosen under a limit of packed weights is no choice without one.
static void test_key(void)
{
    struct lorac_error error = {0};
    struct lorac_convolution limited, unlimited;
    struct lorac_net *net = open_tiny(&TINY);
    struct lorac_prepare_options options = training(1);
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    net->program->packed_limit = 1;
    CHECK_OK(lorac_get_convolution(net, 0, &limited, &error), error);
    net->program->packed_limit = 0;
    CHECK_OK(lorac_get_convolution(net, 0, &unlimited, &error), error);
    const struct lorac_choice choices[] = {{.key = limited.key, .forward = "direct"},
                                           {.key = unlimited.key, .forward = "direct"}};
    options.choice_count = 1;
    for (int i = 0; i < 2; i++) {
        struct lorac_convolution got;
        options.choices = &choices[i];
        CHECK_OK(lorac_prepare(net, &options, &error), error);
        CHECK_OK(lorac_get_convolution(net, 0, &got, &error), error);
        CHECK((got.chosen == LORAC_CHOSEN_GIVEN) == (i == 1));
    }
    lorac_close(net);
}

int main(void)
{
    make_images();
    test_too_small();
    test_choices();
    test_training();
    test_many_threads();
    test_given();
    test_recomputation();
    test_key();
    return check_report();
}
