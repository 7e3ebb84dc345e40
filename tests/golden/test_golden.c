// Ten training steps on ResNet-20, five settings, against PyTorch autograd in float64 (../shared/golden; its README
// says how they were made). The images of each step were chosen away from every ReLU kink, so that a correct float32
// implementation agrees to rounding. All are run with adapters by the definition and as branches, as plain sums and,
// the branches, by Winograd where it is the rule, these also with the batch in parts and with much of the network
// computed twice: within the same bounds but for one, as F(4x4) with the points of conv_winograd.c rounds as plain sums
// of a few hundred channels do.
#include "check.h"

#include "passes/inject.h"
#include "proto/model_edit.h"
#include "proto/tensor.h"
#include "runtime/kernels/kernel.h"
#include "runtime/net.h"
#include "runtime/recompute.h"

#include <jansson.h>
#include <unistd.h>

#define GOLDEN LORAC_SHARED_DIR "/golden/"

// Bounds. PyTorch's own float32, computed in three ways, was measured within losses 2.4e-5, gradient norms 1.4e-5,
// first-step gradients 1.2e-5 and final tensors 8.6e-4 of the distance they moved; ours may be two to four times that.
static const double LOSS_RELATIVE = 1e-4, LOSS_ABSOLUTE = 1e-6; // whichever is larger
static const double GRADIENT_NORM_RELATIVE = 5e-5;
static const double FIRST_GRADIENT_RELATIVE = 3e-5; // norm of the difference over the norm, each tensor
// The images were chosen so that no ReLU's input lies within relu_margin of its kink: 5e-6 and more, which plain sums stay
// within. Winograd's rounding, 2e-6 of the largest output, does not always: one pixel that decides otherwise has moved
// the gradient of one tensor by 3.5e-5 (r20-bn-frozen, in a build by clang with sanitizers; 1.2e-5 by gcc).
static const double FIRST_GRADIENT_WINOGRAD_RELATIVE = 1e-4;
static const double FINAL_OF_DISTANCE = 2e-3;       // of the distance the tensor moved
static const double LOGITS_RELATIVE = 1e-4;         // of the largest logit
// Running statistics are averages over thousands of values, moved ten times by a tenth.
static const double STATISTICS_RELATIVE = 1e-5;

enum { CHANNELS = 3, SIZE = 32, PIXELS = SIZE * SIZE * CHANNELS, CLASSES = 10, LOGIT_IMAGES = 16 };

struct way {
    const char *name;
    enum lorac_form_policy policy;
    bool exact;
    size_t parts;     // micro-batches of a batch
    size_t recompute; // segments
};

static const struct way WAYS[] = {{"definition, exact", LORAC_FORM_POLICY_DEFINITION, true, 1, 0},
                                  {"branches, exact", LORAC_FORM_POLICY_BRANCH, true, 1, 0},
                                  {"definition", LORAC_FORM_POLICY_DEFINITION, false, 1, 0},
                                  {"branches", LORAC_FORM_POLICY_BRANCH, false, 1, 0},
                                  {"branches in parts", LORAC_FORM_POLICY_BRANCH, false, 4, 0},
                                  {"recomputed", LORAC_FORM_POLICY_BRANCH, false, 1, 4}};

struct golden {
    const char *name;
    json_t *json;
    struct lorac_array images; // weather_train_x
    int32_t *labels;
    struct lorac_net *net;
    struct lorac_error error;
    double loss, norm, gradient, final, logits, statistics; // largest deviations seen
};

// ---- files

static float *read_floats(const struct golden *g, const char *file, size_t *count)
{
    char path[512];
    struct lorac_array array;
    struct lorac_error error = {0};
    snprintf(path, sizeof path, GOLDEN "%s/%s.npy", g->name, file);
    if (access(path, R_OK) != 0)
        return NULL;
    REQUIRE(lorac_array_read(path, &array, &error) == LORAC_OK);
    REQUIRE(array.dtype == 'f' && array.item_bytes == 4);
    *count = array.byte_count / 4;
    return array.data;
}

static const char *text(const struct golden *g, const char *key)
{
    const char *value = json_string_value(json_object_get(g->json, key));
    REQUIRE(value != NULL);
    return value;
}

static double number(const struct golden *g, const char *key, double fallback)
{
    json_t *value = json_object_get(g->json, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

static bool truth(const struct golden *g, const char *key)
{
    return json_is_true(json_object_get(g->json, key));
}

static double list_number(const struct golden *g, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(g->json, key), i));
}

// The golden files call a node by its name without the leading slash and with _ for /.
static void golden_name(const char *node, const char *suffix, char *out, size_t size)
{
    snprintf(out, size, "%s%s", node[0] == '/' ? node + 1 : node, suffix);
    for (char *c = out; *c; c++)
        if (*c == '/')
            *c = '_';
}

// ---- the start: inject as the case says, then its A and B

static void set_start(struct golden *g, struct lorac_model *model, const char *initializer, const char *node,
                      const char *suffix)
{
    char name[256], file[300];
    size_t count;
    golden_name(node, suffix, name, sizeof name);
    snprintf(file, sizeof file, "init.%s", name);
    float *values = read_floats(g, file, &count);
    REQUIRE(values != NULL);
    CHECK_OK(lorac_tensor_set_float(model, lorac_model_initializer(model, initializer), values, count, &g->error),
             g->error);
    free(values);
}

static void open_case(struct golden *g)
{
    char path[512];
    struct lorac_model *model;
    snprintf(path, sizeof path, LORAC_SHARED_DIR "/%s", text(g, "model"));
    REQUIRE(CHECK_OK(lorac_model_load(path, &model, &g->error), g->error));
    struct lorac_inject_options options = lorac_inject_options_default();
    options.rank = (int64_t)number(g, "rank", 0);
    options.alpha = number(g, "alpha", 0);
    options.setting = strcmp(text(g, "rank_setting"), "plain") == 0 ? LORAC_RANK_PLAIN : LORAC_RANK_KERNEL;
    options.bn = strcmp(text(g, "bn"), "bn-train") == 0 ? LORAC_BN_TRAIN : LORAC_BN_FROZEN;
    options.train_first = truth(g, "train_first");
    options.train_last = truth(g, "train_last");
    struct lorac_pass_report report;
    REQUIRE(CHECK_OK(lorac_pass_inject.run(model, &options, &report, &g->error), g->error));
    struct lorac_meta meta;
    REQUIRE(CHECK_OK(lorac_meta_read(model, &meta, &g->error), g->error));
    CHECK(meta.adapter_count == 18);
    for (size_t i = 0; i < meta.adapter_count; i++) {
        set_start(g, model, meta.adapters[i].a, meta.adapters[i].conv, ".A");
        set_start(g, model, meta.adapters[i].b, meta.adapters[i].conv, ".B");
    }
    uint8_t *bytes;
    size_t byte_count;
    REQUIRE(CHECK_OK(lorac_model_pack(model, &bytes, &byte_count, &g->error), g->error));
    REQUIRE(CHECK_OK(lorac_open_memory(bytes, byte_count, &g->net, &g->error), g->error));
    free(bytes);
    lorac_model_free(model);
}

static void prepare_case(struct golden *g, size_t threads, const struct way *way)
{
    static const struct lorac_normalization NORMALIZATION = {1.0 / 255.0,           3,    {0.485, 0.456, 0.406}, 3,
                                                             {0.229, 0.224, 0.225}, false};
    struct lorac_prepare_options options = lorac_prepare_options_default();
    options.batch = (size_t)number(g, "batch", 0);
    options.micro_batch = options.batch / way->parts;
    options.threads = threads;
    options.training = true;
    options.exact = way->exact;
    options.form_policy = way->policy;
    options.recompute = way->recompute;
    options.normalization = &NORMALIZATION;
    struct lorac_optimizer_options *o = &options.optimizer;
    o->kind = strcmp(text(g, "optimizer"), "adamw") == 0 ? LORAC_ADAMW : LORAC_SGD;
    o->lr = number(g, "lr", 0);
    o->momentum = number(g, "momentum", 0);
    o->weight_decay = number(g, "weight_decay", 0);
    o->decay_all = truth(g, "decay_all");
    o->clip_norm = number(g, "clip_norm", 0);
    o->eps = number(g, "eps", o->eps);
    REQUIRE(CHECK_OK(lorac_prepare(g->net, &options, &g->error), g->error));
}

// ---- comparing

static double distance(const float *a, const float *b, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

static double length(const float *a, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)a[i];
    return sqrt(sum);
}

static void worst(double *so_far, double value)
{
    if (!(value <= *so_far)) // also where it is not a number
        *so_far = value;
}

// The golden name of a parameter that the program trains or updates.
static bool name_of_param(const struct golden *g, const struct lorac_param *param, char *out, size_t size)
{
    const struct lorac_meta *meta = &g->net->meta;
    for (size_t i = 0; i < meta->adapter_count; i++)
        if (strcmp(meta->adapters[i].a, param->name) == 0 || strcmp(meta->adapters[i].b, param->name) == 0) {
            golden_name(meta->adapters[i].conv, strcmp(meta->adapters[i].a, param->name) == 0 ? ".A" : ".B", out, size);
            return true;
        }
    const struct lorac_program *program = g->net->program;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        for (size_t k = 0; k < step->param_count; k++) {
            if (step->params[k] == LORAC_NO_ID || &program->params[step->params[k]] != param)
                continue;
            if (param->updated)
                golden_name(step->name, k == 2 ? ".mean" : ".var", out, size);
            else if (strcmp(step->node->op_type, "Conv") == 0)
                snprintf(out, size, "first.W");
            else
                snprintf(out, size, k == 0 ? "last.W" : "last.b");
            return true;
        }
    }
    return false;
}

static void compare_first_gradients(struct golden *g, bool exact)
{
    const double bound = exact ? FIRST_GRADIENT_RELATIVE : FIRST_GRADIENT_WINOGRAD_RELATIVE;
    size_t compared = 0;
    for (size_t i = 0; i < g->net->program->param_count; i++) {
        const struct lorac_param *param = &g->net->program->params[i];
        char name[256], file[300];
        size_t count;
        if (!param->trainable)
            continue;
        REQUIRE(name_of_param(g, param, name, sizeof name));
        snprintf(file, sizeof file, "grad0.%s", name);
        float *golden = read_floats(g, file, &count);
        REQUIRE(golden != NULL && count == param->count);
        double relative = distance(param->gradient, golden, count) / length(golden, count);
        CHECKF(relative <= bound, "%s: gradient of %s off by %g", g->name, name, relative);
        worst(&g->gradient, relative);
        free(golden);
        compared++;
    }
    CHECKF(compared >= 36, "%s: only %zu gradients compared", g->name, compared);
}

// Where the tensor started: for adapters a file, else the model's own value before training.
static float *start_of(const struct golden *g, const struct lorac_param *param, const char *name)
{
    char file[300];
    size_t count;
    snprintf(file, sizeof file, "init.%s", name);
    float *start = read_floats(g, file, &count);
    if (start)
        return start;
    struct lorac_error error = {0};
    start = calloc(param->count, sizeof *start);
    REQUIRE(start != NULL && lorac_tensor_to_float(param->tensor, start, param->count, &error) == LORAC_OK);
    return start; // the model's tensors still hold the start: nothing was stored yet
}

static void compare_final(struct golden *g)
{
    for (size_t i = 0; i < g->net->program->param_count; i++) {
        const struct lorac_param *param = &g->net->program->params[i];
        char name[256], file[300];
        size_t count;
        if (!param->trainable && !param->updated)
            continue;
        REQUIRE(name_of_param(g, param, name, sizeof name));
        snprintf(file, sizeof file, "final.%s", name);
        float *golden = read_floats(g, file, &count);
        REQUIRE(golden != NULL && count == param->count);
        double off = distance(param->data, golden, count);
        if (param->updated) {
            worst(&g->statistics, off / length(golden, count));
            CHECKF(off <= STATISTICS_RELATIVE * length(golden, count), "%s: %s off by %g", g->name, name,
                   off / length(golden, count));
        } else {
            float *start = start_of(g, param, name);
            double moved = distance(start, golden, count);
            worst(&g->final, off / moved);
            CHECKF(off <= FINAL_OF_DISTANCE * moved, "%s: %s ended %g of its way off", g->name, name, off / moved);
            free(start);
        }
        free(golden);
    }
}

static void compare_logits(struct golden *g, const char *file)
{
    size_t count;
    float *golden = read_floats(g, file, &count), ours[LOGIT_IMAGES * CLASSES];
    REQUIRE(golden != NULL && count == LOGIT_IMAGES * CLASSES);
    struct lorac_images images = {LORAC_PIXELS_U8, g->images.data, LOGIT_IMAGES};
    REQUIRE(CHECK_OK(lorac_predict(g->net, &images, ours, &g->error), g->error));
    double largest = 0.0, off = 0.0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)golden[i]));
        off = fmax(off, fabs((double)golden[i] - (double)ours[i]));
    }
    worst(&g->logits, off / largest);
    CHECKF(off <= LOGITS_RELATIVE * largest, "%s: %s off by %g of the largest", g->name, file, off / largest);
    free(golden);
}

// ---- the steps

static void run_step(struct golden *g, size_t step)
{
    size_t batch = (size_t)number(g, "batch", 0);
    json_t *indices = json_array_get(json_object_get(g->json, "indices"), step);
    REQUIRE(json_array_size(indices) == batch);
    uint8_t *pixels = malloc(batch * PIXELS);
    int32_t *labels = malloc(batch * sizeof *labels);
    REQUIRE(pixels && labels);
    for (size_t i = 0; i < batch; i++) {
        size_t index = (size_t)json_integer_value(json_array_get(indices, i));
        memcpy(pixels + i * PIXELS, (const uint8_t *)g->images.data + index * PIXELS, PIXELS);
        labels[i] = g->labels[index];
    }
    struct lorac_images images = {LORAC_PIXELS_U8, pixels, batch};
    struct lorac_step_result result;
    REQUIRE(CHECK_OK(lorac_train_batch(g->net, &images, labels, NULL, &result, &g->error), g->error));
    double loss = list_number(g, "loss", step), norm = list_number(g, "grad_norm", step);
    double loss_off = fabs(result.loss - loss), bound = fmax(LOSS_RELATIVE * loss, LOSS_ABSOLUTE);
    CHECKF(loss_off <= bound, "%s: loss of step %zu is %.9g, expected %.9g", g->name, step, result.loss, loss);
    if (loss_off > LOSS_ABSOLUTE)
        worst(&g->loss, loss_off / loss);
    CHECKF(fabs(result.gradient_norm - norm) <= GRADIENT_NORM_RELATIVE * norm,
           "%s: gradient norm of step %zu is %.9g, expected %.9g", g->name, step, result.gradient_norm, norm);
    worst(&g->norm, fabs(result.gradient_norm - norm) / norm);
    free(pixels);
    free(labels);
}

static void read_images(struct golden *g)
{
    struct lorac_array labels;
    REQUIRE(CHECK_OK(lorac_array_read(LORAC_SHARED_DIR "/data/cifar10-c/weather_train_x.npy", &g->images, &g->error),
                     g->error));
    REQUIRE(CHECK_OK(lorac_array_read(LORAC_SHARED_DIR "/data/cifar10-c/weather_train_y.npy", &labels, &g->error),
                     g->error));
    size_t count = (size_t)labels.dims[0];
    g->labels = malloc(count * sizeof *g->labels);
    REQUIRE(g->labels != NULL);
    for (size_t i = 0; i < count; i++)
        g->labels[i] = labels.item_bytes == 1   ? ((const uint8_t *)labels.data)[i]
                       : labels.item_bytes == 4 ? ((const int32_t *)labels.data)[i]
                                                : (int32_t)((const int64_t *)labels.data)[i];
    lorac_array_clear(&labels);
}

// The way is what it says: without exact many convolutions run by Winograd, with it none; steps run again.
static void check_way(const struct golden *g, const struct way *way)
{
    const struct lorac_program *program = g->net->program;
    size_t winograd = 0;
    for (size_t i = 0; i < program->step_count; i++) {
        const struct lorac_step *step = &program->steps[i];
        const char *name = step->kernel->algorithm ? step->kernel->algorithm(step, false) : NULL;
        winograd += name && strncmp(name, "winograd", strlen("winograd")) == 0;
    }
    CHECKF(way->exact ? winograd == 0 : winograd >= 10, "%s, %s: %zu convolutions run by Winograd", g->name, way->name,
           winograd);
    size_t again = lorac_recompute_step_count(program);
    CHECKF(way->recompute ? again >= program->step_count / 5 : again == 0, "%s, %s: %zu steps run again", g->name,
           way->name, again);
}

static void run_case(const char *name, size_t threads, const struct way *way)
{
    struct golden g = {.name = name};
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s/case.json", name);
    g.json = json_load_file(path, 0, NULL);
    REQUIRE(g.json != NULL);
    read_images(&g);
    open_case(&g);
    prepare_case(&g, threads, way);
    check_way(&g, way);
    compare_logits(&g, "logits_before");
    size_t steps = (size_t)number(&g, "steps", 0);
    CHECK(steps == 10);
    for (size_t step = 0; step < steps; step++) {
        run_step(&g, step);
        if (step == 0)
            compare_first_gradients(&g, way->exact);
    }
    compare_logits(&g, "logits_after");
    compare_final(&g);
    printf("%-22s %-17s loss %.1e  gradient norm %.1e  first gradients %.1e  final tensors %.1e of the way  logits %.1e  "
           "statistics %.1e\n",
           name, way->name, g.loss, g.norm, g.gradient, g.final, g.logits, g.statistics);
    lorac_close(g.net);
    lorac_array_clear(&g.images);
    free(g.labels);
    json_decref(g.json);
}

int main(void)
{
    static const char *const CASES[] = {"r20-folded-sgd", "r20-folded-plain-rank", "r20-folded-adamw-paper",
                                        "r20-bn-frozen", "r20-bn-train"};
    if (access(GOLDEN, R_OK) != 0) {
        printf("skipped: " GOLDEN " is not there\n");
        return CHECK_SKIP;
    }
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (size_t k = 0; k < sizeof WAYS / sizeof *WAYS; k++)
            if (WAYS[k].parts == 1 || strcmp(CASES[i], "r20-bn-train") != 0) // whose statistics are the batch's
                run_case(CASES[i], 2, &WAYS[k]);
    return check_report();
}
