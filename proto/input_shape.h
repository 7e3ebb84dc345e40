// What a model's input declares: the sizes of its images, and where its channels are.
#ifndef LORAC_INPUT_SHAPE_H
#define LORAC_INPUT_SHAPE_H

#include "model.h"

// What the model's input is: dims as declared, 0 for a free one. Channels that are free are those that the first
// convolution reads; where no shape is declared at all and that convolution has two dimensions, the rank is 4. UNSUPPORTED where it is not one float tensor (of any
// floating type) of rank 4. Images are channels last in memory whatever the model declares.
struct lorac_input_shape {
    const char *name;
    size_t batch, channels, height, width;
    bool channels_last; // the model declares [N, H, W, C]; else [N, C, H, W]
};
enum lorac_status lorac_input_shape(struct lorac_model *model, struct lorac_input_shape *out,
                                    struct lorac_error *error);

#endif
