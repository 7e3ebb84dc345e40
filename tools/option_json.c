#include "option_json.h"

#include "report.h"

#include <inttypes.h>

static json_t *numbers_json(const struct lorac_doubles *numbers)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < numbers->count; i++)
        json_array_append_new(list, lorac_json_number(numbers->values[i]));
    return list;
}

static json_t *texts_json(const struct lorac_texts *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < texts->count; i++)
        json_array_append_new(list, lorac_json_text(texts->values[i]));
    return list;
}

// "A:B" or "HxW".
static json_t *pair_json(bool given, size_t first, char between, size_t second)
{
    char text[64];
    snprintf(text, sizeof text, "%zu%c%zu", first, between, second);
    return given ? json_string(text) : json_null();
}

// Jansson's integers are signed: a larger number is a text.
static json_t *unsigned_json(uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_string(text);
}

static json_t *value_json(const struct lorac_option *option, const void *field)
{
    const struct lorac_range *range = field;
    const struct lorac_size *size = field;
    switch (option->type) {
    case LORAC_OPTION_FLAG:
        return json_boolean(*(const bool *)field);
    case LORAC_OPTION_NO_FLAG:
        return json_boolean(!*(const bool *)field);
    case LORAC_OPTION_INT64:
        return json_integer((json_int_t) * (const int64_t *)field);
    case LORAC_OPTION_UINT64:
        return unsigned_json(*(const uint64_t *)field);
    case LORAC_OPTION_DOUBLE:
        return lorac_json_number(*(const double *)field);
    case LORAC_OPTION_STRING:
    case LORAC_OPTION_PATH:
        return lorac_json_text(*(const char *const *)field);
    case LORAC_OPTION_ENUM:
        return *(const int *)field < 0 ? json_null()
                                       : json_string(lorac_option_choice(option, (size_t) * (const int *)field));
    case LORAC_OPTION_DOUBLES:
        return numbers_json(field);
    case LORAC_OPTION_RANGE:
        return pair_json(range->given, range->begin, ':', range->end);
    case LORAC_OPTION_SIZE:
        return pair_json(size->height > 0, size->height, 'x', size->width);
    case LORAC_OPTION_TEXTS:
        return texts_json(field);
    }
    return NULL;
}

json_t *lorac_options_json(const struct lorac_option_set *set)
{
    json_t *object = json_object();
    for (struct lorac_option_row row = {0}; object && lorac_options_next(set->groups, &row);)
        object = lorac_json_with_member(object, row.option->name,
                                        value_json(row.option, lorac_options_field(set, &row)));
    return object;
}

json_t *lorac_options_given_json(const struct lorac_option_set *set)
{
    json_t *list = json_array();
    for (struct lorac_option_row row = {0}; list && lorac_options_next(set->groups, &row);)
        if (set->given[row.index])
            json_array_append_new(list, json_string(row.option->name));
    return list;
}
