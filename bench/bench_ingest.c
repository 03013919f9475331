/* How many rows a second come in, durably and with flushes keeping up: in process, and through gRPC.
 *
 * Rows: ingest_rows.h, with two sorted indexes. Batches are made beforehand; their times move on, so that the rows are
 * new ones every time.
 *
 *   embedded    a thread submits batches and waits for the one that it submitted `in-flight` batches before
 *   gRPC        plinthd is fed by this process through one stream, with as many batches unanswered
 *   long        as embedded, for ten minutes: whether what merges owe stays where it was after two
 *   random key  as embedded, but the times are drawn from 30 years, so that no merge finds two rows in their order
 *
 * The clock of each part stops when the last row is acknowledged and the last memtable is in segments; the rate until
 * the last acknowledgement is printed, too. What flushes and compactions are behind then is the backlog.
 *
 * Used again, batches have the same numbers and paths at other times, which merged segments are all too small with. So
 * bytes_per_row is measured apart: of rows of which none is made twice, merged into one run.
 *
 * write_amplification: all bytes that plinthd handed to write calls (log, zeros written into new log files, segments of
 * flushes and of compactions in the background) until the last flush, by the rows' bytes in Arrow's layout. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest_stream.h"
#include "ingest_table.h"
#include "server.h"

enum {
    IN_FLIGHT_MAX = 256,
    THREADS_MAX = 64,
    SIZE_ROWS_MAX = 5000000,
    SIZE_ROWS_PER_SECOND = 100000,
    WATCH_TICKS = 20
};

static struct {
    double seconds;
    uint64_t threads, batch, in_flight;
    unsigned indexes;
    bool only_embedded, only_grpc, only_long, no_size;
    double long_minutes; /* 0: not at all */
    const char *directory, *server;
} options = {.seconds = 60, .threads = 1, .batch = 10000, .in_flight = 16, .indexes = INGEST_INDEXES};

/* What a part has measured. */
struct outcome {
    uint64_t rows, raw_bytes, written_bytes;
    double acknowledged_s, flushed_s;
    double cpu_s; /* engine (and, embedded, the generator) */
    uint64_t flushes, flush_bytes, flush_us, compactions, stalls, stall_us, memtables, compaction_pending;
    uint64_t delay_us, debt_bytes, debt_early_bytes; /* embedded: at the end, and after a fifth of a long run */
};

static void outcome_print(const char *title, const struct outcome *o) {
    printf("%s\n", title);
    printf("  rows                  %12" PRIu64 "\n", o->rows);
    printf("  until acknowledged    %12.0f rows/s  (%.1f s)\n", (double)o->rows / o->acknowledged_s, o->acknowledged_s);
    printf("  until flushed         %12.0f rows/s  (%.1f s)\n", (double)o->rows / o->flushed_s, o->flushed_s);
    printf("  processor             %12.0f ns a row\n", o->cpu_s * 1e9 / (double)o->rows);
    printf("  flushes               %12" PRIu64 "  of %.1f MB/s while they run\n", o->flushes,
           o->flush_us ? (double)o->flush_bytes / (double)o->flush_us : 0.0);
    printf("  compactions           %12" PRIu64 "\n", o->compactions);
    printf("  stalls                %12" PRIu64 "  of %.1f s together\n", o->stalls, (double)o->stall_us / 1e6);
    if (o->delay_us)
        printf("  slowed                %12.1f s together, as merges were behind\n", (double)o->delay_us / 1e6);
    printf("  backlog at the end    %12" PRIu64 " memtables, %" PRIu64 " compactions", o->memtables,
           o->compaction_pending);
    if (o->debt_bytes) printf(" of %.0f MB", (double)o->debt_bytes / 1e6);
    if (o->debt_early_bytes) printf(", after a fifth of the time %.0f MB", (double)o->debt_early_bytes / 1e6);
    printf("\n");
    printf("  written to disk       %12.1f bytes a row of %.1f\n", (double)o->written_bytes / (double)o->rows,
           (double)o->raw_bytes / (double)o->rows);
}

/* ---- embedded ---- */

/* How a part writes. */
struct embedded_plan {
    double seconds;
    bool is_random, is_long;
};

struct embedded {
    struct plinth *db;
    struct table_id table;
    const struct ingest_rows *rows;
    struct embedded_plan plan;
    atomic_ullong rows_written, raw_bytes;
    uint64_t begin_ns, end_ns;
    uint64_t debt_early_bytes;
};

struct worker {
    struct embedded *run;
    struct ingest_pool *pool;
    pthread_t thread;
};

static void wait_for(struct embedded *run, const struct rows_result *result, const struct plinth_write_options *write) {
    struct plinth_error error;
    if (result->last_lsn) bench_check(rows_wait(run->db, write, result, &error), &error);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct embedded *run = worker->run;
    struct rows_result in_flight[IN_FLIGHT_MAX] = {0};
    struct plinth_write_options write = {0};
    for (uint64_t i = 0; bench_now_ns() < run->end_ns; i++) {
        struct batch *batch =
            run->plan.is_random ? ingest_pool_next_random(worker->pool) : ingest_pool_next(worker->pool);
        wait_for(run, &in_flight[i % options.in_flight], &write);
        in_flight[i % options.in_flight] =
            bench_rows_submit(run->db, run->table, ingest_rows_schema(run->rows), batch, &write);
        atomic_fetch_add(&run->rows_written, batch->rows);
        atomic_fetch_add(&run->raw_bytes, batch_bytes(batch));
    }
    for (uint64_t i = 0; i < options.in_flight; i++) wait_for(run, &in_flight[i], &write);
    return NULL;
}

static void make_pools(struct embedded *run, struct worker *workers) {
    uint64_t span = INGEST_POOL_BATCHES * options.batch;
    for (uint64_t i = 0; i < options.threads; i++)
        workers[i] = (struct worker){
            .run = run,
            .pool = ingest_pool_create(run->rows, i * span, (uint32_t)options.batch, options.threads * span)};
}

/* Beside a long run: says every half minute how it goes, and notes what merges owe after a fifth of it. */
static void *watch(void *argument) {
    struct embedded *run = argument;
    uint64_t rows_before = 0, tick_ns = (uint64_t)(run->plan.seconds * 1e9) / WATCH_TICKS;
    for (uint64_t tick = 1; tick < WATCH_TICKS; tick++) {
        while (bench_now_ns() < run->begin_ns + tick * tick_ns) usleep(10 * 1000);
        struct plinth_stats stats;
        plinth_stats_read(run->db, &stats);
        uint64_t rows = atomic_load(&run->rows_written);
        if (tick == WATCH_TICKS / 5) run->debt_early_bytes = stats.compaction_debt_bytes;
        printf("  %5.0f s %12.0f rows/s, merges owe %6.0f MB, %3" PRIu64 " runs\n", (double)(tick * tick_ns) / 1e9,
               (double)(rows - rows_before) / ((double)tick_ns / 1e9), (double)stats.compaction_debt_bytes / 1e6,
               stats.runs_most);
        rows_before = rows;
    }
    return NULL;
}

static void run_threads(struct embedded *run, struct worker *workers) {
    pthread_t watcher;
    if (run->plan.is_long && pthread_create(&watcher, NULL, watch, run)) bench_die("no thread");
    for (uint64_t i = 0; i < options.threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) bench_die("no thread");
    for (uint64_t i = 0; i < options.threads; i++) pthread_join(workers[i].thread, NULL);
    if (run->plan.is_long) pthread_join(watcher, NULL);
}

static void run_embedded(const struct ingest_rows *rows, struct embedded_plan plan, struct outcome *o) {
    struct plinth_error error;
    struct plinth_stats stats;
    struct embedded run = {.rows = rows, .plan = plan};
    char *directory = bench_directory_make(options.directory);
    bench_check(plinth_open(directory, NULL, &run.db, &error), &error);
    ingest_table_create(run.db, rows, options.indexes);
    run.table = ingest_table_id(run.db);
    struct worker workers[THREADS_MAX];
    make_pools(&run, workers);
    uint64_t begin_ns = run.begin_ns = bench_now_ns(), written = bench_written_bytes("self");
    double cpu = bench_cpu_seconds();
    run.end_ns = begin_ns + (uint64_t)(plan.seconds * 1e9);
    run_threads(&run, workers);
    o->acknowledged_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    plinth_stats_read(run.db, &stats);
    o->debt_bytes = stats.compaction_debt_bytes;
    o->debt_early_bytes = run.debt_early_bytes;
    o->memtables = stats.memtables;
    o->compaction_pending = stats.compaction_pending;
    bench_check(plinth_flush(run.db, &error), &error);
    o->flushed_s = (double)(bench_now_ns() - begin_ns) / 1e9;
    o->cpu_s = bench_cpu_seconds() - cpu;
    o->written_bytes = bench_written_bytes("self") - written;
    plinth_stats_read(run.db, &stats);
    o->rows = atomic_load(&run.rows_written);
    o->raw_bytes = atomic_load(&run.raw_bytes);
    o->flushes = stats.flushes;
    o->flush_bytes = stats.flush_bytes;
    o->flush_us = stats.flush_us;
    o->compactions = stats.compactions;
    o->stalls = stats.write_stalls;
    o->stall_us = stats.write_stall_us;
    o->delay_us = stats.write_delay_us;
    plinth_close(run.db);
    for (uint64_t i = 0; i < options.threads; i++) ingest_pool_destroy(workers[i].pool);
    bench_directory_remove(directory);
}

/* ---- gRPC ---- */

/* An engine with the table, for the server to open. */
static void prepare_directory(const char *data, const struct ingest_rows *rows) {
    struct plinth *db;
    struct plinth_error error;
    bench_check(plinth_open(data, NULL, &db, &error), &error);
    ingest_table_create(db, rows, options.indexes);
    plinth_close(db);
}

static void run_grpc(const struct ingest_rows *rows, struct outcome *o) {
    char *directory = bench_directory_make(options.directory);
    char data[4096];
    snprintf(data, sizeof data, "%s/data", directory);
    prepare_directory(data, rows);
    struct bench_server server;
    bench_server_start(&server, options.server, directory, "synced", "1GiB");
    struct ingest_stream_options stream = {.address = server.address,
                                           .table = INGEST_TABLE,
                                           .batch_rows = (uint32_t)options.batch,
                                           .in_flight = (uint32_t)options.in_flight,
                                           .seconds = options.seconds};
    static struct ingest_stream_result result;
    uint64_t written = bench_server_written_bytes(&server);
    double cpu = bench_server_cpu_seconds(&server);
    ingest_stream_run(rows, &stream, &result);
    o->acknowledged_s = (double)(result.last_answer_ns - result.begin_ns) / 1e9;
    o->memtables = bench_server_number(&server, "memtables");
    o->compaction_pending = bench_server_number(&server, "compaction_pending");
    struct buffer flushed = bench_server_ask(&server, "/plinth.v1.Admin/Flush");
    buffer_deinit(&flushed);
    o->flushed_s = (double)(bench_now_ns() - result.begin_ns) / 1e9;
    o->cpu_s = bench_server_cpu_seconds(&server) - cpu;
    o->written_bytes = bench_server_written_bytes(&server) - written;
    o->rows = result.rows;
    o->raw_bytes = result.raw_bytes;
    o->flushes = bench_server_number(&server, "flushes");
    o->flush_bytes = bench_server_number(&server, "flush_bytes");
    o->flush_us = bench_server_number(&server, "flush_us");
    o->compactions = bench_server_number(&server, "compactions");
    o->stalls = bench_server_number(&server, "write_stalls");
    o->stall_us = bench_server_number(&server, "write_stall_us");
    outcome_print("through gRPC", o);
    printf("  a batch               p50 %.1f ms   p99 %.1f ms   max %.1f ms until acknowledged\n",
           (double)histogram_quantile_ns(&result.latency, 0.5) / 1e6,
           (double)histogram_quantile_ns(&result.latency, 0.99) / 1e6, (double)result.latency.max_ns / 1e6);
    bench_server_stop(&server);
    bench_directory_remove(directory);
}

/* ---- size ---- */

static double measure_bytes_per_row(const struct ingest_rows *rows) {
    double wanted = options.seconds * SIZE_ROWS_PER_SECOND;
    uint64_t count = wanted < SIZE_ROWS_MAX ? (uint64_t)wanted + 1 : SIZE_ROWS_MAX;
    struct plinth *db;
    struct plinth_error error;
    struct plinth_stats stats;
    const struct plinth_write_options write = {0};
    char *directory = bench_directory_make(options.directory);
    bench_check(plinth_open(directory, NULL, &db, &error), &error);
    ingest_table_create(db, rows, options.indexes);
    struct table_id table = ingest_table_id(db);
    struct rows_result last = {0};
    uint64_t made = 0;
    for (; made < count; made += options.batch) {
        struct batch *batch = ingest_rows_make(rows, made, (uint32_t)options.batch);
        last = bench_rows_submit(db, table, ingest_rows_schema(rows), batch, &write);
        batch_unref(batch);
    }
    bench_check(rows_wait(db, &write, &last, &error), &error);
    bench_check(plinth_compact(db, &error), &error);
    plinth_stats_read(db, &stats);
    plinth_close(db);
    bench_directory_remove(directory);
    double bytes = (double)stats.segment_bytes / (double)made;
    printf("%" PRIu64 " rows merged into one run: %.1f bytes a row\n", made, bytes);
    return bytes;
}

/* ---- the run ---- */

static double csv_bytes_per_row(const struct ingest_rows *rows) {
    struct batch *sample = ingest_rows_make(rows, 0, 20000);
    double bytes = (double)ingest_rows_csv_bytes(sample) / sample->rows;
    batch_unref(sample);
    return bytes;
}

static void usage(FILE *to) {
    fputs("usage: bench_ingest [--seconds N] [--batch ROWS] [--in-flight BATCHES] [--threads N] [--indexes N]\n"
          "                    [--long | --minutes N] [--embedded | --grpc | --only-long] [--no-size]\n"
          "                    [--dir DIRECTORY] [--server PLINTHD]\n"
          "  --seconds N          of each part (60)\n"
          "  --batch ROWS         a multiple of 40, at most 100000 (10000)\n"
          "  --in-flight BATCHES  not acknowledged yet, of each thread or of the stream (16)\n"
          "  --threads N          that write in process (1)\n"
          "  --indexes N          sorted indexes of the table, 0 to 2 (2); --no-index: 0\n"
          "  --long               then in process for ten minutes, and by random keys for five\n"
          "  --minutes N          the same for N minutes and half as long\n"
          "  --embedded, --grpc   only this part (and the long ones, when asked for)\n"
          "  --only-long          only the long ones\n"
          "  --no-size            bytes_per_row is not measured\n"
          "  --dir DIRECTORY      where to make the temporary data directories (.)\n"
          "  --server PLINTHD     the program to measure (the one of the same build)\n",
          to);
}

static double number_of(const char *flag, const char *text, double max) {
    char *end;
    double number = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || number <= 0 || number > max)
        bench_die("%s wants a number above 0 and up to %.0f", flag, max);
    return number;
}

static void read_options(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(flag, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(flag, "--no-index")) {
            options.indexes = 0;
            continue;
        } else if (!strcmp(flag, "--long")) {
            options.long_minutes = 10;
            continue;
        } else if (!strcmp(flag, "--only-long")) {
            options.only_long = true;
            continue;
        } else if (!strcmp(flag, "--no-size")) {
            options.no_size = true;
            continue;
        } else if (!strcmp(flag, "--embedded")) {
            options.only_embedded = true;
            continue;
        } else if (!strcmp(flag, "--grpc")) {
            options.only_grpc = true;
            continue;
        } else if (!strcmp(flag, "--seconds")) {
            options.seconds = number_of(flag, value, 1e6);
        } else if (!strcmp(flag, "--minutes")) {
            options.long_minutes = number_of(flag, value, 1e4);
        } else if (!strcmp(flag, "--indexes")) {
            options.indexes = value && !strcmp(value, "0") ? 0 : (unsigned)number_of(flag, value, INGEST_INDEXES);
        } else if (!strcmp(flag, "--threads")) {
            options.threads = (uint64_t)number_of(flag, value, THREADS_MAX);
        } else if (!strcmp(flag, "--batch")) {
            options.batch = (uint64_t)number_of(flag, value, 100000);
            if (options.batch % 40) bench_die("--batch wants a multiple of 40");
        } else if (!strcmp(flag, "--in-flight")) {
            options.in_flight = (uint64_t)number_of(flag, value, IN_FLIGHT_MAX);
        } else if (!strcmp(flag, "--dir") && value) {
            options.directory = value;
        } else if (!strcmp(flag, "--server") && value) {
            options.server = value;
        } else {
            usage(stderr);
            bench_die("bad option \"%s\"", flag);
        }
        i++;
    }
}

int main(int argument_count, char **arguments) {
    read_options(argument_count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct outcome embedded = {0}, grpc = {0}, lasting = {0}, random_key = {0};
    struct ingest_rows *rows = ingest_rows_create();
    printf("rows of %d columns, key (host, time), %u sorted indexes, durable; batches of %" PRIu64 " rows, %" PRIu64
           " in flight\n",
           INGEST_COLUMNS, options.indexes, options.batch, options.in_flight);
    if (!options.only_grpc && !options.only_long) {
        run_embedded(rows, (struct embedded_plan){.seconds = options.seconds}, &embedded);
        outcome_print("embedded", &embedded);
    }
    if (!options.only_embedded && !options.only_long) run_grpc(rows, &grpc);
    if (options.long_minutes > 0) {
        run_embedded(rows, (struct embedded_plan){.seconds = options.long_minutes * 60, .is_long = true}, &lasting);
        outcome_print("embedded, long", &lasting);
        run_embedded(rows,
                     (struct embedded_plan){.seconds = options.long_minutes * 30, .is_long = true, .is_random = true},
                     &random_key);
        outcome_print("embedded, random keys", &random_key);
    }
    double bytes_per_row = options.no_size ? 0 : measure_bytes_per_row(rows);
    double none = 1e-9; /* of a part that did not run: its figures are 0 */
    printf("ingest rows_per_s=%.0f embedded_rows_per_s=%.0f bytes_per_row=%.1f csv_bytes_per_row=%.1f "
           "write_amplification=%.2f embedded_write_amplification=%.2f acknowledged_rows_per_s=%.0f "
           "embedded_acknowledged_rows_per_s=%.0f stalls_s=%.1f embedded_stalls_s=%.1f backlog_memtables=%" PRIu64
           " backlog_compactions=%" PRIu64
           " rows_per_s_10min=%.0f random_key_rows_per_s=%.0f backlog_early_mb=%.0f backlog_end_mb=%.0f\n",
           (double)grpc.rows / (grpc.flushed_s + none), (double)embedded.rows / (embedded.flushed_s + none),
           bytes_per_row, csv_bytes_per_row(rows), (double)grpc.written_bytes / ((double)grpc.raw_bytes + none),
           (double)embedded.written_bytes / ((double)embedded.raw_bytes + none),
           (double)grpc.rows / (grpc.acknowledged_s + none), (double)embedded.rows / (embedded.acknowledged_s + none),
           (double)grpc.stall_us / 1e6, (double)embedded.stall_us / 1e6, grpc.memtables, grpc.compaction_pending,
           (double)lasting.rows / (lasting.flushed_s + none), (double)random_key.rows / (random_key.flushed_s + none),
           (double)lasting.debt_early_bytes / 1e6, (double)lasting.debt_bytes / 1e6);
    ingest_rows_destroy(rows);
    return 0;
}
