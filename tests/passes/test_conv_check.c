// Convolutions that contradict themselves: inject refuses the model by the convolution's name, before it changes
// anything, and the plan says why.
#include "check.h"
#include "ref/graph.h"

#include "passes/inject.h"

#define TAIL "; p=GlobalAveragePool(b); f=Flatten(p); y=Gemm(f, hw[3,4]) transB=1"
#define CONV(attributes) "a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3]) " attributes TAIL

static const struct {
    const char *text;
    const char *words; // NULL: nothing is wrong
} ROWS[] = {
    {CONV(""), NULL},
    {CONV("group=1 strides=[2,2] dilations=[1,2] pads=[1,0,1,2] kernel_shape=[3,3]"), NULL},
    {CONV("auto_pad=SAME_LOWER"), NULL},
    {CONV("auto_pad=NOTSET pads=[1,1,1,1]"), NULL},
    {CONV("auto_pad=SAME"), "auto_pad is 'SAME'"},
    {CONV("group=0"), "group is 0; it must be at least 1 and divide the weight's 4 outputs"},
    {CONV("group=-1"), "group is -1"},
    {CONV("group=3"), "group is 3"},
    {CONV("group=9223372036854775807"), "group is 9223372036854775807"},
    {CONV("kernel_shape=[3,1]"), "kernel_shape is 3 x 1, but the weight is 3 x 3"},
    {CONV("kernel_shape=[3]"), "kernel_shape has 1 values"},
    {CONV("kernel_shape=[3,3,1]"), "kernel_shape has 3 values"},
    {CONV("strides=[1]"), "strides has 1 values; a weight of rank 4 needs 2"},
    {CONV("strides=[0,1]"), "strides has 0; 1 to 2147483647"},
    {CONV("strides=[-1,1]"), "strides has -1"},
    {CONV("dilations=[1,2147483648]"), "dilations has 2147483648"},
    {CONV("dilations=[0,0]"), "dilations has 0"},
    {CONV("pads=[1,1]"), "pads has 2 values; a weight of rank 4 needs 4"},
    {CONV("pads=[0,-1,0,0]"), "pads has -1; 0 to 2147483647"},
    {CONV("pads=[0,0,0,2147483648]"), "pads has 2147483648"},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3], c[4])" TAIL, NULL},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3], -)" TAIL, NULL},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3], c[3])" TAIL, "the bias has 3 elements; the weight has 4 outputs"},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3], c[4,1])" TAIL, "the bias has rank 2"},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(a, w2[4,4,3,3], c[4], d[4])" TAIL, "it has 4 inputs"},
    {"a=Conv(x, w1[4,2,3,3]); b=Conv(-, w2[4,4,3,3])" TAIL, "it has 2 inputs"},
    {"b=Conv(x, w1[4,2,3,3], c[2])" TAIL, "the bias has 2 elements"}, // the first convolution as well
};

static void check_row(const char *text, const char *words)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = text, .dims = {1, 2, 6, 6}});
    struct lorac_error error = {0};
    struct lorac_inject_plan plan;
    struct lorac_pass_report report;
    size_t nodes = graph.model->proto->graph->n_node;
    CHECK_OK(lorac_inject_plan(graph.model, NULL, &plan, &error), error);
    const struct lorac_conv_row *row = &plan.rows[plan.row_count - 1];
    CHECKF(!row->fault == !words, "%s: fault %s", text, row->fault);
    if (words)
        CHECKF(strstr(row->fault, words) && row->reason == row->fault && !row->adapted, "%s: %s", text, row->fault);
    enum lorac_status status = lorac_pass_inject.run(graph.model, NULL, &report, &error);
    CHECKF((status == LORAC_OK) == !words, "%s: %s", text, error.message);
    if (words) {
        CHECKF(status == LORAC_ERROR_FORMAT && strstr(error.message, "convolution 'n_b' contradicts itself: ") &&
                   strstr(error.message, words),
               "%s: %s", text, error.message);
        CHECKF(graph.model->proto->graph->n_node == nodes, "%s: nodes were added", text);
        CHECK(!lorac_pass_inject.applies(graph.model, NULL));
    }
    graph_free(&graph);
}

// An output that nobody needs, of a node that has no such output.
static void test_two_outputs(void)
{
    struct graph graph = graph_build(&(struct graph_spec){.text = CONV(""), .dims = {1, 2, 6, 6}});
    struct lorac_error error = {0};
    struct lorac_pass_report report;
    char *outputs[] = {(char *)"b", (char *)"more"};
    Onnx__NodeProto *node = lorac_model_producer(graph.model, "b");
    REQUIRE(node);
    node->output = outputs;
    node->n_output = 2;
    CHECK(lorac_pass_inject.run(graph.model, NULL, &report, &error) == LORAC_ERROR_FORMAT);
    CHECKF(strstr(error.message, "it has 2 outputs"), "%s", error.message);
    graph_free(&graph);
}

int main(void)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        check_row(ROWS[i].text, ROWS[i].words);
    test_two_outputs();
    return check_report();
}
