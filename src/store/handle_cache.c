#include "store/handle_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

/* handle.state: pins below, flags above. A pin is taken without the lock while HANDLE_OPEN is set; HANDLE_OPEN is set
 * (release) and, without pins, taken away (one exchange) with the lock held. */
#define HANDLE_OPEN (UINT64_C(1) << 63)
#define HANDLE_USED (UINT64_C(1) << 62) /* again, since it was opened or the clock's hand passed */
#define HANDLE_PINS (HANDLE_USED - 1)

enum { BUCKETS_MIN = 64, CLOSED_AT_ONCE = 16 };

struct handle_cache {
    struct env *env;
    uint32_t open_max;
    pthread_mutex_t mutex;
    struct handle *hand; /* in the ring of open handles; null: it is empty */
    uint32_t open_count; /* in the ring */
    struct handle **buckets;
    size_t bucket_count; /* a power of two */
    size_t handle_count;
};

enum plinth_status handle_cache_create(struct env *env, uint32_t open_max, struct handle_cache **cache,
                                       struct plinth_error *error) {
    *cache = calloc(1, sizeof **cache);
    struct handle **buckets = calloc(BUCKETS_MIN, sizeof(struct handle *));
    if (!*cache || !buckets) {
        free(*cache);
        free(buckets);
        *cache = NULL;
        return error_no_memory(error, "file handles");
    }
    (*cache)->env = env;
    (*cache)->open_max = open_max ? open_max : 1;
    (*cache)->buckets = buckets;
    (*cache)->bucket_count = BUCKETS_MIN;
    pthread_mutex_init(&(*cache)->mutex, NULL);
    return PLINTH_OK;
}

void handle_cache_destroy(struct handle_cache *cache) {
    if (!cache) return;
    assert(!cache->handle_count);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->buckets);
    free(cache);
}

/* ---- handles by path; the lock is held ---- */

static struct handle **bucket_of(const struct handle_cache *cache, uint64_t hash) {
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

/* Without memory the chains only get longer. */
static void grow_buckets(struct handle_cache *cache) {
    struct handle **before = cache->buckets, **buckets = calloc(cache->bucket_count * 2, sizeof(struct handle *));
    size_t count = cache->bucket_count;
    if (!buckets) return;
    cache->buckets = buckets;
    cache->bucket_count = count * 2;
    for (size_t i = 0; i < count; i++) {
        for (struct handle *handle = before[i], *next; handle; handle = next) {
            next = handle->same_hash;
            struct handle **bucket = bucket_of(cache, handle->hash);
            handle->same_hash = *bucket;
            *bucket = handle;
        }
    }
    free(before);
}

/* ---- the ring; the lock is held ---- */

static void ring_add(struct handle_cache *cache, struct handle *handle) {
    if (cache->hand) { /* behind the hand: it comes there last */
        handle->next = cache->hand;
        handle->previous = cache->hand->previous;
        handle->previous->next = handle->next->previous = handle;
    } else {
        cache->hand = handle->next = handle->previous = handle;
    }
    cache->open_count++;
}

static void ring_remove(struct handle_cache *cache, struct handle *handle) {
    handle->previous->next = handle->next;
    handle->next->previous = handle->previous;
    if (cache->hand == handle) cache->hand = handle->next == handle ? NULL : handle->next;
    handle->next = handle->previous = NULL;
    cache->open_count--;
}

/* Takes a file that nobody reads out of the ring; null when all are pinned. */
static struct env_file *ring_take(struct handle_cache *cache) {
    for (uint64_t left = 2 * (uint64_t)cache->open_count; left; left--) {
        struct handle *handle = cache->hand;
        uint64_t state = atomic_load_explicit(&handle->state, memory_order_relaxed);
        cache->hand = handle->next;
        if (state & HANDLE_PINS) continue;
        if (state & HANDLE_USED) {
            atomic_fetch_and_explicit(&handle->state, ~HANDLE_USED, memory_order_relaxed);
            continue;
        }
        /* acquire: what its readers did is done */
        if (!atomic_compare_exchange_strong_explicit(&handle->state, &state, 0, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        struct env_file *file = handle->file;
        handle->file = NULL;
        ring_remove(cache, handle);
        return file;
    }
    return NULL;
}

/* Files to be closed once the lock is free. */
struct closing {
    struct env_file *files[CLOSED_AT_ONCE];
    unsigned count;
};

static void take_down_to(struct handle_cache *cache, uint32_t count, struct closing *closing) {
    closing->count = 0;
    while (cache->open_count > count && closing->count < CLOSED_AT_ONCE) {
        struct env_file *file = ring_take(cache);
        if (!file) break;
        closing->files[closing->count++] = file;
    }
}

static void close_all(const struct closing *closing) {
    for (unsigned i = 0; i < closing->count; i++) file_close(closing->files[i]);
}

/* ---- a handle ---- */

void handle_init(struct handle_cache *cache, struct handle *handle, const char *path) {
    *handle = (struct handle){.path = path, .hash = hash_fast(path, strlen(path))};
    atomic_init(&handle->state, 0);
    pthread_mutex_lock(&cache->mutex);
    if (cache->handle_count == cache->bucket_count) grow_buckets(cache);
    struct handle **bucket = bucket_of(cache, handle->hash);
    handle->same_hash = *bucket;
    *bucket = handle;
    cache->handle_count++;
    pthread_mutex_unlock(&cache->mutex);
}

void handle_deinit(struct handle_cache *cache, struct handle *handle) {
    pthread_mutex_lock(&cache->mutex);
    struct handle **link = bucket_of(cache, handle->hash);
    while (*link != handle) link = &(*link)->same_hash;
    *link = handle->same_hash;
    cache->handle_count--;
    if (handle->next) ring_remove(cache, handle);
    struct env_file *file = handle->file;
    handle->file = NULL;
    pthread_mutex_unlock(&cache->mutex);
    file_close(file);
}

/* Pins it if it is open. */
static bool pin(struct handle *handle) {
    uint64_t state = atomic_load_explicit(&handle->state, memory_order_relaxed);
    while (state & HANDLE_OPEN) /* acquire, with the release of whoever opened it */
        if (atomic_compare_exchange_weak_explicit(&handle->state, &state, (state + 1) | HANDLE_USED,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

/* Not yet used: else the hand would find all of them used, and close what is read often like any other. */
static void publish(struct handle *handle, struct env_file *file, uint64_t pins) {
    handle->file = file;
    atomic_store_explicit(&handle->state, HANDLE_OPEN | pins, memory_order_release);
}

/* Takes `file` (null: it could not be opened) over for a handle that was closed, unless another thread was faster.
 * False when it is closed still. */
static bool settle(struct handle_cache *cache, struct handle *handle, struct env_file *file) {
    struct closing closing = {.count = 0};
    pthread_mutex_lock(&cache->mutex);
    bool there = pin(handle);
    bool opens = !there && file;
    if (opens) {
        take_down_to(cache, cache->open_max - 1, &closing);
        publish(handle, file, 1);
        ring_add(cache, handle);
    }
    pthread_mutex_unlock(&cache->mutex);
    close_all(&closing);
    if (!opens) file_close(file);
    return there || opens;
}

enum plinth_status handle_acquire(struct handle_cache *cache, struct handle *handle, struct env_file **file,
                                  struct plinth_error *error) {
    *file = NULL;
    if (!pin(handle)) {
        struct env_file *opened = NULL;
        enum plinth_status st = env_open(cache->env, handle->path, ENV_READ, &opened, error);
        bool there = settle(cache, handle, opened);
        if (!there && st != PLINTH_NOT_FOUND) {
            /* Perhaps the process has no descriptor left: with some of these closed it has. */
            struct closing closing;
            pthread_mutex_lock(&cache->mutex);
            take_down_to(cache, 0, &closing);
            pthread_mutex_unlock(&cache->mutex);
            close_all(&closing);
            if (closing.count) {
                st = env_open(cache->env, handle->path, ENV_READ, &opened, error);
                there = settle(cache, handle, opened);
            }
        }
        if (!there) return st;
        error_clear(error);
    }
    *file = handle->file;
    return PLINTH_OK;
}

void handle_release(struct handle *handle) {
    /* release: the file is closed behind what was done with it */
    atomic_fetch_sub_explicit(&handle->state, 1, memory_order_release);
}

/* ---- names that go ---- */

/* The lock is held. */
static enum plinth_status keep(struct handle_cache *cache, struct handle *handle, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (handle->is_kept) return PLINTH_OK;
    if (atomic_load_explicit(&handle->state, memory_order_relaxed) & HANDLE_OPEN) {
        ring_remove(cache, handle);
    } else {
        struct env_file *file = NULL;
        st = env_open(cache->env, handle->path, ENV_READ, &file, error);
        if (st && st != PLINTH_NOT_FOUND) {
            struct closing closing; /* as in handle_acquire */
            take_down_to(cache, 0, &closing);
            close_all(&closing);
            if (closing.count) st = env_open(cache->env, handle->path, ENV_READ, &file, error);
        }
        if (!st) {
            error_clear(error);
            publish(handle, file, 0);
        }
    }
    handle->is_kept = !st;
    return st;
}

enum plinth_status handle_cache_lock_name(struct handle_cache *cache, const char *path, struct plinth_error *error) {
    uint64_t hash = hash_fast(path, strlen(path));
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&cache->mutex);
    for (struct handle *handle = *bucket_of(cache, hash); handle && !st; handle = handle->same_hash) {
        if (handle->hash != hash || strcmp(handle->path, path) != 0) continue;
        st = keep(cache, handle, error);
        if (st == PLINTH_NOT_FOUND) { /* it was never there: whoever made the handle will find out */
            error_clear(error);
            st = PLINTH_OK;
        }
    }
    return st;
}

void handle_cache_unlock_name(struct handle_cache *cache) { pthread_mutex_unlock(&cache->mutex); }

uint32_t handle_cache_open_count(struct handle_cache *cache) {
    pthread_mutex_lock(&cache->mutex);
    uint32_t count = cache->open_count;
    pthread_mutex_unlock(&cache->mutex);
    return count;
}
