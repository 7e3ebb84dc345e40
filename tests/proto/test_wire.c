#include "build_model.h"

#include "proto/model_internal.h"
#include "proto/wire.h"

#include <time.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define TAG(field, wire) (uint8_t)((field) << 3 | (wire))

// Bytes being put together, growing.
struct text {
    uint8_t *bytes;
    size_t count, capacity;
};

static void add(struct text *text, const void *bytes, size_t count)
{
    if (text->count + count > text->capacity) {
        text->capacity = 2 * (text->count + count);
        text->bytes = realloc(text->bytes, text->capacity);
        REQUIRE(text->bytes);
    }
    if (count > 0)
        memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

static void add_varint(struct text *text, uint64_t value)
{
    uint8_t byte;
    for (; value >= 0x80; value >>= 7) {
        byte = (uint8_t)(value | 0x80);
        add(text, &byte, 1);
    }
    byte = (uint8_t)value;
    add(text, &byte, 1);
}

// Tag, length and content.
static void add_part(struct text *text, uint8_t tag, const void *bytes, size_t count)
{
    add(text, &tag, 1);
    add_varint(text, count);
    add(text, bytes, count);
}

static enum lorac_status read_model(struct lorac_arena *arena, const struct text *text, Onnx__ModelProto **out,
                                    struct lorac_error *error)
{
    ProtobufCMessage *message = NULL;
    enum lorac_status status =
        lorac_wire_read(arena, &onnx__model_proto__descriptor, text->bytes, text->count, &message, error);
    CHECK((status == LORAC_OK) == (message != NULL));
    *out = (Onnx__ModelProto *)message;
    return status;
}

// ---- the same as protobuf-c's own unpacker

static uint8_t *pack(const Onnx__ModelProto *model, size_t *count)
{
    *count = onnx__model_proto__get_packed_size(model);
    uint8_t *bytes = malloc(*count + 1);
    REQUIRE(bytes);
    onnx__model_proto__pack(model, bytes);
    return bytes;
}

// Both read it and mean the same, or both refuse. Returns whether they read it.
static bool check_same(const struct text *text, const char *what, size_t at)
{
    struct lorac_error error = {0};
    struct lorac_arena *arena = lorac_arena_create();
    Onnx__ModelProto *ours = NULL, *theirs = onnx__model_proto__unpack(NULL, text->count, text->bytes);
    REQUIRE(arena);
    bool read = read_model(arena, text, &ours, &error) == LORAC_OK;
    CHECKF(read == (theirs != NULL), "%s %zu: %s, protobuf-c %s", what, at, read ? "read" : error.message,
           theirs ? "reads it" : "refuses it");
    if (ours && theirs) {
        size_t our_count, their_count;
        uint8_t *our_bytes = pack(ours, &our_count), *their_bytes = pack(theirs, &their_count);
        CHECKF(our_count == their_count && memcmp(our_bytes, their_bytes, our_count) == 0,
               "%s %zu: %zu bytes, protobuf-c %zu, or others", what, at, our_count, their_count);
        free(our_bytes);
        free(their_bytes);
    }
    if (theirs)
        onnx__model_proto__free_unpacked(theirs, NULL);
    lorac_arena_free(arena);
    return read;
}

// Every kind of field: packed and unpacked numbers, all typed data, strings, nested messages, oneofs, unknown fields.
static struct text everything(void)
{
    static const uint8_t unpacked[] = {TAG(1, 0), 3, TAG(1, 0), 4, TAG(2, 0), 1, TAG(1, 2), 2, 5, 6};
    static const uint8_t typed[] = {
        TAG(4, 2), 8,   0, 0,          128,       63,  0,          0,         0,   64,  TAG(4, 5), 1,
        2,         3,   4, TAG(5, 2),  11,        255, 255,        255,       255, 255, 255,       255,
        255,       255, 1, 7,          TAG(7, 0), 9,   TAG(10, 1), 1,         2,   3,   4,         5,
        6,         7,   8, TAG(11, 2), 2,         200, 1,          TAG(6, 2), 1,   'a', TAG(6, 2), 0};
    static const uint8_t unknown[] = {0xc2, 0x3e, 3, 'a',  'b',  'c', 0xc0, 0x3e, 200, 1, 0xc5, 0x3e, 1,
                                      2,    3,    4, 0xc1, 0x3e, 1,   2,    3,    4,   5, 6,    7,    8};
    static const uint8_t dim[] = {TAG(1, 2), 2,         TAG(1, 0), 5,         TAG(1, 2), 3,         TAG(2, 2), 1,
                                  'N',       TAG(1, 2), 5,         TAG(1, 0), 5,         TAG(2, 2), 1,         'M'};
    struct text out = {0}, tensor = {0}, type = {0}, value = {0}, graph = {0};
    add(&tensor, unpacked, sizeof unpacked);
    add(&tensor, typed, sizeof typed);
    add_part(&tensor, TAG(8, 2), "name", 4);
    add_part(&tensor, TAG(9, 2), "0123456789abcdef", 16);
    add(&tensor, unknown, sizeof unknown);
    add_part(&type, TAG(2, 2), dim, sizeof dim);
    add_part(&value, TAG(1, 2), "x", 1);
    struct text tensor_type = {0};
    add_part(&tensor_type, TAG(1, 2), type.bytes, type.count);
    add_part(&value, TAG(2, 2), tensor_type.bytes, tensor_type.count);
    add_part(&graph, TAG(5, 2), tensor.bytes, tensor.count);
    add_part(&graph, TAG(5, 2), NULL, 0);
    add_part(&graph, TAG(11, 2), value.bytes, value.count);
    add(&graph, unknown, sizeof unknown);
    uint8_t ir[] = {TAG(1, 0), 8};
    add(&out, ir, sizeof ir);
    add_part(&out, TAG(7, 2), graph.bytes, graph.count);
    add_part(&out, TAG(2, 2), "first", 5);
    add_part(&out, TAG(2, 2), "second", 6);
    free(tensor.bytes);
    free(type.bytes);
    free(tensor_type.bytes);
    free(value.bytes);
    free(graph.bytes);
    return out;
}

static void test_against_protobuf_c(void)
{
    struct text small = {0}, texts[2];
    uint8_t *built = build_small(&small.count);
    small.bytes = built;
    texts[0] = everything();
    texts[1] = small;
    for (size_t t = 0; t < COUNT_OF(texts); t++) {
        struct text *text = &texts[t];
        size_t read = 0;
        CHECKF(check_same(text, "whole", t), "text %zu", t);
        for (size_t i = 0; i < text->count; i++) {
            uint8_t old = text->bytes[i];
            for (int value = 0; value < 256; value++) {
                text->bytes[i] = (uint8_t)value;
                read += check_same(text, "byte", i);
            }
            text->bytes[i] = old;
        }
        CHECKF(read > text->count && read < 256 * text->count, "text %zu: %zu were read", t, read);
        for (size_t count = text->count; text->count > 0;) {
            check_same(text, "cut at", --text->count);
            if (text->count == 0) {
                text->count = count;
                break;
            }
        }
        free(text->bytes);
    }
}

// ---- views

static void test_views(void)
{
    struct lorac_error error = {0};
    struct text text = everything();
    struct lorac_arena *arena = lorac_arena_create();
    Onnx__ModelProto *model = NULL;
    REQUIRE(read_model(arena, &text, &model, &error) == LORAC_OK);
    const Onnx__TensorProto *tensor = model->graph->initializer[0];
    CHECK(tensor->raw_data.data > text.bytes && tensor->raw_data.data + 16 < text.bytes + text.count);
    CHECK(tensor->raw_data.len == 16 && memcmp(tensor->raw_data.data, "0123456789abcdef", 16) == 0);
    CHECK(strcmp(model->producer_name, "second") == 0);
    CHECK(tensor->n_dims == 4 && tensor->dims[3] == 6 && tensor->n_int32_data == 2 && tensor->int32_data[0] == -1);
    CHECK(tensor->n_string_data == 2 && tensor->string_data[0].data[1] == 0);
    lorac_arena_free(arena);
    free(text.bytes);
}

// A message that comes twice is one: lists go on, single values are the last.
static void test_merge(void)
{
    static const uint8_t first[] = {TAG(1, 2), 2, TAG(3, 2), 0, TAG(2, 2), 1, 'a'};
    static const uint8_t second[] = {TAG(1, 2), 0, TAG(2, 2), 1, 'b', TAG(10, 2), 1, 'd'};
    struct lorac_error error = {0};
    struct text text = {0};
    struct lorac_arena *arena = lorac_arena_create();
    Onnx__ModelProto *model = NULL;
    add_part(&text, TAG(7, 2), first, sizeof first);
    add_part(&text, TAG(7, 2), second, sizeof second);
    if (CHECK_OK(read_model(arena, &text, &model, &error), error)) {
        CHECK(model->graph->n_node == 2 && strcmp(model->graph->name, "b") == 0);
        CHECK(strcmp(model->graph->doc_string, "d") == 0 && strcmp(model->graph->node[0]->name, "") == 0);
    }
    check_same(&text, "twice", 0);
    lorac_arena_free(arena);
    free(text.bytes);
}

// ---- files made to exhaust memory or time

// [count] copies of [part] in the graph.
static void many(struct text *text, const void *part, size_t part_count, size_t count)
{
    struct text graph = {0};
    for (size_t i = 0; i < count; i++)
        add(&graph, part, part_count);
    add_part(text, TAG(7, 2), graph.bytes, graph.count);
    free(graph.bytes);
}

static void graphs_again(struct text *text, const void *part, size_t part_count, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_part(text, TAG(7, 2), part, part_count);
}

static void test_hostile(void)
{
    static const uint8_t node[] = {TAG(1, 2), 0}, typed[] = {TAG(1, 2), 4, TAG(4, 2), 2, 'O', 'p'};
    static const uint8_t named_node[] = {TAG(1, 2), 2, TAG(1, 2), 0};
    static const uint8_t mixed[] = {TAG(1, 2), 0, TAG(5, 2), 0, TAG(11, 2), 0, TAG(13, 2), 0};
    static const uint8_t unknown[] = {0xc0, 0x3e, 1};
    static const struct {
        const char *what;
        const void *part;
        size_t part_count, count;
        void (*make)(struct text *text, const void *part, size_t part_count, size_t count);
        bool refused;
    } rows[] = {
        {"empty nodes that fit", node, sizeof node, 400000, many, false},
        {"too many empty nodes", node, sizeof node, 3000000, many, true},
        {"a million nodes with an op", typed, sizeof typed, 1000000, many, false},
        {"nodes with an empty input", named_node, sizeof named_node, 3000000, many, true},
        {"four kinds in turns", mixed, sizeof mixed, 600000, many, true},
        {"unknown fields", unknown, sizeof unknown, 1000000, many, false},
        {"a graph that comes 400000 times", node, sizeof node, 400000, graphs_again, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lorac_error error = {0};
        struct text text = {0};
        struct lorac_arena *arena = lorac_arena_create();
        Onnx__ModelProto *model = NULL;
        rows[i].make(&text, rows[i].part, rows[i].part_count, rows[i].count);
        clock_t started = clock();
        enum lorac_status status = read_model(arena, &text, &model, &error);
        double seconds = (double)(clock() - started) / CLOCKS_PER_SEC;
        CHECKF((status == LORAC_ERROR_FORMAT) == rows[i].refused, "%s: %d %s", rows[i].what, (int)status,
               error.message);
        CHECKF(!rows[i].refused || strstr(error.message, "the limit of 64 MiB and 32 times the bytes"), "%s: %s",
               rows[i].what, error.message);
        CHECKF(seconds < 5, "%s took %.1f seconds", rows[i].what, seconds);
        lorac_arena_free(arena);
        free(text.bytes);
    }
}

// A large string or a large packed list earns its own memory; so does raw_data, by taking none.
static void test_large_parts(void)
{
    enum { BYTES = 70 << 20 };
    static const uint8_t tags[] = {TAG(9, 2), TAG(4, 2), TAG(8, 2), TAG(6, 2)};
    uint8_t *zeros = calloc(1, BYTES);
    REQUIRE(zeros);
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        struct lorac_error error = {0};
        struct text text = {0}, tensor = {0}, graph = {0};
        struct lorac_arena *arena = lorac_arena_create();
        Onnx__ModelProto *model = NULL;
        add_part(&tensor, tags[i], zeros, BYTES);
        add_part(&graph, TAG(5, 2), tensor.bytes, tensor.count);
        free(tensor.bytes);
        add_part(&text, TAG(7, 2), graph.bytes, graph.count);
        free(graph.bytes);
        CHECK_OK(read_model(arena, &text, &model, &error), error);
        lorac_arena_free(arena);
        free(text.bytes);
    }
    free(zeros);
}

int main(void)
{
    test_against_protobuf_c();
    test_views();
    test_merge();
    test_hostile();
    test_large_parts();
    return check_report();
}
