#include "check.h"
#include "proto/lorac_status.h"
#include "proto/size.h"

static void test_messages(void)
{
    struct lorac_error error = {0};
    CHECK(lorac_error_set(&error, LORAC_ERROR_IO, "cannot open '%s': %d", "a\nb\x1b[31m", 7) == LORAC_ERROR_IO);
    CHECK(error.status == LORAC_ERROR_IO);
    CHECK_STRING(error.message, "cannot open 'a?b?[31m': 7");
    CHECK(lorac_error_prefix(&error, LORAC_ERROR_IO, "'%s': ", "x") == LORAC_ERROR_IO);
    CHECK_STRING(error.message, "'x': cannot open 'a?b?[31m': 7");
    CHECK(lorac_error_set(NULL, LORAC_ERROR_FORMAT, "nobody listens") == LORAC_ERROR_FORMAT);
    CHECK(lorac_error_prefix(NULL, LORAC_OK, "nobody") == LORAC_OK);
    CHECK(lorac_error_prefix(NULL, LORAC_ERROR_FORMAT, "nobody") == LORAC_ERROR_FORMAT);
    CHECK(lorac_error_prefix(&error, LORAC_OK, "nothing happened: ") == LORAC_OK);
    CHECK_STRING(error.message, "'x': cannot open 'a?b?[31m': 7");
}

static void test_long_messages(void)
{
    struct lorac_error error = {0};
    char text[2 * LORAC_ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    lorac_error_set(&error, LORAC_ERROR_IO, "%s", text);
    CHECK(strlen(error.message) == LORAC_ERROR_MESSAGE_BYTES - 1);
    lorac_error_prefix(&error, error.status, "%s", text);
    CHECK(strlen(error.message) == LORAC_ERROR_MESSAGE_BYTES - 1);
}

static void test_texts(void)
{
#define ROW(name, number, text)                                                                                        \
    CHECK((int)(name) == (number));                                                                                    \
    CHECK_STRING(lorac_status_text(name), text);
    LORAC_STATUS_LIST(ROW)
#undef ROW
    CHECK_STRING(lorac_status_text((enum lorac_status)999), "unknown status");
}

static void test_sizes(void)
{
    static const struct {
        int64_t dims[3];
        size_t count;
        bool fits;
        size_t product;
    } rows[] = {
        {{0}, 0, true, 1},
        {{2, 3, 4}, 3, true, 24},
        {{2, 0, 4}, 3, true, 0},
        {{2, -1, 4}, 3, false, 0},
        {{INT64_MAX, 2, 1}, 3, true, (size_t)INT64_MAX * 2},
        {{INT64_MAX, 3, 1}, 3, false, 0},
        {{INT64_MAX, INT64_MAX, 0}, 3, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t product = 77;
        bool fits = lorac_size_of_dims(rows[i].dims, rows[i].count, &product);
        CHECKF(fits == rows[i].fits && product == (fits ? rows[i].product : 77), "row %zu: %d %zu", i, fits, product);
    }
    size_t out = 5;
    CHECK(!lorac_size_add(SIZE_MAX, 1, &out) && out == 5);
    CHECK(lorac_size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
}

int main(void)
{
    test_messages();
    test_long_messages();
    test_texts();
    test_sizes();
    return check_report();
}
