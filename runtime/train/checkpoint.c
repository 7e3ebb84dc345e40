// Writing a checkpoint.
#include "checkpoint_internal.h"

#include "proto/arena.h"
#include "proto/digest.h"
#include "proto/safetensors.h"
#include "runtime/data/loader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1024, FIXED_TEXTS = 14, FIXED_TENSORS = 3 + LORAC_CHECKPOINT_SETS }; // at most, with those of a validation

char *lorac_checkpoint_part_name(const struct lorac_snapshot_part *part, bool best)
{
    static const char *const kinds[] = {"trained", "statistic", "optimizer"};
    const size_t room = strlen(part->name) + 64;
    char *text = malloc(room);
    if (text && best)
        snprintf(text, room, "best:%s", part->name);
    else if (text && part->kind == LORAC_PART_OPTIMIZER)
        snprintf(text, room, "%s.%zu:%s", kinds[part->kind], part->array, part->name);
    else if (text)
        snprintf(text, room, "%s:%s", kinds[part->kind], part->name);
    return text;
}

void lorac_checkpoint_machine(const struct lorac_net *net, char text[LORAC_KEY_BYTES])
{
    snprintf(text, LORAC_KEY_BYTES, "%s", net->choices->machine);
    char *threads = strrchr(text, ','); // the last item; they make no difference
    if (threads)
        *threads = '\0';
}

// A file being put together.
struct writer {
    struct lorac_arena *arena;
    struct lorac_safetensors content;
};

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a checkpoint");
}

// ---- texts

static enum lorac_status add_text(struct writer *writer, const char *key, const char *format, ...) LORAC_PRINTF(3, 4);
static enum lorac_status add_text(struct writer *writer, const char *key, const char *format, ...)
{
    char value[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    struct lorac_safetensors_text *text = &writer->content.texts[writer->content.text_count++];
    text->key = lorac_arena_strdup(writer->arena, key);
    text->value = lorac_arena_strdup(writer->arena, value);
    return text->key && text->value ? LORAC_OK : LORAC_ERROR_MEMORY;
}

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

// "winograd4 gemm plain definition measured KEY": forward, gradient of the input, gradient of the weight, form of the
// adapter ("-" where there is none), who chose, and the row's key, which may hold spaces.
static enum lorac_status add_convolutions(struct writer *writer, const struct lorac_net *net)
{
    static const char *const chosen[] = {"rule", "given", "measured"};
    struct lorac_convolution convolution;
    for (size_t i = 0; lorac_get_convolution(net, i, &convolution, NULL) == LORAC_OK; i++) {
        char key[64];
        snprintf(key, sizeof key, LORAC_CHECKPOINT_CONVOLUTION "%zu", i);
        LORAC_TRY(add_text(writer, key, "%s %s %s %s %s %s", or_dash(convolution.forward), or_dash(convolution.gradient),
                           or_dash(convolution.weight_gradient), or_dash(convolution.form), chosen[convolution.chosen],
                           convolution.key));
    }
    return LORAC_OK;
}

static enum lorac_status add_facts(struct writer *writer, const struct lorac_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->fact_count; i++) {
        char key[TEXT_BYTES];
        snprintf(key, sizeof key, LORAC_CHECKPOINT_FACT "%s", checkpoint->facts[i].name);
        LORAC_TRY(add_text(writer, key, "%s", checkpoint->facts[i].value));
    }
    return LORAC_OK;
}

static enum lorac_status add_validation(struct writer *writer, const struct lorac_validation *validation)
{
    const struct lorac_validation_state state = lorac_validation_state(validation);
#define ADD_NUMBER(key, member) LORAC_TRY(add_text(writer, key, "%" PRIu64, state.member));
    LORAC_CHECKPOINT_NUMBERS(ADD_NUMBER)
#undef ADD_NUMBER
    return LORAC_OK;
}

static enum lorac_status add_texts(struct writer *writer, const struct lorac_net *net,
                                   const struct lorac_checkpoint *checkpoint)
{
    char machine[LORAC_KEY_BYTES];
    const size_t room = FIXED_TEXTS + checkpoint->fact_count + lorac_convolution_count(net);
    writer->content.texts = lorac_arena_alloc_array(writer->arena, room, sizeof *writer->content.texts);
    if (!writer->content.texts)
        return LORAC_ERROR_MEMORY;
    lorac_checkpoint_machine(net, machine);
    LORAC_TRY(add_text(writer, "format", LORAC_CHECKPOINT_FORMAT));
    LORAC_TRY(add_text(writer, "version", "%d", (int)LORAC_CHECKPOINT_VERSION));
    LORAC_TRY(add_text(writer, "machine", "%s", machine));
    LORAC_TRY(add_text(writer, "step", "%" PRIu64, checkpoint->position.step));
    LORAC_TRY(add_text(writer, "total_steps", "%" PRIu64, checkpoint->total_steps));
    LORAC_TRY(add_text(writer, "epoch_correct", "%" PRIu64, checkpoint->position.correct_sum));
    LORAC_TRY(add_text(writer, "optimizer_step", "%" PRIu64, lorac_train_state_step(net->train)));
    LORAC_TRY(add_text(writer, "images_at_once", "%zu", net->program->batch));
    if (checkpoint->validation)
        LORAC_TRY(add_validation(writer, checkpoint->validation));
    LORAC_TRY(add_facts(writer, checkpoint));
    return add_convolutions(writer, net);
}

// ---- tensors

static void add_tensor(struct writer *writer, const struct lorac_safetensor *tensor)
{
    writer->content.tensors[writer->content.tensor_count++] = *tensor;
}

static void add_double(struct writer *writer, const char *name, const double *value)
{
    add_tensor(writer, &(struct lorac_safetensor){.name = name,
                                                  .data_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
                                                  .bytes = (const uint8_t *)value,
                                                  .byte_count = sizeof *value});
}

// [values]: the present ones, or the best.
static enum lorac_status add_part(struct writer *writer, const struct lorac_snapshot_part *part, const float *values,
                                  bool best)
{
    char *name = lorac_checkpoint_part_name(part, best);
    const char *kept = name ? lorac_arena_strdup(writer->arena, name) : NULL;
    free(name);
    if (!kept)
        return LORAC_ERROR_MEMORY;
    add_tensor(writer, &(struct lorac_safetensor){.name = kept,
                                                  .data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                                  .rank = part->rank,
                                                  .dims = part->dims,
                                                  .bytes = (const uint8_t *)values,
                                                  .byte_count = part->count * sizeof *values});
    return LORAC_OK;
}

static enum lorac_status add_parts(struct writer *writer, const struct lorac_snapshot *snapshot,
                                   const struct lorac_validation *validation)
{
    const float *best = validation && validation->best.mark.epoch > 0 ? validation->best.values : NULL;
    for (size_t i = 0; i < snapshot->part_count; i++)
        LORAC_TRY(add_part(writer, &snapshot->parts[i], snapshot->parts[i].values, false));
    for (size_t i = 0; best && i < snapshot->part_count; i++) {
        if (!lorac_checkpoint_has_best(&snapshot->parts[i]))
            continue;
        LORAC_TRY(add_part(writer, &snapshot->parts[i], best, true));
        best += snapshot->parts[i].count;
    }
    return LORAC_OK;
}

// Nothing where all could be read.
static enum lorac_status add_broken(struct writer *writer, struct lorac_loader *loader, const char *name)
{
    const size_t count = loader ? lorac_loader_broken_count(loader) : 0;
    if (count == 0)
        return LORAC_OK;
    uint32_t *images = lorac_arena_alloc_array(writer->arena, count, sizeof *images);
    int64_t *dims = lorac_arena_alloc_array(writer->arena, 1, sizeof *dims);
    if (!images || !dims)
        return LORAC_ERROR_MEMORY;
    lorac_loader_list_broken(loader, images);
    dims[0] = (int64_t)count;
    add_tensor(writer, &(struct lorac_safetensor){.name = name,
                                                  .data_type = ONNX__TENSOR_PROTO__DATA_TYPE__UINT32,
                                                  .rank = 1,
                                                  .dims = dims,
                                                  .bytes = (const uint8_t *)images,
                                                  .byte_count = count * sizeof *images});
    return LORAC_OK;
}

static enum lorac_status add_tensors(struct writer *writer, const struct lorac_snapshot *snapshot,
                                     const struct lorac_checkpoint *checkpoint)
{
    static const int64_t checksum_dims[] = {LORAC_DIGEST_BYTES};
    static const uint8_t no_checksum[LORAC_DIGEST_BYTES] = {0};
    static const char *const broken[] = LORAC_CHECKPOINT_BROKEN;
    struct lorac_safetensors *content = &writer->content;
    content->tensors = lorac_arena_alloc_array(writer->arena, FIXED_TENSORS + 2 * snapshot->part_count,
                                               sizeof *content->tensors);
    if (!content->tensors)
        return LORAC_ERROR_MEMORY;
    add_double(writer, LORAC_CHECKPOINT_LOSS_SUM, &checkpoint->position.loss_sum);
    if (checkpoint->validation)
        add_double(writer, LORAC_CHECKPOINT_BEST_LOSS, &checkpoint->validation->best.mark.loss);
    LORAC_TRY(add_parts(writer, snapshot, checkpoint->validation));
    for (size_t i = 0; i < LORAC_CHECKPOINT_SETS; i++)
        LORAC_TRY(add_broken(writer, checkpoint->loaders[i], broken[i]));
    // Of the smallest type: it comes last in the file.
    add_tensor(writer, &(struct lorac_safetensor){.name = LORAC_CHECKPOINT_CHECKSUM,
                                                  .data_type = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
                                                  .rank = 1,
                                                  .dims = checksum_dims,
                                                  .bytes = no_checksum,
                                                  .byte_count = LORAC_DIGEST_BYTES});
    return LORAC_OK;
}

enum lorac_status lorac_checkpoint_pack(const struct lorac_snapshot *snapshot, const struct lorac_checkpoint *checkpoint,
                                        uint8_t **bytes, size_t *byte_count, struct lorac_error *error)
{
    struct writer writer = {.arena = lorac_arena_create()};
    enum lorac_status status = writer.arena ? LORAC_OK : LORAC_ERROR_MEMORY;
    if (status == LORAC_OK)
        status = add_texts(&writer, snapshot->net, checkpoint);
    if (status == LORAC_OK)
        status = add_tensors(&writer, snapshot, checkpoint);
    if (status != LORAC_OK)
        out_of_memory(error);
    else
        status = lorac_safetensors_pack(&writer.content, bytes, byte_count, error);
    lorac_arena_free(writer.arena);
    if (status == LORAC_OK)
        lorac_digest_block(*bytes, *byte_count - LORAC_DIGEST_BYTES, *bytes + *byte_count - LORAC_DIGEST_BYTES);
    return status;
}
