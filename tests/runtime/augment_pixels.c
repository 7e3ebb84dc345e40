// Augments pixels as the runtime does, for comparing with other programs: raw uint8 from stdin to stdout.
//     augment_pixels color CHANNELS BRIGHTNESS CONTRAST SATURATION HUE ORDER    (ORDER: "0123")
//     augment_pixels crop CHANNELS HEIGHT WIDTH TOP LEFT BOX_HEIGHT BOX_WIDTH OUT_HEIGHT OUT_WIDTH
#include "runtime/data/augment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 22 };
static uint8_t input[MOST], output[MOST];

static int color(char **arguments, size_t bytes)
{
    const size_t channels = strtoul(arguments[0], NULL, 10);
    struct lorac_color_change change;
    for (size_t i = 0; i < LORAC_COLOR_STEPS; i++) {
        change.amount[i] = strtod(arguments[1 + i], NULL);
        change.order[i] = (enum lorac_color_step)(arguments[1 + LORAC_COLOR_STEPS][i] - '0');
    }
    lorac_color_apply(&change, input, bytes / channels, channels);
    return fwrite(input, 1, bytes, stdout) == bytes ? 0 : 1;
}

static int crop(char **arguments)
{
    size_t n[9];
    for (size_t i = 0; i < 9; i++)
        n[i] = strtoul(arguments[i], NULL, 10);
    const struct lorac_crop_request request = {.pixels = input,
                                               .channels = n[0],
                                               .height = n[1],
                                               .width = n[2],
                                               .box = {n[3], n[4], n[5], n[6]},
                                               .H = n[7],
                                               .W = n[8]};
    const size_t bytes = n[0] * n[7] * n[8];
    float *sums = malloc(bytes * sizeof *sums);
    void *scratch = malloc(lorac_crop_scratch_bytes(n[0], n[7], n[8]));
    int code = 1;
    if (sums && scratch) {
        lorac_crop_resample(&request, sums, scratch, output);
        code = fwrite(output, 1, bytes, stdout) == bytes ? 0 : 1;
    }
    free(sums);
    free(scratch);
    return code;
}

int main(int argc, char **argv)
{
    const size_t bytes = fread(input, 1, sizeof input, stdin);
    if (argc == 8 && strcmp(argv[1], "color") == 0)
        return color(argv + 2, bytes);
    if (argc == 11 && strcmp(argv[1], "crop") == 0)
        return crop(argv + 2);
    return 2;
}
