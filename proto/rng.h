// Random numbers as a function of (seed, purpose, a, b), never of the order in which they are drawn
// elsewhere: leaving out one layer, prefetching images or resuming a run changes no other number.
//
// The generator is SplitMix64 (Steele, Lea, Flood 2014) started from an XXH3 hash of the four.
// The same arguments give the same integers on every machine; lorac_rng_normal uses the C library's
// logarithm and cosine, so its last bit may differ between C libraries.
#ifndef LORAC_RNG_H
#define LORAC_RNG_H

#include <stdint.h>

struct lorac_rng {
    uint64_t state;
};

// Starts a stream. [purpose] is a short constant word ("shuffle", "lora_A"); [a] and [b] tell streams of one
// purpose apart (epoch and image index; a hashed name and 0).
void lorac_rng_init(struct lorac_rng *rng, uint64_t seed, const char *purpose, uint64_t a, uint64_t b);

// A 64-bit hash of a name, to be used as [a] above.
uint64_t lorac_rng_hash_name(const char *name);

// 64 random bits.
uint64_t lorac_rng_next(struct lorac_rng *rng);

// Uniform in [0, 1), 53 bits.
double lorac_rng_uniform(struct lorac_rng *rng);

// Uniform in 0 .. n-1 without bias; n > 0.
uint64_t lorac_rng_below(struct lorac_rng *rng, uint64_t n);

// Standard normal (Box-Muller; two uniforms a number, the second half is not kept, so that the stream has no
// hidden state).
double lorac_rng_normal(struct lorac_rng *rng);

#endif
