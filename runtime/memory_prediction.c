#include "memory_prediction.h"

#include "proto/external.h"
#include "proto/size.h"
#include "proto/tensor.h"
#include "train/optimizer.h"

// Measured of lorac-onnx (x86-64, Debian 12): 3.9 MB of the program's and the libraries' own pages, the rest heap and
// stack; a thread's stack, and a heap of its own where it allocates; nodes, values, buffers and the operators' structs,
// of ResNet-8 to ResNet-50.
enum { PROCESS_BYTES = 4200000, THREAD_BYTES = 200000, STEP_BYTES = 6000 };

// Of a model that is being saved so much is in memory before it is let go (proto/file_writer.c), and no more than it has.
enum { SAVED_PIECE_BYTES = 1 << 20 };

// Linux maps up to 64 KB of a file around the page that is read; what lies beside the weight stays when it is let go.
enum { BESIDE_BYTES = 32 << 10 };

static void add(size_t *total, size_t value)
{
    if (!lorac_size_add(*total, value, total))
        *total = SIZE_MAX;
}

// The bytes of a tensor that stay in the file.
static enum lorac_status add_view(void *context, Onnx__TensorProto *tensor, struct lorac_error *error)
{
    (void)error;
    size_t bytes;
    if (lorac_tensor_canonical_view(tensor, &bytes))
        add(context, bytes);
    return LORAC_OK;
}

static size_t largest_loaded(const struct lorac_program *program)
{
    size_t largest = 0;
    for (size_t i = 0; i < program->param_count; i++) {
        const struct lorac_param *param = &program->params[i];
        if (!param->kept && param->count > largest)
            largest = param->count;
    }
    return largest * sizeof(float); // checked not to overflow when the parameter was made
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

// While the session is made: beside what is there afterwards. A page of the workspace stays once it was written to.
static size_t loading_bytes(const struct lorac_program *program)
{
    size_t scratch = 0;
    for (size_t i = 0; i < program->step_count; i++)
        scratch = larger(scratch, program->steps[i].create_scratch_bytes);
    return 2 * largest_loaded(program) + scratch;
}

// Of the model's files while steps are run and when the model is saved. [tensors]: the bytes of its weights there.
static size_t file_bytes(const struct lorac_program *program, bool saves, size_t tensors)
{
    size_t bytes = saves ? SAVED_PIECE_BYTES : 0, beside = 0;
    for (size_t i = 0; i < program->step_count; i++) {
        bytes = larger(bytes, program->steps[i].reread_bytes);
        beside += program->steps[i].reread_bytes > 0 ? BESIDE_BYTES : 0;
    }
    add(&bytes, beside);
    return bytes < tensors ? bytes : tensors;
}

// The model's own memory for what training changes, which it is saved from.
static size_t stored_bytes(const struct lorac_program *program)
{
    size_t bytes = 0;
    for (size_t i = 0; i < program->param_count; i++)
        if (program->params[i].trainable || program->params[i].updated)
            bytes += program->params[i].count * sizeof(float);
    return bytes;
}

enum lorac_status lorac_memory_predict(struct lorac_program *program, const struct lorac_memory_setting *setting,
                                       struct lorac_memory_prediction *out, struct lorac_error *error)
{
    struct lorac_memory_prediction memory = {
        .process_bytes = PROCESS_BYTES + setting->threads * THREAD_BYTES,
        .loading_bytes = loading_bytes(program),
        .other_bytes = setting->other_bytes,
    };
    if (setting->optimizer)
        memory.optimizer_bytes = lorac_train_state_bytes(program, setting->optimizer);
    program->threads = setting->threads;
    size_t tensors = 0;
    const size_t files = (size_t)lorac_storage_bytes(program->model->storage);
    LORAC_TRY(lorac_tensor_walk(&program->model->proto->base, add_view, &tensors, error));
    memory.model_bytes = (files > tensors ? files - tensors : 0) + program->step_count * STEP_BYTES;
    LORAC_TRY(lorac_program_memory(program, &memory.session, error));
    size_t training = memory.session.planned_bytes;
    add(&training, memory.optimizer_bytes);
    add(&training, stored_bytes(program));
    add(&training, memory.session.workspace_bytes);
    add(&training, file_bytes(program, setting->optimizer != NULL, tensors));
    const size_t parts[] = {memory.process_bytes,
                            memory.model_bytes,
                            memory.session.parameter_bytes,
                            memory.session.packed_bytes,
                            larger(training, memory.loading_bytes),
                            memory.other_bytes};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        add(&memory.peak_bytes, parts[i]);
    *out = memory;
    return LORAC_OK;
}
