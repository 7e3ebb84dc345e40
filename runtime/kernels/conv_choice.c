#include "conv_choice.h"

#include "conv_algorithm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool exists(bool gradient, const char *name)
{
    size_t count, i = 0;
    const struct lorac_conv_algorithm *const *list = lorac_conv_algorithms(gradient, &count);
    while (i < count && strcmp(list[i]->name, name) != 0)
        i++;
    return !name[0] || i < count;
}

bool lorac_conv_names_exist(const char *forward, const char *gradient, const char *form)
{
    return exists(false, forward) && exists(true, gradient) &&
           (!form[0] || strcmp(form, "definition") == 0 || strcmp(form, "branch") == 0);
}

struct writer {
    char *text;
    size_t used; // above LORAC_CHOICE_STEP where it did not fit
};

static void append(struct writer *writer, const char *format, ...) LORAC_PRINTF(2, 3);
static void append(struct writer *writer, const char *format, ...)
{
    if (writer->used >= LORAC_CHOICE_STEP)
        return;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(writer->text + writer->used, LORAC_CHOICE_STEP - writer->used, format, arguments);
    va_end(arguments);
    writer->used += length >= 0 ? (size_t)length : LORAC_CHOICE_STEP;
}

bool lorac_conv_case_text(const struct lorac_conv_case *conv, char *text)
{
    static const char *const params[] = {"weight", "bias", "A", "B"};
    static const char *const policies[] = {"", ", as definition", ", as branch"};
    const struct lorac_conv_shape *s = conv->shape;
    struct writer writer = {text, 0};
    append(&writer, "%zux%zux%zux%zu to %zux%zux%zu, kernel %zux%zu, stride %zux%zu, dilation %zux%zu", s->N, s->H,
           s->W, s->C, s->OH, s->OW, s->M, s->kh, s->kw, s->stride_h, s->stride_w, s->dilation_h, s->dilation_w);
    append(&writer, ", pads %zu %zu %zu %zu, groups %zu", s->pad_top, s->pad_left, s->pad_bottom, s->pad_right, s->G);
    append(&writer, "%s", conv->gradient ? ", gradient" : "");
    if (conv->R > 0)
        append(&writer, ", adapter %zu", conv->R);
    const char *word = ", trains";
    for (size_t i = 0; i < 4; i++)
        if (conv->trains[i]) {
            append(&writer, "%s %s", word, params[i]);
            word = "";
        }
    append(&writer, "%s%s", conv->exact ? ", exact" : "", conv->R > 0 ? policies[conv->form_policy] : "");
    if (conv->packed_limit > 0)
        append(&writer, ", packed %zu", conv->packed_limit);
    return writer.used < LORAC_CHOICE_STEP;
}
