// Choices of convolutions: measured, handed in again, and passed over where they do not belong. No time is judged.
#include "net_fixture.h"

enum { MAX_CONVOLUTIONS = 8 };

// The loss of a step by other algorithms or another form: other sums of the same few hundred terms.
static const double FORM_TOLERANCE = 1e-5;

struct kept {
    size_t count;
    struct lorac_convolution convolutions[MAX_CONVOLUTIONS];
    struct lorac_choice choices[MAX_CONVOLUTIONS];
};

// What the prepared net chose, copied, as an application would keep it.
static void keep(const struct lorac_net *net, struct kept *kept)
{
    struct lorac_error error = {0};
    *kept = (struct kept){.count = lorac_convolution_count(net)};
    REQUIRE(kept->count > 0 && kept->count <= MAX_CONVOLUTIONS);
    for (size_t i = 0; i < kept->count; i++) {
        struct lorac_convolution *c = &kept->convolutions[i];
        CHECK_OK(lorac_get_convolution(net, i, c, &error), error);
        kept->choices[i] =
            (struct lorac_choice){.key = c->key, .forward = c->forward, .gradient = c->gradient, .form = c->form};
    }
}

static struct lorac_net *prepared(const char *text, const struct lorac_prepare_options *options)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.text = text, .pixels = true});
    if (!CHECK_OK(lorac_prepare(net, options, &error), error))
        exit(1);
    return net;
}

static struct lorac_prepare_options with(const struct lorac_choice *choices, size_t count, bool tune)
{
    struct lorac_prepare_options options = training(2);
    options.choices = choices;
    options.choice_count = count;
    options.tune = tune;
    return options;
}

static size_t count_chosen(const struct lorac_net *net, enum lorac_chosen chosen)
{
    struct kept kept;
    size_t count = 0;
    keep(net, &kept);
    for (size_t i = 0; i < kept.count; i++)
        count += kept.convolutions[i].chosen == chosen;
    return count;
}

static void test_rule(void)
{
    struct lorac_error error = {0};
    struct lorac_convolution c;
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    CHECK(lorac_convolution_count(net) == 0);
    CHECK(lorac_get_convolution(net, 0, &c, &error) == LORAC_ERROR_ARGUMENT);
    lorac_close(net);
    const struct lorac_prepare_options options = with(NULL, 0, false);
    net = prepared(NULL, &options);
    CHECK(lorac_convolution_count(net) == 3);
    CHECK(count_chosen(net, LORAC_CHOSEN_BY_RULE) == 3);
    CHECK(lorac_get_convolution(net, 3, &c, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "has 3") != NULL);
    lorac_close(net);
}

static void test_refused(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(&(struct tiny_options){.pixels = true});
    const struct lorac_prepare_options options = with(NULL, 2, false);
    CHECK(lorac_prepare(net, &options, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_convolution_count(net) == 0);
    lorac_close(net);
}

// Measured once; handed in again nothing is measured, and the bits are the same.
static void test_measured_and_given(const char *text)
{
    struct kept first, again;
    struct lorac_prepare_options options = with(NULL, 0, true);
    struct lorac_net *tuned = prepared(text, &options);
    size_t measured = count_chosen(tuned, LORAC_CHOSEN_MEASURED);
    CHECK(measured > 0);
    keep(tuned, &first);
    options = with(first.choices, first.count, true);
    struct lorac_net *given = prepared(text, &options);
    keep(given, &again);
    CHECK(count_chosen(given, LORAC_CHOSEN_MEASURED) == 0);
    CHECK(count_chosen(given, LORAC_CHOSEN_GIVEN) >= measured);
    CHECK(again.count == first.count);
    for (size_t i = 0; i < first.count; i++) {
        CHECK_STRING(again.convolutions[i].key, first.convolutions[i].key);
        CHECK_STRING(again.convolutions[i].forward, first.convolutions[i].forward);
        CHECK((again.convolutions[i].gradient == NULL) == (first.convolutions[i].gradient == NULL));
    }
    train_steps(tuned, 6);
    train_steps(given, 6);
    CHECK(same_bytes(tuned, given));
    lorac_close(tuned);
    lorac_close(given);
}

static double loss_of(struct lorac_net *net)
{
    struct lorac_error error = {0};
    struct lorac_step_result result = {0};
    const struct lorac_images images = u8(0, BATCH);
    for (int step = 0; step < 3; step++)
        CHECK_OK(lorac_train_batch(net, &images, labels, NULL, &result, &error), error);
    return result.loss;
}

// Every name that a choice can have, of every convolution: what is possible is done, what is not is done by the rule,
// and the results stay.
static void test_each_choice(const char *text)
{
    static const struct {
        const char *forward, *gradient;
    } names[] = {{"winograd4", "winograd4"}, {"winograd2", "winograd2"}, {"gemm", "gemm"}, {"direct", "deconvolution"},
                 {NULL, "pointwise"},        {NULL, NULL}};
    static const char *const forms[] = {"definition", "branch"};
    struct kept by_rule, now;
    struct lorac_prepare_options options = with(NULL, 0, false);
    struct lorac_net *net = prepared(text, &options);
    keep(net, &by_rule);
    const double expected = loss_of(net);
    size_t followed = 0;
    lorac_close(net);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            struct lorac_choice choices[MAX_CONVOLUTIONS];
            for (size_t i = 0; i < by_rule.count; i++)
                choices[i] = (struct lorac_choice){by_rule.convolutions[i].key, names[n].forward,
                                                   names[n].gradient, forms[f]};
            options = with(choices, by_rule.count, false);
            net = prepared(text, &options);
            keep(net, &now);
            for (size_t i = 0; i < now.count; i++) {
                const struct lorac_convolution *c = &now.convolutions[i];
                followed += names[n].forward && strcmp(c->forward, names[n].forward) == 0;
                CHECK(c->chosen == LORAC_CHOSEN_GIVEN);
                if (c->form)
                    CHECK_STRING(c->form, forms[f]);
            }
            const double loss = loss_of(net);
            CHECKF(fabs(loss - expected) <= FORM_TOLERANCE * expected, "%s, %s: loss %.9g, by the rule %.9g",
                   names[n].forward ? names[n].forward : "no name", forms[f], loss, expected);
            lorac_close(net);
        }
    CHECK(followed > 0);
}

// A row with a name that is not known in its place says nothing: not that it was given, and it is measured anew.
static void test_unknown_names(void)
{
    static const struct lorac_choice unknown[] = {{.forward = "superconv", .gradient = "gemm"},
                                                  {.forward = "deconvolution"},
                                                  {.forward = "gemm", .gradient = "direct"},
                                                  {.forward = "gemm", .form = "neither"}};
    struct kept by_rule, kept;
    struct lorac_prepare_options options = with(NULL, 0, true);
    struct lorac_net *net = prepared(NULL, &options);
    const size_t measured = count_chosen(net, LORAC_CHOSEN_MEASURED);
    keep(net, &by_rule);
    lorac_close(net);
    for (size_t u = 0; u < sizeof unknown / sizeof *unknown; u++)
        for (int tune = 0; tune < 2; tune++) {
            struct lorac_choice choices[MAX_CONVOLUTIONS];
            for (size_t i = 0; i < by_rule.count; i++) {
                choices[i] = unknown[u];
                choices[i].key = by_rule.convolutions[i].key;
            }
            options = with(choices, by_rule.count, tune != 0);
            net = prepared(NULL, &options);
            keep(net, &kept);
            CHECK(count_chosen(net, LORAC_CHOSEN_GIVEN) == 0);
            CHECK(count_chosen(net, LORAC_CHOSEN_MEASURED) == (tune ? measured : 0));
            lorac_close(net);
        }
}

// Another machine's, another number of threads', another version's: not used.
static void test_foreign(void)
{
    struct kept kept;
    struct lorac_prepare_options options = with(NULL, 0, true);
    struct lorac_net *net = prepared(NULL, &options);
    keep(net, &kept);
    lorac_close(net);
    options = with(kept.choices, kept.count, false);
    options.threads = 1;
    net = prepared(NULL, &options);
    CHECK(count_chosen(net, LORAC_CHOSEN_GIVEN) == 0);
    lorac_close(net);
    for (size_t i = 0; i < kept.count; i++) {
        REQUIRE(strncmp(kept.convolutions[i].key, "kernels ", 8) == 0);
        kept.convolutions[i].key[8] = '0';
    }
    options = with(kept.choices, kept.count, false);
    net = prepared(NULL, &options);
    CHECK(count_chosen(net, LORAC_CHOSEN_GIVEN) == 0);
    lorac_close(net);
    const struct lorac_choice no_key = {.forward = "direct"};
    options = with(&no_key, 1, false);
    net = prepared(NULL, &options);
    CHECK(count_chosen(net, LORAC_CHOSEN_GIVEN) == 0);
    lorac_close(net);
}

static bool is_approximate(const char *name)
{
    return name && strncmp(name, "winograd", 8) == 0;
}

// A choice may not bring in what `exact` forbids, and measuring does not try it.
static void test_exact(void)
{
    struct kept kept;
    struct lorac_prepare_options options = with(NULL, 0, true);
    options.exact = true;
    struct lorac_net *net = prepared(TINY_FROZEN_TEXT, &options);
    keep(net, &kept);
    lorac_close(net);
    for (size_t i = 0; i < kept.count; i++) {
        CHECK(!is_approximate(kept.convolutions[i].forward) && !is_approximate(kept.convolutions[i].gradient));
        CHECK(strstr(kept.convolutions[i].key, ", exact") != NULL);
        kept.choices[i].forward = kept.choices[i].gradient = "winograd4";
    }
    options.choices = kept.choices;
    options.choice_count = kept.count;
    options.tune = false;
    net = prepared(TINY_FROZEN_TEXT, &options);
    keep(net, &kept);
    CHECK(count_chosen(net, LORAC_CHOSEN_GIVEN) == kept.count);
    for (size_t i = 0; i < kept.count; i++)
        CHECK(!is_approximate(kept.convolutions[i].forward) && !is_approximate(kept.convolutions[i].gradient));
    lorac_close(net);
}

// A form that was asked for is kept whatever is measured.
static void test_form_policy(void)
{
    struct kept kept;
    for (int policy = LORAC_FORM_POLICY_DEFINITION; policy <= LORAC_FORM_POLICY_BRANCH; policy++) {
        struct lorac_prepare_options options = with(NULL, 0, true);
        options.form_policy = (enum lorac_form_policy)policy;
        struct lorac_net *net = prepared(TINY_FROZEN_TEXT, &options);
        keep(net, &kept);
        for (size_t i = 0; i < kept.count; i++)
            if (kept.convolutions[i].form)
                CHECK_STRING(kept.convolutions[i].form,
                             policy == LORAC_FORM_POLICY_BRANCH ? "branch" : "definition");
        lorac_close(net);
    }
}

int main(void)
{
    make_images();
    test_rule();
    test_refused();
    test_measured_and_given(NULL);
    test_measured_and_given(TINY_FROZEN_TEXT);
    test_each_choice(NULL);
    test_each_choice(TINY_FROZEN_TEXT);
    test_unknown_names();
    test_foreign();
    test_exact();
    test_form_policy();
    return check_report();
}
