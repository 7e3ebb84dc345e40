#include "adapter_file.h"

#include "model_edit.h"
#include "onnx_adapter.h"
#include "tensor.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "lorac.";

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "adapter file: out of memory");
}

static bool is_ours(const char *key)
{
    return key && strncmp(key, PREFIX, sizeof PREFIX - 1) == 0;
}

// ---- what training changes

static enum lorac_status add_tensor(struct lorac_model *model, const char *name, struct lorac_name_table *seen,
                                    struct lorac_trained_tensors *out, struct lorac_error *error)
{
    bool added;
    Onnx__TensorProto *tensor = lorac_model_constant(model, name);
    if (!lorac_name_table_add(seen, name, NULL, &added))
        return out_of_memory(error);
    if (!added || !tensor)
        return LORAC_OK;
    out->names[out->count] = name;
    out->tensors[out->count++] = tensor;
    return LORAC_OK;
}

static enum lorac_status add_all(struct lorac_model *model, const struct lorac_meta *meta,
                                 struct lorac_name_table *seen, struct lorac_trained_tensors *out,
                                 struct lorac_error *error)
{
    enum { MEAN = 3, VARIANCE = 4 };
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < meta->trainable_count; i++)
        LORAC_TRY(add_tensor(model, meta->trainable[i], seen, out, error));
    size_t trained = out->count;
    for (size_t i = 0; meta->bn == LORAC_BN_TRAIN && i < graph->n_node; i++)
        for (size_t k = MEAN; k <= VARIANCE && lorac_constant_spares_batch_norm(model, graph->node[i]); k++)
            LORAC_TRY(add_tensor(model, lorac_node_input(graph->node[i], k), seen, out, error));
    out->statistics = out->count - trained;
    return LORAC_OK;
}

enum lorac_status lorac_trained_tensors_list(struct lorac_model *model, const struct lorac_meta *meta,
                                             struct lorac_trained_tensors *out, struct lorac_error *error)
{
    struct lorac_trained_tensors list = {0};
    struct lorac_name_table seen;
    size_t room = meta->trainable_count + 2 * model->proto->graph->n_node;
    list.tensors = lorac_arena_alloc_array(model->arena, room, sizeof(*list.tensors));
    list.names = lorac_arena_alloc_array(model->arena, room, sizeof *list.names);
    if (!list.tensors || !list.names)
        return out_of_memory(error);
    lorac_constant_begin(model);
    lorac_name_table_init(&seen);
    enum lorac_status status = add_all(model, meta, &seen, &list, error);
    lorac_name_table_free(&seen);
    if (status == LORAC_OK)
        *out = list;
    return status;
}

// ---- reading

const struct lorac_safetensor *lorac_adapter_file_find(const struct lorac_adapter_file *file, const char *name)
{
    size_t number = lorac_name_table_find(&file->names, name);
    return number == LORAC_NO_NAME ? NULL : &file->content.tensors[number];
}

bool lorac_adapter_file_has_statistics(const struct lorac_adapter_file *file)
{
    return file->content.tensor_count > file->meta.trainable_count;
}

enum lorac_status lorac_safetensor_to_double(const struct lorac_safetensor *tensor, double *out, size_t count,
                                             struct lorac_error *error)
{
    Onnx__TensorProto view;
    onnx__tensor_proto__init(&view);
    view.name = (char *)tensor->name; // only read
    view.dims = (int64_t *)tensor->dims;
    view.n_dims = tensor->rank;
    view.has_data_type = true;
    view.data_type = tensor->data_type;
    view.has_raw_data = true;
    view.raw_data.data = (uint8_t *)tensor->bytes;
    view.raw_data.len = tensor->byte_count;
    return lorac_tensor_to_double(&view, out, count, error);
}

static enum lorac_status check_tensor(const struct lorac_safetensor *tensor, struct lorac_error *error)
{
    if (!lorac_tensor_type_is_floating(tensor->data_type))
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "tensor '%s' has type %s; what is trained is floating",
                               tensor->name, lorac_tensor_type_name(tensor->data_type));
    size_t count = 1; // the dims were multiplied with checks
    for (size_t i = 0; i < tensor->rank; i++)
        count *= (size_t)tensor->dims[i];
    double *values = malloc(count * sizeof *values + 1); // the elements are in memory, at 2 bytes or more each
    if (!values)
        return out_of_memory(error);
    enum lorac_status status = lorac_safetensor_to_double(tensor, values, count, error);
    for (size_t i = 0; i < count && status == LORAC_OK; i++)
        if (!isfinite(values[i]))
            status = lorac_error_set(error, LORAC_ERROR_NOT_FINITE, "tensor '%s': element %zu is %g", tensor->name, i,
                                     values[i]);
    free(values);
    return status;
}

static enum lorac_status check_tensors(struct lorac_adapter_file *file, struct lorac_error *error)
{
    const struct lorac_safetensors *content = &file->content;
    const struct lorac_meta *meta = &file->meta;
    for (size_t i = 0; i < content->tensor_count; i++) {
        LORAC_TRY(check_tensor(&content->tensors[i], error));
        if (!lorac_name_table_add(&file->names, content->tensors[i].name, NULL, NULL))
            return out_of_memory(error);
    }
    for (size_t i = 0; i < meta->trainable_count; i++)
        if (!lorac_adapter_file_find(file, meta->trainable[i]))
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "metadata 'lorac.trainable' names '%s', which is no tensor of the file",
                                   meta->trainable[i]);
    if (lorac_adapter_file_has_statistics(file) && meta->bn != LORAC_BN_TRAIN)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "has %zu tensors, of which 'lorac.trainable' names %zu; others are there only with "
                               "'lorac.bn' train",
                               content->tensor_count, meta->trainable_count);
    return LORAC_OK;
}

static const char *find_text(const void *content, const char *key)
{
    return lorac_safetensors_text(content, key);
}

static enum lorac_status read_file(struct lorac_adapter_file *file, const char *path, struct lorac_error *error)
{
    const struct lorac_meta_source source = {file->arena, find_text, &file->content};
    LORAC_TRY(lorac_mapping_open(AT_FDCWD, path, false, &file->mapping, error));
    LORAC_TRY(
        lorac_safetensors_read(file->arena, file->mapping.bytes, file->mapping.byte_count, &file->content, error));
    if (!find_text(&file->content, "lorac.format"))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "has no metadata 'lorac.format': it is no adapter that lorac-onnx extract wrote");
    LORAC_TRY(lorac_meta_parse(&source, &file->meta, error));
    return check_tensors(file, error);
}

enum lorac_status lorac_adapter_file_open(const char *path, struct lorac_adapter_file **out, struct lorac_error *error)
{
    struct lorac_adapter_file *file = calloc(1, sizeof *file);
    if (!file || !(file->arena = lorac_arena_create())) {
        free(file);
        return out_of_memory(error);
    }
    lorac_name_table_init(&file->names);
    enum lorac_status status = read_file(file, path, error);
    if (status == LORAC_OK) {
        *out = file;
        return LORAC_OK;
    }
    lorac_adapter_file_close(file);
    return lorac_error_prefix(error, status, "'%s': ", path);
}

void lorac_adapter_file_close(struct lorac_adapter_file *file)
{
    if (!file)
        return;
    lorac_name_table_free(&file->names);
    lorac_mapping_close(&file->mapping);
    lorac_arena_free(file->arena);
    free(file);
}

enum lorac_status lorac_adapter_file_copy_texts(const struct lorac_adapter_file *file, struct lorac_model *model,
                                                struct lorac_error *error)
{
    for (size_t i = 0; i < file->content.text_count; i++) {
        const struct lorac_safetensors_text *text = &file->content.texts[i];
        if (is_ours(text->key))
            LORAC_TRY(lorac_model_set_metadata(model, text->key, text->value, error));
    }
    return LORAC_OK;
}

// ---- writing

// The bytes of [tensor]: where they lie, or, of those in other fields than raw_data, a copy in the arena.
static enum lorac_status view_bytes(struct lorac_arena *arena, const Onnx__TensorProto *tensor,
                                    struct lorac_safetensor *out, struct lorac_error *error)
{
    uint8_t *bytes = NULL;
    LORAC_TRY(lorac_tensor_check(tensor, error));
    out->bytes = lorac_tensor_canonical_view(tensor, &out->byte_count);
    if (out->bytes)
        return LORAC_OK;
    LORAC_TRY(lorac_tensor_canonical_bytes(tensor, &bytes, &out->byte_count, error));
    uint8_t *copy = lorac_arena_alloc(arena, out->byte_count);
    if (copy && out->byte_count > 0)
        memcpy(copy, bytes, out->byte_count);
    free(bytes);
    out->bytes = copy;
    return copy ? LORAC_OK : out_of_memory(error);
}

static enum lorac_status gather_tensors(struct lorac_model *model, const struct lorac_meta *meta,
                                        struct lorac_safetensors *out, struct lorac_error *error)
{
    struct lorac_trained_tensors trained;
    LORAC_TRY(lorac_trained_tensors_list(model, meta, &trained, error));
    out->tensors = lorac_arena_alloc_array(model->arena, trained.count, sizeof *out->tensors);
    if (!out->tensors)
        return out_of_memory(error);
    for (size_t i = 0; i < trained.count; i++) {
        const Onnx__TensorProto *tensor = trained.tensors[i];
        struct lorac_safetensor *entry = &out->tensors[out->tensor_count++];
        *entry = (struct lorac_safetensor){.name = trained.names[i],
                                           .data_type = tensor->data_type,
                                           .rank = tensor->n_dims,
                                           .dims = tensor->dims};
        LORAC_TRY(view_bytes(model->arena, tensor, entry, error));
    }
    return LORAC_OK;
}

static enum lorac_status gather_texts(struct lorac_model *model, struct lorac_safetensors *out,
                                      struct lorac_error *error)
{
    const Onnx__ModelProto *proto = model->proto;
    out->texts = lorac_arena_alloc_array(model->arena, proto->n_metadata_props, sizeof *out->texts);
    if (!out->texts)
        return out_of_memory(error);
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = proto->metadata_props[i];
        if (is_ours(entry->key))
            out->texts[out->text_count++] =
                (struct lorac_safetensors_text){entry->key, entry->value ? entry->value : ""};
    }
    return LORAC_OK;
}

// ONNX Runtime gives each tensor to the input of its name.
static enum lorac_status check_inputs(const struct lorac_model *model, const struct lorac_safetensors *content,
                                      struct lorac_error *error)
{
    const Onnx__GraphProto *graph = model->proto->graph;
    for (size_t i = 0; i < content->tensor_count; i++) {
        bool found = false;
        for (size_t k = 0; k < graph->n_input && !found; k++)
            found = strcmp(graph->input[k]->name, content->tensors[i].name) == 0;
        if (!found)
            return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                                   "'%s' is no input of the graph, which an onnx_adapter needs: inject with "
                                   "--adapters-as-inputs",
                                   content->tensors[i].name);
    }
    return LORAC_OK;
}

enum lorac_status lorac_adapter_file_pack(struct lorac_model *model, enum lorac_adapter_format format, uint8_t **bytes,
                                          size_t *byte_count, size_t *tensor_count, struct lorac_error *error)
{
    struct lorac_safetensors content = {0};
    struct lorac_meta meta;
    LORAC_TRY(lorac_meta_read(model, &meta, error));
    if (!meta.injected)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the model has no adapters: there is nothing to extract");
    LORAC_TRY(gather_tensors(model, &meta, &content, error));
    if (format == LORAC_ADAPTER_ONNX) {
        LORAC_TRY(check_inputs(model, &content, error));
        LORAC_TRY(lorac_onnx_adapter_pack(content.tensors, content.tensor_count, bytes, byte_count, error));
    } else {
        LORAC_TRY(gather_texts(model, &content, error));
        LORAC_TRY(lorac_safetensors_pack(&content, bytes, byte_count, error));
    }
    *tensor_count = content.tensor_count;
    return LORAC_OK;
}
