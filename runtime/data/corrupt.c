// Fog and Gaussian noise as in CIFAR-10-C: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common
// Corruptions and Perturbations", 2019, with the severities of its recipe for CIFAR images.
#include "image_files.h"

#include "proto/rng.h"
#include "proto/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITY_COUNT = 5, FOG_MAP_MIN = 32 };

static const double noise_sigma[SEVERITY_COUNT] = {0.04, 0.06, 0.08, 0.09, 0.10};
static const struct {
    double amount;
    double wibble_decay; // how much smoother each finer level is
} fog_setting[SEVERITY_COUNT] = {{0.2, 3.0}, {0.5, 3.0}, {0.75, 2.5}, {1.0, 2.0}, {1.5, 1.75}};

static const struct {
    const char *name;
    enum lorac_corruption kind;
} corruptions[] = {
    {"fog", LORAC_CORRUPT_FOG},
    {"gaussian_noise", LORAC_CORRUPT_GAUSSIAN_NOISE},
};

enum lorac_status lorac_corrupt_parse(const char *text, struct lorac_corrupt *out, struct lorac_error *error)
{
    for (size_t i = 0; i < sizeof corruptions / sizeof corruptions[0]; i++) {
        size_t length = strlen(corruptions[i].name);
        const char *rest = text + length;
        if (strncmp(text, corruptions[i].name, length) != 0 || (*rest != ':' && *rest != '\0'))
            continue;
        if (rest[0] != ':' || rest[1] < '1' || rest[1] > '0' + SEVERITY_COUNT || rest[2] != '\0')
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "corruption '%s': the severity must be 1, 2, 3, 4 or 5, as in '%s:3'", text,
                                   corruptions[i].name);
        *out = (struct lorac_corrupt){.kind = corruptions[i].kind, .severity = rest[1] - '0'};
        return LORAC_OK;
    }
    return lorac_error_set(
        error, LORAC_ERROR_ARGUMENT,
        "corruption '%s' is unknown; there are fog and gaussian_noise, with a severity of 1 to 5, as "
        "in 'fog:3'",
        text);
}

// Clipped to 0 .. 1, then truncated as NumPy's astype(uint8) does.
static uint8_t to_pixel(double x)
{
    return (uint8_t)((x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x) * 255.0);
}

static void add_noise(uint8_t *pixels, size_t value_count, double sigma, struct lorac_rng *rng)
{
    for (size_t i = 0; i < value_count; i++)
        pixels[i] = to_pixel(pixels[i] / 255.0 + sigma * lorac_rng_normal(rng));
}

// ---- fog: a plasma fractal made by the diamond-square algorithm on a torus of side [n], a power of two

struct fog_map {
    double *heights; // [n, n]
    size_t n;
};

static double *height_at(const struct fog_map *map, size_t row, size_t column)
{
    return &map->heights[(row & (map->n - 1)) * map->n + (column & (map->n - 1))];
}

// A point becomes the mean of four points of the coarser level, [half] away (squares: the corners, diamonds: the tips),
// and a random step. The recipe draws the step from -wibble .. wibble and multiplies it by wibble once more: it shrinks
// by the square of the decay from level to level.
static void set_square(const struct fog_map *map, size_t row, size_t column, size_t half, double wibble,
                       struct lorac_rng *rng)
{
    double sum = *height_at(map, row - half, column - half) + *height_at(map, row + half, column - half) +
                 *height_at(map, row - half, column + half) + *height_at(map, row + half, column + half);
    *height_at(map, row, column) = sum / 4.0 + wibble * wibble * (2.0 * lorac_rng_uniform(rng) - 1.0);
}

static void set_diamond(const struct fog_map *map, size_t row, size_t column, size_t half, double wibble,
                        struct lorac_rng *rng)
{
    double sum = *height_at(map, row - half, column) + *height_at(map, row + half, column) +
                 *height_at(map, row, column - half) + *height_at(map, row, column + half);
    *height_at(map, row, column) = sum / 4.0 + wibble * wibble * (2.0 * lorac_rng_uniform(rng) - 1.0);
}

static void stretch_to_unit(const struct fog_map *map)
{
    double low = map->heights[0], high = low;
    for (size_t i = 0; i < map->n * map->n; i++) {
        low = fmin(low, map->heights[i]);
        high = fmax(high, map->heights[i]);
    }
    for (size_t i = 0; i < map->n * map->n; i++)
        map->heights[i] = (map->heights[i] - low) / (high - low); // n > 1: two equal heights have probability 0
}

static void fill_fog_map(const struct fog_map *map, double wibble_decay, struct lorac_rng *rng)
{
    double wibble = 100.0;
    map->heights[0] = 0.0;
    for (size_t step = map->n; step >= 2; step /= 2, wibble /= wibble_decay) {
        size_t half = step / 2;
        for (size_t row = half; row < map->n; row += step)
            for (size_t column = half; column < map->n; column += step)
                set_square(map, row, column, half, wibble, rng);
        for (size_t row = 0; row < map->n; row += half)
            for (size_t column = row % step == 0 ? half : 0; column < map->n; column += step)
                set_diamond(map, row, column, half, wibble, rng);
    }
    stretch_to_unit(map);
}

static enum lorac_status create_fog_map(size_t height, size_t width, struct fog_map *out, struct lorac_error *error)
{
    size_t larger = height > width ? height : width, n = FOG_MAP_MIN, bytes;
    while (n < larger && n <= SIZE_MAX / 2)
        n *= 2;
    double *heights = NULL;
    if (lorac_size_multiply(n, n, &bytes) && lorac_size_multiply(bytes, sizeof(double), &bytes))
        heights = malloc(bytes);
    if (!heights)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a fog map of %zu x %zu", n, n);
    *out = (struct fog_map){.heights = heights, .n = n};
    return LORAC_OK;
}

static void add_fog(uint8_t *pixels, size_t height, size_t width, size_t channels, const struct fog_map *map,
                    double amount)
{
    uint8_t brightest = 0;
    for (size_t i = 0; i < height * width * channels; i++)
        brightest = pixels[i] > brightest ? pixels[i] : brightest;
    const double max_value = brightest / 255.0;
    for (size_t row = 0; row < height; row++)
        for (size_t column = 0; column < width; column++, pixels += channels)
            for (size_t c = 0; c < channels; c++) {
                double x = pixels[c] / 255.0 + amount * map->heights[row * map->n + column];
                pixels[c] = to_pixel(x * max_value / (max_value + amount)); // never brighter than the image was
            }
}

// ---- one image, a set

// What one thread needs to corrupt images of one size.
struct corrupter {
    struct lorac_corrupt corrupt;
    size_t height, width, channels;
    struct fog_map map; // fog only
};

static enum lorac_status corrupter_init(struct corrupter *corrupter, struct lorac_error *error)
{
    const struct lorac_corrupt *corrupt = &corrupter->corrupt;
    if (corrupt->kind == LORAC_CORRUPT_NONE)
        return LORAC_OK;
    if (corrupt->severity < 1 || corrupt->severity > SEVERITY_COUNT)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "corruption severity %d is outside 1 .. %d",
                               corrupt->severity, SEVERITY_COUNT);
    if (corrupt->kind == LORAC_CORRUPT_FOG)
        return create_fog_map(corrupter->height, corrupter->width, &corrupter->map, error);
    return LORAC_OK;
}

static void corrupter_run(const struct corrupter *corrupter, uint8_t *pixels, uint64_t seed, uint64_t index)
{
    const struct lorac_corrupt *corrupt = &corrupter->corrupt;
    if (corrupt->kind == LORAC_CORRUPT_NONE)
        return;
    const size_t level = (size_t)corrupt->severity - 1;
    const size_t H = corrupter->height, W = corrupter->width, C = corrupter->channels;
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "corrupt", (uint64_t)corrupt->kind, index);
    if (corrupt->kind == LORAC_CORRUPT_GAUSSIAN_NOISE) {
        add_noise(pixels, H * W * C, noise_sigma[level], &rng);
        return;
    }
    fill_fog_map(&corrupter->map, fog_setting[level].wibble_decay, &rng);
    add_fog(pixels, H, W, C, &corrupter->map, fog_setting[level].amount);
}

enum lorac_status lorac_corrupt_image(const struct lorac_corrupt *corrupt, uint8_t *pixels, size_t height, size_t width,
                                      size_t channels, uint64_t seed, uint64_t index, struct lorac_error *error)
{
    struct corrupter corrupter = {.corrupt = *corrupt, .height = height, .width = width, .channels = channels};
    LORAC_TRY(corrupter_init(&corrupter, error));
    corrupter_run(&corrupter, pixels, seed, index);
    free(corrupter.map.heights);
    return LORAC_OK;
}

enum lorac_status lorac_dataset_corrupt(struct lorac_dataset *dataset, const struct lorac_corrupt *corrupt,
                                        uint64_t seed, struct lorac_error *error)
{
    if (corrupt->kind != LORAC_CORRUPT_NONE && dataset->element != LORAC_ELEMENT_U8)
        return lorac_error_set(
            error, LORAC_ERROR_ARGUMENT,
            "only uint8 images can be corrupted; these are float32, in a range that only their maker "
            "knows: give the uint8 pixels");
    if (dataset->files) { // each when it is decoded
        dataset->files->corrupt = *corrupt;
        dataset->files->corrupt_seed = seed;
        return LORAC_OK;
    }
    struct corrupter corrupter = {
        .corrupt = *corrupt, .height = dataset->height, .width = dataset->width, .channels = dataset->channels};
    LORAC_TRY(corrupter_init(&corrupter, error));
    const size_t image_values = dataset->height * dataset->width * dataset->channels;
    uint8_t *pixels = dataset->image_array.data;
    for (size_t i = 0; i < dataset->count; i++)
        corrupter_run(&corrupter, pixels + i * image_values, seed, dataset->first_index + i);
    free(corrupter.map.heights);
    return LORAC_OK;
}
