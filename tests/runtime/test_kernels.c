// Every kernel over the rows of kernel_rows.h: forward against the plain loops of tests/ref, backward against central
// differences of them in double, the same bits with 1, 2 and 3 threads, nothing written outside of its memory, no
// allocation while running; and what must be refused.
//
//     test_kernels TEXT              only rows that contain TEXT
//     test_kernels --dump FOLDER     writes the models and what the oracle says, for test_oracle.py
#include "check.h"
#include "count_allocations.h"
#include "kernel_run.h"
#include "kernel_rows_branch.h"
#include "kernel_rows_norm.h"
#include "kernel_rows_shape.h"
#include "kernel_rows_winograd.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session.h"
#include "simd_variants.h"

// Between instruction sets, of the largest: they fuse and order float operations differently.
static const double TOLERANCE_VARIANTS = 2e-5;

// ---- instruction sets: this stands before the library's own choice, so that each one can be run

static const struct lorac_simd *chosen_simd = &lorac_simd_baseline;

const struct lorac_simd *lorac_simd_select(void)
{
    return chosen_simd;
}

// ---- parameters that changed from outside

// [moved]: with the changed parameters.
static void check_refreshed_backward(const struct trial *moved, struct lorac_session *session)
{
    struct lorac_program *program = lorac_session_program(session);
    struct lorac_rng rng;
    float *gradient = lorac_session_logits_gradient(session);
    for (size_t i = 0; i < ref_count(&moved->weights); i++)
        gradient[i] = (float)moved->weights.data[i];
    lorac_session_zero_gradients(session);
    lorac_session_backward(session);
    lorac_rng_init(&rng, 13, "directions", 0, 0);
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (param->trainable)
            compare_directions(moved, param->name, param->gradient, param->count, 1, &rng);
    }
}

static void check_refresh(const struct trial *trial, struct lorac_session *session)
{
    struct lorac_program *program = lorac_session_program(session);
    const struct lorac_value *logits = &program->values[program->logits];
    struct lorac_error error = {0};
    struct ref_run *run = start_run(trial, trial->row->flags & ROW_BN_TRAIN);
    for (size_t i = 0; i < program->param_count; i++) {
        struct lorac_param *param = &program->params[i];
        for (size_t k = 0; param->trainable && k < param->count; k++) {
            param->own[k] = 0.5F * param->data[k] + 0.25F;
            ref_run_value(run, param->name)->data[k] = (double)param->data[k];
        }
    }
    ref_run_forward(run);
    lorac_session_params_changed(session);
    put_input(trial, lorac_session_input(session));
    CHECK_OK(lorac_session_forward(session, true, &error), error);
    float *got = need(lorac_value_count(logits), sizeof(float));
    to_onnx_order(logits, lorac_session_logits(session), got);
    compare_forward(trial, "logits with changed parameters", got, lorac_value_count(logits),
                    ref_run_value(run, trial->logits));
    struct trial moved = *trial;
    moved.run = run;
    if (strstr(trial->row->text, "Conv(a,")) // not of kinks, which the changed parameters may meet
        check_refreshed_backward(&moved, session);
    free(got);
    ref_run_free(run);
}

// ---- BatchNorm's statistics after commit: running = running*momentum + batch*(1-momentum), unbiased variance

static void move_statistics(const struct trial *trial, struct ref_run *run, const struct lorac_program *program)
{
    const Onnx__GraphProto *graph = trial->graph.model->proto->graph;
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (!lorac_node_is(node, "BatchNormalization"))
            continue;
        struct ref_tensor batch[2];
        const struct ref_tensor *x = ref_run_value(trial->run, node->input[0]);
        ref_batch_statistics(x, &batch[0], &batch[1]);
        double each = (double)ref_count(x) / (double)x->dims[1];
        double momentum = (double)lorac_node_float(node, "momentum", 0.9F);
        for (size_t k = 0; k < 2; k++) {
            struct ref_tensor *running = ref_run_value(run, node->input[3 + k]);
            for (size_t c = 0; c < ref_count(running); c++) {
                double fresh = batch[k].data[c] * (k == 1 ? each / (each - 1) : 1);
                running->data[c] = running->data[c] * momentum + fresh * (1 - momentum);
            }
            for (size_t p = 0; p < program->param_count; p++)
                if (strcmp(program->params[p].name, node->input[3 + k]) == 0) {
                    CHECK(program->params[p].updated && !program->params[p].trainable);
                    compare_forward(trial, program->params[p].name, program->params[p].data, program->params[p].count,
                                    running);
                }
            ref_free(&batch[k]);
        }
    }
}

static void check_commit(const struct trial *trial, struct lorac_session *session)
{
    struct lorac_program *program = lorac_session_program(session);
    const struct lorac_value *logits = &program->values[program->logits];
    struct lorac_error error = {0};
    ref_run_forward(trial->run); // the last differences left moved values behind
    struct ref_run *run = start_run(trial, false);
    lorac_session_commit(session);
    move_statistics(trial, run, program);
    ref_run_forward(run);
    put_input(trial, lorac_session_input(session));
    CHECK_OK(lorac_session_forward(session, false, &error), error);
    size_t count = lorac_value_count(logits);
    float *got = need(count, sizeof(float));
    to_onnx_order(logits, lorac_session_logits(session), got);
    compare_forward(trial, "output with the moved statistics", got, count, ref_run_value(run, trial->logits));
    free(got);
    ref_run_free(run);
}

// ---- a row

// Every adapter runs in the form that was asked for; as a branch only where it can be one.
static void check_forms(const struct trial *trial, const struct lorac_program *program)
{
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const char *form = step->kernel->form ? step->kernel->form(step) : NULL;
        if (!form)
            continue;
        const struct lorac_param *bias = lorac_step_param(program, step, 1);
        bool possible = program->training && lorac_node_int(step->node, "group", 1) == 1 &&
                        !lorac_step_param(program, step, 0)->trainable && !(bias && bias->trainable);
        const char *expected = possible && trial->policy == LORAC_FORM_POLICY_BRANCH ? "branch" : "definition";
        CHECKF(strcmp(form, expected) == 0, "%s: '%s' runs as %s, not as %s", trial->text, step->name, form, expected);
    }
}

// A BatchNormalization has a step of its own, or none.
static void check_folds(const struct trial *trial, const struct lorac_program *program)
{
    const Onnx__GraphProto *graph = trial->graph.model->proto->graph;
    size_t nodes = 0, steps = 0;
    for (size_t i = 0; i < graph->n_node; i++)
        nodes += lorac_node_is(graph->node[i], "BatchNormalization");
    for (size_t i = 0; i < program->step_count; i++)
        steps += strcmp(program->steps[i].kernel->op_type, "BatchNormalization") == 0;
    if (!program->training && trial->row->flags & ROW_BN_TRAIN) // then it is not in mode train either
        return;
    CHECKF(steps == (trial->row->flags & ROW_FOLDED ? 0 : nodes), "%s: %zu of %zu BatchNormalization have steps",
           trial->text, steps, nodes);
}

static size_t packed_at_run; // convolutions so far

static void check_nothing_packed(const struct trial *trial, const struct lorac_program *program)
{
    for (size_t i = 0; trial->packed_limit > 0 && i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const struct lorac_param *weight = step->param_count > 0 ? lorac_step_param(program, step, 0) : NULL;
        if (!step->kernel->algorithm || strcmp(step->kernel->algorithm(step, false), "gemm-at-run") != 0)
            continue;
        const char *backward = step->kernel->algorithm(step, true);
        CHECKF(!backward || strcmp(backward, "gemm-at-run") == 0, "%s: %s", trial->text, backward);
        CHECKF(weight->kept == (weight->trainable || !weight->tensor), "%s: the weight is kept", trial->text);
        CHECKF(strstr(trial->row->text, "lora=") || strstr(trial->row->text, "BatchNormalization") ||
                   step->kernel->packed_bytes(program, step) == 0,
               "%s: %zu bytes are packed", trial->text, step->kernel->packed_bytes(program, step));
        packed_at_run++;
    }
}

static bool start_session_with(const struct trial *trial, const struct lorac_lower_options *options, size_t threads,
                               struct lorac_program **program, struct lorac_session **session)
{
    struct lorac_error error = {0};
    *program = NULL;
    *session = NULL;
    if (CHECKF(lorac_lower(trial->graph.model, &trial->graph.meta, options, program, &error) == LORAC_OK, "%s: %s",
               trial->text, error.message) &&
        CHECKF(lorac_session_create(*program, threads, session, &error) == LORAC_OK, "%s: %s", trial->text,
               error.message)) {
        check_forms(trial, *program);
        check_nothing_packed(trial, *program);
        check_folds(trial, *program);
        return true;
    }
    lorac_program_free(*program);
    return false;
}

static bool start_session(const struct trial *trial, bool training, size_t threads, struct lorac_program **program,
                          struct lorac_session **session)
{
    const struct lorac_lower_options options = {
        .batch = (size_t)trial->row->dims[0],
        .training = training,
        .form_policy = trial->policy,
        .packed_limit = trial->packed_limit,
    };
    return start_session_with(trial, &options, threads, program, session);
}

// With exact, other bits must come (else the row was not run by Winograd before), nearer to the oracle's.
static void check_exact(const struct trial *trial, const float *by_winograd, const struct ref_tensor *expected)
{
    struct lorac_program *program;
    struct lorac_session *session;
    const struct lorac_lower_options options = {.batch = (size_t)trial->row->dims[0], .exact = true};
    if (!start_session_with(trial, &options, 1, &program, &session))
        return;
    struct result result = {0};
    struct kernel_row plain_row = *trial->row;
    struct trial plain = *trial;
    plain_row.flags &= ~(unsigned)ROW_WINOGRAD;
    plain.row = &plain_row;
    run_step(&plain, session, &result);
    compare_forward(&plain, "exact logits", result.logits, result.logits_count, expected);
    CHECKF(memcmp(result.logits, by_winograd, result.logits_count * sizeof(float)) != 0,
           "%s: exact gives the same bits: Winograd was not chosen", trial->text);
    free_result(&result);
    lorac_session_free(session);
    lorac_program_free(program);
}

static void check_inference(const struct trial *trial)
{
    struct lorac_program *program;
    struct lorac_session *session;
    if (!start_session(trial, false, 1, &program, &session))
        return;
    struct result result = {0};
    struct ref_run *run = start_run(trial, false);
    const struct ref_tensor *expected = ref_run_forward(run);
    run_step(trial, session, &result);
    const struct lorac_value *output = &program->values[program->output];
    float *got = need(lorac_value_count(output), sizeof(float));
    to_onnx_order(output, lorac_session_output(session), got);
    compare_forward(trial, "output", got, lorac_value_count(output), expected);
    compare_forward(trial, "logits", result.logits, result.logits_count, ref_run_value(run, trial->logits));
    if (trial->row->flags & ROW_WINOGRAD)
        check_exact(trial, result.logits, ref_run_value(run, trial->logits));
    for (size_t i = 0; i < program->param_count; i++)
        CHECK(!program->params[i].trainable && program->params[i].gradient == NULL);
    free(got);
    free_result(&result);
    ref_run_free(run);
    lorac_session_free(session);
    lorac_program_free(program);
}

static void compare_close(const struct trial *trial, const char *variant, const char *what, const float *a,
                          const float *b, size_t count)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        double apart = fabs((double)a[i] - (double)b[i]);
        largest = fmax(largest, fabs((double)a[i]));
        if (!(apart <= worst))
            worst = apart;
    }
    CHECKF(worst <= TOLERANCE_VARIANTS * fmax(largest, SMALLEST_GRADIENT), "%s: %s by %s differ by %.3g (largest %.3g)",
           trial->text, what, variant, worst, largest);
}

static void check_variants(const struct trial *trial, const struct result *first)
{
    const struct lorac_simd *variants[MAX_VARIANTS];
    size_t count = find_variants(variants);
    for (size_t i = 1; i < count; i++) {
        struct lorac_program *program;
        struct lorac_session *session;
        struct result result = {0};
        chosen_simd = variants[i];
        if (start_session(trial, true, 2, &program, &session)) {
            run_step(trial, session, &result);
            compare_close(trial, chosen_simd->name, "logits", first->logits, result.logits, first->logits_count);
            compare_close(trial, chosen_simd->name, "gradients", first->gradients, result.gradients,
                          first->gradient_count);
            lorac_session_free(session);
            lorac_program_free(program);
        }
        free_result(&result);
    }
    chosen_simd = variants[0];
}

static void check_training(const struct trial *trial)
{
    struct result first = {0};
    for (size_t threads = 1; threads <= trial->most_threads; threads++) {
        struct lorac_program *program;
        struct lorac_session *session;
        struct result result = {0};
        if (!start_session(trial, true, threads, &program, &session))
            break;
        run_step(trial, session, &result);
        if (threads == 1) {
            compare_forward(trial, "logits in training", result.logits, result.logits_count,
                            ref_run_value(trial->run, trial->logits));
            compare_gradients(trial, program, &result);
            check_adds(trial, session, &result);
            if (trial->row->flags & ROW_BN_TRAIN)
                check_commit(trial, session);
            else if (!(trial->row->flags & ROW_TIES))
                check_refresh(trial, session);
            first = result;
        } else {
            CHECKF(memcmp(result.logits, first.logits, first.logits_count * sizeof(float)) == 0,
                   "%s: %zu threads give other logits", trial->text, threads);
            CHECKF(result.gradient_count == first.gradient_count &&
                       memcmp(result.gradients, first.gradients, first.gradient_count * sizeof(float)) == 0,
                   "%s: %zu threads give other gradients", trial->text, threads);
            free_result(&result);
        }
        lorac_session_free(session);
        lorac_program_free(program);
    }
    if (first.logits != NULL)
        check_variants(trial, &first);
    free_result(&first);
}

static void check_row(struct trial *trial)
{
    const size_t length = strlen(trial->text);
    trial->policy = LORAC_FORM_POLICY_DEFINITION;
    check_training(trial);
    if (strstr(trial->row->text, "lora=")) {
        ref_run_forward(trial->run); // the last differences left moved values behind
        trial->policy = LORAC_FORM_POLICY_BRANCH;
        strncat(trial->text, " (as branches)", sizeof trial->text - length - 1);
        check_training(trial);
        trial->text[length] = '\0';
    }
}

// Three threads on two processors wait for one another most of the time, minutes for all rows together.
enum { THREE_THREADS_EVERY = 8 };

static void run_row(const struct kernel_row *row, size_t most_threads)
{
    struct trial trial = {.most_threads = most_threads};
    begin(&trial, row);
    trial.policy = LORAC_FORM_POLICY_DEFINITION;
    check_inference(&trial);
    check_row(&trial);
    if (strstr(row->text, "Conv") && !(row->flags & ROW_WINOGRAD)) {
        ref_run_forward(trial.run);
        trial.packed_limit = 1; // no convolution of one group may keep packed weights
        strncat(trial.text, " (packing nothing)", sizeof trial.text - strlen(trial.text) - 1);
        trial.policy = LORAC_FORM_POLICY_DEFINITION;
        check_inference(&trial);
        check_row(&trial);
    }
    end(&trial);
}

static void run_refusal(const struct refusal_row *row)
{
    struct trial trial = {0};
    struct lorac_lower_options options = {.batch = (size_t)row->dims[0], .training = true};
    struct lorac_program *program = NULL;
    struct lorac_error error = {0};
    compose(&trial, row->text, row->dims, "");
    trial.graph = build(&trial, row->dims, row->opset, row->flags);
    enum lorac_status status = lorac_lower(trial.graph.model, &trial.graph.meta, &options, &program, &error);
    CHECKF(status != LORAC_OK, "%s: not refused", trial.text);
    CHECKF(status == LORAC_OK || strstr(error.message, row->fragment) != NULL, "%s: refused with \"%s\"", trial.text,
           error.message);
    CHECKF(strchr(error.message, '\n') == NULL, "%s: a message of two lines", trial.text);
    if (status == LORAC_OK)
        lorac_program_free(program);
    graph_free(&trial.graph);
}

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static const struct {
    const struct kernel_row *rows;
    size_t count;
} groups[] = {
    {kernel_rows, COUNT(kernel_rows)},
    {branch_rows, COUNT(branch_rows)},
    {norm_rows, COUNT(norm_rows)},
    {shape_rows, COUNT(shape_rows)},
    {winograd_rows, COUNT(winograd_rows)},
};
static const struct {
    const struct refusal_row *rows;
    size_t count;
} refusal_groups[] = {{refusal_rows, COUNT(refusal_rows)}, {shape_refusals, COUNT(shape_refusals)}};

static size_t count_rows_with(const char *call)
{
    size_t found = 0;
    for (size_t g = 0; g < COUNT(groups); g++)
        for (size_t i = 0; i < groups[g].count; i++)
            found += strstr(groups[g].rows[i].text, call) != NULL;
    return found;
}

// Every kernel must have a row, so that a new one cannot be forgotten.
static void check_all_have_rows(void)
{
    size_t count;
    const struct lorac_kernel *const *kernels = lorac_kernel_all(&count);
    for (size_t i = 0; i < count; i++) {
        char call[64];
        snprintf(call, sizeof call, "%s(", kernels[i]->op_type);
        CHECKF(count_rows_with(call) > 0, "no row for %s", kernels[i]->op_type);
        CHECK(lorac_kernel_find(kernels[i]->op_type) == kernels[i]);
    }
    CHECK(lorac_kernel_find("NoSuchOperator") == NULL);
}

// ---- for test_oracle.py

static void write_file(const char *folder, size_t number, const char *suffix, const void *bytes, size_t byte_count)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%03zu.%s", folder, number, suffix);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    REQUIRE(fwrite(bytes, 1, byte_count, file) == byte_count);
    REQUIRE(fclose(file) == 0);
}

static void dump_row(const char *folder, size_t number, const struct kernel_row *row)
{
    struct trial trial = {0};
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    begin(&trial, row);
    struct ref_run *run = start_run(&trial, false);
    const struct ref_tensor *y = ref_run_forward(run);
    REQUIRE(lorac_model_pack(trial.graph.model, &bytes, &byte_count, &error) == LORAC_OK);
    write_file(folder, number, "onnx", bytes, byte_count);
    write_file(folder, number, "x", trial.x.data, ref_count(&trial.x) * sizeof(double));
    write_file(folder, number, "y", y->data, ref_count(y) * sizeof(double));
    write_file(folder, number, "txt", trial.text, strlen(trial.text));
    free(bytes);
    ref_run_free(run);
    end(&trial);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 2 && strcmp(argv[1], "--dump") == 0 ? argv[2] : NULL;
    const struct lorac_simd *variants[MAX_VARIANTS];
    find_variants(variants);
    chosen_simd = variants[0];
    const char *only = folder == NULL && argc > 1 ? argv[1] : "";
    size_t number = 0;
    for (size_t g = 0; g < COUNT(groups); g++)
        for (size_t i = 0; i < groups[g].count; i++, number++) {
            if (folder != NULL)
                dump_row(folder, number, &groups[g].rows[i]);
            else if (strstr(groups[g].rows[i].text, only) != NULL)
                run_row(&groups[g].rows[i], number % THREE_THREADS_EVERY == 0 ? 3 : 2);
        }
    if (folder != NULL)
        return 0;
    for (size_t g = 0; g < COUNT(refusal_groups); g++)
        for (size_t i = 0; i < refusal_groups[g].count; i++)
            if (strstr(refusal_groups[g].rows[i].text, only) != NULL)
                run_refusal(&refusal_groups[g].rows[i]);
    check_all_have_rows();
    CHECK(*only || packed_at_run > 0);
    CHECK(!COUNTS_ALLOCATIONS || allocation_count > 0);
    if (!COUNTS_ALLOCATIONS)
        printf("allocations were not counted in this build\n");
    return check_report();
}
