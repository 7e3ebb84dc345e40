// Resizing against the same rule in double, on odd sizes and boxes; what must be exact is exact.
#include "check.h"

#include "proto/rng.h"
#include "runtime/data/resample.h"

#include <stdint.h>

// The result is rounded once visibly (0.5); weights of 14 bits and rows of 14 bits add a little.
static const double TOLERANCE = 0.53;

static double weight_at(size_t x, double centre, double stretch)
{
    double distance = fabs((double)x + 0.5 - centre) / stretch;
    return distance < 1.0 ? 1.0 - distance : 0.0;
}

// The rule of resample.h, written down directly: all source pixels, both axes at once.
static double expected_at(const uint8_t *src, size_t height, size_t width, size_t channels, const struct lorac_box *box,
                          size_t dst_height, size_t dst_width, const size_t place[3])
{
    const double down = box->height / (double)dst_height, across = box->width / (double)dst_width;
    const double cy = box->top + ((double)place[0] + 0.5) * down, cx = box->left + ((double)place[1] + 0.5) * across;
    double sum = 0.0, weights = 0.0;
    for (size_t y = 0; y < height; y++) {
        double wy = weight_at(y, cy, down > 1.0 ? down : 1.0);
        for (size_t x = 0; wy > 0.0 && x < width; x++) {
            double weight = wy * weight_at(x, cx, across > 1.0 ? across : 1.0);
            weights += weight;
            sum += weight * src[(y * width + x) * channels + place[2]];
        }
    }
    return sum / weights;
}

static const struct {
    size_t height, width, channels, dst_height, dst_width;
    struct lorac_box box; // height 0: all
} rows[] = {
    {7, 5, 1, 7, 5, {0, 0, 0, 0}},
    {7, 5, 3, 3, 2, {0, 0, 0, 0}},
    {7, 5, 3, 1, 1, {0, 0, 0, 0}},
    {1, 1, 3, 4, 9, {0, 0, 0, 0}},
    {3, 4, 1, 11, 13, {0, 0, 0, 0}},
    {97, 120, 3, 32, 32, {0, 0, 0, 0}},
    {97, 120, 2, 33, 200, {0, 0, 0, 0}},
    {40, 33, 4, 80, 16, {0, 0, 0, 0}},
    {64, 64, 3, 32, 32, {0, 0, 0, 0}},
    {50, 70, 3, 32, 32, {3, 9, 40, 30}},
    {50, 70, 3, 24, 24, {3.25, 9.75, 40.5, 59.125}},
    {50, 70, 1, 32, 32, {20.5, 30.25, 3.5, 2.25}},
    {50, 70, 3, 5, 5, {49.5, 69.5, 0.5, 0.5}},
    {1, 2000, 1, 1, 3, {0, 0, 0, 0}},
    {2000, 1, 1, 2, 1, {0, 0, 0, 0}},
    {100, 150, 3, 99, 149, {0, 0, 0, 0}},
};

static uint8_t src[200000], dst[200000];

// Noise with the extremes in it, and a staircase of extremes: what could go over the edges of a byte.
static void fill(int kind, size_t count)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, 7, "test", (uint64_t)kind, count);
    for (size_t i = 0; i < count; i++)
        src[i] = kind == 0 ? (uint8_t)lorac_rng_below(&rng, 256) : lorac_rng_below(&rng, 2) ? 255 : 0;
}

static void test_against_double(void)
{
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (int kind = 0; kind < 2; kind++) {
            const size_t h = rows[r].height, w = rows[r].width, C = rows[r].channels, H = rows[r].dst_height,
                         W = rows[r].dst_width;
            REQUIRE(h * w * C <= sizeof src && H * W * C < sizeof dst);
            fill(kind, h * w * C);
            const struct lorac_box all = {0, 0, (double)h, (double)w};
            const struct lorac_box *box = rows[r].box.height > 0 ? &rows[r].box : NULL;
            dst[H * W * C] = 0xa5;
            struct lorac_error error = {0};
            REQUIRE(CHECK_OK(lorac_resample(src, h, w, C, box, dst, H, W, &error), error));
            double largest = 0.0;
            for (size_t i = 0; i < H * W * C; i++) {
                const size_t place[3] = {i / C / W, i / C % W, i % C};
                double difference = fabs(dst[i] - expected_at(src, h, w, C, box ? box : &all, H, W, place));
                largest = difference > largest ? difference : largest;
            }
            CHECKF(largest <= TOLERANCE, "row %zu, kind %d: differs by %.4f", r, kind, largest);
            CHECKF(dst[H * W * C] == 0xa5, "row %zu: wrote behind its pixels", r);
        }
}

// An image of its own size, or a box of the output's size at whole pixels, is copied; a constant stays one.
static void test_exact(void)
{
    struct lorac_error error = {0};
    fill(0, 30 * 40 * 3);
    REQUIRE(CHECK_OK(lorac_resample(src, 30, 40, 3, NULL, dst, 30, 40, &error), error));
    CHECK(memcmp(src, dst, 30 * 40 * 3) == 0);
    const struct lorac_box box = {4, 7, 20, 22};
    REQUIRE(CHECK_OK(lorac_resample(src, 30, 40, 3, &box, dst, 20, 22, &error), error));
    for (size_t y = 0; y < 20; y++)
        CHECKF(memcmp(dst + y * 22 * 3, src + ((y + 4) * 40 + 7) * 3, 66) == 0, "row %zu of a copied box", y);
    for (int value = 0; value < 256; value++) {
        memset(src, value, 61 * 47);
        REQUIRE(CHECK_OK(lorac_resample(src, 61, 47, 1, NULL, dst, 13, 70, &error), error));
        size_t same = 0;
        for (size_t i = 0; i < 13 * 70; i++)
            same += dst[i] == value;
        CHECKF(same == 13 * 70, "constant %d changed", value);
    }
}

int main(void)
{
    test_against_double();
    test_exact();
    return check_report();
}
