// Augmentations against plain loops, and what is drawn against what it should be spread like. (test_batch.c has the
// crop after padding and the mirroring; test_augment.py compares with Pillow.)
#include "pixel_set.h"

#include "proto/rng.h"
#include "runtime/data/resample.h"
#include "runtime/kernels/parallel.h"
#include "runtime/train/fill.h"

enum { N = 24, H = 12, W = 10, C = 3, SIZE = H * W * C };
enum { TALL = 19, WIDE = 23 }; // a stored image that is larger than the model's

static uint8_t pixels[N * SIZE];
static float planes[N * SIZE];
static uint8_t large[TALL * WIDE * C];

static void make_pixels(void)
{
    struct lorac_rng rng;
    lorac_rng_init(&rng, 1, "test", 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)lorac_rng_below(&rng, 256);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)lorac_rng_below(&rng, 256);
    for (size_t i = 0; i < N * SIZE; i++)
        planes[i] = (float)i + 0.5f;
}

static struct lorac_dataset make_set(enum lorac_element element, size_t channels)
{
    return dataset_of(&(struct pixel_set){N, H, W, pixels, planes}, element, channels);
}

static const struct lorac_input_meta as_they_are = {.given = true, .scale = 1.0, .mean_count = 1, .mean = {-1.0}};

// Pixel values come out as 1 .. 256: 0 is only what was put there.
static struct lorac_batch_source make_source(const struct lorac_dataset *set, const struct lorac_augment *augment)
{
    struct lorac_batch_source source = {.dataset = set, .seed = 11, .augment = *augment};
    struct lorac_error error = {0};
    CHECK_OK(lorac_normalize_init(&source.normalize, &as_they_are, set->channels, &error), error);
    CHECK_OK(lorac_augment_check(augment, set, &error), error);
    CHECK_OK(lorac_augment_scratch_create(augment, set, 1, &source.scratch, &error), error);
    return source;
}

// ---- the middle

static void test_middle(void)
{
    const struct lorac_dataset set = make_set(LORAC_ELEMENT_U8, C);
    const struct lorac_augment none = {0}, flip = {.flip = true};
    const struct lorac_batch_source plain = make_source(&set, &none), mirrored = make_source(&set, &flip);
    const struct lorac_image image = {large, TALL, WIDE};
    float out[SIZE], other[SIZE];
    size_t flips = 0;
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        lorac_batch_image(&plain, &image, 0, epoch, out);
        lorac_batch_image(&mirrored, &image, 0, epoch, other);
        const bool flipped = memcmp(out, other, sizeof out) != 0;
        flips += flipped;
        for (size_t i = 0; i < SIZE; i++) {
            const size_t c = i % C, x = i / C % W, y = i / C / W, from = flipped ? W - 1 - x : x;
            CHECK(out[i] == 1.0f + large[((y + 3) * WIDE + x + 6) * C + c]); // (19-12)/2, (23-10)/2
            CHECK(other[i] == 1.0f + large[((y + 3) * WIDE + from + 6) * C + c]);
        }
    }
    CHECKF(flips > 3 && flips < 17, "%zu flips of 20", flips);
}

// ---- cutout

static void check_cutout(enum lorac_element element, size_t side)
{
    enum { EPOCHS = 100 };
    const struct lorac_dataset set = make_set(element, C);
    const struct lorac_augment none = {0}, cutout = {.cutout = side};
    const struct lorac_batch_source plain = make_source(&set, &none), source = make_source(&set, &cutout);
    size_t centre[H][W] = {{0}};
    float image[SIZE], out[SIZE];
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
        for (size_t index = 0; index < N; index++) {
            write_image(&plain, index, epoch, image);
            write_image(&source, index, epoch, out);
            size_t fits = 0, found = 0;
            for (size_t place = 0; place < H * W; place++) { // which centre explains it
                const long top = (long)(place / W) - (long)(side / 2), left = (long)(place % W) - (long)(side / 2);
                bool same = true;
                for (size_t i = 0; i < SIZE && same; i++) {
                    const long y = (long)(i / C / W), x = (long)(i / C % W);
                    const bool inside =
                        y >= top && y < top + (long)side && x >= left && x < left + (long)side;
                    same = out[i] == (inside ? 0.0f : image[i]);
                }
                if (same) {
                    fits++;
                    found = place;
                }
            }
            CHECKF(fits == 1, "cutout %zu: %zu centres fit", side, fits);
            centre[found / W][found % W]++;
        }
    for (size_t place = 0; place < H * W; place++) // 2400 draws over 120 places: 20 each, 4.5 one standard deviation
        CHECKF(centre[place / W][place % W] > 0 && centre[place / W][place % W] < 45, "centre %zu: %zu times", place,
               centre[place / W][place % W]);
}

// ---- colours

static void test_color_draw(void)
{
    enum { DRAWS = 4000 };
    const struct lorac_color_jitter jitter = {0.4, 1.5, 0.1, 0.25};
    const double low[] = {0.6, 0.0, 0.9, -0.25}, high[] = {1.4, 2.5, 1.1, 0.25};
    double sum[LORAC_COLOR_STEPS] = {0}, least[] = {9, 9, 9, 9}, most[] = {-9, -9, -9, -9};
    size_t first_then_second[LORAC_COLOR_STEPS][LORAC_COLOR_STEPS] = {{0}};
    for (uint64_t i = 0; i < DRAWS; i++) {
        const struct lorac_color_change change = lorac_color_draw(&jitter, 5, i / 100, i % 100);
        unsigned steps = 0;
        for (size_t k = 0; k < LORAC_COLOR_STEPS; k++) {
            sum[k] += change.amount[k] / DRAWS;
            least[k] = fmin(least[k], change.amount[k]);
            most[k] = fmax(most[k], change.amount[k]);
            steps |= 1u << change.order[k];
        }
        CHECK(steps == 15);
        first_then_second[change.order[0]][change.order[1]]++;
    }
    for (size_t k = 0; k < LORAC_COLOR_STEPS; k++) {
        const double width = high[k] - low[k];
        CHECKF(least[k] >= low[k] && least[k] < low[k] + 0.01 * width && most[k] <= high[k] &&
                   most[k] > high[k] - 0.01 * width,
               "step %zu: %g to %g", k, least[k], most[k]);
        // the standard deviation of the mean is 0.29/63 = 0.0046 of the width
        CHECKF(fabs(sum[k] - (low[k] + high[k]) / 2) < 0.025 * width, "step %zu: mean %g", k, sum[k]);
        for (size_t other = 0; other < LORAC_COLOR_STEPS; other++) // 333 each, 17 is one standard deviation
            CHECK(k == other ? first_then_second[k][other] == 0
                             : first_then_second[k][other] > 240 && first_then_second[k][other] < 430);
    }
    // leaving one out changes no other
    const struct lorac_color_jitter without = {0.4, 0.0, 0.1, 0.25};
    const struct lorac_color_change all = lorac_color_draw(&jitter, 5, 2, 3), some = lorac_color_draw(&without, 5, 2, 3);
    CHECK(all.amount[0] == some.amount[0] && all.amount[2] == some.amount[2] && all.amount[3] == some.amount[3]);
    CHECK(some.amount[LORAC_CONTRAST] == 1.0 && memcmp(all.order, some.order, sizeof all.order) == 0);
}

static void test_color_apply(void)
{
    static const struct {
        double amount[LORAC_COLOR_STEPS];
        uint8_t before[2][3], after[2][3];
    } rows[] = {
        {{1, 1, 1, 0}, {{1, 2, 3}, {250, 0, 128}}, {{1, 2, 3}, {250, 0, 128}}},
        {{0, 1, 1, 0}, {{1, 2, 3}, {250, 0, 128}}, {{0, 0, 0}, {0, 0, 0}}},
        {{2, 1, 1, 0}, {{1, 2, 3}, {250, 0, 128}}, {{2, 4, 6}, {255, 0, 255}}},
        {{0.5, 1, 1, 0}, {{1, 2, 3}, {250, 0, 128}}, {{0, 1, 1}, {125, 0, 64}}},
        {{1, 0, 1, 0}, {{100, 100, 100}, {201, 201, 201}}, {{151, 151, 151}, {151, 151, 151}}}, // 150.5 up
        {{1, 2, 1, 0}, {{100, 100, 100}, {200, 200, 200}}, {{50, 50, 50}, {250, 250, 250}}},
        {{1, 1, 0, 0}, {{255, 0, 0}, {0, 255, 0}}, {{76, 76, 76}, {150, 150, 150}}}, // 0.299, 0.587
        {{1, 1, 2, 0}, {{100, 100, 100}, {110, 100, 100}}, {{100, 100, 100}, {117, 97, 97}}},
        {{1, 1, 1, 1.0 / 3}, {{255, 0, 0}, {9, 9, 9}}, {{0, 255, 0}, {9, 9, 9}}},
        {{1, 1, 1, -1.0 / 3}, {{255, 0, 0}, {200, 100, 100}}, {{0, 0, 255}, {100, 100, 200}}},
        {{1, 1, 1, -1.0 / 6}, {{255, 0, 128}, {255, 255, 0}}, {{127, 0, 255}, {255, 0, 0}}},
        {{1, 1, 1, 0.5}, {{255, 0, 0}, {10, 20, 20}}, {{0, 255, 255}, {20, 10, 10}}},
        {{1, 1, 1, 1.0 / 12}, {{255, 0, 0}, {0, 0, 100}}, {{255, 128, 0}, {50, 0, 100}}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct lorac_color_change change = {.order = {LORAC_BRIGHTNESS, LORAC_CONTRAST, LORAC_SATURATION, LORAC_HUE}};
        uint8_t got[2][3];
        memcpy(change.amount, rows[r].amount, sizeof change.amount);
        memcpy(got, rows[r].before, sizeof got);
        lorac_color_apply(&change, &got[0][0], 2, 3);
        CHECKF(memcmp(got, rows[r].after, sizeof got) == 0, "row %zu: (%d %d %d) (%d %d %d)", r, got[0][0], got[0][1],
               got[0][2], got[1][0], got[1][1], got[1][2]);
    }
    uint8_t grey[] = {10, 30}; // saturation and hue have nothing to do
    const struct lorac_color_change change = {{2, 0.5, 0, 0.3}, {LORAC_HUE, LORAC_BRIGHTNESS, LORAC_SATURATION, LORAC_CONTRAST}};
    lorac_color_apply(&change, grey, 2, 1);
    CHECKF(grey[0] == 30 && grey[1] == 50, "%d %d", grey[0], grey[1]); // 20 and 60, towards 40
}

// ---- random resized crop

static void check_boxes(size_t height, size_t width, size_t out_height, size_t out_width)
{
    enum { DRAWS = 3000 };
    const struct lorac_augment augment = {.area = {0.35, 1.0}};
    const double result = (double)out_width / (double)out_height;
    double share_sum = 0, aspect_sum = 0, place_sum = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        const struct lorac_crop_box box = lorac_crop_draw(&augment, 3, i / 50, i % 50, height, width, out_height, out_width);
        const double share = (double)(box.height * box.width) / (double)(height * width);
        const double aspect = (double)box.width / (double)box.height / result;
        CHECK(box.height > 0 && box.width > 0 && box.top + box.height <= height && box.left + box.width <= width);
        CHECKF(share > 0.34 && share <= 1.0, "share %g", share); // lengths are rounded
        CHECKF(aspect > 0.74 && aspect < 1.35, "aspect %g", aspect);
        share_sum += share / DRAWS;
        aspect_sum += log(aspect) / DRAWS;
        if (box.width < width)
            place_sum += ((double)box.left / (double)(width - box.width) - 0.5) / DRAWS;
    }
    // Boxes that do not fit are drawn again, so that large shares are rarer than others.
    CHECKF(share_sum > 0.55 && share_sum < 0.68, "mean share %g", share_sum);
    CHECKF(fabs(aspect_sum) < 0.05, "mean logarithm of the aspect %g", aspect_sum);
    CHECKF(fabs(place_sum) < 0.03, "mean place %g", place_sum);
}

static void test_boxes(void)
{
    check_boxes(300, 300, 224, 224);
    check_boxes(300, 450, 224, 336); // the aspect is the result's
    const struct lorac_augment all = {.area = {1.0, 1.0}}, some = {.area = {0.5, 0.5}};
    struct lorac_crop_box box = lorac_crop_draw(&all, 1, 0, 0, 90, 1000, 64, 64); // never fits
    CHECKF(box.height == 90 && box.width == 120 && box.top == 0 && box.left == 440, "%zu %zu", box.width, box.left);
    box = lorac_crop_draw(&all, 1, 0, 0, 1000, 90, 64, 64);
    CHECKF(box.width == 90 && box.height == 120 && box.left == 0 && box.top == 440, "%zu %zu", box.height, box.top);
    box = lorac_crop_draw(&all, 1, 0, 0, 1, 1, 64, 64);
    CHECK(box.height == 1 && box.width == 1);
    const struct lorac_crop_box one = lorac_crop_draw(&some, 1, 2, 3, 300, 300, 64, 64);
    size_t differ = 0;
    for (uint64_t k = 1; k < 4; k++) {
        const struct lorac_crop_box other[] = {lorac_crop_draw(&some, 1 + k, 2, 3, 300, 300, 64, 64),
                                               lorac_crop_draw(&some, 1, 2 + k, 3, 300, 300, 64, 64),
                                               lorac_crop_draw(&some, 1, 2, 3 + k, 300, 300, 64, 64)};
        for (size_t i = 0; i < 3; i++)
            differ += memcmp(&one, &other[i], sizeof one) != 0;
    }
    CHECKF(differ == 9, "%zu of 9 differ", differ);
}

// The mean of the pixels under a triangle, in double, all of them for each pixel of the result.
static double resampled_at(const struct lorac_crop_box *box, size_t channels, size_t y, size_t x, size_t c)
{
    const double down = (double)box->height / H, right = (double)box->width / W;
    const double tall = fmax(down, 1.0), wide = fmax(right, 1.0);
    double sum = 0, weights = 0;
    for (size_t row = 0; row < TALL; row++)
        for (size_t column = 0; column < WIDE; column++) {
            const double dy = ((double)row + 0.5 - (double)box->top - ((double)y + 0.5) * down) / tall;
            const double dx = ((double)column + 0.5 - (double)box->left - ((double)x + 0.5) * right) / wide;
            const double weight = fmax(0.0, 1.0 - fabs(dy)) * fmax(0.0, 1.0 - fabs(dx));
            sum += weight * large[(row * WIDE + column) * channels + c];
            weights += weight;
        }
    return sum / weights;
}

static void test_resample(void)
{
    static const struct lorac_crop_box boxes[] = {{0, 0, TALL, WIDE}, {3, 5, H, W},      {2, 1, 15, 17}, {4, 9, 5, 4},
                                                  {0, 0, 1, 1},       {18, 22, 1, 1},    {0, 3, TALL, 2}, {6, 0, 2, WIDE}};
    for (size_t b = 0; b < sizeof boxes / sizeof boxes[0]; b++)
        for (size_t channels = 1; channels <= 3; channels++) {
            const struct lorac_crop_request request = {.pixels = large,
                                                       .height = TALL,
                                                       .width = WIDE,
                                                       .channels = channels,
                                                       .box = boxes[b],
                                                       .H = H,
                                                       .W = W};
            static float sums[SIZE];
            static double scratch[256];
            uint8_t out[SIZE];
            REQUIRE(lorac_crop_scratch_bytes(channels, H, W) <= sizeof scratch);
            lorac_crop_resample(&request, sums, scratch, out);
            const struct lorac_box box = {(double)boxes[b].top, (double)boxes[b].left, (double)boxes[b].height,
                                          (double)boxes[b].width};
            uint8_t resized[SIZE]; // the same rule as for the stored image, other rounding
            struct lorac_error error = {0};
            CHECK_OK(lorac_resample(large, TALL, WIDE, channels, &box, resized, H, W, &error), error);
            for (size_t i = 0; i < H * W * channels; i++) {
                CHECKF(abs(out[i] - resized[i]) <= 1, "box %zu, value %zu: %d, resized %d", b, i, out[i], resized[i]);
                const double expected = resampled_at(&boxes[b], channels, i / channels / W, i / channels % W, i % channels);
                CHECKF(fabs(out[i] - expected) < 0.501, "box %zu, %zu channels, value %zu: %d, not %g", b, channels, i,
                       out[i], expected);
            }
        }
}

// ---- all together

static void test_steps_in_order(void)
{
    const struct lorac_dataset set = make_set(LORAC_ELEMENT_U8, C);
    const struct lorac_augment augment = {
        .flip = true, .area = {0.2, 0.9}, .jitter = {0.4, 0.4, 0.4, 0.1}, .cutout = 4}, alone = {.flip = true, .cutout = 4};
    const struct lorac_batch_source source = make_source(&set, &augment);
    struct lorac_batch_source rest = make_source(&set, &alone);
    const struct lorac_image image = {large, TALL, WIDE};
    for (size_t index = 0; index < N; index++) {
        static float sums[SIZE], expected[SIZE], out[SIZE];
        static double scratch[256];
        uint8_t changed[SIZE];
        const struct lorac_crop_request crop = {
            .pixels = large,
            .height = TALL,
            .width = WIDE,
            .channels = C,
            .box = lorac_crop_draw(&augment, source.seed, 7, index, TALL, WIDE, H, W),
            .H = H,
            .W = W};
        lorac_crop_resample(&crop, sums, scratch, changed);
        const struct lorac_color_change change = lorac_color_draw(&augment.jitter, source.seed, 7, index);
        lorac_color_apply(&change, changed, H * W, C);
        lorac_batch_image(&rest, &(struct lorac_image){changed, H, W}, index, 7, expected);
        lorac_batch_image(&source, &image, index, 7, out);
        CHECKF(memcmp(out, expected, sizeof out) == 0, "image %zu", index);
    }
    lorac_augment_scratch_free(source.scratch);
}

// The jitter comes before the padding, which stays 0.
static void test_jitter_with_padding(void)
{
    const struct lorac_dataset set = make_set(LORAC_ELEMENT_U8, 1);
    const struct lorac_augment augment = {.crop_pad = 3, .jitter = {.brightness = 0.5, .contrast = 0.5}};
    const struct lorac_augment alone = {.crop_pad = 3};
    const struct lorac_batch_source source = make_source(&set, &augment), rest = make_source(&set, &alone);
    size_t padded = 0;
    for (size_t index = 0; index < N; index++) {
        float out[H * W], expected[H * W];
        uint8_t changed[H * W];
        memcpy(changed, pixels + index * H * W, sizeof changed);
        const struct lorac_color_change change = lorac_color_draw(&augment.jitter, source.seed, 1, index);
        lorac_color_apply(&change, changed, H * W, 1);
        lorac_batch_image(&rest, &(struct lorac_image){changed, H, W}, index, 1, expected);
        write_image(&source, index, 1, out);
        CHECKF(memcmp(out, expected, sizeof out) == 0, "image %zu", index);
        for (size_t i = 0; i < H * W; i++)
            padded += out[i] == 0.0f;
    }
    CHECK(padded > 0);
    lorac_augment_scratch_free(source.scratch);
}

static void test_threads_and_order(void)
{
    const struct lorac_dataset set = make_set(LORAC_ELEMENT_U8, C);
    const struct lorac_augment augment = {
        .flip = true, .area = {0.2, 0.9}, .jitter = {0.4, 0.4, 0.4, 0.1}, .cutout = 4};
    struct lorac_batch_source source = make_source(&set, &augment);
    static float first[N * SIZE], out[N * SIZE];
    uint32_t order[N];
    struct lorac_fill_batch fill = {.source = &source, .count = N, .epoch = 3, .rows = N};
    lorac_fill_run(&fill, 0, first);
    lorac_augment_scratch_free(source.scratch);
    int failed;
    fill.pool = lorac_parallel_create(3, &failed);
    REQUIRE(!failed);
    struct lorac_error error = {0};
    CHECK_OK(lorac_augment_scratch_create(&augment, &set, 3, &source.scratch, &error), error);
    for (int round = 0; round < 50; round++) {
        memset(out, 0, sizeof out);
        lorac_fill_run(&fill, 0, out);
        CHECKF(memcmp(first, out, sizeof out) == 0, "round %d", round);
    }
    lorac_batch_order(1, 1, true, N, order);
    fill.order = order;
    lorac_fill_run(&fill, 0, out);
    for (size_t i = 0; i < N; i++)
        CHECK(memcmp(first + order[i] * SIZE, out + i * SIZE, SIZE * sizeof *out) == 0);
    lorac_augment_scratch_free(source.scratch); // fewer slots than threads: they wait
    CHECK_OK(lorac_augment_scratch_create(&augment, &set, 1, &source.scratch, &error), error);
    fill.order = NULL;
    lorac_fill_run(&fill, 0, out);
    CHECK(memcmp(first, out, sizeof out) == 0);
    lorac_augment_scratch_free(source.scratch);
    lorac_parallel_free(fill.pool);
}

static void test_slots_are_apart(void)
{
    enum { SLOTS = 3 };
    const struct lorac_dataset set = make_set(LORAC_ELEMENT_U8, C);
    const struct lorac_augment augment = {.area = {0.5, 1}};
    struct lorac_augment_scratch *scratch;
    struct lorac_augment_slot slots[SLOTS];
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_augment_scratch_create(&augment, &set, SLOTS, &scratch, &error), error));
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i] = lorac_augment_scratch_take(scratch);
        memset(slots[i].pixels, (int)i, SIZE);
        memset(slots[i].crop, (int)i, lorac_crop_scratch_bytes(C, H, W));
    }
    for (size_t i = 0; i < SLOTS; i++) {
        const uint8_t *crop = slots[i].crop;
        for (size_t k = 0; k < SIZE; k++)
            CHECK(slots[i].pixels[k] == i);
        for (size_t k = 0; k < lorac_crop_scratch_bytes(C, H, W); k++)
            CHECK(crop[k] == i);
    }
    lorac_augment_scratch_give(scratch, &slots[1]);
    CHECK(lorac_augment_scratch_take(scratch).number == slots[1].number); // the only one that is free
    lorac_augment_scratch_free(scratch);
}

// ---- what cannot be done

static void test_refusals(void)
{
    static const struct {
        enum lorac_element element;
        size_t channels;
        struct lorac_augment augment;
        const char *fragment; // NULL: taken
    } rows[] = {
        {LORAC_ELEMENT_F32, 3, {.crop_pad = 4, .flip = true, .cutout = 3}, NULL},
        {LORAC_ELEMENT_F32, 3, {.area = {0.5, 1}}, "these are float32"},
        {LORAC_ELEMENT_F32, 3, {.jitter = {.contrast = 0.5}}, "these are float32"},
        {LORAC_ELEMENT_U8, 3, {.area = {0.5, 1}, .jitter = {1, 2, 3, 0.5}}, NULL},
        {LORAC_ELEMENT_U8, 3, {.area = {0.5, 1}, .crop_pad = 1}, "take one of them"},
        {LORAC_ELEMENT_U8, 3, {.area = {0, 1}}, "0 < LO <= HI <= 1"},
        {LORAC_ELEMENT_U8, 3, {.area = {0.6, 0.5}}, "0 < LO <= HI <= 1"},
        {LORAC_ELEMENT_U8, 3, {.area = {0.6, 1.5}}, "0.6 to 1.5"},
        {LORAC_ELEMENT_U8, 3, {.area = {0.6, 0}}, "0.6 to 0"},
        {LORAC_ELEMENT_U8, 3, {.area = {NAN, 1}}, "nan"},
        {LORAC_ELEMENT_U8, 3, {.jitter = {.hue = 0.6}}, "the hue 0 to 0.5"},
        {LORAC_ELEMENT_U8, 3, {.jitter = {.brightness = -1}}, "at least 0"},
        {LORAC_ELEMENT_U8, 1, {.jitter = {0.3, 0.4, 0.5, 0}}, "as in 0.3,0.4,0"},
        {LORAC_ELEMENT_U8, 1, {.jitter = {.hue = 0.1}}, "images of one channel"},
        {LORAC_ELEMENT_U8, 1, {.jitter = {.contrast = 0.1}, .area = {0.1, 0.1}}, NULL},
        {LORAC_ELEMENT_U8, 2, {.jitter = {.contrast = 0.1}}, "1 or 3 channels, these have 2"},
        {LORAC_ELEMENT_U8, 2, {.area = {0.1, 0.1}}, NULL},
        {LORAC_ELEMENT_U8, 3, {.crop_pad = 10}, "padding by 10 can miss the whole image of 12 x 10"},
        {LORAC_ELEMENT_U8, 3, {.crop_pad = 9}, NULL},
        {LORAC_ELEMENT_U8, 3, {.cutout = 11}, "11 x 11 is not smaller than the image of 12 x 10"},
        {LORAC_ELEMENT_U8, 3, {.cutout = 10}, "give at most 9"},
        {LORAC_ELEMENT_U8, 3, {.cutout = 9}, NULL},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct lorac_dataset set = make_set(rows[r].element, rows[r].channels);
        struct lorac_error error = {0};
        const enum lorac_status status = lorac_augment_check(&rows[r].augment, &set, &error);
        if (rows[r].fragment)
            CHECKF(status == LORAC_ERROR_ARGUMENT && strstr(error.message, rows[r].fragment), "row %zu: %d: %s", r,
                   status, error.message);
        else
            CHECKF(status == LORAC_OK, "row %zu: %s", r, error.message);
    }
}

int main(void)
{
    make_pixels();
    test_middle();
    check_cutout(LORAC_ELEMENT_U8, 4);
    check_cutout(LORAC_ELEMENT_F32, 5);
    test_color_draw();
    test_color_apply();
    test_boxes();
    test_resample();
    test_steps_in_order();
    test_jitter_with_padding();
    test_threads_and_order();
    test_slots_are_apart();
    test_refusals();
    return check_report();
}
