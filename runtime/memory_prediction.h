// The peak of a process's resident memory, predicted from a program alone: the budget, inspect and bench use the same
// sum.
//
//     process   the program itself, its libraries, the heap's first pages, stacks
//     model     the structure: of the model's files, mapped, what is no tensor (a weight's pages are let go once it is
//               packed), and what is made of it for each step
//     session   kept parameters and gradients, packed weights
//     + the larger of
//         loading    the largest weight, twice: its pages of the file, and as numbers while it is packed; what packing
//                    writes to of the workspace
//         training   the workspace and the planned block, the optimiser's state and the last good values, touched when
//                    steps are run; the model's own copies of what is trained; the larger of a weight's pages of the
//                    file, where it is packed at each run, and at the end the piece of the file that is being saved;
//                    what is mapped beside such weights
//     other     what the caller says that it holds itself: images
//
// Steps allocate nothing.
#ifndef LORAC_MEMORY_PREDICTION_H
#define LORAC_MEMORY_PREDICTION_H

#include "session.h"

struct lorac_memory_setting {
    size_t threads;                                  // at least 1
    const struct lorac_optimizer_options *optimizer; // NULL: no training
    size_t other_bytes;
};

struct lorac_memory_prediction {
    size_t process_bytes, model_bytes, loading_bytes;
    struct lorac_session_memory session;
    size_t optimizer_bytes, other_bytes;
    size_t peak_bytes; // as above; SIZE_MAX where it overflows
};

// Makes the program's plan where it has none, and sets its threads. Errors: MEMORY.
enum lorac_status lorac_memory_predict(struct lorac_program *program, const struct lorac_memory_setting *setting,
                                       struct lorac_memory_prediction *out, struct lorac_error *error);

#endif
