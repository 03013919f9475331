/* The server: one engine, its gRPC services and its HTTP pages.
 *
 * service_start → (serving) → service_drain → service_stop. */
#ifndef PLINTH_SERVICE_SERVICE_H
#define PLINTH_SERVICE_SERVICE_H

#include <stdint.h>

#include "base/env.h"
#include "plinth.h"

struct service;

struct service_options {
    const char *data_directory;   /* borrowed until service_stop, as all strings here */
    const char *listen;           /* "address:port" for gRPC; port 0: any */
    const char *http_listen;      /* the same for /healthz, /readyz and /metrics */
    unsigned loops;               /* 0: one a CPU */
    unsigned workers;             /* 0: SERVICE_WORKERS_DEFAULT */
    uint32_t drain_timeout_ms;    /* how long service_drain lets calls finish */
    struct plinth_options engine; /* handed to plinth_open */
    struct env *env;              /* null: env_posix() */
};

enum { SERVICE_WORKERS_DEFAULT = 16 };

/* Answers /healthz at once, opens the engine (which may replay a long log), then serves. PLINTH_UNAVAILABLE for an
 * address that cannot be had, PLINTH_INVALID_ARGUMENT for a malformed one, and everything that plinth_open says. */
PLINTH_MUST_CHECK enum plinth_status service_start(const struct service_options *options, struct service **service,
                                                   struct plinth_error *error);
uint16_t service_grpc_port(const struct service *service);
uint16_t service_http_port(const struct service *service);
/* Health says NOT_SERVING and /readyz 503, no new calls are taken, those in flight go on for at most
 * drain_timeout_ms. Returns when they are done or cancelled. */
void service_drain(struct service *service);
/* Stops everything, closes the engine cleanly and frees. Null is allowed. */
void service_stop(struct service *service);

#endif
