/* Decoded row stripes for point reads, bounded by their true size in bytes.
 *
 * Sharded hash table with second-chance (clock) eviction; entries are reference-counted, so a stripe that is being
 * read outlives its eviction. Charged bytes are what the entry says it holds. */
#ifndef PLINTH_TABLE_PAGE_CACHE_H
#define PLINTH_TABLE_PAGE_CACHE_H

#include <stdatomic.h>
#include <stdint.h>

#include "plinth_status.h"

struct page_cache;

struct page_cache_key {
    uint64_t segment; /* unique in the process, never reused */
    uint64_t stripe;
};

/* The head of a cached object. `destroy` runs when the last reference goes. */
struct page_cache_entry {
    struct page_cache_key key;
    uint64_t bytes;
    atomic_uint references;
    void (*destroy)(struct page_cache_entry *);
    struct page_cache_entry *next; /* the cache's own */
    atomic_bool recent;            /* the cache's own */
};

PLINTH_MUST_CHECK enum plinth_status page_cache_create(uint64_t bytes_max, struct page_cache **cache,
                                                       struct plinth_error *error);
void page_cache_destroy(struct page_cache *cache);
/* Another bound; what is over it is evicted, but for entries that are being read. */
void page_cache_set_bound(struct page_cache *cache, uint64_t bytes_max);
/* A referenced entry, or null. Thread-safe, as all of these. */
struct page_cache_entry *page_cache_find(struct page_cache *cache, struct page_cache_key key);
/* The same for several keys of one stripe (equal segments and equal low halves of `stripe`), at most
 * PAGE_CACHE_KEYS_MAX: one lock, and their memory is fetched at once. */
enum { PAGE_CACHE_KEYS_MAX = 64 };
void page_cache_find_all(struct page_cache *cache, const struct page_cache_key *keys, uint32_t count,
                         struct page_cache_entry **entries);
/* Adds `entry`, which the caller filled (references is set to 2 here: the cache's and the caller's). When another
 * thread was faster, `entry` is destroyed and the other one returned, referenced. */
struct page_cache_entry *page_cache_insert(struct page_cache *cache, struct page_cache_entry *entry);
void page_cache_unref(struct page_cache_entry *entry);
/* Drops all entries of a segment, before its id goes out of use. */
void page_cache_forget(struct page_cache *cache, uint64_t segment);

struct page_cache_stats {
    uint64_t bytes, entries, hits, misses, evictions;
};
void page_cache_stats(struct page_cache *cache, struct page_cache_stats *stats);

#endif
