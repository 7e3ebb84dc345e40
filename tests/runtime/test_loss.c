// Cross-entropy: against its definition term by term in double, its gradient against finite differences, and the cases
// that break careless implementations.
#include "check.h"

#include "proto/rng.h"
#include "runtime/train/optimizer.h"

enum { MAX_ROWS = 9, MAX_CLASSES = 33 };

// Both sides are double; the gradient is rounded to float once.
static const double LOSS_TOLERANCE = 1e-12, GRADIENT_ROUNDING = 1e-7;
// Central differences on float logits.
static const double DIFFERENCE_TOLERANCE = 2e-6;

static const struct shape {
    size_t rows, classes;
    double scale, smoothing;
} shapes[] = {
    {1, 2, 1, 0},  {3, 5, 1, 0},     {9, 10, 3, 0},  {2, 33, 5, 0}, {4, 1, 1, 0},    {3, 5, 1, 0.1},
    {9, 10, 3, 1}, {2, 33, 5, 0.37}, {4, 1, 1, 0.5}, {5, 7, 60, 0}, {5, 7, 60, 0.2},
};

// The definition with nothing shared: probabilities by exp in long double, targets as PyTorch mixes them.
static double definition(const float *logits, const int32_t *labels, size_t rows, size_t classes, double smoothing)
{
    long double total = 0;
    for (size_t r = 0; r < rows; r++) {
        long double sum = 0;
        for (size_t c = 0; c < classes; c++)
            sum += expl((long double)logits[r * classes + c]);
        for (size_t c = 0; c < classes; c++) {
            long double target = (long double)smoothing / (long double)classes;
            if ((size_t)labels[r] == c)
                target += 1 - (long double)smoothing;
            total -= target * logl(expl((long double)logits[r * classes + c]) / sum);
        }
    }
    return (double)(total / (long double)rows);
}

static void test_shape(const struct shape *shape, uint64_t number)
{
    const size_t rows = shape->rows, classes = shape->classes;
    float logits[MAX_ROWS * MAX_CLASSES], gradient[MAX_ROWS * MAX_CLASSES];
    int32_t labels[MAX_ROWS];
    struct lorac_rng rng;
    lorac_rng_init(&rng, 1, "loss", number, 0);
    for (size_t i = 0; i < rows * classes; i++)
        logits[i] = (float)(lorac_rng_normal(&rng) * shape->scale);
    for (size_t r = 0; r < rows; r++)
        labels[r] = (int32_t)lorac_rng_below(&rng, classes);

    double per_row[MAX_ROWS], row_sum = 0;
    size_t correct, expected_correct = 0;
    const struct lorac_loss_rows all = {logits, labels, rows, classes, rows, shape->smoothing};
    double got = lorac_cross_entropy(&all, gradient, &correct, per_row);
    double expected = definition(logits, labels, rows, classes, shape->smoothing);
    CHECKF(fabs(got - expected) <= LOSS_TOLERANCE * (1 + fabs(expected)), "shape %u: loss %.17g, expected %.17g",
           (unsigned)number, got, expected);
    for (size_t r = 0; r < rows; r++) {
        bool largest = true;
        for (size_t c = 0; c < classes; c++)
            largest &= logits[r * classes + c] <= logits[r * classes + (size_t)labels[r]];
        expected_correct += largest;
        row_sum += per_row[r];
        double alone = definition(logits + r * classes, labels + r, 1, classes, shape->smoothing);
        CHECKF(fabs(per_row[r] - alone) <= LOSS_TOLERANCE * (1 + fabs(alone)),
               "shape %u row %zu: %.17g, expected %.17g", (unsigned)number, r, per_row[r], alone);
    }
    CHECKF(correct == expected_correct, "shape %u: %zu correct, expected %zu", (unsigned)number, correct,
           expected_correct);
    CHECK(fabs(row_sum / (double)rows - got) <= LOSS_TOLERANCE * (1 + fabs(got)));

    for (size_t i = 0; i < rows * classes; i++) {
        const float kept = logits[i];
        const float up = kept + 0.01f, down = kept - 0.01f;
        logits[i] = up;
        double above = definition(logits, labels, rows, classes, shape->smoothing);
        logits[i] = down;
        double below = definition(logits, labels, rows, classes, shape->smoothing);
        logits[i] = kept;
        double slope = (above - below) / ((double)up - (double)down);
        // The third derivative of the loss is below 1/(6*sqrt(3)) < 0.1 per row: the difference quotient is off by at
        // most 0.1 * 0.01^2 / 6.
        CHECKF(fabs(gradient[i] - slope) <= DIFFERENCE_TOLERANCE, "shape %u element %zu: gradient %.9g, slope %.9g",
               (unsigned)number, i, (double)gradient[i], slope);
    }
}

// A batch in parts: their losses add up to the batch's, their gradients are its rows, to the bit.
static void test_parts(void)
{
    enum { ROWS = 6, CLASSES = 3, PART = 2 };
    float logits[ROWS * CLASSES], whole[ROWS * CLASSES], parts[ROWS * CLASSES];
    int32_t labels[ROWS];
    for (size_t i = 0; i < ROWS * CLASSES; i++)
        logits[i] = (float)(i * i % 7) - 3;
    for (size_t r = 0; r < ROWS; r++)
        labels[r] = (int32_t)(r % CLASSES);
    struct lorac_loss_rows rows = {logits, labels, ROWS, CLASSES, ROWS, 0.1};
    size_t expected_correct, correct, correct_sum = 0;
    double expected = lorac_cross_entropy(&rows, whole, &expected_correct, NULL), sum = 0;
    rows.rows = PART;
    for (size_t r = 0; r < ROWS; r += PART) {
        rows.logits = logits + r * CLASSES;
        rows.labels = labels + r;
        sum += lorac_cross_entropy(&rows, parts + r * CLASSES, &correct, NULL);
        correct_sum += correct;
    }
    CHECK(fabs(sum - expected) <= LOSS_TOLERANCE * (1 + expected));
    CHECK(correct_sum == expected_correct && memcmp(parts, whole, sizeof whole) == 0);
}

// Rows of a gradient sum to zero.
static void test_gradient_sums(void)
{
    const float logits[6] = {1, 2, 3, -4, 0, 4};
    const int32_t labels[2] = {0, 2};
    float gradient[6];
    const struct lorac_loss_rows all = {logits, labels, 2, 3, 2, 0.1};
    lorac_cross_entropy(&all, gradient, NULL, NULL);
    for (size_t r = 0; r < 2; r++)
        CHECK(fabs((double)gradient[r * 3] + (double)gradient[r * 3 + 1] + (double)gradient[r * 3 + 2]) <=
              GRADIENT_ROUNDING);
}

static void test_huge(void)
{
    static const struct {
        float logits[3];
        int32_t label;
        double loss;
        size_t correct;
    } rows[] = {
        {{3e38f, 0, -3e38f}, 0, 0, 1},
        {{1e30f, -1e30f, 0}, 1, 2e30, 0},
        {{1000, 999, 998}, 0, 0.40760596444438013, 1},
        {{-1000, -1001, -1002}, 2, 2.4076059644443801, 0},
        {{-3e38f, -3e38f, -3e38f}, 1, 1.0986122886681098, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float gradient[3];
        size_t correct;
        const struct lorac_loss_rows row = {rows[i].logits, &rows[i].label, 1, 3, 1, 0};
        double loss = lorac_cross_entropy(&row, gradient, &correct, NULL);
        CHECKF(fabs(loss - rows[i].loss) <= 1e-7 * fabs(rows[i].loss), "huge %zu: loss %.17g, expected %.17g", i, loss,
               rows[i].loss);
        CHECKF(correct == rows[i].correct, "huge %zu: %zu correct", i, correct);
        CHECK(isfinite(gradient[0]) && isfinite(gradient[1]) && isfinite(gradient[2]));
    }
}

// Of equal logits the first counts, as argmax does.
static void test_ties(void)
{
    const float logits[3] = {1, 7, 7};
    for (int32_t label = 0; label < 3; label++) {
        size_t correct;
        const struct lorac_loss_rows row = {logits, &label, 1, 3, 1, 0};
        lorac_cross_entropy(&row, NULL, &correct, NULL);
        CHECKF(correct == (label == 1), "label %d: %zu correct", (int)label, correct);
    }
}

// Nothing is clamped: a bad logit makes the loss bad, and the row counts as wrong.
static void test_not_finite(void)
{
    const float bad[][3] = {{NAN, 0, 1}, {0, NAN, 1}, {INFINITY, 0, 1}, {-INFINITY, -INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int32_t label = 0; label < 3; label++) {
            size_t correct;
            const struct lorac_loss_rows row = {bad[i], &label, 1, 3, 1, 0};
            double loss = lorac_cross_entropy(&row, NULL, &correct, NULL);
            CHECKF(!isfinite(loss) && correct == 0, "bad %zu label %d: loss %g, %zu correct", i, (int)label, loss,
                   correct);
        }
}

int main(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        test_shape(&shapes[i], i);
    test_parts();
    test_gradient_sums();
    test_huge();
    test_ties();
    test_not_finite();
    return check_report();
}
