// Cross-entropy with label smoothing e over K classes, for one row z with label y:
//
//     loss = (1 - e)*(lse - z[y]) + e*(lse - mean(z)),  lse = log(sum(exp(z)))
//     d loss / d z[c] = softmax(z)[c] - (1 - e)*[c == y] - e/K
//
// All of it in double, shifted by the largest logit so that exp cannot overflow. A NaN or +infinity among the logits
// makes the loss NaN; nothing is clamped.
#include "optimizer.h"

#include <assert.h>
#include <math.h>

struct row_sums {
    size_t largest; // the first of the largest
    double shift;   // z[largest]
    double total;   // sum of exp(z - shift)
    double mean;    // of z
};

static struct row_sums sum_row(const float *z, size_t classes)
{
    struct row_sums sums = {0};
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[sums.largest])
            sums.largest = c;
    sums.shift = z[sums.largest];
    for (size_t c = 0; c < classes; c++) {
        sums.total += exp((double)z[c] - sums.shift);
        sums.mean += (double)z[c] / (double)classes;
    }
    return sums;
}

static void row_gradient(const struct lorac_loss_rows *part, size_t r, const struct row_sums *sums, float *gradient)
{
    const float *z = part->logits + r * part->classes;
    const double smoothing = part->label_smoothing;
    for (size_t c = 0; c < part->classes; c++) {
        double probability = exp((double)z[c] - sums->shift) / sums->total;
        double target = (c == (size_t)part->labels[r] ? 1 - smoothing : 0) + smoothing / (double)part->classes;
        gradient[r * part->classes + c] = (float)((probability - target) / (double)part->batch);
    }
}

double lorac_cross_entropy(const struct lorac_loss_rows *part, float *gradient, size_t *correct, double *per_row)
{
    const size_t classes = part->classes;
    const double label_smoothing = part->label_smoothing;
    assert(part->rows > 0 && part->rows <= part->batch && classes > 0);
    double total = 0;
    size_t hits = 0;
    for (size_t r = 0; r < part->rows; r++) {
        const float *z = part->logits + r * classes;
        assert(part->labels[r] >= 0 && (size_t)part->labels[r] < classes);
        const size_t label = (size_t)part->labels[r];
        const struct row_sums sums = sum_row(z, classes);
        const double rest = log(sums.total); // lse - shift
        double loss = (1 - label_smoothing) * (rest - ((double)z[label] - sums.shift));
        // Left out where it does not count: 0 times the mean of logits that hold an infinity is NaN.
        if (label_smoothing != 0)
            loss += label_smoothing * (rest - (sums.mean - sums.shift));
        total += loss;
        hits += sums.largest == label && !isnan(loss);
        if (per_row)
            per_row[r] = loss;
        if (gradient)
            row_gradient(part, r, &sums, gradient);
    }
    if (correct)
        *correct = hits;
    return total / (double)part->batch;
}
