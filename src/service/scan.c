/* KeyValue.Scan: keys in order, streamed (stream.h). */
#include <stdlib.h>

#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"
#include "service/stream.h"

enum { CHUNK_ROWS_MAX = 1000, CHUNK_BYTES_MAX = 256 << 10, POSITION_FIELD = 2 };

static const struct encoded_row row_fields = {.key_field = 1, .value_field = 2, .version_field = 3, .indexes_field = 4};

struct scan_stream {
    struct stream stream;
    struct plinth_scan *scan;
    struct request_read read;
    struct arena arena; /* of the request, whose bounds the scan may borrow */
    bool position_sent;
};

static void scan_close(struct service_call *call) {
    struct scan_stream *scan = call->state;
    if (scan->scan) plinth_scan_close(scan->scan);
    scan->scan = NULL;
    request_read_deinit(call->service, &scan->read);
}

static enum plinth_status scan_fill(struct service_call *call, struct buffer *chunk, bool *end,
                                    struct plinth_error *error) {
    struct scan_stream *scan = call->state;
    for (unsigned rows = 0; rows < CHUNK_ROWS_MAX && chunk->size < CHUNK_BYTES_MAX; rows++) {
        struct plinth_row row;
        bool found;
        enum plinth_status st = plinth_scan_next(scan->scan, &row, &found, error);
        if (st) return st;
        if (!found) {
            *end = true;
            break;
        }
        if (!encode_row(chunk, &row_fields, &row)) return error_no_memory(error, "chunk of a scan");
    }
    if (scan->position_sent) return PLINTH_OK;
    scan->position_sent = true;
    if (!buffer_reserve(chunk, ENCODED_POSITION_BYTES_MAX)) return error_no_memory(error, "chunk of a scan");
    chunk->size += encode_position(chunk->data + chunk->size, POSITION_FIELD, plinth_scan_position(scan->scan));
    return PLINTH_OK;
}

static enum plinth_status scan_open(struct service_call *call, struct plinth_error *error) {
    struct service *service = call->service;
    struct scan_stream *scan = call->state;
    struct plinth_space space;
    Plinth__V1__ScanRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__scan_request__descriptor, buffer_slice(&call->request),
                                           &scan->arena, &request, error);
    if (!st) st = request_space(service, request->space, &space, error);
    if (!st) st = request_read_init(service, request->read, &scan->read, error);
    if (st) return st;
    struct plinth_scan_options options = {
        .prefix = request_slice(request->prefix),
        .lower = request_slice(request->lower),
        .upper = request_slice(request->upper),
        .reverse = request->reverse,
        .keys_only = request->keys_only,
        .with_indexes = request->with_indexes,
        .limit = request->limit,
        .read = scan->read.options,
    };
    options.read.wait_ms_max = request_wait_ms(call->rpc, service->env);
    return plinth_scan_open(service->db, space, &options, &scan->scan, error);
}

static const struct stream_ops scan_ops = {.open = scan_open, .fill = scan_fill, .close = scan_close};

static void on_message(struct service_call *call, struct slice message) {
    struct scan_stream *scan = calloc(1, sizeof *scan);
    if (!scan) {
        service_finish_text(call, PLINTH_OUT_OF_MEMORY, "out of memory: scan");
        return;
    }
    scan->stream.ops = &scan_ops;
    arena_init(&scan->arena);
    call->state = scan;
    stream_start(call, message);
}

static void on_release(struct service_call *call) {
    struct scan_stream *scan = call->state;
    if (!scan) return;
    stream_deinit(&scan->stream);
    arena_deinit(&scan->arena);
    free(scan);
}

const struct service_method key_value_scan = {"/plinth.v1.KeyValue/Scan",    RPC_SERVER_STREAM,
                                              .on_message = on_message,      .on_writable = stream_on_writable,
                                              .on_cancel = stream_on_cancel, .on_release = on_release};
