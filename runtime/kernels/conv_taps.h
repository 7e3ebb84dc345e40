// Which taps of a kernel join which places of its input and output, along one axis: tables for gathering.
//
// An input place is read only by the taps of its own *phase*, place % stride: with a stride, the way back falls into as
// many maps, each with some of the taps, and none multiplies a zero.
#ifndef LORAC_CONV_TAPS_H
#define LORAC_CONV_TAPS_H

#include "conv_shape.h"

#include <stdint.h>

struct lorac_conv_axis {
    size_t in, out, taps, stride, dilation, pad; // pad: before the first place
};

static inline struct lorac_conv_axis lorac_conv_rows(const struct lorac_conv_shape *s)
{
    return (struct lorac_conv_axis){s->H, s->OH, s->kh, s->stride_h, s->dilation_h, s->pad_top};
}

static inline struct lorac_conv_axis lorac_conv_columns(const struct lorac_conv_shape *s)
{
    return (struct lorac_conv_axis){s->W, s->OW, s->kw, s->stride_w, s->dilation_w, s->pad_left};
}

// The phase of the places that tap [k] reads.
size_t lorac_conv_tap_phase(const struct lorac_conv_axis *axis, size_t k);
// Input places of a phase: its number, each next one a stride further. Taps that reach them, in their own order.
size_t lorac_conv_phase_places(const struct lorac_conv_axis *axis, size_t phase);
size_t lorac_conv_phase_taps(const struct lorac_conv_axis *axis, size_t phase);

// place_of [out, taps]: the input place that an output reads with a tap; -1: outside.
void lorac_conv_fill_places(const struct lorac_conv_axis *axis, int32_t *place_of);
// from [places of the phase, its taps]: the output that reads the place with the tap; -1: none.
void lorac_conv_fill_phase(const struct lorac_conv_axis *axis, size_t phase, int32_t *from);

#endif
