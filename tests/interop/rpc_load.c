/* plinth_rpc_load: how many unary calls a second the transport carries.
 *
 *   plinth_rpc_load address:port [connections [calls in flight on each [seconds]]]
 *
 * Calls EmptyCall of plinth_interop_server from one loop; a new call starts when one ends. Prints one line with the
 * rate, latencies and the CPU time of this (client) process per call. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/env.h"
#include "rpc/client.h"

enum { LATENCY_BUCKETS = 100000, LATENCY_BUCKET_NS = 2000 };

static struct {
    uint64_t end_ns;
    uint64_t done;
    uint64_t failed;
    size_t in_flight;
    char failure[200];
    uint32_t latencies[LATENCY_BUCKETS];
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool is_finished;
} load = {.mutex = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};

struct call_state {
    struct rpc_client *client;
    uint64_t start_ns;
};

static void start_one(struct rpc_client *client);

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct call_state *state = rpc_call_state(call);
    uint64_t now_ns = env_monotonic_ns(env_posix());
    uint64_t bucket = (now_ns - state->start_ns) / LATENCY_BUCKET_NS;
    load.latencies[bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1]++;
    load.done++;
    load.in_flight--;
    if (code && !load.failed++)
        snprintf(load.failure, sizeof load.failure, "%s: %.*s", grpc_status_name(code), (int)message.size,
                 message.data ? (const char *)message.data : "");
    if (now_ns < load.end_ns && !load.failed) {
        start_one(state->client);
    } else if (load.in_flight == 0) {
        pthread_mutex_lock(&load.mutex);
        load.is_finished = true;
        pthread_cond_signal(&load.finished);
        pthread_mutex_unlock(&load.mutex);
    }
}

static const struct rpc_call_ops ops = {.on_status = on_status};

static void start_one(struct rpc_client *client) {
    static const char request[40] = "forty bytes that stand for a small key";
    struct rpc_call_options options = {.path = "/grpc.testing.TestService/EmptyCall",
                                       .kind = RPC_UNARY,
                                       .ops = &ops,
                                       .state_bytes = sizeof(struct call_state),
                                       .has_request = true,
                                       .request = slice_of(request, sizeof request)};
    struct rpc_call *call = rpc_client_call(client, &options);
    if (!call) abort();
    struct call_state *state = rpc_call_state(call);
    *state = (struct call_state){client, env_monotonic_ns(env_posix())};
    load.in_flight++;
    rpc_call_unref(call);
}

/* Starting from the loop's own thread keeps the counters without a lock. */
struct start_task {
    struct rpc_task task;
    struct rpc_client *client;
    unsigned count;
};
static void start_run(struct rpc_task *task) {
    struct start_task *start = (struct start_task *)task;
    for (unsigned i = 0; i < start->count; i++) start_one(start->client);
}

static double latency_us(double share) {
    uint64_t wanted = (uint64_t)((double)load.done * share), seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        if ((seen += load.latencies[i]) > wanted) return (double)i * LATENCY_BUCKET_NS / 1000.0;
    return 0;
}

int main(int argc, char **argv) {
    unsigned connections = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
    unsigned in_flight = argc > 3 ? (unsigned)atoi(argv[3]) : 16;
    unsigned seconds = argc > 4 ? (unsigned)atoi(argv[4]) : 5;
    struct plinth_error error;
    struct rpc_loop *loop;
    struct rpc_client *clients[256];
    struct start_task starts[256];
    if (argc < 2 || connections == 0 || connections > 256 || in_flight == 0) {
        fprintf(stderr, "usage: plinth_rpc_load address:port [connections [in flight [seconds]]]\n");
        return 2;
    }
    if (rpc_loop_create(&(struct rpc_loop_options){.name = "load"}, &loop, &error)) goto failed;
    uint64_t start_ns = env_monotonic_ns(env_posix());
    load.end_ns = start_ns + seconds * UINT64_C(1000000000);
    for (unsigned i = 0; i < connections; i++) {
        struct rpc_client_options options = {.address = argv[1], .loop = loop};
        if (rpc_client_create(&options, &clients[i], &error)) goto failed;
        starts[i] = (struct start_task){{NULL, start_run}, clients[i], in_flight};
        rpc_loop_post(loop, &starts[i].task);
    }
    pthread_mutex_lock(&load.mutex);
    while (!load.is_finished) pthread_cond_wait(&load.finished, &load.mutex);
    pthread_mutex_unlock(&load.mutex);
    double passed = (double)(env_monotonic_ns(env_posix()) - start_ns) / 1e9;
    for (unsigned i = 0; i < connections; i++) rpc_client_destroy(clients[i]);
    rpc_loop_destroy(loop);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_us = (double)usage.ru_utime.tv_sec * 1e6 + (double)usage.ru_utime.tv_usec +
                    (double)usage.ru_stime.tv_sec * 1e6 + (double)usage.ru_stime.tv_usec;
    printf("%.0f calls/s, p50 %.0f us, p99 %.0f us, p99.9 %.0f us, client CPU %.2f us a call, %llu failed %s\n",
           (double)load.done / passed, latency_us(0.5), latency_us(0.99), latency_us(0.999), cpu_us / (double)load.done,
           (unsigned long long)load.failed, load.failure);
    return load.failed != 0;
failed:
    fprintf(stderr, "plinth_rpc_load: %s\n", error.text);
    return 1;
}
