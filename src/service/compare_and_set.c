/* CompareAndSet: decided at the write's own place in the log, so it always waits and runs on a worker. */
#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"
#include "service/write_request.h"

static enum plinth_status comparison_of(const Plinth__V1__CompareAndSetRequest *request,
                                        struct plinth_comparison *comparison, struct plinth_error *error) {
    *comparison = (struct plinth_comparison){PLINTH_EXPECT_ANYTHING};
    switch (request->expect_case) {
    case PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_ABSENT:
        comparison->expectation = request->absent ? PLINTH_EXPECT_ABSENT : PLINTH_EXPECT_PRESENT;
        return PLINTH_OK;
    case PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_VALUE:
        comparison->expectation = PLINTH_EXPECT_VALUE;
        comparison->expected_value = request_slice(request->value);
        return PLINTH_OK;
    case PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_VERSION:
        if (!request->version->token.len)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "version: the position is empty");
        comparison->expectation = PLINTH_EXPECT_VERSION;
        return position_decode(request_bytes(request->version->token), "version", &comparison->expected_version, error);
    default: return PLINTH_OK;
    }
}

/* `*writes` is false when the request only asks what is there. */
static enum plinth_status operation_of(const Plinth__V1__CompareAndSetRequest *request, struct arena *arena,
                                       struct plinth_operation *operation, bool *writes, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *writes = true;
    switch (request->operation_case) {
    case PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION_SET:
        if (request->set->key.len && !slice_equal(request_bytes(request->set->key), request_bytes(request->key)))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "set.key: must be empty or equal to key");
        st = write_request_set(request->set, arena, operation, error);
        break;
    case PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION_DELETE:
        if (!request->delete_)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "delete: must be true when it is given");
        operation->kind = PLINTH_DELETE;
        break;
    default: *writes = false;
    }
    operation->key = request_slice(request->key);
    return st;
}

/* What is there now, without a write. */
static enum plinth_status look(struct service *service, const struct plinth_operation *operation,
                               struct plinth_previous *previous, struct plinth_error *error) {
    enum plinth_status st =
        plinth_get(service->db, operation->space, operation->key, NULL, &previous->value, &previous->version, error);
    previous->existed = !st;
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static void answer(struct service_call *call, bool applied, bool with_value, struct plinth_position position,
                   const struct plinth_previous *previous) {
    Plinth__V1__CompareAndSetResponse response = PLINTH__V1__COMPARE_AND_SET_RESPONSE__INIT;
    Plinth__V1__Position written = PLINTH__V1__POSITION__INIT, version = PLINTH__V1__POSITION__INIT;
    uint8_t written_token[POSITION_TOKEN_BYTES_MAX], version_token[POSITION_TOKEN_BYTES_MAX];
    response.applied = applied;
    if (applied) {
        written.token = (ProtobufCBinaryData){position_encode(position, written_token), written_token};
        response.position = &written;
    }
    response.existed = previous->existed;
    if (previous->existed) {
        version.token = (ProtobufCBinaryData){position_encode(previous->version, version_token), version_token};
        response.previous_version = &version;
        if (with_value) response.previous_value = (ProtobufCBinaryData){previous->value.size, previous->value.data};
    }
    service_answer_message(call, &response.base);
}

static void compare_and_set(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    arena_init(&arena);
    struct plinth_previous previous = {0};
    struct plinth_position position = {0};
    struct plinth_operation operation = {0};
    struct plinth_write_options options;
    struct plinth_comparison comparison;
    struct plinth_error error;
    bool writes = false, with_value = false;

    Plinth__V1__CompareAndSetRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__compare_and_set_request__descriptor,
                                           buffer_slice(&call->request), &arena, &request, &error);
    if (!st) st = request_key(request->key, &error);
    if (!st) st = request_space(service, request->space, &operation.space, &error);
    if (!st) st = request_write_options(service, request->write, &options, &error);
    if (!st) st = comparison_of(request, &comparison, &error);
    if (!st) st = operation_of(request, &arena, &operation, &writes, &error);
    if (st) goto done;
    with_value = request->with_previous_value;
    if (writes)
        st = plinth_compare_and_set(service->db, &operation, &comparison, &options, &position, &previous, &error);
    else
        st = look(service, &operation, &previous, &error);
done:
    if (st && st != PLINTH_CONFLICT)
        service_finish(call, st, &error);
    else
        answer(call, !st && writes, with_value, position, &previous);
    plinth_buffer_deinit(&previous.value);
    arena_deinit(&arena);
}

static void on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, compare_and_set);
}

const struct service_method key_value_compare_and_set = {"/plinth.v1.KeyValue/CompareAndSet", RPC_UNARY,
                                                         .message_bytes_max = REQUEST_VALUE_BYTES_MAX,
                                                         .on_message = on_message};
