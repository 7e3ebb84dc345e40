// What decides how fast a convolution is, as a text (kernel.h, describe): its sizes, what is wanted of it, and what it
// may not do.
//     32x32x32x64 to 32x32x64, kernel 3x3, stride 1x1, dilation 1x1, pads 1 1 1 1, groups 1, gradient, adapter 12,
//     trains A B
// Sizes are N x H x W x C and OH x OW x M; "gradient": of the input, too; "adapter": its R; then "exact", the form
// where it is not free, and the limit on packed weights where there is one.
#ifndef LORAC_CONV_CHOICE_H
#define LORAC_CONV_CHOICE_H

#include "conv_shape.h"
#include "runtime/program.h"

struct lorac_conv_case {
    const struct lorac_conv_shape *shape;
    bool gradient; // of the input is needed
    size_t R;      // of the adapter; 0: none
    bool trains[4]; // the step's parameters: weight, bias, A, B
    bool exact;
    enum lorac_form_policy form_policy;
    size_t packed_limit; // bytes; 0: none
};

// Whether all three can be names in a row: of algorithms and a form that there are, allowed or not; "": none.
bool lorac_conv_names_exist(const char *forward, const char *gradient, const char *form);

// [text] of LORAC_CHOICE_STEP bytes; false where it does not fit.
bool lorac_conv_case_text(const struct lorac_conv_case *conv, char *text);

#endif
