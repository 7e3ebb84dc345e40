// What the tables of hostile models share: the network they change, and how they reach into it.
#ifndef LORAC_TEST_HOSTILE_CHANGE_H
#define LORAC_TEST_HOSTILE_CHANGE_H

#include "hostile_models.h"

#include "proto/model_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// From the value e on, that of the second convolution or of what stands in its place.
#define HEAD "; p=GlobalAveragePool(e); f=Flatten(p); y=Gemm(f, hw[3,4]) transB=1"

// Of a row: how it is refused.
#define REFUSED true
#define SAID false

// Zeroed memory in the model's arena, for [count] and one more. Ends the test where there is none.
static inline void *take(struct lorac_model *model, size_t count, size_t each)
{
    void *memory = lorac_arena_alloc_array(model->arena, count + 1, each);
    if (!memory) {
        fputs("hostile_models: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static inline char *text(struct lorac_model *model, const char *prefix, size_t number)
{
    char *made = take(model, strlen(prefix) + 24, 1);
    sprintf(made, "%s%zu", prefix, number);
    return made;
}

static inline Onnx__NodeProto *node_named(struct lorac_model *model, const char *output)
{
    return lorac_model_producer(model, output);
}

#endif
