// Trains an injected model on a few images, as an application on a device would, with lorac.h alone:
//
//     lorac-onnx inject model.onnx -o injected.onnx
//     cc example_train.c $(pkg-config --cflags --libs lorac) -o example_train
//     ./example_train injected.onnx trained.onnx
//
// The images are made up: each class is a bright stripe at its own height. Put your camera in their place.
#include <lorac.h>

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 16, STEPS = 60 };

// Image i of class label: bytes [height, width, channels], red first.
static void make_image(uint8_t *pixels, const struct lorac_info *info, int32_t label)
{
    size_t row_bytes = info->width * info->channels;
    size_t stripe = (size_t)label * info->height / info->classes;
    for (size_t row = 0; row < info->height; row++)
        for (size_t k = 0; k < row_bytes; k++)
            pixels[row * row_bytes + k] = (uint8_t)(rand() % 80 + (row / 2 == stripe / 2 ? 170 : 0));
}

static void make_batch(uint8_t *pixels, int32_t *labels, const struct lorac_info *info)
{
    for (size_t i = 0; i < BATCH; i++) {
        labels[i] = (int32_t)((size_t)rand() % info->classes);
        make_image(pixels + i * info->height * info->width * info->channels, info, labels[i]);
    }
}

static bool show_progress(void *context, size_t images_done, size_t images_total)
{
    (void)context;
    printf("evaluated %zu of %zu images\n", images_done, images_total);
    return false; // true would stop
}

static enum lorac_status prepare(struct lorac_net *net, struct lorac_info *info, struct lorac_error *error)
{
    struct lorac_prepare_options options = lorac_prepare_options_default();
    const struct lorac_normalization plain = {.scale = 1.0 / 255};
    LORAC_TRY(lorac_get_info(net, info, error));
    options.batch = BATCH;
    options.training = true;
    if (!info->normalization_given) // else the model knows how pixels become its numbers
        options.normalization = &plain;
    LORAC_TRY(lorac_prepare(net, &options, error));
    printf("memory: %.1f MB\n", (double)lorac_memory_bytes(net) / 1e6);
    return lorac_get_info(net, info, error); // the classes are known now in any case
}

static enum lorac_status train(struct lorac_net *net, const struct lorac_info *info, uint8_t *pixels,
                               struct lorac_error *error)
{
    int32_t labels[BATCH];
    const struct lorac_images images = {LORAC_PIXELS_U8, pixels, BATCH};
    for (int step = 1; step <= STEPS; step++) {
        struct lorac_step_result result;
        make_batch(pixels, labels, info);
        LORAC_TRY(lorac_train_batch(net, &images, labels, NULL, &result, error));
        if (step == 1 || step % 10 == 0)
            printf("step %d: loss %.4f, %zu of %d right\n", step, result.loss, result.correct, BATCH);
    }
    struct lorac_evaluation evaluation;
    make_batch(pixels, labels, info); // images that the net has not seen
    LORAC_TRY(lorac_evaluate(net, &images, labels, show_progress, NULL, &evaluation, error));
    printf("new images: loss %.4f, %zu of %zu right\n", evaluation.loss, evaluation.correct, evaluation.images);
    return LORAC_OK;
}

int main(int argc, char **argv)
{
    struct lorac_error error = {0};
    struct lorac_net *net = NULL;
    struct lorac_info info;
    uint8_t *pixels = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: example_train injected.onnx trained.onnx (lorac %s)\n", lorac_version());
        return 2;
    }
    enum lorac_status status = lorac_open(argv[1], &net, &error);
    if (status == LORAC_OK)
        status = prepare(net, &info, &error);
    if (status == LORAC_OK) {
        pixels = malloc(BATCH * info.height * info.width * info.channels);
        status = pixels ? train(net, &info, pixels, &error) : LORAC_ERROR_MEMORY;
    }
    if (status == LORAC_OK)
        status = lorac_save(net, argv[2], &error);
    if (status != LORAC_OK)
        fprintf(stderr, "example_train: status %d: %s\n", (int)status, error.message);
    free(pixels);
    lorac_close(net);
    return status == LORAC_OK ? 0 : 1;
}
