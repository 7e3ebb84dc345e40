#include "loader_internal.h"

#include "proto/size.h"

#include <assert.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AHEAD = 4096 }; // positions; in a cache they cost no bytes

// Sums of sizes for a budget: SIZE_MAX where they overflow.
static size_t multiplied(size_t a, size_t b)
{
    size_t product;
    return lorac_size_multiply(a, b, &product) ? product : SIZE_MAX;
}

static size_t added(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static size_t image_bytes(const struct lorac_loader *loader, const struct lorac_stored_image *image)
{
    return image->height * image->width * loader->source.channels; // it is in memory: no overflow
}

static struct slot *slot_of(struct lorac_loader *loader, size_t position)
{
    return &loader->slots[position % loader->slot_count];
}

// ---- threads

// A position in the hands of a thread.
struct job {
    size_t position, at;           // at: in the order of its pass
    struct lorac_loader_pass pass; // the loader may go on to it meanwhile
    struct slot result;
    enum lorac_status status;
    struct lorac_error error;
};

static bool is_broken(enum lorac_status status)
{
    return status == LORAC_ERROR_IO || status == LORAC_ERROR_FORMAT || status == LORAC_ERROR_UNSUPPORTED;
}

// Under the lock.
static bool may_begin(const struct lorac_loader *loader)
{
    if (loader->cancel || loader->failed != SIZE_MAX || loader->next >= loader->last ||
        loader->next - loader->base >= loader->slot_count)
        return false;
    return loader->next < loader->taken_end ||
           loader->queued_bytes + loader->busy * loader->source.image_bytes < loader->options.queue_bytes;
}

enum known { KNOWN_NOTHING, KNOWN_CACHED, KNOWN_BROKEN, KNOWN_CANCELLED };

static enum known look_up(struct lorac_loader *loader, size_t index, struct lorac_stored_image *cached)
{
    enum known known = KNOWN_NOTHING;
    pthread_mutex_lock(&loader->lock);
    if (loader->cancel)
        known = KNOWN_CANCELLED;
    else if (loader->broken[index])
        known = KNOWN_BROKEN;
    else if (loader->cache && loader->cache[index].pixels) {
        *cached = loader->cache[index];
        known = KNOWN_CACHED;
    }
    pthread_mutex_unlock(&loader->lock);
    return known;
}

// The first image from the job's position on that can be read: all that a thread does without the lock.
static enum lorac_status load(struct lorac_loader *loader, struct job *job)
{
    const struct lorac_loader_pass *pass = &job->pass;
    struct slot *result = &job->result;
    size_t tries = 1;
    if (pass->replace) // one more than may be broken is enough to end the pass
        tries = pass->count <= loader->broken_limit ? pass->count : loader->broken_limit + 1;
    for (; result->skipped < tries; result->skipped++) {
        result->index = lorac_loader_index_at(pass, job->at, result->skipped);
        enum known known = look_up(loader, result->index, &result->image);
        if (known == KNOWN_BROKEN)
            continue;
        if (known != KNOWN_NOTHING)
            return LORAC_OK;
        struct lorac_error *error = &job->error;
        enum lorac_status status = loader->source.decode(loader->source.context, result->index, &result->image, error);
        result->owned = status == LORAC_OK;
        if (!is_broken(status))
            return status;
        LORAC_TRY(lorac_loader_note_broken(loader, result->index, error, error));
    }
    result->image = (struct lorac_stored_image){0};
    return LORAC_OK;
}

// Keeps an image for the next pass where there is room; under the lock.
static void keep(struct lorac_loader *loader, struct slot *slot)
{
    struct lorac_stored_image *cached = &loader->cache[slot->index];
    const size_t bytes = image_bytes(loader, &slot->image);
    if (cached->pixels) // decoded twice at the same time
        free(slot->image.pixels);
    else if (bytes <= loader->options.cache_bytes - loader->cached_bytes) {
        *cached = slot->image;
        loader->cached_bytes += bytes;
    } else
        return;
    slot->image = *cached;
    slot->owned = false;
}

static void finish(struct lorac_loader *loader, struct job *job)
{
    loader->busy--;
    if (job->status != LORAC_OK) {
        if (job->position < loader->failed) {
            loader->failed = job->position;
            loader->failure = job->error;
        }
    } else {
        struct slot *slot = slot_of(loader, job->position);
        *slot = job->result;
        slot->done = true;
        if (slot->owned && loader->cache)
            keep(loader, slot);
        if (slot->owned && job->position >= loader->taken_end)
            loader->queued_bytes += image_bytes(loader, &slot->image);
    }
    if (loader->waiting >= job->position || (loader->cancel && loader->busy == 0))
        pthread_cond_signal(&loader->ready);
}

// Under the lock.
static void begin(struct lorac_loader *loader, struct job *job)
{
    const size_t position = loader->next++;
    const bool follows = position >= loader->end;
    *job = (struct job){.position = position, .pass = follows ? loader->following : loader->pass};
    job->at = job->pass.first + position - (follows ? loader->end : loader->begin);
    loader->busy++;
}

static void *run_thread(void *context)
{
    struct lorac_loader *loader = context;
    struct job job;
    pthread_mutex_lock(&loader->lock);
    for (;;) {
        while (!loader->stop && !may_begin(loader))
            pthread_cond_wait(&loader->work, &loader->lock);
        if (loader->stop)
            break;
        begin(loader, &job);
        pthread_mutex_unlock(&loader->lock);
        job.status = load(loader, &job);
        pthread_mutex_lock(&loader->lock);
        finish(loader, &job);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

// As many as there can be; signals are for the program's own threads.
static enum lorac_status start_threads(struct lorac_loader *loader, struct lorac_error *error)
{
    sigset_t all, before;
    int code = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (code == 0 && loader->thread_count < loader->options.threads) {
        code = pthread_create(&loader->threads[loader->thread_count], NULL, run_thread, loader);
        loader->thread_count += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (loader->thread_count == 0)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "cannot start a thread that decodes images: %s",
                               strerror(code));
    return LORAC_OK;
}

// ---- life cycle

static enum lorac_status allocate(struct lorac_loader *loader, struct lorac_error *error)
{
    const struct lorac_loader_options *options = &loader->options;
    const size_t ahead = options->queue_bytes / loader->source.image_bytes;
    loader->slot_count = options->batch + (ahead < MAX_AHEAD ? ahead + 1 : MAX_AHEAD);
    loader->slots = calloc(loader->slot_count, sizeof *loader->slots);
    loader->taken = calloc(options->batch, sizeof *loader->taken);
    loader->broken = calloc(loader->source.count, sizeof *loader->broken);
    loader->threads = calloc(options->threads, sizeof *loader->threads);
    if (!loader->slots || !loader->taken || !loader->broken || !loader->threads)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for loading %zu images", loader->source.count);
    return LORAC_OK;
}

enum lorac_status lorac_loader_create(const struct lorac_loader_source *source,
                                      const struct lorac_loader_options *options, struct lorac_loader **out,
                                      struct lorac_error *error)
{
    assert(source->count > 0 && source->image_bytes > 0 && options->threads > 0 && options->batch > 0);
    struct lorac_loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for loading %zu images", source->count);
    loader->source = *source;
    loader->options = *options;
    lorac_loader_set_cache(loader, options->cache_bytes);
    // 29 of 100 are not more than a share of 0.29, which as a double is a little less.
    loader->broken_limit = (size_t)floor((double)source->count * options->broken_share * (1 + 1e-12));
    loader->failed = SIZE_MAX;
    pthread_mutex_init(&loader->lock, NULL); // with default attributes none of these fails
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);
    enum lorac_status status = allocate(loader, error);
    if (status == LORAC_OK)
        *out = loader;
    else
        lorac_loader_free(loader);
    return status;
}

// Lets the slots of positions before [end] go; under the lock.
static void release(struct lorac_loader *loader, size_t end)
{
    for (; loader->base < end; loader->base++) {
        struct slot *slot = slot_of(loader, loader->base);
        if (slot->owned)
            free(slot->image.pixels);
        *slot = (struct slot){0};
    }
}

// Ends the pass: no thread works on it any more, and it holds no image.
static void end_pass(struct lorac_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    loader->cancel = true;
    while (loader->busy > 0)
        pthread_cond_wait(&loader->ready, &loader->lock);
    release(loader, loader->next);
    loader->queued_bytes = 0;
    loader->taken_count = 0;
    pthread_mutex_unlock(&loader->lock);
}

void lorac_loader_free(struct lorac_loader *loader)
{
    if (!loader)
        return;
    if (loader->slots)
        end_pass(loader);
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (size_t i = 0; i < loader->thread_count; i++)
        pthread_join(loader->threads[i], NULL);
    for (size_t i = 0; i < loader->source.count; i++) {
        if (loader->cache)
            free(loader->cache[i].pixels);
        if (loader->broken)
            free(loader->broken[i]);
    }
    pthread_mutex_destroy(&loader->lock);
    pthread_cond_destroy(&loader->work);
    pthread_cond_destroy(&loader->ready);
    free(loader->threads);
    free(loader->taken);
    free(loader->orders[0].images);
    free(loader->orders[1].images);
    free(loader->slots);
    free(loader->cache);
    free(loader->broken);
    free(loader);
}

void lorac_loader_set_cache(struct lorac_loader *loader, size_t cache_bytes)
{
    const size_t least = multiplied(loader->source.count, loader->source.image_bytes);
    assert(loader->thread_count == 0);
    if (least > cache_bytes)
        cache_bytes = 0;
    loader->options.cache_bytes = cache_bytes / 2 > least ? 2 * least : cache_bytes;
}

size_t lorac_loader_cache_bytes(const struct lorac_loader *loader)
{
    return loader->options.cache_bytes;
}

size_t lorac_loader_thread_count(const struct lorac_loader *loader)
{
    return loader->options.threads;
}

size_t lorac_loader_bytes(const struct lorac_loader *loader, size_t threads)
{
    const struct lorac_loader_options *options = &loader->options;
    if (threads == 0)
        threads = options->threads;
    // Of pictures three by four, the most frequent shape.
    const size_t image = loader->source.image_bytes + loader->source.image_bytes / 3;
    const size_t images = multiplied(options->batch + threads, image);
    const size_t decoding = multiplied(threads, loader->source.decode_bytes);
    const size_t lists = loader->source.count * (sizeof *loader->broken + 2 * sizeof *loader->pass.order) +
                         loader->slot_count * sizeof *loader->slots +
                         (options->cache_bytes > 0 ? loader->source.count * sizeof *loader->cache : 0);
    return added(added(images, decoding), added(added(lists, options->queue_bytes), options->cache_bytes));
}

// ---- a pass

// The pass with its order in a block of the loader's.
static enum lorac_status copy_pass(struct lorac_loader *loader, const struct lorac_loader_pass *pass, size_t block,
                                   struct lorac_loader_pass *copy, struct lorac_error *error)
{
    struct order *order = &loader->orders[block];
    assert(pass->first <= pass->end && pass->end <= pass->count && pass->count <= loader->source.count);
    *copy = *pass;
    if (!pass->order)
        return LORAC_OK;
    if (pass->count > order->capacity) {
        uint32_t *larger = realloc(order->images, pass->count * sizeof *larger); // count is the set's at most
        if (!larger)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for the order of %zu images", pass->count);
        order->images = larger;
        order->capacity = pass->count;
    }
    copy->order = memcpy(order->images, pass->order, pass->count * sizeof *pass->order);
    return LORAC_OK;
}

static bool is_same(const struct lorac_loader_pass *a, const struct lorac_loader_pass *b)
{
    return a->count == b->count && a->first == b->first && a->end == b->end && a->replace == b->replace &&
           (a->order && b->order ? memcmp(a->order, b->order, a->count * sizeof *a->order) == 0 : a->order == b->order);
}

// Whether [pass] is what follows, and all before it is taken; then it is the present one.
static bool go_on(struct lorac_loader *loader, const struct lorac_loader_pass *pass)
{
    pthread_mutex_lock(&loader->lock);
    const bool follows = loader->following.count > 0 && loader->taken_count > 0 && loader->taken_end == loader->end &&
                         loader->failed == SIZE_MAX && loader->last < SIZE_MAX / 2 && is_same(&loader->following, pass);
    if (follows) {
        loader->pass = loader->following;
        loader->following.count = 0;
        loader->present = !loader->present;
        loader->begin = loader->end;
        loader->end = loader->last;
        loader->taken_count = 0;
    }
    pthread_mutex_unlock(&loader->lock);
    return follows;
}

enum lorac_status lorac_loader_start(struct lorac_loader *loader, const struct lorac_loader_pass *pass,
                                     struct lorac_error *error)
{
    if (go_on(loader, pass))
        return LORAC_OK;
    end_pass(loader);
    LORAC_TRY(copy_pass(loader, pass, loader->present, &loader->pass, error));
    if (loader->options.cache_bytes > 0 && !loader->cache) {
        loader->cache = calloc(loader->source.count, sizeof *loader->cache);
        if (!loader->cache)
            return lorac_error_set(error, LORAC_ERROR_MEMORY, "out of memory for keeping %zu images",
                                   loader->source.count);
    }
    pthread_mutex_lock(&loader->lock);
    loader->following.count = 0;
    loader->begin = loader->base = loader->taken_end = loader->next = 0;
    loader->end = loader->last = pass->end - pass->first;
    loader->waiting = 0;
    loader->failed = SIZE_MAX;
    loader->cancel = false;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return loader->thread_count > 0 ? LORAC_OK : start_threads(loader, error);
}

enum lorac_status lorac_loader_follow(struct lorac_loader *loader, const struct lorac_loader_pass *pass,
                                      struct lorac_error *error)
{
    struct lorac_loader_pass following;
    assert(loader->pass.count > 0 && loader->following.count == 0);
    LORAC_TRY(copy_pass(loader, pass, !loader->present, &following, error));
    pthread_mutex_lock(&loader->lock);
    loader->following = following;
    loader->last = loader->end + (pass->end - pass->first);
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return LORAC_OK;
}

// Waits for [position], and makes it the i-th that is taken.
static enum lorac_status take_one(struct lorac_loader *loader, size_t position, size_t i, struct lorac_error *error)
{
    pthread_mutex_lock(&loader->lock);
    const struct slot *slot = slot_of(loader, position);
    loader->waiting = position;
    while (!slot->done && loader->failed > position)
        pthread_cond_wait(&loader->ready, &loader->lock);
    const bool failed = loader->failed <= position;
    const struct slot taken = *slot;
    if (failed && error)
        *error = loader->failure;
    const enum lorac_status status = failed ? loader->failure.status : LORAC_OK;
    pthread_mutex_unlock(&loader->lock);
    LORAC_TRY(status);
    lorac_loader_count_skipped(loader, position, taken.skipped);
    const bool broken = taken.image.pixels == NULL;
    if (loader->broken_count > loader->broken_limit || (broken && loader->pass.replace))
        return lorac_loader_too_many_broken(loader, error);
    loader->taken[i] =
        (struct lorac_loaded){{taken.image.pixels, taken.image.height, taken.image.width}, taken.index, broken};
    return LORAC_OK;
}

enum lorac_status lorac_loader_take(struct lorac_loader *loader, size_t count, struct lorac_error *error)
{
    assert(count <= loader->options.batch && count <= loader->end - loader->taken_end);
    loader->taken_count = 0;
    pthread_mutex_lock(&loader->lock);
    const size_t first = loader->taken_end;
    const enum lorac_status status = loader->failed < first ? loader->failure.status : LORAC_OK;
    if (status != LORAC_OK) { // a take before this one has said so
        if (error)
            *error = loader->failure;
        pthread_mutex_unlock(&loader->lock);
        return status;
    }
    release(loader, first);
    loader->taken_end += count;
    for (size_t p = first; p < loader->taken_end && p < loader->next; p++) {
        const struct slot *slot = slot_of(loader, p);
        if (slot->done && slot->owned)
            loader->queued_bytes -= image_bytes(loader, &slot->image);
    }
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (size_t i = 0; i < count; i++)
        LORAC_TRY(take_one(loader, first + i, i, error));
    loader->taken_count = count;
    return LORAC_OK;
}

struct lorac_loaded lorac_loader_image(const struct lorac_loader *loader, size_t i)
{
    assert(i < loader->taken_count);
    return loader->taken[i];
}
