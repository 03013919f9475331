#include "service/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"

enum { CONNECTIONS_MAX = 64, IDLE_SECONDS = 30, BACKLOG = 64 };

struct http {
    struct MHD_Daemon *daemon;
    http_page *page;
    void *context;
    uint16_t port;
};

/* ---- listening ---- */

/* Splits "host:port" and "[v6]:port". */
static enum plinth_status resolve(const char *listen_at, struct addrinfo **found, struct plinth_error *error) {
    char host[256];
    const char *colon = strrchr(listen_at, ':');
    size_t host_size = colon ? (size_t)(colon - listen_at) : 0;
    if (!colon || !host_size || host_size >= sizeof host || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strtoul(colon + 1, NULL, 10) > 65535)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: not an address of the form host:port", listen_at);
    bool bracketed = listen_at[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(host_size - (bracketed ? 2 : 0)), listen_at + (bracketed ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int failure = getaddrinfo(host, colon + 1, &hints, found);
    if (failure) return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: %s", listen_at, gai_strerror(failure));
    return PLINTH_OK;
}

static enum plinth_status open_socket(const char *listen_at, int *fd, uint16_t *port, struct plinth_error *error) {
    struct addrinfo *addresses;
    *fd = -1;
    enum plinth_status st = resolve(listen_at, &addresses, error);
    if (st) return st;
    const int on = 1;
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    int made = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(made, addresses->ai_addr, addresses->ai_addrlen) || listen(made, BACKLOG) ||
        getsockname(made, (struct sockaddr *)&bound, &bound_size)) {
        char reason[128];
        const char *text = errno == EADDRINUSE ? "the port is in use" : strerror_r(errno, reason, sizeof reason);
        st = error_set(error, PLINTH_UNAVAILABLE, "cannot listen on %s: %s", listen_at, text);
        if (made >= 0) close(made);
    } else {
        *fd = made;
        *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)&bound)->sin_port);
    }
    freeaddrinfo(addresses);
    return st;
}

/* ---- answering ---- */

static enum MHD_Result send_page(struct MHD_Connection *connection, unsigned code, struct buffer *body,
                                 const char *content_type) {
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body->size, body->data, body->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        buffer_deinit(body);
        return MHD_NO;
    }
    *body = (struct buffer)BUFFER_INIT; /* the response owns it */
    enum MHD_Result result = MHD_add_response_header(response, "Content-Type", content_type);
    if (result == MHD_YES) result = MHD_add_response_header(response, "Cache-Control", "no-store");
    if (result == MHD_YES) result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload_data, size_t *upload_data_size,
                                  void **connection_context) {
    (void)version;
    (void)upload_data;
    struct http *http = context;
    static int seen;
    if (!*connection_context) { /* the headers are in; the answer goes out when the body, if any, is over */
        *connection_context = &seen;
        return MHD_YES;
    }
    if (*upload_data_size) {
        *upload_data_size = 0;
        return MHD_YES;
    }
    struct buffer body = BUFFER_INIT;
    const char *content_type = "text/plain; charset=utf-8";
    unsigned code = MHD_HTTP_METHOD_NOT_ALLOWED;
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
        code = http->page(http->context, url, &body, &content_type);
    return send_page(connection, code, &body, content_type);
}

/* ---- life ---- */

enum plinth_status http_start(const char *listen_at, http_page *page, void *context, struct http **http,
                              struct plinth_error *error) {
    *http = NULL;
    int fd;
    struct http *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "HTTP server");
    *made = (struct http){.page = page, .context = context};
    enum plinth_status st = open_socket(listen_at, &fd, &made->port, error);
    if (st) {
        free(made);
        return st;
    }
    made->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, on_request, made,
                         MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (!made->daemon) {
        close(fd);
        free(made);
        return error_set(error, PLINTH_UNAVAILABLE, "cannot start the HTTP server on %s", listen_at);
    }
    *http = made;
    return PLINTH_OK;
}

uint16_t http_port(const struct http *http) { return http->port; }

void http_stop(struct http *http) {
    if (!http) return;
    MHD_stop_daemon(http->daemon); /* closes the socket */
    free(http);
}
