#include "check.h"
#include "proto/rng.h"

// The published first numbers of SplitMix64 from state 1234567.
static void test_splitmix64(void)
{
    static const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                        4593380528125082431u, 16408922859458223821u};
    struct lorac_rng rng = {1234567};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        uint64_t got = lorac_rng_next(&rng);
        CHECKF(got == expected[i], "number %zu is %llu", i, (unsigned long long)got);
    }
}

// Files and runs are reproduced by seed: the streams must stay what they were when this was written.
static void test_streams(void)
{
    static const struct {
        uint64_t seed;
        const char *purpose;
        uint64_t a, b, first;
    } rows[] = {
        {0, "lora_A", 0, 0, 0xbceb8fc5cad8c9c7u},  {1, "lora_A", 0, 0, 0x8a078e16e3e25e7au},
        {0, "shuffle", 0, 0, 0x73f4061d1c21335eu}, {0, "shuffle", 1, 0, 0x8a4e65f700ef4331u},
        {0, "shuffle", 0, 1, 0x030847b5364c95a7u},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lorac_rng rng;
        lorac_rng_init(&rng, rows[i].seed, rows[i].purpose, rows[i].a, rows[i].b);
        uint64_t got = lorac_rng_next(&rng);
        CHECKF(got == rows[i].first, "row %zu: got 0x%016llx", i, (unsigned long long)got);
    }
    uint64_t hash = lorac_rng_hash_name("/layer1/conv1/Conv");
    CHECKF(hash == 0x016542cca7de25abu, "hash 0x%016llx", (unsigned long long)hash);
}

static void test_uniform(void)
{
    enum { COUNT = 100000, BINS = 16 };
    struct lorac_rng rng;
    size_t bins[BINS] = {0};
    double sum = 0;
    lorac_rng_init(&rng, 1, "test", 0, 0);
    for (int i = 0; i < COUNT; i++) {
        double u = lorac_rng_uniform(&rng);
        if (!CHECKF(u >= 0 && u < 1, "%g is out of range", u))
            return;
        bins[(int)(u * BINS)]++;
        sum += u;
    }
    CHECKF(fabs(sum / COUNT - 0.5) < 5 * sqrt(1.0 / 12 / COUNT), "mean %g", sum / COUNT); // five standard errors
    for (int i = 0; i < BINS; i++)
        CHECKF(fabs((double)bins[i] - COUNT / BINS) < 5 * sqrt(COUNT / BINS), "bin %d has %zu", i, bins[i]);
}

static void test_below(void)
{
    struct lorac_rng rng;
    size_t counts[3] = {0};
    lorac_rng_init(&rng, 2, "test", 0, 0);
    for (int i = 0; i < 30000; i++) {
        uint64_t n = lorac_rng_below(&rng, 3);
        if (!CHECK(n < 3))
            return;
        counts[n]++;
    }
    for (int i = 0; i < 3; i++)
        CHECKF(fabs((double)counts[i] - 10000) < 5 * sqrt(10000 * 2.0 / 3), "%d came %zu times", i, counts[i]);
    for (int i = 0; i < 100; i++)
        CHECK(lorac_rng_below(&rng, 1) == 0);
    for (int i = 0; i < 100; i++)
        CHECK(lorac_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

static void test_normal(void)
{
    enum { COUNT = 100000 };
    struct lorac_rng rng;
    double sum = 0, squares = 0, fourth = 0;
    lorac_rng_init(&rng, 3, "test", 0, 0);
    for (int i = 0; i < COUNT; i++) {
        double x = lorac_rng_normal(&rng);
        if (!CHECK(isfinite(x)))
            return;
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    CHECKF(fabs(sum / COUNT) < 5 / sqrt(COUNT), "mean %g", sum / COUNT);
    CHECKF(fabs(squares / COUNT - 1) < 5 * sqrt(2.0 / COUNT), "variance %g", squares / COUNT);
    CHECKF(fabs(fourth / COUNT - 3) < 5 * sqrt(96.0 / COUNT), "fourth moment %g", fourth / COUNT);
}

int main(void)
{
    test_splitmix64();
    test_streams();
    test_uniform();
    test_below();
    test_normal();
    return check_report();
}
