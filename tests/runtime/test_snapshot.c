// A snapshot holds all that a run goes on from: put into another net, that one goes on with the same bits.
#include "check.h"
#include "net_fixture.h"

#include "runtime/train/snapshot.h"

enum { BEFORE = 3, AFTER = 4 };

static const struct snapshot_case {
    const char *name;
    struct tiny_options tiny;
    enum lorac_optimizer_kind optimizer;
    size_t trained, statistics, arrays; // parts
} cases[] = {
    // A and B of one adapter; w; the last weight and bias; wb is frozen.
    {"sgd", {.pixels = true}, LORAC_SGD, 5, 0, 1},
    {"adamw", {.pixels = true}, LORAC_ADAMW, 5, 0, 2},
    {"BatchNorm in training",
     {.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN},
     LORAC_ADAMW,
     5,
     2,
     2},
    {"A frozen", {.text = TINY_FROZEN_TEXT, .pixels = true}, LORAC_SGD, 4, 0, 1},
};

static struct lorac_net *open_row(const struct snapshot_case *row)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&row->tiny);
    struct lorac_prepare_options options = training(2);
    options.optimizer.kind = row->optimizer;
    options.optimizer.lr = row->optimizer == LORAC_SGD ? 0.05 : 0.01;
    if (!CHECK_OK(lorac_prepare(net, &options, &error), error))
        exit(1);
    return net;
}

static size_t count_kind(const struct lorac_snapshot *snapshot, enum lorac_snapshot_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->part_count; i++)
        count += snapshot->parts[i].kind == kind;
    return count;
}

static float *take(const struct lorac_snapshot *snapshot)
{
    float *values = malloc(snapshot->value_count * sizeof *values);
    REQUIRE(values != NULL);
    lorac_snapshot_copy_out(snapshot, values);
    return values;
}

static void test_parts(const struct snapshot_case *row)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_row(row);
    struct lorac_snapshot model, run;
    CHECK_OK(lorac_snapshot_init(&model, net, LORAC_SNAPSHOT_MODEL, &error), error);
    CHECK_OK(lorac_snapshot_init(&run, net, LORAC_SNAPSHOT_RUN, &error), error);
    CHECKF(count_kind(&run, LORAC_PART_TRAINED) == row->trained, "%s: %zu trained", row->name,
           count_kind(&run, LORAC_PART_TRAINED));
    CHECKF(count_kind(&run, LORAC_PART_STATISTIC) == row->statistics, "%s: %zu statistics", row->name,
           count_kind(&run, LORAC_PART_STATISTIC));
    CHECKF(count_kind(&run, LORAC_PART_OPTIMIZER) == row->trained * row->arrays, "%s: %zu of the optimiser", row->name,
           count_kind(&run, LORAC_PART_OPTIMIZER));
    CHECKF(model.part_count == row->trained + row->statistics, "%s", row->name);
    size_t values = 0;
    for (size_t i = 0; i < run.part_count; i++) {
        size_t elements = 1;
        for (size_t k = 0; k < run.parts[i].rank; k++)
            elements *= (size_t)run.parts[i].dims[k];
        CHECKF(elements == run.parts[i].count, "%s: '%s'", row->name, run.parts[i].name);
        values += elements;
    }
    CHECKF(values == run.value_count && model.value_count < run.value_count, "%s", row->name);
    lorac_snapshot_clear(&model);
    lorac_snapshot_clear(&run);
    lorac_close(net);
}

// After some steps into a fresh net: both go on alike. The fresh one has run a forward on its own values before, so that
// its kernels hold what they made of those.
static void test_going_on(const struct snapshot_case *row)
{
    struct lorac_error error = {0};
    struct lorac_net *first = open_row(row), *second = open_row(row);
    struct lorac_snapshot from, to;
    float *outputs = malloc(BATCH * TINY_CLASSES * sizeof *outputs);
    const struct lorac_images images = u8(0, BATCH);
    CHECK_OK(lorac_predict(second, &images, outputs, &error), error);
    train_steps(first, BEFORE);
    CHECK_OK(lorac_snapshot_init(&from, first, LORAC_SNAPSHOT_RUN, &error), error);
    CHECK_OK(lorac_snapshot_init(&to, second, LORAC_SNAPSHOT_RUN, &error), error);
    float *values = take(&from);
    REQUIRE(from.value_count == to.value_count);
    lorac_snapshot_copy_in(&to, values);
    CHECK(lorac_train_state_step(first->train) == BEFORE);
    lorac_train_state_set_step(second->train, lorac_train_state_step(first->train));
    CHECKF(same_bytes(first, second), "%s: not the same after copying", row->name);
    train_steps(first, AFTER);
    train_steps(second, AFTER);
    float *went_on = take(&from), *resumed = take(&to);
    CHECKF(memcmp(went_on, resumed, from.value_count * sizeof *resumed) == 0, "%s: other numbers", row->name);
    CHECKF(same_bytes(first, second), "%s: not the same after going on", row->name);
    free(values);
    free(went_on);
    free(resumed);
    free(outputs);
    lorac_snapshot_clear(&from);
    lorac_snapshot_clear(&to);
    lorac_close(first);
    lorac_close(second);
}

// Back to values from before, as who keeps the best ones does: outputs are those of then.
static void test_going_back(const struct snapshot_case *row)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_row(row), *other = open_row(row);
    struct lorac_snapshot snapshot;
    train_steps(net, BEFORE);
    train_steps(other, BEFORE);
    CHECK_OK(lorac_snapshot_init(&snapshot, net, LORAC_SNAPSHOT_MODEL, &error), error);
    float *values = take(&snapshot);
    float outputs[2][BATCH * TINY_CLASSES];
    const struct lorac_images images = u8(0, BATCH);
    train_steps(net, AFTER);
    CHECKF(!same_bytes(net, other), "%s: training changed nothing", row->name);
    lorac_snapshot_copy_in(&snapshot, values);
    CHECK_OK(lorac_predict(net, &images, outputs[0], &error), error);
    CHECK_OK(lorac_predict(other, &images, outputs[1], &error), error);
    CHECKF(memcmp(outputs[0], outputs[1], sizeof outputs[0]) == 0, "%s: other outputs", row->name);
    CHECKF(same_bytes(net, other), "%s", row->name);
    free(values);
    lorac_snapshot_clear(&snapshot);
    lorac_close(net);
    lorac_close(other);
}

int main(void)
{
    make_images();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_parts(&cases[i]);
        test_going_on(&cases[i]);
        test_going_back(&cases[i]);
    }
    return check_report();
}
