// What training changed, as a file of its own: a safetensors file of the trained tensors under their names in the
// injected model, with that model's lorac.* entries as texts. docs/format.md section 8 is the contract; this is its only
// implementation.
#ifndef LORAC_ADAPTER_FILE_H
#define LORAC_ADAPTER_FILE_H

#include "adapter_meta.h"
#include "mapping.h"
#include "name_table.h"
#include "safetensors.h"

// ---- what training changes in an injected model

struct lorac_trained_tensors {
    size_t count, statistics; // the last [statistics] are running means and variances, with lorac.bn = train
    Onnx__TensorProto **tensors;
    const char **names; // value names: of an initialiser, or the output of a Constant
};

// Those that the record names, then the statistics, each once. In the model's arena; the tensors are the model's.
// Errors: MEMORY.
enum lorac_status lorac_trained_tensors_list(struct lorac_model *model, const struct lorac_meta *meta,
                                             struct lorac_trained_tensors *out, struct lorac_error *error);

// ---- the file

struct lorac_adapter_file {
    struct lorac_arena *arena;
    struct lorac_mapping mapping; // what the tensors are views of
    struct lorac_safetensors content;
    struct lorac_name_table names; // of the tensors
    struct lorac_meta meta;        // what the texts say
};

// Reads and checks the file by itself: its form, its record, that every trained tensor is there in a floating type with
// finite numbers, and that others (statistics) are there only with lorac.bn = train. Nothing is compared with a model.
// The message starts with the path. Errors: IO, FORMAT, UNSUPPORTED, MISMATCH, NOT_FINITE, MEMORY.
enum lorac_status lorac_adapter_file_open(const char *path, struct lorac_adapter_file **out, struct lorac_error *error);

// Undoes open; accepts NULL.
void lorac_adapter_file_close(struct lorac_adapter_file *file);

// True where statistics are among the tensors.
bool lorac_adapter_file_has_statistics(const struct lorac_adapter_file *file);

// The tensor [name], or NULL; and its numbers, [count] of them: as many as its dims say.
const struct lorac_safetensor *lorac_adapter_file_find(const struct lorac_adapter_file *file, const char *name);
enum lorac_status lorac_safetensor_to_double(const struct lorac_safetensor *tensor, double *out, size_t count,
                                             struct lorac_error *error);

// The bytes of the file for a trained model, malloc'ed. *tensor_count is how many tensors are in it. Errors: MISMATCH
// (not injected; for ONNX Runtime: a tensor is no input of the graph), those of lorac_safetensors_pack and
// lorac_onnx_adapter_pack.
enum lorac_adapter_format {
    LORAC_ADAPTER_SAFETENSORS,
    LORAC_ADAPTER_ONNX, // ONNX Runtime's: the tensors without the record (onnx_adapter.h)
};
enum lorac_status lorac_adapter_file_pack(struct lorac_model *model, enum lorac_adapter_format format, uint8_t **bytes,
                                          size_t *byte_count, size_t *tensor_count, struct lorac_error *error);

// Gives [model] every lorac.* text of the file. Errors: MEMORY.
enum lorac_status lorac_adapter_file_copy_texts(const struct lorac_adapter_file *file, struct lorac_model *model,
                                                struct lorac_error *error);

#endif
