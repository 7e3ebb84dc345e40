#include "train_log.h"

#include "option_json.h"
#include "report.h"
#include "tune.h"

#include <time.h>

// What a memory budget chose.
static json_t *budget_json(const struct lorac_net *net, size_t peak_bytes)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)net->options.memory_budget, "predicted_peak_bytes",
                     (json_int_t)peak_bytes, "micro_batch", (json_int_t)net->options.micro_batch, "packed_limit",
                     (json_int_t)net->program->packed_limit, "recompute",
                     (json_int_t)net->program->recompute_segments);
}

// Puts all of [more], which it takes over, behind the members of [object]; false where memory runs out.
static bool extend(json_t *object, json_t *more)
{
    const bool ok = object && more && json_object_update(object, more) == 0;
    json_decref(more);
    return ok;
}

static json_t *command_json(const struct lorac_call *call)
{
    char tool[64];
    snprintf(tool, sizeof tool, "lorac-onnx %s", lorac_version());
    return json_pack("{s:i, s:s, s:I, s:o, s:o, s:o}", "format", LORAC_LOG_FORMAT, "tool", tool, "time",
                     (json_int_t)time(NULL), "model", lorac_json_text(call->operands[0]), "given",
                     lorac_options_given_json(&call->options), "options", lorac_options_json(&call->options));
}

static json_t *images_json(struct lorac_net *net, const struct lorac_loop_options *loop)
{
    struct lorac_info info = {0};
    const struct lorac_validation *validation = loop->validation;
    const size_t images = loop->images ? loop->image_count : loop->source.dataset->count;
    size_t held = 0;
    if (validation)
        held = validation->options.images ? validation->options.count : validation->options.source->dataset->count;
    lorac_get_info(net, &info, NULL); // it has worked before
    return json_pack("{s:I, s:I, s:I, s:I, s:s}", "images", (json_int_t)images, "validation_images", (json_int_t)held,
                     "classes", (json_int_t)net->classes, "trainable_parameters", (json_int_t)info.trainable_parameters,
                     "bn", net->meta.bn == LORAC_BN_TRAIN ? "train" : "frozen");
}

static json_t *plan_json(const struct lorac_net *net, const struct lorac_loop_options *loop)
{
    const size_t images = loop->images ? loop->image_count : loop->source.dataset->count;
    const uint64_t per_epoch = images / net->options.batch;
    const uint64_t steps = loop->steps ? loop->steps : loop->epochs * per_epoch;
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "lr", lorac_json_number(net->options.optimizer.lr), "batch",
                     (json_int_t)net->options.batch, "micro_batch", (json_int_t)net->options.micro_batch, "threads",
                     (json_int_t)net->options.threads, "steps", (json_int_t)steps, "steps_per_epoch",
                     (json_int_t)per_epoch, "epochs", (json_int_t)(steps / per_epoch + (steps % per_epoch != 0)));
}

static json_t *memory_json(struct lorac_net *net)
{
    struct lorac_memory_prediction memory = {0};
    lorac_net_predict_memory(net, &memory, NULL); // the plan is there: it cannot fail
    json_t *object = json_pack("{s:I, s:I, s:o}", "memory_bytes", (json_int_t)lorac_memory_bytes(net),
                               "predicted_peak_bytes", (json_int_t)memory.peak_bytes, "convolutions",
                               lorac_choices_json(net));
    if (object && net->options.memory_budget > 0 &&
        json_object_set_new(object, "memory_budget", budget_json(net, memory.peak_bytes)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

void lorac_train_log_start(struct lorac_log *log, const struct lorac_call *call, struct lorac_net *net,
                           const struct lorac_loop_options *loop)
{
    if (!log->file)
        return;
    json_t *line = json_object();
    if (extend(line, command_json(call)) && extend(line, images_json(net, loop)) && extend(line, plan_json(net, loop)) &&
        extend(line, memory_json(net))) {
        lorac_log_write(log, "start", line);
        return;
    }
    json_decref(line);
    lorac_log_write(log, "start", NULL);
}

void lorac_train_log_resume(struct lorac_log *log, uint64_t step)
{
    if (log->file)
        lorac_log_write(log, "resume", json_pack("{s:I, s:I}", "step", (json_int_t)step, "time", (json_int_t)time(NULL)));
}

void lorac_train_log_checkpoint(struct lorac_log *log, uint64_t step, double seconds)
{
    if (log->file)
        lorac_log_write(log, "checkpoint",
                        json_pack("{s:I, s:o}", "step", (json_int_t)step, "seconds", lorac_json_number(seconds)));
}

void lorac_train_log_end(struct lorac_log *log, const struct lorac_train_log_end *end)
{
    const struct lorac_best_mark *best = &end->best;
    if (!log->file)
        return;
    json_t *line = json_pack("{s:s, s:I, s:o, s:o, s:s}", "reason", end->reason, "step", (json_int_t)end->step, "seconds",
                             lorac_json_number(end->seconds), "written", lorac_json_text(end->written), "kept",
                             end->kept_best ? "best" : "last");
    bool ok = line != NULL;
    if (ok && end->message)
        ok = json_object_set_new(line, "message", lorac_json_text(end->message)) == 0;
    if (ok && best->epoch > 0)
        ok = json_object_set_new(line, "best_epoch", json_integer((json_int_t)best->epoch)) == 0 &&
             json_object_set_new(line, "best_accuracy", lorac_json_number(lorac_best_accuracy(best))) == 0;
    if (!ok) {
        json_decref(line);
        line = NULL;
    }
    lorac_log_write(log, "end", line);
}
