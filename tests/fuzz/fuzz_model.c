// libFuzzer's target: any bytes through everything (drive.h). Every second mutation goes through the messages.
#include "drive.h"
#include "mutate.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_drive(data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "fuzz", size, max_size);
    if (lorac_rng_below(&rng, 4) > 0) {
        size_t changed = fuzz_mutate_model(&rng, data, size, max_size);
        if (changed > 0)
            return changed;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
