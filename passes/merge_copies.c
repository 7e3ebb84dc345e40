// merge: what becomes of the copies that inject made, and of constants that nobody reads any more.
#include "merge_parts.h"

#include "proto/model_edit.h"
#include "proto/size.h"
#include "proto/tensor.h"

#include <stdlib.h>
#include <string.h>

static enum lorac_status out_of_memory(struct lorac_error *error)
{
    return lorac_error_set(error, LORAC_ERROR_MEMORY, "merge: out of memory");
}

// ---- pruning

static bool is_read(struct lorac_model *model, const char *value)
{
    const struct lorac_use *uses;
    return lorac_model_is_graph_output(model, value) || lorac_model_uses(model, value, &uses) > 0;
}

static bool is_dead(struct lorac_model *model, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_output; i++)
        if (node->output[i][0] && is_read(model, node->output[i]))
            return false;
    return true;
}

enum lorac_status lorac_prune(struct lorac_model *model, const char *value, struct lorac_error *error)
{
    // Every name is an input of a node that was erased for it: their number bounds the list.
    size_t inputs = 1;
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        inputs += model->proto->graph->node[i]->n_input;
    const char **list = lorac_arena_alloc_array(model->arena, inputs, sizeof *list);
    if (!list)
        return out_of_memory(error);
    size_t count = 0;
    list[count++] = value;
    while (count > 0) {
        const char *name = list[--count];
        const Onnx__NodeProto *node = lorac_model_producer(model, name);
        if (is_read(model, name))
            continue;
        if (!node) {
            lorac_model_erase_initializer(model, name);
        } else if (is_dead(model, node)) {
            for (size_t i = 0; i < node->n_input; i++)
                if (node->input[i][0])
                    list[count++] = node->input[i];
            lorac_model_erase_node(model, node);
        }
    }
    return LORAC_OK;
}

// ---- copies

// True where both hold the same numbers in the same type and dims. (A copy has the bits of a tensor, so that equal
// numbers are equal bits, but for the sign of a zero that training may have touched, which is kept out here too.)
static enum lorac_status is_unchanged(struct lorac_model *model, const struct lorac_meta_copy *pair, bool *out,
                                      struct lorac_error *error)
{
    struct lorac_weight copy, of;
    double *left = NULL, *right = NULL;
    size_t bytes;
    enum lorac_status status = LORAC_OK;
    *out = false;
    if (lorac_weight_find(model, pair->copy, &copy, NULL) != LORAC_OK ||
        lorac_weight_find(model, pair->of, &of, NULL) != LORAC_OK || !lorac_weight_is_floating(&copy) ||
        copy.data_type != of.data_type || copy.rank != of.rank || copy.count != of.count ||
        memcmp(copy.dims, of.dims, copy.rank * sizeof *copy.dims) != 0)
        return LORAC_OK; // another tool took what it is a copy of
    bool fits = lorac_size_multiply(copy.count, sizeof *left, &bytes);
    left = fits ? malloc(bytes + 1) : NULL;
    right = fits ? malloc(bytes + 1) : NULL;
    if (!left || !right) {
        status = out_of_memory(error);
        goto done;
    }
    LORAC_TRY_GOTO(status, lorac_weight_to_double(model, &copy, left, copy.count, error), done);
    LORAC_TRY_GOTO(status, lorac_weight_to_double(model, &of, right, of.count, error), done);
    *out = memcmp(left, right, bytes) == 0;
done:
    free(left);
    free(right);
    return status;
}

// Every use of the copy (there is one, unless another tool made more) goes back to what it is a copy of.
static enum lorac_status put_back(struct lorac_model *model, const struct lorac_meta_copy *pair,
                                  struct lorac_error *error)
{
    const struct lorac_use *uses;
    if (lorac_model_is_graph_output(model, pair->copy))
        return LORAC_OK;
    while (lorac_model_uses(model, pair->copy, &uses) > 0) {
        if (uses[0].input == SIZE_MAX)
            return LORAC_OK; // in a subgraph, where the name must stay
        LORAC_TRY(lorac_model_set_node_input(model, uses[0].node, uses[0].input, pair->of, error));
    }
    lorac_model_erase_initializer(model, pair->copy);
    return LORAC_OK;
}

enum lorac_status lorac_merge_copies(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error)
{
    for (size_t i = 0; i < meta->copy_count; i++) {
        bool unchanged;
        LORAC_TRY(is_unchanged(model, &meta->copies[i], &unchanged, error));
        if (unchanged)
            LORAC_TRY(put_back(model, &meta->copies[i], error));
    }
    for (size_t i = 0; i < meta->copy_count; i++)
        if (lorac_model_producer(model, meta->copies[i].of) || lorac_model_initializer(model, meta->copies[i].of))
            LORAC_TRY(lorac_prune(model, meta->copies[i].of, error));
    return LORAC_OK;
}
