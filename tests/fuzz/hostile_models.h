// Models that nobody made by accident, as bytes: a text of ref/graph.h, and what is then done to it.
#ifndef LORAC_TEST_HOSTILE_MODELS_H
#define LORAC_TEST_HOSTILE_MODELS_H

#include "proto/model.h"

struct hostile_model {
    const char *name;
    const char *text;                          // NULL: a plain network of two convolutions and a Gemm
    void (*change)(struct lorac_model *model); // NULL: nothing; what it adds lives in the model's arena
    const char *words;                         // in what is said about it; NULL: it may be taken
    bool refused;                              // by inject, with those words; else inspect alone says them
};

// One thing in them is wrong: an edge, a tensor, a number.
extern const struct hostile_model HOSTILE_MODELS[];
extern const size_t HOSTILE_MODEL_COUNT;

// They have a great many of something, or make the reader do; and records that no inject writes.
extern const struct hostile_model HOSTILE_CROWDS[];
extern const size_t HOSTILE_CROWD_COUNT;

// The bytes of it; malloc'ed. Ends the test where memory runs out.
uint8_t *hostile_bytes(const struct hostile_model *row, size_t *byte_count);

#endif
