// How the graph sees an activation.
//
// In memory an activation is [N, H, W, C], whatever the graph does with it (struct lorac_value). A view says, for each
// dimension that ONNX gives it, which of the four that is; so Transpose, Squeeze, Unsqueeze and most Reshapes cost
// nothing: they change the view alone. N stands once in every view, H, W and C once each where they are larger than 1.
// LORAC_AXIS_ONE is a dimension of 1 that is none of the four.
#ifndef LORAC_VIEW_H
#define LORAC_VIEW_H

#include "program.h"

enum lorac_axis { LORAC_AXIS_ONE, LORAC_AXIS_N, LORAC_AXIS_H, LORAC_AXIS_W, LORAC_AXIS_C, LORAC_AXIS_COUNT };
enum { LORAC_VIEW_MAX_RANK = 6 };

struct lorac_view {
    size_t rank;
    enum lorac_axis axes[LORAC_VIEW_MAX_RANK];
};

extern const struct lorac_view lorac_view_image;  // [N, C, H, W]
extern const struct lorac_view lorac_view_matrix; // [N, C]

// The size of [axis] in memory; 1 for LORAC_AXIS_ONE.
size_t lorac_view_size(const struct lorac_value *value, enum lorac_axis axis);

// The dims that ONNX sees. Returns the rank.
size_t lorac_view_dims(const struct lorac_view *view, const struct lorac_value *value,
                       int64_t dims[LORAC_VIEW_MAX_RANK]);

// The same view with a name for every dimension, as far as there are names: H, W and C that are 1 are first taken out,
// then given to the dimensions of 1, in the places of [N, C, H, W] where they are free. Two views of one value that
// differ only in which 1 is called what become equal.
struct lorac_view lorac_view_named(const struct lorac_view *view, const struct lorac_value *value);

// Where [axis] stands, or -1.
int lorac_view_find(const struct lorac_view *view, enum lorac_axis axis);

bool lorac_view_equal(const struct lorac_view *a, const struct lorac_view *b);

// "[2, 3, 5, 7]" as ONNX sees it, for messages.
struct lorac_view_text {
    char text[96];
};
struct lorac_view_text lorac_view_format(const struct lorac_view *view, const struct lorac_value *value);

#endif
