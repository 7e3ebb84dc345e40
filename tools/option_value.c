// The value that an option has, as a text: the other way round than parsing.
#include "options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct text {
    char *bytes;
    size_t used;
};

static void append(struct text *text, const char *format, ...) LORAC_PRINTF(2, 3);
static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const size_t room = LORAC_OPTION_SETTING_TEXT - text->used;
    int length = vsnprintf(text->bytes + text->used, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->used += (size_t)length < room ? (size_t)length : room - 1;
}

// The shortest that gives the same number.
static void append_double(struct text *text, double value)
{
    char digits[64];
    double again;
    for (int precision = 6; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (sscanf(digits, "%lf", &again) == 1 && again == value)
            break;
    }
    append(text, "%s", digits);
}

static void append_doubles(struct text *text, const struct lorac_doubles *doubles)
{
    for (size_t i = 0; i < doubles->count; i++) {
        append(text, "%s", i > 0 ? "," : "");
        append_double(text, doubles->values[i]);
    }
}

static void append_texts(struct text *text, const struct lorac_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        append(text, "%s%s", i > 0 ? " " : "", texts->values[i]);
}

static const char *or_nothing(const char *value)
{
    return value ? value : "";
}

const char *lorac_option_setting_text(const struct lorac_option *option, const void *group_settings,
                                      char bytes[LORAC_OPTION_SETTING_TEXT])
{
    const void *field = (const char *)group_settings + option->offset;
    struct text text = {bytes, 0};
    bytes[0] = '\0';
    switch (option->type) {
    case LORAC_OPTION_FLAG:
        append(&text, "%s", *(const bool *)field ? "on" : "off");
        break;
    case LORAC_OPTION_NO_FLAG:
        append(&text, "%s", *(const bool *)field ? "off" : "on");
        break;
    case LORAC_OPTION_INT64:
        append(&text, "%" PRId64, *(const int64_t *)field);
        break;
    case LORAC_OPTION_UINT64:
        append(&text, "%" PRIu64, *(const uint64_t *)field);
        break;
    case LORAC_OPTION_DOUBLE:
        append_double(&text, *(const double *)field);
        break;
    case LORAC_OPTION_STRING:
    case LORAC_OPTION_PATH:
        append(&text, "%s", or_nothing(*(const char *const *)field));
        break;
    case LORAC_OPTION_ENUM:
        append(&text, "%s", *(const int *)field < 0 ? "" : lorac_option_choice(option, (size_t) * (const int *)field));
        break;
    case LORAC_OPTION_DOUBLES:
        append_doubles(&text, field);
        break;
    case LORAC_OPTION_RANGE:
        if (((const struct lorac_range *)field)->given)
            append(&text, "%zu:%zu", ((const struct lorac_range *)field)->begin, ((const struct lorac_range *)field)->end);
        break;
    case LORAC_OPTION_SIZE:
        if (((const struct lorac_size *)field)->height > 0)
            append(&text, "%zux%zu", ((const struct lorac_size *)field)->height, ((const struct lorac_size *)field)->width);
        break;
    case LORAC_OPTION_TEXTS:
        append_texts(&text, field);
        break;
    }
    return bytes;
}
