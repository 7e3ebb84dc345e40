// The options that say what inject does, shared by inject (which does it) and inspect (which shows what it would do).
#ifndef LORAC_ADAPTERS_H
#define LORAC_ADAPTERS_H

#include "command.h"
#include "passes/inject.h"

// What --override says, parsed.
enum { LORAC_PATTERN_BYTES = 256 };
struct lorac_override_list {
    size_t count;
    struct lorac_inject_override items[LORAC_TEXTS_MAX]; // their patterns are in [patterns]
    char patterns[LORAC_TEXTS_MAX][LORAC_PATTERN_BYTES];
};

// "REGEX:rank=8,alpha=16" for each of [texts]; the last colon counts. Errors: ARGUMENT.
enum lorac_status lorac_overrides_parse(const struct lorac_texts *texts, struct lorac_override_list *out,
                                        struct lorac_error *error);

struct lorac_adapter_settings {
    int64_t rank;
    double alpha;
    int setting; // enum lorac_rank_setting
    int form;    // enum lorac_adapter_form
    int bn;      // enum lorac_bn_mode
    const char *layers, *exclude, *branch_layers;
    struct lorac_texts override_texts;
    struct lorac_override_list overrides; // of them, by lorac_adapters_check
    bool freeze_a, train_first, train_last, train_all, as_inputs;
    const char *output; // --output-name of the command, no option of this table: a graph output's name, or NULL
};
extern const struct lorac_option lorac_adapter_options[];

// Refuses --train-all together with options of adapters, and --train-last with --no-train-last, and parses --override.
// Errors: ARGUMENT.
enum lorac_status lorac_adapters_check(const struct lorac_call *call, struct lorac_adapter_settings *settings,
                                       struct lorac_error *error);

// What inject would do to [model] (plain), or what is in it (injected): see passes/inject.h. The device build has no
// passes: it shows what is there.
enum lorac_status lorac_adapters_plan(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                      struct lorac_inject_plan *out, struct lorac_error *error);

// Injects in memory. UNSUPPORTED in the device build.
enum lorac_status lorac_adapters_apply(struct lorac_model *model, const struct lorac_adapter_settings *settings,
                                       struct lorac_error *error);

// Whether a plain model's BatchNormalization can be trained with batch statistics (--bn train). False in the device
// build, which injects nothing.
bool lorac_adapters_can_train_bn(struct lorac_model *model, const struct lorac_adapter_settings *settings);

// Was any of the options given? (False in the device build, which has none.)
bool lorac_adapters_given(const struct lorac_call *call);

// The pass's options; seed, input and tool keep their defaults.
void lorac_adapters_fill(const struct lorac_adapter_settings *settings, struct lorac_inject_options *options);

// What becomes trainable, by kind.
struct lorac_trainable_split {
    int64_t adapters, first_weight, last_weight, last_bias, others, total;
    int64_t copies; // of trained tensors that another node uses too: what the model has beyond [parameters]
    bool has_first, has_last; // the first convolution's / the last layer's weight is trainable
};
// [meta] is the model's, for the copies that an injected one has.
void lorac_adapters_split(struct lorac_model *model, const struct lorac_meta *meta,
                          const struct lorac_inject_plan *plan, struct lorac_trainable_split *out);

// The trainable numbers in percent of the base model's and of the copies; 0 where it has none.
double lorac_split_percent(const struct lorac_trainable_split *split, const struct lorac_inject_plan *plan);

// "adapters 46656, last weight 640, last bias 10" in [text]; returns text.
enum { LORAC_SPLIT_TEXT = 192 };
const char *lorac_split_text(const struct lorac_trainable_split *split, char text[LORAC_SPLIT_TEXT]);

#endif
