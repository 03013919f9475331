/* What the benchmarks share: a clock, random numbers, a histogram of latencies, the keys and values that they write,
 * the disk's own speed, and numbers about this process. Any failure ends the program with a message. */
#ifndef PLINTH_BENCH_MEASURE_H
#define PLINTH_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { BENCH_KEY_BYTES = 16, BENCH_VALUE_BYTES = 100 };

/* Prints "bench: ..." to standard error and exits with status 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline uint64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64: the finaliser is a bijection, so that different numbers give different keys. */
static inline uint64_t bench_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
static inline uint64_t bench_random(uint64_t *state) { return bench_mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }
/* Uniform below `bound`, which is at least 1. */
static inline uint64_t bench_random_below(uint64_t *state, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)bench_random(state) * bound) >> 64);
}

/* Key number `number`: 16 hexadecimal digits, in an order of its own. */
void bench_key(uint64_t number, char key[BENCH_KEY_BYTES]);
/* 50 random bytes, which do not compress, and 50 zero bytes, which do. */
void bench_value(uint64_t *random, uint8_t value[BENCH_VALUE_BYTES]);

/* Counts by latency in nanoseconds, each bucket 1/16 of a power of two wide. */
struct histogram {
    uint64_t counts[64 * 16];
    uint64_t count, max_ns;
};
void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The upper end of the bucket in which `fraction` of all lies; 0 when empty. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double fraction);

/* 4 KiB written and fdatasynced again and again by one thread into a file that was filled before: a second's worth. */
double bench_fdatasync_per_s(const char *directory, double seconds);

/* Resident memory of process `pid` ("self" or a number). */
uint64_t bench_resident_bytes(const char *pid);
/* Bytes that process `pid` has handed to write calls: to files and pipes, not to sockets. */
uint64_t bench_written_bytes(const char *pid);
/* User and system time of this process. */
double bench_cpu_seconds(void);

/* A new directory below `parent`, or below the working directory when null; removed by bench_directory_remove. */
char *bench_directory_make(const char *parent);
void bench_directory_remove(char *path);

#endif
