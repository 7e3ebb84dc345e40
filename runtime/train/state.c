// lorac.h's states: checkpoints of an application that runs its own loop.
#include "checkpoint.h"

#include "proto/model.h"

#include <stdlib.h>

static enum lorac_status check_net(const char *function, const struct lorac_net *net, const char *path,
                                   struct lorac_error *error)
{
    if (!net || !path)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT, "%s: net and path must not be NULL", function);
    if (!net->train)
        return lorac_error_set(error, LORAC_ERROR_ARGUMENT,
                               "%s: the model is not prepared for training; call lorac_prepare with training set",
                               function);
    return LORAC_OK;
}

// As it was when the model was injected: a hash of now would change with a last layer that is trained.
static struct lorac_checkpoint_fact base_fact(const struct lorac_net *net)
{
    return (struct lorac_checkpoint_fact){"the base model", net->meta.base_hash ? net->meta.base_hash : "not known"};
}

enum lorac_status lorac_save_state(struct lorac_net *net, const char *path, uint64_t steps, struct lorac_error *error)
{
    LORAC_TRY(check_net("lorac_save_state", net, path, error));
    const struct lorac_checkpoint_fact fact = base_fact(net);
    const struct lorac_checkpoint checkpoint = {
        .position = {.step = steps}, .total_steps = steps, .fact_count = 1, .facts = &fact};
    struct lorac_snapshot snapshot;
    uint8_t *bytes = NULL;
    size_t byte_count;
    LORAC_TRY(lorac_snapshot_init(&snapshot, net, LORAC_SNAPSHOT_RUN, error));
    enum lorac_status status = lorac_checkpoint_pack(&snapshot, &checkpoint, &bytes, &byte_count, error);
    if (status == LORAC_OK)
        status = lorac_file_write(path, bytes, byte_count, error);
    free(bytes);
    lorac_snapshot_clear(&snapshot);
    return status;
}

enum lorac_status lorac_load_state(struct lorac_net *net, const char *path, uint64_t *steps, struct lorac_error *error)
{
    LORAC_TRY(check_net("lorac_load_state", net, path, error));
    const struct lorac_checkpoint_fact fact = base_fact(net);
    struct lorac_checkpoint_file *file = NULL;
    struct lorac_snapshot snapshot;
    LORAC_TRY(lorac_snapshot_init(&snapshot, net, LORAC_SNAPSHOT_RUN, error));
    enum lorac_status status = lorac_checkpoint_file_read(path, &file, error);
    if (status == LORAC_OK)
        status = lorac_checkpoint_file_check(file, &fact, 1, error);
    if (status == LORAC_OK)
        status = lorac_checkpoint_file_restore(file, &snapshot, NULL, error);
    if (status == LORAC_OK && steps)
        *steps = lorac_checkpoint_file_record(file)->position.step;
    lorac_checkpoint_file_free(file);
    lorac_snapshot_clear(&snapshot);
    return status;
}
