/* The client: making the one connection, starting calls on it, and a blocking call for programs without a loop.
 *
 *   CONNECTING ──► CONNECTED ──► CLOSED ──► (destroyed)
 *        └─────────────────────────▲
 * The HTTP/2 session exists from the start, so that calls made while connecting queue in it. All state but the options
 * belongs to the loop's thread. */
#include "rpc/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "base/thread.h"
#include "rpc/address.h"
#include "rpc/byte_stream.h"
#include "rpc/call_private.h"
#include "rpc/session_private.h"

enum client_state { CLIENT_CONNECTING, CLIENT_CONNECTED, CLIENT_CLOSED };

struct rpc_client {
    struct loop_watch watch; /* of the connecting socket; first */
    struct rpc_timer timer;  /* connect_ms */
    struct rpc_task start_task;
    struct rpc_task destroy_task;
    struct rpc_task free_task;
    /* fixed after creation */
    struct rpc_loop *loop;
    bool owns_loop;
    struct session_limits limits;
    const struct byte_stream_ops *stream_ops;
    uint64_t connect_ns;
    char *address;
    char *user_agent;
    void (*on_closed)(struct rpc_client *client, void *user_data, const char *reason);
    void *user_data;
    struct addrinfo *addresses;
    /* the loop's */
    enum client_state state;
    const struct addrinfo *next_address;
    struct session *session; /* null when closed */
    int fd;                  /* the connecting socket, or -1 */
    bool destroy_asked;
    char reason[SESSION_REASON_TEXT_MAX]; /* why closed */
};

#define CLIENT_OF(member, pointer) ((struct rpc_client *)((char *)(pointer)-offsetof(struct rpc_client, member)))

/* ---- the end ---- */

static void client_free(struct rpc_client *client) {
    if (client->addresses) freeaddrinfo(client->addresses);
    free(client->address);
    free(client->user_agent);
    free(client);
}

static void client_free_run(struct rpc_task *task) { client_free(CLIENT_OF(free_task, task)); }

/* On the loop; every event that could name the client is handled before it is freed. */
static void doom_if_asked(struct rpc_client *client) {
    if (!client->destroy_asked || client->state != CLIENT_CLOSED) return;
    client->loop->residents--;
    client->free_task.run = client_free_run;
    loop_doom(client->loop, &client->free_task);
}

static void stop_connecting(struct rpc_client *client) {
    rpc_timer_disarm(client->loop, &client->timer);
    if (client->fd < 0) return;
    loop_watch_remove(client->loop, client->fd);
    close(client->fd);
    client->fd = -1;
}

static void client_session_closed(void *owner, struct session *session, const char *reason) {
    (void)session;
    struct rpc_client *client = owner;
    client->session = NULL;
    client->state = CLIENT_CLOSED;
    snprintf(client->reason, sizeof client->reason, "%s", reason);
    if (client->on_closed) client->on_closed(client, client->user_data, client->reason);
    doom_if_asked(client);
}

static const struct session_owner_ops client_owner_ops = {NULL, client_session_closed};

/* Ends what there is; leads to client_session_closed. */
static void client_close(struct rpc_client *client, const char *reason) {
    stop_connecting(client);
    if (client->session) session_close(client->session, GRPC_UNAVAILABLE, reason);
}

static void destroy_run(struct rpc_task *task) {
    struct rpc_client *client = CLIENT_OF(destroy_task, task);
    client->destroy_asked = true;
    if (client->state == CLIENT_CLOSED)
        doom_if_asked(client);
    else
        client_close(client, "the client was destroyed");
}

/* ---- connecting ---- */

static void connect_failed(struct rpc_client *client, int error_number);

static void connected(struct rpc_client *client) {
    int fd = client->fd, on = 1;
    rpc_timer_disarm(client->loop, &client->timer);
    loop_watch_remove(client->loop, fd);
    client->fd = -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct byte_stream *stream = client->stream_ops->create(client->stream_ops, fd, false);
    if (!stream) {
        close(fd);
        client_close(client, "out of memory");
        return;
    }
    if (session_attach(client->session, stream, NULL)) {
        stream->ops->destroy(stream);
        client_close(client, "cannot watch the connection");
        return;
    }
    client->state = CLIENT_CONNECTED;
    for (struct rpc_call *call = client->session->calls; call; call = call->stream_next)
        memcpy(call->peer, client->session->peer, sizeof call->peer);
}

static void client_on_event(struct loop_watch *watch, uint32_t epoll_events) {
    (void)epoll_events;
    struct rpc_client *client = (struct rpc_client *)watch;
    if (client->fd < 0) return;
    int error_number = 0;
    socklen_t size = sizeof error_number;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error_number, &size)) error_number = errno;
    if (error_number)
        connect_failed(client, error_number);
    else
        connected(client);
}

/* Tries the addresses in turn; the last failure is the one reported. */
static void connect_next(struct rpc_client *client, int error_number) {
    while (client->next_address) {
        const struct addrinfo *address = client->next_address;
        client->next_address = address->ai_next;
        client->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (client->fd < 0) {
            error_number = errno;
            continue;
        }
        bool begun = connect(client->fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS;
        error_number = errno;
        if (begun && !loop_watch_add(client->loop, client->fd, &client->watch, EPOLLOUT, NULL)) return;
        close(client->fd);
        client->fd = -1;
    }
    client_close(client, strerror(error_number));
}

static void connect_failed(struct rpc_client *client, int error_number) {
    loop_watch_remove(client->loop, client->fd);
    close(client->fd);
    client->fd = -1;
    connect_next(client, error_number);
}

static void connect_timeout(struct rpc_timer *timer) {
    client_close(CLIENT_OF(timer, timer), "no connection within the time limit");
}

static void start_run(struct rpc_task *task) {
    struct rpc_client *client = CLIENT_OF(start_task, task);
    client->loop->residents++;
    if (session_create(client->loop, false, &client->limits, &client_owner_ops, client, &client->session, NULL)) {
        client->session = NULL;
        client->state = CLIENT_CLOSED;
        snprintf(client->reason, sizeof client->reason, "%s: out of memory", client->address);
        if (client->on_closed) client->on_closed(client, client->user_data, client->reason);
        return;
    }
    client->session->authority = client->address;
    client->session->user_agent = client->user_agent;
    client->next_address = client->addresses;
    if (client->connect_ns != UINT64_MAX &&
        !rpc_timer_arm(client->loop, &client->timer, client->loop->now_ns + client->connect_ns))
        client_close(client, "out of memory");
    else
        connect_next(client, 0);
}

/* ---- creation ---- */

static uint64_t ms_or(uint64_t ms, uint64_t otherwise_ms) {
    if (ms == 0) ms = otherwise_ms;
    return ms > UINT64_MAX / 1000000 ? UINT64_MAX : ms * 1000000;
}

static void limits_init(struct session_limits *limits, const struct rpc_client_options *options) {
    *limits = (struct session_limits){
        .message_bytes_max = options->message_bytes_max ? options->message_bytes_max : 66 * 1024 * 1024,
        .metadata_bytes_max = options->metadata_bytes_max ? options->metadata_bytes_max : 64 * 1024,
        .held_bytes_max = SIZE_MAX / 2, /* the caller chooses what it asks for */
        .stream_window_bytes = options->stream_window_bytes ? options->stream_window_bytes : 1024 * 1024,
        .connection_window_bytes =
            options->connection_window_bytes ? options->connection_window_bytes : 16 * 1024 * 1024,
        .keepalive_ns = ms_or(options->keepalive_ms, UINT64_MAX),
        .keepalive_timeout_ns = ms_or(options->keepalive_timeout_ms, 20 * 1000),
        .ping_interval_min_ns = 0,
        .idle_ns = UINT64_MAX,
        .age_ns = UINT64_MAX,
        .drain_ns = UINT64_MAX,
    };
}

enum plinth_status rpc_client_create(const struct rpc_client_options *options, struct rpc_client **client,
                                     struct plinth_error *error) {
    *client = NULL;
    struct rpc_client *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "client");
    made->fd = -1;
    made->watch.on_event = client_on_event;
    made->timer.run = connect_timeout;
    made->start_task.run = start_run;
    made->destroy_task.run = destroy_run;
    made->stream_ops = options->stream_ops ? options->stream_ops : &byte_stream_socket_ops;
    made->connect_ns = ms_or(options->connect_ms, 5000);
    made->on_closed = options->on_closed;
    made->user_data = options->user_data;
    limits_init(&made->limits, options);
    enum plinth_status status = address_resolve(options->address, false, &made->addresses, error);
    if (status) goto done;
    made->address = strdup(options->address);
    made->user_agent = strdup(options->user_agent ? options->user_agent : "plinth/" PLINTH_VERSION);
    if (!made->address || !made->user_agent) {
        status = error_no_memory(error, "client");
        goto done;
    }
    made->loop = options->loop;
    made->owns_loop = !options->loop;
    if (made->owns_loop) {
        struct rpc_loop_options loop_options = {.env = options->env, .name = "rpc-client"};
        status = rpc_loop_create(&loop_options, &made->loop, error);
        if (status) goto done;
    }
    rpc_loop_post(made->loop, &made->start_task);
    *client = made;
done:
    if (status) client_free(made);
    return status;
}

void rpc_client_destroy(struct rpc_client *client) {
    if (!client) return;
    struct rpc_loop *own = client->owns_loop ? client->loop : NULL;
    assert(!own || !loop_is_current(own));
    rpc_loop_post(client->loop, &client->destroy_task);
    if (own) rpc_loop_destroy(own); /* `client` is gone when this returns */
}

struct rpc_loop *rpc_client_loop(const struct rpc_client *client) {
    return client->loop;
}
const char *rpc_client_address(const struct rpc_client *client) { return client->address; }

/* ---- calls ---- */

/* On the loop: opens the stream. False when the connection takes no more calls. */
static bool try_start(struct rpc_client *client, struct rpc_call *call) {
    struct session *session = client->session;
    if (!session || session->closed || !headers_submit_request(call, session)) return false;
    call_attach(call, session, call->stream_id);
    session_flush_later(session);
    return true;
}

/* CALL_CHORE_START: what could not start at once starts here or fails. */
static void client_start_call(struct rpc_call *call) {
    struct rpc_client *client = call->start_context;
    if (call->ended) return; /* by its deadline */
    if (call->deadline_ns != UINT64_MAX && !rpc_timer_arm(client->loop, &call->deadline, call->deadline_ns))
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    else if (client->state == CLIENT_CLOSED)
        call_fail(call, GRPC_UNAVAILABLE, client->reason);
    else if (!try_start(client, call))
        call_fail(call, GRPC_UNAVAILABLE, "the connection takes no more calls");
}

/* The short way on the loop's own thread. */
static bool start_at_once(struct rpc_client *client, struct rpc_call *call) {
    if (!loop_is_current(client->loop)) return false;
    if (call->deadline_ns != UINT64_MAX && !rpc_timer_arm(client->loop, &call->deadline, call->deadline_ns))
        return false;
    return try_start(client, call);
}

/* Everything that needs no loop: what to send, and until when to wait. */
static bool prepare_call(struct rpc_call *call, const struct rpc_call_options *options) {
    bool done =
        buffer_append(&call->path, options->path, strlen(options->path)) && call_state_init(call, options->state_bytes);
    for (size_t i = 0; done && i < options->metadata_count; i++)
        done = !metadata_add_to_send(&call->initial, options->metadata[i].name, options->metadata[i].value);
    if (done && options->has_request) done = call_queue_message(call, options->request);
    return done;
}

static void set_deadline(struct rpc_call *call, uint64_t timeout_ms) {
    if (timeout_ms == 0) return;
    uint64_t now_ns = env_monotonic_ns(call->loop->env);
    uint64_t timeout_ns = timeout_ms > UINT64_MAX / 4000000 ? UINT64_MAX / 4 : timeout_ms * 1000000;
    call->received.timeout_ns = timeout_ns;
    call->deadline_ns = now_ns + timeout_ns;
}

struct rpc_call *rpc_client_call(struct rpc_client *client, const struct rpc_call_options *options) {
    struct rpc_call *call = call_create(client->loop, false);
    if (!call) return NULL;
    call->ops = options->ops;
    call->kind = options->kind;
    call->user_data = options->user_data;
    call->gzip_out = options->gzip;
    call->start = client_start_call;
    call->start_context = client;
    if (!prepare_call(call, options)) {
        call->known = false; /* the application never had it: no callbacks */
        rpc_call_unref(call);
        return NULL;
    }
    call->known = true;
    call->output_ended = options->has_request;
    set_deadline(call, options->timeout_ms);
    rpc_call_ref(call); /* the caller's */
    if (!start_at_once(client, call)) call_chore(call, CALL_CHORE_START);
    return call;
}

/* ---- the blocking call ---- */

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool is_ended;
    bool has_no_memory;
    enum grpc_status code;
    struct buffer *response;
    struct plinth_error *error;
};

static void waiter_on_message(struct rpc_call *call, struct slice message) {
    struct waiter *waiter = rpc_call_user_data(call);
    buffer_clear(waiter->response);
    if (!buffer_append(waiter->response, message.data, message.size)) waiter->has_no_memory = true;
}

static void waiter_end(struct waiter *waiter, enum grpc_status code, struct slice message) {
    if (code == GRPC_OK && waiter->has_no_memory) {
        code = GRPC_RESOURCE_EXHAUSTED;
        message = slice_of_string("out of memory for the answer");
    }
    waiter->code = code;
    if (code != GRPC_OK)
        error_set(waiter->error, grpc_status_to_plinth(code), "%.*s", (int)message.size,
                  message.size ? (const char *)message.data : "");
}

static void waiter_on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct waiter *waiter = rpc_call_user_data(call);
    pthread_mutex_lock(&waiter->mutex);
    waiter_end(waiter, code, message);
    waiter->is_ended = true;
    pthread_cond_signal(&waiter->ended);
    pthread_mutex_unlock(&waiter->mutex);
}

static const struct rpc_call_ops waiter_ops = {.on_message = waiter_on_message, .on_status = waiter_on_status};

enum grpc_status rpc_client_unary_metadata(struct rpc_client *client, const char *path, struct slice request,
                                           const struct rpc_metadata *metadata, size_t metadata_count,
                                           uint64_t timeout_ms, struct buffer *response, struct plinth_error *error) {
    assert(!loop_is_current(client->loop));
    struct waiter waiter = {.response = response, .error = error};
    buffer_clear(response);
    error_clear(error);
    struct rpc_call_options options = {
        .path = path,
        .kind = RPC_UNARY,
        .ops = &waiter_ops,
        .user_data = &waiter,
        .timeout_ms = timeout_ms,
        .metadata = metadata,
        .metadata_count = metadata_count,
        .has_request = true,
        .request = request,
    };
    pthread_mutex_init(&waiter.mutex, NULL);
    condition_init(&waiter.ended);
    struct rpc_call *call = rpc_client_call(client, &options);
    if (call) {
        pthread_mutex_lock(&waiter.mutex);
        while (!waiter.is_ended) pthread_cond_wait(&waiter.ended, &waiter.mutex);
        pthread_mutex_unlock(&waiter.mutex);
        rpc_call_unref(call);
    } else {
        waiter_end(&waiter, GRPC_INVALID_ARGUMENT, slice_of_string("metadata that cannot be sent, or out of memory"));
    }
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.mutex);
    return waiter.code;
}

enum grpc_status rpc_client_unary(struct rpc_client *client, const char *path, struct slice request,
                                  uint64_t timeout_ms, struct buffer *response, struct plinth_error *error) {
    return rpc_client_unary_metadata(client, path, request, NULL, 0, timeout_ms, response, error);
}
