/* The workload of the key-value benchmark, run against whatever kv_store.h is linked in.
 *
 *   set    random sets by one thread, not synced; the clock stops when no merge is due
 *   batch  the same keys and values, 1,000 to an atomic write, in a directory of its own; then everything is merged
 *   get    random gets of keys that are there, by one thread, then by two
 *   seek   to a random key, and the ten rows from there on, by one thread
 *   rww    random gets by one thread beside another one that sets as fast as it can
 *   sync   synced sets by 32 threads, in a directory of its own, between measurements of the disk's fdatasync rate
 *
 * It ends on a line `NAME key=value ...`. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv_store.h"

enum { BATCH_PAIRS = 1000, SCAN_ROWS = 10, SYNC_THREADS = 32, READ_THREADS = 2 };

struct workload {
    uint64_t keys, sets;
    double seconds; /* of each of the phases that read or sync */
    struct kv_options options;
    const char *parent;
    uint8_t *written; /* a bit for each key that was set */
};

struct figures {
    double set_per_s, batch_per_s, get_per_s, get2_per_s, seek_per_s, rww_per_s, rww_set_per_s, sync_per_s, disk_per_s;
    double get_p50_us, get_p99_us, rww_p99_us, bytes_per_key, set_cpu_us, batch_cpu_us;
};

static struct kv_store *open_store(struct workload *workload, bool synced) {
    struct kv_options options = workload->options;
    options.directory = bench_directory_make(workload->parent);
    options.synced = synced;
    workload->options.directory = options.directory;
    return kv_store_open(&options);
}

static void close_store(struct workload *workload, struct kv_store *store) {
    kv_store_close(store);
    bench_directory_remove((char *)workload->options.directory);
}

static void make_pair(uint64_t number, uint64_t *random, struct kv_pair *pair) {
    bench_key(number, pair->key);
    bench_value(random, pair->value);
}

/* ---- writes ---- */

static void run_sets(struct workload *workload, struct figures *figures) {
    struct kv_store *store = open_store(workload, false);
    struct kv_pair pair;
    uint64_t random = 1, began = bench_now_ns();
    double cpu = bench_cpu_seconds();
    for (uint64_t i = 0; i < workload->sets; i++) {
        make_pair(bench_random_below(&random, workload->keys), &random, &pair);
        kv_store_set(store, &pair);
    }
    kv_store_settle(store);
    figures->set_per_s = (double)workload->sets * 1e9 / (double)(bench_now_ns() - began);
    figures->set_cpu_us = (bench_cpu_seconds() - cpu) * 1e6 / (double)workload->sets;
    close_store(workload, store);
}

/* The store stays open, with everything merged. */
static struct kv_store *run_batches(struct workload *workload, struct figures *figures) {
    static struct kv_pair pairs[BATCH_PAIRS];
    struct kv_store *store = open_store(workload, false);
    uint64_t random = 1, distinct = 0, began = bench_now_ns();
    double cpu = bench_cpu_seconds();
    for (uint64_t i = 0; i < workload->sets; i += BATCH_PAIRS) {
        for (unsigned k = 0; k < BATCH_PAIRS; k++) {
            uint64_t number = bench_random_below(&random, workload->keys);
            make_pair(number, &random, &pairs[k]);
            distinct += !(workload->written[number / 8] >> number % 8 & 1);
            workload->written[number / 8] |= (uint8_t)(1 << number % 8);
        }
        kv_store_batch(store, pairs, BATCH_PAIRS);
    }
    kv_store_settle(store);
    figures->batch_per_s = (double)workload->sets * 1e9 / (double)(bench_now_ns() - began);
    figures->batch_cpu_us = (bench_cpu_seconds() - cpu) * 1e6 / (double)workload->sets;
    kv_store_compact(store);
    figures->bytes_per_key = (double)kv_store_bytes(store) / (double)distinct;
    return store;
}

/* ---- reads ---- */

struct reader {
    const struct workload *workload;
    struct kv_store *store;
    bool seeks;
    uint64_t random, end_ns, count;
    struct histogram latency;
};

static uint64_t written_number(const struct workload *workload, uint64_t *random) {
    for (;;) {
        uint64_t number = bench_random_below(random, workload->keys);
        if (workload->written[number / 8] >> number % 8 & 1) return number;
    }
}

static void read_once(struct reader *reader) {
    char key[BENCH_KEY_BYTES];
    uint8_t value[BENCH_VALUE_BYTES];
    bench_key(written_number(reader->workload, &reader->random), key);
    if (reader->seeks) {
        if (!kv_store_scan(reader->store, key, SCAN_ROWS)) bench_die("nothing from key %.16s on", key);
    } else if (!kv_store_get(reader->store, key, value)) {
        bench_die("key %.16s was set and is not found", key);
    } else if (value[BENCH_VALUE_BYTES - 1]) {
        bench_die("key %.16s has a wrong value", key);
    }
}

static void *reader_run(void *argument) {
    struct reader *reader = argument;
    uint64_t now = bench_now_ns();
    while (now < reader->end_ns) {
        read_once(reader);
        uint64_t then = now;
        now = bench_now_ns();
        histogram_add(&reader->latency, now - then);
        reader->count++;
    }
    return NULL;
}

/* Reads a second by `threads` threads; latencies into `latency`. */
static double run_readers(const struct workload *workload, struct kv_store *store, bool seeks, unsigned threads,
                          double seconds, struct histogram *latency) {
    static struct reader readers[READ_THREADS];
    pthread_t ids[READ_THREADS];
    uint64_t began = bench_now_ns(), count = 0;
    memset(readers, 0, sizeof readers);
    for (unsigned i = 0; i < threads; i++) {
        readers[i].workload = workload;
        readers[i].store = store;
        readers[i].seeks = seeks;
        readers[i].random = 100 + i;
        readers[i].end_ns = began + (uint64_t)(seconds * 1e9);
        if (pthread_create(&ids[i], NULL, reader_run, &readers[i])) bench_die("no thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        count += readers[i].count;
        histogram_merge(latency, &readers[i].latency);
    }
    return (double)count * 1e9 / (double)(bench_now_ns() - began);
}

static void run_reads(struct workload *workload, struct kv_store *store, struct figures *figures) {
    static struct histogram ignored, latency;
    run_readers(workload, store, false, 1, workload->seconds, &ignored); /* warms the cache */
    figures->get_per_s = run_readers(workload, store, false, 1, workload->seconds, &latency);
    figures->get_p50_us = (double)histogram_quantile_ns(&latency, 0.5) / 1e3;
    figures->get_p99_us = (double)histogram_quantile_ns(&latency, 0.99) / 1e3;
    figures->get2_per_s = run_readers(workload, store, false, 2, workload->seconds, &ignored);
    figures->seek_per_s = run_readers(workload, store, true, 1, workload->seconds, &ignored);
}

/* ---- reads beside writes ---- */

struct writer {
    struct workload *workload;
    struct kv_store *store;
    atomic_bool stop;
    uint64_t random, end_ns, count;
};

static void *writer_run(void *argument) {
    struct writer *writer = argument;
    struct kv_pair pair;
    while (!atomic_load_explicit(&writer->stop, memory_order_relaxed) &&
           (!writer->end_ns || bench_now_ns() < writer->end_ns)) {
        make_pair(bench_random_below(&writer->random, writer->workload->keys), &writer->random, &pair);
        kv_store_set(writer->store, &pair);
        writer->count++;
    }
    return NULL;
}

static void run_rww(struct workload *workload, struct kv_store *store, struct figures *figures) {
    static struct histogram latency;
    struct writer writer = {.workload = workload, .store = store, .random = 7};
    pthread_t id;
    uint64_t began = bench_now_ns();
    if (pthread_create(&id, NULL, writer_run, &writer)) bench_die("no thread");
    figures->rww_per_s = run_readers(workload, store, false, 1, 2 * workload->seconds, &latency);
    atomic_store(&writer.stop, true);
    pthread_join(id, NULL);
    figures->rww_set_per_s = (double)writer.count * 1e9 / (double)(bench_now_ns() - began);
    figures->rww_p99_us = (double)histogram_quantile_ns(&latency, 0.99) / 1e3;
}

/* ---- synced sets ---- */

static void run_syncs(struct workload *workload, struct figures *figures) {
    static struct writer writers[SYNC_THREADS];
    pthread_t ids[SYNC_THREADS];
    struct kv_store *store = open_store(workload, true);
    double before = bench_fdatasync_per_s(workload->options.directory, workload->seconds / 4);
    uint64_t began = bench_now_ns(), count = 0;
    for (unsigned i = 0; i < SYNC_THREADS; i++) {
        writers[i].workload = workload;
        writers[i].store = store;
        writers[i].random = 1000 + i;
        writers[i].end_ns = began + (uint64_t)(workload->seconds * 1e9);
        if (pthread_create(&ids[i], NULL, writer_run, &writers[i])) bench_die("no thread");
    }
    for (unsigned i = 0; i < SYNC_THREADS; i++) {
        pthread_join(ids[i], NULL);
        count += writers[i].count;
    }
    figures->sync_per_s = (double)count * 1e9 / (double)(bench_now_ns() - began);
    figures->disk_per_s = (before + bench_fdatasync_per_s(workload->options.directory, workload->seconds / 4)) / 2;
    close_store(workload, store);
}

/* ---- the run ---- */

static void usage(FILE *to) {
    fputs("usage: kv_STORE [--keys N] [--sets N] [--seconds N] [--cache-mib N] [--memtable-mib N] [--dir DIRECTORY]\n"
          "  --keys N          how many different keys (5000000)\n"
          "  --sets N          how many sets, each way (10000000)\n"
          "  --seconds N       of each phase that reads or syncs (5)\n"
          "  --cache-mib N     page or block cache (1024)\n"
          "  --memtable-mib N  (64)\n"
          "  --dir DIRECTORY   where to make the temporary data directories (.)\n",
          to);
}

static double number_of(const char *flag, const char *text) {
    char *end;
    double number = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || number <= 0) bench_die("%s wants a number above 0", flag);
    return number;
}

static void read_options(struct workload *workload, int count, char **arguments) {
    for (int i = 1; i < count; i += 2) {
        const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(flag, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(flag, "--keys")) {
            workload->keys = (uint64_t)number_of(flag, value);
        } else if (!strcmp(flag, "--sets")) {
            workload->sets = (uint64_t)number_of(flag, value);
        } else if (!strcmp(flag, "--seconds")) {
            workload->seconds = number_of(flag, value);
        } else if (!strcmp(flag, "--cache-mib")) {
            workload->options.cache_bytes = (uint64_t)number_of(flag, value) << 20;
        } else if (!strcmp(flag, "--memtable-mib")) {
            workload->options.memory_bytes = (uint64_t)number_of(flag, value) << 20;
        } else if (!strcmp(flag, "--dir") && value) {
            workload->parent = value;
        } else {
            usage(stderr);
            bench_die("bad option \"%s\"", flag);
        }
    }
    workload->sets = (workload->sets + BATCH_PAIRS - 1) / BATCH_PAIRS * BATCH_PAIRS;
    workload->options.data_bytes = workload->sets * sizeof(struct kv_pair);
}

int main(int argument_count, char **arguments) {
    struct workload workload = {.keys = 5000000,
                                .sets = 10000000,
                                .seconds = 5,
                                .options = {.cache_bytes = UINT64_C(1) << 30, .memory_bytes = UINT64_C(64) << 20}};
    struct figures figures = {0};
    read_options(&workload, argument_count, arguments);
    workload.written = calloc(workload.keys / 8 + 1, 1);
    if (!workload.written) bench_die("out of memory");
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s\n", kv_store_title());

    run_sets(&workload, &figures);
    printf("  set         %10.0f /s   %.1f us of processor each\n", figures.set_per_s, figures.set_cpu_us);
    struct kv_store *store = run_batches(&workload, &figures);
    printf("  batch       %10.0f /s   %.1f us of processor each; merged %.1f bytes a key\n", figures.batch_per_s,
           figures.batch_cpu_us, figures.bytes_per_key);
    run_reads(&workload, store, &figures);
    printf("  get         %10.0f /s   p50 %.2f us   p99 %.2f us; by two threads %.0f /s\n", figures.get_per_s,
           figures.get_p50_us, figures.get_p99_us, figures.get2_per_s);
    printf("  seek        %10.0f /s\n", figures.seek_per_s);
    run_rww(&workload, store, &figures);
    printf("  rww         %10.0f /s   p99 %.2f us, beside %.0f sets a second\n", figures.rww_per_s, figures.rww_p99_us,
           figures.rww_set_per_s);
    close_store(&workload, store);
    run_syncs(&workload, &figures);
    printf("  sync        %10.0f /s   of the disk's %.0f fdatasyncs a second\n", figures.sync_per_s,
           figures.disk_per_s);
    printf("kv_store set_per_s=%.0f batch_per_s=%.0f get_per_s=%.0f get2_per_s=%.0f seek_per_s=%.0f rww_per_s=%.0f "
           "rww_p99_us=%.2f rww_set_per_s=%.0f syncset32_per_s=%.0f fdatasync_per_s=%.0f bytes_per_key=%.1f\n",
           figures.set_per_s, figures.batch_per_s, figures.get_per_s, figures.get2_per_s, figures.seek_per_s,
           figures.rww_per_s, figures.rww_p99_us, figures.rww_set_per_s, figures.sync_per_s, figures.disk_per_s,
           figures.bytes_per_key);
    free(workload.written);
    return 0;
}
