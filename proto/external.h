// Tensors whose bytes are in other files: `data_location` EXTERNAL, with `external_data` entries
//     location  path of the data file, relative to the model's folder
//     offset    first byte (default 0)
//     length    bytes (default: what dims and type need; for a type of unknown size the rest of the file)
//     checksum  not looked at; taken out where lorac_tensor_set_* changes the tensor
// Other entries are kept.
//
// In memory such a tensor has raw_data, a view of the mapped data file, beside its EXTERNAL mark: whoever reads tensors
// need not know. The mark says where AUTO writes it (model_save.c), which writes it without raw_data.
#ifndef LORAC_EXTERNAL_H
#define LORAC_EXTERNAL_H

#include "mapping.h"
#include "model.h"
#include "name_table.h"

// The files that a model's bytes lie in; owned by the model.
struct lorac_storage {
    struct lorac_mapping model_file; // zero where the model came from memory
    struct lorac_mapping *files;     // [locations.count], by number of the location
    size_t capacity;
    struct lorac_name_table locations;
};

struct lorac_storage *lorac_storage_create(void); // NULL where memory ran out
void lorac_storage_free(struct lorac_storage *storage);

// Is [info] that of one of the data files?
bool lorac_storage_has(const struct lorac_storage *storage, const struct stat *info);

// Are [count] bytes from [bytes] on in one of the files? Then they cannot be written.
bool lorac_storage_holds(const struct lorac_storage *storage, const void *bytes, size_t count);

// Lets the pages of these bytes go, where they are in one of the files (mapping.h).
void lorac_storage_release(const struct lorac_storage *storage, const void *bytes, size_t count);

// The bytes of all the model's files; 0 where it came from memory.
uint64_t lorac_storage_bytes(const struct lorac_storage *storage);

// Gives every external tensor of a model just read its bytes. [path] is the model's file, NULL where it has none: then
// external data are UNSUPPORTED. A location must stay below the model's folder: it is refused where it is absolute,
// contains "..", or leads through a symbolic link. Tensors may overlap in a data file (tied weights), but all together
// take four times the data files at most. Errors: FORMAT, UNSUPPORTED, IO, MEMORY, naming tensor and data file.
enum lorac_status lorac_external_load(struct lorac_model *model, const char *path, struct lorac_error *error);

// Is the tensor in another file, as the model says?
bool lorac_tensor_is_external(const Onnx__TensorProto *tensor);

// The value of one of its entries, or NULL.
const char *lorac_external_entry(const Onnx__TensorProto *tensor, const char *key);

// Calls [visit] for every TensorProto in [message], wherever it is (subgraphs, functions, unused branches), in the
// order of the file. Stops where it gives another status than OK, and gives that.
typedef enum lorac_status lorac_tensor_visit(void *context, Onnx__TensorProto *tensor, struct lorac_error *error);
enum lorac_status lorac_tensor_walk(ProtobufCMessage *message, lorac_tensor_visit *visit, void *context,
                                    struct lorac_error *error);

#endif
