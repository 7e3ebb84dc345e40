// What the rows of test_kernels.c cannot say, because there the batch is the one that the model declares: shapes that
// were traced with another batch, constants that are the same for every image, and outputs that are not trained.
#include "check.h"
#include "ref/graph.h"
#include "runtime/lower.h"
#include "runtime/session.h"

#include <math.h>
#include <string.h>

static struct graph build_text(const char *text, const int64_t *dims)
{
    struct graph_spec spec = {.text = text, .seed = 7};
    memcpy(spec.dims, dims, sizeof spec.dims);
    return graph_build(&spec);
}

static enum lorac_status lower_with(struct graph *graph, size_t batch, struct lorac_program **program,
                                    struct lorac_error *error)
{
    struct lorac_lower_options options = {.batch = batch, .training = true};
    *program = NULL;
    return lorac_lower(graph->model, &graph->meta, &options, program, error);
}

// ---- shapes that were traced with one image, run with three

struct traced_row {
    const char *text;
    const char *refusal; // NULL: it runs, and each image gives what it gives alone
};

#define LEAD "a=Conv(x, lead[3,3,1,1]*=); "

static const struct traced_row traced_rows[] = {
    {LEAD "y=Reshape(a, s{1,12})", NULL},
    {LEAD "y=Reshape(a, s{1,-1})", NULL},
    {LEAD "i=Identity(s{1,-1}); y=Reshape(a, i)", NULL},
    {LEAD "c=Concat(o{1}, m{-1}) axis=0; y=Reshape(a, c)", NULL},
    {LEAD "u=Unsqueeze(o{1}[], k{0}); c=Concat(u, m{12}) axis=0; y=Reshape(a, c)", NULL},
    {LEAD "y=Reshape(a, s{2,-1})", "its shape makes 2 rows of a batch of 3"},
    {LEAD "g=GlobalAveragePool(a); e=Expand(g, s{1,3,2,2}); m=Mul(a, e); y=Flatten(m)", NULL},
    {LEAD "g=GlobalAveragePool(a); e=Expand(g, s{2,3,2,2}); y=Flatten(e)", "its shape has 2 where the input"},
    {LEAD "c=Concat(z[1,2,2,2], a, q[1,1,2,2]) axis=1; y=Flatten(c)", NULL},
    {LEAD "c=Concat(z[2,2,2,2], a) axis=1; y=Flatten(c)", "node 'n_c' (Concat): input 0 ('z') does not fit"},
    {LEAD "r=Resize(a, -, -, z{1,3,3,4}); y=Flatten(r)", NULL},
    {LEAD "r=Resize(a, -, -, z{2,3,3,4}); y=Flatten(r)", "it resizes the batch"},
};

enum { IMAGES = 3, PIXELS = 4, CHANNELS = 3, COUNT = PIXELS * CHANNELS };

static void put_images(float *to, size_t first, size_t count)
{
    for (size_t i = 0; i < count * COUNT; i++)
        to[i] = (float)((first * COUNT + i) * 7 % 23) / 11 - 1;
}

// Runs [count] images from [first] on; returns the floats of an image's output.
static size_t run_images(struct graph *graph, size_t first, size_t count, float *out)
{
    struct lorac_program *program;
    struct lorac_session *session = NULL;
    struct lorac_error error = {0};
    CHECK_OK(lower_with(graph, count, &program, &error), error);
    REQUIRE(program != NULL);
    CHECK_OK(lorac_session_create(program, 1, &session, &error), error);
    REQUIRE(session != NULL);
    put_images(lorac_session_input(session), first, count);
    CHECK_OK(lorac_session_forward(session, false, &error), error);
    const struct lorac_value *output = &program->values[program->output];
    REQUIRE(output->n == count && lorac_value_count(output) <= 64 * count);
    size_t floats = lorac_value_count(output);
    memcpy(out, lorac_session_output(session), floats * sizeof(float));
    lorac_session_free(session);
    lorac_program_free(program);
    return floats / count;
}

static void check_traced(const struct traced_row *row)
{
    struct graph graph = build_text(row->text, (const int64_t[]){1, CHANNELS, 2, 2});
    if (row->refusal) {
        struct lorac_program *program;
        struct lorac_error error = {0};
        CHECKF(lower_with(&graph, IMAGES, &program, &error) == LORAC_ERROR_UNSUPPORTED &&
                   strstr(error.message, row->refusal),
               "%s: \"%s\"", row->text, error.message);
        lorac_program_free(program);
    } else {
        float together[64 * IMAGES], alone[64];
        size_t each = run_images(&graph, 0, IMAGES, together);
        for (size_t n = 0; n < IMAGES; n++) {
            REQUIRE(run_images(&graph, n, 1, alone) == each);
            double worst = 0;
            for (size_t i = 0; i < each; i++)
                worst = fmax(worst, fabs((double)together[n * each + i] - (double)alone[i]));
            CHECKF(worst <= 1e-6, "%s: image %zu differs by %g", row->text, n, worst);
        }
    }
    graph_free(&graph);
}

// ---- an output that is not trained may be anything

static void check_other_output(void)
{
    struct graph graph = build_text(LEAD "f=Flatten(a); k=ArgMax(f) axis=1; n=NoSuchOperator(f); y=Gemm(f, w[12,4]*)",
                                    (const int64_t[]){2, CHANNELS, 2, 2});
    Onnx__GraphProto *proto = graph.model->proto->graph;
    Onnx__ValueInfoProto *outputs[3], **kept = proto->output, others[2];
    outputs[0] = proto->output[0];
    for (size_t i = 0; i < 2; i++) {
        others[i] = *proto->output[0];
        others[i].name = (char *)(i ? "n" : "k");
        outputs[i + 1] = &others[i];
    }
    proto->output = outputs;
    proto->n_output = 3;
    struct lorac_program *program;
    struct lorac_error error = {0};
    CHECK_OK(lower_with(&graph, 2, &program, &error), error);
    size_t steps = program ? program->step_count : 0;
    CHECKF(steps == 3, "%zu steps; Conv, Flatten and Gemm make 3", steps);
    lorac_program_free(program);
    proto->output = kept;
    proto->n_output = 1;
    graph_free(&graph);
}

// ---- what is trained is read as a parameter, or not at all

static const struct {
    const char *text, *refusal; // NULL: it is trained; everything runs where nothing is trained
} trained_rows[] = {
    {LEAD "f=Flatten(a); y=Gemm(f, w[12,4]*)", NULL},
    {LEAD "f=Flatten(a); m=MatMul(f, w[12,4]*); y=Add(m, b[4]*)", NULL},
    {LEAD "s=Shape(lead); k=ConstantOfShape(s); b=Conv(a, k); y=Flatten(b)", NULL},
    {LEAD "f=Flatten(a); g=Gemm(f, w[12,4], m[4]*); y=Sub(g, m)", "node 'n_y' (Sub): input 1 ('m') is trained"},
    {LEAD "f=Flatten(a); y=Mul(f, m[12]*)", "node 'n_y' (Mul): input 1 ('m') is trained"},
    {LEAD "f=Flatten(a); y=Sub(m[12]*, f)", "node 'n_y' (Sub): input 0 ('m') is trained"},
    {LEAD "f=Flatten(a); y=Div(f, m[12]*!)", "node 'n_y' (Div): input 1 ('m') is trained"},
    {LEAD "p=PRelu(a, m[3,1,1]*); y=Flatten(p)", "node 'n_p' (PRelu): input 1 ('m') is trained"},
    {LEAD "f=Flatten(a); y=Concat(f, m[1,4]*) axis=1", "node 'n_y' (Concat): input 1 ('m') is trained"},
    {LEAD "f=Flatten(a); g=Gemm(f, w[12,12]*); i=Neg(w); h=Gemm(g, i); y=Relu(h)", "value 'i' is computed from"},
    {LEAD "b=Conv(a, w[3,3,1,1]) lora=kernel:2:4; c=Conv(b, w); y=Flatten(c)", NULL},
    {LEAD "f=Flatten(a); i=Neg(m[12]*); j=Identity(i); y=Add(f, j)", "node 'n_y' (Add): input 1 ('j') is trained"},
};

static void check_trained(const char *text, const char *refusal)
{
    struct graph graph = build_text(text, (const int64_t[]){1, CHANNELS, 2, 2});
    struct lorac_program *program;
    struct lorac_error error = {0};
    enum lorac_status status = lower_with(&graph, 1, &program, &error);
    CHECKF(refusal ? status == LORAC_ERROR_UNSUPPORTED && strstr(error.message, refusal) : status == LORAC_OK,
           "%s: \"%s\"", text, error.message);
    lorac_program_free(program);
    struct lorac_lower_options running = {.batch = 1};
    program = NULL;
    status = lorac_lower(graph.model, &graph.meta, &running, &program, &error);
    CHECKF(status == LORAC_OK, "%s, without training: \"%s\"", text, error.message);
    lorac_program_free(program);
    graph_free(&graph);
}

int main(void)
{
    for (size_t i = 0; i < sizeof trained_rows / sizeof trained_rows[0]; i++)
        check_trained(trained_rows[i].text, trained_rows[i].refusal);
    for (size_t i = 0; i < sizeof traced_rows / sizeof traced_rows[0]; i++)
        check_traced(&traced_rows[i]);
    check_other_output();
    return check_report();
}
