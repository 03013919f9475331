/* What the files of this room share.
 *
 * A call: the transport calls service_ops on the call's loop → access_check → the method's on_message. What may wait or
 * read the disk goes to a worker pool (service_offload) with a copy of the request; a submitted write is parked on its
 * loop until it is as durable as asked for (write.c).
 *
 * Locks, none held while another is taken: snapshot_table.mutex; service_loop.mutex (held over rpc_loop_wake);
 * service.keeper_mutex. */
#ifndef PLINTH_SERVICE_SERVICE_PRIVATE_H
#define PLINTH_SERVICE_SERVICE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/thread.h"
#include "rpc/call.h"
#include "rpc/loop.h"
#include "rpc/server.h"
#include "service/access.h"
#include "service/descriptor_index.h"
#include "service/metrics.h"
#include "service/parked.h"
#include "service/request.h"
#include "service/service.h"
#include "service/snapshot_table.h"

struct http;
struct service_call;
struct watcher;
struct ingest_stream;
struct change_stream;

enum service_state { SERVICE_STARTING, SERVICE_READY, SERVICE_STOPPING };

/* Calls that wait for a worker, or are worked on, at most; further ones get UNAVAILABLE. */
enum { OFFLOADED_MAX = 8192 };

/* One method of one service; static. All callbacks on the call's loop; all but on_message may be null. */
struct service_method {
    const char *path;
    enum rpc_call_kind kind;
    size_t message_bytes_max; /* of a request; 0: the transport's default, a little above 4 MiB */
    void (*on_message)(struct service_call *call, struct slice message);
    void (*on_half_close)(struct service_call *call);
    void (*on_writable)(struct service_call *call);
    void (*on_cancel)(struct service_call *call);
    void (*on_release)(struct service_call *call);
};

/* One loop's own things; touched by its thread only, but for `mutex` and what it guards. */
struct service_loop {
    struct service *service;
    struct rpc_loop *rpc;
    unsigned index;
    struct arena arena;         /* of one request that is handled at once; reset after each */
    struct plinth_buffer value; /* of Get, reused */
    struct parked_queue parked[PLINTH_DURABILITY_SYNCED + 1]; /* by durability; [0] is unused */
    struct watcher *watchers;                                 /* Health.Watch calls, linked */
    struct ingest_stream *ingest_streams;                     /* WriteStream calls, linked */
    struct change_stream *change_streams;                     /* Changes calls, linked */
    struct rpc_timer changes_timer;                           /* the next of them that is due */
    pthread_mutex_t mutex;
    bool has_change_streams; /* guarded by mutex: likewise */
    bool armed;              /* guarded by mutex: something is parked, so commits must wake this loop */
};

struct service {
    struct env *env;
    struct service_options options;
    enum plinth_durability durability; /* of writes that do not say */
    atomic_int state;                  /* enum service_state; READY is published after db and rpc are set */
    struct plinth *db;
    struct plinth_space default_space;
    _Atomic(struct rpc_server *) rpc; /* null until it is made, though its loops may serve calls already */
    struct http *http;
    struct pool *workers;       /* reads from disk, blocking writes, scans */
    struct pool *admin_workers; /* flush, compact, verify: minutes, so they get threads of their own */
    atomic_uint offloaded;
    atomic_uint change_streams; /* open ones */
    struct snapshot_table snapshots;
    struct descriptor_index descriptors;
    struct metrics metrics;
    struct rpc_method *rpc_methods;
    enum access_right *rights; /* by method, as rpc_methods */
    unsigned method_count;
    struct service_loop *loops;
    unsigned loop_count;
    uint64_t started_ns;

    atomic_bool writable; /* the keeper's last look at plinth_log_status */
    pthread_t keeper;
    pthread_mutex_t keeper_mutex;
    pthread_cond_t keeper_wake;
    bool keeper_running; /* set and read by the thread that starts and stops */
    bool keeper_stop;    /* guarded by keeper_mutex */
};

/* A call's own state: the transport's rpc_call_state, zeroed at its start. */
struct service_call {
    struct rpc_call *rpc;
    struct service *service;
    struct service_loop *loop;
    const struct service_method *method;
    unsigned method_index;
    bool refused;         /* by access_check: finished already */
    atomic_bool recorded; /* in the metrics */
    uint64_t started_ns;
    struct buffer request; /* what service_offload kept */
    struct pool_task task;
    void (*work)(struct service_call *call);
    void *state; /* of the method; freed by its on_release */
};

/* All methods of all services; `service_method_count` of them. */
extern const struct service_method *const service_methods[];
extern const unsigned service_method_count;
extern const struct rpc_call_ops service_ops;

/* ---- finishing; any thread; the first one counts ---- */

void service_finish(struct service_call *call, enum plinth_status status, const struct plinth_error *error);
void service_finish_text(struct service_call *call, enum plinth_status status, const char *text);
/* Sends the one answer of a unary call and finishes it with OK. */
void service_answer(struct service_call *call, struct slice message);
/* The same, packing a protobuf-c message. */
void service_answer_message(struct service_call *call, const ProtobufCMessage *message);

/* ---- workers ---- */

/* Runs `work` on a worker, with call->request = a copy of `message`; the call is referenced until `work` returns. When
 * that is not possible the call is finished with the reason. Loop thread. */
void service_offload(struct service_call *call, struct pool *pool, struct slice message,
                     void (*work)(struct service_call *call));
/* Runs `work` (again) for a call that holds a reference of its own and whose request is kept. False when the server
 * stops. Any thread. */
PLINTH_MUST_CHECK bool service_resubmit(struct service_call *call, struct pool *pool,
                                        void (*work)(struct service_call *call));

/* ---- hooks of the loops ---- */

void health_on_wake(struct service_loop *loop);
void ingest_on_wake(struct service_loop *loop);
void changes_on_wake(struct service_loop *loop);
void health_changed(struct service *service); /* any thread */

/* Pages of the HTTP server: an http_page whose context is the service. pages.c */
unsigned service_page(void *context, const char *path, struct buffer *body, const char **content_type);

/* Whether the server takes calls and writes; else the reason for people. While the disk is full it is ready, and there
 * is a reason all the same. Any thread. */
bool service_is_ready(struct service *service, char *reason, size_t reason_size);

#endif
