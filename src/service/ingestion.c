/* The Ingestion service: batches of rows, one by one or as a stream.
 *
 * A stream's requests wait in a queue that its one worker works off: each is parsed and submitted, and answered, in
 * order, as soon as it is durable. Only with an empty queue does the worker wait for the disk; so reading the next
 * batch, sorting this one and syncing the one before go on at once. When the queue is full the client is no longer read
 * from. */
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

static void write_one(struct service_call *call) {
    struct rows_source source = {0};
    struct rows_written written;
    struct buffer answer = BUFFER_INIT;
    struct plinth_error error = {0};
    enum plinth_status st = rows_write_submit(call->service, &source, buffer_slice(&call->request), &written, &error);
    if (!st) {
        st = rows_wait(call->service->db, &written.options, &written.result, &error);
        if (!st && !rows_write_answer(&answer, &written, PLINTH_OK, NULL)) st = error_no_memory(&error, "answer");
        rows_result_deinit(&written.result);
    }
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, buffer_slice(&answer));
    buffer_deinit(&answer);
    rows_source_deinit(&source);
}

static void write_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, write_one);
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
    bool over;
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

/* Answers the oldest requests that are durable by now; with `wait`, all of them. */
static void answer_ready(struct service_call *call, struct ingest_stream *stream, bool wait) {
    struct plinth *db = call->service->db;
    while (stream->count) {
        struct unanswered *oldest = &stream->ring[stream->head];
        if (!oldest->status) {
            bool there = plinth_acknowledged(db, oldest->written.options.durability) >= oldest->written.result.last_lsn;
            if (!there && !wait) return;
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

/* Whether the worker is done with the stream for now; *finish when it is for good. */
static bool may_rest(struct ingest_stream *stream, bool *finish) {
    pthread_mutex_lock(&stream->mutex);
    bool rest = stream->over || !stream->first;
    *finish = rest && (stream->half_closed || stream->draining) && !stream->over;
    if (rest) stream->working = false;
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

static void stream_work(struct service_call *call) {
    struct ingest_stream *stream = call->state;
    bool finish = false;
    unsigned requests = 0;
    do {
        struct queued *message;
        while ((message = take(call, stream))) {
            submit(call, stream, slice_of(message->bytes, message->size));
            free(message);
            answer_ready(call, stream, false);
            if (++requests >= REQUESTS_A_TURN && service_resubmit(call, call->service->workers, stream_work)) return;
        }
        answer_ready(call, stream, true);
    } while (!may_rest(stream, &finish));
    if (finish) finish_stream(call, stream);
    rpc_call_unref(call->rpc);
}

/* Puts a worker on the stream, unless one is there, to work off the queue or to finish the call: what workers have sent
 * is posted to the loop, and the end has to come behind it. The loop's thread. */
static void want_worker(struct service_call *call, struct ingest_stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    bool start = !stream->working && (stream->first || stream->half_closed || stream->draining) && !stream->over;
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
    rows_source_deinit(&stream->source);
    buffer_deinit(&stream->answer);
    pthread_mutex_destroy(&stream->mutex);
    free(stream->ring);
    free(stream);
}

const struct service_method ingestion_write = {"/plinth.v1.Ingestion/Write", RPC_UNARY,
                                               .message_bytes_max = REQUEST_BYTES_MAX, .on_message = write_on_message};
const struct service_method ingestion_write_stream = {
    "/plinth.v1.Ingestion/WriteStream",     RPC_BIDI,
    .message_bytes_max = REQUEST_BYTES_MAX, .on_message = stream_on_message,
    .on_half_close = stream_on_half_close,  .on_cancel = ingest_on_cancel,
    .on_release = stream_on_release};
