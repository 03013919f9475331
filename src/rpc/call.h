/* A gRPC call, the same struct on the server and on the client.
 *
 * Life: a call is reference-counted. The transport holds one reference while the stream is open; the application takes
 * its own (rpc_call_ref) when it keeps the pointer beyond a callback, because the stream may close first. Using a call
 * whose stream is gone is safe and does nothing. `on_release` runs when the last reference is gone.
 *
 * Threads: callbacks run on the loop's thread, one at a time per call. The functions marked [any] may be called from
 * any thread: on the loop's own thread they act directly, elsewhere they copy what they are given and post it to the
 * loop; two of them from one thread keep their order. Those marked [loop] belong to the loop's thread. Metadata is set
 * by whoever works on the call at that time [owner]: one thread at a time, before its rpc_call_send or rpc_call_finish.
 *
 * Order of callbacks on a server:  on_start, on_message*, on_half_close?, on_release
 *                     with, at any point before the loop has handled rpc_call_finish:  on_cancel (exactly once)
 * After rpc_call_finish was handled or on_cancel was told there is no other callback but on_release.
 * On a client:  on_initial_metadata?, on_message*, on_status (exactly once, always), on_release.
 *
 * What the transport itself enforces: a unary or server-streaming call gets exactly one request message (else the
 * client sees INTERNAL); a client of a unary or client-streaming call gets exactly one answer when the status is OK
 * (else on_status says INTERNAL); deadlines; size limits; an unfinished call never leaks: the client always gets a
 * status. A handler that is given a call must finish it some day. */
#ifndef PLINTH_RPC_CALL_H
#define PLINTH_RPC_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "rpc/grpc_status.h"

struct rpc_call;
struct rpc_loop;
struct rpc_method;

enum rpc_call_kind { RPC_UNARY, RPC_CLIENT_STREAM, RPC_SERVER_STREAM, RPC_BIDI };

enum {
    RPC_SEND_HIGH_BYTES = 256 * 1024, /* a sender stops when rpc_call_send reports this much or more ... */
    RPC_SEND_LOW_BYTES = 64 * 1024,   /* ... and on_writable tells when no more than this is left */
};

/* Every function may be null. */
struct rpc_call_ops {
    /* Server: the request's headers are in (metadata, deadline, peer can be read). May already finish the call. */
    void (*on_start)(struct rpc_call *call);
    /* One whole message, decompressed. `message` is valid during the callback only. */
    void (*on_message)(struct rpc_call *call, struct slice message);
    /* Server: the client will send nothing more. Not called when the call is finished before. */
    void (*on_half_close)(struct rpc_call *call);
    /* The queue has sunk to RPC_SEND_LOW_BYTES or less after an rpc_call_send that reported RPC_SEND_HIGH_BYTES or
     * more; one callback for each such crossing. */
    void (*on_writable)(struct rpc_call *call);
    /* Server: the call is over before it was finished. GRPC_CANCELLED: the client reset it; GRPC_DEADLINE_EXCEEDED;
     * GRPC_UNAVAILABLE: the connection is lost or the server shut down; others: the transport ended it (malformed or
     * oversized message). rpc_call_send and rpc_call_finish do nothing from now on. */
    void (*on_cancel)(struct rpc_call *call, enum grpc_status reason);
    /* Client: the answer's headers are in; not called when the answer is a status only. */
    void (*on_initial_metadata)(struct rpc_call *call);
    /* Client: the end, with the server's status or the transport's own. `message` is valid during the callback;
     * trailing metadata can be read. */
    void (*on_status)(struct rpc_call *call, enum grpc_status code, struct slice message);
    /* The last reference is gone: free what user data and state own. On the loop's thread. */
    void (*on_release)(struct rpc_call *call);
};

/* [any] */
struct rpc_call *rpc_call_ref(struct rpc_call *call);
/* [any] Null is allowed. */
void rpc_call_unref(struct rpc_call *call);

/* [any] Queues one message and returns how many bytes of this call wait to be written, this message included (0 when
 * the call is over; the bytes are dropped). The bytes are copied. The caller of a stream keeps the queue short: see
 * RPC_SEND_HIGH_BYTES. Out of memory, or a connection that holds too much, ends the call with RESOURCE_EXHAUSTED. */
size_t rpc_call_send(struct rpc_call *call, struct slice message);

/* [any] rpc_call_send and rpc_call_finish(GRPC_OK) in one step: the answer of a unary call. */
void rpc_call_reply(struct rpc_call *call, struct slice message);

/* [loop] rpc_call_send without the copy: queues a message of exactly `size` bytes and returns where to write them. They
 * must be filled in before the callback returns and before the next call of any send function. Null when the call is
 * over or memory is out (the call then ends by itself). */
uint8_t *rpc_call_send_space(struct rpc_call *call, size_t size);

/* Bytes that wait to be written. [any] */
size_t rpc_call_send_queued(const struct rpc_call *call);

/* [any] Server: ends the call with a status after the queued messages are out. `message` (UTF-8, may be null; copied)
 * is for people. A second finish does nothing. The caller's own reference stays its own. */
void rpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *message);

/* [any] Server: rpc_call_finish with the code and text of a failed Plinth function. `error` may be null. */
void rpc_call_finish_error(struct rpc_call *call, enum plinth_status status, const struct plinth_error *error);

/* [any] Client: nothing more will be sent. */
void rpc_call_half_close(struct rpc_call *call);

/* [any] Client: gives up; on_status says CANCELLED. Server: resets the stream without a status, on_cancel is told. */
void rpc_call_cancel(struct rpc_call *call);

/* [any] Stops and restarts the delivery of messages. While paused the peer's window is not given back, so that at most
 * one stream window of bytes waits here. Pausing from on_message holds from the next message on. Starts unpaused. */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);

/* True when the stream is gone or finished: what is sent now goes nowhere. [any] A hint off the loop's thread. */
bool rpc_call_is_over(const struct rpc_call *call);

/* On the monotonic clock of the loop's env; UINT64_MAX: none. [any] */
uint64_t rpc_call_deadline_ns(const struct rpc_call *call);

struct rpc_loop *rpc_call_loop(const struct rpc_call *call); /* [any] */
/* Server: the entry that matched. Null on a client. [any] */
const struct rpc_method *rpc_call_method(const struct rpc_call *call);
/* The peer's "address:port". [any] Valid as long as the call. */
const char *rpc_call_peer(const struct rpc_call *call);

/* The call's own memory, `state_bytes` of the method or of the client's options, zeroed at the start, 16-byte
 * aligned, reused with the call: a handler's state without an allocation. Null when state_bytes is 0. [owner] */
void *rpc_call_state(const struct rpc_call *call);
void rpc_call_set_user_data(struct rpc_call *call, void *user_data); /* [owner] */
void *rpc_call_user_data(const struct rpc_call *call);               /* [owner] */

/* Received metadata: a server's request headers; a client's initial and then also trailing metadata (answers before
 * the status). Names are lower-case; values of "-bin" names are decoded. HTTP/2's own and gRPC's own fields are not
 * among them, user-agent is. Slices live as long as the call. [owner], not while a client still receives. */
struct rpc_metadata {
    struct slice name;
    struct slice value;
};
/* The first value of that name; false and an empty slice when there is none. */
bool rpc_call_metadata(const struct rpc_call *call, const char *name, struct slice *value);
size_t rpc_call_metadata_count(const struct rpc_call *call);
struct rpc_metadata rpc_call_metadata_at(const struct rpc_call *call, size_t i);

/* Server: adds metadata to the headers (before the first send) or to the trailers (before the finish). "-bin" values
 * are given raw and encoded here. PLINTH_INVALID_ARGUMENT for a name or value that HTTP/2 or gRPC does not allow, with
 * nothing added. Copied. [owner] */
PLINTH_MUST_CHECK enum plinth_status rpc_call_add_initial_metadata(struct rpc_call *call, const char *name,
                                                                   struct slice value);
PLINTH_MUST_CHECK enum plinth_status rpc_call_add_trailing_metadata(struct rpc_call *call, const char *name,
                                                                    struct slice value);
/* Sends the headers now, before any message. [any] */
void rpc_call_send_initial_metadata(struct rpc_call *call);

#endif
