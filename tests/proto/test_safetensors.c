// safetensors: what is written is read, and files that anybody may have written are refused, or read without harm.
#include "check.h"

#include "proto/model.h"
#include "proto/safetensors.h"

#include <stdbool.h>

// ---- round trip

static const int64_t dims_matrix[] = {2, 3}, dims_empty[] = {4, 0}, dims_three[] = {3};
static const uint8_t numbers[48] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static const struct lorac_safetensor some[] = {
    {"half", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 1, dims_three, numbers, 6},
    {"brain", ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, 0, NULL, numbers + 3, 2},
    {"matrix \"\\ \xc3\xa4", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, dims_matrix, numbers, 24},
    {"empty", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, dims_empty, numbers, 0},
    {"double", ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, 2, dims_matrix, numbers, 48},
};
static const struct lorac_safetensors_text texts[] = {{"one", "1"}, {"two\n", ""}, {"json", "{\"a\":[1,2]}"}};
enum { SOME = sizeof some / sizeof *some, TEXTS = sizeof texts / sizeof *texts };

static uint8_t *pack(const struct lorac_safetensor *tensors, size_t count, size_t *byte_count)
{
    const struct lorac_safetensors content = {.tensor_count = count,
                                              .text_count = TEXTS,
                                              .tensors = (struct lorac_safetensor *)tensors,
                                              .texts = (struct lorac_safetensors_text *)texts};
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    REQUIRE(CHECK_OK(lorac_safetensors_pack(&content, &bytes, byte_count, &error), error));
    return bytes;
}

static size_t element_bytes(int32_t type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE  ? 8
           : type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ? 4
                                                          : 2;
}

static void test_round_trip(void)
{
    struct lorac_error error = {0};
    struct lorac_safetensors content;
    struct lorac_arena *arena = lorac_arena_create();
    size_t byte_count;
    uint8_t *bytes = pack(some, SOME, &byte_count);
    REQUIRE(arena && CHECK_OK(lorac_safetensors_read(arena, bytes, byte_count, &content, &error), error));
    CHECK(content.tensor_count == SOME && content.text_count == TEXTS);
    for (size_t i = 0; i < TEXTS; i++)
        CHECK_STRING(lorac_safetensors_text(&content, texts[i].key), texts[i].value);
    CHECK(!lorac_safetensors_text(&content, "three"));
    size_t found = 0;
    for (size_t i = 0; i < SOME; i++)
        for (size_t k = 0; k < content.tensor_count; k++) {
            const struct lorac_safetensor *got = &content.tensors[k], *put = &some[i];
            if (strcmp(got->name, put->name) != 0)
                continue;
            found++;
            CHECK(got->data_type == put->data_type && got->rank == put->rank && got->byte_count == put->byte_count);
            CHECK(put->rank == 0 || memcmp(got->dims, put->dims, put->rank * sizeof *put->dims) == 0);
            CHECK(memcmp(got->bytes, put->bytes, put->byte_count) == 0);
            // Aligned to the type within the file.
            CHECK((size_t)(got->bytes - bytes) % element_bytes(got->data_type) == 0);
        }
    CHECK(found == SOME);
    lorac_arena_free(arena);
    free(bytes);

    bytes = pack(NULL, 0, &byte_count);
    CHECK(byte_count % 8 == 0);
    free(bytes);
}

static void test_refused_to_write(void)
{
    const struct lorac_safetensor strings = {"s", ONNX__TENSOR_PROTO__DATA_TYPE__STRING, 1, dims_three, numbers, 3};
    const struct lorac_safetensor name = {"\xff", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 2, dims_matrix, numbers, 24};
    const struct {
        const struct lorac_safetensor *tensor;
        enum lorac_status status;
    } rows[] = {{&strings, LORAC_ERROR_UNSUPPORTED}, {&name, LORAC_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct lorac_safetensors content = {.tensor_count = 1,
                                                  .tensors = (struct lorac_safetensor *)rows[i].tensor};
        struct lorac_error error = {0};
        uint8_t *bytes = NULL;
        size_t byte_count;
        CHECKF(lorac_safetensors_pack(&content, &bytes, &byte_count, &error) == rows[i].status && !bytes, "row %zu: %s",
               i, error.message);
    }
}

// ---- hostile files

#define T(name, dtype, shape, offsets)                                                                                 \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

static const struct {
    const char *header;
    size_t data_bytes;
    const char *message; // NULL: is read
} rows[] = {
    {"{" T("a", "F32", "2", "0,8") "}", 8, NULL},
    {"{" T("a", "F32", "2", "0,8") "}    ", 8, NULL},
    {"{" T("b", "F32", "1", "8,12") "," T("a", "F32", "2", "0,8") "}", 12, NULL},
    {"{" T("a", "F32", "", "0,4") "," T("e", "F32", "0", "4,4") "}", 4, NULL},
    {"{\"__metadata__\":{}}", 0, NULL},
    {"{}", 0, NULL},
    // The header.
    {"", 0, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {" {}", 0, "does not begin with '{'"},
    {"{", 0, "not valid JSON"},
    {"{}x", 0, "not valid JSON"},
    {"{\"a\":", 0, "not valid JSON"},
    {"{\"\xff\":1}", 0, "not valid JSON"},
    {"{\"a\\u0000\":1}", 0, "not valid JSON"},
    {"{" T("a", "F32", "2", "0,8") "," T("a", "F32", "2", "8,16") "}", 16, "duplicate"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
    {"{\"__metadata__\":[]}", 0, "must be an object of texts"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "entry 'a' must be a text"},
    {"{\"__metadata__\":{\"a\":null}}", 0, "entry 'a' must be a text"},
    // A tensor's members.
    {"{\"a\":1}", 0, "must be an object of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "must be an object of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "must be an object of"},
    {"{\"a\":{\"dtype\":\"F32\",\"form\":[1],\"data_offsets\":[0,4]}}", 4, "'shape' must be an array"},
    {"{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'dtype' must be a string"},
    {"{" T("", "F32", "1", "0,4") "}", 4, "empty name"},
    {"{" T("a", "F31", "1", "0,4") "}", 4, "dtype 'F31', which is not known"},
    {"{" T("a", "f32", "1", "0,4") "}", 4, "dtype 'f32', which is not known"},
    {"{" T("a", "F32", "-1", "0,4") "}", 4, "0 or more"},
    {"{" T("a", "F32", "1.0", "0,4") "}", 4, "0 or more"},
    {"{" T("a", "F32", "\"1\"", "0,4") "}", 4, "0 or more"},
    {"{" T("a", "F32", "1,1,1,1,1,1,1,1,1", "0,4") "}", 4, "at most 8"},
    {"{" T("a", "F32", "9223372036854775808", "0,4") "}", 4, "not valid JSON"},
    {"{" T("a", "F32", "4294967296,4294967296", "0,4") "}", 4, "too large"},
    {"{" T("a", "F32", "4611686018427387904", "0,4") "}", 4, "too large"},
    {"{" T("a", "F32", "9223372036854775807,2", "0,4") "}", 4, "too large"},
    {"{" T("a", "F32", "0,9223372036854775807,9223372036854775807", "0,0") "}", 0, NULL},
    // Where the bytes are.
    {"{" T("a", "F32", "1", "0") "}", 4, "two whole numbers"},
    {"{" T("a", "F32", "1", "0,4,8") "}", 4, "two whole numbers"},
    {"{" T("a", "F32", "1", "4,0") "}", 4, "two whole numbers"},
    {"{" T("a", "F32", "1", "-4,0") "}", 4, "two whole numbers"},
    {"{" T("a", "F32", "1", "0.0,4.0") "}", 4, "two whole numbers"},
    {"{" T("a", "F32", "2", "0,4") "}", 4, "has 4 bytes by its 'data_offsets', and 8"},
    {"{" T("a", "F64", "1", "0,4") "}", 4, "has 4 bytes by its 'data_offsets', and 8"},
    {"{" T("a", "F32", "1", "0,8") "}", 8, "has 8 bytes by its 'data_offsets', and 4"},
    {"{" T("a", "F32", "1", "4,8") "}", 8, "no gap"},
    {"{" T("a", "F32", "1", "0,4") "," T("b", "F32", "1", "8,12") "}", 12, "'b' begins at byte 8"},
    {"{" T("a", "F32", "2", "0,8") "," T("b", "F32", "1", "4,8") "}", 8, "no overlap"},
    {"{" T("a", "F32", "1", "0,4") "," T("b", "F32", "1", "0,4") "}", 4, "no overlap"},
    {"{" T("a", "F32", "2", "0,8") "}", 7, "cut short"},
    {"{" T("a", "F32", "2", "0,8") "}", 9, "end at byte 8 of the data, which has 9"},
    {"{" T("a", "U8", "9223372036854775807", "0,9223372036854775807") "}", 4, "cut short"},
    {"{}", 1, "end at byte 0 of the data, which has 1"},
};

// A file of [header], with [length] as its length, and zeros. The caller frees.
static uint8_t *assemble(const char *header, uint64_t length, size_t data_bytes, size_t *byte_count)
{
    size_t text = strlen(header);
    uint8_t *bytes = calloc(1, 8 + text + data_bytes + 1);
    REQUIRE(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> (8 * i));
    memcpy(bytes + 8, header, text);
    *byte_count = 8 + text + data_bytes;
    return bytes;
}

// Reads it from a block of just its size, so that a checker of memory sees the first byte too far.
static enum lorac_status read_exactly(const uint8_t *bytes, size_t byte_count, struct lorac_error *error)
{
    struct lorac_safetensors content = {0};
    struct lorac_arena *arena = lorac_arena_create();
    uint8_t *copy = malloc(byte_count ? byte_count : 1);
    REQUIRE(arena && copy);
    memcpy(copy, bytes, byte_count);
    enum lorac_status status = lorac_safetensors_read(arena, copy, byte_count, &content, error);
    unsigned sum = 0;
    for (size_t i = 0; status == LORAC_OK && i < content.tensor_count; i++)
        for (size_t k = 0; k < content.tensors[i].byte_count; k++)
            sum += content.tensors[i].bytes[k];
    CHECK(status == LORAC_OK || (sum == 0 && content.tensor_count == 0 && error->message[0]));
    lorac_arena_free(arena);
    free(copy);
    return status;
}

static void test_hostile(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lorac_error error = {0};
        size_t byte_count;
        uint8_t *bytes = assemble(rows[i].header, strlen(rows[i].header), rows[i].data_bytes, &byte_count);
        enum lorac_status status = read_exactly(bytes, byte_count, &error);
        CHECKF((status == LORAC_OK) == !rows[i].message, "row %zu (%s): %s", i, rows[i].header, error.message);
        if (rows[i].message)
            CHECKF(strstr(error.message, rows[i].message) != NULL, "row %zu (%s): %s", i, rows[i].header,
                   error.message);
        free(bytes);
    }
}

static void test_lengths(void)
{
    static const uint64_t lengths[] = {3, 1000, LORAC_SAFETENSORS_MAX_HEADER + 1, UINT32_MAX, UINT64_MAX - 7,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct lorac_error error = {0};
        size_t byte_count;
        uint8_t *bytes = assemble("{}", lengths[i], 0, &byte_count);
        CHECKF(read_exactly(bytes, byte_count, &error) == LORAC_ERROR_FORMAT, "length %llu",
               (unsigned long long)lengths[i]);
        free(bytes);
    }
    for (size_t i = 0; i < 8; i++) {
        struct lorac_error error = {0};
        CHECK(read_exactly(numbers, i, &error) == LORAC_ERROR_FORMAT && strstr(error.message, "not a safetensors"));
    }
    enum { DEPTH = 100000 };
    char *deep = malloc(DEPTH + 7);
    REQUIRE(deep);
    memcpy(deep, "{\"a\":", 5);
    memset(deep + 5, '[', DEPTH);
    deep[DEPTH + 5] = '\0';
    struct lorac_error error = {0};
    size_t byte_count;
    uint8_t *bytes = assemble(deep, strlen(deep), 0, &byte_count);
    CHECK(read_exactly(bytes, byte_count, &error) == LORAC_ERROR_FORMAT);
    free(bytes);
    free(deep);
}

// Every cut is refused, and every changed byte is refused or read without harm.
static void test_every_byte(void)
{
    size_t byte_count;
    uint8_t *bytes = pack(some, SOME, &byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        struct lorac_error error = {0};
        CHECKF(read_exactly(bytes, i, &error) != LORAC_OK, "%zu bytes of %zu were read", i, byte_count);
    }
    for (size_t i = 0; i < byte_count; i++)
        for (int k = 0; k < 4; k++) {
            static const uint8_t changes[] = {0x01, 0x80, 0xff, '"' ^ '}'};
            struct lorac_error error = {0};
            bytes[i] ^= changes[k];
            read_exactly(bytes, byte_count, &error);
            bytes[i] ^= changes[k];
        }
    free(bytes);
}

int main(void)
{
    test_round_trip();
    test_refused_to_write();
    test_hostile();
    test_lengths();
    test_every_byte();
    return check_report();
}
