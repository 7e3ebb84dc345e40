// Taking elements of an image by position: each axis has its own rule that says which position of the input stands at
// position [i] of the output. Slice, Split, Pad, Gather, Expand, Tile and Resize to the nearest are this.
#ifndef LORAC_PICK_H
#define LORAC_PICK_H

#include "kernel.h"
#include "resize.h"

enum lorac_pick_kind {
    LORAC_PICK_LINE,    // first + i*step; outside of the input stands the fill value
    LORAC_PICK_EDGE,    // first + i, the nearest element outside
    LORAC_PICK_REFLECT, // first + i, mirrored at the outermost elements
    LORAC_PICK_WRAP,    // first + i, over and over
    LORAC_PICK_LIST,    // list[i]
    LORAC_PICK_NEAREST, // of resize
};

struct lorac_pick_axis {
    enum lorac_pick_kind kind;
    int64_t in, out;     // sizes
    int64_t first, step; // LINE; first also EDGE, REFLECT and WRAP
    const int64_t *list; // LIST: [out], each 0 .. in-1
    struct lorac_resize_axis resize;
};

struct lorac_pick {
    size_t N;
    struct lorac_pick_axis axes[LORAC_AXIS_COUNT]; // H, W and C are used
    float fill;
};

// An axis may grow to this: tables are made of it.
enum { LORAC_PICK_MAX_SIZE = 1 << 24 };

extern const struct lorac_kernel lorac_kernel_pick;

// Takes everything of [value] as it is: where a node begins.
struct lorac_pick lorac_pick_all(const struct lorac_value *value);

// Makes [step] the one that computes output [k] of the node, seen as [view], from [x]; an alias (step->kernel = NULL)
// where everything is taken as it is. Refuses an empty output.
enum lorac_status lorac_pick_lower(struct lorac_lowering *lowering, const Onnx__NodeProto *node, size_t k,
                                   struct lorac_step *step, uint32_t x, const struct lorac_pick *pick,
                                   const struct lorac_view *view, struct lorac_error *error);

#endif
