/* Commit: judged at its own place in the log, so it always waits and runs on a worker. */
#include "base/status.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/service_private.h"
#include "service/write_request.h"

struct commit_request {
    const Plinth__V1__CommitRequest *message;
    struct plinth_space space;
    struct plinth_reads reads;
    struct write_request writes;
};

/* `named`, or the request's own space when that is null. */
static enum plinth_status space_of(struct service *service, const struct commit_request *request,
                                   const Plinth__V1__Space *named, struct plinth_space *space,
                                   struct plinth_error *error) {
    *space = request->space;
    return named ? request_space(service, named, space, error) : PLINTH_OK;
}

static enum plinth_status read_keys(struct service *service, struct commit_request *request, struct arena *arena,
                                    struct plinth_error *error) {
    const Plinth__V1__CommitRequest *message = request->message;
    struct plinth_key_read *keys = arena_zalloc(arena, message->n_keys * sizeof *keys);
    if (!keys) return error_no_memory(error, "keys of a commit");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < message->n_keys; i++) {
        keys[i].key = request_slice(message->keys[i]->key);
        st = request_key(message->keys[i]->key, error);
        if (!st) st = space_of(service, request, message->keys[i]->space, &keys[i].space, error);
        if (st) error_prefix(error, "keys[%zu]", i);
    }
    request->reads.keys = keys;
    request->reads.key_count = message->n_keys;
    return st;
}

static enum plinth_status read_ranges(struct service *service, struct commit_request *request, struct arena *arena,
                                      struct plinth_error *error) {
    const Plinth__V1__CommitRequest *message = request->message;
    struct plinth_range_read *ranges = arena_zalloc(arena, message->n_ranges * sizeof *ranges);
    if (!ranges) return error_no_memory(error, "ranges of a commit");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < message->n_ranges; i++) {
        ranges[i].lower = request_slice(message->ranges[i]->lower);
        ranges[i].upper = request_slice(message->ranges[i]->upper);
        st = space_of(service, request, message->ranges[i]->space, &ranges[i].space, error);
        if (st) error_prefix(error, "ranges[%zu]", i);
    }
    request->reads.ranges = ranges;
    request->reads.range_count = message->n_ranges;
    return st;
}

static enum plinth_status parse(struct service *service, struct slice bytes, struct arena *arena,
                                struct commit_request *request, struct plinth_error *error) {
    Plinth__V1__CommitRequest *message;
    enum plinth_status st = request_unpack(&plinth__v1__commit_request__descriptor, bytes, arena, &message, error);
    if (st) return st;
    request->message = message;
    st = request_space(service, message->space, &request->space, error);
    if (!st) st = request_write_options(service, message->write, &request->writes.options, error);
    if (!st && message->snapshot)
        st = position_decode(request_bytes(message->snapshot->token), "snapshot", &request->reads.snapshot, error);
    if (!st && (message->n_keys || message->n_ranges) && !position_given(request->reads.snapshot))
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "snapshot: needed, for something was read");
    if (!st) st = read_keys(service, request, arena, error);
    if (!st) st = read_ranges(service, request, arena, error);
    if (!st)
        st = write_request_operations(service, message->operations, message->n_operations, request->space, arena,
                                      &request->writes, error);
    return st;
}

static bool same_space(struct plinth_space a, struct plinth_space b) {
    return a.tenant == b.tenant && a.database == b.database && a.table == b.table;
}

/* The space of a conflict in the request's own words; null when it is the request's space. */
static Plinth__V1__Space *name_space(const struct commit_request *request, struct plinth_space space) {
    for (size_t i = 0; i < request->reads.key_count; i++)
        if (same_space(request->reads.keys[i].space, space) && request->message->keys[i]->space)
            return request->message->keys[i]->space;
    for (size_t i = 0; i < request->reads.range_count; i++)
        if (same_space(request->reads.ranges[i].space, space) && request->message->ranges[i]->space)
            return request->message->ranges[i]->space;
    return request->message->space;
}

static void answer(struct service_call *call, const struct commit_request *request, enum plinth_status st,
                   struct plinth_position position, const struct plinth_conflict *conflict) {
    Plinth__V1__CommitResponse response = PLINTH__V1__COMMIT_RESPONSE__INIT;
    Plinth__V1__Position written = PLINTH__V1__POSITION__INIT;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    if (!st) {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_COMMITTED;
        written.token = (ProtobufCBinaryData){position_encode(position, token), token};
        response.position = &written;
    } else if (conflict->too_old) {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_TOO_OLD;
    } else {
        response.outcome = PLINTH__V1__COMMIT_RESPONSE__OUTCOME__OUTCOME_CONFLICT;
        response.conflict_key = (ProtobufCBinaryData){conflict->key.size, conflict->key.data};
        if (conflict->key.size) response.conflict_space = name_space(request, conflict->space);
    }
    service_answer_message(call, &response.base);
}

static void commit(struct service_call *call) {
    struct service *service = call->service;
    struct commit_request request = {0};
    struct plinth_conflict conflict = {0};
    struct plinth_position position = {0};
    struct plinth_error error;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status st = parse(service, buffer_slice(&call->request), &arena, &request, &error);
    if (!st && position_given(request.reads.snapshot))
        st = plinth_commit(service->db, &request.reads, request.writes.operations, request.writes.count,
                           &request.writes.options, &position, &conflict, &error);
    else if (!st)
        st = plinth_write(service->db, request.writes.operations, request.writes.count, &request.writes.options,
                          &position, &error);
    if (!st || st == PLINTH_CONFLICT)
        answer(call, &request, st, position, &conflict);
    else
        service_finish(call, st, &error);
    plinth_buffer_deinit(&conflict.key);
    arena_deinit(&arena);
}

static void on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, commit);
}

const struct service_method key_value_commit = {"/plinth.v1.KeyValue/Commit", RPC_UNARY, .on_message = on_message};
