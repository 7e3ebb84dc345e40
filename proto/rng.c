#include "rng.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

static const double TWO_PI = 6.283185307179586476925286766559;

void lorac_rng_init(struct lorac_rng *rng, uint64_t seed, const char *purpose, uint64_t a, uint64_t b)
{
    uint64_t state = XXH3_64bits_withSeed(purpose, strlen(purpose), seed);
    state = XXH3_64bits_withSeed(&a, sizeof a, state);
    rng->state = XXH3_64bits_withSeed(&b, sizeof b, state);
}

uint64_t lorac_rng_hash_name(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

uint64_t lorac_rng_next(struct lorac_rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double lorac_rng_uniform(struct lorac_rng *rng)
{
    return (double)(lorac_rng_next(rng) >> 11) * 0x1p-53;
}

uint64_t lorac_rng_below(struct lorac_rng *rng, uint64_t n)
{
    // Numbers under 2^64 mod n would make the first remainders a little likelier: draw again.
    uint64_t threshold = (0 - n) % n;
    uint64_t bits;
    do
        bits = lorac_rng_next(rng);
    while (bits < threshold);
    return bits % n;
}

double lorac_rng_normal(struct lorac_rng *rng)
{
    double u = 1.0 - lorac_rng_uniform(rng); // (0, 1]: the logarithm is finite
    double v = lorac_rng_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(TWO_PI * v);
}
