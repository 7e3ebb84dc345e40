// small_image_stem
//
// before:  x ─ [Pad] ─ Conv kxk, stride s ─ (BatchNorm, activation, ...) ─ [Pad] ─ MaxPool ─ ...
// after:   x ─ Conv 3x3, stride 1, pads 1 ─ (BatchNorm, activation, ...) ─ ...
//
// A deep stem has more convolutions before the max-pooling; it is told by a first one of 3x3 with stride 2. Those keep
// their weights. Everything after the convolution is followed while there is one stream of data: the first residual
// block, where it parts, ends the stem.
#include "edit.h"
#include "match.h"
#include "new_job.h"

#include "proto/constant.h"
#include "proto/model_edit.h"
#include "proto/rng.h"
#include "proto/weight.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 3, MOST_PADS = 8, MOST_DEEP = 3 };

struct stem {
    Onnx__NodeProto *conv;
    int64_t filters, channels;
    int32_t weight_type;
    bool deep;
    Onnx__NodeProto *pool; // NULL: none follows
    size_t pad_count;
    Onnx__NodeProto *pads[MOST_PADS]; // before the convolution and before the pooling
};

// ---- the convolution

static bool has_ints(const Onnx__NodeProto *node, const char *name, int64_t wanted)
{
    const int64_t *values;
    size_t count = lorac_node_ints(node, name, &values);
    for (size_t i = 0; i < count; i++)
        if (values[i] != wanted)
            return false;
    return count > 0;
}

static enum lorac_status describe_conv(struct lorac_model *model, struct stem *stem, struct lorac_error *error)
{
    const char *name = lorac_node_name(stem->conv), *weight = lorac_node_input(stem->conv, 1);
    struct lorac_weight value;
    enum lorac_status status = lorac_weight_find(model, weight, &value, error);
    LORAC_TRY(lorac_error_prefix(error, status, "small_image_stem: the weight of the first convolution '%s': ", name));
    if (value.rank != 4 || !lorac_weight_is_floating(&value) || value.count == 0 ||
        lorac_node_int(stem->conv, "group", 1) != 1)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "small_image_stem: the first convolution '%s' has groups, or no weight of rank 4", name);
    stem->filters = value.dims[0];
    stem->channels = value.dims[1];
    stem->weight_type = value.data_type;
    stem->deep = value.dims[2] == SIDE && value.dims[3] == SIDE && has_ints(stem->conv, "strides", 2);
    return LORAC_OK;
}

// ---- padding that belongs to the old convolution and to the pooling

static enum lorac_status read_pads(struct lorac_model *model, const Onnx__NodeProto *node, struct lorac_arena *arena,
                                   struct lorac_int_list *out, struct lorac_error *error)
{
    struct lorac_constant pads;
    const struct lorac_constant *given = NULL;
    if (node->n_input > 1) {
        LORAC_TRY(lorac_constant_resolve(model, node->input[1], arena, &pads, error));
        given = &pads;
    }
    return lorac_int_list_read(node, "pads", given, out)
               ? LORAC_OK
               : lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "its amounts are too many");
}

// Only two dimensions grow: height and width.
static bool pads_image(const struct lorac_int_list *pads)
{
    size_t grown = 0, rank = pads->count / 2;
    for (size_t i = 0; i < rank; i++) {
        bool grows = pads->values[i] != 0 || pads->values[rank + i] != 0;
        if (grows && (i == 0 || rank != 4))
            return false;
        grown += grows;
    }
    return pads->count % 2 == 0 && grown <= 2;
}

static enum lorac_status add_pad(struct lorac_model *model, Onnx__NodeProto *node, struct stem *stem,
                                 struct lorac_error *error)
{
    struct lorac_error why = {0};
    struct lorac_int_list pads = {0};
    struct lorac_arena *arena = lorac_arena_create();
    if (!arena)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "small_image_stem: out of memory");
    enum lorac_status status = read_pads(model, node, arena, &pads, &why);
    lorac_arena_free(arena);
    if (status == LORAC_ERROR_MEMORY)
        return lorac_error_set(error, status, "%s", why.message);
    if (status == LORAC_OK && pads_image(&pads) && stem->pad_count < MOST_PADS) {
        stem->pads[stem->pad_count++] = node;
        return LORAC_OK;
    }
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                           "small_image_stem: node '%s' (Pad) belongs to the old stem, but cannot be taken out: %s",
                           lorac_node_name(node),
                           status == LORAC_OK ? "it pads more than height and width" : why.message);
}

// ---- from the input to the convolution

static bool is_constant(struct lorac_model *model, const char *value)
{
    return lorac_constant_follows(model, value, NULL) == LORAC_OK;
}

// What the stream of data may pass on its way through a stem; the data is input 0, or the input that is no constant.
static bool is_passage(const Onnx__NodeProto *node)
{
    static const char *const passages[] = {"BatchNormalization",
                                           "InstanceNormalization",
                                           "GroupNormalization",
                                           "Relu",
                                           "LeakyRelu",
                                           "PRelu",
                                           "Elu",
                                           "Gelu",
                                           "Clip",
                                           "Sigmoid",
                                           "HardSigmoid",
                                           "HardSwish",
                                           "Mish",
                                           "Identity",
                                           "Dropout",
                                           "Cast",
                                           "CastLike",
                                           "Transpose",
                                           "Add",
                                           "Sub",
                                           "Mul",
                                           "Div",
                                           NULL};
    return lorac_node_is_one_of(node, passages);
}

static const char *data_input(struct lorac_model *model, const Onnx__NodeProto *node)
{
    if (node->n_input == 2 && is_constant(model, node->input[0]))
        return node->input[1];
    return lorac_node_input(node, 0);
}

static enum lorac_status look_before(struct lorac_model *model, struct stem *stem, struct lorac_error *error)
{
    const char *value = lorac_node_input(stem->conv, 0);
    for (size_t steps = 0; steps < model->proto->graph->n_node; steps++) {
        Onnx__NodeProto *node = lorac_model_producer(model, value);
        if (node && lorac_node_is(node, "Pad"))
            LORAC_TRY(add_pad(model, node, stem, error));
        else if (!node || !is_passage(node))
            break;
        value = data_input(model, node);
    }
    return LORAC_OK;
}

// ---- from the convolution to the pooling

// The one node that takes [value] on. x*gate(x), as in SiLU, is one stream too. NULL where the stream parts or ends.
static Onnx__NodeProto *next_node(struct lorac_model *model, const char *value)
{
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(model, value, &uses);
    if (count == 1 && uses[0].input != SIZE_MAX)
        return uses[0].node;
    if (count != 2)
        return NULL;
    for (size_t i = 0; i < 2; i++) {
        Onnx__NodeProto *gate = uses[i].node, *product = uses[1 - i].node;
        static const char *const gates[] = {"Sigmoid", "HardSigmoid", "Tanh", NULL};
        if (lorac_node_is_one_of(gate, gates) && lorac_node_is(product, "Mul") && product->n_input == 2 &&
            (strcmp(product->input[0], gate->output[0]) == 0 || strcmp(product->input[1], gate->output[0]) == 0))
            return product;
    }
    return NULL;
}

static enum lorac_status look_behind(struct lorac_model *model, struct stem *stem, struct lorac_error *error)
{
    Onnx__NodeProto *pads[MOST_PADS];
    size_t pad_count = 0, conv_count = 1;
    const char *value = stem->conv->output[0];
    for (size_t steps = 0; steps < model->proto->graph->n_node; steps++) {
        Onnx__NodeProto *node = next_node(model, value);
        if (!node)
            return LORAC_OK;
        if (lorac_node_is(node, "MaxPool")) {
            stem->pool = node;
            break;
        }
        if (lorac_node_is(node, "Conv")) {
            if (!stem->deep || ++conv_count > MOST_DEEP || strcmp(lorac_node_input(node, 0), value) != 0)
                return LORAC_OK;
            pad_count = 0; // those before it are its own
        } else if (lorac_node_is(node, "Pad")) {
            if (pad_count == MOST_PADS)
                return LORAC_OK;
            pads[pad_count++] = node;
        } else if (!is_passage(node)) {
            return LORAC_OK;
        }
        value = node->output[0];
    }
    for (size_t i = 0; stem->pool && i < pad_count; i++)
        LORAC_TRY(add_pad(model, pads[i], stem, error));
    return LORAC_OK;
}

static enum lorac_status find_stem(struct lorac_model *model, const struct lorac_small_image_stem_options *options,
                                   struct stem *stem, struct lorac_error *error)
{
    const Onnx__NodeProto *conv;
    const char *output;
    struct lorac_reach reach;
    struct lorac_meta meta;
    *stem = (struct stem){0};
    if (!options->replace)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "small_image_stem: nothing is asked for");
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (meta.injected)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "small_image_stem: the model is injected (by %s); merge it first", meta.tool);
    LORAC_TRY(lorac_meta_output(model, &meta, options->output, &output, error));
    LORAC_TRY(lorac_match_reach(model, output, &reach, error));
    LORAC_TRY(lorac_match_first_conv(model, &reach, &conv, error));
    if (!conv)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "small_image_stem: the model has no convolution that depends on its input and reaches "
                               "the output '%s'",
                               output);
    stem->conv = (Onnx__NodeProto *)conv;
    LORAC_TRY(describe_conv(model, stem, error));
    LORAC_TRY(look_before(model, stem, error));
    return look_behind(model, stem, error);
}

// ---- the pass

static enum lorac_status replace_weight(struct lorac_model *model, const struct stem *stem, uint64_t seed,
                                        struct lorac_error *error)
{
    const int64_t dims[] = {stem->filters, stem->channels, SIDE, SIDE};
    const size_t fan_in = (size_t)stem->channels * SIDE * SIDE, count = (size_t)stem->filters * fan_in;
    const double bound = 1 / sqrt((double)fan_in); // the old weight was in memory, and so are the counts
    double *values = malloc(count * sizeof *values);
    if (!values)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "small_image_stem: out of memory");
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "stem_weight", lorac_rng_hash_name(lorac_node_name(stem->conv)), 0);
    for (size_t i = 0; i < count; i++)
        values[i] = (2 * lorac_rng_uniform(&rng) - 1) * bound;
    const struct lorac_fresh_tensor tensor = {stem->weight_type, dims, 4, values};
    enum lorac_status status = lorac_edit_replace_input(model, stem->conv, 1, &tensor, NULL, error);
    free(values);
    return status;
}

static enum lorac_status clear_bias(struct lorac_model *model, const struct stem *stem, struct lorac_error *error)
{
    if (!*lorac_node_input(stem->conv, 2))
        return LORAC_OK;
    double *zeros = calloc((size_t)stem->filters, sizeof *zeros);
    if (!zeros)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "small_image_stem: out of memory");
    const struct lorac_fresh_tensor tensor = {stem->weight_type, &stem->filters, 1, zeros};
    enum lorac_status status = lorac_edit_replace_input(model, stem->conv, 2, &tensor, NULL, error);
    free(zeros);
    return status;
}

static enum lorac_status set_geometry(struct lorac_model *model, Onnx__NodeProto *conv, struct lorac_error *error)
{
    const int64_t kernel[] = {SIDE, SIDE}, ones[] = {1, 1, 1, 1};
    lorac_edit_erase_attribute(conv, "auto_pad");
    LORAC_TRY(lorac_model_set_node_ints(model, conv, "dilations", ones, 2, error));
    LORAC_TRY(lorac_model_set_node_ints(model, conv, "kernel_shape", kernel, 2, error));
    LORAC_TRY(lorac_model_set_node_ints(model, conv, "pads", ones, 4, error));
    return lorac_model_set_node_ints(model, conv, "strides", ones, 2, error);
}

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    const struct lorac_small_image_stem_options none = {0}, *options = options_ ? options_ : &none;
    struct stem stem;
    lorac_constant_begin(model);
    LORAC_TRY(find_stem(model, options, &stem, error));
    LORAC_TRY(replace_weight(model, &stem, options->seed, error));
    LORAC_TRY(clear_bias(model, &stem, error));
    LORAC_TRY(set_geometry(model, stem.conv, error));
    for (size_t i = 0; i < stem.pad_count; i++)
        LORAC_TRY(lorac_edit_bypass(model, stem.pads[i], error));
    if (stem.pool)
        LORAC_TRY(lorac_edit_bypass(model, stem.pool, error));
    lorac_edit_forget_sizes(model);
    report->changed = 1 + stem.pad_count + (stem.pool != NULL);
    report->skipped = stem.pool == NULL;
    return LORAC_OK;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    const struct lorac_small_image_stem_options none = {0}, *options = options_ ? options_ : &none;
    struct stem stem;
    return find_stem(model, options, &stem, NULL) == LORAC_OK;
}

const struct lorac_pass lorac_pass_small_image_stem = {
    .name = "small_image_stem",
    .summary = "give the model a fresh 3x3 first convolution and take the max-pooling behind it out",
    .keeps_outputs = false,
    .applies = applies,
    .run = run,
};
