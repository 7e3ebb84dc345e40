// run: does a recipe's whole job, in steps that are the other commands, each shown as the command line that does it.
#include "groups.h"
#include "job_files.h"
#include "job_steps.h"
#include "recipe.h"
#include "report.h"
#include "signals.h"

#include <stdlib.h>
#include <string.h>

struct run_settings {
    bool dry_run;
    struct lorac_texts settings, presets;
    struct lorac_general_settings general;
};

#define FIELD(member) offsetof(struct run_settings, member)
// clang-format off
static const struct lorac_option run_options[] = {
    {.name = "dry-run", .letter = 'n', .type = LORAC_OPTION_FLAG, .offset = FIELD(dry_run),
     .help = "Print the commands and run none."},
    {.name = "set", .letter = 's', .type = LORAC_OPTION_TEXTS, .value = "SECTION.KEY=VALUE", .offset = FIELD(settings),
     .fallback_text = "none",
     .help = "A value over the recipe's, in the same words (files are relative to the current folder): train.lr=0.01."},
    {.name = "preset", .type = LORAC_OPTION_TEXTS, .value = "NAME", .offset = FIELD(presets),
     .fallback_text = "the recipe's", .help = "Settings that are built in, instead of those that the recipe names: paper, "
                                              "device, cifar10, imagenet; of several the last counts."},
    {0},
};
// clang-format on
static const struct lorac_option_group groups[] = {
    {"Recipe", run_options, 0},
    {"General", lorac_plain_options, FIELD(general)},
    {0},
};
#undef FIELD

// ---- steps

struct step {
    const char *command;
    const char *operands[LORAC_OPERANDS_MAX]; // keys of the recipe; NULL: the command's own
    const char *needs;                        // a key without which there is no such step; NULL: none
    bool labelled;                            // nor is there without labels of the images of 'eval'
    struct lorac_call call;
};
static const struct step all_steps[] = {
    {.command = "inject"},
    {.command = "eval", .operands = {"output.injected"}, .needs = "eval.images", .labelled = true},
    {.command = "train"},
    {.command = "extract", .needs = "output.adapter"},
    {.command = "merge"},
    {.command = "compare"},
    {.command = "eval", .operands = {"output.merged"}, .needs = "eval.images", .labelled = true},
};
enum { STEP_COUNT = sizeof all_steps / sizeof *all_steps };

struct job {
    const struct lorac_call *call; // of run itself
    struct lorac_recipe *recipe;
    struct step steps[STEP_COUNT];
    size_t count;
};

static bool is_wanted(const struct job *job, const struct step *step)
{
    if (step->needs && !lorac_recipe_get(job->recipe, step->needs))
        return false;
    return !step->labelled || lorac_job_is_labelled(job->recipe, "eval.images", "eval.labels");
}

static enum lorac_status fill_step(const struct job *job, const struct step *step, struct lorac_call *call,
                                   struct lorac_error *error)
{
    const bool behind_inject = strcmp(step->command, "inject") != 0;
    LORAC_TRY(lorac_recipe_apply(job->recipe, behind_inject, call, error));
    LORAC_TRY(lorac_recipe_check_required(call, job->recipe, error));
    return call->command->check ? call->command->check(call, error) : LORAC_OK;
}

// Options and operands of one step. What is refused is said.
static enum lorac_exit prepare_step(struct job *job, struct step *step)
{
    struct lorac_call *call = &step->call;
    struct lorac_error error = {0};
    call->command = lorac_command_find(step->command);
    call->options.groups = call->command->groups;
    call->quiet = job->call->quiet;
    call->options.settings = calloc(1, call->command->settings_bytes);
    if (!call->options.settings) {
        lorac_report_error(job->call, "out of memory");
        return LORAC_EXIT_FAILED;
    }
    lorac_options_init(&call->options);
    for (size_t i = 0; i < LORAC_OPERANDS_MAX; i++)
        call->operands[i] = step->operands[i] ? lorac_recipe_get(job->recipe, step->operands[i]) : NULL;
    return fill_step(job, step, call, &error) == LORAC_OK ? LORAC_EXIT_DONE : lorac_report_failure(call, &error);
}

// Each command once: the models that eval and compare look at do not differ in what is refused.
static enum lorac_exit rehearse(const struct job *job)
{
    struct lorac_error error = {0};
    for (size_t i = 0; i < job->count; i++) {
        const struct lorac_call *call = &job->steps[i].call, *failed;
        bool done = call->command->rehearse == NULL;
        for (size_t k = 0; k < i; k++)
            done |= job->steps[k].call.command == call->command;
        if (!done && lorac_job_step_rehearse(&job->steps[0].call, call, &failed, &error) != LORAC_OK)
            return lorac_report_failure(failed, &error);
    }
    return LORAC_EXIT_DONE;
}

// All steps are ready before the first one runs, so that what is missing for the last is said at once.
static enum lorac_exit prepare(struct job *job)
{
    struct lorac_error error = {0};
    static const char *const required[] = {"model.file", "output.merged"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (!lorac_recipe_get(job->recipe, required[i])) {
            lorac_report_error(job->call, "'%s' has no %s: see lorac-onnx recipe --explain %s",
                               job->call->operands[0], required[i], required[i]);
            return LORAC_EXIT_USAGE;
        }
    for (size_t i = 0; i < STEP_COUNT; i++) {
        if (!is_wanted(job, &all_steps[i]))
            continue;
        job->steps[job->count] = all_steps[i];
        const enum lorac_exit code = prepare_step(job, &job->steps[job->count++]);
        if (code != LORAC_EXIT_DONE)
            return code;
    }
    if (lorac_job_steps_check(job->recipe, &error) != LORAC_OK ||
        lorac_job_files_check(job->recipe, job->call->operands[0], &error) != LORAC_OK)
        return lorac_report_failure(job->call, &error);
    const enum lorac_exit code = rehearse(job);
    if (code != LORAC_EXIT_DONE)
        return code;
    if (lorac_recipe_get(job->recipe, "eval.images") &&
        !lorac_job_is_labelled(job->recipe, "eval.images", "eval.labels"))
        lorac_report_note(job->call, "note: eval.images has no labels: models are compared on it, and not scored");
    return LORAC_EXIT_DONE;
}

static void clear(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        free(job->steps[i].call.options.settings);
    lorac_recipe_close(job->recipe);
}

// ---- the command line that does a step

// As a shell takes it for one word.
static void print_word(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    if (*text && text[strspn(text, plain)] == '\0') {
        printf(" %s", text);
        return;
    }
    fputs(" '", stdout);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar((unsigned char)*text < 32 || *text == 127 ? '?' : *text);
    putchar('\'');
}

static void print_option(const struct lorac_option *option, const char *text)
{
    if (option->letter)
        printf(" -%c", option->letter);
    else
        printf(" --%s", option->name);
    if (lorac_option_takes_value(option))
        print_word(text);
}

static void print_command(const struct lorac_call *call)
{
    const struct lorac_option_set *set = &call->options;
    printf("lorac-onnx %s", call->command->name);
    for (size_t i = 0; i < call->command->operand_count; i++)
        print_word(call->operands[i]);
    for (struct lorac_option_row row = {0}; lorac_options_next(set->groups, &row);) {
        const struct lorac_option *option = row.option;
        if (!set->given[row.index])
            continue;
        const struct lorac_texts *texts = lorac_options_field(set, &row);
        if (option->type != LORAC_OPTION_TEXTS)
            print_option(option, set->text[row.index]);
        for (size_t i = 0; option->type == LORAC_OPTION_TEXTS && i < texts->count; i++)
            print_option(option, texts->values[i]);
    }
    putchar('\n');
}

// ---- the run

static enum lorac_exit run_steps(struct job *job, bool dry)
{
    for (size_t i = 0; i < job->count; i++) {
        const struct lorac_call *call = &job->steps[i].call;
        if (!dry)
            printf("%s$ ", i > 0 ? "\n" : "");
        print_command(call);
        if (dry)
            continue;
        fflush(stdout);
        enum lorac_exit code = call->command->run(call);
        bool interrupted = lorac_interrupted();
        lorac_interrupt_release();
        if (code != LORAC_EXIT_DONE)
            return code;
        if (interrupted && i + 1 < job->count) {
            lorac_report_error(job->call, "interrupted before '%s'", job->steps[i + 1].command);
            return LORAC_EXIT_INTERRUPTED;
        }
    }
    return LORAC_EXIT_DONE;
}

static enum lorac_exit run(const struct lorac_call *call)
{
    const struct run_settings *settings = call->options.settings;
    const struct lorac_recipe_request request = {
        .path = call->operands[0], .presets = settings->presets, .settings = settings->settings};
    struct lorac_error error = {0};
    struct job job = {.call = call};
    if (lorac_recipe_open(&request, &job.recipe, &error) != LORAC_OK)
        return lorac_report_failure(call, &error);
    enum lorac_exit code = prepare(&job);
    if (code == LORAC_EXIT_DONE)
        code = run_steps(&job, settings->dry_run);
    clear(&job);
    return code;
}

extern const struct lorac_command lorac_command_run;
const struct lorac_command lorac_command_run = {
    .name = "run",
    .summary = "do the whole job of a recipe",
    .synopsis = "RECIPE.yaml [options]",
    .description =
        "Injects, trains, merges and compares as the recipe says, and shows each step as the command that does it. With\n"
        "labelled images in 'eval' it scores the model before and after; with output.adapter it extracts the adapters.\n"
        "All values and files are checked before the first step, also with --dry-run: no output may be another file of\n"
        "the job, and each step looks at the model, injected in memory, and at its images. The run stops\n"
        "at the first step that fails, with its exit code.\n",
    .examples = "  lorac-onnx run job.yaml\n"
                "  lorac-onnx run job.yaml --set train.epochs=4 --set output.merged=other.onnx --dry-run\n",
    .operand_count = 1,
    .operand_help = "give the recipe: lorac-onnx run RECIPE.yaml",
    .groups = groups,
    .settings_bytes = sizeof(struct run_settings),
    .run = run,
};
