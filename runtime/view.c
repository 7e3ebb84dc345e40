#include "view.h"

#include <stdio.h>

const struct lorac_view lorac_view_image = {4, {LORAC_AXIS_N, LORAC_AXIS_C, LORAC_AXIS_H, LORAC_AXIS_W}};
const struct lorac_view lorac_view_matrix = {2, {LORAC_AXIS_N, LORAC_AXIS_C}};

size_t lorac_view_size(const struct lorac_value *value, enum lorac_axis axis)
{
    switch (axis) {
    case LORAC_AXIS_N:
        return value->n;
    case LORAC_AXIS_H:
        return value->h;
    case LORAC_AXIS_W:
        return value->w;
    case LORAC_AXIS_C:
        return value->c;
    default:
        return 1;
    }
}

size_t lorac_view_dims(const struct lorac_view *view, const struct lorac_value *value,
                       int64_t dims[LORAC_VIEW_MAX_RANK])
{
    for (size_t i = 0; i < view->rank; i++)
        dims[i] = (int64_t)lorac_view_size(value, view->axes[i]);
    return view->rank;
}

int lorac_view_find(const struct lorac_view *view, enum lorac_axis axis)
{
    for (size_t i = 0; i < view->rank; i++)
        if (view->axes[i] == axis)
            return (int)i;
    return -1;
}

// The first name that no dimension has, in the order of an image; LORAC_AXIS_ONE where all are taken.
static enum lorac_axis free_name(const struct lorac_view *view)
{
    for (size_t i = 1; i < lorac_view_image.rank; i++)
        if (lorac_view_find(view, lorac_view_image.axes[i]) < 0)
            return lorac_view_image.axes[i];
    return LORAC_AXIS_ONE;
}

struct lorac_view lorac_view_named(const struct lorac_view *view, const struct lorac_value *value)
{
    struct lorac_view named = *view;
    for (size_t i = 0; i < named.rank; i++)
        if (named.axes[i] != LORAC_AXIS_N && lorac_view_size(value, named.axes[i]) == 1)
            named.axes[i] = LORAC_AXIS_ONE;
    // First those that can have the name of their place in an image, so that one is told from a transposed one.
    for (size_t i = 1; i < named.rank && i < lorac_view_image.rank; i++)
        if (named.axes[i] == LORAC_AXIS_ONE && lorac_view_find(&named, lorac_view_image.axes[i]) < 0)
            named.axes[i] = lorac_view_image.axes[i];
    for (size_t i = 0; i < named.rank; i++)
        if (named.axes[i] == LORAC_AXIS_ONE)
            named.axes[i] = free_name(&named);
    return named;
}

bool lorac_view_equal(const struct lorac_view *a, const struct lorac_view *b)
{
    if (a->rank != b->rank)
        return false;
    for (size_t i = 0; i < a->rank; i++)
        if (a->axes[i] != b->axes[i])
            return false;
    return true;
}

struct lorac_view_text lorac_view_format(const struct lorac_view *view, const struct lorac_value *value)
{
    struct lorac_view_text text = {"["};
    size_t at = 1;
    for (size_t i = 0; i < view->rank && at < sizeof text.text - 24; i++)
        at += (size_t)snprintf(text.text + at, sizeof text.text - at, i ? ", %zu" : "%zu",
                               lorac_view_size(value, view->axes[i]));
    snprintf(text.text + at, sizeof text.text - at, "]");
    return text;
}
