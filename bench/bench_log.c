/* Appends a second at each level of durability, with 1 and with 32 threads, beside what the disk itself does; and a
 * stream of large records, trimmed behind as an engine that flushes trims it: what a byte of it costs.
 *
 *   bench_log [directory [seconds [payload bytes]]]
 *
 * The directory must exist; a "bench-log" is made in it and removed again. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/env.h"
#include "base/thread.h"
#include "log/local_log.h"

struct run {
    struct log *log;
    enum record_durability level;
    uint64_t end_ns;
    size_t payload_bytes;
};

struct worker {
    struct run *run;
    pthread_t thread;
    uint64_t appends;
    uint64_t slowest_ns;
    enum plinth_status failed;
};

static void fail(const char *what, const struct plinth_error *error) {
    fprintf(stderr, "bench_log: %s: %s\n", what, error->text);
    exit(1);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    uint8_t *payload = calloc(1, run->payload_bytes + 1);
    struct slice part = slice_of(payload, run->payload_bytes);
    struct record_header header = {.kind = 1, .producer = (uintptr_t)worker, .durability = run->level};
    uint64_t now_ns = thread_time_ns();
    while (now_ns < run->end_ns && !worker->failed) {
        uint64_t lsn = 0;
        header.sequence++;
        if (!header.time_us || header.sequence % 64 == 0) header.time_us = env_wall_time_us(env_posix());
        worker->failed = log_append(run->log, &header, &part, 1, 0, &lsn, NULL);
        if (!worker->failed) worker->failed = log_wait(run->log, lsn, run->level, LOG_WAIT_FOREVER, NULL);
        worker->appends++;
        if (run->level == RECORD_SYNCED || header.sequence % 64 == 0) {
            uint64_t then_ns = now_ns;
            now_ns = thread_time_ns();
            if (now_ns - then_ns > worker->slowest_ns) worker->slowest_ns = now_ns - then_ns;
        }
    }
    free(payload);
    return NULL;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Appends a second. */
static double measure(struct log *log, enum record_durability level, unsigned threads, double seconds,
                      size_t payload_bytes) {
    static const char *const names[] = {"", "buffered", "written", "synced"};
    struct plinth_error error = {0};
    struct log_stats before, after;
    struct worker workers[64] = {0};
    log_stats(log, &before);
    double cpu = cpu_seconds();
    uint64_t begin_ns = thread_time_ns();
    struct run run = {log, level, begin_ns + (uint64_t)(seconds * 1e9), payload_bytes};
    for (unsigned i = 0; i < threads; i++) {
        workers[i].run = &run;
        if (thread_start(&workers[i].thread, "bench", work, &workers[i], &error)) fail("thread", &error);
    }
    uint64_t appends = 0, slowest_ns = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].failed) fail("append", &error);
        appends += workers[i].appends;
        if (workers[i].slowest_ns > slowest_ns) slowest_ns = workers[i].slowest_ns;
    }
    double took = (double)(thread_time_ns() - begin_ns) / 1e9;
    log_stats(log, &after);
    uint64_t groups = after.groups - before.groups, syncs = after.syncs - before.syncs;
    printf("%-9s %2u threads  %10.0f appends/s  %8.0f blocks/s  %7.0f syncs/s  %6.1f records/block  slowest %.1f ms"
           "  cpu %.2f\n",
           names[level], threads, (double)appends / took, (double)groups / took, (double)syncs / took,
           groups ? (double)appends / (double)groups : 0, (double)slowest_ns / 1e6, (cpu_seconds() - cpu) / took);
    return (double)appends / took;
}

static double measure_disk(const char *directory, double seconds, size_t bytes, bool zeros) {
    char path[512];
    struct plinth_error error = {0};
    struct env_file *file = NULL;
    enum { SIZE = 16 << 20 };
    snprintf(path, sizeof path, "%s/bench-log.raw", directory);
    uint8_t *block = calloc(1, SIZE);
    if (env_open(env_posix(), path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file, &error))
        fail(path, &error);
    if (file_allocate(file, SIZE, &error) || (zeros && file_write(file, 0, block, SIZE, &error))) fail(path, &error);
    if (file_sync(file, &error)) fail(path, &error);
    uint64_t begin_ns = thread_time_ns(), syncs = 0, offset = 0;
    while ((double)(thread_time_ns() - begin_ns) < seconds * 1e9) {
        if (file_write(file, offset, block, bytes, &error) || file_sync(file, &error)) fail(path, &error);
        offset = (offset + bytes) % (SIZE - bytes);
        syncs++;
    }
    double took = (double)(thread_time_ns() - begin_ns) / 1e9;
    printf("raw pwrite of %zu bytes + fdatasync, %s: %.0f/s\n", bytes, zeros ? "written before" : "only reserved",
           (double)syncs / took);
    file_close(file);
    if (env_remove(env_posix(), path, &error)) fail(path, &error);
    free(block);
    return (double)syncs / took;
}

/* What this process has handed to write calls. */
static uint64_t written_bytes(void) {
    char line[128];
    unsigned long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "wchar: %llu", &bytes) == 1) break;
    }
    if (file) fclose(file);
    return bytes;
}

/* Records of 64 KiB, 1 MiB at a time synced; 128 MiB are kept. */
static void measure_stream(struct log *log) {
    enum { PAYLOAD = 64 << 10, STEP = 16, KEPT = 2048 };
    static const uint64_t total = UINT64_C(1) << 30;
    struct plinth_error error = {0};
    struct record_header header = {.kind = 1};
    uint8_t *payload = malloc(PAYLOAD);
    memset(payload, 0x5a, PAYLOAD);
    struct slice part = slice_of(payload, PAYLOAD);
    uint64_t lsn = 0, begin_ns = thread_time_ns(), written = written_bytes();
    double cpu = cpu_seconds();
    for (uint64_t i = 1; i <= total / PAYLOAD; i++) {
        if (log_append(log, &header, &part, 1, 0, &lsn, &error)) fail("append", &error);
        if (i % STEP == 0 && log_wait(log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, &error)) fail("sync", &error);
        if (i % (KEPT / 4) == 0 && lsn > KEPT && log_trim(log, lsn - KEPT, &error)) fail("trim", &error);
    }
    double took = (double)(thread_time_ns() - begin_ns) / 1e9;
    printf("stream of 1 GiB: %.0f MiB/s  cpu %.2f s  %.2f bytes written for one appended\n", 1024 / took,
           cpu_seconds() - cpu, (double)(written_bytes() - written) / (double)total);
    free(payload);
}

static bool remove_entry(void *context, const char *name, bool is_directory) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    return is_directory || env_remove(env_posix(), path, NULL) == PLINTH_OK;
}

int main(int count, char **arguments) {
    const char *parent = count > 1 ? arguments[1] : ".";
    double seconds = count > 2 ? atof(arguments[2]) : 2;
    size_t payload_bytes = count > 3 ? (size_t)atol(arguments[3]) : 100;
    char directory[480];
    struct plinth_error error = {0};
    struct log *log = NULL;
    snprintf(directory, sizeof directory, "%s/bench-log", parent);
    measure_disk(parent, seconds / 2, 4096, false);
    double disk = measure_disk(parent, seconds / 2, 4096, true), one[RECORD_SYNCED + 1], many[RECORD_SYNCED + 1];
    if (local_log_open(env_posix(), directory, NULL, &log, &error)) fail("open", &error);
    printf("payloads of %zu bytes\n", payload_bytes);
    for (int level = RECORD_BUFFERED; level <= RECORD_SYNCED; level++) {
        one[level] = measure(log, (enum record_durability)level, 1, seconds, payload_bytes);
        many[level] = measure(log, (enum record_durability)level, 32, seconds, payload_bytes);
        if (log_trim(log, log_synced_lsn(log), &error)) fail("trim", &error);
    }
    measure_stream(log);
    if (log_close(log, &error)) fail("close", &error);
    if (env_list(env_posix(), directory, remove_entry, directory, &error)) fail("remove", &error);
    if (env_remove(env_posix(), directory, &error)) fail("remove", &error);
    printf("log buffered1_per_s=%.0f buffered32_per_s=%.0f written1_per_s=%.0f written32_per_s=%.0f synced1_per_s=%.0f "
           "synced32_per_s=%.0f fdatasync_per_s=%.0f\n",
           one[RECORD_BUFFERED], many[RECORD_BUFFERED], one[RECORD_WRITTEN], many[RECORD_WRITTEN], one[RECORD_SYNCED],
           many[RECORD_SYNCED], disk);
    return 0;
}
