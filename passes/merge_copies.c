// merge: what becomes of the copies that inject made.
#include "edit.h"
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

// What putting back will change, gathered before the first edit: each edit makes the index of uses old.
struct putting_back {
    struct lorac_use *uses;           // [use_count]
    const char **values;              // what each is to read, or what is to be pruned
    const Onnx__TensorProto **copies; // that go
    size_t use_count, copy_count;
};

// A copy has one user, unless another tool made more. It stays where it is an output, or read in a subgraph. (None is a
// copy of another copy: such records are refused.)
static void gather(struct lorac_model *model, const struct lorac_meta_copy *pair, struct putting_back *out)
{
    const struct lorac_use *uses;
    size_t count = lorac_model_uses(model, pair->copy, &uses);
    bool stays = lorac_model_is_graph_output(model, pair->copy);
    for (size_t i = 0; i < count; i++)
        stays |= uses[i].input == SIZE_MAX;
    for (size_t i = 0; i < count && !stays; i++) {
        out->values[out->use_count] = pair->of;
        out->uses[out->use_count++] = uses[i];
    }
    if (!stays)
        out->copies[out->copy_count++] = lorac_model_initializer(model, pair->copy);
}

static enum lorac_status put_back(struct lorac_model *model, const struct lorac_meta *meta, struct putting_back *work,
                                  struct lorac_error *error)
{
    for (size_t i = 0; i < meta->copy_count; i++) {
        bool unchanged;
        LORAC_TRY(is_unchanged(model, &meta->copies[i], &unchanged, error));
        if (unchanged)
            gather(model, &meta->copies[i], work);
    }
    for (size_t i = 0; i < work->use_count; i++)
        LORAC_TRY(lorac_model_set_node_input(model, work->uses[i].node, work->uses[i].input, work->values[i], error));
    lorac_model_erase_all(model, NULL, 0, work->copies, work->copy_count);
    for (size_t i = 0; i < meta->copy_count; i++)
        work->values[i] = meta->copies[i].of;
    return lorac_edit_prune(model, work->values, meta->copy_count, error);
}

enum lorac_status lorac_merge_copies(struct lorac_model *model, const struct lorac_meta *meta,
                                     struct lorac_error *error)
{
    const struct lorac_use *uses;
    struct putting_back work = {0};
    if (meta->copy_count == 0)
        return LORAC_OK;
    size_t room = meta->copy_count;
    for (size_t i = 0; i < meta->copy_count; i++)
        room += lorac_model_uses(model, meta->copies[i].copy, &uses);
    work.uses = lorac_arena_alloc_array(model->arena, room, sizeof *work.uses);
    work.values = lorac_arena_alloc_array(model->arena, room, sizeof *work.values);
    work.copies = lorac_arena_alloc_array(model->arena, room, sizeof(*work.copies));
    if (!work.uses || !work.values || !work.copies)
        return out_of_memory(error);
    return put_back(model, meta, &work, error);
}
