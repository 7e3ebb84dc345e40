// Shared by lower.c (the walk over the graph) and lowering.c (what kernels ask of it).
#ifndef LORAC_LOWER_INTERNAL_H
#define LORAC_LOWER_INTERNAL_H

#include "lower.h"
#include "proto/name_table.h"

enum lorac_entry_kind {
    LORAC_ENTRY_UNKNOWN,    // comes from a refused node
    LORAC_ENTRY_ACTIVATION, // a value of the program
    LORAC_ENTRY_CONSTANT,   // known before the first image: a tensor, a node over constants, or a Shape
};

// What one value name of the graph stands for.
struct lorac_entry {
    enum lorac_entry_kind kind;
    uint32_t value;                         // ACTIVATION
    struct lorac_view view;                 // ACTIVATION, named: an alias may differ from its value
    Onnx__TensorProto *tensor;              // CONSTANT that is a tensor of the model
    const Onnx__NodeProto *node;            // CONSTANT that a node computes
    const struct lorac_constant *evaluated; // NULL until somebody asks
    bool trained;                           // CONSTANT whose numbers training changes, itself or on the way to it
    uint32_t param;                         // the parameter made of it, LORAC_NO_ID before
};

// An adapter, found once: its Conv, or NULL where the graph does not have it as the metadata say.
struct lorac_placed_adapter {
    const Onnx__NodeProto *conv;
    const struct lorac_adapter *adapter;
};

struct lorac_lowering {
    struct lorac_model *model;
    const struct lorac_meta *meta;
    const struct lorac_lower_options *options;
    const char *output; // the graph output that is computed
    struct lorac_program *program;
    // What only the lowering needs. Not the model's: a model is lowered again and again, and would keep each one's.
    struct lorac_arena *scratch;
    struct lorac_branch_nodes branch_nodes; // of adapters: their convolutions run them
    struct lorac_placed_adapter *adapters;  // [adapter_count], by the address of the Conv; those without one first
    size_t adapter_count, unplaced_count;
    struct lorac_name_table trainables; // the names that training changes; empty without it
    struct lorac_name_table names;
    struct lorac_entry *entries; // by number of the name; [entry_capacity]
    size_t entry_capacity;
    size_t constant_elements; // of all evaluated constants: lorac_constant_total_fits
    int64_t declared_batch; // 0: free
};

// Makes (or overwrites) the entry of [name]. MEMORY.
enum lorac_status lorac_lowering_define(struct lorac_lowering *lowering, const char *name,
                                        const struct lorac_entry *entry, struct lorac_error *error);
// NULL where the name is not defined.
struct lorac_entry *lorac_lowering_entry(struct lorac_lowering *lowering, const char *name);

// Finds the adapters and the trainables of the metadata. MEMORY.
enum lorac_status lorac_lowering_read_meta(struct lorac_lowering *lowering, struct lorac_error *error);

// The constant [name] evaluated. Chains of constant nodes are followed to a fixed depth.
enum lorac_status lorac_lowering_evaluate(struct lorac_lowering *lowering, const char *name,
                                          const struct lorac_constant **out, struct lorac_error *error);

#endif
