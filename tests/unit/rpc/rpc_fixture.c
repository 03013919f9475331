#include "rpc_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

enum { WAIT_US = 20 * 1000 * 1000 };

struct fixture_record fixture_record;

/* ---- the service ---- */

static void count_start(struct rpc_call *call) {
    atomic_fetch_add(&fixture_record.started, 1);
    if (rpc_call_deadline_ns(call) != UINT64_MAX) atomic_store(&fixture_record.saw_deadline, true);
}
static void count_cancel(struct rpc_call *call, enum grpc_status reason) {
    (void)call;
    atomic_store(&fixture_record.cancel_reason, (int)reason);
    atomic_fetch_add(&fixture_record.cancelled, 1);
}
static void count_release(struct rpc_call *call) {
    (void)call;
    atomic_fetch_add(&fixture_record.released, 1);
}

static void unary_message(struct rpc_call *call, struct slice message) { rpc_call_reply(call, message); }

static void space_message(struct rpc_call *call, struct slice message) {
    uint8_t *at = rpc_call_send_space(call, message.size);
    assert_non_null(at);
    if (message.size) memcpy(at, message.data, message.size);
    rpc_call_finish(call, GRPC_OK, NULL);
}

struct worker_job {
    struct pool_task task; /* first */
    struct rpc_call *call;
    struct buffer request;
};
static struct pool *worker_pool;

static void worker_run(struct pool_task *task) {
    struct worker_job *job = (struct worker_job *)task;
    rpc_call_send(job->call, buffer_slice(&job->request));
    rpc_call_finish(job->call, GRPC_OK, NULL);
    rpc_call_unref(job->call);
    buffer_deinit(&job->request);
    free(job);
}
static void worker_message(struct rpc_call *call, struct slice message) {
    struct worker_job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->task.run = worker_run;
    job->call = rpc_call_ref(call);
    assert_true(buffer_append(&job->request, message.data, message.size));
    assert_true(pool_submit(worker_pool, &job->task));
}

static void fail_message(struct rpc_call *call, struct slice message) {
    (void)message;
    assert_int_equal(rpc_call_add_trailing_metadata(call, "x-why", slice_of_string("because")), PLINTH_OK);
    assert_int_equal(rpc_call_add_trailing_metadata(call, "x-raw-bin", slice_of("\0\xff\1", 3)), PLINTH_OK);
    rpc_call_finish(call, GRPC_INVALID_ARGUMENT, "wrong: \xc3\xbcmlaut 100%");
}

static void metadata_message(struct rpc_call *call, struct slice message) {
    struct slice value;
    if (rpc_call_metadata(call, "x-initial", &value))
        assert_int_equal(rpc_call_add_initial_metadata(call, "x-initial", value), PLINTH_OK);
    if (rpc_call_metadata(call, "x-trailing-bin", &value))
        assert_int_equal(rpc_call_add_trailing_metadata(call, "x-trailing-bin", value), PLINTH_OK);
    rpc_call_reply(call, message);
}

struct collect_state {
    uint64_t count;
    uint64_t bytes;
};
static void collect_message(struct rpc_call *call, struct slice message) {
    struct collect_state *state = rpc_call_state(call);
    state->count++;
    state->bytes += message.size;
}
static void collect_half_close(struct rpc_call *call) {
    rpc_call_reply(call, slice_of(rpc_call_state(call), sizeof(struct collect_state)));
}

struct repeat_state {
    uint32_t left;
    uint32_t size;
    uint32_t next;
};
static void repeat_more(struct rpc_call *call) {
    struct repeat_state *state = rpc_call_state(call);
    uint8_t *bytes = malloc(state->size ? state->size : 1);
    assert_non_null(bytes);
    size_t queued = 0;
    while (state->left && queued < RPC_SEND_HIGH_BYTES) {
        memset(bytes, (int)(state->next++ & 0xff), state->size);
        queued = rpc_call_send(call, slice_of(bytes, state->size));
        state->left--;
        if (queued > atomic_load(&fixture_record.queued_max)) atomic_store(&fixture_record.queued_max, queued);
    }
    free(bytes);
    if (state->left == 0) rpc_call_finish(call, GRPC_OK, NULL);
}
static void repeat_message(struct rpc_call *call, struct slice message) {
    struct repeat_state *state = rpc_call_state(call);
    assert_int_equal(message.size, 8);
    state->left = load_u32(message.data);
    state->size = load_u32(message.data + 4);
    repeat_more(call);
}
static void repeat_writable(struct rpc_call *call) {
    atomic_fetch_add(&fixture_record.writable, 1);
    repeat_more(call);
}

static void chat_message(struct rpc_call *call, struct slice message) { rpc_call_send(call, message); }
static void chat_half_close(struct rpc_call *call) {
    atomic_fetch_add(&fixture_record.half_closed, 1);
    rpc_call_finish(call, GRPC_OK, NULL);
}

static void early_message(struct rpc_call *call, struct slice message) { rpc_call_reply(call, message); }

static _Atomic(struct rpc_call *) paused_call;
static void paused_message(struct rpc_call *call, struct slice message) {
    if (atomic_fetch_add(&fixture_record.paused_messages, 1) == 0) {
        rpc_call_pause(call);
        atomic_store(&paused_call, rpc_call_ref(call));
    }
    uint8_t size[8];
    store_u64(size, message.size);
    rpc_call_send(call, slice_of(size, sizeof size));
}
void fixture_resume_paused(void) {
    struct rpc_call *call = atomic_exchange(&paused_call, NULL);
    assert_non_null(call);
    rpc_call_resume(call);
    rpc_call_unref(call);
}

#define COUNTED .on_start = count_start, .on_cancel = count_cancel, .on_release = count_release
static const struct rpc_call_ops unary_ops = {COUNTED, .on_message = unary_message};
static const struct rpc_call_ops space_ops = {COUNTED, .on_message = space_message};
static const struct rpc_call_ops worker_ops = {COUNTED, .on_message = worker_message};
static const struct rpc_call_ops fail_ops = {COUNTED, .on_message = fail_message};
static const struct rpc_call_ops metadata_ops = {COUNTED, .on_message = metadata_message};
static const struct rpc_call_ops collect_ops = {COUNTED, .on_message = collect_message,
                                                .on_half_close = collect_half_close};
static const struct rpc_call_ops repeat_ops = {COUNTED, .on_message = repeat_message, .on_writable = repeat_writable};
static const struct rpc_call_ops chat_ops = {COUNTED, .on_message = chat_message, .on_half_close = chat_half_close};
static const struct rpc_call_ops hold_ops = {COUNTED};
static const struct rpc_call_ops early_ops = {COUNTED, .on_message = early_message};
static const struct rpc_call_ops paused_ops = {COUNTED, .on_message = paused_message, .on_half_close = chat_half_close};

const struct rpc_method fixture_methods[] = {
    {"/test.Echo/Unary", RPC_UNARY, &unary_ops, NULL, 0},
    {"/test.Echo/Space", RPC_UNARY, &space_ops, NULL, 0},
    {"/test.Echo/Worker", RPC_UNARY, &worker_ops, NULL, 0},
    {"/test.Echo/Fail", RPC_UNARY, &fail_ops, NULL, 0},
    {"/test.Echo/Metadata", RPC_UNARY, &metadata_ops, NULL, 0},
    {"/test.Echo/Collect", RPC_CLIENT_STREAM, &collect_ops, NULL, sizeof(struct collect_state)},
    {"/test.Echo/Repeat", RPC_SERVER_STREAM, &repeat_ops, NULL, sizeof(struct repeat_state)},
    {"/test.Echo/Chat", RPC_BIDI, &chat_ops, NULL, 0},
    {"/test.Echo/Hold", RPC_BIDI, &hold_ops, NULL, 0},
    {"/test.Echo/Early", RPC_BIDI, &early_ops, NULL, 0},
    {"/test.Echo/Paused", RPC_BIDI, &paused_ops, NULL, 0},
};
const size_t fixture_method_count = sizeof fixture_methods / sizeof *fixture_methods;

/* ---- server and client ---- */

void fixture_server_start(struct fixture *fixture, const struct rpc_server_options *options) {
    static const char *const addresses[] = {"127.0.0.1:0"};
    struct rpc_server_options filled = options ? *options : (struct rpc_server_options){.loops = 1};
    struct plinth_error error;
    memset(&fixture_record, 0, sizeof fixture_record);
    atomic_store(&fixture_record.cancel_reason, -1);
    assert_int_equal(pool_create("worker", 2, &worker_pool, &error), PLINTH_OK);
    filled.addresses = addresses;
    filled.address_count = 1;
    filled.methods = fixture_methods;
    filled.method_count = fixture_method_count;
    if (rpc_server_create(&filled, &fixture->server, &error)) fail_msg("%s", error.text);
    snprintf(fixture->address, sizeof fixture->address, "127.0.0.1:%u", rpc_server_port(fixture->server, 0));
}

void fixture_server_stop(struct fixture *fixture) {
    rpc_server_destroy(fixture->server);
    pool_destroy(worker_pool);
    worker_pool = NULL;
    /* every call that was started is released: nothing leaked, nothing twice */
    assert_int_equal(atomic_load(&fixture_record.started), atomic_load(&fixture_record.released));
}

struct rpc_client *fixture_connect(struct fixture *fixture) {
    struct rpc_client_options options = {.address = fixture->address};
    struct rpc_client *client;
    struct plinth_error error;
    if (rpc_client_create(&options, &client, &error)) fail_msg("%s", error.text);
    return client;
}

void fixture_wait_for(atomic_uint *value, unsigned expected) {
    for (unsigned waited_us = 0; atomic_load(value) < expected; waited_us += 1000) {
        if (waited_us > WAIT_US) fail_msg("waited in vain for %u, is %u", expected, atomic_load(value));
        usleep(1000);
    }
}

/* ---- recorded calls ---- */

static void recorded_initial(struct rpc_call *call) {
    struct recorded_call *recorded = rpc_call_user_data(call);
    struct slice value;
    pthread_mutex_lock(&recorded->mutex);
    recorded->has_initial = true;
    if (rpc_call_metadata(call, "x-initial", &value))
        snprintf(recorded->initial, sizeof recorded->initial, "%.*s", (int)value.size, (const char *)value.data);
    pthread_cond_broadcast(&recorded->changed);
    pthread_mutex_unlock(&recorded->mutex);
}

static void recorded_message(struct rpc_call *call, struct slice message) {
    struct recorded_call *recorded = rpc_call_user_data(call);
    pthread_mutex_lock(&recorded->mutex);
    recorded->message_count++;
    recorded->last_size = message.size;
    if (recorded->keep_messages) assert_true(buffer_append(&recorded->messages, message.data, message.size));
    if (recorded->pause_at_first && recorded->message_count == 1) rpc_call_pause(call);
    pthread_cond_broadcast(&recorded->changed);
    pthread_mutex_unlock(&recorded->mutex);
}

static void recorded_writable(struct rpc_call *call) {
    struct recorded_call *recorded = rpc_call_user_data(call);
    pthread_mutex_lock(&recorded->mutex);
    recorded->writable_count++;
    pthread_cond_broadcast(&recorded->changed);
    pthread_mutex_unlock(&recorded->mutex);
}

static void recorded_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct recorded_call *recorded = rpc_call_user_data(call);
    struct slice value;
    pthread_mutex_lock(&recorded->mutex);
    recorded->ended = true;
    recorded->status_count++;
    recorded->code = code;
    snprintf(recorded->text, sizeof recorded->text, "%.*s", (int)message.size,
             message.data ? (const char *)message.data : "");
    if (rpc_call_metadata(call, "x-trailing-bin", &value) || rpc_call_metadata(call, "x-why", &value))
        snprintf(recorded->trailing, sizeof recorded->trailing, "%.*s", (int)value.size, (const char *)value.data);
    pthread_cond_broadcast(&recorded->changed);
    pthread_mutex_unlock(&recorded->mutex);
}

static void recorded_release(struct rpc_call *call) {
    struct recorded_call *recorded = rpc_call_user_data(call);
    pthread_mutex_lock(&recorded->mutex);
    recorded->released = true;
    pthread_cond_broadcast(&recorded->changed);
    pthread_mutex_unlock(&recorded->mutex);
}

static const struct rpc_call_ops recorded_ops = {
    .on_initial_metadata = recorded_initial,
    .on_message = recorded_message,
    .on_writable = recorded_writable,
    .on_status = recorded_status,
    .on_release = recorded_release,
};

void recorded_call_init(struct recorded_call *recorded) {
    memset(recorded, 0, sizeof *recorded);
    pthread_mutex_init(&recorded->mutex, NULL);
    condition_init(&recorded->changed);
    recorded->keep_messages = true;
}

/* Waits for `is_met` under the mutex. */
static void recorded_wait(struct recorded_call *recorded, bool (*is_met)(struct recorded_call *, unsigned),
                          unsigned n) {
    pthread_mutex_lock(&recorded->mutex);
    bool in_time = true;
    while (!is_met(recorded, n) && in_time) in_time = condition_wait_us(&recorded->changed, &recorded->mutex, WAIT_US);
    pthread_mutex_unlock(&recorded->mutex);
    if (!in_time) fail_msg("a call hangs: %u messages, ended %d", recorded->message_count, recorded->ended);
}
static bool is_ended(struct recorded_call *recorded, unsigned n) { return (void)n, recorded->ended; }
static bool is_released(struct recorded_call *recorded, unsigned n) { return (void)n, recorded->released; }
static bool has_messages(struct recorded_call *recorded, unsigned n) { return recorded->message_count >= n; }

void recorded_call_wait(struct recorded_call *recorded) { recorded_wait(recorded, is_ended, 0); }
void recorded_call_wait_messages(struct recorded_call *recorded, unsigned count) {
    recorded_wait(recorded, has_messages, count);
}
bool recorded_call_has_ended(struct recorded_call *recorded) {
    pthread_mutex_lock(&recorded->mutex);
    bool ended = recorded->ended;
    pthread_mutex_unlock(&recorded->mutex);
    return ended;
}

void recorded_call_deinit(struct recorded_call *recorded) {
    rpc_call_unref(recorded->call);
    if (recorded->call) recorded_wait(recorded, is_released, 0);
    assert_true(recorded->status_count <= 1);
    buffer_deinit(&recorded->messages);
    pthread_cond_destroy(&recorded->changed);
    pthread_mutex_destroy(&recorded->mutex);
}

void recorded_call_start(struct recorded_call *recorded, struct rpc_client *client, const char *path,
                         enum rpc_call_kind kind, const struct rpc_call_options *options) {
    struct rpc_call_options filled = options ? *options : (struct rpc_call_options){0};
    filled.path = path;
    filled.kind = kind;
    filled.ops = &recorded_ops;
    filled.user_data = recorded;
    recorded->call = rpc_client_call(client, &filled);
    assert_non_null(recorded->call);
}

/* ---- short reads and writes ---- */

struct short_stream {
    struct byte_stream base;
    unsigned turn;
};

static struct byte_stream *short_create(const struct byte_stream_ops *ops, int socket_fd, bool is_server) {
    (void)is_server;
    struct short_stream *stream = calloc(1, sizeof *stream);
    if (stream) stream->base = (struct byte_stream){ops, socket_fd};
    return stream ? &stream->base : NULL;
}
/* 0: pretend that the socket is not ready. Larger steps now and then keep the test short. */
static size_t short_size(struct byte_stream *base, size_t size) {
    struct short_stream *stream = (struct short_stream *)base;
    unsigned turn = stream->turn++;
    if (turn % 11 == 10) return 0;
    size_t most = turn % 5 == 4 ? 1021 : 1 + turn % 7;
    return size < most ? size : most;
}
static enum byte_io short_read(struct byte_stream *base, void *into, size_t size, size_t *moved) {
    *moved = 0;
    size = short_size(base, size);
    return size ? byte_stream_socket_ops.read(base, into, size, moved) : BYTE_IO_WANT_READ;
}
static enum byte_io short_write(struct byte_stream *base, const void *from, size_t size, size_t *moved) {
    *moved = 0;
    size = short_size(base, size);
    return size ? byte_stream_socket_ops.write(base, from, size, moved) : BYTE_IO_WANT_WRITE;
}
static void short_destroy(struct byte_stream *base) {
    close(base->fd);
    free(base);
}
const struct byte_stream_ops short_stream_ops = {short_create, short_read, short_write, short_destroy, true};

uint8_t *pattern_make(size_t size, unsigned seed) {
    uint8_t *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 11);
    return bytes;
}
