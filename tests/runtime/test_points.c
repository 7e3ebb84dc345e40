// Element-wise operators at single points: the slope where a function has a kink, which finite differences cannot tell
// (PyTorch 2.x gives these), and values far out, at infinity and at NaN.
#include "check.h"
#include "ref/graph.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session.h"

#include <math.h>
#include <stdio.h>

// Of a value or slope: single float operations, a few units in the last place.
static const double TOLERANCE = 5e-7;

static const struct row {
    const char *text;   // y = f(a), [1, 1, 1, 1], or statements
    double x, y, slope; // slope NaN: not looked at
    int64_t opset;
} rows[] = {
    {"Relu(a)", 0, 0, 0, 0},
    {"Clip(a, l<0.0>, h<6.0>)", 6, 6, 0, 0},
    {"LeakyRelu(a) alpha=0.125", 0, 0, 0.125, 0},
    {"PRelu(a, k<0.25>)", 0, 0, 0.25, 0},
    {"ThresholdedRelu(a) alpha=1.0", 1, 0, 0, 0},
    {"Elu(a) alpha=1.5", 0, 0, 1.5, 0},
    {"Selu(a)", 0, 0, 1.7580993408473766, 0},
    {"Celu(a) alpha=1.5", 0, 0, 1, 0},
    {"Abs(a)", 0, 0, 0, 0},
    {"HardSigmoid(a) alpha=0.25 beta=0.5", 2, 1, 0, 0},
    {"HardSigmoid(a) alpha=0.25 beta=0.5", -2, 0, 0, 0},
    {"HardSwish(a)", 3, 3, 1, 0},
    {"HardSwish(a)", -3, 0, 0, 0},
    {"HardSwish(a)", 0, 0, 0.5, 0},
    {"Max(a, k<0.5>)", 0.5, 0.5, 0.5, 0},
    {"Min(k<0.5>, a)", 0.5, 0.5, 0.5, 0},
    {"Max(a, a)", 2, 2, 1, 0},
    {"Sqrt(a)", 0, 0, INFINITY, 0},
    {"Pow(a, k<0.0>)", 0, 1, 0, 0},
    {"Pow(a, k<1.0>)", 0, 0, 1, 0},
    {"Pow(a, k<0.5>)", 0, 0, INFINITY, 0},
    {"Pow(a, k<3.0>)", -2, -8, 12, 0},
    // far out
    {"Sigmoid(a)", 100, 1, 0, 0},
    {"Sigmoid(a)", -20, 2.0611536181902037e-9, 2.0611536139418848e-9, 0},
    {"Sigmoid(a)", -87, 1.6458114310822737e-38, 1.6458114310822737e-38, 0},
    {"Sigmoid(a)", -50.25, 1.5021118919431522e-22, 1.5021118919431522e-22, 0},
    {"Sigmoid(a)", INFINITY, 1, 0, 0},
    {"Sigmoid(a)", -INFINITY, 0, 0, 0},
    {"Softplus(a)", 100, 100, 1, 0},
    {"Softplus(a)", -20, 2.061153620314381e-9, 2.0611536181902037e-9, 0},
    {"Softplus(a)", -INFINITY, 0, 0, 0},
    {"Elu(a)", 1e-6, 1e-6, 1, 0},
    {"Elu(a)", -1e-6, -9.99999500000e-7, 0.999999, 0},
    {"Elu(a)", -200, -1, 0, 0},
    {"Gelu(a)", -5, -1.4332578593401202e-6, -7.1469460018034646e-6, 20},
    {"Gelu(a) approximate=tanh", 50, 50, 1, 20},
    {"Mish(a)", 40, 40, 1, 18},
    {"Swish(a)", 90, 90, 1, 24},
    {"Tanh(a)", 1e-4, 9.99999996666666e-5, 0.99999999, 0},
    {"Erf(a)", 1e-4, 1.1283791633342486e-4, 1.1283791558107209, 0},
    {"Exp(a)", 100, INFINITY, INFINITY, 0},
    {"Log(a)", 0, -INFINITY, INFINITY, 0},
    {"Reciprocal(a)", 0, INFINITY, -INFINITY, 0},
    // inf - inf: a NaN stays one, so that the loss shows what went wrong
    {"n=Sub(a, a); y=Sigmoid(n)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=HardSigmoid(n)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=HardSwish(n)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=LeakyRelu(n)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=Softplus(n)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=Gelu(n)", INFINITY, NAN, NAN, 20},
    {"n=Sub(a, a); y=PRelu(n, k<0.5>)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=Min(n, k<0.5>)", INFINITY, NAN, NAN, 0},
    {"n=Sub(a, a); y=Max(k<0.5>, n)", INFINITY, NAN, NAN, 0},
};

static void check_value(const struct row *row, const char *what, double got, double expected)
{
    bool right = isnan(expected)   ? isnan(got)
                 : isinf(expected) ? got == expected
                                   : fabs(got - expected) <= TOLERANCE * fabs(expected) + 1e-37;
    CHECKF(right, "%s at %g: the %s is %.9g, %.9g is expected", row->text, row->x, what, got, expected);
}

static void run_session(const struct row *row, struct lorac_session *session)
{
    struct lorac_program *program = lorac_session_program(session);
    struct lorac_error error = {0};
    *lorac_session_input(session) = (float)row->x;
    CHECK_OK(lorac_session_forward(session, true, &error), error);
    check_value(row, "value", (double)*lorac_session_logits(session), row->y);
    if (isnan(row->slope))
        return;
    *lorac_session_logits_gradient(session) = 1;
    lorac_session_zero_gradients(session);
    lorac_session_backward(session);
    check_value(row, "slope", (double)*program->steps[0].dy, row->slope);
}

static void run(const struct row *row)
{
    char text[256];
    snprintf(text, sizeof text, "a=Conv(x, lead[1,1,1,1]*=); %s%s", row->text[1] == '=' ? "" : "y=", row->text);
    struct graph_spec spec = {.text = text, .dims = {1, 1, 1, 1}, .opset = row->opset, .seed = 1};
    struct graph graph = graph_build(&spec);
    struct lorac_lower_options options = {.batch = 1, .training = true};
    struct lorac_program *program = NULL;
    struct lorac_session *session = NULL;
    struct lorac_error error = {0};
    if (CHECK_OK(lorac_lower(graph.model, &graph.meta, &options, &program, &error), error) &&
        CHECK_OK(lorac_session_create(program, 1, &session, &error), error))
        run_session(row, session);
    lorac_session_free(session);
    lorac_program_free(program);
    graph_free(&graph);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run(&rows[i]);
    return check_report();
}
