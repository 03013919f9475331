/* Get, and the snapshots that clients keep.
 *
 * Get is answered on the loop when memory has what it takes; PLINTH_WOULD_BLOCK (a page on disk, a position that is not
 * visible yet) sends it to a worker. */
#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"

/* ---- Get ---- */

enum { GET_VALUE_FIELD = 1, GET_VERSION_FIELD = 2 };

static enum plinth_status get(struct service_call *call, struct slice message, struct arena *arena, bool memory_only,
                              struct plinth_buffer *value, struct plinth_position *version,
                              struct plinth_error *error) {
    struct service *service = call->service;
    struct request_read read = {0};
    Plinth__V1__GetRequest *request;
    struct plinth_space space;
    enum plinth_status st = request_unpack(&plinth__v1__get_request__descriptor, message, arena, &request, error);
    if (!st) st = request_key(request->key, error);
    if (!st) st = request_space(service, request->space, &space, error);
    if (!st) st = request_read_init(service, request->read, &read, error);
    if (!st) {
        read.options.memory_only = memory_only;
        read.options.wait_ms_max = request_wait_ms(call->rpc, service->env);
        st = plinth_get(service->db, space, request_slice(request->key), &read.options, value, version, error);
        if (st == PLINTH_NOT_FOUND && !error->text[0]) error_set(error, st, "key not found");
    }
    request_read_deinit(service, &read);
    return st;
}

/* One copy: from the engine's value into the bytes that are sent. */
static void answer_here(struct service_call *call, const struct plinth_buffer *value, struct plinth_position version) {
    uint8_t version_bytes[ENCODED_POSITION_BYTES_MAX];
    size_t version_size = encode_position(version_bytes, GET_VERSION_FIELD, version);
    uint8_t *at = rpc_call_send_space(call->rpc, encoded_bytes_size(value->size) + version_size);
    if (at) {
        at += encode_bytes(at, GET_VALUE_FIELD, slice_of(value->data, value->size));
        memcpy(at, version_bytes, version_size);
    }
    service_finish(call, PLINTH_OK, NULL);
}

static void get_on_worker(struct service_call *call) {
    struct arena arena;
    arena_init(&arena);
    struct plinth_buffer value = {0};
    struct plinth_position version;
    struct plinth_error error;
    enum plinth_status st = get(call, buffer_slice(&call->request), &arena, false, &value, &version, &error);
    if (st) {
        service_finish(call, st, &error);
    } else {
        Plinth__V1__GetResponse response = PLINTH__V1__GET_RESPONSE__INIT;
        Plinth__V1__Position position = PLINTH__V1__POSITION__INIT;
        uint8_t token[POSITION_TOKEN_BYTES_MAX];
        position.token = (ProtobufCBinaryData){position_encode(version, token), token};
        response.value = (ProtobufCBinaryData){value.size, value.data};
        response.version = &position;
        service_answer_message(call, &response.base);
    }
    plinth_buffer_deinit(&value);
    arena_deinit(&arena);
}

static void get_on_message(struct service_call *call, struct slice message) {
    struct service_loop *loop = call->loop;
    struct plinth_position version;
    struct plinth_error error;
    enum plinth_status st = get(call, message, &loop->arena, true, &loop->value, &version, &error);
    arena_reset(&loop->arena);
    if (st == PLINTH_WOULD_BLOCK)
        service_offload(call, call->service->workers, message, get_on_worker);
    else if (st)
        service_finish(call, st, &error);
    else
        answer_here(call, &loop->value, version);
}

const struct service_method key_value_get = {"/plinth.v1.KeyValue/Get", RPC_UNARY, .on_message = get_on_message};

/* ---- snapshots ---- */

enum { SNAPSHOT_TTL_MS_DEFAULT = 60000, SNAPSHOT_TTL_MS_MAX = 3600000 };

static void create_snapshot(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    arena_init(&arena);
    Plinth__V1__CreateSnapshotRequest *request;
    struct plinth_position position = {0};
    struct plinth_error error;
    enum plinth_status st = request_unpack(&plinth__v1__create_snapshot_request__descriptor,
                                           buffer_slice(&call->request), &arena, &request, &error);
    if (!st && request->ttl_ms > SNAPSHOT_TTL_MS_MAX)
        st = error_set(&error, PLINTH_INVALID_ARGUMENT, "ttl_ms: %u, at most %d are allowed", request->ttl_ms,
                       SNAPSHOT_TTL_MS_MAX);
    if (!st)
        st = snapshot_table_add(&service->snapshots, service->db,
                                request->ttl_ms ? request->ttl_ms : SNAPSHOT_TTL_MS_DEFAULT, &position, &error);
    arena_deinit(&arena);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    uint8_t answer[ENCODED_POSITION_BYTES_MAX];
    service_answer(call, slice_of(answer, encode_position(answer, 1, position)));
}

static void create_snapshot_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, create_snapshot);
}

static void release_snapshot(struct service_call *call) {
    struct arena arena;
    arena_init(&arena);
    Plinth__V1__ReleaseSnapshotRequest *request;
    struct plinth_position position = {0};
    struct plinth_error error;
    enum plinth_status st = request_unpack(&plinth__v1__release_snapshot_request__descriptor,
                                           buffer_slice(&call->request), &arena, &request, &error);
    if (!st && (!request->position || !request->position->token.len))
        st = error_set(&error, PLINTH_INVALID_ARGUMENT, "position: must not be empty");
    if (!st) st = position_decode(request_bytes(request->position->token), "position", &position, &error);
    if (!st) snapshot_table_release(&call->service->snapshots, position);
    arena_deinit(&arena);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, slice_of(NULL, 0));
}

static void release_snapshot_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, release_snapshot);
}

const struct service_method key_value_create_snapshot = {"/plinth.v1.KeyValue/CreateSnapshot", RPC_UNARY,
                                                         .on_message = create_snapshot_on_message};
const struct service_method key_value_release_snapshot = {"/plinth.v1.KeyValue/ReleaseSnapshot", RPC_UNARY,
                                                          .on_message = release_snapshot_on_message};
