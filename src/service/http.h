/* The server's pages for machines that watch it, over HTTP/1.1 (libmicrohttpd, a thread of its own):
 *
 *     /healthz   200 as long as the process answers
 *     /readyz    200 when calls and writes are taken, else 503; JSON with the reason
 *     /metrics   Prometheus text
 *
 * The pages come from a callback, so that this file knows HTTP only. */
#ifndef PLINTH_SERVICE_HTTP_H
#define PLINTH_SERVICE_HTTP_H

#include <stdint.h>

#include "base/bytes.h"

struct http;

/* Fills `body` (empty before) for `path` and names its type; returns the HTTP status, 404 for a path that is none. On
 * the thread of the HTTP server. */
typedef unsigned http_page(void *context, const char *path, struct buffer *body, const char **content_type);

/* Listens on "address:port". PLINTH_INVALID_ARGUMENT for a malformed address, PLINTH_UNAVAILABLE when it is in use. */
PLINTH_MUST_CHECK enum plinth_status http_start(const char *listen, http_page *page, void *context, struct http **http,
                                                struct plinth_error *error);
uint16_t http_port(const struct http *http);
/* Null is allowed. */
void http_stop(struct http *http);

#endif
