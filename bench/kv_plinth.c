/* kv_plinth: Plinth embedded, for kv_workload.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kv_store.h"
#include "plinth.h"

struct kv_store {
    struct plinth *db;
    struct plinth_space space;
    struct plinth_write_options write;
};

static void check(enum plinth_status status, const struct plinth_error *error) {
    if (status) bench_die("plinth: %s", error->text);
}

const char *kv_store_title(void) {
    static char title[64];
    snprintf(title, sizeof title, "plinth %s", plinth_version());
    return title;
}

struct kv_store *kv_store_open(const struct kv_options *options) {
    struct plinth_error error;
    const struct plinth_options plinth = {.durability = PLINTH_DURABILITY_WRITTEN,
                                          .read_durability = PLINTH_DURABILITY_WRITTEN,
                                          .memtable_bytes = options->memory_bytes,
                                          .cache_bytes = options->cache_bytes};
    struct kv_store *store = calloc(1, sizeof *store);
    if (!store) bench_die("out of memory");
    store->write.durability = options->synced ? PLINTH_DURABILITY_SYNCED : PLINTH_DURABILITY_WRITTEN;
    check(plinth_open(options->directory, &plinth, &store->db, &error), &error);
    check(plinth_space_find(store->db, "", "", &store->space, &error), &error);
    return store;
}

void kv_store_close(struct kv_store *store) {
    plinth_close(store->db);
    free(store);
}

void kv_store_set(struct kv_store *store, const struct kv_pair *pair) {
    struct plinth_error error;
    check(plinth_set(store->db, store->space, plinth_bytes(pair->key, sizeof pair->key),
                     plinth_bytes(pair->value, sizeof pair->value), &store->write, NULL, &error),
          &error);
}

void kv_store_batch(struct kv_store *store, const struct kv_pair *pairs, size_t count) {
    static _Thread_local struct plinth_operation operations[1024];
    struct plinth_error error;
    if (count > sizeof operations / sizeof *operations) bench_die("plinth: a batch of %zu", count);
    for (size_t i = 0; i < count; i++)
        operations[i] = (struct plinth_operation){.kind = PLINTH_SET,
                                                  .space = store->space,
                                                  .key = plinth_bytes(pairs[i].key, sizeof pairs[i].key),
                                                  .value = plinth_bytes(pairs[i].value, sizeof pairs[i].value)};
    check(plinth_write(store->db, operations, count, &store->write, NULL, &error), &error);
}

bool kv_store_get(struct kv_store *store, const char key[BENCH_KEY_BYTES], uint8_t value[BENCH_VALUE_BYTES]) {
    static _Thread_local struct plinth_buffer found;
    struct plinth_error error;
    enum plinth_status status =
        plinth_get(store->db, store->space, plinth_bytes(key, BENCH_KEY_BYTES), NULL, &found, NULL, &error);
    if (status == PLINTH_NOT_FOUND) return false;
    check(status, &error);
    if (found.size != BENCH_VALUE_BYTES) bench_die("plinth: a value of %zu bytes", found.size);
    memcpy(value, found.data, BENCH_VALUE_BYTES);
    return true;
}

unsigned kv_store_scan(struct kv_store *store, const char key[BENCH_KEY_BYTES], unsigned rows) {
    struct plinth_error error;
    const struct plinth_scan_options options = {.lower = plinth_bytes(key, BENCH_KEY_BYTES), .limit = rows};
    struct plinth_scan *scan;
    check(plinth_scan_open(store->db, store->space, &options, &scan, &error), &error);
    unsigned count = 0;
    for (;;) {
        struct plinth_row row;
        bool found;
        check(plinth_scan_next(scan, &row, &found, &error), &error);
        if (!found) break;
        if (row.key.size != BENCH_KEY_BYTES || row.value.size != BENCH_VALUE_BYTES) bench_die("plinth: a bad row");
        count++;
    }
    plinth_scan_close(scan);
    return count;
}

void kv_store_settle(struct kv_store *store) {
    struct plinth_error error;
    struct plinth_stats stats;
    check(plinth_flush(store->db, &error), &error);
    for (;;) {
        plinth_stats_read(store->db, &stats);
        if (!stats.compaction_debt_bytes) return;
        usleep(1000);
    }
}

void kv_store_compact(struct kv_store *store) {
    struct plinth_error error;
    check(plinth_compact(store->db, &error), &error);
}

uint64_t kv_store_bytes(struct kv_store *store) {
    struct plinth_stats stats;
    plinth_stats_read(store->db, &stats);
    return stats.segment_bytes;
}
