// Names and attributes of nodes: looking only, no index needed.
#include "model.h"

#include <string.h>

static bool is_default_domain(const char *domain)
{
    return !domain || !*domain || strcmp(domain, "ai.onnx") == 0;
}

const char *lorac_node_name(const Onnx__NodeProto *node)
{
    if (node->name && *node->name)
        return node->name;
    return node->n_output > 0 && node->output[0] ? node->output[0] : "";
}

bool lorac_node_is(const Onnx__NodeProto *node, const char *op_type)
{
    return is_default_domain(node->domain) && node->op_type && strcmp(node->op_type, op_type) == 0;
}

bool lorac_node_is_one_of(const Onnx__NodeProto *node, const char *const *op_types)
{
    for (; *op_types; op_types++)
        if (lorac_node_is(node, *op_types))
            return true;
    return false;
}

const char *lorac_node_input(const Onnx__NodeProto *node, size_t i)
{
    return i < node->n_input ? node->input[i] : "";
}

int64_t lorac_model_opset(const struct lorac_model *model)
{
    const Onnx__ModelProto *proto = model->proto;
    for (size_t i = 0; i < proto->n_opset_import; i++)
        if (is_default_domain(proto->opset_import[i]->domain))
            return proto->opset_import[i]->has_version ? proto->opset_import[i]->version : 0;
    return 0;
}

const Onnx__AttributeProto *lorac_node_attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name && strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    return NULL;
}

// The attribute where it is of [type]. The first IR versions wrote no type: then the field that is there decides.
static const Onnx__AttributeProto *find_typed(const Onnx__NodeProto *node, const char *name,
                                              Onnx__AttributeProto__AttributeType type)
{
    const Onnx__AttributeProto *attribute = lorac_node_attribute(node, name);
    if (!attribute || (attribute->has_type && attribute->type != type))
        return NULL;
    return attribute;
}

// An attribute of type INT, FLOAT or STRING without its field holds that type's zero: proto3 writers leave it out.
int64_t lorac_node_int(const Onnx__NodeProto *node, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *attribute = find_typed(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    return attribute && (attribute->has_i || attribute->has_type) ? attribute->i : fallback;
}

float lorac_node_float(const Onnx__NodeProto *node, const char *name, float fallback)
{
    const Onnx__AttributeProto *attribute = find_typed(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    return attribute && (attribute->has_f || attribute->has_type) ? attribute->f : fallback;
}

const char *lorac_node_string(struct lorac_model *model, const Onnx__NodeProto *node, const char *name,
                              const char *fallback)
{
    (void)model;
    const Onnx__AttributeProto *attribute = find_typed(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!attribute || !(attribute->has_s || attribute->has_type))
        return fallback;
    return attribute->s.len > 0 ? (const char *)attribute->s.data : ""; // terminated: see unpack_alloc
}

size_t lorac_node_ints(const Onnx__NodeProto *node, const char *name, const int64_t **values)
{
    const Onnx__AttributeProto *attribute = find_typed(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    *values = attribute ? attribute->ints : NULL;
    return attribute ? attribute->n_ints : 0;
}

const char *lorac_model_metadata(const struct lorac_model *model, const char *key)
{
    const Onnx__ModelProto *proto = model->proto;
    for (size_t i = 0; i < proto->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = proto->metadata_props[i];
        if (entry->key && strcmp(entry->key, key) == 0)
            return entry->value ? entry->value : "";
    }
    return NULL;
}
