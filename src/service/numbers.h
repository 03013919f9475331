/* Every number that the server shows, in one table: Admin.Status sends them by name, /metrics with the prefix
 * "plinth_". */
#ifndef PLINTH_SERVICE_NUMBERS_H
#define PLINTH_SERVICE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plinth.h"
#include "rpc/server.h"

struct service;

/* One moment's values; what the table points into. */
struct numbers {
    struct plinth_stats engine;
    struct rpc_server_stats rpc;
    uint64_t uptime_seconds;
    uint64_t kept_snapshots;
    uint64_t change_feeds, change_feed_lag;
    uint64_t offloaded_calls;
    uint64_t writable;
};

struct number {
    const char *name;
    const char *help;
    bool is_counter; /* else a gauge */
    size_t offset;   /* of a uint64_t in struct numbers */
};

extern const struct number number_table[];
extern const size_t number_count;

void numbers_read(struct service *service, struct numbers *numbers);
uint64_t number_value(const struct numbers *numbers, const struct number *number);

#endif
