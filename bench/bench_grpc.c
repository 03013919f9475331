/* bench_grpc: durable Set and Get through the server, as eight connections with sixteen calls in flight on each see it.
 *
 * Starts plinthd of the same build on a new directory and free ports, and drives it with the client side of src/rpc on
 * one thread, so that server and generator share the machine:
 *
 *   1. Set of random keys; each is answered when it is on the disk
 *   2. flush and compact; then Get of keys that were set, from segments only, warm
 *
 * Keys are 16 bytes, values 100 bytes of which half compress. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "measure.h"
#include "rpc/client.h"
#include "server.h"

enum { CONNECTIONS_MAX = 256 };

enum phase { PHASE_SET, PHASE_GET };

struct bench {
    double seconds, warm_seconds;
    uint64_t keys;
    unsigned connections, in_flight;
    const char *parent, *server_path, *server_durability;
    struct bench_server server;
    struct rpc_loop *loop;
    struct rpc_client *clients[CONNECTIONS_MAX];
    uint64_t *written; /* a bit for each key that was set */

    /* The running phase; loop thread. */
    enum phase phase;
    uint64_t random, now_ns, count_from_ns, end_ns;
    struct histogram *latency;
    unsigned open_calls;
    struct rpc_task start;
    struct slot *slots;
    pthread_mutex_t mutex;
    pthread_cond_t ended_condition;
    bool ended; /* guarded by mutex */
};

/* One of the calls that are kept in flight. */
struct slot {
    struct bench *bench;
    struct rpc_client *client;
    uint64_t number, began_ns;
    struct rpc_call *call;
    bool answered;
};

struct result {
    double per_s, server_us, client_us;
    struct histogram latency;
    uint64_t resident_bytes;
};

/* ---- one call ---- */

static void call_start(struct slot *slot);

static uint64_t choose_number(struct bench *bench) {
    for (;;) {
        uint64_t number = bench_random_below(&bench->random, bench->keys);
        if (bench->phase == PHASE_SET || bench->written[number / 64] >> number % 64 & 1) return number;
    }
}

/* SetRequest {key = 1, value = 2} or GetRequest {key = 1}. */
static size_t encode_request(struct slot *slot, uint8_t *at) {
    size_t size = 0;
    at[size++] = 1 << 3 | 2;
    at[size++] = BENCH_KEY_BYTES;
    bench_key(slot->number, (char *)at + size);
    size += BENCH_KEY_BYTES;
    if (slot->bench->phase == PHASE_SET) {
        at[size++] = 2 << 3 | 2;
        at[size++] = BENCH_VALUE_BYTES;
        bench_value(&slot->bench->random, at + size);
        size += BENCH_VALUE_BYTES;
    }
    return size;
}

/* The answer to a Get begins with {value = 1}. */
static void call_on_message(struct rpc_call *call, struct slice message) {
    struct slot *slot = rpc_call_user_data(call);
    if (slot->bench->phase == PHASE_GET && (message.size < 2 + BENCH_VALUE_BYTES || message.data[0] != (1 << 3 | 2) ||
                                            message.data[1] != BENCH_VALUE_BYTES))
        bench_die("the answer to a Get has no value of %d bytes", BENCH_VALUE_BYTES);
    slot->answered = true;
}

static void slot_ended(struct bench *bench) {
    if (--bench->open_calls) return;
    pthread_mutex_lock(&bench->mutex);
    bench->ended = true;
    pthread_cond_signal(&bench->ended_condition);
    pthread_mutex_unlock(&bench->mutex);
}

static void call_on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct slot *slot = rpc_call_user_data(call);
    struct bench *bench = slot->bench;
    if (code != GRPC_OK || !slot->answered)
        bench_die("%s: %.*s", grpc_status_name(code), (int)message.size, (const char *)message.data);
    uint64_t now = bench_now_ns();
    if (now >= bench->count_from_ns && now < bench->end_ns) histogram_add(bench->latency, now - slot->began_ns);
    if (bench->phase == PHASE_SET) bench->written[slot->number / 64] |= UINT64_C(1) << slot->number % 64;
    rpc_call_unref(call);
    if (now < bench->end_ns)
        call_start(slot);
    else
        slot_ended(bench);
}

static const struct rpc_call_ops call_ops = {.on_message = call_on_message, .on_status = call_on_status};

static void call_start(struct slot *slot) {
    struct bench *bench = slot->bench;
    uint8_t request[2 + BENCH_KEY_BYTES + 2 + BENCH_VALUE_BYTES];
    slot->number = choose_number(bench);
    size_t size = encode_request(slot, request);
    const struct rpc_call_options options = {.path = bench->phase == PHASE_SET ? "/plinth.v1.KeyValue/Set"
                                                                               : "/plinth.v1.KeyValue/Get",
                                             .kind = RPC_UNARY,
                                             .ops = &call_ops,
                                             .user_data = slot,
                                             .has_request = true,
                                             .request = slice_of(request, size)};
    slot->answered = false;
    slot->began_ns = bench_now_ns();
    slot->call = rpc_client_call(slot->client, &options);
    if (!slot->call) bench_die("out of memory");
}

/* ---- a phase ---- */

static void phase_start(struct rpc_task *task) {
    struct bench *bench = (struct bench *)((char *)task - offsetof(struct bench, start));
    for (unsigned i = 0; i < bench->connections * bench->in_flight; i++) call_start(&bench->slots[i]);
}

static void run_phase(struct bench *bench, enum phase phase, double warm_seconds, double seconds,
                      struct result *result) {
    *result = (struct result){0};
    bench->phase = phase;
    bench->latency = &result->latency;
    bench->open_calls = bench->connections * bench->in_flight;
    bench->ended = false;
    bench->count_from_ns = bench_now_ns() + (uint64_t)(warm_seconds * 1e9);
    bench->end_ns = bench->count_from_ns + (uint64_t)(seconds * 1e9);
    bench->start.run = phase_start;
    rpc_loop_post(bench->loop, &bench->start);
    usleep((useconds_t)(warm_seconds * 1e6));
    double server_before = bench_server_cpu_seconds(&bench->server), client_before = bench_cpu_seconds();
    pthread_mutex_lock(&bench->mutex);
    while (!bench->ended) pthread_cond_wait(&bench->ended_condition, &bench->mutex);
    pthread_mutex_unlock(&bench->mutex);
    char pid[24];
    snprintf(pid, sizeof pid, "%d", (int)bench->server.pid);
    double count = (double)result->latency.count;
    result->per_s = count / seconds;
    result->server_us = (bench_server_cpu_seconds(&bench->server) - server_before) * 1e6 / count;
    result->client_us = (bench_cpu_seconds() - client_before) * 1e6 / count;
    result->resident_bytes = bench_resident_bytes(pid);
}

static void print_phase(const char *title, const struct result *result) {
    printf("%s\n", title);
    printf("  calls                 %12.0f /s\n", result->per_s);
    printf("  latency               p50 %.2f ms   p99 %.2f ms   p99.9 %.2f ms   max %.1f ms\n",
           (double)histogram_quantile_ns(&result->latency, 0.5) / 1e6,
           (double)histogram_quantile_ns(&result->latency, 0.99) / 1e6,
           (double)histogram_quantile_ns(&result->latency, 0.999) / 1e6, (double)result->latency.max_ns / 1e6);
    printf("  processor             %.1f us a call in the server, %.1f us in the generator\n", result->server_us,
           result->client_us);
    printf("  server                %.0f MiB resident\n", (double)result->resident_bytes / (1 << 20));
}

static void connect_all(struct bench *bench) {
    struct plinth_error error;
    const struct rpc_loop_options options = {.name = "generator"};
    if (rpc_loop_create(&options, &bench->loop, &error)) bench_die("%s", error.text);
    bench->slots = calloc((size_t)bench->connections * bench->in_flight, sizeof *bench->slots);
    if (!bench->slots) bench_die("out of memory");
    for (unsigned c = 0; c < bench->connections; c++) {
        const struct rpc_client_options client = {.address = bench->server.address, .loop = bench->loop};
        if (rpc_client_create(&client, &bench->clients[c], &error)) bench_die("%s", error.text);
        for (unsigned i = 0; i < bench->in_flight; i++)
            bench->slots[c * bench->in_flight + i] = (struct slot){.bench = bench, .client = bench->clients[c]};
    }
}

static void disconnect_all(struct bench *bench) {
    for (unsigned c = 0; c < bench->connections; c++) rpc_client_destroy(bench->clients[c]);
    rpc_loop_destroy(bench->loop);
    free(bench->slots);
}

/* ---- the run ---- */

static void usage(FILE *to) {
    fputs("usage: bench_grpc [--seconds N] [--keys N] [--connections N] [--in-flight N] [--durability LEVEL]\n"
          "                  [--dir DIRECTORY] [--server PLINTHD] [--quick]\n"
          "  --seconds N         how long to set, and then to get (10)\n"
          "  --keys N            how many different keys (1000000)\n"
          "  --connections N     (8)\n"
          "  --in-flight N       calls at once on each connection (16)\n"
          "  --durability LEVEL  of a Set: buffered, written or synced (synced)\n"
          "  --dir DIRECTORY     where to make the temporary data directory (.)\n"
          "  --server PLINTHD    the program to measure (the one of the same build)\n"
          "  --quick             2 seconds each, to see that it works\n",
          to);
}

static double number_of(const char *flag, const char *text, double max) {
    char *end;
    double number = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || number <= 0 || number > max)
        bench_die("%s wants a number above 0 and up to %.0f", flag, max);
    return number;
}

static void read_options(struct bench *bench, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        const char *flag = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!strcmp(flag, "--help")) {
            usage(stdout);
            exit(0);
        } else if (!strcmp(flag, "--quick")) {
            bench->seconds = 2;
            bench->warm_seconds = 0.5;
            continue;
        } else if (!strcmp(flag, "--seconds")) {
            bench->seconds = number_of(flag, value, 1e6);
        } else if (!strcmp(flag, "--keys")) {
            bench->keys = (uint64_t)number_of(flag, value, 1e9);
        } else if (!strcmp(flag, "--connections")) {
            bench->connections = (unsigned)number_of(flag, value, CONNECTIONS_MAX);
        } else if (!strcmp(flag, "--in-flight")) {
            bench->in_flight = (unsigned)number_of(flag, value, 1000);
        } else if (!strcmp(flag, "--durability") && value) {
            bench->server_durability = value;
        } else if (!strcmp(flag, "--dir") && value) {
            bench->parent = value;
        } else if (!strcmp(flag, "--server") && value) {
            bench->server_path = value;
        } else {
            usage(stderr);
            bench_die("bad option \"%s\"", flag);
        }
        i++;
    }
}

int main(int argument_count, char **arguments) {
    static struct bench bench = {.seconds = 10,
                                 .warm_seconds = 2,
                                 .keys = 1000000,
                                 .connections = 8,
                                 .in_flight = 16,
                                 .server_durability = "synced",
                                 .random = 1,
                                 .mutex = PTHREAD_MUTEX_INITIALIZER,
                                 .ended_condition = PTHREAD_COND_INITIALIZER};
    static struct result set, get;
    read_options(&bench, argument_count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench.written = calloc((bench.keys + 63) / 64, sizeof *bench.written);
    if (!bench.written) bench_die("out of memory");
    printf("plinthd: %u connections with %u calls in flight each, keys of %d bytes, values of %d bytes, %" PRIu64
           " keys\n",
           bench.connections, bench.in_flight, BENCH_KEY_BYTES, BENCH_VALUE_BYTES, bench.keys);
    char *directory = bench_directory_make(bench.parent);
    bench_server_start(&bench.server, bench.server_path, directory, bench.server_durability, "1GiB");
    connect_all(&bench);
    run_phase(&bench, PHASE_SET, bench.warm_seconds, bench.seconds, &set);
    char title[64];
    snprintf(title, sizeof title, "Set, %s", bench.server_durability);
    print_phase(title, &set);
    struct buffer compacted = bench_server_ask(&bench.server, "/plinth.v1.Admin/Compact"); /* flushes first */
    buffer_deinit(&compacted);
    run_phase(&bench, PHASE_GET, bench.warm_seconds, bench.seconds, &get);
    print_phase("Get, from segments, warm", &get);
    disconnect_all(&bench);
    bench_server_stop(&bench.server);
    bench_directory_remove(directory);
    free(bench.written);
    printf("grpc set_per_s=%.0f get_per_s=%.0f set_p99_ms=%.2f get_p99_ms=%.2f\n", set.per_s, get.per_s,
           (double)histogram_quantile_ns(&set.latency, 0.99) / 1e6,
           (double)histogram_quantile_ns(&get.latency, 0.99) / 1e6);
    return 0;
}
