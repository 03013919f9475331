/* How fast the pieces of src/table are by themselves, one thread: memtable inserts and lookups, segment writing,
 * warm and cold gets, iteration. Prints a line for each.
 *
 *     bench_table [memtable rows] [segment rows] [directory]
 *
 * The keys are 19 bytes in the memtable (3 of table prefix, 16 of key) and 16 bytes in the segment; values are 100
 * bytes, half of them compressible. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "base/hash.h"
#include "store/local_store.h"
#include "table/memtable.h"
#include "table/segment.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 100 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check(enum plinth_status st, const struct plinth_error *error) {
    if (!st) return;
    fprintf(stderr, "bench_table: %s: %s\n", plinth_status_name(st), error->text);
    exit(1);
}

/* The last line: a key=value for each figure. */
static struct {
    char text[2048];
    size_t size;
    const char *prefix;
} line;

static void line_add(const char *what, double per_s) {
    char key[64];
    size_t size = 0;
    for (const char *at = what; *at && size < sizeof key - 1; at++) {
        if (*at != ',') key[size++] = *at == ' ' ? '_' : *at;
    }
    key[size] = 0;
    int added =
        snprintf(line.text + line.size, sizeof line.text - line.size, " %s%s_per_s=%.0f", line.prefix, key, per_s);
    if (added > 0 && (size_t)added < sizeof line.text - line.size) line.size += (size_t)added;
}

static void report(const char *what, uint64_t count, double from) {
    double took = seconds() - from;
    line_add(what, (double)count / took);
    printf("%-34s %10.0f /s  %8.1f ns each\n", what, (double)count / took, took * 1e9 / (double)count);
    fflush(stdout);
}

static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void make_key(uint64_t n, uint8_t key[KEY_BYTES]) {
    store_u64(key, mix(n));
    store_u64(key + 8, mix(~n));
}

static void make_value(uint64_t n, uint8_t value[VALUE_BYTES]) {
    for (size_t i = 0; i < 48; i += 8) store_u64(value + i, mix(n << 8 | i));
    memset(value + 48, 'v', VALUE_BYTES - 48);
}

static void bench_memtable(uint64_t rows) {
    struct plinth_error error;
    struct memtable *memtable;
    check(memtable_create(&memtable, &error), &error);
    uint8_t key[3 + KEY_BYTES] = {1, 1, 1}, value[VALUE_BYTES];
    double from = seconds();
    for (uint64_t i = 0; i < rows; i++) {
        make_key(i, key + 3);
        make_value(i, value);
        struct row row = {slice_of(key, sizeof key), i + 1, ROW_SET, slice_of(value, sizeof value), {0}};
        check(memtable_insert(memtable, &row, &error), &error);
    }
    report("memtable insert, random", rows, from);
    printf("%-34s %10.1f bytes a row\n", "memtable memory", (double)memtable_bytes(memtable) / (double)rows);
    from = seconds();
    uint64_t found = 0;
    for (uint64_t i = 0; i < rows; i++) {
        struct row row;
        make_key(mix(i) % rows, key + 3);
        found += memtable_get(memtable, slice_of(key, sizeof key), UINT64_MAX, &row);
    }
    report("memtable get, random", rows, from);
    if (found != rows)
        fprintf(stderr, "bench_table: %llu of %llu found\n", (unsigned long long)found, (unsigned long long)rows);
    struct iterator *it;
    check(memtable_iterator_open(memtable, (struct table_id){1, 1, 1}, &it, &error), &error);
    from = seconds();
    check(iterator_seek_first(it, &error), &error);
    for (found = 0; it->valid; found++) check(iterator_next(it, &error), &error);
    report("memtable iterate", found, from);
    iterator_close(it);
    memtable_unref(memtable);
}

/* ---- segments ---- */

struct sorted_keys {
    uint8_t (*keys)[KEY_BYTES];
    uint64_t count;
};

static int compare_keys(const void *a, const void *b) { return memcmp(a, b, KEY_BYTES); }

static void sorted_keys_init(struct sorted_keys *sorted, uint64_t count) {
    sorted->count = count;
    sorted->keys = malloc(count * KEY_BYTES);
    if (!sorted->keys) abort();
    for (uint64_t i = 0; i < count; i++) make_key(i, sorted->keys[i]);
    qsort(sorted->keys, count, KEY_BYTES, compare_keys);
}

static void write_segment(struct store *store, const struct sorted_keys *sorted, enum segment_codec codec,
                          struct segment_info *info) {
    struct plinth_error error;
    struct segment_writer *writer;
    const struct segment_options options = {.table = {1, 1, 1}, .codec = codec};
    check(segment_writer_open(store, "segments/0/bench.parquet", &options, &writer, &error), &error);
    uint8_t value[VALUE_BYTES];
    for (uint64_t i = 0; i < sorted->count; i++) {
        make_value(i, value);
        struct row row = {slice_of(sorted->keys[i], KEY_BYTES),
                          mix(i) % sorted->count + 1,
                          ROW_SET,
                          slice_of(value, sizeof value),
                          {0}};
        check(segment_writer_add(writer, &row, &error), &error);
    }
    check(segment_writer_commit(writer, info, &error), &error);
}

static void bench_gets(struct segment *segment, const struct sorted_keys *sorted, const char *what, unsigned flags,
                       uint64_t count) {
    struct plinth_error error;
    uint64_t found = 0;
    double from = seconds();
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[KEY_BYTES];
        struct segment_hit hit;
        make_key(mix(i) % sorted->count, key);
        uint64_t hash = hash_stable(key, sizeof key);
        enum plinth_status st = segment_get(segment, slice_of(key, sizeof key), hash, UINT64_MAX, flags, &hit, &error);
        if (st != PLINTH_NOT_FOUND) check(st, &error);
        found += !st;
        segment_hit_release(&hit);
    }
    report(what, count, from);
    if (found != count)
        fprintf(stderr, "bench_table: %llu of %llu found\n", (unsigned long long)found, (unsigned long long)count);
}

static void bench_missing(struct segment *segment, const struct sorted_keys *sorted) {
    struct plinth_error error;
    uint64_t count = 1000000, found = 0;
    double from = seconds();
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[KEY_BYTES];
        struct segment_hit hit;
        make_key(sorted->count + i, key);
        uint64_t hash = hash_stable(key, sizeof key);
        found += !segment_get(segment, slice_of(key, sizeof key), hash, UINT64_MAX, 0, &hit, &error);
        segment_hit_release(&hit);
    }
    report("segment get, missing key", count, from);
    if (found) fprintf(stderr, "bench_table: %llu missing keys found\n", (unsigned long long)found);
}

static void bench_iterate(struct segment *segment, const char *what, bool backward) {
    struct plinth_error error;
    struct iterator *it;
    uint64_t rows = 0;
    check(segment_iterator_open(segment, false, &it, &error), &error);
    double from = seconds();
    check(backward ? iterator_seek_last(it, &error) : iterator_seek_first(it, &error), &error);
    for (; it->valid; rows++) check(backward ? iterator_previous(it, &error) : iterator_next(it, &error), &error);
    report(what, rows, from);
    iterator_close(it);
}

static void bench_segment(struct store *store, const struct sorted_keys *sorted, enum segment_codec codec,
                          const char *name) {
    struct plinth_error error;
    struct segment_info info;
    struct segment *segment;
    struct page_cache *cache;
    printf("-- %s\n", name);
    double from = seconds();
    write_segment(store, sorted, codec, &info);
    report("segment write", sorted->count, from);
    printf("%-34s %10.1f bytes a row\n", "segment size", (double)info.bytes / (double)info.rows);
    check(page_cache_create(UINT64_C(8) << 30, &cache, &error), &error);
    from = seconds();
    check(segment_open(store, cache, &info, &segment, &error), &error);
    report("segment open", 1, from);
    printf("%-34s %10.2f bytes a row\n", "segment memory", (double)segment_memory_bytes(segment) / (double)info.rows);
    bench_iterate(segment, "segment iterate forwards", false);
    bench_iterate(segment, "segment iterate backwards", true);
    bench_gets(segment, sorted, "segment get, cold", 0, 5000);
    uint64_t warm = sorted->count;
    bench_gets(segment, sorted, "segment get, getting warm", 0, warm);
    struct page_cache_stats stats;
    page_cache_stats(cache, &stats);
    printf("%-34s %10.1f bytes a row\n", "cache", (double)stats.bytes / (double)info.rows);
    bench_gets(segment, sorted, "segment get, warm", 0, 2000000);
    bench_gets(segment, sorted, "segment get, warm, LSN only", SEGMENT_LSN_ONLY, 2000000);
    bench_missing(segment, sorted);
    segment_unref(segment);
    page_cache_destroy(cache);
    segment_info_deinit(&info);
}

static void bench_segments(uint64_t rows, const char *directory) {
    struct plinth_error error;
    struct store *store;
    struct sorted_keys sorted;
    const struct local_store_options options = {.map = true};
    check(local_store_open(env_posix(), directory, &options, &store, &error), &error);
    sorted_keys_init(&sorted, rows);
    line.prefix = "lz4_";
    bench_segment(store, &sorted, SEGMENT_LZ4, "LZ4");
    line.prefix = "zstd_";
    bench_segment(store, &sorted, SEGMENT_ZSTD, "ZSTD");
    check(store_remove(store, "segments/0/bench.parquet", &error), &error);
    free(sorted.keys);
    store_close(store);
}

int main(int argc, char **argv) {
    uint64_t memtable_rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    uint64_t segment_rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000000;
    const char *directory = argc > 3 ? argv[3] : "bench_table.data";
    line.prefix = "";
    if (memtable_rows) bench_memtable(memtable_rows);
    if (segment_rows) bench_segments(segment_rows, directory);
    printf("table%s\n", line.text);
    return 0;
}
