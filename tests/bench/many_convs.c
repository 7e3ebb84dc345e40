// Models of thousands of convolutions: what inject and merge take grows with their number, not with its square.
#include "passes/many_convs.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"

#include <time.h>

enum { FEW = 1000, MANY = 4 * FEW, ROUNDS = 3 };
// Four times as many take 5 to 8 times the time, as the caches are left behind; with one walk over the model for each it
// would be 16 and, for the same reason, 30.
static const double MOST_TIMES = 12;

// x ─ stem ─ c0 ─ c1 ─ ... ─ end ─ y; all with one weight where [shared].
static struct lorac_model *build(size_t count, bool shared)
{
    struct small_model small;
    struct lorac_error error = {0};
    static const float numbers[2 * 2 * 3 * 3] = {1, 2, 3};
    static const int64_t dims[] = {2, 2, 3, 3};
    small_init(&small, 8, 17);
    small_input(&small, "x", DIMS(1, 2, 8, 8));
    small_output(&small, "y");
    small_tensor(&small, "w", DIMS(2, 2, 3, 3));
    small_tensor(&small, "w0", DIMS(2, 2, 3, 3));
    small_node(&small, "Conv", "stem", "x w", "value");
    small_node(&small, "Relu", "end", "value", "y");
    struct lorac_model *model = small_load(&small);
    Onnx__NodeProto *end = lorac_model_producer(model, "y");
    char before[32] = "value", output[32], weight[32] = "w0";
    for (size_t i = 0; i < count; i++) {
        snprintf(output, sizeof output, "c%zu.y", i);
        if (!shared && i > 0) {
            snprintf(weight, sizeof weight, "w%zu", i);
            REQUIRE(CHECK_OK(lorac_model_add_initializer(model, weight, 1, dims, 4, numbers, sizeof numbers, &error),
                             error));
        }
        const struct lorac_node_spec spec = {"Conv", NULL, 2, {before, weight}, output};
        REQUIRE(CHECK_OK(lorac_model_insert_node(model, end, &spec, NULL, &error), error));
        strcpy(before, output);
    }
    REQUIRE(CHECK_OK(lorac_model_set_node_input(model, end, 0, before, &error), error));
    return model;
}

// So that every weight changes.
static void fill(struct lorac_model *model)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    float values[2 * 3 * 3];
    struct lorac_error error = {0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = 0.5f + (float)i;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strstr(graph->initializer[i]->name, "lora_B"))
            CHECK_OK(lorac_tensor_set_float(model, graph->initializer[i], values,
                                            (size_t)(graph->initializer[i]->dims[0] * graph->initializer[i]->dims[1]),
                                            &error),
                     error);
}

struct times {
    double inject, merge;
};

static double seconds_since(clock_t begin)
{
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

static struct times measure(size_t count, const struct lorac_inject_options *options, bool shared)
{
    struct lorac_error error = {0};
    struct lorac_pass_report report = {0};
    struct lorac_model *model = build(count, shared);
    struct times times;
    clock_t begin = clock();
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, options, &report, &error), error));
    times.inject = seconds_since(begin);
    CHECK(report.changed == (options->train_all ? count + 1 : count));
    fill(model);
    begin = clock();
    REQUIRE(CHECK_OK(lorac_pass_merge.run(model, NULL, &report, &error), error));
    times.merge = seconds_since(begin);
    CHECK(report.changed == (options->train_all ? 0 : count) && model->proto->graph->n_node == count + 2);
    // Those with one weight get each their own, but for the last; what was copied and not changed is shared again.
    CHECK(model->proto->graph->n_initializer == (shared && options->train_all ? 2 : count + 1));
    CHECK_OK(lorac_model_check(model, &error), error);
    lorac_model_free(model);
    return times;
}

static void check_growth(const char *what, const char *form, double few, double many)
{
    CHECKF(many <= MOST_TIMES * few, "%s, %s: %d convolutions take %.3f s, %d take %.3f s", what, form, FEW, few, MANY,
           many);
}

int main(void)
{
    static const struct {
        const char *name;
        enum lorac_adapter_form form;
        bool all, shared;
    } rows[] = {
        {"form weight", LORAC_FORM_WEIGHT, false, false},
        {"form weight, one weight for all", LORAC_FORM_WEIGHT, false, true},
        {"form branch", LORAC_FORM_BRANCH, false, false},
        {"form branch, one weight for all", LORAC_FORM_BRANCH, false, true},
        {"all trained, one weight for all", LORAC_FORM_WEIGHT, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_inject_options options = lorac_inject_options_default();
        options.rank = 1;
        options.form = rows[i].form;
        options.train_last = false;
        options.train_all = rows[i].all;
        struct times few = {1e9, 1e9};
        for (size_t round = 0; round < ROUNDS; round++) {
            const struct times times = measure(FEW, &options, rows[i].shared);
            few.inject = times.inject < few.inject ? times.inject : few.inject;
            few.merge = times.merge < few.merge ? times.merge : few.merge;
        }
        // The machine may do other things meanwhile: a time that is too long is looked at again.
        struct times many = measure(MANY, &options, rows[i].shared);
        for (size_t round = 1;
             round < ROUNDS && (many.inject > MOST_TIMES * few.inject || many.merge > MOST_TIMES * few.merge); round++)
            many = measure(MANY, &options, rows[i].shared);
        check_growth("inject", rows[i].name, few.inject, many.inject);
        check_growth("merge", rows[i].name, few.merge, many.merge);
        printf("%s: inject %.3f s, %.3f s; merge %.3f s, %.3f s\n", rows[i].name, few.inject, many.inject, few.merge,
               many.merge);
    }
    return check_report();
}
