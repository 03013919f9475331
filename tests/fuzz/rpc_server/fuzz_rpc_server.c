/* Bytes of a hostile client into a server's session: HTTP/2, headers, message framing, gzip, and handlers of every kind
 * that answer, stream, pause and finish early. No sockets: bytes go in by session_receive, answers come out of
 * session_fill. The input is fed in pieces, whose sizes come from its first byte. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "rpc/call_private.h"
#include "rpc/loop_private.h"
#include "rpc/method_table.h"
#include "rpc/session_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- handlers; each call must be released, and told of its end at most once ---- */

struct fuzz_state {
    uint64_t messages;
    bool cancelled;
    bool half_closed;
};

static size_t calls_open;

static void on_start(struct rpc_call *call) {
    calls_open++;
    for (size_t i = 0; i < rpc_call_metadata_count(call); i++) {
        struct rpc_metadata entry = rpc_call_metadata_at(call, i);
        if (rpc_call_add_initial_metadata(call, "x-count", slice_of_string("1"))) break;
        if (entry.name.size && entry.name.data[0] == 'z') rpc_call_finish(call, GRPC_ABORTED, "z");
    }
}
static void on_cancel(struct rpc_call *call, enum grpc_status reason) {
    struct fuzz_state *state = rpc_call_state(call);
    assert(!state->cancelled && reason != GRPC_OK && rpc_call_is_over(call));
    state->cancelled = true;
    rpc_call_send(call, slice_of_string("into the void"));
    rpc_call_finish(call, GRPC_OK, NULL);
}
static void on_release(struct rpc_call *call) {
    (void)call;
    calls_open--;
}
static void count_message(struct rpc_call *call) {
    struct fuzz_state *state = rpc_call_state(call);
    assert(!state->cancelled && !state->half_closed);
    state->messages++;
}

static void echo_message(struct rpc_call *call, struct slice message) {
    count_message(call);
    rpc_call_reply(call, message);
}
static void chat_message(struct rpc_call *call, struct slice message) {
    struct fuzz_state *state = rpc_call_state(call);
    count_message(call);
    rpc_call_send(call, message);
    if (state->messages % 3 == 0) rpc_call_pause(call); /* resumed by pace() */
    if (message.size == 7) rpc_call_cancel(call);
}
static void chat_half_close(struct rpc_call *call) {
    struct fuzz_state *state = rpc_call_state(call);
    assert(!state->half_closed && !state->cancelled);
    state->half_closed = true;
    rpc_call_finish(call, GRPC_OK, "done %");
}
static void collect_message(struct rpc_call *call, struct slice message) {
    (void)message;
    count_message(call);
}

static const struct rpc_call_ops echo_ops = {on_start, echo_message, NULL, NULL, on_cancel, NULL, NULL, on_release};
static const struct rpc_call_ops chat_ops = {on_start, chat_message, chat_half_close, NULL, on_cancel,
                                             NULL,     NULL,         on_release};
static const struct rpc_call_ops collect_ops = {on_start, collect_message, chat_half_close, NULL, on_cancel, NULL,
                                                NULL,     on_release};

/* The paths are those of the captured seeds. */
#define SERVICE "/grpc.testing.TestService/"
static const struct rpc_method methods[] = {
    {SERVICE "EmptyCall", RPC_UNARY, &echo_ops, NULL, sizeof(struct fuzz_state)},
    {SERVICE "UnaryCall", RPC_UNARY, &echo_ops, NULL, sizeof(struct fuzz_state)},
    {SERVICE "StreamingInputCall", RPC_CLIENT_STREAM, &collect_ops, NULL, sizeof(struct fuzz_state)},
    {SERVICE "StreamingOutputCall", RPC_SERVER_STREAM, &chat_ops, NULL, sizeof(struct fuzz_state)},
    {SERVICE "FullDuplexCall", RPC_BIDI, &chat_ops, NULL, sizeof(struct fuzz_state)},
};

/* ---- the session ---- */

static struct method_table table;
static bool is_closed;

static const struct rpc_method *find_method(void *owner, struct slice path) {
    (void)owner;
    return method_table_find(&table, path);
}
static void on_closed(void *owner, struct session *session, const char *reason) {
    (void)owner, (void)session, (void)reason;
    is_closed = true;
}
static const struct session_owner_ops owner_ops = {find_method, on_closed};

static const struct session_limits limits = {
    .message_bytes_max = 100000,
    .metadata_bytes_max = 4000,
    .held_bytes_max = 300000,
    .concurrent_streams_max = 20,
    .stream_window_bytes = 70000,
    .connection_window_bytes = 200000,
    .resets_burst_max = 10,
    .resets_per_second_max = 1,
    .keepalive_ns = UINT64_MAX,
    .keepalive_timeout_ns = UINT64_MAX,
    .ping_interval_min_ns = 1000000000,
    .idle_ns = UINT64_MAX,
    .age_ns = UINT64_MAX,
    .drain_ns = UINT64_MAX,
};

static struct rpc_loop *loop_once(void) {
    static struct rpc_loop *loop;
    if (!loop) {
        struct rpc_loop_options options = {0};
        log_event_configure(LOG_OFF, false);
        if (loop_create(&options, &loop, NULL)) abort();
        if (method_table_init(&table, methods, sizeof methods / sizeof *methods, NULL)) abort();
        loop_adopt(loop);
    }
    return loop;
}

/* What a loop does between two reads: posted chores, then writing. Also resumes what paused itself. */
static void pace(struct rpc_loop *loop, struct session *session) {
    for (struct rpc_call *call = session->calls; call; call = call->stream_next) rpc_call_resume(call);
    loop_run_once(loop, 0);
    while (!session_fill(session)) buffer_clear(&session->out);
    buffer_clear(&session->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct rpc_loop *loop = loop_once();
    struct session *session;
    if (size == 0) return 0;
    size_t step = data[0] ? data[0] * (size_t)16 : size;
    data++, size--;
    is_closed = false;
    if (session_create(loop, true, &limits, &owner_ops, NULL, &session, NULL)) abort();
    while (size > 0 && !session->doom[0] && !session->close_when_empty) {
        size_t piece = size < step ? size : step;
        session_receive(session, data, piece);
        pace(loop, session);
        data += piece, size -= piece;
    }
    session_close(session, GRPC_UNAVAILABLE, "the end");
    loop_run_once(loop, 0);
    loop_run_once(loop, 0);
    assert(is_closed && calls_open == 0 && atomic_load(&loop->calls_live) == 0);
    return 0;
}
