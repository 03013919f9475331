/* Set, Delete and Batch: the write path of the server; its second half, parking, serves the Ingestion service, too.
 *
 *     on_message (loop)  → unpack → plinth_submit(no_wait) → parked on this loop until acknowledged
 *     commit (engine)    → write_on_commit wakes each loop that has parked writes, once a commit group
 *     on_wake (loop)     → answers all parked writes at or below plinth_acknowledged(durability)
 *
 * When the engine has no memory to take a write at once it says PLINTH_WOULD_BLOCK, and a worker repeats it with the
 * blocking call.
 *
 * No wake is lost: a loop sets `armed` under its mutex before it looks at plinth_acknowledged for the last time, and
 * the listener looks at `armed` under the same mutex after the engine has published the new value. */
#include <stdlib.h>

#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"
#include "service/write_request.h"

/* ---- answering ---- */

static void answer_position(struct service_call *call, struct plinth_position position) {
    uint8_t message[ENCODED_POSITION_BYTES_MAX];
    service_answer(call, slice_of(message, encode_position(message, 1, position)));
}

static void end_write(struct service_call *call, struct plinth_position position, enum plinth_status status,
                      const struct plinth_error *error) {
    if (status)
        service_finish(call, status, error);
    else
        answer_position(call, position);
}

static void arm(struct service_loop *loop, bool armed) {
    if (loop->armed == armed) return; /* only this thread writes it */
    pthread_mutex_lock(&loop->mutex);
    loop->armed = armed;
    pthread_mutex_unlock(&loop->mutex);
}

void write_park(struct service_call *call, struct plinth_position position, enum plinth_durability durability,
                parked_end *end) {
    struct service_loop *loop = call->loop;
    struct plinth *db = call->service->db;
    if (plinth_acknowledged(db, durability) >= position.lsn) {
        end(call, position, PLINTH_OK, NULL);
        return;
    }
    if (!parked_push(&loop->parked[durability], (struct parked){call, position, end})) {
        struct plinth_error error;
        error_set(&error, PLINTH_OUTCOME_UNKNOWN, "out of memory while the write was on its way");
        end(call, position, PLINTH_OUTCOME_UNKNOWN, &error);
        return;
    }
    rpc_call_ref(call->rpc);
    if (loop->armed) return;
    arm(loop, true);
    if (plinth_acknowledged(db, durability) >= position.lsn || plinth_log_status(db, NULL)) write_on_wake(loop);
}

void write_on_commit(void *context) {
    struct service *service = context;
    for (unsigned i = 0; i < service->loop_count; i++) {
        struct service_loop *loop = &service->loops[i];
        pthread_mutex_lock(&loop->mutex);
        if (loop->armed || loop->has_change_streams)
            rpc_loop_wake(loop->rpc); /* under the mutex: the loop cannot end before it disarms */
        pthread_mutex_unlock(&loop->mutex);
    }
}

static void finish_queue(struct parked_queue *queue, uint64_t acknowledged, enum plinth_status log_status,
                         const struct plinth_error *log_error) {
    const struct parked *first;
    while ((first = parked_first(queue))) {
        bool done = first->position.lsn <= acknowledged;
        if (!done && !log_status) return;
        struct parked parked = parked_pop(queue);
        parked.end(parked.call, parked.position, done ? PLINTH_OK : PLINTH_OUTCOME_UNKNOWN, done ? NULL : log_error);
        rpc_call_unref(parked.call->rpc);
    }
}

void write_on_wake(struct service_loop *loop) {
    struct plinth *db = loop->service->db;
    if (!loop->armed) return;
    /* The status first: what is acknowledged after the log failed would be answered as unknown otherwise. */
    struct plinth_error error;
    enum plinth_status log_status = plinth_log_status(db, &error);
    size_t left = 0;
    for (int level = PLINTH_DURABILITY_BUFFERED; level <= PLINTH_DURABILITY_SYNCED; level++) {
        struct parked_queue *queue = &loop->parked[level];
        if (queue->count) finish_queue(queue, plinth_acknowledged(db, level), log_status, &error);
        left += queue->count;
    }
    if (!left) arm(loop, false);
}

/* ---- the way in ---- */

static void write_on_worker(struct service_call *call) {
    const struct write_kind *kind = call->state;
    struct arena arena;
    arena_init(&arena);
    struct write_request request;
    struct plinth_position position = {0};
    struct plinth_error error;
    enum plinth_status st = kind->parse(call->service, buffer_slice(&call->request), &arena, &request, &error);
    if (!st)
        st = plinth_write(call->service->db, request.operations, request.count, &request.options, &position, &error);
    arena_deinit(&arena);
    if (st)
        service_finish(call, st, &error);
    else
        answer_position(call, position);
}

enum { LARGE_BYTES = 256 << 10 }; /* whose values are written to files: nothing for a loop */

static void write_begin(struct service_call *call, struct slice message, const struct write_kind *kind) {
    if (message.size >= LARGE_BYTES) {
        call->state = (void *)kind;
        service_offload(call, call->service->workers, message, write_on_worker);
        return;
    }
    struct arena *arena = &call->loop->arena;
    struct write_request request;
    struct plinth_position position = {0};
    struct plinth_error error;
    enum plinth_status st = kind->parse(call->service, message, arena, &request, &error);
    if (!st) {
        request.options.no_wait = true;
        st = plinth_submit(call->service->db, request.operations, request.count, &request.options, &position, &error);
    }
    arena_reset(arena);
    if (st == PLINTH_WOULD_BLOCK) {
        call->state = (void *)kind;
        service_offload(call, call->service->workers, message, write_on_worker);
    } else if (st) {
        service_finish(call, st, &error);
    } else {
        write_park(call, position, request.options.durability, end_write);
    }
}

static const struct write_kind set_kind = {write_request_parse_set};
static const struct write_kind delete_kind = {write_request_parse_delete};
static const struct write_kind delete_range_kind = {write_request_parse_delete_range};
static const struct write_kind batch_kind = {write_request_parse_batch};

static void set_on_message(struct service_call *call, struct slice message) { write_begin(call, message, &set_kind); }
static void delete_on_message(struct service_call *call, struct slice message) {
    write_begin(call, message, &delete_kind);
}
static void delete_range_on_message(struct service_call *call, struct slice message) {
    write_begin(call, message, &delete_range_kind);
}
static void batch_on_message(struct service_call *call, struct slice message) {
    write_begin(call, message, &batch_kind);
}

const struct service_method key_value_set = {
    "/plinth.v1.KeyValue/Set", RPC_UNARY, .message_bytes_max = REQUEST_VALUE_BYTES_MAX, .on_message = set_on_message};
const struct service_method key_value_delete = {"/plinth.v1.KeyValue/Delete", RPC_UNARY,
                                                .on_message = delete_on_message};
const struct service_method key_value_delete_range = {"/plinth.v1.KeyValue/DeleteRange", RPC_UNARY,
                                                      .on_message = delete_range_on_message};
const struct service_method key_value_batch = {"/plinth.v1.KeyValue/Batch", RPC_UNARY,
                                               .message_bytes_max = REQUEST_VALUE_BYTES_MAX,
                                               .on_message = batch_on_message};
