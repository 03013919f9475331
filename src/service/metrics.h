/* Counts and latencies of the gRPC methods.
 *
 * One cell for each (loop, method), so that loops do not share cache lines; worker threads add to the cell of the
 * call's loop. Everything is a relaxed atomic: each number is exact, together they are not one moment's picture. */
#ifndef PLINTH_SERVICE_METRICS_H
#define PLINTH_SERVICE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "rpc/grpc_status.h"

enum { LATENCY_BUCKETS = 18 };
/* Upper bounds in microseconds, rising; what is above the last one is counted in the total only. */
extern const uint32_t latency_bounds_us[LATENCY_BUCKETS];

struct metrics_cell {
    _Atomic uint64_t codes[GRPC_STATUS_COUNT];
    _Atomic uint64_t buckets[LATENCY_BUCKETS + 1];
    _Atomic uint64_t sum_us;
} __attribute__((aligned(64)));

struct metrics {
    struct metrics_cell *cells; /* loops × methods */
    unsigned loops;
    unsigned methods;
};

PLINTH_MUST_CHECK enum plinth_status metrics_init(struct metrics *metrics, unsigned loops, unsigned methods,
                                                  struct plinth_error *error);
void metrics_deinit(struct metrics *metrics);
void metrics_record(struct metrics *metrics, unsigned loop, unsigned method, enum grpc_status code,
                    uint64_t latency_us);
/* Appends the Prometheus text of all methods; `paths` are "/package.Service/Method". False when memory is out. */
PLINTH_MUST_CHECK bool metrics_write(const struct metrics *metrics, const char *const *paths, struct buffer *into);

#endif
