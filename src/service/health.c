/* grpc.health.v1: whether the server as a whole (the empty name) and each service takes calls.
 *
 * Watch calls are kept in a list of their loop. Whoever changes what health depends on wakes the loops
 * (health_changed); each then compares and tells its watchers. A server that stops tells NOT_SERVING and ends the
 * watches, so that they do not hold up the drain. */
#include <stdlib.h>

#include "base/status.h"
#include "grpc/health/v1/health.pb-c.h"
#include "service/methods.h"
#include "service/service_private.h"

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

/* What a name that clients ask about stands for. */
enum subject { SUBJECT_UNKNOWN, SUBJECT_WRITES, SUBJECT_CALLS };

static enum subject subject_of(const char *service_name) {
    if (!*service_name || strcmp(service_name, "plinth.v1.KeyValue") == 0) return SUBJECT_WRITES;
    if (strcmp(service_name, "plinth.v1.Admin") == 0 || strcmp(service_name, "plinth.v1.Processor") == 0)
        return SUBJECT_CALLS;
    return SUBJECT_UNKNOWN;
}

static serving_status status_of(struct service *service, enum subject subject) {
    if (subject == SUBJECT_UNKNOWN) return SERVICE_UNKNOWN;
    bool serving = atomic_load(&service->state) == SERVICE_READY;
    if (subject == SUBJECT_WRITES) serving = serving && atomic_load(&service->writable);
    return serving ? SERVING : NOT_SERVING;
}

static enum plinth_status subject_asked(struct service_call *call, struct slice message, enum subject *subject,
                                        struct plinth_error *error) {
    Grpc__Health__V1__HealthCheckRequest *request;
    enum plinth_status st = request_unpack(&grpc__health__v1__health_check_request__descriptor, message,
                                           &call->loop->arena, &request, error);
    if (!st) *subject = subject_of(request->service);
    arena_reset(&call->loop->arena);
    return st;
}

/* ---- Check ---- */

static void check_on_message(struct service_call *call, struct slice message) {
    enum subject subject;
    struct plinth_error error;
    enum plinth_status st = subject_asked(call, message, &subject, &error);
    if (!st && subject == SUBJECT_UNKNOWN)
        st = error_set(&error, PLINTH_NOT_FOUND, "this server has no service of that name");
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status_of(call->service, subject);
    service_answer_message(call, &response.base);
}

/* ---- Watch ---- */

/* On the list of its loop, with a reference to its call. */
struct watcher {
    struct watcher *next;
    struct watcher **link; /* what points to this one */
    struct service_call *call;
    enum subject subject;
    serving_status told;
};

static void tell(struct watcher *watcher, serving_status status) {
    uint8_t message[2] = {1 << 3, (uint8_t)status};
    watcher->told = status;
    (void)rpc_call_send(watcher->call->rpc, slice_of(message, status ? sizeof message : 0));
}

static void unlink_watcher(struct watcher *watcher) {
    *watcher->link = watcher->next;
    if (watcher->next) watcher->next->link = watcher->link;
    struct service_call *call = watcher->call;
    call->state = NULL;
    free(watcher);
    rpc_call_unref(call->rpc);
}

static void watch_on_message(struct service_call *call, struct slice message) {
    enum subject subject;
    struct plinth_error error;
    enum plinth_status st = subject_asked(call, message, &subject, &error);
    struct watcher *watcher = st ? NULL : malloc(sizeof *watcher);
    if (!st && !watcher) st = error_no_memory(&error, "health watch");
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    struct service_loop *loop = call->loop;
    *watcher = (struct watcher){.next = loop->watchers, .link = &loop->watchers, .call = call, .subject = subject};
    if (watcher->next) watcher->next->link = &watcher->next;
    loop->watchers = watcher;
    call->state = watcher;
    rpc_call_ref(call->rpc);
    tell(watcher, status_of(call->service, subject));
    health_on_wake(loop); /* the server may be stopping already */
}

static void watch_on_cancel(struct service_call *call) {
    if (call->state) unlink_watcher(call->state);
}

void health_on_wake(struct service_loop *loop) {
    bool stopping = atomic_load(&loop->service->state) == SERVICE_STOPPING;
    for (struct watcher *watcher = loop->watchers, *next; watcher; watcher = next) {
        next = watcher->next;
        serving_status status = status_of(loop->service, watcher->subject);
        if (status != watcher->told) tell(watcher, status);
        if (!stopping) continue;
        service_finish_text(watcher->call, PLINTH_UNAVAILABLE, "the server is stopping");
        unlink_watcher(watcher);
    }
}

void health_changed(struct service *service) {
    struct rpc_server *rpc = atomic_load(&service->rpc);
    if (rpc) rpc_server_wake_all(rpc);
}

const struct service_method health_check = {"/grpc.health.v1.Health/Check", RPC_UNARY, .on_message = check_on_message};
const struct service_method health_watch = {"/grpc.health.v1.Health/Watch", RPC_SERVER_STREAM,
                                            .on_message = watch_on_message, .on_cancel = watch_on_cancel};
