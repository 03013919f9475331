/* kv_engine: the embedded engine through include/plinth.h, as one thread and 32 threads see it.
 *
 *   1. random sets by one thread, the log without sync (WRITTEN: each set is handed to the operating system before
 *      it is acknowledged); the clock stops when all is in segments
 *   2. the same with BUFFERED (the log is written by its own thread), in a directory of its own
 *   3. flush and compact; then random gets by one thread, of keys that are there, from segments only, warm
 *   4. synced sets by 32 threads, between two measurements of the disk's own fdatasync rate
 *
 * Keys are 16 bytes, values 100 bytes of which half compress. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "plinth.h"

enum { SYNC_THREADS = 32 };

struct bench {
    double seconds, get_seconds, sync_seconds;
    uint64_t keys;
    uint64_t cache_bytes;
    const char *parent;
    char *directory;
    struct plinth *db;
    struct plinth_space space;
    uint64_t *written; /* a bit for each key that was set */
};

struct sets {
    double per_s, seconds, flush_seconds, cpu_seconds;
    uint64_t count, key_count;
    struct histogram latency;
    struct plinth_stats stats;
    uint64_t written_bytes, resident_bytes;
};

struct gets {
    double per_s, compact_seconds;
    struct histogram latency;
    struct plinth_stats stats;
    uint64_t hits, misses, resident_bytes;
};

struct syncs {
    double per_s, fdatasync_per_s, cpu_seconds;
    struct histogram latency;
    uint64_t log_syncs, count;
};

static void check(enum plinth_status status, const struct plinth_error *error) {
    if (status) bench_die("%s", error->text);
}

static void engine_open(struct bench *bench) {
    struct plinth_error error;
    struct plinth_options options = {.durability = PLINTH_DURABILITY_WRITTEN,
                                     .read_durability = PLINTH_DURABILITY_WRITTEN,
                                     .cache_bytes = bench->cache_bytes};
    bench->directory = bench_directory_make(bench->parent);
    bench->written = calloc((bench->keys + 63) / 64, sizeof *bench->written);
    if (!bench->written) bench_die("out of memory");
    check(plinth_open(bench->directory, &options, &bench->db, &error), &error);
    check(plinth_space_find(bench->db, "", "", &bench->space, &error), &error);
}

static void engine_close(struct bench *bench) {
    plinth_close(bench->db);
    free(bench->written);
    bench_directory_remove(bench->directory);
}

/* ---- sets by one thread ---- */

static void set_one(struct bench *bench, uint64_t number, uint64_t *random,
                    const struct plinth_write_options *options) {
    char key[BENCH_KEY_BYTES];
    uint8_t value[BENCH_VALUE_BYTES];
    struct plinth_error error;
    bench_key(number, key);
    bench_value(random, value);
    check(plinth_set(bench->db, bench->space, plinth_bytes(key, sizeof key), plinth_bytes(value, sizeof value), options,
                     NULL, &error),
          &error);
}

static void run_sets(struct bench *bench, enum plinth_durability durability, struct sets *result) {
    const struct plinth_write_options options = {.durability = durability};
    struct plinth_error error;
    uint64_t random = 1, written_before = bench_written_bytes("self");
    double cpu_before = bench_cpu_seconds();
    uint64_t began = bench_now_ns(), end = began + (uint64_t)(bench->seconds * 1e9), now = began;
    while (now < end) {
        uint64_t number = bench_random_below(&random, bench->keys);
        set_one(bench, number, &random, &options);
        bench->written[number / 64] |= UINT64_C(1) << number % 64;
        uint64_t then = now;
        now = bench_now_ns();
        histogram_add(&result->latency, now - then);
        result->count++;
    }
    check(plinth_flush(bench->db, &error), &error);
    uint64_t flushed = bench_now_ns();
    result->seconds = (double)(flushed - began) / 1e9;
    result->flush_seconds = (double)(flushed - now) / 1e9;
    result->per_s = (double)result->count / result->seconds;
    result->cpu_seconds = bench_cpu_seconds() - cpu_before;
    result->written_bytes = bench_written_bytes("self") - written_before;
    result->resident_bytes = bench_resident_bytes("self");
    plinth_stats_read(bench->db, &result->stats);
    for (uint64_t i = 0; i < (bench->keys + 63) / 64; i++)
        result->key_count += (uint64_t)__builtin_popcountll(bench->written[i]);
}

static void print_sets(const char *title, const struct sets *sets) {
    const struct plinth_stats *stats = &sets->stats;
    double user_bytes = (double)sets->count * (BENCH_KEY_BYTES + BENCH_VALUE_BYTES);
    printf("%s\n", title);
    printf("  sets                  %12.0f /s   %" PRIu64 " sets of %" PRIu64 " keys in %.1f s, %.2f s of it the last "
           "flush\n",
           sets->per_s, sets->count, sets->key_count, sets->seconds, sets->flush_seconds);
    printf("  latency               p50 %.1f us   p99 %.1f us   p99.99 %.0f us   max %.1f ms\n",
           (double)histogram_quantile_ns(&sets->latency, 0.5) / 1e3,
           (double)histogram_quantile_ns(&sets->latency, 0.99) / 1e3,
           (double)histogram_quantile_ns(&sets->latency, 0.9999) / 1e3, (double)sets->latency.max_ns / 1e6);
    printf("  stalls                %" PRIu64 ", %.2f s\n", stats->write_stalls, (double)stats->write_stall_us / 1e6);
    printf("  flushes               %" PRIu64 ", %.1f MB, %.1f s\n", stats->flushes, (double)stats->flush_bytes / 1e6,
           (double)stats->flush_us / 1e6);
    printf("  compactions           %" PRIu64 ", %.1f MB in, %.1f MB out, %.1f s\n", stats->compactions,
           (double)stats->compaction_bytes_in / 1e6, (double)stats->compaction_bytes_out / 1e6,
           (double)stats->compaction_us / 1e6);
    printf("  write amplification   %.2f in segments, %.2f with log and everything else written\n",
           (double)(stats->flush_bytes + stats->compaction_bytes_out) / user_bytes,
           (double)sets->written_bytes / user_bytes);
    printf("  processor, memory     %.1f us a set, %.0f MiB resident\n", sets->cpu_seconds * 1e6 / (double)sets->count,
           (double)sets->resident_bytes / (1 << 20));
}

/* ---- gets ---- */

static uint64_t written_number(const struct bench *bench, uint64_t *random) {
    for (;;) {
        uint64_t number = bench_random_below(random, bench->keys);
        if (bench->written[number / 64] >> number % 64 & 1) return number;
    }
}

static void get_one(struct bench *bench, uint64_t *random, struct plinth_buffer *value) {
    char key[BENCH_KEY_BYTES];
    struct plinth_error error;
    bench_key(written_number(bench, random), key);
    enum plinth_status status =
        plinth_get(bench->db, bench->space, plinth_bytes(key, sizeof key), NULL, value, NULL, &error);
    if (status == PLINTH_NOT_FOUND) bench_die("key %.16s was set and is not found", key);
    check(status, &error);
    if (value->size != BENCH_VALUE_BYTES) bench_die("the value of key %.16s has %zu bytes", key, value->size);
}

static uint64_t run_gets_for(struct bench *bench, double seconds, uint64_t *random, struct histogram *latency) {
    struct plinth_buffer value = {0};
    uint64_t count = 0, now = bench_now_ns(), end = now + (uint64_t)(seconds * 1e9);
    while (now < end) {
        get_one(bench, random, &value);
        uint64_t then = now;
        now = bench_now_ns();
        histogram_add(latency, now - then);
        count++;
    }
    plinth_buffer_deinit(&value);
    return count;
}

static void run_gets(struct bench *bench, struct gets *result) {
    struct plinth_error error;
    uint64_t random = 2, began = bench_now_ns();
    check(plinth_compact(bench->db, &error), &error);
    result->compact_seconds = (double)(bench_now_ns() - began) / 1e9;
    struct histogram *ignored = calloc(1, sizeof *ignored);
    if (!ignored) bench_die("out of memory");
    run_gets_for(bench, bench->get_seconds, &random, ignored); /* warms the cache */
    free(ignored);
    struct plinth_stats before;
    plinth_stats_read(bench->db, &before);
    began = bench_now_ns();
    uint64_t count = run_gets_for(bench, bench->get_seconds, &random, &result->latency);
    result->per_s = (double)count * 1e9 / (double)(bench_now_ns() - began);
    plinth_stats_read(bench->db, &result->stats);
    result->hits = result->stats.cache_hits - before.cache_hits;
    result->misses = result->stats.cache_misses - before.cache_misses;
    result->resident_bytes = bench_resident_bytes("self");
}

static double bytes_per_key(const struct gets *gets) {
    return gets->stats.segment_rows ? (double)gets->stats.segment_bytes / (double)gets->stats.segment_rows : 0;
}

static void print_gets(const struct bench *bench, const struct gets *gets) {
    const struct plinth_stats *stats = &gets->stats;
    printf("random gets, one thread, from segments, warm\n");
    printf("  gets                  %12.0f /s   all found\n", gets->per_s);
    printf("  latency               p50 %.2f us   p99 %.2f us   max %.2f ms\n",
           (double)histogram_quantile_ns(&gets->latency, 0.5) / 1e3,
           (double)histogram_quantile_ns(&gets->latency, 0.99) / 1e3, (double)gets->latency.max_ns / 1e6);
    printf("  segments              %" PRIu64 ", %" PRIu64 " rows, %.1f MB, %.1f bytes a key; compacted in %.1f s\n",
           stats->segments, stats->segment_rows, (double)stats->segment_bytes / 1e6, bytes_per_key(gets),
           gets->compact_seconds);
    printf("  cache                 %.0f of %.0f MiB, %.2f %% hits; %.0f MiB resident\n",
           (double)stats->cache_bytes / (1 << 20), (double)bench->cache_bytes / (1 << 20),
           gets->hits ? 100.0 * (double)gets->hits / (double)(gets->hits + gets->misses) : 0.0,
           (double)gets->resident_bytes / (1 << 20));
}

/* ---- synced sets by many threads ---- */

struct sync_thread {
    struct bench *bench;
    pthread_t thread;
    uint64_t random, end_ns, count;
    struct histogram latency;
};

static void *sync_thread_run(void *argument) {
    struct sync_thread *self = argument;
    const struct plinth_write_options options = {.durability = PLINTH_DURABILITY_SYNCED};
    uint64_t now = bench_now_ns();
    while (now < self->end_ns) {
        set_one(self->bench, bench_random_below(&self->random, self->bench->keys), &self->random, &options);
        uint64_t then = now;
        now = bench_now_ns();
        histogram_add(&self->latency, now - then);
        self->count++;
    }
    return NULL;
}

static void run_syncs(struct bench *bench, struct syncs *result) {
    struct sync_thread *threads = calloc(SYNC_THREADS, sizeof *threads);
    if (!threads) bench_die("out of memory");
    double disk_before = bench_fdatasync_per_s(bench->directory, bench->sync_seconds / 4);
    struct plinth_stats before, after;
    plinth_stats_read(bench->db, &before);
    double cpu_before = bench_cpu_seconds();
    uint64_t began = bench_now_ns();
    for (int i = 0; i < SYNC_THREADS; i++) {
        threads[i].bench = bench;
        threads[i].random = 1000 + (uint64_t)i;
        threads[i].end_ns = began + (uint64_t)(bench->sync_seconds * 1e9);
        if (pthread_create(&threads[i].thread, NULL, sync_thread_run, &threads[i])) bench_die("no thread");
    }
    for (int i = 0; i < SYNC_THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        histogram_merge(&result->latency, &threads[i].latency);
        result->count += threads[i].count;
    }
    result->per_s = (double)result->count * 1e9 / (double)(bench_now_ns() - began);
    result->cpu_seconds = bench_cpu_seconds() - cpu_before;
    plinth_stats_read(bench->db, &after);
    result->log_syncs = after.log_syncs - before.log_syncs;
    double disk_after = bench_fdatasync_per_s(bench->directory, bench->sync_seconds / 4);
    result->fdatasync_per_s = (disk_before + disk_after) / 2;
    free(threads);
}

static void print_syncs(const struct syncs *syncs) {
    printf("synced sets, %d threads\n", SYNC_THREADS);
    printf("  sets                  %12.0f /s   %.1f sets a sync\n", syncs->per_s,
           syncs->log_syncs ? (double)syncs->count / (double)syncs->log_syncs : 0.0);
    printf("  latency               p50 %.0f us   p99 %.0f us   max %.1f ms\n",
           (double)histogram_quantile_ns(&syncs->latency, 0.5) / 1e3,
           (double)histogram_quantile_ns(&syncs->latency, 0.99) / 1e3, (double)syncs->latency.max_ns / 1e6);
    printf("  processor             %.1f us a set\n", syncs->cpu_seconds * 1e6 / (double)syncs->count);
    printf("  the disk alone        %12.0f /s   fdatasync by one thread; sets are %.2f of %d times that\n",
           syncs->fdatasync_per_s, syncs->per_s / (SYNC_THREADS * syncs->fdatasync_per_s), SYNC_THREADS);
}

/* ---- the run ---- */

static void usage(FILE *to) {
    fputs("usage: kv_engine [--seconds N] [--keys N] [--cache-mib N] [--dir DIRECTORY] [--quick]\n"
          "  --seconds N      how long to set, each way (30)\n"
          "  --keys N         how many different keys (5000000)\n"
          "  --cache-mib N    page cache (1024)\n"
          "  --dir DIRECTORY  where to make the temporary data directory (.)\n"
          "  --quick          3 seconds each and 500000 keys, to see that it works\n",
          to);
}

static double number_of(const char *flag, const char *text) {
    char *end;
    double number = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || number <= 0) bench_die("%s wants a number above 0", flag);
    return number;
}

static void read_options(struct bench *bench, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(flag, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(flag, "--quick")) {
            bench->seconds = bench->get_seconds = bench->sync_seconds = 3;
            bench->keys = 500000;
            continue;
        } else if (!strcmp(flag, "--seconds")) {
            bench->seconds = number_of(flag, value);
        } else if (!strcmp(flag, "--keys")) {
            bench->keys = (uint64_t)number_of(flag, value);
        } else if (!strcmp(flag, "--cache-mib")) {
            bench->cache_bytes = (uint64_t)number_of(flag, value) << 20;
        } else if (!strcmp(flag, "--dir") && value) {
            bench->parent = value;
        } else {
            usage(stderr);
            bench_die("bad option \"%s\"", flag);
        }
        i++;
    }
}

int main(int argument_count, char **arguments) {
    static struct sets written, buffered;
    static struct gets gets;
    static struct syncs syncs;
    struct bench bench = {
        .seconds = 30, .get_seconds = 10, .sync_seconds = 10, .keys = 5000000, .cache_bytes = UINT64_C(1) << 30};
    read_options(&bench, argument_count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("plinth %s, embedded: keys of %d bytes, values of %d bytes (half compressible), %" PRIu64 " keys\n",
           plinth_version(), BENCH_KEY_BYTES, BENCH_VALUE_BYTES, bench.keys);

    engine_open(&bench);
    run_sets(&bench, PLINTH_DURABILITY_BUFFERED, &buffered);
    print_sets("random sets, one thread, log buffered", &buffered);
    engine_close(&bench);

    engine_open(&bench);
    run_sets(&bench, PLINTH_DURABILITY_WRITTEN, &written);
    print_sets("random sets, one thread, log written at each set", &written);
    run_gets(&bench, &gets);
    print_gets(&bench, &gets);
    run_syncs(&bench, &syncs);
    print_syncs(&syncs);
    engine_close(&bench);

    printf("kv_engine set_per_s=%.0f get_per_s=%.0f syncset32_per_s=%.0f fdatasync_per_s=%.0f bytes_per_key=%.1f\n",
           written.per_s, gets.per_s, syncs.per_s, syncs.fdatasync_per_s, bytes_per_key(&gets));
    return 0;
}
