/* Admin: status, flush, compact, verify, key spaces. Everything runs on workers; what may take minutes has workers of
 * its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "plinth/v1/admin.pb-c.h"
#include "plinth_jobs.h"
#include "service/encode.h"
#include "service/methods.h"
#include "service/numbers.h"
#include "service/service_private.h"

static uint64_t elapsed_us(const struct service *service, uint64_t since_ns) {
    return (env_monotonic_ns(service->env) - since_ns) / 1000;
}

/* Reads and checks a request that has no fields. */
static enum plinth_status check_empty(struct service_call *call, const ProtobufCMessageDescriptor *type,
                                      struct plinth_error *error) {
    struct arena arena;
    arena_init(&arena);
    ProtobufCMessage *request;
    enum plinth_status st = request_unpack(type, buffer_slice(&call->request), &arena, &request, error);
    arena_deinit(&arena);
    return st;
}

/* ---- Status ---- */

struct paused_kinds {
    char text[160];
};

static void note_paused(void *context, const struct plinth_job *job) {
    struct paused_kinds *paused = context;
    size_t used = strlen(paused->text);
    if (job->state == PLINTH_JOB_PAUSED)
        snprintf(paused->text + used, sizeof paused->text - used, "%s%s", used ? ", " : "",
                 plinth_job_kind_name(job->kind));
}

/* A pause outlasts restarts, so it must not be forgotten. */
static void add_paused(struct plinth *db, char *reason, size_t size) {
    struct paused_kinds paused = {""};
    size_t used = strlen(reason);
    plinth_jobs_visit(db, note_paused, &paused);
    if (*paused.text) snprintf(reason + used, size - used, "%sjobs are paused: %s", used ? "; " : "", paused.text);
}

static void status_work(struct service_call *call) {
    struct service *service = call->service;
    struct plinth_error error;
    enum plinth_status st = check_empty(call, &plinth__v1__status_request__descriptor, &error);
    typedef Plinth__V1__StatusResponse__NumbersEntry entry_type;
    entry_type *entries = st ? NULL : calloc(number_count, sizeof *entries);
    entry_type **pointers = st ? NULL : calloc(number_count, sizeof *pointers);
    if (!st && (!entries || !pointers)) st = error_no_memory(&error, "status");
    if (st) {
        service_finish(call, st, &error);
        goto done;
    }
    struct numbers numbers;
    numbers_read(service, &numbers);
    for (size_t i = 0; i < number_count; i++) {
        plinth__v1__status_response__numbers_entry__init(&entries[i]);
        entries[i].key = (char *)number_table[i].name;
        entries[i].value = number_value(&numbers, &number_table[i]);
        pointers[i] = &entries[i];
    }
    char reason[PLINTH_ERROR_TEXT_MAX];
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    Plinth__V1__Position acknowledged = PLINTH__V1__POSITION__INIT;
    acknowledged.token = (ProtobufCBinaryData){position_encode(numbers.engine.acknowledged, token), token};
    Plinth__V1__StatusResponse response = PLINTH__V1__STATUS_RESPONSE__INIT;
    response.version = (char *)plinth_version();
    response.data_directory = (char *)service->options.data_directory;
    response.uptime_ms = elapsed_us(service, service->started_ns) / 1000;
    response.ready = service_is_ready(service, reason, sizeof reason);
    if (response.ready && !reason[0] && numbers.engine.write_rate_max)
        snprintf(reason, sizeof reason,
                 "compaction debt %.1f GiB in up to %" PRIu64 " runs, writes slowed to %.1f MiB/s",
                 (double)numbers.engine.compaction_debt_bytes / (1 << 30), numbers.engine.runs_most,
                 (double)numbers.engine.write_rate_max / (1 << 20));
    if (response.ready && !reason[0] && numbers.engine.writers_waiting_for_memory)
        snprintf(reason, sizeof reason,
                 "%" PRIu64 " writes wait for memory: memtables have %.1f MiB of the limit of %.1f MiB",
                 numbers.engine.writers_waiting_for_memory, (double)numbers.engine.memory.memtable_bytes / (1 << 20),
                 (double)numbers.engine.memory.limit_bytes / (1 << 20));
    if (response.ready && numbers.engine.jobs_paused) add_paused(service->db, reason, sizeof reason);
    response.reason = reason;
    response.feature_level = numbers.engine.feature_level;
    response.acknowledged = &acknowledged;
    response.acknowledged_lsn = numbers.engine.acknowledged.lsn;
    response.n_numbers = number_count;
    response.numbers = pointers;
    service_answer_message(call, &response.base);
done:
    free(pointers);
    free(entries);
}

/* ---- Flush and Compact ---- */

static void flush_work(struct service_call *call) {
    struct service *service = call->service;
    uint64_t started_ns = env_monotonic_ns(service->env);
    struct plinth_stats before;
    struct plinth_error error;
    enum plinth_status st = check_empty(call, &plinth__v1__flush_request__descriptor, &error);
    plinth_stats_read(service->db, &before);
    if (!st) st = plinth_flush(service->db, &error);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    Plinth__V1__Position position = PLINTH__V1__POSITION__INIT;
    position.token = (ProtobufCBinaryData){position_encode(before.acknowledged, token), token};
    Plinth__V1__FlushResponse response = PLINTH__V1__FLUSH_RESPONSE__INIT;
    response.position = &position;
    response.duration_us = elapsed_us(service, started_ns);
    service_answer_message(call, &response.base);
}

static void compact_work(struct service_call *call) {
    struct service *service = call->service;
    uint64_t started_ns = env_monotonic_ns(service->env);
    struct plinth_stats before, after;
    struct plinth_error error;
    enum plinth_status st = check_empty(call, &plinth__v1__compact_request__descriptor, &error);
    plinth_stats_read(service->db, &before);
    if (!st) st = plinth_compact(service->db, &error);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    plinth_stats_read(service->db, &after);
    Plinth__V1__CompactResponse response = PLINTH__V1__COMPACT_RESPONSE__INIT;
    response.segments_before = before.segments;
    response.segments_after = after.segments;
    response.bytes_before = before.segment_bytes;
    response.bytes_after = after.segment_bytes;
    response.duration_us = elapsed_us(service, started_ns);
    service_answer_message(call, &response.base);
}

/* ---- Verify ---- */

/* Findings beyond these are only counted (Summary.problems), so that a ruined directory cannot fill the memory. */
enum { FINDINGS_SENT_MAX = 10000 };

struct verify_context {
    struct service_call *call;
    uint64_t sent;
};

static void send_verify_response(struct service_call *call, const Plinth__V1__VerifyResponse *response) {
    struct buffer packed = BUFFER_INIT;
    if (buffer_reserve(&packed, protobuf_c_message_get_packed_size(&response->base))) {
        packed.size = protobuf_c_message_pack(&response->base, packed.data);
        (void)rpc_call_send(call->rpc, buffer_slice(&packed));
    }
    buffer_deinit(&packed);
}

static void on_finding(void *context, const char *object, const char *problem) {
    struct verify_context *verify = context;
    if (verify->sent++ >= FINDINGS_SENT_MAX) return;
    Plinth__V1__VerifyResponse__Finding finding = PLINTH__V1__VERIFY_RESPONSE__FINDING__INIT;
    finding.object = (char *)object;
    finding.problem = (char *)problem;
    Plinth__V1__VerifyResponse response = PLINTH__V1__VERIFY_RESPONSE__INIT;
    response.result_case = PLINTH__V1__VERIFY_RESPONSE__RESULT_FINDING;
    response.finding = &finding;
    send_verify_response(verify->call, &response);
}

static void verify_work(struct service_call *call) {
    struct service *service = call->service;
    uint64_t started_ns = env_monotonic_ns(service->env);
    struct verify_context context = {call, 0};
    struct plinth_verify_result result = {0};
    struct plinth_error error;
    enum plinth_status st = check_empty(call, &plinth__v1__verify_request__descriptor, &error);
    if (!st) st = plinth_verify(service->db, on_finding, &context, &result, &error);
    if (!st) {
        Plinth__V1__VerifyResponse__Summary summary = PLINTH__V1__VERIFY_RESPONSE__SUMMARY__INIT;
        summary.segments = result.segments;
        summary.rows = result.rows;
        summary.index_entries = result.index_entries;
        summary.log_records = result.log_records;
        summary.bytes = result.bytes;
        summary.problems = result.problems;
        summary.duration_us = elapsed_us(service, started_ns);
        Plinth__V1__VerifyResponse response = PLINTH__V1__VERIFY_RESPONSE__INIT;
        response.result_case = PLINTH__V1__VERIFY_RESPONSE__RESULT_SUMMARY;
        response.summary = &summary;
        send_verify_response(call, &response);
    }
    service_finish(call, st, &error);
}

/* ---- key spaces ---- */

static void create_space_work(struct service_call *call) {
    struct service *service = call->service;
    struct arena arena;
    arena_init(&arena);
    struct plinth_error error;
    struct plinth_space space;
    struct plinth_stats stats;
    Plinth__V1__CreateSpaceRequest *request;
    enum plinth_status st = request_unpack(&plinth__v1__create_space_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st && (!request->space || !*request->space->name))
        st = error_set(&error, PLINTH_INVALID_ARGUMENT, "space.name: must not be empty");
    if (!st) st = plinth_space_create(service->db, request->space->database, request->space->name, &space, &error);
    arena_deinit(&arena);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    plinth_stats_read(service->db, &stats);
    uint8_t answer[ENCODED_POSITION_BYTES_MAX];
    service_answer(call, slice_of(answer, encode_position(answer, 1, stats.acknowledged)));
}

/* The answer, made in an arena. No index is asked for while spaces are visited: that would take the catalog's lock
 * twice. */
struct space_list {
    struct arena arena;
    struct listed_space *spaces; /* newest first */
    size_t count;
    struct listed_space *at; /* whose indexes are visited */
    bool failed;
};

struct listed_space {
    struct listed_space *next;
    struct plinth_space id;
    Plinth__V1__Space space;
    Plinth__V1__SpaceDescription description;
    size_t index_capacity;
};

static char *copy_name(struct space_list *list, const char *name) {
    return (char *)arena_copy(&list->arena, slice_of_string(name));
}

static void on_space(void *context, const char *database, const char *name, struct plinth_space space) {
    struct space_list *list = context;
    struct listed_space *listed = arena_alloc(&list->arena, sizeof *listed);
    char *database_copy = copy_name(list, database), *name_copy = copy_name(list, name);
    list->failed = list->failed || !listed || !database_copy || !name_copy;
    if (list->failed) return;
    *listed = (struct listed_space){.next = list->spaces, .id = space};
    plinth__v1__space__init(&listed->space);
    plinth__v1__space_description__init(&listed->description);
    listed->space.database = database_copy;
    listed->space.name = name_copy;
    listed->description.space = &listed->space;
    listed->description.table = space.table;
    list->spaces = listed;
    list->count++;
}

static void on_index(void *context, const char *name) {
    struct space_list *list = context;
    struct listed_space *listed = list->at;
    Plinth__V1__SpaceDescription *description = &listed->description;
    char *copy = copy_name(list, name);
    if (copy && description->n_indexes == listed->index_capacity) {
        size_t capacity = listed->index_capacity ? listed->index_capacity * 2 : 8;
        char **grown = arena_alloc(&list->arena, capacity * sizeof *grown);
        if (grown && description->n_indexes)
            memcpy(grown, description->indexes, description->n_indexes * sizeof *grown);
        if (!grown) copy = NULL;
        listed->index_capacity = capacity;
        description->indexes = grown;
    }
    list->failed = list->failed || !copy;
    if (!list->failed) description->indexes[description->n_indexes++] = copy;
}

static enum plinth_status describe_spaces(struct plinth *db, struct space_list *list,
                                          Plinth__V1__ListSpacesResponse *response, struct plinth_error *error) {
    enum plinth_status st = plinth_space_list(db, on_space, list, error);
    if (!st && !list->failed) response->spaces = arena_alloc(&list->arena, list->count * sizeof *response->spaces);
    if (!st && !response->spaces) return error_no_memory(error, "list of spaces");
    size_t place = list->count;
    for (list->at = list->spaces; !st && list->at; list->at = list->at->next) {
        response->spaces[--place] = &list->at->description;
        st = plinth_index_list(db, list->at->id, on_index, list, error);
        if (!st && list->failed) st = error_no_memory(error, "list of indexes");
    }
    response->n_spaces = list->count;
    return st;
}

static void list_spaces_work(struct service_call *call) {
    struct space_list list = {0};
    struct plinth_error error;
    Plinth__V1__ListSpacesResponse response = PLINTH__V1__LIST_SPACES_RESPONSE__INIT;
    arena_init(&list.arena);
    enum plinth_status st = check_empty(call, &plinth__v1__list_spaces_request__descriptor, &error);
    if (!st) st = describe_spaces(call->service->db, &list, &response, &error);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer_message(call, &response.base);
    arena_deinit(&list.arena);
}

/* ---- the methods ---- */

static void status_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, status_work);
}
static void flush_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, flush_work);
}
static void compact_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, compact_work);
}
static void verify_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, verify_work);
}
static void create_space_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, create_space_work);
}
static void list_spaces_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, list_spaces_work);
}

const struct service_method admin_status = {"/plinth.v1.Admin/Status", RPC_UNARY, .on_message = status_on_message};
const struct service_method admin_flush = {"/plinth.v1.Admin/Flush", RPC_UNARY, .on_message = flush_on_message};
const struct service_method admin_compact = {"/plinth.v1.Admin/Compact", RPC_UNARY, .on_message = compact_on_message};
const struct service_method admin_verify = {"/plinth.v1.Admin/Verify", RPC_SERVER_STREAM,
                                            .on_message = verify_on_message};
const struct service_method admin_create_space = {"/plinth.v1.Admin/CreateSpace", RPC_UNARY,
                                                  .on_message = create_space_on_message};
const struct service_method admin_list_spaces = {"/plinth.v1.Admin/ListSpaces", RPC_UNARY,
                                                 .on_message = list_spaces_on_message};
