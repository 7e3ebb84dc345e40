// Which steps the step before them does (fuse.h), and that nothing but the time changes by it: the same program, with
// each of them undone, gives the same numbers, forward and backward.
#include "check.h"
#include "proto/rng.h"
#include "ref/graph.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session.h"

#include <math.h>

enum { MAX_CHANNELS = 64, SIDE = 8, BATCH = 2, THREADS = 3 };

// [fused]: the values whose steps are, "z b"; [algorithm]: of every convolution that clamps; NULL: there is none.
struct row {
    const char *what, *text;
    int64_t channels;
    bool training;
    const char *fused, *algorithm;
};

#define TAIL "; p=GlobalAveragePool(z); y=Flatten(p)"
#define HEAD "a=Conv(x, u[4,4,1,1]*); "
static const struct row rows[] = {
    {"a convolution by products", "a=Conv(x, u[4,4,3,3], ub[4]) pads=[1,1,1,1]; z=Relu(a)" TAIL, 4, false, "z ", "direct"},
    {"by gathered products", "a=Conv(x, u[64,64,3,3], ub[64]) pads=[1,1,1,1] strides=[2,2]; z=Relu(a)" TAIL, 64, false,
     "z ", "gemm"},
    {"by Winograd", "a=Conv(x, u[64,64,3,3], ub[64]) pads=[1,1,1,1]; z=Relu(a)" TAIL, 64, false, "z ", "winograd4"},
    {"with both bounds", "a=Conv(x, u[64,64,3,3], ub[64]) pads=[1,1,1,1]; z=Clip(a, lo<-0.5>, hi<1.5>)" TAIL, 64,
     false, "z ", "winograd4"},
    {"gathered, with both bounds",
     "a=Conv(x, u[64,64,3,3], ub[64]) pads=[1,1,1,1] strides=[2,2]; z=Clip(a, lo<-0.5>, hi<1.5>)" TAIL, 64, false,
     "z ", "gemm"},
    {"an addition", HEAD "b=Conv(a, v[4,4,3,3]) pads=[1,1,1,1]; c=Add(a, b); z=Relu(c)" TAIL, 4, false, "z ", NULL},
    {"a sum of three, clamped once",
     HEAD "b=Conv(a, v[4,4,1,1]); c=Conv(a, w[4,4,1,1]); d=Sum(a, b, c); z=Clip(d, lo<-0.1>, hi<0.4>)" TAIL, 4, false,
     "z ", NULL},
    {"a block", HEAD "b=Relu(a); c=Conv(b, v[4,4,3,3]) pads=[1,1,1,1]; d=Relu(c); e=Add(d, b); z=Relu(e)" TAIL, 4,
     false, "b d z ", "direct"},
    {"the second of two clamps stays", HEAD "b=Relu(a); z=Clip(b, lo<0.>, hi<0.5>)" TAIL, 4, false, "b ", "direct"},
    {"another step reads the sum", HEAD "b=Relu(a); z=Add(a, b)" TAIL, 4, false, "", NULL},
    {"another step reads the sum before", HEAD "b=Sigmoid(a); c=Relu(a); z=Mul(b, c)" TAIL, 4, false, "", NULL},
    {"of the input", "a=Relu(x); z=Conv(a, u[4,4,1,1])" TAIL, 4, false, "", NULL},
    {"a broadcast addition", HEAD "b=GlobalAveragePool(a); c=Add(a, b); z=Relu(c)" TAIL, 4, false, "", NULL},
    {"a pool", HEAD "b=AveragePool(a) kernel_shape=[2,2]; z=Relu(b)" TAIL, 4, false, "", NULL},
    {"training: an adapter by the definition",
     HEAD "b=Relu(a); c=Conv(b, v[4,4,3,3]) pads=[1,1,1,1] lora=kernel:2:4; z=Relu(c)" TAIL, 4, true, "b z ", "direct"},
    {"training: an adapter by the definition, A frozen, and an addition",
     HEAD "b=Relu(a); c=Conv(b, v[4,4,3,3]) pads=[1,1,1,1] lora=kernel:2:4:frozen; d=Add(c, b); z=Relu(d)" TAIL, 4,
     true, "b z ", "direct"},
    {"training: frozen behind trained",
     "a=Conv(x, u[64,64,1,1]*); b=Relu(a); c=Conv(b, v[64,64,3,3]) pads=[1,1,1,1]; z=Clip(c, lo<-0.5>, hi<1.5>)" TAIL,
     64, true, "b z ", NULL},
};

// Adapters as branches: one that runs after the convolution adds to what that wrote; Winograd's runs inside of it.
static const struct row branches[] = {
    {"training: a branch", HEAD "b=Relu(a); c=Conv(b, v[4,4,3,3]) pads=[1,1,1,1] lora=kernel:2:4; z=Relu(c)" TAIL, 4,
     true, "b ", "direct"},
    {"training: a branch inside of Winograd",
     "a=Conv(x, u[64,64,1,1]*); b=Relu(a); c=Conv(b, v[64,64,3,3], vb[64]) pads=[1,1,1,1] lora=kernel:2:4; "
     "z=Clip(c, lo<-0.5>, hi<1.5>)" TAIL,
     64, true, "b z ", NULL},
};

struct trial {
    const struct row *row;
    struct graph graph;
    struct lorac_program *program;
    struct lorac_session *session;
};

static struct lorac_step *producer_of(struct lorac_program *program, uint32_t value)
{
    for (size_t i = 0; i < program->step_count; i++)
        if (program->steps[i].output == value)
            return &program->steps[i];
    return NULL;
}

static void undo(struct lorac_program *program)
{
    for (size_t i = 0; i < program->step_count; i++) {
        struct lorac_step *step = &program->steps[i];
        if (!step->is_fused)
            continue;
        struct lorac_step *producer = producer_of(program, step->inputs[0]);
        CHECK(producer && producer->kernel->take_clamp(producer, -INFINITY, INFINITY));
        step->is_fused = false;
    }
}

static void check_fused(const struct row *row, struct lorac_program *program)
{
    char fused[64] = "";
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        if (!step->is_fused)
            continue;
        const struct lorac_step *producer = producer_of(program, step->inputs[0]);
        size_t used = strlen(fused);
        snprintf(fused + used, sizeof fused - used, "%s ", program->values[step->output].name);
        if (row->algorithm && producer->kernel->algorithm)
            CHECKF(strcmp(producer->kernel->algorithm(producer, false), row->algorithm) == 0,
                   "%s: runs by %s, expected %s", row->what, producer->kernel->algorithm(producer, false),
                   row->algorithm);
    }
    CHECKF(strcmp(fused, row->fused) == 0, "%s: fused \"%s\", expected \"%s\"", row->what, fused, row->fused);
}

static void open_trial(struct trial *trial, const struct row *row, enum lorac_form_policy policy, size_t threads,
                       bool fused)
{
    struct lorac_error error = {0};
    const struct graph_spec spec = {.text = row->text, .dims = {BATCH, row->channels, SIDE, SIDE}, .seed = 3};
    const struct lorac_lower_options options = {.batch = BATCH, .training = row->training, .form_policy = policy};
    *trial = (struct trial){.row = row, .graph = graph_build(&spec)};
    REQUIRE(CHECK_OK(lorac_lower(trial->graph.model, &trial->graph.meta, &options, &trial->program, &error), error));
    check_fused(row, trial->program);
    if (!fused)
        undo(trial->program);
    REQUIRE(CHECK_OK(lorac_session_create(trial->program, threads, &trial->session, &error), error));
}

static void close_trial(struct trial *trial)
{
    lorac_session_free(trial->session);
    lorac_program_free(trial->program);
    graph_free(&trial->graph);
}

static void run_trial(struct trial *trial)
{
    struct lorac_error error = {0};
    struct lorac_rng rng;
    float *input = lorac_session_input(trial->session);
    const struct lorac_value *logits = &trial->program->values[trial->program->logits];
    lorac_rng_init(&rng, 5, "fuse", 0, 0);
    for (size_t i = 0; i < lorac_value_count(&trial->program->values[trial->program->input]); i++)
        input[i] = (float)(lorac_rng_uniform(&rng) * 2 - 1);
    CHECK_OK(lorac_session_forward(trial->session, trial->row->training, &error), error);
    if (!trial->row->training)
        return;
    float *gradient = lorac_session_logits_gradient(trial->session);
    for (size_t i = 0; i < lorac_value_count(logits); i++)
        gradient[i] = (float)(lorac_rng_uniform(&rng) * 2 - 1);
    lorac_session_backward(trial->session);
}

// The number of elements that are the same number: the sign of a zero may differ.
static bool same(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(a[i] == b[i]))
            return false;
    return true;
}

static void compare(const struct trial *a, const struct trial *b, size_t threads)
{
    const struct lorac_value *logits = &a->program->values[a->program->logits];
    CHECKF(same(lorac_session_logits(a->session), lorac_session_logits(b->session), lorac_value_count(logits)),
           "%s: %zu threads: other logits", a->row->what, threads);
    for (size_t i = 0; i < a->program->param_count; i++) {
        const struct lorac_param *left = &a->program->params[i], *right = &b->program->params[i];
        CHECKF(!left->trainable || same(left->gradient, right->gradient, left->count),
               "%s: %zu threads: another gradient of %s", a->row->what, threads, left->name);
    }
}

static void run(const struct row *row, enum lorac_form_policy policy)
{
    struct trial apart;
    open_trial(&apart, row, policy, 1, false);
    run_trial(&apart);
    for (size_t threads = 1; threads <= THREADS; threads++) {
        struct trial fused;
        open_trial(&fused, row, policy, threads, true);
        run_trial(&fused);
        compare(&apart, &fused, threads);
        close_trial(&fused);
    }
    close_trial(&apart);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run(&rows[i], LORAC_FORM_POLICY_DEFINITION);
    for (size_t i = 0; i < sizeof branches / sizeof *branches; i++)
        run(&branches[i], LORAC_FORM_POLICY_BRANCH);
    return check_report();
}
