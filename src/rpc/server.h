/* A gRPC server: a table of methods served by N loops.
 *
 * One listening socket per address is watched by the first loop, which hands each new connection to the loop that has
 * the fewest (few, long connections are the rule with gRPC: the kernel's SO_REUSEPORT hash would leave loops idle, and
 * it would let a second process share a port that is in use without telling). A connection stays on its loop.
 *
 * Stopping: rpc_server_drain (any thread, returns at once) → calls in flight go on, new ones are refused by GOAWAY →
 * rpc_server_wait → rpc_server_destroy. */
#ifndef PLINTH_RPC_SERVER_H
#define PLINTH_RPC_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/call.h"
#include "rpc/loop.h"

struct rpc_server;
struct byte_stream_ops;

/* The table is borrowed and must outlive the server. */
struct rpc_method {
    const char *path; /* "/package.Service/Method" */
    enum rpc_call_kind kind;
    const struct rpc_call_ops *ops;
    void *user_data;          /* rpc_call_method(call)->user_data */
    size_t state_bytes;       /* of rpc_call_state */
    size_t message_bytes_max; /* of one request message of this method; 0: the server's */
};

/* An "address:port" to listen on: "0.0.0.0:50051", "[::]:50051", "localhost:0" (0: any free port). */
struct rpc_server_options {
    const char *const *addresses;
    size_t address_count;
    const struct rpc_method *methods;
    size_t method_count;
    unsigned loops;              /* threads; 0: one a CPU this process may use */
    struct rpc_loop_hooks hooks; /* for each loop */
    struct env *env;             /* null: env_posix() */

    /* In the fields below 0 means the default. */
    size_t message_bytes_max;         /* of one request message, after decompression: 4 MiB + 64 KiB */
    size_t metadata_bytes_max;        /* of a request's header list, as HTTP/2 counts it: 16 KiB */
    size_t connection_bytes_max;      /* buffered in and out for one connection; a call that would go over it ends with
                                         RESOURCE_EXHAUSTED: 128 MiB */
    uint32_t concurrent_streams_max;  /* of one connection: 256 */
    uint32_t stream_window_bytes;     /* 256 KiB */
    uint32_t connection_window_bytes; /* 16 MiB */
    uint32_t connections_max;         /* of the server; more are closed at once: 10000 */
    uint64_t keepalive_ms;            /* a PING after this much silence: 60 s */
    uint64_t keepalive_timeout_ms;    /* closed when neither an answer nor progress in writing comes by then: 20 s */
    uint64_t ping_interval_min_ms;    /* a client that pings more often without traffic is sent away: 5 s */
    uint64_t idle_ms;                 /* a connection without calls is closed after this: 30 min */
    uint64_t age_ms;                  /* a connection is drained after this, +-10 %: UINT64_MAX, never */
    uint64_t drain_ms;                /* how long drained connections may take to finish their calls: 30 s */
    uint32_t resets_burst_max;        /* calls cancelled by the client before it is sent away: this many at once ... */
    uint32_t resets_per_second_max;   /* ... and this many a second for long: 1000 and 100 */

    const struct byte_stream_ops *stream_ops; /* how bytes move (rpc/byte_stream.h); null: plain sockets */
};

/* Binds, starts the loops and serves. PLINTH_INVALID_ARGUMENT for a malformed address or a method table with a
 * duplicate; PLINTH_UNAVAILABLE, naming address and port, when it is in use or cannot be bound. */
PLINTH_MUST_CHECK enum plinth_status rpc_server_create(const struct rpc_server_options *options,
                                                       struct rpc_server **server, struct plinth_error *error);

/* The port that address `i` of the options is bound to. */
uint16_t rpc_server_port(const struct rpc_server *server, size_t i);

unsigned rpc_server_loop_count(const struct rpc_server *server);
struct rpc_loop *rpc_server_loop(const struct rpc_server *server, unsigned i);

/* rpc_loop_wake for every loop. Any thread. */
void rpc_server_wake_all(struct rpc_server *server);

/* Starts the graceful stop and returns at once: closes the listening sockets, tells clients by GOAWAY to open no more
 * calls (first with the highest stream id, and after a round trip with the real one, so that no call on its way is
 * lost), closes connections as their calls end, and cancels what is left after drain_ms. Any thread, any number of
 * times; not from a signal handler (read a signalfd or wait in sigwait, then call it). */
void rpc_server_drain(struct rpc_server *server);

/* Waits until the last connection of a draining server is closed; false on time-out. Not on a loop's thread. */
bool rpc_server_wait(struct rpc_server *server, uint64_t timeout_ms);

/* Cancels what is still open (handlers see on_cancel), joins the loops, frees. Waits until every reference to a call is
 * given back. Not on a loop's thread. Null is allowed. */
void rpc_server_destroy(struct rpc_server *server);

/* Totals since the start, summed over the loops; each is exact, together they are not a snapshot. Any thread. */
struct rpc_server_stats {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t connections_refused; /* over connections_max */
    uint64_t calls;               /* open now */
    uint64_t calls_total;
    uint64_t calls_cancelled; /* ended before they were finished */
    uint64_t bytes_received;
    uint64_t bytes_sent;
};
void rpc_server_stats(const struct rpc_server *server, struct rpc_server_stats *stats);

#endif
