/* The server: listening sockets, the loops, and which connection goes where. */
#include "rpc/server.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log_event.h"
#include "base/status.h"
#include "base/thread.h"
#include "rpc/address.h"
#include "rpc/byte_stream.h"
#include "rpc/method_table.h"
#include "rpc/session_private.h"

enum { ACCEPT_BURST_MAX = 64, ACCEPT_RETRY_MS = 100, LISTEN_BACKLOG = 1024 };

/* A listening socket; belongs to the first loop. */
struct listener {
    struct loop_watch watch;
    struct rpc_timer retry; /* armed while accepting rests for want of descriptors */
    struct rpc_server *server;
    int fd; /* -1: closed */
    uint16_t port;
};

/* A server's part of one loop. */
struct server_loop {
    struct rpc_server *server;
    struct rpc_loop *loop;
    bool started;
    struct rpc_task drain_task;
    struct rpc_task stop_task;
    atomic_uint assigned; /* connections given to this loop; chosen by the first loop */
    /* the loop's own */
    struct session *sessions;
    bool draining;
};

/* A connection on its way from the accepting loop to its own. */
struct accepted {
    struct rpc_task task;
    struct server_loop *to;
    int fd;
};

struct rpc_server {
    struct session_limits limits;
    struct method_table methods;
    const struct byte_stream_ops *stream_ops;
    uint32_t connections_max;
    struct listener *listeners;
    size_t listener_count;
    struct server_loop *loops;
    unsigned loop_count;
    atomic_bool drain_asked;
    atomic_uint_fast64_t refused;
    pthread_mutex_t mutex; /* guards the next three */
    pthread_cond_t drained;
    size_t open; /* connections accepted and not yet closed */
    unsigned loops_draining;
};

/* ---- connections ---- */

static void count_closed(struct server_loop *at) {
    struct rpc_server *server = at->server;
    atomic_fetch_sub_explicit(&at->assigned, 1, memory_order_relaxed);
    pthread_mutex_lock(&server->mutex);
    if (--server->open == 0) pthread_cond_broadcast(&server->drained);
    pthread_mutex_unlock(&server->mutex);
}

static const struct rpc_method *server_find_method(void *owner, struct slice path) {
    struct server_loop *at = owner;
    return method_table_find(&at->server->methods, path);
}

static void server_session_closed(void *owner, struct session *session, const char *reason) {
    struct server_loop *at = owner;
    log_event(LOG_DEBUG, "rpc_connection_closed", "peer=%s reason=\"%s\"", session->peer, reason);
    if (session->previous)
        session->previous->next = session->next;
    else
        at->sessions = session->next;
    if (session->next) session->next->previous = session->previous;
    count_closed(at);
}

static const struct session_owner_ops server_owner_ops = {server_find_method, server_session_closed};

/* On the connection's own loop. Takes the descriptor over. */
static void open_connection(struct server_loop *at, int fd) {
    struct plinth_error error;
    struct session *session = NULL;
    struct byte_stream *stream = NULL;
    enum plinth_status status = PLINTH_OK;
    error_clear(&error);
    if (at->draining) status = error_set(&error, PLINTH_UNAVAILABLE, "the server is shutting down");
    if (!status) status = session_create(at->loop, true, &at->server->limits, &server_owner_ops, at, &session, &error);
    if (status) goto done;
    stream = at->server->stream_ops->create(at->server->stream_ops, fd, true);
    if (!stream) {
        status = error_no_memory(&error, "connection");
        goto done;
    }
    fd = -1;
    status = session_attach(session, stream, &error);
    if (status) goto done;
    session->next = at->sessions;
    if (at->sessions) at->sessions->previous = session;
    at->sessions = session;
done:
    if (!status) return;
    log_event(LOG_INFO, "rpc_connection_refused", "reason=\"%s\"", error.text);
    if (stream) stream->ops->destroy(stream);
    if (fd >= 0) close(fd);
    session_discard(session);
    count_closed(at);
}

static void accepted_run(struct rpc_task *task) {
    struct accepted *accepted = (struct accepted *)task;
    open_connection(accepted->to, accepted->fd);
    free(accepted);
}

static struct server_loop *least_loaded(struct rpc_server *server) {
    struct server_loop *best = &server->loops[0];
    for (unsigned i = 1; i < server->loop_count; i++)
        if (atomic_load_explicit(&server->loops[i].assigned, memory_order_relaxed) <
            atomic_load_explicit(&best->assigned, memory_order_relaxed))
            best = &server->loops[i];
    return best;
}

static bool count_opened(struct rpc_server *server) {
    pthread_mutex_lock(&server->mutex);
    bool fits = server->open < server->connections_max;
    if (fits) server->open++;
    pthread_mutex_unlock(&server->mutex);
    return fits;
}

static void assign_connection(struct rpc_server *server, int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!count_opened(server)) {
        atomic_fetch_add_explicit(&server->refused, 1, memory_order_relaxed);
        close(fd);
        return;
    }
    struct server_loop *at = least_loaded(server);
    atomic_fetch_add_explicit(&at->assigned, 1, memory_order_relaxed);
    struct accepted *accepted = loop_is_current(at->loop) ? NULL : malloc(sizeof *accepted);
    if (loop_is_current(at->loop)) {
        open_connection(at, fd);
    } else if (accepted) {
        *accepted = (struct accepted){{NULL, accepted_run}, at, fd};
        rpc_loop_post(at->loop, &accepted->task);
    } else {
        close(fd);
        count_closed(at);
    }
}

/* ---- listening ---- */

static struct rpc_loop *accept_loop(const struct rpc_server *server) { return server->loops[0].loop; }

static void listener_retry(struct rpc_timer *timer) {
    struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, retry));
    loop_watch_change(accept_loop(listener->server), listener->fd, &listener->watch, EPOLLIN);
}

/* No descriptors or memory for another connection: rest a little instead of spinning on the ready socket. */
static void listener_rest(struct listener *listener, int error_number) {
    struct rpc_loop *loop = accept_loop(listener->server);
    log_event(LOG_WARN, "rpc_accept_failed", "port=%u error=\"%s\"", listener->port, strerror(error_number));
    if (rpc_timer_arm(loop, &listener->retry, loop->now_ns + ACCEPT_RETRY_MS * UINT64_C(1000000)))
        loop_watch_change(loop, listener->fd, &listener->watch, 0);
}

static void listener_on_event(struct loop_watch *watch, uint32_t epoll_events) {
    (void)epoll_events;
    struct listener *listener = (struct listener *)watch;
    for (int i = 0; i < ACCEPT_BURST_MAX && listener->fd >= 0; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            assign_connection(listener->server, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) listener_rest(listener, errno);
        if (errno != EINTR && errno != ECONNABORTED) return;
    }
}

/* On the first loop, or before it runs. */
static void listener_close(struct listener *listener) {
    if (listener->fd < 0) return;
    struct rpc_loop *loop = accept_loop(listener->server);
    rpc_timer_disarm(loop, &listener->retry);
    loop_watch_remove(loop, listener->fd);
    close(listener->fd);
    listener->fd = -1;
    loop->residents--;
}

static enum plinth_status bind_socket(const struct addrinfo *address, int *fd) {
    int on = 1, off = 0;
    *fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) return PLINTH_UNAVAILABLE;
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6) setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(*fd, address->ai_addr, address->ai_addrlen) || listen(*fd, LISTEN_BACKLOG)) return PLINTH_UNAVAILABLE;
    return PLINTH_OK;
}

static uint16_t bound_port(int fd) {
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size)) return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static enum plinth_status listener_open(struct listener *listener, const char *text, struct plinth_error *error) {
    struct addrinfo *addresses;
    int fd = -1;
    enum plinth_status status = address_resolve(text, true, &addresses, error);
    if (status) return status;
    status = bind_socket(addresses, &fd);
    if (status) {
        int error_number = errno;
        error_set(error, status, "cannot listen on %s: %s", text, strerror(error_number));
        goto done;
    }
    listener->port = bound_port(fd);
    listener->watch.on_event = listener_on_event;
    listener->retry.run = listener_retry;
    status = loop_watch_add(accept_loop(listener->server), fd, &listener->watch, EPOLLIN, error);
    if (status) goto done;
    listener->fd = fd;
    accept_loop(listener->server)->residents++;
    fd = -1;
done:
    if (fd >= 0) close(fd);
    freeaddrinfo(addresses);
    return status;
}

/* ---- drain and stop, on each loop ---- */

static void close_listeners(struct server_loop *at) {
    if (at != at->server->loops) return;
    for (size_t i = 0; i < at->server->listener_count; i++) listener_close(&at->server->listeners[i]);
}

static void drain_run(struct rpc_task *task) {
    struct server_loop *at = (struct server_loop *)((char *)task - offsetof(struct server_loop, drain_task));
    close_listeners(at);
    at->draining = true;
    for (struct session *session = at->sessions; session; session = session->next)
        if (session->drain == SESSION_OPEN) session_drain(session);
    pthread_mutex_lock(&at->server->mutex);
    at->server->loops_draining++;
    pthread_cond_broadcast(&at->server->drained);
    pthread_mutex_unlock(&at->server->mutex);
}

static void stop_run(struct rpc_task *task) {
    struct server_loop *at = (struct server_loop *)((char *)task - offsetof(struct server_loop, stop_task));
    close_listeners(at);
    at->draining = true;
    while (at->sessions) session_close(at->sessions, GRPC_UNAVAILABLE, "the server is shutting down");
}

void rpc_server_drain(struct rpc_server *server) {
    if (atomic_exchange_explicit(&server->drain_asked, true, memory_order_acq_rel)) return;
    for (unsigned i = 0; i < server->loop_count; i++)
        rpc_loop_post(server->loops[i].loop, &server->loops[i].drain_task);
}

bool rpc_server_wait(struct rpc_server *server, uint64_t timeout_ms) {
    struct env *env = accept_loop(server)->env;
    uint64_t start_ns = env_monotonic_ns(env);
    uint64_t timeout_ns = timeout_ms > UINT64_MAX / 2000000 ? UINT64_MAX / 2 : timeout_ms * 1000000;
    pthread_mutex_lock(&server->mutex);
    for (;;) {
        uint64_t passed_ns = env_monotonic_ns(env) - start_ns;
        if ((server->open == 0 && server->loops_draining == server->loop_count) || passed_ns >= timeout_ns) break;
        uint64_t left_us = (timeout_ns - passed_ns) / 1000 + 1;
        condition_wait_us(&server->drained, &server->mutex, left_us < 1000000 ? left_us : 1000000);
    }
    bool is_drained = server->open == 0 && server->loops_draining == server->loop_count;
    pthread_mutex_unlock(&server->mutex);
    return is_drained;
}

/* ---- creation ---- */

static uint64_t ms_or(uint64_t ms, uint64_t otherwise_ms) {
    if (ms == 0) ms = otherwise_ms;
    return ms > UINT64_MAX / 1000000 ? UINT64_MAX : ms * 1000000;
}

static void limits_init(struct session_limits *limits, const struct rpc_server_options *options) {
    *limits = (struct session_limits){
        .message_bytes_max = options->message_bytes_max ? options->message_bytes_max : 4 * 1024 * 1024 + 64 * 1024,
        .metadata_bytes_max = options->metadata_bytes_max ? options->metadata_bytes_max : 16 * 1024,
        .held_bytes_max = options->connection_bytes_max ? options->connection_bytes_max : 128 * 1024 * 1024,
        .concurrent_streams_max = options->concurrent_streams_max ? options->concurrent_streams_max : 256,
        .stream_window_bytes = options->stream_window_bytes ? options->stream_window_bytes : 256 * 1024,
        .connection_window_bytes =
            options->connection_window_bytes ? options->connection_window_bytes : 16 * 1024 * 1024,
        .resets_burst_max = options->resets_burst_max ? options->resets_burst_max : 1000,
        .resets_per_second_max = options->resets_per_second_max ? options->resets_per_second_max : 100,
        .keepalive_ns = ms_or(options->keepalive_ms, 60 * 1000),
        .keepalive_timeout_ns = ms_or(options->keepalive_timeout_ms, 20 * 1000),
        .ping_interval_min_ns = ms_or(options->ping_interval_min_ms, 5 * 1000),
        .idle_ns = ms_or(options->idle_ms, 30 * 60 * 1000),
        .age_ns = ms_or(options->age_ms, UINT64_MAX),
        .drain_ns = ms_or(options->drain_ms, 30 * 1000),
    };
}

static unsigned usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

static enum plinth_status create_loops(struct rpc_server *server, const struct rpc_server_options *options,
                                       struct plinth_error *error) {
    for (unsigned i = 0; i < server->loop_count; i++) {
        struct server_loop *at = &server->loops[i];
        struct rpc_loop_options loop_options = {.env = options->env, .index = i, .hooks = options->hooks};
        at->server = server;
        at->drain_task.run = drain_run;
        at->stop_task.run = stop_run;
        enum plinth_status status = loop_create(&loop_options, &at->loop, error);
        if (status) return status;
    }
    return PLINTH_OK;
}

static enum plinth_status open_listeners(struct rpc_server *server, const struct rpc_server_options *options,
                                         struct plinth_error *error) {
    for (size_t i = 0; i < options->address_count; i++) {
        struct listener *listener = &server->listeners[server->listener_count++];
        *listener = (struct listener){.server = server, .fd = -1};
        enum plinth_status status = listener_open(listener, options->addresses[i], error);
        if (status) return status;
    }
    return PLINTH_OK;
}

static enum plinth_status start_loops(struct rpc_server *server, struct plinth_error *error) {
    for (unsigned i = server->loop_count; i-- > 0;) { /* the accepting loop last: the others must be there */
        char name[16];
        snprintf(name, sizeof name, "rpc-%u", i);
        enum plinth_status status = loop_start(server->loops[i].loop, name, error);
        if (status) return status;
        server->loops[i].started = true;
    }
    return PLINTH_OK;
}

enum plinth_status rpc_server_create(const struct rpc_server_options *options, struct rpc_server **server,
                                     struct plinth_error *error) {
    enum plinth_status status = PLINTH_OK;
    *server = NULL;
    struct rpc_server *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "server");
    pthread_mutex_init(&made->mutex, NULL);
    condition_init(&made->drained);
    limits_init(&made->limits, options);
    made->stream_ops = options->stream_ops ? options->stream_ops : &byte_stream_socket_ops;
    made->connections_max = options->connections_max ? options->connections_max : 10000;
    made->loop_count = options->loops ? options->loops : usable_cpus();
    made->loops = calloc(made->loop_count, sizeof *made->loops);
    made->listeners = calloc(options->address_count ? options->address_count : 1, sizeof *made->listeners);
    status = !made->loops || !made->listeners ? error_no_memory(error, "server")
             : options->address_count == 0
                 ? error_set(error, PLINTH_INVALID_ARGUMENT, "no address to listen on")
                 : method_table_init(&made->methods, options->methods, options->method_count, error);
    if (!status) status = create_loops(made, options, error);
    if (!status) status = open_listeners(made, options, error);
    if (!status) status = start_loops(made, error);
    if (status)
        rpc_server_destroy(made);
    else
        *server = made;
    return status;
}

void rpc_server_destroy(struct rpc_server *server) {
    if (!server) return;
    assert(!rpc_loop_current());
    bool accepts = server->loops && server->loops[0].started;
    if (!accepts)
        for (size_t i = 0; i < server->listener_count; i++) listener_close(&server->listeners[i]);
    for (unsigned i = 0; server->loops && i < server->loop_count; i++)
        if (server->loops[i].started) rpc_loop_post(server->loops[i].loop, &server->loops[i].stop_task);
    /* the accepting loop first: after it nobody hands connections to the others */
    for (unsigned i = 0; server->loops && i < server->loop_count; i++)
        loop_destroy(server->loops[i].loop, server->loops[i].started);
    free(server->loops);
    free(server->listeners);
    method_table_deinit(&server->methods);
    pthread_cond_destroy(&server->drained);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

/* ---- questions ---- */

uint16_t rpc_server_port(const struct rpc_server *server, size_t i) {
    return i < server->listener_count ? server->listeners[i].port : 0;
}
unsigned rpc_server_loop_count(const struct rpc_server *server) { return server->loop_count; }
struct rpc_loop *rpc_server_loop(const struct rpc_server *server, unsigned i) {
    return server->loops[i].loop;
}

void rpc_server_wake_all(struct rpc_server *server) {
    for (unsigned i = 0; i < server->loop_count; i++) rpc_loop_wake(server->loops[i].loop);
}

static uint64_t counted(const atomic_uint_fast64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void rpc_server_stats(const struct rpc_server *server, struct rpc_server_stats *stats) {
    *stats = (struct rpc_server_stats){.connections_refused = counted(&server->refused)};
    for (unsigned i = 0; i < server->loop_count; i++) {
        const struct loop_counters *counters = &server->loops[i].loop->counters;
        stats->connections += counted(&counters->connections);
        stats->connections_total += counted(&counters->connections_total);
        stats->calls += counted(&counters->calls);
        stats->calls_total += counted(&counters->calls_total);
        stats->calls_cancelled += counted(&counters->calls_cancelled);
        stats->bytes_received += counted(&counters->bytes_received);
        stats->bytes_sent += counted(&counters->bytes_sent);
    }
}
