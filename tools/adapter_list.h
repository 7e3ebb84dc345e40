// The files of --adapter, each with its weight, and a base model that gets them.
#ifndef LORAC_ADAPTER_LIST_H
#define LORAC_ADAPTER_LIST_H

#include "options.h"
#include "proto/adapter_file.h"

struct lorac_adapter_item {
    char *path; // owned
    double weight;
    struct lorac_adapter_file *file; // owned
};
struct lorac_adapter_list {
    size_t count;
    struct lorac_adapter_item items[LORAC_TEXTS_MAX];
};

// Takes "FILE" or "FILE=WEIGHT" (what follows the last '='; a fraction is allowed) apart. Zero-initialise *out.
// Errors: ARGUMENT, MEMORY.
enum lorac_status lorac_adapter_list_read(const struct lorac_texts *texts, struct lorac_adapter_list *out,
                                          struct lorac_error *error);

// Reads the files. Errors: those of lorac_adapter_file_open.
enum lorac_status lorac_adapter_list_open(struct lorac_adapter_list *list, struct lorac_error *error);

void lorac_adapter_list_clear(struct lorac_adapter_list *list);

// The base model of the file [base], plain or injected, with the adapters: as apply where it is one of weight 1, else
// combined (passes/combine.h). What adapters an injected base has must be as inject made them. Errors: those of
// lorac_model_load, apply and combine.
enum lorac_status lorac_adapter_list_apply(const struct lorac_adapter_list *list, const char *base,
                                           struct lorac_model **out, struct lorac_error *error);

#endif
