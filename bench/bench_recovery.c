/* How soon a database answers again: after a kill at full write load, and with thousands of segments.
 *
 * first_read_s   A child process opens a new directory with default settings and writes as fast as it can: four threads
 *                of atomic batches of 100 keys with values of 100 bytes, or rows of measurements in batches of 20,000.
 *                At a random moment of the third to seventh second it is killed (SIGKILL), and this process opens the
 *                directory and reads a key that the child was told is durable. The clock runs from the opening to the
 *                answer. Several kills, half with keys and half with rows; the worst counts.
 * open_10k_segments_s
 *                A table partitioned by day gets rows of 10,000 days, flushed every 100 of them: 10,000 segments in 100
 * directories. It is closed in order; the clock runs over plinth_open. Five times; the median counts.
 *
 * The operating system's page cache is as the writing has left it. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log_event.h"
#include "engine/rows.h"
#include "ingest_table.h"
#include "measure.h"

enum { WRITERS = 4, BATCH_KEYS = 100, BATCH_ROWS = 20000, BATCHES_IN_FLIGHT = 4, OPENINGS = 5, DAYS_A_FLUSH = 100 };
static const int64_t day_us = INT64_C(86400) * 1000 * 1000;

static struct {
    uint64_t segments;
    unsigned kills;
    double seconds_min, seconds_max;
    const char *directory;
} options = {.segments = 10000, .kills = 6, .seconds_min = 3, .seconds_max = 7};

/* ---- full write load ---- */

/* Shared with the child. */
struct progress {
    atomic_ullong durable[WRITERS]; /* batches of each writer */
};

struct writer {
    pthread_t thread;
    struct plinth *db;
    struct progress *progress;
    unsigned number;
};

/* Key i of batch b of a writer. */
static uint64_t key_number(unsigned writer, uint64_t batch, unsigned i) {
    return ((uint64_t)writer << 56) + batch * BATCH_KEYS + i;
}

static void *write_keys(void *argument) {
    struct writer *writer = argument;
    struct plinth_operation operations[BATCH_KEYS];
    char keys[BATCH_KEYS][BENCH_KEY_BYTES];
    uint8_t values[BATCH_KEYS][BENCH_VALUE_BYTES];
    struct plinth_space space;
    struct plinth_error error;
    uint64_t random = writer->number;
    bench_check(plinth_space_find(writer->db, NULL, NULL, &space, &error), &error);
    for (uint64_t batch = 0;; batch++) {
        for (unsigned i = 0; i < BATCH_KEYS; i++) {
            bench_key(key_number(writer->number, batch, i), keys[i]);
            bench_value(&random, values[i]);
            operations[i] = (struct plinth_operation){.kind = PLINTH_SET,
                                                      .space = space,
                                                      .key = plinth_bytes(keys[i], BENCH_KEY_BYTES),
                                                      .value = plinth_bytes(values[i], BENCH_VALUE_BYTES)};
        }
        bench_check(plinth_write(writer->db, operations, BATCH_KEYS, NULL, NULL, &error), &error);
        atomic_store(&writer->progress->durable[writer->number], batch + 1);
    }
    return NULL;
}

static _Noreturn void write_key_load(struct plinth *db, struct progress *progress) {
    static struct writer writers[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.db = db, .progress = progress, .number = i};
        if (pthread_create(&writers[i].thread, NULL, write_keys, &writers[i])) bench_die("no thread");
    }
    for (;;) pause();
}

static _Noreturn void write_row_load(struct plinth *db, struct progress *progress) {
    struct ingest_rows *rows = ingest_rows_create();
    struct plinth_error error;
    const struct plinth_write_options write = {0};
    ingest_table_create(db, rows, true);
    struct table_id table = ingest_table_id(db);
    struct ingest_pool *pool = ingest_pool_create(rows, 0, BATCH_ROWS, INGEST_POOL_BATCHES * BATCH_ROWS);
    struct rows_result flying[BATCHES_IN_FLIGHT];
    for (uint64_t batch = 0;; batch++) {
        struct rows_result *slot = &flying[batch % BATCHES_IN_FLIGHT];
        if (batch >= BATCHES_IN_FLIGHT) {
            bench_check(rows_wait(db, &write, slot, &error), &error);
            atomic_store(&progress->durable[0], batch - BATCHES_IN_FLIGHT + 1);
        }
        *slot = bench_rows_submit(db, table, ingest_rows_schema(rows), ingest_pool_next(pool), &write);
    }
}

/* Writes until it is killed; the moment is the parent's choice. */
static void load_and_kill(const char *path, bool with_rows, double seconds, struct progress *progress) {
    memset(progress, 0, sizeof *progress);
    pid_t child = fork();
    if (child < 0) bench_die("fork failed");
    if (child == 0) {
        struct plinth *db;
        struct plinth_error error;
        bench_check(plinth_open(path, NULL, &db, &error), &error);
        if (with_rows) write_row_load(db, progress);
        write_key_load(db, progress);
    }
    usleep((useconds_t)(seconds * 1e6));
    if (waitpid(child, NULL, WNOHANG)) bench_die("the writing process ended by itself");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void read_key(struct plinth *db, const struct progress *progress) {
    struct plinth_space space;
    struct plinth_buffer value = {0};
    struct plinth_error error;
    char key[BENCH_KEY_BYTES];
    uint64_t batches = atomic_load(&progress->durable[0]);
    if (!batches) bench_die("nothing was written");
    bench_check(plinth_space_find(db, NULL, NULL, &space, &error), &error);
    bench_key(key_number(0, batches - 1, 7), key);
    bench_check(plinth_get(db, space, plinth_bytes(key, sizeof key), NULL, &value, NULL, &error), &error);
    if (value.size != BENCH_VALUE_BYTES) bench_die("a durable key is gone");
    plinth_buffer_deinit(&value);
}

static double first_read_s(const char *path, bool with_rows, double seconds) {
    struct progress *progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct plinth *db;
    struct plinth_error error;
    struct plinth_stats stats;
    if (progress == MAP_FAILED) bench_die("mmap failed");
    load_and_kill(path, with_rows, seconds, progress);
    double cpu = bench_cpu_seconds();
    uint64_t began = bench_now_ns();
    bench_check(plinth_open(path, NULL, &db, &error), &error);
    if (!with_rows) read_key(db, progress); /* rows are there with the opening */
    double took = (double)(bench_now_ns() - began) / 1e9;
    cpu = bench_cpu_seconds() - cpu;
    plinth_stats_read(db, &stats);
    uint64_t batches = 0;
    for (unsigned i = 0; i < WRITERS; i++) batches += atomic_load(&progress->durable[i]);
    printf("  %-5s %6.1f  %10" PRIu64 "  %8" PRIu64 "  %8.1f  %6" PRIu64 "  %7.3f  %7.3f\n",
           with_rows ? "rows" : "keys", seconds, batches * (with_rows ? BATCH_ROWS : BATCH_KEYS),
           stats.replayed_records, (double)stats.log_bytes / (1 << 20), stats.segments, took, cpu);
    fflush(stdout);
    plinth_close(db);
    munmap(progress, sizeof *progress);
    return took;
}

/* ---- many segments ---- */

enum { COLUMNS = 3 };
static const char *const names[COLUMNS] = {"at", "id", "value"};
static const char *const types[COLUMNS] = {"timestamp(us)", "int64", "int64"};

static struct batch *make_days(const struct arrow_schema *schema, uint64_t first, uint32_t count) {
    struct batch *batch = batch_create(COLUMNS);
    if (!batch) bench_die("out of memory");
    batch->rows = count;
    for (int c = 0; c < COLUMNS; c++) {
        int64_t *values = arena_alloc(&batch->arena, count * sizeof *values);
        if (!values) bench_die("out of memory");
        for (uint32_t i = 0; i < count; i++)
            values[i] = c == 0 ? (int64_t)(first + i) * day_us : (int64_t)bench_mix(first + i + (uint64_t)c);
        batch->columns[c].type = schema->fields[c].type;
        batch->columns[c].values = values;
    }
    return batch;
}

static void make_segments(const char *path) {
    struct plinth_options quiet = {.no_background_compaction = true};
    const struct plinth_write_options write = {0};
    struct plinth *db;
    struct plinth_error error;
    struct arrow_field fields[COLUMNS] = {0};
    struct plinth_column columns[COLUMNS];
    const struct arrow_schema schema = {fields, COLUMNS};
    const struct table_schema *table;
    const char *key[] = {"at", "id"};
    for (int i = 0; i < COLUMNS; i++) {
        columns[i] = (struct plinth_column){names[i], types[i], i > 1, 0};
        fields[i].name = names[i];
        bench_check(column_type_parse(slice_of_string(types[i]), &fields[i].type, &error), &error);
    }
    struct plinth_table_definition definition = {.columns = columns,
                                                 .column_count = COLUMNS,
                                                 .key = key,
                                                 .key_count = 2,
                                                 .partition_by = "at",
                                                 .partition_us = (uint64_t)day_us};
    bench_check(plinth_open(path, &quiet, &db, &error), &error);
    bench_check(plinth_table_create(db, NULL, "days", &definition, &error), &error);
    bench_check(engine_find_schema(db, NULL, "days", &table, &error), &error);
    for (uint64_t first = 0; first < options.segments; first += DAYS_A_FLUSH) {
        uint64_t left = options.segments - first;
        struct batch *batch = make_days(&schema, first, (uint32_t)(left < DAYS_A_FLUSH ? left : DAYS_A_FLUSH));
        struct rows_result result = bench_rows_submit(db, table->id, &schema, batch, &write);
        bench_check(rows_wait(db, &write, &result, &error), &error);
        batch_unref(batch);
        bench_check(plinth_flush(db, &error), &error);
    }
    table_schema_unref(table);
    plinth_close(db);
}

static int compare_doubles(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double open_many_s(const char *path) {
    struct plinth_options quiet = {.no_background_compaction = true};
    double took[OPENINGS];
    for (int i = 0; i < OPENINGS; i++) {
        struct plinth *db;
        struct plinth_error error;
        struct plinth_stats stats;
        uint64_t began = bench_now_ns();
        bench_check(plinth_open(path, &quiet, &db, &error), &error);
        took[i] = (double)(bench_now_ns() - began) / 1e9;
        plinth_stats_read(db, &stats);
        if (stats.segments < options.segments) bench_die("%" PRIu64 " segments only", stats.segments);
        printf("  open with %" PRIu64 " segments: %.3f s\n", stats.segments, took[i]);
        plinth_close(db);
    }
    qsort(took, OPENINGS, sizeof *took, compare_doubles);
    return took[OPENINGS / 2];
}

/* ---- all of it ---- */

static void usage(void) {
    printf("bench_recovery [--kills N] [--seconds-min S] [--seconds-max S] [--segments N] [--dir DIRECTORY]\n");
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(name, "--help")) {
            usage();
            exit(0);
        }
        if (!value) bench_die("%s: a value is missing", name);
        i++;
        if (!strcmp(name, "--kills"))
            options.kills = (unsigned)strtoul(value, NULL, 10);
        else if (!strcmp(name, "--seconds-min"))
            options.seconds_min = strtod(value, NULL);
        else if (!strcmp(name, "--seconds-max"))
            options.seconds_max = strtod(value, NULL);
        else if (!strcmp(name, "--segments"))
            options.segments = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--dir"))
            options.directory = value;
        else
            bench_die("unknown option %s", name);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    log_event_configure(LOG_ERROR, false);
    double worst = 0, opened = 0;
    uint64_t random = 1;
    printf("  load  killed s     written  replayed   log MiB  segments  first read s  CPU s\n");
    for (unsigned i = 0; i < options.kills; i++) {
        char *directory = bench_directory_make(options.directory), path[4096];
        snprintf(path, sizeof path, "%s/data", directory);
        double part = (double)bench_random_below(&random, 1000) / 1000;
        double took =
            first_read_s(path, i % 2, options.seconds_min + part * (options.seconds_max - options.seconds_min));
        if (took > worst) worst = took;
        bench_directory_remove(directory);
    }
    if (options.segments) {
        char *directory = bench_directory_make(options.directory), path[4096];
        snprintf(path, sizeof path, "%s/data", directory);
        make_segments(path);
        opened = open_many_s(path);
        bench_directory_remove(directory);
    }
    printf("recovery first_read_s=%.3f open_10k_segments_s=%.3f\n", worst, opened);
    return 0;
}
