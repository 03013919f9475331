/* Calls: life and references, input (messages to the handler), output (the queue nghttp2 reads), and the doors for
 * other threads. What belongs to whom stands in call_private.h. */
#include "rpc/call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc/call_private.h"
#include "rpc/loop_private.h"
#include "rpc/server.h"

static const struct rpc_call_ops no_ops;

/* ---- life ---- */

static void release_task_run(struct rpc_task *task);
static void chore_task_run(struct rpc_task *task);
static void deadline_run(struct rpc_timer *timer);

#define CALL_OF(member, pointer) ((struct rpc_call *)((char *)(pointer)-offsetof(struct rpc_call, member)))

static void buffer_recycle(struct buffer *buffer) {
    if (buffer->capacity > CALL_KEEP_BYTES_MAX) buffer_deinit(buffer);
    buffer_clear(buffer);
}

static void metadata_recycle(struct metadata *metadata) {
    if (metadata->bytes.capacity > CALL_KEEP_BYTES_MAX) metadata_deinit(metadata);
    metadata_clear(metadata);
}

/* Everything as in a new call, but for the memory that is worth keeping (the end of the struct). */
static void call_reset(struct rpc_call *call) {
    memset(call, 0, offsetof(struct rpc_call, state));
    buffer_recycle(&call->pending);
    buffer_recycle(&call->out);
    buffer_recycle(&call->status_message);
    buffer_recycle(&call->path);
    metadata_recycle(&call->initial);
    metadata_recycle(&call->trailing);
    metadata_recycle(&call->received_metadata);
    message_reader_reset(&call->reader, 0, CALL_KEEP_BYTES_MAX);
}

static void call_free(struct rpc_call *call) {
    buffer_deinit(&call->pending);
    buffer_deinit(&call->out);
    buffer_deinit(&call->status_message);
    buffer_deinit(&call->path);
    metadata_deinit(&call->initial);
    metadata_deinit(&call->trailing);
    metadata_deinit(&call->received_metadata);
    message_reader_deinit(&call->reader);
    free(call->state);
    free(call);
}

struct rpc_call *call_create(struct rpc_loop *loop, bool is_server) {
    struct rpc_call *call = NULL;
    if (loop_is_current(loop) && loop->calls_free) {
        call = loop->calls_free;
        loop->calls_free = call->free_next;
        loop->calls_free_count--;
    } else {
        call = calloc(1, sizeof *call);
        if (!call) return NULL;
    }
    atomic_store_explicit(&call->refs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&loop->calls_live, 1, memory_order_relaxed);
    call->loop = loop;
    call->is_server = is_server;
    call->ops = &no_ops;
    call->stream_held = true;
    call->deadline_ns = UINT64_MAX;
    call->deadline.run = deadline_run;
    call->chore_task.run = chore_task_run;
    call->release_task.run = release_task_run;
    call->received.timeout_ns = UINT64_MAX;
    call->received.grpc_status = -1;
    return call;
}

bool call_state_init(struct rpc_call *call, size_t state_bytes) {
    if (state_bytes > call->state_capacity) {
        free(call->state);
        call->state_capacity = 0;
        call->state = malloc(state_bytes);
        if (!call->state) return false;
        call->state_capacity = state_bytes;
    }
    if (state_bytes) memset(call->state, 0, state_bytes);
    call->state_bytes = state_bytes;
    return true;
}

void call_pool_drop(struct rpc_loop *loop) {
    while (loop->calls_free) {
        struct rpc_call *call = loop->calls_free;
        loop->calls_free = call->free_next;
        call_free(call);
    }
    loop->calls_free_count = 0;
}

/* The last reference is gone; on the loop's thread. */
static void call_release(struct rpc_call *call) {
    struct rpc_loop *loop = call->loop;
    assert(!call->session);
    rpc_timer_disarm(loop, &call->deadline);
    if (call->known && call->ops->on_release) call->ops->on_release(call);
    if (loop->calls_free_count < LOOP_CALLS_KEPT_MAX) {
        call_reset(call);
        call->free_next = loop->calls_free;
        loop->calls_free = call;
        loop->calls_free_count++;
    } else {
        call_free(call);
    }
    atomic_fetch_sub_explicit(&loop->calls_live, 1, memory_order_release);
}

static void release_task_run(struct rpc_task *task) { call_release(CALL_OF(release_task, task)); }

struct rpc_call *rpc_call_ref(struct rpc_call *call) {
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    return call;
}

void rpc_call_unref(struct rpc_call *call) {
    if (!call || atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1) return;
    if (loop_is_current(call->loop))
        call_release(call);
    else
        rpc_loop_post(call->loop, &call->release_task);
}

/* Gives up the transport's reference when neither the stream nor the handler expects anything more. */
static void release_stream(struct rpc_call *call) {
    if (!call->stream_held || call->session || !call->ended) return;
    call->stream_held = false;
    rpc_call_unref(call);
}

void call_attach(struct rpc_call *call, struct session *session, int32_t stream_id) {
    call->session = session;
    call->stream_id = stream_id;
    message_reader_reset(&call->reader, session->limits->message_bytes_max, CALL_KEEP_BYTES_MAX);
    memcpy(call->peer, session->peer, sizeof call->peer);
    session_add_call(session, call);
    counter_add(&call->loop->counters.calls, 1);
    counter_add(&call->loop->counters.calls_total, 1);
}

/* Brings the session's sum up to date with what this call holds. */
static void call_account(struct rpc_call *call) {
    struct session *session = call->session;
    if (!session) return;
    size_t holds =
        call->pending.size - call->pending_at + message_reader_held(&call->reader) + call->out.size - call->out_at;
    session->held_bytes += holds - call->accounted;
    call->accounted = holds;
}

static void call_detach(struct rpc_call *call) {
    struct session *session = call->session;
    session->held_bytes -= call->accounted;
    call->accounted = 0;
    session_remove_call(session, call);
    call->session = NULL;
    counter_add(&call->loop->counters.calls, (uint64_t)-1);
}

/* ---- the end ---- */

static void mark_ended(struct rpc_call *call) {
    call->ended = true;
    atomic_store_explicit(&call->over, true, memory_order_release);
}

static void reset_stream(struct rpc_call *call, uint32_t h2_error) {
    if (!call->session || call->never_sent) return;
    if (nghttp2_submit_rst_stream(call->session->h2, NGHTTP2_FLAG_NONE, call->stream_id, h2_error))
        session_doom(call->session, "out of memory");
    session_flush_later(call->session);
}

/* Client: tells the status, once. */
static void client_end(struct rpc_call *call, enum grpc_status code, struct slice message) {
    if (call->ended) return;
    mark_ended(call);
    call->status = code;
    rpc_timer_disarm(call->loop, &call->deadline);
    if (call->ops->on_status) call->ops->on_status(call, code, message);
    struct session *session = call->session;
    if (session && !(call->remote_closed && nghttp2_session_get_stream_local_close(session->h2, call->stream_id) == 1))
        reset_stream(call, call->remote_closed ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    release_stream(call);
}

/* Forgets queued output, but for bytes that are promised to a DATA frame. */
static void drop_output(struct rpc_call *call) {
    call->out.size = call->out_at + call->out_packed;
    atomic_store_explicit(&call->queued, call->out_packed, memory_order_relaxed);
    call_account(call);
}

static void resume_output(struct rpc_call *call) {
    if (call->output_deferred) {
        call->output_deferred = false;
        if (nghttp2_session_resume_data(call->session->h2, call->stream_id) == NGHTTP2_ERR_NOMEM)
            session_doom(call->session, "out of memory");
    }
    session_flush_later(call->session);
}

/* Server: sets the status and lets it follow the queue. */
static void server_send_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    call->status = code;
    if (!percent_encode(&call->status_message, message)) buffer_clear(&call->status_message);
    if (!call->session) return;
    call->output_ended = true;
    if (!call->headers_sent && call->out.size == call->out_at && call->initial.count == 0) {
        headers_submit_trailers_only(call);
    } else {
        if (!call->headers_sent) headers_submit_response(call);
        resume_output(call);
    }
    session_flush_later(call->session);
}

void call_finish_here(struct rpc_call *call, enum grpc_status code, struct slice message) {
    if (call->ended || !call->is_server) return;
    mark_ended(call);
    server_send_status(call, code, message);
    release_stream(call);
}

void call_fail(struct rpc_call *call, enum grpc_status code, const char *text) {
    if (call->ended) return;
    if (!call->is_server) {
        client_end(call, code, slice_of_string(text));
        return;
    }
    mark_ended(call);
    counter_add(&call->loop->counters.calls_cancelled, 1);
    drop_output(call);
    metadata_clear(&call->initial);
    metadata_clear(&call->trailing);
    server_send_status(call, code, slice_of_string(text));
    if (call->known && call->ops->on_cancel) call->ops->on_cancel(call, code);
}

static void deadline_run(struct rpc_timer *timer) {
    struct rpc_call *call = CALL_OF(deadline, timer);
    if (call->is_plain && !call->headers_sent)
        headers_submit_plain(call);
    else if (call->ended)
        reset_stream(call, NGHTTP2_CANCEL); /* finished, but the client does not take the answer */
    else
        call_fail(call, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
}

static void server_cancelled(struct rpc_call *call, enum grpc_status reason) {
    if (call->ended) return;
    mark_ended(call);
    counter_add(&call->loop->counters.calls_cancelled, 1);
    if (call->known && call->ops->on_cancel) call->ops->on_cancel(call, reason);
}

static enum grpc_status status_of_h2_error(uint32_t h2_error) {
    switch (h2_error) {
    case NGHTTP2_REFUSED_STREAM: return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL: return GRPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY: return GRPC_PERMISSION_DENIED;
    default: return GRPC_INTERNAL;
    }
}

static void call_check_input_end(struct rpc_call *call);

/* `text` null: the peer reset the stream with `h2_error`. */
static void stream_gone(struct rpc_call *call, enum grpc_status code, const char *text) {
    rpc_call_ref(call);
    call_detach(call);
    if (call->is_server) {
        server_cancelled(call, code);
        rpc_timer_disarm(call->loop, &call->deadline);
    } else if (call->remote_closed) {
        call_check_input_end(call); /* a paused reader gets its status later */
    } else {
        client_end(call, code, slice_of_string(text));
    }
    release_stream(call);
    rpc_call_unref(call);
}

void call_on_stream_close(struct rpc_call *call, uint32_t h2_error) {
    char text[80];
    const char *name = nghttp2_http2_strerror(h2_error);
    snprintf(text, sizeof text, "stream reset by the peer (%s)", name);
    stream_gone(call, call->is_server ? GRPC_CANCELLED : status_of_h2_error(h2_error), text);
}

void call_lost(struct rpc_call *call, enum grpc_status code, const char *text) { stream_gone(call, code, text); }

/* ---- input ---- */

static bool has_one_request(enum rpc_call_kind kind) { return kind == RPC_UNARY || kind == RPC_SERVER_STREAM; }
static bool has_one_answer(enum rpc_call_kind kind) { return kind == RPC_UNARY || kind == RPC_CLIENT_STREAM; }
static bool receives_one(const struct rpc_call *call) {
    return call->is_server ? has_one_request(call->kind) : has_one_answer(call->kind);
}

static size_t pending_left(const struct rpc_call *call) { return call->pending.size - call->pending_at; }
static bool is_paused(struct rpc_call *call) { return atomic_load_explicit(&call->paused, memory_order_relaxed); }

static void fail_message(struct rpc_call *call, enum message_result result) {
    char text[120];
    switch (result) {
    case MESSAGE_TOO_LARGE:
        snprintf(text, sizeof text, "message of %u bytes%s is over the limit of %zu bytes", call->reader.length,
                 call->reader.header[0] ? " (compressed)" : "", call->reader.bytes_max);
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, text);
        break;
    case MESSAGE_NO_MEMORY: call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for a message"); break;
    default:
        snprintf(text, sizeof text, "malformed message %llu of the stream: %s",
                 (unsigned long long)call->messages_in + 1,
                 call->reader.header[0] > 1 ? "unknown compression flag"
                 : call->reader.gzip        ? "damaged gzip data"
                                            : "compressed, but no grpc-encoding was declared");
        call_fail(call, GRPC_INTERNAL, text);
        break;
    }
}

/* Hands whole messages to the handler until the input is used up, the call is paused or over. */
static void deliver(struct rpc_call *call, struct slice *input) {
    while (!call->ended && !is_paused(call)) {
        struct slice message;
        enum message_result result = message_reader_next(&call->reader, input, &message);
        if (result == MESSAGE_NONE) return;
        if (result != MESSAGE_READY) {
            fail_message(call, result);
            return;
        }
        if (++call->messages_in > 1 && receives_one(call)) {
            call_fail(call, GRPC_INTERNAL, "more than one message where the method has one");
            return;
        }
        if (call->ops->on_message) call->ops->on_message(call, message);
    }
}

static void give_back_window(struct rpc_call *call, size_t size) {
    if (size && call->session && nghttp2_session_consume_stream(call->session->h2, call->stream_id, size))
        session_doom(call->session, "out of memory");
}

void call_on_data(struct rpc_call *call, struct slice bytes) {
    struct session *session = call->session;
    if (nghttp2_session_consume_connection(session->h2, bytes.size)) session_doom(session, "out of memory");
    struct slice input = bytes;
    if (call->known && !call->ended && pending_left(call) == 0) deliver(call, &input);
    if (!call->known || call->ended || input.size == 0) {
        give_back_window(call, bytes.size);
    } else {
        call->withheld_bytes += bytes.size;
        if (!buffer_append(&call->pending, input.data, input.size))
            call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for a paused stream");
    }
    call_account(call);
    if (session->held_bytes > session->limits->held_bytes_max)
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, "the connection holds too many bytes of unfinished messages");
}

/* Delivers what waited while the call was paused. */
static void deliver_pending(struct rpc_call *call) {
    struct slice input = slice_of(call->pending.data + call->pending_at, pending_left(call));
    if (input.size) deliver(call, &input);
    if (call->ended || input.size == 0) {
        buffer_clear(&call->pending);
        call->pending_at = 0;
        give_back_window(call, call->withheld_bytes);
        call->withheld_bytes = 0;
        if (call->session) session_flush_later(call->session);
    } else {
        call->pending_at = call->pending.size - input.size;
    }
    call_account(call);
    call_check_input_end(call);
}

static void server_input_end(struct rpc_call *call) {
    if (call->messages_in == 0 && receives_one(call))
        call_fail(call, GRPC_INTERNAL, "the stream ended without the request message");
    else if (call->ops->on_half_close)
        call->ops->on_half_close(call);
}

static void client_input_end(struct rpc_call *call) {
    int code = call->received.grpc_status;
    if (code < 0)
        client_end(call, GRPC_INTERNAL, slice_of_string("the answer ended without grpc-status"));
    else if (code == GRPC_OK && call->messages_in == 0 && receives_one(call))
        client_end(call, GRPC_INTERNAL, slice_of_string("the answer has no message"));
    else
        client_end(call, (enum grpc_status)code, buffer_slice(&call->status_message));
}

/* The peer has closed its side: tells so once everything before is delivered. */
static void call_check_input_end(struct rpc_call *call) {
    if (!call->remote_closed || call->input_ended || call->ended || !call->known || pending_left(call)) return;
    call->input_ended = true;
    bool is_cut = !message_reader_is_idle(&call->reader);
    if (is_cut && (call->is_server || call->received.grpc_status <= 0))
        call_fail(call, GRPC_INTERNAL, "the stream ended inside a message");
    else if (call->is_server)
        server_input_end(call);
    else
        client_input_end(call);
}

void call_on_remote_close(struct rpc_call *call) {
    call->remote_closed = true;
    if (call->is_plain && !call->headers_sent) headers_submit_plain(call);
    call_check_input_end(call);
}

static void server_start(struct rpc_call *call) {
    if (!headers_accept_request(call)) return;
    struct session *session = call->session;
    call->ops = call->method->ops;
    call->kind = call->method->kind;
    call->reader.gzip = call->received.is_gzip;
    if (session->held_bytes > session->limits->held_bytes_max) {
        call_finish_here(call, GRPC_RESOURCE_EXHAUSTED, slice_of_string("the connection holds too many bytes"));
        return;
    }
    if (!call_state_init(call, call->method->state_bytes)) {
        call_finish_here(call, GRPC_RESOURCE_EXHAUSTED, slice_of_string("out of memory for the call's state"));
        return;
    }
    if (call->received.timeout_ns != UINT64_MAX) {
        uint64_t now_ns = call->loop->now_ns;
        uint64_t left = UINT64_MAX - 1 - now_ns;
        call->deadline_ns = now_ns + (call->received.timeout_ns < left ? call->received.timeout_ns : left);
        if (!rpc_timer_arm(call->loop, &call->deadline, call->deadline_ns)) session_doom(session, "out of memory");
    }
    call->known = true;
    if (call->ops->on_start) call->ops->on_start(call);
}

void call_on_headers_done(struct rpc_call *call) {
    if (call->is_server) {
        if (!call->known && !call->ended) server_start(call);
        return;
    }
    if (call->ended || call->initial_received) return;
    if (call->received.http_status / 100 == 1) { /* an interim answer */
        call->received.http_status = 0;
        return;
    }
    call->initial_received = true;
    if (!headers_accept_response(call)) return;
    call->reader.gzip = call->received.is_gzip;
    if (call->received.grpc_status < 0 && call->ops->on_initial_metadata) call->ops->on_initial_metadata(call);
}

/* ---- output ---- */

/* Moves what is left to the front once most of a long queue has gone. */
static void compact_output(struct rpc_call *call) {
    if (call->out_at == call->out.size) {
        buffer_clear(&call->out);
        call->out_at = 0;
    } else if (call->out_at >= 64 * 1024 && call->out_at > call->out.size / 2) {
        memmove(call->out.data, call->out.data + call->out_at, call->out.size - call->out_at);
        call->out.size -= call->out_at;
        call->out_at = 0;
    }
}

/* Room for a message with its header written; null when memory is out. */
static uint8_t *queue_space(struct rpc_call *call, size_t size, bool compressed) {
    compact_output(call);
    if (size > UINT32_MAX || !buffer_reserve(&call->out, MESSAGE_HEADER_BYTES + size)) return NULL;
    uint8_t *at = call->out.data + call->out.size;
    message_header_write(at, compressed, (uint32_t)size);
    call->out.size += MESSAGE_HEADER_BYTES + size;
    atomic_store_explicit(&call->queued, call->out.size - call->out_at, memory_order_relaxed);
    return at + MESSAGE_HEADER_BYTES;
}

static bool queue_gzip(struct rpc_call *call, struct slice message) {
    struct buffer packed = BUFFER_INIT;
    bool done = gzip_deflate(&packed, message);
    uint8_t *at = done ? queue_space(call, packed.size, true) : NULL;
    if (at) memcpy(at, packed.data, packed.size);
    buffer_deinit(&packed);
    return at != NULL;
}

bool call_queue_message(struct rpc_call *call, struct slice message) {
    if (call->gzip_out) return queue_gzip(call, message);
    uint8_t *at = queue_space(call, message.size, false);
    if (at && message.size) memcpy(at, message.data, message.size);
    return at != NULL;
}

static bool may_send(struct rpc_call *call, size_t size) {
    if (call->ended || call->output_ended) return false;
    struct session *session = call->session;
    if (session && session->held_bytes + size > session->limits->held_bytes_max) {
        call_chore(call, CALL_CHORE_OVER_LIMIT);
        return false;
    }
    return true;
}

/* Something was queued. */
static void output_added(struct rpc_call *call) {
    if (!call->session) return; /* a client's call that has not started */
    call_account(call);
    if (!call->headers_sent) headers_submit_response(call);
    resume_output(call);
}

/* False when the call is over, or about to be because of this message. */
static bool send_here(struct rpc_call *call, struct slice message) {
    if (!may_send(call, message.size)) return false;
    bool is_queued = call_queue_message(call, message);
    if (is_queued)
        output_added(call);
    else
        call_chore(call, CALL_CHORE_NO_MEMORY);
    return is_queued;
}

/* What a sender is told, and the promise of on_writable that goes with it. */
static size_t report_queued(struct rpc_call *call, size_t adding) {
    size_t queued = rpc_call_send_queued(call) + adding;
    if (queued >= RPC_SEND_HIGH_BYTES) atomic_store_explicit(&call->blocked, true, memory_order_release);
    return queued;
}

ssize_t call_read_output(nghttp2_session *h2, int32_t stream_id, uint8_t *into, size_t size, uint32_t *flags,
                         nghttp2_data_source *source, void *user_data) {
    (void)h2, (void)stream_id, (void)into, (void)user_data;
    struct rpc_call *call = source->ptr;
    size_t waiting = call->out.size - call->out_at;
    if (waiting == 0 && !call->output_ended) {
        call->output_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size > waiting) size = waiting;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == waiting && call->output_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (call->is_server && !call->is_plain) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            headers_submit_trailers(call);
        }
    }
    call->out_packed = size;
    return (ssize_t)size;
}

static void check_writable(struct rpc_call *call) {
    if (atomic_load_explicit(&call->blocked, memory_order_acquire) && !call->ended &&
        rpc_call_send_queued(call) <= RPC_SEND_LOW_BYTES)
        call_chore(call, CALL_CHORE_WRITABLE);
}

void call_output_taken(struct rpc_call *call, size_t size) {
    call->out_at += size;
    call->out_packed = 0;
    atomic_store_explicit(&call->queued, call->out.size - call->out_at, memory_order_relaxed);
    call_account(call);
    check_writable(call);
}

/* ---- chores and posted operations ---- */

void call_chore(struct rpc_call *call, enum call_chore chore) {
    if (atomic_fetch_or_explicit(&call->chores, chore, memory_order_acq_rel)) return;
    rpc_call_ref(call);
    rpc_loop_post(call->loop, &call->chore_task);
}

static void cancel_here(struct rpc_call *call) {
    if (call->ended) return;
    if (call->is_server) {
        reset_stream(call, NGHTTP2_CANCEL);
        server_cancelled(call, GRPC_CANCELLED);
        release_stream(call);
    } else {
        client_end(call, GRPC_CANCELLED, slice_of_string("cancelled by the caller"));
    }
}

static void tell_writable(struct rpc_call *call) {
    if (call->ended || !atomic_exchange_explicit(&call->blocked, false, memory_order_acq_rel)) return;
    if (call->ops->on_writable) call->ops->on_writable(call);
}

static void chore_task_run(struct rpc_task *task) {
    struct rpc_call *call = CALL_OF(chore_task, task);
    unsigned chores = atomic_exchange_explicit(&call->chores, 0, memory_order_acq_rel);
    if (chores & CALL_CHORE_START) call->start(call);
    if (chores & CALL_CHORE_HEADERS && call->is_server && call->session && !call->headers_sent && !call->ended) {
        headers_submit_response(call);
        session_flush_later(call->session);
    }
    if (chores & CALL_CHORE_RESUME) deliver_pending(call);
    if (chores & CALL_CHORE_NO_MEMORY) call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory for a message");
    if (chores & CALL_CHORE_OVER_LIMIT)
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, "the connection holds too many bytes that wait to be sent");
    if (chores & CALL_CHORE_CANCEL) cancel_here(call);
    if (chores & CALL_CHORE_WRITABLE) tell_writable(call);
    rpc_call_unref(call);
}

static void half_close_here(struct rpc_call *call) {
    if (call->is_server || call->ended || call->output_ended) return;
    call->output_ended = true;
    if (call->session) resume_output(call);
}

enum op_kind { OP_SEND = 1, OP_FINISH = 2, OP_REPLY = 3, OP_HALF_CLOSE = 4 };

/* What another thread asked for, with its bytes. Holds a reference. */
struct call_op {
    struct rpc_task task;
    struct rpc_call *call;
    enum op_kind kind;
    enum grpc_status code;
    size_t size;
    uint8_t bytes[];
};

static void op_run(struct rpc_task *task) {
    struct call_op *op = (struct call_op *)task;
    struct rpc_call *call = op->call;
    struct slice bytes = slice_of(op->bytes, op->size);
    switch (op->kind) {
    case OP_SEND:
    case OP_REPLY:
        if (send_here(call, bytes) && op->kind == OP_REPLY) call_finish_here(call, GRPC_OK, slice_of(NULL, 0));
        atomic_fetch_sub_explicit(&call->posted_bytes, op->size, memory_order_relaxed);
        check_writable(call); /* the queue may have drained while the promise was made */
        break;
    case OP_FINISH: call_finish_here(call, op->code, bytes); break;
    case OP_HALF_CLOSE: half_close_here(call); break;
    }
    rpc_call_unref(call);
    free(op);
}

static void post_op(struct rpc_call *call, enum op_kind kind, enum grpc_status code, struct slice bytes) {
    struct call_op *op = bytes.size > SIZE_MAX / 2 ? NULL : malloc(sizeof *op + bytes.size);
    if (!op) {
        call_chore(call, CALL_CHORE_NO_MEMORY);
        return;
    }
    op->task.run = op_run;
    op->call = rpc_call_ref(call);
    op->kind = kind;
    op->code = code;
    op->size = bytes.size;
    if (bytes.size) memcpy(op->bytes, bytes.data, bytes.size);
    if (kind == OP_SEND || kind == OP_REPLY)
        atomic_fetch_add_explicit(&call->posted_bytes, bytes.size, memory_order_relaxed);
    rpc_loop_post(call->loop, &op->task);
}

/* ---- the public doors ---- */

size_t rpc_call_send(struct rpc_call *call, struct slice message) {
    if (rpc_call_is_over(call)) return 0;
    if (loop_is_current(call->loop)) {
        send_here(call, message);
        return report_queued(call, 0);
    }
    size_t queued = report_queued(call, message.size);
    post_op(call, OP_SEND, GRPC_OK, message);
    return queued;
}

uint8_t *rpc_call_send_space(struct rpc_call *call, size_t size) {
    assert(loop_is_current(call->loop));
    if (!may_send(call, size)) return NULL;
    uint8_t *at = queue_space(call, size, false);
    if (!at) {
        call_chore(call, CALL_CHORE_NO_MEMORY);
        return NULL;
    }
    output_added(call);
    report_queued(call, 0);
    return at;
}

size_t rpc_call_send_queued(const struct rpc_call *call) {
    return atomic_load_explicit(&call->queued, memory_order_relaxed) +
           atomic_load_explicit(&call->posted_bytes, memory_order_relaxed);
}

void rpc_call_reply(struct rpc_call *call, struct slice message) {
    if (!loop_is_current(call->loop)) {
        post_op(call, OP_REPLY, GRPC_OK, message);
        return;
    }
    if (send_here(call, message)) call_finish_here(call, GRPC_OK, slice_of(NULL, 0));
}

void rpc_call_finish(struct rpc_call *call, enum grpc_status code, const char *message) {
    struct slice text = message ? slice_of_string(message) : slice_of(NULL, 0);
    if (loop_is_current(call->loop))
        call_finish_here(call, code, text);
    else
        post_op(call, OP_FINISH, code, text);
}

void rpc_call_finish_error(struct rpc_call *call, enum plinth_status status, const struct plinth_error *error) {
    rpc_call_finish(call, grpc_status_from_plinth(status),
                    error && error->text[0] ? error->text : plinth_status_name(status));
}

void rpc_call_half_close(struct rpc_call *call) {
    if (loop_is_current(call->loop))
        half_close_here(call);
    else
        post_op(call, OP_HALF_CLOSE, GRPC_OK, slice_of(NULL, 0));
}

void rpc_call_cancel(struct rpc_call *call) { call_chore(call, CALL_CHORE_CANCEL); }
void rpc_call_send_initial_metadata(struct rpc_call *call) { call_chore(call, CALL_CHORE_HEADERS); }
void rpc_call_pause(struct rpc_call *call) { atomic_store_explicit(&call->paused, true, memory_order_relaxed); }

void rpc_call_resume(struct rpc_call *call) {
    if (atomic_exchange_explicit(&call->paused, false, memory_order_acq_rel)) call_chore(call, CALL_CHORE_RESUME);
}

bool rpc_call_is_over(const struct rpc_call *call) { return atomic_load_explicit(&call->over, memory_order_acquire); }
uint64_t rpc_call_deadline_ns(const struct rpc_call *call) { return call->deadline_ns; }
struct rpc_loop *rpc_call_loop(const struct rpc_call *call) {
    return call->loop;
}
const struct rpc_method *rpc_call_method(const struct rpc_call *call) { return call->method; }
const char *rpc_call_peer(const struct rpc_call *call) { return call->peer; }
void *rpc_call_state(const struct rpc_call *call) { return call->state_bytes ? call->state : NULL; }
void rpc_call_set_user_data(struct rpc_call *call, void *user_data) { call->user_data = user_data; }
void *rpc_call_user_data(const struct rpc_call *call) { return call->user_data; }

bool rpc_call_metadata(const struct rpc_call *call, const char *name, struct slice *value) {
    return metadata_find(&call->received_metadata, slice_of_string(name), value);
}
size_t rpc_call_metadata_count(const struct rpc_call *call) { return call->received_metadata.count; }
struct rpc_metadata rpc_call_metadata_at(const struct rpc_call *call, size_t i) {
    return metadata_at(&call->received_metadata, i);
}
enum plinth_status rpc_call_add_initial_metadata(struct rpc_call *call, const char *name, struct slice value) {
    return metadata_add_to_send(&call->initial, slice_of_string(name), value);
}
enum plinth_status rpc_call_add_trailing_metadata(struct rpc_call *call, const char *name, struct slice value) {
    return metadata_add_to_send(&call->trailing, slice_of_string(name), value);
}
