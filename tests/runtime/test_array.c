// Files of every version, order and type are read to the same numbers; malformed ones are refused by name.
#include "data_files.h"

#include "runtime/data/dataset.h"

#include <sys/stat.h>

static const char path[] = "test_array.bin"; // ctest gives each folder's tests one working directory
static struct bytes bytes;

static double element(const struct lorac_array *array, size_t i)
{
    const char *at = (const char *)array->data + i * array->item_bytes;
#define AS(letter, type)                                                                                               \
    if (array->dtype == (letter) && array->item_bytes == sizeof(type)) {                                               \
        type value;                                                                                                    \
        memcpy(&value, at, sizeof value);                                                                              \
        return (double)value;                                                                                          \
    }
    AS('u', uint8_t)
    AS('u', uint16_t) AS('u', uint32_t) AS('u', uint64_t) AS('i', int8_t) AS('i', int16_t) AS('i', int32_t)
        AS('i', int64_t) AS('f', float) AS('f', double) AS('b', uint8_t)
#undef AS
            return NAN;
}

// The bits of [value] in a type.
static uint64_t bits_of(char dtype, size_t item_bytes, double value)
{
    uint64_t bits = 0;
    if (dtype == 'f' && item_bytes == 4) {
        float narrow = (float)value;
        uint32_t bits32;
        memcpy(&bits32, &narrow, 4);
        bits = bits32;
    } else if (dtype == 'f') {
        memcpy(&bits, &value, 8);
    } else {
        bits = (uint64_t)(int64_t)value;
    }
    return bits;
}

static const struct {
    const char *descr;
    char dtype;
    size_t item_bytes;
    bool big_endian;
    double low, high; // exact in the type
} types[] = {
    {"|u1", 'u', 1, false, 0, 255},
    {"|i1", 'i', 1, false, -128, 127},
    {"<u2", 'u', 2, false, 1, 65535},
    {">u2", 'u', 2, true, 1, 65535},
    {"<i2", 'i', 2, false, -32768, 258},
    {">i2", 'i', 2, true, -32768, 258},
    {"<u4", 'u', 4, false, 3, 4294967295.0},
    {">u4", 'u', 4, true, 3, 4294967295.0},
    {"<i4", 'i', 4, false, -2147483648.0, 77},
    {">i4", 'i', 4, true, -2147483648.0, 77},
    {"<u8", 'u', 8, false, 5, 0x1p63},
    {">u8", 'u', 8, true, 5, 0x1p63},
    {"<i8", 'i', 8, false, -0x1p63, 0x1p40},
    {">i8", 'i', 8, true, -0x1p63, 0x1p40},
    {"<f4", 'f', 4, false, -1.5, 0x1.8p100},
    {">f4", 'f', 4, true, -1.5, 0x1.8p100},
    {"<f8", 'f', 8, false, -0.1, 1e300},
    {">f8", 'f', 8, true, -0.1, 1e300},
    {"|b1", 'b', 1, false, 0, 1},
    {"?", 'b', 1, false, 0, 1},
    {"<u1", 'u', 1, false, 0, 200},
    {">i1", 'i', 1, true, -3, 3},
};

// [2, 3] with low in the corner [0, 0], high in [1, 0] and small distinct numbers elsewhere.
static void check_type(size_t t, int version, bool fortran, bool gzipped)
{
    const double values[2][3] = {{types[t].low, 1, 0}, {types[t].high, 0, 1}};
    char text[160];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': (2, 3), }\n", types[t].descr,
             fortran ? "True" : "False");
    bytes.count = 0;
    put_npy_header(&bytes, version, text);
    for (int i = 0; i < 6; i++) {
        double value = fortran ? values[i % 2][i / 2] : values[i / 3][i % 3];
        // 0x1p63 does not fit in the int64 that bits_of goes through
        uint64_t bits = value >= 0x1p63 && types[t].dtype == 'u' ? (uint64_t)1 << 63
                                                                 : bits_of(types[t].dtype, types[t].item_bytes, value);
        put_number(&bytes, bits, types[t].item_bytes, types[t].big_endian);
    }
    (gzipped ? write_gzip : write_plain)(path, &bytes);
    struct lorac_array array;
    struct lorac_error error = {0};
    if (!CHECK_OK(lorac_array_read(path, &array, &error), error))
        return;
    CHECKF(array.dtype == types[t].dtype && array.item_bytes == types[t].item_bytes, "%s: read as %c%zu",
           types[t].descr, array.dtype, array.item_bytes);
    CHECK(array.rank == 2 && array.dims[0] == 2 && array.dims[1] == 3);
    CHECK(array.byte_count == 6 * types[t].item_bytes);
    for (size_t i = 0; i < 6; i++)
        CHECKF(element(&array, i) == values[i / 3][i % 3], "%s version %d fortran %d: [%zu] is %g, expected %g",
               types[t].descr, version, fortran, i, element(&array, i), values[i / 3][i % 3]);
    lorac_array_clear(&array);
    CHECK(array.data == NULL);
}

static void test_types(void)
{
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (int version = 1; version <= 3; version++)
            for (int how = 0; how < 4; how++)
                check_type(t, version, how & 1, how & 2);
}

// Fortran order of rank 4 with all dimensions different: [i, j, k, l] holds ijkl in base 7.
static void test_fortran_rank_4(void)
{
    enum { A = 3, B = 5, C = 2, D = 4 };
    bytes.count = 0;
    put_npy_header(&bytes, 1, "{'descr': '<i2', 'fortran_order': True, 'shape': (3, 5, 2, 4), }\n");
    for (uint64_t l = 0; l < D; l++)
        for (uint64_t k = 0; k < C; k++)
            for (uint64_t j = 0; j < B; j++)
                for (uint64_t i = 0; i < A; i++)
                    put_number(&bytes, ((i * 7 + j) * 7 + k) * 7 + l, 2, false);
    write_plain(path, &bytes);
    struct lorac_array array;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_array_read(path, &array, &error), error));
    size_t at = 0;
    for (size_t i = 0; i < A; i++)
        for (size_t j = 0; j < B; j++)
            for (size_t k = 0; k < C; k++)
                for (size_t l = 0; l < D; l++, at++)
                    CHECK(element(&array, at) == (double)(((i * 7 + j) * 7 + k) * 7 + l));
    lorac_array_clear(&array);
}

// Headers that are fine though not as NumPy writes them: what shape they give.
static void test_tolerated_headers(void)
{
    static const struct {
        const char *text;
        size_t rank;
        int64_t dims[3];
        size_t data_bytes;
    } rows[] = {
        {"{'shape': (2, 2), 'fortran_order': False, 'descr': '|u1'}", 2, {2, 2}, 4},
        {"{ \"descr\" : \"|u1\" ,\n\t'fortran_order':False,'shape':( 3 , ) }   \n", 1, {3}, 3},
        {"  {'descr':'|u1','fortran_order':True,'shape':(1,2,3)}", 3, {1, 2, 3}, 6},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (), }", 0, {0}, 1},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (0, 5), }", 2, {0, 5}, 0},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2,1,), }", 2, {2, 1}, 2},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put_npy_header(&bytes, 1, rows[r].text);
        put(&bytes, "abcdef", rows[r].data_bytes);
        write_plain(path, &bytes);
        struct lorac_array array;
        struct lorac_error error = {0};
        if (!CHECKF(lorac_array_read(path, &array, &error) == LORAC_OK, "row %zu: %s", r, error.message))
            continue;
        CHECKF(array.rank == rows[r].rank && array.byte_count == rows[r].data_bytes && array.data != NULL,
               "row %zu: rank %zu, %zu bytes", r, array.rank, array.byte_count);
        for (size_t d = 0; d < array.rank; d++)
            CHECKF(array.dims[d] == rows[r].dims[d], "row %zu dim %zu", r, d);
        lorac_array_clear(&array);
    }
}

static void check_refused(const char *what, enum lorac_status status, const char *fragment)
{
    struct lorac_array array;
    struct lorac_error error = {0};
    enum lorac_status got = lorac_array_read(path, &array, &error);
    if (!CHECKF(got == status, "%s: got status %d (%s), expected %d", what, got, error.message, status)) {
        if (got == LORAC_OK)
            lorac_array_clear(&array);
        return;
    }
    CHECKF(strncmp(error.message, "'test_array.bin': ", 18) == 0, "%s: no path in: %s", what, error.message);
    CHECKF(strstr(error.message, fragment) != NULL, "%s: '%s' is not in: %s", what, fragment, error.message);
    CHECKF(lorac_array_read(path, &array, NULL) == status, "%s: without an error record", what);
}

#define HEAD(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static void test_malformed_headers(void)
{
    static const struct {
        const char *text, *fragment;
        enum lorac_status status;
    } rows[] = {
        // lies about the data: four bytes follow every header of this table
        {HEAD("'|u1'", "False", "(5,)"),
         "holds 4 bytes of data after its header, which declares 5: the file is truncated", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(3,)"), "which declares 3: there are trailing bytes", LORAC_ERROR_FORMAT},
        {HEAD("'<f8'", "False", "(1000000, 1000, 1000, 100)"), "declares 800000000000000", LORAC_ERROR_FORMAT},
        {HEAD("'<f8'", "False", "(4294967296, 4294967296)"), "[4294967296, 4294967296] of 8-byte items",
         LORAC_ERROR_FORMAT},
        {HEAD("'<f8'", "True", "(2305843009213693952,)"), "more than memory", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(9223372036854775808,)"), "a dimension is larger than", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(99999999999999999999999,)"), "a dimension is larger than", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(-4,)"), "not negative", LORAC_ERROR_FORMAT},
        // types
        {HEAD("'<f2'", "False", "(2,)"), "dtype '<f2' (float16)", LORAC_ERROR_UNSUPPORTED},
        {HEAD("'|O'", "False", "(2,)"), "(Python objects)", LORAC_ERROR_UNSUPPORTED},
        {HEAD("'<c8'", "False", "(2,)"), "dtype '<c8'", LORAC_ERROR_UNSUPPORTED},
        {HEAD("'<U1'", "False", "(1,)"), "dtype '<U1'", LORAC_ERROR_UNSUPPORTED},
        {HEAD("'<i3'", "False", "(1,)"), "dtype '<i3'", LORAC_ERROR_UNSUPPORTED},
        {HEAD("''", "False", "(1,)"), "dtype ''", LORAC_ERROR_UNSUPPORTED},
        {HEAD("'|i4'", "False", "(1,)"), "'|i4' has no byte order", LORAC_ERROR_FORMAT},
        {HEAD("[('x', '<i4')]", "False", "(1,)"), "structured dtype", LORAC_ERROR_UNSUPPORTED},
        {HEAD("4", "False", "(4,)"), "a quoted string is expected", LORAC_ERROR_FORMAT},
        {HEAD("'<\\u0066'", "False", "(4,)"), "backslash", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(1,1,1,1,1,1,1,2,2)"), "more than 8 dimensions", LORAC_ERROR_UNSUPPORTED},
        // grammar
        {"", "a '{' is expected", LORAC_ERROR_FORMAT},
        {"[1]", "a '{' is expected", LORAC_ERROR_FORMAT},
        {"{", "a quoted string is expected", LORAC_ERROR_FORMAT},
        {"{}", "the key 'descr' is missing", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1', 'shape': (4,)}", "the key 'fortran_order' is missing", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1', 'fortran_order': False}", "the key 'shape' is missing", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4,)}", "'descr' is there twice",
         LORAC_ERROR_FORMAT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4,), 'x': 1}", "unknown key 'x'", LORAC_ERROR_FORMAT},
        {"{'descr' '|u1'}", "a ':' is expected", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1' 'shape': (4,)}", "a ',' or '}' is expected", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1", "is not closed", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(4,)") "x", "something after the closing '}'", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "0", "(4,)"), "fortran_order must be True or False", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "Fals", "(4,)"), "fortran_order must be", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "4"), "shape must be a tuple", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(4)"), "a comma is missing", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(2 2)"), "a comma is missing", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(2,,2)"), "a dimension must be a whole number", LORAC_ERROR_FORMAT},
        {HEAD("'|u1'", "False", "(2.0, 2)"), "a comma is missing", LORAC_ERROR_FORMAT},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4", "a comma is missing", LORAC_ERROR_FORMAT},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put_npy_header(&bytes, 1 + (int)(r % 3), rows[r].text);
        put(&bytes, "abcd", 4);
        write_plain(path, &bytes);
        check_refused(rows[r].text, rows[r].status, rows[r].fragment);
    }
}

static void test_malformed_files(void)
{
    static const struct {
        const char *what, *content;
        size_t count;
        const char *fragment;
        enum lorac_status status;
    } rows[] = {
        {"empty", "", 0, "is empty", LORAC_ERROR_FORMAT},
        {"three bytes", "\x93NU", 3, "3 bytes are too few", LORAC_ERROR_FORMAT},
        {"text", "hello, world", 12, "starts with the bytes 68 65 6c 6c", LORAC_ERROR_FORMAT},
        {"zip", "PK\3\4....", 8, "numpy.save", LORAC_ERROR_FORMAT},
        {"png", "\x89PNG\r\n\x1a\n", 8, "a PNG picture", LORAC_ERROR_FORMAT},
        {"npy magic cut", "\x93NUMP", 5, "ends after 1 of the 4 bytes of the .npy magic", LORAC_ERROR_FORMAT},
        {"npy magic wrong", "\x93NUMBERS", 8, "instead of NUMPY", LORAC_ERROR_FORMAT},
        {"npy version 4", "\x93NUMPY\4\0\0\0\0\0", 12, "version 4.0", LORAC_ERROR_UNSUPPORTED},
        {"npy version 1.1", "\x93NUMPY\1\1\0\0\0\0", 12, "version 1.1", LORAC_ERROR_UNSUPPORTED},
        {"npy version 0", "\x93NUMPY\0\0\0\0\0\0", 12, "version 0.0", LORAC_ERROR_UNSUPPORTED},
        {"npy length cut", "\x93NUMPY\1\0\5", 9, "of the .npy header length", LORAC_ERROR_FORMAT},
        {"npy header cut", "\x93NUMPY\1\0\40\0{'de", 14, "ends after 4 of the 32 bytes of the .npy header",
         LORAC_ERROR_FORMAT},
        {"npy header huge", "\x93NUMPY\2\0\377\377\377\377", 12, "a .npy header of 4294967295 bytes",
         LORAC_ERROR_FORMAT},
        {"idx type", "\0\0\12\1\0\0\0\1x", 9, "type byte is 0x0a", LORAC_ERROR_FORMAT},
        {"zeros", "\0\0\0\0\0\0\0\0", 8, "type byte is 0x00", LORAC_ERROR_FORMAT},
        {"idx rank 0", "\0\0\10\0x", 5, "rank 0", LORAC_ERROR_FORMAT},
        {"idx rank 9", "\0\0\10\11x", 5, "rank 9; at most 8", LORAC_ERROR_UNSUPPORTED},
        {"idx sizes cut", "\0\0\10\2\0\0\0\1\0", 9, "ends after 5 of the 8 bytes of the IDX sizes", LORAC_ERROR_FORMAT},
        {"idx short", "\0\0\10\1\0\0\0\5abcd", 12, "holds 4 bytes of data after its header, which declares 5",
         LORAC_ERROR_FORMAT},
        {"idx long", "\0\0\10\1\0\0\0\3abcd", 12, "trailing bytes", LORAC_ERROR_FORMAT},
        {"idx huge", "\0\0\16\4\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377", 20,
         "more than memory", LORAC_ERROR_FORMAT},
        {"gzip of nothing", "\37\213", 2, "", LORAC_ERROR_FORMAT},
        {"gzip of noise", "\37\213\10\0\0\0\0\0\0\3noise noise", 21, "gzip data is damaged", LORAC_ERROR_FORMAT},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put(&bytes, rows[r].content, rows[r].count);
        write_plain(path, &bytes);
        check_refused(rows[r].what, rows[r].status, rows[r].fragment);
    }
    unlink(path);
    check_refused("missing", LORAC_ERROR_IO, "cannot open: No such file");
    REQUIRE(mkdir(path, 0700) == 0);
    check_refused("folder", LORAC_ERROR_IO, "is a folder");
    REQUIRE(rmdir(path) == 0);
}

// A gzipped file has no length to compare with before unpacking.
static void test_gzip_lies(void)
{
    static const struct {
        const char *shape, *fragment;
    } rows[] = {
        {"(5,)", "holds 4 bytes of data after its header, which declares 5: the file is truncated"},
        {"(3,)", "holds more than the 3 bytes"},
        // as much as can be asked for: nothing like it may be allocated
        {"(9000000000000000000,)", "holds 4 bytes of data after its header, which declares 9000000000000000000"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        bytes.count = 0;
        put_npy(&bytes, "|u1", rows[r].shape, "abcd", 4);
        write_gzip(path, &bytes);
        check_refused(rows[r].shape, LORAC_ERROR_FORMAT, rows[r].fragment);
    }
}

static void put_idx_header(struct bytes *to, uint64_t type, uint64_t a, uint64_t b)
{
    put_number(to, type << 8 | 2, 4, true);
    put_number(to, a, 4, true);
    put_number(to, b, 4, true);
}

static void test_idx_types(void)
{
    static const struct {
        uint64_t code;
        char dtype;
        size_t item_bytes;
        double low, high;
    } rows[] = {
        {0x08, 'u', 1, 0, 255},    {0x09, 'i', 1, -128, 127},       {0x0B, 'i', 2, -300, 300},
        {0x0C, 'i', 4, -7e4, 7e4}, {0x0D, 'f', 4, -0.25, 0x1.8p90}, {0x0E, 'f', 8, -0.1, 1e200},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (int gzipped = 0; gzipped < 2; gzipped++) {
            bytes.count = 0;
            put_idx_header(&bytes, rows[r].code, 2, 1);
            put_number(&bytes, bits_of(rows[r].dtype, rows[r].item_bytes, rows[r].low), rows[r].item_bytes, true);
            put_number(&bytes, bits_of(rows[r].dtype, rows[r].item_bytes, rows[r].high), rows[r].item_bytes, true);
            (gzipped ? write_gzip : write_plain)(path, &bytes);
            struct lorac_array array;
            struct lorac_error error = {0};
            if (!CHECK_OK(lorac_array_read(path, &array, &error), error))
                continue;
            CHECK(array.dtype == rows[r].dtype && array.item_bytes == rows[r].item_bytes);
            CHECK(array.rank == 2 && array.dims[0] == 2 && array.dims[1] == 1);
            CHECKF(element(&array, 0) == rows[r].low && element(&array, 1) == rows[r].high, "type %d: %g %g",
                   (int)rows[r].code, element(&array, 0), element(&array, 1));
            lorac_array_clear(&array);
        }
}

// Cut anywhere, or with any byte of the data or checksum changed, a gzipped file is refused.
static void test_gzip_damage(void)
{
    static struct bytes whole;
    uint8_t noise[3000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((i * i * 2654435761u) >> 13);
    bytes.count = 0;
    put_idx_header(&bytes, 0x08, 30, 100);
    put(&bytes, noise, sizeof noise);
    write_gzip(path, &bytes);
    read_plain(path, &whole);
    REQUIRE(whole.count > 100);
    for (size_t count = 0; count < whole.count;
         count = count < 40 || count + 12 > whole.count ? count + 1 : count + 37) {
        bytes.count = 0;
        put(&bytes, whole.at, count);
        write_plain(path, &bytes);
        check_refused("cut gzip", LORAC_ERROR_FORMAT, count < 2 ? "" : count > 200 ? "gzip data is truncated" : "");
    }
    for (size_t at = whole.count - 8; at < whole.count; at++) { // the checksum and the length
        bytes.count = 0;
        put(&bytes, whole.at, whole.count);
        bytes.at[at] ^= 0x10;
        write_plain(path, &bytes);
        check_refused("changed gzip", LORAC_ERROR_FORMAT, "gzip data is damaged");
    }
}

// More than the first block of a growing read, through several doublings.
static void test_large_gzip(void)
{
    enum { COUNT = 5 * 1000 * 1000 + 7 };
    bytes.count = 0;
    put_number(&bytes, 0x0801, 4, true);
    put_number(&bytes, COUNT, 4, true);
    gzFile file = gzopen(path, "wb1");
    REQUIRE(file != NULL);
    REQUIRE(gzwrite(file, bytes.at, 8) == 8);
    uint8_t *data = malloc(COUNT);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < COUNT; i++)
        data[i] = (uint8_t)(i >> 8 ^ i);
    REQUIRE(gzwrite(file, data, COUNT) == COUNT);
    REQUIRE(gzclose(file) == Z_OK);
    struct lorac_array array;
    struct lorac_error error = {0};
    if (CHECK_OK(lorac_array_read(path, &array, &error), error)) {
        CHECK(array.byte_count == COUNT && memcmp(array.data, data, COUNT) == 0);
        lorac_array_clear(&array);
    }
    free(data);
}

static void test_write(void)
{
    const float values[6] = {0.0f, -1.5f, 1e-30f, 3e38f, 0.1f, 7.0f};
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_npy_write_f32(path, values, 3, 2, &error), error));
    bytes.count = 0;
    read_plain(path, &bytes);
    CHECK(bytes.count == 128 + sizeof values && bytes.at[127] == '\n');
    CHECK(memcmp(bytes.at, "\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 69) == 0);
    struct lorac_array array;
    REQUIRE(CHECK_OK(lorac_array_read(path, &array, &error), error));
    CHECK(array.dtype == 'f' && array.item_bytes == 4 && array.rank == 2 && array.dims[0] == 3 && array.dims[1] == 2);
    CHECK(memcmp(array.data, values, sizeof values) == 0);
    lorac_array_clear(&array);
    CHECK_OK(lorac_npy_write_f32(path, values, 0, 10, &error), error);
    CHECK(lorac_npy_write_f32(path, values, SIZE_MAX / 2, 4, &error) == LORAC_ERROR_ARGUMENT);
    CHECK(lorac_npy_write_f32("no such folder/x.npy", values, 1, 1, &error) == LORAC_ERROR_IO);
}

// Real gzipped IDX, where the distribution's package is installed.
static void test_fashion_mnist(void)
{
    static const uint8_t first[10] = {9, 2, 1, 1, 6, 1, 4, 6, 5, 7};
    const char *labels = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz";
    if (access(labels, R_OK) != 0) {
        printf("fashion-mnist is not installed: its files are not read\n");
        return;
    }
    struct lorac_array array;
    struct lorac_error error = {0};
    REQUIRE(CHECK_OK(lorac_array_read(labels, &array, &error), error));
    CHECK(array.rank == 1 && array.dims[0] == 10000 && memcmp(array.data, first, sizeof first) == 0);
    lorac_array_clear(&array);
    REQUIRE(CHECK_OK(lorac_array_read("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", &array, &error),
                     error));
    CHECK(array.rank == 3 && array.dims[0] == 60000 && array.dims[1] == 28 && array.dims[2] == 28);
    double sum = 0.0;
    for (size_t i = 0; i < array.byte_count; i++)
        sum += ((const uint8_t *)array.data)[i];
    // 0.2860 of full white is the mean that everyone's normalisation of this set uses
    CHECKF(fabs(sum / (double)array.byte_count / 255.0 - 0.2860) < 1e-4, "mean %g",
           sum / (double)array.byte_count / 255);
    lorac_array_clear(&array);
}

int main(void)
{
    test_types();
    test_fortran_rank_4();
    test_tolerated_headers();
    test_malformed_headers();
    test_malformed_files();
    test_gzip_lies();
    test_idx_types();
    test_gzip_damage();
    test_large_gzip();
    test_write();
    test_fashion_mnist();
    unlink(path);
    return check_report();
}
