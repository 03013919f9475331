/* plinth.v1.ChangeFeed: change feeds as server streams. Reading the log takes a worker; waiting for writes, or for a
 * client that does not read, takes none. A stream is in one of these states:
 *
 *     WORKING  a worker is on it, or it waits in the pool's queue; it holds a reference of the call, as in all states
 *              but OVER
 *     BLOCKED  the client has RPC_SEND_HIGH_BYTES to take
 *     WAITING  parked on its loop until something above `wait_lsn` is visible (not before `not_before_ns`: a feed that
 *              finds nothing of what it wants in busy times looks at it in lumps), or until its heartbeat is due
 *     OVER     closed; nobody has it
 *
 *     worker       WORKING → BLOCKED after a send that reported RPC_SEND_HIGH_BYTES; → WAITING when all is given, and a
 *                  task to the loop then looks at it; → OVER at the end
 *     on_writable  BLOCKED → WORKING and into the pool; in WORKING it leaves word
 *     the loop     WAITING → WORKING and into the pool when it is due: at a commit (the engine's listener wakes loops
 *                  that have streams), at the loop's timer, and when the server stops
 *     on_cancel    BLOCKED, WAITING → WORKING, to be closed by a worker; a server that stops likewise
 *
 * No wake is lost: a loop with a stream is woken by every commit from before the stream's first look, and whoever parks
 * makes the loop look once more. What is sent comes from workers alone, so that nothing overtakes. */
#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/feed.h"
#include "plinth/v1/change_feed.pb-c.h"
#include "service/changes_encode.h"
#include "service/changes_state.h"
#include "service/methods.h"
#include "service/position.h"
#include "service/row_value.h"
#include "service/service_private.h"

enum {
    STREAMS_MAX = 1024,
    MESSAGE_BYTES = 128 << 10, /* changes are put together up to this */
    MESSAGES_A_TURN = 8,
    HEARTBEAT_MS_DEFAULT = 10000,
    HEARTBEAT_MS_MIN = 10,
};
#define DELAY_FIRST_NS 1000000ull
#define DELAY_MAX_NS 50000000ull
#define LOOK_AGAIN_NS 100000000ull /* while streams wait: for what no listener tells */

enum stream_state { STREAM_WORKING, STREAM_BLOCKED, STREAM_WAITING, STREAM_OVER };

struct change_stream {
    pthread_mutex_t mutex; /* guards the state and what is said with it: */
    enum stream_state state;
    bool writable; /* on_writable came while a worker was on it */
    bool cancelled;
    bool parking; /* `park` is on its way to the loop */
    uint64_t wait_lsn, not_before_ns, heartbeat_ns;
    struct rpc_task park;
    /* The loop's own: */
    struct service_call *call;
    struct change_stream *next, *previous;
    bool counted;
    /* The worker's own: */
    struct arena arena; /* the request */
    struct feed *feed;
    struct feed_options options;
    struct changes_state *initial; /* what is to be given first; set and cleared under `mutex` */
    struct changes_format format;
    uint64_t heartbeat_every_ns, limit, given;
    uint64_t sent_ns;                /* the last message */
    uint64_t delay_ns;               /* before the next look, when nothing is found */
    bool any;                        /* something was found since the last rest */
    struct plinth_position position; /* everything up to here is sent, or in the message */
    struct feed_item item;
    struct changes_progress progress;
    bool has_item; /* of which not all is encoded */
    struct buffer message;
    struct changes_scratch scratch;
};

/* ---- the request ---- */

static enum plinth_status position_of(const Plinth__V1__Position *given, const char *field,
                                      struct plinth_position *position, struct plinth_error *error) {
    *position = (struct plinth_position){0};
    return given ? position_decode(request_bytes(given->token), field, position, error) : PLINTH_OK;
}

static enum plinth_status tables_of(struct change_stream *stream, const Plinth__V1__ChangesRequest *request,
                                    struct feed_options *options, struct plinth_error *error) {
    struct feed_table *tables = arena_alloc(&stream->arena, (request->n_tables + 1) * sizeof *tables);
    if (!tables) return error_no_memory(error, "request");
    for (size_t i = 0; i < request->n_tables; i++)
        tables[i] = (struct feed_table){slice_of_string(request->tables[i]->database),
                                        slice_of_string(request->tables[i]->name)};
    options->tables = tables;
    options->table_count = (uint32_t)request->n_tables;
    return PLINTH_OK;
}

static void set_initial(struct change_stream *stream, struct changes_state *state) {
    pthread_mutex_lock(&stream->mutex);
    struct changes_state *before = stream->initial;
    stream->initial = state;
    pthread_mutex_unlock(&stream->mutex);
    changes_state_close(before);
}

/* The state is pinned before the feed begins behind it, or the other way round when it is of the past and held. */
static enum plinth_status open_with_state(struct service_call *call, struct change_stream *stream,
                                          struct plinth_error *error) {
    struct plinth *db = call->service->db;
    struct feed_options *options = &stream->options;
    struct plinth_snapshot *snapshot = NULL;
    struct changes_state *state = NULL;
    struct plinth_position at = {0};
    enum plinth_status st = PLINTH_OK;
    if (position_given(options->after))
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "initial_state: a feed that goes on after a position has none");
    bool past = options->snapshot_name || options->as_of_time_us;
    if (past) st = feed_open(db, options, &stream->feed, error);
    if (!st && past) at = feed_position(stream->feed);
    if (!st) st = plinth_snapshot_create(db, at, &snapshot, error);
    if (!st && !past) {
        options->after = plinth_snapshot_position(snapshot);
        st = feed_open(db, options, &stream->feed, error);
    }
    if (!st)
        st = changes_state_open(db, snapshot, options, &stream->mutex, &state, error);
    else
        plinth_snapshot_destroy(snapshot);
    if (!st) set_initial(stream, state);
    return st;
}

static enum plinth_status open_feed(struct service_call *call, struct plinth_error *error) {
    struct change_stream *stream = call->state;
    struct feed_options *options = &stream->options;
    Plinth__V1__ChangesRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__changes_request__descriptor, buffer_slice(&call->request),
                                           &stream->arena, &request, error);
    if (!st) st = position_of(request->after, "after", &options->after, error);
    if (!st) st = position_of(request->until, "until", &options->until, error);
    if (!st) st = tables_of(stream, request, options, error);
    if (!st) st = row_value_predicate(request->predicate, &stream->arena, &options->predicate, error);
    if (!st) st = row_value_format(request->format, &stream->format.compression, &stream->format.values, error);
    if (!st && request->heartbeat_ms && request->heartbeat_ms < HEARTBEAT_MS_MIN)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "heartbeat_ms: %u; at least %d", request->heartbeat_ms,
                       (int)HEARTBEAT_MS_MIN);
    if (st) return st;
    if (request->snapshot_name[0]) options->snapshot_name = request->snapshot_name;
    options->as_of_time_us = request->as_of_time_us;
    options->until_now = request->until_now;
    options->prefix = request_bytes(request->prefix);
    options->with_previous = stream->format.with_previous = request->with_previous;
    stream->heartbeat_every_ns =
        (request->heartbeat_ms ? request->heartbeat_ms : (uint64_t)HEARTBEAT_MS_DEFAULT) * 1000000;
    stream->limit = request->limit;
    return request->initial_state ? open_with_state(call, stream, error)
                                  : feed_open(call->service->db, options, &stream->feed, error);
}

/* ---- a worker's turn ---- */

/* Ends the stream; the call may go. By the worker. */
static void stream_end(struct service_call *call, struct change_stream *stream) {
    set_initial(stream, NULL);
    feed_close(stream->feed);
    stream->feed = NULL;
    pthread_mutex_lock(&stream->mutex);
    stream->state = STREAM_OVER;
    pthread_mutex_unlock(&stream->mutex);
    rpc_call_unref(call->rpc);
}

static void stream_fail(struct service_call *call, struct change_stream *stream, enum plinth_status status,
                        const struct plinth_error *error) {
    service_finish(call, status, error);
    stream_end(call, stream);
}

static bool limit_is_reached(const struct change_stream *stream) {
    return stream->limit && stream->given == stream->limit;
}

/* The next piece of the state into the message; *found is FEED_NOTHING when all of it is given. */
static enum plinth_status fill_initial(struct change_stream *stream, enum feed_found *found,
                                       struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    bool done, more = true;
    *found = FEED_MORE;
    if (!stream->has_item) {
        st = changes_state_next(stream->initial, &stream->item, &more, error);
        stream->progress = (struct changes_progress){0};
    }
    if (st) return st;
    if (!more) {
        set_initial(stream, NULL);
        return PLINTH_OK;
    }
    st = changes_encode(&stream->message, &stream->item, &stream->format, &stream->progress, &done, &stream->scratch,
                        error);
    stream->has_item = !done;
    return st;
}

/* Changes into the message, until it is long enough or there are no more now. A write that goes on in the next message
 * is the message's last one. */
static enum plinth_status fill(struct change_stream *stream, enum feed_found *found, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *found = FEED_ITEM;
    while (!st && stream->message.size < MESSAGE_BYTES && !limit_is_reached(stream)) {
        bool done;
        if (!stream->has_item) {
            st = feed_next(stream->feed, &stream->item, found, error);
            if (!st && *found != FEED_ITEM) stream->position = feed_position(stream->feed);
            if (st || *found != FEED_ITEM) return st;
            stream->has_item = stream->any = true;
            stream->progress = (struct changes_progress){0};
        }
        st = changes_encode(&stream->message, &stream->item, &stream->format, &stream->progress, &done,
                            &stream->scratch, error);
        if (st || !done) return st; /* an item in parts: a message each */
        stream->has_item = false;
        if (!stream->item.last) continue;
        stream->given++;
        stream->position = feed_position(stream->feed);
    }
    return st;
}

/* Sends what is in the message, with the position, or as a piece of the state. False when memory is out. */
static bool send_message(struct service_call *call, struct change_stream *stream, size_t *queued) {
    if (!(stream->initial ? changes_encode_initial(&stream->message)
                          : changes_encode_position(&stream->message, stream->position)))
        return false;
    *queued = rpc_call_send(call->rpc, buffer_slice(&stream->message));
    buffer_clear(&stream->message);
    stream->sent_ns = env_monotonic_ns(call->service->env);
    return true;
}

/* True when the worker keeps the stream: the client has taken what there was meanwhile, or has gone. */
static bool keep_when_full(struct change_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool keep = stream->writable || stream->cancelled;
    stream->writable = false;
    if (!keep) stream->state = STREAM_BLOCKED;
    pthread_mutex_unlock(&stream->mutex);
    return keep;
}

/* Leaves the stream to its loop until there is more. False when the call has been cancelled meanwhile. */
static bool rest(struct service_call *call, struct change_stream *stream) {
    uint64_t now_ns = env_monotonic_ns(call->service->env);
    if (stream->any)
        stream->delay_ns = 0;
    else
        stream->delay_ns = stream->delay_ns ? stream->delay_ns * 2 : DELAY_FIRST_NS;
    if (stream->delay_ns > DELAY_MAX_NS) stream->delay_ns = DELAY_MAX_NS;
    stream->any = false;
    pthread_mutex_lock(&stream->mutex);
    bool waits = !stream->cancelled, post = waits && !stream->parking;
    if (waits) {
        stream->state = STREAM_WAITING;
        stream->wait_lsn = feed_limit(stream->feed);
        stream->not_before_ns = now_ns + stream->delay_ns;
        stream->heartbeat_ns = stream->sent_ns + stream->heartbeat_every_ns;
    }
    if (post) {
        stream->parking = true;
        rpc_call_ref(call->rpc);
        rpc_loop_post(call->loop->rpc, &stream->park); /* under the mutex: `parking` says so */
    }
    pthread_mutex_unlock(&stream->mutex);
    return waits;
}

static bool is_over(struct service_call *call, struct change_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool cancelled = stream->cancelled;
    pthread_mutex_unlock(&stream->mutex);
    return cancelled || rpc_call_is_over(call->rpc);
}

static bool is_stopping(const struct service *service) { return atomic_load(&service->state) == SERVICE_STOPPING; }

static void changes_work(struct service_call *call);

static void changes_go_on(struct service_call *call, struct change_stream *stream) {
    if (service_resubmit(call, call->service->workers, changes_work)) return;
    service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping: go on behind the last position");
    stream_end(call, stream);
}

static bool heartbeat_is_due(struct service_call *call, const struct change_stream *stream) {
    return env_monotonic_ns(call->service->env) >= stream->sent_ns + stream->heartbeat_every_ns;
}

/* One message. True when the worker goes on with the stream. */
static bool work_once(struct service_call *call, struct change_stream *stream) {
    struct plinth_error error = {0};
    enum feed_found found = FEED_MORE;
    enum plinth_status st = PLINTH_OK;
    size_t queued = 0;
    if (is_over(call, stream)) {
        stream_end(call, stream);
        return false;
    }
    if (is_stopping(call->service))
        st = error_set(&error, PLINTH_UNAVAILABLE, "the server is stopping: go on behind the last position");
    bool initial = stream->initial != NULL;
    if (!st) st = initial ? fill_initial(stream, &found, &error) : fill(stream, &found, &error);
    bool end = !st && (found == FEED_END || limit_is_reached(stream));
    bool send = stream->message.size || end || heartbeat_is_due(call, stream) || (initial && !stream->initial);
    if (!st && send && !send_message(call, stream, &queued)) st = error_no_memory(&error, "changes");
    if (!st && !end && found == FEED_NOTHING) st = plinth_log_status(call->service->db, &error);
    if (st || end) {
        stream_fail(call, stream, st, &error);
        return false;
    }
    if (queued >= RPC_SEND_HIGH_BYTES && !keep_when_full(stream)) return false;
    return found != FEED_NOTHING || !rest(call, stream);
}

static void changes_work(struct service_call *call) {
    struct change_stream *stream = call->state;
    unsigned messages = 0;
    bool more = true;
    rpc_call_ref(call->rpc); /* whoever has the stream next may end it before this returns */
    while (more && messages++ < MESSAGES_A_TURN) more = work_once(call, stream);
    if (more) changes_go_on(call, stream);
    rpc_call_unref(call->rpc);
}

static void changes_begin(struct service_call *call) {
    struct change_stream *stream = call->state;
    struct plinth_error error = {0};
    size_t queued;
    rpc_call_ref(call->rpc);
    enum plinth_status st = open_feed(call, &error);
    if (!st) stream->position = feed_position(stream->feed);
    if (!st && !send_message(call, stream, &queued)) st = error_no_memory(&error, "changes");
    if (st)
        stream_fail(call, stream, st, &error);
    else
        changes_work(call);
}

/* ---- the loop ---- */

/* Puts a stream that nobody works on back to work. */
static void wake(struct change_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool go = stream->state == STREAM_BLOCKED || stream->state == STREAM_WAITING;
    if (go) stream->state = STREAM_WORKING;
    pthread_mutex_unlock(&stream->mutex);
    if (go) changes_go_on(stream->call, stream);
}

/* When a stream is to be woken; UINT64_MAX: by nothing that the loop knows of. */
static uint64_t due_ns(struct change_stream *stream, uint64_t visible_lsn, bool failed, bool stopping) {
    uint64_t due = UINT64_MAX;
    pthread_mutex_lock(&stream->mutex);
    if (stream->state == STREAM_WAITING) {
        due = failed ? 0 : stream->heartbeat_ns;
        if (visible_lsn > stream->wait_lsn && stream->not_before_ns < due) due = stream->not_before_ns;
    }
    if (stopping && (stream->state == STREAM_WAITING || stream->state == STREAM_BLOCKED)) due = 0;
    pthread_mutex_unlock(&stream->mutex);
    return due;
}

/* Wakes the streams that are due, and sets the timer for the others. */
static void look(struct service_loop *loop) {
    struct service *service = loop->service;
    if (!loop->change_streams) return;
    struct plinth_error ignored;
    uint64_t visible_lsn = feed_visible_lsn(service->db), now_ns = env_monotonic_ns(service->env);
    bool failed = plinth_log_status(service->db, &ignored), stopping = is_stopping(service);
    uint64_t next_ns = now_ns + LOOK_AGAIN_NS;
    for (struct change_stream *stream = loop->change_streams, *next; stream; stream = next) {
        uint64_t due = due_ns(stream, visible_lsn, failed, stopping);
        next = stream->next;
        if (due <= now_ns)
            wake(stream);
        else if (due < next_ns)
            next_ns = due;
    }
    /* Without a timer (memory) commits still wake the streams. */
    (void)!rpc_timer_arm(loop->rpc, &loop->changes_timer, next_ns);
}

void changes_on_wake(struct service_loop *loop) { look(loop); }

static void on_timer(struct rpc_timer *timer) {
    look((struct service_loop *)((char *)timer - offsetof(struct service_loop, changes_timer)));
}

static void park_stream(struct rpc_task *task) {
    struct change_stream *stream = (struct change_stream *)((char *)task - offsetof(struct change_stream, park));
    struct service_call *call = stream->call;
    pthread_mutex_lock(&stream->mutex);
    stream->parking = false;
    pthread_mutex_unlock(&stream->mutex);
    look(call->loop);
    rpc_call_unref(call->rpc);
}

static void has_streams(struct service_loop *loop, bool has) {
    pthread_mutex_lock(&loop->mutex);
    loop->has_change_streams = has;
    pthread_mutex_unlock(&loop->mutex);
}

static void link_in(struct service_loop *loop, struct change_stream *stream) {
    stream->next = loop->change_streams;
    if (stream->next)
        stream->next->previous = stream;
    else
        has_streams(loop, true);
    loop->change_streams = stream;
    loop->changes_timer.run = on_timer;
}

static void unlink_from(struct service_loop *loop, struct change_stream *stream) {
    if (stream->next) stream->next->previous = stream->previous;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        loop->change_streams = stream->next;
    if (loop->change_streams) return;
    has_streams(loop, false);
    rpc_timer_disarm(loop->rpc, &loop->changes_timer);
}

/* ---- callbacks ---- */

static void changes_on_message(struct service_call *call, struct slice message) {
    struct change_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: change feed");
        return;
    }
    pthread_mutex_init(&stream->mutex, NULL);
    arena_init(&stream->arena);
    stream->park.run = park_stream;
    stream->call = call;
    call->state = stream;
    link_in(call->loop, stream);
    if (atomic_fetch_add(&call->service->change_streams, 1) >= STREAMS_MAX)
        service_finish_text(call, PLINTH_RESOURCE_EXHAUSTED, "1,024 change feeds are open already");
    else
        service_offload(call, call->service->workers, message, changes_begin);
}

static void changes_on_writable(struct service_call *call) {
    struct change_stream *stream = call->state;
    if (!stream) return;
    pthread_mutex_lock(&stream->mutex);
    bool go = stream->state == STREAM_BLOCKED;
    if (go) stream->state = STREAM_WORKING;
    if (!go && stream->state == STREAM_WORKING) stream->writable = true;
    pthread_mutex_unlock(&stream->mutex);
    if (go) changes_go_on(call, stream);
}

static void changes_on_cancel(struct service_call *call) {
    struct change_stream *stream = call->state;
    if (!stream) return;
    pthread_mutex_lock(&stream->mutex);
    stream->cancelled = true;
    if (stream->initial) changes_state_interrupt(stream->initial);
    pthread_mutex_unlock(&stream->mutex);
    wake(stream);
}

static void changes_on_release(struct service_call *call) {
    struct change_stream *stream = call->state;
    if (!stream) return;
    unlink_from(call->loop, stream);
    atomic_fetch_sub(&call->service->change_streams, 1);
    changes_state_close(stream->initial);
    feed_close(stream->feed);
    buffer_deinit(&stream->message);
    changes_scratch_deinit(&stream->scratch);
    arena_deinit(&stream->arena);
    pthread_mutex_destroy(&stream->mutex);
    free(stream);
}

const struct service_method change_feed_changes = {"/plinth.v1.ChangeFeed/Changes",  RPC_SERVER_STREAM,
                                                   .on_message = changes_on_message, .on_writable = changes_on_writable,
                                                   .on_cancel = changes_on_cancel,   .on_release = changes_on_release};
