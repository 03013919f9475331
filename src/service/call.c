/* What all methods share: the way in, the way to a worker and back, the way out. */
#include <stdlib.h>

#include "base/status.h"
#include "service/service_private.h"

/* ---- metrics ---- */

static void record(struct service_call *call, enum grpc_status code) {
    if (atomic_exchange_explicit(&call->recorded, true, memory_order_relaxed)) return;
    uint64_t now_ns = env_monotonic_ns(call->service->env);
    uint64_t took_ns = now_ns > call->started_ns ? now_ns - call->started_ns : 0;
    metrics_record(&call->service->metrics, call->loop->index, call->method_index, code, took_ns / 1000);
}

/* ---- the way out ---- */

void service_finish(struct service_call *call, enum plinth_status status, const struct plinth_error *error) {
    record(call, grpc_status_from_plinth(status));
    if (status)
        rpc_call_finish_error(call->rpc, status, error);
    else
        rpc_call_finish(call->rpc, GRPC_OK, NULL);
}

void service_finish_text(struct service_call *call, enum plinth_status status, const char *text) {
    enum grpc_status code = grpc_status_from_plinth(status);
    record(call, code);
    rpc_call_finish(call->rpc, code, text);
}

void service_answer(struct service_call *call, struct slice message) {
    (void)rpc_call_send(call->rpc, message);
    service_finish(call, PLINTH_OK, NULL);
}

void service_answer_message(struct service_call *call, const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    struct buffer packed = BUFFER_INIT;
    if (!buffer_reserve(&packed, size)) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: answer");
        return;
    }
    packed.size = protobuf_c_message_pack(message, packed.data);
    service_answer(call, buffer_slice(&packed));
    buffer_deinit(&packed);
}

/* ---- workers ---- */

static struct service_call *call_of_task(struct pool_task *task) {
    return (struct service_call *)((char *)task - offsetof(struct service_call, task));
}

static void offload_done(struct service_call *call) {
    atomic_fetch_sub_explicit(&call->service->offloaded, 1, memory_order_relaxed);
    rpc_call_unref(call->rpc);
}

static void run_offloaded(struct pool_task *task) {
    struct service_call *call = call_of_task(task);
    if (!rpc_call_is_over(call->rpc)) call->work(call);
    offload_done(call);
}

void service_offload(struct service_call *call, struct pool *pool, struct slice message,
                     void (*work)(struct service_call *call)) {
    unsigned before = atomic_fetch_add_explicit(&call->service->offloaded, 1, memory_order_relaxed);
    rpc_call_ref(call->rpc);
    call->work = work;
    call->task.run = run_offloaded;
    buffer_clear(&call->request);
    if (before >= OFFLOADED_MAX)
        service_finish_text(call, PLINTH_UNAVAILABLE, "the server is busy: too many calls wait for a worker");
    else if (!buffer_append(&call->request, message.data, message.size))
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: request");
    else if (!pool_submit(pool, &call->task))
        service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
    else
        return;
    offload_done(call);
}

static void run_resubmitted(struct pool_task *task) {
    struct service_call *call = call_of_task(task);
    call->work(call);
}

bool service_resubmit(struct service_call *call, struct pool *pool, void (*work)(struct service_call *call)) {
    call->work = work;
    call->task.run = run_resubmitted;
    return pool_submit(pool, &call->task);
}

/* ---- the way in: what the transport calls ---- */

static struct service_call *call_of(struct rpc_call *rpc) { return rpc_call_state(rpc); }

static void on_start(struct rpc_call *rpc) {
    struct service_call *call = call_of(rpc);
    struct service_loop *loop = rpc_loop_user_data(rpc_call_loop(rpc));
    const struct rpc_method *entry = rpc_call_method(rpc);
    call->rpc = rpc;
    call->loop = loop;
    call->service = loop->service;
    call->method = entry->user_data;
    call->method_index = (unsigned)(entry - loop->service->rpc_methods);
    call->started_ns = rpc_loop_now_ns(loop->rpc);
    struct plinth_error error;
    enum plinth_status st = access_check(rpc, call->method->path, call->service->rights[call->method_index], &error);
    if (!st) return;
    call->refused = true;
    service_finish(call, st, &error);
}

static void on_message(struct rpc_call *rpc, struct slice message) {
    struct service_call *call = call_of(rpc);
    if (!call->refused) call->method->on_message(call, message);
}

static void on_half_close(struct rpc_call *rpc) {
    struct service_call *call = call_of(rpc);
    if (!call->refused && call->method->on_half_close) call->method->on_half_close(call);
}

static void on_writable(struct rpc_call *rpc) {
    struct service_call *call = call_of(rpc);
    if (call->method->on_writable) call->method->on_writable(call);
}

static void on_cancel(struct rpc_call *rpc, enum grpc_status reason) {
    struct service_call *call = call_of(rpc);
    if (!call->service) return; /* ended before it began */
    record(call, reason);
    if (call->method->on_cancel) call->method->on_cancel(call);
}

static void on_release(struct rpc_call *rpc) {
    struct service_call *call = call_of(rpc);
    if (call->method && call->method->on_release) call->method->on_release(call);
    buffer_deinit(&call->request);
}

const struct rpc_call_ops service_ops = {
    .on_start = on_start,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_cancel = on_cancel,
    .on_release = on_release,
};
