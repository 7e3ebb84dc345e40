#include "build_model.h"
#include "proto/tensor.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name
#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

enum { MAX_ELEMENTS = 4 };

// ---- every type, in its typed field and in raw_data

struct row {
    int32_t type;
    size_t count;
    // What the typed field of the type holds (one of them).
    float floats[MAX_ELEMENTS];
    int32_t int32s[MAX_ELEMENTS];
    int64_t int64s[MAX_ELEMENTS];
    double doubles[MAX_ELEMENTS];
    uint64_t uint64s[MAX_ELEMENTS];
    // What it means: the raw bytes, in hex, and the numbers.
    const char *raw;
    double numbers[MAX_ELEMENTS];
};

static const struct row ROWS[] = {
    {TYPE(FLOAT), 3, .floats = {1, -2.5f, 0x1p-149f}, .raw = "0000803f000020c001000000",
     .numbers = {1, -2.5, 0x1p-149}},
    {TYPE(DOUBLE), 2, .doubles = {0.1, -1e300}, .raw = "9a9999999999b93f9c7500883ce437fe", .numbers = {0.1, -1e300}},
    {TYPE(FLOAT16), 4, .int32s = {0x3c00, 0xc000, 0x0001, 0x7bff}, .raw = "003c00c00100ff7b",
     .numbers = {1, -2, 0x1p-24, 65504}},
    {TYPE(BFLOAT16), 4, .int32s = {0x3f80, 0xc040, 0x0001, 0x7f7f}, .raw = "803f40c001007f7f",
     .numbers = {1, -3, 0x1p-133, 0x1.fep127}},
    {TYPE(INT8), 4, .int32s = {-128, -1, 0, 127}, .raw = "80ff007f", .numbers = {-128, -1, 0, 127}},
    {TYPE(UINT8), 3, .int32s = {0, 128, 255}, .raw = "0080ff", .numbers = {0, 128, 255}},
    {TYPE(INT16), 3, .int32s = {-32768, -2, 32767}, .raw = "0080feffff7f", .numbers = {-32768, -2, 32767}},
    {TYPE(UINT16), 2, .int32s = {258, 65535}, .raw = "0201ffff", .numbers = {258, 65535}},
    {TYPE(INT32), 3, .int32s = {INT32_MIN, -3, INT32_MAX}, .raw = "00000080fdffffffffffff7f",
     .numbers = {-2147483648.0, -3, 2147483647}},
    {TYPE(UINT32), 2, .uint64s = {1, UINT32_MAX}, .raw = "01000000ffffffff", .numbers = {1, 4294967295.0}},
    {TYPE(INT64), 3, .int64s = {INT64_MIN, -4, 1ll << 40}, .raw = "0000000000000080fcffffffffffffff0000000000010000",
     .numbers = {-0x1p63, -4, 0x1p40}},
    {TYPE(UINT64), 2, .uint64s = {5, 1ull << 62}, .raw = "05000000000000000000000000000040", .numbers = {5, 0x1p62}},
    {TYPE(BOOL), 3, .int32s = {0, 1, 1}, .raw = "000101", .numbers = {0, 1, 1}},
    {LORAC_TYPE_INT4, 4, .int32s = {0x78, 0xf1}, .raw = "78f1", .numbers = {-8, 7, 1, -1}},
    {LORAC_TYPE_INT4, 3, .int32s = {0x78, 0x0e}, .raw = "780e", .numbers = {-8, 7, -2}},
    {LORAC_TYPE_UINT4, 4, .int32s = {0x78, 0xf1}, .raw = "78f1", .numbers = {8, 7, 1, 15}},
    {LORAC_TYPE_UINT4, 1, .int32s = {0xfe}, .raw = "fe", .numbers = {14}},
    {LORAC_TYPE_INT2, 4, .int32s = {0xb4}, .raw = "b4", .numbers = {0, 1, -1, -2}},
    {LORAC_TYPE_UINT2, 3, .int32s = {0x34}, .raw = "34", .numbers = {0, 1, 3}},
    {LORAC_TYPE_INT4, 0, .raw = ""},
    {TYPE(FLOAT), 0, .raw = ""},
    {TYPE(INT64), 0, .raw = ""},
};

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t count = strlen(hex) / 2;
    for (size_t i = 0; i < count; i++) {
        unsigned byte;
        REQUIRE(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        out[i] = (uint8_t)byte;
    }
    return count;
}

static void init_tensor(Onnx__TensorProto *tensor, int32_t type, int64_t *dims, size_t dim_count)
{
    onnx__tensor_proto__init(tensor);
    tensor->name = (char *)"t";
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->dims = dims;
    tensor->n_dims = dim_count;
}

// A copy of [row], whose fields the tensor points into, in typed form.
static void typed_tensor(Onnx__TensorProto *tensor, struct row *row, int64_t *dims)
{
    init_tensor(tensor, row->type, dims, 1);
    dims[0] = (int64_t)row->count;
    tensor->float_data = row->floats;
    tensor->int32_data = row->int32s;
    tensor->int64_data = row->int64s;
    tensor->double_data = row->doubles;
    tensor->uint64_data = row->uint64s;
    switch (row->type) {
    case TYPE(FLOAT):
        tensor->n_float_data = row->count;
        break;
    case TYPE(DOUBLE):
        tensor->n_double_data = row->count;
        break;
    case TYPE(INT64):
        tensor->n_int64_data = row->count;
        break;
    case TYPE(UINT32):
    case TYPE(UINT64):
        tensor->n_uint64_data = row->count;
        break;
    case LORAC_TYPE_INT4:
    case LORAC_TYPE_UINT4:
        tensor->n_int32_data = (row->count + 1) / 2;
        break;
    case LORAC_TYPE_INT2:
    case LORAC_TYPE_UINT2:
        tensor->n_int32_data = (row->count + 3) / 4;
        break;
    default:
        tensor->n_int32_data = row->count;
    }
}

static void check_reads(const Onnx__TensorProto *tensor, const struct row *row, const char *form)
{
    struct lorac_error error = {0};
    const char *name = lorac_tensor_type_name(row->type);
    double doubles[MAX_ELEMENTS];
    float floats[MAX_ELEMENTS];
    int64_t integers[MAX_ELEMENTS];
    bool whole = true;
    CHECK_OK(lorac_tensor_check(tensor, &error), error);
    CHECK_OK(lorac_tensor_to_double(tensor, doubles, row->count, &error), error);
    CHECK_OK(lorac_tensor_to_float(tensor, floats, row->count, &error), error);
    for (size_t i = 0; i < row->count; i++) {
        CHECKF(doubles[i] == row->numbers[i], "%s %s %zu: %g", name, form, i, doubles[i]);
        CHECKF(floats[i] == (float)row->numbers[i], "%s %s %zu: float %g", name, form, i, (double)floats[i]);
        whole = whole && floor(row->numbers[i]) == row->numbers[i] && fabs(row->numbers[i]) <= 0x1p63;
    }
    enum lorac_status status = lorac_tensor_to_int64(tensor, integers, row->count, &error);
    CHECKF(status == (whole ? LORAC_OK : LORAC_ERROR_FORMAT), "%s %s: %d", name, form, status);
    for (size_t i = 0; whole && i < row->count; i++)
        CHECKF(integers[i] == (int64_t)row->numbers[i], "%s %s %zu: integer %lld", name, form, i,
               (long long)integers[i]);
    CHECK(lorac_tensor_to_float(tensor, floats, row->count + 1, &error) == LORAC_ERROR_ARGUMENT);
}

static void check_canonical(const Onnx__TensorProto *tensor, const uint8_t *raw, size_t raw_count, const char *form)
{
    struct lorac_error error = {0};
    uint8_t *bytes = NULL;
    size_t byte_count = 999;
    if (!CHECK_OK(lorac_tensor_canonical_bytes(tensor, &bytes, &byte_count, &error), error))
        return;
    CHECKF(byte_count == raw_count && memcmp(bytes, raw, raw_count) == 0, "%s %s: %zu bytes, wanted %zu or other ones",
           lorac_tensor_type_name(tensor->data_type), form, byte_count, raw_count);
    free(bytes);
}

static void test_forms(void)
{
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct row row = ROWS[i];
        Onnx__TensorProto tensor;
        int64_t dims[1];
        uint8_t raw[64];
        size_t raw_count = from_hex(row.raw, raw);
        size_t raw_bytes = 999;
        CHECK(lorac_tensor_raw_bytes(row.type, row.count, &raw_bytes) && raw_bytes == raw_count);
        typed_tensor(&tensor, &row, dims);
        check_reads(&tensor, &row, "typed");
        check_canonical(&tensor, raw, raw_count, "typed");
        init_tensor(&tensor, row.type, dims, 1);
        tensor.has_raw_data = 1;
        tensor.raw_data.data = raw_count ? raw : NULL;
        tensor.raw_data.len = raw_count;
        check_reads(&tensor, &row, "raw");
        check_canonical(&tensor, raw, raw_count, "raw");
    }
}

static void test_single_rounding(void)
{
    // Just above the middle of two floats. Through double the 1 would be lost, and the tie would go to 0x1p60.
    const int64_t value = (1ll << 60) + (1ll << 36) + 1;
    int64_t dims[1] = {1}, stored = value, back;
    Onnx__TensorProto tensor;
    float got;
    struct lorac_error error = {0};
    init_tensor(&tensor, TYPE(INT64), dims, 1);
    tensor.int64_data = &stored;
    tensor.n_int64_data = 1;
    CHECK_OK(lorac_tensor_to_float(&tensor, &got, 1, &error), error);
    CHECKF(got == 0x1.000002p60f, "%a", (double)got);
    CHECK_OK(lorac_tensor_to_int64(&tensor, &back, 1, &error), error);
    CHECK(back == value);
    uint64_t large = UINT64_MAX;
    init_tensor(&tensor, TYPE(UINT64), dims, 1);
    tensor.uint64_data = &large;
    tensor.n_uint64_data = 1;
    CHECK(lorac_tensor_to_int64(&tensor, &back, 1, &error) == LORAC_ERROR_FORMAT);
    CHECK_OK(lorac_tensor_to_float(&tensor, &got, 1, &error), error);
    CHECK(got == 0x1p64f);
}

// ---- what is refused

static void test_refusals(void)
{
    static int64_t two[] = {2}, four[] = {4}, negative[] = {2, -3}, huge[] = {INT64_MAX, INT64_MAX};
    static float floats[4];
    static int32_t int32s[] = {1, 300};
    static uint64_t uint64s[] = {1, 1ull << 32};
    static uint8_t bytes[8];
    static Onnx__TensorProto__Segment segment;
    static const struct {
        int32_t type;
        int64_t *dims;
        size_t dim_count, n_float, n_int32, n_uint64, n_raw; // n_raw: 99 for no raw_data
        int other;                                           // 1: external location, 2: segment
        enum lorac_status status;
        const char *words;
    } rows[] = {
        {TYPE(FLOAT), two, 1, 2, 0, 0, 99, 0, LORAC_OK, ""},
        {TYPE(FLOAT), two, 1, 3, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "3 elements in float_data, not 2"},
        {TYPE(FLOAT), two, 1, 0, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "0 elements in float_data, not 2"},
        {TYPE(FLOAT), two, 1, 0, 0, 0, 7, 0, LORAC_ERROR_FORMAT, "7 bytes in raw_data, not 8"},
        {TYPE(FLOAT), two, 1, 2, 0, 0, 8, 0, LORAC_ERROR_FORMAT, "data in float_data"},
        {TYPE(FLOAT), two, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "data in int32_data"},
        {TYPE(FLOAT), negative, 2, 2, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "dims [2, -3]"},
        {TYPE(FLOAT), huge, 2, 2, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "impossible dims"},
        {TYPE(DOUBLE), huge, 1, 0, 0, 0, 8, 0, LORAC_ERROR_FORMAT, "8 bytes in raw_data"},
        {TYPE(STRING), two, 1, 0, 0, 0, 8, 0, LORAC_ERROR_FORMAT, "raw_data: not allowed"},
        {TYPE(INT8), two, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "element 1"},
        {TYPE(UINT8), two, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "(0 .. 255)"},
        {TYPE(BOOL), two, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "(0 .. 1)"},
        {TYPE(INT16), two, 1, 0, 2, 0, 99, 0, LORAC_OK, ""},
        {TYPE(UINT32), two, 1, 0, 0, 2, 99, 0, LORAC_ERROR_FORMAT, "(0 .. 4294967295)"},
        {TYPE(UINT64), two, 1, 0, 0, 2, 99, 0, LORAC_OK, ""},
        {TYPE(COMPLEX64), two, 1, 4, 0, 0, 99, 0, LORAC_OK, ""},
        {TYPE(COMPLEX64), two, 1, 2, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "not 4"},
        {0, two, 1, 2, 0, 0, 99, 0, LORAC_ERROR_FORMAT, "no data type"},
        {99, two, 1, 0, 0, 0, 1, 0, LORAC_OK, ""}, // newer than the schema
        {LORAC_TYPE_INT4, two, 1, 0, 0, 0, 2, 0, LORAC_ERROR_FORMAT, "2 bytes in raw_data, not 1"},
        {LORAC_TYPE_INT4, two, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "2 items in int32_data, not 1"},
        {LORAC_TYPE_UINT4, four, 1, 0, 2, 0, 99, 0, LORAC_ERROR_FORMAT, "element 1"},
        {LORAC_TYPE_UINT4, huge, 1, 0, 0, 0, 8, 0, LORAC_ERROR_FORMAT, "8 bytes in raw_data"},
        {17, two, 1, 0, 0, 0, 1, 0, LORAC_ERROR_FORMAT, "FLOAT8E4M3FN and dims [2] has 1 bytes"},
        {TYPE(FLOAT), two, 1, 0, 0, 0, 99, 1, LORAC_ERROR_UNSUPPORTED, "in another file, which was not read"},
        {TYPE(FLOAT), two, 1, 2, 0, 0, 99, 2, LORAC_ERROR_UNSUPPORTED, "segments"},
    };
    onnx__tensor_proto__segment__init(&segment);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lorac_error error = {0};
        Onnx__TensorProto tensor;
        init_tensor(&tensor, rows[i].type, rows[i].dims, rows[i].dim_count);
        tensor.float_data = floats;
        tensor.n_float_data = rows[i].n_float;
        tensor.int32_data = int32s;
        tensor.n_int32_data = rows[i].n_int32;
        tensor.uint64_data = uint64s;
        tensor.n_uint64_data = rows[i].n_uint64;
        tensor.has_raw_data = rows[i].n_raw != 99;
        tensor.raw_data.data = bytes;
        tensor.raw_data.len = tensor.has_raw_data ? rows[i].n_raw : 0;
        if (rows[i].other == 1) {
            tensor.has_data_location = 1;
            tensor.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        }
        tensor.segment = rows[i].other == 2 ? &segment : NULL;
        enum lorac_status status = lorac_tensor_check(&tensor, &error);
        CHECKF(status == rows[i].status, "row %zu: status %d (%s)", i, status, error.message);
        CHECKF(strstr(error.message, rows[i].words) != NULL, "row %zu: message %s", i, error.message);
        CHECKF(status == LORAC_OK || strstr(error.message, "'t'"), "row %zu does not name the tensor: %s", i,
               error.message);
    }
}

static void test_unreadable(void)
{
    struct lorac_error error = {0};
    int64_t dims[] = {1};
    double out[2];
    uint8_t *bytes, word[] = {'w'};
    size_t count;
    ProtobufCBinaryData string = {1, word};
    Onnx__TensorProto tensor;
    init_tensor(&tensor, TYPE(STRING), dims, 1);
    tensor.string_data = &string;
    tensor.n_string_data = 1;
    CHECK_OK(lorac_tensor_check(&tensor, &error), error);
    CHECK(lorac_tensor_to_double(&tensor, out, 1, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECK(lorac_tensor_canonical_bytes(&tensor, &bytes, &count, &error) == LORAC_ERROR_UNSUPPORTED);
    init_tensor(&tensor, 99, dims, 1);
    CHECK(lorac_tensor_to_double(&tensor, out, 1, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECK_STRING(lorac_tensor_type_name(99), "unknown");
    CHECK(!lorac_tensor_raw_bytes(99, 1, &count) && !lorac_tensor_raw_bytes(TYPE(STRING), 1, &count));
    CHECK(!lorac_tensor_raw_bytes(TYPE(DOUBLE), SIZE_MAX / 4, &count));
    for (int32_t type = 17; type <= 20; type++) { // the four FLOAT8
        int32_t stored = 0x38;
        init_tensor(&tensor, type, dims, 1);
        tensor.int32_data = &stored;
        tensor.n_int32_data = 1;
        CHECK_OK(lorac_tensor_check(&tensor, &error), error);
        CHECK(lorac_tensor_to_double(&tensor, out, 1, &error) == LORAC_ERROR_UNSUPPORTED);
        CHECKF(strstr(error.message, "FLOAT8E") != NULL, "%s", error.message);
        REQUIRE(CHECK_OK(lorac_tensor_canonical_bytes(&tensor, &bytes, &count, &error), error));
        CHECK(count == 1 && bytes[0] == 0x38);
        free(bytes);
    }
}

// ---- 16-bit floats: reading against a table, writing against a search through all values

static double read_16(int32_t type, uint16_t bits)
{
    struct lorac_error error = {0};
    int64_t dims[] = {1};
    uint8_t raw[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};
    double value = 0;
    Onnx__TensorProto tensor;
    init_tensor(&tensor, type, dims, 1);
    tensor.has_raw_data = 1;
    tensor.raw_data.data = raw;
    tensor.raw_data.len = 2;
    CHECK_OK(lorac_tensor_to_double(&tensor, &value, 1, &error), error);
    return value;
}

static uint16_t write_16(int32_t type, double value, bool typed)
{
    struct lorac_error error = {0};
    int64_t dims[] = {1};
    // A number that none of the cases equals, so that the bits are really written.
    uint8_t raw[2] = {0x55, 0x35};
    int32_t wide = 0x3555;
    Onnx__TensorProto tensor;
    init_tensor(&tensor, type, dims, 1);
    tensor.has_raw_data = !typed;
    tensor.raw_data.data = raw;
    tensor.raw_data.len = typed ? 0 : 2;
    tensor.int32_data = &wide;
    tensor.n_int32_data = typed;
    CHECK_OK(lorac_tensor_set_double(NULL, &tensor, &value, 1, &error), error);
    CHECK(!typed || (wide >= 0 && wide <= 65535));
    return typed ? (uint16_t)wide : (uint16_t)(raw[0] | raw[1] << 8);
}

static void test_16_bit_table(void)
{
    static const struct {
        int32_t type;
        uint16_t bits;
        double value;
    } rows[] = {
        {TYPE(FLOAT16), 0x0000, 0},           {TYPE(FLOAT16), 0x8000, -0.0},        {TYPE(FLOAT16), 0x0001, 0x1p-24},
        {TYPE(FLOAT16), 0x03ff, 0x1.ff8p-15}, {TYPE(FLOAT16), 0x0400, 0x1p-14},     {TYPE(FLOAT16), 0x3555, 0x1.554p-2},
        {TYPE(FLOAT16), 0x7bff, 65504},       {TYPE(FLOAT16), 0x7c00, INFINITY},    {TYPE(FLOAT16), 0xfc00, -INFINITY},
        {TYPE(FLOAT16), 0xc500, -5},          {TYPE(BFLOAT16), 0x0001, 0x1p-133},   {TYPE(BFLOAT16), 0x0080, 0x1p-126},
        {TYPE(BFLOAT16), 0x3fc0, 1.5},        {TYPE(BFLOAT16), 0x7f7f, 0x1.fep127}, {TYPE(BFLOAT16), 0x7f80, INFINITY},
        {TYPE(BFLOAT16), 0xbf80, -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double got = read_16(rows[i].type, rows[i].bits);
        CHECKF(got == rows[i].value && !signbit(got) == !signbit(rows[i].value), "row %zu: read %a", i, got);
        uint16_t bits = write_16(rows[i].type, rows[i].value, i % 2);
        CHECKF(bits == rows[i].bits || rows[i].bits == 0x3555, "row %zu: wrote 0x%04x", i, bits);
    }
    CHECK(isnan(read_16(TYPE(FLOAT16), 0x7c01)) && isnan(read_16(TYPE(BFLOAT16), 0xff81)));
    CHECK(write_16(TYPE(FLOAT16), NAN, false) == 0x7e00 && write_16(TYPE(BFLOAT16), NAN, true) == 0x7fc0);
}

// The bits of the value nearest to [value] among [count] ascending ones that start at bits 0; in the middle the even
// one. The step after the largest finite value counts as infinity.
static uint16_t search_nearest(const double *table, size_t count, double value)
{
    size_t low = 0, high = count - 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (table[middle] <= value)
            low = middle;
        else
            high = middle;
    }
    double below = value - table[low], above = table[high] - value;
    if (below == above)
        return (uint16_t)(low % 2 == 0 ? low : high);
    return (uint16_t)(below < above ? low : high);
}

static void test_16_bit_rounding(int32_t type, uint16_t infinity)
{
    static double table[0x8000];
    size_t count = (size_t)infinity + 1;
    for (size_t i = 0; i < infinity; i++)
        table[i] = read_16(type, (uint16_t)i);
    table[infinity] = 2 * table[infinity - 1] - table[infinity - 2];
    size_t wrong = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        const double middle = table[i] + (table[i + 1] - table[i]) / 2;
        const double cases[] = {table[i], nextafter(table[i], INFINITY), nextafter(middle, 0),
                                middle,   nextafter(middle, INFINITY),   nextafter(table[i + 1], 0)};
        CHECKF(table[i] < table[i + 1], "0x%04zx is not below the next", i);
        for (size_t j = 0; j < COUNT_OF(cases); j++) {
            uint16_t expected = search_nearest(table, count, cases[j]);
            if (expected == 0x3555) // what write_16 starts from
                continue;
            wrong += write_16(type, cases[j], j % 2) != expected;
            wrong += write_16(type, -cases[j], !(j % 2)) != (expected | 0x8000);
        }
    }
    CHECKF(wrong == 0, "%zu wrong roundings to %s", wrong, lorac_tensor_type_name(type));
    CHECK(write_16(type, 1e300, false) == infinity && write_16(type, -1e300, true) == (infinity | 0x8000));
    CHECK(write_16(type, 0x1p-1074, false) == 0 && write_16(type, -0x1p-1074, false) == 0x8000);
}

// ---- writing keeps field, type and equal bits

static void test_set_forms(void)
{
    static const int32_t types[] = {TYPE(FLOAT), TYPE(DOUBLE), TYPE(FLOAT16), TYPE(BFLOAT16)};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        for (int raw = 0; raw < 2; raw++) {
            struct lorac_error error = {0};
            struct row row = {.type = types[i], .count = 3};
            uint8_t bytes[24] = {0};
            int64_t dims[1];
            Onnx__TensorProto tensor;
            typed_tensor(&tensor, &row, dims);
            if (raw) {
                init_tensor(&tensor, types[i], dims, 1);
                tensor.has_raw_data = 1;
                tensor.raw_data.data = bytes;
                CHECK(lorac_tensor_raw_bytes(types[i], 3, &tensor.raw_data.len));
            }
            const float values[] = {-1.5f, 0.25f, 640};
            double back[3];
            CHECK_OK(lorac_tensor_set_float(NULL, &tensor, values, 3, &error), error);
            CHECK_OK(lorac_tensor_check(&tensor, &error), error);
            CHECK_OK(lorac_tensor_to_double(&tensor, back, 3, &error), error);
            for (int j = 0; j < 3; j++)
                CHECKF(back[j] == (double)values[j], "%s raw %d: %g", lorac_tensor_type_name(types[i]), raw, back[j]);
            CHECK(lorac_tensor_set_float(NULL, &tensor, values, 2, &error) == LORAC_ERROR_ARGUMENT);
        }
    }
    struct lorac_error error = {0};
    struct row row = {.type = TYPE(INT32), .count = 1};
    int64_t dims[1];
    float value = 1;
    Onnx__TensorProto tensor;
    typed_tensor(&tensor, &row, dims);
    CHECK(lorac_tensor_set_float(NULL, &tensor, &value, 1, &error) == LORAC_ERROR_UNSUPPORTED);
    CHECK(row.int32s[0] == 0);
}

static void test_set_keeps_bits(void)
{
    // -0, a signalling NaN with a payload, 1, 2
    static const uint8_t before[] = {0, 0, 0, 0x80, 1, 2, 0xa0, 0x7f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40};
    const double values[] = {0, NAN, 1, 0.1};
    uint8_t bytes[sizeof before];
    int64_t dims[] = {4};
    struct lorac_error error = {0};
    Onnx__TensorProto tensor;
    memcpy(bytes, before, sizeof before);
    init_tensor(&tensor, TYPE(FLOAT), dims, 1);
    tensor.has_raw_data = 1;
    tensor.raw_data.data = bytes;
    tensor.raw_data.len = sizeof bytes;
    CHECK_OK(lorac_tensor_set_double(NULL, &tensor, values, 4, &error), error);
    CHECK(memcmp(bytes, before, 12) == 0);
    float last;
    memcpy(&last, bytes + 12, 4);
    CHECK(last == 0.1f);
}

// ---- copies

static void test_copy(void)
{
    struct lorac_error error = {0};
    struct build build;
    build_init(&build);
    build_tensor(&build, (char *)"w", 3)->doc_string = (char *)"from the vendor";
    struct lorac_model *model = build_parse(&build, &error);
    REQUIRE(model);
    const Onnx__TensorProto *original = lorac_model_initializer(model, "w");
    Onnx__TensorProto *copy = NULL;
    REQUIRE(original);
    REQUIRE(lorac_tensor_copy(model, original, "other", &copy, &error) == LORAC_OK);
    CHECK_STRING(copy->name, "other");
    CHECK_STRING(copy->doc_string, "from the vendor");
    CHECK_STRING(original->name, "w");
    const float values[] = {7, 8, 9};
    float back[3];
    CHECK_OK(lorac_tensor_set_float(model, copy, values, 3, &error), error);
    CHECK_OK(lorac_tensor_to_float(original, back, 3, &error), error);
    CHECK(back[0] == 0.5f && back[2] == 2.5f);
    CHECK(model->proto->graph->n_initializer == 1);
    lorac_model_free(model);
}

int main(void)
{
    test_forms();
    test_single_rounding();
    test_refusals();
    test_unreadable();
    test_16_bit_table();
    test_16_bit_rounding(TYPE(FLOAT16), 0x7c00);
    test_16_bit_rounding(TYPE(BFLOAT16), 0x7f80);
    test_set_forms();
    test_set_keeps_bits();
    test_copy();
    return check_report();
}
