#include "augment.h"

#include "proto/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

// ---- the box

static const double lowest_aspect = 3.0 / 4.0, highest_aspect = 4.0 / 3.0;
enum { TRIES = 10 };

static size_t rounded(double length, size_t most)
{
    const double whole = floor(length + 0.5);
    return whole < 1.0 ? 1 : whole > (double)most ? most : (size_t)whole;
}

// The largest box in the middle whose aspect (width / height) is the nearest to what is allowed.
static struct lorac_crop_box middle_box(size_t height, size_t width, double result_aspect)
{
    const double aspect = (double)width / (double)height;
    struct lorac_crop_box box = {0, 0, height, width};
    if (aspect < lowest_aspect * result_aspect)
        box.height = rounded((double)width / (lowest_aspect * result_aspect), height);
    else if (aspect > highest_aspect * result_aspect)
        box.width = rounded((double)height * (highest_aspect * result_aspect), width);
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

struct lorac_crop_box lorac_crop_draw(const struct lorac_augment *augment, uint64_t seed, uint64_t epoch, uint64_t index,
                                      size_t height, size_t width, size_t H, size_t W)
{
    const double result_aspect = (double)W / (double)H;
    const double log_low = log(lowest_aspect), log_high = log(highest_aspect);
    struct lorac_rng rng;
    lorac_rng_init(&rng, seed, "resized-crop", epoch, index);
    for (int i = 0; i < TRIES; i++) {
        const double share = augment->area.low + (augment->area.high - augment->area.low) * lorac_rng_uniform(&rng);
        const double aspect = result_aspect * exp(log_low + (log_high - log_low) * lorac_rng_uniform(&rng));
        const double area = share * (double)height * (double)width;
        const double box_width = floor(sqrt(area * aspect) + 0.5), box_height = floor(sqrt(area / aspect) + 0.5);
        if (box_width < 1.0 || box_height < 1.0 || box_width > (double)width || box_height > (double)height)
            continue;
        struct lorac_crop_box box = {.height = (size_t)box_height, .width = (size_t)box_width};
        box.top = (size_t)lorac_rng_below(&rng, height - box.height + 1);
        box.left = (size_t)lorac_rng_below(&rng, width - box.width + 1);
        return box;
    }
    return middle_box(height, width, result_aspect);
}

// ---- resampling
//
// A pixel of the result is the mean of the source's around its centre, weighted by a triangle that is two source pixels
// wide where the box is enlarged, and two of the result's pixels where it is shrunk. The source is gone through row by
// row: each is resampled to the width of the result and added to the rows of the result that it is part of. So the
// memory does not depend on the source, whose size nobody knows before training, and filling a batch cannot fail;
// lorac_resample, with the same weights, allocates by the source.

// Where one row or column of the result comes from: the source's first .. end-1.
struct reach {
    size_t first, end;
    float offset;  // of the middle of pixel [first] from the centre, in pixels
    float inverse; // 1 / sum of the weights
};

struct axis {
    struct reach *reach; // [count]
    size_t count;
    float slope; // of the triangle, per source pixel
};

static float weight_at(const struct axis *axis, const struct reach *reach, size_t place)
{
    const float weight = 1.0f - fabsf((float)(place - reach->first) + reach->offset) * axis->slope;
    return weight > 0.0f ? weight : 0.0f;
}

static void plan_axis(struct axis *axis, size_t begin, size_t length, size_t source)
{
    const double scale = (double)length / (double)axis->count, support = scale > 1.0 ? scale : 1.0;
    axis->slope = (float)(1.0 / support);
    for (size_t i = 0; i < axis->count; i++) {
        const double centre = (double)begin + ((double)i + 0.5) * scale;
        const double low = centre - support + 0.5, high = centre + support + 0.5;
        struct reach *reach = &axis->reach[i];
        reach->first = low > 0.0 ? (size_t)low : 0;
        reach->end = high < (double)source ? (size_t)high : source;
        reach->offset = (float)((double)reach->first + 0.5 - centre);
        float sum = 0.0f;
        for (size_t place = reach->first; place < reach->end; place++)
            sum += weight_at(axis, reach, place);
        reach->inverse = 1.0f / sum;
    }
}

// One source row [width, C] to [W, C]. A constant [C] lets the compiler unroll it.
static inline void resample_row(const struct axis *axis, const uint8_t *row, size_t C, float *out)
{
    for (size_t x = 0; x < axis->count; x++, out += C) {
        const struct reach *reach = &axis->reach[x];
        for (size_t c = 0; c < C; c++)
            out[c] = 0.0f;
        for (size_t place = reach->first; place < reach->end; place++) {
            const float weight = weight_at(axis, reach, place) * reach->inverse;
            for (size_t c = 0; c < C; c++)
                out[c] += weight * (float)row[place * C + c];
        }
    }
}

static void resample_row_of(const struct axis *axis, const uint8_t *row, size_t C, float *out)
{
    if (C == 3)
        resample_row(axis, row, 3, out);
    else if (C == 1)
        resample_row(axis, row, 1, out);
    else
        resample_row(axis, row, C, out);
}

size_t lorac_crop_scratch_bytes(size_t channels, size_t H, size_t W)
{
    return (H + W) * sizeof(struct reach) + W * channels * sizeof(float);
}

void lorac_crop_resample(const struct lorac_crop_request *request, float *sums, void *scratch, uint8_t *dst)
{
    const size_t C = request->channels, H = request->H, W = request->W, row_values = W * C;
    const struct lorac_crop_box *box = &request->box;
    struct axis down = {.reach = scratch, .count = H}, right = {.reach = (struct reach *)scratch + H, .count = W};
    float *row = (float *)(right.reach + W);
    assert(box->top + box->height <= request->height && box->left + box->width <= request->width);
    plan_axis(&down, box->top, box->height, request->height);
    plan_axis(&right, box->left, box->width, request->width);
    memset(sums, 0, H * row_values * sizeof *sums);
    size_t y_first = 0; // the first row of the result that source rows from here on are part of
    for (size_t from = down.reach[0].first; from < down.reach[H - 1].end; from++) {
        resample_row_of(&right, request->pixels + from * request->width * C, C, row);
        while (down.reach[y_first].end <= from)
            y_first++;
        for (size_t y = y_first; y < H && down.reach[y].first <= from; y++) {
            const float weight = weight_at(&down, &down.reach[y], from) * down.reach[y].inverse;
            float *sum = sums + y * row_values;
            for (size_t i = 0; i < row_values; i++)
                sum[i] += weight * row[i];
        }
    }
    for (size_t i = 0; i < H * row_values; i++)
        dst[i] = (uint8_t)(sums[i] + 0.5f); // a mean of values up to 255: never as much as 256
}
