#include "recipe_table.h"

#include "passes/inject.h"

#include <stdio.h>
#include <string.h>

enum {
#define NUMBER(upper, lower) NUMBER_##upper,
    LORAC_RECIPE_COMMAND_LIST(NUMBER)
#undef NUMBER
};
enum {
#define BIT(upper, lower) upper = 1 << NUMBER_##upper,
    LORAC_RECIPE_COMMAND_LIST(BIT)
#undef BIT
    WRITERS = INJECT | TRAIN | MERGE | APPLY,         // of models
    RUNNERS = TRAIN | EVAL | MERGE | COMPARE | BENCH, // of models
    EVERY = RUNNERS | INSPECT | INJECT | EXTRACT | APPLY,
};

const struct lorac_recipe_section lorac_recipe_sections[] = {
    {"model", "the model that is adapted"},
    {"adapter", "what becomes trainable"},
    {"head", "other classes than the model's"},
    {"stem", "other images than the model's"},
    {"train", "how it is trained, and how models are run"},
    {"data", "the images that it is trained on, and how pixels become numbers"},
    {"augment", "how the images of training are varied"},
    {"eval", "the images that models are scored and compared on"},
    {"output", "the files that are written"},
    {0},
};

// ---- types and help where no option's row says them as a key should

// clang-format off
static const struct lorac_option
    model_file = {.type = LORAC_OPTION_PATH, .value = "FILE", .help = "The model that is adapted, plain."},
    train_last = {.type = LORAC_OPTION_FLAG, .help = "Train the last layer's weight and bias as well.",
                  .fallback = "true"},
    shuffle = {.type = LORAC_OPTION_FLAG, .help = "Take the images in another order in each epoch.", .fallback = "true"},
    check = {.type = LORAC_OPTION_FLAG, .fallback = "true",
             .help = "Run both models before the merged one is written."},
    overrides = {.type = LORAC_OPTION_TEXTS, .value = "[{layers: REGEX, rank: R, alpha: X}]",
                 .help = "Another rank, alpha or both for the convolutions whose node name matches; the first that "
                         "matches counts."},
    override_layers = {.type = LORAC_OPTION_STRING, .value = "REGEX"},
    override_rank = {.type = LORAC_OPTION_INT64, .value = "R", .limit = LORAC_FROM_TO(1, LORAC_MAX_RANK)},
    override_alpha = {.type = LORAC_OPTION_DOUBLE, .value = "X", .limit = LORAC_ABOVE(0)},
    injected = {.type = LORAC_OPTION_PATH, .value = "FILE", .fallback_text = "by 'merged': name.injected.onnx",
                .help = "The injected model: inject writes it, train reads it."},
    trained = {.type = LORAC_OPTION_PATH, .value = "FILE", .fallback_text = "by 'merged': name.trained.onnx",
               .help = "The trained model: train writes it, merge reads it."},
    merged = {.type = LORAC_OPTION_PATH, .value = "FILE", .help = "The plain model that is the result."},
    adapter_file = {.type = LORAC_OPTION_PATH, .value = "FILE", .fallback_text = "none",
                    .help = "What training changed, alone; where it is given, run extracts it."};

static const struct lorac_recipe_key override_members[] = {
    {.key = "layers", .own = &override_layers},
    {.key = "rank", .own = &override_rank},
    {.key = "alpha", .own = &override_alpha},
    {0},
};

#define ADAPTER(name, opt) {.section = "adapter", .key = name, .commands = INJECT | INSPECT, .option = opt}
#define TRAINING(name, opt) {.section = "train", .key = name, .commands = TRAIN, .option = opt}
#define AUGMENT(name, opt) {.section = "augment", .key = name, .commands = TRAIN, .option = opt}
#define PIXELS(name, opt) {.section = "data", .key = name, .commands = INJECT | TRAIN | EVAL | COMPARE, .option = opt, \
                           .needs = "data", .recorded = true}
#define FILES(name, opt, of) {.section = "data", .key = name, .commands = of, .option = opt, .needs = "data"}
const struct lorac_recipe_key lorac_recipe_keys[] = {
    {.section = "model", .key = "file", .commands = INJECT | INSPECT, .own = &model_file},
    {.section = "model", .key = "output_name", .commands = INJECT | TRAIN | EVAL | BENCH | INSPECT,
     .option = "output-name", .recorded = true},
    {.section = "model", .key = "input_size", .commands = RUNNERS | INSPECT, .option = "input-size"},

    ADAPTER("rank", "rank"),
    ADAPTER("alpha", "alpha"),
    ADAPTER("setting", "rank-setting"),
    {.section = "adapter", .key = "overrides", .commands = INJECT | INSPECT, .option = "override", .own = &overrides,
     .members = override_members},
    ADAPTER("form", "form"),
    ADAPTER("branch_layers", "branch-layers"),
    ADAPTER("layers", "layers"),
    ADAPTER("exclude", "exclude"),
    ADAPTER("freeze_a", "freeze-a"),
    ADAPTER("train_first", "train-first"),
    {.section = "adapter", .key = "train_last", .commands = INJECT | INSPECT, .option = "train-last",
     .negative = "no-train-last", .own = &train_last},
    ADAPTER("train_all", "train-all"),
    ADAPTER("as_inputs", "adapters-as-inputs"),
    ADAPTER("bn", "bn"),

    {.section = "head", .key = "classes", .commands = INJECT, .option = "classes"},
    {.section = "head", .key = "class_names", .commands = INJECT, .option = "class-names"},
    {.section = "head", .key = "label_names", .commands = INJECT, .option = "label-names"},

    {.section = "stem", .key = "small_images", .commands = INJECT, .option = "small-image-stem"},
    {.section = "stem", .key = "input_size", .commands = INJECT, .option = "input-size"},

    TRAINING("epochs", "epochs"),
    TRAINING("steps", "steps"),
    {.section = "train", .key = "batch", .commands = TRAIN | BENCH | INSPECT, .option = "batch"},
    {.section = "train", .key = "shuffle", .commands = TRAIN, .negative = "no-shuffle", .own = &shuffle},
    {.section = "train", .key = "optimizer", .commands = TRAIN | BENCH, .option = "optimizer"},
    TRAINING("lr", "lr"),
    TRAINING("momentum", "momentum"),
    TRAINING("nesterov", "nesterov"),
    TRAINING("weight_decay", "weight-decay"),
    TRAINING("decay_all", "decay-all"),
    TRAINING("beta1", "beta1"),
    TRAINING("beta2", "beta2"),
    TRAINING("eps", "eps"),
    TRAINING("schedule", "schedule"),
    TRAINING("warmup_steps", "warmup-steps"),
    TRAINING("clip_norm", "clip-norm"),
    TRAINING("label_smoothing", "label-smoothing"),
    TRAINING("val_every", "val-every"),
    TRAINING("patience", "patience"),
    TRAINING("keep", "keep"),
    TRAINING("max_minutes", "max-minutes"),
    TRAINING("resume", "resume"),
    {.section = "train", .key = "form_policy", .commands = TRAIN | BENCH | INSPECT, .option = "form-policy"},
    {.section = "train", .key = "memory_budget", .commands = TRAIN | BENCH, .option = "memory-budget"},
    {.section = "train", .key = "micro_batch", .commands = TRAIN | BENCH, .option = "micro-batch"},
    {.section = "train", .key = "recompute", .commands = TRAIN | BENCH, .option = "recompute"},
    {.section = "train", .key = "threads", .commands = RUNNERS | INSPECT, .option = "threads"},
    {.section = "train", .key = "exact", .commands = RUNNERS, .option = "exact"},
    {.section = "train", .key = "tune", .commands = TRAIN | EVAL | BENCH, .option = "tune"},
    {.section = "train", .key = "tune_cache", .commands = TRAIN | EVAL | BENCH, .option = "tune-cache"},

    {.section = "data", .key = "images", .commands = TRAIN, .option = "data"},
    {.section = "data", .key = "labels", .commands = TRAIN, .option = "labels"},
    {.section = "data", .key = "range", .commands = TRAIN, .option = "range"},
    {.section = "data", .key = "corrupt", .commands = TRAIN, .option = "corrupt"},
    {.section = "data", .key = "val", .commands = TRAIN, .option = "val", .share_too = true},
    {.section = "data", .key = "val_labels", .commands = TRAIN, .option = "val-labels"},
    {.section = "data", .key = "val_range", .commands = TRAIN, .option = "val-range"},
    {.section = "data", .key = "seed", .commands = TRAIN | INJECT | EVAL | COMPARE | BENCH, .option = "seed"},
    FILES("resize", "resize", TRAIN | EVAL | COMPARE),
    FILES("broken_share", "broken-share", TRAIN | EVAL | COMPARE),
    FILES("loader_threads", "loader-threads", TRAIN | EVAL | COMPARE),
    FILES("cache_memory", "cache-memory", TRAIN | COMPARE),
    PIXELS("scale", "scale"),
    PIXELS("mean", "mean"),
    PIXELS("std", "std"),
    PIXELS("channel_order", "channel-order"),
    PIXELS("normalize", "normalize"),

    AUGMENT("kind", "augment"),
    AUGMENT("crop_pad", "crop-pad"),
    AUGMENT("flip", "flip"),
    {.section = "augment", .key = "random_resized_crop", .commands = TRAIN, .option = "random-resized-crop",
     .separator = ':'},
    AUGMENT("color_jitter", "color-jitter"),
    AUGMENT("cutout", "cutout"),

    {.section = "eval", .key = "images", .commands = EVAL | COMPARE, .option = "data"},
    {.section = "eval", .key = "labels", .commands = EVAL, .option = "labels"},
    {.section = "eval", .key = "range", .commands = EVAL | COMPARE, .option = "range"},
    {.section = "eval", .key = "corrupt", .commands = EVAL | COMPARE, .option = "corrupt"},
    {.section = "eval", .key = "batch", .commands = EVAL | COMPARE | MERGE, .option = "batch"},
    {.section = "eval", .key = "per_class", .commands = EVAL, .option = "per-class"},
    {.section = "eval", .key = "confusion", .commands = EVAL, .option = "confusion"},
    {.section = "eval", .key = "wrong", .commands = EVAL, .option = "wrong"},
    {.section = "eval", .key = "tolerance", .commands = MERGE | COMPARE, .option = "tolerance"},
    {.section = "eval", .key = "random", .commands = MERGE | COMPARE, .option = "random"},
    {.section = "eval", .key = "check", .commands = MERGE, .negative = "no-check", .own = &check},

    {.section = "output", .key = "injected", .commands = INJECT, .option = "output", .own = &injected},
    {.section = "output", .key = "trained", .commands = TRAIN, .option = "output", .own = &trained},
    {.section = "output", .key = "merged", .commands = MERGE, .option = "output", .own = &merged},
    {.section = "output", .key = "adapter", .commands = EXTRACT, .option = "output", .own = &adapter_file},
    {.section = "output", .key = "adapter_format", .commands = EXTRACT, .option = "format"},
    {.section = "output", .key = "log", .commands = TRAIN, .option = "log"},
    {.section = "output", .key = "checkpoint", .commands = TRAIN, .option = "checkpoint"},
    {.section = "output", .key = "checkpoint_steps", .commands = TRAIN, .option = "checkpoint-steps"},
    {.section = "output", .key = "checkpoint_minutes", .commands = TRAIN, .option = "checkpoint-minutes"},
    {.section = "output", .key = "checkpoint_keep", .commands = TRAIN, .option = "checkpoint-keep"},
    {.section = "output", .key = "external_data", .commands = WRITERS, .option = "external-data"},
    {0},
};

const struct lorac_recipe_exclusion lorac_recipe_exclusions[] = {
    {"help", EVERY, "asks for help"},
    {"quiet", EVERY, "is of the terminal, not of the job"},
    {"recipe", EVERY, "names the recipe"},
    {"preset", EVERY, "is the recipe's own key"},
    {"json", EVAL | INSPECT | BENCH, "is of who reads the results"},
    {"output", APPLY, "apply is not a step of the job"},
    {"adapter", MERGE, "merging adapters of several files is another job"},
    {"outputs", EVAL, "would be written once for each eval"},
    {"data", MERGE, "merge checks on random images, compare on those of 'eval'"},
    {"range", MERGE, "as data"},
    {"corrupt", MERGE, "as data"},
    {"resize", MERGE, "as data"},
    {"broken-share", MERGE, "as data"},
    {"loader-threads", MERGE, "as data"},
    {"cache-memory", MERGE, "as data"},
    {"seed", MERGE, "as data"},
    {"scale", MERGE, "as data"},
    {"mean", MERGE, "as data"},
    {"std", MERGE, "as data"},
    {"channel-order", MERGE, "as data"},
    {"normalize", MERGE, "as data"},
    {"steps", BENCH, "a measurement, not the job"},
    {"warm-up", BENCH, "a measurement, not the job"},
    {"seconds", BENCH, "a measurement, not the job"},
    {"inference", BENCH, "a measurement, not the job"},
    {"trace", BENCH, "a measurement, not the job"},
    {0},
};

// ---- what a later layer does to earlier ones

#define NAMES(...) (const char *const[]){__VA_ARGS__, NULL}
const struct lorac_recipe_rule lorac_recipe_rules[] = {
    {"optimizer", NAMES("lr", "momentum", "nesterov", "beta1", "beta2", "eps"), .when = LORAC_RECIPE_DIFFERS},
    {"data", NAMES("labels", "range", "corrupt"), .when = LORAC_RECIPE_DIFFERS},
    {"val", NAMES("val-labels", "val-range"), .when = LORAC_RECIPE_DIFFERS},
    {"random-resized-crop", NAMES("augment", "crop-pad"), .when = LORAC_RECIPE_ALWAYS},
    {"augment", NAMES("random-resized-crop"), .when = LORAC_RECIPE_DIFFERS},
    {"crop-pad", NAMES("random-resized-crop"), .when = LORAC_RECIPE_ALWAYS},
    {"steps", NAMES("epochs"), .when = LORAC_RECIPE_ALWAYS},
    {"epochs", NAMES("steps"), .when = LORAC_RECIPE_ALWAYS},
    {"form", NAMES("branch-layers"), .when = LORAC_RECIPE_ALWAYS},
    {"branch-layers", NAMES("form"), .when = LORAC_RECIPE_ALWAYS},
    {"normalize", NAMES("scale", "mean", "std"), .when = LORAC_RECIPE_ALWAYS},
    {"scale", NAMES("normalize"), .when = LORAC_RECIPE_ALWAYS},
    {"mean", NAMES("normalize"), .when = LORAC_RECIPE_ALWAYS},
    {"std", NAMES("normalize"), .when = LORAC_RECIPE_ALWAYS},
    {"train-all", NAMES("rank", "alpha", "rank-setting", "override", "form", "branch-layers", "layers", "exclude",
                        "freeze-a", "train-first", "train-last", "no-train-last"), .when = LORAC_RECIPE_ALWAYS},
    {"rank", NAMES("train-all"), .when = LORAC_RECIPE_ALWAYS},
    {"classes", NAMES("no-train-last"), .when = LORAC_RECIPE_ALWAYS},
    {"class-names", NAMES("no-train-last"), .when = LORAC_RECIPE_ALWAYS},
    {"batch", NAMES("micro-batch"), .when = LORAC_RECIPE_NO_MULTIPLE},
    // BatchNorm takes its statistics of all the batch.
    {"bn", NAMES("micro-batch"), .when = LORAC_RECIPE_IS, .value = "train", .key = "adapter.bn"},
    {0},
};
// clang-format on

// ---- lookups

static const struct {
    unsigned bit;
    const char *name;
} commands[] = {
#define ENTRY(upper, lower) {upper, #lower},
    LORAC_RECIPE_COMMAND_LIST(ENTRY)
#undef ENTRY
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

unsigned lorac_recipe_command_bit(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].bit;
    return 0;
}

const char *lorac_recipe_command_name(unsigned bit)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].bit == bit)
            return commands[i].name;
    return NULL;
}

const struct lorac_recipe_key *lorac_recipe_key_find(const char *section, const char *key)
{
    for (const struct lorac_recipe_key *row = lorac_recipe_keys; row->key; row++)
        if (strcmp(row->section, section) == 0 && strcmp(row->key, key) == 0)
            return row;
    return NULL;
}

const struct lorac_command *lorac_recipe_key_command(const struct lorac_recipe_key *key)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct lorac_command *command =
            key->commands & commands[i].bit ? lorac_command_find(commands[i].name) : NULL;
        if (command)
            return command;
    }
    return NULL;
}

const struct lorac_option *lorac_recipe_key_option(const struct lorac_recipe_key *key)
{
    if (key->own)
        return key->own;
    const struct lorac_command *command = lorac_recipe_key_command(key);
    return command ? lorac_options_find(command->groups, key->option, NULL) : NULL;
}

const char *lorac_recipe_key_default(const struct lorac_recipe_key *key)
{
    const struct lorac_option *option = lorac_recipe_key_option(key);
    if (!option)
        return NULL;
    return option->type == LORAC_OPTION_FLAG && !option->fallback ? "false" : option->fallback;
}

const char *const *lorac_recipe_operand_keys(const char *command)
{
    static const struct {
        const char *command;
        const char *keys[LORAC_OPERANDS_MAX + 1];
    } rows[] = {{"inspect", {"model.file"}},
                {"inject", {"model.file"}},
                {"train", {"output.injected"}},
                {"merge", {"output.trained"}},
                {"extract", {"output.trained"}},
                {"compare", {"output.trained", "output.merged"}},
                {"", {NULL}}};
    size_t i = 0;
    while (*rows[i].command && strcmp(rows[i].command, command) != 0)
        i++;
    return rows[i].keys;
}
