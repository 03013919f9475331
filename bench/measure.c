#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void bench_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void bench_key(uint64_t number, char key[BENCH_KEY_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    uint64_t mixed = bench_mix(number + 1);
    for (int i = 0; i < BENCH_KEY_BYTES; i++) key[i] = digits[mixed >> (60 - 4 * i) & 15];
}

void bench_value(uint64_t *random, uint8_t value[BENCH_VALUE_BYTES]) {
    uint64_t words[7];
    for (int i = 0; i < 7; i++) words[i] = bench_random(random);
    memcpy(value, words, BENCH_VALUE_BYTES / 2);
    memset(value + BENCH_VALUE_BYTES / 2, 0, BENCH_VALUE_BYTES / 2);
}

/* ---- latencies ---- */

static unsigned bucket_of(uint64_t ns) {
    if (ns < 16) return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - 3) * 16 + (unsigned)(ns >> (power - 4) & 15);
}

static uint64_t bucket_end(unsigned bucket) {
    if (bucket < 16) return bucket;
    unsigned power = bucket / 16 + 3;
    return ((uint64_t)(16 + bucket % 16 + 1) << (power - 4)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns) {
    histogram->counts[bucket_of(ns)]++;
    histogram->count++;
    if (ns > histogram->max_ns) histogram->max_ns = ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < sizeof into->counts / sizeof *into->counts; i++) into->counts[i] += from->counts[i];
    into->count += from->count;
    if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double fraction) {
    uint64_t wanted = (uint64_t)(fraction * (double)histogram->count), seen = 0;
    for (unsigned i = 0; i < sizeof histogram->counts / sizeof *histogram->counts; i++) {
        seen += histogram->counts[i];
        if (seen > wanted) return bucket_end(i) < histogram->max_ns ? bucket_end(i) : histogram->max_ns;
    }
    return histogram->max_ns;
}

/* ---- the disk ---- */

double bench_fdatasync_per_s(const char *directory, double seconds) {
    enum { FILE_BYTES = 16 << 20, BLOCK_BYTES = 4096 };
    char path[4096];
    static _Alignas(4096) uint8_t block[BLOCK_BYTES];
    snprintf(path, sizeof path, "%s/fdatasync.tmp", directory);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) bench_die("%s: %s", path, strerror(errno));
    unlink(path);
    for (off_t at = 0; at < FILE_BYTES; at += BLOCK_BYTES)
        if (pwrite(file, block, BLOCK_BYTES, at) != BLOCK_BYTES) bench_die("%s: %s", path, strerror(errno));
    if (fsync(file)) bench_die("%s: %s", path, strerror(errno));
    uint64_t syncs = 0, began = bench_now_ns(), end = began + (uint64_t)(seconds * 1e9), now;
    do {
        memset(block, (int)syncs, sizeof block);
        if (pwrite(file, block, BLOCK_BYTES, (off_t)(syncs * BLOCK_BYTES % FILE_BYTES)) != BLOCK_BYTES ||
            fdatasync(file))
            bench_die("%s: %s", path, strerror(errno));
        syncs++;
        now = bench_now_ns();
    } while (now < end);
    close(file);
    return (double)syncs * 1e9 / (double)(now - began);
}

/* ---- this process ---- */

uint64_t bench_resident_bytes(const char *pid) {
    char path[64];
    unsigned long long size = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%s/statm", pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%llu %llu", &size, &resident) != 2) resident = 0;
    if (file) fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t bench_written_bytes(const char *pid) {
    unsigned long long bytes = 0;
    char line[128], path[64];
    snprintf(path, sizeof path, "/proc/%s/io", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "wchar: %llu", &bytes) == 1) break;
    if (file) fclose(file);
    return bytes;
}

double bench_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- directories ---- */

char *bench_directory_make(const char *parent) {
    char path[4096];
    snprintf(path, sizeof path, "%s/plinth-bench-XXXXXX", parent ? parent : ".");
    if (!mkdtemp(path)) bench_die("%s: %s", path, strerror(errno));
    char *copy = strdup(path);
    if (!copy) bench_die("out of memory");
    return copy;
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *place) {
    (void)stat, (void)kind, (void)place;
    return remove(path);
}

void bench_directory_remove(char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}
