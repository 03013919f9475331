/* Admin: named snapshots, and how much history is kept. On workers: all of it is in the log before it is answered. */
#include "base/status.h"
#include "plinth/v1/admin.pb-c.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/position.h"
#include "service/service_private.h"

/* ---- keeping and dropping ---- */

static void keep_snapshot_work(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    struct plinth_error error;
    struct plinth_position kept = {0};
    struct request_read read = {0};
    Plinth__V1__KeepSnapshotRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__keep_snapshot_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = request_read_init(service, request->of, &read, &error);
    if (!st)
        st = plinth_snapshot_keep(service->db, request->name, request->of ? &read.options : NULL, request->with_log,
                                  &kept, &error);
    request_read_deinit(service, &read);
    arena_deinit(&arena);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    uint8_t answer[ENCODED_POSITION_BYTES_MAX];
    service_answer(call, slice_of(answer, encode_position(answer, 1, kept)));
}

static void drop_snapshot_work(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__DropSnapshotRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__drop_snapshot_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = plinth_snapshot_drop(service->db, request->name, &error);
    arena_deinit(&arena);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, slice_of(NULL, 0));
}

static void move_snapshot_work(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    struct plinth_error error;
    struct plinth_position to = {0};
    Plinth__V1__MoveSnapshotRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__move_snapshot_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st && request->position)
        st = position_decode(request_bytes(request->position->token), "position", &to, &error);
    if (!st && !position_given(to)) st = error_set(&error, PLINTH_INVALID_ARGUMENT, "position: missing");
    if (!st) st = plinth_snapshot_move(service->db, request->name, to, &error);
    arena_deinit(&arena);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, slice_of(NULL, 0));
}

static void keep_history_work(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__KeepHistoryRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__keep_history_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = plinth_history_keep(service->db, request->seconds, &error);
    arena_deinit(&arena);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer(call, slice_of(NULL, 0));
}

/* ---- listing ---- */

struct listed_snapshot {
    Plinth__V1__NamedSnapshot message;
    Plinth__V1__Position position;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    struct listed_snapshot *next;
};

struct snapshot_list {
    struct arena arena;
    struct listed_snapshot *first, **end;
    size_t count;
    bool failed;
};

static void list_one(void *context, const char *name, struct plinth_position position, uint64_t time_us,
                     bool with_log) {
    struct snapshot_list *list = context;
    struct listed_snapshot *listed = arena_zalloc(&list->arena, sizeof *listed);
    char *copy = (char *)arena_copy(&list->arena, slice_of_string(name));
    if (!listed || !copy) {
        list->failed = true;
        return;
    }
    plinth__v1__named_snapshot__init(&listed->message);
    plinth__v1__position__init(&listed->position);
    listed->position.token = (ProtobufCBinaryData){position_encode(position, listed->token), listed->token};
    listed->message.name = copy;
    listed->message.position = &listed->position;
    listed->message.time_us = time_us;
    listed->message.with_log = with_log;
    *list->end = listed;
    list->end = &listed->next;
    list->count++;
}

static void list_snapshots_work(struct service_call *call) {
    struct service *service = call->service;
    struct snapshot_list list = {0};
    struct plinth_error error;
    struct plinth_stats stats;
    list.end = &list.first;
    arena_init(&list.arena);
    Plinth__V1__ListSnapshotsResponse response = PLINTH__V1__LIST_SNAPSHOTS_RESPONSE__INIT;
    enum plinth_status st = plinth_snapshot_list(service->db, list_one, &list, &error);
    Plinth__V1__NamedSnapshot **snapshots = arena_alloc(&list.arena, (list.count + 1) * sizeof *snapshots);
    if (!st && (list.failed || !snapshots)) st = error_no_memory(&error, "list of snapshots");
    if (st) {
        service_finish(call, st, &error);
    } else {
        plinth_stats_read(service->db, &stats);
        response.snapshots = snapshots;
        response.history_seconds = stats.history_seconds;
        for (struct listed_snapshot *at = list.first; at; at = at->next)
            snapshots[response.n_snapshots++] = &at->message;
        service_answer_message(call, &response.base);
    }
    arena_deinit(&list.arena);
}

/* ---- methods ---- */

static void keep_snapshot_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, keep_snapshot_work);
}
static void drop_snapshot_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, drop_snapshot_work);
}
static void move_snapshot_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, move_snapshot_work);
}
static void list_snapshots_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, list_snapshots_work);
}
static void keep_history_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, keep_history_work);
}

const struct service_method admin_keep_snapshot = {"/plinth.v1.Admin/KeepSnapshot", RPC_UNARY,
                                                   .on_message = keep_snapshot_on_message};
const struct service_method admin_drop_snapshot = {"/plinth.v1.Admin/DropSnapshot", RPC_UNARY,
                                                   .on_message = drop_snapshot_on_message};
const struct service_method admin_move_snapshot = {"/plinth.v1.Admin/MoveSnapshot", RPC_UNARY,
                                                   .on_message = move_snapshot_on_message};
const struct service_method admin_list_snapshots = {"/plinth.v1.Admin/ListSnapshots", RPC_UNARY,
                                                    .on_message = list_snapshots_on_message};
const struct service_method admin_keep_history = {"/plinth.v1.Admin/KeepHistory", RPC_UNARY,
                                                  .on_message = keep_history_on_message};
