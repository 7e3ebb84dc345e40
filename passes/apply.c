// apply
//
// before:  the base model, plain or injected
// after:   injected as the record of an adapter file says, each trained tensor with the file's numbers
//
// conditions: the base hash is the file's; the record that the model has, or that injecting gives it, is the file's;
// the file holds exactly the tensors that training changes there, each of the same type and dims.
#include "apply.h"
#include "inject.h"

#include "proto/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "apply: out of memory");
}

// ---- the graph

static enum lorac_status check_hash(const struct lorac_apply_options *options, const char *hash,
                                    struct lorac_error *error)
{
    const char *wanted = options->file->meta.base_hash;
    if (strcmp(hash, wanted) == 0)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "'%s' belongs to the base model with hash %s, and this one has %s: give the model that inject "
                           "wrote; where inject changed the base (--classes, --class-names, --small-image-stem, "
                           "--input-size) the plain model is another one",
                           options->name, wanted, hash);
}

// A record of a few bytes may ask for adapters of any size: they must be in the file before any is made.
static enum lorac_status check_size(const struct lorac_apply_options *options, const struct lorac_inject_plan *plan,
                                    struct lorac_error *error)
{
    const struct lorac_safetensors *content = &options->file->content;
    size_t total = 0; // of elements in memory
    for (size_t i = 0; i < content->tensor_count; i++) {
        size_t count = 1;
        for (size_t k = 0; k < content->tensors[i].rank; k++)
            count *= (size_t)content->tensors[i].dims[k];
        total += count;
    }
    if ((uint64_t)plan->trainable_parameters <= total)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           "'%s': what its record trains has %" PRId64 " numbers, and its tensors have %zu",
                           options->name, plan->trainable_parameters, total);
}

// What inject would call a bad argument is in the file.
static enum lorac_status blame_file(const struct lorac_apply_options *options, struct lorac_error *error)
{
    char message[LORAC_ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", error ? error->message : "");
    return lorac_error_set(error, LORAC_ERROR_MISMATCH, "the record of '%s': %s", options->name, message);
}

// Injects a plain model as the record says.
static enum lorac_status inject_again(struct lorac_model *model, const struct lorac_apply_options *given,
                                      struct lorac_error *error)
{
    const struct lorac_meta *record = &given->file->meta;
    struct lorac_inject_options options = lorac_inject_options_default();
    struct lorac_inject_plan plan;
    struct lorac_pass_report report;
    options.record = record;
    options.bn = record->bn;
    options.seed = record->seed;
    options.as_inputs = record->graph_input_count > 0;
    options.tool = record->tool;
    options.input = record->input;
    options.output = record->output;
    if (record->output && !lorac_model_is_graph_output(model, record->output))
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "metadata 'lorac.output' is '%s', which is no output of the model", record->output);
    enum lorac_status status = lorac_inject_plan(model, &options, &plan, error);
    if (status == LORAC_OK)
        status = check_size(given, &plan, error);
    if (status == LORAC_OK)
        status = lorac_pass_inject.run(model, &options, &report, error);
    return status == LORAC_ERROR_ARGUMENT ? blame_file(given, error) : status;
}

// The graph of the file's record, in a base model that may have it.
static enum lorac_status make_graph(struct lorac_model *model, const struct lorac_apply_options *options,
                                    struct lorac_meta *meta, struct lorac_error *error)
{
    const struct lorac_meta *record = &options->file->meta;
    char hash[33];
    LORAC_TRY(lorac_meta_read(model, meta, error));
    bool plain = !meta->injected;
    if (plain)
        LORAC_TRY(lorac_base_hash(model, NULL, hash, error));
    LORAC_TRY(check_hash(options, plain ? hash : meta->base_hash, error));
    if (plain) {
        LORAC_TRY(inject_again(model, options, error));
        LORAC_TRY(lorac_meta_read(model, meta, error));
    }
    const char *difference = lorac_meta_difference(meta, record);
    if (!difference)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                           plain ? "'%s': injecting the plain model gives another '%s' than the file has: apply it to "
                                   "the injected model"
                                 : "'%s': the model was injected in another way: its '%s' is not the file's; apply it "
                                   "to the plain model",
                           options->name, difference);
}

// ---- the numbers

static enum lorac_status check_tensor(const struct lorac_apply_options *options, const char *name,
                                      const Onnx__TensorProto *tensor, const struct lorac_safetensor *from,
                                      struct lorac_error *error)
{
    if (!from)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH, "'%s' has no tensor '%s', which training changes",
                               options->name, name);
    bool same = from->data_type == tensor->data_type && from->rank == tensor->n_dims &&
                (from->rank == 0 || memcmp(from->dims, tensor->dims, from->rank * sizeof *from->dims) == 0);
    if (!same)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s': tensor '%s' has another type or shape than in the model", options->name, name);
    return LORAC_OK;
}

static enum lorac_status set_tensor(struct lorac_model *model, Onnx__TensorProto *tensor,
                                    const struct lorac_safetensor *from, struct lorac_error *error)
{
    size_t count;
    LORAC_TRY(lorac_tensor_count(tensor, &count, error));
    double *values = malloc(count * sizeof *values + 1); // the elements are in memory, at 2 bytes or more each
    if (!values)
        return out_of_memory(error);
    enum lorac_status status = lorac_safetensor_to_double(from, values, count, error);
    if (status == LORAC_OK)
        status = lorac_tensor_set_double(model, tensor, values, count, error);
    free(values);
    return status;
}

static enum lorac_status set_tensors(struct lorac_model *model, const struct lorac_apply_options *options,
                                     const struct lorac_meta *meta, size_t *changed, struct lorac_error *error)
{
    struct lorac_trained_tensors trained;
    LORAC_TRY(lorac_trained_tensors_list(model, meta, &trained, error));
    for (size_t i = 0; i < trained.count; i++)
        LORAC_TRY(check_tensor(options, trained.names[i], trained.tensors[i],
                               lorac_adapter_file_find(options->file, trained.names[i]), error));
    if (options->file->content.tensor_count != trained.count)
        return lorac_error_set(error, LORAC_ERROR_MISMATCH,
                               "'%s' has %zu tensors, of which the model has %zu as what training changes",
                               options->name, options->file->content.tensor_count, trained.count);
    for (size_t i = 0; i < trained.count; i++)
        LORAC_TRY(set_tensor(model, trained.tensors[i], lorac_adapter_file_find(options->file, trained.names[i]),
                             error));
    *changed = trained.count;
    return LORAC_OK;
}

// ---- the pass

static enum lorac_status run(struct lorac_model *model, const void *options_, struct lorac_pass_report *report,
                             struct lorac_error *error)
{
    const struct lorac_apply_options *options = options_;
    struct lorac_pass_report done = {0};
    struct lorac_meta meta;
    if (options && options->file) {
        LORAC_TRY(make_graph(model, options, &meta, error));
        LORAC_TRY(set_tensors(model, options, &meta, &done.changed, error));
        LORAC_TRY(lorac_adapter_file_copy_texts(options->file, model, error));
        LORAC_TRY(lorac_meta_read(model, &meta, error)); // the texts say nothing that the model is not
    }
    *report = done;
    return LORAC_OK;
}

static bool applies(struct lorac_model *model, const void *options_)
{
    const struct lorac_apply_options *options = options_;
    struct lorac_meta meta;
    char hash[33];
    if (!options || !options->file || lorac_meta_read(model, &meta, NULL) != LORAC_OK)
        return false;
    if (!meta.injected && lorac_base_hash(model, NULL, hash, NULL) != LORAC_OK)
        return false;
    return strcmp(meta.injected ? meta.base_hash : hash, options->file->meta.base_hash) == 0;
}

const struct lorac_pass lorac_pass_apply = {
    .name = "apply",
    .summary = "give a base model the adapters of a file",
    .keeps_outputs = false,
    .applies = applies,
    .run = run,
};
