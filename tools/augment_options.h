// Options of augmentations: --augment --crop-pad --flip --random-resized-crop --color-jitter --cutout.
#ifndef LORAC_AUGMENT_OPTIONS_H
#define LORAC_AUGMENT_OPTIONS_H

#include "command.h"
#include "runtime/data/augment.h"

struct lorac_augment_settings {
    int augment; // 0 none, 1 crop-flip
    int64_t crop_pad, cutout;
    bool flip;
    const char *random_resized_crop; // "LO:HI"; NULL: none
    struct lorac_doubles color_jitter;
};
extern const struct lorac_option lorac_augment_options[];

// What the options say together. Errors: ARGUMENT.
enum lorac_status lorac_augment_resolve(const struct lorac_call *call, const struct lorac_augment_settings *settings,
                                        struct lorac_augment *out, struct lorac_error *error);

#endif
