#include "image_files.h"

#include "loader.h"

#include <stdlib.h>

// Of each image on its way from the file beside the pixels that stay: the file's bytes and what zlib or libjpeg take, and
// what was decoded before it is made smaller (of a JPEG up to four times as high and wide, of a PNG all of it).
enum { DECODE_BYTES = 1000000, DECODE_IMAGES = 16 };

static enum lorac_status decode(void *context, size_t index, struct lorac_stored_image *out, struct lorac_error *error)
{
    const struct lorac_image_files *files = context;
    const size_t number = files->first + index;
    struct lorac_stored_image image;
    LORAC_TRY(lorac_image_file_read(files->list.paths[number], &files->target, &image, error));
    enum lorac_status status = lorac_corrupt_image(&files->corrupt, image.pixels, image.height, image.width,
                                                   files->target.channels, files->corrupt_seed, number, error);
    if (status == LORAC_OK)
        *out = image;
    else
        free(image.pixels);
    return status;
}

enum lorac_status lorac_image_files_open(const struct lorac_dataset_options *options, struct lorac_image_files **out,
                                         struct lorac_error *error)
{
    struct lorac_image_files *files = calloc(1, sizeof *files);
    if (!files)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the list of images");
    files->target = (struct lorac_image_target){
        .channels = options->channels, .height = options->height, .width = options->width, .resize = options->resize};
    const struct lorac_class_names known = {options->class_count, options->class_names};
    enum lorac_status status = lorac_image_target_check(&files->target, error);
    if (status == LORAC_OK)
        status = lorac_image_list_open(options->images_path, options->class_count > 0 ? &known : NULL, &files->list,
                                       error);
    if (status == LORAC_OK)
        *out = files;
    else
        lorac_image_files_free(files);
    return status;
}

// The smallest that a stored image can be.
static size_t least_bytes(const struct lorac_image_target *target)
{
    const size_t area = target->resize > 0 ? target->resize * target->resize : target->height * target->width;
    return area * target->channels;
}

enum lorac_status lorac_image_files_load(struct lorac_image_files *files, size_t count,
                                         const struct lorac_loader_options *options, struct lorac_loader **out,
                                         struct lorac_error *error)
{
    const struct lorac_loader_source source = {.decode = decode,
                                               .context = files,
                                               .count = count,
                                               .channels = files->target.channels,
                                               .image_bytes = least_bytes(&files->target),
                                               .decode_bytes = DECODE_BYTES + DECODE_IMAGES * least_bytes(&files->target)};
    return lorac_loader_create(&source, options, out, error);
}

void lorac_image_files_free(struct lorac_image_files *files)
{
    if (!files)
        return;
    lorac_image_list_clear(&files->list);
    free(files);
}
