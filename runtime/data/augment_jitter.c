#include "augment.h"

#include "proto/rng.h"

#include <assert.h>

struct lorac_color_change lorac_color_draw(const struct lorac_color_jitter *jitter, uint64_t seed, uint64_t epoch,
                                           uint64_t index)
{
    const double width[] = {jitter->brightness, jitter->contrast, jitter->saturation};
    struct lorac_color_change change;
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "color-jitter", epoch, index);
    // All are drawn, whatever is wanted: turning one off leaves the others as they were.
    for (size_t i = 0; i < LORAC_HUE; i++) {
        const double low = width[i] > 1.0 ? 0.0 : 1.0 - width[i], high = 1.0 + width[i];
        const double drawn = low + (high - low) * lorac_rng_uniform(&rng);
        change.amount[i] = width[i] > 0.0 ? drawn : 1.0;
    }
    change.amount[LORAC_HUE] = jitter->hue * (2.0 * lorac_rng_uniform(&rng) - 1.0);
    for (size_t i = 0; i < LORAC_COLOR_STEPS; i++)
        change.order[i] = (enum lorac_color_step)i;
    for (size_t left = LORAC_COLOR_STEPS; left > 1; left--) {
        const size_t other = (size_t)lorac_rng_below(&rng, left);
        const enum lorac_color_step kept = change.order[left - 1];
        change.order[left - 1] = change.order[other];
        change.order[other] = kept;
    }
    return change;
}

// ITU-R 601 luma in 16 bit fixed point, as Pillow's convert("L").
static inline unsigned grey_of(const uint8_t *rgb)
{
    return (rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16;
}

// [other] + factor * ([value] - [other]) in float, cut off.
static inline uint8_t mix(unsigned other, unsigned value, float factor)
{
    const float mixed = (float)other + factor * (float)((int)value - (int)other);
    return mixed <= 0.0f ? 0 : mixed >= 255.0f ? 255 : (uint8_t)mixed;
}

// Every value mixed with the same one.
static void mix_with(unsigned other, float factor, uint8_t *values, size_t count)
{
    uint8_t table[256];
    for (unsigned value = 0; value < 256; value++)
        table[value] = mix(other, value, factor);
    for (size_t i = 0; i < count; i++)
        values[i] = table[values[i]];
}

static unsigned mean_grey(const uint8_t *pixels, size_t count, size_t channels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += channels == 3 ? grey_of(pixels + 3 * i) : pixels[i];
    return (unsigned)((double)sum / (double)count + 0.5);
}

static void saturate(float factor, uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++, pixels += 3) {
        const unsigned grey = grey_of(pixels);
        for (size_t c = 0; c < 3; c++)
            pixels[c] = mix(grey, pixels[c], factor);
    }
}

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

// The hue in sixths of a turn, 0 .. 6: 0 red, 2 green, 4 blue; of a grey, 0.
static inline float hue_of(float r, float g, float b, float value, float chroma)
{
    const float inverse = 1.0f / (chroma > 0.0f ? chroma : 1.0f);
    const float from_red = (g - b) * inverse, from_green = 2.0f + (b - r) * inverse;
    const float from_blue = 4.0f + (r - g) * inverse;
    return value == r ? (from_red < 0.0f ? from_red + 6.0f : from_red) : value == g ? from_green : from_blue;
}

// The channel whose own zero is [place] sixths of a turn, 0 .. 18, before the hue.
static inline float from_hue(float place, float value, float chroma)
{
    const float once = place >= 6.0f ? place - 6.0f : place, k = once >= 6.0f ? once - 6.0f : once;
    return value - chroma * larger(0.0f, smaller(smaller(k, 4.0f - k), 1.0f));
}

// In blocks of planes, without branches: compilers make vectors of that.
enum { HUE_BLOCK = 64 };

static void turn_block(float shift, float planes[3][HUE_BLOCK])
{
    for (size_t i = 0; i < HUE_BLOCK; i++) {
        const float r = planes[0][i], g = planes[1][i], b = planes[2][i];
        const float value = larger(larger(r, g), b), chroma = value - smaller(smaller(r, g), b);
        const float hue = hue_of(r, g, b, value, chroma) + shift;
        planes[0][i] = from_hue(hue + 5.0f, value, chroma);
        planes[1][i] = from_hue(hue + 3.0f, value, chroma);
        planes[2][i] = from_hue(hue + 1.0f, value, chroma);
    }
}

static void turn_hue(double turns, uint8_t *pixels, size_t count)
{
    const float shift = (float)(6.0 * (turns < 0.0 ? turns + 1.0 : turns)); // 0 .. 6
    float planes[3][HUE_BLOCK] = {{0}};
    for (size_t first = 0; first < count; first += HUE_BLOCK, pixels += 3 * HUE_BLOCK) {
        const size_t block = count - first < HUE_BLOCK ? count - first : HUE_BLOCK;
        for (size_t i = 0; i < block; i++)
            for (size_t c = 0; c < 3; c++)
                planes[c][i] = pixels[3 * i + c];
        turn_block(shift, planes);
        for (size_t i = 0; i < block; i++)
            for (size_t c = 0; c < 3; c++)
                pixels[3 * i + c] = (uint8_t)(planes[c][i] + 0.5f);
    }
}

void lorac_color_apply(const struct lorac_color_change *change, uint8_t *pixels, size_t count, size_t channels)
{
    for (size_t i = 0; i < LORAC_COLOR_STEPS; i++) {
        const enum lorac_color_step step = change->order[i];
        const double amount = change->amount[step];
        if (amount == (step == LORAC_HUE ? 0.0 : 1.0) || (channels == 1 && step >= LORAC_SATURATION))
            continue;
        assert(channels == 1 || channels == 3);
        if (step == LORAC_BRIGHTNESS)
            mix_with(0, (float)amount, pixels, count * channels);
        else if (step == LORAC_CONTRAST)
            mix_with(mean_grey(pixels, count, channels), (float)amount, pixels, count * channels);
        else if (step == LORAC_SATURATION)
            saturate((float)amount, pixels, count);
        else
            turn_hue(amount, pixels, count);
    }
}
