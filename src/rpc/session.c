/* HTTP/2 connections: what nghttp2 tells us goes to the calls, what it wants to send goes to the socket. Also
 * keepalive, idle and age limits, and the graceful end. */
#include "rpc/session_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log_event.h"
#include "base/status.h"
#include "rpc/call_private.h"

enum {
    OUT_BYTES_HIGH = 256 * 1024,       /* `out` is written once it holds this much */
    OUT_BYTES_KEPT_MAX = 16 * 1024,    /* memory an idle session keeps */
    FLUSH_BYTES_MAX = 4 * 1024 * 1024, /* one session's share of a loop iteration, writing ... */
    RECEIVE_BYTES_MAX = 1024 * 1024,   /* ... and reading */
    PINGS_BURST_MAX = 10,
    DATA_FRAME_HEADER_BYTES = 9,
};
static const uint64_t second_ns = 1000000000;
static const uint8_t ping_keepalive[8] = "keepaliv";
static const uint8_t ping_drain[8] = "draining";

static uint64_t now(const struct session *session) { return session->loop->now_ns; }

static uint64_t after(uint64_t start_ns, uint64_t duration_ns) {
    return duration_ns > UINT64_MAX - start_ns ? UINT64_MAX : start_ns + duration_ns;
}
static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* +-10 %, so that connections made together do not all come back together. */
static uint64_t jittered(const struct session *session, uint64_t duration_ns) {
    if (duration_ns == UINT64_MAX) return duration_ns;
    uint64_t tenth = duration_ns / 10;
    return duration_ns - tenth + (tenth ? env_random_u64(session->loop->env) % (2 * tenth) : 0);
}

void session_doom(struct session *session, const char *reason) {
    if (!session->doom[0]) snprintf(session->doom, sizeof session->doom, "%s", reason);
    session_flush_later(session);
}

void session_flush_later(struct session *session) {
    if (!session->closed) loop_flush_later(session->loop, &session->flush);
}

void session_add_call(struct session *session, struct rpc_call *call) {
    call->stream_previous = NULL;
    call->stream_next = session->calls;
    if (session->calls) session->calls->stream_previous = call;
    session->calls = call;
    session->call_count++;
}

void session_remove_call(struct session *session, struct rpc_call *call) {
    if (call->stream_previous)
        call->stream_previous->stream_next = call->stream_next;
    else
        session->calls = call->stream_next;
    if (call->stream_next) call->stream_next->stream_previous = call->stream_previous;
    call->stream_next = call->stream_previous = NULL;
    if (--session->call_count == 0) session->idle_since_ns = now(session);
}

/* ---- limits on what a peer may make us do ---- */

/* Takes one token; false when there is none. */
static bool bucket_take(struct session_bucket *bucket, uint64_t now_ns, uint64_t tokens_max, uint64_t refill_ns) {
    uint64_t refilled = refill_ns ? (now_ns - bucket->refilled_ns) / refill_ns : tokens_max;
    if (refilled) {
        bucket->tokens = refilled > tokens_max - bucket->tokens ? tokens_max : bucket->tokens + refilled;
        bucket->refilled_ns = now_ns;
    }
    if (bucket->tokens == 0) return false;
    bucket->tokens--;
    return true;
}

/* The connection closes when the GOAWAY that was queued is written. */
static void send_away(struct session *session, const char *reason) {
    session->close_when_empty = true;
    log_event(LOG_INFO, "rpc_connection_sent_away", "peer=%s reason=%s", session->peer, reason);
    session_flush_later(session);
}

/* The text is the one by which gRPC clients learn to ping less often. */
static void count_ping(struct session *session) {
    static const char text[] = "too_many_pings";
    if (!session->is_server || session->close_when_empty ||
        bucket_take(&session->pings, now(session), PINGS_BURST_MAX, session->limits->ping_interval_min_ns))
        return;
    nghttp2_submit_goaway(session->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session->h2),
                          NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)text, sizeof text - 1);
    send_away(session, text);
}

/* Streams that ended by a reset before their call was finished, whoever reset them: a client that breaks the rules to
 * make us do it costs as much as one that does it itself. The rest of the input is not looked at. */
static void count_reset(struct session *session) {
    uint64_t rate = session->limits->resets_per_second_max;
    if (!session->is_server || session->close_when_empty ||
        bucket_take(&session->resets, now(session), session->limits->resets_burst_max, rate ? second_ns / rate : 0))
        return;
    nghttp2_session_terminate_session(session->h2, NGHTTP2_ENHANCE_YOUR_CALM);
    send_away(session, "too_many_resets");
}

/* ---- nghttp2 callbacks ---- */

static struct rpc_call *call_of(nghttp2_session *h2, int32_t stream_id) {
    return nghttp2_session_get_stream_user_data(h2, stream_id);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
    struct session *session = user_data;
    if (!session->is_server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct rpc_call *call = call_create(session->loop, true);
    if (!call) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    call_attach(call, session, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, call);
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags, void *user_data) {
    (void)flags, (void)user_data;
    struct rpc_call *call = call_of(h2, frame->hd.stream_id);
    if (!call || (call->is_server && call->known)) return 0; /* a request's trailers say nothing to us */
    return headers_receive(call, slice_of(name, name_size), slice_of(value, value_size))
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_ping(struct session *session, const nghttp2_frame *frame) {
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        count_ping(session);
        return;
    }
    session->ping_outstanding = false;
    if (session->drain == SESSION_DRAIN_NOTICED && memcmp(frame->ping.opaque_data, ping_drain, sizeof ping_drain) == 0)
        session_drain(session);
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
    struct session *session = user_data;
    if (frame->hd.type == NGHTTP2_PING) {
        on_ping(session, frame);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct rpc_call *call = call_of(h2, frame->hd.stream_id);
    if (!call) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) call_on_headers_done(call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) call_on_remote_close(call);
    return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size,
                         void *user_data) {
    (void)flags;
    struct rpc_call *call = call_of(h2, stream_id);
    if (call)
        call_on_data(call, slice_of(data, size));
    else if (nghttp2_session_consume(h2, stream_id, size))
        session_doom(user_data, "out of memory");
    return 0;
}

static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *user_data) {
    struct session *session = user_data;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    session->pings.tokens = PINGS_BURST_MAX; /* real traffic earns the client its pings back */
    if (!session->is_server || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    /* answered before the client had said everything: tell it to stop (RFC 9113, section 8.1) */
    struct rpc_call *call = call_of(h2, frame->hd.stream_id);
    if (call && !call->remote_closed &&
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR))
        session_doom(session, "out of memory");
    return 0;
}

static int on_frame_not_send(nghttp2_session *h2, const nghttp2_frame *frame, int error_code, void *user_data) {
    (void)user_data;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct rpc_call *call = call_of(h2, frame->hd.stream_id);
    char text[120];
    snprintf(text, sizeof text, "the connection takes no more calls (%s)", nghttp2_strerror(error_code));
    if (!call || call->is_server) return 0;
    call->never_sent = true;
    call_fail(call, GRPC_UNAVAILABLE, text);
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream_id, uint32_t error_code, void *user_data) {
    struct session *session = user_data;
    struct rpc_call *call = call_of(h2, stream_id);
    if (!call) return 0;
    nghttp2_session_set_stream_user_data(h2, stream_id, NULL);
    if (!call->ended && error_code != NGHTTP2_NO_ERROR) count_reset(session);
    call_on_stream_close(call, error_code);
    return 0;
}

/* A DATA frame whose payload comes straight from the call's queue. */
static int send_data(nghttp2_session *h2, nghttp2_frame *frame, const uint8_t *frame_header, size_t size,
                     nghttp2_data_source *source, void *user_data) {
    (void)h2, (void)frame;
    struct session *session = user_data;
    struct rpc_call *call = source->ptr;
    if (session->out.size - session->out_at >= OUT_BYTES_HIGH) {
        session->out_full = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (!buffer_reserve(&session->out, DATA_FRAME_HEADER_BYTES + size)) return NGHTTP2_ERR_NOMEM;
    uint8_t *at = session->out.data + session->out.size;
    memcpy(at, frame_header, DATA_FRAME_HEADER_BYTES);
    if (size) memcpy(at + DATA_FRAME_HEADER_BYTES, call->out.data + call->out_at, size);
    session->out.size += DATA_FRAME_HEADER_BYTES + size;
    call_output_taken(call, size);
    return 0;
}

static enum plinth_status create_callbacks(nghttp2_session_callbacks **callbacks, struct plinth_error *error) {
    if (nghttp2_session_callbacks_new(callbacks)) return error_no_memory(error, "HTTP/2 session");
    nghttp2_session_callbacks_set_on_begin_headers_callback(*callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(*callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(*callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(*callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(*callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(*callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(*callbacks, send_data);
    return PLINTH_OK;
}

/* ---- creation ---- */

static void session_on_event(struct loop_watch *watch, uint32_t epoll_events);
static void session_flush_run(struct loop_flush *flush);
static void session_timer_run(struct rpc_timer *timer);
static void schedule(struct session *session);

static enum plinth_status create_h2(struct session *session, struct plinth_error *error) {
    enum plinth_status status = PLINTH_OK;
    const struct session_limits *limits = session->limits;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    status = create_callbacks(&callbacks, error);
    if (status) goto done;
    if (nghttp2_option_new(&option)) {
        status = error_no_memory(error, "HTTP/2 session");
        goto done;
    }
    nghttp2_option_set_no_auto_window_update(option, 1); /* windows are given back when handlers have taken the bytes */
    nghttp2_option_set_max_send_header_block_length(option, 256 * 1024);
    if (limits->resets_burst_max)
        nghttp2_option_set_stream_reset_rate_limit(option, limits->resets_burst_max, limits->resets_per_second_max);
    int result = session->is_server ? nghttp2_session_server_new2(&session->h2, callbacks, session, option)
                                    : nghttp2_session_client_new2(&session->h2, callbacks, session, option);
    if (result) {
        session->h2 = NULL;
        status = error_no_memory(error, "HTTP/2 session");
    }
done:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return status;
}

static enum plinth_status submit_settings(struct session *session, struct plinth_error *error) {
    const struct session_limits *limits = session->limits;
    nghttp2_settings_entry entries[3] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->metadata_bytes_max},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->concurrent_streams_max},
    };
    if (!session->is_server) entries[2] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    if (nghttp2_submit_settings(session->h2, NGHTTP2_FLAG_NONE, entries, 3) ||
        nghttp2_session_set_local_window_size(session->h2, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)limits->connection_window_bytes))
        return error_no_memory(error, "HTTP/2 session");
    return PLINTH_OK;
}

enum plinth_status session_create(struct rpc_loop *loop, bool is_server, const struct session_limits *limits,
                                  const struct session_owner_ops *owner_ops, void *owner, struct session **session,
                                  struct plinth_error *error) {
    enum plinth_status status = PLINTH_OK;
    *session = NULL;
    struct session *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "HTTP/2 session");
    made->loop = loop;
    made->is_server = is_server;
    made->limits = limits;
    made->owner_ops = owner_ops;
    made->owner = owner;
    made->watch.on_event = session_on_event;
    made->flush.run = session_flush_run;
    made->timer.run = session_timer_run;
    made->pings = (struct session_bucket){PINGS_BURST_MAX, loop->now_ns};
    made->resets = (struct session_bucket){limits->resets_burst_max, loop->now_ns};
    status = create_h2(made, error);
    if (status) goto done;
    status = submit_settings(made, error);
    if (status) goto done;
    *session = made;
done:
    if (status) session_discard(made);
    return status;
}

void session_discard(struct session *session) {
    if (!session) return;
    nghttp2_session_del(session->h2);
    buffer_deinit(&session->out);
    free(session);
}

static void describe_peer(struct session *session, int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    if (getpeername(fd, (struct sockaddr *)&address, &size)) {
        snprintf(session->peer, sizeof session->peer, "unknown");
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(session->peer, sizeof session->peer, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(session->peer, sizeof session->peer, "%s:%u", host, ntohs(in->sin_port));
    }
}

enum plinth_status session_attach(struct session *session, struct byte_stream *stream, struct plinth_error *error) {
    enum plinth_status status = loop_watch_add(session->loop, stream->fd, &session->watch, EPOLLIN, error);
    if (status) return status;
    describe_peer(session, stream->fd);
    session->stream = stream;
    session->last_read_ns = session->idle_since_ns = now(session);
    session->drain_due_ns =
        session->is_server ? after(now(session), jittered(session, session->limits->age_ns)) : UINT64_MAX;
    session->loop->residents++;
    counter_add(&session->loop->counters.connections, 1);
    counter_add(&session->loop->counters.connections_total, 1);
    schedule(session);
    session_flush_later(session);
    return PLINTH_OK;
}

/* ---- the end ---- */

static void session_free_run(struct rpc_task *task) {
    session_discard((struct session *)((char *)task - offsetof(struct session, free_task)));
}

static void lose_calls(struct session *session, enum grpc_status code, const char *text) {
    while (session->calls) {
        struct rpc_call *call = session->calls;
        nghttp2_session_set_stream_user_data(session->h2, call->stream_id, NULL);
        call_lost(call, code, text);
    }
}

void session_close(struct session *session, enum grpc_status code, const char *reason) {
    if (session->closed) return;
    session->closed = true;
    char text[2 * SESSION_REASON_TEXT_MAX];
    snprintf(text, sizeof text, "%s%s%s", session->is_server ? "" : session->authority, session->is_server ? "" : ": ",
             reason);
    rpc_timer_disarm(session->loop, &session->timer);
    loop_flush_forget(session->loop, &session->flush);
    lose_calls(session, code, text);
    if (session->stream) {
        loop_watch_remove(session->loop, session->stream->fd);
        session->stream->ops->destroy(session->stream);
        session->stream = NULL;
        session->loop->residents--;
        counter_add(&session->loop->counters.connections, (uint64_t)-1);
    }
    session->free_task.run = session_free_run;
    loop_doom(session->loop, &session->free_task);
    session->owner_ops->on_closed(session->owner, session, text);
}

/* Shuts our side and waits a moment for the peer's: closing a socket with unread bytes would reset the connection and
 * could destroy the last answer or GOAWAY on its way. */
static void start_linger(struct session *session) {
    if (session->lingering) return;
    if (!session->is_server) {
        session_close(session, GRPC_UNAVAILABLE, "the connection was closed");
        return;
    }
    session->lingering = true;
    lose_calls(session, GRPC_UNAVAILABLE, "the connection was closed");
    session->linger_until_ns = now(session) + second_ns;
    shutdown(session->stream->fd, SHUT_WR);
    schedule(session);
}

/* One step further; each has its own time limit. */
void session_drain(struct session *session) {
    if (session->closed) return;
    switch (session->drain) {
    case SESSION_OPEN:
        session->drain = SESSION_DRAIN_NOTICED;
        session->drain_since_ns = now(session);
        session->drain_due_ns = now(session) + second_ns; /* or when the ping comes back */
        nghttp2_submit_shutdown_notice(session->h2);
        nghttp2_submit_ping(session->h2, NGHTTP2_FLAG_NONE, ping_drain);
        break;
    case SESSION_DRAIN_NOTICED:
        session->drain = SESSION_DRAINING;
        session->drain_due_ns = after(session->drain_since_ns, session->limits->drain_ns);
        nghttp2_submit_goaway(session->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session->h2),
                              NGHTTP2_NO_ERROR, NULL, 0);
        break;
    case SESSION_DRAINING:
    case SESSION_DRAIN_FORCED: return; /* only time goes on from here */
    }
    schedule(session);
    session_flush_later(session);
}

/* The drain took too long: what is left is answered with UNAVAILABLE, and the peer has a second to take the answers. */
static void drain_by_force(struct session *session) {
    session->drain = SESSION_DRAIN_FORCED;
    session->drain_due_ns = now(session) + second_ns;
    for (struct rpc_call *call = session->calls; call; call = call->stream_next)
        call_fail(call, GRPC_UNAVAILABLE, "the server is shutting down");
    session_flush_later(session);
}

/* ---- time ---- */

static bool wants_keepalive(const struct session *session) {
    return session->stream && (session->is_server || session->call_count > 0);
}

static uint64_t keepalive_due(const struct session *session) {
    if (session->ping_outstanding) return after(session->ping_sent_ns, session->limits->keepalive_timeout_ns);
    return after(session->last_read_ns, session->limits->keepalive_ns);
}

static uint64_t idle_due(const struct session *session) {
    bool counts = session->is_server && session->call_count == 0 && session->drain == SESSION_OPEN;
    return counts ? after(session->idle_since_ns, session->limits->idle_ns) : UINT64_MAX;
}

/* The timer is not moved on every read: it fires at the earliest time something could be due, and looks. A client that
 * gets its first call looks again at the latest after one keepalive time. */
static void schedule(struct session *session) {
    if (!session->stream) return;
    uint64_t due =
        session->lingering ? session->linger_until_ns : earlier(keepalive_due(session), session->drain_due_ns);
    due = earlier(due, idle_due(session));
    uint64_t soonest = now(session) + 1000000;
    if (due < soonest) due = soonest;
    if (session->is_server && session->call_count > 0 && session->drain == SESSION_OPEN)
        due = earlier(due, after(now(session), session->limits->idle_ns)); /* it may become idle meanwhile */
    if (due == UINT64_MAX)
        rpc_timer_disarm(session->loop, &session->timer);
    else if (!rpc_timer_arm(session->loop, &session->timer, due))
        session_doom(session, "out of memory");
}

/* False when the session was closed. */
static bool check_keepalive(struct session *session) {
    if (now(session) < keepalive_due(session)) return true;
    if (session->ping_outstanding) {
        session_close(session, GRPC_UNAVAILABLE, "the peer does not answer keepalive pings");
        return false;
    }
    if (!wants_keepalive(session)) {
        session->last_read_ns = now(session); /* nothing is expected: ask again later */
        return true;
    }
    session->ping_outstanding = true;
    session->ping_sent_ns = now(session);
    nghttp2_submit_ping(session->h2, NGHTTP2_FLAG_NONE, ping_keepalive);
    session_flush_later(session);
    return true;
}

static void session_timer_run(struct rpc_timer *timer) {
    struct session *session = (struct session *)((char *)timer - offsetof(struct session, timer));
    if (session->lingering) {
        if (now(session) >= session->linger_until_ns)
            session_close(session, GRPC_UNAVAILABLE, "closed");
        else
            schedule(session);
        return;
    }
    if (!check_keepalive(session)) return;
    if (now(session) >= session->drain_due_ns) {
        if (session->drain == SESSION_DRAIN_FORCED) {
            session_close(session, GRPC_UNAVAILABLE, "the connection took too long to drain");
            return;
        }
        if (session->drain == SESSION_DRAINING)
            drain_by_force(session);
        else
            session_drain(session);
    } else if (now(session) >= idle_due(session)) {
        session_drain(session);
    }
    schedule(session);
}

/* ---- moving bytes ---- */

void session_receive(struct session *session, const uint8_t *data, size_t size) {
    counter_add(&session->loop->counters.bytes_received, size);
    ssize_t taken = nghttp2_session_mem_recv(session->h2, data, size);
    if (taken < 0) { /* nghttp2 has queued a GOAWAY where that makes sense */
        log_event(LOG_DEBUG, "rpc_bad_bytes", "peer=%s error=\"%s\"", session->peer, nghttp2_strerror((int)taken));
        if (taken == NGHTTP2_ERR_NOMEM) session_doom(session, "out of memory");
        session->close_when_empty = true;
    }
    session_flush_later(session);
}

bool session_fill(struct session *session) {
    session->out_full = false;
    while (session->out.size - session->out_at < OUT_BYTES_HIGH) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(session->h2, &data);
        if (size < 0 || (size > 0 && !buffer_append(&session->out, data, (size_t)size))) {
            session_doom(session, "out of memory");
            return true;
        }
        if (size == 0) return !session->out_full;
    }
    return false;
}

static void watch_write(struct session *session, bool wanted) {
    if (session->watches_write == wanted) return;
    session->watches_write = wanted;
    loop_watch_change(session->loop, session->stream->fd, &session->watch, EPOLLIN | (wanted ? EPOLLOUT : 0U));
}

static void session_broken(struct session *session, const char *what) {
    char text[SESSION_REASON_TEXT_MAX];
    snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    session_close(session, GRPC_UNAVAILABLE, text);
}

enum write_result { WRITE_EMPTY, WRITE_BLOCKED, WRITE_CLOSED };

/* Writes `out` until it is empty or the socket is full. */
static enum write_result write_out(struct session *session, size_t *written) {
    struct buffer *out = &session->out;
    while (session->out_at < out->size) {
        size_t moved;
        switch (session->stream->ops->write(session->stream, out->data + session->out_at, out->size - session->out_at,
                                            &moved)) {
        case BYTE_IO_DONE:
            session->out_at += moved;
            *written += moved;
            counter_add(&session->loop->counters.bytes_sent, moved);
            break;
        case BYTE_IO_WANT_WRITE: watch_write(session, true); return WRITE_BLOCKED;
        case BYTE_IO_WANT_READ: return WRITE_BLOCKED;
        case BYTE_IO_END:
        case BYTE_IO_ERROR: session_broken(session, "the connection broke while writing"); return WRITE_CLOSED;
        }
    }
    buffer_clear(out);
    session->out_at = 0;
    if (out->capacity > OUT_BYTES_KEPT_MAX && session->call_count == 0) buffer_deinit(out);
    return WRITE_EMPTY;
}

static void session_flush_run(struct loop_flush *flush) {
    struct session *session = (struct session *)((char *)flush - offsetof(struct session, flush));
    if (session->closed || !session->stream || session->lingering) return;
    size_t written = 0;
    for (bool is_drained = false; !is_drained;) {
        is_drained = session_fill(session);
        /* a short write ends the loop only when the socket says that it is full: frames may still wait in nghttp2 */
        enum write_result result = write_out(session, &written);
        if (result == WRITE_CLOSED) return;
        if (result == WRITE_BLOCKED) goto doomed;
        if (!is_drained && written >= FLUSH_BYTES_MAX) {
            session_flush_later(session); /* others come first */
            return;
        }
    }
    watch_write(session, session->read_wants_write);
    bool is_over = !nghttp2_session_want_read(session->h2) && !nghttp2_session_want_write(session->h2);
    if (!session->doom[0] && (is_over || session->close_when_empty)) {
        start_linger(session);
        return;
    }
doomed:
    if (session->doom[0]) session_close(session, GRPC_UNAVAILABLE, session->doom);
}

/* False when there is nothing more to read now, or the session is closed. */
static bool read_some(struct session *session, size_t *received) {
    size_t moved;
    struct byte_stream *stream = session->stream;
    switch (stream->ops->read(stream, session->loop->read_bytes, LOOP_READ_BYTES, &moved)) {
    case BYTE_IO_DONE: break;
    case BYTE_IO_WANT_READ: return false;
    case BYTE_IO_WANT_WRITE:
        session->read_wants_write = true;
        watch_write(session, true);
        return false;
    case BYTE_IO_END: session_close(session, GRPC_UNAVAILABLE, "the peer closed the connection"); return false;
    case BYTE_IO_ERROR: session_broken(session, "the connection broke while reading"); return false;
    default: return false;
    }
    session->last_read_ns = now(session);
    *received += moved;
    if (!session->lingering && !session->close_when_empty) session_receive(session, session->loop->read_bytes, moved);
    return !stream->ops->short_read_is_empty || (moved == LOOP_READ_BYTES && *received < RECEIVE_BYTES_MAX);
}

static void session_on_event(struct loop_watch *watch, uint32_t epoll_events) {
    struct session *session = (struct session *)watch;
    if (session->closed) return;
    session_flush_later(session);
    if (!(epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !session->read_wants_write) return;
    session->read_wants_write = false;
    size_t received = 0;
    while (read_some(session, &received)) {
    }
}
