// What is written over what, by the rules of alias.h, and what that takes of memory.
#include "check.h"
#include "ref/graph.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session.h"

enum { CHANNELS = 4, SIDE = 8, TRAIN = 1, BN_TRAIN = 2 };

// What one activation of CHANNELS channels takes in the plan, its mask, and one row of as many class scores.
enum {
    IMAGE = CHANNELS * SIDE * SIDE * (int)sizeof(float) + LORAC_EXTRA_BYTES,
    MASK = 2 * LORAC_BUFFER_ALIGNMENT,
    ROW = 2 * LORAC_BUFFER_ALIGNMENT
};

// [joined]: "c=a" where value c lies in the memory of a, an input of its step; "c'" where the gradient of the input of
// the step that makes c is written over that of c; "+" where a sum of gradients is written over the first. In the order in which they run. [bytes]: of the plan; 0: not looked
// at.
struct row {
    const char *what, *text;
    unsigned flags;
    const char *joined;
    size_t bytes;
};

#define W "[4,4,3,3]) pads=[1,1,1,1]; "
#define TRAINED "[4,4,3,3]*) pads=[1,1,1,1]; "
#define TAIL "; p=GlobalAveragePool(z); y=Flatten(p)"

static const struct row rows[] = {
    {"a chain", "a=Conv(x, u" W "b=Conv(a, v" W "c=Add(b, a); z=Relu(c)" TAIL, 0, "c=b z=c ", 2 * IMAGE},
    {"a chain of Clip", "a=Conv(x, u" W "b=Clip(a, lo<0.>, hi<6.>); z=Relu(b)" TAIL, 0, "b=a z=b ", 2 * IMAGE},
    {"the shortcut is the first of the two", "a=Conv(x, u" W "b=Conv(a, v" W "c=Add(a, b); z=Relu(c)" TAIL, 0,
     "c=a z=c ", 2 * IMAGE},
    {"a shortcut that is read again", "a=Conv(x, u" W "b=Conv(a, v" W "c=Add(a, b); d=Add(c, a); z=Relu(d)" TAIL, 0,
     "c=b d=c z=d ", 2 * IMAGE},
    {"what Relu reads is read again", "a=Conv(x, u" W "b=Relu(a); z=Add(b, a)" TAIL, 0, "z=b ", 2 * IMAGE},
    {"a value beside itself", "a=Conv(x, u" W "z=Add(a, a)" TAIL, 0, "z=a ", 2 * IMAGE},
    {"the input", "a=Relu(x); b=Conv(a, u" W "z=Relu(b)" TAIL, 0, "z=b ", 2 * IMAGE},
    {"the input beside an activation", "a=Conv(x, u" W "z=Add(x, a)" TAIL, 0, "z=a ", 2 * IMAGE},
    {"a Sum reads its third input after the first addition",
     "a=Conv(x, u" W "b=Conv(a, v" W "c=Conv(b, w" W "z=Sum(a, b, c)" TAIL, 0, "z=a ", 3 * IMAGE},
    {"a Sum that reads its first input again", "a=Conv(x, u" W "b=Conv(a, v" W "z=Sum(a, b, a)" TAIL, 0, "z=b ",
     2 * IMAGE},
    {"a Sum that reads both again", "a=Conv(x, u" W "b=Conv(a, v" W "z=Sum(a, b, a, b)" TAIL, 0, "", 3 * IMAGE},
    {"BatchNormalization that no convolution takes over",
     "a=MaxPool(x) kernel_shape=[1,1]; b=BatchNormalization(a, s[4]+, t[4], m[4], q[4]+); z=Relu(b)" TAIL, 0,
     "b=a z=b ", 2 * IMAGE},
    {"a broadcast sum", "a=Conv(x, u" W "b=GlobalAveragePool(a); z=Add(a, b)" TAIL, 0, "", 2 * IMAGE + ROW},
    {"the class scores", "p=GlobalAveragePool(x); q=Flatten(p); r=Gemm(q, g[4,4]); y=Relu(r)", 0, "y=r ", IMAGE + ROW},
    {"a Softmax reads the class scores, which stay",
     "p=GlobalAveragePool(x); q=Flatten(p); r=Gemm(q, g[4,4]); s=Relu(r); y=Softmax(s) axis=1", 0, "s=r ", 0},

    // Training: a trained convolution keeps what it reads, Relu a mask. The gradient of an Add's inputs is that of
    // its output.
    {"a frozen convolution behind a trained one",
     "a=Conv(x, u" TRAINED "b=Relu(a); c=Conv(b, v" W "z=Relu(c)" TAIL, TRAIN, "b=a z=c z' b' ",
     3 * IMAGE + 2 * MASK},
    {"a trained convolution reads what would be written over",
     "a=Conv(x, u" TRAINED "b=Conv(a, v" TRAINED "c=Add(a, b); z=Relu(c)" TAIL, TRAIN, "c=b z=c z' ", 0},
    {"Relu after a value that is kept", "a=Conv(x, u" TRAINED "b=Conv(a, v" TRAINED "c=Relu(a); z=Add(b, c)" TAIL,
     TRAIN, "z=b ", 0},
    {"Clip after Relu", "a=Conv(x, u" TRAINED "b=Relu(a); z=Clip(b, lo<0.>, hi<6.>)" TAIL, TRAIN, "b=a z=b z' b' ", 0},
    {"Relu's output is kept",
     "a=Conv(x, u" TRAINED "b=Relu(a); c=Conv(b, v" TRAINED "z=Add(c, b)" TAIL, TRAIN, "b=a z=c b' ", 0},
    {"a gradient that a shortcut reads later",
     "a=Conv(x, u" TRAINED "b=Relu(a); c=Conv(b, v" W "d=Relu(c); z=Add(d, b)" TAIL, TRAIN, "b=a d=c z=d b' ", 0},
    {"the gradient of the class scores",
     "a=Conv(x, u" TRAINED "p=GlobalAveragePool(a); q=Flatten(p); r=Gemm(q, g[4,4]); y=Relu(r)", TRAIN, "y=r y' ", 0},
    {"a sum of two gradients that others have too",
     "a=Conv(x, u" TRAINED "b=Relu(a); c=Add(b, x); d=Conv(c, v" W "z=Add(d, b)" TAIL, TRAIN, "b=a z=d + b' ", 0},
    {"BatchNormalization with statistics of the batch keeps what it reads",
     "a=Conv(x, u" TRAINED "b=BatchNormalization(a, s[4]+, t[4], m[4], q[4]+); z=Relu(b)" TAIL, TRAIN | BN_TRAIN,
     "z=b z' b' ", 0},
    {"two gradients of one value", "a=Conv(x, u" TRAINED "b=Relu(a); c=Relu(a); z=Add(b, c)" TAIL, TRAIN, "c=a z=b b' ", 0},
};

static void append(char *text, size_t size, const char *format, const char *first, const char *second)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, format, first, second);
}

static void describe(const struct lorac_program *program, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const struct lorac_value *output = &program->values[step->output];
        for (size_t k = 0; k < step->input_count; k++) {
            const struct lorac_value *input = &program->values[step->inputs[k]];
            if (input->buffer == output->buffer && (k == 0 || step->inputs[k] != step->inputs[0]))
                append(text, size, "%s=%s ", output->name, input->name);
        }
    }
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        if (op->kind == LORAC_BACKWARD_SUM && op->target == op->source)
            append(text, size, "%s %s", "+", "");
        if (op->kind == LORAC_BACKWARD_STEP && op->dx[0] == op->dy)
            append(text, size, "%s' %s", program->values[program->steps[op->step].output].name, "");
    }
}

// Every buffer that a value, a gradient or something kept lies in has its bytes; those that were given up have none.
static void check_bytes(const struct row *row, const struct lorac_program *program)
{
    for (size_t i = 0; i < program->value_count; i++) {
        const struct lorac_value *value = &program->values[i];
        CHECKF(program->buffers[value->buffer].bytes == lorac_value_count(value) * sizeof(float),
               "%s: value '%s' has %zu bytes", row->what, value->name, program->buffers[value->buffer].bytes);
    }
    for (size_t j = 0; j < program->backward_count; j++) {
        const struct lorac_backward_op *op = &program->backward[j];
        const struct lorac_step *step = &program->steps[op->step];
        for (size_t k = 0; op->kind == LORAC_BACKWARD_STEP && k < step->input_count; k++)
            CHECKF(op->dx[k] == LORAC_NO_ID || program->buffers[op->dx[k]].bytes > 0,
                   "%s: the gradient of input %zu of '%s' has no memory", row->what, k, step->name);
        CHECKF(op->kind != LORAC_BACKWARD_STEP || program->buffers[op->dy].bytes > 0,
               "%s: the gradient of '%s' has no memory", row->what, step->name);
        CHECKF(op->kind == LORAC_BACKWARD_STEP ||
                   (program->buffers[op->target].bytes == op->count * sizeof(float) &&
                    program->buffers[op->source].bytes == op->count * sizeof(float)),
               "%s: a sum of gradients has no memory", row->what);
    }
}

static void run(const struct row *row)
{
    const struct graph_spec spec = {.text = row->text,
                                    .dims = {1, CHANNELS, SIDE, SIDE},
                                    .seed = 3,
                                    .bn = row->flags & BN_TRAIN ? LORAC_BN_TRAIN : LORAC_BN_FROZEN};
    struct graph graph = graph_build(&spec);
    const struct lorac_lower_options options = {.batch = 1, .training = row->flags & TRAIN};
    struct lorac_program *program = NULL;
    struct lorac_session_memory memory = {0};
    struct lorac_error error = {0};
    char joined[256];
    REQUIRE(CHECK_OK(lorac_lower(graph.model, &graph.meta, &options, &program, &error), error));
    describe(program, joined, sizeof joined);
    CHECKF(strcmp(joined, row->joined) == 0, "%s: joined \"%s\", expected \"%s\"", row->what, joined, row->joined);
    check_bytes(row, program);
    CHECK_OK(lorac_program_memory(program, &memory, &error), error);
    CHECKF(row->bytes == 0 || memory.planned_bytes == row->bytes, "%s: the plan takes %zu bytes, expected %zu",
           row->what, memory.planned_bytes, row->bytes);
    lorac_program_free(program);
    graph_free(&graph);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run(&rows[i]);
    return check_report();
}
