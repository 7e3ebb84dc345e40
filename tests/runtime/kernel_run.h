// Steps of a program, run with guards around and NaN in its memory. Included by one file of a program.
#ifndef LORAC_TEST_KERNEL_RUN_H
#define LORAC_TEST_KERNEL_RUN_H

#include "check.h"
#include "count_allocations.h"
#include "kernel_compare.h"
#include "runtime/session.h"

enum { GUARD_BYTE = 0xFF }; // four of them are a NaN

static void put_input(const struct trial *trial, float *to)
{
    const int64_t *d = trial->x.dims;
    const double *from = trial->x.data;
    for (int64_t n = 0; n < d[0]; n++)
        for (int64_t c = 0; c < d[1]; c++)
            for (int64_t i = 0; i < d[2] * d[3]; i++)
                to[(n * d[2] * d[3] + i) * d[1] + c] = (float)*from++;
}

static void to_onnx_order(const struct lorac_value *value, const float *from, float *to)
{
    size_t pixels = value->h * value->w;
    for (size_t n = 0; n < value->n; n++)
        for (size_t c = 0; c < value->c; c++)
            for (size_t i = 0; i < pixels; i++)
                *to++ = from[(n * pixels + i) * value->c + c];
}

// The planned block: where it begins is told by any step's output.
struct block {
    unsigned char *base, *covered; // covered[i]: byte i belongs to a buffer
    size_t bytes;
};

static struct block find_block(struct lorac_program *program)
{
    struct block block = {NULL, NULL, 0};
    struct lorac_session_memory memory = {0};
    struct lorac_error error = {0};
    CHECK_OK(lorac_program_memory(program, &memory, &error), error);
    REQUIRE(program->step_count > 0);
    const struct lorac_step *step = &program->steps[0];
    block.base = (unsigned char *)step->y - program->buffers[program->values[step->output].buffer].offset;
    block.bytes = memory.planned_bytes;
    block.covered = need(block.bytes, 1);
    for (size_t i = 0; i < program->buffer_count; i++) {
        REQUIRE(program->buffers[i].offset + program->buffers[i].bytes <= block.bytes);
        memset(block.covered + program->buffers[i].offset, 1, program->buffers[i].bytes);
    }
    return block;
}

static void check_guards(const struct trial *trial, const struct block *block)
{
    size_t damaged = 0;
    for (size_t i = 0; i < block->bytes; i++)
        damaged += !block->covered[i] && block->base[i] != GUARD_BYTE;
    CHECKF(damaged == 0, "%s: %zu bytes between the buffers were written", trial->text, damaged);
}

static void collect(const struct trial *trial, struct lorac_session *session, struct result *result)
{
    struct lorac_program *program = lorac_session_program(session);
    const struct lorac_step *first = &program->steps[0];
    const struct lorac_value *lead = &program->values[first->output];
    bool has_lead = trial->row->text[0] != '!' && CHECK(first->dy != NULL) && CHECK(strcmp(lead->name, "a") == 0);
    for (size_t i = 0; i < program->param_count; i++)
        result->gradient_count += program->params[i].trainable ? program->params[i].count : 0;
    size_t lead_at = result->gradient_count;
    result->gradient_count += has_lead ? lorac_value_count(lead) : 0;
    result->gradients = need(result->gradient_count, sizeof(float));
    float *to = result->gradients;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (param->trainable && CHECKF(param->gradient != NULL, "%s: no gradient for %s", trial->text, param->name)) {
            memcpy(to, param->gradient, param->count * sizeof(float));
            to += param->count;
        }
    }
    if (has_lead) {
        result->input_gradient = result->gradients + lead_at;
        to_onnx_order(lead, first->dy, result->input_gradient);
    }
}

// One step: forward twice (the same bits must come), backward; no allocation from the second forward on.
static void run_step(const struct trial *trial, struct lorac_session *session, struct result *result)
{
    struct lorac_program *program = lorac_session_program(session);
    const struct lorac_value *logits = &program->values[program->logits];
    struct lorac_error error = {0};
    struct block block = find_block(program);
    result->logits_count = lorac_value_count(logits);
    result->logits = need(result->logits_count, sizeof(float));
    float *again = need(result->logits_count, sizeof(float));

    memset(block.base, GUARD_BYTE, block.bytes);
    put_input(trial, lorac_session_input(session));
    CHECK_OK(lorac_session_forward(session, program->training, &error), error);
    to_onnx_order(logits, lorac_session_logits(session), result->logits);

    put_input(trial, lorac_session_input(session));
    size_t before = allocation_count;
    CHECK_OK(lorac_session_forward(session, program->training, &error), error);
    size_t in_forward = allocation_count - before;
    to_onnx_order(logits, lorac_session_logits(session), again);
    CHECKF(in_forward == 0, "%s: forward allocated %zu times", trial->text, in_forward);
    CHECKF(memcmp(again, result->logits, result->logits_count * sizeof(float)) == 0,
           "%s: a second forward gives other bits", trial->text);

    if (program->training) {
        float *gradient = lorac_session_logits_gradient(session);
        REQUIRE(ref_count(&trial->weights) == result->logits_count);
        for (size_t i = 0; i < result->logits_count; i++)
            gradient[i] = (float)trial->weights.data[i];
        before = allocation_count;
        lorac_session_zero_gradients(session);
        lorac_session_backward(session);
        size_t in_backward = allocation_count - before;
        CHECKF(in_backward == 0, "%s: backward allocated %zu times", trial->text, in_backward);
        collect(trial, session, result);
    }
    check_guards(trial, &block);
    free(block.covered);
    free(again);
}

// Backward adds to the parameters' gradients: after a second time they are twice what they were, however the adding is
// split up and rounded.
static void check_adds(const struct trial *trial, struct lorac_session *session, const struct result *once)
{
    struct lorac_program *program = lorac_session_program(session);
    struct lorac_error error = {0};
    put_input(trial, lorac_session_input(session));
    CHECK_OK(lorac_session_forward(session, true, &error), error);
    float *gradient = lorac_session_logits_gradient(session);
    for (size_t i = 0; i < once->logits_count; i++)
        gradient[i] = (float)trial->weights.data[i];
    lorac_session_backward(session);
    const float *before = once->gradients;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        double largest = 0, worst = 0;
        for (size_t k = 0; param->trainable && k < param->count; k++) {
            largest = fmax(largest, fabs((double)before[k]));
            worst = fmax(worst, fabs((double)param->gradient[k] - 2 * (double)before[k]));
        }
        before += param->trainable ? param->count : 0;
        CHECKF(worst <= TOLERANCE_BACKWARD * fmax(largest, SMALLEST_GRADIENT),
               "%s: the gradient of %s after two passes is %.3g away from twice that of one (largest %.3g)", trial->text,
               param->name, worst, largest);
    }
}

#endif
