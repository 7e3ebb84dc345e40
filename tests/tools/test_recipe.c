// Recipes: what is refused, where, and in which words; that the table of keys knows every option of every command; that
// layers override one another; and that no bytes whatever do harm.
#include "check.h"

#include "proto/rng.h"
#include "tools/recipe.h"
#include "tools/recipe_preset.h"
#include "tools/recipe_table.h"
#include "tools/recipe_yaml.h"

#include <stdint.h>
#include <unistd.h>

static const char file_name[] = "recipe_test.yaml";

static void write_file(const char *bytes, size_t count)
{
    FILE *file = fopen(file_name, "wb");
    REQUIRE(file && fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

static enum lorac_status open_text(const char *text, const char *preset, const char *setting,
                                   struct lorac_recipe **recipe, struct lorac_error *error)
{
    struct lorac_recipe_request request = {.path = file_name};
    write_file(text, strlen(text));
    if (preset)
        request.presets.values[request.presets.count++] = preset;
    if (setting)
        request.settings.values[request.settings.count++] = setting;
    *recipe = NULL;
    return lorac_recipe_open(&request, recipe, error);
}

// ---- what is refused

static const struct {
    const char *text, *message; // behind "recipe_test.yaml"
} refusals[] = {
    // YAML
    {"train:\n\tlr: 1\n", ":2:1: a tab: indent with spaces"},
    {"train:\n  lr: 1\n bad\n", ":3:2: did not find expected key (while parsing a block mapping, which begins in line 1)"},
    {"train: {lr: \"5\n", ":2:1: found unexpected end of stream"},
    {"train:\n  lr: \xff\n", ":2:7: not UTF-8"},
    {"train: # \xc3\xa4\xc3\xb6 \xff\n", ":1:13: not UTF-8"},
    {"\xff\xfet\0r\0", ":1:1: not UTF-8"},
    {"train:\n  lr: 1\x01\n", ":2:8: a control character"},
    {"train:\n  lr: &a 1\n", ":2:7: an anchor (&a)"},
    {"&a train:\n  lr: 1\n", ":1:1: an anchor (&a)"},
    {"train: &a\n  lr: 1\n", ":1:8: an anchor (&a)"},
    {"train:\n  lr: *a\n", ":2:7: an alias (*a)"},
    {"train:\n  lr: !!float 1\n", ":2:7: a tag (tag:yaml.org,2002:float)"},
    {"train: !x {lr: 1}\n", ":1:8: a tag (!x)"},
    {"data:\n  mean: !x [1]\n", ":2:9: a tag (!x)"},
    {"train:\n  log: \"a\\0b\"\n", ":2:8: a text with a NUL character"},
    {"train:\n  lr: 1\n---\ntrain:\n  lr: 1\n", ":3:1: a second document"},
    {"---\n---\ntrain: {lr: 1}\n", ":2:1: a second document"},
    {"[train]\n", ":1:1: no sections"},
    {"train\n", ":1:1: no sections"},
    {"? [a]\n: b\n", ":1:3: a key is missing"},
    {"train:\n  ? ~\n  : 1\n", ":2:5: a key is missing"},
    {"train: {lr: {a: {b: {c: 1}}}}\n", "nested too deep"},
    {"train: {lr: [[1]]}\n", ":1:14: a list in the list 'lr'"},
    {"train: {lr: [1, {a: 1}]}\n", ":1:17: keys with values where 'lr' has values"},
    {"train: {lr: [{a: 1}, 1]}\n", ":1:22: a value where 'lr' has keys with values"},
    {"data: {mean: [1, ]}\ndata: {std: 1}\n", ":2:1: 'data' is given twice: first in line 1"},
    {"train:\n  lr: 1\n  batch: 2\n  lr: 1\n", ":4:3: 'lr' is given twice: first in line 2"},
    {"data: {mean: [1, ~]}\n", ":1:18: an item of 'mean' has no value"},
    // sections and keys
    {"adapter:\n  aplha: 8\n", ":2:3: unknown key 'aplha' in 'adapter', did you mean 'alpha'?"},
    {"adpater:\n  alpha: 8\n", ":1:1: unknown section 'adpater', did you mean 'adapter'?"},
    {"zzzzzz:\n  alpha: 8\n", ":1:1: unknown section 'zzzzzz': there are preset, model, adapter"},
    {"alpha: 8\n", ":1:1: 'alpha' stands below its section, 'adapter:'"},
    {"train:\n  alpha: 8\n", ":2:3: unknown key 'alpha' in 'train': it belongs to 'adapter'"},
    {"head:\n  zzzzzz: 8\n", ":2:3: unknown key 'zzzzzz' in 'head': it has classes, class_names, label_names"},
    {"train: {\"lr[0]\": 5}\n", ":1:9: a key with a bracket, 'lr[0]'"},
    {"train: {\"lr.a[0]\": 5}\n", ":1:9: a key with a bracket, 'lr.a[0]'"},
    {"\"train.lr[0]\": 5\n", ":1:1: a key with a bracket, 'train.lr[0]'"},
    {"adapter:\n  overrides: [{layers: a, rank: 1}]\n  \"overrides[1].rank\": 5\n", ":3:3: a key with a bracket"},
    {"train: 5\n", ":1:8: 'train' is a section"},
    {"train: [lr, 5]\n", ":1:8: 'train' is a section"},
    {"preset: papr\n", ":1:9: unknown preset 'papr', did you mean 'paper'?"},
    {"preset: [device, zzzzzzzz]\n", ":1:18: unknown preset 'zzzzzzzz': there are paper, device, cifar10, imagenet"},
    {"preset: {paper: true}\n", ":1:9: 'preset' takes a name, or a list of names"},
    {"preset: []\n", ":1:9: 'preset' takes a name, or a list of names"},
    {"preset:\n", ":1:1: 'preset' takes a name, or a list of names"},
    // values
    {"train:\n  lr:\n", ":2:3: 'lr' in 'train' has no value: it takes a number"},
    {"train:\n  optimizer: ~\n", ":2:3: 'optimizer' in 'train' has no value: it takes one of sgd, adamw"},
    {"train:\n  lr: fast\n", ":2:7: 'lr' in 'train': fast must be a number"},
    {"train:\n  lr: nan\n", ":2:7: 'lr' in 'train': nan must be a finite number"},
    {"adapter:\n  alpha: 1e400\n", ":2:10: 'alpha' in 'adapter': 1e400 must be a finite number"},
    {"train:\n  lr: yes\n", ":2:7: 'lr' in 'train': yes must be a number"},
    {"train:\n  lr: 0\n", ":2:7: 'lr' in 'train': 0 must be above 0"},
    {"train:\n  lr: \"0.1\"\n", ":2:7: 'lr' in 'train' takes a number, not a text: write it without quotes"},
    {"train:\n  lr: [0.1]\n", ":2:7: 'lr' in 'train' takes a number, not a list"},
    {"train:\n  lr: {a: 1}\n", ":2:7: 'lr' in 'train' takes a number, not keys with values"},
    {"train:\n  lr: [{a: 1}]\n", ":2:7: 'lr' in 'train' takes a number, not keys with values"},
    {"train:\n  batch: 1.5\n", ":2:10: 'batch' in 'train': 1.5 must be a whole number from 1 to 65536"},
    {"train:\n  batch: 65537\n", ":2:10: 'batch' in 'train': 65537 must be at most 65536"},
    {"data:\n  seed: -1\n", ":2:9: 'seed' in 'data': -1 must be a whole number, 0 or more"},
    {"train:\n  nesterov: yes\n", ":2:13: 'nesterov' in 'train' takes true or false, not yes: write true"},
    {"train:\n  shuffle: Off\n", ":2:12: 'shuffle' in 'train' takes true or false, not Off: write false"},
    {"train:\n  nesterov: \"true\"\n", ":2:13: 'nesterov' in 'train' takes true or false, not \"true\": write true"},
    {"train:\n  nesterov: maybe\n", ":2:13: 'nesterov' in 'train' takes true or false, not maybe"},
    {"train:\n  optimizer: adamm\n", ":2:14: 'optimizer' in 'train': adamm must be one of sgd, adamw: did you mean 'adamw'?"},
    {"data:\n  mean: [0.5, x]\n", ":2:9: 'mean' in 'data': 0.5,x must be numbers separated by commas"},
    {"data:\n  std: [0.5, 0]\n", ":2:8: 'std' in 'data': 0.5,0 must be above 0"},
    {"data:\n  mean: []\n", ":2:9: 'mean' in 'data' takes a number or a list of numbers, not an empty list"},
    {"data:\n  range: [5, 3]\n", ":2:10: 'range' in 'data': 5:3 must be A:B"},
    {"data:\n  range: 5\n", ":2:10: 'range' in 'data': 5 must be A:B"},
    {"stem:\n  input_size: [1, 2, 3]\n", ":2:15: 'input_size' in 'stem' takes HEIGHTxWIDTH or [HEIGHT, WIDTH]"},
    {"data:\n  labels: true\n", ":2:11: 'labels' in 'data' takes the name of a file, not true"},
    {"data:\n  images: ''\n", ":2:11: 'images' in 'data': '' must be the name of a file"},
    // lists of mappings
    {"adapter:\n  overrides: a\n", ":2:14: 'overrides' in 'adapter' takes a list of {layers: REGEX, rank: R, alpha: X}"},
    {"adapter:\n  overrides: {layers: a}\n", ":2:14: 'overrides' in 'adapter' takes a list of"},
    {"adapter:\n  overrides:\n    - layers: a\n", "an item of 'overrides' needs 'layers', and 'rank', 'alpha' or both"},
    {"adapter:\n  overrides:\n    - rank: 3\n", "an item of 'overrides' needs 'layers'"},
    {"adapter:\n  overrides:\n    - layer: a\n", ":3:7: unknown key 'layer' in 'overrides', did you mean 'layers'?"},
    {"adapter:\n  overrides:\n    - layers: a\n      rank: 0\n", ":4:13: 'rank' in 'overrides': 0 must be at least 1"},
    {"adapter:\n  overrides:\n    - layers: a\n      rank: [1]\n", ":4:13: nested too deep"},
    {"adapter:\n  overrides:\n    - layers: a\n      rank: 1\n      rank: 2\n", ":5:7: 'rank' is given twice"},
};

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct lorac_recipe *recipe;
        struct lorac_error error = {0};
        enum lorac_status status = open_text(refusals[i].text, NULL, NULL, &recipe, &error);
        bool place = refusals[i].message[0] != ':' ||
                     strncmp(error.message + strlen(file_name), refusals[i].message, strlen(refusals[i].message)) == 0;
        CHECKF(status == LORAC_ERROR_ARGUMENT && strncmp(error.message, file_name, strlen(file_name)) == 0 && place &&
                   strstr(error.message, refusals[i].message),
               "\"%s\": got \"%s\", expected \"%s\"", refusals[i].text, error.message, refusals[i].message);
        lorac_recipe_close(recipe);
    }
}

static void test_empty_and_huge(void)
{
    static const char *const nothing[] = {"", "\n", "# a comment\n", "---\n", "---\n...\n", "~\n"};
    struct lorac_recipe *recipe;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        struct lorac_error error = {0};
        CHECK(open_text(nothing[i], NULL, NULL, &recipe, &error) == LORAC_ERROR_ARGUMENT);
        CHECKF(strstr(error.message, "says nothing"), "'%s': %s", nothing[i], error.message);
    }
    struct lorac_error error = {0};
    char *text = calloc(1, LORAC_YAML_MAX_BYTES + 2);
    REQUIRE(text != NULL);
    memset(text, '#', LORAC_YAML_MAX_BYTES + 1);
    CHECK(open_text(text, NULL, NULL, &recipe, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "that is no recipe"), "%s", error.message);
    static const char *const deep[] = {"[", "{", "{a: ", "[{a: ", "- ", "? "};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) { // nested without end: refused in no time
        size_t length = strlen(deep[i]), count = LORAC_YAML_MAX_BYTES / length;
        for (size_t k = 0; k < count; k++)
            memcpy(text + k * length, deep[i], length);
        text[count * length] = '\0';
        CHECK(open_text(text, NULL, NULL, &recipe, &error) == LORAC_ERROR_ARGUMENT);
    }
    size_t used = (size_t)snprintf(text, 100, "data:\n");
    for (size_t i = 0; i < LORAC_YAML_MAX_ENTRIES; i++)
        used += (size_t)snprintf(text + used, 100, "  k%zu: 1\n", i);
    CHECK(open_text(text, NULL, NULL, &recipe, &error) == LORAC_ERROR_ARGUMENT);
    CHECKF(strstr(error.message, "more than 2000 keys"), "%s", error.message);
    free(text);
    struct lorac_recipe_request request = {.path = "no_such_file.yaml"};
    CHECK(lorac_recipe_open(&request, &recipe, &error) == LORAC_ERROR_IO);
    request.path = ".";
    CHECK(lorac_recipe_open(&request, &recipe, &error) == LORAC_ERROR_IO);
}

// ---- what is taken

static void test_values(void)
{
    static const char text[] = "\xef\xbb\xbf# with a mark of UTF-8\n"
                               "model: {file: /a/b.onnx}\n"
                               "train:\n  lr: 1/8\n  nesterov: true\n"
                               "data:\n  mean: [0.5, 1/4]\n  std: 0.25,1\n  range: [5, 9]\n  images: x.npy\n"
                               "  labels: 'true'\n"
                               "stem:\n  input_size: [24, 32]\n"
                               "head:\n"
                               "adapter:\n  exclude: 'a: b'\n  overrides:\n  - {layers: 'x:y', rank: 8}\n"
                               "  - alpha: 2\n    layers: z\n"
                               "output: {merged: out/plain.onnx, trained: t.onnx}\n";
    static const struct {
        const char *path, *value;
    } rows[] = {{"model.file", "/a/b.onnx"},
                {"train.lr", "1/8"},
                {"train.nesterov", "true"},
                {"data.mean", "0.5,1/4"},
                {"data.std", "0.25,1"},
                {"data.range", "5:9"},
                {"data.images", "x.npy"},
                {"data.labels", "true"},
                {"stem.input_size", "24x32"},
                {"adapter.exclude", "a: b"},
                {"adapter.overrides", "x:y:rank=8"},
                {"output.injected", "out/plain.injected.onnx"},
                {"output.trained", "t.onnx"},
                {"train.batch", NULL},
                {"no.such", NULL}};
    struct lorac_recipe *recipe;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(open_text(text, NULL, NULL, &recipe, &error), error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = lorac_recipe_get(recipe, rows[i].path);
        CHECKF(got == rows[i].value || (got && rows[i].value && strcmp(got, rows[i].value) == 0),
               "%s: got %s, expected %s", rows[i].path, got ? got : "none", rows[i].value ? rows[i].value : "none");
    }
    lorac_recipe_close(recipe);
}

static void check_lr(const char *text, const char *preset, const char *setting, const char *expected)
{
    struct lorac_recipe *recipe;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(open_text(text, preset, setting, &recipe, &error), error));
    const char *got = lorac_recipe_get(recipe, "train.lr");
    CHECKF(got && strcmp(got, expected) == 0, "'%s' %s %s: lr %s, expected %s", text, preset ? preset : "",
           setting ? setting : "", got ? got : "none", expected);
    lorac_recipe_close(recipe);
}

static void test_layers(void)
{
    check_lr("preset: paper\n", NULL, NULL, "0.1");
    check_lr("preset: [device, paper]\n", NULL, NULL, "0.1");
    check_lr("preset: [paper, device]\n", NULL, NULL, "0.01");
    check_lr("train: {lr: 3}\npreset: paper\n", NULL, NULL, "3");
    check_lr("train: {lr: 3}\n", "paper", NULL, "3");
    check_lr("preset: device\n", "paper", NULL, "0.1");
    check_lr("train: {lr: 3}\npreset: paper\n", "device", "train.lr=4", "4");
}

// What --set leaves out of the file below it is not used, and what it says again is.
static void test_used(void)
{
    static const char text[] = "data:\n  images: a.npy\n  labels: b.npy\n  range: 0:5\neval:\n  labels: c.npy\n";
    struct lorac_recipe *recipe;
    struct lorac_error error = {0};
    REQUIRE(open_text(text, NULL, "data.images=z.npy", &recipe, &error) == LORAC_OK);
    CHECK(strcmp(lorac_recipe_get(recipe, "data.labels"), "b.npy") == 0);
    CHECK(lorac_recipe_get_used(recipe, "data.labels") == NULL);
    CHECK(lorac_recipe_get_used(recipe, "data.range") == NULL);
    CHECK(lorac_recipe_get_used(recipe, "data.val") == NULL);
    CHECK(strcmp(lorac_recipe_get_used(recipe, "data.images"), "z.npy") == 0);
    CHECK(strcmp(lorac_recipe_get_used(recipe, "eval.labels"), "c.npy") == 0);
    lorac_recipe_close(recipe);
    REQUIRE(open_text(text, NULL, "data.labels=z.npy", &recipe, &error) == LORAC_OK);
    CHECK(strcmp(lorac_recipe_get_used(recipe, "data.labels"), "z.npy") == 0);
    CHECK(strcmp(lorac_recipe_get_used(recipe, "data.range"), "0:5") == 0);
    lorac_recipe_close(recipe);
}

static void test_settings(void)
{
    static const struct {
        const char *setting, *message;
    } rows[] = {{"train.lr", "--set train.lr: must be SECTION.KEY=VALUE"},
                {"lr=1", "--set lr=1: must be SECTION.KEY=VALUE"},
                {"lr=1.5", "--set lr=1.5: must be SECTION.KEY=VALUE"},
                {"train.lr=", "--set train.lr=: 'lr' in 'train' has no value"},
                {"train.lr=x", "--set train.lr=x: 'lr' in 'train': x must be a number"},
                {"train.rl=1", "--set train.rl=1: unknown key 'rl' in 'train', did you mean 'lr'?"},
                {"trian.lr=1", "--set trian.lr=1: unknown section 'trian', did you mean 'train'?"},
                {"train.lr=1\n  batch: 2", "has more than one line"},
                {"data.mean=[1", "--set data.mean=[1: "}};
    struct lorac_recipe *recipe;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_error error = {0};
        CHECK(open_text("train: {lr: 1}\n", NULL, rows[i].setting, &recipe, &error) == LORAC_ERROR_ARGUMENT);
        CHECKF(strstr(error.message, rows[i].message), "'%s': got \"%s\"", rows[i].setting, error.message);
    }
}

// ---- the table

static bool is_in_recipe(const char *option, unsigned command)
{
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++)
        if ((key->commands & command) && ((key->option && strcmp(key->option, option) == 0) ||
                                          (key->negative && strcmp(key->negative, option) == 0)))
            return true;
    return false;
}

static bool is_excluded(const char *option, unsigned command)
{
    for (const struct lorac_recipe_exclusion *row = lorac_recipe_exclusions; row->option; row++)
        if ((row->commands & command) && strcmp(row->option, option) == 0)
            return true;
    return false;
}

static void test_every_option_is_known(void)
{
    size_t seen = 0;
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++) {
        unsigned bit = lorac_recipe_command_bit((*command)->name);
        for (const struct lorac_option_group *group = (*command)->groups; bit && group->options; group++)
            for (const struct lorac_option *option = group->options; option->name; option++, seen++) {
                bool in = is_in_recipe(option->name, bit), out = is_excluded(option->name, bit);
                CHECKF(in != out, "%s --%s %s: see tools/recipe_table.c", (*command)->name, option->name,
                       in ? "is a key of recipes and excluded from them" : "is neither a key of recipes nor excluded");
            }
    }
    CHECK(seen > 100);
}

// Each command of a row has the row's option, and no row is there twice.
static void test_keys(void)
{
    for (const struct lorac_recipe_key *key = lorac_recipe_keys; key->key; key++) {
        CHECKF(lorac_recipe_key_find(key->section, key->key) == key, "%s.%s is there twice", key->section, key->key);
        const struct lorac_option *option = lorac_recipe_key_option(key);
        CHECKF(option && option->help && *option->help, "%s.%s has no help", key->section, key->key);
        for (unsigned bit = 1; bit; bit <<= 1) {
            if (!(key->commands & bit))
                continue;
            const char *name = lorac_recipe_command_name(bit);
            const struct lorac_command *command = name ? lorac_command_find(name) : NULL;
            REQUIRE(command != NULL);
            const struct lorac_option *row =
                key->option ? lorac_options_find(command->groups, key->option, NULL) : NULL;
            CHECKF(!key->option || row, "%s.%s: %s has no such option", key->section, key->key, name);
            CHECKF(!row || !option || row->type == option->type, "%s.%s: another type than %s's option", key->section,
                   key->key, name);
            CHECKF(!key->negative || lorac_options_find(command->groups, key->negative, NULL),
                   "%s.%s: %s has no such negative option", key->section, key->key, name);
        }
    }
    for (const struct lorac_recipe_exclusion *row = lorac_recipe_exclusions; row->option; row++)
        for (unsigned bit = 1; bit; bit <<= 1)
            if (row->commands & bit) {
                const struct lorac_command *command = lorac_command_find(lorac_recipe_command_name(bit));
                CHECKF(command && lorac_options_find(command->groups, row->option, NULL), "%s has no --%s to exclude",
                       lorac_recipe_command_name(bit), row->option);
            }
}

static bool is_any_option(const char *name)
{
    for (const struct lorac_command *const *command = lorac_commands(); *command; command++)
        if (lorac_options_find((*command)->groups, name, NULL))
            return true;
    return false;
}

static void test_rules_and_presets(void)
{
    for (const struct lorac_recipe_rule *rule = lorac_recipe_rules; rule->option; rule++) {
        CHECKF(is_any_option(rule->option), "a rule for --%s, which no command has", rule->option);
        for (const char *const *other = rule->others; *other; other++)
            CHECKF(is_any_option(*other), "a rule over --%s, which no command has", *other);
    }
    for (const struct lorac_recipe_preset *preset = lorac_recipe_presets; preset->name; preset++) {
        struct lorac_recipe *recipe;
        struct lorac_error error = {0};
        if (CHECK_OK(open_text("train: {}\n", preset->name, NULL, &recipe, &error), error))
            lorac_recipe_close(recipe);
    }
}

// ---- bytes that mean nothing

static const char sample[] = "preset: [paper, cifar10]\n"
                             "model:\n  file: \"a\\u00e4.onnx\" # text\n"
                             "adapter:\n  rank: 4\n  overrides:\n    - {layers: 'layer1', rank: 8}\n"
                             "    - layers: |\n        layer2\n      alpha: 3\n"
                             "train:\n  lr: 1/8\n  nesterov: true\n"
                             "data:\n  mean: [0.5, 0.25, 1]\n  range: [0, 10]\n  images: >-\n    x.npy\n"
                             "output: {merged: plain.onnx}\n";

// Opens it; whatever comes is fine but a crash, a leak, or a message without a place.
static void open_bytes(const char *bytes, size_t count)
{
    struct lorac_yaml yaml;
    struct lorac_error error = {0};
    char *exact = malloc(count ? count : 1); // so that reading past the end is seen
    REQUIRE(exact != NULL);
    memcpy(exact, bytes, count);
    enum lorac_status status = lorac_yaml_parse("f", exact, count, &yaml, &error);
    free(exact);
    if (status == LORAC_OK)
        lorac_yaml_clear(&yaml);
    else
        CHECKF(status == LORAC_ERROR_ARGUMENT && strncmp(error.message, "f:", 2) == 0, "%s", error.message);
    if (status != LORAC_OK)
        return;
    struct lorac_recipe *recipe = NULL;
    const struct lorac_recipe_request request = {.path = file_name};
    write_file(bytes, count);
    status = lorac_recipe_open(&request, &recipe, &error);
    CHECKF(status == LORAC_OK || (status == LORAC_ERROR_ARGUMENT && strstr(error.message, file_name)), "%s",
           error.message);
    lorac_recipe_close(recipe);
}

static void test_damaged(void)
{
    static char bytes[sizeof sample];
    for (size_t count = 0; count < sizeof sample; count++)
        open_bytes(sample, count);
    for (size_t i = 0; i + 1 < sizeof sample; i++) {
        memcpy(bytes, sample, sizeof sample);
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] = (char)((unsigned char)sample[i] ^ (1u << bit));
            open_bytes(bytes, sizeof sample - 1);
        }
    }
    struct lorac_rng rng;
    lorac_rng_init(&rng, 0, "damaged recipes", 0, 0);
    for (int round = 0; round < 3000; round++) {
        static const char marks[] = "{}[]:,-?&*!|>'\"%@`#\n\t ";
        memcpy(bytes, sample, sizeof sample);
        for (int i = 0; i < 4; i++)
            bytes[lorac_rng_below(&rng, sizeof sample - 1)] = marks[lorac_rng_below(&rng, sizeof marks - 1)];
        open_bytes(bytes, sizeof sample - 1);
    }
}

int main(void)
{
    test_refusals();
    test_empty_and_huge();
    test_values();
    test_layers();
    test_used();
    test_settings();
    test_every_option_is_known();
    test_keys();
    test_rules_and_presets();
    test_damaged();
    unlink(file_name);
    return check_report();
}
