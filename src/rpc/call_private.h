/* The inside of a call, shared by call.c (life, input, output), headers.c (what stands in header fields) and session.c
 * (which stream it is). */
#ifndef PLINTH_RPC_CALL_PRIVATE_H
#define PLINTH_RPC_CALL_PRIVATE_H

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>

#include "rpc/call.h"
#include "rpc/loop.h"
#include "rpc/message.h"
#include "rpc/metadata.h"
#include "rpc/session_private.h"

/* Work that any thread may ask the loop to do for a call; one bit each, so that asking twice costs nothing. */
enum call_chore {
    CALL_CHORE_START = 1,    /* client: open the stream */
    CALL_CHORE_RESUME = 2,   /* deliver what was held back */
    CALL_CHORE_WRITABLE = 4, /* tell on_writable */
    CALL_CHORE_CANCEL = 8,
    CALL_CHORE_HEADERS = 16,
    CALL_CHORE_NO_MEMORY = 32,  /* end: a send could not be stored */
    CALL_CHORE_OVER_LIMIT = 64, /* end: the connection holds too much */
};

enum { CALL_KEEP_BYTES_MAX = 16 * 1024 }; /* buffers a pooled call keeps */

/* What the received headers said. */
struct call_received {
    size_t header_bytes;
    uint64_t timeout_ns; /* UINT64_MAX: none */
    int http_status;     /* client; 0: none yet */
    int grpc_status;     /* client; -1: none yet */
    bool is_post;
    bool has_grpc_content_type;
    bool has_bad_timeout;
    bool has_bad_metadata;
    bool has_unknown_encoding;
    bool is_gzip;
    bool is_too_large;
};

struct rpc_call {
    /* any thread */
    atomic_uint refs;
    atomic_uint chores;
    atomic_size_t queued;       /* bytes in `out`; stored by the loop only */
    atomic_size_t posted_bytes; /* sent from other threads, not yet in `out` */
    atomic_bool over;
    atomic_bool paused;
    atomic_bool blocked; /* a sender was told to wait for on_writable */
    struct rpc_task chore_task;
    struct rpc_task release_task;
    /* fixed once the application knows the call */
    struct rpc_loop *loop;
    const struct rpc_call_ops *ops;
    const struct rpc_method *method;
    enum rpc_call_kind kind;
    bool is_server;
    bool gzip_out;
    uint64_t deadline_ns;
    char peer[SESSION_PEER_TEXT_MAX];
    /* the application's */
    void *user_data;
    size_t state_bytes;
    /* the loop's */
    struct session *session; /* null: no stream */
    struct rpc_call *stream_next;
    struct rpc_call *stream_previous;
    struct rpc_call *free_next;
    int32_t stream_id;
    bool known;               /* server: on_start was told; client: from the start */
    bool headers_sent;        /* submitted to nghttp2 */
    bool is_plain;            /* server: refused with plain HTTP; `out` is text and no trailers follow */
    const char *plain_status; /* ... with this :status */
    bool ended;               /* server: finished or cancelled; client: on_status was told */
    bool never_sent;          /* client: nghttp2 did not open the stream, so there is nothing to reset */
    bool output_ended;        /* END_STREAM follows the queue */
    bool output_deferred;     /* nghttp2 waits for nghttp2_session_resume_data */
    bool remote_closed;       /* END_STREAM was received */
    bool input_ended;         /* ... and everything before it delivered */
    bool initial_received;    /* client: the answer's headers are in */
    bool stream_held;         /* the transport's own reference */
    struct rpc_timer deadline;
    struct call_received received;
    size_t pending_at;
    size_t withheld_bytes; /* of the stream's window, not given back while paused */
    size_t accounted;      /* this call's part of session->held_bytes */
    uint64_t messages_in;
    size_t out_at;
    size_t out_packed;                    /* bytes of `out` that nghttp2 has put into a DATA frame and not yet taken */
    enum grpc_status status;              /* server: to send; client: received */
    void (*start)(struct rpc_call *call); /* client: what CALL_CHORE_START runs */
    void *start_context;
    /* From here on: memory that is kept when the call is reused. `state` must be the first of it. */
    void *state; /* the application's */
    size_t state_capacity;
    struct metadata initial;  /* to send; the application's */
    struct metadata trailing; /* to send; the application's */
    struct metadata received_metadata;
    struct message_reader reader;
    struct buffer pending;        /* bytes received while paused */
    struct buffer out;            /* framed messages */
    struct buffer status_message; /* server: percent-encoded, to send; client: decoded */
    struct buffer path;           /* client: to send; server: of an unknown method */
};

/* A call with one reference (the transport's), from the loop's pool when on its thread. Null: memory is out. */
struct rpc_call *call_create(struct rpc_loop *loop, bool is_server);
/* Makes `state_bytes` of zeroed state. */
PLINTH_MUST_CHECK bool call_state_init(struct rpc_call *call, size_t state_bytes);
void call_pool_drop(struct rpc_loop *loop);

/* The stream is open: the session's reference begins. */
void call_attach(struct rpc_call *call, struct session *session, int32_t stream_id);

/* Session -> call. All on the loop's thread, inside nghttp2 callbacks. */
void call_on_headers_done(struct rpc_call *call);
void call_on_data(struct rpc_call *call, struct slice bytes);
void call_on_remote_close(struct rpc_call *call);
void call_on_stream_close(struct rpc_call *call, uint32_t h2_error);
/* nghttp2_data_source_read_callback of every stream. */
ssize_t call_read_output(nghttp2_session *h2, int32_t stream_id, uint8_t *into, size_t size, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data);
/* `size` bytes of `out` have gone to the session. */
void call_output_taken(struct rpc_call *call, size_t size);

/* The transport ends the call: the server's handler sees on_cancel and the client a status, the client's on_status. */
void call_fail(struct rpc_call *call, enum grpc_status code, const char *text);
/* The stream vanished with its session. */
void call_lost(struct rpc_call *call, enum grpc_status code, const char *text);
/* rpc_call_finish on the loop's thread. */
void call_finish_here(struct rpc_call *call, enum grpc_status code, struct slice message);
/* Queues a framed message whatever the thread that owns `out` is: for a client call that has not started. */
PLINTH_MUST_CHECK bool call_queue_message(struct rpc_call *call, struct slice message);
/* Asks the loop for a chore. Any thread that has a reference. */
void call_chore(struct rpc_call *call, enum call_chore chore);

/* headers.c */
/* One received header field. False: the stream is to be reset (too much). */
PLINTH_MUST_CHECK bool headers_receive(struct rpc_call *call, struct slice name, struct slice value);
/* Server: checks the request's headers; true: the call may start. Otherwise it has been answered. */
bool headers_accept_request(struct rpc_call *call);
/* Client: checks the answer's headers; false: the call has failed. */
bool headers_accept_response(struct rpc_call *call);
/* Client: opens the stream (call->stream_id); false when the connection takes no more. */
PLINTH_MUST_CHECK bool headers_submit_request(struct rpc_call *call, struct session *session);
/* These submit to nghttp2; out of memory dooms the session. */
void headers_submit_response(struct rpc_call *call);
void headers_submit_trailers(struct rpc_call *call);
void headers_submit_trailers_only(struct rpc_call *call);
void headers_submit_plain(struct rpc_call *call);

#endif
