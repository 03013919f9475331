/* A gRPC client: one connection to one "host:port" and any number of concurrent calls on it.
 *
 * The connection is made in the background; calls started before it stands wait for it. When it cannot be made or is
 * lost, every call of it ends with UNAVAILABLE and a text that names the address, `on_closed` is told, and calls
 * started afterwards fail the same way: reconnecting (with back-off) is creating another client. */
#ifndef PLINTH_RPC_CLIENT_H
#define PLINTH_RPC_CLIENT_H

#include "rpc/call.h"
#include "rpc/loop.h"

struct rpc_client;
struct byte_stream_ops;

struct rpc_client_options {
    const char *address;    /* "host:port", "127.0.0.1:50051", "[::1]:50051" */
    struct rpc_loop *loop;  /* null: a loop and thread of its own */
    struct env *env;        /* null: env_posix(); used with its own loop */
    const char *user_agent; /* null: "plinth/<version>" */
    /* Loop thread; the connection is over, with the reason. Told once, after the on_status of its last call. */
    void (*on_closed)(struct rpc_client *client, void *user_data, const char *reason);
    void *user_data;

    /* 0 means the default. */
    size_t message_bytes_max;         /* of one answer, after decompression: 66 MiB */
    size_t metadata_bytes_max;        /* 64 KiB */
    uint32_t stream_window_bytes;     /* 1 MiB */
    uint32_t connection_window_bytes; /* 16 MiB */
    uint64_t connect_ms;              /* 5 s, for all addresses of the host together */
    uint64_t keepalive_ms;            /* PING after this much silence while calls are open: UINT64_MAX, never */
    uint64_t keepalive_timeout_ms;    /* 20 s */

    const struct byte_stream_ops *stream_ops; /* null: plain sockets */
};

/* Resolves the address (this may block on DNS) and starts connecting. PLINTH_INVALID_ARGUMENT for a malformed address,
 * PLINTH_UNAVAILABLE when the host has none. */
PLINTH_MUST_CHECK enum plinth_status rpc_client_create(const struct rpc_client_options *options,
                                                       struct rpc_client **client, struct plinth_error *error);

/* Ends the connection: open calls see on_status(UNAVAILABLE). With its own loop it waits until that is over and all
 * call references are given back, and must not be called on that loop; with a shared loop it returns at once and
 * `client` is freed by the loop. Null is allowed. The pointer is dead afterwards. */
void rpc_client_destroy(struct rpc_client *client);

struct rpc_call_options {
    const char *path; /* "/package.Service/Method"; copied */
    enum rpc_call_kind kind;
    const struct rpc_call_ops *ops;      /* borrowed until on_release */
    void *user_data;                     /* rpc_call_user_data */
    size_t state_bytes;                  /* rpc_call_state */
    uint64_t timeout_ms;                 /* 0: none; sent to the server and kept here too */
    const struct rpc_metadata *metadata; /* copied; "-bin" values raw */
    size_t metadata_count;
    bool gzip;            /* compress what is sent */
    bool has_request;     /* send `request` and half-close at once: a unary call in one step */
    struct slice request; /* copied */
};

/* Starts a call. [any thread; no allocation from the pool's second use on when on the client's loop] The caller owns
 * one reference. Always followed by on_status, also when it fails at once (never from inside this function). Null only
 * when memory is out or a metadata entry is not allowed. */
struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options);

/* A unary call that blocks its thread (not a loop's). `response` is cleared first and then holds the answer; the caller
 * deinits it. Returns the code; for others than GRPC_OK, `error` has the server's or the transport's text. */
enum grpc_status rpc_client_unary(struct rpc_client *client, const char *path, struct slice request,
                                  uint64_t timeout_ms, struct buffer *response, struct plinth_error *error);

/* The same with metadata (for example an authorization token). */
enum grpc_status rpc_client_unary_metadata(struct rpc_client *client, const char *path, struct slice request,
                                           const struct rpc_metadata *metadata, size_t metadata_count,
                                           uint64_t timeout_ms, struct buffer *response, struct plinth_error *error);

struct rpc_loop *rpc_client_loop(const struct rpc_client *client);
/* The address as given. */
const char *rpc_client_address(const struct rpc_client *client);

#endif
