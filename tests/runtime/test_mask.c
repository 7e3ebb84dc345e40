// Masks: the loops against plain ones, to the bit and on each instruction set, and which steps keep one.
#include "check.h"
#include "ref/graph.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session.h"
#include "simd_variants.h"

#include <math.h>

// ---- the loops

enum { MAX_COUNT = 2 * 1024 + 8, GUARD = 16, GUARD_BYTE = 0xA5 };

static const float LIMITS[][2] = {{0.0F, INFINITY}, {0.0F, 6.0F}, {-1.0F, 1.0F}, {-INFINITY, 2.0F}};

static void fill(float *x, size_t count, size_t turn)
{
    static const float values[] = {0.5F, -0.5F, 0.0F,      -0.0F,     6.0F,    -1.0F, 1.0F, 2.0F,
                                   7.0F, -7.0F, INFINITY, -INFINITY, 1e-40F, NAN,   3.0F};
    for (size_t i = 0; i < count; i++)
        x[i] = values[(i * 7 + i / 5 + turn) % (sizeof values / sizeof *values)];
}

static bool is_inside(float y, const float limits[2])
{
    return limits[0] < y && y < limits[1];
}

static bool same_bits(const float *a, const float *b, size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof(float)) == 0;
}

static void check_clip(const struct lorac_simd *simd, const float limits[2], const float *x, size_t count)
{
    static float expected[MAX_COUNT], y[MAX_COUNT], in_place[MAX_COUNT];
    for (size_t i = 0; i < count; i++) {
        expected[i] = x[i] > limits[0] ? x[i] : limits[0];
        expected[i] = expected[i] < limits[1] ? expected[i] : limits[1];
        in_place[i] = x[i];
    }
    simd->clip(y, x, limits[0], limits[1], count);
    simd->clip(in_place, in_place, limits[0], limits[1], count);
    CHECKF(same_bits(y, expected, count) && same_bits(in_place, expected, count), "%s: clip of %zu", simd->name, count);
}

static void check_mask(const struct lorac_simd *simd, const float limits[2], const float *y, size_t count)
{
    static float dy[MAX_COUNT], expected[MAX_COUNT], dx[MAX_COUNT], from_y[MAX_COUNT];
    static uint8_t mask[MAX_COUNT / 8 + GUARD];
    const size_t bytes = (count + 7) / 8;
    fill(dy, count, 3);
    for (size_t i = 0; i < count; i++)
        expected[i] = is_inside(y[i], limits) ? dy[i] : 0.0F;
    memset(mask, GUARD_BYTE, sizeof mask);
    simd->clip_mask(mask, y, limits[0], limits[1], count);
    for (size_t i = 0; i < 8 * bytes; i++)
        CHECKF((mask[i / 8] >> i % 8 & 1) == (i < count && is_inside(y[i], limits)), "%s: bit %zu of %zu", simd->name,
               i, count);
    for (size_t i = bytes; i < bytes + GUARD; i++)
        CHECKF(mask[i] == GUARD_BYTE, "%s: a mask of %zu writes past its end", simd->name, count);
    simd->mask_backward(dx, dy, mask, count);
    simd->clip_backward(from_y, dy, y, limits[0], limits[1], count);
    CHECKF(same_bits(dx, expected, count) && same_bits(from_y, expected, count), "%s: the gradient of %zu", simd->name,
           count);
    simd->mask_backward(dy, dy, mask, count);
    CHECKF(same_bits(dy, expected, count), "%s: the gradient of %zu in place", simd->name, count);
}

static void test_loops(void)
{
    static float x[MAX_COUNT];
    const struct lorac_simd *variants[MAX_VARIANTS];
    const size_t variant_count = find_variants(variants);
    for (size_t v = 0; v < variant_count; v++)
        for (size_t l = 0; l < sizeof LIMITS / sizeof *LIMITS; l++)
            for (size_t count = 0; count <= MAX_COUNT; count += count < 40 ? 1 : 251) {
                fill(x, count, count);
                check_clip(variants[v], LIMITS[l], x, count);
                check_mask(variants[v], LIMITS[l], x, count);
            }
}

// ---- who keeps one: "b:mask" or "b:y" for each Relu and Clip that has a gradient

struct row {
    const char *what, *text, *kept;
};

#define TAIL "; p=GlobalAveragePool(z); y=Flatten(p)"
static const struct row rows[] = {
    {"a frozen convolution reads it", "a=Conv(x, u[3,3,1,1]*); b=Relu(a); z=Conv(b, v[3,3,1,1])" TAIL, "b:mask "},
    {"a trained convolution reads it", "a=Conv(x, u[3,3,1,1]*); b=Relu(a); z=Conv(b, v[3,3,1,1]*)" TAIL, "b:y "},
    {"B of an adapter is all that is trained behind it",
     "a=Conv(x, u[3,3,1,1]*); b=Relu(a); z=Conv(b, v[3,3,1,1]) lora=kernel:2:4:frozen" TAIL, "b:mask "},
    {"an adapter reads it", "a=Conv(x, u[3,3,1,1]*); b=Relu(a); z=Conv(b, v[3,3,1,1]) lora=kernel:2:4" TAIL, "b:y "},
    {"a MaxPool reads it", "a=Conv(x, u[3,3,1,1]*); b=Relu(a); z=MaxPool(b) kernel_shape=[2,2]" TAIL, "b:y "},
    {"one of two readers keeps it",
     "a=Conv(x, u[3,3,1,1]*); b=Relu(a); c=Conv(b, v[3,3,1,1]*); d=Relu(c); z=Add(b, d)" TAIL, "b:y d:mask "},
    {"Clip and Relu in a row", "a=Conv(x, u[3,3,1,1]*); b=Clip(a, lo<0.>, hi<6.>); z=Relu(b)" TAIL, "b:mask z:mask "},
    {"a Mul keeps both", "a=Conv(x, u[3,3,1,1]*); b=Relu(a); c=Relu(a); z=Mul(b, c)" TAIL, "b:y c:y "},
    {"the class scores", "a=Conv(x, u[3,3,1,1]*); p=GlobalAveragePool(a); q=Flatten(p); y=Relu(q)", "y:mask "},
    {"before the first trained layer", "a=Relu(x); b=Conv(a, u[3,3,1,1]*); z=Relu(b)" TAIL, "z:mask "},
};

// What a program that trains keeps; without training nothing is.
static void describe(const struct row *row, bool training, char *text, size_t size)
{
    const struct graph_spec spec = {.text = row->text, .dims = {2, 3, 5, 5}, .seed = 3};
    struct graph graph = graph_build(&spec);
    const struct lorac_lower_options options = {
        .batch = 2, .training = training, .form_policy = LORAC_FORM_POLICY_BRANCH};
    struct lorac_program *program = NULL;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_lower(graph.model, &graph.meta, &options, &program, &error), error));
    text[0] = '\0';
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const struct lorac_value *output = &program->values[step->output];
        const size_t used = strlen(text), count = lorac_value_count(output);
        CHECKF(!step->keeps_mask || step->kept_bytes == (count + 7) / 8, "%s: a mask of %zu bytes for %zu elements",
               row->what, step->kept_bytes, count);
        CHECKF(!(step->keeps_mask && step->keeps_output), "%s: '%s' keeps both", row->what, step->name);
        if (step->kernel->can_mask && step->needs_backward)
            snprintf(text + used, size - used, "%s:%s ", output->name, step->keeps_mask ? "mask" : "y");
    }
    lorac_program_free(program);
    graph_free(&graph);
}

static void test_decisions(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char kept[128];
        describe(&rows[i], true, kept, sizeof kept);
        CHECKF(strcmp(kept, rows[i].kept) == 0, "%s: \"%s\" is kept, expected \"%s\"", rows[i].what, kept,
               rows[i].kept);
        describe(&rows[i], false, kept, sizeof kept);
        CHECKF(kept[0] == '\0', "%s: \"%s\" is kept without training", rows[i].what, kept);
    }
}

int main(void)
{
    test_loops();
    test_decisions();
    return check_report();
}
