#include "service/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "service/text.h"

const uint32_t latency_bounds_us[LATENCY_BUCKETS] = {
    50,    100,    200,    500,    1000,    2000,    5000,    10000,    20000,
    50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 60000000,
};

enum plinth_status metrics_init(struct metrics *metrics, unsigned loops, unsigned methods, struct plinth_error *error) {
    *metrics = (struct metrics){.loops = loops, .methods = methods};
    size_t bytes = sizeof *metrics->cells * loops * methods;
    metrics->cells = aligned_alloc(_Alignof(struct metrics_cell), bytes);
    if (!metrics->cells) return error_no_memory(error, "metrics of the methods");
    memset(metrics->cells, 0, bytes);
    return PLINTH_OK;
}

void metrics_deinit(struct metrics *metrics) {
    free(metrics->cells);
    *metrics = (struct metrics){0};
}

static void add(_Atomic uint64_t *to, uint64_t amount) { atomic_fetch_add_explicit(to, amount, memory_order_relaxed); }

void metrics_record(struct metrics *metrics, unsigned loop, unsigned method, enum grpc_status code,
                    uint64_t latency_us) {
    struct metrics_cell *cell = &metrics->cells[(size_t)loop * metrics->methods + method];
    unsigned bucket = 0;
    while (bucket < LATENCY_BUCKETS && latency_us > latency_bounds_us[bucket]) bucket++;
    add(&cell->codes[code < GRPC_STATUS_COUNT ? code : GRPC_UNKNOWN], 1);
    add(&cell->buckets[bucket], 1);
    add(&cell->sum_us, latency_us);
}

/* One method over all loops. */
struct totals {
    uint64_t codes[GRPC_STATUS_COUNT];
    uint64_t buckets[LATENCY_BUCKETS + 1];
    uint64_t sum_us;
};

static uint64_t get(const _Atomic uint64_t *from) { return atomic_load_explicit(from, memory_order_relaxed); }

static void totals_of(const struct metrics *metrics, unsigned method, struct totals *totals) {
    *totals = (struct totals){0};
    for (unsigned loop = 0; loop < metrics->loops; loop++) {
        const struct metrics_cell *cell = &metrics->cells[(size_t)loop * metrics->methods + method];
        for (unsigned i = 0; i < GRPC_STATUS_COUNT; i++) totals->codes[i] += get(&cell->codes[i]);
        for (unsigned i = 0; i <= LATENCY_BUCKETS; i++) totals->buckets[i] += get(&cell->buckets[i]);
        totals->sum_us += get(&cell->sum_us);
    }
}

static bool write_calls(const struct metrics *metrics, const char *const *paths, struct buffer *into) {
    bool ok = text_append(into, "# HELP plinth_grpc_calls Finished calls by method and status code.\n"
                                "# TYPE plinth_grpc_calls counter\n");
    for (unsigned method = 0; ok && method < metrics->methods; method++) {
        struct totals totals;
        totals_of(metrics, method, &totals);
        for (unsigned code = 0; ok && code < GRPC_STATUS_COUNT; code++) {
            if (!totals.codes[code] && code != GRPC_OK) continue;
            ok = text_append(into, "plinth_grpc_calls{method=\"%s\",code=\"%s\"} %llu\n", paths[method] + 1,
                             grpc_status_name(code), (unsigned long long)totals.codes[code]);
        }
    }
    return ok;
}

static bool write_latencies(const struct metrics *metrics, const char *const *paths, struct buffer *into) {
    bool ok = text_append(into, "# HELP plinth_grpc_latency_seconds From the request's arrival to its last answer.\n"
                                "# TYPE plinth_grpc_latency_seconds histogram\n");
    for (unsigned method = 0; ok && method < metrics->methods; method++) {
        struct totals totals;
        totals_of(metrics, method, &totals);
        const char *name = paths[method] + 1;
        unsigned long long count = 0;
        for (unsigned i = 0; ok && i < LATENCY_BUCKETS; i++) {
            count += totals.buckets[i];
            ok = text_append(into, "plinth_grpc_latency_seconds_bucket{method=\"%s\",le=\"%g\"} %llu\n", name,
                             latency_bounds_us[i] / 1e6, count);
        }
        count += totals.buckets[LATENCY_BUCKETS];
        ok = ok &&
             text_append(into, "plinth_grpc_latency_seconds_bucket{method=\"%s\",le=\"+Inf\"} %llu\n", name, count) &&
             text_append(into, "plinth_grpc_latency_seconds_sum{method=\"%s\"} %.6f\n", name,
                         (double)totals.sum_us / 1e6) &&
             text_append(into, "plinth_grpc_latency_seconds_count{method=\"%s\"} %llu\n", name, count);
    }
    return ok;
}

bool metrics_write(const struct metrics *metrics, const char *const *paths, struct buffer *into) {
    return write_calls(metrics, paths, into) && write_latencies(metrics, paths, into);
}
