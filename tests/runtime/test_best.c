// The best values so far: which is better, and that they come back to the bit.
#include "check.h"
#include "net_fixture.h"

#include "runtime/train/best.h"

static void test_order(void)
{
    static const struct {
        const char *name;
        struct lorac_best_mark a, b;
        bool better; // a than b
    } rows[] = {
        {"any than none", {1, 5, 10, 0, 9.0}, {0, 0, 0, 0, 0}, true},
        {"more correct", {2, 10, 10, 8, 3.0}, {1, 5, 10, 7, 0.1}, true},
        {"fewer correct", {2, 10, 10, 6, 0.1}, {1, 5, 10, 7, 3.0}, false},
        {"a tie, lower loss", {2, 10, 10, 7, 0.5}, {1, 5, 10, 7, 0.6}, true},
        {"a tie, higher loss", {2, 10, 10, 7, 0.7}, {1, 5, 10, 7, 0.6}, false},
        {"all the same: the earlier stays", {2, 10, 10, 7, 0.6}, {1, 5, 10, 7, 0.6}, false},
        {"a larger share of fewer images", {2, 10, 9, 7, 0.9}, {1, 5, 10, 7, 0.6}, true},
        {"the same share of fewer images, higher loss", {2, 10, 5, 4, 0.9}, {1, 5, 10, 8, 0.6}, false},
        {"many images", {2, 10, 4000000000, 3999999999, 0.9}, {1, 5, 4000000000, 3999999998, 0.6}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECKF(lorac_best_is_better(&rows[i].a, &rows[i].b) == rows[i].better, "%s", rows[i].name);
}

// Values of a training in which the best is offered after [best] of [steps] steps and restored at the end, against a
// training of [best] steps.
static void test_restore(const struct tiny_options *tiny)
{
    enum { GOOD = 3, STEPS = 7 };
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(tiny, true), *expected = open_prepared(tiny, true);
    struct lorac_best best = {0};
    CHECK_OK(lorac_best_create(&best, net, &error), error);
    CHECK(best.snapshot.value_count > 0 && best.snapshot.value_count * sizeof(float) == lorac_best_bytes(net));
    train_steps(net, GOOD);
    train_steps(expected, GOOD);
    CHECK(lorac_best_offer(&best, &(struct lorac_best_mark){1, GOOD, 10, 6, 1.0}));
    // What is worse changes nothing.
    for (size_t step = GOOD; step < STEPS; step++) {
        const size_t first = step * BATCH % (IMAGES / BATCH * BATCH);
        const struct lorac_images images = u8(first, BATCH);
        CHECK_OK(lorac_train_batch(net, &images, labels + first, NULL, NULL, &error), error);
    }
    CHECK(!lorac_best_offer(&best, &(struct lorac_best_mark){2, STEPS, 10, 6, 1.0}));
    CHECK(best.mark.epoch == 1 && best.mark.step == GOOD);
    CHECK(!same_bytes(net, expected));
    // The kernels hold the last values, and must let them go.
    float outputs[IMAGES * TINY_CLASSES], wanted[IMAGES * TINY_CLASSES];
    const struct lorac_images all = u8(0, IMAGES);
    CHECK_OK(lorac_predict(net, &all, outputs, &error), error);
    lorac_best_restore(&best);
    CHECK(same_bytes(net, expected));
    CHECK_OK(lorac_predict(net, &all, outputs, &error), error);
    CHECK_OK(lorac_predict(expected, &all, wanted, &error), error);
    CHECK(memcmp(outputs, wanted, sizeof wanted) == 0);
    lorac_best_clear(&best);
    lorac_close(net);
    lorac_close(expected);
}

int main(void)
{
    make_images();
    test_order();
    test_restore(&(struct tiny_options){.pixels = true});
    test_restore(&(struct tiny_options){.text = TINY_FROZEN_TEXT, .pixels = true});
    test_restore(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_FROZEN});
    test_restore(&(struct tiny_options){.text = TINY_BN_TEXT, .pixels = true, .bn = LORAC_BN_TRAIN});
    return check_report();
}
