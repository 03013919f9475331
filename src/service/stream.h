/* Server streams: chunks as fast as the client takes them.
 *
 * A stream is worked on by one worker at a time and holds none while the client is slow. Its `turn` says whose it is:
 *
 *     RUNNING   a worker is on it, or it waits in the pool's queue
 *     SUSPENDED the client has RPC_SEND_HIGH_BYTES to take; nobody works on it
 *     WRITABLE  the client has taken them before the worker could suspend: it goes on at once
 *     CANCELLED the call is over: whoever has the stream, or gets it, closes it
 *
 *     worker:      RUNNING → SUSPENDED after a send that reported RPC_SEND_HIGH_BYTES; WRITABLE → RUNNING instead
 *     on_writable: SUSPENDED → RUNNING and into the pool; RUNNING → WRITABLE
 *     on_cancel:   any → CANCELLED; from SUSPENDED it goes into the pool to be closed
 *
 * After some chunks a stream goes to the end of the pool's queue, so that long ones share the workers with short calls.
 */
#ifndef PLINTH_SERVICE_STREAM_H
#define PLINTH_SERVICE_STREAM_H

#include <stdatomic.h>

#include "base/bytes.h"

struct service_call;

struct stream_ops {
    /* Opens what is streamed, from call->request. On a worker, once. */
    enum plinth_status (*open)(struct service_call *call, struct plinth_error *error);
    /* Puts the next message into `chunk` (empty at first; nothing: no message yet); *end with or after the last one. */
    enum plinth_status (*fill)(struct service_call *call, struct buffer *chunk, bool *end, struct plinth_error *error);
    /* The call is over while a worker may be in fill: makes it return soon. May be null. The loop's thread. */
    void (*interrupt)(struct service_call *call);
    /* Frees what open made; also after a failed open. By whoever has the turn. */
    void (*close)(struct service_call *call);
};

/* The head of a method's state (call->state). */
struct stream {
    const struct stream_ops *ops;
    struct buffer chunk;
    atomic_int turn;
};

/* Hands the request to the workers; call->state points to a struct stream with its ops set. The stream holds a
 * reference to its call from open to close. */
void stream_start(struct service_call *call, struct slice message);
/* To be the method's callbacks. */
void stream_on_writable(struct service_call *call);
void stream_on_cancel(struct service_call *call);
/* For on_release. */
void stream_deinit(struct stream *stream);

#endif
