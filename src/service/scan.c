/* Scan: chunks of rows, as fast as the client takes them.
 *
 * A scan is worked on by one worker at a time and holds none while the client is slow. Its `turn` says whose it is:
 *
 *     RUNNING   a worker is on it, or it waits in the pool's queue
 *     SUSPENDED the client has RPC_SEND_HIGH_BYTES to take; nobody works on it
 *     WRITABLE  the client has taken them before the worker could suspend: it goes on at once
 *     CANCELLED the call is over: whoever has the scan, or gets it, closes it
 *
 *     worker:      RUNNING → SUSPENDED after a send that reported RPC_SEND_HIGH_BYTES; WRITABLE → RUNNING instead
 *     on_writable: SUSPENDED → RUNNING and into the pool; RUNNING → WRITABLE
 *     on_cancel:   any → CANCELLED; from SUSPENDED it is closed there and then
 *
 * After some chunks a scan goes to the end of the pool's queue, so that long scans share the workers with short calls.
 * The scan holds a reference to its call from its first chunk to its last. */
#include <stdlib.h>

#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"

enum { CHUNK_ROWS_MAX = 1000, CHUNK_BYTES_MAX = 256 << 10, CHUNKS_A_TURN = 8, POSITION_FIELD = 2 };

static const struct encoded_row row_fields = {.key_field = 1, .value_field = 2, .version_field = 3, .indexes_field = 4};

enum turn { TURN_RUNNING, TURN_SUSPENDED, TURN_WRITABLE, TURN_CANCELLED };

struct scan_stream {
    struct plinth_scan *scan;
    struct request_read read;
    struct arena arena; /* of the request, whose bounds the scan may borrow */
    struct buffer chunk;
    bool position_sent;
    atomic_int turn;
};

/* Ends the scan; the call may go. By whoever has the turn. */
static void stream_end(struct service_call *call) {
    struct scan_stream *stream = call->state;
    if (stream->scan) plinth_scan_close(stream->scan);
    stream->scan = NULL;
    request_read_deinit(call->service, &stream->read);
    rpc_call_unref(call->rpc);
}

/* Fills one chunk; `*end` when the scan has no more rows. */
static enum plinth_status fill_chunk(struct scan_stream *stream, bool *end, struct plinth_error *error) {
    buffer_clear(&stream->chunk);
    *end = false;
    for (unsigned rows = 0; rows < CHUNK_ROWS_MAX && stream->chunk.size < CHUNK_BYTES_MAX; rows++) {
        struct plinth_row row;
        bool found;
        enum plinth_status st = plinth_scan_next(stream->scan, &row, &found, error);
        if (st) return st;
        if (!found) {
            *end = true;
            break;
        }
        if (!encode_row(&stream->chunk, &row_fields, &row)) return error_no_memory(error, "chunk of a scan");
    }
    if (stream->position_sent) return PLINTH_OK;
    stream->position_sent = true;
    if (!buffer_reserve(&stream->chunk, ENCODED_POSITION_BYTES_MAX)) return error_no_memory(error, "chunk of a scan");
    stream->chunk.size +=
        encode_position(stream->chunk.data + stream->chunk.size, POSITION_FIELD, plinth_scan_position(stream->scan));
    return PLINTH_OK;
}

static bool turn_change(struct scan_stream *stream, enum turn from, enum turn to) {
    int expected = from;
    return atomic_compare_exchange_strong(&stream->turn, &expected, to);
}

/* True when the worker keeps the scan: the client is ready for more, or has gone (which the caller sees next). */
static bool keep_turn(struct scan_stream *stream) {
    if (turn_change(stream, TURN_RUNNING, TURN_SUSPENDED)) return false;
    turn_change(stream, TURN_WRITABLE, TURN_RUNNING);
    return true;
}

static void stream_work(struct service_call *call) {
    struct scan_stream *stream = call->state;
    struct plinth_error error;
    for (unsigned chunks = 0; chunks < CHUNKS_A_TURN; chunks++) {
        bool end;
        if (atomic_load(&stream->turn) == TURN_CANCELLED || rpc_call_is_over(call->rpc)) {
            stream_end(call);
            return;
        }
        enum plinth_status st = fill_chunk(stream, &end, &error);
        size_t queued = 0;
        if (!st && stream->chunk.size) queued = rpc_call_send(call->rpc, buffer_slice(&stream->chunk));
        if (st || end) {
            service_finish(call, st, &error);
            stream_end(call);
            return;
        }
        if (queued >= RPC_SEND_HIGH_BYTES && !keep_turn(stream)) return; /* on_writable or on_cancel has it now */
    }
    if (!service_resubmit(call, call->service->workers, stream_work)) {
        service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
        stream_end(call);
    }
}

static enum plinth_status stream_open(struct service_call *call, struct scan_stream *stream,
                                      struct plinth_error *error) {
    struct service *service = call->service;
    struct plinth_space space;
    Plinth__V1__ScanRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__scan_request__descriptor, buffer_slice(&call->request),
                                           &stream->arena, &request, error);
    if (!st) st = request_space(service, request->space, &space, error);
    if (!st) st = request_read_init(service, request->read, &stream->read, error);
    if (st) return st;
    struct plinth_scan_options options = {
        .prefix = request_slice(request->prefix),
        .lower = request_slice(request->lower),
        .upper = request_slice(request->upper),
        .reverse = request->reverse,
        .keys_only = request->keys_only,
        .with_indexes = request->with_indexes,
        .limit = request->limit,
        .read = stream->read.options,
    };
    options.read.wait_ms_max = request_wait_ms(call->rpc, service->env);
    return plinth_scan_open(service->db, space, &options, &stream->scan, error);
}

static void stream_begin(struct service_call *call) {
    struct scan_stream *stream = call->state;
    struct plinth_error error;
    rpc_call_ref(call->rpc);
    enum plinth_status st = stream_open(call, stream, &error);
    if (st) {
        service_finish(call, st, &error);
        stream_end(call);
        return;
    }
    stream_work(call);
}

static void on_message(struct service_call *call, struct slice message) {
    struct scan_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: scan");
        return;
    }
    arena_init(&stream->arena);
    call->state = stream;
    service_offload(call, call->service->workers, message, stream_begin);
}

static void on_writable(struct service_call *call) {
    struct scan_stream *stream = call->state;
    if (!stream) return;
    if (turn_change(stream, TURN_RUNNING, TURN_WRITABLE) || !turn_change(stream, TURN_SUSPENDED, TURN_RUNNING)) return;
    if (service_resubmit(call, call->service->workers, stream_work)) return;
    service_finish_text(call, PLINTH_UNAVAILABLE, "the server is stopping");
    stream_end(call);
}

static void on_cancel(struct service_call *call) {
    struct scan_stream *stream = call->state;
    if (stream && atomic_exchange(&stream->turn, TURN_CANCELLED) == TURN_SUSPENDED) stream_end(call);
}

static void on_release(struct service_call *call) {
    struct scan_stream *stream = call->state;
    if (!stream) return;
    buffer_deinit(&stream->chunk);
    arena_deinit(&stream->arena);
    free(stream);
}

const struct service_method key_value_scan = {"/plinth.v1.KeyValue/Scan", RPC_SERVER_STREAM,
                                              .on_message = on_message,   .on_writable = on_writable,
                                              .on_cancel = on_cancel,     .on_release = on_release};
