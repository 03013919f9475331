/* How fast the pieces of src/table are by themselves, one thread: memtable inserts and lookups, segment writing,
 * warm and cold gets, iteration. Prints a line for each.
 *
 *     table_micro [memtable rows] [segment rows] [directory]
 *
 * The keys are 19 bytes in the memtable (3 of table prefix, 16 of key) and 16 bytes in the segment; values are 100
 * bytes, half of them compressible. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "table/memtable.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 100 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check(enum plinth_status st, const struct plinth_error *error) {
    if (!st) return;
    fprintf(stderr, "table_micro: %s: %s\n", plinth_status_name(st), error->text);
    exit(1);
}

static void report(const char *what, uint64_t count, double from) {
    double took = seconds() - from;
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
    for (size_t i = 0; i < 48; i += 8) store_u64(value + i, mix(n * 8 + i));
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
        fprintf(stderr, "table_micro: %llu of %llu found\n", (unsigned long long)found, (unsigned long long)rows);
    struct iterator *it;
    check(memtable_iterator_open(memtable, (struct table_id){1, 1, 1}, &it, &error), &error);
    from = seconds();
    check(iterator_seek_first(it, &error), &error);
    for (found = 0; it->valid; found++) check(iterator_next(it, &error), &error);
    report("memtable iterate", found, from);
    iterator_close(it);
    memtable_unref(memtable);
}

int main(int argc, char **argv) {
    uint64_t memtable_rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    bench_memtable(memtable_rows);
    return 0;
}
