#include "service/stream.h"

#include "service/service_private.h"

enum { CHUNKS_A_TURN = 8 };

enum turn { TURN_RUNNING, TURN_SUSPENDED, TURN_WRITABLE, TURN_CANCELLED };

/* Ends the stream; the call may go. By whoever has the turn. */
static void stream_end(struct service_call *call) {
    struct stream *stream = call->state;
    stream->ops->close(call);
    rpc_call_unref(call->rpc);
}

static bool turn_change(struct stream *stream, enum turn from, enum turn to) {
    int expected = from;
    return atomic_compare_exchange_strong(&stream->turn, &expected, to);
}

/* True when the worker keeps the stream: the client is ready for more, or has gone (which the caller sees next). */
static bool keep_turn(struct stream *stream) {
    if (turn_change(stream, TURN_RUNNING, TURN_SUSPENDED)) return false;
    turn_change(stream, TURN_WRITABLE, TURN_RUNNING);
    return true;
}

static void stream_work(struct service_call *call) {
    struct stream *stream = call->state;
    struct plinth_error error = {0};
    for (unsigned chunks = 0; chunks < CHUNKS_A_TURN; chunks++) {
        bool end = false;
        if (atomic_load(&stream->turn) == TURN_CANCELLED || rpc_call_is_over(call->rpc)) {
            stream_end(call);
            return;
        }
        buffer_clear(&stream->chunk);
        enum plinth_status st = stream->ops->fill(call, &stream->chunk, &end, &error);
        size_t queued = 0;
        if (!st && stream->chunk.size) queued = rpc_call_send(call->rpc, buffer_slice(&stream->chunk));
        if (st || end) {
            service_finish(call, st, &error);
            stream_end(call);
            return;
        }
        if (queued >= RPC_SEND_HIGH_BYTES && !keep_turn(stream)) return; /* on_writable or on_cancel has it now */
    }
    if (!service_resubmit(call, call->service->workers, stream_work)) {
        service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
        stream_end(call);
    }
}

static void stream_begin(struct service_call *call) {
    struct stream *stream = call->state;
    struct plinth_error error = {0};
    rpc_call_ref(call->rpc);
    enum plinth_status st = stream->ops->open(call, &error);
    if (st) {
        service_finish(call, st, &error);
        stream_end(call);
        return;
    }
    stream_work(call);
}

void stream_start(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, stream_begin);
}

void stream_on_writable(struct service_call *call) {
    struct stream *stream = call->state;
    if (!stream) return;
    if (turn_change(stream, TURN_RUNNING, TURN_WRITABLE) || !turn_change(stream, TURN_SUSPENDED, TURN_RUNNING)) return;
    if (service_resubmit(call, call->service->workers, stream_work)) return;
    service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
    stream_end(call);
}

void stream_on_cancel(struct service_call *call) {
    struct stream *stream = call->state;
    if (!stream) return;
    if (atomic_exchange(&stream->turn, TURN_CANCELLED) == TURN_SUSPENDED) {
        /* Closing may wait for threads, which a loop must not. */
        if (!service_resubmit(call, call->service->workers, stream_work)) stream_end(call);
    } else if (stream->ops->interrupt) {
        stream->ops->interrupt(call);
    }
}

void stream_deinit(struct stream *stream) { buffer_deinit(&stream->chunk); }
