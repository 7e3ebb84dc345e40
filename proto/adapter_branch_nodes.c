#include "adapter_meta.h"

#include <stdlib.h>

static int compare_nodes(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (const Onnx__NodeProto *const *)a;
    uintptr_t right = (uintptr_t) * (const Onnx__NodeProto *const *)b;
    return (left > right) - (left < right);
}

enum lorac_status lorac_branch_nodes_list(struct lorac_model *model, const struct lorac_meta *meta,
                                          struct lorac_arena *arena, struct lorac_branch_nodes *out,
                                          struct lorac_error *error)
{
    // Each node is of one adapter only: its values have no other user.
    size_t room = model->proto->graph->n_node;
    struct lorac_branch_nodes own = {0, lorac_arena_alloc_array(arena, room, sizeof(*own.nodes))};
    if (!own.nodes)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the adapters' nodes");
    for (size_t i = 0; meta->injected && i < meta->adapter_count; i++) {
        struct lorac_adapter_site site;
        if (meta->adapters[i].form != LORAC_FORM_BRANCH)
            continue;
        if (lorac_adapter_locate(model, &meta->adapters[i], arena, &site, NULL) != LORAC_OK)
            continue;
        for (size_t k = 0; k < site.node_count && own.count < room; k++)
            own.nodes[own.count++] = site.nodes[k];
    }
    if (own.count > 0)
        qsort(own.nodes, own.count, sizeof(*own.nodes), compare_nodes);
    *out = own;
    return LORAC_OK;
}

bool lorac_branch_nodes_has(const struct lorac_branch_nodes *own, const Onnx__NodeProto *node)
{
    return own->count > 0 && bsearch(&node, own->nodes, own->count, sizeof(*own->nodes), compare_nodes);
}
