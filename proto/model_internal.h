// What the model_*.c files share with one another, and with nobody else.
#ifndef LORAC_MODEL_INTERNAL_H
#define LORAC_MODEL_INTERNAL_H

#include "model.h"
#include "name_table.h"

// What a name of the model names. Names that only occur in subgraphs, or that are no values (nodes), are in the
// table too, so that a fresh name can be told.
struct lorac_name_entry {
    Onnx__NodeProto *producer;
    Onnx__TensorProto *initializer;
    bool output;                 // of the main graph
    size_t first_use, use_count; // in lorac_name_index.uses
};

// The lists of pointers that edits lengthen. protobuf-c knows no capacity; this is where we remember it.
enum lorac_list { LORAC_LIST_NODE, LORAC_LIST_INITIALIZER, LORAC_LIST_INPUT, LORAC_LIST_METADATA, LORAC_LIST_COUNT };

// Made at load; look-ups fill it again after an edit: the names only where some may be gone, the uses where any
// changed. (Were every edit to make all of it stale, a pass over thousands of nodes would take quadratic time.) Its
// memory is reserved by the edits, which can fail, so that look-ups cannot.
struct lorac_name_index {
    bool names_current, uses_current; // no uses without names
    struct lorac_name_table names;
    struct lorac_name_entry *entries; // [entry_capacity], by number of the name
    size_t entry_capacity;
    struct lorac_use *uses; // [use_capacity], grouped by name, in graph order
    size_t use_capacity;
    size_t name_bound, use_bound; // no more than so many names and uses are in the model
    const char *suffixed;         // the last fresh name that needed a suffix: all below [next_suffix] behind its first
    size_t suffixed_length;       // [suffixed_length] bytes are taken; NULL: none is known
    size_t next_suffix;
    size_t position_hint;         // where the last node was that an edit looked for: the next one is often near
    struct {
        const void *array; // the room below belongs to this block; any other one has none to spare
        size_t capacity;
    } rooms[LORAC_LIST_COUNT];
};

// model->index for a model just unpacked. Errors: MEMORY.
enum lorac_status lorac_index_create(struct lorac_model *model, struct lorac_error *error);
void lorac_index_free(struct lorac_name_index *index);

// Says, before an edit, how many names and uses it may add. Errors: MEMORY.
enum lorac_status lorac_index_expect(struct lorac_model *model, size_t names, size_t uses, struct lorac_error *error);
void lorac_index_mark_stale(struct lorac_model *model);

// The same for edits after which only the uses are stale: a new node, a new initialiser, an input of a node that
// was [before] ("": none) and becomes [after].
void lorac_index_add_node(struct lorac_model *model, Onnx__NodeProto *node);
void lorac_index_add_initializer(struct lorac_model *model, Onnx__TensorProto *tensor);
void lorac_index_change_input(struct lorac_model *model, const char *before, const char *after);

// True where anything in the model has the name.
bool lorac_index_knows(struct lorac_model *model, const char *name);

// The message that [byte_count] bytes (borrowed) hold, in the arena; NULL where it is malformed (*out_of_memory false)
// or memory ran out (true).
ProtobufCMessage *lorac_arena_unpack(struct lorac_arena *arena, const ProtobufCMessageDescriptor *type,
                                     const uint8_t *bytes, size_t byte_count, bool *out_of_memory);

// "[64, 3, 7, 7]", cut where it is long.
struct lorac_dims_text {
    char text[96];
};
struct lorac_dims_text lorac_dims_format(const int64_t *dims, size_t count);

#endif
