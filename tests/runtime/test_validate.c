// Validation while training: it changes no bit of the training, says what the evaluation of the same images says, keeps
// the best values, and stops where patience ends.
#include "check.h"
#include "net_fixture.h"

#include "runtime/data/split.h"
#include "runtime/train/validate.h"

enum { EPOCHS = 6, MOST_EPOCHS = 64 };

struct seen {
    size_t steps, epochs;
    double losses[MOST_EPOCHS * IMAGES], norms[MOST_EPOCHS * IMAGES];
    struct lorac_loop_epoch epoch[MOST_EPOCHS];
};

static bool see_step(void *context, const struct lorac_loop_progress *progress)
{
    struct seen *seen = context;
    seen->losses[seen->steps] = progress->result.loss;
    seen->norms[seen->steps++] = progress->result.gradient_norm;
    return false;
}

static void see_epoch(void *context, const struct lorac_loop_epoch *epoch)
{
    struct seen *seen = context;
    REQUIRE(seen->epochs < MOST_EPOCHS);
    CHECK(epoch->step == seen->steps && epoch->epoch == seen->epochs + 1);
    seen->epoch[seen->epochs++] = *epoch;
}

static void see_more(void *context, const struct lorac_loop_epoch *epoch)
{
    struct seen *seen = context;
    seen->epoch[seen->epochs++] = *epoch;
}

struct trial {
    const struct tiny_options *tiny;
    struct lorac_prepare_options prepare;
    struct lorac_loop_options loop;
    struct lorac_validation_options validation; // every 0: none
    enum lorac_status status;
};

// Runs the trial's loop on a net of its own; [validation], where not NULL, is the caller's to clear.
static struct lorac_net *run(const struct trial *trial, struct lorac_validation *validation, struct seen *seen)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_tiny(trial->tiny);
    CHECK_OK(lorac_prepare(net, &trial->prepare, &error), error);
    struct lorac_batch_source source = trial->loop.source;
    source.normalize = net->normalize;
    source.augment = (struct lorac_augment){0};
    struct lorac_loop_options loop = trial->loop;
    loop.source.normalize = net->normalize;
    loop.callback = see_step;
    loop.epoch_callback = see_epoch;
    loop.context = seen;
    if (validation) {
        struct lorac_validation_options options = trial->validation;
        options.source = &source;
        CHECK_OK(lorac_validation_create(validation, net, &options, &error), error);
        loop.validation = validation;
    }
    *seen = (struct seen){0};
    CHECKF(lorac_loop_run(net, &loop, &error) == trial->status, "%s", error.message);
    if (validation)
        validation->options.source = NULL; // gone with this call
    return net;
}

static struct trial make_trial(const struct lorac_dataset *dataset, const struct lorac_split *split,
                               const struct tiny_options *tiny)
{
    struct trial trial = {.tiny = tiny, .prepare = training(2), .loop = lorac_loop_options_default()};
    trial.loop.source.dataset = dataset;
    trial.loop.source.augment = (struct lorac_augment){.crop_pad = 4, .flip = true};
    trial.loop.source.seed = 5;
    trial.loop.images = split->images;
    trial.loop.image_count = split->kept_count;
    trial.loop.epochs = EPOCHS;
    trial.loop.schedule = LORAC_SCHEDULE_CONSTANT;
    trial.validation = (struct lorac_validation_options){.images = split->images + split->kept_count,
                                                         .count = split->held_count,
                                                         .every = 1,
                                                         .keep_values = true};
    return trial;
}

static struct lorac_split make_split(const struct lorac_dataset *dataset)
{
    struct lorac_error error = {0};
    struct lorac_split split = {0};
    CHECK_OK(lorac_split_make(dataset->labels, dataset->count, 0.3, 1, &split, &error), error);
    REQUIRE(split.images && split.kept_count >= BATCH && split.held_count % BATCH != 0); // a partial last batch
    return split;
}

// The images [first, first + count) of the split, scored one by one through lorac.h.
static void score(struct lorac_net *net, const uint32_t *images, size_t count, struct lorac_evaluation *out)
{
    struct lorac_error error = {0};
    *out = (struct lorac_evaluation){.images = count};
    for (size_t i = 0; i < count; i++) {
        const struct lorac_images one = u8(images[i], 1);
        struct lorac_evaluation each = {0};
        CHECK_OK(lorac_evaluate(net, &one, labels + images[i], NULL, NULL, &each, &error), error);
        out->correct += each.correct;
        out->loss += each.loss / (double)count;
    }
}

static const struct undisturbed_case {
    const char *name, *text;
    enum lorac_bn_mode bn;
    enum lorac_form_policy form;
    size_t micro_batch, recompute, threads;
    bool adam;
} undisturbed_cases[] = {
    {"plain", NULL, LORAC_BN_FROZEN, LORAC_FORM_POLICY_AUTO, 0, 0, 1, false},
    {"definition", NULL, LORAC_BN_FROZEN, LORAC_FORM_POLICY_DEFINITION, 0, 0, 2, false},
    {"branches", TINY_FROZEN_TEXT, LORAC_BN_FROZEN, LORAC_FORM_POLICY_BRANCH, 0, 0, 2, true},
    {"branches and BatchNorm", TINY_BN_TEXT, LORAC_BN_TRAIN, LORAC_FORM_POLICY_BRANCH, 0, 0, 2, false},
    {"statistics of the batch", TINY_BN_TEXT, LORAC_BN_TRAIN, LORAC_FORM_POLICY_AUTO, 0, 0, 2, true},
    {"frozen statistics", TINY_BN_TEXT, LORAC_BN_FROZEN, LORAC_FORM_POLICY_AUTO, 0, 0, 2, false},
    {"micro-batches", TINY_BN_TEXT, LORAC_BN_FROZEN, LORAC_FORM_POLICY_AUTO, 2, 0, 2, false},
    {"computed twice", TINY_BN_TEXT, LORAC_BN_TRAIN, LORAC_FORM_POLICY_AUTO, 0, 2, 2, false},
    {"a softmax", TINY_SOFTMAX_TEXT, LORAC_BN_FROZEN, LORAC_FORM_POLICY_AUTO, 0, 0, 2, false},
};

// Every loss, every gradient's norm and the last values are the same bits with validation as without; what validation
// says is what the images give when the model is stopped there.
static void test_undisturbed(const struct undisturbed_case *row)
{
    const struct tiny_options tiny = {.text = row->text, .pixels = true, .bn = row->bn};
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    struct trial trial = make_trial(&dataset, &split, &tiny);
    trial.prepare.threads = row->threads;
    trial.prepare.form_policy = row->form;
    trial.prepare.micro_batch = row->micro_batch;
    trial.prepare.recompute = row->recompute;
    trial.prepare.optimizer.kind = row->adam ? LORAC_ADAMW : LORAC_SGD;
    static struct seen with, without, shorter;
    struct lorac_validation validation = {0};
    struct lorac_net *validated = run(&trial, &validation, &with), *plain = run(&trial, NULL, &without);
    CHECKF(with.steps == without.steps && with.epochs == EPOCHS && without.epochs == EPOCHS, "%s", row->name);
    CHECKF(memcmp(with.losses, without.losses, with.steps * sizeof *with.losses) == 0, "%s: losses", row->name);
    CHECKF(memcmp(with.norms, without.norms, with.steps * sizeof *with.norms) == 0, "%s: norms", row->name);
    CHECKF(same_bytes(validated, plain), "%s: last values", row->name);
    size_t better = 0;
    for (uint64_t e = 1; e <= EPOCHS; e++) {
        const struct lorac_loop_epoch *epoch = &with.epoch[e - 1];
        struct lorac_evaluation expected;
        CHECKF(epoch->validated && !without.epoch[e - 1].validated, "%s", row->name);
        trial.loop.epochs = e;
        struct lorac_net *net = run(&trial, NULL, &shorter);
        score(net, trial.validation.images, trial.validation.count, &expected);
        CHECKF(epoch->validation.images == expected.images && epoch->validation.correct == expected.correct &&
                   fabs(epoch->validation.loss - expected.loss) <= SUM_TOLERANCE * (1 + expected.loss),
               "%s: epoch %u: %zu correct, loss %g; expected %zu, %g", row->name, (unsigned)e,
               epoch->validation.correct, epoch->validation.loss, expected.correct, expected.loss);
        if (e == validation.best.mark.epoch) {
            lorac_best_restore(&validation.best);
            CHECKF(same_bytes(validated, net), "%s: not the values of the best epoch", row->name);
            CHECKF(validation.best.mark.correct == epoch->validation.correct, "%s", row->name);
        }
        better = epoch->better ? e : better;
        lorac_close(net);
    }
    CHECKF(better == validation.best.mark.epoch, "%s: the best is of epoch %u", row->name,
           (unsigned)validation.best.mark.epoch);
    lorac_validation_clear(&validation);
    lorac_split_clear(&split);
    lorac_close(validated);
    lorac_close(plain);
}

// Training on a part is training on a set that holds this part alone (without random numbers of single images).
static void test_subset(void)
{
    const struct tiny_options tiny = {.pixels = true};
    struct lorac_dataset dataset = tiny_dataset(), part = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    static uint8_t part_pixels[IMAGES * TINY_PIXELS];
    int32_t part_labels[IMAGES];
    for (size_t i = 0; i < split.kept_count; i++) {
        memcpy(part_pixels + i * TINY_PIXELS, pixels + split.images[i] * (size_t)TINY_PIXELS, TINY_PIXELS);
        part_labels[i] = labels[split.images[i]];
    }
    part.pixels = part_pixels;
    part.labels = part_labels;
    part.count = split.kept_count;
    struct trial trial = make_trial(&dataset, &split, &tiny);
    trial.loop.source.augment = (struct lorac_augment){0};
    static struct seen of_whole, of_part;
    struct lorac_net *a = run(&trial, NULL, &of_whole);
    trial.loop.source.dataset = &part;
    trial.loop.images = NULL;
    struct lorac_net *b = run(&trial, NULL, &of_part);
    CHECK(of_whole.steps == of_part.steps && same_bytes(a, b));
    lorac_close(a);
    lorac_close(b);
    lorac_split_clear(&split);
}

static const struct when_case {
    const char *name;
    uint64_t epochs, steps, every; // 3 steps are an epoch
    const char *validated;         // a letter per epoch
} when_cases[] = {
    {"each", 4, 0, 1, "vvvv"},
    {"every third, and the last", 5, 0, 3, "--v-v"},
    {"never but at the end", 2, 0, 9, "-v"},
    {"within an epoch", 0, 7, 1, "vvv"},
    {"within an epoch that is not due", 0, 7, 2, "-vv"},
    {"less than an epoch", 0, 2, 1, "v"},
};

static void test_when(const struct when_case *row)
{
    const struct tiny_options tiny = {.pixels = true};
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    struct trial trial = make_trial(&dataset, &split, &tiny);
    REQUIRE(split.kept_count / BATCH == 3);
    trial.loop.epochs = row->epochs;
    trial.loop.steps = row->steps;
    trial.validation.every = row->every;
    static struct seen seen;
    struct lorac_validation validation = {0};
    lorac_close(run(&trial, &validation, &seen));
    CHECKF(seen.epochs == strlen(row->validated), "%s: %zu epochs", row->name, seen.epochs);
    for (size_t e = 0; e < seen.epochs; e++)
        CHECKF(seen.epoch[e].validated == (row->validated[e] == 'v'), "%s: epoch %zu", row->name, e + 1);
    lorac_validation_clear(&validation);
    lorac_split_clear(&split);
}

// With a learning rate that only rounds away nothing changes: the first validation stays the best, and patience ends.
static void test_patience(void)
{
    static const struct {
        uint64_t patience, every, epochs;
    } rows[] = {{1, 1, 2}, {3, 1, 4}, {3, 2, 6}, {0, 1, 20}, {50, 1, 20}};
    const struct tiny_options tiny = {.pixels = true};
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trial trial = make_trial(&dataset, &split, &tiny);
        trial.prepare.optimizer.lr = 1e-30;
        trial.loop.epochs = 20;
        trial.validation.patience = rows[i].patience;
        trial.validation.every = rows[i].every;
        trial.validation.keep_values = false;
        static struct seen seen;
        struct lorac_validation validation = {0};
        lorac_close(run(&trial, &validation, &seen));
        CHECKF(seen.epochs == rows[i].epochs, "row %zu: %zu epochs", i, seen.epochs);
        CHECK(seen.epoch[seen.epochs - 1].stops == (rows[i].epochs < 20));
        CHECK(validation.best.mark.epoch == rows[i].every && !validation.best.values);
        const struct lorac_validation_state state = lorac_validation_state(&validation);
        CHECK(state.epoch == rows[i].epochs && state.stops == (rows[i].epochs < 20));
        lorac_validation_clear(&validation);
    }
    lorac_split_clear(&split);
}

// The state out of one and into another goes on as the one would have.
static void test_state(void)
{
    struct lorac_validation a = {.options = {.every = 1, .patience = 2}}, b = {.options = {.every = 1, .patience = 2}};
    a.epoch = 4;
    a.stops = true;
    a.best.mark = (struct lorac_best_mark){2, 6, 10, 7, 0.5};
    const struct lorac_validation_state state = lorac_validation_state(&a);
    lorac_validation_set_state(&b, &state);
    CHECK(b.epoch == 4 && b.stops && memcmp(&b.best.mark, &a.best.mark, sizeof a.best.mark) == 0);
    CHECK(!lorac_validation_is_due(&b, 4, true) && lorac_validation_is_due(&b, 5, false));
}

static bool stop_in_the_middle(void *context, size_t done, size_t total)
{
    size_t *calls = context;
    return ++*calls == 3 && done < total; // in the second validation
}

// A run that ended before the validation of its epoch, and starts again there, does it first; then it goes on as the
// undisturbed one.
static void test_resumed(void)
{
    const struct tiny_options tiny = {.pixels = true};
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    struct trial trial = make_trial(&dataset, &split, &tiny);
    static struct seen seen, again;
    struct lorac_error error = {0};
    struct lorac_validation whole = {0}, first = {0}, second = {0};
    lorac_close(run(&trial, &whole, &seen));
    trial.loop.epochs = 2; // of 3 steps
    struct lorac_net *net = run(&trial, &first, &again);
    struct lorac_batch_source source = trial.loop.source;
    source.normalize = net->normalize;
    struct lorac_batch_source plain = source;
    plain.augment = (struct lorac_augment){0};
    struct lorac_validation_options options = trial.validation;
    options.source = &plain;
    CHECK_OK(lorac_validation_create(&second, net, &options, &error), error);
    struct lorac_validation_state state = lorac_validation_state(&first);
    state.epoch = 1; // as before the validation of the second
    state.best = (struct lorac_best_mark){1, 3, seen.epoch[0].validation.images, seen.epoch[0].validation.correct,
                                          seen.epoch[0].validation.loss};
    lorac_validation_set_state(&second, &state);
    struct lorac_loop_options loop = trial.loop;
    loop.source = source;
    loop.epochs = EPOCHS;
    loop.start = (struct lorac_loop_position){6, 3 * again.epoch[1].loss, (uint64_t)(again.epoch[1].accuracy * 3 * BATCH + 0.5)};
    loop.validation = &second;
    loop.callback = see_step;
    loop.epoch_callback = see_more;
    again = (struct seen){.steps = 6};
    loop.context = &again;
    CHECK_OK(lorac_loop_run(net, &loop, &error), error);
    CHECK(again.epochs == EPOCHS - 1);
    for (size_t e = 0; e + 1 < EPOCHS; e++) {
        const struct lorac_loop_epoch *a = &seen.epoch[e + 1], *b = &again.epoch[e];
        CHECKF(a->epoch == b->epoch && a->step == b->step && fabs(a->loss - b->loss) < 1e-12 && a->accuracy == b->accuracy &&
                   memcmp(&a->validation, &b->validation, sizeof a->validation) == 0 && a->better == b->better,
               "epoch %zu", e + 2);
    }
    lorac_validation_clear(&whole);
    lorac_validation_clear(&first);
    lorac_validation_clear(&second);
    lorac_split_clear(&split);
    lorac_close(net);
}

// A validation that is stopped stops the loop, and says nothing about its epoch.
static void test_aborted(void)
{
    const struct tiny_options tiny = {.pixels = true};
    const struct lorac_dataset dataset = tiny_dataset();
    struct lorac_split split = make_split(&dataset);
    struct trial trial = make_trial(&dataset, &split, &tiny);
    size_t calls = 0;
    REQUIRE((split.held_count + BATCH - 1) / BATCH == 2);
    trial.validation.callback = stop_in_the_middle;
    trial.validation.context = &calls;
    trial.status = LORAC_ERROR_ABORTED;
    static struct seen seen;
    struct lorac_validation validation = {0};
    lorac_close(run(&trial, &validation, &seen));
    CHECK(seen.epochs == 1 && seen.steps == 6 && validation.epoch == 1 && validation.best.mark.epoch == 1);
    lorac_validation_clear(&validation);
    lorac_split_clear(&split);
}

static void test_refusals(void)
{
    struct lorac_error error = {0};
    struct lorac_net *net = open_prepared(&(struct tiny_options){.pixels = true}, true);
    struct lorac_dataset dataset = tiny_dataset();
    struct lorac_batch_source source = {.dataset = &dataset, .normalize = net->normalize};
    const struct lorac_validation_options options = {.source = &source, .every = 1};
    struct lorac_validation validation = {0};
    dataset.labels = NULL;
    CHECK(lorac_validation_create(&validation, net, &options, &error) == LORAC_ERROR_ARGUMENT &&
          strstr(error.message, "labels"));
    dataset.labels = labels;
    dataset.height = 4;
    CHECK(lorac_validation_create(&validation, net, &options, &error) == LORAC_ERROR_MISMATCH);
    lorac_close(net);
}

int main(void)
{
    make_images();
    for (size_t i = 0; i < sizeof undisturbed_cases / sizeof undisturbed_cases[0]; i++)
        test_undisturbed(&undisturbed_cases[i]);
    test_subset();
    for (size_t i = 0; i < sizeof when_cases / sizeof when_cases[0]; i++)
        test_when(&when_cases[i]);
    test_patience();
    test_state();
    test_resumed();
    test_aborted();
    test_refusals();
    return check_report();
}
