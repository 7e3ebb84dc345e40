#include "drive.h"

#include "passes/inject.h"
#include "passes/merge.h"
#include "passes/new_job.h"
#include "proto/rng.h"
#include "runtime/kernels/kernel.h"
#include "runtime/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, FREE_SIDE = 8, STEPS = 2 };

#define PROMISE(condition, ...)                                                                                        \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken: %s: ", __FILE__, __LINE__, #condition);                                    \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputc('\n', stderr);                                                                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

// A failure has its sentence: one line, nothing that a terminal would execute, and never a bug's status. Returns
// whether there was none.
static bool is_ok(enum lorac_status status, const struct lorac_error *error)
{
    if (status == LORAC_OK)
        return true;
    PROMISE(error->status == status, "status %d, error %d '%s'", status, error->status, error->message);
    PROMISE(error->message[0], "status %d without a sentence", status);
    for (const char *c = error->message; *c; c++)
        PROMISE((unsigned char)*c >= 0x20 && *c != 0x7f, "a control character in '%s'", error->message);
    return false;
}

static void must(enum lorac_status status, const struct lorac_error *error, const char *what)
{
    PROMISE(is_ok(status, error), "%s: %s", what, error->message);
}

// ---- bytes

struct packed {
    uint8_t *bytes;
    size_t count;
};

static struct packed pack(const struct lorac_model *model)
{
    struct lorac_error error = {0};
    struct packed out = {0};
    must(lorac_model_pack(model, &out.bytes, &out.count, &error), &error, "pack");
    return out;
}

static bool same_bytes(struct packed a, struct packed b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

static struct lorac_model *parse_again(struct packed packed, const char *what)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    must(lorac_model_parse(packed.bytes, packed.count, &model, &error), &error, what);
    struct packed again = pack(model);
    PROMISE(same_bytes(again, packed), "%s: %zu bytes were written as %zu others", what, packed.count, again.count);
    PROMISE(model->rewrites_unchanged, "%s: our own file would not be written unchanged", what);
    free(again.bytes);
    return model;
}

// The look-ups of an edited model, which its index follows step by step, are those of a fresh one.
static void check_lookups(struct lorac_model *edited, struct lorac_model *fresh)
{
    const Onnx__GraphProto *graph = fresh->proto->graph;
    PROMISE(graph->n_node == edited->proto->graph->n_node, "%zu nodes", graph->n_node);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_output; k++) {
            const char *name = graph->node[i]->output[k];
            const struct lorac_use *one, *other;
            if (!*name)
                continue;
            PROMISE(lorac_model_producer(edited, name) == edited->proto->graph->node[i], "producer of '%s'", name);
            size_t uses = lorac_model_uses(edited, name, &one);
            PROMISE(uses == lorac_model_uses(fresh, name, &other), "%zu uses of '%s'", uses, name);
            for (size_t u = 0; u < uses; u++)
                PROMISE(one[u].input == other[u].input, "use %zu of '%s'", u, name);
        }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const char *name = graph->initializer[i]->name;
        const struct lorac_use *uses;
        PROMISE(lorac_model_initializer(edited, name) == edited->proto->graph->initializer[i], "tensor '%s'", name);
        PROMISE(lorac_model_uses(edited, name, &uses) == lorac_model_uses(fresh, name, &uses), "uses of '%s'", name);
    }
}

// ---- the runtime

static struct lorac_lower_options lower_options(struct lorac_model *model, bool training)
{
    struct lorac_lower_options options = {.batch = BATCH, .training = training};
    struct lorac_input_shape shape;
    if (lorac_input_shape(model, &shape, NULL) == LORAC_OK) {
        options.height = shape.height ? 0 : FREE_SIDE;
        options.width = shape.width ? 0 : FREE_SIDE;
    }
    return options;
}

// No cheaper bound of a step is known where it has no count of its own: each element of the output looks at a window.
static size_t work_of(const struct lorac_program *program, const struct lorac_step *step)
{
    const int64_t *kernel;
    size_t work = lorac_value_count(lorac_step_output(program, step));
    size_t count = lorac_node_ints(step->node, "kernel_shape", &kernel);
    for (size_t i = 0; i < step->input_count; i++)
        work += lorac_value_count(lorac_step_input(program, step, i));
    for (size_t i = 0; i < count && work <= FUZZ_MAX_WORK; i++)
        work *= kernel[i] > 0 && kernel[i] < FUZZ_MAX_WORK ? (size_t)kernel[i] : 1;
    size_t products = step->kernel->multiply_adds ? step->kernel->multiply_adds(program, step) : 0;
    return work > products ? work : products;
}

// The model lowered; *small says whether it can be run here. False where it was refused.
static bool lower(struct lorac_model *model, const struct lorac_meta *meta, bool training, bool *small)
{
    struct lorac_error error = {0};
    struct lorac_lower_options options = lower_options(model, training);
    struct lorac_program *program = NULL;
    if (!is_ok(lorac_lower(model, meta, &options, &program, &error), &error))
        return false;
    struct lorac_session_memory memory;
    size_t work = 0;
    *small = is_ok(lorac_program_memory(program, &memory, &error), &error);
    if (*small)
        *small = memory.planned_bytes < FUZZ_MAX_SESSION_BYTES && memory.workspace_bytes < FUZZ_MAX_SESSION_BYTES &&
                 memory.parameter_bytes < FUZZ_MAX_SESSION_BYTES && memory.packed_bytes < FUZZ_MAX_SESSION_BYTES;
    for (size_t i = 0; i < program->step_count && *small; i++) {
        work += work_of(program, &program->steps[i]);
        *small = work <= FUZZ_MAX_WORK;
    }
    lorac_program_free(program);
    return true;
}

static void inspect(struct lorac_model *model, const struct lorac_meta *meta)
{
    struct lorac_error error = {0};
    struct lorac_lower_options options = lower_options(model, meta->injected);
    struct lorac_refusal *rows = NULL;
    size_t count = 0;
    if (!is_ok(lorac_lower_refusals(model, meta, &options, &count, &rows, &error), &error))
        return;
    for (size_t i = 0; i < count; i++)
        PROMISE(rows[i].reason && rows[i].reason[0] && rows[i].op_type, "a refusal without a reason");
}

// A net on the model's bytes, ready to run; NULL where it is refused.
static struct lorac_net *open_net(struct packed packed, bool training)
{
    struct lorac_error error = {0};
    struct lorac_net *net = NULL;
    if (!is_ok(lorac_open_memory(packed.bytes, packed.count, &net, &error), &error))
        return NULL;
    struct lorac_lower_options sizes = lower_options(net->model, training);
    struct lorac_prepare_options options = lorac_prepare_options_default();
    options.batch = BATCH;
    options.threads = 1;
    options.training = training;
    options.optimizer.kind = packed.count % 4 == 0 ? LORAC_ADAMW : LORAC_SGD;
    options.height = sizes.height;
    options.width = sizes.width;
    if (!is_ok(lorac_prepare(net, &options, &error), &error)) {
        lorac_close(net);
        return NULL;
    }
    return net;
}

static float *make_images(const struct lorac_net *net, size_t *count)
{
    const struct lorac_value *input = &net->program->values[net->program->input];
    struct lorac_rng rng;
    *count = lorac_value_count(input);
    float *images = malloc(*count * sizeof *images);
    PROMISE(images, "out of memory for %zu pixels", *count);
    lorac_rng_init(&rng, 1, "fuzz images", 0, 0);
    for (size_t i = 0; i < *count; i++)
        images[i] = (float)(lorac_rng_uniform(&rng) * 2 - 1);
    return images;
}

struct outputs {
    float *values; // NULL: not run, or not finite
    size_t count;
};

static struct outputs predict(struct packed packed)
{
    struct outputs out = {0};
    struct lorac_error error = {0};
    struct lorac_net *net = open_net(packed, false);
    if (!net)
        return out;
    size_t pixel_count;
    float *pixels = make_images(net, &pixel_count);
    struct lorac_images images = {LORAC_PIXELS_F32, pixels, BATCH};
    out.count = BATCH * net->classes;
    out.values = malloc(out.count * sizeof *out.values);
    PROMISE(out.values, "out of memory for %zu outputs", out.count);
    if (!is_ok(lorac_predict(net, &images, out.values, &error), &error)) {
        free(out.values);
        out.values = NULL;
    }
    free(pixels);
    lorac_close(net);
    return out;
}

// The adapters start at zero: the outputs are those of the original. (The branch form adds a convolution's output
// times zero, which may reorder a sum of the next layer by nothing but a fused step.)
static void compare(struct outputs original, struct outputs injected)
{
    double largest = 0, worst = 0;
    if (!original.values || !injected.values)
        return;
    PROMISE(original.count == injected.count, "%zu outputs became %zu", original.count, injected.count);
    for (size_t i = 0; i < original.count; i++) {
        largest = fmax(largest, fabs((double)original.values[i]));
        worst = fmax(worst, fabs((double)original.values[i] - (double)injected.values[i]));
    }
    PROMISE(worst <= 1e-4 * largest, "inject changed an output by %g of %g", worst, largest);
}

// Two steps of training and what they wrote. bytes NULL where it was refused or diverged.
static struct packed train(struct packed injected)
{
    struct packed out = {0};
    struct lorac_error error = {0};
    struct lorac_net *net = open_net(injected, true);
    if (!net)
        return out;
    size_t pixel_count;
    float *pixels = make_images(net, &pixel_count);
    struct lorac_images images = {LORAC_PIXELS_F32, pixels, BATCH};
    int32_t labels[BATCH] = {0, (int32_t)(net->classes - 1)};
    bool trained = true;
    for (size_t i = 0; i < STEPS && trained; i++)
        trained = is_ok(lorac_train_batch(net, &images, labels, NULL, NULL, &error), &error);
    if (is_ok(lorac_session_store(net->session, &error), &error) && trained)
        out = pack(net->model);
    free(pixels);
    lorac_close(net);
    return out;
}

// ---- the passes

// Options that differ from input to input, and are the same for the same bytes.
static struct lorac_inject_options choose_options(uint64_t hash)
{
    struct lorac_inject_options options = lorac_inject_options_default();
    options.rank = (int64_t)(1 + (hash & 3));
    options.setting = hash >> 2 & 1 ? LORAC_RANK_KERNEL : LORAC_RANK_PLAIN;
    options.train_first = hash >> 3 & 1;
    options.train_last = (hash >> 4 & 3) != 0;
    options.train_all = (hash >> 6 & 15) == 0;
    options.bn = (hash >> 10 & 7) == 0 ? LORAC_BN_TRAIN : LORAC_BN_FROZEN;
    options.form = hash >> 13 & 1 ? LORAC_FORM_BRANCH : LORAC_FORM_WEIGHT;
    options.branch_layers = (hash >> 14 & 3) == 0 ? "[a-e]$" : NULL; // both forms in one model
    return options;
}

// What a pass made of the packed model; bytes NULL where it refuses.
static struct packed run_pass(struct packed from, const struct lorac_pass *pass, const void *options)
{
    struct lorac_error error = {0};
    struct lorac_model *model = parse_again(from, "what was packed");
    struct lorac_pass_report report = {0};
    struct packed out = {0};
    bool applies = pass->applies(model, options);
    if (is_ok(pass->run(model, options, &report, &error), &error)) {
        PROMISE(applies || report.changed == 0, "%s changed what it does not apply to", pass->name);
        out = pack(model);
        struct lorac_model *fresh = parse_again(out, pass->name);
        check_lookups(model, fresh);
        lorac_model_free(fresh);
    }
    lorac_model_free(model);
    return out;
}

// Whether inject leaves all tensors of the model where they are; merging gives the very file back then.
static bool copies_nothing(struct packed original, const struct lorac_inject_options *options)
{
    struct lorac_model *model = parse_again(original, "what was packed");
    struct lorac_inject_plan plan;
    bool none = lorac_inject_plan(model, options, &plan, NULL) == LORAC_OK;
    for (size_t i = 0; none && i < plan.trained_count; i++)
        none = !plan.trained[i].copy_reason;
    lorac_model_free(model);
    return none;
}

static struct packed merge(struct packed injected, bool must_succeed)
{
    struct packed out = run_pass(injected, &lorac_pass_merge, NULL);
    PROMISE(out.bytes || !must_succeed, "merge refused what was just injected");
    return out;
}

// Runs two models that must compute the same.
static void compare_runs(struct packed one, struct packed other)
{
    struct outputs before = predict(one), after = predict(other);
    compare(before, after);
    free(before.values);
    free(after.values);
}

// Training, and merging what was trained.
static bool drive_training(struct packed injected)
{
    struct packed trained = train(injected), plain = {0};
    bool done = trained.bytes != NULL;
    if (done)
        plain = merge(trained, false); // numbers that training made may be too large
    free(trained.bytes);
    free(plain.bytes);
    return done;
}

// Inject, run, train, merge, with one set of options. [runs]: the original can be run here.
static enum fuzz_stage drive_inject(struct packed original, bool runs, const struct lorac_inject_options *options)
{
    struct lorac_error error = {0};
    struct packed injected = run_pass(original, &lorac_pass_inject, options);
    if (!injected.bytes)
        return FUZZ_READ;
    enum fuzz_stage stage = FUZZ_INJECTED;
    struct lorac_model *model = parse_again(injected, "an injected model");
    struct lorac_meta meta;
    bool small = false, trains = false;
    must(lorac_meta_read(model, &meta, &error), &error, "an injected model's metadata");
    PROMISE(meta.injected, "injected without a record");
    inspect(model, &meta);
    bool lowers = lower(model, &meta, false, &small);
    PROMISE(lowers || !runs, "an injected model cannot be run, the original can");
    trains = lower(model, &meta, true, &trains) && trains;
    lorac_model_free(model);

    struct packed merged = merge(injected, true);
    PROMISE(same_bytes(merged, original) || !copies_nothing(original, options),
            "merging what was just injected gives %zu bytes for %zu", merged.count, original.count);
    if (runs && small) {
        compare_runs(original, injected);
        compare_runs(original, merged);
        stage = FUZZ_RUN;
    }
    if (trains && drive_training(injected))
        stage = FUZZ_TRAINED;
    free(merged.bytes);
    free(injected.bytes);
    return stage;
}

// A new job first, for some: the model that goes on is the changed one, where it could be changed.
static struct packed change_job(struct packed original, uint64_t hash)
{
    const struct lorac_replace_head_options head = {.classes = (int64_t)(2 + (hash >> 18 & 3))};
    const struct lorac_small_image_stem_options stem = {.replace = true};
    const struct lorac_set_input_size_options size = {.height = 7, .width = 9, .channels_last = hash >> 18 & 1};
    struct packed changed = {0};
    switch (hash >> 20 & 15) {
    case 0:
        changed = run_pass(original, &lorac_pass_replace_head, &head);
        break;
    case 1:
        changed = run_pass(original, &lorac_pass_small_image_stem, &stem);
        break;
    case 2:
        changed = run_pass(original, &lorac_pass_set_input_size, &size);
        break;
    default:
        break;
    }
    if (!changed.bytes)
        return original;
    free(original.bytes);
    return changed;
}

// ---- the whole

static uint64_t hash_bytes(const uint8_t *bytes, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash ^ hash >> 32;
}

// A model that is injected already: it is run, trained and merged as it came.
static enum fuzz_stage drive_injected(struct packed original, struct lorac_model *model, const struct lorac_meta *meta)
{
    bool trains = false;
    struct packed trained = {0}, merged = merge(original, false);
    if (lower(model, meta, true, &trains) && trains)
        trained = train(original);
    enum fuzz_stage stage = trained.bytes ? FUZZ_TRAINED : FUZZ_INJECTED;
    free(merged.bytes);
    free(trained.bytes);
    return stage;
}

// A plain model: injected with options of its own, else with the default ones, else only run.
static enum fuzz_stage drive_plain(struct packed original, uint64_t hash)
{
    struct lorac_error error = {0};
    struct lorac_model *model = parse_again(original, "what was packed");
    struct lorac_meta meta;
    bool small = false, runs = false;
    if (is_ok(lorac_meta_read(model, &meta, &error), &error)) {
        inspect(model, &meta);
        runs = lower(model, &meta, false, &small) && small;
    }
    lorac_model_free(model);
    struct lorac_inject_options options = choose_options(hash), defaults = lorac_inject_options_default();
    enum fuzz_stage stage = drive_inject(original, runs, &options);
    if (stage == FUZZ_READ)
        stage = drive_inject(original, runs, &defaults);
    if (stage == FUZZ_READ && runs) {
        struct outputs outputs = predict(original);
        free(outputs.values);
    }
    return stage;
}

enum fuzz_stage fuzz_drive(const uint8_t *bytes, size_t byte_count)
{
    struct lorac_error error = {0};
    struct lorac_model *model = NULL;
    if (!is_ok(lorac_model_parse(bytes, byte_count, &model, &error), &error))
        return FUZZ_REFUSED;
    enum fuzz_stage stage = FUZZ_READ;
    struct packed original = pack(model);
    PROMISE(!model->rewrites_unchanged ||
                same_bytes(original, (struct packed){(uint8_t *)(uintptr_t)bytes, byte_count}),
            "says that it is written unchanged, and is not");
    struct lorac_meta meta;
    uint64_t hash = hash_bytes(bytes, byte_count);
    if (is_ok(lorac_meta_read(model, &meta, &error), &error)) {
        inspect(model, &meta);
        if (meta.injected) {
            stage = drive_injected(original, model, &meta);
        } else {
            original = change_job(original, hash);
            stage = drive_plain(original, hash);
        }
    }
    lorac_model_free(model);
    free(original.bytes);
    return stage;
}
