/* How many rows a second the engine takes in, durably and with flushes keeping up.
 *
 *     bench_ingest [--seconds N] [--threads N] [--batch ROWS] [--in-flight BATCHES] [--no-index] [--flat] [--directory
 * D]
 *
 * Rows: ingest_rows.h. Each thread makes a batch, submits it and waits for the one that it submitted `in-flight`
 * batches before; the clock stops when the last one is durable and the last memtable is in segments. There is one
 * sorted index, on "path". --flat measures what the path of a write costs by itself: no fdatasync is waited for, no
 * index, and batches are made beforehand. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rows.h"
#include "ingest_rows.h"
#include "measure.h"

enum { IN_FLIGHT_MAX = 256, FLAT_BATCHES = 64 };

static struct {
    uint64_t seconds, threads, batch, in_flight;
    bool no_index, flat;
    const char *directory;
} options = {.seconds = 10, .threads = 1, .batch = 10000, .in_flight = 16};

struct run {
    struct plinth *db;
    struct table_id table;
    const struct ingest_rows *rows;
    atomic_ullong next_row, rows_written, batch_bytes;
    atomic_ullong make_ns, submit_ns, wait_ns;
    uint64_t end_ns;
};

static void check(enum plinth_status st, const struct plinth_error *error) {
    if (st) bench_die("%s: %s", plinth_status_name(st), error->text);
}

static struct rows_result submit(struct run *run, const struct batch *batch, const struct plinth_write_options *write) {
    struct rows_write rows = {.operation = ROWS_UPSERT, .schema = ingest_rows_schema(run->rows), .batch = batch};
    struct rows_result result;
    struct plinth_error error;
    check(rows_submit(run->db, run->table, &rows, write, &result, &error), &error);
    if (result.rows_rejected) bench_die("a row was rejected: %s", result.rejects[0].reason);
    return result;
}

static void wait_for(struct run *run, const struct rows_result *result, const struct plinth_write_options *write) {
    struct plinth_error error;
    if (result->last_lsn) check(rows_wait(run->db, write, result, &error), &error);
}

static void *work(void *argument) {
    struct run *run = argument;
    struct rows_result in_flight[IN_FLIGHT_MAX] = {0};
    struct plinth_write_options write = {.durability = options.flat ? PLINTH_DURABILITY_BUFFERED : 0};
    struct batch *made[FLAT_BATCHES] = {0};
    for (int i = 0; options.flat && i < FLAT_BATCHES; i++)
        made[i] = ingest_rows_make(run->rows, atomic_fetch_add(&run->next_row, options.batch), (uint32_t)options.batch);
    uint64_t make_ns = 0, submit_ns = 0, wait_ns = 0;
    for (uint64_t i = 0;; i++) {
        uint64_t begin = bench_now_ns();
        if (begin >= run->end_ns && !options.flat) break;
        if (options.flat && i == FLAT_BATCHES) break;
        struct batch *batch = made[i % FLAT_BATCHES];
        if (!batch)
            batch =
                ingest_rows_make(run->rows, atomic_fetch_add(&run->next_row, options.batch), (uint32_t)options.batch);
        uint64_t ready = bench_now_ns();
        wait_for(run, &in_flight[i % options.in_flight], &write);
        uint64_t waited = bench_now_ns();
        in_flight[i % options.in_flight] = submit(run, batch, &write);
        submit_ns += bench_now_ns() - waited;
        make_ns += ready - begin;
        wait_ns += waited - ready;
        atomic_fetch_add(&run->rows_written, batch->rows);
        atomic_fetch_add(&run->batch_bytes, batch_bytes(batch));
        batch_unref(batch);
    }
    for (uint64_t i = 0; i < options.in_flight; i++) wait_for(run, &in_flight[i], &write);
    atomic_fetch_add(&run->make_ns, make_ns);
    atomic_fetch_add(&run->submit_ns, submit_ns);
    atomic_fetch_add(&run->wait_ns, wait_ns);
    return NULL;
}

static void make_table(struct plinth *db) {
    struct plinth_error error;
    struct plinth_column columns[INGEST_COLUMNS];
    const struct ingest_rows *rows = ingest_rows_create();
    for (int i = 0; i < INGEST_COLUMNS; i++)
        columns[i] = (struct plinth_column){ingest_rows_schema(rows)->fields[i].name, ingest_types[i], i > 1, 0};
    const char *key[] = {"host", "time"}, *indexed = "path";
    struct plinth_table_definition definition = {
        .columns = columns, .column_count = INGEST_COLUMNS, .key = key, .key_count = 2};
    check(plinth_table_create(db, NULL, "metrics", &definition, &error), &error);
    struct plinth_index index = {
        .name = "by_path", .kind = PLINTH_INDEX_SORTED, .columns = &indexed, .column_count = 1};
    if (!options.no_index && !options.flat)
        check(plinth_table_index_create(db, NULL, "metrics", &index, &error), &error);
    ingest_rows_destroy((struct ingest_rows *)rows);
}

static double csv_bytes_per_row(const struct ingest_rows *rows) {
    struct batch *sample = ingest_rows_make(rows, 0, 20000);
    double bytes = (double)ingest_rows_csv_bytes(sample) / sample->rows;
    batch_unref(sample);
    return bytes;
}

static void run_threads(struct run *run) {
    pthread_t threads[64];
    for (uint64_t i = 0; i < options.threads; i++)
        if (pthread_create(&threads[i], NULL, work, run)) bench_die("no thread");
    for (uint64_t i = 0; i < options.threads; i++) pthread_join(threads[i], NULL);
}

static void report(struct run *run, uint64_t begin_ns, uint64_t written_before, double cpu_before) {
    struct plinth_error error;
    struct plinth_stats stats;
    double rows = (double)atomic_load(&run->rows_written);
    double written_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    if (!options.flat) check(plinth_flush(run->db, &error), &error);
    double whole_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    plinth_stats_read(run->db, &stats);
    double written = (double)(bench_written_bytes() - written_before);
    double disk = (double)stats.segment_bytes, csv = csv_bytes_per_row(run->rows);
    printf("%.0f rows in %.2f s (%.2f s with the last flush): %.0f rows/s written, %.0f rows/s flushed\n", rows,
           written_s, whole_s, rows / written_s, rows / whole_s);
    printf("a row: %.0f ns to make, %.0f ns to submit, %.0f ns waiting; %.0f ns of processor in all\n",
           (double)atomic_load(&run->make_ns) / rows, (double)atomic_load(&run->submit_ns) / rows,
           (double)atomic_load(&run->wait_ns) / rows, (bench_cpu_seconds() - cpu_before) * 1e9 / rows);
    printf("%llu flushes of %.1f MiB/s, %llu compactions, %llu stalls of %.1f s; log %.1f MiB; segments %.1f MiB\n",
           (unsigned long long)stats.flushes,
           stats.flush_us ? (double)stats.flush_bytes / 1.048576 / (double)stats.flush_us : 0.0,
           (unsigned long long)stats.compactions, (unsigned long long)stats.write_stalls,
           (double)stats.write_stall_us / 1e6, (double)stats.log_bytes / (1 << 20), disk / (1 << 20));
    printf("ingest embedded_rows_per_s=%.0f bytes_per_row=%.1f csv_bytes_per_row=%.1f write_amplification=%.2f\n",
           rows / whole_s, disk / rows, csv, written / (double)atomic_load(&run->batch_bytes));
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--no-index") == 0)
            options.no_index = true;
        else if (strcmp(argv[i], "--flat") == 0)
            options.flat = true;
        else if (strcmp(argv[i], "--directory") == 0 && has_value)
            options.directory = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && has_value)
            options.seconds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0 && has_value)
            options.threads = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--batch") == 0 && has_value)
            options.batch = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--in-flight") == 0 && has_value)
            options.in_flight = strtoull(argv[++i], NULL, 10);
        else
            bench_die("what is \"%s\"? See the head of bench_ingest.c", argv[i]);
    }
    if (!options.threads || options.threads > 64 || !options.batch || options.batch > 100000 || !options.in_flight ||
        options.in_flight > IN_FLIGHT_MAX)
        bench_die("1 to 64 threads, 1 to 100000 rows a batch, 1 to %d in flight", IN_FLIGHT_MAX);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    struct plinth_error error;
    char *directory = bench_directory_make(options.directory);
    struct run run = {.rows = ingest_rows_create()};
    struct plinth_options engine = {.memtable_bytes = options.flat ? UINT64_C(4) << 30 : 0};
    check(plinth_open(directory, &engine, &run.db, &error), &error);
    make_table(run.db);
    const struct table_schema *schema;
    check(engine_find_schema(run.db, NULL, "metrics", &schema, &error), &error);
    run.table = schema->id;
    table_schema_unref(schema);
    uint64_t begin_ns = bench_now_ns(), written = bench_written_bytes();
    double cpu = bench_cpu_seconds();
    run.end_ns = begin_ns + options.seconds * 1000000000u;
    run_threads(&run);
    report(&run, begin_ns, written, cpu);
    plinth_close(run.db);
    ingest_rows_destroy((struct ingest_rows *)run.rows);
    bench_directory_remove(directory);
    return 0;
}
