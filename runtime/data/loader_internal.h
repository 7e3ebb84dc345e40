// What the parts of the loader share: private to loader*.c.
#ifndef LORAC_LOADER_INTERNAL_H
#define LORAC_LOADER_INTERNAL_H

#include "loader.h"

#include <pthread.h>

enum { LORAC_LOADER_NAMED = 3 }; // broken images in the message where too many are

// What is known of an image once and for all.
struct broken {
    bool counted; // by a take
    char message[];
};

// A position of the pass from when a thread begins with it until the take after the one that takes it.
struct slot {
    bool done;
    bool owned; // pixels are the slot's own, not the cache's
    struct lorac_stored_image image;
    size_t index;
    size_t skipped; // broken images from the position on
};

struct order {
    uint32_t *images;
    size_t capacity;
};

struct lorac_loader {
    struct lorac_loader_source source;
    struct lorac_loader_options options;
    lorac_loader_broken callback;
    void *callback_context;
    size_t broken_limit; // more end the pass

    pthread_t *threads; // [options.threads]
    size_t thread_count;

    // Only for the caller.
    struct lorac_loaded *taken; // [options.batch]
    size_t taken_count;
    size_t broken_count, named_count;
    size_t named[LORAC_LOADER_NAMED];

    // The rest is guarded by the lock.
    pthread_mutex_t lock;
    pthread_cond_t work;  // for threads: there may be something to do
    pthread_cond_t ready; // for the caller: the position that it waits for is there, or no thread is busy
    bool stop, cancel;
    struct lorac_loader_pass pass, following; // count 0: none; their orders are the loader's own
    struct order orders[2];
    size_t present; // which of them is the pass's
    // Positions are counted on from one pass to the one that follows it.
    size_t begin, end;          // of the pass
    size_t last;                // the end of what follows it, or of itself
    size_t base;                // the first position that has a slot
    size_t taken_end;           // positions before it are taken, or being waited for
    size_t next;                // the position that is begun next
    size_t waiting;             // the position that the caller waits for
    size_t busy;                // threads that are decoding
    size_t queued_bytes;        // of slots that are done and not taken
    struct slot *slots;         // [slot_count], of position p: p % slot_count
    size_t slot_count;
    size_t failed;              // the first position that failed, SIZE_MAX: none
    struct lorac_error failure; // of that position

    struct lorac_stored_image *cache; // [source.count]; NULL: no cache
    size_t cached_bytes;
    struct broken **broken; // [source.count]
};

// The image [ahead] places behind [at] in the order of a pass; after the last comes the first.
static inline size_t lorac_loader_index_at(const struct lorac_loader_pass *pass, size_t at, size_t ahead)
{
    const size_t place = (at + ahead) % pass->count;
    return pass->order ? pass->order[place] : place;
}

// Keeps what is said of a broken image, where nothing was yet; [said] names it. Takes the lock.
enum lorac_status lorac_loader_note_broken(struct lorac_loader *loader, size_t index, const struct lorac_error *said,
                                           struct lorac_error *error);

// Counts the broken images from [position] on that were not met before, and names them. By the caller of take.
void lorac_loader_count_skipped(struct lorac_loader *loader, size_t position, size_t skipped);

// The error of a pass that ends for them.
enum lorac_status lorac_loader_too_many_broken(struct lorac_loader *loader, struct lorac_error *error);

#endif
