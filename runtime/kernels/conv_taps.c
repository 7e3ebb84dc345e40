#include "conv_taps.h"

size_t lorac_conv_tap_phase(const struct lorac_conv_axis *axis, size_t k)
{
    return (k * axis->dilation % axis->stride + axis->stride - axis->pad % axis->stride) % axis->stride;
}

size_t lorac_conv_phase_places(const struct lorac_conv_axis *axis, size_t phase)
{
    return phase < axis->in ? (axis->in - phase + axis->stride - 1) / axis->stride : 0;
}

size_t lorac_conv_phase_taps(const struct lorac_conv_axis *axis, size_t phase)
{
    size_t count = 0;
    for (size_t k = 0; k < axis->taps; k++)
        count += lorac_conv_tap_phase(axis, k) == phase;
    return count;
}

void lorac_conv_fill_places(const struct lorac_conv_axis *axis, int32_t *place_of)
{
    for (size_t i = 0; i < axis->out * axis->taps; i++)
        place_of[i] = -1;
    for (size_t k = 0; k < axis->taps; k++) {
        size_t begin, end, place;
        lorac_conv_tap_range(k, axis->in, axis->out, axis->stride, axis->dilation, axis->pad, &begin, &end, &place);
        for (size_t o = begin; o < end; o++, place += axis->stride)
            place_of[o * axis->taps + k] = (int32_t)place;
    }
}

void lorac_conv_fill_phase(const struct lorac_conv_axis *axis, size_t phase, int32_t *from)
{
    size_t taps = lorac_conv_phase_taps(axis, phase), places = lorac_conv_phase_places(axis, phase);
    for (size_t i = 0; i < places * taps; i++)
        from[i] = -1;
    for (size_t k = 0, i = 0; k < axis->taps; k++) {
        size_t begin, end, place;
        if (lorac_conv_tap_phase(axis, k) != phase)
            continue;
        lorac_conv_tap_range(k, axis->in, axis->out, axis->stride, axis->dilation, axis->pad, &begin, &end, &place);
        for (size_t o = begin; o < end; o++, place += axis->stride)
            from[place / axis->stride * taps + i] = (int32_t)o;
        i++;
    }
}
