// image_to_npy CHANNELS HEIGHT WIDTH RESIZE FILE OUT.npy: the stored image of a file as uint8 [h, w, c], for comparison
// with another reader. A refused file's message goes to standard error, with exit code 1.
#include "data_files.h"

#include "runtime/data/image_file.h"

static struct bytes header;

int main(int argc, char **argv)
{
    REQUIRE(argc == 7);
    const struct lorac_image_target target = {strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10),
                                              strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10)};
    struct lorac_stored_image image;
    struct lorac_error error = {0};
    if (lorac_image_file_read(argv[5], &target, &image, &error) != LORAC_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    char shape[96];
    snprintf(shape, sizeof shape, "(%zu, %zu, %zu)", image.height, image.width, target.channels);
    put_npy(&header, "|u1", shape, "", 0);
    FILE *file = fopen(argv[6], "wb");
    const size_t byte_count = image.height * image.width * target.channels;
    REQUIRE(file != NULL && fwrite(header.at, 1, header.count, file) == header.count);
    REQUIRE(fwrite(image.pixels, 1, byte_count, file) == byte_count && fclose(file) == 0);
    free(image.pixels);
    return 0;
}
