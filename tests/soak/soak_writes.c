/* What only shows after a while, at the pace of a real disk.
 *
 *   one-row     For SECONDS, every write is one row: a key with an index value, and a row of a table with a sorted
 * index, by turns; every FLUSH_EVERY writes memory is flushed, so that files would pile up if merges let them. In
 * SLICES slices of equal length it counts runs and files and times look-ups. From the second slice on neither may grow:
 * the last one has at most twice the runs and files of the second, and a look-up takes at most three times as long.
 *   delete-all  ROWS keys (100 bytes of value, half of them random) with index values are set and then deleted one by
 *               one, and as many rows of a table. Nothing is asked to be merged; within a minute less than 2 % of the
 *               bytes may be left in segments, and the directory is back at what its log keeps.
 *
 * Prints a line a slice, then PASSED or what was wrong. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "plinth.h"
#include "support/table_support.h"

enum { SLICES = 10, FLUSH_EVERY = 20, PROBES = 2000, SETTLE_SECONDS = 60, BATCH_ROWS = 1000 };
#define COLUMNS "id int64, host string, load float64"

struct soak {
    char directory[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
    uint64_t written; /* of keys, and of rows */
};

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static uint64_t now_us(void) { return now_ns() / 1000; }

static int compare_times(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void require(enum plinth_status st, const struct plinth_error *error) {
    if (!st) return;
    fprintf(stderr, "FAILED: %s: %s\n", plinth_status_name(st), error->text);
    exit(1);
}

static void soak_open(struct soak *soak) {
    struct plinth_error error;
    const char *host = "host";
    const struct plinth_index index = {
        .name = "by_host", .kind = PLINTH_INDEX_SORTED, .columns = &host, .column_count = 1};
    test_directory_create(soak->directory);
    require(plinth_open(soak->directory, NULL, &soak->db, &error), &error);
    require(plinth_space_find(soak->db, NULL, NULL, &soak->space, &error), &error);
    test_table_create(soak->db, "rows", COLUMNS, "id", false);
    require(plinth_table_index_create(soak->db, NULL, "rows", &index, &error), &error);
}

static void soak_close(struct soak *soak) {
    plinth_close(soak->db);
    test_directory_remove(soak->directory);
}

/* ---- keys and rows by number ---- */

static struct plinth_slice key_of(uint64_t number, char text[32]) {
    return plinth_bytes(text, (size_t)snprintf(text, 32, "key-%012" PRIu64, number));
}

static void set_key(struct soak *soak, uint64_t number, struct test_random *random, enum plinth_durability durability) {
    char key[32], host[32];
    uint8_t value[100] = {0};
    struct plinth_error error;
    test_random_bytes(random, value, sizeof value / 2);
    const struct plinth_index_value index = {
        plinth_text("host"), plinth_bytes(host, (size_t)snprintf(host, sizeof host, "host-%" PRIu64, number % 100))};
    const struct plinth_operation operation = {.kind = PLINTH_SET,
                                               .space = soak->space,
                                               .key = key_of(number, key),
                                               .value = plinth_bytes(value, sizeof value),
                                               .indexes = &index,
                                               .index_count = 1};
    const struct plinth_write_options options = {.durability = durability};
    require(plinth_write(soak->db, &operation, 1, &options, NULL, &error), &error);
}

/* Rows [first, first + count): upserted, or deleted by their ids. */
static void write_rows(struct soak *soak, uint64_t first, unsigned count, bool delete) {
    struct buffer text = BUFFER_INIT;
    struct plinth_error error;
    struct rows_result result;
    for (uint64_t i = first; i < first + count; i++) {
        char row[96];
        int size = delete ? snprintf(row, sizeof row, "%s%" PRIu64, i > first ? ";" : "", i)
                          : snprintf(row, sizeof row, "%s%" PRIu64 ",host-%" PRIu64 ",%" PRIu64 ".5",
                                     i > first ? ";" : "", i, i % 100, i % 977);
        if (!buffer_append(&text, row, (size_t)size)) abort();
    }
    if (!buffer_append(&text, "", 1)) abort();
    require(test_rows_write(soak->db, "rows", delete ? ROWS_DELETE : ROWS_UPSERT, delete ? "id int64" : COLUMNS,
                            (const char *)text.data, NULL, &result, &error),
            &error);
    rows_result_deinit(&result);
    buffer_deinit(&text);
}

/* ---- one row at a time ---- */

/* Microseconds of a look-up, the median. */
static double probe(struct soak *soak, struct test_random *random) {
    static uint64_t times[PROBES];
    struct plinth_buffer value = {0};
    struct plinth_error error;
    for (unsigned i = 0; i < PROBES; i++) {
        char key[32];
        struct plinth_slice wanted = key_of(test_random_below(random, soak->written), key);
        uint64_t began = now_ns();
        require(plinth_get(soak->db, soak->space, wanted, NULL, &value, NULL, &error), &error);
        times[i] = now_ns() - began;
    }
    plinth_buffer_deinit(&value);
    qsort(times, PROBES, sizeof *times, compare_times);
    return (double)times[PROBES / 2] / 1e3;
}

static int one_row(double seconds) {
    struct soak soak = {0};
    struct test_random random = test_random_of(1);
    uint64_t began = now_us(), runs[SLICES], files[SLICES];
    double probes[SLICES];
    soak_open(&soak);
    for (unsigned slice = 0; slice < SLICES; slice++) {
        uint64_t end = began + (uint64_t)(seconds * 1e6 * (slice + 1) / SLICES);
        struct plinth_stats stats;
        struct plinth_error error;
        do {
            set_key(&soak, soak.written, &random, PLINTH_DURABILITY_SYNCED);
            write_rows(&soak, soak.written++, 1, false);
            if (soak.written % FLUSH_EVERY == 0) require(plinth_flush(soak.db, &error), &error);
        } while (now_us() < end);
        plinth_stats_read(soak.db, &stats);
        runs[slice] = stats.runs_most;
        files[slice] = stats.segments;
        probes[slice] = probe(&soak, &random);
        printf("%5.0f s  %9" PRIu64 " rows and keys  %7" PRIu64 " flushes  %6" PRIu64 " merges  %3" PRIu64
               " runs at most  %4" PRIu64 " files  look-up %.1f us\n",
               (double)(now_us() - began) / 1e6, soak.written, stats.flushes, stats.compactions, runs[slice],
               files[slice], probes[slice]);
        fflush(stdout);
    }
    soak_close(&soak);
    unsigned last = SLICES - 1;
    if (runs[last] > 2 * runs[1] + 4 || files[last] > 2 * files[1] + 8 || probes[last] > 3 * probes[1] + 5) {
        printf("FAILED: runs %" PRIu64 " -> %" PRIu64 ", files %" PRIu64 " -> %" PRIu64 ", look-up %.1f -> %.1f us\n",
               runs[1], runs[last], files[1], files[last], probes[1], probes[last]);
        return 1;
    }
    return 0;
}

/* ---- everything deleted ---- */

static uint64_t directory_bytes(const char *path) {
    uint64_t bytes = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char below[TEST_PATH_MAX + 512];
        struct stat stat;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (lstat(below, &stat)) continue; /* removed meanwhile */
        bytes += S_ISDIR(stat.st_mode) ? directory_bytes(below) : (uint64_t)stat.st_blocks * 512;
    }
    if (directory) closedir(directory);
    return bytes;
}

static uint64_t report(struct soak *soak, const char *what, uint64_t began) {
    struct plinth_stats stats;
    plinth_stats_read(soak->db, &stats);
    printf("%-28s %6.1f s  %5" PRIu64 " segments of %" PRIu64 " bytes, directory %" PRIu64 " bytes\n", what,
           (double)(now_us() - began) / 1e6, stats.segments, stats.segment_bytes, directory_bytes(soak->directory));
    fflush(stdout);
    return stats.segment_bytes;
}

static int delete_all(uint64_t rows) {
    struct soak soak = {0};
    struct plinth_error error;
    struct test_random random = test_random_of(2);
    uint64_t began = now_us();
    soak_open(&soak);
    for (uint64_t i = 0; i < rows; i++) {
        set_key(&soak, i, &random, PLINTH_DURABILITY_BUFFERED);
        if (i % BATCH_ROWS == 0) write_rows(&soak, i, BATCH_ROWS, false);
    }
    require(plinth_flush(soak.db, &error), &error);
    uint64_t full = report(&soak, "written", began);
    const struct plinth_write_options buffered = {.durability = PLINTH_DURABILITY_BUFFERED};
    for (uint64_t i = 0; i < rows; i++) {
        char key[32];
        require(plinth_delete(soak.db, soak.space, key_of(i, key), &buffered, NULL, &error), &error);
        if (i % BATCH_ROWS == 0) write_rows(&soak, i, BATCH_ROWS, true);
    }
    require(plinth_flush(soak.db, &error), &error);
    uint64_t left = report(&soak, "deleted", began), deadline = now_us() + SETTLE_SECONDS * UINT64_C(1000000);
    while (left * 50 > full && now_us() < deadline) {
        struct plinth_stats stats;
        usleep(100000);
        plinth_stats_read(soak.db, &stats);
        left = stats.segment_bytes;
    }
    report(&soak, "what is due merged", began);
    soak_close(&soak);
    if (left * 50 > full) {
        printf("FAILED: %" PRIu64 " of %" PRIu64 " bytes are left %d s after everything was deleted\n", left, full,
               SETTLE_SECONDS);
        return 1;
    }
    return 0;
}

int main(int count, char **arguments) {
    double number = count == 3 ? strtod(arguments[2], NULL) : 0;
    int failed;
    if (number > 0 && !strcmp(arguments[1], "one-row")) {
        failed = one_row(number);
    } else if (number > 0 && !strcmp(arguments[1], "delete-all")) {
        failed = delete_all((uint64_t)number);
    } else {
        fprintf(stderr, "usage: soak_writes one-row SECONDS\n       soak_writes delete-all ROWS\n");
        return 2;
    }
    if (!failed) printf("PASSED\n");
    return failed;
}
