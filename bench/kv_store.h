/* A key-value store as the workload of `kv_workload.c` sees it. Each peer is one file that implements this and becomes
 * a program of its own, kv_NAME, with the workload linked in; so no store shares memory or background threads with
 * another. Any failure ends the program (bench_die). */
#ifndef PLINTH_BENCH_KV_STORE_H
#define PLINTH_BENCH_KV_STORE_H

#include "measure.h"

struct kv_options {
    const char *directory; /* exists and is empty */
    uint64_t
        cache_bytes; /* for decoded or uncompressed blocks; a store that maps its file has the page cache instead */
    uint64_t memory_bytes; /* of a memtable */
    uint64_t data_bytes;   /* that will be written at most; for stores that have to know */
    bool synced;           /* writes are on the disk when they return; else they are with the operating system */
};

/* BENCH_KEY_BYTES and BENCH_VALUE_BYTES. */
struct kv_pair {
    char key[BENCH_KEY_BYTES];
    uint8_t value[BENCH_VALUE_BYTES];
};

struct kv_store;

/* "rocksdb 7.8.3 (static, NDEBUG)" */
const char *kv_store_title(void);
struct kv_store *kv_store_open(const struct kv_options *options);
void kv_store_close(struct kv_store *store);

/* The calls below may come from any thread, and side by side. */
void kv_store_set(struct kv_store *store, const struct kv_pair *pair);
/* One atomic write of up to 1,024 pairs. */
void kv_store_batch(struct kv_store *store, const struct kv_pair *pairs, size_t count);
/* False when there is no such key. */
bool kv_store_get(struct kv_store *store, const char key[BENCH_KEY_BYTES], uint8_t value[BENCH_VALUE_BYTES]);
/* Reads keys and values of up to `rows` rows from the first key that is not below `key` on; how many there were. */
unsigned kv_store_scan(struct kv_store *store, const char key[BENCH_KEY_BYTES], unsigned rows);

/* Writes out what is in memory and returns when no merge is due any more. */
void kv_store_settle(struct kv_store *store);
/* Merges everything into what is best to read. */
void kv_store_compact(struct kv_store *store);
/* Of the files that hold rows, without the log. */
uint64_t kv_store_bytes(struct kv_store *store);

#endif
