/* kv_rocksdb: RocksDB through its C API, for kv_workload.c; built twice: with the distribution's library, and with the
 * one that scripts/build_rocksdb.sh makes (optimised, without assertions). */
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kv_store.h"

#ifndef KV_ROCKSDB_TITLE
#define KV_ROCKSDB_TITLE "rocksdb"
#endif

struct kv_store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_cache_t *cache;
    rocksdb_block_based_table_options_t *table;
};

static void check(char *error) {
    if (error) bench_die("rocksdb: %s", error);
}

const char *kv_store_title(void) { return KV_ROCKSDB_TITLE; }

struct kv_store *kv_store_open(const struct kv_options *options) {
    struct kv_store *store = calloc(1, sizeof *store);
    if (!store) bench_die("out of memory");
    store->cache = rocksdb_cache_create_lru(options->cache_bytes);
    store->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(store->table, store->cache);
    rocksdb_block_based_options_set_filter_policy(store->table, rocksdb_filterpolicy_create_bloom_full(10));
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_set_block_based_table_factory(store->options, store->table);
    rocksdb_options_set_write_buffer_size(store->options, options->memory_bytes);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(store->options, 1);
    rocksdb_options_set_max_background_jobs(store->options, 2);
    rocksdb_options_set_bytes_per_sync(store->options, 1 << 20);
    /* As Plinth: LZ4 for what is young, ZSTD for what is merged. */
    rocksdb_options_set_compression(store->options, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(store->options, rocksdb_zstd_compression);
    store->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->write, options->synced);
    store->read = rocksdb_readoptions_create();
    char *error = NULL;
    store->db = rocksdb_open(store->options, options->directory, &error);
    check(error);
    return store;
}

void kv_store_close(struct kv_store *store) {
    rocksdb_close(store->db);
    rocksdb_readoptions_destroy(store->read);
    rocksdb_writeoptions_destroy(store->write);
    rocksdb_options_destroy(store->options);
    rocksdb_block_based_options_destroy(store->table);
    rocksdb_cache_destroy(store->cache);
    free(store);
}

void kv_store_set(struct kv_store *store, const struct kv_pair *pair) {
    char *error = NULL;
    rocksdb_put(store->db, store->write, pair->key, sizeof pair->key, (const char *)pair->value, sizeof pair->value,
                &error);
    check(error);
}

void kv_store_batch(struct kv_store *store, const struct kv_pair *pairs, size_t count) {
    static _Thread_local rocksdb_writebatch_t *batch;
    char *error = NULL;
    if (!batch) batch = rocksdb_writebatch_create();
    rocksdb_writebatch_clear(batch);
    for (size_t i = 0; i < count; i++)
        rocksdb_writebatch_put(batch, pairs[i].key, sizeof pairs[i].key, (const char *)pairs[i].value,
                               sizeof pairs[i].value);
    rocksdb_write(store->db, store->write, batch, &error);
    check(error);
}

bool kv_store_get(struct kv_store *store, const char key[BENCH_KEY_BYTES], uint8_t value[BENCH_VALUE_BYTES]) {
    char *error = NULL;
    rocksdb_pinnableslice_t *found = rocksdb_get_pinned(store->db, store->read, key, BENCH_KEY_BYTES, &error);
    check(error);
    if (!found) return false;
    size_t bytes;
    const char *data = rocksdb_pinnableslice_value(found, &bytes);
    if (bytes != BENCH_VALUE_BYTES) bench_die("rocksdb: a value of %zu bytes", bytes);
    memcpy(value, data, bytes);
    rocksdb_pinnableslice_destroy(found);
    return true;
}

unsigned kv_store_scan(struct kv_store *store, const char key[BENCH_KEY_BYTES], unsigned rows) {
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
    unsigned count = 0;
    for (rocksdb_iter_seek(iterator, key, BENCH_KEY_BYTES); count < rows && rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_bytes, value_bytes;
        if (!rocksdb_iter_key(iterator, &key_bytes) || !rocksdb_iter_value(iterator, &value_bytes) ||
            key_bytes != BENCH_KEY_BYTES || value_bytes != BENCH_VALUE_BYTES)
            bench_die("rocksdb: a bad row");
        count++;
    }
    rocksdb_iter_destroy(iterator);
    return count;
}

static uint64_t property(struct kv_store *store, const char *name) {
    uint64_t number = 0;
    if (rocksdb_property_int(store->db, name, &number)) bench_die("rocksdb: no property %s", name);
    return number;
}

void kv_store_settle(struct kv_store *store) {
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush(store->db, options, &error);
    check(error);
    rocksdb_flushoptions_destroy(options);
    while (property(store, "rocksdb.compaction-pending") || property(store, "rocksdb.num-running-compactions") ||
           property(store, "rocksdb.num-running-flushes") || property(store, "rocksdb.mem-table-flush-pending"))
        usleep(1000);
}

void kv_store_compact(struct kv_store *store) {
    char *error = NULL;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flush(store->db, flush, &error);
    check(error);
    rocksdb_flushoptions_destroy(flush);
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2); /* force */
    rocksdb_compact_range_opt(store->db, options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
    kv_store_settle(store);
}

uint64_t kv_store_bytes(struct kv_store *store) { return property(store, "rocksdb.live-sst-files-size"); }
