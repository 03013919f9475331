/* Open files, no more than a bound at a time, for objects that are read now and then.
 *
 * A handle stands for one file; it is opened when it is first read and again whenever it is read after the cache has
 * closed it. A read pins it for as long as it takes; handles without a pin are closed when there are too many, those
 * first that were not read since the cache last looked (a clock: second chance, which is nearly the order of use and
 * costs a read no lock). Pinned handles may exceed the bound, by one a thread that reads.
 *
 * A file whose name goes away or gets another file (handle_cache_lock_name) is opened before and stays open until its
 * handle goes: whoever has a handle reads what was there when it was made. Such files are not counted.
 *
 * Threads: all functions from any; handle_deinit when nobody else uses the handle. One lock inside, never held over the
 * opening or closing of a file but in handle_cache_lock_name. */
#ifndef PLINTH_STORE_HANDLE_CACHE_H
#define PLINTH_STORE_HANDLE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/env.h"

struct handle_cache;

/* The owner's memory; touched by the cache only. */
struct handle {
    const char *path;               /* the owner's, as long as the handle */
    atomic_uint_fast64_t state;     /* pins, and whether it is open and was used: handle_cache.c */
    struct env_file *file;          /* while open */
    bool is_kept;                   /* the name is gone: stays open, and is in no ring */
    struct handle *next, *previous; /* ring of open handles */
    struct handle *same_hash;       /* all handles by path */
    uint64_t hash;
};

/* `open_max`: at least 1. */
PLINTH_MUST_CHECK enum plinth_status handle_cache_create(struct env *env, uint32_t open_max,
                                                         struct handle_cache **cache, struct plinth_error *error);
/* All handles must be gone. Null is allowed. */
void handle_cache_destroy(struct handle_cache *cache);

/* Makes a handle of a file that need not be opened yet. */
void handle_init(struct handle_cache *cache, struct handle *handle, const char *path);
/* Closes the file if it is open. */
void handle_deinit(struct handle_cache *cache, struct handle *handle);

/* The open file, which stays so until handle_release. Statuses of env_open. */
PLINTH_MUST_CHECK enum plinth_status handle_acquire(struct handle_cache *cache, struct handle *handle,
                                                    struct env_file **file, struct plinth_error *error);
void handle_release(struct handle *handle);

/* Before the file at `path` is removed or replaced: opens the handles that stand for it, and keeps others from being
 * made until handle_cache_unlock_name, which follows in any case. */
PLINTH_MUST_CHECK enum plinth_status handle_cache_lock_name(struct handle_cache *cache, const char *path,
                                                            struct plinth_error *error);
void handle_cache_unlock_name(struct handle_cache *cache);

/* How many files are open, those without a name not counted. */
uint32_t handle_cache_open_count(struct handle_cache *cache);

#endif
