#include "augment_options.h"

#include <string.h>

// In the order of struct lorac_augment_settings' augment.
static const char *const augmentations[] = {"none", "crop-flip", NULL};
enum { CROP_FLIP = 1, PAPER_PAD = 4 };

#define FIELD(member) offsetof(struct lorac_augment_settings, member)
// clang-format off
const struct lorac_option lorac_augment_options[] = {
    {.name = "augment", .type = LORAC_OPTION_ENUM, .choices = augmentations, .offset = FIELD(augment),
     .fallback = "none", .help = "crop-flip: --crop-pad 4 and --flip, as in the paper; the options below may be added to either."},
    {.name = "crop-pad", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(crop_pad),
     .fallback_text = "0; 4 with crop-flip", .help = "Pad by N on each side, then crop at a random place.",
     .limit = LORAC_FROM_TO(0, 65535)},
    {.name = "flip", .type = LORAC_OPTION_FLAG, .offset = FIELD(flip),
     .help = "Mirror left-right with probability 1/2."},
    {.name = "random-resized-crop", .type = LORAC_OPTION_STRING, .value = "LO:HI",
     .offset = FIELD(random_resized_crop),
     .help = "Resize a random part of the image to the model's size: LO to HI of the area (0.35:1), of an aspect 3/4 to "
             "4/3 times the model's."},
    {.name = "color-jitter", .type = LORAC_OPTION_DOUBLES, .value = "B,C,S[,H]", .offset = FIELD(color_jitter),
     .help = "Change brightness, contrast and saturation by a random factor, from 1-B to 1+B and so on, and turn the hue "
             "by -H to H of a full turn; uint8 images; 0,0,0: none.", .limit = LORAC_AT_LEAST(0)},
    {.name = "cutout", .type = LORAC_OPTION_INT64, .value = "N", .offset = FIELD(cutout), .fallback = "0",
     .help = "Set a square of N x N pixels to 0 after normalisation, its centre anywhere in the image, which is larger; 0: none.",
     .limit = LORAC_FROM_TO(0, 65535)},
    {0},
};
// clang-format on
#undef FIELD

// One end of "LO:HI", as the parser reads a number.
static bool read_share(const char *text, double *out)
{
    static const struct lorac_option number = {.name = "random-resized-crop", .type = LORAC_OPTION_DOUBLE};
    return lorac_option_set_value(&number, out, text, NULL) == LORAC_OK;
}

static enum lorac_status parse_area(const char *text, struct lorac_augment *out, struct lorac_error *error)
{
    char low[32];
    const char *colon = strchr(text, ':');
    const size_t length = colon ? (size_t)(colon - text) : sizeof low;
    if (length < sizeof low) {
        memcpy(low, text, length);
        low[length] = '\0';
        if (read_share(low, &out->area.low) && read_share(colon + 1, &out->area.high) && out->area.low > 0.0 &&
            out->area.low <= out->area.high && out->area.high <= 1.0)
            return LORAC_OK;
    }
    return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                           "--random-resized-crop %s: must be LO:HI, two shares of the area with 0 < LO <= HI <= 1, as "
                           "0.35:1",
                           text);
}

static enum lorac_status read_jitter(const struct lorac_doubles *list, struct lorac_color_jitter *out,
                                     struct lorac_error *error)
{
    if (list->count == 0) // not given
        return LORAC_OK;
    if (list->count < 3 || list->count > 4)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--color-jitter: must be three or four numbers, brightness, contrast, saturation and "
                               "hue, as 0.4,0.4,0.4 or 0.4,0.4,0.4,0.1; there are %zu",
                               list->count);
    *out = (struct lorac_color_jitter){.brightness = list->values[0],
                                       .contrast = list->values[1],
                                       .saturation = list->values[2],
                                       .hue = list->count == 4 ? list->values[3] : 0.0};
    if (out->hue > 0.5)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--color-jitter: the hue is turned by %g of a full turn; give at most 0.5, which is any "
                               "hue",
                               out->hue);
    return LORAC_OK;
}

enum lorac_status lorac_augment_resolve(const struct lorac_call *call, const struct lorac_augment_settings *settings,
                                        struct lorac_augment *out, struct lorac_error *error)
{
    const bool crop_flip = settings->augment == CROP_FLIP, pad_given = lorac_options_given(&call->options, "crop-pad");
    struct lorac_augment augment = {
        .crop_pad = pad_given ? (size_t)settings->crop_pad : crop_flip ? PAPER_PAD : 0,
        .flip = crop_flip || settings->flip,
        .cutout = (size_t)settings->cutout,
    };
    if (settings->random_resized_crop)
        LORAC_TRY(parse_area(settings->random_resized_crop, &augment, error));
    if (augment.area.high > 0.0 && augment.crop_pad > 0)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "--random-resized-crop and %s both crop at random: give one of them%s",
                               pad_given ? "--crop-pad" : "--augment crop-flip",
                               settings->flip ? "" : "; --flip mirrors");
    LORAC_TRY(read_jitter(&settings->color_jitter, &augment.jitter, error));
    *out = augment;
    return LORAC_OK;
}
