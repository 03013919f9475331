/* The life of the server: what is started in which order, and stopped in the reverse one.
 *
 *     start:  HTTP (so that /healthz answers while a long log is replayed) → engine → workers → gRPC → READY
 *     drain:  STOPPING → watchers told → gRPC drains
 *     stop:   gRPC (waits for every call, parked writes and scans included) → workers → listener, snapshots → engine */
#include "service/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log_event.h"
#include "base/status.h"
#include "service/http.h"
#include "service/methods.h"
#include "service/service_private.h"

extern const unsigned char plinth_api_descriptors[];
extern const unsigned long plinth_api_descriptors_bytes;

enum { ADMIN_WORKERS = 2, KEEPER_PERIOD_US = 500000, LISTEN_BACKSTOP_MS = 5000 };

/* ---- hooks of the loops ---- */

static void on_loop_start(struct rpc_loop *rpc, void *context) {
    struct service *service = context;
    struct service_loop *loop = &service->loops[rpc_loop_index(rpc)];
    loop->rpc = rpc;
    rpc_loop_set_user_data(rpc, loop);
}

static void on_loop_wake(struct rpc_loop *rpc, void *context) {
    (void)context;
    struct service_loop *loop = rpc_loop_user_data(rpc);
    write_on_wake(loop);
    health_on_wake(loop);
    ingest_on_wake(loop);
    changes_on_wake(loop);
}

/* ---- readiness ---- */

bool service_is_ready(struct service *service, char *reason, size_t reason_size) {
    struct plinth_error error;
    reason[0] = '\0';
    switch ((enum service_state)atomic_load(&service->state)) {
    case SERVICE_STARTING: snprintf(reason, reason_size, "starting: the engine is being opened"); return false;
    case SERVICE_STOPPING: snprintf(reason, reason_size, "stopping"); return false;
    case SERVICE_READY: break;
    }
    error_clear(&error);
    if (plinth_log_status(service->db, &error)) {
        snprintf(reason, reason_size, "no writes: %s", error.text);
        return false;
    }
    /* What heals by itself is told, but calls are taken: reads are answered, and a write learns its own fate. */
    if (plinth_health(service->db, &error)) snprintf(reason, reason_size, "%s", error.text);
    return true;
}

/* ---- the keeper: once in a while looks at what nobody tells us ---- */

static void keep(struct service *service) {
    snapshot_table_expire(&service->snapshots);
    struct plinth_error error;
    bool writable = plinth_log_status(service->db, &error) == PLINTH_OK;
    if (atomic_exchange(&service->writable, writable) == writable) return;
    if (!writable) log_event(LOG_ERROR, "writes_stopped", "reason=\"%s\"", error.text);
    health_changed(service);
}

static void *keeper_run(void *argument) {
    struct service *service = argument;
    pthread_mutex_lock(&service->keeper_mutex);
    while (!service->keeper_stop) {
        (void)condition_wait_us(&service->keeper_wake, &service->keeper_mutex, KEEPER_PERIOD_US);
        if (service->keeper_stop) break;
        pthread_mutex_unlock(&service->keeper_mutex);
        keep(service);
        pthread_mutex_lock(&service->keeper_mutex);
    }
    pthread_mutex_unlock(&service->keeper_mutex);
    return NULL;
}

static void keeper_end(struct service *service) {
    if (!service->keeper_running) return;
    pthread_mutex_lock(&service->keeper_mutex);
    service->keeper_stop = true;
    pthread_cond_signal(&service->keeper_wake);
    pthread_mutex_unlock(&service->keeper_mutex);
    pthread_join(service->keeper, NULL);
    service->keeper_running = false;
}

/* ---- starting ---- */

static unsigned cpus(void) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

static struct service *service_new(const struct service_options *options) {
    struct service *service = calloc(1, sizeof *service);
    if (!service) return NULL;
    service->env = options->env ? options->env : env_posix();
    service->options = *options;
    service->durability = options->engine.durability ? options->engine.durability : PLINTH_DURABILITY_SYNCED;
    service->loop_count = options->loops ? options->loops : cpus();
    service->method_count = service_method_count;
    service->started_ns = env_monotonic_ns(service->env);
    atomic_init(&service->state, SERVICE_STARTING);
    atomic_init(&service->writable, true);
    snapshot_table_init(&service->snapshots, service->env);
    pthread_mutex_init(&service->keeper_mutex, NULL);
    condition_init(&service->keeper_wake);
    return service;
}

static enum plinth_status make_tables(struct service *service, struct plinth_error *error) {
    service->rpc_methods = calloc(service->method_count, sizeof *service->rpc_methods);
    service->rights = calloc(service->method_count, sizeof *service->rights);
    service->loops = calloc(service->loop_count, sizeof *service->loops);
    if (!service->rpc_methods || !service->rights || !service->loops) return error_no_memory(error, "method tables");
    for (unsigned i = 0; i < service->method_count; i++) {
        const struct service_method *method = service_methods[i];
        service->rights[i] = access_right_of(method->path);
        service->rpc_methods[i] = (struct rpc_method){.path = method->path,
                                                      .kind = method->kind,
                                                      .ops = &service_ops,
                                                      .user_data = (void *)method,
                                                      .state_bytes = sizeof(struct service_call),
                                                      .message_bytes_max = method->message_bytes_max};
    }
    for (unsigned i = 0; i < service->loop_count; i++) {
        struct service_loop *loop = &service->loops[i];
        loop->service = service;
        loop->index = i;
        arena_init(&loop->arena);
        pthread_mutex_init(&loop->mutex, NULL);
    }
    enum plinth_status st = metrics_init(&service->metrics, service->loop_count, service->method_count, error);
    if (st) return st;
    return descriptor_index_init(&service->descriptors, slice_of(plinth_api_descriptors, plinth_api_descriptors_bytes),
                                 error);
}

static enum plinth_status start_engine(struct service *service, struct plinth_error *error) {
    const struct service_options *options = &service->options;
    enum plinth_status st = plinth_open(options->data_directory, &options->engine, &service->db, error);
    if (!st) st = plinth_space_find(service->db, "", "", &service->default_space, error);
    if (!st)
        st = pool_create("plinth-worker", options->workers ? options->workers : SERVICE_WORKERS_DEFAULT,
                         &service->workers, error);
    if (!st) st = pool_create("plinth-admin", ADMIN_WORKERS, &service->admin_workers, error);
    if (!st) plinth_listen(service->db, write_on_commit, service);
    return st;
}

static enum plinth_status start_rpc(struct service *service, struct plinth_error *error) {
    const struct rpc_server_options options = {
        .addresses = &service->options.listen,
        .address_count = 1,
        .methods = service->rpc_methods,
        .method_count = service->method_count,
        .loops = service->loop_count,
        .hooks = {.context = service, .on_start = on_loop_start, .on_wake = on_loop_wake},
        .env = service->env,
        .drain_ms = service->options.drain_timeout_ms ? service->options.drain_timeout_ms : 1,
    };
    struct rpc_server *made;
    enum plinth_status st = rpc_server_create(&options, &made, error);
    atomic_store(&service->rpc, made);
    return st;
}

enum plinth_status service_start(const struct service_options *options, struct service **service,
                                 struct plinth_error *error) {
    *service = NULL;
    struct service *made = service_new(options);
    if (!made) return error_no_memory(error, "server");
    enum plinth_status st = make_tables(made, error);
    if (!st) st = http_start(options->http_listen, service_page, made, &made->http, error);
    if (!st) st = start_engine(made, error);
    if (!st) st = start_rpc(made, error);
    if (st) {
        service_stop(made);
        return st;
    }
    atomic_store(&made->state, SERVICE_READY);
    st = thread_start(&made->keeper, "plinth-keeper", keeper_run, made, error);
    if (st) {
        service_stop(made);
        return st;
    }
    made->keeper_running = true;
    *service = made;
    return PLINTH_OK;
}

uint16_t service_grpc_port(const struct service *service) { return rpc_server_port(service->rpc, 0); }
uint16_t service_http_port(const struct service *service) { return http_port(service->http); }

/* ---- stopping ---- */

void service_drain(struct service *service) {
    atomic_store(&service->state, SERVICE_STOPPING);
    health_changed(service);
    rpc_server_drain(service->rpc);
    if (!rpc_server_wait(service->rpc, (uint64_t)service->options.drain_timeout_ms + LISTEN_BACKSTOP_MS))
        log_event(LOG_WARN, "drain_timed_out", "timeout_ms=%u", service->options.drain_timeout_ms);
}

static void loops_deinit(struct service *service) {
    for (unsigned i = 0; service->loops && i < service->loop_count; i++) {
        struct service_loop *loop = &service->loops[i];
        if (!loop->service) continue; /* never made */
        for (size_t level = 0; level < sizeof loop->parked / sizeof loop->parked[0]; level++)
            parked_deinit(&loop->parked[level]);
        plinth_buffer_deinit(&loop->value);
        arena_deinit(&loop->arena);
        pthread_mutex_destroy(&loop->mutex);
    }
    free(service->loops);
}

void service_stop(struct service *service) {
    if (!service) return;
    int ready = SERVICE_READY; /* one that never was ready stays "starting" for the pages */
    atomic_compare_exchange_strong(&service->state, &ready, SERVICE_STOPPING);
    keeper_end(service);
    http_stop(service->http);
    rpc_server_destroy(service->rpc);
    pool_destroy(service->workers);
    pool_destroy(service->admin_workers);
    if (service->db) plinth_listen(service->db, NULL, NULL);
    snapshot_table_deinit(&service->snapshots);
    plinth_close(service->db);
    loops_deinit(service);
    metrics_deinit(&service->metrics);
    descriptor_index_deinit(&service->descriptors);
    free(service->rights);
    free(service->rpc_methods);
    pthread_cond_destroy(&service->keeper_wake);
    pthread_mutex_destroy(&service->keeper_mutex);
    free(service);
}
