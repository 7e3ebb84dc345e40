#include "pass.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LORAC_PASS(name) extern const struct lorac_pass lorac_pass_##name;
#include "pass_list.h"
#undef LORAC_PASS

static const struct lorac_pass *const passes[] = {
#define LORAC_PASS(name) &lorac_pass_##name,
#include "pass_list.h"
#undef LORAC_PASS
};

const struct lorac_pass *const *lorac_pass_all(size_t *count)
{
    *count = sizeof passes / sizeof *passes;
    return passes;
}

enum lorac_status lorac_pass_note(struct lorac_model *model, struct lorac_pass_report *report,
                                  struct lorac_error *error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t count = report->note_count;
    if ((count & (count - 1)) == 0) { // 0 or a power of two: full
        const char **larger = lorac_arena_alloc_array(model->arena, count ? 2 * count : 1, sizeof *larger);
        if (!larger)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a report");
        if (count > 0)
            memcpy(larger, report->notes, count * sizeof *larger);
        report->notes = larger;
    }
    char *copy = lorac_arena_strdup(model->arena, text);
    if (!copy)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for a report");
    report->notes[report->note_count++] = copy;
    return LORAC_OK;
}

const struct lorac_pass *lorac_pass_find(const char *name)
{
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        if (strcmp(passes[i]->name, name) == 0)
            return passes[i];
    return NULL;
}
