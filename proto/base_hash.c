// The base hash tells whether an adapter belongs to a model. It is streamed: tensors are hashed where they
// lie, those of a file are in memory one by one, and those in typed fields a second time one by one.
#include "adapter_meta.h"
#include "digest.h"
#include "tensor.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *name;
    const Onnx__TensorProto *tensor;
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "base hash: out of memory");
}

// ---- which tensors

// The tensors that inject added, sorted by name.
static enum lorac_status list_adapter_tensors(struct lorac_model *model, const struct lorac_meta *meta,
                                              struct entry **out, size_t *count, struct lorac_error *error)
{
    size_t adapters = meta && meta->injected ? meta->adapter_count : 0;
    size_t copies = meta && meta->injected ? meta->copy_count : 0;
    // The adapters' own tensors are initialisers, each of one adapter only.
    struct entry *list =
        lorac_arena_alloc_array(model->arena, model->proto->graph->n_initializer + copies, sizeof *list);
    size_t own = 0;
    if (!list)
        return out_of_memory(error);
    for (size_t i = 0; i < adapters; i++) {
        struct lorac_adapter_site site;
        LORAC_TRY(lorac_adapter_locate(model, &meta->adapters[i], model->arena, &site, error));
        for (size_t t = 0; t < site.tensor_count; t++)
            list[own++] = (struct entry){site.tensors[t]->name, site.tensors[t]};
    }
    for (size_t i = 0; i < copies; i++)
        list[own++] = (struct entry){meta->copies[i].copy, NULL};
    if (own > 0)
        qsort(list, own, sizeof *list, compare_entries);
    *out = list;
    *count = own;
    return LORAC_OK;
}

static bool is_listed(const struct entry *list, size_t count, const struct entry *entry)
{
    return count > 0 && bsearch(entry, list, count, sizeof *list, compare_entries);
}

static enum lorac_status list_base_tensors(struct lorac_model *model, const struct lorac_meta *meta, struct entry **out,
                                           size_t *out_count, struct lorac_error *error)
{
    struct entry *skipped = NULL;
    size_t skipped_count = 0, count = 0;
    LORAC_TRY(list_adapter_tensors(model, meta, &skipped, &skipped_count, error));
    const Onnx__GraphProto *graph = model->proto->graph;
    struct entry *list = lorac_arena_alloc_array(model->arena, graph->n_initializer + graph->n_node, sizeof *list);
    if (!list)
        return out_of_memory(error);
    for (size_t i = 0; i < graph->n_initializer; i++) {
        const char *name = graph->initializer[i]->name;
        struct entry entry = {name ? name : "", graph->initializer[i]};
        if (!is_listed(skipped, skipped_count, &entry))
            list[count++] = entry;
    }
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (!lorac_node_is(node, "Constant") || node->n_output == 0)
            continue;
        const Onnx__TensorProto *tensor = lorac_model_constant(model, node->output[0]);
        if (tensor)
            list[count++] = (struct entry){node->output[0], tensor};
    }
    if (count > 0)
        qsort(list, count, sizeof *list, compare_entries);
    *out = list;
    *out_count = count;
    return LORAC_OK;
}

// ---- their bytes

static void add_type(struct lorac_digest *digest, int32_t type)
{
    const uint32_t number = (uint32_t)type;
    const uint8_t bytes[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), (uint8_t)(number >> 24)};
    lorac_digest_add(digest, bytes, sizeof bytes);
}

static enum lorac_status add_elements(struct lorac_digest *digest, const Onnx__TensorProto *tensor,
                                      struct lorac_error *error)
{
    if (tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING) {
        for (size_t i = 0; i < tensor->n_string_data; i++) {
            lorac_digest_add(digest, tensor->string_data[i].data, tensor->string_data[i].len);
            lorac_digest_add(digest, "", 1);
        }
        return LORAC_OK;
    }
    uint8_t *bytes = NULL;
    size_t byte_count = 0;
    LORAC_TRY(lorac_tensor_check(tensor, error));
    const uint8_t *view = lorac_tensor_canonical_view(tensor, &byte_count);
    if (view) {
        lorac_digest_add(digest, view, byte_count);
        return LORAC_OK;
    }
    LORAC_TRY(lorac_tensor_canonical_bytes(tensor, &bytes, &byte_count, error));
    lorac_digest_add(digest, bytes, byte_count);
    free(bytes);
    return LORAC_OK;
}

static enum lorac_status add_entry(struct lorac_digest *digest, const struct lorac_model *model,
                                   const struct entry *entry, struct lorac_error *error)
{
    lorac_digest_add_text(digest, entry->name);
    add_type(digest, entry->tensor->data_type);
    lorac_digest_add_number(digest, entry->tensor->n_dims);
    for (size_t i = 0; i < entry->tensor->n_dims; i++)
        lorac_digest_add_number(digest, (uint64_t)entry->tensor->dims[i]);
    enum lorac_status status = add_elements(digest, entry->tensor, error);
    lorac_tensor_release(model, entry->tensor);
    return lorac_error_prefix(error, status, "base hash of '%s': ", entry->name);
}

enum lorac_status lorac_base_hash(struct lorac_model *model, const struct lorac_meta *meta, char out[33],
                                  struct lorac_error *error)
{
    struct entry *list = NULL;
    size_t count = 0;
    LORAC_TRY(list_base_tensors(model, meta, &list, &count, error));
    struct lorac_digest *digest = lorac_digest_create();
    if (!digest)
        return out_of_memory(error);
    enum lorac_status status = LORAC_OK;
    for (size_t i = 0; i < count && status == LORAC_OK; i++)
        status = add_entry(digest, model, &list[i], error);
    if (status == LORAC_OK)
        lorac_digest_text(digest, out);
    lorac_digest_free(digest);
    return status;
}
