// Recomputation: the same bits as without it, less memory, nothing read that is no longer there, and the same layer
// named where a number goes bad.
#include "check.h"
#include "net_fixture.h"

#include "runtime/recompute.h"

#define C3(in, channels) "[" #channels "," #in ",3,3]"
#define TRAINED " pads=[1,1,1,1] lora=kernel:2:4; "
#define FROZEN_A " pads=[1,1,1,1] lora=plain:2:4:frozen; "
#define END(value, channels) "e=GlobalAveragePool(" value "); f=Flatten(e); y=Gemm(f, g[" #channels ",5]*, gb[5]*)"

static const struct row {
    const char *name, *text;
    enum lorac_bn_mode bn;
} rows[] = {
    {"chain",
     "a=Conv(x, w0" C3(3, 8) ", b0[8])" TRAINED "b=Relu(a); c=Conv(b, w1" C3(8, 8) ", b1[8])" TRAINED
     "d=Relu(c); h=Conv(d, w2" C3(8, 8) ", b2[8])" TRAINED "i=Relu(h); j=Conv(i, w3" C3(8, 8) ", b3[8])" TRAINED
     "k=Relu(j); " END("k", 8),
     LORAC_BN_FROZEN},
    {"chain, A frozen",
     "a=Conv(x, w0" C3(3, 8) ", b0[8])" FROZEN_A "b=Relu(a); c=Conv(b, w1" C3(8, 8) ", b1[8])" FROZEN_A
     "d=Relu(c); h=Conv(d, w2" C3(8, 8) ", b2[8])" FROZEN_A "i=Relu(h); j=Conv(i, w3" C3(8, 8) ", b3[8])" FROZEN_A
     "k=Relu(j); " END("k", 8),
     LORAC_BN_FROZEN},
    {"residual blocks",
     "a=Conv(x, w0" C3(3, 8) "*, b0[8]) pads=[1,1,1,1]; b=Relu(a); c=Conv(b, w1" C3(8, 8) ", b1[8])" TRAINED
     "d=Relu(c); h=Conv(d, w2" C3(8, 8) ", b2[8])" TRAINED "i=Add(h, b); j=Relu(i); k=Conv(j, w3" C3(8, 8)
     ", b3[8])" TRAINED "l=Relu(k); m=Conv(l, w4" C3(8, 8) ", b4[8])" TRAINED "n=Add(j, m); o=Relu(n); "
     "p=Conv(o, w5[8,8,1,1], b5[8]) lora=kernel:2:4; q=Add(p, o); r=Relu(q); " END("r", 8),
     LORAC_BN_FROZEN},
    {"bottleneck",
     "v=Conv(x, wv" C3(3, 16) ", bv[16])" TRAINED "w=Relu(v); a=Conv(w, w0" C3(16, 16) ", b0[16])" TRAINED
     "b=Relu(a); c=Conv(b, w1[4,16,1,1], b1[4]) lora=plain:2:4; d=Relu(c); "
     "h=Conv(d, w2[4,4,3,3], b2[4]) strides=[2,2]" TRAINED "i=Relu(h); j=Conv(i, w3[24,4,1,1], b3[24]) lora=plain:2:4; "
     "k=Conv(b, w4[24,16,1,1]) strides=[2,2]; l=Add(j, k); m=Relu(l); n=MaxPool(m) kernel_shape=[2,2] strides=[2,2]; "
     "o=Conv(n, w5[8,24,1,1], b5[8]) lora=kernel:2:4; p=Relu(o); " END("p", 8),
     LORAC_BN_FROZEN},
    {"BatchNorm frozen",
     "a=Conv(x, w0" C3(3, 8) ")" TRAINED "n=BatchNormalization(a, s0[8]+, t0[8], m0[8], q0[8]+); b=Relu(n); "
     "c=Conv(b, w1" C3(8, 8) ")" TRAINED "o=BatchNormalization(c, s1[8]+, t1[8], m1[8], q1[8]+); d=Relu(o); "
     "h=Conv(d, w2" C3(8, 8) ")" TRAINED "p=BatchNormalization(h, s2[8]+, t2[8], m2[8], q2[8]+); i=Add(p, b); "
     "j=Relu(i); k=Conv(j, w3[8,8,1,1]) lora=kernel:2:4; l=Relu(k); " END("l", 8),
     LORAC_BN_FROZEN},
    {"BatchNorm train",
     "a=Conv(x, w0" C3(3, 8) ")" TRAINED "n=BatchNormalization(a, s0[8]+, t0[8], m0[8], q0[8]+); b=Relu(n); "
     "c=Conv(b, w1" C3(8, 8) ")" TRAINED "o=BatchNormalization(c, s1[8]+, t1[8], m1[8], q1[8]+); d=Relu(o); "
     "h=Conv(d, w2" C3(8, 8) ")" TRAINED "p=BatchNormalization(h, s2[8]+, t2[8], m2[8], q2[8]+); i=Add(p, b); "
     "j=Relu(i); k=Conv(j, w3[8,8,1,1]) lora=kernel:2:4; l=Relu(k); " END("l", 8),
     LORAC_BN_TRAIN},
    {"Clip and Concat",
     "a=Conv(x, w0" C3(3, 8) ", b0[8])" TRAINED "b=Clip(a, lo0<0.0>, hi0<1.0>); "
     "c=Conv(b, w1" C3(8, 8) ", b1[8])" TRAINED "d=Concat(b, c) axis=1; h=Conv(d, w2" C3(16, 8) ", b2[8])" TRAINED
     "i=Clip(h, lo1<0.0>, hi1<6.0>); j=Concat(d, i) axis=1; k=Sigmoid(j); "
     "l=Conv(k, w3" C3(24, 8) ", b3[8])" TRAINED "m=Mul(l, l); " END("m", 8),
     LORAC_BN_FROZEN},
    {"Softmax behind",
     "a=Conv(x, w0" C3(3, 8) ", b0[8])" TRAINED "b=Relu(a); c=Conv(b, w1" C3(8, 8) ", b1[8])" TRAINED
     "d=Relu(c); h=Conv(d, w2" C3(8, 8) ", b2[8])" TRAINED "i=Relu(h); j=Conv(i, w3" C3(8, 8) ", b3[8])" TRAINED
     "k=Relu(j); " END("k", 8) "; z=Softmax(y) axis=1",
     LORAC_BN_FROZEN},
};
enum { ROWS = sizeof rows / sizeof *rows, STEPS = 7 };

static struct lorac_net *open_row(const struct row *row, const struct lorac_prepare_options *options)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.text = row->text, .pixels = true, .bn = row->bn});
    REQUIRE(CHECK_OK(lorac_prepare(net, options, &error), error));
    return net;
}

static void train_and_note(struct lorac_net *net, double losses[STEPS])
{
    struct lorac_error error = {0};
    for (size_t step = 0; step < STEPS; step++) {
        const size_t first = step * BATCH % (IMAGES / BATCH * BATCH);
        const struct lorac_images images = u8(first, BATCH);
        struct lorac_step_result result;
        REQUIRE(CHECK_OK(lorac_train_batch(net, &images, labels + first, NULL, &result, &error), error));
        losses[step] = result.loss;
    }
}

// ---- the program, run on names: who reads finds in the buffer what it asks for

struct names {
    const struct lorac_program *program;
    const char *row;
    uint32_t *holds; // by buffer: the value in it, LORAC_NO_ID: none; value_count + the buffer's id for anything else
};

static void write_name(struct names *names, uint32_t id, uint32_t name)
{
    const struct lorac_buffer *buffers = names->program->buffers, *written = &buffers[id];
    for (size_t i = 0; i < names->program->buffer_count; i++)
        if (buffers[i].offset < written->offset + written->bytes &&
            written->offset < buffers[i].offset + buffers[i].bytes)
            names->holds[i] = LORAC_NO_ID;
    names->holds[id] = name;
}

static void read_name(const struct names *names, uint32_t id, uint32_t name, const char *who)
{
    CHECKF(names->holds[id] == name, "%s: %s reads buffer %u, which holds something else", names->row, who,
           (unsigned)id);
}

static void write_value(struct names *names, uint32_t value)
{
    write_name(names, names->program->values[value].buffer, value);
}

static void read_value(const struct names *names, uint32_t value, const char *who)
{
    read_name(names, names->program->values[value].buffer, value, who);
}

static void write_other(struct names *names, uint32_t id)
{
    write_name(names, id, (uint32_t)names->program->value_count + id);
}

static void read_other(const struct names *names, uint32_t id, const char *who)
{
    read_name(names, id, (uint32_t)names->program->value_count + id, who);
}

static void run_forward(struct names *names, const struct lorac_step *step)
{
    for (size_t k = 0; k < step->input_count; k++)
        read_value(names, step->inputs[k], step->name);
    write_value(names, step->output);
    if (step->kept_bytes > 0)
        write_other(names, step->kept_buffer);
}

static void run_backward(struct names *names, const struct lorac_backward_op *op)
{
    const struct lorac_step *step = &names->program->steps[op->step];
    read_other(names, op->dy, step->name);
    for (size_t k = 0; step->keeps_inputs && k < step->input_count; k++)
        read_value(names, step->inputs[k], step->name);
    if (step->keeps_output)
        read_value(names, step->output, step->name);
    if (step->kept_bytes > 0)
        read_other(names, step->kept_buffer, step->name);
    for (size_t k = 0; k < step->input_count; k++)
        if (op->dx[k] != LORAC_NO_ID)
            write_other(names, op->dx[k]);
}

static void run_sum(struct names *names, const struct lorac_backward_op *op)
{
    read_other(names, op->source, "a sum");
    read_other(names, op->kind == LORAC_BACKWARD_SUM ? op->source2 : op->target, "a sum");
    write_other(names, op->target);
}

static void check_program(const char *row, const struct lorac_program *program)
{
    struct names names = {program, row, malloc(program->buffer_count * sizeof *names.holds)};
    REQUIRE(names.holds != NULL);
    for (size_t i = 0; i < program->buffer_count; i++)
        names.holds[i] = LORAC_NO_ID;
    write_value(&names, program->input);
    for (size_t i = 0; i < program->step_count; i++)
        run_forward(&names, &program->steps[i]);
    read_value(&names, program->logits, "the loss");
    write_other(&names, program->logits_gradient);
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        if (op->kind == LORAC_BACKWARD_STEP)
            run_backward(&names, op);
        else if (op->kind == LORAC_BACKWARD_FORWARD)
            run_forward(&names, &program->steps[op->step]);
        else
            run_sum(&names, op);
    }
    free(names.holds);
}

// ---- the same bits, in less memory

static void test_row(const struct row *row, enum lorac_form_policy policy)
{
    struct lorac_prepare_options options = training(1);
    options.form_policy = policy;
    double expected[STEPS], got[STEPS];
    struct lorac_net *whole = open_row(row, &options);
    CHECK(lorac_recompute_step_count(whole->program) == 0);
    train_and_note(whole, expected);
    for (options.recompute = 2; options.recompute <= 4; options.recompute++) {
        options.threads = 1 + options.recompute % 2;
        struct lorac_net *net = open_row(row, &options);
        const size_t again = lorac_recompute_step_count(net->program), bytes = net->program->planned_bytes;
        // More segments than these networks have blocks need not pay, and are not taken then.
        CHECKF(again > 0 || options.recompute > 3, "%s, %zu segments: nothing runs again", row->name,
               options.recompute);
        CHECKF(again > 0 ? bytes < whole->program->planned_bytes : bytes == whole->program->planned_bytes,
               "%s, %zu segments: %zu bytes of %zu", row->name, options.recompute, bytes,
               whole->program->planned_bytes);
        check_program(row->name, net->program);
        train_and_note(net, got);
        CHECKF(memcmp(expected, got, sizeof got) == 0 && same_bytes(whole, net), "%s, %zu segments: other bits",
               row->name, options.recompute);
        lorac_close(net);
    }
    lorac_close(whole);
}

// No segments, one, and more than the network has places to cut.
static void test_numbers(void)
{
    static const size_t none[] = {0, 1};
    struct lorac_prepare_options options = training(1);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        options.recompute = none[i];
        struct lorac_net *net = open_row(&rows[0], &options);
        CHECK(lorac_recompute_step_count(net->program) == 0);
        lorac_close(net);
    }
    options.recompute = SIZE_MAX;
    struct lorac_net *net = open_row(&rows[0], &options);
    check_program("as many as there are", net->program);
    train_steps(net, 2);
    lorac_close(net);
}

// A network that is one step, or all of whose values cross every place, is left as it is.
static void test_nothing_to_cut(void)
{
    static const struct row one = {"one layer", "f=Flatten(x); y=Gemm(f, g[192,5]*, gb[5]*)", LORAC_BN_FROZEN};
    struct lorac_prepare_options options = training(1);
    options.recompute = 3;
    struct lorac_net *net = open_row(&one, &options);
    CHECK(lorac_recompute_step_count(net->program) == 0);
    train_steps(net, 1);
    lorac_close(net);
}

// Without training nothing is kept, so that nothing is computed twice.
static void test_inference(void)
{
    struct lorac_prepare_options options = training(1);
    options.recompute = 3;
    options.training = false;
    struct lorac_net *net = open_row(&rows[0], &options);
    CHECK(net->program->backward_count == 0);
    lorac_close(net);
}

// ---- bad numbers

// The sentence of a step that fails: weight [name] is large enough for an overflow, forward (3e38), or on the way back.
static void message_of(const char *name, float value, size_t recompute, struct lorac_error *error)
{
    struct lorac_error prepared = {0};
    struct lorac_prepare_options options = training(1);
    const struct lorac_images images = u8(0, BATCH);
    options.recompute = recompute;
    struct lorac_net *net = open_tiny(&(struct tiny_options){.text = rows[0].text, .pixels = true});
    set_weights(net, name, value);
    REQUIRE(CHECK_OK(lorac_prepare(net, &options, &prepared), prepared));
    CHECK(lorac_recompute_step_count(net->program) > 0 || recompute == 0);
    CHECK(lorac_train_batch(net, &images, labels, NULL, NULL, error) == LORAC_ERROR_NOT_FINITE);
    lorac_close(net);
}

static void test_bad_layers(void)
{
    static const char *const names[] = {"w0", "w1", "w2", "w3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct lorac_error expected = {0}, got = {0};
        message_of(names[i], 3e38f, 0, &expected);
        message_of(names[i], 3e38f, 3, &got);
        CHECKF(strcmp(expected.message, got.message) == 0, "'%s': \"%s\", without recomputation \"%s\"", names[i],
               got.message, expected.message);
        CHECKF(strstr(got.message, "output of node") != NULL, "'%s': \"%s\"", names[i], got.message);
    }
}

int main(void)
{
    make_images();
    for (size_t i = 0; i < ROWS; i++)
        for (int policy = LORAC_FORM_POLICY_DEFINITION; policy <= LORAC_FORM_POLICY_BRANCH; policy++)
            test_row(&rows[i], (enum lorac_form_policy)policy);
    test_numbers();
    test_nothing_to_cut();
    test_inference();
    test_bad_layers();
    return check_report();
}
