// The spans of a session: every piece of a step once, in order, and no other bits than without anyone who measures.
#include "check.h"
#include "net_fixture.h"

struct watch {
    const struct lorac_net *net;
    size_t counts[LORAC_SPAN_KINDS];
    int64_t last_end;
    size_t forward_next; // the layer whose forward comes next
};

static void take(void *context, const struct lorac_span *span)
{
    struct watch *watch = context;
    REQUIRE(span->kind >= 0 && span->kind < LORAC_SPAN_KINDS);
    watch->counts[span->kind]++;
    CHECKF(span->begin_ns >= watch->last_end && span->end_ns >= span->begin_ns, "%s overlaps with the one before",
           lorac_span_name(span->kind));
    watch->last_end = span->end_ns;
    const bool of_layer = span->kind == LORAC_SPAN_PACK || span->kind == LORAC_SPAN_REFRESH ||
                          span->kind == LORAC_SPAN_FORWARD || span->kind == LORAC_SPAN_RECOMPUTE ||
                          span->kind == LORAC_SPAN_BACKWARD;
    CHECKF(of_layer == (span->step != NULL), "%s: the layer", lorac_span_name(span->kind));
    if (span->kind == LORAC_SPAN_FORWARD)
        CHECK(span->step == &watch->net->program->steps[watch->forward_next++]);
}

static size_t backward_ops(const struct lorac_program *program, enum lorac_backward_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < program->backward_count; i++)
        count += program->backward[i].kind == kind;
    return count;
}

static size_t trained_layers(const struct lorac_program *program)
{
    size_t count = 0;
    for (size_t i = 0; i < program->step_count; i++)
        count += program->steps[i].has_trainable;
    return count;
}

static void expect(const struct watch *watch, enum lorac_span_kind kind, size_t count)
{
    CHECKF(watch->counts[kind] == count, "%s: %zu times, expected %zu", lorac_span_name(kind), watch->counts[kind],
           count);
}

// Deep enough for recomputation to pay.
#define DEEP_TEXT                                                                                                      \
    "a=Conv(x, w[6,3,3,3]*) pads=[1,1,1,1]; b=Relu(a); c=Conv(b, v[6,6,3,3]) pads=[1,1,1,1] lora=kernel:2:4; "         \
    "d=Relu(c); h=Conv(d, u[6,6,3,3]) pads=[1,1,1,1] lora=kernel:2:4; i=Add(h, d); j=Relu(i); "                        \
    "e=GlobalAveragePool(j); f=Flatten(e); y=Gemm(f, g[6,5]*, gb[5]*)"

static void test_training(size_t recompute)
{
    struct lorac_error error = {0};
    const struct tiny_options tiny = {.text = DEEP_TEXT, .pixels = true};
    struct lorac_net *net = open_tiny(&tiny), *silent = open_tiny(&tiny);
    struct watch watch = {.net = net};
    const struct lorac_timing timing = {take, &watch};
    struct lorac_prepare_options options = training(2);
    options.recompute = recompute;
    net->timing = &timing;
    CHECK_OK(lorac_prepare(net, &options, &error), error);
    CHECK_OK(lorac_prepare(silent, &options, &error), error);
    const struct lorac_program *program = net->program;
    expect(&watch, LORAC_SPAN_LOWER, 1);
    expect(&watch, LORAC_SPAN_PLAN, 1);
    expect(&watch, LORAC_SPAN_ALLOCATE, 1);
    expect(&watch, LORAC_SPAN_PACK, program->step_count);
    expect(&watch, LORAC_SPAN_FORWARD, 0);
    for (size_t step = 1; step <= 2; step++) {
        watch.forward_next = 0;
        train_steps(net, 1);
        train_steps(silent, 1);
        static const enum lorac_span_kind once[] = {LORAC_SPAN_INPUT, LORAC_SPAN_LOSS,   LORAC_SPAN_ZERO,
                                                    LORAC_SPAN_NORM,  LORAC_SPAN_UPDATE, LORAC_SPAN_COMMIT};
        for (size_t i = 0; i < sizeof once / sizeof *once; i++)
            expect(&watch, once[i], step);
        expect(&watch, LORAC_SPAN_FORWARD, step * program->forward_step_count_to_logits);
        expect(&watch, LORAC_SPAN_BACKWARD, step * backward_ops(program, LORAC_BACKWARD_STEP));
        expect(&watch, LORAC_SPAN_RECOMPUTE, step * backward_ops(program, LORAC_BACKWARD_FORWARD));
        expect(&watch, LORAC_SPAN_SUM,
               step * (backward_ops(program, LORAC_BACKWARD_ADD) + backward_ops(program, LORAC_BACKWARD_SUM)));
        expect(&watch, LORAC_SPAN_REFRESH, (step - 1) * trained_layers(program));
    }
    CHECK(watch.counts[LORAC_SPAN_BACKWARD] > 0 && watch.counts[LORAC_SPAN_REFRESH] > 0);
    CHECK((watch.counts[LORAC_SPAN_RECOMPUTE] > 0) == (recompute > 1));
    CHECK(same_bytes(net, silent));
    lorac_close(net);
    lorac_close(silent);
}

static void test_inference(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, false);
    struct watch watch = {.net = net};
    const struct lorac_timing timing = {take, &watch};
    float outputs[BATCH * 16];
    REQUIRE(net->classes <= 16);
    net->timing = net->program->timing = &timing;
    const struct lorac_images images = u8(0, BATCH);
    CHECK_OK(lorac_predict(net, &images, outputs, &error), error);
    expect(&watch, LORAC_SPAN_INPUT, 1);
    expect(&watch, LORAC_SPAN_FORWARD, net->program->step_count);
    expect(&watch, LORAC_SPAN_BACKWARD, 0);
    net->timing = net->program->timing = NULL;
    CHECK_OK(lorac_predict(net, &images, outputs, &error), error);
    expect(&watch, LORAC_SPAN_INPUT, 1);
    lorac_close(net);
}

static void test_names(void)
{
    for (int i = 0; i < LORAC_SPAN_KINDS; i++) {
        const char *name = lorac_span_name((enum lorac_span_kind)i);
        REQUIRE(name != NULL);
        for (int k = 0; k < i; k++)
            CHECKF(strcmp(name, lorac_span_name((enum lorac_span_kind)k)) != 0, "'%s' twice", name);
    }
}

int main(void)
{
    make_images();
    test_training(0);
    test_training(2);
    test_inference();
    test_names();
    return check_report();
}
