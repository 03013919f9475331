/* The Ingestion service: batches of rows, one by one or as a stream.
 *
 * Reading, sorting and submitting a batch takes a worker; waiting for the disk takes none: what is submitted is parked
 * on the call's loop (write.c), so that thousands of calls may wait for one sync.
 *
 * A stream's requests wait in a queue that its one worker works off: each is parsed and submitted, and answered, in
 * order, as soon as it is durable. With an empty queue the worker leaves, and another one comes with the next request
 * or when the oldest unanswered one is durable; so reading the next batch, sorting this one and syncing the one before
 * go on at once. When the queue is full the client is no longer read from. */
#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "service/methods.h"
#include "service/rows_write.h"
#include "service/service_private.h"

enum {
    REQUEST_BYTES_MAX = (16 << 20) + (64 << 10),
    QUEUE_BYTES_MAX = 8 << 20, /* beyond, the call is paused */
    UNANSWERED_MAX = 256,      /* submitted and not yet durable */
    REQUESTS_A_TURN = 16,      /* then the stream goes to the end of the pool's queue */
};

/* ---- Write ---- */

/* A Write whose rows have their place in the log: it waits on its loop, not on a worker, to be acknowledged. */
struct logged_write {
    struct rpc_task park;
    struct service_call *call;
    struct plinth_position position;
    enum plinth_durability durability;
    struct buffer answer;
};

static void end_logged(struct service_call *call, struct plinth_position position, enum plinth_status status,
                       const struct plinth_error *error) {
    struct logged_write *logged = call->state;
    (void)position;
    if (status)
        service_finish(call, status, error);
    else
        service_answer(call, buffer_slice(&logged->answer));
}

static void park_logged(struct rpc_task *task) {
    struct logged_write *logged = (struct logged_write *)((char *)task - offsetof(struct logged_write, park));
    struct service_call *call = logged->call;
    write_park(call, logged->position, logged->durability, end_logged);
    rpc_call_unref(call->rpc);
}

/* Submits, and leaves the call with what it waits for in its state. */
static enum plinth_status submit_one(struct service_call *call, struct logged_write *logged,
                                     struct plinth_error *error) {
    struct rows_source source = {0};
    struct rows_written written;
    enum plinth_status st = rows_write_submit(call->service, &source, buffer_slice(&call->request), &written, error);
    rows_source_deinit(&source);
    if (st) return st;
    logged->position = written.result.position;
    logged->durability = written.options.durability;
    if (!rows_write_answer(&logged->answer, &written, PLINTH_OK, NULL))
        st = error_set(error, PLINTH_OUTCOME_UNKNOWN, "out of memory while a batch was on its way");
    rows_result_deinit(&written.result);
    return st;
}

static void write_one(struct service_call *call) {
    struct plinth_error error = {0};
    struct logged_write *logged = calloc(1, sizeof *logged);
    enum plinth_status st = logged ? PLINTH_OK : error_no_memory(&error, "request");
    call->state = logged;
    if (!st) st = submit_one(call, logged, &error);
    buffer_deinit(&call->request); /* many may wait */
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    logged->call = call;
    logged->park.run = park_logged;
    rpc_call_ref(call->rpc);
    rpc_loop_post(call->loop->rpc, &logged->park);
}

static void write_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, write_one);
}

static void write_on_release(struct service_call *call) {
    struct logged_write *logged = call->state;
    if (logged) buffer_deinit(&logged->answer);
    free(logged);
}

/* ---- WriteStream ---- */

struct queued {
    struct queued *next;
    size_t size;
    uint8_t bytes[];
};

/* A request that is submitted, or has failed, and waits for its turn to be answered. */
struct unanswered {
    struct rows_written written;
    enum plinth_status status;
    struct plinth_error error;
};

struct ingest_stream {
    pthread_mutex_t mutex; /* guards the queue and the flags */
    struct queued *first, **last;
    size_t queued_bytes;
    bool working; /* a worker is on it, holding a reference of the call */
    bool paused;
    bool half_closed;
    bool draining; /* the server stops: the call ends when its queue is empty */
    bool parked;   /* `oldest` is on its way to the loop, or parked there */
    bool settled;  /* it has been acknowledged, or never will be */
    bool over;
    /* Written by the worker that sets `parked`, then the loop's: */
    struct rpc_task park;
    struct plinth_position oldest;
    enum plinth_durability oldest_durability;
    /* The loop's own: its list of streams. */
    struct service_call *call;
    struct ingest_stream *next, *previous;
    /* The worker's own: */
    struct rows_source source;
    struct unanswered *ring;
    unsigned head, count;
    struct buffer answer;
};

static struct queued *take(struct service_call *call, struct ingest_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    struct queued *first = stream->over ? NULL : stream->first;
    if (first) {
        stream->first = first->next;
        if (!stream->first) stream->last = &stream->first;
        stream->queued_bytes -= first->size;
    }
    bool resume = stream->paused && stream->queued_bytes < QUEUE_BYTES_MAX / 2;
    if (resume) stream->paused = false;
    pthread_mutex_unlock(&stream->mutex);
    if (resume) rpc_call_resume(call->rpc);
    return first;
}

/* Answers the oldest requests that are durable by now, or never will be; with `wait`, all of them. */
static void answer_ready(struct service_call *call, struct ingest_stream *stream, bool wait) {
    struct plinth *db = call->service->db;
    while (stream->count) {
        struct unanswered *oldest = &stream->ring[stream->head];
        if (!oldest->status) {
            bool there = plinth_acknowledged(db, oldest->written.options.durability) >= oldest->written.result.last_lsn;
            if (!there && !wait && !plinth_log_status(db, NULL)) return;
            if (!there)
                oldest->status = rows_wait(db, &oldest->written.options, &oldest->written.result, &oldest->error);
        }
        buffer_clear(&stream->answer);
        if (rows_write_answer(&stream->answer, &oldest->written, oldest->status, &oldest->error))
            rpc_call_send(call->rpc, buffer_slice(&stream->answer));
        else
            service_finish_text(call, PLINTH_OUTCOME_UNKNOWN, "out of memory while a batch was on its way");
        rows_result_deinit(&oldest->written.result);
        stream->head = (stream->head + 1) % UNANSWERED_MAX;
        stream->count--;
    }
}

static void submit(struct service_call *call, struct ingest_stream *stream, struct slice message) {
    if (stream->count == UNANSWERED_MAX) answer_ready(call, stream, true);
    struct unanswered *next = &stream->ring[(stream->head + stream->count) % UNANSWERED_MAX];
    error_clear(&next->error);
    next->status = rows_write_submit(call->service, &stream->source, message, &next->written, &next->error);
    stream->count++;
}

enum rest { REST_NOT, REST, REST_PARK, REST_FINISH };

/* Whether the worker is done with the stream for now, and what is left to do: wait for the oldest batch, or finish. */
static enum rest may_rest(struct ingest_stream *stream) {
    enum rest rest = REST;
    pthread_mutex_lock(&stream->mutex);
    if (stream->over) {
        /* What is unanswered goes with the call. */
    } else if (stream->first || stream->settled) {
        rest = REST_NOT;
    } else if (!stream->count) {
        if (stream->half_closed || stream->draining) rest = REST_FINISH;
    } else if (!stream->parked) {
        const struct unanswered *oldest = &stream->ring[stream->head];
        stream->oldest = oldest->written.result.position;
        stream->oldest_durability = oldest->written.options.durability;
        stream->parked = true;
        rest = REST_PARK;
    }
    stream->settled = false;
    if (rest != REST_NOT) stream->working = false;
    pthread_mutex_unlock(&stream->mutex);
    return rest;
}

/* Everything that came is answered. */
static void finish_stream(struct service_call *call, struct ingest_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool half_closed = stream->half_closed;
    pthread_mutex_unlock(&stream->mutex);
    if (half_closed)
        service_finish(call, PLINTH_OK, NULL);
    else
        service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping; every batch that it took is answered");
}

static void want_worker(struct service_call *call, struct ingest_stream *stream);

static void stream_settled(struct service_call *call, struct plinth_position position, enum plinth_status status,
                           const struct plinth_error *error) {
    struct ingest_stream *stream = call->state;
    (void)position, (void)status, (void)error; /* the worker asks for each batch */
    pthread_mutex_lock(&stream->mutex);
    stream->parked = false;
    stream->settled = true;
    pthread_mutex_unlock(&stream->mutex);
    want_worker(call, stream);
}

static void park_stream(struct rpc_task *task) {
    struct ingest_stream *stream = (struct ingest_stream *)((char *)task - offsetof(struct ingest_stream, park));
    struct service_call *call = stream->call;
    write_park(call, stream->oldest, stream->oldest_durability, stream_settled);
    rpc_call_unref(call->rpc);
}

static void stream_work(struct service_call *call) {
    struct ingest_stream *stream = call->state;
    enum rest rest;
    unsigned requests = 0;
    do {
        struct queued *message;
        while ((message = take(call, stream))) {
            submit(call, stream, slice_of(message->bytes, message->size));
            free(message);
            answer_ready(call, stream, false);
            if (++requests >= REQUESTS_A_TURN && service_resubmit(call, call->service->workers, stream_work)) return;
        }
        answer_ready(call, stream, false);
        rest = may_rest(stream);
    } while (rest == REST_NOT);
    if (rest == REST_FINISH) finish_stream(call, stream);
    if (rest == REST_PARK) {
        rpc_call_ref(call->rpc);
        rpc_loop_post(call->loop->rpc, &stream->park);
    }
    rpc_call_unref(call->rpc);
}

/* Puts a worker on the stream, unless one is there, to work off the queue or to finish the call: what workers have sent
 * is posted to the loop, and the end has to come behind it. The loop's thread. */
static void want_worker(struct service_call *call, struct ingest_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool due = stream->first || stream->settled || stream->half_closed || stream->draining;
    bool start = due && !stream->working && !stream->over;
    if (start) stream->working = true;
    pthread_mutex_unlock(&stream->mutex);
    if (!start) return;
    rpc_call_ref(call->rpc);
    if (service_resubmit(call, call->service->workers, stream_work)) return;
    service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
    pthread_mutex_lock(&stream->mutex);
    stream->working = false;
    stream->over = true;
    pthread_mutex_unlock(&stream->mutex);
    rpc_call_unref(call->rpc);
}

static struct ingest_stream *stream_of(struct service_call *call) {
    if (call->state) return call->state;
    struct ingest_stream *stream = calloc(1, sizeof *stream);
    if (stream) stream->ring = calloc(UNANSWERED_MAX, sizeof *stream->ring);
    if (!stream || !stream->ring) {
        free(stream);
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: stream");
        return NULL;
    }
    pthread_mutex_init(&stream->mutex, NULL);
    stream->last = &stream->first;
    stream->call = call;
    stream->park.run = park_stream;
    stream->draining = atomic_load(&call->service->state) == SERVICE_STOPPING;
    stream->next = call->loop->ingest_streams;
    if (stream->next) stream->next->previous = stream;
    call->loop->ingest_streams = stream;
    call->state = stream;
    return stream;
}

static void stream_on_message(struct service_call *call, struct slice message) {
    struct ingest_stream *stream = stream_of(call);
    if (!stream) return;
    struct queued *queued = malloc(sizeof *queued + message.size);
    if (!queued) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: batch");
        return;
    }
    queued->next = NULL;
    queued->size = message.size;
    if (message.size) memcpy(queued->bytes, message.data, message.size);
    pthread_mutex_lock(&stream->mutex);
    *stream->last = queued;
    stream->last = &queued->next;
    stream->queued_bytes += message.size;
    bool pause = !stream->paused && stream->queued_bytes >= QUEUE_BYTES_MAX;
    if (pause) stream->paused = true;
    pthread_mutex_unlock(&stream->mutex);
    if (pause) rpc_call_pause(call->rpc);
    want_worker(call, stream);
}

static void stream_on_half_close(struct service_call *call) {
    struct ingest_stream *stream = call->state;
    if (!stream) { /* not one request */
        service_finish(call, PLINTH_OK, NULL);
        return;
    }
    pthread_mutex_lock(&stream->mutex);
    stream->half_closed = true;
    pthread_mutex_unlock(&stream->mutex);
    want_worker(call, stream);
}

static void ingest_on_cancel(struct service_call *call) {
    struct ingest_stream *stream = call->state;
    if (!stream) return;
    pthread_mutex_lock(&stream->mutex);
    stream->over = true;
    pthread_mutex_unlock(&stream->mutex);
}

/* A server that stops ends the streams that wait for their clients; else each restart would take the whole time that
 * calls may take to end. */
void ingest_on_wake(struct service_loop *loop) {
    if (atomic_load(&loop->service->state) != SERVICE_STOPPING) return;
    for (struct ingest_stream *stream = loop->ingest_streams, *next; stream; stream = next) {
        next = stream->next;
        pthread_mutex_lock(&stream->mutex);
        bool told = stream->draining;
        stream->draining = true;
        pthread_mutex_unlock(&stream->mutex);
        if (!told) want_worker(stream->call, stream);
    }
}

static void stream_on_release(struct service_call *call) {
    struct ingest_stream *stream = call->state;
    if (!stream) return;
    if (stream->next) stream->next->previous = stream->previous;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        call->loop->ingest_streams = stream->next;
    while (stream->first) {
        struct queued *next = stream->first->next;
        free(stream->first);
        stream->first = next;
    }
    for (; stream->count; stream->count--) {
        rows_result_deinit(&stream->ring[stream->head].written.result);
        stream->head = (stream->head + 1) % UNANSWERED_MAX;
    }
    rows_source_deinit(&stream->source);
    buffer_deinit(&stream->answer);
    pthread_mutex_destroy(&stream->mutex);
    free(stream->ring);
    free(stream);
}

const struct service_method ingestion_write = {"/plinth.v1.Ingestion/Write", RPC_UNARY,
                                               .message_bytes_max = REQUEST_BYTES_MAX, .on_message = write_on_message,
                                               .on_release = write_on_release};
const struct service_method ingestion_write_stream = {
    "/plinth.v1.Ingestion/WriteStream",     RPC_BIDI,
    .message_bytes_max = REQUEST_BYTES_MAX, .on_message = stream_on_message,
    .on_half_close = stream_on_half_close,  .on_cancel = ingest_on_cancel,
    .on_release = stream_on_release};
