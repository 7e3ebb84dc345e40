// An ONNX model in memory.
//
// The structs that protobuf-c makes from the official schema *are* the model: what nobody touches is written
// back as it came, unknown fields included. This header adds what they lack: an index from a value's name to
// its producer, consumers and constant tensor; loading and safe saving; attribute reading. Edits are in
// model_edit.h, the bytes of tensors in tensor.h.
//
// One arena owns the whole structure: nothing in it is freed one by one, and every pointer that this header
// returns lives until lorac_model_free (or, where it says so, until the next edit).
// A model is not thread-safe; different models are independent.
#ifndef LORAC_MODEL_H
#define LORAC_MODEL_H

#include "arena.h"
#include "lorac_status.h"

#include "onnx.pb-c.h" // generated at build time from onnx.proto

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lorac_name_index; // private to model_*.c
struct lorac_storage;    // external.h

// How much of its constants has been computed: constant.h.
struct lorac_constant_work {
    bool begun, spent;
    size_t stored; // elements of the model's own tensors
    size_t done;   // elements gone through
};

struct lorac_model {
    Onnx__ModelProto *proto; // proto->graph is never NULL in a loaded model
    struct lorac_arena *arena;
    struct lorac_name_index *index; // filled again at the first look-up after an edit
    struct lorac_storage *storage;  // the mapped files, which raw_data points into
    struct lorac_constant_work work;
    bool rewrites_unchanged;        // writing the model as it was read gives the same bytes as the file had
};

// ---- life cycle

// Reads the model in the file [path] / in [bytes] (copied). The file, and the data files that it names (external.h),
// are mapped and not copied: the raw_data of tensors are views of them, whose pages come when they are read. A tensor
// that is written gets memory of its own. The files must not be cut short while the model lives.
// Errors: IO (missing, unreadable, a folder), FORMAT (empty, truncated, not ONNX, no graph, 2 GiB and more, made to
// exhaust memory), MEMORY, and those of lorac_external_load and lorac_model_check; the message of _load starts with the
// path. External data are UNSUPPORTED in _parse, which knows no folder.
enum lorac_status lorac_model_load(const char *path, struct lorac_model **out, struct lorac_error *error);
enum lorac_status lorac_model_parse(const void *bytes, size_t byte_count, struct lorac_model **out,
                                    struct lorac_error *error);

// Frees the model and all that hangs from it; accepts NULL.
void lorac_model_free(struct lorac_model *model);

// Lets all pages of the mapped files go that were read so far; they come again when they are read.
void lorac_model_release(const struct lorac_model *model);

// ---- writing

// The serialised model in a malloc'ed block that the caller frees, all tensors inline.
// Errors: MEMORY, UNSUPPORTED (2 GiB and more).
enum lorac_status lorac_model_pack(const struct lorac_model *model, uint8_t **bytes, size_t *byte_count,
                                   struct lorac_error *error);

// Where the elements of tensors are written.
enum lorac_data_place {
    LORAC_DATA_AUTO,     // where they were: external ones into a data file; new tensors inline. Where that would make
                         // the model 2 GiB, everything of LORAC_EXTERNAL_BYTES and more goes into the data file.
    LORAC_DATA_INLINE,   // all in the model; UNSUPPORTED at 2 GiB
    LORAC_DATA_EXTERNAL, // all that have LORAC_EXTERNAL_BYTES and more, but strings, in the data file
};
enum { LORAC_EXTERNAL_BYTES = 1024 };

// Writes [path] so that it holds either its old content or the whole new one, whatever happens: a temporary
// file beside it, synced, then renamed (an existing file's mode is kept; through a link, the file it names is
// replaced, or made where it is not there yet). Errors: IO (also for a folder, a device, a file without write
// permission, links in a loop, a link to a link to nothing), MEMORY, UNSUPPORTED (2 GiB).
//
// External data go into one new file beside it, OUT.onnx.data or, where that exists, OUT.onnx.data.1, .2, ...: no file
// that exists is ever written into. It is synced before the model is renamed, so that at every instant [path] and the
// data file that it names belong together. No data file is ever removed, since a copy of the old model may use it; the one
// that nobody here uses any more is named in *saved. Tensors begin at multiples of 64 bytes, those of 1 MiB and more of
// 4096.
// More errors: IO (the data file cannot be written; [path] is a data file of this model; [path] is a link into another
// folder, where the data file would be out of reach).
// lorac_model_save is LORAC_DATA_AUTO, and does not tell. [saved] may be NULL; it is written on success alone.
struct lorac_saved {
    // The data file beside [path], by its name, that the old model at [path] had from here and that neither the new one
    // nor the model being written uses: whoever knows that no copy of the old model is left can delete it. "": none.
    char unused[256];
};
enum lorac_status lorac_model_save(const struct lorac_model *model, const char *path, struct lorac_error *error);
enum lorac_status lorac_model_save_as(const struct lorac_model *model, const char *path, enum lorac_data_place place,
                                      struct lorac_saved *saved, struct lorac_error *error);

// The errors of lorac_model_save_as that the names alone tell, before any work. ([place] as it will be.)
enum lorac_status lorac_model_save_check(const struct lorac_model *model, const char *path, enum lorac_data_place place,
                                         struct lorac_error *error);

// The same way of writing for any bytes (.npy outputs, logs that must be whole).
enum lorac_status lorac_file_write(const char *path, const void *bytes, size_t byte_count, struct lorac_error *error);

// True where both paths name the same existing file (device and inode), also through links.
bool lorac_file_same(const char *a, const char *b);

// ---- invariants (model_check.c)

// Checks what everything else relies on: value names are produced once and before use (subgraphs may use outer
// names), initialiser names are unique, every initialiser's stored bytes fit its dims and type, the IR version is 3 to
// 14 and the default opset 7 to 28, no node has two attributes of one name, or a well-known one of a wrong type; that
// node op_types and the names of attributes, initialisers, graph inputs and outputs are there. Bodies of local functions
// and training graphs are not looked at.
// Errors: FORMAT, UNSUPPORTED, MEMORY, naming the node or tensor.
// lorac_model_load and _parse call it.
enum lorac_status lorac_model_check(const struct lorac_model *model, struct lorac_error *error);

// ---- looking, by value name. "" and NULL find nothing.

struct lorac_use {
    Onnx__NodeProto *node;
    size_t input; // node->input[input] is the value
};

// The node of the main graph that outputs [value], or NULL.
Onnx__NodeProto *lorac_model_producer(struct lorac_model *model, const char *value);

// The initialiser named [value], or NULL.
Onnx__TensorProto *lorac_model_initializer(struct lorac_model *model, const char *value);

// The tensor that [value] always is: an initialiser, or the `value` attribute of the Constant node that
// produces it. NULL for anything else.
Onnx__TensorProto *lorac_model_constant(struct lorac_model *model, const char *value);

// The uses of [value] as an input of main-graph nodes, in graph order; *uses is valid until the next edit.
// A node that uses it twice is there twice. Returns the count.
// (A use inside a subgraph counts for the node that owns the subgraph, with input == SIZE_MAX, once for each use
// there.)
size_t lorac_model_uses(struct lorac_model *model, const char *value, const struct lorac_use **uses);

bool lorac_model_is_graph_output(struct lorac_model *model, const char *value);

// The graph inputs that are not initialisers: what a caller must feed. At index [i], or NULL past the last.
Onnx__ValueInfoProto *lorac_model_input(struct lorac_model *model, size_t i);

// The name by which we speak of a node: its own, or its first output's where it has none.
const char *lorac_node_name(const Onnx__NodeProto *node);

// True where the node is [op_type] in the default ONNX domain ("" or "ai.onnx").
bool lorac_node_is(const Onnx__NodeProto *node, const char *op_type);

// The same for any of a list of op types, which NULL ends.
bool lorac_node_is_one_of(const Onnx__NodeProto *node, const char *const *op_types);

// node->input[i], or "" where it is absent.
const char *lorac_node_input(const Onnx__NodeProto *node, size_t i);

// The version of the default operator set that the model imports (0 where it imports none).
int64_t lorac_model_opset(const struct lorac_model *model);

// ---- attributes; an absent one gives the default. A wrong type counts as absent.

const Onnx__AttributeProto *lorac_node_attribute(const Onnx__NodeProto *node, const char *name);
int64_t lorac_node_int(const Onnx__NodeProto *node, const char *name, int64_t fallback);
float lorac_node_float(const Onnx__NodeProto *node, const char *name, float fallback);
// The string lives in the model's arena. [fallback] may be NULL.
const char *lorac_node_string(struct lorac_model *model, const Onnx__NodeProto *node, const char *name,
                              const char *fallback);
// The integers of an INTS attribute; *values stays inside the model. Returns the count (0 where absent).
size_t lorac_node_ints(const Onnx__NodeProto *node, const char *name, const int64_t **values);

// ---- metadata_props

// The value of [key], or NULL.
const char *lorac_model_metadata(const struct lorac_model *model, const char *key);

#endif
