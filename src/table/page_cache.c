/* 64 shards, each a chained hash table under its own mutex, which is held for a lookup only: for tens of nanoseconds.
 * All that belongs to one stripe (its keys, its columns) lies in one shard.
 *
 * Eviction is second chance: a shard's clock hand walks its buckets; an entry that was used since the hand last came by
 * loses its mark and stays, another one goes. The bound is on the sum of all shards, so that one large entry does not
 * have to fit into a 64th of the memory: an insert that goes over it evicts from its own shard first, then from the
 * others, never holding two shards' locks. Entries are destroyed outside the locks. */
#include "table/page_cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum {
    SHARD_COUNT = 64,
    BUCKETS_FIRST = 64,
    ROUNDS_MAX = 2, /* over all shards: the first may only take marks */
};

struct shard {
    pthread_mutex_t mutex;
    struct page_cache_entry **buckets; /* guarded by mutex, as is all below */
    size_t bucket_count;               /* a power of two */
    size_t entries;
    size_t hand;
    uint64_t hits, misses, evictions;
} __attribute__((aligned(64)));

struct page_cache {
    atomic_uint_fast64_t bytes_max;
    atomic_uint_fast64_t bytes __attribute__((aligned(64)));
    struct shard shards[SHARD_COUNT];
};

static inline uint64_t key_hash(struct page_cache_key key) {
    uint64_t hash = (key.segment * UINT64_C(0x9e3779b97f4a7c15)) ^ key.stripe;
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static inline struct shard *shard_of(struct page_cache *cache, struct page_cache_key key) {
    return &cache->shards[key_hash((struct page_cache_key){key.segment, (uint32_t)key.stripe}) >> 58];
}

static inline struct page_cache_entry **bucket_of(struct shard *shard, uint64_t hash) {
    return &shard->buckets[hash & (shard->bucket_count - 1)];
}

static inline bool key_equal(struct page_cache_key a, struct page_cache_key b) {
    return a.segment == b.segment && a.stripe == b.stripe;
}

enum plinth_status page_cache_create(uint64_t bytes_max, struct page_cache **cache, struct plinth_error *error) {
    *cache = NULL;
    struct page_cache *created = aligned_alloc(64, sizeof *created);
    if (!created) return error_no_memory(error, "page cache");
    memset(created, 0, sizeof *created);
    atomic_init(&created->bytes_max, bytes_max);
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &created->shards[i];
        pthread_mutex_init(&shard->mutex, NULL);
        shard->bucket_count = BUCKETS_FIRST;
        shard->buckets = calloc(BUCKETS_FIRST, sizeof *shard->buckets);
        if (!shard->buckets) {
            page_cache_destroy(created);
            return error_no_memory(error, "page cache");
        }
    }
    *cache = created;
    return PLINTH_OK;
}

static void unref_list(struct page_cache_entry *list) {
    while (list) {
        struct page_cache_entry *next = list->next;
        page_cache_unref(list);
        list = next;
    }
}

void page_cache_destroy(struct page_cache *cache) {
    if (!cache) return;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        for (size_t b = 0; shard->buckets && b < shard->bucket_count; b++) unref_list(shard->buckets[b]);
        free(shard->buckets);
        pthread_mutex_destroy(&shard->mutex);
    }
    free(cache);
}

void page_cache_unref(struct page_cache_entry *entry) {
    if (entry && atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1) entry->destroy(entry);
}

/* With the shard's lock held. */
static struct page_cache_entry *find_locked(struct shard *shard, uint64_t hash, struct page_cache_key key) {
    struct page_cache_entry *entry = *bucket_of(shard, hash);
    while (entry && !key_equal(entry->key, key)) entry = entry->next;
    if (!entry) return NULL;
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    /* A store only when needed keeps the line shared between readers. */
    if (!atomic_load_explicit(&entry->recent, memory_order_relaxed))
        atomic_store_explicit(&entry->recent, true, memory_order_relaxed);
    return entry;
}

struct page_cache_entry *page_cache_find(struct page_cache *cache, struct page_cache_key key) {
    uint64_t hash = key_hash(key);
    struct shard *shard = shard_of(cache, key);
    pthread_mutex_lock(&shard->mutex);
    struct page_cache_entry *entry = find_locked(shard, hash, key);
    if (entry) {
        shard->hits++;
    } else {
        shard->misses++;
    }
    pthread_mutex_unlock(&shard->mutex);
    return entry;
}

void page_cache_find_all(struct page_cache *cache, const struct page_cache_key *keys, uint32_t count,
                         struct page_cache_entry **entries) {
    if (!count) return;
    uint64_t hashes[PAGE_CACHE_KEYS_MAX];
    struct shard *shard = shard_of(cache, keys[0]);
    for (uint32_t i = 0; i < count; i++) hashes[i] = key_hash(keys[i]);
    pthread_mutex_lock(&shard->mutex);
    for (uint32_t i = 0; i < count; i++) __builtin_prefetch(bucket_of(shard, hashes[i]));
    for (uint32_t i = 0; i < count; i++) __builtin_prefetch(*bucket_of(shard, hashes[i]), 1);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = find_locked(shard, hashes[i], keys[i]);
        if (entries[i]) __builtin_prefetch(entries[i] + 1); /* what follows its head */
        shard->hits += entries[i] != NULL;
        shard->misses += entries[i] == NULL;
    }
    pthread_mutex_unlock(&shard->mutex);
}

/* Twice the buckets, when memory allows: longer chains are only slower. */
static void grow_locked(struct shard *shard) {
    size_t count = shard->bucket_count * 2;
    struct page_cache_entry **buckets = calloc(count, sizeof *buckets);
    if (!buckets) return;
    for (size_t b = 0; b < shard->bucket_count; b++) {
        struct page_cache_entry *entry = shard->buckets[b];
        while (entry) {
            struct page_cache_entry *next = entry->next, **into = &buckets[key_hash(entry->key) & (count - 1)];
            entry->next = *into;
            *into = entry;
            entry = next;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

/* Takes `*at` out of its chain and puts it in front of `out`. */
static void take_out(struct page_cache *cache, struct shard *shard, struct page_cache_entry **at,
                     struct page_cache_entry **out) {
    struct page_cache_entry *entry = *at;
    *at = entry->next;
    entry->next = *out;
    *out = entry;
    shard->entries--;
    atomic_fetch_sub_explicit(&cache->bytes, entry->bytes, memory_order_relaxed);
}

static uint64_t bytes_max(const struct page_cache *cache) {
    return atomic_load_explicit(&cache->bytes_max, memory_order_relaxed);
}

static bool is_over(struct page_cache *cache) {
    return atomic_load_explicit(&cache->bytes, memory_order_relaxed) > bytes_max(cache);
}

/* Moves the hand until the cache fits, at most once round; `keep` stays. */
static void evict_locked(struct page_cache *cache, struct shard *shard, const struct page_cache_entry *keep,
                         struct page_cache_entry **out) {
    for (size_t left = shard->bucket_count; left > 0 && is_over(cache); left--) {
        struct page_cache_entry **at = &shard->buckets[shard->hand];
        while (*at && is_over(cache)) {
            if (*at == keep || atomic_exchange_explicit(&(*at)->recent, false, memory_order_relaxed)) {
                at = &(*at)->next;
            } else {
                take_out(cache, shard, at, out);
                shard->evictions++;
            }
        }
        shard->hand = (shard->hand + 1) & (shard->bucket_count - 1);
    }
}

static void evict(struct page_cache *cache, size_t first_shard, const struct page_cache_entry *keep) {
    for (size_t i = 0; i < ROUNDS_MAX * SHARD_COUNT && is_over(cache); i++) {
        struct shard *shard = &cache->shards[(first_shard + i) % SHARD_COUNT];
        struct page_cache_entry *out = NULL;
        pthread_mutex_lock(&shard->mutex);
        evict_locked(cache, shard, keep, &out);
        pthread_mutex_unlock(&shard->mutex);
        unref_list(out);
    }
}

void page_cache_set_bound(struct page_cache *cache, uint64_t bytes) {
    atomic_store_explicit(&cache->bytes_max, bytes, memory_order_relaxed);
    if (is_over(cache)) evict(cache, 0, NULL);
}

struct page_cache_entry *page_cache_insert(struct page_cache *cache, struct page_cache_entry *entry) {
    entry->next = NULL;
    if (entry->bytes > bytes_max(cache)) { /* would throw out everything else and still not fit */
        atomic_init(&entry->references, 1);
        return entry;
    }
    atomic_init(&entry->references, 2);
    atomic_init(&entry->recent, true);
    uint64_t hash = key_hash(entry->key);
    struct shard *shard = shard_of(cache, entry->key);
    pthread_mutex_lock(&shard->mutex);
    struct page_cache_entry *faster = find_locked(shard, hash, entry->key);
    if (!faster) {
        if (shard->entries >= shard->bucket_count) grow_locked(shard);
        struct page_cache_entry **bucket = bucket_of(shard, hash);
        entry->next = *bucket;
        *bucket = entry;
        shard->entries++;
        atomic_fetch_add_explicit(&cache->bytes, entry->bytes, memory_order_relaxed);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (faster) {
        entry->destroy(entry);
        return faster;
    }
    if (is_over(cache)) evict(cache, (size_t)(shard - cache->shards), entry);
    return entry;
}

void page_cache_forget(struct page_cache *cache, uint64_t segment) {
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        struct page_cache_entry *out = NULL;
        pthread_mutex_lock(&shard->mutex);
        for (size_t b = 0; b < shard->bucket_count; b++) {
            struct page_cache_entry **at = &shard->buckets[b];
            while (*at) {
                if ((*at)->key.segment == segment) {
                    take_out(cache, shard, at, &out);
                } else {
                    at = &(*at)->next;
                }
            }
        }
        pthread_mutex_unlock(&shard->mutex);
        unref_list(out);
    }
}

void page_cache_stats(struct page_cache *cache, struct page_cache_stats *stats) {
    *stats = (struct page_cache_stats){.bytes = atomic_load_explicit(&cache->bytes, memory_order_relaxed)};
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->mutex);
        stats->entries += shard->entries;
        stats->hits += shard->hits;
        stats->misses += shard->misses;
        stats->evictions += shard->evictions;
        pthread_mutex_unlock(&shard->mutex);
    }
}
