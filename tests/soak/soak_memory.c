/* Whether the memory limit holds: rows and large values go in while queries run, and the process's resident memory is
 * looked at all the time.
 *
 *   soak_memory LIMIT ROWS [VALUES]
 *
 * LIMIT is what the engine is opened with; ROWS go into a table with two sorted indexes (bench/ingest_rows.h), and then
 * VALUES (default 2,000) of 1 byte to 512 KiB into a key space. Beside the writer one thread reads: a row by its key,
 * rows by an index, a filtered scan, an aggregate, groups; values by key and a scan of them. Nothing may fail.
 *
 * VmRSS is read every 100 ms, and at the end VmHWM, the highest that the kernel has seen. There is no tolerance: the
 * program itself, the rows it makes and the answers it holds are within the limit, too. Prints what had the memory when
 * most was resident, then `memory limit_mib=... rows_per_s=... rss_max_mib=... queries=...` and PASSED, or what was
 * wrong. */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest_table.h"
#include "measure.h"
#include "query/predicate_text.h"
#include "query/query.h"

enum {
    BATCH_ROWS = 10000, /* a multiple of 40 */
    IN_FLIGHT = 16,
    VALUES_DEFAULT = 2000,
    VALUE_BYTES_MAX = 512 << 10,
    SAMPLE_US = 100 * 1000,
    PAUSE_US = 20 * 1000, /* between queries: they are not to starve the writer of two processors */
    KINDS = 5,
};

struct soak {
    struct plinth *db;
    struct ingest_rows *rows;
    const struct table_schema *schema;
    struct plinth_space space;
    uint64_t limit;
    atomic_ullong rows_written, values_written, queries[KINDS], value_reads;
    atomic_bool writing_ends, sampling_ends;
    uint64_t resident_most;
    struct plinth_stats stats_then; /* when most was resident */
    uint64_t allocated_then, free_then;
};

/* ---- resident memory ---- */

/* A line of /proc/self/status, in bytes. */
static uint64_t status_bytes(const char *name) {
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) bench_die("/proc/self/status cannot be read");
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            kib = strtoull(strchr(line, ':') + 1, NULL, 10);
    fclose(file);
    if (!kib) bench_die("/proc/self/status has no %s", name);
    return kib << 10;
}

static void *sample(void *argument) {
    struct soak *soak = argument;
    while (!atomic_load(&soak->sampling_ends)) {
        uint64_t resident = status_bytes("VmRSS");
        if (resident > soak->resident_most) {
            soak->resident_most = resident;
            plinth_stats_read(soak->db, &soak->stats_then);
            struct mallinfo2 heap = mallinfo2();
            soak->allocated_then = heap.uordblks + heap.hblkhd;
            soak->free_then = heap.fordblks;
        }
        usleep(SAMPLE_US);
    }
    return NULL;
}

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* ---- queries ---- */

struct wanted {
    const char *where;
    struct query_aggregate aggregates[2];
    uint32_t aggregate_count;
    const char *group_by;
};

/* Runs a query to its end; gives its rows. */
static uint64_t run_query(struct soak *soak, const struct wanted *wanted) {
    struct plinth_error error;
    struct arena arena;
    struct slice group = slice_of_string(wanted->group_by ? wanted->group_by : "");
    struct query_options options = {.aggregates = wanted->aggregates,
                                    .aggregate_count = wanted->aggregate_count,
                                    .group_by = &group,
                                    .group_by_count = wanted->group_by != NULL};
    struct query *query;
    struct batch *batch;
    uint64_t rows = 0;
    arena_init(&arena);
    if (wanted->where)
        bench_check(predicate_parse(slice_of_string(wanted->where), &arena, &options.predicate, &error), &error);
    bench_check(query_open(soak->db, soak->schema, &options, &query, &error), &error);
    do {
        bench_check(query_next(query, &batch, &error), &error);
        if (batch) rows += batch->rows;
        batch_unref(batch);
    } while (batch);
    query_close(query);
    arena_deinit(&arena);
    return rows;
}

/* The first row of a batch that was acknowledged, as a condition on the key, or on the path. */
static void row_condition(struct soak *soak, bool by_key, uint64_t *random, char where[256]) {
    uint64_t batches = atomic_load(&soak->rows_written) / BATCH_ROWS;
    struct batch *batch = ingest_rows_make(soak->rows, bench_random_below(random, batches) * BATCH_ROWS, 40);
    struct slice host = column_bytes_at(&batch->columns[0], 0), path = column_bytes_at(&batch->columns[3], 0);
    int64_t time = ((const int64_t *)batch->columns[INGEST_TIME].values)[0];
    time_t seconds = (time_t)(time / 1000000);
    struct tm tm;
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm));
    if (by_key)
        snprintf(where, 256, "host = '%.*s' AND time = '%s.%06d'", (int)host.size, (const char *)host.data, text,
                 (int)(time % 1000000));
    else
        snprintf(where, 256, "path = '%.*s'", (int)path.size, (const char *)path.data);
    batch_unref(batch);
}

static void query_once(struct soak *soak, unsigned kind, uint64_t *random) {
    char where[256];
    struct wanted wanted = {.where = where};
    uint64_t rows;
    switch (kind) {
    case 0:
    case 1: row_condition(soak, kind == 0, random, where); break;
    case 2: snprintf(where, sizeof where, "status = 500 AND cpu > 99.5"); break;
    case 3:
        wanted = (struct wanted){.aggregates = {{AGGREGATE_COUNT, {0}}, {AGGREGATE_SUM, slice_of_string("bytes")}},
                                 .aggregate_count = 2};
        break;
    default:
        wanted = (struct wanted){.aggregates = {{AGGREGATE_COUNT, {0}}, {AGGREGATE_AVG, slice_of_string("latency")}},
                                 .aggregate_count = 2,
                                 .group_by = "host"};
    }
    rows = run_query(soak, &wanted);
    if ((kind == 0 && rows != 1) || (kind == 1 && !rows)) bench_die("%s has %" PRIu64 " rows", where, rows);
    if (kind == 4 && rows != INGEST_HOSTS) bench_die("%" PRIu64 " hosts", rows);
    atomic_fetch_add(&soak->queries[kind], 1);
}

static void *query_rows(void *argument) {
    struct soak *soak = argument;
    uint64_t random = 1;
    for (unsigned i = 0; !atomic_load(&soak->writing_ends); i++) {
        if (atomic_load(&soak->rows_written)) query_once(soak, i % KINDS, &random);
        usleep(PAUSE_US);
    }
    return NULL;
}

/* ---- rows ---- */

static double write_rows(struct soak *soak, uint64_t count) {
    struct plinth_error error;
    struct plinth_write_options write = {0};
    struct rows_result in_flight[IN_FLIGHT] = {0};
    struct table_id table = ingest_table_id(soak->db);
    pthread_t reader;
    uint64_t began = bench_now_ns();
    atomic_store(&soak->writing_ends, false);
    if (pthread_create(&reader, NULL, query_rows, soak)) bench_die("no thread");
    for (uint64_t i = 0; i < count / BATCH_ROWS + IN_FLIGHT; i++) {
        struct rows_result *result = &in_flight[i % IN_FLIGHT];
        if (result->last_lsn) bench_check(rows_wait(soak->db, &write, result, &error), &error);
        if (i >= IN_FLIGHT) atomic_fetch_add(&soak->rows_written, BATCH_ROWS);
        if (i >= count / BATCH_ROWS) continue;
        struct batch *batch = ingest_rows_make(soak->rows, i * BATCH_ROWS, BATCH_ROWS);
        *result = bench_rows_submit(soak->db, table, ingest_rows_schema(soak->rows), batch, &write);
        batch_unref(batch);
    }
    double seconds = (double)(bench_now_ns() - began) / 1e9;
    atomic_store(&soak->writing_ends, true);
    pthread_join(reader, NULL);
    return seconds;
}

/* ---- large values ---- */

static size_t value_of(uint64_t number, uint8_t *value) {
    size_t size = 1 + (size_t)(bench_mix(number + 7) % VALUE_BYTES_MAX);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = bench_mix(number + i);
        memcpy(value + i, &word, size - i < 8 ? size - i : 8);
    }
    return size;
}

static void read_value(struct soak *soak, uint64_t number, uint8_t *expected, struct plinth_buffer *value) {
    struct plinth_error error;
    char key[BENCH_KEY_BYTES];
    bench_key(number, key);
    bench_check(plinth_get(soak->db, soak->space, plinth_bytes(key, sizeof key), NULL, value, NULL, &error), &error);
    size_t size = value_of(number, expected);
    if (value->size != size || memcmp(value->data, expected, size)) bench_die("value %" PRIu64 " is another", number);
}

static void scan_values(struct soak *soak) {
    struct plinth_error error;
    struct plinth_scan *scan;
    bench_check(plinth_scan_open(soak->db, soak->space, NULL, &scan, &error), &error);
    struct plinth_row row;
    bool found = true;
    while (found) {
        bench_check(plinth_scan_next(scan, &row, &found, &error), &error);
        atomic_fetch_add(&soak->value_reads, found);
    }
    plinth_scan_close(scan);
}

static void *query_values(void *argument) {
    struct soak *soak = argument;
    uint64_t random = 2;
    uint8_t *expected = malloc(VALUE_BYTES_MAX + 8);
    struct plinth_buffer value = {0};
    if (!expected) bench_die("out of memory");
    for (unsigned i = 1; !atomic_load(&soak->writing_ends); i++) {
        uint64_t written = atomic_load(&soak->values_written);
        if (written) read_value(soak, bench_random_below(&random, written), expected, &value);
        atomic_fetch_add(&soak->value_reads, written != 0);
        if (i % 200 == 0) scan_values(soak);
        usleep(PAUSE_US / 10);
    }
    plinth_buffer_deinit(&value);
    free(expected);
    return NULL;
}

static void write_values(struct soak *soak, uint64_t count) {
    struct plinth_error error;
    uint8_t *value = malloc(VALUE_BYTES_MAX + 8);
    const struct plinth_write_options write = {.durability = PLINTH_DURABILITY_WRITTEN};
    pthread_t reader;
    if (!value) bench_die("out of memory");
    bench_check(plinth_space_find(soak->db, NULL, NULL, &soak->space, &error), &error);
    atomic_store(&soak->writing_ends, false);
    if (pthread_create(&reader, NULL, query_values, soak)) bench_die("no thread");
    for (uint64_t i = 0; i < count; i++) {
        char key[BENCH_KEY_BYTES];
        bench_key(i, key);
        size_t size = value_of(i, value);
        bench_check(plinth_set(soak->db, soak->space, plinth_bytes(key, sizeof key), plinth_bytes(value, size), &write,
                               NULL, &error),
                    &error);
        if (i >= 100) atomic_store(&soak->values_written, i - 100); /* those have been synced, or soon are */
    }
    atomic_store(&soak->writing_ends, true);
    pthread_join(reader, NULL);
    free(value);
}

/* ---- the run ---- */

static uint64_t number_of(const char *text) {
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text) bench_die("\"%s\" is no number", text);
    switch (*end) {
    case 'M': return number << 20;
    case 'G': return number << 30;
    default: return number;
    }
}

int main(int count, char **arguments) {
    if (count < 3 || count > 4) {
        fprintf(stderr, "usage: soak_memory LIMIT ROWS [VALUES]\n");
        return 2;
    }
    struct soak soak = {.limit = number_of(arguments[1])};
    uint64_t rows = number_of(arguments[2]), values = count > 3 ? number_of(arguments[3]) : VALUES_DEFAULT;
    struct plinth_options options = {.memory_limit_bytes = soak.limit};
    struct plinth_error error;
    pthread_t sampler;
    char *directory = bench_directory_make(getenv("PLINTH_SOAK_DIR"));
    bench_check(plinth_open(directory, &options, &soak.db, &error), &error);
    soak.rows = ingest_rows_create();
    ingest_table_create(soak.db, soak.rows, INGEST_INDEXES);
    bench_check(engine_find_schema(soak.db, NULL, INGEST_TABLE, &soak.schema, &error), &error);
    if (pthread_create(&sampler, NULL, sample, &soak)) bench_die("no thread");
    double seconds = write_rows(&soak, rows);
    uint64_t after_rows = status_bytes("VmHWM"), queries = 0;
    write_values(&soak, values);
    bench_check(plinth_flush(soak.db, &error), &error);
    atomic_store(&soak.sampling_ends, true);
    pthread_join(sampler, NULL);
    uint64_t most = status_bytes("VmHWM");
    for (unsigned i = 0; i < KINDS; i++) queries += atomic_load(&soak.queries[i]);
    table_schema_unref(soak.schema);
    plinth_close(soak.db);
    ingest_rows_destroy(soak.rows);
    bench_directory_remove(directory);
    const struct plinth_memory *then = &soak.stats_then.memory;
    printf("when %.1f MiB were resident: memtables %.1f, cache %.1f, segments %.1f, flush %.1f, merges %.1f, queries "
           "%.1f; "
           "in all %.1f allocated, %.1f free in the allocator\n",
           mib(soak.resident_most), mib(then->memtable_bytes), mib(then->cache_bytes), mib(then->segment_bytes),
           mib(then->flush_bytes), mib(then->merge_bytes), mib(then->query_bytes), mib(soak.allocated_then),
           mib(soak.free_then));
    printf("memory limit_mib=%.0f rows=%" PRIu64
           " rows_per_s=%.0f rss_max_mib=%.1f rss_max_rows_mib=%.1f queries=%" PRIu64 " value_reads=%" PRIu64 "\n",
           mib(soak.limit), rows, (double)rows / seconds, mib(most), mib(after_rows), queries,
           (uint64_t)atomic_load(&soak.value_reads));
    if (most > soak.limit) {
        printf("FAILED: %.1f MiB were resident, the limit is %.1f\n", mib(most), mib(soak.limit));
        return 1;
    }
    printf("PASSED\n");
    return 0;
}
