// All that the program does with a model, on bytes that anybody may have written: read, inspect, lower, run, inject,
// train, write, read again, merge. Ends the program (abort) where one of our promises breaks; refusing is no failure.
#ifndef LORAC_TEST_FUZZ_DRIVE_H
#define LORAC_TEST_FUZZ_DRIVE_H

#include <stddef.h>
#include <stdint.h>

// How far an input came; later ones include those before.
enum fuzz_stage {
    FUZZ_REFUSED, // not read
    FUZZ_READ,
    FUZZ_INJECTED,
    FUZZ_RUN,     // lowered, within the limits below, and run
    FUZZ_TRAINED, // injected and trained for two steps
    FUZZ_STAGES,
};

// What is run: a session of more bytes, or of more arithmetic, is lowered and planned only.
enum { FUZZ_MAX_SESSION_BYTES = 32 << 20, FUZZ_MAX_WORK = 4 << 20 };

enum fuzz_stage fuzz_drive(const uint8_t *bytes, size_t byte_count);

#endif
