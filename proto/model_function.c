#include "model_function.h"

#include "model_internal.h"
#include "size.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

// Field numbers of onnx.proto that older copies of the schema do not know. There they are among the unknown fields.
enum { NODE_OVERLOAD = 8, FUNCTION_ATTRIBUTE_PROTO = 11, FUNCTION_OVERLOAD = 13 };

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the functions of the model");
}

static const char *domain_of(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

bool lorac_domain_same(const char *a, const char *b)
{
    return strcmp(domain_of(a), domain_of(b)) == 0;
}

bool lorac_opset_version(Onnx__OperatorSetIdProto *const *imports, size_t count, const char *domain, int64_t *version)
{
    for (size_t i = 0; i < count; i++)
        if (lorac_domain_same(imports[i]->domain, domain)) {
            *version = imports[i]->version;
            return true;
        }
    return false;
}

// ---- fields that the schema may or may not know

// The payload of a length-delimited unknown field, which protobuf-c keeps with its length in front. False where the
// field is of another kind.
static bool unknown_payload(const ProtobufCMessageUnknownField *field, const uint8_t **bytes, size_t *byte_count)
{
    size_t prefix = 0;
    if (field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        return false;
    while (prefix < field->len && field->data[prefix] & 0x80)
        prefix++;
    if (prefix >= field->len)
        return false;
    *bytes = field->data + prefix + 1;
    *byte_count = field->len - prefix - 1;
    return true;
}

// The string field [tag], "" where it is absent; NULL where memory ran out. The last one counts, as in protobuf.
static const char *string_field(const struct lorac_model *model, const ProtobufCMessage *message, unsigned tag)
{
    const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(message->descriptor, tag);
    if (known) {
        const char *text = *(char *const *)((const char *)message + known->offset);
        return text ? text : "";
    }
    for (size_t i = message->n_unknown_fields; i-- > 0;) {
        const uint8_t *bytes;
        size_t byte_count;
        if (message->unknown_fields[i].tag != tag || !unknown_payload(&message->unknown_fields[i], &bytes, &byte_count))
            continue;
        char *text = lorac_arena_alloc(model->arena, byte_count + 1);
        return text ? memcpy(text, bytes, byte_count) : NULL;
    }
    return "";
}

static enum lorac_status unpack_default(struct lorac_model *model, const struct lorac_function *function,
                                        const uint8_t *bytes, size_t byte_count, const Onnx__AttributeProto **out,
                                        struct lorac_error *error)
{
    const ProtobufCMessageDescriptor *type = &onnx__attribute_proto__descriptor;
    bool ran_out = false;
    *out = (Onnx__AttributeProto *)lorac_arena_unpack(model->arena, type, bytes, byte_count, &ran_out);
    if (!*out && ran_out)
        return out_of_memory(error);
    if (!*out || !(*out)->name)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "function '%s' has an attribute that cannot be read",
                               function->name);
    return LORAC_OK;
}

static enum lorac_status check_default_count(const struct lorac_function *function, size_t count,
                                             struct lorac_error *error)
{
    if (count <= LORAC_FUNCTION_MAX_ATTRIBUTES)
        return LORAC_OK;
    return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "function '%s' has %zu attributes; %d is the most",
                           function->name, count, LORAC_FUNCTION_MAX_ATTRIBUTES);
}

static enum lorac_status unpack_defaults(struct lorac_model *model, struct lorac_function *function,
                                         struct lorac_error *error)
{
    const ProtobufCMessage *message = &function->proto->base;
    const uint8_t *bytes;
    size_t byte_count, count = 0, done = 0;
    for (size_t i = 0; i < message->n_unknown_fields; i++)
        count += message->unknown_fields[i].tag == FUNCTION_ATTRIBUTE_PROTO &&
                 unknown_payload(&message->unknown_fields[i], &bytes, &byte_count);
    if (count == 0)
        return LORAC_OK;
    LORAC_TRY(check_default_count(function, count, error));
    const Onnx__AttributeProto **list = lorac_arena_alloc_array(model->arena, count, sizeof *list);
    if (!list)
        return out_of_memory(error);
    for (size_t i = 0; i < message->n_unknown_fields; i++)
        if (message->unknown_fields[i].tag == FUNCTION_ATTRIBUTE_PROTO &&
            unknown_payload(&message->unknown_fields[i], &bytes, &byte_count))
            LORAC_TRY(unpack_default(model, function, bytes, byte_count, &list[done++], error));
    function->defaults = list;
    function->default_count = count;
    return LORAC_OK;
}

static enum lorac_status read_defaults(struct lorac_model *model, struct lorac_function *function,
                                       struct lorac_error *error)
{
    const ProtobufCMessage *message = &function->proto->base;
    const ProtobufCFieldDescriptor *known =
        protobuf_c_message_descriptor_get_field(message->descriptor, FUNCTION_ATTRIBUTE_PROTO);
    if (!known)
        return unpack_defaults(model, function, error);
    function->default_count = *(const size_t *)((const char *)message + known->quantifier_offset);
    function->defaults = *(const Onnx__AttributeProto *const **)((const char *)message + known->offset);
    return check_default_count(function, function->default_count, error);
}

// ---- the table

// Writes the key into table->key. The parts are kept apart by a character that no name has.
static enum lorac_status make_key(struct lorac_function_table *table, const char *domain, const char *name,
                                  const char *overload, struct lorac_error *error)
{
    domain = domain_of(domain);
    size_t bytes = strlen(domain) + strlen(name) + strlen(overload) + 3;
    if (bytes > table->key_bytes) {
        char *larger = realloc(table->key, bytes);
        if (!larger)
            return out_of_memory(error);
        table->key = larger;
        table->key_bytes = bytes;
    }
    strcpy(table->key, domain);
    strcat(table->key, "\x1f");
    strcat(table->key, name);
    strcat(table->key, "\x1f");
    strcat(table->key, overload);
    return LORAC_OK;
}

static enum lorac_status read_function(struct lorac_function_table *table, struct lorac_model *model,
                                       const Onnx__FunctionProto *proto, struct lorac_error *error)
{
    const char *overload = string_field(model, &proto->base, FUNCTION_OVERLOAD);
    if (!overload)
        return out_of_memory(error);
    if (!proto->name || !*proto->name)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "a local function of the model has no name");
    LORAC_TRY(make_key(table, proto->domain, proto->name, overload, error));
    char *key = lorac_arena_strdup(model->arena, table->key);
    char *name = lorac_arena_strdup(model->arena, table->key);
    size_t number;
    bool added;
    if (!key || !name || !lorac_name_table_add(&table->keys, key, &number, &added))
        return out_of_memory(error);
    for (char *p = name; *p; p++)
        if (*p == '\x1f')
            *p = p[1] ? '.' : '\0';
    if (!added)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "the model has two functions '%s'", name);
    if (proto->n_opset_import > LORAC_FUNCTION_MAX_IMPORTS)
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED, "function '%s' imports more than %d operator sets", name,
                               LORAC_FUNCTION_MAX_IMPORTS);
    table->functions[number] =
        (struct lorac_function){.proto = proto, .name = domain_of(proto->domain)[0] ? name : name + 1};
    return read_defaults(model, &table->functions[number], error);
}

enum lorac_status lorac_function_table_init(struct lorac_function_table *table, struct lorac_model *model,
                                            struct lorac_error *error)
{
    const Onnx__ModelProto *proto = model->proto;
    memset(table, 0, sizeof *table);
    lorac_name_table_init(&table->keys);
    table->functions = lorac_arena_alloc_array(model->arena, proto->n_functions, sizeof *table->functions);
    enum lorac_status status = table->functions ? LORAC_OK : out_of_memory(error);
    for (size_t i = 0; i < proto->n_functions && status == LORAC_OK; i++)
        status = read_function(table, model, proto->functions[i], error);
    if (status != LORAC_OK)
        lorac_function_table_free(table);
    return status;
}

void lorac_function_table_free(struct lorac_function_table *table)
{
    lorac_name_table_free(&table->keys);
    free(table->key);
    table->key = NULL;
}

enum lorac_status lorac_function_called(struct lorac_function_table *table, const struct lorac_model *model,
                                        const Onnx__NodeProto *node, struct lorac_function **out,
                                        struct lorac_error *error)
{
    const char *overload = string_field(model, &node->base, NODE_OVERLOAD);
    if (!overload)
        return out_of_memory(error);
    if (!node->op_type)
        return lorac_error_set(error, LORAC_ERROR_FORMAT, "node '%s' has no op_type", lorac_node_name(node));
    LORAC_TRY(make_key(table, node->domain, node->op_type, overload, error));
    size_t number = lorac_name_table_find(&table->keys, table->key);
    *out = number == LORAC_NO_NAME ? NULL : &table->functions[number];
    if (*out && !*domain_of(node->domain))
        return lorac_error_set(error, LORAC_ERROR_UNSUPPORTED,
                               "node '%s' (%s): the model has a local function of this name in the default domain, and "
                               "whether it replaces the operator differs between engines; write the functions out with "
                               "onnx.inliner first",
                               lorac_node_name(node), node->op_type);
    return LORAC_OK;
}
