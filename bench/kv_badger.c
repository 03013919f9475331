/* kv_badger: BadgerDB, for kv_workload.c, through the C functions that badger.go exports. */
#include <stdlib.h>
#include <string.h>

#include "kv_store.h"
#include "libkv_badger.h"

struct kv_store {
    GoInt handle;
};

static void check(char *error) {
    if (error) bench_die("badger: %s", error);
}

const char *kv_store_title(void) { return "badger v4.2.0"; }

struct kv_store *kv_store_open(const struct kv_options *options) {
    struct kv_store *store = calloc(1, sizeof *store);
    if (!store) bench_die("out of memory");
    check(badger_open((char *)options->directory, options->cache_bytes, options->memory_bytes, options->synced,
                      &store->handle));
    return store;
}

void kv_store_close(struct kv_store *store) {
    check(badger_close(store->handle));
    free(store);
}

void kv_store_set(struct kv_store *store, const struct kv_pair *pair) {
    check(badger_write(store->handle, (void *)pair, 1, sizeof pair->key, sizeof pair->value));
}

void kv_store_batch(struct kv_store *store, const struct kv_pair *pairs, size_t count) {
    check(badger_write(store->handle, (void *)pairs, (GoInt)count, sizeof pairs->key, sizeof pairs->value));
}

bool kv_store_get(struct kv_store *store, const char key[BENCH_KEY_BYTES], uint8_t value[BENCH_VALUE_BYTES]) {
    GoUint8 found = 0;
    check(badger_get(store->handle, (void *)key, BENCH_KEY_BYTES, value, BENCH_VALUE_BYTES, &found));
    return found;
}

unsigned kv_store_scan(struct kv_store *store, const char key[BENCH_KEY_BYTES], unsigned rows) {
    GoInt count = 0;
    check(badger_scan(store->handle, (void *)key, BENCH_KEY_BYTES, (GoInt)rows, &count));
    return (unsigned)count;
}

void kv_store_settle(struct kv_store *store) { check(badger_settle(store->handle)); }

void kv_store_compact(struct kv_store *store) { check(badger_compact(store->handle)); }

uint64_t kv_store_bytes(struct kv_store *store) { return badger_bytes(store->handle); }
