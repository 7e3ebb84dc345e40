// Pixels to numbers: exact against the formula in double, crops and flips against plain loops over a padded copy.
#include "pixel_set.h"

#include "proto/rng.h"

enum { N = 9, H = 6, W = 5, PAD = 2 };

static uint8_t pixels[N * H * W * 3];
static float planes[N * 3 * H * W];

static struct lorac_dataset make_set(enum lorac_element element, size_t channels)
{
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 89 + i / 7);
    for (size_t i = 0; i < sizeof planes / sizeof planes[0]; i++)
        planes[i] = (float)i + 0.25f;
    return dataset_of(&(struct pixel_set){N, H, W, pixels, planes}, element, channels);
}

static const struct lorac_input_meta imagenet = {.given = true,
                                                 .scale = 1.0 / 255,
                                                 .mean_count = 3,
                                                 .mean = {0.485, 0.456, 0.406},
                                                 .std_count = 3,
                                                 .std = {0.229, 0.224, 0.225}};

// What image [index] is at (c, y, x) of the model's input, no augmentation.
static float expected_at(const struct lorac_dataset *set, const struct lorac_input_meta *input, size_t index, size_t y,
                         size_t x, size_t c)
{
    const size_t C = set->channels;
    if (set->element == LORAC_ELEMENT_F32)
        return planes[((index * C + c) * H + y) * W + x];
    double value = pixels[((index * H + y) * W + x) * C + (input->bgr ? C - 1 - c : c)];
    double mean = input->mean_count == 0 ? 0.0 : input->mean[input->mean_count == 1 ? 0 : c];
    double std = input->std_count == 0 ? 1.0 : input->std[input->std_count == 1 ? 0 : c];
    return (float)((value * input->scale - mean) / std);
}

static void check_plain(enum lorac_element element, size_t channels, const struct lorac_input_meta *input)
{
    struct lorac_dataset set = make_set(element, channels);
    struct lorac_batch_source source = {.dataset = &set, .seed = 3};
    struct lorac_error error = {0};
    if (!CHECK_OK(lorac_normalize_init(&source.normalize, input, channels, &error), error))
        return;
    float out[H * W * 3];
    for (size_t i = 0; i < N; i++) {
        write_image(&source, i, 0, out);
        for (size_t at = 0; at < H * W * channels; at++) {
            size_t c = at % channels, x = at / channels % W, y = at / channels / W;
            float expected = expected_at(&set, input, i, y, x, c);
            CHECKF(out[at] == expected, "element %d image %zu (%zu, %zu, %zu): got %a, expected %a", element, i, y, x,
                   c, (double)out[at], (double)expected);
        }
    }
}

static void test_plain(void)
{
    struct lorac_input_meta bgr = imagenet,
                            one = {.scale = 1.0, .mean_count = 1, .mean = {127.5}, .std_count = 1, .std = {64.0}},
                            none = {.scale = 1.0 / 255};
    bgr.bgr = true;
    const struct lorac_input_meta *inputs[] = {&imagenet, &bgr, &one, &none};
    for (size_t i = 0; i < 4; i++) {
        check_plain(LORAC_ELEMENT_U8, 3, inputs[i]);
        check_plain(LORAC_ELEMENT_F32, 3, inputs[i]); // taken as they are, also the channels
    }
    check_plain(LORAC_ELEMENT_U8, 1, &one);
    check_plain(LORAC_ELEMENT_F32, 1, &none);
}

// The place of the crop is found by trying all of them: exactly one of the (2*PAD+1)^2 * 2 must fit, for images with
// distinct values.
static bool is_crop(const float *out, const float *image, size_t C, size_t down, size_t right, bool flip)
{
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++)
            for (size_t c = 0; c < C; c++) {
                size_t from_x = flip ? W - 1 - x : x;
                float padded[H + 2 * PAD][W + 2 * PAD] = {{0}};
                for (size_t py = 0; py < H; py++)
                    for (size_t px = 0; px < W; px++)
                        padded[PAD + py][PAD + px] = image[(py * W + px) * C + c];
                if (out[(y * W + x) * C + c] != padded[y + down][from_x + right])
                    return false;
            }
    return true;
}

static void check_crop_flip(enum lorac_element element)
{
    struct lorac_dataset set = make_set(element, 3);
    struct lorac_batch_source plain = {.dataset = &set}, source;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_normalize_init(&plain.normalize, &imagenet, 3, &error), error));
    source = plain;
    source.augment = (struct lorac_augment){.crop_pad = PAD, .flip = true};
    source.seed = 42;
    enum { EPOCHS = 200, PLACES = 2 * PAD + 1 };
    size_t seen[2][PLACES][PLACES] = {{{0}}};
    float image[H * W * 3], out[H * W * 3], again[H * W * 3];
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
        for (size_t i = 0; i < N; i++) {
            write_image(&plain, i, epoch, image);
            write_image(&source, i, epoch, out);
            size_t fits = 0;
            for (size_t place = 0; place < 2 * PLACES * PLACES; place++) {
                size_t flip = place % 2, down = place / 2 % PLACES, right = place / 2 / PLACES;
                if (is_crop(out, image, 3, down, right, flip)) {
                    fits++;
                    seen[flip][down][right]++;
                }
            }
            CHECKF(fits == 1, "element %d epoch %d image %zu: %zu placements fit", element, (int)epoch, i, fits);
            write_image(&source, i, epoch, again);
            CHECK(memcmp(out, again, sizeof out) == 0);
        }
    // 1800 draws over 50 placements: 36 each; six standard deviations are 36
    for (size_t place = 0; place < 2 * PLACES * PLACES; place++) {
        size_t count = seen[place % 2][place / 2 % PLACES][place / 2 / PLACES];
        CHECKF(count > 0 && count < 72, "placement %zu was drawn %zu times", place, count);
    }
}

static void test_augment_depends_on_all_keys(void)
{
    struct lorac_dataset set = make_set(LORAC_ELEMENT_F32, 1);
    struct lorac_batch_source source = {
        .dataset = &set, .augment = {.crop_pad = PAD, .flip = true}, .seed = 1};
    float first[H * W], other[H * W];
    int epochs_differ = 0, seeds_differ = 0;
    for (uint64_t k = 1; k < 20; k++) {
        write_image(&source, 0, 0, first);
        write_image(&source, 0, k, other);
        epochs_differ += memcmp(first, other, sizeof first) != 0;
        source.seed = 1 + k;
        write_image(&source, 0, 0, other);
        seeds_differ += memcmp(first, other, sizeof first) != 0;
        source.seed = 1;
    }
    CHECKF(epochs_differ >= 15 && seeds_differ >= 15, "epochs %d, seeds %d of 19", epochs_differ, seeds_differ);
    source.augment.crop_pad = 0; // only the flip is left
    write_image(&source, 0, 0, first);
    CHECK(first[0] == planes[0] || first[0] == planes[W - 1]);
}

static void test_order(void)
{
    enum { COUNT = 1000 };
    uint32_t order[COUNT], again[COUNT], other[COUNT];
    bool seen[COUNT] = {false};
    lorac_batch_order(7, 3, false, COUNT, order);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK(order[i] == i);
    lorac_batch_order(7, 3, true, COUNT, order);
    lorac_batch_order(7, 3, true, COUNT, again);
    CHECK(memcmp(order, again, sizeof order) == 0);
    double distance = 0.0;
    for (size_t i = 0; i < COUNT; i++) {
        CHECKF(order[i] < COUNT && !seen[order[i]], "order[%zu] = %u", i, order[i]);
        seen[order[i]] = true;
        distance += fabs((double)order[i] - (double)i) / COUNT;
    }
    // a random permutation moves an element by a third of the length on average
    CHECKF(fabs(distance / COUNT - 1.0 / 3) < 0.03, "mean distance %g", distance / COUNT);
    lorac_batch_order(7, 4, true, COUNT, other);
    CHECK(memcmp(order, other, sizeof order) != 0);
    lorac_batch_order(8, 3, true, COUNT, other);
    CHECK(memcmp(order, other, sizeof order) != 0);
    order[0] = 5;
    lorac_batch_order(7, 3, true, 0, order);
    CHECK(order[0] == 5);
    lorac_batch_order(7, 3, true, 1, order);
    CHECK(order[0] == 0);
    // every permutation of three equally often
    int counts[3][3] = {{0}};
    for (uint64_t epoch = 0; epoch < 6000; epoch++) {
        lorac_batch_order(1, epoch, true, 3, order);
        counts[order[0]][order[1]]++;
    }
    for (int i = 0; i < 9; i++) // 1000 each, 29 is one standard deviation
        CHECKF(i / 3 == i % 3 ? counts[i / 3][i % 3] == 0 : abs(counts[i / 3][i % 3] - 1000) < 150, "%d %d: %d", i / 3,
               i % 3, counts[i / 3][i % 3]);
}

static void test_normalize_refuses(void)
{
    static const struct {
        struct lorac_input_meta input;
        size_t channels;
        const char *fragment;
    } rows[] = {
        {{.scale = 1, .mean_count = 2, .mean = {1, 2}}, 3, "mean has 2 values, but the model's input has 3 channels"},
        {{.scale = 1, .std_count = 3, .std = {1, 1, 1}}, 1, "std has 3 values"},
        {{.scale = 1, .std_count = 3, .std = {1, 0, 1}}, 3, "std 0 (value 1)"},
        {{.scale = 1, .std_count = 1, .std = {-1}}, 3, "std -1"},
        {{.scale = 1, .std_count = 1, .std = {NAN}}, 3, "std nan"},
        {{.scale = 1, .mean_count = 1, .mean = {INFINITY}}, 3, "float cannot hold"},
        {{.scale = 0}, 3, "scale 0"},
        {{.scale = INFINITY}, 3, "scale inf"},
        {{.scale = 1, .std_count = 1, .std = {1e-39}}, 1, "float cannot hold"},
        {{.scale = 1, .bgr = true}, 1, "bgr needs 3 channels; the model's input has 1"},
        {{.scale = 1}, 17, "17 channels"},
        {{.scale = 1}, 0, "0 channels"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct lorac_normalize normalize;
        struct lorac_error error = {0};
        enum lorac_status status = lorac_normalize_init(&normalize, &rows[r].input, rows[r].channels, &error);
        CHECKF(status == LORAC_ERROR_ARGUMENT && strstr(error.message, rows[r].fragment) != NULL,
               "row %zu: status %d, '%s' is not in: %s", r, status, rows[r].fragment, error.message);
    }
}

int main(void)
{
    test_plain();
    check_crop_flip(LORAC_ELEMENT_U8);
    check_crop_flip(LORAC_ELEMENT_F32);
    test_augment_depends_on_all_keys();
    test_order();
    test_normalize_refuses();
    return check_report();
}
