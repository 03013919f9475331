/* One HTTP/2 connection, either end: an nghttp2 session, the bytes that wait for the socket, and its calls.
 *
 * A session belongs to its loop's thread. It may exist before its byte stream does (a client that is still connecting):
 * frames then gather in nghttp2.
 *
 *            data arrives                                    once per loop iteration
 *   socket ─────────────► nghttp2_session_mem_recv      session_flush: nghttp2_session_mem_send ─► `out` ─► socket
 *                          │ callbacks                         ▲ reads the calls' queues
 *                          ▼                                   │
 *                        struct rpc_call ── handlers ── rpc_call_send / rpc_call_finish
 *
 * Nothing may free the session inside an nghttp2 callback: those only note a reason (session_doom), and the session is
 * closed when the outermost function is back. */
#ifndef PLINTH_RPC_SESSION_PRIVATE_H
#define PLINTH_RPC_SESSION_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "base/bytes.h"
#include "rpc/byte_stream.h"
#include "rpc/call.h"
#include "rpc/loop_private.h"

struct session;

enum { SESSION_PEER_TEXT_MAX = 64, SESSION_REASON_TEXT_MAX = 160 };

/* Filled in by the owner; all fields set. Durations in ns, UINT64_MAX: never. */
struct session_limits {
    size_t message_bytes_max;
    size_t metadata_bytes_max;
    size_t held_bytes_max; /* of all calls together, in and out */
    uint32_t concurrent_streams_max;
    uint32_t stream_window_bytes;
    uint32_t connection_window_bytes;
    uint32_t resets_burst_max;
    uint32_t resets_per_second_max;
    uint64_t keepalive_ns;
    uint64_t keepalive_timeout_ns;
    uint64_t ping_interval_min_ns;
    uint64_t idle_ns;
    uint64_t age_ns;
    uint64_t drain_ns;
};

/* What the owner (a server's loop or a client) is asked and told. */
struct session_owner_ops {
    const struct rpc_method *(*find_method)(void *owner, struct slice path); /* server only */
    void (*on_closed)(void *owner, struct session *session, const char *reason);
};

/* A token bucket: `tokens` are used up by what is to be limited and come back with time. */
struct session_bucket {
    uint64_t tokens;
    uint64_t refilled_ns;
};

enum session_drain {
    SESSION_OPEN,
    SESSION_DRAIN_NOTICED, /* GOAWAY with the highest stream id is out */
    SESSION_DRAINING,      /* GOAWAY with the last stream id is out */
    SESSION_DRAIN_FORCED,  /* the calls were cut off */
};

struct session {
    struct loop_watch watch; /* first: the loop's epoll points here */
    struct loop_flush flush;
    struct rpc_task free_task;
    struct rpc_loop *loop;
    struct byte_stream *stream; /* null: not connected yet, or closed */
    nghttp2_session *h2;
    const struct session_limits *limits;
    const struct session_owner_ops *owner_ops;
    void *owner;
    const char *authority;  /* client: borrowed from the owner */
    const char *user_agent; /* client: borrowed from the owner */
    bool is_server;
    bool watches_write;    /* EPOLLOUT is on */
    bool read_wants_write; /* the byte stream reads on when it could write (TLS) */
    bool out_full;         /* a DATA frame waits for room in `out` */
    bool close_when_empty; /* GOAWAY is queued; close when it is out */
    bool lingering;        /* our side is shut; what still comes in is thrown away */
    bool closed;
    bool ping_outstanding;
    enum session_drain drain;
    char doom[SESSION_REASON_TEXT_MAX]; /* not empty: close as soon as it is safe */
    char peer[SESSION_PEER_TEXT_MAX];

    struct buffer out;
    size_t out_at;          /* bytes of `out` that the socket has taken */
    struct rpc_call *calls; /* open streams, doubly linked */
    size_t call_count;
    size_t held_bytes; /* sum of the calls' accounts */

    struct rpc_timer timer;
    uint64_t last_read_ns;
    uint64_t idle_since_ns; /* when the last call ended */
    uint64_t ping_sent_ns;
    uint64_t drain_since_ns;
    uint64_t drain_due_ns; /* the next step of draining; before it began: the age limit */
    uint64_t linger_until_ns;
    struct session_bucket pings;
    struct session_bucket resets;
    /* Where the owner keeps its sessions. */
    struct session *next;
    struct session *previous;
};

/* A session without a byte stream. `limits`, `owner_ops` and `owner` are borrowed until on_closed. */
PLINTH_MUST_CHECK enum plinth_status session_create(struct rpc_loop *loop, bool is_server,
                                                    const struct session_limits *limits,
                                                    const struct session_owner_ops *owner_ops, void *owner,
                                                    struct session **session, struct plinth_error *error);
/* Frees a session that was never attached and has no calls. */
void session_discard(struct session *session);
/* Takes the stream over and starts reading and writing. On failure the stream is still the caller's. */
PLINTH_MUST_CHECK enum plinth_status session_attach(struct session *session, struct byte_stream *stream,
                                                    struct plinth_error *error);
/* Two-phase GOAWAY; the session closes itself when its calls are over, at the latest after limits->drain_ns. */
void session_drain(struct session *session);
/* Ends all calls with `code` and `reason`, tells the owner, frees. Not from an nghttp2 callback. */
void session_close(struct session *session, enum grpc_status code, const char *reason);
/* Remembers to close with UNAVAILABLE; safe anywhere on the loop's thread. */
void session_doom(struct session *session, const char *reason);
/* Asks for one flush at the end of this iteration. */
void session_flush_later(struct session *session);

/* The parts of reading and writing that do not touch a socket; for the fuzzer. Feeds received bytes. */
void session_receive(struct session *session, const uint8_t *data, size_t size);
/* Moves what nghttp2 wants to send into `out`, up to a bound. True when nghttp2 has nothing more right now. */
bool session_fill(struct session *session);

/* Links and unlinks a call (its `stream_next`/`stream_previous`). */
void session_add_call(struct session *session, struct rpc_call *call);
void session_remove_call(struct session *session, struct rpc_call *call);

#endif
