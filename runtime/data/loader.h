// Images of a set that does not lie in memory, decoded by threads of their own ahead of use.
//
// A pass goes through the set in an order: position p of it is image order[p]. Threads decode positions one after the
// other, each its own, while the caller works on the images that it took; they stop where queue_bytes are waiting.
// Images are taken in the order of the positions, whatever was ready first, and what is said about broken ones is said
// when they are taken: nothing depends on the number of threads, or on time. The first images stay decoded for the next
// pass where the whole set seems to fit.
//
// An image that cannot be read (IO, FORMAT, UNSUPPORTED) is broken: its place stays empty, or is taken by the next image
// of the order that can be read. Where more than a share of the set is broken the pass ends.
//
// Images of unusual shape may be larger than the smallest that a set may hold. The cache stops at twice the size of a
// set of smallest images; what does not fit is decoded in each pass.
//
// One thread at a time may call the functions below; lorac_loader_image may be called by several.
#ifndef LORAC_LOADER_H
#define LORAC_LOADER_H

#include "dataset.h"
#include "image_file.h" // struct lorac_stored_image

struct lorac_loader;

// Where the images come from. decode gives image [index], u8 [height, width, channels] in a malloc'ed block, or fails;
// it is called by several threads at once. A broken image's message names it. Any other status than IO, FORMAT and
// UNSUPPORTED ends the pass.
struct lorac_loader_source {
    enum lorac_status (*decode)(void *context, size_t index, struct lorac_stored_image *out, struct lorac_error *error);
    void *context;
    size_t count;       // images of the set, at least 1
    size_t channels;    // of every image
    size_t image_bytes; // of the smallest that decode may give, at least 1
    size_t decode_bytes; // that decode takes for a while, about
};

struct lorac_loader_options {
    size_t threads;      // at least 1
    size_t batch;        // images that are taken at once, at most
    size_t queue_bytes;  // of images that were not taken yet; one at least is decoded ahead where this is not 0
    size_t cache_bytes;  // of images that stay decoded; none where the smallest that the set may be is more
    double broken_share; // of the set's images that may be broken, 0 .. 1
};

// Does not start anything. [source]->context must live as long as the loader. Errors: MEMORY.
enum lorac_status lorac_loader_create(const struct lorac_loader_source *source,
                                      const struct lorac_loader_options *options, struct lorac_loader **out,
                                      struct lorac_error *error);
void lorac_loader_free(struct lorac_loader *loader); // waits for its threads; accepts NULL

// Another size of the cache than at creation; before the first pass.
void lorac_loader_set_cache(struct lorac_loader *loader, size_t cache_bytes);
// What it will take at most; 0: nothing is kept.
size_t lorac_loader_cache_bytes(const struct lorac_loader *loader);

size_t lorac_loader_thread_count(const struct lorac_loader *loader);

// What it may hold at most, about, in its cache and beside it, with so many threads (0: those that it has).
size_t lorac_loader_bytes(const struct lorac_loader *loader, size_t threads);

// Called by lorac_loader_take for each broken image that it comes across for the first time; [message] names it.
typedef void (*lorac_loader_broken)(void *context, size_t index, const char *message);
// [callback] NULL: none, which is the default.
void lorac_loader_set_broken(struct lorac_loader *loader, lorac_loader_broken callback, void *context);

struct lorac_loader_pass {
    const uint32_t *order; // [count], copied; NULL: 0, 1, 2, ...
    size_t count;          // positions of the order
    size_t first, end;     // the positions that will be taken: [first, end)
    bool replace;          // broken images, by the next of the order (after the last comes the first) that can be read
};

// Begins a pass; one that is running ends, and what was taken of it is gone. Errors: MEMORY (also where no thread could
// be started).
enum lorac_status lorac_loader_start(struct lorac_loader *loader, const struct lorac_loader_pass *pass,
                                     struct lorac_error *error);

// Says which pass will be started next: threads go on with its images where all of the present pass are decoded, within
// the same queue. A start of exactly this pass, once all of the present one is taken, goes on with them; any other
// start forgets it. Once for each pass, after its start. Errors: MEMORY.
enum lorac_status lorac_loader_follow(struct lorac_loader *loader, const struct lorac_loader_pass *pass,
                                      struct lorac_error *error);

// Takes the next [count] positions of the pass (of which there must be as many), and waits until they are decoded. What
// was taken before is gone. Errors: FORMAT (more than the share is broken, with the names of the first; nothing can be
// read at all), those of decode that end the pass.
enum lorac_status lorac_loader_take(struct lorac_loader *loader, size_t count, struct lorac_error *error);

struct lorac_loaded {
    struct lorac_image image; // valid until the next take or start; pixels NULL where broken
    size_t index;             // of the image in the set: another than the order's where that one was replaced
    bool broken;              // never with struct lorac_loader_pass' replace
};

// The i-th of the images taken last.
struct lorac_loaded lorac_loader_image(const struct lorac_loader *loader, size_t i);

// How many images of the set may be broken.
size_t lorac_loader_broken_limit(const struct lorac_loader *loader);
// Broken images that takes came across so far, and whether image [index] of the set is one of them.
size_t lorac_loader_broken_count(const struct lorac_loader *loader);
bool lorac_loader_is_broken(struct lorac_loader *loader, size_t index);
// These images, in rising order: indices[lorac_loader_broken_count].
void lorac_loader_list_broken(struct lorac_loader *loader, uint32_t *indices);

// For a run that goes on: image [index] is broken, as if a take of then had come across it. It is not decoded any more,
// and the callback is not called; [message] names it. Not while a pass is running. Errors: MEMORY.
enum lorac_status lorac_loader_count_broken(struct lorac_loader *loader, size_t index, const char *message,
                                            struct lorac_error *error);

#endif
