#include "tune.h"

#include "groups.h"
#include "paths.h"
#include "report.h"
#include "tune_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(member) offsetof(struct lorac_tune_settings, member)
// clang-format off
const struct lorac_option lorac_tune_options[] = {
    {.name = "tune", .type = LORAC_OPTION_FLAG, .offset = FIELD(tune),
     .help = "Measure which algorithm of each convolution, and which form of each adapter, is the fastest here, instead "
             "of choosing by a fixed rule; kept in a file, so that it is measured once."},
    {.name = "tune-cache", .type = LORAC_OPTION_PATH, .value = "FILE", .writes = true, .offset = FIELD(cache),
     .fallback_text = "$XDG_CACHE_HOME/lorac-onnx/tune.json, else ~/.cache/lorac-onnx/tune.json",
     .help = "The file; it is made where there is none."},
    {0},
};
// clang-format on
#undef FIELD

enum lorac_status lorac_tune_check_flags(const struct lorac_tune_settings *tune, struct lorac_error *error)
{
    if (tune->cache && !tune->tune)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "--tune-cache is for --tune: give both");
    return LORAC_OK;
}

enum lorac_status lorac_tune_check(const struct lorac_tune_settings *tune, const char *const *others,
                                   struct lorac_error *error)
{
    if (!tune->cache)
        return LORAC_OK;
    LORAC_TRY(lorac_tune_check_flags(tune, error));
    static const char *const no_inputs[] = {NULL}; // they are among the others
    for (; *others; others++)
        if (**others && lorac_path_same(*others, tune->cache))
            return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                                   "--tune-cache '%s' is another file of this run: give another name", tune->cache);
    LORAC_TRY(lorac_output_check("--tune-cache", tune->cache, no_inputs, error));
    return lorac_error_prefix(error, lorac_tune_cache_check(tune->cache, error), "--tune-cache: ");
}

// ---- prepare

static size_t count_measured(const struct lorac_net *net)
{
    struct lorac_convolution convolution;
    size_t count = 0;
    for (size_t i = 0; lorac_get_convolution(net, i, &convolution, NULL) == LORAC_OK; i++)
        count += convolution.chosen == LORAC_CHOSEN_MEASURED;
    return count;
}

static enum lorac_status prepare_by(const struct lorac_call *call, struct lorac_tune_cache *cache,
                                    struct lorac_net *net, const char *name,
                                    const struct lorac_prepare_options *options, struct lorac_error *error)
{
    struct lorac_prepare_options tuned = *options;
    struct lorac_error why = {0};
    tuned.tune = true;
    const enum lorac_status found = lorac_tune_cache_read(cache, &why);
    const bool is_kept = found == LORAC_OK || found == LORAC_ERROR_FORMAT;
    if (found == LORAC_ERROR_FORMAT)
        lorac_report_note(call, "note: %s; it is not used, and written anew", why.message);
    else if (!is_kept)
        lorac_report_note(call, "warning: %s; what is measured is not kept", why.message);
    tuned.choices = cache->choices;
    tuned.choice_count = cache->count;
    double started = lorac_seconds();
    LORAC_TRY(lorac_run_prepare(net, name, &tuned, error));
    if (!net->program->choices) {
        lorac_report_note(call, "tune: the fastest ways do not fit the memory budget; the rule's are taken");
        return LORAC_OK;
    }
    size_t measured = count_measured(net);
    if (measured == 0) {
        lorac_report_note(call, "tune: nothing had to be measured");
        return LORAC_OK;
    }
    lorac_report_note(call, "tune: measured how to run %zu convolution%s; ready after %.1f s", measured,
                      measured == 1 ? "" : "s", lorac_seconds() - started);
    if (is_kept && lorac_tune_cache_write(cache, net, &why) != LORAC_OK)
        lorac_report_note(call, "warning: what was measured could not be kept: %s", why.message);
    return LORAC_OK;
}

enum lorac_status lorac_tune_prepare(const struct lorac_call *call, const struct lorac_tune_settings *tune,
                                     struct lorac_net *net, const char *name,
                                     const struct lorac_prepare_options *options, struct lorac_error *error)
{
    struct lorac_tune_cache cache;
    if (!tune->tune || call->rehearsal)
        return lorac_run_prepare(net, name, options, error);
    if (tune->cache)
        LORAC_TRY(lorac_output_check_model("--tune-cache", tune->cache, net->model, error));
    LORAC_TRY(lorac_tune_cache_init(&cache, tune->cache, error));
    enum lorac_status status = prepare_by(call, &cache, net, name, options, error);
    lorac_tune_cache_clear(&cache);
    return status;
}

// ---- what was chosen

enum { MAX_NAMES = 16 };

// How often each name came, in the order of their first coming.
struct tally {
    size_t count;
    const char *names[MAX_NAMES];
    size_t times[MAX_NAMES];
};

static void add(struct tally *tally, const char *name)
{
    size_t i = 0;
    if (!name)
        return;
    while (i < tally->count && strcmp(tally->names[i], name) != 0)
        i++;
    if (i == MAX_NAMES)
        return;
    tally->count += i == tally->count;
    tally->names[i] = name;
    tally->times[i]++;
}

static void append(char *text, const char *piece)
{
    size_t length = strlen(text);
    snprintf(text + length, LORAC_CHOICES_TEXT - length, "%s", piece);
}

static void append_tally(char *text, const char *title, const struct tally *tally)
{
    char piece[96];
    for (size_t i = 0; i < tally->count; i++) {
        snprintf(piece, sizeof piece, "%s%s%s%zu %s", i == 0 && text[0] ? "; " : "", i == 0 ? title : "",
                 i == 0 ? ": " : ", ", tally->times[i], tally->names[i]);
        append(text, piece);
    }
}

const char *lorac_choices_text(const struct lorac_net *net, char text[LORAC_CHOICES_TEXT])
{
    struct lorac_convolution convolution;
    struct tally forward = {0}, gradient = {0}, form = {0};
    for (size_t i = 0; lorac_get_convolution(net, i, &convolution, NULL) == LORAC_OK; i++) {
        add(&forward, convolution.forward);
        add(&gradient, convolution.gradient);
        add(&form, convolution.form);
    }
    text[0] = '\0';
    append_tally(text, "convolutions", &forward);
    append_tally(text, "input gradients", &gradient);
    append_tally(text, "adapters by form", &form);
    return text;
}

json_t *lorac_choices_json(const struct lorac_net *net)
{
    static const char *const chosen[] = {"rule", "given", "measured"};
    struct lorac_convolution convolution;
    json_t *rows = json_array();
    for (size_t i = 0; rows && lorac_get_convolution(net, i, &convolution, NULL) == LORAC_OK; i++) {
        json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:s}", "name", lorac_json_text(convolution.name), "forward",
                                lorac_json_text(convolution.forward), "gradient",
                                lorac_json_text(convolution.gradient), "weight_gradient",
                                lorac_json_text(convolution.weight_gradient), "form", lorac_json_text(convolution.form),
                                "chosen", chosen[convolution.chosen]);
        rows = lorac_json_with_item(rows, row);
    }
    return rows;
}
