// Corruptions: the published recipe's distribution, and the same image whatever is corrupted before it.
#include "data_files.h"

#include "runtime/data/dataset.h"

enum { SIDE = 32, VALUES = SIDE * SIDE };

static const double fog_amount[5] = {0.2, 0.5, 0.75, 1.0, 1.5};
static const double noise_sigma[5] = {0.04, 0.06, 0.08, 0.09, 0.10};

static void run(enum lorac_corruption kind, int severity, uint8_t *pixels, size_t H, size_t W, size_t C, uint64_t seed,
                uint64_t index)
{
    struct lorac_corrupt corrupt = {kind, severity};
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_corrupt_image(&corrupt, pixels, H, W, C, seed, index, &error), error));
}

static void test_parse(void)
{
    static const struct {
        const char *text;
        enum lorac_corruption kind;
        int severity;
        const char *fragment; // NULL: taken
    } rows[] = {
        {"fog:1", LORAC_CORRUPT_FOG, 1, NULL},
        {"fog:5", LORAC_CORRUPT_FOG, 5, NULL},
        {"gaussian_noise:3", LORAC_CORRUPT_GAUSSIAN_NOISE, 3, NULL},
        {"fog", 0, 0, "corruption 'fog': the severity must be 1, 2, 3, 4 or 5, as in 'fog:3'"},
        {"fog:", 0, 0, "the severity must be"},
        {"fog:0", 0, 0, "the severity must be"},
        {"fog:6", 0, 0, "the severity must be"},
        {"fog:-1", 0, 0, "the severity must be"},
        {"fog:33", 0, 0, "the severity must be"},
        {"fog:3 ", 0, 0, "the severity must be"},
        {"gaussian_noise:x", 0, 0, "as in 'gaussian_noise:3'"},
        {"foggy:3", 0, 0, "corruption 'foggy:3' is unknown; there are fog and gaussian_noise"},
        {"snow:3", 0, 0, "corruption 'snow:3' is unknown"},
        {"Fog:3", 0, 0, "is unknown"},
        {"", 0, 0, "corruption '' is unknown"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct lorac_corrupt corrupt = {LORAC_CORRUPT_NONE, 77};
        struct lorac_error error = {0};
        enum lorac_status status = lorac_corrupt_parse(rows[r].text, &corrupt, &error);
        if (!rows[r].fragment) {
            CHECKF(status == LORAC_OK && corrupt.kind == rows[r].kind && corrupt.severity == rows[r].severity,
                   "'%s': %s", rows[r].text, error.message);
            continue;
        }
        CHECKF(status == LORAC_ERROR_ARGUMENT && strstr(error.message, rows[r].fragment) != NULL,
               "'%s': '%s' is not in: %s", rows[r].text, rows[r].fragment, error.message);
        CHECK(corrupt.severity == 77);
    }
    struct lorac_corrupt bad = {LORAC_CORRUPT_FOG, 6};
    struct lorac_error error = {0};
    uint8_t pixel = 9;
    CHECK(lorac_corrupt_image(&bad, &pixel, 1, 1, 1, 0, 0, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "severity 6 is outside 1 .. 5") != NULL, "%s", error.message);
    bad.severity = 0;
    CHECK(lorac_corrupt_image(&bad, &pixel, 1, 1, 1, 0, 0, &error) == LORAC_ERROR_ARGUMENT);
    bad.kind = LORAC_CORRUPT_NONE;
    CHECK_OK(lorac_corrupt_image(&bad, &pixel, 1, 1, 1, 0, 0, &error), error);
    CHECK(pixel == 9);
}

// On an all-white image fog shows its map: pixel = 255 * (1 + amount*f) / (1 + amount), truncated. It goes from f = 0
// to f = 1, both reached.
static void test_fog_range(void)
{
    for (int severity = 1; severity <= 5; severity++)
        for (uint64_t index = 0; index < 50; index++) {
            uint8_t white[VALUES];
            memset(white, 255, sizeof white);
            run(LORAC_CORRUPT_FOG, severity, white, SIDE, SIDE, 1, 1, index);
            uint8_t low = 255, high = 0;
            for (size_t i = 0; i < VALUES; i++) {
                low = white[i] < low ? white[i] : low;
                high = white[i] > high ? white[i] : high;
            }
            int expected_low = (int)(255.0 / (1.0 + fog_amount[severity - 1]));
            CHECKF(low == expected_low && high == 255, "severity %d image %d: %d .. %d, expected %d .. 255", severity,
                   (int)index, low, high, expected_low);
        }
}

// Mean over [count] maps of what a map's roughness is: mean, standard deviation, mean step to the right and down, mean
// difference eight pixels to the right.
static void fog_figures(int severity, size_t side, size_t count, double figures[5])
{
    uint8_t *white = malloc(side * side);
    double *f = malloc(side * side * sizeof *f);
    REQUIRE(white && f);
    memset(figures, 0, 5 * sizeof *figures);
    const double amount = fog_amount[severity - 1], n = (double)(side * side);
    for (uint64_t index = 0; index < count; index++) {
        memset(white, 255, side * side);
        run(LORAC_CORRUPT_FOG, severity, white, side, side, 1, 2024, index);
        double sum = 0, squares = 0, right = 0, down = 0, far = 0;
        for (size_t i = 0; i < side * side; i++) {
            f[i] = ((white[i] + 0.5) / 255.0 * (1.0 + amount) - 1.0) / amount; // half a step for the truncation
            sum += f[i];
            squares += f[i] * f[i];
        }
        for (size_t y = 0; y < side; y++)
            for (size_t x = 0; x < side; x++) {
                right += x + 1 < side ? fabs(f[y * side + x + 1] - f[y * side + x]) : 0;
                far += x + 8 < side ? fabs(f[y * side + x + 8] - f[y * side + x]) : 0;
                down += y + 1 < side ? fabs(f[(y + 1) * side + x] - f[y * side + x]) : 0;
            }
        figures[0] += sum / n / (double)count;
        figures[1] += sqrt(squares / n - sum / n * (sum / n)) / (double)count;
        figures[2] += right / (double)(side * (side - 1)) / (double)count;
        figures[3] += down / (double)(side * (side - 1)) / (double)count;
        figures[4] += far / (double)(side * (side - 8)) / (double)count;
    }
    free(white);
    free(f);
}

// Figures of the published algorithm itself, run with NumPy over 10 000 maps (64: 3 000). A map's own spread is about
// 0.09, 0.02, 0.006, 0.006, 0.05; over 2000 maps the tolerances are five standard errors and more, and the 8-bit steps.
static void test_fog_figures(void)
{
    static const struct {
        int severity;
        size_t side;
        double expected[5];
    } rows[] = {
        {2, 32, {0.49915, 0.14721, 0.02036, 0.02025, 0.14134}}, {3, 32, {0.50028, 0.15156, 0.02136, 0.02145, 0.14547}},
        {4, 32, {0.50044, 0.16118, 0.02451, 0.02452, 0.15698}}, {5, 32, {0.50016, 0.17045, 0.02888, 0.02888, 0.16746}},
        {4, 64, {0.49849, 0.16061, 0.01203, 0.01200, 0.08898}},
    };
    static const double tolerance[5] = {0.012, 0.004, 0.0012, 0.0012, 0.006};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        double figures[5];
        fog_figures(rows[r].severity, rows[r].side, 2000, figures);
        for (size_t k = 0; k < 5; k++)
            CHECKF(fabs(figures[k] - rows[r].expected[k]) < tolerance[k],
                   "severity %d, side %zu, figure %zu: %g, not %g", rows[r].severity, rows[r].side, k, figures[k],
                   rows[r].expected[k]);
    }
}

// The same map lies over all channels, and a smaller image sees its upper left part; a larger one gets a larger map.
static void test_fog_shapes(void)
{
    uint8_t one[VALUES], three[3 * VALUES], small[28 * 20];
    memset(one, 255, sizeof one);
    memset(three, 255, sizeof three);
    memset(small, 255, sizeof small);
    run(LORAC_CORRUPT_FOG, 4, one, SIDE, SIDE, 1, 5, 6);
    run(LORAC_CORRUPT_FOG, 4, three, SIDE, SIDE, 3, 5, 6);
    run(LORAC_CORRUPT_FOG, 4, small, 28, 20, 1, 5, 6);
    for (size_t i = 0; i < 3 * VALUES; i++)
        CHECK(three[i] == one[i / 3]);
    for (size_t i = 0; i < sizeof small; i++)
        CHECK(small[i] == one[i / 20 * SIDE + i % 20]);
    enum { TALL = 70, NARROW = 3 };
    uint8_t tall[TALL * NARROW * 2], black[VALUES];
    memset(tall, 200, sizeof tall);
    run(LORAC_CORRUPT_FOG, 5, tall, TALL, NARROW, 2, 5, 6);
    uint8_t high = 0;
    for (size_t i = 0; i < sizeof tall; i++)
        high = tall[i] > high ? tall[i] : high;
    CHECKF(high <= 200, "brighter than the image: %d", high);
    memset(black, 0, sizeof black);
    run(LORAC_CORRUPT_FOG, 5, black, SIDE, SIDE, 1, 5, 6);
    for (size_t i = 0; i < VALUES; i++)
        CHECK(black[i] == 0);                        // no light, no fog: the recipe scales by the brightest value
    run(LORAC_CORRUPT_FOG, 5, black, 0, 5, 3, 5, 6); // no pixels
}

// On mid grey nothing is clipped up to 5 sigma: the noise's own mean and deviation can be measured.
static void test_noise_sigma(void)
{
    enum { COUNT = 200 };
    for (int severity = 1; severity <= 5; severity++) {
        double sum = 0, squares = 0, fourth = 0, product = 0;
        for (uint64_t index = 0; index < COUNT; index++) {
            uint8_t grey[VALUES];
            memset(grey, 128, sizeof grey);
            run(LORAC_CORRUPT_GAUSSIAN_NOISE, severity, grey, SIDE, SIDE, 1, 9, index);
            double before = 0;
            for (size_t i = 0; i < VALUES; i++) {
                double noise = (grey[i] + 0.5 - 128.0) / 255.0;
                sum += noise;
                squares += noise * noise;
                fourth += noise * noise * noise * noise;
                product += noise * before;
                before = noise;
            }
        }
        const double n = (double)COUNT * VALUES, sigma = noise_sigma[severity - 1], measured = sqrt(squares / n);
        // standard errors: sigma/sqrt(n) = sigma/452, sigma/sqrt(2n) = sigma/640
        CHECKF(fabs(sum / n) < sigma / 90, "severity %d: mean %g", severity, sum / n);
        CHECKF(fabs(measured - sigma) < sigma / 100, "severity %d: sigma %g, not %g", severity, measured, sigma);
        CHECKF(fabs(fourth / n / (squares / n) / (squares / n) - 3.0) < 0.06, "severity %d: kurtosis %g", severity,
               fourth / n / (squares / n) / (squares / n));
        CHECKF(fabs(product / squares) < 0.012, "severity %d: neighbours correlate by %g", severity, product / squares);
    }
    uint8_t white[VALUES], black[VALUES];
    memset(white, 255, sizeof white);
    memset(black, 0, sizeof black);
    run(LORAC_CORRUPT_GAUSSIAN_NOISE, 5, white, SIDE, SIDE, 1, 9, 0);
    run(LORAC_CORRUPT_GAUSSIAN_NOISE, 5, black, SIDE, SIDE, 1, 9, 0);
    size_t clipped_white = 0, clipped_black = 0;
    for (size_t i = 0; i < VALUES; i++) {
        clipped_white += white[i] == 255;
        clipped_black += black[i] == 0;
    }
    CHECKF(clipped_white > 400 && clipped_white < 620, "%zu of 1024 stay white", clipped_white);
    CHECKF(clipped_black > 400 && clipped_black < 640, "%zu of 1024 stay black", clipped_black);
}

static void test_depends_on_seed_kind_index_only(void)
{
    uint8_t first[VALUES], other[VALUES];
    for (int kind = LORAC_CORRUPT_FOG; kind <= LORAC_CORRUPT_GAUSSIAN_NOISE; kind++) {
        memset(first, 150, sizeof first);
        run((enum lorac_corruption)kind, 3, first, SIDE, SIDE, 1, 1, 10);
        for (int k = 0; k < 4; k++) { // the same, another index, another seed, the same again
            memset(other, 150, sizeof other);
            run((enum lorac_corruption)kind, 3, other, SIDE, SIDE, 1, k == 2 ? 2 : 1, k == 1 ? 11 : 10);
            CHECKF((memcmp(first, other, sizeof first) == 0) == (k % 3 == 0), "kind %d, variant %d", kind, k);
        }
    }
}

static const char path[] = "test_corrupt.npy";

static void open_set(struct lorac_dataset *set, size_t begin, size_t end)
{
    struct lorac_dataset_options options = {.images_path = path,
                                            .has_range = end > 0,
                                            .range_begin = begin,
                                            .range_end = end,
                                            .channels = 3,
                                            .height = 10,
                                            .width = 12};
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_dataset_open(&options, set, &error), error));
}

// A range does not change what an image looks like, and the set is what its images are.
static void test_set(void)
{
    enum { IMAGES = 8, IMAGE_BYTES = 10 * 12 * 3 };
    static struct bytes bytes;
    uint8_t pixels[IMAGES * IMAGE_BYTES];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 31 % 256);
    put_npy(&bytes, "|u1", "(8, 10, 12, 3)", pixels, sizeof pixels);
    write_plain(path, &bytes);
    for (int kind = LORAC_CORRUPT_NONE; kind <= LORAC_CORRUPT_GAUSSIAN_NOISE; kind++) {
        const struct lorac_corrupt corrupt = {(enum lorac_corruption)kind, 4};
        struct lorac_dataset whole, part;
        struct lorac_error error = {0};
        open_set(&whole, 0, 0);
        open_set(&part, 3, 6);
        CHECK_OK(lorac_dataset_corrupt(&whole, &corrupt, 77, &error), error);
        CHECK_OK(lorac_dataset_corrupt(&part, &corrupt, 77, &error), error);
        CHECK(memcmp((const uint8_t *)whole.pixels + 3 * IMAGE_BYTES, part.pixels, 3 * IMAGE_BYTES) == 0);
        CHECK((memcmp(whole.pixels, pixels, sizeof pixels) == 0) == (kind == LORAC_CORRUPT_NONE));
        for (size_t i = IMAGES; i-- > 0;) { // one by one, backwards
            uint8_t image[IMAGE_BYTES];
            memcpy(image, pixels + i * IMAGE_BYTES, IMAGE_BYTES);
            CHECK_OK(lorac_corrupt_image(&corrupt, image, 10, 12, 3, 77, i, &error), error);
            CHECK(memcmp(image, (const uint8_t *)whole.pixels + i * IMAGE_BYTES, IMAGE_BYTES) == 0);
        }
        lorac_dataset_clear(&whole);
        lorac_dataset_clear(&part);
    }
    struct lorac_dataset floats = {.element = LORAC_ELEMENT_F32, .count = 1, .channels = 1, .height = 1, .width = 1};
    struct lorac_corrupt fog = {LORAC_CORRUPT_FOG, 1};
    struct lorac_error error = {0};
    CHECK(lorac_dataset_corrupt(&floats, &fog, 1, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "only uint8 images can be corrupted") != NULL, "%s", error.message);
    unlink(path);
}

int main(void)
{
    test_parse();
    test_fog_range();
    test_fog_figures();
    test_fog_shapes();
    test_noise_sigma();
    test_depends_on_seed_kind_index_only();
    test_set();
    return check_report();
}
