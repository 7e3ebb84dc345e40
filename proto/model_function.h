// The local functions of a model (ModelProto.functions), found by what a node calls. Shared by the model_inline files
// alone.
#ifndef LORAC_MODEL_FUNCTION_H
#define LORAC_MODEL_FUNCTION_H

#include "model.h"
#include "name_table.h"

struct lorac_function {
    const Onnx__FunctionProto *proto;
    const char *name;     // "<domain>.<name>", for messages
    size_t default_count; // attributes that have a default (attribute_proto)
    const Onnx__AttributeProto *const *defaults;
    bool called; // a call of it has been written out
};

struct lorac_function_table {
    struct lorac_name_table keys;     // domain, name and overload in one text
    struct lorac_function *functions; // by number of the key; in the model's arena
    char *key;                        // room for the key that is looked for
    size_t key_bytes;
};

// Reads all functions; the table owns memory until _free. Errors: FORMAT (no name, the same function twice), MEMORY,
// UNSUPPORTED (more attributes or imports than a function of a model has).
enum lorac_status lorac_function_table_init(struct lorac_function_table *table, struct lorac_model *model,
                                            struct lorac_error *error);
void lorac_function_table_free(struct lorac_function_table *table);

// *out = the function that [node] calls, NULL where it is an operator. Errors: MEMORY, UNSUPPORTED (a function in the
// default domain: whether it replaces the operator is not said anywhere).
enum lorac_status lorac_function_called(struct lorac_function_table *table, const struct lorac_model *model,
                                        const Onnx__NodeProto *node, struct lorac_function **out,
                                        struct lorac_error *error);

// The version of [domain] that a list imports; false where it imports none.
bool lorac_opset_version(Onnx__OperatorSetIdProto *const *imports, size_t count, const char *domain, int64_t *version);

// Both name the same domain ("" and "ai.onnx" are one).
bool lorac_domain_same(const char *a, const char *b);

// How many attributes a call may have, and how many operator sets a function may import.
enum { LORAC_FUNCTION_MAX_ATTRIBUTES = 100, LORAC_FUNCTION_MAX_IMPORTS = 100 };

#endif
